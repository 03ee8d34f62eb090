/*
 * Local APICs, their messages, and the I/O APIC: processors are a mock that remembers what it was told.
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "hw/intc/gsi.h"

enum { ID = 0x20, TPR = 0x80, PPR = 0xa0, EOI = 0xb0, LDR = 0xd0, DFR = 0xe0, SVR = 0xf0, ISR = 0x100, TMR = 0x180 };
enum { IRR = 0x200, ESR = 0x280, ICR = 0x300, ICR_HIGH = 0x310, TIMER = 0x320, LINT0 = 0x350, LINT1 = 0x360 };
enum { LVT_ERROR = 0x370, INITIAL = 0x380, CURRENT = 0x390, DIVIDE = 0x3e0 };
enum { MSR_BASE = 0x1b, MSR_DEADLINE = 0x6e0, X2 = 0x800 };
#define CPUS 4

typedef struct Cpu {
    bool intr;
    unsigned nmis, smis, inits, start_ups;
    uint8_t vector;
    DevMachine *m;
} Cpu;

typedef struct Fixture {
    DevMachine *m;
    ApicHub *hub;
    IoApic *ioapic;
    I8259 *pic;
    Gsi gsi;
    Cpu cpu[CPUS];
    Apic *apic[CPUS];
} Fixture;

static int current; /* vCPU that makes accesses, -1: none */

static int current_index(void)
{
    return current;
}

static void set_intr(void *cpu, bool level)
{
    ((Cpu *)cpu)->intr = level;
}

static void nmi(void *cpu)
{
    ((Cpu *)cpu)->nmis++;
}

static void smi(void *cpu)
{
    ((Cpu *)cpu)->smis++;
}

static void init(void *cpu)
{
    ((Cpu *)cpu)->inits++;
}

static void start_up(void *cpu, uint8_t vector)
{
    ((Cpu *)cpu)->start_ups++;
    ((Cpu *)cpu)->vector = vector;
}

static uint64_t tsc(void *cpu) /* 2 GHz */
{
    return 2 * clock_now(((Cpu *)cpu)->m->machine->clocks, CLOCK_VIRTUAL_NS);
}

static uint64_t tsc_frequency(void *cpu)
{
    return 2000000000;
}

static const ApicCpuOps cpu_ops = { set_intr, nmi, smi, init, start_up, tsc, tsc_frequency };

static int pic_acknowledge(void *pic)
{
    return i8259_acknowledge(pic);
}

static void reg(Fixture *f, int cpu, unsigned offset, uint32_t value)
{
    current = cpu;
    w32(f->m, APIC_BASE + offset, value);
    current = -1;
}

static uint32_t get(Fixture *f, int cpu, unsigned offset)
{
    current = cpu;
    uint32_t value = r32(f->m, APIC_BASE + offset);
    current = -1;
    return value;
}

static Fixture *apic_setup(void)
{
    Fixture *f = g_new0(Fixture, 1);
    GError *err = NULL;
    f->m = devm_new();
    current = -1;
    f->hub = devm_add(f->m, &apic_hub_type, NULL);
    f->hub->current = current_index;
    f->hub->pic_acknowledge = pic_acknowledge;
    devm_realize(f->m, f->hub);
    devm_map(f->m, &f->hub->mmio, APIC_BASE);
    for (unsigned i = 0; i < CPUS; i++) {
        f->cpu[i].m = f->m;
        DEVM_LOCKED(f->m, f->apic[i] = apic_new(f->hub, i, &cpu_ops, &f->cpu[i], &err));
        g_assert_no_error(err);
    }
    f->hub->pic = f->pic = devm_add(f->m, &i8259_type, NULL);
    devm_realize(f->m, f->pic);
    f->pic->intr = apic_extint_input(f->hub);
    f->ioapic = devm_add(f->m, &ioapic_type, NULL);
    f->ioapic->hub = f->hub;
    devm_realize(f->m, f->ioapic);
    devm_map(f->m, &f->ioapic->mmio, IOAPIC_BASE);
    gsi_init(&f->gsi, f->pic, f->ioapic);
    for (unsigned i = 0; i < CPUS; i++) {
        reg(f, i, SVR, 0x1ff);
        reg(f, i, LDR, 1u << (24 + i));
    }
    return f;
}

