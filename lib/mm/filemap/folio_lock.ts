// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../machine.ts';
import { EINTR } from '../../errno.ts';
import { done, type Gen } from '../../kernel/gen.ts';
import { spin_unlock, type spinlock } from '../../kernel/locking/spinlock.ts';
import { BUG_ON } from '../../kernel/printk.ts';
import {
  fatal_signal_pending,
  preempt_point,
  schedule,
  TASK_KILLABLE,
  type task_struct,
  TASK_UNINTERRUPTIBLE,
  type WaitPoint,
} from '../../kernel/sched/core.ts';
import { softleaf_to_folio } from '../leafops.ts';
import {
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_KILLABLE,
  FAULT_FLAG_RETRY_NOWAIT,
  FAULT_FLAG_TRIED,
  FAULT_FLAG_VMA_LOCK,
  type vm_fault,
  VM_FAULT_RETRY,
} from '../mm_types.ts';
import { mmap_assert_locked, mmap_read_unlock, vma_assert_locked, vma_end_read } from '../mmap_lock.ts';
import { folio_test_locked, PG_locked } from '../page-flags.ts';
import { page_folio } from '../page.ts';

/** times that a waiter loses the lock before it is handed over (mm/filemap.c: sysctl_page_lock_unfairness) */
const SYSCTL_PAGE_LOCK_UNFAIRNESS = 5;

/** A task that waits for a folio lock (include/linux/pagemap.h: struct wait_page_queue). */
interface wait_page_queue {
  readonly task: task_struct;
  /** WQ_FLAG_EXCLUSIVE: wants to take the lock, not only to see it released */
  readonly exclusive: boolean;
  /** WQ_FLAG_CUSTOM: the waker hands the lock over */
  custom: boolean;
  /** WQ_FLAG_WOKEN */
  woken: boolean;
  /** WQ_FLAG_DONE */
  done: boolean;
}

/** The waiters for one folio's lock (mm/filemap.c: folio_waitqueue(), which upstream shares among folios by hash). */
export class folio_waitqueue implements WaitPoint {
  readonly what: string;
  /** the holder, known only while interleavings are explored */
  owner: task_struct | null = null;
  readonly waiters: wait_page_queue[] = [];
  constructor(folio: number) {
    this.what = `folio ${folio} lock`;
  }
}

/** Returns the folio's wait queue, creating it if needed (mm/filemap.c: folio_waitqueue()). */
function folio_waitqueue_of(m: Machine, folio: number): folio_waitqueue {
  let q = m.folio_wait.get(folio);
  if (q === undefined) {
    q = new folio_waitqueue(folio);
    m.folio_wait.set(folio, q);
  }
  return q;
}

/** Locks the folio without waiting, or returns false (include/linux/pagemap.h: folio_trylock()). */
export function folio_trylock(m: Machine, folio: number): boolean {
  const flags = m.page.flags[folio];
  if ((flags & PG_locked) !== 0) return false;
  m.page.flags[folio] = flags | PG_locked;
  if (m.sched.explore) folio_waitqueue_of(m, folio).owner = m.current;
  return true;
}

/** Locks a folio that nothing else can see yet (include/linux/page-flags.h: __PAGEFLAG(Locked)). */
export function __folio_set_locked(m: Machine, folio: number): void {
  m.page.flags[folio] |= PG_locked;
  if (m.sched.explore) folio_waitqueue_of(m, folio).owner = m.current;
}

/** Unlocks a folio that has no waiters (include/linux/page-flags.h: __PAGEFLAG(Locked)). */
export function __folio_clear_locked(m: Machine, folio: number): void {
  m.page.flags[folio] &= ~PG_locked;
  const q = m.folio_wait.get(folio);
  if (q !== undefined) q.owner = null;
}

