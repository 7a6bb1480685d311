// SPDX-License-Identifier: GPL-2.0-only

import { type task_struct, xorshift32 } from '../../lib/kernel/sched/core.ts';
import type { Switch } from './schedule.ts';

/** A task that runs this many steps in a row while others are runnable has to yield, so that waiting in a loop ends. */
export const FAIRNESS = 200;

/** What a chooser sees at one step. */
export interface Choice {
  step: number;
  /** Runnable tasks, never empty; without the task that just yielded, unless it is the only one. */
  runnable: readonly task_struct[];
  /** The task that the default policy runs. */
  standard: task_struct;
  /** The task that ran last, if it is runnable and did not yield. Choosing another one preempts it. */
  current: task_struct | null;
}

/** Chooses the next task at each step of a run. */
export interface Chooser {
  next(c: Choice): task_struct;
}

/** Classes of RandomChooser. In the last one a task is preempted once in 2^(RHYTHMS-1) steps. */
const RHYTHMS = 7;

/**
 * Chooses at random. The seed decides how often the running task is preempted, from every step to once in 64: some
 * races need many switches, others need one task to run far while another one stands still.
 */
export class RandomChooser implements Chooser {
  private readonly random: () => number;
  private readonly period: number;
  constructor(seed: number) {
    this.random = xorshift32(Math.imul(seed + 1, 2654435761));
    this.period = 1 << (seed % RHYTHMS);
  }
  next(c: Choice): task_struct {
    if (c.runnable.length === 1) return c.standard;
    if (c.current !== null && this.random() % this.period !== 0) return c.current;
    return c.runnable[this.random() % c.runnable.length];
  }
}

/**
 * Probabilistic concurrency testing: every task has a random priority and the highest one runs; at depth-1 random steps
 * of an expected length the running task drops to the lowest priority. Finds a bug of that depth among n tasks and k
 * steps with a probability of at least 1/(n * k^(depth-1)).
 */
export class PctChooser implements Chooser {
  private readonly random: () => number;
  private readonly priority = new Map<number, number>();
  private readonly changes = new Set<number>();
  private lowest = 0;
  constructor(seed: number, depth: number, length: number) {
    this.random = xorshift32(Math.imul(seed + 1, 2654435761));
    for (let i = 1; i < depth; i++) this.changes.add(this.random() % Math.max(1, length));
  }
  private best(c: Choice): task_struct {
    const rank = (t: task_struct): number => this.priority.get(t.pid) as number;
    return c.runnable.reduce((a, b) => (rank(b) > rank(a) ? b : a));
  }
  next(c: Choice): task_struct {
    for (const t of c.runnable) if (!this.priority.has(t.pid)) this.priority.set(t.pid, 1 + this.random());
    if (!this.changes.has(c.step)) return this.best(c);
    this.priority.set(this.best(c).pid, --this.lowest);
    return this.best(c);
  }
}

/** One branch point of the depth-first search. */
interface Branch {
  step: number;
  /** Pids; the first one is the default policy's choice. */
  options: number[];
  at: number;
}

/** Depth-first search over all schedules with at most `bound` preemptions, one schedule per next_run(). */
export class DfsChooser implements Chooser {
  private readonly bound: number;
  private readonly stack: Branch[] = [];
  private depth = 0;
  private used = 0;
  constructor(bound: number) {
    this.bound = bound;
  }

  /** Prepares the next schedule. Returns false if all have run. */
  next_run(): boolean {
    this.depth = 0;
    this.used = 0;
    while (this.stack.length > 0) {
      const top = this.stack[this.stack.length - 1];
      if (++top.at < top.options.length) return true;
      this.stack.pop();
    }
    return false;
  }

  next(c: Choice): task_struct {
    if (c.runnable.length === 1) return c.standard;
    if (c.current !== null && this.used >= this.bound) return c.standard;
    let b = this.stack[this.depth];
    if (b === undefined) {
      b = {
        step: c.step,
        options: [c.standard.pid, ...c.runnable.filter((t) => t !== c.standard).map((t) => t.pid)],
        at: 0,
      };
      this.stack.push(b);
    }
    this.depth++;
    const pid = b.options[b.at];
    if (b.at > 0 && c.current !== null) this.used++;
    const t = c.runnable.find((x) => x.pid === pid);
    if (t === undefined || b.step !== c.step)
      throw new Error(
        `step ${c.step}: the same choices led elsewhere than before (step ${b.step}, task ${pid}): the run is not deterministic`,
      );
    return t;
  }
}

