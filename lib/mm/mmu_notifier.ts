// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import { EAGAIN, EINVAL, EOVERFLOW } from '../errno.ts';
import { mmdrop, mmgrab } from '../kernel/fork/mm_init.ts';
import type { Gen } from '../kernel/gen.ts';
import type { rw_semaphore } from '../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock, spinlock } from '../kernel/locking/spinlock.ts';
import { BUG_ON, Oops, printk, WARN_ON, WARN_ON_ONCE } from '../kernel/printk.ts';
import { preempt_point } from '../kernel/sched/core.ts';
import { wait_event, wait_queue_head, wake_up } from '../kernel/sched/wait.ts';
import type { mm_struct } from './mm_types.ts';
import { mmap_write_lock, mmap_write_unlock } from './mmap_lock.ts';
import { mm_drop_all_locks, mm_take_all_locks } from './vma/all_locks.ts';

// Why a range is invalidated (include/linux/mmu_notifier.h: enum mmu_notifier_event).
export const MMU_NOTIFY_UNMAP = 0;
export const MMU_NOTIFY_CLEAR = 1;
export const MMU_NOTIFY_PROTECTION_VMA = 2;
export const MMU_NOTIFY_PROTECTION_PAGE = 3;
export const MMU_NOTIFY_SOFT_DIRTY = 4;
const MMU_NOTIFY_RELEASE = 5;
export const MMU_NOTIFY_MIGRATE = 6;
export const MMU_NOTIFY_EXCLUSIVE = 7;

/** mmu_notifier_range.flags: the callbacks may sleep */
const MMU_NOTIFIER_RANGE_BLOCKABLE = 1 << 0;

/**
 * An invalidation, filled in by mmu_notifier_range_init() (include/linux/mmu_notifier.h: struct mmu_notifier_range).
 */
export class mmu_notifier_range {
  mm!: mm_struct;
  start = 0;
  /** exclusive */
  end = 0;
  /** MMU_NOTIFIER_RANGE_* */
  flags = 0;
  /** MMU_NOTIFY_* */
  event = MMU_NOTIFY_UNMAP;
  /** driver that causes a MIGRATE or EXCLUSIVE event and whose own callback ignores it */
  owner: unknown = null;
}

/** Callback of an interval subscription (include/linux/mmu_notifier.h: struct mmu_interval_notifier_ops). */
export interface mmu_interval_notifier_ops {
  /** returns false only if the range is not blockable and the callback would have to sleep */
  invalidate: (
    m: Machine,
    interval_sub: mmu_interval_notifier,
    range: mmu_notifier_range,
    cur_seq: number,
  ) => Gen<boolean>;
}

/**
 * A subscription to the invalidations of one address range (include/linux/mmu_notifier.h: struct
 * mmu_interval_notifier).
 */
export class mmu_interval_notifier {
  mm!: mm_struct;
  ops!: mmu_interval_notifier_ops;
  start = 0;
  /** inclusive */
  last = 0;
  invalidate_seq = 0;
  /** it is in the interval tree (upstream: !RB_EMPTY_NODE) */
  in_tree = false;
  /** the structure that embeds it (upstream: container_of()) */
  container: unknown = null;
  /** its memory was given back. NON-KERNEL */
  freed = false;
}

/** Callbacks of a subscription to a whole address space (include/linux/mmu_notifier.h: struct mmu_notifier_ops). */
export interface mmu_notifier_ops {
  release?: (m: Machine, subscription: mmu_notifier, mm: mm_struct) => Gen<void>;
  clear_flush_young?: (m: Machine, subscription: mmu_notifier, mm: mm_struct, start: number, end: number) => boolean;
  clear_young?: (m: Machine, subscription: mmu_notifier, mm: mm_struct, start: number, end: number) => boolean;
  test_young?: (m: Machine, subscription: mmu_notifier, mm: mm_struct, address: number) => boolean;
  invalidate_range_start?: (m: Machine, subscription: mmu_notifier, range: mmu_notifier_range) => Gen<number>;
  invalidate_range_end?: (m: Machine, subscription: mmu_notifier, range: mmu_notifier_range) => Gen<void>;
  arch_invalidate_secondary_tlbs?: (
    m: Machine,
    subscription: mmu_notifier,
    mm: mm_struct,
    start: number,
    end: number,
  ) => void;
}

