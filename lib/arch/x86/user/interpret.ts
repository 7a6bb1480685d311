// SPDX-License-Identifier: GPL-2.0-only
// Rare instructions. NON-KERNEL throughout.

// Instructions that are rare and long: they are executed here, one by one, on a context at rest.

import { cpuid } from './cpuid.ts';
import type { Mmu, UserCpu } from './cpu.ts';
import { FXSAVE_BYTES, merge_fpregs, set_fpregs } from './fxsave.ts';
import type { ImmOperand, Insn, MemOperand, Operand, RegOperand, XmmOperand } from './insn.ts';
import { CTX, EXIT, type Exit } from './layout.ts';
import { compare_strings } from './pcmpstr.ts';
import { execute_x87 } from './x87.ts';

const MASK_64 = 2n ** 64n - 1n;
/**
 * The bits of MXCSR that exist, and what they are while no exception is unmasked and results are rounded to nearest.
 */
const MXCSR_BITS = 0xffff;
const MXCSR_STICKY = 0x3f;
const MXCSR_PLAIN = 0x1f80;

/** One instruction in execution. */
class Interpreter {
  readonly cpu: UserCpu;
  readonly mmu: Mmu;
  readonly ctx: number;
  readonly i: Insn;
  readonly view: DataView;

  constructor(cpu: UserCpu, mmu: Mmu, ctx: number, i: Insn) {
    this.cpu = cpu;
    this.mmu = mmu;
    this.ctx = ctx;
    this.i = i;
    this.view = cpu.memory.view;
  }

  gpr(reg: number): bigint {
    return this.view.getBigUint64(this.ctx + CTX.GPR + reg * 8, true);
  }

  set_gpr(reg: number, value: bigint): void {
    this.view.setBigUint64(this.ctx + CTX.GPR + reg * 8, BigInt.asUintN(64, value), true);
  }

  /** The effective address of a memory operand; those beyond 2^53 are not exact and not user memory. */
  address(n: number): number {
    const m = this.i.ops[n] as MemOperand;
    let ea = BigInt(m.disp);
    if (m.base >= 0) ea += this.gpr(m.base);
    if (m.index >= 0) ea += this.gpr(m.index) << BigInt(m.scale);
    ea &= m.addr32 ? 0xffffffffn : MASK_64;
    if (m.segment !== null)
      ea += this.view.getBigUint64(this.ctx + (m.segment === 'fs' ? CTX.FS_BASE : CTX.GS_BASE), true);
    return Number(ea & MASK_64);
  }

  /** Ends the instruction. */
  next(): Exit {
    this.cpu.set_rip(this.ctx, this.i.pc + this.i.length);
    return EXIT.JUMP;
  }

  /** Ends the instruction if its store was done. */
  stored(addr: number, bytes: Uint8Array): Exit {
    const exit = this.cpu.store_bytes(this.ctx, addr, bytes);
    return exit === EXIT.JUMP ? this.next() : exit;
  }
}

function set_mxcsr(x: Interpreter, value: number): Exit {
  if ((value & ~MXCSR_BITS) !== 0) return EXIT.GP;
  if ((value & ~MXCSR_STICKY) !== MXCSR_PLAIN) return EXIT.UNIMPLEMENTED;
  x.view.setUint32(x.ctx + CTX.MXCSR, value, true);
  return EXIT.JUMP;
}

function ldmxcsr(x: Interpreter): Exit {
  const bytes = x.cpu.load_bytes(x.ctx, x.address(0), 4);
  if (typeof bytes === 'number') return bytes;
  const exit = set_mxcsr(x, new DataView(bytes.buffer).getUint32(0, true));
  return exit === EXIT.JUMP ? x.next() : exit;
}

function stmxcsr(x: Interpreter): Exit {
  return x.stored(x.address(0), x.cpu.memory.u8.slice(x.ctx + CTX.MXCSR, x.ctx + CTX.MXCSR + 4));
}

function fxsave(x: Interpreter): Exit {
  const addr = x.address(0);
  if (addr % 16 !== 0) return EXIT.GP;
  const old = x.cpu.load_bytes(x.ctx, addr, FXSAVE_BYTES);
  if (typeof old === 'number') return old;
  merge_fpregs(x.cpu, x.ctx, old);
  return x.stored(addr, old);
}

