/*
 * ACPI tables for fw_cfg (see tables.h; ACPI Specification 6.5, 5.2). The script's commands are 128 bytes long:
 * allocate a file's memory, add a file's address to a pointer in another one, compute a checksum.
 * SPDX-License-Identifier: MIT
 */
#include "hw/acpi/tables.h"
#include <string.h>

enum { COMMAND_ALLOCATE = 1, COMMAND_POINTER = 2, COMMAND_CHECKSUM = 3, COMMAND_BYTES = 128, NAME_BYTES = 56 };
enum { ZONE_HIGH = 1, ZONE_FSEG = 2 };
enum { HEADER_BYTES = 36, HEADER_LENGTH = 4, HEADER_CHECKSUM = 9 };
enum { RSDP_BYTES = 36, RSDP_V1_BYTES = 20, RSDP_CHECKSUM = 8, RSDP_RSDT = 16, RSDP_XSDT = 24 };
enum { RSDP_EXTENDED_CHECKSUM = 32, NO_TABLE = -1 };

struct AcpiTables {
    GByteArray *out;    /* all tables, one behind the other */
    guint start;        /* of the open one */
    GArray *starts;     /* guint: of those that the XSDT lists */
    guint dsdt, facs;   /* NO_TABLE: none yet */
    bool rsdt;          /* there is one */
    GByteArray *script; /* pointers, checksums */
};

AcpiTables *acpi_new(void)
{
    AcpiTables *t = g_new0(AcpiTables, 1);
    t->out = g_byte_array_new();
    t->starts = g_array_new(FALSE, FALSE, sizeof(guint));
    t->script = g_byte_array_new();
    t->dsdt = t->facs = NO_TABLE;
    return t;
}

AcpiTables *acpi_new_below_4g(void)
{
    AcpiTables *t = acpi_new();
    t->rsdt = true;
    return t;
}

/* ---- script ---- */

static uint32_t get32(const uint8_t *p)
{
    uint32_t value;
    memcpy(&value, p, 4);
    return GUINT32_FROM_LE(value);
}

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

/* The bytes at offset of file hold an offset in the tables: make it their address. */
static void script_pointer(GByteArray *script, const char *file, uint32_t offset, unsigned bytes)
{
    uint8_t c[COMMAND_BYTES] = { COMMAND_POINTER };
    memcpy(c + 4, file, strlen(file));
    memcpy(c + 4 + NAME_BYTES, ACPI_FILE_TABLES, strlen(ACPI_FILE_TABLES));
    set32(c + 4 + 2 * NAME_BYTES, offset);
    c[8 + 2 * NAME_BYTES] = bytes;
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
    acpi_address_in(t, ACPI_GAS_MEMORY, address, width_bits, access_bytes);
}

