/*
 * SMBIOS tables of machines with a PC's firmware (DMTF DSP0134 2.8, chapters 5 to 7). Names of -smbios keys are QEMU's.
 * SPDX-License-Identifier: MIT
 */
#include "hw/firmware/smbios.h"
#include "hw/firmware/loader.h"
#include "util/error.h"
#include "util/options.h"
#include <stdio.h>
#include <string.h>

#define TYPES     128
#define MAX_TYPE  17
#define DIMM_SIZE (UINT64_C(16) << 30)
#define KIB       UINT64_C(1024)

struct Smbios {
    Opts *types[MAX_TYPE + 1]; /* all keys given for the type; NULL: none */
    GPtrArray *ports;          /* Opts *: each type=8 */
    GPtrArray *strings;        /* char *: values of all type=11 */
    GByteArray *files;         /* structures of file= */
    bool in_files[TYPES + 1];
};

/* ---- options ---- */

static const char *const type_keys[MAX_TYPE + 1][11] = {
    [0] = { "type", "vendor", "version", "date", "release", "uefi" },
    [1] = { "type", "manufacturer", "product", "version", "serial", "uuid", "sku", "family" },
    [2] = { "type", "manufacturer", "product", "version", "serial", "asset", "location" },
    [3] = { "type", "manufacturer", "version", "serial", "asset", "sku" },
    [4] = { "type", "sock_pfx", "manufacturer", "version", "serial", "asset", "part", "max-speed", "current-speed",
            "processor-id" },
    [8] = { "type", "internal_reference", "external_reference", "connector_type", "port_type" },
    [11] = { "type", "value", "path" },
    [17] = { "type", "loc_pfx", "bank", "manufacturer", "serial", "asset", "part", "speed" },
};

static bool number(Opts *opts, const char *key, uint64_t max, uint64_t *value, GError **err)
{
    return opts_uint(opts, key, value, 0, max, err);
}

/* Values that are more than text. */
static bool check_values(Opts *opts, unsigned type, GError **err)
{
    uint64_t value;
    bool flag;
    unsigned major, minor;
    char rest;
    const char *release = type == 0 ? opts_string(opts, "release", NULL) : NULL,
               *uuid = type == 1 ? opts_string(opts, "uuid", NULL) : NULL;
    if (release && (sscanf(release, "%u.%u%c", &major, &minor, &rest) != 2 || major > 255 || minor > 255))
        return error_set(err, "-smbios: release=%s: two numbers from 0 to 255 are needed, as in 1.2", release);
    if (uuid && !g_uuid_string_is_valid(uuid))
        return error_set(err, "-smbios: uuid=%s is not a UUID, as in 550e8400-e29b-41d4-a716-446655440000", uuid);
    if (type == 0)
        return opts_bool(opts, "uefi", &flag, err);
    if (type == 4)
        return number(opts, "max-speed", UINT16_MAX, &value, err) &&
               number(opts, "current-speed", UINT16_MAX, &value, err) &&
               number(opts, "processor-id", UINT64_MAX, &value, err);
    if (type == 8)
        return number(opts, "connector_type", UINT8_MAX, &value, err) &&
               number(opts, "port_type", UINT8_MAX, &value, err);
    return type != 17 || number(opts, "speed", UINT16_MAX, &value, err);
}

static bool add_strings(Smbios *s, Opts *opts, GError **err)
{
    g_autofree const char **values = opts_strings(opts, "value");
    const char *path = opts_string(opts, "path", NULL);
    for (const char **v = values; *v; v++)
        g_ptr_array_add(s->strings, g_strdup(*v));
    if (path) {
        uint64_t size;
        g_autofree uint8_t *data = read_whole_file("-smbios: path", path, &size, err);
        if (!data)
            return false;
        g_ptr_array_add(s->strings, g_strndup((const char *)data, size));
    }
    return s->strings->len <= UINT8_MAX || error_set(err, "-smbios: type=11: there are more than 255 strings");
}

