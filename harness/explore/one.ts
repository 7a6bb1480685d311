// SPDX-License-Identifier: GPL-2.0-only
// What `explore` does with one case, and what it prints.

import { type PatchId, patch_states } from '../../lib/patches/index.ts';
import { command_line } from '../cli/command.ts';
import { print } from '../cli/program.ts';
import { Progress } from '../cli/progress.ts';
import { UsageError } from '../cli/usage_error.ts';
import { ScheduleMismatch } from './choosers.ts';
import { type RaceCase, replay, replay_loosely, type Run, type RunOptions } from './engine.ts';
import { SCHEDULES } from './known.ts';
import { format_schedule, parse_schedule, type Schedule } from './schedule.ts';
import { check_determinism, explore, Nondeterminism, shrink, type StrategyName } from './search.ts';
import { in_every_state, type InState } from './states.ts';

/** Schedules that are tried in each state where nothing else is said. */
export const SCHEDULES_A_STATE = 1000;
/** Schedules that run twice where nothing else is said. */
export const SCHEDULES_TWICE = 100;
/** Lines of the kernel's log that a report shows. */
const LOG_LINES = 12;

/** A case, and what a user calls it. */
export interface Target {
  c: RaceCase;
  words: string;
}

/** The options of the command line for one case. */
export interface Options {
  strategy: StrategyName;
  schedules: number | null;
  preemptions: number;
  depth: number;
  seed: number;
  budget: number | null;
  patches: readonly PatchId[];
  replay: string | null;
  loose: boolean;
  states: boolean;
  trace: boolean;
  twice: boolean;
  quiet: boolean;
}

const say = (line: string): void => print(`${line}\n`);

/** What of the options concerns every run. */
function run_options(o: Options): RunOptions {
  return { patches: o.patches, trace: o.trace, ...(o.budget === null ? {} : { budget: o.budget }) };
}

/** What of them concerns a search of `schedules` where none is named. */
function search_options(o: Options, schedules: number): Parameters<typeof explore>[1] {
  return {
    ...run_options(o),
    strategy: o.strategy,
    seed: o.seed,
    schedules: o.schedules ?? schedules,
    bound: o.strategy === 'dfs' ? o.preemptions : o.depth,
  };
}

/** The command that repeats a run. */
function again({ words }: Target, patches: readonly PatchId[], run: Run): string {
  const states = patches.length > 0 ? [`--patches=${patches.join(',')}`] : [];
  return command_line('explore', words, ...states, `--replay '${format_schedule(run.schedule)}'`);
}

function report(t: Target, o: Options, run: Run): void {
  if (o.trace) say(run.trace.join('\n'));
  say(`${t.c.name}: ${run.failure?.kind}: ${run.failure?.text}`);
  for (const line of run.log.slice(-LOG_LINES)) say(`  kernel: ${line}`);
  const size = `${run.schedule.switches.length} switches, ${run.steps} steps`;
  say(`schedule (${size}): ${format_schedule(run.schedule)}`);
  say(`replay: ${again(t, o.patches, run)}`);
}

function schedule_of(words: string): Schedule {
  try {
    return parse_schedule(words);
  } catch (e) {
    throw e instanceof RangeError ? new UsageError(e.message) : e;
  }
}

function run_replay(t: Target, o: Options, words: string): number {
  const schedule = schedule_of(words);
  const { run, misfits } = o.loose
    ? replay_loosely(t.c, schedule, run_options(o))
    : { run: replay(t.c, schedule, run_options(o)), misfits: [] };
  for (const line of misfits) say(`does not fit: ${line}`);
  if (run.failure !== null) {
    report(t, o, run);
    return 1;
  }
  if (o.trace) say(run.trace.join('\n'));
  say(`${t.c.name}: passes under this schedule, ${run.steps} steps`);
  return 0;
}

