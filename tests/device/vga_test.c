/*
 * VGA: registers, memory through the graphics controller, and what is drawn in text, CGA, planar, 256-colour and linear
 * modes. Modes are set as the IBM BIOS sets them (IBM PS/2 and PC BIOS Interface Technical Reference, mode tables).
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "hw/display/vga.h"
#include "hw/firmware/loader.h"
#include "hw/isa/isa.h"
#include "hw/machine/x86/boot.h"
#include "ui/display/console.h"
#include "ui/display/image.h"
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define LINEAR UINT64_C(0xe0000000)

typedef struct Mode {
    uint8_t misc, seq[4], crtc[25], gfx[9], attr[21];
} Mode;

#define ATTR_16(mode, planes, pan)                                                                            \
    {                                                                                                         \
        0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, mode, 0x00, planes, pan, 0 \
    }

static const Mode text80 = { 0x67,
                             { 0x00, 0x03, 0x00, 0x02 },
                             { 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00,
                               0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff },
                             { 0, 0, 0, 0, 0, 0x10, 0x0e, 0x0f, 0xff },
                             ATTR_16(0x0c, 0x0f, 8) };
static const Mode text40 = { 0x67,
                             { 0x08, 0x03, 0x00, 0x02 },
                             { 0x2d, 0x27, 0x28, 0x90, 0x2b, 0xa0, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00,
                               0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x14, 0x1f, 0x96, 0xb9, 0xa3, 0xff },
                             { 0, 0, 0, 0, 0, 0x10, 0x0e, 0x0f, 0xff },
                             ATTR_16(0x0c, 0x0f, 8) };
static const Mode cga4 = { 0x63,
                           { 0x09, 0x03, 0x00, 0x02 },
                           { 0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0x00, 0xc1, 0x00, 0x00, 0x00,
                             0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x14, 0x00, 0x96, 0xb9, 0xa2, 0xff },
                           { 0, 0, 0, 0, 0, 0x30, 0x0f, 0x0f, 0xff },
                           { 0x00, 0x13, 0x15, 0x17, 2,    4,    6, 7,    0x10, 0x11, 0x12,
                             0x13, 0x14, 0x15, 0x16, 0x17, 0x01, 0, 0x03, 0,    0 } };
static const Mode planar12 = { 0xe3,
                               { 0x01, 0x0f, 0x00, 0x06 },
                               { 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0x00, 0x40, 0x00, 0x00, 0x00,
                                 0x00, 0x00, 0x00, 0xea, 0x8c, 0xdf, 0x28, 0x00, 0xe7, 0x04, 0xe3, 0xff },
                               { 0, 0, 0, 0, 0, 0x00, 0x05, 0x0f, 0xff },
                               ATTR_16(0x01, 0x0f, 0) };
static const Mode mode13 = { 0x63,
                             { 0x01, 0x0f, 0x00, 0x0e },
                             { 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0x41, 0x00, 0x00, 0x00,
                               0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff },
                             { 0, 0, 0, 0, 0, 0x40, 0x05, 0x0f, 0xff },
                             { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x41, 0, 0x0f, 0, 0 } };

/* ---- the machine ---- */

static DevMachine *machine_new_isa(void)
{
    GError *err = NULL;
    DevMachine *m = devm_new();
    devm_realize(m, devm_add(m, &isabus_bridge_type, NULL));
    devm_device_add(m, "isa-vga,vgamem_mb=2", &err);
    g_assert_no_error(err);
    return m;
}

static void seq(DevMachine *m, uint8_t index, uint8_t value)
{
    out(m, 0x3c4, 2, index | value << 8);
}
static void gfx(DevMachine *m, uint8_t index, uint8_t value)
{
    out(m, 0x3ce, 2, index | value << 8);
}
static void crtc(DevMachine *m, uint8_t index, uint8_t value)
{
    out(m, 0x3d4, 2, index | value << 8);
}
static void attr(DevMachine *m, uint8_t index, uint8_t value)
{
    in(m, 0x3da, 1);
    out(m, 0x3c0, 1, index | 0x20);
    out(m, 0x3c0, 1, value);
}
static void vbe(DevMachine *m, unsigned index, uint16_t value)
{
    out(m, 0x1ce, 2, index);
    out(m, 0x1cf, 2, value);
}
static uint16_t vbe_get(DevMachine *m, unsigned index)
{
    out(m, 0x1ce, 2, index);
    return in(m, 0x1cf, 2);
}

static void palette(DevMachine *m, unsigned index, uint8_t red, uint8_t green, uint8_t blue)
{
    out(m, 0x3c8, 1, index);
    out(m, 0x3c9, 1, red);
    out(m, 0x3c9, 1, green);
    out(m, 0x3c9, 1, blue);
}

/* Colour i of the palette becomes i << 2 in red, 63 - i in green, 5 in blue, of 6 bits. */
static void set_mode(DevMachine *m, const Mode *mode)
{
    out(m, 0x3c2, 1, mode->misc);
    for (unsigned i = 0; i < 4; i++)
        seq(m, i + 1, mode->seq[i]);
    crtc(m, 0x11, 0);
    for (unsigned i = 0; i < 25; i++)
        crtc(m, i, mode->crtc[i]);
    for (unsigned i = 0; i < 9; i++)
        gfx(m, i, mode->gfx[i]);
    for (unsigned i = 0; i < 21; i++)
        attr(m, i, mode->attr[i]);
    out(m, 0x3c6, 1, 0xff);
    for (unsigned i = 0; i < 256; i++)
        palette(m, i, i >> 2, 63 - (i & 63), 5);
}

