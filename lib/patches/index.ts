// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from './patch_state.ts';
import { proposed_fixes } from './proposed.ts';
import { reverted_faults } from './reverted_faults.ts';
import { reverted_migration } from './reverted_migration.ts';
import { coherent_states } from './series_coherent.ts';
import { exclusive_states } from './series_exclusive.ts';
import { hmm_v14_states } from './series_hmm_v14.ts';
import { offsets_states } from './series_offsets.ts';
import { owner_states } from './series_owners.ts';

export type { PatchState } from './patch_state.ts';

/** Every state in which a machine can differ from Linux 7.3.4: series applied, fixes taken back out, fixes proposed. */
export const patch_states: readonly PatchState[] = [
  ...offsets_states,
  ...exclusive_states,
  ...coherent_states,
  ...hmm_v14_states,
  ...owner_states,
  ...reverted_faults,
  ...reverted_migration,
  ...proposed_fixes,
];

/**
 * Checks a machine's list of states: throws RangeError for one that does not exist, for two that exclude each other and
 * for one that needs another. NON-KERNEL.
 */
export function check_patches(ids: readonly string[]): void {
  for (const id of ids) {
    const state = patch_states.find((p) => p.id === id);
    if (state === undefined)
      throw new RangeError(
        `patch state ${id}: there is no such state; npm run -s regression -- list shows those that are`,
      );
    const clash = (state.excludes ?? []).find((x) => ids.includes(x));
    if (clash !== undefined)
      throw new RangeError(`patch states ${id} and ${clash} exclude each other: take one of them`);
    const missing = (state.needs ?? []).find((x) => !ids.includes(x));
    if (missing !== undefined) throw new RangeError(`patch state ${id} needs ${missing} too`);
  }
}
