/*
 * System instructions of x86 in long mode, and debugging (Intel 64 and IA-32 Architectures Software Developer's Manual,
 * December 2024, volume 3, chapters 6, 7, 11 and 18; volume 2, the instructions' pages).
 * SPDX-License-Identifier: MIT
 */
#include "x86_system.h"
#include <string.h>

/* ---- debugging ---- */

static void test_single_step(void)
{
    sys_protected_mode(0);
    sys_cpu->eflags |= FLAG_TF;
    sys_run(BYTES("\x90\x90\xf4"));
    g_assert_cmpuint(sys_vector(), ==, VECTOR_DB);
    g_assert_cmphex(sys_word(0), ==, CODE + 1);
    g_assert_true(sys_cpu->dr[6] & 1 << 14);
    g_assert_false(sys_cpu->eflags & FLAG_TF);
    sys_protected_mode(0); /* mov ss: the trap comes after the next one */
    sys_cpu->eflags |= FLAG_TF;
    sys_cpu->gpr[RAX] = DS32;
    sys_run(BYTES("\x8e\xd0\x90\x90\xf4"));
    g_assert_cmpuint(sys_vector(), ==, VECTOR_DB);
    g_assert_cmphex(sys_word(0), ==, CODE + 3);
    sys_protected_mode(0); /* popf: after the instruction behind it */
    sys_run(BYTES("\x68\x02\x01\x00\x00\x9d\x90\x90\xf4"));
    g_assert_cmpuint(sys_vector(), ==, VECTOR_DB);
    g_assert_cmphex(sys_word(0), ==, CODE + 7);
}

static void test_breakpoints(void)
{
    sys_protected_mode(0);
    sys_cpu->dr[0] = CODE + 1;
    sys_cpu->dr[7] = 0x402; /* on execution */
    sys_run(BYTES("\x90\x90\xf4"));
    g_assert_cmpuint(sys_vector(), ==, VECTOR_DB);
    g_assert_cmphex(sys_word(0), ==, CODE + 1);
    g_assert_cmphex(sys_cpu->dr[6] & 15, ==, 1);
    g_assert_false(sys_word(2) & FLAG_RF); /* the handler sets it, if it wants to go on */
}

static void test_watchpoint(void)
{
    sys_protected_mode(0);
    /* mov eax, DATA + 4; mov dr1, eax; mov eax, (1: 4 bytes, writes); mov dr7, eax; mov eax, [DATA + 4]; mov [DATA +
     * 4], eax; nop; hlt */
    sys_run(BYTES("\xb8\x04\x90\x00\x00\x0f\x23\xc8\xb8\x08\x04\xd0\x00\x0f\x23\xf8"
                  "\xa1\x04\x90\x00\x00\xa3\x04\x90\x00\x00\x90\xf4"));
    g_assert_cmpuint(sys_vector(), ==, VECTOR_DB);
    g_assert_cmphex(sys_word(0), ==, CODE + 26); /* a trap */
    g_assert_cmphex(sys_cpu->dr[6] & 15, ==, 2);
}

/* ---- long mode ---- */

