// SPDX-License-Identifier: GPL-2.0-only

import type { WaitPoint } from './sched/core.ts';

/**
 * Return type of every function that may sleep. A function that upstream marks with might_sleep(), or that takes a
 * lock, returns a Gen and is called with `yield*`; a plain function cannot sleep. NON-KERNEL.
 */
export type Gen<T> = Generator<WaitPoint, T, void>;
