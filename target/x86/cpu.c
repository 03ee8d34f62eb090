/*
 * x86: the targets x86_64 and i386: registers, reset, inputs from board and local APIC, what debuggers see (SDM volume
 * 3, chapter 11.1 for the state after reset).
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/cpu.h"
#include "accel/vcpu.h"
#include "hw/core/machine.h"
#include "target/x86/translate.h"
#include "tcg/ir_host.h"
#include "util/error.h"
#include <inttypes.h>
#include <string.h>

#define TSC_HZ 1000000000ull /* as virtual time counts */

extern const Target target_x86_64, target_i386;

/* ---- registers ---- */

#define GPR(text, n, pin)                                    \
    {                                                        \
        text, offsetof(X86State, gpr) + 8 * (n), IR_I64, pin \
    }
static const GuestReg x86_regs[X86_REG_COUNT] = {
    GPR("rax", RAX, 1),
    GPR("rcx", RCX, 2),
    GPR("rdx", RDX, 3),
    GPR("rbx", RBX, 4),
    GPR("rsp", RSP, 5),
    GPR("rbp", RBP, 6),
    GPR("rsi", RSI, 7),
    GPR("rdi", RDI, 8),
    GPR("r8", R8, 0),
    GPR("r9", R9, 0),
    GPR("r10", R10, 0),
    GPR("r11", R11, 0),
    GPR("r12", R12, 0),
    GPR("r13", R13, 0),
    GPR("r14", R14, 0),
    GPR("r15", R15, 0),
    { "cc_result", offsetof(X86State, cc_result), IR_I64, 0, 1 },
    { "cc_source", offsetof(X86State, cc_source), IR_I64, 0, 2 },
    { "cc_op", offsetof(X86State, cc_op), IR_I32, 0, 3 },
#define XMM(n, pin)                                                \
    {                                                              \
        "xmm" #n, offsetof(X86State, xmm) + 32 * (n), IR_V256, pin \
    }
    XMM(0, 1),
    XMM(1, 2),
    XMM(2, 3),
    XMM(3, 4),
    XMM(4, 5),
    XMM(5, 6),
    XMM(6, 7),
    XMM(7, 8),
    XMM(8, 0),
    XMM(9, 0),
    XMM(10, 0),
    XMM(11, 0),
    XMM(12, 0),
    XMM(13, 0),
    XMM(14, 0),
    XMM(15, 0),
};

static unsigned bits_for(unsigned count)
{
    return count > 1 ? g_bit_storage(count - 1) : 0;
}

/* Thread, core and socket have fields of their own in an APIC ID (SDM volume 3, 10.9.1). */
static uint32_t apic_id_of(const MachineConfig *config, unsigned cpu)
{
    unsigned threads = MAX(config->threads, 1), cores = MAX(config->cores, 1);
    if (!config->cores)
        cores = MAX(config->max_cpus, 1);
    unsigned thread = cpu % threads, core = cpu / threads % cores, socket = cpu / (threads * cores);
    unsigned thread_bits = bits_for(threads), core_bits = bits_for(cores);
    return socket << (core_bits + thread_bits) | core << thread_bits | thread;
}

static bool cpu_init(Vcpu *vcpu, CpuState *cs, const char *model, GError **err)
{
    X86State *s = x86(cs);
    bool long_mode = vcpu->target == &target_x86_64;
    x86_translate_init();
    x86_helpers_init();
    s->bootstrap = !vcpu->index;
    s->apic_id = apic_id_of(&vcpu->machine->config, vcpu->index);
    s->tsc_frequency = TSC_HZ;
    s->a20_mask = UINT64_MAX;
    return x87_init(err) && ir_host_reserve(err) &&
           x86_set_model(s,
                         model       ? model
                         : long_mode ? "qemu64"
                                     : "qemu32",
                         long_mode, err);
}

static void cpu_free(CpuState *cs) {}

/* ---- reset ---- */

