/*
 * Virtio over MMIO, version 2 (VIRTIO 1.2, 4.2).
 * SPDX-License-Identifier: MIT
 */
#include "hw/virtio/virtio_mmio.h"
#include "util/error.h"
#include <string.h>

/* 4.2.2 */
enum {
    MAGIC = 0x000,
    VERSION = 0x004,
    DEVICE_ID = 0x008,
    VENDOR_ID = 0x00c,
    DEVICE_FEATURES = 0x010,
    DEVICE_FEATURES_SELECT = 0x014,
    DRIVER_FEATURES = 0x020,
    DRIVER_FEATURES_SELECT = 0x024,
    QUEUE_SELECT = 0x030,
    QUEUE_SIZE_MAX = 0x034,
    QUEUE_SIZE = 0x038,
    QUEUE_READY = 0x044,
    QUEUE_NOTIFY = 0x050,
    INTERRUPT_STATUS = 0x060,
    INTERRUPT_ACK = 0x064,
    STATUS = 0x070,
    QUEUE_DESC = 0x080,
    QUEUE_DRIVER = 0x090,
    QUEUE_DEVICE = 0x0a0,
    SHM_FIRST = 0x0b0,
    SHM_LAST = 0x0bc,
    CONFIG_GENERATION = 0x0fc,
    CONFIG = 0x100
};

static void update(VirtioMmio *m, uint8_t acknowledged)
{
    g_mutex_lock(&m->lock);
    uint8_t isr = m->transport.vdev ? __atomic_and_fetch(&m->transport.vdev->isr, ~acknowledged, __ATOMIC_SEQ_CST) : 0;
    irq_set(&m->irq, isr != 0);
    g_mutex_unlock(&m->lock);
}

static void notify(VirtioTransport *t, unsigned vector)
{
    update((VirtioMmio *)t->owner, 0);
}

static void running(VirtioTransport *t, bool on)
{
    virtio_doorbells_run(((VirtioMmio *)t->owner)->doorbells, on);
}

static uint64_t register_read(VirtioMmio *m, VirtioDevice *v, uint64_t offset)
{
    VirtQueue *queue = virtio_queue(v, m->queue_select);
    switch (offset) {
    case DEVICE_FEATURES:
        return virtio_get_features(v, true, m->device_feature_select);
    case QUEUE_SIZE_MAX:
        return queue ? queue->max_size : 0;
    case QUEUE_READY:
        return queue ? queue->s->ready : 0;
    case INTERRUPT_STATUS:
        return __atomic_load_n(&v->isr, __ATOMIC_SEQ_CST);
    case STATUS:
        return virtio_get_status(v);
    case CONFIG_GENERATION:
        return v->generation;
    default:
        if (offset >= SHM_FIRST && offset <= SHM_LAST)
            return UINT32_MAX; /* no shared memory regions */
        guest_error(&m->dev, "read of offset 0x%x, where nothing can be read", (unsigned)offset);
        return 0;
    }
}

static uint64_t mmio_read(void *opaque, uint64_t offset, unsigned size)
{
    VirtioMmio *m = opaque;
    VirtioDevice *v = m->transport.vdev;
    if (offset >= CONFIG)
        return v ? virtio_config_read(v, offset - CONFIG, size) : 0;
    if (size != 4 || offset & 3) {
        guest_error(&m->dev, "registers are 32 bits wide, read of %u bytes at 0x%x", size, (unsigned)offset);
        return 0;
    }
    switch (offset) {
    case MAGIC:
        return 0x74726976;
    case VERSION:
        return 2;
    case DEVICE_ID:
        return v ? v->ops->id : 0;
    case VENDOR_ID:
        return 0x554d4551;
    default:
        return v ? register_read(m, v, offset) : 0;
    }
}

static void queue_write(VirtioMmio *m, VirtQueue *queue, uint64_t offset, uint32_t value)
{
    VirtQueueState *s = queue->s;
    if (s->ready && offset != QUEUE_READY) {
        guest_error(&m->dev, "queue %u is in use: write to 0x%x is ignored", queue->index, (unsigned)offset);
        return;
    }
    switch (offset) {
    case QUEUE_SIZE:
        virtq_set_size(queue, value);
        break;
    case QUEUE_READY:
        virtq_set_ready(queue, value & 1);
        break;
    case QUEUE_DESC:
    case QUEUE_DESC + 4:
        virtq_set_address(&s->descriptors, offset & 4, value);
        break;
    case QUEUE_DRIVER:
    case QUEUE_DRIVER + 4:
        virtq_set_address(&s->driver, offset & 4, value);
        break;
    case QUEUE_DEVICE:
    case QUEUE_DEVICE + 4:
        virtq_set_address(&s->device, offset & 4, value);
        break;
    default:
        guest_error(&m->dev, "write to offset 0x%x, where nothing can be written", (unsigned)offset);
    }
}

