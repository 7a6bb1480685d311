// SPDX-License-Identifier: GPL-2.0-only

import type { MachineOptions } from '../cli/options.ts';
import { UsageError } from '../cli/usage_error.ts';
import type { TestList } from '../kselftest/kselftest_harness.ts';
import type { KernelReport } from '../ktap/kernel_log.ts';
import { type KtapFile, type KtapResult, type KtapRun, read_ktap } from '../ktap/ktap.ts';
import { type FileText, looks_like, read_text } from '../ktap/text.ts';
import { type Agreement, compare_run, in_words } from './agreement.ts';
import { unusable } from './machine.ts';
import { listed, missing_of, not_there } from './missing.ts';
import { fixtures_of, HEAVY, model_run, type ModelRun } from './model.ts';

/** The model's answer to a file of results. */
export interface Judgement extends Agreement {
  /** verdicts of the model */
  pass: number;
  fail: number;
  skip: number;
  /** tests that fail on both sides in the same way */
  failed: string[];
  /** what the file lacks by its own account, in sentences */
  missing: string[];
  /** results of tests that the model's suite does not have */
  newer: KtapResult[];
  /** what is no difference and has to be said, in sentences */
  notes: string[];
  /** what is wrong with the model itself: a path that is not modelled, a finding of the audit */
  errors: string[];
}

/** A file of results, read. */
export interface Results extends KtapFile {
  name: string;
  /** true if its compressed data end early */
  cut: boolean;
}

export const NO_JUDGEMENT: Judgement = {
  compared: 0,
  same: 0,
  differences: [],
  pass: 0,
  fail: 0,
  skip: 0,
  failed: [],
  missing: [],
  newer: [],
  notes: [],
  errors: [],
};

/** Reads the results in a text. Throws UsageError, with the file's name, if it holds none. */
export function parse_results({ text, cut }: FileText, name: string, suite: () => TestList): Results {
  const list = suite();
  const file: Results = { ...read_ktap(text, fixtures_of(list)), name, cut };
  const why = unusable(file);
  if (why !== null) throw new UsageError(`${name}: ${why}`);
  if (file.runs.length > 0) return file;
  const other = file.foreign > 0 ? `, only ${file.foreign} of other programs` : '';
  throw new UsageError(`${name}: no KTAP results of ${list.program} in it${other}; ${looks_like(text)}`);
}

/** Reads a file of results of the suite. Throws UsageError, naming the file, if it cannot be read or holds none. */
export async function read_results(path: string, suite: () => TestList): Promise<Results> {
  return parse_results(await read_text(path), path === '-' ? 'standard input' : path, suite);
}

/** The tests that a run holds something about. */
export function tests_of(run: KtapRun): Set<string> {
  return new Set([...run.results.map((r) => r.name), ...run.unfinished]);
}

/** Compares a run of the file with the model's. */
export function judge_run(recorded: KtapRun, model: ModelRun, names: readonly string[], ignore_log = false): Judgement {
  const known = new Set(names);
  const verdicts = (verdict: string): number => model.run.results.filter((r) => r.verdict === verdict).length;
  const reports = recorded.logged && !ignore_log ? model.reports : null;
  const lost = model.run.results.length === 0 && model.errors.length > 0;
  const both = { ...recorded, results: recorded.results.filter((r) => known.has(r.name)) };
  const agreement = lost ? { compared: 0, same: 0, differences: [] } : compare_run(both, model.run, reports);
  const differing = new Set(agreement.differences.map((d) => d.name));
  return {
    ...agreement,
    failed: both.results.filter((r) => r.verdict === 'FAIL' && !differing.has(r.name)).map((r) => r.name),
    pass: model.run.results.length - verdicts('FAIL') - verdicts('skip'),
    fail: verdicts('FAIL'),
    skip: verdicts('skip'),
    missing: missing_of(recorded, names),
    newer: recorded.results.filter((r) => !known.has(r.name)),
    notes: [],
    errors: model.errors,
  };
}

function report_text({ kind, fn, text }: KernelReport): string {
  return text === '' ? `${kind} ${fn}` : `${text}${fn === '?' || text.includes(fn) ? '' : ` in ${fn}`}`;
}

