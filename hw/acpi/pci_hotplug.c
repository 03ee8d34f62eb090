/*
 * PCI hot-plug registers (see hotplug.h): the guest is told by GPE 1 of slots that have been filled or are to be
 * emptied, and writes to the eject register when it is done with a slot. Bus 0 only.
 * SPDX-License-Identifier: MIT
 */
#include "accel/vcpu.h"
#include "hw/acpi/hotplug.h"
#include "hw/isa/isa.h"
#include "util/mainloop.h"

enum { UP = 0x00, DOWN = 0x04, EJECT = 0x08, REMOVABLE = 0x0c, SELECT = 0x10 };

static uint32_t removable(const AcpiPciHotplug *hp)
{
    uint32_t slots = 0;
    for (unsigned addr = 0; addr < G_N_ELEMENTS(hp->pci->devices); addr++) {
        if (hp->pci->devices[addr])
            slots |= 1u << (addr >> 3);
    }
    return slots & ~hp->fixed;
}

/* On the main loop: the guest's access to the eject register is over. No vCPU is in an access to what goes, nor has a
 * way to its memory. Function 0, which the others need, goes last. */
static void empty_slots(void *opaque)
{
    AcpiPciHotplug *hp = opaque;
    Machine *machine = hp->dev.machine;
    machine_lock(machine);
    vcpus_stop(machine);
    for (int addr = G_N_ELEMENTS(hp->pci->devices) - 1; addr >= 0; addr--) {
        if (hp->ejecting >> (addr >> 3) & 1 && hp->pci->devices[addr])
            device_remove(&hp->pci->devices[addr]->dev);
    }
    hp->ejecting = 0;
    if (machine->state == RUN_RUNNING)
        vcpus_start(machine);
    machine_unlock(machine);
}

static void eject(AcpiPciHotplug *hp, uint32_t slots)
{
    uint32_t before = hp->ejecting;
    hp->down &= ~slots;
    hp->ejecting |= slots & removable(hp);
    if (hp->ejecting && !before)
        mainloop_post(empty_slots, hp);
}

static uint64_t hotplug_read(void *opaque, uint64_t offset, unsigned size)
{
    AcpiPciHotplug *hp = opaque;
    uint32_t value;
    if (offset == SELECT)
        return hp->select;
    if (hp->select)
        return 0;
    switch (offset) {
    case UP: /* a read takes them */
        value = hp->up;
        hp->up = 0;
        return value;
    case DOWN:
        return hp->down;
    case REMOVABLE:
        return removable(hp);
    default:
        return 0;
    }
}

static void hotplug_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    AcpiPciHotplug *hp = opaque;
    if (offset == SELECT)
        hp->select = value;
    else if (offset == EJECT && !hp->select)
        eject(hp, value);
}

static const MemOps hotplug_ops = { .read = hotplug_read, .write = hotplug_write, .min_size = 4, .max_size = 4 };

void acpi_pci_hotplug_plugged(AcpiPciHotplug *hp, unsigned slot)
{
    hp->up |= 1u << slot;
    acpi_pm_gpe(hp->pm, ACPI_GPE_PCI_HOTPLUG);
}

void acpi_pci_hotplug_request(AcpiPciHotplug *hp, unsigned slot)
{
    hp->down |= 1u << slot;
    acpi_pm_gpe(hp->pm, ACPI_GPE_PCI_HOTPLUG);
}

static void slot_plugged(void *opaque, unsigned slot)
{
    acpi_pci_hotplug_plugged(opaque, slot);
}

static void slot_request(void *opaque, unsigned slot)
{
    acpi_pci_hotplug_request(opaque, slot);
}

static const PciHotplug slot_ops = { slot_plugged, slot_request };

/* The DSDT has slots 2 to 30. */
static bool realize(Device *dev, GError **err)
{
    AcpiPciHotplug *hp = (AcpiPciHotplug *)dev;
    pci_set_hotplug(hp->pci, ~(hp->fixed | 0x80000003), &slot_ops, hp);
    mem_io_init(&hp->ports, dev->machine, "acpi-pci-hotplug", ACPI_PCI_HOTPLUG_PORTS, &hotplug_ops, hp);
    mem_add(isa_ports(dev->machine), hp->base, &hp->ports, 0);
    return true;
}

static void unrealize(Device *dev)
{
    mainloop_cancel(dev);
}

/* Slots that were to be emptied are empty when the guest starts anew. */
static void reset(Device *dev)
{
    AcpiPciHotplug *hp = (AcpiPciHotplug *)dev;
    if (hp->down & removable(hp))
        eject(hp, hp->down);
    hp->up = hp->down = hp->select = 0;
}

static const StateField state[] = { STATE(AcpiPciHotplug, up),
                                    STATE(AcpiPciHotplug, down),
                                    STATE(AcpiPciHotplug, select),
                                    STATE_SKIP(AcpiPciHotplug, ejecting, "done before anything is saved"),
                                    STATE_SKIP(AcpiPciHotplug, fixed, "wiring"),
                                    STATE_SKIP(AcpiPciHotplug, ports, "wiring"),
                                    STATE_SKIP(AcpiPciHotplug, base, "wiring"),
                                    STATE_SKIP(AcpiPciHotplug, pci, "wiring"),
                                    STATE_SKIP(AcpiPciHotplug, pm, "wiring"),
                                    STATE_END };

const DeviceType acpi_pci_hotplug_type = {
    .name = "acpi-pci-hotplug",
    .desc = "ACPI PCI hot-plug registers",
    .category = "misc",
    .size = sizeof(AcpiPciHotplug),
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
};
