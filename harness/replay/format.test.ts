// SPDX-License-Identifier: GPL-2.0-only

import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import {
  decode_list,
  encode_list,
  FormatError,
  list_of,
  parse_op,
  read_programs,
  read_recording,
  split_warnings,
  type Value,
} from './format.ts';

const dir = mkdtempSync(join(tmpdir(), 'replay-'));

function file(name: string, content: string | Uint8Array): string {
  const path = join(dir, name);
  writeFileSync(path, content);
  return path;
}

const PROGRAM = {
  id: 'one',
  theme: 'own',
  config: { thp: 'madvise', spm: false },
  ops: ['0 mmap 16 4 rw anon', '0 store 16 4 0x1000', '0 load 16 4'],
  results: ['0', '0 [0*4]', '0 [1000+4]'],
};

/** A recording of PROGRAM with some of it replaced. */
function recording(change: object): string {
  return file('changed.jsonl', `${JSON.stringify({ ...PROGRAM, ...change })}\n`);
}

t.test('a list is coded in runs of equal and of ascending values', async (t) => {
  t.equal(encode_list([]), '');
  t.equal(encode_list([0, 0, 0, 0]), '0*4');
  t.equal(encode_list([0x1000, 0x1001, 0x1002]), '1000+3');
  t.equal(encode_list([0xff]), 'ff');
  t.equal(encode_list([1, 2, 2, 3, 4]), '1+2,2+3', 'a run takes what it can before the next is looked for');
  t.equal(encode_list([2, 2, 3, 3]), '2*2,3*2', 'equal values come before ascending ones');
  t.equal(encode_list(['!segv', '!segv', 5, '!bus']), '!segv*2,5,!bus');
});

t.test('a coded list decodes to its values, and no other text does', async (t) => {
  t.same(decode_list('0*2,f0000+2,!bus,!segv*2'), [0, 0, 0xf0000, 0xf0001, '!bus', '!segv', '!segv']);
  t.same(decode_list(''), []);
  for (const bad of ['x', '1,', '1*', '!segv+2', '!abrt', '1*2+3', '-1']) t.equal(decode_list(bad), null, bad);
});

t.test('any list survives being coded', async () => {
  const value = fc.oneof(
    fc.integer({ min: 0, max: 6 }),
    fc.integer({ min: 0, max: 0xffffffff }),
    fc.constantFrom<Value>('!segv', '!bus'),
  );
  fc.assert(
    fc.property(fc.array(value, { maxLength: 40 }), (values) => {
      const back = decode_list(encode_list(values));
      return back !== null && back.length === values.length && back.every((v, i) => v === values[i]);
    }),
  );
});

t.test('every list of the shipped recordings is coded again as it was', async (t) => {
  let lists = 0;
  let others = 0;
  for (const name of ['sample', 'more']) {
    for (const { results } of read_recording(
      fileURLToPath(new URL(`../../selftests/programs/${name}.jsonl.gz`, import.meta.url)),
    )) {
      for (const result of results) {
        const list = list_of(split_warnings(result).body);
        if (list === null) continue;
        lists++;
        const values = decode_list(list);
        if (values === null || encode_list(values) !== list) others++;
      }
    }
  }
  t.ok(lists > 30_000);
  t.equal(others, 0);
});

t.test('an op is parsed into its parts', async (t) => {
  t.same(parse_op('1 dev 2 write 0x10 3 0x1000', 'here'), {
    text: '1 dev 2 write 0x10 3 0x1000',
    proc: 1,
    name: 'dev',
    d: 2,
    cmd: 'write',
    p: 16,
    n: 3,
    v: 0x1000,
  });
  t.match(parse_op('0 mmap 3 8 rw dmirror1', 'here'), { name: 'mmap', kind: 'dmirror', d: 1 });
  t.match(parse_op('0 mremap 3 8 40 dontunmap', 'here'), { q: 40, dontunmap: true });
  t.match(parse_op('0 mremap 3 8 40', 'here'), { dontunmap: false });
  t.match(parse_op('3 fork 2', 'here'), { proc: 3, child: 2 });
});

t.test('an op that is none says what was expected and where', async (t) => {
  const message = (text: string, expected: string): void => {
    t.throws(() => parse_op(text, 'f.jsonl:7'), new FormatError('f.jsonl:7', `in op "${text}": expected ${expected}`));
  };
  message(
    '0 jump 3',
    'an op (open close mmap munmap mprotect madvise mremap uffd load store dev pagemap smaps gup resize mincore pvread memread memwrite kpage marks uwp wp fork exit), not "jump"',
  );
  message('4 load 3 1', 'a process (0 to 3), not "4"');
  message('0 load 3', 'a count of pages, not its end');
  message('0 load -3 1', 'a page, not "-3"');
  message('0 mprotect 3 1 rx', 'a protection (rw r none), not "rx"');
  message('0 dev 0 write 3 1', 'a value (0 to 4294967295), not its end');
  message('0 smaps now', 'the end of the op, not "now"');
});

