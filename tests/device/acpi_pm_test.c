/*
 * ACPI fixed hardware of PIIX4 and ICH9: PM1 events, control and sleep, PM timer, GPE, the SMI port, SMBus.
 * SPDX-License-Identifier: MIT
 */
#include "hw/acpi/hotplug.h"
#include "hw/acpi/piix4_pm.h"
#include "hw/pci/i440fx.h"
#include "pcboard.h"

#define PM 0x600
enum { STS = PM, EN = PM + 2, CNT = PM + 4, TMR = PM + 8, FN = 1 << 3 | 3 };

typedef struct Fixture {
    PcBoard *board;
    DevMachine *m;
    Piix4Pm *pm;
    DevIrq sci, smi;
} Fixture;

static Fixture *pm_new(void)
{
    Fixture *f = g_new0(Fixture, 1);
    f->board = pc_new(&i440fx_host_type);
    f->m = f->board->m;
    f->pm = (Piix4Pm *)add_function(f->board, &piix4_pm_type, "1.3");
    f->pm->smm = true;
    f->pm->pm.sci = devirq_init(&f->sci);
    f->pm->smi = devirq_init(&f->smi);
    set_config(f->board, FN, 0x40, 4, PM | 1);
    set_config(f->board, FN, 0x80, 1, 1);
    return f;
}

static void pm_free(Fixture *f)
{
    pc_free(f->board);
    g_free(f);
}

static void test_identity(void)
{
    Fixture *f = pm_new();
    g_assert_cmphex(config(f->board, FN, 0, 4), ==, 0x71138086);
    g_assert_cmphex(config(f->board, FN, 8, 4), ==, 0x06800003);
    g_assert_cmphex(config(f->board, FN, 0x40, 4), ==, PM | 1);
    uint64_t value;
    set_config(f->board, FN, 0x80, 1, 0);
    g_assert_cmpint(as_load(&f->m->machine->io, TMR, 4, &value), !=, MEM_OK);
    set_config(f->board, FN, 0x40, 4, 0xb001);
    set_config(f->board, FN, 0x80, 1, 1);
    g_assert_cmphex(in(f->m, 0xb008, 4), ==, 0);
    pm_free(f);
}

static void test_events(void)
{
    Fixture *f = pm_new();
    DEVM_LOCKED(f->m, acpi_pm_power_button(&f->pm->pm));
    g_assert_false(f->sci.level);
    g_assert_cmphex(in(f->m, STS, 2), ==, 0x100);
    out(f->m, EN, 2, 0x100);
    g_assert_true(f->sci.level);
    out(f->m, STS, 1, 0xff); /* the other byte stays */
    g_assert_true(f->sci.level);
    out(f->m, STS + 1, 1, 1);
    g_assert_false(f->sci.level);
    g_assert_cmphex(in(f->m, STS, 4), ==, 0x01000000);
    out(f->m, EN, 1, 0x20);
    g_assert_cmphex(in(f->m, EN, 2), ==, 0x120);
    DEVM_LOCKED(f->m, acpi_pm_gpe(&f->pm->pm, ACPI_GPE_PCI_HOTPLUG));
    g_assert_cmphex(in(f->m, PIIX4_GPE_BASE, 1), ==, 2);
    out(f->m, PIIX4_GPE_BASE + 2, 1, 2);
    g_assert_true(f->sci.level);
    out(f->m, PIIX4_GPE_BASE, 1, 2);
    g_assert_false(f->sci.level);
    pm_free(f);
}

static void test_timer(void)
{
    Fixture *f = pm_new();
    devm_step(f->m, 1000000000);
    g_assert_cmpuint(in(f->m, TMR, 4), ==, ACPI_PM_HZ);
    g_assert_cmphex(in(f->m, STS, 2), ==, 0);
    devm_step(f->m, INT64_C(1400000000)); /* 2^23 / 3579545 Hz: 2.343 s */
    g_assert_cmphex(in(f->m, STS, 2), ==, 1);
    out(f->m, STS, 2, 1);
    g_assert_cmphex(in(f->m, STS, 2), ==, 0);
    out(f->m, EN, 2, 1);
    devm_step(f->m, INT64_C(2200000000));
    g_assert_false(f->sci.level);
    devm_step(f->m, INT64_C(100000000));
    g_assert_true(f->sci.level);
    g_assert_cmpuint(in(f->m, TMR, 4), <, 1 << 24);
    pm_free(f);
}

