// SPDX-License-Identifier: GPL-2.0-only
// The suite in several configurations of the machine, in processes of its own.

import type { ChildProcess } from 'node:child_process';
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

/** One configuration; `send` tells the parent how it goes. */
async function serve(
  name: string,
  suite: () => TestList,
  patches: readonly PatchId[],
  send: (message: Message) => void,
): Promise<void> {
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
  send({ judgement, output });
}

/** Runs one after the other the configurations that the parent names, until it closes the channel. */
export function serve_configurations(suite: () => TestList, patches: readonly PatchId[]): Promise<number> {
  end_with_parent();
  const send = (message: Message): void => void process.send?.(message);
  process.on('message', (name: string) => {
    serve(name, suite, patches, send).catch((e: unknown) => {
      process.stderr.write(`${name}: ${e instanceof Error ? e.stack : String(e)}\n`);
      process.exit(1);
    });
  });
  return new Promise(() => {});
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

/** A worker that runs one configuration at a time: its second one finds the model's code compiled, memory mapped. */
class Lane {
  private child: ChildProcess | null = null;
  private readonly program: URL;
  private readonly argv: readonly string[];
  private readonly monitor: Monitor;
  constructor(program: URL, argv: readonly string[], monitor: Monitor) {
    this.program = program;
    this.argv = argv;
    this.monitor = monitor;
  }

  run(name: string): Promise<Done> {
    this.child ??= start_worker(this.program, this.argv);
    const { child, monitor } = this;
    return new Promise((resolve) => {
      const end = (done: Done): void => {
        child.removeAllListeners('message');
        child.removeAllListeners('close');
        monitor.ended(name);
        resolve(done);
      };
      child.on('message', (message: Message) => {
        if ('tests' in message) monitor.begun(name, message.tests);
        if ('result' in message) monitor.result(name, message.result);
        if ('judgement' in message) end(message);
      });
      child.on('close', (code, signal) => {
        this.child = null;
        const ended = `${name}: the process ended with ${signal ?? `status ${code}`}`;
        end({ judgement: { ...NO_JUDGEMENT, errors: [ended] }, output: '' });
      });
      child.send(name);
    });
  }

  end(): void {
    if (this.child?.connected === true) this.child.disconnect();
  }
}

/**
 * Runs the configurations in workers, which are `program` with --worker, and returns what each came to in the order given. `tests` are those of the suite, for the estimate of the time that is left.
 */
export async function run_configurations(
  program: URL,
  names: readonly string[],
  tests: readonly string[],
  { quiet, patches }: { quiet: boolean; patches: readonly PatchId[] },
): Promise<(readonly [string, Done])[]> {
  const monitor = new Monitor(quiet, names.length, tests);
  const found: (readonly [string, Done])[] = [];
  const states = patches.length > 0 ? [`--patches=${patches.join(',')}`] : [];
  // The last ones, without huge pages, take longest: first, so that no lane is left alone with one.
  let left = names.length;
  const lane = async (): Promise<void> => {
    const worker = new Lane(program, ['--worker', ...states], monitor);
    while (left > 0) {
      const at = --left;
      found[at] = [names[at], await worker.run(names[at])];
    }
    worker.end();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return found;
}
