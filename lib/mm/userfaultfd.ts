// SPDX-License-Identifier: GPL-2.0-only

import { Unmodelled } from '../unmodelled.ts';
import type { Machine } from '../boot.ts';
import type { Gen } from '../kernel/gen.ts';
import type { vm_area_struct, vm_fault, mm_struct } from './mm_types.ts';
export class userfaultfd_ctx { features = 0; flags = 0; released = false; }
export interface vm_userfaultfd_ctx { ctx: userfaultfd_ctx | null; }
export type userfaultfd_fork_ctxs = { orig: userfaultfd_ctx; new_ctx: userfaultfd_ctx }[];
export type userfaultfd_unmap_ctxs = { ctx: userfaultfd_ctx; start: number; end: number }[];
export function* handle_userfault(_m: Machine, _vmf: vm_fault, _reason: number): Gen<number> {
  throw new Unmodelled('handle_userfault');
}
export function userfaultfd_missing(_vma: vm_area_struct): boolean {
  throw new Unmodelled('userfaultfd_missing');
}
export function userfaultfd_wp(_vma: vm_area_struct): boolean {
  throw new Unmodelled('userfaultfd_wp');
}
export function userfaultfd_minor(_vma: vm_area_struct): boolean {
  throw new Unmodelled('userfaultfd_minor');
}
export function userfaultfd_rwp(_vma: vm_area_struct): boolean {
  throw new Unmodelled('userfaultfd_rwp');
}
export function userfaultfd_protected(_vma: vm_area_struct): boolean {
  throw new Unmodelled('userfaultfd_protected');
}
export function userfaultfd_armed(_vma: vm_area_struct): boolean {
  throw new Unmodelled('userfaultfd_armed');
}
export function userfaultfd_pte_wp(_vma: vm_area_struct, _pte: number): boolean {
  throw new Unmodelled('userfaultfd_pte_wp');
}
export function userfaultfd_huge_pmd_wp(_vma: vm_area_struct, _pmd: number): boolean {
  throw new Unmodelled('userfaultfd_huge_pmd_wp');
}
export function userfaultfd_pte_rwp(_vma: vm_area_struct, _pte: number): boolean {
  throw new Unmodelled('userfaultfd_pte_rwp');
}
export function userfaultfd_huge_pmd_rwp(_vma: vm_area_struct, _pmd: number): boolean {
  throw new Unmodelled('userfaultfd_huge_pmd_rwp');
}
export function userfaultfd_wp_unpopulated(_vma: vm_area_struct): boolean {
  throw new Unmodelled('userfaultfd_wp_unpopulated');
}
export function userfaultfd_wp_async(_vma: vm_area_struct): boolean {
  throw new Unmodelled('userfaultfd_wp_async');
}
export function userfaultfd_rwp_async(_vma: vm_area_struct): boolean {
  throw new Unmodelled('userfaultfd_rwp_async');
}
export function userfaultfd_wp_use_markers(_vma: vm_area_struct): boolean {
  throw new Unmodelled('userfaultfd_wp_use_markers');
}
export function uffd_disable_fault_around(_vma: vm_area_struct): boolean {
  throw new Unmodelled('uffd_disable_fault_around');
}
export function uffd_disable_huge_pmd_share(_vma: vm_area_struct): boolean {
  throw new Unmodelled('uffd_disable_huge_pmd_share');
}
export function vma_has_uffd_without_event_remap(_vma: vm_area_struct): boolean {
  throw new Unmodelled('vma_has_uffd_without_event_remap');
}
export function pte_swp_uffd_any(_pte: number): boolean {
  throw new Unmodelled('pte_swp_uffd_any');
}
export function is_mergeable_vm_userfaultfd_ctx(_vma: vm_area_struct, _vm_ctx: userfaultfd_ctx | null): boolean {
  throw new Unmodelled('is_mergeable_vm_userfaultfd_ctx');
}
export function dup_userfaultfd(_m: Machine, _vma: vm_area_struct, _fcs: userfaultfd_fork_ctxs): number {
  throw new Unmodelled('dup_userfaultfd');
}
export function* dup_userfaultfd_complete(_m: Machine, _fcs: userfaultfd_fork_ctxs): Gen<void> {
  throw new Unmodelled('dup_userfaultfd_complete');
}
export function dup_userfaultfd_fail(_m: Machine, _fcs: userfaultfd_fork_ctxs): void {
  throw new Unmodelled('dup_userfaultfd_fail');
}
export function mremap_userfaultfd_prep(_m: Machine, _vma: vm_area_struct, _vm_ctx: vm_userfaultfd_ctx): void {
  throw new Unmodelled('mremap_userfaultfd_prep');
}
export function* mremap_userfaultfd_complete(_m: Machine, _vm_ctx: vm_userfaultfd_ctx, _from: number, _to: number, _len: number): Gen<void> {
  throw new Unmodelled('mremap_userfaultfd_complete');
}
export function mremap_userfaultfd_fail(_m: Machine, _vm_ctx: vm_userfaultfd_ctx): void {
  throw new Unmodelled('mremap_userfaultfd_fail');
}
export function* userfaultfd_remove(_m: Machine, _vma: vm_area_struct, _start: number, _end: number): Gen<boolean> {
  throw new Unmodelled('userfaultfd_remove');
}
export function userfaultfd_unmap_prep(_m: Machine, _vma: vm_area_struct, _start: number, _end: number, _unmaps: userfaultfd_unmap_ctxs): number {
  throw new Unmodelled('userfaultfd_unmap_prep');
}
export function* userfaultfd_unmap_complete(_m: Machine, _mm: mm_struct, _uf: userfaultfd_unmap_ctxs): Gen<void> {
  throw new Unmodelled('userfaultfd_unmap_complete');
}
export function* sys_userfaultfd(_m: Machine, _flags: number): Gen<number> {
  throw new Unmodelled('sys_userfaultfd');
}
