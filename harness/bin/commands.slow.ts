// SPDX-License-Identifier: GPL-2.0-only
// The command-line programs as a user starts them: output, exit status, and what they say to bad input.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';

t.setTimeout(300_000);

const top = fileURLToPath(new URL('../..', import.meta.url));

function run(program: string, ...argv: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, ['--import', 'tsx', `harness/bin/${program}.ts`, ...argv], {
    cwd: top,
    encoding: 'utf8',
  });
}

t.test('hmm-tests prints what the recorded Linux printed, and the same bytes each time', async (t) => {
  const argv = ['-t', 'open_close', '-t', 'anon_read', '-r', 'hmm2.hmm2_device_private.double_map'];
  const { status, stdout } = run('hmm-tests', ...argv);
  const recorded = readFileSync(`${top}selftests/results/smoke.ktap`, 'utf8');
  t.equal(status, 0);
  const lines = stdout.split('\n');
  t.same(lines.slice(0, 5), [...recorded.split('\n').slice(0, 3), '1..5', '# Starting 5 tests from 3 test cases.']);
  for (const line of lines.filter((it) => /^#( {2}RUN| {12}OK| {6}SKIP)/.test(it))) t.match(recorded, `${line}\n`);
  t.match(
    stdout,
    /# PASSED: 5 \/ 5 tests passed\.\n# 2 skipped test\(s\) detected\.[^\n]*\n# Totals: pass:3 fail:0 xfail:0 xpass:0 skip:2 error:0\n$/,
  );
  t.equal(run('hmm-tests', ...argv).stdout, stdout);
});

t.test("hmm-tests keeps its own options apart from the suite's", async (t) => {
  const unknown = run('hmm-tests', '--frobnicate');
  t.equal(unknown.status, 2);
  t.match(unknown.stderr, /^hmm-tests: unknown option --frobnicate; --help lists the options\n$/);
  t.equal(run('hmm-tests', '-q').status, 1, "an unknown option of the suite is upstream's KSFT_FAIL");
  const help = run('hmm-tests', '-h');
  t.equal(help.status, 4, "-h is the suite's, whose exit status is KSFT_SKIP");
  t.match(help.stdout, /-T name/);
  const mem = run('hmm-tests', '--mem=5');
  t.equal(mem.status, 2);
  t.match(mem.stderr, /expected a multiple of 4 MiB/);
});

t.test('compare says what is wrong with a file that it cannot use, and names it', async (t) => {
  for (const [path, why] of [
    ['no-such-file.ktap', /no-such-file\.ktap: there is no such file/],
    ['package.json', /package\.json: no KTAP results of hmm-tests in it/],
    ['harness', /harness: it is a directory/],
    ['/dev/null', /\/dev\/null: the file is empty/],
  ] as const) {
    const { status, stderr } = run('compare', path);
    t.equal(status, 2, path);
    t.match(stderr, why);
  }
  t.match(run('compare').stderr, /expected FILE, got nothing/);
  t.match(run('compare', 'a', '--thp=x').stderr, /--thp=x: expected always, madvise or never/);
});

t.test('compare runs what the file holds, and tells by its exit status', async (t) => {
  const dir = t.testdir({
    'good.ktap': 'TAP version 13\n1..1\nok 1 hmm.hmm_device_private.anon_read\n',
    'cut.ktap': 'TAP version 13\n1..2\n#  RUN           hmm.hmm_device_private.anon_read ...\n',
    'bad.ktap':
      '# TAP version 13\n# 1..2\n# ok 1 hmm.hmm_device_private.open_close\n# not ok 2 hmm.hmm_device_private.anon_read\n',
    'new.ktap': 'ok 1 hmm.hmm_device_private.not_there_yet\n',
  });
  const good = run('compare', `${dir}/good.ktap`, '--no-why');
  t.match(
    good.stdout,
    /^machine: THP always, no coherent memory, 6 GiB[^]*\ncompared 1 results: 1 identical, 0 differ\n$/,
  );
  t.equal(good.status, 0);
  const bad = run('compare', `${dir}/bad.ktap`, '--no-why');
  t.match(
    bad.stdout,
    /\nhmm\.hmm_device_private\.anon_read\n {2}file: {2}FAIL\n {2}model: pass\n[^]*compared 2 results: 1 identical, 1 differ\n$/,
  );
  t.equal(bad.status, 1);
  const cut = run('compare', `${dir}/cut.ktap`, '--no-why');
  t.match(
    cut.stdout,
    /anon_read was started and has no result[^]*compared 0 results: 0 identical, 0 differ; the file is/,
  );
  t.equal(cut.status, 1);
  const newer = run('compare', `${dir}/new.ktap`, '--no-why');
  t.match(newer.stdout, /1 of the file's tests are not in the model's suite, as with a newer one: not_there_yet\n/);
  t.equal(newer.status, 1, 'nothing was compared');
});

t.test('compare answers as JSON and as KTAP, and reads standard input', async (t) => {
  const argv = ['--import', 'tsx', 'harness/bin/compare.ts', '-', '--quiet', '--no-why'];
  const input =
    'TAP version 13\n1..2\nok 1 hmm.hmm_device_private.open_close\nnot ok 2 hmm.hmm_device_private.anon_read\n';
  const json = spawnSync(process.execPath, [...argv, '--json'], { cwd: top, encoding: 'utf8', input });
  t.equal(json.status, 1);
  t.match(JSON.parse(json.stdout), {
    file: 'standard input',
    verdict: 'differs',
    compared: 2,
    identical: 1,
    differences: [{ name: 'hmm.hmm_device_private.anon_read', what: 'result', file: 'FAIL', model: 'pass' }],
    missing: [],
  });
  const ktap = spawnSync(process.execPath, [...argv, '--ktap'], { cwd: top, encoding: 'utf8', input });
  t.equal(ktap.status, 1);
  t.match(
    ktap.stdout,
    /^TAP version 13\n1\.\.3\n[^]*ok 1 hmm\S+open_close\n[^]*not ok 2 hmm\S+anon_read\nok 3 the file is whole\n# Totals: pass:2 fail:1 /,
  );
});

t.test('hmm-tests refuses a filter that names nothing, which upstream passes with 0 tests', async (t) => {
  for (const [filter, name, near] of [
    ['-r', 'hmm.hmm_device_private.anon_reed', '; did you mean hmm.hmm_device_private.anon_read?'],
    ['-t', 'anon_reed', '; did you mean anon_read?'],
    ['-T', 'nothing_like_it', ''],
    ['-v', 'hmm_device_private2', '; did you mean hmm_device_private?'],
    ['-F', 'xxxx', ''],
  ] as const) {
    const { status, stdout, stderr } = run('hmm-tests', filter, name);
    t.same([status, stdout], [2, '']);
    t.equal(stderr, `hmm-tests: ${filter} ${name}: nothing of the suite has that name, -l lists it${near}\n`);
  }
});

t.test('every command tells its options and exits with 0', async (t) => {
  for (const program of ['bench', 'compare', 'explore', 'hmm-tests', 'regression', 'replay', 'start']) {
    const { status, stdout, stderr } = run(program, '--help');
    t.same([status, stderr], [0, ''], program);
    t.match(stdout, new RegExp(`^usage: npm run -s ${program} -- `));
  }
});

t.test('start refuses an option that it does not know', async (t) => {
  const { status, stderr } = run('start', '--everything');
  t.equal(status, 2);
  t.match(stderr, /unknown option --everything/);
});
