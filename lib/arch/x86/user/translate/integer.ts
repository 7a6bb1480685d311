// SPDX-License-Identifier: GPL-2.0-only
// Translates integer instructions. NON-KERNEL throughout.

import type { Insn, MemOperand, Operand, RegOperand } from '../insn.ts';
import { CTX, EXIT } from '../layout.ts';
import { MEM, OP } from '../wasm.ts';
import { AF, CF, DF, type Emitter, FN, KIND, type Kind, OF, PF, SF, STATUS, ZF } from './emitter.ts';

export type Translator = (e: Emitter, i: Insn) => void;

const op = (i: Insn, n: number): Operand => i.ops[n];
const reg = (i: Insn, n: number): RegOperand => i.ops[n] as RegOperand;
const mem = (i: Insn, n: number): MemOperand => i.ops[n] as MemOperand;

/** The source operand in a temporary of the instruction's size. */
function source(e: Emitter, i: Insn, n: number): number {
  const t = e.temp(i.size);
  e.read(op(i, n)).c.set(t);
  return t;
}

const ALU_OPS: Readonly<Record<string, readonly [number, number, Kind]>> = {
  add: [OP.i32_add, OP.i64_add, KIND.ADD],
  sub: [OP.i32_sub, OP.i64_sub, KIND.SUB],
  cmp: [OP.i32_sub, OP.i64_sub, KIND.SUB],
  and: [OP.i32_and, OP.i64_and, KIND.LOGIC],
  test: [OP.i32_and, OP.i64_and, KIND.LOGIC],
  or: [OP.i32_or, OP.i64_or, KIND.LOGIC],
  xor: [OP.i32_xor, OP.i64_xor, KIND.LOGIC],
};

function set_alu_flags(e: Emitter, kind: Kind, size: number, a: number, b: number, r: number): void {
  if (kind === KIND.LOGIC) e.set_logic(size, r);
  else e.set_arith(kind, size, a, b, r);
}

function alu(e: Emitter, i: Insn): void {
  const [o32, o64, kind] = ALU_OPS[i.name];
  const b = source(e, i, 1);
  const r = e.temp(i.size);
  let a = -1;
  e.modify(op(i, 0), (old) => {
    a = old;
    e.c.get(a).get(b);
    e.sized(i.size, o32, o64).clean(i.size).c.set(r);
    return r;
  });
  set_alu_flags(e, kind, i.size, a, b, r);
}

function compare(e: Emitter, i: Insn): void {
  const [o32, o64, kind] = ALU_OPS[i.name];
  const a = source(e, i, 0);
  const b = source(e, i, 1);
  if (!e.flags_live) return;
  const r = e.temp(i.size);
  e.c.get(a).get(b);
  e.sized(i.size, o32, o64).clean(i.size).c.set(r);
  set_alu_flags(e, kind, i.size, a, b, r);
}

function with_carry(e: Emitter, i: Insn): void {
  const add = i.name === 'adc';
  const b = source(e, i, 1);
  const carry = e.temp(i.size);
  const r = e.temp(i.size);
  e.carry();
  if (i.size === 8) e.c.op(OP.i64_extend_i32_u);
  e.c.set(carry);
  let a = -1;
  e.modify(op(i, 0), (old) => {
    a = old;
    const [o32, o64] = add ? [OP.i32_add, OP.i64_add] : [OP.i32_sub, OP.i64_sub];
    e.c.get(a).get(b);
    e.sized(i.size, o32, o64).c.get(carry);
    e.sized(i.size, o32, o64).clean(i.size).c.set(r);
    return r;
  });
  e.set_arith(add ? KIND.ADD : KIND.SBB, i.size, a, b, r);
}

function inc_dec(e: Emitter, i: Insn): void {
  const r = e.temp(i.size);
  e.modify(op(i, 0), (old) => {
    e.c.get(old);
    e.constant(i.size, 1);
    if (i.name === 'inc') e.sized(i.size, OP.i32_add, OP.i64_add);
    else e.sized(i.size, OP.i32_sub, OP.i64_sub);
    e.clean(i.size).c.set(r);
    return r;
  });
  e.set_result(i.name === 'inc' ? KIND.INC : KIND.DEC, i.size, r, () => e.carry());
}

