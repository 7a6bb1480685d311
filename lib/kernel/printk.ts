// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';

/** A WARN: the function it names and its callers. */
export interface Warning {
  fn: string;
  path: string[];
  /** True for WARN_ON_ONCE(). */
  once?: boolean;
}

/** A BUG(), a bad kernel access or another error that kills the task. Only the task boundary catches it. NON-KERNEL. */
export class Oops extends Error {
  /** Kernel functions on the stack, innermost first. */
  readonly path: string[];
  /** First line of the report, in upstream's words. */
  readonly bug: string;
  constructor(bug: string) {
    super(bug);
    this.name = 'Oops';
    this.bug = bug;
    this.path = call_path();
  }
}

/** The part of V8's CallSite that call_path() looks at. NON-KERNEL. */
interface CallSite {
  getFunctionName(): string | null;
  getTypeName(): string | null;
  getFileName(): string | null;
  isToplevel(): boolean;
  isConstructor(): boolean;
}

const stack_api = Error as unknown as {
  stackTraceLimit: number;
  prepareStackTrace: ((e: Error, sites: CallSite[]) => unknown) | undefined;
};

/** Returns the JavaScript stack. As text it would be looked up in source maps, which takes 0.2 s. NON-KERNEL. */
function call_sites(): CallSite[] {
  const { stackTraceLimit, prepareStackTrace } = stack_api;
  stack_api.stackTraceLimit = 100;
  stack_api.prepareStackTrace = (_, sites) => sites;
  const sites = new Error().stack as unknown as CallSite[];
  stack_api.stackTraceLimit = stackTraceLimit;
  stack_api.prepareStackTrace = prepareStackTrace;
  return sites;
}

/** Returns the name of a kernel function, null for other frames. NON-KERNEL. */
function kernel_name(site: CallSite): string | null {
  const name = site.getFunctionName();
  if (name === null || site.isConstructor() || !/^[A-Za-z_$][\w$]*$/.test(name)) return null;
  return site.isToplevel() || site.getTypeName() === 'Object' ? name : null;
}

/** Returns the kernel functions on the JavaScript stack, innermost first. NON-KERNEL. */
export function call_path(): string[] {
  const names: string[] = [];
  // Directory of the kernel's files as the stack names it: the sources', or that of the built package.
  let lib = '';
  for (const site of call_sites()) {
    const found = kernel_name(site);
    const file = site.getFileName();
    if (found === null || found === 'call_sites' || typeof file !== 'string') continue;
    if (found === 'call_path') {
      lib = file.slice(0, file.lastIndexOf('kernel/printk.'));
      continue;
    }
    // see done() of kernel/gen.ts
    const name = found.replace(/_slowpath$/, '');
    // Frames outside of lib, or of the task, are not the kernel's.
    if (name === 'task_entry' || !file.startsWith(lib)) break;
    if (names[names.length - 1] !== name) names.push(name);
  }
  return names;
}

/** The kernel log, its warnings and its taint flags. NON-KERNEL. */
export class KernelLog {
  readonly lines: string[] = [];
  readonly warnings: Warning[] = [];
  readonly oopses: Oops[] = [];
  /** TAINT_* letters, such as W after a warning and D after an oops. */
  readonly taint = new Set<string>();
  private readonly once = new Set<string>();

  /** Returns true the first time it is called for a site. */
  first(site: string): boolean {
    if (this.once.has(site)) return false;
    this.once.add(site);
    return true;
  }

  /** Makes WARN_ON_ONCE() report again, like a write to debugfs' clear_warn_once. */
  clear_warn_once(): void {
    this.once.clear();
  }
}

/** Appends a line to the kernel log (kernel/printk/printk.c: _printk()). */
export function printk(m: Machine, line: string): void {
  m.log.lines.push(line);
}

/**
 * Logs a warning and taints the kernel if `cond`. Returns `cond`; `fn` is the function that contains the check
 * (include/asm-generic/bug.h: WARN_ON()).
 */
export function WARN_ON(m: Machine, cond: boolean, fn: string, text = ''): boolean {
  if (!cond) return false;
  m.log.warnings.push({ fn, path: call_path() });
  m.log.taint.add('W');
  printk(m, `WARNING: ${fn}${text ? `: ${text}` : ''}`);
  return true;
}

/**
 * WARN_ON() that reports once per site; `site` distinguishes several in one function
 * (include/asm-generic/bug.h: WARN_ON_ONCE()).
 */
export function WARN_ON_ONCE(m: Machine, cond: boolean, fn: string, site = ''): boolean {
  if (cond && m.log.first(`${fn}:${site}`)) {
    WARN_ON(m, true, fn, site);
    (m.log.warnings.at(-1) as Warning).once = true;
  }
  return cond;
}

/** Oopses if `cond` (include/asm-generic/bug.h: BUG_ON()). CONFIG_DEBUG_VM's VM_BUG_ON() is the same here. */
export function BUG_ON(cond: boolean, where: string): void {
  if (cond) throw new Oops(`kernel BUG at ${where}`);
}
