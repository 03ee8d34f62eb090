/*
 * The DSDT of the machines pc, q35 and microvm (ACPI Specification 6.5, chapters 5.6, 6 and 9; PCI Firmware
 * Specification 3.3, 4.5): what guests cannot find on a bus by themselves.
 * SPDX-License-Identifier: MIT
 */
#include "hw/acpi/ged.h"
#include "hw/firmware/fw_cfg.h"
#include "hw/machine/x86/pc_acpi.h"
#include "hw/pci/pci.h"

enum { PRESENT = 0x0b, DISABLED = 0x09, LINK_DISABLE = 0x80 }; /* _STA: there, enabled or not, working; PIRQRC */

/* ---- processors ---- */

static void put_cpus(Aml *a, const PcAcpiInfo *info)
{
    aml_scope(a, "\\_SB");
    for (unsigned i = 0; i < info->cpus; i++) {
        g_autofree char *name = g_strdup_printf("C%03X", i);
        aml_device(a, name);
        aml_name_string(a, "_HID", "ACPI0007");
        aml_name_integer(a, "_UID", i);
        if (info->numa)
            aml_name_integer(a, "_PXM", numa_node_of_cpu(info->numa, i));
        aml_end(a);
    }
    aml_end(a);
}

/* ---- interrupt routing ---- */

/* A link device whose interrupt is chosen by a PIIX3 or ICH9 register (82371SB, 2.3.6): field is its name. */
static void put_link(Aml *a, const char *name, unsigned uid, const char *field)
{
    static const uint32_t choice[] = { 5, 10, 11 };
    GByteArray *r = aml_resources_new();
    aml_device(a, name);
    aml_name_eisa_id(a, "_HID", "PNP0C0F");
    aml_name_integer(a, "_UID", uid);
    aml_resource_interrupt_choice(r, choice, G_N_ELEMENTS(choice));
    aml_name_resources(a, "_PRS", r);
    aml_method(a, "_STA", 0);
    aml_op(a, AML_AND), aml_path(a, field), aml_integer(a, LINK_DISABLE), aml_local(a, 0);
    aml_if(a), aml_local(a, 0);
    aml_op(a, AML_RETURN), aml_integer(a, DISABLED);
    aml_end(a);
    aml_op(a, AML_RETURN), aml_integer(a, PRESENT);
    aml_end(a);
    aml_method(a, "_DIS", 0);
    aml_op(a, AML_OR), aml_path(a, field), aml_integer(a, LINK_DISABLE), aml_path(a, field);
    aml_end(a);
    aml_method(a, "_CRS", 0);
    aml_op(a, AML_RETURN), aml_path(a, "\\_SB.IQCR"), aml_path(a, field);
    aml_end(a);
    aml_method(a, "_SRS", 1);
    aml_op(a, AML_CREATE_DWORD_FIELD), aml_arg(a, 0), aml_integer(a, 5), aml_path(a, "PRRI");
    aml_op(a, AML_STORE), aml_path(a, "PRRI"), aml_path(a, field);
    aml_end(a);
    aml_end(a);
}

/* IQCR (register): the resources of a link that is set to this. */
static void put_link_resources(Aml *a)
{
    const uint32_t none = 0;
    GByteArray *r = aml_resources_new();
    aml_method(a, "IQCR", 1);
    aml_resource_interrupt_choice(r, &none, 1);
    aml_name_resources(a, "PRR0", r);
    aml_op(a, AML_CREATE_DWORD_FIELD), aml_path(a, "PRR0"), aml_integer(a, 5), aml_path(a, "PRRI");
    aml_if(a), aml_op(a, AML_LESS), aml_arg(a, 0), aml_integer(a, LINK_DISABLE);
    aml_op(a, AML_STORE), aml_arg(a, 0), aml_path(a, "PRRI");
    aml_end(a);
    aml_op(a, AML_RETURN), aml_path(a, "PRR0");
    aml_end(a);
}

/* A link device that cannot be moved. */
static void put_fixed_link(Aml *a, const char *name, unsigned uid, unsigned gsi)
{
    GByteArray *possible = aml_resources_new(), *current = aml_resources_new();
    aml_device(a, name);
    aml_name_eisa_id(a, "_HID", "PNP0C0F");
    aml_name_integer(a, "_UID", uid);
    aml_resource_interrupt(possible, gsi, true);
    aml_name_resources(a, "_PRS", possible);
    aml_resource_interrupt(current, gsi, true);
    aml_name_resources(a, "_CRS", current);
    aml_method(a, "_SRS", 1);
    aml_end(a);
    aml_end(a);
}

