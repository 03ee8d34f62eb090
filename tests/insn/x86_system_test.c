/*
 * What x86 programs do to the machine: exceptions and their frames and error codes, gates, privilege changes, task
 * switches, virtual-8086 mode, system calls, control registers. Each test puts bytes and registers in place, runs to a
 * hlt and looks (Intel 64 and IA-32 Architectures Software Developer's Manual, December 2024, volume 3, chapters 6 to 9
 * and 21; volume 2, the instructions' pages). All run on the JIT and on the interpreter.
 * SPDX-License-Identifier: MIT
 */
#include "x86_bare.h"
#include <string.h>

/* Physical addresses; paging, in long mode, is the identity. */
enum {
    IVT = 0,
    GDT = 0x1000,
    IDT = 0x2000,
    LDT = 0x3000,
    TSS_A = 0x4000,
    TSS_B = 0x4200,
    TSS_C = 0x4400,
    HANDLERS = 0x5000, /* vector n: hlt at + 16 n */
    CODE = 0x8000,
    CODE2 = 0x8800, /* where gates and tasks lead */
    DATA = 0x9000,
    STACK0 = 0xb000, /* tops */
    STACK1 = 0xc000,
    STACK3 = 0xd000,
    STACK_IST = 0xe000,
    PML4 = 0x10000,
    PDPT = 0x11000,
    PD = 0x12000,
    RAM_BYTES = 1 << 20,
};

/* Selectors, with the RPL that goes with their DPL. */
enum {
    CS32 = 0x08,
    DS32 = 0x10,
    CS32_3 = 0x1b,
    DS32_3 = 0x23,
    CS64 = 0x28,
    DS64_3 = 0x33, /* as sysret wants them: data, then code */
    CS64_3 = 0x3b,
    CS16 = 0x40,
    DS16 = 0x48,
    CONFORMING = 0x50,
    ABSENT = 0x58,
    READ_ONLY = 0x60,
    EXECUTE_ONLY = 0x68,
    CALL_GATE = 0x73,  /* to CS32, two parameters; DPL 3 */
    CALL_GATE0 = 0x78, /* likewise, DPL 0 */
    ABSENT_GATE = 0x83,
    TSS_A_SEL = 0x88, /* the present task; 16 bytes in long mode */
    TSS_B_SEL = 0x98,
    TSS_C_SEL = 0xa0,
    TASK_GATE = 0xab, /* to TSS_B */
    LDT_SEL = 0xb0,   /* 16 bytes in long mode */
    CODE1 = 0xc1,     /* DPL 1 */
    DATA1 = 0xc9,
    CALL_GATE64 = 0xd3, /* 16 bytes */
    CALL_GATE1 = 0xe3,  /* to CODE1, no parameters; DPL 3 */
    GDT_BYTES = 0xf0,
};

static X86Bare *b;
static X86State *s;

static void put(uint64_t at, uint64_t v, unsigned bytes)
{
    x86_bare_put(b, at, v, bytes);
}

static uint64_t get(uint64_t at, unsigned bytes)
{
    return x86_bare_get(b, at, bytes);
}

/* ---- the world ---- */

static uint64_t gate(uint16_t selector, uint32_t offset, unsigned type, unsigned dpl, bool present)
{
    return (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)(type | dpl << 5 | (present ? 0x80 : 0)) << 40 |
           (uint64_t)(offset & 0xffff0000) << 32;
}

