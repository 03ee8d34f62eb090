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

typedef struct Vga {
    Device *dev;
    Console *console;
    MemRegion vram;             /* the linear framebuffer; plane p of address a is byte 4 * a + p */
    MemRegion window;           /* 0xa0000 to 0xbffff */
    MemRegion window_io;        /* in window: through the graphics controller */
    MemRegion chain4;           /* in window: RAM, where the guest's bytes go straight to memory */
    MemRegion ports, vbe_ports; /* at VGA_PORTS, VBE_PORTS */
    uint32_t line[16384];       /* one row that is being drawn */
    struct VgaState {
        uint8_t misc, feature, status1; /* status1: what toggles when time does not tell */
        uint8_t seq_index, seq[8];
        uint8_t gfx_index, gfx[16];
        uint8_t crtc_index, crtc[256];
        uint8_t attr_index, attr[32];
        uint8_t attr_data; /* flip-flop: the next write to 3c0 is data */
        uint8_t dac_state, dac_read, dac_write, dac_component;
        uint8_t pel_mask;
        uint8_t dac_cache[3];
        uint8_t palette[768];
        uint8_t latch[4];
        uint16_t vbe_index, vbe[VBE_REGS];
    } s;
} Vga;

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

#endif
