/*
 * Parallel NOR flash with the Intel command set.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_FIRMWARE_PFLASH_CFI01_H
#define HW_FIRMWARE_PFLASH_CFI01_H

#include "block/block.h"
#include "hw/core/machine.h"

#define PFLASH_BUFFER 2048

typedef struct PflashCfi01 {
    Device dev;
    MemRegion mmio, array,
        registers; /* mmio: where the machine puts it; array: its bytes; registers: over them, in other read modes */
    BlockNode *drive;
    char *name;                     /* property: of the regions */
    uint32_t sectors, sector_size;  /* properties */
    uint8_t bank_width, chip_width; /* properties: bytes of a bus word, and of one chip's part of it */
    bool secure;                    /* property: it listens only to the processor's privileged mode */
    bool (*privileged)(void);       /* the access that goes on comes from there; set by the machine, or NULL: never */
    uint8_t cfi[0x52];
    uint8_t read_mode, state, status;
    uint32_t count;                     /* words still to come of a buffered write */
    uint32_t buffer_first, buffer_used; /* its place in the array, in bytes, and how much of it there is */
    uint8_t buffer[PFLASH_BUFFER];
} PflashCfi01;

extern const DeviceType pflash_cfi01_type;

#endif