static bool add_pair(void *opts, const char *key, const char *value, GError **err)
{
    opts_add(opts, key, value);
    return true;
}

static bool add_type(Smbios *s, Opts *opts, GError **err)
{
    uint64_t type = 0;
    if (!opts_uint(opts, "type", &type, 0, UINT8_MAX, err))
        return false;
    if (type > MAX_TYPE || !type_keys[type][0])
        return error_set(err,
                         "-smbios: type=%u: 0, 1, 2, 3, 4, 8, 11 and 17 have keys; others need file=", (unsigned)type);
    for (const char *const *key = type_keys[type]; *key; key++)
        opts_string(opts, *key, NULL);
    if (!check_values(opts, type, err) || !opts_finish(opts, type_keys[type], err))
        return false;
    if (type == 11)
        return add_strings(s, opts, err);
    if (type != 8 && s->in_files[type])
        return error_set(err, "-smbios: a file= has the structure of type=%u already", (unsigned)type);
    Opts *to = type == 8 || !s->types[type] ? opts_new("-smbios") : s->types[type];
    if (type == 8)
        g_ptr_array_add(s->ports, to);
    else
        s->types[type] = to;
    return opts_foreach(opts, add_pair, to, err);
}

/* Length of the structure with its strings, or 0: it does not end within size. */
static size_t structure_length(const uint8_t *p, size_t size)
{
    if (size < 6 || p[1] < 4 || (size_t)p[1] + 2 > size)
        return 0;
    for (size_t at = p[1]; at + 1 < size; at++) {
        if (!p[at] && !p[at + 1])
            return at + 2;
    }
    return 0;
}

static bool add_file(Smbios *s, Opts *opts, GError **err)
{
    static const char *const known[] = { "file", NULL };
    const char *path = opts_string(opts, "file", NULL);
    uint64_t size;
    g_autofree uint8_t *data = NULL;
    if (!opts_finish(opts, known, err) || !(data = read_whole_file("-smbios: file", path, &size, err)))
        return false;
    if (!size || structure_length(data, size) != size)
        return error_set(err,
                         "-smbios: '%s' is not one SMBIOS structure: type, length, handle, fields, and strings that "
                         "end with two zeros",
                         path);
    if (data[0] > TYPES - 2 || (data[0] <= MAX_TYPE && s->types[data[0]]))
        return error_set(err, "-smbios: '%s' has a structure of type %u, which %s", path, data[0],
                         data[0] > TYPES - 2 ? "is not for files" : "type= has already");
    s->in_files[data[0]] = true;
    g_byte_array_append(s->files, data, size);
    return true;
}

bool smbios_option(Smbios **s, const char *text, GError **err)
{
    g_autoptr(Opts) opts = opts_parse("-smbios", text, NULL, err);
    if (!opts)
        return false;
    if (!*s) {
        *s = g_new0(Smbios, 1);
        (*s)->ports = g_ptr_array_new_with_free_func((GDestroyNotify)opts_free);
        (*s)->strings = g_ptr_array_new_with_free_func(g_free);
        (*s)->files = g_byte_array_new();
    }
    if (opts_has(opts, "file"))
        return add_file(*s, opts, err);
    if (!opts_has(opts, "type"))
        return error_set(err, "-smbios: type=NUMBER or file=FILE is missing");
    return add_type(*s, opts, err);
}

void smbios_free(Smbios *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i <= MAX_TYPE; i++)
        opts_free(s->types[i]);
    g_ptr_array_unref(s->ports);
    g_ptr_array_unref(s->strings);
    g_byte_array_unref(s->files);
    g_free(s);
}

/* ---- structures ---- */

typedef struct Writer {
    const Smbios *s;
    const SmbiosMachine *machine;
    GByteArray *out, *strings; /* strings: of the open structure */
    unsigned start, string_count, count, longest;
    Opts *opts; /* of the open structure's type; an empty one if there are none */
} Writer;

