// SPDX-License-Identifier: GPL-2.0-only
// Translates a region. NON-KERNEL throughout.

import type { Insn, Operand, RegOperand } from '../insn.ts';
import { EXIT } from '../layout.ts';
import { analyse, LEAVING, type Block, type Graph } from '../region.ts';
import { module_bytes, OP, type Label } from '../wasm.ts';
import { Emitter, IMPORTS, NEXT_LOCAL, REGION_LOCALS, REGION_TYPE } from './emitter.ts';
import { INTEGER, type Translator } from './integer.ts';
import { SHIFT } from './shift.ts';
import { SSE } from './sse.ts';
import { SSE4 } from './sse4.ts';
import { STRING } from './string.ts';

const TRANSLATORS: ReadonlyMap<string, Translator> = new Map(
  Object.entries({ ...INTEGER, ...SHIFT, ...STRING, ...SSE, ...SSE4 }),
);

const READS_FLAGS = new Set([
  'adc',
  'sbb',
  'rcl',
  'rcr',
  'rol',
  'ror',
  'jcc',
  'setcc',
  'cmovcc',
  'pushf',
  'lahf',
  'sahf',
  'cmc',
  'clc',
  'stc',
  'inc',
  'dec',
  'bt',
  'bts',
  'btr',
  'btc',
  'bsf',
  'bsr',
  'tzcnt',
  'lzcnt',
  'cmpxchg8b',
  'loope',
  'loopne',
  'div',
  'idiv',
]);
const WRITES_FLAGS = new Set([
  'add',
  'or',
  'and',
  'sub',
  'xor',
  'cmp',
  'test',
  'neg',
  'mul',
  'imul',
  'xadd',
  'cmpxchg',
  'comiss',
  'comisd',
  'popcnt',
  'ptest',
  'inc',
  'dec',
  'adc',
  'sbb',
]);
const TOUCHES_STACK = new Set(['push', 'pop', 'call', 'ret', 'leave', 'pushf', 'popf']);

/** True if the instruction may leave the region, so that whoever looks then sees the flags. */
function may_leave(i: Insn): boolean {
  if (TOUCHES_STACK.has(i.name) || LEAVING.has(i.name) || STRING[i.name] !== undefined) return true;
  return i.name !== 'lea' && i.name !== 'nop' && i.ops.some((o) => o.kind === 'mem');
}

/** For each instruction of a block whether anybody can see the flags that it sets. */
function live_flags(b: Block): boolean[] {
  const live: boolean[] = [];
  let later = true;
  for (let k = b.insns.length - 1; k >= 0; k--) {
    const i = b.insns[k];
    live[k] = later;
    if (READS_FLAGS.has(i.name) || may_leave(i)) later = true;
    else if (WRITES_FLAGS.has(i.name)) later = false;
  }
  return live;
}

/** Emits the blocks of a graph as structured control flow. */
class RegionTranslator {
  private readonly e: Emitter;
  private readonly g: Graph;
  private readonly labels = new Map<number, Label>();
  private dispatch!: Label;

  constructor(blocks: readonly Block[], stepping: boolean) {
    this.e = new Emitter(stepping);
    this.g = analyse(blocks);
  }

  body(): Uint8Array {
    const { e, g } = this;
    e.prologue();
    this.dispatch = e.c.loop();
    const root = g.children[g.blocks.length];
    this.within(
      root.filter((b) => g.merges.has(b)),
      () => {
        // a block's number is its index, and those that are no entry are never asked for
        const first = this.labels.get(0) as Label;
        e.c
          .get(NEXT_LOCAL)
          .br_table([
            ...g.blocks.map((_, k) => (g.entries.includes(k) ? (this.labels.get(k) as Label) : first)),
            first,
          ]);
      },
    );
    e.c.end();
    return e.finish();
  }

  // Emits `inner` inside a block for each of the merge nodes, which follow in order.
  private within(merges: readonly number[], inner: () => void): void {
    const last = merges[merges.length - 1];
    if (last === undefined) {
      inner();
      return;
    }
    this.labels.set(last, this.e.c.block());
    this.within(merges.slice(0, -1), inner);
    this.e.c.end();
    this.e.known = null;
    this.tree(last);
  }

  private tree(n: number): void {
    const { e, g } = this;
    const inner = (): void =>
      this.within(
        g.children[n].filter((c) => g.merges.has(c)),
        () => this.block(n),
      );
    if (!g.headers.has(n)) {
      inner();
      return;
    }
    // Forward branches to a header go to its block, back edges to its loop; no branch of the first kind comes later.
    this.labels.set(n, e.c.loop());
    e.known = null;
    inner();
    e.c.end();
  }

  private goto(from: number, pc: number): void {
    const { e, g } = this;
    const to = g.at.get(pc);
    if (to === undefined) {
      e.exit_to(EXIT.JUMP, pc);
      return;
    }
    const label = this.labels.get(to);
    const back = g.order[to] <= g.order[from];
    if (back && !this.is_loop_around(to, from)) e.c.i32(to).set(NEXT_LOCAL).br(this.dispatch);
    else if (label !== undefined && (back || g.merges.has(to))) e.c.br(label);
    else this.tree(to);
  }

