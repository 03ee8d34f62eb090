/*
 * Bare-metal RISC-V tests (RV32 and RV64, -M virt -bios none, two harts): precise faults, page-crossing and misaligned
 * accesses, counts of zeros, paging, self-modifying code by this hart, by another and by DMA, LR/SC and AMO contention, timer
 * interrupts in tight loops. Built with -DEXTENSIONS, for -cpu max: traps of cache block operations, page table entries of
 * Svnapot and Svpbmt, compare-and-swap of pairs. The exit status is that of the first check that failed, 0 if none did; "exit=N" (built in by
 * -DEXIT=N) makes a passing run end with status N.
 * SPDX-License-Identifier: MIT
 */
#include "frame.h"

enum { FW_CFG = 0x10100000 };

/* ---- traps ---- */
static volatile ulong trap_cause, trap_tval, trap_pc, trap_count, timer_count;
static volatile ulong trap_t1, trap_t2;
static volatile ulong first_cause, first_tval; /* of the first trap after trap_count was 0 */
static volatile int expect_trap;
static ulong return_to;

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
    if (!trap_count) {
        first_cause = cause;
        first_tval = trap_tval;
    }
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
    if ((cause >= 8 && cause <= 11) || cause == 1 || cause == 12) { /* ecall, or a jump to nowhere: return to the caller in M */
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

#ifdef EXTENSIONS
/* amocas.q, or RV32's amocas.d: (n, ~n) becomes (n + 1, ~(n + 1)); another hart's change is seen whole. */
static volatile ulong pair[2] __attribute__((aligned(16)));
static volatile int torn;
static NOINLINE void contend_pair(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        register ulong low __asm__("a2") = 0, high __asm__("a3") = ~0ul;
        register ulong want_low, new_low __asm__("a4"), new_high __asm__("a5");
        do {
            want_low = low;
            new_low = low + 1;
            new_high = ~new_low;
            __asm__ volatile(".insn r 0x2f, %5, 0x16, %0, %4, %2"
                             : "+r"(low), "+r"(high) : "r"(new_low), "r"(new_high), "r"(pair), "i"(XLEN == 64 ? 4 : 3) : "memory");
            if (high != ~low)
                torn = 1;
        } while (low != want_low);
    }
}
#endif

