// SPDX-License-Identifier: GPL-2.0-only
// Imports only go down: selftests, harness, lib, and inside of lib the drivers, fs, mm, arch and kernel. mm is as mutually
// recursive as upstream's, which is accepted and kept from growing.

import t from 'tap';
import { folder_of, imports, largest_circle } from './imports.ts';

/** Which folders a folder may import. A new line here is a decision: is the file in the right place? */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  'harness/cases': ['harness/cli'],
  'harness/cli': ['lib/patches'],
  'harness/compare': [
    'harness/cli',
    'harness/kselftest',
    'harness/ktap',
    'harness/regression',
    'harness/run',
    'lib/patches',
  ],
  'harness/explore': [
    'harness/cases',
    'harness/cli',
    'harness/regression',
    'harness/run',
    'lib',
    'lib/arch/x86/user',
    'lib/kernel',
    'lib/mm',
    'lib/patches',
    'lib/test_hmm',
    'lib/user',
  ],
  'harness/drift': ['harness/cli'],
  'harness/impact': [
    'harness/cli',
    'harness/compare',
    'harness/drift',
    'harness/explore',
    'harness/kselftest',
    'harness/regression',
    'harness/replay',
  ],
  'harness/fixtures': ['harness/compare', 'harness/ktap'],
  'harness/kselftest': ['harness/cli', 'harness/compare', 'lib', 'lib/arch/x86/user', 'lib/kernel', 'lib/user'],
  'harness/ktap': ['harness/cli'],
  'harness/mm': ['harness/cli', 'harness/kselftest', 'harness/run', 'lib', 'lib/kernel', 'lib/user'],
  'harness/regression': ['harness/cases', 'harness/cli', 'harness/explore', 'harness/run', 'lib/patches'],
  'harness/replay': ['harness/cli', 'harness/kselftest', 'lib', 'lib/kernel', 'lib/mm', 'lib/patches', 'lib/user'],
  'harness/run': [
    'harness/cli',
    'harness/kselftest',
    'lib',
    'lib/arch/x86/entry',
    'lib/arch/x86/kernel',
    'lib/arch/x86/user',
    'lib/fs',
    'lib/kernel',
    'lib/user',
  ],
  lib: [
    'lib/arch/x86/entry',
    'lib/arch/x86/mm',
    'lib/arch/x86/user',
    'lib/drivers',
    'lib/fs',
    'lib/gup_test',
    'lib/init',
    'lib/kernel',
    'lib/mm',
    'lib/patches',
    'lib/series',
    'lib/test_hmm',
    'lib/user',
  ],
  'lib/arch/x86/entry': [
    'lib',
    'lib/arch/x86/kernel',
    'lib/arch/x86/mm',
    'lib/arch/x86/user',
    'lib/drivers',
    'lib/fs',
    'lib/kernel',
    'lib/mm',
  ],
  'lib/arch/x86/kernel': ['lib', 'lib/arch/x86/mm', 'lib/arch/x86/user', 'lib/fs', 'lib/kernel', 'lib/mm'],
  'lib/arch/x86/mm': ['lib', 'lib/arch/x86/user', 'lib/kernel', 'lib/mm'],
  'lib/arch/x86/user': ['lib', 'lib/arch/x86/mm', 'lib/kernel', 'lib/mm'],
  'lib/drivers': ['lib', 'lib/arch/x86/mm', 'lib/fs', 'lib/kernel', 'lib/mm', 'lib/test_hmm'],
  'lib/fs': ['lib', 'lib/arch/x86/kernel', 'lib/arch/x86/mm', 'lib/arch/x86/user', 'lib/kernel', 'lib/mm'],
  'lib/gup_test': ['lib', 'lib/arch/x86/mm', 'lib/fs', 'lib/kernel', 'lib/mm'],
  'lib/init': ['lib', 'lib/arch/x86/mm', 'lib/fs', 'lib/kernel', 'lib/mm', 'lib/patches'],
  'lib/kernel': ['lib', 'lib/arch/x86/entry', 'lib/arch/x86/kernel', 'lib/arch/x86/mm', 'lib/fs', 'lib/mm'],
  'lib/mm': [
    'lib',
    'lib/arch/x86/kernel',
    'lib/arch/x86/mm',
    'lib/arch/x86/user',
    'lib/fs',
    'lib/kernel',
    'lib/series',
  ],
  'lib/patches': ['lib', 'lib/kernel', 'lib/mm'],
  'lib/series': ['lib', 'lib/arch/x86/mm', 'lib/fs', 'lib/kernel', 'lib/mm'],
  'lib/test_hmm': ['lib', 'lib/arch/x86/mm', 'lib/fs', 'lib/kernel', 'lib/mm', 'lib/series'],
  'lib/user': ['lib', 'lib/arch/x86/entry', 'lib/arch/x86/mm', 'lib/fs', 'lib/kernel'],
  'selftests/hmm-tests': ['harness/kselftest', 'lib/kernel', 'lib/user'],
  'selftests/programs': ['harness/replay'],
  'selftests/races': ['harness/explore', 'lib', 'lib/kernel', 'lib/patches', 'lib/user', 'selftests/vocabulary'],
  'selftests/regressions': [
    'harness/explore',
    'harness/regression',
    'lib/kernel',
    'lib/user',
    'selftests/hmm-tests',
    'selftests/vocabulary',
  ],
  'selftests/results': ['lib/patches'],
  'selftests/vocabulary': ['harness/explore', 'lib/kernel', 'lib/user', 'selftests/hmm-tests'],
};

/** Files that load each other, each with each: as few as today at most. A file that is split may add its parts. */
const CIRCLE = 86;

const all = imports();

t.test('a folder imports only those that it may', (t) => {
  const examples = new Map<string, string>();
  for (const { from, to } of all) {
    const [above, below] = [folder_of(from), folder_of(to)];
    if (above === below || above === 'harness/bin' || ALLOWED[above]?.includes(below) === true) continue;
    examples.set(`${above} may not import ${below}`, `${from} imports ${to}`);
  }
  for (const [rule, example] of examples) t.fail(`${rule}: ${example}`);
  t.end();
});

t.test('each allowed import between folders is used', (t) => {
  for (const [above, belows] of Object.entries(ALLOWED)) {
    for (const below of belows) {
      t.ok(
        all.some(({ from, to }) => folder_of(from) === above && folder_of(to) === below),
        `${above} -> ${below}`,
      );
    }
  }
  t.end();
});

t.test('no file imports a program, and nothing below the programs a suite', (t) => {
  t.same(
    all.filter(({ to }) => to.startsWith('harness/bin/')).filter(({ from }) => !from.startsWith('harness/bin/')),
    [],
  );
  t.same(
    all.filter(({ from, to }) => to.startsWith('selftests/') && !/^(?:selftests|harness\/bin)\//.test(from)),
    [],
  );
  t.end();
});

t.test('the circle of files that load each other does not grow', (t) => {
  const circle = largest_circle(all);
  t.ok(circle.length <= CIRCLE, `${circle.length} files: ${circle.join(' ')}`);
  t.end();
});

t.test('a circle is found', (t) => {
  const edge = (from: string, to: string, type = false): { from: string; to: string; type: boolean } => ({
    from,
    to,
    type,
  });
  t.same(largest_circle([edge('a', 'b'), edge('b', 'c'), edge('c', 'a'), edge('c', 'd'), edge('d', 'e')]), [
    'a',
    'b',
    'c',
  ]);
  t.same(largest_circle([edge('a', 'b'), edge('b', 'a', true)]).length, 1, 'types load nothing');
  t.end();
});
