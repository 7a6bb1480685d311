// SPDX-License-Identifier: GPL-2.0-only
// Translates SSE. NON-KERNEL throughout.

import type { ImmOperand, Insn, MemOperand, Operand, RegOperand, XmmOperand } from '../insn.ts';
import { OP } from '../wasm.ts';
import { CF, type Emitter, PF, ZF } from './emitter.ts';
import type { Translator } from './integer.ts';

// SSE and SSE2 on v128. Floating point is WebAssembly's, which rounds to nearest: interpret.ts lets no other mode into
// MXCSR. Which NaN comes out is fixed here, since WebAssembly leaves it open.

const ZERO = new Uint8Array(16);

/** Leaves the vector of an operand; memory of fewer bytes is zero above. */
export function vector(e: Emitter, o: Operand, aligned = true): void {
  if (o.kind === 'xmm') e.xmm(o.reg);
  else e.load_vector(o as MemOperand, (o as MemOperand).size, aligned);
}

/** The vector of operand n in a temporary. */
export function vector_temp(e: Emitter, i: Insn, n: number): number {
  const t = e.temp_v128();
  vector(e, i.ops[n]);
  e.c.set(t);
  return t;
}

export const imm = (i: Insn, n: number): number => (i.ops[n] as ImmOperand).value & 0xff;
export const dst = (i: Insn): number => (i.ops[0] as XmmOperand).reg;
export const gpr = (i: Insn, n: number): RegOperand => i.ops[n] as RegOperand;

/** Sets the destination to the vector on the stack. */
export function result(e: Emitter, i: Insn): void {
  e.set_xmm(dst(i));
}

/** Byte numbers 0 to 15 of the first vector, 16 to 31 of the second, of elements of `size` bytes. */
export function lanes(size: number, ...elements: number[]): number[] {
  return elements.flatMap((n) => Array.from({ length: size }, (_, k) => n * size + k));
}

export function shuffle(e: Emitter, bytes: readonly number[]): void {
  e.c.simd(13, ...bytes);
}

/** Takes the low `size` bytes from the vector on the stack and the rest from the destination. */
function merge_low(e: Emitter, i: Insn, size: number): void {
  const t = e.temp_v128();
  e.c.set(t);
  e.xmm(dst(i)).c.get(t);
  shuffle(
    e,
    Array.from({ length: 16 }, (_, k) => (k < size ? 16 + k : k)),
  );
  result(e, i);
}

// Moves

export function move(aligned: boolean): Translator {
  return (e, i) => {
    const [to, from] = i.ops as [Operand, Operand];
    if (to.kind === 'xmm') {
      vector(e, from, aligned);
      result(e, i);
      return;
    }
    const t = e.temp_v128();
    vector(e, from);
    e.c.set(t);
    e.store_vector(to as MemOperand, 16, t, aligned);
  };
}

/** movss, movsd: between registers the upper part stays, from memory it is zero. */
function move_scalar(e: Emitter, i: Insn): void {
  const [to, from] = i.ops as [Operand, Operand];
  if (to.kind === 'mem') {
    const t = vector_temp(e, i, 1);
    e.store_vector(to, to.size, t, false);
  } else {
    vector(e, from);
    if (from.kind === 'xmm') merge_low(e, i, from.size);
    else result(e, i);
  }
}

/** Leaves the low 8 bytes of the vector on the stack, zero above. */
function low_half(e: Emitter): void {
  e.c.v128(ZERO);
  shuffle(e, lanes(8, 0, 2));
}

function movq(e: Emitter, i: Insn): void {
  const [to, from] = i.ops as [Operand, Operand];
  if (to.kind === 'mem') {
    e.store_vector(to, 8, vector_temp(e, i, 1), false);
    return;
  }
  vector(e, from);
  if (from.kind === 'xmm') low_half(e);
  result(e, i);
}