static void test_long_interrupt(void)
{
    sys_long_mode(3);
    sys_cpu->gpr[RSP] = STACK3 - 5; /* frames are aligned */
    sys_run(BYTES("\x0f\x0b"));
    g_assert_cmpuint(sys_vector(), ==, VECTOR_UD);
    g_assert_cmphex(sys_cpu->gpr[RSP], ==, STACK0 - 40);
    g_assert_cmphex(sys_word(0), ==, CODE);
    g_assert_cmphex(sys_word(1), ==, CS64_3);
    g_assert_cmphex(sys_word(3), ==, STACK3 - 5);
    g_assert_cmphex(sys_word(4), ==, DS64_3);
    g_assert_cmphex(sys_cpu->segment[X86_SS].selector, ==, 0);
    sys_long_mode(0); /* the same level: the frame is aligned, too */
    sys_cpu->gpr[RSP] = STACK0 - 5;
    sys_run(BYTES("\x0f\x0b"));
    g_assert_cmphex(sys_cpu->gpr[RSP], ==, STACK0 - 16 - 40);
    g_assert_cmphex(sys_word(3), ==, STACK0 - 5);
    sys_long_mode(0); /* interrupt stack */
    sys_put(IDT + VECTOR_UD * 16 + 4, 1, 1);
    sys_run(BYTES("\x0f\x0b"));
    g_assert_cmphex(sys_cpu->gpr[RSP], ==, STACK_IST - 40);
    sys_long_mode(3); /* error code */
    sys_run(BYTES("\xcd\x21"));
    sys_assert_error(VECTOR_GP, 0x21 * 8 + 2);
    g_assert_cmphex(sys_cpu->gpr[RSP], ==, STACK0 - 48);
}

static void test_long_iret(void)
{
    uint64_t frame[] = { CODE2, CS64_3, FLAG_1 | FLAG_IF, STACK3 - 3, DS64_3 };
    sys_long_mode(0);
    memcpy(sys_bare->host + STACK0 - 40, frame, sizeof(frame));
    sys_cpu->gpr[RSP] = STACK0 - 40;
    sys_bare->host[CODE2] = 0xf4;
    sys_run(BYTES("\x48\xcf"));
    sys_assert_error(VECTOR_GP, 0);
    g_assert_cmphex(sys_word(1), ==, CODE2);
    g_assert_cmphex(sys_word(2), ==, CS64_3);
    g_assert_cmphex(sys_word(4), ==, STACK3 - 3);
    frame[1] = CS32_3; /* to compatibility mode */
    frame[4] = DS32_3;
    sys_long_mode(0);
    memcpy(sys_bare->host + STACK0 - 40, frame, sizeof(frame));
    sys_cpu->gpr[RSP] = STACK0 - 40;
    memcpy(sys_bare->host + CODE2, "\x48\xf4", 2); /* dec eax; hlt */
    sys_cpu->gpr[RAX] = 5;
    sys_run(BYTES("\x48\xcf"));
    sys_assert_error(VECTOR_GP, 0);
    g_assert_cmphex(sys_cpu->gpr[RAX], ==, 4);
    g_assert_cmphex(sys_word(2), ==, CS32_3);
    frame[0] = 1ull << 60; /* not canonical */
    frame[1] = CS64_3;
    sys_long_mode(0);
    memcpy(sys_bare->host + STACK0 - 40, frame, sizeof(frame));
    sys_cpu->gpr[RSP] = STACK0 - 40;
    sys_run(BYTES("\x48\xcf"));
    sys_assert_error(VECTOR_GP, 0);
    sys_long_mode(0); /* NT */
    sys_cpu->eflags |= FLAG_NT;
    sys_run(BYTES("\x48\xcf"));
    sys_assert_error(VECTOR_GP, 0);
}

static void test_syscall(void)
{
    sys_long_mode(3);
    sys_cpu->star = (uint64_t)CS64 << 32 | (uint64_t)(CS64_3 - 16) << 48;
    sys_cpu->lstar = CODE2;
    sys_cpu->fmask = FLAG_IF | FLAG_CF;
    sys_cpu->eflags |= FLAG_IF;
    sys_cpu->cc_result = FLAG_CF | FLAG_ZF;
    sys_bare->host[CODE2] = 0xf4;
    sys_run(BYTES("\x0f\x05"));
    g_assert_cmphex(sys_cpu->cs.pc, ==, CODE2 + 1);
    g_assert_cmphex(sys_cpu->gpr[RCX], ==, CODE + 2);
    g_assert_cmphex(sys_cpu->gpr[R11], ==, FLAG_IF | FLAG_CF | FLAG_ZF | FLAG_1);
    g_assert_cmphex(x86_eflags(sys_cpu) & (FLAG_IF | FLAG_CF | FLAG_ZF), ==, FLAG_ZF);
    g_assert_cmphex(sys_cpu->segment[X86_CS].selector, ==, CS64);
    g_assert_cmphex(sys_cpu->segment[X86_SS].selector, ==, CS64 + 8);
    g_assert_cmpuint(x86_cpl(sys_cpu), ==, 0);
    g_assert_cmphex(sys_cpu->gpr[RSP], ==, STACK3);
}

