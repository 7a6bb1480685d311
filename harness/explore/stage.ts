// SPDX-License-Identifier: GPL-2.0-only

import { boot } from '../../lib/boot.ts';
import type { Machine, MachineConfig } from '../../lib/machine.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { load_module, type ModuleParams } from '../../lib/kernel/module.ts';
import type { PatchId } from '../../lib/patches/index.ts';
import { type Libc, runProgram } from '../../lib/user/libc.ts';
import { shared_user_memory } from '../run/program.ts';
import { Snapshot } from './snapshot.ts';

const MEM = 128 * 1024 * 1024;
/** 2 MiB pieces of memory contents that are allocated from the start, so that runs need not allocate them. */
const SLABS = 12;
const SLAB_PAGES = 512;

/** Options of a stage. */
interface StageOf {
  config?: MachineConfig;
  compiled?: boolean;
  /** Parameters of test_hmm; null leaves it unloaded. */
  params?: ModuleParams | null;
  warm?: (c: Libc) => Gen<void>;
}

/**
 * A booted machine with test_hmm loaded, reused for many runs. Restoring its initial state takes a hundredth of the
 * time of booting.
 */
export class Stage {
  private readonly m: Machine;
  private snapshot: Snapshot | null = null;
  private used = false;

  /** `on_boot` is given the machine before anything runs on it. */
  constructor(c: StageOf, patches: readonly PatchId[], on_boot?: (m: Machine) => void) {
    this.m = boot({ mem: MEM, ...c.config, patches, user_memory: c.compiled === true ? shared_user_memory() : null });
    on_boot?.(this.m);
    this.m.sched.spread = true;
    if (c.params === null) return;
    const loading: Gen<number> = load_module(this.m, 'test_hmm', c.params ?? {});
    const r = loading.next();
    if (r.done !== true || r.value !== 0)
      throw new Error(`loading test_hmm failed${r.done === true ? ` with ${r.value}` : ''}`);
    const { warm } = c;
    if (warm === undefined) return;
    const status = runProgram(this.m, function* (libc) {
      yield* warm(libc);
      return 0;
    });
    if (status !== 0) throw new Error(`warming up ended with wait status ${status}`);
  }

  /** The machine in its initial state. */
  reset(): Machine {
    if (!this.used) {
      this.used = true;
      return this.m;
    }
    if (this.snapshot === null) throw new Error('this stage was made for one run: call keep() first');
    this.snapshot.restore();
    return this.m;
  }

  /** Gives back the memory that compiled programs of all machines share. */
  release(): void {
    if (this.m.config.user_memory !== null) this.m.release();
  }

  /** Prepares the stage for more than one run; called before the first. */
  keep(): this {
    const start = this.m.zone.spans[0]?.start ?? 0;
    for (let i = 0; i < SLABS; i++) this.m.ram.slab(start + i * SLAB_PAGES);
    this.snapshot = new Snapshot(this.m);
    return this;
  }
}

/** Calls `body` with a stage for more than one run. */
export function on_stage<T>(c: StageOf, patches: readonly PatchId[], body: (stage: Stage) => T): T {
  const stage = new Stage(c, patches).keep();
  try {
    return body(stage);
  } finally {
    stage.release();
  }
}