function movd(e: Emitter, i: Insn): void {
  const [to, from] = i.ops as [Operand, Operand];
  if (to.kind === 'xmm') {
    const size = (from as RegOperand).size;
    const t = e.temp(size);
    e.read(from).c.set(t);
    e.c
      .v128(ZERO)
      .get(t)
      .simd(size === 8 ? 30 : 28, 0);
    result(e, i);
    return;
  }
  const size = (to as RegOperand).size;
  const t = e.temp(size);
  vector(e, from);
  e.c.simd(size === 8 ? 29 : 27, 0).set(t);
  e.write(to, t);
}

/** movlps, movhps: one half of a register and memory. */
function move_half(half: 0 | 1): Translator {
  return (e, i) => {
    const [to, from] = i.ops as [Operand, Operand];
    const t = e.temp_i64();
    if (to.kind === 'xmm') {
      e.read(from, 8).c.set(t);
      e.xmm(to.reg).c.get(t).simd(30, half);
      result(e, i);
    } else {
      e.xmm((from as XmmOperand).reg)
        .c.simd(29, half)
        .set(t);
      e.store_at(e.address(to as MemOperand), 8, t, e.is_stack(to as MemOperand));
    }
  };
}

// Two vectors: `emit` finds the destination and the source on the stack.

export function binary(emit: (e: Emitter, i: Insn) => void): Translator {
  return (e, i) => {
    const b = vector_temp(e, i, 1);
    e.xmm(dst(i)).c.get(b);
    emit(e, i);
    result(e, i);
  };
}

export const simd = (op: number): Translator => binary((e) => e.c.simd(op));
const shuffled = (bytes: readonly number[]): Translator => binary((e) => shuffle(e, bytes));

/** The same with the operands in temporaries. */
export function binary_temps(emit: (e: Emitter, a: number, b: number, i: Insn) => void): Translator {
  return binary((e, i) => {
    const a = e.temp_v128();
    const b = e.temp_v128();
    e.c.set(b).set(a);
    emit(e, a, b, i);
  });
}

function interleave(size: number, high: boolean): number[] {
  const n = 16 / size;
  const from = high ? n / 2 : 0;
  const order: number[] = [];
  for (let k = 0; k < n / 2; k++) order.push(from + k, n + from + k);
  return lanes(size, ...order);
}

const and_not = binary_temps((e, a, b) => e.c.get(b).get(a).simd(79));

/** The high halves of 16-bit products. */
function multiply_high(low: number, high: number): Translator {
  return binary_temps((e, a, b) => {
    e.c.get(a).get(b).simd(low).get(a).get(b).simd(high);
    shuffle(e, lanes(2, 1, 3, 5, 7, 9, 11, 13, 15));
  });
}

const multiply_even = binary_temps((e, a, b) => {
  for (const v of [a, b]) {
    e.c.get(v).get(v);
    shuffle(e, lanes(4, 0, 2, 0, 2));
  }
  e.c.simd(222);
});

const sum_of_differences = binary_temps((e, a, b) => {
  const t = e.temp_v128();
  e.c.get(a).get(b).simd(121).get(a).get(b).simd(119).simd(113).simd(125).simd(127).tee(t);
  e.c.get(t).i32(32).simd(205).simd(206).v128([255, 255, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0, 0, 0]).simd(78);
});

// Shifts of each element; a count of the width or more shifts everything out.

function shift_vector(width: number, op: number, arithmetic: boolean): Translator {
  return (e, i) => {
    const c = e.c;
    const source = i.ops[1];
    if (source.kind === 'imm') {
      const n = source.value & 0xff;
      if (n >= width && !arithmetic) c.v128(ZERO);
      else
        e.xmm(dst(i))
          .c.i32(Math.min(n, width - 1))
          .simd(op);
      result(e, i);
      return;
    }
    const n = e.temp_i64();
    vector(e, source);
    c.simd(29, 0).set(n);
    if (arithmetic) {
      e.xmm(dst(i))
        .c.get(n)
        .op(OP.i32_wrap_i64)
        .i32(width - 1)
        .get(n)
        .i64(width)
        .op(OP.i64_lt_u, OP.select)
        .simd(op);
    } else {
      e.xmm(dst(i)).c.get(n).op(OP.i32_wrap_i64).simd(op).v128(ZERO).get(n).i64(width).op(OP.i64_lt_u, OP.select);
    }
    result(e, i);
  };
}

