// SPDX-License-Identifier: GPL-2.0-only
// Faults that another thread answers, against munmap.

import type { RaceCase } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { type Checks, expect_gone, expect_ret, try_load } from '../vocabulary/expect.ts';
import { PAGE } from '../vocabulary/memory.ts';
import { thread, unmapping } from '../vocabulary/racers.ts';
import * as U from '../../lib/user/uapi.ts';

interface Uffd {
  uffd: number;
  /** an eventfd: the faulting thread is done */
  stop: number;
  msg: number;
  copy: number;
  range: number;
}

/** A userfaultfd that is registered for the page at ptr. */
function* register(c: Libc, x: Checks, ptr: number): Gen<Uffd> {
  const uffd = yield* c.userfaultfd(U.O_CLOEXEC | U.O_NONBLOCK);
  x.check(uffd >= 0, `userfaultfd: ${U.strerror(c.errno)}`);
  const api = yield* c.malloc(U.UFFDIO_API_ARG.size);
  yield* c.store64(api + U.UFFDIO_API_ARG.api, U.UFFD_API);
  yield* c.store64(api + U.UFFDIO_API_ARG.features, 0);
  expect_ret(x, yield* c.ioctl(uffd, U.UFFDIO_API, api), [0], 'UFFDIO_API');
  const R = U.UFFDIO_REGISTER_ARG;
  const reg = yield* c.malloc(R.size);
  yield* c.store64(reg + R.start, ptr);
  yield* c.store64(reg + R.len, PAGE);
  yield* c.store64(reg + R.mode, U.UFFDIO_REGISTER_MODE_MISSING);
  expect_ret(x, yield* c.ioctl(uffd, U.UFFDIO_REGISTER, reg), [0], 'UFFDIO_REGISTER');
  const F = U.UFFDIO_COPY_ARG;
  const copy = yield* c.malloc(F.size);
  const page = yield* c.malloc(PAGE);
  yield* c.memset(page, 0, PAGE);
  yield* c.store32(page, 77);
  yield* c.store64(copy + F.dst, ptr);
  yield* c.store64(copy + F.src, page);
  yield* c.store64(copy + F.len, PAGE);
  yield* c.store64(copy + F.mode, 0);
  yield* c.store64(copy + F.copy, 0);
  const range = yield* c.malloc(U.UFFDIO_RANGE_ARG.size);
  yield* c.store64(range + U.UFFDIO_RANGE_ARG.start, ptr);
  yield* c.store64(range + U.UFFDIO_RANGE_ARG.len, PAGE);
  const msg = yield* c.malloc(U.UFFD_MSG.size);
  yield* c.memset(msg, 0, U.UFFD_MSG.size);
  const stop = yield* c.eventfd(0, U.EFD_CLOEXEC);
  x.check(stop >= 0, 'eventfd');
  return { uffd, stop, msg, copy, range };
}

/**
 * Answers faults until the faulting thread says that it is done; a page that is gone is answered by waking who waits.
 */
function* answer(t: Libc, x: Checks, u: Uffd): Gen<void> {
  const fds = [
    { fd: u.uffd, events: U.POLLIN, revents: 0 },
    { fd: u.stop, events: U.POLLIN, revents: 0 },
  ];
  for (;;) {
    expect_ret(x, yield* t.poll(fds, -1), [1, 2], 'poll');
    if (fds[1]?.revents !== 0) return;
    const n = yield* t.read(u.uffd, u.msg, U.UFFD_MSG.size);
    // The fault may have gone again: munmap does not wake it, but a wake-up of this loop may.
    if (n < 0) continue;
    const ret = (yield* t.ioctl(u.uffd, U.UFFDIO_COPY, u.copy)) === 0 ? 0 : -t.errno;
    expect_ret(x, ret, [0, -U.ENOENT], 'UFFDIO_COPY');
    if (ret === 0) continue;
    expect_ret(x, yield* t.ioctl(u.uffd, U.UFFDIO_WAKE, u.range), [0], 'UFFDIO_WAKE');
  }
}

const uffd_vs_munmap: RaceCase = {
  name: 'uffd-vs-munmap',
  summary: 'a fault waits for userfaultfd, which answers it while a third thread unmaps the page',
  *run(c, x) {
    const ptr = yield* c.mmap(U.NULL, PAGE, U.PROT_READ | U.PROT_WRITE, U.MAP_PRIVATE | U.MAP_ANONYMOUS, -1, 0);
    x.check(ptr !== U.MAP_FAILED, 'mmap');
    const u = yield* register(c, x, ptr);
    const one = yield* c.malloc(8);
    yield* c.store64(one, 1);
    yield* x.together([
      thread('load', function* (t) {
        const v = yield* try_load(t, x, ptr);
        x.check(v === 77 || v === 'SIGSEGV', `the load gave ${v}`);
        yield* t.write(u.stop, one, 8);
      }),
      unmapping(x, ptr, 1),
      thread('answer', (t) => answer(t, x, u)),
    ]);
    yield* expect_gone(c, x, ptr, 'munmap');
    yield* c.close(u.uffd);
    yield* c.close(u.stop);
  },
};

export const uffd_cases: readonly RaceCase[] = [uffd_vs_munmap];
