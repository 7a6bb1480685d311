// SPDX-License-Identifier: GPL-2.0-only

/** A set of signals: bit n-1 of `low` is signal n, bit n-33 of `high` (include/linux/signal_types.h: sigset_t). */
export interface sigset {
  readonly low: number;
  readonly high: number;
}

/** What a handler gets to know about a signal (include/linux/signal_types.h: kernel_siginfo_t). */
export interface kernel_siginfo {
  /** SI_*, or for faults SEGV_*, BUS_*, FPE_*, ILL_*, TRAP_* */
  readonly si_code: number;
  /** sender, for signals that a process sent, and for SIGCHLD */
  readonly si_pid?: number;
  /** exit code or signal, for SIGCHLD */
  readonly si_status?: number;
  /** of a fault */
  readonly si_addr?: number;
}

/** Action of a compiled program for a signal (include/linux/signal_types.h: struct k_sigaction). */
export class k_sigaction {
  /** user address, SIG_DFL or SIG_IGN */
  readonly handler: number;
  /** SA_* */
  readonly flags: number;
  readonly restorer: number;
  /** blocked while the handler runs */
  readonly mask: sigset;
  constructor(handler: number, flags: number, restorer: number, mask: sigset) {
    this.handler = handler;
    this.flags = flags;
    this.restorer = restorer;
    this.mask = mask;
  }
}

export const SIG_DFL = 0;
export const SIG_IGN = 1;

export const SA_NOCLDSTOP = 0x1;
export const SA_NOCLDWAIT = 0x2;
export const SA_SIGINFO = 0x4;
export const SA_RESTORER = 0x04000000;
export const SA_ONSTACK = 0x08000000;
export const SA_RESTART = 0x10000000;
export const SA_NODEFER = 0x40000000;
export const SA_RESETHAND = 0x80000000;

export const SEGV_MAPERR = 1;
export const SEGV_ACCERR = 2;
export const BUS_ADRERR = 2;

export const SI_USER = 0;
export const SI_KERNEL = 0x80;
export const SI_TKILL = -6;
