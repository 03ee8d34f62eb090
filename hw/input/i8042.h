/*
 * The keyboard controller of PCs, with a PS/2 keyboard and a PS/2 mouse (see i8042.c).
 *
 * On an ISA bus ("i8042" by device_realize with the bus) it takes ports 0x60 and 0x64 and lines 1 and 12 itself; a
 * machine only connects a20 (and reset, if not as usual).
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_INPUT_I8042_H
#define HW_INPUT_I8042_H

#include "hw/input/ps2.h"
#include "hw/isa/isa.h"

typedef struct I8042 {
    Device dev;
    MemRegion data, command; /* ports 0x60 and 0x64, of 1 byte each */
    Irq irq_keyboard, irq_mouse;
    Irq a20;   /* raised: addresses have bit 20; up after a reset */
    Irq reset; /* pulsed by the guest to reset the machine; if nobody connects it, the machine is reset */
    Ps2Keyboard keyboard;
    Ps2Mouse mouse;
    uint8_t ram[32];   /* controller memory; byte 0 is the command byte */
    uint8_t status;    /* what is not worked out at each read */
    uint8_t output;    /* the output buffer */
    uint8_t outport;   /* output port P2 */
    uint8_t pending;   /* the command that waits for its byte, 0: none */
    uint8_t answer;    /* of the controller, waits for the output buffer */
    uint8_t answering; /* 0: no; else whose byte it seems to be (status bits) */
    bool escaped;      /* translation: the break prefix of set 2 came */
} I8042;

extern const DeviceType i8042_type;

#endif
