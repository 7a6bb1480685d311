// SPDX-License-Identifier: GPL-2.0-only
// A case in every patch state.

import { Oops } from '../../lib/kernel/printk.ts';
import { type PatchId, patch_states } from '../../lib/patches/index.ts';
import { needs_of } from '../regression/case.ts';
import { Unmodelled } from '../../lib/unmodelled.ts';
import { type RaceCase, replay_loosely, type Run, type RunOptions } from './engine.ts';
import { reaches } from './reached.ts';
import type { Schedule } from './schedule.ts';
import { explore, type ExploreOptions, shrink } from './search.ts';

/** What became of the case in one state, or on Linux 7.3.4. */
export interface InState {
  /** the state, null for Linux 7.3.4 */
  id: PatchId | null;
  /** it, and what it needs */
  patches: PatchId[];
  /** the failure, shrunk; null where none was found */
  failed: Run | null;
  /** schedules until the failure, or those that were tried */
  schedules: number;
  /** false where the case never came to what the state changes */
  reached: boolean;
  /** what kept the case from running */
  error: string | null;
  /** where a schedule that was followed did not fit */
  misfits: string[];
}

type Search = Omit<ExploreOptions, 'patches'>;

/** Runs a case on Linux 7.3.4 and then in each state: under many schedules, or under one that is followed loosely. */
export function* in_every_state(c: RaceCase, o: Search, schedule: Schedule | null): Generator<InState, void, void> {
  for (const id of [null, ...patch_states.map((p) => p.id)]) {
    const patches = id === null ? [] : [...needs_of(id), id];
    const result: InState = { id, patches, failed: null, schedules: 1, reached: true, error: null, misfits: [] };
    const run: RunOptions = { ...o, patches };
    try {
      if (schedule !== null) {
        // How it ends differs from state to state.
        const { run: followed, misfits } = replay_loosely(c, { ...schedule, end: undefined }, run);
        result.failed = followed.failure === null ? null : followed;
        result.misfits = misfits;
      } else {
        const found = explore(c, { ...o, patches });
        result.schedules = found.schedules;
        if (found.failed !== null) result.failed = shrink(c, found.failed, run);
      }
      if (id !== null && result.failed === null) result.reached = reaches(c, id, run);
    } catch (e) {
      // A state may be none that this case's machine can be in.
      if (!(e instanceof Error) || e instanceof TypeError) throw e;
      result.error = e instanceof Oops ? e.bug : e instanceof Unmodelled ? `not modelled: ${e.message}` : e.message;
    }
    yield result;
  }
}
