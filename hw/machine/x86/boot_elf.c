/*
 * Kernels that are not a bzImage: ELF files with a PVH entry (Xen's docs/misc/pvh.pandoc, start_info.h), Multiboot
 * kernels (Multiboot Specification 0.6.96), other ELF programs: those start at their entry point in the mode of their
 * class, with boot_params in RSI as Linux' vmlinux expects.
 * SPDX-License-Identifier: MIT
 */
#include "hw/firmware/loader.h"
#include "hw/machine/x86/boot.h"
#include "util/error.h"
#include <elf.h>
#include <inttypes.h>
#include <string.h>

/* Tables that grow behind BOOT_INFO. */
typedef struct Info {
    GByteArray *bytes;
} Info;

static uint32_t info_here(const Info *i)
{
    return BOOT_INFO + i->bytes->len;
}

static void info_put(Info *i, uint64_t value, unsigned bytes)
{
    value = GUINT64_TO_LE(value);
    g_byte_array_append(i->bytes, (const guint8 *)&value, bytes);
}

static void info_set(Info *i, uint32_t address, uint32_t value)
{
    value = GUINT32_TO_LE(value);
    memcpy(i->bytes->data + address - BOOT_INFO, &value, 4);
}

static uint32_t info_string(Info *i, const char *text)
{
    uint32_t at = info_here(i);
    g_byte_array_append(i->bytes, (const guint8 *)text, strlen(text) + 1);
    while (i->bytes->len % 8)
        info_put(i, 0, 1);
    return at;
}

static bool info_store(const X86Boot *boot, const Info *i, GError **err)
{
    if (i->bytes->len > BOOT_END - BOOT_INFO)
        return error_set(err, "the kernel's and its modules' names and command lines are too long");
    return as_load_image(boot->as, BOOT_INFO, i->bytes->data, i->bytes->len, err);
}

static bool check_low(const LoadedImage *image, GError **err)
{
    return image->low >= BOOT_END ||
           error_set(err, "wants memory at 0x%" PRIx64 ", where the loader's tables are", image->low);
}

/* ---- PVH ---- */

enum { XEN_PHYS32_ENTRY = 18 };

static bool put_start_info(const X86Boot *boot, uint64_t initrd, uint64_t initrd_size, GError **err)
{
    enum { MAGIC = 0x336ec578, VERSION = 1, BYTES = 56, MODULE_BYTES = 32 };
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    Info i = { bytes };
    uint64_t modules = initrd ? BOOT_INFO + BYTES : 0, map = BOOT_INFO + BYTES + (initrd ? MODULE_BYTES : 0);
    info_put(&i, MAGIC, 4);
    info_put(&i, VERSION, 4);
    info_put(&i, 0, 4);
    info_put(&i, initrd != 0, 4);
    info_put(&i, modules, 8);
    info_put(&i, BOOT_CMDLINE, 8);
    info_put(&i, boot->rsdp, 8);
    info_put(&i, map, 8);
    info_put(&i, boot->map_count, 4);
    info_put(&i, 0, 4);
    for (unsigned n = 0; initrd && n < 4; n++)
        info_put(&i, n == 0 ? initrd : n == 1 ? initrd_size : 0, 8);
    for (unsigned n = 0; n < boot->map_count; n++) {
        info_put(&i, boot->map[n].base, 8);
        info_put(&i, boot->map[n].size, 8);
        info_put(&i, boot->map[n].type, 8);
    }
    return info_store(boot, &i, err);
}

/* 4 or 8 bytes: the 32-bit entry point. */
static bool pvh_entry(const uint8_t *data, uint64_t size, uint64_t *entry)
{
    uint32_t len;
    const uint8_t *note = elf_note(data, size, "Xen", XEN_PHYS32_ENTRY, &len);
    *entry = 0;
    if (note && (len == 4 || len == 8))
        memcpy(entry, note, len);
    *entry = GUINT64_FROM_LE(*entry);
    return *entry && *entry < UINT64_C(1) << 32;
}

