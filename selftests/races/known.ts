// SPDX-License-Identifier: GPL-2.0-only
// Races that Linux once lost: each comes back when its fix is taken out, and is found within the explorer's default
// budget.

import type { RaceCase } from '../../harness/explore/engine.ts';
import type { KnownRace } from '../../harness/explore/known.ts';
import { race_cases } from './index.ts';

function race(name: string): RaceCase {
  const c = race_cases.find((x) => x.name === name);
  if (c === undefined) throw new RangeError(`there is no race ${name}`);
  return c;
}

export const known_races: readonly KnownRace[] = [
  {
    patch: 'no-16ce101db85d',
    race: race('fault-vs-fault'),
    strategy: 'pct',
    fails: {
      kind: 'oops',
      text: /slab-use-after-free: the dmirror of a device page was closed in page_to_dmirror <- dmirror_devmem_fault/,
    },
    schedule: 'hmm1:9:4.1>2:25.dc5f741c',
  },
  {
    patch: 'no-7c7b962938dd',
    race: race('exclusive-fault-vs-munmap'),
    strategy: 'random',
    fails: { kind: 'oops', text: /PAGE_FLAGS_CHECK_AT_FREE flag\(s\) set: locked/ },
    schedule: 'hmm1:14:6.1>2:17.e6a8e3a8',
  },
  {
    patch: 'no-b570f37a2ce4',
    race: race('read-vs-migrate-back'),
    strategy: 'random',
    fails: { kind: 'livelock', text: /task 1 \(read\) stops before hmm_vma_walk_pmd/ },
    schedule: 'hmm1:7:0.1>2,21.2>1:20001.49ef4442',
  },
  {
    patch: 'no-1afaeb8293c9',
    race: race('three-faults'),
    strategy: 'pct',
    fails: { kind: 'livelock', text: /stops before notifier_subscriptions->lock/ },
    schedule: 'hmm1:17:0.1>2,6.2>3,86.3>1,289.2>1:1001.be6cb2f3',
  },
  {
    patch: 'no-60bae7370896',
    race: race('dontneed-vs-migrate'),
    strategy: 'random',
    fails: { kind: 'assertion', text: /the thread, after MADV_DONTNEED: page 0 holds 100, expected 0/ },
    schedule: 'hmm1:187:0.1>2,3.2>1,9.1>2:17.6e7a3661',
  },
  {
    patch: 'no-3ea277194daa',
    race: race('pageout-vs-dontneed'),
    strategy: 'random',
    fails: { kind: 'assertion', text: /the thread, after MADV_DONTNEED: page 0 holds 100, expected 0/ },
    schedule: 'hmm1:500:0.1>2,2.2>1,9.1>2:15.1e4c7efa',
  },
  {
    patch: 'no-63451de16e0a',
    race: race('reap-vs-migrate'),
    strategy: 'random',
    fails: { kind: 'oops', text: /ptlock_free\(\) of a locked page table|scheduling while atomic/ },
    schedule: 'hmm1:4:4.2>1:79.1b0822e4',
  },
  {
    patch: 'no-evict-on-close',
    race: race('close-vs-mremap'),
    strategy: 'random',
    fails: {
      kind: 'oops',
      text: /slab-use-after-free: the dmirror of a device page was closed in page_to_dmirror <- dmirror_devmem_fault/,
    },
    schedule: 'hmm1:1::37.d2572033',
  },
  {
    patch: 'no-read-retry',
    race: race('read-vs-dontneed'),
    strategy: 'random',
    fails: { kind: 'assertion', text: /the device, reading page 0 after the CPU wrote it: page 0 holds 101/ },
    schedule: 'hmm1:14:6.1>2,10.2>1:27.e6ce66d5',
  },
  {
    patch: 'no-319561669a59',
    race: race('snapshot-vs-dontneed'),
    strategy: 'random',
    fails: { kind: 'oops', text: /use-after-free of a mmu_interval_notifier in mn_itree_inv_end/ },
    schedule: 'hmm1:3466:5.1>2,8.2>1,12.1>2,18.2>1:26.e5ecd985',
  },
];