static void test_sysret(void)
{
    sys_long_mode(0);
    sys_cpu->star = (uint64_t)CS64 << 32 | (uint64_t)(CS64_3 - 16) << 48;
    sys_cpu->gpr[RCX] = CODE2;
    sys_cpu->gpr[R11] = FLAG_IF | FLAG_ZF | FLAG_RF | FLAG_VM;
    sys_bare->host[CODE2] = 0xf4;
    sys_run(BYTES("\x48\x0f\x07"));
    sys_assert_error(VECTOR_GP, 0); /* the hlt */
    g_assert_cmphex(sys_word(1), ==, CODE2);
    g_assert_cmphex(sys_word(2), ==, CS64_3);
    g_assert_cmphex(sys_word(3) & ~(uint64_t)FLAG_RF, ==, FLAG_IF | FLAG_ZF | FLAG_1);
    g_assert_cmphex(sys_word(5), ==, CS64_3 - 8);
    sys_long_mode(0); /* SCE */
    sys_cpu->efer &= ~(uint64_t)EFER_SCE;
    sys_run(BYTES("\x48\x0f\x07"));
    g_assert_cmpuint(sys_vector(), ==, VECTOR_UD);
    sys_long_mode(3);
    sys_cpu->efer &= ~(uint64_t)EFER_SCE;
    sys_run(BYTES("\x0f\x05"));
    g_assert_cmpuint(sys_vector(), ==, VECTOR_UD);
}

static void test_sysenter(void)
{
    sys_protected_mode(3);
    sys_cpu->sysenter_cs = CS32;
    sys_cpu->sysenter_eip = CODE2;
    sys_cpu->sysenter_esp = STACK1;
    sys_cpu->eflags |= FLAG_IF;
    sys_bare->host[CODE2] = 0xf4;
    sys_run(BYTES("\x0f\x34"));
    g_assert_cmphex(sys_cpu->cs.pc, ==, CODE2 + 1);
    g_assert_cmphex(sys_cpu->gpr[RSP], ==, STACK1);
    g_assert_cmphex(sys_cpu->segment[X86_CS].selector, ==, CS32);
    g_assert_cmphex(sys_cpu->segment[X86_SS].selector, ==, CS32 + 8);
    g_assert_false(sys_cpu->eflags & FLAG_IF);
    sys_protected_mode(0); /* and out: CS + 16, + 24 */
    sys_cpu->sysenter_cs = CS32;
    sys_cpu->gpr[RDX] = CODE2;
    sys_cpu->gpr[RCX] = STACK3;
    sys_bare->host[CODE2] = 0xf4;
    sys_run(BYTES("\x0f\x35"));
    sys_assert_error(VECTOR_GP, 0);
    g_assert_cmphex(sys_word(1), ==, CODE2);
    g_assert_cmphex(sys_word(2), ==, CS32_3);
    g_assert_cmphex(sys_word(4), ==, STACK3);
    g_assert_cmphex(sys_word(5), ==, DS32_3);
    sys_protected_mode(3); /* not set up */
    sys_cpu->sysenter_cs = 0;
    sys_run(BYTES("\x0f\x34"));
    sys_assert_error(VECTOR_GP, 0);
}

