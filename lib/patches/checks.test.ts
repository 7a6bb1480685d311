// SPDX-License-Identifier: GPL-2.0-only
// What a patch state changes is asked for at one place of a function, and nowhere in the audit.

import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import ts from 'typescript';

const LIB = fileURLToPath(new URL('..', import.meta.url));
/** where patch states are applied */
const APPLIES = ['machine.ts', 'init/main.ts', 'patches/'];

const files = readdirSync(LIB, { recursive: true, encoding: 'utf8' }).filter(
  (name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && !APPLIES.some((at) => name.startsWith(at)),
);

/** The outermost functions of a file, methods and function members of objects too, with how often each asks. */
function checks(file: string): Map<string, string[]> {
  const text = readFileSync(`${LIB}${file}`, 'utf8');
  const found = new Map<string, string[]>();
  if (!/\.(patch|seam|patches)\b/.test(text)) return found;
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2022, true);
  const visit = (node: ts.Node, name: string | null): void => {
    let inside = name;
    if (name === null && ts.isFunctionLike(node))
      inside = `${file}: ${node.name?.getText() ?? node.parent.getText().slice(0, 30)}`;
    if (ts.isBindingElement(node) && ['patch', 'seam', 'patches'].includes((node.propertyName ?? node.name).getText()))
      found.set(file, [...(found.get(file) ?? []), `${node.parent.getText()} as a whole`]);
    if (ts.isPropertyAccessExpression(node) && ['patch', 'seam', 'patches'].includes(node.name.text)) {
      const at = inside ?? `${file}: outside of a function`;
      const whole = ts.isPropertyAccessExpression(node.parent) ? node.parent.getText() : `${node.getText()} as a whole`;
      found.set(at, [...(found.get(at) ?? []), whole]);
    }
    node.forEachChild((child) => visit(child, inside));
  };
  visit(source, null);
  return found;
}

const all = files.map((file) => [file, checks(file)] as const);

t.test('no function asks more than once for what a patch state changes', (t) => {
  const often = all.flatMap(([, found]) => [...found].filter(([, asked]) => asked.length > 1));
  t.same(often, []);
  t.ok(all.flatMap(([, found]) => [...found]).length > 50, 'the search finds them');
  t.end();
});

t.test('functions ask for a member of m.patch or m.seam, never for the list of states', (t) => {
  const other = all
    .flatMap(([, found]) => [...found.values()].flat())
    .filter((w) => !/^(this\.)?m\.(patch|seam)\.\w+$/.test(w));
  t.same(other, []);
  t.end();
});

t.test('the audit asks nothing', (t) => {
  t.same([...checks('audit.ts')], []);
  t.end();
});
