/*
 * ACPI tables: byte code against what the specification says it is, and the machine's tables as firmware puts them
 * together: checksums, pointers, and iasl (package acpica-tools), which takes them apart and compiles the DSDT again.
 * SPDX-License-Identifier: MIT
 */
#include "accel/accel.h"
#include "hw/acpi/aml.h"
#include "hw/machine/riscv_virt.h"
#include "iasl.h"
#include "util/error.h"
#include <string.h>

static void expect_code(Aml *a, const char *hex)
{
    g_autoptr(GByteArray) code = aml_finish(a);
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < code->len; i++)
        g_string_append_printf(text, "%02x", code->data[i]);
    g_assert_cmpstr(text->str, ==, hex);
}

/* ---- AML: expected bytes by hand, ACPI 6.5, 20.2 ---- */

static void test_terms(void)
{
    Aml *a = aml_new();
    aml_integer(a, 0);
    aml_integer(a, 1);
    aml_integer(a, 0xfe);
    aml_integer(a, 0x1234);
    aml_integer(a, 0x12345678);
    aml_integer(a, 0x123456789);
    expect_code(a, "00"
                   "01"
                   "0afe"
                   "0b3412"
                   "0c78563412"
                   "0e8967452301000000");
    a = aml_new();
    aml_name_eisa_id(a, "_HID", "PNP0A08");
    aml_name_string(a, "AB", "x");
    aml_path(a, "\\_SB.PCI0.GSI1");
    expect_code(a, "08"
                   "5f484944"
                   "0c41d00a08"
                   "08"
                   "41425f5f"
                   "0d7800"
                   "5c2f03"
                   "5f53425f"
                   "50434930"
                   "47534931");
    a = aml_new();
    aml_uuid(a, "33db4d5b-1ff7-401c-9657-7441c03dd766");
    expect_code(a, "1113"
                   "0a10"
                   "5b4ddb33f71f1c4096577441c03dd766");
}

/* Package lengths of one to three bytes; they count themselves. */
static void test_lengths(void)
{
    static const uint8_t zeros[8192];
    for (unsigned bytes = 50; bytes < 8000; bytes += bytes < 70 || (bytes > 4080 && bytes < 4100) ? 1 : 7) {
        Aml *a = aml_new();
        aml_buffer(a, zeros, bytes);
        g_autoptr(GByteArray) code = aml_finish(a);
        unsigned follow = code->data[1] >> 6, length = follow ? code->data[1] & 15 : code->data[1];
        for (unsigned i = 0; i < follow; i++)
            length |= code->data[2 + i] << (4 + 8 * i);
        g_assert_cmpuint(length, ==, code->len - 1);
    }
}

static void test_nesting(void)
{
    Aml *a = aml_new();
    aml_scope(a, "\\_SB");
    aml_name(a, "P");
    aml_package(a);
    aml_integer(a, 1);
    aml_package(a);
    aml_string(a, "a");
    aml_integer(a, 2);
    aml_end(a);
    aml_path(a, "X");
    aml_end(a);
    aml_end(a);
    expect_code(a, "101b"
                   "5c5f53425f"
                   "08505f5f5f"
                   "120f"
                   "03"
                   "01"
                   "1207"
                   "02"
                   "0d6100"
                   "0a02"
                   "585f5f5f");
}

/* ---- the machine's tables ---- */

typedef struct File {
    uint8_t *data;
    size_t len;
} File;

typedef struct Blob {
    char name[56];
    File file;
    uint64_t address;
} Blob;

/* What firmware sees: the file's directory entry and bytes, through the registers. */
static File read_file(Machine *machine, const char *name)
{
    const uint64_t at = riscv_virt_map[FW_CFG].base;
    uint64_t value, count = 0;
    as_store(&machine->memory, at + 8, 2, GUINT16_TO_BE(FW_CFG_FILE_DIR));
    for (unsigned i = 0; i < 4; i++) {
        as_load(&machine->memory, at, 1, &value);
        count = count << 8 | value;
    }
    for (uint64_t n = 0; n < count; n++) {
        uint8_t entry[64];
        for (unsigned i = 0; i < sizeof(entry); i++) {
            as_load(&machine->memory, at, 1, &value);
            entry[i] = value;
        }
        if (strcmp((char *)entry + 8, name))
            continue;
        File f = { NULL, (size_t)entry[0] << 24 | entry[1] << 16 | entry[2] << 8 | entry[3] };
        f.data = g_malloc(f.len);
        as_store(&machine->memory, at + 8, 2, entry[4] | entry[5] << 8);
        for (size_t i = 0; i < f.len; i++) {
            as_load(&machine->memory, at, 1, &value);
            f.data[i] = value;
        }
        return f;
    }
    return (File){ NULL, 0 };
}