/** Thrown if a recorded schedule does not fit the run. */
export class ScheduleMismatch extends Error {
  override readonly name = 'ScheduleMismatch';
}

/** Follows a recorded schedule exactly. */
export class ReplayChooser implements Chooser {
  private readonly switches: readonly Switch[];
  private readonly number_of: (t: task_struct) => number;
  private at = 0;
  constructor(switches: readonly Switch[], number_of: (t: task_struct) => number) {
    this.switches = switches;
    this.number_of = number_of;
  }
  next(c: Choice): task_struct {
    const w = this.switches[this.at];
    if (w === undefined || w.step !== c.step) return c.standard;
    this.at++;
    const is = this.number_of(c.standard);
    if (is !== w.from)
      throw new ScheduleMismatch(
        `step ${c.step}: task ${is} would run, the schedule was made where task ${w.from} would`,
      );
    const to = c.runnable.find((t) => this.number_of(t) === w.to);
    if (to === undefined) {
      const can = c.runnable
        .map((t) => this.number_of(t))
        .sort((a, b) => a - b)
        .join(', ');
      throw new ScheduleMismatch(
        `step ${c.step}: the schedule switches to task ${w.to}, which cannot run here; task ${can} can`,
      );
    }
    return to;
  }
  /** Throws unless every switch was used; `steps` is the length of the run. */
  finish(steps: number): void {
    const w = this.switches[this.at];
    if (w !== undefined)
      throw new ScheduleMismatch(`step ${steps}: the run ends here, the schedule has a switch at step ${w.step}`);
  }
}

/** Follows a recorded schedule as far as it fits: a switch that cannot be made is left out and noted. */
export class LooseChooser implements Chooser {
  private readonly left: Map<number, Switch>;
  private readonly number_of: (t: task_struct) => number;
  private readonly misfits: string[] = [];
  constructor(switches: readonly Switch[], number_of: (t: task_struct) => number) {
    this.left = new Map(switches.map((w) => [w.step, w]));
    this.number_of = number_of;
  }
  next(c: Choice): task_struct {
    const w = this.left.get(c.step);
    if (w === undefined) return c.standard;
    this.left.delete(c.step);
    const to = c.runnable.find((t) => this.number_of(t) === w.to);
    if (to !== undefined) return to;
    this.misfits.push(`step ${c.step}: task ${w.to} cannot run here, ${this.number_of(c.standard)} goes on`);
    return c.standard;
  }
  /** Returns what did not fit in a run of so many steps. */
  finish(steps: number): string[] {
    const late = [...this.left.values()].map((w) => `step ${w.step}: the run ended at step ${steps}`);
    return [...this.misfits, ...late];
  }
}

/** A stretch of a run: the task runs for this many of its own steps, or until it blocks. */
export interface Block {
  task: number;
  steps: number;
}

/**
 * Follows stretches as far as possible: a stretch ends early if its task blocks, and after the last one the default
 * policy applies. Used for shrinking, where removing a switch moves everything after it.
 */
export class BlockChooser implements Chooser {
  private readonly blocks: readonly Block[];
  private readonly number_of: (t: task_struct) => number;
  private at = 0;
  private left: number;
  constructor(blocks: readonly Block[], number_of: (t: task_struct) => number) {
    this.blocks = blocks;
    this.number_of = number_of;
    this.left = blocks[0]?.steps ?? 0;
  }
  next(c: Choice): task_struct {
    for (let b = this.blocks[this.at]; b !== undefined; b = this.blocks[this.at]) {
      const { task } = b;
      const t = this.left > 0 ? c.runnable.find((x) => this.number_of(x) === task) : undefined;
      if (t !== undefined) {
        this.left--;
        return t;
      }
      this.left = this.blocks[++this.at]?.steps ?? 0;
    }
    return c.standard;
  }
}
