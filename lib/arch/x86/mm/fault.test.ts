// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import type { Machine } from '../../../machine.ts';
import { do_sys_open, ksys_ftruncate } from '../../../fs/open.ts';
import { kernel_clone } from '../../../kernel/fork/fork.ts';
import type { Gen } from '../../../kernel/gen.ts';
import { Oops } from '../../../kernel/printk.ts';
import { sched_yield } from '../../../kernel/sched/syscalls.ts';
import { run_clean, small_machine } from '../../../kernel/testing.ts';
import { folio_unlock } from '../../../mm/filemap/folio_lock.ts';
import { folio_put } from '../../../mm/folio.ts';
import type { mm_struct, vm_area_struct } from '../../../mm/mm_types.ts';
import {
  lock_mm_and_find_vma,
  mmap_read_lock,
  mmap_read_unlock,
  mmap_write_lock,
  mmap_write_unlock,
  vma_start_write,
} from '../../../mm/mmap_lock.ts';
import { vma_lookup } from '../../../mm/vma/vma.ts';
import { make_device_exclusive } from '../../../mm/rmap/device_exclusive.ts';
import { sys_mmap } from '../kernel/sys_x86_64.ts';
import { do_user_addr_fault } from './fault.ts';
import { user_load32, user_store32 } from './uaccess.ts';

const PAGE = 4096;
const MAP = 0x200000000;
const HOLE = 0x240000000;
const [NONE, R, W, RW] = [0, 1, 2, 3];
const [SHARED, PRIVATE, FIXED, ANON] = [1, 2, 0x10, 0x20];
const [SIGBUS, SIGKILL, SIGSEGV, EFAULT] = [7, 9, 11, -14];
const O_TMPFILE_RDWR = 0o20200002;
const THREAD = 0x10500;
const TASK_SIZE = 0x7ffffffff000;

function run(body: (m: Machine, mm: mm_struct) => Gen<void>): void {
  run_clean(t, small_machine(), function* (m, mm) {
    yield* body(m, mm);
    t.equal(mm.mmap_lock.readers.length, 0, 'no fault keeps the lock');
  });
}

t.test('a bad access is SIGSEGV for user code and -EFAULT for the kernel', async (t) => {
  run(function* (m) {
    yield* sys_mmap(m, MAP, PAGE, NONE, PRIVATE | ANON | FIXED, -1, 0);
    yield* sys_mmap(m, MAP + PAGE, PAGE, R, PRIVATE | ANON | FIXED, -1, 0);
    yield* sys_mmap(m, MAP + 2 * PAGE, PAGE, W, PRIVATE | ANON | FIXED, -1, 0);
    for (const [addr, write] of [
      [MAP, false],
      [MAP + PAGE, true],
      [HOLE, false],
      [TASK_SIZE, false],
      [-8, true],
    ] as const) {
      t.equal(yield* do_user_addr_fault(m, addr, write, true), SIGSEGV, `user ${addr}`);
      t.equal(yield* do_user_addr_fault(m, addr, write, false), EFAULT, `kernel ${addr}`);
    }
    t.equal(yield* do_user_addr_fault(m, MAP + PAGE, false, true), 0);
    t.equal(yield* do_user_addr_fault(m, MAP + 2 * PAGE, false, true), 0, 'what can be written can be read');
  });
});

t.test('beyond the end of a file is SIGBUS', async (t) => {
  run(function* (m) {
    const fd = yield* do_sys_open(m, '/tmp', O_TMPFILE_RDWR, 0o600);
    yield* ksys_ftruncate(m, fd, PAGE + 1);
    yield* sys_mmap(m, MAP, 4 * PAGE, RW, SHARED | FIXED, fd, 0);
    t.equal(yield* do_user_addr_fault(m, MAP + PAGE + 4000, true, true), 0);
    t.equal(yield* do_user_addr_fault(m, MAP + 2 * PAGE, true, true), SIGBUS);
    t.equal(yield* do_user_addr_fault(m, MAP + 2 * PAGE, false, false), EFAULT);
  });
});

