// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../../arch/x86/entry/syscall_64.ts';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import type { file_operations } from '../../fs/fs.ts';
import { vfs_register_file } from '../../fs/namei.ts';
import { do_sys_open } from '../../fs/open.ts';
import { walk_address } from '../../inspect.ts';
import type { Gen } from '../../kernel/gen.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { sys_brk, sys_munmap } from '../mmap/mmap.ts';
import { sys_mprotect } from '../mprotect.ts';

const PAGE = 4096;
const PRESENT = 1;
const MAP = 0x200000000;
const [READ, RW, RX] = [1, 3, 5];
const [SHARED, PRIVATE, FIXED, ANON, LOCKED, NORESERVE] = [1, 2, 0x10, 0x20, 0x2000, 0x4000];
const [O_RDWR, O_CREAT] = [2, 0o100];
const NR_munmap = 11;
const [EIO, ENOMEM] = [-5, -12];
const [VM_ACCOUNT, VM_LOCKED, VM_DONTEXPAND] = [0x100000, 0x2000, 0x40000];

function run(body: (m: Machine) => Gen<void>): void {
  const m = run_clean(t, small_machine(), body);
  t.equal(m.vm_committed_as, 0);
}

function mm_of(m: Machine): mm_struct {
  return m.current.mm as mm_struct;
}

function vma_at(m: Machine, addr: number): vm_area_struct | undefined {
  return mm_of(m).mm_mt.find((v) => v.vm_start <= addr && addr < v.vm_end);
}

function present(mm: mm_struct, addr: number): boolean {
  return (walk_address(mm, addr).entry & PRESENT) !== 0;
}

function* map(m: Machine, page: number, pages: number, prot: number, flags: number, fd = -1, off = 0): Gen<number> {
  return yield* sys_mmap(m, MAP + page * PAGE, pages * PAGE, prot, flags | FIXED, fd, off);
}

t.test('private writable memory is charged, whatever it replaces being given back', (t) => {
  run(function* (m) {
    const base = m.vm_committed_as;
    const charged = (): number => m.vm_committed_as - base;
    yield* map(m, 0, 4, RW, PRIVATE | ANON);
    t.equal(charged(), 4);
    t.ok((vma_at(m, MAP)?.vm_flags ?? 0) & VM_ACCOUNT);
    yield* map(m, 0, 4, RW, PRIVATE | ANON);
    t.equal(charged(), 4);
    yield* map(m, 1, 2, READ, PRIVATE | ANON);
    t.equal(charged(), 2);
    t.notOk((vma_at(m, MAP + PAGE)?.vm_flags ?? -1) & VM_ACCOUNT);
    yield* map(m, 8, 8, RW, PRIVATE | ANON | NORESERVE);
    t.equal(charged(), 2);
    yield* map(m, 16, 3, READ, SHARED | ANON);
    t.equal(charged(), 5, 'a shared object is charged for its size');
    t.equal(yield* map(m, 0, 16384, RW, PRIVATE | ANON), ENOMEM, 'more at once than all memory');
    t.equal(charged(), 5);
    t.equal(vma_at(m, MAP)?.vm_end, MAP + PAGE, 'and what is there stays');
    yield* do_syscall_64(m, NR_munmap, MAP, 32 * PAGE);
    t.equal(charged(), 0);
  });
  t.end();
});

t.test('a new mapping joins the neighbours that are like it', (t) => {
  run(function* (m) {
    yield* map(m, 0, 1, RW, PRIVATE | ANON);
    yield* map(m, 2, 1, RW, PRIVATE | ANON);
    yield* map(m, 1, 1, RW, PRIVATE | ANON);
    t.same([vma_at(m, MAP)?.vm_start, vma_at(m, MAP)?.vm_end], [MAP, MAP + 3 * PAGE]);
    yield* map(m, 3, 1, READ, PRIVATE | ANON);
    t.equal(vma_at(m, MAP + 3 * PAGE)?.vm_start, MAP + 3 * PAGE, 'other rights');
    const fd = yield* do_sys_open(m, '/tmp/file', O_RDWR | O_CREAT, 0o600);
    yield* map(m, 8, 2, READ, SHARED, fd);
    yield* map(m, 10, 2, READ, SHARED, fd, 2 * PAGE);
    yield* map(m, 12, 2, READ, SHARED, fd);
    const at = [vma_at(m, MAP + 8 * PAGE)?.vm_end, vma_at(m, MAP + 12 * PAGE)?.vm_start];
    t.same(at, [MAP + 12 * PAGE, MAP + 12 * PAGE], 'the next part of the file, and not');
    const vma = vma_at(m, MAP + 12 * PAGE) as vm_area_struct;
    t.equal(vma.vm_file?.f_mapping?.i_mmap.length, 2);
    t.equal(vma.vm_file?.f_mapping?.i_mmap_writable, 2, 'both may become writable');
  });
  t.end();
});

