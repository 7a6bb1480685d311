// SPDX-License-Identifier: GPL-2.0-only
// Models tools/testing/selftests/kselftest_harness.h: fixtures, variants and assertions. The suite's main process forks
// a process per test, waits for it and judges it by its wait status.

import type { Gen } from '../../lib/kernel/gen.ts';
import { getopt } from './getopt.ts';
import { Ksft, KSFT_FAIL, KSFT_PASS, KSFT_SKIP, KSFT_XFAIL, KSFT_XPASS } from './kselftest.ts';
import type { Libc } from '../../lib/user/libc.ts';
import { EINTR, POLLIN, SIGKILL, WEXITSTATUS, WIFEXITED, WIFSIGNALED, WTERMSIG } from '../../lib/user/uapi.ts';

const TEST_TIMEOUT_DEFAULT = 30;

const SIGABRT = 6;
const WNOHANG = 1;

/** A value in a C comparison. A bigint is an unsigned 64-bit value that a number cannot represent. */
type Value = number | bigint | boolean;

/** What a failing ASSERT_* throws: the test process runs its teardown and aborts. NON-KERNEL. */
class Bail extends Error {}

/** What SKIP() throws, in the place of upstream's `return`. NON-KERNEL. */
class Skipped extends Error {}

export interface TestArgs<S, V> {
  self: S;
  variant: V;
  c: Libc;
  t: TestMeta;
}
type TestFn<S, V> = (args: TestArgs<S, V>) => Gen<void>;

interface Variant {
  name: string;
  data: unknown;
  /** Names of the tests that are expected to fail in this variant. */
  xfails: Set<string>;
}

/** Sees each process of a test (the one that judges it left out) before the test's own code runs in it. NON-KERNEL. */
export type Watch = (c: Libc, test: string) => void;

type Teardown = (in_parent: boolean, c: Libc) => Gen<void>;

const exact = (v: Value): bigint => BigInt(v);

/** Compares two plain numbers by JavaScript's operators, which agree with C's. */
const plain = (a: Value, b: Value): boolean => typeof a === 'number' && typeof b === 'number';

function holds(expected: Value, op: string, seen: Value): boolean {
  const a = exact(expected);
  const b = exact(seen);
  switch (op) {
    case '==':
      return a === b;
    case '!=':
      return a !== b;
    case '<':
      return a < b;
    case '<=':
      return a <= b;
    case '>':
      return a > b;
    default:
      return a >= b;
  }
}

/**
 * Returns the source position of the running assertion: the first frame of the JavaScript stack outside of this file.
 */
function call_line(): number {
  for (const frame of (new Error().stack ?? '').split('\n').slice(1)) {
    if (frame.includes('/kselftest_harness.')) continue;
    const hit = /:(\d+):\d+\)?$/.exec(frame);
    if (hit !== null) return Number(hit[1]);
  }
  return 0;
}

/** One test: its position in the list, its state while it runs, and the assertions (struct __test_metadata). */
export class TestMeta {
  readonly name: string;
  readonly timeout: number;
  /** The signal that has to end the test, or -1. */
  readonly termsig: number;
  readonly run: (c: Libc, t: TestMeta, variant: Variant) => Gen<void>;
  pid = 0;
  exit_code = KSFT_PASS;
  reason = '';
  no_teardown = true;
  teardown_fn: Teardown | null = null;
  /** Output functions for the running test; the low-level ksft_test_result_* are not for tests of a suite. */
  ksft: Ksft = new Ksft(() => {});
  /** Name of the source file in messages. */
  file = '';
  log: (text: string) => void = () => {};
  watch: Watch | undefined;

  constructor(
    name: string,
    timeout: number,
    termsig: number,
    run: (c: Libc, t: TestMeta, variant: Variant) => Gen<void>,
  ) {
    this.name = name;
    this.timeout = timeout;
    this.termsig = termsig;
    this.run = run;
  }

