/*
 * "bochs-display": the Bochs interface without a VGA (docs/specs of the reference, "standard vga"). BAR 0 is video
 * memory, BAR 2 has the EDID at 0, the registers at 0x500 and the byte order at 0x600. Nothing but linear modes of 16
 * and 32 bits.
 * SPDX-License-Identifier: MIT
 */
#include "hw/core/ram_access.h"
#include "hw/display/edid.h"
#include "hw/display/vga.h"
#include "hw/pci/pci.h"
#include "util/error.h"
#include <string.h>

#define MMIO_SIZE            0x1000
#define MMIO_VBE             0x500
#define MMIO_EXTENDED        0x600
#define EXTENDED_SIZE        8
#define LITTLE_ENDIAN_PIXELS 0x1e1e1e1e
#define BIG_ENDIAN_PIXELS    0xbebebebe
#define VRAM_MAX             ((uint64_t)512 << 20)

typedef struct BochsDisplay {
    PciDevice pci;
    MemRegion vram, mmio;
    Console *console;
    uint32_t *line;
    Edid edid;
    uint64_t vgamem;
    uint16_t vbe[VBE_REGS];
    bool big_endian;
    /* what the console shows */
    struct {
        bool known, big_endian;
        uint16_t vbe[VBE_REGS];
    } drawn;
    uint8_t *dirty; /* by page */
} BochsDisplay;

/* ---- registers ---- */

static uint64_t mmio_read(void *opaque, uint64_t offset, unsigned size)
{
    BochsDisplay *b = opaque;
    unsigned index = (offset - MMIO_VBE) / 2;
    if (offset + size <= EDID_SIZE)
        return size == 1 ? b->edid.data[offset] : ram_get_unaligned(b->edid.data + offset, size);
    if (offset >= MMIO_VBE && index < VBE_REGS)
        return index == VBE_ID ? VBE_ID_LATEST : index == VBE_VIDEO_MEMORY_64K ? b->vram.size >> 16 : b->vbe[index];
    if (offset == MMIO_EXTENDED)
        return EXTENDED_SIZE;
    if (offset == MMIO_EXTENDED + 4)
        return b->big_endian ? BIG_ENDIAN_PIXELS : LITTLE_ENDIAN_PIXELS;
    return 0;
}

static void mmio_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    BochsDisplay *b = opaque;
    unsigned index = (offset - MMIO_VBE) / 2;
    if (offset >= MMIO_VBE && index < VBE_REGS)
        b->vbe[index] = value;
    else if (offset == MMIO_EXTENDED + 4 && value == BIG_ENDIAN_PIXELS)
        b->big_endian = true;
    else if (offset == MMIO_EXTENDED + 4 && value == LITTLE_ENDIAN_PIXELS)
        b->big_endian = false;
}

static const MemOps mmio_ops = { .read = mmio_read, .write = mmio_write, .min_size = 1, .max_size = 4 };

/* ---- drawing ---- */

typedef struct Mode {
    unsigned width, height, bytes;
    uint64_t first, pitch;
} Mode;

/* False: the registers do not make a mode that fits into vram. */
static bool get_mode(const BochsDisplay *b, Mode *m)
{
    const uint16_t *r = b->vbe;
    if (!(r[VBE_ENABLE] & VBE_ENABLED) || (r[VBE_BPP] != 16 && r[VBE_BPP] != 32))
        return false;
    *m = (Mode){ r[VBE_XRES], r[VBE_YRES], r[VBE_BPP] / 8, 0, 0 };
    m->pitch = (uint64_t)MAX(r[VBE_VIRT_WIDTH], r[VBE_XRES]) * m->bytes;
    m->first = (uint64_t)r[VBE_X_OFFSET] * m->bytes + r[VBE_Y_OFFSET] * m->pitch;
    return m->width >= 64 && m->height >= 64 && m->width <= CONSOLE_MAX_SIZE && m->height <= CONSOLE_MAX_SIZE &&
           m->first + m->pitch * m->height <= b->vram.size;
}

static uint32_t pixel_at(const BochsDisplay *b, const Mode *m, const uint8_t *from)
{
    uint32_t v = ram_get_unaligned(from, m->bytes);
    if (m->bytes == 4)
        return b->big_endian ? GUINT32_SWAP_LE_BE(v) : v;
    if (b->big_endian)
        v = GUINT16_SWAP_LE_BE((uint16_t)v);
    unsigned red = v >> 11, green = v >> 5 & 63, blue = v & 31;
    return (red << 3 | red >> 2) << 16 | (green << 2 | green >> 4) << 8 | blue << 3 | blue >> 2;
}

