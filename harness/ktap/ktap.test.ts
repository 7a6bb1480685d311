// SPDX-License-Identifier: GPL-2.0-only

import { readFileSync } from 'node:fs';
import t from 'tap';
import { compare_reports, compare_run, in_words, type Report } from '../compare/agreement.ts';
import type { KernelReport } from './kernel_log.ts';
import { type KtapRun, read_ktap } from './ktap.ts';

const FIXTURES = new Set(['hmm', 'hmm2']);
const read = (text: string) => read_ktap(text, FIXTURES);
const recorded = (name: string): string =>
  readFileSync(new URL(`../../selftests/results/${name}.ktap`, import.meta.url), 'utf8');

const RAW = `# [INFO] detected hugetlb page size: 2048 KiB
TAP version 13
1..4
# Starting 4 tests from 2 test cases.
#  RUN           hmm.p.one ...
#            OK  hmm.p.one
ok 1 hmm.p.one
#  RUN           hmm.c.one ...
# hmm-tests.c:12:one:Expected a (0) == b (0)
# hmm-tests.c:1224:one:Expected buffer->cpages (0) == npages (1024)
# one: Test terminated by assertion
#          FAIL  hmm.c.one
not ok 2 hmm.c.one
#  RUN           hmm.c.two ...
could not open hmm dmirror driver (/dev/hmm_dmirror2)
#      SKIP      DEVICE_COHERENT not available
#            OK  hmm.c.two
ok 3 hmm.c.two # SKIP DEVICE_COHERENT not available
#  RUN           hmm2.c.three ...
# three: Test terminated unexpectedly by signal 9
#          FAIL  hmm2.c.three
not ok 4 hmm2.c.three
# FAILED: 2 / 4 tests passed.
# Totals: pass:1 fail:2 xfail:0 xpass:0 skip:1 error:0
`;

