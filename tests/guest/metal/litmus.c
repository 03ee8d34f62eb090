/*
 * Memory-model litmus tests on two harts, bare metal (unprivileged ISA 20240411, chapter "RVWMO"). Each test is two
 * short programs on the words x and y, which are 0 at first; its row says which outcomes are allowed and which are not.
 * Both harts meet before each turn and then wait a few random instructions. Every outcome is counted and printed; one
 * that is not allowed ends the run with the number of its test as exit status. -DSECONDS=N: how long all of it takes.
 * SPDX-License-Identifier: MIT
 */
#include "frame.h"

#ifndef SECONDS
#define SECONDS 4
#endif
enum {
    TICKS_PER_SECOND = 10000000,
    TURNS = 100,
    OUTCOMES = 9
};

/* ---- console ---- */
static void print_number(ulong v, unsigned width)
{
    char text[24], *p = text + sizeof text;
    *--p = 0;
    do {
        *--p = '0' + v % 10;
        v /= 10;
    } while (v);
    for (unsigned n = text + sizeof text - 1 - p; n < width; n++)
        print(" ");
    print(p);
}
void trap(void *frame)
{
    (void)frame;
    print("unexpected trap\n");
    finish(200);
}

/* ---- programs ---- */

/* An outcome is 3 * a + b, a and b being 0 .. 2: each hart returns its part of it. */
typedef ulong Program(volatile uint32_t *x, volatile uint32_t *y);
#define PROGRAM(name, code, result)                                                        \
    static ulong name(volatile uint32_t *x, volatile uint32_t *y)                          \
    {                                                                                      \
        ulong a = 0, b = 0, t = 0;                                                         \
        __asm__ volatile(code : "+&r"(a), "+&r"(b), "+&r"(t) : "r"(x), "r"(y) : "memory"); \
        return result;                                                                     \
    }
/* %0 a, %1 b, %2 t, %3 x, %4 y */
#define STORE(at, n)   "li %2, " #n "\n sw %2, (" at ")\n"
#define LOAD(r, at)    "lw " r ", (" at ")\n"
#define FENCE(p, s)    "fence " #p ", " #s "\n"
#define AMO(op, r, at) "li %2, 1\n amo" op " " r ", %2, (" at ")\n"
#define X              "%3"
#define Y              "%4"
#define A              "%0"
#define B              "%1"

PROGRAM(mp_write, STORE(X, 1) STORE(Y, 1), 0)
PROGRAM(mp_write_fence, STORE(X, 1) FENCE(w, w) STORE(Y, 1), 0)
PROGRAM(mp_write_release, STORE(X, 1) AMO("swap.w.rl", A, Y), 0)
PROGRAM(mp_read, LOAD(A, Y) LOAD(B, X), 3 * a + b)
PROGRAM(mp_read_fence, LOAD(A, Y) FENCE(r, r) LOAD(B, X), 3 * a + b)
PROGRAM(mp_read_acquire, "amoor.w.aq %0, zero, (%4)\n" LOAD(B, X), 3 * a + b)
PROGRAM(mp_read_lr_acquire, "lr.w.aq %0, (%4)\n" LOAD(B, X), 3 * a + b)
PROGRAM(mp_read_address, LOAD(A, Y) "xor %2, %0, %0\n add %2, %2, %3\n lw %1, (%2)\n", 3 * a + b)

PROGRAM(sb_0, STORE(X, 1) LOAD(A, Y), 3 * a)
PROGRAM(sb_1, STORE(Y, 1) LOAD(B, X), b)
PROGRAM(sb_0_fence, STORE(X, 1) FENCE(rw, rw) LOAD(A, Y), 3 * a)
PROGRAM(sb_1_fence, STORE(Y, 1) FENCE(rw, rw) LOAD(B, X), b)
PROGRAM(sb_0_wr, STORE(X, 1) FENCE(w, r) LOAD(A, Y), 3 * a)
PROGRAM(sb_1_wr, STORE(Y, 1) FENCE(w, r) LOAD(B, X), b)
PROGRAM(sb_0_amo, AMO("swap.w.aqrl", B, X) LOAD(A, Y), 3 * a)
PROGRAM(sb_1_amo, AMO("swap.w.aqrl", A, Y) LOAD(B, X), b)

