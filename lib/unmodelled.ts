// SPDX-License-Identifier: GPL-2.0-only

/**
 * A path of the kernel that this model does not have. It is never caught inside `lib`: whoever reaches it learns the
 * upstream name of what is missing instead of a made-up result. NON-KERNEL.
 */
export class Unmodelled extends Error {
  constructor(what: string) {
    super(`not modelled: ${what}`);
    this.name = 'Unmodelled';
  }
}