t.test('the counters of an address space follow its mappings, and locked ones are filled', (t) => {
  run(function* (m) {
    const mm = mm_of(m);
    const [total, data, exec] = [mm.total_vm, mm.data_vm, mm.exec_vm];
    const moved = (): number[] => [mm.total_vm - total, mm.data_vm - data, mm.exec_vm - exec, mm.locked_vm];
    yield* map(m, 0, 4, RW, PRIVATE | ANON);
    t.same(moved(), [4, 4, 0, 0]);
    yield* map(m, 4, 2, RX, PRIVATE | ANON);
    t.same(moved(), [6, 4, 2, 0]);
    t.notOk(present(mm, MAP + 3 * PAGE));
    yield* map(m, 3, 3, READ, PRIVATE | ANON | LOCKED);
    t.same(moved(), [6, 3, 0, 3]);
    t.same(
      [3, 4, 5, 6].map((n) => present(mm, MAP + n * PAGE)),
      [true, true, true, false],
    );
    t.equal((vma_at(m, MAP + 3 * PAGE)?.vm_flags ?? 0) & VM_LOCKED, VM_LOCKED);
    yield* sys_munmap(m, MAP, 5 * PAGE);
    t.same(moved(), [1, 0, 0, 1]);
  });
  t.end();
});

t.test('a driver that refuses leaves a hole where something was, and one that accepts decides what there is', (t) => {
  run(function* (m) {
    let answer = EIO;
    const prepare: file_operations = {
      mmap_prepare: (_m, desc) => {
        desc.vm_flags |= VM_DONTEXPAND;
        desc.vm_ops = {};
        desc.private_data = 'mine';
        return answer;
      },
    };
    const old: file_operations = {
      *mmap(_m, _f, vma) {
        vma.vm_flags |= VM_DONTEXPAND;
        return EIO;
      },
    };
    vfs_register_file(m, '/dev/prepare', 0o600, prepare);
    vfs_register_file(m, '/dev/old', 0o600, old);
    for (const path of ['/dev/prepare', '/dev/old']) {
      const fd = yield* do_sys_open(m, path, O_RDWR, 0);
      yield* map(m, 0, 4, RW, PRIVATE | ANON);
      yield* user_store32(m, MAP, 7);
      const charged = m.vm_committed_as;
      t.equal(yield* map(m, 1, 2, RW, PRIVATE, fd), EIO);
      t.same(
        [vma_at(m, MAP)?.vm_end, vma_at(m, MAP + PAGE), vma_at(m, MAP + 3 * PAGE)?.vm_end],
        [MAP + PAGE, undefined, MAP + 4 * PAGE],
        path,
      );
      t.equal(m.vm_committed_as, charged - 2);
      t.equal(yield* user_load32(m, MAP), 7);
    }
    answer = 0;
    yield* map(m, 1, 2, RW, SHARED, yield* do_sys_open(m, '/dev/prepare', O_RDWR, 0));
    const vma = vma_at(m, MAP + PAGE);
    t.equal((vma?.vm_flags ?? 0) & VM_DONTEXPAND, VM_DONTEXPAND);
    t.equal(vma?.vm_private_data, 'mine');
    t.notOk(vma?.vm_ops === null);
  });
  t.end();
});

t.test('the heap grows its vma only while that is as brk made it', (t) => {
  run(function* (m) {
    const start = yield* sys_brk(m, 0);
    const { total_vm } = mm_of(m);
    const charged = m.vm_committed_as;
    yield* sys_brk(m, start + 2 * PAGE);
    yield* sys_brk(m, start + 4 * PAGE);
    t.equal(vma_at(m, start)?.vm_end, start + 4 * PAGE);
    yield* sys_mprotect(m, start + 3 * PAGE, PAGE, READ);
    yield* sys_brk(m, start + 6 * PAGE);
    t.equal(vma_at(m, start + 5 * PAGE)?.vm_start, start + 4 * PAGE);
    t.equal(mm_of(m).total_vm, total_vm + 6);
    t.equal(yield* sys_brk(m, start + 16384 * PAGE), start + 6 * PAGE, 'not more than all memory');
    t.equal(m.vm_committed_as, charged + 5, 'a page that nobody ever may write is not charged');
    t.equal(yield* sys_brk(m, start), start);
    t.equal(m.vm_committed_as, charged);
  });
  t.end();
});
