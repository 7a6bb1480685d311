// SPDX-License-Identifier: GPL-2.0-only
// The CPU, as the rest of the model sees it. NON-KERNEL throughout.

// The x86-64 CPU in user mode. Guest code is decoded (decode.ts), translated region by region to WebAssembly
// (translate/, region.ts) and kept by content (code_cache.ts); this file is what the rest of the model sees of it.
//
//   memory    One UserMemory (memory.ts) holds page contents, contexts and TLBs. A virtual address reaches its bytes
//             through the inline TLB of the CPU that the task runs on; a miss calls Mmu.walk(), the model's hardware
//             walk. Translated code keeps no other translation of an address, so what a TLB flush drops is gone at
//             once.
//   context   What a task has in registers (layout.ts: CTX). `new_context()` makes one, `fork_context()` copies it,
//             `free_context()` gives it back; RIP, RFLAGS and every register are exact whenever `run()` returned.
//   exits     `run()` is a plain function: it returns an EXIT as soon as something needs the kernel, and the caller (a
//             generator, user_mode()) may then sleep in the page fault, the system call or the signal, and runs again.
//             The instruction that faulted is undone completely and starts afresh; `rep` keeps what it has done, with
//             rcx, rsi and rdi at the element that faulted.
//   code      Fetches go through the page tables with their NX bits and need no hook: translated code is valid while
//             Mmu.generation() stands still (every TLB flush of the address space moves it, which covers munmap,
//             mprotect, mremap, copy-on-write and exec), and is looked at again, by content, afterwards. A page with
//             translated code has no write permission in any inline TLB, so that the first store to it, by whomever, is
//             seen by Mmu and drops the code, even of the instruction that runs next.
//   time      Each instruction (each element of `rep`) takes one from CTX.FUEL; `run()` returns EXIT.BUDGET at zero.
//             `run()` answers with exact numbers: fuel given less fuel left is the number of instructions done.
//   stepping  `step()` executes one instruction without inline TLB and stops between its accesses (EXIT.STEP): each
//             load and each store is one step, a locked instruction is one step, and so is each half of an unlocked
//             read-modify-write. RFLAGS.AC and RFLAGS.TF are honoured in either mode.
//   cpuid     Level v1 says SSE2 and no more, v2 and v3 what the x86-64 psABI lists for them; an instruction that the
//             level does not have is #UD (or what older CPUs do with its bytes: tzcnt is bsf).

import { CodeCache } from './code_cache.ts';
import { decode_any } from './region.ts';
import { MAX_INSN_BYTES } from './decode.ts';
import { interpret } from './interpret.ts';
import { ACCESS, CONTEXT_BYTES, CTX, EXIT, type Exit } from './layout.ts';
import { FIRST_OFFSET, HELP, INFO } from './translate/emitter.ts';
import { PAGE_SIZE, SLAB_BYTES } from '../../../mm/contents.ts';
import type { UserMemory } from './memory.ts';

/** x86-64 psABI, micro-architecture levels: what cpuid reports and the decoder accepts. */
export type CpuLevel = 'v1' | 'v2' | 'v3';

/**
 * The memory management unit of the CPU that the current task runs on: lib/arch/x86/user/mmu.ts implements it on the
 * model's page tables. Addresses are exact numbers below 2^47; the CPU itself raises #GP and #SS for others. Nothing
 * here sleeps.
 */
export interface Mmu {
  readonly memory: UserMemory;
  /** Byte offset in the memory of the CPU's TLB (layout.ts: TLB_LAYOUT). */
  tlb(): number;
  /** What the tags of the current address space have added to the virtual page number; at least 2^52. */
  tag(): number;
  /** The current address space, as a key. */
  space(): object;
  /** Moves whenever a translation of the current address space may have been dropped or changed. */
  generation(): number;
  /**
   * Translates the address as a load (or store) does: the TLB, or else the hardware walk, which sets accessed and dirty
   * bits and fills the TLB. Returns the byte offset of the byte, or -1 for a page fault. A store to a page that
   * `guard()` watches ends the watch and moves generation().
   */
  walk(addr: number, write: boolean): number;
  /** The byte offset of the page with the address for an instruction fetch, or -1 for a page fault (NX too). */
  fetch(addr: number): number;
  /**
   * Watches the page at a byte offset, since code of it is translated. Returns a number that stays the same until
   * somebody, user code or the kernel, could have written to the page.
   */
  guard(page: number): number;
  /** The time stamp counter. */
  tsc(): number;
}

