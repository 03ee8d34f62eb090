/*
 * ACPI tables of machine `virt` for RISC-V (ACPI Specification 6.6; RISC-V Functional Fixed Hardware and ACPI for
 * RISC-V, "BRS-I": RINTC, IMSIC, APLIC and PLIC in the MADT, RHCT, namespace devices RSCV0001 to RSCV0003).
 *
 * The goldfish RTC and the finisher have no ACPI identity: time and power-off are the firmware's runtime services.
 * SPDX-License-Identifier: MIT
 */
#include "hw/acpi/pci_osc.h"
#include "hw/acpi/tables.h"
#include "hw/machine/riscv_virt.h"
#include "target/riscv/cpu.h"
#include "util/error.h"
#include <string.h>

#define map riscv_virt_map

/* ---- DSDT ---- */

static void put_cpus(Aml *a, const Machine *machine)
{
    for (unsigned i = 0; i < machine->vcpus->len; i++) {
        g_autofree char *name = g_strdup_printf("C%03X", i);
        aml_device(a, name);
        aml_name_string(a, "_HID", "ACPI0007");
        aml_name_integer(a, "_UID", i);
        aml_end(a);
    }
}

/* What device interrupts are wired to: the kernel finds its driver by this device, its numbers by _GSB. */
static void put_controller(Aml *a, const RiscvVirt *v)
{
    unsigned place = v->aia == AIA_NONE ? PLIC : APLIC_S;
    GByteArray *r = aml_resources_new();
    aml_device(a, "IC00");
    aml_name_string(a, "_HID", v->aia == AIA_NONE ? "RSCV0001" : "RSCV0002");
    aml_name_integer(a, "_UID", 0);
    aml_name_integer(a, "_GSB", 0);
    aml_resource_memory(r, map[place].base, map[place].size);
    aml_name_resources(a, "_CRS", r);
    aml_end(a);
}

/* A device with registers and an interrupt (0: none); aml_end follows. */
static void put_device(Aml *a, const char *name, const char *hid, unsigned uid, const RiscvVirtRange *range,
                       unsigned irq)
{
    GByteArray *r = aml_resources_new();
    aml_device(a, name);
    aml_name_string(a, "_HID", hid);
    aml_name_integer(a, "_UID", uid);
    aml_resource_memory(r, range->base, range->size);
    if (irq)
        aml_resource_interrupt(r, irq, false);
    aml_name_resources(a, "_CRS", r);
}

static void put_uart(Aml *a)
{
    put_device(a, "COM0", "RSCV0003", 0, &map[UART0], UART0_IRQ);
    aml_name(a, "_DSD"); /* device properties */
    aml_package(a);
    aml_uuid(a, "daffd814-6eba-4d8c-8a91-bc9bbf4aa301");
    aml_package(a);
    aml_package(a);
    aml_string(a, "clock-frequency");
    aml_integer(a, UART0_HZ);
    aml_end(a);
    aml_end(a);
    aml_end(a);
    aml_end(a);
}

static void put_fw_cfg(Aml *a)
{
    put_device(a, "FWCF", "QEMU0002", 0, &map[FW_CFG], 0);
    aml_name_integer(a, "_STA", 0x0b); /* there, enabled, working; not for people to see */
    aml_name_integer(a, "_CCA", 1);
    aml_end(a);
}

static void put_virtio(Aml *a)
{
    for (unsigned i = 0; i < VIRTIO_SLOTS; i++) {
        const RiscvVirtRange range = { map[VIRTIO].base + i * map[VIRTIO].size, map[VIRTIO].size };
        g_autofree char *name = g_strdup_printf("VR%02X", i);
        put_device(a, name, "LNRO0005", i, &range, VIRTIO_IRQ + i);
        aml_name_integer(a, "_CCA", 1);
        aml_end(a);
    }
}

/* INTA to INTD of the host bridge are link devices, for these say that the level is high. They cannot be moved. */
static void put_links(Aml *a)
{
    for (unsigned i = 0; i < 4; i++) {
        GByteArray *possible = aml_resources_new(), *current = aml_resources_new();
        g_autofree char *name = g_strdup_printf("GSI%u", i);
        aml_device(a, name);
        aml_name_eisa_id(a, "_HID", "PNP0C0F");
        aml_name_integer(a, "_UID", i);
        aml_resource_interrupt(possible, PCI_IRQ + i, true);
        aml_name_resources(a, "_PRS", possible);
        aml_resource_interrupt(current, PCI_IRQ + i, true);
        aml_name_resources(a, "_CRS", current);
        aml_method(a, "_SRS", 1);
        aml_end(a);
        aml_method(a, "_DIS", 0);
        aml_end(a);
        aml_end(a);
    }
}

