/*
 * Memory: events: writes of the guest that an accelerator turns into a count in an eventfd, without the vCPU's leaving
 * the guest for long. Who registers one must also take the write the usual way: not every accelerator can, and not
 * every access is one that it watches.
 * SPDX-License-Identifier: MIT
 */
#include "hw/core/machine.h"
#include "hw/core/memory.h"
#include <string.h>

/* Of all address spaces' listeners, those that take events; fn may be NULL. Are there any? */
static bool each(Machine *machine, void (*fn)(MemListener *listener, void *opaque), void *opaque)
{
    bool any = false;
    for (unsigned i = 0; i < machine->address_spaces->len; i++) {
        const AddressSpace *as = g_ptr_array_index(machine->address_spaces, i);
        for (GSList *link = as->listeners; link; link = link->next) {
            MemListener *listener = link->data;
            if (!listener->event_added)
                continue;
            any = true;
            if (fn)
                fn(listener, opaque);
        }
    }
    return any;
}

bool mem_events_work(Machine *machine)
{
    return each(machine, NULL, NULL);
}

static void added(MemListener *listener, void *opaque)
{
    listener->event_added(listener);
}

static void removed(MemListener *listener, void *event)
{
    listener->event_removed(listener, event);
}

void mem_add_event(MemRegion *region, MemEvent *event)
{
    event->region = region;
    region->events = g_slist_prepend(region->events, event);
    each(region->machine, added, NULL);
}

void mem_del_event(MemEvent *event)
{
    MemRegion *region = event->region;
    if (!region)
        return;
    region->events = g_slist_remove(region->events, event);
    event->region = NULL;
    each(region->machine, removed, event);
}
