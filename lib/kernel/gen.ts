// SPDX-License-Identifier: GPL-2.0-only

import type { WaitPoint } from './sched/core.ts';

/**
 * The type of everything that may sleep. A function that upstream marks with might_sleep() (or that takes a lock)
 * returns a Gen and is called with `yield*`; a plain function cannot wait. NON-KERNEL.
 */
export type Gen<T> = Generator<WaitPoint, T, void>;
