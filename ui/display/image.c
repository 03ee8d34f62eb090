/*
 * Pictures of surfaces in files (see image.h). PNG is written by libpng.
 * SPDX-License-Identifier: MIT
 */
#include "ui/display/image.h"
#include "hw/firmware/loader.h"
#include "util/error.h"
#include <png.h>
#include <stdio.h>
#include <string.h>

/* Red, green, blue bytes of one row. */
static void row_bytes(const Surface *s, unsigned y, uint8_t *out)
{
    const uint32_t *row = s->pixels + (size_t)y * s->width;
    for (unsigned x = 0; x < s->width; x++, out += 3) {
        out[0] = row[x] >> 16;
        out[1] = row[x] >> 8;
        out[2] = row[x];
    }
}

static bool make_ppm(const Surface *s, GByteArray *out, GError **err)
{
    g_autofree char *head = g_strdup_printf("P6\n%u %u\n255\n", s->width, s->height);
    g_autofree uint8_t *row = g_malloc((size_t)s->width * 3);
    g_byte_array_append(out, (const uint8_t *)head, strlen(head));
    for (unsigned y = 0; y < s->height; y++) {
        row_bytes(s, y, row);
        g_byte_array_append(out, row, s->width * 3);
    }
    return true;
}

static void png_append(png_structp png, png_bytep data, png_size_t len)
{
    g_byte_array_append(png_get_io_ptr(png), data, len);
}

static void png_flush_nothing(png_structp png) {}

/* libpng leaves through longjmp when it fails: nothing that has to be freed is made between. */
static bool encode_png(png_structp png, png_infop info, const Surface *s, uint8_t *row, GByteArray *out)
{
    if (setjmp(png_jmpbuf(png)))
        return false;
    png_set_write_fn(png, out, png_append, png_flush_nothing);
    png_set_IHDR(png, info, s->width, s->height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_BASE,
                 PNG_FILTER_TYPE_BASE);
    png_set_compression_level(png, 3); /* screens compress well whatever the level */
    png_write_info(png, info);
    for (unsigned y = 0; y < s->height; y++) {
        row_bytes(s, y, row);
        png_write_row(png, row);
    }
    png_write_end(png, NULL);
    return true;
}

static bool make_png(const Surface *s, GByteArray *out, GError **err)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    g_autofree uint8_t *row = g_malloc((size_t)s->width * 3);
    bool ok = info && encode_png(png, info, s, row, out);
    png_destroy_write_struct(&png, &info);
    return ok || error_set(err, "libpng cannot write a picture of %u x %u pixels", s->width, s->height);
}

static const struct {
    const char *name;
    bool (*make)(const Surface *s, GByteArray *out, GError **err);
} formats[] = { { "ppm", make_ppm }, { "png", make_png } };

bool image_write(const Surface *s, const char *path, const char *format, GError **err)
{
    const char *names[G_N_ELEMENTS(formats) + 1] = { NULL };
    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        names[i] = formats[i].name;
        if (format && strcmp(format, formats[i].name))
            continue;
        g_autoptr(GByteArray) out = g_byte_array_new();
        return formats[i].make(s, out, err) && write_whole_file("screendump", path, out->data, out->len, err);
    }
    return error_unknown_name(err, "format", format, names);
}