/** A subscription to a whole address space (include/linux/mmu_notifier.h: struct mmu_notifier). */
export class mmu_notifier {
  readonly ops: mmu_notifier_ops;
  mm: mm_struct | null = null;
  users = 0;
  /** it is on the mm's list (upstream: !hlist_unhashed) */
  hashed = false;
  constructor(ops: mmu_notifier_ops) {
    this.ops = ops;
  }
}

/** All subscriptions of an mm (mm/mmu_notifier.c: struct mmu_notifier_subscriptions). */
export class mmu_notifier_subscriptions {
  /** newest first */
  readonly list: mmu_notifier[] = [];
  has_itree = false;
  readonly lock = new spinlock('notifier_subscriptions->lock');
  /** odd while an invalidation of a subscribed interval is running */
  invalidate_seq = 2;
  active_invalidate_ranges = 0;
  /** invalidations so far, for measurements. NON-KERNEL. */
  nr_invalidations = 0;
  /** sorted by start, equal starts in order of insertion: the order in which upstream's tree yields them */
  readonly itree: mmu_interval_notifier[] = [];
  readonly wq = new wait_queue_head('mmu_notifier invalidation');
  /** insertions and removals deferred to the end of the invalidation, newest first */
  readonly deferred_list: mmu_interval_notifier[] = [];
}

/** include/linux/interval_tree.h: interval_tree_insert() */
function interval_tree_insert(sub: mmu_interval_notifier, itree: mmu_interval_notifier[]): void {
  let i = itree.length;
  while (i > 0 && itree[i - 1].start > sub.start) i--;
  itree.splice(i, 0, sub);
  sub.in_tree = true;
}

/** include/linux/interval_tree.h: interval_tree_remove() */
function interval_tree_remove(sub: mmu_interval_notifier, itree: mmu_interval_notifier[]): void {
  itree.splice(itree.indexOf(sub), 1);
  sub.in_tree = false;
}

/**
 * Returns the first subscription from index `from` on that intersects [start, last], or null
 * (include/linux/interval_tree.h: interval_tree_iter_first(), include/linux/interval_tree.h:
 * interval_tree_iter_next()).
 */
function interval_tree_iter(
  itree: mmu_interval_notifier[],
  from: number,
  start: number,
  last: number,
): mmu_interval_notifier | null {
  for (let i = from; i < itree.length; i++) {
    const sub = itree[i];
    if (sub.start > last) return null;
    if (sub.last >= start) return sub;
  }
  return null;
}

/** mm/mmu_notifier.c: mn_itree_is_invalidating() */
function mn_itree_is_invalidating(subscriptions: mmu_notifier_subscriptions): boolean {
  return subscriptions.invalidate_seq % 2 === 1;
}

/**
 * Starts an invalidation. Returns the first subscription in the range, and in seq.seq the sequence number that
 * callbacks pass to mmu_interval_set_seq() (mm/mmu_notifier.c: mn_itree_inv_start_range()).
 */
function* mn_itree_inv_start_range(
  m: Machine,
  subscriptions: mmu_notifier_subscriptions,
  range: mmu_notifier_range,
  seq: { seq: number },
): Gen<mmu_interval_notifier | null> {
  yield* spin_lock(m, subscriptions.lock);
  subscriptions.active_invalidate_ranges++;
  const res = interval_tree_iter(subscriptions.itree, 0, range.start, range.end - 1);
  if (res !== null && !mn_itree_is_invalidating(subscriptions)) subscriptions.invalidate_seq++;
  seq.seq = subscriptions.invalidate_seq;
  spin_unlock(m, subscriptions.lock);
  return res;
}

