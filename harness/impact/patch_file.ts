// SPDX-License-Identifier: GPL-2.0-only
// A kernel patch or series, as `git format-patch`, b4, a mailbox or `git diff` gives it.

import parse_diff from 'parse-diff';
import { UsageError } from '../cli/usage_error.ts';

/** A function, macro or type that a patch changes. */
export interface Touched {
  c_file: string;
  /** null for what stands outside of any, such as an include */
  c_name: string | null;
  added: number;
  removed: number;
}

export interface PatchFile {
  /** of the first mail, where there is one */
  subject: string | null;
  message_id: string | null;
  /** mails of a series, or 1 */
  patches: number;
  touched: Touched[];
}

// A function begins in the first column; `} else {` and labels do not look like one, nor does a prototype's `;`.
const FUNCTION = /^(?!(?:else|if|for|while|switch|return|typedef)\b)[A-Za-z_][^;=]*?\b(\w+)\s*\(/;
const MADE_BY_MACRO = /^(?:COMPAT_)?(?:SYSCALL_DEFINE\d|DEFINE_IDTENTRY\w*)\((\w+)/;
const TEST = /^TEST(?:_F(?:_TIMEOUT|_SIGNAL)?)?\((?:\w+, )?(\w+)/;
const MACRO = /^#\s*define\s+(\w+)/;
const TYPE = /^(?:static |const )*(?:struct|union|enum)\s+(\w+)\s*\{?$/;

/** What begins at a line, if anything does. */
function begun(line: string): string | null {
  for (const re of [MACRO, TYPE, MADE_BY_MACRO, TEST, FUNCTION]) {
    const name = re.exec(line)?.[1];
    if (name !== undefined) return name;
  }
  return null;
}

function header(text: string, name: string): string | null {
  const hit = new RegExp(`^${name}: (.*(?:\\n[ \\t].*)*)`, 'mi').exec(text);
  return hit === null ? null : hit[1].replace(/\s*\n\s+/g, ' ').trim();
}

/** Reads a patch. Throws UsageError for a text without one; `name` is how the message calls it. */
export function read_patch(text: string, name: string): PatchFile {
  const found = new Map<string, Touched>();
  const touch = (c_file: string, c_name: string | null, kind: 'add' | 'del'): void => {
    const key = `${c_file}: ${c_name ?? ''}`;
    const it = found.get(key) ?? { c_file, c_name, added: 0, removed: 0 };
    if (kind === 'add') it.added++;
    else it.removed++;
    found.set(key, it);
  };
  for (const { from, to, chunks } of parse_diff(text.replaceAll('\r\n', '\n'))) {
    const c_file = to === undefined || to === '/dev/null' ? from : to;
    if (c_file === undefined) continue;
    for (const chunk of chunks) {
      // What stands behind the second @@ is the last line above that begins something.
      let current = begun(chunk.content.replace(/^@@.*?@@ ?/, ''));
      let in_macro = false;
      for (const change of chunk.changes) {
        const line = change.content.slice(1);
        const next = begun(line);
        if (next !== null) current = next;
        if (next !== null) in_macro = MACRO.test(line);
        if (change.type !== 'normal' && line.trim() !== '') touch(c_file, current, change.type);
        if (/^\}/.test(line) || (in_macro && !line.endsWith('\\'))) current = null;
        if (current === null) in_macro = false;
      }
    }
  }
  if (found.size === 0)
    throw new UsageError(`${name}: expected a patch, with lines that begin with "diff --git" or "---", "+++" and "@@"`);
  const subject = header(text, 'Subject');
  return {
    subject: subject?.replace(/^(?:\[[^\]]*\]\s*)+/, '') ?? null,
    message_id: header(text, 'Message-Id')?.replace(/^<|>$/g, '') ?? null,
    patches: Math.max(1, [...text.matchAll(/^From [0-9a-f]{12,40} /gm)].length),
    touched: [...found.values()],
  };
}