/** pslldq, psrldq: the whole register by bytes. */
function shift_bytes(e: Emitter, i: Insn): void {
  const n = Math.min(imm(i, 1), 16);
  const bytes = Array.from({ length: 16 }, (_, k) => {
    const from = i.name === 'pslldq' ? k - n : k + n;
    return from >= 0 && from < 16 ? from : 16;
  });
  e.xmm(dst(i)).c.v128(ZERO);
  shuffle(e, bytes);
  result(e, i);
}

/** pshufd, pshuflw, pshufhw: the source's elements as the immediate picks them. */
function pick(size: number, first: number): Translator {
  return (e, i) => {
    const b = vector_temp(e, i, 1);
    const order = Array.from({ length: 16 / size }, (_, k) => {
      const in_range = k >= first && k < first + 4;
      return in_range ? first + ((imm(i, 2) >> ((k - first) * 2)) & 3) : k;
    });
    e.c.get(b).get(b);
    shuffle(e, lanes(size, ...order));
    result(e, i);
  };
}

const shufps = binary((e, i) => {
  const n = imm(i, 2);
  shuffle(e, lanes(4, n & 3, (n >> 2) & 3, 4 + ((n >> 4) & 3), 4 + ((n >> 6) & 3)));
});
const shufpd = binary((e, i) => shuffle(e, lanes(8, imm(i, 2) & 1, 2 + ((imm(i, 2) >> 1) & 1))));

function pinsrw(e: Emitter, i: Insn): void {
  const t = e.temp_i32();
  e.read(i.ops[1]).c.set(t);
  e.xmm(dst(i))
    .c.get(t)
    .simd(26, imm(i, 2) & 7);
  result(e, i);
}

function bitmask(op: number): Translator {
  return (e, i) => {
    vector(e, i.ops[1]);
    e.c.simd(op);
    e.write_reg(gpr(i, 0));
  };
}

// Floating point. A format is f32x4 or f64x2, by the offset of its opcodes.

export interface Format {
  readonly bytes: 4 | 8;
  readonly op: (f32: number, f64: number) => number;
  /** the quiet bit, and the NaN that an operation without NaN operands makes */
  readonly quiet: readonly number[];
  readonly indefinite: readonly number[];
}

export const repeat = (bytes: readonly number[]): number[] =>
  Array.from({ length: 16 }, (_, k) => bytes[k % bytes.length]);
export const PS: Format = {
  bytes: 4,
  op: (f32) => f32,
  quiet: repeat([0, 0, 0x40, 0]),
  indefinite: repeat([0, 0, 0xc0, 0xff]),
};
export const PD: Format = {
  bytes: 8,
  op: (_, f64) => f64,
  quiet: repeat([0, 0, 0, 0, 0, 0, 8, 0]),
  indefinite: repeat([0, 0, 0, 0, 0, 0, 0xf8, 0xff]),
};

/** Leaves which elements of a temporary are NaN. */
function is_nan(e: Emitter, f: Format, v: number): void {
  e.c.get(v).get(v).simd(f.op(66, 72));
}

/**
 * Leaves the result r of an operation on a and b with the NaNs that SSE gives: the first operand's if it is one, else
 * the second's, made quiet; else the indefinite NaN.
 */
