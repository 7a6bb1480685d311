// SPDX-License-Identifier: GPL-2.0-only

import { audit } from '../../lib/audit.ts';
import type { Machine, MachineConfig } from '../../lib/machine.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { load_module, type ModuleParams } from '../../lib/kernel/module.ts';
import { Oops } from '../../lib/kernel/printk.ts';
import {
  Deadlock,
  RoundRobin,
  type Strategy,
  type task_struct,
  type WaitPoint,
  xorshift32,
} from '../../lib/kernel/sched/core.ts';
import type { PatchId } from '../../lib/patches/index.ts';
import { Unmodelled } from '../../lib/unmodelled.ts';
import { type Libc, runProgram } from '../../lib/user/libc.ts';
import { run_child } from '../run/child.ts';
import { type Block, type Chooser, FAIRNESS, LooseChooser, ReplayChooser, ScheduleMismatch } from './choosers.ts';
import type { Schedule, Switch } from './schedule.ts';
import { Stage } from './stage.ts';

/** One of the tasks that a case runs against each other. */
export interface Racer {
  /** What it does, for reports. */
  name: string;
  /** A thread of the case's process, or a forked process. */
  kind: 'thread' | 'process';
  run: (c: Libc) => Gen<void>;
}

/** Interface of a case to the machine. */
export interface CaseContext {
  /**
   * Runs the tasks against each other in the schedule to explore, until all are done. The rest of a case runs
   * undisturbed.
   */
  together(racers: readonly Racer[]): Gen<void>;
  /** Loads a kernel module. Returns the result of its init function: 0 or a negative errno. */
  modprobe(name: string, params?: ModuleParams): Gen<number>;
  /**
   * Runs a C program, by its source or static, until it ends, which must be with status 0. The case has `compiled`.
   */
  program(file: string): Gen<void>;
  /** Ends the case with a failure unless `ok`. */
  check(ok: boolean, what: string): void;
}

/** A race to explore: two to four tasks on a small instance. */
export interface RaceCase {
  name: string;
  /** One sentence: what races with what. */
  summary: string;
  config?: MachineConfig;
  /** runs compiled programs */
  compiled?: boolean;
  /** Parameters of test_hmm; null leaves it unloaded. */
  params?: ModuleParams | null;
  /** A program that runs on the machine first, for slow preparations that do not matter to the race. */
  warm?: (c: Libc) => Gen<void>;
  /** Steps after which a run counts as a livelock, for a case whose runs are short; 20,000 by default. */
  budget?: number;
  run: (c: Libc, x: CaseContext) => Gen<void>;
}

export type FailureKind =
  | 'assertion'
  | 'oops'
  | 'warning'
  | 'audit'
  | 'deadlock'
  | 'livelock'
  | 'stale TLB'
  | 'not modelled'
  | 'crash';

interface Failure {
  kind: FailureKind;
  text: string;
}

/** The result of one schedule. */
export interface Run {
  failure: Failure | null;
  /** Includes the end of the schedule only if the run was traced. */
  schedule: Schedule;
  /** Choices made while the tasks ran against each other. */
  steps: number;
  /** The run as stretches of one task each. */
  blocks: readonly Block[];
  /** One line per step, if requested. */
  trace: readonly string[];
  /** The kernel log. */
  log: readonly string[];
}

class CheckFailed extends Error {}
class Livelock extends Error {}
class StaleAccess extends Error {}

export interface RunOptions {
  patches?: readonly PatchId[];
  /** Keeps a line for every step and hashes them into the schedule. */
  trace?: boolean;
  /** Steps after which a run counts as a livelock; the case's own by default. */
  budget?: number;
  /** Is given the machine of a run before anything runs on it, where the run has one of its own. */
  on_boot?: (m: Machine) => void;
}

const BUDGET = 20_000;
/**
 * Number of steps before the end of its budget from which on a run records where its tasks stop, to show the loop of a
 * livelock.
 */
const LOOP = 500;

