// SPDX-License-Identifier: GPL-2.0-only
// Needs upstream's own binaries, which are not in the repository: `UPSTREAM_SELFTESTS=DIR SLOW=1`, where
// ../shared/tools/upstream-selftests built them in DIR.

import { readFileSync } from 'node:fs';
import t from 'tap';
import { hmm_tests } from '../../selftests/hmm-tests/index.ts';
import { SPM_DEFAULT, STANDARD_MACHINE } from '../cli/options.ts';
import { fixtures_of, model_run } from '../compare/model.ts';
import { type KtapRun, read_ktap } from '../ktap/ktap.ts';
import { compare_program, recorded } from '../mm/recorded.ts';
import { run_mm_program } from '../mm/run.ts';

const DIR = process.env.UPSTREAM_SELFTESTS;
const RESULTS = new URL('../../selftests/results/', import.meta.url);

const RECORDED = [
  ['smoke', 'always', null],
  ['spm-always', 'always', SPM_DEFAULT],
  ['spm-madvise', 'madvise', SPM_DEFAULT],
  ['spm-never', 'never', SPM_DEFAULT],
] as const;

/** Other programs of upstream's that the model runs to their end. */
const PROGRAMS = [
  'gup_test',
  'hugetlb_fault_after_madv',
  'hugetlb_madv_vs_map',
  'madv_populate',
  'map_fixed_noreplace',
  'mdwe_test',
  'mkdirty',
  'mrelease_test',
  'mremap_dontunmap',
  'mseal_test',
  'va_high_addr_switch',
];

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

/** The lines of a run, but for the line numbers of the port, and the times and rates of the benchmark's tables. */
function lines(output: string): string[] {
  return output
    .split('\n')
    .map((line) =>
      line.replace(/^(# )?\S+\.(?:c|ts):\d+:/, '$1FILE:LINE:').replace(/\d+\.\d+ (?:ms|GB\/s)|-?\d+\.\d%/g, 'FIGURE'),
    )
    .map((line) => line.replace(/ +/g, ' '));
}

const missing = DIR === undefined ? 'UPSTREAM_SELFTESTS=DIR does not name the binaries' : false;

for (const [thp, spm] of [
  ['always', null],
  ['never', SPM_DEFAULT],
] as const) {
  const skip = missing || (process.env.SLOW === undefined ? 'SLOW=1 runs it' : false);
  t.test(`the port and upstream's binary print the same, line by line: ${thp}`, { skip }, async (t) => {
    const machine = { ...STANDARD_MACHINE, thp, spm };
    const tests = new Set(hmm_tests().names());
    const ported = model_run(hmm_tests, tests, machine);
    const binary = { file: `${DIR}/hmm-tests`, root: '/', cpu: 'v1' } as const;
    const compiled = model_run(hmm_tests, tests, machine, { binary });
    t.same(lines(compiled.output), lines(ported.output));
    const reports = (run: typeof ported): unknown[] => run.reports.map(({ kind, fn, test }) => [kind, fn, test]);
    t.same(reports(compiled), reports(ported), 'what the kernel reported');
  });
}

for (const name of PROGRAMS) {
  t.test(`${name} prints on the model what it printed on Linux`, { skip: missing }, async (t) => {
    const linux = recorded('noswap', name);
    const run = run_mm_program({ file: `${DIR}/${name}`, root: '/', cpu: 'v1' }, linux.args, STANDARD_MACHINE);
    t.equal(compare_program(linux, run).difference, null);
    t.same([run.lacks, run.reports, run.findings], [null, [], []]);
  });
}

t.test('what upstream printed is there to compare with', async (t) => {
  for (const [name] of RECORDED) t.equal(recorded_run(name).results.length, hmm_tests().names().length, name);
});
