// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import type { Gen } from '../kernel/gen.ts';
import type { mm_struct } from './mm_types.ts';
import { Unmodelled } from '../unmodelled.ts';

/** make_device_exclusive */
export function* make_device_exclusive(m: Machine, mm: mm_struct, addr: number, owner: object): Gen<number> {
  throw new Unmodelled('make_device_exclusive');
}

