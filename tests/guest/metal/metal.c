/*
 * Bare-metal RISC-V tests (RV32 and RV64, -M virt -bios none, two harts): precise faults, page-crossing and misaligned
 * accesses, counts of zeros, paging, self-modifying code by this hart, by another and by DMA, LR/SC and AMO contention, timer
 * interrupts in tight loops. The exit status is that of the first check that failed, 0 if none did; "exit=N" (built in by
 * -DEXIT=N) makes a passing run end with status N.
 * SPDX-License-Identifier: MIT
 */
#include <stdint.h>

typedef unsigned long ulong;
#define XLEN __riscv_xlen
#define NOINLINE __attribute__((noinline))
#define csr_read(csr) ({ ulong v_; __asm__ volatile("csrr %0, " #csr : "=r"(v_)); v_; })
#define csr_write(csr, v) __asm__ volatile("csrw " #csr ", %0" ::"r"((ulong)(v)) : "memory")
#define csr_set(csr, v) __asm__ volatile("csrs " #csr ", %0" ::"r"((ulong)(v)) : "memory")
#define csr_clear(csr, v) __asm__ volatile("csrc " #csr ", %0" ::"r"((ulong)(v)) : "memory")
#define fence_i() __asm__ volatile("fence.i" ::: "memory")

enum { CLINT = 0x2000000, MTIMECMP = CLINT + 0x4000, MTIME = CLINT + 0xbff8, UART = 0x10000000, FINISHER = 0x100000,
       FW_CFG = 0x10100000 };
#ifndef EXIT
#define EXIT 0
#endif
#ifndef REFERENCE
#define REFERENCE 0 /* 1: leave out what the reference emulator gets wrong */
#endif

static void put(char c)
{
    while (!(*(volatile uint8_t *)(UART + 5) & 0x20))
        ;
    *(volatile uint8_t *)UART = c;
}
static void print(const char *s)
{
    while (*s)
        put(*s++);
}
static void print_hex(ulong v)
{
    for (int i = XLEN - 4; i >= 0; i -= 4)
        put("0123456789abcdef"[v >> i & 15]);
}
void finish(int status)
{
    *(volatile uint32_t *)FINISHER = status ? (uint32_t)status << 16 | 0x3333 : 0x5555;
    for (;;)
        ;
}
static int checks;
static void check(int ok, const char *what, ulong got)
{
    checks++;
    if (ok)
        return;
    print("FAILED check ");
    print_hex(checks);
    print(": ");
    print(what);
    print(", got ");
    print_hex(got);
    print("\n");
    finish(checks > 200 ? 200 : checks);
}

/* ---- traps ---- */
typedef struct Trap {
    ulong pc, x[31]; /* x[r - 1] is register r */
} Trap;
static volatile ulong trap_cause, trap_tval, trap_pc, trap_count, timer_count;
static volatile ulong trap_t1, trap_t2;
static volatile int expect_trap;
static ulong return_to;

static uint64_t mtime(void)
{
#if XLEN == 64
    return *(volatile uint64_t *)MTIME;
#else
    uint32_t high, low;
    do {
        high = *(volatile uint32_t *)(MTIME + 4);
        low = *(volatile uint32_t *)MTIME;
    } while (high != *(volatile uint32_t *)(MTIME + 4));
    return (uint64_t)high << 32 | low;
#endif
}
static void set_timer(uint64_t when)
{
    ulong hart = csr_read(mhartid);
    volatile uint32_t *cmp = (void *)(MTIMECMP + 8 * hart);
    cmp[1] = ~0u;
    cmp[0] = when;
    cmp[1] = when >> 32;
}

