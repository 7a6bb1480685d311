// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from './patch_state.ts';

const SERIES = 'Remove device private pages from physical address space';
const NEEDS = ['device-private-offsets'];

/** Device-private memory outside of the physical address space (2026). NON-KERNEL. */
export const offsets_states: readonly PatchState[] = [
  {
    id: 'device-private-offsets',
    kind: 'series',
    subject: SERIES,
    date: '2026-01-07',
    where: 'seed 000, 20260107091823.68974-1, as corrected up to 20260202113642.59295-1 (v6)',
    merged: false,
    changes:
      'Device-private pages have no pfns but offsets in a space of their own, from 0 on; entries, mpfns, hmm_pfns and rmap walks say which of the two a number is, and three swap types less are left for swap devices.',
  },

  // What revisions of the series had wrong.
  {
    id: 'offsets-rfc-order-shift',
    kind: 'series',
    subject: `${SERIES}: HMM_PFN_ORDER_SHIFT of the RFC`,
    date: '2025-11-28',
    where: '20251128044146.80050-1 (RFC)',
    merged: false,
    changes: 'HMM_PFN_DEVICE_PRIVATE is the same bit of an hmm_pfn as the highest of the order.',
    needs: NEEDS,
    excludes: ['offsets-no-hmm-flag'],
  },
  {
    id: 'offsets-rfc-absent-pmd',
    kind: 'series',
    subject: `${SERIES}: hmm_vma_handle_absent_pmd() of the RFC`,
    date: '2025-11-28',
    where: '20251128044146.80050-1 (RFC)',
    merged: false,
    changes: 'hmm_range_fault() answers the offset of a huge private page without HMM_PFN_DEVICE_PRIVATE.',
    needs: NEEDS,
  },
  {
    id: 'offsets-v1-young-dirty',
    kind: 'series',
    subject: `${SERIES}: migration entries from pages of v1`,
    date: '2025-12-31',
    where: '20251231043154.42931-1 (v1)',
    merged: false,
    changes:
      'A migration entry that fork() or mprotect() takes the right to write from loses its young and dirty bits.',
    needs: NEEDS,
  },
  {
    id: 'offsets-v1-migration-read',
    kind: 'series',
    subject: `${SERIES}: softleaf_is_migration_read() of v1`,
    date: '2025-12-31',
    where: '20251231043154.42931-1 (v1)',
    merged: false,
    changes: 'softleaf_is_migration_read() does not know the readable migration entries of private pages.',
    needs: NEEDS,
  },
  {
    id: 'offsets-v2-nid',
    kind: 'series',
    subject: `${SERIES}: NUMA_NO_NODE of v2`,
    date: '2026-01-07',
    where: '20260107091823.68974-1 (v2)',
    merged: false,
    changes: "memremap_device_private_pagemap() takes node -1 as it is, and such memory has no node's counters.",
    needs: NEEDS,
  },
  {
    id: 'offsets-tail-of-large',
    kind: 'series',
    subject: `${SERIES}: page_mapped_in_vma()`,
    date: '2026-01-07',
    where: '20260107091823.68974-1 (v2); a reading of the patch that no reviewer is known to share',
    merged: false,
    changes: "page_mapped_in_vma() looks for the number of the folio's first page, whichever page it is asked for.",
    needs: NEEDS,
  },

  // What the series has to be careful about, done wrong.
  {
    id: 'offsets-ttu-sync',
    kind: 'series',
    subject: `${SERIES}: TTU_SYNC`,
    date: '2026-01-23',
    where: 'patch 5 of Message-Id 20260107091823.68974-1',
    merged: false,
    changes: 'try_to_unmap_one() and try_to_migrate_one() with TTU_SYNC forget that the walk is for offsets.',
    needs: NEEDS,
    excludes: ['offsets-no-pvmw-flag'],
  },
  {
    id: 'offsets-split-tail',
    kind: 'series',
    subject: `${SERIES}: dmirror_devmem_folio_split()`,
    date: '2026-01-07',
    where: 'patch 11 of Message-Id 20260107091823.68974-1',
    merged: false,
    changes: 'dmirror_devmem_folio_split() asks for the offset of a tail before it has told the tail whose it is.',
    needs: NEEDS,
  },

  // The series without one of the patches that keep offsets and pfns apart.
  {
    id: 'offsets-no-mpfn-flag',
    kind: 'series',
    subject: `${SERIES}, without patch 4 of 11`,
    date: '2026-01-07',
    where: '20260107091823.68974-1: mm/migrate_device: Add migrate PFN flag to track device private pages',
    merged: false,
    changes: 'The mpfn of a private page holds an offset and does not say so.',
    needs: NEEDS,
  },
  {
    id: 'offsets-no-pvmw-flag',
    kind: 'series',
    subject: `${SERIES}, without patch 5 of 11`,
    date: '2026-01-07',
    where:
      '20260107091823.68974-1: mm/page_vma_mapped: Add flags to page_vma_mapped_walk::pfn to track device private pages',
    merged: false,
    changes: 'A walk over mappings compares numbers without asking which of them are offsets.',
    needs: NEEDS,
    excludes: ['offsets-ttu-sync'],
  },
  {
    id: 'offsets-no-migration-types',
    kind: 'series',
    subject: `${SERIES}, without patch 7 of 11`,
    date: '2026-01-07',
    where: '20260107091823.68974-1: mm: Add a new swap type for migration entries of device private pages',
    merged: false,
    changes: 'The migration entry of a private page holds an offset and does not say so.',
    needs: NEEDS,
    excludes: ['offsets-v1-migration-read'],
  },
  {
    id: 'offsets-no-snapshot-flag',
    kind: 'series',
    subject: `${SERIES}, without patch 9 of 11`,
    date: '2026-01-07',
    where: '20260107091823.68974-1: mm/util: Add flag to track device private pages in page snapshots',
    merged: false,
    changes: 'A page snapshot holds the offset of a private page and does not say so.',
    needs: NEEDS,
  },
  {
    id: 'offsets-no-hmm-flag',
    kind: 'series',
    subject: `${SERIES}, without patch 10 of 11`,
    date: '2026-01-07',
    where: '20260107091823.68974-1: mm/hmm: Add flag to track device private pages',
    merged: false,
    changes: 'The hmm_pfn of a private page holds an offset and does not say so.',
    needs: NEEDS,
    excludes: ['offsets-rfc-order-shift'],
  },
];
