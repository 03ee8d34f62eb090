/*
 * VGA registers (IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem", 1992; FreeVGA) and those of the
 * Bochs emulator's interface (docs/specs of the reference, "standard vga"; ID 0xb0c5).
 *
 * Not modelled: the light pen, skews, interrupts at the vertical retrace (PCI adapters have none), the reset bits of
 * the sequencer. Retrace bits follow virtual time at 70 frames of 449 lines a second, whatever the timing registers
 * say.
 * SPDX-License-Identifier: MIT
 */
#include "hw/display/vga.h"
#include "util/trace.h"
#include <string.h>

#define MIB         ((uint64_t)1 << 20)
#define CRTC_REGS   0x19
#define ATTR_REGS   0x15
#define GFX_REGS    9
#define SEQ_REGS    5
#define FRAME_NS    14285714
#define FRAME_LINES 449
#define SHOWN_LINES 400

enum { MISC_COLOUR = 1, MISC_WRITABLE = 0xef };
enum { STATUS1_BLANK = 1, STATUS1_RETRACE = 8 };
enum { ATTR_INDEX = 0x1f, ATTR_SCREEN_ON = 0x20 };
enum { CRTC_OVERFLOW = 7, CRTC_VSYNC_END = 0x11, CRTC_PROTECT = 0x80, OVERFLOW_LINE_COMPARE = 0x10 };
enum { DAC_WRITING = 0, DAC_READING = 3 };

static const uint8_t seq_bits[SEQ_REGS] = { 0x03, 0x3d, 0x0f, 0x3f, 0x0e };
static const uint8_t gfx_bits[GFX_REGS] = { 0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff };

/* ---- retrace ---- */

static uint8_t status1(const Vga *vga)
{
    uint64_t in_frame = (uint64_t)clock_now(vga->dev->machine->clocks, CLOCK_VIRTUAL_NS) % FRAME_NS;
    uint64_t position = in_frame * FRAME_LINES * 100 / FRAME_NS; /* hundredths of lines */
    if (position >= SHOWN_LINES * 100)
        return STATUS1_BLANK | STATUS1_RETRACE;
    return position % 100 >= 80 ? STATUS1_BLANK : 0;
}

/* ---- attribute controller: index and data share a port ---- */

static uint8_t attr_mask(unsigned index)
{
    static const uint8_t bits[] = { 0xef, 0xff, 0x3f, 0x0f, 0x0f };
    return index < 0x10 ? 0x3f : bits[index - 0x10];
}

static void attr_write(Vga *vga, uint8_t value)
{
    unsigned index = vga->s.attr_index & ATTR_INDEX;
    if (!vga->s.attr_data)
        vga->s.attr_index = value & (ATTR_INDEX | ATTR_SCREEN_ON);
    else if (index < ATTR_REGS)
        vga->s.attr[index] = value & attr_mask(index);
    vga->s.attr_data ^= 1;
}

/* ---- palette ---- */

static uint8_t dac_data_read(Vga *vga)
{
    uint8_t value = vga->s.palette[vga->s.dac_read * 3 + vga->s.dac_component];
    if (++vga->s.dac_component == 3) {
        vga->s.dac_component = 0;
        vga->s.dac_read++;
    }
    return value;
}

static void dac_data_write(Vga *vga, uint8_t value)
{
    vga->s.dac_cache[vga->s.dac_component] = vga->vbe[VBE_ENABLE] & VBE_8BIT_DAC ? value : value & 0x3f;
    if (++vga->s.dac_component == 3) {
        memcpy(&vga->s.palette[vga->s.dac_write * 3], vga->s.dac_cache, 3);
        vga->s.dac_component = 0;
        vga->s.dac_write++;
    }
}

static void dac_set_index(Vga *vga, uint8_t value, uint8_t state)
{
    if (state == DAC_READING)
        vga->s.dac_read = value;
    else
        vga->s.dac_write = value;
    vga->s.dac_state = state;
    vga->s.dac_component = 0;
}

/* ---- CRT controller ---- */

