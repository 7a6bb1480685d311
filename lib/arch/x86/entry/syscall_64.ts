// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../../machine.ts';
import { EINTR, ENOSYS, ERESTARTNOHAND, ERESTARTSYS } from '../../../errno.ts';
import { sys_getrandom } from '../../../drivers/char/random.ts';
import { sys_getcwd } from '../../../fs/d_path.ts';
import { do_eventfd } from '../../../fs/eventfd.ts';
import { sys_execve } from '../../../fs/exec.ts';
import { sys_fcntl } from '../../../fs/fcntl.ts';
import { ksys_dup3, sys_dup, sys_dup2 } from '../../../fs/file.ts';
import { sys_ioctl } from '../../../fs/ioctl.ts';
import { sys_unlink, sys_unlinkat } from '../../../fs/namei.ts';
import {
  do_faccessat,
  ksys_close,
  ksys_fallocate,
  ksys_ftruncate,
  sys_access,
  sys_chdir,
  sys_open,
  sys_openat,
} from '../../../fs/open.ts';
import { do_pipe2 } from '../../../fs/pipe.ts';
import { do_sys_poll } from '../../../fs/poll.ts';
import {
  ksys_lseek,
  ksys_pread64,
  ksys_pwrite64,
  ksys_read,
  ksys_write,
  sys_readv,
  sys_writev,
} from '../../../fs/read_write.ts';
import { sys_getdents64 } from '../../../fs/readdir.ts';
import { sys_newfstat, sys_newfstatat, sys_newstat, sys_readlink, sys_readlinkat } from '../../../fs/stat.ts';
import { sys_wait4 } from '../../../kernel/exit.ts';
import { sys_clone, sys_clone3, sys_fork, sys_set_tid_address, sys_vfork } from '../../../kernel/fork/fork.ts';
import { sys_futex, sys_set_robust_list } from '../../../kernel/futex.ts';
import type { Gen } from '../../../kernel/gen.ts';
import { sys_pidfd_open } from '../../../kernel/pid.ts';
import { sys_rseq } from '../../../kernel/rseq.ts';
import { signal_pending } from '../../../kernel/sched/core.ts';
import { sched_yield, sys_sched_getaffinity } from '../../../kernel/sched/syscalls.ts';
import {
  do_signal,
  do_tkill,
  sys_kill,
  sys_pause,
  sys_rt_sigaction,
  sys_rt_sigpending,
  sys_rt_sigprocmask,
  sys_rt_sigsuspend,
  sys_sigaltstack,
  UserExit,
} from '../../../kernel/signal.ts';
import {
  sys_getcpu,
  sys_getpgid,
  sys_getppid,
  sys_getrlimit,
  sys_newuname,
  sys_prctl,
  sys_prlimit64,
  sys_setpgid,
  sys_sysinfo,
} from '../../../kernel/sys.ts';
import { task_work_run } from '../../../kernel/task_work.ts';
import { sys_nanosleep } from '../../../kernel/time/hrtimer.ts';
import { sys_clock_getres, sys_clock_gettime, sys_clock_nanosleep } from '../../../kernel/time/posix-timers.ts';
import { sys_gettimeofday, sys_time } from '../../../kernel/time/time.ts';
import { sys_madvise } from '../../../mm/madvise/madvise.ts';
import { sys_memfd_create } from '../../../mm/memfd.ts';
import { sys_brk, sys_munmap } from '../../../mm/mmap/mmap.ts';
import { sys_mincore } from '../../../mm/mincore.ts';
import { sys_process_vm_readv, sys_process_vm_writev } from '../../../mm/process_vm_access.ts';
import { sys_mprotect, sys_pkey_alloc, sys_pkey_free, sys_pkey_mprotect } from '../../../mm/mprotect.ts';
import { sys_mseal } from '../../../mm/mseal.ts';
import { sys_mremap } from '../../../mm/mremap/mremap.ts';
import { process_mrelease } from '../../../mm/oom_kill.ts';
import { sys_userfaultfd } from '../../../mm/userfaultfd/userfaultfd.ts';
import { Unmodelled } from '../../../unmodelled.ts';
import { user_stack_pointer } from '../kernel/process.ts';
import { do_arch_prctl_64 } from '../kernel/process_64.ts';
import { sys_rt_sigreturn } from '../kernel/signal_64.ts';
import { sys_mmap } from '../kernel/sys_x86_64.ts';
import { syscall_name } from './syscall_names.ts';

