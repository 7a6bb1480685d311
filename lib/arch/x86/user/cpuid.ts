// SPDX-License-Identifier: GPL-2.0-only
// CPUID. NON-KERNEL throughout.

import type { CpuLevel } from './cpu.ts';

const bits = (...list: number[]): number => list.reduce((word, bit) => (word | (1 << bit)) >>> 0, 0);

/** Leaf 1, edx: FPU TSC MSR PAE CX8 PGE CMOV PAT CLFLUSH MMX FXSR SSE SSE2, which every x86-64 has. */
const BASE_EDX = bits(0, 4, 5, 6, 8, 13, 15, 16, 19, 23, 24, 25, 26);
/** Leaf 0x80000001, edx: those of leaf 1 that AMD repeats, SYSCALL, NX, LM. */
const EXTENDED_EDX = bits(0, 4, 5, 6, 8, 11, 13, 15, 16, 20, 23, 24, 29);
/** Leaf 1, ecx of v2: SSE3, SSSE3, CX16, SSE4.1, SSE4.2, POPCNT. */
const V2_ECX = bits(0, 9, 13, 19, 20, 23);
/** Leaf 1, ecx that v3 adds: FMA, MOVBE, XSAVE, OSXSAVE, AVX, F16C. */
const V3_ECX = bits(12, 22, 26, 27, 28, 29);
/** Leaf 7, ebx of v3: BMI1, AVX2, BMI2. */
const V3_EBX = bits(3, 5, 8);
const LAHF = bits(0);
const LZCNT = bits(5);
const SIGNATURE = 0x60fb1;
const CACHE_LINE_64 = 8 << 8;
/** 40 bits of physical and 48 of linear addresses. */
const ADDRESS_BITS = 40 | (48 << 8);
/** Bytes of the XSAVE area with x87, SSE and AVX. */
const XSAVE_BYTES = 832;

/** "AuthenticAMD" in the order ebx, ecx, edx. */
const VENDOR = [0x68747541, 0x444d4163, 0x69746e65] as const;

/**
 * eax, ebx, ecx and edx of CPUID: the level of the x86-64 psABI and nothing beyond it, so that libraries choose its
 * variants.
 */
export function cpuid(level: CpuLevel, leaf: number, subleaf: number): readonly [number, number, number, number] {
  const v2 = level !== 'v1';
  const v3 = level === 'v3';
  switch (leaf) {
    case 0:
      return [v3 ? 13 : 1, ...VENDOR];
    case 1:
      return [SIGNATURE, CACHE_LINE_64, (v2 ? V2_ECX : 0) + (v3 ? V3_ECX : 0), BASE_EDX];
    case 7:
      return subleaf === 0 && v3 ? [0, V3_EBX, 0, 0] : [0, 0, 0, 0];
    case 13: {
      if (!v3) return [0, 0, 0, 0];
      if (subleaf === 0) return [7, XSAVE_BYTES, XSAVE_BYTES, 0];
      return subleaf === 2 ? [256, 576, 0, 0] : [0, 0, 0, 0];
    }
    case 0x80000000:
      return [0x80000008, ...VENDOR];
    case 0x80000001:
      return [SIGNATURE, 0, (v2 ? LAHF : 0) + (v3 ? LZCNT : 0), EXTENDED_EDX];
    case 0x80000008:
      return [ADDRESS_BITS, 0, 0, 0];
    default:
      return [0, 0, 0, 0];
  }
}
