// SPDX-License-Identifier: GPL-2.0-only
// The x87: loads, stores, arithmetic, comparisons and control, as long double needs them. NON-KERNEL throughout.

import type { UserCpu } from './cpu.ts';
import {
  add,
  C1,
  compare,
  DE,
  divide,
  type Float80,
  from_float,
  from_integer,
  IE,
  INDEFINITE,
  is_denormal,
  is_signalling,
  multiply,
  negate,
  type Result,
  square_root,
  subtract,
  to_float,
  to_integer,
  unpack,
  ZE,
  zero,
} from './float80.ts';
import { CTX, EXIT, type Exit } from './layout.ts';

const EXCEPTIONS = 0x3f;
/** stack fault */
const SF = 0x40;
const C0 = 0x100;
const C2 = 0x400;
const C3 = 0x4000;
const CONDITIONS = C0 | C1 | C2 | C3;
const RESET_FCW = 0x37f;
const [CF, PF, AF, ZF, SIGN, OF] = [1, 4, 0x10, 0x40, 0x80, 0x800];
const CMOV_FLAGS = [CF, ZF, CF | ZF, PF];

const CONSTANTS: readonly Float80[] = [
  { se: 0x3fff, m: 0x8000000000000000n },
  { se: 0x4000, m: 0xd49a784bcd1b8afen },
  { se: 0x3fff, m: 0xb8aa3b295c17f0bcn },
  { se: 0x4000, m: 0xc90fdaa22168c235n },
  { se: 0x3ffd, m: 0x9a209a84fbcff799n },
  { se: 0x3ffe, m: 0xb17217f7d1cf79acn },
  zero(false),
];

/** The x87 of a context while one of its instructions executes. Nothing is changed before the last access is done. */
class X87 {
  private readonly cpu: UserCpu;
  private readonly ctx: number;
  private readonly addr: number;
  private readonly view: DataView;
  fcw: number;
  fsw: number;
  private tags: number;
  private readonly changed = new Map<number, Float80>();

  constructor(cpu: UserCpu, ctx: number, addr: number) {
    this.cpu = cpu;
    this.ctx = ctx;
    this.addr = addr;
    this.view = cpu.memory.view;
    this.fcw = this.view.getUint16(ctx + CTX.FCW, true);
    this.fsw = this.view.getUint16(ctx + CTX.FSW, true);
    this.tags = this.view.getUint16(ctx + CTX.FTW, true);
  }

  private get top(): number {
    return (this.fsw >> 11) & 7;
  }
  private set top(n: number) {
    this.fsw = (this.fsw & ~0x3800) | ((n & 7) << 11);
  }

  /** Writes the state back; an exception that the control word does not mask is not implemented. */
  commit(): Exit {
    if ((this.fsw & ~this.fcw & EXCEPTIONS) !== 0) return EXIT.UNIMPLEMENTED;
    this.view.setUint16(this.ctx + CTX.FCW, this.fcw, true);
    this.view.setUint16(this.ctx + CTX.FSW, this.fsw, true);
    this.view.setUint16(this.ctx + CTX.FTW, this.tags, true);
    for (const [r, f] of this.changed) {
      this.view.setBigUint64(this.ctx + CTX.X87 + r * 16, f.m, true);
      this.view.setUint16(this.ctx + CTX.X87 + r * 16 + 8, f.se, true);
    }
    return EXIT.JUMP;
  }

  raise(flags: number): void {
    this.fsw = (this.fsw & ~C1) | flags;
  }

  /** st(i); of an empty register the indefinite number, with a stack fault. */
  st(i: number): Float80 {
    const r = (this.top + i) & 7;
    if ((this.tags & (1 << r)) === 0) {
      this.raise(IE | SF);
      return INDEFINITE;
    }
    const at = this.ctx + CTX.X87 + r * 16;
    return this.changed.get(r) ?? { m: this.view.getBigUint64(at, true), se: this.view.getUint16(at + 8, true) };
  }