/** System call numbers of x86-64 (arch/x86/entry/syscalls/syscall_64.tbl). */
export const NR = {
  read: 0,
  write: 1,
  open: 2,
  close: 3,
  poll: 7,
  lseek: 8,
  mmap: 9,
  mprotect: 10,
  munmap: 11,
  brk: 12,
  ioctl: 16,
  pread64: 17,
  pwrite64: 18,
  mremap: 25,
  mincore: 27,
  madvise: 28,
  pause: 34,
  nanosleep: 35,
  getpid: 39,
  exit: 60,
  wait4: 61,
  kill: 62,
  ftruncate: 77,
  setpgid: 109,
  exit_group: 231,
  eventfd2: 290,
  process_vm_readv: 310,
  userfaultfd: 323,
  pidfd_open: 434,
} as const;

type handler = (m: Machine, a: number, b: number, c: number, d: number, e: number, f: number) => Gen<number>;

/** Makes a handler of a function that does not sleep. NON-KERNEL. */
function plain(
  call: (m: Machine, a: number, b: number, c: number, d: number, e: number, f: number) => number,
): handler {
  return function* (m, a, b, c, d, e, f) {
    return call(m, a, b, c, d, e, f);
  };
}

/**
 * System calls by number, each with the types of its parameters, which cut the registers: `i` int, `u` unsigned int,
 * `l` long or an offset, `p` a pointer or unsigned long.
 */
const table = new Map<number, readonly [string, handler]>([
  [0, ['ipp', ksys_read]],
  [1, ['ipp', ksys_write]],
  [2, ['pii', sys_open]],
  [3, ['i', ksys_close]],
  [4, ['pp', sys_newstat]],
  [5, ['ip', sys_newfstat]],
  [6, ['pp', sys_newstat]],
  [7, ['pui', do_sys_poll]],
  [8, ['ili', plain(ksys_lseek)]],
  [9, ['pppiip', sys_mmap]],
  [10, ['ppp', sys_mprotect]],
  [11, ['pp', sys_munmap]],
  [12, ['p', sys_brk]],
  [13, ['ippp', sys_rt_sigaction]],
  [14, ['ippp', sys_rt_sigprocmask]],
  [15, ['', sys_rt_sigreturn]],
  [16, ['iup', sys_ioctl]],
  [17, ['ippl', ksys_pread64]],
  [18, ['ippl', ksys_pwrite64]],
  [19, ['ipi', sys_readv]],
  [20, ['ipi', sys_writev]],
  [21, ['pi', sys_access]],
  [22, ['p', (m, fildes) => do_pipe2(m, fildes, 0)]],
  [
    24,
    [
      '',
      function* (m) {
        yield* sched_yield(m);
        return 0;
      },
    ],
  ],
  [25, ['pppip', sys_mremap]],
  [27, ['ppp', sys_mincore]],
  [28, ['ppi', sys_madvise]],
  [32, ['i', plain(sys_dup)]],
  [33, ['ii', sys_dup2]],
  [34, ['', sys_pause]],
  [35, ['pp', sys_nanosleep]],
  [39, ['', plain((m) => m.current.tgid)]],
  [56, ['ppppp', sys_clone]],
  [57, ['', sys_fork]],
  [58, ['', sys_vfork]],
  [59, ['ppp', sys_execve]],
  [
    60,
    [
      'i',
      function* (_m, code) {
        throw new UserExit((code & 255) << 8, true);
      },
    ],
  ],
  [61, ['ipip', sys_wait4]],
  [62, ['ii', plain(sys_kill)]],
  [63, ['p', sys_newuname]],
  [72, ['iip', sys_fcntl]],
  [77, ['il', ksys_ftruncate]],
  [79, ['pp', sys_getcwd]],
  [80, ['p', sys_chdir]],
  [87, ['p', sys_unlink]],
  [89, ['ppi', sys_readlink]],
  [96, ['pp', sys_gettimeofday]],
  [97, ['up', sys_getrlimit]],
  [99, ['p', sys_sysinfo]],
  [102, ['', plain(() => 0)]],
  [104, ['', plain(() => 0)]],
  [107, ['', plain(() => 0)]],
  [108, ['', plain(() => 0)]],
  [109, ['ii', plain(sys_setpgid)]],
  [110, ['', plain(sys_getppid)]],
  [111, ['', plain((m) => m.current.pgid)]],
  [121, ['i', plain(sys_getpgid)]],
  [127, ['pp', sys_rt_sigpending]],
  [130, ['pp', sys_rt_sigsuspend]],
  [131, ['pp', (m, uss, uoss) => sys_sigaltstack(m, uss, uoss, user_stack_pointer(m))]],
  [157, ['ipppp', sys_prctl]],
  [158, ['ip', do_arch_prctl_64]],
  [186, ['', plain((m) => m.current.pid)]],
  [200, ['ii', plain((m, pid, sig) => do_tkill(m, -1, pid, sig))]],
  [201, ['p', sys_time]],
  [202, ['piuppu', sys_futex]],
  [204, ['iup', sys_sched_getaffinity]],
  [217, ['ipu', sys_getdents64]],
  [218, ['p', plain(sys_set_tid_address)]],
  [228, ['ip', sys_clock_gettime]],
  [229, ['ip', sys_clock_getres]],
  [230, ['iipp', sys_clock_nanosleep]],
  [
    231,
    [
      'i',
      function* (_m, code) {
        throw new UserExit((code & 255) << 8);
      },
    ],
  ],
  [234, ['iii', plain(do_tkill)]],
  [257, ['ipii', sys_openat]],
  [262, ['ippi', sys_newfstatat]],
  [263, ['ipi', sys_unlinkat]],
  [267, ['ippi', sys_readlinkat]],
  [269, ['ipi', do_faccessat]],
  [273, ['pp', plain(sys_set_robust_list)]],
  [284, ['u', plain((m, count) => do_eventfd(m, count, 0))]],
  [285, ['iill', ksys_fallocate]],
  [290, ['ui', plain(do_eventfd)]],
  [292, ['iii', ksys_dup3]],
  [293, ['pi', do_pipe2]],
  [302, ['iupp', sys_prlimit64]],
  [309, ['pp', sys_getcpu]],
  [310, ['ippppp', sys_process_vm_readv]],
  [311, ['ippppp', sys_process_vm_writev]],
  [318, ['ppu', sys_getrandom]],
  [319, ['pu', sys_memfd_create]],
  [323, ['i', sys_userfaultfd]],
  [329, ['pppi', sys_pkey_mprotect]],
  [330, ['pp', sys_pkey_alloc]],
  [331, ['i', sys_pkey_free]],
  [334, ['puiu', sys_rseq]],
  [434, ['iu', plain(sys_pidfd_open)]],
  [435, ['pp', sys_clone3]],
  [439, ['ipii', do_faccessat]],
  [448, ['iu', process_mrelease]],
  [462, ['ppp', sys_mseal]],
]);

