/*
 * MSI (see msi.h).
 * SPDX-License-Identifier: MIT
 */
#include "hw/pci/msi.h"
#include "hw/pci/msix.h"
#include "util/trace.h"

enum { CONTROL = 2, ADDRESS = 4, DATA = 12, SIZE = 14 };
enum { CONTROL_ENABLE = 1, CONTROL_64 = 0x80 };

unsigned msi_init(PciDevice *dev)
{
    unsigned cap = pci_add_capability(dev, PCI_CAP_MSI, SIZE);
    pci_put16(dev->config + cap + CONTROL, CONTROL_64);
    pci_put16(dev->writable + cap + CONTROL, CONTROL_ENABLE);
    pci_put32(dev->writable + cap + ADDRESS, ~3u);
    pci_put32(dev->writable + cap + ADDRESS + 4, ~0u);
    pci_put16(dev->writable + cap + DATA, 0xffff);
    return cap;
}

bool msi_enabled(const PciDevice *dev, unsigned cap)
{
    g_mutex_lock(&dev->pci->lock);
    bool on = dev->config[cap + CONTROL] & CONTROL_ENABLE;
    g_mutex_unlock(&dev->pci->lock);
    return on;
}

void msi_notify(PciDevice *dev, unsigned cap)
{
    const uint8_t *c = dev->config + cap;
    g_mutex_lock(&dev->pci->lock);
    bool on = c[CONTROL] & CONTROL_ENABLE && dev->config[PCI_COMMAND] & PCI_COMMAND_MASTER;
    uint64_t address = (uint64_t)pci_get32(c + ADDRESS + 4) << 32 | pci_get32(c + ADDRESS);
    uint32_t data = pci_get16(c + DATA);
    g_mutex_unlock(&dev->pci->lock);
    TRACE(msi_notify, "%s %s", dev->dev.type->name, on ? "sent" : "off");
    if (on)
        pci_send_message(dev, address, data);
}
