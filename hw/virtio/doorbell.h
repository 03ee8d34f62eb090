/*
 * Virtio doorbells as events (hw/core/memory_event.c), for transports: see doorbell.c.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_VIRTIO_DOORBELL_H
#define HW_VIRTIO_DOORBELL_H

#include "hw/virtio/virtio.h"

typedef struct VirtioDoorbells VirtioDoorbells;

/* Where the driver writes for a queue: at index * stride of region; with stride 0 the index at 0. */
VirtioDoorbells *virtio_doorbells_new(VirtioTransport *t, MemRegion *region, unsigned stride);
/* The device is used, or no longer. Any number of times. Machine lock held. */
void virtio_doorbells_run(VirtioDoorbells *d, bool on);
void virtio_doorbells_free(VirtioDoorbells *d); /* NULL: nothing happens */

#endif