/** User addresses end here; canonical ones start again at KERNEL_START. */
const USER_END = 2 ** 47;
const KERNEL_START = 2 ** 64 - 2 ** 47;
const TF = 0x100;
const AC = 0x40000;
const RESET_FLAGS = 0x202;
const RESET_MXCSR = 0x1f80;
const RESET_FCW = 0x37f;
/** Accesses of more bytes are not checked for alignment by RFLAGS.AC. */
const MAX_CHECKED = 8;

function read_u64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);
}

function write_u64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

/** A store that goes to two pages, while the instruction works on a copy. */
interface Split {
  readonly scratch: number;
  readonly first: number;
  readonly length: number;
  readonly second: number;
  readonly size: number;
}

/**
 * The CPU of a UserMemory: executes the user code of any task of any machine that has its pages there. It has no state
 * of its own between calls of run() and step(); contexts have it all.
 */
export class UserCpu {
  readonly memory: UserMemory;
  readonly level: CpuLevel;
  readonly code: CodeCache;
  /** instructions that run() has done, of all contexts */
  retired = 0;
  private mmu!: Mmu;
  private split: Split | null = null;
  private readonly free: number[] = [];
  // Stepping: what the instruction has accessed so far, and how many further accesses this step may do.
  private stepping = false;
  private permits = 0;
  /** one instruction runs alone, so that code which it overwrites does not matter */
  private single = false;
  private done = 0;
  private readonly steps = new Map<number, (Uint8Array | null)[]>();

  constructor(memory: UserMemory, level: CpuLevel) {
    this.memory = memory;
    this.level = level;
    this.code = new CodeCache(memory, {
      slow: (ctx, low, high, info) => this.slow(ctx, low, high, info),
      slow_store: (ctx, low, high, info) => this.slow_store(ctx, low, high, info),
      flush: () => this.flush(),
      help: (ctx, what) => this.divide(ctx, what === HELP.idiv),
    });
  }

  // Contexts

  /** A context as execve(2) leaves it: registers zero, flags and modes at their defaults. */
  new_context(): number {
    if (this.free.length === 0) {
      const slab = this.memory.take().at;
      for (let at = slab; at < slab + SLAB_BYTES; at += CONTEXT_BYTES) this.free.push(at);
    }
    const ctx = this.free.pop() as number;
    this.reset_context(ctx);
    return ctx;
  }

  /** Makes an existing context as new_context() does. */
  reset_context(ctx: number): void {
    const { u8, view } = this.memory;
    u8.fill(0, ctx, ctx + CONTEXT_BYTES);
    view.setUint32(ctx + CTX.FLAGS, RESET_FLAGS, true);
    view.setUint32(ctx + CTX.MXCSR, RESET_MXCSR, true);
    view.setUint16(ctx + CTX.FCW, RESET_FCW, true);
    this.steps.delete(ctx);
  }

  /** A copy, for fork(2) and clone(2). */
  fork_context(ctx: number): number {
    const copy = this.new_context();
    this.memory.u8.copyWithin(copy, ctx, ctx + CONTEXT_BYTES);
    return copy;
  }

  free_context(ctx: number): void {
    this.steps.delete(ctx);
    this.free.push(ctx);
  }

  /** A general register as a number, exact below 2^53. */
  gpr(ctx: number, reg: number): number {
    return read_u64(this.memory.view, ctx + CTX.GPR + reg * 8);
  }

  set_gpr(ctx: number, reg: number, value: number): void {
    write_u64(this.memory.view, ctx + CTX.GPR + reg * 8, value);
  }

  rip(ctx: number): number {
    return read_u64(this.memory.view, ctx + CTX.RIP);
  }