function neg(e: Emitter, i: Insn): void {
  const zero = e.temp(i.size);
  const r = e.temp(i.size);
  e.constant(i.size, 0).c.set(zero);
  let a = -1;
  e.modify(op(i, 0), (old) => {
    a = old;
    e.c.get(zero).get(a);
    e.sized(i.size, OP.i32_sub, OP.i64_sub).clean(i.size).c.set(r);
    return r;
  });
  e.set_arith(KIND.SUB, i.size, zero, a, r);
}

function not(e: Emitter, i: Insn): void {
  e.modify(op(i, 0), (old) => {
    e.c.get(old);
    e.constant(i.size, -1).sized(i.size, OP.i32_xor, OP.i64_xor).c.set(old);
    return old;
  });
}

function mov(e: Emitter, i: Insn): void {
  e.write(op(i, 0), source(e, i, 1));
}

function movzx(e: Emitter, i: Insn): void {
  e.read(op(i, 1));
  if (i.size === 8) e.c.op(OP.i64_extend_i32_u);
  e.write_reg(reg(i, 0));
}

function movsx(e: Emitter, i: Insn): void {
  const src = op(i, 1);
  const size = src.kind === 'reg' || src.kind === 'mem' ? src.size : 4;
  e.read(src).sign_extend(size);
  if (i.size === 8) e.c.op(OP.i64_extend_i32_s);
  else e.clean(i.size);
  e.write_reg(reg(i, 0));
}

function lea(e: Emitter, i: Insn): void {
  e.ea({ ...mem(i, 1), segment: null });
  if (i.size !== 8) e.c.op(OP.i32_wrap_i64);
  if (i.size === 2) e.clean(2);
  e.write_reg(reg(i, 0));
}

function xchg(e: Emitter, i: Insn): void {
  const dst = op(i, 0);
  const b = source(e, i, 1);
  const a = e.temp(i.size);
  e.modify(dst, (old) => {
    e.c.get(old).set(a);
    return b;
  });
  e.c.get(a);
  e.write_reg(reg(i, 1));
}

function xadd(e: Emitter, i: Insn): void {
  const dst = op(i, 0);
  const b = source(e, i, 1);
  const a = e.temp(i.size);
  const r = e.temp(i.size);
  const add = (old: number): number => {
    e.c.get(old).tee(a).get(b);
    e.sized(i.size, OP.i32_add, OP.i64_add).clean(i.size).c.set(r);
    return r;
  };
  if (dst.kind === 'reg') {
    // of one register twice the sum stays
    e.read_reg(dst).c.set(a);
    add(a);
    e.c.get(a);
    e.write_reg(reg(i, 1)).c.get(r);
    e.write_reg(dst);
  } else {
    e.modify(dst, add);
    e.c.get(a);
    e.write_reg(reg(i, 1));
  }
  e.set_arith(KIND.ADD, i.size, a, b, r);
}

function cmpxchg(e: Emitter, i: Insn): void {
  const size = i.size;
  const acc = e.temp(size);
  const b = source(e, i, 1);
  const value = e.temp(size);
  const r = e.temp(size);
  const a = e.temp(size);
  const equal = e.temp_i32();
  e.get_reg(0, size).c.set(acc);
  const dst = op(i, 0);
  if (dst.kind === 'reg') {
    // a register that differs keeps its upper half too
    e.read_reg(dst).c.tee(a).get(acc);
    e.sized(size, OP.i32_eq, OP.i64_eq).c.tee(equal);
    e.c.if();
    e.c.get(b);
    e.write_reg(dst).c.end();
  } else {
    e.modify(dst, (old) => {
      e.c.get(old).tee(a).get(acc);
      e.sized(size, OP.i32_eq, OP.i64_eq).c.set(equal);
      e.c.get(b).get(a).get(equal).op(OP.select).set(value);
      return value;
    });
  }
  e.c.get(equal).op(OP.i32_eqz);
  e.c.if();
  e.c.get(a);
  e.set_reg(0, size).c.end();
  e.c.get(acc).get(a);
  e.sized(size, OP.i32_sub, OP.i64_sub).clean(size).c.set(r);
  e.set_arith(KIND.SUB, size, acc, a, r);
}