/** What a chooser may ask the explorer. */
export interface Numbering {
  /** 0 is the case's first process; the racing tasks are 1, 2 and so on, followed by all others. */
  number_of(t: task_struct): number;
}

/** Asks a chooser while the tasks of a case race, and runs round robin otherwise. */
class Explorer implements Strategy, Numbering {
  readonly random_u32: () => number;
  readonly switches: Switch[] = [];
  readonly blocks: Block[] = [];
  readonly trace: string[] = [];
  private readonly names = new Map<number, string>();
  readonly loop = new Map<string, number>();
  readonly budget: number;
  readonly tracing: boolean;
  steps = 0;
  hash = 0x811c9dc5;
  private readonly plain = new RoundRobin();
  private readonly chooser: Chooser;
  private readonly m: Machine;
  private readonly numbers = new Map<number, number>();
  private run = 0;

  constructor(m: Machine, make: (e: Numbering) => Chooser, seed: number, o: RunOptions & { budget: number }) {
    this.m = m;
    this.random_u32 = xorshift32(seed);
    this.budget = o.budget;
    this.tracing = o.trace === true;
    this.chooser = make(this);
    this.take_part(m.next_pid, 'case');
  }

  number_of(t: task_struct): number {
    return this.numbers.get(t.pid) ?? this.next_number(t.pid);
  }

  private next_number(pid: number): number {
    this.numbers.set(pid, this.numbers.size);
    return this.numbers.size - 1;
  }

  /** Gives a task its name and the next number. */
  take_part(pid: number, name: string): void {
    this.next_number(pid);
    this.names.set(pid, name);
  }

  name_of(t: task_struct): string {
    return `task ${this.number_of(t)} (${this.names.get(t.pid) ?? t.comm})`;
  }

  next_task(runnable: readonly task_struct[], current: task_struct | null, is_yielding: boolean): task_struct {
    if (!this.m.sched.explore) return this.plain.next_task(runnable);
    const step = this.steps++;
    if (step >= this.budget)
      throw new Livelock(`no end after ${this.budget} steps; the last ones were ${this.describe_loop()}`);
    const can_stay = current !== null && runnable.includes(current);
    const steps_back = can_stay && runnable.length > 1 && (is_yielding || this.run >= FAIRNESS);
    const options = steps_back ? runnable.filter((t) => t !== current) : runnable;
    const stays = can_stay && !steps_back ? current : null;
    const standard = stays ?? options[0];
    const t = this.chooser.next({ step, runnable: options, standard, current: stays });
    if (t !== standard) this.switches.push({ step, from: this.number_of(standard), to: this.number_of(t) });
    const block = this.blocks[this.blocks.length - 1];
    if (t === current && block !== undefined) {
      this.run++;
      block.steps++;
    } else {
      this.run = 0;
      this.blocks.push({ task: this.number_of(t), steps: 1 });
    }
    return t;
  }

  note(last: task_struct | null, at: WaitPoint | null): void {
    if (last === null || !this.m.sched.explore) return;
    if (this.tracing) {
      const line = `${this.name_of(last)} on CPU ${last.cpu} ${stop_text(last, at)}`;
      for (let i = 0; i < line.length; i++) this.hash = Math.imul(this.hash ^ line.charCodeAt(i), 16777619) >>> 0;
      this.trace.push(`${String(this.steps - 1).padStart(5)}  ${line}`);
    }
    if (this.steps > this.budget - LOOP) {
      const key = `${this.name_of(last)} ${stop_text(last, at)}`;
      this.loop.set(key, (this.loop.get(key) ?? 0) + 1);
    }
  }

  private describe_loop(): string {
    const most = [...this.loop].sort((a, b) => b[1] - a[1]).slice(0, 6);
    return most.map(([what, n]) => `${what} (${n} times)`).join(', ');
  }
}

function stop_text(last: task_struct, at: WaitPoint | null): string {
  if (at === null) return 'ends';
  if (last.blocked_on !== null) return `sleeps on ${at.what}`;
  return `${last.spins_on !== null ? 'spins on' : 'stops before'} ${at.what}`;
}

