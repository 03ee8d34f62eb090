/*
 * What x86 programs do to the machine in real, protected and virtual-8086 mode: exceptions, their frames and error
 * codes, gates, privilege changes, task switches, control registers (Intel 64 and IA-32 Architectures Software
 * Developer's Manual, December 2024, volume 3, chapters 6 to 9 and 21; volume 2, the instructions' pages).
 * SPDX-License-Identifier: MIT
 */
#include "x86_system.h"
#include <string.h>

/* ---- real mode ---- */

static void test_real_interrupt(void)
{
    sys_real_mode();
    sys_cpu->eflags |= FLAG_IF;
    sys_cpu->cc_result = FLAG_CF;
    sys_run(BYTES("\xcd\x21")); /* int 0x21 */
    g_assert_cmpuint(sys_vector(), ==, 0x21);
    g_assert_cmphex(sys_cpu->gpr[RSP] & 0xffff, ==, STACK0 - 6);
    g_assert_cmphex(sys_word(0), ==, CODE + 2);
    g_assert_cmphex(sys_word(1), ==, 0);
    g_assert_cmphex(sys_word(2), ==, FLAG_IF | FLAG_1 | FLAG_CF);
    g_assert_false(sys_cpu->eflags & FLAG_IF);
}

static void test_real_iret(void)
{
    sys_real_mode();
    sys_put(STACK0 - 6, CODE2, 2);
    sys_put(STACK0 - 4, 0x10, 2);
    sys_put(STACK0 - 2, FLAG_IF | FLAG_ZF | FLAG_1, 2);
    sys_cpu->gpr[RSP] = STACK0 - 6;
    sys_bare->host[CODE2 + 0x100] = 0xf4;
    sys_run(BYTES("\xcf")); /* iret */
    g_assert_cmphex(sys_cpu->cs.pc, ==, CODE2 + 0x101);
    g_assert_cmphex(sys_cpu->segment[X86_CS].base, ==, 0x100);
    g_assert_cmphex(x86_eflags(sys_cpu) & (FLAG_IF | FLAG_ZF), ==, FLAG_IF | FLAG_ZF);
    g_assert_cmphex(sys_cpu->gpr[RSP] & 0xffff, ==, STACK0);
}

static void test_real_limit(void)
{
    sys_real_mode();
    sys_run(BYTES("\xa1\xff\xff\xf4")); /* mov ax, [0xffff] */
    g_assert_cmpuint(sys_vector(), ==, VECTOR_GP);
    g_assert_cmphex(sys_word(0), ==, CODE);
    sys_real_mode();
    sys_run(BYTES("\x67\x66\x8b\x05\x00\x00\x01\x00\xf4")); /* mov eax, [dword 0x10000] */
    g_assert_cmpuint(sys_vector(), ==, VECTOR_GP);
    sys_real_mode(); /* "unreal": the limit is the descriptor cache's */
    sys_cpu->segment[X86_DS].limit = UINT32_MAX;
    sys_put(DATA, 0x12345678, 4);
    sys_cpu->gpr[RBX] = DATA;
    sys_put(0x20000, 0xabcdef01, 4);
    sys_run(BYTES("\x67\x66\xa1\x00\x00\x02\x00\xf4")); /* mov eax, [dword 0x20000] */
    g_assert_cmphex(sys_cpu->gpr[RAX] & UINT32_MAX, ==, 0xabcdef01);
}

static void test_real_divide(void)
{
    sys_real_mode();
    sys_cpu->gpr[RBX] = 0;
    sys_run(BYTES("\xf6\xf3\xf4")); /* div bl */
    g_assert_cmpuint(sys_vector(), ==, VECTOR_DE);
    g_assert_cmphex(sys_word(0), ==, CODE); /* a fault: points to itself */
}

static void test_real_to_protected(void)
{
    sys_real_mode();
    sys_make_gdt(false);
    memcpy(sys_bare->host + CODE2, "\xb8\x10\x00\x00\x00\x8e\xd8\xf4", 8); /* mov eax, DS32; mov ds, eax; hlt */
    /* mov eax, cr0; or al, 1; mov cr0, eax; jmpf dword CS32:CODE2 */
    sys_run(BYTES("\x0f\x20\xc0\x0c\x01\x0f\x22\xc0\x66\xea\x00\x88\x00\x00\x08\x00"));
    g_assert_cmphex(sys_cpu->cs.pc, ==, CODE2 + 8);
    g_assert_cmphex(sys_cpu->segment[X86_DS].selector, ==, DS32);
    g_assert_cmphex(sys_cpu->segment[X86_DS].limit, ==, UINT32_MAX);
    g_assert_cmphex(sys_cpu->segment[X86_CS].selector, ==, CS32);
}