/** Changes the flags of `mask` to what `bits` leaves; the others stay. */
function set_some(e: Emitter, mask: number, bits: () => void): void {
  e.set_raw(() => {
    e.all_flags()
      .c.i32(STATUS & ~mask)
      .op(OP.i32_and);
    bits();
    e.c.op(OP.i32_or);
  });
}

function cmpxchg8b(e: Emitter, i: Insn): void {
  const c = e.c;
  const expected = e.temp_i64();
  const desired = e.temp_i64();
  const value = e.temp_i64();
  const equal = e.temp_i32();
  const pair = (hi: number, lo: number, to: number): void => {
    e.gpr(hi).c.i64(32).op(OP.i64_shl);
    e.gpr(lo).c.i64(0xffffffff).op(OP.i64_and, OP.i64_or).set(to);
  };
  pair(2, 0, expected);
  pair(1, 3, desired);
  const old64 = e.temp_i64();
  e.modify(op(i, 0), (old) => {
    c.get(old).tee(old64).get(expected).op(OP.i64_eq).set(equal);
    c.get(desired).get(old).get(equal).op(OP.select).set(value);
    return value;
  });
  c.get(equal).op(OP.i32_eqz);
  c.if();
  c.get(old64).i64(0xffffffff).op(OP.i64_and);
  e.set_gpr(0).c.get(old64).i64(32).op(OP.i64_shr_u);
  e.set_gpr(2).c.end();
  set_some(e, ZF, () => c.get(equal).i32(6).op(OP.i32_shl));
}

function bswap(e: Emitter, i: Insn): void {
  const c = e.c;
  const t = e.temp(i.size);
  e.read_reg(reg(i, 0)).c.set(t);
  if (i.size === 2) {
    c.i32(0);
  } else if (i.size === 4) {
    c.get(t).i32(8).op(OP.i32_rotl).i32(0x00ff00ff).op(OP.i32_and);
    c.get(t)
      .i32(8)
      .op(OP.i32_rotr)
      .i32(0xff00ff00 | 0)
      .op(OP.i32_and, OP.i32_or);
  } else {
    // bytes, pairs, halves
    for (const [shift, lo, hi] of [
      [8, 0x00ff00ff, 0x00ff00ff],
      [16, 0x0000ffff, 0x0000ffff],
    ] as const) {
      c.get(t).i64(shift).op(OP.i64_shr_u).i64_halves(lo, hi).op(OP.i64_and);
      c.get(t).i64_halves(lo, hi).op(OP.i64_and).i64(shift).op(OP.i64_shl, OP.i64_or).set(t);
    }
    c.get(t).i64(32).op(OP.i64_rotl);
  }
  e.write_reg(reg(i, 0));
}

function cbw(e: Emitter, i: Insn): void {
  e.get_reg(0, i.size / 2).sign_extend(i.size / 2);
  if (i.size === 8) e.c.op(OP.i64_extend_i32_s);
  else e.clean(i.size);
  e.set_reg(0, i.size);
}

function cwd(e: Emitter, i: Insn): void {
  e.get_reg(0, i.size).sign_extend(i.size);
  e.constant(i.size === 8 ? 8 : 4, i.size === 8 ? 63 : 31)
    .sized(i.size, OP.i32_shr_s, OP.i64_shr_s)
    .clean(i.size);
  e.set_reg(2, i.size);
}

function setcc(e: Emitter, i: Insn): void {
  const t = e.temp_i32();
  e.condition(i.cc).c.i32(0).op(OP.i32_ne).set(t);
  e.write(op(i, 0), t);
}

function cmovcc(e: Emitter, i: Insn): void {
  const b = source(e, i, 1);
  e.c.get(b);
  e.read_reg(reg(i, 0)).condition(i.cc).c.op(OP.select);
  e.write_reg(reg(i, 0));
}

function push(e: Emitter, i: Insn): void {
  const o = op(i, 0);
  const size = o.kind === 'imm' ? i.size : (o as RegOperand).size;
  const t = e.temp(size);
  e.read(o, size).c.set(t);
  e.push(size, t);
}

