// SPDX-License-Identifier: GPL-2.0-only

import type { KernelReport, KtapResult, KtapRun } from '../ktap/ktap.ts';

/** A warning or oops of the model: the function that it names and the functions that it was called through. */
export interface Report {
  kind: KernelReport['kind'];
  fn: string;
  path: readonly string[];
}

interface Difference {
  name: string;
  file: string;
  model: string;
}

export interface Agreement {
  compared: number;
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

/** What one side reported and the other did not, as `KERNEL` lines; two empty texts if they agree. */
export function compare_reports(
  recorded: readonly KernelReport[],
  model: readonly Report[],
): { file: string; model: string } {
  const left = [...model];
  const file: string[] = [];
  for (const { kind, count, fn } of recorded) {
    let missing = count;
    for (let i = left.length - 1; i >= 0 && missing > 0; i--) {
      if ((left[i].kind === 'WARNING') !== (kind === 'WARNING') || !is_from(left[i], fn)) continue;
      left.splice(i, 1);
      missing--;
    }
    if (missing > 0) file.push(`${missing} ${kind} ${fn}`);
  }
  const extra = new Map<string, number>();
  for (const { kind, fn } of left) extra.set(`${kind} ${fn}`, (extra.get(`${kind} ${fn}`) ?? 0) + 1);
  return { file: file.join(', '), model: [...extra].map(([what, count]) => `${count} ${what}`).join(', ') };
}

/** Compares one recorded run with the model's; `reports` null leaves the kernel's reports out (the file has none). */
export function compare_run(file: KtapRun, model: KtapRun, reports: readonly Report[] | null): Agreement {
  const theirs = new Map(file.results.map((r) => [r.name, r]));
  const ours = new Map(model.results.map((r) => [r.name, r]));
  const names = new Set([...theirs.keys(), ...file.unfinished, ...ours.keys()]);
  const kernel = reports === null ? { file: '', model: '' } : compare_reports(file.kernel, reports);
  const differences: Difference[] = [];
  for (const name of names) {
    const a = in_words(theirs.get(name));
    const b = in_words(ours.get(name));
    if (a !== b) differences.push({ name, file: a, model: b });
    else if (kernel.file !== kernel.model) {
      differences.push({
        name,
        file: `kernel: ${kernel.file || 'nothing more'}`,
        model: `kernel: ${kernel.model || 'nothing more'}`,
      });
    }
  }
  return { compared: names.size, differences };
}
