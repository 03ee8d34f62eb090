/*
 * VGA: from memory to pixels, row by row as the CRT controller counts (IBM PS/2 Hardware Interface Technical Reference,
 * "Video Subsystem"; FreeVGA), and the linear modes of the Bochs interface.
 *
 * Pixels are those of the monitor: 640 x 400 for mode 13h, 720 x 400 for text. Every register may have any value:
 * counters wrap within the planes, and what lies behind the end of video memory is black.
 * SPDX-License-Identifier: MIT
 */
#include "hw/core/ram_access.h"
#include "hw/display/vga.h"
#include <string.h>

enum { SEQ_CLOCK = 1, SEQ_FONTS = 3, CLOCK_8_DOTS = 1, CLOCK_HALF = 8, CLOCK_SCREEN_OFF = 0x20 };
enum { GFX_MODE = 5, GFX_MISC = 6, MISC_GRAPHICS = 1 };
enum {
    CRTC_WIDTH = 1,
    CRTC_OVERFLOW = 7,
    CRTC_ROW_SCAN = 8,
    CRTC_MAX_SCAN = 9,
    CRTC_CURSOR_START = 0x0a,
    CRTC_CURSOR_END = 0x0b,
    CRTC_START_HIGH = 0x0c,
    CRTC_START_LOW = 0x0d,
    CRTC_CURSOR_HIGH = 0x0e,
    CRTC_CURSOR_LOW = 0x0f,
    CRTC_HEIGHT = 0x12,
    CRTC_PITCH = 0x13,
    CRTC_UNDERLINE = 0x14,
    CRTC_MODE = 0x17,
    CRTC_LINE_COMPARE = 0x18
};
enum { CURSOR_OFF = 0x20, MAX_SCAN_DOUBLE = 0x80, UNDERLINE_DWORD = 0x40 };
enum { CRTC_MODE_NOT_CGA = 1, CRTC_MODE_NOT_HERCULES = 2, CRTC_MODE_BYTE = 0x40 };
enum { ATTR_MODE = 0x10, ATTR_PLANES = 0x12, ATTR_PAN = 0x13, ATTR_SELECT = 0x14, ATTR_SCREEN_ON = 0x20 };
enum { ATTR_LINE_GRAPHICS = 4, ATTR_BLINK = 8, ATTR_PAN_ABOVE = 0x20, ATTR_SELECT_ALL = 0x80 };
enum { SHIFT_PLANAR, SHIFT_CGA, SHIFT_256 };

#define CURSOR_BLINK_NS 228571424 /* 16 frames of 70 Hz */
#define TEXT_BLINK_NS   457142848

/* All that stays the same from the first to the last row. */
typedef struct Screen {
    Vga *vga;
    const uint8_t *vram;
    uint32_t mask;                /* of addresses in a plane */
    unsigned chars, lines, pitch; /* pitch: characters from one row of them to the next */
    unsigned dots;                /* of a character */
    unsigned wide;                /* pixels of a dot: 1 or 2 */
    bool text, cursor_on, text_on;
    unsigned shift;
    uint32_t colours[256]; /* pixels of what memory says: 16 or 256 */
    uint32_t font[2];      /* addresses in plane 2 */
    uint32_t cursor;
} Screen;

/* What the console shows, and what has been written to video memory since. */
typedef struct VgaDrawn {
    bool known; /* registers and vbe are what it was drawn with */
    bool all;   /* draw each row, not those whose memory was written */
    bool cursor_on, text_on;
    unsigned width, height;
    struct VgaRegisters registers;
    uint16_t vbe[VBE_REGS];
    uint64_t first; /* page of dirty[0] */
    uint8_t dirty[((uint64_t)512 << 20) >> RAM_PAGE_BITS];
} VgaDrawn;

/* A row of pixels that is being drawn. */
typedef struct Row {
    uint32_t address; /* of its first character */
    unsigned scan;    /* row in the characters */
    unsigned pan;     /* dots that are left out on the left */
} Row;

/* ---- colours ---- */

static uint32_t dac_colour(const Vga *vga, unsigned index)
{
    const uint8_t *c = &vga->s.palette[(index & vga->s.pel_mask) * 3];
    uint32_t colour = 0;
    for (unsigned i = 0; i < 3; i++)
        colour = colour << 8 | (vga->vbe[VBE_ENABLE] & VBE_8BIT_DAC ? c[i] : (c[i] & 0x3f) << 2 | (c[i] >> 4 & 3));
    return colour;
}

