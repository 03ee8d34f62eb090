/*
 * Virtio devices (Virtual I/O Device (VIRTIO) Version 1.2): device status, features, virtqueues. Modern devices only.
 *
 * A device embeds VirtioDevice first and calls virtio_init in its realize. It sits on a bus of kind "virtio" that a
 * transport (virtio-pci, virtio-mmio) provides, and does not know which.
 *
 * Locking: status, features, configuration and the queues' registers under the machine lock. The rings of a queue
 * belong to one thread at a time: the one that ops->kick runs on, or that kick hands the work to; ops->stop takes them
 * back to the caller. virtq_notify and virtio_notify_config may be called from any thread, with or without the machine
 * lock.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_VIRTIO_VIRTIO_H
#define HW_VIRTIO_VIRTIO_H

#include "hw/core/machine.h"
#include <sys/uio.h>

#define VIRTIO_QUEUES         64
#define VIRTIO_QUEUE_SIZE_MAX 1024
#define VIRTIO_CONFIG_MAX     256
#define VIRTIO_SEGMENTS_MAX   1024
#define VIRTIO_NO_VECTOR      0xffff

enum { /* 2.1 */
       VIRTIO_ACKNOWLEDGE = 1,
       VIRTIO_DRIVER = 2,
       VIRTIO_DRIVER_OK = 4,
       VIRTIO_FEATURES_OK = 8,
       VIRTIO_NEEDS_RESET = 0x40,
       VIRTIO_FAILED = 0x80
};
enum { VIRTIO_ISR_QUEUE = 1, VIRTIO_ISR_CONFIG = 2 };
#define VIRTIO_F_INDIRECT_DESC (UINT64_C(1) << 28) /* 6 */
#define VIRTIO_F_EVENT_IDX     (UINT64_C(1) << 29)
#define VIRTIO_F_VERSION_1     (UINT64_C(1) << 32)
#define VIRTIO_F_RING_PACKED   (UINT64_C(1) << 34)

typedef struct VirtioDevice VirtioDevice;
typedef struct VirtQueue VirtQueue;

/* What a queue's registers and its progress are: all that a snapshot needs. Numbers of one size, for the state table.
 */
typedef struct VirtQueueState {
    uint64_t size;                        /* entries, as the driver chose */
    uint64_t ready;                       /* the driver enabled it */
    uint64_t descriptors, driver, device; /* guest addresses of its three areas */
    uint64_t vector;                      /* MSI-X vector or VIRTIO_NO_VECTOR */
    uint64_t next_avail, avail_wrap;      /* next entry to take */
    uint64_t next_used, used_wrap;        /* next entry to give back */
    uint64_t signalled, signalled_valid;  /* next_used when the driver was last told */
} VirtQueueState;

struct VirtQueue {
    VirtioDevice *vdev;
    unsigned index;
    uint16_t max_size;
    VirtQueueState *s;
    uint8_t *descriptors, *driver, *device; /* host memory of the areas, or NULL */
    bool quiet;                             /* no kicks are wanted */
};

/* A buffer that the driver made available. */
typedef struct VirtElement {
    uint16_t id;                  /* what goes back in the used ring */
    uint16_t slots;               /* packed ring: entries it takes */
    uint16_t out_count, in_count; /* segments */
    uint32_t out_bytes, in_bytes;
    struct iovec *out, *in; /* out: written by the driver, for us to read; in: for us to write. Both in segments */
    struct iovec segments[VIRTIO_SEGMENTS_MAX];
} VirtElement;

typedef struct VirtioOps {
    uint16_t id;        /* 5: device number */
    uint32_t pci_class; /* class code of the PCI function */
    uint16_t config_size;
    uint64_t (*features)(VirtioDevice *v);                /* offered, the device's own (bits 0 to 23, 50 ...) */
    void (*get_config)(VirtioDevice *v, uint8_t *config); /* fill v->config before it is read; may be NULL */
    void (*set_config)(VirtioDevice *v, uint8_t *config); /* after the driver wrote to it; may be NULL */
    void (*kick)(VirtioDevice *v, VirtQueue *queue);      /* the driver made buffers available */
    /* An eventfd that does what kick does, on a thread of the device's own. NULL: there is none. */
    int (*kick_event)(VirtioDevice *v, VirtQueue *queue);
    bool kick_unlocked; /* kick is called from any thread without the machine lock */
    /* on: return when no other thread uses the queues, and keep it so until off. NULL: kick does all its work at once
     */
    void (*quiesce)(VirtioDevice *v, bool on);
    void (*reset)(VirtioDevice *v); /* forget buffers and all that the driver set; quiesced. May be NULL */
} VirtioOps;

