/*
 * SMBus host controller of PIIX4 and ICH9 (ICH9 datasheet, chapter 19), with nobody on the bus: each transfer ends with
 * a device error.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_ACPI_SMBUS_H
#define HW_ACPI_SMBUS_H

#include "hw/core/machine.h"

#define SMBUS_PORTS 0x40

typedef struct Smbus {
    MemRegion ports;
    uint8_t status, control, command, address, data[2], aux_control;
    uint8_t block[32], block_index;
    Irq irq;
} Smbus;

#define SMBUS_STATE(Type, smbus)                                                                                   \
    STATE(Type, smbus.status), STATE(Type, smbus.control), STATE(Type, smbus.command), STATE(Type, smbus.address), \
        STATE_ARRAY(Type, smbus.data), STATE(Type, smbus.aux_control), STATE_ARRAY(Type, smbus.block),             \
        STATE(Type, smbus.block_index), STATE_SKIP(Type, smbus.ports, "wiring"), STATE_SKIP(Type, smbus.irq, "wiring")

void smbus_init(Smbus *smbus, Device *dev);
void smbus_reset(Smbus *smbus);
void smbus_update(Smbus *smbus); /* after loading */

#endif
