// SPDX-License-Identifier: GPL-2.0-only
// Translates shifts and rotates. NON-KERNEL throughout.

import type { Insn, Operand } from '../insn.ts';
import { OP } from '../wasm.ts';
import { CF, type Emitter, KIND, OF, STATUS } from './emitter.ts';
import type { Translator } from './integer.ts';

// Shifts and rotates work on i64: a value of at most 32 bits has room for what leaves it. The count is an i64 in a
// temporary, masked to 5 bits (6 for 64-bit operands); a count of zero changes no flags.

/** A shift in progress. Locals: a the old value and r the new one (i64, zero-extended), n the count. */
interface Shift {
  readonly e: Emitter;
  readonly bits: number;
  readonly a: number;
  readonly n: number;
  readonly r: number;
}

/** Leaves bit `at` of an i64 local as an i32. */
function bit(s: Shift, local: number, at: number): void {
  s.e.c.get(local).i64(at).op(OP.i64_shr_u, OP.i32_wrap_i64).i32(1).op(OP.i32_and);
}

function mask(s: Shift): void {
  if (s.bits < 64) s.e.c.i64(2 ** s.bits - 1).op(OP.i64_and);
}

/** Joins carry and overflow bits in temporaries to CF | OF. */
function join(s: Shift, cf: number, of: number): void {
  s.e.c.get(cf).get(of).i32(11).op(OP.i32_shl, OP.i32_or);
}

/** Sets the flags if the count is not zero; `known_count` is an immediate's, or -1. */
function when_counted(s: Shift, known_count: number, set: () => void): void {
  const { e } = s;
  if (known_count === 0 || !e.flags_live) return;
  if (known_count > 0) {
    set();
    return;
  }
  const before = e.known;
  e.c.get(s.n).op(OP.i64_eqz, OP.i32_eqz);
  e.c.if();
  set();
  e.c.end();
  if (before?.kind !== e.known?.kind || before?.size !== e.known?.size) e.known = null;
}

function emit_count(e: Emitter, o: Operand, bits: number, n: number): number {
  const m = bits === 64 ? 63 : 31;
  if (o.kind === 'imm') {
    e.c.i64(o.value & m).set(n);
    return o.value & m;
  }
  e.gpr(1).c.i64(m).op(OP.i64_and).set(n);
  return -1;
}

/** Runs a shift of operand 0: `compute` sets r from a and n, `flags` sets the flags of a count that is not zero. */
function shift_operand(
  e: Emitter,
  i: Insn,
  count: Operand,
  compute: (s: Shift) => void,
  flags: (s: Shift) => void,
): void {
  const c = e.c;
  const s: Shift = { e, bits: i.size * 8, a: e.temp_i64(), n: e.temp_i64(), r: e.temp_i64() };
  const known_count = emit_count(e, count, s.bits, s.n);
  e.modify(i.ops[0], (old) => {
    c.get(old);
    e.to_i64(i.size).c.set(s.a);
    compute(s);
    if (i.size === 8) return s.r;
    c.get(s.r).op(OP.i32_wrap_i64).set(old);
    return old;
  });
  when_counted(s, known_count, () => flags(s));
}

/** ZF, SF and PF of the result, with CF and OF from temporaries. */
function result_flags(s: Shift, cf: number, of: number): void {
  const { e, bits } = s;
  let r = s.r;
  if (bits !== 64) {
    r = e.temp_i32();
    e.c.get(s.r).op(OP.i32_wrap_i64).set(r);
  }
  e.set_result(KIND.RES, bits / 8, r, () => join(s, cf, of));
}

/** CF and OF from temporaries; the other flags stay. */
function carry_flags(s: Shift, cf: number, of: number): void {
  s.e.set_raw(() => {
    s.e
      .all_flags()
      .c.i32(STATUS & ~(CF | OF))
      .op(OP.i32_and);
    join(s, cf, of);
    s.e.c.op(OP.i32_or);
  });
}