/** mm/mmu_notifier.c: mn_itree_inv_next() */
function mn_itree_inv_next(
  subscriptions: mmu_notifier_subscriptions,
  interval_sub: mmu_interval_notifier,
  range: mmu_notifier_range,
): mmu_interval_notifier | null {
  return interval_tree_iter(
    subscriptions.itree,
    subscriptions.itree.indexOf(interval_sub) + 1,
    range.start,
    range.end - 1,
  );
}

/**
 * Ends an invalidation; the last one applies the deferred insertions and removals (mm/mmu_notifier.c:
 * mn_itree_inv_end()).
 */
function* mn_itree_inv_end(m: Machine, subscriptions: mmu_notifier_subscriptions): Gen<void> {
  yield* spin_lock(m, subscriptions.lock);
  if (--subscriptions.active_invalidate_ranges > 0 || !mn_itree_is_invalidating(subscriptions)) {
    spin_unlock(m, subscriptions.lock);
    return;
  }
  subscriptions.invalidate_seq++;
  if (m.sched.explore && subscriptions.deferred_list.length > 0) yield* preempt_point(m, 'mn_itree_inv_end');
  for (const sub of subscriptions.deferred_list.splice(0)) {
    if (sub.freed) throw new Oops('BUG: KASAN: use-after-free of a mmu_interval_notifier in mn_itree_inv_end');
    if (sub.in_tree) interval_tree_remove(sub, subscriptions.itree);
    else interval_tree_insert(sub, subscriptions.itree);
  }
  spin_unlock(m, subscriptions.lock);
  wake_up(m, subscriptions.wq);
}

/**
 * Starts a collision-retry read section: waits for a running invalidation of the subscription and returns the sequence
 * number for mmu_interval_read_retry() (mm/mmu_notifier.c: mmu_interval_read_begin()).
 */
export function* mmu_interval_read_begin(m: Machine, interval_sub: mmu_interval_notifier): Gen<number> {
  const subscriptions = interval_sub.mm.notifier_subscriptions as mmu_notifier_subscriptions;
  yield* spin_lock(m, subscriptions.lock);
  const seq = interval_sub.invalidate_seq;
  const is_invalidating = seq === subscriptions.invalidate_seq;
  spin_unlock(m, subscriptions.lock);
  if (is_invalidating) yield* wait_event(m, subscriptions.wq, () => subscriptions.invalidate_seq !== seq);
  return seq;
}

/**
 * Every invalidate callback must call this, under the lock that protects mmu_interval_read_retry()
 * (include/linux/mmu_notifier.h: mmu_interval_set_seq()).
 */
export function mmu_interval_set_seq(interval_sub: mmu_interval_notifier, cur_seq: number): void {
  interval_sub.invalidate_seq = cur_seq;
}

/**
 * Returns true if an invalidation ran since mmu_interval_read_begin() and what was read is stale
 * (include/linux/mmu_notifier.h: mmu_interval_read_retry()).
 */
export function mmu_interval_read_retry(interval_sub: mmu_interval_notifier, seq: number): boolean {
  return interval_sub.invalidate_seq !== seq;
}

/**
 * mmu_interval_read_retry() without the lock: true is reliable, false is not (include/linux/mmu_notifier.h:
 * mmu_interval_check_retry()).
 */
export function mmu_interval_check_retry(interval_sub: mmu_interval_notifier, seq: number): boolean {
  return interval_sub.invalidate_seq !== seq;
}

/** Returns true if callbacks may sleep (include/linux/mmu_notifier.h: mmu_notifier_range_blockable()). */
export function mmu_notifier_range_blockable(range: mmu_notifier_range): boolean {
  return (range.flags & MMU_NOTIFIER_RANGE_BLOCKABLE) !== 0;
}

