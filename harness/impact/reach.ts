// SPDX-License-Identifier: GPL-2.0-only
// Which tests reach which function of the model, as `impact --record` wrote it down.

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { BUILT } from '../cli/extension.ts';

/** A kind of test, and how a user runs one. */
export type Kind = 'suite' | 'case' | 'race' | 'program';

export interface Reaching {
  kind: Kind;
  name: string;
}

/** The tests, and by `file function` the numbers of those that reach it. */
export interface Reach {
  tests: readonly Reaching[];
  functions: ReadonlyMap<string, readonly number[]>;
}

const FILE = fileURLToPath(new URL(BUILT ? '../../../harness/impact/reach.json.gz' : 'reach.json.gz', import.meta.url));

/** The name under which a function of lib is kept. */
export const reach_key = (file: string, name: string): string => `${file} ${name}`;

export function read_reach(file = FILE): Reach {
  const { tests, functions } = JSON.parse(gunzipSync(readFileSync(file)).toString()) as {
    tests: [Kind, string][];
    functions: Record<string, number[]>;
  };
  // Numbers are kept as differences to the one before, which compresses better.
  const whole = (differences: readonly number[]): number[] => {
    let n = 0;
    return differences.map((d) => (n += d));
  };
  return {
    tests: tests.map(([kind, name]) => ({ kind, name })),
    functions: new Map(Object.entries(functions).map(([key, numbers]) => [key, whole(numbers)])),
  };
}

export function write_reach(reach: Reach, file = FILE): void {
  const functions: Record<string, number[]> = {};
  for (const [key, numbers] of [...reach.functions].sort(([a], [b]) => (a < b ? -1 : 1)))
    functions[key] = numbers.map((n, i) => n - (numbers[i - 1] ?? 0));
  const tests = reach.tests.map(({ kind, name }) => [kind, name]);
  writeFileSync(file, gzipSync(JSON.stringify({ tests, functions }), { level: 9 }));
}

/** The tests that reach any of some functions, with how many of those each reaches, the most first. */
export function tests_reaching(reach: Reach, keys: readonly string[]): { test: Reaching; reaches: number }[] {
  const count = new Map<number, number>();
  for (const key of new Set(keys))
    for (const n of reach.functions.get(key) ?? []) count.set(n, (count.get(n) ?? 0) + 1);
  return [...count].map(([n, reaches]) => ({ test: reach.tests[n], reaches })).sort((a, b) => b.reaches - a.reaches);
}
