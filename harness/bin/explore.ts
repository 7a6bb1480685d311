// SPDX-License-Identifier: GPL-2.0-only
// `npm run -s explore`: runs a race under many schedules, or repeats one schedule exactly.

import type { PatchId } from '../../lib/patches/index.ts';
import { race_cases } from '../../selftests/races/index.ts';
import { known_races } from '../../selftests/races/known.ts';
import { upstream_faults } from '../../selftests/races/upstream.ts';
import { choice, command, command_line, flag, run_commands, text, whole } from '../cli/command.ts';
import { patches_option } from '../cli/options.ts';
import { Progress } from '../cli/progress.ts';
import { did_you_mean, UsageError } from '../cli/usage_error.ts';
import { explore_all } from '../explore/all.ts';
import { ScheduleMismatch } from '../explore/choosers.ts';
import { type RaceCase, replay, type Run, type RunOptions } from '../explore/engine.ts';
import { DEPTH, SCHEDULES, search_known } from '../explore/known.ts';
import { format_schedule, parse_schedule, type Schedule } from '../explore/schedule.ts';
import { check_determinism, explore, Nondeterminism, shrink, type StrategyName } from '../explore/search.ts';

const MAX = 1_000_000_000;

const budget = whole('steps after which a run counts as a livelock', {
  from: 1,
  to: MAX,
  says: "20000, or the case's own",
});

const SEARCH = {
  strategy: choice('how the next task is chosen', ['random', 'pct', 'dfs'], 'random'),
  schedules: whole('schedules to try', { from: 1, to: MAX, says: `${SCHEDULES}; dfs: all; with --twice: 100` }),
  preemptions: whole('dfs: preemptions in a schedule', { from: 0, to: 100, standard: 2 }),
  depth: whole('pct: depth of the bug looked for', { from: 1, to: 100, standard: DEPTH }),
  seed: whole('the first seed', { from: 0, to: MAX, standard: 1 }),
  budget,
  patches: patches_option,
  twice: flag('runs every random schedule twice and compares all steps'),
  quiet: flag('shows no progress'),
};

const ONE = {
  ...SEARCH,
  replay: text('repeats a schedule that was printed', 'SCHEDULE'),
  trace: flag('shows every step of a repeated schedule, or of the failing one'),
};

interface Options {
  strategy: StrategyName;
  schedules: number | null;
  preemptions: number;
  depth: number;
  seed: number;
  budget: number | null;
  patches: readonly PatchId[];
  replay: string | null;
  trace: boolean;
  twice: boolean;
  quiet: boolean;
}

/** What of the options concerns every run. */
function run_options(o: Options): RunOptions {
  return { patches: o.patches, trace: o.trace, ...(o.budget === null ? {} : { budget: o.budget }) };
}

function report(c: RaceCase, o: Options, run: Run): void {
  const words = format_schedule(run.schedule);
  if (o.trace) process.stdout.write(`${run.trace.join('\n')}\n`);
  process.stdout.write(`${c.name}: ${run.failure?.kind}: ${run.failure?.text}\n`);
  for (const line of run.log.slice(-12)) process.stdout.write(`  kernel: ${line}\n`);
  process.stdout.write(`schedule (${run.schedule.switches.length} switches, ${run.steps} steps): ${words}\n`);
  const states = o.patches.length > 0 ? [`--patches=${o.patches.join(',')}`] : [];
  process.stdout.write(`replay: ${command_line('explore', c.name, ...states, `--replay '${words}'`)}\n`);
}

function schedule_of(words: string): Schedule {
  try {
    return parse_schedule(words);
  } catch (e) {
    throw e instanceof RangeError ? new UsageError(e.message) : e;
  }
}

function run_replay(c: RaceCase, o: Options): number {
  const run = replay(c, schedule_of(o.replay ?? ''), run_options(o));
  if (run.failure !== null) {
    report(c, o, run);
    return 1;
  }
  if (o.trace) process.stdout.write(`${run.trace.join('\n')}\n`);
  process.stdout.write(`${c.name}: passes under this schedule, ${run.steps} steps\n`);
  return 0;
}

function run_twice(c: RaceCase, o: Options): number {
  const n = o.schedules ?? 100;
  check_determinism(c, n, o.seed, run_options(o));
  process.stdout.write(`${c.name}: ${n} schedules ran twice, step by step alike\n`);
  return 0;
}

