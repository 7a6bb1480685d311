// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import { EBUSY, ERANGE } from '../errno.ts';
import { PAGE_SIZE } from '../mm/physmem.ts';
import { printk } from './printk.ts';

// resource flags and descriptors (include/linux/ioport.h)
const IORESOURCE_MEM = 0x200;
const IORESOURCE_SYSRAM = 0x01000000;
const IORESOURCE_BUSY = 0x80000000 | 0;
export const IORESOURCE_SYSTEM_RAM = IORESOURCE_MEM | IORESOURCE_SYSRAM;
export const IORES_DESC_NONE = 0;
const IORES_DESC_DEVICE_PRIVATE_MEMORY = 6;
const IORES_DESC_RESERVED = 7;

// Return values of region_intersects() (include/linux/mm.h).
const REGION_INTERSECTS = 0;
export const REGION_DISJOINT = 1;
export const REGION_MIXED = 2;

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;
/** End of low RAM on a PC with more memory than fits below 4 GiB. */
const LOW_RAM_END = 3 * GiB;
const PCI_HOLE_START = 3.5 * GiB;
const HIGH_RAM_START = 4 * GiB;
/** Alignment of request_free_mem_region(): a section of the memory map. */
const GFR_DEFAULT_ALIGN = 128 * MiB;
/** Size of the largest block of the page allocator. */
const MAX_BLOCK = 4 * MiB;

/** A named range of physical addresses (include/linux/ioport.h: struct resource). */
export class resource {
  start: number;
  /** Last byte, inclusive. */
  end: number;
  name: string;
  /** IORESOURCE_*. */
  flags: number;
  /** IORES_DESC_*. */
  desc: number;
  parent: resource | null = null;
  /** Ordered by start. */
  readonly children: resource[] = [];
  constructor(start: number, end: number, name: string, flags: number, desc = IORES_DESC_NONE) {
    this.start = start;
    this.end = end;
    this.name = name;
    this.flags = flags;
    this.desc = desc;
  }
}

/**
 * The physical address space of a PC with the machine's memory. NON-KERNEL: kernel/resource.c's iomem_resource and
 * arch/x86/kernel/e820.c.
 */
export class resource_state {
  readonly iomem_resource: resource;
  private readonly ram: { start: number; end: number }[];

  /** Throws RangeError if the memory does not fit into config.phys_bits or a reserved range is invalid. */
  constructor(m: Machine) {
    const { mem, phys_bits, reserved } = m.config;
    this.iomem_resource = new resource(0, 2 ** phys_bits - 1, 'PCI mem', IORESOURCE_MEM);
    const low_end = mem < PCI_HOLE_START ? mem : LOW_RAM_END;
    const banks = [{ start: MiB, end: low_end }];
    if (mem > low_end) banks.push({ start: HIGH_RAM_START, end: HIGH_RAM_START + mem - low_end });
    const top = (banks[banks.length - 1] as { end: number }).end;
    if (top > this.iomem_resource.end + 1) {
      throw new RangeError(`mem ${mem} ends at 0x${top.toString(16)}: expected it to fit into phys_bits ${phys_bits}`);
    }
    for (const r of reserved) {
      if (
        !(r.size > 0) ||
        r.start < 0 ||
        r.start % PAGE_SIZE !== 0 ||
        r.size % PAGE_SIZE !== 0 ||
        r.start + r.size - 1 > this.iomem_resource.end
      ) {
        throw new RangeError(
          `reserved range start ${r.start} size ${r.size}: expected whole pages inside of phys_bits ${phys_bits}`,
        );
      }
    }
    this.ram = carve(banks, reserved);
    this.add(0, 0xfff, 'Reserved', IORESOURCE_MEM | IORESOURCE_BUSY, IORES_DESC_RESERVED);
    this.add(0x1000, 0x9fbff, 'System RAM', IORESOURCE_SYSTEM_RAM | IORESOURCE_BUSY);
    this.add(0x9fc00, 0x9ffff, 'Reserved', IORESOURCE_MEM | IORESOURCE_BUSY, IORES_DESC_RESERVED);
    this.add(0xa0000, 0xfffff, 'Reserved', IORESOURCE_MEM, IORES_DESC_RESERVED);
    for (const r of this.ram) this.add(r.start, r.end - 1, 'System RAM', IORESOURCE_SYSTEM_RAM | IORESOURCE_BUSY);
    for (const r of reserved) this.add(r.start, r.start + r.size - 1, 'Reserved', IORESOURCE_MEM, IORES_DESC_RESERVED);
    this.add(Math.max(low_end, 0x80000000), 0xfebfffff, 'PCI Bus 0000:00', IORESOURCE_MEM);
    this.add(0xfec00000, 0xfec003ff, 'IOAPIC 0', IORESOURCE_MEM);
    this.add(0xfee00000, 0xfee00fff, 'Local APIC', IORESOURCE_MEM);
    this.add(0xfffc0000, 0xffffffff, 'Reserved', IORESOURCE_MEM, IORES_DESC_RESERVED);
  }

