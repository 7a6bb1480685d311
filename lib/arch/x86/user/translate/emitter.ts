// SPDX-License-Identifier: GPL-2.0-only
// What translation builds on: registers, flags, memory and exits. NON-KERNEL throughout.

import { Unimplemented, type Insn, type MemOperand, type Operand, type RegOperand, type XmmOperand } from '../insn.ts';
import { CTX, EXIT, TLB_LAYOUT } from '../layout.ts';
import { Code, I32, I64, MEM, OP, V128, type FuncType, type Import, type Label, type ValType } from '../wasm.ts';

/** Parameters of a region's function: byte offsets of the context and of the TLB, and the block to start with. */
export const REGION_TYPE: FuncType = { params: [I32, I32, I32], results: [I32] };

/** Functions that translated code calls, by index. */
export const FN = { slow: 0, slow_store: 1, flush: 2, help: 3, flags: 4, mulhu: 5 } as const;
export const IMPORTS: readonly Import[] = [
  { name: 'slow', type: { params: [I32, I32, I32, I32], results: [I32] } },
  { name: 'slow_store', type: { params: [I32, I32, I32, I32], results: [I32] } },
  { name: 'flush', type: { params: [], results: [] } },
  { name: 'help', type: { params: [I32, I32], results: [I32] } },
  { name: 'flags', type: { params: [I32, I64, I64, I64], results: [I32] } },
  { name: 'mulhu', type: { params: [I64, I64], results: [I64] } },
];

/** What an access is, beside its address: the last parameter of slow() and slow_store(). */
export const INFO = { SIZE: 0xff, WRITE: 0x100, STACK: 0x200, RMW: 0x400, LOCK: 0x800 } as const;

/** slow() returns a byte offset in the memory, or an EXIT, which is below this. */
export const FIRST_OFFSET = 0x1000;

/** Functions of help(). */
export const HELP = { div: 0, idiv: 1 } as const;

const CTX_LOCAL = 0;
const TLB_LOCAL = 1;
export const ENTRY_LOCAL = 2;
const GPR_LOCAL = 3;
const TAG_LOCAL = 19;
const FA = 20;
const FB = 21;
const FR = 22;
const PC_LOCAL = 23;
const FK = 24;
const FUEL_LOCAL = 25;
export const NEXT_LOCAL = 26;
const PROBE_LOCAL = 27;
const HOST_LOCAL = 28;
const TEMP_I64 = 29;
const TEMP_I32 = 41;
const XMM_LOCAL = 53;
const TEMP_V128 = 69;
const TEMPS_V128 = 16;
export const REGION_LOCALS: readonly (readonly [number, ValType])[] = [
  [21, I64],
  [5, I32],
  [12, I64],
  [12, I32],
  [16 + TEMPS_V128, V128],
];

/** The status flags: those that arithmetic sets. */
export const CF = 1;
export const PF = 4;
export const AF = 0x10;
export const ZF = 0x40;
export const SF = 0x80;
export const OF = 0x800;
export const STATUS = CF | PF | AF | ZF | SF | OF;
export const TF = 0x100;
export const DF = 0x400;

/**
 * How the status flags follow from the locals FA, FB and FR. RAW: FA holds them. ADD, SUB: FR is the sum or
 * difference of
 * FA and FB, perhaps with a carry. LOGIC: FR is the result, CF and OF are clear. RES: ZF, SF and PF follow from FR, FA
 * holds the others. SBB: as SUB, with a borrow that FA and FB do not show. INC, DEC: as RES, but FA holds CF alone. A
 * flag kind is KIND * 4 + log2 of the operand size; values
 * are zero-extended.
 */
export const KIND = { RAW: 0, ADD: 1, SUB: 2, LOGIC: 3, RES: 4, INC: 5, DEC: 6, SBB: 7 } as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

const LOG2: Readonly<Record<number, number>> = { 1: 0, 2: 1, 4: 2, 8: 3 };