function pop(e: Emitter, i: Insn): void {
  const c = e.c;
  const sp = e.temp_i64();
  const value = e.temp(i.size);
  e.gpr(4).c.set(sp);
  e.load_at(sp, i.size, true).c.set(value);
  const dst = op(i, 0);
  c.get(sp).i64(i.size).op(OP.i64_add);
  if (dst.kind === 'reg') {
    e.set_gpr(4).c.get(value);
    e.write_reg(dst);
    return;
  }
  // The address is computed with rsp as it will be, and rsp changes when the store is done.
  const m = dst as MemOperand;
  c.set(sp);
  const ea = e.temp_i64();
  e.ea(m.base === 4 ? { ...m, disp: m.disp + i.size } : m).c.set(ea);
  e.store_at(ea, i.size, value, e.is_stack(m));
  c.get(sp);
  e.set_gpr(4);
}

function leave(e: Emitter, i: Insn): void {
  const bp = e.temp_i64();
  const value = e.temp(i.size);
  e.gpr(5).c.set(bp);
  e.load_at(bp, i.size, true).c.set(value);
  e.c.get(bp).i64(i.size).op(OP.i64_add);
  e.set_gpr(4).c.get(value);
  e.set_reg(5, i.size);
}

function pushf(e: Emitter, i: Insn): void {
  const t = e.temp(i.size);
  e.all_flags().load_ctx(MEM.i32_load, CTX.FLAGS).c.i32(~STATUS).op(OP.i32_and, OP.i32_or);
  if (i.size === 8) e.c.op(OP.i64_extend_i32_u);
  e.clean(i.size).c.set(t);
  e.push(i.size, t);
}

const AC = 0x40000;
const NT = 0x4000;
const ID = 0x200000;
const TF_BIT = 0x100;

/** Ends a block: with TF or AC set the CPU has to run differently from here on. */
function popf(e: Emitter, i: Insn): void {
  const c = e.c;
  const sp = e.temp_i64();
  const bits = e.temp_i32();
  e.gpr(4).c.set(sp);
  e.load_at(sp, i.size, true);
  if (i.size === 8) c.op(OP.i32_wrap_i64);
  c.set(bits).get(sp).i64(i.size).op(OP.i64_add);
  e.set_gpr(4);
  const own = TF_BIT | DF | NT | (i.size === 8 ? AC | ID : 0);
  e.store_ctx(MEM.i32_store, CTX.FLAGS, () => {
    e.load_ctx(MEM.i32_load, CTX.FLAGS).c.i32(~own).op(OP.i32_and);
    c.get(bits).i32(own).op(OP.i32_and, OP.i32_or);
  });
  e.set_raw(() => c.get(bits).i32(STATUS).op(OP.i32_and));
  e.exit_to(EXIT.MODE, i.pc + i.length);
}

function lahf(e: Emitter): void {
  e.all_flags().c.i32(0xff).op(OP.i32_and).i32(2).op(OP.i32_or);
  e.write_reg({ kind: 'reg', reg: 0, size: 1, high: true });
}

function sahf(e: Emitter): void {
  const mask = SF | ZF | AF | PF | CF;
  set_some(e, mask, () => {
    e.read_reg({ kind: 'reg', reg: 0, size: 1, high: true }).c.i32(mask).op(OP.i32_and);
  });
}

function set_carry(e: Emitter, i: Insn): void {
  set_some(e, CF, () => {
    if (i.name === 'cmc') e.carry().c.op(OP.i32_eqz);
    else e.c.i32(i.name === 'stc' ? 1 : 0);
  });
}

function set_direction(e: Emitter, i: Insn): void {
  e.store_ctx(MEM.i32_store, CTX.FLAGS, () => {
    e.load_ctx(MEM.i32_load, CTX.FLAGS);
    if (i.name === 'std') e.c.i32(DF).op(OP.i32_or);
    else e.c.i32(~DF).op(OP.i32_and);
  });
}

function xlat(e: Emitter, i: Insn): void {
  const m = mem(i, 0);
  const ea = e.temp_i64();
  e.ea({ ...m, segment: null, addr32: false })
    .gpr(0)
    .c.i64(0xff)
    .op(OP.i64_and, OP.i64_add);
  if (m.addr32) e.c.i64(0xffffffff).op(OP.i64_and);
  if (m.segment !== null) e.load_ctx(MEM.i64_load, m.segment === 'fs' ? CTX.FS_BASE : CTX.GS_BASE).c.op(OP.i64_add);
  e.c.set(ea);
  e.load_at(ea, 1, false).set_reg(0, 1);
}

