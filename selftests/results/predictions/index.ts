// SPDX-License-Identifier: GPL-2.0-only
// What the model predicted and a real Linux was then asked; README.md has the questions.

import type { PatchId } from '../../../lib/patches/index.ts';

/** A file of op programs with what one kernel answered. */
export interface Prediction {
  /** beside this file */
  file: string;
  /** the states that both had */
  patches: readonly PatchId[];
  /** the same of Linux's boot parameter hmmfix= */
  hmmfix: number;
}

/** The proposed fixes in the order of the bits of hmmfix=. */
const FIXES = [
  'fix-dmirror-backing-page',
  'fix-hmm-absent-pmd-pfn',
  'fix-coherent-chunk',
  'fix-migrate-alloc-null',
  'fix-split-other-pmds',
  'fix-collect-coherent-pmd',
  'fix-compound-cpages',
  'fix-fail-alloc-huge',
] as const satisfies readonly PatchId[];

function asked(file: string, hmmfix: number): Prediction {
  return { file, patches: FIXES.filter((_, bit) => (hmmfix >> bit) & 1), hmmfix };
}

export const predictions: readonly Prediction[] = [
  asked('fixes.none.jsonl', 0),
  asked('fix-dmirror-backing-page.jsonl', 1),
  asked('fix-hmm-absent-pmd-pfn.jsonl', 2),
  asked('fix-hmm-absent-pmd-pfn.with-backing-page.jsonl', 3),
  asked('fix-coherent-chunk.jsonl', 4),
  asked('fix-migrate-alloc-null.jsonl', 8),
  asked('fix-migrate-alloc-null.with-coherent-chunk.jsonl', 12),
  asked('fix-split-other-pmds.jsonl', 16),
  asked('fix-collect-coherent-pmd.jsonl', 32),
  asked('fix-compound-cpages.jsonl', 64),
  asked('fix-collect-coherent-pmd.with-compound-cpages.jsonl', 96),
  asked('fix-fail-alloc-huge.jsonl', 128),
  asked('fixes.all.jsonl', 255),
  asked('huge-pages.jsonl.gz', 0),
  asked('huge-pages.fixes.all.jsonl.gz', 255),
];