static void test_long_canonical(void)
{
    sys_long_mode(0);
    sys_cpu->gpr[RBX] = 1ull << 50;
    sys_run(BYTES("\x48\x8b\x03\xf4")); /* mov rax, [rbx] */
    sys_assert_error(VECTOR_GP, 0);
    sys_long_mode(0);
    sys_put(IDT + VECTOR_SS * 16 + 4, 1, 1); /* its stack is no good: handle it on another */
    sys_cpu->gpr[RSP] = 1ull << 50;
    sys_run(BYTES("\x50\xf4")); /* push rax */
    sys_assert_error(VECTOR_SS, 0);
    sys_long_mode(0);
    sys_cpu->gpr[RAX] = 1ull << 50;
    sys_run(BYTES("\xff\xe0")); /* jmp rax */
    sys_assert_error(VECTOR_GP, 0);
}

static void test_long_call_gate(void)
{
    sys_long_mode(3);
    sys_bare->host[CODE2] = 0xf4;
    sys_put(DATA + 4, CALL_GATE64, 2);
    sys_run(BYTES("\xff\x1c\x25\x00\x90\x00\x00")); /* callf [DATA] */
    g_assert_cmphex(sys_cpu->cs.pc, ==, CODE2 + 1);
    g_assert_cmphex(sys_cpu->gpr[RSP], ==, STACK0 - 32);
    g_assert_cmphex(sys_word(0), ==, CODE + 7);
    g_assert_cmphex(sys_word(1), ==, CS64_3);
    g_assert_cmphex(sys_word(2), ==, STACK3);
    g_assert_cmphex(sys_word(3), ==, DS64_3);
}

static void test_swapgs(void)
{
    sys_long_mode(0);
    sys_cpu->segment[X86_GS].base = 0x1111;
    sys_cpu->kernel_gs_base = 0x2222;
    sys_run(BYTES("\x0f\x01\xf8\xf4"));
    g_assert_cmphex(sys_cpu->segment[X86_GS].base, ==, 0x2222);
    g_assert_cmphex(sys_cpu->kernel_gs_base, ==, 0x1111);
    sys_long_mode(3);
    sys_run(BYTES("\x0f\x01\xf8\xf4"));
    sys_assert_error(VECTOR_GP, 0);
}

static void test_enter_long_mode(void)
{
    sys_protected_mode(0);
    sys_put(PML4, PDPT | 7, 8);
    sys_put(PDPT, PD | 7, 8);
    sys_put(PD, 0x87, 8);
    memcpy(sys_bare->host + CODE2, "\x48\xb8\x88\x77\x66\x55\x44\x33\x22\x11\xf4",
           11); /* mov rax, 0x1122334455667788 */
    /* mov eax, cr4; or al, 0x20; mov cr4, eax; mov eax, PML4; mov cr3, eax; mov ecx, EFER; rdmsr; or ah, 1; wrmsr; mov
     * eax, cr0; or eax, PG; mov cr0, eax; jmpf CS64:CODE2 */
    sys_run(
        BYTES("\x0f\x20\xe0\x0c\x20\x0f\x22\xe0\xb8\x00\x00\x01\x00\x0f\x22\xd8\xb9\x80\x00\x00\xc0\x0f\x32\x80\xcc\x01"
              "\x0f\x30\x0f\x20\xc0\x0d\x00\x00\x00\x80"
              "\x0f\x22\xc0\xea\x00\x88\x00\x00\x28\x00"));
    g_assert_cmphex(sys_cpu->cs.pc, ==, CODE2 + 11);
    g_assert_cmphex(sys_cpu->gpr[RAX], ==, 0x1122334455667788);
    g_assert_true(sys_cpu->efer & EFER_LMA);
}

