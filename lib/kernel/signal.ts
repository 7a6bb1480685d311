// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import { EINTR, EINVAL, ESRCH } from '../errno.ts';
import type { Gen } from './gen.ts';
import { SIGCHLD, SIGKILL, signal_pending, TASK_INTERRUPTIBLE, TASK_KILLABLE, type task_struct } from './sched/core.ts';
import { wait_on, wait_queue_head } from './sched/wait.ts';

/** A SIGSEGV or SIGBUS that an access by user code raised. Unwinds user code, never kernel code. NON-KERNEL. */
export class UserSignal extends Error {
  readonly sig: number;
  readonly addr: number;
  constructor(sig: number, addr: number) {
    super(`signal ${sig} at address 0x${addr.toString(16)}`);
    this.name = 'UserSignal';
    this.sig = sig;
    this.addr = addr;
  }
}

/** Ends a task's user code: exit(2) or a fatal signal; `status` is a wait(2) status. NON-KERNEL. */
export class UserExit extends Error {
  readonly status: number;
  /** True: only this thread ends (pthread_exit()); false: the whole process. */
  readonly thread_only: boolean;
  constructor(status: number, thread_only = false) {
    super(`exit, status ${status}`);
    this.name = 'UserExit';
    this.status = status;
    this.thread_only = thread_only;
  }
}

/**
 * Action for a signal: a function of user space, or ignore. Without either the default applies (struct k_sigaction).
 */
export type sighandler = ((sig: number) => Gen<void>) | 'ignore';

/** Returns the bit of a signal in task_struct.pending (include/linux/signal.h: sigmask()). */
export function sigmask(sig: number): number {
  return 1 << (sig - 1);
}

/** Returns true if the process ignores the signal (kernel/signal.c: sig_ignored()). */
function sig_ignored(t: task_struct, sig: number): boolean {
  const h = t.group_leader.handlers.get(sig);
  return h === 'ignore' || (h === undefined && sig === SIGCHLD);
}

/**
 * Makes signal `sig`, 1 to 31, pending on a task and wakes it if the signal may
 * (kernel/signal.c: send_signal_locked()).
 */
export function send_sig(m: Machine, sig: number, t: task_struct): void {
  if (t.exit_state !== 'alive' || (sig !== SIGKILL && sig_ignored(t, sig))) return;
  t.pending |= sigmask(sig);
  if (t.state === TASK_INTERRUPTIBLE || (sig === SIGKILL && t.state === TASK_KILLABLE)) m.sched.wake_up_process(t);
}

/** Sends a signal to a process; SIGKILL goes to all threads (kernel/signal.c: do_send_sig_info()). */
function signal_process(m: Machine, sig: number, t: task_struct): void {
  if (sig === SIGKILL) for (const x of t.group_leader.thread_group) send_sig(m, sig, x);
  else send_sig(m, sig, t);
}

/**
 * kill(2): sends a signal to a process, or to the process group -pid if pid is below -1. Returns 0, -ESRCH or -EINVAL
 * (kernel/signal.c: kill_something_info()).
 */
export function sys_kill(m: Machine, pid: number, sig: number): number {
  if (sig < 0 || sig > 31) return -EINVAL;
  const all = [...m.sched.tasks, ...m.zombies].filter(
    (x) => x === x.group_leader && (pid < -1 ? x.pgid === -pid : x.pid === pid),
  );
  if (all.length === 0) return -ESRCH;
  if (sig !== 0) for (const t of all) signal_process(m, sig, t);
  return 0;
}

/**
 * Handles pending signals before the return to user space: the default action throws UserExit, a handler runs as user
 * code. Returns true if a handler ran (kernel/signal.c: get_signal()). Includes the architecture's handle_signal().
 */
export function* do_signal(m: Machine): Gen<boolean> {
  const t = m.current;
  let handled = false;
  while (t.pending !== 0) {
    if (t.pending & sigmask(SIGKILL)) throw new UserExit(SIGKILL);
    const sig = 32 - Math.clz32(t.pending & -t.pending);
    t.pending &= ~sigmask(sig);
    const h = t.group_leader.handlers.get(sig) as sighandler | undefined;
    if (h === 'ignore') continue;
    if (h === undefined) {
      if (sig === SIGCHLD) continue;
      throw new UserExit(sig);
    }
    handled = true;
    yield* h(sig);
  }
  return handled;
}
/** pause(2): sleeps until a signal is pending (kernel/signal.c: pause()). */
export function* sys_pause(m: Machine): Gen<number> {
  const wq = new wait_queue_head('a signal');
  while (!signal_pending(m.current)) yield* wait_on(m, wq, TASK_INTERRUPTIBLE);
  return -EINTR;
}
