// SPDX-License-Identifier: GPL-2.0-only

import { readFileSync } from 'node:fs';
import t from 'tap';
import { WEXITSTATUS } from '../../lib/user/uapi.ts';
import { runFake } from './fixtures/fake_libc.ts';
import { getopt } from './getopt.ts';
import { harness_selftest } from './harness-selftest.ts';
import { FIXTURE, runSuite, test_enabled, TestList } from './kselftest_harness.ts';

const golden = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8');

/** Runs a suite. Returns its output with line numbers removed, and its exit code. */
function run(list: TestList, ...argv: string[]): { out: string; code: number } {
  let out = '';
  const status = runFake(
    (c) => runSuite(c, list, argv),
    (text) => {
      out += text;
    },
  );
  return { out: out.replace(/^(# [\w-]+\.c):\d+:/gm, '$1:N:'), code: WEXITSTATUS(status) };
}

const results = (out: string): string[] =>
  out
    .split('\n')
    .filter((line) => /^(not )?ok /.test(line))
    .map((line) => line.replace(/^((?:not )?ok) \d+ /, '$1 '));

t.test("the harness prints what upstream's harness prints for the same tests", async (t) => {
  const { out, code } = run(harness_selftest);
  t.equal(out, golden('harness-selftest.expected'));
  t.equal(code, 1, 'a failed test makes the program exit with KSFT_FAIL');
});

t.test('-l lists the tests as upstream does and exits with KSFT_SKIP', async (t) => {
  const { out, code } = run(harness_selftest, '-l');
  t.equal(out, golden('harness-selftest.list'));
  t.equal(code, 4);
});

t.test('-h explains the options and exits with KSFT_SKIP; a bad option exits with KSFT_FAIL', async (t) => {
  const help = run(harness_selftest, '-h');
  t.equal(help.code, 4);
  for (const letter of 'hldtTvVfFr') t.match(help.out, new RegExp(`^\\t-${letter} `, 'm'));
  const unknown = run(harness_selftest, '-q');
  t.equal(unknown.code, 1);
  t.match(unknown.out, "harness-selftest: invalid option -- 'q'\nUsage: ");
  const missing = run(harness_selftest, '-t');
  t.equal(missing.code, 1);
  t.match(missing.out, "harness-selftest: option requires an argument -- 't'\nUsage: ");
});

t.test('-d turns debug prints on', async (t) => {
  t.match(run(harness_selftest, '-d', '-t', 'debug_text').out, /^# only with -d$/m);
  t.notMatch(run(harness_selftest, '-t', 'debug_text').out, 'only with -d');
});

t.test('the first filter that names a test decides', async (t) => {
  t.same(results(run(harness_selftest, '-T', 'pass', '-f', 'parent_teardown').out), ['not ok parent_teardown.assert']);
  t.same(results(run(harness_selftest, '-r', 'kinds.large.pass', '-r', 'global.plain_pass').out), [
    'ok global.plain_pass',
    'ok kinds.large.pass',
  ]);
  t.equal(test_enabled(['-V', 'large'], 'kinds', 'small', 'pass'), true, 'only exclusions: the rest runs');
  t.equal(test_enabled(['-V', 'large'], 'kinds', 'large', 'pass'), false);
  t.equal(
    test_enabled(['-v', 'large', '-T', 'pass'], 'kinds', 'large', 'pass'),
    true,
    'the including filter came first',
  );
  t.equal(test_enabled(['-T', 'pass', '-v', 'large'], 'kinds', 'large', 'pass'), false);
  t.equal(
    test_enabled(['-v', 'large'], 'kinds', 'small', 'pass'),
    false,
    'with an including filter the rest stays out',
  );
  t.equal(test_enabled(['-F', 'kinds'], 'kinds', 'small', 'pass'), false);
  t.equal(test_enabled(['-d'], 'kinds', 'small', 'pass'), true);
});

t.test('a run whose tests all pass says so and exits with KSFT_PASS', async (t) => {
  const { out, code } = run(harness_selftest, '-r', 'kinds.small.pass');
  t.equal(code, 0);
  t.match(out, '1..1\n# Starting 1 tests from 1 test cases.\n');
  t.match(out, /# PASSED: 1 \/ 1 tests passed\.\n# Totals: pass:1 fail:0 xfail:0 xpass:0 skip:0 error:0\n$/);
});

t.test('a message names the line of the assertion in the suite', async (t) => {
  const lines = readFileSync(new URL('harness-selftest.ts', import.meta.url), 'utf8').split('\n');
  const line = lines.findIndex((text) => text.includes("t.ASSERT_EQ(-2, 0, 'ret', '0')")) + 1;
  let out = '';
  runFake(
    (c) => runSuite(c, harness_selftest, ['-r', 'kinds.small.assert_stops'], (text) => void (out += text)),
    () => {},
  );
  t.match(out, `# harness-selftest.c:${line}:assert_stops:Expected ret (-2) == 0 (0)\n`);
});

t.test('64-bit values are compared and printed exactly', async (t) => {
  const f = FIXTURE('wide');
  f.TEST_F('differ', function* ({ t: test }) {
    test.EXPECT_EQ(0xffff_ffff_ffff_fffen, 0xffff_ffff_ffff_ffffn, 'a', 'b');
    test.EXPECT_EQ(5n, 5, 'a', 'b');
    test.EXPECT_LE(5n, 4, 'a', 'b');
    test.EXPECT_TRUE(true, 'yes');
  });
  const { out } = run(new TestList('wide', [f]));
  t.match(out, 'Expected a (18446744073709551614) == b (18446744073709551615)\n');
  t.match(out, 'Expected a (5) <= b (4)\n');
  t.equal(out.match(/Expected/g)?.length, 2);
});

t.test('constructors run before the header, exit handlers after the totals', async (t) => {
  const list = new TestList('hooks');
  list.constructors.push(function* (_c, ksft) {
    ksft.ksft_print_msg('first\n');
  });
  list.atexit.push(function* (_c, ksft) {
    ksft.ksft_print_msg('last\n');
  });
  t.match(run(list).out, /^# first\nTAP version 13\n1\.\.0\n[^]*# last\n$/);
});

t.test('an expectation about a variant or test that does not exist is an error', async (t) => {
  const f = FIXTURE<object, number>('f');
  f.VARIANT_ADD('v', 1);
  t.throws(() => f.XFAIL_ADD('w', 'test'), /fixture f has no variant w/);
  t.throws(() => f.XFAIL_ADD('v', 'test'), /fixture f has no test test/);
});

t.test('an exception that is no assertion leaves the harness', async (t) => {
  const list = new TestList('broken');
  list.TEST('throws', function* () {
    throw new TypeError('a mistake in the port');
  });
  t.throws(() => run(list), /a mistake in the port/);
});

t.test('getopt reads options as GNU getopt does', async (t) => {
  const read = (...argv: string[]): string[] => getopt(argv, 'dt:').map((o) => `${o.opt}=${o.optarg}`);
  t.same(read('-dt', 'x'), ['d=', 't=x']);
  t.same(read('-tx', 'word', '-d'), ['t=x', 'd=']);
  t.same(read('-t', '-d'), ['t=-d'], 'an argument may look like an option');
  t.same(read('--', '-d'), []);
  t.same(read('-'), []);
  t.same(
    getopt(['-x', '-t'], 'dt:').map((o) => o.error),
    ["invalid option -- 'x'", "option requires an argument -- 't'"],
  );
});