static void put_route(Aml *a, unsigned slot, unsigned pin, const char *link)
{
    aml_package(a);
    aml_integer(a, slot << 16 | 0xffff);
    aml_integer(a, pin);
    aml_path(a, link);
    aml_integer(a, 0);
    aml_end(a);
}

static unsigned ich9_pirq(unsigned slot, unsigned pin)
{
    bool own = (slot >= 25 && slot < 30) || slot == 31; /* functions of the chip: D25IR to D31IR after reset */
    return own ? pin : 4 + (slot + pin) % 4;
}

/* All slots and pins to links PREFIX + 'A' ... */
static void put_routes(Aml *a, const char *name, const PcAcpiInfo *info, const char *prefix)
{
    aml_name(a, name);
    aml_package(a);
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        for (unsigned pin = 0; pin < 4; pin++) {
            unsigned pirq = info->board == PC_Q35 ? ich9_pirq(slot, pin) : (slot + pin + 3) % 4;
            g_autofree char *link = g_strdup_printf("%s%c", prefix, 'A' + pirq);
            bool pm = info->board == PC_I440FX && slot == 1 && pin == 0; /* function 01.3 has the SCI */
            put_route(a, slot, pin, pm ? "LNKS" : link);
        }
    }
    aml_end(a);
}

static void put_links(Aml *a, const PcAcpiInfo *info)
{
    unsigned count = info->board == PC_Q35 ? 8 : 4;
    aml_scope(a, "\\_SB");
    aml_scope(a, "PCI0");
    if (info->board == PC_Q35) { /* the interrupt controllers in use say which */
        put_routes(a, "PRTP", info, "LNK");
        put_routes(a, "PRTA", info, "GSI");
        aml_method(a, "_PRT", 0);
        aml_if(a), aml_op(a, AML_EQUAL), aml_path(a, "\\PICF"), aml_integer(a, 0);
        aml_op(a, AML_RETURN), aml_path(a, "PRTP");
        aml_end(a);
        aml_op(a, AML_RETURN), aml_path(a, "PRTA");
        aml_end(a);
    } else {
        put_routes(a, "_PRT", info, "LNK");
    }
    aml_end(a);
    aml_field(a, "PCI0.ISA.PIRQ", AML_ACCESS_BYTE, false);
    for (unsigned i = 0; i < count; i++) {
        g_autofree char *name = g_strdup_printf("PRQ%c", 'A' + i);
        if (i == 4)
            aml_field_unit(a, NULL, 32); /* 68 to 6b */
        aml_field_unit(a, name, 8);
    }
    aml_end(a);
    put_link_resources(a);
    for (unsigned i = 0; i < count; i++) {
        g_autofree char *name = g_strdup_printf("LNK%c", 'A' + i), *field = g_strdup_printf("PRQ%c", 'A' + i);
        put_link(a, name, i, field);
    }
    for (unsigned i = 0; info->board == PC_Q35 && i < count; i++) {
        g_autofree char *name = g_strdup_printf("GSI%c", 'A' + i);
        put_fixed_link(a, name, 16 + i, 16 + i);
    }
    if (info->board == PC_I440FX)
        put_fixed_link(a, "LNKS", 4, PC_SCI);
    aml_end(a);
}

/* ---- ISA devices ---- */

typedef struct IsaDevice {
    const char *name, *hid;
    uint16_t ports[4]; /* first, count; first, count */
    uint8_t irq;       /* 0: none */
} IsaDevice;

static void put_isa_device(Aml *a, const IsaDevice *d, int uid)
{
    GByteArray *r = aml_resources_new();
    aml_device(a, d->name);
    aml_name_eisa_id(a, "_HID", d->hid);
    if (uid >= 0)
        aml_name_integer(a, "_UID", uid);
    aml_name_integer(a, "_STA", 0x0f);
    for (unsigned i = 0; i < 4 && d->ports[i + 1]; i += 2)
        aml_resource_ports(r, d->ports[i], d->ports[i], 1, d->ports[i + 1]);
    if (d->irq)
        aml_resource_isa_irq(r, d->irq);
    aml_name_resources(a, "_CRS", r);
    aml_end(a);
}

