// SPDX-License-Identifier: GPL-2.0-only
// The 80-bit floating point format of the x87 and its arithmetic. NON-KERNEL throughout.

/** Exceptions, by their bits in the status and control words. */
export const IE = 1;
export const DE = 2;
export const ZE = 4;
export const OE = 8;
export const UE = 0x10;
export const PE = 0x20;
/** Of an inexact result: it was rounded away from zero. */
export const C1 = 0x200;

const BIAS = 16383;
const INTEGER_BIT = 1n << 63n;
const QUIET_BIT = 1n << 62n;
const MASK_64 = (1n << 64n) - 1n;

/** Bits of a number as they lie in a register: sign and exponent in 16 bits, significand in 64. */
export interface Float80 {
  readonly se: number;
  readonly m: bigint;
}

export const INDEFINITE: Float80 = { se: 0xffff, m: INTEGER_BIT | QUIET_BIT };

/** A format that results are rounded to. */
export interface Target {
  /** bits of the significand */
  readonly precision: number;
  readonly emin: number;
  readonly emax: number;
}

export const SINGLE: Target = { precision: 24, emin: -126, emax: 127 };
export const DOUBLE: Target = { precision: 53, emin: -1022, emax: 1023 };

/** The x87's own range, with the precision of the control word. */
export function extended(fcw: number): Target {
  const precision = [24, 24, 53, 64][(fcw >> 8) & 3];
  return { precision, emin: -16382, emax: 16383 };
}

/** A number taken apart. Finite ones are m * 2^e, with m zero for zeros. */
export interface Value {
  readonly kind: 'finite' | 'infinite' | 'nan' | 'invalid';
  readonly negative: boolean;
  readonly m: bigint;
  readonly e: number;
}

export function unpack(f: Float80): Value {
  const negative = f.se >> 15 === 1;
  const exponent = f.se & 0x7fff;
  const integer = (f.m & INTEGER_BIT) !== 0n;
  if (exponent === 0) return { kind: 'finite', negative, m: f.m, e: 1 - BIAS - 63 };
  // the formats of the 8087 that later ones refuse
  if (!integer) return { kind: 'invalid', negative, m: f.m, e: 0 };
  if (exponent === 0x7fff) return { kind: f.m === INTEGER_BIT ? 'infinite' : 'nan', negative, m: f.m, e: 0 };
  return { kind: 'finite', negative, m: f.m, e: exponent - BIAS - 63 };
}

/** True for a denormal operand, which sets DE. */
export function is_denormal(f: Float80): boolean {
  return (f.se & 0x7fff) === 0 && f.m !== 0n;
}

export function is_signalling(f: Float80): boolean {
  return unpack(f).kind === 'nan' && (f.m & QUIET_BIT) === 0n;
}

export function zero(negative: boolean): Float80 {
  return { se: negative ? 0x8000 : 0, m: 0n };
}

export function infinity(negative: boolean): Float80 {
  return { se: negative ? 0xffff : 0x7fff, m: INTEGER_BIT };
}

function bit_length(n: bigint): number {
  return n === 0n ? 0 : n.toString(2).length;
}

/** A rounded magnitude: m * 2^e with m of at most the target's precision. */
interface Rounded {
  readonly m: bigint;
  readonly e: number;
  readonly flags: number;
  readonly infinite: boolean;
}

