/*
 * Starting kernels without firmware: Linux (bzImage), PVH and Multiboot kernels, ELF programs; and offering Linux to
 * firmware that starts it (see boot.c, boot_elf.c, boot_vga.c).
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_MACHINE_X86_BOOT_H
#define HW_MACHINE_X86_BOOT_H

#include "hw/core/memory.h"
#include "hw/firmware/fw_cfg.h"
#include "target/x86/x86.h"

/* One line of the memory map, as firmware's E820 call and fw_cfg's etc/e820 have it. */
enum { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3 };
typedef struct E820Entry {
    uint64_t base, size;
    uint32_t type;
} E820Entry;
#define E820_MAX        16
#define E820_FILE_BYTES 20 /* of an entry */

typedef struct X86Boot {
    AddressSpace *as;
    bool long_mode;   /* the processor has it */
    bool text_screen; /* the display is in text mode 3 */
    const char *kernel, *initrd, *append;
    const E820Entry *map;
    unsigned map_count;
    uint64_t limit; /* RAM from 1 MiB up to here is free */
    uint64_t rsdp;  /* address; 0: there is no ACPI */
} X86Boot;

/* Put the kernel and what it wants to know into memory; *entry is how to start it. */
bool x86_boot_load(const X86Boot *boot, X86Entry *entry, GError **err);
/* Linux for firmware, or for the option ROM that firmware runs: setup, kernel, initial RAM disk and command line as
 * fw_cfg items. */
bool x86_boot_offer(const X86Boot *boot, FwCfg *f, GError **err);
/* Set a VGA adapter to text mode 3, with a blank screen, as firmware does. False: there is none. */
bool boot_set_text_mode(AddressSpace *memory, AddressSpace *io);
/* An entry as 20 bytes. */
void e820_encode(const E820Entry *entry, uint8_t out[E820_FILE_BYTES]);

/* ---- shared by boot.c and boot_elf.c ---- */

/* Where the loader's tables are: below what any kernel takes. */
enum {
    BOOT_GDT = 0x500,
    BOOT_STACK = 0x7000,
    BOOT_PARAMS = 0x7000,
    BOOT_PAGES = 0x9000, /* page tables: six pages */
    BOOT_SETUP = 0xf000, /* setup_data */
    BOOT_CMDLINE = 0x10000,
    BOOT_INFO = 0x20000, /* PVH's and Multiboot's tables */
    BOOT_END = 0x30000,
};
enum { BOOT_CODE = 0x10, BOOT_DATA = 0x18 };

/* GDT and, for 64 bits, page tables that map 4 GiB as they are. entry->bits, rip are set. */
bool boot_put_tables(const X86Boot *boot, X86Entry *entry, GError **err);
bool boot_put_cmdline(const X86Boot *boot, uint64_t max, GError **err);
/* The initial RAM disk at the top of what lies below limit and not below low. */
bool boot_put_initrd(const X86Boot *boot, uint64_t low, uint64_t limit, uint64_t *at, uint64_t *size, GError **err);
/* boot_params of a kernel without a setup header of its own. */
bool boot_put_params(const X86Boot *boot, uint8_t *params, uint64_t initrd, uint64_t initrd_size, GError **err);
bool boot_is_linux(const uint8_t *data, uint64_t size);
bool boot_load_elf(const X86Boot *boot, const uint8_t *data, uint64_t size, X86Entry *entry, GError **err);
/* Whether it has a Multiboot header, and where. */
bool boot_find_multiboot(const uint8_t *data, uint64_t size, uint64_t *at);
bool boot_load_multiboot(const X86Boot *boot, const uint8_t *data, uint64_t size, uint64_t header, X86Entry *entry,
                         GError **err);

#endif