  private is_loop_around(header: number, n: number): boolean {
    if (!this.g.headers.has(header)) return false;
    const inside = (b: number): boolean => b === n || this.g.children[b].some(inside);
    return inside(header);
  }

  private block(n: number): void {
    const { e, g } = this;
    const b = g.blocks[n];
    const live = live_flags(b);
    e.spend(b.pc, b.insns.length, g.headers.has(n) || g.entries.includes(n));
    b.insns.forEach((i, k) => {
      e.begin(i, b.insns.length - k, live[k]);
      const translate = TRANSLATORS.get(i.name);
      if (translate !== undefined) translate(e, i);
      else this.control(n, i);
    });
    if (b.end.kind === 'jump') this.goto(n, b.end.target);
  }

  private branch(n: number, i: Insn): void {
    const { e } = this;
    const next = i.pc + i.length;
    const target = (i.ops[0] as { target: number }).target;
    const known = e.known;
    e.c.if();
    this.goto(n, target);
    e.c.end();
    e.known = known;
    this.goto(n, next);
  }

  // Instructions that end a block.
  private control(n: number, i: Insn): void {
    const { e } = this;
    const next = i.pc + i.length;
    const first = i.ops[0];
    switch (i.name) {
      case 'jcc':
        e.condition(i.cc);
        this.branch(n, i);
        break;
      case 'jrcxz':
        this.count(i);
        e.c.op(OP.i64_eqz);
        this.branch(n, i);
        break;
      case 'loop':
      case 'loope':
      case 'loopne':
        this.loop(n, i);
        break;
      case 'jmp':
        if (first.kind !== 'rel') this.jump_indirect(first);
        break;
      case 'call':
        this.call(i, first, next);
        break;
      case 'ret':
        this.ret(i);
        break;
      case 'syscall':
        e.exit_to(EXIT.SYSCALL, next);
        break;
      case 'int3':
        e.exit_to(EXIT.BP, next);
        break;
      case 'privileged':
      case 'too_long':
        e.exit_before(EXIT.GP);
        break;
      case 'invalid':
        e.exit_before(EXIT.UD);
        break;
      case 'unimplemented':
        e.exit_before(EXIT.UNIMPLEMENTED);
        break;
      default:
        e.exit_before(LEAVING.has(i.name) ? EXIT.INTERPRET : EXIT.UNIMPLEMENTED);
    }
  }

  private count(i: Insn): void {
    this.e.gpr(1);
    if (i.addr32) this.e.c.i64(0xffffffff).op(OP.i64_and);
  }

  private loop(n: number, i: Insn): void {
    const { e } = this;
    this.count(i);
    e.c.i64(1).op(OP.i64_sub);
    if (i.addr32) e.c.i64(0xffffffff).op(OP.i64_and);
    e.set_gpr(1).gpr(1).c.op(OP.i64_eqz, OP.i32_eqz);
    if (i.name !== 'loop')
      e.condition(i.name === 'loope' ? 4 : 5)
        .c.i32(0)
        .op(OP.i32_ne, OP.i32_and);
    this.branch(n, i);
  }

  private jump_indirect(to: Operand): void {
    const { e } = this;
    if ((to as RegOperand).size !== 8) {
      e.exit_before(EXIT.UNIMPLEMENTED);
      return;
    }
    e.read(to);
    e.exit_indirect(EXIT.JUMP);
  }

  private call(i: Insn, to: Operand, next: number): void {
    const { e } = this;
    if (to.kind !== 'rel' && (to as RegOperand).size !== 8) {
      e.exit_before(EXIT.UNIMPLEMENTED);
      return;
    }
    const target = e.temp_i64();
    const back = e.temp_i64();
    if (to.kind !== 'rel') e.read(to).c.set(target);
    e.c.i64(next).set(back);
    e.push(8, back);
    if (to.kind === 'rel') {
      e.exit_to(EXIT.JUMP, to.target);
    } else {
      e.c.get(target);
      e.exit_indirect(EXIT.JUMP);
    }
  }

  private ret(i: Insn): void {
    const { e } = this;
    const sp = e.temp_i64();
    const target = e.temp_i64();
    const extra = i.ops[0]?.kind === 'imm' ? i.ops[0].value : 0;
    e.gpr(4).c.set(sp);
    e.load_at(sp, 8, true).c.set(target);
    e.c
      .get(sp)
      .i64(8 + extra)
      .op(OP.i64_add);
    e.set_gpr(4).c.get(target);
    e.exit_indirect(EXIT.JUMP);
  }
}

/** The bytes of a module whose function `run` executes the blocks, from the one whose index is its last argument. */
export function translate_region(blocks: readonly Block[], stepping: boolean, pages: number): Uint8Array {
  const body = new RegionTranslator(blocks, stepping).body();
  return module_bytes(pages, IMPORTS, [{ name: 'run', type: REGION_TYPE, locals: REGION_LOCALS, body }]);
}

/** The indices at which a region can be entered, by address. */
export function entries_of(blocks: readonly Block[]): Map<number, number> {
  return new Map(analyse(blocks).entries.map((k) => [blocks[k].pc, k]));
}
