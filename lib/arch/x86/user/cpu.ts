// SPDX-License-Identifier: GPL-2.0-only

// The x86-64 CPU in user mode. Guest code is decoded (decode.ts), translated region by region to WebAssembly
// (translate/, region.ts) and kept by content (code_cache.ts); this file is what the rest of the model sees of it.
//
//   memory    One UserMemory (memory.ts) holds page contents, contexts and TLBs. A virtual address reaches its bytes
//             through the inline TLB of the CPU that the task runs on; a miss calls Mmu.walk(), the model's hardware
//             walk. Translated code keeps no other translation of an address, so what a TLB flush drops is gone at once.
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
   * `guard()` was called for ends that page's guard.
   */
  walk(addr: number, write: boolean): number;
  /** The byte offset of the page with the address for an instruction fetch, or -1 for a page fault (NX too). */
  fetch(addr: number): number;
  /** Says that code of the page at a byte offset was translated: from now on a store to it makes guarded() false. */
  guard(page: number): void;
  /** True if nobody, the kernel included, could have written to the page since guard(). */
  guarded(page: number): boolean;
}