void trap(Trap *t)
{
    ulong cause = csr_read(mcause);
    if (cause == ((ulong)1 << (XLEN - 1) | 7)) {
        timer_count++;
        set_timer(mtime() + 200); /* 20 us */
        return;
    }
    trap_cause = cause;
    trap_tval = csr_read(mtval);
    trap_pc = t->pc;
    trap_t1 = t->x[5];
    trap_t2 = t->x[6];
    trap_count++;
    if (!expect_trap) {
        print("unexpected trap, cause ");
        print_hex(cause);
        print(" pc ");
        print_hex(t->pc);
        print(" tval ");
        print_hex(trap_tval);
        print("\n");
        finish(201);
    }
    if (cause == 8 || cause == 9 || cause == 1 || cause == 12) { /* ecall from U or S, or a jump to nowhere: return to the caller in M */
        csr_set(mstatus, 3 << 11);
        t->pc = return_to ? return_to : t->x[0];
        return;
    }
    t->pc += t->pc >> 28 == 4 || (*(uint16_t *)t->pc & 3) == 3 ? 4 : 2; /* code at 0x4... is test_paging's */
}

/* ---- precise faults ---- */
long mid_block(long *ok, long *bad);
extern char mid_block_fault[];
static void test_mid_block(void)
{
    static long memory[2];
    expect_trap = 1;
    for (int i = 0; i < 50; i++) {
        memory[0] = memory[1] = 0;
        trap_count = 0;
        long r = mid_block(memory, (long *)8); /* nothing is mapped there */
        check(trap_count == 1 && trap_cause == 5, "load access fault", trap_cause);
        check(trap_tval == 8, "its address", trap_tval);
        check(trap_pc == (ulong)mid_block_fault, "its pc", trap_pc);
        check(trap_t1 == 12 && trap_t2 == 22, "registers at the fault", trap_t1);
        check(*(int *)memory == 11 && ((int *)memory)[1] == 13 && r == 22, "effects before and after", r);
    }
    expect_trap = 0;
}

static void test_illegal(void)
{
    expect_trap = 1;
    __asm__ volatile(".word 0xffffffff" ::: "memory");
    check(trap_cause == 2 && trap_tval == 0xffffffff, "illegal instruction", trap_tval);
    __asm__ volatile(".half 0; " ::: "memory");
    check(trap_cause == 2 && trap_tval == 0, "illegal compressed instruction", trap_tval);
    __asm__ volatile("csrw mvendorid, zero" ::: "memory");
    check(trap_cause == 2, "write to a read-only CSR", trap_cause);
    __asm__ volatile("ebreak" ::: "memory");
    check(trap_cause == 3, "breakpoint", trap_cause);
    csr_clear(mstatus, 0x6000);
    __asm__ volatile(".word 0x02007053" ::: "memory"); /* fadd.d ft0, ft0, ft0 */
    check(trap_cause == 2, "floating point while off", trap_cause);
    csr_set(mstatus, 0x6000);
    csr_write(frm, 5);
    __asm__ volatile("fadd.d ft0, ft0, ft0" ::: "memory");
    check(trap_cause == 2, "dynamic rounding with a reserved mode", trap_cause);
    csr_write(frm, 4);
    double one = 1, third;
    __asm__ volatile("fdiv.d %0, %1, %2" : "=f"(third) : "f"(one), "f"(3.0));
    check(third > 0.33 && third < 0.34, "dynamic rounding to nearest, ties away", 0);
    csr_write(frm, 0);
    expect_trap = 0;
}

/* ---- accesses that are not aligned ---- */
static uint8_t pages[3 * 4096] __attribute__((aligned(4096)));
static void test_misaligned(void)
{
    for (int i = 0; i < 64; i++)
        pages[4096 - 32 + i] = i * 7 + 1;
    for (int at = 4096 - 9; at < 4097; at++) {
        uint8_t *p = pages + at;
        ulong want = 0, got;
        for (unsigned i = 0; i < sizeof(ulong); i++)
            want |= (ulong)p[i] << 8 * i;
#if XLEN == 64
        __asm__ volatile("ld %0, 0(%1)" : "=r"(got) : "r"(p) : "memory");
#else
        __asm__ volatile("lw %0, 0(%1)" : "=r"(got) : "r"(p) : "memory");
#endif
        check(got == want, "page-crossing load", got);
        uint8_t before = p[-1], after = p[4];
        __asm__ volatile("sw %0, 0(%1)" ::"r"(0x11223344), "r"(p) : "memory");
        check(p[0] == 0x44 && p[3] == 0x11 && p[-1] == before && p[4] == after, "page-crossing store", p[0]);
    }
    expect_trap = 1;
    trap_count = 0;
    int v = 1;
    __asm__ volatile("amoadd.w %0, %0, (%1)" : "+r"(v) : "r"(pages + 2) : "memory");
    check(trap_cause == 6 && trap_tval == (ulong)(pages + 2) && trap_count == 1, "misaligned AMO", trap_cause);
    __asm__ volatile("lr.w %0, (%1)" : "=r"(v) : "r"(pages + 4094) : "memory");
    check(trap_cause == 4 && trap_count == 2, "misaligned LR", trap_cause);
    expect_trap = 0;
}

