// SPDX-License-Identifier: GPL-2.0-only
// The device's view of the CPU's page tables without faults, and one range under two devices.

import type { Gen } from '../../lib/kernel/gen.ts';
import {
  ALIGN,
  fill_ints,
  type Hmm,
  type Hmm2,
  hmm_buffer,
  hmm_buffer_alloc,
  hmm_buffer_free,
  hmm_dmirror_cmd,
  hmm_is_coherent_type,
  hmm_migrate_sys_to_dev,
  INT,
  ints,
  TWOMEG,
} from './buffer.ts';
import { default_huge_page_size, hugetlb_free_default_pages, type HugetlbSettings } from './hugepage_settings.ts';
import * as U from './uapi.ts';

const RW = U.PROT_READ | U.PROT_WRITE;
const ANON = U.MAP_PRIVATE | U.MAP_ANONYMOUS;

/** A private mapping of the driver, whose only page the driver inserts. */
export function* mixedmap(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  const npages = 1;
  const size = npages << self.page_shift;
  const buffer = yield* hmm_buffer(env, size, npages, RW, U.MAP_PRIVATE, self.fd);

  const ret = yield* hmm_dmirror_cmd(c, self.fd, U.HMM_DMIRROR_SNAPSHOT, buffer, npages);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');
  t.ASSERT_EQ(yield* c.load8(buffer.mirror), U.HMM_DMIRROR_PROT_READ, 'm[0]', 'HMM_DMIRROR_PROT_READ');
  yield* hmm_buffer_free(c, buffer);
}

/**
 * Seven pages: 0 PROT_NONE, 1 a hole, 2 the zero page read-only, 3 read-only, 4 writable, 5 on device 0, 6 on device 1;
 * seen from device 0.
 */
export function* snapshot(env: Hmm2): Gen<void> {
  const { self, variant, c, t } = env;
  const npages = 7;
  const size = npages << self.page_shift;
  const buffer = yield* hmm_buffer(env, size, npages, U.PROT_NONE, ANON);
  const p = buffer.ptr;
  const page = (k: number): number => p + k * self.page_size;

  let ret = yield* c.munmap(page(1), self.page_size);
  t.ASSERT_EQ(ret, 0, 'ret', '0');

  ret = yield* c.mprotect(page(2), self.page_size, U.PROT_READ);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  const val = (yield* c.load32(page(2))) + 3;
  t.ASSERT_EQ(val, 3, 'val', '3');

  ret = yield* c.mprotect(page(3), self.page_size, RW);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  yield* c.store32(page(3), val);
  ret = yield* c.mprotect(page(3), self.page_size, U.PROT_READ);
  t.ASSERT_EQ(ret, 0, 'ret', '0');

  ret = yield* c.mprotect(page(4), 3 * self.page_size, RW);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  yield* c.store32(page(4), val);

  buffer.ptr = page(5);
  ret = yield* hmm_migrate_sys_to_dev(c, self.fd0, buffer, 1);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(buffer.cpages, 1, 'buffer->cpages', '1');

  buffer.ptr = page(6);
  ret = yield* hmm_migrate_sys_to_dev(c, self.fd1, buffer, 1);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(buffer.cpages, 1, 'buffer->cpages', '1');

  buffer.ptr = p;
  ret = yield* hmm_dmirror_cmd(c, self.fd0, U.HMM_DMIRROR_SNAPSHOT, buffer, npages);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');

  const m: number[] = [];
  for (let i = 0; i < npages; i++) m.push(yield* c.load8(buffer.mirror + i));
  const W = U.HMM_DMIRROR_PROT_WRITE;
  t.ASSERT_EQ(m[0], U.HMM_DMIRROR_PROT_ERROR, 'm[0]', 'HMM_DMIRROR_PROT_ERROR');
  t.ASSERT_EQ(m[1], U.HMM_DMIRROR_PROT_ERROR, 'm[1]', 'HMM_DMIRROR_PROT_ERROR');
  t.ASSERT_EQ(
    m[2],
    U.HMM_DMIRROR_PROT_ZERO | U.HMM_DMIRROR_PROT_READ,
    'm[2]',
    'HMM_DMIRROR_PROT_ZERO | HMM_DMIRROR_PROT_READ',
  );
  t.ASSERT_EQ(m[3], U.HMM_DMIRROR_PROT_READ, 'm[3]', 'HMM_DMIRROR_PROT_READ');
  t.ASSERT_EQ(m[4], W, 'm[4]', 'HMM_DMIRROR_PROT_WRITE');
  if (!hmm_is_coherent_type(variant.device_number0)) {
    const local = U.HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | W;
    t.ASSERT_EQ(m[5], local, 'm[5]', 'HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | HMM_DMIRROR_PROT_WRITE');
    t.ASSERT_EQ(m[6], U.HMM_DMIRROR_PROT_NONE, 'm[6]', 'HMM_DMIRROR_PROT_NONE');
  } else {
    const local = U.HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL | W;
    const remote = U.HMM_DMIRROR_PROT_DEV_COHERENT_REMOTE | W;
    t.ASSERT_EQ(m[5], local, 'm[5]', 'HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL | HMM_DMIRROR_PROT_WRITE');
    t.ASSERT_EQ(m[6], remote, 'm[6]', 'HMM_DMIRROR_PROT_DEV_COHERENT_REMOTE | HMM_DMIRROR_PROT_WRITE');
  }
  yield* hmm_buffer_free(c, buffer);
}

