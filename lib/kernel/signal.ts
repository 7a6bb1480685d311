// SPDX-License-Identifier: GPL-2.0-only

import { copy_from_user, copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { EFAULT, EINVAL, ENOMEM, EPERM, ERESTARTNOHAND, ESRCH } from '../errno.ts';
import { Unmodelled } from '../unmodelled.ts';
import type { Gen } from './gen.ts';
import { find_task_by_vpid } from './pid.ts';
import {
  SIGBUS,
  SIGCHLD,
  SIGFPE,
  SIGILL,
  SIGKILL,
  signal_pending,
  SIGSEGV,
  SIGTRAP,
  SS_DISABLE,
  TASK_INTERRUPTIBLE,
  TASK_KILLABLE,
  type task_struct,
} from './sched/core.ts';
import { wait_on, wait_queue_head } from './sched/wait.ts';
import {
  k_sigaction,
  type kernel_siginfo,
  SA_NODEFER,
  SA_RESETHAND,
  SI_KERNEL,
  SI_TKILL,
  SI_USER,
  SIG_DFL,
  SIG_IGN,
  type sigset,
} from './signal_types.ts';

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
 * Action for a signal: a function of a generator program, ignore, or what a compiled program gave to rt_sigaction(2).
 * Without any the default applies (struct k_sigaction).
 */
export type sighandler = ((sig: number) => Gen<void>) | 'ignore' | k_sigaction;

/** Returns the bit of a signal in task_struct.pending (include/linux/signal.h: sigmask()). */
export function sigmask(sig: number): number {
  return 1 << (sig - 1);
}

/** Signals that an instruction raises are handled before others (kernel/signal.c: SYNCHRONOUS_MASK). */
const SYNCHRONOUS_MASK = sigmask(SIGSEGV) | sigmask(SIGBUS) | sigmask(SIGILL) | sigmask(SIGTRAP) | sigmask(SIGFPE);
const SIGCONT = 18;
const SIGSTOP = 19;
const SIGTSTP = 20;
const SIGTTIN = 21;
const SIGTTOU = 22;
const SIGURG = 23;
const SIGWINCH = 28;
const _NSIG = 64;
/** Signals whose default is to do nothing (include/linux/signal.h: SIG_KERNEL_IGNORE_MASK). */
const SIG_KERNEL_IGNORE_MASK = sigmask(SIGCONT) | sigmask(SIGCHLD) | sigmask(SIGWINCH) | sigmask(SIGURG);
/** Signals whose default is to stop the process (include/linux/signal.h: SIG_KERNEL_STOP_MASK). */
const SIG_KERNEL_STOP_MASK = sigmask(SIGSTOP) | sigmask(SIGTSTP) | sigmask(SIGTTIN) | sigmask(SIGTTOU);
const UNBLOCKABLE = sigmask(SIGKILL) | sigmask(SIGSTOP);

/** Returns the process's action for a signal, 'default' or 'ignore' by their names. NON-KERNEL. */
function action_of(t: task_struct, sig: number): sighandler | 'default' {
  const h = (t.group_leader.handlers.get(sig) as sighandler | undefined) ?? 'default';
  if (!(h instanceof k_sigaction)) return h;
  return h.handler === SIG_DFL ? 'default' : h.handler === SIG_IGN ? 'ignore' : h;
}

/** Returns true if the process does nothing on the signal (kernel/signal.c: sig_handler_ignored()). */
export function sig_handler_ignored(t: task_struct, sig: number): boolean {
  const h = action_of(t, sig);
  return h === 'ignore' || (h === 'default' && (sigmask(sig) & SIG_KERNEL_IGNORE_MASK) !== 0);
}

/** Returns true if the process does nothing on the signal and does not block it (kernel/signal.c: sig_ignored()). */
function sig_ignored(t: task_struct, sig: number): boolean {
  return (t.blocked.low & sigmask(sig)) === 0 && sig_handler_ignored(t, sig);
}

/**
 * Makes signal `sig`, 1 to 31, pending on a task and wakes it if the signal may
 * (kernel/signal.c: send_signal_locked()).
 */
export function send_sig(m: Machine, sig: number, t: task_struct, info?: kernel_siginfo): void {
  if (sig > 31) throw new Unmodelled(`kernel/signal.c: __send_signal_locked() of real-time signal ${sig}`);
  if (t.exit_state !== 'alive' || (sig !== SIGKILL && sig_ignored(t, sig))) return;
  if ((t.pending & sigmask(sig)) === 0) t.siginfo.set(sig, info ?? { si_code: SI_KERNEL });
  t.pending |= sigmask(sig);
  const wanted = (sigmask(sig) & ~t.blocked.low) !== 0;
  if ((wanted && t.state === TASK_INTERRUPTIBLE) || (sig === SIGKILL && t.state === TASK_KILLABLE))
    m.sched.wake_up_process(t);
}

/**
 * Sends a signal to a process: SIGKILL to all threads, others to one that does not block them, the first if it is
 * among those (kernel/signal.c: do_send_sig_info(), complete_signal()).
 */
function signal_process(m: Machine, sig: number, t: task_struct, info: kernel_siginfo): void {
  const threads = t.group_leader.thread_group.filter((x) => x.exit_state === 'alive');
  if (sig === SIGKILL) for (const x of threads) send_sig(m, sig, x, info);
  else send_sig(m, sig, threads.find((x) => (x.blocked.low & sigmask(sig)) === 0) ?? t, info);
}

/** Handlers go back to the default, ignored signals stay ignored (kernel/signal.c: flush_signal_handlers()). */
export function flush_signal_handlers(t: task_struct): void {
  for (const [sig, h] of [...t.handlers]) {
    const ignored = h === 'ignore' || (h instanceof k_sigaction && h.handler === SIG_IGN);
    if (ignored) t.handlers.set(sig, 'ignore');
    else t.handlers.delete(sig);
  }
}

/** Kills the other threads of the current process (kernel/signal.c: zap_other_threads()). */
export function kill_other_threads(m: Machine): void {
  const t = m.current;
  for (const x of t.group_leader.thread_group) if (x !== t) send_sig(m, SIGKILL, x);
}

/** what is no number of a process or group, since its negative does not fit into an int */
export const INT_MIN = -(2 ** 31);

/** Returns the siginfo of a signal that the current process sends. NON-KERNEL: the common part of kill() and tkill(). */
function info_of_sender(m: Machine, si_code: number): kernel_siginfo {
  return { si_code, si_pid: m.current.tgid };
}

/**
 * Sends a signal to a process, 0 only to see whether it may be sent. Returns 0 or -EINVAL (kernel/signal.c:
 * group_send_sig_info()).
 */
function group_send_sig_info(m: Machine, sig: number, t: task_struct): number {
  if (sig < 0 || sig > _NSIG) return -EINVAL;
  if (sig !== 0) signal_process(m, sig, t, info_of_sender(m, SI_USER));
  return 0;
}

/** Sends a signal to a process group. Returns -ESRCH if it is empty (kernel/signal.c: __kill_pgrp_info()). */
function __kill_pgrp_info(m: Machine, sig: number, pgid: number, leaders: readonly task_struct[]): number {
  const group = leaders.filter((t) => t.pgid === pgid);
  const rets = group.map((t) => group_send_sig_info(m, sig, t));
  return rets.length > 0 ? Math.max(...rets) : -ESRCH;
}

/**
 * kill(2): sends a signal to a process, to one's own process group for 0, to the process group -pid below -1, or for -1
 * to all others; of those there are always kernel threads, which take it and ignore it. No process is init here. Returns
 * 0, -ESRCH or -EINVAL (kernel/signal.c: kill_something_info()).
 */
export function sys_kill(m: Machine, pid: number, sig: number): number {
  const leaders = [...m.sched.tasks, ...m.zombies].filter((t) => t === t.group_leader);
  if (pid > 0) {
    const t = leaders.find((x) => x.pid === pid);
    return t === undefined ? -ESRCH : group_send_sig_info(m, sig, t);
  }
  if (pid === INT_MIN) return -ESRCH;
  if (pid !== -1) return __kill_pgrp_info(m, sig, pid === 0 ? m.current.pgid : -pid, leaders);
  if (sig < 0 || sig > _NSIG) return -EINVAL;
  for (const t of leaders) if (t !== m.current.group_leader) group_send_sig_info(m, sig, t);
  return 0;
}

/** tgkill(2); tgid is -1 for tkill(2). Returns 0, -ESRCH or -EINVAL (kernel/signal.c: do_tkill()). */
export function do_tkill(m: Machine, tgid: number, pid: number, sig: number): number {
  if (pid <= 0 || (tgid <= 0 && tgid !== -1) || sig < 0 || sig > _NSIG) return -EINVAL;
  const t = find_task_by_vpid(m, pid);
  if (t === null || (tgid !== -1 && t.tgid !== tgid)) return -ESRCH;
  const info = info_of_sender(m, SI_TKILL);
  if (sig === SIGKILL) signal_process(m, sig, t, info);
  else if (sig !== 0) send_sig(m, sig, t, info);
  return 0;
}

/**
 * Raises the signal of a fault: one that is blocked or ignored is fatal (kernel/signal.c: force_sig_info_to_task()).
 */
export function force_sig_info(m: Machine, sig: number, info: kernel_siginfo): void {
  const t = m.current;
  const blocked = (t.blocked.low & sigmask(sig)) !== 0;
  if (blocked || action_of(t, sig) === 'ignore') {
    t.group_leader.handlers.delete(sig);
    t.blocked = { low: t.blocked.low & ~sigmask(sig), high: t.blocked.high };
  }
  t.siginfo.set(sig, info);
  t.pending |= sigmask(sig);
}

/** Raises SIGSEGV after a frame for signal `sig` could not be written (kernel/signal.c: force_sigsegv()). */
export function force_sigsegv(m: Machine, sig: number): void {
  if (sig === SIGSEGV) throw new UserExit(SIGSEGV);
  force_sig_info(m, SIGSEGV, { si_code: SI_KERNEL });
}

/** A signal with a handler to run (include/linux/signal_types.h: struct ksignal). */
export interface ksignal {
  readonly sig: number;
  readonly info: kernel_siginfo;
  readonly ka: Exclude<sighandler, 'ignore'>;
}

/**
 * Takes the next pending signal that has a handler, or returns null. The default action throws UserExit
 * (kernel/signal.c: get_signal()).
 */
export function get_signal(m: Machine): ksignal | null {
  const t = m.current;
  for (;;) {
    const ready = t.pending & ~t.blocked.low;
    if (ready === 0) return null;
    if (t.pending & sigmask(SIGKILL)) throw new UserExit(SIGKILL);
    const first = (ready & SYNCHRONOUS_MASK) !== 0 ? ready & SYNCHRONOUS_MASK : ready;
    const sig = 32 - Math.clz32(first & -first);
    t.pending &= ~sigmask(sig);
    const info = t.siginfo.get(sig) ?? { si_code: SI_KERNEL };
    t.siginfo.delete(sig);
    const ka = action_of(t, sig);
    if (ka === 'ignore') continue;
    if (ka !== 'default') {
      if (ka instanceof k_sigaction && ka.flags & SA_RESETHAND) t.group_leader.handlers.delete(sig);
      return { sig, info, ka };
    }
    if (sigmask(sig) & SIG_KERNEL_IGNORE_MASK) continue;
    if (sigmask(sig) & SIG_KERNEL_STOP_MASK)
      throw new Unmodelled(`kernel/signal.c: do_signal_stop() for signal ${sig}`);
    throw new UserExit(sig);
  }
}

/**
 * Handles the pending signals of a generator program before the return to user space: the default action throws
 * UserExit, a handler runs as user code. Returns true if a handler ran. NON-KERNEL (arch/x86/kernel/signal.c:
 * arch_do_signal_or_restart()).
 */
export function* do_signal(m: Machine): Gen<boolean> {
  let handled = false;
  for (let ksig = get_signal(m); ksig !== null; ksig = get_signal(m)) {
    if (ksig.ka instanceof k_sigaction) throw new Error('a generator program with a handler of compiled code');
    handled = true;
    yield* ksig.ka(ksig.sig);
  }
  return handled;
}

/** Reads a sigset_t of the bytes. NON-KERNEL. */
export function read_sigset(v: DataView, at: number): sigset {
  return { low: v.getInt32(at, true), high: v.getInt32(at + 4, true) };
}

/** Writes a sigset_t to the bytes. NON-KERNEL. */
export function write_sigset(v: DataView, at: number, set: sigset): void {
  v.setInt32(at, set.low, true);
  v.setInt32(at + 4, set.high, true);
}

/** Blocks exactly the signals of the set, never SIGKILL and SIGSTOP (kernel/signal.c: set_current_blocked()). */
export function set_current_blocked(m: Machine, set: sigset): void {
  m.current.blocked = { low: set.low & ~UNBLOCKABLE, high: set.high };
}

/** Returns the mask that a signal frame saves (include/linux/sched/signal.h: sigmask_to_save()). */
export function sigmask_to_save(m: Machine): sigset {
  return m.current.saved_sigmask ?? m.current.blocked;
}

/** Puts back the mask that a system call replaced (include/linux/sched/signal.h: restore_saved_sigmask()). */
export function restore_saved_sigmask(m: Machine): void {
  const saved = m.current.saved_sigmask;
  if (saved === null) return;
  m.current.saved_sigmask = null;
  set_current_blocked(m, saved);
}

/** Blocks what the handler that starts wants blocked (kernel/signal.c: signal_delivered()). */
export function signal_delivered(m: Machine, sig: number, ka: k_sigaction): void {
  const t = m.current;
  t.saved_sigmask = null;
  const own = ka.flags & SA_NODEFER || sig > 32 ? 0 : sigmask(sig);
  set_current_blocked(m, { low: t.blocked.low | ka.mask.low | own, high: t.blocked.high | ka.mask.high });
}

const SIGINFO_BYTES = 128;
const FAULTS = [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP];

/** Returns the bytes of a siginfo_t (kernel/signal.c: copy_siginfo_to_user()). */
export function siginfo_bytes(sig: number, info: kernel_siginfo): Uint8Array {
  const bytes = new Uint8Array(SIGINFO_BYTES);
  const v = new DataView(bytes.buffer);
  v.setInt32(0, sig, true);
  v.setInt32(8, info.si_code, true);
  if (FAULTS.includes(sig) && info.si_pid === undefined) v.setBigUint64(16, BigInt(info.si_addr ?? 0), true);
  else v.setInt32(16, info.si_pid ?? 0, true);
  if (sig === SIGCHLD) v.setInt32(24, info.si_status ?? 0, true);
  return bytes;
}

const SIGSET_BYTES = 8;
const SIGACTION_BYTES = 32;

/** rt_sigaction(2) (kernel/signal.c: rt_sigaction()). */
export function* sys_rt_sigaction(m: Machine, sig: number, act: number, oact: number, size: number): Gen<number> {
  if (size !== SIGSET_BYTES) return -EINVAL;
  const bytes = new Uint8Array(SIGACTION_BYTES);
  const v = new DataView(bytes.buffer);
  if (act !== 0 && (yield* copy_from_user(m, bytes, act, SIGACTION_BYTES)) !== 0) return -EFAULT;
  if (sig < 1 || sig > _NSIG || (act !== 0 && (sig === SIGKILL || sig === SIGSTOP))) return -EINVAL;
  const leader = m.current.group_leader;
  const old = leader.handlers.get(sig);
  if (act !== 0) {
    const word = (at: number): number => v.getUint32(at, true) + v.getUint32(at + 4, true) * 2 ** 32;
    const { low, high } = read_sigset(v, 24);
    const mask = { low: low & ~UNBLOCKABLE, high };
    leader.handlers.set(sig, new k_sigaction(word(0), v.getUint32(8, true), word(16), mask));
    if (sig <= 31 && sig_handler_ignored(leader, sig))
      for (const t of leader.thread_group) {
        t.pending &= ~sigmask(sig);
        t.siginfo.delete(sig);
      }
  }
  if (oact === 0) return 0;
  bytes.fill(0);
  if (old instanceof k_sigaction) {
    v.setBigUint64(0, BigInt(old.handler), true);
    v.setBigUint64(8, BigInt(old.flags), true);
    v.setBigUint64(16, BigInt(old.restorer), true);
    write_sigset(v, 24, old.mask);
  } else if (old === 'ignore') v.setUint32(0, SIG_IGN, true);
  return (yield* copy_to_user(m, oact, bytes, SIGACTION_BYTES)) !== 0 ? -EFAULT : 0;
}

const SIG_BLOCK = 0;
const SIG_UNBLOCK = 1;
const SIG_SETMASK = 2;

/** rt_sigprocmask(2) (kernel/signal.c: rt_sigprocmask()). */
export function* sys_rt_sigprocmask(m: Machine, how: number, nset: number, oset: number, size: number): Gen<number> {
  if (size !== SIGSET_BYTES) return -EINVAL;
  const old = m.current.blocked;
  const bytes = new Uint8Array(SIGSET_BYTES);
  const v = new DataView(bytes.buffer);
  if (nset !== 0) {
    if ((yield* copy_from_user(m, bytes, nset, SIGSET_BYTES)) !== 0) return -EFAULT;
    const { low, high } = read_sigset(v, 0);
    if (how === SIG_BLOCK) set_current_blocked(m, { low: old.low | low, high: old.high | high });
    else if (how === SIG_UNBLOCK) set_current_blocked(m, { low: old.low & ~low, high: old.high & ~high });
    else if (how === SIG_SETMASK) set_current_blocked(m, { low, high });
    else return -EINVAL;
  }
  if (oset === 0) return 0;
  write_sigset(v, 0, old);
  return (yield* copy_to_user(m, oset, bytes, SIGSET_BYTES)) !== 0 ? -EFAULT : 0;
}

/** rt_sigpending(2) (kernel/signal.c: rt_sigpending()). */
export function* sys_rt_sigpending(m: Machine, uset: number, size: number): Gen<number> {
  if (size > SIGSET_BYTES) return -EINVAL;
  const bytes = new Uint8Array(SIGSET_BYTES);
  write_sigset(new DataView(bytes.buffer), 0, { low: m.current.pending & m.current.blocked.low, high: 0 });
  return (yield* copy_to_user(m, uset, bytes, size)) !== 0 ? -EFAULT : 0;
}

/** rt_sigsuspend(2) (kernel/signal.c: rt_sigsuspend()). */
export function* sys_rt_sigsuspend(m: Machine, unewset: number, size: number): Gen<number> {
  if (size !== SIGSET_BYTES) return -EINVAL;
  const bytes = new Uint8Array(SIGSET_BYTES);
  if ((yield* copy_from_user(m, bytes, unewset, SIGSET_BYTES)) !== 0) return -EFAULT;
  m.current.saved_sigmask = m.current.blocked;
  set_current_blocked(m, read_sigset(new DataView(bytes.buffer), 0));
  return yield* sys_pause(m);
}

const MINSIGSTKSZ = 2048;
const SS_ONSTACK = 1;
const SS_AUTODISARM = 2 ** 31;
const STACK_T_BYTES = 24;

/** Returns true if the address is on the alternate signal stack (include/linux/sched/signal.h: __on_sig_stack()). */
export function __on_sig_stack(t: task_struct, sp: number): boolean {
  return sp > t.sas_ss_sp && sp - t.sas_ss_sp <= t.sas_ss_size;
}

/** Returns SS_DISABLE, SS_ONSTACK or 0 (include/linux/sched/signal.h: sas_ss_flags()). */
export function sas_ss_flags(t: task_struct, sp: number): number {
  if (t.sas_ss_size === 0) return SS_DISABLE;
  const armed = (t.sas_ss_flags & SS_AUTODISARM) === 0;
  return armed && __on_sig_stack(t, sp) ? SS_ONSTACK : 0;
}

/** Returns the bytes of the task's stack_t (kernel/signal.c: __save_altstack()). */
export function save_altstack(t: task_struct): Uint8Array {
  const bytes = new Uint8Array(STACK_T_BYTES);
  const v = new DataView(bytes.buffer);
  v.setBigUint64(0, BigInt(t.sas_ss_sp), true);
  v.setUint32(8, t.sas_ss_flags >>> 0, true);
  v.setBigUint64(16, BigInt(t.sas_ss_size), true);
  return bytes;
}

/** Sets the alternate stack from the bytes of a stack_t. Returns 0 or -errno (kernel/signal.c: do_sigaltstack()). */
export function do_sigaltstack(t: task_struct, v: DataView, at: number, sp: number): number {
  const word = (k: number): number => v.getUint32(at + k, true) + v.getUint32(at + k + 4, true) * 2 ** 32;
  const flags = v.getUint32(at + 8, true);
  if (sas_ss_flags(t, sp) === SS_ONSTACK) return -EPERM;
  const mode = (flags & ~SS_AUTODISARM) >>> 0;
  if (mode !== SS_DISABLE && mode !== SS_ONSTACK && mode !== 0) return -EINVAL;
  if (mode === SS_DISABLE) {
    t.sas_ss_sp = 0;
    t.sas_ss_size = 0;
  } else {
    if (word(16) < MINSIGSTKSZ) return -ENOMEM;
    t.sas_ss_sp = word(0);
    t.sas_ss_size = word(16);
  }
  t.sas_ss_flags = flags;
  return 0;
}

/** sigaltstack(2); sp is the caller's stack pointer (kernel/signal.c: sigaltstack()). */
export function* sys_sigaltstack(m: Machine, uss: number, uoss: number, sp: number): Gen<number> {
  const t = m.current;
  const bytes = new Uint8Array(STACK_T_BYTES);
  if (uss !== 0 && (yield* copy_from_user(m, bytes, uss, STACK_T_BYTES)) !== 0) return -EFAULT;
  const old = save_altstack(t);
  new DataView(old.buffer).setUint32(8, (sas_ss_flags(t, sp) | (t.sas_ss_flags & SS_AUTODISARM)) >>> 0, true);
  if (uss !== 0) {
    const ret = do_sigaltstack(t, new DataView(bytes.buffer), 0, sp);
    if (ret !== 0) return ret;
  }
  if (uoss === 0) return 0;
  return (yield* copy_to_user(m, uoss, old, STACK_T_BYTES)) !== 0 ? -EFAULT : 0;
}

/** pause(2): sleeps until a signal is pending (kernel/signal.c: pause()). */
export function* sys_pause(m: Machine): Gen<number> {
  const wq = new wait_queue_head('a signal');
  while (!signal_pending(m.current)) yield* wait_on(m, wq, TASK_INTERRUPTIBLE);
  return -ERESTARTNOHAND;
}
