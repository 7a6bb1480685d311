// SPDX-License-Identifier: GPL-2.0-only
// Runs a program on a new machine. The first process is the driver: it forks process 0, tells the processes by eventfds
// which one does its next op, and sleeps in between. All others sleep too, so one op runs at a time.

import { boot } from '../../lib/boot.ts';
import type { Machine } from '../../lib/machine.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import type { Oops, Warning } from '../../lib/kernel/printk.ts';
import { Deadlock } from '../../lib/kernel/sched/core.ts';
import type { PatchId } from '../../lib/patches/index.ts';
import { Unmodelled } from '../../lib/unmodelled.ts';
import { SPM_DEFAULT } from '../cli/options.ts';
import { type Libc, runProgram } from '../../lib/user/libc.ts';
import { prepare } from '../kselftest/run.ts';
import { POLLIN } from '../../lib/user/uapi.ts';
import { type Config, MAX_PROCESSES, type Op, parse_op } from './format.ts';
import { Process } from './interpreter.ts';

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
/** Modelled time after which an op counts as stuck, in milliseconds. */
const HANG_MS = 600_000;
/** Offset of the eventfd counters in a process's page of structures. */
const COUNTER = 512;

/** The model's answer to one op. */
export interface Answer {
  body: string;
  warnings: readonly Warning[];
}

/** Why a program did not reach its end. */
export type Stop =
  | { kind: 'oops'; oops: Oops }
  | { kind: 'hang'; waits: string[] }
  /** The model has no answer: it lacks something or failed itself. */
  | { kind: 'unmodelled' | 'error'; text: string };

export interface RunHooks {
  /** Called with the machine before its first task runs. */
  on_boot?: (m: Machine) => void;
  /** Called after each answer; true ends the run there. */
  on_answer?: (m: Machine, i: number, answer: Answer, pids: ReadonlyMap<number, number>) => boolean;
  /** Called if op i stopped the program. */
  on_stop?: (m: Machine, i: number, stop: Stop, pids: ReadonlyMap<number, number>) => void;
  /** Ends every process after the last op, so that the machine can be audited for leaks; false by default. */
  tear_down?: boolean;
}

interface RunResult {
  machine: Machine;
  answers: Answer[];
  stop: Stop | null;
}

/** Configures a machine like that of the recordings, without the driver. */
function boot_recorded(config: Config, patches: readonly PatchId[] = [], seed = 1): Machine {
  const reserved = [{ start: SPM_DEFAULT[0], size: 512 * MIB }];
  return boot({ mem: 6 * GIB, thp: config.thp, reserved, nr_hugepages: 8, patches, seed });
}

/** Parses a program's ops; `where` is the position that a FormatError names. */
export function parse_ops(texts: readonly string[], where: string): Op[] {
  return texts.map((text, i) => parse_op(text, `${where}, op ${i + 1}`));
}

/** The communication between the driver and the processes. */
class Session {
  private readonly m: Machine;
  private readonly ops: readonly Op[];
  private readonly hooks: RunHooks;
  readonly answers: Answer[] = [];
  stop: Stop | null = null;
  /** Pid of each live process, by number. */
  readonly pids = new Map<number, number>();
  /** What the woken process has to do: an op, or 'exit' at the end of the run. */
  private order: Op | 'exit' = 'exit';
  private reply = '';
  /** An eventfd for each process to sleep on, and one through which they answer. */
  private readonly wake: number[] = [];
  private done = -1;
  /** Answers that arrived and are not yet consumed. */
  private answers_in = 0;
  private warned = 0;

  constructor(m: Machine, ops: readonly Op[], hooks: RunHooks) {
    this.m = m;
    this.ops = ops;
    this.hooks = hooks;
  }

  /** Number of the op that has no answer yet. */
  at(): number {
    return this.answers.length;
  }

  *driver(c: Libc): Gen<number> {
    for (let i = 0; i < MAX_PROCESSES; i++) this.wake.push(yield* c.eventfd(0, 0));
    this.done = yield* c.eventfd(0, 0);
    const word = yield* c.malloc(8);
    const pid = yield* c.fork((own) => this.first_process(own));
    if (pid < 0) throw new Error(`process 0 cannot be forked: errno ${c.errno}`);
    this.pids.set(0, pid);
    yield* this.answered(c, word, 1);
    this.warned = this.m.log.warnings.length;

    for (let i = 0; i < this.ops.length; i++) {
      if (!(yield* this.give(c, word, this.ops[i]))) return 0;
      const answer = { body: this.reply, warnings: this.m.log.warnings.slice(this.warned) };
      this.warned = this.m.log.warnings.length;
      this.answers.push(answer);
      if (this.hooks.on_answer?.(this.m, i, answer, this.pids) === true) break;
    }
    if (this.hooks.tear_down === true)
      for (const proc of [...this.pids.keys()].reverse()) yield* this.end(c, word, proc);
    return 0;
  }

