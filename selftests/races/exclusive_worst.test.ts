// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { cost_of, worst_of } from './exclusive_worst.ts';

const slow = process.env.SLOW === '1';
const RANGE = ['exclusive-range', 'no-exclusive-mapcount', 'no-exclusive-hugetlb-check'] as const;

t.test('an access to an exclusive page that nobody takes again ends with the first fault', (t) => {
  for (const patches of [[], RANGE]) {
    const w = worst_of(patches, 0, 2);
    t.same([w.complete, w.notifier_calls.most, w.own.most], [true, 1, 9], patches.join());
  }
  t.end();
});

t.test(
  'a device that takes the page again costs the access twelve steps and three notifier calls more: its own fault, its taking and the next fault',
  (t) => {
    // The search takes seconds for each.
    for (const patches of slow ? [[], RANGE] : [[]]) {
      const w = worst_of(patches, 1, 2);
      t.same([w.complete, w.notifier_calls.most, w.own.most], [true, 4, 21], patches.join());
      t.equal(cost_of(patches, 1, w.notifier_calls.schedule).notifier_calls, 4);
      t.equal(cost_of(patches, 1, w.own.schedule).own, 21);
    }
    t.equal(cost_of(RANGE, 1, 'hmm1:1:7.1>2,16.1>2').notifier_calls, 4, 'the range of 2021 is no better');
    t.equal(cost_of(RANGE, 1, 'hmm1:1:9.1>2,21.2>1').own, 21);
    t.end();
  },
);

t.test('there is no worst without a limit on how often: taking the page twice makes it seven calls', (t) => {
  const found = 'hmm1:1996:1.1>2,7.2>1,9.1>2,14.2>1,18.1>2,19.2>1,20.1>2,26.2>1,29.1>2,45.2>1,50.1>2,59.2>1,60.1>2';
  t.equal(cost_of([], 2, found).notifier_calls, 7);
  t.end();
});
