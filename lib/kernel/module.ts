// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import { block_driver } from '../drivers/block_driver.ts';
import { mrelease_driver } from '../drivers/mrelease_driver.ts';
import { offset_driver } from '../drivers/offset_driver.ts';
import { pfn_driver } from '../drivers/pfn_driver.ts';
import { select_driver } from '../drivers/select_driver.ts';
import { sigbus_driver } from '../drivers/sigbus_driver.ts';
import { EAGAIN, EEXIST, ENOENT } from '../errno.ts';
import { hmm_v14_driver } from '../series/hmm_v14/driver.ts';
import { test_hmm } from '../test_hmm/module.ts';
import type { Gen } from './gen.ts';
import { printk } from './printk.ts';

/** Values of a module's parameters by name; a number may be given as text, such as 0x140000000. NON-KERNEL. */
export type ModuleParams = Readonly<Record<string, number | string>>;

/** What a kernel module brings (include/linux/module.h: struct module). */
export interface Module {
  readonly name: string;
  /** names of its parameters */
  readonly params: readonly string[];
  readonly init: (m: Machine, params: ModuleParams) => Gen<number>;
  readonly exit: (m: Machine) => Gen<void>;
  /** what keeps it from being unloaded, such as open devices */
  readonly users: (m: Machine) => number;
  /** names every folio that the module holds a reference on, for the audit */
  readonly held_folios: (m: Machine, held: (folio: number) => void) => void;
}

/** The modules that are loaded. NON-KERNEL (kernel/module/main.c: modules). */
export class module_state {
  readonly loaded = new Map<string, Module>();
  /** what each loaded module keeps */
  readonly data = new Map<string, unknown>();
}

function find(name: string): Module | null {
  return (
    [
      test_hmm,
      block_driver,
      mrelease_driver,
      sigbus_driver,
      select_driver,
      offset_driver,
      pfn_driver,
      hmm_v14_driver,
    ].find((mod) => mod.name === name) ?? null
  );
}

/**
 * Loads a module and runs its init, whose failure it answers. -ENOENT if there is no such module, -EEXIST if it is
 * loaded; parameters that it does not know are logged and ignored (kernel/module/main.c: load_module()).
 */
export function* load_module(m: Machine, name: string, params: ModuleParams = {}): Gen<number> {
  const mod = find(name);
  if (mod === null) return -ENOENT;
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
 * Unloads a module: 0, -ENOENT if it is not loaded, -EAGAIN while it is in use (kernel/module/main.c: delete_module()).
 */
export function* unload_module(m: Machine, name: string): Gen<number> {
  const mod = m.modules.loaded.get(name);
  if (mod === undefined) return -ENOENT;
  if (mod.users(m) > 0) return -EAGAIN;
  yield* mod.exit(m);
  m.modules.loaded.delete(name);
  return 0;
}