  is_empty(i: number): boolean {
    return (this.tags & (1 << ((this.top + i) & 7))) === 0;
  }

  set_st(i: number, f: Float80): void {
    const r = (this.top + i) & 7;
    this.tags |= 1 << r;
    this.changed.set(r, f);
  }

  push(f: Float80): void {
    this.top = this.top - 1;
    if (!this.is_empty(0)) {
      this.raise(IE | SF | C1);
      f = INDEFINITE;
    }
    this.set_st(0, f);
  }

  pop(): void {
    this.free(0);
    this.top = this.top + 1;
  }

  free(i: number): void {
    this.tags &= ~(1 << ((this.top + i) & 7));
  }

  rotate(by: number): void {
    this.top = this.top + by;
    this.fsw &= ~C1;
  }

  init(): void {
    this.fcw = RESET_FCW;
    this.fsw = 0;
    this.tags = 0;
  }

  load(size: number): DataView | Exit {
    const bytes = this.cpu.load_bytes(this.ctx, this.addr, size);
    return typeof bytes === 'number' ? bytes : new DataView(bytes.buffer);
  }

  store(size: number, fill: (v: DataView) => void): Exit {
    const bytes = new Uint8Array(size);
    fill(new DataView(bytes.buffer));
    return this.cpu.store_bytes(this.ctx, this.addr, bytes);
  }

  get flags(): number {
    return this.view.getUint32(this.ctx + CTX.FLAGS, true);
  }
  set flags(n: number) {
    this.view.setUint32(this.ctx + CTX.FLAGS, n, true);
  }

  set_rax_low(n: number): void {
    this.view.setUint16(this.ctx + CTX.GPR, n, true);
  }
}

/** add mul - - sub subr div divr, in the order of the encoding. */
function arithmetic(op: number, a: Float80, b: Float80, fcw: number): Result {
  switch (op) {
    case 0:
      return add(a, b, fcw);
    case 1:
      return multiply(a, b, fcw);
    case 4:
      return subtract(a, b, fcw);
    case 5:
      return subtract(b, a, fcw);
    case 6:
      return divide(a, b, fcw);
    default:
      return divide(b, a, fcw);
  }
}

function operate(x: X87, op: number, to: number, a: Float80, b: Float80): number {
  x.fsw &= ~C1;
  const r = arithmetic(op, a, b, x.fcw);
  x.raise(r.flags);
  x.set_st(to, r.f);
  return r.flags;
}

/** Sets C3, C2, C0, or ZF, PF, CF of the flags. A quiet NaN is invalid unless `unordered`. */
function comparison(x: X87, a: Float80, b: Float80, unordered: boolean, eflags: boolean): number {
  const order = compare(a, b);
  const bad = [a, b].some((f) => unpack(f).kind === 'invalid' || is_signalling(f));
  let flags = order === null && (bad || !unordered) ? IE : 0;
  if (order !== null && (is_denormal(a) || is_denormal(b))) flags |= DE;
  x.fsw = (x.fsw & ~C1) | flags;
  if (eflags) {
    const bits = order === null ? ZF | PF | CF : order === 0 ? ZF : order < 0 ? CF : 0;
    x.flags = (x.flags & ~(CF | PF | AF | ZF | SIGN | OF)) | bits;
    return flags;
  }
  const bits = order === null ? C3 | C2 | C0 : order === 0 ? C3 : order < 0 ? C0 : 0;
  x.fsw = (x.fsw & ~CONDITIONS) | bits;
  return flags;
}

function examine(x: X87): void {
  const empty = x.is_empty(0);
  const saved = x.fsw;
  const f = x.st(0);
  x.fsw = saved;
  const v = unpack(f);
  let bits = 0;
  if (empty) bits = C3 | C0;
  else if (v.kind === 'nan') bits = C0;
  else if (v.kind === 'infinite') bits = C2 | C0;
  else if (v.kind === 'finite') bits = v.m === 0n ? C3 : is_denormal(f) ? C3 | C2 : C2;
  x.fsw = (x.fsw & ~CONDITIONS) | bits | (v.negative && !empty ? C1 : 0);
}

