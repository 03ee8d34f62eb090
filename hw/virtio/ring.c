/*
 * Virtqueues: split rings (VIRTIO 1.2, 2.7) and packed rings (2.8), indirect descriptors, event suppression.
 *
 * The areas lie in guest RAM that the driver may change at any time: every value is read once and checked before use.
 * SPDX-License-Identifier: MIT
 */
#include "hw/virtio/ring.h"
#include "hw/core/ram_access.h"

enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4, DESC_AVAIL = 1 << 7, DESC_USED = 1 << 15 };
enum { AVAIL_NO_INTERRUPT = 1, USED_NO_NOTIFY = 1 };
enum { EVENT_ENABLE = 0, EVENT_DISABLE = 1, EVENT_DESC = 2 };

/* A descriptor of either ring (2.7.5, 2.8.13): the packed one has id where the split one has flags. */
typedef struct Descriptor {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
} Descriptor;

static uint16_t load16(const uint8_t *p)
{
    return GUINT16_FROM_LE(__atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE));
}

static void store16(uint8_t *p, uint16_t value)
{
    __atomic_store_n((uint16_t *)p, GUINT16_TO_LE(value), __ATOMIC_RELEASE);
}

static AddressSpace *memory(const VirtQueue *queue)
{
    return &queue->vdev->dev.machine->memory;
}

static bool packed(const VirtQueue *queue)
{
    return queue->vdev->accepted & VIRTIO_F_RING_PACKED;
}

static bool event_idx(const VirtQueue *queue)
{
    return queue->vdev->accepted & VIRTIO_F_EVENT_IDX;
}

/* ---- areas ---- */

static uint8_t *map_area(VirtQueue *queue, uint64_t addr, uint64_t size, unsigned align, bool write, const char *name)
{
    uint64_t len = size;
    uint8_t *host = addr & (align - 1) ? NULL : as_map(memory(queue), addr, &len, write);
    if (host && len == size)
        return host;
    virtio_broken(queue->vdev,
                  "queue %u: its %s at 0x%" G_GINT64_MODIFIER "x, 0x%" G_GINT64_MODIFIER
                  "x bytes, is not in RAM or not aligned to %u",
                  queue->index, name, addr, size, align);
    return NULL;
}

bool virtq_map(VirtQueue *queue)
{
    const VirtQueueState *s = queue->s;
    uint64_t n = s->size;
    bool is_packed = packed(queue);
    queue->descriptors = map_area(queue, s->descriptors, 16 * n, 16, true, "descriptor area");
    queue->driver = map_area(queue, s->driver, is_packed ? 4 : 6 + 2 * n, is_packed ? 4 : 2, false, "driver area");
    queue->device = map_area(queue, s->device, is_packed ? 4 : 6 + 8 * n, 4, true, "device area");
    return queue->descriptors && queue->driver && queue->device;
}

void virtq_unmap(VirtQueue *queue)
{
    queue->descriptors = queue->driver = queue->device = NULL;
    queue->quiet = false;
}

static bool usable(VirtQueue *queue)
{
    if (!queue->s->ready || !virtio_running(queue->vdev))
        return false;
    return queue->descriptors || virtq_map(queue); /* not mapped: its state was just loaded */
}

/* ---- descriptors ---- */

static Descriptor descriptor_at(const uint8_t *p, bool is_packed)
{
    struct __attribute__((packed)) {
        uint64_t addr;
        uint32_t len;
        uint16_t third, fourth;
    } raw;
    ram_copy(&raw, p, sizeof(raw));
    uint16_t third = GUINT16_FROM_LE(raw.third), fourth = GUINT16_FROM_LE(raw.fourth);
    return (Descriptor){ .addr = GUINT64_FROM_LE(raw.addr),
                         .len = GUINT32_FROM_LE(raw.len),
                         .flags = is_packed ? fourth : third,
                         .next = is_packed ? third : fourth };
}

