// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { load_cases } from '../../harness/bin/regression.ts';
import { run_regression } from '../../harness/regression/case.ts';
import { patch_states } from '../../lib/patches/index.ts';

t.test('each case fails without its fix, in the way that it names, and passes with it', async (t) => {
  for (const c of await load_cases()) {
    const v = run_regression(c);
    t.equal(v.wrong, null, `${c.slug}: npm run -s regression -- run ${c.slug}`);
  }
});

t.test('each patch state is shown by a case', async (t) => {
  const cases = await load_cases();
  for (const { id } of patch_states) {
    t.ok(
      cases.some((c) => c.without.includes(id) !== c.with.includes(id)),
      `${id}: npm run -s regression -- new --id ${id} --subject ...`,
    );
  }
});