typedef struct VirtioTransport {
    Device *owner;
    VirtioDevice *vdev; /* what sits on the bus, or NULL */
    /* Tell the driver that isr has changed (vector: VIRTIO_NO_VECTOR where only the level of the line may have). Any
     * thread. */
    void (*notify)(struct VirtioTransport *t, unsigned vector);
    /* The driver uses the device from now on (DRIVER_OK), or does not. Machine lock held. May be NULL. */
    void (*running)(struct VirtioTransport *t, bool on);
} VirtioTransport;

struct VirtioDevice {
    Device dev;
    const VirtioOps *ops;
    VirtioTransport *transport;
    unsigned queue_count;
    uint64_t offered, accepted;
    uint8_t status;     /* atomic: written under the machine lock */
    uint8_t isr;        /* atomic */
    uint8_t broken;     /* atomic: the driver broke a rule; nothing works until a reset */
    uint8_t generation; /* of the configuration */
    uint16_t config_vector;
    uint8_t config[VIRTIO_CONFIG_MAX];
    VirtQueueState queue_states[VIRTIO_QUEUES];
    VirtQueue queues[VIRTIO_QUEUES];
    bool indirect_desc, event_idx, packed; /* properties: features to offer */
};

extern const DeviceType virtio_device_type; /* parent of all virtio devices */

/* ---- for devices ---- */
void virtio_init(VirtioDevice *v, const VirtioOps *ops);
/* One more queue of at most max_size entries (a power of two). Returns it. */
VirtQueue *virtio_add_queue(VirtioDevice *v, uint16_t max_size);
static inline bool virtio_accepted(const VirtioDevice *v, uint64_t feature)
{
    return v->accepted & feature;
}
/* In unrealize: it is not running from now on, and its kick_event is not used any more. */
void virtio_leave(VirtioDevice *v);
/* The driver is there: rings may be used. */
bool virtio_running(const VirtioDevice *v);
/* The driver broke a rule of the specification: logged, and the device needs a reset. */
void virtio_broken(VirtioDevice *v, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* The configuration changed by itself. */
void virtio_notify_config(VirtioDevice *v);

/* Take the next buffer. False: there is none, or the queue is not usable. */
bool virtq_pop(VirtQueue *queue, VirtElement *element);
/* True if pop would find something. */
bool virtq_available(VirtQueue *queue);
/* Give it back, the first written bytes of its in segments filled. */
void virtq_push(VirtQueue *queue, const VirtElement *element, uint32_t written);
/* The same for several, which the driver sees all at once: buffers that belong together. */
void virtq_push_all(VirtQueue *queue, VirtElement *const *elements, const uint32_t *written, unsigned count);
/* Put back what pop took last, untouched. */
void virtq_unpop(VirtQueue *queue, const VirtElement *element);
/* Tell the driver of what was pushed, if it wants to know. */
void virtq_notify(VirtQueue *queue);
/* Ask the driver for kicks, or not. After asking, look once more with virtq_available. */
void virtq_want_kicks(VirtQueue *queue, bool want);

/* Copy between segments and a flat buffer, from offset; returns bytes copied. */
size_t iov_read(const struct iovec *iov, unsigned count, size_t offset, void *buf, size_t len);
size_t iov_write(const struct iovec *iov, unsigned count, size_t offset, const void *buf, size_t len);

/* ---- for transports ---- */
/* Make the bus that one virtio device plugs into. */
Bus *virtio_bus_new(VirtioTransport *t, Device *owner, const char *name);
uint8_t virtio_get_status(VirtioDevice *v);
void virtio_set_status(VirtioDevice *v, uint8_t status);
/* Bits 32 * word to 32 * word + 31. Words beyond what exists read 0. */
uint32_t virtio_get_features(const VirtioDevice *v, bool offered, uint32_t word);
void virtio_accept_features(VirtioDevice *v, uint32_t word, uint32_t bits);
uint32_t virtio_config_read(VirtioDevice *v, uint32_t offset, unsigned size);
void virtio_config_write(VirtioDevice *v, uint32_t offset, uint32_t value, unsigned size);
/* Queue registers; queue may be any number. */
VirtQueue *virtio_queue(VirtioDevice *v, uint32_t index); /* NULL: not there */
void virtq_set_size(VirtQueue *queue, uint32_t size);
/* Set the low or high half of one of the addresses in queue->s. */
static inline void virtq_set_address(uint64_t *address, bool high, uint32_t value)
{
    unsigned shift = high ? 32 : 0;
    *address = (*address & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)value << shift;
}
void virtq_set_ready(VirtQueue *queue, bool ready);
/* The transport lets the device reach memory, or does not: then no ring is in use on return. */
void virtio_set_master(VirtioDevice *v, bool on);
/* The driver's doorbell. Any thread. */
void virtio_kick(VirtioDevice *v, uint32_t index);
void virtio_reset(VirtioDevice *v);

#endif
