// SPDX-License-Identifier: GPL-2.0-only
// Races that Linux 7.3.4 itself loses, all of them in the test driver. Each has its schedule.
// A real Linux lost each of them too: selftests/results/faults/ has how it was asked, a program and a fix.

import type { FailureKind, RaceCase } from '../../harness/explore/engine.ts';
import { expect_words } from '../vocabulary/expect.ts';
import { OLD, olds } from '../vocabulary/memory.ts';
import { expect_coherent, expect_end, in_memory, new_command, on_device } from '../vocabulary/mirror.ts';
import { closing, dropping, incrementing, making_exclusive, migrating, reading } from '../vocabulary/racers.ts';
import { releasing_under_migration } from './evict.ts';

/** A race that Linux 7.3.4 loses. */
interface UpstreamFault extends RaceCase {
  /** what goes wrong in the kernel, step by step */
  why: string;
  /** how: the kind, and words that the report must contain */
  fails: { kind: FailureKind; text: string };
  /** the interleaving that shows it */
  schedule: string;
}

const close_vs_own_fault: UpstreamFault = {
  name: 'close-vs-own-fault',
  summary: 'a mirror is closed, which evicts its pages, while a thread faults them',
  why:
    "dmirror_fops_release() evicts and then frees the dmirror. A fault that holds the page's lock at that time makes " +
    'eviction skip the page (migrate_device_range() only tries the lock), and goes on in dmirror_devmem_fault() with the ' +
    'freed dmirror.',
  fails: { kind: 'oops', text: 'slab-use-after-free' },
  schedule: 'hmm1:219:0.1>2,5.2>1',
  *run(c, x) {
    const { fd, ptr } = yield* on_device(c, x, 2);
    yield* x.together([closing(x, fd), incrementing(ptr, [1, 0])]);
    yield* expect_words(c, x, ptr, olds(2, [1]), 'in the end');
  },
};

const read_vs_own_migrate: UpstreamFault = {
  name: 'read-vs-own-migrate',
  summary: 'a mirror reads pages while it migrates them to its device',
  why:
    'Between dmirror_do_read(), which found no entry, and hmm_range_fault() the page migrates. hmm_range_fault() answers ' +
    'the device-private page itself, since the mirror owns it; dmirror_do_fault() enters that one instead of the page ' +
    'behind it, and dmirror_do_read() copies from memory that has no kernel address.',
  fails: { kind: 'oops', text: 'unable to handle page fault' },
  schedule: 'hmm1:1:0.1>2,7.2>1',
  *run(c, x) {
    const { fd, ptr, cmd } = yield* in_memory(c, x, 2);
    const migrate = yield* new_command(c, ptr, 2);
    yield* x.together([reading(x, fd, cmd, { values: olds(2) }), migrating(x, fd, migrate)]);
    yield* expect_end(c, x, fd, ptr, olds(2));
  },
};

const migrate_vs_dontneed: UpstreamFault = {
  name: 'migrate-vs-dontneed',
  summary: 'pages migrate to the device while another thread drops them (MADV_DONTNEED)',
  why:
    'The pages are dropped between migrate_vma_setup() and dmirror_migrate_finalize_and_map(), which enters them in the ' +
    "mirror's page table all the same: no sequence number is checked. migrate_vma_finalize() frees them, and the device " +
    'reads freed memory.',
  fails: { kind: 'assertion', text: 'the device, reading page 0 after the CPU wrote it' },
  schedule: 'hmm1:2:10.1>2',
  *run(c, x) {
    const { fd, ptr, cmd } = yield* in_memory(c, x, 2);
    yield* x.together([
      migrating(x, fd, cmd, {
        values: [
          [OLD, 0],
          [OLD + 1, 0],
        ],
      }),
      dropping(x, ptr, 2),
    ]);
    yield* expect_coherent(c, x, fd, ptr, 2);
    yield* c.close(fd);
  },
};

const exclusive_vs_dontneed: UpstreamFault = {
  name: 'exclusive-vs-dontneed',
  summary: 'a page becomes exclusive to the device while another thread drops it (MADV_DONTNEED)',
  why:
    'The page is dropped after the notifier and before its pte is zapped, and in between becomes exclusive: ' +
    'dmirror_atomic_map() checks no sequence number, so the mirror keeps the page that was freed.',
  fails: { kind: 'assertion', text: 'the device, reading page 0 after the CPU wrote it' },
  schedule: 'hmm1:2:10.1>2',
  *run(c, x) {
    const { fd, ptr, cmd } = yield* in_memory(c, x, 1);
    yield* x.together([making_exclusive(x, fd, cmd), dropping(x, ptr, 1)]);
    yield* expect_coherent(c, x, fd, ptr, 1);
    yield* c.close(fd);
  },
};

const release_vs_migrate_two: UpstreamFault = {
  name: 'release-vs-migrate-two',
  summary: "the device's memory is taken away (RELEASE) while a thread migrates two pages to it",
  why:
    'RELEASE holds devmem_lock while memunmap_pages() waits for pages in use. The migration holds one of them and, as the ' +
    'free list was emptied, waits for devmem_lock in dmirror_allocate_chunk().',
  fails: { kind: 'deadlock', text: 'waits for devmem_lock held by task 1 (release)' },
  schedule: 'hmm1:1:3.1>2,13.2>1',
  *run(c, x) {
    yield* releasing_under_migration(c, x, 2);
  },
};

/** Races that Linux 7.3.4 loses. */
export const upstream_faults: readonly UpstreamFault[] = [
  close_vs_own_fault,
  read_vs_own_migrate,
  migrate_vs_dontneed,
  exclusive_vs_dontneed,
  release_vs_migrate_two,
];
