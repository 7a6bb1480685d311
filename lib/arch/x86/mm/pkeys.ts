// SPDX-License-Identifier: GPL-2.0-only
// Protection keys of a CPU without PKU, as the modelled one is: no key can be had.

import { EINVAL } from '../../../errno.ts';
import type { mm_struct } from '../../../mm/mm_types.ts';

/** Returns false: every key is beyond arch_max_pkey(), or key 0, which is execute_only_pkey (arch/x86/include/asm/pkeys.h: mm_pkey_is_allocated()). */
export function mm_pkey_is_allocated(_mm: mm_struct, _pkey: number): boolean {
  return false;
}

/** Returns -1: arch_pkeys_enabled() is false (arch/x86/include/asm/pkeys.h: mm_pkey_alloc()). */
export function mm_pkey_alloc(_mm: mm_struct): number {
  return -1;
}

/** Returns -EINVAL, as no key is allocated (arch/x86/include/asm/pkeys.h: mm_pkey_free()). */
export function mm_pkey_free(mm: mm_struct, pkey: number): number {
  return mm_pkey_is_allocated(mm, pkey) ? 0 : -EINVAL;
}