static void reset_segments(X86State *s)
{
    for (unsigned i = 0; i < 6; i++)
        s->segment[i] =
            (X86SegmentReg){ .limit = 0xffff, .attributes = DESC_P | DESC_S | DESC_WRITABLE | DESC_ACCESSED };
    s->segment[X86_CS].attributes |= DESC_CODE;
    s->segment[X86_CS].selector = 0xf000;
    s->segment[X86_CS].base = 0xffff0000;
    s->ldt = (X86SegmentReg){ .limit = 0xffff, .attributes = DESC_P | GATE_LDT };
    s->tr = (X86SegmentReg){ .limit = 0xffff, .attributes = DESC_P | GATE_TSS_BUSY };
    s->gdt = s->idt = (X86Table){ .limit = 0xffff };
}

static void flat(X86SegmentReg *r, uint16_t selector, unsigned attributes)
{
    *r = (X86SegmentReg){ .limit = UINT32_MAX,
                          .selector = selector,
                          .attributes =
                              (uint16_t)(attributes | DESC_P | DESC_S | DESC_WRITABLE | DESC_ACCESSED | DESC_G) };
}

/* As a boot loader leaves it (x86.h). */
static void enter_directly(X86State *s)
{
    const X86Entry *e = &s->entry;
    uint64_t values[] = { e->rsp, e->rbp, e->rsi, e->rdi, e->rax, e->rbx };
    static const uint8_t regs[] = { RSP, RBP, RSI, RDI, RAX, RBX };
    for (unsigned i = 0; i < G_N_ELEMENTS(regs); i++)
        s->gpr[regs[i]] = values[i];
    s->gpr[RDX] = 0;
    if (e->bits == 16) {
        for (unsigned i = 0; i < 6; i++) {
            s->segment[i].selector = i == X86_CS ? e->cs : e->ds;
            s->segment[i].base = (uint64_t)s->segment[i].selector << 4;
        }
        s->cs.pc = (uint32_t)(s->segment[X86_CS].base + e->rip);
        return;
    }
    s->gdt = (X86Table){ e->gdt_base, e->gdt_limit };
    s->idt = (X86Table){ 0, 0 };
    s->cr0 = CR0_PE | CR0_ET | CR0_NE;
    flat(&s->segment[X86_CS], e->cs, DESC_CODE | (e->bits == 64 ? DESC_L : DESC_DB));
    for (unsigned i = 0; i < 6; i++) {
        if (i != X86_CS)
            flat(&s->segment[i], e->ds, DESC_DB);
    }
    if (e->bits == 64) {
        s->cr0 |= CR0_PG | CR0_WP;
        s->cr3 = e->cr3;
        s->cr4 = CR4_PAE;
        s->efer = EFER_LME | EFER_LMA;
    }
    s->cs.pc = e->rip;
}

/* INIT keeps the rest: x87, vectors, MSRs, TSC, the local APIC's ID. */
static void init_reset(X86State *s)
{
    memset(s->gpr, 0, sizeof(s->gpr));
    s->gpr[RDX] = 0x600; /* family 6 */
    s->cc_op = CC_EFLAGS << 2;
    s->cc_result = s->cc_source = 0;
    s->eflags = FLAG_1;
    reset_segments(s);
    s->cr0 = CR0_ET | (s->cr0 & (CR0_CD | CR0_NW));
    s->cr2 = s->cr3 = s->cr4 = s->cr8 = s->efer = 0;
    memset(s->dr, 0, sizeof(s->dr));
    s->dr[6] = DR6_RESET;
    s->dr[7] = DR7_RESET;
    s->cs.pc = 0xfffffff0;
    s->delivering = s->nested = false;
    s->shadow = 0;
    s->smm = s->nmi_blocked = false;
    s->cs.raised = 0;
    s->cs.watching = false;
    s->waiting = !s->bootstrap;
}

static void settle(X86State *s)
{
    x86_mode_changed(s);
    tcg_flush_all(&s->cs);
    if (s->waiting)
        __atomic_store_n(&s->cs.vcpu->halted, true, __ATOMIC_SEQ_CST);
}

