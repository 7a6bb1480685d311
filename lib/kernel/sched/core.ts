// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../boot.ts';
import type { files_struct } from '../../fs/fs.ts';
import type { mm_struct } from '../../mm/mm_types.ts';
import type { Gen } from '../gen.ts';
import { Oops, printk } from '../printk.ts';

/** What a task waits for, as a report of a deadlock or a trace of a schedule names it. NON-KERNEL. */
export interface WaitPoint {
  readonly what: string;
  /** who holds it, where that is one task */
  readonly owner?: task_struct | null;
  /** the task stays runnable but cannot get on before another one ran */
  readonly yielding?: boolean;
}

export const TASK_RUNNING = 0;
export const TASK_INTERRUPTIBLE = 1;
export const TASK_UNINTERRUPTIBLE = 2;
export const TASK_KILLABLE = 0x102;
const TASK_DEAD = 0x80;

export const SIGINT = 2;
export const SIGABRT = 6;
export const SIGBUS = 7;
export const SIGKILL = 9;
export const SIGSEGV = 11;
export const SIGALRM = 14;
export const SIGTERM = 15;
export const SIGCHLD = 17;

/** A task: a thread of a process, with its kernel-side state (include/linux/sched.h: struct task_struct). */
export class task_struct implements WaitPoint {
  readonly what: string;
  readonly pid: number;
  /** pid of the thread group's leader */
  tgid: number;
  comm: string;
  /** process group */
  pgid: number;
  /** the CPU that it runs on, for its whole life */
  cpu = 0;
  mm: mm_struct | null = null;
  files: files_struct | null = null;
  state = TASK_RUNNING;
  /** what it sleeps on, null while it runs */
  blocked_on: WaitPoint | null = null;
  /** the lock that another task holds and this one spins on, while interleavings are explored */
  spins_on: WaitPoint | null = null;
  /** spinlocks held: a task that sleeps with any is a bug */
  preempt_count = 0;
  /** locks of every kind held, for the audit and deadlock reports */
  readonly held_locks: WaitPoint[] = [];
  gen: Gen<void> | null = null;
  real_parent: task_struct | null = null;
  readonly children: task_struct[] = [];
  /** threads of the group, on its leader */
  readonly thread_group: task_struct[] = [];
  group_leader: task_struct;
  /** wait(2) status, once dead */
  exit_code = 0;
  exit_state: 'alive' | 'zombie' | 'dead' = 'alive';
  /** PF_EXITING: do_exit() has begun */
  exiting = false;
  /** on a leader: the status that do_group_exit() gave the whole process */
  group_exit_code: number | null = null;
  /** bit n-1: signal n is pending */
  pending = 0;
  /** signals that user space handles (kernel/signal.c), by number */
  readonly handlers = new Map<number, unknown>();
  /** asks for a lock again and again without sleeping: where kernel code is not preempted its CPU runs nothing else */
  polls = false;
  /** depth of pagefault_disable() */
  pagefault_disabled = 0;
  /** what runs before the task returns to user space or exits (kernel/task_work.c) */
  readonly task_works: (() => Gen<void>)[] = [];
  /** the modelled user program's view, opaque to the kernel */
  user: unknown = null;

  constructor(pid: number, comm: string) {
    this.pid = pid;
    this.tgid = pid;
    this.pgid = pid;
    this.comm = comm;
    this.what = `task ${pid}`;
    this.group_leader = this;
  }
}

/** Who decides what the kernel leaves open: the next task, and random numbers. NON-KERNEL. */
export interface Strategy {
  /**
   * One of `runnable` (never empty). `current` is the task that ran last, or null; `is_yielding` if it asked to step
   * back.
   */
  next_task(runnable: readonly task_struct[], current: task_struct | null, is_yielding: boolean): task_struct;
  /** 0 to 2^32-1 */
  random_u32(): number;
}

