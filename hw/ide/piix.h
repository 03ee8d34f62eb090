/*
 * PIIX3 and PIIX4 IDE: two PATA channels at the legacy ports, with bus masters.
 *
 * Function 1 of the southbridge: device_new(machine, &piix3_ide_type), addr=01.1, device_realize on the PCI bus, after
 * the ISA bus is there (interrupts 14 and 15). Buses ide.0 and ide.1, two drives each.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_IDE_PIIX_H
#define HW_IDE_PIIX_H

#include "hw/ide/bmdma.h"
#include "hw/pci/pci.h"

typedef struct PiixIde {
    PciDevice pci;
    BmDma channels[2];
    MemRegion bar;
} PiixIde;

extern const DeviceType piix3_ide_type, piix4_ide_type;

#endif