/* ---- protected mode: interrupts ---- */

static void test_inner_interrupt(void)
{
    sys_protected_mode(3);
    sys_cpu->eflags |= FLAG_IF;
    sys_set_gate(0x21, sys_gate(CS32, HANDLERS + 0x210, GATE_INTERRUPT, 3, true));
    sys_run(BYTES("\xcd\x21"));
    g_assert_cmpuint(sys_vector(), ==, 0x21);
    g_assert_cmphex(sys_cpu->gpr[RSP], ==, STACK0 - 20);
    g_assert_cmphex(sys_word(0), ==, CODE + 2);
    g_assert_cmphex(sys_word(1), ==, CS32_3);
    g_assert_cmphex(sys_word(2), ==, FLAG_IF | FLAG_1);
    g_assert_cmphex(sys_word(3), ==, STACK3);
    g_assert_cmphex(sys_word(4), ==, DS32_3);
    g_assert_cmphex(sys_cpu->segment[X86_SS].selector, ==, DS32);
    g_assert_cmphex(sys_cpu->segment[X86_CS].selector, ==, CS32);
    g_assert_false(sys_cpu->eflags & FLAG_IF);
    sys_protected_mode(3); /* a trap gate leaves IF */
    sys_cpu->eflags |= FLAG_IF;
    sys_set_gate(0x21, sys_gate(CS32, HANDLERS + 0x210, GATE_TRAP, 3, true));
    sys_run(BYTES("\xcd\x21"));
    g_assert_true(sys_cpu->eflags & FLAG_IF);
}

static void test_gate_errors(void)
{
    sys_protected_mode(3); /* DPL */
    sys_run(BYTES("\xcd\x21"));
    sys_assert_error(VECTOR_GP, 0x21 * 8 + 2);
    g_assert_cmphex(sys_word(1), ==, CODE);
    sys_protected_mode(0); /* not present */
    sys_set_gate(0x21, sys_gate(CS32, HANDLERS + 0x210, GATE_INTERRUPT, 0, false));
    sys_run(BYTES("\xcd\x21"));
    sys_assert_error(VECTOR_NP, 0x21 * 8 + 2);
    sys_protected_mode(0); /* not a gate for interrupts */
    sys_set_gate(0x21, sys_gate(CS32, HANDLERS + 0x210, GATE_CALL, 0, true));
    sys_run(BYTES("\xcd\x21"));
    sys_assert_error(VECTOR_GP, 0x21 * 8 + 2);
    sys_protected_mode(0); /* beyond the limit */
    sys_run(BYTES("\xcd\xff"));
    sys_assert_error(VECTOR_GP, 0xff * 8 + 2);
    sys_protected_mode(0); /* the code segment: null, data, not there */
    sys_set_gate(0x21, sys_gate(0, HANDLERS, GATE_INTERRUPT, 0, true));
    sys_run(BYTES("\xcd\x21"));
    sys_assert_error(VECTOR_GP, 0);
    sys_protected_mode(0);
    sys_set_gate(0x21, sys_gate(DS32, HANDLERS, GATE_INTERRUPT, 0, true));
    sys_run(BYTES("\xcd\x21"));
    sys_assert_error(VECTOR_GP, DS32);
    sys_protected_mode(0); /* an exception on the way: EXT is set */
    sys_set_gate(VECTOR_UD, sys_gate(DS32, HANDLERS, GATE_INTERRUPT, 0, true));
    sys_run(BYTES("\x0f\x0b"));
    sys_assert_error(VECTOR_GP, DS32 | 1);
}