/** A hugetlbfs page has to be reported as PMD or PUD everywhere, first writable and then read-only. */
export function compound(settings: HugetlbSettings): (env: Hmm) => Gen<void> {
  return function* (env) {
    const { self, c, t } = env;
    const default_hsize = yield* default_huge_page_size(c, settings);
    if ((yield* hugetlb_free_default_pages(c, settings)) === 0) t.SKIP('Not enough huge pages');

    const size = ALIGN(TWOMEG, default_hsize);
    const npages = size / self.page_size;
    const buffer = yield* hmm_buffer_alloc(c, size, npages, RW, ANON | U.MAP_HUGETLB, -1);
    if (buffer === null) return t.SKIP('Huge page could not be allocated');
    yield* fill_ints(c, buffer.ptr, 0, size / INT);

    for (const access of [U.HMM_DMIRROR_PROT_WRITE, U.HMM_DMIRROR_PROT_READ]) {
      if (access === U.HMM_DMIRROR_PROT_READ) {
        const ret = yield* c.mprotect(buffer.ptr, size, U.PROT_READ);
        t.ASSERT_EQ(ret, 0, 'ret', '0');
      }
      const ret = yield* hmm_dmirror_cmd(c, self.fd, U.HMM_DMIRROR_SNAPSHOT, buffer, npages);
      t.ASSERT_EQ(ret, 0, 'ret', '0');
      t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');

      const m0 = yield* c.load8(buffer.mirror);
      const level = (m0 & U.HMM_DMIRROR_PROT_PUD) !== 0 ? U.HMM_DMIRROR_PROT_PUD : U.HMM_DMIRROR_PROT_PMD;
      const prot = access | level;
      for (let i = 0; i < npages; ++i) t.ASSERT_EQ(yield* c.load8(buffer.mirror + i), prot, 'm[i]', 'prot');
    }

    yield* c.munmap(buffer.ptr, buffer.size);
    buffer.ptr = U.NULL;
    yield* hmm_buffer_free(c, buffer);
  };
}

/** Two devices read one range; after it migrated to the second, the first still reads it. */
export function* double_map(env: Hmm2): Gen<void> {
  const { self, c, t } = env;
  const npages = 6;
  const size = npages << self.page_shift;
  const n = size / INT;
  const buffer = yield* hmm_buffer(env, size, size, RW, ANON);
  yield* fill_ints(c, buffer.ptr, 0, n);
  let ret = yield* c.mprotect(buffer.ptr, size, U.PROT_READ);
  t.ASSERT_EQ(ret, 0, 'ret', '0');

  for (const fd of [self.fd0, self.fd1]) {
    ret = yield* hmm_dmirror_cmd(c, fd, U.HMM_DMIRROR_READ, buffer, npages);
    t.ASSERT_EQ(ret, 0, 'ret', '0');
    t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');
    t.ASSERT_EQ(buffer.faults, 1, 'buffer->faults', '1');
    t.ASSERT_EQ(...(yield* ints(c, buffer.mirror, 0, n)), 'ptr[i]', 'i');
  }

  ret = yield* hmm_migrate_sys_to_dev(c, self.fd1, buffer, npages);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');

  ret = yield* hmm_dmirror_cmd(c, self.fd0, U.HMM_DMIRROR_READ, buffer, npages);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');
  t.ASSERT_EQ(buffer.faults, 1, 'buffer->faults', '1');
  t.ASSERT_EQ(...(yield* ints(c, buffer.mirror, 0, n)), 'ptr[i]', 'i');
  yield* hmm_buffer_free(c, buffer);
}
