/*
 * Virtqueues, what the virtio core needs of them.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_VIRTIO_RING_H
#define HW_VIRTIO_RING_H

#include "hw/virtio/virtio.h"

/* Find the host memory of the queue's areas. False (and the device is broken) if they are not all in RAM or misaligned.
 */
bool virtq_map(VirtQueue *queue);
void virtq_unmap(VirtQueue *queue);
/* Raise the queue's interrupt. */
void virtio_queue_notify(VirtQueue *queue);

#endif
