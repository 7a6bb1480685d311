// SPDX-License-Identifier: GPL-2.0-only
// A kernel tree of the user's.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../cli/usage_error.ts';
import { c_definitions, type Definition } from './c_definitions.ts';

/** Where a function may have moved to. */
const PLACES = [
  'mm',
  'lib',
  'kernel',
  'fs',
  'include/linux',
  'include/uapi',
  'include/asm-generic',
  'arch/x86/mm',
  'arch/x86/kernel',
  'arch/x86/entry',
  'arch/x86/include',
  'drivers/base',
  'drivers/char',
];

export class Tree {
  readonly dir: string;
  /** such as 7.3.4 or 7.4.0-rc1 */
  readonly version: string;
  private texts: Map<string, string> | null = null;
  private readonly parsed = new Map<string, Promise<Definition[]>>();

  /** Throws UsageError if the directory holds no kernel source. */
  constructor(dir: string) {
    const makefile = existsSync(join(dir, 'Makefile')) ? readFileSync(join(dir, 'Makefile'), 'utf8') : '';
    const part = (name: string): string => new RegExp(`^${name} *= *(\\S*)`, 'm').exec(makefile)?.[1] ?? '';
    if (part('VERSION') === '' || part('PATCHLEVEL') === '')
      throw new UsageError(
        `${dir}: expected the top of a kernel source tree, with a Makefile that has VERSION and PATCHLEVEL`,
      );
    this.dir = dir;
    this.version = `${part('VERSION')}.${part('PATCHLEVEL')}.${part('SUBLEVEL')}${part('EXTRAVERSION')}`;
  }

  has(file: string): boolean {
    return existsSync(join(this.dir, file));
  }

  read(file: string): string {
    return readFileSync(join(this.dir, file), 'utf8');
  }

  /** What a file of it defines; nothing for one that it lacks. */
  definitions(file: string): Promise<Definition[]> {
    let it = this.parsed.get(file);
    if (it === undefined) {
      it = this.has(file) ? c_definitions(this.read(file)) : Promise.resolve([]);
      this.parsed.set(file, it);
    }
    return it;
  }

  /** The files, in the places that the model follows, that define a name, but for one file. */
  async defining(name: string, except: string): Promise<string[]> {
    this.texts ??= this.all_texts();
    const word = new RegExp(`\\b${name}\\b`);
    const found: string[] = [];
    for (const [file, text] of this.texts) {
      if (file === except || !text.includes(name) || !word.test(text)) continue;
      if ((await this.definitions(file)).some((it) => it.name === name)) found.push(file);
    }
    return found;
  }

  private all_texts(): Map<string, string> {
    const texts = new Map<string, string>();
    for (const place of PLACES) {
      if (!this.has(place)) continue;
      for (const name of readdirSync(join(this.dir, place), { recursive: true, encoding: 'utf8' }).sort())
        if (/\.[ch]$/.test(name)) texts.set(`${place}/${name}`, this.read(`${place}/${name}`));
    }
    return texts;
  }
}
