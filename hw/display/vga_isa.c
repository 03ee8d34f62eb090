/*
 * "isa-vga": a VGA adapter on the ISA bus, with video memory at 0xe0000000 as well, where the Bochs BIOS looks for it.
 * SPDX-License-Identifier: MIT
 */
#include "hw/display/vga.h"
#include "hw/isa/isa.h"

#define LINEAR 0xe0000000u

typedef struct VgaIsa {
    Device dev;
    Vga vga;
    uint32_t megabytes;
} VgaIsa;

static bool realize(Device *dev, GError **err)
{
    VgaIsa *v = (VgaIsa *)dev;
    IsaBus *isa = dev->bus->state;
    if (!vga_init(&v->vga, dev, v->megabytes, err))
        return false;
    bool ok = isa_map_ports(dev->bus, VGA_PORTS, &v->vga.ports, "iobase", err) &&
              isa_map_ports(dev->bus, VBE_PORTS, &v->vga.vbe_ports, "iobase", err);
    g_assert(ok); /* they are where they are */
    mem_add(isa->memory, VGA_WINDOW, &v->vga.window, 1);
    mem_add(isa->memory, LINEAR, &v->vga.vram, 1);
    return true;
}

static void unrealize(Device *dev)
{
    vga_exit(&((VgaIsa *)dev)->vga);
}

static void reset(Device *dev)
{
    vga_reset(&((VgaIsa *)dev)->vga);
}

static void post_load(Device *dev)
{
    vga_post_load(&((VgaIsa *)dev)->vga);
}

static const Prop props[] = {
    PROP(VgaIsa, U32, "vgamem_mb", megabytes, .fallback = "8", .max = 512, .help = "MiB of video memory, 1 to 512"),
    PROP_END,
};
static const StateField state[] = { VGA_STATE(VgaIsa), STATE_END };

const DeviceType isa_vga_type = {
    .name = "isa-vga",
    .desc = "VGA with the Bochs extensions",
    .category = "display",
    .bus = "isa",
    .size = sizeof(VgaIsa),
    .props = props,
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .post_load = post_load,
};