t.test('a recording is read, gzipped or not', async (t) => {
  const text = `${JSON.stringify(PROGRAM)}\n\n${JSON.stringify({ ...PROGRAM, id: 'two' })}\n`;
  t.same(
    read_recording(file('plain.jsonl', text)).map((it) => it.id),
    ['one', 'two'],
  );
  t.same(
    read_recording(file('packed.jsonl.gz', gzipSync(text))).map((it) => it.id),
    ['one', 'two'],
  );
  const ends = { ...PROGRAM, results: ['0', '0 [0*4]'], end: { oops: 'dmirror_do_read', bug: 'BUG' } };
  t.same(read_recording(file('ends.jsonl', JSON.stringify(ends)))[0].end, ends.end);
});

t.test('a file that is no recording is refused with file, line and what was expected', async (t) => {
  const refuses = (path: string, expected: RegExp): void => {
    t.throws(() => read_recording(path), { name: 'FormatError', message: expected });
  };
  refuses(join(dir, 'missing.jsonl'), /missing\.jsonl: there is no such file or folder/);
  refuses(file('empty.jsonl', ''), /expected at least one program/);
  refuses(
    file('text.jsonl', `${JSON.stringify(PROGRAM)}\nTAP version 13\n`),
    /text\.jsonl:2: expected a program as one line of JSON/,
  );
  refuses(file('cut.jsonl.gz', gzipSync(JSON.stringify(PROGRAM)).subarray(0, 40)), /is no whole gzip file/);
  refuses(file('list.jsonl', '[]'), /list\.jsonl:1: expected a JSON object/);
  refuses(recording({ config: { thp: 'sometimes', spm: true } }), /:1 \(program one\): expected "config" to be/);
  refuses(recording({ ops: 'all' }), /expected "ops" to be a list of strings/);
  refuses(recording({ end: 'badly' }), /expected "end" to be/);
  refuses(recording({ results: ['0', '0 [0*4]'] }), /expected 3 results, one for each op, not 2/);
  refuses(recording({ end: { hang: true } }), /expected fewer results than its 3 ops, not 3/);
  refuses(
    recording({ ops: ['0 mmap 16 4 rw anon', '0 jump', '0 load 16 4'] }),
    /\(program one\), op 2: in op "0 jump": expected an op/,
  );
  refuses(
    recording({ results: ['0', '0 [0*5]', '0 [1000+4]'] }),
    /op 2: result of .*: expected a list of 4 values \(it has 5\), not/,
  );
  refuses(recording({ results: ['0', '0 [0*4]', '0 [1000..1003]'] }), /op 3: .* expected a run-length coded list/);
  refuses(recording({ results: ['ok', '0 [0*4]', '0 [1000+4]'] }), /op 1: .* expected -errno or 0, not "ok"/);
  refuses(recording({ results: [0, '0 [0*4]', '0 [1000+4]'] }), /expected a string, not 0/);
});

t.test('programs without answers come from plain text or from a recording', async (t) => {
  const text =
    '# comment\nprogram a thp=never spm=yes theme=fork\n0 open 0   # the first device\n0  fork 1\n\nprogram b\n0 smaps\n';
  t.same(read_programs(file('programs.txt', text)), [
    { id: 'a', theme: 'fork', config: { thp: 'never', spm: true }, ops: ['0 open 0', '0 fork 1'], results: [] },
    { id: 'b', theme: 'own', config: { thp: 'always', spm: false }, ops: ['0 smaps'], results: [] },
  ]);
  t.match(read_programs(file('recorded.txt', JSON.stringify(PROGRAM))), [{ id: 'one', results: [] }]);
  t.throws(() => read_programs(file('headless.txt', '0 open 0\n')), /headless\.txt:1: expected a line "program ID/);
  t.throws(
    () => read_programs(file('header.txt', 'program a thp=on\n')),
    /header\.txt:1: expected thp=always\|madvise\|never/,
  );
  t.throws(() => read_programs(file('op.txt', 'program a\n0 opn 0\n')), /op\.txt:2: in op "0 opn 0": expected an op/);
  t.throws(() => read_programs(file('nothing.txt', '# only this\n')), /expected at least one program/);
});
