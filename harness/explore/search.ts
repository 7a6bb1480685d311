// SPDX-License-Identifier: GPL-2.0-only

import { type Block, BlockChooser, type Chooser, DfsChooser, PctChooser, RandomChooser } from './choosers.ts';
import { type Numbering, type RaceCase, replay, type Run, run_on, type RunOptions } from './engine.ts';
import { format_schedule } from './schedule.ts';
import { on_stage } from './stage.ts';

export type StrategyName = 'random' | 'pct' | 'dfs';

export interface ExploreOptions extends RunOptions {
  strategy: StrategyName;
  schedules: number;
  /** For dfs the number of preemptions, for pct the depth. */
  bound: number;
  seed: number;
  progress?: (done: number) => void;
}

interface Exploration {
  /** Schedules that ran. */
  schedules: number;
  /** The run that failed, repeated on a new machine, or null. */
  failed: Run | null;
  /** For dfs: all schedules within the bound were tried. */
  complete: boolean;
  /** Steps of the longest run. */
  steps: number;
}

/** Thrown if one schedule leads to two results: the model keeps state that it should not. */
export class Nondeterminism extends Error {}

/** What two runs of one schedule do differently, or null. */
function difference(a: Run, b: Run): string | null {
  if (a.steps !== b.steps) return `${a.steps} steps and ${b.steps}`;
  if (a.failure?.kind !== b.failure?.kind || a.failure?.text !== b.failure?.text) {
    return `${a.failure === null ? 'no failure' : a.failure.text} and ${b.failure === null ? 'no failure' : b.failure.text}`;
  }
  const n = Math.max(a.trace.length, b.trace.length);
  for (let i = 0; a.trace.length > 0 && b.trace.length > 0 && i < n; i++) {
    if (a.trace[i] !== b.trace[i]) return `"${a.trace[i] ?? 'the end'}" and "${b.trace[i] ?? 'the end'}"`;
  }
  const k = a.log.findIndex((line, i) => line !== b.log[i]);
  if (k >= 0 || a.log.length !== b.log.length)
    return `the kernel logged "${a.log[k] ?? 'nothing more'}" and "${b.log[k] ?? 'nothing more'}"`;
  return null;
}

function on_fresh_machine(c: RaceCase, run: Run, o: RunOptions): Run {
  const { seed, switches } = run.schedule;
  const again = replay(c, { seed, switches }, o);
  const found = difference({ ...run, trace: [] }, { ...again, trace: [] });
  if (found !== null) throw new Nondeterminism(`${c.name}: ${format_schedule({ seed, switches })} led to ${found}`);
  return again;
}

/** Runs a case under one schedule after another until one fails or the budget is used up. */
export function explore(c: RaceCase, o: ExploreOptions): Exploration {
  return on_stage(c, o.patches ?? [], (stage) => {
    const dfs = new DfsChooser(o.bound);
    let length = 100;
    let steps = 0;
    for (let i = 0; i < o.schedules; i++) {
      const seed = o.strategy === 'dfs' ? o.seed : o.seed + i;
      const run = run_on(
        stage,
        c,
        seed,
        () => {
          if (o.strategy === 'dfs') return dfs;
          return o.strategy === 'pct' ? new PctChooser(seed, o.bound, length) : new RandomChooser(seed);
        },
        { ...o, trace: false },
      );
      length = Math.max(length, run.steps);
      steps = Math.max(steps, run.steps);
      o.progress?.(i + 1);
      if (run.failure !== null)
        return { schedules: i + 1, failed: on_fresh_machine(c, run, o), complete: false, steps };
      if (o.strategy === 'dfs' && !dfs.next_run()) return { schedules: i + 1, failed: null, complete: true, steps };
    }
    return { schedules: o.schedules, failed: null, complete: false, steps };
  });
}

/**
 * Runs `schedules` random schedules twice, on a reused machine and on new ones. Throws Nondeterminism if trace, log or
 * outcome differ.
 */
export function check_determinism(c: RaceCase, schedules: number, seed: number, o: RunOptions = {}): void {
  on_stage(c, o.patches ?? [], (stage) => {
    for (let s = seed; s < seed + schedules; s++) {
      const once = run_on(stage, c, s, () => new RandomChooser(s), { ...o, trace: true });
      const { switches } = once.schedule;
      const found = difference(once, replay(c, { seed: s, switches }, o));
      if (found !== null)
        throw new Nondeterminism(`${c.name}: ${format_schedule({ seed: s, switches })} led to ${found}`);
    }
  });
}

/** Returns the stretches with the one at `i` delayed until the next one of its task. */
function join(blocks: readonly Block[], i: number): Block[] {
  const b = blocks[i];
  const next = blocks.findIndex((x, k) => k > i && x.task === b.task);
  const out: Block[] = [];
  blocks.forEach((x, k) => {
    if (k === i) return;
    const steps = k === next ? x.steps + b.steps : x.steps;
    const last = out[out.length - 1];
    if (last !== undefined && last.task === x.task) out[out.length - 1] = { task: x.task, steps: last.steps + steps };
    else out.push({ task: x.task, steps });
  });
  return out;
}

/** Returns the stretches with the one at `i` extended as far as possible. */
function extend(blocks: readonly Block[], i: number): Block[] {
  return blocks.map((x, k) => (k === i ? { task: x.task, steps: Number.MAX_SAFE_INTEGER } : x));
}

/**
 * Searches for a run with the same kind of failure and fewer switches, with at most `tries` runs. Returns the best one.
 */
export function shrink(c: RaceCase, failed: Run, o: RunOptions = {}, tries = 3000): Run {
  return on_stage(c, o.patches ?? [], (stage) => {
    let best = failed;
    let left = tries;
    const better = (blocks: readonly Block[]): boolean => {
      if (left-- <= 0) return false;
      const make = (e: Numbering): Chooser => new BlockChooser(blocks, (t) => e.number_of(t));
      const run = run_on(stage, c, failed.schedule.seed, make, { ...o, trace: false });
      if (run.failure?.kind !== failed.failure?.kind || run.schedule.switches.length >= best.schedule.switches.length)
        return false;
      best = run;
      return true;
    };
    // After the point of no return the default policy may apply.
    for (let keep = 0, step = best.blocks.length; step >= 1; step = Math.floor(step / 2)) {
      while (keep + step < best.blocks.length && !better(best.blocks.slice(0, keep + step))) keep += step;
    }
    for (let again = true; again && left > 0; ) {
      again = false;
      for (let i = best.blocks.length - 1; i >= 0 && left > 0; i--) {
        if (i >= best.blocks.length) i = best.blocks.length - 1;
        if (better(best.blocks.slice(0, i)) || better(join(best.blocks, i)) || better(extend(best.blocks, i)))
          again = true;
      }
    }
    return on_fresh_machine(c, best, o);
  });
}
