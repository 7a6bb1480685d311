// SPDX-License-Identifier: GPL-2.0-only
// `npm run -s hmm-tests`: the suite as upstream's binary runs it, on a machine of its own.

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { hmm_tests, type OwnTests } from '../../selftests/hmm-tests/index.ts';
import { command, flag, run_commands, texts } from '../cli/command.ts';
import { machine_options, type MachineOptions } from '../cli/options.ts';
import { print } from '../cli/program.ts';
import { did_you_mean, UsageError } from '../cli/usage_error.ts';
import { own_failures, own_text, wrapped } from '../compare/known.ts';
import { fixtures_of } from '../compare/model.ts';
import { filter_of_nothing } from '../kselftest/kselftest_harness.ts';
import { run_suite } from '../kselftest/run.ts';
import { binary_of, binary_options } from '../run/options.ts';
import { run_binary_suite } from '../run/suite.ts';
import { step_watch } from '../kselftest/steps.ts';
import { read_ktap } from '../ktap/ktap.ts';

const RESULTS = new URL('../../selftests/results/', import.meta.url);

/** Which of the failures are Linux's own, and which are not. */
function failures_text(output: string, machine: MachineOptions): string {
  const suite = hmm_tests();
  const fixtures = fixtures_of(suite);
  const names = new Set(suite.names());
  const results = read_ktap(output, fixtures).runs.flatMap((run) => run.results.filter((r) => names.has(r.name)));
  const { own, other } = own_failures(RESULTS, fixtures, machine, results);
  const text = own_text(own);
  if (other.length === 0) return text;
  return text + wrapped(`Not among the failures that were recorded of Linux 7.3.4: ${other.join(', ')}`);
}

/** The tests that files export, by name. */
async function tests_of(files: readonly string[]): Promise<OwnTests> {
  const taken = new Set(
    hmm_tests()
      .names()
      .map((name) => name.slice(name.lastIndexOf('.') + 1)),
  );
  const own: Record<string, OwnTests[string]> = {};
  for (const file of files) {
    if (!existsSync(file)) throw new UsageError(`--tests=${file}: there is no such file`);
    const module = (await import(pathToFileURL(resolve(file)).href)) as OwnTests;
    if (Object.keys(module).length === 0)
      throw new UsageError(`--tests=${file}: exports nothing; expected functions of a test, such as anon.ts exports`);
    for (const [name, test] of Object.entries(module)) {
      if (typeof test !== 'function')
        throw new UsageError(`--tests=${file}: ${name} is no test: expected a function* (env: Hmm)`);
      if (taken.has(name))
        throw new UsageError(`--tests=${file}: there is a test ${name} already; choose another name`);
      taken.add(name);
      own[name] = test;
    }
  }
  return own;
}

run_commands('hmm-tests', [
  command({
    words: '[options of the suite]',
    count: [0, Infinity],
    about: "Runs the suite as upstream's binary does; -h lists the suite's own options, and exits as that binary does.",
    options: {
      ...machine_options,
      tests: texts('runs the functions that this file exports too, as tests of the fixture hmm', 'FILE'),
      ...binary_options,
      steps: flag('prints what the tests do, call by call'),
      dmesg: flag("prints the kernel's log on standard error afterwards"),
    },
    foreign_options: true,
    run: async (o, argv) => {
      const list = hmm_tests(await tests_of(o.tests));
      const binary = binary_of(o);
      if (binary !== undefined && (o.steps || o.tests.length > 0))
        throw new UsageError(`--binary=${binary.file}: --steps and --tests are for the ported suite`);
      const nothing = binary === undefined ? filter_of_nothing(list, argv) : null;
      if (nothing !== null) {
        const { filter, known } = nothing;
        throw new UsageError(
          `${filter}: nothing of the suite has that name, -l lists it${did_you_mean(filter.slice(3), known)}`,
        );
      }
      let output = '';
      const both = (text: string): void => {
        output += text;
        print(text);
      };
      const watch = o.steps ? step_watch((_, step) => both(`#   ${step}\n`)) : undefined;
      const { code, log, findings } =
        binary === undefined ? run_suite(list, o, argv, both, watch) : run_binary_suite(binary, o, argv, both);
      if (o.dmesg) process.stderr.write(log.map((line) => `${line}\n`).join(''));
      for (const { name, found } of findings)
        process.stderr.write(`hmm-tests: after ${name} the audit of the machine found\n  ${found.join('\n  ')}\n`);
      process.stderr.write(failures_text(output, o));
      return findings.length > 0 ? 3 : code;
    },
  }),
]);
