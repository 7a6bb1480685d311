// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import type { Machine } from '../../../machine.ts';
import type { Gen } from '../../../kernel/gen.ts';
import { UserExit } from '../../../kernel/signal.ts';
import { run_process, small_machine } from '../../../kernel/testing.ts';
import { sys_mprotect } from '../../../mm/mprotect.ts';
import { map_anon } from '../../../mm/testing.ts';
import { sys_munmap } from '../../../mm/mmap/mmap.ts';
import { user_load32, user_write_bytes } from '../mm/uaccess.ts';
import { UserCpu } from './cpu.ts';
import { UserMemory } from './memory.ts';
import { ModelMmu } from './mmu.ts';
import { user_mode, type UserException, type UserKernel } from './user_mode.ts';

const PAGE = 4096;
const CODE = 0x400000;
const DATA = 0x10000000;
const [PROT_READ, PROT_RW, PROT_RX] = [1, 3, 5];
const [RAX, RCX, RDI] = [0, 1, 7];
const [SIGSEGV, SIGFPE, SEGV_ACCERR] = [11, 8, 2];
const SLAB = 2 * 2 ** 20;

const bytes_of = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

/** Stores ecx, counting down to zero, at rdi and the ints after it; then makes a system call. */
const FILL = '890f 4883c704 ffc9 75f6 0f05';
/** Adds the ints from rdi on, ecx of them, to eax. */
const SUM = '31c0 0307 4883c704 ffc9 75f6 0f05';

const memory = new UserMemory(64 * SLAB);
const cpu = new UserCpu(memory, 'v1');

/** What a test sees of a program: its context, and how to run it to its next system call or exception. */
interface Program {
  readonly m: Machine;
  readonly ctx: number;
  start(hex: string, rdi: number, rcx: number): Gen<UserException | null>;
}

class Stop extends Error {}

function run(body: (p: Program) => Gen<void>, explore = false): Machine {
  const m = small_machine({ user_memory: memory });
  const mmu = new ModelMmu(m);
  const ctx = cpu.new_context();
  m.sched.explore = explore;
  const start = function* (hex: string, rdi: number, rcx: number): Gen<UserException | null> {
    yield* sys_mprotect(m, CODE, PAGE, PROT_RW);
    yield* user_write_bytes(m, CODE, bytes_of(hex));
    yield* sys_mprotect(m, CODE, PAGE, PROT_RX);
    cpu.set_rip(ctx, CODE);
    cpu.set_gpr(ctx, RDI, rdi);
    cpu.set_gpr(ctx, RCX, rcx);
    let raised: UserException | null = null;
    const kernel: UserKernel = {
      *syscall() {
        throw new Stop();
      },
      *exception(_, what) {
        raised = what;
        throw new Stop();
      },
      *pending() {},
    };
    try {
      yield* user_mode(m, cpu, mmu, ctx, kernel);
    } catch (error) {
      if (!(error instanceof Stop)) throw error;
    }
    return raised;
  };
  const status = run_process(m, function* () {
    yield* map_anon(m, CODE, 1);
    yield* map_anon(m, DATA, 16);
    yield* body({ m, ctx, start });
    throw new UserExit(0);
  });
  t.equal(status, 0);
  cpu.free_context(ctx);
  return m;
}

t.test('a program stores through demand faults of the model, and the model sees what it stored', (t) => {
  for (const explore of [false, true]) {
    const m = run(function* ({ m, ctx, start }) {
      const n = explore ? 20 : 3000;
      t.equal(yield* start(FILL, DATA + 4, n), null);
      t.equal(yield* user_load32(m, DATA + 4), n);
      t.equal(yield* user_load32(m, DATA + 4 * n), 1);
      t.equal(yield* start(SUM, DATA, n + 1), null);
      t.equal(cpu.gpr(ctx, RAX), (n * (n + 1)) / 2);
    }, explore);
    m.release();
  }
  t.end();
});

t.test('time passes by instructions', (t) => {
  const m = run(function* ({ m, start }) {
    yield* start(FILL, DATA, 16);
    const before = m.sched.now;
    yield* start(FILL, DATA, 4000);
    t.ok(m.sched.now - before >= 16000 * 0.25);
  });
  m.release();
  t.end();
});

t.test('rights that are taken away hold at once, for data and for code', (t) => {
  const m = run(function* ({ m, start }) {
    yield* start(FILL, DATA, 100);
    yield* sys_mprotect(m, DATA, PAGE, PROT_READ);
    const store = yield* start(FILL, DATA + 8, 1);
    t.same([store?.sig, store?.addr], [SIGSEGV, DATA + 8]);
    t.equal(yield* start(SUM, DATA, 2), null, 'it may be read');
    yield* sys_munmap(m, DATA, PAGE);
    const load = yield* start(SUM, DATA, 2);
    t.same([load?.sig, load?.addr], [SIGSEGV, DATA]);
    const data = yield* start('ffe7', DATA + PAGE, 0);
    t.same([data?.sig, data?.code, data?.addr], [SIGSEGV, SEGV_ACCERR, DATA + PAGE], 'data is not executed');
  });
  m.release();
  t.end();
});

t.test('an exception becomes the signal that Linux gives it', (t) => {
  const m = run(function* ({ start }) {
    const by_zero = yield* start('31d2 f7f1', DATA, 0);
    t.same([by_zero?.sig, by_zero?.addr], [SIGFPE, CODE + 2]);
  });
  m.release();
  t.end();
});

t.test('code that a program writes for itself runs as it is when it is reached', (t) => {
  const m = run(function* ({ m, ctx, start }) {
    yield* sys_mprotect(m, DATA, PAGE, 7);
    // mov byte [rdi], 0xb0; mov byte [rdi+1], cl; mov byte [rdi+2], 0xc3; call rdi; syscall
    const write_and_call = 'c607b0 884f01 c64702c3 ffd7 0f05';
    cpu.set_gpr(ctx, 4, DATA + 8 * PAGE);
    for (const value of [0x11, 0x22, 0x33]) {
      t.equal(yield* start(write_and_call, DATA, value), null);
      t.equal(cpu.gpr(ctx, RAX) & 0xff, value);
    }
  });
  m.release();
  t.end();
});

t.test('a machine gives its memory back', (t) => {
  const used = memory.used_bytes();
  run(function* ({ start }) {
    yield* start(FILL, DATA, 100);
  }).release();
  t.equal(memory.used_bytes(), used);
  t.end();
});
