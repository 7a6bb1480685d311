// SPDX-License-Identifier: GPL-2.0-only

import type { task_struct } from '../../lib/kernel/sched.ts';
import { xorshift32 } from '../../lib/kernel/sched.ts';

/** One departure from the default policy: at this step the task `to` runs, where `from` would have run. */
export interface Switch {
  step: number;
  from: number;
  to: number;
}

/** Everything that decides a run: the switches, and the seed of the machine's random numbers. */
export interface Schedule {
  seed: number;
  switches: Switch[];
}

const VERSION = 'hmm1';

/** `hmm1:SEED:STEP.FROM>TO,...`, tasks by the order in which the case starts them; steps count from the case's start. */
export function format_schedule(s: Schedule): string {
  return `${VERSION}:${s.seed}:${s.switches.map((w) => `${w.step}.${w.from}>${w.to}`).join(',')}`;
}

/** Reads what format_schedule() wrote; throws RangeError that says what is wrong with anything else. */
export function parse_schedule(text: string): Schedule {
  const hit = /^([a-z]+\d+):(\d+):(.*)$/.exec(text);
  if (hit === null) throw new RangeError(`schedule ${JSON.stringify(text)}: expected ${VERSION}:SEED:STEP.FROM>TO,...`);
  if (hit[1] !== VERSION) throw new RangeError(`schedule ${JSON.stringify(text)}: is of version ${hit[1]}, this program reads ${VERSION}`);
  const switches = (hit[3] as string).split(',').filter((w) => w !== '').map((w): Switch => {
    const part = /^(\d+)\.(\d+)>(\d+)$/.exec(w);
    if (part === null) throw new RangeError(`schedule ${JSON.stringify(text)}: ${JSON.stringify(w)} is not STEP.FROM>TO`);
    return { step: Number(part[1]), from: Number(part[2]), to: Number(part[3]) };
  });
  for (let i = 1; i < switches.length; i++) {
    if ((switches[i] as Switch).step <= (switches[i - 1] as Switch).step) throw new RangeError(`schedule ${JSON.stringify(text)}: step ${(switches[i] as Switch).step} is out of order`);
  }
  return { seed: Number(hit[2]), switches };
}

/** Tasks that run this many steps in a row while others could are made to step back, so that waiting by retrying ends. */
export const FAIRNESS = 200;

/** What a chooser sees at one step. */
export interface Choice {
  step: number;
  runnable: readonly task_struct[];
  /** what the default policy takes */
  standard: task_struct;
  /** the task that ran last, if it is runnable and did not step back: taking another one preempts it */
  current: task_struct | null;
}

/** Picks the next task at each step of a run. */
export interface Chooser {
  next(c: Choice): task_struct;
}

/** The default policy: go on with the task that runs; else, or once it had its share, the one that waits longest. */
export function standard_choice(runnable: readonly task_struct[], current: task_struct | null, is_yielding: boolean, run: number): task_struct {
  const stays = current !== null && runnable.includes(current) && !is_yielding && run < FAIRNESS;
  if (stays) return current;
  return runnable.find((t) => t !== current) ?? (runnable[0] as task_struct);
}

/** Every choice at random. */
export class RandomChooser implements Chooser {
  private readonly random: () => number;
  constructor(seed: number) {
    this.random = xorshift32(seed * 2654435761);
  }
  next(c: Choice): task_struct {
    return c.runnable[this.random() % c.runnable.length] as task_struct;
  }
}

/**
 * Probabilistic concurrency testing: every task has a random priority, the highest runs; at depth-1 random steps of an
 * expected length the running task falls to the lowest. Finds a bug of that depth with probability 1/(n * k^(depth-1)).
 */
export class PctChooser implements Chooser {
  private readonly random: () => number;
  private readonly priority = new Map<number, number>();
  private readonly changes = new Set<number>();
  private lowest = 0;
  constructor(seed: number, depth: number, length: number) {
    this.random = xorshift32(seed * 2654435761);
    for (let i = 1; i < depth; i++) this.changes.add(this.random() % Math.max(1, length));
  }
  next(c: Choice): task_struct {
    for (const t of c.runnable) if (!this.priority.has(t.pid)) this.priority.set(t.pid, 1 + this.random());
    const rank = (t: task_struct): number => this.priority.get(t.pid) as number;
    // A task that stepped back or had its share falls behind, else a spinning task of high priority never ends.
    const stepped_back = c.current === null ? c.runnable.filter((t) => t !== c.standard) : [];
    if (stepped_back.length > 0) for (const t of stepped_back) if (rank(t) > rank(c.standard)) this.priority.set(t.pid, --this.lowest);
    const best = c.runnable.reduce((a, b) => (rank(b) > rank(a) ? b : a));
    if (!this.changes.has(c.step)) return best;
    this.priority.set(best.pid, --this.lowest);
    return c.runnable.reduce((a, b) => (rank(b) > rank(a) ? b : a));
  }
}

/** One branching of the depth-first search. */
interface Branch {
  step: number;
  options: number[];
  at: number;
  preemptions: number;
}

/** Depth-first search over all schedules with at most `bound` preemptions; each next_run() is one schedule more. */
export class DfsChooser implements Chooser {
  private readonly bound: number;
  private readonly stack: Branch[] = [];
  private depth = 0;
  private used = 0;
  done = false;
  constructor(bound: number) {
    this.bound = bound;
  }

  /** Prepares the next schedule; false when all are done. */
  next_run(): boolean {
    this.depth = 0;
    this.used = 0;
    while (this.stack.length > 0) {
      const top = this.stack[this.stack.length - 1] as Branch;
      if (++top.at < top.options.length) return true;
      this.stack.pop();
    }
    this.done = true;
    return false;
  }

  next(c: Choice): task_struct {
    if (c.runnable.length === 1) return c.runnable[0] as task_struct;
    let b = this.stack[this.depth];
    if (b === undefined) {
      const others = c.runnable.filter((t) => t !== c.standard);
      const costs = c.current !== null ? 1 : 0;
      const allowed = this.used + costs <= this.bound ? others : [];
      b = { step: c.step, options: [c.standard.pid, ...allowed.map((t) => t.pid)], at: 0, preemptions: this.used };
      this.stack.push(b);
    }
    this.depth++;
    const pid = b.options[b.at] as number;
    if (b.at > 0 && c.current !== null) this.used++;
    const t = c.runnable.find((x) => x.pid === pid);
    if (t === undefined) throw new Error(`step ${c.step}: task ${pid} is not runnable any more: the run is not deterministic`);
    return t;
  }
}

/** A recorded schedule does not fit the run. */
export class ScheduleMismatch extends Error {}

/** Follows a recorded schedule to the letter. */
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
    if (is !== w.from) throw new ScheduleMismatch(`step ${c.step}: task ${is} would run, the schedule was made where task ${w.from} would`);
    const to = c.runnable.find((t) => this.number_of(t) === w.to);
    if (to === undefined) throw new ScheduleMismatch(`step ${c.step}: the schedule switches to task ${w.to}, which cannot run here`);
    return to;
  }
  /** Throws unless every switch was used. */
  finish(): void {
    const w = this.switches[this.at];
    if (w !== undefined) throw new ScheduleMismatch(`step ${w.step}: the schedule has a switch there, the run was over before`);
  }
}
