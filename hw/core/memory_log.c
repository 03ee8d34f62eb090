/*
 * Memory: dirty logs: which pages of a region were written since somebody last asked. Where nothing is written, nothing
 * costs anything; a page that is written costs one slow store for each time that it was asked about.
 *
 * RAM_DIRTY_TRACKED says that a page is clean: who writes to it takes the flag away (ram_written, the soft TLB's slow
 * side). What writes past that is told by listeners: KVM's log; and soft TLBs whose entries for the page are revoked,
 * not at once: until all have done so (log_settled), the page is given out again.
 * SPDX-License-Identifier: MIT
 */
#include "hw/core/machine.h"
#include "hw/core/memory.h"

#define PAGE_BYTES (UINT64_C(1) << RAM_PAGE_BITS)

/* The next of all address spaces' listeners: as for (it = { 0 }; next(...);). */
typedef struct Iterator {
    unsigned space;
    GSList *link;
} Iterator;

static MemListener *next(Machine *machine, Iterator *it)
{
    it->link = it->link ? it->link->next : NULL;
    while (!it->link && it->space < machine->address_spaces->len)
        it->link = ((AddressSpace *)g_ptr_array_index(machine->address_spaces, it->space++))->listeners;
    return it->link ? it->link->data : NULL;
}

static void tell(MemRegion *region, bool on)
{
    MemListener *listener;
    for (Iterator it = { 0 }; (listener = next(region->machine, &it));) {
        if (listener->log)
            listener->log(listener, region, on);
    }
}

void mem_log_start(MemRegion *region)
{
    g_assert(region->host);
    if (region->log)
        return;
    region->log = g_malloc0(region->size >> RAM_PAGE_BITS);
    tell(region, true);
}

void mem_log_stop(MemRegion *region)
{
    if (!region->log)
        return;
    tell(region, false);
    for (uint64_t page = 0; page < region->size >> RAM_PAGE_BITS; page++)
        __atomic_fetch_and(&region->page_flags[page], (uint8_t)~RAM_DIRTY_TRACKED, __ATOMIC_SEQ_CST);
    g_clear_pointer(&region->log, g_free);
}

void mem_log_written(MemRegion *region, uint64_t offset, uint64_t len)
{
    for (uint64_t page = offset >> RAM_PAGE_BITS; len && page <= (offset + len - 1) >> RAM_PAGE_BITS; page++) {
        if (__atomic_load_n(&region->page_flags[page], __ATOMIC_RELAXED) & RAM_DIRTY_TRACKED)
            __atomic_fetch_and(&region->page_flags[page], (uint8_t)~RAM_DIRTY_TRACKED, __ATOMIC_SEQ_CST);
    }
}

/* It is clean from now on, but for entries of soft TLBs. True: there may be such. */
static bool track(MemRegion *region, uint64_t page)
{
    MemListener *listener;
    uint8_t *flags = &region->page_flags[page];
    if (!(__atomic_fetch_or(flags, RAM_DIRTY_TRACKED, __ATOMIC_SEQ_CST) & RAM_FAST_WRITES))
        return false;
    __atomic_fetch_and(flags, (uint8_t)~RAM_FAST_WRITES, __ATOMIC_SEQ_CST);
    for (Iterator it = { 0 }; (listener = next(region->machine, &it));) {
        if (listener->log_page)
            listener->log_page(listener, region, page << RAM_PAGE_BITS);
    }
    return true;
}

/* Bring in what writes past the flags. True: no soft TLB has an entry that it should not have. */
static bool sync_listeners(MemRegion *region)
{
    MemListener *listener;
    bool settled = true;
    for (Iterator it = { 0 }; (listener = next(region->machine, &it));) {
        if (listener->log_sync)
            listener->log_sync(listener, region);
        settled = settled && (!listener->log_settled || listener->log_settled(listener));
    }
    return settled;
}

bool mem_log_take(MemRegion *region, uint64_t offset, uint64_t len, uint8_t *dirty)
{
    bool any = false, settled = sync_listeners(region);
    uint64_t first = offset >> RAM_PAGE_BITS, end = MIN(offset + len + PAGE_BYTES - 1, region->size) >> RAM_PAGE_BITS;
    g_assert(region->log);
    for (uint64_t page = first; page < end; page++) {
        bool again = region->log[page];
        bool clean = __atomic_load_n(&region->page_flags[page], __ATOMIC_SEQ_CST) & RAM_DIRTY_TRACKED;
        if (settled)
            region->log[page] = 0;
        if (!clean && track(region, page))
            region->log[page] = 1;
        dirty[page - first] = !clean || again;
        any = any || dirty[page - first];
    }
    return any;
}
