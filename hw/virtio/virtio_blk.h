/*
 * Virtio block device: the types.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_VIRTIO_VIRTIO_BLK_H
#define HW_VIRTIO_VIRTIO_BLK_H

#include "hw/core/device.h"

extern const DeviceType virtio_blk_type, virtio_blk_pci_type;

#endif
