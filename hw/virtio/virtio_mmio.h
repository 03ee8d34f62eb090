/*
 * Virtio over MMIO: one slot, for one virtio device.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_VIRTIO_VIRTIO_MMIO_H
#define HW_VIRTIO_VIRTIO_MMIO_H

#include "hw/virtio/doorbell.h"
#include "hw/virtio/virtio.h"

#define VIRTIO_MMIO_SIZE 0x200

typedef struct VirtioMmio {
    Device dev;
    VirtioTransport transport;
    MemRegion mmio, registers, doorbell;
    Irq irq;
    uint32_t device_feature_select, driver_feature_select, queue_select;
    bool force_legacy;          /* property: must be off */
    bool ioeventfd;             /* property */
    VirtioDoorbells *doorbells; /* NULL: ioeventfd=off */
    GMutex lock;                /* orders isr and the interrupt line; what irq leads to is taken under it */
} VirtioMmio;

extern const DeviceType virtio_mmio_type;

#endif
