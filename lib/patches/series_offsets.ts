// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from './patch_state.ts';

/** Device-private memory outside of the physical address space (2026). NON-KERNEL. */
export const offsets_states: readonly PatchState[] = [];
