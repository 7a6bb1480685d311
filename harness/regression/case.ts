// SPDX-License-Identifier: GPL-2.0-only

import type { PatchId } from '../../lib/patches/index.ts';
import { type Chooser, ReplayChooser } from '../explore/choosers.ts';
import { type FailureKind, type RaceCase, type Run, run_case } from '../explore/engine.ts';
import { parse_schedule } from '../explore/schedule.ts';

/** A case that shows what a patch is for: it fails on the machine without it and passes with it. */
export interface RegressionCase extends Omit<RaceCase, 'name' | 'summary'> {
  /** its file's name */
  slug: string;
  subject: string;
  /** commit id or Message-Id */
  upstream: string;
  /** what goes wrong without the fix, step by step */
  bug: readonly string[];
  /** patch states of the machine without the fix */
  without: readonly PatchId[];
  /** patch states of the machine with it; none is Linux 7.3.4 */
  with: readonly PatchId[];
  /** how it fails without the fix: the kind, and words that the report must contain */
  fails: { kind: FailureKind; text: string };
  /** the interleaving that shows it, where the default one does not */
  schedule?: string;
  /** configuration of the machine with the fix, where it differs */
  config_with?: RaceCase['config'];
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

function run_in(c: RegressionCase, patches: readonly PatchId[], fixed: boolean): Run {
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
      return fixed
        ? new LenientReplay(
            schedule.switches.map((s) => [s.step, s.to]),
            (t) => e.number_of(t),
          )
        : new ReplayChooser(schedule.switches, (t) => e.number_of(t));
    },
    { patches },
  );
}

/** The same interleaving as far as the fixed kernel has the same steps. */
class LenientReplay implements Chooser {
  private readonly to: Map<number, number>;
  private readonly number_of: (t: Parameters<Chooser['next']>[0]['standard']) => number;
  constructor(switches: [number, number][], number_of: LenientReplay['number_of']) {
    this.to = new Map(switches);
    this.number_of = number_of;
  }
  next(c: Parameters<Chooser['next']>[0]): ReturnType<Chooser['next']> {
    const to = this.to.get(c.step);
    return (to === undefined ? undefined : c.runnable.find((t) => this.number_of(t) === to)) ?? c.standard;
  }
}

function in_words(run: Run): string {
  return run.failure === null ? 'passes' : `${run.failure.kind}: ${run.failure.text}`;
}

/** Runs a case without the fix, where it must fail as it says, and with it, where it must pass. */
export function run_regression(c: RegressionCase): Verdict {
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
