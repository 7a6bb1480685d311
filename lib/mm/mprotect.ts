// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import type { Gen } from '../kernel/gen.ts';
import type { mmu_gather } from './mmu_gather.ts';
import type { vm_area_struct } from './mm_types.ts';
import { Unmodelled } from '../unmodelled.ts';
export const MM_CP_PROT_NUMA = 1 << 1;
export const MM_CP_TRY_CHANGE_WRITABLE = 1 << 0;
export const MM_CP_UFFD_WP = 1 << 2;
export const MM_CP_UFFD_WP_RESOLVE = 1 << 3;
export const MM_CP_UFFD_WP_ALL = MM_CP_UFFD_WP | MM_CP_UFFD_WP_RESOLVE;
export function can_change_pte_writable(m: Machine, vma: vm_area_struct, addr: number, pte: number): boolean { throw new Unmodelled('can_change_pte_writable'); }
export function* change_protection(m: Machine, tlb: mmu_gather, vma: vm_area_struct, start: number, end: number, cp_flags: number): Gen<number> { throw new Unmodelled('change_protection'); }
export function* sys_mprotect(m: Machine, start: number, len: number, prot: number): Gen<number> { throw new Unmodelled('sys_mprotect'); }