/* _FDE: which drives there are; drives that are are not described further. */
static void put_floppy(Aml *a, const PcAcpiInfo *info)
{
    uint32_t present[5] = { info->floppy_types[0] != 0, info->floppy_types[1] != 0, 0, 0, 2 /* no tape drive known */ };
    GByteArray *r = aml_resources_new();
    for (unsigned i = 0; i < G_N_ELEMENTS(present); i++)
        present[i] = GUINT32_TO_LE(present[i]);
    aml_device(a, "FDC0");
    aml_name_eisa_id(a, "_HID", "PNP0700");
    aml_resource_ports(r, 0x3f2, 0x3f2, 0, 4);
    aml_resource_ports(r, 0x3f7, 0x3f7, 0, 1);
    aml_resource_isa_irq(r, 6);
    aml_resource_isa_dma(r, 2);
    aml_name_resources(a, "_CRS", r);
    aml_name(a, "_FDE");
    aml_buffer(a, present, sizeof(present));
    aml_end(a);
}

static void put_isa_devices(Aml *a, const PcAcpiInfo *info)
{
    static const IsaDevice keyboard = { "KBD", "PNP0303", { 0x60, 1, 0x64, 1 }, 1 },
                           mouse = { "MOU", "PNP0F13", { 0 }, 12 }, rtc = { "RTC", "PNP0B00", { 0x70, 8 }, 8 },
                           parallel = { "LPT1", "PNP0400", { 0x378, 8 }, 7 },
                           serial[PC_SERIALS] = { { "COM1", "PNP0501", { 0x3f8, 8 }, 4 },
                                                  { "COM2", "PNP0501", { 0x2f8, 8 }, 3 },
                                                  { "COM3", "PNP0501", { 0x3e8, 8 }, 4 },
                                                  { "COM4", "PNP0501", { 0x2e8, 8 }, 3 } };
    if (info->i8042) {
        put_isa_device(a, &keyboard, -1);
        put_isa_device(a, &mouse, -1);
    }
    if (info->rtc)
        put_isa_device(a, &rtc, -1);
    if (info->floppy)
        put_floppy(a, info);
    if (info->parallel)
        put_isa_device(a, &parallel, 1);
    for (unsigned i = 0; i < PC_SERIALS; i++) {
        if (info->serial[i])
            put_isa_device(a, &serial[i], i + 1);
    }
}

static void put_isa(Aml *a, const PcAcpiInfo *info)
{
    bool q35 = info->board == PC_Q35;
    aml_scope(a, "\\_SB.PCI0");
    aml_device(a, "ISA");
    aml_name_integer(a, "_ADR", q35 ? 0x001f0000 : 0x00010000);
    aml_region(a, "PIRQ", AML_SPACE_PCI_CONFIG, 0x60, q35 ? 12 : 4);
    put_isa_devices(a, info);
    aml_end(a);
    aml_end(a);
}

/* ---- PCI ---- */

/* PCI Firmware Specification 3.3, 4.5.1: all of PCI Express native features are granted but its hot-plug. */
static void put_osc(Aml *a)
{
    enum { GRANTED = 0x1e, UNKNOWN_UUID = 4, BAD_REVISION = 8, MASKED = 16 };
    aml_method(a, "_OSC", 4);
    aml_op(a, AML_CREATE_DWORD_FIELD), aml_arg(a, 3), aml_integer(a, 0), aml_path(a, "CDW1");
    aml_if(a);
    aml_op(a, AML_EQUAL), aml_arg(a, 0), aml_uuid(a, "33db4d5b-1ff7-401c-9657-7441c03dd766");
    aml_op(a, AML_CREATE_DWORD_FIELD), aml_arg(a, 3), aml_integer(a, 8), aml_path(a, "CDW3");
    aml_op(a, AML_AND), aml_path(a, "CDW3"), aml_integer(a, GRANTED), aml_local(a, 0);
    aml_if(a), aml_op(a, AML_NOT), aml_op(a, AML_EQUAL), aml_arg(a, 1), aml_integer(a, 1);
    aml_op(a, AML_OR), aml_path(a, "CDW1"), aml_integer(a, BAD_REVISION), aml_path(a, "CDW1");
    aml_end(a);
    aml_if(a), aml_op(a, AML_NOT), aml_op(a, AML_EQUAL), aml_path(a, "CDW3"), aml_local(a, 0);
    aml_op(a, AML_OR), aml_path(a, "CDW1"), aml_integer(a, MASKED), aml_path(a, "CDW1");
    aml_end(a);
    aml_op(a, AML_STORE), aml_local(a, 0), aml_path(a, "CDW3");
    aml_end(a);
    aml_else(a);
    aml_op(a, AML_OR), aml_path(a, "CDW1"), aml_integer(a, UNKNOWN_UUID), aml_path(a, "CDW1");
    aml_end(a);
    aml_op(a, AML_RETURN), aml_arg(a, 3);
    aml_end(a);
}

