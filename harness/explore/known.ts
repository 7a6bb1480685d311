// SPDX-License-Identifier: GPL-2.0-only

import type { PatchId } from '../../lib/patches/index.ts';
import { type FailureKind, type RaceCase, replay, type Run } from './engine.ts';
import { parse_schedule } from './schedule.ts';
import { explore, shrink, type StrategyName } from './search.ts';

/** Schedules that an exploration tries where nothing else is said. */
export const SCHEDULES = 20_000;
/** Depth of the bug that PCT looks for where nothing else is said. */
export const DEPTH = 3;

/** A race that a fix of Linux 7.3.4 ended. */
export interface KnownRace {
  /** the state of the machine without the fix */
  patch: PatchId;
  /** the case that loses the race there */
  race: RaceCase;
  /** what finds it soonest */
  strategy: Exclude<StrategyName, 'dfs'>;
  /** how it fails: the kind, and what the report must match */
  fails: { kind: FailureKind; text: RegExp };
  /** the shortest interleaving found */
  schedule: string;
}

/** How soon the explorer finds a race whose fix is taken out. */
interface Search {
  /** schedules until the race was found, one number for each seed that found it, in ascending order */
  schedules: readonly number[];
  /** seeds that did not find it within the budget */
  missed: number;
  /** switches of the shrunk schedule of the first seed that found it */
  switches: number;
  per_second: number;
}

/** Repeats the schedule that is recorded with a known race, on the machine without the fix. */
export function replay_known(known: KnownRace): Run {
  return replay(known.race, parse_schedule(known.schedule), { patches: [known.patch] });
}

/** Whether a run failed in the way that the known race names. */
export function is_known(known: KnownRace, run: Run): boolean {
  return run.failure?.kind === known.fails.kind && known.fails.text.test(run.failure.text);
}

/** Looks for a known race with `seeds` disjoint sets of SCHEDULES seeds, the clock given by `now` in milliseconds. */
export function search_known(known: KnownRace, seeds: number, now: () => number): Search {
  const c = known.race;
  const o = { patches: [known.patch] };
  const found: number[] = [];
  let switches = -1;
  let total = 0;
  let ms = 0;
  for (let k = 0; k < seeds; k++) {
    const start = now();
    const r = explore(c, {
      ...o,
      strategy: known.strategy,
      schedules: SCHEDULES,
      bound: DEPTH,
      seed: 1 + k * SCHEDULES,
    });
    ms += now() - start;
    total += r.schedules;
    if (r.failed === null || !is_known(known, r.failed)) continue;
    found.push(r.schedules);
    if (switches < 0) switches = shrink(c, r.failed, o).schedule.switches.length;
  }
  return {
    schedules: found.sort((a, b) => a - b),
    missed: seeds - found.length,
    switches,
    per_second: (1000 * total) / Math.max(1, ms),
  };
}
