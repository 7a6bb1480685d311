// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { address_space, file, files_struct, inode } from './fs.ts';

const [READ, WRITE] = [1, 2];

t.test('the access mode of open(2) decides what a file may do', (t) => {
  const node = new inode(3);
  const mode = (flags: number): number => new file({}, node, flags, '/x').f_mode;
  t.equal(mode(0), READ, 'O_RDONLY');
  t.equal(mode(1), WRITE, 'O_WRONLY');
  t.equal(mode(2), READ | WRITE, 'O_RDWR');
  t.equal(mode(3), 0, 'only for ioctls');
  t.equal(mode(2 | 0o100 | 0o4000), READ | WRITE, 'other flags do not matter');
  t.end();
});

t.test('a file has the mapping that its inode had when it was opened, a position at 0 and one reference', (t) => {
  const node = new inode(4);
  const before = new file({}, node, 0, '/dev/x');
  node.i_mapping = new address_space(9, node, 'shmem');
  const f = new file({}, node, 0o4002, '/tmp/x');
  t.equal(before.f_mapping, null);
  t.equal(f.f_mapping, node.i_mapping);
  t.same([f.f_count, f.f_pos, f.f_flags, f.private_data, node.i_count], [1, 0, 0o4002, null, 1]);
  t.same([node.i_mapping.host === node, node.i_mapping.nrpages, node.i_mapping.kind], [true, 0, 'shmem']);
  t.end();
});

t.test('locks and tables are not shared between objects', (t) => {
  const [a, b] = [new inode(1), new inode(2)];
  t.not(a.i_rwsem, b.i_rwsem);
  const [x, y] = [new address_space(1, a, 'none'), new address_space(2, b, 'none')];
  x.i_pages.set(0, 5);
  t.equal(y.i_pages.size, 0);
  t.not(x.i_mmap_rwsem, y.i_mmap_rwsem);
  t.not(x.i_mmap_rwsem, x.invalidate_lock);
  const [p, q] = [new files_struct(), new files_struct()];
  p.open_fds.add(0);
  t.notOk(q.open_fds.has(0));
  t.end();
});