static void test_control(void)
{
    Fixture *f = pm_new();
    set_config(f->board, FN, 0x58, 4, 1 << 25);
    out(f->m, 0xb2, 1, 0xf1);
    g_assert_cmphex(in(f->m, CNT, 2), ==, 1);
    g_assert_cmpuint(f->smi.rises, ==, 1);
    g_assert_cmphex(in(f->m, 0xb2, 2), ==, 0xf1);
    out(f->m, 0xb3, 1, 0x77);
    g_assert_cmpuint(f->smi.rises, ==, 1);
    g_assert_cmphex(in(f->m, 0xb3, 1), ==, 0x77);
    set_config(f->board, FN, 0x58, 4, 0);
    out(f->m, 0xb2, 1, 0xf0);
    g_assert_cmphex(in(f->m, CNT, 2), ==, 0);
    g_assert_cmpuint(f->smi.rises, ==, 1);
    out(f->m, CNT, 2, 0x3c00); /* no such type */
    g_assert_false(f->m->machine->pending.shutdown);
    g_assert_cmphex(in(f->m, CNT, 2), ==, 0x1c00);
    out(f->m, CNT, 2, 0x2000); /* off */
    g_assert_true(f->m->machine->pending.shutdown);
    g_assert_cmpint(f->m->machine->pending.cause, ==, SHUTDOWN_GUEST_OFF);
    pm_free(f);
}

/* Suspend to RAM: only what is enabled wakes, and says so after the reset. */
static void test_suspend(void)
{
    static const struct {
        void (*event)(AcpiPm *pm);
        uint16_t enable, status; /* 0: it goes on sleeping */
    } events[] = { { acpi_pm_power_button, 0, 0x8100 }, { acpi_pm_alarm, 0x400, 0x8400 }, { acpi_pm_alarm, 0, 0 } };
    Fixture *f = pm_new();
    AcpiPm *pm = &f->pm->pm;
    g_assert_false(acpi_pm_wake(pm, 0)); /* it does not sleep */
    for (unsigned i = 0; i < G_N_ELEMENTS(events); i++) {
        out(f->m, EN, 2, events[i].enable);
        out(f->m, CNT, 2, 0x2400);
        g_assert_true(f->m->machine->pending.stop);
        g_assert_cmpint(f->m->machine->pending.stop_state, ==, RUN_SUSPENDED);
        DEVM_LOCKED(f->m, events[i].event(pm));
        g_assert_true(f->m->machine->pending.wake == (events[i].status != 0));
        devm_poll(NULL, NULL);
        DEVM_LOCKED(f->m, device_reset(&f->pm->pci.dev));
        set_config(f->board, FN, 0x40, 4, PM | 1);
        set_config(f->board, FN, 0x80, 1, 1);
        g_assert_cmphex(in(f->m, STS, 2), ==, events[i].status);
        out(f->m, STS, 2, 0xffff);
    }
    DEVM_LOCKED(f->m, g_assert_true(device_set(&f->pm->pci.dev, "disable_s3", "on", NULL)));
    out(f->m, CNT, 2, 0x2400);
    g_assert_false(f->m->machine->pending.stop);
    pm_free(f);
}

static void test_smbus(void)
{
    Fixture *f = pm_new();
    set_config(f->board, FN, 0x90, 4, 0x701);
    set_config(f->board, FN, 0xd2, 1, 1);
    out(f->m, 0x704, 1, 0xa1);
    out(f->m, 0x702, 1, 0x48);
    g_assert_cmphex(in(f->m, 0x700, 1), ==, 4); /* nobody is there */
    out(f->m, 0x700, 1, 0xff);
    g_assert_cmphex(in(f->m, 0x700, 1), ==, 0);
    pm_free(f);
}

static bool slot_empty(void *opaque)
{
    return !((AcpiPciHotplug *)opaque)->pci->devices[5 << 3];
}

