// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import type { Gen } from '../kernel/gen.ts';
import { Unmodelled } from '../unmodelled.ts';
export const MREMAP_MAYMOVE = 1;
export const MREMAP_FIXED = 2;
export const MREMAP_DONTUNMAP = 4;
export function* sys_mremap(m: Machine, addr: number, old_len: number, new_len: number, flags: number, new_addr: number): Gen<number> { throw new Unmodelled('sys_mremap'); }