t.test('with page faults disabled the kernel gets -EFAULT at once, and user code cannot run', async (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    m.current.pagefault_disabled = 1;
    t.equal(yield* do_user_addr_fault(m, MAP, false, false), EFAULT);
    const fault: Gen<number> = do_user_addr_fault(m, MAP, false, true);
    t.throws(() => fault.next(), Oops);
    m.current.pagefault_disabled = 0;
    m.current.mm = null;
    t.equal(yield* do_user_addr_fault(m, MAP, false, false), EFAULT, 'nor is there an mm');
    m.current.mm = mm;
    t.equal(yield* do_user_addr_fault(m, MAP, false, false), 0);
  });
});

t.test('a killed task is not told of a bad address, since it dies on its way out', async (t) => {
  run(function* (m, mm) {
    m.current.pending = 1 << (SIGKILL - 1);
    t.equal(yield* do_user_addr_fault(m, HOLE, false, true), 0);
    t.equal(yield* do_user_addr_fault(m, HOLE, false, false), EFAULT);
    m.current.pending = 0;
    t.equal(yield* lock_mm_and_find_vma(m, mm, HOLE), null);
    t.equal(mm.mmap_lock.readers.length, 0);
    yield* sys_mmap(m, MAP, 2 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    const vma = yield* lock_mm_and_find_vma(m, mm, MAP + 2 * PAGE - 1);
    t.equal(vma?.vm_start, MAP);
    t.equal(mm.mmap_lock.readers.length, 1);
    mmap_read_unlock(m, mm);
  });
});

t.test('a fault that must wait for a page lets the mmap lock go, and is then tried again', async (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* user_store32(m, MAP, 77);
    yield* mmap_read_lock(m, mm);
    const page = yield* make_device_exclusive(m, mm, MAP, null);
    mmap_read_unlock(m, mm);
    let seen = 0;
    yield* kernel_clone(m, THREAD, function* () {
      seen = yield* user_load32(m, MAP);
    });
    for (let i = 0; i < 9; i++) yield* sched_yield(m);
    t.equal(seen, 0);
    t.equal(mm.mmap_lock.readers.length, 0);
    folio_unlock(m, page);
    while (seen === 0) yield* sched_yield(m);
    t.equal(seen, 77);
    folio_put(m, page);
  });
});

t.test('user code faults while another task holds the mmap lock, until its vma is write-locked', async (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, 2 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* user_store32(m, MAP, 1);
    const vma = vma_lookup(mm, MAP) as vm_area_struct;
    const done: string[] = [];
    /** Lets a new thread run until it ended or waits. */
    const thread = function* (name: string, user: boolean): Gen<void> {
      yield* kernel_clone(m, THREAD, function* () {
        t.equal(yield* do_user_addr_fault(m, MAP + PAGE, true, user), 0);
        done.push(name);
      });
      for (let i = 0; i < 5; i++) yield* sched_yield(m);
    };
    yield* mmap_write_lock(m, mm);
    yield* thread('user', true);
    t.same(done, ['user'], 'only the vma is locked');
    yield* thread('kernel', false);
    t.same(done, ['user'], 'an access of the kernel needs the mmap lock');
    yield* vma_start_write(m, vma);
    yield* thread('late user', true);
    t.same(done, ['user'], 'the vma is write-locked');
    mmap_write_unlock(m, mm);
    for (let i = 0; i < 5; i++) yield* sched_yield(m);
    t.same(done.sort(), ['kernel', 'late user', 'user']);
    t.equal(vma.vm_readers, 0);
  });
});

t.test('the first anonymous fault of a vma needs the mmap lock too, for its anon_vma', async (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    let done = false;
    yield* mmap_write_lock(m, mm);
    yield* kernel_clone(m, THREAD, function* () {
      yield* user_store32(m, MAP, 3);
      done = true;
    });
    for (let i = 0; i < 5; i++) yield* sched_yield(m);
    t.notOk(done);
    t.equal(vma_lookup(mm, MAP)?.vm_readers, 0, 'the vma is released before the mmap lock is waited for');
    mmap_write_unlock(m, mm);
    for (let i = 0; i < 5; i++) yield* sched_yield(m);
    t.ok(done);
  });
});