/** Returns a register as a parameter of the type. NON-KERNEL: what SYSCALL_DEFINE's casts do. */
function cast(type: string | undefined, x: number): number {
  if (type === 'i') return x | 0;
  return type === 'u' ? x >>> 0 : x;
}

/**
 * Runs a system call. Returns the value of rax, also one that only the return to user space understands. A number that
 * the recorded kernel lacks is -ENOSYS (arch/x86/entry/syscall_64.c: x64_sys_call()).
 */
export function* x64_sys_call(m: Machine, nr: number, args: readonly number[]): Gen<number> {
  const call = table.get(nr);
  m.sched.spend(SYSCALL_NS);
  if (call === undefined) {
    const name = syscall_name(nr);
    if (name !== null) throw new Unmodelled(`system call ${name}`);
    return -ENOSYS;
  }
  const [types, run] = call;
  const [a, b, c, d, e, f] = [0, 1, 2, 3, 4, 5].map((k) => cast(types[k], args[k] ?? 0)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return yield* run(m, a, b, c, d, e, f);
}

/** Modelled cost of entering and leaving a system call, in ns. */
const SYSCALL_NS = 100;

/**
 * Runs a system call with up to six arguments. Returns the value of rax: 0 or more, or a negative errno. Pending
 * signals are handled on the way out; a call interrupted by a handler returns -EINTR, otherwise it is restarted
 * (arch/x86/entry/syscall_64.c: do_syscall_64()).
 */
export function* do_syscall_64(m: Machine, nr: number, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0): Gen<number> {
  for (;;) {
    const ret = yield* x64_sys_call(m, nr, [a, b, c, d, e, f]);
    yield* task_work_run(m);
    const restarts = ret === -ERESTARTSYS || ret === -ERESTARTNOHAND;
    if (!signal_pending(m.current)) return restarts ? -EINTR : ret;
    const handled = yield* do_signal(m);
    if (!restarts) return ret;
    if (handled) return -EINTR;
  }
}
