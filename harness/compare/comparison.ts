// SPDX-License-Identifier: GPL-2.0-only
// A file of somebody's results beside the model's: the machine that it comes from, and what differs.

import type { MachineOptions } from '../cli/options.ts';
import type { TestList } from '../kselftest/kselftest_harness.ts';
import type { KtapRun } from '../ktap/ktap.ts';
import { agrees, judge_file, judge_run, type Judgement, type Results, tests_of } from './judge.ts';
import { derived_spm, has_coherent, likely_modes, machine_text, THP_MODES, type Thp } from './machine.ts';
import { HEAVY } from './model.ts';
import type { Runner } from './pool.ts';

/** What the user says about the machine; null is for what the file has to tell. */
export interface Given {
  thp: Thp | null;
  spm: MachineOptions['spm'];
  mem: number;
  patches: MachineOptions['patches'];
  ignore_log: boolean;
}

export interface Comparison {
  file: Results;
  machine: MachineOptions;
  /** the machine in a sentence: what it is and how that is known */
  machine_said: string;
  judgement: Judgement;
  /** the judgement of each run of the file */
  runs: Judgement[];
}

/** Where progress goes: tests done and to do. */
export type OnProgress = (done: number, total: number) => void;

/** Judges every run of a file on one kind of machine; `only` chooses the tests that run. */
export async function judge_on(
  runner: Runner,
  file: Results,
  suite: () => TestList,
  machine: MachineOptions,
  ignore_log: boolean,
  only: (run: KtapRun, i: number) => Set<string> = tests_of,
  on_progress: OnProgress = () => {},
): Promise<{ judgement: Judgement; runs: Judgement[] }> {
  const names = suite().names();
  const known = new Set(names);
  const wanted = file.runs.map((run, i) => [...only(run, i)].filter((name) => known.has(name)));
  const total = wanted.reduce((n, tests) => n + tests.length, 0);
  let done = 0;
  const runs = await Promise.all(
    file.runs.map(async (run, i) => {
      const model = await runner.run({ tests: wanted[i], machine }, undefined, () => on_progress(++done, total));
      const tests = new Set(wanted[i]);
      const part: KtapRun =
        only === tests_of
          ? run
          : {
              ...run,
              results: run.results.filter((r) => tests.has(r.name)),
              kernel: run.kernel.filter((r) => r.test === null || tests.has(r.test)),
            };
      return judge_run(part, model, names, ignore_log);
    }),
  );
  return { judgement: judge_file(file, runs, names), runs };
}

const weight = (j: Judgement): number => j.differences.length + j.errors.length;

/**
 * The THP mode that fits a file better than `machine`'s, or null: the other modes are tried without the tests that take
 * long, where the file is of whole runs, and with the tests that differ, where each test ran alone.
 */
async function better_mode(
  runner: Runner,
  file: Results,
  suite: () => TestList,
  machine: MachineOptions,
  found: { runs: Judgement[] },
  ignore_log: boolean,
): Promise<Thp | null> {
  const differing = found.runs.map((j) => new Set(j.differences.map((d) => d.name)));
  const only = (run: KtapRun, i: number): Set<string> => {
    const tests = [...tests_of(run)].filter((name) => !HEAVY.test(name));
    const alone = run.iso !== null || file.runs.length > 3;
    return new Set(alone && differing[i].size === 0 ? [] : tests);
  };
  const quick = async (thp: Thp): Promise<number> => {
    const { runs } = await judge_on(runner, file, suite, { ...machine, thp }, ignore_log, only);
    return runs.reduce((n, j) => n + weight(j), 0);
  };
  const here = found.runs.reduce(
    (n, j) => n + j.errors.length + j.differences.filter((d) => d.name === null || !HEAVY.test(d.name)).length,
    0,
  );
  const others = THP_MODES.filter((thp) => thp !== machine.thp);
  const weights = await Promise.all(others.map(quick));
  const least = Math.min(...weights);
  return least < here ? others[weights.indexOf(least)] : null;
}

/** Compares a file with the model on the machine that the user gives, or that the file tells. */
export async function compare_file(
  runner: Runner,
  file: Results,
  suite: () => TestList,
  given: Given,
  on_progress: OnProgress = () => {},
): Promise<Comparison> {
  const { mem, patches, ignore_log } = given;
  const coherent = has_coherent(file);
  const spm = given.spm ?? derived_spm(file);
  const modes = given.thp === null ? likely_modes(file) : [given.thp];
  let machine: MachineOptions = { thp: modes[0], spm, mem, patches };
  const whole = (m: MachineOptions) => judge_on(runner, file, suite, m, ignore_log, tests_of, on_progress);
  let found = await whole(machine);
  const notes: string[] = [];
  if (given.spm !== null && coherent === false)
    notes.push("--spm does not fit: the file's tests of coherent memory did not run, as on a machine without it");
  if (weight(found.judgement) > 0) {
    const better = await better_mode(runner, file, suite, machine, found, ignore_log);
    if (better !== null && given.thp !== null) {
      notes.push(`--thp=${given.thp} may be wrong: with --thp=${better} more results agree`);
    } else if (better !== null) {
      const other = { ...machine, thp: better };
      const there = await whole(other);
      if (weight(there.judgement) < weight(found.judgement)) [machine, found] = [other, there];
    }
  }
  const how: string[] = [];
  if (given.thp === null)
    how.push(agrees(found.judgement) ? 'the THP mode fits the results' : 'the THP mode fits best');
  if (given.spm === null && coherent !== null)
    how.push(coherent ? 'tests of coherent memory ran' : 'tests of coherent memory were skipped');
  const machine_said = machine_text(machine) + (how.length > 0 ? ` (from the file: ${how.join('; ')})` : '');
  found.judgement.notes.unshift(...notes);
  return { file, machine, machine_said, ...found };
}