function shift(e: Emitter, i: Insn): void {
  const c = e.c;
  const name = i.name;
  const compute = (s: Shift): void => {
    if (name === 'shl') {
      c.get(s.a).get(s.n).op(OP.i64_shl);
      mask(s);
    } else if (name === 'shr') {
      c.get(s.a).get(s.n).op(OP.i64_shr_u);
    } else {
      if (s.bits < 64)
        c.get(s.a)
          .op(s.bits === 8 ? OP.i64_extend8_s : s.bits === 16 ? OP.i64_extend16_s : OP.i64_extend32_s)
          .set(s.a);
      c.get(s.a).get(s.n).op(OP.i64_shr_s);
      mask(s);
    }
    c.set(s.r);
  };
  const flags = (s: Shift): void => {
    const cf = e.temp_i32();
    const of = e.temp_i32();
    if (name === 'shl') {
      // The bit that left last; of a 64-bit operand the shift by 64 - n finds it.
      if (s.bits === 64) c.get(s.a).i64(64).get(s.n).op(OP.i64_sub, OP.i64_shr_u);
      else c.get(s.a).get(s.n).op(OP.i64_shl).i64(s.bits).op(OP.i64_shr_u);
    } else {
      c.get(s.a)
        .get(s.n)
        .i64(1)
        .op(OP.i64_sub, name === 'sar' ? OP.i64_shr_s : OP.i64_shr_u);
    }
    c.op(OP.i32_wrap_i64).i32(1).op(OP.i32_and).set(cf);
    if (name === 'shl') {
      bit(s, s.r, s.bits - 1);
      c.get(cf).op(OP.i32_xor);
    } else if (name === 'shr') {
      bit(s, s.a, s.bits - 1);
    } else {
      c.i32(0);
    }
    c.set(of);
    result_flags(s, cf, of);
  };
  shift_operand(e, i, i.ops[1], compute, flags);
}

function rotate(e: Emitter, i: Insn): void {
  const c = e.c;
  const left = i.name === 'rol';
  const compute = (s: Shift): void => {
    if (s.bits === 64) {
      c.get(s.a)
        .get(s.n)
        .op(left ? OP.i64_rotl : OP.i64_rotr)
        .set(s.r);
      return;
    }
    const n = e.temp_i64();
    c.get(s.n)
      .i64(s.bits - 1)
      .op(OP.i64_and)
      .set(n);
    c.get(s.a)
      .get(n)
      .op(left ? OP.i64_shl : OP.i64_shr_u);
    c.get(s.a)
      .i64(s.bits)
      .get(n)
      .op(OP.i64_sub, left ? OP.i64_shr_u : OP.i64_shl, OP.i64_or);
    mask(s);
    c.set(s.r);
  };
  const flags = (s: Shift): void => {
    const cf = e.temp_i32();
    const of = e.temp_i32();
    bit(s, s.r, left ? 0 : s.bits - 1);
    c.set(cf);
    bit(s, s.r, left ? s.bits - 1 : s.bits - 2);
    c.get(cf).op(OP.i32_xor).set(of);
    carry_flags(s, cf, of);
  };
  shift_operand(e, i, i.ops[1], compute, flags);
}