static uint32_t six(unsigned v)
{
    return v << 2 | v >> 4;
}

static uint32_t colour(unsigned i)
{
    return six(i >> 2) << 16 | six(63 - (i & 63)) << 8 | six(5);
}

static const Surface *draw(DevMachine *m)
{
    const Surface *s;
    machine_lock(m->machine);
    Console *console = console_find(m->machine, NULL, NULL);
    console_refresh(console);
    s = console_surface(console);
    machine_unlock(m->machine);
    return s;
}

static uint32_t pixel(const Surface *s, unsigned x, unsigned y)
{
    g_assert_cmpuint(x, <, s->width);
    g_assert_cmpuint(y, <, s->height);
    return s->pixels[(size_t)y * s->width + x];
}

static void check_size(const Surface *s, unsigned width, unsigned height)
{
    g_assert_cmpuint(s->width, ==, width);
    g_assert_cmpuint(s->height, ==, height);
}

/* ---- registers ---- */

static void test_registers(void)
{
    DevMachine *m = machine_new_isa();
    g_assert_cmphex(in(m, 0x3d4, 1), ==, 0xff); /* monochrome after a reset */
    g_assert_cmphex(in(m, 0x3b4, 1), ==, 0x00);
    set_mode(m, &text80);
    g_assert_cmphex(in(m, 0x3cc, 1), ==, 0x67);
    g_assert_cmphex(in(m, 0x3b4, 1), ==, 0xff);
    for (unsigned i = 0; i < 25; i++) {
        out(m, 0x3d4, 1, i);
        g_assert_cmphex(in(m, 0x3d5, 1), ==, text80.crtc[i]);
    }
    crtc(m, 0, 0); /* protected by 0x11 */
    crtc(m, 7, 0);
    out(m, 0x3d4, 1, 0);
    g_assert_cmphex(in(m, 0x3d5, 1), ==, 0x5f);
    out(m, 0x3d4, 1, 7);
    g_assert_cmphex(in(m, 0x3d5, 1), ==, 0x0f);
    out(m, 0x3d4, 1, 0x80);
    out(m, 0x3d5, 1, 1); /* no such register */
    g_assert_cmphex(in(m, 0x3d5, 1), ==, 0);
    seq(m, 1, 0xff);
    g_assert_cmphex(in(m, 0x3c5, 1), ==, 0x3d);
    gfx(m, 5, 0xff);
    g_assert_cmphex(in(m, 0x3cf, 1), ==, 0x7b);
    /* the flip-flop: index, data, and back to index by status 1 */
    in(m, 0x3da, 1);
    out(m, 0x3c0, 1, 0x03);
    in(m, 0x3da, 1);
    out(m, 0x3c0, 1, 0x02);
    out(m, 0x3c0, 1, 0x15);
    g_assert_cmphex(in(m, 0x3c0, 1), ==, 0x02);
    g_assert_cmphex(in(m, 0x3c1, 1), ==, 0x15);
    /* palette */
    palette(m, 200, 0x3f, 0xc1, 0x12);
    g_assert_cmphex(in(m, 0x3c7, 1), ==, 0);
    g_assert_cmphex(in(m, 0x3c8, 1), ==, 201);
    out(m, 0x3c7, 1, 200);
    g_assert_cmphex(in(m, 0x3c7, 1), ==, 3);
    g_assert_cmphex(in(m, 0x3c9, 1), ==, 0x3f);
    g_assert_cmphex(in(m, 0x3c9, 1), ==, 0x01);
    g_assert_cmphex(in(m, 0x3c9, 1), ==, 0x12);
    devm_free(m);
}

static void test_retrace(void)
{
    DevMachine *m = machine_new_isa();
    unsigned blank = 0, retrace = 0, changes = 0, was = 0;
    out(m, 0x3c2, 1, 1);
    for (unsigned i = 0; i < 10000; i++) { /* one second: 70 frames */
        unsigned now = in(m, 0x3da, 1);
        blank += now & 1;
        retrace += now >> 3 & 1;
        changes += (now & 8) != was;
        was = now & 8;
        devm_step(m, 100000);
    }
    g_assert_cmpuint(changes, ==, 139); /* the last one ends with the second */
    g_assert_cmpuint(retrace, >, 1000);
    g_assert_cmpuint(retrace, <, 1200);
    g_assert_cmpuint(blank, >, retrace);
    devm_free(m);
}

/* ---- memory ---- */

