// SPDX-License-Identifier: GPL-2.0-only

import { Unmodelled } from '../unmodelled.ts';
import type { Machine } from '../boot.ts';
export function sysfs_init(_m: Machine): void {
  throw new Unmodelled('sysfs_init');
}
