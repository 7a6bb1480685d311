// SPDX-License-Identifier: GPL-2.0-only
// `npm run -s replay`: recorded op programs on the model, compared op by op with what a real kernel answered.

import { parseArgs } from 'node:util';
import { patches_of, UsageError } from '../cli/options.ts';
import { run_program } from '../cli/program.ts';
import { FormatError, read_programs, read_recording } from '../replay/format.ts';
import { do_tasks, type Done, type Task } from '../replay/jobs.ts';

const USAGE = `usage: npm run -s replay -- FILE.jsonl[.gz] ... [--only ID] [--stop-at-first] [--jobs N] [--patches=NAME,NAME]
       npm run -s replay -- --record PROGRAMS.txt [--only ID] [--jobs N]
  --only ID         only the program of that id (may be given several times)
  --stop-at-first   stop at the first program that diverges
  --jobs N          programs at a time, in processes of their own (2)
  --patches=NAME,NAME  states of the kernel that differ from Linux 7.3.4; swap types are renumbered as they say
  --record          write the model's own answers to the programs, one line of JSON each
`;

interface Options {
  files: string[];
  only: string[];
  stop_at_first: boolean;
  record: boolean;
  jobs: number;
  patches: readonly string[];
}

function options(argv: string[]): Options {
  let parsed;
  try {
    parsed = parseArgs({
      args: argv,
      allowPositionals: true,
      options: {
        only: { type: 'string', multiple: true },
        'stop-at-first': { type: 'boolean' },
        jobs: { type: 'string' },
        record: { type: 'boolean' },
        patches: { type: 'string' },
      },
    });
  } catch (e) {
    throw new UsageError(`${e instanceof Error ? e.message : String(e)}\n${USAGE}`);
  }
  const { values, positionals } = parsed;
  const jobs = Number(values.jobs ?? 2);
  if (!Number.isInteger(jobs) || jobs < 1 || jobs > 64)
    throw new UsageError(`--jobs ${values.jobs}: expected a number from 1 to 64`);
  if (positionals.length === 0) throw new UsageError(`no file given\n${USAGE}`);
  return {
    files: positionals,
    only: values.only ?? [],
    stop_at_first: values['stop-at-first'] === true,
    record: values.record === true,
    jobs,
    patches: patches_of(values.patches ?? ''),
  };
}

/**
 * The tasks of the files, in their order. Throws FormatError for a broken file, UsageError for an id that is not there.
 */
function tasks_of(o: Options): Task[] {
  const all = o.files.flatMap((file): Task[] =>
    o.record
      ? read_programs(file).map((program) => ({ mode: 'record', program }))
      : read_recording(file).map((program) => ({ mode: 'replay', program, file, patches: o.patches })),
  );
  if (o.only.length === 0) return all;
  for (const id of o.only) {
    if (!all.some(({ program }) => program.id === id))
      throw new UsageError(`--only ${id}: no program of that id in ${o.files.join(' ')}`);
  }
  return all.filter(({ program }) => o.only.includes(program.id));
}

/** How far it is, on stderr: a line that is rewritten on a terminal, else one every few seconds. */
class Progress {
  private readonly total: number;
  private readonly tty = process.stderr.isTTY === true;
  private readonly since = performance.now();
  private shown = performance.now();
  private readonly slowest: { id: string; seconds: number }[] = [];

  constructor(total: number) {
    this.total = total;
  }

  tick(done: number, diverge: number, id: string, seconds: number): void {
    this.slowest.push({ id, seconds });
    this.slowest.sort((a, b) => b.seconds - a.seconds);
    this.slowest.length = Math.min(this.slowest.length, 3);
    const now = performance.now();
    if (now - this.shown < (this.tty ? 100 : 3000)) return;
    this.shown = now;
    const text = `${done} of ${this.total} programs, ${diverge} diverge`;
    process.stderr.write(this.tty ? `\r\x1b[K${text}` : `${text}\n`);
  }

  /** Clears the way for other output. */
  clear(): void {
    if (this.tty) process.stderr.write('\r\x1b[K');
  }

  summary(done: number): void {
    this.clear();
    const seconds = (performance.now() - this.since) / 1000;
    const slow = this.slowest.map((it) => `${it.id} (${it.seconds.toFixed(2)} s)`).join(', ');
    process.stderr.write(`${(done / seconds).toFixed(1)} programs a second; slowest: ${slow}\n`);
  }
}

async function main(argv: string[]): Promise<number> {
  const o = options(argv);
  let tasks;
  try {
    tasks = tasks_of(o);
  } catch (e) {
    if (e instanceof FormatError) throw new UsageError(e.message);
    throw e;
  }
  const progress = new Progress(tasks.length);
  let done = 0;
  let diverge = 0;
  await do_tasks(tasks, o.jobs, ({ outcome, recorded, seconds }: Done) => {
    done++;
    if (!outcome.identical) {
      diverge++;
      progress.clear();
      // in record mode stdout holds nothing but recordings
      (o.record ? process.stderr : process.stdout).write(`${outcome.report}\n\n`);
    }
    if (recorded !== null) process.stdout.write(`${JSON.stringify(recorded)}\n`);
    progress.tick(done, diverge, outcome.id, seconds);
    return o.stop_at_first && diverge > 0;
  });
  progress.summary(done);
  if (o.record) return diverge === 0 ? 0 : 1;
  process.stdout.write(`replayed ${done} programs: ${done - diverge} identical, ${diverge} diverge\n`);
  return diverge === 0 ? 0 : 1;
}

run_program('replay', () => main(process.argv.slice(2)));
