// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { user_load32, user_load64, user_store32, user_store64 } from '../../arch/x86/mm/uaccess.ts';
import { audit } from '../../audit.ts';
import { boot } from '../../boot.ts';
import type { Machine } from '../../machine.ts';
import { sys_ioctl } from '../../fs/ioctl.ts';
import { do_sys_open } from '../../fs/open.ts';
import type { Gen } from '../../kernel/gen.ts';
import { load_module, unload_module } from '../../kernel/module.ts';
import { run_clean } from '../../kernel/testing.ts';
import { vm_munmap } from '../../mm/mmap/mmap.ts';
import { load_words } from '../../mm/testing.ts';
import { vm_mmap } from '../../mm/util.ts';

// The ioctls, declared again.
const [TO_DEVICE, TO_SYSTEM, MOVE, READ, HOLD, RELEASE, ISOLATE, PUTBACK, SKIP, GRAB, BREAK] = [
  0, 1, 13, 3, 4, 5, 6, 7, 8, 9, 10,
];
const PAGE = 4096;
const ENOENT = 2;
const EBUSY = 16;
const EINVAL = 22;

class User {
  readonly m: Machine;
  fd = -1;
  buf = 0;
  mirror = 0;
  private cmd = 0;
  constructor(m: Machine) {
    this.m = m;
  }
  *init(): Gen<void> {
    this.fd = yield* do_sys_open(this.m, '/dev/hmm_v14', 2, 0);
    this.buf = yield* vm_mmap(this.m, null, 0, 4 * PAGE, 3, 0x22, 0);
    this.mirror = yield* vm_mmap(this.m, null, 0, 4 * PAGE, 3, 0x22, 0);
    this.cmd = yield* vm_mmap(this.m, null, 0, PAGE, 3, 0x22, 0);
    for (let i = 0; i < 4; i++) yield* user_store32(this.m, this.buf + i * PAGE, 100 + i);
  }
  *dev(command: number, npages = 4, addr = this.buf): Gen<number> {
    yield* user_store64(this.m, this.cmd, addr);
    yield* user_store64(this.m, this.cmd + 8, npages);
    yield* user_store64(this.m, this.cmd + 16, this.mirror);
    return yield* sys_ioctl(this.m, this.fd, command, this.cmd);
  }
  /** Pages offered and moved by the last migration. */
  *counts(): Gen<number[]> {
    return [yield* user_load64(this.m, this.cmd + 24), yield* user_load64(this.m, this.cmd + 32)];
  }
  sums(at: number): Gen<number[]> {
    return load_words(this.m, at, 4);
  }
}

function run(params: Record<string, number>, body: (u: User) => Gen<void>): void {
  run_clean(t, boot({ mem: 128 * 1024 * 1024, thp: 'never', patches: ['hmm-v14'] }), function* (m) {
    t.equal(yield* load_module(m, 'hmm_v14', params), 0);
    const u = new User(m);
    yield* u.init();
    yield* body(u);
    t.same(audit(m), []);
    yield* vm_munmap(m, u.buf, 4 * PAGE);
    t.equal(yield* unload_module(m, 'hmm_v14'), 0);
  });
}

t.test('without the helper the module does not load', (t) => {
  const m = boot({ mem: 128 * 1024 * 1024 });
  const r = load_module(m, 'hmm_v14').next();
  t.equal(r.value, -ENOENT);
  t.match(m.log.lines.join('\n'), /Unknown symbol hmm_vma_migrate/);
  t.end();
});

t.test('pages go to the device, are read there, and come back, by command or by a touch', async (t) => {
  run({}, function* (u) {
    t.equal(yield* u.dev(TO_DEVICE), 0);
    t.same(yield* u.counts(), [4, 4]);
    t.equal(yield* u.dev(READ), 0);
    t.same(yield* u.sums(u.mirror), [100, 101, 102, 103]);
    t.equal(yield* u.dev(TO_SYSTEM, 2), 0);
    t.same(yield* u.counts(), [2, 2]);
    t.equal(yield* u.dev(READ, 1), -ENOENT);
    t.same(yield* u.sums(u.buf), [100, 101, 102, 103]);
    t.equal(yield* u.dev(MOVE), 0);
    t.same(yield* u.counts(), [4, 4]);
    t.same(yield* u.sums(u.buf), [100, 101, 102, 103]);
  });
});

t.test('pages are skipped, held, isolated and grabbed as asked', async (t) => {
  run({}, function* (u) {
    t.equal(yield* u.dev(SKIP, 1, u.buf), 0);
    t.equal(yield* u.dev(GRAB, 1, u.buf + PAGE), 0);
    t.equal(yield* u.dev(ISOLATE, 1, u.buf + 2 * PAGE), 0);
    t.equal(yield* u.dev(ISOLATE, 1, u.buf + 2 * PAGE), -EBUSY);
    t.equal(yield* u.dev(TO_DEVICE), 0);
    t.same(yield* u.counts(), [3, 1]);
    t.equal(yield* u.dev(RELEASE), 0);
    t.equal(yield* u.dev(PUTBACK), 0);
    t.equal(yield* u.dev(HOLD, 1), 0);
    t.equal(yield* u.dev(TO_DEVICE, 3), 0);
    t.same(yield* u.counts(), [2, 2]);
    t.equal(yield* u.dev(RELEASE), 0);
    t.same(yield* u.sums(u.buf), [100, 101, 102, 103]);
    t.equal(yield* u.dev(BREAK, 1), -ENOENT, 'it is not on the device');
    t.equal(yield* u.dev(99), -EINVAL);
  });
});

t.test('memory without MEMORY_DEVICE_ALLOW_MIGRATE takes pages and never gives them back', async (t) => {
  run({ memory_flags: 1 + 4 }, function* (u) {
    t.equal(yield* u.dev(TO_DEVICE, 2), 0);
    t.same(yield* u.counts(), [2, 2]);
    t.equal(yield* u.dev(TO_SYSTEM), 0);
    t.same(yield* u.counts(), [2, 0], 'only those of system memory are offered');
    t.equal(yield* u.dev(READ, 2), 0);
    t.equal(yield* user_load32(u.m, u.mirror + PAGE), 101);
  });
});
