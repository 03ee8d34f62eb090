/*
 * Virtio doorbells as events: where the accelerator can, the driver's write wakes the thread that works on the queue,
 * and the vCPU goes on. That is the device's own thread if it has one (VirtioOps.kick_event), else the main loop's.
 *
 * Registered from DRIVER_OK to the reset; writes that come otherwise, or from accelerators without events, kick on the
 * vCPU's thread, as ever. An event that is read while the machine stands still waits until it goes on.
 * SPDX-License-Identifier: MIT
 */
#include "hw/virtio/doorbell.h"
#include <glib-unix.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef struct Doorbell {
    VirtioDoorbells *all;
    unsigned index;
    MemEvent event;
    int fd; /* of this file's: the main loop reads it; -1: the device has one */
    guint watch;
    bool late; /* it rang while the machine stood still */
} Doorbell;

struct VirtioDoorbells {
    gint refs; /* atomic: the owner's, and those of watches */
    VirtioTransport *transport;
    Machine *machine;
    MemRegion *region;
    unsigned stride, count;
    bool on;
    Doorbell bells[VIRTIO_QUEUES];
};

static void unref(gpointer opaque)
{
    VirtioDoorbells *d = opaque;
    if (!g_atomic_int_dec_and_test(&d->refs))
        return;
    for (unsigned i = 0; i < VIRTIO_QUEUES; i++) {
        if (d->bells[i].fd >= 0)
            close(d->bells[i].fd);
    }
    g_free(d);
}

static void unref_bell(gpointer opaque)
{
    unref(((Doorbell *)opaque)->all);
}

/* On the main loop's thread. It may have been stopped while this waits for the lock. */
static gboolean rang(gint fd, GIOCondition condition, gpointer opaque)
{
    Doorbell *b = opaque;
    VirtioDoorbells *d = b->all;
    uint64_t value;
    machine_lock(d->machine);
    if (read(fd, &value, sizeof(value)) == sizeof(value) && d->on) {
        if (d->machine->state == RUN_RUNNING)
            virtio_kick(d->transport->vdev, b->index);
        else
            b->late = true;
    }
    machine_unlock(d->machine);
    return G_SOURCE_CONTINUE;
}

static void machine_changed(void *opaque, Machine *machine)
{
    VirtioDoorbells *d = opaque;
    for (unsigned i = 0; i < d->count && machine->state == RUN_RUNNING; i++) {
        if (d->bells[i].late)
            virtio_kick(d->transport->vdev, i);
        d->bells[i].late = false;
    }
}

static int own_event(Doorbell *b)
{
    if (b->fd < 0)
        b->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (b->fd < 0)
        return -1;
    g_atomic_int_inc(&b->all->refs);
    b->watch = g_unix_fd_add_full(G_PRIORITY_DEFAULT, b->fd, G_IO_IN, rang, b, unref_bell);
    return b->fd;
}

static void start(VirtioDoorbells *d, Doorbell *b)
{
    VirtioDevice *v = d->transport->vdev;
    int fd = v->ops->kick_event ? v->ops->kick_event(v, &v->queues[b->index]) : own_event(b);
    if (fd < 0)
        return;
    b->event = (MemEvent){ .offset = (uint64_t)b->index * d->stride,
                           .value = b->index,
                           .match = !d->stride,
                           .size = d->stride ? 0 : 4,
                           .fd = fd };
    mem_add_event(d->region, &b->event);
}

static void stop(Doorbell *b)
{
    mem_del_event(&b->event);
    b->late = false;
    if (b->watch)
        g_source_remove(b->watch);
    b->watch = 0;
}

void virtio_doorbells_run(VirtioDoorbells *d, bool on)
{
    if (!d || on == d->on || (on && !mem_events_work(d->machine)))
        return;
    if (on)
        d->count = d->transport->vdev->queue_count;
    d->on = on;
    for (unsigned i = 0; i < d->count; i++) {
        if (on)
            start(d, &d->bells[i]);
        else
            stop(&d->bells[i]);
    }
    if (on)
        machine_add_state_hook(d->machine, machine_changed, d);
    else
        machine_remove_hooks(d->machine, d);
}

VirtioDoorbells *virtio_doorbells_new(VirtioTransport *t, MemRegion *region, unsigned stride)
{
    VirtioDoorbells *d = g_new0(VirtioDoorbells, 1);
    d->refs = 1;
    d->transport = t;
    d->machine = t->owner->machine;
    d->region = region;
    d->stride = stride;
    for (unsigned i = 0; i < VIRTIO_QUEUES; i++)
        d->bells[i] = (Doorbell){ .all = d, .index = i, .fd = -1 };
    return d;
}

void virtio_doorbells_free(VirtioDoorbells *d)
{
    if (!d)
        return;
    virtio_doorbells_run(d, false);
    unref(d);
}
