/*
 * 16550A UART (see serial_16550.c): place mmio, connect irq.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_CHAR_SERIAL_16550_H
#define HW_CHAR_SERIAL_16550_H

#include "hw/core/machine.h"
#include "ui/chardev/chardev.h"

#define SERIAL_FIFO 16

typedef struct Serial16550 {
    Device dev;
    MemRegion mmio;
    Chardev *chardev;   /* property */
    uint32_t reg_shift; /* property: registers are 1 << reg_shift bytes apart */
    uint8_t ier, fcr, lcr, mcr, msr, scr, lsr_errors;
    uint8_t tx_empty_pending, timeout_pending;
    uint16_t divisor;
    uint8_t fifo[SERIAL_FIFO];
    uint8_t fifo_count, fifo_first;
    uint8_t tx[SERIAL_FIFO]; /* what the back end has not taken yet */
    uint8_t tx_count;
    uint16_t breaks; /* by place in fifo: it is a break whose turn to show in LSR has not come */
    Irq irq;
} Serial16550;

extern const DeviceType serial_16550_type;

#endif
