// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';

/** One WARN that the kernel raised: the function that it names, and the kernel functions it was called through. */
export interface Warning {
  fn: string;
  path: string[];
  /** true for one that each site gives once a boot */
  once?: boolean;
}

/**
 * What would stop a real kernel's task: BUG(), a bad kernel access, a wrong unlock. Only the task boundary catches it.
 */
export class Oops extends Error {
  /** Kernel functions that the task was in, innermost first. */
  readonly path: string[];
  /** The first line of the report, as upstream words it. */
  readonly bug: string;
  constructor(bug: string) {
    super(bug);
    this.name = 'Oops';
    this.bug = bug;
    this.path = call_path();
  }
}

/** Where the kernel's files are. */
const LIB = new URL('..', import.meta.url).pathname;

/** The kernel functions on the JavaScript stack, innermost first. NON-KERNEL. */
export function call_path(): string[] {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 100;
  const stack = new Error().stack ?? '';
  Error.stackTraceLimit = limit;
  const names: string[] = [];
  for (const line of stack.split('\n')) {
    const hit = /^\s+at (?:async )?(?:Object\.)?([A-Za-z_$][\w$]*)(?:\.next)? \((.*)\)$/.exec(line);
    if (hit === null || hit[2] === '<anonymous>') continue;
    const name = hit[1];
    // What is outside of lib, or of the task, is not the kernel's.
    if (name === 'task_entry' || !hit[2]?.includes(LIB)) break;
    if (names[names.length - 1] !== name && name !== 'call_path') names.push(name);
  }
  return names;
}

/** The kernel's log buffer, its warnings and its taint flags. */
export class KernelLog {
  readonly lines: string[] = [];
  readonly warnings: Warning[] = [];
  readonly oopses: Oops[] = [];
  /** TAINT_* letters, such as W after a warning and D after an oops */
  readonly taint = new Set<string>();
  private readonly once = new Set<string>();

  /** True the first time that it is asked for a site. */
  first(site: string): boolean {
    if (this.once.has(site)) return false;
    this.once.add(site);
    return true;
  }

  /** Forgets which once-only warnings were given, as a write to debugfs' clear_warn_once does. */
  clear_warn_once(): void {
    this.once.clear();
  }
}

/** Appends a line to the kernel log (kernel/printk/printk.c: _printk()). */
export function printk(m: Machine, line: string): void {
  m.log.lines.push(line);
}

/**
 * Logs and taints when `cond` holds, and answers it (include/asm-generic/bug.h: WARN_ON()); fn is the function it
 * stands in.
 */
export function WARN_ON(m: Machine, cond: boolean, fn: string, text = ''): boolean {
  if (!cond) return false;
  m.log.warnings.push({ fn, path: call_path() });
  m.log.taint.add('W');
  printk(m, `WARNING: ${fn}${text ? `: ${text}` : ''}`);
  return true;
}

/**
 * As WARN_ON(), but each site reports once (include/asm-generic/bug.h: WARN_ON_ONCE()); `site` tells two in one
 * function apart.
 */
export function WARN_ON_ONCE(m: Machine, cond: boolean, fn: string, site = ''): boolean {
  if (cond && m.log.first(`${fn}:${site}`)) {
    WARN_ON(m, true, fn, site);
    (m.log.warnings.at(-1) as Warning).once = true;
  }
  return cond;
}

/** Dies when `cond` holds (include/asm-generic/bug.h: BUG_ON()); CONFIG_DEBUG_VM's VM_BUG_ON is the same here. */
export function BUG_ON(cond: boolean, where: string): void {
  if (cond) throw new Oops(`kernel BUG at ${where}`);
}