/* ---- self-modifying code ---- */
typedef int Function(void);
static uint32_t code[64] __attribute__((aligned(64)));
static void write_code(uint32_t *at, int value)
{
    at[0] = 0x00000513 | (uint32_t)value << 20; /* li a0, value */
    at[1] = 0x00008067;                         /* ret */
}
static void test_self_modifying(void)
{
    for (int i = 0; i < 2000; i++) {
        uint32_t *at = code + (i % 16) * 2;
        write_code(at, i & 0x7ff);
        fence_i();
        check(((Function *)at)() == (i & 0x7ff), "code just written", ((Function *)at)());
    }
}

static uint32_t swap32(uint32_t v)
{
    return v << 24 | (v & 0xff00) << 8 | (v >> 8 & 0xff00) | v >> 24;
}

/* fw_cfg's item 0 holds "QEMU": as code, c.li a0, 20; c.li a0, -13. */
static void test_dma_code(void)
{
    static struct { uint32_t control, length; uint64_t address; } __attribute__((aligned(16))) volatile dma;
    uint16_t *half = (uint16_t *)(code + 32);
    half[0] = 0x4505; /* c.li a0, 1 */
    half[1] = 0x0001;
    half[2] = 0x8082;
    fence_i();
    check(((Function *)half)() == 1, "code before DMA", 0);
    dma.control = swap32(0 << 16 | 8 | 2); /* select item 0, read */
    dma.length = swap32(4);
    dma.address = (uint64_t)swap32((uint32_t)(ulong)half) << 32;
    __asm__ volatile("fence" ::: "memory");
    *(volatile uint32_t *)(FW_CFG + 16) = 0;
    *(volatile uint32_t *)(FW_CFG + 20) = swap32((uint32_t)(ulong)&dma);
    while (dma.control & ~swap32(1))
        ;
    check(dma.control == 0, "DMA without error", dma.control);
    fence_i();
    check(((Function *)half)() == -13, "code written by DMA", ((Function *)half)());
}

/* ---- two harts ---- */
static volatile int command, done;
static volatile ulong counter, lrsc_counter, lock_word, locked_counter;
enum { ROUNDS = 100000 };

static NOINLINE void contend(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        ulong t, u;
        __asm__ volatile("amoadd.w zero, %1, (%0)" ::"r"(&counter), "r"(1) : "memory");
        __asm__ volatile("1: lr.w.aq %0, (%2)\n addi %0, %0, 1\n sc.w.rl %1, %0, (%2)\n bnez %1, 1b"
                         : "=&r"(t), "=&r"(u) : "r"(&lrsc_counter) : "memory");
        if (i % 8 == 0) {
            do
                __asm__ volatile("amoswap.w.aq %0, %1, (%2)" : "=r"(t) : "r"(1), "r"(&lock_word) : "memory");
            while (t);
            locked_counter = locked_counter + 1;
            __asm__ volatile("amoswap.w.rl zero, zero, (%0)" ::"r"(&lock_word) : "memory");
        }
    }
}

