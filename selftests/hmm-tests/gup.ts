// SPDX-License-Identifier: GPL-2.0-only
// get_user_pages() on device memory, and copy-on-write of device memory.

import type { Libc } from '../../lib/user/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import {
  fill_ints,
  type Hmm,
  hmm_buffer,
  hmm_buffer_free,
  hmm_dmirror_cmd,
  hmm_is_coherent_type,
  hmm_migrate_sys_to_dev,
  INT,
  ints,
  perror,
} from './buffer.ts';
import * as U from './uapi.ts';

const RW = U.PROT_READ | U.PROT_WRITE;
const ANON = U.MAP_PRIVATE | U.MAP_ANONYMOUS;

/** Runs the gup_test driver once with FOLL_WRITE. Returns 0 or errno. */
function* gup_test_exec(
  c: Libc,
  gup_fd: number,
  addr: number,
  cmd: number,
  npages: number,
  size: number,
  flags: number,
): Gen<number> {
  const F = U.GUP_TEST;
  const gup = yield* c.malloc(F.size);
  yield* c.memset(gup, 0, F.size);
  yield* c.store64(gup + F.addr, addr);
  yield* c.store64(gup + F.len, size);
  yield* c.store32(gup + F.nr_pages_per_call, npages);
  yield* c.store32(gup + F.gup_flags, U.FOLL_WRITE | flags);
  const ret = yield* c.ioctl(gup_fd, cmd, gup);
  const errno = c.errno;
  yield* c.free(gup);
  if (ret === 0) return 0;
  c.errno = errno;
  perror(c, 'ioctl on error\n');
  return errno;
}

/**
 * Four device pages, each obtained by another variant of get_user_pages(). Long-term pins migrate the page to system
 * memory first; the others leave a coherent page in place.
 */
export function* hmm_gup_test(env: Hmm): Gen<void> {
  const { self, variant, c, t } = env;
  const gup_fd = yield* c.open('/sys/kernel/debug/gup_test', U.O_RDWR);
  if (gup_fd === -1) t.SKIP('Skipping test, could not find gup_test driver');

  const npages = 4;
  const size = npages << self.page_shift;
  const n = size / INT;
  const buffer = yield* hmm_buffer(env, size, size, RW, ANON);
  yield* fill_ints(c, buffer.ptr, 0, n);

  let ret = yield* hmm_migrate_sys_to_dev(c, self.fd, buffer, npages);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');
  t.ASSERT_EQ(...(yield* ints(c, buffer.mirror, 0, n)), 'ptr[i]', 'i');

  const page_size = self.page_size;
  ret = yield* gup_test_exec(c, gup_fd, buffer.ptr, U.GUP_BASIC_TEST, 1, page_size, 0);
  t.ASSERT_EQ(ret, 0, 'gup_test_exec(gup_fd, (unsigned long)buffer->ptr, GUP_BASIC_TEST, 1, self->page_size, 0)', '0');
  ret = yield* gup_test_exec(c, gup_fd, buffer.ptr + 1 * page_size, U.GUP_FAST_BENCHMARK, 1, page_size, 0);
  t.ASSERT_EQ(
    ret,
    0,
    'gup_test_exec(gup_fd, (unsigned long)buffer->ptr + 1 * self->page_size, GUP_FAST_BENCHMARK, 1, self->page_size, 0)',
    '0',
  );
  ret = yield* gup_test_exec(
    c,
    gup_fd,
    buffer.ptr + 2 * page_size,
    U.PIN_FAST_BENCHMARK,
    1,
    page_size,
    U.FOLL_LONGTERM,
  );
  t.ASSERT_EQ(
    ret,
    0,
    'gup_test_exec(gup_fd, (unsigned long)buffer->ptr + 2 * self->page_size, PIN_FAST_BENCHMARK, 1, self->page_size, FOLL_LONGTERM)',
    '0',
  );
  ret = yield* gup_test_exec(c, gup_fd, buffer.ptr + 3 * page_size, U.PIN_LONGTERM_BENCHMARK, 1, page_size, 0);
  t.ASSERT_EQ(
    ret,
    0,
    'gup_test_exec(gup_fd, (unsigned long)buffer->ptr + 3 * self->page_size, PIN_LONGTERM_BENCHMARK, 1, self->page_size, 0)',
    '0',
  );

  ret = yield* hmm_dmirror_cmd(c, self.fd, U.HMM_DMIRROR_SNAPSHOT, buffer, npages);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');
  const m: number[] = [];
  for (let i = 0; i < npages; i++) m.push(yield* c.load8(buffer.mirror + i));
  const W = U.HMM_DMIRROR_PROT_WRITE;
  if (hmm_is_coherent_type(variant.device_number)) {
    const local = U.HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL | W;
    t.ASSERT_EQ(local, m[0], 'HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL | HMM_DMIRROR_PROT_WRITE', 'm[0]');
    t.ASSERT_EQ(local, m[1], 'HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL | HMM_DMIRROR_PROT_WRITE', 'm[1]');
  } else {
    t.ASSERT_EQ(W, m[0], 'HMM_DMIRROR_PROT_WRITE', 'm[0]');
    t.ASSERT_EQ(W, m[1], 'HMM_DMIRROR_PROT_WRITE', 'm[1]');
  }
  t.ASSERT_EQ(W, m[2], 'HMM_DMIRROR_PROT_WRITE', 'm[2]');
  t.ASSERT_EQ(W, m[3], 'HMM_DMIRROR_PROT_WRITE', 'm[3]');

  t.ASSERT_EQ(...(yield* ints(c, buffer.ptr, 0, n)), 'ptr[i]', 'i');
  yield* c.close(gup_fd);
  yield* hmm_buffer_free(c, buffer);
}

/** The parent writes device pages that a live child shares; the copies are in system memory. */
export function* hmm_cow_in_device(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  const npages = 4;
  const size = npages << self.page_shift;
  const n = size / INT;
  const buffer = yield* hmm_buffer(env, size, size, RW, ANON);
  yield* fill_ints(c, buffer.ptr, 0, n);

  let ret = yield* hmm_migrate_sys_to_dev(c, self.fd, buffer, npages);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');

  // Upstream's child spins. User code without memory accesses takes no modelled time, so here it sleeps until it is
  // killed.
  const pid = yield* c.fork(function* (child: Libc): Gen<void> {
    for (;;) yield* child.pause();
  });
  if (pid === -1) t.ASSERT_EQ(pid, 0, 'pid', '0');
  yield* fill_ints(c, buffer.ptr, 0, n);

  t.EXPECT_EQ(0, yield* c.kill(pid, U.SIGKILL), '0', 'kill(pid, SIGKILL)');
  const waited = yield* c.waitpid(pid, 0);
  t.EXPECT_EQ(pid, waited.pid, 'pid', 'waitpid(pid, &status, 0)');
  t.EXPECT_NE(0, U.WIFSIGNALED(waited.status), '0', 'WIFSIGNALED(status)');
  t.EXPECT_EQ(U.SIGKILL, U.WTERMSIG(waited.status), 'SIGKILL', 'WTERMSIG(status)');

  ret = yield* hmm_dmirror_cmd(c, self.fd, U.HMM_DMIRROR_SNAPSHOT, buffer, npages);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');
  for (let i = 0; i < npages; i++) {
    t.ASSERT_EQ(U.HMM_DMIRROR_PROT_WRITE, yield* c.load8(buffer.mirror + i), 'HMM_DMIRROR_PROT_WRITE', 'm[i]');
  }
  yield* hmm_buffer_free(c, buffer);
}
