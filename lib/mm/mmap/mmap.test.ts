// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_memset, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { do_sys_open, ksys_ftruncate } from '../../fs/open.ts';
import { kernel_wait4 } from '../../kernel/exit.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import type { Gen } from '../../kernel/gen.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { sys_madvise } from '../madvise/madvise.ts';
import type { mm_struct } from '../mm_types.ts';
import { sys_mprotect } from '../mprotect.ts';
import { sys_brk } from './mmap.ts';

const PAGE = 4096;
const MAP = 0x200000000;
const TASK_SIZE = 0x7ffffffff000;
const [READ, RW] = [1, 3];
const [SHARED, PRIVATE, SHARED_VALIDATE, FIXED, ANON, GROWSDOWN, POPULATE, HUGETLB, NOREPLACE] = [
  1, 2, 3, 0x10, 0x20, 0x100, 0x8000, 0x40000, 0x100000,
];
const [O_RDONLY, O_WRONLY, O_RDWR, O_CREAT] = [0, 1, 2, 0o100];
const [EBADF, ENOMEM, EACCES, EEXIST, ENODEV, EINVAL, EOVERFLOW, EOPNOTSUPP] = [-9, -12, -13, -17, -19, -22, -75, -95];
const [VM_MAYWRITE, VM_SHARED, VM_ACCOUNT] = [0x20, 8, 0x100000];
const [MADV_DONTFORK, MADV_WIPEONFORK] = [10, 18];

function run(body: (m: Machine) => Gen<void>): Machine {
  const m = run_clean(t, small_machine(), body);
  t.equal(m.vm_committed_as, 0, 'exit gives every charged page back');
  t.equal(m.mms.size, 0);
  return m;
}

function mm_of(m: Machine): mm_struct {
  return m.current.mm as mm_struct;
}

/** The vmas within [start, end): first page and number of pages, from `start` on. */
function vmas(m: Machine, start = MAP, end = MAP + 64 * PAGE): number[][] {
  return mm_of(m)
    .mm_mt.filter((v) => v.vm_start >= start && v.vm_end <= end)
    .map((v) => [(v.vm_start - start) / PAGE, (v.vm_end - v.vm_start) / PAGE]);
}

t.test('arguments that make no mapping', (t) => {
  run(function* (m) {
    const map = (addr: number, len: number, flags: number, fd = -1, off = 0): Gen<number> =>
      sys_mmap(m, addr, len, RW, flags, fd, off);
    t.equal(yield* map(0, 0, PRIVATE | ANON), EINVAL);
    t.equal(yield* map(0, PAGE, ANON), EINVAL, 'neither shared nor private');
    t.equal(yield* map(0, PAGE, PRIVATE | ANON, -1, 1), EINVAL, 'an offset within a page');
    t.equal(yield* map(MAP + 1, PAGE, PRIVATE | ANON | FIXED), EINVAL);
    t.equal(yield* map(TASK_SIZE, PAGE, PRIVATE | ANON | FIXED), ENOMEM);
    t.equal(yield* map(0, TASK_SIZE + PAGE, PRIVATE | ANON), ENOMEM);
    t.equal(yield* map(0, 2 ** 64, PRIVATE | ANON), ENOMEM);
    t.equal(yield* map(0, 2 ** 36, PRIVATE | ANON), ENOMEM, 'more than the machine can ever have');
    t.equal(yield* map(0, PAGE, SHARED | ANON | GROWSDOWN), EINVAL);
    t.equal(yield* map(0, PAGE, PRIVATE, 77), EBADF);
    const fd = yield* do_sys_open(m, '/tmp/file', O_RDWR | O_CREAT, 0o600);
    t.equal(yield* map(0, PAGE, 0, fd), EINVAL);
    t.equal(yield* map(0, PAGE, PRIVATE | HUGETLB, fd), EINVAL);
    t.equal(yield* map(0, PAGE, PRIVATE, fd, 2 ** 63), EOVERFLOW, 'no file is that long');
    t.equal(yield* map(0, PAGE, SHARED_VALIDATE | 0x800000, fd), EOPNOTSUPP);
    t.ok((yield* map(0, PAGE, SHARED | 0x800000, fd)) > 0, 'MAP_SHARED takes flags that nobody knows');
    t.equal(yield* map(0, PAGE, SHARED, yield* do_sys_open(m, '/dev/null', O_RDWR, 0)), ENODEV);
  });
  t.end();
});

t.test('a shared mapping may do what the descriptor may, and needs one that reads', (t) => {
  run(function* (m) {
    yield* do_sys_open(m, '/tmp/file', O_RDWR | O_CREAT, 0o600);
    const reader = yield* do_sys_open(m, '/tmp/file', O_RDONLY, 0);
    yield* ksys_ftruncate(m, 0, PAGE);
    t.equal(yield* sys_mmap(m, 0, PAGE, RW, SHARED, reader, 0), EACCES);
    t.equal(yield* sys_mmap(m, 0, PAGE, READ, PRIVATE, yield* do_sys_open(m, '/tmp/file', O_WRONLY, 0), 0), EACCES);
    t.equal(yield* sys_mmap(m, MAP, PAGE, READ, SHARED | FIXED, reader, 0), MAP);
    const vma = mm_of(m).mm_mt.find((v) => v.vm_start === MAP);
    t.equal((vma?.vm_flags ?? -1) & (VM_MAYWRITE | VM_SHARED), 0);
    t.equal(yield* sys_mprotect(m, MAP, PAGE, RW), EACCES);
    t.equal(yield* sys_mmap(m, MAP, PAGE, RW, PRIVATE | FIXED, reader, 0), MAP, 'a private copy may be written to');
  });
  t.end();
});

