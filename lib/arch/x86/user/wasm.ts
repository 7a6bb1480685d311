// SPDX-License-Identifier: GPL-2.0-only
// WebAssembly. NON-KERNEL throughout.

// An encoder of the WebAssembly binary format, as far as translated code needs it.

export const I32 = 0x7f;
export const I64 = 0x7e;
export const F32 = 0x7d;
export const F64 = 0x7c;
export const V128 = 0x7b;
export type ValType = 0x7f | 0x7e | 0x7d | 0x7c | 0x7b;

/** Instructions of one byte, by their names in the WebAssembly specification. */
export const OP = {
  unreachable: 0x00,
  else: 0x05,
  end: 0x0b,
  return: 0x0f,
  drop: 0x1a,
  select: 0x1b,
  i32_eqz: 0x45,
  i32_eq: 0x46,
  i32_ne: 0x47,
  i32_lt_s: 0x48,
  i32_lt_u: 0x49,
  i32_gt_s: 0x4a,
  i32_gt_u: 0x4b,
  i32_le_s: 0x4c,
  i32_le_u: 0x4d,
  i32_ge_s: 0x4e,
  i32_ge_u: 0x4f,
  i64_eqz: 0x50,
  i64_eq: 0x51,
  i64_ne: 0x52,
  i64_lt_s: 0x53,
  i64_lt_u: 0x54,
  i64_gt_s: 0x55,
  i64_gt_u: 0x56,
  i64_le_s: 0x57,
  i64_le_u: 0x58,
  i64_ge_s: 0x59,
  i64_ge_u: 0x5a,
  f32_eq: 0x5b,
  f32_ne: 0x5c,
  f32_lt: 0x5d,
  f32_gt: 0x5e,
  f64_eq: 0x61,
  f64_ne: 0x62,
  f64_lt: 0x63,
  f64_gt: 0x64,
  f64_ge: 0x66,
  i32_clz: 0x67,
  i32_ctz: 0x68,
  i32_popcnt: 0x69,
  i32_add: 0x6a,
  i32_sub: 0x6b,
  i32_mul: 0x6c,
  i32_div_s: 0x6d,
  i32_div_u: 0x6e,
  i32_rem_s: 0x6f,
  i32_rem_u: 0x70,
  i32_and: 0x71,
  i32_or: 0x72,
  i32_xor: 0x73,
  i32_shl: 0x74,
  i32_shr_s: 0x75,
  i32_shr_u: 0x76,
  i32_rotl: 0x77,
  i32_rotr: 0x78,
  i64_clz: 0x79,
  i64_ctz: 0x7a,
  i64_popcnt: 0x7b,
  i64_add: 0x7c,
  i64_sub: 0x7d,
  i64_mul: 0x7e,
  i64_div_s: 0x7f,
  i64_div_u: 0x80,
  i64_rem_s: 0x81,
  i64_rem_u: 0x82,
  i64_and: 0x83,
  i64_or: 0x84,
  i64_xor: 0x85,
  i64_shl: 0x86,
  i64_shr_s: 0x87,
  i64_shr_u: 0x88,
  i64_rotl: 0x89,
  i64_rotr: 0x8a,
  f32_nearest: 0x90,
  f32_sqrt: 0x91,
  f32_add: 0x92,
  f64_abs: 0x99,
  f64_neg: 0x9a,
  f64_nearest: 0x9e,
  f64_sqrt: 0x9f,
  f64_add: 0xa0,
  f64_sub: 0xa1,
  i32_wrap_i64: 0xa7,
  i64_extend_i32_s: 0xac,
  i64_extend_i32_u: 0xad,
  f32_convert_i32_s: 0xb2,
  f32_convert_i64_s: 0xb4,
  f32_demote_f64: 0xb6,
  f64_convert_i32_s: 0xb7,
  f64_convert_i64_s: 0xb9,
  f64_promote_f32: 0xbb,
  i32_reinterpret_f32: 0xbc,
  i64_reinterpret_f64: 0xbd,
  f32_reinterpret_i32: 0xbe,
  f64_reinterpret_i64: 0xbf,
  i32_extend8_s: 0xc0,
  i32_extend16_s: 0xc1,
  i64_extend8_s: 0xc2,
  i64_extend16_s: 0xc3,
  i64_extend32_s: 0xc4,
} as const;

