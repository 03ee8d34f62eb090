/*
 * See x86_system.h.
 * SPDX-License-Identifier: MIT
 */
#include "x86_system.h"
#include <string.h>

X86Bare *sys_bare;
X86State *sys_cpu;

void sys_put(uint64_t at, uint64_t v, unsigned bytes)
{
    x86_bare_put(sys_bare, at, v, bytes);
}

uint64_t sys_get(uint64_t at, unsigned bytes)
{
    return x86_bare_get(sys_bare, at, bytes);
}

/* ---- the world ---- */

uint64_t sys_gate(uint16_t selector, uint32_t offset, unsigned type, unsigned dpl, bool present)
{
    return (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)(type | dpl << 5 | (present ? 0x80 : 0)) << 40 |
           (uint64_t)(offset & 0xffff0000) << 32;
}

void sys_make_gdt(bool wide)
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
        sys_put(GDT + (rows[i].selector & ~7u), x86_bare_descriptor(rows[i].base, rows[i].limit, rows[i].attributes),
                8);
    sys_put(GDT + (CALL_GATE & ~7u), sys_gate(CS32, CODE2, GATE_CALL, 3, true) | 2ull << 32, 8);
    sys_put(GDT + (CALL_GATE0 & ~7u), sys_gate(CS32, CODE2, GATE_CALL, 0, true), 8);
    sys_put(GDT + (ABSENT_GATE & ~7u), sys_gate(CS32, CODE2, GATE_CALL, 3, false), 8);
    sys_put(GDT + TSS_A_SEL, x86_bare_descriptor(TSS_A, 0x67, 0x80 | GATE_TSS_BUSY), 8);
    sys_put(GDT + LDT_SEL, x86_bare_descriptor(LDT, 0xff, 0x80 | GATE_LDT), 8);
    sys_put(GDT + (CALL_GATE1 & ~7u), sys_gate(CODE1, CODE2, GATE_CALL, 3, true), 8);
    if (wide) {
        sys_put(GDT + (CALL_GATE64 & ~7u), sys_gate(CS64, CODE2, GATE_CALL, 3, true), 8);
        return;
    }
    sys_put(GDT + TSS_B_SEL, x86_bare_descriptor(TSS_B, 0x67, 0x80 | GATE_TSS), 8);
    sys_put(GDT + TSS_C_SEL, x86_bare_descriptor(TSS_C, 0x2b, 0x80 | GATE_TSS16), 8);
    sys_put(GDT + (TASK_GATE & ~7u), sys_gate(TSS_B_SEL, 0, GATE_TASK, 3, true), 8);
}

static void make_idt(bool wide)
{
    for (unsigned v = 0; v < 64; v++) {
        sys_put(IDT + v * (wide ? 16 : 8), sys_gate(wide ? CS64 : CS32, HANDLERS + 16 * v, GATE_INTERRUPT, 0, true), 8);
        sys_bare->host[HANDLERS + 16 * v] = 0xf4;
    }
}

void sys_set_gate(unsigned vector, uint64_t value)
{
    sys_put(IDT + vector * (x86_long(sys_cpu) ? 16 : 8), value, 8);
}

void sys_load(unsigned segment, uint16_t selector)
{
    uint64_t d = sys_get(GDT + (selector & ~7u), 8);
    X86Descriptor words = { .low = (uint32_t)d, .high = (uint32_t)(d >> 32) };
    x86_segment_from(&sys_cpu->segment[segment], selector, &words);
}

void sys_load_data(uint16_t selector)
{
    static const uint8_t data[] = { X86_ES, X86_SS, X86_DS, X86_FS, X86_GS };
    for (unsigned i = 0; i < G_N_ELEMENTS(data); i++)
        sys_load(data[i], selector);
}

static void clear(void)
{
    memset(sys_bare->host, 0, RAM_BYTES);
    for (unsigned i = 0; i < X86_GPRS; i++)
        sys_cpu->gpr[i] = 0x0101010101010101ull * i;
    sys_cpu->cc_op = CC_EFLAGS << 2;
    sys_cpu->cc_result = 0;
    sys_cpu->eflags = FLAG_1;
    sys_cpu->cr2 = sys_cpu->cr3 = sys_cpu->cr8 = sys_cpu->efer = 0;
    sys_cpu->cr4 = 0;
    sys_cpu->shadow = 0;
    memset(sys_cpu->dr, 0, sizeof(sys_cpu->dr));
    sys_cpu->dr[6] = 0xffff0ff0;
    sys_cpu->dr[7] = 0x400;
    sys_cpu->ldt = (X86SegmentReg){ 0 };
    sys_cpu->gdt = (X86Table){ GDT, GDT_BYTES - 1 };
    sys_cpu->idt = (X86Table){ IDT, 0x3ff };
    sys_cpu->gpr[RSP] = STACK0;
    sys_cpu->cs.pc = CODE;
}