t.test('where a mapping goes: top down, at a free hint, over what is there only if told', (t) => {
  run(function* (m) {
    const first = yield* sys_mmap(m, 0, PAGE, RW, PRIVATE | ANON, -1, 0);
    const second = yield* sys_mmap(m, 0, 3 * PAGE, RW, PRIVATE | ANON, -1, 0);
    t.equal(second, first - 3 * PAGE);
    t.same(vmas(m, second, first + PAGE), [[0, 4]], 'neighbours alike are one vma');
    t.equal(yield* sys_mmap(m, MAP + 17, 8 * PAGE, RW, PRIVATE | ANON, -1, 0), MAP, 'a hint is rounded down');
    t.equal(
      yield* sys_mmap(m, MAP + 4 * PAGE, PAGE, RW, PRIVATE | ANON, -1, 0),
      second - PAGE,
      'a hint that is taken is no hint',
    );
    t.equal(yield* sys_mmap(m, PAGE, PAGE, RW, PRIVATE | ANON, -1, 0), 65536, 'the lowest address');
    t.equal(yield* sys_mmap(m, MAP + 7 * PAGE, 2 * PAGE, RW, PRIVATE | ANON | NOREPLACE, -1, 0), EEXIST);
    t.equal(yield* sys_mmap(m, MAP + 8 * PAGE, PAGE, READ, PRIVATE | ANON | NOREPLACE, -1, 0), MAP + 8 * PAGE);
    yield* user_memset(m, MAP, 0x55, 8 * PAGE);
    t.equal(mm_of(m).rss_stat[1], 8);
    t.equal(yield* sys_mmap(m, MAP + 2 * PAGE, 3 * PAGE, READ, SHARED | ANON | FIXED, -1, 0), MAP + 2 * PAGE);
    t.same(vmas(m), [
      [0, 2],
      [2, 3],
      [5, 3],
      [8, 1],
    ]);
    t.equal(mm_of(m).rss_stat[1], 5, 'what was there is unmapped');
    t.equal(yield* user_load32(m, MAP + 2 * PAGE), 0);
    t.equal(yield* user_load32(m, MAP + 5 * PAGE), 0x55555555);
    yield* sys_mmap(m, MAP + 16 * PAGE, 4 * PAGE, RW, PRIVATE | ANON | FIXED | POPULATE, -1, 0);
    t.equal(mm_of(m).rss_stat[1], 5 + 4);
  });
  t.end();
});

t.test('brk grows one heap, and answers the old end when it cannot', (t) => {
  run(function* (m) {
    const start = yield* sys_brk(m, 0);
    t.equal(yield* sys_brk(m, start + 10), start + 10);
    t.equal(yield* sys_brk(m, start + 3 * PAGE), start + 3 * PAGE);
    t.same(vmas(m, start, start + 16 * PAGE), [[0, 3]]);
    t.ok((mm_of(m).mm_mt.find((v) => v.vm_start === start)?.vm_flags ?? 0) & VM_ACCOUNT);
    yield* user_store32(m, start + 2 * PAGE, 5);
    t.equal(yield* sys_brk(m, start + PAGE), start + PAGE);
    t.equal(yield* sys_brk(m, start - PAGE), start + PAGE, 'below the heap');
    t.equal(yield* sys_brk(m, start + 3 * PAGE), start + 3 * PAGE);
    t.equal(yield* user_load32(m, start + 2 * PAGE), 0, 'what was cut off is gone');
    yield* sys_mmap(m, start + 8 * PAGE, PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    t.equal(yield* sys_brk(m, start + 8 * PAGE), start + 3 * PAGE, 'no page would stay free before the next mapping');
    t.equal(yield* sys_brk(m, start + 7 * PAGE), start + 7 * PAGE);
  });
  t.end();
});

t.test('fork leaves out MADV_DONTFORK and empties MADV_WIPEONFORK', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, MAP, 9 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* user_memset(m, MAP, 1, 9 * PAGE);
    yield* sys_madvise(m, MAP + 3 * PAGE, 3 * PAGE, MADV_DONTFORK);
    yield* sys_madvise(m, MAP + 6 * PAGE, 3 * PAGE, MADV_WIPEONFORK);
    const { total_vm } = mm_of(m);
    const charged = m.vm_committed_as;
    const pid = yield* kernel_clone(m, 0, function* () {
      t.same(vmas(m), [
        [0, 3],
        [6, 3],
      ]);
      t.equal(mm_of(m).total_vm, total_vm - 3);
      t.equal(m.vm_committed_as, 2 * charged - 3);
      t.equal(yield* user_load32(m, MAP), 0x01010101);
      t.equal(yield* user_load32(m, MAP + 6 * PAGE), 0);
    });
    t.same(yield* kernel_wait4(m, pid, 0), { pid, status: 0 });
    t.equal(m.vm_committed_as, charged);
    t.equal(yield* user_load32(m, MAP + 6 * PAGE), 0x01010101);
  });
  t.end();
});