  // Omits a range that overlaps an earlier one, as a small machine's layout may.
  private add(start: number, end: number, name: string, flags: number, desc = IORES_DESC_NONE): void {
    __request_resource(this.iomem_resource, new resource(start, end, name, flags, desc));
  }

  /**
   * Returns the physical ranges [start, end), in bytes and whole 4 MiB blocks, that the page allocator gets. The first
   * 4 MiB belong to firmware and kernel.
   */
  ram_spans(): { start: number; end: number }[] {
    const spans: { start: number; end: number }[] = [];
    for (const r of this.ram) {
      const start = Math.ceil(r.start / MAX_BLOCK) * MAX_BLOCK;
      const end = Math.floor(r.end / MAX_BLOCK) * MAX_BLOCK;
      if (start < end) spans.push({ start, end });
    }
    return spans;
  }
}

/** Removes the reserved ranges from the banks. NON-KERNEL: upstream's e820 code does this. */
function carve(
  banks: { start: number; end: number }[],
  reserved: readonly { start: number; size: number }[],
): { start: number; end: number }[] {
  let spans = banks;
  for (const r of reserved) {
    const next: { start: number; end: number }[] = [];
    for (const s of spans) {
      if (r.start >= s.end || r.start + r.size <= s.start) {
        next.push(s);
        continue;
      }
      if (s.start < r.start) next.push({ start: s.start, end: r.start });
      if (r.start + r.size < s.end) next.push({ start: r.start + r.size, end: s.end });
    }
    spans = next;
  }
  return spans;
}

/**
 * Adds `res` as a child of root. Returns null, or the resource that conflicts
 * (kernel/resource.c: __request_resource()).
 */
function __request_resource(root: resource, res: resource): resource | null {
  if (res.end < res.start || res.start < root.start || res.end > root.end) return root;
  let at = 0;
  for (const child of root.children) {
    if (child.start > res.end) break;
    if (child.end >= res.start) return child;
    at++;
  }
  root.children.splice(at, 0, res);
  res.parent = root;
  return null;
}

/**
 * Requests a busy region; descends into conflicting resources that are not busy. Returns 0 or -EBUSY
 * (kernel/resource.c: __request_region_locked()). Leaves out muxed regions: nothing modelled requests one.
 */
function __request_region_locked(m: Machine, res: resource, root: resource): number {
  let parent = root;
  for (;;) {
    res.flags = (parent.flags & (IORESOURCE_MEM | IORESOURCE_SYSRAM)) | IORESOURCE_BUSY;
    res.desc = parent.desc;
    const conflict = __request_resource(parent, res);
    if (conflict === null) return 0;
    if (parent === root && conflict.desc === IORES_DESC_DEVICE_PRIVATE_MEMORY) {
      printk(m, `Unaddressable device ${conflict.name} conflicts with ${res.name}`);
    }
    if (conflict === parent || conflict.flags & IORESOURCE_BUSY) return -EBUSY;
    parent = conflict;
  }
}

/**
 * Claims [start, start + n) as busy. Returns null if a busy resource conflicts
 * (include/linux/ioport.h: request_mem_region()).
 */
