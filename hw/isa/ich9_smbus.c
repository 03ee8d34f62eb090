/*
 * ICH9 SMBus controller (ICH9 data sheet, chapter 19): the host of hw/acpi/smbus.c as a PCI function with a BAR.
 * SPDX-License-Identifier: MIT
 */
#include "hw/isa/ich9_lpc.h"

enum { BAR = 4, HOSTC = 0x40 };

static void irq_changed(void *opaque, int n, bool level)
{
    pci_set_irq(opaque, level);
}

static bool realize(Device *dev, GError **err)
{
    Ich9Smbus *s = (Ich9Smbus *)dev;
    pci_set_ids(&s->pci, 0x8086, 0x2930, 0x0c0500, 2);
    pci_set_subsystem(&s->pci, 0x1af4, 0x1100);
    pci_set_interrupt_pin(&s->pci, 1);
    s->pci.writable[HOSTC] = 0x07;
    smbus_init(&s->smbus, dev);
    s->smbus.irq = (Irq){ irq_changed, &s->pci, 0 };
    pci_add_bar(&s->pci, BAR, PCI_BAR_IO, &s->smbus.ports);
    return true;
}

static void reset(Device *dev)
{
    smbus_reset(&((Ich9Smbus *)dev)->smbus);
}

static void post_load(Device *dev)
{
    smbus_update(&((Ich9Smbus *)dev)->smbus);
}

static const StateField state[] = { SMBUS_STATE(Ich9Smbus, smbus), STATE_END };

const DeviceType ich9_smbus_type = {
    .name = "ICH9-SMB",
    .desc = "ICH9 SMBus controller",
    .category = "bridge",
    .parent = &pci_device_type,
    .size = sizeof(Ich9Smbus),
    .state = state,
    .realize = realize,
    .reset = reset,
    .post_load = post_load,
};
