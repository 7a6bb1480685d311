// SPDX-License-Identifier: GPL-2.0-only

import { command_line } from '../cli/command.ts';
import type { Impact, TouchedDefinition } from './impact.ts';
import type { Kind } from './reach.ts';

/** Tests that are named; of more only the number is. */
const SHOWN = 8;

const KINDS: readonly { kind: Kind; words: string }[] = [
  { kind: 'suite', words: 'tests of the suite' },
  { kind: 'case', words: 'regression cases' },
  { kind: 'race', words: 'races' },
  { kind: 'program', words: 'recorded programs' },
];

function few(names: readonly string[]): string {
  const more = names.length - SHOWN;
  return names.slice(0, SHOWN).join(', ') + (more > 0 ? ` and ${more} more` : '');
}

/** A place of the model to look at or to change, in a line. */
export function place_text(it: TouchedDefinition): string {
  const name = it.c_name ?? '(outside of functions)';
  const model = it.model.map(({ file, line, name: own }) => `${file}:${line}${own === it.c_name ? '' : ` ${own}`}`);
  return `${it.c_file}: ${name}, +${it.added} -${it.removed}: ${model.length > 0 ? model.join(', ') : it.why}`;
}

/** What to run for an impact: command lines. */
export function commands_of({ tests }: Impact): string[] {
  const lines: string[] = [];
  if (tests.suite.length > 0) lines.push(command_line('start'));
  if (tests.case.length > 0) lines.push(command_line('regression', 'run', ...tests.case));
  for (const name of tests.race) lines.push(command_line('explore', name));
  if (tests.program.length > 0) lines.push(command_line('replay', 'selftests/programs/sample.jsonl.gz'));
  return lines;
}

/** What a person reads. */
export function impact_text(impact: Impact): string {
  const { touched, tests } = impact;
  const modelled = touched.filter((it) => it.model.length > 0);
  const others = touched.filter((it) => it.model.length === 0);
  const out = [
    `${impact.subject ?? 'a patch without a subject'}${impact.patches > 1 ? ` (${impact.patches} patches)` : ''}: ` +
      `touches ${modelled.length} of the definitions that the model follows, and ${others.length} others.`,
  ];
  for (const it of modelled) {
    out.push(
      `  ${place_text(it)}`,
      `      ${it.tests === 0 ? 'no recorded test reaches it' : `${it.tests} tests reach it`}`,
    );
  }
  if (others.length > 0) out.push('Not modelled:', ...others.map((it) => `  ${place_text(it)}`));
  const some = KINDS.filter(({ kind }) => tests[kind].length > 0);
  if (some.length > 0) out.push('They are reached by');
  for (const { kind, words } of some) out.push(`  ${tests[kind].length} ${words}: ${few(tests[kind])}`);
  const commands = commands_of(impact);
  if (commands.length > 0) out.push('To run:', ...commands.map((line) => `  ${line}`));
  return `${out.join('\n')}\n`;
}