static void cpu_reset(CpuState *cs)
{
    X86State *s = x86(cs);
    s->cr0 = CR0_CD | CR0_NW;
    init_reset(s);
    memset(s->xmm, 0, sizeof(s->xmm));
    x86_reset_float(s);
    s->xcr0 = 1;
    s->pkru = 0;
    s->a20_mask = __atomic_load_n(&s->a20_off, __ATOMIC_SEQ_CST) ? ~(1ull << 20) : UINT64_MAX;
    __atomic_fetch_and(&s->inputs, INPUT_INTR, __ATOMIC_SEQ_CST);
    cs->reserve_addr = UINT64_MAX;
    x86_reset_msrs(s);
    if (s->bootstrap && s->has_entry)
        enter_directly(s);
    settle(s);
}

/* ---- inputs ---- */

static void set_input(CpuState *cs, uint32_t bits)
{
    __atomic_fetch_or(&x86(cs)->inputs, bits, __ATOMIC_SEQ_CST);
    vcpu_request(cs->vcpu, VCPU_INTERRUPT);
}

void x86_set_intr(CpuState *cs, bool level)
{
    if (level)
        set_input(cs, INPUT_INTR);
    else
        __atomic_fetch_and(&x86(cs)->inputs, ~(uint32_t)INPUT_INTR, __ATOMIC_SEQ_CST);
}

static void clear_input(X86State *s, uint32_t bits)
{
    __atomic_fetch_and(&s->inputs, ~bits, __ATOMIC_SEQ_CST);
}

void x86_pulse(CpuState *cs, X86Pulse pulse)
{
    static const uint32_t bits[] = { INPUT_NMI, INPUT_SMI, INPUT_INIT, INPUT_MCE };
    if (pulse == X86_INIT) /* a start-up that came before it is lost, one behind it is not */
        clear_input(x86(cs), INPUT_SIPI);
    set_input(cs, bits[pulse]);
}

void x86_start_up(CpuState *cs, uint8_t vector)
{
    __atomic_store_n(&x86(cs)->start_up_vector, vector, __ATOMIC_SEQ_CST);
    set_input(cs, INPUT_SIPI);
}

void x86_set_a20(CpuState *cs, bool on)
{
    if (__atomic_exchange_n(&x86(cs)->a20_off, !on, __ATOMIC_SEQ_CST) != !on)
        set_input(cs, INPUT_A20);
}

static bool takes_interrupts(const X86State *s)
{
    return s->eflags & FLAG_IF;
}

bool x86_has_work(CpuState *cs)
{
    const X86State *s = x86(cs);
    uint32_t inputs = __atomic_load_n(&s->inputs, __ATOMIC_SEQ_CST);
    if (s->waiting)
        return inputs & (INPUT_SIPI | INPUT_INIT);
    if (inputs & INPUT_NMI && s->nmi_blocked)
        inputs &= ~(uint32_t)INPUT_NMI;
    if (s->smm)
        inputs &= ~(uint32_t)(INPUT_SMI | INPUT_INIT);
    return inputs & (INPUT_NMI | INPUT_SMI | INPUT_INIT | INPUT_MCE) || (inputs & INPUT_INTR && takes_interrupts(s));
}

static bool take_init(X86State *s)
{
    clear_input(s, INPUT_INIT);
    init_reset(s);
    if (s->apic)
        s->apic->init(s->apic_opaque);
    settle(s);
    return true;
}

static bool take_start_up(X86State *s)
{
    clear_input(s, INPUT_SIPI);
    if (!s->waiting)
        return false;
    s->waiting = false;
    s->segment[X86_CS].selector = (uint16_t)(s->start_up_vector << 8);
    s->segment[X86_CS].base = (uint64_t)s->start_up_vector << 12;
    s->cs.pc = s->segment[X86_CS].base;
    __atomic_store_n(&s->cs.vcpu->halted, false, __ATOMIC_SEQ_CST);
    x86_mode_changed(s);
    return true;
}

void x86_take_a20(X86State *s)
{
    if (!(__atomic_load_n(&s->inputs, __ATOMIC_SEQ_CST) & INPUT_A20))
        return;
    clear_input(s, INPUT_A20);
    s->a20_mask = __atomic_load_n(&s->a20_off, __ATOMIC_SEQ_CST) ? ~(1ull << 20) : UINT64_MAX;
    tcg_flush_all(&s->cs);
}

