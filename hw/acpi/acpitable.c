/*
 * -acpitable: a table from files with (file=) or without (data=) its header; keys replace the header's fields (ACPI
 * Specification 6.5, 5.2.6).
 * SPDX-License-Identifier: MIT
 */
#include "hw/acpi/acpitable.h"
#include "hw/firmware/loader.h"
#include "util/error.h"
#include "util/options.h"
#include <string.h>

enum { HEADER = 36, LENGTH = 4, REVISION = 8, CHECKSUM = 9, OEM_REVISION = 24, CREATOR_REVISION = 32 };
enum { TABLE_MAX = 64 << 20 };

static const struct {
    const char *key, *fallback;
    unsigned at, bytes;
} texts[] = { { "sig", "QEMU", 0, 4 },
              { "oem_id", "RHEA  ", 10, 6 },
              { "oem_table_id", "RHEAVIRT", 16, 8 },
              { "asl_compiler_id", "RHEA", 28, 4 } };
static const struct {
    const char *key;
    unsigned at, bytes;
} numbers[] = { { "rev", REVISION, 1 }, { "oem_rev", OEM_REVISION, 4 }, { "asl_compiler_rev", CREATOR_REVISION, 4 } };

/* The files of a list with colons, one behind the other. */
static bool append_files(GByteArray *out, const char *key, const char *list, GError **err)
{
    g_auto(GStrv) paths = g_strsplit(list, ":", -1);
    g_autofree char *what = g_strdup_printf("-acpitable: %s", key);
    for (char **path = paths; *path; path++) {
        uint64_t size;
        g_autofree uint8_t *data = read_whole_file(what, *path, &size, err);
        if (!data)
            return false;
        if (size > TABLE_MAX - out->len)
            return error_set(err, "%s: the table has more than %d MiB", what, TABLE_MAX >> 20);
        g_byte_array_append(out, data, size);
    }
    return true;
}

static bool set_fields(GByteArray *table, Opts *opts, bool has_header, GError **err)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        const char *text = opts_string(opts, texts[i].key, has_header ? NULL : texts[i].fallback);
        if (!text)
            continue;
        size_t len = strlen(text);
        if (len > texts[i].bytes || (texts[i].at == 0 && len != 4))
            return error_set(err, "-acpitable: %s=%s: %s %u characters", texts[i].key, text,
                             texts[i].at ? "at most" : "exactly", texts[i].bytes);
        memset(table->data + texts[i].at, 0, texts[i].bytes);
        memcpy(table->data + texts[i].at, text, len);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++) {
        uint64_t value = 1;
        bool given = opts_has(opts, numbers[i].key);
        if (!opts_uint(opts, numbers[i].key, &value, 0, (UINT64_C(1) << (8 * numbers[i].bytes)) - 1, err))
            return false;
        value = GUINT64_TO_LE(value);
        if (given || !has_header)
            memcpy(table->data + numbers[i].at, &value, numbers[i].bytes);
    }
    return true;
}

static bool check_header(const GByteArray *table, const char *path, GError **err)
{
    uint32_t length = 0;
    if (table->len >= HEADER)
        memcpy(&length, table->data + LENGTH, 4);
    length = GUINT32_FROM_LE(length);
    if (table->len < HEADER)
        return error_set(
            err, "-acpitable: '%s' has %u bytes, fewer than a table's header (%d); data= takes files without one", path,
            table->len, HEADER);
    return length == table->len ||
           error_set(err, "-acpitable: '%s' has %u bytes, but its header says %u; data= takes files without one", path,
                     table->len, length);
}

static void finish_table(GByteArray *table)
{
    uint32_t length = GUINT32_TO_LE(table->len);
    uint8_t sum = 0;
    memcpy(table->data + LENGTH, &length, 4);
    table->data[CHECKSUM] = 0;
    for (guint i = 0; i < table->len; i++)
        sum += table->data[i];
    table->data[CHECKSUM] = -sum;
}

GByteArray *acpitable_option(const char *text, GError **err)
{
    static const char *const known[] = {
        "sig", "rev", "oem_id", "oem_table_id", "oem_rev", "asl_compiler_id", "asl_compiler_rev", "file", "data", NULL
    };
    g_autoptr(Opts) opts = opts_parse("-acpitable", text, NULL, err);
    if (!opts)
        return NULL;
    const char *file = opts_string(opts, "file", NULL), *data = opts_string(opts, "data", NULL);
    g_autoptr(GByteArray) table = g_byte_array_new();
    bool ok = !file != !data ||
              error_set(err, "-acpitable: either file= or data= is needed: files with, or without, a table's header");
    if (ok && data) {
        g_byte_array_set_size(table, HEADER);
        memset(table->data, 0, HEADER);
    }
    ok = ok && append_files(table, file ? "file" : "data", file ? file : data, err) &&
         (!file || check_header(table, file, err)) && set_fields(table, opts, file != NULL, err) &&
         opts_finish(opts, known, err);
    if (!ok)
        return NULL;
    finish_table(table);
    return g_steal_pointer(&table);
}