/* Add a descriptor's bytes to the element, as one segment or more. */
static bool add_segments(VirtQueue *queue, VirtElement *e, const Descriptor *d)
{
    bool in = d->flags & DESC_WRITE;
    uint32_t *total = in ? &e->in_bytes : &e->out_bytes;
    uint64_t addr = d->addr, left = d->len;
    if (!in && e->in_count)
        return virtio_broken(queue->vdev, "queue %u: a readable descriptor follows a writable one", queue->index),
               false;
    if (d->len > UINT32_MAX - *total)
        return virtio_broken(queue->vdev, "queue %u: a buffer of more than 4 GiB", queue->index), false;
    *total += d->len;
    while (left) {
        uint64_t len = left;
        unsigned used = e->out_count + e->in_count;
        void *host = used < VIRTIO_SEGMENTS_MAX ? as_map(memory(queue), addr, &len, in) : NULL;
        if (!host) {
            virtio_broken(queue->vdev, "queue %u: descriptor at 0x%" G_GINT64_MODIFIER "x, 0x%x bytes: %s",
                          queue->index, d->addr, d->len,
                          used < VIRTIO_SEGMENTS_MAX ? "not in RAM" : "too many segments");
            return false;
        }
        e->segments[used] = (struct iovec){ host, len };
        if (in)
            e->in_count++;
        else
            e->out_count++;
        addr += len;
        left -= len;
    }
    return true;
}

/* An entry of an indirect table. The table must be in RAM: an I/O thread that read registers would need the machine
 * lock. */
static bool table_entry(VirtQueue *queue, const Descriptor *table, uint64_t i, Descriptor *d)
{
    uint8_t bytes[16];
    uint64_t len;
    for (unsigned done = 0; done < sizeof(bytes); done += len) {
        len = sizeof(bytes) - done;
        const uint8_t *host = as_map(memory(queue), table->addr + 16 * i + done, &len, false);
        if (!host)
            return virtio_broken(queue->vdev, "queue %u: indirect table is not in RAM", queue->index), false;
        ram_copy(bytes + done, host, len);
    }
    *d = descriptor_at(bytes, packed(queue));
    return true;
}

/* An indirect table (2.7.5.3, 2.8.7): in a split ring a chain, in a packed ring simply all its entries. */
static bool add_indirect(VirtQueue *queue, VirtElement *e, const Descriptor *table)
{
    uint64_t count = table->len / 16, done = 0;
    bool is_packed = packed(queue);
    if (!table->len || table->len % 16 || count > VIRTIO_SEGMENTS_MAX || table->flags & DESC_NEXT)
        return virtio_broken(queue->vdev, "queue %u: bad indirect table of 0x%x bytes", queue->index, table->len),
               false;
    for (uint64_t i = 0; done < count; done++) {
        Descriptor d;
        if (!table_entry(queue, table, i, &d))
            return false;
        if (d.flags & DESC_INDIRECT)
            return virtio_broken(queue->vdev, "queue %u: indirect table in an indirect table", queue->index), false;
        if (!add_segments(queue, e, &d))
            return false;
        if (!is_packed && !(d.flags & DESC_NEXT))
            return true;
        i = is_packed ? i + 1 : d.next;
        if (i >= count && done + 1 < count)
            return virtio_broken(queue->vdev, "queue %u: next descriptor is outside its indirect table", queue->index),
                   false;
    }
    if (!is_packed)
        virtio_broken(queue->vdev, "queue %u: the chain in an indirect table has no end", queue->index);
    return is_packed;
}

static bool add_descriptor(VirtQueue *queue, VirtElement *e, const Descriptor *d)
{
    if (!(d->flags & DESC_INDIRECT))
        return add_segments(queue, e, d);
    if (!virtio_accepted(queue->vdev, VIRTIO_F_INDIRECT_DESC))
        return virtio_broken(queue->vdev, "queue %u: indirect descriptor without the feature", queue->index), false;
    return add_indirect(queue, e, d);
}

/* ---- split ring ---- */

static bool split_available(VirtQueue *queue)
{
    uint16_t count = load16(queue->driver + 2) - queue->s->next_avail;
    if (count > queue->s->size)
        virtio_broken(queue->vdev, "queue %u: %u buffers available in a ring of %u", queue->index, count,
                      (unsigned)queue->s->size);
    return count && count <= queue->s->size;
}

static bool split_pop(VirtQueue *queue, VirtElement *e)
{
    VirtQueueState *s = queue->s;
    uint16_t index = load16(queue->driver + 4 + 2 * (s->next_avail & (s->size - 1)));
    e->id = index;
    for (unsigned n = 0;; n++) {
        if (index >= s->size || n == s->size)
            return virtio_broken(queue->vdev, "queue %u: bad descriptor chain (index %u)", queue->index, index), false;
        Descriptor d = descriptor_at(queue->descriptors + 16 * index, false);
        if (!add_descriptor(queue, e, &d))
            return false;
        if (!(d.flags & DESC_NEXT))
            break;
        index = d.next;
    }
    s->next_avail = (uint16_t)(s->next_avail + 1);
    return true;
}