static void test_planes(void)
{
    DevMachine *m = machine_new_isa();
    set_mode(m, &planar12);
    seq(m, 2, 0x05); /* planes 0 and 2 */
    w8(m, VGA_WINDOW + 3, 0xa5);
    g_assert_cmphex(r32(m, LINEAR + 12), ==, 0x00a500a5);
    gfx(m, 4, 2);
    g_assert_cmphex(r8(m, VGA_WINDOW + 3), ==, 0xa5);
    gfx(m, 4, 3);
    g_assert_cmphex(r8(m, VGA_WINDOW + 3), ==, 0x00); /* loads the latches */
    seq(m, 2, 0x0f);
    gfx(m, 8, 0x0f); /* bit mask: the high half from the latches */
    w8(m, VGA_WINDOW + 4, 0xff);
    g_assert_cmphex(r32(m, LINEAR + 16), ==, 0x0faf0faf);
    gfx(m, 8, 0xff);
    gfx(m, 3, 0x19); /* xor, rotated right by 1 */
    w8(m, VGA_WINDOW + 5, 0x01);
    g_assert_cmphex(r32(m, LINEAR + 20), ==, 0x80258025);
    gfx(m, 3, 0);
    gfx(m, 1, 0x0c); /* set/reset for planes 2 and 3 */
    gfx(m, 0, 0x04);
    w8(m, VGA_WINDOW + 6, 0x3c);
    g_assert_cmphex(r32(m, LINEAR + 24), ==, 0x00ff3c3c);
    gfx(m, 5, 1); /* mode 1: latches */
    w8(m, VGA_WINDOW + 7, 0x12);
    g_assert_cmphex(r32(m, LINEAR + 28), ==, 0x00a500a5);
    gfx(m, 5, 2); /* mode 2: a colour */
    gfx(m, 8, 0xf0);
    w8(m, VGA_WINDOW + 8, 0x0a);
    g_assert_cmphex(r32(m, LINEAR + 32), ==, 0xf005f005);
    gfx(m, 5, 3); /* mode 3: the byte is a mask for set/reset */
    gfx(m, 8, 0x3f);
    w8(m, VGA_WINDOW + 9, 0xfc);
    g_assert_cmphex(r32(m, LINEAR + 36), ==, 0x00bd0081);
    gfx(m, 5, 8); /* read mode 1 */
    gfx(m, 2, 0x05);
    gfx(m, 7, 0x0f);
    g_assert_cmphex(r8(m, VGA_WINDOW + 3), ==, 0xa5);
    gfx(m, 7, 0x08);
    g_assert_cmphex(r8(m, VGA_WINDOW + 3), ==, 0xff);
    /* outside of what is mapped */
    g_assert_cmphex(r8(m, 0xb0000), ==, 0xff);
    gfx(m, 6, 0x0d);
    g_assert_cmphex(r8(m, 0xa0003), ==, 0xff);
    g_assert_cmphex(r8(m, 0xb8003), ==, 0xff);
    gfx(m, 5, 0);
    gfx(m, 4, 0);
    g_assert_cmphex(r8(m, 0xb8003), ==, 0xa5);
    devm_free(m);
}

static void test_chained(void)
{
    DevMachine *m = machine_new_isa();
    set_mode(m, &mode13);
    w32(m, VGA_WINDOW + 0x100, 0x44332211);
    g_assert_cmphex(r32(m, LINEAR + 0x100), ==, 0x44332211);
    w16(m, LINEAR + 0xfffe, 0xbeef);
    g_assert_cmphex(r16(m, VGA_WINDOW + 0xfffe), ==, 0xbeef);
    g_assert_cmphex(r8(m, VGA_WINDOW + 0x10000), ==, 0xff); /* 64 KiB are there */
    seq(m, 2, 0x0d);                                        /* not to plane 1 */
    w32(m, VGA_WINDOW + 0x100, 0x88776655);
    g_assert_cmphex(r32(m, VGA_WINDOW + 0x100), ==, 0x88772255);
    seq(m, 2, 0x0f);
    seq(m, 4, 0x06); /* mode X: all planes at once */
    w8(m, VGA_WINDOW + 0x40, 0x99);
    g_assert_cmphex(r32(m, LINEAR + 0x100), ==, 0x99999999);
    /* banks */
    seq(m, 4, 0x0e);
    vbe(m, VBE_BANK, 0x1f);
    w32(m, VGA_WINDOW + 0xfffc, 0x12345678);
    g_assert_cmphex(r32(m, LINEAR + 0x1ffffc), ==, 0x12345678);
    vbe(m, VBE_BANK, 0x21); /* there are 32 */
    g_assert_cmphex(vbe_get(m, VBE_BANK), ==, 1);
    devm_free(m);
}

/* ---- text ---- */

static const uint8_t letter[16] = { 0, 0, 0x10, 0x38, 0x6c, 0xc6, 0xc6, 0xfe, 0xc6, 0xc6, 0xc6, 0xc7, 0, 0, 0, 0x81 };

/* As the BIOS loads one: plane 2, addresses one after another. */
static void load_font(DevMachine *m, unsigned map_at, uint8_t code, const uint8_t *rows)
{
    seq(m, 2, 4);
    seq(m, 4, 7);
    gfx(m, 5, 0);
    gfx(m, 6, 4);
    for (unsigned i = 0; i < 16; i++)
        w8(m, VGA_WINDOW + map_at + code * 32 + i, rows[i]);
    seq(m, 2, 3);
    seq(m, 4, 2);
    gfx(m, 5, 0x10);
    gfx(m, 6, 0x0e);
}

