// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from './patch_state.ts';
import { proposed_fixes } from './proposed.ts';
import { reverted_fixes } from './reverted.ts';
import { reverted_faults } from './reverted_faults.ts';
import { series_states } from './series.ts';

export type { PatchState } from './patch_state.ts';

/** Every state in which a machine can differ from Linux 7.3.4: series applied, fixes taken back out, fixes proposed. */
export const patch_states: readonly PatchState[] = [...series_states, ...reverted_fixes, ...reverted_faults, ...proposed_fixes];

/**
 * Checks a machine's list of states: throws RangeError for one that does not exist, for two that exclude each other and
 * for one that needs another. NON-KERNEL.
 */
export function check_patches(ids: readonly string[]): void {
  for (const id of ids) {
    const state = patch_states.find((p) => p.id === id);
    if (state === undefined) throw new RangeError(`patch state ${id}: there is no such state; npm run -s regression -- list shows those that are`);
    const clash = (state.excludes ?? []).find((x) => ids.includes(x));
    if (clash !== undefined) throw new RangeError(`patch states ${id} and ${clash} exclude each other: take one of them`);
    const missing = (state.needs ?? []).find((x) => !ids.includes(x));
    if (missing !== undefined) throw new RangeError(`patch state ${id} needs ${missing} too`);
  }
}
