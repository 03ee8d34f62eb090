/*
 * AML writer (see aml.h; ACPI Specification 6.5, 20.2 and 6.4). Package lengths are put in when a term is closed.
 * SPDX-License-Identifier: MIT
 */
#include "hw/acpi/aml.h"
#include <stdbool.h>
#include <string.h>

enum {
    NAME = 0x08,
    BYTE_PREFIX = 0x0a,
    WORD_PREFIX = 0x0b,
    DWORD_PREFIX = 0x0c,
    STRING_PREFIX = 0x0d,
    QWORD_PREFIX = 0x0e,
    SCOPE = 0x10,
    BUFFER = 0x11,
    PACKAGE = 0x12,
    METHOD = 0x14,
    DUAL_NAME = 0x2e,
    MULTI_NAME = 0x2f,
    EXTENDED = 0x5b,
    LOCAL0 = 0x60,
    ARG0 = 0x68,
    MUTEX = 0x01,  /* extended */
    REGION = 0x80, /* extended */
    FIELD = 0x81,  /* extended */
    DEVICE = 0x82, /* extended */
    IF = 0xa0,
    ELSE = 0xa1,
};
enum { METHOD_SERIALIZED = 8, DEPTH_MAX = 16 };

struct Aml {
    GByteArray *code;
    struct {
        guint start;       /* where its length goes */
        bool counted;      /* a package: the byte at start is the number of elements */
        unsigned elements; /* so far */
    } open[DEPTH_MAX];
    unsigned depth;
};

Aml *aml_new(void)
{
    Aml *a = g_new0(Aml, 1);
    a->code = g_byte_array_new();
    return a;
}

GByteArray *aml_finish(Aml *a)
{
    GByteArray *code = a->code;
    g_assert(!a->depth);
    g_free(a);
    return code;
}

/* ---- encodings ---- */

static void put(GByteArray *out, uint64_t value, unsigned bytes)
{
    value = GUINT64_TO_LE(value);
    g_byte_array_append(out, (const guint8 *)&value, bytes);
}

static void byte(Aml *a, uint8_t value)
{
    put(a->code, value, 1);
}

/* A term begins: one more element, if it stands in a package. */
static void term(Aml *a)
{
    if (a->depth)
        a->open[a->depth - 1].elements++;
}

/* 20.2.2: [^]* or \, then one to 255 segments of four characters */
static void put_path(Aml *a, const char *path)
{
    while (*path == '\\' || *path == '^')
        byte(a, *path++);
    g_auto(GStrv) segments = g_strsplit(path, ".", -1);
    unsigned count = g_strv_length(segments);
    g_assert(count && count < 256);
    if (count == 2) {
        byte(a, DUAL_NAME);
    } else if (count > 2) {
        byte(a, MULTI_NAME);
        byte(a, count);
    }
    for (unsigned i = 0; i < count; i++) {
        char name[4] = { '_', '_', '_', '_' };
        size_t len = strlen(segments[i]);
        g_assert(len && len <= sizeof(name));
        memcpy(name, segments[i], len);
        g_byte_array_append(a->code, (const guint8 *)name, sizeof(name));
    }
}

/* 20.2.4: a length that counts its own bytes; the first says how many follow. */
static unsigned encode_length(uint32_t len, uint8_t out[4])
{
    if (len + 1 < 0x40) {
        out[0] = len + 1;
        return 1;
    }
    unsigned bytes = len + 2 < 1u << 12 ? 2 : len + 3 < 1u << 20 ? 3 : 4;
    len += bytes;
    g_assert(len < 1u << 28);
    out[0] = (bytes - 1) << 6 | (len & 15);
    for (unsigned i = 1; i < bytes; i++)
        out[i] = len >> (8 * i - 4);
    return bytes;
}

static void insert(GByteArray *out, guint at, const uint8_t *data, unsigned len)
{
    guint old = out->len;
    g_byte_array_set_size(out, old + len);
    memmove(out->data + at + len, out->data + at, old - at);
    memcpy(out->data + at, data, len);
}

static void begin(Aml *a, bool counted)
{
    g_assert(a->depth < DEPTH_MAX);
    a->open[a->depth].start = a->code->len;
    a->open[a->depth].counted = counted;
    a->open[a->depth++].elements = 0;
    if (counted)
        byte(a, 0);
}

void aml_end(Aml *a)
{
    uint8_t length[4];
    g_assert(a->depth);
    a->depth--;
    guint start = a->open[a->depth].start;
    if (a->open[a->depth].counted) {
        g_assert(a->open[a->depth].elements < 256);
        a->code->data[start] = a->open[a->depth].elements;
    }
    unsigned bytes = encode_length(a->code->len - start, length);
    insert(a->code, start, length, bytes);
}

/* ---- what contains others ---- */

void aml_scope(Aml *a, const char *path)
{
    byte(a, SCOPE);
    begin(a, false);
    put_path(a, path);
}

