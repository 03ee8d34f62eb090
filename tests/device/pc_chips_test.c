/*
 * Whole chip sets, wired as in the machines pc and q35, with processors that only count: random accesses, saved state,
 * reset (as all_types_test.c does of machines); and interrupts from end to end.
 * SPDX-License-Identifier: MIT
 */
#include "hw/acpi/hotplug.h"
#include "hw/acpi/piix4_pm.h"
#include "hw/intc/gsi.h"
#include "hw/isa/ich9_lpc.h"
#include "hw/isa/pc_ports.h"
#include "hw/isa/piix3.h"
#include "hw/pci/i440fx.h"
#include "hw/pci/q35.h"
#include "hw/timer/hpet.h"
#include "hw/timer/i8254.h"
#include "hw/timer/mc146818.h"
#include "hw/timer/rtc.h"
#include "pcboard.h"

#define CPUS 2

typedef struct Chips {
    PcBoard *board;
    DevMachine *m;
    ApicHub *hub;
    Apic *apics[CPUS];
    I8259 *pic;
    IoApic *ioapic;
    Gsi gsi;
    Pit *pit;
    Mc146818 *rtc;
    Hpet *hpet;
    IsaBus *isa;
    bool intr[CPUS];
} Chips;

static void set_intr(void *cpu, bool level)
{
    *(bool *)cpu = level;
}

static void ignore(void *cpu) {}

static void start_up(void *cpu, uint8_t vector) {}

static uint64_t no_tsc(void *cpu)
{
    return 0;
}

static uint64_t gigahertz(void *cpu)
{
    return 1000000000;
}

static const ApicCpuOps cpu_ops = { set_intr, ignore, ignore, ignore, start_up, no_tsc, gigahertz };

static int acknowledge(void *pic)
{
    return i8259_acknowledge(pic);
}

static int processor; /* that makes accesses */

static int current(void)
{
    return processor;
}

static void add_apics(Chips *c)
{
    GError *err = NULL;
    c->hub = devm_add(c->m, &apic_hub_type, NULL);
    c->hub->current = current;
    devm_realize(c->m, c->hub);
    devm_map(c->m, &c->hub->mmio, APIC_BASE);
    for (unsigned i = 0; i < CPUS; i++)
        DEVM_LOCKED(c->m, c->apics[i] = apic_new(c->hub, i, &cpu_ops, &c->intr[i], &err));
    g_assert_no_error(err);
    c->pic = devm_add(c->m, &i8259_type, NULL);
    devm_realize(c->m, c->pic);
    c->pic->intr = apic_extint_input(c->hub);
    c->hub->pic = c->pic;
    c->hub->pic_acknowledge = acknowledge;
    c->ioapic = devm_add(c->m, &ioapic_type, NULL);
    c->ioapic->hub = c->hub;
    devm_realize(c->m, c->ioapic);
    devm_map(c->m, &c->ioapic->mmio, IOAPIC_BASE);
    gsi_init(&c->gsi, c->pic, c->ioapic);
}

static void add_timers(Chips *c)
{
    GError *err = NULL;
    g_autoptr(Opts) opts = opts_parse("-rtc", "base=2026-11-21,clock=vm", NULL, &err);
    rtc_configure(c->m->machine, opts, &err);
    g_assert_no_error(err);
    c->pit = devm_add(c->m, &i8254_type, NULL);
    c->rtc = devm_add(c->m, &mc146818rtc_type, NULL);
    c->hpet = devm_add(c->m, &hpet_type, "hpet-intcap=0xff0104");
    devm_realize(c->m, c->pit);
    devm_realize(c->m, c->rtc);
    devm_realize(c->m, c->hpet);
    devm_map(c->m, &c->hpet->mmio, HPET_BASE);
    c->pit->irq = gsi_input(&c->gsi, 0);
    c->rtc->irq = hpet_rtc_input(c->hpet);
    c->hpet->legacy = pit_disable_input(c->pit);
    for (unsigned n = 0; n < HPET_IRQS; n++)
        c->hpet->irqs[n] = gsi_input(&c->gsi, n);
    devm_realize(c->m, devm_add(c->m, &pc_ports_type, NULL));
}

static void add_hotplug(Chips *c, AcpiPm *pm)
{
    static const uint32_t ids[CPUS] = { 0, 1 };
    AcpiPciHotplug *slots = devm_add(c->m, &acpi_pci_hotplug_type, NULL);
    AcpiCpuHotplug *cpus = devm_add(c->m, &acpi_cpu_hotplug_type, NULL);
    slots->base = PIIX4_PCI_HOTPLUG;
    slots->pci = &c->board->host->pci;
    slots->pm = pm;
    slots->fixed = UINT32_MAX;
    cpus->base = PIIX4_CPU_HOTPLUG;
    cpus->ids = ids;
    cpus->count = CPUS;
    devm_realize(c->m, slots);
    devm_realize(c->m, cpus);
}