bool boot_load_elf(const X86Boot *boot, const uint8_t *data, uint64_t size, X86Entry *entry, GError **err)
{
    static const uint16_t narrow[] = { EM_386, 0 }, both[] = { EM_X86_64, EM_386, 0 };
    LoadedImage image;
    uint64_t initrd, initrd_size, pvh;
    bool wide = data[EI_CLASS] == ELFCLASS64, has_pvh = pvh_entry(data, size, &pvh);
    if (!load_elf_program(boot->as, data, size, boot->limit, boot->long_mode ? both : narrow, &image, err) ||
        !check_low(&image, err) || !boot_put_cmdline(boot, UINT64_MAX, err) ||
        !boot_put_initrd(boot, MAX(image.high, 1 << 20), boot->limit, &initrd, &initrd_size, err))
        return false;
    *entry = (X86Entry){ .bits = has_pvh || !wide ? 32 : 64, .rip = has_pvh ? pvh : image.entry };
    if (has_pvh) {
        entry->rbx = BOOT_INFO;
        return put_start_info(boot, initrd, initrd_size, err) && boot_put_tables(boot, entry, err);
    }
    g_autofree uint8_t *params = g_malloc0(4096);
    entry->rsi = BOOT_PARAMS;
    return boot_put_params(boot, params, initrd, initrd_size, err) && boot_put_tables(boot, entry, err);
}

/* ---- Multiboot ---- */

enum { HEADER_MAGIC = 0x1badb002, LOADER_MAGIC = 0x2badb002, SEARCH = 8192, HEADER_BYTES = 12, ADDRESSES_BYTES = 32 };
enum { HEADER_ADDRESSES = 1 << 16, MODULES_ALIGNED = 0x1000 };
enum { INFO_MEMORY = 1, INFO_CMDLINE = 4, INFO_MODULES = 8, INFO_MMAP = 0x40, INFO_LOADER = 0x200, INFO_BYTES = 120 };

static uint32_t get32(const uint8_t *p)
{
    uint32_t value;
    memcpy(&value, p, 4);
    return GUINT32_FROM_LE(value);
}

bool boot_find_multiboot(const uint8_t *data, uint64_t size, uint64_t *at)
{
    for (*at = 0; *at + HEADER_BYTES <= MIN(size, SEARCH); *at += 4) {
        const uint8_t *h = data + *at;
        if (get32(h) == HEADER_MAGIC && !(uint32_t)(get32(h) + get32(h + 4) + get32(h + 8)))
            return true;
    }
    return false;
}

/* 3.1.3: the header says where the file goes. */
static bool load_by_header(const X86Boot *boot, const uint8_t *data, uint64_t size, uint64_t header, LoadedImage *image,
                           GError **err)
{
    const uint8_t *h = data + header;
    if (size - header < ADDRESSES_BYTES)
        return error_set(err, "truncated: its Multiboot header has no addresses");
    uint32_t header_at = get32(h + 12), load = get32(h + 16), load_end = get32(h + 20), bss_end = get32(h + 24);
    uint64_t start = header - (header_at - load), length = load_end ? load_end - load : size - start;
    if (load > header_at || header_at - load > header || (load_end && load_end < load) || length > size - start)
        return error_set(err, "its Multiboot header has addresses that do not fit the file");
    *image = (LoadedImage){ get32(h + 28), load, MAX(load + length, bss_end) };
    if (image->high > boot->limit)
        return error_set(err, "does not fit in memory: it ends at 0x%" PRIx64 ", RAM at 0x%" PRIx64, image->high,
                         boot->limit);
    g_autofree uint8_t *zeros = g_malloc0(image->high - load - length + 1);
    return as_load_image(boot->as, load, data + start, length, err) &&
           as_load_image(boot->as, load + length, zeros, image->high - load - length, err);
}

typedef struct Module {
    uint64_t at, size;
    const char *text;
} Module;

