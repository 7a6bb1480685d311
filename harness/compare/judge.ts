// SPDX-License-Identifier: GPL-2.0-only

import { readFileSync } from 'node:fs';
import type { MachineOptions } from '../cli/options.ts';
import { UsageError } from '../cli/usage_error.ts';
import type { TestList } from '../kselftest/kselftest_harness.ts';
import { run_suite } from '../kselftest/run.ts';
import { type KtapFile, type KtapResult, type KtapRun, read_ktap } from '../ktap/ktap.ts';
import { type Agreement, compare_run, NO_RESULT, type Report } from './agreement.ts';

/** The model's answer to a file of results. */
export interface Judgement extends Agreement {
  /** verdicts of the model */
  pass: number;
  fail: number;
  skip: number;
  /** what is wrong with the model itself: a path that is not modelled, a finding of the audit */
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
    const why =
      code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'it is a directory' : (e as Error).message;
    throw new UsageError(`${path}: ${why}`);
  }
  if (text.trim() === '') throw new UsageError(`${path}: the file is empty`);
  const list = suite();
  const file = read_ktap(text, fixtures_of(list));
  if (file.runs.length > 0) return file;
  const other = file.foreign > 0 ? `, only ${file.foreign} of other programs` : '';
  throw new UsageError(
    `${path}: no KTAP results of ${list.program} in it${other} (expected lines such as "ok 1 ${list.names()[0]}")`,
  );
}

/**
 * Runs on the model what the recorded run ran, on a fresh machine. `errors` says what is wrong with the model itself.
 */
function model_run(
  recorded: KtapRun,
  suite: () => TestList,
  o: MachineOptions,
  on_result: (name: string) => void,
): { run: KtapRun; reports: Report[]; errors: string[] } {
  const list = suite();
  const wanted = new Set([...recorded.results.map((r) => r.name), ...recorded.unfinished]);
  const known = list.names().filter((name) => wanted.has(name));
  let out = '';
  let reports: Report[] = [];
  const errors: string[] = [];
  if (known.length > 0) {
    const argv = known.length === list.names().length ? [] : known.flatMap((name) => ['-r', name]);
    let current = known[0];
    try {
      const outcome = run_suite(list, o, argv, (text) => {
        out += text;
        const begun = /^# {2}RUN +(\S+) \.\.\.$/m.exec(text);
        if (begun !== null) current = begun[1];
        const result = /^(?:not )?ok \d+ (\S+)/.exec(text);
        if (result !== null) on_result(result[1]);
      });
      reports = outcome.reports;
      errors.push(...outcome.findings.map(({ name, found }) => `${name}: the audit found\n  ${found.join('\n  ')}`));
    } catch (e) {
      if (e instanceof UsageError) throw e;
      errors.push(`${current}: the model stopped: ${e instanceof Error ? (e.stack ?? e.message) : String(e)}`);
    }
  }
  const [run] = read_ktap(out, fixtures_of(list)).runs;
  const none: KtapRun = { iso: null, plan: null, results: [], unfinished: [], kernel: [] };
  return { run: run ?? none, reports, errors };
}

/** Runs the model on everything that the file holds and compares. `on_result` hears of each result as it comes. */
export function judge(
  file: KtapFile,
  suite: () => TestList,
  o: MachineOptions,
  on_result: (name: string) => void = () => {},
): Judgement {
  const sum: Judgement = { compared: 0, differences: [], pass: 0, fail: 0, skip: 0, errors: [] };
  const count = (r: KtapResult): void => {
    if (r.verdict === 'FAIL') sum.fail++;
    else if (r.verdict === 'skip') sum.skip++;
    else sum.pass++;
  };
  for (const recorded of file.runs) {
    const { run, reports, errors } = model_run(recorded, suite, o, on_result);
    const has_reports = recorded.iso !== null || recorded.kernel.length > 0;
    const { compared, differences } = compare_run(recorded, run, has_reports ? reports : null);
    sum.compared += compared;
    sum.differences.push(...differences);
    run.results.forEach(count);
    sum.errors.push(...errors);
  }
  return sum;
}

/** What differs, one paragraph a test, and what is wrong with the model itself. */
export function differences_text(j: Judgement): string {
  const parts = j.differences.map(({ name, file, model }) => {
    if (model === NO_RESULT) return `${name}  only in the file: ${file}\n`;
    if (file === NO_RESULT) return `${name}  only in the model: ${model}\n`;
    return `${name}\n  file:  ${file}\n  model: ${model}\n`;
  });
  return [...parts, ...j.errors.map((e) => `${e}\n`)].join('');
}
