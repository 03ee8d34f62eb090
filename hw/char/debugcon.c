/*
 * Debug console ("Bochs debug port", port e9; OVMF writes to 402): each byte written goes out, a read gives a constant
 * by which programs find it.
 * SPDX-License-Identifier: MIT
 */
#include "hw/isa/isa.h"
#include "ui/chardev/chardev.h"
#include "util/error.h"

typedef struct Debugcon {
    Device dev;
    MemRegion ports;
    Chardev *chardev;
    uint32_t iobase, readback;
} Debugcon;

static uint64_t debugcon_read(void *opaque, uint64_t offset, unsigned size)
{
    return ((Debugcon *)opaque)->readback;
}

static void debugcon_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    uint8_t byte = value;
    chardev_write(((Debugcon *)opaque)->chardev, &byte, 1);
}

static const MemOps debugcon_ops = { .read = debugcon_read, .write = debugcon_write, .max_size = 1 };

static size_t nothing(void *opaque)
{
    return 0;
}

static void ignore(void *opaque, const uint8_t *data, size_t len) {}

static bool realize(Device *dev, GError **err)
{
    static const ChardevClient client = { nothing, ignore, NULL, NULL };
    Debugcon *s = (Debugcon *)dev;
    mem_io_init(&s->ports, dev->machine, "isa-debugcon", 1, &debugcon_ops, s);
    if (!isa_map_ports(dev->bus, s->iobase, &s->ports, "iobase", err))
        return false;
    return !s->chardev || chardev_attach(s->chardev, dev->machine, &client, s, err);
}

static void unrealize(Device *dev)
{
    Debugcon *s = (Debugcon *)dev;
    if (s->chardev)
        chardev_attach(s->chardev, NULL, NULL, s, NULL);
}

static const Prop props[] = {
    PROP(Debugcon, CHARDEV, "chardev", chardev, .help = "ID of the character device that gets the bytes"),
    PROP(Debugcon, U32, "iobase", iobase, .fallback = "0xe9", .help = "port"),
    PROP(Debugcon, U32, "readback", readback, .fallback = "0xe9", .help = "what a read gives"),
    PROP_END,
};
static const StateField state[] = { STATE_SKIP(Debugcon, ports, "wiring"), STATE_END };

extern const DeviceType isa_debugcon_type;
const DeviceType isa_debugcon_type = {
    .name = "isa-debugcon",
    .desc = "debug console port",
    .category = "misc",
    .bus = "isa",
    .size = sizeof(Debugcon),
    .props = props,
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
};