static void test_double_fault(void)
{
    sys_protected_mode(0);
    sys_set_gate(VECTOR_GP, sys_gate(CS32, HANDLERS, GATE_INTERRUPT, 0, false));
    sys_run(BYTES("\xcd\xff")); /* #GP, then #NP */
    sys_assert_error(VECTOR_DF, 0);
    sys_protected_mode(0); /* a benign one first: no double fault */
    sys_set_gate(VECTOR_UD, sys_gate(CS32, HANDLERS, GATE_INTERRUPT, 0, false));
    sys_run(BYTES("\x0f\x0b"));
    sys_assert_error(VECTOR_NP, VECTOR_UD * 8 + 3);
}

static void test_int3_into_bound(void)
{
    sys_protected_mode(0);
    sys_run(BYTES("\xcc"));
    g_assert_cmpuint(sys_vector(), ==, VECTOR_BP);
    g_assert_cmphex(sys_word(0), ==, CODE + 1); /* a trap */
    sys_protected_mode(0);
    sys_cpu->cc_result = FLAG_OF;
    sys_run(BYTES("\xce"));
    g_assert_cmpuint(sys_vector(), ==, VECTOR_OF);
    g_assert_cmphex(sys_word(0), ==, CODE + 1);
    sys_protected_mode(0);
    sys_cpu->gpr[RAX] = 11;
    sys_put(DATA, 1, 4);
    sys_put(DATA + 4, 10, 4);
    sys_run(BYTES("\x62\x05\x00\x90\x00\x00")); /* bound eax, [DATA] */
    g_assert_cmpuint(sys_vector(), ==, VECTOR_BR);
    g_assert_cmphex(sys_word(0), ==, CODE);
    sys_protected_mode(0);
    sys_run(BYTES("\xf1")); /* int1 */
    g_assert_cmpuint(sys_vector(), ==, VECTOR_DB);
    g_assert_cmphex(sys_word(0), ==, CODE + 1);
}

/* ---- segments ---- */

/* mov SEGMENT, ax; hlt */
static void load_selector(unsigned cpl, unsigned segment, uint16_t selector)
{
    char code[] = { '\x8e', (char)(0xc0 | segment << 3), '\xf4' };
    sys_protected_mode(cpl);
    sys_cpu->gpr[RAX] = selector;
    sys_run(code, sizeof(code));
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
            bool in_frame = rows[i].cpl && rows[i].segment == X86_SS;
            g_assert_cmphex(in_frame ? sys_word(5) : sys_cpu->segment[rows[i].segment].selector, ==, rows[i].selector);
            g_assert_cmpuint(sys_vector(), ==, rows[i].cpl ? VECTOR_GP : 255); /* hlt outside the kernel */
            if (rows[i].cpl)
                g_assert_cmphex(sys_word(1), ==, CODE + 2);
        } else {
            if (sys_vector() != rows[i].vector || sys_word(0) != rows[i].error)
                g_printerr("row %u\n", i);
            sys_assert_error(rows[i].vector, rows[i].error);
            g_assert_cmphex(sys_word(1), ==, CODE);
        }
    }
    load_selector(0, X86_CS, CS32);
    g_assert_cmpuint(sys_vector(), ==, VECTOR_UD);
}

static void test_null_segment(void)
{
    sys_protected_mode(0);
    sys_cpu->segment[X86_ES] = (X86SegmentReg){ 0 };
    sys_run(BYTES("\x26\xa1\x00\x90\x00\x00\xf4")); /* mov eax, es:[DATA] */
    sys_assert_error(VECTOR_GP, 0);
}

static void test_segment_marked_accessed(void)
{
    sys_protected_mode(0);
    sys_put(GDT + DS32, x86_bare_descriptor(0, 0xfffff, 0xc092), 8);
    sys_cpu->gpr[RAX] = DS32;
    sys_run(BYTES("\x8e\xd8\xf4"));
    g_assert_cmphex(sys_get(GDT + DS32 + 5, 1), ==, 0x93);
}