static void make_gdt(bool wide)
{
    static const struct {
        uint16_t selector;
        uint32_t base, limit;
        uint16_t attributes;
    } rows[] = {
        { CS32, 0, 0xfffff, 0xc09b },         { DS32, 0, 0xfffff, 0xc093 },   { CS32_3, 0, 0xfffff, 0xc0fb },
        { DS32_3, 0, 0xfffff, 0xc0f3 },       { CS64, 0, 0xfffff, 0xa09b },   { DS64_3, 0, 0xfffff, 0xc0f3 },
        { CS64_3, 0, 0xfffff, 0xa0fb },       { CS16, 0, 0xffff, 0x009b },    { DS16, 0, 0xffff, 0x0093 },
        { CONFORMING, 0, 0xfffff, 0xc09f },   { ABSENT, 0, 0xfffff, 0xc013 }, { READ_ONLY, 0, 0xfffff, 0xc091 },
        { EXECUTE_ONLY, 0, 0xfffff, 0xc099 }, { CODE1, 0, 0xfffff, 0xc0bb },  { DATA1, 0, 0xfffff, 0xc0b3 }
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        put(GDT + (rows[i].selector & ~7u), x86_bare_descriptor(rows[i].base, rows[i].limit, rows[i].attributes), 8);
    put(GDT + (CALL_GATE & ~7u), gate(CS32, CODE2, SYSTEM_CALL, 3, true) | 2ull << 32, 8);
    put(GDT + (CALL_GATE0 & ~7u), gate(CS32, CODE2, SYSTEM_CALL, 0, true), 8);
    put(GDT + (ABSENT_GATE & ~7u), gate(CS32, CODE2, SYSTEM_CALL, 3, false), 8);
    put(GDT + TSS_A_SEL, x86_bare_descriptor(TSS_A, 0x67, 0x80 | SYSTEM_TSS_BUSY), 8);
    put(GDT + LDT_SEL, x86_bare_descriptor(LDT, 0xff, 0x80 | SYSTEM_LDT), 8);
    put(GDT + (CALL_GATE1 & ~7u), gate(CODE1, CODE2, SYSTEM_CALL, 3, true), 8);
    if (wide) {
        put(GDT + (CALL_GATE64 & ~7u), gate(CS64, CODE2, SYSTEM_CALL, 3, true), 8);
        return;
    }
    put(GDT + TSS_B_SEL, x86_bare_descriptor(TSS_B, 0x67, 0x80 | SYSTEM_TSS), 8);
    put(GDT + TSS_C_SEL, x86_bare_descriptor(TSS_C, 0x2b, 0x80 | SYSTEM_TSS16), 8);
    put(GDT + (TASK_GATE & ~7u), gate(TSS_B_SEL, 0, SYSTEM_TASK_GATE, 3, true), 8);
}

static void make_idt(bool wide)
{
    for (unsigned v = 0; v < 64; v++) {
        put(IDT + v * (wide ? 16 : 8), gate(wide ? CS64 : CS32, HANDLERS + 16 * v, SYSTEM_INTERRUPT, 0, true), 8);
        b->host[HANDLERS + 16 * v] = 0xf4;
    }
}

static void set_gate(unsigned vector, uint64_t value)
{
    put(IDT + vector * (x86_long(s) ? 16 : 8), value, 8);
}

static void load(unsigned segment, uint16_t selector)
{
    uint64_t d = get(GDT + (selector & ~7u), 8);
    X86Descriptor words = { .low = (uint32_t)d, .high = (uint32_t)(d >> 32) };
    x86_segment_from(&s->segment[segment], selector, &words);
}

static void load_data(uint16_t selector)
{
    static const uint8_t data[] = { X86_ES, X86_SS, X86_DS, X86_FS, X86_GS };
    for (unsigned i = 0; i < G_N_ELEMENTS(data); i++)
        load(data[i], selector);
}

static void clear(void)
{
    memset(b->host, 0, RAM_BYTES);
    for (unsigned i = 0; i < X86_GPRS; i++)
        s->gpr[i] = 0x0101010101010101ull * i;
    s->cc_op = CC_EFLAGS << 2;
    s->cc_result = 0;
    s->eflags = FLAG_1;
    s->cr2 = s->cr3 = s->cr8 = s->efer = 0;
    s->cr4 = 0;
    s->shadow = 0;
    memset(s->dr, 0, sizeof(s->dr));
    s->dr[6] = 0xffff0ff0;
    s->dr[7] = 0x400;
    s->ldt = (X86SegmentReg){ 0 };
    s->gdt = (X86Table){ GDT, GDT_BYTES - 1 };
    s->idt = (X86Table){ IDT, 0x3ff };
    s->gpr[RSP] = STACK0;
    s->cs.pc = CODE;
}

static void real_mode(void)
{
    clear();
    s->cr0 = CR0_ET | CR0_NE;
    s->idt = (X86Table){ IVT, 0x3ff };
    for (unsigned v = 0; v < 64; v++) {
        put(IVT + 4 * v, HANDLERS + 16 * v, 4);
        b->host[HANDLERS + 16 * v] = 0xf4;
    }
    for (unsigned i = 0; i < 6; i++)
        x86_load_segment_real(s, (X86Segment)i, 0);
    for (unsigned i = 0; i < 6; i++) /* as a reset leaves them */
        s->segment[i].limit = 0xffff;
}

static void protected_mode(unsigned cpl)
{
    clear();
    s->cr0 = CR0_PE | CR0_ET | CR0_NE;
    s->cr4 = CR4_PSE;
    make_gdt(false);
    make_idt(false);
    put(TSS_A + 4, STACK0, 4);
    put(TSS_A + 8, DS32, 4);
    put(TSS_A + 12, STACK1, 4);
    put(TSS_A + 16, DATA1, 4);
    put(TSS_A + 0x66, 0x68, 2);
    s->tr =
        (X86SegmentReg){ .base = TSS_A, .limit = 0x67, .selector = TSS_A_SEL, .attributes = 0x80 | SYSTEM_TSS_BUSY };
    load(X86_CS, cpl ? CS32_3 : CS32);
    load_data(cpl ? DS32_3 : DS32);
    s->gpr[RSP] = cpl ? STACK3 : STACK0;
}

static void long_mode(unsigned cpl)
{
    clear();
    s->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG | CR0_WP;
    s->cr4 = CR4_PAE | CR4_PSE;
    s->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
    s->cr3 = PML4;
    put(PML4, PDPT | 7, 8);
    put(PDPT, PD | 7, 8);
    put(PD, 0x87, 8);
    make_gdt(true);
    make_idt(true);
    put(TSS_A + 4, STACK0, 8);
    put(TSS_A + 12, STACK1, 8);
    put(TSS_A + 36, STACK_IST, 8);
    put(TSS_A + 0x66, 0x68, 2);
    s->tr =
        (X86SegmentReg){ .base = TSS_A, .limit = 0x67, .selector = TSS_A_SEL, .attributes = 0x80 | SYSTEM_TSS_BUSY };
    load(X86_CS, cpl ? CS64_3 : CS64);
    load_data(cpl ? DS64_3 : DS32);
    s->gpr[RSP] = cpl ? STACK3 : STACK0;
}

static void in_thread(Vcpu *vcpu, void *opaque)
{
    bool *halted = opaque;
    x86_mode_changed(s);
    tcg_flush_all(&s->cs);
    x86_bare_code_written(b, 0, RAM_BYTES);
    tcg_enter(vcpu->accel);
    *halted = x86_bare_go(b, NULL, 1000);
    tcg_leave(vcpu->accel, TCG_RUN_ON);
}

#define BYTES(text) text, sizeof(text) - 1

/* Run these instructions to a hlt. */
static void run(const char *bytes, size_t count)
{
    bool halted = false;
    memcpy(b->host + CODE, bytes, count);
    vcpu_call(b->vcpu, in_thread, &halted);
    g_assert_true(halted);
}

/* The handler that we are in now; 255: none. */
static unsigned vector(void)
{
    return s->cs.pc > HANDLERS && s->cs.pc <= HANDLERS + 16 * 64 ? (unsigned)(s->cs.pc - 1 - HANDLERS) / 16 : 255;
}

/* The frame's words, of 4 bytes in protected and of 8 in long mode; real mode: 2. */
static uint64_t word(unsigned n)
{
    unsigned bytes = x86_long(s) ? 8 : s->cr0 & CR0_PE ? 4 : 2;
    return get(s->segment[X86_SS].base + s->gpr[RSP] + n * bytes, bytes);
}

static void assert_error(unsigned want, uint32_t error)
{
    g_assert_cmpuint(vector(), ==, want);
    g_assert_cmphex(word(0) & 0xffffffff, ==, error);
}

/* ---- real mode ---- */

static void test_real_interrupt(void)
{
    real_mode();
    s->eflags |= FLAG_IF;
    s->cc_result = FLAG_CF;
    run(BYTES("\xcd\x21")); /* int 0x21 */
    g_assert_cmpuint(vector(), ==, 0x21);
    g_assert_cmphex(s->gpr[RSP] & 0xffff, ==, STACK0 - 6);
    g_assert_cmphex(word(0), ==, CODE + 2);
    g_assert_cmphex(word(1), ==, 0);
    g_assert_cmphex(word(2), ==, FLAG_IF | FLAG_1 | FLAG_CF);
    g_assert_false(s->eflags & FLAG_IF);
}

static void test_real_iret(void)
{
    real_mode();
    put(STACK0 - 6, CODE2, 2);
    put(STACK0 - 4, 0x10, 2);
    put(STACK0 - 2, FLAG_IF | FLAG_ZF | FLAG_1, 2);
    s->gpr[RSP] = STACK0 - 6;
    b->host[CODE2 + 0x100] = 0xf4;
    run(BYTES("\xcf")); /* iret */
    g_assert_cmphex(s->cs.pc, ==, CODE2 + 0x101);
    g_assert_cmphex(s->segment[X86_CS].base, ==, 0x100);
    g_assert_cmphex(x86_eflags(s) & (FLAG_IF | FLAG_ZF), ==, FLAG_IF | FLAG_ZF);
    g_assert_cmphex(s->gpr[RSP] & 0xffff, ==, STACK0);
}

static void test_real_limit(void)
{
    real_mode();
    run(BYTES("\xa1\xff\xff\xf4")); /* mov ax, [0xffff] */
    g_assert_cmpuint(vector(), ==, VECTOR_GP);
    g_assert_cmphex(word(0), ==, CODE);
    real_mode();
    run(BYTES("\x67\x66\x8b\x05\x00\x00\x01\x00\xf4")); /* mov eax, [dword 0x10000] */
    g_assert_cmpuint(vector(), ==, VECTOR_GP);
    real_mode(); /* "unreal": the limit is the descriptor cache's */
    s->segment[X86_DS].limit = UINT32_MAX;
    put(DATA, 0x12345678, 4);
    s->gpr[RBX] = DATA;
    put(0x20000, 0xabcdef01, 4);
    run(BYTES("\x67\x66\xa1\x00\x00\x02\x00\xf4")); /* mov eax, [dword 0x20000] */
    g_assert_cmphex(s->gpr[RAX] & UINT32_MAX, ==, 0xabcdef01);
}

static void test_real_divide(void)
{
    real_mode();
    s->gpr[RBX] = 0;
    run(BYTES("\xf6\xf3\xf4")); /* div bl */
    g_assert_cmpuint(vector(), ==, VECTOR_DE);
    g_assert_cmphex(word(0), ==, CODE); /* a fault: points to itself */
}

static void test_real_to_protected(void)
{
    real_mode();
    make_gdt(false);
    memcpy(b->host + CODE2, "\xb8\x10\x00\x00\x00\x8e\xd8\xf4", 8); /* mov eax, DS32; mov ds, eax; hlt */
    /* mov eax, cr0; or al, 1; mov cr0, eax; jmpf dword CS32:CODE2 */
    run(BYTES("\x0f\x20\xc0\x0c\x01\x0f\x22\xc0\x66\xea\x00\x88\x00\x00\x08\x00"));
    g_assert_cmphex(s->cs.pc, ==, CODE2 + 8);
    g_assert_cmphex(s->segment[X86_DS].selector, ==, DS32);
    g_assert_cmphex(s->segment[X86_DS].limit, ==, UINT32_MAX);
    g_assert_cmphex(s->segment[X86_CS].selector, ==, CS32);
}

/* ---- protected mode: interrupts ---- */

static void test_inner_interrupt(void)
{
    protected_mode(3);
    s->eflags |= FLAG_IF;
    set_gate(0x21, gate(CS32, HANDLERS + 0x210, SYSTEM_INTERRUPT, 3, true));
    run(BYTES("\xcd\x21"));
    g_assert_cmpuint(vector(), ==, 0x21);
    g_assert_cmphex(s->gpr[RSP], ==, STACK0 - 20);
    g_assert_cmphex(word(0), ==, CODE + 2);
    g_assert_cmphex(word(1), ==, CS32_3);
    g_assert_cmphex(word(2), ==, FLAG_IF | FLAG_1);
    g_assert_cmphex(word(3), ==, STACK3);
    g_assert_cmphex(word(4), ==, DS32_3);
    g_assert_cmphex(s->segment[X86_SS].selector, ==, DS32);
    g_assert_cmphex(s->segment[X86_CS].selector, ==, CS32);
    g_assert_false(s->eflags & FLAG_IF);
    protected_mode(3); /* a trap gate leaves IF */
    s->eflags |= FLAG_IF;
    set_gate(0x21, gate(CS32, HANDLERS + 0x210, SYSTEM_TRAP, 3, true));
    run(BYTES("\xcd\x21"));
    g_assert_true(s->eflags & FLAG_IF);
}

static void test_gate_errors(void)
{
    protected_mode(3); /* DPL */
    run(BYTES("\xcd\x21"));
    assert_error(VECTOR_GP, 0x21 * 8 + 2);
    g_assert_cmphex(word(1), ==, CODE);
    protected_mode(0); /* not present */
    set_gate(0x21, gate(CS32, HANDLERS + 0x210, SYSTEM_INTERRUPT, 0, false));
    run(BYTES("\xcd\x21"));
    assert_error(VECTOR_NP, 0x21 * 8 + 2);
    protected_mode(0); /* not a gate for interrupts */
    set_gate(0x21, gate(CS32, HANDLERS + 0x210, SYSTEM_CALL, 0, true));
    run(BYTES("\xcd\x21"));
    assert_error(VECTOR_GP, 0x21 * 8 + 2);
    protected_mode(0); /* beyond the limit */
    run(BYTES("\xcd\xff"));
    assert_error(VECTOR_GP, 0xff * 8 + 2);
    protected_mode(0); /* the code segment: null, data, not there */
    set_gate(0x21, gate(0, HANDLERS, SYSTEM_INTERRUPT, 0, true));
    run(BYTES("\xcd\x21"));
    assert_error(VECTOR_GP, 0);
    protected_mode(0);
    set_gate(0x21, gate(DS32, HANDLERS, SYSTEM_INTERRUPT, 0, true));
    run(BYTES("\xcd\x21"));
    assert_error(VECTOR_GP, DS32);
    protected_mode(0); /* an exception on the way: EXT is set */
    set_gate(VECTOR_UD, gate(DS32, HANDLERS, SYSTEM_INTERRUPT, 0, true));
    run(BYTES("\x0f\x0b"));
    assert_error(VECTOR_GP, DS32 | 1);
}

static void test_double_fault(void)
{
    protected_mode(0);
    set_gate(VECTOR_GP, gate(CS32, HANDLERS, SYSTEM_INTERRUPT, 0, false));
    run(BYTES("\xcd\xff")); /* #GP, then #NP */
    assert_error(VECTOR_DF, 0);
    protected_mode(0); /* a benign one first: no double fault */
    set_gate(VECTOR_UD, gate(CS32, HANDLERS, SYSTEM_INTERRUPT, 0, false));
    run(BYTES("\x0f\x0b"));
    assert_error(VECTOR_NP, VECTOR_UD * 8 + 3);
}

static void test_int3_into_bound(void)
{
    protected_mode(0);
    run(BYTES("\xcc"));
    g_assert_cmpuint(vector(), ==, VECTOR_BP);
    g_assert_cmphex(word(0), ==, CODE + 1); /* a trap */
    protected_mode(0);
    s->cc_result = FLAG_OF;
    run(BYTES("\xce"));
    g_assert_cmpuint(vector(), ==, VECTOR_OF);
    g_assert_cmphex(word(0), ==, CODE + 1);
    protected_mode(0);
    s->gpr[RAX] = 11;
    put(DATA, 1, 4);
    put(DATA + 4, 10, 4);
    run(BYTES("\x62\x05\x00\x90\x00\x00")); /* bound eax, [DATA] */
    g_assert_cmpuint(vector(), ==, VECTOR_BR);
    g_assert_cmphex(word(0), ==, CODE);
    protected_mode(0);
    run(BYTES("\xf1")); /* int1 */
    g_assert_cmpuint(vector(), ==, VECTOR_DB);
    g_assert_cmphex(word(0), ==, CODE + 1);
}

/* ---- segments ---- */

/* mov SEGMENT, ax; hlt */
static void load_selector(unsigned cpl, unsigned segment, uint16_t selector)
{
    char code[] = { '\x8e', (char)(0xc0 | segment << 3), '\xf4' };
    protected_mode(cpl);
    s->gpr[RAX] = selector;
    run(code, sizeof(code));
}

static void test_segment_loads(void)
{
    static const struct {
        unsigned cpl, segment;
        uint16_t selector;
        unsigned vector; /* 255: none */
        uint32_t error;
    } rows[] = {
        { 0, X86_DS, DS32, 255, 0 },
        { 0, X86_DS, 0, 255, 0 },
        { 0, X86_DS, 3, 255, 0 },
        { 0, X86_DS, ABSENT, VECTOR_NP, ABSENT },
        { 0, X86_DS, EXECUTE_ONLY, VECTOR_GP, EXECUTE_ONLY },
        { 0, X86_DS, READ_ONLY, 255, 0 },
        { 0, X86_DS, CS32, 255, 0 },
        { 0, X86_DS, TSS_A_SEL, VECTOR_GP, TSS_A_SEL },
        { 0, X86_DS, CALL_GATE, VECTOR_GP, CALL_GATE & 0xfffc },
        { 0, X86_DS, GDT_BYTES, VECTOR_GP, GDT_BYTES },
        { 0, X86_DS, 4, VECTOR_GP, 4 }, /* no LDT */
        { 0, X86_DS, DS32 | 3, VECTOR_GP, DS32 },
        { 3, X86_DS, DS32, VECTOR_GP, DS32 },
        { 3, X86_DS, DS32_3, 255, 0 },
        { 3, X86_DS, CONFORMING, 255, 0 },
        { 3, X86_ES, CONFORMING | 3, 255, 0 },
        { 0, X86_SS, DS32, 255, 0 },
        { 0, X86_SS, 0, VECTOR_GP, 0 },
        { 0, X86_SS, DS32_3, VECTOR_GP, DS32_3 & 0xfffc },
        { 0, X86_SS, READ_ONLY, VECTOR_GP, READ_ONLY },
        { 0, X86_SS, ABSENT, VECTOR_SS, ABSENT },
        { 0, X86_SS, CS32, VECTOR_GP, CS32 },
        { 3, X86_SS, DS32_3, 255, 0 },
        { 3, X86_SS, DS32, VECTOR_GP, DS32 },
        { 3, X86_SS, DS32_3 & ~3, VECTOR_GP, DS32_3 & 0xfffc },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        load_selector(rows[i].cpl, rows[i].segment, rows[i].selector);
        if (rows[i].vector == 255) {
            g_assert_cmphex(s->segment[rows[i].segment].selector, ==, rows[i].selector);
            g_assert_cmpuint(vector(), ==, rows[i].cpl ? VECTOR_GP : 255); /* hlt outside the kernel */
            if (rows[i].cpl)
                g_assert_cmphex(word(1), ==, CODE + 2);
        } else {
            if (vector() != rows[i].vector || word(0) != rows[i].error)
                g_printerr("row %u\n", i);
            assert_error(rows[i].vector, rows[i].error);
            g_assert_cmphex(word(1), ==, CODE);
        }
    }
    load_selector(0, X86_CS, CS32);
    g_assert_cmpuint(vector(), ==, VECTOR_UD);
}

static void test_null_segment(void)
{
    protected_mode(0);
    s->segment[X86_ES] = (X86SegmentReg){ 0 };
    run(BYTES("\x26\xa1\x00\x90\x00\x00\xf4")); /* mov eax, es:[DATA] */
    assert_error(VECTOR_GP, 0);
}

static void test_segment_marked_accessed(void)
{
    protected_mode(0);
    put(GDT + DS32, x86_bare_descriptor(0, 0xfffff, 0xc092), 8);
    s->gpr[RAX] = DS32;
    run(BYTES("\x8e\xd8\xf4"));
    g_assert_cmphex(get(GDT + DS32 + 5, 1), ==, 0x93);
}

static void test_lar_lsl_verify(void)
{
    protected_mode(3);
    s->gpr[RBX] = DS32_3;
    run(BYTES("\x0f\x02\xc3\x0f\x03\xcb\x90\xf4")); /* lar eax, ebx; lsl ecx, ebx */
    g_assert_cmphex(s->gpr[RAX], ==, 0x00c0f300);
    g_assert_cmphex(s->gpr[RCX], ==, 0xffffffff);
    g_assert_true(word(3) & FLAG_ZF);
    protected_mode(3);
    s->gpr[RBX] = DS32;
    run(BYTES("\x0f\x02\xc3\xf4"));
    g_assert_false(word(3) & FLAG_ZF);
    g_assert_cmphex(s->gpr[RAX] & UINT32_MAX, ==, 0);
    protected_mode(0);
    s->gpr[RBX] = READ_ONLY;
    run(BYTES("\x0f\x00\xe3\x0f\x94\xc0\x0f\x00\xeb\x0f\x94\xc1\xf4")); /* verr ebx; sete al; verw ebx; sete cl */
    g_assert_cmphex(s->gpr[RAX] & 255, ==, 1);
    g_assert_cmphex(s->gpr[RCX] & 255, ==, 0);
}

/* ---- far transfers ---- */

static void test_call_gate(void)
{
    protected_mode(3);
    memcpy(b->host + CODE2, "\xf4", 1);
    /* push 0x11111111; push 0x22222222; callf CALL_GATE:0 */
    run(BYTES("\x68\x11\x11\x11\x11\x68\x22\x22\x22\x22\x9a\x00\x00\x00\x00\x73\x00"));
    g_assert_cmphex(s->cs.pc, ==, CODE2 + 1);
    g_assert_cmphex(s->segment[X86_CS].selector, ==, CS32);
    g_assert_cmphex(s->segment[X86_SS].selector, ==, DS32);
    g_assert_cmphex(s->gpr[RSP], ==, STACK0 - 24);
    g_assert_cmphex(word(0), ==, CODE + 17);
    g_assert_cmphex(word(1), ==, CS32_3);
    g_assert_cmphex(word(2), ==, 0x22222222);
    g_assert_cmphex(word(3), ==, 0x11111111);
    g_assert_cmphex(word(4), ==, STACK3 - 8);
    g_assert_cmphex(word(5), ==, DS32_3);
}

static void test_call_gate_return(void)
{
    protected_mode(3);
    load(X86_ES, CONFORMING);
    memcpy(b->host + CODE2, "\xb8\x10\x00\x00\x00\x8e\xe0\xca\x08\x00", 10); /* mov eax, DS32; mov fs, eax; retf 8 */
    run(BYTES("\x68\x11\x11\x11\x11\x68\x22\x22\x22\x22\x9a\x00\x00\x00\x00\x73\x00\xf4"));
    assert_error(VECTOR_GP, 0); /* the hlt, back outside */
    g_assert_cmphex(word(1), ==, CODE + 17);
    g_assert_cmphex(word(2), ==, CS32_3);
    g_assert_cmphex(word(4), ==, STACK3);                /* the parameters are gone there, too */
    g_assert_cmphex(s->segment[X86_FS].selector, ==, 0); /* not for level 3 */
    g_assert_cmphex(s->segment[X86_ES].selector, ==, CONFORMING);
    g_assert_cmphex(s->segment[X86_DS].selector, ==, DS32_3);
}

static void test_call_gate_errors(void)
{
    protected_mode(3);
    run(BYTES("\x9a\x00\x00\x00\x00\x78\x00")); /* CALL_GATE0: DPL 0 */
    assert_error(VECTOR_GP, CALL_GATE0);
    protected_mode(3);
    run(BYTES("\x9a\x00\x00\x00\x00\x83\x00"));
    assert_error(VECTOR_NP, ABSENT_GATE & 0xfffc);
    protected_mode(3); /* jmp cannot go inwards */
    run(BYTES("\xea\x00\x00\x00\x00\x73\x00"));
    assert_error(VECTOR_GP, CS32);
    protected_mode(3); /* to level 1 */
    b->host[CODE2] = 0xcc;
    run(BYTES("\x9a\x00\x00\x00\x00\xe3\x00"));
    assert_error(VECTOR_GP, 3 * 8 + 2); /* int3 there: DPL 0 */
    g_assert_cmphex(word(2), ==, CODE1);
    g_assert_cmphex(word(4), ==, STACK1 - 16);
    g_assert_cmphex(word(5), ==, DATA1);
    protected_mode(3); /* code of another level, directly */
    run(BYTES("\xea\x00\x88\x00\x00\x08\x00"));
    assert_error(VECTOR_GP, CS32);
    protected_mode(3); /* conforming code runs at the caller's level */
    b->host[CODE2] = 0xf4;
    run(BYTES("\xea\x00\x88\x00\x00\x50\x00"));
    assert_error(VECTOR_GP, 0);
    g_assert_cmphex(word(2), ==, CONFORMING | 3);
}

static void test_iret_outer(void)
{
    protected_mode(0);
    load(X86_FS, DS32_3);
    /* push DS32_3; push STACK3; push flags; push CS32_3; push CODE2; iret */
    b->host[CODE2] = 0xf4;
    run(BYTES("\x6a\x23\x68\x00\xd0\x00\x00\x68\x02\x32\x00\x00\x6a\x1b\x68\x00\x88\x00\x00\xcf"));
    assert_error(VECTOR_GP, 0);
    g_assert_cmphex(word(1), ==, CODE2);
    g_assert_cmphex(word(2), ==, CS32_3);
    g_assert_cmphex(word(3) & FLAG_IOPL, ==, FLAG_IOPL);
    g_assert_cmphex(word(4), ==, STACK3);
    g_assert_cmphex(word(5), ==, DS32_3);
    g_assert_cmphex(s->segment[X86_DS].selector, ==, 0);
    g_assert_cmphex(s->segment[X86_FS].selector, ==, DS32_3);
}

static void test_iopl(void)
{
    protected_mode(3);
    s->eflags |= FLAG_IF;
    run(BYTES("\xfa\xf4")); /* cli */
    assert_error(VECTOR_GP, 0);
    protected_mode(3);
    s->eflags |= FLAG_IF | FLAG_IOPL;
    run(BYTES("\xfa\xf4"));
    g_assert_cmphex(word(1), ==, CODE + 1); /* the hlt */
    g_assert_false(word(3) & FLAG_IF);
    protected_mode(3); /* popf changes neither IF nor IOPL */
    s->eflags |= FLAG_IF;
    run(BYTES("\x68\xd7\x3c\x00\x00\x9d\xf4"));
    g_assert_cmphex(word(3) & 0xffff, ==, 0x0ed7);
    protected_mode(3); /* port: bit in the TSS */
    put(TSS_A + 0x66, 0x60, 2);
    put(TSS_A + 0x60, 0xff, 1); /* ports 0 to 7 */
    put(TSS_A + 0x61, 0xfe, 1);
    s->gpr[RDX] = 7;
    run(BYTES("\xec\xf4"));
    assert_error(VECTOR_GP, 0);
    g_assert_cmphex(word(1), ==, CODE);
}

/* ---- tasks ---- */

static void make_task_b(void)
{
    static const struct {
        unsigned at;
        uint32_t value;
    } rows[] = { { 0x1c, 0 },          { 0x20, CODE2 },      { 0x24, FLAG_1 | FLAG_CF },
                 { 0x28, 0xaaaaaaaa }, { 0x2c, 0xcccccccc }, { 0x38, STACK1 },
                 { 0x48, DS32 },       { 0x4c, CS32 },       { 0x50, DS32 },
                 { 0x54, DS32 },       { 0x58, 0 },          { 0x5c, 0 },
                 { 0x60, 0 } };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        put(TSS_B + rows[i].at, rows[i].value, 4);
}

static void test_task_jump(void)
{
    protected_mode(0);
    make_task_b();
    b->host[CODE2] = 0xf4;
    run(BYTES("\xea\x00\x00\x00\x00\x98\x00")); /* jmpf TSS_B_SEL:0 */
    g_assert_cmphex(s->cs.pc, ==, CODE2 + 1);
    g_assert_cmphex(s->gpr[RAX], ==, 0xaaaaaaaa);
    g_assert_cmphex(s->gpr[RSP], ==, STACK1);
    g_assert_cmphex(s->tr.selector, ==, TSS_B_SEL);
    g_assert_cmphex(get(GDT + TSS_B_SEL + 5, 1), ==, 0x80 | SYSTEM_TSS_BUSY);
    g_assert_cmphex(get(GDT + TSS_A_SEL + 5, 1), ==, 0x80 | SYSTEM_TSS);
    g_assert_cmphex(get(TSS_A + 0x20, 4), ==, CODE + 7);
    g_assert_cmphex(get(TSS_A + 0x28, 4), ==, 0);
    g_assert_cmphex(get(TSS_A + 0x2c, 4), ==, 0x01010101);
    g_assert_cmphex(get(TSS_A + 0x4c, 2), ==, CS32);
    g_assert_true(s->cr0 & CR0_TS);
    g_assert_true(x86_eflags(s) & FLAG_CF);
    g_assert_false(x86_eflags(s) & FLAG_NT);
}

static void test_task_call_and_return(void)
{
    protected_mode(0);
    make_task_b();
    b->host[CODE2] = 0xcf; /* iret */
    run(BYTES("\x9a\x00\x00\x00\x00\x98\x00\xf4"));
    g_assert_cmphex(s->cs.pc, ==, CODE + 8);
    g_assert_cmphex(s->tr.selector, ==, TSS_A_SEL);
    g_assert_cmphex(get(TSS_B, 2), ==, TSS_A_SEL); /* link */
    g_assert_cmphex(get(TSS_B + 0x20, 4), ==, CODE2 + 1);
    g_assert_cmphex(get(GDT + TSS_A_SEL + 5, 1), ==, 0x80 | SYSTEM_TSS_BUSY);
    g_assert_cmphex(get(GDT + TSS_B_SEL + 5, 1), ==, 0x80 | SYSTEM_TSS);
    g_assert_cmphex(s->gpr[RCX], ==, 0x01010101);
}

static void test_task_gate(void)
{
    protected_mode(3);
    make_task_b();
    set_gate(VECTOR_GP, gate(TSS_B_SEL, 0, SYSTEM_TASK_GATE, 0, true));
    b->host[CODE2] = 0xf4;
    run(BYTES("\x0f\x20\xc0")); /* mov eax, cr0 */
    g_assert_cmphex(s->cs.pc, ==, CODE2 + 1);
    g_assert_cmphex(s->gpr[RSP], ==, STACK1 - 4);
    g_assert_cmphex(word(0), ==, 0); /* error code */
    g_assert_true(x86_eflags(s) & FLAG_NT);
    g_assert_cmphex(get(TSS_A + 0x20, 4), ==, CODE);
    protected_mode(0); /* busy */
    put(GDT + TSS_B_SEL + 5, 0x80 | SYSTEM_TSS_BUSY, 1);
    run(BYTES("\xea\x00\x00\x00\x00\xa8\x00")); /* through TASK_GATE */
    assert_error(VECTOR_GP, TSS_B_SEL);
}

static void test_task16(void)
{
    protected_mode(0);
    put(TSS_C + 14, CODE2, 2);
    put(TSS_C + 16, FLAG_1, 2);
    put(TSS_C + 18, 0x1234, 2);
    put(TSS_C + 26, STACK1, 2);
    put(TSS_C + 34, DS16, 2);
    put(TSS_C + 36, CS16, 2);
    put(TSS_C + 38, DS16, 2);
    put(TSS_C + 40, DS16, 2);
    b->host[CODE2] = 0xf4;
    run(BYTES("\xea\x00\x00\x00\x00\xa0\x00"));
    g_assert_cmphex(s->cs.pc, ==, CODE2 + 1);
    g_assert_cmphex(s->gpr[RAX] & 0xffff, ==, 0x1234);
    g_assert_cmphex(s->segment[X86_SS].selector, ==, DS16);
}

/* ---- virtual-8086 mode ---- */

static void to_vm86(unsigned iopl)
{
    protected_mode(0);
    uint32_t frame[] = { 0, 0x800, FLAG_VM | FLAG_1 | FLAG_IF | iopl << 12, 0x1000, 0x900, 0x111, 0x222, 0x333, 0x444 };
    s->gpr[RSP] = STACK0 - 36;
    memcpy(b->host + STACK0 - 36, frame, sizeof(frame));
    put(TSS_A + 4, STACK1, 4);
}

static void test_vm86_enter(void)
{
    to_vm86(3);
    memcpy(b->host + 0x8000, "\xcf", 1);
    /* The iret is at CODE, which is also where 0x800:0 is: the second time it is the guest's, in virtual-8086 mode,
     * with IOPL 3 */
    put(0x9000 + 0x1000, 0x10, 2); /* ip, cs, flags */
    put(0x9000 + 0x1002, 0x800, 2);
    put(0x9000 + 0x1004, FLAG_1 | FLAG_IF | FLAG_ZF, 2);
    b->host[0x8010] = 0xf4;
    run(BYTES("\xcf"));
    assert_error(VECTOR_GP, 0); /* hlt */
    g_assert_cmphex(word(1), ==, 0x10);
    g_assert_cmphex(word(2), ==, 0x800);
    g_assert_cmphex(word(3) & (FLAG_VM | FLAG_IF | FLAG_ZF | FLAG_IOPL), ==, FLAG_VM | FLAG_IF | FLAG_ZF | FLAG_IOPL);
    g_assert_cmphex(word(4), ==, 0x1006);
    g_assert_cmphex(word(5), ==, 0x900);
    g_assert_cmphex(word(6), ==, 0x111);
    g_assert_cmphex(word(9), ==, 0x444);
    g_assert_cmphex(s->gpr[RSP], ==, STACK1 - 40);
    g_assert_cmphex(s->segment[X86_DS].selector, ==, 0);
    g_assert_cmphex(s->segment[X86_GS].selector, ==, 0);
}

/* Code at 0x800:0x20, where the iret leads. */
static void run_vm86(unsigned iopl, const char *bytes, size_t count)
{
    put(STACK0 - 36, 0x20, 4);
    memcpy(b->host + 0x8020, bytes, count);
    run(BYTES("\xcf"));
}

static void test_vm86_sensitive(void)
{
    static const char *const code[] = { "\xfa", "\xfb", "\x9c", "\x9d", "\xcd\x21", "\xcf" };
    for (unsigned i = 0; i < G_N_ELEMENTS(code); i++) { /* IOPL 0: #GP */
        to_vm86(0);
        run_vm86(0, code[i], strlen(code[i]));
        assert_error(VECTOR_GP, 0);
        g_assert_cmphex(word(1), ==, 0x20);
    }
    to_vm86(3); /* through the gate, which has to lead to level 0 */
    set_gate(0x21, gate(CS32, HANDLERS + 0x210, SYSTEM_INTERRUPT, 3, true));
    run_vm86(3, BYTES("\xcd\x21"));
    g_assert_cmpuint(vector(), ==, 0x21);
    g_assert_cmphex(word(0), ==, 0x22);
    g_assert_cmphex(word(8), ==, 0x444);
    g_assert_false(s->eflags & FLAG_VM);
    to_vm86(3); /* cli with IOPL 3 */
    run_vm86(3, BYTES("\xfa\xf4"));
    g_assert_false(word(3) & FLAG_IF);
    to_vm86(0); /* lldt and others are not there */
    run_vm86(0, BYTES("\x0f\x00\xd0"));
    g_assert_cmpuint(vector(), ==, VECTOR_UD);
}

/* ---- control registers ---- */

static void test_control_registers(void)
{
    protected_mode(0);
    s->gpr[RAX] = CR0_PG | CR0_ET; /* without PE */
    run(BYTES("\x0f\x22\xc0\xf4"));
    assert_error(VECTOR_GP, 0);
    protected_mode(0);
    s->gpr[RAX] = CR0_PE | CR0_NW;
    run(BYTES("\x0f\x22\xc0\xf4"));
    assert_error(VECTOR_GP, 0);
    protected_mode(0);
    s->gpr[RAX] = 1u << 31; /* reserved in CR4 */
    run(BYTES("\x0f\x22\xe0\xf4"));
    assert_error(VECTOR_GP, 0);
    protected_mode(0);
    run(BYTES("\x0f\x22\xc8\xf4")); /* CR1 */
    g_assert_cmpuint(vector(), ==, VECTOR_UD);
    protected_mode(0);
    s->gpr[RAX] = 0; /* lmsw cannot clear PE */
    run(BYTES("\x0f\x01\xf0\xf4"));
    g_assert_true(s->cr0 & CR0_PE);
    g_assert_cmpuint(vector(), ==, 255);
    long_mode(0);
    s->gpr[RAX] = s->cr4 & ~(uint64_t)CR4_PAE;
    run(BYTES("\x0f\x22\xe0\xf4"));
    assert_error(VECTOR_GP, 0);
    long_mode(0);
    s->gpr[RCX] = 0xc0000080;
    s->gpr[RAX] = s->efer & ~(uint64_t)EFER_LME;
    s->gpr[RDX] = 0;
    run(BYTES("\x0f\x30\xf4"));
    assert_error(VECTOR_GP, 0);
    long_mode(0);
    s->gpr[RCX] = 0xdeadbeef; /* no such register */
    run(BYTES("\x0f\x32\xf4"));
    assert_error(VECTOR_GP, 0);
    long_mode(3);
    run(BYTES("\x0f\x20\xc0"));
    assert_error(VECTOR_GP, 0);
}

static void test_device_not_available(void)
{
    protected_mode(0);
    s->cr0 |= CR0_TS;
    run(BYTES("\xd9\xe8\xf4")); /* fld1 */
    g_assert_cmpuint(vector(), ==, VECTOR_NM);
    protected_mode(0);
    s->cr0 |= CR0_TS;
    run(BYTES("\x9b\xf4")); /* fwait, without MP: nothing */
    g_assert_cmpuint(vector(), ==, 255);
    protected_mode(0);
    s->cr0 |= CR0_TS | CR0_MP;
    run(BYTES("\x9b\xf4"));
    g_assert_cmpuint(vector(), ==, VECTOR_NM);
    protected_mode(0);
    run(BYTES("\x0f\x58\xc0\xf4")); /* addps without OSFXSR */
    g_assert_cmpuint(vector(), ==, VECTOR_UD);
    protected_mode(0);
    s->cr0 |= CR0_EM;
    s->cr4 |= CR4_OSFXSR;
    run(BYTES("\x0f\x58\xc0\xf4"));
    g_assert_cmpuint(vector(), ==, VECTOR_UD);
}

/* ---- debugging ---- */

static void test_single_step(void)
{
    protected_mode(0);
    s->eflags |= FLAG_TF;
    run(BYTES("\x90\x90\xf4"));
    g_assert_cmpuint(vector(), ==, VECTOR_DB);
    g_assert_cmphex(word(0), ==, CODE + 1);
    g_assert_true(s->dr[6] & 1 << 14);
    g_assert_false(s->eflags & FLAG_TF);
    protected_mode(0); /* mov ss: the trap comes after the next one */
    s->eflags |= FLAG_TF;
    s->gpr[RAX] = DS32;
    run(BYTES("\x8e\xd0\x90\x90\xf4"));
    g_assert_cmpuint(vector(), ==, VECTOR_DB);
    g_assert_cmphex(word(0), ==, CODE + 3);
    protected_mode(0); /* popf: after the instruction behind it */
    run(BYTES("\x68\x02\x01\x00\x00\x9d\x90\x90\xf4"));
    g_assert_cmpuint(vector(), ==, VECTOR_DB);
    g_assert_cmphex(word(0), ==, CODE + 7);
}

static void test_breakpoints(void)
{
    protected_mode(0);
    s->dr[0] = CODE + 1;
    s->dr[7] = 0x402; /* on execution */
    run(BYTES("\x90\x90\xf4"));
    g_assert_cmpuint(vector(), ==, VECTOR_DB);
    g_assert_cmphex(word(0), ==, CODE + 1);
    g_assert_cmphex(s->dr[6] & 15, ==, 1);
    g_assert_true(word(2) & FLAG_RF);
}

static void test_watchpoint(void)
{
    protected_mode(0);
    s->dr[1] = DATA + 4;
    s->dr[7] = 0x400 | 8 | 0xd << 20;                               /* 4 bytes, writes */
    run(BYTES("\xa1\x04\x90\x00\x00\xa3\x04\x90\x00\x00\x90\xf4")); /* mov eax, [DATA + 4]; mov [DATA + 4], eax */
    g_assert_cmpuint(vector(), ==, VECTOR_DB);
    g_assert_cmphex(word(0), ==, CODE + 10); /* a trap */
    g_assert_cmphex(s->dr[6] & 15, ==, 2);
}

/* ---- long mode ---- */

static void test_long_interrupt(void)
{
    long_mode(3);
    s->gpr[RSP] = STACK3 - 5; /* frames are aligned */
    run(BYTES("\x0f\x0b"));
    g_assert_cmpuint(vector(), ==, VECTOR_UD);
    g_assert_cmphex(s->gpr[RSP], ==, STACK0 - 40);
    g_assert_cmphex(word(0), ==, CODE);
    g_assert_cmphex(word(1), ==, CS64_3);
    g_assert_cmphex(word(3), ==, STACK3 - 5);
    g_assert_cmphex(word(4), ==, DS64_3);
    g_assert_cmphex(s->segment[X86_SS].selector, ==, 0);
    long_mode(0); /* the same level: the frame is aligned, too */
    s->gpr[RSP] = STACK0 - 5;
    run(BYTES("\x0f\x0b"));
    g_assert_cmphex(s->gpr[RSP], ==, STACK0 - 16 - 40);
    g_assert_cmphex(word(3), ==, STACK0 - 5);
    long_mode(0); /* interrupt stack */
    put(IDT + VECTOR_UD * 16 + 4, 1, 1);
    run(BYTES("\x0f\x0b"));
    g_assert_cmphex(s->gpr[RSP], ==, STACK_IST - 40);
    long_mode(3); /* error code */
    run(BYTES("\xcd\x21"));
    assert_error(VECTOR_GP, 0x21 * 8 + 2);
    g_assert_cmphex(s->gpr[RSP], ==, STACK0 - 48);
}

static void test_long_iret(void)
{
    uint64_t frame[] = { CODE2, CS64_3, FLAG_1 | FLAG_IF, STACK3 - 3, DS64_3 };
    long_mode(0);
    memcpy(b->host + STACK0 - 40, frame, sizeof(frame));
    s->gpr[RSP] = STACK0 - 40;
    b->host[CODE2] = 0xf4;
    run(BYTES("\x48\xcf"));
    assert_error(VECTOR_GP, 0);
    g_assert_cmphex(word(1), ==, CODE2);
    g_assert_cmphex(word(2), ==, CS64_3);
    g_assert_cmphex(word(4), ==, STACK3 - 3);
    frame[1] = CS32_3; /* to compatibility mode */
    frame[4] = DS32_3;
    long_mode(0);
    memcpy(b->host + STACK0 - 40, frame, sizeof(frame));
    s->gpr[RSP] = STACK0 - 40;
    memcpy(b->host + CODE2, "\x48\xf4", 2); /* dec eax; hlt */
    s->gpr[RAX] = 5;
    run(BYTES("\x48\xcf"));
    assert_error(VECTOR_GP, 0);
    g_assert_cmphex(s->gpr[RAX], ==, 4);
    g_assert_cmphex(word(2), ==, CS32_3);
    frame[0] = 1ull << 60; /* not canonical */
    frame[1] = CS64_3;
    long_mode(0);
    memcpy(b->host + STACK0 - 40, frame, sizeof(frame));
    s->gpr[RSP] = STACK0 - 40;
    run(BYTES("\x48\xcf"));
    assert_error(VECTOR_GP, 0);
    long_mode(0); /* NT */
    s->eflags |= FLAG_NT;
    run(BYTES("\x48\xcf"));
    assert_error(VECTOR_GP, 0);
}

static void test_syscall(void)
{
    long_mode(3);
    s->star = (uint64_t)CS64 << 32 | (uint64_t)(CS64_3 - 16) << 48;
    s->lstar = CODE2;
    s->fmask = FLAG_IF | FLAG_CF;
    s->eflags |= FLAG_IF;
    s->cc_result = FLAG_CF | FLAG_ZF;
    b->host[CODE2] = 0xf4;
    run(BYTES("\x0f\x05"));
    g_assert_cmphex(s->cs.pc, ==, CODE2 + 1);
    g_assert_cmphex(s->gpr[RCX], ==, CODE + 2);
    g_assert_cmphex(s->gpr[R11], ==, FLAG_IF | FLAG_CF | FLAG_ZF | FLAG_1);
    g_assert_cmphex(x86_eflags(s) & (FLAG_IF | FLAG_CF | FLAG_ZF), ==, FLAG_ZF);
    g_assert_cmphex(s->segment[X86_CS].selector, ==, CS64);
    g_assert_cmphex(s->segment[X86_SS].selector, ==, CS64 + 8);
    g_assert_cmpuint(x86_cpl(s), ==, 0);
    g_assert_cmphex(s->gpr[RSP], ==, STACK3);
}

static void test_sysret(void)
{
    long_mode(0);
    s->star = (uint64_t)CS64 << 32 | (uint64_t)(CS64_3 - 16) << 48;
    s->gpr[RCX] = CODE2;
    s->gpr[R11] = FLAG_IF | FLAG_ZF | FLAG_RF | FLAG_VM;
    b->host[CODE2] = 0xf4;
    run(BYTES("\x48\x0f\x07"));
    assert_error(VECTOR_GP, 0); /* the hlt */
    g_assert_cmphex(word(1), ==, CODE2);
    g_assert_cmphex(word(2), ==, CS64_3);
    g_assert_cmphex(word(3) & ~(uint64_t)FLAG_RF, ==, FLAG_IF | FLAG_ZF | FLAG_1);
    g_assert_cmphex(word(5), ==, CS64_3 - 8);
    long_mode(0); /* SCE */
    s->efer &= ~(uint64_t)EFER_SCE;
    run(BYTES("\x48\x0f\x07"));
    g_assert_cmpuint(vector(), ==, VECTOR_UD);
    long_mode(3);
    s->efer &= ~(uint64_t)EFER_SCE;
    run(BYTES("\x0f\x05"));
    g_assert_cmpuint(vector(), ==, VECTOR_UD);
}

static void test_sysenter(void)
{
    protected_mode(3);
    s->sysenter_cs = CS32;
    s->sysenter_eip = CODE2;
    s->sysenter_esp = STACK1;
    s->eflags |= FLAG_IF;
    b->host[CODE2] = 0xf4;
    run(BYTES("\x0f\x34"));
    g_assert_cmphex(s->cs.pc, ==, CODE2 + 1);
    g_assert_cmphex(s->gpr[RSP], ==, STACK1);
    g_assert_cmphex(s->segment[X86_CS].selector, ==, CS32);
    g_assert_cmphex(s->segment[X86_SS].selector, ==, CS32 + 8);
    g_assert_false(s->eflags & FLAG_IF);
    protected_mode(0); /* and out: CS + 16, + 24 */
    s->sysenter_cs = CS32;
    s->gpr[RDX] = CODE2;
    s->gpr[RCX] = STACK3;
    b->host[CODE2] = 0xf4;
    run(BYTES("\x0f\x35"));
    assert_error(VECTOR_GP, 0);
    g_assert_cmphex(word(1), ==, CODE2);
    g_assert_cmphex(word(2), ==, CS32_3);
    g_assert_cmphex(word(4), ==, STACK3);
    g_assert_cmphex(word(5), ==, DS32_3);
    protected_mode(3); /* not set up */
    s->sysenter_cs = 0;
    run(BYTES("\x0f\x34"));
    assert_error(VECTOR_GP, 0);
}

static void test_long_canonical(void)
{
    long_mode(0);
    s->gpr[RBX] = 1ull << 50;
    run(BYTES("\x48\x8b\x03\xf4")); /* mov rax, [rbx] */
    assert_error(VECTOR_GP, 0);
    long_mode(0);
    put(IDT + VECTOR_SS * 16 + 4, 1, 1); /* its stack is no good: handle it on another */
    s->gpr[RSP] = 1ull << 50;
    run(BYTES("\x50\xf4")); /* push rax */
    assert_error(VECTOR_SS, 0);
    long_mode(0);
    s->gpr[RAX] = 1ull << 50;
    run(BYTES("\xff\xe0")); /* jmp rax */
    assert_error(VECTOR_GP, 0);
    g_assert_cmphex(word(1), ==, CODE);
}

static void test_long_call_gate(void)
{
    long_mode(3);
    b->host[CODE2] = 0xf4;
    put(DATA + 4, CALL_GATE64, 2);
    run(BYTES("\xff\x1c\x25\x00\x90\x00\x00")); /* callf [DATA] */
    g_assert_cmphex(s->cs.pc, ==, CODE2 + 1);
    g_assert_cmphex(s->gpr[RSP], ==, STACK0 - 32);
    g_assert_cmphex(word(0), ==, CODE + 7);
    g_assert_cmphex(word(1), ==, CS64_3);
    g_assert_cmphex(word(2), ==, STACK3);
    g_assert_cmphex(word(3), ==, DS64_3);
}

static void test_swapgs(void)
{
    long_mode(0);
    s->segment[X86_GS].base = 0x1111;
    s->kernel_gs_base = 0x2222;
    run(BYTES("\x0f\x01\xf8\xf4"));
    g_assert_cmphex(s->segment[X86_GS].base, ==, 0x2222);
    g_assert_cmphex(s->kernel_gs_base, ==, 0x1111);
    long_mode(3);
    run(BYTES("\x0f\x01\xf8\xf4"));
    assert_error(VECTOR_GP, 0);
}

static void test_enter_long_mode(void)
{
    protected_mode(0);
    put(PML4, PDPT | 7, 8);
    put(PDPT, PD | 7, 8);
    put(PD, 0x87, 8);
    memcpy(b->host + CODE2, "\x48\xb8\x88\x77\x66\x55\x44\x33\x22\x11\xf4", 11); /* mov rax, 0x1122334455667788 */
    /* mov eax, cr4; or al, 0x20; mov cr4, eax; mov eax, PML4; mov cr3, eax; mov ecx, EFER; rdmsr; or ah, 1; wrmsr; mov
     * eax, cr0; or eax, PG; mov cr0, eax; jmpf CS64:CODE2 */
    run(BYTES("\x0f\x20\xe0\x0c\x20\x0f\x22\xe0\xb8\x00\x00\x01\x00\x0f\x22\xd8\xb9\x80\x00\x00\xc0\x0f\x32\x80\xcc\x01"
              "\x0f\x30\x0f\x20\xc0\x0d\x00\x00\x00\x80"
              "\x0f\x22\xc0\xea\x00\x88\x00\x00\x28\x00"));
    g_assert_cmphex(s->cs.pc, ==, CODE2 + 11);
    g_assert_cmphex(s->gpr[RAX], ==, 0x1122334455667788);
    g_assert_true(s->efer & EFER_LMA);
}

static const struct {
    const char *name;
    void (*test)(void);
} tests[] = {
    { "real/interrupt", test_real_interrupt },
    { "real/iret", test_real_iret },
    { "real/limit", test_real_limit },
    { "real/divide", test_real_divide },
    { "real/to-protected", test_real_to_protected },
    { "protected/inner-interrupt", test_inner_interrupt },
    { "protected/gate-errors", test_gate_errors },
    { "protected/double-fault", test_double_fault },
    { "protected/traps", test_int3_into_bound },
    { "protected/segment-loads", test_segment_loads },
    { "protected/null-segment", test_null_segment },
    { "protected/accessed", test_segment_marked_accessed },
    { "protected/lar-lsl", test_lar_lsl_verify },
    { "protected/call-gate", test_call_gate },
    { "protected/call-gate-return", test_call_gate_return },
    { "protected/call-gate-errors", test_call_gate_errors },
    { "protected/iret-outer", test_iret_outer },
    { "protected/iopl", test_iopl },
    { "task/jump", test_task_jump },
    { "task/call", test_task_call_and_return },
    { "task/gate", test_task_gate },
    { "task/16-bit", test_task16 },
    { "vm86/enter", test_vm86_enter },
    { "vm86/sensitive", test_vm86_sensitive },
    { "system/control-registers", test_control_registers },
    { "system/no-device", test_device_not_available },
    { "system/sysenter", test_sysenter },
    { "debug/single-step", test_single_step },
    { "debug/breakpoint", test_breakpoints },
    { "debug/watchpoint", test_watchpoint },
    { "long/interrupt", test_long_interrupt },
    { "long/iret", test_long_iret },
    { "long/syscall", test_syscall },
    { "long/sysret", test_sysret },
    { "long/canonical", test_long_canonical },
    { "long/call-gate", test_long_call_gate },
    { "long/swapgs", test_swapgs },
    { "long/enter", test_enter_long_mode },
};

static void run_test(const void *data)
{
    void (*const *test)(void) = data;
    for (unsigned jit = 0; jit < 2; jit++) {
        b = x86_bare_new(jit, RAM_BYTES);
        s = b->s;
        (*test)();
        x86_bare_free(b);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/x86/%s", tests[i].name);
        g_test_add_data_func(path, &tests[i].test, run_test);
    }
    return g_test_run();
}
