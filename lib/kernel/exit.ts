// SPDX-License-Identifier: GPL-2.0-only

import { exit_thread } from '../arch/x86/kernel/process.ts';
import { copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { ECHILD, EFAULT, EINVAL, ERESTARTSYS, ESRCH } from '../errno.ts';
import { exit_files } from '../fs/file.ts';
import { Unmodelled } from '../unmodelled.ts';
import { exit_mm_release } from './fork/mm_release.ts';
import { mmput } from './fork/mm_init.ts';
import type { Gen } from './gen.ts';
import { down_read, up_read } from './locking/rwsem.ts';
import { wait_pidfd } from './pid.ts';
import { SIGCHLD, SIGKILL, signal_pending, TASK_INTERRUPTIBLE, type task_struct } from './sched/core.ts';
import { wait_on, wait_queue_head, wake_up } from './sched/wait.ts';
import { k_sigaction, SA_NOCLDWAIT, SIG_IGN } from './signal_types.ts';
import { INT_MIN, send_sig } from './signal.ts';
import { task_work_run } from './task_work.ts';

const CLD_EXITED = 1;
const CLD_KILLED = 2;

/** Drops the task's address space (kernel/exit.c: exit_mm()). */
function* exit_mm(m: Machine): Gen<void> {
  const t = m.current;
  const mm = t.mm;
  if (mm === null) return;
  yield* exit_mm_release(m, t, mm);
  yield* down_read(m, mm.mmap_lock);
  t.mm = null;
  up_read(m, mm.mmap_lock);
  yield* mmput(m, mm);
}

/** Returns the wait queue on which a parent waits for its children. NON-KERNEL: signal_struct's wait_chldexit. */
function wait_chldexit(m: Machine, t: task_struct): wait_queue_head {
  let wq = m.wait_chldexit.get(t.tgid);
  if (wq === undefined) {
    wq = new wait_queue_head(`children of ${t.tgid}`);
    m.wait_chldexit.set(t.tgid, wq);
  }
  return wq;
}

/** Returns true if no thread of the group is alive (include/linux/sched/signal.h: thread_group_empty()). */
function group_dead(t: task_struct): boolean {
  return t.group_leader.thread_group.every((x) => x.exit_state !== 'alive');
}

/** Returns true if the parent never waits for its children. NON-KERNEL: the test in do_notify_parent(). */
function children_are_ignored(parent: task_struct): boolean {
  const h = parent.group_leader.handlers.get(SIGCHLD);
  return h === 'ignore' || (h instanceof k_sigaction && (h.handler === SIG_IGN || (h.flags & SA_NOCLDWAIT) !== 0));
}

/**
 * Notifies the parent, reparents the children to no one (there is no init) and wakes pthread_join(). A process without
 * a parent is released at once (kernel/exit.c: exit_notify()).
 */
function exit_notify(m: Machine): void {
  const t = m.current;
  const leader = t.group_leader;
  t.exit_state = 'zombie';
  m.zombies.push(t);
  if (t !== leader) release_task(m, t);
  wake_up(m, wait_chldexit(m, t));
  if (!group_dead(t)) return;
  wake_up(m, wait_pidfd(m, leader));
  for (const child of leader.children.splice(0)) {
    child.real_parent = null;
    if (child.exit_state === 'zombie' && group_dead(child)) release_task(m, child);
  }
  const parent = leader.real_parent;
  if (parent === null) {
    release_task(m, leader);
    return;
  }
  const status = wait_status(leader);
  const info = {
    si_code: (status & 0x7f) === 0 ? CLD_EXITED : CLD_KILLED,
    si_pid: leader.pid,
    si_status: (status & 0x7f) === 0 ? status >> 8 : status & 0x7f,
  };
  if (leader.exit_signal !== 0) send_sig(m, leader.exit_signal, parent, info);
  if (leader.exit_signal === SIGCHLD && children_are_ignored(parent)) release_task(m, leader);
  wake_up(m, wait_chldexit(m, parent));
}

/** Releases a dead task (kernel/exit.c: release_task()). */
function release_task(m: Machine, t: task_struct): void {
  t.exit_state = 'dead';
  const i = m.zombies.indexOf(t);
  if (i >= 0) m.zombies.splice(i, 1);
  const parent = t.real_parent;
  if (parent !== null && parent.children.includes(t)) parent.children.splice(parent.children.indexOf(t), 1);
  if (t !== t.group_leader) return;
  m.wait_chldexit.delete(t.tgid);
  m.wait_pidfd.delete(t.tgid);
}

/**
 * Ends the current task: drops its address space, then its files; `code` is a wait(2) status
 * (kernel/exit.c: do_exit()).
 */
export function* do_exit(m: Machine, code: number): Gen<void> {
  const t = m.current;
  t.exit_code = code;
  t.exiting = true;
  yield* exit_mm(m);
  exit_files(m, t);
  yield* task_work_run(m);
  if (t.thread !== null) exit_thread(t.thread);
  t.thread = null;
  exit_notify(m);
}

/**
 * Ends all threads of the process. The first caller's status becomes that of the process
 * (kernel/exit.c: do_group_exit()).
 */
export function* do_group_exit(m: Machine, code: number): Gen<void> {
  const leader = m.current.group_leader;
  if (leader.group_exit_code === null) {
    leader.group_exit_code = code;
    for (const t of leader.thread_group) if (t !== m.current && t.exit_state === 'alive') send_sig(m, SIGKILL, t);
  }
  yield* do_exit(m, leader.group_exit_code);
}

/** Ends a task that oopsed with SIGKILL; its locks stay held (kernel/exit.c: make_task_dead()). */
export function* make_task_dead(m: Machine, t: task_struct): Gen<void> {
  if (t.exiting) {
    t.exit_state = 'zombie';
    return;
  }
  yield* do_group_exit(m, SIGKILL);
}

/** Returns the wait(2) status of a dead process. NON-KERNEL (kernel/exit.c: wait_task_zombie()). */
export function wait_status(t: task_struct): number {
  return t.group_leader.group_exit_code ?? t.exit_code;
}

const WNOHANG = 1;
const WUNTRACED = 2;
const WCONTINUED = 8;
const __WNOTHREAD = 0x20000000;
const __WALL = 0x40000000;
const __WCLONE = 0x80000000;
/** What wait4(2) may be given; children do not stop here, and all are seen by every thread. */
const WAIT_OPTIONS = WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WALL | __WCLONE;

/**
 * Waits for a child, any one for -1, one of one's own process group for 0, one of the group -pid below -1. Returns its pid and status, 0 with WNOHANG, or a negative errno
 * (kernel/exit.c: kernel_wait4()).
 */
export function* kernel_wait4(m: Machine, pid: number, options: number): Gen<{ pid: number; status: number } | number> {
  if (pid === INT_MIN) return -ESRCH;
  const leader = m.current.group_leader;
  const wq = wait_chldexit(m, leader);
  for (;;) {
    const group = pid === 0 ? leader.pgid : -pid;
    const mine = leader.children.filter((c) => pid === -1 || (pid > 0 ? c.pid === pid : c.pgid === group));
    if (mine.length === 0) return -ECHILD;
    const dead = mine.find((c) => c.exit_state === 'zombie' && group_dead(c));
    if (dead !== undefined) {
      const status = wait_status(dead);
      release_task(m, dead);
      return { pid: dead.pid, status };
    }
    if (options & WNOHANG) return 0;
    if (signal_pending(m.current)) return -ERESTARTSYS;
    yield* wait_on(m, wq, TASK_INTERRUPTIBLE);
  }
}
/** wait4(2) (kernel/exit.c: wait4()). Leaves out struct rusage: nothing is accounted. */
export function* sys_wait4(m: Machine, pid: number, stat_addr: number, options: number, ru = 0): Gen<number> {
  if (options & ~WAIT_OPTIONS) return -EINVAL;
  if (ru !== 0) throw new Unmodelled('kernel/exit.c: wait4() with struct rusage');
  const r = yield* kernel_wait4(m, pid, options);
  if (typeof r === 'number') return r;
  if (stat_addr !== 0) {
    const word = new Uint8Array(new Int32Array([r.status]).buffer);
    if ((yield* copy_to_user(m, stat_addr, word, 4)) !== 0) return -EFAULT;
  }
  return r.pid;
}