static uint32_t attribute_colour(const Vga *vga, unsigned index)
{
    const uint8_t *attr = vga->s.attr;
    unsigned value = attr[index & attr[ATTR_PLANES]], high = attr[ATTR_SELECT];
    if (attr[ATTR_MODE] & ATTR_SELECT_ALL)
        return dac_colour(vga, (value & 0x0f) | (high & 0x0f) << 4);
    return dac_colour(vga, (value & 0x3f) | (high & 0x0c) << 4);
}

static void make_colours(Screen *s)
{
    bool all = !s->text && s->shift == SHIFT_256;
    for (unsigned i = 0; i < (all ? 256 : 16); i++)
        s->colours[i] = all ? dac_colour(s->vga, i) : attribute_colour(s->vga, i);
}

/* ---- text ---- */

static uint8_t plane_byte(const Screen *s, uint32_t address, unsigned plane)
{
    return s->vram[(size_t)(address & s->mask) * 4 + plane];
}

static uint32_t *put_dot(uint32_t *out, uint32_t colour, unsigned wide)
{
    for (unsigned i = 0; i < wide; i++)
        *out++ = colour;
    return out;
}

static bool has_cursor(const Screen *s, uint32_t address, unsigned scan)
{
    const uint8_t *crtc = s->vga->s.crtc;
    return s->cursor_on && (address & s->mask) == s->cursor && scan >= (crtc[CRTC_CURSOR_START] & 0x1f) &&
           scan <= (crtc[CRTC_CURSOR_END] & 0x1f);
}

static uint32_t *draw_character(const Screen *s, uint32_t address, unsigned scan, uint32_t *out)
{
    const Vga *vga = s->vga;
    uint8_t code = plane_byte(s, address, 0), attribute = plane_byte(s, address, 1);
    uint8_t mode = vga->s.attr[ATTR_MODE];
    unsigned ink = attribute & 0x0f, paper = attribute >> 4;
    unsigned bits = plane_byte(s, s->font[attribute >> 3 & 1] + code * 32 + scan, 2);
    if (mode & ATTR_BLINK) {
        paper &= 7;
        bits = attribute & 0x80 && !s->text_on ? 0 : bits;
    }
    if ((attribute & 0x77) == 1 && scan == (vga->s.crtc[CRTC_UNDERLINE] & 0x1f))
        bits = 0xff;
    /* the ninth dot: paper, but the line graphics of code page 437 go on to the right */
    bits = bits << 1 | (mode & ATTR_LINE_GRAPHICS && code >= 0xc0 && code <= 0xdf ? bits & 1 : 0);
    if (has_cursor(s, address, scan))
        bits = 0x1ff;
    for (unsigned i = 0; i < s->dots; i++)
        out = put_dot(out, s->colours[bits >> (8 - i) & 1 ? ink : paper], s->wide);
    return out;
}

/* ---- graphics ---- */

/* Two bits of CRTC_MODE put rows of a character into different parts of memory, as the CGA and Hercules cards had them.
 */
static uint32_t graphics_address(const Screen *s, uint32_t address, unsigned scan)
{
    const uint8_t *crtc = s->vga->s.crtc;
    unsigned bit = crtc[CRTC_UNDERLINE] & UNDERLINE_DWORD ? 11 : crtc[CRTC_MODE] & CRTC_MODE_BYTE ? 13 : 12;
    if (!(crtc[CRTC_MODE] & CRTC_MODE_NOT_CGA))
        address = (address & ~(1u << bit)) | (scan & 1) << bit;
    if (!(crtc[CRTC_MODE] & CRTC_MODE_NOT_HERCULES))
        address = (address & ~(2u << bit)) | (scan & 2) << bit;
    return address;
}

