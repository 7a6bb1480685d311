// SPDX-License-Identifier: GPL-2.0-only
// Who imports whom, by file and by folder.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const TOP = fileURLToPath(new URL('../..', import.meta.url));
const IMPORT = /^(?:import|export) (type )?(?:[^'"]*? from )?'(\.[^']+)';$/gm;

export interface Import {
  from: string;
  to: string;
  /** only types: nothing is loaded */
  type: boolean;
}

/** Every import of a file of the project by another one, tests apart. */
export function imports(): Import[] {
  const found: Import[] = [];
  for (const top of ['lib', 'harness', 'selftests']) {
    for (const name of readdirSync(join(TOP, top), { recursive: true, encoding: 'utf8' }).sort()) {
      if (
        !name.endsWith('.ts') ||
        name.endsWith('.test.ts') ||
        name.endsWith('.slow.ts') ||
        name.endsWith('testing.ts')
      )
        continue;
      const from = `${top}/${name}`;
      for (const [, type, path] of readFileSync(join(TOP, from), 'utf8').matchAll(IMPORT)) {
        const to = normalize(join(dirname(from), path));
        // A template of a file to be written has import lines too.
        if (existsSync(join(TOP, to))) found.push({ from, to, type: type !== undefined });
      }
    }
  }
  return found;
}

/** The folder that a rule about imports speaks of: a second-level one, or lib/arch/x86/user, or a top-level one. */
export function folder_of(file: string): string {
  const parts = dirname(file).split('/');
  return parts.slice(0, parts[1] === 'arch' ? 4 : 2).join('/');
}

/** The largest set of files each of which loads each other one, over however many imports. */
export function largest_circle(all: readonly Import[]): string[] {
  const next = new Map<string, string[]>();
  for (const { from, to, type } of all) if (!type) next.set(from, [...(next.get(from) ?? []), to]);
  // Tarjan's strongly connected components.
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const on_stack = new Set<string>();
  let largest: string[] = [];
  const visit = (v: string): void => {
    index.set(v, index.size);
    low.set(v, index.get(v) as number);
    stack.push(v);
    on_stack.add(v);
    for (const w of next.get(v) ?? []) {
      if (!index.has(w)) {
        visit(w);
        low.set(v, Math.min(low.get(v) as number, low.get(w) as number));
      } else if (on_stack.has(w)) low.set(v, Math.min(low.get(v) as number, index.get(w) as number));
    }
    if (low.get(v) !== index.get(v)) return;
    const circle = stack.splice(stack.indexOf(v));
    for (const w of circle) on_stack.delete(w);
    if (circle.length > largest.length) largest = circle;
  };
  for (const v of next.keys()) if (!index.has(v)) visit(v);
  return largest.sort();
}
