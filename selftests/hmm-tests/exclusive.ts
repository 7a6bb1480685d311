// SPDX-License-Identifier: GPL-2.0-only
// The device gets exclusive access to pages, as for atomic operations on system memory.

import type { Libc } from '../../lib/user/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import {
  buffer_npages,
  fill_ints,
  type Hmm,
  hmm_buffer,
  hmm_buffer_free,
  hmm_dmirror_cmd,
  type HmmBuffer,
  INT,
  ints,
  ints_increment,
} from './buffer.ts';
import * as U from './uapi.ts';

const RW = U.PROT_READ | U.PROT_WRITE;
const ANON = U.MAP_PRIVATE | U.MAP_ANONYMOUS;

/** Returns a filled buffer of npages to which the device has exclusive access. */
function* exclusive_buffer(env: Hmm, npages: number): Gen<HmmBuffer> {
  const { self, c, t } = env;
  const size = npages << self.page_shift;
  const buffer = yield* hmm_buffer(env, size, size, RW, ANON);
  yield* fill_ints(c, buffer.ptr, 0, size / INT);
  const ret = yield* hmm_dmirror_cmd(c, self.fd, U.HMM_DMIRROR_EXCLUSIVE, buffer, npages);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');
  return buffer;
}

/** A CPU access ends the device's exclusive access. */
export function* exclusive(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  const npages = buffer_npages(env);
  const n = (npages << self.page_shift) / INT;
  const buffer = yield* exclusive_buffer(env, npages);
  t.ASSERT_EQ(...(yield* ints(c, buffer.mirror, 0, n)), 'ptr[i]', 'i');

  t.ASSERT_EQ(...(yield* ints_increment(c, buffer.ptr, n)), 'ptr[i]++', 'i');
  t.ASSERT_EQ(...(yield* ints(c, buffer.ptr, 0, n, 1, 1)), 'ptr[i]', 'i+1');

  const ret = yield* hmm_dmirror_cmd(c, self.fd, U.HMM_DMIRROR_CHECK_EXCLUSIVE, buffer, npages);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  yield* hmm_buffer_free(c, buffer);
}

/** mprotect() to read-only applies to pages with exclusive access. */
export function* exclusive_mprotect(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  const npages = buffer_npages(env);
  const size = npages << self.page_shift;
  const buffer = yield* exclusive_buffer(env, npages);
  t.ASSERT_EQ(...(yield* ints(c, buffer.mirror, 0, size / INT)), 'ptr[i]', 'i');

  let ret = yield* c.mprotect(buffer.ptr, size, U.PROT_READ);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  ret = yield* hmm_dmirror_cmd(c, self.fd, U.HMM_DMIRROR_WRITE, buffer, npages);
  t.ASSERT_EQ(ret, -U.EPERM, 'ret', '-EPERM');
  yield* hmm_buffer_free(c, buffer);
}

/** After fork() parent and child write their own copies of pages with exclusive access. */
export function* exclusive_cow(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  const npages = buffer_npages(env);
  const n = (npages << self.page_shift) / INT;
  const buffer = yield* exclusive_buffer(env, npages);

  // A failed assertion in the child aborts it, which the parent sees below.
  const pid = yield* c.fork(function* (child: Libc): Gen<number> {
    t.ASSERT_EQ(...(yield* ints_increment(child, buffer.ptr, n)), 'ptr[i]++', 'i');
    t.ASSERT_EQ(...(yield* ints(child, buffer.ptr, 0, n, 1, 1)), 'ptr[i]', 'i + 1');
    return 0;
  });
  if (pid === -1) t.ASSERT_EQ(pid, 0, 'pid', '0');

  t.ASSERT_EQ(...(yield* ints_increment(c, buffer.ptr, n)), 'ptr[i]++', 'i');
  t.ASSERT_EQ(...(yield* ints(c, buffer.ptr, 0, n, 1, 1)), 'ptr[i]', 'i + 1');

  const waited = yield* c.waitpid(pid, 0);
  t.ASSERT_EQ(waited.pid, pid, 'waitpid(pid, &status, 0)', 'pid');
  t.ASSERT_TRUE(U.WIFEXITED(waited.status), 'WIFEXITED(status)');
  t.ASSERT_EQ(U.WEXITSTATUS(waited.status), 0, 'WEXITSTATUS(status)', '0');
  yield* hmm_buffer_free(c, buffer);
}
