// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_load8, user_store32 } from '../../../arch/x86/mm/uaccess.ts';
import type { Machine, MachineConfig } from '../../../machine.ts';
import { kernel_wait4 } from '../../../kernel/exit.ts';
import { kernel_clone } from '../../../kernel/fork/fork.ts';
import type { Gen } from '../../../kernel/gen.ts';
import { run_clean, small_machine } from '../../../kernel/testing.ts';
import { sys_madvise } from '../../../mm/madvise/madvise.ts';
import { sys_ioctl } from '../../ioctl.ts';
import { do_sys_open } from '../../open.ts';
import { ksys_pread64 } from '../../read_write.ts';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const BUF = 0x300000000;
const RW = 3;
const [SHARED, PRIVATE, FIXED, ANON] = [1, 2, 0x10, 0x20];
const GUARD_INSTALL = 102;

function run(body: (m: Machine) => Gen<void>, config: MachineConfig = {}): void {
  run_clean(
    t,
    small_machine({ nr_hugepages: 1, ...config }),
    function* (m) {
      yield* sys_mmap(m, BUF, 64 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
      yield* body(m);
    },
    'reader',
  );
}

/**
 * The upper halves of the entries of n pages: present 31, swap 30, file 29, guard 26, exclusive 24, soft-dirty 23, which
 * is never set.
 */
function* pagemap(m: Machine, addr: number, n: number): Gen<number[]> {
  const fd = yield* do_sys_open(m, '/proc/self/pagemap', 0, 0);
  t.equal(yield* ksys_pread64(m, fd, BUF, n * 8, (addr / PAGE) * 8), n * 8);
  const out: number[] = [];
  for (let i = 0; i < n; i++)
    out.push(
      ((yield* user_load32(m, BUF + i * 8 + 4)) & 0x7f800000) |
        ((yield* user_load8(m, BUF + i * 8 + 7)) & 0x80 ? 0x80000000 : 0),
    );
  return out.map((x) => x >>> 0);
}

const EXCLUSIVE = 0x81000000;
const PRESENT = 0x80000000;

t.test('pagemap: absent, zero, exclusive, shared with a child, file and guard pages', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, MAP, 6 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* sys_mmap(m, MAP + 6 * PAGE, 2 * PAGE, RW, SHARED | ANON | FIXED, -1, 0);
    yield* user_load32(m, MAP + PAGE);
    yield* user_store32(m, MAP + 2 * PAGE, 1);
    yield* user_store32(m, MAP + 6 * PAGE, 1);
    t.equal(yield* sys_madvise(m, MAP + 4 * PAGE, PAGE, GUARD_INSTALL), 0);
    t.same(yield* pagemap(m, MAP, 9), [0, PRESENT, EXCLUSIVE, 0, 0x44000000, 0, 0xa1000000, 0, 0]);
    const pid = yield* kernel_clone(m, 0, function* () {
      t.same(
        yield* pagemap(m, MAP, 9),
        [0, PRESENT, PRESENT, 0, 0x44000000, 0, 0, 0, 0],
        'a child maps shared memory anew',
      );
      yield* user_store32(m, MAP + 2 * PAGE, 2);
      t.same(yield* pagemap(m, MAP + 2 * PAGE, 1), [EXCLUSIVE]);
    });
    yield* kernel_wait4(m, pid, 0);
    t.same(yield* pagemap(m, MAP + 2 * PAGE, 1), [EXCLUSIVE]);
  });
  t.end();
});

t.test('pagemap: pfns, a range over several page tables, and reads that are refused', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, MAP, 3 * HUGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* user_store32(m, MAP + HUGE, 1);
    const fd = yield* do_sys_open(m, '/proc/self/pagemap', 0, 0);
    t.equal(yield* ksys_pread64(m, fd, BUF, 1000 * 8, ((MAP + HUGE) / PAGE - 4) * 8), 8000);
    t.ok((yield* user_load32(m, BUF + 32)) > 0, 'a pfn');
    t.equal(yield* user_load32(m, BUF + 24), 0);
    t.equal((yield* user_load32(m, BUF + 36)) & 0x7fffff, 0, 'pfns are small');
    t.equal(yield* ksys_pread64(m, fd, BUF, 7, 0), -22);
    t.equal(yield* ksys_pread64(m, fd, BUF, 8, 4), -22);
    t.equal(yield* ksys_pread64(m, fd, 0x7000, 8, (MAP / PAGE) * 8), -14);
    t.equal(yield* ksys_pread64(m, fd, BUF, 8, (0x7ffffffff000 / PAGE) * 8), 0, 'the end of user space');
  });
  t.end();
});

t.test('pagemap: of ioctls it knows the scan', (t) => {
  run(function* (m) {
    const fd = yield* do_sys_open(m, '/proc/self/pagemap', 0, 0);
    t.equal(yield* sys_ioctl(m, fd, 0x1234, 0), -22);
    t.equal(yield* sys_ioctl(m, fd, 0xc0606610, 0), -14);
  });
  t.end();
});
