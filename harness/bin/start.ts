// SPDX-License-Identifier: GPL-2.0-only
// `npm start`: the suite on the model in every configuration that Linux was recorded in, and whether the two agree.

import { openSync, writeSync } from 'node:fs';
import { hmm_tests } from '../../selftests/hmm-tests/index.ts';
import { choice, command, flag, run_commands, text, worker_flag } from '../cli/command.ts';
import { patches_option } from '../cli/options.ts';
import { print } from '../cli/program.ts';
import { run_configurations, serve_configurations } from '../compare/configurations.ts';
import { configurations_text, recording_of } from '../compare/configurations_text.ts';
import { agrees } from '../compare/judge.ts';
import { ISOLATED, WHOLE_SUITE } from '../compare/known.ts';

const ALL = 'all';

run_commands('start', [
  command({
    words: '',
    count: [0, 0],
    about: 'Runs the suite in every configuration in which Linux 7.3.4 was recorded, and compares each result.',
    options: {
      iso: flag('also the recordings in which each test ran alone on a freshly loaded module'),
      configuration: choice('only this one', [ALL, ...Object.keys(WHOLE_SUITE), ...Object.keys(ISOLATED)], ALL),
      quiet: flag('shows no progress'),
      record: text('leaves there what the suite printed, as KTAP', 'FILE'),
      patches: patches_option,
      worker: worker_flag,
    },
    run: async (o) => {
      if (o.worker) return serve_configurations(hmm_tests, o.patches);
      // Opened first, so that a name that cannot be written to is told before the work.
      const file = o.record === null ? null : openSync(o.record, 'w');
      const all = [...Object.keys(WHOLE_SUITE), ...(o.iso ? Object.keys(ISOLATED) : [])];
      const names = o.configuration === ALL ? all : [o.configuration];
      const done = await run_configurations(new URL(import.meta.url), names, hmm_tests().names(), o);
      print(configurations_text(done, o.patches));
      if (file !== null) writeSync(file, recording_of(done));
      return done.every(([, { judgement }]) => agrees(judgement)) ? 0 : 1;
    },
  }),
]);
