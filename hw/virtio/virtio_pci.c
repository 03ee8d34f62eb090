/*
 * Virtio over PCI (VIRTIO 1.2, 4.1), modern interface only: four areas in BAR 4, MSI-X in BAR 1 where the machine has
 * MSIs.
 * SPDX-License-Identifier: MIT
 */
#include "hw/virtio/virtio_pci.h"
#include <string.h>

enum { VENDOR_VIRTIO = 0x1af4, DEVICE_BASE = 0x1040, SUBSYSTEM = 0x1100 };
enum { MSIX_BAR = 1, AREA_BAR = 4 };
enum { CAP_COMMON = 1, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_WINDOW };
enum { NOTIFY_AREA = 3 }; /* in areas[] */
enum { CAP_BAR = 4, CAP_OFFSET = 8, CAP_LENGTH = 12, CAP_EXTRA = 16 };
enum { NOTIFY_MULTIPLIER = 4 };

/* 4.1.4.3 */
enum {
    DEVICE_FEATURE_SELECT = 0,
    DEVICE_FEATURE = 4,
    DRIVER_FEATURE_SELECT = 8,
    DRIVER_FEATURE = 12,
    CONFIG_VECTOR = 16,
    NUM_QUEUES = 18,
    DEVICE_STATUS = 20,
    CONFIG_GENERATION = 21,
    QUEUE_SELECT = 22,
    QUEUE_SIZE = 24,
    QUEUE_VECTOR = 26,
    QUEUE_ENABLE = 28,
    QUEUE_NOTIFY_OFFSET = 30,
    QUEUE_DESC = 32,
    QUEUE_DRIVER = 40,
    QUEUE_DEVICE = 48,
    COMMON_SIZE = 56
};

static VirtioDevice *device(const VirtioPci *p)
{
    return p->transport.vdev;
}

/* ---- interrupts ---- */

static void notify(VirtioTransport *t, unsigned vector)
{
    VirtioPci *p = (VirtioPci *)t->owner;
    if (msix_enabled(&p->pci)) {
        if (vector != VIRTIO_NO_VECTOR)
            msix_notify(&p->pci, vector);
        return;
    }
    g_mutex_lock(&p->lock);
    pci_set_irq(&p->pci, __atomic_load_n(&t->vdev->isr, __ATOMIC_SEQ_CST) != 0);
    g_mutex_unlock(&p->lock);
}

static uint64_t isr_read(void *opaque, uint64_t offset, unsigned size)
{
    VirtioPci *p = opaque;
    if (offset)
        return 0;
    g_mutex_lock(&p->lock);
    uint8_t isr = __atomic_exchange_n(&device(p)->isr, 0, __ATOMIC_SEQ_CST);
    pci_set_irq(&p->pci, false);
    g_mutex_unlock(&p->lock);
    return isr;
}

static void running(VirtioTransport *t, bool on)
{
    virtio_doorbells_run(((VirtioPci *)t->owner)->doorbells, on);
}

/* ---- common configuration ---- */

static void put_queue(uint8_t *image, const VirtioPci *p, VirtQueue *queue)
{
    const VirtQueueState *s = queue->s;
    pci_put16(image + QUEUE_SIZE, s->size);
    pci_put16(image + QUEUE_VECTOR, s->vector);
    pci_put16(image + QUEUE_ENABLE, s->ready);
    pci_put16(image + QUEUE_NOTIFY_OFFSET, queue->index);
    pci_put32(image + QUEUE_DESC, s->descriptors);
    pci_put32(image + QUEUE_DESC + 4, s->descriptors >> 32);
    pci_put32(image + QUEUE_DRIVER, s->driver);
    pci_put32(image + QUEUE_DRIVER + 4, s->driver >> 32);
    pci_put32(image + QUEUE_DEVICE, s->device);
    pci_put32(image + QUEUE_DEVICE + 4, s->device >> 32);
}

