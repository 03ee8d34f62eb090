/*
 * Serial port of a PC (see isa_serial.h): COM1 to COM4 where IBM's Technical Reference and everybody after it has them.
 * SPDX-License-Identifier: MIT
 */
#include "hw/char/isa_serial.h"
#include "hw/isa/isa.h"
#include "util/error.h"

static const struct {
    uint16_t port;
    uint8_t line;
} usual[ISA_SERIALS] = { { 0x3f8, 4 }, { 0x2f8, 3 }, { 0x3e8, 4 }, { 0x2e8, 3 } };

/* Ports of this type that the bus already has (dev itself is one). */
static uint32_t next_index(const Device *dev)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < dev->bus->devices->len; i++) {
        const Device *other = g_ptr_array_index(dev->bus->devices, i);
        count += other != dev && other->type == dev->type;
    }
    return count;
}

static bool realize(Device *dev, GError **err)
{
    IsaSerial *s = (IsaSerial *)dev;
    bool placed = s->iobase != UINT32_MAX && s->line != UINT32_MAX;
    if (s->index == UINT32_MAX)
        s->index = next_index(dev);
    if (s->index >= ISA_SERIALS && !placed)
        return error_set(err, "index=%u: 0 to %u have a usual place; others need iobase= and irq=", s->index,
                         ISA_SERIALS - 1);
    if (s->iobase == UINT32_MAX)
        s->iobase = usual[s->index].port;
    if (s->line == UINT32_MAX)
        s->line = usual[s->index].line;
    if (!isa_check_irq(s->line, "irq", err) || !isa_map_ports(dev->bus, s->iobase, &s->uart.mmio, "iobase", err))
        return false;
    s->uart.irq = isa_irq(dev->bus, s->line);
    return true;
}

static const Prop props[] = {
    PROP(IsaSerial, U32, "index", index, .fallback = "0xffffffff", .help = "0 to 3: COM1 to COM4 (default: the next)"),
    PROP(IsaSerial, U32, "iobase", iobase, .fallback = "0xffffffff",
         .help = "first port (default: as the index has it)"),
    PROP(IsaSerial, U32, "irq", line, .fallback = "0xffffffff", .help = "ISA line (default: as the index has it)"),
    PROP_END,
};
static const StateField state[] = { STATE_END };

const DeviceType isa_serial_type = {
    .name = "isa-serial",
    .desc = "serial port, 16550A",
    .category = "input",
    .bus = "isa",
    .parent = &serial_16550_type,
    .size = sizeof(IsaSerial),
    .props = props,
    .state = state,
    .realize = realize,
};
