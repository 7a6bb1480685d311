// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../../machine.ts';
import { EINTR, ERESTARTNOHAND, ERESTARTSYS } from '../../../errno.ts';
import type { Gen } from '../../../kernel/gen.ts';
import { rseq_signal_deliver } from '../../../kernel/rseq.ts';
import {
  __on_sig_stack,
  force_sigsegv,
  get_signal,
  type ksignal,
  restore_saved_sigmask,
  sas_ss_flags,
  signal_delivered,
} from '../../../kernel/signal.ts';
import { k_sigaction, SA_ONSTACK, SA_RESTART } from '../../../kernel/signal_types.ts';
import { FXSAVE_BYTES, reset_fpregs } from '../user/fxsave.ts';
import { CTX } from '../user/layout.ts';
import { current_thread, RAX, RSP } from './process.ts';
import { x64_setup_rt_frame } from './signal_64.ts';

const REDZONE = 128;
const FPSTATE_ALIGN = 64;
const FRAME_ALIGNMENT = 16;
const X86_EFLAGS_TF = 0x100;
const X86_EFLAGS_DF = 0x400;
const X86_EFLAGS_RF = 0x10000;
/** Bytes of the syscall instruction, which a restarted call executes again. */
const SYSCALL_BYTES = 2;

const round_down = (x: number, to: number): number => x - (x % to);

/**
 * Returns where the frame and the FXSAVE area of a signal go, frame -1 for a stack that would overflow
 * (arch/x86/kernel/signal.c: get_sigframe()). Leaves out XSAVE: the CPU reports none.
 */
export function get_sigframe(m: Machine, ka: k_sigaction, frame_size: number): { frame: number; fp: number } {
  const t = m.current;
  const { ctx, processor } = current_thread(m);
  const rsp = processor.cpu.gpr(ctx, RSP);
  const nested_altstack = sas_ss_flags(t, rsp) === 1;
  let entering_altstack = false;
  let sp = rsp - REDZONE;
  if (ka.flags & SA_ONSTACK && sas_ss_flags(t, sp) === 0) {
    sp = t.sas_ss_sp + t.sas_ss_size;
    entering_altstack = true;
  }
  const fp = round_down(sp - FXSAVE_BYTES, FPSTATE_ALIGN);
  const frame = round_down(fp - frame_size, FRAME_ALIGNMENT) - 8;
  if ((nested_altstack || entering_altstack) && !__on_sig_stack(t, frame)) return { frame: -1, fp };
  return { frame, fp };
}

/** Makes the system call run again on the return to user space. NON-KERNEL: the common part of what restarts. */
function restart(m: Machine): void {
  const { ctx, processor, orig_ax } = current_thread(m);
  processor.cpu.set_gpr(ctx, RAX, orig_ax);
  processor.cpu.set_rip(ctx, processor.cpu.rip(ctx) - SYSCALL_BYTES);
}

/** Returns the error of the system call that the task is in, or 0. NON-KERNEL (syscall_get_error()). */
function syscall_error(m: Machine): number {
  const { ctx, processor, orig_ax } = current_thread(m);
  if (orig_ax === -1) return 0;
  const rax = processor.cpu.memory.view.getBigInt64(ctx + CTX.GPR + RAX * 8, true);
  return rax < 0n && rax > -4096n ? Number(rax) : 0;
}

/** Starts the handler of a signal (arch/x86/kernel/signal.c: handle_signal()). */
function* handle_signal(m: Machine, ksig: ksignal, ka: k_sigaction): Gen<void> {
  const { ctx, processor } = current_thread(m);
  const { cpu } = processor;
  const error = syscall_error(m);
  if (error === -ERESTARTNOHAND || (error === -ERESTARTSYS && (ka.flags & SA_RESTART) === 0))
    cpu.set_gpr(ctx, RAX, -EINTR);
  else if (error === -ERESTARTSYS) restart(m);
  yield* rseq_signal_deliver(m);
  if ((yield* x64_setup_rt_frame(m, ksig, ka)) !== 0) {
    force_sigsegv(m, ksig.sig);
    return;
  }
  const { view } = cpu.memory;
  const flags = view.getUint32(ctx + CTX.FLAGS, true);
  view.setUint32(ctx + CTX.FLAGS, flags & ~(X86_EFLAGS_DF | X86_EFLAGS_RF | X86_EFLAGS_TF), true);
  reset_fpregs(cpu, ctx);
  signal_delivered(m, ksig.sig, ka);
}

/**
 * Before a compiled program goes on: starts the handler of a pending signal, or restarts an interrupted system call
 * (arch/x86/kernel/signal.c: arch_do_signal_or_restart()).
 */
export function* arch_do_signal_or_restart(m: Machine): Gen<void> {
  const ksig = get_signal(m);
  if (ksig !== null) {
    if (!(ksig.ka instanceof k_sigaction)) throw new Error('a compiled program with a handler that is a generator');
    yield* handle_signal(m, ksig, ksig.ka);
    current_thread(m).orig_ax = -1;
    return;
  }
  const error = syscall_error(m);
  if (error === -ERESTARTNOHAND || error === -ERESTARTSYS) restart(m);
  restore_saved_sigmask(m);
}
