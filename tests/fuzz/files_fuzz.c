/*
 * Damaged files of a PC's command line: Linux, ELF, PVH and Multiboot kernels, -acpitable and -smbios files, option
 * ROMs, and the texts of these options. What is wrong with one is said in one line, or it is taken; nothing else
 * happens.
 *
 *     fuzz-files [SEED [COUNT]]
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "hw/acpi/acpitable.h"
#include "hw/firmware/smbios.h"
#include "hw/machine/x86/boot.h"
#include "hw/pci/i440fx.h"
#include "pcboard.h"
#include <elf.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)
#define RAM (32 * MIB)
enum { DEFAULT_COUNT = 4000, FILE_MAX = 4096, KERNEL = 0x300000 };

static GRand *rnd;
static char *path; /* the file */

/* ---- files that are right ---- */

static void put(uint8_t *p, uint64_t value, unsigned bytes)
{
    value = GUINT64_TO_LE(value);
    memcpy(p, &value, bytes);
}

static size_t make_linux(uint8_t *k)
{
    k[0x1f1] = 3;
    put(k + 0x1fe, 0xaa55, 2);
    k[0x201] = 0x6a;
    memcpy(k + 0x202, "HdrS", 4);
    put(k + 0x206, 0x20f, 2);
    k[0x211] = 1;
    put(k + 0x22c, 0x7fffffff, 4);
    put(k + 0x230, 0x200000, 4);
    k[0x234] = 1;
    put(k + 0x236, 1, 2);
    put(k + 0x238, 100, 4);
    put(k + 0x258, 16 * MIB, 8);
    put(k + 0x260, 4 * MIB, 4);
    return FILE_MAX;
}

/* A program with a note that makes it a PVH kernel. */
static size_t make_elf64(uint8_t *k)
{
    Elf64_Ehdr e = { .e_type = ET_EXEC,
                     .e_machine = EM_X86_64,
                     .e_entry = KERNEL,
                     .e_phoff = 64,
                     .e_phentsize = sizeof(Elf64_Phdr),
                     .e_phnum = 2 };
    Elf64_Phdr p[] = { { .p_type = PT_LOAD, .p_offset = 512, .p_paddr = KERNEL, .p_filesz = 100, .p_memsz = 200 },
                       { .p_type = PT_NOTE, .p_offset = 256, .p_filesz = 20 } };
    memcpy(e.e_ident, "\177ELF\2\1\1", 7);
    memcpy(k, &e, sizeof(e));
    memcpy(k + 64, p, sizeof(p));
    put(k + 256, 4, 4);
    put(k + 260, 4, 4);
    put(k + 264, 18, 4);
    memcpy(k + 268, "Xen", 4);
    put(k + 272, KERNEL + 8, 4);
    return 1024;
}

static size_t make_elf32(uint8_t *k)
{
    Elf32_Ehdr e = { .e_type = ET_EXEC,
                     .e_machine = EM_386,
                     .e_entry = KERNEL,
                     .e_phoff = 64,
                     .e_phentsize = sizeof(Elf32_Phdr),
                     .e_phnum = 1 };
    Elf32_Phdr p = { .p_type = PT_LOAD, .p_offset = 512, .p_paddr = KERNEL, .p_filesz = 100, .p_memsz = 200 };
    memcpy(e.e_ident, "\177ELF\1\1\1", 7);
    memcpy(k, &e, sizeof(e));
    memcpy(k + 64, &p, sizeof(p));
    return 1024;
}

/* With addresses in its header. */
static size_t make_multiboot(uint8_t *k)
{
    const uint32_t words[] = { 0x1badb002,    0x10000,     -(0x1badb002u + 0x10000), KERNEL + 64, KERNEL, KERNEL + 1000,
                               KERNEL + 2000, KERNEL + 128 };
    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++)
        put(k + 64 + 4 * i, words[i], 4);
    return 1024;
}

static size_t make_table(uint8_t *k)
{
    memcpy(k, "TEST", 4);
    put(k + 4, 100, 4);
    k[8] = 1;
    return 100;
}

