// SPDX-License-Identifier: GPL-2.0-only
// A process that does tasks for its parent, one per message.

import { end_with_parent } from '../cli/workers.ts';
import { do_task, type Task } from './jobs.ts';

end_with_parent();

process.on('message', (task: Task) => {
  process.send?.(do_task(task));
});