PROGRAM(lb_0, LOAD(A, X) STORE(Y, 1), 3 * a)
PROGRAM(lb_1, LOAD(B, Y) STORE(X, 1), b)
PROGRAM(lb_0_fence, LOAD(A, X) FENCE(rw, rw) STORE(Y, 1), 3 * a)
PROGRAM(lb_1_fence, LOAD(B, Y) FENCE(rw, rw) STORE(X, 1), b)
PROGRAM(lb_0_data, LOAD(A, X) "xor %2, %0, %0\n ori %2, %2, 1\n sw %2, (%4)\n", 3 * a)
PROGRAM(lb_1_data, LOAD(B, Y) "xor %2, %1, %1\n ori %2, %2, 1\n sw %2, (%3)\n", b)

PROGRAM(write_1_2, STORE(X, 1) STORE(X, 2), 0)
PROGRAM(read_twice, LOAD(A, X) LOAD(B, X), 3 * a + b)
PROGRAM(write_read, STORE(X, 1) LOAD(B, X), b)
PROGRAM(write_2, STORE(X, 2), 0)

PROGRAM(two_writes_0, STORE(X, 1) FENCE(w, w) STORE(Y, 2), 0)
PROGRAM(two_writes_1, STORE(Y, 1) FENCE(w, w) STORE(X, 2), 0)
PROGRAM(s_0, STORE(X, 2) FENCE(w, w) STORE(Y, 1), 0)
PROGRAM(s_1, LOAD(A, Y) FENCE(rw, w) STORE(X, 1), 3 * a)
PROGRAM(r_0, STORE(X, 1) FENCE(w, w) STORE(Y, 1), 0)
PROGRAM(r_1, STORE(Y, 2) FENCE(rw, rw) LOAD(A, X), 3 * a)

/* 3: the store-conditional succeeded */
PROGRAM(increment_sc, "lr.w %0, (%3)\n addi %0, %0, 1\n sc.w %1, %0, (%3)\n", b ? 0 : 3)
/* 0: it succeeded after a 0, 3: after something else, 6: it failed */
PROGRAM(reserve, "lr.w %0, (%3)\n li %2, 1\n sc.w %1, %2, (%3)\n", b ? 6 : a ? 3 : 0)
PROGRAM(add_0, AMO("add.w", A, X), 3 * a)
PROGRAM(add_1, AMO("add.w", B, X), b)
/* A lock in x over a counter in y: 3 is "was inside" */
PROGRAM(lock,
        AMO("swap.w.aq", A,
            X) "bnez %0, 1f\n lw %1, (%4)\n addi %1, %1, 1\n sw %1, (%4)\n amoswap.w.rl zero, zero, (%3)\n1:\n",
        a ? 0 : 3)
/* Release and acquire by LR/SC */
PROGRAM(mp_write_sc, STORE(X, 1) "1: lr.w %0, (%4)\n li %2, 1\n sc.w.rl %1, %2, (%4)\n bnez %1, 1b\n", 0)

/* ---- the tests ---- */
enum { FINAL_X = 1, FINAL_Y = 2, FINAL_BOTH = 3 }; /* x, y, or 3 * x + y at the end are part of the outcome */
typedef struct Litmus {
    const char *name;
    Program *program[2];
    const char *verdict; /* by outcome: A allowed, F forbidden */
    int final;
} Litmus;
static const Litmus tests[] = {
    { "MP", { mp_write, mp_read }, "AAFAAFFFF", 0 },
    { "MP+fence.w.w+fence.r.r", { mp_write_fence, mp_read_fence }, "AAFFAFFFF", 0 },
    { "MP+fence.w.w+addr", { mp_write_fence, mp_read_address }, "AAFFAFFFF", 0 },
    { "MP+amo.rl+amo.aq", { mp_write_release, mp_read_acquire }, "AAFFAFFFF", 0 },
    { "MP+amo.rl+lr.aq", { mp_write_release, mp_read_lr_acquire }, "AAFFAFFFF", 0 },
    { "MP+sc.rl+amo.aq", { mp_write_sc, mp_read_acquire }, "AAFFAFFFF", 0 },
    { "SB", { sb_0, sb_1 }, "AAFAAFFFF", 0 },
    { "SB+fence.rw.rws", { sb_0_fence, sb_1_fence }, "FAFAAFFFF", 0 },
    { "SB+fence.w.rs", { sb_0_wr, sb_1_wr }, "FAFAAFFFF", 0 },
    { "SB+amo.aqrls", { sb_0_amo, sb_1_amo }, "FAFAAFFFF", 0 },
    { "LB", { lb_0, lb_1 }, "AAFAAFFFF", 0 },
    { "LB+fence.rw.rws", { lb_0_fence, lb_1_fence }, "AAFAFFFFF", 0 },
    { "LB+datas", { lb_0_data, lb_1_data }, "AAFAFFFFF", 0 },
    { "CoRR", { write_1_2, read_twice }, "AAAFAAFFA", 0 },
    { "CoWR", { write_read, write_2 }, "FAAFFFFFF", 0 },
    { "2+2W+fence.w.ws", { two_writes_0, two_writes_1 }, "FFFFFAFAA", FINAL_BOTH },
    { "S+fence.w.w+fence.rw.w", { s_0, s_1 }, "FAAFAFFFF", FINAL_X },
    { "R+fence.w.w+fence.rw.rw", { r_0, r_1 }, "FAAFAAFFF", FINAL_Y },
    { "LR/SC+LR/SC", { increment_sc, increment_sc }, "AFFFAFFFA", FINAL_X },
    { "LR/SC+store", { reserve, write_2 }, "FFAFAFFFA", FINAL_X },
    { "AMO+AMO", { add_0, add_1 }, "FAFAFFFFF", 0 },
    { "lock.aq+unlock.rl", { lock, lock }, "FFFFAFFFA", FINAL_Y },
};
enum { TESTS = sizeof tests / sizeof *tests };

