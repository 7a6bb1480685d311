// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from './patch_state.ts';

/** hmm_vma_migrate() of HMM v14 (2016). NON-KERNEL. */
export const hmm_v14_states: readonly PatchState[] = [];