static void crtc_write(Vga *vga, uint8_t value)
{
    unsigned index = vga->s.crtc_index;
    if (index >= CRTC_REGS)
        return;
    if (vga->s.crtc[CRTC_VSYNC_END] & CRTC_PROTECT && index <= CRTC_OVERFLOW) {
        if (index == CRTC_OVERFLOW) /* one bit of it is not a timing */
            vga->s.crtc[index] = (vga->s.crtc[index] & ~OVERFLOW_LINE_COMPARE) | (value & OVERFLOW_LINE_COMPARE);
        return;
    }
    vga->s.crtc[index] = value;
}

/* ---- ports ---- */

/* 3bx belongs to monochrome, 3dx to colour adapters: one of the two is there. */
static bool port_hidden(const Vga *vga, unsigned port)
{
    bool colour = vga->s.misc & MISC_COLOUR;
    return (port < 0x3c0 && colour) || (port >= 0x3d0 && !colour);
}

uint8_t vga_port_read(Vga *vga, unsigned port)
{
    uint8_t value;
    if (port_hidden(vga, port))
        return 0xff;
    switch (port) {
    case 0x3c0:
        return vga->s.attr_index;
    case 0x3c1:
        return vga->s.attr[vga->s.attr_index & ATTR_INDEX];
    case 0x3c2:
        return 0;
    case 0x3c4:
        return vga->s.seq_index;
    case 0x3c5:
        return vga->s.seq[vga->s.seq_index];
    case 0x3c6:
        return vga->s.pel_mask;
    case 0x3c7:
        return vga->s.dac_state;
    case 0x3c8:
        return vga->s.dac_write;
    case 0x3c9:
        return dac_data_read(vga);
    case 0x3ca:
        return vga->s.feature;
    case 0x3cc:
        return vga->s.misc;
    case 0x3ce:
        return vga->s.gfx_index;
    case 0x3cf:
        return vga->s.gfx[vga->s.gfx_index];
    case 0x3b4:
    case 0x3d4:
        return vga->s.crtc_index;
    case 0x3b5:
    case 0x3d5:
        return vga->s.crtc_index < CRTC_REGS ? vga->s.crtc[vga->s.crtc_index] : 0;
    case 0x3ba:
    case 0x3da:
        value = status1(vga);
        vga->s.attr_data = 0;
        return value;
    default:
        return 0;
    }
}

static void seq_write(Vga *vga, uint8_t value)
{
    if (vga->s.seq_index < SEQ_REGS)
        vga->s.seq[vga->s.seq_index] = value & seq_bits[vga->s.seq_index];
    vga_window_changed(vga);
}

static void gfx_write(Vga *vga, uint8_t value)
{
    if (vga->s.gfx_index < GFX_REGS)
        vga->s.gfx[vga->s.gfx_index] = value & gfx_bits[vga->s.gfx_index];
    vga_window_changed(vga);
}

void vga_port_write(Vga *vga, unsigned port, uint8_t value)
{
    if (port_hidden(vga, port))
        return;
    TRACE(vga_port_write, "0x%x: 0x%02x", port, value);
    switch (port) {
    case 0x3c0:
        attr_write(vga, value);
        break;
    case 0x3c2:
        vga->s.misc = value & MISC_WRITABLE;
        vga_window_changed(vga);
        break;
    case 0x3c4:
        vga->s.seq_index = value & 7;
        break;
    case 0x3c5:
        seq_write(vga, value);
        break;
    case 0x3c6:
        vga->s.pel_mask = value;
        break;
    case 0x3c7:
        dac_set_index(vga, value, DAC_READING);
        break;
    case 0x3c8:
        dac_set_index(vga, value, DAC_WRITING);
        break;
    case 0x3c9:
        dac_data_write(vga, value);
        break;
    case 0x3ce:
        vga->s.gfx_index = value & 0x0f;
        break;
    case 0x3cf:
        gfx_write(vga, value);
        break;
    case 0x3b4:
    case 0x3d4:
        vga->s.crtc_index = value;
        break;
    case 0x3b5:
    case 0x3d5:
        crtc_write(vga, value);
        break;
    case 0x3ba:
    case 0x3da:
        vga->s.feature = value & 0x0b;
        break;
    default:
        break;
    }
}

static uint64_t ports_read(void *opaque, uint64_t offset, unsigned size)
{
    return vga_port_read(opaque, VGA_PORTS + offset);
}

static void ports_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    vga_port_write(opaque, VGA_PORTS + offset, value);
}

