// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import type { Gen } from './gen.ts';
import type { mm_struct } from '../mm/mm_types.ts';
import { Unmodelled } from '../unmodelled.ts';
export function mm_alloc(m: Machine): mm_struct | null { throw new Unmodelled('mm_alloc'); }
export function mmget(mm: mm_struct): void { throw new Unmodelled('mmget'); }
export function mmget_not_zero(mm: mm_struct): boolean { throw new Unmodelled('mmget_not_zero'); }
export function* mmput(m: Machine, mm: mm_struct): Gen<void> { throw new Unmodelled('mmput'); }
export function mmgrab(mm: mm_struct): void { throw new Unmodelled('mmgrab'); }
export function mmdrop(m: Machine, mm: mm_struct): void { throw new Unmodelled('mmdrop'); }
export function* dup_mm(m: Machine, oldmm: mm_struct): Gen<mm_struct | null> { throw new Unmodelled('dup_mm'); }