/* -initrd is a list: FILE ARGUMENTS,FILE ARGUMENTS... One behind the other, each on a page of its own. */
static bool load_modules(const X86Boot *boot, char **list, uint64_t at, GArray *modules, GError **err)
{
    for (; list && *list; list++) {
        g_autofree char *path = g_strndup(*list, strcspn(*list, " "));
        Module m = { .at = (at + MODULES_ALIGNED - 1) & ~(uint64_t)(MODULES_ALIGNED - 1), .text = *list };
        if (!load_file(boot->as, "-initrd", path, m.at, boot->limit, &m.size, err))
            return false;
        at = m.at + m.size;
        g_array_append_val(modules, m);
    }
    return true;
}

static void put_map(const X86Boot *boot, Info *i, uint32_t head)
{
    uint32_t at = info_here(i);
    for (unsigned n = 0; n < boot->map_count; n++) {
        info_put(i, 20, 4);
        info_put(i, boot->map[n].base, 8);
        info_put(i, boot->map[n].size, 8);
        info_put(i, boot->map[n].type, 4);
    }
    info_set(i, head + 44, info_here(i) - at);
    info_set(i, head + 48, at);
}

/* 3.3 */
static bool put_info(const X86Boot *boot, const GArray *modules, GError **err)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    Info i = { bytes };
    g_autofree char *line =
        g_strdup_printf("%s%s%s", boot->kernel, boot->append ? " " : "", boot->append ? boot->append : "");
    for (unsigned n = 0; n < INFO_BYTES / 8; n++)
        info_put(&i, 0, 8);
    info_set(&i, BOOT_INFO, INFO_MEMORY | INFO_CMDLINE | INFO_MMAP | INFO_LOADER | (modules->len ? INFO_MODULES : 0));
    for (unsigned n = 0; n < boot->map_count; n++) {
        const E820Entry *e = &boot->map[n];
        if (e->type == E820_RAM && !e->base)
            info_set(&i, BOOT_INFO + 4, e->size >> 10);
        if (e->type == E820_RAM && e->base == 1 << 20)
            info_set(&i, BOOT_INFO + 8, e->size >> 10);
    }
    info_set(&i, BOOT_INFO + 16, info_string(&i, line));
    info_set(&i, BOOT_INFO + 64, info_string(&i, "rhea"));
    info_set(&i, BOOT_INFO + 20, modules->len);
    g_autofree uint32_t *texts = g_new0(uint32_t, modules->len + 1);
    for (guint n = 0; n < modules->len; n++)
        texts[n] = info_string(&i, g_array_index(modules, Module, n).text);
    info_set(&i, BOOT_INFO + 24, info_here(&i));
    for (guint n = 0; n < modules->len; n++) {
        const Module *m = &g_array_index(modules, Module, n);
        info_put(&i, m->at, 4);
        info_put(&i, m->at + m->size, 4);
        info_put(&i, texts[n], 4);
        info_put(&i, 0, 4);
    }
    put_map(boot, &i, BOOT_INFO);
    return info_store(boot, &i, err);
}

bool boot_load_multiboot(const X86Boot *boot, const uint8_t *data, uint64_t size, uint64_t header, X86Entry *entry,
                         GError **err)
{
    static const uint16_t machines[] = { EM_386, EM_X86_64, 0 };
    LoadedImage image;
    g_autoptr(GArray) modules = g_array_new(FALSE, FALSE, sizeof(Module));
    g_auto(GStrv) list = boot->initrd ? g_strsplit(boot->initrd, ",", -1) : NULL;
    bool addresses = get32(data + header + 4) & HEADER_ADDRESSES;
    if (!(addresses ? load_by_header(boot, data, size, header, &image, err)
                    : load_elf_program(boot->as, data, size, boot->limit, machines, &image, err)) ||
        !check_low(&image, err) || !load_modules(boot, list, MAX(image.high, 1 << 20), modules, err) ||
        !put_info(boot, modules, err))
        return false;
    *entry = (X86Entry){ .bits = 32, .rip = image.entry, .rax = LOADER_MAGIC, .rbx = BOOT_INFO };
    return boot_put_tables(boot, entry, err);
}
