/*
 * Intel 82371SB (PIIX3) PCI-to-ISA bridge: function 01.0 of machine pc.
 *
 *     Piix3 *piix = device_new(machine, &piix3_type);  addr=01.0, multifunction=on;  device_realize(piix,
 * host->pci.bus) piix->isa.irqs[n] = gsi_input(gsi, n) It takes the bus's INTx lines and routes them to ISA lines as
 * PIRQRC[A:D] say.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_ISA_PIIX3_H
#define HW_ISA_PIIX3_H

#include "hw/isa/isa.h"
#include "hw/pci/pci.h"

typedef struct Piix3 {
    PciDevice pci;
    IsaBus isa;
    GMutex lock;    /* device: guards levels and what goes to lines */
    uint8_t levels; /* of PIRQA to PIRQD */
    Irq lines[ISA_IRQS];
} Piix3;

extern const DeviceType piix3_type;

#endif
