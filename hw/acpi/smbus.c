/*
 * SMBus host controller (see smbus.h; ICH9 data sheet, 19.2, whose first registers are the PIIX4's).
 * SPDX-License-Identifier: MIT
 */
#include "hw/acpi/smbus.h"
#include <string.h>

enum { STATUS, CONTROL = 2, COMMAND, ADDRESS, DATA0, DATA1, BLOCK, AUX_CONTROL = 0xd };
enum { STATUS_BUSY = 1, STATUS_INTERRUPT = 2, STATUS_DEVICE_ERROR = 4, STATUS_WRITE_CLEARS = 0xfe };
enum { CONTROL_INTERRUPT = 1, CONTROL_START = 0x40 };

void smbus_update(Smbus *s)
{
    s->block_index %= sizeof(s->block);
    irq_set(&s->irq, s->control & CONTROL_INTERRUPT && s->status & (STATUS_INTERRUPT | STATUS_DEVICE_ERROR));
}

static uint64_t smbus_read(void *opaque, uint64_t offset, unsigned size)
{
    Smbus *s = opaque;
    switch (offset) {
    case STATUS:
        return s->status;
    case CONTROL:
        s->block_index = 0; /* a read of it begins a block anew */
        return s->control;
    case COMMAND:
        return s->command;
    case ADDRESS:
        return s->address;
    case DATA0:
    case DATA1:
        return s->data[offset - DATA0];
    case BLOCK:
        s->block_index %= sizeof(s->block);
        return s->block[s->block_index++];
    case AUX_CONTROL:
        return s->aux_control;
    default:
        return 0;
    }
}

static void smbus_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Smbus *s = opaque;
    switch (offset) {
    case STATUS:
        s->status &= ~(value & STATUS_WRITE_CLEARS);
        break;
    case CONTROL:
        s->control = value & ~CONTROL_START;
        if (value & CONTROL_START)
            s->status |= STATUS_DEVICE_ERROR; /* nobody acknowledges the address */
        break;
    case COMMAND:
        s->command = value;
        break;
    case ADDRESS:
        s->address = value;
        break;
    case DATA0:
    case DATA1:
        s->data[offset - DATA0] = value;
        break;
    case BLOCK:
        s->block_index %= sizeof(s->block);
        s->block[s->block_index++] = value;
        break;
    case AUX_CONTROL:
        s->aux_control = value & 3;
        break;
    }
    smbus_update(s);
}

static const MemOps smbus_ops = { .read = smbus_read, .write = smbus_write, .max_size = 4, .impl_max = 1 };

void smbus_init(Smbus *smbus, Device *dev)
{
    mem_io_init(&smbus->ports, dev->machine, "pm-smbus", SMBUS_PORTS, &smbus_ops, smbus);
}

void smbus_reset(Smbus *s)
{
    s->status = s->control = s->command = s->address = s->aux_control = s->block_index = 0;
    memset(s->data, 0, sizeof(s->data));
    memset(s->block, 0, sizeof(s->block));
    smbus_update(s);
}
