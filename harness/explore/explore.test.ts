// SPDX-License-Identifier: GPL-2.0-only

import { spawnSync } from 'node:child_process';
import t from 'tap';
import { type RaceCase, replay } from './engine.ts';
import { format_schedule, parse_schedule } from './schedule.ts';
import { check_determinism, explore, shrink, type StrategyName } from './search.ts';

const PROT_RW = 3;
const MAP_PRIVATE_ANON = 0x22;

/** Two threads add one to a counter without a lock: a race that every strategy must find. */
const lost_update: RaceCase = {
  name: 'lost-update',
  summary: 'two threads add one to a word',
  params: null,
  *run(c, x) {
    const p = yield* c.mmap(0, 4096, PROT_RW, MAP_PRIVATE_ANON, -1, 0);
    yield* c.store32(p, 0);
    yield* x.together(
      ['one', 'two'].map((name) => ({
        name,
        kind: 'thread' as const,
        *run(u) {
          yield* u.store32(p, (yield* u.load32(p)) + 1);
        },
      })),
    );
    const v = yield* c.load32(p);
    x.check(v === 2, `the counter is ${v}`);
  },
};

/** Every update goes to a word of its own: no race. */
const no_race: RaceCase = {
  ...lost_update,
  name: 'no-race',
  *run(c, x) {
    const p = yield* c.mmap(0, 4096, PROT_RW, MAP_PRIVATE_ANON, -1, 0);
    yield* c.store32(p, 0);
    yield* x.together(
      [0, 1].map((n) => ({
        name: `word ${n}`,
        kind: 'thread' as const,
        *run(u) {
          yield* u.store32(p + 4 * n, n + 5);
        },
      })),
    );
    for (const n of [0, 1]) x.check((yield* c.load32(p + 4 * n)) === n + 5, `word ${n}`);
  },
};

const all = (strategy: StrategyName, bound: number) => ({ strategy, bound, schedules: 2000, seed: 1 });

for (const [strategy, bound] of [
  ['random', 0],
  ['pct', 3],
  ['dfs', 2],
] as const) {
  t.test(
    `${strategy} finds the lost update, the shrunk schedule has one switch and fails alike when it is replayed from its text`,
    async (t) => {
      const found = explore(lost_update, all(strategy, bound));
      t.same(found.failed?.failure, { kind: 'assertion', text: 'the counter is 1' });
      const small = shrink(lost_update, found.failed!);
      t.ok(small.schedule.switches.length <= 2, `${small.schedule.switches.length} switches`);
      const text = format_schedule(small.schedule);
      const again = replay(lost_update, parse_schedule(text));
      t.same(again.failure, small.failure);
      t.same(again.trace, small.trace);
      t.same(format_schedule(again.schedule), text);
    },
  );
}

t.test('the depth-first search ends by itself, having tried everything, where there is no race', async (t) => {
  const found = explore(no_race, { ...all('dfs', 2), schedules: Infinity });
  t.equal(found.failed, null);
  t.equal(found.complete, true);
  t.ok(found.schedules > 10);
  const wider = explore(no_race, { ...all('dfs', 3), schedules: Infinity });
  t.ok(wider.schedules > found.schedules, 'more preemptions, more schedules');
});

t.test('with no preemption allowed the lost update is not found', async (t) => {
  const found = explore(lost_update, { ...all('dfs', 0), schedules: Infinity });
  t.equal(found.failed, null);
  t.equal(found.complete, true);
});

t.test('a schedule that does not fit is refused with the first step that differs', async (t) => {
  const { failed } = explore(lost_update, all('dfs', 2));
  const { seed, switches, end } = failed!.schedule;
  t.throws(
    () => replay(lost_update, { seed, switches: [{ step: 2, from: 2, to: 1 }] }),
    /step 2: task 1 would run, the schedule was made where task 2 would/,
  );
  t.throws(
    () => replay(lost_update, { seed, switches: [{ step: 2, from: 1, to: 7 }] }),
    /step 2: the schedule switches to task 7, which cannot run here; task 1, 2 can/,
  );
  t.throws(
    () => replay(lost_update, { seed, switches: [...switches, { step: 5000, from: 1, to: 2 }] }),
    /step \d+: the run ends here, the schedule has a switch at step 5000/,
  );
  t.throws(() => replay(lost_update, { seed, switches, end: { steps: end!.steps + 1, hash: end!.hash } }), {
    name: 'ScheduleMismatch',
  });
  t.throws(
    () => replay(lost_update, { seed, switches, end: { steps: end!.steps, hash: end!.hash + 1 } }),
    /every switch fits, but after step/,
  );
});

t.test('schedules are read as they are written, and bad ones are refused with the reason', async (t) => {
  const s = {
    seed: 12,
    switches: [
      { step: 3, from: 1, to: 2 },
      { step: 17, from: 2, to: 1 },
    ],
    end: { steps: 40, hash: 0xbeef },
  };
  t.equal(format_schedule(s), 'hmm1:12:3.1>2,17.2>1:40.beef');
  t.same(parse_schedule(format_schedule(s)), s);
  t.same(parse_schedule('hmm1:1:'), { seed: 1, switches: [] });
  t.throws(() => parse_schedule('hmm2:1:'), /is of version hmm2, this program reads hmm1/);
  t.throws(() => parse_schedule('nonsense'), /expected hmm1:SEED/);
  t.throws(() => parse_schedule('hmm1:1:3.1-2'), /"3.1-2" is not STEP.FROM>TO/);
  t.throws(() => parse_schedule('hmm1:1:9.1>2,3.2>1'), /step 3 is out of order/);
  t.throws(() => parse_schedule('hmm1:1::40'), /"40" is not STEPS.HASH/);
});