/* What the host bridge passes on: all but its own ports and what the board has. */
static void put_windows(Aml *a, const PcAcpiInfo *info)
{
    GByteArray *r = aml_resources_new();
    const uint64_t low = info->ram_low, top = PC_IOAPIC_BASE;
    aml_resource_range(r, AML_RANGE_BUS, 2, 0, 0x100, false);
    aml_resource_ports(r, 0xcf8, 0xcf8, 1, 8);
    aml_resource_range(r, AML_RANGE_IO, 2, 0, 0xcf8, false);
    aml_resource_range(r, AML_RANGE_IO, 2, 0xd00, 0x10000 - 0xd00, false);
    aml_resource_range(r, AML_RANGE_MEMORY, 4, 0xa0000, 0x20000, true);
    if (info->board == PC_Q35) {
        const uint64_t ecam_end = PC_ECAM_BASE + PC_ECAM_SIZE;
        if (low < PC_ECAM_BASE)
            aml_resource_range(r, AML_RANGE_MEMORY, 4, low, PC_ECAM_BASE - low, false);
        aml_resource_range(r, AML_RANGE_MEMORY, 4, MAX(low, ecam_end), top - MAX(low, ecam_end), false);
    } else {
        aml_resource_range(r, AML_RANGE_MEMORY, 4, low, top - low, false);
    }
    if (info->hole64_size)
        aml_resource_range(r, AML_RANGE_MEMORY, 8, info->hole64, info->hole64_size, true);
    aml_name_resources(a, "_CRS", r);
}

/* Ports or memory that nothing else may use. */
static void put_reserved(Aml *a, const char *name, const char *hid, const char *uid, uint16_t ports, unsigned count)
{
    GByteArray *r = aml_resources_new();
    aml_device(a, name);
    aml_name_eisa_id(a, "_HID", hid);
    aml_name_string(a, "_UID", uid);
    aml_name_integer(a, "_STA", PRESENT);
    aml_resource_ports(r, ports, ports, 1, count);
    aml_name_resources(a, "_CRS", r);
    aml_end(a);
}

static void put_ecam(Aml *a)
{
    GByteArray *r = aml_resources_new();
    aml_device(a, "DRAC");
    aml_name_eisa_id(a, "_HID", "PNP0C01");
    aml_resource_memory(r, PC_ECAM_BASE, PC_ECAM_SIZE);
    aml_name_resources(a, "_CRS", r);
    aml_end(a);
}

static void put_fw_cfg(Aml *a)
{
    GByteArray *r = aml_resources_new();
    aml_device(a, "FWCF");
    aml_name_string(a, "_HID", "QEMU0002");
    aml_name_integer(a, "_STA", PRESENT);
    aml_resource_ports(r, FW_CFG_PORT, FW_CFG_PORT, 1, 12);
    aml_name_resources(a, "_CRS", r);
    aml_end(a);
}

static void put_pci(Aml *a, const PcAcpiInfo *info)
{
    bool q35 = info->board == PC_Q35;
    aml_scope(a, "\\_SB");
    aml_device(a, "PCI0");
    aml_name_eisa_id(a, "_HID", q35 ? "PNP0A08" : "PNP0A03");
    if (q35)
        aml_name_eisa_id(a, "_CID", "PNP0A03");
    aml_name_integer(a, "_UID", 0);
    if (info->numa)
        aml_name_integer(a, "_PXM", 0);
    put_windows(a, info);
    if (q35)
        put_osc(a);
    put_reserved(a, "GPE0", "PNP0A06", "GPE0 resources", q35 ? info->pm_base + 0x20 : PC_GPE_I440FX, q35 ? 16 : 4);
    put_fw_cfg(a);
    aml_end(a);
    if (q35)
        put_ecam(a);
    aml_end(a);
}

