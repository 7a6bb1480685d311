// SPDX-License-Identifier: GPL-2.0-only
/*
 * Executes instructions on the CPU that this runs on, each from `count` pseudo-random states, and writes what changed.
 *
 *   cc -O2 -o record record.c && ./record COUNT FIRST < encodings > results
 *
 * encodings: a line per instruction, `HEX base index scale disp setup register`, numbers decimal: its bytes, its memory
 * operand (registers by number, -1 for none; scale 0 to 3) and how the state must be prepared (see prepare()).
 * state.ts makes the same states; `FIRST` is the number of the first state.
 *
 * results, little-endian, for each state: u8 signal; without one u16 flags, u16 mask of changed general registers and u64
 * each, u16 mask of changed xmm registers and 16 bytes each, u16 length of the changed part of the memory, u16 its start
 * and its bytes if the length is not zero.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BASE 0x10000000u /* states */
#define DATA 0x10002000u /* the memory that operands lie in */
#define DATA_BYTES 512
#define MID (DATA + 256)
#define CODE 0x20000000u
#define AT 0x20000800u /* where the instruction is executed */
#define ARCH_SET_GS 0x1001

struct state {
  uint64_t r[16];
  uint64_t flags;
  uint64_t unused;
  uint8_t xmm[16][16];
};

static sigjmp_buf back;
static volatile int got;

static void handler(int sig) {
  got = sig;
  siglongjmp(back, 1);
}

static uint32_t seed;
static uint32_t random32(void) {
  uint32_t z = seed += 0x9e3779b9u;
  z ^= z >> 16;
  z *= 0x21f0aaadu;
  z ^= z >> 15;
  z *= 0x735a2d97u;
  return z ^ (z >> 15);
}

static uint64_t random64(void) {
  uint64_t lo = random32();
  return lo | (uint64_t)random32() << 32;
}

static const uint64_t special[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff,
  0x8000000000000000, 0xffffffffffffffff, 0xffff, 0x100000000 };
/* zeros, ones, infinities, NaNs quiet and signalling, denormals, the limits of integers, halves */
static const uint64_t doubles[] = { 0, 0x8000000000000000, 0x3ff0000000000000, 0xbff0000000000000, 0x7ff0000000000000, 0xfff0000000000000,
  0x7ff8000000000123, 0xfff4000000000456, 0x0000000000000001, 0x000fffffffffffff, 0x41dfffffffc00000, 0x41e0000000000000, 0xc1e0000000000000,
  0x43e0000000000000, 0x4004000000000000, 0x3fe0000000000000 };
static const uint32_t singles[] = { 0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00123, 0xffa00456, 0x00000001, 0x007fffff,
  0x4effffff, 0x4f000000, 0xcf000000, 0x5f000000, 0x40200000, 0x3f000000 };

static uint64_t value(void) {
  uint32_t k = random32() & 7;
  if (k < 3) return special[random32() & 15];
  if (k < 5) return random32() & 0xffff;
  return random64();
}

static uint64_t lane(void) {
  uint32_t k = random32() & 7;
  if (k < 2) return doubles[random32() & 15];
  if (k < 4) {
    uint64_t lo = singles[random32() & 15];
    return lo | (uint64_t)singles[random32() & 15] << 32;
  }
  return value();
}

/*
 * setup: '-' none; 's' string: rsi and rdi into the data, rcx small, the direction flag random; 'b' the register is a bit
 * number near zero; 'd' rdx extends rax in three of four states; 'c' the operand (register, or -1 for memory) equals the
 * accumulator in half of the states; 'p' as 'c' for a pair of 32-bit registers; 'r' rcx small; 'l' rcx small and not zero
 */
