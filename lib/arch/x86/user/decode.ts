// SPDX-License-Identifier: GPL-2.0-only
// The decoder. NON-KERNEL throughout.

import type { CpuLevel } from './cpu.ts';
import { InvalidOpcode, Unimplemented, type Insn, type MemOperand, type Operand } from './insn.ts';
import { MAP_0F, MAP_0F38, MAP_0F3A, MAP_1, is_mmx, type Row } from './opcodes.ts';

/** No encoding is longer: #GP. */
export const MAX_INSN_BYTES = 15;

/** An instruction of more than 15 bytes: #GP. */
export class TooLong extends Error {}

/** Returns the byte at an address, or throws whatever a failed fetch is to the caller. */
export type FetchByte = (addr: number) => number;

const LEVELS: readonly CpuLevel[] = ['v1', 'v2', 'v3'];
const LOCKABLE = new Set([
  'add',
  'adc',
  'and',
  'btc',
  'btr',
  'bts',
  'cmpxchg',
  'cmpxchg8b',
  'cmpxchg16b',
  'dec',
  'inc',
  'neg',
  'not',
  'or',
  'sbb',
  'sub',
  'xor',
  'xadd',
  'xchg',
]);
/** Instructions that the prefix f2 or f3 repeats. */
const STRING = new Set(['movs', 'cmps', 'stos', 'lods', 'scas']);

class Decoder {
  private readonly pc: number;
  private readonly fetch: FetchByte;
  private readonly level: number;
  private at = 0;
  private opsize = false;
  private addr32 = false;
  private rep = 0;
  private lock = false;
  private segment: 'fs' | 'gs' | null = null;
  private rex = 0;
  private has_rex = false;
  private opcode = 0;
  private modrm = -1;
  private base = -1;
  private index = -1;
  private scale = 0;
  private disp = 0;
  private rip_relative = false;

  constructor(pc: number, fetch: FetchByte, level: CpuLevel) {
    this.pc = pc;
    this.fetch = fetch;
    this.level = LEVELS.indexOf(level);
  }

  private u8(): number {
    if (this.at === MAX_INSN_BYTES) throw new TooLong();
    return this.fetch(this.pc + this.at++);
  }
  private i8(): number {
    return (this.u8() << 24) >> 24;
  }
  private u16(): number {
    return this.u8() | (this.u8() << 8);
  }
  private i32(): number {
    return this.u16() | (this.u16() << 16);
  }

  private prefixes(): void {
    for (;;) {
      const b = this.u8();
      if ((b & 0xf0) === 0x40) {
        this.rex = b;
        this.has_rex = true;
        continue;
      }
      if (b === 0x66) this.opsize = true;
      else if (b === 0x67) this.addr32 = true;
      else if (b === 0xf2 || b === 0xf3) this.rep = b;
      else if (b === 0xf0) this.lock = true;
      else if (b === 0x64) this.segment = 'fs';
      else if (b === 0x65) this.segment = 'gs';
      else if (b !== 0x26 && b !== 0x2e && b !== 0x36 && b !== 0x3e) {
        this.opcode = b;
        return;
      }
      // a REX prefix that another prefix follows has no effect
      this.rex = 0;
      this.has_rex = false;
    }
  }

  private get w(): number {
    return (this.rex >> 3) & 1;
  }
  private get mod3(): boolean {
    return this.modrm >> 6 === 3;
  }
  private get reg(): number {
    return ((this.modrm >> 3) & 7) | ((this.rex & 4) << 1);
  }
  private get rm(): number {
    return (this.modrm & 7) | ((this.rex & 1) << 3);
  }

  private read_modrm(): void {
    if (this.modrm >= 0) return;
    this.modrm = this.u8();
    const mod = this.modrm >> 6;
    if (mod === 3) return;
    const low = this.modrm & 7;
    let no_base = false;
    if (low === 4) {
      const sib = this.u8();
      this.scale = sib >> 6;
      const index = ((sib >> 3) & 7) | ((this.rex & 2) << 2);
      this.index = index === 4 ? -1 : index;
      no_base = (sib & 7) === 5 && mod === 0;
      if (!no_base) this.base = (sib & 7) | ((this.rex & 1) << 3);
    } else if (low === 5 && mod === 0) {
      this.rip_relative = true;
      no_base = true;
    } else {
      this.base = this.rm;
    }
    if (no_base || mod === 2) this.disp = this.i32();
    else if (mod === 1) this.disp = this.i8();
  }

