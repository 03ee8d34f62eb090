/*
 * MSI-X, what the PCI core needs of it.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_PCI_MSIX_H
#define HW_PCI_MSIX_H

#include "hw/pci/pci.h"

void msix_reset(PciDevice *dev);
void msix_exit(PciDevice *dev);
void msix_control_written(PciDevice *dev);
/* A message of MSI or MSI-X: a write of 4 bytes. Without the bus's lock. */
void pci_send_message(PciDevice *dev, uint64_t address, uint32_t data);

#endif