static void test_lar_lsl_verify(void)
{
    sys_protected_mode(3);
    sys_cpu->gpr[RBX] = DS32_3;
    sys_run(BYTES("\x0f\x02\xc3\x0f\x03\xcb\x90\xf4")); /* lar eax, ebx; lsl ecx, ebx */
    g_assert_cmphex(sys_cpu->gpr[RAX] & ~0xf0000ull, ==, 0x00c0f300);
    g_assert_cmphex(sys_cpu->gpr[RCX], ==, 0xffffffff);
    g_assert_true(sys_word(3) & FLAG_ZF);
    sys_protected_mode(3);
    sys_cpu->gpr[RBX] = DS32;
    sys_run(BYTES("\x0f\x02\xc3\xf4"));
    g_assert_false(sys_word(3) & FLAG_ZF);
    g_assert_cmphex(sys_cpu->gpr[RAX] & UINT32_MAX, ==, 0);
    sys_protected_mode(0);
    sys_cpu->gpr[RBX] = READ_ONLY;
    sys_run(BYTES("\x0f\x00\xe3\x0f\x94\xc0\x0f\x00\xeb\x0f\x94\xc1\xf4")); /* verr ebx; sete al; verw ebx; sete cl */
    g_assert_cmphex(sys_cpu->gpr[RAX] & 255, ==, 1);
    g_assert_cmphex(sys_cpu->gpr[RCX] & 255, ==, 0);
}

/* ---- far transfers ---- */

static void test_call_gate(void)
{
    sys_protected_mode(3);
    memcpy(sys_bare->host + CODE2, "\xf4", 1);
    /* push 0x11111111; push 0x22222222; callf CALL_GATE:0 */
    sys_run(BYTES("\x68\x11\x11\x11\x11\x68\x22\x22\x22\x22\x9a\x00\x00\x00\x00\x73\x00"));
    g_assert_cmphex(sys_cpu->cs.pc, ==, CODE2 + 1);
    g_assert_cmphex(sys_cpu->segment[X86_CS].selector, ==, CS32);
    g_assert_cmphex(sys_cpu->segment[X86_SS].selector, ==, DS32);
    g_assert_cmphex(sys_cpu->gpr[RSP], ==, STACK0 - 24);
    g_assert_cmphex(sys_word(0), ==, CODE + 17);
    g_assert_cmphex(sys_word(1), ==, CS32_3);
    g_assert_cmphex(sys_word(2), ==, 0x22222222);
    g_assert_cmphex(sys_word(3), ==, 0x11111111);
    g_assert_cmphex(sys_word(4), ==, STACK3 - 8);
    g_assert_cmphex(sys_word(5), ==, DS32_3);
}

static void test_call_gate_return(void)
{
    sys_protected_mode(3);
    sys_load(X86_ES, CONFORMING);
    memcpy(sys_bare->host + CODE2, "\xb8\x10\x00\x00\x00\x8e\xe0\xca\x08\x00",
           10); /* mov eax, DS32; mov fs, eax; retf 8 */
    sys_run(BYTES("\x68\x11\x11\x11\x11\x68\x22\x22\x22\x22\x9a\x00\x00\x00\x00\x73\x00\xf4"));
    sys_assert_error(VECTOR_GP, 0); /* the hlt, back outside */
    g_assert_cmphex(sys_word(1), ==, CODE + 17);
    g_assert_cmphex(sys_word(2), ==, CS32_3);
    g_assert_cmphex(sys_word(4), ==, STACK3);                  /* the parameters are gone there, too */
    g_assert_cmphex(sys_cpu->segment[X86_FS].selector, ==, 0); /* not for level 3 */
    g_assert_cmphex(sys_cpu->segment[X86_ES].selector, ==, CONFORMING);
    g_assert_cmphex(sys_cpu->segment[X86_DS].selector, ==, DS32_3);
}

static void test_call_gate_errors(void)
{
    sys_protected_mode(3);
    sys_run(BYTES("\x9a\x00\x00\x00\x00\x78\x00")); /* CALL_GATE0: DPL 0 */
    sys_assert_error(VECTOR_GP, CALL_GATE0);
    sys_protected_mode(3);
    sys_run(BYTES("\x9a\x00\x00\x00\x00\x83\x00"));
    sys_assert_error(VECTOR_NP, ABSENT_GATE & 0xfffc);
    sys_protected_mode(3); /* jmp cannot go inwards */
    sys_run(BYTES("\xea\x00\x00\x00\x00\x73\x00"));
    sys_assert_error(VECTOR_GP, CS32);
    sys_protected_mode(3); /* to level 1 */
    sys_bare->host[CODE2] = 0xcc;
    sys_run(BYTES("\x9a\x00\x00\x00\x00\xe3\x00"));
    sys_assert_error(VECTOR_GP, 3 * 8 + 2); /* int3 there: DPL 0 */
    g_assert_cmphex(sys_word(2), ==, CODE1);
    g_assert_cmphex(sys_word(4), ==, STACK1 - 16);
    g_assert_cmphex(sys_word(5), ==, DATA1);
    sys_protected_mode(3); /* code of another level, directly */
    sys_run(BYTES("\xea\x00\x88\x00\x00\x08\x00"));
    sys_assert_error(VECTOR_GP, CS32);
    sys_protected_mode(3); /* conforming code runs at the caller's level */
    sys_bare->host[CODE2] = 0xf4;
    sys_run(BYTES("\xea\x00\x88\x00\x00\x50\x00"));
    sys_assert_error(VECTOR_GP, 0);
    g_assert_cmphex(sys_word(2), ==, CONFORMING | 3);
}

