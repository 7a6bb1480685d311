// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import type { Gen } from './gen.ts';
import { ENOENT, EEXIST } from '../errno.ts';

/** Values of a module's parameters, by name; numbers may be given as text (0x...). NON-KERNEL. */
export type ModuleParams = Readonly<Record<string, number | string>>;

/** What a kernel module brings. NON-KERNEL (include/linux/module.h: module_init(), module_exit()). */
export interface Module {
  init: (m: Machine, params: ModuleParams) => Gen<number>;
  exit: (m: Machine) => Gen<void>;
}

/** The modules that are loaded, by name (kernel/module/main.c: modules). */
export class module_state {
  /** modules that can be loaded */
  readonly known = new Map<string, Module>();
  readonly loaded = new Map<string, Module>();
}

/** Loads a module and runs its init; -EEXIST if it is loaded, -ENOENT if there is none of that name (kernel/module/main.c: load_module()). */
export function* load_module(m: Machine, name: string, params: ModuleParams = {}): Gen<number> {
  if (m.modules.loaded.has(name)) return -EEXIST;
  const mod = m.modules.known.get(name);
  if (mod === undefined) return -ENOENT;
  m.modules.loaded.set(name, mod);
  const ret = yield* mod.init(m, params);
  if (ret !== 0) m.modules.loaded.delete(name);
  return ret;
}

/** Runs a module's exit and forgets it; -ENOENT if it is not loaded (kernel/module/main.c: delete_module()). */
export function* unload_module(m: Machine, name: string): Gen<number> {
  const mod = m.modules.loaded.get(name);
  if (mod === undefined) return -ENOENT;
  yield* mod.exit(m);
  m.modules.loaded.delete(name);
  return 0;
}
