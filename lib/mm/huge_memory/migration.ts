// SPDX-License-Identifier: GPL-2.0-only

import {
  ALIGN_DOWN,
  HPAGE_PMD_SIZE,
  pmd_dirty,
  pmd_mkdirty,
  pmd_mkold,
  pmd_mkwrite,
  pmd_present,
  pmd_write,
  pmd_young,
  pte_mksoft_dirty,
  pte_mkuffd,
  pte_soft_dirty,
  pte_uffd,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { folio_mk_pmd, pmdp_huge_get_and_clear, set_pmd_at } from '../../arch/x86/mm/pgtable/pmd.ts';
import type { Machine } from '../../machine.ts';
import { EBUSY } from '../../errno.ts';
import { WARN_ON_ONCE } from '../../kernel/printk.ts';
import { folio_put } from '../folio.ts';
import {
  make_migration_entry_dirty,
  make_migration_entry_young,
  make_readable_device_private_entry_from_page,
  make_readable_exclusive_migration_entry_from_page,
  make_readable_migration_entry_from_page,
  make_writable_device_private_entry_from_page,
  make_writable_migration_entry_from_page,
  softleaf_from_pmd,
  softleaf_is_device_private_write,
  softleaf_is_migration_dirty,
  softleaf_is_migration_write,
  softleaf_is_migration_young,
  softleaf_to_pmd,
} from '../leafops.ts';
import { folio_is_device_private } from '../memremap.ts';
import { folio_set_dirty, folio_test_dirty, PageAnonExclusive } from '../page-flags.ts';
import { folio_get, folio_test_anon, page_folio } from '../page.ts';
import type { page_vma_mapped_walk } from '../page_vma_mapped.ts';
import { pmdp_invalidate } from '../pgtable-generic.ts';
import {
  folio_add_anon_rmap_pmd,
  folio_add_file_rmap_pmd,
  folio_remove_rmap_pmd,
  folio_try_share_anon_rmap_pmd,
  RMAP_EXCLUSIVE,
  RMAP_NONE,
} from '../rmap/rmap.ts';

/**
 * Replaces the pmd that the walk found, present or device-private, by a migration entry and drops the mapping's
 * reference. Returns 0, or -EBUSY if the folio may be pinned (mm/huge_memory.c: set_pmd_migration_entry()). Called
 * under the pmd lock.
 */
export function set_pmd_migration_entry(m: Machine, pvmw: page_vma_mapped_walk, page: number): number {
  const folio = page_folio(m, page);
  const vma = pvmw.vma;
  const mm = vma.vm_mm;
  const address = pvmw.address;
  const { pmdt, pi } = pvmw;
  if (pmdt === null || pvmw.pte !== null) return 0;

  const present = pmd_present(pmdt.entry[pi]);
  let pmdval: number;
  let writable: boolean;
  if (present) {
    pmdval = pmdp_invalidate(m, vma, address, pmdt, pi);
    writable = pmd_write(pmdval);
  } else {
    pmdval = pmdp_huge_get_and_clear(m, mm, address, pmdt, pi);
    writable = softleaf_is_device_private_write(softleaf_from_pmd(pmdval));
  }
  const softdirty = pte_soft_dirty(pmdval);
  const uffd_wp = pte_uffd(pmdval);

  const anon_exclusive = folio_test_anon(m, folio) && PageAnonExclusive(m, page);
  if (anon_exclusive && folio_try_share_anon_rmap_pmd(m, folio, page) !== 0) {
    set_pmd_at(m, mm, address, pmdt, pi, pmdval);
    return -EBUSY;
  }

  let entry: number;
  if (writable) entry = make_writable_migration_entry_from_page(m, page, 0);
  else if (anon_exclusive) entry = make_readable_exclusive_migration_entry_from_page(m, page, 0);
  else entry = make_readable_migration_entry_from_page(m, page, 0);
  if (present && pmd_young(pmdval)) entry = make_migration_entry_young(entry);
  if (present && pmd_dirty(pmdval)) {
    folio_set_dirty(m, folio);
    entry = make_migration_entry_dirty(entry);
  }
  let pmdswp = softleaf_to_pmd(entry);
  if (softdirty) pmdswp = pte_mksoft_dirty(pmdswp);
  if (uffd_wp) pmdswp = pte_mkuffd(pmdswp);
  set_pmd_at(m, mm, address, pmdt, pi, pmdswp);
  folio_remove_rmap_pmd(m, folio, page, vma);
  folio_put(m, folio);
  return 0;
}

/**
 * Replaces the migration entry that the walk found by a mapping of `folio`, and takes a reference for it
 * (mm/huge_memory.c: remove_migration_pmd()). Called under the pmd lock.
 */
export function remove_migration_pmd(m: Machine, pvmw: page_vma_mapped_walk, folio: number): void {
  const vma = pvmw.vma;
  const haddr = ALIGN_DOWN(pvmw.address, HPAGE_PMD_SIZE);
  const { pmdt, pi } = pvmw;
  if (pmdt === null || pvmw.pte !== null) return;

  const old = pmdt.entry[pi];
  const entry = softleaf_from_pmd(old);
  folio_get(m, folio);
  const write = softleaf_is_migration_write(entry);
  let pmde: number;
  if (folio_is_device_private(m, folio)) {
    // Upstream first builds the present pmd, and pmd_mkuffd_wp() clears its write bit. An entry that is uffd
    // write-protected is therefore made readable.
    const make =
      write && !pte_uffd(old)
        ? make_writable_device_private_entry_from_page
        : make_readable_device_private_entry_from_page;
    pmde = softleaf_to_pmd(make(m, folio));
  } else {
    pmde = folio_mk_pmd(m, folio, vma.vm_page_prot);
    if (write) pmde = pmd_mkwrite(pmde);
    if (!softleaf_is_migration_young(m, entry)) pmde = pmd_mkold(pmde);
    if (folio_test_dirty(m, folio) && softleaf_is_migration_dirty(m, entry)) pmde = pmd_mkdirty(pmde);
  }
  if (pte_soft_dirty(old)) pmde = pte_mksoft_dirty(pmde);
  if (pte_uffd(old)) pmde = pte_mkuffd(pmde);

  if (folio_test_anon(m, folio)) {
    folio_add_anon_rmap_pmd(
      m,
      folio,
      folio,
      vma,
      haddr,
      m.device_private.is_migration_read(entry) ? RMAP_NONE : RMAP_EXCLUSIVE,
    );
  } else {
    folio_add_file_rmap_pmd(m, folio, folio, vma);
  }
  WARN_ON_ONCE(m, pmd_write(pmde) && folio_test_anon(m, folio) && !PageAnonExclusive(m, folio), 'remove_migration_pmd');
  set_pmd_at(m, vma.vm_mm, haddr, pmdt, pi, pmde);
}