const WORDS = [
  'hmm.p.one pass',
  'hmm.c.one FAIL  one:Expected a (0) == b (0); one:Expected buffer->cpages (0) == npages (1024); Test terminated by assertion',
  'hmm.c.two skip  DEVICE_COHERENT not available',
  'hmm2.c.three FAIL  Test terminated unexpectedly by signal 9',
];
const words = (run: KtapRun): string[] => run.results.map((r) => `${r.name} ${in_words(r)}`);
const prefixed = (text: string): string => text.replace(/^/gm, '# ').replace(/# $/, '');

t.test('raw output: verdicts, assertions without file and line, ends, reasons', async (t) => {
  const file = read(RAW);
  t.equal(file.runs.length, 1);
  t.same(words(file.runs[0]), WORDS);
  t.equal(file.runs[0].plan, 4);
  t.same(file.runs[0].unfinished, []);
});

t.test("the kselftest runner's nested form gives the same", async (t) => {
  const nested = `TAP version 13
1..2
# timeout set to 900
# selftests: mm: test_hmm.sh
# Running smoke test. Note, this test provides basic coverage.
${prefixed(RAW)}not ok 1 selftests: mm: test_hmm.sh # exit=1
# timeout set to 900
# selftests: mm: guard-regions
# TAP version 13
# 1..1
# #  RUN           guard_regions.anon.basic ...
# #            OK  guard_regions.anon.basic
# ok 1 guard_regions.anon.basic
ok 2 selftests: mm: guard-regions
`;
  const file = read(nested);
  t.equal(file.runs.length, 1);
  t.same(words(file.runs[0]), WORDS);
  t.equal(file.foreign, 3, "the runner's own two results and the one of another program");
});

t.test('nested twice by run_vmtests.sh, without a version line inside', async (t) => {
  const inner = RAW.replace('TAP version 13\n', '');
  const nested = `TAP version 13
1..1
# selftests: mm: run_vmtests.sh
# # -------------------------------
# # running bash ./test_hmm.sh smoke
# # -------------------------------
${prefixed(prefixed(inner))}# # [FAIL]
# not ok 1 hmm smoke # exit=1
not ok 1 selftests: mm: run_vmtests.sh # exit=1
`;
  const file = read(nested);
  t.equal(file.runs.length, 1);
  t.same(words(file.runs[0]), WORDS);
});

t.test('console noise between lines and in the middle of one', async (t) => {
  const noisy = RAW.replace(
    '#  RUN           hmm.p.one',
    '[   12.345678] WARNING: CPU: 1 PID: 77 at mm/memremap.c:1 x+0x1/0x2\r\n[   12.345679][  T77] ok 1 hmm.p.nonsense\n$&',
  )
    .replace('not ok 2 hmm.c.one', 'not ok 2 hmm.[   13.000001] device is gone\n[   13.000002] really\nc.one')
    .replace('ok 3 hmm.c.two', '<4>[  14.100000] Call Trace:\n$&')
    .replace(/\n/g, '\r\n');
  t.same(words(read(noisy).runs[0]), WORDS);
});

t.test('a console that cuts a line right before its end keeps the next line whole', async (t) => {
  const noisy = RAW.replace('ok 1 hmm.p.one\n', 'ok 1 hmm.p.one[   12.345678] late\n');
  t.same(words(read(noisy).runs[0]), WORDS);
});

t.test('directives of the harness', async (t) => {
  const [run] = read('1..3\nok 1 hmm.a # XFAIL unknown\nok 2 hmm.b # XPASS unknown\nok 3 hmm.c # SKIP\n').runs;
  t.same(
    run.results.map((r) => `${r.name} ${r.verdict} ${r.reason}`),
    ['hmm.a xfail unknown', 'hmm.b XPASS unknown', 'hmm.c skip '],
  );
});

t.test('a run that stopped in a test names it', async (t) => {
  const [run] = read(RAW.slice(0, RAW.indexOf('# three:'))).runs;
  t.same(run.unfinished, ['hmm2.c.three']);
  t.equal(run.results.length, 3);
  t.same(read('TAP version 13\n1..1\n#  RUN           hmm.p.one ...\n').runs[0].unfinished, ['hmm.p.one']);
});

t.test('tests by themselves, with what the kernel reported', async (t) => {
  const one = (name: string): string =>
    `---ISO ${name}\nTAP version 13\n1..1\n#  RUN           ${name} ...\nok 1 ${name}\n# exit status 0\n`;
  const file = read(
    `${one('hmm.p.one')}${one('hmm.c.one')}KERNEL 3 WARNING memremap_pages\nKERNEL 1 OOPS dmirror_fault\n---ISO hmm.c.dead\n`,
  );
  t.same(
    file.runs.map((r) => r.iso),
    ['hmm.p.one', 'hmm.c.one', 'hmm.c.dead'],
  );
  t.same(file.runs[0].kernel, []);
  t.same(file.runs[1].kernel, [
    { kind: 'WARNING', count: 3, fn: 'memremap_pages', test: 'hmm.c.one', text: '' },
    { kind: 'OOPS', count: 1, fn: 'dmirror_fault', test: 'hmm.c.one', text: '' },
  ]);
  t.same(file.runs[2].unfinished, ['hmm.c.dead']);
});

t.test('what holds no result of the suite gives no run', async (t) => {
  for (const text of ['', 'hello\nworld\n', 'TAP version 13\n1..0\n', 'ok 1 selftests: mm: hmm\n', '{"ok": 1}'])
    t.same(read(text).runs, []);
});

t.test('the recorded files are read whole', async (t) => {
  for (const [name, results, failed] of [
    ['smoke', 78, 0],
    ['spm-always', 78, 9],
    ['spm-madvise', 78, 1],
    ['spm-never', 78, 4],
  ] as const) {
    const { runs } = read(recorded(name));
    t.equal(runs.length, 1, name);
    t.equal(runs[0].results.length, results, name);
    const fails = runs[0].results.filter((r) => r.verdict === 'FAIL');
    t.equal(fails.length, failed, name);
    for (const r of fails) t.not(r.end, '', `${name} ${r.name} says how it ended`);
  }
  for (const [name, warned] of [
    ['iso-always', 12],
    ['iso-madvise', 8],
    ['iso-never', 2],
  ] as const) {
    const { runs } = read(recorded(name));
    t.equal(runs.length, 76, name);
    t.equal(runs.filter((r) => r.kernel.length > 0).length, warned, name);
    t.ok(
      runs.every((r) => r.results.length === 1 && r.results[0].name === r.iso),
      name,
    );
  }
});

t.test('equal runs agree; each kind of difference is named', async (t) => {
  const [run] = read(RAW).runs;
  t.same(compare_run(run, run, null), { compared: 4, same: 4, differences: [] });
  const other = (from: string, to: string) => compare_run(run, read(RAW.replace(from, to)).runs[0], null).differences;
  t.match(other('ok 1 hmm.p.one', 'not ok 1 hmm.p.one'), [{ name: 'hmm.p.one', file: 'pass', model: 'FAIL' }]);
  t.same(other('npages (1024)', 'npages (1023)').length, 1, 'another value in an assertion');
  t.same(other('hmm-tests.c:1224:', 'hmm-tests.c:99:'), [], 'line numbers do not count');
  t.same(other('by signal 9', 'by signal 11').length, 1);
  t.match(other('ok 1 hmm.p.one\n', ''), [{ name: 'hmm.p.one', file: 'pass', model: 'no result' }]);
});

t.test('reports of the kernel are compared by function, its callers and what is inlined into them', async (t) => {
  const warn = (fn: string, ...path: string[]): Report => ({ kind: 'WARNING', fn, path, test: null, once: false });
  const two: KernelReport[] = [{ kind: 'WARNING', count: 2, fn: 'memremap_pages', test: null, text: '' }];
  t.same(compare_reports(two, [warn('pagemap_range'), warn('helper', 'helper', 'memremap_pages')]), {
    file: '',
    model: '',
  });
  t.same(compare_reports(two, [warn('memremap_pages')]), { file: '1 WARNING memremap_pages', model: '' });
  t.same(compare_reports([], [warn('a'), warn('a'), { ...warn('b'), kind: 'OOPS' }]), {
    file: '',
    model: '2 WARNING a, 1 OOPS b',
  });
  const [run] = read(RAW).runs;
  t.match(compare_run({ ...run, kernel: two }, run, []).differences[0], {
    name: null,
    file: '2 WARNING memremap_pages',
    model: 'no report of the kernel',
  });
});
