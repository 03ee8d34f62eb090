/*
 * MSI (PCI 3.0, 6.8.1): one message, 64-bit address.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_PCI_MSI_H
#define HW_PCI_MSI_H

#include "hw/pci/pci.h"

/* In realize. Returns the capability's offset, which the other functions need. */
unsigned msi_init(PciDevice *dev);
bool msi_enabled(const PciDevice *dev, unsigned cap);
/* Any thread. Nothing is sent while it is off or the function is no bus master. */
void msi_notify(PciDevice *dev, unsigned cap);

#endif