export function request_mem_region(m: Machine, start: number, n: number, name: string): resource | null {
  const res = new resource(start, start + n - 1, name, 0);
  return __request_region_locked(m, res, m.iomem.iomem_resource) === 0 ? res : null;
}

/**
 * Releases a region claimed by request_mem_region() or request_free_mem_region()
 * (include/linux/ioport.h: release_mem_region()).
 */
export function release_mem_region(m: Machine, start: number, n: number): void {
  const end = start + n - 1;
  let level: resource[] = m.iomem.iomem_resource.children;
  for (;;) {
    const i = level.findIndex((r) => r.start <= start && r.end >= end);
    const res = level[i];
    if (res === undefined) break;
    if ((res.flags & IORESOURCE_BUSY) === 0) {
      level = res.children;
      continue;
    }
    if (res.start !== start || res.end !== end) break;
    level.splice(i, 1);
    res.parent = null;
    return;
  }
  printk(m, `Trying to free nonexistent resource <0x${start.toString(16)}-0x${end.toString(16)}>`);
}

/** Returns true if the resource has these flags and this descriptor (kernel/resource.c: is_type_match()). */
function is_type_match(p: resource, flags: number, desc: number): boolean {
  return (p.flags & flags) === flags && (desc === IORES_DESC_NONE || desc === p.desc);
}

/**
 * Visits all resources below `p`, parents before children, in order of address
 * (kernel/resource.c: for_each_resource()).
 */
function* for_each_resource(p: resource): Generator<resource, void, void> {
  for (const child of p.children) {
    yield child;
    yield* for_each_resource(child);
  }
}

/** Compares a range with the children of a resource (kernel/resource.c: __region_intersects()). */
function __region_intersects(parent: resource, start: number, size: number, flags: number, desc: number): number {
  const end = start + size - 1;
  let type = 0;
  let other = 0;
  for (const p of parent.children) {
    if (p.start > end || p.end < start) continue;
    if (is_type_match(p, flags, desc)) {
      type++;
      continue;
    }
    let o_start = Math.max(p.start, start);
    const o_end = Math.min(p.end, end);
    let covered = false;
    for (const dp of for_each_resource(p)) {
      if (dp.start > end || dp.end < start || !is_type_match(dp, flags, desc)) continue;
      type++;
      if (dp.start > o_start) break;
      if (dp.end >= o_end) {
        covered = true;
        break;
      }
      o_start = Math.max(o_start, dp.end + 1);
    }
    if (!covered) other++;
  }
  if (type === 0) return REGION_DISJOINT;
  return other === 0 ? REGION_INTERSECTS : REGION_MIXED;
}

/**
 * Returns whether all (REGION_INTERSECTS), none (REGION_DISJOINT) or part (REGION_MIXED) of the resources in [start,
 * start + size) have these flags and this descriptor (kernel/resource.c: region_intersects()).
 */
export function region_intersects(m: Machine, start: number, size: number, flags: number, desc: number): number {
  return __region_intersects(m.iomem.iomem_resource, start, size, flags, desc);
}

/**
 * Claims the highest free range of physical addresses for device-private memory; `size` is rounded up to 128 MiB,
 * `base` null is all of iomem. Returns the resource or -ERANGE (kernel/resource.c: request_free_mem_region()).
 */
export function request_free_mem_region(
  m: Machine,
  base: resource | null,
  size: number,
  name: string,
): resource | number {
  const within = base ?? m.iomem.iomem_resource;
  const n = Math.ceil(size / GFR_DEFAULT_ALIGN) * GFR_DEFAULT_ALIGN;
  for (let addr = within.end - n + 1; addr > GFR_DEFAULT_ALIGN && addr >= within.start; addr -= GFR_DEFAULT_ALIGN) {
    if (__region_intersects(within, addr, n, 0, IORES_DESC_NONE) !== REGION_DISJOINT) continue;
    const res = new resource(addr, addr + n - 1, name, 0);
    if (__request_region_locked(m, res, m.iomem.iomem_resource) !== 0) break;
    res.desc = IORES_DESC_DEVICE_PRIVATE_MEMORY;
    return res;
  }
  return -ERANGE;
}
