// SPDX-License-Identifier: GPL-2.0-only
// `npm run -s impact -- PATCH`: what a kernel patch touches of what is modelled, and which tests reach that.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { hmm_tests } from '../../selftests/hmm-tests/index.ts';
import { race_cases } from '../../selftests/races/index.ts';
import { command, command_line, flag, run_commands } from '../cli/command.ts';
import { print } from '../cli/program.ts';
import { Progress } from '../cli/progress.ts';
import { UsageError } from '../cli/usage_error.ts';
import { start_worker } from '../cli/workers.ts';
import { type Impact, impact_of } from '../impact/impact.ts';
import { type PatchFile, read_patch } from '../impact/patch_file.ts';
import { read_reach, write_reach } from '../impact/reach.ts';
import { record_reach } from '../impact/record.ts';
import { impact_text, place_text } from '../impact/text.ts';
import { create } from '../regression/create.ts';
import { load_cases } from '../regression/load.ts';
import { read_recording } from '../replay/format.ts';

const SAMPLE = fileURLToPath(new URL('../../selftests/programs/sample.jsonl.gz', import.meta.url));

async function record(quiet: boolean): Promise<number> {
  const progress = new Progress(quiet);
  const cases = (await load_cases()).flatMap((it) => ('c' in it ? [it.c] : []));
  const tests = { suite: hmm_tests, cases, races: race_cases, programs: read_recording(SAMPLE) };
  const total = hmm_tests().names().length + cases.length + race_cases.length + tests.programs.length;
  const reach = await record_reach(tests, (done) => progress.tick(() => `impact: ${done} of ${total} tests`));
  progress.clear();
  write_reach(reach);
  print(`${reach.tests.length} tests, ${reach.functions.size} functions\n`);
  return 0;
}

/** Runs a program of this folder with its own output, and returns its exit status. */
async function status_of(name: string, argv: readonly string[]): Promise<number> {
  print(`${command_line(name, ...argv)}\n`);
  const [code] = (await once(start_worker(new URL(`${name}.ts`, import.meta.url), argv), 'exit')) as [number | null];
  return code ?? 1;
}

async function run_tests({ tests }: Impact, quiet: boolean): Promise<number> {
  const words = quiet ? ['--quiet'] : [];
  let worst = 0;
  const add = async (name: string, argv: readonly string[]): Promise<void> => {
    worst = Math.max(worst, await status_of(name, argv));
  };
  if (tests.suite.length > 0) await add('start', words);
  if (tests.case.length > 0) await add('regression', ['run', ...tests.case]);
  for (const name of tests.race) await add('explore', [name, ...words]);
  if (tests.program.length > 0) await add('replay', [SAMPLE]);
  return worst;
}

function new_files(patch: PatchFile, impact: Impact): void {
  if (patch.message_id === null || patch.subject === null)
    throw new UsageError(
      '--new: expected a mail with Subject and Message-Id, as git format-patch --thread or b4 gives it',
    );
  const modelled = impact.touched.filter((it) => it.model.length > 0);
  const { state, slug } = create('proposed', patch.message_id, patch.subject, modelled.map(place_text));
  print(
    `wrote ${state} and the case ${slug}; they fail until they are filled in: ${command_line('regression', 'run', slug)}\n`,
  );
}

run_commands('impact', [
  command({
    words: 'PATCH',
    count: [0, 1],
    about: `Says which functions of the model follow what a kernel patch or series touches (git format-patch, b4, a mailbox;
- is standard input), what it touches that is not modelled, and which tests reach those functions.
Exit status: 0; with --run 1 if a test fails; 2 if PATCH cannot be used.`,
    options: {
      json: flag('prints the answer as JSON'),
      run: flag('runs those tests'),
      new: flag('writes a patch state and a regression case that name the places to change'),
      record: flag('without PATCH: runs every test and writes down which functions it reaches'),
      quiet: flag('shows no progress'),
    },
    run: async (o, [path]) => {
      if (o.record) return record(o.quiet);
      if (path === undefined) throw new UsageError('expected PATCH, or --record');
      const patch = read_patch(readFileSync(path === '-' ? 0 : path, 'utf8'), path);
      const impact = impact_of(patch, read_reach());
      print(o.json ? `${JSON.stringify(impact, null, 2)}\n` : impact_text(impact));
      if (o.new) new_files(patch, impact);
      return o.run ? run_tests(impact, o.quiet) : 0;
    },
  }),
]);
