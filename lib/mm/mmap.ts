// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import type { Gen } from '../kernel/gen.ts';
import type { file } from '../fs/fs.ts';
import type { mm_struct } from './mm_types.ts';
import { Unmodelled } from '../unmodelled.ts';
export const PROT_NONE = 0;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;
export const MAP_SHARED = 0x01;
export const MAP_PRIVATE = 0x02;
export const MAP_SHARED_VALIDATE = 0x03;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_GROWSDOWN = 0x100;
export const MAP_LOCKED = 0x2000;
export const MAP_NORESERVE = 0x4000;
export const MAP_POPULATE = 0x8000;
export const MAP_NONBLOCK = 0x10000;
export const MAP_STACK = 0x20000;
export const MAP_HUGETLB = 0x40000;
export const MAP_SYNC = 0x80000;
export const MAP_FIXED_NOREPLACE = 0x100000;
export const MAP_HUGE_SHIFT = 26;
export const MAP_HUGE_MASK = 0x3f;
export function* ksys_mmap_pgoff(m: Machine, addr: number, len: number, prot: number, flags: number, fd: number, pgoff: number): Gen<number> { throw new Unmodelled('ksys_mmap_pgoff'); }
export function* sys_mmap(m: Machine, addr: number, len: number, prot: number, flags: number, fd: number, off: number): Gen<number> { throw new Unmodelled('sys_mmap'); }
export function* vm_mmap_pgoff(m: Machine, file: file | null, addr: number, len: number, prot: number, flags: number, pgoff: number): Gen<number> { throw new Unmodelled('vm_mmap_pgoff'); }
export function* vm_mmap(m: Machine, file: file | null, addr: number, len: number, prot: number, flags: number, offset: number): Gen<number> { throw new Unmodelled('vm_mmap'); }
export function* sys_brk(m: Machine, brk: number): Gen<number> { throw new Unmodelled('sys_brk'); }
export function* exit_mmap(m: Machine, mm: mm_struct): Gen<void> { throw new Unmodelled('exit_mmap'); }
