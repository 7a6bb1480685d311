// SPDX-License-Identifier: GPL-2.0-only
// `npm run -s hmm-tests`: the suite as upstream's binary runs it, on a machine of its own.

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { hmm_tests, type OwnTests } from '../../selftests/hmm-tests/index.ts';
import { command, flag, run_commands, texts } from '../cli/command.ts';
import { machine_options } from '../cli/options.ts';
import { did_you_mean, UsageError } from '../cli/usage_error.ts';
import { filter_of_nothing } from '../kselftest/kselftest_harness.ts';
import { run_suite } from '../kselftest/run.ts';

/** The tests that files export, by name. */
async function tests_of(files: readonly string[]): Promise<OwnTests> {
  const known = hmm_tests().cases();
  const taken = new Set([...known].map((it) => it.test.name));
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
      dmesg: flag("prints the kernel's log on standard error afterwards"),
    },
    foreign_options: true,
    run: async (o, argv) => {
      const list = hmm_tests(await tests_of(o.tests));
      const nothing = filter_of_nothing(list, argv);
      if (nothing !== null) {
        const { filter, known } = nothing;
        throw new UsageError(
          `${filter}: nothing of the suite has that name, -l lists it${did_you_mean(filter.slice(3), known)}`,
        );
      }
      const { code, log, findings } = run_suite(list, o, argv, (text) => void process.stdout.write(text));
      if (o.dmesg) process.stderr.write(log.map((line) => `${line}\n`).join(''));
      for (const { name, found } of findings)
        process.stderr.write(`hmm-tests: after ${name} the audit of the machine found\n  ${found.join('\n  ')}\n`);
      return findings.length > 0 ? 3 : code;
    },
  }),
]);
