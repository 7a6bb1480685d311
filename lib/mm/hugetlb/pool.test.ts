// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../../arch/x86/entry/syscall_64.ts';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_store32, user_store8 } from '../../arch/x86/mm/uaccess.ts';
import { boot } from '../../boot.ts';
import type { Machine } from '../../machine.ts';
import { do_sys_open } from '../../fs/open.ts';
import { ksys_read, ksys_write } from '../../fs/read_write.ts';
import { kernel_wait4 } from '../../kernel/exit.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import type { Gen } from '../../kernel/gen.ts';
import { sched_yield } from '../../kernel/sched/syscalls.ts';
import { run_clean, signal_of } from '../../kernel/testing.ts';
import type { mm_struct } from '../mm_types.ts';
import { region_add, region_chg, region_count, region_del, resv_map } from './resv.ts';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const BUF = 0x300000000;
const [R, RW] = [1, 3];
const [SHARED, PRIVATE, FIXED, ANON, NORESERVE, HUGETLB] = [1, 2, 0x10, 0x20, 0x4000, 0x40000];
const HUGE_1GB = 30 << 26;
const [NR_mprotect, NR_munmap, NR_mremap, NR_madvise] = [10, 11, 25, 28];
const [ENOMEM, EINVAL] = [-12, -22];
const SIGBUS = 7;

