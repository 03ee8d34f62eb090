/*
 * MSI-X, what the PCI core needs of it.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_PCI_MSIX_H
#define HW_PCI_MSIX_H

#include "hw/pci/pci.h"

void msix_reset(PciDevice *dev);
void msix_control_written(PciDevice *dev);

#endif
