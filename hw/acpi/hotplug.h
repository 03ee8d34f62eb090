/*
 * ACPI hot-plug registers of PCs: QEMU's "PCI hotplug interface" and "CPU hotplug interface" specifications, which
 * their ACPI tables (and, for processors, OVMF) drive.
 *
 *     AcpiPciHotplug *hp = device_new(machine, &acpi_pci_hotplug_type);  hp->base = ..., hp->pci = ..., hp->pm = ...;
 *     device_realize(hp, NULL, err)
 *     AcpiCpuHotplug *cpus = device_new(machine, &acpi_cpu_hotplug_type);  cpus->base = ..., cpus->ids = ..., count
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_ACPI_HOTPLUG_H
#define HW_ACPI_HOTPLUG_H

#include "hw/acpi/pm.h"
#include "hw/pci/pci.h"

enum { PIIX4_PCI_HOTPLUG = 0xae00, ICH9_PCI_HOTPLUG = 0x0cc0, PIIX4_CPU_HOTPLUG = 0xaf00, ICH9_CPU_HOTPLUG = 0x0cd8 };
enum { ACPI_PCI_HOTPLUG_PORTS = 0x18, ACPI_CPU_HOTPLUG_PORTS = 12 };

typedef struct AcpiPciHotplug {
    Device dev;
    MemRegion ports;
    uint16_t base; /* these three are set before realize */
    PciBus *pci;
    AcpiPm *pm;
    uint32_t fixed;            /* slots that stay: set by the machine */
    uint32_t up, down, select; /* slots with an event; the bus */
    uint32_t ejecting;         /* slots that the main loop is to empty */
} AcpiPciHotplug;

/* A device was plugged into slot; or is to be taken out of it, if the guest agrees. Machine lock. */
void acpi_pci_hotplug_plugged(AcpiPciHotplug *hp, unsigned slot);
void acpi_pci_hotplug_request(AcpiPciHotplug *hp, unsigned slot);

/* All processors are there from the start; the guest can ask which. */
typedef struct AcpiCpuHotplug {
    Device dev;
    MemRegion ports;
    uint16_t base; /* these three are set before realize; ids are the machine's, and last as long as it does */
    const uint32_t *ids;
    uint32_t count;
    uint32_t selector;
    uint8_t command;
} AcpiCpuHotplug;

extern const DeviceType acpi_pci_hotplug_type, acpi_cpu_hotplug_type;

#endif
