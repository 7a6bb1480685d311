// SPDX-License-Identifier: GPL-2.0-only
// `npm run -s compare -- FILE.ktap`: somebody's results against the model's, test by test.

import { hmm_tests } from '../../selftests/hmm-tests/index.ts';
import { machine_options, MACHINE_USAGE, UsageError } from '../cli/options.ts';
import { run_program } from '../cli/program.ts';
import { differences_text, judge, read_results } from '../compare/judge.ts';

const USAGE = `usage: npm run -s compare -- FILE.ktap [options]
FILE holds what hmm-tests printed: raw, from the kselftest runner, or with a console's lines in between.
What the file does not tell, the options say:
${MACHINE_USAGE}`;

run_program('compare', () => {
  const { options, rest } = machine_options(process.argv.slice(2));
  if (rest.includes('-h') || rest.includes('--help')) {
    process.stdout.write(USAGE);
    return 0;
  }
  const unknown = rest.find((word) => word.startsWith('-'));
  if (unknown !== undefined) throw new UsageError(`unknown option ${unknown}\n${USAGE}`);
  if (rest.length !== 1)
    throw new UsageError(`expected one file, got ${rest.length === 0 ? 'none' : rest.join(' ')}\n${USAGE}`);
  const judgement = judge(read_results(rest[0], hmm_tests), hmm_tests, options);
  const differ = judgement.differences.length;
  process.stdout.write(differences_text(judgement));
  process.stdout.write(
    `compared ${judgement.compared} results: ${judgement.compared - differ} identical, ${differ} differ\n`,
  );
  return differ === 0 && judgement.errors.length === 0 ? 0 : 1;
});