  private matches(row: Row): boolean {
    if (LEVELS.indexOf(row.level) > this.level) return false;
    if (row.prefix !== null) {
      const have = this.rep === 0xf3 ? 'f3' : this.rep === 0xf2 ? 'f2' : this.opsize ? '66' : 'np';
      if (row.prefix !== have) return false;
    }
    if (row.w !== null && row.w !== this.w) return false;
    if (row.group < 0 && row.form === null) return true;
    this.read_modrm();
    if (row.group >= 0 && ((this.modrm >> 3) & 7) !== row.group) return false;
    return row.form === null || (row.form === 'r') === this.mod3;
  }

  // The operand size in bytes that a size letter stands for.
  private size_of(letter: string, v: number): number {
    switch (letter) {
      case 'b':
        return 1;
      case 'w':
        return 2;
      case 'd':
        return 4;
      case 'q':
        return 8;
      case 'v':
      case 'z':
        return v;
      case 'y':
        return this.w ? 8 : 4;
      case 'n':
        return this.opsize ? 2 : 8;
      case 'o':
        return 16;
      case 'p':
        return v;
      default:
        throw new Error(`operand size ${letter}`);
    }
  }

  private mem(size: number): MemOperand {
    return {
      kind: 'mem',
      size,
      base: this.base,
      index: this.index,
      scale: this.scale,
      disp: this.disp,
      disp_high: null,
      segment: this.segment,
      addr32: this.addr32,
    };
  }

  private gpr(reg: number, size: number): Operand {
    const high = size === 1 && !this.has_rex && reg >= 4 && reg < 8;
    return { kind: 'reg', reg: high ? reg - 4 : reg, size, high };
  }

  private immediate(size: string, v: number): Operand {
    if (size === 'b') return { kind: 'imm', value: this.i8(), high: null };
    if (size === 'w') return { kind: 'imm', value: this.u16(), high: null };
    if (v === 2) return { kind: 'imm', value: (this.u16() << 16) >> 16, high: null };
    const value = this.i32();
    if (size === 'v' && v === 8) return { kind: 'imm', value, high: this.i32() };
    return { kind: 'imm', value, high: null };
  }

  // `s` and `d` are the scalars' sizes with the letters of vector registers.
  private vector_size(letter: string): number {
    return letter === 'w' ? 2 : letter === 's' ? 4 : letter === 'd' ? 8 : 16;
  }

  private operand(spec: string, v: number): Operand | null {
    const letter = spec.charAt(0);
    const size = spec.charAt(1);
    switch (letter) {
      case 'A':
        return { kind: 'reg', reg: 0, size: this.size_of(size, v), high: false };
      case 'C':
        return { kind: 'reg', reg: 1, size: 1, high: false };
      case '1':
        return { kind: 'imm', value: 1, high: null };
      case 'Z': {
        const reg = (this.opcode & 7) | ((this.rex & 1) << 3);
        return this.gpr(reg, this.size_of(size, v));
      }
      case 'G':
        this.read_modrm();
        return this.gpr(this.reg, this.size_of(size, v));
      case 'E':
      case 'M':
      case 'R':
        this.read_modrm();
        if (this.mod3 ? letter === 'M' : letter === 'R') throw new InvalidOpcode();
        return this.mod3 ? this.gpr(this.rm, this.size_of(size, v)) : this.mem(this.size_of(size, v));
      case 'V':
        this.read_modrm();
        return { kind: 'xmm', reg: this.reg, size: this.vector_size(size) };
      case 'W':
      case 'U':
        this.read_modrm();
        if (letter === 'U' && !this.mod3) throw new InvalidOpcode();
        if (this.mod3) return { kind: 'xmm', reg: this.rm, size: this.vector_size(size) };
        return this.mem(this.vector_size(size));
      case 'I':
        return this.immediate(size, v);
      case 'J': {
        const rel = size === 'b' ? this.i8() : this.i32();
        return { kind: 'rel', target: rel };
      }
      case 'O': {
        const lo = this.i32();
        const hi = this.addr32 ? 0 : this.i32();
        return {
          kind: 'mem',
          size: this.size_of(size, v),
          base: -1,
          index: -1,
          scale: 0,
          disp: lo,
          disp_high: hi,
          segment: this.segment,
          addr32: this.addr32,
        };
      }
      case 'S':
        return this.string_operand(6, this.segment, this.size_of(size, v));
      case 'D':
        return this.string_operand(7, this.opcode === 0xf7 ? this.segment : null, this.size_of(size, v));
      case 'B':
        return this.string_operand(3, this.segment, this.size_of(size, v));
      default:
        return null;
    }
  }

