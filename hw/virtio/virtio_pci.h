/*
 * Virtio over PCI: the parent of all virtio-*-pci types, which name their virtio device as child.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_VIRTIO_VIRTIO_PCI_H
#define HW_VIRTIO_VIRTIO_PCI_H

#include "hw/pci/pci.h"
#include "hw/virtio/doorbell.h"
#include "hw/virtio/virtio.h"

typedef struct VirtioPci {
    PciDevice pci;
    VirtioTransport transport;
    MemRegion bar, areas[4];
    VirtioDoorbells *doorbells; /* NULL: ioeventfd=off */
    bool ioeventfd;             /* property */
    uint32_t vectors;           /* property; UINT32_MAX: one for each queue, and one */
    uint32_t device_feature_select, driver_feature_select;
    uint16_t queue_select;
    uint8_t window_cap; /* offset of the capability that reads and writes the BAR through configuration space */
    GMutex lock;        /* orders isr and the interrupt line; the bus's lock is taken under it */
} VirtioPci;

extern const DeviceType virtio_pci_type;

/* Define the type NAME_pci_type, "virtio-...-pci", of a virtio device type; more members may follow. */
#define VIRTIO_PCI_TYPE(symbol, text, child_type, kind, about, ...) \
    const DeviceType symbol = { .name = text,                       \
                                .desc = about,                      \
                                .category = kind,                   \
                                .bus = "pci",                       \
                                .parent = &virtio_pci_type,         \
                                .child = &child_type,               \
                                .size = sizeof(VirtioPci),          \
                                __VA_ARGS__ }

#endif