static void test_iret_outer(void)
{
    sys_protected_mode(0);
    sys_load(X86_FS, DS32_3);
    /* push DS32_3; push STACK3; push flags; push CS32_3; push CODE2; iret */
    sys_bare->host[CODE2] = 0xf4;
    sys_run(BYTES("\x6a\x23\x68\x00\xd0\x00\x00\x68\x02\x32\x00\x00\x6a\x1b\x68\x00\x88\x00\x00\xcf"));
    sys_assert_error(VECTOR_GP, 0);
    g_assert_cmphex(sys_word(1), ==, CODE2);
    g_assert_cmphex(sys_word(2), ==, CS32_3);
    g_assert_cmphex(sys_word(3) & FLAG_IOPL, ==, FLAG_IOPL);
    g_assert_cmphex(sys_word(4), ==, STACK3);
    g_assert_cmphex(sys_word(5), ==, DS32_3);
    g_assert_cmphex(sys_cpu->segment[X86_DS].selector, ==, 0);
    g_assert_cmphex(sys_cpu->segment[X86_FS].selector, ==, DS32_3);
}

static void test_iopl(void)
{
    sys_protected_mode(3);
    sys_cpu->eflags |= FLAG_IF;
    sys_run(BYTES("\xfa\xf4")); /* cli */
    sys_assert_error(VECTOR_GP, 0);
    sys_protected_mode(3);
    sys_cpu->eflags |= FLAG_IF | FLAG_IOPL;
    sys_run(BYTES("\xfa\xf4"));
    g_assert_cmphex(sys_word(1), ==, CODE + 1); /* the hlt */
    g_assert_false(sys_word(3) & FLAG_IF);
    sys_protected_mode(3); /* popf changes neither IF nor IOPL */
    sys_cpu->eflags |= FLAG_IF;
    sys_run(BYTES("\x68\xd7\x3c\x00\x00\x9d\xf4"));
    g_assert_cmphex(sys_word(3) & 0xffff, ==, 0x0ed7);
    sys_protected_mode(3); /* port: bit in the TSS */
    sys_put(TSS_A + 0x66, 0x60, 2);
    sys_put(TSS_A + 0x60, 0xff, 1); /* ports 0 to 7 */
    sys_put(TSS_A + 0x61, 0xfe, 1);
    sys_cpu->gpr[RDX] = 7;
    sys_run(BYTES("\xec\xf4"));
    sys_assert_error(VECTOR_GP, 0);
    g_assert_cmphex(sys_word(1), ==, CODE);
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
        sys_put(TSS_B + rows[i].at, rows[i].value, 4);
}

static void test_task_jump(void)
{
    sys_protected_mode(0);
    make_task_b();
    sys_bare->host[CODE2] = 0xf4;
    sys_run(BYTES("\xea\x00\x00\x00\x00\x98\x00")); /* jmpf TSS_B_SEL:0 */
    g_assert_cmphex(sys_cpu->cs.pc, ==, CODE2 + 1);
    g_assert_cmphex(sys_cpu->gpr[RAX], ==, 0xaaaaaaaa);
    g_assert_cmphex(sys_cpu->gpr[RSP], ==, STACK1);
    g_assert_cmphex(sys_cpu->tr.selector, ==, TSS_B_SEL);
    g_assert_cmphex(sys_get(GDT + TSS_B_SEL + 5, 1), ==, 0x80 | GATE_TSS_BUSY);
    g_assert_cmphex(sys_get(GDT + TSS_A_SEL + 5, 1), ==, 0x80 | GATE_TSS);
    g_assert_cmphex(sys_get(TSS_A + 0x20, 4), ==, CODE + 7);
    g_assert_cmphex(sys_get(TSS_A + 0x28, 4), ==, 0);
    g_assert_cmphex(sys_get(TSS_A + 0x2c, 4), ==, 0x01010101);
    g_assert_cmphex(sys_get(TSS_A + 0x4c, 2), ==, CS32);
    g_assert_true(sys_cpu->cr0 & CR0_TS);
    g_assert_true(x86_eflags(sys_cpu) & FLAG_CF);
    g_assert_false(x86_eflags(sys_cpu) & FLAG_NT);
}