static void prepare(struct state *s, uint8_t *data, int base, int index, int scale, int64_t disp, char setup, int reg) {
  for (int i = 0; i < 16; i++) s->r[i] = value();
  s->r[4] = MID;
  s->flags = 0x202 | (random32() & 0x8d5);
  for (int i = 0; i < 32; i++) {
    uint64_t v = lane();
    memcpy(s->xmm[i / 2] + i % 2 * 8, &v, 8);
  }
  for (int i = 0; i < DATA_BYTES / 8; i++) {
    uint64_t v = lane();
    memcpy(data + i * 8, &v, 8);
  }
  uint32_t k = random32();
  if (setup == 'b') s->r[reg] = (uint64_t)(int64_t)((int)(k & 0x7ff) - 0x400);
  if (setup == 'd' && (k & 3) != 0) s->r[2] = (k & 3) == 1 && s->r[0] >> 63 ? ~0ull : 0;
  if (setup == 'r') s->r[1] = k & 7;
  if (setup == 'l') s->r[1] = (k & 7) + 1;
  if (index >= 0 && index != base) {
    s->r[index] = base >= 0 ? (s->r[index] & 7) : (uint64_t)((int64_t)MID - disp) >> scale;
    disp += (int64_t)(s->r[index] << scale);
  }
  if (base >= 0) {
    if (index == base) s->r[base] = (uint64_t)((int64_t)MID - disp) / (1 + (1 << scale));
    else s->r[base] = (uint64_t)((int64_t)MID - disp);
  }
  if (setup == 's') {
    s->r[6] = MID - 96 + (k & 31);
    s->r[7] = MID + 64 + (k >> 5 & 31);
    s->r[1] = k >> 10 & 7;
    s->flags |= (k >> 13 & 1) << 10;
    /* half of the states compare equal for a while */
    if (k >> 14 & 1) memset(data, 0x5a, DATA_BYTES);
  }
  if (setup == 'c' && (k & 1)) {
    if (reg >= 0) {
      s->r[reg] = s->r[0];
    } else {
      memcpy(data + 256, &s->r[0], 8);
      memcpy(data + 264, &s->r[2], 8);
    }
  }
  if (setup == 'p' && (k & 1)) {
    memcpy(data + 256, &s->r[0], 4);
    memcpy(data + 260, &s->r[2], 4);
  }
}

static uint8_t *p;
static void emit(const char *hex) {
  for (unsigned v; *hex; hex += 2) {
    sscanf(hex, "%2x", &v);
    *p++ = v;
  }
}
static void emit32(uint32_t v) {
  memcpy(p, &v, 4);
  p += 4;
}
/* mov between a general register and an absolute address; movdqu of an xmm register */
static void mov(int opcode, int r, uint32_t at) {
  *p++ = 0x48 | (r >> 3) << 2;
  *p++ = opcode;
  *p++ = (r & 7) << 3 | 4;
  *p++ = 0x25;
  emit32(at);
}
static void movdqu(int opcode, int r, uint32_t at) {
  *p++ = 0xf3;
  if (r > 7) *p++ = 0x44;
  *p++ = 0x0f;
  *p++ = opcode;
  *p++ = (r & 7) << 3 | 4;
  *p++ = 0x25;
  emit32(at);
}

static void write_code(const uint8_t *insn, int n) {
  p = (uint8_t *)(uintptr_t)CODE;
  emit("535541544155415641570fae1c25"); /* pushes, stmxcsr */
  emit32(BASE + 0x808);
  emit("0fae1425"); /* ldmxcsr */
  emit32(BASE + 0x80c);
  mov(0x89, 4, BASE + 0x800);
  emit("48c7c4");
  emit32(BASE + 0xf00);
  emit("ff3425");
  emit32(BASE + 128);
  emit("9d");
  for (int i = 0; i < 16; i++) movdqu(0x6f, i, BASE + 144 + i * 16);
  for (int i = 0; i < 16; i++) if (i != 4) mov(0x8b, i, BASE + i * 8);
  mov(0x8b, 4, BASE + 32);
  *p++ = 0xe9;
  emit32(AT - ((uint32_t)(uintptr_t)p + 4));
  p = (uint8_t *)(uintptr_t)AT;
  memcpy(p, insn, n);
  p += n;
  for (int i = 0; i < 16; i++) mov(0x89, i, BASE + 0x400 + i * 8);
  emit("48c7c4");
  emit32(BASE + 0xf00);
  emit("9c8f0425");
  emit32(BASE + 0x400 + 128);
  for (int i = 0; i < 16; i++) movdqu(0x7f, i, BASE + 0x400 + 144 + i * 16);
  mov(0x8b, 4, BASE + 0x800);
  emit("0fae1425");
  emit32(BASE + 0x808);
  emit("415f415e415d415c5d5bfcc3");
}

