/*
 * Virtio devices: status, features, configuration, the bus (see virtio.h; VIRTIO 1.2, chapters 2 and 3). Rings are in
 * ring.c.
 * SPDX-License-Identifier: MIT
 */
#include "hw/virtio/virtio.h"
#include "hw/virtio/ring.h"
#include "util/log.h"
#include "util/trace.h"
#include <string.h>

/* ---- for devices ---- */

void virtio_init(VirtioDevice *v, const VirtioOps *ops)
{
    v->ops = ops;
    v->queue_count = 0;
}

VirtQueue *virtio_add_queue(VirtioDevice *v, uint16_t max_size)
{
    g_assert(v->queue_count < VIRTIO_QUEUES && max_size && !(max_size & (max_size - 1)));
    VirtQueue *queue = &v->queues[v->queue_count];
    *queue =
        (VirtQueue){ .vdev = v, .index = v->queue_count, .max_size = max_size, .s = &v->queue_states[v->queue_count] };
    v->queue_count++;
    return queue;
}

bool virtio_running(const VirtioDevice *v)
{
    return __atomic_load_n(&v->status, __ATOMIC_ACQUIRE) & VIRTIO_DRIVER_OK &&
           !__atomic_load_n(&v->broken, __ATOMIC_RELAXED) && !__atomic_load_n(&v->dev.dma_blocked, __ATOMIC_RELAXED);
}

static void notify(VirtioDevice *v, uint8_t isr, unsigned vector)
{
    __atomic_fetch_or(&v->isr, isr, __ATOMIC_SEQ_CST);
    if (v->transport)
        v->transport->notify(v->transport, vector);
}

void virtio_notify_config(VirtioDevice *v)
{
    if (!(v->status & VIRTIO_DRIVER_OK))
        return;
    v->generation++;
    notify(v, VIRTIO_ISR_CONFIG, v->config_vector);
}

void virtio_queue_notify(VirtQueue *queue)
{
    TRACE(virtio_notify, "%s queue %u", queue->vdev->dev.type->name, queue->index);
    notify(queue->vdev, VIRTIO_ISR_QUEUE, queue->s->vector);
}

void virtio_broken(VirtioDevice *v, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    guest_error(&v->dev, "%s; the device needs a reset", text);
    if (!__atomic_exchange_n(&v->broken, 1, __ATOMIC_SEQ_CST) &&
        __atomic_load_n(&v->status, __ATOMIC_ACQUIRE) & VIRTIO_DRIVER_OK)
        notify(v, VIRTIO_ISR_CONFIG, v->config_vector);
}

/* ---- for transports ---- */

static uint64_t offered_features(const VirtioDevice *v)
{
    uint64_t features = v->ops->features ? v->ops->features((VirtioDevice *)v) : 0;
    return features | VIRTIO_F_VERSION_1 | (v->indirect_desc ? VIRTIO_F_INDIRECT_DESC : 0) |
           (v->event_idx ? VIRTIO_F_EVENT_IDX : 0) | (v->packed ? VIRTIO_F_RING_PACKED : 0);
}

uint32_t virtio_get_features(const VirtioDevice *v, bool offered, uint32_t word)
{
    return word < 2 ? (offered ? v->offered : v->accepted) >> (32 * word) : 0;
}

void virtio_accept_features(VirtioDevice *v, uint32_t word, uint32_t bits)
{
    if (word >= 2 || v->status & VIRTIO_FEATURES_OK) {
        guest_error(&v->dev, "features accepted %s", word >= 2 ? "that do not exist" : "after FEATURES_OK");
        return;
    }
    uint64_t mask = (uint64_t)UINT32_MAX << (32 * word);
    v->accepted = (v->accepted & ~mask) | (uint64_t)bits << (32 * word);
    for (unsigned i = 0; i < v->queue_count; i++)
        virtq_unmap(&v->queues[i]); /* how large its areas are depends on the features: checked again when used */
}

uint8_t virtio_get_status(VirtioDevice *v)
{
    return v->status | (__atomic_load_n(&v->broken, __ATOMIC_RELAXED) ? VIRTIO_NEEDS_RESET : 0);
}

static void tell_running(VirtioDevice *v)
{
    if (v->transport && v->transport->running)
        v->transport->running(v->transport, v->status & VIRTIO_DRIVER_OK);
}

void virtio_leave(VirtioDevice *v)
{
    __atomic_store_n(&v->status, 0, __ATOMIC_RELEASE);
    tell_running(v);
}

