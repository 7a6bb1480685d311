// SPDX-License-Identifier: GPL-2.0-only

import { audit } from '../../lib/audit.ts';
import { boot, type Machine, type MachineConfig } from '../../lib/boot.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { load_module, type ModuleParams } from '../../lib/kernel/module.ts';
import { Deadlock, RoundRobin, xorshift32, type Strategy, type task_struct } from '../../lib/kernel/sched.ts';
import { runProgram, type Libc } from '../libc.ts';
import {
  DfsChooser, FAIRNESS, PctChooser, RandomChooser, ReplayChooser, ScheduleMismatch, standard_choice,
  type Chooser, type Schedule, type Switch,
} from './schedule.ts';

/** One of the tasks that a case lets run against each other. */
export interface Racer {
  /** what it does, for reports */
  name: string;
  /** a thread of the case's process, or a process of its own (a fork of it) */
  kind: 'thread' | 'process';
  run: (c: Libc) => Gen<void>;
}

/** What a case works with. */
export interface CaseContext {
  /** Runs the tasks against each other, every interleaving possible, until all are done. Everything else in a case runs undisturbed. */
  together(racers: readonly Racer[]): Gen<void>;
  /** Ends the case with a failure unless `ok`. */
  check(ok: boolean, what: string): void;
}

/** A race to explore: two to four tasks on a small instance. */
export interface RaceCase {
  name: string;
  /** one sentence: what races with what */
  summary: string;
  config?: MachineConfig;
  /** parameters of test_hmm; null leaves it unloaded */
  params?: ModuleParams | null;
  run: (c: Libc, x: CaseContext) => Gen<void>;
}

export type FailureKind = 'assertion' | 'oops' | 'warning' | 'audit' | 'deadlock' | 'livelock' | 'stale TLB';

export interface Failure {
  kind: FailureKind;
  text: string;
}

/** What one schedule led to. */
export interface Run {
  failure: Failure | null;
  schedule: Schedule;
  /** choices made while the tasks ran against each other */
  steps: number;
  /** one line a step, if asked for */
  trace: string[];
  /** the kernel's log, for a failure */
  log: readonly string[];
}

class CheckFailed extends Error {}
class Livelock extends Error {}
class StaleAccess extends Error {}

export interface RunOptions {
  patches?: readonly string[];
  trace?: boolean;
  /** steps after which a run counts as a livelock */
  budget?: number;
}

const BUDGET = 50_000;

/** Asks a chooser while a case's tasks run against each other, and goes round robin otherwise. */
class Explorer implements Strategy {
  readonly random_u32: () => number;
  readonly switches: Switch[] = [];
  readonly trace: string[] = [];
  readonly numbers = new Map<number, number>();
  steps = 0;
  private readonly plain = new RoundRobin();
  private readonly chooser: Chooser;
  private readonly budget: number;
  private readonly tracing: boolean;
  private run = 0;
  machine: Machine | null = null;

  constructor(make: (e: Explorer) => Chooser, seed: number, o: RunOptions) {
    this.random_u32 = xorshift32(seed);
    this.budget = o.budget ?? BUDGET;
    this.tracing = o.trace === true;
    this.chooser = make(this);
  }

  number_of(t: task_struct): number {
    let n = this.numbers.get(t.pid);
    if (n === undefined) {
      n = this.numbers.size;
      this.numbers.set(t.pid, n);
    }
    return n;
  }

  next_task(runnable: readonly task_struct[], current: task_struct | null, is_yielding: boolean): task_struct {
    if (this.machine?.sched.explore !== true) return this.plain.next_task(runnable);
    const step = this.steps++;
    if (step >= this.budget) throw new Livelock(`no end after ${this.budget} steps`);
    const standard = standard_choice(runnable, current, is_yielding, this.run);
    const stays = current !== null && !is_yielding && this.run < FAIRNESS && runnable.includes(current) ? current : null;
    const t = runnable.length === 1 ? (runnable[0] as task_struct) : this.chooser.next({ step, runnable, standard, current: stays });
    if (t !== standard) this.switches.push({ step, from: this.number_of(standard), to: this.number_of(t) });
    this.run = t === current ? this.run + 1 : 0;
    return t;
  }

