// SPDX-License-Identifier: GPL-2.0-only
// The FXSAVE area. NON-KERNEL throughout.

import type { UserCpu } from './cpu.ts';
import { CTX } from './layout.ts';

export const FXSAVE_BYTES = 512;
const MXCSR_BITS = 0xffff;
/** Bytes that fxsave writes; those behind are the program's. */
const WRITTEN_BYTES = 416;
const RESET_FCW = 0x37f;
const RESET_MXCSR = 0x1f80;

/** Returns what fxsave stores of a context, the unused end of the area zero. */
export function get_fpregs(cpu: UserCpu, ctx: number): Uint8Array {
  const area = new Uint8Array(FXSAVE_BYTES);
  const out = new DataView(area.buffer);
  const { u8, view } = cpu.memory;
  out.setUint16(0, view.getUint16(ctx + CTX.FCW, true), true);
  out.setUint16(2, view.getUint16(ctx + CTX.FSW, true), true);
  out.setUint8(4, view.getUint8(ctx + CTX.FTW));
  out.setUint32(24, view.getUint32(ctx + CTX.MXCSR, true), true);
  out.setUint32(28, MXCSR_BITS, true);
  const top = (view.getUint16(ctx + CTX.FSW, true) >> 11) & 7;
  for (let k = 0; k < 8; k++) {
    // the registers from the top of the stack on
    const from = ctx + CTX.X87 + ((top + k) & 7) * 16;
    area.set(u8.subarray(from, from + 10), 32 + k * 16);
  }
  for (let k = 0; k < 16; k++) area.set(u8.subarray(ctx + CTX.YMM + k * 32, ctx + CTX.YMM + k * 32 + 16), 160 + k * 16);
  return area;
}

/** Writes over `old`, the 512 bytes of an area, what fxsave writes. */
export function merge_fpregs(cpu: UserCpu, ctx: number, old: Uint8Array): void {
  old.set(get_fpregs(cpu, ctx).subarray(0, WRITTEN_BYTES));
}

/** Returns false if the area has bits in MXCSR that do not exist. */
export function set_fpregs(cpu: UserCpu, ctx: number, area: Uint8Array): boolean {
  const from = new DataView(area.buffer, area.byteOffset);
  const { u8, view } = cpu.memory;
  const mxcsr = from.getUint32(24, true);
  if ((mxcsr & ~MXCSR_BITS) !== 0) return false;
  view.setUint32(ctx + CTX.MXCSR, mxcsr, true);
  view.setUint16(ctx + CTX.FCW, from.getUint16(0, true), true);
  view.setUint16(ctx + CTX.FSW, from.getUint16(2, true), true);
  view.setUint16(ctx + CTX.FTW, from.getUint8(4), true);
  const top = (from.getUint16(2, true) >> 11) & 7;
  for (let k = 0; k < 8; k++) u8.set(area.subarray(32 + k * 16, 42 + k * 16), ctx + CTX.X87 + ((top + k) & 7) * 16);
  for (let k = 0; k < 16; k++) u8.set(area.subarray(160 + k * 16, 176 + k * 16), ctx + CTX.YMM + k * 32);
  return true;
}

/** The floating point registers as execve(2) leaves them. */
export function reset_fpregs(cpu: UserCpu, ctx: number): void {
  const { u8, view } = cpu.memory;
  u8.fill(0, ctx + CTX.YMM, ctx + CTX.X87 + 8 * 16);
  view.setUint32(ctx + CTX.MXCSR, RESET_MXCSR, true);
  view.setUint16(ctx + CTX.FCW, RESET_FCW, true);
  view.setUint16(ctx + CTX.FSW, 0, true);
  view.setUint16(ctx + CTX.FTW, 0, true);
}
