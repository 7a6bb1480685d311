// SPDX-License-Identifier: GPL-2.0-only
// Beside the harness and not in lib, where the unit tests are to run in seconds.

import t from 'tap';
import { user_load32, user_store32 } from '../../lib/arch/x86/mm/uaccess.ts';
import { boot } from '../../lib/boot.ts';
import { start_process } from '../../lib/kernel/exec.ts';
import { vm_mmap } from '../../lib/mm/util.ts';
import { check_patches } from '../../lib/patches/check_patches.ts';
import { patch_states, type PatchId } from '../../lib/patches/index.ts';
import type { PatchState } from '../../lib/patches/patch_state.ts';
import { needs_of } from './case.ts';

const [PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS] = [1, 2, 2, 0x20];

/** The message with which a list of states is refused, or null. */
function refusal(check: () => void): string | null {
  try {
    check();
    return null;
  } catch (e) {
    if (e instanceof RangeError) return e.message;
    throw e;
  }
}

/** The two states and those that they need. */
function with_needs(a: PatchState, b: PatchState): PatchId[] {
  return [...new Set([a, b].flatMap((p) => [p.id, ...needs_of(p.id)]))];
}

function excluded(ids: readonly PatchId[]): boolean {
  return patch_states.some((p) => ids.includes(p.id) && (p.excludes ?? []).some((x) => ids.includes(x)));
}

/** What both states put something of their own in the place of. */
function in_common(a: PatchState, b: PatchState): string[] {
  const replaced = (p: PatchState): string[] => [...Object.keys(p.seams ?? {}), ...Object.keys(p.offsets ?? {})];
  return replaced(a).filter((name) => replaced(b).includes(name));
}

t.test(
  'any two states are refused if they or what they need exclude each other, and else boot and run a process',
  (t) => {
    const wrong: string[] = [];
    let refused = 0;
    let booted = 0;
    for (const [i, a] of patch_states.entries()) {
      for (const b of patch_states.slice(i)) {
        const ids = with_needs(a, b);
        const pair = `${a.id}, ${b.id}`;
        if (excluded(ids)) {
          refused++;
          for (const order of [ids, ids.toReversed()])
            if (refusal(() => check_patches(order)) === null) wrong.push(`${pair}: taken, though excluded`);
          continue;
        }
        if (a !== b && in_common(a, b).length > 0) wrong.push(`${pair}: both replace ${in_common(a, b)}`);
        const m = boot({ mem: 64 * 1024 * 1024, patches: ids });
        let word = 0;
        const task = start_process(m, 'test', function* () {
          const addr = yield* vm_mmap(m, null, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
          yield* user_store32(m, addr, 7);
          word = yield* user_load32(m, addr);
        });
        m.sched.run(() => task.exit_state !== 'alive');
        booted++;
        if (word !== 7 || m.log.oopses.length + m.log.warnings.length > 0) wrong.push(`${pair}: the process failed`);
      }
    }
    t.same(wrong, []);
    t.ok(refused > 100 && booted > 1000, `${refused} pairs refused, ${booted} booted`);
    t.end();
  },
);
