// SPDX-License-Identifier: GPL-2.0-only
// Which pages a migration of an address range selects: by flags and pgmap_owner, as in Linux 7.3.4, or as it was before
// there were flags.

import type { Machine } from '../../machine.ts';
import { folio_is_device_coherent, page_pgmap } from '../memremap.ts';
import {
  type migrate_vma,
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_DEVICE_COHERENT,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
} from './migrate_vma.ts';
import { MMU_NOTIFY_CLEAR, MMU_NOTIFY_MIGRATE } from '../mmu_notifier.ts';

/** How a driver says which pages it means. NON-KERNEL. */
export interface migrate_selection {
  /** whether struct migrate_vma has flags and pgmap_owner, for coherent memory too */
  readonly by_flags: boolean;
  /** Sets flags and pgmap_owner to what is selected. Returns the event that the device's notifiers see. */
  begin(migrate: migrate_vma): number;
  /** Returns true for a device-private page, of which flags select some, if its owner is one of theirs. */
  owned(m: Machine, migrate: migrate_vma, page: number): boolean;
}

/** The driver's flags and pgmap_owner; a device can tell the event from others (include/linux/migrate.h). */
export const by_flags: migrate_selection = {
  by_flags: true,
  begin: () => MMU_NOTIFY_MIGRATE,
  owned: (m, migrate, page) => page_pgmap(m, page).owner === migrate.pgmap_owner,
};

/** src_owner of Linux 5.7: system pages without it, or the owner's private pages. */
export const by_src_owner: migrate_selection = {
  by_flags: false,
  begin(migrate) {
    const select = migrate.src_owner === null ? MIGRATE_VMA_SELECT_SYSTEM : MIGRATE_VMA_SELECT_DEVICE_PRIVATE;
    migrate.flags = (migrate.flags & MIGRATE_VMA_SELECT_COMPOUND) | select;
    migrate.pgmap_owner = migrate.src_owner;
    return MMU_NOTIFY_CLEAR;
  },
  owned: by_flags.owned,
};

/** Neither, before 800bb1c8dc80: system pages and every device's private pages. */
export const by_nothing: migrate_selection = {
  by_flags: false,
  begin(migrate) {
    const select = MIGRATE_VMA_SELECT_SYSTEM | MIGRATE_VMA_SELECT_DEVICE_PRIVATE;
    migrate.flags = (migrate.flags & MIGRATE_VMA_SELECT_COMPOUND) | select;
    migrate.pgmap_owner = migrate.src_owner;
    return MMU_NOTIFY_CLEAR;
  },
  owned: () => true,
};

/** Returns true if a device-private page is selected. NON-KERNEL: lines of upstream's migrate_vma_collect_pmd(). */
export function selects_private_page(m: Machine, migrate: migrate_vma, page: number): boolean {
  return (migrate.flags & MIGRATE_VMA_SELECT_DEVICE_PRIVATE) !== 0 && m.seam.migrate_selection.owned(m, migrate, page);
}

/** Returns true if the page of zeroes is selected, as a place that can be filled. NON-KERNEL. */
export function selects_zero_page(m: Machine, migrate: migrate_vma): boolean {
  return (migrate.flags & MIGRATE_VMA_SELECT_SYSTEM) !== 0 || m.patch.coherent_v3;
}

/**
 * Returns true if a present huge page is selected. Linux 7.3.4 takes one of coherent device memory for system memory.
 * NON-KERNEL: lines of upstream's migrate_vma_collect_huge_pmd().
 */
export function selects_huge_page(m: Machine, migrate: migrate_vma, folio: number): boolean {
  if (m.patch.selects_coherent_pmd && folio_is_device_coherent(m, folio)) {
    return (
      (migrate.flags & MIGRATE_VMA_SELECT_DEVICE_COHERENT) !== 0 && page_pgmap(m, folio).owner === migrate.pgmap_owner
    );
  }
  return (migrate.flags & MIGRATE_VMA_SELECT_SYSTEM) !== 0;
}
