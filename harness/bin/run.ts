// SPDX-License-Identifier: GPL-2.0-only
// `npm run -s run -- BINARY`: a compiled program, as it is, on the modelled machine.

import { command, flag, run_commands } from '../cli/command.ts';
import { machine_options } from '../cli/options.ts';
import { host_options } from '../run/options.ts';
import { run_binary } from '../run/binary.ts';

run_commands('run', [
  command({
    words: 'BINARY [its arguments]',
    count: [1, Infinity],
    about: `Runs a program for x86-64 Linux, static or dynamic, on the modelled machine with the test_hmm module loaded.
What stands behind BINARY is the program's. Exit status: the program's own, 128 and the signal that ended it; 2 for a file
that cannot be run, 3 if it needs what is not modelled, whose name is then on standard error.`,
    options: {
      ...machine_options,
      ...host_options,
      dmesg: flag("prints the kernel's log on standard error afterwards"),
    },
    foreign_options: true,
    run: (o, [file, ...args]) => run_binary(o, { binary: { file, root: o.root, cpu: o.cpu }, args, dmesg: o.dmesg }),
  }),
]);
