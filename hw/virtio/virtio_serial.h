/*
 * Virtio console device with its ports: the types.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_VIRTIO_VIRTIO_SERIAL_H
#define HW_VIRTIO_VIRTIO_SERIAL_H

#include "hw/core/device.h"

extern const DeviceType virtio_serial_type, virtio_serial_pci_type, virtconsole_type, virtserialport_type;

#endif