function run_twice({ c }: Target, o: Options): number {
  const n = o.schedules ?? SCHEDULES_TWICE;
  check_determinism(c, n, o.seed, run_options(o));
  say(`${c.name}: ${n} schedules ran twice, step by step alike`);
  return 0;
}

function run_explore(t: Target, o: Options): number {
  const { c } = t;
  const started = performance.now();
  const rate = (done: number): number => Math.round((1000 * done) / Math.max(1, performance.now() - started));
  const progress = new Progress(o.quiet);
  const found = explore(c, {
    ...search_options(o, o.strategy === 'dfs' ? Infinity : SCHEDULES),
    progress: (done) => progress.tick(() => `${c.name}: ${done} schedules, ${rate(done)} a second`),
  });
  progress.clear();
  if (found.failed === null) {
    const all = found.complete ? `, all with at most ${o.preemptions} preemptions` : '';
    const tried = `${found.schedules} schedules of up to ${found.steps} steps${all}`;
    say(`${c.name}: ${tried}: none fails (${rate(found.schedules)} a second)`);
    return 0;
  }
  const { switches } = found.failed.schedule;
  say(`${c.name}: schedule ${found.schedules} fails with ${switches.length} switches; shrinking`);
  report(t, o, shrink(c, found.failed, run_options(o)));
  return 1;
}

function state_lines(t: Target, s: InState): string[] {
  const name = s.id ?? 'Linux 7.3.4';
  const misfits = s.misfits.map((line) => `    does not fit: ${line}`);
  if (s.error !== null) return [`${name}: cannot run: ${s.error.split('\n')[0]}`];
  if (s.failed === null) return misfits.length > 0 ? [`${name}: passes`, ...misfits] : [];
  const { kind, text } = s.failed.failure ?? {};
  return [`${name}: ${kind}: ${text?.split('\n')[0]}`, `    ${again(t, s.patches, s.failed)}`, ...misfits];
}

/** Tries the case in every patch state; 1 if it fails on Linux 7.3.4 itself. */
function run_states(t: Target, o: Options): number {
  const progress = new Progress(o.quiet);
  const schedule = o.replay === null ? null : schedule_of(o.replay);
  const done: InState[] = [];
  for (const s of in_every_state(t.c, search_options(o, SCHEDULES_A_STATE), schedule)) {
    done.push(s);
    progress.clear();
    for (const line of state_lines(t, s)) say(line);
    progress.tick(() => `${t.c.name}: ${done.length} of ${patch_states.length + 1} states`);
  }
  progress.clear();
  const [linux, ...states] = done;
  const passing = states.filter((s) => s.failed === null && s.error === null);
  const ids = (of: readonly InState[]): string => of.map((s) => s.id).join(' ') || 'none';
  say(`passes with: ${ids(passing.filter((s) => s.reached))}`);
  say(`cannot fail, since it never comes to what the state changes, with: ${ids(passing.filter((s) => !s.reached))}`);
  const here = linux.failed === null ? 'passes' : 'fails';
  const failing = states.filter((s) => s.failed !== null).length;
  say(`${t.c.name}: ${here} on Linux 7.3.4, fails in ${failing} of ${states.length} states`);
  return linux.failed === null ? 0 : 1;
}

/** Does with a case what the options say; the exit status. */
export function explore_one(t: Target, o: Options): number {
  if (o.loose && o.replay === null)
    throw new UsageError('--loose is how --replay=SCHEDULE is followed: name a schedule');
  if (o.states && o.patches.length > 0)
    throw new UsageError('--states tries every state by itself: leave --patches out');
  try {
    if (o.states) return run_states(t, o);
    if (o.replay !== null) return run_replay(t, o, o.replay);
    return o.twice ? run_twice(t, o) : run_explore(t, o);
  } catch (e) {
    if (e instanceof ScheduleMismatch)
      throw new UsageError(`the schedule does not fit: ${e.message}; --loose follows it as far as it does`);
    if (!(e instanceof Nondeterminism)) throw e;
    say(`not deterministic: ${e.message}`);
    return 1;
  }
}
