// SPDX-License-Identifier: GPL-2.0-only
// `regression -- new`, and what `run` says to cases that cannot run, in a copy of the project.

import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const top = fileURLToPath(new URL('../..', import.meta.url));
const copy = mkdtempSync(`${tmpdir()}/hmm-selftests-`);
for (const it of ['lib', 'harness', 'selftests', '.config', 'package.json', 'tsconfig.json'])
  cpSync(`${top}${it}`, `${copy}/${it}`, { recursive: true });
symlinkSync(`${top}node_modules`, `${copy}/node_modules`);
// Compiler and linter take seconds each, and more on a busy machine.
t.setTimeout(300_000);
t.teardown(() => rmSync(copy, { recursive: true, force: true }));

interface Ended {
  status: number | null;
  stdout: string;
  stderr: string;
}

function run(program: string, argv: readonly string[], options: { uid?: number } = {}): Ended {
  return spawnSync(process.execPath, [program, ...argv], { cwd: copy, encoding: 'utf8', ...options });
}

const regression = (...argv: string[]): Ended => run('--import', ['tsx', 'harness/bin/regression.ts', ...argv]);

const SUBJECT = "mm/memory: don't lose a device private page on fork";
const SLUG = 'mm-memory-don-t-lose-a-device-private-page-on-fork';
const STATE = 'lib/patches/reverted/no-0123456789ab.ts';
const CASE = `selftests/regressions/${SLUG}.ts`;

t.test(
  'new writes a state and a case that compile, are well formatted, and fail until they are filled in',
  async (t) => {
    const made = regression('new', '--id=0123456789abcdef', '--subject', SUBJECT);
    t.same([made.status, made.stderr], [0, '']);
    t.equal(
      made.stdout,
      `wrote ${STATE} and ${CASE}; they fail until they are filled in: npm run -s regression -- run ${SLUG}\n`,
    );
    t.match(readFileSync(`${copy}/${STATE}`, 'utf8'), `subject: "${SUBJECT}",`);
    t.match(readFileSync(`${copy}/lib/patches/index.ts`, 'utf8'), "'no-0123456789ab'");

    const ran = regression('run', SLUG);
    t.equal(ran.status, 1);
    const lines = ran.stdout.trimEnd().split('\n');
    t.equal(lines.shift(), `not ok ${SLUG}: ${CASE}:5: still to be written: FILL IN, and delete these lines:`);
    t.equal(lines.pop(), `  run just this: npm run -s regression -- run ${SLUG}`);
    for (const line of lines) t.match(line, /^ {2}(lib|selftests)\/[^ ]+\.ts:\d+: still to be written: FILL IN: /);
    t.equal(lines.length, 5, 'fails and what must hold; date, changes and bug of the state');

    const [eslint, biome] = ['eslint/bin/eslint.js', '@biomejs/biome/bin/biome'].map((it) => `node_modules/${it}`);
    const linted = run(eslint, ['-c', '.config/eslint.js', STATE, CASE]);
    t.same([linted.status, linted.stdout], [0, '']);
    t.equal(run(biome, ['format', '--config-path=.config', STATE, CASE, 'lib/patches/index.ts']).status, 0);

    const again = regression('new', '--id=0123456789ab', '--subject', 'another subject');
    t.same([again.status, again.stderr], [2, `regression: ${STATE} is there already\n`]);
    t.notOk(existsSync(`${copy}/selftests/regressions/another-subject.ts`), 'nothing is written then');
  },
);

