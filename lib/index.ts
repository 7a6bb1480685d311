// SPDX-License-Identifier: GPL-2.0-only
// What a program that imports the package gets: machines, programs that run on them, and a look inside.
//
// Kernel functions take the machine first. What may sleep is a generator, called with `yield*` from the program's own
// generator; a kernel failure is a returned -errno, and a path that the model lacks throws Unmodelled.

/** Checks that a machine is whole: counts, mappings, locks and lists against each other. Returns what is wrong. */
export { audit } from './audit.ts';
/** Numbers for `c.syscall()`, which returns -1 with `c.errno` set; do_syscall_64() returns what the register holds. */
export { do_syscall_64, NR } from './arch/x86/entry/syscall_64.ts';
export { boot } from './boot.ts';
export type { Machine, MachineConfig } from './machine.ts';
export { describe_entry, describe_page, inspect_range, type Leaf, mm_of, vma_at, walk_address } from './inspect.ts';
export type { Gen } from './kernel/gen.ts';
export { load_module, type ModuleParams, unload_module } from './kernel/module.ts';
export { Oops, type Warning } from './kernel/printk.ts';
/**
 * The scheduler of a machine is `m.sched`. `m.sched.on_step` is called before each choice of the next task;
 * `m.sched.explore` makes every lock, wait, TLB flush and user access such a choice, which `m.sched.strategy` decides.
 */
export { Deadlock, RoundRobin, type Strategy, type task_struct, type WaitPoint } from './kernel/sched/core.ts';
/** States of the kernel that differ from Linux 7.3.4, for `boot({ patches })`; check_patches() takes them as text. */
export { check_patches } from './patches/check_patches.ts';
export { type PatchId, patch_states } from './patches/index.ts';
export type { PatchState } from './patches/patch_state.ts';
export { Unmodelled } from './unmodelled.ts';
export { type Libc, runProgram } from './user/libc.ts';
/** Numbers and structures of the Linux ABI on x86-64, with the test drivers' ioctls. */
export * as uapi from './user/uapi.ts';
