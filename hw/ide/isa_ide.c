/*
 * IDE channel on an ISA card: PIO only.
 * SPDX-License-Identifier: MIT
 */
#include "hw/ide/ide.h"
#include "hw/isa/isa.h"

typedef struct IsaIde {
    Device dev;
    IdeBus ide;
    GMutex lock;
    Irq irq;
    MemRegion command, control;
    uint32_t iobase, iobase2, line;
} IsaIde;

static void set_irq(IdeBus *ide, bool level)
{
    irq_set(&((IsaIde *)ide->opaque)->irq, level);
}

static const IdeHost host = { .irq = set_irq };

static bool realize(Device *dev, GError **err)
{
    IsaIde *s = (IsaIde *)dev;
    if (!isa_check_irq(s->line, "irq", err))
        return false;
    g_mutex_init(&s->lock);
    ide_bus_init(&s->ide, dev, 0, 2, &s->lock, &host, s);
    ide_ports_init(&s->ide, dev, &s->command, &s->control);
    s->irq = isa_irq(dev->bus, s->line);
    return isa_map_ports(dev->bus, s->iobase, &s->command, "iobase", err) &&
           isa_map_ports(dev->bus, s->iobase2, &s->control, "iobase2", err);
}

static void unrealize(Device *dev)
{
    g_mutex_clear(&((IsaIde *)dev)->lock);
}

static void reset(Device *dev)
{
    IsaIde *s = (IsaIde *)dev;
    ide_lock(&s->ide);
    ide_bus_reset(&s->ide);
    ide_unlock(&s->ide);
}

static void post_load(Device *dev)
{
    const IsaIde *s = (const IsaIde *)dev;
    irq_set(&s->irq, s->ide.intrq && !(s->ide.control & IDE_CTL_NIEN));
}

static const Prop props[] = { PROP(IsaIde, U32, "iobase", iobase, .fallback = "0x1f0", .help = "command ports"),
                              PROP(IsaIde, U32, "iobase2", iobase2, .fallback = "0x3f6", .help = "control port"),
                              PROP(IsaIde, U32, "irq", line, .fallback = "14", .help = "interrupt line"), PROP_END };
static const StateField state[] = { STATE_SKIP(IsaIde, ide, "wiring, and what is listed"),
                                    STATE(IsaIde, ide.select),
                                    STATE(IsaIde, ide.control),
                                    STATE(IsaIde, ide.intrq),
                                    STATE_SKIP(IsaIde, lock, "wiring"),
                                    STATE_SKIP(IsaIde, irq, "wiring"),
                                    STATE_SKIP(IsaIde, command, "fixed"),
                                    STATE_SKIP(IsaIde, control, "fixed"),
                                    STATE_END };

const DeviceType isa_ide_type = { .name = "isa-ide",
                                  .desc = "IDE controller on the ISA bus",
                                  .category = "storage",
                                  .bus = "isa",
                                  .size = sizeof(IsaIde),
                                  .props = props,
                                  .state = state,
                                  .realize = realize,
                                  .unrealize = unrealize,
                                  .reset = reset,
                                  .post_load = post_load };