/**
 * Emits the code of one region: registers are locals, memory goes through the TLB, and any exit leaves a whole context.
 */
export class Emitter {
  readonly c = new Code();
  /** no inline TLB: each access is a call and may end the step */
  readonly stepping: boolean;
  /** general registers and xmm registers that the code touches, as bit masks */
  gprs = 0;
  gprs_written = 0;
  xmms = 0;
  xmms_written = 0;
  /** what is known of FK here: the kind, or null */
  known: { readonly kind: Kind; readonly size: number } | null = null;
  /** false: no one will see the flags of the current instruction */
  flags_live = true;
  insn!: Insn;
  /** instructions of the block from the current one on, which a side exit did not execute */
  unspent = 0;
  private exit_label!: Label;
  private used_i64 = 0;
  private used_i32 = 0;
  private used_v128 = 0;

  constructor(stepping: boolean) {
    this.stepping = stepping;
  }

  // Temporaries belong to one instruction.

  begin(insn: Insn, unspent: number, flags_live: boolean): void {
    this.insn = insn;
    this.unspent = unspent;
    this.flags_live = flags_live;
    this.used_i64 = this.used_i32 = this.used_v128 = 0;
  }

  temp_i64(): number {
    if (this.used_i64 === 12) throw new Error('out of i64 temporaries');
    return TEMP_I64 + this.used_i64++;
  }

  temp_i32(): number {
    if (this.used_i32 === 12) throw new Error('out of i32 temporaries');
    return TEMP_I32 + this.used_i32++;
  }

  temp_v128(): number {
    if (this.used_v128 === TEMPS_V128) throw new Error('out of v128 temporaries');
    return TEMP_V128 + this.used_v128++;
  }

  /** A temporary that fits a value of the operand size. */
  temp(size: number): number {
    return size === 8 ? this.temp_i64() : this.temp_i32();
  }

  // Values of 1, 2 and 4 bytes are i32, zero-extended; those of 8 bytes are i64.

  /** Picks the opcode for the operand size. */
  sized(size: number, i32: number, i64: number): this {
    this.c.byte(size === 8 ? i64 : i32);
    return this;
  }

  constant(size: number, value: number): this {
    if (size === 8) this.c.i64(value);
    else this.c.i32(size === 4 ? value : size === 2 ? value & 0xffff : value & 0xff);
    return this;
  }

  /** Zero-extends what an operation left in an i32 to the operand size. */
  clean(size: number): this {
    if (size === 1) this.c.i32(0xff).op(OP.i32_and);
    else if (size === 2) this.c.i32(0xffff).op(OP.i32_and);
    return this;
  }

  /** Sign-extends a value of `size` bytes within its type. */
  sign_extend(size: number): this {
    if (size === 1) this.c.op(OP.i32_extend8_s);
    else if (size === 2) this.c.op(OP.i32_extend16_s);
    return this;
  }

  /** Makes a value of `size` bytes an i64, zero-extended. */
  to_i64(size: number): this {
    if (size !== 8) this.c.op(OP.i64_extend_i32_u);
    return this;
  }

  gpr(reg: number): this {
    this.gprs |= 1 << reg;
    this.c.get(GPR_LOCAL + reg);
    return this;
  }

  set_gpr(reg: number): this {
    this.gprs |= 1 << reg;
    this.gprs_written |= 1 << reg;
    this.c.set(GPR_LOCAL + reg);
    return this;
  }

  read_reg(o: RegOperand): this {
    this.gpr(o.reg);
    if (o.size === 8) return this;
    this.c.op(OP.i32_wrap_i64);
    if (o.high) this.c.i32(8).op(OP.i32_shr_u);
    return this.clean(o.size);
  }

  /** Takes a clean value of the register's size from the stack; 4 bytes clear the upper half, fewer keep the rest. */
  write_reg(o: RegOperand): this {
    const c = this.c;
    if (o.size !== 8) c.op(OP.i64_extend_i32_u);
    if (o.size <= 2) {
      if (o.high) c.i64(8).op(OP.i64_shl);
      this.gpr(o.reg);
      c.i64(o.size === 2 ? -0x10000 : o.high ? -0xff01 : -0x100).op(OP.i64_and, OP.i64_or);
    }
    return this.set_gpr(o.reg);
  }