/* What only changes the picture: memory through the graphics controller; colours of the palette; registers of the CRT
 * controller. Those that say what the window shows are not among them. */
static const MemAside window_aside[] = { { 0, VGA_WINDOW_SIZE }, { 0, 0 } },
                      ports_aside[] = { { 0x3c8 - VGA_PORTS, 2 }, { 0x3d4 - VGA_PORTS, 2 }, { 0, 0 } };

/* A word at an index port is index and data. */
static const MemOps ports_ops = {
    .read = ports_read, .write = ports_write, .min_size = 1, .max_size = 4, .impl_max = 1, .unaligned = true
};

/* ---- the Bochs interface ---- */

uint32_t vga_vbe_pitch(const Vga *vga)
{
    unsigned bits = vga->vbe[VBE_BPP] == 15 ? 16 : vga->vbe[VBE_BPP];
    return (uint32_t)vga->vbe[VBE_VIRT_WIDTH] * bits / 8;
}

static bool depth_known(unsigned bits)
{
    return bits == 4 || bits == 8 || bits == 15 || bits == 16 || bits == 24 || bits == 32;
}

/* Whatever the guest has asked for becomes a mode that fits into vram. */
static void vbe_fit(Vga *vga)
{
    uint16_t *r = vga->vbe;
    if (!depth_known(r[VBE_BPP]))
        r[VBE_BPP] = 8;
    r[VBE_XRES] = CLAMP(r[VBE_XRES] & ~7, 8, VBE_MAX_XRES);
    r[VBE_YRES] = CLAMP(r[VBE_YRES], 1, VBE_MAX_YRES);
    r[VBE_VIRT_WIDTH] = CLAMP(r[VBE_VIRT_WIDTH] & ~7, r[VBE_XRES], VBE_MAX_XRES);
    uint64_t rows = vga->vram.size / vga_vbe_pitch(vga); /* at least 16: a row is at most 64,000 bytes */
    r[VBE_VIRT_HEIGHT] = MIN(rows, UINT16_MAX);
    r[VBE_YRES] = MIN(r[VBE_YRES], r[VBE_VIRT_HEIGHT]);
    r[VBE_X_OFFSET] = MIN(r[VBE_X_OFFSET], r[VBE_VIRT_WIDTH] - r[VBE_XRES]);
    r[VBE_Y_OFFSET] = MIN(r[VBE_Y_OFFSET], r[VBE_VIRT_HEIGHT] - r[VBE_YRES]);
}

/* The window shows the mode's memory in banks: 64 KiB at 0xa0000, through all planes. */
static void vbe_set_window(Vga *vga)
{
    bool planar = vga->vbe[VBE_BPP] == 4;
    vga->s.gfx[6] = (vga->s.gfx[6] & ~0x0c) | 0x05;
    vga->s.gfx[5] = (vga->s.gfx[5] & ~0x70) | (planar ? 0 : 0x40);
    vga->s.seq[2] = 0x0f;
    vga->s.seq[4] = planar ? 0x06 : 0x0e;
    vga->s.misc |= 2;
}

static void vbe_enable(Vga *vga, uint16_t value)
{
    bool was = vga_vbe_enabled(vga);
    vga->vbe[VBE_ENABLE] = value;
    if (vga_vbe_enabled(vga) && !was) {
        vga->vbe[VBE_VIRT_WIDTH] = 0;
        vga->vbe[VBE_X_OFFSET] = vga->vbe[VBE_Y_OFFSET] = 0;
        vbe_fit(vga);
        vbe_set_window(vga);
        if (!(value & VBE_NOCLEARMEM)) {
            uint64_t bytes = (uint64_t)vga_vbe_pitch(vga) * vga->vbe[VBE_YRES];
            memset(vga->vram.host, 0, bytes);
            ram_written(&vga->vram, 0, bytes);
        }
    } else if (!vga_vbe_enabled(vga)) {
        vga->vbe[VBE_BANK] = 0;
    }
    vga_window_changed(vga);
}