static void apic_teardown(Fixture *f)
{
    devm_free(f->m);
    g_free(f);
}

static void msr(Fixture *f, int cpu, uint32_t index, uint64_t value)
{
    g_assert_true(apic_write_msr(f->apic[cpu], index, value));
}

static uint64_t get_msr(Fixture *f, int cpu, uint32_t index)
{
    uint64_t value;
    g_assert_true(apic_read_msr(f->apic[cpu], index, &value));
    return value;
}

static void line(Fixture *f, unsigned gsi, bool level)
{
    Irq irq = gsi_input(&f->gsi, gsi);
    irq_set(&irq, level);
}

static void pin(Fixture *f, unsigned n, uint64_t entry)
{
    w32(f->m, IOAPIC_BASE, 0x11 + 2 * n);
    w32(f->m, IOAPIC_BASE + 0x10, entry >> 32);
    w32(f->m, IOAPIC_BASE, 0x10 + 2 * n);
    w32(f->m, IOAPIC_BASE + 0x10, entry);
}

static uint32_t pin_low(Fixture *f, unsigned n)
{
    w32(f->m, IOAPIC_BASE, 0x10 + 2 * n);
    return r32(f->m, IOAPIC_BASE + 0x10);
}

static void test_registers(void)
{
    Fixture *f = apic_setup();
    g_assert_cmphex(get(f, 2, ID), ==, 2u << 24);
    g_assert_cmphex(get(f, 2, 0x30), ==, 0x50014);
    g_assert_cmphex(get(f, 2, TIMER), ==, 0x10000);
    g_assert_cmphex(get(f, 2, DFR), ==, UINT32_MAX);
    g_assert_cmphex(get_msr(f, 0, MSR_BASE), ==, 0xfee00900);
    g_assert_cmphex(get_msr(f, 1, MSR_BASE), ==, 0xfee00800);
    g_assert_cmphex(get(f, 1, ESR), ==, 0);
    get(f, 1, 0x40); /* no register: an error, seen after a write to ESR */
    g_assert_cmphex(get(f, 1, ESR), ==, 0);
    reg(f, 1, ESR, 0);
    g_assert_cmphex(get(f, 1, ESR), ==, 0x80);
    reg(f, 1, SVR, 0xff); /* disabled by software: all masked */
    reg(f, 1, LINT1, 0x400);
    g_assert_cmphex(get(f, 1, LINT1), ==, 0x10400);
    msr(f, 1, MSR_BASE, 0xfee00000);
    g_assert_cmphex(get(f, 1, ID), ==, UINT32_MAX);
    g_assert_cmphex(r32(f->m, APIC_BASE + ID), ==, UINT32_MAX); /* nobody's */
    apic_teardown(f);
}

static void test_priorities(void)
{
    Fixture *f = apic_setup();
    apic_msi(f->hub, APIC_BASE | 1 << 12, 0x45);
    apic_msi(f->hub, APIC_BASE | 1 << 12, 0x61);
    apic_msi(f->hub, APIC_BASE | 1 << 12, 0x4f);
    g_assert_true(f->cpu[1].intr && !f->cpu[0].intr);
    g_assert_cmphex(get(f, 1, IRR + 0x20), ==, 0x8020);
    reg(f, 1, TPR, 0x60);
    g_assert_false(f->cpu[1].intr);
    g_assert_cmpint(apic_acknowledge(f->apic[1]), ==, -1);
    apic_set_tpr(f->apic[1], 0x5f);
    g_assert_cmphex(apic_get_tpr(f->apic[1]), ==, 0x5f);
    g_assert_cmphex(apic_acknowledge(f->apic[1]), ==, 0x61);
    g_assert_cmphex(get(f, 1, PPR), ==, 0x60);
    g_assert_cmphex(get(f, 1, ISR + 0x30), ==, 2);
    reg(f, 1, TPR, 0);
    g_assert_false(f->cpu[1].intr);
    reg(f, 1, EOI, 0);
    g_assert_true(f->cpu[1].intr);
    g_assert_cmphex(apic_acknowledge(f->apic[1]), ==, 0x4f);
    g_assert_false(f->cpu[1].intr); /* the same class waits */
    reg(f, 1, EOI, 0);
    g_assert_cmphex(apic_acknowledge(f->apic[1]), ==, 0x45);
    reg(f, 1, EOI, 0);
    g_assert_false(f->cpu[1].intr);
    w32(f->m, APIC_BASE | 2 << 12, 0x33); /* a write to memory does it, too; the page at 0 is CPU 0's */
    w32(f->m, APIC_BASE, 0x34);
    g_assert_cmphex(apic_acknowledge(f->apic[2]), ==, 0x33);
    g_assert_cmphex(apic_acknowledge(f->apic[0]), ==, 0x34);
    apic_msi(f->hub, APIC_BASE | 1 << 12, 0x05); /* a vector that is none */
    reg(f, 1, ESR, 0);
    g_assert_cmphex(get(f, 1, ESR), ==, 0x40);
    apic_teardown(f);
}

