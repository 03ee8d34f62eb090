/*
 * ACPI tables of PCs, linked as firmware does it: checksums, pointers, lengths, iasl; what -acpitable takes.
 * SPDX-License-Identifier: MIT
 */
#include "hw/acpi/acpitable.h"
#include "hw/acpi/ged.h"
#include "hw/machine/x86/pc_acpi.h"
#include "iasl.h"
#include <glib/gstdio.h>
#include <string.h>

enum { TABLES_AT = 0x7fe0000, RSDP_AT = 0xe0000 };

static uint64_t get(const uint8_t *p, unsigned bytes)
{
    uint64_t value = 0;
    memcpy(&value, p, bytes);
    return GUINT64_FROM_LE(value);
}

static uint8_t sum(const uint8_t *p, size_t len)
{
    uint8_t total = 0;
    while (len--)
        total += *p++;
    return total;
}

static const uint8_t *table_at(const AcpiFiles *files, uint64_t address)
{
    g_assert_cmpuint(address, >=, TABLES_AT);
    g_assert_cmpuint(address - TABLES_AT + 36, <=, files->tables->len);
    const uint8_t *table = files->tables->data + address - TABLES_AT;
    g_assert_cmpuint(address - TABLES_AT + get(table + 4, 4), <=, files->tables->len);
    if (memcmp(table, "FACS", 4))
        g_assert_cmpuint(sum(table, get(table + 4, 4)), ==, 0);
    return table;
}

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

static void check_fadt(const AcpiFiles *files, const PcAcpiInfo *info, const uint8_t *fadt, const char *folder)
{
    const uint8_t *dsdt = table_at(files, get(fadt + 140, 8));
    g_assert_cmpmem(dsdt, 4, "DSDT", 4);
    iasl_check(folder, "DSDT", dsdt);
    if (info->board == PC_MICROVM) {
        g_assert_cmpuint(get(fadt + 112, 4), ==, 1 << 20 | 1 << 10);
        g_assert_cmpuint(get(fadt + 120, 8), ==, PC_GED_BASE + GED_RESET);
        g_assert_cmpuint(get(fadt + 248, 8), ==, PC_GED_BASE + GED_SLEEP_CONTROL);
        return;
    }
    g_assert_cmpuint(get(fadt + 40, 4), ==, get(fadt + 140, 8));
    const uint8_t *facs = table_at(files, get(fadt + 36, 4));
    g_assert_cmpmem(facs, 4, "FACS", 4);
    g_assert_cmpuint((facs - files->tables->data) % 64, ==, 0);
    g_assert_cmpuint(get(fadt + 4, 4), ==, 244);
    g_assert_cmpuint(get(fadt + 56, 4), ==, info->pm_base);
    g_assert_cmpuint(get(fadt + 76, 4), ==, info->pm_base + 8);
    g_assert_cmpuint(get(fadt + 80, 4), ==, info->board == PC_Q35 ? info->pm_base + 0x20 : 0xafe0);
    g_assert_cmpuint(get(fadt + 108, 1), ==, 0x32);
    g_assert_cmpuint(get(fadt + 120, 8), ==, 0xcf9);
    g_assert_cmpuint(get(fadt + 152, 8), ==, info->pm_base);
}

static void check_srat(const PcAcpiInfo *info, const uint8_t *table)
{
    uint64_t total = 0;
    for (unsigned at = 48; at < get(table + 4, 4); at += table[at + 1]) {
        if (table[at] != 1)
            continue;
        uint64_t base = get(table + at + 8, 8), size = get(table + at + 16, 8);
        g_assert_true(base + size <= info->ram_low ||
                      (base >= UINT64_C(1) << 32 && base + size <= (UINT64_C(1) << 32) + info->ram_high));
        total += size;
    }
    g_assert_cmpuint(total, ==, info->ram_low + info->ram_high);
}

