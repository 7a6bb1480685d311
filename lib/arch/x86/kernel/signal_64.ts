// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../../machine.ts';
import { EFAULT } from '../../../errno.ts';
import type { Gen } from '../../../kernel/gen.ts';
import {
  do_sigaltstack,
  force_sigsegv,
  type ksignal,
  read_sigset,
  save_altstack,
  set_current_blocked,
  siginfo_bytes,
  sigmask_to_save,
  write_sigset,
} from '../../../kernel/signal.ts';
import { type k_sigaction, SA_RESTORER, SA_SIGINFO } from '../../../kernel/signal_types.ts';
import { copy_from_user, copy_to_user } from '../mm/uaccess.ts';
import { CTX } from '../user/layout.ts';
import { FXSAVE_BYTES, get_fpregs, reset_fpregs, set_fpregs } from '../user/fxsave.ts';
import {
  current_thread,
  R10,
  R11,
  R12,
  R13,
  R14,
  R15,
  R8,
  R9,
  RAX,
  RBP,
  RBX,
  RCX,
  RDI,
  RDX,
  RSI,
  RSP,
} from './process.ts';
import { get_sigframe } from './signal.ts';

/** struct rt_sigframe (arch/x86/include/asm/sigframe.h): byte offsets of its parts. */
const FRAME = { pretcode: 0, uc: 8, info: 312, size: 440 } as const;
/** struct ucontext (arch/x86/include/asm/ucontext.h, asm-generic/ucontext.h): byte offsets. */
const UC = { flags: 0, link: 8, stack: 16, mcontext: 40, sigmask: 296 } as const;
/** struct sigcontext_64 (arch/x86/include/uapi/asm/sigcontext.h): byte offsets; the general registers are first. */
const SC = {
  ip: 128,
  flags: 136,
  cs: 144,
  ss: 150,
  err: 152,
  trapno: 160,
  oldmask: 168,
  cr2: 176,
  fpstate: 184,
} as const;
const SC_REGISTERS = [R8, R9, R10, R11, R12, R13, R14, R15, RDI, RSI, RBP, RBX, RDX, RAX, RCX, RSP] as const;
const UC_SIGCONTEXT_SS = 2;
const UC_STRICT_RESTORE_SS = 4;
const USER_CS = 0x33;
const USER_DS = 0x2b;
/** Flags that a signal frame may change (arch/x86/include/asm/sighandling.h: FIX_EFLAGS). */
const FIX_EFLAGS = 0x50dd5;

/**
 * Writes the frame of a signal on the user's stack and makes the context start the handler. Returns 0 or -EFAULT
 * (arch/x86/kernel/signal_64.c: x64_setup_rt_frame()).
 */