/** Selectors that a 64-bit process of Linux has: es cs ss ds fs gs. */
const SELECTORS = [0, 0x33, 0x2b, 0, 0, 0];

function movseg(e: Emitter, i: Insn): void {
  const t = e.temp(i.size);
  e.constant(i.size, SELECTORS[reg(i, 1).reg & 7]).c.set(t);
  e.write(op(i, 0), t);
}

// Bits

function bit_test(e: Emitter, i: Insn): void {
  const c = e.c;
  const [dst, index] = [op(i, 0), op(i, 1)];
  const size = i.size;
  const bits = size * 8;
  const n = e.temp(size);
  const bit = e.temp_i32();
  e.read(index, size)
    .constant(size, bits - 1)
    .sized(size, OP.i32_and, OP.i64_and)
    .c.set(n);
  let ea = -1;
  if (dst.kind === 'mem') {
    ea = e.temp_i64();
    if (index.kind === 'reg') {
      // The bit may lie outside of the operand: the index counts from its address, signed.
      e.ea({ ...dst, addr32: false, segment: null })
        .read_reg(index)
        .sign_extend(size);
      if (size !== 8) c.op(OP.i64_extend_i32_s);
      c.i64(Math.log2(bits)).op(OP.i64_shr_s).i64(Math.log2(size)).op(OP.i64_shl, OP.i64_add);
      if (dst.addr32) c.i64(0xffffffff).op(OP.i64_and);
      if (dst.segment !== null)
        e.load_ctx(MEM.i64_load, dst.segment === 'fs' ? CTX.FS_BASE : CTX.GS_BASE).c.op(OP.i64_add);
    } else {
      e.ea(dst);
    }
    c.set(ea);
  }
  const take_bit = (value: number): void => {
    c.get(value).get(n);
    e.sized(size, OP.i32_shr_u, OP.i64_shr_u);
    if (size === 8) c.op(OP.i32_wrap_i64);
    c.i32(1).op(OP.i32_and).set(bit);
  };
  if (i.name === 'bt') {
    const value = e.temp(size);
    if (dst.kind === 'mem') e.load_at(ea, size, e.is_stack(dst)).c.set(value);
    else e.read(dst).c.set(value);
    take_bit(value);
  } else {
    e.modify_at(dst, ea, (old) => {
      take_bit(old);
      c.get(old);
      e.constant(size, 1).c.get(n);
      e.sized(size, OP.i32_shl, OP.i64_shl);
      if (i.name === 'btr')
        e.constant(size, -1).sized(size, OP.i32_xor, OP.i64_xor).sized(size, OP.i32_and, OP.i64_and);
      else if (i.name === 'bts') e.sized(size, OP.i32_or, OP.i64_or);
      else e.sized(size, OP.i32_xor, OP.i64_xor);
      e.clean(size).c.set(old);
      return old;
    });
  }
  set_some(e, CF, () => c.get(bit));
}

function bit_scan(e: Emitter, i: Insn): void {
  const c = e.c;
  const size = i.size;
  const a = source(e, i, 1);
  c.get(a);
  e.sized(size, OP.i32_eqz, OP.i64_eqz).c.op(OP.i32_eqz);
  c.if();
  if (i.name === 'bsf') {
    c.get(a);
    e.sized(size, OP.i32_ctz, OP.i64_ctz);
  } else {
    e.constant(size === 8 ? 8 : 4, size === 8 ? 63 : 31).c.get(a);
    e.sized(size, OP.i32_clz, OP.i64_clz).sized(size, OP.i32_sub, OP.i64_sub);
  }
  e.write_reg(reg(i, 0)).c.end();
  set_some(e, ZF, () => {
    c.get(a);
    e.sized(size, OP.i32_eqz, OP.i64_eqz).c.i32(6).op(OP.i32_shl);
  });
}