export function fix_nan(e: Emitter, f: Format, r: number, a: number, b: number): void {
  const c = e.c;
  is_nan(e, f, r);
  c.simd(83);
  c.if();
  c.get(a).v128(f.quiet).simd(80);
  if (a === b) {
    c.v128(f.indefinite);
  } else {
    c.get(b).v128(f.quiet).simd(80).v128(f.indefinite);
    is_nan(e, f, b);
    c.simd(82);
  }
  is_nan(e, f, a);
  c.simd(82).get(r);
  is_nan(e, f, r);
  c.simd(82).set(r).end();
  c.get(r);
}

export type FloatOp = (e: Emitter, f: Format, a: number, b: number) => void;

export const arithmetic =
  (f32: number, f64: number): FloatOp =>
  (e, f, a, b) => {
    const r = e.temp_v128();
    e.c.get(a).get(b).simd(f.op(f32, f64)).set(r);
    fix_nan(e, f, r, a, b);
  };
// The second operand is the result if the operands are zeros or any is NaN, which is pmin and pmax of them reversed.
const extreme =
  (f32: number, f64: number): FloatOp =>
  (e, f, a, b) =>
    e.c.get(b).get(a).simd(f.op(f32, f64));
const square_root: FloatOp = (e, f, _, b) => {
  const r = e.temp_v128();
  e.c.get(b).simd(f.op(227, 239)).set(r);
  fix_nan(e, f, r, b, b);
};
const ONE = { 4: repeat([0, 0, 0x80, 0x3f]), 8: repeat([0, 0, 0, 0, 0, 0, 0xf0, 0x3f]) };
const SIGNS = repeat([0, 0, 0, 0x80]);
const NEGATIVE_INFINITY = repeat([0, 0, 0x80, 0xff]);
const SMALLEST_NORMAL = repeat([0, 0, 0x80, 0]);
/** rcpps and rsqrtps, exact where the architecture allows an error of 1.5 * 2^-12. */
const reciprocal =
  (root: boolean): FloatOp =>
  (e, f, _, b) => {
    const r = e.temp_v128();
    e.c.v128(ONE[f.bytes]).get(b);
    if (root) e.c.simd(f.op(227, 239));
    e.c.simd(f.op(231, 243)).set(r);
    // a result too small for a normal number is zero with its sign
    if (!root) e.c.get(r).v128(SIGNS).simd(78).get(r).get(r).simd(224).v128(SMALLEST_NORMAL).simd(67).simd(82).set(r);
    fix_nan(e, f, r, b, b);
    // the root of a negative denormal is that of the negative zero
    if (root) {
      e.c.set(r).v128(NEGATIVE_INFINITY).get(r);
      e.c.get(b).v128(ZERO).simd(67).get(b).simd(224).v128(SMALLEST_NORMAL).simd(67).simd(78).simd(82);
    }
  };

/** The packed instruction, and the scalar one, which leaves the upper part of the destination. */
export function packed(f: Format, op: FloatOp): Translator {
  return binary_temps((e, a, b) => op(e, f, a, b));
}
export function scalar(f: Format, op: FloatOp): Translator {
  return (e, i) => {
    const b = vector_temp(e, i, 1);
    const a = e.temp_v128();
    e.xmm(dst(i)).c.set(a);
    op(e, f, a, b);
    merge_low(e, i, f.bytes);
  };
}

function float_family(name: string, op: FloatOp): Record<string, Translator> {
  return {
    [`${name}ps`]: packed(PS, op),
    [`${name}pd`]: packed(PD, op),
    [`${name}ss`]: scalar(PS, op),
    [`${name}sd`]: scalar(PD, op),
  };
}

/** haddps and its kind: neighbours are added, those of the destination first. */
function horizontal(f: Format, op: FloatOp): Translator {
  const even = f.bytes === 4 ? [0, 2, 4, 6] : [0, 2];
  return binary_temps((e, a, b) => {
    const x = e.temp_v128();
    const y = e.temp_v128();
    e.c.get(a).get(b);
    shuffle(e, lanes(f.bytes, ...even));
    e.c.set(x).get(a).get(b);
    shuffle(e, lanes(f.bytes, ...even.map((k) => k + 1)));
    e.c.set(y);
    op(e, f, x, y);
  });
}

