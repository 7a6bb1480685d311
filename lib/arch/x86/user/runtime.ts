// SPDX-License-Identifier: GPL-2.0-only
// Functions that translated code shares. NON-KERNEL throughout.

// WebAssembly functions that regions share: the flags of the last operation, the high half of a product, and the
// dispatcher, which goes from region to region as long as the jump cache knows the next one.

import { CTX, EXIT, JUMP_CACHE } from './layout.ts';
import { AF, CF, KIND, OF, PF, REGION_TYPE, SF, ZF } from './translate/emitter.ts';
import { Code, I32, I64, MEM, module_bytes, OP, type Func } from './wasm.ts';

// flags(kind, a, b, r): the status flags, see translate/emitter.ts: KIND
function flags_function(): Func {
  const [K, A, B, R, SIGN, OUT, CARRIES] = [0, 1, 2, 3, 4, 5, 6];
  const c = new Code();
  const kind = (k: number): Code => c.get(K).i32(2).op(OP.i32_shr_u).i32(k).op(OP.i32_eq);
  const top = (): Code => c.get(SIGN).op(OP.i64_shr_u, OP.i32_wrap_i64).i32(1).op(OP.i32_and);
  kind(KIND.RAW);
  c.if();
  c.get(A).op(OP.i32_wrap_i64, OP.return).end();
  c.i64(8).get(K).i32(3).op(OP.i32_and, OP.i64_extend_i32_u, OP.i64_shl).i64(1).op(OP.i64_sub).set(SIGN);
  // ZF, SF and PF
  c.get(R).op(OP.i64_eqz).i32(6).op(OP.i32_shl);
  c.get(R);
  top().i32(7).op(OP.i32_shl, OP.i32_or);
  c.get(R)
    .op(OP.i32_wrap_i64)
    .i32(0xff)
    .op(OP.i32_and, OP.i32_popcnt)
    .i32(1)
    .op(OP.i32_and, OP.i32_eqz)
    .i32(2)
    .op(OP.i32_shl, OP.i32_or)
    .set(OUT);
  kind(KIND.LOGIC);
  c.if();
  c.get(OUT).op(OP.return).end();
  kind(KIND.RES);
  c.if();
  c.get(OUT).get(A).op(OP.i32_wrap_i64, OP.i32_or, OP.return).end();
  // INC and DEC by one: OF and AF follow from the result alone
  for (const [k, overflow, half] of [
    [KIND.INC, 0, 0],
    [KIND.DEC, 1, 15],
  ] as const) {
    kind(k);
    c.if();
    c.get(OUT).get(A).op(OP.i32_wrap_i64, OP.i32_or);
    c.get(R).i64(1).get(SIGN).op(OP.i64_shl).i64(overflow).op(OP.i64_sub, OP.i64_eq).i32(11).op(OP.i32_shl, OP.i32_or);
    c.get(R)
      .op(OP.i32_wrap_i64)
      .i32(15)
      .op(OP.i32_and)
      .i32(half)
      .op(OP.i32_eq)
      .i32(4)
      .op(OP.i32_shl, OP.i32_or, OP.return);
    c.end();
  }
  // What each bit carries to the next: of a sum (a & b) | ((a | b) & ~r), of a difference (~a & b) | ((~a | b) & r)
  kind(KIND.ADD);
  c.if();
  c.get(A)
    .get(B)
    .op(OP.i64_and)
    .get(A)
    .get(B)
    .op(OP.i64_or)
    .get(R)
    .i64(-1)
    .op(OP.i64_xor, OP.i64_and, OP.i64_or)
    .set(CARRIES);
  c.get(A).get(R).op(OP.i64_xor).get(B).get(R).op(OP.i64_xor, OP.i64_and);
  top().i32(11).op(OP.i32_shl).get(OUT).op(OP.i32_or).set(OUT);
  c.else();
  c.get(A).i64(-1).op(OP.i64_xor).get(B).op(OP.i64_and).get(A).i64(-1).op(OP.i64_xor).get(B).op(OP.i64_or).get(R);
  c.op(OP.i64_and, OP.i64_or).set(CARRIES);
  c.get(A).get(B).op(OP.i64_xor).get(A).get(R).op(OP.i64_xor, OP.i64_and);
  top().i32(11).op(OP.i32_shl).get(OUT).op(OP.i32_or).set(OUT);
  c.end();
  c.get(OUT).get(CARRIES);
  top().op(OP.i32_or);
  c.get(CARRIES).op(OP.i32_wrap_i64).i32(8).op(OP.i32_and).i32(1).op(OP.i32_shl, OP.i32_or);
  if (CF !== 1 || PF !== 4 || AF !== 16 || ZF !== 64 || SF !== 128 || OF !== 2048)
    throw new Error('positions of the flags');
  return {
    name: 'flags',
    type: { params: [I32, I64, I64, I64], results: [I32] },
    locals: [
      [1, I64],
      [1, I32],
      [1, I64],
    ],
    body: c.view(),
  };
}

