// SPDX-License-Identifier: GPL-2.0-only
// Which patch states make the model behave as a file of results does.

import { check_patches } from '../../lib/patches/check_patches.ts';
import { patch_states, type PatchId } from '../../lib/patches/index.ts';
import type { MachineOptions } from '../cli/options.ts';
import type { TestList } from '../kselftest/kselftest_harness.ts';
import type { KtapRun } from '../ktap/ktap.ts';
import { needs_of } from '../regression/case.ts';
import { compare_run, type Report } from './agreement.ts';
import type { Comparison } from './comparison.ts';
import { effects_on } from './effects.ts';
import { tests_of } from './judge.ts';
import { HEAVY, type ModelRun } from './model.ts';
import { type Runner, run_to_its_end } from './pool.ts';

/** States, and how far the model with them behaves as the file does. */
export interface Explanation {
  states: readonly PatchId[];
  /** tests that differ from Linux 7.3.4's, and how many of them are as in the file with these states */
  differing: number;
  explained: number;
  /** tests that are as Linux 7.3.4's in the file and not so with these states */
  broken: number;
}

export interface Why {
  /** the likeliest first; all of them fit equally well */
  explanations: Explanation[];
  /** states and sets of states that were tried */
  tried: number;
}

/** One run of the file, with the tests in it that differ. */
interface Target {
  run: KtapRun;
  /** in the suite's order */
  differing: string[];
}

/** At most so many tests are run in every state; the others only with the states that fit these. */
const SAMPLE = 6;
/** States, or sets of them, that are tried on whole runs. */
const CANDIDATES = 10;
/** So many of them at a time. */
const BATCH = 2;
/** Sets that the search for a second state starts from. */
const BEAM = 3;
/** Real time that a test may take before it is taken for endless: seconds, and times what it takes on Linux 7.3.4. */
const PATIENCE = 3;
const PATIENCE_TIMES = 5;

/** A state with all that it needs, as boot() takes it. */
const with_needs = (id: PatchId): PatchId[] => [...needs_of(id), id];

/** The union of sets of states, or null if it cannot be. */
function together(...sets: readonly (readonly PatchId[])[]): PatchId[] | null {
  try {
    return check_patches([...new Set(sets.flat())]);
  } catch (e) {
    if (e instanceof RangeError) return null;
    throw e;
  }
}

/** A run with only some of its tests. */
function part(run: KtapRun, tests: ReadonlySet<string>): KtapRun {
  return {
    ...run,
    results: run.results.filter((r) => tests.has(r.name)),
    unfinished: run.unfinished.filter((name) => tests.has(name)),
    kernel: run.kernel.filter((r) => r.test === null || tests.has(r.test)),
  };
}

/**
 * The tests that are on the model as in the file. One that the file's run ended in is if the model does not come to its
 * end either, or if it gives the reports that the file has during it.
 */
function as_in_file(run: KtapRun, tests: readonly string[], model: ModelRun, logged: boolean): Set<string> {
  const wanted = new Set(tests);
  const reports: readonly Report[] | null = logged ? model.reports : null;
  const { differences } = compare_run(part(run, wanted), model.run, reports);
  const differing = new Set(differences.map((d) => d.name));
  const reached = new Set(model.run.results.map((r) => r.name));
  const same = tests.filter((name) => {
    if (differing.has(name)) return false;
    if (!run.unfinished.includes(name)) return reached.has(name);
    return (model.stuck && model.run.unfinished.includes(name)) || (logged && run.kernel.some((r) => r.test === name));
  });
  return new Set(same);
}

/** Where the likeliest kind stands first: a kernel rather lacks a fix than has one that nobody merged. */
const KINDS = ['reverted', 'proposed', 'series'] as const;

function rank(e: Explanation): readonly number[] {
  const states = patch_states.filter((p) => e.states.includes(p.id));
  const kind = Math.max(...states.map((p) => KINDS.indexOf(p.kind)));
  const year = Math.max(...states.map((p) => Number(p.date.slice(0, 4))));
  return [e.broken - e.explained, e.states.length, kind, -year];
}

function by_rank(a: Explanation, b: Explanation): number {
  const [x, y] = [rank(a), rank(b)];
  const i = x.findIndex((n, k) => n !== y[k]);
  return i < 0 ? 0 : x[i] - y[i];
}

export class Search {
  private readonly runner: Runner;
  private readonly machine: MachineOptions;
  private readonly names: readonly string[];
  private readonly targets: Target[];
  private readonly logged: boolean;
  private tried = 0;
  private patience = PATIENCE * 10;

  constructor(runner: Runner, c: Comparison, suite: () => TestList, ignore_log: boolean) {
    this.runner = runner;
    this.machine = c.machine;
    this.names = suite().names();
    this.logged = !ignore_log;
    this.targets = c.file.runs.flatMap((run, i) => {
      const wrong = new Set([...c.runs[i].differences.map((d) => d.name), ...run.unfinished]);
      const differing = this.names.filter((name) => wrong.has(name));
      return differing.length > 0 ? [{ run, differing }] : [];
    });
  }

  /** Runs some of a target's tests with states, and returns those that are as in the file. */
  private async same(t: Target, tests: readonly string[], states: readonly PatchId[]): Promise<Set<string>> {
    const machine = { ...this.machine, patches: states };
    const model = await run_to_its_end(this.runner, { tests, machine }, this.patience);
    return as_in_file(t.run, tests, model, this.logged && t.run.logged);
  }

