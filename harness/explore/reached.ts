// SPDX-License-Identifier: GPL-2.0-only
// Whether a run came to the places where a patch state makes a difference.

import type { Machine } from '../../lib/machine.ts';
import { type PatchId, patch_states } from '../../lib/patches/index.ts';
import type { PatchState } from '../../lib/patches/patch_state.ts';
import { RandomChooser } from './choosers.ts';
import { type RaceCase, run_case, type RunOptions } from './engine.ts';

/** Schedules that are looked at, each on a machine of its own. */
const LOOKS = 20;

/** Notes in `names` what the machine asks its m.patch and m.seam for from now on. */
function watch(m: Machine, names: Set<string>): void {
  const noting = <T extends object>(target: T): T =>
    new Proxy(target, {
      get(of, name, receiver) {
        if (typeof name === 'string') names.add(name);
        return Reflect.get(of, name, receiver) as unknown;
      },
    });
  Object.assign(m, { patch: noting(m.patch), seam: noting(m.seam) });
}

/** What a state changes, by the names under which the kernel asks for it; null where boot itself differs. */
function changed_by(state: PatchState): string[] | null {
  if (state.offsets !== undefined || state.seams?.device_private_numbers !== undefined) return null;
  return [...(state.sets ?? []), ...Object.keys(state.seams ?? {})];
}

/** Whether the case comes to what the state changes, in the first few of its random schedules. */
export function reaches(c: RaceCase, id: PatchId, o: RunOptions): boolean {
  const state = patch_states.find((p) => p.id === id);
  const changed = state === undefined ? null : changed_by(state);
  if (changed === null) return true;
  const names = new Set<string>();
  for (let seed = 1; seed <= LOOKS; seed++) {
    run_case(c, seed, () => new RandomChooser(seed), { ...o, on_boot: (m) => watch(m, names) });
    if (changed.some((name) => names.has(name))) return true;
  }
  return false;
}
