// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from './patch_state.ts';

/** The device-exclusive access of 2021. NON-KERNEL. */
export const exclusive_states: readonly PatchState[] = [];
