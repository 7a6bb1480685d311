// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import type { Gen } from '../kernel/gen.ts';
import { Unmodelled } from '../unmodelled.ts';
import type { mm_struct, vm_area_struct, vm_fault } from './mm_types.ts';
import type { ptdesc } from './pgtable.ts';

/** */
// eslint-disable-next-line require-yield
export function* do_user_addr_fault(m: Machine, mm: mm_struct, address: number, write: boolean, user: boolean): Gen<number> {
  throw new Unmodelled('do_user_addr_fault');
}

/** */
// eslint-disable-next-line require-yield
export function* lock_mm_and_find_vma(m: Machine, mm: mm_struct, addr: number, user: boolean): Gen<vm_area_struct | null> {
  throw new Unmodelled('lock_mm_and_find_vma');
}