/* What eight dots of one clock show; returns behind them. */
static uint32_t *draw_dots(const Screen *s, uint32_t address, unsigned scan, uint32_t *out)
{
    address = graphics_address(s, address, scan) & s->mask;
    const uint8_t *planes = s->vram + (size_t)address * 4;
    for (unsigned i = 0; i < 8; i++) {
        unsigned colour = 0, pair = i / 4, low = 6 - 2 * (i & 3);
        switch (s->shift) {
        case SHIFT_PLANAR:
            for (unsigned plane = 0; plane < 4; plane++)
                colour |= (planes[plane] >> (7 - i) & 1) << plane;
            break;
        case SHIFT_CGA:
            colour = (planes[pair] >> low & 3) | (planes[pair + 2] >> low & 3) << 2;
            break;
        default:
            colour = planes[i / 2];
            break;
        }
        out = put_dot(out, s->colours[colour], s->wide);
    }
    return out;
}

/* ---- rows ---- */

static void draw_row(const Screen *s, const Row *row, unsigned y)
{
    uint32_t *out = s->vga->line;
    for (unsigned i = 0; i <= s->chars; i++) /* one more, for what panning leaves out */
        out = s->text ? draw_character(s, row->address + i, row->scan, out)
                      : draw_dots(s, row->address + i, row->scan, out);
    console_put_row(s->vga->console, y, s->vga->line + row->pan * s->wide);
}

static unsigned panning(const Screen *s)
{
    unsigned pan = s->vga->s.attr[ATTR_PAN] & 0x0f;
    if (s->dots == 9)
        return pan >= 8 ? 0 : pan + 1;
    return pan & 7;
}

static unsigned line_compare(const uint8_t *crtc)
{
    return crtc[CRTC_LINE_COMPARE] | (crtc[CRTC_OVERFLOW] & 0x10) << 4 | (crtc[CRTC_MAX_SCAN] & 0x40) << 3;
}

static void draw_rows(const Screen *s, Row row)
{
    const uint8_t *crtc = s->vga->s.crtc;
    bool planar_vbe = vga_vbe_enabled(s->vga);
    unsigned last_scan = planar_vbe ? 0 : crtc[CRTC_MAX_SCAN] & 0x1f,
             split = planar_vbe ? UINT_MAX : line_compare(crtc);
    bool twice = !planar_vbe && crtc[CRTC_MAX_SCAN] & MAX_SCAN_DOUBLE;
    for (unsigned y = 0; y < s->lines; y++) {
        draw_row(s, &row, y);
        if (y == split) {
            row.address = row.scan = 0;
            if (s->vga->s.attr[ATTR_MODE] & ATTR_PAN_ABOVE)
                row.pan = 0;
            continue;
        }
        if (twice && !(y & 1))
            continue;
        if (row.scan++ == last_scan) {
            row.scan = 0;
            row.address += s->pitch;
        }
        row.scan &= 0x1f;
    }
}

/* ---- what the registers say ---- */

static uint32_t font_address(unsigned map)
{
    return (map & 3) * 0x4000 + (map & 4 ? 0x2000 : 0);
}

static bool phase(const Vga *vga, int64_t period)
{
    return clock_now(vga->dev->machine->clocks, CLOCK_VIRTUAL_NS) % period < period / 2;
}

static void text_screen(Screen *s)
{
    const Vga *vga = s->vga;
    const uint8_t *crtc = vga->s.crtc;
    unsigned fonts = vga->s.seq[SEQ_FONTS];
    s->font[1] = font_address((fonts >> 2 & 3) | (fonts >> 3 & 4));
    s->font[0] = font_address((fonts & 3) | (fonts >> 2 & 4));
    s->cursor = (crtc[CRTC_CURSOR_HIGH] << 8 | crtc[CRTC_CURSOR_LOW]) & s->mask;
    s->cursor_on = !(crtc[CRTC_CURSOR_START] & CURSOR_OFF) && vga->drawn->cursor_on;
    s->text_on = vga->drawn->text_on;
}

static void crtc_screen(Screen *s, Row *row)
{
    const uint8_t *crtc = s->vga->s.crtc, *seq = s->vga->s.seq;
    s->mask = 0xffff;
    s->chars = crtc[CRTC_WIDTH] + 1;
    s->lines = (crtc[CRTC_HEIGHT] | (crtc[CRTC_OVERFLOW] & 2) << 7 | (crtc[CRTC_OVERFLOW] & 0x40) << 3) + 1;
    s->pitch = crtc[CRTC_PITCH] * 2;
    s->text = !(s->vga->s.gfx[GFX_MISC] & MISC_GRAPHICS);
    s->dots = s->text && !(seq[SEQ_CLOCK] & CLOCK_8_DOTS) ? 9 : 8;
    s->wide = seq[SEQ_CLOCK] & CLOCK_HALF ? 2 : 1;
    row->address = (crtc[CRTC_START_HIGH] << 8 | crtc[CRTC_START_LOW]) + (crtc[CRTC_ROW_SCAN] >> 5 & 3);
    row->scan = crtc[CRTC_ROW_SCAN] & 0x1f;
    row->pan = panning(s);
    if (s->text)
        text_screen(s);
}

