// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { explore } from '../../harness/explore/search.ts';
import { race_cases } from './index.ts';

const slow = process.env.SLOW === '1';
const SCHEDULES = slow ? 500 : 5;

if (slow) t.setTimeout(1_200_000);

t.test(`none of the races fails within ${SCHEDULES} random schedules (seed 1)`, (t) => {
  for (const c of race_cases) {
    const { failed } = explore(c, { strategy: 'random', schedules: SCHEDULES, bound: 0, seed: 1 });
    t.equal(failed?.failure?.text, undefined, `${c.name}: npm run -s explore -- ${c.name} --schedules=${SCHEDULES}`);
  }
  t.end();
});
