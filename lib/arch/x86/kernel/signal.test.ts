// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { start_process } from '../../../kernel/exec.ts';
import { k_sigaction, SA_ONSTACK } from '../../../kernel/signal_types.ts';
import { small_machine } from '../../../kernel/testing.ts';
import { ModelMmu } from '../user/mmu.ts';
import { exit_thread, new_thread, RSP } from './process.ts';
import { get_sigframe } from './signal.ts';
import { test_cpu, test_memory } from './testing.ts';

const NONE = { low: 0, high: 0 };
const FRAME = 440;

t.test('frames lie below the red zone, aligned as a called function wants it, or on the other stack', async (t) => {
  const m = small_machine({ user_memory: test_memory });
  const task = start_process(m, 'init', function* () {
    const thread = new_thread({ cpu: test_cpu, mmu: new ModelMmu(m), report: () => {} });
    m.current.thread = thread;
    test_cpu.set_gpr(thread.ctx, RSP, 0x7ffff000);
    const plain = new k_sigaction(0x1000, 0, 0, NONE);
    const other = new k_sigaction(0x1000, SA_ONSTACK, 0, NONE);
    const { frame, fp } = get_sigframe(m, plain, FRAME);
    t.ok(fp + 512 <= 0x7ffff000 - 128 && frame + FRAME <= fp, 'the red zone is left');
    t.same([fp % 64, frame % 16], [0, 8]);
    t.same(get_sigframe(m, other, FRAME), { frame, fp }, 'there is no other stack');
    m.current.sas_ss_sp = 0x10000;
    m.current.sas_ss_size = 0x4000;
    const there = get_sigframe(m, other, FRAME);
    t.ok(there.frame > 0x10000 && there.fp + 512 <= 0x14000);
    t.same(get_sigframe(m, plain, FRAME), { frame, fp }, 'a handler that does not want it');
    m.current.sas_ss_size = 600;
    t.equal(get_sigframe(m, other, FRAME).frame, -1, 'one that is too small');
    m.current.thread = null;
    exit_thread(thread);
    return 0;
  });
  m.sched.run(() => task.exit_state !== 'alive');
  m.release();
});
