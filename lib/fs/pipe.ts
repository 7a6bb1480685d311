// SPDX-License-Identifier: GPL-2.0-only

import { copy_from_user, copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { EAGAIN, EFAULT, EINVAL, EPIPE, ERESTARTSYS } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { SIGPIPE, signal_pending, TASK_INTERRUPTIBLE } from '../kernel/sched/core.ts';
import { wait_on, wait_queue_head, wake_up } from '../kernel/sched/wait.ts';
import { send_sig } from '../kernel/signal.ts';
import { fd_install, get_unused_fd_flags, put_unused_fd } from './file.ts';
import { alloc_file } from './file_table.ts';
import { type file, type file_operations, O_CLOEXEC, O_NONBLOCK, O_RDONLY, O_WRONLY, S_IFIFO } from './fs.ts';
import { iput, new_inode } from './inode.ts';
import { PAGE_SIZE } from '../mm/contents.ts';

/** Bytes that a pipe holds (include/linux/pipe_fs_i.h: PIPE_DEF_BUFFERS pages). */
const PIPE_BYTES = 16 * PAGE_SIZE;
/** A write of so many bytes is not mixed with others (include/uapi/linux/limits.h: PIPE_BUF). */
const PIPE_BUF = 4096;
const POLLIN = 0x1;
const POLLOUT = 0x4;
const POLLERR = 0x8;
const POLLHUP = 0x10;
const POLLRDNORM = 0x40;
const POLLWRNORM = 0x100;

/** A pipe (include/linux/pipe_fs_i.h: struct pipe_inode_info). */
class pipe_inode_info {
  /** written and not read yet */
  bytes = new Uint8Array(0);
  readers = 1;
  writers = 1;
  readonly wait = new wait_queue_head('a pipe');
}

/** fs/pipe.c: anon_pipe_read() */
function* pipe_read(m: Machine, f: file, buf: number, count: number): Gen<number> {
  const pipe = f.private_data as pipe_inode_info;
  if (count === 0) return 0;
  while (pipe.bytes.length === 0) {
    if (pipe.writers === 0) return 0;
    if (f.f_flags & O_NONBLOCK) return -EAGAIN;
    if (signal_pending(m.current)) return -ERESTARTSYS;
    yield* wait_on(m, pipe.wait, TASK_INTERRUPTIBLE);
  }
  const n = Math.min(count, pipe.bytes.length);
  const left = yield* copy_to_user(m, buf, pipe.bytes.slice(0, n), n);
  if (left === n) return -EFAULT;
  pipe.bytes = pipe.bytes.slice(n - left);
  wake_up(m, pipe.wait);
  return n - left;
}

/** fs/pipe.c: anon_pipe_write() */
function* pipe_write(m: Machine, f: file, buf: number, count: number): Gen<number> {
  const pipe = f.private_data as pipe_inode_info;
  let done = 0;
  while (done < count) {
    if (pipe.readers === 0) {
      send_sig(m, SIGPIPE, m.current);
      return done > 0 ? done : -EPIPE;
    }
    const room = PIPE_BYTES - pipe.bytes.length;
    const need = count <= PIPE_BUF ? count : 1;
    if (room < need) {
      if (f.f_flags & O_NONBLOCK) return done > 0 ? done : -EAGAIN;
      if (signal_pending(m.current)) return done > 0 ? done : -ERESTARTSYS;
      yield* wait_on(m, pipe.wait, TASK_INTERRUPTIBLE);
      continue;
    }
    const more = new Uint8Array(Math.min(room, count - done));
    const left = yield* copy_from_user(m, more, buf + done, more.length);
    if (left > 0) return done > 0 ? done : -EFAULT;
    const all = new Uint8Array(pipe.bytes.length + more.length);
    all.set(pipe.bytes);
    all.set(more, pipe.bytes.length);
    pipe.bytes = all;
    done += more.length;
    wake_up(m, pipe.wait);
  }
  return done;
}

/** Returns the operations of one end of a pipe NON-KERNEL (fs/pipe.c: pipeanon_fops). */
function pipe_fops(end: 'readers' | 'writers'): file_operations {
  return {
    read: pipe_read,
    write: pipe_write,
    poll: (_m, f) => {
      const pipe = f.private_data as pipe_inode_info;
      const readable = (pipe.bytes.length > 0 ? POLLIN | POLLRDNORM : 0) | (pipe.writers === 0 ? POLLHUP : 0);
      const writable = (pipe.bytes.length < PIPE_BYTES ? POLLOUT | POLLWRNORM : 0) | (pipe.readers === 0 ? POLLERR : 0);
      return { mask: end === 'readers' ? readable : writable, wait: pipe.wait };
    },
    *release(m, _node, f) {
      const pipe = f.private_data as pipe_inode_info;
      pipe[end]--;
      wake_up(m, pipe.wait);
      return 0;
    },
  };
}

/** pipe2(2) (fs/pipe.c: do_pipe2()). Leaves out O_DIRECT and notification pipes. */
export function* do_pipe2(m: Machine, fildes: number, flags: number): Gen<number> {
  if (flags & ~(O_CLOEXEC | O_NONBLOCK)) return -EINVAL;
  const node = new_inode(m);
  node.i_mode = S_IFIFO | 0o600;
  const pipe = new pipe_inode_info();
  const ends = ([O_RDONLY, O_WRONLY] as const).map((mode) => {
    const fops = pipe_fops(mode === O_RDONLY ? 'readers' : 'writers');
    const f = alloc_file(m, node, `pipe:[${node.i_ino}]`, mode | (flags & O_NONBLOCK), fops);
    f.private_data = pipe;
    return f;
  });
  yield* iput(m, node);
  const fds = ends.map(() => get_unused_fd_flags(m, flags));
  const failed = fds.find((fd) => fd < 0);
  if (failed !== undefined) {
    for (const fd of fds) if (fd >= 0) put_unused_fd(m, fd);
    return failed;
  }
  ends.forEach((end, k) => fd_install(m, fds[k], end));
  return (yield* copy_to_user(m, fildes, new Uint8Array(new Int32Array(fds).buffer), 8)) !== 0 ? -EFAULT : 0;
}

/**
 * Returns a file whose other end is outside of the machine: what is written goes to `sink`, and there is nothing to
 * read. NON-KERNEL.
 */
export function outside_pipe(m: Machine, flags: number, sink: (bytes: Uint8Array) => void): file {
  const node = new_inode(m);
  node.i_mode = S_IFIFO | 0o600;
  const f = alloc_file(m, node, `pipe:[${node.i_ino}]`, flags, {
    *read(): Gen<number> {
      return 0;
    },
    *write(mm, _f, buf, count): Gen<number> {
      const bytes = new Uint8Array(count);
      const left = yield* copy_from_user(mm, bytes, buf, count);
      if (left === count && count > 0) return -EFAULT;
      sink(bytes.subarray(0, count - left));
      return count - left;
    },
    poll: () => ({ mask: POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM, wait: new wait_queue_head('the outside') }),
  });
  node.i_count--;
  return f;
}
