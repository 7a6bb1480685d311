// SPDX-License-Identifier: GPL-2.0-only

import { replay, run_case } from '../../harness/explore/engine.ts';
import { is_known, replay_known } from '../../harness/explore/known.ts';
import { parse_schedule } from '../../harness/explore/schedule.ts';
import { check_determinism, explore } from '../../harness/explore/search.ts';
import { race_cases } from './index.ts';
import { known_races } from './known.ts';
import { upstream_faults } from './upstream.ts';
import { readFileSync } from 'node:fs';
import t from 'tap';

const slow = process.env.SLOW === '1';
/** few: `npm run test:slow` explores each case with its whole budget */
const SCHEDULES = 10;

t.test(`none of the races fails within ${SCHEDULES} random schedules (seed 1)`, (t) => {
  for (const c of race_cases) {
    const { failed } = explore(c, { strategy: 'random', schedules: SCHEDULES, bound: 0, seed: 1 });
    t.equal(failed?.failure?.text, undefined, `${c.name}: npm run -s explore -- ${c.name} --schedules=${SCHEDULES}`);
  }
  t.end();
});

t.test('each race that a fix ended comes back without the fix, under its schedule', (t) => {
  for (const k of known_races) {
    const run = replay_known(k);
    t.ok(
      is_known(k, run),
      `${k.patch}: ${run.failure?.text ?? 'passes'}: npm run -s explore -- ${k.race.name} --patches=${k.patch} --replay '${k.schedule}'`,
    );
    t.equal(
      run_case(k.race, 1, () => ({ next: (c) => c.standard }), {}).failure,
      null,
      `${k.race.name} passes with the fix`,
    );
  }
  t.end();
});

t.test('a schedule leads to the same steps every time', (t) => {
  for (const c of race_cases.filter((_, i) => slow || i % 7 === 0)) {
    t.doesNotThrow(
      () => check_determinism(c, slow ? 20 : 1, 1),
      `${c.name}: npm run -s explore -- ${c.name} --twice --schedules=20`,
    );
  }
  t.end();
});

t.test('the schedule in README.md is one of a known race', (t) => {
  const [, name, patch, schedule] =
    /explore -- (\S+) --patches=(\S+) --replay '(\S+)'/.exec(readFileSync('README.md', 'utf8')) ?? [];
  t.ok(
    known_races.some((k) => k.race.name === name && k.patch === patch && k.schedule === schedule),
    `${name} ${patch} ${schedule}`,
  );
  t.end();
});

t.test('each race that Linux 7.3.4 itself loses is lost under its schedule', (t) => {
  for (const c of upstream_faults) {
    const run = replay(c, parse_schedule(c.schedule));
    t.equal(run.failure?.kind, c.fails.kind, `${c.name}: npm run -s explore -- ${c.name} --replay '${c.schedule}'`);
    t.match(run.failure?.text, c.fails.text);
  }
  t.end();
});
