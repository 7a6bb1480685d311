// SPDX-License-Identifier: GPL-2.0-only
// The device reads pages that a thread supplies through userfaultfd while the kernel has dropped mmap_lock.

import type { Libc } from '../../lib/user/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { type Hmm, hmm_buffer_free, hmm_dmirror_cmd, type HmmBuffer } from './buffer.ts';
import * as U from './uapi.ts';

interface UffdThreadArgs {
  uffd: number;
  stop_fd: number;
  page_buffer: number;
  page_size: number;
}

/** Resolves each missing page by one full of 0xab until stop_fd is readable or an error occurs. */
function* uffd_handler_thread(c: Libc, args: UffdThreadArgs): Gen<void> {
  const msg = yield* c.malloc(U.UFFD_MSG.size);
  const copy = yield* c.malloc(U.UFFDIO_COPY_ARG.size);
  const F = U.UFFDIO_COPY_ARG;
  const pollfd = [
    { fd: args.uffd, events: U.POLLIN, revents: 0 },
    { fd: args.stop_fd, events: U.POLLIN, revents: 0 },
  ];
  for (;;) {
    if ((yield* c.poll(pollfd, -1)) <= 0) break;
    if (pollfd[1].revents !== 0) break;
    if ((pollfd[0].revents & U.POLLIN) === 0) break;
    if ((yield* c.read(args.uffd, msg, U.UFFD_MSG.size)) !== U.UFFD_MSG.size) break;
    if ((yield* c.load8(msg + U.UFFD_MSG.event)) !== U.UFFD_EVENT_PAGEFAULT) break;

    yield* c.memset(args.page_buffer, 0xab, args.page_size);
    const address = yield* c.load64(msg + U.UFFD_MSG.address);
    yield* c.store64(copy + F.dst, address - (address % args.page_size));
    yield* c.store64(copy + F.src, args.page_buffer);
    yield* c.store64(copy + F.len, args.page_size);
    yield* c.store64(copy + F.mode, 0);
    yield* c.store64(copy + F.copy, 0);
    if ((yield* c.ioctl(args.uffd, U.UFFDIO_COPY, copy)) < 0) break;
  }
}

/** hmm_range_fault_unlocked_timeout() without a timeout: the handler's data has to reach the device. */
export function* userfaultfd_read(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  const npages = 4;
  const size = npages << self.page_shift;

  const uffd = yield* c.userfaultfd(U.O_CLOEXEC | U.O_NONBLOCK);
  if (uffd < 0) t.SKIP('userfaultfd not available');

  const api = yield* c.malloc(U.UFFDIO_API_ARG.size);
  yield* c.store64(api + U.UFFDIO_API_ARG.api, U.UFFD_API);
  yield* c.store64(api + U.UFFDIO_API_ARG.features, 0);
  let ret = yield* c.ioctl(uffd, U.UFFDIO_API, api);
  t.ASSERT_EQ(ret, 0, 'ret', '0');

  const addr = yield* c.malloc(48);
  t.ASSERT_NE(addr, U.NULL, 'buffer', 'NULL');
  const buffer: HmmBuffer = { addr, ptr: U.NULL, mirror: U.NULL, size, fd: -1, cpages: 0, faults: 0 };
  buffer.mirror = yield* c.malloc(size);
  t.ASSERT_NE(buffer.mirror, U.NULL, 'buffer->mirror', 'NULL');
  const ptr = yield* c.mmap(U.NULL, size, U.PROT_READ | U.PROT_WRITE, U.MAP_PRIVATE | U.MAP_ANONYMOUS, -1, 0);
  t.ASSERT_NE(ptr, U.MAP_FAILED, 'buffer->ptr', 'MAP_FAILED');
  buffer.ptr = ptr;

  const F = U.UFFDIO_REGISTER_ARG;
  const reg = yield* c.malloc(F.size);
  yield* c.store64(reg + F.start, buffer.ptr);
  yield* c.store64(reg + F.len, size);
  yield* c.store64(reg + F.mode, U.UFFDIO_REGISTER_MODE_MISSING);
  ret = yield* c.ioctl(uffd, U.UFFDIO_REGISTER, reg);
  t.ASSERT_EQ(ret, 0, 'ret', '0');

  const stop_fd = yield* c.eventfd(0, U.EFD_CLOEXEC);
  t.ASSERT_GE(stop_fd, 0, 'stop_fd', '0');
  const page_buffer = yield* c.malloc(self.page_size);
  t.ASSERT_NE(page_buffer, U.NULL, 'uffd_args.page_buffer', 'NULL');
  const uffd_args = { uffd, stop_fd, page_buffer, page_size: self.page_size };

  const thread = yield* c.pthread_create((th) => uffd_handler_thread(th, uffd_args));
  ret = thread === -1 ? c.errno : 0;
  t.ASSERT_EQ(ret, 0, 'ret', '0');

  ret = yield* hmm_dmirror_cmd(c, self.fd, U.HMM_DMIRROR_READ_UNLOCKED, buffer, npages);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');

  for (let i = 0; i < size; ++i) {
    t.ASSERT_EQ(yield* c.load8(buffer.mirror + i), 0xab, 'ptr[i]', '(unsigned char)0xAB');
  }

  const stop = yield* c.malloc(8);
  yield* c.store64(stop, 1);
  const nwrite = yield* c.write(stop_fd, stop, 8);
  t.ASSERT_EQ(nwrite, 8, 'nwrite', 'sizeof(stop)');
  yield* c.pthread_join(thread);
  yield* c.close(stop_fd);
  yield* c.free(page_buffer);
  yield* c.close(uffd);
  yield* hmm_buffer_free(c, buffer);
}