t.test('schedules that run twice are alike, step by step', async () => {
  check_determinism(lost_update, 20, 1);
});

t.test('a case that leaves its outcome to anything but the schedule is caught', async (t) => {
  let n = 0;
  const shaky: RaceCase = {
    ...no_race,
    *run(c, x) {
      yield* x.together([
        {
          name: 'shaky',
          kind: 'thread',
          *run(u) {
            const p = yield* u.malloc(64);
            for (let i = 0; i < n % 3; i++) yield* u.store32(p, i);
            n++;
          },
        },
      ]);
      yield* c.close(-1);
    },
  };
  t.throws(() => check_determinism(shaky, 5, 1), /led to/);
});

t.test('a deadlock says who waits for what and who holds it', async (t) => {
  const stuck: RaceCase = {
    ...no_race,
    name: 'stuck',
    *run(c, x) {
      const fd = yield* c.eventfd(0, 0);
      const buf = yield* c.malloc(8);
      yield* c.store64(buf, 0);
      yield* x.together([
        {
          name: 'reader',
          kind: 'thread',
          *run(u) {
            yield* u.read(fd, buf, 8);
          },
        },
      ]);
    },
  };
  const found = explore(stuck, all('dfs', 2));
  t.equal(found.failed?.failure?.kind, 'deadlock');
  t.match(found.failed?.failure?.text, /task 0 \(case\) waits for a thread; task 1 \(reader\) waits for /);
});

t.test('a run that does not end within its budget is a livelock, which says what goes round', async (t) => {
  const spinning: RaceCase = {
    ...no_race,
    name: 'spinning',
    *run(c, x) {
      const p = yield* c.malloc(64);
      yield* c.store32(p, 0);
      yield* x.together([
        {
          name: 'spin',
          kind: 'thread',
          *run(u) {
            while ((yield* u.load32(p)) === 0);
          },
        },
      ]);
    },
  };
  const found = explore(spinning, { ...all('random', 0), budget: 700 });
  t.equal(found.failed?.failure?.kind, 'livelock');
  t.match(
    found.failed?.failure?.text,
    /no end after 700 steps; the last ones were task 1 \(spin\) stops before load \(\d+ times\)/,
  );
});

t.test('what a task of its own process checks, and how it ends, count', async (t) => {
  const dying: RaceCase = {
    ...no_race,
    name: 'dying',
    *run(_c, x) {
      yield* x.together([
        {
          name: 'child',
          kind: 'process',
          *run(u) {
            yield* u.load32(8);
          },
        },
      ]);
    },
  };
  t.same(explore(dying, all('dfs', 0)).failed?.failure, {
    kind: 'assertion',
    text: 'child: ended with wait status 11',
  });
});

t.test('racers are numbered from 1, also after a fork and a second time', async (t) => {
  const after_fork: RaceCase = {
    ...lost_update,
    *run(c, x) {
      yield* c.waitpid(yield* c.fork(function* () {}));
      yield* lost_update.run(c, { ...x, check: () => {} });
      yield* lost_update.run(c, x);
    },
  };
  const { failed } = explore(after_fork, all('dfs', 1));
  const tasks = new Set(failed?.trace.map((line) => /task (\d+ \(\w+\))/.exec(line)?.[1]));
  t.same([...tasks].sort(), ['0 (case)', '1 (one)', '2 (two)', '3 (one)', '4 (two)']);
});

t.test('the command line prints a schedule and the command that repeats it, and takes it back', async (t) => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, ['--import', 'tsx', 'harness/bin/explore.ts', ...args], { encoding: 'utf8' });
  const found = run('exclusive-vs-dontneed', '--strategy=dfs');
  t.equal(found.status, 1);
  const schedule = /^replay: npm run -s explore -- exclusive-vs-dontneed --replay '(hmm1:[^']+)'$/m.exec(
    found.stdout,
  )?.[1];
  t.type(schedule, 'string', found.stdout);
  const again = run('exclusive-vs-dontneed', '--replay', schedule as string, '--trace');
  t.equal(again.status, 1);
  t.match(again.stdout, /^ {4}0 {2}task 1 \(exclusive\) on CPU \d stops before /m);
  const failure = (text: string): string =>
    text
      .split('\n')
      .filter((l) => /^(exclusive-vs-dontneed: assertion|schedule|replay)/.test(l))
      .join('\n');
  t.equal(failure(again.stdout), failure(found.stdout));
  const other = run('fault-vs-munmap', '--replay', schedule as string);
  t.equal(other.status, 2);
  t.match(other.stderr, /the schedule does not fit: /);
  t.equal(run('no-such-case').status, 2);
  t.equal(run('fault-vs-munmap', '--strategy=luck').status, 2);
});
