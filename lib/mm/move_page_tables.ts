// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import type { Gen } from '../kernel/gen.ts';
import type { vm_area_struct } from './mm_types.ts';
import { Unmodelled } from '../unmodelled.ts';
export class pagetable_move_control { old = 0; }
export function* move_page_tables(m: Machine, pmc: pagetable_move_control): Gen<number> { throw new Unmodelled('move_page_tables'); }