static uint64_t common_read(void *opaque, uint64_t offset, unsigned size)
{
    const VirtioPci *p = opaque;
    VirtioDevice *v = device(p);
    VirtQueue *queue = virtio_queue(v, p->queue_select);
    uint8_t image[COMMON_SIZE + 8] = { 0 };
    uint32_t value = 0;
    pci_put32(image + DEVICE_FEATURE_SELECT, p->device_feature_select);
    pci_put32(image + DEVICE_FEATURE, virtio_get_features(v, true, p->device_feature_select));
    pci_put32(image + DRIVER_FEATURE_SELECT, p->driver_feature_select);
    pci_put32(image + DRIVER_FEATURE, virtio_get_features(v, false, p->driver_feature_select));
    pci_put16(image + CONFIG_VECTOR, v->config_vector);
    pci_put16(image + NUM_QUEUES, v->queue_count);
    image[DEVICE_STATUS] = virtio_get_status(v);
    image[CONFIG_GENERATION] = v->generation;
    pci_put16(image + QUEUE_SELECT, p->queue_select);
    if (queue)
        put_queue(image, p, queue);
    for (unsigned i = 0; i < size && offset + i < COMMON_SIZE; i++)
        value |= (uint32_t)image[offset + i] << (8 * i);
    return value;
}

static uint16_t valid_vector(const VirtioPci *p, uint16_t vector)
{
    return vector < p->pci.msix_count ? vector : VIRTIO_NO_VECTOR;
}

static void queue_write(VirtioPci *p, VirtQueue *queue, uint64_t offset, uint32_t value)
{
    switch (offset) {
    case QUEUE_SIZE:
        virtq_set_size(queue, value & 0xffff);
        break;
    case QUEUE_VECTOR:
        queue->s->vector = valid_vector(p, value);
        break;
    case QUEUE_ENABLE:
        if (value & 1)
            virtq_set_ready(queue, true);
        break;
    case QUEUE_DESC:
    case QUEUE_DESC + 4:
        virtq_set_address(&queue->s->descriptors, offset & 4, value);
        break;
    case QUEUE_DRIVER:
    case QUEUE_DRIVER + 4:
        virtq_set_address(&queue->s->driver, offset & 4, value);
        break;
    case QUEUE_DEVICE:
    case QUEUE_DEVICE + 4:
        virtq_set_address(&queue->s->device, offset & 4, value);
        break;
    default:
        guest_error(&p->pci.dev, "write to read-only offset 0x%x of the common configuration", (unsigned)offset);
    }
}

static void common_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    VirtioPci *p = opaque;
    VirtioDevice *v = device(p);
    VirtQueue *queue = virtio_queue(v, p->queue_select);
    switch (offset) {
    case DEVICE_FEATURE_SELECT:
        p->device_feature_select = value;
        break;
    case DRIVER_FEATURE_SELECT:
        p->driver_feature_select = value;
        break;
    case DRIVER_FEATURE:
        virtio_accept_features(v, p->driver_feature_select, value);
        break;
    case CONFIG_VECTOR:
        v->config_vector = valid_vector(p, value);
        break;
    case DEVICE_STATUS:
        virtio_set_status(v, value);
        break;
    case QUEUE_SELECT:
        p->queue_select = value;
        break;
    default:
        if (!queue)
            guest_error(&p->pci.dev, "write to queue %u, which is not there", p->queue_select);
        else if (queue->s->ready && offset >= QUEUE_DESC)
            guest_error(&p->pci.dev, "queue %u is enabled: its areas cannot move", p->queue_select);
        else
            queue_write(p, queue, offset, value);
    }
}

/* ---- the other areas ---- */

static void isr_write(void *opaque, uint64_t offset, uint64_t value, unsigned size) {}

static uint64_t config_read(void *opaque, uint64_t offset, unsigned size)
{
    return virtio_config_read(device(opaque), offset, size);
}

static void config_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    virtio_config_write(device(opaque), offset, value, size);
}

