// SPDX-License-Identifier: GPL-2.0-only
// `npm run check` and, with --all, `npm test`: everything that a change must pass, side by side. A step fails by its
// result only. One that hangs is stopped after an amount of processor time, which other work on the machine does not
// use up, and says where it was. `node .config/check.js FILE...` runs just those test files.

import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

/** Seconds of processor time without a line of output after which a step hangs; the longest test takes 30. */
const STUCK_PROCESSOR = 600;
/** Seconds of the clock in which a step that waits for nothing would have used more than one of the processor. */
const STUCK_IDLE = 1200;
/** Seconds between two lines about what runs, where there is no terminal. */
const TELL = 10;

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const tty = process.stdout.isTTY === true;
const npx = (name, ...args) => ({ command: `npx ${[name, ...args].join(' ')}`, argv: [process.execPath, `node_modules/.bin/${name}`, ...args] });
const test = (file) => ({
  name: file,
  tap: true,
  command: `node --import tsx ${file}`,
  argv: [process.execPath, '--inspect-port=0', '--import=tsx', file],
});

const STATIC = [
  { name: 'lint', ...npx('eslint', '-c', '.config/eslint.js', '{lib,harness,selftests}/**/*.ts') },
  { name: 'types', ...npx('tsc', '-p', '.') },
  { name: 'format', ...npx('biome', 'format', '--config-path=.config', 'lib', 'harness', 'selftests') },
];
const UNIT = test('lib/all.test.ts');

/** The test files, those that are known to take longest first. */
function all_tests() {
  const first = ['selftests/results/predictions', 'selftests/regressions', 'selftests/races', 'selftests/programs'];
  const rank = (file) => (first.findIndex((dir) => file.startsWith(dir)) + first.length + 1) % (first.length + 1);
  const files = ['harness', 'selftests'].flatMap((dir) =>
    readdirSync(dir, { recursive: true, encoding: 'utf8' }).map((file) => `${dir}/${file}`),
  );
  return files.filter((file) => file.endsWith('.test.ts')).sort((a, b) => rank(a) - rank(b));
}

/** Processes of a step's group, by id, with the seconds of processor time that each used; none where /proc is not. */
function processes(group) {
  const found = new Map();
  try {
    for (const pid of readdirSync('/proc')) {
      if (!/^\d+$/.test(pid)) continue;
      try {
        const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
        const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
        if (Number(fields[2]) === group) found.set(Number(pid), (Number(fields[11]) + Number(fields[12])) / 100);
      } catch {
        // it ended meanwhile
      }
    }
  } catch {
    // no /proc: nothing is known, and nothing is stopped
  }
  return found;
}

/**
 * The functions that a step's busiest process is in, innermost first. SIGUSR1 makes Node listen for a debugger, in a
 * loop too, and say where on standard error, which `heard` returns.
 */
async function where(group, heard) {
  const [pid] = [...processes(group)].sort((a, b) => b[1] - a[1])[0];
  process.kill(pid, 'SIGUSR1');
  const urls = new Map();
  return new Promise((resolve) => {
    const started = performance.now();
    const ask = setInterval(() => {
      const address = heard().match(/ws:\/\/\S+/g)?.at(-1);
      if (seconds(started) > 60) resolve('it does not answer');
      if (address === undefined) return;
      clearInterval(ask);
      const debug = new WebSocket(address);
      debug.onopen = () => ['enable', 'pause'].forEach((what, id) => debug.send(JSON.stringify({ id, method: `Debugger.${what}` })));
      debug.onmessage = ({ data }) => {
        const { method, params } = JSON.parse(data);
        if (method === 'Debugger.scriptParsed') urls.set(params.scriptId, params.url);
        if (method !== 'Debugger.paused') return;
        const frames = params.callFrames.map((it) => `at ${it.functionName || '(anonymous)'} (${urls.get(it.location.scriptId)})`);
        resolve(frames.slice(0, 40).join('\n'));
      };
    }, 100);
  });
}

const seconds = (since) => (performance.now() - since) / 1000;
const running = new Set();
let assertions = 0;
let failed = 0;

/** Prints a line that stays. */
function say(text) {
  process.stdout.write(`${tty ? '\r\x1b[K' : ''}${text}\n`);
}

