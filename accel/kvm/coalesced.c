/*
 * KVM: writes that are put aside (api.rst: KVM_REGISTER_COALESCED_MMIO): the kernel notes in a ring what a guest writes
 * to regions that say so (mem_put_aside), and the vCPU goes on. The ring is emptied, in order, whenever any vCPU leaves
 * KVM_RUN, before that exit is handled, and when somebody wants to see the devices (memory_settle). A full ring exits.
 *
 * Under the machine lock. An entry leaves the ring when its write is done: who finds it empty without the lock finds
 * all that was written before done.
 * SPDX-License-Identifier: MIT
 */
#include "accel/kvm/kvm.h"
#include "hw/core/machine.h"
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

typedef struct Zone {
    unsigned space;
    struct kvm_coalesced_mmio_zone zone;
    bool stays; /* of the present view */
} Zone;

static struct kvm_coalesced_mmio_ring *ring(const KvmState *kvm)
{
    return __atomic_load_n(&kvm->ring, __ATOMIC_ACQUIRE);
}

bool kvm_coalesced_any(const KvmState *kvm)
{
    const struct kvm_coalesced_mmio_ring *r = ring(kvm);
    return r && __atomic_load_n(&r->first, __ATOMIC_ACQUIRE) != __atomic_load_n(&r->last, __ATOMIC_ACQUIRE);
}

void kvm_coalesced_done(KvmState *kvm)
{
    struct kvm_coalesced_mmio_ring *r = ring(kvm);
    if (kvm->emptying) /* a write of the ring has changed memory */
        return;
    kvm->emptying = true;
    while (kvm_coalesced_any(kvm)) {
        const struct kvm_coalesced_mmio *e = &r->coalesced_mmio[r->first];
        unsigned space = e->pio ? KVM_SPACE_IO : KVM_SPACE_MEMORY;
        as_write(kvm->spaces[space].as, e->phys_addr, e->data, MIN(e->len, sizeof(e->data)));
        __atomic_store_n(&r->first, (r->first + 1) % kvm->ring_entries, __ATOMIC_RELEASE);
    }
    kvm->emptying = false;
}

void kvm_coalesced_vcpu(KvmVcpu *k)
{
    KvmState *kvm = k->kvm;
    if (!kvm->ring_page || kvm->ring)
        return;
    uint8_t *at = (uint8_t *)k->run + (size_t)kvm->ring_page * (size_t)sysconf(_SC_PAGESIZE);
    __atomic_store_n(&kvm->ring, (struct kvm_coalesced_mmio_ring *)(void *)at, __ATOMIC_RELEASE);
    kvm->ring_owner = k;
}

void kvm_coalesced_vcpu_gone(const KvmVcpu *k)
{
    if (k->kvm->ring_owner == k)
        __atomic_store_n(&k->kvm->ring, NULL, __ATOMIC_RELEASE);
}

/* ---- zones ---- */

static void want(KvmState *kvm, Zone new)
{
    for (guint i = 0; i < kvm->zones->len; i++) {
        Zone *z = &g_array_index(kvm->zones, Zone, i);
        if (z->space == new.space && z->zone.addr == new.zone.addr && z->zone.size == new.zone.size) {
            z->stays = true;
            return;
        }
    }
    if (ioctl(kvm->vm, KVM_REGISTER_COALESCED_MMIO, &new.zone) >= 0)
        g_array_append_val(kvm->zones, new);
}

void kvm_coalesced_update(KvmState *kvm, unsigned space, const FlatView *view)
{
    if (!kvm->ring_page || (space == KVM_SPACE_IO && !kvm->ring_ports))
        return;
    for (guint i = 0; i < kvm->zones->len; i++) {
        Zone *z = &g_array_index(kvm->zones, Zone, i);
        z->stays = z->space != space;
    }
    for (unsigned i = 0; i < view->count; i++) {
        const FlatRange *range = &view->ranges[i];
        const MemAside *aside = range->region->aside;
        uint64_t size = range->last - range->base + 1;
        for (; aside && aside->size; aside++) {
            uint64_t from = MAX(range->offset, aside->offset),
                     to = MIN(range->offset + size, aside->offset + aside->size);
            if (from < to)
                want(kvm, (Zone){ .space = space,
                                  .zone = { .addr = range->base + (from - range->offset),
                                            .size = (__u32)(to - from),
                                            .pio = space == KVM_SPACE_IO },
                                  .stays = true });
        }
    }
    for (guint i = kvm->zones->len; i-- > 0;) {
        Zone *z = &g_array_index(kvm->zones, Zone, i);
        if (!z->stays) {
            ioctl(kvm->vm, KVM_UNREGISTER_COALESCED_MMIO, &z->zone);
            g_array_remove_index_fast(kvm->zones, i);
        }
    }
}

void kvm_coalesced_init(KvmState *kvm)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int at = ioctl(kvm->vm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);
    kvm->zones = g_array_new(FALSE, FALSE, sizeof(Zone));
    kvm->ring_page = at > 0 ? (unsigned)at : 0;
    kvm->ring_ports = ioctl(kvm->vm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_PIO) > 0;
    kvm->ring_entries = (unsigned)((page - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio));
}

void kvm_coalesced_free(KvmState *kvm)
{
    if (kvm->zones)
        g_array_free(kvm->zones, TRUE);
}
