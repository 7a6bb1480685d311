// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import type { Gen } from '../kernel/gen.ts';
import type { mm_struct } from './mm_types.ts';
import { Unmodelled } from '../unmodelled.ts';
export function* do_madvise(m: Machine, mm: mm_struct, start: number, len_in: number, behavior: number): Gen<number> { throw new Unmodelled('do_madvise'); }
export function* sys_madvise(m: Machine, start: number, len_in: number, behavior: number): Gen<number> { throw new Unmodelled('sys_madvise'); }
