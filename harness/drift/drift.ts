// SPDX-License-Identifier: GPL-2.0-only
// What of a kernel tree is no longer as the model follows it.

import { type Citation, citations, model_functions } from './citations.ts';
import { by_name, type Facts, read_facts, write_facts } from './facts.ts';
import type { Tree } from './tree.ts';

/** How a definition that the model follows stands in the tree. */
export type Standing = 'same' | 'differs' | 'gone' | 'moved';

export interface Followed {
  c_file: string;
  c_name: string;
  standing: Standing;
  /** for one that moved: where to, and whether it is still the same */
  to: { c_file: string; same: boolean }[];
  /** the model's functions that follow it */
  model: { file: string; line: number; name: string }[];
  /** the model's functions that call those */
  callers: string[];
}

export interface Drift {
  version: string;
  followed: Followed[];
  /** what the model cites and the facts do not hold, so that it is not compared: an enum's member, say */
  unseen: string[];
  /** functions that the tree has in followed C files and Linux 7.3.4 has not */
  fresh: { c_file: string; c_name: string }[];
}

const key = (c_file: string, c_name: string): string => `${c_file}: ${c_name}`;

/** Citations by definition, and what the facts do not hold. */
function followed_definitions(facts: Facts): { cited: Map<string, Citation[]>; unseen: string[] } {
  const cited = new Map<string, Citation[]>();
  const unseen = new Set<string>();
  for (const it of citations()) {
    const at = key(it.c_file, it.c_name);
    if (facts.get(it.c_file)?.has(it.c_name) === true) cited.set(at, [...(cited.get(at) ?? []), it]);
    else unseen.add(at);
  }
  return { cited, unseen: [...unseen].sort() };
}

/** The functions of the model in which each name is called. */
export function callers_of(names: ReadonlySet<string>): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const { name, body } of model_functions()) {
    const called = new Set([...body.matchAll(/\b(\w+)\(/g)].map(([, it]) => it).filter((it) => names.has(it)));
    called.delete(name);
    for (const it of called) found.set(it, [...(found.get(it) ?? []), name]);
  }
  return found;
}

/** Compares a tree with the facts about Linux 7.3.4. */
export async function drift_of(tree: Tree, facts: Facts = read_facts()): Promise<Drift> {
  const { cited, unseen } = followed_definitions(facts);
  const callers = callers_of(new Set([...cited.values()].flat().map((it) => it.name)));
  const followed: Followed[] = [];
  for (const all of cited.values()) {
    const { c_file, c_name } = all[0];
    const here = by_name(await tree.definitions(c_file)).get(c_name);
    const known = facts.get(c_file)?.get(c_name);
    const to: Followed['to'] = [];
    if (here === undefined)
      for (const file of await tree.defining(c_name, c_file))
        to.push({ c_file: file, same: by_name(await tree.definitions(file)).get(c_name) === known });
    const standing: Standing =
      here === known ? 'same' : here !== undefined ? 'differs' : to.length > 0 ? 'moved' : 'gone';
    const model = all.map(({ file, line, name }) => ({ file, line, name }));
    const by = new Set(all.flatMap(({ name }) => callers.get(name) ?? []));
    followed.push({ c_file, c_name, standing, to, model, callers: [...by].sort() });
  }
  followed.sort((a, b) => (key(a.c_file, a.c_name) < key(b.c_file, b.c_name) ? -1 : 1));
  const fresh: Drift['fresh'] = [];
  for (const [c_file, known] of facts) {
    if (!c_file.endsWith('.c')) continue;
    const functions = (await tree.definitions(c_file)).filter((it) => it.kind === 'function');
    for (const c_name of new Set(functions.map((it) => it.name)))
      if (!known.has(c_name)) fresh.push({ c_file, c_name });
  }
  return { version: tree.version, followed, unseen, fresh };
}

/** Writes down what a tree, which is the pinned version, defines in the files that the model follows. */
export async function record_facts(tree: Tree): Promise<{ files: number; definitions: number; missing: string[] }> {
  const cited = new Map<string, Set<string>>();
  for (const { c_file, c_name } of citations()) cited.set(c_file, (cited.get(c_file) ?? new Set<string>()).add(c_name));
  const facts = new Map<string, Map<string, string>>();
  const missing: string[] = [];
  for (const [c_file, names] of [...cited].sort()) {
    const all = await tree.definitions(c_file);
    const kept = all.filter((it) => names.has(it.name) || (it.kind === 'function' && c_file.endsWith('.c')));
    facts.set(c_file, by_name(kept));
    const known = new Set(kept.map((it) => it.name));
    missing.push(...[...names].filter((name) => !known.has(name)).map((name) => key(c_file, name)));
  }
  write_facts(facts);
  return { files: facts.size, definitions: [...facts.values()].reduce((n, it) => n + it.size, 0), missing };
}