  /** Writes a line with its source position to the test log. */
  TH_LOG(text: string): void {
    this.log(`# ${this.file}:${call_line()}:${this.name}:${text}\n`);
  }

  /** Ends the running function of the test. The test passes, and `reason` tells why it was skipped. */
  SKIP(reason: string): never {
    this.reason = reason;
    this.log(`#      SKIP      ${reason}\n`);
    this.exit_code = KSFT_SKIP;
    throw new Skipped();
  }

  private failed(text: string, is_assert: boolean): false {
    this.TH_LOG(text);
    this.exit_code = KSFT_FAIL;
    if (is_assert) throw new Bail();
    return false;
  }

  /**
   * Reports a failed comparison. A comparison with NULL or MAP_FAILED is one of pointers, so it prints unsigned values.
   */
  private check(expected: Value, op: string, seen: Value, et: string, st: string, is_assert: boolean): boolean {
    if (holds(expected, op, seen)) return true;
    const pointers = [et, st].some((text) => text === 'NULL' || text === 'MAP_FAILED');
    const shown = (v: Value): bigint => (pointers ? BigInt.asUintN(64, exact(v)) : exact(v));
    return this.failed(`Expected ${et} (${shown(expected)}) ${op} ${st} (${shown(seen)})`, is_assert);
  }

  private check_str(expected: string, op: '==' | '!=', seen: string, is_assert: boolean): boolean {
    if ((expected === seen) === (op === '==')) return true;
    return this.failed(`Expected '${expected}' ${op} '${seen}'.`, is_assert);
  }

  // ASSERT_* and EXPECT_* take (expected, seen) and the C text of both. Most calls are a single comparison.

  ASSERT_EQ(expected: Value, seen: Value, et: string, st: string): void {
    if (expected !== seen) this.check(expected, '==', seen, et, st, true);
  }
  ASSERT_NE(expected: Value, seen: Value, et: string, st: string): void {
    if (!plain(expected, seen) || !(expected !== seen)) this.check(expected, '!=', seen, et, st, true);
  }
  ASSERT_LT(expected: Value, seen: Value, et: string, st: string): void {
    if (!plain(expected, seen) || !(expected < seen)) this.check(expected, '<', seen, et, st, true);
  }
  ASSERT_LE(expected: Value, seen: Value, et: string, st: string): void {
    if (!plain(expected, seen) || !(expected <= seen)) this.check(expected, '<=', seen, et, st, true);
  }
  ASSERT_GT(expected: Value, seen: Value, et: string, st: string): void {
    if (!plain(expected, seen) || !(expected > seen)) this.check(expected, '>', seen, et, st, true);
  }
  ASSERT_GE(expected: Value, seen: Value, et: string, st: string): void {
    if (!plain(expected, seen) || !(expected >= seen)) this.check(expected, '>=', seen, et, st, true);
  }
  ASSERT_NULL(seen: Value, st: string): void {
    this.check(0, '==', seen, 'NULL', st, true);
  }
  ASSERT_TRUE(seen: Value, st: string): void {
    this.check(0, '!=', seen, '0', st, true);
  }
  ASSERT_FALSE(seen: Value, st: string): void {
    this.check(0, '==', seen, '0', st, true);
  }
  ASSERT_STREQ(expected: string, seen: string): void {
    this.check_str(expected, '==', seen, true);
  }
  ASSERT_STRNE(expected: string, seen: string): void {
    this.check_str(expected, '!=', seen, true);
  }

