// SPDX-License-Identifier: GPL-2.0-only
// The device reads and writes anonymous memory that stays in system memory.

import type { Libc } from '../../lib/user/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import {
  ALIGN,
  buffer_npages,
  fill_ints,
  type Hmm,
  hmm_buffer,
  hmm_buffer_alloc,
  hmm_buffer_free,
  HMM_BUFFER_SIZE,
  hmm_dmirror_cmd,
  hmm_migrate_sys_to_dev,
  hmm_open,
  type HmmBuffer,
  INT,
  ints,
  NTIMES,
  TWOMEG,
  zero_ints,
} from './buffer.ts';
import { default_huge_page_size, hugetlb_free_default_pages, type HugetlbSettings } from './hugepage_settings.ts';
import { read_pmd_pagesize } from './vm_util.ts';
import * as U from './uapi.ts';

const RW = U.PROT_READ | U.PROT_WRITE;
const ANON = U.MAP_PRIVATE | U.MAP_ANONYMOUS;

/** The fixture opens and closes the driver; the test does nothing in between. */
export function* open_close(): Gen<void> {}

/** Reads a private buffer whose first two pages were never written: pte_none, and the zero page. */
export function* anon_read(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  const npages = buffer_npages(env);
  const size = npages << self.page_shift;
  const n = size / INT;
  const buffer = yield* hmm_buffer(env, size, size, RW, ANON);

  const first = (2 * self.page_size) / INT;
  yield* fill_ints(c, buffer.ptr, first, n);

  let ret = yield* c.mprotect(buffer.ptr, size, U.PROT_READ);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  const val = yield* c.load32(buffer.ptr + self.page_size);
  t.ASSERT_EQ(val, 0, 'val', '0');

  ret = yield* hmm_dmirror_cmd(c, self.fd, U.HMM_DMIRROR_READ, buffer, npages);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');
  t.ASSERT_EQ(buffer.faults, 1, 'buffer->faults', '1');

  t.ASSERT_EQ(...(yield* zero_ints(c, buffer.mirror, 0, first)), 'ptr[i]', '0');
  t.ASSERT_EQ(...(yield* ints(c, buffer.mirror, first, n)), 'ptr[i]', 'i');
  yield* hmm_buffer_free(c, buffer);
}

/** Reads a PROT_NONE buffer, which has to fail and leave both buffers unchanged. */
export function* anon_read_prot(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  const npages = buffer_npages(env);
  const size = npages << self.page_shift;
  const n = size / INT;
  const buffer = yield* hmm_buffer(env, size, size, RW, ANON);
  yield* fill_ints(c, buffer.ptr, 0, n);
  yield* fill_ints(c, buffer.mirror, 0, n, -1);

  let ret = yield* c.mprotect(buffer.ptr, size, U.PROT_NONE);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  ret = yield* hmm_dmirror_cmd(c, self.fd, U.HMM_DMIRROR_READ, buffer, npages);
  t.ASSERT_EQ(ret, -U.EFAULT, 'ret', '-EFAULT');

  ret = yield* c.mprotect(buffer.ptr, size, U.PROT_READ);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(...(yield* ints(c, buffer.ptr, 0, n)), 'ptr[i]', 'i');
  t.ASSERT_EQ(...(yield* ints(c, buffer.mirror, 0, n, -1)), 'ptr[i]', '-i');
  yield* hmm_buffer_free(c, buffer);
}

/** The device writes memory that the CPU never touched. */
export function* anon_write(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  const npages = buffer_npages(env);
  const size = npages << self.page_shift;
  const n = size / INT;
  const buffer = yield* hmm_buffer(env, size, size, RW, ANON);
  yield* fill_ints(c, buffer.mirror, 0, n);

  const ret = yield* hmm_dmirror_cmd(c, self.fd, U.HMM_DMIRROR_WRITE, buffer, npages);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');
  t.ASSERT_EQ(buffer.faults, 1, 'buffer->faults', '1');

  t.ASSERT_EQ(...(yield* ints(c, buffer.ptr, 0, n)), 'ptr[i]', 'i');
  yield* hmm_buffer_free(c, buffer);
}

