// SPDX-License-Identifier: GPL-2.0-only
// Finds the blocks of a region and the structure of its control flow. NON-KERNEL throughout.

import type { CpuLevel } from './cpu.ts';
import { decode, TooLong, type FetchByte } from './decode.ts';
import { InvalidOpcode, Unimplemented, type Insn, type RelOperand } from './insn.ts';

/** Instructions and bytes from first to last that a region has at most, which bounds the time to compile it. */
export const MAX_INSNS = 96;

/** A fetch that the page tables refuse; `decode()` passes it on. */
export class FetchFault extends Error {}

/** How a block ends. */
export type End =
  /** on to `target`, by a jump or because another block starts there */
  | { readonly kind: 'jump'; readonly target: number }
  /** to `target` if a condition holds (jcc, loop, jrcxz), else to `next` */
  | { readonly kind: 'branch'; readonly target: number; readonly next: number }
  | { readonly kind: 'call'; readonly target: number; readonly next: number }
  /** an address that only the run knows, or out of translated code; `next` may be where it comes back, else -1 */
  | { readonly kind: 'leave'; readonly next: number };

/** Instructions that run one after the other. */
export interface Block {
  readonly pc: number;
  readonly insns: readonly Insn[];
  readonly end: End;
}

/** Instructions that end a block and let the kernel or interpret.ts go on. */
export const LEAVING = new Set([
  'syscall',
  'int3',
  'privileged',
  'popf',
  'invalid',
  'unimplemented',
  'too_long',
  'cpuid',
  'rdtsc',
  'fxsave',
  'fxrstor',
  'ldmxcsr',
  'stmxcsr',
  'maskmovdqu',
  'enter',
  'cmpxchg16b',
  'crc32',
  'phminposuw',
  'mpsadbw',
  'pcmpestrm',
  'pcmpestri',
  'pcmpistrm',
  'pcmpistri',
  'x87',
  'fwait',
]);

/** Those of them that raise an exception, after which the next instruction is not expected. */
const FINAL = new Set(['int3', 'privileged', 'invalid', 'unimplemented', 'too_long']);

/** The end that an instruction makes of its block, or null. */
function end_of(i: Insn): End | null {
  const next = i.pc + i.length;
  const first = i.ops[0];
  switch (i.name) {
    case 'jcc':
    case 'loop':
    case 'loope':
    case 'loopne':
    case 'jrcxz':
      return { kind: 'branch', target: (first as RelOperand).target, next };
    case 'jmp':
      return first?.kind === 'rel' ? { kind: 'jump', target: first.target } : { kind: 'leave', next: -1 };
    case 'call':
      return first?.kind === 'rel' ? { kind: 'call', target: first.target, next } : { kind: 'leave', next };
    case 'ret':
      return { kind: 'leave', next: -1 };
    default:
      return LEAVING.has(i.name) ? { kind: 'leave', next: FINAL.has(i.name) ? -1 : next } : null;
  }
}

/**
 * decode(), with an instruction of its own for what raises #UD, #GP or is unimplemented, as long as the bytes that
 * say so.
 */
export function decode_any(pc: number, fetch: FetchByte, level: CpuLevel): Insn {
  let length = 1;
  const counted: FetchByte = (addr) => {
    length = addr - pc + 1;
    return fetch(addr);
  };
  const none = (name: string): Insn => ({
    pc,
    length,
    name,
    ops: [],
    size: 4,
    cc: 0,
    rep: null,
    lock: false,
    addr32: false,
    vex: 0,
  });
  try {
    return decode(pc, counted, level);
  } catch (error) {
    if (error instanceof InvalidOpcode) return none('invalid');
    if (error instanceof Unimplemented) return none('unimplemented');
    if (error instanceof TooLong) return none('too_long');
    throw error;
  }
}

/**
 * The blocks that can be reached from `pc` by direct jumps, the one at `pc` first. Calls are not followed, so that a
 * function has its region. Throws FetchFault if there is no instruction at `pc`; further ones that cannot be fetched
 * are outside of the region.
 */
export function discover(pc: number, fetch: FetchByte, level: CpuLevel, max_insns = MAX_INSNS): Block[] {
  const insns = new Map<number, Insn>();
  const leaders = new Set<number>();
  const work = [pc];
  for (let w = 0; w < work.length; w++) {
    let at = work[w];
    leaders.add(at);
    while (insns.size < max_insns && !insns.has(at)) {
      let insn: Insn;
      try {
        insn = decode_any(at, fetch, level);
      } catch (error) {
        if (!(error instanceof FetchFault) || insns.size === 0) throw error;
        break;
      }
      insns.set(at, insn);
      const end = end_of(insn);
      if (end !== null) {
        if (end.kind === 'jump' || end.kind === 'branch') work.push(end.target);
        if (end.kind !== 'jump' && end.next >= 0) work.push(end.next);
        break;
      }
      at += insn.length;
    }
  }
  const blocks: Block[] = [];
  for (const leader of leaders) {
    if (!insns.has(leader)) continue;
    const list: Insn[] = [];
    let end: End | null = null;
    let at = leader;
    do {
      const insn = insns.get(at) as Insn;
      list.push(insn);
      end = end_of(insn);
      at += insn.length;
    } while (end === null && !leaders.has(at) && insns.has(at));
    blocks.push({ pc: leader, insns: list, end: end ?? { kind: 'jump', target: at } });
  }
  return blocks;
}

