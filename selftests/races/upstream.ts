// SPDX-License-Identifier: GPL-2.0-only
// Races that Linux 7.3.4 itself loses, all of them in the test driver. Each has its schedule.

import type { FailureKind, RaceCase } from '../../harness/explore/engine.ts';
import { OLD, PAGE, U, command, dmirror, expect_coherent, expect_ret, expect_word, filled, increment, open_device, to_device } from './common.ts';

/** A race that Linux 7.3.4 loses. */
export interface UpstreamFault extends RaceCase {
  /** how: the kind, and words that the report must contain */
  fails: { kind: FailureKind; text: string };
  /** the interleaving that shows it */
  schedule: string;
}

const close_vs_own_fault: UpstreamFault = {
  name: 'close-vs-own-fault',
  summary: 'a mirror is closed, which evicts its pages, while a thread faults them',
  // dmirror_fops_release() evicts and then frees the dmirror. A fault that holds the page's lock at that time makes eviction
  // skip the page (migrate_device_range() only tries the lock), and goes on in dmirror_devmem_fault() with the freed dmirror.
  fails: { kind: 'oops', text: 'slab-use-after-free' },
  schedule: 'hmm1:219:0.1>2,5.2>1',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    yield* to_device(c, x, fd, ptr, 2);
    yield* x.together([
      {
        name: 'close',
        kind: 'thread',
        *run(t) {
          yield* t.close(fd);
        },
      },
      {
        name: 'increment',
        kind: 'thread',
        *run(t) {
          yield* increment(t, ptr, 2, true);
        },
      },
    ]);
    for (let i = 0; i < 2; i++) yield* expect_word(c, x, ptr, i, [OLD + i + 1], 'in the end');
  },
};

const read_vs_own_migrate: UpstreamFault = {
  name: 'read-vs-own-migrate',
  summary: 'a mirror reads pages while it migrates them to its device',
  // Between dmirror_do_read(), which found no entry, and hmm_range_fault() the page migrates. hmm_range_fault() answers the
  // device-private page itself, since the mirror owns it; dmirror_do_fault() enters that one instead of the page behind it,
  // and dmirror_do_read() copies from memory that has no kernel address.
  fails: { kind: 'oops', text: 'unable to handle page fault' },
  schedule: 'hmm1:1:0.1>2,7.2>1',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    const cmd = yield* command(c, ptr, 2);
    const migrate = yield* command(c, ptr, 2);
    yield* x.together([
      {
        name: 'read',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_READ, cmd), [0], 'READ');
          for (let i = 0; i < 2; i++) yield* expect_word(t, x, cmd.mirror, i, [OLD + i], 'the device');
        },
      },
      {
        name: 'migrate',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, migrate), [0, -U.ENOENT], 'MIGRATE_TO_DEV');
        },
      },
    ]);
    for (let i = 0; i < 2; i++) yield* expect_word(c, x, ptr, i, [OLD + i], 'in the end');
    yield* expect_coherent(c, x, fd, ptr, 2);
    yield* c.close(fd);
  },
};

const migrate_vs_dontneed: UpstreamFault = {
  name: 'migrate-vs-dontneed',
  summary: 'pages migrate to the device while another thread drops them (MADV_DONTNEED)',
  // The pages are dropped between migrate_vma_setup() and dmirror_migrate_finalize_and_map(), which enters them in the mirror's
  // page table all the same: no sequence number is checked. migrate_vma_finalize() frees them, and the device reads freed memory.
  fails: { kind: 'assertion', text: 'the device, reading page 0 after the CPU wrote it' },
  schedule: 'hmm1:2:10.1>2',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    const cmd = yield* command(c, ptr, 2);
    yield* x.together([
      {
        name: 'migrate',
        kind: 'thread',
        *run(t) {
          const ret = yield* dmirror(t, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, cmd);
          expect_ret(x, ret, [0, -U.ENOENT], 'MIGRATE_TO_DEV');
          for (let i = 0; ret === 0 && i < 2; i++) yield* expect_word(t, x, cmd.mirror, i, [OLD + i, 0], 'the device');
        },
      },
      {
        name: 'dontneed',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* t.madvise(ptr, 2 * PAGE, U.MADV_DONTNEED), [0], 'madvise');
        },
      },
    ]);
    yield* expect_coherent(c, x, fd, ptr, 2);
    yield* c.close(fd);
  },
};

const exclusive_vs_dontneed: UpstreamFault = {
  name: 'exclusive-vs-dontneed',
  summary: 'a page becomes exclusive to the device while another thread drops it (MADV_DONTNEED)',
  // The page is dropped after the notifier and before its pte is zapped, and in between becomes exclusive: dmirror_atomic_map()
  // checks no sequence number, so the mirror keeps the page that was freed.
  fails: { kind: 'assertion', text: 'the device, reading page 0 after the CPU wrote it' },
  schedule: 'hmm1:2:10.1>2',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 1);
    const cmd = yield* command(c, ptr, 1);
    yield* x.together([
      {
        name: 'exclusive',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_EXCLUSIVE, cmd), [0, -U.ENOENT], 'EXCLUSIVE');
        },
      },
      {
        name: 'dontneed',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* t.madvise(ptr, PAGE, U.MADV_DONTNEED), [0], 'madvise');
        },
      },
    ]);
    yield* expect_coherent(c, x, fd, ptr, 1);
    yield* c.close(fd);
  },
};

const release_vs_migrate_two: UpstreamFault = {
  name: 'release-vs-migrate-two',
  summary: "the device's memory is taken away (RELEASE) while a thread migrates two pages to it",
  // RELEASE holds devmem_lock while memunmap_pages() waits for pages in use. The migration holds one of them and, as the free
  // list was emptied, waits for devmem_lock in dmirror_allocate_chunk().
  fails: { kind: 'deadlock', text: 'waits for devmem_lock held by task 1 (release)' },
  schedule: 'hmm1:1:3.1>2,13.2>1',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    const cmd = yield* command(c, ptr, 2);
    const migrate = yield* command(c, ptr, 2);
    yield* x.together([
      {
        name: 'release',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_RELEASE, cmd), [0], 'RELEASE');
        },
      },
      {
        name: 'migrate',
        kind: 'thread',
        *run(t) {
          expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, migrate), [0, -U.ENOENT], 'MIGRATE_TO_DEV');
          yield* increment(t, ptr, 2);
        },
      },
    ]);
    for (let i = 0; i < 2; i++) yield* expect_word(c, x, ptr, i, [OLD + i + 1], 'in the end');
    yield* c.close(fd);
  },
};

/** Races that Linux 7.3.4 loses. */
export const upstream_faults: readonly UpstreamFault[] = [
  close_vs_own_fault, read_vs_own_migrate, migrate_vs_dontneed, exclusive_vs_dontneed, release_vs_migrate_two,
];