function oops_of(m: Machine): Failure | null {
  const oops = m.log.oopses[0];
  if (oops === undefined) return null;
  return {
    kind: 'oops',
    text: `${oops.bug}${oops.path.length > 0 ? ` in ${oops.path.slice(0, 4).join(' <- ')}` : ''}`,
  };
}

function failure_of(m: Machine, checked: string | null, status: number): Failure | null {
  const oops = oops_of(m);
  if (oops !== null) return oops;
  if (checked !== null) return { kind: 'assertion', text: checked };
  const warning = m.log.warnings[0];
  if (warning !== undefined)
    return { kind: 'warning', text: `WARNING in ${warning.path.slice(0, 4).join(' <- ') || warning.fn}` };
  if (status !== 0) return { kind: 'assertion', text: `the case ended with wait status ${status}` };
  const found = audit(m);
  for (const mm of m.mms)
    found.push(`mm ${mm.mm_id}: is left behind with ${mm.mm_users} users and a count of ${mm.mm_count}`);
  return found.length > 0 ? { kind: 'audit', text: found.slice(0, 4).join('; ') } : null;
}

/** Describes who waits for what, who holds it, and what the waiters hold. */
function deadlock_text(m: Machine, e: Explorer): string {
  const lines = m.sched.tasks.map((t) => {
    const on = t.blocked_on ?? t.spins_on;
    const others = m.sched.tasks.filter((x) => x !== t && on !== null && x.held_locks.includes(on));
    const owner = on?.owner && on.owner !== t && !others.includes(on.owner) ? [on.owner, ...others] : others;
    const held = owner.length > 0 ? ` held by ${owner.map((x) => e.name_of(x)).join(' and ')}` : '';
    const own = t.held_locks.length > 0 ? ` and holds ${t.held_locks.map((l) => l.what).join(', ')}` : '';
    return `${e.name_of(t)} waits for ${on?.what ?? 'nothing'}${held}${own}`;
  });
  return lines.join('; ');
}

function failure_of_error(m: Machine, e: Explorer, err: unknown): Failure {
  if (err instanceof ScheduleMismatch) throw err;
  // Everything after an oops is its consequence.
  const oops = oops_of(m);
  if (oops !== null) return oops;
  if (err instanceof CheckFailed) return { kind: 'assertion', text: err.message };
  if (err instanceof Deadlock) return { kind: 'deadlock', text: deadlock_text(m, e) };
  if (err instanceof Livelock) return { kind: 'livelock', text: err.message };
  if (err instanceof StaleAccess) return { kind: 'stale TLB', text: `${e.name_of(m.current)}: ${err.message}` };
  if (err instanceof Unmodelled) return { kind: 'not modelled', text: err.message };
  if (err instanceof Oops) return { kind: 'oops', text: err.bug };
  if (err instanceof Error)
    return { kind: 'crash', text: `${err.message}\n${(err.stack ?? '').split('\n').slice(1, 8).join('\n')}` };
  throw err;
}

/** Runs a case once on the stage, after restoring its initial state. */
export function run_on(
  stage: Stage,
  c: RaceCase,
  seed: number,
  make: (e: Numbering) => Chooser,
  o: RunOptions = {},
): Run {
  const m = stage.reset();
  const e = new Explorer(m, make, seed, { ...o, budget: o.budget ?? c.budget ?? BUDGET });
  m.sched.strategy = e;
  m.sched.on_step = (last, at) => e.note(last, at);
  m.on_stale_access = (text) => {
    throw new StaleAccess(text);
  };
  let checked: string | null = null;
  let failure: Failure | null;
  try {
    const status = runProgram(m, function* (libc) {
      try {
        yield* c.run(libc, context(m, libc, e));
      } catch (err) {
        if (!(err instanceof CheckFailed)) throw err;
        checked = err.message;
        m.sched.explore = false;
      }
      return 0;
    });
    m.sched.explore = false;
    m.sched.run(() => m.sched.tasks.length === 0);
    failure = failure_of(m, checked, status);
  } catch (err) {
    failure = failure_of_error(m, e, err);
  }
  const end = e.tracing ? { end: { steps: e.steps, hash: e.hash } } : {};
  return {
    failure,
    schedule: { seed, switches: e.switches, ...end },
    steps: e.steps,
    blocks: e.blocks,
    trace: e.trace,
    log: m.log.lines.slice(),
  };
}

