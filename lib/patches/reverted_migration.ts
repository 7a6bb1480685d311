// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from './patch_state.ts';

/** Fixes of migration, rmap and device memory, taken back out. NON-KERNEL. */
export const reverted_migration: readonly PatchState[] = [];
