// SPDX-License-Identifier: GPL-2.0-only
// `npm run -s explore`: runs a race under many schedules, or repeats one schedule exactly.

import { race_cases } from '../../selftests/races/index.ts';
import { known_races } from '../../selftests/races/known.ts';
import { upstream_faults } from '../../selftests/races/upstream.ts';
import { UsageError } from '../cli/options.ts';
import { explore_all } from '../explore/all.ts';
import { ScheduleMismatch } from '../explore/choosers.ts';
import { type RaceCase, replay, type Run } from '../explore/engine.ts';
import { DEPTH, SCHEDULES, search_known } from '../explore/known.ts';
import { format_schedule, parse_schedule } from '../explore/schedule.ts';
import { check_determinism, explore, Nondeterminism, shrink, type StrategyName } from '../explore/search.ts';

const USAGE = `usage: npm run -s explore -- CASE [options]
       npm run -s explore -- all [options] [--jobs=2]   every case that Linux 7.3.4 wins
       npm run -s explore -- list
       npm run -s explore -- known [--seeds=20]     how soon the races are found whose fixes are taken out
  --strategy=random|pct|dfs  how the next task is chosen (random)
  --schedules=N              schedules to try (20000; dfs: all)
  --preemptions=N            dfs: preemptions in a schedule (2)
  --depth=N                  pct: depth of the bug looked for (3)
  --seed=N                   the first seed (1)
  --budget=N                 steps after which a run counts as a livelock (20000, or the case's own)
  --patches=NAME,NAME        states of the kernel that differ from Linux 7.3.4
  --twice                    runs every random schedule twice and compares all steps
  --replay STRING            repeats a schedule that was printed
  --quiet                    shows no progress
  --trace                    shows every step of a repeated schedule, or of the failing one
`;

interface Options {
  name: string;
  strategy: StrategyName;
  schedules: number | null;
  preemptions: number;
  depth: number;
  seed: number;
  budget?: number;
  patches: string[];
  replay: string | null;
  trace: boolean;
  twice: boolean;
  seeds: number;
  jobs: number;
  quiet: boolean;
}

function number_of(name: string, text: string): number {
  const n = Number(text);
  if (!Number.isSafeInteger(n) || n < 0) throw new UsageError(`${name}=${text}: expected a whole number`);
  return n;
}

function strategy_of(text: string): StrategyName {
  if (text !== 'random' && text !== 'pct' && text !== 'dfs')
    throw new UsageError(`--strategy=${text}: expected random, pct or dfs`);
  return text;
}

function parse(argv: readonly string[]): Options {
  const o: Options = {
    name: '',
    strategy: 'random',
    schedules: null,
    preemptions: 2,
    depth: DEPTH,
    seed: 1,
    patches: [],
    replay: null,
    trace: false,
    twice: false,
    seeds: 20,
    jobs: 2,
    quiet: false,
  };
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
    } else if (name === '--strategy') o.strategy = strategy_of(value());
    else if (name === '--schedules') o.schedules = number_of(name, value());
    else if (name === '--preemptions') o.preemptions = number_of(name, value());
    else if (name === '--depth') o.depth = number_of(name, value());
    else if (name === '--seed') o.seed = number_of(name, value());
    else if (name === '--seeds') o.seeds = number_of(name, value());
    else if (name === '--jobs') o.jobs = number_of(name, value());
    else if (name === '--quiet') o.quiet = true;
    else if (name === '--budget') o.budget = number_of(name, value());
    else if (name === '--patches') o.patches = value().split(',');
    else if (name === '--replay') o.replay = value();
    else if (name === '--trace') o.trace = true;
    else if (name === '--twice') o.twice = true;
    else throw new UsageError(`unknown option ${word}`);
  }
  return o;
}

function command(o: Options, schedule: string): string {
  const patches = o.patches.length > 0 ? ` --patches=${o.patches.join(',')}` : '';
  return `npm run -s explore -- ${o.name}${patches} --replay '${schedule}'`;
}

function report(o: Options, run: Run): void {
  const text = format_schedule(run.schedule);
  if (o.trace) process.stdout.write(`${run.trace.join('\n')}\n`);
  process.stdout.write(`${o.name}: ${run.failure?.kind}: ${run.failure?.text}\n`);
  for (const line of run.log.slice(-12)) process.stdout.write(`  kernel: ${line}\n`);
  process.stdout.write(`schedule (${run.schedule.switches.length} switches, ${run.steps} steps): ${text}\n`);
  process.stdout.write(`replay: ${command(o, text)}\n`);
}

function run_replay(c: RaceCase, o: Options): number {
  const run = replay(c, parse_schedule(o.replay as string), o);
  if (run.failure !== null) {
    report(o, run);
    return 1;
  }
  if (o.trace) process.stdout.write(`${run.trace.join('\n')}\n`);
  process.stdout.write(`${o.name}: passes under this schedule, ${run.steps} steps\n`);
  return 0;
}

