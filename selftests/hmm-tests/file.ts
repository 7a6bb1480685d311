// SPDX-License-Identifier: GPL-2.0-only
// The device reads and writes a shared file mapping. Neither test closes the file; exit does.

import type { Gen } from '../../lib/kernel/gen.ts';
import {
  buffer_npages,
  fill_ints,
  type Hmm,
  hmm_buffer,
  hmm_buffer_free,
  hmm_create_file,
  hmm_dmirror_cmd,
  INT,
  ints,
} from './buffer.ts';
import * as U from './uapi.ts';

/** The device reads what pwrite() wrote to the file. */
export function* file_read(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  const npages = buffer_npages(env);
  const size = npages << self.page_shift;
  const n = size / INT;
  const fd = yield* hmm_create_file(c, size);
  t.ASSERT_GE(fd, 0, 'fd', '0');
  const buffer = yield* hmm_buffer(env, size, size, U.PROT_READ, U.MAP_SHARED, fd);

  yield* fill_ints(c, buffer.mirror, 0, n);
  const len = yield* c.pwrite(fd, buffer.mirror, size, 0);
  t.ASSERT_EQ(len, size, 'len', 'size');
  yield* c.memset(buffer.mirror, 0, size);

  const ret = yield* hmm_dmirror_cmd(c, self.fd, U.HMM_DMIRROR_READ, buffer, npages);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');
  t.ASSERT_EQ(buffer.faults, 1, 'buffer->faults', '1');

  t.ASSERT_EQ(...(yield* ints(c, buffer.mirror, 0, n)), 'ptr[i]', 'i');
  yield* hmm_buffer_free(c, buffer);
}

/** The device's writes show in the mapping and in the file. */
export function* file_write(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  const npages = buffer_npages(env);
  const size = npages << self.page_shift;
  const n = size / INT;
  const fd = yield* hmm_create_file(c, size);
  t.ASSERT_GE(fd, 0, 'fd', '0');
  const buffer = yield* hmm_buffer(env, size, size, U.PROT_READ | U.PROT_WRITE, U.MAP_SHARED, fd);

  yield* fill_ints(c, buffer.mirror, 0, n);
  const ret = yield* hmm_dmirror_cmd(c, self.fd, U.HMM_DMIRROR_WRITE, buffer, npages);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');
  t.ASSERT_EQ(buffer.faults, 1, 'buffer->faults', '1');

  t.ASSERT_EQ(...(yield* ints(c, buffer.ptr, 0, n)), 'ptr[i]', 'i');
  const len = yield* c.pread(fd, buffer.mirror, size, 0);
  t.ASSERT_EQ(len, size, 'len', 'size');
  t.ASSERT_EQ(...(yield* ints(c, buffer.mirror, 0, n)), 'ptr[i]', 'i');
  yield* hmm_buffer_free(c, buffer);
}