function context(m: Machine, c: Libc, e: Explorer): CaseContext {
  return {
    *together(racers) {
      const threads: number[] = [];
      const children = new Map<number, string>();
      for (const r of racers) {
        const id = r.kind === 'thread' ? yield* c.pthread_create(r.run) : yield* c.fork(r.run);
        if (id < 0) throw new Error(`starting ${r.name} failed`);
        e.take_part(id, r.name);
        if (r.kind === 'thread') threads.push(id);
        else children.set(id, r.name);
      }
      m.sched.explore = true;
      for (const id of threads) yield* c.pthread_join(id);
      for (const [pid, name] of children) {
        const { status } = yield* c.waitpid(pid);
        if (status !== 0) throw new CheckFailed(`${name}: ended with wait status ${status}`);
      }
      m.sched.explore = false;
    },
    *program(file) {
      yield* load_module(m, 'race_driver');
      const { status, output } = yield* run_child(m, c, file);
      m.sched.explore = false;
      if (status !== 0) throw new CheckFailed(output.trimEnd() || `the program ended with wait status ${status}`);
    },
    modprobe: (name, params) => load_module(m, name, params),
    check(ok, what) {
      if (!ok) throw new CheckFailed(what);
    },
  };
}

/** Runs a case once on a new machine. */
export function run_case(c: RaceCase, seed: number, make: (e: Numbering) => Chooser, o: RunOptions = {}): Run {
  const stage = new Stage(c, o.patches ?? [], o.on_boot);
  try {
    return run_on(stage, c, seed, make, o);
  } finally {
    stage.release();
  }
}

/**
 * Follows a schedule on a new machine as far as it fits. `misfits` has one line for each switch that could not be made,
 * or one if every switch fits and the run went another way all the same.
 */
export function replay_loosely(c: RaceCase, s: Schedule, o: RunOptions = {}): { run: Run; misfits: string[] } {
  let chooser: LooseChooser | null = null;
  const make = (e: Numbering): Chooser => (chooser = new LooseChooser(s.switches, (t) => e.number_of(t)));
  const run = run_case(c, s.seed, make, { ...o, trace: true });
  const misfits = (chooser as LooseChooser | null)?.finish(run.steps) ?? [];
  const end = run.schedule.end;
  if (misfits.length === 0 && s.end !== undefined && end !== undefined && end.hash !== s.end.hash)
    misfits.push(`every switch fits, but the run went another way: ${end.steps} steps instead of ${s.end.steps}`);
  return { run, misfits };
}

/** Repeats a schedule exactly on a new machine. Throws ScheduleMismatch with the first step that differs. */
export function replay(c: RaceCase, s: Schedule, o: RunOptions = {}): Run {
  let chooser: ReplayChooser | null = null;
  const make = (e: Numbering): Chooser => (chooser = new ReplayChooser(s.switches, (t) => e.number_of(t)));
  const run = run_case(c, s.seed, make, { ...o, trace: true });
  (chooser as ReplayChooser | null)?.finish(run.steps);
  const end = run.schedule.end;
  if (s.end !== undefined && end !== undefined && (end.steps !== s.end.steps || end.hash !== s.end.hash)) {
    const last = s.switches[s.switches.length - 1]?.step ?? 0;
    throw new ScheduleMismatch(
      `every switch fits, but after step ${last} the run went another way: it took ${end.steps} steps (hash ${end.hash.toString(16)}), ` +
        `the schedule was made with ${s.end.steps} (${s.end.hash.toString(16)})`,
    );
  }
  return run;
}
