/*
 * IDE function of the PIIX3 (82371SB) and PIIX4 (82371AB) southbridges. The channels always answer at the legacy ports,
 * whatever the decode bits of the timing registers say.
 * SPDX-License-Identifier: MIT
 */
#include "hw/ide/piix.h"
#include "hw/isa/isa.h"
#include "util/error.h"
#include <string.h>

static uint64_t bar_read(void *opaque, uint64_t offset, unsigned size)
{
    PiixIde *s = opaque;
    return bmdma_read(&s->channels[offset >> 3], offset & 7);
}

static void bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    PiixIde *s = opaque;
    bmdma_write(&s->channels[offset >> 3], offset & 7, value, size);
}

static const MemOps bar_ops = { .read = bar_read, .write = bar_write, .max_size = 4, .lock_free = true };

static void pause_all(PiixIde *s)
{
    for (unsigned i = 0; i < 2; i++)
        ide_pause(&s->channels[i].ide);
}

static void resume_all(PiixIde *s)
{
    for (unsigned i = 0; i < 2; i++)
        ide_resume(&s->channels[i].ide);
}

/* Without the bus master bit nothing more is mapped; what is under way ends here. */
static void master_changed(PciDevice *pci, bool on)
{
    if (on)
        return;
    pause_all((PiixIde *)pci);
    resume_all((PiixIde *)pci);
}

static Bus *find_isa(const Machine *machine)
{
    for (unsigned i = 0; i < machine->buses->len; i++) {
        Bus *bus = g_ptr_array_index(machine->buses, i);
        if (!strcmp(bus->kind, "isa"))
            return bus;
    }
    return NULL;
}

/* Where there is no ISA bus (not a PC), the interrupts are the function's INTA#. */
static void set_inta(void *opaque, int n, bool level)
{
    PiixIde *s = opaque;
    pci_set_irq(&s->pci, level);
}

static void realize(PiixIde *s, uint16_t device)
{
    static const uint16_t ports[2][2] = { { 0x1f0, 0x3f6 }, { 0x170, 0x376 } };
    Device *dev = &s->pci.dev;
    Bus *isa = find_isa(dev->machine);
    MemRegion *io = isa ? ((IsaBus *)isa->state)->io : s->pci.pci->io;
    pci_set_ids(&s->pci, 0x8086, device, 0x010180, 0);
    pci_set_subsystem(&s->pci, 0x1af4, 0x1100);
    mem_io_init(&s->bar, dev->machine, "piix-bmdma", 16, &bar_ops, s);
    pci_add_bar(&s->pci, 4, PCI_BAR_IO, &s->bar);
    for (unsigned i = 0; i < 2; i++) {
        BmDma *bm = &s->channels[i];
        bmdma_init(bm, dev, i);
        bm->irq = isa ? isa_irq(isa, 14 + i) : (Irq){ set_inta, s, 0 };
        if (io) {
            mem_add(io, ports[i][0], &bm->command_ports, 0);
            mem_add(io, ports[i][1], &bm->control_ports, 0);
        }
        pci_put16(s->pci.config + 0x40 + 2 * i, 0x8000); /* timing: decoded */
    }
    memset(s->pci.writable + 0x40, 0xff, 0x0c);
    if (!isa)
        pci_set_interrupt_pin(&s->pci, 1);
    s->pci.master_changed = master_changed;
}

static bool realize_piix3(Device *dev, GError **err)
{
    realize((PiixIde *)dev, 0x7010);
    return true;
}

static bool realize_piix4(Device *dev, GError **err)
{
    realize((PiixIde *)dev, 0x7111);
    return true;
}

static void unrealize(Device *dev)
{
    for (unsigned i = 0; i < 2; i++)
        bmdma_destroy(&((PiixIde *)dev)->channels[i]);
}

static void reset(Device *dev)
{
    PiixIde *s = (PiixIde *)dev;
    pause_all(s);
    for (unsigned i = 0; i < 2; i++)
        bmdma_reset(&s->channels[i]);
    resume_all(s);
}

static void quiesce(Device *dev, bool on)
{
    if (on)
        pause_all((PiixIde *)dev);
    else
        resume_all((PiixIde *)dev);
}

static void post_load(Device *dev)
{
    PiixIde *s = (PiixIde *)dev;
    for (unsigned i = 0; i < 2; i++)
        irq_set(&s->channels[i].irq, s->channels[i].level);
}

static const StateField state[] = { STATE_SKIP(PiixIde, channels, "wiring, and what is listed"),
                                    STATE_SKIP(PiixIde, bar, "fixed"), BMDMA_STATE(PiixIde, channels[0]),
                                    BMDMA_STATE(PiixIde, channels[1]), STATE_END };

#define PIIX_TYPE(symbol, text, what, fn)                   \
    const DeviceType symbol = { .name = text,               \
                                .desc = what,               \
                                .category = "storage",      \
                                .bus = "pci",               \
                                .parent = &pci_device_type, \
                                .size = sizeof(PiixIde),    \
                                .state = state,             \
                                .realize = fn,              \
                                .unrealize = unrealize,     \
                                .reset = reset,             \
                                .quiesce = quiesce,         \
                                .post_load = post_load }
PIIX_TYPE(piix3_ide_type, "piix3-ide", "IDE controller of the PIIX3", realize_piix3);
PIIX_TYPE(piix4_ide_type, "piix4-ide", "IDE controller of the PIIX4", realize_piix4);
