// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import { EINVAL, ESRCH } from '../errno.ts';
import type { Gen } from './gen.ts';
import { SIGCHLD, SIGKILL, TASK_INTERRUPTIBLE, TASK_KILLABLE, type task_struct } from './sched/core.ts';

/**
 * A signal that a user-space access raised at once: SIGSEGV or SIGBUS. It unwinds user code, never kernel code.
 * NON-KERNEL.
 */
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

/** The end of a task's user code: exit(2), or a signal that kills it. `status` is wait(2)'s. NON-KERNEL. */
export class UserExit extends Error {
  readonly status: number;
  /** true: only this thread ends (pthread_exit); false: the whole process */
  readonly thread_only: boolean;
  constructor(status: number, thread_only = false) {
    super(`exit, status ${status}`);
    this.name = 'UserExit';
    this.status = status;
    this.thread_only = thread_only;
  }
}

/**
 * What a process does on a signal: a user-space function, or to ignore it; without either the default holds (struct
 * k_sigaction).
 */
export type sighandler = ((sig: number) => Gen<void>) | 'ignore';

/** The bit of a signal in task_struct.pending (include/linux/signal.h: sigmask()). */
export function sigmask(sig: number): number {
  return 1 << (sig - 1);
}

/** True if the signal would do nothing to the process (kernel/signal.c: sig_ignored()). */
function sig_ignored(t: task_struct, sig: number): boolean {
  const h = t.group_leader.handlers.get(sig);
  return h === 'ignore' || (h === undefined && sig === SIGCHLD);
}

/**
 * Makes a signal, 1 to 31, pending on a task and wakes it where the signal may (kernel/signal.c: send_signal_locked()).
 */
export function send_sig(m: Machine, sig: number, t: task_struct): void {
  if (t.exit_state !== 'alive' || (sig !== SIGKILL && sig_ignored(t, sig))) return;
  t.pending |= sigmask(sig);
  if (t.state === TASK_INTERRUPTIBLE || (sig === SIGKILL && t.state === TASK_KILLABLE)) m.sched.wake_up_process(t);
}

/** Sends a signal to one process; SIGKILL goes to each of its threads (kernel/signal.c: do_send_sig_info()). */
function signal_process(m: Machine, sig: number, t: task_struct): void {
  if (sig === SIGKILL) for (const x of t.group_leader.thread_group) send_sig(m, sig, x);
  else send_sig(m, sig, t);
}

/**
 * Sends a signal to a process, or to the group -pid when pid is below -1; 0, -ESRCH or -EINVAL (kernel/signal.c:
 * kill_something_info()).
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
 * What a task does about pending signals before it returns to user space: the default action ends it by UserExit, a
 * handler runs as user code. Answers true if a handler ran (kernel/signal.c: get_signal(); arch/x86: handle_signal()).
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
