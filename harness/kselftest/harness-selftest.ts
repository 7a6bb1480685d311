// SPDX-License-Identifier: GPL-2.0-only
// A test program whose tests pass, fail, skip, time out and crash on purpose, like those of
// tools/testing/selftests/kselftest_harness/. Its output is compared with harness-selftest.expected.

import { FIXTURE, TestList, type TestMeta } from './kselftest_harness.ts';

const SIGUSR1 = 10;
const SIGSEGV = 11;
const SECOND = 1_000_000_000;

interface Self {
  pid: number;
}

const kinds = FIXTURE<Self, { size: number }>('kinds');
kinds.VARIANT_ADD('small', { size: 1 });
kinds.VARIANT_ADD('large', { size: 100 });

kinds.SETUP(function* ({ self, variant, c, t }) {
  self.pid = c.getpid();
  t.TH_LOG(`setup size=${variant.size}`);
});

kinds.TEARDOWN(function* ({ self, c, t }) {
  t.TH_LOG(`teardown same-process=${Number(self.pid === c.getpid())}`);
});

function assert_in_a_helper(t: TestMeta): void {
  t.ASSERT_EQ(0, 0, '0', '0');
}

kinds.TEST_F('pass', function* ({ t }) {
  t.TH_LOG('before');
  assert_in_a_helper(t);
  t.TH_LOG('after');
});

kinds.TEST_F('only_large_passes', function* ({ variant, t }) {
  t.ASSERT_GT(variant.size, 10, 'variant->size', '10');
});
kinds.XFAIL_ADD('small', 'only_large_passes');

kinds.TEST_F('passes_though_expected_to_fail', function* () {});
kinds.XFAIL_ADD('large', 'passes_though_expected_to_fail');

kinds.TEST_F('expect_goes_on', function* ({ t }) {
  t.EXPECT_EQ(-1, 1, 'one', 'other');
  t.EXPECT_NE(7, 7, 'seven', '7');
  t.EXPECT_LT(2, 1, '2', '1');
  t.EXPECT_LE(2, 1, '2', '1');
  t.EXPECT_GT(1, 2, '1', '2');
  t.EXPECT_GE(1, 2, '1', '2');
  t.EXPECT_STREQ('abc', 'abd');
  t.EXPECT_STRNE('abc', 'abc');
  t.EXPECT_TRUE(0, 'truth');
  t.EXPECT_FALSE(3, 'lie');
  t.EXPECT_NULL(4096, 'ptr');
  t.EXPECT_NE(-1, -1, 'ptr', 'MAP_FAILED');
  t.TH_LOG('after');
});

kinds.TEST_F('assert_stops', function* ({ t }) {
  t.ASSERT_EQ(-2, 0, 'ret', '0');
  t.TH_LOG('never reached');
});

kinds.TEST_F('skip', function* ({ t }) {
  t.SKIP('nothing to test here');
});

kinds.TEST_F_TIMEOUT('timeout', 1, function* ({ c, t }) {
  t.TH_LOG('before');
  yield* c.nanosleep(2 * SECOND);
  t.TH_LOG('never reached');
});

kinds.TEST_F('crash', function* ({ c }) {
  yield* c.load32(0);
});

kinds.TEST_F('killed', function* ({ c }) {
  yield* c.kill(c.getpid(), SIGSEGV);
});

kinds.TEST_F('assert_in_a_forked_child', function* ({ c, t }) {
  const pid = yield* c.fork(function* () {
    t.ASSERT_EQ(1, 2, '1', '2');
  });
  const { status } = yield* c.waitpid(pid);
  t.EXPECT_EQ(6, status & 0x7f, '6', 'WTERMSIG(status)');
});

const parent = FIXTURE<Self>('parent_teardown');
parent.SETUP(function* ({ self, c, t }) {
  t.TH_LOG('setup');
  self.pid = c.getpid();
});
parent.TEARDOWN_PARENT(function* ({ self, c, t }) {
  t.TH_LOG(`teardown same-process=${Number(self.pid === c.getpid())}`);
});
parent.TEST_F('pass', function* ({ t }) {
  t.TH_LOG('test');
});
parent.TEST_F('assert', function* ({ t }) {
  t.ASSERT_TRUE(false, 'truth');
});

const broken = FIXTURE<Self>('broken_setup');
broken.SETUP(function* ({ t }) {
  t.ASSERT_EQ(0, 1, '0', '1');
});
broken.TEARDOWN(function* ({ t }) {
  t.TH_LOG('never reached');
});
broken.TEST_F('never_runs', function* ({ t }) {
  t.TH_LOG('never reached');
});

const skipping = FIXTURE<Self>('skipping_setup');
skipping.SETUP(function* ({ t }) {
  t.SKIP('no device');
});
skipping.TEARDOWN(function* ({ t }) {
  t.TH_LOG('never reached');
});
skipping.TEST_F('never_runs', function* ({ t }) {
  t.TH_LOG('never reached');
});

/** The program. Tests without a fixture come first, as in upstream's list. */
export const harness_selftest = new TestList('harness-selftest', [kinds, parent, broken, skipping]);

harness_selftest.TEST('plain_pass', function* ({ t }) {
  t.TH_LOG('before');
  t.ASSERT_EQ(0, 0, '0', '0');
});

harness_selftest.TEST('plain_fail', function* ({ t }) {
  t.EXPECT_EQ(0, 1, '0', '1');
  t.ASSERT_EQ(0, 1, '0', '1');
  t.TH_LOG('never reached');
});

harness_selftest.TEST_SIGNAL('signal_pass', SIGUSR1, function* ({ c }) {
  yield* c.kill(c.getpid(), SIGUSR1);
});

harness_selftest.TEST_SIGNAL('signal_fail', SIGUSR1, function* ({ t }) {
  t.TH_LOG('no signal');
});

for (const [name, code] of [
  ['pass', 0],
  ['fail', 1],
  ['xfail', 2],
  ['xpass', 3],
  ['skip', 4],
  ['other', 5],
] as const) {
  harness_selftest.TEST(`exit_${name}`, function* ({ c }) {
    yield* c.exit(code);
  });
}

harness_selftest.TEST('low_level_pass', function* ({ t }) {
  t.ksft.ksft_test_result_pass('');
});

harness_selftest.TEST('low_level_fail', function* ({ t }) {
  t.ksft.ksft_test_result_fail('');
});

harness_selftest.TEST('debug_text', function* ({ t }) {
  t.ksft.ksft_print_dbg_msg('only with -d\n');
});