/* The index goes up once all entries are there: what the driver sees is whole. */
static void split_push(VirtQueue *queue, VirtElement *const *e, const uint32_t *written, unsigned count)
{
    VirtQueueState *s = queue->s;
    for (unsigned i = 0; i < count; i++) {
        uint8_t *entry = queue->device + 4 + 8 * (s->next_used & (s->size - 1));
        uint32_t pair[] = { GUINT32_TO_LE(e[i]->id), GUINT32_TO_LE(written[i]) };
        ram_copy(entry, pair, sizeof(pair));
        s->next_used = (uint16_t)(s->next_used + 1);
        as_unmap(memory(queue), entry, sizeof(pair));
    }
    store16(queue->device + 2, s->next_used);
    as_unmap(memory(queue), queue->device, 4);
}

/* 2.7.7.2: did index pass event since old? */
static bool passed(uint16_t event, uint16_t new, uint16_t old)
{
    return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

static bool split_wants_interrupt(VirtQueue *queue)
{
    VirtQueueState *s = queue->s;
    if (!event_idx(queue))
        return !(load16(queue->driver) & AVAIL_NO_INTERRUPT);
    uint16_t old = s->signalled, new = s->next_used;
    bool valid = s->signalled_valid;
    s->signalled = new;
    s->signalled_valid = 1;
    return !valid || passed(load16(queue->driver + 4 + 2 * s->size), new, old);
}

static void split_want_kicks(VirtQueue *queue, bool want)
{
    VirtQueueState *s = queue->s;
    if (!event_idx(queue))
        store16(queue->device, want ? 0 : USED_NO_NOTIFY);
    else if (want)
        store16(queue->device + 4 + 8 * s->size, s->next_avail);
}

/* ---- packed ring ---- */

static bool packed_available(VirtQueue *queue)
{
    const VirtQueueState *s = queue->s;
    uint16_t flags = load16(queue->descriptors + 16 * s->next_avail + 14);
    return !!(flags & DESC_AVAIL) == s->avail_wrap && !!(flags & DESC_USED) != s->avail_wrap;
}

static bool packed_pop(VirtQueue *queue, VirtElement *e)
{
    VirtQueueState *s = queue->s;
    uint64_t at = s->next_avail, wrap = s->avail_wrap;
    for (e->slots = 1;; e->slots++) {
        Descriptor d = descriptor_at(queue->descriptors + 16 * at, true);
        if (!add_descriptor(queue, e, &d))
            return false;
        if (++at == s->size) {
            at = 0;
            wrap ^= 1;
        }
        e->id = d.next;
        if (!(d.flags & DESC_NEXT))
            break;
        if (e->slots == s->size)
            return virtio_broken(queue->vdev, "queue %u: a descriptor chain longer than the ring", queue->index), false;
    }
    s->next_avail = at;
    s->avail_wrap = wrap;
    return true;
}

/* The first entry's flags come last: the driver looks at nothing behind it before. */
static void packed_push(VirtQueue *queue, VirtElement *const *e, const uint32_t *written, unsigned count)
{
    VirtQueueState *s = queue->s;
    uint8_t *first = queue->descriptors + 16 * s->next_used;
    uint16_t first_flags = 0;
    for (unsigned i = 0; i < count; i++) {
        uint8_t *entry = queue->descriptors + 16 * s->next_used;
        uint32_t len = GUINT32_TO_LE(written[i]);
        uint16_t id = GUINT16_TO_LE(e[i]->id);
        uint16_t flags = (s->used_wrap ? DESC_AVAIL | DESC_USED : 0) | (written[i] ? DESC_WRITE : 0);
        ram_copy(entry + 8, &len, sizeof(len));
        ram_copy(entry + 12, &id, sizeof(id));
        if (i)
            store16(entry + 14, flags);
        else
            first_flags = flags;
        as_unmap(memory(queue), entry, 16);
        s->next_used += e[i]->slots;
        if (s->next_used >= s->size) {
            s->next_used -= s->size;
            s->used_wrap ^= 1;
            s->signalled_valid = 0; /* passed() does not count across the wrap: tell the driver once more than needed */
        }
    }
    store16(first + 14, first_flags);
    as_unmap(memory(queue), first, 16);
}

static bool packed_wants_interrupt(VirtQueue *queue)
{
    VirtQueueState *s = queue->s;
    uint16_t flags = load16(queue->driver + 2) & 3, event = load16(queue->driver);
    uint16_t old = s->signalled, new = s->next_used, at = event & 0x7fff;
    bool valid = s->signalled_valid;
    s->signalled = new;
    s->signalled_valid = 1;
    if (flags == EVENT_DISABLE || flags == EVENT_ENABLE)
        return flags == EVENT_ENABLE;
    if (s->used_wrap != event >> 15)
        at -= s->size;
    return !valid || passed(at, new, old);
}

static void packed_want_kicks(VirtQueue *queue, bool want)
{
    const VirtQueueState *s = queue->s;
    if (want && event_idx(queue)) {
        store16(queue->device, s->next_avail | s->avail_wrap << 15);
        store16(queue->device + 2, EVENT_DESC);
    } else {
        store16(queue->device + 2, want ? EVENT_ENABLE : EVENT_DISABLE);
    }
}

/* ---- either ---- */

bool virtq_available(VirtQueue *queue)
{
    return usable(queue) && (packed(queue) ? packed_available(queue) : split_available(queue));
}

bool virtq_pop(VirtQueue *queue, VirtElement *e)
{
    if (!virtq_available(queue))
        return false;
    e->out_count = e->in_count = e->slots = 0;
    e->out_bytes = e->in_bytes = 0;
    if (!(packed(queue) ? packed_pop(queue, e) : split_pop(queue, e)))
        return false;
    if (!queue->quiet && !packed(queue) && event_idx(queue))
        split_want_kicks(queue, true); /* the next buffer */
    e->out = e->segments;
    e->in = e->segments + e->out_count;
    return true;
}

void virtq_unpop(VirtQueue *queue, const VirtElement *e)
{
    VirtQueueState *s = queue->s;
    if (!packed(queue)) {
        s->next_avail = (uint16_t)(s->next_avail - 1);
    } else if (s->next_avail >= e->slots) {
        s->next_avail -= e->slots;
    } else {
        s->next_avail += s->size - e->slots;
        s->avail_wrap ^= 1;
    }
}

void virtq_push_all(VirtQueue *queue, VirtElement *const *elements, const uint32_t *written, unsigned count)
{
    if (!usable(queue) || !count)
        return;
    for (unsigned n = 0; n < count; n++) {
        const VirtElement *e = elements[n];
        uint32_t left = written[n];
        for (unsigned i = 0; i < e->in_count && left; i++) {
            uint32_t here = MIN(left, e->in[i].iov_len);
            as_unmap(memory(queue), e->in[i].iov_base, here);
            left -= here;
        }
    }
    if (packed(queue))
        packed_push(queue, elements, written, count);
    else
        split_push(queue, elements, written, count);
}

void virtq_push(VirtQueue *queue, const VirtElement *e, uint32_t written)
{
    VirtElement *const one = (VirtElement *)e;
    virtq_push_all(queue, &one, &written, 1);
}

void virtq_notify(VirtQueue *queue)
{
    if (!usable(queue))
        return;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* what was pushed, before the driver's wish is read */
    if (packed(queue) ? packed_wants_interrupt(queue) : split_wants_interrupt(queue))
        virtio_queue_notify(queue);
}

void virtq_want_kicks(VirtQueue *queue, bool want)
{
    if (!usable(queue))
        return;
    queue->quiet = !want;
    if (packed(queue))
        packed_want_kicks(queue, want);
    else
        split_want_kicks(queue, want);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the wish, before the ring is looked at again */
}

/* ---- segments ---- */

static size_t iov_copy(const struct iovec *iov, unsigned count, size_t offset, uint8_t *buf, size_t len, bool write)
{
    size_t done = 0;
    for (unsigned i = 0; i < count && done < len; i++) {
        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
            continue;
        }
        uint8_t *at = (uint8_t *)iov[i].iov_base + offset;
        size_t here = MIN(len - done, iov[i].iov_len - offset);
        ram_copy(write ? at : buf + done, write ? buf + done : at, here);
        done += here;
        offset = 0;
    }
    return done;
}

size_t iov_read(const struct iovec *iov, unsigned count, size_t offset, void *buf, size_t len)
{
    return iov_copy(iov, count, offset, buf, len, false);
}

size_t iov_write(const struct iovec *iov, unsigned count, size_t offset, const void *buf, size_t len)
{
    return iov_copy(iov, count, offset, (uint8_t *)buf, len, true);
}