static void quiesce(VirtioDevice *v, bool on)
{
    if (v->ops->quiesce)
        v->ops->quiesce(v, on);
}

void virtio_reset(VirtioDevice *v)
{
    __atomic_store_n(&v->status, 0, __ATOMIC_RELEASE); /* what is under way goes nowhere */
    tell_running(v);
    quiesce(v, true);
    if (v->ops->reset)
        v->ops->reset(v);
    __atomic_store_n(&v->isr, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&v->broken, 0, __ATOMIC_RELAXED);
    if (v->transport)
        v->transport->notify(v->transport, VIRTIO_NO_VECTOR);
    v->accepted = 0;
    v->config_vector = VIRTIO_NO_VECTOR;
    v->offered = offered_features(v);
    memset(v->config, 0, sizeof(v->config));
    for (unsigned i = 0; i < v->queue_count; i++) {
        v->queue_states[i] = (VirtQueueState){ .size = v->queues[i].max_size, .vector = VIRTIO_NO_VECTOR };
        virtq_unmap(&v->queues[i]);
    }
    quiesce(v, false);
}

void virtio_set_status(VirtioDevice *v, uint8_t status)
{
    TRACE(virtio_status, "%s 0x%02x -> 0x%02x", v->dev.type->name, v->status, status);
    if (!status) {
        virtio_reset(v);
        return;
    }
    status |=
        v->status; /* 2.1.1: bits are taken back by a reset only. The rings rely on it: features stay as they are */
    if (status & VIRTIO_FEATURES_OK && !(v->status & VIRTIO_FEATURES_OK) &&
        (v->accepted & ~v->offered || !(v->accepted & VIRTIO_F_VERSION_1))) {
        guest_error(&v->dev, "driver accepts features 0x%" G_GINT64_MODIFIER "x of 0x%" G_GINT64_MODIFIER "x",
                    v->accepted, v->offered);
        status &= ~VIRTIO_FEATURES_OK; /* 2.2.2: the driver looks whether it stayed set */
    }
    if (status & VIRTIO_DRIVER_OK && !(status & VIRTIO_FEATURES_OK)) {
        guest_error(&v->dev, "DRIVER_OK before FEATURES_OK");
        status &= ~VIRTIO_DRIVER_OK;
    }
    __atomic_store_n(&v->status, status & ~VIRTIO_NEEDS_RESET, __ATOMIC_RELEASE);
    tell_running(v);
}

static void refresh_config(VirtioDevice *v)
{
    if (v->ops->get_config)
        v->ops->get_config(v, v->config);
}

uint32_t virtio_config_read(VirtioDevice *v, uint32_t offset, unsigned size)
{
    uint32_t value = 0;
    refresh_config(v);
    for (unsigned i = 0; i < size && offset + i < v->ops->config_size; i++)
        value |= (uint32_t)v->config[offset + i] << (8 * i);
    return value;
}

void virtio_config_write(VirtioDevice *v, uint32_t offset, uint32_t value, unsigned size)
{
    refresh_config(v);
    for (unsigned i = 0; i < size && offset + i < v->ops->config_size; i++)
        v->config[offset + i] = value >> (8 * i);
    if (v->ops->set_config)
        v->ops->set_config(v, v->config);
}

VirtQueue *virtio_queue(VirtioDevice *v, uint32_t index)
{
    return index < v->queue_count ? &v->queues[index] : NULL;
}

void virtq_set_size(VirtQueue *queue, uint32_t size)
{
    bool power_of_two = size && !(size & (size - 1));
    if (size > queue->max_size || !size || (!power_of_two && !(queue->vdev->accepted & VIRTIO_F_RING_PACKED)) ||
        queue->s->ready)
        guest_error(&queue->vdev->dev, "queue %u: size %u is not possible", queue->index, size);
    else
        queue->s->size = size;
}

void virtq_set_ready(VirtQueue *queue, bool ready)
{
    VirtQueueState *s = queue->s;
    if (ready == s->ready)
        return;
    quiesce(queue->vdev, true);
    s->ready = ready;
    s->next_avail = s->next_used = s->signalled = s->signalled_valid = 0;
    s->avail_wrap = s->used_wrap = 1;
    if (!ready || !virtq_map(queue))
        virtq_unmap(queue);
    quiesce(queue->vdev, false);
}