static uint64_t get(const uint8_t *p, unsigned bytes)
{
    uint64_t value = 0;
    memcpy(&value, p, bytes);
    return GUINT64_FROM_LE(value);
}

static Blob *find_blob(Blob *blobs, unsigned count, const uint8_t *name)
{
    for (unsigned i = 0; i < count; i++) {
        if (!strncmp(blobs[i].name, (const char *)name, 56))
            return &blobs[i];
    }
    g_assert_not_reached();
}

static uint8_t sum(const uint8_t *p, size_t len)
{
    uint8_t total = 0;
    while (len--)
        total += *p++;
    return total;
}

/* Do what the script says, with files at addresses of our choice. */
static unsigned run_script(Machine *machine, Blob blobs[4])
{
    File script = read_file(machine, "etc/table-loader");
    unsigned count = 0;
    g_assert_true(script.data && script.len && script.len % 128 == 0);
    for (size_t at = 0; at < script.len; at += 128) {
        const uint8_t *c = script.data + at, *name = c + 4;
        uint32_t command = get(c, 4);
        if (command == 1) {
            Blob *b = &blobs[count++];
            g_assert_cmpuint(count, <=, 2);
            memcpy(b->name, name, 56);
            b->file = read_file(machine, b->name);
            b->address = 0x10000000ull * count;
            g_assert_nonnull(b->file.data);
        } else if (command == 2) {
            Blob *to = find_blob(blobs, count, name), *from = find_blob(blobs, count, c + 60);
            uint32_t offset = get(c + 116, 4);
            g_assert_cmpuint(c[120], ==, 8);
            g_assert_cmpuint(offset + 8, <=, to->file.len);
            uint64_t value = get(to->file.data + offset, 8);
            g_assert_cmpuint(value, <, from->file.len);
            value += from->address;
            memcpy(to->file.data + offset, &value, 8);
        } else {
            Blob *b = find_blob(blobs, count, name);
            uint32_t where = get(c + 60, 4), start = get(c + 64, 4), len = get(c + 68, 4);
            g_assert_cmpuint(command, ==, 3);
            g_assert_true(where >= start && where < start + len && start + len <= b->file.len);
            b->file.data[where] = 0;
            b->file.data[where] = -sum(b->file.data + start, len);
        }
    }
    g_free(script.data);
    return count;
}

static const uint8_t *table_at(Blob *blobs, uint64_t address)
{
    const Blob *b = find_blob(blobs, 2, (const uint8_t *)"etc/acpi/tables");
    uint64_t offset = address - b->address;
    g_assert_cmpuint(offset + 36, <=, b->file.len);
    const uint8_t *table = b->file.data + offset;
    g_assert_cmpuint(offset + get(table + 4, 4), <=, b->file.len);
    g_assert_cmpuint(sum(table, get(table + 4, 4)), ==, 0);
    return table;
}

/* iasl of Debian 12 is older than these tables of RISC-V. */
static bool known_to_iasl(const char *signature)
{
    return strcmp(signature, "APIC") && strcmp(signature, "RHCT") && strcmp(signature, "SRAT");
}

static void check_with_iasl(const char *folder, const char *signature, const uint8_t *table)
{
    if (known_to_iasl(signature))
        iasl_check(folder, signature, table);
}

/* Every structure of the table has a length that leads to the next one, up to the table's end. Returns how many are of
 * kind. */
static unsigned count_structures(const uint8_t *table, unsigned first, uint8_t kind)
{
    unsigned at = first, length = get(table + 4, 4), found = 0;
    while (at < length) {
        g_assert_cmpuint(table[at + 1], >=, 2);
        found += table[at] == kind;
        at += table[at + 1];
    }
    g_assert_cmpuint(at, ==, length);
    return found;
}