  set_rip(ctx: number, value: number): void {
    write_u64(this.memory.view, ctx + CTX.RIP, value);
  }

  /** Instructions that run() could still have done. */
  fuel(ctx: number): number {
    return this.memory.view.getInt32(ctx + CTX.FUEL, true);
  }

  /** The bytes from RIP on, as many as an instruction can have and can be fetched, for a report. */
  insn_bytes(mmu: Mmu, ctx: number): Uint8Array {
    const pc = this.rip(ctx);
    const bytes: number[] = [];
    for (let addr = pc; addr < Math.min(pc + MAX_INSN_BYTES, USER_END); addr++) {
      const page = mmu.fetch(addr);
      if (page < 0) break;
      bytes.push(this.memory.u8[page + (addr % PAGE_SIZE)]);
    }
    return Uint8Array.from(bytes);
  }

  // Execution

  private begin(mmu: Mmu, ctx: number, fuel: number): void {
    this.mmu = mmu;
    const { view } = this.memory;
    view.setInt32(ctx + CTX.FUEL, fuel, true);
    view.setFloat64(ctx + CTX.TAG, mmu.tag(), true);
  }

  private flags(ctx: number): number {
    return this.memory.view.getUint32(ctx + CTX.FLAGS, true);
  }

  /** Runs at most `fuel` instructions, at least 1, and returns why it stopped. */
  run(mmu: Mmu, ctx: number, fuel: number): Exit {
    const exit = this.run_until(mmu, ctx, fuel);
    this.retired += fuel - this.fuel(ctx);
    return exit;
  }

  private run_until(mmu: Mmu, ctx: number, fuel: number): Exit {
    this.begin(mmu, ctx, fuel);
    this.stepping = false;
    for (;;) {
      if ((this.flags(ctx) & (TF | AC)) !== 0) {
        const exit = this.run_one(ctx);
        if (exit !== EXIT.JUMP) return exit;
        if (this.fuel(ctx) <= 0) return EXIT.BUDGET;
        continue;
      }
      this.code.enter(mmu);
      this.single = false;
      let exit = this.code.dispatch(ctx, mmu.tlb()) as Exit;
      if (exit === EXIT.JUMP) {
        const pc = this.rip(ctx);
        if (!(pc < USER_END)) return this.bad_fetch(ctx, pc);
        if (this.code.place(mmu, pc, this.level)) continue;
        return this.bad_fetch(ctx, pc);
      }
      if (exit === EXIT.CODE_WRITE) exit = this.run_one(ctx);
      else exit = this.settle(ctx, exit);
      if (exit !== EXIT.JUMP) return exit;
    }
  }

  // What is left to do here of an exit of translated code.
  private settle(ctx: number, exit: Exit): Exit {
    if (exit === EXIT.MODE) return EXIT.JUMP;
    if (exit === EXIT.SYSCALL) {
      const { view } = this.memory;
      this.set_gpr(ctx, 1, this.rip(ctx));
      this.set_gpr(ctx, 11, view.getUint32(ctx + CTX.FLAGS, true));
      return exit;
    }
    if (exit !== EXIT.INTERPRET) return exit;
    const insn = decode_any(
      this.rip(ctx),
      (addr) => this.memory.u8[this.mmu.fetch(addr) + (addr % PAGE_SIZE)],
      this.level,
    );
    const result = interpret(this, this.mmu, ctx, insn);
    if (result === EXIT.JUMP) this.memory.view.setInt32(ctx + CTX.FUEL, this.fuel(ctx) - 1, true);
    return result;
  }

  // Executes one instruction with every access by a call; EXIT.JUMP if it is done and nothing else happened.
  private run_one(ctx: number): Exit {
    const pc = this.rip(ctx);
    const trap = (this.flags(ctx) & TF) !== 0;
    if (!(pc < USER_END)) return this.bad_fetch(ctx, pc);
    const code = this.code.single(this.mmu, pc, this.level);
    if (code === null) return this.bad_fetch(ctx, pc);
    this.done = 0;
    this.single = true;
    const exit = this.settle(ctx, code(ctx, this.mmu.tlb(), 0) as Exit);
    return exit === EXIT.JUMP && trap ? EXIT.DB : exit;
  }