/** frndint */
function round_to_integer(x: X87): void {
  const f = x.st(0);
  const v = unpack(f);
  x.fsw &= ~C1;
  if (v.kind !== 'finite' || v.m === 0n) {
    const r = v.kind === 'infinite' || v.kind === 'finite' ? { f, flags: 0 } : add(f, zero(false), x.fcw);
    x.raise(r.flags);
    x.set_st(0, r.f);
    return;
  }
  const n = to_integer(f, x.fcw, false);
  if (n === null) return;
  x.raise(n.flags | (is_denormal(f) ? DE : 0));
  x.set_st(0, n.n === 0n ? zero(v.negative) : from_integer(n.n));
}

/** The operand of d8, da, dc and de in memory: single, 32-bit, double, 16-bit. */
function memory_operand(x: X87, opcode: number): Result | Exit {
  const size = [4, 4, 8, 2][(opcode >> 1) & 3];
  const v = x.load(size);
  if (typeof v === 'number') return v;
  if (opcode === 0xd8) return from_float(BigInt(v.getUint32(0, true)), 32);
  if (opcode === 0xdc) return from_float(v.getBigUint64(0, true), 64);
  return { f: from_integer(BigInt(opcode === 0xda ? v.getInt32(0, true) : v.getInt16(0, true))), flags: 0 };
}

/** What loading the operand raised; an operation with a NaN, or invalid or by zero, does not tell of a denormal. */
function operand_flags(operand: Result, a: Float80, flags: number): number {
  const { kind } = unpack(a);
  return (flags & (IE | ZE)) !== 0 || kind === 'nan' || kind === 'invalid' ? operand.flags & ~DE : operand.flags;
}

function with_memory(x: X87, opcode: number, op: number): Exit {
  const operand = memory_operand(x, opcode);
  if (typeof operand === 'number') return operand;
  const empty = x.is_empty(0);
  const a = x.st(0);
  if (op === 2 || op === 3) {
    const flags = comparison(x, a, operand.f, false, false);
    if (!empty) x.fsw |= operand_flags(operand, a, flags);
    if (op === 3) x.pop();
    return EXIT.JUMP;
  }
  const flags = operate(x, op, 0, a, operand.f);
  if (!empty) x.fsw |= operand_flags(operand, a, flags);
  return EXIT.JUMP;
}

/** Stores st(0) as an integer of `size` bytes. */
function store_integer(x: X87, size: number, truncate: boolean): Exit {
  const f = x.st(0);
  const bits = size * 8;
  const r = to_integer(f, x.fcw, truncate);
  const fits = r !== null && BigInt.asIntN(bits, r.n) === r.n;
  x.fsw &= ~C1;
  x.raise(fits ? r.flags : IE);
  const n = fits ? r.n : 1n << BigInt(bits - 1);
  return x.store(size, (v) => {
    if (size === 2) v.setInt16(0, Number(BigInt.asIntN(16, n)), true);
    else if (size === 4) v.setInt32(0, Number(BigInt.asIntN(32, n)), true);
    else v.setBigInt64(0, BigInt.asIntN(64, n), true);
  });
}

function store_float(x: X87, width: 32 | 64): Exit {
  const f = x.st(0);
  x.fsw &= ~C1;
  const r = to_float(f, width, x.fcw);
  x.raise(r.flags);
  return x.store(width / 8, (v) => {
    if (width === 32) v.setUint32(0, Number(r.bits), true);
    else v.setBigUint64(0, r.bits, true);
  });
}

function load_integer(x: X87, size: number): Exit {
  const v = x.load(size);
  if (typeof v === 'number') return v;
  const n =
    size === 2 ? BigInt(v.getInt16(0, true)) : size === 4 ? BigInt(v.getInt32(0, true)) : v.getBigInt64(0, true);
  x.fsw &= ~C1;
  x.push(from_integer(n));
  return EXIT.JUMP;
}

