// SPDX-License-Identifier: GPL-2.0-only

import { check_patches } from '../../lib/patches/check_patches.ts';
import { type PatchId, patch_states } from '../../lib/patches/index.ts';
import type { PatchState } from '../../lib/patches/patch_state.ts';
import { fileURLToPath } from 'node:url';
import { place } from '../cases/check.ts';
import { type Chooser, LooseChooser, ReplayChooser } from '../explore/choosers.ts';
import { type FailureKind, type RaceCase, type Run, run_case } from '../explore/engine.ts';
import { program_of } from '../run/child.ts';
import { parse_schedule } from '../explore/schedule.ts';

/** The folder of C programs. */
const PROGRAMS = fileURLToPath(new URL('../../selftests/c/', import.meta.url));

/**
 * A case that shows what a patch is for: it fails on the machine without it and passes with it. The default export of a
 * file in selftests/regressions. What the patch is, and what goes wrong without it, the patch state says.
 */
export interface RegressionCase extends Omit<RaceCase, 'name' | 'summary' | 'run'> {
  /** what it does; or else `program` */
  run?: RaceCase['run'];
  /** the C program in selftests/c that it is, which must end with status 0 */
  program?: string;
  /** the patch state that it shows */
  state: PatchId;
  /** the patch of the series or after it that made the difference, where the state stands for more than that */
  patch?: { subject: string; where: string };
  /** what goes wrong, step by step, where it is something else than the state has */
  bug?: readonly string[];
  /** patch states of the machine where it fails; default: the state and what it needs, or that alone for a fix */
  without?: readonly PatchId[];
  /** patch states of the machine where it passes; default: the same with the fix in, or the state out */
  with?: readonly PatchId[];
  /** how it fails without the fix: the kind, and words that the report must contain */
  fails: { kind: FailureKind; text: string };
  /** the interleaving that shows it, where the default one does not */
  schedule?: string;
  /** configuration of the machine with the fix, where it differs */
  config_with?: RaceCase['config'];
}

/** A case with what its state says of it. */
export interface LoadedCase extends RegressionCase {
  run: RaceCase['run'];
  /** its file's name */
  slug: string;
  subject: string;
  /** commit id or Message-Id */
  upstream: string;
  date: string;
  bug: readonly string[];
  without: readonly PatchId[];
  with: readonly PatchId[];
}

/** Adds to a case what its state says. Throws RangeError for states that there are not, or that cannot be together. */
export function with_state(c: RegressionCase, slug: string): LoadedCase {
  check_patches([c.state, ...needs_of(c.state)]);
  const state = patch_states.find((p) => p.id === c.state) as PatchState;
  const needs = needs_of(state.id);
  const all = [...needs, state.id];
  const bug = c.bug ?? state.bug;
  if (bug === undefined) throw new RangeError(`neither the case nor its state ${state.id} has a bug, step by step`);
  return {
    ...c,
    ...program_run(c),
    slug,
    subject: c.patch?.subject ?? state.subject,
    upstream: c.patch?.where ?? state.where,
    date: state.date,
    bug,
    without: check_patches(c.without ?? (state.kind === 'proposed' ? needs : all)),
    with: check_patches(c.with ?? (state.kind === 'proposed' ? all : needs)),
  };
}

/** What runs a case. Throws RangeError for one without. */
function program_run({ run, program }: RegressionCase): Pick<RaceCase, 'run' | 'compiled'> {
  if (run !== undefined) return { run };
  if (program === undefined) throw new RangeError('expected a function run, or the program of the case');
  return { compiled: true, run: (_, x) => x.program(`${PROGRAMS}${program}`) };
}

/** The states that a state needs, the first needed first. */
export function needs_of(id: PatchId): PatchId[] {
  const needs = patch_states.find((p) => p.id === id)?.needs ?? [];
  return [...new Set(needs.flatMap((it) => [...needs_of(it), it]))];
}

/** What running a case in both states gave. */
interface Verdict {
  slug: string;
  /** null if the case does what it says; else what it does instead */
  wrong: string | null;
  without: string;
  with: string;
}

const standard: Chooser = { next: (c) => c.standard };

function run_in(c: LoadedCase, patches: readonly PatchId[], fixed: boolean): Run {
  const race: RaceCase = {
    ...c,
    name: c.slug,
    summary: c.subject,
    config: fixed ? (c.config_with ?? c.config) : c.config,
  };
  const schedule = c.schedule === undefined ? null : parse_schedule(c.schedule);
  return run_case(
    race,
    schedule?.seed ?? 1,
    (e) => {
      if (schedule === null) return standard;
      // The fixed kernel may have other steps.
      const make = fixed ? LooseChooser : ReplayChooser;
      return new make(schedule.switches, (t) => e.number_of(t));
    },
    { patches },
  );
}

function in_words(run: Run): string {
  if (run.failure === null) return 'passes';
  const { kind, text } = run.failure;
  return kind === 'crash' ? crash_in_words(text) : `${kind}: ${text}`;
}

/** An error in a program of the case, or of the model: its message, and where in selftests it was thrown, if there. */
function crash_in_words(text: string): string {
  const [message, ...stack] = text.split('\n');
  const frames = stack.map((line) => /([^( ]+\.ts):(\d+):\d+\)?$/.exec(line)).filter((hit) => hit !== null);
  const at = frames.find((hit) => hit[1].includes('/selftests/')) ?? frames[0];
  return `crash: ${message}${at === undefined ? '' : ` at ${place(fileURLToPath(new URL(at[1], 'file:')), Number(at[2]))}`}`;
}

/** Runs a case without the fix, where it must fail as it says, and with it, where it must pass. */
export function run_regression(c: LoadedCase): Verdict {
  if (c.program !== undefined && program_of(`${PROGRAMS}${c.program}`) === null) {
    const text = 'is not run: no C compiler builds it here';
    return { slug: c.slug, wrong: null, without: text, with: text };
  }
  const broken = run_in(c, c.without, false);
  const fixed = run_in(c, c.with, true);
  const verdict = { slug: c.slug, without: in_words(broken), with: in_words(fixed) };
  let wrong: string | null = null;
  if (broken.failure === null) wrong = `passes without the fix (patches: ${c.without.join(', ') || 'none'})`;
  else if (broken.failure.kind !== c.fails.kind || !broken.failure.text.includes(c.fails.text)) {
    wrong = `fails without the fix by ${verdict.without}; expected ${c.fails.kind} with "${c.fails.text}"`;
  } else if (fixed.failure !== null)
    wrong = `fails with the fix (patches: ${c.with.join(', ') || 'none'}): ${verdict.with}`;
  return { ...verdict, wrong };
}
