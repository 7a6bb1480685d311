// SPDX-License-Identifier: GPL-2.0-only
// Translates SSSE3 and SSE4. NON-KERNEL throughout.

import type { Operand } from '../insn.ts';
import { OP } from '../wasm.ts';
import { CF, type Emitter, ZF } from './emitter.ts';
import type { Translator } from './integer.ts';
import {
  arithmetic,
  binary,
  binary_temps,
  dst,
  fix_nan,
  type FloatOp,
  type Format,
  gpr,
  imm,
  lanes,
  packed,
  PD,
  PS,
  repeat,
  result,
  scalar,
  shuffle,
  simd,
  vector,
} from './sse.ts';

const ZERO = new Uint8Array(16);

const pshufb = binary_temps((e, a, b) => {
  // an index with bit 7 is out of range, which gives zero
  e.c
    .get(a)
    .get(b)
    .v128(repeat([0x8f]))
    .simd(78)
    .simd(14);
});

/** phaddw and its kind: an operation on neighbours. */
function horizontal(size: number, op: number): Translator {
  const even = Array.from({ length: 16 / size }, (_, k) => k * 2);
  return binary_temps((e, a, b) => {
    e.c.get(a).get(b);
    shuffle(e, lanes(size, ...even));
    e.c.get(a).get(b);
    shuffle(e, lanes(size, ...even.map((k) => k + 1)));
    e.c.simd(op);
  });
}

/** Unsigned bytes of the destination times signed ones of the source, neighbours added. */
const pmaddubsw = binary_temps((e, a, b) => {
  const c = e.c;
  c.get(a)
    .v128(repeat([0xff, 0]))
    .simd(78)
    .get(b)
    .i32(8)
    .simd(139)
    .i32(8)
    .simd(140)
    .simd(149);
  c.get(a).i32(8).simd(141).get(b).i32(8).simd(140).simd(149).simd(143);
});

/** The destination with the sign of the source's elements, or zero. `shift` is shr_s, `sub` and `eq` of the size. */
function sign(width: number, shift: number, sub: number, eq: number): Translator {
  return binary_temps((e, a, b) => {
    const negative = e.temp_v128();
    e.c
      .get(b)
      .i32(width - 1)
      .simd(shift)
      .set(negative);
    e.c.get(a).get(negative).simd(81).get(negative).simd(sub).get(b).v128(ZERO).simd(eq).simd(79);
  });
}

const pmulhrsw = binary_temps((e, a, b) => {
  // -1 times -1 does not saturate
  const lowest = repeat([0, 0x80]);
  e.c.get(a).get(b).simd(130).get(a).v128(lowest).simd(45).get(b).v128(lowest).simd(45).simd(78).simd(81);
});

/** Elements of the source where the sign of xmm0's is set. */
function blend_variable(width: number, shift: number): Translator {
  return binary_temps((e, a, b) => {
    e.c.get(b).get(a);
    e.xmm(0)
      .c.i32(width - 1)
      .simd(shift)
      .simd(82);
  });
}

/** Elements of the source where the immediate has a bit. */
function blend(size: number): Translator {
  const n = 16 / size;
  return binary((e, i) => {
    shuffle(e, lanes(size, ...Array.from({ length: n }, (_, k) => ((imm(i, 2) >> k) & 1 ? n + k : k))));
  });
}

function ptest(e: Emitter, i: Parameters<Translator>[1]): void {
  const c = e.c;
  const b = e.temp_v128();
  vector(e, i.ops[1]);
  c.set(b);
  e.set_raw(() => {
    e.xmm(dst(i)).c.get(b).simd(78).simd(83).op(OP.i32_eqz).i32(Math.log2(ZF)).op(OP.i32_shl);
    c.get(b);
    e.xmm(dst(i)).c.simd(79).simd(83).op(OP.i32_eqz).i32(CF).op(OP.i32_mul, OP.i32_or);
  });
}

/** A function of the source alone, by SIMD instructions one after the other. */
function unary(...ops: number[]): Translator {
  return (e, i) => {
    vector(e, i.ops[1], false);
    for (const op of ops) e.c.simd(op);
    result(e, i);
  };
}

function aligned_unary(op: number): Translator {
  return (e, i) => {
    vector(e, i.ops[1]);
    e.c.simd(op);
    result(e, i);
  };
}

const pmuldq = binary_temps((e, a, b) => {
  for (const v of [a, b]) {
    e.c.get(v).get(v);
    shuffle(e, lanes(4, 0, 2, 0, 2));
  }
  e.c.simd(220);
});

const palignr = binary_temps((e, a, b, i) => {
  const n = imm(i, 2);
  if (n >= 32) e.c.v128(ZERO);
  else if (n >= 16) {
    e.c.get(a).v128(ZERO);
    shuffle(
      e,
      Array.from({ length: 16 }, (_, k) => Math.min(n - 16 + k, 16)),
    );
  } else {
    e.c.get(b).get(a);
    shuffle(
      e,
      Array.from({ length: 16 }, (_, k) => n + k),
    );
  }
});

/** Rounds by the immediate: to nearest (MXCSR has no other mode), down, up, towards zero. */
const round =
  (mode: number): FloatOp =>
  (e, f, _, b) => {
    const r = e.temp_v128();
    const ops = [f.op(106, 148), f.op(104, 117), f.op(103, 116), f.op(105, 122)];
    e.c
      .get(b)
      .simd(mode & 4 ? ops[0] : ops[mode & 3])
      .set(r);
    fix_nan(e, f, r, b, b);
  };
const round_packed =
  (f: Format): Translator =>
  (e, i) =>
    packed(f, round(imm(i, 2)))(e, i);
