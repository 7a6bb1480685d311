// SPDX-License-Identifier: GPL-2.0-only

import type { Module } from '../kernel/module.ts';
import { Unmodelled } from '../unmodelled.ts';

/** The module test_hmm (lib/test_hmm.c: hmm_dmirror_init(), hmm_dmirror_exit()). */
export const test_hmm: Module = {
  init: () => {
    throw new Unmodelled('hmm_dmirror_init');
  },
  exit: () => {
    throw new Unmodelled('hmm_dmirror_exit');
  },
};
