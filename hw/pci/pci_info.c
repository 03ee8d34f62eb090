/*
 * info pci: functions, their interrupts and BARs.
 * SPDX-License-Identifier: MIT
 */
#include "hw/pci/pci.h"
#include <string.h>

static const struct {
    uint16_t class;
    const char *name;
} classes[] = { { 0x0001, "VGA controller" },
                { 0x0100, "SCSI controller" },
                { 0x0101, "IDE controller" },
                { 0x0106, "SATA controller" },
                { 0x0200, "Ethernet controller" },
                { 0x0300, "VGA controller" },
                { 0x0380, "Display controller" },
                { 0x0500, "RAM controller" },
                { 0x0600, "Host bridge" },
                { 0x0601, "ISA bridge" },
                { 0x0604, "PCI bridge" },
                { 0x0680, "Bridge" },
                { 0x0780, "Communication controller" },
                { 0x0880, "System peripheral" },
                { 0x0c03, "USB controller" },
                { 0x0c05, "SMBus" } };

static void put_class(GString *out, unsigned class)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(classes); i++) {
        if (classes[i].class == class) {
            g_string_append(out, classes[i].name);
            return;
        }
    }
    g_string_append_printf(out, "Class %04x", class);
}

static void put_bar(GString *out, const PciDevice *dev, unsigned n)
{
    const PciBar *bar = &dev->bars[n];
    uint32_t low = pci_get32(dev->config + PCI_BAR0 + 4 * n);
    bool wide = bar->type & PCI_BAR_MEM64;
    uint64_t high = wide ? pci_get32(dev->config + PCI_BAR0 + 4 * n + 4) : 0;
    if (bar->type & PCI_BAR_IO) {
        g_string_append_printf(out, "      BAR%u: I/O at 0x%04x [0x%04x].\n", n, low & ~3u,
                               (low & ~3u) + (uint32_t)bar->region->size - 1);
        return;
    }
    uint64_t at = high << 32 | (low & ~15u);
    g_string_append_printf(
        out, "      BAR%u: %u bit%s memory at 0x%08" G_GINT64_MODIFIER "x [0x%08" G_GINT64_MODIFIER "x].\n", n,
        wide ? 64 : 32, bar->type & PCI_BAR_PREFETCH ? " prefetchable" : "", at, at + bar->region->size - 1);
}

static void put_function(GString *out, const PciDevice *dev)
{
    const uint8_t *c = dev->config;
    g_string_append_printf(out, "  Bus %2u, device %3u, function %u:\n    ", 0u, (unsigned)dev->addr >> 3,
                           dev->addr & 7u);
    put_class(out, pci_get16(c + PCI_CLASS + 1));
    g_string_append_printf(out, ": PCI device %04x:%04x\n      PCI subsystem %04x:%04x\n", pci_get16(c + PCI_VENDOR_ID),
                           pci_get16(c + PCI_DEVICE_ID), pci_get16(c + PCI_SUBSYSTEM_VENDOR),
                           pci_get16(c + PCI_SUBSYSTEM_ID));
    if (c[PCI_INTERRUPT_PIN])
        g_string_append_printf(out, "      IRQ %u, pin %c\n", c[PCI_INTERRUPT_LINE], 'A' + c[PCI_INTERRUPT_PIN] - 1);
    for (unsigned n = 0; n < PCI_BARS; n++) {
        if (dev->bars[n].region)
            put_bar(out, dev, n);
    }
    if (dev->rom.size)
        g_string_append_printf(out, "      BAR6: 32 bit memory at 0x%08x [0x%08x].\n", pci_get32(c + PCI_ROM) & ~1u,
                               (pci_get32(c + PCI_ROM) & ~1u) + (uint32_t)dev->rom.size - 1);
    g_string_append_printf(out, "      id \"%s\"\n", dev->dev.id ? dev->dev.id : "");
}

char *pci_describe(Machine *machine)
{
    GString *out = g_string_new(NULL);
    for (unsigned i = 0; i < machine->buses->len; i++) {
        const Bus *bus = g_ptr_array_index(machine->buses, i);
        const PciBus *pci = bus->state;
        for (unsigned addr = 0; !strcmp(bus->kind, "pci") && addr < G_N_ELEMENTS(pci->devices); addr++) {
            if (pci->devices[addr])
                put_function(out, pci->devices[addr]);
        }
    }
    if (!out->len)
        g_string_append(out, "There is no PCI function.\n");
    return g_string_free(out, FALSE);
}
