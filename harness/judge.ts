// SPDX-License-Identifier: GPL-2.0-only

import { readFileSync } from 'node:fs';
import { NO_RESULT, compare_run } from './agreement.ts';
import type { Agreement, Report } from './agreement.ts';
import type { TestList } from './kselftest_harness.ts';
import { read_ktap } from './ktap.ts';
import type { KtapFile, KtapResult, KtapRun } from './ktap.ts';
import { UsageError } from './options.ts';
import type { MachineOptions } from './options.ts';
import { run_suite } from './run.ts';

/** The model's answer to a file of results. */
export interface Judgement extends Agreement {
  /** verdicts of the model */
  pass: number;
  fail: number;
  skip: number;
  /** what ended a run of the model before its time, such as a path that is not modelled */
  errors: string[];
}

const fixtures_of = (list: TestList): Set<string> => new Set(list.fixtures.map((f) => f.name));

/** Reads a file of results of the suite. Throws UsageError, naming the file, if it cannot be read or holds none. */
export function read_results(path: string, suite: () => TestList): KtapFile {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (e) {
    const code = (e as NodeJS.ErrnoException).code;
    const why = code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'it is a directory' : (e as Error).message;
    throw new UsageError(`${path}: ${why}`);
  }
  if (text.trim() === '') throw new UsageError(`${path}: the file is empty`);
  const list = suite();
  const file = read_ktap(text, fixtures_of(list));
  if (file.runs.length > 0) return file;
  const other = file.foreign > 0 ? `, only ${file.foreign} of other programs` : '';
  throw new UsageError(`${path}: no KTAP results of ${list.program} in it${other} (expected lines such as "ok 1 ${list.names()[0]}")`);
}

/** Runs on the model what the recorded run ran, on a fresh machine. */
function model_run(recorded: KtapRun, suite: () => TestList, o: MachineOptions, on_result: (name: string) => void): { run: KtapRun; reports: Report[]; error: string | null } {
  const list = suite();
  const wanted = new Set([...recorded.results.map((r) => r.name), ...recorded.unfinished]);
  const known = list.names().filter((name) => wanted.has(name));
  let out = '';
  let error: string | null = null;
  let seen: Report[] = [];
  if (known.length > 0) {
    const argv = known.length === list.names().length ? [] : known.flatMap((name) => ['-r', name]);
    try {
      seen = run_suite(list, o, argv, (text) => {
        out += text;
        const result = /^(?:not )?ok \d+ (\S+)/.exec(text);
        if (result !== null) on_result(result[1]);
      }).reports;
    } catch (e) {
      if (e instanceof UsageError) throw e;
      error = e instanceof Error ? (e.stack ?? e.message) : String(e);
    }
  }
  const [run] = read_ktap(out, fixtures_of(list)).runs;
  const none: KtapRun = { iso: null, plan: null, results: [], unfinished: [], kernel: [] };
  return { run: run ?? none, reports: seen, error };
}

/** Runs the model on everything that the file holds and compares. `on_result` hears of each result as it comes. */
export function judge(file: KtapFile, suite: () => TestList, o: MachineOptions, on_result: (name: string) => void = () => {}): Judgement {
  const sum: Judgement = { compared: 0, differences: [], pass: 0, fail: 0, skip: 0, errors: [] };
  const count = (r: KtapResult): void => {
    if (r.verdict === 'FAIL') sum.fail++;
    else if (r.verdict === 'skip') sum.skip++;
    else sum.pass++;
  };
  for (const recorded of file.runs) {
    const { run, reports, error } = model_run(recorded, suite, o, on_result);
    const has_reports = recorded.iso !== null || recorded.kernel.length > 0;
    const { compared, differences } = compare_run(recorded, run, has_reports ? reports : null);
    sum.compared += compared;
    sum.differences.push(...differences);
    run.results.forEach(count);
    if (error !== null) sum.errors.push(`${run.unfinished[0] ?? recorded.iso ?? 'the run'}: ${error}`);
  }
  return sum;
}

/** What differs, one paragraph a test, and what stopped the model. */
export function differences_text(j: Judgement): string {
  const parts = j.differences.map(({ name, file, model }) => {
    if (model === NO_RESULT) return `${name}  only in the file: ${file}\n`;
    if (file === NO_RESULT) return `${name}  only in the model: ${model}\n`;
    return `${name}\n  file:  ${file}\n  model: ${model}\n`;
  });
  return [...parts, ...j.errors.map((e) => `The model stopped in ${e}\n`)].join('');
}
