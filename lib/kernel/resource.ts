// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import { Unmodelled } from '../unmodelled.ts';

/** A physical address range with a name (include/linux/ioport.h: struct resource). */
export class resource {
  start: number;
  /** inclusive */
  end: number;
  name: string;
  flags: number;
  parent: resource | null = null;
  readonly children: resource[] = [];
  constructor(start: number, end: number, name: string, flags: number) {
    this.start = start;
    this.end = end;
    this.name = name;
    this.flags = flags;
  }
}

/** The machine's physical address space (kernel/resource.c: iomem_resource). NON-KERNEL. */
export class resource_state {
  readonly m: Machine;
  constructor(m: Machine) {
    this.m = m;
  }
  /** Physical ranges [start, end) in bytes that the page allocator gets. NON-KERNEL. */
  ram_spans(): { start: number; end: number }[] {
    throw new Unmodelled('ram_spans');
  }
}

/** request_free_mem_region */
export function request_free_mem_region(m: Machine, base: resource | null, size: number, name: string): resource | number {
  throw new Unmodelled('request_free_mem_region');
}

/** request_mem_region */
export function request_mem_region(m: Machine, start: number, n: number, name: string): resource | null {
  throw new Unmodelled('request_mem_region');
}

/** release_mem_region */
export function release_mem_region(m: Machine, start: number, n: number): void {
  throw new Unmodelled('release_mem_region');
}

/** region_intersects */
export function region_intersects(m: Machine, start: number, size: number, flags: number, desc: number): number {
  throw new Unmodelled('region_intersects');
}

/** lookup_resource */
export function lookup_resource(m: Machine, root: resource, start: number): resource | null {
  throw new Unmodelled('lookup_resource');
}

/** remove_resource */
export function remove_resource(m: Machine, old: resource): number {
  throw new Unmodelled('remove_resource');
}

/** insert_resource */
export function insert_resource(m: Machine, parent: resource, res: resource): number {
  throw new Unmodelled('insert_resource');
}