static void planar_vbe_screen(Screen *s, Row *row)
{
    const uint16_t *vbe = s->vga->vbe;
    unsigned first = (unsigned)vbe[VBE_Y_OFFSET] * vbe[VBE_VIRT_WIDTH] + vbe[VBE_X_OFFSET];
    s->mask = s->vga->vram.size / 4 - 1;
    s->chars = vbe[VBE_XRES] / 8;
    s->lines = vbe[VBE_YRES];
    s->pitch = vbe[VBE_VIRT_WIDTH] / 8;
    s->dots = 8;
    s->wide = 1;
    s->shift = SHIFT_PLANAR;
    row->address = first / 8;
    row->pan = first % 8;
}

static void draw_crtc(Vga *vga)
{
    g_autofree Screen *s = g_new0(Screen, 1);
    Row row = { 0 };
    s->vga = vga;
    s->vram = vga->vram.host;
    s->shift = MIN(vga->s.gfx[GFX_MODE] >> 5 & 3, SHIFT_256);
    if (vga_vbe_enabled(vga))
        planar_vbe_screen(s, &row);
    else
        crtc_screen(s, &row);
    make_colours(s);
    console_resize(vga->console, s->chars * s->dots * s->wide, s->lines);
    draw_rows(s, row);
}

/* ---- linear modes ---- */

static void draw_indexed(const Vga *vga, const uint8_t *from, unsigned width, uint32_t *out)
{
    for (unsigned x = 0; x < width; x++)
        out[x] = dac_colour(vga, from[x]);
}

/* Bring a colour of this many bits to 8. */
static uint32_t widen(unsigned value, unsigned bits)
{
    value &= (1u << bits) - 1;
    return value << (8 - bits) | value >> (2 * bits - 8);
}

static void draw_word(const uint8_t *from, unsigned width, unsigned green, uint32_t *out)
{
    for (unsigned x = 0; x < width; x++) {
        unsigned v = ram_get_unaligned(from + 2 * x, 2);
        out[x] = widen(v >> (5 + green), 5) << 16 | widen(v >> 5, green) << 8 | widen(v, 5);
    }
}

static void draw_true(const uint8_t *from, unsigned width, unsigned bytes, uint32_t *out)
{
    for (unsigned x = 0; x < width; x++, from += bytes)
        out[x] = from[0] | from[1] << 8 | (uint32_t)from[2] << 16;
}

static bool row_changed(const Vga *vga, uint64_t at, uint64_t bytes)
{
    const VgaDrawn *d = vga->drawn;
    if (d->all)
        return true;
    uint64_t last = (MIN(at + bytes, vga->vram.size) - 1) >> RAM_PAGE_BITS;
    for (uint64_t page = at >> RAM_PAGE_BITS; page <= last; page++) {
        if (d->dirty[page - d->first])
            return true;
    }
    return false;
}

/* The registers have been brought to what fits into vram (vga.c). */
static void draw_linear(Vga *vga)
{
    const uint16_t *vbe = vga->vbe;
    unsigned width = vbe[VBE_XRES], bytes = (vbe[VBE_BPP] + 7) / 8;
    console_resize(vga->console, width, vbe[VBE_YRES]);
    for (unsigned y = 0; y < vbe[VBE_YRES]; y++) {
        uint64_t at = (uint64_t)(vbe[VBE_Y_OFFSET] + y) * vga_vbe_pitch(vga) + (uint64_t)vbe[VBE_X_OFFSET] * bytes;
        const uint8_t *from = vga->vram.host + at;
        if (!row_changed(vga, at, (uint64_t)width * bytes))
            continue;
        if (at + (uint64_t)width * bytes > vga->vram.size)
            memset(vga->line, 0, width * sizeof(uint32_t));
        else if (bytes == 1)
            draw_indexed(vga, from, width, vga->line);
        else if (bytes == 2)
            draw_word(from, width, vbe[VBE_BPP] == 15 ? 5 : 6, vga->line);
        else
            draw_true(from, width, bytes, vga->line);
        console_put_row(vga->console, y, vga->line);
    }
}

