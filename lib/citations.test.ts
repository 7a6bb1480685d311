// SPDX-License-Identifier: GPL-2.0-only
// Every function of lib/mm and lib/arch/x86/mm says where upstream has it, and says so truly: the file exists in the
// pinned version and defines that name.

import { readFileSync, readdirSync } from 'node:fs';
import t from 'tap';

// "mm/hmm.c: hmm_range_fault()", "include/linux/mm_types.h: struct page", "include/linux/swap.h: SWP_DEVICE_NUM"
const CITATION =
  /\b((?:[a-z0-9_-]+\/)+[A-Za-z0-9_.-]+\.[chS]):\s+((?:struct |enum |union )[A-Za-z_]\w*|[A-Za-z_]\w*(?=\(\))|[A-Z_][A-Z0-9_]*[A-Z0-9](?![A-Za-z0-9*_]))/g;

/** Where private functions cite as well as exported ones; a name without a slash at its end is a folder without those in it. */
const COMPLETE = [
  'lib/mm',
  'lib/mm/vma/',
  'lib/mm/mmap/',
  'lib/mm/mremap/',
  'lib/mm/madvise/',
  'lib/mm/userfaultfd/',
  'lib/mm/khugepaged/',
  'lib/mm/filemap/',
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
function functions_of(source: string): { name: string; exported: boolean; comment: string }[] {
  const found: { name: string; exported: boolean; comment: string }[] = [];
  const re = /(\/\*\*(?:(?!\*\/)[\s\S])*\*\/\s*)?^(export )?(?:function\*?|class) (\w+)/gm;
  for (const hit of source.matchAll(re))
    found.push({ name: hit[3], exported: hit[2] !== undefined, comment: hit[1] ?? '' });
  return found;
}

/** True for a source whose private functions cite too. */
function is_complete(file: string): boolean {
  return COMPLETE.some((place) =>
    place.endsWith('/') ? file.startsWith(place) : file.replace(/[^/]+$/, '') === `${place}/`,
  );
}

t.test('each function of lib/mm and of x86 page tables names its upstream source, or says that it has none', (t) => {
  for (const file of [...sources('lib/mm'), ...sources('lib/arch/x86/mm')]) {
    for (const { name, exported, comment } of functions_of(read(file))) {
      const cites = [...comment.matchAll(CITATION)].length > 0 || comment.includes('NON-KERNEL');
      if (!cites && ((exported && file.startsWith('lib/mm/')) || is_complete(file)))
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