function run(nr_hugepages: number, body: (m: Machine) => Gen<void>): Machine {
  const m = run_clean(t, boot({ mem: 128 * 1024 * 1024, thp: 'never', nr_hugepages }), function* (m) {
    yield* sys_mmap(m, BUF, PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* body(m);
  });
  const h = m.hugetlb.default_hstate;
  t.equal(h.resv_huge_pages, 0, 'no reservation is left over');
  t.equal(h.free_huge_pages, h.nr_huge_pages, 'every huge page is free again');
  return m;
}

function map(m: Machine, n: number, flags = PRIVATE, addr = MAP): Gen<number> {
  return sys_mmap(m, addr, n * HUGE, RW, flags | FIXED | ANON | HUGETLB, -1, 0);
}

function pool(m: Machine): number[] {
  const h = m.hugetlb.default_hstate;
  return [h.nr_huge_pages, h.free_huge_pages, h.resv_huge_pages, h.surplus_huge_pages];
}

t.test('a private mapping reserves its pages, uses the reservation up, and gives all back', (t) => {
  run(4, function* (m) {
    t.same(pool(m), [4, 4, 0, 0]);
    t.equal(yield* map(m, 3), MAP);
    t.same(pool(m), [4, 4, 3, 0]);
    t.equal(yield* user_load32(m, MAP + HUGE), 0);
    t.same(pool(m), [4, 3, 2, 0]);
    yield* user_store32(m, MAP + HUGE + 5 * PAGE, 7);
    t.equal(yield* user_load32(m, MAP + HUGE + 5 * PAGE), 7);
    t.same(pool(m), [4, 3, 2, 0]);
    t.equal((m.current.mm as mm_struct).hugetlb_usage, 512);
    t.equal(yield* map(m, 2, PRIVATE, MAP + 8 * HUGE), ENOMEM, 'one page is not reserved');
    t.equal(yield* map(m, 1, PRIVATE, MAP + 8 * HUGE), MAP + 8 * HUGE);
    yield* do_syscall_64(m, NR_munmap, MAP, 2 * HUGE);
    t.same(pool(m), [4, 4, 2, 0]);
    t.equal((m.current.mm as mm_struct).hugetlb_usage, 0);
  });
  t.end();
});

t.test('a shared mapping keeps its reservation in the file', (t) => {
  run(4, function* (m) {
    t.equal(yield* map(m, 2, SHARED), MAP);
    t.same(pool(m), [4, 4, 2, 0]);
    yield* user_store32(m, MAP, 3);
    t.same(pool(m), [4, 3, 1, 0]);
    const pid = yield* kernel_clone(m, 0, function* () {
      t.equal(yield* user_load32(m, MAP), 3);
      yield* user_store32(m, MAP + HUGE, 4);
    });
    yield* kernel_wait4(m, pid, 0);
    t.equal(yield* user_load32(m, MAP + HUGE), 4);
    t.same(pool(m), [4, 2, 0, 0]);
  });
  t.end();
});

t.test('what cannot be mapped is refused', (t) => {
  run(2, function* (m) {
    t.equal(yield* map(m, 3), ENOMEM);
    t.equal(yield* map(m, 3, SHARED), ENOMEM);
    t.equal(yield* map(m, 1, PRIVATE | HUGE_1GB, MAP + HUGE), EINVAL, 'a fixed address that does not suit 1 GiB');
    t.equal(yield* map(m, 512, PRIVATE | HUGE_1GB, 0x240000000), ENOMEM, 'an empty pool');
    t.equal(yield* sys_mmap(m, MAP + PAGE, HUGE, RW, PRIVATE | FIXED | ANON | HUGETLB, -1, 0), EINVAL);
    t.equal(yield* map(m, 3, PRIVATE | NORESERVE), MAP, 'without a reservation nothing is asked');
    yield* user_store32(m, MAP, 1);
    yield* user_store32(m, MAP + HUGE, 1);
    t.equal(yield* signal_of(user_store32(m, MAP + 2 * HUGE, 1)), SIGBUS, 'and the pool may run dry');
    t.equal(yield* do_syscall_64(m, NR_munmap, MAP, PAGE), EINVAL, 'no part of a huge page is unmapped');
    t.equal(yield* do_syscall_64(m, NR_mprotect, MAP, PAGE, R), EINVAL);
    t.equal(yield* do_syscall_64(m, NR_madvise, MAP, 2 * HUGE, 4), 0, 'MADV_DONTNEED');
    t.same(pool(m), [2, 2, 0, 0]);
  });
  t.end();
});

t.test('after fork each writes to a copy, and the one alone with a page reuses it', (t) => {
  run(4, function* (m) {
    yield* map(m, 1);
    yield* user_store32(m, MAP, 1);
    const pid = yield* kernel_clone(m, 0, function* () {
      t.equal(yield* user_load32(m, MAP), 1);
      yield* user_store32(m, MAP, 2);
      t.equal(yield* user_load32(m, MAP), 2);
    });
    yield* kernel_wait4(m, pid, 0);
    t.same(pool(m), [4, 3, 0, 0]);
    t.equal(yield* user_load32(m, MAP), 1);
    yield* user_store32(m, MAP, 3);
    t.same(pool(m), [4, 3, 0, 0]);
  });
  t.end();
});

t.test('an owner whose copy finds no page takes it from its child, which then dies of SIGBUS', (t) => {
  const m = run(1, function* (m) {
    yield* map(m, 1);
    yield* user_store32(m, MAP, 1);
    let written = false;
    const pid = yield* kernel_clone(m, 0, function* () {
      t.equal(yield* user_load32(m, MAP), 1);
      while (!written) yield* sched_yield(m);
      t.equal(yield* signal_of(user_load32(m, MAP)), SIGBUS);
    });
    for (let i = 0; i < 8; i++) yield* sched_yield(m);
    yield* user_store32(m, MAP, 2);
    written = true;
    t.equal(yield* user_load32(m, MAP), 2);
    yield* kernel_wait4(m, pid, 0);
  });
  t.match(m.log.lines.join('\n'), /killed due to inadequate hugepage pool/);
  t.end();
});

t.test('a child has no reservation: its copy needs a page that nobody reserved', (t) => {
  run(2, function* (m) {
    yield* map(m, 2);
    yield* user_store32(m, MAP, 1);
    const pid = yield* kernel_clone(m, 0, function* () {
      t.equal(yield* signal_of(user_store32(m, MAP, 2)), SIGBUS);
    });
    yield* kernel_wait4(m, pid, 0);
    yield* user_store32(m, MAP + HUGE, 1);
  });
  t.end();
});

t.test('mremap moves entries and the reservation; mprotect holds for the whole page', (t) => {
  run(3, function* (m) {
    yield* map(m, 2);
    yield* user_store32(m, MAP, 11);
    const to = MAP + 16 * HUGE;
    t.equal(yield* do_syscall_64(m, NR_mremap, MAP, 2 * HUGE, 2 * HUGE, 3, to), to);
    t.same(pool(m), [3, 2, 1, 0]);
    t.equal(yield* user_load32(m, to), 11);
    yield* user_store32(m, to + HUGE, 12);
    t.same(pool(m), [3, 1, 0, 0]);
    t.equal(yield* do_syscall_64(m, NR_mprotect, to, HUGE, R), 0);
    t.equal(yield* signal_of(user_store32(m, to + 9 * PAGE, 1)), 11);
    t.equal(yield* do_syscall_64(m, NR_mprotect, to, HUGE, RW), 0);
    yield* user_store32(m, to + 9 * PAGE, 1);
  });
  t.end();
});

function* write_text(m: Machine, path: string, text: string): Gen<number> {
  const fd = yield* do_sys_open(m, path, 1, 0);
  if (fd < 0) return fd;
  for (let i = 0; i < text.length; i++) yield* user_store8(m, BUF + i, text.charCodeAt(i));
  return yield* ksys_write(m, fd, BUF, text.length);
}

t.test('the pool is resized through /proc and /sys; pages in use become surplus', (t) => {
  run(2, function* (m) {
    const nr = '/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages';
    t.equal(yield* write_text(m, '/proc/sys/vm/nr_hugepages', '5\n'), 2);
    t.same(pool(m), [5, 5, 0, 0]);
    yield* map(m, 3);
    yield* user_store32(m, MAP, 1);
    t.equal(yield* write_text(m, nr, '0'), 1);
    t.same(pool(m), [3, 2, 2, 3], 'one in use and two reserved stay, as surplus');
    yield* do_syscall_64(m, NR_munmap, MAP, 3 * HUGE);
    t.same(pool(m), [0, 0, 0, 0]);
    t.equal(yield* write_text(m, nr, 'x'), EINVAL);
    const fd = yield* do_sys_open(m, nr, 0, 0);
    t.equal(yield* ksys_read(m, fd, BUF, 10), 2);
    t.equal((yield* user_load32(m, BUF)) & 0xffff, 0x0a30, 'the text "0\\n"');
    t.equal(yield* do_sys_open(m, '/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages', 1, 0), -13);
  });
  t.end();
});

t.test('a reservation map counts, merges and splits its regions', (t) => {
  const map = new resv_map();
  t.equal(region_chg(map, 2, 6), 4);
  t.equal(region_add(map, 2, 6), 4);
  t.equal(region_chg(map, 4, 10), 4);
  t.equal(region_add(map, 4, 10), 4);
  t.equal(map.regions.length, 1);
  t.equal(region_count(map, 0, 5), 3);
  t.equal(region_del(map, 4, 7), 3);
  t.same(map.regions, [
    { from: 2, to: 4 },
    { from: 7, to: 10 },
  ]);
  t.equal(region_del(map, 0, Infinity), 5);
  t.equal(map.adds_in_progress, 0);
  t.end();
});
