// SPDX-License-Identifier: GPL-2.0-only
// Races that stand in files of their own.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PatchId } from '../../lib/patches/index.ts';
import { type Complaint, check_types, default_export, load_error, PLACEHOLDER, placeholders } from '../cases/check.ts';
import { command_line } from '../cli/command.ts';
import { BUILT } from '../cli/extension.ts';
import { UsageError } from '../cli/usage_error.ts';
import { type RegressionCase, with_state } from '../regression/case.ts';
import type { RaceCase } from './engine.ts';

/** Steps of a compiled program after which it counts as a livelock: each access of its libraries is one. */
const COMPILED_BUDGET = 200_000;

/** Whether a word on the command line means a file. */
export function is_file(word: string): boolean {
  return /\.(?:[cm]?[jt]s|c)$/.test(word) || word.includes('/');
}

/** A case out of a file, with the patch states in which it is looked at where none is named. */
interface FileCase {
  c: RaceCase;
  patches: readonly PatchId[];
}

function case_of(path: string, value: unknown): FileCase {
  const name = basename(path).replace(/\.[^.]*$/, '');
  if (typeof value !== 'object' || value === null || typeof (value as RaceCase).run !== 'function')
    throw new Error('expected a race or a regression case as default export, with a function run');
  if (!('state' in value))
    return { c: { name, summary: '', ...(value as Partial<RaceCase>) } as RaceCase, patches: [] };
  const regression = with_state(value as RegressionCase, name);
  return { c: { ...regression, name, summary: regression.subject }, patches: regression.without };
}

/**
 * The race or regression case in a file, or what is wrong with it; a C source or a static program is a race; `note` is given what could not be looked at. Throws
 * UsageError where there is no such file.
 */
export async function load_file(
  path: string,
  note: (text: string) => void,
): Promise<FileCase | { wrong: Complaint[] }> {
  const file = resolve(path);
  if (!existsSync(file))
    throw new UsageError(`${path}: there is no such file; ${command_line('explore', 'new', path)} writes one`);
  if (!/\.[cm]?[jt]s$/.test(file)) return { c: compiled_race(file), patches: [] };
  const it = await default_export(file);
  if ('wrong' in it) return it;
  const types = await check_types([file]);
  if (types === null) note('types and yield* are not checked: typescript is not installed');
  const wrong = [...placeholders(file), ...(types?.get(file) ?? [])];
  if (wrong.length > 0) return { wrong };
  try {
    return case_of(path, it.value);
  } catch (e) {
    return { wrong: [load_error(file, e)] };
  }
}

/** The race of a C program, by its source or static: what it does from race(1) to race(0), see selftests/c/race.h. */
export function compiled_race(file: string): RaceCase {
  const first = file.endsWith('.c') ? /^\/\/ (?!SPDX)(.*)$/m.exec(readFileSync(file, 'utf8')) : null;
  return {
    name: basename(file).replace(/\.[^.]*$/, ''),
    summary: first?.[1] ?? '',
    compiled: true,
    budget: COMPILED_BUDGET,
    run: (_, x) => x.program(file),
  };
}

function race_text(path: string): string {
  const top = fileURLToPath(new URL('../..', import.meta.url));
  const from = relative(dirname(resolve(path)), top);
  const up = from === '' ? '.' : from.startsWith('.') ? from : `./${from}`;
  const name = basename(path, '.ts');
  return `// SPDX-License-Identifier: GPL-2.0-only
//
// Running: ${command_line('explore', path)}

import type { RaceCase } from '${up}/harness/explore/engine.ts';
import { filled, PAGE } from '${up}/selftests/vocabulary/memory.ts';
import { expect_end, new_command, open_device } from '${up}/selftests/vocabulary/mirror.ts';
import { migrating, thread } from '${up}/selftests/vocabulary/racers.ts';

const race: RaceCase = {
  name: '${name}',
  summary: '${PLACEHOLDER}: what races with what, in one sentence',
  *run(c, x) {
    // What the race does not need is done beforehand: each step less makes it easier to find.
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 2);
    const cmd = yield* new_command(c, ptr, 2);
    // ${PLACEHOLDER}: two to four tasks of which every interleaving is possible.
    yield* x.together([
      migrating(x, fd, cmd),
      thread('store', function* (t) {
        yield* t.store32(ptr + PAGE, 7);
      }),
    ]);
    // ${PLACEHOLDER}: what must hold afterwards, whatever the interleaving: here, what the first words may be.
    yield* expect_end(c, x, fd, ptr, [[100], [7]]);
  },
};

export default race;
`;
}

/** Writes the file of a new race, which compiles. Throws UsageError where there is one already. */
export function new_race(path: string): void {
  if (BUILT) throw new UsageError('new writes a file that uses the sources: take a checkout of the project');
  if (!/^[\w-]+\.ts$/.test(basename(path)))
    throw new UsageError(`${path}: expected a name of letters, digits and hyphens that ends in .ts`);
  if (existsSync(path)) throw new UsageError(`${path} is there already`);
  writeFileSync(path, race_text(path), { flag: 'wx' });
}