  note(last: task_struct | null, what: string): void {
    if (this.tracing && last !== null) this.trace.push(`${String(this.steps).padStart(5)}  task ${this.number_of(last)} (cpu ${last.cpu}) stops at ${what}`);
  }
}

function failure_of(m: Machine, checked: string | null, status: number): Failure | null {
  const oops = m.log.oopses[0];
  if (oops !== undefined) return { kind: 'oops', text: `${oops.bug} in ${oops.path.slice(0, 4).join(' <- ')}` };
  if (checked !== null) return { kind: 'assertion', text: checked };
  if (status !== 0) return { kind: 'assertion', text: `the program ended with wait status ${status}` };
  const warning = m.log.warnings[0];
  if (warning !== undefined) return { kind: 'warning', text: `WARNING in ${warning.fn}` };
  const found = audit(m);
  return found.length > 0 ? { kind: 'audit', text: found.slice(0, 4).join('; ') } : null;
}

/** Runs a case once on a machine of its own. */
export function run_case(c: RaceCase, seed: number, make: (e: { number_of(t: task_struct): number }) => Chooser, o: RunOptions = {}): Run {
  const e = new Explorer(make, seed, o);
  const m = boot({ mem: 256 * 1024 * 1024, seed, ...c.config, strategy: e, patches: o.patches ?? [] });
  e.machine = m;
  m.sched.spread = true;
  m.sched.on_step = (last, at) => {
    if (m.sched.explore) e.note(last, at?.what ?? 'its end');
  };
  m.on_stale_access = (text) => {
    throw new StaleAccess(text);
  };
  let checked: string | null = null;
  let failure: Failure | null = null;
  const done = (): Run => ({ failure, schedule: { seed, switches: e.switches }, steps: e.steps, trace: e.trace, log: m.log.lines });
  try {
    const status = runProgram(m, function* (libc) {
      if (c.params !== null) {
        const ret = yield* load_module(m, 'test_hmm', c.params ?? {});
        if (ret !== 0) throw new Error(`loading test_hmm failed with ${ret}`);
      }
      try {
        yield* c.run(libc, context(m, libc));
      } catch (err) {
        if (!(err instanceof CheckFailed)) throw err;
        checked = err.message;
      }
      return 0;
    });
    failure = failure_of(m, checked, status);
  } catch (err) {
    if (err instanceof CheckFailed) failure = m.log.oopses.length > 0 ? failure_of(m, err.message, 0) : { kind: 'assertion', text: err.message };
    else if (err instanceof Deadlock) failure = failure_of_deadlock(m, err);
    else if (err instanceof Livelock) failure = { kind: 'livelock', text: err.message };
    else if (err instanceof StaleAccess) failure = { kind: 'stale TLB', text: err.message };
    else throw err;
  }
  return done();
}

function failure_of_deadlock(m: Machine, err: Deadlock): Failure {
  const oops = m.log.oopses[0];
  if (oops !== undefined) return { kind: 'oops', text: `${oops.bug} in ${oops.path.slice(0, 4).join(' <- ')}` };
  return { kind: 'deadlock', text: err.waits.join('; ') };
}

function context(m: Machine, c: Libc): CaseContext {
  return {
    *together(racers) {
      const threads: number[] = [];
      const children: number[] = [];
      for (const r of racers) {
        const id = r.kind === 'thread' ? yield* c.pthread_create(r.run) : yield* c.fork(r.run);
        if (id < 0) throw new Error(`starting ${r.name} failed`);
        (r.kind === 'thread' ? threads : children).push(id);
      }
      m.sched.explore = true;
      for (const id of threads) yield* c.pthread_join(id);
      for (const pid of children) {
        const { status } = yield* c.waitpid(pid);
        if (status !== 0) throw new CheckFailed(`${racers.find((r) => r.kind === 'process')?.name}: ended with wait status ${status}`);
      }
      m.sched.explore = false;
    },
    check(ok, what) {
      if (!ok) throw new CheckFailed(what);
    },
  };
}

