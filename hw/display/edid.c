/*
 * EDID 1.4, the base block (VESA Enhanced Extended Display Identification Data Standard, release A2).
 * SPDX-License-Identifier: MIT
 */
#include "hw/display/edid.h"
#include <string.h>

#define REFRESH_HZ 75
#define DPI        100

enum {
    EDID_VENDOR = 8,
    EDID_PRODUCT = 10,
    EDID_YEAR = 17,
    EDID_VERSION = 18,
    EDID_INPUT = 20,
    EDID_WIDTH_CM = 21,
    EDID_GAMMA = 23,
    EDID_FEATURES = 24,
    EDID_CHROMATICITY = 25,
    EDID_ESTABLISHED = 35,
    EDID_STANDARD = 38,
    EDID_DESCRIPTORS = 54,
    EDID_DESCRIPTOR_SIZE = 18,
    EDID_CHECKSUM = 127
};

static const struct {
    uint16_t x, y;
    uint8_t byte, bit; /* of the established timings */
} established[] = { { 640, 480, 0, 5 }, { 800, 600, 0, 0 }, { 1024, 768, 1, 3 } };

static const struct {
    uint16_t x, y;
    uint8_t aspect; /* 0 16:10, 1 4:3, 2 5:4, 3 16:9 */
} standard[] = { { 2048, 1152, 3 }, { 1920, 1080, 3 }, { 1920, 1200, 0 }, { 1600, 1200, 1 },
                 { 1680, 1050, 0 }, { 1440, 900, 0 },  { 1280, 1024, 2 }, { 1280, 960, 1 } };

static bool within(const Edid *e, unsigned x, unsigned y)
{
    return (!e->xmax || x <= e->xmax) && (!e->ymax || y <= e->ymax);
}

static void put_timings(Edid *e)
{
    uint8_t *at = e->data + EDID_STANDARD, *end = at + 16;
    for (unsigned i = 0; i < G_N_ELEMENTS(established); i++) {
        if (within(e, established[i].x, established[i].y))
            e->data[EDID_ESTABLISHED + established[i].byte] |= 1 << established[i].bit;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(standard) && at < end; i++) {
        if (!within(e, standard[i].x, standard[i].y))
            continue;
        *at++ = standard[i].x / 8 - 31;
        *at++ = standard[i].aspect << 6; /* 60 Hz */
    }
    while (at < end)
        *at++ = 1; /* unused */
}

/* The preferred mode, with blanking of about a fifth (18-byte descriptor, 3.10.2). */
static void put_detailed(const Edid *e, uint8_t *d)
{
    unsigned x = e->xres, y = e->yres, x_blank = x * 35 / 100, y_blank = y * 35 / 1000, x_front = x * 25 / 100,
             x_sync = x * 3 / 100, y_front = MIN(y * 5 / 1000, 63), y_sync = MIN(y * 5 / 1000, 63);
    unsigned clock = MIN((uint64_t)REFRESH_HZ * (x + x_blank) * (y + y_blank) / 10000, UINT16_MAX); /* 10 kHz */
    unsigned x_mm = x * 254 / 10 / DPI, y_mm = y * 254 / 10 / DPI;
    x_blank = MIN(x_blank, 4095);
    d[0] = clock;
    d[1] = clock >> 8;
    d[2] = x;
    d[3] = x_blank;
    d[4] = (x >> 8 & 15) << 4 | (x_blank >> 8 & 15);
    d[5] = y;
    d[6] = y_blank;
    d[7] = (y >> 8 & 15) << 4 | (y_blank >> 8 & 15);
    d[8] = x_front;
    d[9] = x_sync;
    d[10] = (y_front & 15) << 4 | (y_sync & 15);
    d[11] = (x_front >> 8 & 3) << 6 | (x_sync >> 8 & 3) << 4 | (y_front >> 4 & 3) << 2 | (y_sync >> 4 & 3);
    d[12] = x_mm;
    d[13] = y_mm;
    d[14] = (x_mm >> 8 & 15) << 4 | (y_mm >> 8 & 15);
    d[17] = 0x18; /* digital, separate sync */
}

/* Ranges: 50 to 125 Hz, 30 to 160 kHz (3.10.3.3.1). */
static void put_ranges(uint8_t *d)
{
    static const uint8_t bytes[EDID_DESCRIPTOR_SIZE] = { 0,   0, 0,    0xfd, 0,   50,  125, 30,  160,
                                                         255, 1, '\n', ' ',  ' ', ' ', ' ', ' ', ' ' };
    memcpy(d, bytes, sizeof(bytes));
}

static void put_text(uint8_t *d, uint8_t kind, const char *text)
{
    size_t len = strlen(text);
    memset(d, 0, 5);
    d[3] = kind;
    memset(d + 5, ' ', 13);
    memcpy(d + 5, text, MIN(len, 13));
    if (len < 13)
        d[5 + len] = '\n';
}

void edid_make(Edid *e)
{
    static const uint8_t header[] = { 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0 };
    static const uint8_t srgb[] = { 0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54 };
    uint8_t *d = e->data, sum = 0;
    memset(d, 0, EDID_SIZE);
    if (!e->on)
        return;
    e->xres = CLAMP(e->xres, 64, 4095);
    e->yres = CLAMP(e->yres, 64, 4095);
    memcpy(d, header, sizeof(header));
    d[EDID_VENDOR] = 0x49; /* RHT, as the reference's */
    d[EDID_VENDOR + 1] = 0x14;
    d[EDID_PRODUCT] = 0x34;
    d[EDID_PRODUCT + 1] = 0x12;
    d[EDID_VERSION - 2] = 42; /* week */
    d[EDID_YEAR] = 2014 - 1990;
    d[EDID_VERSION] = 1;
    d[EDID_VERSION + 1] = 4;
    d[EDID_INPUT] = 0xa5; /* digital, 8 bits, DisplayPort */
    d[EDID_WIDTH_CM] = MIN(e->xres * 254 / 100 / DPI, 255);
    d[EDID_WIDTH_CM + 1] = MIN(e->yres * 254 / 100 / DPI, 255);
    d[EDID_GAMMA] = 220 - 100;
    d[EDID_FEATURES] = 0x06; /* sRGB, the preferred mode is native */
    memcpy(d + EDID_CHROMATICITY, srgb, sizeof(srgb));
    put_timings(e);
    uint8_t *descriptor = d + EDID_DESCRIPTORS;
    put_detailed(e, descriptor);
    put_ranges(descriptor + EDID_DESCRIPTOR_SIZE);
    put_text(descriptor + 2 * EDID_DESCRIPTOR_SIZE, 0xfc, "Rhea Monitor");
    put_text(descriptor + 3 * EDID_DESCRIPTOR_SIZE, 0xff, "1");
    for (unsigned i = 0; i < EDID_CHECKSUM; i++)
        sum += d[i];
    d[EDID_CHECKSUM] = -sum;
}
