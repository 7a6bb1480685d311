// SPDX-License-Identifier: GPL-2.0-only
// `npm run -s explore`: runs a race under many schedules, or repeats one schedule exactly.

import { race_cases } from '../../selftests/races/index.ts';
import { known_races } from '../../selftests/races/known.ts';
import { upstream_faults } from '../../selftests/races/upstream.ts';
import { choice, command, command_line, flag, run_commands, text, whole } from '../cli/command.ts';
import { patches_option } from '../cli/options.ts';
import { print } from '../cli/program.ts';
import { did_you_mean, UsageError } from '../cli/usage_error.ts';
import { explore_all } from '../explore/all.ts';
import { is_file, load_file, new_race } from '../explore/file.ts';
import { DEPTH, SCHEDULES, search_known } from '../explore/known.ts';
import { explore_one, type Options, SCHEDULES_A_STATE, SCHEDULES_TWICE } from '../explore/one.ts';

const MAX = 1_000_000_000;

const budget = whole('steps after which a run counts as a livelock', {
  from: 1,
  to: MAX,
  says: "20000, or the case's own",
});

const SEARCH = {
  strategy: choice('how the next task is chosen', ['random', 'pct', 'dfs'], 'random'),
  schedules: whole('schedules to try', {
    from: 1,
    to: MAX,
    says: `${SCHEDULES}; dfs: all; --twice: ${SCHEDULES_TWICE}`,
  }),
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
  loose: flag('with --replay: follows the schedule as far as it fits, and says where it does not'),
  states: flag(
    `tries every patch state by itself, ${SCHEDULES_A_STATE} schedules each, or follows the one of --replay`,
  ),
  trace: flag('shows every step of a repeated schedule, or of the failing one'),
};

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
  for (const r of rows) print(`| ${r.join(' | ')} |\n`);
  return missed === 0 ? 0 : 1;
}

/** The options that each case of `all` is given. */
function words_for_each(o: Omit<Options, 'replay' | 'loose' | 'states' | 'trace'>): string[] {
  const numbers = (['schedules', 'preemptions', 'depth', 'seed', 'budget'] as const).flatMap((name) =>
    o[name] === null ? [] : [`--${name}=${o[name]}`],
  );
  const states = o.patches.length > 0 ? [`--patches=${o.patches.join(',')}`] : [];
  return [`--strategy=${o.strategy}`, ...numbers, ...states, ...(o.twice ? ['--twice'] : [])];
}

function list(): number {
  for (const c of race_cases) print(`${c.name.padEnd(28)} ${c.summary}\n`);
  print('\nLinux 7.3.4 itself fails these:\n');
  for (const c of upstream_faults) {
    const again = command_line('explore', c.name, `--replay '${c.schedule}'`);
    print(`${c.name.padEnd(28)} ${c.summary}\n    ${c.why}\n    ${again}\n`);
  }
  return 0;
}

async function one_case(words: string, o: Options): Promise<number> {
  if (is_file(words)) {
    const it = await load_file(words, (note) => process.stderr.write(`explore: ${note}\n`));
    if ('wrong' in it) {
      print(it.wrong.map((line) => `${line}\n`).join(''));
      return 1;
    }
    if (it.patches.length === 0 || o.patches.length > 0 || o.states) return explore_one({ c: it.c, words }, o);
    print(`without its fix, as with --patches=${it.patches.join(',')}:\n`);
    return explore_one({ c: it.c, words }, { ...o, patches: it.patches });
  }
  const cases = [...race_cases, ...upstream_faults];
  const c = cases.find((x) => x.name === words);
  if (c !== undefined) return explore_one({ c, words }, o);
  const near = did_you_mean(
    words,
    cases.map((x) => x.name),
  );
  throw new UsageError(`no case ${words}${near === '' ? `; ${command_line('explore', 'list')} shows them` : near}`);
}

run_commands('explore', [
  command({
    words: 'CASE|FILE.ts|FILE.c|PROGRAM',
    count: [1, 1],
    about: `Runs a race, or the one in a file, under many schedules, and shrinks and prints the first that fails; or repeats
one exactly. A regression case in a file is run without its fix. Of a C program, by its source or static, each access is a step
from race(1) to race(0), which selftests/c/race.h has.`,
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
        print,
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
    verb: 'new',
    words: 'FILE.ts',
    count: [1, 1],
    about: 'Writes the file of a race, to be filled in.',
    options: {},
    run: (_, [path]) => {
      new_race(path);
      print(`wrote ${path}: ${command_line('explore', path)}\n`);
      return 0;
    },
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
