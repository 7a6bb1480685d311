// SPDX-License-Identifier: GPL-2.0-only

import {
  type ptdesc,
  ptep_get,
  pte_none,
  pte_mkyoung,
  pte_mkdirty,
  pte_mkuffd,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { set_pte_at } from '../../arch/x86/mm/pgtable/pte.ts';
import type { Machine } from '../../machine.ts';
import { EEXIST, ENOMEM, ENOENT, EFAULT } from '../../errno.ts';
import type { file } from '../../fs/fs.ts';
import type { Gen } from '../../kernel/gen.ts';
import { spin_unlock } from '../../kernel/locking/spinlock.ts';
import { filemap_get_entry } from '../filemap/filemap.ts';
import { folio_unlock } from '../filemap/folio_lock.ts';
import { folio_put } from '../folio.ts';
import { pte_is_uffd_wp_marker } from '../leafops.ts';
import { copy_user_large_folio } from '../memory/fault.ts';
import { type vm_area_struct, type address_space, VM_SHARED, linear_page_index } from '../mm_types.ts';
import { folio_mark_uptodate } from '../page-flags.ts';
import { hugetlb_add_file_rmap, hugetlb_add_new_anon_rmap } from '../rmap/rmap.ts';
import type { spare } from '../userfaultfd/mfill.ts';
import { copy_to_folio } from '../userfaultfd/mfill.ts';
import {
  hstate_vma,
  alloc_hugetlb_folio,
  huge_page_size,
  restore_reserve_on_error,
  alloc_hugetlb_folio_nodemask,
  hugetlb_add_to_page_cache,
  folio_clear_hpg,
  HPG_restore_reserve,
  pages_per_huge_page,
  folio_set_hpg,
  HPG_migratable,
} from './pool.ts';
import { vma_hugecache_offset } from './resv.ts';
import { huge_pte_offset, huge_pte_index, huge_pte_lock, make_huge_pte } from './vma.ts';

/** mm/hugetlb.c: hugetlb_mfill_atomic_pte() */
export function* hugetlb_mfill_atomic_pte(
  m: Machine,
  pt: ptdesc,
  vma: vm_area_struct,
  dst_addr: number,
  src_addr: number,
  wp: boolean,
  spare: spare,
): Gen<number> {
  const mm = vma.vm_mm;
  const h = hstate_vma(m, vma);
  const mapping = (vma.vm_file as file).f_mapping as address_space;
  const idx = vma_hugecache_offset(h, vma, dst_addr);
  const vm_shared = (vma.vm_flags & VM_SHARED) !== 0;
  if (vm_shared) {
    const there = filemap_get_entry(m, mapping, linear_page_index(vma, dst_addr));
    if (there !== 0) {
      folio_put(m, there);
      if (spare.folio !== 0) folio_put(m, spare.folio);
      spare.folio = 0;
      return -EEXIST;
    }
  }
  const folio = alloc_hugetlb_folio(m, vma, dst_addr, false);
  if (folio < 0) {
    if (spare.folio !== 0) {
      folio_put(m, spare.folio);
      spare.folio = 0;
      return -ENOMEM;
    }
    return huge_pte_offset(m, mm, dst_addr, huge_page_size(h)) !== null ? -EEXIST : -ENOMEM;
  }
  if (spare.folio === 0) {
    if ((yield* copy_to_folio(m, folio, src_addr, huge_page_size(h), false)) !== 0) {
      restore_reserve_on_error(m, h, vma, dst_addr, folio);
      folio_put(m, folio);
      spare.folio = alloc_hugetlb_folio_nodemask(m, h);
      return spare.folio === 0 ? -ENOMEM : -ENOENT;
    }
  } else {
    copy_user_large_folio(m, folio, spare.folio, dst_addr, vma);
    folio_put(m, spare.folio);
    spare.folio = 0;
  }
  folio_mark_uptodate(m, folio);
  let in_pagecache = false;
  let ret = 0;
  if (vm_shared) {
    ret =
      idx >= Math.floor(mapping.host.i_size / huge_page_size(h))
        ? -EFAULT
        : hugetlb_add_to_page_cache(m, folio, mapping, idx);
    in_pagecache = ret === 0;
  }
  if (ret === 0) {
    const i = huge_pte_index(h, dst_addr);
    const ptl = yield* huge_pte_lock(m, h, mm, pt);
    const old = ptep_get(pt, i);
    if (pte_none(old) || pte_is_uffd_wp_marker(old)) {
      if (in_pagecache) hugetlb_add_file_rmap(m, folio);
      else {
        folio_clear_hpg(m, folio, HPG_restore_reserve);
        hugetlb_add_new_anon_rmap(m, folio, vma, dst_addr);
      }
      let pte = pte_mkyoung(pte_mkdirty(make_huge_pte(m, vma, folio, !wp)));
      if (wp) pte = pte_mkuffd(pte);
      set_pte_at(m, mm, dst_addr, pt, i, pte);
      mm.hugetlb_usage += pages_per_huge_page(h);
      folio_set_hpg(m, folio, HPG_migratable);
      if (vm_shared) folio_unlock(m, folio);
      spin_unlock(m, ptl);
      return 0;
    }
    spin_unlock(m, ptl);
    ret = -EEXIST;
    if (vm_shared) folio_unlock(m, folio);
  }
  if (!in_pagecache) restore_reserve_on_error(m, h, vma, dst_addr, folio);
  folio_put(m, folio);
  return ret;
}
