// SPDX-License-Identifier: GPL-2.0-only

import type { ChildProcess } from 'node:child_process';
import { availableParallelism } from 'node:os';
import type { MachineOptions } from '../cli/options.ts';
import { UsageError } from '../cli/usage_error.ts';
import { start_worker } from '../cli/workers.ts';
import { NO_RUN } from '../ktap/ktap.ts';
import type { ModelRun } from './model.ts';

/** Tests to run on one machine. */
export interface Job {
  /** in the suite's order */
  tests: readonly string[];
  machine: MachineOptions;
  /** the test whose steps are wanted */
  steps_of?: string;
}

/** What a worker says: it begins with a job, a result has come, all is done, or the machine cannot be. */
export type Answer = { begun: true } | { result: string } | { done: ModelRun } | { mistake: string };

interface Waiting {
  job: Job;
  seconds: number;
  on_result: (name: string) => void;
  resolve: (run: ModelRun) => void;
  reject: (mistake: UsageError) => void;
}

/** More processes would only hold more memory. */
const MOST = 4;
/** A machine that gives no result for so long is in a loop that its own clock does not see: seconds. */
const STUCK_SECONDS = 120;

/** Runs tests on machines of the model. */
export interface Runner {
  /**
   * The model's run of a job. `seconds` is how long one test may take in real time: a run that takes longer is
   * stopped, and has no result for the test that it was in. Rejects with UsageError for a machine that cannot be.
   */
  run(job: Job, seconds?: number, on_result?: (name: string) => void): Promise<ModelRun>;
}

/**
 * As Runner.run(); a run that was stopped is repeated without the test that it was in and those behind it, so that it has
 * the results before that test.
 */
export async function run_to_its_end(runner: Runner, job: Job, seconds?: number): Promise<ModelRun> {
  const whole = await runner.run(job, seconds);
  const { unfinished } = whole.run;
  const before = job.tests.slice(0, job.tests.indexOf(unfinished[0]));
  if (!whole.stuck || before.length === 0) return whole;
  const part = await runner.run({ ...job, tests: before }, seconds);
  return { ...part, run: { ...part.run, unfinished }, stuck: true };
}

/** Processes that run tests on machines, each job on the first one that is free. */
export class Pool implements Runner {
  private readonly idle: ChildProcess[] = [];
  private readonly busy = new Set<ChildProcess>();
  private readonly queue: Waiting[] = [];
  private readonly program: URL;
  private readonly argv: readonly string[];
  private readonly size: number;

  /** `program` with `argv` is a process that calls serve(). */
  constructor(program: URL, argv: readonly string[], size = Math.min(MOST, availableParallelism())) {
    this.program = program;
    this.argv = argv;
    this.size = size;
  }

  run(job: Job, seconds = STUCK_SECONDS, on_result: (name: string) => void = () => {}): Promise<ModelRun> {
    return new Promise((resolve, reject) => {
      this.queue.push({ job, seconds, on_result, resolve, reject });
      this.next();
    });
  }

  /** Ends all processes, and with them what they run. */
  close(): void {
    this.queue.length = 0;
    for (const child of [...this.idle, ...this.busy]) child.kill('SIGKILL');
  }

  private next(): void {
    if (this.queue.length === 0 || (this.idle.length === 0 && this.busy.size >= this.size)) return;
    const waiting = this.queue.shift() as Waiting;
    const child = this.idle.pop() ?? this.started();
    this.busy.add(child);
    void this.run_in(child, waiting).then(({ run, alive }) => {
      this.busy.delete(child);
      if (alive) this.idle.push(child);
      waiting.resolve(run);
      this.next();
    });
  }

  /** A new process; one that dies while it has nothing to do is forgotten. */
  private started(): ChildProcess {
    const child = start_worker(this.program, this.argv);
    child.once('exit', () => {
      const at = this.idle.indexOf(child);
      if (at >= 0) this.idle.splice(at, 1);
    });
    return child;
  }

  private run_in(child: ChildProcess, waiting: Waiting): Promise<{ run: ModelRun; alive: boolean }> {
    const { job, seconds, on_result } = waiting;
    return new Promise((resolve) => {
      const settle = (run: ModelRun, alive: boolean): void => {
        clearTimeout(timer);
        child.removeAllListeners('message');
        child.removeListener('exit', on_exit);
        resolve({ run, alive });
      };
      const done = new Set<string>();
      const lost = (why: string, stuck: boolean): ModelRun => {
        const unfinished = job.tests.filter((name) => !done.has(name)).slice(0, 1);
        return {
          run: { ...NO_RUN, unfinished },
          output: '',
          reports: [],
          errors: [`the model's run ${why}`],
          steps: [],
          stuck,
        };
      };
      const on_exit = (code: number | null, signal: string | null): void =>
        settle(lost(`ended with ${signal ?? `status ${code}`}`, false), false);
      const stop_after = (limit: number, stuck: boolean): NodeJS.Timeout =>
        setTimeout(() => {
          settle(lost(`gave no result for ${limit} s`, stuck), false);
          child.kill('SIGKILL');
        }, limit * 1000);
      // Until it begins, a process that was only just started loads its program.
      let timer = stop_after(STUCK_SECONDS, false);
      child.on('message', (answer: Answer) => {
        if ('mistake' in answer) {
          waiting.reject(new UsageError(answer.mistake));
          settle(lost(answer.mistake, false), true);
          return;
        }
        if ('done' in answer) {
          settle(answer.done, true);
          return;
        }
        clearTimeout(timer);
        timer = stop_after(seconds, true);
        if ('begun' in answer) return;
        done.add(answer.result);
        on_result(answer.result);
      });
      child.on('exit', on_exit);
      child.send(job);
    });
  }
}
