// SPDX-License-Identifier: GPL-2.0-only
// Runs every test alone and writes down which functions of the model it reaches.

import { type Chooser, RandomChooser } from '../explore/choosers.ts';
import { type RaceCase, run_case } from '../explore/engine.ts';
import { type MachineOptions, SPM_DEFAULT, STANDARD_MACHINE } from '../cli/options.ts';
import { model_run } from '../compare/model.ts';
import type { TestList } from '../kselftest/kselftest_harness.ts';
import { type LoadedCase, run_regression } from '../regression/case.ts';
import { replay_program } from '../replay/compare.ts';
import type { Program } from '../replay/format.ts';
import { Coverage } from './coverage.ts';
import { type Kind, reach_key, type Reach, type Reaching } from './reach.ts';

/** Schedules of a race: the standard one and some at random. */
const SCHEDULES = 20;

const MACHINES: readonly MachineOptions[] = [
  { ...STANDARD_MACHINE, spm: SPM_DEFAULT },
  { ...STANDARD_MACHINE, spm: SPM_DEFAULT, thp: 'madvise' },
  { ...STANDARD_MACHINE, spm: SPM_DEFAULT, thp: 'never' },
];

const standard: Chooser = { next: (c) => c.standard };

export interface Tests {
  suite: () => TestList;
  cases: readonly LoadedCase[];
  races: readonly RaceCase[];
  programs: readonly Program[];
}

function* all_tests({ suite, cases, races, programs }: Tests): Generator<{ kind: Kind; name: string; run(): void }> {
  for (const name of suite().names()) {
    const run = (): void => MACHINES.forEach((machine) => model_run(suite, new Set([name]), machine));
    yield { kind: 'suite', name, run };
  }
  for (const c of cases) yield { kind: 'case', name: c.slug, run: () => void run_regression(c) };
  for (const c of races) {
    const run = (): void => {
      for (let seed = 0; seed < SCHEDULES; seed++)
        run_case(c, seed, () => (seed === 0 ? standard : new RandomChooser(seed)));
    };
    yield { kind: 'race', name: c.name, run };
  }
  for (const program of programs)
    yield { kind: 'program', name: program.id, run: () => void replay_program(program, '', {}, []) };
}

/** Runs them all. `heard` hears of each test that is done. */
export async function record_reach(tests: Tests, heard: (done: number) => void): Promise<Reach> {
  const coverage = new Coverage();
  await coverage.start();
  const done: Reaching[] = [];
  const functions = new Map<string, number[]>();
  for (const { kind, name, run } of all_tests(tests)) {
    run();
    for (const key of new Set((await coverage.take()).map(([file, it]) => reach_key(file, it))))
      functions.set(key, [...(functions.get(key) ?? []), done.length]);
    heard(done.push({ kind, name }));
  }
  await coverage.stop();
  return { tests: done, functions };
}