/** The device must not write a read-only buffer. Once it is writable, the zero page that a read mapped is replaced. */
export function* anon_write_prot(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  const npages = buffer_npages(env);
  const size = npages << self.page_shift;
  const n = size / INT;
  const buffer = yield* hmm_buffer(env, size, size, U.PROT_READ, ANON);

  let ret = yield* hmm_dmirror_cmd(c, self.fd, U.HMM_DMIRROR_READ, buffer, 1);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(buffer.cpages, 1, 'buffer->cpages', '1');
  t.ASSERT_EQ(buffer.faults, 1, 'buffer->faults', '1');

  yield* fill_ints(c, buffer.mirror, 0, n);
  ret = yield* hmm_dmirror_cmd(c, self.fd, U.HMM_DMIRROR_WRITE, buffer, npages);
  t.ASSERT_EQ(ret, -U.EPERM, 'ret', '-EPERM');
  t.ASSERT_EQ(...(yield* zero_ints(c, buffer.ptr, 0, n)), 'ptr[i]', '0');

  ret = yield* c.mprotect(buffer.ptr, size, U.PROT_WRITE | U.PROT_READ);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  ret = yield* hmm_dmirror_cmd(c, self.fd, U.HMM_DMIRROR_WRITE, buffer, npages);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');
  t.ASSERT_EQ(buffer.faults, 1, 'buffer->faults', '1');

  t.ASSERT_EQ(...(yield* ints(c, buffer.ptr, 0, n)), 'ptr[i]', 'i');
  yield* hmm_buffer_free(c, buffer);
}

/**
 * A child's device writes copy-on-write memory, and the parent must not see it. Runs for system and device memory, with
 * and without huge pages.
 */
export function* anon_write_child(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  for (let migrate = 0; migrate < 2; ++migrate) {
    for (let use_thp = 0; use_thp < 2; ++use_thp) {
      const wanted = use_thp ? yield* read_pmd_pagesize(c) : HMM_BUFFER_SIZE;
      const npages = ALIGN(wanted, self.page_size) >> self.page_shift;
      t.ASSERT_NE(npages, 0, 'npages', '0');
      const size = npages << self.page_shift;
      const n = size / INT;
      const buffer = yield* hmm_buffer(env, size * 2, size, RW, ANON);
      const old_ptr = buffer.ptr;
      if (use_thp) {
        const map = ALIGN(buffer.ptr, size);
        const ret = yield* c.madvise(map, size, U.MADV_HUGEPAGE);
        t.ASSERT_EQ(ret, 0, 'ret', '0');
        buffer.ptr = map;
      }
      yield* fill_ints(c, buffer.ptr, 0, n);
      yield* fill_ints(c, buffer.mirror, 0, n, -1);

      if (migrate) {
        const ret = yield* hmm_migrate_sys_to_dev(c, self.fd, buffer, npages);
        t.ASSERT_EQ(ret, 0, 'ret', '0');
        t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');
      }

      const pid = yield* c.fork(function* (child: Libc): Gen<number> {
        const own: HmmBuffer = { ...buffer };
        t.ASSERT_EQ(...(yield* ints(child, own.ptr, 0, n)), 'ptr[i]', 'i');
        if (!migrate) t.ASSERT_EQ(...(yield* ints(child, own.mirror, 0, n, -1)), 'ptr[i]', '-i');

        const child_fd = yield* hmm_open(child, 0);
        t.ASSERT_GE(child_fd, 0, 'child_fd', '0');
        const ret = yield* hmm_dmirror_cmd(child, child_fd, U.HMM_DMIRROR_WRITE, own, npages);
        t.ASSERT_EQ(ret, 0, 'ret', '0');
        t.ASSERT_EQ(own.cpages, npages, 'buffer->cpages', 'npages');
        t.ASSERT_EQ(own.faults, 1, 'buffer->faults', '1');

        if (!migrate) t.ASSERT_EQ(...(yield* ints(child, own.ptr, 0, n, -1)), 'ptr[i]', '-i');
        yield* child.close(child_fd);
        return 0;
      });
      if (pid === -1) t.ASSERT_EQ(pid, 0, 'pid', '0');
      const { status } = yield* c.waitpid(pid, 0);
      t.ASSERT_EQ(U.WIFEXITED(status), 1, 'WIFEXITED(ret)', '1');

      t.ASSERT_EQ(...(yield* ints(c, buffer.ptr, 0, n)), 'ptr[i]', 'i');
      buffer.ptr = old_ptr;
      yield* hmm_buffer_free(c, buffer);
    }
  }
}

