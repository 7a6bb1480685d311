// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import type { Gen } from '../kernel/gen.ts';
import { Unmodelled } from '../unmodelled.ts';

/** */
export function tlb_load32(m: Machine, addr: number): number | undefined {
  throw new Unmodelled('tlb_load32');
}

/** */
export function tlb_store32(m: Machine, addr: number, v: number): boolean {
  throw new Unmodelled('tlb_store32');
}

/** */
// eslint-disable-next-line require-yield
export function* user_load8(m: Machine, addr: number): Gen<number> {
  throw new Unmodelled('user_load8');
}

/** */
// eslint-disable-next-line require-yield
export function* user_load32(m: Machine, addr: number): Gen<number> {
  throw new Unmodelled('user_load32');
}

/** */
// eslint-disable-next-line require-yield
export function* user_load64(m: Machine, addr: number): Gen<number> {
  throw new Unmodelled('user_load64');
}

/** */
// eslint-disable-next-line require-yield
export function* user_store8(m: Machine, addr: number, v: number): Gen<void> {
  throw new Unmodelled('user_store8');
}

/** */
// eslint-disable-next-line require-yield
export function* user_store32(m: Machine, addr: number, v: number): Gen<void> {
  throw new Unmodelled('user_store32');
}

/** */
// eslint-disable-next-line require-yield
export function* user_store64(m: Machine, addr: number, v: number): Gen<void> {
  throw new Unmodelled('user_store64');
}

/** */
// eslint-disable-next-line require-yield
export function* user_copy(m: Machine, dst: number, src: number, n: number): Gen<void> {
  throw new Unmodelled('user_copy');
}

/** */
// eslint-disable-next-line require-yield
export function* user_memset(m: Machine, addr: number, byte: number, n: number): Gen<void> {
  throw new Unmodelled('user_memset');
}

/** */
// eslint-disable-next-line require-yield
export function* user_memcmp(m: Machine, a: number, b: number, n: number): Gen<number> {
  throw new Unmodelled('user_memcmp');
}

/** */
// eslint-disable-next-line require-yield
export function* user_read_bytes(m: Machine, addr: number, n: number): Gen<Uint8Array> {
  throw new Unmodelled('user_read_bytes');
}

/** */
// eslint-disable-next-line require-yield
export function* user_write_bytes(m: Machine, addr: number, bytes: Uint8Array): Gen<void> {
  throw new Unmodelled('user_write_bytes');
}

/** */
// eslint-disable-next-line require-yield
export function* copy_from_user(m: Machine, to: Uint8Array, from: number, n: number): Gen<number> {
  throw new Unmodelled('copy_from_user');
}

/** */
// eslint-disable-next-line require-yield
export function* copy_to_user(m: Machine, to: number, from: Uint8Array, n: number): Gen<number> {
  throw new Unmodelled('copy_to_user');
}

/** */
// eslint-disable-next-line require-yield
export function* clear_user(m: Machine, to: number, n: number): Gen<number> {
  throw new Unmodelled('clear_user');
}

/** */
// eslint-disable-next-line require-yield
export function* get_user_u8(m: Machine, from: number): Gen<number> {
  throw new Unmodelled('get_user_u8');
}

/** */
// eslint-disable-next-line require-yield
export function* strncpy_from_user(m: Machine, from: number, count: number): Gen<string | number> {
  throw new Unmodelled('strncpy_from_user');
}

/** */
// eslint-disable-next-line require-yield
export function* fault_in_readable(m: Machine, uaddr: number, size: number): Gen<number> {
  throw new Unmodelled('fault_in_readable');
}

/** */
// eslint-disable-next-line require-yield
export function* fault_in_writeable(m: Machine, uaddr: number, size: number): Gen<number> {
  throw new Unmodelled('fault_in_writeable');
}

/** */
export function access_ok(addr: number, size: number): boolean {
  throw new Unmodelled('access_ok');
}