  /**
   * Executes the instruction at RIP as far as `accesses` further loads and stores: EXIT.JUMP when it is done (one
   * element of it, with `rep`), EXIT.STEP if it wants one more.
   */
  step(mmu: Mmu, ctx: number, accesses: number): Exit {
    this.begin(mmu, ctx, 2);
    this.stepping = true;
    this.permits = accesses;
    if (!this.steps.has(ctx)) this.steps.set(ctx, []);
    const exit = this.run_one(ctx);
    if (exit !== EXIT.STEP) this.steps.delete(ctx);
    return exit;
  }

  private bad_fetch(ctx: number, pc: number): Exit {
    const canonical = pc < USER_END || pc >= KERNEL_START;
    if (!canonical) return EXIT.GP;
    // an instruction may begin on a page that is there and end on one that is not
    const there = pc < USER_END && this.mmu.fetch(pc) >= 0;
    return this.fault(ctx, there ? pc - (pc % PAGE_SIZE) + PAGE_SIZE : pc, 1, ACCESS.EXEC);
  }

  // Accesses

  private fault(ctx: number, addr: number, size: number, kind: number): Exit {
    const { view } = this.memory;
    write_u64(view, ctx + CTX.FAULT_ADDR, addr);
    view.setUint32(ctx + CTX.FAULT_SIZE, size, true);
    view.setUint32(ctx + CTX.FAULT_KIND, kind, true);
    return EXIT.FAULT;
  }

  /**
   * The byte offset of `size` bytes at an address in one page; bytes in two pages are copied to the context, and a
   * change
   * ends with flush(); of a `store` the bytes are there. An EXIT, which is below FIRST_OFFSET, if there is no
   * translation.
   */
  private translate(ctx: number, low: number, high: number, info: number, store: boolean): number {
    const size = info & INFO.SIZE;
    const write = (info & INFO.WRITE) !== 0;
    const kind = write ? ACCESS.WRITE : ACCESS.READ;
    const addr = (high >>> 0) * 2 ** 32 + (low >>> 0);
    if (addr + size > USER_END) {
      if (addr >= KERNEL_START && addr + size <= 2 ** 64) {
        this.fault(ctx, addr, size, kind);
        // exact, where a number is not
        this.memory.view.setInt32(ctx + CTX.FAULT_ADDR, low, true);
        this.memory.view.setInt32(ctx + CTX.FAULT_ADDR + 4, high, true);
        return EXIT.FAULT;
      }
      return (info & INFO.STACK) !== 0 ? EXIT.SS : EXIT.GP;
    }
    if ((this.flags(ctx) & AC) !== 0 && size <= MAX_CHECKED && addr % size !== 0) return EXIT.AC;
    const { mmu } = this;
    const generation = mmu.generation();
    const first = mmu.walk(addr, write);
    if (first < 0) return this.fault(ctx, addr, size, kind);
    const length = PAGE_SIZE - (addr % PAGE_SIZE);
    let at = first;
    if (length < size) {
      const second = mmu.walk(addr + length, write);
      if (second < 0) return this.fault(ctx, addr + length, size - length, kind);
      at = ctx + CTX.SCRATCH;
      if (write) this.split = { scratch: at, first, length, second, size };
      if (!store) {
        this.memory.u8.copyWithin(at, first, first + length);
        this.memory.u8.copyWithin(at + length, second, second + size - length);
      }
    }
    // Translated code that may be the very next to run was overwritten.
    if (write && !this.single && mmu.generation() !== generation) return EXIT.CODE_WRITE;
    return at;
  }

