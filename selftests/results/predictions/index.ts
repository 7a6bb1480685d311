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

/** The proposed fixes by their bits of hmmfix=; those between mend races, which op programs do not show. */
const FIXES: readonly (readonly [number, PatchId])[] = [
  [1, 'fix-dmirror-backing-page'],
  [2, 'fix-hmm-absent-pmd-pfn'],
  [4, 'fix-coherent-chunk'],
  [8, 'fix-migrate-alloc-null'],
  [16, 'fix-split-other-pmds'],
  [32, 'fix-collect-coherent-pmd'],
  [64, 'fix-compound-cpages'],
  [128, 'fix-fail-alloc-huge'],
  [4096, 'fix-coherent-split'],
  [8192, 'fix-coherent-deferred-split'],
];

function asked(file: string, hmmfix: number): Prediction {
  return { file, patches: FIXES.filter(([bit]) => hmmfix & bit).map(([, id]) => id), hmmfix };
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
  asked('fix-coherent-split.jsonl.gz', 4096),
  asked('fix-coherent-deferred-split.jsonl', 8192),
];
