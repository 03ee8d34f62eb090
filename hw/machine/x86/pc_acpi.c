/*
 * ACPI tables of the machines pc, q35 and microvm but for the DSDT (ACPI Specification 6.5, 5.2; IA-PC
 * HPET 1.0a, 3.2.4; PCI Firmware Specification 3.3, 4.1.2; Windows ACPI Emulated Devices Table, 2009).
 * SPDX-License-Identifier: MIT
 */
#include "hw/machine/x86/pc_acpi.h"
#include "hw/acpi/ged.h"

#define FILES_ROOM 0x10000 /* of the tables: they may grow when firmware has placed BARs */

/* ---- MADT (5.2.12) ---- */

enum { MADT_LOCAL_APIC = 0, MADT_IO_APIC = 1, MADT_OVERRIDE = 2, MADT_NMI = 4, MADT_X2APIC = 9, MADT_X2APIC_NMI = 10 };
enum { ENABLED = 1, X2APIC_FIRST = 255, LEVEL_HIGH = 0x0d };

static void put_processor(AcpiTables *t, unsigned uid, uint32_t apic_id)
{
    if (apic_id < X2APIC_FIRST) {
        acpi_put(t, MADT_LOCAL_APIC, 1);
        acpi_put(t, 8, 1);
        acpi_put(t, uid, 1);
        acpi_put(t, apic_id, 1);
        acpi_put(t, ENABLED, 4);
        return;
    }
    acpi_put(t, MADT_X2APIC, 1);
    acpi_put(t, 16, 1);
    acpi_put(t, 0, 2);
    acpi_put(t, apic_id, 4);
    acpi_put(t, ENABLED, 4);
    acpi_put(t, uid, 4);
}

static void put_override(AcpiTables *t, unsigned irq, unsigned gsi, unsigned flags)
{
    acpi_put(t, MADT_OVERRIDE, 1);
    acpi_put(t, 10, 1);
    acpi_put(t, 0, 1); /* ISA */
    acpi_put(t, irq, 1);
    acpi_put(t, gsi, 4);
    acpi_put(t, flags, 2);
}

/* LINT1 of all processors is NMI. */
static void put_nmi(AcpiTables *t, bool x2apic)
{
    acpi_put(t, x2apic ? MADT_X2APIC_NMI : MADT_NMI, 1);
    acpi_put(t, x2apic ? 12 : 6, 1);
    if (x2apic) {
        acpi_put(t, 0, 2);
        acpi_put(t, 0xffffffff, 4);
        acpi_put(t, 1, 1);
        acpi_zeros(t, 3);
        return;
    }
    acpi_put(t, 0xff, 1);
    acpi_put(t, 0, 2);
    acpi_put(t, 1, 1);
}

static void put_madt(AcpiTables *t, const PcAcpiInfo *info)
{
    enum { PCAT_COMPAT = 1 };
    static const uint8_t level[] = { 5, 9, 10, 11 }; /* what PCI's interrupts and the SCI come as */
    bool x2apic = false;
    acpi_begin(t, "APIC", 3);
    acpi_put(t, PC_LAPIC_BASE, 4);
    acpi_put(t, info->board == PC_MICROVM ? 0 : PCAT_COMPAT, 4);
    for (unsigned i = 0; i < info->cpus; i++) {
        put_processor(t, i, info->apic_ids[i]);
        x2apic = x2apic || info->apic_ids[i] >= X2APIC_FIRST;
    }
    acpi_put(t, MADT_IO_APIC, 1);
    acpi_put(t, 12, 1);
    acpi_put(t, 0, 2);
    acpi_put(t, PC_IOAPIC_BASE, 4);
    acpi_put(t, 0, 4);
    if (info->irq0_override)
        put_override(t, 0, 2, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(level) && info->board != PC_MICROVM; i++)
        put_override(t, level[i], level[i], LEVEL_HIGH);
    put_nmi(t, x2apic);
    acpi_end(t);
}

/* ---- SRAT, SLIT (5.2.16, 5.2.17) ---- */

static void put_memory(AcpiTables *t, unsigned node, uint64_t base, uint64_t size)
{
    acpi_put(t, 1, 1);
    acpi_put(t, 40, 1);
    acpi_put(t, node, 4);
    acpi_put(t, 0, 2);
    acpi_put(t, base, 8);
    acpi_put(t, size, 8);
    acpi_put(t, 0, 4);
    acpi_put(t, ENABLED, 4);
    acpi_put(t, 0, 8);
}

