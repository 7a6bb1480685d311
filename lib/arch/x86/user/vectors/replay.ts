// SPDX-License-Identifier: GPL-2.0-only
// Replays recorded instructions on the CPU. NON-KERNEL throughout.

// Runs the states of record.c on the CPU and compares with what the real one did.

import { UserCpu, type CpuLevel } from '../cpu.ts';
import { decode_any } from '../region.ts';
import { CTX, EXIT, type Exit } from '../layout.ts';
import { UserMemory } from '../memory.ts';
import { TestMmu } from '../testing.ts';
import { AT, DATA, DATA_BYTES, make_state, type Encoding, type State } from './state.ts';
import { PAGE_SIZE } from '../../../../mm/contents.ts';

const INT3 = 0xcc;
const NAMES = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
];
/** Linux's signals by exit. */
const SIGNALS: Readonly<Partial<Record<Exit, number>>> = {
  [EXIT.FAULT]: 11,
  [EXIT.GP]: 11,
  [EXIT.SS]: 7,
  [EXIT.DE]: 8,
  [EXIT.UD]: 4,
  [EXIT.AC]: 7,
  [EXIT.DB]: 5,
};
const [CF, PF, AF, ZF, SF, DF, OF] = [1, 4, 0x10, 0x40, 0x80, 0x400, 0x800];
const SEEN = CF | PF | AF | ZF | SF | DF | OF;
/** Bytes of code between regions that share a cache, see fresh(). */
const ENCODINGS_EACH = 100;

/** Status flags that the architecture leaves undefined, by instruction. */
function undefined_flags(name: string, count: number): number {
  if (/^i?mul$/.test(name)) return SF | ZF | AF | PF;
  if (/^i?div$/.test(name)) return CF | PF | AF | ZF | SF | OF;
  if (/^(and|or|xor|test)$/.test(name)) return AF;
  if (/^(bsf|bsr)$/.test(name)) return CF | OF | SF | AF | PF;
  if (/^(tzcnt|lzcnt)$/.test(name)) return OF | SF | AF | PF;
  if (/^bt[src]?$/.test(name)) return OF | SF | AF | PF;
  if (/^(rol|ror|rcl|rcr)$/.test(name)) return count === 1 ? 0 : OF;
  if (/^(shl|shr|sar|shld|shrd)$/.test(name)) return count === 0 ? 0 : count === 1 ? AF : AF | OF;
  return 0;
}

/** Reads the results of record.c in order. */
export class Results {
  private readonly view: DataView;
  private at = 0;
  constructor(bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  private u16(): number {
    this.at += 2;
    return this.view.getUint16(this.at - 2, true);
  }

  /** True if all are read. */
  ended(): boolean {
    return this.at === this.view.byteLength;
  }

  /** Passes over `n` results. */
  skip(n: number): void {
    const bits = (mask: number): number => {
      let count = 0;
      for (; mask !== 0; mask &= mask - 1) count++;
      return count;
    };
    for (; n > 0; n--) {
      if (this.view.getUint8(this.at++) !== 0) continue;
      this.u16();
      const gprs = bits(this.u16());
      this.at += gprs * 8;
      const xmms = bits(this.u16());
      this.at += xmms * 16;
      const length = this.u16();
      if (length > 0) this.at += 2 + length;
    }
  }

  /** Turns a state into the one after the instruction; returns the signal, with which the state is as before. */
  apply(s: State): number {
    const signal = this.view.getUint8(this.at++);
    if (signal !== 0) return signal;
    s.flags = this.u16();
    const gprs = this.u16();
    for (let r = 0; r < 16; r++) {
      if ((gprs & (1 << r)) === 0) continue;
      s.gpr[r] = this.view.getBigUint64(this.at, true);
      this.at += 8;
    }
    const xmms = this.u16();
    for (let r = 0; r < 16; r++) {
      if ((xmms & (1 << r)) === 0) continue;
      for (let k = 0; k < 16; k++) s.xmm[r * 16 + k] = this.view.getUint8(this.at++);
    }
    const length = this.u16();
    if (length > 0) {
      const from = this.u16();
      for (let k = 0; k < length; k++) s.data[from + k] = this.view.getUint8(this.at++);
    }
    return 0;
  }
}

const hex = (bytes: ArrayLike<number>): string => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');

/** A CPU with record.c's mappings. */
export class Replay {
  private readonly memory = new UserMemory(8 * 2 ** 20);
  private readonly level: CpuLevel;
  private readonly mmu = new TestMmu(this.memory);
  private cpu: UserCpu;
  private ctx: number;
  private used = 0;
  private readonly data: number;
  readonly unimplemented = new Set<string>();

  constructor(level: CpuLevel) {
    this.level = level;
    for (let page = 0; page < 4; page++) this.mmu.map(DATA - 2 * PAGE_SIZE + page * PAGE_SIZE, true, false);
    this.mmu.map(AT, false, true);
    this.data = (this.mmu.pages.get(DATA / PAGE_SIZE) as { at: number }).at;
    this.cpu = new UserCpu(this.memory, level);
    this.ctx = this.cpu.new_context();
  }

