// SPDX-License-Identifier: GPL-2.0-only
// The opcode maps. NON-KERNEL throughout.

import type { CpuLevel } from './cpu.ts';

/**
 * The opcode maps, in the notation of the processor manuals' appendix A. A row is `opcode mnemonic operands`; rows of
 * one
 * opcode differ by `/n` (the reg field of ModRM), by a mandatory prefix (66, f3, f2; np is none of the three) or by
 * `m` and `r` (memory or register form). A range such as 40-47 is eight rows. Operand letters:
 *
 *   E r/m   G reg   M memory only   R register r/m only   Z low three bits of the opcode   I immediate   J relative
 *   S memory at rsi   D memory at rdi   B memory at rbx   O absolute address   A accumulator   C cl   1 one      W
 *   xmm or memory   V xmm of reg   U xmm of r/m only   H VEX.vvvv
 *   sizes: b w d q bytes 1 2 4 8   v operand size   z immediate of at most 32 bits   y 4 or 8 (REX.W)   n 8, or 2
 *   with 66
 *          x whole vector, o 16, s d of W: 4 and 8 (ss, sd)   h half a vector   p memory of any size
 *
 * A word after the operands: the level that has the instruction (v2, v3), `nolock`, or `w1`/`w0` for the REX.W that
 * it needs.
 */
export interface Row {
  readonly name: string;
  readonly operands: readonly string[];
  /** reg field of ModRM that the row is for, or -1 */
  readonly group: number;
  readonly prefix: 'np' | '66' | 'f3' | 'f2' | null;
  readonly form: 'm' | 'r' | null;
  readonly w: 0 | 1 | null;
  readonly level: CpuLevel;
  readonly cc: boolean;
}

const ALU = ['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor', 'cmp'];
const SHIFT = ['rol', 'ror', 'rcl', 'rcr', 'shl', 'shr', 'shl', 'sar'];

const ALU_ROWS = ALU.flatMap((name, k) => {
  const at = (i: number): string => (k * 8 + i).toString(16).padStart(2, '0');
  return [
    `${at(0)} ${name} Eb Gb`,
    `${at(1)} ${name} Ev Gv`,
    `${at(2)} ${name} Gb Eb`,
    `${at(3)} ${name} Gv Ev`,
    `${at(4)} ${name} Ab Ib`,
    `${at(5)} ${name} Av Iz`,
    `80 /${k} ${name} Eb Ib`,
    `81 /${k} ${name} Ev Iz`,
    `83 /${k} ${name} Ev Ib`,
  ];
});

const SHIFT_ROWS = SHIFT.flatMap((name, k) => [
  `c0 /${k} ${name} Eb Ib`,
  `c1 /${k} ${name} Ev Ib`,
  `d0 /${k} ${name} Eb 1`,
  `d1 /${k} ${name} Ev 1`,
  `d2 /${k} ${name} Eb C`,
  `d3 /${k} ${name} Ev C`,
]);

