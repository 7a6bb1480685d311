// SPDX-License-Identifier: GPL-2.0-only
// A call that answers a generator has done nothing yet: it must be driven by `yield*`, or handed to somebody who drives it.

import ts from 'typescript';

/** @param {ts.Type} type */
const mayBeGenerator = (type) => (type.isUnion() ? type.types.some(mayBeGenerator) : type.getSymbol()?.name === 'Generator');

const NOTHING = ts.TypeFlags.Undefined | ts.TypeFlags.Null | ts.TypeFlags.Void;

/** A generator, or nothing: with any other possibility the caller has to look before it drives. */
const isGenerator = (type) =>
  mayBeGenerator(type) && (!type.isUnion() || type.types.every((it) => (it.flags & NOTHING) !== 0 || mayBeGenerator(it)));

/** @param {ts.Type} type */
const answersGenerator = (type) => type.getCallSignatures().some((s) => isGenerator(s.getReturnType()));

const FUNCTIONS = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression']);

function enclosingFunction(node) {
  let up = node.parent;
  while (up && !FUNCTIONS.has(up.type)) up = up.parent;
  return up;
}

export default {
  meta: {
    type: 'problem',
    docs: { description: 'a call that may sleep is driven by yield*' },
    messages: {
      forgotten: '{{name}} may sleep: without `yield*` in front of the call it does nothing. If the generator itself is wanted, give it a name whose type is written down.',
      dropped: 'This callback answers a generator that its caller ignores: nothing in it would run.',
    },
    schema: [],
  },
  defaultOptions: [],
  create(context) {
    const services = context.sourceCode.parserServices;
    const checker = services.program.getTypeChecker();

    /** @param {ts.Type | undefined} contextual the function type that a callback is passed as */
    const ignoresResult = (contextual) => {
      const signatures = contextual?.getCallSignatures() ?? [];
      return signatures.length > 0 && signatures.every((s) => (s.getReturnType().flags & ts.TypeFlags.Void) !== 0);
    };

    const isHandedOn = (node) => {
      const { parent } = node;
      switch (parent.type) {
        case 'YieldExpression':
          return parent.delegate;
        case 'ReturnStatement': {
          const fn = enclosingFunction(node);
          return fn !== undefined && !fn.generator;
        }
        case 'ArrowFunctionExpression':
          return parent.body === node;
        case 'VariableDeclarator':
          return parent.id.typeAnnotation !== undefined;
        case 'AssignmentExpression':
          return parent.right === node && mayBeGenerator(services.getTypeAtLocation(parent.left));
        case 'CallExpression':
        case 'NewExpression':
          return parent.callee !== node;
        case 'ForOfStatement':
          return parent.right === node;
        case 'MemberExpression':
          return ['next', 'return', 'throw'].includes(parent.property.name);
        case 'ConditionalExpression':
          return parent.test !== node && isHandedOn(parent);
        case 'LogicalExpression':
          return parent.right === node && isHandedOn(parent);
        case 'TSAsExpression':
        case 'TSNonNullExpression':
        case 'TSSatisfiesExpression':
          return isHandedOn(parent);
        case 'Property':
        case 'ArrayExpression':
        case 'SpreadElement':
        case 'PropertyDefinition':
          return true;
        default:
          return false;
      }
    };

    return {
      CallExpression(node) {
        if (isGenerator(services.getTypeAtLocation(node)) && !isHandedOn(node)) {
          context.report({ node, messageId: 'forgotten', data: { name: context.sourceCode.getText(node.callee) } });
          return;
        }
        for (const arg of node.arguments) {
          if (arg.type === 'SpreadElement' || arg.type.endsWith('Literal')) continue;
          if (!answersGenerator(services.getTypeAtLocation(arg))) continue;
          const contextual = checker.getContextualType(services.esTreeNodeToTSNodeMap.get(arg));
          if (ignoresResult(contextual)) context.report({ node: arg, messageId: 'dropped' });
        }
      },
    };
  },
};
