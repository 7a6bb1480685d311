// SPDX-License-Identifier: GPL-2.0-only
// What the READMEs promise, as tests take it out of them.

import { readFileSync } from 'node:fs';

/** The text of each fenced block of a language, in order. */
export function fenced_blocks(markdown: string, language: string): string[] {
  return [...markdown.matchAll(/^```(\S*)\n([^]*?)^```$/gm)].filter((it) => it[1] === language).map((it) => it[2]);
}

/** README's program that imports the package, and what it says that this prints. */
export function library_example(top: string): { program: string; prints: string } {
  const readme = readFileSync(`${top}README.md`, 'utf8');
  const [program] = fenced_blocks(readme, 'ts');
  const [prints] = fenced_blocks(readme, 'text');
  return { program, prints };
}