void secondary(ulong hart)
{
    if (hart != 1)
        return;
    for (;;) {
        switch (command) {
        case 1:
            contend();
            break;
        case 2: /* rewrite the code that hart 0 runs, 500 times, each time when it says so */
            for (int i = 1; i <= 500; i++) {
                while (lock_word != (ulong)i)
                    ;
                write_code(code + 40, i);
                __asm__ volatile("fence w, w" ::: "memory");
                counter = i;
            }
            break;
        default:
            continue;
        }
        __asm__ volatile("fence" ::: "memory");
        command = 0;
        done = 1;
    }
}

static void start_other(int what)
{
    done = 0;
    __asm__ volatile("fence" ::: "memory");
    command = what;
}
static void test_contention(void)
{
    counter = lrsc_counter = lock_word = locked_counter = 0;
    start_other(1);
    contend();
    while (!done)
        ;
    check((uint32_t)counter == 2 * ROUNDS, "AMOs of two harts", counter);
    check((uint32_t)lrsc_counter == 2 * ROUNDS, "LR/SC of two harts", lrsc_counter);
    check(locked_counter == 2 * ROUNDS / 8, "a spin lock of two harts", locked_counter);
}
static void test_other_writes_code(void)
{
    counter = lock_word = 0;
    write_code(code + 40, 0);
    fence_i();
    start_other(2);
    for (int i = 1; i <= 500; i++) {
        check(((Function *)(code + 40))() == i - 1, "code before the other hart's write", i);
        lock_word = i;
        while (counter != (ulong)i)
            ;
        __asm__ volatile("fence r, r" ::: "memory");
        fence_i();
        check(((Function *)(code + 40))() == i, "code written by the other hart", ((Function *)(code + 40))());
    }
    while (!done)
        ;
}

/* ---- timer interrupts ---- */
static void test_timer(void)
{
    timer_count = 0;
    set_timer(mtime() + 100);
    csr_set(mie, 1 << 7);
    csr_set(mstatus, 1 << 3);
    while (timer_count < 50)
        ;
    __asm__ volatile("1: addi %0, %0, -1\n bnez %0, 1b" ::"r"(1000000) : "memory"); /* a loop of two instructions */
    ulong n = timer_count;
    while (timer_count < n + 50)
        __asm__ volatile("wfi");
    volatile ulong *v = &timer_count;
    n = *v;
    __asm__ volatile("1: lw %0, 0(%1)\n bltu %0, %2, 1b" : "=&r"(n) : "r"(v), "r"(n + 50) : "memory");
    csr_clear(mstatus, 1 << 3);
    csr_clear(mie, 1 << 7);
    set_timer(~0ull);
    uint64_t a = mtime();
    while (mtime() - a < 1000)
        ;
}

/* ---- paging: supervisor and user code under Sv32 or Sv39 ---- */
#if XLEN == 64
enum { LEVELS = 3, INDEX_BITS = 9 };
#define SATP_MODE ((ulong)8 << 60)
#define STORE_LONG "sd"
#else
enum { LEVELS = 2, INDEX_BITS = 10 };
#define SATP_MODE ((ulong)1 << 31)
#define STORE_LONG "sw"
#endif
enum { V = 1, RD = 2, WR = 4, EX = 8, US = 16, AC = 64, DI = 128 };
static ulong tables[4][1 << INDEX_BITS] __attribute__((aligned(4096)));
static unsigned tables_used;
static ulong *map(ulong va, ulong pa, ulong flags) /* one 4 KiB page; returns its entry */
{
    ulong *table = tables[0];
    for (int level = LEVELS - 1;; level--) {
        ulong *e = &table[va >> (12 + INDEX_BITS * level) & ((1 << INDEX_BITS) - 1)];
        if (!level) {
            *e = pa >> 12 << 10 | flags;
            return e;
        }
        if (!(*e & V))
            *e = (ulong)tables[++tables_used] >> 12 << 10 | V;
        table = (ulong *)(*e >> 10 << 12);
    }
}
/* Run code in mode (0 U, 1 S) with a0 = argument until it traps; the trap comes back here. */
static NOINLINE void run_in_mode(int mode, ulong pc, ulong argument)
{
    expect_trap = 1;
    csr_clear(mstatus, 3 << 11);
    csr_set(mstatus, mode << 11);
    csr_write(mepc, pc);
    register ulong a0 __asm__("a0") = argument;
    __asm__ volatile("la t0, 1f\n" STORE_LONG " t0, 0(%1)\n mret\n 1:" : "+r"(a0) : "r"(&return_to) : "t0", "t1", "memory");
}
static void test_paging(void);