static void check_special(const char *signature, const uint8_t *table, unsigned cpus, unsigned aia)
{
    if (!strcmp(signature, "APIC")) {
        g_assert_cmpuint(count_structures(table, 44, 0x18), ==, cpus);
        g_assert_cmpuint(count_structures(table, 44, 0x19), ==, aia == AIA_IMSIC);
        g_assert_cmpuint(count_structures(table, 44, 0x1a), ==, aia != AIA_NONE);
        g_assert_cmpuint(count_structures(table, 44, 0x1b), ==, aia == AIA_NONE);
    } else if (!strcmp(signature, "SRAT")) {
        g_assert_cmpuint(count_structures(table, 48, 7), ==, cpus);
        g_assert_cmpuint(count_structures(table, 48, 1), ==, 2);
    } else if (!strcmp(signature, "RHCT")) {
        unsigned at = get(table + 52, 4), nodes = get(table + 48, 4);
        for (unsigned i = 0; i < nodes; i++)
            at += get(table + at + 2, 2);
        g_assert_cmpuint(at, ==, get(table + 4, 4));
        g_assert_cmpuint(get(table + 40, 8), ==, RISCV_ACLINT_HZ);
    }
}

static void check_machine(const char *aia_text, unsigned aia, unsigned cpus, const char *const *numa_options,
                          const char *want)
{
    g_autoptr(GError) err = NULL;
    char *folder = iasl_folder();
    MachineConfig config = { .ram_size = 256 << 20, .cpus = cpus, .max_cpus = cpus, .firmware = "none" };
    config.machine_opts = opts_new("-machine");
    opts_add(config.machine_opts, "aia", aia_text);
    opts_add(config.machine_opts, "acpi", "on");
    for (; numa_options && *numa_options; numa_options++)
        g_assert_true(numa_option(&config.numa, *numa_options, NULL));
    Machine *machine = machine_new(machine_type_find("virt", "riscv64"), accel_find("test"), NULL, &config, &err);
    g_assert_no_error(err);
    machine_lock(machine);
    g_assert_true(machine_prepare(machine, &err));
    machine_unlock(machine);
    Blob blobs[4] = { 0 };
    g_assert_cmpuint(run_script(machine, blobs), ==, 2);
    const Blob *rsdp = find_blob(blobs, 2, (const uint8_t *)"etc/acpi/rsdp");
    g_assert_cmpmem(rsdp->file.data, 8, "RSD PTR ", 8);
    g_assert_cmpuint(sum(rsdp->file.data, 20), ==, 0);
    g_assert_cmpuint(sum(rsdp->file.data, 36), ==, 0);
    const uint8_t *xsdt = table_at(blobs, get(rsdp->file.data + 24, 8));
    g_assert_cmpmem(xsdt, 4, "XSDT", 4);
    g_autoptr(GString) found = g_string_new(NULL);
    for (unsigned at = 36; at < get(xsdt + 4, 4); at += 8) {
        const uint8_t *table = table_at(blobs, get(xsdt + at, 8));
        g_autofree char *signature = g_strndup((const char *)table, 4);
        g_string_append_printf(found, "%s ", signature);
        check_with_iasl(folder, signature, table);
        check_special(signature, table, cpus, aia);
        if (!strcmp(signature, "FACP"))
            check_with_iasl(folder, "DSDT", table_at(blobs, get(table + 140, 8)));
    }
    g_assert_cmpstr(found->str, ==, want);
    machine_free(machine);
    for (unsigned i = 0; i < 2; i++)
        g_free(blobs[i].file.data);
    opts_free(config.machine_opts);
    g_free(config.numa);
    iasl_remove(folder);
}

static void test_machine(void)
{
    static const char *const numa[] = { "node,mem=128,cpus=0-1", "node,mem=128,cpus=2-3", "dist,src=0,dst=1,val=30",
                                        NULL };
    check_machine("none", AIA_NONE, 1, NULL, "FACP APIC RHCT SPCR MCFG ");
    check_machine("aplic", AIA_APLIC, 3, NULL, "FACP APIC RHCT SPCR MCFG ");
    check_machine("aplic-imsic", AIA_IMSIC, 4, numa, "FACP APIC RHCT SPCR MCFG SRAT SLIT ");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/acpi/terms", test_terms);
    g_test_add_func("/acpi/lengths", test_lengths);
    g_test_add_func("/acpi/nesting", test_nesting);
    g_test_add_func("/acpi/machine", test_machine);
    return g_test_run();
}
