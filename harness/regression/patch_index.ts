// SPDX-License-Identifier: GPL-2.0-only

import { readdirSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { EXTENSION } from '../cli/extension.ts';

/** The folder of the patch states. */
export const PATCHES = fileURLToPath(new URL('../../lib/patches/', import.meta.url));
export const PATCH_KINDS = ['series', 'reverted', 'proposed'] as const;

/** The file of a patch state. */
export function state_file({ kind, id }: { kind: string; id: string }): string {
  return `${PATCHES}${kind}/${id}${EXTENSION}`;
}

/**
 * Returns the text of lib/patches/index.ts: the ids of all states, which PatchId is made of, and the states, both from
 * the files that are there.
 */
export function patch_index(): string {
  const files = PATCH_KINDS.flatMap((kind) =>
    readdirSync(`${PATCHES}${kind}`)
      .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
      .sort()
      .map((name) => ({ kind, id: name.slice(0, -3) })),
  );
  const name = (id: string): string => id.replaceAll('-', '_');
  return `// SPDX-License-Identifier: GPL-2.0-only
// Written by \`npm run -s regression -- index\` from the files in the folders beside it.

${files.map(({ kind, id }) => `import ${name(id)} from './${kind}/${id}.ts';\n`).join('')}import type { PatchState } from './patch_state.ts';

/** The ids of all patch states: the names of their files. */
export const patch_ids = [
${files.map(({ id }) => `  '${id}',\n`).join('')}] as const;

/** A way in which a machine can differ from Linux 7.3.4. */
export type PatchId = (typeof patch_ids)[number];

const states = [
${files.map(({ id }) => `  ${name(id)},\n`).join('')}] as const;

/** Every state in which a machine can differ from Linux 7.3.4: series applied, fixes taken back out, fixes proposed. */
export const patch_states: readonly PatchState[] = states;

type Sets<State> = State extends { readonly sets: readonly (infer Name extends string)[] } ? Name : never;

/** What the lines of the kernel ask for that differ in some state: false on Linux 7.3.4. */
export type Patch = Readonly<Record<Sets<(typeof states)[number]>, boolean>>;
`;
}

/** Writes the index, as a whole or not at all. */
export function write_patch_index(): void {
  writeFileSync(`${PATCHES}index.ts.new`, patch_index());
  renameSync(`${PATCHES}index.ts.new`, `${PATCHES}index.ts`);
}