void sys_real_mode(void)
{
    clear();
    sys_cpu->cr0 = CR0_ET | CR0_NE;
    sys_cpu->idt = (X86Table){ IVT, 0x3ff };
    for (unsigned v = 0; v < 64; v++) {
        sys_put(IVT + 4 * v, HANDLERS + 16 * v, 4);
        sys_bare->host[HANDLERS + 16 * v] = 0xf4;
    }
    for (unsigned i = 0; i < 6; i++)
        x86_load_segment_real(sys_cpu, (X86Segment)i, 0);
    for (unsigned i = 0; i < 6; i++) /* as a reset leaves them */
        sys_cpu->segment[i].limit = 0xffff;
}

void sys_protected_mode(unsigned cpl)
{
    clear();
    sys_cpu->cr0 = CR0_PE | CR0_ET | CR0_NE;
    sys_cpu->cr4 = CR4_PSE;
    sys_make_gdt(false);
    make_idt(false);
    sys_put(TSS_A + 4, STACK0, 4);
    sys_put(TSS_A + 8, DS32, 4);
    sys_put(TSS_A + 12, STACK1, 4);
    sys_put(TSS_A + 16, DATA1, 4);
    sys_put(TSS_A + 0x66, 0x68, 2);
    sys_cpu->tr =
        (X86SegmentReg){ .base = TSS_A, .limit = 0x67, .selector = TSS_A_SEL, .attributes = 0x80 | GATE_TSS_BUSY };
    sys_load(X86_CS, cpl ? CS32_3 : CS32);
    sys_load_data(cpl ? DS32_3 : DS32);
    sys_cpu->gpr[RSP] = cpl ? STACK3 : STACK0;
}

void sys_long_mode(unsigned cpl)
{
    clear();
    sys_cpu->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG | CR0_WP;
    sys_cpu->cr4 = CR4_PAE | CR4_PSE;
    sys_cpu->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
    sys_cpu->cr3 = PML4;
    sys_put(PML4, PDPT | 7, 8);
    sys_put(PDPT, PD | 7, 8);
    sys_put(PD, 0x87, 8);
    sys_make_gdt(true);
    make_idt(true);
    sys_put(TSS_A + 4, STACK0, 8);
    sys_put(TSS_A + 12, STACK1, 8);
    sys_put(TSS_A + 36, STACK_IST, 8);
    sys_put(TSS_A + 0x66, 0x68, 2);
    sys_cpu->tr =
        (X86SegmentReg){ .base = TSS_A, .limit = 0x67, .selector = TSS_A_SEL, .attributes = 0x80 | GATE_TSS_BUSY };
    sys_load(X86_CS, cpl ? CS64_3 : CS64);
    sys_load_data(cpl ? DS64_3 : DS32);
    sys_cpu->gpr[RSP] = cpl ? STACK3 : STACK0;
}

static void in_thread(Vcpu *vcpu, void *opaque)
{
    bool *halted = opaque;
    x86_mode_changed(sys_cpu);
    tcg_flush_all(&sys_cpu->cs);
    x86_bare_code_written(sys_bare, 0, RAM_BYTES);
    tcg_enter(vcpu->accel);
    *halted = x86_bare_go(sys_bare, NULL, 1000);
    tcg_leave(vcpu->accel, TCG_RUN_ON);
}

/* Run these instructions to a hlt. */
void sys_run(const char *bytes, size_t count)
{
    bool halted = false;
    memcpy(sys_bare->host + CODE, bytes, count);
    vcpu_call(sys_bare->vcpu, in_thread, &halted);
    g_assert_true(halted);
}

/* The handler that we are in now; 255: none. */
unsigned sys_vector(void)
{
    return sys_cpu->cs.pc > HANDLERS && sys_cpu->cs.pc <= HANDLERS + 16 * 64
               ? (unsigned)(sys_cpu->cs.pc - 1 - HANDLERS) / 16
               : 255;
}

/* The frame's words, of 4 bytes in protected and of 8 in long mode; real mode: 2. */
uint64_t sys_word(unsigned n)
{
    unsigned bytes = x86_long(sys_cpu) ? 8 : sys_cpu->cr0 & CR0_PE ? 4 : 2;
    return sys_get(sys_cpu->segment[X86_SS].base + sys_cpu->gpr[RSP] + n * bytes, bytes);
}

void sys_assert_error(unsigned want, uint32_t error)
{
    g_assert_cmpuint(sys_vector(), ==, want);
    g_assert_cmphex(sys_word(0) & 0xffffffff, ==, error);
}

/* ---- tests ---- */

static void run_test(const void *data)
{
    const SysTest *test = data;
    for (unsigned jit = 0; jit < 2; jit++) {
        sys_bare = x86_bare_new(jit, RAM_BYTES);
        sys_cpu = sys_bare->s;
        test->test();
        x86_bare_free(sys_bare);
    }
}

int sys_main(int argc, char **argv, const SysTest *tests)
{
    g_test_init(&argc, &argv, NULL);
    for (; tests->name; tests++) {
        g_autofree char *path = g_strdup_printf("/x86/%s", tests->name);
        g_test_add_data_func(path, tests, run_test);
    }
    return g_test_run();
}