static size_t make_smbios(uint8_t *k)
{
    static const uint8_t structure[] = { 11, 5, 1, 0, 1, 'a', 0, 0 };
    memcpy(k, structure, sizeof(structure));
    return sizeof(structure);
}

static size_t make_rom(uint8_t *k)
{
    put(k, 0xaa55, 2);
    k[2] = 2;
    return 1024;
}

/* ---- damage ---- */

static size_t damage(uint8_t *k, size_t len)
{
    static const uint64_t nasty[] = { 0,          1,          0x7f,       0x80,
                                      0xff,       0x7fff,     0x8000,     0xffff,
                                      0x7fffffff, 0x80000000, 0xffffffff, UINT64_MAX,
                                      INT64_MAX,  RAM,        RAM - 1,    0xfffffffffffff000 };
    for (int n = g_rand_int_range(rnd, 1, 6); n; n--) {
        unsigned bytes = 1u << g_rand_int_range(rnd, 0, 4);
        uint64_t value = g_rand_boolean(rnd) ? nasty[g_rand_int_range(rnd, 0, G_N_ELEMENTS(nasty))]
                                             : (uint64_t)g_rand_int(rnd) << 32 | g_rand_int(rnd);
        /* Mostly the headers. */
        size_t at = g_rand_int_range(rnd, 0, g_rand_boolean(rnd) ? (int)MIN(len, 700) : (int)len);
        put(k + at, value, bytes);
    }
    return g_rand_int_range(rnd, 0, 4) ? len : (size_t)g_rand_int_range(rnd, 0, len + 1);
}

static void check(bool ok, GError **err)
{
    g_assert_true(ok == !*err);
    if (*err)
        g_assert_null(strchr((*err)->message, '\n'));
    g_clear_error(err);
}

/* ---- what takes them ---- */

static DevMachine *world;

static void try_kernel(void)
{
    static const E820Entry map[] = { { 0, 0x9fc00, E820_RAM }, { MIB, RAM - 2 * MIB, E820_RAM } };
    GError *err = NULL;
    X86Entry entry;
    bool ok;
    for (unsigned wide = 0; wide < 2; wide++) {
        const X86Boot boot = { .as = &world->machine->memory,
                               .long_mode = wide,
                               .kernel = path,
                               .initrd = g_rand_boolean(rnd) ? path : NULL,
                               .append = "one two",
                               .map = map,
                               .map_count = G_N_ELEMENTS(map),
                               .limit = RAM - MIB,
                               .rsdp = 0xf1230 };
        DEVM_LOCKED(world, ok = x86_boot_load(&boot, &entry, &err));
        check(ok, &err);
    }
}

static void try_acpitable(void)
{
    GError *err = NULL;
    g_autofree char *text = g_strdup_printf("%s=%s%s", g_rand_boolean(rnd) ? "file" : "data", path,
                                            g_rand_boolean(rnd) ? ",sig=ABCD,rev=7,oem_id=me" : "");
    GByteArray *table = acpitable_option(text, &err);
    check(table, &err);
    if (!table)
        return;
    uint32_t length;
    g_assert_cmpuint(table->len, >=, 36);
    memcpy(&length, table->data + 4, 4);
    g_assert_cmpuint(GUINT32_FROM_LE(length), ==, table->len);
    g_byte_array_unref(table);
}

static void build_smbios(const char *text)
{
    const SmbiosMachine m = {
        .manufacturer = "a", .product = "b", .version = "c", .sockets = 1, .cores = 1, .threads = 1, .ram_low = RAM
    };
    GError *err = NULL;
    GByteArray *tables, *anchor;
    Smbios *s = NULL;
    bool ok = smbios_option(&s, text, &err);
    check(ok, &err);
    if (ok && smbios_build(s, &m, &tables, &anchor, &err)) {
        g_byte_array_unref(tables);
        g_byte_array_unref(anchor);
    }
    g_clear_error(&err);
    smbios_free(s);
}

static void try_smbios(void)
{
    g_autofree char *text = g_strdup_printf("file=%s", path);
    build_smbios(text);
}

