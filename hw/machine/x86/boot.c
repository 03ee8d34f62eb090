/*
 * Linux on x86 without firmware: the 64-bit and 32-bit boot protocols (Documentation/arch/x86/boot.rst and
 * zero-page.rst, protocol 2.15). The kernel lies where it prefers to, or at 1 MiB; the initial RAM disk at the top of
 * RAM below 4 GiB. Other formats are in boot_elf.c.
 * SPDX-License-Identifier: MIT
 */
#include "hw/machine/x86/boot.h"
#include "hw/firmware/loader.h"
#include "util/error.h"
#include "util/guest_random.h"
#include <inttypes.h>
#include <string.h>

/* Offsets in boot_params, which from SETUP_SECTS on are those in the file, too. */
enum {
    VIDEO_MODE = 0x006,
    VIDEO_COLS = 0x007,
    VIDEO_EGA_MEMORY = 0x00a, /* 3: 256 KiB */
    VIDEO_LINES = 0x00e,
    VIDEO_IS_VGA = 0x00f,
    VIDEO_POINTS = 0x010,
    ACPI_RSDP_ADDR = 0x070,
    EXT_RAMDISK_IMAGE = 0x0c0,
    EXT_RAMDISK_SIZE = 0x0c4,
    ALT_MEM_K = 0x1e0,
    E820_ENTRIES = 0x1e8,
    SETUP_SECTS = 0x1f1,
    BOOT_FLAG = 0x1fe,
    JUMP_LENGTH = 0x201,
    HEADER_MAGIC = 0x202,
    VERSION = 0x206,
    TYPE_OF_LOADER = 0x210,
    LOADFLAGS = 0x211,
    CODE32_START = 0x214,
    RAMDISK_IMAGE = 0x218,
    RAMDISK_SIZE = 0x21c,
    HEAP_END_PTR = 0x224,
    CMD_LINE_PTR = 0x228,
    INITRD_ADDR_MAX = 0x22c,
    RELOCATABLE = 0x234,
    XLOADFLAGS = 0x236,
    CMDLINE_SIZE = 0x238,
    SETUP_DATA = 0x250,
    PREF_ADDRESS = 0x258,
    INIT_SIZE = 0x260,
    HEADER_END = 0x268,
    E820_TABLE = 0x2d0,
    PARAMS_SIZE = 0x1000,
};
enum { LOADED_HIGH = 1, CAN_USE_HEAP = 0x80, KERNEL_64 = 1, LOADER_UNDEFINED = 0xff, ENTRY_64 = 0x200 };
enum { SETUP_RNG_SEED = 9, SEED_BYTES = 32, SETUP_DATA_HEADER = 16 };

#define MIB ((uint64_t)1 << 20)

static uint64_t get(const uint8_t *p, unsigned bytes)
{
    uint64_t value = 0;
    memcpy(&value, p, bytes);
    return GUINT64_FROM_LE(value);
}

static void set(uint8_t *p, uint64_t value, unsigned bytes)
{
    value = GUINT64_TO_LE(value);
    memcpy(p, &value, bytes);
}

void e820_encode(const E820Entry *entry, uint8_t out[E820_FILE_BYTES])
{
    set(out, entry->base, 8);
    set(out + 8, entry->size, 8);
    set(out + 16, entry->type, 4);
}

/* ---- for all formats ---- */

bool boot_put_tables(const X86Boot *boot, X86Entry *entry, GError **err)
{
    enum { PRESENT = 1, WRITABLE = 2, LARGE = 0x80, ENTRIES = 512, TABLES = 6 };
    const bool wide = entry->bits == 64;
    const uint64_t gdt[] = { 0, 0, GUINT64_TO_LE(wide ? UINT64_C(0x00af9b000000ffff) : UINT64_C(0x00cf9b000000ffff)),
                             GUINT64_TO_LE(UINT64_C(0x00cf93000000ffff)) };
    entry->cs = BOOT_CODE;
    entry->ds = BOOT_DATA;
    entry->gdt_base = BOOT_GDT;
    entry->gdt_limit = sizeof(gdt) - 1;
    entry->rsp = BOOT_STACK;
    if (!as_load_image(boot->as, BOOT_GDT, gdt, sizeof(gdt), err))
        return false;
    if (!wide)
        return true;
    g_autofree uint64_t *pages = g_new0(uint64_t, TABLES * ENTRIES);
    pages[0] = BOOT_PAGES + 0x1000 + (PRESENT | WRITABLE);
    for (unsigned i = 0; i < 4; i++)
        pages[ENTRIES + i] = BOOT_PAGES + 0x2000 + i * 0x1000 + (PRESENT | WRITABLE);
    for (unsigned i = 0; i < 4 * ENTRIES; i++)
        pages[2 * ENTRIES + i] = (uint64_t)i << 21 | LARGE | PRESENT | WRITABLE;
    for (unsigned i = 0; i < TABLES * ENTRIES; i++)
        pages[i] = GUINT64_TO_LE(pages[i]);
    entry->cr3 = BOOT_PAGES;
    return as_load_image(boot->as, BOOT_PAGES, pages, TABLES * ENTRIES * 8, err);
}

