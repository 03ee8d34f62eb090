/*
 * PIIX3 PCI-to-ISA bridge (82371SB data sheet, chapter 2.2): PIRQ routing. Ports of the bridge that are devices of
 * their own (8259, 8254, DMA, cf9) are elsewhere.
 * SPDX-License-Identifier: MIT
 */
#include "hw/isa/piix3.h"

enum { PIRQRC = 0x60, PIRQS = 4, ROUTE_OFF = 0x80, ROUTE_IRQ = 0x0f };
#define ROUTABLE 0xdef8 /* lines that a PIRQ may go to */

/* What the registers are after reset, and what of them can be written. */
static const struct {
    uint8_t offset, value, writable;
} registers[] = { { PCI_COMMAND, 0x07, 0 }, { PCI_STATUS + 1, 0x02, 0 }, { 0x4c, 0x4d, 0xff }, { 0x4e, 0x03, 0xff },
                  { 0x60, 0x80, 0x8f },     { 0x61, 0x80, 0x8f },        { 0x62, 0x80, 0x8f }, { 0x63, 0x80, 0x8f },
                  { 0x69, 0x02, 0xff },     { 0x6a, 0x00, 0xff },        { 0x70, 0x80, 0xff }, { 0x76, 0x0c, 0x8f },
                  { 0x77, 0x0c, 0x8f },     { 0x78, 0x02, 0xff },        { 0xa0, 0x08, 0xff }, { 0xa2, 0x00, 0xff },
                  { 0xa3, 0x00, 0xff },     { 0xa8, 0x0f, 0xff } };

/* Under the lock: line n is up while a PIRQ that goes there is. */
static void update_line(Piix3 *s, unsigned n)
{
    bool level = false;
    for (unsigned i = 0; i < PIRQS; i++) {
        uint8_t route = __atomic_load_n(&s->pci.config[PIRQRC + i], __ATOMIC_RELAXED);
        level = level || (!(route & ROUTE_OFF) && (route & ROUTE_IRQ) == n && s->levels >> i & 1);
    }
    if (ROUTABLE >> n & 1)
        irq_set(&s->lines[n], level);
}

static void pirq_set(void *opaque, int n, bool level)
{
    Piix3 *s = opaque;
    g_mutex_lock(&s->lock);
    s->levels = level ? s->levels | 1u << n : s->levels & ~(1u << n);
    uint8_t route = __atomic_load_n(&s->pci.config[PIRQRC + n], __ATOMIC_RELAXED);
    if (!(route & ROUTE_OFF))
        update_line(s, route & ROUTE_IRQ);
    g_mutex_unlock(&s->lock);
}

static void update_all(Piix3 *s)
{
    g_mutex_lock(&s->lock);
    for (unsigned n = 0; n < ISA_IRQS; n++)
        update_line(s, n);
    g_mutex_unlock(&s->lock);
}

static void config_written(PciDevice *dev, uint32_t offset, unsigned size)
{
    if (offset + size > PIRQRC && offset < PIRQRC + PIRQS)
        update_all((Piix3 *)dev);
}

static bool realize(Device *dev, GError **err)
{
    Piix3 *s = (Piix3 *)dev;
    PciBus *bus = s->pci.pci;
    pci_set_ids(&s->pci, 0x8086, 0x7000, 0x060100, 0);
    pci_set_subsystem(&s->pci, 0x1af4, 0x1100);
    for (unsigned i = 0; i < G_N_ELEMENTS(registers); i++) {
        s->pci.config[registers[i].offset] = registers[i].value;
        s->pci.writable[registers[i].offset] = registers[i].writable;
    }
    s->pci.config_written = config_written;
    g_mutex_init(&s->lock);
    s->isa.io = bus->io;
    s->isa.memory = bus->memory;
    isa_bus_init(&s->isa, dev, "isa.0");
    for (unsigned n = 0; n < ISA_IRQS; n++)
        s->lines[n] = isa_irq(s->isa.bus, n);
    /* Slot 1's INTA is PIRQA. */
    for (unsigned i = 0; i < PIRQS; i++)
        bus->intx[i] = (Irq){ pirq_set, s, (i + 3) % PIRQS };
    return true;
}

static void unrealize(Device *dev)
{
    Piix3 *s = (Piix3 *)dev;
    for (unsigned i = 0; i < PIRQS; i++)
        s->pci.pci->intx[i] = (Irq){ 0 };
    isa_bus_destroy(&s->isa);
    g_mutex_clear(&s->lock);
}

static void update(Device *dev)
{
    update_all((Piix3 *)dev);
}

static const StateField state[] = { STATE(Piix3, levels), STATE_SKIP(Piix3, isa, "follows from its devices"),
                                    STATE_SKIP(Piix3, lock, "no state"), STATE_SKIP(Piix3, lines, "wiring"),
                                    STATE_END };

const DeviceType piix3_type = {
    .name = "PIIX3",
    .desc = "82371SB PCI-to-ISA bridge",
    .category = "bridge",
    .parent = &pci_device_type,
    .size = sizeof(Piix3),
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
    .reset = update,
    .post_load = update,
};
