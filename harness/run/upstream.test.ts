// SPDX-License-Identifier: GPL-2.0-only
// Needs upstream's own binaries, which are not in the repository: `UPSTREAM_SELFTESTS=DIR SLOW=1`, where
// ../shared/tools/upstream-selftests built them in DIR.

import { readFileSync } from 'node:fs';
import t from 'tap';
import { hmm_tests } from '../../selftests/hmm-tests/index.ts';
import { SPM_DEFAULT, STANDARD_MACHINE } from '../cli/options.ts';
import { fixtures_of, model_run } from '../compare/model.ts';
import { type KtapRun, read_ktap } from '../ktap/ktap.ts';

const DIR = process.env.UPSTREAM_SELFTESTS;
const RESULTS = new URL('../../selftests/results/', import.meta.url);

const RECORDED = [
  ['smoke', 'always', null],
  ['spm-always', 'always', SPM_DEFAULT],
  ['spm-madvise', 'madvise', SPM_DEFAULT],
  ['spm-never', 'never', SPM_DEFAULT],
] as const;

t.setTimeout(0);

function recorded_run(name: string): KtapRun {
  const text = readFileSync(new URL(`${name}.ktap`, RESULTS), 'utf8');
  return read_ktap(text, fixtures_of(hmm_tests())).runs[0];
}

for (const [name, thp, spm] of DIR === undefined || process.env.SLOW === undefined ? [] : RECORDED) {
  t.test(`upstream's hmm-tests gives on the model what it gave on Linux: ${name}`, async (t) => {
    const list = hmm_tests();
    const binary = { file: `${DIR}/hmm-tests`, root: '/', cpu: 'v1' } as const;
    const { run, errors } = model_run(hmm_tests, new Set(list.names()), { ...STANDARD_MACHINE, thp, spm }, { binary });
    t.same(errors, []);
    t.same(
      run.results.map((r) => [r.name, r.verdict, r.asserts]),
      recorded_run(name).results.map((r) => [r.name, r.verdict, r.asserts]),
    );
  });
}

t.test('what upstream printed is there to compare with', async (t) => {
  for (const [name] of RECORDED) t.equal(recorded_run(name).results.length, hmm_tests().names().length, name);
});
