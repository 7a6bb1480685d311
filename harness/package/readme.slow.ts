// SPDX-License-Identifier: GPL-2.0-only
// Every command in an `sh` block of a README, in a copy of the checkout, exits as the text says. Those that take minutes
// run with SLOW=1.

import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { commands_of, fenced_blocks, run, TOP } from './user.ts';

const slow = process.env.SLOW === '1';
t.setTimeout(slow ? 7200_000 : 600_000);

/** What package.test.ts runs, or what runs this test. */
const ELSEWHERE = ['npm install', 'npm test'];

/** What takes long. */
const LONG = [
  'npm start',
  'npm start -- --patches=device-private-offsets',
  'npm run check',
  'npm run -s bench',
  'npm run -s compare -- selftests/results/spm-madvise.ktap --spm --thp=madvise',
  'npm run -s explore -- fault-vs-munmap',
  'npm run -s explore -- fault-vs-munmap --strategy=dfs --preemptions=2',
  'npm run -s explore -- all --schedules=1000',
  'npm run -s explore -- known',
  'npm run -s regression -- run',
  'npm run -s impact -- 0001-mm-hmm.patch --run',
  'npm run -s replay -- selftests/programs/sample.jsonl.gz',
  'node --import tsx selftests/races/exclusive_worst.ts',
];

/** A patch of the reader's, which touches one function. */
const PATCH = `--- a/mm/hmm.c
+++ b/mm/hmm.c
@@ -1,3 +1,3 @@ static int hmm_vma_handle_absent_pmd(struct mm_walk *walk, unsigned long start)
 {
-	a = b;
+	a = c;
 }
`;
/** As much of a kernel tree as tells its version. */
const MAKEFILE = 'VERSION = 7\nPATCHLEVEL = 4\nSUBLEVEL = 0\nEXTRAVERSION = -rc1\n';

const READMES = [
  'README.md',
  ...readdirSync(`${TOP}selftests`, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('README.md'))
    .map((name) => `selftests/${name}`)
    .sort(),
];
const texts = READMES.map((name) => readFileSync(TOP + name, 'utf8'));
const commands = texts.flatMap(commands_of).flatMap(({ line, status }) => {
  const parts = line.split(' && ');
  return parts.map((part, i) => ({ line: part, status: i === parts.length - 1 ? status : 0 }));
});
const [readme] = texts;

t.test('every command of a README exits with the status that stands beside it', (t) => {
  const dir = t.testdir({
    linux: { Makefile: MAKEFILE },
    project: { node_modules: t.fixture('symlink', `${TOP}node_modules`), '0001-mm-hmm.patch': PATCH },
  });
  const copy = `${dir}/project`;
  for (const name of readdirSync(TOP))
    if (!/^(node_modules|dist|coverage|\.git|\.tap)$/.test(name))
      cpSync(TOP + name, `${copy}/${name}`, { recursive: true });
  // the files that the READMEs show
  writeFileSync(`${copy}/selftests/hmm-tests/mine.ts`, fenced_blocks(readme, 'ts')[1]);
  const programs = texts[READMES.indexOf('selftests/programs/README.md')];
  writeFileSync(`${copy}/mine.txt`, fenced_blocks(programs, 'text')[0]);

  for (const { line, status } of commands) {
    if (ELSEWHERE.includes(line) || (LONG.includes(line) && !slow)) continue;
    const ended = run(copy, 'sh', '-c', line);
    t.equal(ended.status, status, `${line}\n${ended.stderr.slice(-2000)}`);
  }
  t.end();
});

t.test('each command that is set apart stands in a README', (t) => {
  for (const line of [...LONG, ...ELSEWHERE])
    t.ok(
      commands.some((it) => it.line === line),
      line,
    );
  t.end();
});

t.test('commands stand in sh blocks, where the first test finds them', (t) => {
  for (const text of texts) t.notMatch(text, /^ {4}(?:npm|npx|node) /m);
  t.end();
});

t.test('each npm script that a README names exists', (t) => {
  const { scripts } = JSON.parse(readFileSync(`${TOP}package.json`, 'utf8')) as { scripts: Record<string, string> };
  for (const text of texts) {
    for (const [, name] of text.matchAll(/npm run (?:-s )?([\w:-]+)/g)) t.ok(Object.hasOwn(scripts, name), name);
  }
  t.end();
});
