// SPDX-License-Identifier: GPL-2.0-only

import { copy_from_user, copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { EBUSY, EFAULT, EINVAL, EPERM } from '../errno.ts';
import { Unmodelled } from '../unmodelled.ts';
import type { Gen } from './gen.ts';

const RSEQ_FLAG_UNREGISTER = 1;
const ORIG_RSEQ_SIZE = 32;
const RSEQ_CPU_ID_UNINITIALIZED = 0xffffffff;
/** Byte offset of rseq_cs in struct rseq (include/uapi/linux/rseq.h). */
const RSEQ_CS = 8;

/** Writes cpu_id_start, cpu_id and, where they are 0 anyway, nothing else. NON-KERNEL: rseq_set_ids(). */
function* rseq_set_ids(m: Machine, rseq: number, start: number, id: number): Gen<number> {
  const bytes = new Uint8Array(new Uint32Array([start, id]).buffer);
  return (yield* copy_to_user(m, rseq, bytes, 8)) !== 0 ? -EFAULT : 0;
}

/** rseq(2): tasks do not migrate, so the ids are written once (kernel/rseq.c: rseq()). */
export function* sys_rseq(m: Machine, rseq: number, rseq_len: number, flags: number, sig: number): Gen<number> {
  const t = m.current;
  if (flags & RSEQ_FLAG_UNREGISTER) {
    if (flags & ~RSEQ_FLAG_UNREGISTER || t.rseq !== rseq || rseq === 0 || t.rseq_len !== rseq_len) return -EINVAL;
    if (t.rseq_sig !== sig) return -EPERM;
    const ret = yield* rseq_set_ids(m, rseq, 0, RSEQ_CPU_ID_UNINITIALIZED);
    if (ret === 0) t.rseq = 0;
    return ret;
  }
  if (flags !== 0) return -EINVAL;
  if (t.rseq !== 0) {
    if (t.rseq !== rseq || t.rseq_len !== rseq_len) return -EINVAL;
    return t.rseq_sig !== sig ? -EPERM : -EBUSY;
  }
  if (rseq_len < ORIG_RSEQ_SIZE || rseq % ORIG_RSEQ_SIZE !== 0) return -EINVAL;
  const ret = yield* rseq_set_ids(m, rseq, t.cpu, t.cpu);
  if (ret !== 0) return ret;
  t.rseq = rseq;
  t.rseq_len = rseq_len;
  t.rseq_sig = sig;
  return 0;
}

/** Before a signal's handler runs: a critical section would be aborted (include/linux/rseq.h: rseq_signal_deliver()). */
export function* rseq_signal_deliver(m: Machine): Gen<void> {
  const t = m.current;
  if (t.rseq === 0) return;
  const word = new Uint8Array(8);
  if ((yield* copy_from_user(m, word, t.rseq + RSEQ_CS, 8)) === 0 && word.some((byte) => byte !== 0))
    throw new Unmodelled('include/linux/rseq_entry.h: rseq_update_user_cs() of a critical section');
}