  private slow(ctx: number, low: number, high: number, info: number): number {
    if (!this.stepping) return this.translate(ctx, low, high, info, false);
    const size = info & INFO.SIZE;
    const scratch = ctx + CTX.SCRATCH;
    const log = this.steps.get(ctx) as (Uint8Array | null)[];
    const seen = log[this.done];
    if (seen !== undefined) {
      this.done++;
      this.memory.u8.set(seen as Uint8Array, scratch);
      return scratch;
    }
    if (this.permits === 0) return EXIT.STEP;
    const at = this.translate(ctx, low, high, info, false);
    if (at < FIRST_OFFSET) return at;
    this.permits--;
    if ((info & INFO.LOCK) !== 0) return at;
    log.push(this.memory.u8.slice(at, at + size));
    this.done++;
    this.memory.u8.copyWithin(scratch, at, at + size);
    return scratch;
  }

  private slow_store(ctx: number, low: number, high: number, info: number): number {
    if (!this.stepping) return this.store(ctx, low, high, info);
    const log = this.steps.get(ctx) as (Uint8Array | null)[];
    if (this.done < log.length) {
      this.done++;
      return 0;
    }
    if (this.permits === 0) return EXIT.STEP;
    const exit = this.store(ctx, low, high, info);
    if (exit !== 0) return exit;
    this.permits--;
    this.done++;
    log.push(null);
    return 0;
  }

  // Stores what the context's scratch holds.
  private store(ctx: number, low: number, high: number, info: number): number {
    const at = this.translate(ctx, low, high, info, true);
    if (at < FIRST_OFFSET) return at;
    const scratch = ctx + CTX.SCRATCH;
    if (at === scratch) this.flush();
    else this.memory.u8.copyWithin(at, scratch, scratch + (info & INFO.SIZE));
    return 0;
  }

  /** Reads user memory for an instruction that interpret.ts executes: bytes, or the exit to take. */
  load_bytes(ctx: number, addr: number, size: number): Uint8Array | Exit {
    const out = new Uint8Array(size);
    for (let k = 0; k < size; ) {
      const n = Math.min(size - k, PAGE_SIZE - ((addr + k) % PAGE_SIZE), INFO.SIZE);
      const at = this.translate(ctx, (addr + k) | 0, Math.floor((addr + k) / 2 ** 32), n, false);
      if (at < FIRST_OFFSET) return at as Exit;
      out.set(this.memory.u8.subarray(at, at + n), k);
      k += n;
    }
    return out;
  }

  /** Writes user memory for an instruction that interpret.ts executes: all of it, or nothing and the exit to take. */
  store_bytes(ctx: number, addr: number, bytes: Uint8Array): Exit {
    const parts: [number, number, number][] = [];
    for (let k = 0; k < bytes.length; ) {
      const n = Math.min(bytes.length - k, PAGE_SIZE - ((addr + k) % PAGE_SIZE), INFO.SIZE);
      const at = this.translate(ctx, (addr + k) | 0, Math.floor((addr + k) / 2 ** 32), n | INFO.WRITE, false);
      if (at < FIRST_OFFSET) return at as Exit;
      parts.push([at, k, n]);
      k += n;
    }
    for (const [at, k, n] of parts) this.memory.u8.set(bytes.subarray(k, k + n), at);
    return EXIT.JUMP;
  }

  // rdx:rax over a divisor, from CTX.HELP (low, high, divisor) to CTX.HELP (quotient, rest); 1 for #DE.
  private divide(ctx: number, signed: boolean): number {
    const { view } = this.memory;
    const at = ctx + CTX.HELP;
    const low = view.getBigUint64(at, true);
    const dividend = ((signed ? view.getBigInt64(at + 8, true) : view.getBigUint64(at + 8, true)) << 64n) | low;
    const divisor = signed ? view.getBigInt64(at + 16, true) : view.getBigUint64(at + 16, true);
    const quotient = dividend / divisor;
    if (quotient !== (signed ? BigInt.asIntN(64, quotient) : BigInt.asUintN(64, quotient))) return 1;
    view.setBigUint64(at, BigInt.asUintN(64, quotient), true);
    view.setBigUint64(at + 8, BigInt.asUintN(64, dividend % divisor), true);
    return 0;
  }

  private flush(): void {
    const s = this.split as Split;
    this.memory.u8.copyWithin(s.first, s.scratch, s.scratch + s.length);
    this.memory.u8.copyWithin(s.second, s.scratch + s.length, s.scratch + s.size);
  }
}