export function* x64_setup_rt_frame(m: Machine, ksig: ksignal, ka: k_sigaction): Gen<number> {
  const t = m.current;
  const thread = current_thread(m);
  const { ctx, processor } = thread;
  const { cpu } = processor;
  const { u8, view } = cpu.memory;
  if ((ka.flags & SA_RESTORER) === 0) return -EFAULT;
  const { frame, fp } = get_sigframe(m, ka, FRAME.size);
  if (frame < 0) return -EFAULT;
  const bytes = new Uint8Array(FRAME.size);
  const v = new DataView(bytes.buffer);
  v.setBigUint64(FRAME.pretcode, BigInt(ka.restorer), true);
  v.setUint32(FRAME.uc + UC.flags, UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS, true);
  bytes.set(save_altstack(t), FRAME.uc + UC.stack);
  const sc = FRAME.uc + UC.mcontext;
  for (const [k, reg] of SC_REGISTERS.entries())
    v.setBigUint64(sc + k * 8, view.getBigUint64(ctx + CTX.GPR + reg * 8, true), true);
  bytes.set(u8.subarray(ctx + CTX.RIP, ctx + CTX.RIP + 8), sc + SC.ip);
  v.setUint32(sc + SC.flags, view.getUint32(ctx + CTX.FLAGS, true), true);
  v.setUint16(sc + SC.cs, USER_CS, true);
  v.setUint16(sc + SC.ss, USER_DS, true);
  v.setUint32(sc + SC.err, thread.error_code, true);
  v.setUint32(sc + SC.trapno, thread.trap_nr, true);
  const mask = sigmask_to_save(m);
  write_sigset(v, sc + SC.oldmask, mask);
  v.setBigUint64(sc + SC.cr2, BigInt(thread.cr2), true);
  v.setBigUint64(sc + SC.fpstate, BigInt(fp), true);
  write_sigset(v, FRAME.uc + UC.sigmask, mask);
  if (ka.flags & SA_SIGINFO) bytes.set(siginfo_bytes(ksig.sig, ksig.info), FRAME.info);
  if ((yield* copy_to_user(m, fp, get_fpregs(cpu, ctx), FXSAVE_BYTES)) !== 0) return -EFAULT;
  if ((yield* copy_to_user(m, frame, bytes, FRAME.size)) !== 0) return -EFAULT;
  cpu.set_gpr(ctx, RDI, ksig.sig);
  cpu.set_gpr(ctx, RAX, 0);
  cpu.set_gpr(ctx, RSI, frame + FRAME.info);
  cpu.set_gpr(ctx, RDX, frame + FRAME.uc);
  cpu.set_gpr(ctx, RSP, frame);
  cpu.set_rip(ctx, ka.handler);
  return 0;
}

/** Restores registers from a sigcontext (arch/x86/kernel/signal_64.c: restore_sigcontext()). */
function* restore_sigcontext(m: Machine, v: DataView, sc: number): Gen<boolean> {
  const thread = current_thread(m);
  const { ctx, processor } = thread;
  const { view } = processor.cpu.memory;
  for (const [k, reg] of SC_REGISTERS.entries())
    view.setBigUint64(ctx + CTX.GPR + reg * 8, v.getBigUint64(sc + k * 8, true), true);
  view.setBigUint64(ctx + CTX.RIP, v.getBigUint64(sc + SC.ip, true), true);
  const flags = view.getUint32(ctx + CTX.FLAGS, true);
  view.setUint32(ctx + CTX.FLAGS, (flags & ~FIX_EFLAGS) | (v.getUint32(sc + SC.flags, true) & FIX_EFLAGS), true);
  thread.orig_ax = -1;
  const fp = v.getUint32(sc + SC.fpstate, true) + v.getUint32(sc + SC.fpstate + 4, true) * 2 ** 32;
  const fxsave = new Uint8Array(FXSAVE_BYTES);
  if (fp !== 0) {
    if ((yield* copy_from_user(m, fxsave, fp, FXSAVE_BYTES)) !== 0) return false;
    return set_fpregs(processor.cpu, ctx, fxsave);
  }
  reset_fpregs(processor.cpu, ctx);
  return true;
}

/**
 * rt_sigreturn(2): puts back what the frame below the stack pointer holds; all registers are then the frame's
 * (arch/x86/kernel/signal_64.c: rt_sigreturn()).
 */
export function* sys_rt_sigreturn(m: Machine): Gen<number> {
  const { ctx, processor } = current_thread(m);
  const sp = processor.cpu.gpr(ctx, RSP);
  const bytes = new Uint8Array(FRAME.size);
  const v = new DataView(bytes.buffer);
  const read = (yield* copy_from_user(m, bytes, sp - 8, FRAME.size)) === 0;
  if (read) {
    set_current_blocked(m, read_sigset(v, FRAME.uc + UC.sigmask));
    do_sigaltstack(m.current, v, FRAME.uc + UC.stack, sp);
  }
  if (!read || !(yield* restore_sigcontext(m, v, FRAME.uc + UC.mcontext))) force_sigsegv(m, 0);
  return 0;
}
