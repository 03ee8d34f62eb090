/*
 * Ports of a PC's board (see pc_ports.h): port 92 of the PS/2 (82371AB data sheet, 4.2.7), coprocessor error port f0
 * (4.2.6).
 * SPDX-License-Identifier: MIT
 */
#include "hw/isa/pc_ports.h"
#include "hw/isa/isa.h"

enum { PORT92_RESET = 1, PORT92_A20 = 2, POST = 0x80, SYSTEM_CONTROL = 0x92, COPROCESSOR = 0xf0 };

/* Programs write here to wait for a microsecond. */
static uint64_t post_read(void *opaque, uint64_t offset, unsigned size)
{
    return UINT64_MAX;
}

static void post_write(void *opaque, uint64_t offset, uint64_t value, unsigned size) {}

static uint64_t control_read(void *opaque, uint64_t offset, unsigned size)
{
    return ((PcPorts *)opaque)->port92;
}

static void control_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    PcPorts *s = opaque;
    bool resets = value & ~s->port92 & PORT92_RESET;
    s->port92 = value;
    irq_set(&s->a20, value & PORT92_A20);
    if (resets)
        machine_request_reset(s->dev.machine, SHUTDOWN_GUEST_RESET);
}

/* The handler of IRQ 13 writes here: the request goes, and the processor may go on to execute x87 instructions. */
static void coprocessor_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    PcPorts *s = opaque;
    irq_set(&s->fpu_irq, false);
    irq_set(&s->ignne, true);
}

static void ferr_set(void *opaque, int n, bool level)
{
    PcPorts *s = opaque;
    irq_set(&s->fpu_irq, level);
    if (!level)
        irq_set(&s->ignne, false);
}

Irq pc_ports_ferr_input(PcPorts *ports)
{
    return (Irq){ ferr_set, ports, 0 };
}

static const MemOps post_ops = { .read = post_read, .write = post_write, .max_size = 1, .lock_free = true },
                    control_ops = { .read = control_read, .write = control_write, .max_size = 1 },
                    coprocessor_ops = { .read = post_read, .write = coprocessor_write, .max_size = 1 };

static bool realize(Device *dev, GError **err)
{
    PcPorts *s = (PcPorts *)dev;
    MemRegion *ports = isa_ports(dev->machine);
    mem_io_init(&s->post, dev->machine, "ioport80", 1, &post_ops, s);
    mem_io_init(&s->control, dev->machine, "port92", 1, &control_ops, s);
    mem_io_init(&s->coprocessor, dev->machine, "ioportF0", 1, &coprocessor_ops, s);
    mem_add(ports, POST, &s->post, 0);
    mem_add(ports, SYSTEM_CONTROL, &s->control, 0);
    mem_add(ports, COPROCESSOR, &s->coprocessor, 0);
    return true;
}

static void update(Device *dev)
{
    PcPorts *s = (PcPorts *)dev;
    irq_set(&s->a20, s->port92 & PORT92_A20);
}

static void reset(Device *dev)
{
    PcPorts *s = (PcPorts *)dev;
    s->port92 = PORT92_A20;
    irq_set(&s->fpu_irq, false);
    irq_set(&s->ignne, false);
    update(dev);
}

static const StateField state[] = { STATE(PcPorts, port92),
                                    STATE_SKIP(PcPorts, post, "wiring"),
                                    STATE_SKIP(PcPorts, control, "wiring"),
                                    STATE_SKIP(PcPorts, coprocessor, "wiring"),
                                    STATE_SKIP(PcPorts, a20, "wiring"),
                                    STATE_SKIP(PcPorts, fpu_irq, "wiring"),
                                    STATE_SKIP(PcPorts, ignne, "wiring"),
                                    STATE_END };

const DeviceType pc_ports_type = {
    .name = "port92",
    .desc = "a PC's ports 80, 92 and f0",
    .category = "misc",
    .size = sizeof(PcPorts),
    .state = state,
    .realize = realize,
    .reset = reset,
    .post_load = update,
};
