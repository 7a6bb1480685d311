// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { c_definitions } from './c_definitions.ts';

const names = async (text: string): Promise<string[]> =>
  (await c_definitions(text)).map((it) => `${it.kind} ${it.name}`);
const digest = async (text: string): Promise<string> => (await c_definitions(text))[0].digest;

t.test('functions, macros and types are found, under conditions and behind attributes too', async (t) => {
  t.same(
    await names(`
#define SIX 6
#define twice(x) ((x) * 2)
struct pair { int a, b; };
enum kind { ONE, TWO };
struct pair;
static inline int plain(void) { return 1; }
#ifdef CONFIG_A
static int __init early(void)
{
	return 2;
}
#else
static struct pair *pointer(int n) { return 0; }
#endif
int declared_only(int n);
`),
    ['macro SIX', 'macro twice', 'type pair', 'type kind', 'function plain', 'function early', 'function pointer'],
  );
});

t.test('a system call has the name that its macro gives it', async (t) => {
  const text = 'SYSCALL_DEFINE2(half, struct pair __user *, p,\n\t\tint, n)\n{\n\treturn n / 2;\n}\n';
  const [it] = await c_definitions(text);
  t.equal(it.name, 'half');
  t.equal(it.first, 1);
  t.equal(it.last, 5);
  t.not(it.digest, await digest(text.replace('int, n', 'long, n')), 'its parameters count');
});

t.test('comments and white space do not count, all else does', async (t) => {
  const text = 'int f(int a)\n{\n\treturn a + 1;\n}\n';
  t.equal(await digest('int f(int a) { /* one more */ return a + 1; // so\n}\n'), await digest(text));
  t.not(await digest(text.replace('1', '2')), await digest(text));
  t.equal(await digest('#define A(x) \\\n\t((x) /* that */ + 1)\n'), await digest('#define A(x) ((x)  + 1)\n'));
});

t.test('what cannot be read costs no function beside it', async (t) => {
  const broken = 'int f(void)\n{\n\tfor_each_thing(a, b) if (a) {\n\t@@ ((\n}\n';
  const found = await names(`int before(void)\n{\n\treturn 0;\n}\n${broken}\nint after(void)\n{\n\treturn 1;\n}\n`);
  t.ok(found.includes('function before'));
  t.ok(found.includes('function after'));
});
