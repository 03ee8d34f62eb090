/*
 * ramfb: a picture in guest memory that is set up through fw_cfg's DMA, as firmware does it.
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "hw/display/ramfb.h"
#include "hw/firmware/fw_cfg.h"
#include <string.h>

#define BASE UINT64_C(0x10100000)
#define DMA  16
enum { DMA_READ = 2, DMA_SELECT = 8, DMA_WRITE = 16 };
#define XR24 0x34325258
#define RG16 0x36314752

typedef struct World {
    DevMachine *m;
    uint16_t key; /* of etc/ramfb */
    uint64_t descriptor, buffer;
} World;

static uint32_t dma(World *w, uint32_t control, uint32_t length)
{
    struct {
        uint32_t control, length;
        uint64_t address;
    } d = { GUINT32_TO_BE(control), GUINT32_TO_BE(length), GUINT64_TO_BE(w->buffer) };
    devm_put(w->m, w->descriptor, &d, sizeof(d));
    w64(w->m, BASE + DMA, GUINT64_SWAP_LE_BE(w->descriptor));
    devm_get(w->m, w->descriptor, &d, sizeof(d));
    return d.control;
}

static uint16_t find_file(World *w, const char *name)
{
    uint8_t entry[64];
    uint32_t count;
    g_assert_cmphex(dma(w, FW_CFG_FILE_DIR << 16 | DMA_SELECT | DMA_READ, 4), ==, 0);
    devm_get(w->m, w->buffer, &count, 4);
    for (unsigned i = 0; i < GUINT32_FROM_BE(count); i++) {
        g_assert_cmphex(dma(w, DMA_READ, sizeof(entry)), ==, 0);
        devm_get(w->m, w->buffer, entry, sizeof(entry));
        if (!strcmp((char *)entry + 8, name)) {
            g_assert_cmpuint(entry[3], ==, 28);
            return entry[4] << 8 | entry[5];
        }
    }
    g_assert_not_reached();
}

static World world_new(void)
{
    GError *err = NULL;
    World w = { .m = devm_new() };
    FwCfg *f = devm_add(w.m, &fw_cfg_type, NULL);
    devm_realize(w.m, f);
    devm_map(w.m, &f->mmio, BASE);
    devm_device_add(w.m, "ramfb", &err);
    g_assert_no_error(err);
    w.descriptor = devm_dma(w.m, 16, 16);
    w.buffer = devm_dma(w.m, 64, 16);
    w.key = find_file(&w, "etc/ramfb");
    return w;
}

static void configure(World *w, uint64_t address, uint32_t format, uint32_t width, uint32_t height, uint32_t stride)
{
    const uint32_t config[] = { GUINT32_TO_BE(address >> 32), GUINT32_TO_BE(address), GUINT32_TO_BE(format), 0,
                                GUINT32_TO_BE(width),         GUINT32_TO_BE(height),  GUINT32_TO_BE(stride) };
    devm_put(w->m, w->buffer, config, sizeof(config));
    g_assert_cmphex(dma(w, (uint32_t)w->key << 16 | DMA_SELECT | DMA_WRITE, sizeof(config)), ==, 0);
}

static const Surface *draw(World *w)
{
    Console *console = console_find(w->m->machine, NULL, NULL);
    DEVM_LOCKED(w->m, console_refresh(console));
    return console_surface(console);
}

static void test_picture(void)
{
    World w = world_new();
    uint64_t at = devm_dma(w.m, 64 * 48 * 4 + 4096, 4096);
    const Surface *s = draw(&w);
    g_assert_cmpuint(s->pixels[0], ==, 0);
    configure(&w, at, XR24, 60, 40, 256);
    w32(w.m, at + 39 * 256 + 59 * 4, 0xff123456);
    s = draw(&w);
    g_assert_cmpuint(s->width, ==, 60);
    g_assert_cmpuint(s->height, ==, 40);
    g_assert_cmphex(s->pixels[39 * 60 + 59], ==, 0x123456);
    configure(&w, at, RG16, 64, 48, 0);
    w16(w.m, at + (47 * 64 + 63) * 2, 0xf81f);
    s = draw(&w);
    g_assert_cmphex(s->pixels[47 * 64 + 63], ==, 0xff00ff);
    devm_reset(w.m);
    w16(w.m, at, 0xffff);
    s = draw(&w); /* not looked at any more */
    g_assert_cmphex(s->pixels[0], ==, 0);
    devm_free(w.m);
}

static void test_bad(void)
{
    World w = world_new();
    uint64_t end = DEVM_RAM_BASE + DEVM_RAM_SIZE - 4096;
    const struct {
        uint64_t address;
        uint32_t format, width, height, stride;
    } bad[] = { { end, 0, 64, 64, 0 },
                { end, XR24, 0, 64, 0 },
                { end, XR24, 64, 0, 0 },
                { end, XR24, UINT32_MAX, UINT32_MAX, UINT32_MAX },
                { end, XR24, 0x40000001, 64, 4 },
                { end, XR24, 64, 64, 255 },
                { end, XR24, 16384, 64, UINT32_MAX }, /* this and the following: possible, but no memory is there */
                { UINT64_MAX - 100, XR24, 64, 64, 0 },
                { end, XR24, 64, 64, 0 } };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        configure(&w, bad[i].address, bad[i].format, bad[i].width, bad[i].height, bad[i].stride);
        draw(&w);
    }
    w32(w.m, end + 15 * 256, 0x00abcdef); /* the last row that is there */
    const Surface *s = draw(&w);
    g_assert_cmphex(s->pixels[15 * 64], ==, 0xabcdef);
    g_assert_cmphex(s->pixels[16 * 64], ==, 0);
    devm_free(w.m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ramfb/picture", test_picture);
    g_test_add_func("/ramfb/bad", test_bad);
    return g_test_run();
}
