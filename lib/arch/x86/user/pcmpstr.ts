// SPDX-License-Identifier: GPL-2.0-only
// The string comparisons of SSE4.2. NON-KERNEL throughout.

const [CF, ZF, SF, OF] = [1, 0x40, 0x80, 0x800];

export interface StringComparison {
  /** a bit an element of the second string */
  readonly bits: number;
  /** elements of a string: 8 or 16 */
  readonly n: number;
  readonly flags: number;
}

/** The elements of a vector as the immediate says: bytes or words, signed or not. */
function elements(bytes: Uint8Array, control: number): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  const signed = (control & 2) !== 0;
  if ((control & 1) !== 0) {
    return Array.from({ length: 8 }, (_, k) => (signed ? view.getInt16(k * 2, true) : view.getUint16(k * 2, true)));
  }
  return Array.from(bytes, (b) => (signed ? (b << 24) >> 24 : b));
}

/** Elements before the first that is zero. */
function terminated(list: readonly number[]): number {
  const at = list.indexOf(0);
  return at < 0 ? list.length : at;
}

/**
 * pcmpistri, pcmpestri and their kind: `first` and `second` are 16 bytes, `lengths` those of the explicit forms, which
 * saturate at the number of elements, or null.
 */
export function compare_strings(
  first: Uint8Array,
  second: Uint8Array,
  control: number,
  lengths: readonly [number, number] | null,
): StringComparison {
  const a = elements(first, control);
  const b = elements(second, control);
  const n = a.length;
  const la = lengths === null ? terminated(a) : Math.min(Math.abs(lengths[0]), n);
  const lb = lengths === null ? terminated(b) : Math.min(Math.abs(lengths[1]), n);
  const found = (j: number): boolean => {
    switch ((control >> 2) & 3) {
      case 0:
        return j < lb && a.slice(0, la).includes(b[j]);
      case 1:
        return j < lb && a.some((low, i) => i % 2 === 0 && i + 1 < la && low <= b[j] && b[j] <= a[i + 1]);
      case 2:
        return j < la && j < lb ? a[j] === b[j] : j >= la && j >= lb;
      default:
        return a.slice(0, n - j).every((x, i) => i >= la || (i + j < lb && x === b[i + j]));
    }
  };
  let bits = 0;
  for (let j = 0; j < n; j++) if (found(j)) bits |= 1 << j;
  const polarity = (control >> 4) & 3;
  if (polarity === 1) bits ^= (1 << n) - 1;
  else if (polarity === 3) bits ^= (1 << lb) - 1;
  const flags = (bits !== 0 ? CF : 0) | (lb < n ? ZF : 0) | (la < n ? SF : 0) | ((bits & 1) !== 0 ? OF : 0);
  return { bits, n, flags };
}
