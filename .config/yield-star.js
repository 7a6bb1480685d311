// SPDX-License-Identifier: GPL-2.0-only
// A call that answers a generator has done nothing yet: it must be driven by `yield*`, or handed to somebody who drives it.
// The rule works on TypeScript's own tree, so that harness/cases asks it about one file without the linter.

import ts from 'typescript';

/** @param {ts.Type} type */
const mayBeGenerator = (type) => (type.isUnion() ? type.types.some(mayBeGenerator) : type.getSymbol()?.name === 'Generator');

const NOTHING = ts.TypeFlags.Undefined | ts.TypeFlags.Null | ts.TypeFlags.Void;

/** A generator, or nothing: with any other possibility the caller has to look before it drives. */
const isGenerator = (type) =>
  mayBeGenerator(type) && (!type.isUnion() || type.types.every((it) => (it.flags & NOTHING) !== 0 || mayBeGenerator(it)));

/** @param {ts.Type} type */
const answersGenerator = (type) => type.getCallSignatures().some((s) => isGenerator(s.getReturnType()));

/** @param {ts.Type | undefined} contextual the function type that a callback is passed as */
const ignoresResult = (contextual) => {
  const signatures = contextual?.getCallSignatures() ?? [];
  return signatures.length > 0 && signatures.every((s) => (s.getReturnType().flags & ts.TypeFlags.Void) !== 0);
};

const WRAPPERS = new Set([
  ts.SyntaxKind.ParenthesizedExpression,
  ts.SyntaxKind.AsExpression,
  ts.SyntaxKind.NonNullExpression,
  ts.SyntaxKind.SatisfiesExpression,
]);
const CHOICES = new Set([
  ts.SyntaxKind.AmpersandAmpersandToken,
  ts.SyntaxKind.BarBarToken,
  ts.SyntaxKind.QuestionQuestionToken,
]);
const HOLDERS = [
  ts.isPropertyAssignment,
  ts.isArrayLiteralExpression,
  ts.isSpreadElement,
  ts.isSpreadAssignment,
  ts.isPropertyDeclaration,
];

/** @param {ts.TypeChecker} checker @param {ts.Node} node */
function isHandedOn(checker, node) {
  const { parent } = node;
  if (WRAPPERS.has(parent.kind)) return isHandedOn(checker, parent);
  if (ts.isYieldExpression(parent)) return parent.asteriskToken !== undefined;
  if (ts.isReturnStatement(parent)) {
    const fn = ts.findAncestor(parent, ts.isFunctionLike);
    return fn !== undefined && fn.asteriskToken === undefined;
  }
  if (ts.isArrowFunction(parent)) return parent.body === node;
  if (ts.isVariableDeclaration(parent)) return parent.type !== undefined;
  if (ts.isCallExpression(parent) || ts.isNewExpression(parent)) return parent.expression !== node;
  if (ts.isForOfStatement(parent)) return parent.expression === node;
  if (ts.isPropertyAccessExpression(parent)) return ['next', 'return', 'throw'].includes(parent.name.text);
  if (ts.isConditionalExpression(parent)) return parent.condition !== node && isHandedOn(checker, parent);
  if (ts.isBinaryExpression(parent)) {
    if (parent.right !== node) return false;
    if (parent.operatorToken.kind === ts.SyntaxKind.EqualsToken)
      return mayBeGenerator(checker.getTypeAtLocation(parent.left));
    return CHOICES.has(parent.operatorToken.kind) && isHandedOn(checker, parent);
  }
  return HOLDERS.some((is) => is(parent));
}

/**
 * The calls of a file whose generator nobody drives.
 * @param {ts.TypeChecker} checker
 * @param {ts.SourceFile} file
 * @returns {{ node: ts.Node, kind: 'forgotten' | 'dropped', name: string }[]} a call, or a callback whose generator is ignored
 */
export function undriven(checker, file) {
  const found = [];
  const visit = (node) => {
    if (ts.isCallExpression(node)) {
      if (isGenerator(checker.getTypeAtLocation(node)) && !isHandedOn(checker, node))
        found.push({ node, kind: 'forgotten', name: node.expression.getText(file) });
      else
        for (const arg of node.arguments) {
          if (ts.isSpreadElement(arg) || !answersGenerator(checker.getTypeAtLocation(arg))) continue;
          if (ignoresResult(checker.getContextualType(arg)))
            found.push({ node: arg, kind: 'dropped', name: arg.getText(file) });
        }
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

export const MESSAGES = {
  forgotten:
    '{{name}} may sleep: without `yield*` in front of the call it does nothing. If the generator itself is wanted, give it a name whose type is written down.',
  dropped: 'This callback answers a generator that its caller ignores: nothing in it would run.',
};

export default {
  meta: {
    type: 'problem',
    docs: { description: 'a call that may sleep is driven by yield*' },
    messages: MESSAGES,
    schema: [],
  },
  defaultOptions: [],
  create(context) {
    return {
      'Program:exit'(program) {
        const services = context.sourceCode.parserServices;
        const file = services.esTreeNodeToTSNodeMap.get(program);
        for (const { node, kind, name } of undriven(services.program.getTypeChecker(), file)) {
          const start = context.sourceCode.getLocFromIndex(node.getStart(file));
          const end = context.sourceCode.getLocFromIndex(node.getEnd());
          context.report({ loc: { start, end }, messageId: kind, data: { name } });
        }
      },
    };
  },
};