static void put_cpu_affinity(AcpiTables *t, unsigned node, uint32_t apic_id)
{
    bool x2apic = apic_id >= X2APIC_FIRST;
    acpi_put(t, x2apic ? 2 : 0, 1);
    acpi_put(t, x2apic ? 24 : 16, 1);
    if (x2apic) {
        acpi_put(t, 0, 2);
        acpi_put(t, node, 4);
        acpi_put(t, apic_id, 4);
        acpi_put(t, ENABLED, 4);
        acpi_zeros(t, 8);
        return;
    }
    acpi_put(t, node, 1);
    acpi_put(t, apic_id, 1);
    acpi_put(t, ENABLED, 4);
    acpi_zeros(t, 8);
}

static void put_srat(AcpiTables *t, const PcAcpiInfo *info)
{
    const Numa *numa = info->numa;
    const uint64_t high = UINT64_C(1) << 32;
    uint64_t at = 0; /* in RAM, as if there were no hole */
    acpi_begin(t, "SRAT", 1);
    acpi_put(t, 1, 4);
    acpi_zeros(t, 8);
    for (unsigned i = 0; i < info->cpus; i++)
        put_cpu_affinity(t, numa_node_of_cpu(numa, i), info->apic_ids[i]);
    for (unsigned n = 0; n < numa->count; n++) {
        uint64_t end = at + numa->nodes[n].size, low_end = MIN(end, info->ram_low);
        if (at < low_end)
            put_memory(t, n, at, low_end - at);
        at = MAX(at, low_end);
        if (at < end)
            put_memory(t, n, high + at - info->ram_low, end - at);
        at = end;
    }
    acpi_end(t);
}

static void put_slit(AcpiTables *t, const Numa *numa)
{
    acpi_begin(t, "SLIT", 1);
    acpi_put(t, numa->count, 8);
    for (unsigned from = 0; from < numa->count; from++) {
        for (unsigned to = 0; to < numa->count; to++)
            acpi_put(t, numa_distance(numa, from, to), 1);
    }
    acpi_end(t);
}

/* ---- the others ---- */

static void put_hpet(AcpiTables *t)
{
    acpi_begin(t, "HPET", 1);
    acpi_put(t, 0x8086a201, 4); /* Intel, three comparators, 64 bits, legacy routing */
    acpi_address(t, PC_HPET_BASE, 0, 0);
    acpi_put(t, 0, 1); /* number */
    acpi_put(t, 0, 2); /* ticks between periodic interrupts, at least */
    acpi_put(t, 0, 1);
    acpi_end(t);
}

static void put_mcfg(AcpiTables *t)
{
    acpi_begin(t, "MCFG", 1);
    acpi_zeros(t, 8);
    acpi_put(t, PC_ECAM_BASE, 8);
    acpi_put(t, 0, 2);
    acpi_put(t, 0, 1);
    acpi_put(t, (PC_ECAM_SIZE >> 20) - 1, 1);
    acpi_zeros(t, 4);
    acpi_end(t);
}

static void put_waet(AcpiTables *t)
{
    acpi_begin(t, "WAET", 1);
    acpi_put(t, 1 << 1, 4); /* one read of the PM timer is good */
    acpi_end(t);
}

static void put_fadt(AcpiTables *t, const PcAcpiInfo *info)
{
    bool q35 = info->board == PC_Q35;
    if (info->board == PC_MICROVM) {
        acpi_fadt_reduced_with(t, PC_GED_BASE + GED_SLEEP_CONTROL, PC_GED_BASE + GED_SLEEP_STATUS,
                               PC_GED_BASE + GED_RESET, GED_RESET_VALUE);
        return;
    }
    const AcpiFadt fadt = {
        .pm_base = info->pm_base,
        .gpe_base = q35 ? info->pm_base + 0x20 : PC_GPE_I440FX,
        .gpe_bytes = q35 ? 16 : 4,
        .smi_port = 0xb2,
        .acpi_enable = q35 ? 0x02 : 0xf1,
        .acpi_disable = q35 ? 0x03 : 0xf0,
        .sci = PC_SCI,
        .i8042 = info->i8042,
        .many_cpus = info->cpus > 8,
        .platform_clock = true,
        .century = 0x32,
    };
    acpi_fadt(t, &fadt);
}

AcpiFiles pc_acpi_make(const PcAcpiInfo *info)
{
    AcpiTables *t = acpi_new_below_4g();
    if (info->board != PC_MICROVM)
        acpi_facs(t);
    acpi_dsdt(t, pc_acpi_dsdt(info));
    put_fadt(t, info);
    put_madt(t, info);
    for (guint i = 0; info->extra && i < info->extra->len; i++) {
        const GByteArray *table = info->extra->pdata[i];
        acpi_table(t, table->data, table->len);
    }
    if (info->hpet)
        put_hpet(t);
    if (info->numa) {
        put_srat(t, info);
        put_slit(t, info->numa);
    }
    if (info->board == PC_Q35)
        put_mcfg(t);
    if (info->board != PC_MICROVM)
        put_waet(t);
    return acpi_files(t, FILES_ROOM);
}
