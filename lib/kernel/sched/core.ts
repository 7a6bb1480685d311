// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../machine.ts';
import type { thread_struct } from '../../arch/x86/kernel/process.ts';
import type { files_struct } from '../../fs/fs.ts';
import type { mm_struct } from '../../mm/mm_types.ts';
import type { Gen } from '../gen.ts';
import { Oops, printk } from '../printk.ts';
import type { kernel_siginfo, sigset } from '../signal_types.ts';
import type { completion } from './completion.ts';

/** What a task waits for, as deadlock reports and traces name it. NON-KERNEL. */
export interface WaitPoint {
  readonly what: string;
  /** The holder, if it is a single task. */
  readonly owner?: task_struct | null;
  /** The task stays runnable but cannot make progress before another task ran. */
  readonly yielding?: boolean;
}

export const TASK_RUNNING = 0;
export const TASK_INTERRUPTIBLE = 1;
export const TASK_UNINTERRUPTIBLE = 2;
export const TASK_KILLABLE = 0x102;
const TASK_DEAD = 0x80;

/** No alternate signal stack (include/uapi/linux/signal.h). */
export const SS_DISABLE = 2;

export const SIGINT = 2;
export const SIGILL = 4;
export const SIGTRAP = 5;
export const SIGABRT = 6;
export const SIGBUS = 7;
export const SIGFPE = 8;
export const SIGKILL = 9;
export const SIGSEGV = 11;
export const SIGPIPE = 13;
export const SIGALRM = 14;
export const SIGTERM = 15;
export const SIGCHLD = 17;

/** TLB flushes that a task has put off (include/linux/mm_types_task.h: struct tlbflush_unmap_batch). */
export interface tlbflush_unmap_batch {
  /** CPUs to flush, bit n for CPU n */
  cpumask: number;
  flush_required: boolean;
  /** one of the ptes was dirty */
  writable: boolean;
}

/** A thread with its kernel state (include/linux/sched.h: struct task_struct). */
export class task_struct implements WaitPoint {
  readonly what: string;
  readonly pid: number;
  /** Pid of the thread group leader. */
  tgid: number;
  comm: string;
  /** Process group. */
  pgid: number;
  /** The CPU that it runs on; tasks do not migrate. */
  cpu = 0;
  mm: mm_struct | null = null;
  readonly tlb_ubc: tlbflush_unmap_batch = { cpumask: 0, flush_required: false, writable: false };
  files: files_struct | null = null;
  state = TASK_RUNNING;
  /** What it sleeps on, or null. */
  blocked_on: WaitPoint | null = null;
  /** The lock that it spins on while interleavings are explored, or null. */
  spins_on: WaitPoint | null = null;
  /** Number of spinlocks held. Sleeping with any is a bug. */
  preempt_count = 0;
  /** All locks held, for the audit and deadlock reports. */
  readonly held_locks: WaitPoint[] = [];
  gen: Gen<void> | null = null;
  real_parent: task_struct | null = null;
  readonly children: task_struct[] = [];
  /** On a leader: the threads of the group. */
  readonly thread_group: task_struct[] = [];
  group_leader: task_struct;
  /** wait(2) status once dead. */
  exit_code = 0;
  exit_state: 'alive' | 'zombie' | 'dead' = 'alive';
  /** PF_EXITING: do_exit() has started. */
  exiting = false;
  /** On a leader: the status passed to do_group_exit(). */
  group_exit_code: number | null = null;
  /** Bit n-1: signal n, 1 to 31, is pending. */
  pending = 0;
  /** What rt_sigaction() handlers get about the pending signals, by signal. */
  readonly siginfo = new Map<number, kernel_siginfo>();
  /** Signals that wait (sigprocmask(2)). */
  blocked: sigset = { low: 0, high: 0 };
  /** Mask to restore once a signal was handled (rt_sigsuspend(2)), or null. */
  saved_sigmask: sigset | null = null;
  /** Alternate signal stack (sigaltstack(2)). */
  sas_ss_sp = 0;
  sas_ss_size = 0;
  sas_ss_flags = SS_DISABLE;
  /** Handlers of user space by signal number (kernel/signal.c). */
  readonly handlers = new Map<number, unknown>();
  /** Retries a lock in a loop without sleeping. Without kernel preemption its CPU runs no other task. */
  polls = false;
  /** Nesting depth of pagefault_disable(). */
  pagefault_disabled = 0;
  /** Work that runs before the task returns to user space or exits (kernel/task_work.c). */
  readonly task_works: (() => Gen<void>)[] = [];
  /** Signal that the parent gets at exit, 0 for none. */
  exit_signal = SIGCHLD;
  /** Registers of a compiled program; null for a kernel thread and for a program that is a generator. */
  thread: thread_struct | null = null;
  /** Where to store the pid in the new task, and 0 at its exit, 0 for nowhere (CLONE_CHILD_*, set_tid_address(2)). */
  set_child_tid = 0;
  clear_child_tid = 0;
  /** User address of the list of held robust futexes (set_robust_list(2)). */
  robust_list = 0;
  /** User address, bytes and signature of struct rseq, 0 if none is registered (rseq(2)). */
  rseq = 0;
  rseq_len = 0;
  rseq_sig = 0;
  /** Completed once the task no longer uses its parent's address space (vfork(2)). */
  vfork_done: completion | null = null;
  /** Current directory (struct fs_struct). */
  pwd = '/';
  /** State of the modelled user program, opaque to the kernel. */
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

/** Decides what the kernel leaves open: the next task and random numbers. NON-KERNEL. */
export interface Strategy {
  /**
   * Returns one of `runnable`, which is never empty. `current` is the task that ran last, or null; `is_yielding` if it
   * yielded.
   */
  next_task(runnable: readonly task_struct[], current: task_struct | null, is_yielding: boolean): task_struct;
  /** Returns a random number, 0 to 2^32-1. */
  random_u32(): number;
}

/** Returns an xorshift32 generator: small, fast and the same on every host. NON-KERNEL. */
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

/** Strategy of a normal run: runnable tasks take turns. NON-KERNEL. */
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

/** Thrown if live tasks exist and none can ever run. NON-KERNEL. */
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

/** The machine's scheduler: the only source of order, time and chance. NON-KERNEL. */
export class Scheduler {
  strategy: Strategy;
  /** True while interleavings are explored: every preempt_point() asks the strategy. */
  explore = false;
  /** True: new tasks are distributed over the CPUs; false: each stays on its parent's CPU. */
  spread = false;
  /** Modelled nanoseconds since boot. */
  now = 0;
  /** Number of decisions that the strategy was asked for. */
  steps = 0;
  readonly runnable: task_struct[] = [];
  readonly tasks: task_struct[] = [];
  /** Called before each decision while exploring, with the last task and the point where it stopped. */
  on_step: ((last: task_struct | null, at: WaitPoint | null) => void) | null = null;
  /** Ends a task that oopsed; set at boot to kernel/exit.ts's. */
  make_task_dead: ((t: task_struct) => Gen<void>) | null = null;
  /** Called when a CPU goes on with a task of an address space; set at boot to arch/x86/mm/tlb.ts's. */
  switch_mm: ((mm: mm_struct, cpu: number) => void) | null = null;
  private readonly m: Machine;
  private timers: Timer[] = [];
  private seq = 0;