/** addsubps, addsubpd: even elements are subtracted, odd ones added. */
function add_sub(f: Format): Translator {
  return binary_temps((e, a, b) => {
    arithmetic(229, 241)(e, f, a, b);
    arithmetic(228, 240)(e, f, a, b);
    shuffle(e, lanes(f.bytes, ...(f.bytes === 4 ? [0, 5, 2, 7] : [0, 3])));
  });
}

/** Elements of the source alone, as often as they are named. */
function duplicate(size: number, ...elements: number[]): Translator {
  return (e, i) => {
    const b = vector_temp(e, i, 1);
    e.c.get(b).get(b);
    shuffle(e, lanes(size, ...elements));
    result(e, i);
  };
}

/** eq lt le unord neq nlt nle ord */
function compare_elements(e: Emitter, f: Format, a: number, b: number, predicate: number): void {
  const c = e.c;
  if ((predicate & 3) === 3) {
    c.get(a).get(a).simd(f.op(65, 71)).get(b).get(b).simd(f.op(65, 71)).simd(78);
    if (predicate === 3) c.simd(77);
    return;
  }
  c.get(a)
    .get(b)
    .simd([f.op(65, 71), f.op(67, 73), f.op(69, 75)][predicate & 3]);
  if (predicate >= 4) c.simd(77);
}

function compare_packed(f: Format): Translator {
  return binary_temps((e, a, b, i) => compare_elements(e, f, a, b, imm(i, 2) & 7));
}
function compare_scalar(f: Format): Translator {
  return (e, i) => scalar(f, (e2, _, a, b) => compare_elements(e2, f, a, b, imm(i, 2) & 7))(e, i);
}

/** comiss, ucomiss and the double ones: CF less, ZF equal, all of CF ZF PF unordered. */
function compare_flags(f: Format): Translator {
  return (e, i) => {
    const c = e.c;
    const b = vector_temp(e, i, 1);
    const a = dst(i);
    const one = (v: () => void): void => {
      v();
      c.simd(f.op(31, 33), 0);
    };
    const left = (): void => one(() => e.xmm(a));
    const right = (): void => one(() => c.get(b));
    e.set_raw(() => {
      left();
      right();
      c.op(f.op(OP.f32_lt, OP.f64_lt));
      left();
      right();
      c.op(f.op(OP.f32_eq, OP.f64_eq)).i32(6).op(OP.i32_shl, OP.i32_or);
      left();
      left();
      c.op(f.op(OP.f32_ne, OP.f64_ne));
      right();
      right();
      c.op(f.op(OP.f32_ne, OP.f64_ne), OP.i32_or).i32(0).op(OP.i32_ne);
      const unordered = e.temp_i32();
      c.set(unordered)
        .i32(0)
        .get(unordered)
        .op(OP.i32_sub)
        .i32(CF | ZF | PF)
        .op(OP.i32_and, OP.i32_or);
    });
  };
}

// Conversions

function int_to_float(f: Format): Translator {
  return (e, i) => {
    const size = gpr(i, 1).size;
    const r = e.temp_v128();
    const t = e.temp(size);
    e.read(i.ops[1]).c.set(t);
    e.c.v128(ZERO).get(t);
    if (f.bytes === 4) e.c.op(size === 8 ? OP.f32_convert_i64_s : OP.f32_convert_i32_s).simd(32, 0);
    else e.c.op(size === 8 ? OP.f64_convert_i64_s : OP.f64_convert_i32_s).simd(34, 0);
    e.c.set(r).get(r);
    merge_low(e, i, f.bytes);
  };
}

