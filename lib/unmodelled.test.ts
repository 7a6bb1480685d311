// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { Unmodelled } from './unmodelled.ts';

t.test('it names what is missing', (t) => {
  const e = new Unmodelled('some_function: a path');
  t.equal(e.message, 'not modelled: some_function: a path');
  t.equal(e.name, 'Unmodelled');
  t.end();
});