static bool take_intr(X86State *s)
{
    int vector = s->apic ? s->apic->acknowledge(s->apic_opaque) : -1;
    if (vector < 0)
        return false;
    x86_external_interrupt(s, (unsigned)vector);
    return true;
}

/* The order of SDM volume 3, table 7-2. */
bool x86_deliver_interrupt(CpuState *cs)
{
    X86State *s = x86(cs);
    uint32_t inputs = __atomic_load_n(&s->inputs, __ATOMIC_SEQ_CST);
    bool shadow = s->shadow && s->shadow_pc == cs->pc;
    s->shadow = 0;
    if (!inputs)
        return false;
    x86_take_a20(s);
    if (inputs & INPUT_INIT && !s->smm) /* else it waits for rsm */
        return take_init(s);
    if (inputs & INPUT_SIPI && take_start_up(s))
        return true;
    if (s->waiting || !x86_has_work(cs))
        return false;
    if (shadow) { /* one more instruction first */
        __atomic_store_n(&cs->poll, 1, __ATOMIC_SEQ_CST);
        return false;
    }
    if (inputs & INPUT_SMI && !s->smm) {
        clear_input(s, INPUT_SMI);
        x86_enter_smm(s);
        return true;
    }
    if (inputs & INPUT_NMI && !s->nmi_blocked) {
        clear_input(s, INPUT_NMI);
        s->nmi_blocked = true;
        x86_external_interrupt(s, VECTOR_NMI);
        return true;
    }
    if (inputs & INPUT_MCE) {
        clear_input(s, INPUT_MCE);
        if (s->cr4 & CR4_MCE)
            x86_external_interrupt(s, VECTOR_MC);
        return s->cr4 & CR4_MCE;
    }
    return inputs & INPUT_INTR && takes_interrupts(s) && take_intr(s);
}

/* ---- for boards ---- */

void x86_set_local_apic(CpuState *cs, const X86LocalApic *ops, void *opaque)
{
    x86(cs)->apic = ops;
    x86(cs)->apic_opaque = opaque;
}

uint32_t x86_apic_id(const CpuState *cs)
{
    return ((const X86State *)cs)->apic_id;
}

uint64_t x86_tsc(const CpuState *cs)
{
    const X86State *s = (const X86State *)cs;
    uint64_t ns = (uint64_t)clock_now(cs->vcpu->machine->clocks, CLOCK_VIRTUAL_NS);
    return (uint64_t)((unsigned __int128)ns * s->tsc_frequency / 1000000000u) + s->tsc_offset;
}

uint64_t x86_tsc_frequency(const CpuState *cs)
{
    return ((const X86State *)cs)->tsc_frequency;
}

bool x86_in_smm(const CpuState *cs)
{
    return x86((CpuState *)cs)->smm;
}

void x86_set_smm_space(CpuState *cs, AddressSpace *space)
{
    x86(cs)->smm_space = space;
}

void x86_set_ferr(CpuState *cs, Irq irq)
{
    x86(cs)->ferr = irq;
}

void x86_set_ignne(CpuState *cs, bool level)
{
    __atomic_store_n(&x86(cs)->ignne, level, __ATOMIC_SEQ_CST);
}

void x86_set_bootstrap(CpuState *cs, bool bootstrap)
{
    x86(cs)->bootstrap = bootstrap;
    x86(cs)->waiting = !bootstrap;
}

void x86_set_entry(CpuState *cs, const X86Entry *entry)
{
    x86(cs)->has_entry = entry;
    if (entry)
        x86(cs)->entry = *entry;
}

/* ---- what is printed ---- */

static void dump_segment(GString *out, const char *name, const X86SegmentReg *r)
{
    g_string_append_printf(out, "%-4s=%04x %016" PRIx64 " %08x %04x\n", name, r->selector, r->base, r->limit,
                           r->attributes);
}