function load_float(x: X87, width: 32 | 64): Exit {
  const v = x.load(width / 8);
  if (typeof v === 'number') return v;
  const r = from_float(width === 32 ? BigInt(v.getUint32(0, true)) : v.getBigUint64(0, true), width);
  x.fsw &= ~C1;
  x.push(r.f);
  x.fsw |= r.flags;
  return EXIT.JUMP;
}

function stored_and_popped(x: X87, exit: Exit): Exit {
  if (exit === EXIT.JUMP) x.pop();
  return exit;
}

/** Memory forms of d9, db, dd and df. */
function memory_form(x: X87, opcode: number, op: number): Exit {
  switch (opcode * 8 + op) {
    case 0xd9 * 8:
      return load_float(x, 32);
    case 0xd9 * 8 + 2:
      return store_float(x, 32);
    case 0xd9 * 8 + 3:
      return stored_and_popped(x, store_float(x, 32));
    case 0xd9 * 8 + 5: {
      const v = x.load(2);
      if (typeof v === 'number') return v;
      x.fcw = (v.getUint16(0, true) & 0x1f3f) | 0x40;
      return EXIT.JUMP;
    }
    case 0xd9 * 8 + 7:
      return x.store(2, (v) => v.setUint16(0, x.fcw, true));
    case 0xdd * 8 + 7:
      return x.store(2, (v) => v.setUint16(0, x.fsw, true));
    case 0xdd * 8:
      return load_float(x, 64);
    case 0xdd * 8 + 2:
      return store_float(x, 64);
    case 0xdd * 8 + 3:
      return stored_and_popped(x, store_float(x, 64));
    case 0xdb * 8 + 5: {
      const v = x.load(10);
      if (typeof v === 'number') return v;
      x.fsw &= ~C1;
      x.push({ m: v.getBigUint64(0, true), se: v.getUint16(8, true) });
      return EXIT.JUMP;
    }
    case 0xdb * 8 + 7: {
      const f = x.st(0);
      const exit = x.store(10, (v) => {
        v.setBigUint64(0, f.m, true);
        v.setUint16(8, f.se, true);
      });
      if (!x.is_empty(0)) x.fsw &= ~C1;
      return stored_and_popped(x, exit);
    }
    case 0xdf * 8 + 5:
      return load_integer(x, 8);
    case 0xdf * 8 + 7:
      return stored_and_popped(x, store_integer(x, 8, false));
    default: {
      if (opcode === 0xd9 || op > 3) return EXIT.UNIMPLEMENTED;
      const size = opcode === 0xdb ? 4 : opcode === 0xdf ? 2 : 8;
      if (op === 0) return load_integer(x, size);
      if (op === 1) return stored_and_popped(x, store_integer(x, size, true));
      const exit = store_integer(x, size, false);
      return op === 3 ? stored_and_popped(x, exit) : exit;
    }
  }
}

/** Register forms of d9 from e0 on: constants and functions of st(0). */
function function_form(x: X87, low: number): Exit {
  if (low >= 0x28 && low <= 0x2e) {
    x.fsw &= ~C1;
    x.push(CONSTANTS[low - 0x28]);
    return EXIT.JUMP;
  }
  switch (low) {
    case 0x20:
    case 0x21: {
      const f = x.st(0);
      if (x.is_empty(0)) x.set_st(0, INDEFINITE);
      else {
        x.fsw &= ~C1;
        x.set_st(0, low === 0x20 ? negate(f) : { se: f.se & 0x7fff, m: f.m });
      }
      return EXIT.JUMP;
    }
    case 0x24:
      comparison(x, x.st(0), zero(false), false, false);
      return EXIT.JUMP;
    case 0x25:
      examine(x);
      return EXIT.JUMP;
    case 0x36:
      x.rotate(-1);
      return EXIT.JUMP;
    case 0x37:
      x.rotate(1);
      return EXIT.JUMP;
    case 0x3a: {
      const f = x.st(0);
      x.fsw &= ~C1;
      const r = square_root(f, x.fcw);
      x.raise(r.flags);
      x.set_st(0, r.f);
      return EXIT.JUMP;
    }
    case 0x3c:
      round_to_integer(x);
      return EXIT.JUMP;
    default:
      return EXIT.UNIMPLEMENTED;
  }
}