function popcnt(e: Emitter, i: Insn): void {
  const a = source(e, i, 1);
  e.c.get(a);
  e.sized(i.size, OP.i32_popcnt, OP.i64_popcnt).write_reg(reg(i, 0));
  e.set_raw(() => {
    e.c.get(a);
    e.sized(i.size, OP.i32_eqz, OP.i64_eqz).c.i32(6).op(OP.i32_shl);
  });
}

/** tzcnt and lzcnt: CF for a source of zero, ZF for a result of zero. */
function zero_count(e: Emitter, i: Insn): void {
  const c = e.c;
  const size = i.size;
  const a = source(e, i, 1);
  const r = e.temp(size);
  c.get(a);
  if (i.name === 'tzcnt') {
    // a bit above the operand ends the count
    if (size === 2) c.i32(0x10000).op(OP.i32_or);
    e.sized(size, OP.i32_ctz, OP.i64_ctz);
  } else {
    e.sized(size, OP.i32_clz, OP.i64_clz);
    if (size === 2) c.i32(16).op(OP.i32_sub);
  }
  c.tee(r);
  e.write_reg(reg(i, 0));
  set_some(e, CF | ZF, () => {
    c.get(a);
    e.sized(size, OP.i32_eqz, OP.i64_eqz).c.get(r);
    e.sized(size, OP.i32_eqz, OP.i64_eqz).c.i32(6).op(OP.i32_shl, OP.i32_or);
  });
}

// Products and quotients

/** CF and OF of a product as the i32 on the stack says. */
function set_product(e: Emitter, size: number, low: number, overflow: number): void {
  e.set_result(KIND.RES, size, low, () =>
    e.c
      .i32(0)
      .get(overflow)
      .op(OP.i32_sub)
      .i32(CF | OF)
      .op(OP.i32_and),
  );
}

function multiply(e: Emitter, i: Insn): void {
  const c = e.c;
  const size = i.size;
  const signed = i.name === 'imul';
  const single = i.ops.length === 1;
  const low = e.temp(size);
  const overflow = e.temp_i32();
  const b = source(e, i, single ? 0 : i.ops.length - 1);
  const a = e.temp(size);
  if (single) e.get_reg(0, size).c.set(a);
  else e.read(op(i, i.ops.length - 2)).c.set(a);
  if (size === 8) {
    const high = e.temp_i64();
    c.get(a).get(b).op(OP.i64_mul).set(low);
    c.get(a).get(b).call(FN.mulhu);
    if (signed) {
      for (const [x, y] of [
        [a, b],
        [b, a],
      ] as const)
        c.get(x).i64(63).op(OP.i64_shr_s).get(y).op(OP.i64_and, OP.i64_sub);
    }
    c.tee(high);
    if (signed) c.get(low).i64(63).op(OP.i64_shr_s, OP.i64_ne);
    else c.op(OP.i64_eqz, OP.i32_eqz);
    c.set(overflow);
    c.get(low);
    if (single) {
      e.set_gpr(0).c.get(high);
      e.set_gpr(2);
    } else {
      e.write_reg(reg(i, 0));
    }
  } else {
    const product = e.temp_i64();
    for (const x of [a, b]) {
      c.get(x);
      if (signed) e.sign_extend(size).c.op(OP.i64_extend_i32_s);
      else c.op(OP.i64_extend_i32_u);
    }
    c.op(OP.i64_mul).tee(product);
    c.op(OP.i32_wrap_i64);
    e.clean(size).c.set(low);
    c.get(product).get(low);
    if (signed) e.sign_extend(size).c.op(OP.i64_extend_i32_s);
    else c.op(OP.i64_extend_i32_u);
    c.op(OP.i64_ne).set(overflow);
    if (single && size === 1) {
      c.get(product).op(OP.i32_wrap_i64);
      e.clean(2).set_reg(0, 2);
    } else {
      c.get(low);
      if (single) e.set_reg(0, size);
      else e.write_reg(reg(i, 0));
      if (single) {
        c.get(product)
          .i64(size * 8)
          .op(OP.i64_shr_u, OP.i32_wrap_i64);
        e.clean(size).set_reg(2, size);
      }
    }
  }
  set_product(e, size, low, overflow);
}