uint16_t vga_vbe_read(Vga *vga, unsigned index)
{
    bool most = vga->vbe[VBE_ENABLE] & VBE_GETCAPS;
    if (index == VBE_XRES && most)
        return VBE_MAX_XRES;
    if (index == VBE_YRES && most)
        return VBE_MAX_YRES;
    if (index == VBE_BPP && most)
        return 32;
    if (index == VBE_VIDEO_MEMORY_64K)
        return vga->vram.size >> 16;
    return index < VBE_REGS ? vga->vbe[index] : 0;
}

void vga_vbe_write(Vga *vga, unsigned index, uint16_t value)
{
    TRACE(vga_vbe_write, "%u: 0x%x", index, value);
    switch (index) {
    case VBE_ID:
        if (value >= 0xb0c0 && value <= VBE_ID_LATEST)
            vga->vbe[VBE_ID] = value;
        break;
    case VBE_ENABLE:
        vbe_enable(vga, value);
        break;
    case VBE_BANK:
        vga->vbe[VBE_BANK] = value & ((vga->vram.size >> 16) - 1);
        vga_window_changed(vga);
        break;
    case VBE_XRES:
    case VBE_YRES:
    case VBE_BPP:
    case VBE_VIRT_WIDTH:
    case VBE_X_OFFSET:
    case VBE_Y_OFFSET:
        vga->vbe[index] = value;
        if (vga_vbe_enabled(vga))
            vbe_fit(vga);
        break;
    default: /* virtual height and memory are what they are */
        break;
    }
}

/* Index at offset 0; data at 1, as PCs have it, and at 2, where words may be. */
static uint64_t vbe_ports_read(void *opaque, uint64_t offset, unsigned size)
{
    Vga *vga = opaque;
    return offset ? vga_vbe_read(vga, vga->vbe_index) : vga->vbe_index;
}

static void vbe_ports_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Vga *vga = opaque;
    if (offset)
        vga_vbe_write(vga, vga->vbe_index, value);
    else
        vga->vbe_index = value;
}

static const MemOps vbe_ports_ops = {
    .read = vbe_ports_read, .write = vbe_ports_write, .min_size = 1, .max_size = 2, .unaligned = true
};

/* ---- life cycle ---- */

static const ConsoleOps console_ops = { .refresh = vga_refresh };

bool vga_init(Vga *vga, Device *dev, uint32_t mb, GError **err)
{
    uint64_t size = MIB;
    while (size < mb * MIB && size < 512 * MIB)
        size *= 2;
    vga->dev = dev;
    if (!mem_ram_init(&vga->vram, dev->machine, "vga.vram", size, err))
        return false;
    mem_container_init(&vga->window, dev->machine, "vga-lowmem", VGA_WINDOW_SIZE);
    mem_io_init(&vga->window_io, dev->machine, "vga-planes", VGA_WINDOW_SIZE, &vga_window_ops, vga);
    mem_io_init(&vga->ports, dev->machine, "vga", VGA_PORT_COUNT, &ports_ops, vga);
    mem_io_init(&vga->vbe_ports, dev->machine, "vbe", 4, &vbe_ports_ops, vga);
    vga->window_io.aside = window_aside;
    vga->ports.aside = ports_aside;
    mem_add(&vga->window, 0, &vga->window_io, 0);
    vga->line = g_new0(uint32_t, CONSOLE_MAX_SIZE + 64);
    vga->drawn = vga_drawn_new();
    vga->console = console_new(dev, &console_ops, vga);
    return true;
}

void vga_exit(Vga *vga)
{
    console_free(vga->console);
    g_free(vga->line);
    g_free(vga->drawn);
}

void vga_reset(Vga *vga)
{
    memset(&vga->s, 0, sizeof(vga->s));
    memset(vga->vbe, 0, sizeof(vga->vbe));
    vga->vbe_index = 0;
    vga->vbe[VBE_ID] = VBE_ID_LATEST;
    vga->s.pel_mask = 0xff;
    vga_window_changed(vga);
}

void vga_post_load(Vga *vga)
{
    vga->s.seq_index &= 7;
    vga->s.gfx_index &= 15;
    vga->s.attr_index &= ATTR_INDEX | ATTR_SCREEN_ON;
    vga->s.dac_component %= 3;
    vga->vbe[VBE_BANK] &= (vga->vram.size >> 16) - 1;
    if (vga_vbe_enabled(vga))
        vbe_fit(vga);
    vga_window_changed(vga);
    vga_forget_drawn(vga);
}
