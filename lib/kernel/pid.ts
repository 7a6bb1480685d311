// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import { EINVAL, ESRCH } from '../errno.ts';
import { fd_install, get_unused_fd_flags } from '../fs/file.ts';
import { alloc_file } from '../fs/file_table.ts';
import { type file_operations, O_CLOEXEC, O_NONBLOCK, O_RDWR } from '../fs/fs.ts';
import { new_inode } from '../fs/inode.ts';
import type { task_struct } from './sched/core.ts';
import { wait_queue_head } from './sched/wait.ts';

const POLLIN = 0x1;
const POLLRDNORM = 0x40;

/** Returns the wait queue of poll() on a pidfd of this process. NON-KERNEL: struct pid's wait_pidfd. */
export function wait_pidfd(m: Machine, t: task_struct): wait_queue_head {
  let wq = m.wait_pidfd.get(t.tgid);
  if (wq === undefined) {
    wq = new wait_queue_head(`pidfd of ${t.tgid}`);
    m.wait_pidfd.set(t.tgid, wq);
  }
  return wq;
}

const pidfs_file_operations: file_operations = {
  poll: (m, f) => {
    const t = f.private_data as task_struct;
    const done = t.thread_group.every((x) => x.exit_state !== 'alive');
    return { mask: done ? POLLIN | POLLRDNORM : 0, wait: wait_pidfd(m, t) };
  },
};

/**
 * pidfd_open(2): the descriptor becomes readable when the process has exited. Returns it, -ESRCH, or -EINVAL for a
 * thread or unknown flags (kernel/pid.c: pidfd_open()).
 */
export function sys_pidfd_open(m: Machine, pid: number, flags: number): number {
  if (flags & ~O_NONBLOCK || pid <= 0) return -EINVAL;
  const t = find_task_by_vpid(m, pid);
  if (t === null) return -ESRCH;
  if (t !== t.group_leader) return -EINVAL;
  const fd = get_unused_fd_flags(m, O_CLOEXEC);
  if (fd < 0) return fd;
  const f = alloc_file(m, new_inode(m), 'anon_inode:[pidfd]', O_RDWR, pidfs_file_operations);
  f.private_data = t;
  fd_install(m, fd, f);
  return fd;
}

/** Returns the task with that pid, alive or a zombie, or null (kernel/pid.c: find_task_by_vpid()). */
export function find_task_by_vpid(m: Machine, pid: number): task_struct | null {
  return m.sched.tasks.find((t) => t.pid === pid) ?? m.zombies.find((t) => t.pid === pid) ?? null;
}