static void test_pci_hotplug(void)
{
    Fixture *f = pm_new();
    GError *err = NULL;
    AcpiPciHotplug *hp = devm_add(f->m, &acpi_pci_hotplug_type, NULL);
    hp->base = PIIX4_PCI_HOTPLUG;
    hp->pci = &f->board->host->pci;
    hp->pm = &f->pm->pm;
    hp->fixed = 3;
    devm_realize(f->m, hp);
    out(f->m, PIIX4_GPE_BASE + 2, 1, 2);
    g_assert_cmphex(in(f->m, 0xae0c, 4), ==, 0);
    devm_device_add(f->m, "virtio-rng-pci,addr=05.0", &err);
    g_assert_no_error(err);
    DEVM_LOCKED(f->m, acpi_pci_hotplug_plugged(hp, 5));
    g_assert_true(f->sci.level);
    g_assert_cmphex(in(f->m, 0xae00, 4), ==, 1 << 5);
    g_assert_cmphex(in(f->m, 0xae00, 4), ==, 0);
    g_assert_cmphex(in(f->m, 0xae0c, 4), ==, 1 << 5);
    DEVM_LOCKED(f->m, acpi_pci_hotplug_request(hp, 5));
    g_assert_cmphex(in(f->m, 0xae04, 4), ==, 1 << 5);
    out(f->m, 0xae10, 4, 1); /* another bus */
    g_assert_cmphex(in(f->m, 0xae04, 4), ==, 0);
    out(f->m, 0xae08, 4, 1 << 5);
    out(f->m, 0xae10, 4, 0);
    g_assert_cmphex(in(f->m, 0xae04, 4), ==, 1 << 5);
    out(f->m, 0xae08, 4, UINT32_MAX); /* the bridges stay, whatever the guest wants */
    devm_poll(slot_empty, hp);
    g_assert_cmphex(config(f->board, 5 << 3, 0, 4), ==, UINT32_MAX);
    g_assert_cmphex(config(f->board, FN, 0, 4), ==, 0x71138086);
    g_assert_cmphex(in(f->m, 0xae04, 4), ==, 0);
    pm_free(f);
}

/* As OVMF counts processors. */
static void test_cpu_hotplug(void)
{
    Fixture *f = pm_new();
    static const uint32_t ids[] = { 0, 2, 4 };
    AcpiCpuHotplug *hp = devm_add(f->m, &acpi_cpu_hotplug_type, NULL);
    hp->base = PIIX4_CPU_HOTPLUG;
    hp->ids = ids;
    hp->count = G_N_ELEMENTS(ids);
    devm_realize(f->m, hp);
    unsigned possible = 0, present = 0;
    out(f->m, 0xaf00, 4, 0);
    out(f->m, 0xaf05, 1, 0);
    g_assert_cmphex(in(f->m, 0xaf00, 4), ==, 0);
    do {
        present += in(f->m, 0xaf04, 1) & 1;
        out(f->m, 0xaf00, 4, ++possible);
    } while (in(f->m, 0xaf08, 4));
    g_assert_cmpuint(possible, ==, 3);
    g_assert_cmpuint(present, ==, 3);
    out(f->m, 0xaf00, 4, 2);
    out(f->m, 0xaf05, 1, 3);
    g_assert_cmphex(in(f->m, 0xaf08, 4), ==, 4);
    out(f->m, 0xaf00, 4, UINT32_MAX);
    g_assert_cmphex(in(f->m, 0xaf04, 1), ==, 0);
    pm_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/acpi-pm/identity", test_identity);
    g_test_add_func("/acpi-pm/events", test_events);
    g_test_add_func("/acpi-pm/timer", test_timer);
    g_test_add_func("/acpi-pm/control", test_control);
    g_test_add_func("/acpi-pm/suspend", test_suspend);
    g_test_add_func("/acpi-pm/smbus", test_smbus);
    g_test_add_func("/acpi-pm/pci-hotplug", test_pci_hotplug);
    g_test_add_func("/acpi-pm/cpu-hotplug", test_cpu_hotplug);
    return g_test_run();
}
