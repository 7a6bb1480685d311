// SPDX-License-Identifier: GPL-2.0-only
// Which definitions of upstream's the model follows: what the comments in lib cite.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BUILT } from '../cli/extension.ts';

/** A function or class of the model that follows a definition of upstream's. */
export interface Citation {
  /** upstream's file and name */
  c_file: string;
  c_name: string;
  /** file of lib, line of the model's definition, and its name */
  file: string;
  line: number;
  name: string;
}

/** A function or class of the model. */
export interface ModelFunction {
  file: string;
  line: number;
  name: string;
  /** the text up to the next one, without comments */
  body: string;
}

/** The sources of lib, which the built package has two levels above its JavaScript. */
const LIB = fileURLToPath(new URL(BUILT ? '../../../lib' : '../../lib', import.meta.url));

/** What stands beside today's kernel and cites other kernels' files. */
const APART = /^(?:series|drivers|patches)\//;

// "mm/hmm.c: hmm_range_fault()", "include/linux/mm_types.h: struct page", "include/linux/swap.h: SWP_DEVICE_NUM"
const CITATION =
  /\b((?:[a-z0-9_-]+\/)+[A-Za-z0-9_.-]+\.[ch]):\s+(?:(?:struct |enum |union )([A-Za-z_]\w*)|([A-Za-z_]\w*)(?=\(\))|([A-Z_][A-Z0-9_]*[A-Z0-9](?![A-Za-z0-9*_])))/g;
const DEFINITION = /^(?:export )?(?:function\*?|class|interface|type|const|let) (\w+)/;
const METHOD = /^ {2}(?:(?:private|readonly|static|get|set) )*\*?(\w+)\(.*\{$/;
const FUNCTION = /^(?:export )?(?:function\*?|class) (\w+)/gm;

function sources(): { file: string; text: string }[] {
  if (!existsSync(LIB)) return [];
  return readdirSync(LIB, { recursive: true, encoding: 'utf8' })
    .sort()
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts') && !APART.test(file))
    .map((file) => ({ file, text: readFileSync(`${LIB}/${file}`, 'utf8') }))
    .filter(({ text }) => !text.slice(0, 300).includes('NON-KERNEL throughout'));
}

/** Everything that the comments before definitions of lib cite, in the order of files. */
export function citations(): Citation[] {
  const found: Citation[] = [];
  for (const { file, text } of sources()) {
    const lines = text.split('\n');
    for (const hit of text.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\//g)) {
      const comment = hit[1].replace(/\n\s*\* ?/g, ' ');
      // The definition stands on the comment's own last line, or on the next one.
      const line = text.slice(0, hit.index + hit[0].length).split('\n').length;
      const name = DEFINITION.exec(lines[line] ?? '')?.[1] ?? METHOD.exec(lines[line] ?? '')?.[1] ?? '';
      for (const [, c_file, type, called, constant] of comment.matchAll(CITATION))
        found.push({ c_file, c_name: type ?? called ?? constant, file: `lib/${file}`, line: line + 1, name });
    }
  }
  return found;
}

/** All functions and classes of lib, with their text. */
export function model_functions(): ModelFunction[] {
  return sources().flatMap(({ file, text }) => {
    const hits = [...text.matchAll(FUNCTION)];
    return hits.map((hit, i) => ({
      file: `lib/${file}`,
      line: text.slice(0, hit.index).split('\n').length,
      name: hit[1],
      body: text.slice(hit.index + hit[0].length, hits[i + 1]?.index).replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, ''),
    }));
  });
}
