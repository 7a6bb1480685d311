// SPDX-License-Identifier: GPL-2.0-only
// Encodings to try. NON-KERNEL throughout.

// Encodings of every row of the opcode maps, in the operand sizes, register and memory forms and immediates that it
// has,
// as lines for record.c.

import { MAP_0F, MAP_0F38, MAP_0F3A, MAP_1, type Row } from '../opcodes.ts';
import { AT, DATA, MID } from './state.ts';

/** Not executed one by one natively: control flow, modes, values that depend on the machine. */
const LEFT_OUT = new Set([
  'unimplemented',
  'privileged',
  'jcc',
  'jmp',
  'call',
  'ret',
  'loop',
  'loope',
  'loopne',
  'jrcxz',
  'syscall',
  'int3',
  'popf',
  'cpuid',
  'rdtsc',
  'fxsave',
  'fxrstor',
  'ldmxcsr',
  'fwait',
]);
const STRINGS = new Set(['movs', 'cmps', 'stos', 'lods', 'scas']);
const BIT_TESTS = new Set(['bt', 'bts', 'btr', 'btc']);
const COUNTED = new Set(['shl', 'shr', 'sar', 'rol', 'ror', 'rcl', 'rcr', 'shld', 'shrd']);
/** Controls of the string comparisons: every aggregation and polarity, bytes and words. */
const STRING_CONTROLS = Array.from({ length: 32 }, (_, k) => [(k * 4 + (k & 3)) & 0x7f]);
const COUNTS = [0, 1, 4, 8, 9, 15, 16, 17, 31, 32, 33, 63, 200];

/** A memory operand: ModRM without the reg field, SIB and displacement, and what record.c must know of it. */
interface Place {
  readonly mod_rm: number;
  readonly rest: readonly number[];
  readonly rex: number;
  readonly prefix: readonly number[];
  readonly base: number;
  readonly index: number;
  readonly scale: number;
  readonly disp: number;
  /** bytes that a rip-relative displacement is counted from the end of: 4 at the end of `rest` */
  readonly rip: boolean;
}

const NOWHERE = { rest: [], rex: 0, prefix: [], base: -1, index: -1, scale: 0, disp: 0, rip: false };
const word = (n: number): number[] => [n & 0xff, (n >> 8) & 0xff, (n >> 16) & 0xff, (n >>> 24) & 0xff];

const PLACES: readonly Place[] = [
  { ...NOWHERE, mod_rm: 0x03, base: 3 },
  { ...NOWHERE, mod_rm: 0x46, rest: [0xf0], base: 6, disp: -16 },
  { ...NOWHERE, mod_rm: 0x85, rest: word(0x1230), base: 13, rex: 1, disp: 0x1230 },
  // the operand is not aligned
  { ...NOWHERE, mod_rm: 0x44, rest: [0x24, 0x13], base: 4, disp: 0x10 },
  { ...NOWHERE, mod_rm: 0x44, rest: [0xb3, 0x08], base: 11, index: 6, scale: 2, rex: 1, disp: 8 },
  { ...NOWHERE, mod_rm: 0x04, rest: [0xdd, ...word(0x40)], index: 11, scale: 3, rex: 2, disp: 0x40 },
  { ...NOWHERE, mod_rm: 0x04, rest: [0x25, ...word(MID)] },
  { ...NOWHERE, mod_rm: 0x05, rest: [0, 0, 0, 0], rip: true },
  { ...NOWHERE, mod_rm: 0x43, rest: [0x20], base: 3, prefix: [0x67], disp: 0x20 },
  { ...NOWHERE, mod_rm: 0x43, rest: [0x20], base: 3, prefix: [0x65], disp: DATA + 0x20 },
];

/** reg and rm of register forms, and whether a REX prefix without bits is wanted. */
const REGISTERS: readonly (readonly [number, number, boolean])[] = [
  [1, 3, false],
  [3, 3, false],
  [5, 6, false],
  [7, 0, false],
  [6, 5, true],
  [9, 14, true],
  [2, 12, true],
  [11, 1, true],
];

/** How many of the register forms and of the places an encoding is tried with, in turn. */
const REGISTERS_EACH = 4;
const PLACES_EACH = 4;

