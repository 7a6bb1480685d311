// SPDX-License-Identifier: GPL-2.0-only
// `npm run -s replay`: recorded op programs on the model, compared op by op with what a real kernel answered.

import type { PatchId } from '../../lib/patches/index.ts';
import { command, flag, run_commands, texts, whole } from '../cli/command.ts';
import { patches_option } from '../cli/options.ts';
import { print } from '../cli/program.ts';
import { Progress } from '../cli/progress.ts';
import { did_you_mean, UsageError } from '../cli/usage_error.ts';
import { FormatError, read_programs, read_recording } from '../replay/format.ts';
import { do_tasks, type Done, type Task } from '../replay/jobs.ts';

const OPTIONS = {
  only: texts('only the program of that id', 'ID'),
  'stop-at-first': flag('stops at the first program that diverges'),
  jobs: whole('programs at a time, in processes of their own', { from: 1, to: 64, standard: 2 }),
  patches: patches_option,
  record: flag("writes the model's own answers to the programs in FILE, one line of JSON each"),
};

interface Options {
  only: readonly string[];
  'stop-at-first': boolean;
  record: boolean;
  jobs: number;
  patches: readonly PatchId[];
}

/**
 * The tasks of the files, in their order. Throws FormatError for a broken file, UsageError for an id that is not there.
 */
function tasks_of(files: readonly string[], o: Options): Task[] {
  const all = files.flatMap((file): Task[] =>
    o.record
      ? read_programs(file).map((program) => ({ mode: 'record', program, patches: o.patches }))
      : read_recording(file).map((program) => ({ mode: 'replay', program, file, patches: o.patches })),
  );
  if (o.only.length === 0) return all;
  for (const id of o.only) {
    if (!all.some(({ program }) => program.id === id)) {
      const near = did_you_mean(
        id,
        all.map(({ program }) => program.id),
      );
      throw new UsageError(`--only=${id}: no program of that id in ${files.join(' ')}${near}`);
    }
  }
  return all.filter(({ program }) => o.only.includes(program.id));
}

async function replay(files: readonly string[], o: Options): Promise<number> {
  let tasks;
  try {
    tasks = tasks_of(files, o);
  } catch (e) {
    if (e instanceof FormatError) throw new UsageError(e.message);
    throw e;
  }
  const progress = new Progress();
  const since = performance.now();
  const slowest: { id: string; seconds: number }[] = [];
  let done = 0;
  let diverge = 0;
  await do_tasks(tasks, o.jobs, ({ outcome, recorded, seconds }: Done) => {
    done++;
    if (!outcome.identical) {
      diverge++;
      progress.clear();
      // in record mode stdout holds nothing but recordings
      if (o.record) process.stderr.write(`${outcome.report}\n\n`);
      else print(`${outcome.report}\n\n`);
    }
    if (recorded !== null) print(`${JSON.stringify(recorded)}\n`);
    slowest.push({ id: outcome.id, seconds });
    slowest.sort((a, b) => b.seconds - a.seconds);
    slowest.length = Math.min(slowest.length, 3);
    progress.tick(() => `${done} of ${tasks.length} programs, ${diverge} diverge`);
    return o['stop-at-first'] && diverge > 0;
  });
  const rate = done / ((performance.now() - since) / 1000);
  const slow = slowest.map((it) => `${it.id} (${it.seconds.toFixed(2)} s)`).join(', ');
  progress.say(`${rate.toFixed(1)} programs a second; slowest: ${slow}`);
  if (o.record) return diverge === 0 ? 0 : 1;
  print(`replayed ${done} programs: ${done - diverge} identical, ${diverge} diverge\n`);
  return diverge === 0 ? 0 : 1;
}

run_commands('replay', [
  command({
    words: 'FILE...',
    count: [1, Infinity],
    about: `Runs recorded op programs (FILE.jsonl, FILE.jsonl.gz) and compares each answer with the kernel's; with --record
FILE holds programs without answers.`,
    options: OPTIONS,
    run: (o, files) => replay(files, o),
  }),
]);