function run_explore(c: RaceCase, o: Options): number {
  const started = performance.now();
  const rate = (done: number): number => Math.round((1000 * done) / Math.max(1, performance.now() - started));
  const progress = new Progress(o.quiet);
  const found = explore(c, {
    ...run_options(o),
    strategy: o.strategy,
    seed: o.seed,
    schedules: o.schedules ?? (o.strategy === 'dfs' ? Infinity : SCHEDULES),
    bound: o.strategy === 'dfs' ? o.preemptions : o.depth,
    progress: (done) => progress.tick(() => `${c.name}: ${done} schedules, ${rate(done)} a second`),
  });
  progress.clear();
  if (found.failed === null) {
    const all = found.complete ? `, all with at most ${o.preemptions} preemptions` : '';
    process.stdout.write(
      `${c.name}: ${found.schedules} schedules of up to ${found.steps} steps${all}: none fails (${rate(found.schedules)} a second)\n`,
    );
    return 0;
  }
  process.stdout.write(
    `${c.name}: schedule ${found.schedules} fails with ${found.failed.schedule.switches.length} switches; shrinking\n`,
  );
  report(c, o, shrink(c, found.failed, run_options(o)));
  return 1;
}

function known_table(seeds: number): number {
  const rows = [
    [
      'case',
      'fix taken out',
      'strategy',
      `schedules until found (median of ${seeds} seeds)`,
      'fewest, most',
      'switches, shrunk',
      'schedules a second',
    ],
  ];
  let missed = 0;
  for (const k of known_races) {
    const s = search_known(k, seeds, () => performance.now());
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

/** The options that each case of `all` is given. */
function words_for_each(o: Omit<Options, 'replay' | 'trace'>): string[] {
  const numbers = (['schedules', 'preemptions', 'depth', 'seed', 'budget'] as const).flatMap((name) =>
    o[name] === null ? [] : [`--${name}=${o[name]}`],
  );
  const states = o.patches.length > 0 ? [`--patches=${o.patches.join(',')}`] : [];
  return [`--strategy=${o.strategy}`, ...numbers, ...states, ...(o.twice ? ['--twice'] : [])];
}

function list(): number {
  for (const c of race_cases) process.stdout.write(`${c.name.padEnd(28)} ${c.summary}\n`);
  process.stdout.write('\nLinux 7.3.4 itself fails these:\n');
  for (const c of upstream_faults) {
    const again = command_line('explore', c.name, `--replay '${c.schedule}'`);
    process.stdout.write(`${c.name.padEnd(28)} ${c.summary}\n    ${c.why}\n    ${again}\n`);
  }
  return 0;
}

function one_case(name: string, o: Options): number {
  const cases = [...race_cases, ...upstream_faults];
  const c = cases.find((x) => x.name === name);
  if (c === undefined) {
    const near = did_you_mean(
      name,
      cases.map((x) => x.name),
    );
    throw new UsageError(`no case ${name}${near === '' ? `; ${command_line('explore', 'list')} shows them` : near}`);
  }
  try {
    if (o.replay !== null) return run_replay(c, o);
    return o.twice ? run_twice(c, o) : run_explore(c, o);
  } catch (e) {
    if (e instanceof ScheduleMismatch) throw new UsageError(`the schedule does not fit: ${e.message}`);
    if (!(e instanceof Nondeterminism)) throw e;
    process.stdout.write(`not deterministic: ${e.message}\n`);
    return 1;
  }
}

run_commands('explore', [
  command({
    words: 'CASE',
    count: [1, 1],
    about: 'Runs a race under many schedules, and shrinks and prints the first that fails; or repeats one exactly.',
    options: ONE,
    run: (o, [name]) => one_case(name, o),
  }),
  command({
    verb: 'all',
    words: '',
    count: [0, 0],
    about: 'Explores every case that Linux 7.3.4 wins.',
    options: { ...SEARCH, jobs: whole('cases at a time, in processes of their own', { from: 1, to: 64, standard: 2 }) },
    run: (o) =>
      explore_all(
        race_cases.map((x) => x.name),
        words_for_each(o),
        o.jobs,
        (out) => process.stdout.write(out),
      ),
  }),
  command({
    verb: 'list',
    words: '',
    count: [0, 0],
    about: 'Lists the cases.',
    options: {},
    run: list,
  }),
  command({
    verb: 'known',
    words: '',
    count: [0, 0],
    about: 'Shows how soon the races are found whose fixes are taken out.',
    options: { seeds: whole('seeds to search with, for each race', { from: 1, to: 10_000, standard: 20 }) },
    run: (o) => known_table(o.seeds),
  }),
]);
