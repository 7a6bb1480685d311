// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import { EINTR } from '../errno.ts';
import { done, type Gen } from '../kernel/gen.ts';
import {
  down_read,
  down_read_killable,
  down_read_trylock,
  down_write,
  down_write_killable,
  downgrade_write,
  rwsem_is_locked,
  up_read,
  up_write,
} from '../kernel/locking/rwsem.ts';
import { BUG_ON } from '../kernel/printk.ts';
import { fatal_signal_pending, preempt_point, TASK_KILLABLE, TASK_UNINTERRUPTIBLE } from '../kernel/sched/core.ts';
import { forget, wait_on, wake_up } from '../kernel/sched/wait.ts';
import { type mm_struct, type vm_area_struct, VM_GROWSDOWN } from './mm_types.ts';
import { find_vma } from './mmap/find_vma.ts';
import { expand_downwards } from './vma/mmap_region.ts';
import { vma_lookup } from './vma/vma.ts';

// A vma is write-locked while its vm_lock_seq equals the mm's mm_lock_seq. Every release of the mmap write lock
// increments mm_lock_seq and so releases all vma write locks at once. Upstream's vm_refcnt is split into `detached`,
// `vm_readers` and `vm_write_pending` here.

/** include/linux/mmap_lock.h: mmap_write_lock() */
export function* mmap_write_lock(m: Machine, mm: mm_struct): Gen<void> {
  yield* down_write(m, mm.mmap_lock);
}

/** mmap_write_lock() that returns -EINTR after SIGKILL (include/linux/mmap_lock.h: mmap_write_lock_killable()). */
export function* mmap_write_lock_killable(m: Machine, mm: mm_struct): Gen<number> {
  return yield* down_write_killable(m, mm.mmap_lock);
}

/** Releases every vma write lock of the mm (include/linux/mmap_lock.h: vma_end_write_all()). */
function vma_end_write_all(mm: mm_struct): void {
  mm.mm_lock_seq++;
}

/** Releases the write lock and all vma write locks (include/linux/mmap_lock.h: mmap_write_unlock()). */
export function mmap_write_unlock(m: Machine, mm: mm_struct): void {
  vma_end_write_all(mm);
  up_write(m, mm.mmap_lock);
}

/** Downgrades to the read lock and releases all vma write locks (include/linux/mmap_lock.h: mmap_write_downgrade()). */
export function mmap_write_downgrade(m: Machine, mm: mm_struct): void {
  vma_end_write_all(mm);
  downgrade_write(m, mm.mmap_lock);
}

/** include/linux/mmap_lock.h: mmap_read_lock() */
export function* mmap_read_lock(m: Machine, mm: mm_struct): Gen<void> {
  yield* down_read(m, mm.mmap_lock);
}

/** mmap_read_lock() that returns -EINTR after SIGKILL (include/linux/mmap_lock.h: mmap_read_lock_killable()). */
export function* mmap_read_lock_killable(m: Machine, mm: mm_struct): Gen<number> {
  return yield* down_read_killable(m, mm.mmap_lock);
}

/** Takes the read lock without waiting, or returns false (include/linux/mmap_lock.h: mmap_read_trylock()). */
export function mmap_read_trylock(m: Machine, mm: mm_struct): boolean {
  return down_read_trylock(m, mm.mmap_lock);
}

/** include/linux/mmap_lock.h: mmap_read_unlock() */
export function mmap_read_unlock(m: Machine, mm: mm_struct): void {
  up_read(m, mm.mmap_lock);
}

/** BUG unless the lock is held (include/linux/mmap_lock.h: mmap_assert_locked()). */
export function mmap_assert_locked(mm: mm_struct): void {
  BUG_ON(!rwsem_is_locked(mm.mmap_lock), 'include/linux/mmap_lock.h: mmap_assert_locked()');
}

/** BUG unless the lock is held for writing (include/linux/mmap_lock.h: mmap_assert_write_locked()). */
export function mmap_assert_write_locked(mm: mm_struct): void {
  BUG_ON(mm.mmap_lock.writer === null, 'include/linux/mmap_lock.h: mmap_assert_write_locked()');
}

