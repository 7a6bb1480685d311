// SPDX-License-Identifier: GPL-2.0-only
// Places and numbers that translated code and the CPU agree on. NON-KERNEL throughout.

// Where the state of the CPU lies in the WebAssembly memory. Translated code gets the byte offset of a context and of a
// TLB as parameters, so that tasks and CPUs have one each and a switch between them copies nothing. NON-KERNEL.

/**
 * A context: what one task has in the CPU's registers while it does not run, byte offsets from its start. It holds
 * whatever the task's user code can see in registers; fork() copies CONTEXT_BYTES bytes.
 */
export const CTX = {
  /** u64[16]: rax rcx rdx rbx rsp rbp rsi rdi r8 to r15, the order of the instruction encoding */
  GPR: 0x000,
  /** u64: the instruction that runs next; of a fault, the one that faulted */
  RIP: 0x080,
  /** u32: RFLAGS, exact whenever no translated code runs */
  FLAGS: 0x088,
  /** u64: bases of the fs and gs segments (arch_prctl(2)) */
  FS_BASE: 0x090,
  GS_BASE: 0x098,
  /** u32 */
  MXCSR: 0x0a0,
  /** u16 each: control, status and (one bit a register, 1 for one in use) abridged tag word of the x87 */
  FCW: 0x0a4,
  FSW: 0x0a6,
  FTW: 0x0a8,
  /** 32 bytes each: ymm0 to ymm15, of which xmm are the lower halves */
  YMM: 0x100,
  /** 16 bytes each: R0 to R7 of the x87 (physical, not counted from the top of the stack), 10 of them used */
  X87: 0x300,
  /** i32: instructions that may still run before translated code returns EXIT.BUDGET */
  FUEL: 0x380,
  /** u64: what the TLB adds to a virtual page number in the tags of the context's address space */
  TAG: 0x388,
  /** u64, u32, u32: address, number of bytes and kind (ACCESS) of the access that faulted */
  FAULT_ADDR: 0x390,
  FAULT_SIZE: 0x398,
  FAULT_KIND: 0x39c,
  /** 64 bytes each: the value of an access that does not lie in one page, and operands of helpers */
  SCRATCH: 0x3c0,
  HELP: 0x400,
} as const;
export const CONTEXT_BYTES = 0x800;

/** A CPU's TLB as translated code reads it: direct-mapped by virtual page number, byte offsets from its start. */
export const TLB_LAYOUT = {
  /**
   * f64 an entry: 2^52 + address space * 2^35 + virtual page number, which as bits can be compared as an integer; -1
   * none
   */
  READ_TAG: 0x00000,
  WRITE_TAG: 0x08000,
  /**
   * i32 in the first half of 8 bytes an entry: what to add to the low 32 bits of an address (mod 2^32) for its byte
   * offset
   */
  ADDEND: 0x10000,
} as const;
export const TLB_BYTES = 0x18000;

/** Where the dispatcher finds translated code by address: direct-mapped, byte offsets in the memory's first slab. */
export const JUMP_CACHE = {
  AT: 0x10000,
  ENTRIES: 1024,
  /** u64 the address, u32 the function's index in the table, u32 the block's index in the region */
  ENTRY_BYTES: 16,
} as const;

/** Kinds of access in CTX.FAULT_KIND. */
export const ACCESS = { READ: 0, WRITE: 1, EXEC: 2 } as const;

/** Why translated code returned. At all of them the context is as the instructions before CTX.RIP left it. */
export const EXIT = {
  /** control went to an address outside of the region; not seen outside of the CPU */
  JUMP: 0,
  /**
   * the access in CTX.FAULT_* found no translation: the instruction at CTX.RIP is undone and runs again after the fault
   */
  FAULT: 1,
  /** a syscall instruction; CTX.RIP is after it, rcx and r11 are set as the hardware does */
  SYSCALL: 2,
  /** #DE of the instruction at CTX.RIP, as the other exceptions up to NM_AC */
  DE: 3,
  /** #UD: an instruction that the architecture (at the --cpu level) does not have */
  UD: 4,
  /** #GP(0): misaligned SSE operand, a privileged instruction, a non-canonical address */
  GP: 5,
  /** #SS(0): non-canonical address through rsp or rbp */
  SS: 6,
  /** #AC(0): RFLAGS.AC is set and an access was not aligned */
  AC: 7,
  /** #BP: CTX.RIP is after the int3 */
  BP: 8,
  /** #DB after an instruction that ran with RFLAGS.TF set */
  DB: 9,
  /** #XM: an unmasked SIMD floating point exception */
  XM: 10,
  /** #MF: an unmasked x87 exception */
  MF: 11,
  /** CTX.FUEL ran out */
  BUDGET: 12,
  /** an instruction that the architecture has and this CPU lacks: never a guess at what it does */
  UNIMPLEMENTED: 13,
  /** stepping: an access was done and the next one of the same instruction is another step */
  STEP: 14,
  /** a store hit a page that holds translated code; not seen outside of the CPU */
  CODE_WRITE: 15,
  /** RFLAGS.TF or AC may have changed, which changes how code runs; not seen outside of the CPU */
  MODE: 16,
  /** the instruction at CTX.RIP is one that interpret.ts executes; not seen outside of the CPU */
  INTERPRET: 17,
} as const;
export type Exit = (typeof EXIT)[keyof typeof EXIT];