/** Blocks as a control-flow graph with a root that leads to every entry; numbers are indices of blocks. */
export interface Graph {
  readonly blocks: readonly Block[];
  /** blocks that the root leads to: the first, what is returned to, and what no structured branch reaches */
  readonly entries: readonly number[];
  /** position in reverse postorder */
  readonly order: readonly number[];
  /** loop headers, which their loops' back edges can name */
  readonly headers: ReadonlySet<number>;
  /** blocks that are reached in more than one way, and entries: they have a label */
  readonly merges: ReadonlySet<number>;
  /** children in the dominator tree, by reverse postorder; those of the root are at index `blocks.length` */
  readonly children: readonly (readonly number[])[];
  /** index by address */
  readonly at: ReadonlyMap<number, number>;
}

/** The graph's edges out of a block. */
function successors(b: Block): number[] {
  if (b.end.kind === 'jump') return [b.end.target];
  if (b.end.kind === 'branch') return [b.end.next, b.end.target];
  return [];
}

// Cooper, Harvey and Kennedy's dominators. `root` is blocks.length.
function dominators(
  order: readonly number[],
  post: readonly number[],
  preds: readonly (readonly number[])[],
  root: number,
): number[] {
  const idom: number[] = new Array<number>(root + 1).fill(-1);
  idom[root] = root;
  for (let changed = true; changed; ) {
    changed = false;
    for (const b of order) {
      if (b === root) continue;
      let found = -1;
      for (const p of preds[b]) {
        if (idom[p] === -1) continue;
        if (found === -1) {
          found = p;
          continue;
        }
        let x = found;
        let y = p;
        while (x !== y) {
          while (post[x] < post[y]) x = idom[x];
          while (post[y] < post[x]) y = idom[y];
        }
        found = x;
      }
      if (found !== idom[b]) {
        idom[b] = found;
        changed = true;
      }
    }
  }
  return idom;
}

/**
 * Analyses blocks for structured control flow (Ramsey, "Beyond Relooper"): loops that have two ways in get a further
 * entry.
 */
export function analyse(blocks: readonly Block[]): Graph {
  const at = new Map(blocks.map((b, k) => [b.pc, k]));
  const root = blocks.length;
  const succs: number[][] = blocks.map((b) =>
    successors(b)
      .map((pc) => at.get(pc) ?? -1)
      .filter((k) => k >= 0),
  );
  const entries = new Set([0]);
  for (const b of blocks) {
    const next = b.end.kind === 'call' || b.end.kind === 'leave' ? at.get(b.end.next) : undefined;
    if (next !== undefined) entries.add(next);
  }
  for (;;) {
    succs[root] = [...entries];
    const post: number[] = new Array<number>(root + 1).fill(-1);
    const order: number[] = [];
    const seen = new Set<number>();
    const visit = (b: number): void => {
      seen.add(b);
      for (const s of succs[b]) if (!seen.has(s)) visit(s);
      post[b] = order.length;
      order.push(b);
    };
    visit(root);
    order.reverse();
    const preds: number[][] = Array.from({ length: root + 1 }, () => []);
    for (const b of order) for (const s of succs[b]) preds[s].push(b);
    const idom = dominators(order, post, preds, root);
    const position: number[] = new Array<number>(root + 1).fill(-1);
    order.forEach((b, k) => (position[b] = k));
    const dominates = (a: number, b: number): boolean => {
      while (b !== a && b !== root) b = idom[b];
      return a === b;
    };
    const headers = new Set<number>();
    const merges = new Set<number>(entries);
    let grown = false;
    for (const b of order) {
      if (b === root) continue;
      let forward = 0;
      for (const p of preds[b]) {
        if (position[p] < position[b]) forward++;
        else if (dominates(b, p)) headers.add(b);
        else if (!entries.has(b)) {
          entries.add(b);
          grown = true;
        }
      }
      if (forward > 1) merges.add(b);
    }
    if (grown) continue;
    const children: number[][] = Array.from({ length: root + 1 }, () => []);
    for (const b of order) if (b !== root) children[idom[b]].push(b);
    return { blocks, entries: [...entries], order: position, headers, merges, children, at };
  }
}