static void put_routes(Aml *a)
{
    aml_name(a, "_PRT");
    aml_package(a);
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        for (unsigned pin = 0; pin < 4; pin++) {
            g_autofree char *link = g_strdup_printf("GSI%u", (slot + pin) % 4);
            aml_package(a);
            aml_integer(a, slot << 16 | 0xffff);
            aml_integer(a, pin);
            aml_path(a, link);
            aml_integer(a, 0);
            aml_end(a);
        }
    }
    aml_end(a);
}

/* The configuration space is nobody else's: a device of the mainboard has it (PCI Firmware Specification, 4.1.2). */
static void put_ecam(Aml *a)
{
    GByteArray *r = aml_resources_new();
    aml_device(a, "RES0");
    aml_name_string(a, "_HID", "PNP0C02");
    aml_resource_memory(r, map[PCI_ECAM].base, map[PCI_ECAM].size);
    aml_name_resources(a, "_CRS", r);
    aml_end(a);
}

static void put_pci(Aml *a, const RiscvVirt *v)
{
    GByteArray *r = aml_resources_new();
    aml_device(a, "PCI0");
    aml_name_string(a, "_HID", "PNP0A08");
    aml_name_string(a, "_CID", "PNP0A03");
    aml_name_integer(a, "_SEG", 0);
    aml_name_integer(a, "_BBN", 0);
    aml_name_integer(a, "_UID", 0);
    aml_name_integer(a, "_CCA", 1);
    aml_name_integer(a, "_CBA", map[PCI_ECAM].base);
    if (v->machine.config.numa)
        aml_name_integer(a, "_PXM", 0);
    put_routes(a);
    aml_resource_window(r, AML_RANGE_BUS, 0, map[PCI_ECAM].size >> 20, 0);
    aml_resource_window(r, AML_RANGE_MEMORY, map[PCI_MMIO].base, map[PCI_MMIO].size, 0);
    aml_resource_window(r, AML_RANGE_IO, 0, map[PCI_PIO].size, map[PCI_PIO].base);
    aml_resource_window(r, AML_RANGE_MEMORY, v->pci_high, v->pci_high_size, 0);
    aml_name_resources(a, "_CRS", r);
    aml_pci_osc(a, OSC_ALL & ~OSC_SHPC_HOT_PLUG);
    put_ecam(a);
    aml_end(a);
}

static void put_dsdt(AcpiTables *t, const RiscvVirt *v)
{
    Aml *a = aml_new();
    aml_scope(a, "\\_SB");
    put_cpus(a, &v->machine);
    put_controller(a, v);
    put_uart(a);
    put_fw_cfg(a);
    put_virtio(a);
    put_links(a);
    put_pci(a, v);
    aml_end(a);
    acpi_dsdt(t, aml_finish(a));
}

/* ---- MADT ---- */

/* The head of a structure: kind, length, version. */
static void put_head(AcpiTables *t, unsigned kind, unsigned length)
{
    acpi_put(t, kind, 1);
    acpi_put(t, length, 1);
    acpi_put(t, 1, 1);
}

/* A hart, and which input of the controller it is: the PLIC's context, the APLIC's IDC. */
static void put_rintc(AcpiTables *t, const RiscvVirt *v, unsigned hart)
{
    bool imsic = v->aia == AIA_IMSIC;
    put_head(t, 0x18, 36);
    acpi_put(t, 0, 1);
    acpi_put(t, 1, 4);    /* enabled */
    acpi_put(t, hart, 8); /* mhartid */
    acpi_put(t, hart, 4); /* _UID */
    acpi_put(t, v->aia == AIA_NONE ? 2 * hart + 1 : hart, 4);
    uint64_t files = imsic ? map[IMSIC_S].size << riscv_virt_guest_bits(v) : 0;
    acpi_put(t, imsic ? map[IMSIC_S].base + hart * files : 0, 8);
    acpi_put(t, files, 4);
}

