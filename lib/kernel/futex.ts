// SPDX-License-Identifier: GPL-2.0-only

import { access_ok, copy_from_user, translate } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { EAGAIN, EFAULT, EINVAL, ENOSYS, ERESTARTSYS, ETIMEDOUT } from '../errno.ts';
import { type mm_struct, VM_MAYSHARE } from '../mm/mm_types.ts';
import { find_vma } from '../mm/mmap/find_vma.ts';
import { PAGE_SIZE } from '../mm/physmem.ts';
import { Unmodelled } from '../unmodelled.ts';
import type { Gen } from './gen.ts';
import { schedule, signal_pending, TASK_INTERRUPTIBLE, type task_struct } from './sched/core.ts';

const FUTEX_WAIT = 0;
const FUTEX_WAKE = 1;
const FUTEX_REQUEUE = 3;
const FUTEX_CMP_REQUEUE = 4;
const FUTEX_WAIT_BITSET = 9;
const FUTEX_WAKE_BITSET = 10;
const FUTEX_PRIVATE_FLAG = 128;
const FUTEX_CLOCK_REALTIME = 256;
const FUTEX_CMD_MASK = ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
const FUTEX_BITSET_MATCH_ANY = 0xffffffff;
const COMMANDS = ['wait', 'wake', 'fd', 'requeue', 'cmp_requeue', 'wake_op', 'lock_pi', 'unlock_pi', 'trylock_pi'];
const ROBUST_LIST_HEAD_BYTES = 24;

/** A waiter (kernel/futex/futex.h: struct futex_q). */
interface futex_q {
  key: string;
  readonly task: task_struct;
  readonly bitset: number;
  woken: boolean;
}

/** Waiters in order. NON-KERNEL: one queue instead of a hash table (kernel/futex/core.c: futex_queues). */
export class futex_state {
  readonly queue: futex_q[] = [];
}

/**
 * Returns what names the futex: its address space and address, or for shared memory its inode and offset. Returns
 * -EFAULT or -EINVAL for a bad address (kernel/futex/core.c: get_futex_key()).
 */
function* get_futex_key(m: Machine, uaddr: number, shared: boolean): Gen<string | number> {
  if (uaddr % 4 !== 0) return -EINVAL;
  if (!access_ok(uaddr, 4)) return -EFAULT;
  const mm = m.current.mm as mm_struct;
  const own = `mm ${mm.mm_id} ${uaddr}`;
  if (!shared) return own;
  if ((yield* translate(m, uaddr, false, false)) < 0) return -EFAULT;
  const vma = find_vma(mm, uaddr);
  if (vma === null || vma.vm_file === null || (vma.vm_flags & VM_MAYSHARE) === 0) return own;
  const offset = vma.vm_pgoff * PAGE_SIZE + (uaddr - vma.vm_start);
  return `inode ${vma.vm_file.f_inode.i_ino} ${offset}`;
}

/** Sleeps while the futex has the value. Returns 0 or -errno; ns is null without timeout (kernel/futex/waitwake.c: futex_wait()). */
function* futex_wait(
  m: Machine,
  uaddr: number,
  shared: boolean,
  val: number,
  ns: number | null,
  bitset: number,
): Gen<number> {
  if (bitset === 0) return -EINVAL;
  const key = yield* get_futex_key(m, uaddr, shared);
  if (typeof key === 'number') return key;
  const word = new Uint8Array(4);
  if ((yield* copy_from_user(m, word, uaddr, 4)) !== 0) return -EFAULT;
  if (new DataView(word.buffer).getUint32(0, true) !== val >>> 0) return -EAGAIN;
  const t = m.current;
  const q: futex_q = { key, task: t, bitset, woken: false };
  const { queue } = m.futex;
  queue.push(q);
  let timed_out = false;
  const cancel =
    ns === null
      ? null
      : m.sched.timer(ns, () => {
          timed_out = true;
          m.sched.wake_up_process(t);
        });
  while (!q.woken && !timed_out && !signal_pending(t))
    yield* schedule(m, TASK_INTERRUPTIBLE, { what: `futex 0x${uaddr.toString(16)}` });
  if (cancel !== null) cancel();
  if (q.woken) return 0;
  queue.splice(queue.indexOf(q), 1);
  return timed_out ? -ETIMEDOUT : -ERESTARTSYS;
}

/** Wakes up to nr waiters. Returns their number or -errno (kernel/futex/waitwake.c: futex_wake()). */
export function* futex_wake(
  m: Machine,
  uaddr: number,
  shared: boolean,
  nr: number,
  bitset = FUTEX_BITSET_MATCH_ANY,
): Gen<number> {
  if (bitset === 0) return -EINVAL;
  const key = yield* get_futex_key(m, uaddr, shared);
  if (typeof key === 'number') return key;
  return wake_queued(m, key, nr, bitset);
}

/** Wakes up to nr waiters of a key. NON-KERNEL: the common part of futex_wake() and futex_requeue(). */
function wake_queued(m: Machine, key: string, nr: number, bitset: number): number {
  const { queue } = m.futex;
  let woken = 0;
  for (const q of queue.filter((x) => x.key === key && (x.bitset & bitset) !== 0)) {
    if (woken >= nr) break;
    queue.splice(queue.indexOf(q), 1);
    q.woken = true;
    m.sched.wake_up_process(q.task);
    woken++;
  }
  return woken;
}