  // Code of many encodings at one address makes its lists long.
  private fresh(): void {
    if (this.used++ % ENCODINGS_EACH !== 0 || this.used === 1) return;
    this.cpu = new UserCpu(this.memory, this.level);
  }

  /** Compares states `first` to `first + count` of an encoding with the results; what differs, in words. */
  check(e: Encoding, results: Results, first: number, count: number, stepping: boolean): string[] {
    this.fresh();
    const wrong: string[] = [];
    this.mmu.poke(AT, [...e.bytes, INT3]);
    const insn = decode_any(AT, (addr) => e.bytes[addr - AT] ?? INT3, this.level);
    for (let k = first; k < first + count; k++) {
      const s = make_state(e, k);
      const before = make_state(e, k);
      this.load(s);
      const exit = this.execute(stepping);
      const signal = results.apply(s);
      if (exit === EXIT.UNIMPLEMENTED) {
        this.unimplemented.add(`${insn.name} ${hex(e.bytes)}`);
        continue;
      }
      const shift = insn.ops[insn.ops.length - 1];
      const width = insn.size === 8 ? 63 : 31;
      const counted = shift?.kind === 'imm' ? shift.value & width : Number(before.gpr[1] & BigInt(width));
      // a shift of 16 bits by more of them is undefined altogether
      const any_result = /^sh[lr]d$/.test(insn.name) && insn.size === 2 && counted > 16;
      const difference = this.compare(
        s,
        exit,
        signal,
        undefined_flags(insn.name, counted),
        any_result,
        /^(rcp|rsqrt)/.test(insn.name),
      );
      if (difference !== null) wrong.push(`${hex(e.bytes)} (${insn.name}) state ${k}: ${difference}`);
    }
    return wrong;
  }

  private load(s: State): void {
    const { view, u8 } = this.memory;
    s.gpr.forEach((v, r) => view.setBigUint64(this.ctx + CTX.GPR + r * 8, v, true));
    view.setUint32(this.ctx + CTX.FLAGS, s.flags, true);
    view.setBigUint64(this.ctx + CTX.GS_BASE, BigInt(DATA), true);
    for (let r = 0; r < 16; r++) u8.set(s.xmm.subarray(r * 16, r * 16 + 16), this.ctx + CTX.YMM + r * 32);
    u8.set(s.data, this.data);
    this.cpu.set_rip(this.ctx, AT);
  }

  private execute(stepping: boolean): Exit {
    if (!stepping) return this.cpu.run(this.mmu, this.ctx, 1000);
    for (;;) {
      const exit = this.cpu.step(this.mmu, this.ctx, 1);
      if (exit !== EXIT.JUMP && exit !== EXIT.STEP) return exit;
    }
  }

  private compare(
    s: State,
    exit: Exit,
    signal: number,
    undefined_mask: number,
    any_result: boolean,
    approximate: boolean,
  ): string | null {
    const { view, u8 } = this.memory;
    const expected = signal === 0 ? 'no signal' : `signal ${signal}`;
    const got = exit === EXIT.BP ? 0 : SIGNALS[exit];
    if (got !== signal) return `exit ${exit}, the processor: ${expected}`;
    for (let r = 0; r < 16; r++) {
      const value = view.getBigUint64(this.ctx + CTX.GPR + r * 8, true);
      if (value !== s.gpr[r] && !any_result)
        return `${NAMES[r]} 0x${value.toString(16)}, the processor 0x${(s.gpr[r]).toString(16)}`;
    }
    const flags = view.getUint32(this.ctx + CTX.FLAGS, true);
    const mask = SEEN & ~(any_result ? SEEN : undefined_mask);
    if (((flags ^ s.flags) & mask) !== 0)
      return `flags 0x${(flags & mask).toString(16)}, the processor 0x${(s.flags & mask).toString(16)}`;
    for (let r = 0; r < 16; r++) {
      const value = u8.subarray(this.ctx + CTX.YMM + r * 32, this.ctx + CTX.YMM + r * 32 + 16);
      const real = s.xmm.subarray(r * 16, r * 16 + 16);
      if (hex(value) !== hex(real) && !(approximate && close(value, real)))
        return `xmm${r} ${hex(value)}, the processor ${hex(real)}`;
    }
    const data = u8.subarray(this.data, this.data + DATA_BYTES);
    for (let k = 0; k < DATA_BYTES; k++) {
      if (data[k] !== s.data[k] && !any_result)
        return `memory at ${k}: ${hex(data.subarray(k, k + 16))}, the processor ${hex(s.data.subarray(k, k + 16))}`;
    }
    return null;
  }
}

/** rcpps and rsqrtps may be off by 1.5 * 2^-12; so may this processor's. */
function close(a: Uint8Array, b: Uint8Array): boolean {
  const x = new Float32Array(a.slice().buffer);
  const y = new Float32Array(b.slice().buffer);
  return x.every((v, k) => {
    const w = y[k];
    return Object.is(v, w) || (Number.isNaN(v) && Number.isNaN(w)) || Math.abs(v - w) <= Math.abs(w) * 2 ** -10;
  });
}
