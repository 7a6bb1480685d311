// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { SPM_DEFAULT } from '../../harness/cli/options.ts';
import { run_suite } from '../../harness/kselftest/run.ts';
import { patch_states } from '../../lib/patches/index.ts';
import { hmm_tests } from './index.ts';

const GIB = 1024 ** 3;
/** Tests that Linux 7.3.4 fails with coherent memory; with SLOW=1 all 78 run. */
const FAILING = [
  'migrate_multiple',
  'hmm_gup_test',
  'hmm_cow_in_device',
  'migrate_partial_unmap_fault',
  'migrate_remap_fault',
  'migrate_anon_huge_err',
  'migrate_anon_huge_zero_err',
  'snapshot',
];
const slow = process.env.SLOW === '1';
const filters = slow
  ? []
  : ['-V', 'hmm_device_private', '-V', 'hmm2_device_private', ...FAILING.flatMap((name) => ['-t', name])];
const count = slow ? 78 : FAILING.length;
/** In the whole suite Linux warns of pages that it loses, and one test finds too few then. */
const WARNINGS = { always: slow ? ['uncharge_folio', 'free_zone_device_folio'] : [], madvise: [] };
const LOST = { always: slow ? 1 : 0, madvise: 0 };

for (const thp of ['always', 'madvise'] as const) {
  const passing = count - LOST[thp];
  t.test(`with all proposed fixes ${passing} of ${count} tests pass, thp=${thp}`, { timeout: 300_000 }, async (t) => {
    let out = '';
    const patches = patch_states.filter((p) => p.kind === 'proposed').map((p) => p.id);
    const run = run_suite(
      hmm_tests(),
      { thp, spm: SPM_DEFAULT, mem: 6 * GIB, patches },
      filters,
      (text) => (out += text),
    );
    t.equal(run.code, LOST[thp], `npm run -s hmm-tests -- --spm --thp=${thp} --patches=${patches.join(',')}`);
    t.match(out, new RegExp(`# Totals: pass:${passing} fail:${LOST[thp]} `));
    if (LOST[thp] > 0) t.match(out, /^not ok \d+ hmm\.hmm_device_coherent\.benchmark_thp_migration$/m);
    t.same(run.findings, []);
    t.same(
      run.reports.map((report) => report.fn),
      WARNINGS[thp],
    );
  });
}
