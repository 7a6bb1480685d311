// SPDX-License-Identifier: GPL-2.0-only

import { Unmodelled } from '../unmodelled.ts';
import type { Machine } from '../boot.ts';
import type { Gen } from '../kernel/gen.ts';
import type { vm_area_struct, mm_struct } from './mm_types.ts';
export function* hugetlb_fault(_m: Machine, _mm: mm_struct, _vma: vm_area_struct, _address: number, _flags: number): Gen<number> {
  throw new Unmodelled('hugetlb_fault');
}
