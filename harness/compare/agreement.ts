// SPDX-License-Identifier: GPL-2.0-only

import type { KernelReport } from '../ktap/kernel_log.ts';
import type { KtapResult, KtapRun } from '../ktap/ktap.ts';

/** A warning or oops of the model: the function that it names and the functions that it was called through. */
export interface Report {
  kind: 'WARNING' | 'BUG' | 'OOPS';
  fn: string;
  path: readonly string[];
  /** the test during which it came, null for none */
  test: string | null;
  /** true for one that its site gives once a boot */
  once: boolean;
}

export interface Difference {
  /** the test, null for reports that came while none ran */
  name: string | null;
  what: 'result' | 'report';
  file: string;
  model: string;
}

export interface Agreement {
  /** results that both sides have */
  compared: number;
  /** those among them of tests without any difference */
  same: number;
  differences: Difference[];
}

/** What stands for a test that one side did not run to its end. */
export const NO_RESULT = 'no result';

/** One result in words: the verdict, and for what does not pass why. */
export function in_words(r: KtapResult | undefined): string {
  if (r === undefined) return NO_RESULT;
  const why = [...r.asserts, r.end, r.reason].filter((text) => text !== '');
  return why.length === 0 ? r.verdict : `${r.verdict}  ${why.join('; ')}`;
}

/**
 * The functions that the recorded kernel's compiler made part of their callers: a report that it shows under the caller
 * may come from any of them.
 */
const INLINED: Readonly<Record<string, readonly string[]>> = {
  memremap_pages: ['pagemap_range'],
  dmirror_fops_unlocked_ioctl: ['dmirror_write', 'dmirror_do_write'],
};

function is_from(report: Report, fn: string): boolean {
  const names = [fn, ...(INLINED[fn] ?? [])];
  return names.includes(report.fn) || names.some((name) => report.path.includes(name));
}

function same_report(theirs: KernelReport, ours: Report): boolean {
  return (ours.kind === 'WARNING') === (theirs.kind === 'WARNING') && is_from(ours, theirs.fn);
}

interface Unmatched {
  file: KernelReport[];
  model: Report[];
}

/** Takes out of both sides what they have in common. */
function unmatched(recorded: readonly KernelReport[], model: readonly Report[]): Unmatched {
  const left = [...model];
  const file: KernelReport[] = [];
  for (const report of recorded) {
    let missing = report.count;
    for (let i = left.length - 1; i >= 0 && missing > 0; i--) {
      if (!same_report(report, left[i])) continue;
      left.splice(i, 1);
      missing--;
    }
    if (missing > 0) file.push({ ...report, count: missing });
  }
  return { file, model: left };
}

/** What a report says beyond its kind and function: the head's text where it tells more. */
function detail(text: string): string {
  const more = /^(?:BUG: KASAN: |BUG: KFENCE: |BUG: KMSAN: |BUG: KCSAN: |UBSAN: )(.*?)(?: in .*)?$/.exec(text);
  if (more !== null) return ` (${more[1]})`;
  return text === '' || /^(?:WARNING: (?:at|\S+:\d+ at|\w+$|\w+: )|kernel BUG at)/.test(text) ? '' : ` (${text})`;
}

function in_file(reports: readonly KernelReport[]): string {
  return reports.map(({ kind, count, fn, text }) => `${count} ${kind} ${fn}${detail(text)}`).join(', ');
}

function in_model(reports: readonly Report[]): string {
  const sums = new Map<string, number>();
  for (const { kind, fn } of reports) sums.set(`${kind} ${fn}`, (sums.get(`${kind} ${fn}`) ?? 0) + 1);
  return [...sums].map(([what, count]) => `${count} ${what}`).join(', ');
}

/** What one side reported and the other did not, as `KERNEL` lines; two empty texts if they agree. */
export function compare_reports(
  recorded: readonly KernelReport[],
  model: readonly Report[],
): { file: string; model: string } {
  const left = unmatched(recorded, model);
  return { file: in_file(left.file), model: in_model(left.model) };
}

/** Reports that one side alone has, test by test; what the file gives for no test may match any of the model's. */
function report_differences(run: KtapRun, reports: readonly Report[]): Difference[] {
  const tests = new Set([...run.kernel, ...reports].map((r) => r.test));
  const rest: Unmatched = { file: [], model: [] };
  for (const test of tests) {
    const of_test = (r: { test: string | null }): boolean => r.test === test;
    const { file, model } = unmatched(run.kernel.filter(of_test), reports.filter(of_test));
    rest.file.push(...file);
    rest.model.push(...model);
  }
  const late = rest.file.filter((r) => r.test === null);
  const { file, model } = unmatched(late, rest.model);
  const left = [...rest.file.filter((r) => r.test !== null), ...file];
  const named = [...new Set([...left, ...model].map((r) => r.test))];
  return named.map((name) => ({
    name,
    what: 'report',
    file: in_file(left.filter((r) => r.test === name)) || 'no report of the kernel',
    model: in_model(model.filter((r) => r.test === name)) || 'no report of the kernel',
  }));
}

/**
 * Compares the results that a recorded run holds with the model's, and what the kernel reported; `reports` null leaves
 * that out. What the recorded run lacks is no difference, see missing.ts.
 */
export function compare_run(run: KtapRun, model: KtapRun, reports: readonly Report[] | null): Agreement {
  const ours = new Map(model.results.map((r) => [r.name, r]));
  const differences: Difference[] = [];
  for (const theirs of run.results) {
    const mine = ours.get(theirs.name);
    const [file, own] = [in_words(theirs), in_words(mine)];
    if (file !== own) differences.push({ name: theirs.name, what: 'result', file, model: own });
  }
  if (reports !== null) differences.push(...report_differences(run, reports));
  const differing = new Set(differences.map((d) => d.name));
  const same = run.results.filter((r) => !differing.has(r.name)).length;
  return { compared: run.results.length, same, differences };
}