/** Rounds m * 2^e, of which `sticky` says that a little more is missing, in the direction of the control word. */
function round(negative: boolean, m: bigint, e: number, sticky: boolean, t: Target, fcw: number): Rounded {
  const length = bit_length(m);
  const tiny = e + length - 1 < t.emin;
  const lowest = tiny ? t.emin - t.precision + 1 : e + length - t.precision;
  let shift = lowest - e;
  if (shift < 0) {
    m <<= BigInt(-shift);
    shift = 0;
    e = lowest;
  }
  const rest = m & ((1n << BigInt(shift)) - 1n);
  let kept = m >> BigInt(shift);
  const inexact = rest !== 0n || sticky;
  const half = shift === 0 ? -1n : 1n << BigInt(shift - 1);
  const mode = (fcw >> 10) & 3;
  let up = false;
  if (mode === 0) up = shift > 0 && (rest > half || (rest === half && (sticky || (kept & 1n) === 1n)));
  else if (mode === 1) up = negative && inexact;
  else if (mode === 2) up = !negative && inexact;
  if (up) kept++;
  let at = e + shift;
  if (bit_length(kept) > t.precision) {
    kept >>= 1n;
    at++;
  }
  let flags = inexact ? PE | (up ? C1 : 0) : 0;
  if (tiny && inexact) flags |= UE;
  if (kept !== 0n && at + bit_length(kept) - 1 > t.emax) {
    const infinite = mode === 0 || (mode === 1 && negative) || (mode === 2 && !negative);
    flags = OE | PE | (infinite ? C1 : 0);
    const largest = (1n << BigInt(t.precision)) - 1n;
    return { m: largest, e: t.emax - t.precision + 1, flags, infinite };
  }
  return { m: kept, e: at, flags, infinite: false };
}

/** A result and the exceptions (and C1) that it raised. */
export interface Result {
  readonly f: Float80;
  readonly flags: number;
}

/** The number m * 2^e, rounded. */
export function pack(negative: boolean, m: bigint, e: number, sticky: boolean, fcw: number, t = extended(fcw)): Result {
  if (m === 0n && !sticky) return { f: zero(negative), flags: 0 };
  const r = round(negative, m, e, sticky, t, fcw);
  const sign = negative ? 0x8000 : 0;
  if (r.infinite) return { f: infinity(negative), flags: r.flags };
  if (r.m === 0n) return { f: zero(negative), flags: r.flags };
  const top = r.e + bit_length(r.m) - 1;
  if (top < 1 - BIAS) return { f: { se: sign, m: r.m << BigInt(r.e - (1 - BIAS - 63)) }, flags: r.flags };
  return { f: { se: sign | (top + BIAS), m: r.m << BigInt(64 - bit_length(r.m)) }, flags: r.flags };
}

function quiet(f: Float80): Float80 {
  return { se: f.se, m: f.m | QUIET_BIT };
}

/** What an operation with a NaN or an invalid format gives, or null if neither operand is one. */
export function nan_result(a: Float80, b: Float80): Result | null {
  const [x, y] = [unpack(a), unpack(b)];
  if (x.kind === 'invalid' || y.kind === 'invalid') return { f: INDEFINITE, flags: IE };
  if (x.kind !== 'nan' && y.kind !== 'nan') return null;
  const signalling = is_signalling(a) || is_signalling(b);
  const flags = signalling ? IE : 0;
  if (x.kind !== 'nan') return { f: quiet(b), flags };
  if (y.kind !== 'nan') return { f: quiet(a), flags };
  // of a quiet and a signalling one the quiet one, else the larger significand, else the positive one
  if (is_signalling(a) !== is_signalling(b)) return { f: is_signalling(a) ? b : a, flags };
  if (a.m !== b.m) return { f: quiet(a.m > b.m ? a : b), flags };
  return { f: quiet(x.negative ? b : a), flags };
}

/** Bits beyond which the smaller operand of a sum only says that there is something. */
const FAR = 140;

function align(m: bigint, by: number): [bigint, boolean] {
  if (by <= 0) return [m << BigInt(-by), false];
  const kept = m >> BigInt(by);
  return [kept, kept << BigInt(by) !== m];
}