static void add_piix(Chips *c)
{
    Piix3 *piix = (Piix3 *)add_function(c->board, &piix3_type, "1.0");
    Piix4Pm *pm = (Piix4Pm *)add_function(c->board, &piix4_pm_type, "1.3");
    c->isa = &piix->isa;
    pm->pm.sci = isa_irq(c->isa->bus, 9);
    pm->smi = apic_smi_input(c->hub);
    pm->smm = true;
    add_hotplug(c, &pm->pm);
}

static void add_ich9(Chips *c)
{
    Ich9Lpc *lpc = (Ich9Lpc *)add_function(c->board, &ich9_lpc_type, "1f.0");
    add_function(c->board, &ich9_smbus_type, "1f.3");
    c->isa = &lpc->isa;
    lpc->smm = true;
    add_hotplug(c, &lpc->pm);
    lpc->smi = apic_smi_input(c->hub);
    lpc->smi_all = apic_smi_all_input(c->hub);
    for (unsigned i = 0; i < 8; i++)
        lpc->gsi[i] = gsi_input(&c->gsi, ICH9_GSI_FIRST + i);
}

static Chips *chips_new(const DeviceType *host_type)
{
    GError *err = NULL;
    Chips *c = g_new0(Chips, 1);
    c->board = pc_new(host_type);
    c->m = c->board->m;
    add_apics(c);
    if (host_type == &q35_host_type)
        add_ich9(c);
    else
        add_piix(c);
    for (unsigned n = 0; n < ISA_IRQS; n++) {
        if (n != 2)
            c->isa->irqs[n] = gsi_input(&c->gsi, n);
    }
    add_timers(c);
    static const char *const more[] = { "isa-serial", "isa-parallel",   "isa-debugcon",
                                        "pvpanic",    "isa-debug-exit", "pvpanic-pci" };
    for (unsigned i = 0; i < G_N_ELEMENTS(more); i++)
        devm_device_add(c->m, more[i], &err);
    g_assert_no_error(err);
    return c;
}

static void chips_free(Chips *c)
{
    pc_free(c->board);
    g_free(c);
}

static void test_all(gconstpointer type)
{
    Chips *c = chips_new(type), *twin = chips_new(type);
    processor = 0;
    devm_check_machines(c->m, twin->m);
    chips_free(c);
    chips_free(twin);
}

/* PIT to the 8259 to LINT0, as firmware sees it; then to the I/O APIC's pin 2, then the HPET in its place. */
static void test_timer_interrupt(void)
{
    Chips *c = chips_new(&i440fx_host_type);
    processor = 1;
    static const uint8_t init[][2] = { { 0x20, 0x11 }, { 0x21, 0x08 }, { 0x21, 4 },    { 0x21, 1 },
                                       { 0x21, 0xfe }, { 0x43, 0x34 }, { 0x40, 0xa9 }, { 0x40, 4 } };
    for (unsigned i = 0; i < G_N_ELEMENTS(init); i++)
        out(c->m, init[i][0], 1, init[i][1]);
    devm_step(c->m, 1000000);
    g_assert_true(c->intr[0] && !c->intr[1]);
    g_assert_cmphex(apic_acknowledge(c->apics[0]), ==, 8);
    out(c->m, 0x20, 1, 0x20);
    out(c->m, 0x21, 1, 0xff);
    w32(c->m, APIC_BASE + 0xf0, 0x1ff);
    w32(c->m, IOAPIC_BASE, 0x15);
    w32(c->m, IOAPIC_BASE + 0x10, 1u << 24);
    w32(c->m, IOAPIC_BASE, 0x14);
    w32(c->m, IOAPIC_BASE + 0x10, 0x30);
    g_assert_cmphex(apic_acknowledge(c->apics[1]), ==, 0x30); /* the edges while it was masked */
    w32(c->m, APIC_BASE + 0xb0, 0);
    devm_step(c->m, 1000000);
    g_assert_true(!c->intr[0] && c->intr[1]);
    g_assert_cmphex(apic_acknowledge(c->apics[1]), ==, 0x30);
    w32(c->m, APIC_BASE + 0xb0, 0);
    w32(c->m, HPET_BASE + 0x100, 4);
    w64(c->m, HPET_BASE + 0x108, 500000);
    w32(c->m, HPET_BASE + 0x10, 3);
    devm_step(c->m, 4000000);
    g_assert_false(c->intr[1]);
    devm_step(c->m, 2000000);
    g_assert_cmphex(apic_acknowledge(c->apics[1]), ==, 0x30);
    chips_free(c);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/pc-chips/i440fx", &i440fx_host_type, test_all);
    g_test_add_data_func("/pc-chips/q35", &q35_host_type, test_all);
    g_test_add_func("/pc-chips/timer-interrupt", test_timer_interrupt);
    return g_test_run();
}