  /** Writes a register of a number and size; see write_reg(). */
  set_reg(reg: number, size: number): this {
    return this.write_reg({ kind: 'reg', reg, size, high: false });
  }

  get_reg(reg: number, size: number): this {
    return this.read_reg({ kind: 'reg', reg, size, high: false });
  }

  xmm(reg: number): this {
    this.xmms |= 1 << reg;
    this.c.get(XMM_LOCAL + reg);
    return this;
  }

  set_xmm(reg: number): this {
    this.xmms |= 1 << reg;
    this.xmms_written |= 1 << reg;
    this.c.set(XMM_LOCAL + reg);
    return this;
  }

  /** A load from the context, an offset of CTX. */
  load_ctx(op: number, offset: number): this {
    this.c.get(CTX_LOCAL).mem(op, offset);
    return this;
  }

  /** Stores to the context the value that `value` leaves on the stack. */
  store_ctx(op: number, offset: number, value: () => void): this {
    this.c.get(CTX_LOCAL);
    value();
    this.c.mem(op, offset);
    return this;
  }

  // Exits

  /** Opens the block that every exit leaves; `epilogue()` closes it. */
  prologue(): void {
    this.exit_label = this.c.block(I32);
  }

  /** Leaves with the exit code on the stack; the instruction at `pc` is the next one. `unspent` gives fuel back. */
  private leave(pc: number, unspent: number): void {
    const c = this.c;
    c.i64(pc).set(PC_LOCAL);
    if (unspent > 0) c.get(FUEL_LOCAL).i32(unspent).op(OP.i32_add).set(FUEL_LOCAL);
    c.br(this.exit_label);
  }

  /** Leaves before the current instruction, with the exit code on the stack. */
  exit_undone(): void {
    this.leave(this.insn.pc, this.unspent);
  }

  exit_before(code: number): void {
    this.c.i32(code);
    this.exit_undone();
  }

  /** Leaves after the current instruction, whose successor is at `pc`. */
  exit_to(code: number, pc: number): void {
    this.c.i32(code);
    this.leave(pc, this.unspent - 1);
  }

  /** Leaves after the current instruction, whose successor's address is the i64 on the stack. */
  exit_indirect(code: number): void {
    this.c.set(PC_LOCAL).i32(code);
    if (this.unspent > 1)
      this.c
        .get(FUEL_LOCAL)
        .i32(this.unspent - 1)
        .op(OP.i32_add)
        .set(FUEL_LOCAL);
    this.c.br(this.exit_label);
  }

  /** At the start of a block of `n` instructions: spends fuel for them. With `check`, leaves if there is none. */
  spend(pc: number, n: number, check: boolean): void {
    const c = this.c;
    if (check) {
      c.get(FUEL_LOCAL).i32(0).op(OP.i32_le_s);
      c.if();
      c.i32(EXIT.BUDGET);
      this.leave(pc, 0);
      c.end();
    }
    c.get(FUEL_LOCAL).i32(n).op(OP.i32_sub).set(FUEL_LOCAL);
  }

  /** Spends one for an element of `rep`, or leaves before it. */
  spend_element(): void {
    const c = this.c;
    c.get(FUEL_LOCAL)
      .i32(this.unspent - 1)
      .op(OP.i32_add)
      .i32(0)
      .op(OP.i32_lt_s);
    c.if();
    this.exit_before(EXIT.BUDGET);
    c.end();
  }

  element_done(): void {
    this.c.get(FUEL_LOCAL).i32(1).op(OP.i32_sub).set(FUEL_LOCAL);
  }

  /** The exit if the i32 on the stack is not zero. */
  exit_if(code: number): this {
    this.c.if();
    this.exit_before(code);
    this.c.end();
    return this;
  }