/** Register forms; `low` is ModRM without mod. */
function register_form(x: X87, opcode: number, low: number): Exit {
  const op = low >> 3;
  const i = low & 7;
  const condition = CMOV_FLAGS[op & 3] & x.flags;
  switch (opcode) {
    case 0xd8:
      if (op === 2 || op === 3) {
        comparison(x, x.st(0), x.st(i), false, false);
        if (op === 3) x.pop();
      } else {
        operate(x, op, 0, x.st(0), x.st(i));
      }
      return EXIT.JUMP;
    case 0xdc:
    case 0xde:
      if (op === 2 || op === 3) {
        if (opcode === 0xdc || low !== 0x19) return EXIT.UNIMPLEMENTED;
        comparison(x, x.st(0), x.st(1), false, false);
        x.pop();
        x.pop();
        return EXIT.JUMP;
      }
      operate(x, op, i, x.st(0), x.st(i));
      if (opcode === 0xde) x.pop();
      return EXIT.JUMP;
    case 0xd9:
      if (low < 8) {
        const f = x.st(i);
        x.push(f);
      } else if (low < 16) {
        const [a, b] = [x.st(0), x.st(i)];
        x.set_st(0, b);
        x.set_st(i, a);
        x.fsw &= ~C1;
      } else if (low !== 0x10) {
        return function_form(x, low);
      }
      return EXIT.JUMP;
    case 0xda:
      if (low === 0x29) {
        comparison(x, x.st(0), x.st(1), true, false);
        x.pop();
        x.pop();
        return EXIT.JUMP;
      }
      if (op > 3) return EXIT.UNIMPLEMENTED;
      if (condition !== 0) x.set_st(0, x.st(i));
      return EXIT.JUMP;
    case 0xdb:
      if (low === 0x22) x.fsw &= ~(EXCEPTIONS | SF | 0x80 | 0x8000);
      else if (low === 0x23) x.init();
      else if (op === 5 || op === 6) comparison(x, x.st(0), x.st(i), op === 5, true);
      else if (op > 3) return EXIT.UNIMPLEMENTED;
      else if (condition === 0) x.set_st(0, x.st(i));
      return EXIT.JUMP;
    case 0xdd:
      if (op === 0) x.free(i);
      else if (op === 2 || op === 3) x.set_st(i, x.st(0));
      else if (op === 4 || op === 5) comparison(x, x.st(0), x.st(i), true, false);
      else return EXIT.UNIMPLEMENTED;
      if (op === 3 || op === 5) x.pop();
      return EXIT.JUMP;
    default:
      if (low === 0x20) x.set_rax_low(x.fsw);
      else if (op === 5 || op === 6) {
        comparison(x, x.st(0), x.st(i), op === 5, true);
        x.pop();
      } else return EXIT.UNIMPLEMENTED;
      return EXIT.JUMP;
  }
}

/** Executes an instruction of opcodes d8 to df; `addr` is that of its memory operand. */
export function execute_x87(cpu: UserCpu, ctx: number, opcode: number, modrm: number, addr: number): Exit {
  const x = new X87(cpu, ctx, addr);
  let exit: Exit;
  if (modrm >= 0xc0) exit = register_form(x, opcode, modrm & 0x3f);
  else if ((opcode & 1) === 0) exit = with_memory(x, opcode, (modrm >> 3) & 7);
  else exit = memory_form(x, opcode, (modrm >> 3) & 7);
  return exit === EXIT.JUMP ? x.commit() : exit;
}