/** mm/mmu_notifier.c: mn_itree_release() */
function* mn_itree_release(m: Machine, subscriptions: mmu_notifier_subscriptions, mm: mm_struct): Gen<void> {
  const range = new mmu_notifier_range();
  mmu_notifier_range_init(range, MMU_NOTIFY_RELEASE, MMU_NOTIFIER_RANGE_BLOCKABLE, mm, 0, 2 ** 64);
  const cur = { seq: 0 };
  let sub = yield* mn_itree_inv_start_range(m, subscriptions, range, cur);
  for (; sub !== null; sub = mn_itree_inv_next(subscriptions, sub, range)) {
    WARN_ON(m, !(yield* sub.ops.invalidate(m, sub, range, cur.seq)), 'mn_itree_release');
  }
  yield* mn_itree_inv_end(m, subscriptions);
}

/** mm/mmu_notifier.c: mn_hlist_release() */
function* mn_hlist_release(m: Machine, subscriptions: mmu_notifier_subscriptions, mm: mm_struct): Gen<void> {
  for (const subscription of [...subscriptions.list]) {
    if (subscription.ops.release !== undefined) yield* subscription.ops.release(m, subscription, mm);
  }
  yield* spin_lock(m, subscriptions.lock);
  for (const subscription of subscriptions.list.splice(0)) subscription.hashed = false;
  spin_unlock(m, subscriptions.lock);
}

/**
 * Calls every subscription's release before exit_mmap() frees the pages (include/linux/mmu_notifier.h:
 * mmu_notifier_release()).
 */
export function* mmu_notifier_release(m: Machine, mm: mm_struct): Gen<void> {
  const subscriptions = mm.notifier_subscriptions;
  if (subscriptions === null) return;
  if (subscriptions.has_itree) yield* mn_itree_release(m, subscriptions, mm);
  if (subscriptions.list.length > 0) yield* mn_hlist_release(m, subscriptions, mm);
}

/** mm/mmu_notifier.c: mn_itree_invalidate() */
function* mn_itree_invalidate(
  m: Machine,
  subscriptions: mmu_notifier_subscriptions,
  range: mmu_notifier_range,
): Gen<number> {
  const cur = { seq: 0 };
  let err = 0;
  let sub = yield* mn_itree_inv_start_range(m, subscriptions, range, cur);
  for (; sub !== null; sub = mn_itree_inv_next(subscriptions, sub, range)) {
    if (yield* sub.ops.invalidate(m, sub, range, cur.seq)) continue;
    if (WARN_ON(m, mmu_notifier_range_blockable(range), 'mn_itree_invalidate')) continue;
    err = -EAGAIN;
    break;
  }
  if (err !== 0) yield* mn_itree_inv_end(m, subscriptions);
  return err;
}

/** mm/mmu_notifier.c: mn_hlist_invalidate_range_start() */
function* mn_hlist_invalidate_range_start(
  m: Machine,
  subscriptions: mmu_notifier_subscriptions,
  range: mmu_notifier_range,
): Gen<number> {
  let ret = 0;
  const blockable = mmu_notifier_range_blockable(range);
  for (const s of [...subscriptions.list]) {
    if (s.ops.invalidate_range_start === undefined) continue;
    const err = yield* s.ops.invalidate_range_start(m, s, range);
    if (err === 0) continue;
    printk(
      m,
      `${s.ops.invalidate_range_start.name} callback failed with ${err} in ${blockable ? '' : 'non-'}blockable context.`,
    );
    WARN_ON(m, blockable || err !== -EAGAIN, 'mn_hlist_invalidate_range_start');
    WARN_ON(m, s.ops.invalidate_range_end !== undefined, 'mn_hlist_invalidate_range_start');
    ret = err;
  }
  if (ret !== 0) {
    for (const s of [...subscriptions.list])
      if (s.ops.invalidate_range_end !== undefined) yield* s.ops.invalidate_range_end(m, s, range);
  }
  return ret;
}