void acpi_address_in(AcpiTables *t, unsigned space, uint64_t address, unsigned width_bits, unsigned access_bytes)
{
    acpi_put(t, space, 1);
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
static void put_pointer(AcpiTables *t, guint target, unsigned bytes)
{
    script_pointer(t->script, ACPI_FILE_TABLES, t->out->len, bytes);
    acpi_put(t, target, bytes);
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
    script_checksum(t->script, ACPI_FILE_TABLES, t->start + HEADER_CHECKSUM, t->start, acpi_offset(t));
}

void acpi_dsdt(AcpiTables *t, GByteArray *code)
{
    acpi_begin(t, "DSDT", 2);
    acpi_bytes(t, code->data, code->len);
    acpi_end(t);
    g_byte_array_unref(code);
}

/* 5.2.9: what follows the FADT's first pointers up to the flags, then the rest, differ by kind of machine. */
enum { FADT_LENGTH = 276, FADT_FLAGS = 112, FADT_MINOR_REVISION = 131, FADT_X_DSDT = 140 };

void acpi_fadt_reduced_with(AcpiTables *t, uint64_t sleep_control, uint64_t sleep_status, uint64_t reset,
                            uint8_t reset_value)
{
    enum { RESET_REGISTER = 116, SLEEP_CONTROL = 244, RESET_SUPPORTED = 1 << 10, HARDWARE_REDUCED = 1 << 20 };
    g_assert(t->dsdt != (guint)NO_TABLE);
    acpi_begin(t, "FACP", 6);
    acpi_zeros(t, RESET_REGISTER - HEADER_BYTES);
    if (reset)
        acpi_address(t, reset, 8, 1);
    else
        acpi_zeros(t, 12);
    acpi_put(t, reset_value, 1);
    acpi_zeros(t, FADT_X_DSDT - acpi_offset(t));
    acpi_set(t, FADT_FLAGS, HARDWARE_REDUCED | (reset ? RESET_SUPPORTED : 0), 4);
    acpi_set(t, FADT_MINOR_REVISION, 5, 1);
    put_pointer(t, t->dsdt, 8);
    acpi_zeros(t, SLEEP_CONTROL - acpi_offset(t));
    if (sleep_control) {
        acpi_address(t, sleep_control, 8, 1);
        acpi_address(t, sleep_status, 8, 1);
    }
    acpi_zeros(t, FADT_LENGTH - acpi_offset(t) - 8);
    acpi_bytes(t, "RHEA\0\0\0", 8); /* hypervisor vendor identity */
    acpi_end(t);
}

void acpi_fadt_reduced(AcpiTables *t)
{
    acpi_fadt_reduced_with(t, 0, 0, 0, 0);
}

/* ---- a PC's fixed hardware ---- */

/* 5.2.10; no checksum. It has to lie at a multiple of 64, as the first does. */
void acpi_facs(AcpiTables *t)
{
    g_assert(!t->out->len);
    t->facs = 0;
    acpi_bytes(t, "FACS", 4);
    acpi_put(t, 64, 4);
    acpi_zeros(t, 56);
}

/* The registers' places in ports and their lengths, up to the latencies of C states that there are not. */
static void put_fadt_ports(AcpiTables *t, const AcpiFadt *f)
{
    const struct {
        uint32_t value;
        uint8_t bytes;
    } fields[] = { { f->pm_base, 4 },     /* PM1a event block */
                   { 0, 4 },              /* PM1b */
                   { f->pm_base + 4, 4 }, /* PM1a control block */
                   { 0, 4 },              /* PM1b */
                   { 0, 4 },              /* PM2 */
                   { f->pm_base + 8, 4 }, /* timer */
                   { f->gpe_base, 4 },    /* GPE0 */
                   { 0, 4 },              /* GPE1 */
                   { 4, 1 },              /* their lengths: PM1 event */
                   { 2, 1 },              /* PM1 control */
                   { 0, 1 },              /* PM2 */
                   { 4, 1 },              /* timer */
                   { f->gpe_bytes, 1 },   /* GPE0 */
                   { 0, 1 },              /* GPE1 */
                   { 0, 1 },              /* where GPE1 starts */
                   { 0, 1 },              /* no C state notification */
                   { 0xfff, 2 },
                   { 0xfff, 2 }, /* no C2, no C3 */
                   { 0, 2 },
                   { 0, 2 }, /* flush size and stride: WBINVD works */
                   { 0, 1 },
                   { 0, 1 }, /* no duty cycle */
                   { 0, 1 },
                   { 0, 1 }, /* no alarm by day or month */
                   { f->century, 1 } };
    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++)
        acpi_put(t, fields[i].value, fields[i].bytes);
}

static uint32_t fadt_flags(const AcpiFadt *f)
{
    enum { WBINVD = 1 << 0, PROC_C1 = 1 << 2, SLEEP_BUTTON_IS_CONTROL_METHOD = 1 << 5, RTC_S4 = 1 << 7 };
    enum { RESET_SUPPORTED = 1 << 10, USE_PLATFORM_CLOCK = 1 << 15, CLUSTER_MODEL = 1 << 18 };
    return WBINVD | PROC_C1 | SLEEP_BUTTON_IS_CONTROL_METHOD | RTC_S4 | RESET_SUPPORTED |
           (f->platform_clock ? USE_PLATFORM_CLOCK : 0) | (f->many_cpus ? CLUSTER_MODEL : 0);
}

