// SPDX-License-Identifier: GPL-2.0-only
// `npm run -s drift -- TREE`: what of a kernel tree the model does not follow as it is there.

import { readFileSync } from 'node:fs';
import { command, flag, run_commands, text } from '../cli/command.ts';
import { print } from '../cli/program.ts';
import { config_differences } from '../drift/config.ts';
import { drift_of, record_facts } from '../drift/drift.ts';
import { drift_text } from '../drift/text.ts';
import { Tree } from '../drift/tree.ts';

run_commands('drift', [
  command({
    words: 'TREE',
    count: [1, 1],
    about: `Compares the functions, macros and types that the model follows with those of a kernel source tree: which differ
from Linux 7.3.4, which are gone or moved, which are new. Comments and white space do not count.
Exit status: 0 if nothing differs, 1 if something does, 2 if TREE is no kernel tree.`,
    options: {
      config: text('the configuration of that kernel (.config of the tree, where there is one)', 'FILE'),
      json: flag('prints the answer as JSON'),
      record: flag('writes down what TREE, which has to be Linux 7.3.4, defines'),
    },
    run: async (o, [dir]) => {
      const tree = new Tree(dir);
      if (o.record) {
        const { files, definitions, missing } = await record_facts(tree);
        print(`${files} files, ${definitions} definitions\n`);
        for (const it of missing) print(`no definition of its own: ${it}\n`);
        return 0;
      }
      const drift = await drift_of(tree);
      const file = o.config === null && tree.has('.config') ? `${dir}/.config` : o.config;
      const config = file === null ? [] : config_differences(readFileSync(file, 'utf8'));
      print(o.json ? `${JSON.stringify({ ...drift, config }, null, 2)}\n` : drift_text(drift, config));
      return drift.followed.every((it) => it.standing === 'same') && config.length === 0 ? 0 : 1;
    },
  }),
]);