// mulhu(a, b): bits 64 to 127 of the unsigned product
function mulhu_function(): Func {
  const [A, B, AL, AH, BL, BH, MID] = [0, 1, 2, 3, 4, 5, 6];
  const c = new Code();
  const low = (v: number): Code => c.get(v).i64(0xffffffff).op(OP.i64_and);
  const high = (v: number): Code => c.get(v).i64(32).op(OP.i64_shr_u);
  low(A).set(AL);
  high(A).set(AH);
  low(B).set(BL);
  high(B).set(BH);
  c.get(AL).get(BL).op(OP.i64_mul).i64(32).op(OP.i64_shr_u).get(AH).get(BL).op(OP.i64_mul, OP.i64_add).set(MID);
  c.get(AH).get(BH).op(OP.i64_mul);
  high(MID).op(OP.i64_add);
  low(MID).get(AL).get(BH).op(OP.i64_mul, OP.i64_add).i64(32).op(OP.i64_shr_u, OP.i64_add);
  return { name: 'mulhu', type: { params: [I64, I64], results: [I64] }, locals: [[5, I64]], body: c.view() };
}

/** Entry of the jump cache for an address; the dispatcher computes the same. */
export function jump_cache_entry(pc: number): number {
  const low = pc >>> 0;
  return JUMP_CACHE.AT + ((low ^ (low >>> 10)) & (JUMP_CACHE.ENTRIES - 1)) * JUMP_CACHE.ENTRY_BYTES;
}

// dispatch(ctx, tlb): runs regions from CTX.RIP on; EXIT.JUMP means that the jump cache does not know CTX.RIP
function dispatch_function(): Func {
  const [CONTEXT, TLB, ENTRY, EXIT_CODE, PC] = [0, 1, 2, 3, 4];
  const c = new Code();
  const again = c.loop(I32);
  c.get(CONTEXT)
    .mem(MEM.i64_load, CTX.RIP)
    .tee(PC)
    .op(OP.i32_wrap_i64)
    .tee(ENTRY)
    .get(ENTRY)
    .i32(10)
    .op(OP.i32_shr_u, OP.i32_xor);
  c.i32(JUMP_CACHE.ENTRIES - 1)
    .op(OP.i32_and)
    .i32(JUMP_CACHE.ENTRY_BYTES)
    .op(OP.i32_mul)
    .tee(ENTRY);
  c.mem(MEM.i64_load, JUMP_CACHE.AT).get(PC).op(OP.i64_ne);
  c.if();
  c.i32(EXIT.JUMP).op(OP.return).end();
  c.get(CONTEXT)
    .get(TLB)
    .get(ENTRY)
    .mem(MEM.i32_load, JUMP_CACHE.AT + 12)
    .get(ENTRY)
    .mem(MEM.i32_load, JUMP_CACHE.AT + 8);
  // the functions of the table have the type of import 0
  c.byte(0x11).u32(0).u32(0).tee(EXIT_CODE).op(OP.i32_eqz).br_if(again);
  c.get(EXIT_CODE).end();
  return {
    name: 'dispatch',
    type: { params: [I32, I32], results: [I32] },
    locals: [
      [2, I32],
      [1, I64],
    ],
    body: c.view(),
  };
}

/** The module with the functions `flags` and `mulhu`. */
export function helper_module(pages: number): Uint8Array {
  return module_bytes(pages, [], [flags_function(), mulhu_function()]);
}

/**
 * The module with the function `dispatch`; its import `any` is never called and gives the table's functions their type.
 */
export function dispatch_module(pages: number): Uint8Array {
  if (EXIT.JUMP !== 0) throw new Error('the dispatcher goes on at zero');
  return module_bytes(pages, [{ name: 'any', type: REGION_TYPE }], [dispatch_function()], true);
}