/* ---- counting zeros ---- */
/* Of zero, too: tests/insn cannot ask QEMU 7.2 for ctzw of words whose lower half is zero, as it counts on into the upper
 * half; REFERENCE leaves that out. Encodings are given, as the assembler is not told of Zbb. */
#define COUNT(opcode, which, x) \
    ({ \
        ulong r_; \
        __asm__ volatile(".insn i " #opcode ", 1, %0, %1, " #which : "=r"(r_) : "r"(x)); \
        r_; \
    })
#define COUNT_IN_PLACE(opcode, which, x) \
    ({ \
        ulong r_ = (x); \
        __asm__ volatile(".insn i " #opcode ", 1, %0, %0, " #which : "+r"(r_)); \
        r_; \
    })
#define CLZ(x)  COUNT(0x13, 0x600, x)
#define CTZ(x)  COUNT(0x13, 0x601, x)
#define CLZW(x) COUNT(0x1b, 0x600, x)
#define CTZW(x) COUNT(0x1b, 0x601, x)

static ulong slow_clz(ulong x, int width)
{
    int n = 0;
    while (n < width && !(x >> (width - 1 - n) & 1))
        n++;
    return n;
}
static ulong slow_ctz(ulong x, int width)
{
    int n = 0;
    while (n < width && !(x >> n & 1))
        n++;
    return n;
}
static void check_counts(ulong x)
{
    check(CLZ(x) == slow_clz(x, XLEN), "clz", CLZ(x));
    check(CTZ(x) == slow_ctz(x, XLEN), "ctz", CTZ(x));
    check(COUNT_IN_PLACE(0x13, 0x600, x) == slow_clz(x, XLEN), "clz in place", x);
    check(COUNT_IN_PLACE(0x13, 0x601, x) == slow_ctz(x, XLEN), "ctz in place", x);
#if XLEN == 64
    check(CLZW(x) == slow_clz(x, 32), "clzw", CLZW(x));
    check(COUNT_IN_PLACE(0x1b, 0x600, x) == slow_clz(x, 32), "clzw in place", x);
    if (REFERENCE && !(uint32_t)x)
        return;
    check(CTZW(x) == slow_ctz(x, 32), "ctzw", CTZW(x));
    check(COUNT_IN_PLACE(0x1b, 0x601, x) == slow_ctz(x, 32), "ctzw in place", x);
#endif
}
static void test_counts(void)
{
    ulong r;
    check(CLZ(0ul) == XLEN && CTZ(0ul) == XLEN, "clz and ctz of zero", CTZ(0ul));
    __asm__ volatile(".insn i 0x13, 1, %0, zero, 0x601" : "=r"(r)); /* a constant for the translator */
    check(r == XLEN, "ctz of x0", r);
    __asm__ volatile(".insn i 0x13, 1, %0, zero, 0x600" : "=r"(r));
    check(r == XLEN, "clz of x0", r);
#if XLEN == 64
    if (!REFERENCE) {
        check(CTZW(0ul) == 32, "ctzw of zero", CTZW(0ul));
        check(CTZW(~0ul << 32) == 32, "the upper half does not count", CTZW(~0ul << 32));
        __asm__ volatile(".insn i 0x1b, 1, %0, zero, 0x601" : "=r"(r));
        check(r == 32, "ctzw of x0", r);
    }
    check(CLZW(0ul) == 32, "clzw of zero", CLZW(0ul));
    __asm__ volatile(".insn i 0x1b, 1, %0, zero, 0x600" : "=r"(r));
    check(r == 32, "clzw of x0", r);
#endif
    check_counts(0);
    check_counts(~0ul);
    for (int i = 0; i < XLEN; i++) {
        check_counts(1ul << i);
        check_counts(~0ul << i);
        check_counts(~0ul >> i);
    }
}

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
    { "mid-block faults", test_mid_block },
    { "illegal instructions", test_illegal },
    { "counting zeros", test_counts },
    { "misaligned accesses", test_misaligned },
    { "self-modifying code", test_self_modifying },
    { "code written by DMA", test_dma_code },
    { "contention", test_contention },
    { "code written by another hart", test_other_writes_code },
    { "timer", test_timer },
    { "paging", test_paging },
};

/* Supervisor code at 0x40001000: load from a0, then ecall. User code is the same. */
static void test_paging(void)
{
    enum { VA_CODE = 0x40001000, VA_DATA = 0x40002000 };
    static uint16_t program[8] __attribute__((aligned(4096)));
    static uint32_t data[1024] __attribute__((aligned(4096)));
    uint32_t load = 0x00052303, store = 0x00052223, ecall = 0x73; /* lw t1, 0(a0); sw zero, 4(a0); ecall */
    __builtin_memcpy(program, &load, 4);
    __builtin_memcpy((char *)program + 4, &store, 4);
    __builtin_memcpy((char *)program + 8, &ecall, 4);
    fence_i();
    csr_write(pmpaddr0, ~0ul);
    csr_write(pmpcfg0, 0x1f);
    data[0] = 0x1234567;
    ulong *code_entry = map(VA_CODE, (ulong)program, V | RD | EX | AC), *entry = map(VA_DATA, (ulong)data, V | RD | WR | AC | DI);
    csr_write(satp, SATP_MODE | (ulong)tables[0] >> 12);
    __asm__ volatile("sfence.vma" ::: "memory");

    data[1] = 5;
    run_in_mode(1, VA_CODE, VA_DATA);
    check(trap_cause == 9 && trap_pc == VA_CODE + 8, "supervisor code under paging", trap_cause);
    check(trap_t1 == 0x1234567 && data[1] == 0, "its load and store", trap_t1);

    *entry = (*entry & ~(ulong)WR);
    __asm__ volatile("sfence.vma" ::: "memory");
    run_in_mode(1, VA_CODE, VA_DATA);
    check(trap_count && trap_cause == 9, "goes on after the skipped store", trap_cause);

    *entry &= ~(ulong)V;
    __asm__ volatile("sfence.vma %0" ::"r"(VA_DATA) : "memory");
    trap_count = 0;
    run_in_mode(1, VA_CODE, VA_DATA);
    check(trap_count == 3, "load and store page faults, then ecall", trap_count);

    *entry |= V | WR | US;
    __asm__ volatile("sfence.vma" ::: "memory");
    trap_count = 0;
    run_in_mode(1, VA_CODE, VA_DATA);
    check(trap_count == 3, "supervisor may not touch user pages", trap_count);
    csr_set(mstatus, 1 << 18);
    trap_count = 0;
    run_in_mode(1, VA_CODE, VA_DATA);
    check(trap_count == 1, "but with SUM it may", trap_count);
    csr_clear(mstatus, 1 << 18);

    trap_count = 0;
    run_in_mode(0, VA_CODE, VA_DATA);
    check(trap_cause == 12 && trap_pc == VA_CODE, "user may not run supervisor code", trap_cause);
    *code_entry |= US;
    __asm__ volatile("sfence.vma" ::: "memory");
    trap_count = 0;
    run_in_mode(0, VA_CODE, VA_DATA);
    check(trap_cause == 8 && trap_count == 1, "user code", trap_cause);
    csr_write(satp, 0);
    __asm__ volatile("sfence.vma" ::: "memory");
    expect_trap = 0;
}

int main(void)
{
    for (unsigned i = 0; i < sizeof tests / sizeof *tests; i++) {
        print(tests[i].name);
        print("\n");
        tests[i].run();
    }
    print("all passed\n");
    return EXIT;
}
