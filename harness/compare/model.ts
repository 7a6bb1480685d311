// SPDX-License-Identifier: GPL-2.0-only
// The model's own run of some tests of a suite.

import type { Binary } from '../run/options.ts';
import type { MachineOptions } from '../cli/options.ts';
import { UsageError } from '../cli/usage_error.ts';
import type { TestList } from '../kselftest/kselftest_harness.ts';
import { run_suite } from '../kselftest/run.ts';
import { folded, step_watch } from '../kselftest/steps.ts';
import { type KtapRun, NO_RUN, read_ktap } from '../ktap/ktap.ts';
import { run_binary_suite } from '../run/suite.ts';
import type { Report } from './agreement.ts';

/** What the model answers. */
export interface ModelRun {
  run: KtapRun;
  /** what the suite printed */
  output: string;
  reports: Report[];
  /** what is wrong with the model itself: a path that is not modelled, a finding of the audit */
  errors: string[];
  /** what the test did whose steps were asked for */
  steps: string[];
  /** true if it was stopped because a test did not come to its end */
  stuck: boolean;
}

/** Tests that take seconds, left out where a run only serves to find something out. */
export const HEAVY = /\.benchmark_\w+$/;

export const fixtures_of = (list: TestList): Set<string> => new Set(list.fixtures.map((f) => f.name));

interface Listeners {
  /** hears of each result as it comes */
  on_result?: (name: string) => void;
  /** the test whose steps are wanted */
  steps_of?: string;
  /** a compiled suite to run in place of the ported one, with the directory of its libraries */
  binary?: Binary;
}

/** Runs tests, in the suite's order, on a fresh machine. */
export function model_run(
  suite: () => TestList,
  tests: ReadonlySet<string>,
  o: MachineOptions,
  { on_result, steps_of, binary }: Listeners = {},
): ModelRun {
  const list = suite();
  const all = list.names();
  const known = all.filter((name) => tests.has(name));
  const errors: string[] = [];
  let output = '';
  let reports: Report[] = [];
  const steps: string[] = [];
  if (known.length > 0) {
    const argv = known.length === all.length ? [] : known.flatMap((name) => ['-r', name]);
    let current = known[0];
    const watch =
      steps_of === undefined ? undefined : step_watch((_, text) => current === steps_of && steps.push(text));
    try {
      const print = (text: string): void => {
        output += text;
        const begun = /^# {2}RUN +(\S+) \.\.\.$/m.exec(text);
        if (begun !== null) current = begun[1];
        const result = /^(?:not )?ok \d+ (\S+)/.exec(text);
        if (result !== null) on_result?.(result[1]);
        const failed = /^# \S+\.c:\d+:\w+:(Expected .*)$/m.exec(text);
        if (failed !== null && current === steps_of) steps.push(`then fails: ${failed[1]}`);
      };
      const outcome =
        binary === undefined ? run_suite(list, o, argv, print, watch) : run_binary_suite(binary, o, argv, print);
      reports = outcome.reports;
      errors.push(...outcome.findings.map(({ name, found }) => `${name}: the audit found\n  ${found.join('\n  ')}`));
    } catch (e) {
      if (e instanceof UsageError) throw e;
      errors.push(`${current}: the model stopped: ${e instanceof Error ? (e.stack ?? e.message) : String(e)}`);
    }
  }
  const [run] = read_ktap(output, fixtures_of(list)).runs;
  return { run: run ?? NO_RUN, output, reports, errors, steps: folded(steps), stuck: false };
}