/* ---- running them ---- */
static struct {
    volatile uint32_t x __attribute__((aligned(64))), y __attribute__((aligned(64)));
} places[TURNS];
static volatile uint8_t part[2][TURNS] __attribute__((aligned(64)));
static volatile uint32_t arrived[2][16] __attribute__((aligned(64))); /* a cache line each */
static volatile uint32_t test_now __attribute__((aligned(64)));

static void fence(void)
{
    __asm__ volatile("fence rw, rw" ::: "memory");
}

/* Both harts come here the same number of times. */
static void meet(unsigned hart)
{
    uint32_t n = arrived[hart][0] + 1;
    fence();
    arrived[hart][0] = n;
    while ((int32_t)(arrived[!hart][0] - n) < 0)
        ;
    fence();
}

static void run_turns(unsigned hart, const Litmus *l, uint32_t *random)
{
    for (unsigned i = 0; i < TURNS; i++) {
        meet(hart);
        *random = *random * 1664525 + 1013904223;
        for (volatile unsigned delay = *random >> 27; delay; delay--)
            ;
        part[hart][i] = l->program[hart](&places[i].x, &places[i].y);
    }
    meet(hart);
}

void secondary(ulong hart)
{
    uint32_t random = 99;
    if (hart == 1)
        for (;;) {
            meet(1); /* test_now is set */
            run_turns(1, &tests[test_now], &random);
        }
}

static void run_batch(unsigned n, ulong counts[OUTCOMES + 1], uint32_t *random)
{
    const Litmus *l = &tests[n];
    for (unsigned i = 0; i < TURNS; i++)
        places[i].x = places[i].y = 0;
    test_now = n;
    meet(0);
    run_turns(0, l, random);
    for (unsigned i = 0; i < TURNS; i++) {
        uint32_t x = places[i].x, y = places[i].y;
        ulong outcome = part[0][i] + part[1][i] +
                        (l->final == FINAL_BOTH ? 3 * x + y
                         : l->final == FINAL_X  ? x
                         : l->final == FINAL_Y  ? y
                                                : 0);
        counts[outcome < OUTCOMES ? outcome : OUTCOMES]++;
    }
}

/* The outcomes that were seen, with a star where they are forbidden, and those that were not. True: all are allowed. */
static int report(const Litmus *l, const ulong counts[OUTCOMES + 1])
{
    int good = !counts[OUTCOMES];
    print(l->name);
    print(":");
    for (unsigned i = 0; i < OUTCOMES; i++) {
        int forbidden = l->verdict[i] == 'F';
        if (!counts[i] && forbidden)
            continue;
        char text[] = { ' ', ' ', '0' + i / 3, ',', '0' + i % 3, forbidden ? '*' : ' ', 0 };
        print(text);
        print_number(counts[i], 1);
        good &= !forbidden || !counts[i];
    }
    print(good ? "\n" : "  FORBIDDEN\n");
    return good;
}

int main(void)
{
    uint64_t share = (uint64_t)SECONDS * TICKS_PER_SECOND / TESTS;
    uint32_t random = 1;
    int failed = 0;
    ulong turns = 0;
    for (unsigned n = 0; n < TESTS; n++) {
        ulong counts[OUTCOMES + 1] = { 0 };
        uint64_t end = mtime() + share;
        do {
            run_batch(n, counts, &random);
            turns += TURNS;
        } while (mtime() < end);
        if (!report(&tests[n], counts) && !failed)
            failed = n + 1;
    }
    print_number(TESTS, 1);
    print(" litmus tests, ");
    print_number(turns, 1);
    print(failed ? " turns: FAILED\n" : " turns, all passed\n");
    finish(failed);
    return 0;
}
