// SPDX-License-Identifier: GPL-2.0-only

import { readFileSync } from 'node:fs';
import t from 'tap';
import { hmm_tests } from './index.ts';

t.test("the suite has upstream's 78 tests, in the order in which Linux ran them", async (t) => {
  const ktap = readFileSync(new URL('../results/smoke.ktap', import.meta.url), 'utf8');
  const recorded = [...ktap.matchAll(/^(?:not )?ok \d+ (\S+)/gm)].map((hit) => hit[1]);
  t.equal(recorded.length, 78);
  t.same(hmm_tests().names(), recorded);
});

t.test('two runs of the suite share nothing', async (t) => {
  const [one, two] = [hmm_tests(), hmm_tests()];
  t.not(one.fixtures, two.fixtures);
  t.equal(new Set([...one.cases(), ...two.cases()].map((it) => it.test)).size, 78);
});
