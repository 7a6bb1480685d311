// SPDX-License-Identifier: GPL-2.0-only

import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { boot } from '../boot.ts';
import { check_patches } from './check_patches.ts';
import { patch_states, type PatchId } from './index.ts';

const all_ids = patch_states.map((p) => p.id);

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

t.test('each state says what it is', (t) => {
  t.equal(new Set(all_ids).size, all_ids.length, 'no id twice');
  for (const p of patch_states) {
    t.match(p.id, /^[a-z0-9]+(-[a-z0-9]+)*$/);
    t.ok(['series', 'reverted', 'proposed'].includes(p.kind), `${p.id}: kind`);
    t.match(p.date, /^\d{4}(-\d{2}-\d{2})?$/, `${p.id}: date`);
    t.ok(p.subject.length > 5 && p.where.length > 3 && /[.)]$/.test(p.changes), `${p.id}: subject, source and changes`);
    if (p.kind === 'reverted') t.ok(p.merged, `${p.id}: what can be taken out is in`);
    if (p.kind === 'proposed') t.notOk(p.merged, `${p.id}: what is proposed is not in`);
  }
  t.end();
});

t.test('the compiler knows the ids', (t) => {
  const known: 'no-16ce101db85d' extends PatchId ? true : false = true;
  const misspelt: 'no-16ce101db85e' extends PatchId ? true : false = false;
  t.same([known, misspelt], [true, false]);
  t.end();
});

t.test('each state changes something, and what it sets is asked for somewhere in the kernel', (t) => {
  const lib = fileURLToPath(new URL('..', import.meta.url));
  const sources = readdirSync(lib, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && !name.startsWith('patches'))
    .map((name) => readFileSync(`${lib}${name}`, 'utf8'))
    .join('\n');
  for (const p of patch_states) {
    t.ok(p.sets !== undefined || p.seams !== undefined || p.offsets !== undefined, `${p.id} changes nothing`);
    for (const name of p.sets ?? []) t.match(sources, new RegExp(`\\.patch\\.${name}\\b`), `${p.id} sets ${name}`);
  }
  t.end();
});

t.test('a state without what it needs is refused', (t) => {
  for (const p of patch_states)
    if (p.needs !== undefined)
      t.match(
        refusal(() => check_patches([p.id])),
        /needs/,
        p.id,
      );
  t.end();
});

t.test('a machine is refused a state that does not exist, and has those that it was given', (t) => {
  t.throws(
    () => check_patches(['no-such-state']),
    /^patch state no-such-state: there is no such state; npm run -s regression -- list/,
  );
  const [id] = check_patches(['fix-coherent-chunk']);
  const m = boot({ mem: 64 * 1024 * 1024, patches: [id] });
  t.same([...m.patches], [id]);
  t.equal(boot({ mem: 64 * 1024 * 1024 }).patches.size, 0);
  t.end();
});