/* ---- PCI hot-plug through ports: slots that came, slots that go, eject, features, bus ---- */

static void put_slot(Aml *a, unsigned slot)
{
    g_autofree char *name = g_strdup_printf("S%02X", slot << 3);
    aml_device(a, name);
    aml_name_integer(a, "_SUN", slot);
    aml_name_integer(a, "_ADR", slot << 16);
    aml_method(a, "_EJ0", 1);
    aml_path(a, "PCEJ"), aml_integer(a, 0), aml_integer(a, slot);
    aml_end(a);
    aml_end(a);
}

/* Tell the slots whose bits are set in Arg0 what Arg1 says. */
static void put_notify(Aml *a)
{
    aml_method(a, "DVNT", 2);
    for (unsigned slot = 2; slot < PCI_SLOTS - 1; slot++) {
        g_autofree char *name = g_strdup_printf("S%02X", slot << 3);
        aml_if(a), aml_op(a, AML_AND), aml_arg(a, 0), aml_integer(a, 1u << slot), aml_no_target(a);
        aml_op(a, AML_NOTIFY), aml_path(a, name), aml_arg(a, 1);
        aml_end(a);
    }
    aml_end(a);
}

static void put_hotplug_methods(Aml *a)
{
    aml_method(a, "PCEJ", 2);
    aml_op(a, AML_ACQUIRE), aml_path(a, "BLCK"), aml_word(a, 0xffff);
    aml_op(a, AML_STORE), aml_arg(a, 0), aml_path(a, "BNUM");
    aml_op(a, AML_SHIFT_LEFT), aml_integer(a, 1), aml_arg(a, 1), aml_path(a, "B0EJ");
    aml_op(a, AML_RELEASE), aml_path(a, "BLCK");
    aml_op(a, AML_RETURN), aml_integer(a, 0);
    aml_end(a);
    aml_method(a, "PCNT", 0);
    aml_op(a, AML_STORE), aml_integer(a, 0), aml_path(a, "BNUM");
    aml_path(a, "DVNT"), aml_path(a, "PCIU"), aml_integer(a, 1); /* look whether it is there */
    aml_path(a, "DVNT"), aml_path(a, "PCID"), aml_integer(a, 3); /* it is wanted out */
    aml_end(a);
}

static void put_hotplug(Aml *a, const PcAcpiInfo *info)
{
    static const struct {
        const char *name, *field;
        unsigned offset;
    } registers[] = { { "PCST", "PCIU", 0 }, { NULL, "PCID", 4 }, { "SEJ", "B0EJ", 8 }, { "BNMR", "BNUM", 16 } };
    uint16_t base = info->board == PC_Q35 ? PC_HOTPLUG_Q35 : PC_HOTPLUG_I440FX;
    aml_scope(a, "\\_SB.PCI0");
    put_reserved(a, "PHPR", "PNP0A06", "PCI Hotplug resources", base, 20);
    for (unsigned i = 0; i < G_N_ELEMENTS(registers); i++) {
        if (registers[i].name) {
            if (i)
                aml_end(a);
            aml_region(a, registers[i].name, AML_SPACE_IO, base + registers[i].offset, i ? 4 : 8);
            aml_field(a, registers[i].name, AML_ACCESS_DWORD, true);
        }
        aml_field_unit(a, registers[i].field, 32);
    }
    aml_end(a);
    aml_mutex(a, "BLCK");
    put_hotplug_methods(a);
    for (unsigned slot = 2; slot < PCI_SLOTS - 1; slot++)
        put_slot(a, slot);
    put_notify(a);
    aml_end(a);
    aml_scope(a, "\\_GPE");
    aml_name_string(a, "_HID", "ACPI0006");
    aml_method(a, "_E01", 0);
    aml_op(a, AML_ACQUIRE), aml_path(a, "\\_SB.PCI0.BLCK"), aml_word(a, 0xffff);
    aml_path(a, "\\_SB.PCI0.PCNT");
    aml_op(a, AML_RELEASE), aml_path(a, "\\_SB.PCI0.BLCK");
    aml_end(a);
    aml_end(a);
}

