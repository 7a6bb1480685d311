// SPDX-License-Identifier: GPL-2.0-only
// Every function of the modelled kernel says where upstream has it, and says so truly: the file exists in the pinned
// version and defines that name. A source that begins with "NON-KERNEL throughout" models nothing of that version.

import { readFileSync, readdirSync } from 'node:fs';
import t from 'tap';

// "mm/hmm.c: hmm_range_fault()", "include/linux/mm_types.h: struct page", "include/linux/swap.h: SWP_DEVICE_NUM"
const CITATION =
  /\b((?:[a-z0-9_-]+\/)+[A-Za-z0-9_.-]+\.[chS]):\s+((?:struct |enum |union )[A-Za-z_]\w*|[A-Za-z_]\w*(?=\(\))|[A-Z_][A-Z0-9_]*[A-Z0-9](?![A-Za-z0-9*_]))/g;

/** Where every function cites, private ones too. lib/arch/x86/user is a processor, no part of a kernel. */
const PLACES = [
  'lib/arch/x86/entry',
  'lib/arch/x86/kernel',
  'lib/arch/x86/mm',
  'lib/drivers',
  'lib/fs',
  'lib/gup_test',
  'lib/init',
  'lib/kernel',
  'lib/mm',
  'lib/series',
  'lib/test_hmm',
];

const pinned = new Map<string, Set<string>>();
for (const line of readFileSync('lib/upstream-names.txt', 'utf8').split('\n')) {
  const [path, ...names] = line.split(' ');
  if (path !== undefined && path !== '') pinned.set(path, new Set(names));
}

function sources(dir: string): string[] {
  const names = readdirSync(dir, { recursive: true, encoding: 'utf8' }).sort();
  return names.filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts')).map((name) => `${dir}/${name}`);
}

/** A source whose comments are not broken into lines, so that a citation stands in one. */
function read(file: string): string {
  return readFileSync(file, 'utf8').replace(/\n\s*(?:\*|\/\/) /g, ' ');
}

/** Each function or class of a source with the comment that stands before it. */
function functions_of(source: string): { name: string; comment: string }[] {
  const re = /(\/\*\*(?:(?!\*\/)[\s\S])*\*\/\s*)?^(?:export )?(?:function\*?|class) (\w+)/gm;
  return [...source.matchAll(re)].map((hit) => ({ name: hit[2], comment: hit[1] ?? '' }));
}

t.test('each function of the kernel and of its drivers cites its upstream or is NON-KERNEL', (t) => {
  for (const file of PLACES.flatMap(sources)) {
    const source = read(file);
    if (source.split('\n')[0].includes('NON-KERNEL throughout')) continue;
    for (const { name, comment } of functions_of(source)) {
      const cites = [...comment.matchAll(CITATION)].length > 0 || comment.includes('NON-KERNEL');
      if (!cites)
        t.fail(`${file}: ${name} cites no upstream function (write "mm/file.c: name()") and is not marked NON-KERNEL`);
    }
  }
  t.end();
});

t.test('what lib cites exists in the pinned upstream version', (t) => {
  for (const file of sources('lib')) {
    for (const [, path, name] of read(file).matchAll(CITATION)) {
      const names = pinned.get(path);
      if (names === undefined) t.fail(`${file}: cites ${path}, which lib/upstream-names.txt does not hold`);
      else if (!names.has(name.replace(/^(?:struct|enum|union) /, '')))
        t.fail(`${file}: ${path} does not define ${name}`);
    }
  }
  t.end();
});

t.test('a TypeScript file that a comment names exists', (t) => {
  const all = readdirSync('lib', { recursive: true, encoding: 'utf8' }).map((name) => `lib/${name}`);
  const exists = (name: string): boolean => all.some((file) => file === name || file.endsWith(`/${name}`));
  for (const file of PLACES.flatMap(sources)) {
    for (const [comment] of readFileSync(file, 'utf8').matchAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm)) {
      for (const [name] of comment.matchAll(/\b[\w/-]+(?:\.test)?\.ts\b/g))
        if (!exists(name)) t.fail(`${file}: a comment names ${name}, which lib does not have`);
    }
  }
  t.end();
});