static void register_write(VirtioMmio *m, VirtioDevice *v, uint64_t offset, uint32_t value)
{
    VirtQueue *queue = virtio_queue(v, m->queue_select);
    switch (offset) {
    case DEVICE_FEATURES_SELECT:
        m->device_feature_select = value;
        break;
    case DRIVER_FEATURES:
        virtio_accept_features(v, m->driver_feature_select, value);
        break;
    case DRIVER_FEATURES_SELECT:
        m->driver_feature_select = value;
        break;
    case QUEUE_SELECT:
        m->queue_select = value;
        break;
    case INTERRUPT_ACK:
        update(m, value);
        break;
    case STATUS:
        virtio_set_status(v, value);
        break;
    default:
        if (queue)
            queue_write(m, queue, offset, value);
        else
            guest_error(&m->dev, "write to queue %u, which is not there", m->queue_select);
    }
}

static void mmio_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    VirtioMmio *m = opaque;
    VirtioDevice *v = m->transport.vdev;
    if (!v)
        return;
    if (offset >= CONFIG)
        virtio_config_write(v, offset - CONFIG, value, size);
    else if (size == 4 && !(offset & 3))
        register_write(m, v, offset, value);
    else
        guest_error(&m->dev, "registers are 32 bits wide, write of %u bytes at 0x%x", size, (unsigned)offset);
}

/* The doorbell has a region of its own, which needs no machine lock. */
static uint64_t doorbell_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void doorbell_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    VirtioMmio *m = opaque;
    if (m->transport.vdev)
        virtio_kick(m->transport.vdev, value);
}

static const MemOps
    ops = { .read = mmio_read, .write = mmio_write, .min_size = 1, .max_size = 8, .impl_min = 1, .impl_max = 4 },
    doorbell_ops = { .read = doorbell_read, .write = doorbell_write, .min_size = 4, .max_size = 4, .lock_free = true };

/* ---- type ---- */

static bool realize(Device *dev, GError **err)
{
    VirtioMmio *m = (VirtioMmio *)dev;
    static const char prefix[] = "virtio-mmio-bus.";
    unsigned number = 0;
    if (m->force_legacy)
        return error_set(err, "force-legacy=on: there is only the modern interface (version 2)");
    for (unsigned i = 0; i < dev->machine->buses->len; i++)
        number += g_str_has_prefix(((Bus *)dev->machine->buses->pdata[i])->name, prefix);
    g_autofree char *name = g_strdup_printf("%s%u", prefix, number);
    g_mutex_init(&m->lock);
    m->transport.notify = notify;
    m->transport.running = running;
    virtio_bus_new(&m->transport, dev, name);
    mem_container_init(&m->mmio, dev->machine, "virtio-mmio", VIRTIO_MMIO_SIZE);
    mem_io_init(&m->registers, dev->machine, "virtio-mmio-registers", VIRTIO_MMIO_SIZE, &ops, m);
    mem_io_init(&m->doorbell, dev->machine, "virtio-mmio-doorbell", 4, &doorbell_ops, m);
    mem_add(&m->mmio, 0, &m->registers, 0);
    mem_add(&m->mmio, QUEUE_NOTIFY, &m->doorbell, 1);
    if (m->ioeventfd)
        m->doorbells = virtio_doorbells_new(&m->transport, &m->doorbell, 0);
    return true;
}

static void unrealize(Device *dev)
{
    VirtioMmio *m = (VirtioMmio *)dev;
    virtio_doorbells_free(g_steal_pointer(&m->doorbells));
    g_mutex_clear(&m->lock);
}

static void reset(Device *dev)
{
    VirtioMmio *m = (VirtioMmio *)dev;
    m->device_feature_select = m->driver_feature_select = m->queue_select = 0;
}

static const Prop props[] = { PROP(VirtioMmio, BOOL, "force-legacy", force_legacy, .fallback = "off",
                                   .help = "the interface before virtio 1.0: not there"),
                              PROP(VirtioMmio, BOOL, "ioeventfd", ioeventfd, .fallback = "on",
                                   .help = "doorbells wake the queue's thread, where the accelerator can"),
                              PROP_END };
static const StateField state[] = { STATE(VirtioMmio, device_feature_select),
                                    STATE(VirtioMmio, driver_feature_select),
                                    STATE(VirtioMmio, queue_select),
                                    STATE_SKIP(VirtioMmio, transport, "wiring"),
                                    STATE_SKIP(VirtioMmio, mmio, "wiring"),
                                    STATE_SKIP(VirtioMmio, registers, "wiring"),
                                    STATE_SKIP(VirtioMmio, doorbell, "wiring"),
                                    STATE_SKIP(VirtioMmio, irq, "wiring"),
                                    STATE_SKIP(VirtioMmio, force_legacy, "property"),
                                    STATE_SKIP(VirtioMmio, ioeventfd, "property"),
                                    STATE_SKIP(VirtioMmio, doorbells, "wiring"),
                                    STATE_SKIP(VirtioMmio, lock, "a lock"),
                                    STATE_END };

const DeviceType virtio_mmio_type = {
    .name = "virtio-mmio",
    .desc = "virtio over MMIO",
    .size = sizeof(VirtioMmio),
    .props = props,
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
};
