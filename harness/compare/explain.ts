// SPDX-License-Identifier: GPL-2.0-only
// A comparison with the reasons for what differs: the states that behave so, what the tests do, and how to see it.

import { patch_states, type PatchId } from '../../lib/patches/index.ts';
import { command_line } from '../cli/command.ts';
import { type MachineOptions, SPM_DEFAULT } from '../cli/options.ts';
import type { TestList } from '../kselftest/kselftest_harness.ts';
import type { LoadedCase } from '../regression/case.ts';
import type { Comparison } from './comparison.ts';
import { HEAVY } from './model.ts';
import type { Runner } from './pool.ts';
import { complete, type Explanation, Search, type Why } from './why.ts';

/** A regression case, as far as it tells states apart. */
export type Case = Pick<LoadedCase, 'slug' | 'without' | 'with'>;

export interface Explained extends Comparison {
  /** null if nothing differs, or nobody asked */
  why: Why | null;
  /** what would tell the explanations apart, in sentences */
  apart: string[];
  /** what tests that differ do, up to where they fail with the likeliest explanation's states */
  steps: Map<string, string[]>;
  /** how long the search took, in seconds */
  seconds: number;
}

/** So many tests are shown step by step; the others are the same or many. */
const SHOWN = 5;

/** The command that shows a test step by step on a machine. */
export function steps_command(machine: MachineOptions, test: string): string {
  const { thp, spm, mem, patches } = machine;
  const hex = (a: number): string => `0x${a.toString(16)}`;
  const standard = spm?.[0] === SPM_DEFAULT[0] && spm[1] === SPM_DEFAULT[1];
  return command_line(
    'hmm-tests',
    ...(spm === null ? [] : [standard ? '--spm' : `--spm=${spm.map(hex).join(',')}`]),
    ...(thp === 'always' ? [] : [`--thp=${thp}`]),
    ...(mem === 6 * 1024 ** 3 ? [] : [`--mem=${mem}`]),
    ...(patches.length === 0 ? [] : [`--patches=${patches.join(',')}`]),
    '--steps --dmesg -r',
    test,
  );
}

/** The states of an explanation that no other one of it needs. */
export function named(states: readonly PatchId[]): PatchId[] {
  const needed = new Set(patch_states.filter((p) => states.includes(p.id)).flatMap((p) => p.needs ?? []));
  return states.filter((id) => !needed.has(id));
}

/** What a kernel has or lacks that behaves as a state does. */
export function means(id: PatchId): string {
  const p = patch_states.find((it) => it.id === id);
  if (p === undefined) return id;
  const verb = p.kind === 'reverted' ? 'lacks' : 'has';
  const what = p.kind === 'proposed' ? 'the proposed fix' : p.kind === 'series' ? 'the series' : 'the fix';
  return `your kernel ${verb} ${what} "${p.subject}" (${p.date}, ${p.where})`;
}

/** How to tell explanations apart: a regression case for each that fails or passes with it and not with the others. */
function told_apart(explanations: readonly Explanation[], cases: readonly Case[]): string[] {
  const said: string[] = [];
  for (const { states } of explanations) {
    for (const id of named(states)) {
      const others = explanations.filter((e) => !e.states.includes(id));
      if (others.length === 0) continue;
      const clean = (c: Case, ids: readonly string[]): boolean =>
        others.every((e) => !e.states.some((s) => ids.includes(s)));
      const fails = cases.find((c) => c.without.includes(id) && !c.with.includes(id) && clean(c, [id]));
      const passes = cases.find((c) => c.with.includes(id) && !c.without.includes(id) && clean(c, [id]));
      const it = fails ?? passes;
      if (it === undefined) continue;
      said.push(
        `${it.slug} ${fails !== undefined ? 'fails' : 'passes'} only with ${id}: ${command_line('regression', 'run', it.slug)}`,
      );
    }
  }
  return said;
}

/** A comparison whose reasons nobody asks for. */
export function not_explained(c: Comparison): Explained {
  return { ...c, why: null, apart: [], steps: new Map(), seconds: 0 };
}

/** Looks for the reasons of what differs. `cases` are read only if several explanations fit. */
export async function explain(
  runner: Runner,
  c: Comparison,
  suite: () => TestList,
  ignore_log: boolean,
  cases: () => Promise<readonly Case[]>,
): Promise<Explained> {
  const known = new Set(suite().names());
  const differing = new Set(
    [...c.judgement.differences.map((d) => d.name), ...c.file.runs.flatMap((run) => run.unfinished)].filter(
      (name): name is string => name !== null && known.has(name),
    ),
  );
  if (differing.size === 0) return not_explained(c);
  const since = performance.now();
  const why = await new Search(runner, c, suite, ignore_log).run();
  const likely = why.explanations.at(0);
  const machine = { ...c.machine, patches: likely?.states ?? c.machine.patches };
  const shown = [...differing].filter((name) => !HEAVY.test(name)).slice(0, SHOWN);
  const open = new Set(c.file.runs.flatMap((run) => run.unfinished));
  const steps = new Map<string, string[]>();
  await Promise.all(
    shown.map(async (name) => {
      // With states in which the test does not end there would be no steps to show.
      const on = open.has(name) ? c.machine : machine;
      const { steps: did } = await runner.run({ tests: [name], machine: on, steps_of: name }, 5);
      if (did.length > 0) steps.set(name, did);
    }),
  );
  const apart = why.explanations.length > 1 ? told_apart(why.explanations, await cases()) : [];
  return { ...c, why, apart, steps, seconds: (performance.now() - since) / 1000 };
}

/** How far an explanation goes, in words. */
export function reach(e: Explanation): string {
  const { differing, explained, broken } = e;
  const all = differing === 1 ? 'the test that differs' : `all ${differing} tests that differ`;
  if (complete(e)) return `it gives ${all} as the file has ${differing === 1 ? 'it' : 'them'}, and the others too`;
  const others = broken > 0 ? `, but ${broken} other${broken === 1 ? '' : 's'} not` : '';
  return `it gives ${explained} of the ${differing} tests that differ as the file has them${others}`;
}