/** mm/mmu_notifier.c: __mmu_notifier_invalidate_range_start() */
function* __mmu_notifier_invalidate_range_start(m: Machine, range: mmu_notifier_range): Gen<number> {
  const subscriptions = range.mm.notifier_subscriptions as mmu_notifier_subscriptions;
  subscriptions.nr_invalidations++;
  if (subscriptions.has_itree) {
    const ret = yield* mn_itree_invalidate(m, subscriptions, range);
    if (ret !== 0) return ret;
  }
  if (subscriptions.list.length > 0) return yield* mn_hlist_invalidate_range_start(m, subscriptions, range);
  return 0;
}

/**
 * Makes every subscriber drop its mappings of the range before the page-table entries change
 * (include/linux/mmu_notifier.h: mmu_notifier_invalidate_range_start()).
 */
export function* mmu_notifier_invalidate_range_start(m: Machine, range: mmu_notifier_range): Gen<void> {
  if (range.mm.notifier_subscriptions === null) return;
  range.flags |= MMU_NOTIFIER_RANGE_BLOCKABLE;
  yield* __mmu_notifier_invalidate_range_start(m, range);
}

/**
 * mmu_notifier_invalidate_range_start() that returns -EAGAIN if a subscriber would have to sleep; the entries must not
 * change then (include/linux/mmu_notifier.h: mmu_notifier_invalidate_range_start_nonblock()).
 */
export function* mmu_notifier_invalidate_range_start_nonblock(m: Machine, range: mmu_notifier_range): Gen<number> {
  if (range.mm.notifier_subscriptions === null) return 0;
  range.flags &= ~MMU_NOTIFIER_RANGE_BLOCKABLE;
  return yield* __mmu_notifier_invalidate_range_start(m, range);
}

/**
 * Ends mmu_notifier_invalidate_range_start(), after the entries changed (include/linux/mmu_notifier.h:
 * mmu_notifier_invalidate_range_end()).
 */
export function* mmu_notifier_invalidate_range_end(m: Machine, range: mmu_notifier_range): Gen<void> {
  const subscriptions = range.mm.notifier_subscriptions;
  if (subscriptions === null) return;
  if (subscriptions.has_itree) yield* mn_itree_inv_end(m, subscriptions);
  for (const s of [...subscriptions.list])
    if (s.ops.invalidate_range_end !== undefined) yield* s.ops.invalidate_range_end(m, s, range);
}

/**
 * Subscribes to the mm, with the mmap_lock held for writing; a null subscription only prepares the mm for interval
 * subscriptions. Returns 0, -EINVAL, or -EINTR after a signal (mm/mmu_notifier.c: __mmu_notifier_register()).
 */
function* __mmu_notifier_register(m: Machine, subscription: mmu_notifier | null, mm: mm_struct): Gen<number> {
  BUG_ON(mm.mm_users <= 0, 'mm/mmu_notifier.c: __mmu_notifier_register()');
  const ops = subscription?.ops;
  const both =
    ops?.arch_invalidate_secondary_tlbs !== undefined &&
    (ops.invalidate_range_start !== undefined || ops.invalidate_range_end !== undefined);
  if (WARN_ON_ONCE(m, both, '__mmu_notifier_register')) return -EINVAL;
  const fresh = mm.notifier_subscriptions === null ? new mmu_notifier_subscriptions() : null;
  const sems: rw_semaphore[] = [];
  const ret = yield* mm_take_all_locks(m, mm, sems);
  if (ret !== 0) return ret;
  if (fresh !== null) mm.notifier_subscriptions = fresh;
  const subscriptions = mm.notifier_subscriptions as mmu_notifier_subscriptions;
  if (subscription !== null) {
    mmgrab(mm);
    subscription.mm = mm;
    subscription.users = 1;
    yield* spin_lock(m, subscriptions.lock);
    subscriptions.list.unshift(subscription);
    subscription.hashed = true;
    spin_unlock(m, subscriptions.lock);
  } else {
    subscriptions.has_itree = true;
  }
  mm_drop_all_locks(m, sems);
  BUG_ON(mm.mm_users <= 0, 'mm/mmu_notifier.c: __mmu_notifier_register()');
  return 0;
}