  /** The function's body: loads what the code uses, the code, stores what it changed. */
  finish(): Uint8Array {
    const body = this.c;
    body.op(OP.unreachable).end();
    const c = new Code();
    for (let r = 0; r < 16; r++)
      if (this.gprs & (1 << r))
        c.get(CTX_LOCAL)
          .mem(MEM.i64_load, CTX.GPR + r * 8)
          .set(GPR_LOCAL + r);
    for (let r = 0; r < 16; r++)
      if (this.xmms & (1 << r))
        c.get(CTX_LOCAL)
          .simd_mem(0, CTX.YMM + r * 32)
          .set(XMM_LOCAL + r);
    c.get(CTX_LOCAL).mem(MEM.i64_load, CTX.TAG).set(TAG_LOCAL);
    c.get(CTX_LOCAL).mem(MEM.i32_load, CTX.FUEL).set(FUEL_LOCAL);
    c.get(CTX_LOCAL).mem(MEM.i64_load32_u, CTX.FLAGS).i64(STATUS).op(OP.i64_and).set(FA);
    c.get(ENTRY_LOCAL).set(NEXT_LOCAL);
    c.bytes(body.view());
    // the exit code stays on the stack
    for (let r = 0; r < 16; r++)
      if (this.gprs_written & (1 << r))
        c.get(CTX_LOCAL)
          .get(GPR_LOCAL + r)
          .mem(MEM.i64_store, CTX.GPR + r * 8);
    for (let r = 0; r < 16; r++)
      if (this.xmms_written & (1 << r))
        c.get(CTX_LOCAL)
          .get(XMM_LOCAL + r)
          .simd_mem(11, CTX.YMM + r * 32);
    c.get(CTX_LOCAL).get(PC_LOCAL).mem(MEM.i64_store, CTX.RIP);
    c.get(CTX_LOCAL).get(FUEL_LOCAL).mem(MEM.i32_store, CTX.FUEL);
    c.get(CTX_LOCAL).get(CTX_LOCAL).mem(MEM.i32_load, CTX.FLAGS).i32(~STATUS).op(OP.i32_and);
    c.get(FK).get(FA).get(FB).get(FR).call(FN.flags).op(OP.i32_or).mem(MEM.i32_store, CTX.FLAGS);
    return c.view().slice();
  }

  // Flags. The setters are called when the instruction can no longer fault.

  private set_kind(kind: Kind, size: number): void {
    this.c.i32(kind * 4 + LOG2[size]).set(FK);
    this.known = { kind, size };
  }

  /** ADD or SUB of the values in temporaries a and b, with the result in r. */
  set_arith(kind: Kind, size: number, a: number, b: number, r: number): void {
    if (!this.flags_live) return;
    this.c.get(a);
    this.to_i64(size).c.set(FA).get(b);
    this.to_i64(size).c.set(FB).get(r);
    this.to_i64(size).c.set(FR);
    this.set_kind(kind, size);
  }

  set_logic(size: number, r: number): void {
    if (!this.flags_live) return;
    this.c.get(r);
    this.to_i64(size).c.set(FR);
    this.set_kind(KIND.LOGIC, size);
  }

  /** RES, INC or DEC: `others` leaves an i32 with the flags of FA, which may be computed from the old flags. */
  set_result(kind: Kind, size: number, r: number, others: () => void): void {
    if (!this.flags_live) return;
    others();
    this.c.op(OP.i64_extend_i32_u).set(FA).get(r);
    this.to_i64(size).c.set(FR);
    this.set_kind(kind, size);
  }

  /** All flags from the i32 that `bits` leaves. */
  set_raw(bits: () => void): void {
    if (!this.flags_live) return;
    bits();
    this.c.op(OP.i64_extend_i32_u).set(FA);
    this.set_kind(KIND.RAW, 1);
  }

