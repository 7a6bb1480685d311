// SPDX-License-Identifier: GPL-2.0-only

import { Unmodelled } from '../unmodelled.ts';
import type { Machine } from '../boot.ts';
import type { Gen } from '../kernel/gen.ts';
import type { spinlock } from '../kernel/locks.ts';
import type { vm_area_struct, mm_struct } from './mm_types.ts';
import type { mmu_gather } from './mmu_gather.ts';
import type { ptdesc } from './pgtable.ts';
import type { hstate } from './hugetlb.ts';
export function* huge_pte_alloc(_m: Machine, _mm: mm_struct, _vma: vm_area_struct, _addr: number, _sz: number): Gen<ptdesc | null> {
  throw new Unmodelled('huge_pte_alloc');
}
export function huge_pte_offset(_m: Machine, _mm: mm_struct, _addr: number, _sz: number): ptdesc | null {
  throw new Unmodelled('huge_pte_offset');
}
export function huge_pte_index(_h: hstate, _addr: number): number {
  throw new Unmodelled('huge_pte_index');
}
export function huge_ptep_get(_m: Machine, _mm: mm_struct, _addr: number, _pt: ptdesc, _i: number): number {
  throw new Unmodelled('huge_ptep_get');
}
export function* huge_pte_lock(_m: Machine, _h: hstate, _mm: mm_struct, _pt: ptdesc): Gen<spinlock> {
  throw new Unmodelled('huge_pte_lock');
}
export function hugetlb_mask_last_page(_h: hstate): number {
  throw new Unmodelled('hugetlb_mask_last_page');
}
export function* copy_hugetlb_page_range(_m: Machine, _dst: mm_struct, _src: mm_struct, _dst_vma: vm_area_struct, _src_vma: vm_area_struct): Gen<number> {
  throw new Unmodelled('copy_hugetlb_page_range');
}
export function* move_hugetlb_page_tables(_m: Machine, _vma: vm_area_struct, _new_vma: vm_area_struct, _old_addr: number, _new_addr: number, _len: number): Gen<number> {
  throw new Unmodelled('move_hugetlb_page_tables');
}
export function* unmap_hugepage_range(_m: Machine, _vma: vm_area_struct, _start: number, _end: number, _folio: number, _zap_flags: number): Gen<void> {
  throw new Unmodelled('unmap_hugepage_range');
}
export function* __unmap_hugepage_range(_m: Machine, _tlb: mmu_gather, _vma: vm_area_struct, _start: number, _end: number, _folio: number, _zap_flags: number): Gen<void> {
  throw new Unmodelled('__unmap_hugepage_range');
}
export function* hugetlb_change_protection(_m: Machine, _vma: vm_area_struct, _address: number, _end: number, _newprot: number, _cp_flags: number): Gen<number> {
  throw new Unmodelled('hugetlb_change_protection');
}
export function* hugetlb_zap_begin(_m: Machine, _vma: vm_area_struct, _range: { start: number; end: number }): Gen<void> {
  throw new Unmodelled('hugetlb_zap_begin');
}
export function hugetlb_zap_end(_m: Machine, _vma: vm_area_struct, _zap_flags: number): void {
  throw new Unmodelled('hugetlb_zap_end');
}
export function hugetlb_dup_vma_private(_m: Machine, _vma: vm_area_struct): void {
  throw new Unmodelled('hugetlb_dup_vma_private');
}
export function clear_vma_resv_huge_pages(_m: Machine, _vma: vm_area_struct): void {
  throw new Unmodelled('clear_vma_resv_huge_pages');
}
export function fixup_hugetlb_reservations(_m: Machine, _vma: vm_area_struct): void {
  throw new Unmodelled('fixup_hugetlb_reservations');
}
export function hugetlb_split(_m: Machine, _vma: vm_area_struct, _addr: number): void {
  throw new Unmodelled('hugetlb_split');
}
export function* hugetlb_vma_lock_read(_m: Machine, _vma: vm_area_struct): Gen<void> {
  throw new Unmodelled('hugetlb_vma_lock_read');
}
export function hugetlb_vma_unlock_read(_m: Machine, _vma: vm_area_struct): void {
  throw new Unmodelled('hugetlb_vma_unlock_read');
}
export function* hugetlb_vma_lock_write(_m: Machine, _vma: vm_area_struct): Gen<void> {
  throw new Unmodelled('hugetlb_vma_lock_write');
}
export function hugetlb_vma_unlock_write(_m: Machine, _vma: vm_area_struct): void {
  throw new Unmodelled('hugetlb_vma_unlock_write');
}
export function hugetlb_vma_trylock_write(_m: Machine, _vma: vm_area_struct): boolean {
  throw new Unmodelled('hugetlb_vma_trylock_write');
}
export function adjust_range_if_pmd_sharing_possible(_m: Machine, _vma: vm_area_struct, _range: { start: number; end: number }): void {
  throw new Unmodelled('adjust_range_if_pmd_sharing_possible');
}
export function hugetlb_unshare_all_pmds(_m: Machine, _vma: vm_area_struct): void {
  throw new Unmodelled('hugetlb_unshare_all_pmds');
}