static void cpu_dump(CpuState *cs, GString *out)
{
    static const char *const names[] = { "ES", "CS", "SS", "DS", "FS", "GS" };
    X86State *s = x86(cs);
    for (unsigned r = 0; r < X86_GPRS; r++)
        g_string_append_printf(out, "%-3s=%016" PRIx64 "%s", x86_regs[r].name, s->gpr[r], r % 4 == 3 ? "\n" : " ");
    g_string_append_printf(out, "rip=%016" PRIx64 " rfl=%08x cpl=%u bits=%u%s%s\n", x86_ip(s), x86_eflags(s),
                           x86_cpl(s), x86_code_bits(s), s->smm ? " smm" : "", s->waiting ? " waits for start-up" : "");
    for (unsigned i = 0; i < 6; i++)
        dump_segment(out, names[i], &s->segment[i]);
    dump_segment(out, "LDT", &s->ldt);
    dump_segment(out, "TR", &s->tr);
    g_string_append_printf(out, "GDT=     %016" PRIx64 " %08x\nIDT=     %016" PRIx64 " %08x\n", s->gdt.base,
                           s->gdt.limit, s->idt.base, s->idt.limit);
    g_string_append_printf(out, "CR0=%08" PRIx64 " CR2=%016" PRIx64 " CR3=%016" PRIx64 " CR4=%08" PRIx64 "\n", s->cr0,
                           s->cr2, s->cr3, s->cr4);
    for (unsigned i = 0; i < 8; i++) {
        if (i != 4 && i != 5)
            g_string_append_printf(out, "DR%u=%016" PRIx64 "%s", i, s->dr[i], i == 3 || i == 7 ? "\n" : " ");
    }
    g_string_append_printf(out, "EFER=%016" PRIx64 "\n", s->efer);
}

/* ---- the targets ---- */

/* Nothing answers: loads give ones, stores go nowhere; there is no code. */
static void raise_bus_error(CpuState *cs, uint64_t va, Access access)
{
    if (access == ACCESS_FETCH)
        x86_raise(x86(cs), VECTOR_UD, 0);
}

/* Only what asks for alignment gets here with an exception to raise. */
static void raise_misaligned_vector(CpuState *cs, uint64_t va, Access access)
{
    x86_raise(x86(cs), VECTOR_GP, 0);
}

void x86_raise_misaligned(CpuState *cs, uint64_t va, Access access)
{
    X86State *s = x86(cs);
    Walk w;
    if (!(cs->mode & MODE_ALIGN))
        return;
    if (x86_long(s) && !x86_canonical(s, va)) /* #GP or #SS, which come first; page faults do not */
        x86_walk(cs, va, access, cs->mmu_index, true, &w);
    else
        x86_raise(s, VECTOR_AC, 0);
}

#define TARGET_COMMON                                                                                              \
    .default_machine = "pc", .page_bits = 12, .insn_align = 1, .regs = x86_regs, .reg_count = X86_REG_COUNT,       \
    .helpers = x86_helpers, .helper_count = HELPER_COUNT, .state_size = sizeof(X86State), .cpu_init = cpu_init,    \
    .cpu_free = cpu_free, .cpu_reset = cpu_reset, .cpu_dump = cpu_dump, .cpu_help = x86_cpu_help,                  \
    .has_work = x86_has_work, .deliver_interrupt = x86_deliver_interrupt, .walk = x86_walk, .coherent_code = true, \
    .raise_bus_error = raise_bus_error, .raise_misaligned = x86_raise_misaligned,                                  \
    .raise_misaligned_vector = raise_misaligned_vector, .watch = x86_watch, .scan = x86_scan,                      \
    .translate = x86_translate, .disassemble = x86_disassemble, .gdb_xml = x86_gdb_xml, .gdb_read = x86_gdb_read,  \
    .gdb_write = x86_gdb_write

const Target target_x86_64 = {
    .name = "x86_64",
    .bits = 64,
    .default_cpu = "qemu64",
    .gdb_core_count = 65,
    TARGET_COMMON,
};
const Target target_i386 = {
    .name = "i386",
    .bits = 32,
    .default_cpu = "qemu32",
    .gdb_core_count = 47,
    TARGET_COMMON,
};
