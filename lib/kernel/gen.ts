// SPDX-License-Identifier: GPL-2.0-only

import type { WaitPoint } from './sched/core.ts';

/**
 * Return type of every function that may sleep. A function that upstream marks with might_sleep(), or that takes a
 * lock, returns a Gen and is called with `yield*`; a plain function cannot sleep. NON-KERNEL.
 */
export type Gen<T> = Generator<WaitPoint, T, void>;

/** What `yield*` gets from DONE, which takes it out before anybody can write the next one. */
const result = { done: true as const, value: undefined as unknown };
const DONE = {
  next: () => result,
  return: () => result,
  throw: (e: unknown) => {
    throw e;
  },
  [Symbol.iterator]: () => DONE,
};

/**
 * Returns a generator that has returned `value`. A function on a hot path that rarely sleeps is a plain one that does
 * its work and returns done(), or else calls a generator of its own, which has its name with _slowpath at the end
 * (call_path() shows both as the one function). An eighth of what a generator costs (measured). NON-KERNEL.
 */
export function done<T>(value: T): Gen<T> {
  result.value = value;
  return DONE as unknown as Gen<T>;
}
