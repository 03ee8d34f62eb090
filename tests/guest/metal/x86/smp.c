/*
 * Four processors: order of stores (x86-TSO) and locked operations under contention, also across lines and pages (SDM
 * volume 3, sections 9.1 and 9.2). Processors run freely: nothing depends on how they are scheduled.
 * SPDX-License-Identifier: MIT
 */
#include "modes.h"

enum { CPUS = 4, ROUNDS = 20000 };
extern const uint8_t other_code[], other_end[];
static uint8_t memory[3 * 4096] __attribute__((aligned(4096)));
static struct {
    volatile uint32_t value, unused[31];
} data, flag, turn, wants[2], guarded, here, phase, done, x, y, broken;
static unsigned wrong;

static uint32_t fetch_add(volatile uint32_t *p, uint32_t n)
{
    __asm__ volatile("lock xaddl %0, %1" : "+r"(n), "+m"(*p) : : "memory");
    return n;
}
static void pause(void)
{
    __asm__ volatile("pause" : : : "memory");
}

/* Message passing: who sees the flag sees the data, and neither goes back. */
static void messages(unsigned cpu)
{
    uint32_t last = 0;
    if (!cpu) {
        for (uint32_t i = 1; i <= ROUNDS; i++) {
            data.value = i;
            flag.value = i;
        }
        return;
    }
    for (uint32_t f = 0; f < ROUNDS;) {
        f = flag.value;
        uint32_t d = data.value;
        if (d < f || f < last)
            fetch_add(&broken.value, 1);
        last = f;
        pause();
    }
}

/* One order of stores for all: who has seen x = i, which its writer stored behind y = i - 1's being seen, sees that. */
static void causality(unsigned cpu)
{
    if (cpu < 2) {
        volatile uint32_t *mine = cpu ? &y.value : &x.value, *his = cpu ? &x.value : &y.value;
        for (uint32_t i = 1; i <= ROUNDS / 20; i++) {
            while (*his + !cpu < i)
                pause();
            *mine = i;
        }
        return;
    }
    for (uint32_t b = 0; b < ROUNDS / 20; pause()) {
        b = y.value; /* y = b was stored after x = b was seen */
        uint32_t a = x.value;
        if (a < b)
            fetch_add(&broken.value, 1);
    }
}

/* Peterson's lock: a store before a load, kept in order by xchg, mfence or a locked operation. */
static void peterson(unsigned cpu)
{
    if (cpu > 1)
        return;
    for (uint32_t i = 0; i < ROUNDS / 4; i++) {
        wants[cpu].value = 1;
        uint32_t other = !cpu;
        if (i % 3 == 0) {
            __asm__ volatile("xchg %0, %1" : "+r"(other), "+m"(turn.value) : : "memory");
        } else {
            turn.value = other;
            if (i % 3 == 1)
                __asm__ volatile("mfence" : : : "memory");
            else
                __asm__ volatile("lock orl $0, (%%esp)" : : : "memory");
        }
        while (wants[!cpu].value && turn.value == !cpu)
            pause();
        guarded.value++;
        wants[cpu].value = 0;
    }
}

/* Locked operations of several kinds and places: nothing is lost. */
static uint8_t *const places[] = { memory + 64, memory + 126, memory + 4094, memory + 8190, memory + 3 };

static void locked(unsigned cpu)
{
    for (uint32_t i = 0; i < ROUNDS / 4; i++) {
        for (unsigned k = 0; k < sizeof(places) / sizeof(places[0]); k++) {
            uint32_t *p = (uint32_t *)places[k];
            if ((i + cpu) % 3 == 0) {
                __asm__ volatile("lock incl %0" : "+m"(*p));
            } else if ((i + cpu) % 3 == 1) {
                uint32_t n = 1;
                __asm__ volatile("lock xaddl %0, %1" : "+r"(n), "+m"(*p));
            } else {
                uint32_t old = *(volatile uint32_t *)p, was;
                do {
                    was = old;
                    __asm__ volatile("lock cmpxchgl %2, %1" : "+a"(old), "+m"(*p) : "r"(was + 1) : "memory");
                } while (old != was);
            }
        }
        uint64_t *wide = (uint64_t *)(memory + 256);
        __asm__ volatile("1: mov (%0), %%eax; mov 4(%0), %%edx; 2: mov %%eax, %%ebx; mov %%edx, %%ecx; add $1, %%ebx;"
                         "adc $1, %%ecx; lock cmpxchg8b (%0); jne 2b"
                         :
                         : "S"(wide)
                         : "eax", "ebx", "ecx", "edx", "memory");
    }
}

static void (*const tests[])(unsigned cpu) = { messages, causality, peterson, locked };
enum { TESTS = sizeof(tests) / sizeof(tests[0]) };

static void work(unsigned cpu)
{
    for (uint32_t n = 0; n < TESTS; n++) {
        while (phase.value <= n)
            pause();
        tests[n](cpu);
        fetch_add(&done.value, 1);
    }
}

void other(unsigned cpu)
{
    fetch_add(&here.value, 1);
    work(cpu);
}

void put_string(const char *text)
{
    for (; *text; text++) {
        while (!(in8(0x3fd) & 0x20)) {
        }
        out8(0x3f8, (uint8_t)*text);
    }
}

void expect(const char *what, uint32_t value, uint32_t wanted)
{
    wrong += value != wanted;
    put_string(value == wanted ? "ok " : "not ok ");
    put_string(what);
    put_string("\n");
}

static void start_others(void)
{
    volatile uint32_t *icr = (volatile uint32_t *)0xfee00300, *svr = (volatile uint32_t *)0xfee000f0;
    uint32_t at = 0x8000;
    __asm__("" : "+r"(at));
    for (uint32_t i = 0; i < (uint32_t)(other_end - other_code); i++)
        ((volatile uint8_t *)at)[i] = other_code[i];
    *svr |= 0x100;
    *icr = 0xc4500;
    for (unsigned i = 0; i < 10000; i++)
        in8(0x80);
    *icr = 0xc4608;
    while (here.value < CPUS - 1)
        pause();
}

void first(void)
{
    start_others();
    for (uint32_t n = 0; n < TESTS; n++) {
        phase.value = n + 1;
        tests[n](0);
        fetch_add(&done.value, 1);
        while (done.value < CPUS * (n + 1))
            pause();
    }
    expect("stores in order", broken.value, 0);
    expect("a store before a load", guarded.value, 2 * (ROUNDS / 4));
    for (unsigned k = 0; k < sizeof(places) / sizeof(places[0]); k++)
        expect("locked", *(uint32_t *)places[k], CPUS * (ROUNDS / 4));
    expect("cmpxchg8b",
           *(uint32_t *)(memory + 256) == CPUS * (ROUNDS / 4) && *(uint32_t *)(memory + 260) == CPUS * (ROUNDS / 4), 1);
    put_string(wrong ? "failed\n" : "all passed\n");
    out32(0xf4, wrong ? 1 : 0);
    for (;;)
        __asm__ volatile("cli; hlt");
}
