// SPDX-License-Identifier: GPL-2.0-only
// Decoded instructions. NON-KERNEL throughout.

/**
 * How the decoder hands an instruction to the translator. Registers have the numbers of the encoding: 0 rax to 15 r15.
 */

export interface RegOperand {
  readonly kind: 'reg';
  readonly reg: number;
  /** bytes */
  readonly size: number;
  /** ah, ch, dh, bh: bits 8 to 15 of reg */
  readonly high: boolean;
}

export interface XmmOperand {
  readonly kind: 'xmm';
  readonly reg: number;
  /** bytes that the instruction names: 4 and 8 for scalars, 16, 32 */
  readonly size: number;
}

export interface MemOperand {
  readonly kind: 'mem';
  readonly size: number;
  /** 16, or -1 for none */
  readonly base: number;
  readonly index: number;
  /** 0 to 3: the index times 1, 2, 4, 8 */
  readonly scale: number;
  /** displacement; of a rip-relative operand the address, with base and index -1 */
  readonly disp: number;
  /** high half of a 64-bit displacement (mov with an absolute address), else null */
  readonly disp_high: number | null;
  readonly segment: 'fs' | 'gs' | null;
  /** address size prefix: the address is computed modulo 2^32 */
  readonly addr32: boolean;
}

export interface ImmOperand {
  readonly kind: 'imm';
  /** low 32 bits, signed; the value is its sign extension unless `high` says otherwise */
  readonly value: number;
  readonly high: number | null;
}

export interface RelOperand {
  readonly kind: 'rel';
  readonly target: number;
}

export type Operand = RegOperand | XmmOperand | MemOperand | ImmOperand | RelOperand;

export interface Insn {
  readonly pc: number;
  /** bytes of the encoding, 1 to 15 */
  readonly length: number;
  /** mnemonic; a name of opcodes.ts */
  readonly name: string;
  /** operands, destination first */
  readonly ops: readonly Operand[];
  /** operand size of the integer instruction: 1, 2, 4 or 8 */
  readonly size: number;
  /** condition code of jcc, setcc and cmovcc, 0 (overflow) to 15 (greater) */
  readonly cc: number;
  readonly rep: 'rep' | 'repne' | null;
  readonly lock: boolean;
  readonly addr32: boolean;
  /** VEX encoding: 128 or 256 bits, and bits above are zeroed; 0 for a legacy encoding */
  readonly vex: 0 | 128 | 256;
}

/** Bytes that are no instruction at the CPU's level: #UD. */
export class InvalidOpcode extends Error {}

/** Bytes of an instruction that the CPU does not have although its level does. */
export class Unimplemented extends Error {}