static void check_tables(const PcAcpiInfo *info, const char *want)
{
    char *folder = iasl_folder();
    AcpiFiles files = pc_acpi_make(info);
    g_autoptr(GString) found = g_string_new(NULL);
    acpi_link(&files, TABLES_AT, RSDP_AT);
    g_assert_cmpuint(files.tables->len % 0x10000, ==, 0);
    g_assert_cmpuint(sum(files.rsdp->data, 20), ==, 0);
    g_assert_cmpuint(sum(files.rsdp->data, 36), ==, 0);
    const uint8_t *rsdt = table_at(&files, get(files.rsdp->data + 16, 4)),
                  *xsdt = table_at(&files, get(files.rsdp->data + 24, 8));
    g_assert_cmpmem(rsdt, 4, "RSDT", 4);
    g_assert_cmpmem(xsdt, 4, "XSDT", 4);
    unsigned count = (get(xsdt + 4, 4) - 36) / 8;
    g_assert_cmpuint(count, ==, (get(rsdt + 4, 4) - 36) / 4);
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *table = table_at(&files, get(xsdt + 36 + 8 * i, 8));
        g_assert_true(table == table_at(&files, get(rsdt + 36 + 4 * i, 4)));
        g_autofree char *signature = g_strndup((const char *)table, 4);
        g_string_append_printf(found, "%s ", signature);
        if (strncmp(signature, "TST", 3)) /* of test_option */
            iasl_check(folder, signature, table);
        if (!strcmp(signature, "FACP"))
            check_fadt(&files, info, table, folder);
        if (!strcmp(signature, "APIC")) {
            g_assert_cmpuint(count_structures(table, 44, 0) + count_structures(table, 44, 9), ==, info->cpus);
            g_assert_cmpuint(count_structures(table, 44, 1), ==, 1);
            g_assert_cmpuint(count_structures(table, 44, 2), ==,
                             (info->board == PC_MICROVM ? 0 : 4) + info->irq0_override);
        }
        if (!strcmp(signature, "SRAT"))
            check_srat(info, table);
    }
    g_assert_cmpstr(found->str, ==, want);
    acpi_files_clear(&files);
    iasl_remove(folder);
}

static PcAcpiInfo base_info(PcBoard board, const uint32_t *apic_ids, unsigned cpus)
{
    return (PcAcpiInfo){ .board = board,
                         .apic_ids = apic_ids,
                         .cpus = cpus,
                         .ram_low = 0x80000000,
                         .hole64 = UINT64_C(1) << 32,
                         .hole64_size = UINT64_C(1) << 35,
                         .pm_base = 0x600,
                         .hpet = board != PC_MICROVM,
                         .i8042 = board != PC_MICROVM,
                         .rtc = true,
                         .irq0_override = board != PC_MICROVM,
                         .serial = { true } };
}

static void test_pc(void)
{
    static const uint32_t ids[] = { 0 };
    PcAcpiInfo info = base_info(PC_I440FX, ids, 1);
    check_tables(&info, "FACP APIC HPET WAET ");
    info.ram_low = 0xc0000000;
    info.ram_high = 0x40000000;
    info.pm_base = 0xb000;
    info.hpet = info.i8042 = info.rtc = info.serial[0] = false;
    info.serial[3] = info.parallel = info.floppy = info.hotplug = true;
    info.floppy_types[0] = 5;
    info.hole64_size = 0;
    check_tables(&info, "FACP APIC WAET ");
}

static void test_q35(void)
{
    static const uint32_t ids[] = { 0, 1, 4, 5, 254, 255, 300 };
    PcAcpiInfo info = base_info(PC_Q35, ids, G_N_ELEMENTS(ids));
    check_tables(&info, "FACP APIC HPET MCFG WAET ");
    info.ram_low = 0xb0000000;
    info.hotplug = info.floppy = true;
    check_tables(&info, "FACP APIC HPET MCFG WAET ");
}

static void test_microvm(void)
{
    static const uint32_t ids[] = { 0, 1 };
    PcAcpiInfo info = base_info(PC_MICROVM, ids, 2);
    info.virtio_slots = 8;
    info.virtio_irq = 16;
    info.hole64_size = 0;
    check_tables(&info, "FACP APIC ");
}

static void test_numa(void)
{
    static const uint32_t ids[] = { 0, 1, 2, 256 };
    Numa *numa = NULL;
    PcAcpiInfo info = base_info(PC_I440FX, ids, 4);
    g_assert_true(numa_option(&numa, "node,mem=2G,cpus=0-1", NULL));
    g_assert_true(numa_option(&numa, "node,mem=2G,cpus=2-3", NULL));
    g_assert_true(numa_option(&numa, "dist,src=0,dst=1,val=30", NULL));
    g_assert_true(numa_complete(numa, UINT64_C(4) << 30, 4, NULL));
    info.ram_low = 0xc0000000; /* the second node has some of it on either side of the hole */
    info.ram_high = 0x40000000;
    info.numa = numa;
    check_tables(&info, "FACP APIC HPET SRAT SLIT WAET ");
    g_free(numa);
}

