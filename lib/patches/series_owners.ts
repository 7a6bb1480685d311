// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from './patch_state.ts';

/** One field for owner and selection, as in Linux 5.7. NON-KERNEL. */
export const owner_states: readonly PatchState[] = [];
