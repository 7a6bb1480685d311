// SPDX-License-Identifier: GPL-2.0-only
// `npm start`: the suite on the model in every configuration that Linux was recorded in, and whether the two agree.

import { fileURLToPath } from 'node:url';
import type { PatchId } from '../../lib/patches/index.ts';
import { hmm_tests } from '../../selftests/hmm-tests/index.ts';
import { command, flag, run_commands, text } from '../cli/command.ts';
import { type MachineOptions, patches_option, SPM_DEFAULT } from '../cli/options.ts';
import { end_with_parent, start_worker } from '../cli/workers.ts';
import { agrees, differences_text, judge, type Judgement, NO_JUDGEMENT, read_results } from '../compare/judge.ts';

type Configuration = Pick<MachineOptions, 'thp' | 'spm'>;

const WHOLE_SUITE: Readonly<Record<string, Configuration>> = {
  smoke: { thp: 'always', spm: null },
  'spm-always': { thp: 'always', spm: SPM_DEFAULT },
  'spm-madvise': { thp: 'madvise', spm: SPM_DEFAULT },
  'spm-never': { thp: 'never', spm: SPM_DEFAULT },
};
/** Each test alone on a fresh machine; only with --iso. */
const ISOLATED: Readonly<Record<string, Configuration>> = {
  'iso-always': WHOLE_SUITE['spm-always'],
  'iso-madvise': WHOLE_SUITE['spm-madvise'],
  'iso-never': WHOLE_SUITE['spm-never'],
};
/** Processes at a time: more would only hold more memory. */
const AT_ONCE = 2;

type Message = { total: number } | { result: string } | { judgement: Judgement };

function results_file(name: string): string {
  return fileURLToPath(new URL(`../../selftests/results/${name}.ktap`, import.meta.url));
}

/** One configuration, in a process of its own that tells its parent how it goes. */
async function worker(name: string, patches: readonly PatchId[]): Promise<number> {
  end_with_parent();
  const send = (message: Message): void => void process.send?.(message);
  const file = await read_results(results_file(name), hmm_tests);
  send({ total: file.runs.reduce((sum, run) => sum + run.results.length, 0) });
  const machine: MachineOptions = { mem: 6 * 1024 ** 3, patches, ...{ ...WHOLE_SUITE, ...ISOLATED }[name] };
  send({ judgement: judge(file, hmm_tests, machine, (result) => send({ result })) });
  return 0;
}

interface Progress {
  done: number;
  total: number;
  result: string;
  since: number;
}

/** What is going on, on stderr: one line that is rewritten on a terminal, else a line now and then. */
class Monitor {
  readonly running = new Map<string, Progress>();
  private readonly tty = process.stderr.isTTY === true;
  private readonly quiet: boolean;
  constructor(quiet: boolean) {
    this.quiet = quiet;
  }
  say(text: string): void {
    if (!this.quiet) process.stderr.write(this.tty ? `\r\x1b[K${text}\n` : `${text}\n`);
  }
  tick(name: string): void {
    const p = this.running.get(name);
    if (this.quiet || p === undefined) return;
    if (this.tty) {
      const texts = [...this.running].map(([n, it]) => `${n} ${it.done}/${it.total} ${it.result}`);
      process.stderr.write(`\r\x1b[K${texts.join('   ').slice(0, (process.stderr.columns ?? 80) - 1)}`);
    } else if (p.done % 20 === 0) {
      process.stderr.write(`${name}: ${p.done} of ${p.total}\n`);
    }
  }
}

function run_configuration(name: string, monitor: Monitor, patches: readonly PatchId[]): Promise<Judgement> {
  return new Promise((resolve) => {
    const progress: Progress = { done: 0, total: 0, result: '', since: performance.now() };
    monitor.running.set(name, progress);
    monitor.say(`${name}: started`);
    let judgement: Judgement | null = null;
    const states = patches.length > 0 ? [`--patches=${patches.join(',')}`] : [];
    const child = start_worker(new URL(import.meta.url), [`--configuration=${name}`, ...states]);
    child.on('message', (message: Message) => {
      if ('total' in message) progress.total = message.total;
      if ('result' in message) {
        progress.done++;
        progress.result = message.result;
        monitor.tick(name);
      }
      if ('judgement' in message) judgement = message.judgement;
    });
    child.on('close', (code, signal) => {
      monitor.running.delete(name);
      monitor.say(`${name}: ${((performance.now() - progress.since) / 1000).toFixed(1)} s`);
      const ended = `${name}: the process ended with ${signal ?? `status ${code}`}`;
      resolve(judgement ?? { ...NO_JUDGEMENT, errors: [ended] });
    });
  });
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) =>
        column === 0 || column === row.length - 1 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
      )
      .join('  ')
      .trimEnd();
  return `${rows.map(line).join('\n')}\n`;
}

function row(name: string, j: Judgement): string[] {
  const { same } = j;
  return [
    name,
    String(j.pass),
    String(j.fail),
    String(j.skip),
    agrees(j) ? `identical, all ${j.compared}` : `NOT identical: ${same} of ${j.compared} are`,
  ];
}

async function every_configuration(
  names: readonly string[],
  quiet: boolean,
  patches: readonly PatchId[],
): Promise<number> {
  const monitor = new Monitor(quiet);
  const found = new Map<string, Judgement>();
  const waiting = [...names];
  const lane = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift())
      found.set(name, await run_configuration(name, monitor, patches));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  const judged = names
    .map((name) => [name, found.get(name)] as const)
    .filter((it): it is [string, Judgement] => it[1] !== undefined);
  for (const [name, j] of judged)
    if (!agrees(j)) process.stdout.write(`${name}:\n${differences_text(j).replace(/^(?=.)/gm, '  ')}\n`);
  process.stdout.write(
    table([
      ['configuration', 'pass', 'fail', 'skip', 'beside Linux 7.3.4'],
      ...judged.map(([name, j]) => row(name, j)),
    ]),
  );
  return judged.every(([, j]) => agrees(j)) ? 0 : 1;
}

run_commands('start', [
  command({
    words: '',
    count: [0, 0],
    about: 'Runs the suite in every configuration in which Linux 7.3.4 was recorded, and compares each result.',
    options: {
      iso: flag('also the recordings in which each test ran alone on a freshly loaded module'),
      quiet: flag('shows no progress'),
      patches: patches_option,
      configuration: text('only this one, as a worker of this program', 'NAME'),
    },
    run: (o) => {
      if (o.configuration !== null) return worker(o.configuration, o.patches);
      const names = [...Object.keys(WHOLE_SUITE), ...(o.iso ? Object.keys(ISOLATED) : [])];
      return every_configuration(names, o.quiet, o.patches);
    },
  }),
]);
