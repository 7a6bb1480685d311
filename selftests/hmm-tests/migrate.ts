// SPDX-License-Identifier: GPL-2.0-only
// Migration of memory to a device and back, page by page.

import type { Gen } from '../../lib/kernel/gen.ts';
import {
  buffer_npages,
  fill_ints,
  type Hmm,
  type Hmm2,
  hmm_buffer,
  hmm_buffer_free,
  hmm_create_file,
  hmm_dmirror_cmd,
  hmm_is_coherent_type,
  hmm_migrate_dev_to_sys,
  hmm_migrate_sys_to_dev,
  type HmmBuffer,
  INT,
  ints,
  NTIMES,
} from './buffer.ts';
import * as U from './uapi.ts';

const RW = U.PROT_READ | U.PROT_WRITE;
const ANON = U.MAP_PRIVATE | U.MAP_ANONYMOUS;

/** Fills the buffer and migrates it; the device has to receive every word. */
function* fill_and_migrate(env: Hmm, buffer: HmmBuffer, npages: number): Gen<void> {
  const { self, c, t } = env;
  const n = (npages << self.page_shift) / INT;
  yield* fill_ints(c, buffer.ptr, 0, n);
  const ret = yield* hmm_migrate_sys_to_dev(c, self.fd, buffer, npages);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');
  t.ASSERT_EQ(...(yield* ints(c, buffer.mirror, 0, n)), 'ptr[i]', 'i');
}

/** Migrates private anonymous memory. */
export function* migrate(env: Hmm): Gen<void> {
  const npages = buffer_npages(env);
  const size = npages << env.self.page_shift;
  const buffer = yield* hmm_buffer(env, size, size, RW, ANON);
  yield* fill_and_migrate(env, buffer, npages);
  yield* hmm_buffer_free(env.c, buffer);
}

/** Migrates the private copies of a file's pages. */
export function* migrate_file_private(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  const npages = buffer_npages(env);
  const size = npages << self.page_shift;
  const fd = yield* hmm_create_file(c, size);
  t.ASSERT_GE(fd, 0, 'fd', '0');
  const buffer = yield* hmm_buffer(env, size, size, RW, U.MAP_PRIVATE, fd);
  yield* fill_and_migrate(env, buffer, npages);
  yield* hmm_buffer_free(c, buffer);
}

/** Half of the buffer faults back; then the mix of both kinds of memory migrates again. */
export function* migrate_fault(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  const npages = buffer_npages(env);
  const size = npages << self.page_shift;
  const n = size / INT;
  const buffer = yield* hmm_buffer(env, size, size, RW, ANON);
  yield* fill_and_migrate(env, buffer, npages);

  t.ASSERT_EQ(...(yield* ints(c, buffer.ptr, 0, n / 2)), 'ptr[i]', 'i');

  const ret = yield* hmm_migrate_sys_to_dev(c, self.fd, buffer, npages);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');
  t.ASSERT_EQ(...(yield* ints(c, buffer.mirror, 0, n)), 'ptr[i]', 'i');
  yield* hmm_buffer_free(c, buffer);
}

/** The device releases its memory, and the data is in system memory again. */
export function* migrate_release(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  const npages = buffer_npages(env);
  const size = npages << self.page_shift;
  const n = size / INT;
  const buffer = yield* hmm_buffer(env, size, size, RW, ANON);
  yield* fill_and_migrate(env, buffer, npages);

  const ret = yield* hmm_dmirror_cmd(c, self.fd, U.HMM_DMIRROR_RELEASE, buffer, npages);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(...(yield* ints(c, buffer.ptr, 0, n / 2)), 'ptr[i]', 'i');
  yield* hmm_buffer_free(c, buffer);
}

/** Shared anonymous memory is page cache, which cannot be collected. */
export function* migrate_shared(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  const npages = buffer_npages(env);
  const size = npages << self.page_shift;
  const buffer = yield* hmm_buffer(env, size, size, RW, U.MAP_SHARED | U.MAP_ANONYMOUS);
  const ret = yield* hmm_migrate_sys_to_dev(c, self.fd, buffer, npages);
  t.ASSERT_EQ(ret, -U.ENOENT, 'ret', '-ENOENT');
  yield* hmm_buffer_free(c, buffer);
}

/**
 * Six pages: 0 PROT_NONE, 1 a hole, 2 the zero page read-only, 3 read-only, 4 and 5 writable. Ranges that more than one
 * vma covers are refused, pages 2 to 5 migrate to device 1, and device 0 does not get the pages of device 1.
 */
export function* migrate_mixed(env: Hmm2): Gen<void> {
  const { self, c, t } = env;
  const npages = 6;
  const size = npages << self.page_shift;
  const buffer = yield* hmm_buffer(env, size, size, U.PROT_NONE, ANON);
  const p = buffer.ptr;
  const page = (k: number): number => p + k * self.page_size;

  let ret = yield* hmm_migrate_sys_to_dev(c, self.fd1, buffer, npages);
  t.ASSERT_EQ(ret, -U.EINVAL, 'ret', '-EINVAL');

  ret = yield* c.munmap(page(1), self.page_size);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  ret = yield* hmm_migrate_sys_to_dev(c, self.fd1, buffer, 3);
  t.ASSERT_EQ(ret, -U.EINVAL, 'ret', '-EINVAL');

  ret = yield* c.mprotect(page(2), self.page_size, U.PROT_READ);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  const val = (yield* c.load32(page(2))) + 3;
  t.ASSERT_EQ(val, 3, 'val', '3');

  ret = yield* c.mprotect(page(3), self.page_size, RW);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  yield* c.store32(page(3), val);
  ret = yield* c.mprotect(page(3), self.page_size, U.PROT_READ);
  t.ASSERT_EQ(ret, 0, 'ret', '0');

  ret = yield* c.mprotect(page(4), 2 * self.page_size, RW);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  yield* c.store32(page(4), val);
  yield* c.store32(page(5), val);

  buffer.ptr = page(2);
  ret = yield* hmm_migrate_sys_to_dev(c, self.fd1, buffer, 4);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(buffer.cpages, 4, 'buffer->cpages', '4');

  buffer.ptr = page(5);
  ret = yield* hmm_migrate_sys_to_dev(c, self.fd0, buffer, 1);
  t.ASSERT_EQ(ret, -U.ENOENT, 'ret', '-ENOENT');

  buffer.ptr = p;
  yield* hmm_buffer_free(c, buffer);
}

/** Migrates to the device and back ten times: private pages return by CPU faults, coherent ones by a migration. */
export function* migrate_multiple(env: Hmm): Gen<void> {
  const { self, variant, c, t } = env;
  const npages = buffer_npages(env);
  const size = npages << self.page_shift;
  const n = size / INT;
  for (let k = 0; k < NTIMES; k++) {
    const buffer = yield* hmm_buffer(env, size, size, RW, ANON);
    yield* fill_and_migrate(env, buffer, npages);

    if (hmm_is_coherent_type(variant.device_number)) {
      const ret = yield* hmm_migrate_dev_to_sys(c, self.fd, buffer, npages);
      t.ASSERT_EQ(ret, 0, 'ret', '0');
      t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');
    }
    t.ASSERT_EQ(...(yield* ints(c, buffer.ptr, 0, n)), 'ptr[i]', 'i');
    yield* hmm_buffer_free(c, buffer);
  }
}
