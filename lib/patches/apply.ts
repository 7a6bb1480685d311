// SPDX-License-Identifier: GPL-2.0-only

import { linux_offset_layout, type offset_layout } from '../mm/device_private.ts';
import { type Patch, type PatchId, patch_states } from './index.ts';
import { linux_seams, type Seams } from './seams.ts';

const every_name = patch_states.flatMap((p) => p.sets ?? []);

/** Returns what the states change on a machine, whose list check_patches() has passed. NON-KERNEL. */
export function apply_patches(ids: readonly PatchId[]): { patch: Patch; seam: Seams; layout: offset_layout } {
  const states = patch_states.filter((p) => ids.includes(p.id));
  const set = new Set(states.flatMap((p) => p.sets ?? []));
  return {
    // An object of fast properties, which one filled in by a loop is not.
    patch: Object.fromEntries(every_name.map((name) => [name, set.has(name)])) as Patch,
    seam: Object.assign({}, linux_seams, ...states.map((p) => p.seams)) as Seams,
    layout: Object.assign({}, linux_offset_layout, ...states.map((p) => p.offsets)) as offset_layout,
  };
}
