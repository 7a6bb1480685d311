// SPDX-License-Identifier: GPL-2.0-only
// What the worst CPU access to a page that is exclusive to a device costs, found by search: the question of seed 001.
//   node --import tsx selftests/races/exclusive_worst.ts [--retakes=N] [--preemptions=N] [--schedules=N] [--patches=NAME,NAME]

import { type Choice, type Chooser, DfsChooser, RandomChooser, ReplayChooser } from '../../harness/explore/choosers.ts';
import { type Numbering, type RaceCase, type Run, run_on } from '../../harness/explore/engine.ts';
import { format_schedule, parse_schedule } from '../../harness/explore/schedule.ts';
import { Stage } from '../../harness/explore/stage.ts';
import { nr_invalidations } from '../../lib/inspect.ts';
import { check_patches } from '../../lib/patches/check_patches.ts';
import type { PatchId } from '../../lib/patches/index.ts';
import { expect_ret, expect_word } from '../vocabulary/expect.ts';
import { dmirror, in_memory, to_exclusive } from '../vocabulary/mirror.ts';
import { thread } from '../vocabulary/racers.ts';
import * as U from '../../lib/user/uapi.ts';

/** What happened from the access, which faults at once, to its end. */
interface Cost {
  /** steps that the accessing task took: pieces of work between two points where another task may come in */
  own: number;
  /** steps that all tasks took */
  all: number;
  /** invalidations that were announced to the mirrors of the address space */
  notifier_calls: number;
}

/** The highest of each cost that was found, and a schedule that leads to it. */
interface Worst {
  schedules: number;
  /** every schedule with so many preemptions was tried */
  complete: boolean;
  own: { most: number; schedule: string };
  all: { most: number; schedule: string };
  notifier_calls: { most: number; schedule: string };
}

/** Counts while the access is under way. */
class Meter implements Chooser {
  cost: Cost = { own: 0, all: 0, notifier_calls: 0 };
  chooser: Chooser = { next: (c) => c.standard };
  numbering: Numbering | null = null;
  private mm: ReturnType<Chooser['next']>['mm'] = null;
  private before = 0;
  private running = false;

  next(c: Choice): ReturnType<Chooser['next']> {
    const t = this.chooser.next(c);
    this.mm = t.mm;
    if (this.running) {
      this.cost.all++;
      // The accessing task is the first that the case makes.
      if (this.numbering?.number_of(t) === 1) this.cost.own++;
    }
    return t;
  }
  start(): void {
    this.cost = { own: 0, all: 0, notifier_calls: 0 };
    this.before = nr_invalidations(this.mm);
    this.running = true;
  }
  stop(): void {
    this.running = false;
    this.cost.notifier_calls = nr_invalidations(this.mm) - this.before;
  }
}

function race(meter: Meter, retakes: number): RaceCase {
  return {
    name: 'exclusive-worst',
    summary: `a CPU stores to an exclusive page while the device takes it ${retakes} times more`,
    *run(c, x) {
      const { fd, ptr, cmd } = yield* in_memory(c, x, 1);
      yield* to_exclusive(c, x, fd, cmd);
      yield* x.together([
        thread('store', function* (t) {
          meter.start();
          yield* t.store32(ptr, 7);
          meter.stop();
        }),
        thread('device', function* (t) {
          // Its contents are not there to be returned if the CPU has been faster; the range of 2021 answers so, too,
          // where the lock is taken.
          for (let i = 0; i < retakes; i++)
            expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_EXCLUSIVE, cmd), [0, -U.ENOENT, -16], 'EXCLUSIVE');
        }),
      ]);
      yield* expect_word(c, x, ptr, 0, [7], 'in the end');
      yield* c.close(fd);
    },
  };
}

function run_with(stage: Stage, c: RaceCase, meter: Meter, seed: number, chooser: (e: Numbering) => Chooser): Run {
  const run = run_on(stage, c, seed, (e) => {
    meter.numbering = e;
    meter.chooser = chooser(e);
    return meter;
  });
  if (run.failure !== null)
    throw new Error(`${format_schedule(run.schedule)}: ${run.failure.kind}: ${run.failure.text}`);
  return run;
}

/** What the access costs in one schedule. */
export function cost_of(patches: readonly PatchId[], retakes: number, schedule: string): Cost {
  const meter = new Meter();
  const c = race(meter, retakes);
  const s = parse_schedule(schedule);
  run_with(new Stage(c, patches), c, meter, s.seed, (e) => new ReplayChooser(s.switches, (t) => e.number_of(t)));
  return meter.cost;
}

/**
 * The worst of all schedules with at most `preemptions` preemptions, or, if that is null, of `schedules` random ones.
 */
export function worst_of(
  patches: readonly PatchId[],
  retakes: number,
  preemptions: number | null,
  schedules = Infinity,
): Worst {
  const meter = new Meter();
  const c = race(meter, retakes);
  const stage = new Stage(c, patches).keep();
  const dfs = new DfsChooser(preemptions ?? 0);
  const none = { most: 0, schedule: '' };
  const worst: Worst = { schedules: 0, complete: false, own: none, all: none, notifier_calls: none };
  while (worst.schedules < schedules && !worst.complete) {
    const seed = preemptions === null ? ++worst.schedules : 1;
    const run = run_with(stage, c, meter, seed, () => (preemptions === null ? new RandomChooser(seed) : dfs));
    for (const what of ['own', 'all', 'notifier_calls'] as const) {
      if (meter.cost[what] > worst[what].most)
        worst[what] = { most: meter.cost[what], schedule: format_schedule(run.schedule) };
    }
    if (preemptions === null) continue;
    worst.schedules++;
    worst.complete = !dfs.next_run();
  }
  return worst;
}

function option(name: string): string | undefined {
  return process.argv.find((w) => w.startsWith(`--${name}=`))?.slice(name.length + 3);
}

function main(): void {
  const retakes = Number(option('retakes') ?? 1);
  const preemptions = option('schedules') === undefined ? Number(option('preemptions') ?? 2) : null;
  const patches = check_patches(option('patches')?.split(',') ?? []);
  const w = worst_of(patches, retakes, preemptions, Number(option('schedules') ?? Infinity));
  const which = preemptions === null ? 'random schedules' : `schedules, all with at most ${preemptions} preemptions`;
  process.stdout.write(
    `a store to an exclusive page that the device takes ${retakes} times more: ${w.schedules} ${which}\n`,
  );
  process.stdout.write(`  notifier calls  ${w.notifier_calls.most}  ${w.notifier_calls.schedule}\n`);
  process.stdout.write(`  its own steps   ${w.own.most}  ${w.own.schedule}\n`);
  process.stdout.write(`  all steps       ${w.all.most}  ${w.all.schedule}\n`);
}

if (process.argv[1]?.endsWith('exclusive_worst.ts')) main();
