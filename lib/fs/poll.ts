// SPDX-License-Identifier: GPL-2.0-only

import { copy_from_user, copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { EFAULT, EINTR, EINVAL } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { schedule, signal_pending, TASK_INTERRUPTIBLE } from '../kernel/sched/core.ts';
import type { wait_queue_head } from '../kernel/sched/wait.ts';
import { fget } from './file.ts';
import { fput } from './file_table.ts';

export const EPOLLIN = 0x1;
export const EPOLLPRI = 0x2;
export const EPOLLOUT = 0x4;
export const EPOLLERR = 0x8;
const EPOLLHUP = 0x10;
const EPOLLNVAL = 0x20;
const EPOLLRDNORM = 0x40;
const EPOLLWRNORM = 0x100;
/** mask of a file without a poll operation (include/linux/poll.h: DEFAULT_POLLMASK) */
const DEFAULT_POLLMASK = EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM;
const INR_OPEN_CUR = 1024;

/** A descriptor and the events to wait for (include/uapi/asm-generic/poll.h: struct pollfd). */
export interface pollfd {
  fd: number;
  events: number;
  revents: number;
}

/** fs/select.c: do_pollfd() */
function do_pollfd(m: Machine, p: pollfd, waits: wait_queue_head[]): number {
  if (p.fd < 0) return 0;
  const f = fget(m, p.fd);
  if (f === null) return EPOLLNVAL;
  let mask = DEFAULT_POLLMASK;
  if (f.f_op.poll !== undefined) {
    const r = f.f_op.poll(m, f);
    mask = r.mask;
    waits.push(r.wait);
  }
  fput(m, f);
  return mask & (p.events | EPOLLERR | EPOLLHUP);
}

/**
 * Waits until a file of the list is ready, for at most timeout_ns (negative: without limit). Sets each revents and
 * returns the number of those that are not 0, or -EINTR (fs/select.c: do_poll()).
 */
export function* do_poll(m: Machine, list: pollfd[], timeout_ns: number): Gen<number> {
  const end = m.sched.now + timeout_ns;
  for (;;) {
    const waits: wait_queue_head[] = [];
    let count = 0;
    for (const p of list) {
      p.revents = do_pollfd(m, p, waits);
      if (p.revents !== 0) count++;
    }
    if (count > 0) return count;
    if (signal_pending(m.current)) return -EINTR;
    const left = end - m.sched.now;
    if (timeout_ns >= 0 && left <= 0) return 0;
    const t = m.current;
    const cancel = timeout_ns >= 0 ? m.sched.timer(left, () => m.sched.wake_up_process(t)) : null;
    for (const w of waits) w.tasks.push(t);
    yield* schedule(m, TASK_INTERRUPTIBLE, { what: `poll of ${list.map((p) => p.fd).join(',')}` });
    for (const w of waits) {
      const i = w.tasks.indexOf(t);
      if (i >= 0) w.tasks.splice(i, 1);
    }
    cancel?.();
  }
}

/**
 * The poll system call on an array of struct pollfd in user memory; timeout in ms, negative without limit (fs/select.c:
 * do_sys_poll()).
 */
export function* do_sys_poll(m: Machine, ufds: number, nfds: number, timeout_msecs: number): Gen<number> {
  if (nfds > INR_OPEN_CUR) return -EINVAL;
  const bytes = new Uint8Array(nfds * 8);
  if (nfds > 0 && (yield* copy_from_user(m, bytes, ufds, bytes.length)) !== 0) return -EFAULT;
  const v = new DataView(bytes.buffer);
  const list: pollfd[] = [];
  for (let i = 0; i < nfds; i++)
    list.push({ fd: v.getInt32(i * 8, true), events: v.getUint16(i * 8 + 4, true), revents: 0 });
  const ret = yield* do_poll(m, list, timeout_msecs < 0 ? -1 : timeout_msecs * 1e6);
  if (ret < 0) return ret;
  list.forEach((p, i) => v.setUint16(i * 8 + 6, p.revents, true));
  if (nfds > 0 && (yield* copy_to_user(m, ufds, bytes, bytes.length)) !== 0) return -EFAULT;
  return ret;
}
