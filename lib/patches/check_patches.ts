// SPDX-License-Identifier: GPL-2.0-only

import { patch_states, type PatchId } from './index.ts';
import type { PatchState } from './patch_state.ts';

const by_id: ReadonlyMap<string, PatchState> = new Map(patch_states.map((p) => [p.id, p]));

/**
 * Returns a machine's list of states as ids. Throws RangeError for one that does not exist, for two that exclude each
 * other and for one that needs another. NON-KERNEL.
 */
export function check_patches(ids: readonly string[]): PatchId[] {
  return ids.map((id) => {
    const state = by_id.get(id);
    if (state === undefined)
      throw new RangeError(
        `patch state ${id}: there is no such state; npm run -s regression -- list shows those that are`,
      );
    const clash = state.excludes?.find((x) => ids.includes(x));
    if (clash !== undefined)
      throw new RangeError(`patch states ${id} and ${clash} exclude each other: take one of them`);
    const missing = state.needs?.find((x) => !ids.includes(x));
    if (missing !== undefined) throw new RangeError(`patch state ${id} needs ${missing} too`);
    return state.id;
  });
}