void secondary(ulong hart)
{
    if (hart != 1)
        return;
    for (;;) {
        switch (command) {
        case 1:
            contend();
            break;
#ifdef EXTENSIONS
        case 3:
            contend_pair();
            break;
#endif
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

/* A jump of mtime makes the supervisor's timer (Sstc: menvcfg.STCE, stimecmp) due at once, and takes it back. */
static void test_time_jump(void)
{
#if REFERENCE == 0
#if XLEN == 64
    __asm__ volatile("csrs 0x30a, %0" ::"r"(1ull << 63));
    __asm__ volatile("csrw 0x14d, %0" ::"r"(mtime() + 10000000000));
#else
    __asm__ volatile("csrs 0x31a, %0" ::"r"(1u << 31));
    __asm__ volatile("csrw 0x14d, %0\n csrw 0x15d, %1" ::"r"(0), "r"((ulong)(mtime() >> 32) + 2));
#endif
    volatile uint32_t *high = (void *)(MTIME + 4);
    check(!(csr_read(mip) & 1 << 5), "the supervisor's timer is not due", csr_read(mip));
    *high += 4;
    check(csr_read(mip) & 1 << 5, "after a jump of mtime it is", csr_read(mip));
    *high -= 4;
    check(!(csr_read(mip) & 1 << 5), "and back", csr_read(mip));
#endif
}

/* ---- paging: supervisor and user code under Sv32 or Sv39 ---- */
#if XLEN == 64
enum { LEVELS = 3, INDEX_BITS = 9 };
#define SATP_MODE ((ulong)8 << 60)
#define ASID_SHIFT 44
#define STORE_LONG "sd"
#else
enum { LEVELS = 2, INDEX_BITS = 10 };
#define SATP_MODE ((ulong)1 << 31)
#define ASID_SHIFT 22
#define STORE_LONG "sw"
#endif
enum { V = 1, RD = 2, WR = 4, EX = 8, US = 16, GL = 32, AC = 64, DI = 128 };
static ulong tables[24][1 << INDEX_BITS] __attribute__((aligned(4096)));
static ulong *root = tables[0];
static unsigned tables_used;
static ulong *map(ulong va, ulong pa, ulong flags) /* one 4 KiB page; returns its entry */
{
    ulong *table = root;
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
static void test_paging(void), test_spaces(void);

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

#ifdef EXTENSIONS
static ulong call_in_mode(int mode, uint32_t insn, ulong argument) /* one instruction; the cause of its trap, or of ecall */
{
    static uint32_t program[2];
    program[0] = insn;
    program[1] = 0x73;
    fence_i();
    trap_count = 0;
    run_in_mode(mode, (ulong)program, argument);
    return first_cause;
}
enum { CBO = 0x0005200f, INVAL = 0, CLEAN = 1, FLUSH = 2, ZERO = 4 }; /* cbo.* (a0) */
#define MENVCFG_ADUE ((ulong)1 << (XLEN == 64 ? 61 : 29))
#if XLEN == 64
#define ADUE_CSR 0x30a
#else
#define ADUE_CSR 0x31a
#endif

static void check_block_enables(unsigned kind, int mode, ulong menvcfg, ulong senvcfg)
{
    static volatile uint8_t block[192] __attribute__((aligned(64)));
    ulong bits = kind == ZERO ? 0x80 : kind == INVAL ? 0x30 : 0x40;
    uint32_t insn = CBO | kind << 20;
    int on = mode == 3 || ((menvcfg & bits) && (mode == 1 || (senvcfg & bits)));
    for (int i = 0; i < 192; i++)
        block[i] = 0x5a;
    csr_clear(0x30a, 0xf0);
    csr_set(0x30a, menvcfg);
    csr_write(0x10a, senvcfg);
    ulong cause = call_in_mode(mode, insn, (ulong)block + 64 + 37);
    check(cause == (on ? 8 + (ulong)mode : 2), "is the cache block operation enabled?", cause);
    check(on || first_tval == insn, "illegal cache block operation", first_tval);
    for (int i = 0; i < 192; i++)
        check(block[i] == (on && kind == ZERO && i >= 64 && i < 128 ? 0 : 0x5a), "a block", i);
}
static void test_cache_blocks(void)
{
    static const uint8_t kinds[] = { INVAL, CLEAN, FLUSH, ZERO }, fields[] = { 0, 0x10, 0x30, 0x40, 0x80, 0xf0 };
    csr_write(pmpaddr0, ~0ul);
    csr_write(pmpcfg0, 0x1f);
    for (unsigned k = 0; k < 4; k++) {
        for (unsigned m = 0; m < 6; m++) {
            for (unsigned s = 0; s < 6; s++) {
                check_block_enables(kinds[k], 3, fields[m], fields[s]);
                check_block_enables(kinds[k], 1, fields[m], fields[s]);
                check_block_enables(kinds[k], 0, fields[m], fields[s]);
            }
        }
    }
    csr_write(0x10a, 0x20); /* reserved CBIE */
    check((csr_read(0x10a) & 0x30) != 0x20, "CBIE is never 2", csr_read(0x10a));
    check(call_in_mode(3, CBO | ZERO << 20, 8) == 7 && first_tval == 8, "zeroing where nothing is", first_cause);
    csr_set(0x30a, 0xf0);
    csr_write(0x10a, 0xf0);
}

/* In S under paging: one instruction with a0 = va; the cause of its trap, or 9. The instruction is at VA_INSN. */
enum { VA_INSN = 0x40001000, VA_PAGE = 0x40002000, VA_RANGE = 0x40010000 };
static ulong paged(uint32_t insn, ulong va)
{
    static uint32_t program[1024] __attribute__((aligned(4096)));
    program[0] = insn;
    program[1] = 0x73;
    map(VA_INSN, (ulong)program, V | RD | EX | AC);
    fence_i();
    csr_write(satp, SATP_MODE | (ulong)tables[0] >> 12);
    __asm__ volatile("sfence.vma" ::: "memory");
    trap_count = 0;
    run_in_mode(1, VA_INSN, va);
    csr_write(satp, 0);
    __asm__ volatile("sfence.vma" ::: "memory");
    return first_cause;
}
static void test_block_permissions(void)
{
    static volatile uint8_t data[4096] __attribute__((aligned(4096)));
    const uint32_t zero = CBO | ZERO << 20, clean = CBO | CLEAN << 20;
    const ulong va = VA_PAGE + 77;
    ulong *entry = map(VA_PAGE, (ulong)data, V | RD | AC | DI);
    data[64] = data[127] = data[63] = data[128] = 1;
    check(paged(zero, va) == 15 && first_tval == va, "zeroing a page that is read-only", first_tval);
    check(paged(clean, va) == 9, "cleaning it", first_cause);
    *entry = (*entry & ~(ulong)RD) | EX;
    check(paged(clean, va) == 15 && first_tval == va, "cleaning a page that is neither read nor written", first_cause);
    *entry = (*entry & ~(ulong)(EX | AC | DI)) | RD | WR;
    csr_clear(ADUE_CSR, MENVCFG_ADUE);
    check(paged(clean, va) == 15 && first_tval == va, "cleaning a page without A", first_cause);
    check(paged(zero, va) == 15 && first_tval == va, "zeroing it", first_cause);
    csr_set(ADUE_CSR, MENVCFG_ADUE);
    check(paged(clean, va) == 9 && (*entry & (AC | DI)) == AC, "cleaning sets A only", *entry);
    check(paged(zero, va) == 9 && (*entry & (AC | DI)) == (AC | DI), "zeroing sets A and D", *entry);
    check(data[63] && !data[64] && !data[127] && data[128], "the block is zero", data[64]);
}

static void test_pairs(void)
{
    static ulong memory[4] __attribute__((aligned(32))) = { 1, 2, 3, 4 };
    const uint32_t wide = XLEN == 64 ? 4 : 3; /* funct3 of pairs */
    const uint32_t pairs = 0x28a5002f | wide << 12 | 12 << 7, single = 0x28a5002f | 2 << 12; /* amocas a2, a0, (a0) */
    check(call_in_mode(3, pairs, (ulong)memory) == 11, "amocas of pairs", first_cause);
    check(call_in_mode(3, pairs | 1 << 7, (ulong)memory) == 2, "odd destination", first_cause);
    check(call_in_mode(3, pairs | 1 << 20, (ulong)memory) == 2, "odd source", first_cause);
    check(call_in_mode(3, pairs, (ulong)memory + sizeof(ulong)) == 6 && first_tval == (ulong)memory + sizeof(ulong),
          "misaligned amocas of pairs", first_cause);
    check(call_in_mode(3, single, (ulong)memory + 2) == 6, "misaligned amocas.w", first_cause);
    check(call_in_mode(3, pairs, 16) == 7 && first_tval == 16, "amocas where nothing is", first_cause);
    pair[0] = 0;
    pair[1] = ~0ul;
    start_other(3);
    contend_pair();
    while (!done)
        ;
    check(pair[0] == 2 * ROUNDS && pair[1] == ~pair[0] && !torn, "amocas of two harts", pair[0]);
}

#if XLEN == 64
static void test_entries(void)
{
    static uint32_t range[0x4000] __attribute__((aligned(0x10000)));
    const uint32_t load = 0x00052303; /* lw t1, 0(a0) */
    const ulong pbmt = 1ul << 61, n = 1ul << 63;
    csr_write(pmpaddr0, ~0ul);
    csr_write(pmpcfg0, 0x1f);
    for (int i = 0; i < 16; i++) {
        range[i * 1024 + 3] = 1000 + i;
        map(VA_RANGE + i * 4096, (ulong)range + 0x8000, n | V | RD | WR | AC | DI);
    }
    for (int i = 0; i < 16; i++) {
        ulong cause = paged(load, VA_RANGE + i * 4096 + 12);
        check(cause == 9 && trap_t1 == 1000ul + i, "a load from a range of 64 KiB", trap_t1);
    }
    map(VA_RANGE, (ulong)range + 0x4000, n | V | RD | WR | AC | DI);
    check(paged(load, VA_RANGE) == 13, "a range of a size that is not there", first_cause);
    csr_clear(0x30a, 1ul << 62);
    for (ulong type = 0; type < 4; type++) {
        map(VA_RANGE, (ulong)range, type * pbmt | V | RD | WR | AC | DI);
        check(paged(load, VA_RANGE + 12) == (type ? 13 : 9), "memory types while off", type);
    }
    csr_set(0x30a, 1ul << 62);
    for (ulong type = 0; type < 4; type++) {
        map(VA_RANGE, (ulong)range, type * pbmt | V | RD | WR | AC | DI);
        check(paged(load, VA_RANGE + 12) == (type == 3 ? 13 : 9), "memory types", type);
        map(VA_RANGE, (ulong)range + 0x8000, n | type * pbmt | V | RD | WR | AC | DI);
        check(paged(load, VA_RANGE + 12) == (type == 3 ? 13 : 9), "memory types of a range", type);
    }
    csr_clear(0x30a, 1ul << 62);
}
#endif
#elif !REFERENCE
/* What a CPU lacks is illegal: one instruction of each extension that is off by default. */
static void test_absent(void)
{
    static const uint32_t insns[] = { 0x0eb55533, 0x0ab51533, 0x08b54533, 0x28b52533, 0x10051513, 0x10851513, 0x0420f553,
                                      0xf0108053, 0x81c54573, 0x00d00073, 0x28a5252f, 0x0045200f, 0x0015200f, 0x00051007 };
    expect_trap = 1;
    for (unsigned i = 0; i < sizeof insns / sizeof *insns; i++) {
        static uint32_t program[2];
        program[0] = insns[i];
        program[1] = 0x8067;
        fence_i();
        trap_cause = 0;
        ((void (*)(void))program)();
        check(trap_cause == 2 && trap_tval == insns[i], "an instruction of an extension that is off", insns[i]);
    }
    expect_trap = 0;
}
#endif

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
#ifdef EXTENSIONS
    { "cache blocks", test_cache_blocks },
    { "cache blocks under paging", test_block_permissions },
    { "compare and swap of pairs", test_pairs },
#if XLEN == 64
    { "ranges and memory types", test_entries },
#endif
#elif !REFERENCE
    { "extensions that are off", test_absent },
#endif
    { "mid-block faults", test_mid_block },
    { "illegal instructions", test_illegal },
    { "counting zeros", test_counts },
    { "misaligned accesses", test_misaligned },
    { "self-modifying code", test_self_modifying },
    { "code written by DMA", test_dma_code },
    { "contention", test_contention },
    { "code written by another hart", test_other_writes_code },
    { "timer", test_timer },
    { "time jump", test_time_jump },
    { "paging", test_paging },
    { "address spaces", test_spaces },
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

/* Two address spaces with a page of their own and global ones, switched without a flush. */
static void test_spaces(void)
{
    enum { VA_CODE = 0x40001000, VA_OWN = 0x40002000 };
    const ulong VA_GLOBAL = (ulong)-4096 * 5; /* in the upper half, as a kernel's are */
    static uint32_t program[1024] __attribute__((aligned(4096)));
    static uint32_t own[3][1024] __attribute__((aligned(4096))), common[2][1024] __attribute__((aligned(4096)));
    const ulong flags = V | RD | WR | AC | DI, here = (ulong)own[2]; /* an address that is RAM without paging, too */
    ulong satp_of[2], *leaf[2], *global_leaf[2];
    program[0] = 0x00052303; /* lw t1, 0(a0) */
    program[1] = 0x00052223; /* sw zero, 4(a0) */
    program[2] = 0x73;
    fence_i();
    for (int i = 0; i < 3; i++)
        own[i][0] = 100 + i;
    common[0][0] = 200;
    common[1][0] = 201;
    for (int i = 0; i < 2; i++) {
        root = tables[++tables_used];
        map(VA_CODE, (ulong)program, V | RD | EX | AC | GL);
        leaf[i] = map(VA_OWN, (ulong)own[i], flags);
        global_leaf[i] = map(VA_GLOBAL, (ulong)common[0], flags | GL);
        map(here, (ulong)common[0], flags | GL);
        satp_of[i] = SATP_MODE | (ulong)(i + 1) << ASID_SHIFT | (ulong)root >> 12;
    }
    root = tables[0];
    __asm__ volatile("sfence.vma" ::: "memory");
    for (unsigned turn = 0; turn < 12; turn++) {
        unsigned i = turn % 2;
        if (turn == 4) { /* one space's own page is another one */
            *leaf[0] = (ulong)own[2] >> 12 << 10 | flags;
            __asm__ volatile("sfence.vma x0, %0" ::"r"(1ul) : "memory");
        } else if (turn == 8) {
            for (int k = 0; k < 2; k++)
                *global_leaf[k] = (ulong)common[1] >> 12 << 10 | flags | GL;
            __asm__ volatile("sfence.vma %0" ::"r"(VA_GLOBAL) : "memory");
        }
        csr_write(satp, satp_of[i]);
        run_in_mode(1, VA_CODE, VA_OWN);
        check(trap_cause == 9 && trap_t1 == (i ? 101 : turn < 4 ? 100 : 102), "a page of the address space", trap_t1);
        run_in_mode(1, VA_CODE, VA_GLOBAL);
        check(trap_cause == 9 && trap_t1 == (turn < 8 ? 200 : 201), "a global page", trap_t1);
        run_in_mode(1, VA_CODE, here);
        check(trap_cause == 9 && trap_t1 == 200, "a global page at an address of RAM", trap_t1);
        csr_write(satp, 0);
        run_in_mode(1, (ulong)program, here);
        check(trap_cause == 9 && trap_t1 == 102, "without paging, the RAM there", trap_t1);
    }
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