static void put(Writer *w, uint64_t value, unsigned bytes)
{
    value = GUINT64_TO_LE(value);
    g_byte_array_append(w->out, (const guint8 *)&value, bytes);
}

static void begin(Writer *w, unsigned type, unsigned length, unsigned handle, Opts *opts)
{
    w->start = w->out->len;
    w->string_count = 0;
    w->opts = opts;
    g_byte_array_set_size(w->strings, 0);
    put(w, type, 1);
    put(w, length, 1);
    put(w, handle, 2);
}

/* The number of a string; 0 for none. */
static void put_string(Writer *w, const char *text)
{
    if (text && *text)
        g_byte_array_append(w->strings, (const guint8 *)text, strlen(text) + 1);
    put(w, text && *text ? ++w->string_count : 0, 1);
}

static const char *option(const Writer *w, const char *key, const char *fallback)
{
    return w->opts ? opts_string(w->opts, key, fallback) : fallback;
}

static void put_option(Writer *w, const char *key, const char *fallback)
{
    put_string(w, option(w, key, fallback));
}

static uint64_t number_option(const Writer *w, const char *key, uint64_t value)
{
    if (w->opts)
        opts_uint(w->opts, key, &value, 0, UINT64_MAX, NULL);
    return value;
}

/* 6.1.3: strings, then a zero; two if there are none. */
static void end(Writer *w)
{
    g_assert(w->out->len - w->start == w->out->data[w->start + 1]);
    g_byte_array_append(w->out, w->strings->data, w->strings->len);
    put(w, 0, w->string_count ? 1 : 2);
    w->longest = MAX(w->longest, w->out->len - w->start);
    w->count++;
}

static Opts *opts_of(const Writer *w, unsigned type)
{
    return w->s && type <= MAX_TYPE ? w->s->types[type] : NULL;
}

/* -smbios has keys for it, or wanted, and no file has it. */
static bool wants(const Writer *w, unsigned type, bool wanted)
{
    return !(w->s && w->s->in_files[type]) && (wanted || opts_of(w, type));
}

/* 7.1: the BIOS; firmware makes it otherwise. */
static void put_bios(Writer *w)
{
    enum { NO_CHARACTERISTICS = 1 << 3, VIRTUAL_MACHINE = 1 << 4, UEFI = 1 << 3, TARGETED = 1 << 2 };
    unsigned major = 0, minor = 0;
    bool uefi = false;
    if (!wants(w, 0, w->machine->without_firmware))
        return;
    begin(w, 0, 24, 0, opts_of(w, 0));
    if (w->opts)
        opts_bool(w->opts, "uefi", &uefi, NULL);
    sscanf(option(w, "release", "0.0"), "%u.%u", &major, &minor);
    put_option(w, "vendor", "Rhea");
    put_option(w, "version", RHEA_VERSION);
    put(w, 0xe800, 2);
    put_option(w, "date", "04/01/2014");
    put(w, 0, 1); /* size */
    put(w, NO_CHARACTERISTICS, 8);
    put(w, 0, 1);
    put(w, VIRTUAL_MACHINE | TARGETED | (uefi ? UEFI : 0), 1);
    put(w, major, 1);
    put(w, minor, 1);
    put(w, 0xffff, 2); /* no embedded controller */
    end(w);
}

/* 7.2.1: the first three groups are little-endian */
static void put_uuid(Writer *w, const char *text)
{
    static const uint8_t places[16] = { 6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34 };
    for (unsigned i = 0; i < 16; i++)
        put(w, text ? g_ascii_xdigit_value(text[places[i]]) << 4 | g_ascii_xdigit_value(text[places[i] + 1]) : 0, 1);
}