  EXPECT_EQ(expected: Value, seen: Value, et: string, st: string): boolean {
    return expected === seen || this.check(expected, '==', seen, et, st, false);
  }
  EXPECT_NE(expected: Value, seen: Value, et: string, st: string): boolean {
    return this.check(expected, '!=', seen, et, st, false);
  }
  EXPECT_LT(expected: Value, seen: Value, et: string, st: string): boolean {
    return this.check(expected, '<', seen, et, st, false);
  }
  EXPECT_LE(expected: Value, seen: Value, et: string, st: string): boolean {
    return this.check(expected, '<=', seen, et, st, false);
  }
  EXPECT_GT(expected: Value, seen: Value, et: string, st: string): boolean {
    return this.check(expected, '>', seen, et, st, false);
  }
  EXPECT_GE(expected: Value, seen: Value, et: string, st: string): boolean {
    return this.check(expected, '>=', seen, et, st, false);
  }
  EXPECT_NULL(seen: Value, st: string): boolean {
    return this.check(0, '==', seen, 'NULL', st, false);
  }
  EXPECT_TRUE(seen: Value, st: string): boolean {
    return this.check(0, '!=', seen, '0', st, false);
  }
  EXPECT_FALSE(seen: Value, st: string): boolean {
    return this.check(0, '==', seen, '0', st, false);
  }
  EXPECT_STREQ(expected: string, seen: string): boolean {
    return this.check_str(expected, '==', seen, false);
  }
  EXPECT_STRNE(expected: string, seen: string): boolean {
    return this.check_str(expected, '!=', seen, false);
  }
}

/** Ends the process of a failed ASSERT: one teardown if the fixture still needs it, then abort(). */
function* bail(c: Libc, t: TestMeta): Gen<number> {
  try {
    if (t.teardown_fn !== null) yield* t.teardown_fn(false, c);
  } catch (e) {
    if (!(e instanceof Bail) && !(e instanceof Skipped)) throw e;
  }
  yield* c.kill(c.getpid(), SIGABRT);
  return yield* c.exit(127);
}

/**
 * Runs the body of one process of a test, so that ASSERT_* and SKIP() work in it and in processes that it forks.
 * Returns the body's value.
 */
function* process_body(c: Libc, t: TestMeta, body: (c: Libc) => Gen<number | void>): Gen<number> {
  const { fork, pthread_create } = c;
  const watched =
    (inner: (own: Libc) => Gen<number | void>) =>
    (own: Libc): Gen<number> => {
      t.watch?.(own, t.name);
      return process_body(own, t, inner);
    };
  c.fork = (child) => fork.call(c, watched(child));
  c.pthread_create = (start) => pthread_create.call(c, watched(start));
  try {
    return (yield* body(c)) ?? 0;
  } catch (e) {
    if (e instanceof Bail) return yield* bail(c, t);
    if (!(e instanceof Skipped)) throw e;
  }
  // SKIP() in a process that the test forked returns into the harness, which tears down and exits.
  if (t.teardown_fn !== null) yield* t.teardown_fn(false, c);
  return 0;
}

function* until_skip(body: Gen<void>): Gen<void> {
  try {
    yield* body;
  } catch (e) {
    if (!(e instanceof Skipped)) throw e;
  }
}

/** The part of a fixture that the list uses, independent of its data. */
class FixtureBase {
  readonly name: string;
  readonly tests: TestMeta[] = [];
  readonly variants: Variant[] = [];
  constructor(name: string) {
    this.name = name;
  }
}

/** A fixture: the data of a test (`self`), its variants, and the tests in order of declaration. */
class Fixture<S extends object, V> extends FixtureBase {
  private setup: TestFn<S, V> | null = null;
  private teardown: TestFn<S, V> | null = null;
  private teardown_parent = false;

  VARIANT_ADD(name: string, data: V): void {
    this.variants.push({ name, data, xfails: new Set() });
  }

  SETUP(fn: TestFn<S, V>): void {
    this.setup = fn;
  }

  TEARDOWN(fn: TestFn<S, V>): void {
    this.teardown = fn;
  }

  /** TEARDOWN that runs in the process that waits for the test's. */
  TEARDOWN_PARENT(fn: TestFn<S, V>): void {
    this.teardown = fn;
    this.teardown_parent = true;
  }

  TEST_F(name: string, fn: TestFn<S, V>): void {
    this.add(name, fn, -1, TEST_TIMEOUT_DEFAULT);
  }

