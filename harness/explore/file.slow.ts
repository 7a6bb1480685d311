// SPDX-License-Identifier: GPL-2.0-only
// `explore` of files, in every patch state, and under schedules that do not fit.

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const top = fileURLToPath(new URL('../..', import.meta.url));

function explore(...argv: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, ['--import', 'tsx', 'harness/bin/explore.ts', ...argv], {
    cwd: top,
    encoding: 'utf8',
  });
}

// The compiler takes seconds to load, and more on a busy machine.
t.setTimeout(300_000);

t.test('new writes a race that compiles, is refused until it is filled in, and runs without any index', async (t) => {
  const file = `${t.testdir()}/my-race.ts`;
  const made = explore('new', file);
  t.same([made.status, made.stderr], [0, '']);
  t.equal(made.stdout, `wrote ${file}: npm run -s explore -- ${file}\n`);
  t.same(explore('new', file).stderr, `explore: ${file} is there already\n`);

  const unfilled = explore(file);
  t.same([unfilled.status, unfilled.stderr], [1, '']);
  const lines = unfilled.stdout.trimEnd().split('\n');
  t.equal(lines.length, 3);
  for (const line of lines) t.match(line, /my-race\.ts:\d+: still to be written: FILL IN: /);

  const text = readFileSync(file, 'utf8').replaceAll('FILL IN: ', '');
  writeFileSync(file, text);
  const ran = explore(file, '--schedules=20', '--quiet');
  t.same([ran.status, ran.stderr], [0, '']);
  t.match(ran.stdout, /^my-race: 20 schedules of up to \d+ steps: none fails/);

  writeFileSync(file, text.replace('yield* t.store32', 't.store32').replace('[100], [7]', '[100], ["7"]'));
  const wrong = explore(file);
  t.same([wrong.status, wrong.stderr], [1, '']);
  t.match(
    wrong.stdout,
    /^\S*my-race\.ts:\d+: t\.store32 may sleep: without `yield\*`.*\n\S*my-race\.ts:\d+: Type 'string' is not/,
  );

  writeFileSync(file, text.replace('*run(c, x) {', '*run(c, x) {{'));
  const syntax = explore(file);
  t.same([syntax.status, syntax.stderr, syntax.stdout.split('\n').length], [1, '', 2]);
  t.match(syntax.stdout, /^\S*my-race\.ts:\d+: /);
});

t.test('a regression case is explored without its fix', async (t) => {
  const file = 'selftests/regressions/exclusive-page-freed-while-locked.ts';
  const { status, stdout } = explore(file, '--strategy=dfs', '--preemptions=1', '--quiet');
  t.equal(status, 1);
  t.match(stdout, /^without its fix, as with --patches=no-7c7b962938dd:\n/);
  t.match(stdout, `replay: npm run -s explore -- ${file} --patches=no-7c7b962938dd --replay 'hmm1:1:7.1>2:`);
});

t.test('every patch state is tried, and said of each that passes whether it could have failed', async (t) => {
  const { status, stdout } = explore('exclusive-fault-vs-munmap', '--states', '--replay', 'hmm1:14:6.1>2', '--quiet');
  t.equal(status, 0, 'Linux 7.3.4 passes');
  t.match(
    stdout,
    /^no-7c7b962938dd: oops: BUG: Bad page state.*\n {4}npm run -s explore -- exclusive-fault-vs-munmap --patches=no-7c7b962938dd --replay 'hmm1:14:6\.1>2:17\.e6a8e3a8'$/m,
  );
  const list = (of: RegExp): string[] => of.exec(stdout)?.[1].split(' ') ?? [];
  const passes = list(/^passes with: (.*)$/m);
  const cannot = list(/^cannot fail, since it never comes to what the state changes, with: (.*)$/m);
  t.ok(passes.includes('no-exclusive-mapcount'));
  t.ok(cannot.includes('hmm-v14') && cannot.includes('no-16ce101db85d'), 'nothing is migrated in this case');
  const total = Number(/fails in (\d+) of/.exec(stdout)?.[1]) + passes.length + cannot.length;
  t.match(stdout, `passes on Linux 7.3.4, fails in ${total - passes.length - cannot.length} of ${total} states\n`);
});

t.test('a schedule that does not fit is refused, or followed as far as it does', async (t) => {
  const schedule = 'hmm1:14:6.1>2,8.2>7,500.1>2';
  const strict = explore('exclusive-fault-vs-munmap', '--replay', schedule);
  t.same([strict.status, strict.stdout], [2, '']);
  t.match(strict.stderr, /^explore: the schedule does not fit: step 8: .*; --loose follows it as far as it does\n$/);
  const loose = explore('exclusive-fault-vs-munmap', '--loose', '--replay', schedule);
  t.equal(loose.status, 0);
  t.match(
    loose.stdout,
    /^does not fit: step 8: task 7 cannot run here, \d goes on\ndoes not fit: step 500: the run ended at step \d+\n/,
  );
});

t.test('a mistake is one line and status 2', async (t) => {
  for (const [argv, said] of [
    [['fault-vs-munmap', '--schedules=0'], /^--schedules=0: expected a whole number from 1 to 1000000000$/],
    [['fault-vs-munmap', '--budget=0'], /^--budget=0: expected a whole number from 1 to/],
    [['fault-vs-munmap', '--depth=0'], /^--depth=0: expected a whole number from 1 to 100$/],
    [['known', '--seeds=0'], /^--seeds=0: expected a whole number from 1 to 10000$/],
    [['all', '--jobs=0'], /^--jobs=0: expected a whole number from 1 to 64$/],
    [['all', '--replay', 'hmm1:1:'], /^unknown option --replay; --help lists the options$/],
    [['fault-vs-munmap', '--replay', 'hmm1:x'], /^schedule "hmm1:x": expected hmm1:SEED/],
    [['fault-vs-munmap', '--loose'], /^--loose is how --replay=SCHEDULE is followed/],
    [['fault-vs-munmap', '--states', '--patches=hmm-v14'], /^--states tries every state by itself/],
    [['fault-vs-munmap', '--patches=no-such'], /^patch state no-such: there is no such state/],
    [['fault-vs-munmaps'], /^no case fault-vs-munmaps; did you mean fault-vs-munmap\?$/],
    [
      ['no-such-file.ts'],
      /^no-such-file\.ts: there is no such file; npm run -s explore -- new no-such-file\.ts writes one$/,
    ],
    [['new', 'x.js'], /^x\.js: expected a name of letters, digits and hyphens that ends in \.ts$/],
    [['new', 'no-such-folder/x.ts'], /no-such-folder\/x\.ts: there is no such file or folder$/],
    [['--quiet', 'list'], /^list goes first: npm run -s explore -- list$/],
    [[], /^expected CASE\|FILE\.ts\|FILE\.c\|PROGRAM, got nothing: /],
  ] as const) {
    const { status, stdout, stderr } = explore(...argv);
    t.same([status, stdout], [2, ''], argv.join(' '));
    t.match(stderr.replace(/^explore: /, '').trimEnd(), said);
  }
});