bool boot_put_cmdline(const X86Boot *boot, uint64_t max, GError **err)
{
    const char *line = boot->append ? boot->append : "";
    max = MIN(max, BOOT_INFO - BOOT_CMDLINE - 1);
    if (strlen(line) > max)
        return error_set(err, "-append: the kernel takes a command line of at most %" PRIu64 " characters, not %zu",
                         max, strlen(line));
    return as_load_image(boot->as, BOOT_CMDLINE, line, strlen(line) + 1, err);
}

static uint64_t initrd_place(uint64_t low, uint64_t limit, uint64_t size)
{
    uint64_t at = size <= limit ? (limit - size) & ~UINT64_C(0xfff) : 0;
    return at >= low ? at : 0;
}

bool boot_put_initrd(const X86Boot *boot, uint64_t low, uint64_t limit, uint64_t *at, uint64_t *size, GError **err)
{
    *at = *size = 0;
    if (!boot->initrd)
        return true;
    g_autofree uint8_t *data = read_whole_file("-initrd", boot->initrd, size, err);
    if (!data)
        return false;
    *at = initrd_place(low, limit, *size);
    if (!*at)
        return error_set(err,
                         "-initrd: '%s' takes %" PRIu64 " bytes, but there is only room for %" PRIu64
                         " above the kernel; use a greater -m",
                         boot->initrd, *size, limit > low ? limit - low : 0);
    return as_load_image(boot->as, *at, data, *size, err);
}

/* Random bytes for the kernel's generator. */
static bool put_seed(const X86Boot *boot, uint8_t *params, GError **err)
{
    uint8_t data[SETUP_DATA_HEADER + SEED_BYTES] = { 0 };
    set(data, get(params + SETUP_DATA, 8), 8);
    set(data + 8, SETUP_RNG_SEED, 4);
    set(data + 12, SEED_BYTES, 4);
    guest_random(data + SETUP_DATA_HEADER, SEED_BYTES);
    set(params + SETUP_DATA, BOOT_SETUP, 8);
    return as_load_image(boot->as, BOOT_SETUP, data, sizeof(data), err);
}

static void put_screen_info(uint8_t *params)
{
    params[VIDEO_MODE] = 3;
    params[VIDEO_COLS] = 80;
    params[VIDEO_EGA_MEMORY] = 3;
    params[VIDEO_LINES] = 25;
    params[VIDEO_IS_VGA] = 1;
    params[VIDEO_POINTS] = 16;
}

bool boot_put_params(const X86Boot *boot, uint8_t *params, uint64_t initrd, uint64_t initrd_size, GError **err)
{
    uint64_t high_kib = 0;
    params[TYPE_OF_LOADER] = LOADER_UNDEFINED;
    if (boot->text_screen)
        put_screen_info(params);
    set(params + ACPI_RSDP_ADDR, boot->rsdp, 8);
    set(params + RAMDISK_IMAGE, initrd, 4);
    set(params + RAMDISK_SIZE, initrd_size, 4);
    set(params + EXT_RAMDISK_IMAGE, initrd >> 32, 4);
    set(params + EXT_RAMDISK_SIZE, initrd_size >> 32, 4);
    set(params + CMD_LINE_PTR, BOOT_CMDLINE, 4);
    params[E820_ENTRIES] = boot->map_count;
    for (unsigned i = 0; i < boot->map_count; i++) {
        e820_encode(&boot->map[i], params + E820_TABLE + i * E820_FILE_BYTES);
        if (boot->map[i].base == MIB && boot->map[i].type == E820_RAM)
            high_kib = boot->map[i].size >> 10;
    }
    set(params + ALT_MEM_K, MIN(high_kib, UINT32_MAX), 4);
    return put_seed(boot, params, err) && as_load_image(boot->as, BOOT_PARAMS, params, PARAMS_SIZE, err);
}