void virtio_kick(VirtioDevice *v, uint32_t index)
{
    VirtQueue *queue = virtio_queue(v, index);
    if (!queue) {
        guest_error(&v->dev, "kick of queue %u, which is not there", index);
        return;
    }
    bool lock = !v->ops->kick_unlocked && !machine_locked(v->dev.machine);
    if (lock)
        machine_lock(v->dev.machine);
    if (virtio_running(v))
        v->ops->kick(v, queue);
    if (lock)
        machine_unlock(v->dev.machine);
}

void virtio_set_master(VirtioDevice *v, bool on)
{
    if (on == !v->dev.dma_blocked)
        return;
    quiesce(v, true);
    __atomic_store_n(&v->dev.dma_blocked, !on, __ATOMIC_RELAXED);
    quiesce(v, false);
    for (unsigned i = 0; i < v->queue_count && virtio_running(v); i++) { /* doorbells that were not heard */
        if (v->queues[i].s->ready)
            virtio_kick(v, i);
    }
}

/* ---- bus ---- */

static bool plug(Bus *bus, Device *dev, GError **err)
{
    VirtioTransport *t = bus->state;
    t->vdev = (VirtioDevice *)dev;
    t->vdev->transport = t;
    return true;
}

static void unplug(Bus *bus, Device *dev)
{
    VirtioTransport *t = bus->state;
    if (t->running)
        t->running(t, false);
    t->vdev = NULL;
    ((VirtioDevice *)dev)->transport = NULL;
}

Bus *virtio_bus_new(VirtioTransport *t, Device *owner, const char *name)
{
    Bus *bus = bus_new(owner, "virtio", name);
    bus->max_devices = 1;
    bus->state = t;
    bus->plug = plug;
    bus->unplug = unplug;
    t->owner = owner;
    return bus;
}

/* ---- type ---- */

static void reset(Device *dev)
{
    VirtioDevice *v = (VirtioDevice *)dev;
    if (v->ops)
        virtio_reset(v);
    v->generation = 0;
}

static void quiesce_device(Device *dev, bool on)
{
    quiesce((VirtioDevice *)dev, on);
}

/* The rings are found again when they are used. A snapshot may hold anything: sizes are what rings are indexed by. */
static void post_load(Device *dev)
{
    VirtioDevice *v = (VirtioDevice *)dev;
    for (unsigned i = 0; i < v->queue_count; i++) {
        VirtQueueState *s = v->queues[i].s;
        s->size = MIN(MAX(s->size, 1), v->queues[i].max_size);
        s->next_avail = s->next_avail < s->size || !(v->accepted & VIRTIO_F_RING_PACKED) ? s->next_avail & 0xffff : 0;
        s->next_used = s->next_used < s->size || !(v->accepted & VIRTIO_F_RING_PACKED) ? s->next_used & 0xffff : 0;
        s->avail_wrap &= 1;
        s->used_wrap &= 1;
        virtq_unmap(&v->queues[i]);
    }
    tell_running(v);
}

static const Prop props[] = {
    PROP(VirtioDevice, BOOL, "indirect_desc", indirect_desc, .fallback = "on", .help = "offer indirect descriptors"),
    PROP(VirtioDevice, BOOL, "event_idx", event_idx, .fallback = "on", .help = "offer event indexes"),
    PROP(VirtioDevice, BOOL, "packed", packed, .fallback = "off", .help = "offer packed rings"),
    PROP_END,
};
static const StateField state[] = { STATE(VirtioDevice, accepted),
                                    STATE(VirtioDevice, status),
                                    STATE(VirtioDevice, isr),
                                    STATE(VirtioDevice, broken),
                                    STATE(VirtioDevice, generation),
                                    STATE(VirtioDevice, config_vector),
                                    { "queue_states", STATE_KIND_BYTES, offsetof(VirtioDevice, queue_states),
                                      sizeof(((VirtioDevice *)0)->queue_states), sizeof(uint64_t), NULL },
                                    STATE_ARRAY(VirtioDevice, config),
                                    STATE(VirtioDevice, offered),
                                    STATE_SKIP(VirtioDevice, ops, "fixed at realize"),
                                    STATE_SKIP(VirtioDevice, transport, "wiring"),
                                    STATE_SKIP(VirtioDevice, queue_count, "fixed at realize"),
                                    STATE_SKIP(VirtioDevice, queues, "follows from queue_states"),
                                    STATE_END };

const DeviceType virtio_device_type = {
    .name = "virtio-device",
    .desc = "virtio device",
    .size = sizeof(VirtioDevice),
    .props = props,
    .state = state,
    .reset = reset,
    .quiesce = quiesce_device,
    .post_load = post_load,
};
