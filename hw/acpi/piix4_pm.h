/*
 * Power management function of the Intel 82371AB (PIIX4): function 01.3 of machine pc; the SMI command ports b2 and b3,
 * ACPI fixed hardware, GPE0 block at afe0, SMBus host.
 *
 *     Piix4Pm *pm = device_new(machine, &piix4_pm_type);  addr=01.3;  device_realize(pm, host->pci.bus)
 *     pm->pm.sci = isa_irq(isa bus, 9);  pm->smi = apic_smi_input(hub);  powerdown: acpi_pm_power_button(&pm->pm)
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_ACPI_PIIX4_PM_H
#define HW_ACPI_PIIX4_PM_H

#include "hw/acpi/apm.h"
#include "hw/acpi/pm.h"
#include "hw/acpi/smbus.h"
#include "hw/pci/pci.h"

#define PIIX4_GPE_BASE 0xafe0

typedef struct Piix4Pm {
    PciDevice pci;
    AcpiPm pm;
    Apm apm;
    Smbus smbus;
    MemRegion pm_ports;
    bool pm_mapped, smbus_mapped;
    bool smm; /* set before realize: firmware may use SMM (else it is told that the SMI is in use already) */
    Irq smi;
} Piix4Pm;

extern const DeviceType piix4_pm_type;

#endif
