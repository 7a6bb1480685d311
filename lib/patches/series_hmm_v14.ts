// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from './patch_state.ts';

const SEED = 'Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com, seed 003';

/** A defect of the code as posted, put back into the corrected code. */
function defect(id: string, changes: string): PatchState {
  return {
    id,
    kind: 'series',
    subject:
      '[HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2, a defect of it',
    date: '2016-12-08',
    where: SEED,
    merged: false,
    changes,
    needs: ['hmm-v14'],
  };
}

/** A defect of hmm_vma_fault(), of another patch of the series. */
function fault_defect(id: string, changes: string): PatchState {
  return {
    ...defect(id, changes),
    subject: '[HMM v14 10/16] mm/hmm/mirror: device page fault handler, a defect of it',
    where: 'Message-Id 1481215184-18551-11-git-send-email-jglisse@redhat.com',
  };
}

/** hmm_vma_migrate() and hmm_vma_fault() of HMM v14 (2016). NON-KERNEL. */
export const hmm_v14_states: readonly PatchState[] = [
  {
    id: 'hmm-v14',
    kind: 'series',
    subject: '[HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2',
    date: '2016-12-08',
    where: SEED,
    merged: false,
    changes:
      'The kernel has hmm_vma_migrate(), hmm_vma_fault() and hmm_devmem, corrected as what was merged of them in 4.14 was; their client is the module hmm_v14. A fault on such memory neither locks the page nor takes a reference on it.',
    // There the pfns of private pages are gone, which an hmm_pfn_t consists of.
    excludes: ['device-private-offsets'],
  },
  {
    id: 'hmm-v14-as-posted',
    kind: 'series',
    subject: '[HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2, as posted',
    date: '2016-12-08',
    where: SEED,
    merged: false,
    changes: 'hmm_vma_migrate() and hmm_vma_fault() have every hmm-v14-* defect at once.',
    needs: ['hmm-v14'],
  },
  defect(
    'hmm-v14-pinned-not-restored',
    'Pages that turn out to be pinned once they are unmapped keep their migration entries and their lock if nothing else migrates: the loop that restores them starts where the one before it ended.',
  ),
  defect(
    'hmm-v14-remaps-what-failed',
    'A page that could not be moved is given to its destination all the same: HMM_PFN_MIGRATE is not asked for.',
  ),
  defect(
    'hmm-v14-counts-twice',
    'The last loop stops once it has seen as many pages as migrate, those that were found to be pinned among them, and leaves the rest locked and unmapped.',
  ),
  defect(
    'hmm-v14-isolation-falls-through',
    'A page that cannot be isolated is given back, and then tested for pins, and given back again.',
  ),
  defect('hmm-v14-vma-checked-late', 'Whether the vma is one of hugetlb pages is asked before whether there is a vma.'),
  defect('hmm-v14-skips-empty', 'Addresses where nothing is mapped cannot be migrated.'),
  defect('hmm-v14-skips-huge', 'Mappings of huge pages are split, but their pages are not migrated.'),
  defect(
    'hmm-v14-cached-is-pinned',
    'The reference of the page cache counts as a pin, so that pages of files never migrate.',
  ),
  defect('hmm-v14-pinned-off-lru', 'A pinned page that was isolated is not put back on the LRU.'),
  defect(
    'hmm-v14-skipped-looks-migrated',
    'A page without a destination keeps HMM_PFN_MIGRATE, which tells the driver that it has migrated.',
  ),
  fault_defect('hmm-v14-block-ignored', 'hmm_vma_fault() lets the mmap_lock be given up even if it is told not to.'),
  fault_defect(
    'hmm-v14-faults-without-permission',
    'hmm_vma_fault() does not look whether the vma can be read or written before it faults.',
  ),
];
