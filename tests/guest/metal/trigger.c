/*
 * Bare-metal RISC-V tests of debug triggers (RV32 and RV64; Debug Specification 1.0, chapter 5): matches of execution, loads and stores of
 * types 2 and 6, counts of instructions, exceptions and interrupts, contexts, and where triggers do not fire.
 * SPDX-License-Identifier: MIT
 */
#include "modes.h"

#define TSELECT  0x7a0
#define TDATA1   0x7a1
#define TDATA2   0x7a2
#define TDATA3   0x7a3
#define TINFO    0x7a4
#define TCONTROL 0x7a5
#define MCONTEXT 0x7a8
#define SCONTEXT 0x5a8
#define TYPE(n)  ((ulong)(n) << (XLEN - 4))
enum { LOAD = 1, STORE = 2, EXECUTE = 4, IN_U = 8, IN_S = 16, IN_M = 64, CHAIN = 1 << 11, MTE = 8 };
enum { EQUAL, NAPOT, GE, LT, LOW, HIGH };
#define MATCH(n) ((n) << 7)
#define SIZE(n)  ((n) << 16)
#define SELECT2  (1 << 19)
#define HIT2     (1 << 20)
#define SELECT6  (1 << 21)
#define HIT6     (1 << 22)

static void arm(int n, ulong tdata1, ulong tdata2)
{
    csr_write(TSELECT, n);
    csr_write(TDATA1, 0);
    csr_write(TDATA2, tdata2);
    csr_write(TDATA3, 0);
    csr_write(TDATA1, tdata1);
}
static void disarm(void)
{
    for (int i = 0; i < 4; i++)
        arm(i, 0, 0);
}
static ulong tdata1(int n)
{
    csr_write(TSELECT, n);
    return csr_read(TDATA1);
}
/* The statement fires with this address, and runs without. */
#define FIRES(statement, at, what)       \
    do {                                 \
        is(CAUSE_OF(statement), 3, what); \
        is(trap_tval, (ulong)(at), what); \
        is(trap_count, 1, what);         \
    } while (0)
#define RUNS(statement, what) is(CAUSE_OF(statement), -1ul, what)

extern char mark[];
static NOINLINE ulong marked(ulong x)
{
    __asm__ volatile(".align 2\n .option push\n .option norvc\n .globl mark\nmark: addi %0, %0, 1\n .option pop" : "+r"(x));
    return x;
}
static volatile uint32_t words[2048] __attribute__((aligned(8192))); /* two pages */
static ulong get(volatile uint32_t *at)
{
    uint32_t v;
    __asm__ volatile("lw %0, 0(%1)" : "=r"(v) : "r"(at) : "memory");
    return v;
}
static void set(volatile uint32_t *at, uint32_t v)
{
    __asm__ volatile("sw %0, 0(%1)" ::"r"(v), "r"(at) : "memory");
}

static void test_registers(void)
{
    csr_write(TSELECT, 3);
    is(csr_read(TSELECT), 3, "tselect");
    csr_write(TSELECT, 4);
    is(csr_read(TSELECT), 3, "there are four");
    is(csr_read(TINFO), 0x100807c, "tinfo");
    for (ulong type = 0; type < 16; type++) {
        csr_write(TDATA1, TYPE(type));
        is(csr_read(TDATA1), type >= 2 && type <= 6 ? TYPE(type) : TYPE(15), "types");
    }
    csr_write(TDATA1, TYPE(6) | (ulong)1 << (XLEN - 5) | 1 << 12);
    is(csr_read(TDATA1), TYPE(6), "no dmode, no action but 0");
    csr_write(TDATA1, TYPE(2) | MATCH(6));
    is(csr_read(TDATA1), TYPE(2), "a match that is reserved");
    csr_write(TDATA2, ~0ul);
    is(csr_read(TDATA2), ~0ul, "tdata2");
    csr_write(TCONTROL, ~0ul);
    is(csr_read(TCONTROL), 0x88, "tcontrol");
    csr_write(TCONTROL, 0);
    IN(S, is(CAUSE_OF(csr_read(TSELECT)), 2, "tselect in S"));
    IN(S, is(CAUSE_OF(csr_read(SCONTEXT)), -1ul, "scontext in S"));
    disarm();
}

