// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from './patch_state.ts';

/** The states of kind 'proposed'. NON-KERNEL. */
export const proposed_fixes: readonly PatchState[] = [];