static void test_destinations(void)
{
    Fixture *f = apic_setup();
    apic_msi(f->hub, APIC_BASE | 0xff << 12, 0x50); /* all */
    for (unsigned i = 0; i < CPUS; i++)
        g_assert_cmphex(apic_acknowledge(f->apic[i]), ==, 0x50);
    apic_msi(f->hub, APIC_BASE | 0x0a << 12 | 4, 0x71); /* logical, flat: 1 and 3 */
    for (unsigned i = 0; i < CPUS; i++)
        g_assert_cmphex(apic_acknowledge(f->apic[i]), ==, i & 1 ? 0x71 : -1);
    for (unsigned i = 0; i < CPUS; i++) { /* clusters of two */
        reg(f, i, DFR, 0);
        reg(f, i, LDR, (i / 2 << 4 | 1u << i % 2) << 24);
        reg(f, i, EOI, 0);
        reg(f, i, EOI, 0);
    }
    apic_msi(f->hub, APIC_BASE | 0x12 << 12 | 4, 0x81);
    for (unsigned i = 0; i < CPUS; i++)
        g_assert_cmphex(apic_acknowledge(f->apic[i]), ==, i == 3 ? 0x81 : -1);
    reg(f, 0, TPR, 0x20); /* lowest priority: not this one, the others in turn */
    unsigned got[CPUS] = { 0 };
    reg(f, 3, EOI, 0);
    for (unsigned n = 0; n < 6; n++) {
        apic_msi(f->hub, APIC_BASE | 0xff << 12, 0x190);
        for (unsigned i = 0; i < CPUS; i++) {
            if (apic_acknowledge(f->apic[i]) == 0x90) {
                got[i]++;
                reg(f, i, EOI, 0);
            }
        }
    }
    g_assert_true(!got[0] && got[1] == 2 && got[2] == 2 && got[3] == 2);
    apic_teardown(f);
}

static void test_ipi(void)
{
    Fixture *f = apic_setup();
    reg(f, 0, ICR_HIGH, 2u << 24);
    reg(f, 0, ICR, 0x4500); /* INIT */
    reg(f, 0, ICR, 0x8500); /* its de-assertion */
    g_assert_cmpuint(f->cpu[2].inits, ==, 1);
    reg(f, 0, ICR, 0x4699);
    g_assert_cmpuint(f->cpu[2].start_ups, ==, 1);
    g_assert_cmphex(f->cpu[2].vector, ==, 0x99);
    reg(f, 0, ICR, 0x40fd);
    g_assert_cmphex(apic_acknowledge(f->apic[2]), ==, 0xfd);
    reg(f, 3, ICR, 0xc4400); /* NMI to all others */
    reg(f, 3, ICR, 0x84200); /* SMI to all */
    reg(f, 3, ICR, 0x44031); /* to itself */
    for (unsigned i = 0; i < CPUS; i++) {
        g_assert_cmpuint(f->cpu[i].nmis, ==, i != 3);
        g_assert_cmpuint(f->cpu[i].smis, ==, 1);
        g_assert_cmphex(apic_acknowledge(f->apic[i]), ==, i == 3 ? 0x31 : -1);
    }
    g_assert_cmphex(get(f, 3, ICR) & 0x1000, ==, 0);
    reg(f, 0, LVT_ERROR, 0xfe);
    reg(f, 0, ICR, 0x4003); /* a vector that is none */
    g_assert_cmphex(apic_acknowledge(f->apic[0]), ==, 0xfe);
    reg(f, 0, ESR, 0);
    g_assert_cmphex(get(f, 0, ESR), ==, 0x20);
    reg(f, 1, TIMER, 0x30);
    apic_init(f->apic[1]); /* INIT has reached the processor */
    g_assert_cmphex(get(f, 1, SVR), ==, 0xff);
    g_assert_cmphex(get(f, 1, TIMER), ==, 0x10000);
    g_assert_cmphex(get(f, 1, ID), ==, 1u << 24);
    apic_teardown(f);
}

