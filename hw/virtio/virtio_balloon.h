/*
 * Virtio memory balloon: the types, and what the monitor asks of it.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_VIRTIO_VIRTIO_BALLOON_H
#define HW_VIRTIO_VIRTIO_BALLOON_H

#include "hw/core/device.h"

extern const DeviceType virtio_balloon_type, virtio_balloon_pci_type;

/* Ask the guest to get along with this many bytes. False and *err if there is no balloon. Machine lock held. */
bool virtio_balloon_set(Machine *machine, uint64_t bytes, GError **err);
/* What it has now, and what its driver told of itself, appended as text. As above. */
bool virtio_balloon_describe(Machine *machine, GString *out, GError **err);

#endif