/** xorshift32: small, fast and the same everywhere. NON-KERNEL. */
export function xorshift32(seed: number): () => number {
  let x = seed >>> 0 || 0x9e3779b9;
  return () => {
    x ^= x << 13;
    x >>>= 0;
    x ^= x >>> 17;
    x ^= x << 5;
    x >>>= 0;
    return x;
  };
}

/** The normal run: every runnable task in turn. NON-KERNEL. */
export class RoundRobin implements Strategy {
  readonly random_u32: () => number;
  constructor(seed = 1) {
    this.random_u32 = xorshift32(seed);
  }
  next_task(runnable: readonly task_struct[]): task_struct {
    return runnable[0];
  }
}

interface Timer {
  at: number;
  seq: number;
  fire: () => void;
}

/** Thrown when live tasks exist and none can ever run. NON-KERNEL. */
export class Deadlock extends Error {
  readonly waits: string[];
  constructor(waits: string[]) {
    super(`deadlock: ${waits.join('; ')}`);
    this.name = 'Deadlock';
    this.waits = waits;
  }
}

const PREEMPT: WaitPoint = { what: 'cond_resched' };
export const YIELD: WaitPoint = { what: 'yield', yielding: true };

/** The machine's scheduler: the one source of order, time and chance. NON-KERNEL. */
export class Scheduler {
  strategy: Strategy;
  /** true while interleavings are explored: every preempt_point() then asks the strategy */
  explore = false;
  /** true: new tasks go to the CPUs in turn; false: each runs where its parent does */
  spread = false;
  /** modelled nanoseconds since boot */
  now = 0;
  /** switches between tasks asked of the strategy so far */
  steps = 0;
  readonly runnable: task_struct[] = [];
  readonly tasks: task_struct[] = [];
  /** called before each choice while exploring, with the point that the last task stopped at */
  on_step: ((last: task_struct | null, at: WaitPoint | null) => void) | null = null;
  /** what a task does once an oops ended its kernel code; set by kernel/exit.ts through boot */
  make_task_dead: ((t: task_struct) => Gen<void>) | null = null;
  private readonly m: Machine;
  private timers: Timer[] = [];
  private seq = 0;

  constructor(m: Machine, strategy: Strategy) {
    this.m = m;
    this.strategy = strategy;
  }

  /** Adds a task whose generator is ready to start. */
  start(t: task_struct, gen: Gen<void>): void {
    t.gen = gen;
    this.tasks.push(t);
    this.runnable.push(t);
  }

  /** Calls `fire` when modelled time has come `ns` further; the result cancels it. */
  timer(ns: number, fire: () => void): () => void {
    const t: Timer = { at: this.now + Math.max(0, ns), seq: this.seq++, fire };
    this.timers.push(t);
    this.timers.sort((a, b) => a.at - b.at || a.seq - b.seq);
    return () => {
      this.timers = this.timers.filter((x) => x !== t);
    };
  }

  /** Lets modelled time pass: the cost of what just happened. */
  spend(ns: number): void {
    this.now += ns;
  }

  /** Makes a sleeping task runnable; nothing happens to one that runs or is dead. */
  wake_up_process(t: task_struct): void {
    if (t.state === TASK_RUNNING || t.state === TASK_DEAD) return;
    t.state = TASK_RUNNING;
    t.blocked_on = null;
    this.runnable.push(t);
  }

  private fire_timers(): void {
    while (this.timers.length > 0 && this.timers[0].at <= this.now) (this.timers.shift() as Timer).fire();
  }

