/*
 * Bare-metal RISC-V test of -icount (RV32 and RV64, -M virt -bios none, one hart, -DSHIFT=N): minstret advances by exactly the
 * instructions between two reads, across branches, loops, faults and interrupts; time, mtime and timer interrupts belong to exactly
 * one instruction. The exit status is 0, or the number of the check that failed.
 * SPDX-License-Identifier: MIT
 */
#include <stdint.h>

typedef unsigned long ulong;
#define XLEN __riscv_xlen
#define STR_(x) #x
#define STR(x) STR_(x)

enum { CLINT = 0x2000000, MTIMECMP = CLINT + 0x4000, MTIME = CLINT + 0xbff8, UART = 0x10000000, FINISHER = 0x100000 };
enum { EXCEPTION_INSNS = 7, INTERRUPT_INSNS = 6 }; /* of the handler below */

static void print(const char *s)
{
    while (*s)
        *(volatile uint8_t *)UART = *s++;
}
static void print_hex(ulong v)
{
    for (int i = XLEN - 4; i >= 0; i -= 4)
        *(volatile uint8_t *)UART = "0123456789abcdef"[v >> i & 15];
    print(" ");
}
void finish(int status)
{
    *(volatile uint32_t *)FINISHER = status ? (uint32_t)status << 16 | 0x3333 : 0x5555;
    for (;;)
        ;
}
static int checks;
static void check(ulong got, ulong want, const char *what)
{
    checks++;
    if (got == want)
        return;
    print("FAILED: ");
    print(what);
    print(": ");
    print_hex(got);
    print("instead of ");
    print_hex(want);
    print("\n");
    finish(checks > 200 ? 200 : checks);
}

/* No C in the handler: gp and tp are nobody's. tp is left as mcycle was before the handler's first instruction. */
__asm__(".option push\n.option norvc\n.align 4\nhandler:\n"
        "csrr tp, mcycle\n"
        "csrr gp, mcause\n"
        "bltz gp, 1f\n"
        "csrr gp, mepc\n"
        "addi gp, gp, 4\n"
        "csrw mepc, gp\n"
        "mret\n"
        "1: li gp, 128\n"
        "csrc mie, gp\n"
        "mret\n"
        ".option pop\n");
extern char handler[];
void trap(void *frame) /* start.S's, which is not used */
{
    (void)frame;
    finish(201);
}
void secondary(ulong hart)
{
    (void)hart;
}

/* Instructions that body retires. */
#define COUNT(body, ...)                                                                                                              \
    ({                                                                                                                                \
        ulong first_, second_;                                                                                                        \
        __asm__ volatile(".option push\n.option norvc\ncsrr %0, minstret\n" body "csrr %1, minstret\n.option pop\n"                     \
                         : "=&r"(first_), "=&r"(second_)                                                                              \
                         : __VA_ARGS__                                                                                                \
                         : "t0", "t1", "t2", "t3", "t4", "memory");                                                                   \
        second_ - first_ - 1;                                                                                                         \
    })

static ulong cells[4] __attribute__((aligned(64)));

static void test_straight(void)
{
    for (int i = 0; i < 5; i++) {
        check(COUNT("", "r"(0)), 0, "nothing");
        check(COUNT(".rept 3\naddi t0, t0, 1\n.endr\n", "r"(0)), 3, "3 instructions");
        check(COUNT(".rept 15\naddi t0, t0, 1\n.endr\n", "r"(0)), 15, "15 instructions");
        check(COUNT(".rept 300\naddi t0, t0, 1\n.endr\n", "r"(0)), 300, "300 instructions");
        check(COUNT(".rept 40\nsw t0, 0(%2)\nlw t1, 4(%2)\n.endr\n", "r"(cells)), 80, "loads and stores");
        check(COUNT("lbu t0, 5(%2)\naddi t0, t0, 1\nlbu t0, 5(%2)\nlbu t1, 5(%2)\n", "r"(UART)), 4, "device accesses");
        check(COUNT("1: lr.w t0, (%2)\nsc.w t1, t0, (%2)\nbnez t1, 1b\namoadd.w t0, t1, (%2)\nfence\nfence.i\n", "r"(cells)), 6, "atomics");
        check(COUNT("csrr t0, minstret\ncsrw mscratch, t0\ncsrr t0, mepc\ncsrw mie, zero\nnop\n", "r"(0)), 5, "CSRs");
    }
}

static void test_control(void)
{
    for (ulong n = 1; n < 100; n += 7) {
        check(COUNT("mv t0, %2\n1: addi t0, t0, -1\nbnez t0, 1b\n", "r"(n)), 1 + 2 * n, "a loop");
        check(COUNT("mv t0, %2\n1: andi t1, t0, 1\nbeqz t1, 2f\naddi t2, t2, 1\n2: addi t0, t0, -1\nbnez t0, 1b\n", "r"(n)),
              1 + 4 * n + (n + 1) / 2, "a loop with a branch in it");
        check(COUNT("mv t0, %2\n1: li t1, 5\n2: addi t1, t1, -1\nbnez t1, 2b\naddi t0, t0, -1\nbnez t0, 1b\n", "r"(n)), 1 + 13 * n, "nested loops");
        check(COUNT("mv t0, %2\n1: jal t1, 3f\naddi t0, t0, -1\nbnez t0, 1b\nj 4f\n3: addi t2, t2, 1\njr t1\n4:\n", "r"(n)), 2 + 5 * n, "calls");
    }
}