function run_twice(c: RaceCase, o: Options): number {
  const n = o.schedules ?? 100;
  check_determinism(c, n, o.seed, o);
  process.stdout.write(`${o.name}: ${n} schedules ran twice, step by step alike\n`);
  return 0;
}

function run_explore(c: RaceCase, o: Options): number {
  const started = Date.now();
  let shown = started;
  const rate = (done: number): number => Math.round((1000 * done) / Math.max(1, Date.now() - started));
  const progress = (done: number): void => {
    if (o.quiet || Date.now() - shown < 1000) return;
    shown = Date.now();
    process.stderr.write(`\r${o.name}: ${done} schedules, ${rate(done)} a second `);
  };
  const found = explore(c, {
    ...o,
    schedules: o.schedules ?? (o.strategy === 'dfs' ? Infinity : SCHEDULES),
    bound: o.strategy === 'dfs' ? o.preemptions : o.depth,
    progress,
  });
  if (shown !== started) process.stderr.write('\n');
  if (found.failed === null) {
    const all = found.complete ? `, all with at most ${o.preemptions} preemptions` : '';
    process.stdout.write(
      `${o.name}: ${found.schedules} schedules of up to ${found.steps} steps${all}: none fails (${rate(found.schedules)} a second)\n`,
    );
    return 0;
  }
  process.stdout.write(
    `${o.name}: schedule ${found.schedules} fails with ${found.failed.schedule.switches.length} switches; shrinking\n`,
  );
  report(o, shrink(c, found.failed, o));
  return 1;
}

function known_table(o: Options): number {
  const rows = [
    [
      'case',
      'fix taken out',
      'strategy',
      `schedules until found (median of ${o.seeds} seeds)`,
      'fewest, most',
      'switches, shrunk',
      'schedules a second',
    ],
  ];
  let missed = 0;
  for (const k of known_races) {
    const s = search_known(k, o.seeds, () => performance.now());
    missed += s.missed;
    const n = s.schedules.length;
    const median = ((s.schedules[(n - 1) >> 1] ?? NaN) + (s.schedules[n >> 1] ?? NaN)) / 2;
    const span = `${s.schedules[0] ?? '-'}, ${s.schedules[n - 1] ?? '-'}${s.missed > 0 ? `; ${s.missed} seeds found nothing` : ''}`;
    rows.push([k.race.name, k.patch, k.strategy, String(median), span, String(s.switches), s.per_second.toFixed(0)]);
    process.stderr.write(`${k.race.name}: done\n`);
  }
  rows.splice(
    1,
    0,
    rows[0].map(() => '---'),
  );
  for (const r of rows) process.stdout.write(`| ${r.join(' | ')} |\n`);
  return missed === 0 ? 0 : 1;
}

/** The words that each case of `all` is given. */
function words_for_each(argv: readonly string[]): string[] {
  return argv.filter((w, i) => w !== 'all' && w !== '--jobs' && !w.startsWith('--jobs=') && argv[i - 1] !== '--jobs');
}

async function main(argv: readonly string[]): Promise<number> {
  try {
    const o = parse(argv);
    if (o.name === 'list') {
      for (const c of race_cases) process.stdout.write(`${c.name.padEnd(28)} ${c.summary}\n`);
      process.stdout.write('\nLinux 7.3.4 itself fails these:\n');
      for (const c of upstream_faults) {
        process.stdout.write(
          `${c.name.padEnd(28)} ${c.summary}\n    ${c.why}\n    npm run -s explore -- ${c.name} --replay '${c.schedule}'\n`,
        );
      }
      return 0;
    }
    if (o.name === 'all') {
      if (o.jobs < 1) throw new UsageError(`--jobs=${o.jobs}: expected at least 1`);
      return await explore_all(
        race_cases.map((x) => x.name),
        words_for_each(argv),
        o.jobs,
        (text) => process.stdout.write(text),
      );
    }
    if (o.name === 'known') return known_table(o);
    const c = [...race_cases, ...upstream_faults].find((x) => x.name === o.name);
    if (c === undefined)
      throw new UsageError(o.name === '' ? 'name a case' : `no case ${o.name}: see npm run -s explore -- list`);
    if (o.replay !== null) return run_replay(c, o);
    return o.twice ? run_twice(c, o) : run_explore(c, o);
  } catch (e) {
    if (e instanceof UsageError || e instanceof RangeError)
      process.stderr.write(`explore: ${e.message}\n${e instanceof UsageError ? USAGE : ''}`);
    else if (e instanceof ScheduleMismatch) process.stderr.write(`explore: the schedule does not fit: ${e.message}\n`);
    else if (e instanceof Nondeterminism) process.stderr.write(`explore: not deterministic: ${e.message}\n`);
    else throw e;
    return 2;
  }
}

process.exitCode = await main(process.argv.slice(2));
