// SPDX-License-Identifier: GPL-2.0-only

/** A mistake of the user's, in one line that names the value and what was expected: the program exits with status 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Insertions, deletions and replacements of a letter that lead from one word to the other. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length];
}

/** `; did you mean WORD?` for a misspelt word where one of the known ones is close, else ''. */
export function did_you_mean(word: string, known: readonly string[]): string {
  const near = known
    .map((it) => ({ it, far: distance(word, it) }))
    .filter(({ it, far }) => far <= Math.max(1, Math.min(word.length, it.length) / 3))
    .sort((a, b) => a.far - b.far)[0];
  return near === undefined ? '' : `; did you mean ${near.it}?`;
}