/**
 * Wakes up to nr_wake waiters and moves up to nr_requeue others to a second futex. Returns the number of both or
 * -errno; `cmpval` is null without comparison (kernel/futex/requeue.c: futex_requeue()).
 */
function* futex_requeue(
  m: Machine,
  uaddr1: number,
  uaddr2: number,
  shared: boolean,
  nr_wake: number,
  nr_requeue: number,
  cmpval: number | null,
): Gen<number> {
  if (nr_wake < 0 || nr_requeue < 0) return -EINVAL;
  const key1 = yield* get_futex_key(m, uaddr1, shared);
  if (typeof key1 === 'number') return key1;
  const key2 = yield* get_futex_key(m, uaddr2, shared);
  if (typeof key2 === 'number') return key2;
  if (cmpval !== null) {
    const word = new Uint8Array(4);
    if ((yield* copy_from_user(m, word, uaddr1, 4)) !== 0) return -EFAULT;
    if (new DataView(word.buffer).getUint32(0, true) !== cmpval >>> 0) return -EAGAIN;
  }
  const woken = wake_queued(m, key1, nr_wake, FUTEX_BITSET_MATCH_ANY);
  const moved = m.futex.queue.filter((q) => q.key === key1).slice(0, nr_requeue);
  for (const q of moved) q.key = key2;
  return woken + moved.length;
}

/** Reads a struct timespec. Returns ns, -EFAULT or -EINVAL (kernel/futex/syscalls.c: futex_init_timeout()). */
function* read_timespec(m: Machine, at: number): Gen<number> {
  const ts = new Uint8Array(16);
  if ((yield* copy_from_user(m, ts, at, 16)) !== 0) return -EFAULT;
  const v = new DataView(ts.buffer);
  const sec = Number(v.getBigInt64(0, true));
  const nsec = Number(v.getBigInt64(8, true));
  return sec < 0 || nsec < 0 || nsec > 999999999 ? -EINVAL : sec * 1e9 + nsec;
}

/** futex(2) (kernel/futex/syscalls.c: do_futex()). Leaves out priority inheritance and FUTEX_WAKE_OP. */
export function* sys_futex(
  m: Machine,
  uaddr: number,
  op: number,
  val: number,
  utime: number,
  uaddr2: number,
  val3: number,
): Gen<number> {
  const cmd = op & FUTEX_CMD_MASK;
  const shared = (op & FUTEX_PRIVATE_FLAG) === 0;
  const waits = cmd === FUTEX_WAIT || cmd === FUTEX_WAIT_BITSET;
  let ns: number | null = null;
  if (waits && utime !== 0) {
    ns = yield* read_timespec(m, utime);
    if (ns < 0) return ns;
    // FUTEX_WAIT takes a duration, FUTEX_WAIT_BITSET a point in time
    if (cmd === FUTEX_WAIT_BITSET) ns -= (op & FUTEX_CLOCK_REALTIME) !== 0 ? m.wall_clock() : m.sched.now;
  }
  switch (cmd) {
    case FUTEX_WAIT:
      return yield* futex_wait(m, uaddr, shared, val, ns, FUTEX_BITSET_MATCH_ANY);
    case FUTEX_WAIT_BITSET:
      return yield* futex_wait(m, uaddr, shared, val, ns, val3);
    case FUTEX_WAKE:
      return yield* futex_wake(m, uaddr, shared, val);
    case FUTEX_WAKE_BITSET:
      return yield* futex_wake(m, uaddr, shared, val, val3);
    case FUTEX_REQUEUE:
      return yield* futex_requeue(m, uaddr, uaddr2, shared, val, utime | 0, null);
    case FUTEX_CMP_REQUEUE:
      return yield* futex_requeue(m, uaddr, uaddr2, shared, val, utime | 0, val3);
    default:
      if (cmd === 2 || cmd > 13) return -ENOSYS;
      throw new Unmodelled(`kernel/futex/syscalls.c: do_futex() with command ${COMMANDS[cmd] ?? cmd}`);
  }
}

/** set_robust_list(2) (kernel/futex/syscalls.c: set_robust_list()). */
export function sys_set_robust_list(m: Machine, head: number, len: number): number {
  if (len !== ROBUST_LIST_HEAD_BYTES) return -EINVAL;
  m.current.robust_list = head;
  return 0;
}

/** Releases the robust futexes of a task that ends (kernel/futex/core.c: exit_robust_list()). Models an empty list. */
export function* exit_robust_list(m: Machine, t: task_struct): Gen<void> {
  const head = t.robust_list;
  t.robust_list = 0;
  if (head === 0) return;
  const bytes = new Uint8Array(ROBUST_LIST_HEAD_BYTES);
  if ((yield* copy_from_user(m, bytes, head, bytes.length)) !== 0) return;
  const v = new DataView(bytes.buffer);
  const next = v.getUint32(0, true) + v.getUint32(4, true) * 2 ** 32;
  if (next !== head || v.getBigUint64(16, true) !== 0n)
    throw new Unmodelled('kernel/futex/core.c: handle_futex_death() of a task that holds robust futexes');
}
