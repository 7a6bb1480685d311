// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../arch/x86/entry/syscall_64.ts';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { user_store32 } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { read_text, write_text } from '../fs/testing.ts';
import type { Gen } from '../kernel/gen.ts';
import { run_clean, small_machine } from '../kernel/testing.ts';
import { kstrtoul } from './hugetlb_sysfs.ts';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const [MAP, BUF] = [0x200000000, 0x300000000];
const RW = 3;
const [PRIVATE_ANON_FIXED, HUGETLB] = [0x32, 0x40000];
const NR_munmap = 11;
const [ENOMEM, EACCES, EINVAL, ERANGE] = [-12, -13, -22, -34];
const DIR = '/sys/kernel/mm/hugepages/hugepages-2048kB';

function run(body: (m: Machine) => Gen<void>): void {
  run_clean(t, small_machine({ nr_hugepages: 2 }), function* (m) {
    yield* sys_mmap(m, BUF, PAGE, RW, PRIVATE_ANON_FIXED, -1, 0);
    yield* body(m);
  });
}

const read = (m: Machine, path: string): Gen<string> => read_text(m, path, BUF);
const write = (m: Machine, path: string, text: string): Gen<number> => write_text(m, text, path, BUF);

t.test('kstrtoul takes a decimal number, a plus sign and one newline', async (t) => {
  for (const [text, value] of [
    ['0', 0],
    ['12\n', 12],
    ['+7', 7],
    ['007', 7],
    ['', EINVAL],
    ['\n', EINVAL],
    ['-1', EINVAL],
    [' 1', EINVAL],
    ['1 ', EINVAL],
    ['1\n\n', EINVAL],
    ['0x10', EINVAL],
    ['4k', EINVAL],
    ['18446744073709551615', 2 ** 64],
    ['18446744073709551616', ERANGE],
  ] as const)
    t.equal(kstrtoul(text), value, JSON.stringify(text));
});

t.test('the files of a pool show its counters', async (t) => {
  run(function* (m) {
    const show = function* (): Gen<string> {
      let all = '';
      for (const name of ['nr', 'free', 'resv', 'surplus']) all += yield* read(m, `${DIR}/${name}_hugepages`);
      return all;
    };
    t.equal(yield* show(), '2\n2\n0\n0\n');
    yield* sys_mmap(m, MAP, 2 * HUGE, RW, PRIVATE_ANON_FIXED | HUGETLB, -1, 0);
    yield* user_store32(m, MAP, 1);
    t.equal(yield* show(), '2\n1\n1\n0\n');
    t.equal(yield* write(m, `${DIR}/nr_hugepages`, '0\n'), 2);
    t.equal(yield* show(), '2\n1\n1\n2\n');
    t.equal(yield* write(m, `${DIR}/nr_hugepages_mempolicy`, '3'), 1);
    t.equal(yield* show(), '3\n2\n1\n0\n');
    t.equal(yield* read(m, `${DIR}/nr_hugepages_mempolicy`), '3\n');
    t.equal(yield* read(m, '/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages'), '0\n', 'the other pool');
  });
});

t.test('bad text changes nothing, and counters cannot be written', async (t) => {
  run(function* (m) {
    for (const name of ['nr_hugepages', 'nr_overcommit_hugepages']) {
      t.equal(yield* write(m, `${DIR}/${name}`, 'many'), EINVAL);
      t.equal(yield* write(m, `${DIR}/${name}`, '99999999999999999999'), ERANGE);
    }
    t.equal(yield* read(m, `${DIR}/nr_hugepages`), '2\n');
    for (const name of ['free', 'resv', 'surplus']) t.equal(yield* write(m, `${DIR}/${name}_hugepages`, '1'), EACCES);
  });
});

t.test('a pool grows as far as memory allows, and overcommit takes pages beyond it', async (t) => {
  run(function* (m) {
    t.equal(yield* write(m, `${DIR}/nr_hugepages`, '100'), 3);
    const n = m.hugetlb.default_hstate.nr_huge_pages;
    t.ok(n > 2 && n < 32, `${n} of 2 MiB in 64 MiB`);
    yield* write(m, `${DIR}/nr_hugepages`, '1');
    t.equal(yield* sys_mmap(m, MAP, 2 * HUGE, RW, PRIVATE_ANON_FIXED | HUGETLB, -1, 0), ENOMEM);
    t.equal(yield* write(m, `${DIR}/nr_overcommit_hugepages`, '1'), 1);
    t.equal(yield* read(m, `${DIR}/nr_overcommit_hugepages`), '1\n');
    t.equal(yield* sys_mmap(m, MAP, 2 * HUGE, RW, PRIVATE_ANON_FIXED | HUGETLB, -1, 0), MAP);
    t.equal(yield* read(m, `${DIR}/surplus_hugepages`), '1\n');
    t.equal(yield* sys_mmap(m, MAP + 4 * HUGE, HUGE, RW, PRIVATE_ANON_FIXED | HUGETLB, -1, 0), ENOMEM);
    yield* do_syscall_64(m, NR_munmap, MAP, 2 * HUGE);
    t.same([m.hugetlb.default_hstate.nr_huge_pages, m.hugetlb.default_hstate.surplus_huge_pages], [1, 0]);
  });
});