  TEST_F_SIGNAL(name: string, signal: number, fn: TestFn<S, V>): void {
    this.add(name, fn, signal, TEST_TIMEOUT_DEFAULT);
  }

  /** `timeout` is in seconds of modelled time. */
  TEST_F_TIMEOUT(name: string, timeout: number, fn: TestFn<S, V>): void {
    this.add(name, fn, -1, timeout);
  }

  /** Marks a test as expected to fail in one variant: it reports XFAIL, or XPASS if it passes. */
  XFAIL_ADD(variant: string, test: string): void {
    const found = this.variants.find((v) => v.name === variant);
    if (found === undefined) throw new Error(`XFAIL_ADD: fixture ${this.name} has no variant ${variant}`);
    if (!this.tests.some((t) => t.name === test))
      throw new Error(`XFAIL_ADD: fixture ${this.name} has no test ${test}`);
    found.xfails.add(test);
  }

  private add(name: string, fn: TestFn<S, V>, termsig: number, timeout: number): void {
    this.tests.push(new TestMeta(name, timeout, termsig, (c, t, variant) => this.wrapper(c, t, variant.data as V, fn)));
  }

  /**
   * Runs in the process that the harness forked: forks the process that sets up, tests and tears down, and passes its
   * status on.
   */
  private *wrapper(c: Libc, t: TestMeta, variant: V, fn: TestFn<S, V>): Gen<void> {
    const self = {} as S;
    const { setup, teardown, teardown_parent } = this;
    t.no_teardown = true;
    const teardown_fn: Teardown = function* (in_parent, own) {
      if (teardown === null || teardown_parent !== in_parent || t.no_teardown) return;
      t.no_teardown = true;
      yield* until_skip(teardown({ self, variant, c: own, t }));
    };
    t.teardown_fn = teardown_fn;
    const child = yield* c.fork(function* (own) {
      const args: TestArgs<S, V> = { self, variant, c: own, t };
      if (setup !== null) yield* until_skip(setup(args));
      if (t.exit_code !== KSFT_PASS) return 0;
      t.no_teardown = false;
      yield* until_skip(fn(args));
      yield* teardown_fn(false, own);
      return 0;
    });
    let status = 0;
    if (child > 0) {
      const waited = yield* c.waitpid(child);
      status = waited.status;
      if (waited.pid !== child) this.no_grandchild(t);
    } else {
      this.no_grandchild(t);
    }
    yield* teardown_fn(true, c);
    if (WIFEXITED(status)) {
      if (WEXITSTATUS(status) !== 0) t.exit_code = WEXITSTATUS(status);
    } else if (WIFSIGNALED(status)) {
      yield* c.kill(c.getpid(), WTERMSIG(status));
    }
  }

  private no_grandchild(t: TestMeta): void {
    t.ksft.ksft_print_msg('ERROR SPAWNING TEST GRANDCHILD\n');
    t.exit_code = KSFT_FAIL;
  }
}

/** Declares a fixture. Its methods add tests; a TestList includes it. */
export function FIXTURE<S extends object, V = undefined>(name: string): Fixture<S, V> {
  return new Fixture<S, V>(name);
}

type Hook = (c: Libc, ksft: Ksft) => Gen<void>;

const NO_VARIANT: Variant = { name: '', data: undefined, xfails: new Set() };

/** The tests of a program in the order in which they run. */
export class TestList {
  /** Name of the program in its usage text. */
  readonly program: string;
  /** Name of the C file in messages. */
  readonly file: string;
  readonly fixtures: FixtureBase[];
  /** Functions that run before main(), like those with __attribute__((constructor)). */
  readonly constructors: Hook[] = [];
  /** Functions that run when the program's main process exits. */
  readonly atexit: Hook[] = [];
  private readonly global = new FixtureBase('global');