function tell() {
  const text = [...running].map((it) => `${it.step.name}${it.at === '' ? '' : ` (${it.at})`} ${seconds(it.since).toFixed(0)} s`);
  if (text.length === 0) return;
  if (tty) process.stdout.write(`\r\x1b[K${text.join(', ').slice(0, (process.stdout.columns ?? 80) - 1)}`);
  else say(`  running: ${text.join(', ')}`);
}

/** What a reader needs of a failed step's output: of TAP, its failures. */
function failures(step, output) {
  if (step.tap !== true) return output;
  const lines = output.split('\n');
  const shown = new Set();
  lines.forEach((line, i) => {
    if (/^ *not ok/.test(line) && !/# (TODO|SKIP)/i.test(line)) for (let k = i; k < i + 25; k++) shown.add(k);
  });
  const text = lines.filter((_, i) => shown.has(i)).join('\n');
  return text === '' ? lines.slice(-10).join('\n').trimEnd() : text;
}

function run(step) {
  return new Promise((resolve) => {
    const it = { step, since: performance.now(), at: '', heard: performance.now(), used: 0, stuck: '' };
    const child = spawn(step.argv[0], step.argv.slice(1), {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env: { ...process.env, TAP_TIMEOUT: '0' },
    });
    it.group = child.pid;
    running.add(it);
    let output = '';
    const hear = (text) => {
      output += text;
      it.heard = performance.now();
      it.used = [...processes(it.group).values()].reduce((a, b) => a + b, 0);
      for (const [, name] of text.matchAll(/^ *# Subtest: (.*)$/gm)) it.at = name;
    };
    child.stdout.setEncoding('utf8').on('data', hear);
    child.stderr.setEncoding('utf8').on('data', hear);
    const watch = setInterval(async () => {
      const now = [...processes(it.group).values()].reduce((a, b) => a + b, 0);
      const busy = now - it.used > STUCK_PROCESSOR;
      const idle = now > 0 && now - it.used < 1 && seconds(it.heard) > STUCK_IDLE;
      if (!busy && !idle) return;
      clearInterval(watch);
      const how = busy ? `used ${STUCK_PROCESSOR} s of processor time` : `did nothing for ${STUCK_IDLE} s`;
      const last = it.at === '' ? '' : `, the last time of the test "${it.at}"`;
      it.stuck = `it hangs: it ${how} since it said anything${last}; it is\n${await where(it.group, () => output)}\n`;
      process.kill(-it.group, 'SIGKILL');
    }, 5000);
    child.on('close', (code, signal) => {
      clearInterval(watch);
      running.delete(it);
      const total = /^# \{ total: (\d+)/m.exec(output);
      if (total !== null) assertions += Number(total[1]);
      const ok = code === 0 && it.stuck === '';
      const count = total === null ? '' : `, ${total[1]} assertions`;
      say(`${ok ? 'ok    ' : 'FAILED'} ${step.name} (${seconds(it.since).toFixed(1)} s${count})`);
      if (!ok) {
        failed++;
        const end = code === 0 || it.stuck !== '' ? '' : `it ended with ${signal ?? `status ${code}`}\n`;
        say(`${failures(step, output).replace(/^(?=.)/gm, '  ')}\n  ${end}${it.stuck.replace(/\n(?=.)/g, '\n  ')}  just that: ${step.command}`);
      }
      resolve();
    });
  });
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, () => {
    for (const it of running) process.kill(-it.group, 'SIGKILL');
    process.exit(130);
  });

const words = process.argv.slice(2);
const started = performance.now();
const START = { name: 'npm start', command: 'npm start', argv: [process.execPath, '--import=tsx', 'harness/bin/start.ts'] };
const steps = words.includes('--all') ? [START, ...STATIC, UNIT, ...all_tests().map(test)] : words.length > 0 ? words.map(test) : [UNIT, ...STATIC];
const count = steps.length;
const ticker = setInterval(tell, tty ? 500 : TELL * 1000);
await Promise.all(
  Array.from({ length: Math.max(2, availableParallelism()) }, async () => {
    for (let step = steps.shift(); step !== undefined; step = steps.shift()) await run(step);
  }),
);
clearInterval(ticker);
say(`${failed === 0 ? `all ${count} steps passed` : `${failed} of ${count} steps FAILED`}: ${assertions} assertions, ${seconds(started).toFixed(1)} s`);
process.exit(failed === 0 ? 0 : 1);