void aml_device(Aml *a, const char *path)
{
    byte(a, EXTENDED);
    byte(a, DEVICE);
    begin(a, false);
    put_path(a, path);
}

void aml_method(Aml *a, const char *path, unsigned arguments)
{
    g_assert(arguments < 8);
    byte(a, METHOD);
    begin(a, false);
    put_path(a, path);
    byte(a, arguments | METHOD_SERIALIZED);
}

void aml_if(Aml *a)
{
    byte(a, IF);
    begin(a, false);
}

void aml_else(Aml *a)
{
    byte(a, ELSE);
    begin(a, false);
}

void aml_package(Aml *a)
{
    term(a);
    byte(a, PACKAGE);
    begin(a, true);
}

/* ---- terms ---- */

void aml_op(Aml *a, AmlOp op)
{
    if (op >> 8)
        byte(a, op >> 8);
    byte(a, op);
}

void aml_word(Aml *a, uint16_t value)
{
    put(a->code, value, 2);
}

void aml_mutex(Aml *a, const char *path)
{
    byte(a, EXTENDED);
    byte(a, MUTEX);
    put_path(a, path);
    byte(a, 0); /* sync level */
}

void aml_path(Aml *a, const char *path)
{
    term(a);
    put_path(a, path);
}

void aml_local(Aml *a, unsigned n)
{
    g_assert(n < 8);
    byte(a, LOCAL0 + n);
}

void aml_arg(Aml *a, unsigned n)
{
    g_assert(n < 7);
    byte(a, ARG0 + n);
}

void aml_no_target(Aml *a)
{
    byte(a, 0);
}

void aml_integer(Aml *a, uint64_t value)
{
    static const struct {
        uint64_t max;
        uint8_t prefix, bytes;
    } forms[] = { { UINT8_MAX, BYTE_PREFIX, 1 },
                  { UINT16_MAX, WORD_PREFIX, 2 },
                  { UINT32_MAX, DWORD_PREFIX, 4 },
                  { UINT64_MAX, QWORD_PREFIX, 8 } };
    unsigned i = 0;
    term(a);
    if (value < 2) { /* ZeroOp, OneOp */
        byte(a, value);
        return;
    }
    while (value > forms[i].max)
        i++;
    byte(a, forms[i].prefix);
    put(a->code, value, forms[i].bytes);
}

void aml_string(Aml *a, const char *text)
{
    term(a);
    byte(a, STRING_PREFIX);
    g_byte_array_append(a->code, (const guint8 *)text, strlen(text) + 1);
}

/* 19.3.4: three letters of five bits, four hexadecimal digits; big-endian */
void aml_eisa_id(Aml *a, const char *id)
{
    uint32_t value = 0;
    g_assert(strlen(id) == 7);
    for (unsigned i = 0; i < 3; i++)
        value = value << 5 | (id[i] & 0x1f);
    for (unsigned i = 3; i < 7; i++)
        value = value << 4 | g_ascii_xdigit_value(id[i]);
    aml_integer(a, GUINT32_SWAP_LE_BE(value));
}

void aml_buffer(Aml *a, const void *data, size_t len)
{
    term(a);
    byte(a, BUFFER);
    begin(a, false);
    aml_integer(a, len);
    g_byte_array_append(a->code, data, len);
    aml_end(a);
}

/* 19.6.142: the first three groups are little-endian */
void aml_uuid(Aml *a, const char *text)
{
    static const uint8_t places[16] = { 6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34 };
    uint8_t bytes[16];
    g_assert(g_uuid_string_is_valid(text));
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = g_ascii_xdigit_value(text[places[i]]) << 4 | g_ascii_xdigit_value(text[places[i] + 1]);
    aml_buffer(a, bytes, sizeof(bytes));
}

void aml_name(Aml *a, const char *path)
{
    byte(a, NAME);
    put_path(a, path);
}

void aml_name_integer(Aml *a, const char *path, uint64_t value)
{
    aml_name(a, path);
    aml_integer(a, value);
}

void aml_name_string(Aml *a, const char *path, const char *text)
{
    aml_name(a, path);
    aml_string(a, text);
}

void aml_name_eisa_id(Aml *a, const char *path, const char *id)
{
    aml_name(a, path);
    aml_eisa_id(a, id);
}

/* ---- registers ---- */

void aml_region(Aml *a, const char *path, AmlSpace space, uint64_t offset, uint64_t length)
{
    byte(a, EXTENDED);
    byte(a, REGION);
    put_path(a, path);
    byte(a, space);
    aml_integer(a, offset);
    aml_integer(a, length);
}

void aml_field(Aml *a, const char *path, AmlAccess access, bool zeros)
{
    enum { NO_LOCK = 0, WRITE_AS_ZEROS = 2 << 5 };
    byte(a, EXTENDED);
    byte(a, FIELD);
    begin(a, false);
    put_path(a, path);
    byte(a, access | NO_LOCK | (zeros ? WRITE_AS_ZEROS : 0));
}