static void check_letter(const Surface *s, unsigned x, unsigned y, unsigned ink, unsigned paper, unsigned dots,
                         unsigned wide, bool line_graphics)
{
    for (unsigned row = 0; row < 16; row++) {
        for (unsigned dot = 0; dot < dots * wide; dot++) {
            unsigned d = dot / wide;
            bool on = d < 8 ? letter[row] >> (7 - d) & 1 : line_graphics && letter[row] & 1;
            g_assert_cmphex(pixel(s, x + dot, y + row), ==, colour(on ? ink : paper));
        }
    }
}

static void test_text(void)
{
    DevMachine *m = machine_new_isa();
    set_mode(m, &text80);
    crtc(m, 0x0a, 0x20); /* no cursor */
    load_font(m, 0, 'A', letter);
    load_font(m, 0, 0xc4, letter);
    w16(m, 0xb8000, 0x1f41);     /* bright white (0x3f) on blue (1) */
    w16(m, 0xb8000 + 2, 0x24c4); /* line graphics, red on green */
    w16(m, 0xb8000 + 2 * (24 * 80 + 79), 0x0741);
    const Surface *s = draw(m);
    check_size(s, 720, 400);
    check_letter(s, 0, 0, 0x3f, 1, 9, 1, false);
    check_letter(s, 9, 0, 4, 2, 9, 1, true);
    check_letter(s, 711, 384, 7, 0, 9, 1, false);
    /* start address, panning */
    crtc(m, 0x0d, 1);
    attr(m, 0x13, 2);
    s = draw(m);
    g_assert_cmphex(pixel(s, 0, 15), ==, colour(2)); /* dot 3 of the second character */
    g_assert_cmphex(pixel(s, 4, 15), ==, colour(4)); /* its dot 7 */
    g_assert_cmphex(pixel(s, 5, 15), ==, colour(4)); /* and the ninth */
    g_assert_cmphex(pixel(s, 6, 15), ==, colour(0));
    crtc(m, 0x0d, 0);
    attr(m, 0x13, 8);
    /* split screen: from line 16 on, what is at address 0 */
    crtc(m, 0x18, 15);
    crtc(m, 9, 0x0f);
    crtc(m, 7, 0x0f & ~0x10);
    s = draw(m);
    check_letter(s, 0, 16, 0x3f, 1, 9, 1, false);
    crtc(m, 0x18, 0xff);
    crtc(m, 9, 0x4f);
    crtc(m, 7, 0x1f);
    /* a second font for attribute bit 3 */
    seq(m, 3, 0x04); /* A: map 1 at 0x4000 */
    s = draw(m);
    g_assert_cmphex(pixel(s, 3, 2), ==, colour(1)); /* 0x1f has bit 3: nothing is in that font */
    seq(m, 3, 0x00);
    devm_free(m);
}

/* What a kernel without firmware finds: text mode 3, blank, in the usual colours and with a font where a VGA BIOS is.
 */
static void test_text_at_boot(void)
{
    DevMachine *m = devm_new();
    bool there;
    DEVM_LOCKED(m, there = boot_set_text_mode(&m->machine->memory, &m->machine->io));
    g_assert_false(there);
    devm_free(m);
    m = machine_new_isa();
    DEVM_LOCKED(m, there = boot_set_text_mode(&m->machine->memory, &m->machine->io));
    g_assert_true(there);
    g_assert_cmphex(r16(m, 0xb8000), ==, 0x0720);
    g_assert_cmphex(r16(m, 0xbfffe), ==, 0x0720);
    w16(m, 0xb8000 + 2 * 81, 0x4e20); /* yellow on red, row 1, column 1 */
    w16(m, 0xb8000 + 2 * 82, 0x4edb); /* a block */
    const Surface *s = draw(m);
    check_size(s, 720, 400);
    g_assert_cmphex(pixel(s, 0, 20), ==, 0);
    g_assert_cmphex(pixel(s, 12, 20), ==, 0xaa0000);
    g_autofree char *bios = firmware_find("vgabios-stdvga.bin");
    g_assert_cmphex(pixel(s, 21, 20), ==, bios ? 0xffff55 : 0xaa0000);
    devm_free(m);
}

static void test_text_blink(void)
{
    DevMachine *m = machine_new_isa();
    set_mode(m, &text80);
    load_font(m, 0, 'A', letter);
    w16(m, 0xb8000 + 2, 0x9441); /* blinking red on blue */
    crtc(m, 0x0f, 2);            /* the cursor is on the third */
    w16(m, 0xb8000 + 4, 0x0720);
    const Surface *s = draw(m);
    check_letter(s, 9, 0, 4, 1, 9, 1, false);
    g_assert_cmphex(pixel(s, 18, 13), ==, colour(7));
    g_assert_cmphex(pixel(s, 26, 14), ==, colour(7));
    g_assert_cmphex(pixel(s, 18, 12), ==, colour(0));
    g_assert_cmphex(pixel(s, 18, 15), ==, colour(0));
    g_assert_cmphex(pixel(s, 27, 13), ==, colour(0));
    devm_step(m, 120 * 1000000); /* the cursor blinks faster */
    s = draw(m);
    g_assert_cmphex(pixel(s, 18, 13), ==, colour(0));
    check_letter(s, 9, 0, 4, 1, 9, 1, false);
    devm_step(m, 120 * 1000000);
    s = draw(m);
    g_assert_cmphex(pixel(s, 18, 13), ==, colour(7));
    g_assert_cmphex(pixel(s, 12, 2), ==, colour(1));
    attr(m, 0x10, 0x04); /* no blinking: 16 colours of paper */
    s = draw(m);
    check_letter(s, 9, 0, 4, 0x39, 9, 1, false);
    devm_free(m);
}