class Lines {
  readonly lines: string[] = [];
  private turn = 0;

  /** The next `n` of a list, from where the last ones ended. */
  some<T>(list: readonly T[], n: number): T[] {
    return Array.from({ length: n }, () => list[this.turn++ % list.length]);
  }

  add(
    bytes: readonly number[],
    p: { base: number; index: number; scale: number; disp: number },
    setup: string,
    reg: number,
  ): void {
    const hex = bytes.map((b) => b.toString(16).padStart(2, '0')).join('');
    this.lines.push(`${hex} ${p.base} ${p.index} ${p.scale} ${p.disp} ${setup} ${reg}`);
  }
}

function setup_of(row: Row, memory: boolean, reg: number, rm: number): [string, number] {
  if (STRINGS.has(row.name)) return ['s', -1];
  if (BIT_TESTS.has(row.name) && memory && row.operands[1] === 'Gv') return ['b', reg];
  if (row.name === 'div' || row.name === 'idiv') return ['d', -1];
  if (row.name === 'cmpxchg') return ['c', memory ? -1 : rm];
  if (row.name === 'cmpxchg8b') return ['p', -1];
  if (row.name === 'cmpxchg16b') return ['c', -1];
  return ['-', -1];
}

/** Immediates to try, as bytes. */
function immediates(row: Row, v: number): number[][] {
  const spec = row.operands.find((o) => o.startsWith('I'));
  if (spec === undefined) return [[]];
  if (row.name === 'enter') return v === 2 ? [] : [[0x20, 0, 0]];
  if (spec === 'Ib') {
    if (COUNTED.has(row.name)) return COUNTS.map((n) => [n]);
    return row.operands[0]?.startsWith('V') || row.operands[0]?.startsWith('U')
      ? row.name.startsWith('pcmp') && row.name.includes('str')
        ? STRING_CONTROLS
        : [[0], [0x1b], [0x4e], [0x7], [0xe4], [0x81]]
      : [[0x05], [0x9c]];
  }
  if (spec === 'Iw') return [[0x34, 0x92]];
  const full = [0x78, 0x56, 0x34, 0x92];
  if (spec === 'Iv' && v === 8) return [[...full, 0xf0, 0xde, 0xbc, 0x8a]];
  return v === 2
    ? [
        [0x34, 0x92],
        [0x12, 0],
      ]
    : [full, [0x10, 0, 0, 0]];
}

/** All lines of a row. */
function add_row(out: Lines, escape: readonly number[], opcode: number, row: Row): void {
  const spec = row.operands;
  const mandatory = row.prefix === '66' ? [0x66] : row.prefix === 'f3' ? [0xf3] : row.prefix === 'f2' ? [0xf2] : [];
  const sized = spec.some((o) => /[vz]$/.test(o));
  const wide = spec.some((o) => o.endsWith('y') || o === 'y') || row.w === 1;
  const short = spec.some((o) => o.endsWith('n') || o === 'n');
  const sizes: [number[], number, number][] = [];
  if (row.w !== 1) sizes.push([[], 0, short ? 8 : 4]);
  if ((sized || short) && row.prefix === null) sizes.push([[0x66], 0, 2]);
  if (sized || wide) sizes.push([[], 8, 8]);
  const has_modrm = spec.some((o) => 'EGMRVWU'.includes(o.charAt(0))) || row.group >= 0;
  for (const [size_prefix, w, v] of sizes) {
    for (const imm of immediates(row, v)) {
      const emit = (
        prefix: readonly number[],
        rex: number,
        want_rex: boolean,
        tail: readonly number[],
        p: Place,
        setup: [string, number],
      ): void => {
        const all = rex | w;
        const bytes = [
          ...prefix,
          ...size_prefix,
          ...mandatory,
          ...(all !== 0 || want_rex ? [0x40 | all] : []),
          ...escape,
          opcode,
          ...tail,
          ...imm,
        ];
        if (p.rip) {
          const at = bytes.length - imm.length - 4;
          word(MID - (AT + bytes.length)).forEach((b, k) => (bytes[at + k] = b));
        }
        out.add(bytes, p, ...setup);
      };
      if (!has_modrm) {
        add_plain(row, opcode, emit);
        continue;
      }
      const group = row.group >= 0;
      const memory = spec.some((o) => 'EMW'.includes(o.charAt(0))) && row.form !== 'r';
      const registers = !spec.some((o) => o.startsWith('M')) && row.form !== 'm';
      // immediates beyond the second are tried with one form each
      const few = immediates(row, v).indexOf(imm) > 1;
      if (registers) {
        for (const [reg, rm, rex] of out.some(REGISTERS, few ? 1 : REGISTERS_EACH)) {
          const field = group ? row.group : row.name === 'movseg' ? reg % 6 : reg;
          emit(
            [],
            (field >> 3) * 4 + (rm >> 3),
            rex,
            [0xc0 | ((field & 7) << 3) | (rm & 7)],
            { ...NOWHERE, mod_rm: 0 },
            setup_of(row, false, field, rm),
          );
        }
      }
      if (memory) {
        for (const p of out.some(PLACES, few ? 1 : PLACES_EACH)) {
          const reg = p.rest.length % 2 === 0 ? 1 : 10;
          const field = group ? row.group : row.name === 'movseg' ? 4 : reg;
          const lock =
            LOCKED.has(row.name) && spec[0]?.startsWith('E') && out.some([0, 1, 2], 1)[0] === 0 ? [0xf0] : [];
          emit(
            [...lock, ...p.prefix],
            p.rex | ((field >> 3) * 4),
            p.index >= 0,
            [p.mod_rm | ((field & 7) << 3), ...p.rest],
            p,
            setup_of(row, true, field, -1),
          );
        }
      }
    }
  }
}

