// SPDX-License-Identifier: GPL-2.0-only
// Translates string instructions. NON-KERNEL throughout.

import type { Insn, MemOperand } from '../insn.ts';
import { CTX, EXIT } from '../layout.ts';
import { MEM, OP } from '../wasm.ts';
import { DF, type Emitter, KIND } from './emitter.ts';
import type { Translator } from './integer.ts';

function advance(e: Emitter, m: MemOperand, step: number): void {
  e.gpr(m.base).c.get(step).op(OP.i64_add);
  if (m.addr32) e.c.i64(0xffffffff).op(OP.i64_and);
  e.set_gpr(m.base);
}

/** One element; registers move when all of its accesses are done. */
function element(e: Emitter, i: Insn, a: number, b: number, step: number): void {
  const size = i.size;
  const [x, y] = i.ops as MemOperand[];
  const first = x;
  switch (i.name) {
    case 'movs': {
      const source = y;
      e.load_at(e.address(source), size, false).c.set(a);
      e.store_at(e.address(first), size, a, false);
      advance(e, source, step);
      break;
    }
    case 'stos':
      e.get_reg(0, size).c.set(a);
      e.store_at(e.address(first), size, a, false);
      break;
    case 'lods':
      e.load_at(e.address(first), size, false).set_reg(0, size);
      break;
    case 'scas':
      e.get_reg(0, size).c.set(a);
      e.load_at(e.address(first), size, false).c.set(b);
      break;
    default: {
      const second = y;
      e.load_at(e.address(first), size, false).c.set(a);
      e.load_at(e.address(second), size, false).c.set(b);
      advance(e, second, step);
    }
  }
  advance(e, first, step);
}

function compare_flags(e: Emitter, size: number, a: number, b: number): void {
  const r = e.temp(size);
  e.c.get(a).get(b);
  e.sized(size, OP.i32_sub, OP.i64_sub).clean(size).c.set(r);
  e.set_arith(KIND.SUB, size, a, b, r);
}

/** movs, stos, lods, scas, cmps: once, or rcx times with a prefix, of which each element is complete by itself. */
function string(e: Emitter, i: Insn): void {
  const c = e.c;
  const size = i.size;
  const compares = i.name === 'scas' || i.name === 'cmps';
  const a = e.temp(size);
  const b = e.temp(size);
  const step = e.temp_i64();
  c.i64(-size).i64(size);
  e.load_ctx(MEM.i32_load, CTX.FLAGS).c.i32(DF).op(OP.i32_and, OP.select).set(step);
  if (i.rep === null) {
    element(e, i, a, b, step);
    if (compares) compare_flags(e, size, a, b);
    return;
  }
  const any = e.temp_i32();
  c.i32(0).set(any);
  const count = (): void => {
    e.gpr(1);
    if (i.addr32) c.i64(0xffffffff).op(OP.i64_and);
  };
  const done = c.block();
  const again = c.loop();
  count();
  c.op(OP.i64_eqz).br_if(done);
  e.spend_element();
  element(e, i, a, b, step);
  count();
  c.i64(1).op(OP.i64_sub);
  e.set_gpr(1).element_done();
  c.i32(1).set(any);
  const go_on = (): void => {
    if (!e.stepping) {
      c.br(again);
      return;
    }
    count();
    c.op(OP.i64_eqz, OP.i32_eqz);
    e.exit_if(EXIT.JUMP);
  };
  if (compares) {
    c.get(a).get(b);
    e.sized(size, OP.i32_eq, OP.i64_eq);
    if (i.rep === 'repne') c.op(OP.i32_eqz);
    c.if();
    go_on();
    c.end();
  } else {
    go_on();
  }
  c.end().end();
  // A fault in the middle leaves the flags as they were before the instruction.
  if (compares && e.flags_live) {
    const before = e.known;
    c.get(any);
    c.if();
    compare_flags(e, size, a, b);
    c.end();
    if (before?.kind !== KIND.SUB || before.size !== size) e.known = null;
  }
}

export const STRING: Readonly<Record<string, Translator>> = {
  movs: string,
  stos: string,
  lods: string,
  scas: string,
  cmps: string,
};