static void put_system(Writer *w)
{
    enum { POWER_SWITCH = 6 };
    if (!wants(w, 1, true))
        return;
    begin(w, 1, 27, 0x100, opts_of(w, 1));
    put_option(w, "manufacturer", w->machine->manufacturer);
    put_option(w, "product", w->machine->product);
    put_option(w, "version", w->machine->version);
    put_option(w, "serial", NULL);
    put_uuid(w, option(w, "uuid", w->machine->uuid));
    put(w, POWER_SWITCH, 1);
    put_option(w, "sku", NULL);
    put_option(w, "family", NULL);
    end(w);
}

static void put_board(Writer *w)
{
    enum { HOSTING = 1, MOTHERBOARD = 10 };
    if (!wants(w, 2, false))
        return;
    begin(w, 2, 15, 0x200, opts_of(w, 2));
    put_option(w, "manufacturer", w->machine->manufacturer);
    put_option(w, "product", w->machine->product);
    put_option(w, "version", w->machine->version);
    put_option(w, "serial", NULL);
    put_option(w, "asset", NULL);
    put(w, HOSTING, 1);
    put_option(w, "location", NULL);
    put(w, 0x300, 2); /* in this chassis */
    put(w, MOTHERBOARD, 1);
    put(w, 0, 1);
    end(w);
}

static void put_chassis(Writer *w)
{
    enum { OTHER = 1, SAFE = 3, UNKNOWN = 2 };
    if (!wants(w, 3, true))
        return;
    begin(w, 3, 22, 0x300, opts_of(w, 3));
    put_option(w, "manufacturer", w->machine->manufacturer);
    put(w, OTHER, 1);
    put_option(w, "version", w->machine->version);
    put_option(w, "serial", NULL);
    put_option(w, "asset", NULL);
    put(w, SAFE | SAFE << 8 | SAFE << 16, 3); /* boot-up, power supply, temperature */
    put(w, UNKNOWN, 1);                       /* security */
    put(w, 0, 8);
    put_option(w, "sku", NULL);
    end(w);
}

static void put_processor(Writer *w, unsigned socket)
{
    enum { CENTRAL = 3, OTHER = 1, POPULATED_ENABLED = 0x41, NO_CACHE = 0xffff, UNKNOWN = 2 };
    const SmbiosMachine *m = w->machine;
    unsigned threads = m->cores * m->threads;
    if (!wants(w, 4, true))
        return;
    begin(w, 4, 48, 0x400 + socket, opts_of(w, 4));
    g_autofree char *name = g_strdup_printf("%s%2x", option(w, "sock_pfx", "CPU"), socket);
    put_string(w, name);
    put(w, CENTRAL, 1);
    put(w, OTHER, 1);
    put_option(w, "manufacturer", m->manufacturer);
    put(w, number_option(w, "processor-id", (uint64_t)m->cpu_features << 32 | m->cpu_signature), 8);
    put_option(w, "version", m->version);
    put(w, 0, 3); /* voltage, external clock */
    put(w, number_option(w, "max-speed", 2000), 2);
    put(w, number_option(w, "current-speed", 2000), 2);
    put(w, POPULATED_ENABLED, 1);
    put(w, OTHER, 1);
    for (unsigned cache = 0; cache < 3; cache++)
        put(w, NO_CACHE, 2);
    put_option(w, "serial", NULL);
    put_option(w, "asset", NULL);
    put_option(w, "part", NULL);
    put(w, MIN(m->cores, 255), 1);
    put(w, MIN(m->cores, 255), 1);
    put(w, MIN(threads, 255), 1);
    put(w, UNKNOWN, 2);
    put(w, OTHER, 2);
    put(w, m->cores, 2);
    put(w, m->cores, 2);
    put(w, threads, 2);
    end(w);
}

