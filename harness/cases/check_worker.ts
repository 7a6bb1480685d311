// SPDX-License-Identifier: GPL-2.0-only
// The process of check_types(): one message with the files, one with their complaints.

import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { end_with_parent } from '../cli/workers.ts';
import { type Complaint, place } from './check.ts';

interface Rule {
  MESSAGES: Record<'forgotten' | 'dropped', string>;
  undriven(
    checker: ts.TypeChecker,
    file: ts.SourceFile,
  ): { node: ts.Node; kind: 'forgotten' | 'dropped'; name: string }[];
}

const top = fileURLToPath(new URL('../..', import.meta.url));
const config = `${top}tsconfig.json`;

function check(files: readonly string[], rule: Rule): [string, Complaint[]][] {
  const { options } = ts.parseJsonConfigFileContent(ts.readConfigFile(config, ts.sys.readFile).config, ts.sys, top);
  // A file anywhere, whatever package.json is above it, is a module as tsx loads it.
  const as_module = { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler };
  const program = ts.createProgram(files, { ...options, ...as_module });
  const checker = program.getTypeChecker();
  return files.map((path) => {
    const file = program.getSourceFile(path);
    if (file === undefined) return [path, []];
    const line = (at: number): number => file.getLineAndCharacterOfPosition(at).line + 1;
    const syntax = program.getSyntacticDiagnostics(file);
    const complaints = [...syntax, ...(syntax.length > 0 ? [] : program.getSemanticDiagnostics(file))].map((d) => ({
      line: line(d.start ?? 0),
      text: ts.flattenDiagnosticMessageText(d.messageText, ' '),
    }));
    for (const { node, kind, name } of syntax.length > 0 ? [] : rule.undriven(checker, file))
      complaints.push({ line: line(node.getStart(file)), text: rule.MESSAGES[kind].replace('{{name}}', name) });
    complaints.sort((a, b) => a.line - b.line);
    return [path, complaints.map((it) => `${place(path, it.line)}: ${it.text}`)];
  });
}

end_with_parent();
process.once('message', (files: string[]) => {
  void import(new URL('../../.config/yield-star.js', import.meta.url).href).then((rule: Rule) =>
    process.send?.(check(files, rule)),
  );
});