/* ---- Linux ---- */

bool boot_is_linux(const uint8_t *data, uint64_t size)
{
    return size >= HEADER_END && get(data + BOOT_FLAG, 2) == 0xaa55 && !memcmp(data + HEADER_MAGIC, "HdrS", 4);
}

typedef struct Linux {
    const uint8_t *data, *kernel;
    uint64_t kernel_size, setup_size;
    uint16_t version;
    bool is_64;
    uint64_t cmdline_max, initrd_max; /* the last byte that it may take */
    uint64_t address, takes;          /* where the kernel goes, and how much memory it wants there */
} Linux;

/* What the header says, with the defaults of older protocols. */
static bool read_header(const char *path, const uint8_t *data, uint64_t size, Linux *l, GError **err)
{
    unsigned sectors = data[SETUP_SECTS] ? data[SETUP_SECTS] : 4;
    *l = (Linux){ .data = data, .version = get(data + VERSION, 2), .setup_size = (sectors + 1) * 512 };
    if (l->version < 0x204 || !(data[LOADFLAGS] & LOADED_HIGH))
        return error_set(err, "-kernel: '%s': a bzImage of boot protocol 2.04 (Linux 2.6.14) or newer is needed", path);
    if (l->setup_size >= size || (uint64_t)HEADER_MAGIC + data[JUMP_LENGTH] > l->setup_size)
        return error_set(err, "-kernel: '%s' is truncated: it ends before its kernel begins", path);
    l->kernel = data + l->setup_size;
    l->kernel_size = size - l->setup_size;
    l->is_64 = l->version >= 0x20c && get(data + XLOADFLAGS, 2) & KERNEL_64;
    l->cmdline_max = l->version >= 0x206 ? get(data + CMDLINE_SIZE, 4) : 255;
    l->initrd_max = get(data + INITRD_ADDR_MAX, 4);
    l->initrd_max = l->initrd_max ? l->initrd_max : 0x37ffffff;
    bool prefers = l->version >= 0x20a;
    l->address = prefers && data[RELOCATABLE] ? get(data + PREF_ADDRESS, 8) : MIB;
    l->takes = MAX(prefers ? get(data + INIT_SIZE, 4) : 0, l->kernel_size);
    if (l->address < MIB || l->address >= UINT64_C(1) << 32)
        l->address = MIB;
    return true;
}

/* The kernel's header in new boot_params. */
static uint8_t *make_params(const Linux *l)
{
    uint8_t *params = g_malloc0(PARAMS_SIZE);
    unsigned end = MIN(HEADER_MAGIC + l->data[JUMP_LENGTH], E820_TABLE);
    memcpy(params + SETUP_SECTS, l->data + SETUP_SECTS, end - SETUP_SECTS);
    set(params + CODE32_START, l->address, 4);
    return params;
}

static bool load_linux(const X86Boot *boot, const uint8_t *data, uint64_t size, X86Entry *entry, GError **err)
{
    Linux l;
    uint64_t initrd, initrd_size;
    if (!read_header(boot->kernel, data, size, &l, err))
        return false;
    if (l.is_64 && !boot->long_mode)
        return error_set(err, "-kernel: '%s' is a 64-bit kernel; this guest's processor has 32 bits", boot->kernel);
    if (l.address > boot->limit || l.takes > boot->limit - l.address)
        return error_set(err,
                         "-kernel: '%s' takes %" PRIu64 " MiB from address 0x%" PRIx64 " on, but RAM ends at 0x%" PRIx64
                         "; use a greater -m",
                         boot->kernel, (l.takes + MIB - 1) >> 20, l.address, boot->limit);
    uint64_t end = l.address + l.takes, initrd_limit = MIN(boot->limit, l.initrd_max + 1);
    g_autofree uint8_t *params = make_params(&l);
    *entry = (X86Entry){ .bits = l.is_64 ? 64 : 32, .rsi = BOOT_PARAMS };
    entry->rip = l.address + (l.is_64 ? ENTRY_64 : 0);
    return as_load_image(boot->as, l.address, l.kernel, l.kernel_size, err) &&
           boot_put_cmdline(boot, l.cmdline_max, err) &&
           boot_put_initrd(boot, end, initrd_limit, &initrd, &initrd_size, err) &&
           boot_put_params(boot, params, initrd, initrd_size, err) && boot_put_tables(boot, entry, err);
}

