// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import { EAGAIN, EEXIST, ENOENT } from '../errno.ts';
import type { Gen } from './gen.ts';
import { printk } from './printk.ts';

/** Parameters of a module by name. A number may be given as text, such as 0x140000000. NON-KERNEL. */
export type ModuleParams = Readonly<Record<string, number | string>>;

/** A kernel module (include/linux/module.h: struct module). */
export interface Module {
  readonly name: string;
  /** Names of its parameters. */
  readonly params: readonly string[];
  readonly init: (m: Machine, params: ModuleParams) => Gen<number>;
  readonly exit: (m: Machine) => Gen<void>;
  /** Returns the number of users that keep it from being unloaded, such as open devices. */
  readonly users: (m: Machine) => number;
  /** Reports every folio that the module holds a reference to, for the audit. */
  readonly held_folios: (m: Machine, held: (folio: number) => void) => void;
}

/** The loaded modules. NON-KERNEL (kernel/module/main.c: modules). */
export class module_state {
  /** the modules that can be loaded */
  readonly known: readonly Module[];
  readonly loaded = new Map<string, Module>();
  /** State of each loaded module. */
  readonly data = new Map<string, unknown>();

  constructor(known: readonly Module[]) {
    this.known = known;
  }
}

/**
 * Loads a module and runs its init function. Returns 0, -ENOENT if there is no such module, -EEXIST if it is loaded, or
 * the error of the init function. Unknown parameters are logged and ignored (kernel/module/main.c: load_module()).
 */
export function* load_module(m: Machine, name: string, params: ModuleParams = {}): Gen<number> {
  const mod = m.modules.known.find((it) => it.name === name);
  if (mod === undefined) return -ENOENT;
  if (m.modules.loaded.has(name)) return -EEXIST;
  for (const p of Object.keys(params)) {
    if (!mod.params.includes(p)) printk(m, `${name}: unknown parameter '${p}' ignored`);
  }
  m.modules.loaded.set(name, mod);
  const ret = yield* mod.init(m, params);
  if (ret !== 0) m.modules.loaded.delete(name);
  return ret;
}

/**
 * Unloads a module. Returns 0, -ENOENT if it is not loaded, or -EAGAIN while it is in use
 * (kernel/module/main.c: delete_module()).
 */
export function* unload_module(m: Machine, name: string): Gen<number> {
  const mod = m.modules.loaded.get(name);
  if (mod === undefined) return -ENOENT;
  if (mod.users(m) > 0) return -EAGAIN;
  yield* mod.exit(m);
  m.modules.loaded.delete(name);
  return 0;
}
