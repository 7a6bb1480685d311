// SPDX-License-Identifier: GPL-2.0-only
// The drivers that a machine has. They stand above the kernel, which knows them only through this list.

import type { Machine } from './machine.ts';
import { block_driver } from './drivers/block_driver.ts';
import { mrelease_driver } from './drivers/mrelease_driver.ts';
import { offset_driver } from './drivers/offset_driver.ts';
import { pfn_driver } from './drivers/pfn_driver.ts';
import { race_driver } from './drivers/race_driver.ts';
import { select_driver } from './drivers/select_driver.ts';
import { sigbus_driver } from './drivers/sigbus_driver.ts';
import { gup_test_init } from './gup_test/gup_test.ts';
import type { Module } from './kernel/module.ts';
import { hmm_v14_driver } from './series/hmm_v14/driver.ts';
import { test_hmm } from './test_hmm/module.ts';

/** What load_module() finds: upstream's test_hmm, and small drivers of this project's own that cases use. NON-KERNEL. */
export const modules: readonly Module[] = [
  test_hmm,
  block_driver,
  mrelease_driver,
  race_driver,
  sigbus_driver,
  select_driver,
  offset_driver,
  pfn_driver,
  hmm_v14_driver,
];

/** Init functions of the drivers that are built in, for init/main.c: do_initcalls(). NON-KERNEL list. */
export const initcalls: readonly ((m: Machine) => void)[] = [gup_test_init];