/** A child's device writes a shared mapping, and the parent has to see it. */
export function* anon_write_child_shared(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  const npages = buffer_npages(env);
  const size = npages << self.page_shift;
  const n = size / INT;
  const buffer = yield* hmm_buffer(env, size, size, RW, U.MAP_SHARED | U.MAP_ANONYMOUS);
  yield* fill_ints(c, buffer.ptr, 0, n);
  yield* fill_ints(c, buffer.mirror, 0, n, -1);

  const pid = yield* c.fork(function* (child: Libc): Gen<number> {
    const own: HmmBuffer = { ...buffer };
    t.ASSERT_EQ(...(yield* ints(child, own.ptr, 0, n)), 'ptr[i]', 'i');
    t.ASSERT_EQ(...(yield* ints(child, own.mirror, 0, n, -1)), 'ptr[i]', '-i');

    const child_fd = yield* hmm_open(child, 0);
    t.ASSERT_GE(child_fd, 0, 'child_fd', '0');
    const ret = yield* hmm_dmirror_cmd(child, child_fd, U.HMM_DMIRROR_WRITE, own, npages);
    t.ASSERT_EQ(ret, 0, 'ret', '0');
    t.ASSERT_EQ(own.cpages, npages, 'buffer->cpages', 'npages');
    t.ASSERT_EQ(own.faults, 1, 'buffer->faults', '1');

    t.ASSERT_EQ(...(yield* ints(child, own.ptr, 0, n, -1)), 'ptr[i]', '-i');
    yield* child.close(child_fd);
    return 0;
  });
  if (pid === -1) t.ASSERT_EQ(pid, 0, 'pid', '0');
  const { status } = yield* c.waitpid(pid, 0);
  t.ASSERT_EQ(U.WIFEXITED(status), 1, 'WIFEXITED(ret)', '1');

  // Like upstream, leaves the buffer to exit.
  t.ASSERT_EQ(...(yield* ints(c, buffer.ptr, 0, n, -1)), 'ptr[i]', '-i');
}

/** The device writes one huge page that the CPU never touched. */
export function* anon_write_huge(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  const size = yield* read_pmd_pagesize(c);
  const n = size / INT;
  const buffer = yield* hmm_buffer(env, 2 * size, 2 * size, RW, ANON);
  const npages = size >> self.page_shift;
  const map = ALIGN(buffer.ptr, size);
  let ret = yield* c.madvise(map, size, U.MADV_HUGEPAGE);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  const old_ptr = buffer.ptr;
  buffer.ptr = map;

  yield* fill_ints(c, buffer.mirror, 0, n);
  ret = yield* hmm_dmirror_cmd(c, self.fd, U.HMM_DMIRROR_WRITE, buffer, npages);
  t.ASSERT_EQ(ret, 0, 'ret', '0');
  t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');
  t.ASSERT_EQ(buffer.faults, 1, 'buffer->faults', '1');

  t.ASSERT_EQ(...(yield* ints(c, buffer.ptr, 0, n)), 'ptr[i]', 'i');
  buffer.ptr = old_ptr;
  yield* hmm_buffer_free(c, buffer);
}

