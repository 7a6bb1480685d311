// SPDX-License-Identifier: GPL-2.0-only
// States in which instructions are tried. NON-KERNEL throughout.

// The states of record.c: the same numbers from the same seeds.

export const DATA = 0x10002000;
export const DATA_BYTES = 512;
export const MID = DATA + 256;
/** where record.c executes the instruction */
export const AT = 0x20000800;

/** A line of the encodings. */
export interface Encoding {
  readonly bytes: Uint8Array;
  /** register numbers or -1, and scale and displacement of the memory operand */
  readonly base: number;
  readonly index: number;
  readonly scale: number;
  readonly disp: number;
  readonly setup: string;
  readonly reg: number;
}

export interface State {
  readonly gpr: BigUint64Array;
  flags: number;
  readonly xmm: Uint8Array;
  readonly data: Uint8Array;
}

const SPECIAL = new BigUint64Array([
  0n,
  1n,
  2n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0xffffffffffffffffn,
  0xffffn,
  0x100000000n,
]);
const DOUBLES = new BigUint64Array([
  0n,
  0x8000000000000000n,
  0x3ff0000000000000n,
  0xbff0000000000000n,
  0x7ff0000000000000n,
  0xfff0000000000000n,
  0x7ff8000000000123n,
  0xfff4000000000456n,
  0x1n,
  0xfffffffffffffn,
  0x41dfffffffc00000n,
  0x41e0000000000000n,
  0xc1e0000000000000n,
  0x43e0000000000000n,
  0x4004000000000000n,
  0x3fe0000000000000n,
]);
const SINGLES = [
  0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00123, 0xffa00456, 1, 0x7fffff, 0x4effffff,
  0x4f000000, 0xcf000000, 0x5f000000, 0x40200000, 0x3f000000,
].map(BigInt);

let seed = 0;

function random32(): number {
  seed = (seed + 0x9e3779b9) | 0;
  let z = seed;
  z ^= z >>> 16;
  z = Math.imul(z, 0x21f0aaad);
  z ^= z >>> 15;
  z = Math.imul(z, 0x735a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}

function random64(): bigint {
  const low = BigInt(random32());
  return low | (BigInt(random32()) << 32n);
}

function value(): bigint {
  const k = random32() & 7;
  if (k < 3) return SPECIAL[random32() & 15];
  if (k < 5) return BigInt(random32() & 0xffff);
  return random64();
}

function lane(): bigint {
  const k = random32() & 7;
  if (k < 2) return DOUBLES[random32() & 15];
  if (k < 4) {
    const low = SINGLES[random32() & 15];
    return low | (SINGLES[random32() & 15] << 32n);
  }
  return value();
}

/** Parses a line; see record.c. */
export function parse_encoding(line: string): Encoding {
  const [hex, base, index, scale, disp, setup, reg] = line.split(' ') as [
    string,
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  const bytes = Uint8Array.from({ length: hex.length / 2 }, (_, k) => Number.parseInt(hex.slice(k * 2, k * 2 + 2), 16));
  return {
    bytes,
    base: Number(base),
    index: Number(index),
    scale: Number(scale),
    disp: Number(disp),
    setup,
    reg: Number(reg),
  };
}

/** State number `k` of an encoding. */
export function make_state(e: Encoding, k: number): State {
  let hash = 2166136261;
  for (const b of e.bytes) hash = Math.imul(hash ^ b, 16777619);
  seed = (hash + Math.imul(k, 0x85ebca6b)) | 0;
  const gpr = BigUint64Array.from({ length: 16 }, value);
  gpr[4] = BigInt(MID);
  let flags = 0x202 | (random32() & 0x8d5);
  const xmm = new Uint8Array(BigUint64Array.from({ length: 32 }, lane).buffer);
  const lanes = BigUint64Array.from({ length: DATA_BYTES / 8 }, lane);
  const data = new Uint8Array(lanes.buffer);
  const r = random32();
  const { base, index, scale, setup, reg } = e;
  let disp = BigInt(e.disp);
  if (setup === 'b') gpr[reg] = BigInt.asUintN(64, BigInt((r & 0x7ff) - 0x400));
  if (setup === 'd' && (r & 3) !== 0) gpr[2] = (r & 3) === 1 && gpr[0] >> 63n ? 2n ** 64n - 1n : 0n;
  if (setup === 'r') gpr[1] = BigInt(r & 7);
  if (setup === 'l') gpr[1] = BigInt((r & 7) + 1);
  if (index >= 0 && index !== base) {
    gpr[index] = base >= 0 ? gpr[index] & 7n : BigInt.asUintN(64, BigInt(MID) - disp) >> BigInt(scale);
    disp += gpr[index] << BigInt(scale);
  }
  if (base >= 0) {
    const at = BigInt.asUintN(64, BigInt(MID) - disp);
    gpr[base] = index === base ? at / BigInt(1 + (1 << scale)) : at;
  }
  if (setup === 's') {
    gpr[6] = BigInt(MID - 96 + (r & 31));
    gpr[7] = BigInt(MID + 64 + ((r >>> 5) & 31));
    gpr[1] = BigInt((r >>> 10) & 7);
    flags |= ((r >>> 13) & 1) << 10;
    if ((r >>> 14) & 1) data.fill(0x5a);
  }
  if (setup === 'c' && r & 1) {
    if (reg >= 0) {
      gpr[reg] = gpr[0];
    } else {
      lanes[32] = gpr[0];
      lanes[33] = gpr[2];
    }
  }
  if (setup === 'p' && r & 1) lanes[32] = (gpr[0] & 0xffffffffn) | (gpr[2] << 32n);
  return { gpr, flags, xmm, data };
}