/** cvtsd2si and its kind: 2^31 or 2^63 of both signs stands for what does not fit. */
function float_to_int(f: Format, truncate: boolean): Translator {
  return (e, i) => {
    const c = e.c;
    const size = gpr(i, 0).size;
    const v = e.temp_v128();
    vector(e, i.ops[1]);
    if (!truncate) c.simd(f.op(106, 148));
    c.set(v);
    const limit = e.temp_i32();
    // not below the limit, or NaN
    c.get(v).simd(f.op(31, 33), 0);
    if (f.bytes === 4) c.op(OP.f64_promote_f32);
    c.byte(0x44)
      .bytes(new Uint8Array(new Float64Array([2 ** (size * 8 - 1)]).buffer))
      .op(OP.f64_lt, OP.i32_eqz)
      .set(limit);
    if (size === 8) c.i64_halves(0, 0x80000000);
    else c.i32(0x80000000);
    c.get(v).simd(f.op(31, 33), 0);
    if (size === 8) c.sat(f.bytes === 4 ? 4 : 6);
    else c.sat(f.bytes === 4 ? 0 : 2);
    c.get(limit).op(OP.select);
    e.write_reg(gpr(i, 0));
  };
}

/** The integers of a vector of floats, with 2^31 of both signs for what does not fit; `op` converts, saturating. */
function floats_to_ints(f: Format, truncate: boolean): Translator {
  const limit = f.bytes === 4 ? repeat([0, 0, 0, 0x4f]) : repeat([0, 0, 0, 0, 0, 0, 0xe0, 0x41]);
  return (e, i) => {
    const c = e.c;
    const v = e.temp_v128();
    vector(e, i.ops[1]);
    if (!truncate) c.simd(f.op(106, 148));
    c.set(v);
    c.get(v)
      .simd(f.op(248, 252))
      .v128(repeat([0, 0, 0, 0x80]));
    // elements below the limit keep their integer; of doubles the mask is narrowed
    c.get(v).v128(limit).simd(f.op(67, 73));
    if (f.bytes === 8) {
      const t = e.temp_v128();
      c.tee(t).get(t);
      shuffle(e, lanes(4, 0, 2, 0, 2));
    }
    c.simd(82);
    if (f.bytes === 8) low_half(e);
    result(e, i);
  };
}

function convert(op: number): Translator {
  return (e, i) => {
    vector(e, i.ops[1]);
    e.c.simd(op);
    result(e, i);
  };
}

function convert_scalar(op: number, size: number): Translator {
  return (e, i) => {
    vector(e, i.ops[1]);
    e.c.simd(op);
    merge_low(e, i, size);
  };
}

const PACKED_INT: Readonly<Record<string, number>> = {
  paddb: 110,
  paddw: 142,
  paddd: 174,
  paddq: 206,
  psubb: 113,
  psubw: 145,
  psubd: 177,
  psubq: 209,
  paddsb: 111,
  paddsw: 143,
  paddusb: 112,
  paddusw: 144,
  psubsb: 114,
  psubsw: 146,
  psubusb: 115,
  psubusw: 147,
  pmullw: 149,
  pmaddwd: 186,
  pavgb: 123,
  pavgw: 155,
  pminub: 119,
  pmaxub: 121,
  pminsw: 150,
  pmaxsw: 152,
  pcmpeqb: 35,
  pcmpeqw: 45,
  pcmpeqd: 55,
  pcmpgtb: 39,
  pcmpgtw: 49,
  pcmpgtd: 59,
  pand: 78,
  por: 80,
  pxor: 81,
  packsswb: 101,
  packuswb: 102,
  packssdw: 133,
};

