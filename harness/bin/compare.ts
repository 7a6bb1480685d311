// SPDX-License-Identifier: GPL-2.0-only
// `npm run -s compare -- FILE.ktap`: somebody's results against the model's, test by test.

import { hmm_tests } from '../../selftests/hmm-tests/index.ts';
import { command, run_commands } from '../cli/command.ts';
import { machine_options } from '../cli/options.ts';
import { differences_text, judge, read_results } from '../compare/judge.ts';

run_commands('compare', [
  command({
    words: 'FILE.ktap',
    count: [1, 1],
    about: `FILE holds what hmm-tests printed: raw, from the kselftest runner, or with a console's lines in between.
What the file does not tell, the options say:`,
    options: machine_options,
    run: (options, [file]) => {
      const judgement = judge(read_results(file, hmm_tests), hmm_tests, options);
      const differ = judgement.differences.length;
      process.stdout.write(differences_text(judgement));
      process.stdout.write(
        `compared ${judgement.compared} results: ${judgement.compared - differ} identical, ${differ} differ\n`,
      );
      return differ === 0 && judgement.errors.length === 0 ? 0 : 1;
    },
  }),
]);