  /** Leaves all status flags as an i32. */
  all_flags(): this {
    const c = this.c;
    if (this.known?.kind === KIND.RAW) c.get(FA).op(OP.i32_wrap_i64);
    else c.get(FK).get(FA).get(FB).get(FR).call(FN.flags);
    return this;
  }

  /** Leaves an i32 that is not zero if any of the flags is set. */
  flag(mask: number): this {
    const c = this.c;
    const k = this.known;
    const res = k !== null && k.kind !== KIND.RAW;
    if (res && mask === ZF) {
      c.get(FR).op(OP.i64_eqz);
    } else if (res && mask === SF) {
      c.get(FR)
        .i64(k.size * 8 - 1)
        .op(OP.i64_shr_u, OP.i32_wrap_i64);
    } else if (res && mask === PF) {
      c.get(FR).op(OP.i32_wrap_i64).i32(0xff).op(OP.i32_and, OP.i32_popcnt).i32(1).op(OP.i32_and, OP.i32_eqz);
    } else if (k?.kind === KIND.LOGIC && (mask === CF || mask === OF)) {
      c.i32(0);
    } else if (k?.kind === KIND.SUB && mask === CF) {
      c.get(FA).get(FB).op(OP.i64_lt_u);
    } else if ((k?.kind === KIND.INC || k?.kind === KIND.DEC) && mask === CF) {
      c.get(FA).op(OP.i32_wrap_i64);
    } else if (k?.kind === KIND.RES && (mask & ~(CF | OF | AF)) === 0) {
      c.get(FA).op(OP.i32_wrap_i64).i32(mask).op(OP.i32_and);
    } else {
      this.all_flags().c.i32(mask).op(OP.i32_and);
    }
    return this;
  }

  /** Leaves the carry flag as 0 or 1. */
  carry(): this {
    this.flag(CF);
    return this;
  }

  // A comparison of the operands that FA and FB hold, when the flags are those of their difference.
  private compare(size: number, i32: number, i64: number, signed: boolean): void {
    const c = this.c;
    if (!signed || size === 8) {
      c.get(FA).get(FB).op(i64);
      return;
    }
    for (const f of [FA, FB]) {
      c.get(f).op(OP.i32_wrap_i64);
      this.sign_extend(size);
    }
    c.op(i32);
  }

  /** Leaves an i32 that is not zero if the condition (0 to 15, as jcc encodes it) holds. */
  condition(cc: number): this {
    const c = this.c;
    const k = this.known;
    const negate = (cc & 1) !== 0;
    const test = cc >> 1;
    if (k?.kind === KIND.SUB && (test === 1 || test === 2 || test === 3 || test >= 6)) {
      if (test === 1) this.compare(k.size, 0, negate ? OP.i64_ge_u : OP.i64_lt_u, false);
      else if (test === 2) this.compare(k.size, 0, negate ? OP.i64_ne : OP.i64_eq, false);
      else if (test === 3) this.compare(k.size, 0, negate ? OP.i64_gt_u : OP.i64_le_u, false);
      else if (test === 6)
        this.compare(k.size, negate ? OP.i32_ge_s : OP.i32_lt_s, negate ? OP.i64_ge_s : OP.i64_lt_s, true);
      else this.compare(k.size, negate ? OP.i32_gt_s : OP.i32_le_s, negate ? OP.i64_gt_s : OP.i64_le_s, true);
      return this;
    }
    switch (test) {
      case 0:
        this.flag(OF);
        break;
      case 1:
        this.flag(CF);
        break;
      case 2:
        this.flag(ZF);
        break;
      case 3:
        this.either(CF, ZF);
        break;
      case 4:
        this.flag(SF);
        break;
      case 5:
        this.flag(PF);
        break;
      case 6:
        this.less();
        break;
      default:
        if (k?.kind === KIND.LOGIC) {
          this.flag(SF).flag(ZF).c.op(OP.i32_or);
        } else {
          const f = this.temp_i32();
          this.all_flags().c.set(f);
          // SF != OF, or ZF
          c.get(f).i32(4).op(OP.i32_shl).get(f).op(OP.i32_xor).i32(OF).op(OP.i32_and);
          c.get(f).i32(ZF).op(OP.i32_and, OP.i32_or);
        }
    }
    if (negate) c.op(OP.i32_eqz);
    return this;
  }