static void test_task_call_and_return(void)
{
    sys_protected_mode(0);
    make_task_b();
    sys_bare->host[CODE2] = 0xcf; /* iret */
    sys_run(BYTES("\x9a\x00\x00\x00\x00\x98\x00\xf4"));
    g_assert_cmphex(sys_cpu->cs.pc, ==, CODE + 8);
    g_assert_cmphex(sys_cpu->tr.selector, ==, TSS_A_SEL);
    g_assert_cmphex(sys_get(TSS_B, 2), ==, TSS_A_SEL); /* link */
    g_assert_cmphex(sys_get(TSS_B + 0x20, 4), ==, CODE2 + 1);
    g_assert_cmphex(sys_get(GDT + TSS_A_SEL + 5, 1), ==, 0x80 | GATE_TSS_BUSY);
    g_assert_cmphex(sys_get(GDT + TSS_B_SEL + 5, 1), ==, 0x80 | GATE_TSS);
    g_assert_cmphex(sys_cpu->gpr[RCX], ==, 0x01010101);
}

static void test_task_gate(void)
{
    sys_protected_mode(3);
    make_task_b();
    sys_set_gate(VECTOR_GP, sys_gate(TSS_B_SEL, 0, GATE_TASK, 0, true));
    sys_bare->host[CODE2] = 0xf4;
    sys_run(BYTES("\x0f\x20\xc0")); /* mov eax, cr0 */
    g_assert_cmphex(sys_cpu->cs.pc, ==, CODE2 + 1);
    g_assert_cmphex(sys_cpu->gpr[RSP], ==, STACK1 - 4);
    g_assert_cmphex(sys_word(0), ==, 0); /* error code */
    g_assert_true(x86_eflags(sys_cpu) & FLAG_NT);
    g_assert_cmphex(sys_get(TSS_A + 0x20, 4), ==, CODE);
    sys_protected_mode(0); /* busy */
    sys_put(GDT + TSS_B_SEL + 5, 0x80 | GATE_TSS_BUSY, 1);
    sys_run(BYTES("\xea\x00\x00\x00\x00\xa8\x00")); /* through TASK_GATE */
    sys_assert_error(VECTOR_GP, TSS_B_SEL);
}

static void test_task16(void)
{
    sys_protected_mode(0);
    sys_put(TSS_C + 14, CODE2, 2);
    sys_put(TSS_C + 16, FLAG_1, 2);
    sys_put(TSS_C + 18, 0x1234, 2);
    sys_put(TSS_C + 26, STACK1, 2);
    sys_put(TSS_C + 34, DS16, 2);
    sys_put(TSS_C + 36, CS16, 2);
    sys_put(TSS_C + 38, DS16, 2);
    sys_put(TSS_C + 40, DS16, 2);
    sys_bare->host[CODE2] = 0xf4;
    sys_run(BYTES("\xea\x00\x00\x00\x00\xa0\x00"));
    g_assert_cmphex(sys_cpu->cs.pc, ==, CODE2 + 1);
    g_assert_cmphex(sys_cpu->gpr[RAX] & 0xffff, ==, 0x1234);
    g_assert_cmphex(sys_cpu->segment[X86_SS].selector, ==, DS16);
}

/* ---- virtual-8086 mode ---- */

static void to_vm86(unsigned iopl)
{
    sys_protected_mode(0);
    uint32_t frame[] = { 0, 0x800, FLAG_VM | FLAG_1 | FLAG_IF | iopl << 12, 0x1000, 0x900, 0x111, 0x222, 0x333, 0x444 };
    sys_cpu->gpr[RSP] = STACK0 - 36;
    memcpy(sys_bare->host + STACK0 - 36, frame, sizeof(frame));
    sys_put(TSS_A + 4, STACK1, 4);
}

