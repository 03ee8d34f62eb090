/*
 * ACPI tables for fw_cfg (see tables.h; ACPI Specification 6.5, 5.2). The script's commands are 128 bytes long:
 * allocate a file's memory, add a file's address to a pointer in another one, compute a checksum.
 * SPDX-License-Identifier: MIT
 */
#include "hw/acpi/tables.h"
#include <string.h>

#define FILE_TABLES "etc/acpi/tables"
#define FILE_RSDP   "etc/acpi/rsdp"
#define FILE_LOADER "etc/table-loader"

enum { COMMAND_ALLOCATE = 1, COMMAND_POINTER = 2, COMMAND_CHECKSUM = 3, COMMAND_BYTES = 128, NAME_BYTES = 56 };
enum { ZONE_HIGH = 1, ZONE_FSEG = 2 };
enum { HEADER_BYTES = 36, HEADER_LENGTH = 4, HEADER_CHECKSUM = 9 };
enum { RSDP_BYTES = 36, RSDP_V1_BYTES = 20, RSDP_CHECKSUM = 8, RSDP_XSDT = 24, RSDP_EXTENDED_CHECKSUM = 32 };

struct AcpiTables {
    GByteArray *out;    /* all tables, one behind the other */
    guint start;        /* of the open one */
    GArray *starts;     /* guint: of those that the XSDT lists */
    guint dsdt;         /* 0xffffffff: none yet */
    GByteArray *script; /* pointers, checksums */
};

AcpiTables *acpi_new(void)
{
    AcpiTables *t = g_new0(AcpiTables, 1);
    t->out = g_byte_array_new();
    t->starts = g_array_new(FALSE, FALSE, sizeof(guint));
    t->script = g_byte_array_new();
    t->dsdt = UINT32_MAX;
    return t;
}

/* ---- script ---- */

static void set32(uint8_t *p, uint32_t value)
{
    value = GUINT32_TO_LE(value);
    memcpy(p, &value, 4);
}

static void script_allocate(GByteArray *script, const char *file, uint32_t align, uint8_t zone)
{
    uint8_t c[COMMAND_BYTES] = { COMMAND_ALLOCATE };
    memcpy(c + 4, file, strlen(file));
    set32(c + 4 + NAME_BYTES, align);
    c[8 + NAME_BYTES] = zone;
    g_byte_array_append(script, c, sizeof(c));
}

/* The 8 bytes at offset of file hold an offset in the tables: make it their address. */
static void script_pointer(GByteArray *script, const char *file, uint32_t offset)
{
    uint8_t c[COMMAND_BYTES] = { COMMAND_POINTER };
    memcpy(c + 4, file, strlen(file));
    memcpy(c + 4 + NAME_BYTES, FILE_TABLES, strlen(FILE_TABLES));
    set32(c + 4 + 2 * NAME_BYTES, offset);
    c[8 + 2 * NAME_BYTES] = 8;
    g_byte_array_append(script, c, sizeof(c));
}

static void script_checksum(GByteArray *script, const char *file, uint32_t at, uint32_t start, uint32_t len)
{
    uint8_t c[COMMAND_BYTES] = { COMMAND_CHECKSUM };
    memcpy(c + 4, file, strlen(file));
    set32(c + 4 + NAME_BYTES, at);
    set32(c + 8 + NAME_BYTES, start);
    set32(c + 12 + NAME_BYTES, len);
    g_byte_array_append(script, c, sizeof(c));
}

/* ---- tables ---- */

void acpi_put(AcpiTables *t, uint64_t value, unsigned bytes)
{
    value = GUINT64_TO_LE(value);
    g_byte_array_append(t->out, (const guint8 *)&value, bytes);
}

void acpi_bytes(AcpiTables *t, const void *data, size_t len)
{
    g_byte_array_append(t->out, data, len);
}

void acpi_zeros(AcpiTables *t, size_t len)
{
    guint old = t->out->len;
    if (!len)
        return;
    g_byte_array_set_size(t->out, old + len);
    memset(t->out->data + old, 0, len);
}

void acpi_address(AcpiTables *t, uint64_t address, unsigned width_bits, unsigned access_bytes)
{
    acpi_put(t, ACPI_GAS_MEMORY, 1);
    acpi_put(t, width_bits, 1);
    acpi_put(t, 0, 1);
    acpi_put(t, access_bytes ? g_bit_nth_msf(access_bytes, -1) + 1 : 0, 1);
    acpi_put(t, address, 8);
}

size_t acpi_offset(const AcpiTables *t)
{
    return t->out->len - t->start;
}

