// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../../boot.ts';
import { EINTR, ENOSYS, ERESTARTSYS } from '../../../errno.ts';
import { do_eventfd } from '../../../fs/eventfd.ts';
import { sys_ioctl } from '../../../fs/ioctl.ts';
import { ksys_close, ksys_ftruncate, sys_open } from '../../../fs/open.ts';
import { do_sys_poll } from '../../../fs/poll.ts';
import { ksys_lseek, ksys_pread64, ksys_pwrite64, ksys_read, ksys_write } from '../../../fs/read_write.ts';
import { sys_wait4 } from '../../../kernel/exit.ts';
import type { Gen } from '../../../kernel/gen.ts';
import { sys_pidfd_open } from '../../../kernel/pid.ts';
import { do_signal, sys_kill, sys_pause, UserExit } from '../../../kernel/signal.ts';
import { sys_setpgid } from '../../../kernel/sys.ts';
import { task_work_run } from '../../../kernel/task_work.ts';
import { sys_nanosleep } from '../../../kernel/time/hrtimer.ts';
import { sys_madvise } from '../../../mm/madvise/madvise.ts';
import { sys_brk, sys_munmap } from '../../../mm/mmap/mmap.ts';
import { sys_mprotect } from '../../../mm/mprotect.ts';
import { sys_mremap } from '../../../mm/mremap/mremap.ts';
import { sys_userfaultfd } from '../../../mm/userfaultfd/userfaultfd.ts';
import { sys_mmap } from '../kernel/sys_x86_64.ts';

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

type handler = (m: Machine, a: number, b: number, c: number, d: number, e: number, f: number) => Gen<number>;

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