static void put_ports(Writer *w)
{
    for (guint i = 0; w->s && i < w->s->ports->len; i++) {
        begin(w, 8, 9, 0x800 + i, w->s->ports->pdata[i]);
        put_option(w, "internal_reference", NULL);
        put(w, 0, 1);
        put_option(w, "external_reference", NULL);
        put(w, number_option(w, "connector_type", 0), 1);
        put(w, number_option(w, "port_type", 0), 1);
        end(w);
    }
}

static void put_oem_strings(Writer *w)
{
    guint count = w->s ? w->s->strings->len : 0;
    if (!count)
        return;
    begin(w, 11, 5, 0xe00, NULL);
    put(w, count, 1);
    for (guint i = 0; i < count; i++) {
        const char *text = w->s->strings->pdata[i];
        g_byte_array_append(w->strings, (const guint8 *)(*text ? text : " "), *text ? strlen(text) + 1 : 2);
        w->string_count++;
    }
    end(w);
}

/* ---- memory (7.17, 7.18, 7.20) ---- */

static void put_memory_array(Writer *w, uint64_t ram, unsigned dimms)
{
    enum { OTHER = 1, SYSTEM_MEMORY = 3, MULTI_BIT_ECC = 6, NO_ERRORS = 0xfffe };
    const uint64_t kib = ram / KIB, limit = UINT64_C(0x80000000);
    begin(w, 16, 23, 0x1000, NULL);
    put(w, OTHER, 1);
    put(w, SYSTEM_MEMORY, 1);
    put(w, MULTI_BIT_ECC, 1);
    put(w, MIN(kib, limit), 4);
    put(w, NO_ERRORS, 2);
    put(w, dimms, 2);
    put(w, kib >= limit ? ram : 0, 8);
    end(w);
}

static void put_dimm(Writer *w, unsigned n, uint64_t size)
{
    enum { DIMM = 9, RAM = 7, OTHER = 1 << 1, NO_ERRORS = 0xfffe, UNKNOWN = 0xffff, EXTENDED = 0x7fff };
    const uint64_t mib = size >> 20;
    begin(w, 17, 40, 0x1100 + n, opts_of(w, 17));
    g_autofree char *name = g_strdup_printf("%s %u", option(w, "loc_pfx", "DIMM"), n);
    put(w, 0x1000, 2);
    put(w, NO_ERRORS, 2);
    put(w, UNKNOWN, 2);
    put(w, UNKNOWN, 2);
    put(w, MIN(mib, EXTENDED), 2);
    put(w, DIMM, 1);
    put(w, 0, 1);
    put_string(w, name);
    put_option(w, "bank", NULL);
    put(w, RAM, 1);
    put(w, OTHER, 2);
    put(w, number_option(w, "speed", 0), 2);
    put_option(w, "manufacturer", w->machine->manufacturer);
    put_option(w, "serial", NULL);
    put_option(w, "asset", NULL);
    put_option(w, "part", NULL);
    put(w, 0, 1);
    put(w, mib >= EXTENDED ? mib : 0, 4);
    put(w, number_option(w, "speed", 0), 2);
    put(w, 0, 6); /* voltages */
    end(w);
}

static void put_memory_range(Writer *w, unsigned n, uint64_t base, uint64_t size)
{
    const uint64_t first = base / KIB, last = (base + size) / KIB - 1;
    bool extended = last > UINT32_MAX;
    begin(w, 19, 31, 0x1300 + n, NULL);
    put(w, extended ? UINT32_MAX : first, 4);
    put(w, extended ? UINT32_MAX : last, 4);
    put(w, 0x1000, 2);
    put(w, 1, 1); /* devices in a row */
    put(w, extended ? base : 0, 8);
    put(w, extended ? base + size - 1 : 0, 8);
    end(w);
}

