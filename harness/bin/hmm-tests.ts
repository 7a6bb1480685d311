// SPDX-License-Identifier: GPL-2.0-only
// `npm run -s hmm-tests`: the suite as upstream's binary runs it, on a machine of its own.

import { hmm_tests } from '../../selftests/hmm-tests/index.ts';
import { machine_options, MACHINE_USAGE, UsageError } from '../cli/options.ts';
import { run_program } from '../cli/program.ts';
import { run_suite } from '../kselftest/run.ts';

const USAGE = `Options of the machine that the suite runs on:
${MACHINE_USAGE}  --dmesg                     print the kernel's log on standard error afterwards
`;

run_program('hmm-tests', () => {
  const { options, rest } = machine_options(process.argv.slice(2));
  const argv = rest.filter((word) => word !== '--dmesg');
  if (argv.includes('--help')) argv.splice(0, argv.length, '-h');
  const unknown = argv.find((word) => word.startsWith('--') && word !== '--');
  if (unknown !== undefined)
    throw new UsageError(`unknown option ${unknown}\n${USAGE}Options of the suite: -h lists them.`);
  const { code, log, findings } = run_suite(hmm_tests(), options, argv, (text) => void process.stdout.write(text));
  if (argv.includes('-h')) process.stdout.write(`\n${USAGE}`);
  if (rest.includes('--dmesg')) process.stderr.write(log.map((line) => `${line}\n`).join(''));
  for (const { name, found } of findings)
    process.stderr.write(`hmm-tests: after ${name} the audit of the machine found\n  ${found.join('\n  ')}\n`);
  return findings.length > 0 ? 3 : code;
});