/** Unlocks the folio and wakes its waiters; BUG if it is not locked (mm/filemap.c: folio_unlock()). */
export function folio_unlock(m: Machine, folio: number): void {
  const flags = m.page.flags[folio];
  BUG_ON((flags & PG_locked) === 0, 'mm/filemap.c: folio_unlock() of a folio that is not locked');
  m.page.flags[folio] = flags & ~PG_locked;
  const q = m.folio_wait.get(folio);
  if (q === undefined) return;
  q.owner = null;
  folio_wake(m, folio, q);
}

/**
 * Wakes waiters in order up to and including the first exclusive one (mm/filemap.c: folio_wake_bit(), mm/filemap.c:
 * wake_page_function()).
 */
function folio_wake(m: Machine, folio: number, q: folio_waitqueue): void {
  while (q.waiters.length > 0) {
    const w = q.waiters[0];
    if (w.exclusive && folio_test_locked(m, folio)) return;
    q.waiters.shift();
    if (w.exclusive && w.custom) {
      m.page.flags[folio] |= PG_locked;
      q.owner = w.task;
      w.done = true;
    }
    w.woken = true;
    m.sched.wake_up_process(w.task);
    if (w.exclusive) return;
  }
  if (q.waiters.length === 0 && q.owner === null) m.folio_wait.delete(folio);
}

/** Waits for PG_locked; `exclusive` takes it (mm/filemap.c: folio_wait_bit_common()). */
function* folio_wait_bit_common(m: Machine, folio: number, state: number, exclusive: boolean): Gen<number> {
  let unfairness = SYSCTL_PAGE_LOCK_UNFAIRNESS;
  for (;;) {
    if (exclusive) {
      if (folio_trylock(m, folio)) return 0;
    } else if (!folio_test_locked(m, folio)) {
      return 0;
    }
    const q = folio_waitqueue_of(m, folio);
    const w: wait_page_queue = {
      task: m.current,
      exclusive,
      custom: exclusive && --unfairness < 0,
      woken: false,
      done: false,
    };
    q.waiters.push(w);
    while (!w.woken) {
      if (state === TASK_KILLABLE && fatal_signal_pending(m.current)) break;
      yield* schedule(m, state, q);
    }
    if (!w.woken) {
      q.waiters.splice(q.waiters.indexOf(w), 1);
      return -EINTR;
    }
    if (!exclusive || w.done) return 0;
  }
}

/** Locks the folio, sleeping while another task holds the lock (include/linux/pagemap.h: folio_lock()). */
export function folio_lock(m: Machine, folio: number): Gen<void> {
  return m.sched.explore || !folio_trylock(m, folio) ? folio_lock_slowpath(m, folio) : done(undefined);
}

/** The part of folio_lock() that may sleep. NON-KERNEL. */
function* folio_lock_slowpath(m: Machine, folio: number): Gen<void> {
  if (m.sched.explore) yield* preempt_point(m, 'folio_lock');
  if (!folio_trylock(m, folio)) yield* folio_wait_bit_common(m, folio, TASK_UNINTERRUPTIBLE, true);
}

/** folio_lock() that returns -EINTR after SIGKILL (include/linux/pagemap.h: folio_lock_killable()). */
export function* folio_lock_killable(m: Machine, folio: number): Gen<number> {
  if (m.sched.explore) yield* preempt_point(m, 'folio_lock');
  if (folio_trylock(m, folio)) return 0;
  return yield* folio_wait_bit_common(m, folio, TASK_KILLABLE, true);
}

/** Locks the page's folio (include/linux/pagemap.h: lock_page()). */
export function lock_page(m: Machine, page: number): Gen<void> {
  return folio_lock(m, page_folio(m, page));
}

/** Locks the page's folio without waiting, or returns false (include/linux/pagemap.h: trylock_page()). */
export function trylock_page(m: Machine, page: number): boolean {
  return folio_trylock(m, page_folio(m, page));
}

/** Unlocks the page's folio (mm/folio-compat.c: unlock_page()). */
export function unlock_page(m: Machine, page: number): void {
  folio_unlock(m, page_folio(m, page));
}

