/*
 * Serial port of a PC: a 16550A at ISA ports and an ISA line.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_CHAR_ISA_SERIAL_H
#define HW_CHAR_ISA_SERIAL_H

#include "hw/char/serial_16550.h"

#define ISA_SERIALS 4

typedef struct IsaSerial {
    Serial16550 uart;
    uint32_t index, iobase, line; /* properties; UINT32_MAX: the next one, and what it usually has */
} IsaSerial;

extern const DeviceType isa_serial_type;

#endif