/** Loads and stores, which take an offset. */
export const MEM = {
  i32_load: 0x28,
  i64_load: 0x29,
  f32_load: 0x2a,
  f64_load: 0x2b,
  i32_load8_s: 0x2c,
  i32_load8_u: 0x2d,
  i32_load16_s: 0x2e,
  i32_load16_u: 0x2f,
  i64_load8_u: 0x31,
  i64_load16_u: 0x33,
  i64_load32_u: 0x35,
  i32_store: 0x36,
  i64_store: 0x37,
  f32_store: 0x38,
  f64_store: 0x39,
  i32_store8: 0x3a,
  i32_store16: 0x3b,
  i64_store8: 0x3c,
  i64_store16: 0x3d,
  i64_store32: 0x3e,
} as const;

/** Instructions with the prefix 0xfc. */
export const SAT = { i32_trunc_f32_s: 0, i32_trunc_f64_s: 2, i64_trunc_f32_s: 4, i64_trunc_f64_s: 6 } as const;

/** A place that a branch can name: the end of a block, the start of a loop. */
export interface Label {
  readonly depth: number;
}

/** Bytes of code under construction. Methods that emit return the object, so that a sequence reads in stack order. */
export class Code {
  private buf = new Uint8Array(4096);
  length = 0;
  private depth = 0;

  byte(b: number): this {
    if (this.length === this.buf.length) {
      const more = new Uint8Array(this.buf.length * 2);
      more.set(this.buf);
      this.buf = more;
    }
    this.buf[this.length++] = b;
    return this;
  }

  bytes(list: ArrayLike<number>): this {
    for (let i = 0; i < list.length; i++) this.byte(list[i]);
    return this;
  }

  /** The code so far; valid until more is emitted. */
  view(): Uint8Array {
    return this.buf.subarray(0, this.length);
  }

  /** Unsigned LEB128 of 0 to 2^32 - 1. */
  u32(n: number): this {
    while (n >= 0x80) {
      this.byte((n & 0x7f) | 0x80);
      n = Math.floor(n / 128);
    }
    return this.byte(n);
  }

  /** Signed LEB128 of an exact integer. */
  signed(n: number): this {
    for (;;) {
      const low = ((n % 128) + 128) % 128;
      n = Math.floor(n / 128);
      if ((n === 0 && low < 64) || (n === -1 && low >= 64)) return this.byte(low);
      this.byte(low | 0x80);
    }
  }

  op(...ops: number[]): this {
    for (const o of ops) this.byte(o);
    return this;
  }

  get(local: number): this {
    return this.byte(0x20).u32(local);
  }

  set(local: number): this {
    return this.byte(0x21).u32(local);
  }

  tee(local: number): this {
    return this.byte(0x22).u32(local);
  }

  i32(n: number): this {
    return this.byte(0x41).signed(n | 0);
  }

  /** An i64 constant that is an exact integer. */
  i64(n: number): this {
    return this.byte(0x42).signed(n);
  }

  /** An i64 constant of two halves. */
  i64_halves(lo: number, hi: number): this {
    let n = BigInt.asIntN(64, (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0));
    this.byte(0x42);
    for (;;) {
      const low = Number(n & 127n);
      n >>= 7n;
      if ((n === 0n && low < 64) || (n === -1n && low >= 64)) return this.byte(low);
      this.byte(low | 0x80);
    }
  }

  mem(op: number, offset: number): this {
    return this.byte(op).byte(0).u32(offset);
  }

  sat(op: number): this {
    return this.byte(0xfc).u32(op);
  }

  simd(op: number, ...immediates: number[]): this {
    this.byte(0xfd).u32(op);
    return this.bytes(immediates);
  }