const ONE_BYTE = `
50-57 push Zn
58-5f pop Zn
63 movsxd Gv Ed
68 push Iz n
69 imul Gv Ev Iz
6a push Ib n
6b imul Gv Ev Ib
6c-6f privileged
70-7f jcc Jb
84 test Eb Gb
85 test Ev Gv
86 xchg Eb Gb
87 xchg Ev Gv
88 mov Eb Gb
89 mov Ev Gv
8a mov Gb Eb
8b mov Gv Ev
8c r movseg Rv Gw
8c m movseg Mw Gw
8d lea Gv Mp
8e unimplemented Ew
8f /0 pop En
90-97 xchg Av Zv
98 cbw
99 cwd
9b fwait
9c pushf n
9d popf n
9e sahf
9f lahf
a0 mov Ab Ob
a1 mov Av Ov
a2 mov Ob Ab
a3 mov Ov Av
a4 movs Db Sb
a5 movs Dv Sv
a6 cmps Sb Db
a7 cmps Sv Dv
a8 test Ab Ib
a9 test Av Iz
aa stos Db
ab stos Dv
ac lods Sb
ad lods Sv
ae scas Db
af scas Dv
b0-b7 mov Zb Ib
b8-bf mov Zv Iv
c2 ret Iw
c3 ret
c6 /0 mov Eb Ib
c7 /0 mov Ev Iz
c8 enter Iw Ib n
c9 leave n
ca unimplemented Iw
cb unimplemented
cc int3
cd privileged Ib
cf unimplemented
d7 xlat Bb
e0 loopne Jb
e1 loope Jb
e2 loop Jb
e3 jrcxz Jb
e4-e7 privileged Ib
e8 call Jz
e9 jmp Jz
eb jmp Jb
ec-ef privileged
f1 unimplemented
f4 privileged
f5 cmc
f6 /0 test Eb Ib
f6 /1 test Eb Ib
f6 /2 not Eb
f6 /3 neg Eb
f6 /4 mul Eb
f6 /5 imul Eb
f6 /6 div Eb
f6 /7 idiv Eb
f7 /0 test Ev Iz
f7 /1 test Ev Iz
f7 /2 not Ev
f7 /3 neg Ev
f7 /4 mul Ev
f7 /5 imul Ev
f7 /6 div Ev
f7 /7 idiv Ev
f8 clc
f9 stc
fa-fb privileged
fc cld
fd std
fe /0 inc Eb
fe /1 dec Eb
ff /0 inc Ev
ff /1 dec Ev
ff /2 call En
ff /3 m unimplemented Mp
ff /4 jmp En
ff /5 m unimplemented Mp
ff /6 push En
`;

