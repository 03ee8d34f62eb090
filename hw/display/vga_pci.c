/*
 * VGA adapters on PCI: "VGA", which has the ports and memory of old as well, and "secondary-vga", which has not. BAR 0
 * is video memory; BAR 2 has the EDID at 0, the ports 3c0 to 3df at 0x400, the Bochs registers at 0x500 and the byte
 * order at 0x600 (docs/specs of the reference, "standard vga").
 * SPDX-License-Identifier: MIT
 */
#include "hw/display/edid.h"
#include "hw/display/vga.h"
#include "hw/pci/pci.h"
#include <string.h>

#define MMIO_SIZE            0x1000
#define MMIO_PORTS           0x400 /* 3c0 is first */
#define MMIO_VBE             0x500
#define MMIO_EXTENDED        0x600
#define LITTLE_ENDIAN_PIXELS 0x1e1e1e1e

typedef struct VgaPci {
    PciDevice pci;
    Vga vga;
    MemRegion mmio;
    Edid edid;
    uint32_t megabytes;
    bool has_mmio;
} VgaPci;

static uint64_t byte_of(uint32_t value, uint64_t offset)
{
    return value >> (8 * (offset & 3)) & 0xff;
}

static uint64_t mmio_read(void *opaque, uint64_t offset, unsigned size)
{
    VgaPci *v = opaque;
    if (offset < EDID_SIZE)
        return v->edid.data[offset];
    if (offset >= MMIO_PORTS && offset < MMIO_PORTS + 0x20)
        return vga_port_read(&v->vga, 0x3c0 + offset - MMIO_PORTS);
    if (offset >= MMIO_VBE && offset < MMIO_VBE + 2 * VBE_REGS)
        return vga_vbe_read(&v->vga, (offset - MMIO_VBE) / 2) >> (8 * (offset & 1));
    if (offset >= MMIO_EXTENDED && offset < MMIO_EXTENDED + 8)
        return byte_of(offset & 4 ? LITTLE_ENDIAN_PIXELS : 8, offset);
    return 0;
}

static void mmio_write_byte(VgaPci *v, uint64_t offset, uint8_t value)
{
    unsigned index = (offset - MMIO_VBE) / 2, shift = 8 * (offset & 1);
    if (offset >= MMIO_PORTS && offset < MMIO_PORTS + 0x20)
        vga_port_write(&v->vga, 0x3c0 + offset - MMIO_PORTS, value);
    else if (offset >= MMIO_VBE && offset < MMIO_VBE + 2 * VBE_REGS)
        vga_vbe_write(&v->vga, index, (v->vga.vbe[index] & ~(0xff << shift)) | value << shift);
}

/* A Bochs register is written as a whole if it can be: half of a mode is none. */
static void mmio_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    VgaPci *v = opaque;
    if (size == 2 && offset >= MMIO_VBE && offset < MMIO_VBE + 2 * VBE_REGS) {
        vga_vbe_write(&v->vga, (offset - MMIO_VBE) / 2, value);
        return;
    }
    for (unsigned i = 0; i < size; i++)
        mmio_write_byte(v, offset + i, value >> (8 * i));
}

static uint64_t mmio_read_wide(void *opaque, uint64_t offset, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (mmio_read(opaque, offset + i, 1) & 0xff) << (8 * i);
    return value;
}

static const MemOps mmio_ops = {
    .read = mmio_read_wide, .write = mmio_write, .min_size = 1, .max_size = 8, .impl_min = 1, .impl_max = 2
};

/* ---- life cycle ---- */

static bool realize_common(VgaPci *v, uint32_t class_code, GError **err)
{
    Device *dev = &v->pci.dev;
    if (!vga_init(&v->vga, dev, v->megabytes, err))
        return false;
    edid_make(&v->edid);
    pci_set_ids(&v->pci, 0x1234, 0x1111, class_code, 2);
    pci_set_subsystem(&v->pci, 0x1af4, 0x1100);
    pci_add_bar(&v->pci, 0, PCI_BAR_PREFETCH, &v->vga.vram);
    mem_io_init(&v->mmio, dev->machine, "vga.mmio", MMIO_SIZE, &mmio_ops, v);
    if (v->has_mmio)
        pci_add_bar(&v->pci, 2, 0, &v->mmio);
    return true;
}

static bool vga_realize(Device *dev, GError **err)
{
    VgaPci *v = (VgaPci *)dev;
    if (!realize_common(v, 0x030000, err))
        return false;
    mem_add(v->pci.pci->memory, VGA_WINDOW, &v->vga.window, 1);
    if (v->pci.pci->io) {
        mem_add(v->pci.pci->io, VGA_PORTS, &v->vga.ports, 1);
        mem_add(v->pci.pci->io, VBE_PORTS, &v->vga.vbe_ports, 1);
    }
    return true;
}

static bool secondary_realize(Device *dev, GError **err)
{
    return realize_common((VgaPci *)dev, 0x038000, err);
}

static void unrealize(Device *dev)
{
    vga_exit(&((VgaPci *)dev)->vga);
}

static void reset(Device *dev)
{
    vga_reset(&((VgaPci *)dev)->vga);
}

static void post_load(Device *dev)
{
    vga_post_load(&((VgaPci *)dev)->vga);
}

#define MEMORY_PROP \
    PROP(VgaPci, U32, "vgamem_mb", megabytes, .fallback = "16", .max = 512, .help = "MiB of video memory, 1 to 512")
#define MMIO_PROP PROP(VgaPci, BOOL, "mmio", has_mmio, .fallback = "on", .help = "registers in memory (BAR 2)")

static const Prop vga_props[] = {
    MEMORY_PROP,
    MMIO_PROP,
    PROP(VgaPci, STRING, "romfile", pci.romfile, .fallback = "vgabios-stdvga.bin", .help = "the VGA BIOS; empty: none"),
    EDID_PROPS(VgaPci),
    PROP_END,
};
static const Prop secondary_props[] = { MEMORY_PROP, MMIO_PROP, EDID_PROPS(VgaPci), PROP_END };
static const StateField state[] = { VGA_STATE(VgaPci), STATE_SKIP(VgaPci, mmio, "wiring"),
                                    STATE_SKIP(VgaPci, edid, "made from properties"), STATE_END };

const DeviceType vga_pci_type = {
    .name = "VGA",
    .desc = "VGA with the Bochs extensions",
    .category = "display",
    .bus = "pci",
    .parent = &pci_device_type,
    .size = sizeof(VgaPci),
    .props = vga_props,
    .state = state,
    .realize = vga_realize,
    .unrealize = unrealize,
    .reset = reset,
    .post_load = post_load,
};

const DeviceType secondary_vga_type = {
    .name = "secondary-vga",
    .desc = "VGA with the Bochs extensions, without ports and memory of old",
    .category = "display",
    .bus = "pci",
    .parent = &pci_device_type,
    .size = sizeof(VgaPci),
    .props = secondary_props,
    .state = state,
    .realize = secondary_realize,
    .unrealize = unrealize,
    .reset = reset,
    .post_load = post_load,
};
