// SPDX-License-Identifier: GPL-2.0-only

import { machine_init } from './init/main.ts';
import { Machine, type MachineConfig } from './machine.ts';
import { initcalls } from './modules.ts';

/** Boots a machine with its built-in drivers and no process. Throws on a configuration out of range. NON-KERNEL. */
export function boot(config: MachineConfig = {}): Machine {
  const m = new Machine(config);
  machine_init(m, initcalls);
  return m;
}