static void try_rom(void)
{
    GError *err = NULL;
    PcBoard *board = pc_new(&i440fx_host_type);
    g_autofree char *text = g_strdup_printf("e1000,romfile=%s", path);
    Device *dev = devm_device_add(board->m, text, &err);
    check(dev, &err);
    pc_free(board);
}

static const struct {
    const char *name;
    size_t (*make)(uint8_t *k);
    void (*try)(void);
    unsigned share; /* of the count: one in so many */
} kinds[] = { { "linux", make_linux, try_kernel, 1 },
              { "elf64", make_elf64, try_kernel, 1 },
              { "elf32", make_elf32, try_kernel, 1 },
              { "multiboot", make_multiboot, try_kernel, 1 },
              { "acpitable", make_table, try_acpitable, 1 },
              { "smbios", make_smbios, try_smbios, 1 },
              { "rom", make_rom, try_rom, 20 } };

/* ---- texts ---- */

static void try_texts(unsigned count)
{
    static const char *const parts[] = { "sig=",
                                         "rev=",
                                         "oem_id=",
                                         "oem_table_id=",
                                         "oem_rev=",
                                         "asl_compiler_id=",
                                         "asl_compiler_rev=",
                                         "data=",
                                         "file=",
                                         "type=",
                                         "vendor=",
                                         "version=",
                                         "date=",
                                         "release=",
                                         "uefi=",
                                         "uuid=",
                                         "family=",
                                         "value=",
                                         "path=",
                                         ",",
                                         ",,",
                                         "=",
                                         "1.2",
                                         "0x",
                                         "-1",
                                         "256",
                                         "99999999999999999999",
                                         "on",
                                         "A",
                                         "ABCDEFGHIJ",
                                         "0",
                                         "1",
                                         "2",
                                         "3",
                                         "4",
                                         "8",
                                         "11",
                                         "17",
                                         "/nowhere",
                                         "\xff",
                                         "",
                                         ":",
                                         "00000000-0000-0000-0000-00000000000g",
                                         "max-speed=",
                                         "sock_pfx=",
                                         "loc_pfx=",
                                         "bank=" };
    for (unsigned i = 0; i < count; i++) {
        g_autoptr(GString) text = g_string_new(g_rand_boolean(rnd) ? "type=" : NULL);
        for (int n = g_rand_int_range(rnd, 0, 12); n; n--)
            g_string_append(text, parts[g_rand_int_range(rnd, 0, G_N_ELEMENTS(parts))]);
        GError *err = NULL;
        GByteArray *table = acpitable_option(text->str, &err);
        check(table, &err);
        if (table)
            g_byte_array_unref(table);
        build_smbios(text->str);
    }
}

int main(int argc, char **argv)
{
    unsigned seed = argc > 1 ? atoi(argv[1]) : 1, count = argc > 2 ? atoi(argv[2]) : DEFAULT_COUNT;
    MemRegion low;
    GError *err = NULL;
    rnd = g_rand_new_with_seed(seed);
    int fd = g_file_open_tmp("rhea-fuzz-XXXXXX", &path, &err);
    g_assert_no_error(err);
    g_close(fd, NULL);
    world = devm_new();
    DEVM_LOCKED(world, mem_ram_init(&low, world->machine, "low", RAM, &err);
                mem_add(&world->machine->root, 0, &low, 0));
    for (unsigned kind = 0; kind < G_N_ELEMENTS(kinds); kind++) {
        g_print("%s\n", kinds[kind].name);
        for (unsigned i = 0; i < count / kinds[kind].share; i++) {
            uint8_t bytes[FILE_MAX + 8] = { 0 };
            size_t len = damage(bytes, kinds[kind].make(bytes));
            g_assert_true(g_file_set_contents_full(path, (char *)bytes, len, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
            kinds[kind].try();
        }
    }
    g_print("texts\n");
    try_texts(count);
    devm_free(world);
    g_unlink(path);
    g_free(path);
    g_rand_free(rnd);
    return 0;
}