/* The width is encoded as lengths are, but does not count itself. */
void aml_field_unit(Aml *a, const char *name, unsigned bits)
{
    g_assert(bits < 1u << 12);
    if (name)
        put_path(a, name);
    else
        byte(a, 0);
    if (bits < 0x40) {
        byte(a, bits);
    } else {
        byte(a, 1 << 6 | (bits & 15));
        byte(a, bits >> 4);
    }
}

/* ---- resources ---- */

enum { IRQ_NO_FLAGS = 0x22, DMA_CHANNEL = 0x2a, PORTS = 0x47 };
enum { END_TAG = 0x79, MEMORY32_FIXED = 0x86, DWORD_SPACE = 0x87, WORD_SPACE = 0x88, INTERRUPT = 0x89 };
enum { QWORD_SPACE = 0x8a };
enum { SPACE_MEMORY = 0, SPACE_IO = 1, SPACE_BUS = 2, MIN_FIXED = 4, MAX_FIXED = 8 };
enum { READ_WRITE = 1, CACHEABLE = 2, ENTIRE_RANGE = 3 };
enum { CONSUMER = 1, SHARED = 8 };

GByteArray *aml_resources_new(void)
{
    return g_byte_array_new();
}

/* 6.4.3.4 */
void aml_resource_memory(GByteArray *r, uint32_t base, uint32_t size)
{
    put(r, MEMORY32_FIXED, 1);
    put(r, 9, 2);
    put(r, READ_WRITE, 1);
    put(r, base, 4);
    put(r, size, 4);
}

/* 6.4.3.6; bits 1 and 2, clear: level, active high */
void aml_resource_interrupt(GByteArray *r, uint32_t gsi, bool shared)
{
    put(r, INTERRUPT, 1);
    put(r, 6, 2);
    put(r, CONSUMER | (shared ? SHARED : 0), 1);
    put(r, 1, 1);
    put(r, gsi, 4);
}

void aml_resource_interrupt_choice(GByteArray *r, const uint32_t *gsis, unsigned count)
{
    put(r, INTERRUPT, 1);
    put(r, 2 + 4 * count, 2);
    put(r, CONSUMER | SHARED, 1);
    put(r, count, 1);
    for (unsigned i = 0; i < count; i++)
        put(r, gsis[i], 4);
}

/* 6.4.2.5 */
void aml_resource_ports(GByteArray *r, uint16_t first, uint16_t last, unsigned align, unsigned count)
{
    put(r, PORTS, 1);
    put(r, 1, 1);
    put(r, first, 2);
    put(r, last, 2);
    put(r, align, 1);
    put(r, count, 1);
}

/* 6.4.2.1 */
void aml_resource_isa_irq(GByteArray *r, unsigned irq)
{
    put(r, IRQ_NO_FLAGS, 1);
    put(r, 1u << irq, 2);
}

/* 6.4.2.2: compatible mode, no bus master, 8 bits */
void aml_resource_isa_dma(GByteArray *r, unsigned channel)
{
    put(r, DMA_CHANNEL, 1);
    put(r, 1u << channel, 1);
    put(r, 0, 1);
}

/* 6.4.3.5 */
static void put_space(GByteArray *r, AmlRange kind, unsigned width, uint8_t flags, const uint64_t numbers[5])
{
    static const uint8_t spaces[] = {
        [AML_RANGE_MEMORY] = SPACE_MEMORY, [AML_RANGE_IO] = SPACE_IO, [AML_RANGE_BUS] = SPACE_BUS
    };
    put(r, width == 2 ? WORD_SPACE : width == 4 ? DWORD_SPACE : QWORD_SPACE, 1);
    put(r, 3 + 5 * width, 2);
    put(r, spaces[kind], 1);
    put(r, MIN_FIXED | MAX_FIXED, 1);
    put(r, flags, 1);
    for (unsigned i = 0; i < 5; i++)
        put(r, numbers[i], width);
}

static const uint8_t space_flags[] = {
    [AML_RANGE_MEMORY] = READ_WRITE, [AML_RANGE_IO] = ENTIRE_RANGE, [AML_RANGE_BUS] = 0
};

void aml_resource_range(GByteArray *r, AmlRange kind, unsigned width, uint64_t base, uint64_t size, bool cacheable)
{
    const uint64_t numbers[] = { 0 /* granularity */, base, base + size - 1, 0, size };
    put_space(r, kind, width, space_flags[kind] | (cacheable ? CACHEABLE : 0), numbers);
}

void aml_resource_window(GByteArray *r, AmlRange kind, uint64_t base, uint64_t size, uint64_t offset)
{
    const uint64_t numbers[] = { 0 /* granularity */, base, base + size - 1, offset, size };
    put_space(r, kind, kind == AML_RANGE_BUS ? 2 : 8, space_flags[kind], numbers);
}

void aml_name_resources(Aml *a, const char *path, GByteArray *r)
{
    put(r, END_TAG, 1);
    put(r, 0, 1); /* no checksum */
    aml_name(a, path);
    aml_buffer(a, r->data, r->len);
    g_byte_array_unref(r);
}
