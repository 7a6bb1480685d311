// SPDX-License-Identifier: GPL-2.0-only
// `npm run -s hmm-tests`: the suite as upstream's binary runs it, on a machine of its own.

import { hmm_tests } from '../../selftests/hmm-tests/index.ts';
import { command, flag, run_commands } from '../cli/command.ts';
import { machine_options } from '../cli/options.ts';
import { did_you_mean, UsageError } from '../cli/usage_error.ts';
import { filter_of_nothing } from '../kselftest/kselftest_harness.ts';
import { run_suite } from '../kselftest/run.ts';

run_commands('hmm-tests', [
  command({
    words: '[options of the suite]',
    count: [0, Infinity],
    about: "Runs the suite as upstream's binary does; -h lists the suite's own options, and exits as that binary does.",
    options: {
      ...machine_options,
      dmesg: flag("prints the kernel's log on standard error afterwards"),
    },
    foreign_options: true,
    run: (o, argv) => {
      const nothing = filter_of_nothing(hmm_tests(), argv);
      if (nothing !== null) {
        const { filter, known } = nothing;
        throw new UsageError(
          `${filter}: nothing of the suite has that name, -l lists it${did_you_mean(filter.slice(3), known)}`,
        );
      }
      const { code, log, findings } = run_suite(hmm_tests(), o, argv, (text) => void process.stdout.write(text));
      if (o.dmesg) process.stderr.write(log.map((line) => `${line}\n`).join(''));
      for (const { name, found } of findings)
        process.stderr.write(`hmm-tests: after ${name} the audit of the machine found\n  ${found.join('\n  ')}\n`);
      return findings.length > 0 ? 3 : code;
    },
  }),
]);