/** Waits until the folio is unlocked (include/linux/pagemap.h: folio_wait_locked()). */
export function* folio_wait_locked(m: Machine, folio: number): Gen<void> {
  if (folio_test_locked(m, folio)) yield* folio_wait_bit_common(m, folio, TASK_UNINTERRUPTIBLE, false);
}

/** folio_wait_locked() that returns -EINTR after SIGKILL (include/linux/pagemap.h: folio_wait_locked_killable()). */
function* folio_wait_locked_killable(m: Machine, folio: number): Gen<number> {
  if (!folio_test_locked(m, folio)) return 0;
  return yield* folio_wait_bit_common(m, folio, TASK_KILLABLE, false);
}

/**
 * Waits until the folio of a migration or device-private entry is unlocked, without taking a reference. The page-table
 * lock `ptl` keeps the folio alive until the wait is queued and is released here (mm/filemap.c:
 * softleaf_entry_wait_on_locked()).
 */
export function* softleaf_entry_wait_on_locked(m: Machine, entry: number, ptl: spinlock): Gen<void> {
  const folio = softleaf_to_folio(m, entry);
  if (!folio_test_locked(m, folio)) {
    spin_unlock(m, ptl);
    return;
  }
  const q = folio_waitqueue_of(m, folio);
  const w: wait_page_queue = { task: m.current, exclusive: false, custom: false, woken: false, done: false };
  q.waiters.push(w);
  spin_unlock(m, ptl);
  while (!w.woken) yield* schedule(m, TASK_UNINTERRUPTIBLE, q);
}

/**
 * Returns true if the fault may drop its lock and has not done so yet (include/linux/mm.h:
 * fault_flag_allow_retry_first()).
 */
export function fault_flag_allow_retry_first(flags: number): boolean {
  return (flags & FAULT_FLAG_ALLOW_RETRY) !== 0 && (flags & FAULT_FLAG_TRIED) === 0;
}

/** Releases the vma lock or the mmap_lock, whichever the fault holds (include/linux/mm.h: release_fault_lock()). */
export function release_fault_lock(m: Machine, vmf: vm_fault): void {
  if (vmf.flags & FAULT_FLAG_VMA_LOCK) vma_end_read(m, vmf.vma);
  else mmap_read_unlock(m, vmf.vma.vm_mm);
}

/** BUG unless the fault holds the lock that its flags name (include/linux/mm.h: assert_fault_locked()). */
export function assert_fault_locked(vmf: vm_fault): void {
  if (vmf.flags & FAULT_FLAG_VMA_LOCK) vma_assert_locked(vmf.vma);
  else mmap_assert_locked(vmf.vma.vm_mm);
}

/**
 * Locks the folio for a fault. Returns 0, or VM_FAULT_RETRY with the fault's lock released unless FAULT_FLAG_RETRY_NOWAIT
 * is set (include/linux/pagemap.h: folio_lock_or_retry(), mm/filemap.c: __folio_lock_or_retry()).
 */
export function* folio_lock_or_retry(m: Machine, folio: number, vmf: vm_fault): Gen<number> {
  if (m.sched.explore) yield* preempt_point(m, 'folio_lock_or_retry');
  if (folio_trylock(m, folio)) return 0;
  const flags = vmf.flags;
  if (fault_flag_allow_retry_first(flags)) {
    if (flags & FAULT_FLAG_RETRY_NOWAIT) return VM_FAULT_RETRY;
    release_fault_lock(m, vmf);
    if (flags & FAULT_FLAG_KILLABLE) yield* folio_wait_locked_killable(m, folio);
    else yield* folio_wait_locked(m, folio);
    return VM_FAULT_RETRY;
  }
  if (flags & FAULT_FLAG_KILLABLE) {
    const ret = yield* folio_wait_bit_common(m, folio, TASK_KILLABLE, true);
    if (ret !== 0) {
      release_fault_lock(m, vmf);
      return VM_FAULT_RETRY;
    }
  } else {
    yield* folio_wait_bit_common(m, folio, TASK_UNINTERRUPTIBLE, true);
  }
  return 0;
}
