// SPDX-License-Identifier: GPL-2.0-only
// What the files that the model follows define in Linux 7.3.4: names and digests, no source. `drift TREE --record` writes
// the file anew.

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BUILT } from '../cli/extension.ts';
import type { Definition } from './c_definitions.ts';

/**
 * By file of upstream's, by name: the digests of its definitions, more than one where conditions of the preprocessor
 * choose, joined in their order.
 */
export type Facts = ReadonlyMap<string, ReadonlyMap<string, string>>;

const FILE = fileURLToPath(
  new URL(BUILT ? '../../../harness/drift/linux-7.3.4.txt' : 'linux-7.3.4.txt', import.meta.url),
);

/** Definitions by name, those that belong together joined. */
export function by_name(definitions: readonly Definition[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const { name, digest } of definitions) {
    const before = found.get(name);
    found.set(name, before === undefined ? digest : `${before}+${digest}`);
  }
  return found;
}

/** A line a file: its name, then NAME=DIGEST of each definition. */
export function read_facts(file = FILE): Facts {
  const facts = new Map<string, Map<string, string>>();
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [c_file, ...words] = line.split(' ');
    if (c_file === '') continue;
    facts.set(c_file, new Map(words.map((word) => word.split('=') as [string, string])));
  }
  return facts;
}

export function write_facts(facts: Facts, file = FILE): void {
  const lines = [...facts].map(([c_file, names]) =>
    [c_file, ...[...names].map(([name, digest]) => `${name}=${digest}`)].join(' '),
  );
  writeFileSync(file, `${lines.sort().join('\n')}\n`);
}
