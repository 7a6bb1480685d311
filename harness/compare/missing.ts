// SPDX-License-Identifier: GPL-2.0-only
// What a file of results lacks: a run that was cut or stopped, against one of an older suite or a selection of tests.

import type { KtapRun } from '../ktap/ktap.ts';

/** Names in a sentence, not more than a few. */
export function listed(names: readonly string[], most = 5): string {
  const shown = names.slice(0, most).join(', ');
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;

/** What ended a run while a test was running. */
function cause(run: KtapRun): string {
  if (run.stopped !== '') return run.stopped;
  const last = run.kernel.at(-1);
  if (last?.kind === 'PANIC') return `the kernel ended in a panic (${last.text || last.fn})`;
  if (last !== undefined && ['OOPS', 'BUG', 'KASAN', 'LOCKUP', 'HUNG', 'RCU'].includes(last.kind))
    return `the last that the kernel said is ${last.kind} in ${last.fn}`;
  return 'the file ends there';
}

/** Numbers that are not among 1 to `to`, as ranges. */
function gaps(numbers: readonly number[], to: number): string[] {
  const there = new Set(numbers);
  const ranges: string[] = [];
  for (let n = 1; n <= to; n++) {
    if (there.has(n)) continue;
    const from = n;
    while (n < to && !there.has(n + 1)) n++;
    ranges.push(from === n ? String(n) : `${from}-${n}`);
  }
  return ranges;
}

/**
 * What is missing in a run by its own account, in sentences; `names` are the tests of the model's suite in their order.
 */
export function missing_of(run: KtapRun, names: readonly string[]): string[] {
  const said: string[] = [];
  const has = run.results.length;
  const last = run.results.at(-1)?.name;
  for (const name of run.unfinished) said.push(`${name} was started and has no result: ${cause(run)}`);
  const behind = last === undefined ? '' : ` (the last one is of ${last})`;
  if (run.plan !== null && has < run.plan) {
    said.push(`${run.plan - has} of ${count(run.plan, 'planned result')} are missing${behind}`);
    if (run.unfinished.length === 0 && run.stopped !== '') said.push(run.stopped);
  } else if (run.plan !== null && has > run.plan) {
    said.push(`the plan says ${count(run.plan, 'test')}, but there are ${count(has, 'result')}`);
  } else if (run.plan === null && run.results.length > 0) {
    const order = names.filter((name) => run.results.some((r) => r.name === name));
    const next = names.indexOf(order.at(-1) ?? '') + 1;
    const whole = order.length === next && next > 0 && next < names.length;
    if (run.started.length > 0) said.push('the plan (1..N) is missing: the file lacks its beginning');
    else if (whole && run.unfinished.length === 0)
      said.push(`no plan says how many tests there were, and the results end before ${names[next]}`);
  }
  const numbers = run.results.map((r) => r.number).filter((n) => n > 0);
  const holes = gaps(numbers, Math.max(0, ...numbers));
  if (holes.length > 0) said.push(`result ${listed(holes)} is missing between the others`);
  const twice = run.results.map((r) => r.name).filter((name, i, all) => all.indexOf(name) !== i);
  if (twice.length > 0) said.push(`${listed([...new Set(twice)])} has more than one result in one run`);
  if (said.length === 0 && run.started.length > 0 && !run.ended)
    said.push(`the summary (# Totals) behind the last result is missing: ${cause(run)}`);
  return said;
}

/** Tests of the one side that the other does not have, by fixture and variant where all of one are missing. */
export function not_there(names: readonly string[], all: readonly string[]): string[] {
  const short = (name: string): string => name.slice(name.lastIndexOf('.') + 1);
  const group = (name: string): string => name.slice(0, name.lastIndexOf('.'));
  const groups = new Set(names.map(group));
  const out: string[] = [];
  const rest: string[] = [];
  for (const it of groups) {
    const of_group = names.filter((name) => group(name) === it);
    if (of_group.length > 1 && all.filter((name) => group(name) === it).length === of_group.length) out.push(`${it}.*`);
    else rest.push(...of_group);
  }
  return [...out, ...new Set(rest.map(short))];
}
