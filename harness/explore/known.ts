// SPDX-License-Identifier: GPL-2.0-only

import type { PatchId } from '../../lib/patches/index.ts';
import { type FailureKind, type RaceCase, replay, type Run } from './engine.ts';
import { parse_schedule } from './schedule.ts';
import { explore, shrink, type StrategyName } from './search.ts';

/** Default number of schedules of an exploration. */
export const SCHEDULES = 20_000;
/** Default depth of PCT. */
export const DEPTH = 3;

/** A race that a fix in Linux 7.3.4 ended. */
export interface KnownRace {
  /** The state of the machine without the fix. */
  patch: PatchId;
  /** The case that loses the race there. */
  race: RaceCase;
  /** The options that find it soonest. */
  strategy: Exclude<StrategyName, 'dfs'>;
  /** How it fails: the kind, and a pattern for the report. */
  fails: { kind: FailureKind; text: RegExp };
  /** The shortest interleaving found. */
  schedule: string;
}

/** How soon the explorer finds a race whose fix is removed. */
interface Search {
  /** Schedules until the race was found, one number per seed that found it, ascending. */
  schedules: readonly number[];
  /** Seeds that did not find it within the budget. */
  missed: number;
  /** Switches of the shrunk schedule of the first seed that found it. */
  switches: number;
  per_second: number;
}

/** Repeats the recorded schedule of a known race on the machine without the fix. */
export function replay_known(known: KnownRace): Run {
  return replay(known.race, parse_schedule(known.schedule), { patches: [known.patch] });
}

/** Returns true if a run failed as the known race does. */
export function is_known(known: KnownRace, run: Run): boolean {
  return run.failure?.kind === known.fails.kind && known.fails.text.test(run.failure.text);
}

/** Searches for a known race with `seeds` disjoint sets of SCHEDULES seeds; `now` is a clock in milliseconds. */
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
