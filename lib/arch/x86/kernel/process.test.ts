// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { small_machine } from '../../../kernel/testing.ts';
import { CTX } from '../user/layout.ts';
import { ModelMmu } from '../user/mmu.ts';
import { copy_thread, current_thread, exit_thread, flush_thread, new_thread, RAX, RBX, RSP } from './process.ts';
import { test_cpu, test_memory } from './testing.ts';

t.test('registers are copied for a new task, whose system call returns 0, and cleared for a new program', async (t) => {
  const m = small_machine({ user_memory: test_memory });
  const old = new_thread({ cpu: test_cpu, mmu: new ModelMmu(m), report: () => {} });
  test_cpu.set_gpr(old.ctx, RAX, 56);
  test_cpu.set_gpr(old.ctx, RBX, 7);
  test_cpu.set_gpr(old.ctx, RSP, 0x1000);
  const same = copy_thread(old, 0, 0);
  const other = copy_thread({ ...old, orig_ax: 56 }, 0x2000, 0x3000);
  const registers = ({ ctx }: typeof old): number[] => [RAX, RBX, RSP].map((reg) => test_cpu.gpr(ctx, reg));
  t.same(registers(same), [0, 7, 0x1000]);
  t.same(registers(other), [0, 7, 0x2000]);
  t.equal(test_memory.view.getBigUint64(other.ctx + CTX.FS_BASE, true), 0x3000n);
  t.equal(other.orig_ax, -1);
  t.same(registers(old), [56, 7, 0x1000], 'the old task has its own');
  other.trap_nr = 14;
  flush_thread(other);
  t.same([registers(other), other.trap_nr], [[0, 0, 0], 0]);
  for (const thread of [old, same, other]) exit_thread(thread);
  m.release();
});

t.test('user code that is a generator has no registers', async (t) => {
  const m = small_machine();
  t.throws(() => current_thread(m));
});