/** __mmu_notifier_register() that takes the mmap_lock itself (mm/mmu_notifier.c: mmu_notifier_register()). */
export function* mmu_notifier_register(m: Machine, subscription: mmu_notifier | null, mm: mm_struct): Gen<number> {
  yield* mmap_write_lock(m, mm);
  const ret = yield* __mmu_notifier_register(m, subscription, mm);
  mmap_write_unlock(m, mm);
  return ret;
}

/**
 * Ends a subscription to a whole mm; calls its release first unless exit_mmap() did (mm/mmu_notifier.c:
 * mmu_notifier_unregister()).
 */
export function* mmu_notifier_unregister(m: Machine, subscription: mmu_notifier, mm: mm_struct): Gen<void> {
  BUG_ON(mm.mm_count <= 0, 'mm/mmu_notifier.c: mmu_notifier_unregister()');
  if (subscription.hashed) {
    if (subscription.ops.release !== undefined) yield* subscription.ops.release(m, subscription, mm);
    const subscriptions = mm.notifier_subscriptions as mmu_notifier_subscriptions;
    yield* spin_lock(m, subscriptions.lock);
    if (subscription.hashed) subscriptions.list.splice(subscriptions.list.indexOf(subscription), 1);
    subscription.hashed = false;
    spin_unlock(m, subscriptions.lock);
  }
  mmdrop(m, mm);
}

/** mm/mmu_notifier.c: __mmu_interval_notifier_insert() */
function* __mmu_interval_notifier_insert(
  m: Machine,
  interval_sub: mmu_interval_notifier,
  mm: mm_struct,
  subscriptions: mmu_notifier_subscriptions,
  start: number,
  length: number,
  ops: mmu_interval_notifier_ops,
): Gen<number> {
  interval_sub.mm = mm;
  interval_sub.ops = ops;
  interval_sub.in_tree = false;
  interval_sub.start = start;
  if (length === 0 || start + length > 2 ** 64) return -EOVERFLOW;
  interval_sub.last = start + (length - 1);
  if (WARN_ON(m, mm.mm_users <= 0, '__mmu_interval_notifier_insert')) return -EINVAL;
  mmgrab(mm);
  yield* spin_lock(m, subscriptions.lock);
  if (subscriptions.active_invalidate_ranges > 0) {
    if (mn_itree_is_invalidating(subscriptions)) {
      subscriptions.deferred_list.unshift(interval_sub);
    } else {
      subscriptions.invalidate_seq++;
      interval_tree_insert(interval_sub, subscriptions.itree);
    }
    interval_sub.invalidate_seq = subscriptions.invalidate_seq;
  } else {
    WARN_ON(m, mn_itree_is_invalidating(subscriptions), '__mmu_interval_notifier_insert');
    interval_sub.invalidate_seq = subscriptions.invalidate_seq - 1;
    interval_tree_insert(interval_sub, subscriptions.itree);
  }
  spin_unlock(m, subscriptions.lock);
  return 0;
}

/**
 * Subscribes to invalidations of `length` bytes from `start`. Returns 0, -EOVERFLOW for an empty or wrapping range, or
 * -EINTR after a signal during the mm's first subscription (mm/mmu_notifier.c: mmu_interval_notifier_insert()).
 */
export function* mmu_interval_notifier_insert(
  m: Machine,
  interval_sub: mmu_interval_notifier,
  mm: mm_struct,
  start: number,
  length: number,
  ops: mmu_interval_notifier_ops,
): Gen<number> {
  if (mm.notifier_subscriptions === null || !mm.notifier_subscriptions.has_itree) {
    const ret = yield* mmu_notifier_register(m, null, mm);
    if (ret !== 0) return ret;
  }
  const subscriptions = mm.notifier_subscriptions as mmu_notifier_subscriptions;
  return yield* __mmu_interval_notifier_insert(m, interval_sub, mm, subscriptions, start, length, ops);
}

/**
 * Returns true if the invalidation that had the sequence number is over. The lock keeps who asks until those that ended
 * their subscriptions meanwhile are off the tree too (mm/mmu_notifier.c: mmu_interval_seq_released()).
 */
