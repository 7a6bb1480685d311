// SPDX-License-Identifier: GPL-2.0-only

import { copy_from_user, copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { EAGAIN, EFAULT, EINVAL } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { wait_event_interruptible, wait_queue_head, wake_up } from '../kernel/sched/wait.ts';
import { fd_install, get_unused_fd_flags } from './file.ts';
import { alloc_file } from './file_table.ts';
import { type file, type file_operations, O_CLOEXEC, O_NONBLOCK, O_RDWR } from './fs.ts';
import { new_inode } from './inode.ts';
import { EPOLLERR, EPOLLIN, EPOLLOUT } from './poll.ts';

const EFD_SEMAPHORE = 1;
const EFD_CLOEXEC = O_CLOEXEC;
const EFD_NONBLOCK = O_NONBLOCK;
const ULLONG_MAX = 0xffffffffffffffffn;

/** The counter of an eventfd (fs/eventfd.c: struct eventfd_ctx). */
class eventfd_ctx {
  readonly wqh = new wait_queue_head('eventfd');
  count: bigint;
  readonly flags: number;
  constructor(count: number, flags: number) {
    this.count = BigInt(count);
    this.flags = flags;
  }
}

/**
 * Returns a file with one reference that is in no directory, such as an eventfd's (fs/anon_inodes.c:
 * anon_inode_getfile()).
 */
export function anon_inode_getfile(
  m: Machine,
  name: string,
  fops: file_operations,
  priv: unknown,
  flags: number,
): file {
  const node = new_inode(m);
  const f = alloc_file(m, node, `anon_inode:${name}`, flags, fops);
  node.i_count--;
  f.private_data = priv;
  return f;
}

/** Operations of an open eventfd (fs/eventfd.c: eventfd_fops). */
const eventfd_fops: file_operations = {
  *read(m, f, buf, count): Gen<number> {
    const ctx = f.private_data as eventfd_ctx;
    if (count < 8) return -EINVAL;
    if (ctx.count === 0n) {
      if (f.f_flags & O_NONBLOCK) return -EAGAIN;
      const ret = yield* wait_event_interruptible(m, ctx.wqh, () => ctx.count > 0n);
      if (ret !== 0) return ret;
    }
    const ucnt = ctx.flags & EFD_SEMAPHORE ? 1n : ctx.count;
    ctx.count -= ucnt;
    wake_up(m, ctx.wqh);
    const bytes = new Uint8Array(new BigUint64Array([ucnt]).buffer);
    return (yield* copy_to_user(m, buf, bytes, 8)) !== 0 ? -EFAULT : 8;
  },
  *write(m, f, buf, count): Gen<number> {
    const ctx = f.private_data as eventfd_ctx;
    if (count !== 8) return -EINVAL;
    const bytes = new Uint8Array(8);
    if ((yield* copy_from_user(m, bytes, buf, 8)) !== 0) return -EFAULT;
    const ucnt = new DataView(bytes.buffer).getBigUint64(0, true);
    if (ucnt === ULLONG_MAX) return -EINVAL;
    if (ULLONG_MAX - ctx.count <= ucnt) {
      if (f.f_flags & O_NONBLOCK) return -EAGAIN;
      const ret = yield* wait_event_interruptible(m, ctx.wqh, () => ULLONG_MAX - ctx.count > ucnt);
      if (ret !== 0) return ret;
    }
    ctx.count += ucnt;
    wake_up(m, ctx.wqh);
    return 8;
  },
  poll(_m, f) {
    const ctx = f.private_data as eventfd_ctx;
    let mask = 0;
    if (ctx.count > 0n) mask |= EPOLLIN;
    if (ctx.count === ULLONG_MAX) mask |= EPOLLERR;
    if (ULLONG_MAX - 1n > ctx.count) mask |= EPOLLOUT;
    return { mask, wait: ctx.wqh };
  },
  *release(m, _i, f): Gen<number> {
    wake_up(m, (f.private_data as eventfd_ctx).wqh);
    return 0;
  },
};

/**
 * The eventfd2 system call. Returns a descriptor, -EINVAL for an unknown flag, or -EMFILE (fs/eventfd.c: do_eventfd()).
 */
export function do_eventfd(m: Machine, count: number, flags: number): number {
  if (flags & ~(EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK)) return -EINVAL;
  const fd = get_unused_fd_flags(m, flags);
  if (fd < 0) return fd;
  const f = anon_inode_getfile(
    m,
    '[eventfd]',
    eventfd_fops,
    new eventfd_ctx(count >>> 0, flags),
    O_RDWR | (flags & EFD_NONBLOCK),
  );
  fd_install(m, fd, f);
  return fd;
}