static void test_execution(ulong type, ulong hit)
{
    ulong v = 0;
    arm(1, TYPE(type) | EXECUTE | IN_M, (ulong)mark);
    RUNS(v = marked(1), "in M without mte");
    is(v, 2, "what it computes");
    csr_write(TCONTROL, MTE);
    FIRES(v = marked(1), mark, "execution in M");
    is(trap_pc, (ulong)mark, "before the instruction");
    is(v, 1, "which did nothing");
    is(tdata1(1) & hit, hit, "hit");
    is(csr_read(TCONTROL), 0x88, "mte comes back with mret");
    IN(S, RUNS(v = marked(1), "it is not for S"));
    arm(1, TYPE(type) | EXECUTE | IN_S, (ulong)mark);
    RUNS(v = marked(1), "it is not for M");
    IN(U, RUNS(v = marked(1), "nor U"));
    IN(S, FIRES(v = marked(1), mark, "execution in S"));
    arm(1, TYPE(type) | EXECUTE | IN_U | IN_S, (ulong)mark);
    IN(U, FIRES(v = marked(1), mark, "execution in U"));
    csr_write(medeleg, 8);
    IN(S, RUNS(v = marked(1), "S handles breakpoints and has interrupts off"));
    csr_write(medeleg, 0);
    IN(S, for (int i = 0; i < 100; i++) FIRES(v = marked(1), mark, "again and again"));
    arm(1, TYPE(type) | EXECUTE | IN_M | MATCH(NAPOT), (ulong)mark | 1);
    FIRES(v = marked(1), mark, "naturally aligned ranges");
    arm(1, TYPE(type) | EXECUTE | IN_M, (ulong)mark + 64);
    RUNS(v = marked(1), "elsewhere");
    csr_write(TCONTROL, 0);
    disarm();
}

static void test_data(ulong type, ulong select)
{
    volatile uint32_t *w = words + 4;
    csr_write(TCONTROL, MTE);
    *w = 10;
    arm(0, TYPE(type) | LOAD | IN_M, (ulong)w);
    FIRES(get(w), w, "a load");
    RUNS(set(w, 11), "a store where only loads match");
    RUNS(get(w + 1), "its neighbour");
    is(get(w + 1000), 0, "another page");
    FIRES((void)*((volatile uint8_t *)w), w, "a byte of it");
    IN(S, RUNS(get(w), "not in S"));
    arm(0, TYPE(type) | STORE | IN_M, (ulong)w + 2);
    FIRES(set(w, 12), w, "a store to a byte of the word");
    is(*w, 11, "which did nothing");
    RUNS((void)(*(volatile uint8_t *)w = 13), "a store to another byte of it");
    FIRES(__asm__ volatile("amoadd.w zero, %0, (%1)" ::"r"(1), "r"(w) : "memory"), w, "an AMO");
    is(*w, 13, "it did nothing");
    arm(0, TYPE(type) | LOAD | IN_M | SIZE(2), (ulong)w);
    RUNS(get(w), "another size");
    FIRES((void)*(volatile uint16_t *)w, w, "the size");
    arm(0, TYPE(type) | LOAD | IN_M, 4096 + (ulong)words);
    FIRES(get((volatile uint32_t *)((char *)words + 4094)), (ulong)words + 4094, "an access that crosses into the page");
    RUNS(get(words + 1023), "one that does not");
    arm(0, TYPE(type) | LOAD | STORE | IN_M | MATCH(NAPOT), (ulong)words | 0x1f);
    FIRES(get(words + 15), words + 15, "the end of a range of 64 bytes");
    RUNS(get(words + 16), "what is behind it");
    arm(0, TYPE(type) | LOAD | IN_M | MATCH(GE) | CHAIN, (ulong)(words + 100));
    arm(1, TYPE(type) | LOAD | IN_M | MATCH(LT), (ulong)(words + 200));
    RUNS(get(words + 99), "before a range of two triggers");
    FIRES(get(words + 100), words + 100, "its start");
    FIRES(get(words + 199), words + 199, "its end");
    RUNS(get(words + 200), "behind it");
    disarm();
    arm(2, TYPE(type) | STORE | IN_M | CHAIN, (ulong)w);
    arm(3, TYPE(type) | STORE | IN_M | select, 0xabcd1234);
    RUNS(set(w, 0x1234), "another value");
    FIRES(set(w, 0xabcd1234), w, "a value stored");
    is(*w, 0x1234, "it is not there");
    RUNS(set(w + 1, 0xabcd1234), "the value elsewhere");
    arm(2, TYPE(type) | LOAD | IN_M | CHAIN, (ulong)w);
    arm(3, TYPE(type) | LOAD | IN_M | select | MATCH(LOW), (ulong)0xffff << XLEN / 2 | 0x1234);
    FIRES(get(w), w, "a value loaded, of which the low half counts");
    *w = 0x1235;
    RUNS(get(w), "another value");
    disarm();
    csr_write(TCONTROL, 0);
}
static void test_type2(void)
{
    test_execution(2, HIT2);
    test_data(2, SELECT2);
}
static void test_type6(void)
{
    test_execution(6, HIT6);
    test_data(6, SELECT6);
}