static void test_text_40(void)
{
    DevMachine *m = machine_new_isa();
    set_mode(m, &text40);
    crtc(m, 0x0a, 0x20);
    load_font(m, 0, 'A', letter);
    w16(m, 0xb8000 + 2 * 41, 0x0241);
    const Surface *s = draw(m);
    check_size(s, 720, 400);
    check_letter(s, 18, 16, 2, 0, 9, 2, false);
    seq(m, 1, 0x09); /* eight dots */
    s = draw(m);
    check_size(s, 640, 400);
    check_letter(s, 16, 16, 2, 0, 8, 2, false);
    devm_free(m);
}

/* ---- graphics ---- */

static void test_cga(void)
{
    DevMachine *m = machine_new_isa();
    set_mode(m, &cga4);
    w8(m, 0xb8000, 0x1b);               /* colours 0 1 2 3 */
    w8(m, 0xb8000 + 1, 0xe4);           /* 3 2 1 0 */
    w8(m, 0xb8000 + 0x2000 + 79, 0x03); /* the last pixel of the second row */
    static const uint8_t colours[] = { 0x00, 0x13, 0x15, 0x17, 0x17, 0x15, 0x13, 0x00, 0x00 };
    const Surface *s = draw(m);
    check_size(s, 640, 400);
    for (unsigned i = 0; i < sizeof(colours); i++) {
        for (unsigned y = 0; y < 2; y++) {
            g_assert_cmphex(pixel(s, 2 * i, y), ==, colour(colours[i]));
            g_assert_cmphex(pixel(s, 2 * i + 1, y), ==, colour(colours[i]));
        }
    }
    g_assert_cmphex(pixel(s, 638, 0), ==, colour(0));
    g_assert_cmphex(pixel(s, 638, 2), ==, colour(0x17));
    g_assert_cmphex(pixel(s, 639, 3), ==, colour(0x17));
    g_assert_cmphex(pixel(s, 639, 4), ==, colour(0));
    devm_free(m);
}

static void test_planar(void)
{
    DevMachine *m = machine_new_isa();
    set_mode(m, &planar12);
    for (unsigned i = 0; i < 16; i++) { /* pixel i of row 479 has colour i */
        gfx(m, 5, 2);
        gfx(m, 8, 0x80 >> (i & 7));
        r8(m, VGA_WINDOW + 479 * 80 + i / 8);
        w8(m, VGA_WINDOW + 479 * 80 + i / 8, i);
    }
    const Surface *s = draw(m);
    check_size(s, 640, 480);
    for (unsigned i = 0; i < 16; i++)
        g_assert_cmphex(pixel(s, i, 479), ==, colour(planar12.attr[i]));
    attr(m, 0x12, 0x03); /* two planes are shown */
    attr(m, 0x13, 3);    /* three pixels to the left */
    s = draw(m);
    for (unsigned i = 3; i < 16; i++)
        g_assert_cmphex(pixel(s, i - 3, 479), ==, colour(planar12.attr[i & 3]));
    attr(m, 0x14, 0x04); /* bits 6 and 7 of the palette's index */
    s = draw(m);
    g_assert_cmphex(pixel(s, 0, 479), ==, colour(0x43));
    attr(m, 0x10, 0x81); /* and 4 and 5 */
    attr(m, 0x14, 0x06);
    s = draw(m);
    g_assert_cmphex(pixel(s, 0, 479), ==, colour(0x63));
    in(m, 0x3da, 1);
    out(m, 0x3c0, 1, 0x00); /* the screen goes off */
    s = draw(m);
    check_size(s, 640, 480);
    g_assert_cmphex(pixel(s, 0, 479), ==, 0);
    devm_free(m);
}

static void test_mode13(void)
{
    DevMachine *m = machine_new_isa();
    set_mode(m, &mode13);
    for (unsigned i = 0; i < 320; i++)
        w8(m, VGA_WINDOW + 199 * 320 + i, i * 7);
    const Surface *s = draw(m);
    check_size(s, 640, 400);
    for (unsigned x = 0; x < 640; x++) {
        g_assert_cmphex(pixel(s, x, 398), ==, colour(x / 2 * 7 & 255));
        g_assert_cmphex(pixel(s, x, 399), ==, colour(x / 2 * 7 & 255));
        g_assert_cmphex(pixel(s, x, 397), ==, colour(0));
    }
    out(m, 0x3c6, 1, 0x0f);
    s = draw(m);
    g_assert_cmphex(pixel(s, 639, 399), ==, colour(319 * 7 & 15));
    out(m, 0x3c6, 1, 0xff);
    /* mode X: byte addresses, a page at 0x4b00 */
    seq(m, 4, 0x06);
    crtc(m, 0x14, 0x00);
    crtc(m, 0x11, 0x00);
    crtc(m, 0x17, 0xe3);
    crtc(m, 0x0c, 0x4b);
    seq(m, 2, 0x04);
    w8(m, VGA_WINDOW + 0x4b00 + 80, 77);
    s = draw(m);
    g_assert_cmphex(pixel(s, 4, 2), ==, colour(77));
    g_assert_cmphex(pixel(s, 3, 2), ==, colour(0));
    g_assert_cmphex(pixel(s, 6, 2), ==, colour(0));
    devm_free(m);
}

