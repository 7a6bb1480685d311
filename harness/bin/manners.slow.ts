// SPDX-License-Identifier: GPL-2.0-only
// How the programs end when their output, their files or their user give them up.

import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';

const top = fileURLToPath(new URL('../..', import.meta.url));
const SAMPLE = 'selftests/programs/sample.jsonl.gz';
const SIGKILLED_AFTER = 30_000;
// Programs take a second to start, and more on a busy machine.
t.setTimeout(300_000);

const command = (program: string, argv: readonly string[]): string[] => [
  '--import',
  'tsx',
  `harness/bin/${program}.ts`,
  ...argv,
];

interface Ended {
  status: number | null;
  stdout: string;
  stderr: string;
}

function run(program: string, ...argv: string[]): Ended {
  return spawnSync(process.execPath, command(program, argv), { cwd: top, encoding: 'utf8' });
}

/** The processes below one, by what /proc says. */
function below(pid: number): number[] {
  const own = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
        return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid;
      } catch {
        return false;
      }
    })
    .map(Number);
  return own.flatMap((child) => [child, ...below(child)]);
}

const alive = (pid: number): boolean => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Starts a program that shares its work, ends it by a signal, and looks what it leaves. */
async function interrupt(t: Test, signal: 'SIGINT' | 'SIGTERM', program: string, ...argv: string[]): Promise<void> {
  const child = spawn(process.execPath, command(program, argv), { cwd: top, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (said += data.toString()));
  const ended = new Promise<[number | null, string | null]>((resolve) =>
    child.once('close', (code, by) => resolve([code, by])),
  );
  const two_workers = (): number[] =>
    below(child.pid ?? 0).filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('harness/');
      } catch {
        return false;
      }
    });
  for (const until = Date.now() + SIGKILLED_AFTER; two_workers().length < 2 && Date.now() < until; ) await wait(50);
  const workers = below(child.pid ?? 0);
  t.ok(two_workers().length >= 2, `${program} has workers`);
  child.kill(signal);
  t.same(await ended, [null, signal], `${program} ends by ${signal}`);
  for (const until = Date.now() + SIGKILLED_AFTER; workers.some(alive) && Date.now() < until; ) await wait(50);
  t.same(workers.filter(alive), [], `${program} leaves no worker`);
  t.notMatch(said, /^ +at /m, 'no stack');
}

// What a program leaves behind, /proc knows.
if (existsSync('/proc/self/stat'))
  t.test('a program that is ended by a signal takes its workers with it', async (t) => {
    await interrupt(t, 'SIGTERM', 'start', '--quiet');
    await interrupt(t, 'SIGINT', 'explore', 'all', '--schedules=100000');
    await interrupt(t, 'SIGTERM', 'replay', SAMPLE, SAMPLE, SAMPLE);
  });

t.test('a reader that goes away early ends the program at once, without a word', async (t) => {
  for (const [program, ...argv] of [
    ['explore', 'list'],
    ['regression', 'list'],
    ['replay', '--help'],
    ['hmm-tests'],
    ['replay', '--record', '--jobs=1', SAMPLE],
  ]) {
    const shell = `"$0" "$@" | head -1; exit "\${PIPESTATUS[0]}"`;
    const since = Date.now();
    const { status, stderr, stdout } = spawnSync('bash', ['-c', shell, process.execPath, ...command(program, argv)], {
      cwd: top,
      encoding: 'utf8',
    });
    t.same([status, stderr, stdout.split('\n').length], [0, '', 2], `${program} ${argv.join(' ')}`);
    t.ok(Date.now() - since < SIGKILLED_AFTER, 'it does not go on for nobody');
  }
});

if (existsSync('/dev/full'))
  t.test('output that cannot be written is said in one line, with status 2', async (t) => {
    for (const [program, ...argv] of [
      ['explore', 'list'],
      ['regression', 'list'],
      ['hmm-tests', '-l'],
      ['replay', '--record', SAMPLE],
      ['bench', '--help'],
    ]) {
      const full = openSync('/dev/full', 'w');
      const { status, stderr } = spawnSync(process.execPath, command(program, argv), {
        cwd: top,
        encoding: 'utf8',
        stdio: ['ignore', full, 'pipe'],
      });
      closeSync(full);
      t.equal(status, 2, program);
      t.equal(stderr.trimEnd().split('\n').at(-1), `${program}: standard output: no space left on the device`);
    }
  });

t.test('progress in a file has no carriage returns', async (t) => {
  const { stderr } = run('explore', 'fault-vs-fault', '--schedules=4000');
  t.notMatch(stderr, /\r/);
});

t.test('replay takes programs with any line ends, and says which line of one cannot be', async (t) => {
  const dir = t.testdir({
    'crlf.txt': 'program mine thp=never\r\n0 open 0 # a comment\r\n0 fork 1\r\n1 exit\r\n',
    'fork.txt': 'program mine\n0 fork 0\n',
    'twice.txt': 'program mine\n0 fork 1\n1 fork 1\n',
    'unknown.txt': 'program mine\n0 open 0\n2 load 0 1\n',
    'gone.txt': 'program mine\n0 fork 1\n1 exit\n1 load 0 1\n',
    'pagemap.txt': 'program mine\n0 open 0\n0 mmap 0 1 rw anon\n0 store 0 1 7\n0 dev 0 to_dev 0 1\n0 pagemap 0 1\n',
  });
  const record = (name: string, ...argv: string[]): Ended => run('replay', '--record', `${dir}/${name}`, ...argv);
  const crlf = record('crlf.txt');
  t.equal(crlf.status, 0);
  t.same((JSON.parse(crlf.stdout) as { ops: string[] }).ops, ['0 open 0', '0 fork 1', '1 exit']);
  for (const [name, said] of [
    ['fork.txt', /fork\.txt:2: in op "0 fork 0": expected a process that is not alive yet, not 0$/],
    ['twice.txt', /twice\.txt:3: in op "1 fork 1": expected a process that is not alive yet, not 1$/],
    ['unknown.txt', /unknown\.txt:3: in op "2 load 0 1": expected a process that is alive \(0\), not 2$/],
    ['gone.txt', /gone\.txt:4: in op "1 load 0 1": expected a process that is alive \(0\), not 1$/],
    ['missing.txt', /missing\.txt: there is no such file or folder$/],
    ['', /\/: it is a directory$/],
  ] as const) {
    const { status, stdout, stderr } = record(name);
    t.same([status, stdout], [2, ''], name);
    t.match(stderr.trimEnd(), said);
  }
  const types = [[], ['--patches=device-private-offsets']].map((argv) =>
    (JSON.parse(record('pagemap.txt', ...argv).stdout) as { results: string[] }).results.at(-1),
  );
  t.not(types[0], types[1], '--patches numbers the swap types anew');
});

t.test('replay names a program that is nearly the one asked for', async (t) => {
  const { status, stderr } = run('replay', SAMPLE, '--only', '11-l');
  t.equal(status, 2);
  t.match(
    stderr,
    /^replay: --only=11-l: no program of that id in selftests\/programs\/sample\.jsonl\.gz; did you mean 11-\d\?\n$/,
  );
});
