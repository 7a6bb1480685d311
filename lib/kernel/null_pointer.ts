// SPDX-License-Identifier: GPL-2.0-only

import { Unmodelled } from '../unmodelled.ts';
import { Oops } from './printk.ts';

/** Returns the oops of an access at a small address. NON-KERNEL: what page_fault_oops() comes to here. */
export function null_dereference(address: number): Oops {
  return new Oops(`BUG: kernel NULL pointer dereference, address: ${address.toString(16).padStart(16, '0')}`);
}

/**
 * Returns a NULL pointer that code may take for one to an object: reading or writing a member oopses at the member's
 * offset, in bytes, which `offset_of` knows. NON-KERNEL.
 */
export function null_pointer<T extends object>(offset_of: (member: string) => number | undefined): T {
  const access = (_: object, member: string | symbol): never => {
    const offset = offset_of(String(member));
    if (offset === undefined) throw new Unmodelled(`the offset of ${String(member)} in a NULL pointer's object`);
    throw null_dereference(offset);
  };
  return new Proxy({}, { get: access, set: access }) as T;
}
