// SPDX-License-Identifier: GPL-2.0-only
// The decoder against that of iced-x86, which others wrote, on random bytes.

import { Code, Decoder, DecoderOptions, OpKind, Register } from 'iced-x86';
import t from 'tap';
import type { CpuLevel } from './cpu.ts';
import type { Insn, MemOperand } from './insn.ts';
import { decode_any } from './region.ts';

const PC = 0x1000;
const LONGEST = 15;
const PREFIXES = [0x66, 0xf2, 0xf3, 0x48, 0x41, 0x4f, 0x67, 0x64];
/** What has no operands of its own in the encoding: their registers are not compared. */
const IMPLICIT = new Set(['movs', 'cmps', 'stos', 'lods', 'scas', 'xlat', 'maskmovdqu']);
/** Names of the decoder for what it does not decode further. */
const UNDECODED = new Set(['unimplemented', 'too_long', 'privileged']);
const CASES = 40_000;

/** Random bytes that begin as instructions do. */
function byte_source(seed: number): () => number[] {
  let state = seed;
  const byte = (): number => {
    state = (Math.imul(state, 1103515245) + 12345) | 0;
    return (state >>> 8) & 0xff;
  };
  return () => {
    const b: number[] = [];
    while (byte() < 90) b.push(PREFIXES[byte() & 7]);
    if (byte() < 128) b.push(0x0f);
    while (b.length < 24) b.push(byte());
    return b.slice(0, 24);
  };
}

/** What iced-x86 makes of bytes, or null for no instruction. */
function iced(b: readonly number[]): { length: number; base: number; index: number; disp: bigint | null } | null {
  const decoder = new Decoder(64, Uint8Array.from(b), DecoderOptions.None);
  decoder.ip = BigInt(PC);
  const i = decoder.decode();
  const number_of = (r: Register): number => {
    if (r === Register.None) return -1;
    return r >= Register.RAX && r <= Register.R15 ? r - Register.RAX : r - Register.EAX;
  };
  const memory = Array.from({ length: i.opCount }, (_, k) => i.opKind(k)).includes(OpKind.Memory);
  const out =
    i.code === Code.INVALID
      ? null
      : {
          length: i.length,
          base: i.isIpRelMemoryOperand ? -1 : number_of(i.memoryBase),
          index: number_of(i.memoryIndex),
          disp: memory && !i.isIpRelMemoryOperand ? BigInt.asIntN(64, i.memoryDisplacement) : null,
        };
  i.free();
  decoder.free();
  return out;
}

/** How the two differ, or null. */
function difference(ours: Insn, theirs: ReturnType<typeof iced>): string | null {
  // x87.ts takes the forms of an x87 opcode apart
  if (theirs === null) return ours.name === 'x87' ? null : `iced has none, we have ${ours.name}`;
  if (ours.length !== theirs.length) return `${ours.name} has ${ours.length} bytes, iced's ${theirs.length}`;
  const m = ours.ops.find((o): o is MemOperand => o.kind === 'mem');
  if (m === undefined || IMPLICIT.has(ours.name) || theirs.disp === null) return null;
  if (m.base !== theirs.base || m.index !== theirs.index)
    return `${ours.name}: registers ${m.base} and ${m.index}, iced's ${theirs.base} and ${theirs.index}`;
  const disp = m.disp_high === null ? BigInt(m.disp) : theirs.disp;
  return m.addr32 || disp === theirs.disp ? null : `${ours.name}: displacement ${m.disp}, iced's ${theirs.disp}`;
}

for (const level of ['v2', 'v3'] as const satisfies readonly CpuLevel[]) {
  t.test(`instructions of ${level} are as long as iced-x86 says, with the same operands in memory`, async (t) => {
    let decoded = 0;
    const found = new Map<string, string>();
    const next = byte_source(level === 'v2' ? 1 : 2);
    for (let n = 0; n < CASES; n++) {
      const b = next();
      const ours = decode_any(PC, (addr) => b[addr - PC] ?? 0, level);
      const theirs = iced(b);
      // iced-x86 knows every extension, of which a level has a few
      if (UNDECODED.has(ours.name) || (ours.name === 'invalid' && theirs !== null)) continue;
      const what = ours.name === 'invalid' ? null : difference(ours, theirs);
      if (what === null) decoded++;
      else found.set(what, Buffer.from(b.slice(0, LONGEST)).toString('hex'));
    }
    t.same([...found], []);
    t.ok(decoded > CASES / 4, `${decoded} of ${CASES} sequences are instructions to both, or to none`);
  });
}
