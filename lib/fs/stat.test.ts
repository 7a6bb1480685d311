// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { user_load32, user_read_bytes, user_store32, user_write_bytes } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { run_clean, small_machine } from '../kernel/testing.ts';
import { map_anon } from '../mm/testing.ts';
import { do_sys_open, ksys_close } from './open.ts';
import { ksys_write } from './read_write.ts';
import { sys_newfstat, sys_newfstatat, sys_newstat, sys_readlink } from './stat.ts';

const MAP = 0x200000000;
const PATH = MAP + 4096;
const [O_RDWR, O_CREAT] = [2, 0o100];
const [ENOENT, EBADF, EFAULT, EINVAL] = [-2, -9, -14, -22];
const [MODE, RDEV, SIZE, BLOCKS] = [24, 40, 48, 64];
const [AT_FDCWD, AT_EMPTY_PATH] = [-100, 0x1000];

function* path(m: Machine, text: string): Gen<number> {
  yield* user_write_bytes(m, PATH, new TextEncoder().encode(`${text}\0`));
  return PATH;
}

t.test('size, blocks and kind of files, directories and devices', async (t) => {
  run_clean(t, small_machine(), function* (m) {
    yield* map_anon(m, MAP, 2);
    const fd = yield* do_sys_open(m, '/tmp/file', O_RDWR | O_CREAT, 0o640);
    yield* user_store32(m, MAP, 1);
    yield* ksys_write(m, fd, MAP, 3);
    t.equal(yield* sys_newfstat(m, fd, MAP), 0);
    const of_fd = [...(yield* user_read_bytes(m, MAP, 144))];
    t.same(
      [
        yield* user_load32(m, MAP + SIZE),
        yield* user_load32(m, MAP + BLOCKS),
        (yield* user_load32(m, MAP + MODE)) & 0o170000,
      ],
      [3, 8, 0o100000],
    );
    t.equal(yield* sys_newstat(m, yield* path(m, '/tmp/file'), MAP), 0);
    t.same([...(yield* user_read_bytes(m, MAP, 144))], of_fd, 'by its path the same');
    t.equal(yield* sys_newfstatat(m, fd, yield* path(m, ''), MAP, AT_EMPTY_PATH), 0);
    t.same([...(yield* user_read_bytes(m, MAP, 144))], of_fd, 'by an empty path the same');
    t.equal(yield* sys_newstat(m, yield* path(m, '/tmp'), MAP), 0);
    t.equal((yield* user_load32(m, MAP + MODE)) & 0o170000, 0o040000);
    t.equal(yield* sys_newstat(m, yield* path(m, '/dev/null'), MAP), 0);
    t.same([yield* user_load32(m, MAP + RDEV), (yield* user_load32(m, MAP + MODE)) & 0o170000], [0x103, 0o020000]);
    yield* ksys_close(m, fd);
  });
});

t.test('what there is not, and links that are none', async (t) => {
  run_clean(t, small_machine(), function* (m) {
    yield* map_anon(m, MAP, 2);
    t.equal(yield* sys_newstat(m, yield* path(m, '/tmp/nothing'), MAP), ENOENT);
    t.equal(yield* sys_newstat(m, 0x1000, MAP), EFAULT);
    t.equal(yield* sys_newstat(m, yield* path(m, '/tmp'), 0x1000), EFAULT);
    t.equal(yield* sys_newfstat(m, 9, MAP), EBADF);
    t.equal(yield* sys_newfstatat(m, AT_FDCWD, yield* path(m, '/tmp'), MAP, 1), EINVAL);
    t.equal(yield* sys_readlink(m, yield* path(m, '/tmp'), MAP, 100), EINVAL);
    t.equal(yield* sys_readlink(m, yield* path(m, '/tmp'), MAP, 0), EINVAL);
    t.equal(yield* sys_readlink(m, yield* path(m, '/proc/self/exe'), MAP, 100), ENOENT, 'user code without a file');
  });
});