function fxrstor(x: Interpreter): Exit {
  const addr = x.address(0);
  if (addr % 16 !== 0) return EXIT.GP;
  const bytes = x.cpu.load_bytes(x.ctx, addr, FXSAVE_BYTES);
  if (typeof bytes === 'number') return bytes;
  const exit = set_mxcsr(x, new DataView(bytes.buffer).getUint32(24, true));
  if (exit !== EXIT.JUMP) return exit;
  set_fpregs(x.cpu, x.ctx, bytes);
  return x.next();
}

function maskmovdqu(x: Interpreter): Exit {
  const [value, mask] = x.i.ops as [XmmOperand, XmmOperand];
  const addr = x.address(2);
  const { u8 } = x.cpu.memory;
  const old = x.cpu.load_bytes(x.ctx, addr, 16);
  if (typeof old === 'number') return old;
  for (let k = 0; k < 16; k++) {
    if (u8[x.ctx + CTX.YMM + mask.reg * 32 + k] & 0x80) old[k] = u8[x.ctx + CTX.YMM + value.reg * 32 + k];
  }
  return x.stored(addr, old);
}

function enter(x: Interpreter): Exit {
  const bytes = (x.i.ops[0] as ImmOperand).value & 0xffff;
  const level = (x.i.ops[1] as ImmOperand).value & 0x1f;
  if (level !== 0 || x.i.size !== 8) return EXIT.UNIMPLEMENTED;
  const sp = Number(x.gpr(4)) - 8;
  const frame = new Uint8Array(8);
  new DataView(frame.buffer).setBigUint64(0, x.gpr(5), true);
  const exit = x.cpu.store_bytes(x.ctx, sp, frame);
  if (exit !== EXIT.JUMP) return exit;
  x.set_gpr(5, BigInt(sp));
  x.set_gpr(4, BigInt(sp) - BigInt(bytes));
  return x.next();
}

const ZF = 0x40;

function cmpxchg16b(x: Interpreter): Exit {
  const addr = x.address(0);
  if (addr % 16 !== 0) return EXIT.GP;
  const old = x.cpu.load_bytes(x.ctx, addr, 16);
  if (typeof old === 'number') return old;
  const v = new DataView(old.buffer);
  const [low, high] = [v.getBigUint64(0, true), v.getBigUint64(8, true)];
  const equal = low === x.gpr(0) && high === x.gpr(2);
  if (equal) {
    v.setBigUint64(0, x.gpr(3), true);
    v.setBigUint64(8, x.gpr(1), true);
  }
  const exit = x.cpu.store_bytes(x.ctx, addr, old);
  if (exit !== EXIT.JUMP) return exit;
  const flags = x.view.getUint32(x.ctx + CTX.FLAGS, true);
  x.view.setUint32(x.ctx + CTX.FLAGS, equal ? flags | ZF : flags & ~ZF, true);
  if (!equal) {
    x.set_gpr(0, low);
    x.set_gpr(2, high);
  }
  return x.next();
}

const CRC32C = 0x82f63b78;

function crc32(x: Interpreter): Exit {
  const [to, from] = x.i.ops as [RegOperand, Operand];
  const size = (from as RegOperand | MemOperand).size;
  let bytes: Uint8Array | Exit;
  if (from.kind === 'mem') bytes = x.cpu.load_bytes(x.ctx, x.address(1), size);
  else {
    const at = x.ctx + CTX.GPR + (from as RegOperand).reg * 8 + ((from as RegOperand).high ? 1 : 0);
    bytes = x.cpu.memory.u8.slice(at, at + size);
  }
  if (typeof bytes === 'number') return bytes;
  let crc = Number(x.gpr(to.reg) & 0xffffffffn);
  for (const b of bytes) {
    crc ^= b;
    for (let k = 0; k < 8; k++) crc = (crc >>> 1) ^ (crc & 1 ? CRC32C : 0);
  }
  x.set_gpr(to.reg, BigInt(crc >>> 0));
  return x.next();
}

/** phminposuw, mpsadbw: the source, aligned in memory, and the destination to change in place. */
function long_vector(x: Interpreter): Exit {
  const [a, b] = x.i.ops as [XmmOperand, XmmOperand | MemOperand];
  const { u8 } = x.cpu.memory;
  const register = (r: number): Uint8Array => u8.subarray(x.ctx + CTX.YMM + r * 32, x.ctx + CTX.YMM + r * 32 + 16);
  if (b.kind === 'mem' && x.address(1) % 16 !== 0) return EXIT.GP;
  const source = b.kind === 'xmm' ? register(b.reg).slice() : x.cpu.load_bytes(x.ctx, x.address(1), 16);
  if (typeof source === 'number') return source;
  const to = register(a.reg);
  const out = new DataView(new ArrayBuffer(16));
  if (x.i.name === 'phminposuw') {
    const words = Array.from({ length: 8 }, (_, k) => source[k * 2] | (source[k * 2 + 1] << 8));
    const lowest = Math.min(...words);
    out.setUint16(0, lowest, true);
    out.setUint16(2, words.indexOf(lowest), true);
  } else {
    const control = (x.i.ops[2] as ImmOperand).value;
    const [from, first] = [(control & 3) * 4, ((control >> 2) & 1) * 4];
    for (let k = 0; k < 8; k++) {
      let sum = 0;
      for (let i = 0; i < 4; i++) sum += Math.abs(to[first + k + i] - source[from + i]);
      out.setUint16(k * 2, sum, true);
    }
  }
  to.set(new Uint8Array(out.buffer));
  return x.next();
}