/** Of a file in which each test ran alone, in the suite's order: what it lacks at its end. */
function end_of_alone(file: Results, names: readonly string[]): string | null {
  if (file.runs.length < 2 || file.runs.some((run) => run.iso === null)) return null;
  const there = new Set(file.runs.map((run) => run.iso));
  const last = names.findLastIndex((name) => there.has(name));
  const gaps = names.slice(0, last).filter((name) => !there.has(name) && !HEAVY.test(name));
  const behind = names.slice(last + 1).filter((name) => !HEAVY.test(name));
  if (gaps.length > 0 || behind.length === 0) return null;
  return `nothing says how many tests ran alone, and they end before ${behind[0]}`;
}

/** Adds the runs' judgements up, and says what concerns the file as a whole. */
export function judge_file(file: Results, runs: readonly Judgement[], names: readonly string[]): Judgement {
  const sum: Judgement = {
    ...NO_JUDGEMENT,
    compared: runs.reduce((n, j) => n + j.compared, 0),
    same: runs.reduce((n, j) => n + j.same, 0),
    pass: runs.reduce((n, j) => n + j.pass, 0),
    fail: runs.reduce((n, j) => n + j.fail, 0),
    skip: runs.reduce((n, j) => n + j.skip, 0),
    differences: runs.flatMap((j) => j.differences),
    failed: runs.flatMap((j) => j.failed),
    missing: runs.flatMap((j) => j.missing),
    newer: runs.flatMap((j) => j.newer),
    errors: runs.flatMap((j) => j.errors),
    notes: [],
  };
  if (file.cut) sum.missing.push('the compressed data of the file end early');
  const end = end_of_alone(file, names);
  if (end !== null) sum.missing.push(end);
  const there = new Set(file.runs.flatMap((run) => [...tests_of(run)]));
  const absent = names.filter((name) => !there.has(name));
  if (absent.length > 0 && sum.missing.length === 0)
    sum.notes.push(
      `${absent.length} of the model's ${names.length} tests are not in the file, as with an older suite or a selection: ` +
        listed(not_there(absent, names)),
    );
  const newer = [...new Set(sum.newer.map((r) => r.name))];
  if (newer.length > 0)
    sum.notes.push(
      `${newer.length} of the file's tests are not in the model's suite, as with a newer one: ` +
        listed(not_there(newer, [...names, ...newer])),
    );
  const failed = sum.newer.filter((r) => r.verdict === 'FAIL');
  for (const r of failed)
    sum.differences.push({ name: r.name, what: 'result', file: in_words(r), model: 'not in the suite' });
  sum.compared += failed.length;
  if (file.elsewhere.length > 0)
    sum.notes.push(
      `reports of the kernel before the suite or during other programs, not compared: ` +
        listed(file.elsewhere.map(report_text), 3),
    );
  return sum;
}

/** Who hears of a run while it goes on. */
interface Listeners {
  on_result?: (name: string) => void;
  on_run?: (run: KtapRun, model: ModelRun) => void;
}

/** Runs the model on everything that the file holds and compares. */
export function judge(
  file: Results,
  suite: () => TestList,
  o: MachineOptions,
  { on_result, on_run }: Listeners = {},
): Judgement {
  const names = suite().names();
  const runs = file.runs.map((run) => {
    const model = model_run(suite, tests_of(run), o, { on_result });
    on_run?.(run, model);
    return judge_run(run, model, names);
  });
  return judge_file(file, runs, names);
}

/** True if nothing differs, nothing is missing and something was compared. */
export function agrees(j: Judgement): boolean {
  return j.differences.length === 0 && j.missing.length === 0 && j.errors.length === 0 && j.compared > 0;
}

/** What differs, one paragraph a test, what is missing, and what is wrong with the model itself. */
export function differences_text(j: Judgement): string {
  const parts = j.differences.map(
    ({ name, file, model }) => `${name ?? 'while no test ran'}\n  file:  ${file}\n  model: ${model}\n`,
  );
  return [...parts, ...j.missing.map((text) => `missing: ${text}\n`), ...j.errors.map((e) => `${e}\n`)].join('');
}

/** The last line: how many results there were and how they compare. */
export function summary(j: Judgement): string {
  const { compared, same } = j;
  return `compared ${compared} results: ${same} identical, ${compared - same} differ${j.missing.length > 0 ? '; the file is not whole' : ''}`;
}