static void test_count(void)
{
    enum { COUNT_U = 1 << 6, COUNT_SHIFT = 10, COUNT_HIT = 1 << 24 };
    extern char counted[];
    for (ulong n = 1; n < 12; n++) {
        arm(0, TYPE(3) | COUNT_U | n << COUNT_SHIFT, 0);
        csr_clear(mstatus, 3 << 11 | 1 << 7);
        trap_count = 0;
        __asm__ volatile(".option push\n .option norvc\n la t0, counted\n csrw mepc, t0\n mret\n .globl counted\n"
                         "counted: .rept 20\n nop\n .endr\n ecall\n .option pop" ::: "t0", "memory");
        is(trap_count, 1, "a count of instructions fires once");
        is(trap_cause, 3, "a breakpoint");
        is(trap_pc, (ulong)counted + 4 * n, "behind that many instructions");
        is(tdata1(0), TYPE(3) | COUNT_U | COUNT_HIT, "the count is spent");
    }
    disarm();
}

/* Handlers of S, which go on in machine mode behind (or at) what was interrupted. */
void on_exception(void), on_interrupt(void);
__asm__(".align 2\n on_exception: nop\n ecall\n csrr t0, sepc\n addi t0, t0, 4\n jr t0\n"
        ".align 2\n on_interrupt: nop\n csrci sip, 2\n ecall\n csrr t0, sepc\n jr t0\n");
#define ILLEGAL __asm__ volatile(".word 0xffffffff" ::: "t0", "memory")
static void test_traps(void)
{
    enum { TRAP_U = 1 << 6 };
    const ulong hit = (ulong)1 << (XLEN - 6);
    csr_write(medeleg, 4);
    csr_write(stvec, on_exception);
    arm(2, TYPE(5) | TRAP_U, 4);
    IN(U, is(CAUSE_OF(ILLEGAL), 3, "an exception"));
    is(trap_pc, (ulong)on_exception, "before its handler's first instruction");
    is(tdata1(2), TYPE(5) | TRAP_U | hit, "hit");
    IN(S, RUNS(ILLEGAL, "from S"));
    arm(2, TYPE(5) | TRAP_U, 8);
    IN(U, RUNS(ILLEGAL, "another exception"));
    csr_write(medeleg, 0);
    csr_write(mideleg, 2);
    csr_write(stvec, on_interrupt);
    csr_set(mie, 2);
    for (int other = 0; other < 2; other++) {
        arm(2, TYPE(4) | TRAP_U, other ? 4 : 2);
        csr_set(mip, 2);
        trap_count = 0;
        to_mode(U);
        __asm__ volatile("nop\n nop" ::: "t0", "memory");
        to_machine();
        is(trap_count, !other, "an interrupt");
        is(other || trap_pc == (ulong)on_interrupt, 1, "before its handler's first instruction");
    }
    csr_clear(mie, 2);
    csr_write(mideleg, 0);
    disarm();
}

static void test_contexts(void)
{
    ulong v;
    arm(1, TYPE(6) | EXECUTE | IN_S, (ulong)mark);
    csr_write(TDATA3, 5 << 2 | 1);
    csr_write(SCONTEXT, 4);
    IN(S, RUNS(v = marked(1), "another scontext"));
    csr_write(SCONTEXT, 5);
    IN(S, FIRES(v = marked(1), mark, "the scontext"));
    csr_write(TDATA3, (ulong)9 << (XLEN == 64 ? 51 : 26) | (ulong)4 << (XLEN == 64 ? 48 : 23));
    IN(S, RUNS(v = marked(1), "another mcontext"));
    csr_write(MCONTEXT, 9);
    IN(S, FIRES(v = marked(1), mark, "the mcontext"));
    csr_write(TDATA3, 3 << 2 | 2);
    csr_write(satp, identity(0));
    IN(S, RUNS(v = marked(1), "another address space"));
    csr_write(satp, identity(0) | (ulong)3 << (XLEN == 64 ? 44 : 22));
    __asm__ volatile("sfence.vma" ::: "memory");
    IN(S, FIRES(v = marked(1), mark, "the address space"));
    csr_write(satp, 0);
    disarm();
    (void)v;
}

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
    { "registers", test_registers }, { "type 2", test_type2 }, { "type 6", test_type6 },
    { "count", test_count },         { "traps", test_traps },  { "contexts", test_contexts },
};

int main(void)
{
    pmp_open();
    csr_write(mcounteren, 7);
    for (unsigned i = 0; i < sizeof tests / sizeof *tests; i++) {
        print(tests[i].name);
        print("\n");
        tests[i].run();
    }
    print("all passed\n");
    return EXIT;
}
