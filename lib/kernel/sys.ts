// SPDX-License-Identifier: GPL-2.0-only

import { copy_from_user, copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { EFAULT, EINVAL, EPERM, ESRCH } from '../errno.ts';
import { type mm_struct, MMF_HAS_MDWE, MMF_HAS_MDWE_NO_INHERIT } from '../mm/mm_types.ts';
import { strncpy_from_user } from '../strncpy_from_user.ts';
import { Unmodelled } from '../unmodelled.ts';
import type { Gen } from './gen.ts';
import { find_task_by_vpid } from './pid.ts';

/**
 * setpgid(2) of a process that moves itself into a group of its own; all else is Unmodelled (kernel/sys.c: setpgid()).
 */
export function sys_setpgid(m: Machine, pid: number, pgid: number): number {
  const t = m.current.group_leader;
  if ((pid !== 0 && pid !== t.pid) || (pgid !== 0 && pgid !== t.pid))
    throw new Unmodelled('sys_setpgid() of another process or group');
  t.pgid = t.pid;
  return 0;
}

/** getpgid(2) (kernel/sys.c: getpgid()). */
export function sys_getpgid(m: Machine, pid: number): number {
  const t = pid === 0 ? m.current : find_task_by_vpid(m, pid);
  return t === null ? -ESRCH : t.pgid;
}

/** getppid(2) (kernel/sys.c: getppid()). */
export function sys_getppid(m: Machine): number {
  return m.current.group_leader.real_parent?.tgid ?? 0;
}

const UTS_LENGTH = 65;

/** uname(2) (kernel/sys.c: newuname()). */
export function* sys_newuname(m: Machine, name: number): Gen<number> {
  const bytes = new Uint8Array(6 * UTS_LENGTH);
  for (const [k, text] of ['Linux', '(none)', '7.3.4', '#1 SMP', 'x86_64', '(none)'].entries())
    bytes.set(new TextEncoder().encode(text), k * UTS_LENGTH);
  return (yield* copy_to_user(m, name, bytes, bytes.length)) !== 0 ? -EFAULT : 0;
}

const RLIM_NLIMITS = 16;
const RLIM_INFINITY = 2n ** 64n - 1n;
/** Soft and hard limits that a process starts with (include/asm-generic/resource.h: INIT_RLIMITS). */
const INIT_RLIMITS: ReadonlyMap<number, readonly [bigint, bigint]> = new Map([
  [3, [8n * 1024n * 1024n, RLIM_INFINITY]], // RLIMIT_STACK
  [4, [0n, RLIM_INFINITY]], // RLIMIT_CORE
  [7, [1024n, 4096n]], // RLIMIT_NOFILE
  [8, [8n * 1024n * 1024n, 8n * 1024n * 1024n]], // RLIMIT_MEMLOCK
  [12, [819200n, 819200n]], // RLIMIT_MSGQUEUE
  [13, [0n, 0n]], // RLIMIT_NICE
  [14, [0n, 0n]], // RLIMIT_RTPRIO
]);

/** prlimit64(2) of the caller; limits cannot be changed (kernel/sys.c: prlimit64()). */
export function* sys_prlimit64(m: Machine, pid: number, resource: number, new_rlim: number, old: number): Gen<number> {
  if (pid !== 0 && pid !== m.current.tgid) throw new Unmodelled('kernel/sys.c: prlimit64() of another process');
  if (resource >= RLIM_NLIMITS) return -EINVAL;
  const [soft, hard] = INIT_RLIMITS.get(resource) ?? [RLIM_INFINITY, RLIM_INFINITY];
  if (new_rlim !== 0) {
    const wanted = new Uint8Array(16);
    if ((yield* copy_from_user(m, wanted, new_rlim, 16)) !== 0) return -EFAULT;
    const v = new DataView(wanted.buffer);
    if (v.getBigUint64(0, true) !== soft || v.getBigUint64(8, true) !== hard)
      throw new Unmodelled(`kernel/sys.c: do_prlimit() that sets limit ${resource}`);
  }
  if (old === 0) return 0;
  return (yield* copy_to_user(m, old, new Uint8Array(new BigUint64Array([soft, hard]).buffer), 16)) !== 0 ? -EFAULT : 0;
}

/** getrlimit(2) (kernel/sys.c: getrlimit()). */
export function sys_getrlimit(m: Machine, resource: number, rlim: number): Gen<number> {
  return sys_prlimit64(m, 0, resource, 0, rlim);
}

const SYSINFO_BYTES = 112;

/** sysinfo(2) (kernel/sys.c: sysinfo()). Leaves out load, shared and buffer memory: zero. */
export function* sys_sysinfo(m: Machine, info: number): Gen<number> {
  const bytes = new Uint8Array(SYSINFO_BYTES);
  const v = new DataView(bytes.buffer);
  v.setBigInt64(0, BigInt(Math.floor(m.sched.now / 1e9)), true);
  v.setBigUint64(32, BigInt(m.zone.managed_pages) * 4096n, true);
  v.setBigUint64(40, BigInt(m.zone.nr_free) * 4096n, true);
  v.setUint16(80, m.sched.tasks.length, true);
  v.setUint32(104, 1, true);
  return (yield* copy_to_user(m, info, bytes, SYSINFO_BYTES)) !== 0 ? -EFAULT : 0;
}

/** getcpu(2); there is one node (kernel/sys.c: getcpu()). */
export function* sys_getcpu(m: Machine, cpup: number, nodep: number): Gen<number> {
  const cpu = new Uint8Array(new Uint32Array([m.current.cpu]).buffer);
  if (cpup !== 0 && (yield* copy_to_user(m, cpup, cpu, 4)) !== 0) return -EFAULT;
  if (nodep !== 0 && (yield* copy_to_user(m, nodep, new Uint8Array(4), 4)) !== 0) return -EFAULT;
  return 0;
}

const PR_SET_NAME = 15;
const PR_GET_NAME = 16;
const TASK_COMM_LEN = 16;

const PR_SET_MDWE = 65;
const PR_GET_MDWE = 66;
const PR_MDWE_REFUSE_EXEC_GAIN = 1;
const PR_MDWE_NO_INHERIT = 2;

/** kernel/sys.c: get_current_mdwe() */
function get_current_mdwe(mm: mm_struct): number {
  return (
    (mm.flags & MMF_HAS_MDWE ? PR_MDWE_REFUSE_EXEC_GAIN : 0) |
    (mm.flags & MMF_HAS_MDWE_NO_INHERIT ? PR_MDWE_NO_INHERIT : 0)
  );
}

/** kernel/sys.c: prctl_set_mdwe() */
function prctl_set_mdwe(mm: mm_struct, bits: number): number {
  if (bits < 0 || bits > (PR_MDWE_REFUSE_EXEC_GAIN | PR_MDWE_NO_INHERIT)) return -EINVAL;
  if (bits & PR_MDWE_NO_INHERIT && !(bits & PR_MDWE_REFUSE_EXEC_GAIN)) return -EINVAL;
  const current_bits = get_current_mdwe(mm);
  if (current_bits !== 0 && current_bits !== bits) return -EPERM;
  if (bits & PR_MDWE_NO_INHERIT) mm.flags |= MMF_HAS_MDWE_NO_INHERIT;
  if (bits & PR_MDWE_REFUSE_EXEC_GAIN) mm.flags |= MMF_HAS_MDWE;
  return 0;
}

/** prctl(2), the name of a thread and MDWE only (kernel/sys.c: prctl()). */
export function* sys_prctl(
  m: Machine,
  option: number,
  arg2: number,
  arg3: number,
  arg4: number,
  arg5: number,
): Gen<number> {
  const mm = m.current.mm as mm_struct;
  const bytes = new Uint8Array(TASK_COMM_LEN);
  switch (option) {
    case PR_SET_NAME: {
      const name = yield* strncpy_from_user(m, arg2, TASK_COMM_LEN - 1);
      if (typeof name === 'number') return -EFAULT;
      m.current.comm = name;
      return 0;
    }
    case PR_GET_NAME:
      bytes.set(new TextEncoder().encode(m.current.comm).subarray(0, TASK_COMM_LEN - 1));
      return (yield* copy_to_user(m, arg2, bytes, TASK_COMM_LEN)) !== 0 ? -EFAULT : 0;
    case PR_SET_MDWE:
      return arg3 !== 0 || arg4 !== 0 || arg5 !== 0 ? -EINVAL : prctl_set_mdwe(mm, arg2);
    case PR_GET_MDWE:
      return arg2 !== 0 || arg3 !== 0 || arg4 !== 0 || arg5 !== 0 ? -EINVAL : get_current_mdwe(mm);
    default:
      throw new Unmodelled(`kernel/sys.c: prctl() with option ${option}`);
  }
}
