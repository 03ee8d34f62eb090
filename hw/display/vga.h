/*
 * VGA with the extensions of the Bochs emulator: what the PCI, the ISA and the secondary adapter have in common (see
 * vga.c, vga_memory.c, vga_draw.c).
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_DISPLAY_VGA_H
#define HW_DISPLAY_VGA_H

#include "hw/core/machine.h"
#include "ui/display/console.h"

#define VGA_PORTS       0x3b0 /* to 0x3df */
#define VGA_PORT_COUNT  0x30
#define VGA_WINDOW      0xa0000
#define VGA_WINDOW_SIZE 0x20000
#define VBE_PORTS       0x1ce /* index, data at 1cf or 1d0 */

/* Registers of the Bochs interface, by index */
enum {
    VBE_ID,
    VBE_XRES,
    VBE_YRES,
    VBE_BPP,
    VBE_ENABLE,
    VBE_BANK,
    VBE_VIRT_WIDTH,
    VBE_VIRT_HEIGHT,
    VBE_X_OFFSET,
    VBE_Y_OFFSET,
    VBE_VIDEO_MEMORY_64K,
    VBE_REGS
};

enum { VBE_ENABLED = 1, VBE_GETCAPS = 2, VBE_8BIT_DAC = 0x20, VBE_LFB = 0x40, VBE_NOCLEARMEM = 0x80 };
#define VBE_ID_LATEST 0xb0c5
#define VBE_MAX_XRES  16000
#define VBE_MAX_YRES  12000

typedef struct Vga {
    Device *dev;
    Console *console;
    MemRegion vram;         /* the linear framebuffer; plane p of address a is byte 4 * a + p */
    MemRegion window;       /* 0xa0000 to 0xbffff */
    MemRegion window_io;    /* in window: through the graphics controller */
    MemRegion chain4;       /* in window: RAM, where the guest's bytes go straight to memory */
    MemRegion ports;        /* at VGA_PORTS */
    MemRegion vbe_ports;    /* at VBE_PORTS */
    uint64_t chain4_key;    /* what chain4 was made for; 0: not there */
    uint32_t *line;         /* one row that is being drawn */
    struct VgaDrawn *drawn; /* what the console shows (vga_draw.c) */
    struct VgaRegisters {
        uint8_t misc, feature;
        uint8_t seq_index, seq[8];
        uint8_t gfx_index, gfx[16];
        uint8_t crtc_index, crtc[32];
        uint8_t attr_index, attr[32];
        uint8_t attr_data; /* flip-flop: the next write to 3c0 is data */
        uint8_t dac_state, dac_read, dac_write, dac_component, dac_cache[3];
        uint8_t pel_mask;
        uint8_t palette[768];
        uint8_t latch[4];
    } s;
    uint16_t vbe_index, vbe[VBE_REGS];
} Vga;

/* For the state table of a device with a member vga. */
/* clang-format off */
#define VGA_STATE(Type)                                                                                                \
    { "vga.s", STATE_KIND_BYTES, offsetof(Type, vga.s), sizeof(((Type *)0)->vga.s), 1, NULL },                         \
    STATE(Type, vga.vbe_index), STATE_ARRAY(Type, vga.vbe),                                                            \
    STATE_SKIP(Type, vga.dev, "wiring"), STATE_SKIP(Type, vga.console, "wiring"),                                      \
    STATE_SKIP(Type, vga.vram, "RAM"), STATE_SKIP(Type, vga.window, "wiring"),                                         \
    STATE_SKIP(Type, vga.window_io, "wiring"), STATE_SKIP(Type, vga.chain4, "follows from the registers"),             \
    STATE_SKIP(Type, vga.chain4_key, "follows from the registers"), STATE_SKIP(Type, vga.ports, "wiring"),             \
    STATE_SKIP(Type, vga.vbe_ports, "wiring"), STATE_SKIP(Type, vga.line, "scratch"),                                  \
    STATE_SKIP(Type, vga.drawn, "scratch")
/* clang-format on */

/* Make vram of mb MiB (a power of two, 1 to 512), the regions, a console. False and *err if the host has not that much.
 */
bool vga_init(Vga *vga, Device *dev, uint32_t mb, GError **err);
void vga_exit(Vga *vga);
void vga_reset(Vga *vga);
/* State was loaded. */
void vga_post_load(Vga *vga);

/* A port from VGA_PORTS on, or register of the Bochs interface: for windows of other devices. */
uint8_t vga_port_read(Vga *vga, unsigned port);
void vga_port_write(Vga *vga, unsigned port, uint8_t value);
uint16_t vga_vbe_read(Vga *vga, unsigned index);
void vga_vbe_write(Vga *vga, unsigned index, uint16_t value);

/* ---- between the parts of this adapter ---- */
/* Registers that say what the window shows were written (vga_memory.c). */
void vga_window_changed(Vga *vga);
extern const MemOps vga_window_ops;
/* Draw what has changed of the screen (vga_draw.c). */
void vga_refresh(void *vga);
/* All of it may have. */
void vga_forget_drawn(Vga *vga);
struct VgaDrawn *vga_drawn_new(void);
/* Bytes of a row of the Bochs mode that is set. */
uint32_t vga_vbe_pitch(const Vga *vga);
static inline bool vga_vbe_enabled(const Vga *vga)
{
    return vga->vbe[VBE_ENABLE] & VBE_ENABLED;
}

#endif
