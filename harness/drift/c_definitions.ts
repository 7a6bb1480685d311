// SPDX-License-Identifier: GPL-2.0-only
// What a C file of the kernel defines, by a parser of C. Comments, white space and preprocessor conditions do not count.

import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Language, type Node, Parser } from 'web-tree-sitter';
import { BUILT } from '../cli/extension.ts';

/** Something that a C file defines at its top level. */
export interface Definition {
  name: string;
  kind: 'function' | 'macro' | 'type';
  /** of its tokens: the same for two definitions that differ in comments and white space only */
  digest: string;
  /** lines of the file, from 1 */
  first: number;
  last: number;
}

const DIGEST_CHARACTERS = 12;
/** the end of a function, as the kernel's style has it */
const END = '\n}';

/** `SYSCALL_DEFINE2(munmap, ...)`, `DEFINE_IDTENTRY_RAW_ERRORCODE(exc_page_fault)`: macros that begin a function. */
const MADE_BY_MACRO = /^([A-Z][A-Z0-9_]*)\((\w+)\b([^(){};]*)\)(?=\s*\n\{)/gm;

/** The macro as a function that C has, whose only parameter's type holds what the macro said. */
function as_function(_: string, macro: string, name: string, parameters: string): string {
  const lines = '\n'.repeat(parameters.split('\n').length - 1);
  return `long ${name}(struct ${`${macro}${parameters}`.replace(/\W+/g, '_')} *it)${lines}`;
}

/** Lines of nothing but `PAGEFLAG(...)` and its like, and those that go on behind them: no C without their expansion. */
const EXPANDED = /^_*[A-Z][A-Z0-9_]*\([^;{}\n]*\)[ \t]*\n(?:[ \t]+_*[A-Z][A-Z0-9_]*\([^;{}\n]*\)[ \t]*\n)*/gm;
const COMMENT_OR_QUOTED = /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g;

/** A comment's line ends; what is quoted stays as it is. The grammar loses its way in a macro that has comments. */
function without_comment(text: string): string {
  return text.startsWith('/') ? ` ${text.replace(/[^\n]+/g, '')}` : text;
}

/** Attributes between type and name that the grammar takes for a name. */
const SECTIONS = /\b__(?:init|exit|initdata|meminit|ref|refdata|sched|cpuidle|init_or_module|net_init)\b/g;

const CONDITIONS = new Set(['preproc_if', 'preproc_ifdef', 'preproc_else', 'preproc_elif', 'preproc_elifdef']);
const TYPES = new Set(['struct_specifier', 'union_specifier', 'enum_specifier']);

/** The grammar, which the built package holds beside this file. */
const GRAMMAR = BUILT
  ? fileURLToPath(new URL('tree-sitter-c.wasm', import.meta.url))
  : createRequire(import.meta.url).resolve('tree-sitter-c/tree-sitter-c.wasm');

let parser: Promise<Parser> | null = null;

async function new_parser(): Promise<Parser> {
  await Parser.init();
  const it = new Parser();
  it.setLanguage(await Language.load(GRAMMAR));
  return it;
}

function* leaves(node: Node): Generator<string> {
  // The body of a macro is one token to the grammar, with its white space.
  if (node.type === 'preproc_arg') {
    yield node.text.replace(/(?:\\\n|\s)+/g, ' ').trim();
    return;
  }
  if (node.childCount === 0) {
    if (node.text.trim() !== '') yield node.text;
    return;
  }
  for (const child of node.children) if (child !== null) yield* leaves(child);
}

/** The identifier that a declarator declares, below pointers, parameters and attributes. */
function declared(node: Node | null): string | null {
  for (let it = node; it !== null; ) {
    if (it.type === 'identifier' || it.type === 'type_identifier') return it.text;
    const next = it.childForFieldName('declarator');
    it = next ?? it.namedChildren.find((c) => c !== null && /declarator$|identifier$/.test(c.type)) ?? null;
  }
  return null;
}

function defined(node: Node): Pick<Definition, 'name' | 'kind'> | null {
  if (node.type === 'function_definition') {
    const name = declared(node.childForFieldName('declarator'));
    return name === null ? null : { name, kind: 'function' };
  }
  if (node.type === 'preproc_def' || node.type === 'preproc_function_def') {
    const name = node.childForFieldName('name')?.text;
    return name === undefined ? null : { name, kind: 'macro' };
  }
  if (TYPES.has(node.type) && node.childForFieldName('body') !== null) {
    const name = node.childForFieldName('name')?.text;
    return name === undefined ? null : { name, kind: 'type' };
  }
  return null;
}

/**
 * What the text of a C file defines, in its order. A name that is defined several times, under different conditions of
 * the preprocessor, comes as often.
 */
export async function c_definitions(text: string): Promise<Definition[]> {
  parser ??= new_parser();
  const plain = text
    .replace(COMMENT_OR_QUOTED, without_comment)
    .replace(MADE_BY_MACRO, as_function)
    .replace(SECTIONS, '');
  const readable = plain.replace(EXPANDED, (lines) => lines.replace(/[^\n]+/g, ''));
  return parsed(await parser, readable, 0);
}

/** What a text defines whose first line is line `above` + 1 of the file. */
function parsed(c: Parser, text: string, above: number): Definition[] {
  const tree = c.parse(text);
  if (tree === null) return [];
  const found: Definition[] = [];
  const visit = (node: Node): void => {
    for (const child of node.namedChildren) {
      if (child === null) continue;
      const it = defined(child);
      const first = above + child.startPosition.row + 1;
      // Lost its way: what it could not read, or a function that goes on behind its end.
      const end = child.text.indexOf(END);
      const lost =
        child.type === 'ERROR' ? end >= 0 : it?.kind === 'function' && end >= 0 && end < child.text.length - END.length;
      if (lost) found.push(...recovered(c, child.text, first - 1));
      else if (it !== null) {
        const tokens = [...leaves(child)].join(' ');
        const digest = createHash('sha256').update(tokens).digest('hex').slice(0, DIGEST_CHARACTERS);
        found.push({ ...it, digest, first, last: above + child.endPosition.row + 1 });
      } else if (CONDITIONS.has(child.type) || child.type === 'declaration') visit(child);
    }
  };
  visit(tree.rootNode);
  tree.delete();
  return found;
}

/**
 * What a text defines in which the grammar lost its way: each piece up to a brace in the first column is parsed alone,
 * without conditions, so that it costs no other function.
 */
function recovered(c: Parser, text: string, above: number): Definition[] {
  const pieces = text.split(/(?<=\n\})/);
  if (pieces.length < 2) return [];
  let line = above;
  return pieces.flatMap((piece) => {
    const first = line;
    line += piece.split('\n').length - 1;
    return parsed(c, piece.replace(/^#\s*(?:if|ifdef|ifndef|elif|else|endif)\b.*$/gm, ''), first);
  });
}
