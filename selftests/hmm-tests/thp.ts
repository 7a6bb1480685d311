// SPDX-License-Identifier: GPL-2.0-only
// Migration of transparent huge pages: whole, empty, zero, freed, unmapped in part, moved, and with failing
// allocations.

import type { Gen } from '../../lib/kernel/gen.ts';
import {
  ALIGN,
  fill_ints,
  type Hmm,
  hmm_buffer,
  hmm_buffer_free,
  hmm_dmirror_cmd,
  hmm_is_coherent_type,
  hmm_migrate_dev_to_sys,
  hmm_migrate_sys_to_dev,
  type HmmBuffer,
  INT,
  ints,
  TWOMEG,
  zero_ints,
} from './buffer.ts';
import { pagemap_get_entry, PAGEMAP_PATH, PAGEMAP_PRESENT, PM_SWAP_HI, read_pmd_pagesize } from './vm_util.ts';
import * as U from './uapi.ts';

const RW = U.PROT_READ | U.PROT_WRITE;
const ANON = U.MAP_PRIVATE | U.MAP_ANONYMOUS;

/**
 * A buffer of twice the size of a huge page that contains an aligned one (`map`); `old_ptr` is the start of the
 * mapping.
 */
interface HugeBuffer {
  buffer: HmmBuffer;
  size: number;
  npages: number;
  map: number;
  old_ptr: number;
}

/** Returns such a buffer with its mirror full of 0xff and ptr at the aligned part, with the given advice if any. */
function* huge_buffer(env: Hmm, prot: number, mirrors: number, advice: number | null): Gen<HugeBuffer> {
  const { self, c, t } = env;
  const size = yield* read_pmd_pagesize(c);
  const buffer = yield* hmm_buffer(env, 2 * size, mirrors * size, prot, ANON);
  yield* c.memset(buffer.mirror, 0xff, mirrors * size);
  const old_ptr = buffer.ptr;
  const npages = size >> self.page_shift;
  const map = ALIGN(old_ptr, size);
  if (advice !== null) {
    const ret = yield* c.madvise(map, size, advice);
    t.ASSERT_EQ(ret, 0, 'ret', '0');
  }
  buffer.ptr = map;
  return { buffer, size, npages, map, old_ptr };
}

/** Migrates to the device, which has to take every page. */
function* to_dev({ self, c, t }: Hmm, buffer: HmmBuffer, npages: number): Gen<void> {
  const ret = yield* hmm_migrate_sys_to_dev(c, self.fd, buffer, npages);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');
}

/** Makes the driver's next allocation of a huge page fail. */
function* fail_alloc({ self, c, t }: Hmm, buffer: HmmBuffer): Gen<void> {
  const ret = yield* hmm_dmirror_cmd(c, self.fd, U.HMM_DMIRROR_FLAGS, buffer, U.HMM_DMIRROR_FLAG_FAIL_ALLOC);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
}

/** A huge range that was never accessed. */
export function* migrate_anon_huge_empty(env: Hmm): Gen<void> {
  const { c, t } = env;
  const { buffer, size, npages, old_ptr } = yield* huge_buffer(env, U.PROT_READ, 1, U.MADV_HUGEPAGE);
  yield* to_dev(env, buffer, npages);
  t.ASSERT_EQ(...(yield* zero_ints(c, buffer.mirror, 0, size / INT)), 'ptr[i]', '0');
  buffer.ptr = old_ptr;
  yield* hmm_buffer_free(c, buffer);
}

/** A huge range that maps the huge zero page. */
export function* migrate_anon_huge_zero(env: Hmm): Gen<void> {
  const { c, t } = env;
  const { buffer, size, npages, old_ptr } = yield* huge_buffer(env, U.PROT_READ, 1, U.MADV_HUGEPAGE);
  const val = yield* c.load32(buffer.ptr);
  t.ASSERT_EQ(val, 0, 'val', '0');

  yield* to_dev(env, buffer, npages);
  t.ASSERT_EQ(...(yield* zero_ints(c, buffer.mirror, 0, size / INT)), 'ptr[i]', '0');
  t.ASSERT_EQ(...(yield* zero_ints(c, buffer.ptr, 0, size / INT)), 'ptr[i]', '0');
  buffer.ptr = old_ptr;
  yield* hmm_buffer_free(c, buffer);
}

/** MADV_FREE of a huge page on the device. */
export function* migrate_anon_huge_free(env: Hmm): Gen<void> {
  const { c, t } = env;
  const { buffer, size, npages, map, old_ptr } = yield* huge_buffer(env, RW, 1, U.MADV_HUGEPAGE);
  yield* fill_ints(c, buffer.ptr, 0, size / INT);
  yield* to_dev(env, buffer, npages);
  t.ASSERT_EQ(...(yield* ints(c, buffer.mirror, 0, size / INT)), 'ptr[i]', 'i');

  const ret = yield* c.madvise(map, size, U.MADV_FREE);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  buffer.ptr = old_ptr;
  yield* hmm_buffer_free(c, buffer);
}

