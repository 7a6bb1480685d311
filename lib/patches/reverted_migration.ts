// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from './patch_state.ts';

/** Fixes of migration, rmap and device memory, taken back out. NON-KERNEL. */
export const reverted_migration: readonly PatchState[] = [
  {
    id: 'no-60bae7370896',
    kind: 'reverted',
    subject: 'mm/migrate_device.c: flush TLB while holding PTL',
    date: '2022',
    where: '60bae7370896',
    merged: true,
    changes: 'migrate_vma_collect_pmd() flushes the TLBs after it has given the page-table lock back.',
  },
  {
    id: 'no-f84ca9b1888d',
    kind: 'reverted',
    subject: 'mm/page_vma_mapped: fix device-private PMD handling',
    date: '2026',
    where: 'f84ca9b1888d',
    merged: true,
    changes:
      'page_vma_mapped_walk() stops at every device-private pmd, whose it may be, whether mappings or migration entries are wanted, and without a second look once it has the lock.',
  },
  {
    id: 'no-pin-before-split',
    kind: 'reverted',
    subject: 'mm/migrate_device: pin large folios before splitting',
    date: '2026',
    where: 'merged (no commit id at hand)',
    merged: true,
    changes:
      'migrate_vma_collect_pmd() takes its reference on a large folio that it has to split after it has given the page-table lock back.',
  },
  {
    id: 'no-zone-device-nr-anon',
    kind: 'reverted',
    subject: 'mm: decrement MTHP_STAT_NR_ANON in free_zone_device_folio()',
    date: '2026',
    where: 'merged (no commit id at hand)',
    merged: true,
    changes: 'A large anonymous folio that is freed on a device stays in the count of large anonymous folios.',
  },
  {
    id: 'no-private-subpage',
    kind: 'reverted',
    subject: 'mm/hmm: fix bad subpage pointer in try_to_unmap_one',
    date: '2019',
    where: 'merged (no commit id at hand)',
    merged: true,
    changes:
      'Unmapping a private page looks for its struct page by the pfn that pte_pfn() reads in the device-private entry.',
  },
  {
    id: 'no-ebdf8321eeeb',
    kind: 'reverted',
    subject: 'mm/migrate: fixup setting UFFD_WP flag',
    date: '2020',
    where: 'ebdf8321eeeb',
    merged: true,
    changes:
      'remove_migration_pte() marks a device-private entry write-protected for userfaultfd by the bit of present ptes, which belongs to the offset of a leaf.',
  },
  {
    id: 'no-ad7df764b7e1',
    kind: 'reverted',
    subject: 'mm/rmap: fixup copying of soft dirty and uffd flags',
    date: '2020',
    where: 'ad7df764b7e1',
    merged: true,
    changes:
      "Migration of a private page takes soft-dirty and userfaultfd's write protection from the bits of present ptes, which belong to the offset of a leaf.",
  },
  {
    id: 'no-ef233450898f',
    kind: 'reverted',
    subject: 'mm: free device private pages have zero refcount',
    date: '2022',
    where: 'ef233450898f',
    merged: true,
    changes: 'A device page that is free has a reference count of 1, as one that is in use.',
  },
  {
    id: 'no-44af0b45d58d',
    kind: 'reverted',
    subject: 'mm/migrate_device: return number of migrating pages in args->cpages',
    date: '2022',
    where: '44af0b45d58d',
    merged: true,
    changes:
      'migrate_vma_setup() counts in cpages the pages that it unmapped only, and none of the empty places that can be filled.',
  },
  {
    id: 'no-41cddf83d8b0',
    kind: 'reverted',
    subject: "mm/migrate_device: don't add folio to be freed to LRU in migrate_device_finalize()",
    date: '2025',
    where: '41cddf83d8b0',
    merged: true,
    changes:
      'The end of a migration gives every folio of system memory back through the LRU, the one that is left behind too.',
  },
  {
    id: 'no-12b2285bf3d1',
    kind: 'reverted',
    subject: 'mm/zone_device: reinitialize large zone device private folios',
    date: '2026',
    where: '12b2285bf3d1',
    merged: true,
    changes: 'zone_device_page_init() takes device pages as their last use left them, also as parts of a large folio.',
  },
  {
    id: 'no-7ab0ad0e74f8',
    kind: 'reverted',
    subject: 'mm/hmm: fix ZONE_DEVICE anon page mapping reuse',
    date: '2019',
    where: '7ab0ad0e74f8',
    merged: true,
    changes:
      'A device page keeps its mapping when it is freed and when it is used again, and, as in 2019, a new anonymous page that has one is not given another.',
  },
  {
    id: 'no-34f5e9b9d199',
    kind: 'reverted',
    subject: 'mm/migrate.c: fix potential indeterminate pte entry in migrate_vma_insert_page()',
    date: '2021',
    where: '34f5e9b9d199',
    merged: true,
    changes:
      'migrate_vma_insert_page() makes no pte for device memory that is neither private nor coherent and uses it all the same; the kernel is one that KMSAN watches.',
  },
  {
    id: 'no-63451de16e0a',
    kind: 'reverted',
    subject: 'mm/migrate_device: fix spinlock leak in migrate_vma_insert_huge_pmd_page',
    date: '2026',
    where: '63451de16e0a',
    merged: true,
    changes:
      'migrate_vma_insert_huge_pmd_page() gives up in an address space that is being reaped without giving the pmd lock back.',
  },
  {
    id: 'no-insert-page-stable-check',
    kind: 'reverted',
    subject: 'mm/migrate: add stable check in migrate_vma_insert_page()',
    date: '2020',
    where: 'merged (no commit id at hand)',
    merged: true,
    changes: 'migrate_vma_insert_page() does not ask whether the address space is being reaped.',
  },
  {
    id: 'no-fd35ca3d12cc',
    kind: 'reverted',
    subject: 'mm/migrate_device.c: copy pte dirty bit to page',
    date: '2022',
    where: 'fd35ca3d12cc',
    merged: true,
    changes: 'migrate_vma_collect_pmd() does not mark the page dirty when it takes a dirty pte away.',
  },
  {
    id: 'no-dmirror-device-release',
    kind: 'reverted',
    subject: 'lib: test_hmm: implement a device release method',
    date: '2026',
    where: 'merged (no commit id at hand)',
    merged: true,
    changes:
      'test_hmm registers a device before it has memory, and lets it stand when it gets none and the module fails to load.',
  },
];
