// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import type { file } from '../fs/fs.ts';
import type { mm_struct } from './mm_types.ts';
import { Unmodelled } from '../unmodelled.ts';
export function __get_unmapped_area(m: Machine, file: file | null, addr: number, len: number, pgoff: number, flags: number, vm_flags: number): number { throw new Unmodelled('__get_unmapped_area'); }
export function get_unmapped_area(m: Machine, file: file | null, addr: number, len: number, pgoff: number, flags: number): number { throw new Unmodelled('get_unmapped_area'); }
export function mm_get_unmapped_area(m: Machine, filp: file | null, addr: number, len: number, pgoff: number, flags: number): number { throw new Unmodelled('mm_get_unmapped_area'); }
export function mm_get_unmapped_area_vmflags(m: Machine, filp: file | null, addr: number, len: number, pgoff: number, flags: number, vm_flags: number): number { throw new Unmodelled('mm_get_unmapped_area_vmflags'); }
export function thp_get_unmapped_area(m: Machine, filp: file | null, addr: number, len: number, pgoff: number, flags: number): number { throw new Unmodelled('thp_get_unmapped_area'); }
export function thp_get_unmapped_area_vmflags(m: Machine, filp: file | null, addr: number, len: number, pgoff: number, flags: number, vm_flags: number): number { throw new Unmodelled('thp_get_unmapped_area_vmflags'); }