function* mmu_interval_seq_released(m: Machine, subscriptions: mmu_notifier_subscriptions, seq: number): Gen<boolean> {
  yield* spin_lock(m, subscriptions.lock);
  const ret = subscriptions.invalidate_seq !== seq;
  spin_unlock(m, subscriptions.lock);
  return ret;
}

/** Waits for that. NON-KERNEL: upstream's wait_event() asks with the lock. */
function* wait_for_release(m: Machine, subscriptions: mmu_notifier_subscriptions, seq: number): Gen<void> {
  const moved_on = () => subscriptions.invalidate_seq !== seq;
  if (m.patch.notifier_remove_peeks) {
    if (m.sched.explore) yield* preempt_point(m, 'mmu_interval_notifier_remove');
    yield* wait_event(m, subscriptions.wq, moved_on);
    return;
  }
  while (!(yield* mmu_interval_seq_released(m, subscriptions, seq))) yield* wait_event(m, subscriptions.wq, moved_on);
}

/**
 * Ends an interval subscription. No callback of it runs after this returns (mm/mmu_notifier.c:
 * mmu_interval_notifier_remove()).
 */
export function* mmu_interval_notifier_remove(m: Machine, interval_sub: mmu_interval_notifier): Gen<void> {
  const mm = interval_sub.mm;
  const subscriptions = mm.notifier_subscriptions as mmu_notifier_subscriptions;
  let seq = 0;
  yield* spin_lock(m, subscriptions.lock);
  if (mn_itree_is_invalidating(subscriptions)) {
    if (!interval_sub.in_tree) {
      const i = subscriptions.deferred_list.indexOf(interval_sub);
      if (i >= 0) subscriptions.deferred_list.splice(i, 1);
    } else {
      subscriptions.deferred_list.unshift(interval_sub);
      seq = subscriptions.invalidate_seq;
    }
  } else if (!WARN_ON(m, !interval_sub.in_tree, 'mmu_interval_notifier_remove')) {
    interval_tree_remove(interval_sub, subscriptions.itree);
  }
  spin_unlock(m, subscriptions.lock);
  if (seq !== 0) yield* wait_for_release(m, subscriptions, seq);
  mmdrop(m, mm);
}

/** include/linux/mmu_notifier.h: mmu_notifier_subscriptions_init() */
export function mmu_notifier_subscriptions_init(mm: mm_struct): void {
  mm.notifier_subscriptions = null;
}

/**
 * Called when the mm is freed; no whole-mm subscription may be left (include/linux/mmu_notifier.h:
 * mmu_notifier_subscriptions_destroy()).
 */
export function mmu_notifier_subscriptions_destroy(mm: mm_struct): void {
  const subscriptions = mm.notifier_subscriptions;
  if (subscriptions === null) return;
  BUG_ON(subscriptions.list.length > 0, 'mm/mmu_notifier.c: __mmu_notifier_subscriptions_destroy()');
  mm.notifier_subscriptions = null;
}

/**
 * Fills in a range with its event (MMU_NOTIFY_*) and [start, end) (include/linux/mmu_notifier.h:
 * mmu_notifier_range_init()).
 */
export function mmu_notifier_range_init(
  range: mmu_notifier_range,
  event: number,
  flags: number,
  mm: mm_struct,
  start: number,
  end: number,
): void {
  range.event = event;
  range.mm = mm;
  range.start = start;
  range.end = end;
  range.flags = flags;
}

/**
 * mmu_notifier_range_init() that also sets the owner (include/linux/mmu_notifier.h: mmu_notifier_range_init_owner()).
 */
export function mmu_notifier_range_init_owner(
  range: mmu_notifier_range,
  event: number,
  flags: number,
  mm: mm_struct,
  start: number,
  end: number,
  owner: unknown,
): void {
  mmu_notifier_range_init(range, event, flags, mm, start, end);
  range.owner = owner;
}
