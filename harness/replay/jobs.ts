// SPDX-License-Identifier: GPL-2.0-only
// Runs many programs, several at a time in separate processes, and passes on their outcomes in the programs' order.

import type { ChildProcess } from 'node:child_process';
import type { PatchId } from '../../lib/patches/index.ts';
import { processor_seconds } from '../cli/processor_time.ts';
import { start_worker } from '../cli/workers.ts';
import { type Outcome, record_program, replay_program } from './compare.ts';
import type { Program } from './format.ts';

/** What to do with a program: compare it with its recording, or record it again. */
export type Task = { program: Program; patches?: readonly PatchId[] } & (
  | { mode: 'replay'; file: string }
  | { mode: 'record' }
);

export interface Done {
  outcome: Outcome;
  /** The new recording, in record mode. */
  recorded: Program | null;
  seconds: number;
}

/** Seconds of processor time for a program, where the slowest needs one; a longer one is in a loop without end. */
const PROGRAM_SECONDS = 30;

/** Does one task in this process. */
export function do_task(task: Task): Done {
  const since = performance.now();
  const { program } = task;
  let outcome: Outcome = { id: program.id, identical: true, report: '' };
  let recorded: Program | null = null;
  if (task.mode === 'replay') {
    outcome = replay_program(program, task.file, {}, task.patches);
  } else {
    try {
      recorded = record_program(program, task.patches);
    } catch (e) {
      outcome = {
        id: program.id,
        identical: false,
        report: `program ${program.id}: ${e instanceof Error ? e.message : String(e)}`,
      };
    }
  }
  return { outcome, recorded, seconds: (performance.now() - since) / 1000 };
}

/** A program whose process died or did not finish. */
function lost({ program }: Task, why: string, seconds: number): Done {
  const hangs = program.end !== undefined && 'hang' in program.end;
  return {
    outcome: { id: program.id, identical: hangs, report: hangs ? '' : `program ${program.id}: ${why}` },
    recorded: null,
    seconds,
  };
}

/**
 * Does all tasks, `jobs` at a time (1: in this process), and calls on_done for each in order. If on_done returns true,
 * nothing more is started or passed on.
 */
export async function do_tasks(
  tasks: readonly Task[],
  jobs: number,
  on_done: (done: Done, i: number) => boolean,
): Promise<void> {
  if (jobs <= 1) {
    for (let i = 0; i < tasks.length; i++) {
      if (on_done(do_task(tasks[i]), i)) return;
      // Lets output drain and signals arrive.
      await new Promise((resume) => setImmediate(resume));
    }
    return;
  }
  const finished = new Map<number, Done>();
  let next = 0;
  let handed_on = 0;
  let over = false;
  const hand_on = (): void => {
    for (let done = finished.get(handed_on); done !== undefined && !over; done = finished.get(handed_on)) {
      finished.delete(handed_on);
      over = on_done(done, handed_on++);
    }
  };
  const work = async (): Promise<void> => {
    let child: ChildProcess | null = null;
    while (!over && next < tasks.length) {
      const i = next++;
      child ??= start_worker(new URL('worker.ts', import.meta.url));
      const { done, alive } = await in_child(child, tasks[i]);
      if (!alive) child = null;
      finished.set(i, done);
      hand_on();
    }
    child?.disconnect();
  };
  await Promise.all(Array.from({ length: Math.min(jobs, tasks.length) }, work));
}

/** Does a task in a child process, which is gone afterwards if it died or had to be stopped. */
function in_child(child: ChildProcess, task: Task): Promise<{ done: Done; alive: boolean }> {
  return new Promise((resolve) => {
    const since = performance.now();
    const seconds = (): number => (performance.now() - since) / 1000;
    const settle = (done: Done, alive: boolean): void => {
      clearInterval(timer);
      child.removeAllListeners();
      resolve({ done, alive });
    };
    const used_before = processor_seconds(child.pid);
    const timer = setInterval(() => {
      if (processor_seconds(child.pid) - used_before < PROGRAM_SECONDS) return;
      settle(lost(task, `not done after ${PROGRAM_SECONDS} s of processor time`, seconds()), false);
      child.kill('SIGKILL');
    }, 1000);
    child.on('message', (done) => settle(done as Done, true));
    child.on('error', (e) => settle(lost(task, `its process failed: ${e.message}`, seconds()), false));
    child.on('exit', (code, signal) =>
      settle(lost(task, `its process ended with ${signal ?? `status ${code}`}`, seconds()), false),
    );
    child.send(task);
  });
}
