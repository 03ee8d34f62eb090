/*
 * The ISA bus (IEEE P996; see isa.h): shared lines, ports, and a bridge for boards that have no other.
 * SPDX-License-Identifier: MIT
 */
#include "hw/isa/isa.h"
#include "util/error.h"
#include <inttypes.h>

typedef struct IsaSource {
    IsaBus *isa;
    unsigned line;
    bool level;
} IsaSource;

static void source_set(void *opaque, int n, bool level)
{
    IsaSource *source = opaque;
    IsaBus *isa = source->isa;
    bool any = false;
    g_mutex_lock(&isa->lock);
    source->level = level;
    for (unsigned i = 0; i < isa->sources->len && !any; i++) {
        const IsaSource *other = g_ptr_array_index(isa->sources, i);
        any = other->line == source->line && other->level;
    }
    irq_set(&isa->irqs[source->line], any);
    g_mutex_unlock(&isa->lock);
}

Irq isa_irq(Bus *bus, unsigned n)
{
    IsaBus *isa = bus->state;
    g_assert(n < ISA_IRQS);
    IsaSource *source = g_new0(IsaSource, 1);
    source->isa = isa;
    source->line = n;
    g_mutex_lock(&isa->lock);
    g_ptr_array_add(isa->sources, source);
    g_mutex_unlock(&isa->lock);
    return (Irq){ source_set, source, n };
}

bool isa_map_ports(Bus *bus, uint64_t port, MemRegion *region, const char *prop, GError **err)
{
    IsaBus *isa = bus->state;
    if (port >= ISA_PORTS || port + region->size > ISA_PORTS)
        return error_set(err, "%s=0x%" PRIx64 ": its ports have to end at 0xffff; 0x%" PRIx64 " is the greatest", prop,
                         port, ISA_PORTS - region->size);
    mem_add(isa->io, port, region, 0);
    return true;
}

bool isa_check_irq(uint64_t n, const char *prop, GError **err)
{
    return n < ISA_IRQS || error_set(err, "%s=%" PRIu64 ": the ISA bus has lines 0 to %u", prop, n, ISA_IRQS - 1);
}

MemRegion *isa_ports(Machine *machine)
{
    if (!machine->io_root.size)
        machine->io_root.size = ISA_PORTS;
    return &machine->io_root;
}

void isa_bus_init(IsaBus *isa, Device *owner, const char *name)
{
    Machine *machine = owner->machine;
    if (!isa->io)
        isa->io = isa_ports(machine);
    if (!isa->memory)
        isa->memory = &machine->root;
    g_mutex_init(&isa->lock);
    isa->sources = g_ptr_array_new_with_free_func(g_free);
    isa->bus = bus_new(owner, "isa", name);
    isa->bus->state = isa;
}

void isa_bus_destroy(IsaBus *isa)
{
    g_ptr_array_unref(isa->sources);
    g_mutex_clear(&isa->lock);
}

/* ---- isabus-bridge ---- */

static bool bridge_realize(Device *dev, GError **err)
{
    isa_bus_init(&((IsaBridge *)dev)->isa, dev, "isa.0");
    return true;
}

static void bridge_unrealize(Device *dev)
{
    isa_bus_destroy(&((IsaBridge *)dev)->isa);
}

static const StateField bridge_state[] = { STATE_SKIP(IsaBridge, isa, "follows from its devices"), STATE_END };

const DeviceType isabus_bridge_type = {
    .name = "isabus-bridge",
    .desc = "ISA bus of a board without PCI",
    .category = "bridge",
    .size = sizeof(IsaBridge),
    .state = bridge_state,
    .realize = bridge_realize,
    .unrealize = bridge_unrealize,
};