static void test_timer(void)
{
    Fixture *f = apic_setup();
    reg(f, 0, DIVIDE, 3); /* by 16 */
    reg(f, 0, TIMER, 0xec);
    reg(f, 0, INITIAL, 1000);
    devm_step(f->m, 8000);
    g_assert_cmpuint(get(f, 0, CURRENT), ==, 500);
    g_assert_false(f->cpu[0].intr);
    devm_step(f->m, 8000);
    g_assert_cmpuint(get(f, 0, CURRENT), ==, 0);
    g_assert_cmphex(apic_acknowledge(f->apic[0]), ==, 0xec);
    reg(f, 0, EOI, 0);
    devm_step(f->m, 100000);
    g_assert_false(f->cpu[0].intr);
    reg(f, 0, TIMER, 0x200ec); /* periodic: 100 us */
    reg(f, 0, DIVIDE, 0xb);    /* by 1 */
    reg(f, 0, INITIAL, 100000);
    unsigned count = 0;
    for (unsigned i = 0; i < 1000; i++) {
        devm_step(f->m, 10000);
        count += apic_acknowledge(f->apic[0]) == 0xec;
        reg(f, 0, EOI, 0);
    }
    g_assert_cmpuint(count, ==, 100);
    reg(f, 0, INITIAL, 1); /* as fast as we let it, which does not hang */
    devm_step(f->m, 1000000);
    reg(f, 0, TIMER, 0x100ec);
    apic_acknowledge(f->apic[0]);
    reg(f, 0, EOI, 0);
    reg(f, 0, TIMER, 0x400ed); /* TSC deadline */
    g_assert_cmpuint(get(f, 0, CURRENT), ==, 0);
    msr(f, 0, MSR_DEADLINE, tsc(&f->cpu[0]) + 20000);
    devm_step(f->m, 9999);
    g_assert_false(f->cpu[0].intr);
    devm_step(f->m, 2);
    g_assert_cmphex(apic_acknowledge(f->apic[0]), ==, 0xed);
    g_assert_cmphex(get_msr(f, 0, MSR_DEADLINE), ==, 0);
    reg(f, 0, EOI, 0);
    msr(f, 0, MSR_DEADLINE, UINT64_MAX);
    devm_step(f->m, 1000000000);
    g_assert_false(f->cpu[0].intr);
    msr(f, 0, MSR_DEADLINE, 1); /* past */
    devm_step(f->m, 1);
    g_assert_cmphex(apic_acknowledge(f->apic[0]), ==, 0xed);
    reg(f, 0, TIMER, 0xed);
    msr(f, 0, MSR_DEADLINE, 1);
    g_assert_cmphex(get_msr(f, 0, MSR_DEADLINE), ==, 0);
    apic_teardown(f);
}

/* What is due when a register of the timer is written has happened, although the host had no time for it. */
static void test_late_timer(void)
{
    static const struct {
        uint32_t reg, value;
    } writes[] = { { TIMER, 0xec }, { DIVIDE, 3 }, { INITIAL, 50000 } };
    for (unsigned i = 0; i < G_N_ELEMENTS(writes); i++) {
        Fixture *f = apic_setup();
        Clocks *clocks = f->m->machine->clocks;
        reg(f, 0, DIVIDE, 3);
        reg(f, 0, TIMER, 0xec);
        reg(f, 0, INITIAL, 1000);
        clock_set_virtual(clocks, clock_now(clocks, CLOCK_VIRTUAL_NS) + 100000);
        g_assert_false(f->cpu[0].intr);
        reg(f, 0, writes[i].reg, writes[i].value);
        g_assert_cmphex(apic_acknowledge(f->apic[0]), ==, 0xec);
        reg(f, 0, EOI, 0);
        devm_step(f->m, 100000);
        g_assert_false(f->cpu[0].intr);
        apic_teardown(f);
    }
}

/* A host that is so busy that time passes between any two looks at the clock: a count shorter than that ends all the
 * same. */