const STATUS = 0x8d5;

/** pcmpistri and its kind: the index in ecx, or the mask in xmm0. */
function compare_string(x: Interpreter): Exit {
  const [a, b, control] = x.i.ops as [XmmOperand, XmmOperand | MemOperand, ImmOperand];
  const { u8 } = x.cpu.memory;
  const register = (r: number): Uint8Array => u8.slice(x.ctx + CTX.YMM + r * 32, x.ctx + CTX.YMM + r * 32 + 16);
  const second = b.kind === 'xmm' ? register(b.reg) : x.cpu.load_bytes(x.ctx, x.address(1), 16);
  if (typeof second === 'number') return second;
  const explicit = x.i.name.startsWith('pcmpe');
  const length = (r: number): number => Number(BigInt.asIntN(x.i.size * 8, x.gpr(r)));
  const r = compare_strings(register(a.reg), second, control.value & 0xff, explicit ? [length(0), length(2)] : null);
  const last = (control.value & 0x40) !== 0;
  if (x.i.name.endsWith('i')) {
    const index = r.bits === 0 ? r.n : last ? 31 - Math.clz32(r.bits) : 31 - Math.clz32(r.bits & -r.bits);
    x.set_gpr(1, BigInt(index));
  } else {
    const out = x.ctx + CTX.YMM;
    u8.fill(0, out, out + 16);
    if (last) for (let k = 0; k < 16; k++) u8[out + k] = (r.bits >> Math.floor((k * r.n) / 16)) & 1 ? 0xff : 0;
    else x.view.setUint16(out, r.bits, true);
  }
  x.view.setUint32(x.ctx + CTX.FLAGS, (x.view.getUint32(x.ctx + CTX.FLAGS, true) & ~STATUS) | r.flags, true);
  return x.next();
}

function run_cpuid(x: Interpreter): Exit {
  const [a, b, c, d] = cpuid(x.cpu.level, Number(x.gpr(0) & 0xffffffffn), Number(x.gpr(1) & 0xffffffffn));
  x.set_gpr(0, BigInt(a));
  x.set_gpr(3, BigInt(b));
  x.set_gpr(1, BigInt(c));
  x.set_gpr(2, BigInt(d));
  return x.next();
}

function rdtsc(x: Interpreter): Exit {
  const t = BigInt(Math.floor(x.mmu.tsc()));
  x.set_gpr(0, t & 0xffffffffn);
  x.set_gpr(2, (t >> 32n) & 0xffffffffn);
  return x.next();
}

function x87(x: Interpreter): Exit {
  const { value } = x.i.ops[0] as ImmOperand;
  const exit = execute_x87(x.cpu, x.ctx, value >> 8, value & 0xff, x.i.ops.length > 1 ? x.address(1) : 0);
  return exit === EXIT.JUMP ? x.next() : exit;
}

const INSTRUCTIONS: Readonly<Record<string, (x: Interpreter) => Exit>> = {
  cpuid: run_cpuid,
  rdtsc,
  ldmxcsr,
  stmxcsr,
  fxsave,
  fxrstor,
  maskmovdqu,
  enter,
  cmpxchg16b,
  x87,
  crc32,
  phminposuw: long_vector,
  mpsadbw: long_vector,
  pcmpestrm: compare_string,
  pcmpestri: compare_string,
  pcmpistrm: compare_string,
  pcmpistri: compare_string,
  fwait: (x) => x.next(),
};

/** Executes the instruction at RIP; EXIT.JUMP if it is done. */
export function interpret(cpu: UserCpu, mmu: Mmu, ctx: number, i: Insn): Exit {
  const run = INSTRUCTIONS[i.name];
  return run === undefined ? EXIT.UNIMPLEMENTED : run(new Interpreter(cpu, mmu, ctx, i));
}