/* ---- the rest ---- */

static void put_hpet(Aml *a)
{
    GByteArray *r = aml_resources_new();
    aml_scope(a, "\\_SB");
    aml_device(a, "HPET");
    aml_name_eisa_id(a, "_HID", "PNP0103");
    aml_name_integer(a, "_UID", 0);
    aml_resource_memory(r, PC_HPET_BASE, 0x400);
    aml_name_resources(a, "_CRS", r);
    aml_end(a);
    aml_end(a);
}

/* Which interrupt controllers the guest uses. */
static void put_pic(Aml *a)
{
    aml_name_integer(a, "\\PICF", 0);
    aml_method(a, "\\_PIC", 1);
    aml_op(a, AML_STORE), aml_arg(a, 0), aml_path(a, "\\PICF");
    aml_end(a);
}

/* 7.4.2: what to write as the sleep type for this state. */
static void put_sleep(Aml *a, const char *state, unsigned type)
{
    aml_name(a, state);
    aml_package(a);
    for (unsigned i = 0; i < 4; i++)
        aml_integer(a, i < 2 ? type : 0);
    aml_end(a);
}

/* 5.6.9: events of machines without fixed hardware. */
static void put_ged(Aml *a)
{
    GByteArray *r = aml_resources_new();
    aml_region(a, "\\EREG", AML_SPACE_MEMORY, PC_GED_BASE + GED_EVENTS, 4);
    aml_field(a, "\\EREG", AML_ACCESS_DWORD, true);
    aml_field_unit(a, "ESEL", 32);
    aml_end(a);
    aml_device(a, "GED");
    aml_name_string(a, "_HID", "ACPI0013");
    aml_name_string(a, "_UID", "GED");
    aml_resource_interrupt(r, PC_GED_IRQ, false);
    aml_name_resources(a, "_CRS", r);
    aml_method(a, "_EVT", 1);
    aml_op(a, AML_STORE), aml_path(a, "ESEL"), aml_local(a, 0);
    aml_if(a), aml_op(a, AML_AND), aml_local(a, 0), aml_integer(a, GED_EVENT_POWER), aml_no_target(a);
    aml_op(a, AML_NOTIFY), aml_path(a, "PWRB"), aml_integer(a, 0x80);
    aml_end(a);
    aml_end(a);
    aml_end(a);
    aml_device(a, "PWRB");
    aml_name_string(a, "_HID", "PNP0C0C");
    aml_name_integer(a, "_UID", 0);
    aml_end(a);
}

static void put_virtio(Aml *a, const PcAcpiInfo *info)
{
    for (unsigned i = 0; i < info->virtio_slots; i++) {
        GByteArray *r = aml_resources_new();
        g_autofree char *name = g_strdup_printf("VR%02X", i);
        aml_device(a, name);
        aml_name_string(a, "_HID", "LNRO0005");
        aml_name_integer(a, "_UID", i);
        aml_name_integer(a, "_CCA", 1);
        aml_resource_memory(r, PC_VIRTIO_BASE + i * PC_VIRTIO_SIZE, PC_VIRTIO_SIZE);
        aml_resource_interrupt(r, info->virtio_irq + i, false);
        aml_name_resources(a, "_CRS", r);
        aml_end(a);
    }
}

static void put_microvm(Aml *a, const PcAcpiInfo *info)
{
    aml_scope(a, "\\_SB");
    put_fw_cfg(a);
    put_isa_devices(a, info);
    put_ged(a);
    put_virtio(a, info);
    aml_end(a);
    put_sleep(a, "\\_S5", GED_SLEEP_TYPE_S5);
}

GByteArray *pc_acpi_dsdt(const PcAcpiInfo *info)
{
    Aml *a = aml_new();
    put_cpus(a, info);
    if (info->board == PC_MICROVM) {
        put_microvm(a, info);
        return aml_finish(a);
    }
    put_pic(a);
    put_pci(a, info);
    put_isa(a, info);
    put_links(a, info);
    if (info->hpet)
        put_hpet(a);
    if (info->hotplug)
        put_hotplug(a, info);
    if (info->s3)
        put_sleep(a, "\\_S3", 1);
    if (info->s4)
        put_sleep(a, "\\_S4", info->s4_type);
    put_sleep(a, "\\_S5", 0);
    return aml_finish(a);
}
