// SPDX-License-Identifier: GPL-2.0-only

/**
 * A kernel path that the model lacks, by upstream name. lib never catches it: a program that gets there fails with that
 * name instead of an invented result. NON-KERNEL.
 */
export class Unmodelled extends Error {
  constructor(what: string) {
    super(`not modelled: ${what}`);
    this.name = 'Unmodelled';
  }
}