void acpi_fadt(AcpiTables *t, const AcpiFadt *f)
{
    enum { INTERRUPT_MODEL_APIC = 1, RESET_PORT = 0xcf9, RESET_VALUE = 0x0f };
    enum { BOOT_LEGACY_DEVICES = 1, BOOT_8042 = 2 };
    const struct {
        uint16_t base, bits;
        uint8_t access;
    } blocks[] = { { f->pm_base, 32, 0 },
                   { 0, 0, 0 },
                   { f->pm_base + 4, 16, 0 },
                   { 0, 0, 0 },
                   { 0, 0, 0 },
                   { f->pm_base + 8, 32, 0 },
                   { f->gpe_base, f->gpe_bytes * 8, 0 },
                   { 0, 0, 0 } };
    g_assert(t->dsdt != (guint)NO_TABLE && t->facs != (guint)NO_TABLE);
    acpi_begin(t, "FACP", 3);
    put_pointer(t, t->facs, 4);
    put_pointer(t, t->dsdt, 4);
    acpi_put(t, INTERRUPT_MODEL_APIC, 1);
    acpi_put(t, 0, 1); /* profile: not said */
    acpi_put(t, f->sci, 2);
    acpi_put(t, f->smi_port, 4);
    acpi_put(t, f->acpi_enable, 1);
    acpi_put(t, f->acpi_disable, 1);
    acpi_zeros(t, 2); /* no S4 by the BIOS, no P state control */
    put_fadt_ports(t, f);
    acpi_put(t, BOOT_LEGACY_DEVICES | (f->i8042 ? BOOT_8042 : 0), 2);
    acpi_put(t, 0, 1);
    acpi_put(t, fadt_flags(f), 4);
    acpi_address_in(t, ACPI_GAS_IO, RESET_PORT, 8, 0);
    acpi_put(t, RESET_VALUE, 1);
    acpi_zeros(t, 3);
    acpi_zeros(t, 8); /* the FACS has 32 bits of address already */
    put_pointer(t, t->dsdt, 8);
    for (unsigned i = 0; i < G_N_ELEMENTS(blocks); i++)
        acpi_address_in(t, blocks[i].bits ? ACPI_GAS_IO : ACPI_GAS_MEMORY, blocks[i].base, blocks[i].bits,
                        blocks[i].access);
    acpi_end(t);
}

void acpi_table(AcpiTables *t, const void *data, size_t len)
{
    acpi_zeros(t, -t->out->len & 7);
    t->start = t->out->len;
    g_array_append_val(t->starts, t->start);
    acpi_bytes(t, data, len);
}

/* ---- files ---- */

static guint put_list(AcpiTables *t, const char *signature, unsigned bytes)
{
    put_header(t, signature, 1);
    for (guint i = 0; i < t->starts->len; i++)
        put_pointer(t, g_array_index(t->starts, guint, i), bytes);
    acpi_end(t);
    return t->start;
}

/* 5.2.5.3 */
static GByteArray *make_rsdp(GByteArray *script, guint rsdt, guint xsdt)
{
    uint8_t rsdp[RSDP_BYTES] = "RSD PTR ";
    memcpy(rsdp + 9, "RHEA  ", 6);
    rsdp[15] = 2; /* revision */
    set32(rsdp + 20, RSDP_BYTES);
    set32(rsdp + RSDP_XSDT, xsdt);
    if (rsdt != (guint)NO_TABLE) {
        set32(rsdp + RSDP_RSDT, rsdt);
        script_pointer(script, ACPI_FILE_RSDP, RSDP_RSDT, 4);
    }
    script_pointer(script, ACPI_FILE_RSDP, RSDP_XSDT, 8);
    script_checksum(script, ACPI_FILE_RSDP, RSDP_CHECKSUM, 0, RSDP_V1_BYTES);
    script_checksum(script, ACPI_FILE_RSDP, RSDP_EXTENDED_CHECKSUM, 0, RSDP_BYTES);
    return g_byte_array_append(g_byte_array_new(), rsdp, sizeof(rsdp));
}

