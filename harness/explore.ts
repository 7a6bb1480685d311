// SPDX-License-Identifier: GPL-2.0-only
// `npm run -s explore`: runs a race under many schedules, or repeats one schedule exactly.

import { race_cases } from '../selftests/races/index.ts';
import { explore, replay, shrink, type Run, type RaceCase, type StrategyName } from './explore/engine.ts';
import { ScheduleMismatch, format_schedule, parse_schedule } from './explore/schedule.ts';
import { UsageError } from './options.ts';

const USAGE = `usage: npm run -s explore -- CASE [options]
       npm run -s explore -- list
  --strategy=random|pct|dfs  how the next task is chosen (random)
  --schedules=N              schedules to try (20000)
  --preemptions=N            dfs: preemptions in a schedule (2)
  --depth=N                  pct: depth of the bug looked for (3)
  --seed=N                   the first seed (1)
  --patches=NAME,NAME        states of the kernel that differ from Linux 7.3.4
  --replay STRING            repeats a schedule that was printed
  --trace                    shows every step of a repeated schedule, or of the failing one
`;

interface Options {
  name: string;
  strategy: StrategyName;
  schedules: number;
  preemptions: number;
  depth: number;
  seed: number;
  patches: string[];
  replay: string | null;
  trace: boolean;
}

function number_of(name: string, text: string): number {
  const n = Number(text);
  if (!Number.isSafeInteger(n) || n < 0) throw new UsageError(`--${name}=${text}: expected a whole number`);
  return n;
}

function parse(argv: readonly string[]): Options {
  const o: Options = { name: '', strategy: 'random', schedules: 20_000, preemptions: 2, depth: 3, seed: 1, patches: [], replay: null, trace: false };
  const words = [...argv];
  while (words.length > 0) {
    const word = words.shift() as string;
    const cut = word.indexOf('=');
    const name = cut < 0 ? word : word.slice(0, cut);
    const value = (): string => {
      const v = cut < 0 ? words.shift() : word.slice(cut + 1);
      if (v === undefined || v === '') throw new UsageError(`${name} needs a value`);
      return v;
    };
    if (!word.startsWith('--')) {
      if (o.name !== '') throw new UsageError(`${word}: one case at a time, ${o.name} was named already`);
      o.name = word;
    } else if (name === '--strategy') {
      const v = value();
      if (v !== 'random' && v !== 'pct' && v !== 'dfs') throw new UsageError(`--strategy=${v}: expected random, pct or dfs`);
      o.strategy = v;
    } else if (name === '--schedules') o.schedules = number_of('schedules', value());
    else if (name === '--preemptions') o.preemptions = number_of('preemptions', value());
    else if (name === '--depth') o.depth = number_of('depth', value());
    else if (name === '--seed') o.seed = number_of('seed', value());
    else if (name === '--patches') o.patches = value().split(',');
    else if (name === '--replay') o.replay = value();
    else if (name === '--trace') o.trace = true;
    else throw new UsageError(`unknown option ${word}`);
  }
  return o;
}

function command(o: Options, schedule: string): string {
  const patches = o.patches.length > 0 ? ` --patches=${o.patches.join(',')}` : '';
  return `npm run -s explore -- ${o.name}${patches} --replay '${schedule}' --trace`;
}

function report(o: Options, run: Run): void {
  const text = format_schedule(run.schedule);
  if (run.trace.length > 0) process.stdout.write(`${run.trace.join('\n')}\n`);
  process.stdout.write(`${o.name}: ${run.failure?.kind}: ${run.failure?.text}\n`);
  for (const line of run.log.slice(-12)) process.stdout.write(`  kernel: ${line}\n`);
  process.stdout.write(`schedule (${run.schedule.switches.length} switches, ${run.steps} steps): ${text}\n`);
  process.stdout.write(`replay: ${command(o, text)}\n`);
}

function run_replay(c: RaceCase, o: Options): number {
  const run = replay(c, parse_schedule(o.replay as string), { patches: o.patches, trace: o.trace });
  if (run.failure !== null) {
    report(o, run);
    return 1;
  }
  if (run.trace.length > 0) process.stdout.write(`${run.trace.join('\n')}\n`);
  process.stdout.write(`${o.name}: passes under this schedule, ${run.steps} steps\n`);
  return 0;
}

function run_explore(c: RaceCase, o: Options): number {
  const bound = o.strategy === 'dfs' ? o.preemptions : o.depth;
  let shown = Date.now();
  const started = shown;
  const progress = (done: number): void => {
    if (Date.now() - shown < 1000) return;
    shown = Date.now();
    process.stderr.write(`\r${o.name}: ${done} schedules, ${Math.round((1000 * done) / (shown - started))} a second `);
  };
  const found = explore(c, { strategy: o.strategy, schedules: o.schedules, bound, seed: o.seed, patches: o.patches, progress });
  if (shown !== started) process.stderr.write('\n');
  if (found.failed === null) {
    process.stdout.write(`${o.name}: ${found.schedules} schedules${found.complete ? ', all within the bound' : ''}, none fails\n`);
    return 0;
  }
  process.stdout.write(`${o.name}: schedule ${found.schedules} fails; shrinking\n`);
  const small = shrink(c, found.failed, { patches: o.patches });
  report(o, replay(c, small.schedule, { patches: o.patches, trace: o.trace }));
  return 1;
}

function main(argv: readonly string[]): number {
  try {
    const o = parse(argv);
    if (o.name === 'list') {
      for (const c of race_cases) process.stdout.write(`${c.name.padEnd(28)} ${c.summary}\n`);
      return 0;
    }
    const c = race_cases.find((x) => x.name === o.name);
    if (c === undefined) throw new UsageError(o.name === '' ? 'name a case' : `no case ${o.name}: see npm run -s explore -- list`);
    return o.replay !== null ? run_replay(c, o) : run_explore(c, o);
  } catch (e) {
    if (e instanceof UsageError || e instanceof RangeError) process.stderr.write(`explore: ${e.message}\n${e instanceof UsageError ? USAGE : ''}`);
    else if (e instanceof ScheduleMismatch) process.stderr.write(`explore: the schedule does not fit: ${e.message}\n`);
    else throw e;
    return 2;
  }
}

process.exitCode = main(process.argv.slice(2));
