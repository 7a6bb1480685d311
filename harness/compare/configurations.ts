// SPDX-License-Identifier: GPL-2.0-only
// The suite in several configurations of the machine, each in a process of its own.

import { fileURLToPath } from 'node:url';
import type { PatchId } from '../../lib/patches/index.ts';
import { STANDARD_MACHINE } from '../cli/options.ts';
import { Progress } from '../cli/progress.ts';
import { end_with_parent, start_worker } from '../cli/workers.ts';
import type { TestList } from '../kselftest/kselftest_harness.ts';
import { judge, type Judgement, NO_JUDGEMENT, read_results } from './judge.ts';
import { ISOLATED, results_file, WHOLE_SUITE } from './known.ts';
import { HEAVY } from './model.ts';

/** Processes at a time: more would only hold more memory. */
const AT_ONCE = 2;
/** What a test that takes seconds counts as in the estimate of the time that is left. */
const HEAVY_WEIGHT = 60;

const RESULTS = new URL('../../selftests/results/', import.meta.url);

type Message = { tests: string[] } | { result: string } | Done;

/** What a configuration came to, with what the suite printed. */
export interface Done {
  judgement: Judgement;
  output: string;
}

/** One configuration, in a process of its own that tells its parent how it goes. */
export async function serve_configuration(
  name: string,
  suite: () => TestList,
  patches: readonly PatchId[],
): Promise<number> {
  end_with_parent();
  const send = (message: Message): void => void process.send?.(message);
  const file = await read_results(fileURLToPath(results_file(RESULTS, name)), suite);
  send({ tests: file.runs.flatMap((run) => run.results.map((r) => r.name)) });
  let output = '';
  const judgement = judge(
    file,
    suite,
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
const weights = (tests: readonly string[]): number => tests.map(weight).reduce((a, b) => a + b, 0);

/** How far each configuration is. */
class Monitor {
  private readonly progress: Progress;
  private readonly since = performance.now();
  private readonly running = new Map<string, { done: number; total: number }>();
  /** weight of what one configuration is expected to hold */
  private readonly planned: number;
  private done = 0;
  private total: number;
  constructor(quiet: boolean, configurations: number, tests: readonly string[]) {
    this.progress = new Progress(quiet);
    this.planned = weights(tests);
    this.total = configurations * this.planned;
  }

  begun(name: string, tests: readonly string[]): void {
    this.running.set(name, { done: 0, total: tests.length });
    this.total += weights(tests) - this.planned;
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

function run_configuration(program: URL, name: string, monitor: Monitor, patches: readonly PatchId[]): Promise<Done> {
  return new Promise((resolve) => {
    let done: Done | null = null;
    const states = patches.length > 0 ? [`--patches=${patches.join(',')}`] : [];
    const child = start_worker(program, ['--worker', `--configuration=${name}`, ...states]);
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

/**
 * Runs the configurations in workers, which are `program` with --worker and --configuration, in the order given, and
 * returns what each came to. `tests` are those of the suite, for the estimate of the time that is left.
 */
export async function run_configurations(
  program: URL,
  names: readonly string[],
  tests: readonly string[],
  { quiet, patches }: { quiet: boolean; patches: readonly PatchId[] },
): Promise<(readonly [string, Done])[]> {
  const monitor = new Monitor(quiet, names.length, tests);
  const found: (readonly [string, Done])[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < names.length) {
      const at = next++;
      found[at] = [names[at], await run_configuration(program, names[at], monitor, patches)];
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return found;
}