/* The same description gives the same bytes, and another length of its numbers the same length. */
static void test_again(void)
{
    static const uint32_t ids[] = { 0 };
    PcAcpiInfo info = base_info(PC_I440FX, ids, 1);
    AcpiFiles first = pc_acpi_make(&info), second = pc_acpi_make(&info);
    g_assert_cmpmem(first.tables->data, first.tables->len, second.tables->data, second.tables->len);
    acpi_files_clear(&second);
    info.hole64 = UINT64_C(1) << 38;
    info.pm_base = 0xb000;
    second = pc_acpi_make(&info);
    g_assert_cmpuint(first.tables->len, ==, second.tables->len);
    g_assert_cmpuint(first.script->len, ==, second.script->len);
    g_assert_true(memcmp(first.tables->data, second.tables->data, first.tables->len));
    acpi_files_clear(&first);
    acpi_files_clear(&second);
}

/* ---- -acpitable ---- */

static void refuse(const char *text, const char *message)
{
    g_autoptr(GError) err = NULL;
    g_assert_null(acpitable_option(text, &err));
    g_assert_nonnull(strstr(err->message, message));
    g_assert_null(strchr(err->message, '\n'));
}

static void test_option(void)
{
    static const uint32_t ids[] = { 0 };
    g_autofree char *path = NULL, *data = NULL, *file = NULL, *both = NULL, *with = NULL;
    GError *err = NULL;
    int fd = g_file_open_tmp("rhea-acpitable-XXXXXX", &path, NULL);
    g_assert_cmpint(fd, >=, 0);
    g_close(fd, NULL);
    g_assert_true(g_file_set_contents(path, "12345678", 8, NULL));
    data = g_strdup_printf("sig=SSDT,rev=2,oem_id=ABC,oem_table_id=DEFGHIJK,oem_rev=7,asl_compiler_id=XYZ,"
                           "asl_compiler_rev=9,data=%s:%s",
                           path, path);
    file = g_strdup_printf("file=%s", path);
    both = g_strdup_printf("%s,data=%s", file, path);
    with = g_strdup_printf("oem_rev=0x11223344,file=%s", path);
    GByteArray *table = acpitable_option(data, &err);
    g_assert_no_error(err);
    g_assert_cmpuint(table->len, ==, 52);
    g_assert_cmpmem(table->data, 9, "SSDT\x34\0\0\0\2", 9);
    g_assert_cmpmem(table->data + 10, 42,
                    "ABC\0\0\0DEFGHIJK\7\0\0\0XYZ\0\t\0\0\0"
                    "1234567812345678",
                    42);
    g_assert_cmpuint(sum(table->data, 52), ==, 0);
    refuse(file, "has 8 bytes, fewer than a table's header (36)");
    refuse(both, "either file= or data=");
    g_assert_true(g_file_set_contents(path, (const char *)table->data, 51, NULL));
    refuse(file, "has 51 bytes, but its header says 52");
    g_assert_true(g_file_set_contents(path, (const char *)table->data, 52, NULL));
    GByteArray *again = acpitable_option(with, &err);
    g_assert_no_error(err);
    g_assert_cmpuint(get(again->data + 24, 4), ==, 0x11223344);
    g_assert_cmpuint(sum(again->data, 52), ==, 0);
    g_assert_cmpmem(again->data, 4, "SSDT", 4);
    refuse("sig=SSD,data=/dev/null", "sig=SSD: exactly 4 characters");
    refuse("oem_id=1234567,data=/dev/null", "oem_id=1234567: at most 6 characters");
    refuse("rev=256,data=/dev/null", "rev");
    refuse("sgi=SSDT,data=/dev/null", "did you mean 'sig'");
    refuse("data=/does/not/exist", "/does/not/exist");
    PcAcpiInfo info = base_info(PC_I440FX, ids, 1);
    g_autoptr(GPtrArray) extra = g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref);
    memcpy(table->data, "TST0", 4);
    memcpy(again->data, "TST1", 4);
    table->data[9] -= sum(table->data, 52);
    again->data[9] -= sum(again->data, 52);
    g_ptr_array_add(extra, table);
    g_ptr_array_add(extra, again);
    info.extra = extra;
    check_tables(&info, "FACP APIC TST0 TST1 HPET WAET ");
    g_unlink(path);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pc-acpi/pc", test_pc);
    g_test_add_func("/pc-acpi/q35", test_q35);
    g_test_add_func("/pc-acpi/microvm", test_microvm);
    g_test_add_func("/pc-acpi/numa", test_numa);
    g_test_add_func("/pc-acpi/again", test_again);
    g_test_add_func("/pc-acpi/option", test_option);
    return g_test_run();
}
