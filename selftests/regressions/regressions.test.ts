// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { placeholders } from '../../harness/cases/check.ts';
import { type LoadedCase, run_regression } from '../../harness/regression/case.ts';
import { load_cases } from '../../harness/regression/load.ts';
import { state_file } from '../../harness/regression/patch_index.ts';
import { patch_states } from '../../lib/patches/index.ts';

const loaded = await load_cases();
const cases: LoadedCase[] = loaded.flatMap((it) => ('c' in it ? [it.c] : []));

t.test('each case can be loaded, and nothing is left to be filled in', async (t) => {
  for (const it of loaded) t.same('wrong' in it ? it.wrong : [], [], it.slug);
  for (const state of patch_states) t.same(placeholders(state_file(state)), [], state.id);
});

t.test('each case fails without its fix, in the way that it names, and passes with it', async (t) => {
  for (const c of cases) t.equal(run_regression(c).wrong, null, `${c.slug}: npm run -s regression -- run ${c.slug}`);
});

t.test('each patch state is shown by a case, and says what goes wrong unless its cases do', async (t) => {
  for (const { id, bug } of patch_states) {
    const shown = cases.filter((c) => c.without.includes(id) !== c.with.includes(id));
    t.ok(shown.length > 0, `${id}: npm run -s regression -- new --id ... --subject ...`);
    t.ok(bug !== undefined || shown.every((c) => c.bug.length > 0), `${id}: a bug, step by step`);
  }
});
