// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import { chr_dev_init } from '../fs/char_dev.ts';
import { vfs_init } from '../fs/namei.ts';
import { proc_init } from '../fs/proc/proc.ts';
import { switch_mm_irqs_off } from '../arch/x86/mm/tlb.ts';
import { make_task_dead } from '../kernel/exit.ts';
import { sysfs_init } from '../mm/huge_memory/sysfs.ts';
import { hugetlb_init } from '../mm/hugetlb/pool.ts';
import { SetPageReserved } from '../mm/page-flags.ts';
import { __GFP_ZERO, alloc_page, GFP_KERNEL } from '../mm/page_alloc.ts';
import { PAGE_SIZE } from '../mm/physmem.ts';
import { check_patches } from '../patches/check_patches.ts';

const MIN_MEM = 64 * 1024 * 1024;

/**
 * Brings memory, the file systems and the built-in drivers (`initcalls`) up, in that order (init/main.c:
 * start_kernel()).
 */
export function machine_init(m: Machine, initcalls: readonly ((m: Machine) => void)[]): void {
  const c = m.config;
  if (c.mem % (4 * 1024 * 1024) !== 0 || c.mem < MIN_MEM) {
    throw new RangeError(`mem is ${c.mem}: expected a multiple of 4 MiB from ${MIN_MEM} bytes on`);
  }
  if (!Number.isInteger(c.phys_bits) || c.phys_bits < 32 || c.phys_bits > 43) {
    throw new RangeError(`phys_bits is ${c.phys_bits}: expected 32 to 43`);
  }
  if (!Number.isInteger(c.cpus) || c.cpus < 1 || c.cpus > 32)
    throw new RangeError(`cpus is ${c.cpus}: expected 1 to 32`);
  if (!['always', 'madvise', 'never'].includes(c.thp)) {
    throw new RangeError(`thp is ${String(c.thp)}: expected always, madvise or never`);
  }
  check_patches(c.patches);
  for (const span of m.iomem.ram_spans()) {
    m.zone.add_span(span.start / PAGE_SIZE, span.end / PAGE_SIZE);
    m.ram.set_linear(span.start / PAGE_SIZE, (span.end - span.start) / PAGE_SIZE, true);
  }
  m.sched.make_task_dead = (t) => make_task_dead(m, t);
  m.sched.switch_mm = (mm, cpu) => switch_mm_irqs_off(m, mm, cpu);
  m.zero_page = alloc_page(m, GFP_KERNEL | __GFP_ZERO);
  SetPageReserved(m, m.zero_page);
  vfs_init(m);
  chr_dev_init(m);
  proc_init(m);
  sysfs_init(m);
  hugetlb_init(m);
  for (const init of initcalls) init(m);
}