export function add(a: Float80, b: Float80, fcw: number): Result {
  const nan = nan_result(a, b);
  if (nan !== null) return nan;
  const flags = is_denormal(a) || is_denormal(b) ? DE : 0;
  const [x, y] = [unpack(a), unpack(b)];
  if (x.kind === 'infinite' || y.kind === 'infinite') {
    if (x.kind === y.kind && x.negative !== y.negative) return { f: INDEFINITE, flags: IE };
    return { f: x.kind === 'infinite' ? a : b, flags };
  }
  if (x.m === 0n && y.m === 0n) {
    const negative = x.negative === y.negative ? x.negative : ((fcw >> 10) & 3) === 1;
    return { f: zero(negative), flags };
  }
  const e = Math.max(Math.min(x.e, y.e), Math.max(x.m === 0n ? -99999 : x.e, y.m === 0n ? -99999 : y.e) - FAR);
  const [xm, xs] = align(x.m, e - x.e);
  const [ym, ys] = align(y.m, e - y.e);
  let sum = (x.negative ? -xm : xm) + (y.negative ? -ym : ym);
  const sticky = xs || ys;
  const negative = sum < 0n || (sum === 0n && ((fcw >> 10) & 3) === 1);
  // what is missing is taken from the magnitude if it belongs to the other sign
  if (sticky && (xs ? x.negative : y.negative) !== negative) sum += negative ? 1n : -1n;
  const r = pack(negative, negative ? -sum : sum, e, sticky, fcw);
  return { f: r.f, flags: r.flags | flags };
}

export function negate(f: Float80): Float80 {
  return { se: f.se ^ 0x8000, m: f.m };
}

export function subtract(a: Float80, b: Float80, fcw: number): Result {
  return nan_result(a, b) ?? add(a, negate(b), fcw);
}

export function multiply(a: Float80, b: Float80, fcw: number): Result {
  const nan = nan_result(a, b);
  if (nan !== null) return nan;
  const flags = is_denormal(a) || is_denormal(b) ? DE : 0;
  const [x, y] = [unpack(a), unpack(b)];
  const negative = x.negative !== y.negative;
  if (x.kind === 'infinite' || y.kind === 'infinite') {
    if ((x.kind === 'finite' && x.m === 0n) || (y.kind === 'finite' && y.m === 0n)) return { f: INDEFINITE, flags: IE };
    return { f: infinity(negative), flags };
  }
  const r = pack(negative, x.m * y.m, x.e + y.e, false, fcw);
  return { f: r.f, flags: r.flags | flags };
}

export function divide(a: Float80, b: Float80, fcw: number): Result {
  const nan = nan_result(a, b);
  if (nan !== null) return nan;
  const flags = is_denormal(a) || is_denormal(b) ? DE : 0;
  const [x, y] = [unpack(a), unpack(b)];
  const negative = x.negative !== y.negative;
  if (x.kind === 'infinite')
    return y.kind === 'infinite' ? { f: INDEFINITE, flags: IE } : { f: infinity(negative), flags };
  if (y.kind === 'infinite') return { f: zero(negative), flags };
  if (y.m === 0n) return x.m === 0n ? { f: INDEFINITE, flags: IE } : { f: infinity(negative), flags: ZE };
  const dividend = x.m << 200n;
  const r = pack(negative, dividend / y.m, x.e - y.e - 200, dividend % y.m !== 0n, fcw);
  return { f: r.f, flags: r.flags | flags };
}

export function square_root(a: Float80, fcw: number): Result {
  const nan = nan_result(a, a);
  if (nan !== null) return nan;
  const x = unpack(a);
  if (x.kind === 'finite' && x.m === 0n) return { f: a, flags: 0 };
  if (x.negative) return { f: INDEFINITE, flags: IE };
  if (x.kind === 'infinite') return { f: a, flags: 0 };
  // an even exponent, and enough bits
  const e = x.e - 200 - ((x.e - 200) & 1);
  const n = x.m << BigInt(x.e - e);
  let root = 1n << BigInt(Math.ceil(bit_length(n) / 2));
  for (;;) {
    const next = (root + n / root) >> 1n;
    if (next >= root) break;
    root = next;
  }
  const r = pack(false, root, e / 2, root * root !== n, fcw);
  return { f: r.f, flags: r.flags | (is_denormal(a) ? DE : 0) };
}

/** -1, 0 or 1, or null for unordered. */
export function compare(a: Float80, b: Float80): number | null {
  const [x, y] = [unpack(a), unpack(b)];
  if (x.kind === 'nan' || y.kind === 'nan' || x.kind === 'invalid' || y.kind === 'invalid') return null;
  const key = (v: Value, f: Float80): bigint => {
    const magnitude = (BigInt(v.kind === 'finite' ? v.e + 20000 : 99999) << 64n) | f.m;
    if (v.kind === 'finite' && v.m === 0n) return 0n;
    return v.negative ? -magnitude : magnitude;
  };
  const [p, q] = [key(x, a), key(y, b)];
  return p < q ? -1 : p > q ? 1 : 0;
}