  /** Runs tasks until `until()` holds; throws Deadlock when nobody can run and no timer is left. */
  run(until: () => boolean): void {
    const m = this.m;
    let last: task_struct | null = null;
    let at: WaitPoint | null = null;
    while (!until()) {
      this.fire_timers();
      if (this.runnable.length === 0) {
        const next = this.timers[0];
        if (next === undefined) throw new Deadlock(this.describe_waits());
        this.now = Math.max(this.now, next.at);
        continue;
      }
      const runnable = this.allowed();
      if (runnable.length === 0) throw new Deadlock(this.describe_waits());
      if (this.on_step !== null) this.on_step(last, at);
      const t: task_struct =
        runnable.length === 1 && !this.explore
          ? runnable[0]
          : this.strategy.next_task(runnable, last, at?.yielding === true);
      this.steps++;
      this.runnable.splice(this.runnable.indexOf(t), 1);
      m.current = t;
      last = t;
      at = null;
      try {
        const r = (t.gen as Gen<void>).next();
        if (r.done) {
          t.state = TASK_DEAD;
          t.gen = null;
          this.tasks.splice(this.tasks.indexOf(t), 1);
        } else {
          at = r.value;
          if (t.state === TASK_RUNNING) {
            this.runnable.push(t);
            t.spins_on = at.yielding === true && (at.owner ?? null) !== null ? at : null;
          } else {
            if (t.preempt_count > 0) throw new Oops(`BUG: scheduling while atomic: ${t.comm}/${t.pid}`);
            t.blocked_on = r.value;
          }
        }
      } catch (e) {
        if (!(e instanceof Oops) || this.make_task_dead === null) throw e;
        m.log.oopses.push(e);
        m.log.taint.add('D');
        printk(m, e.bug);
        printk(m, `RIP: 0010:${e.path[0] ?? '?'}`);
        printk(m, `Call Trace: ${e.path.slice(1).join(' ')}`);
        t.state = TASK_RUNNING;
        t.preempt_count = 0;
        t.gen = this.make_task_dead(t);
        this.runnable.push(t);
      }
    }
  }

  /** A CPU whose task holds a spinlock runs no other task, and spinning while the lock is held leads nowhere. */
  private allowed(): readonly task_struct[] {
    if (!this.explore) return this.runnable;
    let busy = 0;
    for (const t of this.runnable) if (t.preempt_count > 0 || t.polls) busy |= 1 << t.cpu;
    const spins = (t: task_struct): boolean => (t.spins_on?.owner ?? null) !== null;
    if (busy === 0 && !this.runnable.some(spins)) return this.runnable;
    return this.runnable.filter((t) => !spins(t) && (t.preempt_count > 0 || t.polls || (busy & (1 << t.cpu)) === 0));
  }

  /** One line a task that sleeps: what it waits for and who holds that. */
  describe_waits(): string[] {
    return this.tasks
      .filter((t) => t.state !== TASK_RUNNING || t.spins_on !== null)
      .map((t) => {
        const on = t.blocked_on ?? t.spins_on;
        const owner = on?.owner ? ` held by task ${on.owner.pid}` : '';
        return `task ${t.pid} (${t.comm}) waits for ${on?.what ?? 'nothing'}${owner}`;
      });
  }
}

/**
 * A place where upstream may be preempted and where that matters. Costs nothing in a normal run; call it as
 * `if (m.sched.explore) yield* preempt_point(m, 'name')` on hot paths. NON-KERNEL.
 */
export function* preempt_point(m: Machine, what: string): Gen<void> {
  if (m.sched.explore) yield { what };
}

/** Lets other tasks run if there are any (include/linux/sched.h: cond_resched()). */
export function* cond_resched(m: Machine): Gen<void> {
  if (m.sched.explore) yield PREEMPT;
}

/** Sleeps in the given state until somebody wakes the task (kernel/sched/core.c: schedule()). */
export function* schedule(m: Machine, state: number, on: WaitPoint): Gen<void> {
  m.current.state = state;
  m.current.polls = false;
  yield on;
}

/** True if a signal is pending for the task (include/linux/sched/signal.h: signal_pending()). */
export function signal_pending(t: task_struct): boolean {
  return t.pending !== 0;
}

/** True if SIGKILL is pending for the task (include/linux/sched/signal.h: fatal_signal_pending()). */
export function fatal_signal_pending(t: task_struct): boolean {
  return (t.pending & (1 << (SIGKILL - 1))) !== 0;
}