/* ---- the Bochs interface ---- */

static void set_vbe(DevMachine *m, unsigned width, unsigned height, unsigned bits)
{
    vbe(m, VBE_ENABLE, 0);
    vbe(m, VBE_XRES, width);
    vbe(m, VBE_YRES, height);
    vbe(m, VBE_BPP, bits);
    vbe(m, VBE_ENABLE, VBE_ENABLED | VBE_LFB);
}

static void test_linear(void)
{
    DevMachine *m = machine_new_isa();
    static const struct {
        unsigned bits, bytes;
        uint32_t value, colour;
    } depths[] = { { 32, 4, 0xff123456, 0x123456 },
                   { 24, 3, 0x00abcdef, 0xabcdef },
                   { 16, 2, 0xfc1f, 0xff82ff },
                   { 15, 2, 0x7e1f, 0xff84ff } };
    set_mode(m, &text80);
    g_assert_cmphex(vbe_get(m, VBE_ID), ==, 0xb0c5);
    g_assert_cmphex(vbe_get(m, VBE_VIDEO_MEMORY_64K), ==, 32);
    vbe(m, VBE_ENABLE, VBE_GETCAPS);
    g_assert_cmpuint(vbe_get(m, VBE_XRES), ==, 16000);
    g_assert_cmpuint(vbe_get(m, VBE_YRES), ==, 12000);
    g_assert_cmpuint(vbe_get(m, VBE_BPP), ==, 32);
    w32(m, LINEAR, 0xffffffff);
    for (unsigned i = 0; i < G_N_ELEMENTS(depths); i++) {
        unsigned bytes = depths[i].bytes, at = (300 * 640 + 17) * bytes;
        set_vbe(m, 640, 480, depths[i].bits);
        g_assert_cmphex(r32(m, LINEAR), ==, 0); /* cleared */
        for (unsigned b = 0; b < bytes; b++)
            w8(m, LINEAR + at + b, depths[i].value >> (8 * b));
        const Surface *s = draw(m);
        check_size(s, 640, 480);
        g_assert_cmphex(pixel(s, 17, 300), ==, depths[i].colour);
        g_assert_cmphex(pixel(s, 18, 300), ==, 0);
        vbe(m, VBE_X_OFFSET, 7);
        g_assert_cmpuint(vbe_get(m, VBE_X_OFFSET), ==, 0); /* as wide as it is */
        vbe(m, VBE_VIRT_WIDTH, 648);
        vbe(m, VBE_X_OFFSET, 7);
        vbe(m, VBE_Y_OFFSET, 1);
        s = draw(m);
        unsigned n = 300 * 640 + 17;
        g_assert_cmphex(pixel(s, n % 648 - 7, n / 648 - 1), ==, depths[i].colour);
    }
    /* 8 bits, through the palette, of 8 bits if wanted */
    set_vbe(m, 640, 480, 8);
    w8(m, LINEAR + 640, 200);
    const Surface *s = draw(m);
    g_assert_cmphex(pixel(s, 0, 1), ==, colour(200));
    vbe(m, VBE_ENABLE, VBE_ENABLED | VBE_LFB | VBE_8BIT_DAC);
    palette(m, 200, 0xfe, 0xdc, 0xba);
    s = draw(m);
    g_assert_cmphex(pixel(s, 0, 1), ==, 0xfedcba);
    /* the bank shows the same memory */
    vbe(m, VBE_BANK, 1);
    w8(m, VGA_WINDOW + 5, 0x5a);
    g_assert_cmphex(r8(m, LINEAR + 0x10005), ==, 0x5a);
    /* 4 bits: planes */
    set_vbe(m, 800, 600, 4);
    seq(m, 2, 0x06);
    w8(m, VGA_WINDOW + 599 * 100 + 99, 0x01);
    s = draw(m);
    check_size(s, 800, 600);
    g_assert_cmphex(pixel(s, 799, 599), ==, colour(0x14) & 0x00ffffff);
    vbe(m, VBE_ENABLE, 0);
    check_size(draw(m), 640, 400); /* it has left graphics behind */
    devm_free(m);
}