/** The number as a signed integer in the rounding direction of fcw (`truncate`: towards zero), null if it has none. */
export function to_integer(f: Float80, fcw: number, truncate: boolean): { n: bigint; flags: number } | null {
  const v = unpack(f);
  if (v.kind !== 'finite') return null;
  if (v.m === 0n) return { n: 0n, flags: 0 };
  if (v.e >= 64) return null;
  if (v.e >= 0) return { n: (v.negative ? -v.m : v.m) << BigInt(v.e), flags: 0 };
  const by = BigInt(Math.min(-v.e, 200));
  let n = v.m >> by;
  const rest = v.m - (n << by);
  const half = 1n << (by - 1n);
  const mode = truncate ? 3 : (fcw >> 10) & 3;
  const up =
    mode === 0
      ? rest > half || (rest === half && (n & 1n) === 1n)
      : mode !== 3 && rest !== 0n && (mode === 1) === v.negative;
  if (up) n++;
  return { n: v.negative ? -n : n, flags: rest === 0n ? 0 : PE | (up ? C1 : 0) };
}

export function from_integer(n: bigint): Float80 {
  return pack(n < 0n, n < 0n ? -n : n, 0, false, 0x37f).f;
}

/** A single (32) or double (64 bits) as a register holds it; signalling NaNs become quiet with IE, denormals set DE. */
export function from_float(bits: bigint, width: 32 | 64): Result {
  const [mantissa_bits, bias, full] = width === 32 ? [23n, 127, 0xff] : [52n, 1023, 0x7ff];
  const negative = bits >> BigInt(width - 1) === 1n;
  const exponent = Number((bits >> mantissa_bits) & BigInt(full));
  const fraction = bits & ((1n << mantissa_bits) - 1n);
  const sign = negative ? 0x8000 : 0;
  if (exponent === full) {
    const m = INTEGER_BIT | (fraction << (63n - mantissa_bits));
    const f = { se: sign | 0x7fff, m };
    return is_signalling(f) ? { f: quiet(f), flags: IE } : { f, flags: 0 };
  }
  const m = exponent === 0 ? fraction : fraction | (1n << mantissa_bits);
  const e = Math.max(exponent, 1) - bias - Number(mantissa_bits);
  return { f: pack(negative, m, e, false, 0x37f).f, flags: exponent === 0 && fraction !== 0n ? DE : 0 };
}

/** The bits of a single or double. */
export function to_float(f: Float80, width: 32 | 64, fcw: number): { bits: bigint; flags: number } {
  const [mantissa_bits, bias, full] = width === 32 ? [23n, 127, 0xffn] : [52n, 1023, 0x7ffn];
  const v = unpack(f);
  const sign = (v.negative ? 1n : 0n) << BigInt(width - 1);
  const top = full << mantissa_bits;
  if (v.kind === 'invalid') return { bits: (1n << BigInt(width - 1)) | top | (1n << (mantissa_bits - 1n)), flags: IE };
  if (v.kind === 'infinite') return { bits: sign | top, flags: 0 };
  if (v.kind === 'nan') {
    const bits =
      sign | top | (1n << (mantissa_bits - 1n)) | (((f.m & (INTEGER_BIT - 1n)) >> (63n - mantissa_bits)) & MASK_64);
    return { bits, flags: is_signalling(f) ? IE : 0 };
  }
  if (v.m === 0n) return { bits: sign, flags: 0 };
  const r = round(v.negative, v.m, v.e, false, width === 32 ? SINGLE : DOUBLE, fcw);
  if (r.infinite) return { bits: sign | top, flags: r.flags };
  const exponent = r.e + Number(mantissa_bits) + bias;
  const normal = r.m >> mantissa_bits !== 0n;
  const bits = sign | (normal ? (BigInt(exponent) << mantissa_bits) | (r.m & ((1n << mantissa_bits) - 1n)) : r.m);
  return { bits, flags: r.flags };
}
