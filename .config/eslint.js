// SPDX-License-Identifier: GPL-2.0-only

import tseslint from 'typescript-eslint';
import yieldStar from './yield-star.js';

const TESTS = ['**/*.test.ts', '**/*.slow.ts'];
const PROGRAMS = ['hmm-tests', 'run', 'compare', 'hmm-selftests', 'start', 'replay', 'explore', 'regression', 'bench', 'drift', 'impact'].map((name) => `harness/bin/${name}.ts`);

const noFinally = { selector: 'TryStatement[finalizer]', message: 'An oops leaves its locks held, as upstream: no finally in lib.' };
const noPromises = [
  { selector: ':function[async=true]', message: 'What may sleep is a generator, never a promise.' },
  { selector: 'AwaitExpression', message: 'What may sleep is a generator, never a promise.' },
  { selector: 'ImportExpression', message: 'A dynamic import answers a promise.' },
];
const oneSourceOfChance = [
  { selector: "MemberExpression[object.name='Math'][property.name='random']", message: 'Chance comes from the scheduler: m.sched.' },
];

export default tseslint.config(
  {
    files: ['{lib,harness,selftests}/**/*.ts'],
    extends: [tseslint.configs.recommended],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: `${import.meta.dirname}/..` } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    plugins: { local: { rules: { 'yield-star': yieldStar } } },
    rules: {
      'local/yield-star': 'error',
      'max-lines': ['error', 900],
      'require-yield': 'off',
      'no-constant-condition': ['error', { checkLoops: false }],
      'eqeqeq': 'error',
      'prefer-const': ['error', { destructuring: 'all' }],
      'no-eval': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { disallowTypeAnnotations: false }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrors: 'none' }],
      '@typescript-eslint/no-unnecessary-type-assertion': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
    },
  },
  {
    files: ['lib/**/*.ts'],
    ignores: TESTS,
    rules: {
      'no-restricted-globals': ['error', ...['Date', 'Promise', 'performance', 'process', 'console', 'setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'crypto'].map(
        (name) => ({ name, message: 'lib is deterministic and stands alone: time and chance come from the scheduler, output goes to printk().' }),
      )],
      'no-restricted-syntax': ['error', noFinally, ...noPromises, ...oneSourceOfChance],
      'no-restricted-imports': ['error', { patterns: [
        { group: ['**/harness/**', '**/selftests/**'], message: 'Imports only go down: selftests -> harness -> lib.' },
        { group: ['node:*', 'tap'], message: 'lib runs anywhere: nothing of Node in it.' },
      ] }],
    },
  },
  {
    files: TESTS.map((test) => `lib/${test}`),
    rules: {
      'no-restricted-imports': ['error', { patterns: [
        { group: ['**/harness/**', '**/selftests/**'], message: 'Imports only go down, in tests too: lib/kernel/testing.ts starts processes.' },
      ] }],
    },
  },
  {
    // tap reports a subtest that fails by itself
    files: TESTS,
    rules: { '@typescript-eslint/no-floating-promises': 'off' },
  },
  {
    files: ['harness/**/*.ts'],
    ignores: [...TESTS, ...PROGRAMS],
    rules: {
      'no-restricted-imports': ['error', { patterns: [
        { group: ['**/selftests/**'], message: 'Imports only go down. A program (the entry points of npm scripts) passes the suite in.' },
      ] }],
    },
  },
  {
    files: ['selftests/**/*.ts'],
    ignores: TESTS,
    rules: {
      'no-restricted-imports': ['error', { patterns: [
        { group: ['**/lib/mm/**', '**/lib/fs/**', '**/lib/boot.ts'], message: 'A selftest sees the kernel through system calls only (and the uapi headers of a driver).' },
      ] }],
      'no-restricted-syntax': ['error', ...noPromises, ...oneSourceOfChance],
    },
  },
);
