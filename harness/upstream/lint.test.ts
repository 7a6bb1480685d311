// SPDX-License-Identifier: GPL-2.0-only
// The project's own lint rules find what they are there for.

import { fileURLToPath } from 'node:url';
import { ESLint } from 'eslint';
import t from 'tap';

const top = fileURLToPath(new URL('../..', import.meta.url));
const eslint = new ESLint({ cwd: top, overrideConfigFile: `${top}.config/eslint.js` });

/** Lints a text as if it were that file; answers `line rule` for each finding. */
async function lint(path: string, lines: readonly string[]): Promise<string[]> {
  const [result] = await eslint.lintText(lines.join('\n'), { filePath: `${top}${path}` });
  return result.messages.map((it) => `${it.line} ${it.ruleId ?? it.message}`);
}

t.test('a forgotten yield* is found, whatever becomes of the generator', async (t) => {
  const found = await lint('lib/kernel/gen.ts', [
    'export type Gen<T> = Generator<object, T, void>;',
    'declare function sleepy(): Gen<number>;',
    'declare const ops: { open?(): Gen<number>; list: Gen<void> | null; make(): Gen<void>; either(): Gen<number> | number };',
    'export function* caller(): Gen<number> {',
    '  sleepy();', // 5
    '  const n = sleepy();', // 6
    '  if (ops.open?.()) return 1;', // 7
    '  [1].forEach(sleepy);', // 8
    '  [1].forEach(() => sleepy());', // 9
    '  const wanted: Gen<number> = sleepy();',
    '  ops.list = ops.make();',
    '  const all = [1].map(() => sleepy());',
    '  const r = ops.either();',
    '  const m = typeof r === "number" ? r : yield* r;',
    '  return (yield* sleepy()) + (yield* wanted) + (yield* all[0]) + m + Number(n);',
    '}',
    'export function passes_on(): Gen<number> { return sleepy(); }',
    'export function* answers_it(): Gen<unknown> { return sleepy(); }', // 18
  ]);
  t.same(found, [
    '5 local/yield-star',
    '6 local/yield-star',
    '7 local/yield-star',
    '8 local/yield-star',
    '9 local/yield-star',
    '18 local/yield-star',
  ]);
});

t.test('lib has no promise, no chance, no clock, no finally, and imports nothing from above', async (t) => {
  const found = await lint('lib/kernel/gen.ts', [
    "import { read_ktap } from '../../../harness/ktap.ts';", // 1
    "import { readFileSync } from 'node:fs';", // 2
    'export const a = async (): Promise<number> => 1;', // 3
    'export const b = Math.random();', // 4
    'export const c = new Date();', // 5
    'export function d(): void { try { read_ktap("", new Set()); } finally { readFileSync(""); } }', // 6
    'export const e = performance.now();', // 7
  ]);
  t.same(found, [
    '1 no-restricted-imports',
    '2 no-restricted-imports',
    '3 no-restricted-syntax',
    '4 no-restricted-syntax',
    '5 no-restricted-globals',
    '6 no-restricted-syntax',
    '7 no-restricted-globals',
  ]);
});

t.test('a test of lib may read files and import tap, but nothing from above either', async (t) => {
  const found = await lint('lib/kernel/fork/fork.test.ts', [
    "import { readFileSync } from 'node:fs';",
    "import t from 'tap';",
    "import { runProgram } from '../../../harness/libc.ts';", // 3
    "import type { RegressionCase } from '../../../selftests/regression_tools.ts';", // 4
    'export type Case = RegressionCase;',
    'export const all = [t, readFileSync, runProgram];',
  ]);
  t.same(found, ['3 no-restricted-imports', '4 no-restricted-imports']);
});

t.test('the harness does not know a suite, and a suite does not reach into the kernel', async (t) => {
  t.same(await lint('harness/ktap/ktap.ts', ["export { hmm_tests } from '../../selftests/hmm-tests/index.ts';"]), [
    '1 no-restricted-imports',
  ]);
  t.same(await lint('harness/bin/compare.ts', ["export { hmm_tests } from '../../selftests/hmm-tests/index.ts';"]), []);
  t.same(await lint('selftests/hmm-tests/index.ts', ["export { boot } from '../../../lib/boot.ts';"]), [
    '1 no-restricted-imports',
  ]);
});
