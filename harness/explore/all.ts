// SPDX-License-Identifier: GPL-2.0-only

import { start_worker } from '../cli/workers.ts';

interface Ended {
  status: number;
  out: string;
}

function explore_one(name: string, words: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = start_worker(new URL('../bin/explore.ts', import.meta.url), [name, '--quiet', ...words], 'pipe');
    let out = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.on('close', (code, signal) => {
      if (signal !== null) out += `${name}: its process was ended by ${signal}\n`;
      resolve({ status: code ?? 3, out });
    });
  });
}

/**
 * Explores several cases with the same options, `jobs` at a time in separate processes. Calls `write` with each report
 * in the order of `names`. Returns the highest exit status.
 */
export async function explore_all(
  names: readonly string[],
  words: readonly string[],
  jobs: number,
  write: (text: string) => void,
): Promise<number> {
  const ended = new Map<number, Ended>();
  let next = 0;
  let written = 0;
  let status = 0;
  const work = async (): Promise<void> => {
    while (next < names.length) {
      const i = next++;
      ended.set(i, await explore_one(names[i], words));
      for (let e = ended.get(written); e !== undefined; e = ended.get(++written)) {
        write(e.out);
        status = Math.max(status, e.status);
      }
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  return status;
}
