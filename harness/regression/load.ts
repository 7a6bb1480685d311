// SPDX-License-Identifier: GPL-2.0-only

import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { patch_states } from '../../lib/patches/index.ts';
import { type Complaint, default_export, load_error, placeholders } from '../cases/check.ts';
import { command_line } from '../cli/command.ts';
import { EXTENSION } from '../cli/extension.ts';
import { did_you_mean, UsageError } from '../cli/usage_error.ts';
import { type LoadedCase, type RegressionCase, with_state } from './case.ts';
import { state_file } from './patch_index.ts';

/** The folder of the cases. */
export const CASES = fileURLToPath(new URL('../../selftests/regressions/', import.meta.url));

/** The file of a case. */
export function case_file(slug: string): string {
  return `${CASES}${slug}${EXTENSION}`;
}

/** The names of all cases. */
function slugs(): string[] {
  return readdirSync(CASES)
    .filter((f) => f.endsWith(EXTENSION) && !f.endsWith(`.test${EXTENSION}`))
    .map((f) => f.slice(0, -EXTENSION.length))
    .sort();
}

/** A case and the files that it stands in, its own first; or what keeps it from running. */
export type Loaded = { slug: string; files: string[] } & (
  | { c: LoadedCase; unfilled: Complaint[] }
  | { wrong: Complaint[] }
);

async function load(slug: string): Promise<Loaded> {
  const file = case_file(slug);
  const it = await default_export(file);
  if ('wrong' in it) return { slug, files: [file], wrong: it.wrong };
  try {
    const c = with_state(it.value as RegressionCase, slug);
    const files = [file, ...patch_states.filter((p) => p.id === c.state).map(state_file)];
    return { slug, files, c, unfilled: files.flatMap(placeholders) };
  } catch (e) {
    return { slug, files: [file], wrong: [load_error(file, e)] };
  }
}

/**
 * The cases of these names, or of patch states of these names; all of them if none is given. Throws UsageError for a
 * name of neither.
 */
export async function load_cases(names: readonly string[] = []): Promise<Loaded[]> {
  const all = slugs();
  const states = patch_states.map((p) => p.id as string);
  const unknown = names.find((name) => !all.includes(name) && !states.includes(name));
  if (unknown !== undefined) {
    const near = did_you_mean(unknown, [...all, ...states]);
    throw new UsageError(
      `no case or state ${unknown}${near === '' ? `: ${command_line('regression', 'list')} shows them` : near}`,
    );
  }
  const loaded: Loaded[] = [];
  const of_state = names.some((name) => !all.includes(name));
  for (const slug of names.length > 0 && !of_state ? [...new Set(names)] : all) {
    const it = await load(slug);
    const wanted = names.length === 0 || names.includes(slug) || ('c' in it && names.includes(it.c.state));
    if (wanted) loaded.push(it);
  }
  return loaded;
}