/** The device writes a hugetlbfs page. */
export function anon_write_hugetlbfs(settings: HugetlbSettings): (env: Hmm) => Gen<void> {
  return function* (env) {
    const { self, c, t } = env;
    const default_hsize = yield* default_huge_page_size(c, settings);
    if ((yield* hugetlb_free_default_pages(c, settings)) === 0) t.SKIP('Not enough huge pages');

    const size = ALIGN(TWOMEG, default_hsize);
    const npages = size / self.page_size;
    const n = size / INT;
    const buffer = yield* hmm_buffer_alloc(c, size, size, RW, ANON | U.MAP_HUGETLB, -1);
    if (buffer === null) return t.SKIP('Huge page could not be allocated');

    yield* fill_ints(c, buffer.mirror, 0, n);
    const ret = yield* hmm_dmirror_cmd(c, self.fd, U.HMM_DMIRROR_WRITE, buffer, npages);
    t.ASSERT_EQ(ret, 0, 'ret', '0');
    t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');
    t.ASSERT_EQ(buffer.faults, 1, 'buffer->faults', '1');

    t.ASSERT_EQ(...(yield* ints(c, buffer.ptr, 0, n)), 'ptr[i]', 'i');
    yield* c.munmap(buffer.ptr, buffer.size);
    buffer.ptr = U.NULL;
    yield* hmm_buffer_free(c, buffer);
  };
}

/** The device reads ten new buffers in a row. */
export function* anon_read_multiple(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  const npages = buffer_npages(env);
  const size = npages << self.page_shift;
  const n = size / INT;
  for (let k = 0; k < NTIMES; k++) {
    const buffer = yield* hmm_buffer(env, size, size, RW, ANON);
    yield* fill_ints(c, buffer.ptr, 0, n, 1, k);

    const ret = yield* hmm_dmirror_cmd(c, self.fd, U.HMM_DMIRROR_READ, buffer, npages);
    t.ASSERT_EQ(ret, 0, 'ret', '0');
    t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');
    t.ASSERT_EQ(buffer.faults, 1, 'buffer->faults', '1');

    t.ASSERT_EQ(...(yield* ints(c, buffer.mirror, 0, n, 1, k)), 'ptr[i]', 'i + c');
    yield* hmm_buffer_free(c, buffer);
  }
}

/**
 * Returns a random u32 from /dev/urandom, whose descriptor `fd` keeps from the first call on; 2^32-1 if there is none.
 */
function* hmm_random(c: Libc, fd: { urandom: number }): Gen<number> {
  if (fd.urandom < 0) {
    fd.urandom = yield* c.open('/dev/urandom', U.O_RDONLY);
    if (fd.urandom < 0) {
      c.print('hmm-tests.c: failed to open /dev/urandom\n');
      return 0xffffffff;
    }
  }
  const r = yield* c.malloc(4);
  yield* c.read(fd.urandom, r, 4);
  const v = yield* c.load32(r);
  yield* c.free(r);
  return v >>> 0;
}

/** Another thread unmaps half of the buffer while the device reads it. */
export function* anon_teardown(env: Hmm): Gen<void> {
  const { self, c, t } = env;
  const npages = buffer_npages(env);
  const size = npages << self.page_shift;
  const n = size / INT;
  const random = { urandom: -1 };
  for (let k = 0; k < NTIMES; ++k) {
    const buffer = yield* hmm_buffer(env, size, size, RW, ANON);
    yield* fill_ints(c, buffer.ptr, 0, n, 1, k);

    const thread = yield* c.pthread_create(function* unmap_buffer(th: Libc): Gen<void> {
      yield* th.nanosleep((yield* hmm_random(th, random)) % 32000);
      yield* th.munmap(buffer.ptr + buffer.size / 2, buffer.size / 2);
      buffer.ptr = U.NULL;
    });
    let rc = thread === -1 ? c.errno : 0;
    t.ASSERT_EQ(rc, 0, 'rc', '0');

    rc = yield* hmm_dmirror_cmd(c, self.fd, U.HMM_DMIRROR_READ, buffer, npages);
    if (rc === 0) {
      t.ASSERT_EQ(buffer.cpages, npages, 'buffer->cpages', 'npages');
      t.ASSERT_EQ(buffer.faults, 1, 'buffer->faults', '1');
      t.ASSERT_EQ(...(yield* ints(c, buffer.mirror, 0, n, 1, k)), 'ptr[i]', 'i + c');
    }

    yield* c.pthread_join(thread);
    yield* hmm_buffer_free(c, buffer);
  }
}
