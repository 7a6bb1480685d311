// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../../machine.ts';
import type { UserCpu } from '../user/cpu.ts';
import { CTX } from '../user/layout.ts';
import type { ModelMmu } from '../user/mmu.ts';

/** What executes the compiled programs of a machine. NON-KERNEL: hardware. */
export interface Processor {
  readonly cpu: UserCpu;
  readonly mmu: ModelMmu;
  /** what the person at the machine has to know: instructions that the CPU lacks */
  report(text: string): void;
}

/** The processor state of a task that runs a compiled program (arch/x86/include/asm/processor.h: thread_struct). */
export interface thread_struct {
  readonly processor: Processor;
  /** the registers, see arch/x86/user/layout.ts: CTX */
  readonly ctx: number;
  /** number of the system call that the task is in, -1 for none (struct pt_regs: orig_ax) */
  orig_ax: number;
  /** of the last exception */
  trap_nr: number;
  error_code: number;
  cr2: number;
}

/** Registers by their place in the context. NON-KERNEL. */
export const [RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15] = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
] as const;

/** Returns the current task's processor state, which must run a compiled program. NON-KERNEL. */
export function current_thread(m: Machine): thread_struct {
  const { thread } = m.current;
  if (thread === null) throw new Error('a system call of compiled programs in one that is a generator');
  return thread;
}

/** Returns processor state with all registers zero. NON-KERNEL. */
export function new_thread(processor: Processor): thread_struct {
  return { processor, ctx: processor.cpu.new_context(), orig_ax: -1, trap_nr: 0, error_code: 0, cr2: 0 };
}

/**
 * Returns a copy of the processor state for a new task, whose system call returns 0; sp and tls are 0 to keep the
 * parent's (arch/x86/kernel/process.c: copy_thread()).
 */
export function copy_thread(old: thread_struct, sp: number, tls: number): thread_struct {
  const { cpu } = old.processor;
  const ctx = cpu.fork_context(old.ctx);
  cpu.set_gpr(ctx, RAX, 0);
  if (sp !== 0) cpu.set_gpr(ctx, RSP, sp);
  if (tls !== 0) cpu.memory.view.setBigUint64(ctx + CTX.FS_BASE, BigInt(tls), true);
  return { ...old, ctx, orig_ax: -1 };
}

/** Makes all registers as a new program has them (arch/x86/kernel/process.c: flush_thread()). */
export function flush_thread(thread: thread_struct): void {
  thread.processor.cpu.reset_context(thread.ctx);
  thread.trap_nr = 0;
  thread.error_code = 0;
  thread.cr2 = 0;
}

/** Frees the registers of a task that ends (arch/x86/kernel/process.c: exit_thread()). */
export function exit_thread(thread: thread_struct): void {
  thread.processor.cpu.free_context(thread.ctx);
}

/** Returns the current task's stack pointer (arch/x86/include/asm/ptrace.h: user_stack_pointer()). NON-KERNEL. */
export function user_stack_pointer(m: Machine): number {
  const { ctx, processor } = current_thread(m);
  return processor.cpu.gpr(ctx, RSP);
}