static void test_too_large(void)
{
    DevMachine *m = machine_new_isa();
    set_mode(m, &text80);
    set_vbe(m, 0, 0, 77);
    g_assert_cmpuint(vbe_get(m, VBE_XRES), ==, 8);
    g_assert_cmpuint(vbe_get(m, VBE_YRES), ==, 1);
    g_assert_cmpuint(vbe_get(m, VBE_BPP), ==, 8);
    check_size(draw(m), 8, 1);
    set_vbe(m, 0xffff, 0xffff, 32);
    g_assert_cmpuint(vbe_get(m, VBE_XRES), ==, 16000);
    g_assert_cmpuint(vbe_get(m, VBE_YRES), ==, (2 << 20) / 64000);
    vbe(m, VBE_Y_OFFSET, 0xffff);
    g_assert_cmpuint(vbe_get(m, VBE_Y_OFFSET), ==, 0);
    check_size(draw(m), 16000, 32);
    devm_free(m);
}

/* Any values in all registers, drawn: nothing outside of video memory is read (ASan), nothing takes long. */
static void test_any_mode(void)
{
    static const uint16_t ports[] = { 0x3c4, 0x3ce, 0x3d4, 0x3b4 };
    DevMachine *m = machine_new_isa();
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    set_mode(m, &text80);
    for (unsigned i = 0; i < 300; i++) {
        for (unsigned n = 0; n < 40; n++) {
            unsigned value = g_rand_int(rand);
            switch (g_rand_int_range(rand, 0, 8)) {
            case 0:
                attr(m, value & 31, value >> 8);
                break;
            case 1:
                vbe(m, value & 15, value >> (8 + (value >> 28)));
                break;
            case 2:
                vbe(m, VBE_ENABLE, value & 3);
                break;
            case 3:
                out(m, 0x3c2, 1, value | 3);
                break;
            default:
                out(m, ports[value >> 28 & 3], 2, (value & 31) | (value & 0xff00));
                break;
            }
            w32(m, VGA_WINDOW + (value & 0x1fffc), value);
            r32(m, VGA_WINDOW + (value >> 8 & 0x1fffc));
        }
        in(m, 0x3da, 1);
        draw(m);
    }
    devm_free(m);
}

/* ---- listeners and pictures ---- */

typedef struct Watcher {
    ConsoleListener listener;
    unsigned resized, updated, x, y, width, height;
} Watcher;

static void watch_resized(ConsoleListener *listener, const Surface *s)
{
    ((Watcher *)listener)->resized++;
}

static void watch_updated(ConsoleListener *listener, const Surface *s, unsigned x, unsigned y, unsigned width,
                          unsigned height)
{
    Watcher *w = (Watcher *)listener;
    w->updated++;
    w->x = x;
    w->y = y;
    w->width = width;
    w->height = height;
}