/* The same memory once more from ALIAS on, as user pages with protection key 1, which PKRU then forbids. */
static void forbid_key(const char *bytes, size_t count)
{
    enum { ALIAS = 0x200000, AREA = DATA + 0x400, AREA_BV = 512, AREA_PKRU = 2688, KEY1_AD = 4, PKRU_BIT = 0x200 };
    sys_long_mode(0);
    sys_put(PD + 8, 0x87 | 1ull << 59, 8);
    sys_cpu->cr4 |= CR4_PKE | CR4_OSFXSR | CR4_OSXSAVE;
    sys_cpu->xcr0 = 7 | PKRU_BIT;
    sys_put(AREA + AREA_BV, PKRU_BIT, 8);
    sys_put(AREA + AREA_PKRU, KEY1_AD, 8);
    sys_cpu->gpr[RBX] = ALIAS + DATA;
    sys_cpu->gpr[RDI] = AREA;
    sys_cpu->gpr[RCX] = sys_cpu->gpr[RDX] = 0;
    sys_run(bytes, count);
    sys_assert_error(VECTOR_PF, PF_P | PF_PK);
    g_assert_cmphex(sys_cpu->cr2, ==, ALIAS + DATA);
    g_assert_cmphex(sys_cpu->pkru, ==, KEY1_AD);
    sys_cpu->pkru = 0;
}

static void test_protection_key(void)
{
    /* mov rsi, [rbx]; mov eax, 4; wrpkru; mov rsi, [rbx] */
    forbid_key(BYTES("\x48\x8b\x33\xb8\x04\x00\x00\x00\x0f\x01\xef\x48\x8b\x33\xf4"));
    /* the same by xrstor [rdi] with eax = 0x200 */
    forbid_key(BYTES("\x48\x8b\x33\xb8\x00\x02\x00\x00\x0f\xae\x2f\x48\x8b\x33\xf4"));
}

/* Code that is jumped to does not know what the flags stand for; what changes CF alone leaves the others, once and more
 * often. */
static void test_carry_alone(void)
{
    static const struct {
        const char *bytes;
        unsigned carry;
    } changes[] = { { "\xf8\x90\x90\x90\x90", 0 },   /* clc */
                    { "\xf9\x90\x90\x90\x90", 1 },   /* stc */
                    { "\xf8\x0f\xba\xe1\x02", 1 },   /* clc; bt ecx, 2 */
                    { "\xf9\x0f\xba\xe1\x01", 0 },   /* stc; bt ecx, 1 */
                    { "\xf9\xc1\xc1\x02\x90", 0 },   /* stc; rol ecx, 2 */
                    { "\xf9\xf8\x0f\xa3\xc9", 0 },   /* stc; clc; bt ecx, ecx */
                    { "\xf5\xf9\x90\x90\x90", 1 } }; /* cmc; stc */
    for (unsigned i = 0; i < G_N_ELEMENTS(changes); i++) {
        for (unsigned equal = 0; equal < 2; equal++) {
            char code[] = "\x39\xd0\xff\xe3\xf4........\x0f\x92\xc0\x0f\x94\xc2\xf4"; /* cmp eax, edx; jmp rbx; ... */
            sys_long_mode(0);
            memset(code + 5, 0x90, 8);
            memcpy(code + 5, changes[i].bytes, 5); /* setb al; setz dl */
            sys_cpu->gpr[RAX] = 0x1000;
            sys_cpu->gpr[RDX] = equal ? 0x1000 : 0xfff;
            sys_cpu->gpr[RBX] = CODE + 5;
            sys_cpu->gpr[RCX] = 4;
            sys_run(BYTES(code));
            g_assert_cmpuint(sys_cpu->gpr[RAX] & 0xff, ==, changes[i].carry);
            g_assert_cmpuint(sys_cpu->gpr[RDX] & 0xff, ==, equal);
        }
    }
}

static const SysTest tests[] = {
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
    { "long/protection-key", test_protection_key },
    { "flags/carry-alone", test_carry_alone },
    { "long/enter", test_enter_long_mode },
    { NULL, NULL },
};

int main(int argc, char **argv)
{
    return sys_main(argc, argv, tests);
}