function divide(e: Emitter, i: Insn): void {
  const c = e.c;
  const size = i.size;
  const signed = i.name === 'idiv';
  const divisor = e.temp_i64();
  const dividend = e.temp_i64();
  const quotient = e.temp_i64();
  const rest = e.temp_i64();
  e.read(op(i, 0));
  if (size !== 8) {
    if (signed) e.sign_extend(size).c.op(OP.i64_extend_i32_s);
    else c.op(OP.i64_extend_i32_u);
  }
  c.tee(divisor).op(OP.i64_eqz);
  e.exit_if(EXIT.DE);
  const narrow = (): void => {
    if (signed) {
      c.get(dividend).i64_halves(0, 0x80000000).op(OP.i64_eq).get(divisor).i64(-1).op(OP.i64_eq, OP.i32_and);
      e.exit_if(EXIT.DE);
    }
    c.get(dividend)
      .get(divisor)
      .op(signed ? OP.i64_div_s : OP.i64_div_u)
      .set(quotient);
    c.get(dividend)
      .get(divisor)
      .op(signed ? OP.i64_rem_s : OP.i64_rem_u)
      .set(rest);
  };
  if (size === 8) {
    // rdx mostly extends rax, and then 64 bits suffice.
    e.gpr(0).c.set(dividend);
    e.gpr(2);
    if (signed) c.get(dividend).i64(63).op(OP.i64_shr_s, OP.i64_eq);
    else c.op(OP.i64_eqz);
    c.if();
    narrow();
    c.else();
    e.wide_divide(signed, dividend, divisor, quotient, rest);
    c.end();
    c.get(quotient);
    e.set_gpr(0).c.get(rest);
    e.set_gpr(2);
    return;
  }
  if (size === 1) {
    e.get_reg(0, 2);
    if (signed) c.op(OP.i32_extend16_s, OP.i64_extend_i32_s);
    else c.op(OP.i64_extend_i32_u);
  } else {
    e.get_reg(2, size)
      .c.op(OP.i64_extend_i32_u)
      .i64(size * 8)
      .op(OP.i64_shl);
    e.get_reg(0, size).c.op(OP.i64_extend_i32_u, OP.i64_or);
    if (signed && size === 2) c.op(OP.i64_extend32_s);
  }
  c.set(dividend);
  narrow();
  c.get(quotient);
  if (signed) c.op(size === 1 ? OP.i64_extend8_s : size === 2 ? OP.i64_extend16_s : OP.i64_extend32_s);
  else c.i64(2 ** (size * 8) - 1).op(OP.i64_and);
  c.get(quotient).op(OP.i64_ne);
  e.exit_if(EXIT.DE);
  c.get(quotient).op(OP.i32_wrap_i64);
  e.clean(size).set_reg(0, size);
  c.get(rest).op(OP.i32_wrap_i64);
  e.clean(size).write_reg(
    size === 1 ? { kind: 'reg', reg: 0, size: 1, high: true } : { kind: 'reg', reg: 2, size, high: false },
  );
}

function nop(): void {}

export const INTEGER: Readonly<Record<string, Translator>> = {
  add: alu,
  or: alu,
  and: alu,
  sub: alu,
  xor: alu,
  cmp: compare,
  test: compare,
  adc: with_carry,
  sbb: with_carry,
  inc: inc_dec,
  dec: inc_dec,
  neg,
  not,
  mov,
  movnti: mov,
  movzx,
  movsx,
  movsxd: movsx,
  lea,
  xchg,
  xadd,
  cmpxchg,
  cmpxchg8b,
  bswap,
  cbw,
  cwd,
  setcc,
  cmovcc,
  push,
  pop,
  leave,
  pushf,
  popf,
  lahf,
  sahf,
  clc: set_carry,
  stc: set_carry,
  cmc: set_carry,
  cld: set_direction,
  std: set_direction,
  xlat,
  movseg,
  bt: bit_test,
  bts: bit_test,
  btr: bit_test,
  btc: bit_test,
  bsf: bit_scan,
  bsr: bit_scan,
  popcnt,
  tzcnt: zero_count,
  lzcnt: zero_count,
  mul: multiply,
  imul: multiply,
  div: divide,
  idiv: divide,
  nop,
  fence: nop,
  clflush: nop,
};