static void test_listener(void)
{
    DevMachine *m = machine_new_isa();
    Watcher w = { .listener = { watch_resized, watch_updated } };
    Console *console = console_find(m->machine, NULL, NULL);
    set_mode(m, &text80);
    set_vbe(m, 640, 480, 32);
    draw(m);
    DEVM_LOCKED(m, console_add_listener(console, &w.listener));
    g_assert_cmpuint(w.resized, ==, 1);
    g_assert_cmpuint(w.updated, ==, 1);
    g_assert_cmpuint(w.width * w.height, ==, 640 * 480);
    draw(m);
    g_assert_cmpuint(w.updated, ==, 1); /* nothing has changed */
    w32(m, LINEAR + (100 * 640 + 50) * 4, 0x123456);
    w32(m, LINEAR + (101 * 640 + 60) * 4, 0x123456);
    draw(m);
    g_assert_cmpuint(w.updated, ==, 2);
    g_assert_cmpuint(w.x, ==, 50);
    g_assert_cmpuint(w.y, ==, 100);
    g_assert_cmpuint(w.width, ==, 11);
    g_assert_cmpuint(w.height, ==, 2);
    w32(m, LINEAR, 0x123456);
    w32(m, LINEAR + (479 * 640 + 639) * 4, 0xff000001);
    draw(m); /* two rectangles */
    g_assert_cmpuint(w.updated, ==, 4);
    g_assert_cmpuint(w.x, ==, 639);
    g_assert_cmpuint(w.y, ==, 479);
    set_vbe(m, 800, 600, 32);
    draw(m);
    g_assert_cmpuint(w.resized, ==, 2);
    DEVM_LOCKED(m, console_del_listener(console, &w.listener));
    devm_free(m);
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

static uint8_t paeth(int a, int b, int c)
{
    int p = a + b - c, pa = ABS(p - a), pb = ABS(p - b), pc = ABS(p - c);
    return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

/* A decoder of its own (ISO 15948, 8-bit RGB): pixels as 0xRRGGBB. */
static uint32_t *decode_png(const uint8_t *data, size_t len, unsigned *width, unsigned *height)
{
    g_autoptr(GByteArray) packed = g_byte_array_new();
    g_assert_cmpmem(data, 8, "\x89PNG\r\n\x1a\n", 8);
    for (size_t at = 8; at + 12 <= len; at += 12 + be32(data + at)) {
        uint32_t n = be32(data + at);
        g_assert_cmpuint(at + 12 + n, <=, len);
        g_assert_cmphex(be32(data + at + 8 + n), ==, crc32(0, data + at + 4, n + 4));
        if (!memcmp(data + at + 4, "IHDR", 4)) {
            *width = be32(data + at + 8);
            *height = be32(data + at + 12);
            g_assert_cmpmem(data + at + 16, 5, "\x08\x02\0\0\0", 5);
        } else if (!memcmp(data + at + 4, "IDAT", 4)) {
            g_byte_array_append(packed, data + at + 8, n);
        }
    }
    unsigned row = *width * 3;
    uLongf size = (row + 1) * *height;
    g_autofree uint8_t *raw = g_malloc(size);
    g_assert_cmpint(uncompress(raw, &size, packed->data, packed->len), ==, Z_OK);
    g_assert_cmpuint(size, ==, (row + 1) * *height);
    uint32_t *pixels = g_new(uint32_t, *width * *height);
    for (unsigned y = 0; y < *height; y++) {
        uint8_t *line = raw + y * (row + 1) + 1, *above = y ? line - row - 1 : NULL;
        for (unsigned i = 0; i < row; i++) {
            unsigned a = i >= 3 ? line[i - 3] : 0, b = above ? above[i] : 0, c = above && i >= 3 ? above[i - 3] : 0;
            const uint8_t add[] = { 0, a, b, (a + b) / 2, paeth(a, b, c) };
            g_assert_cmpuint(line[-1], <, 5);
            line[i] += add[line[-1]];
        }
        for (unsigned x = 0; x < *width; x++)
            pixels[y * *width + x] = line[3 * x] << 16 | line[3 * x + 1] << 8 | line[3 * x + 2];
    }
    return pixels;
}

static void test_pictures(void)
{
    DevMachine *m = machine_new_isa();
    g_autofree char *path = g_strdup_printf("%s/rhea-picture-%d", g_get_tmp_dir(), getpid()), *data = NULL;
    g_autoptr(GError) err = NULL;
    gsize len;
    unsigned width = 0, height = 0;
    set_mode(m, &text80);
    set_vbe(m, 328, 200, 32);
    for (unsigned i = 0; i < 328 * 200; i++)
        w32(m, LINEAR + 4 * i, i * 2654435761u);
    const Surface *s = draw(m);
    g_assert_false(image_write(s, path, "gif", &err));
    g_assert_nonnull(strstr(err->message, "ppm"));
    g_clear_error(&err);
    g_assert_false(image_write(s, "/no/such/folder/x.png", "png", &err));
    g_assert_nonnull(strstr(err->message, "/no/such/folder/x.png"));
    g_clear_error(&err);
    g_assert_true(image_write(s, path, "png", &err));
    g_assert_true(g_file_get_contents(path, &data, &len, NULL));
    g_autofree uint32_t *pixels = decode_png((uint8_t *)data, len, &width, &height);
    g_assert_cmpmem(pixels, (size_t)width * height * 4, s->pixels, (size_t)328 * 200 * 4);
    g_free(data);
    g_assert_true(image_write(s, path, NULL, &err));
    g_assert_true(g_file_get_contents(path, &data, &len, NULL));
    g_assert_cmpuint(len, ==, 15 + 328 * 200 * 3);
    g_assert_cmpmem(data, 15, "P6\n328 200\n255\n", 15);
    for (unsigned i = 0; i < 328 * 200; i++) {
        const uint8_t *p = (uint8_t *)data + 15 + 3 * i;
        g_assert_cmphex((uint32_t)p[0] << 16 | p[1] << 8 | p[2], ==, s->pixels[i]);
    }
    unlink(path);
    devm_free(m);
}

/* What the chained window shows follows from the registers when they are loaded. */
static void test_state(void)
{
    GError *err = NULL;
    DevMachine *m = machine_new_isa();
    DevMachine *n = machine_new_isa();
    set_mode(m, &mode13);
    vbe(m, VBE_BANK, 2);
    Device *from = console_owner(console_find(m->machine, NULL, NULL)),
           *to = console_owner(console_find(n->machine, NULL, NULL));
    g_autoptr(GByteArray) state = device_save(from);
    DEVM_LOCKED(n, device_load(to, state->data, state->len, &err));
    g_assert_no_error(err);
    w32(n, LINEAR + 0x20010, 0xcafe1234);
    g_assert_cmphex(r32(n, VGA_WINDOW + 0x10), ==, 0xcafe1234);
    devm_reset(n);
    g_assert_cmphex(r32(n, VGA_WINDOW + 0x10), ==, UINT32_MAX);
    devm_free(m);
    devm_free(n);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vga/registers", test_registers);
    g_test_add_func("/vga/retrace", test_retrace);
    g_test_add_func("/vga/planes", test_planes);
    g_test_add_func("/vga/chained", test_chained);
    g_test_add_func("/vga/text", test_text);
    g_test_add_func("/vga/text-at-boot", test_text_at_boot);
    g_test_add_func("/vga/text-blink", test_text_blink);
    g_test_add_func("/vga/text-40", test_text_40);
    g_test_add_func("/vga/cga", test_cga);
    g_test_add_func("/vga/planar", test_planar);
    g_test_add_func("/vga/mode-13h", test_mode13);
    g_test_add_func("/vga/linear", test_linear);
    g_test_add_func("/vga/too-large", test_too_large);
    g_test_add_func("/vga/any-mode", test_any_mode);
    g_test_add_func("/vga/listener", test_listener);
    g_test_add_func("/vga/pictures", test_pictures);
    g_test_add_func("/vga/state", test_state);
    return g_test_run();
}
