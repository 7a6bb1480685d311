// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import * as errno from './errno.ts';

t.test('the numbers are those of x86-64', (t) => {
  const known = {
    EPERM: 1,
    ENOENT: 2,
    EINTR: 4,
    EBADF: 9,
    EAGAIN: 11,
    ENOMEM: 12,
    EACCES: 13,
    EFAULT: 14,
    EBUSY: 16,
    EEXIST: 17,
    EINVAL: 22,
    ENOTTY: 25,
    ENOSYS: 38,
    ERESTARTSYS: 512,
  };
  for (const [name, value] of Object.entries(known)) t.equal((errno as Record<string, number>)[name], value, name);
  t.equal(new Set(Object.values(errno)).size, Object.values(errno).length, 'no two are the same');
  t.end();
});