type Emit = (
  prefix: readonly number[],
  rex: number,
  want_rex: boolean,
  tail: readonly number[],
  p: Place,
  setup: [string, number],
) => void;

// Rows without ModRM.
function add_plain(row: Row, opcode: number, emit: Emit): void {
  const none: Place = { ...NOWHERE, mod_rm: 0 };
  if (STRINGS.has(row.name)) {
    for (const prefix of [[], [0xf3], [0xf2]]) emit(prefix, 0, false, [], none, ['s', -1]);
    emit([0x67, 0xf3], 0, false, [], none, ['s', -1]);
  } else if (row.operands.some((o) => o.startsWith('O'))) {
    emit([], 0, false, [...word(MID), 0, 0, 0, 0], none, ['-', -1]);
    emit([0x67], 0, false, word(MID), none, ['-', -1]);
  } else if (row.name === 'xlat') {
    emit([], 0, false, [], { ...none, base: 3, disp: 128 }, ['-', -1]);
  } else if (row.name === 'leave') {
    emit([], 0, false, [], { ...none, base: 5 }, ['-', -1]);
  } else {
    emit([], 0, false, [], none, ['-', -1]);
    if (row.operands.some((o) => o.startsWith('Z'))) emit([], 1, opcode % 2 === 0, [], none, ['-', -1]);
    if (row.operands[0] === 'Zb') emit([], 0, true, [], none, ['-', -1]);
  }
}

/** Jumps over a `cmc`, so that the carry flag shows which way they went, and a call of the next instruction. */
function add_branches(out: Lines): void {
  const none = { base: -1, index: -1, scale: 0, disp: 0 };
  for (let cc = 0; cc < 16; cc++) {
    out.add([0x70 | cc, 1, 0xf5], none, '-', -1);
    out.add([0x0f, 0x80 | cc, 1, 0, 0, 0, 0xf5], none, '-', -1);
    // the flags of a comparison, of a logical operation and of a decrement, which are known when it is translated
    for (const before of [
      [0x48, 0x39, 0xc8],
      [0x39, 0xc8],
      [0x66, 0x39, 0xc8],
      [0x38, 0xc8],
      [0x85, 0xc8],
      [0xff, 0xc8],
      [0x48, 0x19, 0xc8],
      [0x48, 0x01, 0xc8],
    ]) {
      out.add([...before, 0x70 | cc, 1, 0xf5], none, '-', -1);
      out.add([...before, 0x0f, 0x90 | cc, 0xc3], none, '-', -1);
    }
  }
  for (const op of [0xe0, 0xe1, 0xe2, 0xe3]) {
    out.add([op, 1, 0xf5], none, 'r', -1);
    out.add([0x67, op, 1, 0xf5], none, 'r', -1);
    // backwards: counts rbx up
    if (op !== 0xe3) out.add([0x48, 0xff, 0xc3, op, 0xfb], none, 'l', -1);
  }
  out.add([0xe8, 0, 0, 0, 0], none, '-', -1);
  out.add([0xeb, 1, 0xf5], none, '-', -1);
  out.add([0xe9, 1, 0, 0, 0, 0xf5], none, '-', -1);
}

