// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../../machine.ts';
import { EFAULT, EINVAL, EPERM } from '../../../errno.ts';
import type { Gen } from '../../../kernel/gen.ts';
import { Unmodelled } from '../../../unmodelled.ts';
import { TASK_SIZE } from '../mm/pgtable/pgtable.ts';
import { copy_to_user } from '../mm/uaccess.ts';
import { CTX } from '../user/layout.ts';
import { current_thread, RSP } from './process.ts';

/** Makes the current task go on at an address with a stack (arch/x86/kernel/process_64.c: start_thread()). */
export function start_thread(m: Machine, ip: number, sp: number): void {
  const thread = current_thread(m);
  const { cpu } = thread.processor;
  cpu.set_rip(thread.ctx, ip);
  cpu.set_gpr(thread.ctx, RSP, sp);
  thread.orig_ax = -1;
}

const ARCH_SET_GS = 0x1001;
const ARCH_SET_FS = 0x1002;
const ARCH_GET_FS = 0x1003;
const ARCH_GET_GS = 0x1004;
const ARCH_CET_STATUS = 0x3001;
const ARCH_SHSTK_STATUS = 0x5005;
/** What a kernel without user shadow stacks, 32-bit emulation and LAM does not know. */
const UNKNOWN_TO_THE_CONFIGURATION = [ARCH_CET_STATUS, 0x5001, 0x5002, 0x5003, 0x5004, ARCH_SHSTK_STATUS];

/** arch_prctl(2) (arch/x86/kernel/process_64.c: do_arch_prctl_64()). */
export function* do_arch_prctl_64(m: Machine, option: number, arg2: number): Gen<number> {
  const { ctx, processor } = current_thread(m);
  const { view } = processor.cpu.memory;
  switch (option) {
    case ARCH_SET_FS:
    case ARCH_SET_GS:
      if (!(arg2 >= 0 && arg2 < TASK_SIZE)) return -EPERM;
      view.setBigUint64(ctx + (option === ARCH_SET_FS ? CTX.FS_BASE : CTX.GS_BASE), BigInt(arg2), true);
      return 0;
    case ARCH_GET_FS:
    case ARCH_GET_GS: {
      const at = ctx + (option === ARCH_GET_FS ? CTX.FS_BASE : CTX.GS_BASE);
      const base = processor.cpu.memory.u8.slice(at, at + 8);
      return (yield* copy_to_user(m, arg2, base, 8)) !== 0 ? -EFAULT : 0;
    }
    default:
      if (UNKNOWN_TO_THE_CONFIGURATION.includes(option)) return -EINVAL;
      throw new Unmodelled(`arch/x86/kernel/process_64.c: do_arch_prctl_64() of 0x${option.toString(16)}`);
  }
}
