/*
 * KVM: doorbells (api.rst: KVM_IOEVENTFD): a guest's write to a region's event (hw/core/memory_event.c) counts in its
 * eventfd, and the vCPU goes on.
 *
 * What the kernel has been told is kept in a list: each new view and each new event is compared with it. All of it
 * under the machine lock.
 * SPDX-License-Identifier: MIT
 */
#include "accel/kvm/kvm.h"
#include "hw/core/machine.h"
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

typedef struct Told {
    unsigned space;
    const MemEvent *event; /* not looked into once it is gone */
    struct kvm_ioeventfd io;
    bool stays; /* of the present view */
} Told;

static bool request(const KvmState *kvm, Told *t, bool assign)
{
    t->io.flags = (t->io.flags & ~(__u32)KVM_IOEVENTFD_FLAG_DEASSIGN) | (assign ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN);
    return ioctl(kvm->vm, KVM_IOEVENTFD, &t->io) >= 0;
}

static Told make(unsigned space, const FlatRange *range, const MemEvent *event)
{
    return (Told){ .space = space,
                   .event = event,
                   .io = { .datamatch = event->match ? event->value : 0,
                           .addr = range->base + (event->offset - range->offset),
                           .len = event->size,
                           .fd = event->fd,
                           .flags = (event->match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0) |
                                    (space == KVM_SPACE_IO ? KVM_IOEVENTFD_FLAG_PIO : 0) },
                   .stays = true };
}

/* It is in the list already, or the kernel takes it. Where that does not, the write exits as all others do. */
static void want(KvmState *kvm, Told new)
{
    for (guint i = 0; i < kvm->events->len; i++) {
        Told *t = &g_array_index(kvm->events, Told, i);
        if (t->event == new.event && t->space == new.space && t->io.addr == new.io.addr) {
            t->stays = true;
            return;
        }
    }
    if (request(kvm, &new, true))
        g_array_append_val(kvm->events, new);
}

static void drop(KvmState *kvm, guint i)
{
    request(kvm, &g_array_index(kvm->events, Told, i), false);
    g_array_remove_index_fast(kvm->events, i);
}

/* Whole writes only: one that a range cuts is none. */
static bool shown(const FlatRange *range, const MemEvent *event)
{
    unsigned bytes = MAX(event->size, 1);
    return event->offset >= range->offset && event->offset - range->offset <= range->last - range->base &&
           range->last - range->base - (event->offset - range->offset) >= bytes - 1;
}

void kvm_events_update(KvmState *kvm, unsigned space, const FlatView *view)
{
    for (guint i = 0; i < kvm->events->len; i++) {
        Told *t = &g_array_index(kvm->events, Told, i);
        t->stays = t->space != space;
    }
    for (unsigned i = 0; i < view->count; i++) {
        const FlatRange *range = &view->ranges[i];
        for (GSList *link = range->region->events; link; link = link->next) {
            const MemEvent *event = link->data;
            if (shown(range, event) && (event->size || kvm->any_length))
                want(kvm, make(space, range, event));
        }
    }
    for (guint i = kvm->events->len; i-- > 0;) {
        if (!g_array_index(kvm->events, Told, i).stays)
            drop(kvm, i);
    }
}

void kvm_event_removed(KvmState *kvm, const MemEvent *event)
{
    for (guint i = kvm->events->len; i-- > 0;) {
        if (g_array_index(kvm->events, Told, i).event == event)
            drop(kvm, i);
    }
}

void kvm_events_init(KvmState *kvm)
{
    kvm->events = g_array_new(FALSE, FALSE, sizeof(Told));
    kvm->has_events = ioctl(kvm->vm, KVM_CHECK_EXTENSION, KVM_CAP_IOEVENTFD) > 0;
    kvm->any_length = ioctl(kvm->vm, KVM_CHECK_EXTENSION, KVM_CAP_IOEVENTFD_ANY_LENGTH) > 0;
}

void kvm_events_free(KvmState *kvm)
{
    if (!kvm->events)
        return;
    while (kvm->events->len)
        drop(kvm, kvm->events->len - 1);
    g_array_free(kvm->events, TRUE);
}
