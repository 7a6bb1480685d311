// SPDX-License-Identifier: GPL-2.0-only
// The package as its user gets it: packed, installed in an empty folder, and used there on every Node that it is for.
// By default on the Node that runs the tests, without the registry: what the package depends on is linked. With SLOW=1
// npm installs everything, on Node 20, 22 and 24.

import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import t from 'tap';
import { type Ended, fenced_blocks, must, run, TOP } from './user.ts';

const { version, dependencies, bin } = JSON.parse(readFileSync(`${TOP}package.json`, 'utf8')) as {
  version: string;
  dependencies: Record<string, string>;
  bin: { 'hmm-selftests': string };
};
/** README's program that imports the package, and what it says that this prints. */
const readme = readFileSync(`${TOP}README.md`, 'utf8');
const [example] = fenced_blocks(readme, 'ts');
const [prints] = fenced_blocks(readme, 'text');

const slow = process.env.SLOW === '1';
t.setTimeout(slow ? 900_000 : 300_000);

type Asserts = Pick<typeof t, 'equal' | 'match'>;

/** Installs in a folder; returns what npm had to say. */
function npm_install(dir: string, ...argv: string[]): string {
  const { status, stderr } = run(dir, 'npm', ...argv, '--no-audit', '--no-fund', '--fetch-retries=1');
  if (/\b(ENOTFOUND|ECONNREFUSED|EAI_AGAIN|ETIMEDOUT|ENETUNREACH|ENOTCACHED)\b/.test(stderr))
    throw new Error('npm cannot reach its registry, which this test installs from: go online, or leave SLOW=1 out');
  if (status !== 0) throw new Error(`npm ${argv.join(' ')}: exit status ${status}\n${stderr}`);
  return stderr;
}

const TSCONFIG = {
  compilerOptions: { strict: true, target: 'es2022', module: 'nodenext', types: [], outDir: 'out' },
  files: ['example.ts'],
};

/** Packs the project into a folder; returns the tarball. */
function pack(into: string, ...options: string[]): string {
  must(TOP, 'npm', 'pack', '--silent', '--pack-destination', into, ...options);
  return `${into}/hmm-selftests-${version}.tgz`;
}

/** What a user does with the package that is installed in `dir`: `hmm` runs its command, `node` a program. */
function use_package(
  t: Asserts,
  dir: string,
  hmm: (...argv: string[]) => Ended,
  node: (program: string) => string,
): void {
  const results = 'node_modules/hmm-selftests/selftests/results/smoke.ktap';
  const compared = hmm('compare', results);
  t.match(compared.stdout, /^compared 78 results: 78 identical, 0 differ$/m, compared.stderr);
  t.equal(compared.status, 0);

  writeFileSync(`${dir}/tsconfig.json`, JSON.stringify(TSCONFIG));
  writeFileSync(`${dir}/example.ts`, example);
  must(dir, process.execPath, `${TOP}node_modules/typescript/bin/tsc`, '-p', '.');
  t.equal(node('out/example.js'), prints, 'the example of the README prints what stands there');
}

t.test('the package runs on the Node of these tests', (t) => {
  const dir = t.testdir({ 'package.json': '{ "type": "module" }', node_modules: { 'hmm-selftests': {} } });
  must(TOP, 'npm', 'run', '--silent', 'build');
  const tarball = pack(dir, '--ignore-scripts');
  const installed = `${dir}/node_modules/hmm-selftests`;
  must(dir, 'tar', 'xzf', tarball, '--strip-components=1', '-C', installed);
  for (const name of Object.keys(dependencies)) {
    mkdirSync(dirname(`${dir}/node_modules/${name}`), { recursive: true });
    symlinkSync(`${TOP}node_modules/${name}`, `${dir}/node_modules/${name}`);
  }
  const hmm = (...argv: string[]): Ended => run(dir, process.execPath, `${installed}/${bin['hmm-selftests']}`, ...argv);
  use_package(t, dir, hmm, (program) => must(dir, process.execPath, program));

  const program = 'node_modules/hmm-selftests/selftests/programs/sample.jsonl.gz';
  const commands: (readonly [RegExp, ...string[]])[] = [
    [/^replayed 2 programs: 2 identical, 0 diverge$/m, 'replay', program, '--only', '11-1', '--only', '11-6'],
    [/^fault-vs-munmap: 5 schedules .*: none fails/m, 'explore', 'fault-vs-munmap', '--schedules=5'],
    [/^ {2}compare /m, '--help'],
  ];
  for (const [expected, ...argv] of commands) {
    const { status, stdout, stderr } = hmm(...argv);
    t.match(stdout, expected, stderr);
    t.equal(status, 0, argv.join(' '));
  }
  // An oops names the kernel functions on the stack, by the files that they stand in.
  const a_case = ['regression', 'run', 'range-fault-in-a-hole'];
  t.equal(hmm(...a_case).stdout, must(TOP, 'npm', 'run', '-s', a_case[0], '--', ...a_case.slice(1)));
  const unknown = hmm('compar');
  t.match(unknown.stderr, /^hmm-selftests: expected one of start, .*, got compar\n$/);
  t.equal(unknown.status, 2);
  t.end();
});

t.test('it installs from the registry without a warning and runs', { skip: slow ? false : 'only with SLOW=1' }, (t) => {
  const tarball = pack(t.testdir());
  for (const major of [20, 22, 24]) {
    t.test(`on Node ${major}`, (t) => {
      // the package node fetches its binary by a script
      const dir = t.testdir({ 'package.json': '{ "type": "module", "allowScripts": { "node": true } }' });
      const said = npm_install(dir, 'install', tarball, `node@${major}`);
      t.notMatch(said, /npm warn/i);
      t.match(must(dir, 'npx', 'node', '--version'), new RegExp(`^v${major}\\.`));
      const hmm = (...argv: string[]): Ended => run(dir, 'npx', 'hmm-selftests', ...argv);
      use_package(t, dir, hmm, (program) => must(dir, 'npx', 'node', program));
      t.end();
    });
  }
  t.end();
});

t.test('a checkout installs without a warning', { skip: slow ? false : 'only with SLOW=1' }, (t) => {
  const dir = t.testdir();
  for (const name of ['package.json', 'package-lock.json', '.npmrc']) cpSync(TOP + name, `${dir}/${name}`);
  // What tap builds afterwards needs the rest of the checkout.
  must(dir, 'npm', 'pkg', 'delete', 'scripts.dependencies');
  t.notMatch(npm_install(dir, 'ci'), /npm warn/i);
  t.end();
});