static void test_faults(void)
{
    for (ulong n = 1; n < 40; n++) {
        ulong cycles, after;
        __asm__ volatile("csrr %0, mcycle" : "=r"(cycles));
        ulong insns = COUNT("mv t0, %2\n1: addi t1, t1, 1\n.word 0xffffffff\naddi t1, t1, 1\naddi t0, t0, -1\nbnez t0, 1b\n", "r"(n));
        check(insns, 1 + n * (4 + EXCEPTION_INSNS), "illegal instructions");
        __asm__ volatile("csrr %0, mcycle" : "=r"(after));
        check(after - cycles >= insns + n, 1, "cycles count what did not retire");
        check(COUNT("addi t1, t1, 1\n.rept 5\nlw t0, 0(%2)\nadd t0, t1, t1\n.endr\n", "r"(8)), 1 + 5 * (1 + EXCEPTION_INSNS), "load faults");
        check(COUNT("addi t1, t1, 1\necall\naddi t1, t1, 1\n", "r"(8)), 2 + EXCEPTION_INSNS, "environment calls");
    }
}

static void test_counters(void)
{
    ulong a, b;
    __asm__ volatile("li t0, 1000\ncsrw minstret, t0\ncsrr %0, minstret\nnop\ncsrr %1, minstret" : "=&r"(a), "=&r"(b)::"t0");
    check(a, 1000, "what was written is read next");
    check(b, 1002, "and counts on");
    __asm__ volatile("csrwi mcountinhibit, 4\ncsrr %0, minstret\nnop\ncsrr %1, minstret\ncsrwi mcountinhibit, 0" : "=&r"(a), "=&r"(b));
    check(a, b, "inhibited");
#if XLEN == 32
    __asm__ volatile("csrw minstreth, %2\ncsrw minstret, %3\nnop\ncsrr %0, minstret\ncsrr %1, minstreth" : "=&r"(a), "=&r"(b) : "r"(6), "r"(-1));
    check(a, 0, "carry: low half");
    check(b, 7, "carry: high half");
#endif
}

static uint64_t ticks_at(ulong steps)
{
    return ((uint64_t)steps << SHIFT) / 100;
}

/* One hart, never waiting: virtual time is mcycle << SHIFT, whatever reads it. */
static void test_time(void)
{
    for (int i = 0; i < 2000; i++) {
        ulong steps, time;
        for (volatile int k = i % 7; k; k--)
            ;
        __asm__ volatile("csrr %0, mcycle\ncsrr %1, time" : "=r"(steps), "=r"(time));
        check(time, (ulong)ticks_at(steps + 1), "time");
        __asm__ volatile("csrr %0, mcycle\nnop\nlw %1, 0(%2)" : "=&r"(steps), "=&r"(time) : "r"(MTIME));
        check(time, (ulong)(int32_t)ticks_at(steps + 2), "mtime");
    }
}

static void set_timer(uint64_t when)
{
    volatile uint32_t *cmp = (void *)MTIMECMP;
    cmp[1] = ~0u;
    cmp[0] = when;
    cmp[1] = when >> 32;
}

#define WORK                                                                                                                \
    "mv t0, %2\n1: addi t1, t1, 1\nsw t1, 0(%3)\nandi t2, t0, 3\nbeqz t2, 2f\naddi t3, t3, 1\naddi t3, t3, 1\n2: lw t4, 0(%3)\n" \
    ".rept 17\nadd t4, t4, t1\n.endr\naddi t0, t0, -1\nbnez t0, 1b\n"

/* An interrupt comes before the first instruction whose time is not before the deadline, wherever that is. */
static void test_interrupts(void)
{
    ulong turns = (20000 >> SHIFT) / 25 + 200, want = COUNT(WORK, "r"(turns), "r"(cells));
    check(want, 1 + turns * 24 + (turns - turns / 4) * 2, "the work");
    for (int i = 0; i < 200; i++) {
        ulong at, now;
        for (volatile int k = i % 11; k; k--)
            ;
        __asm__ volatile("csrr %0, mcycle" : "=r"(now));
        uint64_t when = ticks_at(now) + (1500 << SHIFT) / 100 + i % 40 + 2;
        set_timer(when);
        __asm__ volatile("csrs mie, %0\ncsrsi mstatus, 8" ::"r"(128));
        ulong insns = COUNT(WORK, "r"(turns), "r"(cells));
        __asm__ volatile("csrci mstatus, 8\nmv %0, tp" : "=r"(at));
        check(insns, want + INTERRUPT_INSNS, "the work, interrupted once");
        check(at, (ulong)((when * 100 + (1 << SHIFT) - 1) >> SHIFT), "the instruction that is interrupted");
    }
}

static void test_wait(void)
{
    for (int i = 0; i < 20; i++) {
        ulong time;
        __asm__ volatile("csrr %0, time" : "=r"(time));
        set_timer(time + 1000 + i);
        __asm__ volatile("csrs mie, %1\nwfi\ncsrr %0, time\ncsrc mie, %1" : "=&r"(time) : "r"(128), "r"(time));
        volatile uint32_t *cmp = (void *)MTIMECMP;
        check((uint32_t)time - cmp[0] <= 1 + (1 << SHIFT) / 100, 1, "time after a wait");
    }
}

int main(void)
{
    __asm__ volatile("csrw mtvec, %0" ::"r"(handler));
    test_time(); /* first: it wants what the counters were at reset */
    test_interrupts();
    test_straight();
    test_control();
    test_faults();
    test_counters();
    test_wait();
    print("all passed\n");
    return 0;
}
