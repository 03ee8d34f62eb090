/*
 * Parallel port of a PC.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_CHAR_PARALLEL_H
#define HW_CHAR_PARALLEL_H

#include "hw/core/machine.h"
#include "ui/chardev/chardev.h"

typedef struct Parallel {
    Device dev;
    MemRegion ports;
    Chardev *chardev;             /* property */
    uint32_t index, iobase, line; /* properties; UINT32_MAX: the next one, and what it usually has */
    uint8_t data, control;
    uint8_t acknowledging; /* the printer's ACK# pulse, which the next read of the status ends */
    Irq irq;
} Parallel;

extern const DeviceType isa_parallel_type;

#endif