/**
 * Returns true if the vma is write-locked. The caller holds the mmap write lock (include/linux/mmap_lock.h:
 * __is_vma_write_locked()).
 */
export function __is_vma_write_locked(vma: vm_area_struct): boolean {
  return vma.vm_lock_seq === vma.vm_mm.mm_lock_seq;
}

/**
 * Waits for the vma's readers to leave and write-locks it. Returns 0 or -EINTR (mm/mmap_lock.c: __vma_start_write()).
 */
function* __vma_start_write(m: Machine, vma: vm_area_struct, state: number): Gen<number> {
  const mm = vma.vm_mm;
  if (m.sched.explore) yield* preempt_point(m, 'vma_start_write');
  vma.vm_write_pending = true;
  while (vma.vm_readers > 0) {
    if (state === TASK_KILLABLE && fatal_signal_pending(m.current)) {
      vma.vm_write_pending = false;
      return -EINTR;
    }
    yield* wait_on(m, mm.vma_writer_wait, state);
  }
  vma.vm_lock_seq = mm.mm_lock_seq;
  vma.vm_write_pending = false;
  return 0;
}

/**
 * Excludes readers of the vma lock until the mmap write lock, which the caller holds, is released
 * (include/linux/mmap_lock.h: vma_start_write()).
 */
export function* vma_start_write(m: Machine, vma: vm_area_struct): Gen<void> {
  if (__is_vma_write_locked(vma)) return;
  yield* __vma_start_write(m, vma, TASK_UNINTERRUPTIBLE);
}

/** vma_start_write() that returns -EINTR after SIGKILL (include/linux/mmap_lock.h: vma_start_write_killable()). */
export function* vma_start_write_killable(m: Machine, vma: vm_area_struct): Gen<number> {
  if (__is_vma_write_locked(vma)) return 0;
  return yield* __vma_start_write(m, vma, TASK_KILLABLE);
}

/** BUG unless the vma is locked for reading or writing (include/linux/mmap_lock.h: vma_assert_locked()). */
export function vma_assert_locked(vma: vm_area_struct): void {
  if (vma.vm_readers === 0) vma_assert_write_locked(vma);
}

/** BUG unless the vma is write-locked (include/linux/mmap_lock.h: vma_assert_write_locked()). */
export function vma_assert_write_locked(vma: vm_area_struct): void {
  BUG_ON(!__is_vma_write_locked(vma), 'include/linux/mmap_lock.h: vma_assert_write_locked()');
}

/**
 * Adds a reader. The list of held locks names what writers wait for, so that a deadlock report finds the reader.
 * NON-KERNEL (upstream: a reference in vm_refcnt).
 */
function count_reader(m: Machine, vma: vm_area_struct): void {
  vma.vm_readers++;
  m.current.held_locks.push(vma.vm_mm.vma_writer_wait);
}

/** Read-locks the vma, or returns false if it is write-locked or detached (mm/mmap_lock.c: vma_start_read()). */
export function vma_start_read(m: Machine, vma: vm_area_struct): boolean {
  if (vma.detached || vma.vm_write_pending || vma.vm_lock_seq === vma.vm_mm.mm_lock_seq) return false;
  count_reader(m, vma);
  return true;
}

/**
 * Read-locks the vma under the mmap read lock, which excludes writers (include/linux/mmap_lock.h:
 * vma_start_read_locked()).
 */
export function vma_start_read_locked(m: Machine, vma: vm_area_struct): boolean {
  if (vma.detached) return false;
  count_reader(m, vma);
  return true;
}

/** Releases a vma read lock (include/linux/mmap_lock.h: vma_end_read()). */
export function vma_end_read(m: Machine, vma: vm_area_struct): void {
  BUG_ON(vma.vm_readers <= 0, 'include/linux/mmap_lock.h: vma_end_read()');
  vma.vm_readers--;
  forget(m.current, vma.vm_mm.vma_writer_wait);
  if (vma.vm_readers === 0 && vma.vm_mm.vma_writer_wait.tasks.length > 0) wake_up(m, vma.vm_mm.vma_writer_wait);
}