  constructor(program: string, fixtures: readonly FixtureBase[] = []) {
    this.program = program;
    this.file = `${program}.c`;
    this.fixtures = [this.global, ...fixtures];
  }

  /** Declares a test without a fixture. */
  TEST(name: string, fn: (args: { c: Libc; t: TestMeta }) => Gen<void>): void {
    this.TEST_SIGNAL(name, -1, fn);
  }

  TEST_SIGNAL(name: string, signal: number, fn: (args: { c: Libc; t: TestMeta }) => Gen<void>): void {
    this.global.tests.push(new TestMeta(name, TEST_TIMEOUT_DEFAULT, signal, (c, t) => until_skip(fn({ c, t }))));
  }

  /** Returns every fixture, variant and test in the order of a run. */
  *cases(): Generator<{ fixture: FixtureBase; variant: Variant; test: TestMeta; name: string }, void, void> {
    for (const fixture of this.fixtures) {
      for (const variant of fixture.variants.length > 0 ? fixture.variants : [NO_VARIANT]) {
        for (const test of fixture.tests) yield { fixture, variant, test, name: full_name(fixture, variant, test) };
      }
    }
  }

  /** Returns the names of all tests as a run prints them: fixture.variant.test. */
  names(): string[] {
    return [...this.cases()].map((it) => it.name);
  }
}

function full_name(f: FixtureBase, v: Variant, t: TestMeta): string {
  return `${f.name}${v.name === '' ? '' : '.'}${v.name}.${t.name}`;
}

const test_passed = (t: TestMeta): boolean => t.exit_code !== KSFT_FAIL && t.exit_code <= KSFT_SKIP;

/** Waits for a test's process, at most for the test's timeout. Returns the test's exit code. */
function* wait_for_test(c: Libc, t: TestMeta): Gen<void> {
  const say = (text: string): void => t.log(`# ${t.name}: ${text}\n`);
  const childfd = yield* c.pidfd_open(t.pid, 0);
  if (childfd === -1) {
    t.exit_code = KSFT_FAIL;
    say('unable to open pidfd');
    return;
  }
  const ret = yield* c.poll([{ fd: childfd, events: POLLIN, revents: 0 }], t.timeout * 1000);
  yield* c.close(childfd);
  if (ret === -1) {
    t.exit_code = KSFT_FAIL;
    say('unable to wait on child pidfd');
    return;
  }
  const timed_out = ret === 0;
  if (timed_out) yield* c.kill(-t.pid, SIGKILL);
  const waited = yield* c.waitpid(t.pid, WNOHANG);
  if (waited.pid === -1 && c.errno !== EINTR) {
    t.exit_code = KSFT_FAIL;
    say(`Failed to wait for PID ${t.pid} (errno: ${c.errno})`);
    return;
  }
  const status = waited.pid > 0 ? waited.status : KSFT_FAIL << 8;
  if (timed_out) {
    t.exit_code = KSFT_FAIL;
    say('Test terminated by timeout');
  } else if (WIFEXITED(status)) {
    const code = WEXITSTATUS(status);
    if (code === KSFT_SKIP || code === KSFT_XPASS || code === KSFT_XFAIL) {
      t.exit_code = code;
    } else if (t.termsig !== -1) {
      t.exit_code = KSFT_FAIL;
      say(`Test exited normally instead of by signal (code: ${code})`);
    } else if (code === KSFT_PASS) {
      t.exit_code = KSFT_PASS;
    } else {
      t.exit_code = KSFT_FAIL;
      say('Test failed');
    }
  } else if (WIFSIGNALED(status)) {
    t.exit_code = KSFT_FAIL;
    if (WTERMSIG(status) === SIGABRT) say('Test terminated by assertion');
    else if (WTERMSIG(status) === t.termsig) t.exit_code = KSFT_PASS;
    else say(`Test terminated unexpectedly by signal ${WTERMSIG(status)}`);
  } else {
    t.exit_code = KSFT_FAIL;
    say(`Test ended in some other way [${status}]`);
  }
}