  private either(a: number, b: number): void {
    if (this.known?.kind === KIND.LOGIC) this.flag(b);
    else
      this.all_flags()
        .c.i32(a | b)
        .op(OP.i32_and);
  }

  private less(): void {
    if (this.known?.kind === KIND.LOGIC) {
      this.flag(SF);
      return;
    }
    const f = this.temp_i32();
    this.all_flags().c.tee(f).i32(4).op(OP.i32_shl).get(f).op(OP.i32_xor).i32(OF).op(OP.i32_and);
  }

  // Memory

  /** Leaves the effective address as an i64. */
  ea(m: MemOperand): this {
    const c = this.c;
    let any = false;
    const add = (): void => {
      if (any) c.op(OP.i64_add);
      any = true;
    };
    if (m.base >= 0) {
      this.gpr(m.base);
      add();
    }
    if (m.index >= 0) {
      this.gpr(m.index);
      if (m.scale > 0) c.i64(m.scale).op(OP.i64_shl);
      add();
    }
    if (m.disp !== 0 || m.disp_high !== null || !any) {
      if (m.disp_high === null) c.i64(m.disp);
      else c.i64_halves(m.disp, m.disp_high);
      add();
    }
    if (m.addr32) c.i64(0xffffffff).op(OP.i64_and);
    if (m.segment !== null)
      this.load_ctx(MEM.i64_load, m.segment === 'fs' ? CTX.FS_BASE : CTX.GS_BASE).c.op(OP.i64_add);
    return this;
  }

  /** The effective address in a temporary. */
  address(m: MemOperand): number {
    const t = this.temp_i64();
    this.ea(m).c.set(t);
    return t;
  }

  private info(size: number, stack: boolean, flags: number): number {
    return size | flags | (stack ? INFO.STACK : 0);
  }

  // Leaves 1 if the inline TLB has the translation: compares the page of the last byte, so that an access that
  // crosses a
  // page misses, and no address beyond 2^47 matches another address space's tag.
  private probe(ea: number, size: number, write: boolean): void {
    const c = this.c;
    c.get(TLB_LOCAL)
      .get(ea)
      .i64(9)
      .op(OP.i64_shr_u, OP.i32_wrap_i64)
      .i32(0x7ff8)
      .op(OP.i32_and, OP.i32_add)
      .tee(PROBE_LOCAL);
    c.mem(MEM.i64_load, write ? TLB_LAYOUT.WRITE_TAG : TLB_LAYOUT.READ_TAG);
    c.get(ea);
    if (size > 1) c.i64(size - 1).op(OP.i64_add);
    c.i64(12).op(OP.i64_shr_u).get(TAG_LOCAL).op(OP.i64_add, OP.i64_eq);
    c.get(ea).i64(47).op(OP.i64_shr_u, OP.i64_eqz, OP.i32_and);
  }

  private hit(ea: number): void {
    this.c.get(ea).op(OP.i32_wrap_i64).get(PROBE_LOCAL).mem(MEM.i32_load, TLB_LAYOUT.ADDEND).op(OP.i32_add);
  }

  private call_slow(fn: number, ea: number, info: number): void {
    const c = this.c;
    c.get(CTX_LOCAL).get(ea).op(OP.i32_wrap_i64).get(ea).i64(32).op(OP.i64_shr_u, OP.i32_wrap_i64).i32(info).call(fn);
  }

  // Puts the byte offset of the address in `host`, or leaves.
  private translate(ea: number, size: number, host: number, info: number): void {
    const c = this.c;
    const slow = (): void => {
      this.call_slow(FN.slow, ea, info);
      c.tee(host).i32(FIRST_OFFSET).op(OP.i32_lt_u);
      c.if();
      c.get(host);
      this.exit_undone();
      c.end();
    };
    if (this.stepping) {
      slow();
      return;
    }
    this.probe(ea, size, (info & INFO.WRITE) !== 0);
    c.if();
    this.hit(ea);
    c.set(host).else();
    slow();
    c.end();
  }