static void test_vm86_enter(void)
{
    to_vm86(3);
    memcpy(sys_bare->host + 0x8000, "\xcf", 1);
    /* The iret is at CODE, which is also where 0x800:0 is: the second time it is the guest's, in virtual-8086 mode,
     * with IOPL 3 */
    sys_put(0x9000 + 0x1000, 0x10, 2); /* ip, cs, flags */
    sys_put(0x9000 + 0x1002, 0x800, 2);
    sys_put(0x9000 + 0x1004, FLAG_1 | FLAG_IF | FLAG_ZF, 2);
    sys_bare->host[0x8010] = 0xf4;
    sys_run(BYTES("\xcf"));
    sys_assert_error(VECTOR_GP, 0); /* hlt */
    g_assert_cmphex(sys_word(1), ==, 0x10);
    g_assert_cmphex(sys_word(2), ==, 0x800);
    g_assert_cmphex(sys_word(3) & (FLAG_VM | FLAG_IF | FLAG_ZF | FLAG_IOPL), ==,
                    FLAG_VM | FLAG_IF | FLAG_ZF | FLAG_IOPL);
    g_assert_cmphex(sys_word(4), ==, 0x1006);
    g_assert_cmphex(sys_word(5), ==, 0x900);
    g_assert_cmphex(sys_word(6), ==, 0x111);
    g_assert_cmphex(sys_word(9), ==, 0x444);
    g_assert_cmphex(sys_cpu->gpr[RSP], ==, STACK1 - 40);
    g_assert_cmphex(sys_cpu->segment[X86_DS].selector, ==, 0);
    g_assert_cmphex(sys_cpu->segment[X86_GS].selector, ==, 0);
}

/* Code at 0x800:0x20, where the iret leads. */
static void run_vm86(unsigned iopl, const char *bytes, size_t count)
{
    sys_put(STACK0 - 36, 0x20, 4);
    memcpy(sys_bare->host + 0x8020, bytes, count);
    sys_run(BYTES("\xcf"));
}

static void test_vm86_sensitive(void)
{
    static const char *const code[] = { "\xfa", "\xfb", "\x9c", "\x9d", "\xcd\x21", "\xcf" };
    for (unsigned i = 0; i < G_N_ELEMENTS(code); i++) { /* IOPL 0: #GP */
        to_vm86(0);
        run_vm86(0, code[i], strlen(code[i]));
        sys_assert_error(VECTOR_GP, 0);
        g_assert_cmphex(sys_word(1), ==, 0x20);
    }
    to_vm86(3); /* through the gate, which has to lead to level 0 */
    sys_set_gate(0x21, sys_gate(CS32, HANDLERS + 0x210, GATE_INTERRUPT, 3, true));
    run_vm86(3, BYTES("\xcd\x21"));
    g_assert_cmpuint(sys_vector(), ==, 0x21);
    g_assert_cmphex(sys_word(0), ==, 0x22);
    g_assert_cmphex(sys_word(8), ==, 0x444);
    g_assert_false(sys_cpu->eflags & FLAG_VM);
    to_vm86(3); /* cli with IOPL 3 */
    run_vm86(3, BYTES("\xfa\xf4"));
    g_assert_false(sys_word(3) & FLAG_IF);
    to_vm86(0); /* lldt and others are not there */
    run_vm86(0, BYTES("\x0f\x00\xd0"));
    g_assert_cmpuint(sys_vector(), ==, VECTOR_UD);
}

/* ---- control registers ---- */