static void put_imsic(AcpiTables *t, const RiscvVirt *v)
{
    put_head(t, 0x19, 16);
    acpi_put(t, 0, 1);
    acpi_put(t, 0, 4);
    acpi_put(t, RISCV_IMSIC_IDS - 1, 2);
    acpi_put(t, RISCV_IMSIC_IDS - 1, 2);      /* of guests */
    acpi_put(t, riscv_virt_guest_bits(v), 1); /* bits of the guest's index, of the hart's, of the group's */
    acpi_put(t, g_bit_storage(v->machine.vcpus->len - 1), 1);
    acpi_put(t, 0, 1);
    acpi_put(t, 24, 1);
}

static void put_aplic(AcpiTables *t, const RiscvVirt *v)
{
    put_head(t, 0x1a, 36);
    acpi_put(t, 0, 1); /* ID */
    acpi_put(t, 0, 4);
    acpi_zeros(t, 8);
    acpi_put(t, v->aia == AIA_APLIC ? v->machine.vcpus->len : 0, 2); /* IDCs */
    acpi_put(t, RISCV_APLIC_SOURCES, 2);
    acpi_put(t, 0, 4); /* first GSI */
    acpi_put(t, map[APLIC_S].base, 8);
    acpi_put(t, map[APLIC_S].size, 4);
}

static void put_plic(AcpiTables *t)
{
    put_head(t, 0x1b, 36);
    acpi_put(t, 0, 1); /* ID */
    acpi_zeros(t, 8);
    acpi_put(t, PLIC_SOURCES - 1, 2);
    acpi_put(t, 7, 2); /* highest priority */
    acpi_put(t, 0, 4);
    acpi_put(t, map[PLIC].size, 4);
    acpi_put(t, map[PLIC].base, 8);
    acpi_put(t, 0, 4); /* first GSI */
}

static void put_madt(AcpiTables *t, const RiscvVirt *v)
{
    acpi_begin(t, "APIC", 7);
    acpi_zeros(t, 8); /* no local APIC, no 8259 */
    for (unsigned i = 0; i < v->machine.vcpus->len; i++)
        put_rintc(t, v, i);
    if (v->aia == AIA_IMSIC)
        put_imsic(t, v);
    if (v->aia == AIA_NONE)
        put_plic(t);
    else
        put_aplic(t, v);
    acpi_end(t);
}

/* ---- RHCT: what the harts can do ---- */

static size_t put_isa(AcpiTables *t, CpuState *cs)
{
    size_t at = acpi_offset(t);
    g_autofree char *isa = riscv_cpu_isa_string(cs);
    size_t length = strlen(isa) + 1, padding = length & 1;
    acpi_put(t, 0, 2);
    acpi_put(t, 8 + length + padding, 2);
    acpi_put(t, 1, 2);
    acpi_put(t, length, 2);
    acpi_bytes(t, isa, length);
    acpi_zeros(t, padding);
    return at;
}