static uint64_t doorbell_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void doorbell_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    virtio_kick(device(opaque), offset / NOTIFY_MULTIPLIER);
}

#define AREA_OPS(get, set, ...)                                                                            \
    {                                                                                                      \
        .read = get, .write = set, .min_size = 1, .max_size = 8, .impl_min = 1, .impl_max = 4, __VA_ARGS__ \
    }
static const struct Area {
    const char *name;
    uint8_t cap;
    uint32_t offset, size;
    MemOps ops;
} areas[] = {
    { "virtio-pci-common", CAP_COMMON, 0x0000, 0x1000, AREA_OPS(common_read, common_write) },
    { "virtio-pci-isr", CAP_ISR, 0x1000, 0x1000, AREA_OPS(isr_read, isr_write) },
    { "virtio-pci-device", CAP_DEVICE, 0x2000, 0x1000, AREA_OPS(config_read, config_write) },
    { "virtio-pci-notify", CAP_NOTIFY, 0x3000, 0x1000, AREA_OPS(doorbell_read, doorbell_write, .lock_free = true) },
};
#define AREAS_SIZE 0x4000

/* ---- window: the areas through configuration space, for firmware that maps no BAR (4.1.4.9) ---- */

static bool window_place(const VirtioPci *p, const struct Area **area, uint32_t *offset, unsigned *size)
{
    const uint8_t *cap = p->pci.config + p->window_cap;
    uint32_t at = pci_get32(cap + CAP_OFFSET), len = pci_get32(cap + CAP_LENGTH);
    if (cap[CAP_BAR] != AREA_BAR || (len != 1 && len != 2 && len != 4) || at >= AREAS_SIZE || at % len)
        return false;
    *area = &areas[at >> 12];
    *offset = at - (*area)->offset;
    *size = len;
    return true;
}

static void window_reading(PciDevice *pci, uint32_t offset, unsigned size)
{
    VirtioPci *p = (VirtioPci *)pci;
    const struct Area *area;
    uint32_t at, data = p->window_cap + CAP_EXTRA;
    unsigned length;
    if (offset < data + 4 && offset + size > data && window_place(p, &area, &at, &length))
        pci_put32(pci->config + data, area->ops.read(p, at, length));
}

static void window_written(PciDevice *pci, uint32_t offset, unsigned size)
{
    VirtioPci *p = (VirtioPci *)pci;
    const struct Area *area;
    uint32_t at, data = p->window_cap + CAP_EXTRA;
    unsigned length;
    if (offset < data + 4 && offset + size > data && window_place(p, &area, &at, &length))
        area->ops.write(p, at, pci_get32(pci->config + data) & (UINT32_MAX >> (32 - 8 * length)), length);
}

static void master_changed(PciDevice *pci, bool on)
{
    VirtioPci *p = (VirtioPci *)pci;
    if (device(p))
        virtio_set_master(device(p), on);
}

/* ---- type ---- */

static unsigned add_capability(VirtioPci *p, uint8_t type, unsigned size, uint8_t bar, uint32_t offset, uint32_t length)
{
    unsigned at = pci_add_capability(&p->pci, PCI_CAP_VENDOR, size);
    uint8_t *cap = p->pci.config + at;
    cap[2] = size;
    cap[3] = type;
    cap[CAP_BAR] = bar;
    pci_put32(cap + CAP_OFFSET, offset);
    pci_put32(cap + CAP_LENGTH, length);
    return at;
}

