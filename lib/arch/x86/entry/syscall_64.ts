// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../../boot.ts';
import { EFAULT, EINTR, EINVAL, ENAMETOOLONG, ENOSYS, ERESTARTSYS } from '../../../errno.ts';
import { do_eventfd } from '../../../fs/eventfd.ts';
import { sys_ioctl } from '../../../fs/ioctl.ts';
import { do_sys_open, ksys_close, ksys_ftruncate } from '../../../fs/open.ts';
import { do_sys_poll } from '../../../fs/poll.ts';
import { ksys_lseek, ksys_pread64, ksys_pwrite64, ksys_read, ksys_write } from '../../../fs/read_write.ts';
import { kernel_wait4 } from '../../../kernel/exit.ts';
import type { Gen } from '../../../kernel/gen.ts';
import { sys_pidfd_open } from '../../../kernel/pid.ts';
import { signal_pending, TASK_INTERRUPTIBLE } from '../../../kernel/sched/core.ts';
import { wait_on, wait_queue_head } from '../../../kernel/sched/wait.ts';
import { do_signal, sys_kill, UserExit } from '../../../kernel/signal.ts';
import { sys_setpgid } from '../../../kernel/sys.ts';
import { task_work_run } from '../../../kernel/task_work.ts';
import { schedule_timeout } from '../../../kernel/time/sleep_timeout.ts';
import { sys_madvise } from '../../../mm/madvise/madvise.ts';
import { sys_brk, sys_munmap } from '../../../mm/mmap/mmap.ts';
import { sys_mprotect } from '../../../mm/mprotect.ts';
import { sys_mremap } from '../../../mm/mremap/mremap.ts';
import { sys_userfaultfd } from '../../../mm/userfaultfd/userfaultfd.ts';
import { strncpy_from_user } from '../../../strncpy_from_user.ts';
import { sys_mmap } from '../kernel/sys_x86_64.ts';
import { copy_from_user, copy_to_user } from '../mm/uaccess.ts';

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
  userfaultfd: 323,
  pidfd_open: 434,
} as const;

const PATH_MAX = 4096;

type handler = (m: Machine, a: number, b: number, c: number, d: number, e: number, f: number) => Gen<number>;

/** open(2) (fs/open.c: open()). Leaves out O_LARGEFILE: all files here are small. */
function* sys_open(m: Machine, filename: number, flags: number, mode: number): Gen<number> {
  const path = yield* strncpy_from_user(m, filename, PATH_MAX);
  if (typeof path === 'number') return path < 0 ? path : -EFAULT;
  if (path.length >= PATH_MAX) return -ENAMETOOLONG;
  return yield* do_sys_open(m, path, flags, mode);
}

/** nanosleep(2) (kernel/time/hrtimer.c: nanosleep()). Leaves out the remaining time of an interrupted sleep. */
function* sys_nanosleep(m: Machine, rqtp: number): Gen<number> {
  const ts = new Uint8Array(16);
  if ((yield* copy_from_user(m, ts, rqtp, 16)) !== 0) return -EFAULT;
  const v = new DataView(ts.buffer);
  const sec = Number(v.getBigInt64(0, true));
  const nsec = Number(v.getBigInt64(8, true));
  if (sec < 0 || nsec < 0 || nsec > 999999999) return -EINVAL;
  const left = yield* schedule_timeout(m, sec * 1e9 + nsec, TASK_INTERRUPTIBLE);
  return left > 0 && signal_pending(m.current) ? -EINTR : 0;
}

/** pause(2): sleeps until a signal is pending (kernel/signal.c: pause()). */
function* sys_pause(m: Machine): Gen<number> {
  const wq = new wait_queue_head('a signal');
  while (!signal_pending(m.current)) yield* wait_on(m, wq, TASK_INTERRUPTIBLE);
  return -EINTR;
}

/** wait4(2) (kernel/exit.c: wait4()). Leaves out struct rusage: nothing is accounted. */
function* sys_wait4(m: Machine, pid: number, stat_addr: number, options: number): Gen<number> {
  const r = yield* kernel_wait4(m, pid, options);
  if (typeof r === 'number') return r;
  if (stat_addr !== 0) {
    const word = new Uint8Array(new Int32Array([r.status]).buffer);
    if ((yield* copy_to_user(m, stat_addr, word, 4)) !== 0) return -EFAULT;
  }
  return r.pid;
}

const table = new Map<number, handler>([
  [NR.read, ksys_read],
  [NR.write, ksys_write],
  [NR.open, sys_open],
  [NR.close, ksys_close],
  [NR.poll, do_sys_poll],
  [
    NR.lseek,
    function* (m, fd, off, whence) {
      return ksys_lseek(m, fd, off, whence);
    },
  ],
  [NR.mmap, sys_mmap],
  [NR.mprotect, sys_mprotect],
  [NR.munmap, sys_munmap],
  [NR.brk, sys_brk],
  [NR.ioctl, sys_ioctl],
  [NR.pread64, ksys_pread64],
  [NR.pwrite64, ksys_pwrite64],
  [NR.mremap, sys_mremap],
  [NR.madvise, sys_madvise],
  [NR.pause, sys_pause],
  [NR.nanosleep, sys_nanosleep],
  [
    NR.getpid,
    function* (m) {
      return m.current.tgid;
    },
  ],
  [
    NR.exit,
    function* (_m, code) {
      throw new UserExit((code & 255) << 8, true);
    },
  ],
  [NR.wait4, sys_wait4],
  [
    NR.kill,
    function* (m, pid, sig) {
      return sys_kill(m, pid, sig);
    },
  ],
  [NR.ftruncate, ksys_ftruncate],
  [
    NR.exit_group,
    function* (_m, code) {
      throw new UserExit((code & 255) << 8);
    },
  ],
  [
    NR.eventfd2,
    function* (m, count, flags) {
      return do_eventfd(m, count, flags);
    },
  ],
  [NR.userfaultfd, sys_userfaultfd],
  [
    NR.setpgid,
    function* (m, pid, pgid) {
      return sys_setpgid(m, pid, pgid);
    },
  ],
  [
    NR.pidfd_open,
    function* (m, pid, flags) {
      return sys_pidfd_open(m, pid, flags);
    },
  ],
]);

/** Modelled cost of entering and leaving a system call, in ns. */
const SYSCALL_NS = 100;

/**
 * Runs a system call with up to six arguments. Returns the value of rax: 0 or more, or a negative errno. Pending
 * signals are handled on the way out; a call interrupted by a handler returns -EINTR, otherwise it is restarted
 * (arch/x86/entry/syscall_64.c: do_syscall_64()).
 */
export function* do_syscall_64(m: Machine, nr: number, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0): Gen<number> {
  const call = table.get(nr);
  m.sched.spend(SYSCALL_NS);
  if (call === undefined) return -ENOSYS;
  for (;;) {
    const ret = yield* call(m, a, b, c, d, e, f);
    yield* task_work_run(m);
    if (m.current.pending === 0) return ret === -ERESTARTSYS ? -EINTR : ret;
    const handled = yield* do_signal(m);
    if (ret !== -ERESTARTSYS) return ret;
    if (handled) return -EINTR;
  }
}