/** A collapsed huge page: the device has it as one PMD, pagemap shows swap entries, and it faults back. */
export function* migrate_anon_huge_fault(env: Hmm): Gen<void> {
  const { self, variant, c, t } = env;
  const { buffer, size, npages, map, old_ptr } = yield* huge_buffer(env, RW, 1, null);
  const n = size / INT;
  yield* fill_ints(c, buffer.ptr, 0, n);
  let ret = yield* c.madvise(map, size, U.MADV_COLLAPSE);
  t.ASSERT_EQ(ret, 0, 'ret', '0');

  yield* to_dev(env, buffer, npages);
  t.ASSERT_EQ(...(yield* ints(c, buffer.mirror, 0, n)), 'ptr[i]', 'i');

  if (!hmm_is_coherent_type(variant.device_number)) {
    ret = yield* hmm_dmirror_cmd(c, self.fd, U.HMM_DMIRROR_SNAPSHOT, buffer, npages);
    t.ASSERT_EQ(ret, 0, 'ret', '0');
    t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');
    const prot = U.HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | U.HMM_DMIRROR_PROT_WRITE | U.HMM_DMIRROR_PROT_PMD;
    for (let i = 0; i < npages; ++i) {
      t.ASSERT_EQ(
        yield* c.load8(buffer.mirror + i),
        prot,
        'm[i]',
        'HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | HMM_DMIRROR_PROT_WRITE | HMM_DMIRROR_PROT_PMD',
      );
    }

    const pagemap_fd = yield* c.open(PAGEMAP_PATH, U.O_RDONLY);
    t.ASSERT_GE(pagemap_fd, 0, 'pagemap_fd', '0');
    for (let i = 0; i < npages; ++i) {
      const entry = yield* pagemap_get_entry(c, pagemap_fd, buffer.ptr + i * self.page_size);
      t.ASSERT_NE(entry.hi & PM_SWAP_HI, 0, 'entry & PM_SWAP', '0');
      t.ASSERT_FALSE(PAGEMAP_PRESENT(entry), 'PAGEMAP_PRESENT(entry)');
    }
    yield* c.close(pagemap_fd);
  }

  t.ASSERT_EQ(...(yield* ints(c, buffer.ptr, 0, n)), 'ptr[i]', 'i');
  buffer.ptr = old_ptr;
  yield* hmm_buffer_free(c, buffer);
}

/** Half of the device memory is unmapped, at three offsets; the rest faults back. */
export function* migrate_partial_unmap_fault(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  const size = (yield* read_pmd_pagesize(c)) || TWOMEG;
  const n = size / INT;
  const unmap_size = size / 2;
  const npages = size >> self.page_shift;
  for (let use_thp = 0; use_thp < 2; ++use_thp) {
    for (const offset of [0, size / 4, size / 2]) {
      const buffer = yield* hmm_buffer(env, 2 * size, size, RW, ANON);
      yield* c.memset(buffer.mirror, 0xff, size);
      const map = ALIGN(buffer.ptr, size);
      const ret = yield* c.madvise(map, size, use_thp ? U.MADV_HUGEPAGE : U.MADV_NOHUGEPAGE);
      t.ASSERT_EQ(ret, 0, 'ret', '0');
      const old_ptr = buffer.ptr;
      buffer.ptr = map;

      yield* fill_ints(c, buffer.ptr, 0, n);
      yield* to_dev(env, buffer, npages);
      t.ASSERT_EQ(...(yield* ints(c, buffer.mirror, 0, n)), 'ptr[i]', 'i');

      yield* c.munmap(buffer.ptr + offset, unmap_size);
      t.ASSERT_EQ(...(yield* ints(c, buffer.ptr, 0, offset / INT)), 'ptr[i]', 'i');
      t.ASSERT_EQ(...(yield* ints(c, buffer.ptr, (offset + unmap_size) / INT, n)), 'ptr[i]', 'i');

      buffer.ptr = old_ptr;
      yield* hmm_buffer_free(c, buffer);
    }
  }
}