/* Cache block sizes, as logarithms; 0 where there is no such extension. */
static size_t put_cmo(AcpiTables *t, CpuState *cs)
{
    size_t at = acpi_offset(t);
    static const char *const names[] = { "zicbom", "zicbop", "zicboz" };
    acpi_put(t, 1, 2);
    acpi_put(t, 10, 2);
    acpi_put(t, 1, 2);
    acpi_put(t, 0, 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
        acpi_put(t, riscv_cpu_has(cs, names[i]) ? g_bit_nth_msf(RISCV_CACHE_BLOCK, -1) : 0, 1);
    return at;
}

/* Page table depth. 0: the CPU has none that the table knows. */
static size_t put_mmu(AcpiTables *t, CpuState *cs)
{
    static const char *const types[] = { "riscv,sv39", "riscv,sv48", "riscv,sv57" };
    size_t at = acpi_offset(t);
    unsigned type = 0;
    while (type < G_N_ELEMENTS(types) && strcmp(types[type], riscv_cpu_mmu_type(cs)))
        type++;
    if (type == G_N_ELEMENTS(types))
        return 0;
    acpi_put(t, 2, 2);
    acpi_put(t, 8, 2);
    acpi_put(t, 1, 2);
    acpi_put(t, 0, 1);
    acpi_put(t, type, 1);
    return at;
}

static void put_rhct(AcpiTables *t, Machine *machine)
{
    enum { HART_INFO = 65535, NODES = 56, NODE_COUNT = 48 };
    CpuState *cs = riscv_virt_cpu(machine, 0);
    size_t nodes[3];
    unsigned count = 0;
    acpi_begin(t, "RHCT", 1);
    acpi_put(t, 0, 4);
    acpi_put(t, RISCV_ACLINT_HZ, 8);
    acpi_put(t, 0, 4);
    acpi_put(t, NODES, 4);
    nodes[count++] = put_isa(t, cs);
    if (riscv_cpu_has(cs, "zicbom") || riscv_cpu_has(cs, "zicbop") || riscv_cpu_has(cs, "zicboz"))
        nodes[count++] = put_cmo(t, cs);
    if ((nodes[count] = put_mmu(t, cs)))
        count++;
    for (unsigned hart = 0; hart < machine->vcpus->len; hart++) {
        acpi_put(t, HART_INFO, 2);
        acpi_put(t, 12 + 4 * count, 2);
        acpi_put(t, 1, 2);
        acpi_put(t, count, 2);
        acpi_put(t, hart, 4);
        for (unsigned i = 0; i < count; i++)
            acpi_put(t, nodes[i], 4);
    }
    acpi_set(t, NODE_COUNT, count + machine->vcpus->len, 4);
    acpi_end(t);
}

/* ---- the others ---- */

/* Serial Port Console Redirection Table 2 */
static void put_spcr(AcpiTables *t)
{
    enum { UART_16550_GAS = 0x12, RISCV_INTERRUPT = 1 << 4, BAUD_115200 = 7, ANSI = 3 };
    acpi_begin(t, "SPCR", 2);
    acpi_put(t, UART_16550_GAS, 1);
    acpi_zeros(t, 3);
    acpi_address(t, map[UART0].base, 8, 1);
    acpi_put(t, RISCV_INTERRUPT, 1);
    acpi_put(t, 0, 1);
    acpi_put(t, UART0_IRQ, 4);
    acpi_put(t, BAUD_115200, 1);
    acpi_put(t, 0, 1); /* parity */
    acpi_put(t, 1, 1); /* stop bits */
    acpi_put(t, 0, 1); /* flow control */
    acpi_put(t, ANSI, 1);
    acpi_put(t, 0, 1);
    acpi_put(t, 0xffffffff, 4); /* not a PCI function */
    acpi_zeros(t, 12);
    acpi_end(t);
}

/* PCI Firmware Specification 3.3, 4.1.2 */
static void put_mcfg(AcpiTables *t)
{
    acpi_begin(t, "MCFG", 1);
    acpi_zeros(t, 8);
    acpi_put(t, map[PCI_ECAM].base, 8);
    acpi_put(t, 0, 2);
    acpi_put(t, 0, 1);
    acpi_put(t, (map[PCI_ECAM].size >> 20) - 1, 1);
    acpi_zeros(t, 4);
    acpi_end(t);
}

static void put_srat(AcpiTables *t, const Machine *machine)
{
    const Numa *numa = machine->config.numa;
    uint64_t base = map[DRAM].base;
    acpi_begin(t, "SRAT", 3);
    acpi_put(t, 1, 4);
    acpi_zeros(t, 8);
    for (unsigned i = 0; i < machine->vcpus->len; i++) { /* RINTC affinity */
        acpi_put(t, 7, 1);
        acpi_put(t, 20, 1);
        acpi_put(t, 0, 2);
        acpi_put(t, numa_node_of_cpu(numa, i), 4);
        acpi_put(t, i, 4);
        acpi_put(t, 1, 4);
        acpi_put(t, 0, 4);
    }
    for (unsigned n = 0; n < numa->count; n++) { /* memory affinity */
        if (!numa->nodes[n].size)
            continue;
        acpi_put(t, 1, 1);
        acpi_put(t, 40, 1);
        acpi_put(t, n, 4);
        acpi_put(t, 0, 2);
        acpi_put(t, base, 8);
        acpi_put(t, numa->nodes[n].size, 8);
        acpi_put(t, 0, 4);
        acpi_put(t, 1, 4);
        acpi_put(t, 0, 8);
        base += numa->nodes[n].size;
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

bool riscv_virt_offer_acpi(RiscvVirt *v, GError **err)
{
    AcpiTables *t = acpi_new();
    put_dsdt(t, v);
    acpi_fadt_reduced(t);
    put_madt(t, v);
    put_rhct(t, &v->machine);
    put_spcr(t);
    put_mcfg(t);
    if (v->machine.config.numa) {
        put_srat(t, &v->machine);
        put_slit(t, v->machine.config.numa);
    }
    return acpi_finish(t, v->fw_cfg, err);
}