  /** True if the operand's default segment is ss, so that a bad address is #SS. */
  is_stack(m: MemOperand): boolean {
    return m.segment === null && (m.base === 4 || m.base === 5);
  }

  /** Loads `size` bytes, 1 to 8, at the address in a temporary. */
  load_at(ea: number, size: number, stack: boolean): this {
    this.translate(ea, size, HOST_LOCAL, this.info(size, stack, 0));
    this.c.get(HOST_LOCAL).mem(LOAD[size], 0);
    return this;
  }

  /** Stores the value of a temporary, `size` bytes, at the address in a temporary. */
  store_at(ea: number, size: number, value: number, stack: boolean): void {
    const c = this.c;
    const slow = (): void => {
      c.get(CTX_LOCAL).get(value).mem(STORE[size], CTX.SCRATCH);
      this.slow_store(ea, size, stack);
    };
    if (this.stepping) {
      slow();
      return;
    }
    this.probe(ea, size, true);
    c.if();
    this.hit(ea);
    c.get(value).mem(STORE[size], 0).else();
    slow();
    c.end();
  }

  // Stores what lies in CTX.SCRATCH.
  private slow_store(ea: number, size: number, stack: boolean): void {
    const c = this.c;
    this.call_slow(FN.slow_store, ea, this.info(size, stack, INFO.WRITE));
    c.tee(HOST_LOCAL);
    c.if();
    c.get(HOST_LOCAL);
    this.exit_undone();
    c.end();
  }

  /** Loads a vector of 2, 4, 8 (zero above) or 16 bytes. */
  load_vector(m: MemOperand, size: number, aligned: boolean): this {
    const ea = this.address(m);
    if (size === 2) {
      this.c.v128(new Uint8Array(16));
      return this.load_at(ea, 2, this.is_stack(m)).vector_lane(26, 0);
    }
    if (aligned && size === 16) this.check_aligned(ea);
    this.translate(ea, size, HOST_LOCAL, this.info(size, this.is_stack(m), 0));
    this.c.get(HOST_LOCAL).simd_mem(size === 16 ? 0 : size === 8 ? 93 : 92, 0);
    return this;
  }

  /** An instruction on one element. */
  vector_lane(op: number, lane: number): this {
    this.c.simd(op, lane);
    return this;
  }

  /** Stores a vector, or its low 8 or 4 bytes, from a temporary. */
  store_vector(m: MemOperand, size: number, value: number, aligned: boolean): void {
    const c = this.c;
    const ea = this.address(m);
    if (aligned && size === 16) this.check_aligned(ea);
    const put = (offset: number): void => {
      c.get(value);
      if (size === 16) c.simd_mem(11, offset);
      else c.simd_mem(size === 8 ? 91 : 90, offset).byte(0);
    };
    const slow = (): void => {
      c.get(CTX_LOCAL);
      put(CTX.SCRATCH);
      this.slow_store(ea, size, this.is_stack(m));
    };
    if (this.stepping) {
      slow();
      return;
    }
    this.probe(ea, size, true);
    c.if();
    this.hit(ea);
    put(0);
    c.else();
    slow();
    c.end();
  }

  private check_aligned(ea: number): void {
    this.c.get(ea).op(OP.i32_wrap_i64).i32(15).op(OP.i32_and);
    this.exit_if(EXIT.GP);
  }

  // Operands

  /** Leaves the operand's value; of a memory operand it may leave the region first. */
  read(o: Operand, size = o.kind === 'imm' || o.kind === 'rel' ? this.insn.size : o.size): this {
    switch (o.kind) {
      case 'reg':
        return this.read_reg(o);
      case 'mem':
        return this.load_at(this.address(o), size, this.is_stack(o));
      case 'imm':
        if (o.high !== null) this.c.i64_halves(o.value, o.high);
        else this.constant(size, o.value);
        return this;
      default:
        throw new Error(`read of ${o.kind}`);
    }
  }

