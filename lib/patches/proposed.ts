// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from './patch_state.ts';

/** The states of kind 'proposed': faults that stand in Linux 7.3.4, mended. NON-KERNEL. */
export const proposed_fixes: readonly PatchState[] = [
  {
    id: 'fix-dmirror-backing-page',
    kind: 'proposed',
    subject: 'lib/test_hmm: read private pages through what backs them',
    date: '2026',
    where: 'recorded oopses in dmirror_do_read() and dmirror_do_write()',
    merged: false,
    changes:
      "dmirror_do_fault() enters the backing page of a private page into the mirror's page table, as dmirror_migrate_finalize_and_map() does, instead of the private page itself, which has no kernel address.",
  },
  {
    id: 'fix-hmm-absent-pmd-pfn',
    kind: 'proposed',
    subject: 'mm/hmm: start inside of a device-private pmd',
    date: '2026',
    where: 'found with the model, by a case',
    merged: false,
    changes:
      'hmm_vma_handle_absent_pmd() adds the offset of the walk inside of the huge page to the pfn, as hmm_vma_handle_pmd() does.',
  },
  {
    id: 'fix-coherent-chunk',
    kind: 'proposed',
    subject: 'lib/test_hmm: one chunk a coherent device',
    date: '2026',
    where: 'recorded warnings in memremap_pages()',
    merged: false,
    changes:
      'A coherent device whose one range is in use does not remap it once more, and takes single pages from a free huge one when no others are left.',
  },
  {
    id: 'fix-migrate-alloc-null',
    kind: 'proposed',
    subject: 'lib/test_hmm: check every page that takes the place of a huge one',
    date: '2026',
    where: 'recorded oopses of migrate_anon_huge_err',
    merged: false,
    changes: 'dmirror_migrate_alloc_and_copy() leaves a page where it is if there is no device page for it.',
  },
  {
    id: 'fix-split-other-pmds',
    kind: 'proposed',
    subject: 'mm/migrate_device: unmap large folios by ptes elsewhere',
    date: '2026',
    where: 'recorded BUG at mm/migrate.c:368',
    merged: false,
    changes:
      'migrate_device_unmap() splits the pmds through which other address spaces map a large folio, since the folio may be split before it is mapped again.',
  },
  {
    id: 'fix-collect-coherent-pmd',
    kind: 'proposed',
    subject: 'mm/migrate_device: select coherent huge pages as coherent',
    date: '2026',
    where: 'recorded results of migrate_multiple and warnings in dmirror_migrate_alloc_and_copy()',
    merged: false,
    changes:
      "migrate_vma_collect_huge_pmd() takes a huge page of coherent device memory for a migration of its owner's coherent pages, and no longer for one of system pages.",
  },
  {
    id: 'fix-compound-cpages',
    kind: 'proposed',
    subject: 'lib/test_hmm: count the pages of a huge page that came back',
    date: '2026',
    where: 'recorded results of migrate_multiple',
    merged: false,
    changes: 'dmirror_migrate_to_system() counts 512 pages in cpages for a huge page that migrated as a whole, not 1.',
  },
  {
    id: 'fix-fail-alloc-huge',
    kind: 'proposed',
    subject: 'lib/test_hmm: HMM_DMIRROR_FLAG_FAIL_ALLOC is about huge pages',
    date: '2026',
    where: 'recorded results of migrate_anon_huge_err and migrate_anon_huge_zero_err',
    merged: false,
    changes:
      'The flag makes the next allocation of a huge page fail and lets single pages alone, whose failure nothing makes good.',
  },
];