function* run_test(c: Libc, ksft: Ksft, variant: Variant, t: TestMeta, name: string): Gen<void> {
  t.exit_code = KSFT_PASS;
  t.reason = '';
  t.no_teardown = true;
  t.teardown_fn = null;
  ksft.ksft_print_msg(` RUN           ${name} ...\n`);

  const child = yield* c.fork((own) =>
    process_body(own, t, function* () {
      yield* own.setpgrp();
      const counters = ksft.child();
      t.ksft = counters;
      yield* t.run(own, t, variant);
      if (test_passed(t) && (counters.ksft_get_fail_cnt() > 0 || counters.ksft_get_error_cnt() > 0)) {
        counters.ksft_print_msg('Illegal usage of low-level ksft APIs in harness test\n');
        t.exit_code = KSFT_FAIL;
      }
      return t.exit_code;
    }),
  );
  if (child < 0) {
    ksft.ksft_print_msg('ERROR SPAWNING TEST CHILD\n');
    t.exit_code = KSFT_FAIL;
  } else {
    t.pid = child;
    yield* wait_for_test(c, t);
  }
  ksft.ksft_print_msg(`         ${(test_passed(t) ? 'OK' : 'FAIL').padStart(4)}  ${name}\n`);

  if (variant.xfails.has(t.name)) t.exit_code = test_passed(t) ? KSFT_XPASS : KSFT_XFAIL;
  let diagnostic: string | null = null;
  if (t.reason !== '') diagnostic = t.reason;
  else if (t.exit_code !== KSFT_PASS && t.exit_code !== KSFT_FAIL) diagnostic = 'unknown';
  ksft.ksft_test_result_code(t.exit_code, name, diagnostic);
}

function list_tests(list: TestList, print: (text: string) => void): void {
  const row = (fixture: string, variant: string, test: string): void =>
    print(`${fixture.padEnd(20)} ${variant.padEnd(25)} ${test}\n`);
  list.fixtures.forEach((f, at) => {
    if (at === 0) row('# FIXTURE', 'VARIANT', 'TEST');
    else print(`${'-'.repeat(80)}\n`);
    const rows = Math.max(f.variants.length, f.tests.length, 1);
    for (let i = 0; i < rows; i++) {
      // Prints a fixture's name beside its first test, and nothing if the tests run out before the variants do.
      row(i === 0 ? f.name : '', f.variants[i]?.name ?? '', f.tests[i]?.name ?? '');
    }
  });
}

function usage(program: string): string {
  return `Usage: ${program} [-h|-l|-d] [-t|-T|-v|-V|-f|-F|-r name]
\t-h       print help
\t-l       list all tests
\t-d       enable debug prints

\t-t name  include test
\t-T name  exclude test
\t-v name  include variant
\t-V name  exclude variant
\t-f name  include fixture
\t-F name  exclude fixture
\t-r name  run specified test

A filter may be given several times, and filters of several kinds together.
Each test is decided by the first filter that names it: '-T foo -v bla' runs
variant 'bla' without test 'foo'. With no including filter, what no filter
names runs too.
`;
}

/** Returns true if the filters select a test; the first filter that names it decides. */
export function test_enabled(argv: readonly string[], fixture: string, variant: string, test: string): boolean {
  let has_positive = false;
  for (const { opt, optarg } of getopt(argv, 'dF:f:V:v:t:T:r:')) {
    const including = opt >= 'a' && opt <= 'z';
    if (opt !== 'd' && including) has_positive = true;
    switch (opt.toLowerCase()) {
      case 't':
        if (optarg === test) return including;
        break;
      case 'f':
        if (optarg === fixture) return including;
        break;
      case 'v':
        if (optarg === variant) return including;
        break;
      case 'r': {
        // Upstream compares the three names by position and ignores the separators.
        const at = fixture.length + 1;
        const last = at + variant.length + (variant === '' ? 0 : 1);
        if (
          optarg.length === last + test.length &&
          optarg.startsWith(fixture) &&
          optarg.startsWith(variant, at) &&
          optarg.startsWith(test, last)
        ) {
          return true;
        }
        break;
      }
    }
  }
  return !has_positive;
}

