// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { by_pfn, type device_private_numbers, type offset_layout } from '../mm/device_private.ts';
import { do_device_private_page } from '../mm/memory/device_private.ts';
import { unsupported_zone_device_page } from '../mm/migrate_device/insert.ts';
import { by_flags, type migrate_selection } from '../mm/migrate_device/select.ts';
import type { vm_fault } from '../mm/mm_types.ts';

/** Where a patch state can put an implementation of its own in the place of Linux 7.3.4's. NON-KERNEL. */
export interface Seams {
  /** how device-private pages are numbered, made at boot */
  device_private_numbers(m: Machine, layout: offset_layout): device_private_numbers;
  /** handles a CPU fault on a device-private pte, whose page is vmf.page; returns VM_FAULT_* */
  device_private_fault(m: Machine, vmf: vm_fault, entry: number): Gen<number>;
  /** which pages a migration selects */
  readonly migrate_selection: migrate_selection;
  /** migrate_vma_insert_page() of a page of device memory that is neither private nor coherent */
  unsupported_zone_device_page(m: Machine): void;
}

/** The implementations of Linux 7.3.4. */
export const linux_seams: Seams = {
  device_private_numbers: (m) => new by_pfn(m),
  device_private_fault: do_device_private_page,
  migrate_selection: by_flags,
  unsupported_zone_device_page,
};