/** fninit, two loads, an operation, and stores of st(0) and of the status word. */
function add_x87(out: Lines): void {
  const rbx = { base: 3, index: -1, scale: 0, disp: 0 };
  const loads = [
    [0xdb, 0x2b, 0xdb, 0x6b, 0x10],
    [0xdd, 0x03, 0xdd, 0x43, 0x10],
    [0xd9, 0x03, 0xdd, 0x43, 0x10],
    [0xdf, 0x2b, 0xdb, 0x43, 0x10],
  ];
  const operations: number[][] = [];
  // with st(1), into st(1), with memory
  for (const op of [0xc1, 0xc9, 0xd1, 0xe1, 0xe9, 0xf1, 0xf9]) operations.push([0xd8, op]);
  for (const op of [0xc1, 0xc9, 0xe1, 0xe9, 0xf1, 0xf9]) operations.push([0xde, op], [0xdc, op]);
  for (const opcode of [0xd8, 0xda, 0xdc, 0xde]) {
    for (let op = 0; op < 8; op++) operations.push([opcode, 0x43 | (op << 3), 0x20]);
  }
  for (const op of [0xe0, 0xe1, 0xe4, 0xe5, 0xe8, 0xeb, 0xee, 0xfa, 0xfc, 0xc9, 0xc1, 0xf6, 0xf7])
    operations.push([0xd9, op]);
  for (const op of [0xc1, 0xc9, 0xd1, 0xd9, 0xe9, 0xf1, 0xe2]) operations.push([0xdb, op]);
  for (const op of [0xc1, 0xc9, 0xd1, 0xd9, 0xe9]) operations.push([0xda, op]);
  for (const op of [0xd1, 0xd9, 0xe1, 0xe9, 0xc1]) operations.push([0xdd, op]);
  for (const op of [0xe0, 0xe9, 0xf1]) operations.push([0xdf, op]);
  // stores
  operations.push(
    [0xd9, 0x53, 0x58],
    [0xd9, 0x5b, 0x58],
    [0xdd, 0x53, 0x58],
    [0xdd, 0x5b, 0x58],
    [0xdb, 0x7b, 0x58],
    [0xd9, 0x7b, 0x58],
  );
  for (const opcode of [0xdb, 0xdd, 0xdf]) operations.push([opcode, 0x4b, 0x58]);
  for (const opcode of [0xdb, 0xdf]) operations.push([opcode, 0x53, 0x58], [opcode, 0x5b, 0x58]);
  operations.push([0xdf, 0x7b, 0x58]);
  for (const load of loads) {
    for (const operation of operations) {
      out.add([0xdb, 0xe3, ...load, ...operation, 0xdd, 0x7b, 0x48, 0xdb, 0x7b, 0x30], rbx, '-', -1);
    }
  }
}

const LOCKED = new Set([
  'add',
  'adc',
  'and',
  'or',
  'sbb',
  'sub',
  'xor',
  'inc',
  'dec',
  'neg',
  'not',
  'bts',
  'btr',
  'btc',
  'xadd',
  'cmpxchg',
  'cmpxchg8b',
]);

/** The lines, without repetition. */
export function forms(): string[] {
  const out = new Lines();
  for (const [escape, map] of [
    [[], MAP_1],
    [[0x0f], MAP_0F],
    [[0x0f, 0x38], MAP_0F38],
    [[0x0f, 0x3a], MAP_0F3A],
  ] as const) {
    map.forEach((rows, opcode) => {
      for (const row of rows) {
        if (LEFT_OUT.has(row.name) || row.level === 'v3') continue;
        add_row(out, escape, opcode, row);
      }
    });
  }
  add_branches(out);
  add_x87(out);
  return [...new Set(out.lines)];
}