  constructor(m: Machine, strategy: Strategy) {
    this.m = m;
    this.strategy = strategy;
  }

  /** Adds a task that is ready to run. */
  start(t: task_struct, gen: Gen<void>): void {
    t.gen = gen;
    this.tasks.push(t);
    this.runnable.push(t);
  }

  /** Calls `fire` after `ns` of modelled time. Returns a function that cancels it. */
  timer(ns: number, fire: () => void): () => void {
    const t: Timer = { at: this.now + Math.max(0, ns), seq: this.seq++, fire };
    this.timers.push(t);
    this.timers.sort((a, b) => a.at - b.at || a.seq - b.seq);
    return () => {
      this.timers = this.timers.filter((x) => x !== t);
    };
  }

  /** Advances modelled time by the cost of an operation. */
  spend(ns: number): void {
    this.now += ns;
  }

  /** Makes a sleeping task runnable; does nothing for a running or dead one. */
  wake_up_process(t: task_struct): void {
    if (t.state === TASK_RUNNING || t.state === TASK_DEAD) return;
    t.state = TASK_RUNNING;
    t.blocked_on = null;
    this.runnable.push(t);
  }

  private fire_timers(): void {
    while (this.timers.length > 0 && this.timers[0].at <= this.now) (this.timers.shift() as Timer).fire();
  }

  /** Runs tasks until `until()` holds. Throws Deadlock if none can run and no timer is left. */
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
      if (t.mm !== null && this.switch_mm !== null) this.switch_mm(t.mm, t.cpu);
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

  /**
   * Returns the tasks that may run next: a CPU whose task holds a spinlock runs no other task, and spinning on a held
   * lock makes no progress.
   */
  private allowed(): readonly task_struct[] {
    if (!this.explore) return this.runnable;
    let busy = 0;
    for (const t of this.runnable) if (t.preempt_count > 0 || t.polls) busy |= 1 << t.cpu;
    const spins = (t: task_struct): boolean => (t.spins_on?.owner ?? null) !== null;
    if (busy === 0 && !this.runnable.some(spins)) return this.runnable;
    return this.runnable.filter((t) => !spins(t) && (t.preempt_count > 0 || t.polls || (busy & (1 << t.cpu)) === 0));
  }

  /** Returns one line per sleeping task: what it waits for and who holds it. */
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
 * A point where upstream may be preempted and where that matters. Free in a normal run. Hot paths call it as `if
 * (m.sched.explore) yield* preempt_point(m, 'name')`. NON-KERNEL.
 */
export function* preempt_point(m: Machine, what: string): Gen<void> {
  if (m.sched.explore) yield { what };
}

/** Lets other runnable tasks run (include/linux/sched.h: cond_resched()). */
export function* cond_resched(m: Machine): Gen<void> {
  if (m.sched.explore) yield PREEMPT;
}

/** Sleeps in the given state until the task is woken (kernel/sched/core.c: schedule()). */
export function* schedule(m: Machine, state: number, on: WaitPoint): Gen<void> {
  m.current.state = state;
  m.current.polls = false;
  yield on;
}

/** Returns true if a signal is pending that is not blocked (include/linux/sched/signal.h: signal_pending()). */
export function signal_pending(t: task_struct): boolean {
  return (t.pending & ~t.blocked.low) !== 0;
}

/** Returns true if SIGKILL is pending (include/linux/sched/signal.h: fatal_signal_pending()). */
export function fatal_signal_pending(t: task_struct): boolean {
  return (t.pending & (1 << (SIGKILL - 1))) !== 0;
}