/** rcl and rcr: operands of 8 and 16 bits rotate modulo 9 and 17. */
function rotate_carry(e: Emitter, i: Insn): void {
  const c = e.c;
  const left = i.name === 'rcl';
  const carry = e.temp_i64();
  const cf = e.temp_i32();
  e.carry().c.op(OP.i64_extend_i32_u).set(carry);
  const compute64 = (s: Shift): void => {
    c.get(s.n).op(OP.i64_eqz);
    c.if();
    c.get(s.a).set(s.r).else();
    const [out, back] = left ? [OP.i64_shl, OP.i64_shr_u] : [OP.i64_shr_u, OP.i64_shl];
    c.get(s.a).get(s.n).op(out);
    c.get(s.a).i64(1).op(back).i64(64).get(s.n).op(OP.i64_sub, back, OP.i64_or);
    c.get(carry);
    if (left) c.get(s.n).i64(1).op(OP.i64_sub);
    else c.i64(64).get(s.n).op(OP.i64_sub);
    c.op(OP.i64_shl, OP.i64_or).set(s.r);
    c.get(s.a);
    if (left) c.i64(64).get(s.n).op(OP.i64_sub);
    else c.get(s.n).i64(1).op(OP.i64_sub);
    c.op(OP.i64_shr_u, OP.i32_wrap_i64).i32(1).op(OP.i32_and).set(cf);
    c.end();
  };
  const compute = (s: Shift): void => {
    if (s.bits === 64) {
      compute64(s);
      return;
    }
    const width = s.bits + 1;
    const n = e.temp_i64();
    const v = e.temp_i64();
    c.get(s.n);
    if (s.bits < 32) c.i64(width).op(OP.i64_rem_u);
    c.set(n);
    c.get(s.a).get(carry).i64(s.bits).op(OP.i64_shl, OP.i64_or).set(v);
    c.get(v)
      .get(n)
      .op(left ? OP.i64_shl : OP.i64_shr_u);
    c.get(v)
      .i64(width)
      .get(n)
      .op(OP.i64_sub, left ? OP.i64_shr_u : OP.i64_shl, OP.i64_or)
      .set(v);
    c.get(v).i64(s.bits).op(OP.i64_shr_u, OP.i32_wrap_i64).i32(1).op(OP.i32_and).set(cf);
    c.get(v);
    mask(s);
    c.set(s.r);
  };
  const flags = (s: Shift): void => {
    const of = e.temp_i32();
    bit(s, s.r, s.bits - 1);
    if (left) {
      c.get(cf).op(OP.i32_xor);
    } else {
      bit(s, s.r, s.bits - 2);
      c.op(OP.i32_xor);
    }
    c.set(of);
    carry_flags(s, cf, of);
  };
  shift_operand(e, i, i.ops[1], compute, flags);
}

/** shld and shrd; of 16-bit operands counts above 16 are undefined. */
function double_shift(e: Emitter, i: Insn): void {
  const c = e.c;
  const left = i.name === 'shld';
  const b = e.temp_i64();
  e.read(i.ops[1]).to_i64(i.size).c.set(b);
  const compute = (s: Shift): void => {
    if (s.bits === 64) {
      c.get(s.n).op(OP.i64_eqz);
      c.if();
      c.get(s.a).set(s.r).else();
      c.get(s.a)
        .get(s.n)
        .op(left ? OP.i64_shl : OP.i64_shr_u);
      c.get(b)
        .i64(64)
        .get(s.n)
        .op(OP.i64_sub, left ? OP.i64_shr_u : OP.i64_shl, OP.i64_or)
        .set(s.r);
      c.end();
      return;
    }
    const [high, low] = left ? [s.a, b] : [b, s.a];
    c.get(high).i64(s.bits).op(OP.i64_shl).get(low).op(OP.i64_or).get(s.n);
    if (left) c.op(OP.i64_shl).i64(s.bits);
    c.op(OP.i64_shr_u);
    mask(s);
    c.set(s.r);
  };
  const flags = (s: Shift): void => {
    const cf = e.temp_i32();
    const of = e.temp_i32();
    c.get(s.a);
    if (left) c.i64(s.bits).get(s.n).op(OP.i64_sub);
    else c.get(s.n).i64(1).op(OP.i64_sub);
    c.op(OP.i64_shr_u, OP.i32_wrap_i64).i32(1).op(OP.i32_and).set(cf);
    bit(s, s.a, s.bits - 1);
    bit(s, s.r, s.bits - 1);
    c.op(OP.i32_xor).set(of);
    result_flags(s, cf, of);
  };
  shift_operand(e, i, i.ops[2], compute, flags);
}

export const SHIFT: Readonly<Record<string, Translator>> = {
  shl: shift,
  shr: shift,
  sar: shift,
  rol: rotate,
  ror: rotate,
  rcl: rotate_carry,
  rcr: rotate_carry,
  shld: double_shift,
  shrd: double_shift,
};