static void put_memory(Writer *w)
{
    const SmbiosMachine *m = w->machine;
    uint64_t ram = m->ram_low + m->ram_high;
    unsigned dimms = (ram + DIMM_SIZE - 1) / DIMM_SIZE;
    if (wants(w, 16, true))
        put_memory_array(w, ram, dimms);
    for (unsigned i = 0; i < dimms && wants(w, 17, true); i++)
        put_dimm(w, i, MIN(DIMM_SIZE, ram - i * DIMM_SIZE));
    if (wants(w, 19, true))
        put_memory_range(w, 0, 0, m->ram_low);
    if (m->ram_high && wants(w, 19, true))
        put_memory_range(w, 1, UINT64_C(1) << 32, m->ram_high);
}

/* ---- all ---- */

static void put_files(Writer *w)
{
    const GByteArray *files = w->s ? w->s->files : NULL;
    for (size_t at = 0, length; files && at < files->len; at += length) {
        length = structure_length(files->data + at, files->len - at);
        w->longest = MAX(w->longest, length);
        w->count++;
    }
    if (files)
        g_byte_array_append(w->out, files->data, files->len);
}

static uint8_t checksum(const uint8_t *p, unsigned len)
{
    uint8_t sum = 0;
    while (len--)
        sum += *p++;
    return -sum;
}

/* 5.2.1 */
enum { ANCHOR_CHECKSUM = 4, ANCHOR_MIDDLE = 16, ANCHOR_MIDDLE_CHECKSUM = 21, ANCHOR_ADDRESS = 24 };

void smbios_link(GByteArray *anchor, uint32_t tables)
{
    uint8_t *p = anchor->data;
    tables = GUINT32_TO_LE(tables);
    memcpy(p + ANCHOR_ADDRESS, &tables, 4);
    p[ANCHOR_CHECKSUM] = p[ANCHOR_MIDDLE_CHECKSUM] = 0;
    p[ANCHOR_MIDDLE_CHECKSUM] = checksum(p + ANCHOR_MIDDLE, SMBIOS_ANCHOR_SIZE - ANCHOR_MIDDLE);
    p[ANCHOR_CHECKSUM] = checksum(p, SMBIOS_ANCHOR_SIZE);
}

static GByteArray *make_anchor(const Writer *w)
{
    uint8_t p[SMBIOS_ANCHOR_SIZE] = "_SM_";
    p[5] = sizeof(p);
    p[6] = 2; /* version 2.8 */
    p[7] = 8;
    p[8] = w->longest;
    p[9] = w->longest >> 8;
    memcpy(p + ANCHOR_MIDDLE, "_DMI_", 5);
    p[22] = w->out->len;
    p[23] = w->out->len >> 8;
    p[28] = w->count;
    p[29] = w->count >> 8;
    p[30] = 0x28;
    GByteArray *anchor = g_byte_array_append(g_byte_array_new(), p, sizeof(p));
    smbios_link(anchor, 0);
    return anchor;
}

bool smbios_build(const Smbios *s, const SmbiosMachine *machine, GByteArray **tables, GByteArray **anchor, GError **err)
{
    Writer w = { .s = s, .machine = machine, .out = g_byte_array_new() };
    w.strings = g_byte_array_new();
    put_files(&w);
    put_bios(&w);
    put_system(&w);
    put_board(&w);
    put_chassis(&w);
    for (unsigned socket = 0; socket < machine->sockets; socket++)
        put_processor(&w, socket);
    put_ports(&w);
    put_oem_strings(&w);
    put_memory(&w);
    if (wants(&w, 32, true)) {
        begin(&w, 32, 11, 0x2000, NULL); /* boot status: no errors */
        put(&w, 0, 7);
        end(&w);
    }
    begin(&w, 127, 4, 0x7f00, NULL);
    end(&w);
    g_byte_array_unref(w.strings);
    if (w.out->len > UINT16_MAX) {
        error_set(err, "-smbios: the tables take %u bytes, 65535 are possible", w.out->len);
        g_byte_array_unref(w.out);
        return false;
    }
    *anchor = make_anchor(&w);
    *tables = w.out;
    return true;
}
