// SPDX-License-Identifier: GPL-2.0-only
// Migration against what takes memory away and tells the TLBs later, or takes all of a process's memory at once.

import type { RaceCase } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import { happen, new_event, wait_for } from '../vocabulary/events.ts';
import { expect_ret, expect_word } from '../vocabulary/expect.ts';
import { filled, lazily_freed, OLD, PAGE } from '../vocabulary/memory.ts';
import { type Command, dmirror, new_command, open_device } from '../vocabulary/mirror.ts';
import { thread } from '../vocabulary/racers.ts';
import { huge_command, warm } from './thp.ts';
import * as U from '../../lib/user/uapi.ts';

const HPAGE = 512 * PAGE;

const dontneed_vs_migrate: RaceCase = {
  name: 'dontneed-vs-migrate',
  summary:
    'a thread drops a page (MADV_DONTNEED) while it migrates to the device, and must not see its contents any more',
  *run(c, x) {
    const fd = yield* open_device(c, x);
    const ptr = yield* filled(c, x, 1);
    const cmd = yield* new_command(c, ptr, 1);
    // The pte of a page that is not exclusive, since a child had it too, is not flushed by itself when it is replaced.
    yield* c.waitpid(
      yield* c.fork(function* () {
        // does nothing
      }),
    );
    yield* x.together([
      thread('migrate', function* (t) {
        expect_ret(x, yield* dmirror(t, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, cmd), [0, -U.ENOENT], 'MIGRATE_TO_DEV');
      }),
      thread('dontneed', function* (t) {
        yield* expect_word(t, x, ptr, 0, [OLD], 'the thread');
        expect_ret(x, yield* t.madvise(ptr, PAGE, U.MADV_DONTNEED), [0], 'madvise');
        yield* expect_word(t, x, ptr, 0, [0], 'the thread, after MADV_DONTNEED');
      }),
    ]);
    yield* c.close(fd);
  },
};

const pageout_vs_dontneed: RaceCase = {
  name: 'pageout-vs-dontneed',
  summary: 'a thread drops a page (MADV_DONTNEED) while another reclaims it, and must not see its contents any more',
  *run(c, x) {
    const ptr = yield* filled(c, x, 1);
    yield* lazily_freed(c, x, ptr);
    yield* x.together([
      thread('pageout', function* (t) {
        expect_ret(x, yield* t.madvise(ptr, PAGE, U.MADV_PAGEOUT), [0], 'MADV_PAGEOUT');
      }),
      thread('dontneed', function* (t) {
        yield* expect_word(t, x, ptr, 0, [OLD, 0], 'the thread');
        expect_ret(x, yield* t.madvise(ptr, PAGE, U.MADV_DONTNEED), [0], 'madvise');
        yield* expect_word(t, x, ptr, 0, [0], 'the thread, after MADV_DONTNEED');
      }),
    ]);
  },
};

const reap_vs_migrate: RaceCase = {
  name: 'reap-vs-migrate',
  summary: 'a process is killed and its memory reaped while the device fills an empty huge place of it',
  warm,
  *run(c, x) {
    const ready = yield* new_event(c, x);
    const go = yield* new_event(c, x);
    const done = yield* new_event(c, x);
    const end = yield* new_event(c, x);
    const victim = yield* c.fork(function* (v) {
      const fd = yield* open_device(v, x);
      const at = yield* v.mmap(U.NULL, 2 * HPAGE, U.PROT_READ | U.PROT_WRITE, U.MAP_PRIVATE | U.MAP_ANONYMOUS, -1, 0);
      const ptr = Math.ceil(at / HPAGE) * HPAGE;
      const cmd: Command = yield* huge_command(v, ptr);
      // The mirror's address space is the victim's; who gives the command is another process.
      yield* v.fork(function* (r: Libc) {
        yield* happen(r, ready);
        yield* wait_for(r, go);
        expect_ret(
          x,
          yield* dmirror(r, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, cmd),
          [-U.EFAULT, -U.ENOENT, -U.EINVAL],
          'MIGRATE_TO_DEV',
        );
        yield* happen(r, done);
        // Its exit would only make the race longer.
        yield* wait_for(r, end);
      });
      yield* v.pause();
    });
    yield* wait_for(c, ready);
    yield* x.modprobe('mrelease_driver');
    const reaper = yield* c.open('/dev/mrelease', U.O_RDWR);
    const pidfd = yield* c.pidfd_open(victim, 0);
    // Migrates once this process waits.
    yield* happen(c, go);
    yield* x.together([
      thread('reap', function* (t) {
        yield* t.kill(victim, U.SIGKILL);
        const ret = (yield* t.ioctl(reaper, 0, pidfd)) === 0 ? 0 : -t.errno;
        expect_ret(x, ret, [0, -U.ESRCH], 'process_mrelease()');
      }),
    ]);
    yield* wait_for(c, done);
    yield* happen(c, end);
    yield* c.waitpid(victim);
    yield* c.close(pidfd);
    yield* c.close(reaper);
  },
};

export const reap_cases: readonly RaceCase[] = [dontneed_vs_migrate, pageout_vs_dontneed, reap_vs_migrate];
