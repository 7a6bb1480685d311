// SPDX-License-Identifier: GPL-2.0-only
// Races of compiled programs.

import { fileURLToPath } from 'node:url';
import t from 'tap';
import { program_of } from '../run/child.ts';
import { shared_user_memory } from '../run/program.ts';
import { replay, run_case } from './engine.ts';
import { compiled_race } from './file.ts';
import { explore, shrink } from './search.ts';

const source = (name: string): string => fileURLToPath(new URL(`../../selftests/c/${name}`, import.meta.url));
const LOST_UPDATE = source('lost-update.c');
const skip = program_of(LOST_UPDATE) === null ? 'no C compiler builds it here' : false;

t.test('a race of a C program is found, shrunk and repeated', { skip }, async (t) => {
  const race = compiled_race(LOST_UPDATE);
  t.equal(race.summary, 'Two threads add one to a counter without a lock.');
  const { failed } = explore(race, { strategy: 'pct', bound: 2, seed: 1, schedules: 1000 });
  t.match(failed?.failure, { kind: 'assertion', text: 'the counter is 1' });
  if (failed === null) return;
  const shrunk = shrink(race, failed);
  t.ok(shrunk.schedule.switches.length <= 2, `${shrunk.schedule.switches.length} switches`);
  const again = replay(race, shrunk.schedule);
  t.same(again.failure, failed.failure);
  for (const cpu of [0, 1])
    t.ok(
      again.trace.some((line) => line.includes(`on CPU ${cpu} stops before access`)),
      `CPU ${cpu}`,
    );
  t.equal(shared_user_memory().used_bytes(), 2 * 2 ** 20, 'machines give back what they took');
});

t.test('a program without a race passes, one whose race never ends is stopped', { skip }, async (t) => {
  const one_after_the_other = run_case(compiled_race(LOST_UPDATE), 1, () => ({ next: (c) => c.standard }));
  t.equal(one_after_the_other.failure, null);
  const short = run_case({ ...compiled_race(LOST_UPDATE), budget: 10 }, 1, () => ({ next: (c) => c.standard }));
  t.equal(short.failure?.kind, 'livelock');
});