export const SSE: Readonly<Record<string, Translator>> = {
  ...Object.fromEntries(Object.entries(PACKED_INT).map(([name, op]) => [name, simd(op)])),
  pandn: and_not,
  pmulhw: multiply_high(188, 189),
  pmulhuw: multiply_high(190, 191),
  pmuludq: multiply_even,
  psadbw: sum_of_differences,
  punpcklbw: shuffled(interleave(1, false)),
  punpcklwd: shuffled(interleave(2, false)),
  punpckldq: shuffled(interleave(4, false)),
  punpcklqdq: shuffled(interleave(8, false)),
  punpckhbw: shuffled(interleave(1, true)),
  punpckhwd: shuffled(interleave(2, true)),
  punpckhdq: shuffled(interleave(4, true)),
  punpckhqdq: shuffled(interleave(8, true)),
  unpcklps: shuffled(interleave(4, false)),
  unpckhps: shuffled(interleave(4, true)),
  movhlps: shuffled(lanes(8, 3, 1)),
  movlhps: shuffled(lanes(8, 0, 2)),
  movlps: move_half(0),
  movhps: move_half(1),
  movups: move(false),
  movdqu: move(false),
  movaps: move(true),
  movdqa: move(true),
  movntps: move(true),
  movss: move_scalar,
  movsd: move_scalar,
  movq,
  movd,
  psrlw: shift_vector(16, 141, false),
  psrld: shift_vector(32, 173, false),
  psrlq: shift_vector(64, 205, false),
  psllw: shift_vector(16, 139, false),
  pslld: shift_vector(32, 171, false),
  psllq: shift_vector(64, 203, false),
  psraw: shift_vector(16, 140, true),
  psrad: shift_vector(32, 172, true),
  pslldq: shift_bytes,
  psrldq: shift_bytes,
  pshufd: pick(4, 0),
  pshuflw: pick(2, 0),
  pshufhw: pick(2, 4),
  shufps,
  shufpd,
  pinsrw,
  pmovmskb: bitmask(100),
  movmskps: bitmask(164),
  movmskpd: bitmask(196),
  ...float_family('add', arithmetic(228, 240)),
  ...float_family('sub', arithmetic(229, 241)),
  ...float_family('mul', arithmetic(230, 242)),
  ...float_family('div', arithmetic(231, 243)),
  ...float_family('min', extreme(234, 246)),
  ...float_family('max', extreme(235, 247)),
  haddps: horizontal(PS, arithmetic(228, 240)),
  haddpd: horizontal(PD, arithmetic(228, 240)),
  hsubps: horizontal(PS, arithmetic(229, 241)),
  hsubpd: horizontal(PD, arithmetic(229, 241)),
  addsubps: add_sub(PS),
  addsubpd: add_sub(PD),
  movsldup: duplicate(4, 0, 0, 2, 2),
  movshdup: duplicate(4, 1, 1, 3, 3),
  movddup: duplicate(8, 0, 0),
  ...float_family('sqrt', square_root),
  rcpps: packed(PS, reciprocal(false)),
  rcpss: scalar(PS, reciprocal(false)),
  rsqrtps: packed(PS, reciprocal(true)),
  rsqrtss: scalar(PS, reciprocal(true)),
  cmpps: compare_packed(PS),
  cmppd: compare_packed(PD),
  cmpss: compare_scalar(PS),
  cmpsd: compare_scalar(PD),
  comiss: compare_flags(PS),
  comisd: compare_flags(PD),
  cvtsi2ss: int_to_float(PS),
  cvtsi2sd: int_to_float(PD),
  cvtss2si: float_to_int(PS, false),
  cvtsd2si: float_to_int(PD, false),
  cvttss2si: float_to_int(PS, true),
  cvttsd2si: float_to_int(PD, true),
  cvtps2dq: floats_to_ints(PS, false),
  cvttps2dq: floats_to_ints(PS, true),
  cvtpd2dq: floats_to_ints(PD, false),
  cvttpd2dq: floats_to_ints(PD, true),
  cvtdq2ps: convert(250),
  cvtdq2pd: convert(254),
  cvtps2pd: convert(95),
  cvtpd2ps: convert(94),
  cvtss2sd: convert_scalar(95, 8),
  cvtsd2ss: convert_scalar(94, 4),
};
