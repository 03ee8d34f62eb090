/*
 * i8257 DMA controllers of a PC: channels 0-3 for bytes, 4-7 for words (4 cascades).
 *
 * A board calls i8257_add_pair once its ISA bus is there. A device on that bus transfers by i8257_transfer: the
 * channel's address, count, direction and mask are the guest's. Everything is under the controller's own lock, so that
 * a device's thread may call it.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_DMA_I8257_H
#define HW_DMA_I8257_H

#include "hw/core/machine.h"

typedef struct I8257Channel {
    uint16_t base_address, base_count, address, count; /* count: transfers less one */
    uint8_t mode, page;
} I8257Channel;

typedef struct I8257 {
    Device dev;
    GMutex lock;
    MemRegion registers, pages;
    uint32_t base, page_base, shift; /* properties; shift 1: ports and transfers of words */
    uint8_t command, status, mask, flip_flop;
    I8257Channel channels[4];
} I8257;

extern const DeviceType i8257_type;

/* The two controllers of a PC on its ISA bus. False and *err on failure. */
bool i8257_add_pair(Bus *isa, GError **err);
/* The controller of channel 0 to 7 on the bus, or NULL. */
I8257 *i8257_find(Bus *isa, unsigned channel);
/* What channel (0 to 3 of this controller) takes of a device's request: moves at most bytes between data and memory, to
 * memory or from it as the device says, and counts. Returns how many bytes were moved; *end: terminal count was
 * reached. With to_memory wrong for the channel's mode, masked, or in verify mode, data are counted but not moved. */
uint32_t i8257_transfer(I8257 *dma, unsigned channel, uint8_t *data, uint32_t bytes, bool to_memory, bool *end);
/* True if the channel takes requests (not masked, controller enabled). */
bool i8257_ready(I8257 *dma, unsigned channel);

#endif
