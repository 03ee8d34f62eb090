/*
 * bootindex= of devices as fw_cfg's "bootorder": a line for each, in order, with its path in Open Firmware's words, as
 * SeaBIOS and EDK2 know them (IEEE 1275-1994; PCI Bus Binding 2.1).
 * SPDX-License-Identifier: MIT
 */
#include "hw/block/fdc.h"
#include "hw/ide/ide.h"
#include "hw/machine/x86/x86_machine.h"
#include "util/error.h"
#include <string.h>

typedef struct Entry {
    uint32_t index;
    char *path;
} Entry;

/* Names by class code; what has none is called pciVENDOR,DEVICE. */
static const struct {
    uint16_t class_code;
    const char *name, *unit; /* unit: the disk or the port behind the function */
} classes[] = { { 0x0100, "scsi", "/disk@0,0" },           { 0x0101, "ide", "" },
                { 0x0108, "pci", "/namespace@1,0" },       { 0x0180, "scsi", "/disk@0,0" },
                { 0x0200, "ethernet", "/ethernet-phy@0" }, { 0x0601, "isa", "" } };

static char *pci_path(const PciDevice *dev, bool with_unit)
{
    uint16_t class_code = pci_get16(dev->config + PCI_CLASS + 1);
    const char *unit = "";
    g_autofree char *name =
        g_strdup_printf("pci%x,%x", pci_get16(dev->config + PCI_VENDOR_ID), pci_get16(dev->config + PCI_DEVICE_ID));
    for (unsigned i = 0; i < G_N_ELEMENTS(classes); i++) {
        if (classes[i].class_code != class_code)
            continue;
        g_free(name);
        name = g_strdup(classes[i].name);
        unit = classes[i].unit;
    }
    unsigned slot = dev->addr >> 3, function = dev->addr & 7;
    g_autofree char *tail = function ? g_strdup_printf(",%x", function) : g_strdup("");
    return g_strdup_printf("/pci@i0cf8/%s@%x%s%s", name, slot, tail, with_unit ? unit : "");
}

static bool is_on(const Device *dev, const char *kind)
{
    return dev->bus && !strcmp(dev->bus->kind, kind);
}

/* A drive of a channel of two, or of an AHCI port. Without a PCI function (isa-ide) firmware has no path for it. */
static char *ide_path(Device *dev)
{
    const IdeDrive *drive = (IdeDrive *)dev;
    if (!is_on(dev->bus->owner, "pci"))
        return NULL;
    g_autofree char *host = pci_path((PciDevice *)dev->bus->owner, true);
    return g_strdup_printf("%s/drive@%x/disk@%x", host, drive->ide->index, drive->unit);
}

/* Its controller is on the ISA bus of a PCI bridge. */
static char *floppy_path(Device *dev)
{
    const Floppy *floppy = (Floppy *)dev;
    Device *fdc = dev->bus->owner, *bridge = is_on(fdc, "isa") ? fdc->bus->owner : NULL;
    if (!bridge || !is_on(bridge, "pci"))
        return NULL;
    g_autofree char *isa = pci_path((PciDevice *)bridge, true);
    return g_strdup_printf("%s/fdc@%04x/floppy@%x", isa, floppy->fdc->iobase, floppy->unit);
}

/* Where the device is; NULL: firmware has no word for it. */
static char *device_path(Device *dev)
{
    if (is_on(dev, "ide"))
        return ide_path(dev);
    if (is_on(dev, "floppy-bus"))
        return floppy_path(dev);
    if (is_on(dev, "pci"))
        return pci_path((PciDevice *)dev, true);
    if (is_on(dev, "virtio") && is_on(dev->bus->owner, "pci"))
        return pci_path((PciDevice *)dev->bus->owner, true);
    return NULL;
}

static const uint32_t *bootindex_of(Device *dev)
{
    for (const DeviceType *type = dev->type; type; type = type->parent) {
        for (const Prop *prop = type->props; prop && prop->name; prop++) {
            if (!strcmp(prop->name, "bootindex"))
                return (const uint32_t *)((const char *)dev + prop->offset);
        }
    }
    return NULL;
}

static void collect(Device *dev, GArray *entries)
{
    const uint32_t *index = bootindex_of(dev);
    char *path = index && *index != BOOTINDEX_NONE ? device_path(dev) : NULL;
    if (path) {
        Entry entry = { *index, path };
        g_array_append_val(entries, entry);
    }
    for (GSList *link = dev->buses; link; link = link->next) {
        const Bus *bus = link->data;
        for (unsigned i = 0; i < bus->devices->len; i++)
            collect(bus->devices->pdata[i], entries);
    }
}

static int compare(const void *a, const void *b)
{
    const Entry *x = a, *y = b;
    return (x->index > y->index) - (x->index < y->index);
}

char *x86_boot_order(Machine *machine, const char *first, bool strict, GError **err)
{
    g_autoptr(GArray) entries = g_array_new(FALSE, FALSE, sizeof(Entry));
    GString *out = g_string_new(NULL);
    bool ok = true;
    for (unsigned i = 0; i < machine->devices->len; i++)
        collect(machine->devices->pdata[i], entries);
    g_array_sort(entries, compare);
    if (first)
        g_string_append_printf(out, "%s\n", first);
    for (unsigned i = 0; i < entries->len; i++) {
        const Entry *e = &g_array_index(entries, Entry, i);
        if (ok && i && e->index == e[-1].index)
            ok = error_set(err, "bootindex=%u is used twice", e->index);
        g_string_append_printf(out, "%s\n", e->path);
    }
    for (unsigned i = 0; i < entries->len; i++)
        g_free(g_array_index(entries, Entry, i).path);
    if (strict)
        g_string_append(out, "HALT\n");
    if (out->len)
        g_string_truncate(out, out->len - 1); /* lines are separated; a zero ends the last */
    return g_string_free(out, !ok);
}