/** mremap() before or after the migration, aligned or not, with and without DONTUNMAP; then everything faults back. */
export function* migrate_remap_fault(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  const size = (yield* read_pmd_pagesize(c)) || TWOMEG;
  const n = size / INT;
  const npages = size >> self.page_shift;
  for (let before = 0; before < 2; ++before) {
    for (let dont_unmap = 0; dont_unmap < 2; ++dont_unmap) {
      for (let use_thp = 0; use_thp < 2; ++use_thp) {
        for (const offset of [0, size / 4, size / 2]) {
          const flags = U.MREMAP_MAYMOVE | U.MREMAP_FIXED | (dont_unmap ? U.MREMAP_DONTUNMAP : 0);
          const buffer = yield* hmm_buffer(env, 8 * size, size, RW, ANON);
          yield* c.memset(buffer.mirror, 0xff, size);
          const map = ALIGN(buffer.ptr, size);
          const ret = yield* c.madvise(map, size, use_thp ? U.MADV_HUGEPAGE : U.MADV_NOHUGEPAGE);
          t.ASSERT_EQ(ret, 0, 'ret', '0');
          const old_ptr = buffer.ptr;
          yield* c.munmap(map + size, size * 2);
          buffer.ptr = map;
          yield* fill_ints(c, buffer.ptr, 0, n);

          let new_ptr = U.NULL;
          if (before) {
            new_ptr = yield* c.mremap(map, size, size, flags, map + size + offset);
            t.ASSERT_NE(new_ptr, U.MAP_FAILED, 'new_ptr', 'MAP_FAILED');
            buffer.ptr = new_ptr;
          }

          yield* to_dev(env, buffer, npages);
          t.ASSERT_EQ(...(yield* ints(c, buffer.mirror, 0, n)), 'ptr[i]', 'i');

          if (!before) {
            new_ptr = yield* c.mremap(map, size, size, flags, map + size + offset);
            t.ASSERT_NE(new_ptr, U.MAP_FAILED, 'new_ptr', 'MAP_FAILED');
            buffer.ptr = new_ptr;
          }

          t.ASSERT_EQ(...(yield* ints(c, buffer.ptr, 0, n)), 'ptr[i]', 'i');
          yield* c.munmap(new_ptr, size);
          buffer.ptr = old_ptr;
          yield* hmm_buffer_free(c, buffer);
        }
      }
    }
  }
}

/** Unmaps the whole buffer and maps a new one with MADV_HUGEPAGE; ptr moves to its aligned part. Returns its start. */
function* remap({ c, t }: Hmm, huge: HugeBuffer, prot: number): Gen<number> {
  const { buffer, size, old_ptr } = huge;
  let ret = yield* c.munmap(old_ptr, 2 * size);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  const new_ptr = yield* c.mmap(U.NULL, 2 * size, prot, ANON, buffer.fd, 0);
  t.ASSERT_NE(new_ptr, U.MAP_FAILED, 'old_ptr', 'MAP_FAILED');
  const map = ALIGN(new_ptr, size);
  ret = yield* c.madvise(map, size, U.MADV_HUGEPAGE);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  buffer.ptr = map;
  return new_ptr;
}

/** The driver cannot allocate a huge page, in either direction. */
export function* migrate_anon_huge_err(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  const huge = yield* huge_buffer(env, RW, 2, U.MADV_HUGEPAGE);
  const { buffer, size, npages } = huge;
  const n = size / INT;
  yield* fill_ints(c, buffer.ptr, 0, n);

  yield* fail_alloc(env, buffer);
  yield* to_dev(env, buffer, npages);
  t.ASSERT_EQ(...(yield* ints(c, buffer.mirror, 0, n)), 'ptr[i]', 'i');
  t.ASSERT_EQ(yield* c.load32(buffer.ptr + 2048 * INT), 2048, 'ptr[2048]', '2048');

  const old_ptr = yield* remap(env, huge, RW);
  yield* fill_ints(c, buffer.ptr, 0, n);
  yield* to_dev(env, buffer, npages);

  yield* fail_alloc(env, buffer);
  const ret = yield* hmm_migrate_dev_to_sys(c, self.fd, buffer, npages);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(yield* c.load32(buffer.ptr + 2048 * INT), 2048, 'ptr[2048]', '2048');

  buffer.ptr = old_ptr;
  yield* hmm_buffer_free(c, buffer);
}

/** The driver cannot allocate a huge page for an empty huge range or for the huge zero page. */
export function* migrate_anon_huge_zero_err(env: Hmm): Gen<void> {
  const { c, t } = env;
  const huge = yield* huge_buffer(env, U.PROT_READ, 2, U.MADV_HUGEPAGE);
  const { buffer, size, npages } = huge;
  const n = size / INT;

  yield* fail_alloc(env, buffer);
  yield* to_dev(env, buffer, npages);
  t.ASSERT_EQ(...(yield* zero_ints(c, buffer.mirror, 0, n)), 'ptr[i]', '0');
  const ptr = buffer.ptr;
  t.ASSERT_EQ(yield* c.load32(ptr + 2048 * INT), 0, 'ptr[2048]', '0');

  const old_ptr = yield* remap(env, huge, U.PROT_READ);
  // Upstream reads through the pointer into the mapping that it has just replaced; the new one has the same address.
  const ret = yield* c.load32(ptr);
  t.ASSERT_EQ(ret, 0, 'ret', '0');

  yield* fail_alloc(env, buffer);
  yield* to_dev(env, buffer, npages);
  t.ASSERT_EQ(...(yield* zero_ints(c, buffer.ptr, 0, n)), 'ptr[i]', '0');

  buffer.ptr = old_ptr;
  yield* hmm_buffer_free(c, buffer);
}
