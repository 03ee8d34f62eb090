/*
 * Parallel port of a PC, standard mode (IEEE 1284-1994, 4 and annex C): data, status, control, and a printer that takes
 * each strobed byte at once.
 * SPDX-License-Identifier: MIT
 */
#include "hw/char/parallel.h"
#include "hw/isa/isa.h"
#include "util/error.h"

enum { DATA, STATUS, CONTROL, PORTS = 8 };
enum { STATUS_READY = 0x80, STATUS_ACK = 0x40, STATUS_SELECTED = 0x10, STATUS_NO_ERROR = 0x08, STATUS_FIXED = 0x07 };
enum { CONTROL_STROBE = 1, CONTROL_INIT = 4, CONTROL_INTERRUPT = 0x10, CONTROL_INPUT = 0x20, CONTROL_FIXED = 0xc0 };

static const struct {
    uint16_t port;
    uint8_t line;
} usual[] = { { 0x378, 7 }, { 0x278, 5 }, { 0x3bc, 7 } };

/* The interrupt is the ACK# pulse. */
static void update(Parallel *s)
{
    irq_set(&s->irq, s->acknowledging && s->control & CONTROL_INTERRUPT);
}

static uint8_t read_status(Parallel *s)
{
    uint8_t ack = s->acknowledging ? 0 : STATUS_ACK;
    uint8_t ready = s->control & CONTROL_STROBE ? 0 : STATUS_READY;
    s->acknowledging = 0;
    update(s);
    return ready | ack | STATUS_SELECTED | STATUS_NO_ERROR | STATUS_FIXED;
}

/* The byte is taken when the strobe begins, and acknowledged when it ends. */
static void write_control(Parallel *s, uint8_t value)
{
    bool begins = value & ~s->control & CONTROL_STROBE, ends = s->control & ~value & CONTROL_STROBE;
    s->control = value & ~CONTROL_FIXED;
    if (begins)
        chardev_write(s->chardev, &s->data, 1);
    if (ends)
        s->acknowledging = 1;
    if (!(value & CONTROL_INIT))
        s->acknowledging = 0;
    update(s);
}

static uint64_t parallel_read(void *opaque, uint64_t offset, unsigned size)
{
    Parallel *s = opaque;
    switch (offset) {
    case DATA:
        return s->control & CONTROL_INPUT ? 0xff : s->data;
    case STATUS:
        return read_status(s);
    case CONTROL:
        return s->control | CONTROL_FIXED;
    default:
        return 0xff;
    }
}

static void parallel_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Parallel *s = opaque;
    if (offset == DATA)
        s->data = value;
    else if (offset == CONTROL)
        write_control(s, value);
}

static const MemOps parallel_ops = {
    .read = parallel_read, .write = parallel_write, .max_size = 4, .impl_max = 1, .unaligned = true
};

static size_t nothing(void *opaque)
{
    return 0;
}

static void ignore(void *opaque, const uint8_t *data, size_t len) {}

static bool realize(Device *dev, GError **err)
{
    static const ChardevClient client = { nothing, ignore, NULL, NULL };
    Parallel *s = (Parallel *)dev;
    if (s->index == UINT32_MAX) {
        s->index = 0;
        for (unsigned i = 0; i < dev->bus->devices->len; i++) {
            const Device *other = g_ptr_array_index(dev->bus->devices, i);
            s->index += other != dev && other->type == dev->type;
        }
    }
    if (s->index >= G_N_ELEMENTS(usual) && (s->iobase == UINT32_MAX || s->line == UINT32_MAX))
        return error_set(err, "index=%u: 0 to 2 have a usual place; others need iobase= and irq=", s->index);
    if (s->iobase == UINT32_MAX)
        s->iobase = usual[s->index].port;
    if (s->line == UINT32_MAX)
        s->line = usual[s->index].line;
    if (!isa_check_irq(s->line, "irq", err))
        return false;
    mem_io_init(&s->ports, dev->machine, "parallel", s->iobase == 0x3bc ? 3 : PORTS, &parallel_ops, s);
    if (!isa_map_ports(dev->bus, s->iobase, &s->ports, "iobase", err))
        return false;
    s->irq = isa_irq(dev->bus, s->line);
    return !s->chardev || chardev_attach(s->chardev, dev->machine, &client, s, err);
}

static void unrealize(Device *dev)
{
    Parallel *s = (Parallel *)dev;
    if (s->chardev)
        chardev_attach(s->chardev, NULL, NULL, s, NULL);
}

static void reset(Device *dev)
{
    Parallel *s = (Parallel *)dev;
    s->data = s->acknowledging = 0;
    s->control = CONTROL_INIT | 8;
    update(s);
}

static void post_load(Device *dev)
{
    update((Parallel *)dev);
}

static const Prop props[] = {
    PROP(Parallel, CHARDEV, "chardev", chardev, .help = "ID of the character device that prints"),
    PROP(Parallel, U32, "index", index, .fallback = "0xffffffff", .help = "0 to 2: LPT1 to LPT3 (default: the next)"),
    PROP(Parallel, U32, "iobase", iobase, .fallback = "0xffffffff",
         .help = "first port (default: as the index has it)"),
    PROP(Parallel, U32, "irq", line, .fallback = "0xffffffff", .help = "ISA line (default: as the index has it)"),
    PROP_END,
};
static const StateField state[] = { STATE(Parallel, data),
                                    STATE(Parallel, control),
                                    STATE(Parallel, acknowledging),
                                    STATE_SKIP(Parallel, ports, "wiring"),
                                    STATE_SKIP(Parallel, irq, "wiring"),
                                    STATE_END };

const DeviceType isa_parallel_type = {
    .name = "isa-parallel",
    .desc = "parallel port",
    .category = "input",
    .bus = "isa",
    .size = sizeof(Parallel),
    .props = props,
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .post_load = post_load,
};
