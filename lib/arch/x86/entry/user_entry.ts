// SPDX-License-Identifier: GPL-2.0-only
// How a compiled program enters and leaves the kernel: what arch/x86/entry/entry_64.S and kernel/entry do upstream.
// NON-KERNEL throughout.

import type { Machine } from '../../../machine.ts';
import type { Gen } from '../../../kernel/gen.ts';
import { BUS_ADRERR, SEGV_ACCERR, SEGV_MAPERR, SI_KERNEL } from '../../../kernel/signal_types.ts';
import { printk } from '../../../kernel/printk.ts';
import { SIGBUS, SIGSEGV, signal_pending } from '../../../kernel/sched/core.ts';
import { force_sig_info } from '../../../kernel/signal.ts';
import { task_work_run } from '../../../kernel/task_work.ts';
import { find_vma } from '../../../mm/mmap/find_vma.ts';
import type { mm_struct } from '../../../mm/mm_types.ts';
import { current_thread, R10, R8, R9, RAX, RDI, RDX, RSI } from '../kernel/process.ts';
import { arch_do_signal_or_restart } from '../kernel/signal.ts';
import { TASK_SIZE } from '../mm/pgtable/pgtable.ts';
import { ACCESS, CTX, EXIT, type Exit } from '../user/layout.ts';
import { user_mode, type UserException, type UserKernel } from '../user/user_mode.ts';
import { x64_sys_call } from './syscall_64.ts';

/** Numbers of exceptions (arch/x86/include/asm/trapnr.h). */
const TRAP_NR: ReadonlyMap<Exit, number> = new Map([
  [EXIT.DE, 0],
  [EXIT.DB, 1],
  [EXIT.BP, 3],
  [EXIT.UD, 6],
  [EXIT.UNIMPLEMENTED, 6],
  [EXIT.SS, 12],
  [EXIT.GP, 13],
  [EXIT.FAULT, 14],
  [EXIT.MF, 16],
  [EXIT.AC, 17],
  [EXIT.XM, 19],
]);
// bits of a page fault's error code (arch/x86/include/asm/trap_pf.h)
const X86_PF_PROT = 1;
const X86_PF_WRITE = 2;
const X86_PF_USER = 4;
const X86_PF_INSTR = 16;

/**
 * Returns a register as system calls take it: exact as a signed number below 2^53, else as an unsigned number that is
 * not exact.
 */
function argument(view: DataView, at: number): number {
  const low = view.getUint32(at, true);
  const high = view.getInt32(at + 4, true);
  const signed = high * 2 ** 32 + low;
  return Number.isSafeInteger(signed) ? signed : (high >>> 0) * 2 ** 32 + low;
}

/** Runs what a task has to do before it returns to user space. NON-KERNEL (kernel/entry/common.c: exit_to_user_mode_loop()). */
function* exit_to_user_mode(m: Machine): Gen<void> {
  yield* task_work_run(m);
  const t = m.current;
  while (signal_pending(t)) yield* arch_do_signal_or_restart(m);
  const thread = current_thread(m);
  // a call that wants to be restarted although no signal is pending any more
  if (thread.orig_ax !== -1) yield* arch_do_signal_or_restart(m);
  thread.orig_ax = -1;
}

/** Executes the system call in the context. NON-KERNEL (arch/x86/entry/syscall_64.c: do_syscall_64()). */
function* syscall(m: Machine, ctx: number): Gen<void> {
  const thread = current_thread(m);
  const { view } = thread.processor.cpu.memory;
  const arg = (reg: number): number => argument(view, ctx + CTX.GPR + reg * 8);
  const nr = view.getInt32(ctx + CTX.GPR + RAX * 8, true);
  thread.orig_ax = nr;
  const ret = yield* x64_sys_call(m, nr, [arg(RDI), arg(RSI), arg(RDX), arg(R10), arg(R8), arg(R9)]);
  // execve(2) and rt_sigreturn(2) set all registers themselves
  if (thread.orig_ax !== -1) thread.processor.cpu.set_gpr(ctx, RAX, ret);
  yield* exit_to_user_mode(m);
}

/** Returns si_code of a page fault. NON-KERNEL (arch/x86/mm/fault.c: bad_area_access_error() and others). */
function fault_code(m: Machine, sig: number, addr: number): number {
  if (sig === SIGBUS) return BUS_ADRERR;
  if (addr >= TASK_SIZE) return SEGV_MAPERR;
  const vma = find_vma(m.current.mm as mm_struct, addr);
  return vma !== null && vma.vm_start <= addr ? SEGV_ACCERR : SEGV_MAPERR;
}

/** Says that the program needs an instruction that the CPU lacks, with its bytes. */
function report_unimplemented(m: Machine, ctx: number): void {
  const { cpu, mmu, report } = current_thread(m).processor;
  const bytes = [...cpu.insn_bytes(mmu, ctx)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  report(
    `${m.current.comm}[${m.current.pid}]: the CPU lacks the instruction ${bytes} at 0x${cpu.rip(ctx).toString(16)}`,
  );
}

/** Raises the signal of an exception. NON-KERNEL (arch/x86/kernel/traps.c: do_trap(), arch/x86/mm/fault.c: __bad_area()). */
function* exception(m: Machine, ctx: number, what: UserException): Gen<void> {
  const thread = current_thread(m);
  const { cpu } = thread.processor;
  const { view } = cpu.memory;
  thread.trap_nr = TRAP_NR.get(what.exit) ?? 0;
  thread.error_code = 0;
  let code = what.code;
  if (what.exit === EXIT.FAULT) {
    const kind = view.getUint32(ctx + CTX.FAULT_KIND, true);
    if (code === 0) code = fault_code(m, what.sig, what.addr);
    thread.cr2 = what.addr;
    thread.error_code =
      X86_PF_USER |
      (kind === ACCESS.WRITE ? X86_PF_WRITE : kind === ACCESS.EXEC ? X86_PF_INSTR : 0) |
      (thread.processor.mmu.walk_present(what.addr) ? X86_PF_PROT : 0);
  }
  if (what.exit === EXIT.UNIMPLEMENTED) report_unimplemented(m, ctx);
  const t = m.current;
  const handled = t.group_leader.handlers.has(what.sig);
  if (!handled) {
    const [at, sp] = [cpu.rip(ctx), cpu.gpr(ctx, 4)].map((x) => x.toString(16).padStart(16, '0'));
    if (what.sig === SIGSEGV && what.exit === EXIT.FAULT)
      printk(
        m,
        `${t.comm}[${t.pid}]: segfault at ${what.addr.toString(16)} ip ${at} sp ${sp} error ${thread.error_code.toString(16)}`,
      );
  }
  force_sig_info(m, what.sig, what.code === SI_KERNEL ? { si_code: code } : { si_code: code, si_addr: what.addr });
  yield* exit_to_user_mode(m);
}

/** The kernel as the CPU in user mode sees it. */
function user_kernel(m: Machine): UserKernel {
  return {
    syscall: (ctx) => syscall(m, ctx),
    exception: (ctx, what) => exception(m, ctx, what),
    pending: () => exit_to_user_mode(m),
  };
}

/** Lets the current task run its program. NON-KERNEL (arch/x86/kernel/process.c: ret_from_fork()). */
export function* ret_from_fork(m: Machine): Gen<never> {
  const { processor, ctx } = current_thread(m);
  yield* exit_to_user_mode(m);
  return yield* user_mode(m, processor.cpu, processor.mmu, ctx, user_kernel(m));
}
