/*
 * KVM: memory. RAM and ROM of the flat view become slots; everything else exits to run.c.
 *
 * A change of the view is collected and done at its commit while no vCPU runs: none sees the hole between the removal
 * of a slot and its successor, which an instruction fetch could not be emulated from.
 *
 * A region with a dirty log (hw/core/memory_log.c) has it kept by KVM, too: what the guest wrote is asked for when the
 * log is read, and before a slot goes.
 * SPDX-License-Identifier: MIT
 */
#include "accel/kvm/kvm.h"
#include "hw/core/machine.h"
#include "util/error.h"
#include "util/log.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>

#define PAGE_BYTES UINT64_C(4096)

/* ---- what the vCPUs' threads look up ---- */

const FlatRange *kvm_find(KvmVcpu *k, unsigned space, uint64_t addr)
{
    KvmSpace *s = &k->kvm->spaces[space];
    uint32_t version = __atomic_load_n(&s->version, __ATOMIC_ACQUIRE);
    if (version != k->seen[space]) {
        view_put(k->views[space]);
        k->views[space] = view_get(s->as);
        k->seen[space] = version;
        k->last_range[space] = NULL;
    }
    const FlatRange *range = k->last_range[space];
    if (!range || addr < range->base || addr > range->last)
        k->last_range[space] = range = view_find(k->views[space], addr);
    return range;
}

/* ---- slots ---- */

/* The whole pages of a range. False: there are none. */
static bool pages_of(const FlatRange *range, KvmSlot *slot)
{
    uint64_t base = (range->base + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1), end = (range->last + 1) & ~(PAGE_BYTES - 1);
    *slot = (KvmSlot){ .base = base, .size = end - base };
    return base < end;
}

/* Those that are memory. */
static bool slot_of(const FlatRange *range, KvmSlot *slot)
{
    if (!range->region->host || !pages_of(range, slot))
        return false;
    slot->host = range->region->host + range->offset + (slot->base - range->base);
    slot->region = range->region;
    slot->readonly = range->readonly;
    return !((uintptr_t)slot->host & (PAGE_BYTES - 1));
}