/* ---- any mode ---- */

static void draw_black(Vga *vga)
{
    unsigned height = console_surface(vga->console)->height;
    memset(vga->line, 0, CONSOLE_MAX_SIZE * sizeof(uint32_t));
    for (unsigned y = 0; y < height; y++)
        console_put_row(vga->console, y, vga->line);
}

/* ---- what has changed ---- */

VgaDrawn *vga_drawn_new(void)
{
    return g_new0(VgaDrawn, 1);
}

void vga_forget_drawn(Vga *vga)
{
    vga->drawn->known = false;
}

/* What memory the screen shows. */
static void shown_memory(const Vga *vga, uint64_t *offset, uint64_t *len)
{
    const uint16_t *vbe = vga->vbe;
    uint64_t pitch = vga_vbe_pitch(vga);
    *offset = 0;
    *len = MIN(vga->vram.size, 0x10000 * 4);
    if (vga_vbe_enabled(vga)) { /* with what a virtual row has on the right of the last one */
        *offset = vbe[VBE_Y_OFFSET] * pitch;
        *len = MIN(vga->vram.size - *offset, (vbe[VBE_YRES] + UINT64_C(1)) * pitch);
        if (vbe[VBE_BPP] == 4)
            *offset = 0, *len = vga->vram.size;
    }
}

/* Registers that do not show are not compared. */
static void copy_registers(const Vga *vga, struct VgaRegisters *out)
{
    *out = vga->s;
    out->seq_index = out->gfx_index = out->crtc_index = 0;
    out->attr_index &= ATTR_SCREEN_ON;
    out->attr_data = out->dac_state = out->dac_read = out->dac_write = out->dac_component = 0;
    memset(out->dac_cache, 0, sizeof(out->dac_cache));
    memset(out->latch, 0, sizeof(out->latch));
}

/* Where nothing blinks its phases do not count. */
static bool registers_changed(Vga *vga)
{
    VgaDrawn *d = vga->drawn;
    const Surface *surface = console_surface(vga->console);
    struct VgaRegisters registers;
    bool text = !vga_vbe_enabled(vga) && !(vga->s.gfx[GFX_MISC] & MISC_GRAPHICS);
    bool cursor_on = text && !(vga->s.crtc[CRTC_CURSOR_START] & CURSOR_OFF) && phase(vga, CURSOR_BLINK_NS);
    bool text_on = text && vga->s.attr[ATTR_MODE] & ATTR_BLINK && phase(vga, TEXT_BLINK_NS);
    copy_registers(vga, &registers);
    bool changed = !d->known || cursor_on != d->cursor_on || text_on != d->text_on || d->width != surface->width ||
                   d->height != surface->height || memcmp(&registers, &d->registers, sizeof(registers)) ||
                   memcmp(vga->vbe, d->vbe, sizeof(d->vbe));
    d->cursor_on = cursor_on;
    d->text_on = text_on;
    d->registers = registers;
    memcpy(d->vbe, vga->vbe, sizeof(d->vbe));
    d->known = true;
    return changed;
}

/* False: the console shows it as it is. */
static bool anything_changed(Vga *vga)
{
    uint64_t offset, len;
    mem_log_start(&vga->vram);
    shown_memory(vga, &offset, &len);
    vga->drawn->all = registers_changed(vga);
    vga->drawn->first = offset >> RAM_PAGE_BITS;
    bool written = mem_log_take(&vga->vram, offset, len, vga->drawn->dirty);
    return vga->drawn->all || written;
}

void vga_refresh(void *opaque)
{
    Vga *vga = opaque;
    bool off = !(vga->s.attr_index & ATTR_SCREEN_ON) || vga->s.seq[SEQ_CLOCK] & CLOCK_SCREEN_OFF;
    if (!anything_changed(vga))
        return;
    if (vga_vbe_enabled(vga) && vga->vbe[VBE_BPP] != 4)
        draw_linear(vga);
    else if (off)
        draw_black(vga);
    else
        draw_crtc(vga);
    vga->drawn->width = console_surface(vga->console)->width;
    vga->drawn->height = console_surface(vga->console)->height;
}