static void test_control_registers(void)
{
    sys_protected_mode(0);
    sys_cpu->gpr[RAX] = CR0_PG | CR0_ET; /* without PE */
    sys_run(BYTES("\x0f\x22\xc0\xf4"));
    sys_assert_error(VECTOR_GP, 0);
    sys_protected_mode(0);
    sys_cpu->gpr[RAX] = CR0_PE | CR0_NW;
    sys_run(BYTES("\x0f\x22\xc0\xf4"));
    sys_assert_error(VECTOR_GP, 0);
    sys_protected_mode(0);
    sys_cpu->gpr[RAX] = 1u << 31; /* reserved in CR4 */
    sys_run(BYTES("\x0f\x22\xe0\xf4"));
    sys_assert_error(VECTOR_GP, 0);
    sys_protected_mode(0);
    sys_run(BYTES("\x0f\x22\xc8\xf4")); /* CR1 */
    g_assert_cmpuint(sys_vector(), ==, VECTOR_UD);
    sys_protected_mode(0);
    sys_cpu->gpr[RAX] = 0; /* lmsw cannot clear PE */
    sys_run(BYTES("\x0f\x01\xf0\xf4"));
    g_assert_true(sys_cpu->cr0 & CR0_PE);
    g_assert_cmpuint(sys_vector(), ==, 255);
    sys_long_mode(0);
    sys_cpu->gpr[RAX] = sys_cpu->cr4 & ~(uint64_t)CR4_PAE;
    sys_run(BYTES("\x0f\x22\xe0\xf4"));
    sys_assert_error(VECTOR_GP, 0);
    sys_long_mode(0);
    sys_cpu->gpr[RCX] = 0xc0000080;
    sys_cpu->gpr[RAX] = sys_cpu->efer & ~(uint64_t)EFER_LME;
    sys_cpu->gpr[RDX] = 0;
    sys_run(BYTES("\x0f\x30\xf4"));
    sys_assert_error(VECTOR_GP, 0);
    sys_long_mode(3);
    sys_run(BYTES("\x0f\x20\xc0"));
    sys_assert_error(VECTOR_GP, 0);
}

/* What a kernel writes to a bank's registers: any switches (Linux leaves one of AMD's bank 4 off), and a status of 0
 * only. */
static void test_machine_check_banks(void)
{
    static const struct {
        uint32_t msr, low, high;
        bool faults;
    } writes[] = { { 0x410, 0xfffffbff, UINT32_MAX, false },
                   { 0x400, 0, 0, false },
                   { 0x401, 0, 0, false },
                   { 0x411, 0, 0, false },
                   { 0x411, 0, 0x80000000, true },
                   { 0x401, 1, 0, true } };
    for (unsigned i = 0; i < G_N_ELEMENTS(writes); i++) {
        sys_protected_mode(0);
        sys_cpu->gpr[RCX] = writes[i].msr;
        sys_cpu->gpr[RAX] = writes[i].low;
        sys_cpu->gpr[RDX] = writes[i].high;
        sys_run(BYTES("\x0f\x30\x31\xc0\x31\xd2\x0f\x32\xf4")); /* wrmsr; xor eax, eax; xor edx, edx; rdmsr; hlt */
        g_assert_cmpuint(sys_vector(), ==, writes[i].faults ? VECTOR_GP : 255);
        if (writes[i].faults)
            continue;
        g_assert_cmphex(sys_cpu->gpr[RAX], ==, writes[i].low);
        g_assert_cmphex(sys_cpu->gpr[RDX], ==, writes[i].high);
    }
}

static void test_device_not_available(void)
{
    sys_protected_mode(0);
    sys_cpu->cr0 |= CR0_TS;
    sys_run(BYTES("\xd9\xe8\xf4")); /* fld1 */
    g_assert_cmpuint(sys_vector(), ==, VECTOR_NM);
    sys_protected_mode(0);
    sys_cpu->cr0 |= CR0_TS;
    sys_run(BYTES("\x9b\xf4")); /* fwait, without MP: nothing */
    g_assert_cmpuint(sys_vector(), ==, 255);
    sys_protected_mode(0);
    sys_cpu->cr0 |= CR0_TS | CR0_MP;
    sys_run(BYTES("\x9b\xf4"));
    g_assert_cmpuint(sys_vector(), ==, VECTOR_NM);
    sys_protected_mode(0);
    sys_run(BYTES("\x0f\x58\xc0\xf4")); /* addps without OSFXSR */
    g_assert_cmpuint(sys_vector(), ==, VECTOR_UD);
    sys_protected_mode(0);
    sys_cpu->cr0 |= CR0_EM;
    sys_cpu->cr4 |= CR4_OSFXSR;
    sys_run(BYTES("\x0f\x58\xc0\xf4"));
    g_assert_cmpuint(sys_vector(), ==, VECTOR_UD);
}

static const SysTest tests[] = {
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
    { "system/machine-check-banks", test_machine_check_banks },
    { NULL, NULL },
};

int main(int argc, char **argv)
{
    return sys_main(argc, argv, tests);
}