const TWO_BYTE = `
00 unimplemented Ew
02-03 unimplemented Gv Ew
05 syscall
06-07 privileged
08-09 privileged
0d m nop Ep
18 nop Ep
19-1f nop Ep
20-23 privileged Ed
30 privileged
31 rdtsc
32-33 privileged
34-35 unimplemented
40-4f cmovcc Gv Ev
80-8f jcc Jz
90-9f setcc Eb
a0 unimplemented
a1 unimplemented
a2 cpuid
a3 bt Ev Gv
a4 shld Ev Gv Ib
a5 shld Ev Gv C
a8 unimplemented
a9 unimplemented
ab bts Ev Gv
ac shrd Ev Gv Ib
ad shrd Ev Gv C
ae np /0 m fxsave Mp
ae np /1 m fxrstor Mp
ae np /2 m ldmxcsr Md
ae np /3 m stmxcsr Md
ae np /5 r fence Rd
ae np /6 r fence Rd
ae np /7 r fence Rd
ae np /7 m clflush Mb
af imul Gv Ev
b0 cmpxchg Eb Gb
b1 cmpxchg Ev Gv
b2 unimplemented Mp
b3 btr Ev Gv
b4 unimplemented Mp
b5 unimplemented Mp
b6 movzx Gv Eb
b7 movzx Gv Ew
b8 f3 popcnt Gv Ev v2
ba /4 bt Ev Ib
ba /5 bts Ev Ib
ba /6 btr Ev Ib
ba /7 btc Ev Ib
bb btc Ev Gv
bc f3 tzcnt Gv Ev v3
bc bsf Gv Ev
bd f3 lzcnt Gv Ev v3
bd bsr Gv Ev
be movsx Gv Eb
bf movsx Gv Ew
c0 xadd Eb Gb
c1 xadd Ev Gv
c3 np movnti My Gy
c7 /1 m w0 cmpxchg8b Mq
c7 /1 m w1 cmpxchg16b Mo v2
c8-cf bswap Zv

01 /0 m privileged Mp
01 /1 m privileged Mp
01 /2 m privileged Mp
01 /3 m privileged Mp
01 /4 unimplemented Ew
01 /6 privileged Ew
01 /7 m privileged Mp

10 np movups Vo Wo
10 66 movups Vo Wo
10 f3 movss Vs Ws
10 f2 movsd Vd Wd
11 np movups Wo Vo
11 66 movups Wo Vo
11 f3 movss Ws Vs
11 f2 movsd Wd Vd
12 np m movlps Vd Mq
12 np r movhlps Vo Uo
12 66 m movlps Vd Mq
12 f3 movsldup Vo Wo v2
12 f2 movddup Vo Wd v2
13 np movlps Mq Vd
13 66 movlps Mq Vd
14 np unpcklps Vo Wo
14 66 punpcklqdq Vo Wo
15 np unpckhps Vo Wo
15 66 punpckhqdq Vo Wo
16 np m movhps Vd Mq
16 np r movlhps Vo Uo
16 66 m movhps Vd Mq
16 f3 movshdup Vo Wo v2
17 np movhps Mq Vd
17 66 movhps Mq Vd
28 np movaps Vo Wo
28 66 movaps Vo Wo
29 np movaps Wo Vo
29 66 movaps Wo Vo
2a np unimplemented Vo Wq
2a 66 unimplemented Vo Wq
2a f3 cvtsi2ss Vs Ey
2a f2 cvtsi2sd Vd Ey
2b np movntps Mo Vo
2b 66 movntps Mo Vo
2c np unimplemented Vo Wo
2c 66 unimplemented Vo Wo
2c f3 cvttss2si Gy Ws
2c f2 cvttsd2si Gy Wd
2d np unimplemented Vo Wo
2d 66 unimplemented Vo Wo
2d f3 cvtss2si Gy Ws
2d f2 cvtsd2si Gy Wd
2e np comiss Vs Ws
2e 66 comisd Vd Wd
2f np comiss Vs Ws
2f 66 comisd Vd Wd
50 np movmskps Gd Uo
50 66 movmskpd Gd Uo
51 np sqrtps Vo Wo
51 66 sqrtpd Vo Wo
51 f3 sqrtss Vs Ws
51 f2 sqrtsd Vd Wd
52 np rsqrtps Vo Wo
52 f3 rsqrtss Vs Ws
53 np rcpps Vo Wo
53 f3 rcpss Vs Ws
54 np pand Vo Wo
54 66 pand Vo Wo
55 np pandn Vo Wo
55 66 pandn Vo Wo
56 np por Vo Wo
56 66 por Vo Wo
57 np pxor Vo Wo
57 66 pxor Vo Wo
58 np addps Vo Wo
58 66 addpd Vo Wo
58 f3 addss Vs Ws
58 f2 addsd Vd Wd
59 np mulps Vo Wo
59 66 mulpd Vo Wo
59 f3 mulss Vs Ws
59 f2 mulsd Vd Wd
5a np cvtps2pd Vo Wd
5a 66 cvtpd2ps Vo Wo
5a f3 cvtss2sd Vo Ws
5a f2 cvtsd2ss Vo Wd
5b np cvtdq2ps Vo Wo
5b 66 cvtps2dq Vo Wo
5b f3 cvttps2dq Vo Wo
5c np subps Vo Wo
5c 66 subpd Vo Wo
5c f3 subss Vs Ws
5c f2 subsd Vd Wd
5d np minps Vo Wo
5d 66 minpd Vo Wo
5d f3 minss Vs Ws
5d f2 minsd Vd Wd
5e np divps Vo Wo
5e 66 divpd Vo Wo
5e f3 divss Vs Ws
5e f2 divsd Vd Wd
5f np maxps Vo Wo
5f 66 maxpd Vo Wo
5f f3 maxss Vs Ws
5f f2 maxsd Vd Wd
60 66 punpcklbw Vo Wo
61 66 punpcklwd Vo Wo
62 66 punpckldq Vo Wo
63 66 packsswb Vo Wo
64 66 pcmpgtb Vo Wo
65 66 pcmpgtw Vo Wo
66 66 pcmpgtd Vo Wo
67 66 packuswb Vo Wo
68 66 punpckhbw Vo Wo
69 66 punpckhwd Vo Wo
6a 66 punpckhdq Vo Wo
6b 66 packssdw Vo Wo
6c 66 punpcklqdq Vo Wo
6d 66 punpckhqdq Vo Wo
6e 66 movd Vo Ey
6f 66 movdqa Vo Wo
6f f3 movdqu Vo Wo
70 66 pshufd Vo Wo Ib
70 f3 pshufhw Vo Wo Ib
70 f2 pshuflw Vo Wo Ib
71 66 /2 psrlw Uo Ib
71 66 /4 psraw Uo Ib
71 66 /6 psllw Uo Ib
72 66 /2 psrld Uo Ib
72 66 /4 psrad Uo Ib
72 66 /6 pslld Uo Ib
73 66 /2 psrlq Uo Ib
73 66 /3 psrldq Uo Ib
73 66 /6 psllq Uo Ib
73 66 /7 pslldq Uo Ib
74 66 pcmpeqb Vo Wo
75 66 pcmpeqw Vo Wo
76 66 pcmpeqd Vo Wo
7c 66 haddpd Vo Wo v2
7c f2 haddps Vo Wo v2
7d 66 hsubpd Vo Wo v2
7d f2 hsubps Vo Wo v2
7e 66 movd Ey Vo
7e f3 movq Vo Wd
7f 66 movdqa Wo Vo
7f f3 movdqu Wo Vo
c2 np cmpps Vo Wo Ib
c2 66 cmppd Vo Wo Ib
c2 f3 cmpss Vs Ws Ib
c2 f2 cmpsd Vd Wd Ib
c4 66 pinsrw Vo Ew Ib
c5 66 pextrw Gd Uo Ib
c6 np shufps Vo Wo Ib
c6 66 shufpd Vo Wo Ib
d0 66 addsubpd Vo Wo v2
d0 f2 addsubps Vo Wo v2
d1 66 psrlw Vo Wo
d2 66 psrld Vo Wo
d3 66 psrlq Vo Wo
d4 66 paddq Vo Wo
d5 66 pmullw Vo Wo
d6 66 movq Wd Vo
d7 66 pmovmskb Gd Uo
d8 66 psubusb Vo Wo
d9 66 psubusw Vo Wo
da 66 pminub Vo Wo
db 66 pand Vo Wo
dc 66 paddusb Vo Wo
dd 66 paddusw Vo Wo
de 66 pmaxub Vo Wo
df 66 pandn Vo Wo
e0 66 pavgb Vo Wo
e1 66 psraw Vo Wo
e2 66 psrad Vo Wo
e3 66 pavgw Vo Wo
e4 66 pmulhuw Vo Wo
e5 66 pmulhw Vo Wo
e6 66 cvttpd2dq Vo Wo
e6 f3 cvtdq2pd Vo Wd
e6 f2 cvtpd2dq Vo Wo
e7 66 movntps Mo Vo
e8 66 psubsb Vo Wo
e9 66 psubsw Vo Wo
ea 66 pminsw Vo Wo
eb 66 por Vo Wo
ec 66 paddsb Vo Wo
ed 66 paddsw Vo Wo
ee 66 pmaxsw Vo Wo
ef 66 pxor Vo Wo
f0 f2 movdqu Vo Mo v2
f1 66 psllw Vo Wo
f2 66 pslld Vo Wo
f3 66 psllq Vo Wo
f4 66 pmuludq Vo Wo
f5 66 pmaddwd Vo Wo
f6 66 psadbw Vo Wo
f7 66 maskmovdqu Vo Uo Do
f8 66 psubb Vo Wo
f9 66 psubw Vo Wo
fa 66 psubd Vo Wo
fb 66 psubq Vo Wo
fc 66 paddb Vo Wo
fd 66 paddw Vo Wo
fe 66 paddd Vo Wo
`;

