// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { SPM_DEFAULT } from '../../harness/cli/options.ts';
import { run_suite } from '../../harness/kselftest/run.ts';
import { type PatchId, patch_states } from '../../lib/patches/index.ts';
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
const ALL = patch_states.filter((p) => p.kind === 'proposed').map((p) => p.id);
/** The fixes of what splitting or half unmapping a coherent folio breaks. */
const OF_COHERENT_FOLIOS: readonly PatchId[] = ['fix-coherent-split', 'fix-coherent-deferred-split'];

function run(thp: 'always' | 'madvise', patches: readonly PatchId[]) {
  let out = '';
  const config = { thp, spm: SPM_DEFAULT, mem: 6 * GIB, patches };
  const { code, findings, reports } = run_suite(hmm_tests(), config, filters, (text) => (out += text));
  const warnings = reports.map((report) => report.fn);
  return { out, code, findings, warnings, command: `--spm --thp=${thp} --patches=${patches.join(',')}` };
}

for (const thp of ['always', 'madvise'] as const) {
  t.test(`with all proposed fixes ${count} of ${count} tests pass, thp=${thp}`, async (t) => {
    const { out, code, findings, warnings, command } = run(thp, ALL);
    t.equal(code, 0, `npm run -s hmm-tests -- ${command}`);
    t.match(out, `# Totals: pass:${count} fail:0 `);
    t.same(findings, []);
    t.same(warnings, []);
  });
}

t.test(
  'without those of coherent folios Linux loses pages, warns, and one test finds too few',
  {
    timeout: 300_000,
    skip: !slow && 'only the whole suite shows it',
  },
  async (t) => {
    const { out, code, findings, warnings, command } = run(
      'always',
      ALL.filter((id) => !OF_COHERENT_FOLIOS.includes(id)),
    );
    t.equal(code, 1, `npm run -s hmm-tests -- ${command}`);
    t.match(out, '# Totals: pass:77 fail:1 ');
    t.match(out, /^not ok \d+ hmm\.hmm_device_coherent\.benchmark_thp_migration$/m);
    t.same(findings, []);
    t.same(warnings, ['uncharge_folio', 'free_zone_device_folio']);
  },
);