static void set_slot(KvmState *kvm, unsigned n, const KvmSlot *slot)
{
    struct kvm_userspace_memory_region region = { .slot = n,
                                                  .flags = (slot->readonly ? KVM_MEM_READONLY : 0) |
                                                           (slot->logged ? KVM_MEM_LOG_DIRTY_PAGES : 0),
                                                  .guest_phys_addr = slot->base,
                                                  .memory_size = slot->size,
                                                  .userspace_addr = (uintptr_t)slot->host };
    if (ioctl(kvm->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        g_printerr("rhea: KVM: cannot set %" PRIu64 " bytes of memory at 0x%" PRIx64 ": %s\n", slot->size, slot->base,
                   g_strerror(errno));
}

/* What the guest wrote since this was last asked: to the region's own log. */
static void sync_slot(const KvmState *kvm, unsigned n, const KvmSlot *slot)
{
    uint64_t pages = slot->size / PAGE_BYTES, offset = (uint64_t)(slot->host - slot->region->host);
    g_autofree uint64_t *bits = g_new0(uint64_t, (pages + 63) / 64);
    struct kvm_dirty_log log = { .slot = n, .dirty_bitmap = bits };
    if (ioctl(kvm->vm, KVM_GET_DIRTY_LOG, &log) < 0) { /* then anything may have been */
        mem_log_written(slot->region, offset, slot->size);
        return;
    }
    for (uint64_t word = 0; word < (pages + 63) / 64; word++) {
        for (uint64_t left = bits[word]; left; left &= left - 1)
            mem_log_written(slot->region, offset + (word * 64 + (uint64_t)__builtin_ctzll(left)) * PAGE_BYTES,
                            PAGE_BYTES);
    }
}

/* The slot at old's place, or -1. */
static int find_slot(const KvmState *kvm, const KvmSlot *old)
{
    for (guint n = 0; n < kvm->slots->len; n++) {
        const KvmSlot *slot = &g_array_index(kvm->slots, KvmSlot, n);
        if (slot->size && slot->base == old->base && slot->size == old->size)
            return (int)n;
    }
    return -1;
}

static void remove_slot(KvmState *kvm, const KvmSlot *old)
{
    int n = find_slot(kvm, old);
    if (n < 0)
        return; /* it was no memory */
    KvmSlot *slot = &g_array_index(kvm->slots, KvmSlot, n);
    if (slot->logged)
        sync_slot(kvm, (unsigned)n, slot);
    slot->size = 0;
    set_slot(kvm, (unsigned)n, slot);
}

static void add_slot(KvmState *kvm, KvmSlot *new)
{
    guint n = 0;
    new->logged = new->region->log && !new->readonly;
    while (n < kvm->slots->len && g_array_index(kvm->slots, KvmSlot, n).size)
        n++;
    if (n == kvm->most_slots) {
        g_printerr("rhea: KVM: there are more than %u pieces of memory; one at 0x%" PRIx64 " is slow\n",
                   kvm->most_slots, new->base);
        return;
    }
    if (n == kvm->slots->len)
        g_array_append_val(kvm->slots, *new);
    else
        g_array_index(kvm->slots, KvmSlot, n) = *new;
    set_slot(kvm, n, new);
}

/* ---- the listener ---- */

static KvmState *of_listener(MemListener *listener)
{
    KvmSpace *space = (KvmSpace *)listener;
    return space->as->machine->accel_state;
}

/* Its region may be gone, too: the place says which it was. */
static void slot_gone(MemListener *listener, const FlatRange *range)
{
    KvmSlot slot;
    if (pages_of(range, &slot))
        g_array_append_val(of_listener(listener)->gone, slot);
}

static void slot_came(MemListener *listener, const FlatRange *range)
{
    KvmSlot slot;
    if (slot_of(range, &slot))
        g_array_append_val(of_listener(listener)->come, slot);
}

/* ---- dirty logs ---- */

/* The flag alone may change while vCPUs run. */
static void log_changed(MemListener *listener, MemRegion *region, bool on)
{
    KvmState *kvm = of_listener(listener);
    for (guint n = 0; n < kvm->slots->len; n++) {
        KvmSlot *slot = &g_array_index(kvm->slots, KvmSlot, n);
        if (slot->size && slot->region == region && !slot->readonly) {
            slot->logged = on;
            set_slot(kvm, n, slot);
        }
    }
}

static void log_sync(MemListener *listener, MemRegion *region)
{
    KvmState *kvm = of_listener(listener);
    for (guint n = 0; n < kvm->slots->len; n++) {
        const KvmSlot *slot = &g_array_index(kvm->slots, KvmSlot, n);
        if (slot->size && slot->region == region && slot->logged)
            sync_slot(kvm, n, slot);
    }
}

static void event_added(MemListener *listener)
{
    KvmState *kvm = of_listener(listener);
    const KvmSpace *space = (KvmSpace *)listener;
    kvm_events_update(kvm, (unsigned)(space - kvm->spaces), space->as->view);
}

static void event_removed(MemListener *listener, const MemEvent *event)
{
    kvm_event_removed(of_listener(listener), event);
}

static void space_changed(MemListener *listener, FlatView *view)
{
    KvmState *kvm = of_listener(listener);
    KvmSpace *space = (KvmSpace *)listener;
    __atomic_add_fetch(&space->version, 1, __ATOMIC_RELEASE);
    kvm_events_update(kvm, (unsigned)(space - kvm->spaces), view);
    kvm_coalesced_update(kvm, (unsigned)(space - kvm->spaces), view);
}

static void settle(MemListener *listener)
{
    KvmState *kvm = of_listener(listener);
    if (kvm_coalesced_any(kvm))
        kvm_coalesced_done(kvm);
}

static void memory_changed(MemListener *listener, FlatView *view)
{
    KvmState *kvm = of_listener(listener);
    space_changed(listener, view);
    bool any = kvm->come->len;
    for (guint i = 0; i < kvm->gone->len && !any; i++)
        any = find_slot(kvm, &g_array_index(kvm->gone, KvmSlot, i)) >= 0;
    if (!any) {
        g_array_set_size(kvm->gone, 0);
        return;
    }
    kvm_hold(kvm);
    for (guint i = 0; i < kvm->gone->len; i++)
        remove_slot(kvm, &g_array_index(kvm->gone, KvmSlot, i));
    for (guint i = 0; i < kvm->come->len; i++)
        add_slot(kvm, &g_array_index(kvm->come, KvmSlot, i));
    g_array_set_size(kvm->gone, 0);
    g_array_set_size(kvm->come, 0);
    kvm_resume(kvm);
}

bool kvm_slots_init(KvmState *kvm, GError **err)
{
    Machine *machine = kvm->machine;
    int most = ioctl(kvm->vm, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
    kvm->most_slots = most > 0 ? (unsigned)most : 32;
    kvm->slots = g_array_new(FALSE, FALSE, sizeof(KvmSlot));
    kvm->gone = g_array_new(FALSE, FALSE, sizeof(KvmSlot));
    kvm->come = g_array_new(FALSE, FALSE, sizeof(KvmSlot));
    kvm->spaces[KVM_SPACE_MEMORY] = (KvmSpace){ .as = &machine->memory,
                                                .listener = { .del = slot_gone,
                                                              .add = slot_came,
                                                              .commit = memory_changed,
                                                              .settle = settle,
                                                              .log = log_changed,
                                                              .log_sync = log_sync } };
    kvm->spaces[KVM_SPACE_IO] = (KvmSpace){ .as = &machine->io, .listener = { .commit = space_changed } };
    kvm_events_init(kvm);
    kvm_coalesced_init(kvm);
    for (unsigned i = 0; i < KVM_SPACES; i++) {
        if (kvm->has_events) {
            kvm->spaces[i].listener.event_added = event_added;
            kvm->spaces[i].listener.event_removed = event_removed;
        }
        as_add_listener(kvm->spaces[i].as, &kvm->spaces[i].listener);
    }
    return true;
}

void kvm_slots_free(KvmState *kvm)
{
    if (!kvm->slots)
        return;
    for (unsigned i = 0; i < KVM_SPACES; i++)
        as_del_listener(kvm->spaces[i].as, &kvm->spaces[i].listener);
    kvm_events_free(kvm);
    kvm_coalesced_free(kvm);
    g_array_free(kvm->slots, TRUE);
    g_array_free(kvm->gone, TRUE);
    g_array_free(kvm->come, TRUE);
}