AcpiFiles acpi_files(AcpiTables *t, size_t room)
{
    GByteArray *script = g_byte_array_new();
    guint rsdt = t->rsdt ? put_list(t, "RSDT", 4) : (guint)NO_TABLE, xsdt = put_list(t, "XSDT", 8);
    script_allocate(script, ACPI_FILE_TABLES, 64, ZONE_HIGH);
    script_allocate(script, ACPI_FILE_RSDP, 16, ZONE_FSEG);
    g_byte_array_append(script, t->script->data, t->script->len);
    GByteArray *rsdp = make_rsdp(script, rsdt, xsdt);
    if (room)
        acpi_zeros(t, (room - t->out->len % room) % room);
    AcpiFiles files = { t->out, rsdp, script };
    g_byte_array_unref(t->script);
    g_array_unref(t->starts);
    g_free(t);
    return files;
}

void acpi_files_clear(AcpiFiles *files)
{
    GByteArray **arrays[] = { &files->tables, &files->rsdp, &files->script };
    for (unsigned i = 0; i < G_N_ELEMENTS(arrays); i++)
        g_clear_pointer(arrays[i], g_byte_array_unref);
}

bool acpi_offer(const AcpiFiles *files, FwCfg *f, const FwCfgFileOps *ops, void *opaque, GError **err)
{
    const struct {
        const char *name;
        const GByteArray *data;
    } list[] = { { ACPI_FILE_RSDP, files->rsdp },
                 { ACPI_FILE_TABLES, files->tables },
                 { ACPI_FILE_LOADER, files->script } };
    for (unsigned i = 0; i < G_N_ELEMENTS(list); i++) {
        if (!fw_cfg_set_active_file(f, list[i].name, list[i].data->data, list[i].data->len, ops, opaque, err))
            return false;
    }
    return true;
}

/* ---- the script, done by ourselves ---- */

static GByteArray *named(AcpiFiles *files, const uint8_t *name)
{
    return strcmp((const char *)name, ACPI_FILE_RSDP) ? files->tables : files->rsdp;
}

static void link_pointer(GByteArray *file, const uint8_t *c, uint64_t base)
{
    unsigned bytes = c[8 + 2 * NAME_BYTES];
    uint64_t value = 0;
    uint8_t *p = file->data + get32(c + 4 + 2 * NAME_BYTES);
    memcpy(&value, p, bytes);
    value = GUINT64_TO_LE(GUINT64_FROM_LE(value) + base);
    memcpy(p, &value, bytes);
}

static void link_checksum(GByteArray *file, const uint8_t *c)
{
    uint32_t at = get32(c + 4 + NAME_BYTES), start = get32(c + 8 + NAME_BYTES), len = get32(c + 12 + NAME_BYTES);
    uint8_t sum = 0;
    file->data[at] = 0;
    for (uint32_t i = 0; i < len; i++)
        sum += file->data[start + i];
    file->data[at] = -sum;
}

void acpi_link(AcpiFiles *files, uint64_t tables, uint64_t rsdp)
{
    for (guint at = 0; at < files->script->len; at += COMMAND_BYTES) {
        const uint8_t *c = files->script->data + at;
        GByteArray *file = named(files, c + 4);
        if (get32(c) == COMMAND_POINTER)
            link_pointer(file, c, named(files, c + 4 + NAME_BYTES) == files->tables ? tables : rsdp);
        else if (get32(c) == COMMAND_CHECKSUM)
            link_checksum(file, c);
    }
}

bool acpi_finish(AcpiTables *t, FwCfg *f, GError **err)
{
    AcpiFiles files = acpi_files(t, 0);
    bool ok = acpi_offer(&files, f, NULL, NULL, err);
    acpi_files_clear(&files);
    return ok;
}
