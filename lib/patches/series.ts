// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from './patch_state.ts';

/** The states of kind 'series'. NON-KERNEL. */
export const series_states: readonly PatchState[] = [];
