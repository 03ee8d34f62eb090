/*
 * "ramfb": firmware (UEFI's QemuRamfbDxe, SeaBIOS' vgabios-ramfb) sets aside memory for a picture and writes where it
 * is into the fw_cfg file "etc/ramfb": address, format (a FourCC of Linux' drm_fourcc.h), flags, width, height, bytes
 * of a row, all big-endian. It sits on the fw_cfg device as on a bus.
 * SPDX-License-Identifier: MIT
 */
#include "hw/display/ramfb.h"
#include "hw/firmware/fw_cfg.h"
#include <string.h>

#define FILE_NAME          "etc/ramfb"
#define FOURCC(a, b, c, d) ((uint32_t)(a) | (b) << 8 | (c) << 16 | (uint32_t)(d) << 24)
#define SMALLEST           16

typedef struct __attribute__((packed)) Config {
    uint64_t address;
    uint32_t format, flags, width, height, stride;
} Config;

static const struct {
    uint32_t code;
    uint8_t bytes;
} formats[] = { { FOURCC('X', 'R', '2', '4'), 4 },
                { FOURCC('A', 'R', '2', '4'), 4 },
                { FOURCC('R', 'G', '2', '4'), 3 },
                { FOURCC('R', 'G', '1', '6'), 2 } };

/* Of a pixel; 0: not known. */
static unsigned format_bytes(uint32_t code)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        if (formats[i].code == code)
            return formats[i].bytes;
    }
    return 0;
}

static void configured(void *opaque, const uint8_t *data, size_t len)
{
    Ramfb *r = opaque;
    Config config;
    if (len < sizeof(config))
        return;
    memcpy(&config, data, sizeof(config));
    uint32_t width = GUINT32_FROM_BE(config.width), height = GUINT32_FROM_BE(config.height),
             format = GUINT32_FROM_BE(config.format), stride = GUINT32_FROM_BE(config.stride);
    unsigned bytes = format_bytes(format);
    r->address = 0;
    if (!bytes || width < SMALLEST || height < SMALLEST || width > CONSOLE_MAX_SIZE || height > CONSOLE_MAX_SIZE ||
        (stride && stride < width * bytes)) {
        guest_error(&r->dev, "%u x %u pixels of format 0x%08x, %u bytes in a row: not possible", width, height, format,
                    stride);
        return;
    }
    r->address = GUINT64_FROM_BE(config.address);
    r->format = format;
    r->width = width;
    r->height = height;
    r->stride = stride ? stride : width * bytes;
}

static uint32_t pixel(const uint8_t *from, unsigned bytes)
{
    if (bytes > 2)
        return from[0] | from[1] << 8 | (uint32_t)from[2] << 16;
    unsigned v = from[0] | from[1] << 8, red = v >> 11, green = v >> 5 & 63, blue = v & 31;
    return (red << 3 | red >> 2) << 16 | (green << 2 | green >> 4) << 8 | blue << 3 | blue >> 2;
}

/* What is no memory is black. */
static void refresh(void *opaque)
{
    Ramfb *r = opaque;
    unsigned bytes = format_bytes(r->format);
    if (!r->address)
        return;
    g_autofree uint8_t *row = g_malloc((size_t)r->width * bytes);
    console_resize(r->console, r->width, r->height);
    for (unsigned y = 0; y < r->height; y++) {
        dma_read(&r->dev, r->address + (uint64_t)y * r->stride, row, (uint64_t)r->width * bytes);
        for (unsigned x = 0; x < r->width; x++)
            r->line[x] = pixel(row + x * bytes, bytes);
        console_put_row(r->console, y, r->line);
    }
}

static const ConsoleOps console_ops = { .refresh = refresh };
static const FwCfgFileOps file_ops = { .written = configured };

static bool realize(Device *dev, GError **err)
{
    Ramfb *r = (Ramfb *)dev;
    static const Config nothing;
    if (!fw_cfg_set_active_file((FwCfg *)dev->bus->owner, FILE_NAME, &nothing, sizeof(nothing), &file_ops, r, err))
        return false;
    r->line = g_new0(uint32_t, CONSOLE_MAX_SIZE);
    r->console = console_new(dev, &console_ops, r);
    return true;
}

static void unrealize(Device *dev)
{
    Ramfb *r = (Ramfb *)dev;
    console_free(r->console);
    g_free(r->line);
}

static void reset(Device *dev)
{
    Ramfb *r = (Ramfb *)dev;
    r->address = 0;
    r->format = r->width = r->height = r->stride = 0;
}

/* State is not trusted more than the guest. */
static void post_load(Device *dev)
{
    Ramfb *r = (Ramfb *)dev;
    if (!format_bytes(r->format) || r->width > CONSOLE_MAX_SIZE || r->height > CONSOLE_MAX_SIZE)
        r->address = 0;
}

static const StateField state[] = { STATE(Ramfb, address),
                                    STATE(Ramfb, format),
                                    STATE(Ramfb, width),
                                    STATE(Ramfb, height),
                                    STATE(Ramfb, stride),
                                    STATE_SKIP(Ramfb, console, "wiring"),
                                    STATE_SKIP(Ramfb, line, "scratch"),
                                    STATE_END };

const DeviceType ramfb_type = {
    .name = "ramfb",
    .desc = "framebuffer in the guest's memory",
    .category = "display",
    .bus = "fw_cfg",
    .size = sizeof(Ramfb),
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .post_load = post_load,
};
