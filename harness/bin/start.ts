// SPDX-License-Identifier: GPL-2.0-only
// `npm start`: the suite on the model in every configuration that Linux was recorded in, and whether the two agree.

import { openSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { PatchId } from '../../lib/patches/index.ts';
import { hmm_tests } from '../../selftests/hmm-tests/index.ts';
import { command, flag, run_commands, text } from '../cli/command.ts';
import { patches_option, STANDARD_MACHINE } from '../cli/options.ts';
import { Progress } from '../cli/progress.ts';
import { end_with_parent, start_worker } from '../cli/workers.ts';
import { agrees, differences_text, judge, type Judgement, NO_JUDGEMENT, read_results } from '../compare/judge.ts';
import { ISOLATED, own_text, results_file, WHOLE_SUITE } from '../compare/known.ts';
import { HEAVY } from '../compare/model.ts';

/** Processes at a time: more would only hold more memory. */
const AT_ONCE = 2;
/** What a test that takes seconds counts as in the estimate of the time that is left. */
const HEAVY_WEIGHT = 60;

const RESULTS = new URL('../../selftests/results/', import.meta.url);

type Message = { tests: string[] } | { result: string } | { judgement: Judgement; output: string };

/** What a configuration came to, with what the suite printed. */
interface Done {
  judgement: Judgement;
  output: string;
}

/** One configuration, in a process of its own that tells its parent how it goes. */
async function worker(name: string, patches: readonly PatchId[]): Promise<number> {
  end_with_parent();
  const send = (message: Message): void => void process.send?.(message);
  const file = await read_results(fileURLToPath(results_file(RESULTS, name)), hmm_tests);
  send({ tests: file.runs.flatMap((run) => run.results.map((r) => r.name)) });
  let output = '';
  const judgement = judge(
    file,
    hmm_tests,
    { ...STANDARD_MACHINE, patches, ...{ ...WHOLE_SUITE, ...ISOLATED }[name] },
    {
      on_result: (result) => send({ result }),
      on_run: (run, model) => {
        output += (run.iso === null ? '' : `---ISO ${run.iso}\n`) + model.output;
      },
    },
  );
  await new Promise((sent) => process.send?.({ judgement, output } satisfies Message, sent));
  // the open channel would keep this process alive
  process.disconnect();
  return 0;
}

const weight = (test: string): number => (HEAVY.test(test) ? HEAVY_WEIGHT : 1);

/** How far each configuration is. */
class Monitor {
  private readonly progress: Progress;
  private readonly since = performance.now();
  private readonly running = new Map<string, { done: number; total: number }>();
  private done = 0;
  private total = 0;
  constructor(quiet: boolean, configurations: number) {
    this.progress = new Progress(quiet);
    this.total =
      configurations *
      hmm_tests()
        .names()
        .map(weight)
        .reduce((a, b) => a + b, 0);
  }

  begun(name: string, tests: readonly string[]): void {
    this.running.set(name, { done: 0, total: tests.length });
    const planned = hmm_tests()
      .names()
      .map(weight)
      .reduce((a, b) => a + b, 0);
    this.total += tests.map(weight).reduce((a, b) => a + b, 0) - planned;
  }

  result(name: string, test: string): void {
    const at = this.running.get(name);
    if (at === undefined) return;
    at.done++;
    this.done += weight(test);
    const left = ((performance.now() - this.since) / 1000) * (this.total / this.done - 1);
    this.progress.tick(() => {
      const each = [...this.running].map(([n, it]) => `${n} ${it.done}/${it.total}`).join(', ');
      return `${each}, about ${Math.ceil(left)} s left`;
    });
  }

  ended(name: string): void {
    this.running.delete(name);
    this.progress.clear();
  }
}

function run_configuration(name: string, monitor: Monitor, patches: readonly PatchId[]): Promise<Done> {
  return new Promise((resolve) => {
    let done: Done | null = null;
    const states = patches.length > 0 ? [`--patches=${patches.join(',')}`] : [];
    const child = start_worker(new URL(import.meta.url), [`--configuration=${name}`, ...states]);
    child.on('message', (message: Message) => {
      if ('tests' in message) monitor.begun(name, message.tests);
      if ('result' in message) monitor.result(name, message.result);
      if ('judgement' in message) done = message;
    });
    child.on('close', (code, signal) => {
      monitor.ended(name);
      const ended = `${name}: the process ended with ${signal ?? `status ${code}`}`;
      resolve(done ?? { judgement: { ...NO_JUDGEMENT, errors: [ended] }, output: '' });
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
  return [
    name,
    String(j.pass),
    String(j.fail),
    String(j.skip),
    agrees(j) ? `identical, all ${j.compared}` : `NOT identical: ${j.same} of ${j.compared} are`,
  ];
}

/** What the suite printed in each configuration, as the kselftest runner nests the output of programs. */
function recording(all: readonly (readonly [string, Done])[]): string {
  const parts = all.map(([name, { judgement, output }], i) => {
    const nested = output.replace(/^.*\n/gm, '# $&');
    return `# selftests: hmm: ${name}\n${nested}${agrees(judgement) ? 'ok' : 'not ok'} ${i + 1} selftests: hmm: ${name}\n`;
  });
  return `TAP version 13\n1..${all.length}\n${parts.join('')}`;
}

interface Wish {
  quiet: boolean;
  patches: readonly PatchId[];
  /** a file for what the suite printed, or null */
  record: string | null;
}

async function every_configuration(names: readonly string[], { quiet, patches, record }: Wish): Promise<number> {
  // Opened first, so that a name that cannot be written to is told before the work.
  const file = record === null ? null : openSync(record, 'w');
  const monitor = new Monitor(quiet, names.length);
  const found = new Map<string, Done>();
  const waiting = [...names];
  const lane = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift())
      found.set(name, await run_configuration(name, monitor, patches));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  const all = names
    .map((name) => [name, found.get(name)] as const)
    .filter((it): it is [string, Done] => it[1] !== undefined);
  for (const [name, { judgement }] of all)
    if (!agrees(judgement))
      process.stdout.write(`${name}:\n${differences_text(judgement).replace(/^(?=.)/gm, '  ')}\n`);
  process.stdout.write(
    table([
      ['configuration', 'pass', 'fail', 'skip', 'beside Linux 7.3.4'],
      ...all.map(([name, { judgement }]) => row(name, judgement)),
    ]),
  );
  process.stdout.write(
    own_text(
      new Map(all.map(([name, { judgement }]) => [name, judgement.failed] as const).filter((it) => it[1].length > 0)),
    ),
  );
  if (file !== null) writeSync(file, recording(all));
  return all.every(([, { judgement }]) => agrees(judgement)) ? 0 : 1;
}

run_commands('start', [
  command({
    words: '',
    count: [0, 0],
    about: 'Runs the suite in every configuration in which Linux 7.3.4 was recorded, and compares each result.',
    options: {
      iso: flag('also the recordings in which each test ran alone on a freshly loaded module'),
      quiet: flag('shows no progress'),
      record: text('leaves there what the suite printed, as KTAP', 'FILE'),
      patches: patches_option,
      configuration: text('only this one, as a worker of this program', 'NAME'),
    },
    run: (o) => {
      if (o.configuration !== null) return worker(o.configuration, o.patches);
      const names = [...Object.keys(WHOLE_SUITE), ...(o.iso ? Object.keys(ISOLATED) : [])];
      return every_configuration(names, o);
    },
  }),
]);