/* False: neither registers nor memory have. */
static bool changed(BochsDisplay *b, const Mode *m, bool shown)
{
    bool known =
        b->drawn.known && b->drawn.big_endian == b->big_endian && !memcmp(b->drawn.vbe, b->vbe, sizeof(b->vbe));
    b->drawn.known = true;
    b->drawn.big_endian = b->big_endian;
    memcpy(b->drawn.vbe, b->vbe, sizeof(b->vbe));
    mem_log_start(&b->vram);
    bool written = shown && mem_log_take(&b->vram, m->first, m->pitch * m->height, b->dirty);
    return !known || written;
}

static void refresh(void *opaque)
{
    BochsDisplay *b = opaque;
    Mode m = { 0 };
    bool shown = get_mode(b, &m);
    if (!changed(b, &m, shown))
        return;
    if (shown)
        console_resize(b->console, m.width, m.height);
    else
        memset(b->line, 0, CONSOLE_MAX_SIZE * sizeof(*b->line));
    unsigned height = console_surface(b->console)->height;
    for (unsigned y = 0; y < height; y++) {
        const uint8_t *from = b->vram.host + (shown ? m.first + y * m.pitch : 0);
        for (unsigned x = 0; shown && x < m.width; x++)
            b->line[x] = pixel_at(b, &m, from + (size_t)x * m.bytes);
        console_put_row(b->console, y, b->line);
    }
}

static const ConsoleOps console_ops = { .refresh = refresh };

/* ---- life cycle ---- */

static bool realize(Device *dev, GError **err)
{
    BochsDisplay *b = (BochsDisplay *)dev;
    if (b->vgamem < 1 << 20 || b->vgamem > VRAM_MAX || b->vgamem & (b->vgamem - 1))
        return error_set(err, "vgamem=%" G_GUINT64_FORMAT ": a power of two from 1M to 512M is possible", b->vgamem);
    if (!mem_ram_init(&b->vram, dev->machine, "bochs-display-vram", b->vgamem, err))
        return false;
    mem_io_init(&b->mmio, dev->machine, "bochs-display-mmio", MMIO_SIZE, &mmio_ops, b);
    edid_make(&b->edid);
    pci_set_ids(&b->pci, 0x1234, 0x1111, 0x038000, 2);
    pci_set_subsystem(&b->pci, 0x1af4, 0x1100);
    pci_add_bar(&b->pci, 0, PCI_BAR_PREFETCH, &b->vram);
    pci_add_bar(&b->pci, 2, 0, &b->mmio);
    pcie_add_endpoint_capability(&b->pci);
    b->line = g_new0(uint32_t, CONSOLE_MAX_SIZE);
    b->dirty = g_malloc0(b->vgamem >> RAM_PAGE_BITS);
    b->console = console_new(dev, &console_ops, b);
    return true;
}

static void unrealize(Device *dev)
{
    BochsDisplay *b = (BochsDisplay *)dev;
    console_free(b->console);
    g_free(b->line);
    g_free(b->dirty);
}

static void post_load(Device *dev)
{
    ((BochsDisplay *)dev)->drawn.known = false;
}

static void reset(Device *dev)
{
    BochsDisplay *b = (BochsDisplay *)dev;
    memset(b->vbe, 0, sizeof(b->vbe));
    b->big_endian = false;
}

static const Prop props[] = {
    PROP(BochsDisplay, SIZE, "vgamem", vgamem, .fallback = "16M", .help = "video memory, 1M to 512M"),
    PROP(BochsDisplay, STRING, "romfile", pci.romfile, .fallback = "vgabios-bochs-display.bin",
         .help = "the VGA BIOS; empty: none"),
    EDID_PROPS(BochsDisplay),
    PROP_END,
};
static const StateField state[] = { STATE_ARRAY(BochsDisplay, vbe),
                                    STATE(BochsDisplay, big_endian),
                                    STATE_SKIP(BochsDisplay, vram, "RAM"),
                                    STATE_SKIP(BochsDisplay, mmio, "wiring"),
                                    STATE_SKIP(BochsDisplay, console, "wiring"),
                                    STATE_SKIP(BochsDisplay, line, "scratch"),
                                    STATE_SKIP(BochsDisplay, drawn, "scratch"),
                                    STATE_SKIP(BochsDisplay, dirty, "scratch"),
                                    STATE_SKIP(BochsDisplay, edid, "made from properties"),
                                    STATE_END };

const DeviceType bochs_display_type = {
    .name = "bochs-display",
    .desc = "the Bochs interface without a VGA",
    .category = "display",
    .bus = "pci",
    .parent = &pci_device_type,
    .size = sizeof(BochsDisplay),
    .props = props,
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .post_load = post_load,
};
