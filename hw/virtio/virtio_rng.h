/*
 * Virtio entropy device: the types.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_VIRTIO_VIRTIO_RNG_H
#define HW_VIRTIO_VIRTIO_RNG_H

#include "hw/core/device.h"

extern const DeviceType virtio_rng_type, virtio_rng_pci_type;

#endif