const THREE_BYTE_38 = `
00 66 pshufb Vo Wo
01 66 phaddw Vo Wo
02 66 phaddd Vo Wo
03 66 phaddsw Vo Wo
04 66 pmaddubsw Vo Wo
05 66 phsubw Vo Wo
06 66 phsubd Vo Wo
07 66 phsubsw Vo Wo
08 66 psignb Vo Wo
09 66 psignw Vo Wo
0a 66 psignd Vo Wo
0b 66 pmulhrsw Vo Wo
10 66 pblendvb Vo Wo
14 66 blendvps Vo Wo
15 66 blendvpd Vo Wo
17 66 ptest Vo Wo
1c 66 pabsb Vo Wo
1d 66 pabsw Vo Wo
1e 66 pabsd Vo Wo
20 66 pmovsxbw Vo Wd
21 66 pmovsxbd Vo Ws
22 66 pmovsxbq Vo Ww
23 66 pmovsxwd Vo Wd
24 66 pmovsxwq Vo Ws
25 66 pmovsxdq Vo Wd
28 66 pmuldq Vo Wo
29 66 pcmpeqq Vo Wo
2a 66 movdqa Vo Mo
2b 66 packusdw Vo Wo
30 66 pmovzxbw Vo Wd
31 66 pmovzxbd Vo Ws
32 66 pmovzxbq Vo Ww
33 66 pmovzxwd Vo Wd
34 66 pmovzxwq Vo Ws
35 66 pmovzxdq Vo Wd
37 66 pcmpgtq Vo Wo
38 66 pminsb Vo Wo
39 66 pminsd Vo Wo
3a 66 pminuw Vo Wo
3b 66 pminud Vo Wo
3c 66 pmaxsb Vo Wo
3d 66 pmaxsd Vo Wo
3e 66 pmaxuw Vo Wo
3f 66 pmaxud Vo Wo
40 66 pmulld Vo Wo
41 66 phminposuw Vo Wo
f0 f2 crc32 Gy Eb
f1 f2 crc32 Gy Ev
`;

