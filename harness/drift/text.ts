// SPDX-License-Identifier: GPL-2.0-only

import type { ConfigDifference } from './config.ts';
import type { Drift, Followed, Standing } from './drift.ts';

/** Callers that are named; of more only the number is. */
const SHOWN = 4;

const SAYS: Readonly<Record<Standing, string>> = { same: '', differs: 'differs', gone: 'gone', moved: 'moved' };

function few(names: readonly string[]): string {
  const more = names.length - SHOWN;
  return names.slice(0, SHOWN).join(', ') + (more > 0 ? ` and ${more} more` : '');
}

function line_of(it: Followed): string {
  const to = it.to.map(({ c_file, same }) => `${c_file}${same ? '' : ', where it differs'}`).join(' or ');
  const model = it.model.map(({ file, line, name }) => `${file}:${line}${name === it.c_name ? '' : ` ${name}`}`);
  const lines = [`  ${SAYS[it.standing].padEnd(7)}  ${it.c_name}${to === '' ? '' : ` to ${to}`}`];
  lines.push(`           model: ${few(model)}`);
  if (it.callers.length > 0) lines.push(`           called by ${few(it.callers)}`);
  return lines.join('\n');
}

/** What a person reads: the sum, then file by file what is not as in 7.3.4. */
export function drift_text(drift: Drift, config: readonly ConfigDifference[]): string {
  const count = (standing: Standing): number => drift.followed.filter((it) => it.standing === standing).length;
  const out = [
    `Linux ${drift.version} beside 7.3.4, of ${drift.followed.length} definitions that the model follows: ` +
      `${count('same')} the same, ${count('differs')} differ, ${count('moved')} moved, ${count('gone')} gone; ` +
      `${drift.fresh.length} new functions in the files that it follows.`,
  ];
  if (drift.unseen.length > 0) out.push(`Not compared, since no digest of them is kept: ${drift.unseen.join(', ')}.`);
  const files = new Set(
    [...drift.followed.filter((it) => it.standing !== 'same'), ...drift.fresh].map((it) => it.c_file),
  );
  for (const c_file of [...files].sort()) {
    out.push('', c_file);
    for (const it of drift.followed) if (it.c_file === c_file && it.standing !== 'same') out.push(line_of(it));
    const fresh = drift.fresh.filter((it) => it.c_file === c_file).map((it) => it.c_name);
    if (fresh.length > 0) out.push(`  new      ${fresh.join(', ')}`);
  }
  if (config.length > 0) out.push('', 'Its configuration:');
  for (const { option, here, modelled, matters } of config)
    out.push(`  ${option}=${here}, modelled is ${modelled}: ${matters}`);
  return `${out.join('\n')}\n`;
}
