// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from './patch_state.ts';

/** MEMORY_DEVICE_COHERENT as posted in January 2022. NON-KERNEL. */
export const coherent_states: readonly PatchState[] = [];
