// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { cited, home_of, is_home, stale_homes } from './homes.ts';

t.test('what follows a C file stands in its one home', (t) => {
  for (const [c_file, files] of cited()) {
    const home = home_of(c_file);
    for (const [file, names] of files) {
      if (is_home(file, home)) continue;
      t.fail(`lib/${file}: ${names.join(', ')}: ${c_file} has its home in lib/${home}; move it there`);
    }
  }
  t.same(stale_homes(), [], 'no home is named for a file that nothing follows');
  t.end();
});

t.test("a home is a file or a folder of the C file's name", (t) => {
  t.equal(home_of('mm/hmm.c'), 'mm/hmm');
  t.ok(is_home('mm/hmm.ts', home_of('mm/hmm.c')));
  t.ok(is_home('mm/huge_memory/zap.ts', home_of('mm/huge_memory.c')));
  t.notOk(is_home('mm/huge_memory_zap.ts', home_of('mm/huge_memory.c')));
  t.ok(is_home('test_hmm/fault.ts', home_of('lib/test_hmm.c')));
  t.ok(is_home('fs/poll.ts', home_of('fs/select.c')), 'but for those that are listed');
  t.end();
});
