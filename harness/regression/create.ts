// SPDX-License-Identifier: GPL-2.0-only
// The files of a new patch state and of its case: both compile, and fail until they are filled in.

import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import type { PatchState } from '../../lib/patches/patch_state.ts';
import { PLACEHOLDER } from '../cases/check.ts';
import { command_line } from '../cli/command.ts';
import { BUILT } from '../cli/extension.ts';
import { UsageError } from '../cli/usage_error.ts';
import { case_file } from './load.ts';
import { state_file, write_patch_index } from './patch_index.ts';

/** Columns that the formatter keeps lines in. */
const COLUMNS = 120;
/** Letters of a commit id that stand for it. */
const ABBREV = 12;

/** A text as the formatter writes it. */
function quoted(text: string): string {
  const plain = text.replaceAll('\\', '\\\\');
  return plain.includes("'") && !plain.includes('"') ? `"${plain}"` : `'${plain.replaceAll("'", "\\'")}'`;
}

function property(name: string, text: string): string {
  const line = `  ${name}: ${quoted(text)},`;
  return line.length <= COLUMNS ? line : `  ${name}:\n    ${quoted(text)},`;
}

function property_list(name: string, texts: readonly string[]): string {
  return `  ${name}: [${texts.map(quoted).join(', ')}],`;
}

/** A file's name made of words: at most 60 letters, digits and hyphens. */
function slug_of(text: string): string {
  const slug = text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 60)
    .replace(/^-|-$/g, '');
  if (slug === '') throw new UsageError(`--subject=${text}: expected some letters or digits, to name the files by`);
  return slug;
}

/** Where to change the model, as a comment that is to go when it is done. */
function places_text(places: readonly string[]): string {
  if (places.length === 0) return '';
  return `// ${PLACEHOLDER}, and delete these lines: what the patch touches\n${places.map((it) => `//  ${it}\n`).join('')}\n`;
}

function state_text(
  id: string,
  kind: PatchState['kind'],
  where: string,
  subject: string,
  places: readonly string[],
): string {
  return `// SPDX-License-Identifier: GPL-2.0-only

${places_text(places)}import type { PatchState } from '../patch_state.ts';

export default {
${property('id', id)}
${property('kind', kind)}
${property('subject', subject)}
${property('date', `${PLACEHOLDER}: year, or year-month-day, of the commit or posting`)}
${property('where', where)}
  merged: ${kind === 'reverted'},
${property('changes', `${PLACEHOLDER}: what the machine does differently in this state, in one or two sentences`)}
  bug: ['${PLACEHOLDER}: what happens first', '${PLACEHOLDER}: what goes wrong then'],
${property_list('sets', [id.replaceAll('-', '_')])}
} as const satisfies PatchState;
`;
}

function case_text(slug: string, state: { id: string; file: string }): string {
  const key = state.id.replaceAll('-', '_');
  return `// SPDX-License-Identifier: GPL-2.0-only
//
// Running: ${command_line('regression', 'run', slug)}
//
// ${PLACEHOLDER}, and delete these lines:
//  1. The state, ${state.file}: date, changes, and the bug step by step.
//  2. What it changes, in its place in lib: \`m.patch.${key}\` is true in this state; where a whole
//     function differs, a seam of lib/patches/seams.ts.
//  3. The program below, until the run with the fix passes; fails: what the run without it prints.
//  4. Where it takes an interleaving: together() with racers of selftests/vocabulary/racers.ts, then
//     \`${command_line('explore', `selftests/regressions/${slug}.ts`)}\` finds one: put it in as schedule.

import type { RegressionCase } from '../../harness/regression/case.ts';
import * as U from '../hmm-tests/uapi.ts';
import { expect_kept } from '../vocabulary/expect.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';

const regression: RegressionCase = {
  state: '${state.id}',
  fails: { kind: 'assertion', text: '${PLACEHOLDER}: words of the failure' },
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const b = yield* small_buffer(c, x, 2);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 2, 'migrating to the device');
    yield* expect_kept(c, x, b, [0, 1]);
    x.check(false, '${PLACEHOLDER}: what must hold');
  },
};

export default regression;
`;
}

/**
 * Writes the files of a state and of a case for it. \`where\` is a commit or Message-Id. Throws UsageError where one of
 * them is there already; nothing is written then. `places` are named in the state's file as places to change.
 */
export function create(
  kind: PatchState['kind'],
  where: string,
  subject: string,
  places: readonly string[] = [],
): { state: string; slug: string } {
  if (BUILT) throw new UsageError('new writes into the sources: take a checkout of the project');
  const slug = slug_of(subject);
  const prefix = { reverted: 'no-', proposed: 'fix-', series: '' }[kind];
  const commit = /^[0-9a-f]{12,40}$/.test(where);
  const id = `${prefix}${commit && kind !== 'series' ? where.slice(0, ABBREV) : slug}`;
  const state = state_file({ kind, id });
  const file = case_file(slug);
  for (const path of [state, file])
    if (existsSync(path)) throw new UsageError(`${relative('.', path)} is there already`);
  try {
    writeFileSync(file, case_text(slug, { id, file: `lib/patches/${kind}/${id}.ts` }), { flag: 'wx' });
    writeFileSync(state, state_text(id, kind, where, subject, places), { flag: 'wx' });
    write_patch_index();
  } catch (e) {
    // Half of it would only be in the way of another try.
    for (const path of [state, file]) rmSync(path, { force: true });
    throw e;
  }
  return { state: relative('.', state), slug };
}