static void test_busy_timer(void)
{
    static const struct {
        uint32_t reg, value;
    } writes[] = { { INITIAL, 20 }, { TIMER, 0xec }, { DIVIDE, 3 } };
    for (unsigned i = 0; i < G_N_ELEMENTS(writes); i++) {
        for (unsigned count = 1; count < 500; count += 13) {
            Fixture *f = apic_setup();
            devm_busy(f->m);
            reg(f, 0, DIVIDE, 3);
            reg(f, 0, TIMER, 0xec);
            reg(f, 0, INITIAL, count);
            reg(f, 0, writes[i].reg, writes[i].value);
            devm_step(f->m, 1000000);
            g_assert_cmphex(apic_acknowledge(f->apic[0]), ==, 0xec);
            apic_teardown(f);
        }
    }
}

static void test_x2apic(void)
{
    Fixture *f = apic_setup();
    uint64_t value;
    g_assert_false(apic_read_msr(f->apic[0], X2 + 2, &value)); /* not yet */
    g_assert_false(apic_write_msr(f->apic[0], MSR_BASE, 0xfee00500));
    g_assert_false(apic_write_msr(f->apic[0], MSR_BASE, 0xfee00900 | UINT64_C(1) << 60));
    for (unsigned i = 0; i < CPUS; i++)
        msr(f, i, MSR_BASE, get_msr(f, i, MSR_BASE) | 0x400);
    g_assert_false(apic_write_msr(f->apic[0], MSR_BASE, 0xfee00900)); /* no way back but through disabled */
    g_assert_cmphex(get(f, 0, ID), ==, UINT32_MAX);
    g_assert_cmphex(get_msr(f, 3, X2 + 2), ==, 3);
    g_assert_cmphex(get_msr(f, 3, X2 + 0xd), ==, 8);
    msr(f, 0, X2 + 0x30, UINT64_C(3) << 32 | 0x45);
    g_assert_cmphex(apic_acknowledge(f->apic[3]), ==, 0x45);
    msr(f, 0, X2 + 0x30, UINT64_C(6) << 32 | 0x847); /* logical: 1 and 2 */
    msr(f, 0, X2 + 0x30, UINT64_C(0xffffffff) << 32 | 0x400);
    for (unsigned i = 0; i < CPUS; i++) {
        g_assert_cmphex(apic_acknowledge(f->apic[i]), ==, i == 1 || i == 2 ? 0x47 : -1);
        g_assert_cmpuint(f->cpu[i].nmis, ==, 1);
    }
    g_assert_cmphex(get_msr(f, 0, X2 + 0x30), ==, UINT64_C(0xffffffff) << 32 | 0x400);
    msr(f, 0, X2 + 0x3f, 0x99);
    g_assert_cmphex(apic_acknowledge(f->apic[0]), ==, 0x99);
    msr(f, 0, X2 + 0xb, 0);
    static const struct {
        uint32_t index;
        uint64_t value;
    } bad[] = { { 0xb, 1 },  { 0xd, 1 },  { 0xe, 0 },      { 0x31, 0 },   { 2, 0 },       { 8, 0x100 }, { 0x28, 1 },
                { 0x10, 0 }, { 0x39, 0 }, { 0x3f, 0x100 }, { 0x32, ~0u }, { 0x30, 4096 }, { 0x50, 0 } };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++)
        g_assert_false(apic_write_msr(f->apic[0], X2 + bad[i].index, bad[i].value));
    static const uint8_t unreadable[] = { 0xb, 0xe, 0x31, 0x3f, 0x40 };
    for (unsigned i = 0; i < G_N_ELEMENTS(unreadable); i++)
        g_assert_false(apic_read_msr(f->apic[0], X2 + unreadable[i], &value));
    f->apic[1]->has_x2apic = f->apic[1]->has_deadline = false;
    msr(f, 1, MSR_BASE, 0xfee00000);
    msr(f, 1, MSR_BASE, 0xfee00800);
    g_assert_false(apic_write_msr(f->apic[1], MSR_BASE, 0xfee00c00));
    g_assert_false(apic_write_msr(f->apic[1], MSR_DEADLINE, 0));
    g_assert_cmphex(get(f, 1, ID), ==, 1u << 24);
    apic_teardown(f);
}