void acpi_set(AcpiTables *t, size_t offset, uint64_t value, unsigned bytes)
{
    g_assert(offset + bytes <= acpi_offset(t));
    value = GUINT64_TO_LE(value);
    memcpy(t->out->data + t->start + offset, &value, bytes);
}

/* A pointer in the open table to what is at offset target of all tables. */
static void put_pointer(AcpiTables *t, guint target)
{
    script_pointer(t->script, FILE_TABLES, t->out->len);
    acpi_put(t, target, 8);
}

/* 5.2.6 */
static void put_header(AcpiTables *t, const char *signature, unsigned revision)
{
    acpi_zeros(t, -t->out->len & 7);
    t->start = t->out->len;
    acpi_bytes(t, signature, 4);
    acpi_put(t, 0, 4); /* length: acpi_end */
    acpi_put(t, revision, 1);
    acpi_put(t, 0, 1);
    acpi_bytes(t, "RHEA  ", 6);
    acpi_bytes(t, "RHEAVIRT", 8);
    acpi_put(t, 1, 4);
    acpi_bytes(t, "RHEA", 4);
    acpi_put(t, 1, 4);
}

void acpi_begin(AcpiTables *t, const char *signature, unsigned revision)
{
    put_header(t, signature, revision);
    if (strcmp(signature, "DSDT"))
        g_array_append_val(t->starts, t->start);
    else
        t->dsdt = t->start;
}

void acpi_end(AcpiTables *t)
{
    acpi_set(t, HEADER_LENGTH, acpi_offset(t), 4);
    script_checksum(t->script, FILE_TABLES, t->start + HEADER_CHECKSUM, t->start, acpi_offset(t));
}

void acpi_dsdt(AcpiTables *t, GByteArray *code)
{
    acpi_begin(t, "DSDT", 2);
    acpi_bytes(t, code->data, code->len);
    acpi_end(t);
    g_byte_array_unref(code);
}

void acpi_fadt_reduced(AcpiTables *t)
{
    enum { LENGTH = 276, FLAGS = 112, MINOR_REVISION = 131, X_DSDT = 140, HARDWARE_REDUCED = 1 << 20 };
    g_assert(t->dsdt != UINT32_MAX);
    acpi_begin(t, "FACP", 6);
    acpi_zeros(t, X_DSDT - HEADER_BYTES);
    acpi_set(t, FLAGS, HARDWARE_REDUCED, 4);
    acpi_set(t, MINOR_REVISION, 5, 1);
    put_pointer(t, t->dsdt);
    acpi_zeros(t, LENGTH - acpi_offset(t) - 8);
    acpi_bytes(t, "RHEA\0\0\0", 8); /* hypervisor vendor identity */
    acpi_end(t);
}

/* 5.2.5.3 */
static bool offer_rsdp(FwCfg *f, GByteArray *script, uint64_t xsdt, GError **err)
{
    uint8_t rsdp[RSDP_BYTES] = "RSD PTR ";
    memcpy(rsdp + 9, "RHEA  ", 6);
    rsdp[15] = 2; /* revision */
    set32(rsdp + 20, RSDP_BYTES);
    set32(rsdp + RSDP_XSDT, xsdt);
    script_pointer(script, FILE_RSDP, RSDP_XSDT);
    script_checksum(script, FILE_RSDP, RSDP_CHECKSUM, 0, RSDP_V1_BYTES);
    script_checksum(script, FILE_RSDP, RSDP_EXTENDED_CHECKSUM, 0, RSDP_BYTES);
    return fw_cfg_set_file(f, FILE_RSDP, rsdp, sizeof(rsdp), err);
}

bool acpi_finish(AcpiTables *t, FwCfg *f, GError **err)
{
    g_autoptr(GByteArray) script = g_byte_array_new();
    put_header(t, "XSDT", 1);
    guint xsdt = t->start;
    for (guint i = 0; i < t->starts->len; i++)
        put_pointer(t, g_array_index(t->starts, guint, i));
    acpi_end(t);
    script_allocate(script, FILE_TABLES, 64, ZONE_HIGH);
    script_allocate(script, FILE_RSDP, 16, ZONE_FSEG);
    g_byte_array_append(script, t->script->data, t->script->len);
    bool ok = offer_rsdp(f, script, xsdt, err) && fw_cfg_set_file(f, FILE_TABLES, t->out->data, t->out->len, err) &&
              fw_cfg_set_file(f, FILE_LOADER, script->data, script->len, err);
    g_byte_array_unref(t->out);
    g_byte_array_unref(t->script);
    g_array_unref(t->starts);
    g_free(t);
    return ok;
}