  /** The tests to run in every state: few, none that takes seconds if there is another, from all runs that differ. */
  private sample(): { t: Target; tests: string[] }[] {
    const picked: { t: Target; tests: string[] }[] = [];
    let left = SAMPLE;
    for (const t of this.targets) {
      const quick = t.differing.filter((name) => !HEAVY.test(name));
      const from = quick.length > 0 ? quick : t.differing;
      const share = Math.min(left, this.targets.length > 1 ? 2 : SAMPLE);
      const tests = from.filter((_, i) => i % Math.ceil(from.length / Math.max(1, share)) === 0);
      if (left > 0 && tests.length > 0) picked.push({ t, tests });
      left -= tests.length;
    }
    return picked;
  }

  /**
   * How many tests of a sample each state alone gives as the file has them, where Linux 7.3.4 does not, and how many
   * there are.
   */
  private async alone(): Promise<{ scores: Map<PatchId, number>; most: number }> {
    const sample = this.sample();
    const given = this.machine.patches;
    const since = performance.now();
    const base = await Promise.all(sample.map(({ t, tests }) => this.same(t, tests, given)));
    const took = (performance.now() - since) / 1000 / Math.max(1, sample.length);
    this.patience = Math.max(PATIENCE, PATIENCE_TIMES * took);
    const useful = sample.map(({ t, tests }, i) => ({ t, tests: tests.filter((name) => !base[i].has(name)) }));
    const scores = new Map<PatchId, number>();
    await Promise.all(
      patch_states.map(async ({ id }) => {
        const states = together(given, with_needs(id));
        if (states === null || states.length === given.length) return;
        this.tried++;
        const found = await Promise.all(
          useful.map(({ t, tests }) => (tests.length > 0 ? this.same(t, tests, states) : new Set<string>())),
        );
        scores.set(
          id,
          found.reduce((n, tests) => n + tests.size, 0),
        );
      }),
    );
    return { scores, most: useful.reduce((n, { tests }) => n + tests.length, 0) };
  }

  /** How far states explain the whole file; the runs in which nothing differs are taken to stay as they are. */
  private async whole(states: readonly PatchId[]): Promise<Explanation> {
    let explained = 0;
    let broken = 0;
    await Promise.all(
      this.targets.map(async (t) => {
        const all = tests_of(t.run);
        const wanted = this.names.filter((name) => all.has(name) && (!HEAVY.test(name) || t.differing.includes(name)));
        const same = await this.same(t, wanted, states);
        explained += t.differing.filter((name) => same.has(name)).length;
        broken += wanted.filter((name) => !same.has(name) && !t.differing.includes(name)).length;
      }),
    );
    const differing = this.targets.reduce((n, t) => n + t.differing.length, 0);
    return { states, differing, explained, broken };
  }

  /** States in the order in which they promise to explain the file: first those that fit the whole sample. */
  private async promising(): Promise<{ fit: PatchId[]; others: PatchId[] }> {
    const { scores, most } = await this.alone();
    const differing = new Set(this.targets.flatMap((t) => t.differing));
    const known = effects_on(this.machine);
    // What a state does to a whole run shows where it does nothing to a test alone.
    const weight = (id: PatchId): number => {
      const effect = known[id] ?? [];
      const common = effect.filter((name) => differing.has(name)).length;
      const alike = common / (differing.size + effect.length - common || 1);
      return (scores.get(id) ?? 0) + 2 * alike;
    };
    const ids = [...scores.keys()].filter((id) => weight(id) > 0).sort((a, b) => weight(b) - weight(a));
    const fits = (id: PatchId): boolean => most > 0 && scores.get(id) === most;
    return { fit: ids.filter(fits), others: ids.filter((id) => !fits(id)) };
  }

  /** Tries states on whole runs, some at a time, without those that only add to what fits already. */
  private async try_singles(ids: readonly PatchId[], done: readonly Explanation[]): Promise<Explanation[]> {
    const found: Explanation[] = [];
    const given = this.machine.patches;
    for (let i = 0; i < Math.min(ids.length, CANDIDATES); i += BATCH) {
      const complete_ones = [...done, ...found].filter(complete);
      // Those that fit as well stand beside each other: the search ends behind a state that fits and some that do not.
      if (complete_ones.length > 0 && !found.slice(-BATCH).some(complete)) break;
      const sets = ids
        .slice(i, i + BATCH)
        .map((id) => together(given, with_needs(id)))
        .filter((states) => states === null || !complete_ones.some((e) => includes(states, e.states)));
      found.push(...(await this.try_all(sets)));
    }
    return found;
  }

  async run(): Promise<Why> {
    const { fit, others } = await this.promising();
    const singles = await this.try_singles(fit, []);
    if (!singles.some(complete)) singles.push(...(await this.try_singles(others, singles)));
    let best = singles.filter((e) => e.explained > 0).sort(by_rank);
    if (best.length > 0 && !complete(best[0])) {
      const pairs = best
        .slice(0, BEAM)
        .flatMap((e, i) => best.slice(i + 1).map((other) => together(e.states, other.states)));
      best = [...best, ...(await this.try_all(pairs.slice(0, CANDIDATES)))].sort(by_rank);
    }
    const good = best.filter((e) => e.explained > e.broken && gain(e) === gain(best[0]));
    const simplest = good.filter((e) => !good.some((other) => other !== e && includes(e.states, other.states)));
    return { explanations: simplest, tried: this.tried };
  }

  private async try_all(sets: readonly (readonly PatchId[] | null)[]): Promise<Explanation[]> {
    const possible = sets.filter((states) => states !== null);
    this.tried += possible.filter((states) => states.length > 1).length;
    return Promise.all(possible.map((states) => this.whole(states)));
  }
}

const gain = (e: Explanation): number => e.explained - e.broken;
const includes = (a: readonly PatchId[], b: readonly PatchId[]): boolean =>
  a.length > b.length && b.every((id) => a.includes(id));

/** True if the states explain all that differs and change nothing else. */
export function complete(e: Explanation): boolean {
  return e.explained === e.differing && e.broken === 0;
}