  /** Writes the value of a temporary to a register or memory. */
  write(o: Operand, value: number): void {
    if (o.kind === 'reg') {
      this.c.get(value);
      this.write_reg(o);
    } else if (o.kind === 'mem') {
      this.store_at(this.address(o), o.size, value, this.is_stack(o));
    } else {
      throw new Error(`write of ${o.kind}`);
    }
  }

  /**
   * A read-modify-write: `compute` gets a temporary with the old value and returns one with the new value. Nothing of
   * the
   * instruction may fault after it, and flags are set by the caller afterwards.
   */
  modify(o: Operand, compute: (old: number) => number): void {
    this.modify_at(o, o.kind === 'mem' ? this.address(o) : -1, compute);
  }

  /** modify() with the address of a memory operand in a temporary. */
  modify_at(o: Operand, ea: number, compute: (old: number) => number): void {
    const c = this.c;
    if (o.kind === 'reg') {
      const old = this.temp(o.size);
      this.read_reg(o).c.set(old);
      c.get(compute(old));
      this.write_reg(o);
      return;
    }
    if (o.kind !== 'mem') throw new Error(`modify of ${o.kind}`);
    const locked = this.insn.lock || this.insn.name === 'xchg';
    const stack = this.is_stack(o);
    const host = this.temp_i32();
    const old = this.temp(o.size);
    this.translate(ea, o.size, host, this.info(o.size, stack, INFO.WRITE | INFO.RMW | (locked ? INFO.LOCK : 0)));
    c.get(host).mem(LOAD[o.size], 0).set(old);
    const value = compute(old);
    if (this.stepping && !locked) {
      this.store_at(ea, o.size, value, stack);
      return;
    }
    c.get(host).get(value).mem(STORE[o.size], 0);
    c.get(host).get(CTX_LOCAL).i32(CTX.SCRATCH).op(OP.i32_add, OP.i32_eq);
    c.if();
    c.call(FN.flush).end();
  }

  /** Pushes the value of a temporary; rsp changes last. */
  push(size: number, value: number): void {
    const sp = this.temp_i64();
    this.gpr(4).c.i64(size).op(OP.i64_sub).set(sp);
    this.store_at(sp, size, value, true);
    this.c.get(sp);
    this.set_gpr(4);
  }

  /** A division of rdx:rax that 64 bits do not suffice for, into temporaries; #DE if the quotient does not fit. */
  wide_divide(signed: boolean, low: number, divisor: number, quotient: number, rest: number): void {
    this.store_ctx(MEM.i64_store, CTX.HELP, () => this.c.get(low));
    this.store_ctx(MEM.i64_store, CTX.HELP + 8, () => this.gpr(2));
    this.store_ctx(MEM.i64_store, CTX.HELP + 16, () => this.c.get(divisor));
    this.c
      .get(CTX_LOCAL)
      .i32(signed ? HELP.idiv : HELP.div)
      .call(FN.help);
    this.exit_if(EXIT.DE);
    this.load_ctx(MEM.i64_load, CTX.HELP).c.set(quotient);
    this.load_ctx(MEM.i64_load, CTX.HELP + 8).c.set(rest);
  }

  xmm_operand(i: number): XmmOperand {
    const o = this.insn.ops[i];
    if (o?.kind !== 'xmm') throw new Unimplemented(`operand ${i} of ${this.insn.name}`);
    return o;
  }
}

const LOAD: Readonly<Record<number, number>> = {
  1: MEM.i32_load8_u,
  2: MEM.i32_load16_u,
  4: MEM.i32_load,
  8: MEM.i64_load,
};
const STORE: Readonly<Record<number, number>> = {
  1: MEM.i32_store8,
  2: MEM.i32_store16,
  4: MEM.i32_store,
  8: MEM.i64_store,
};