  /** Executes one op. Returns false if the kernel did not survive it. */
  private *give(c: Libc, word: number, op: Op): Gen<boolean> {
    const { proc } = op;
    // A failed fork leaves out a process that the program expects.
    if (!this.pids.has(proc)) throw new Error(`op ${this.at() + 1}, "${op.text}": there is no process ${proc}`);
    this.order = op;
    this.reply = '0';
    let finished;
    if (op.name === 'exit') {
      finished = yield* this.end(c, word, proc);
    } else {
      yield* this.post(c, this.wake[proc], word);
      finished = yield* this.answered(c, word, 1);
      // A new process has to close what it inherited before anything else happens.
      if (finished && op.name === 'fork' && this.reply === '0') finished = yield* this.answered(c, word, 1);
    }
    const [oops] = this.m.log.oopses;
    if (oops !== undefined) this.halt({ kind: 'oops', oops });
    else if (!finished) this.halt({ kind: 'hang', waits: this.m.sched.describe_waits() });
    return this.stop === null;
  }

  /** Tells a process to exit and waits until it is gone. Returns false if it never is. */
  private *end(c: Libc, word: number, proc: number): Gen<boolean> {
    const pid = this.pids.get(proc) ?? 0;
    const pidfd = yield* c.pidfd_open(pid, 0);
    this.order = 'exit';
    yield* this.post(c, this.wake[proc], word);
    const gone = (yield* c.poll([{ fd: pidfd, events: POLLIN, revents: 0 }], HANG_MS)) > 0;
    yield* c.close(pidfd);
    if (proc === 0) yield* c.waitpid(pid);
    this.pids.delete(proc);
    return gone;
  }

  private halt(stop: Stop): void {
    this.stop = stop;
    this.hooks.on_stop?.(this.m, this.at(), stop, this.pids);
  }

  private *post(c: Libc, fd: number, word: number): Gen<void> {
    yield* c.store64(word, 1);
    yield* c.write(fd, word, 8);
  }

  /** Waits for `count` answers. Returns false if one does not arrive. */
  private *answered(c: Libc, word: number, count: number): Gen<boolean> {
    while (this.answers_in < count) {
      if ((yield* c.poll([{ fd: this.done, events: POLLIN, revents: 0 }], HANG_MS)) <= 0) return false;
      yield* c.read(this.done, word, 8);
      this.answers_in += yield* c.load64(word);
    }
    this.answers_in -= count;
    return true;
  }

  private *first_process(c: Libc): Gen<number> {
    return yield* this.serve(yield* Process.first(c));
  }

  /** A process does what it is told until it is told to exit. */
  private *serve(process: Process): Gen<number> {
    const { c, area } = process;
    const word = area + COUNTER;
    yield* this.post(c, this.done, word);
    for (;;) {
      yield* c.read(this.wake[process.id], word, 8);
      const { order } = this;
      if (order === 'exit') return 0;
      this.reply = order.name === 'fork' ? yield* this.fork(process, order.child) : yield* process.run(order);
      yield* this.post(c, this.done, word);
    }
  }

  private *fork(process: Process, child: number): Gen<string> {
    const pid = yield* process.fork(child, (own) => this.serve(own));
    if (pid < 0) return String(pid);
    this.pids.set(child, pid);
    return '0';
  }
}

/** Boots a machine, with patch states if given, runs the ops on it and returns its answers. */
export function run_ops(
  config: Config,
  ops: readonly Op[],
  hooks: RunHooks = {},
  patches: readonly PatchId[] = [],
): RunResult {
  const m = boot_recorded(config, patches);
  hooks.on_boot?.(m);
  const session = new Session(m, ops, hooks);
  const spm = config.spm ? SPM_DEFAULT : null;
  try {
    runProgram(m, function* (c) {
      yield* prepare(m, c, { thp: config.thp, spm, mem: 6 * GIB, patches });
      return yield* session.driver(c);
    });
  } catch (e) {
    const stop = model_stop(e);
    session.stop = stop;
    hooks.on_stop?.(m, session.at(), stop, session.pids);
  }
  return { machine: m, answers: session.answers, stop: session.stop };
}

/** Returns what an exception of the machine means for the program. */
function model_stop(e: unknown): Stop {
  if (e instanceof Unmodelled) return { kind: 'unmodelled', text: e.message };
  if (e instanceof Deadlock) return { kind: 'hang', waits: e.waits };
  return { kind: 'error', text: e instanceof Error ? (e.stack ?? e.message) : String(e) };
}