/* 8259 through LINT0 of the bootstrap processor, as firmware leaves it; NMI through LINT1; SMI. */
static void test_local_inputs(void)
{
    Fixture *f = apic_setup();
    out(f->m, 0x20, 1, 0x11);
    out(f->m, 0x21, 1, 0x08);
    out(f->m, 0x21, 1, 4);
    out(f->m, 0x21, 1, 1);
    line(f, 4, true);
    g_assert_cmphex(get(f, 0, LINT0), ==, 0x700);
    g_assert_true(f->cpu[0].intr && !f->cpu[1].intr);
    reg(f, 0, LINT0, 0x10700);
    g_assert_false(f->cpu[0].intr);
    reg(f, 0, LINT0, 0x700);
    g_assert_cmphex(apic_acknowledge(f->apic[0]), ==, 0x0c);
    g_assert_false(f->cpu[0].intr);
    out(f->m, 0x20, 1, 0x20);
    line(f, 4, false);
    msr(f, 0, MSR_BASE, 0xfee00100); /* no APIC: LINT0 is INTR */
    line(f, 3, true);
    g_assert_cmphex(apic_acknowledge(f->apic[0]), ==, 0x0b);
    out(f->m, 0x20, 1, 0x20);
    msr(f, 0, MSR_BASE, 0xfee00900);
    reg(f, 0, SVR, 0x1ff);
    reg(f, 0, LINT0, 0x44); /* LINT0 with a vector of its own, as Linux tries */
    line(f, 5, true);
    g_assert_cmphex(apic_acknowledge(f->apic[0]), ==, 0x44);
    Irq nmi_input = apic_nmi_input(f->hub), smi_input = apic_smi_input(f->hub), smi_all = apic_smi_all_input(f->hub);
    reg(f, 1, LINT1, 0x400);
    irq_set(&nmi_input, true);
    irq_set(&nmi_input, false);
    g_assert_cmpuint(f->cpu[0].nmis, ==, 0);
    g_assert_cmpuint(f->cpu[1].nmis, ==, 1);
    irq_set(&smi_input, true);
    current = 2;
    irq_set(&smi_input, true);
    current = -1;
    irq_set(&smi_all, true);
    for (unsigned i = 0; i < CPUS; i++)
        g_assert_cmpuint(f->cpu[i].smis, ==, i == 0 || i == 2 ? 2 : 1);
    apic_teardown(f);
}

static void test_ioapic(void)
{
    Fixture *f = apic_setup();
    w32(f->m, IOAPIC_BASE, 1);
    g_assert_cmphex(r32(f->m, IOAPIC_BASE + 0x10), ==, 0x170020);
    g_assert_cmphex(pin_low(f, 5), ==, 0x10000);
    line(f, 0, true); /* the timer is at pin 2; its edge waits */
    g_assert_false(f->cpu[1].intr);
    pin(f, 2, UINT64_C(1) << 56 | 0x30);
    g_assert_cmphex(apic_acknowledge(f->apic[1]), ==, 0x30);
    reg(f, 1, EOI, 0);
    g_assert_false(f->cpu[1].intr); /* once */
    line(f, 0, false);
    line(f, 0, true);
    g_assert_cmphex(apic_acknowledge(f->apic[1]), ==, 0x30);
    reg(f, 1, EOI, 0);
    line(f, 0, false);
    line(f, 2, true); /* so is the HPET */
    g_assert_cmphex(apic_acknowledge(f->apic[1]), ==, 0x30);
    line(f, 2, false);
    reg(f, 1, EOI, 0);
    pin(f, 20, UINT64_C(0x0c) << 56 | 0x8841); /* level, logical 2 and 3 */
    line(f, 20, true);
    g_assert_cmphex(pin_low(f, 20), ==, 0xc841);
    g_assert_cmphex(apic_acknowledge(f->apic[2]), ==, 0x41);
    g_assert_cmphex(apic_acknowledge(f->apic[3]), ==, 0x41);
    g_assert_cmphex(get(f, 3, TMR + 0x20), ==, 2);
    reg(f, 2, EOI, 0); /* still up: again */
    g_assert_true(f->cpu[2].intr);
    reg(f, 3, EOI, 0);
    g_assert_cmphex(apic_acknowledge(f->apic[2]), ==, 0x41);
    g_assert_cmphex(apic_acknowledge(f->apic[3]), ==, 0x41);
    line(f, 20, false);
    reg(f, 2, EOI, 0);
    g_assert_cmphex(pin_low(f, 20), ==, 0x8841);
    g_assert_false(f->cpu[2].intr);
    reg(f, 3, EOI, 0);
    line(f, 20, true);
    w32(f->m, IOAPIC_BASE + 0x40, 0x41); /* directed EOI */
    g_assert_cmphex(pin_low(f, 20), ==, 0xc841);
    line(f, 20, false);
    w32(f->m, IOAPIC_BASE + 0x40, 0x41);
    g_assert_cmphex(pin_low(f, 20), ==, 0x8841);
    line(f, 20, true);
    pin(f, 20, UINT64_C(0x0c) << 56 | 0x10841); /* as Linux ends one without the register: masked edge, then level */
    pin(f, 20, UINT64_C(0x0c) << 56 | 0x8841);
    g_assert_cmphex(pin_low(f, 20), ==, 0xc841);
    apic_teardown(f);
}

