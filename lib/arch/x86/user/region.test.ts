// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { UserCpu } from './cpu.ts';
import { UserMemory } from './memory.ts';
import { analyse, discover, FetchFault } from './region.ts';
import { TestMmu } from './testing.ts';

const CODE = 0x1000;
const BP = 8;
const [RAX, RCX] = [0, 1];

const bytes_of = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

function blocks_of(hex: string, max?: number): ReturnType<typeof discover> {
  const code = bytes_of(hex);
  const fetch = (addr: number): number => {
    if (addr - CODE >= code.length) throw new FetchFault();
    return code[addr - CODE];
  };
  return discover(CODE, fetch, 'v1', max);
}

/** Runs code to an int3 behind it; returns rax. */
function run(hex: string, rcx: number): number {
  const memory = new UserMemory(8 * 2 ** 20);
  const mmu = new TestMmu(memory);
  const cpu = new UserCpu(memory, 'v1');
  const ctx = cpu.new_context();
  mmu.map(CODE, false, true);
  mmu.poke(CODE, bytes_of(`${hex} cc`));
  cpu.set_gpr(ctx, RCX, rcx);
  cpu.set_rip(ctx, CODE);
  t.equal(cpu.run(mmu, ctx, 1e6), BP);
  return cpu.gpr(ctx, RAX);
}

t.test('a loop is a header that its back edge names', (t) => {
  // add eax, ecx; dec ecx; jnz; int3
  const g = analyse(blocks_of('01c8 ffc9 75fa cc'));
  t.same([...g.headers], [0]);
  t.same(g.entries, [0]);
  t.equal(run('01c8 ffc9 75fa', 100), 5050);
  t.end();
});

t.test('a jump into an instruction list splits it, once', (t) => {
  // xor eax, eax; inc eax; dec ecx; jnz to the inc
  const blocks = blocks_of('31c0 ffc0 ffc9 75fa cc');
  t.same(
    blocks.map((b) => [b.pc - CODE, b.insns.length]),
    [
      [0, 1],
      [2, 3],
      [8, 1],
    ],
  );
  t.end();
});

t.test('a loop with two ways in gets a further entry and runs', (t) => {
  // jump into the middle: jmp B; A: add eax, 2; B: inc eax; dec ecx; jnz A
  const hex = 'f6c101 7403 83c002 ffc0 ffc9 75f7';
  const g = analyse(blocks_of(`${hex} cc`));
  t.ok(g.entries.length > 1);
  t.equal(run(hex, 4), 3 * 3 + 1, 'in at the second instruction');
  t.equal(run(hex, 5), 3 * 5, 'in at the first');
  t.end();
});

t.test('a call is not followed, and what it returns to is an entry', (t) => {
  // call +1; int3; ret
  const g = analyse(blocks_of('e801000000 cc c3'));
  t.same(
    g.entries.map((k) => g.blocks[k].pc - CODE),
    [0, 5],
  );
  t.notOk(g.at.has(CODE + 6));
  t.end();
});

t.test('a region is bounded, and ends where code cannot be fetched', (t) => {
  const count = (blocks: ReturnType<typeof discover>): number => blocks.reduce((n, b) => n + b.insns.length, 0);
  t.equal(count(blocks_of('90'.repeat(100), 10)), 10);
  t.equal(count(blocks_of('9090')), 2);
  t.throws(() => blocks_of(''));
  t.end();
});
