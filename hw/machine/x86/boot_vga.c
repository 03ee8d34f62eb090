/*
 * The screen of a PC that starts a kernel without firmware: text mode 3 (80 columns, 25 rows, 16 colours, 9x16
 * characters), as a VGA BIOS sets it (IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem"), through the
 * adapter's ports and memory. The font is that of the adapter's BIOS, which is never run.
 * SPDX-License-Identifier: MIT
 */
#include "hw/firmware/loader.h"
#include "hw/machine/x86/boot.h"
#include <string.h>

#define VGA_BIOS "vgabios-stdvga.bin"
enum { ATTRIBUTE = 0x3c0, MISC = 0x3c2, SEQUENCER = 0x3c4, DAC_INDEX = 0x3c8, DAC_DATA = 0x3c9, GRAPHICS = 0x3ce };
enum { MISC_READ = 0x3cc, CRTC = 0x3d4, STATUS = 0x3da };
enum { PLANES = 0xa0000, TEXT = 0xb8000, TEXT_BYTES = 0x8000, ATTRIBUTE_ON = 0x20 };
enum { GLYPHS = 256, GLYPH_ROWS = 16, GLYPH_SLOT = 32, BLANK = 0x20, FULL_BLOCK = 0xdb, LOWER_HALF = 0xdc };
enum { MISC_MODE_3 = 0x67 }; /* colour addresses, memory on, 28 MHz, 400 lines */

static const uint8_t crtc[] = { 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00,
                                0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff };
static const uint8_t attributes[] = { 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a,
                                      0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00 };
/* Characters in plane 0, attributes in plane 1; planes 2 in a row, for the font. */
static const uint8_t sequencer_text[] = { 0x03, 0x00, 0x03, 0x00, 0x02 },
                     sequencer_font[] = { 0x03, 0x00, 0x04, 0x00, 0x06 };
static const uint8_t graphics_text[] = { 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x0f, 0xff },
                     graphics_font[] = { 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x04, 0x0f, 0xff };

static void out(AddressSpace *io, uint16_t port, uint8_t value)
{
    as_store(io, port, 1, value);
}

static void out_table(AddressSpace *io, uint16_t port, const uint8_t *values, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        out(io, port, i);
        out(io, port + 1, values[i]);
    }
}

/* A colour is rgbRGB: bits of one third and two thirds of full brightness. */
static void set_palette(AddressSpace *io)
{
    out(io, DAC_INDEX, 0);
    for (unsigned colour = 0; colour < 64; colour++) {
        for (int bit = 2; bit >= 0; bit--)
            out(io, DAC_DATA, (colour >> bit & 1) * 0x2a + (colour >> (bit + 3) & 1) * 0x15);
    }
}

static void set_attributes(AddressSpace *io)
{
    uint64_t status;
    as_load(io, STATUS, 1, &status); /* the next write is an index */
    for (unsigned i = 0; i < sizeof(attributes); i++) {
        out(io, ATTRIBUTE, i);
        out(io, ATTRIBUTE, attributes[i]);
    }
    out(io, ATTRIBUTE, ATTRIBUTE_ON);
}

static bool rows_are(const uint8_t *font, unsigned glyph, unsigned from, unsigned to, uint8_t value)
{
    for (unsigned row = from; row < to; row++) {
        if (font[glyph * GLYPH_ROWS + row] != value)
            return false;
    }
    return true;
}

/* Where in a VGA BIOS its font of 16 rows is: code page 437 has blanks at both ends, and blocks. NULL: nowhere. */
static const uint8_t *find_font(const uint8_t *rom, uint64_t size)
{
    for (uint64_t at = 0; at + GLYPHS * GLYPH_ROWS <= size; at++) {
        const uint8_t *font = rom + at;
        if (rows_are(font, FULL_BLOCK, 0, GLYPH_ROWS, 0xff) && rows_are(font, LOWER_HALF, 0, 7, 0) &&
            rows_are(font, LOWER_HALF, 8, GLYPH_ROWS, 0xff) && rows_are(font, BLANK, 0, GLYPH_ROWS, 0) &&
            rows_are(font, 0, 0, GLYPH_ROWS, 0) && rows_are(font, GLYPHS - 1, 0, GLYPH_ROWS, 0))
            return font;
    }
    return NULL;
}

static void put_font(AddressSpace *memory, AddressSpace *io)
{
    uint64_t size;
    uint8_t slots[GLYPHS * GLYPH_SLOT] = { 0 };
    g_autofree char *path = firmware_find(VGA_BIOS);
    g_autofree uint8_t *rom = path ? read_whole_file("VGA BIOS", path, &size, NULL) : NULL;
    const uint8_t *font = rom ? find_font(rom, size) : NULL;
    if (!font)
        return; /* a driver that draws its own characters needs none */
    for (unsigned i = 0; i < GLYPHS; i++)
        memcpy(slots + i * GLYPH_SLOT, font + i * GLYPH_ROWS, GLYPH_ROWS);
    out_table(io, SEQUENCER, sequencer_font, sizeof(sequencer_font));
    out_table(io, GRAPHICS, graphics_font, sizeof(graphics_font));
    as_write(memory, PLANES, slots, sizeof(slots));
}

static void clear_text(AddressSpace *memory)
{
    g_autofree uint8_t *cells = g_malloc(TEXT_BYTES);
    for (unsigned i = 0; i < TEXT_BYTES; i += 2) {
        cells[i] = ' ';
        cells[i + 1] = 0x07;
    }
    as_write(memory, TEXT, cells, TEXT_BYTES);
}

bool boot_set_text_mode(AddressSpace *memory, AddressSpace *io)
{
    uint64_t misc = 0;
    out(io, MISC, MISC_MODE_3);
    as_load(io, MISC_READ, 1, &misc);
    if (misc != MISC_MODE_3)
        return false;    /* no adapter answers */
    out(io, CRTC, 0x11); /* its bit 7 protects the first eight */
    out(io, CRTC + 1, 0);
    out_table(io, CRTC, crtc, sizeof(crtc));
    set_palette(io);
    put_font(memory, io);
    out_table(io, SEQUENCER, sequencer_text, sizeof(sequencer_text));
    out_table(io, GRAPHICS, graphics_text, sizeof(graphics_text));
    clear_text(memory);
    set_attributes(io);
    return true;
}
