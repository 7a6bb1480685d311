// SPDX-License-Identifier: GPL-2.0-only
// Every function that lib/mm exports says where upstream has it, and says so truly: the file exists in the pinned
// version and defines that name.

import { readFileSync, readdirSync } from 'node:fs';
import t from 'tap';

// "mm/hmm.c: hmm_range_fault()", "include/linux/mm_types.h: struct page", "include/linux/swap.h: SWP_DEVICE_NUM"
const CITATION =
  /\b((?:[a-z0-9_-]+\/)+[A-Za-z0-9_.-]+\.[chS]):\s+((?:struct |enum |union )[A-Za-z_]\w*|[A-Za-z_]\w*(?=\(\))|[A-Z_][A-Z0-9_]*[A-Z0-9](?![A-Za-z0-9*_]))/g;

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

/** Each exported function or class of a source with the comment that stands before it. */
function exports_of(source: string): { name: string; comment: string }[] {
  const found: { name: string; comment: string }[] = [];
  const re = /(\/\*\*(?:(?!\*\/)[\s\S])*\*\/\s*)?^export (?:function\*?|class) (\w+)/gm;
  for (const hit of source.matchAll(re)) found.push({ name: hit[2], comment: hit[1] ?? '' });
  return found;
}

t.test('each exported function of lib/mm names its upstream source, or says that it has none', (t) => {
  for (const file of sources('lib/mm')) {
    for (const { name, comment } of exports_of(read(file))) {
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
