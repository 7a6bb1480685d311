// SPDX-License-Identifier: GPL-2.0-only

import { Unmodelled } from '../unmodelled.ts';
import type { Machine } from '../boot.ts';
import type { Gen } from '../kernel/gen.ts';
import type { spinlock } from '../kernel/locks.ts';
import type { address_space, file, inode } from '../fs/fs.ts';
import type { vm_area_struct, mm_struct, vm_operations_struct } from './mm_types.ts';
import type { ptdesc } from './pgtable.ts';
export class hstate { readonly order: number; nr_huge_pages = 0; constructor(order: number) { this.order = order; } }
export class hugetlb_state { readonly m: Machine; constructor(m: Machine) { this.m = m; } }
export const hugetlb_vm_ops: vm_operations_struct = {};
export function hugetlb_init(_m: Machine): void {
  throw new Unmodelled('hugetlb_init');
}
export function size_to_hstate(_m: Machine, _size: number): hstate | null {
  throw new Unmodelled('size_to_hstate');
}
export function hstate_sizelog(_m: Machine, _page_size_log: number): hstate | null {
  throw new Unmodelled('hstate_sizelog');
}
export function hstate_file(_m: Machine, _f: file): hstate {
  throw new Unmodelled('hstate_file');
}
export function hstate_inode(_m: Machine, _i: inode): hstate {
  throw new Unmodelled('hstate_inode');
}
export function hstate_vma(_m: Machine, _vma: vm_area_struct): hstate {
  throw new Unmodelled('hstate_vma');
}
export function folio_hstate(_m: Machine, _folio: number): hstate {
  throw new Unmodelled('folio_hstate');
}
export function huge_page_size(_h: hstate): number {
  throw new Unmodelled('huge_page_size');
}
export function huge_page_order(_h: hstate): number {
  throw new Unmodelled('huge_page_order');
}
export function huge_page_shift(_h: hstate): number {
  throw new Unmodelled('huge_page_shift');
}
export function pages_per_huge_page(_h: hstate): number {
  throw new Unmodelled('pages_per_huge_page');
}
export function vma_kernel_pagesize(_m: Machine, _vma: vm_area_struct): number {
  throw new Unmodelled('vma_kernel_pagesize');
}
export function is_file_hugepages(_f: file): boolean {
  throw new Unmodelled('is_file_hugepages');
}
export function hugetlb_file_setup(_m: Machine, _name: string, _size: number, _acctflag: number, _creat_flags: number, _page_size_log: number): file | number {
  throw new Unmodelled('hugetlb_file_setup');
}
export function hugetlb_reserve_pages(_m: Machine, _node: inode, _from: number, _to: number, _vma: vm_area_struct | null, _vm_flags: number): number {
  throw new Unmodelled('hugetlb_reserve_pages');
}
export function hugetlb_unreserve_pages(_m: Machine, _node: inode, _start: number, _end: number, _freed: number): number {
  throw new Unmodelled('hugetlb_unreserve_pages');
}
export function* set_max_huge_pages(_m: Machine, _h: hstate, _count: number): Gen<number> {
  throw new Unmodelled('set_max_huge_pages');
}
export function free_huge_folio(_m: Machine, _folio: number): void {
  throw new Unmodelled('free_huge_folio');
}
export function alloc_hugetlb_folio(_m: Machine, _vma: vm_area_struct, _addr: number, _cow_from_owner: boolean): number {
  throw new Unmodelled('alloc_hugetlb_folio');
}
export function folio_isolate_hugetlb(_m: Machine, _folio: number, _list: number[]): boolean {
  throw new Unmodelled('folio_isolate_hugetlb');
}
export function folio_putback_hugetlb(_m: Machine, _folio: number): void {
  throw new Unmodelled('folio_putback_hugetlb');
}
export function hugetlb_report_meminfo(_m: Machine): string {
  throw new Unmodelled('hugetlb_report_meminfo');
}
export function hugetlb_report_usage(_mm: mm_struct): string {
  throw new Unmodelled('hugetlb_report_usage');
}
export function* hugetlb_add_to_page_cache(_m: Machine, _folio: number, _mapping: address_space, _idx: number): Gen<number> {
  throw new Unmodelled('hugetlb_add_to_page_cache');
}