static void add_areas(VirtioPci *p)
{
    Machine *machine = p->pci.dev.machine;
    mem_container_init(&p->bar, machine, "virtio-pci", AREAS_SIZE);
    for (unsigned i = 0; i < G_N_ELEMENTS(areas); i++) {
        const struct Area *a = &areas[i];
        mem_io_init(&p->areas[i], machine, a->name, a->size, &a->ops, p);
        mem_add(&p->bar, a->offset, &p->areas[i], 0);
        unsigned at = add_capability(p, a->cap, a->cap == CAP_NOTIFY ? 20 : 16, AREA_BAR, a->offset, a->size);
        if (a->cap == CAP_NOTIFY)
            pci_put32(p->pci.config + at + CAP_EXTRA, NOTIFY_MULTIPLIER);
    }
    p->window_cap = add_capability(p, CAP_WINDOW, 20, 0, 0, 0);
    uint8_t *writable = p->pci.writable + p->window_cap;
    writable[CAP_BAR] = 0xff;
    memset(writable + CAP_OFFSET, 0xff, 12);
    p->pci.config_reading = window_reading;
    p->pci.config_written = window_written;
    p->pci.master_changed = master_changed;
    pci_add_bar(&p->pci, AREA_BAR, PCI_BAR_MEM64 | PCI_BAR_PREFETCH, &p->bar);
}

static bool realize(Device *dev, GError **err)
{
    VirtioPci *p = (VirtioPci *)dev;
    g_autofree char *name =
        g_strdup_printf("%s.%02x.%x", dev->id ? dev->id : "virtio-bus", p->pci.addr >> 3, p->pci.addr & 7);
    p->transport.notify = notify;
    p->transport.running = running;
    g_mutex_init(&p->lock);
    if (!device_realize(dev->child, virtio_bus_new(&p->transport, dev, name), err))
        return false;
    const VirtioDevice *v = device(p);
    pci_set_ids(&p->pci, VENDOR_VIRTIO, DEVICE_BASE + v->ops->id, v->ops->pci_class, 1);
    pci_set_subsystem(&p->pci, VENDOR_VIRTIO, SUBSYSTEM);
    pci_set_interrupt_pin(&p->pci, 1);
    pcie_add_endpoint_capability(&p->pci);
    add_areas(p);
    if (p->ioeventfd)
        p->doorbells = virtio_doorbells_new(&p->transport, &p->areas[NOTIFY_AREA], NOTIFY_MULTIPLIER);
    if (!msix_init(&p->pci, p->vectors == UINT32_MAX ? v->queue_count + 1 : p->vectors, MSIX_BAR, err))
        return false;
    msix_keep_ready(&p->pci);
    return true;
}

static void unrealize(Device *dev)
{
    VirtioPci *p = (VirtioPci *)dev;
    virtio_doorbells_free(g_steal_pointer(&p->doorbells));
    g_mutex_clear(&p->lock);
}

static void reset(Device *dev)
{
    VirtioPci *p = (VirtioPci *)dev;
    p->device_feature_select = p->driver_feature_select = p->queue_select = 0;
}

static const Prop props[] = { PROP(VirtioPci, U32, "vectors", vectors, .fallback = "0xffffffff",
                                   .help = "MSI-X vectors"),
                              PROP(VirtioPci, BOOL, "ioeventfd", ioeventfd, .fallback = "on",
                                   .help = "doorbells wake the queue's thread, where the accelerator can"),
                              PROP_END };
static const StateField state[] = { STATE(VirtioPci, device_feature_select),
                                    STATE(VirtioPci, driver_feature_select),
                                    STATE(VirtioPci, queue_select),
                                    STATE_SKIP(VirtioPci, transport, "wiring"),
                                    STATE_SKIP(VirtioPci, bar, "wiring"),
                                    STATE_SKIP(VirtioPci, areas, "wiring"),
                                    STATE_SKIP(VirtioPci, vectors, "property"),
                                    STATE_SKIP(VirtioPci, doorbells, "wiring"),
                                    STATE_SKIP(VirtioPci, ioeventfd, "property"),
                                    STATE_SKIP(VirtioPci, window_cap, "fixed at realize"),
                                    STATE_SKIP(VirtioPci, lock, "a lock"),
                                    STATE_END };

const DeviceType virtio_pci_type = {
    .name = "virtio-pci",
    .desc = "virtio over PCI",
    .parent = &pci_device_type,
    .size = sizeof(VirtioPci),
    .props = props,
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
};