export type StrategyName = 'random' | 'pct' | 'dfs';

export interface ExploreOptions extends RunOptions {
  strategy: StrategyName;
  schedules: number;
  /** for dfs: preemptions; for pct: depth */
  bound: number;
  seed: number;
  progress?: (done: number) => void;
}

export interface Exploration {
  /** schedules that ran */
  schedules: number;
  /** the run that failed, or null */
  failed: Run | null;
  /** dfs: all schedules within the bound were tried */
  complete: boolean;
}

/** Runs a case under schedule after schedule until one fails or the budget is used up. */
export function explore(c: RaceCase, o: ExploreOptions): Exploration {
  const dfs = new DfsChooser(o.bound);
  let length = 100;
  for (let i = 0; i < o.schedules; i++) {
    const seed = o.strategy === 'dfs' ? o.seed : o.seed + i;
    const run = run_case(c, seed, () => {
      if (o.strategy === 'dfs') return dfs;
      return o.strategy === 'pct' ? new PctChooser(seed, o.bound, length) : new RandomChooser(seed);
    }, o);
    length = Math.max(length, run.steps);
    o.progress?.(i + 1);
    if (run.failure !== null) return { schedules: i + 1, failed: run, complete: false };
    if (o.strategy === 'dfs' && !dfs.next_run()) return { schedules: i + 1, failed: null, complete: true };
  }
  return { schedules: o.schedules, failed: null, complete: false };
}

/** Repeats a schedule exactly; throws ScheduleMismatch where it does not fit. */
export function replay(c: RaceCase, s: Schedule, o: RunOptions = {}): Run {
  let chooser: ReplayChooser | null = null;
  const run = run_case(c, s.seed, (e) => (chooser = new ReplayChooser(s.switches, (t) => e.number_of(t))), o);
  (chooser as ReplayChooser | null)?.finish();
  return run;
}

/** Drops switches one after another while the same kind of failure remains; answers the shortest run found. */
export function shrink(c: RaceCase, failed: Run, o: RunOptions = {}): Run {
  let best = failed;
  for (let again = true; again; ) {
    again = false;
    for (let size = Math.max(1, best.schedule.switches.length >> 1); size >= 1 && !again; size >>= 1) {
      for (let at = 0; at < best.schedule.switches.length; at += size) {
        const run = try_without(c, best, at, size, o);
        if (run?.failure?.kind === failed.failure?.kind && run !== null && run.schedule.switches.length < best.schedule.switches.length) {
          best = run;
          again = true;
          break;
        }
      }
    }
  }
  return best;
}

function try_without(c: RaceCase, run: Run, at: number, size: number, o: RunOptions): Run | null {
  const switches = run.schedule.switches.filter((_, i) => i < at || i >= at + size);
  try {
    return run_case(c, run.schedule.seed, (e) => new LooseChooser(switches, (t) => e.number_of(t)), o);
  } catch (err) {
    if (err instanceof ScheduleMismatch) return null;
    throw err;
  }
}

/** Takes what it can of a schedule: used while shrinking, where dropping a switch changes what follows. */
class LooseChooser implements Chooser {
  private readonly to: Map<number, number>;
  private readonly number_of: (t: task_struct) => number;
  constructor(switches: readonly Switch[], number_of: (t: task_struct) => number) {
    this.to = new Map(switches.map((w) => [w.step, w.to]));
    this.number_of = number_of;
  }
  next(c: { step: number; runnable: readonly task_struct[]; standard: task_struct }): task_struct {
    const to = this.to.get(c.step);
    return (to === undefined ? undefined : c.runnable.find((t) => this.number_of(t) === to)) ?? c.standard;
  }
}