  private string_operand(base: number, segment: 'fs' | 'gs' | null, size: number): Operand {
    return { kind: 'mem', size, base, index: -1, scale: 0, disp: 0, disp_high: null, segment, addr32: this.addr32 };
  }

  // The address of a branch or a rip-relative operand counts from the end of the instruction.
  private place(op: Operand): Operand {
    const next = this.pc + this.at;
    if (op.kind === 'rel') return { kind: 'rel', target: next + op.target };
    if (op.kind === 'mem' && this.rip_relative && op.disp_high === null) return { ...op, disp: next + op.disp };
    return op;
  }

  // Opcode and ModRM as the value of an immediate; x87.ts takes them apart.
  private x87(): Insn {
    this.read_modrm();
    const ops: Operand[] = [{ kind: 'imm', value: (this.opcode << 8) | this.modrm, high: null }];
    if (!this.mod3) ops.push(this.place(this.mem(8)));
    if (this.lock) throw new InvalidOpcode();
    return this.insn('x87', ops, 8);
  }

  private insn(name: string, ops: readonly Operand[], size: number): Insn {
    return {
      pc: this.pc,
      length: this.at,
      name,
      ops,
      size,
      cc: this.opcode & 15,
      rep: !STRING.has(name) || this.rep === 0 ? null : this.rep === 0xf2 ? 'repne' : 'rep',
      lock: this.lock,
      addr32: this.addr32,
      vex: 0,
    };
  }

  decode(): Insn {
    this.prefixes();
    let map = MAP_1;
    if (this.opcode === 0x0f) {
      map = MAP_0F;
      this.opcode = this.u8();
      if (this.opcode === 0x38 || this.opcode === 0x3a) {
        map = this.opcode === 0x38 ? MAP_0F38 : MAP_0F3A;
        this.opcode = this.u8();
      }
    }
    // at v3 these are VEX prefixes
    if (map === MAP_1 && (this.opcode === 0xc4 || this.opcode === 0xc5) && this.level === LEVELS.indexOf('v3')) {
      throw new Unimplemented('a VEX encoding');
    }
    if (map === MAP_1 && this.opcode >= 0xd8 && this.opcode <= 0xdf) return this.x87();
    const rows = map[this.opcode];
    const row = rows.find((r) => this.matches(r));
    if (row === undefined) {
      if (map === MAP_0F && this.rep === 0 && !this.opsize && is_mmx(this.opcode))
        throw new Unimplemented('an MMX instruction');
      throw new InvalidOpcode();
    }
    if (row.name === 'unimplemented') throw new Unimplemented('an instruction outside of what compilers use');
    // A mandatory prefix is no operand size; REX.W wins over the prefix 66.
    const v = this.w ? 8 : this.opsize && row.prefix !== '66' ? 2 : 4;
    let size = v;
    const ops: Operand[] = [];
    for (const spec of row.operands) {
      const op = this.operand(spec, v);
      if (op !== null) {
        ops.push(op);
        if (ops.length === 1 && op.kind !== 'imm' && op.kind !== 'rel' && op.kind !== 'xmm') size = op.size;
      } else {
        size = this.size_of(spec, v);
      }
    }
    let name = row.name;
    if (map === MAP_1 && this.opcode === 0x90 && (this.rex & 1) === 0) name = 'nop';
    // there are six segment registers
    if (name === 'movseg' && ((this.modrm >> 3) & 7) > 5) throw new InvalidOpcode();
    const placed = ops.map((op) => this.place(op));
    if (this.lock && !(LOCKABLE.has(name) && placed[0]?.kind === 'mem')) throw new InvalidOpcode();
    return this.insn(name, name === 'nop' ? [] : placed, size);
  }
}

/**
 * The instruction at an address. Throws InvalidOpcode (#UD), Unimplemented, TooLong (#GP), and what `fetch` throws.
 */
export function decode(pc: number, fetch: FetchByte, level: CpuLevel): Insn {
  return new Decoder(pc, fetch, level).decode();
}