const round_scalar =
  (f: Format): Translator =>
  (e, i) =>
    scalar(f, round(imm(i, 2)))(e, i);

/** The product of the elements that the immediate's high bits name, in the elements that its low bits name. */
function dot_product(f: Format): Translator {
  const n = 16 / f.bytes;
  return binary_temps((e, a, b, i) => {
    const c = e.c;
    const mask = (bits: number): number[] =>
      lanes(f.bytes, ...Array.from({ length: n }, (_, k) => ((bits >> k) & 1 ? k : n)));
    let sum = e.temp_v128();
    arithmetic(230, 242)(e, f, a, b);
    c.v128(ZERO);
    shuffle(e, mask(imm(i, 2) >> 4));
    c.set(sum);
    // pairs, then pairs of pairs
    for (let step = 1; step < n; step *= 2) {
      const other = e.temp_v128();
      const first = e.temp_v128();
      const next = e.temp_v128();
      c.get(sum).get(sum);
      shuffle(e, lanes(f.bytes, ...Array.from({ length: n }, (_, k) => k & ~step)));
      c.set(first).get(sum).get(sum);
      shuffle(e, lanes(f.bytes, ...Array.from({ length: n }, (_, k) => k | step)));
      c.set(other);
      arithmetic(228, 240)(e, f, first, other);
      c.set(next);
      sum = next;
    }
    c.get(sum).v128(ZERO);
    shuffle(e, mask(imm(i, 2)));
  });
}

/** pinsrb, pinsrd, pinsrq */
function insert(e: Emitter, i: Parameters<Translator>[1]): void {
  const from = i.ops[1] as Operand & { size: number };
  const size = i.name === 'pinsrb' ? 1 : from.size;
  const t = e.temp(size);
  e.read(from).c.set(t);
  const lane = imm(i, 2) & (16 / size - 1);
  e.xmm(dst(i))
    .c.get(t)
    .simd(size === 1 ? 23 : size === 4 ? 28 : 30, lane);
  result(e, i);
}

/** pextrb, pextrw to memory, pextrd, pextrq */
function extract(e: Emitter, i: Parameters<Translator>[1]): void {
  const to = i.ops[0] as Operand & { size: number };
  const size = i.name === 'pextrb' ? 1 : i.name === 'pextrw' ? 2 : to.size;
  const t = e.temp(size);
  vector(e, i.ops[1]);
  e.c.simd({ 1: 22, 2: 25, 4: 27, 8: 29 }[size] as number, imm(i, 2) & (16 / size - 1)).set(t);
  if (to.kind === 'mem') e.store_at(e.address(to), size, t, e.is_stack(to));
  else {
    e.c.get(t);
    e.write_reg(gpr(i, 0));
  }
}

function insertps(e: Emitter, i: Parameters<Translator>[1]): void {
  const n = imm(i, 2);
  const from = i.ops[1].kind === 'mem' ? 0 : n >> 6;
  const t = e.temp_v128();
  vector(e, i.ops[1]);
  e.c.set(t);
  e.xmm(dst(i)).c.get(t);
  shuffle(e, lanes(4, ...[0, 1, 2, 3].map((k) => (k === ((n >> 4) & 3) ? 4 + from : k))));
  e.c.v128(ZERO);
  shuffle(e, lanes(4, ...[0, 1, 2, 3].map((k) => ((n >> k) & 1 ? 4 : k))));
  result(e, i);
}

export const SSE4: Readonly<Record<string, Translator>> = {
  pshufb,
  phaddw: horizontal(2, 142),
  phaddd: horizontal(4, 174),
  phaddsw: horizontal(2, 143),
  phsubw: horizontal(2, 145),
  phsubd: horizontal(4, 177),
  phsubsw: horizontal(2, 146),
  pmaddubsw,
  psignb: sign(8, 108, 113, 35),
  psignw: sign(16, 140, 145, 45),
  psignd: sign(32, 172, 177, 55),
  pmulhrsw,
  pblendvb: blend_variable(8, 108),
  blendvps: blend_variable(32, 172),
  blendvpd: blend_variable(64, 204),
  ptest,
  pabsb: aligned_unary(96),
  pabsw: aligned_unary(128),
  pabsd: aligned_unary(160),
  pmovsxbw: unary(135),
  pmovsxbd: unary(135, 167),
  pmovsxbq: unary(135, 167, 199),
  pmovsxwd: unary(167),
  pmovsxwq: unary(167, 199),
  pmovsxdq: unary(199),
  pmovzxbw: unary(137),
  pmovzxbd: unary(137, 169),
  pmovzxbq: unary(137, 169, 201),
  pmovzxwd: unary(169),
  pmovzxwq: unary(169, 201),
  pmovzxdq: unary(201),
  pmuldq,
  pcmpeqq: simd(214),
  pcmpgtq: simd(217),
  packusdw: simd(134),
  pminsb: simd(118),
  pminsd: simd(182),
  pminuw: simd(151),
  pminud: simd(183),
  pmaxsb: simd(120),
  pmaxsd: simd(184),
  pmaxuw: simd(153),
  pmaxud: simd(185),
  pmulld: simd(181),
  roundps: round_packed(PS),
  roundpd: round_packed(PD),
  roundss: round_scalar(PS),
  roundsd: round_scalar(PD),
  blendps: blend(4),
  blendpd: blend(8),
  pblendw: blend(2),
  palignr,
  pextrb: extract,
  pextrw: extract,
  pextrd: extract,
  pinsrb: insert,
  insertps,
  pinsrd: insert,
  dpps: dot_product(PS),
  dppd: dot_product(PD),
};