/**
 * Returns the vma at the address, read-locked, or null if there is none or it is write-locked (mm/mmap_lock.c:
 * lock_vma_under_rcu()).
 */
export function* lock_vma_under_rcu(m: Machine, mm: mm_struct, address: number): Gen<vm_area_struct | null> {
  if (m.sched.explore) yield* preempt_point(m, 'lock_vma_under_rcu');
  const vma = vma_lookup(mm, address);
  if (vma === null || !vma_start_read(m, vma)) return null;
  return vma;
}

/** Locks the first vma that ends above the address under the mmap_lock (mm/mmap_lock.c: lock_next_vma_under_mmap_lock()). */
function* lock_next_vma_under_mmap_lock(m: Machine, mm: mm_struct, from_addr: number): Gen<vm_area_struct | null> {
  if ((yield* mmap_read_lock_killable(m, mm)) !== 0) return null;
  const vma = find_vma(mm, from_addr);
  if (vma !== null) BUG_ON(!vma_start_read_locked(m, vma), 'mm/mmap_lock.c: lock_next_vma_under_mmap_lock()');
  mmap_read_unlock(m, mm);
  return vma;
}

/**
 * Returns the first vma that ends above the address, read-locked, or null if there is none or a fatal signal is pending
 * (mm/mmap_lock.c: lock_next_vma()). Leaves out the checks that the vma is still the right one: it is found and locked in
 * one step here.
 */
export function* lock_next_vma(m: Machine, mm: mm_struct, from_addr: number): Gen<vm_area_struct | null> {
  if (m.sched.explore) yield* preempt_point(m, 'lock_next_vma');
  const vma = find_vma(mm, from_addr);
  if (vma === null || vma_start_read(m, vma)) return vma;
  return yield* lock_next_vma_under_mmap_lock(m, mm, from_addr);
}

/** include/linux/mmap_lock.h: vma_mark_attached() */
export function vma_mark_attached(vma: vm_area_struct): void {
  vma_assert_write_locked(vma);
  vma.detached = false;
}

/**
 * Marks the vma, which must be write-locked, as removed from its mm (include/linux/mmap_lock.h: vma_mark_detached()).
 */
export function vma_mark_detached(vma: vm_area_struct): void {
  vma_assert_write_locked(vma);
  BUG_ON(vma.detached, 'include/linux/mmap_lock.h: vma_mark_detached()');
  vma.detached = true;
}

/**
 * Returns the vma that holds the address with the mmap_lock held for reading, or null with it released (mm/mmap_lock.c:
 * lock_mm_and_find_vma()). A stack grows down to the address.
 */
export function lock_mm_and_find_vma(m: Machine, mm: mm_struct, addr: number): Gen<vm_area_struct | null> {
  if (m.sched.explore || !mmap_read_trylock(m, mm)) return lock_mm_and_find_vma_slowpath(m, mm, addr);
  const vma = find_vma(mm, addr);
  if (vma !== null && vma.vm_start <= addr) return done(vma);
  mmap_read_unlock(m, mm);
  return lock_mm_and_find_vma_slowpath(m, mm, addr);
}

/** The part of lock_mm_and_find_vma() that may sleep. NON-KERNEL. */
function* lock_mm_and_find_vma_slowpath(m: Machine, mm: mm_struct, addr: number): Gen<vm_area_struct | null> {
  if (m.sched.explore || !mmap_read_trylock(m, mm)) {
    if ((yield* mmap_read_lock_killable(m, mm)) !== 0) return null;
  }
  const vma = find_vma(mm, addr);
  if (vma !== null && vma.vm_start <= addr) return vma;
  mmap_read_unlock(m, mm);
  if (vma === null || (vma.vm_flags & VM_GROWSDOWN) === 0) return null;
  if ((yield* mmap_write_lock_killable(m, mm)) !== 0) return null;
  const again = find_vma(mm, addr);
  if (again !== null && (again.vm_start <= addr || (yield* expand_downwards(m, again, addr)) === 0)) {
    mmap_write_downgrade(m, mm);
    return again;
  }
  mmap_write_unlock(m, mm);
  return null;
}