static void test_state(void)
{
    Fixture *f = apic_setup(), *twin = apic_setup();
    apic_msi(f->hub, APIC_BASE | 1 << 12, 0x45);
    reg(f, 0, TIMER, 0x200ec);
    reg(f, 0, INITIAL, 100000);
    pin(f, 3, 0x8844);
    machine_lock(f->m->machine);
    machine_lock(twin->m->machine);
    for (unsigned i = 0; i < CPUS; i++) {
        devm_check_covered(&f->apic[i]->dev);
        devm_check_twin(&f->apic[i]->dev, &twin->apic[i]->dev);
    }
    devm_check_twin(&f->ioapic->dev, &twin->ioapic->dev);
    devm_check_twin(&f->hub->dev, &twin->hub->dev);
    devm_check_covered(&f->hub->dev);
    devm_check_covered(&f->ioapic->dev);
    devm_check_covered(&f->pic->dev);
    machine_unlock(twin->m->machine);
    machine_unlock(f->m->machine);
    g_assert_true(twin->cpu[1].intr);
    devm_step(twin->m, 200000);
    g_assert_cmphex(apic_acknowledge(twin->apic[0]), ==, 0xec);
    apic_teardown(f);
    apic_teardown(twin);
}

/* Interrupts from threads while a processor takes and ends them: none is left behind. */
static unsigned senders_done;

static gpointer sender(gpointer data)
{
    Fixture *f = data;
    for (unsigned n = 0; n < 20000; n++) {
        line(f, 20, n & 1);
        apic_msi(f->hub, APIC_BASE | 1 << 12, 0x40 + n % 64);
    }
    line(f, 20, false);
    __atomic_add_fetch(&senders_done, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void test_threads(void)
{
    Fixture *f = apic_setup();
    unsigned got = 0;
    pin(f, 20, UINT64_C(1) << 56 | 0x8090);
    GThread *threads[2] = { g_thread_new("a", sender, f), g_thread_new("b", sender, f) };
    for (bool done = false; !done;) {
        done = __atomic_load_n(&senders_done, __ATOMIC_SEQ_CST) == 2;
        while (apic_acknowledge(f->apic[1]) >= 0) {
            got++;
            apic_mmio_write(f->apic[1], EOI, 0);
        }
    }
    for (unsigned i = 0; i < 2; i++)
        g_thread_join(threads[i]);
    g_assert_cmpuint(got, >=, 64);
    g_assert_false(f->cpu[1].intr);
    g_assert_cmphex(pin_low(f, 20), ==, 0x8090);
    apic_teardown(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/apic/registers", test_registers);
    g_test_add_func("/apic/priorities", test_priorities);
    g_test_add_func("/apic/destinations", test_destinations);
    g_test_add_func("/apic/ipi", test_ipi);
    g_test_add_func("/apic/timer", test_timer);
    g_test_add_func("/apic/late-timer", test_late_timer);
    g_test_add_func("/apic/busy-timer", test_busy_timer);
    g_test_add_func("/apic/x2apic", test_x2apic);
    g_test_add_func("/apic/local-inputs", test_local_inputs);
    g_test_add_func("/apic/ioapic", test_ioapic);
    g_test_add_func("/apic/state", test_state);
    g_test_add_func("/apic/threads", test_threads);
    return g_test_run();
}
