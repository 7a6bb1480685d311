// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../../machine.ts';
import type { Gen } from '../../../kernel/gen.ts';
import { preempt_point, SIGBUS, SIGFPE, SIGILL, signal_pending, SIGSEGV, SIGTRAP } from '../../../kernel/sched/core.ts';
import { sched_yield } from '../../../kernel/sched/syscalls.ts';
import { do_user_addr_fault } from '../mm/fault.ts';
import type { UserCpu } from './cpu.ts';
import { ACCESS, CTX, EXIT, type Exit } from './layout.ts';
import type { ModelMmu } from './mmu.ts';

/** Instructions that a task runs before the scheduler is asked. */
const QUANTUM = 2 ** 24;
/** Modelled cost of an instruction, in ns: one a cycle at 4 GHz. */
const INSN_NS = 0.25;

const SI_KERNEL = 0x80;
const ILL_ILLOPN = 2;
const FPE_INTDIV = 1;
const BUS_ADRALN = 1;
const TRAP_TRACE = 2;
const SEGV_ACCERR = 2;

/** A signal that an instruction raised. */
export interface UserException {
  readonly exit: Exit;
  readonly sig: number;
  /** si_code, or 0 for a page fault, whose cause the kernel's vmas say */
  readonly code: number;
  /** si_addr */
  readonly addr: number;
}

/** What user mode asks of the kernel. Each may sleep, and may end the task by throwing. */
export interface UserKernel {
  /** The system call in the context; changes rax, and whatever execve(2) or rt_sigreturn(2) changes. */
  syscall(ctx: number): Gen<void>;
  /** Delivers the signal of an exception at the context's RIP (arch/x86/kernel/traps.c: do_trap()). */
  exception(ctx: number, what: UserException): Gen<void>;
  /** What is pending before user mode goes on (kernel/entry/common.c: __exit_to_user_mode_loop()). */
  pending(ctx: number): Gen<void>;
}

/** Signals of the exceptions that have the same for every instruction (arch/x86/kernel/traps.c). */
const TRAPS: ReadonlyMap<Exit, readonly [number, number, boolean]> = new Map([
  [EXIT.DE, [SIGFPE, FPE_INTDIV, true]],
  [EXIT.UD, [SIGILL, ILL_ILLOPN, true]],
  [EXIT.UNIMPLEMENTED, [SIGILL, ILL_ILLOPN, true]],
  [EXIT.GP, [SIGSEGV, SI_KERNEL, false]],
  [EXIT.SS, [SIGBUS, SI_KERNEL, false]],
  [EXIT.AC, [SIGBUS, BUS_ADRALN, false]],
  [EXIT.BP, [SIGTRAP, SI_KERNEL, false]],
  [EXIT.DB, [SIGTRAP, TRAP_TRACE, true]],
]);

/** A page fault of user code; returns the signal, or 0 to go on. NON-KERNEL: what exc_page_fault() comes to here. */
function* page_fault(m: Machine, cpu: UserCpu, mmu: ModelMmu, ctx: number): Gen<UserException | null> {
  const { view } = cpu.memory;
  const at = ctx + CTX.FAULT_ADDR;
  const addr = view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
  const kind = view.getUint32(ctx + CTX.FAULT_KIND, true);
  // A fetch from a page that is there found it not executable.
  if (kind === ACCESS.EXEC && mmu.fetch(addr) < 0 && mmu.walk(addr, false) >= 0) {
    return { exit: EXIT.FAULT, sig: SIGSEGV, code: SEGV_ACCERR, addr };
  }
  const sig = yield* do_user_addr_fault(m, addr, kind === ACCESS.WRITE, true);
  return sig === 0 ? null : { exit: EXIT.FAULT, sig, code: 0, addr };
}

/** Runs or, while interleavings are explored, steps until user mode needs the kernel. NON-KERNEL: hardware. */
function* execute(m: Machine, cpu: UserCpu, mmu: ModelMmu, ctx: number): Gen<Exit> {
  if (!m.sched.explore) {
    const exit = cpu.run(mmu, ctx, QUANTUM);
    m.sched.spend((QUANTUM - cpu.fuel(ctx)) * INSN_NS);
    return exit;
  }
  let accesses = 0;
  while (m.sched.explore && !signal_pending(m.current)) {
    const exit = cpu.step(mmu, ctx, accesses);
    accesses = 0;
    if (exit === EXIT.STEP) {
      yield* preempt_point(m, 'access');
      accesses = 1;
    } else if (exit !== EXIT.JUMP) {
      m.sched.spend(INSN_NS);
      return exit;
    } else {
      m.sched.spend(INSN_NS);
    }
  }
  return EXIT.BUDGET;
}

/**
 * User mode of the current task: executes its context until the kernel ends it by throwing UserExit. NON-KERNEL:
 * hardware, with the entry code of arch/x86/entry.
 */
export function* user_mode(m: Machine, cpu: UserCpu, mmu: ModelMmu, ctx: number, kernel: UserKernel): Gen<never> {
  for (;;) {
    if (signal_pending(m.current)) yield* kernel.pending(ctx);
    const exit = yield* execute(m, cpu, mmu, ctx);
    if (exit === EXIT.SYSCALL) {
      yield* kernel.syscall(ctx);
    } else if (exit === EXIT.FAULT) {
      const signal = yield* page_fault(m, cpu, mmu, ctx);
      if (m.sched.explore) yield* preempt_point(m, 'return from fault');
      if (signal !== null) yield* kernel.exception(ctx, signal);
    } else if (exit === EXIT.BUDGET) {
      yield* sched_yield(m);
    } else {
      const trap = TRAPS.get(exit);
      if (trap === undefined) throw new Error(`exit ${exit} of the CPU`);
      const [sig, code, has_addr] = trap;
      yield* kernel.exception(ctx, { exit, sig, code, addr: has_addr ? cpu.rip(ctx) : 0 });
    }
  }
}