  /** A load or store of the SIMD instructions. */
  simd_mem(op: number, offset: number): this {
    return this.byte(0xfd).u32(op).byte(0).u32(offset);
  }

  v128(list: ArrayLike<number>): this {
    return this.simd(12).bytes(list);
  }

  call(func: number): this {
    return this.byte(0x10).u32(func);
  }

  private open(op: number, type: number): Label {
    this.byte(op).byte(type);
    return { depth: ++this.depth };
  }

  /** 0x40: no result */
  block(type = 0x40): Label {
    return this.open(0x02, type);
  }

  loop(type = 0x40): Label {
    return this.open(0x03, type);
  }

  if(type = 0x40): Label {
    return this.open(0x04, type);
  }

  else(): this {
    return this.byte(OP.else);
  }

  end(): this {
    this.depth--;
    return this.byte(OP.end);
  }

  br(to: Label): this {
    return this.byte(0x0c).u32(this.depth - to.depth);
  }

  br_if(to: Label): this {
    return this.byte(0x0d).u32(this.depth - to.depth);
  }

  /** Branches to the label of the index on the stack, to the last one for any other. */
  br_table(to: readonly Label[]): this {
    this.byte(0x0e).u32(to.length - 1);
    for (const t of to) this.u32(this.depth - t.depth);
    return this;
  }
}

export interface FuncType {
  readonly params: readonly ValType[];
  readonly results: readonly ValType[];
}

export interface Import {
  readonly name: string;
  readonly type: FuncType;
}

export interface Func {
  readonly name: string;
  readonly type: FuncType;
  /** locals after the parameters: how many of which type, in order */
  readonly locals: readonly (readonly [number, ValType])[];
  readonly body: Uint8Array;
}

function text(c: Code, s: string): void {
  c.u32(s.length);
  for (let i = 0; i < s.length; i++) c.byte(s.charCodeAt(i));
}

/**
 * A module that imports the memory `m.memory` (of `pages` pages of 64 KiB), optionally the function table `m.table`,
 * and
 * the functions `m.*`, which have the first function indices in the given order, and exports its own functions.
 */
export function module_bytes(
  pages: number,
  imports: readonly Import[],
  funcs: readonly Func[],
  table = false,
): Uint8Array {
  const out = new Code();
  out.bytes([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
  const section = (id: number, fill: (c: Code) => void): void => {
    const c = new Code();
    fill(c);
    out.byte(id).u32(c.length).bytes(c.view());
  };
  const types = [...imports, ...funcs].map((f) => f.type);
  section(1, (c) => {
    c.u32(types.length);
    for (const t of types) {
      c.byte(0x60).u32(t.params.length).bytes(t.params);
      c.u32(t.results.length).bytes(t.results);
    }
  });
  section(2, (c) => {
    c.u32(imports.length + (table ? 2 : 1));
    text(c, 'm');
    text(c, 'memory');
    c.bytes([2, 1]).u32(pages).u32(pages);
    if (table) {
      text(c, 'm');
      text(c, 'table');
      c.bytes([1, 0x70, 0, 0]);
    }
    imports.forEach((f, i) => {
      text(c, 'm');
      text(c, f.name);
      c.byte(0).u32(i);
    });
  });
  section(3, (c) => {
    c.u32(funcs.length);
    funcs.forEach((_, i) => c.u32(imports.length + i));
  });
  section(7, (c) => {
    c.u32(funcs.length);
    funcs.forEach((f, i) => {
      text(c, f.name);
      c.byte(0).u32(imports.length + i);
    });
  });
  section(10, (c) => {
    c.u32(funcs.length);
    for (const f of funcs) {
      const body = new Code();
      body.u32(f.locals.length);
      for (const [n, type] of f.locals) body.u32(n).byte(type);
      body.bytes(f.body).byte(OP.end);
      c.u32(body.length).bytes(body.view());
    }
  });
  return out.view().slice();
}