bool x86_boot_load(const X86Boot *boot, X86Entry *entry, GError **err)
{
    uint64_t size, header;
    g_autofree uint8_t *data = read_program("-kernel", boot->kernel, &size, err);
    if (!data)
        return false;
    if (boot_is_linux(data, size))
        return load_linux(boot, data, size, entry, err);
    bool elf = !memcmp(data, "\177ELF", 4), ok;
    if (boot_find_multiboot(data, size, &header))
        ok = boot_load_multiboot(boot, data, size, header, entry, err);
    else if (elf)
        ok = boot_load_elf(boot, data, size, entry, err);
    else
        ok = error_set(err, "neither a Linux bzImage nor an ELF file nor a Multiboot kernel");
    if (!ok)
        g_prefix_error(err, "-kernel: '%s': ", boot->kernel);
    return ok;
}

/* ---- through firmware: an option ROM, or firmware itself, fetches the parts and jumps to the setup code ---- */

enum { REAL_ADDR = 0x10000, CMDLINE_ADDR = 0x20000, FIRMWARE_ROOM = 0x28000 /* below the end of RAM: its tables */ };
enum { LOADER_QEMU = 0xb0 };

static void offer_bytes(FwCfg *f, uint16_t address_key, uint64_t address, uint16_t size_key, uint16_t data_key,
                        const void *data, size_t size)
{
    if (address_key)
        fw_cfg_set_integer(f, address_key, address, 4);
    fw_cfg_set_integer(f, size_key, size, 4);
    fw_cfg_set(f, data_key, data, size);
}

static bool offer_initrd(const X86Boot *boot, FwCfg *f, const Linux *l, uint8_t *setup, GError **err)
{
    uint64_t size, limit = MIN(boot->limit - FIRMWARE_ROOM, l->initrd_max + 1);
    g_autofree uint8_t *data = boot->initrd ? read_whole_file("-initrd", boot->initrd, &size, err) : NULL;
    if (!data)
        return !boot->initrd;
    uint64_t at = initrd_place(MIB + l->kernel_size, limit, size);
    if (!at || size > UINT32_MAX)
        return error_set(err, "-initrd: '%s' takes %" PRIu64 " bytes, which do not fit into RAM; use a greater -m",
                         boot->initrd, size);
    set(setup + RAMDISK_IMAGE, at, 4);
    set(setup + RAMDISK_SIZE, size, 4);
    offer_bytes(f, FW_CFG_INITRD_ADDR, at, FW_CFG_INITRD_SIZE, FW_CFG_INITRD_DATA, data, size);
    return true;
}

bool x86_boot_offer(const X86Boot *boot, FwCfg *f, GError **err)
{
    Linux l;
    uint64_t size;
    const char *line = boot->append ? boot->append : "";
    g_autofree uint8_t *data = read_whole_file("-kernel", boot->kernel, &size, err);
    if (!data)
        return false;
    if (!boot_is_linux(data, size))
        return error_set(err, "-kernel: '%s': firmware starts a Linux bzImage only; other kernels start without -bios",
                         boot->kernel);
    if (!read_header(boot->kernel, data, size, &l, err))
        return false;
    if (strlen(line) > l.cmdline_max)
        return error_set(err, "-append: the kernel takes a command line of at most %" PRIu64 " characters, not %zu",
                         l.cmdline_max, strlen(line));
    g_autofree uint8_t *setup = g_memdup2(data, l.setup_size);
    setup[TYPE_OF_LOADER] = LOADER_QEMU;
    setup[LOADFLAGS] |= CAN_USE_HEAP;
    set(setup + HEAP_END_PTR, CMDLINE_ADDR - REAL_ADDR - 0x200, 2);
    set(setup + CMD_LINE_PTR, CMDLINE_ADDR, 4);
    if (!offer_initrd(boot, f, &l, setup, err))
        return false;
    offer_bytes(f, FW_CFG_CMDLINE_ADDR, CMDLINE_ADDR, FW_CFG_CMDLINE_SIZE, FW_CFG_CMDLINE_DATA, line, strlen(line) + 1);
    offer_bytes(f, FW_CFG_KERNEL_ADDR, MIB, FW_CFG_KERNEL_SIZE, FW_CFG_KERNEL_DATA, l.kernel, l.kernel_size);
    offer_bytes(f, FW_CFG_SETUP_ADDR, REAL_ADDR, FW_CFG_SETUP_SIZE, FW_CFG_SETUP_DATA, setup, l.setup_size);
    return true;
}
