// SPDX-License-Identifier: GPL-2.0-only
// `npm run -s compare -- FILE`: somebody's results against the model's, test by test.

import { hmm_tests } from '../../selftests/hmm-tests/index.ts';
import { command, flag, type Option, run_commands, worker_flag } from '../cli/command.ts';
import { machine_options } from '../cli/options.ts';
import { binary_of, binary_options, binary_words } from '../run/options.ts';
import { print } from '../cli/program.ts';
import { Progress } from '../cli/progress.ts';
import { compare_file } from '../compare/comparison.ts';
import { explain, not_explained } from '../compare/explain.ts';
import { agrees, read_results } from '../compare/judge.ts';
import type { Thp } from '../compare/machine.ts';
import { Pool } from '../compare/pool.ts';
import type { LoadedCase } from '../regression/case.ts';
import { load_cases } from '../regression/load.ts';
import { serve } from '../compare/worker.ts';
import { comparison_json, comparison_ktap, comparison_text } from '../compare/text.ts';

async function loaded_cases(): Promise<LoadedCase[]> {
  return (await load_cases()).flatMap((it) => ('c' in it ? [it.c] : []));
}

const thp: Option<Thp | null> = {
  ...machine_options.thp,
  help: 'transparent huge pages (as fits the file)',
  standard: null,
  read: (word, name) => machine_options.thp.read(word, name, 'always'),
};

run_commands('compare', [
  command({
    words: 'FILE',
    count: [1, 1],
    about: `FILE holds what hmm-tests printed, - is standard input: raw, from the kselftest runner or run_vmtests.sh, with
the kernel's log in between, stamped by a console, a journal or a CI system, as .gz or .xz.
Exit status: 0 if all is the same, 1 if something differs or is missing, 2 if the file cannot be used.
What the file does not tell, the options say:`,
    options: {
      ...machine_options,
      thp,
      spm: { ...machine_options.spm, help: 'the two devices with coherent memory (if tests of the file used it)' },
      'ignore-log': flag("compares no reports of the kernel's log"),
      'no-why': flag('looks for no explanation of what differs'),
      json: flag('prints the answer as JSON'),
      ktap: flag('prints the answer as KTAP'),
      quiet: flag('shows no progress'),
      ...binary_options,
      worker: worker_flag,
    },
    run: async (o, [path]) => {
      const binary = binary_of(o);
      if (o.worker) return serve(hmm_tests, binary);
      const file = await read_results(path, hmm_tests);
      const progress = new Progress(o.quiet);
      const pool = new Pool(new URL(import.meta.url), ['--worker', ...binary_words(binary), '-']);
      try {
        const found = await compare_file(pool, file, hmm_tests, { ...o, ignore_log: o['ignore-log'] }, (done, total) =>
          progress.tick(() => `compare: ${done} of ${total} tests`),
        );
        const why = o['no-why']
          ? not_explained(found)
          : await explain(pool, found, hmm_tests, o['ignore-log'], loaded_cases);
        progress.clear();
        const written = o.json ? comparison_json : o.ktap ? comparison_ktap : comparison_text;
        print(written(why));
        return agrees(found.judgement) ? 0 : 1;
      } finally {
        progress.clear();
        pool.close();
      }
    },
  }),
]);