static void put(const void *from, size_t n) {
  fwrite(from, 1, n, stdout);
}
static void put16(unsigned v) {
  uint8_t b[2] = { v, v >> 8 };
  put(b, 2);
}

static void write_result(const struct state *in, const struct state *out, const uint8_t *before, const uint8_t *after) {
  unsigned mask = 0;
  put16(out->flags & 0xffff);
  for (int i = 0; i < 16; i++) mask |= (in->r[i] != out->r[i]) << i;
  put16(mask);
  for (int i = 0; i < 16; i++) if (mask >> i & 1) put(&out->r[i], 8);
  mask = 0;
  for (int i = 0; i < 16; i++) mask |= (memcmp(in->xmm[i], out->xmm[i], 16) != 0) << i;
  put16(mask);
  for (int i = 0; i < 16; i++) if (mask >> i & 1) put(out->xmm[i], 16);
  int from = 0, to = DATA_BYTES;
  while (from < to && before[from] == after[from]) from++;
  while (to > from && before[to - 1] == after[to - 1]) to--;
  put16(to - from);
  if (to > from) {
    put16(from);
    put(after + from, to - from);
  }
}

int main(int argc, char **argv) {
  int count = argc > 1 ? atoi(argv[1]) : 32;
  uint32_t first = argc > 2 ? strtoul(argv[2], 0, 10) : 0;
  const int rw = PROT_READ | PROT_WRITE, fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  uint8_t *base = mmap((void *)(uintptr_t)BASE, 0x4000, rw, fixed, -1, 0);
  mmap((void *)(uintptr_t)CODE, 0x1000, rw | PROT_EXEC, fixed, -1, 0);
  static uint8_t stack[65536];
  stack_t ss = { .ss_sp = stack, .ss_size = sizeof stack };
  sigaltstack(&ss, 0);
  struct sigaction sa = { .sa_handler = handler, .sa_flags = SA_ONSTACK | SA_NODEFER };
  const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &sa, 0);
  syscall(SYS_arch_prctl, ARCH_SET_GS, (unsigned long)DATA);
  *(uint32_t *)(base + 0x80c) = 0x1f80;
  struct state *in = (void *)base, *out = (void *)(base + 0x400);
  uint8_t *data = base + 0x2000;
  static uint8_t before[DATA_BYTES];
  char hex[64], setup;
  int b, i, s, reg;
  long long disp;
  while (scanf("%63s %d %d %d %lld %c %d", hex, &b, &i, &s, &disp, &setup, &reg) == 7) {
    uint8_t insn[32];
    int n = strlen(hex) / 2;
    uint32_t hash = 2166136261u;
    for (int k = 0; k < n; k++) {
      unsigned v;
      sscanf(hex + 2 * k, "%2x", &v);
      insn[k] = v;
      hash = (hash ^ v) * 16777619u;
    }
    write_code(insn, n);
    for (int k = 0; k < count; k++) {
      seed = hash + (first + k) * 0x85ebca6bu;
      prepare(in, data, b, i, s, disp, setup, reg);
      memcpy(before, data, DATA_BYTES);
      struct state start = *in;
      got = 0;
      if (!sigsetjmp(back, 1)) ((void (*)(void))(uintptr_t)CODE)();
      uint8_t sig = got;
      put(&sig, 1);
      if (!sig) write_result(&start, out, before, data);
    }
  }
  return 0;
}