const THREE_BYTE_3A = `
08 66 roundps Vo Wo Ib
09 66 roundpd Vo Wo Ib
0a 66 roundss Vs Ws Ib
0b 66 roundsd Vd Wd Ib
0c 66 blendps Vo Wo Ib
0d 66 blendpd Vo Wo Ib
0e 66 pblendw Vo Wo Ib
0f 66 palignr Vo Wo Ib
14 66 r pextrb Rd Vo Ib
14 66 m pextrb Mb Vo Ib
15 66 r pextrw Rd Vo Ib
15 66 m pextrw Mw Vo Ib
16 66 pextrd Ey Vo Ib
17 66 pextrd Ed Vo Ib
20 66 r pinsrb Vo Rd Ib
20 66 m pinsrb Vo Mb Ib
21 66 insertps Vo Ws Ib
22 66 pinsrd Vo Ey Ib
40 66 dpps Vo Wo Ib
41 66 dppd Vo Wo Ib
42 66 mpsadbw Vo Wo Ib
60 66 pcmpestrm Vo Wo Ib y
61 66 pcmpestri Vo Wo Ib y
62 66 pcmpistrm Vo Wo Ib
63 66 pcmpistri Vo Wo Ib
`;

/** Opcodes of the two-byte map that are MMX's without a prefix; they share the x87 registers. */
const MMX = /^(0f|2[acd]|6[0-9abcdef]|7[0-7ef]|c[45]|d[1-9a-f]|e[0-9a-f]|f[1-9a-f])$/;

function parse(text: string, level: CpuLevel = 'v1'): Row[][] {
  const map: Row[][] = Array.from({ length: 256 }, () => []);
  for (const line of text.trim().split('\n')) {
    if (line === '') continue;
    const words = line.trim().split(/\s+/);
    const [from, to] = (words.shift() as string).split('-') as [string, string | undefined];
    const row = {
      name: '',
      operands: [] as string[],
      group: -1,
      prefix: null,
      form: null,
      w: null,
      level,
      cc: false,
    } as {
      -readonly [K in keyof Row]: Row[K];
    } & { operands: string[] };
    for (const word of words) {
      if (row.name === '') {
        if (word === 'np' || word === '66' || word === 'f3' || word === 'f2') row.prefix = word;
        else if (word === 'm' || word === 'r') row.form = word;
        else if (word === 'w0' || word === 'w1') row.w = word === 'w1' ? 1 : 0;
        else if (word.startsWith('/')) row.group = Number(word.slice(1));
        else row.name = word;
      } else if (word === 'v2' || word === 'v3') {
        row.level = word;
      } else {
        row.operands.push(word);
      }
    }
    row.cc = row.name.endsWith('cc');
    const last = Number.parseInt(to ?? from, 16);
    for (let op = Number.parseInt(from, 16); op <= last; op++) map[op].push(row);
  }
  return map;
}

export const MAP_1: readonly (readonly Row[])[] = parse([...ALU_ROWS, ...SHIFT_ROWS].join('\n') + ONE_BYTE);
export const MAP_0F: readonly (readonly Row[])[] = parse(TWO_BYTE);

export const MAP_0F38: readonly (readonly Row[])[] = parse(THREE_BYTE_38, 'v2');
export const MAP_0F3A: readonly (readonly Row[])[] = parse(THREE_BYTE_3A, 'v2');

/** True for an opcode of the two-byte map that without prefix works on MMX registers. */
export function is_mmx(opcode: number): boolean {
  return MMX.test(opcode.toString(16).padStart(2, '0'));
}
