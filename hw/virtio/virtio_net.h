/*
 * Virtio network device: the types.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_VIRTIO_VIRTIO_NET_H
#define HW_VIRTIO_VIRTIO_NET_H

#include "hw/core/device.h"

extern const DeviceType virtio_net_type, virtio_net_pci_type;

#endif
