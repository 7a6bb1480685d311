// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from './patch_state.ts';

/** The states of kind 'reverted'. NON-KERNEL. */
export const reverted_fixes: readonly PatchState[] = [];