t.test('a case that is broken is said in one line with its place, and the others run', async (t) => {
  const good = 'null-owner-means-system-pages';
  const text = readFileSync(`${copy}/selftests/regressions/a-huge-page-counts-as-one.ts`, 'utf8');
  const write = (slug: string, from: string | RegExp, to: string): void =>
    writeFileSync(`${copy}/selftests/regressions/${slug}.ts`, text.replace(from, to));
  write('a-syntax', 'const regression: RegressionCase = {', 'const regression: RegressionCase = {{');
  write('b-type', "kind: 'assertion'", "kind: 'opps'");
  write('c-yield', 'yield* must(', 'must(');
  write('d-state', "state: '", "state: 'x");
  write('e-throws', '*run(c, x) {', '*run(c, x) {\n    if (c.getpid() > 0) throw new RangeError("out of range");');
  write('f-export', /^export default .*$/m, '');
  write('g-libc', '*run(c, x) {', '*run(c, x) {\n    c.close(99);');
  const { status, stdout, stderr } = regression(
    'run',
    'a-syntax',
    'b-type',
    'c-yield',
    'd-state',
    'e-throws',
    'f-export',
    'g-libc',
    good,
  );
  t.same([status, stderr], [1, '']);
  const line = (slug: string): string =>
    stdout.split('\n').find((it) => it.includes(` ${slug}: `)) ?? `${slug} is missing: ${stdout}`;
  t.match(
    line('a-syntax'),
    /^not ok a-syntax: selftests\/regressions\/a-syntax\.ts:\d+: Expected identifier but found "\{"$/,
  );
  t.match(line('b-type'), /^not ok b-type: selftests\/regressions\/b-type\.ts:\d+: Type '"opps"' is not assignable /);
  t.match(
    line('c-yield'),
    /^not ok c-yield: selftests\/regressions\/c-yield\.ts:\d+: must may sleep: without `yield\*`/,
  );
  t.match(
    line('d-state'),
    /^not ok d-state: selftests\/regressions\/d-state\.ts: patch state x.*: there is no such state/,
  );
  t.match(line('e-throws'), /^not ok e-throws: .*crash: out of range at selftests\/regressions\/e-throws\.ts:\d+/);
  t.match(line('f-export'), /^not ok f-export: selftests\/regressions\/f-export\.ts: has no default export$/);
  t.match(
    line('g-libc'),
    /^not ok g-libc: selftests\/regressions\/g-libc\.ts:\d+: c\.close may sleep: without `yield\*`/,
  );
  t.match(stdout, `ok ${good}: without the fix assertion`);
  t.notMatch(stdout, /^ +at /m, 'no stack');
});

t.test('a mistake on the command line is one line and status 2', async (t) => {
  for (const [argv, said] of [
    [['new', '--id', '--subject', 'x'], /^--id needs a value: --id=ID$/],
    [['new', '--subject', 'x'], /^new needs --id=COMMIT_OR_MESSAGE_ID$/],
    [['new', '--id', 'x'], /^new needs --subject=TEXT, the subject of the patch$/],
    [['new', '--id=x', '--subject=!!!'], /^--subject=!!!: expected some letters or digits/],
    [['new', '--id=x', '--subject=y', '--kind=fixed'], /^--kind=fixed: expected reverted, proposed or series$/],
    [['run', 'null-owner-means-system-page'], /^no case or state .*; did you mean null-owner-means-system-pages\?$/],
    [['run', 'no-16ce101db85e'], /^no case or state no-16ce101db85e; did you mean no-16ce101db85d\?$/],
    [['list', 'x'], /^expected no word, got x: npm run -s regression -- list$/],
    [['rum'], /^expected list, run, new, index, got rum; did you mean run\?$/],
    [[], /^expected list, run, new, index, got nothing; --help says more$/],
  ] as const) {
    const { status, stdout, stderr } = regression(...argv);
    t.same([status, stdout], [2, ''], argv.join(' '));
    t.match(stderr.replace(/^regression: /, '').trimEnd(), said);
  }
});

t.test('new in a folder that cannot be written says so and leaves nothing behind', async (t) => {
  const NOBODY = 65534;
  const root = process.getuid?.() === 0;
  if (!root) chmodSync(`${copy}/lib/patches/proposed`, 0o555);
  else chmodSync(copy, 0o755);
  const { status, stderr } = spawnSync(
    process.execPath,
    ['--import', 'tsx', 'harness/bin/regression.ts', 'new', '--id=x', '--subject=y', '--kind=proposed'],
    { cwd: copy, encoding: 'utf8', ...(root ? { uid: NOBODY, gid: NOBODY } : {}) },
  );
  if (!root) chmodSync(`${copy}/lib/patches/proposed`, 0o755);
  t.equal(status, 2);
  t.match(stderr, /^regression: .*\.ts: permission denied\n$/);
  t.notOk(existsSync(`${copy}/selftests/regressions/y.ts`));
});
