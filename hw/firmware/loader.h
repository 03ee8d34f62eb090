/*
 * Loading files into guest memory. Every size in a file is checked before use.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_FIRMWARE_LOADER_H
#define HW_FIRMWARE_LOADER_H

#include "hw/core/memory.h"

typedef struct LoadedImage {
    uint64_t entry;     /* where to start it */
    uint64_t low, high; /* guest-physical range [low, high) that it takes, memory that it clears included */
} LoadedImage;

/* An ELF executable (32- or 64-bit RISC-V, by class), at its physical addresses; a Linux Image (plain or gzip) or
 * anything else at address. limit: no byte at or above. what names the option in messages. */
bool load_executable(AddressSpace *as, const char *what, const char *path, uint64_t address, uint64_t limit,
                     unsigned bits, LoadedImage *out, GError **err);
/* The same parts for boards with formats of their own. A file, unpacked if it is gzip; free with g_free. */
uint8_t *read_program(const char *what, const char *path, uint64_t *size, GError **err);
/* An ELF executable, at its physical addresses. machines: EM_* that are taken, 0 at the end. Of a 64-bit entry point
 * that is virtual, out->entry is its physical address. */
bool load_elf_program(AddressSpace *as, const uint8_t *data, uint64_t size, uint64_t limit, const uint16_t *machines,
                      LoadedImage *out, GError **err);
/* A note of an ELF file (System V ABI, chapter 5), or NULL; *len is its length. All in bounds. */
const uint8_t *elf_note(const uint8_t *data, uint64_t size, const char *name, uint32_t type, uint32_t *len);
/* A file as it is, at address; *size is its length. */
bool load_file(AddressSpace *as, const char *what, const char *path, uint64_t address, uint64_t limit, uint64_t *size,
               GError **err);
/* Read a file into memory. Free with g_free. NULL and *err, which names what and path. */
uint8_t *read_whole_file(const char *what, const char *path, uint64_t *size, GError **err);
/* Firmware of this name: a path, or a file in one of the folders of Debian's packages (seabios, ovmf, ipxe-qemu,
 * qemu-system-data). Free with g_free; NULL: it is nowhere. */
char *firmware_find(const char *name);
/* Those folders, for messages. */
const char *firmware_places(void);
/* Write it into what path names, which stays what it is (a device, a link, a pipe). False and *err, which names what
 * and path. */
bool write_whole_file(const char *what, const char *path, const void *data, uint64_t size, GError **err);

#endif
