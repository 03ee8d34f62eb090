/*
 * pvpanic, on ISA (port 505) and PCI (QEMU's "pvpanic device" specification): the guest's kernel says that it has
 * panicked. What then happens is -action panic='s.
 * SPDX-License-Identifier: MIT
 */
#include "hw/isa/isa.h"
#include "hw/pci/pci.h"

enum { PANICKED = 1, CRASH_LOADED = 2, EVENTS = PANICKED | CRASH_LOADED };
enum { PCI_PVPANIC = 0x0011, BAR_SIZE = 16 };

static void panic(Device *dev, uint8_t events, uint64_t value)
{
    if (value & ~(uint64_t)EVENTS)
        guest_error(dev, "0x%x: there are no such events", (unsigned)value);
    if (value & events & PANICKED)
        machine_request_shutdown(dev->machine, SHUTDOWN_GUEST_PANIC, 0);
}

/* ---- ISA ---- */

typedef struct PvpanicIsa {
    Device dev;
    MemRegion ports;
    uint32_t iobase;
    uint8_t events;
} PvpanicIsa;

static uint64_t isa_read(void *opaque, uint64_t offset, unsigned size)
{
    return ((PvpanicIsa *)opaque)->events;
}

static void isa_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    PvpanicIsa *s = opaque;
    panic(&s->dev, s->events, value);
}

static const MemOps isa_ops = { .read = isa_read, .write = isa_write, .max_size = 1 };

static bool isa_realize(Device *dev, GError **err)
{
    PvpanicIsa *s = (PvpanicIsa *)dev;
    mem_io_init(&s->ports, dev->machine, "pvpanic", 1, &isa_ops, s);
    return isa_map_ports(dev->bus, s->iobase, &s->ports, "ioport", err);
}

static const Prop isa_props[] = {
    PROP(PvpanicIsa, U32, "ioport", iobase, .fallback = "0x505", .help = "port"),
    PROP(PvpanicIsa, U8, "events", events, .fallback = "3", .max = EVENTS, .help = "bits: 1 panicked, 2 crash kernel"),
    PROP_END,
};
static const StateField isa_state[] = { STATE_SKIP(PvpanicIsa, ports, "wiring"), STATE_END };

extern const DeviceType pvpanic_isa_type, pvpanic_pci_type;
const DeviceType pvpanic_isa_type = {
    .name = "pvpanic",
    .desc = "hears of the guest's panic, on ISA",
    .category = "misc",
    .bus = "isa",
    .size = sizeof(PvpanicIsa),
    .props = isa_props,
    .state = isa_state,
    .realize = isa_realize,
};

/* ---- PCI ---- */

typedef struct PvpanicPci {
    PciDevice pci;
    MemRegion bar;
    uint8_t events;
} PvpanicPci;

static uint64_t pci_read(void *opaque, uint64_t offset, unsigned size)
{
    return offset ? 0 : ((PvpanicPci *)opaque)->events;
}

static void pci_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    PvpanicPci *s = opaque;
    if (!offset)
        panic(&s->pci.dev, s->events, value);
}

static const MemOps pci_ops = { .read = pci_read, .write = pci_write, .impl_max = 1 };

static bool pci_realize(Device *dev, GError **err)
{
    PvpanicPci *s = (PvpanicPci *)dev;
    pci_set_ids(&s->pci, 0x1b36, PCI_PVPANIC, 0x088000, 1);
    pci_set_subsystem(&s->pci, 0x1af4, 0x1100);
    mem_io_init(&s->bar, dev->machine, "pvpanic", BAR_SIZE, &pci_ops, s);
    pci_add_bar(&s->pci, 0, 0, &s->bar);
    return true;
}

static const Prop pci_props[] = {
    PROP(PvpanicPci, U8, "events", events, .fallback = "3", .max = EVENTS, .help = "bits: 1 panicked, 2 crash kernel"),
    PROP_END,
};
static const StateField pci_state[] = { STATE_SKIP(PvpanicPci, bar, "wiring"), STATE_END };

const DeviceType pvpanic_pci_type = {
    .name = "pvpanic-pci",
    .desc = "hears of the guest's panic, on PCI",
    .category = "misc",
    .bus = "pci",
    .parent = &pci_device_type,
    .size = sizeof(PvpanicPci),
    .props = pci_props,
    .state = pci_state,
    .realize = pci_realize,
};