/**
 * Returns the first filter that matches nothing of the suite, as `-r name`, or null. Upstream runs 0 tests for it and
 * passes. NON-KERNEL.
 */
export function filter_of_nothing(list: TestList, argv: readonly string[]): { filter: string; known: string[] } | null {
  const cases = [...list.cases()];
  const names: Readonly<Record<string, string[]>> = {
    t: cases.map((it) => it.test.name),
    f: cases.map((it) => it.fixture.name),
    v: cases.map((it) => it.variant.name),
    r: cases.map((it) => it.name),
  };
  for (const { opt, optarg } of getopt(argv, 'dhlF:f:V:v:t:T:r:')) {
    const known = names[opt.toLowerCase()];
    if (known === undefined || known.includes(optarg)) continue;
    const named =
      opt === 'r' && cases.some((it) => test_enabled(['-r', optarg], it.fixture.name, it.variant.name, it.test.name));
    if (!named) return { filter: `-${opt} ${optarg}`, known };
  }
  return null;
}

/** Callbacks of a run, besides its output. NON-KERNEL. */
interface RunHooks {
  /** Called after a test's result was printed. */
  after_test?: (name: string) => void;
  watch?: Watch;
}

function* main(
  c: Libc,
  list: TestList,
  argv: readonly string[],
  ksft: Ksft,
  print: (text: string) => void,
  hooks: RunHooks,
): Gen<number> {
  for (const { opt, error } of getopt(argv, 'dhlF:f:V:v:t:T:r:')) {
    if (opt === 'l') {
      list_tests(list, print);
      return KSFT_SKIP;
    }
    if (opt === 'd') ksft.debug_enabled = true;
    if (opt === 'h' || opt === '?') {
      if (error !== undefined) print(`${list.program}: ${error}\n`);
      print(usage(list.program));
      return opt === 'h' ? KSFT_SKIP : KSFT_FAIL;
    }
  }

  const chosen = [...list.cases()].filter((it) => test_enabled(argv, it.fixture.name, it.variant.name, it.test.name));
  const case_count = new Set(chosen.map((it) => `${it.fixture.name}.${it.variant.name}`)).size;
  ksft.ksft_print_header();
  ksft.ksft_set_plan(chosen.length);
  ksft.ksft_print_msg(`Starting ${chosen.length} tests from ${case_count} test cases.\n`);
  let pass_count = 0;
  for (const { variant, test, name } of chosen) {
    test.file = list.file;
    test.log = print;
    test.watch = hooks.watch;
    yield* run_test(c, ksft, variant, test, name);
    if (test_passed(test)) pass_count++;
    hooks.after_test?.(name);
  }
  const passed = pass_count === chosen.length;
  ksft.ksft_print_msg(`${passed ? 'PASSED' : 'FAILED'}: ${pass_count} / ${chosen.length} tests passed.\n`);
  ksft.ksft_print_cnts();
  return passed ? KSFT_PASS : KSFT_FAIL;
}

/**
 * Runs the whole test program in the process of `c`: options, tests, KTAP to `print`. What upstream writes to stderr
 * goes there too, in order. Returns the exit code of the process, 0 to 4.
 */
export function* runSuite(
  c: Libc,
  list: TestList,
  argv: readonly string[],
  print: (text: string) => void = (text) => c.print(text),
  hooks: RunHooks = {},
): Gen<number> {
  const ksft = new Ksft(print);
  for (const hook of list.constructors) yield* hook(c, ksft);
  const code = yield* main(c, list, argv, ksft, print, hooks);
  for (const hook of list.atexit) yield* hook(c, ksft);
  return code;
}
