/*
 * Memory: the region tree, and the flat views made from it.
 *
 * A view is made in one sweep: the tree is walked in order of precedence, which gives each region's ranges a rank; then
 * the ranges, sorted by address, pass a heap that tells at each point which of those alive has the best rank. That is
 * O(n log n), whatever overlaps.
 * SPDX-License-Identifier: MIT
 */
#include "hw/core/memory.h"
#include "hw/core/hostmem.h"
#include "hw/core/machine.h"
#include "util/error.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM_ALIGN ((uint64_t)2 << 20) /* of ram_addr and host memory: huge pages on both sides */

static uint64_t region_last(const MemRegion *region)
{
    return region->size == UINT64_MAX ? UINT64_MAX : region->size - 1;
}

/* ---- making a view ---- */

/* A region's visible part, [base, last], before others cover it. */
typedef struct Piece {
    FlatRange range;
    unsigned rank; /* 0: wins over all */
} Piece;

typedef __int128 WideAddr; /* where an alias puts the start of its target may be below zero */

/* Append the pieces of region, whose offset 0 is at start, within [lo, hi]; in order of precedence. */
static void region_collect(MemRegion *region, WideAddr start, WideAddr lo, WideAddr hi, bool readonly, GArray *pieces)
{
    if (!region->enabled || !region->size)
        return;
    lo = MAX(lo, start);
    hi = MIN(hi, start + region_last(region));
    if (lo > hi)
        return;
    if (region->kind == MEM_ALIAS) {
        region_collect(region->alias, start - region->alias_offset, lo, hi, readonly || region->readonly, pieces);
        return;
    }
    for (GSList *link = region->children; link; link = link->next) {
        MemRegion *child = link->data;
        region_collect(child, start + child->addr, lo, hi, readonly, pieces);
    }
    if (region->kind == MEM_CONTAINER)
        return;
    Piece piece = { .range = { .base = lo,
                               .last = hi,
                               .region = region,
                               .offset = lo - start,
                               .readonly = readonly || region->kind == MEM_ROM },
                    .rank = pieces->len };
    g_array_append_val(pieces, piece);
}

static int piece_compare(const void *a, const void *b)
{
    const Piece *x = a, *y = b;
    if (x->range.base != y->range.base)
        return x->range.base < y->range.base ? -1 : 1;
    return x->rank < y->rank ? -1 : 1;
}

/* ---- heap of live pieces: best rank on top ---- */

static void heap_push(Piece **heap, unsigned *count, Piece *piece)
{
    unsigned i = ++*count;
    for (; i > 1 && heap[i / 2]->rank > piece->rank; i /= 2)
        heap[i] = heap[i / 2];
    heap[i] = piece;
}

static void heap_pop(Piece **heap, unsigned *count)
{
    Piece *moved = heap[(*count)--];
    unsigned i = 1;
    for (unsigned below; (below = i * 2) <= *count; i = below) {
        below += below < *count && heap[below + 1]->rank < heap[below]->rank;
        if (moved->rank <= heap[below]->rank)
            break;
        heap[i] = heap[below];
    }
    heap[i] = moved;
}

/* Append [from, to] of what piece shows; it grows the range before it if it goes on there. */
static void view_append(GArray *ranges, const Piece *piece, uint64_t from, uint64_t to)
{
    FlatRange range = piece->range;
    range.offset += from - range.base;
    range.base = from;
    range.last = to;
    FlatRange *before = ranges->len ? &g_array_index(ranges, FlatRange, ranges->len - 1) : NULL;
    if (before && before->region == range.region && before->readonly == range.readonly && before->last + 1 == from &&
        before->offset + (from - before->base) == range.offset)
        before->last = to;
    else
        g_array_append_val(ranges, range);
}

static void view_sweep(GArray *pieces, GArray *ranges)
{
    g_autofree Piece **heap = g_new(Piece *, pieces->len + 1);
    unsigned alive = 0, next = 0;
    uint64_t at = 0;
    while (alive || next < pieces->len) {
        if (!alive)
            at = MAX(at, g_array_index(pieces, Piece, next).range.base);
        for (; next < pieces->len && g_array_index(pieces, Piece, next).range.base <= at; next++)
            heap_push(heap, &alive, &g_array_index(pieces, Piece, next));
        while (alive && heap[1]->range.last < at)
            heap_pop(heap, &alive);
        if (!alive)
            continue;
        uint64_t to = heap[1]->range.last;
        if (next < pieces->len)
            to = MIN(to, g_array_index(pieces, Piece, next).range.base - 1);
        view_append(ranges, heap[1], at, to);
        if (to == UINT64_MAX)
            break;
        at = to + 1;
    }
}

static FlatView *view_make(MemRegion *root)
{
    g_autoptr(GArray) pieces = g_array_new(FALSE, FALSE, sizeof(Piece));
    g_autoptr(GArray) ranges = g_array_new(FALSE, FALSE, sizeof(FlatRange));
    region_collect(root, 0, 0, UINT64_MAX, false, pieces);
    if (pieces->len)
        qsort(pieces->data, pieces->len, sizeof(Piece), piece_compare);
    view_sweep(pieces, ranges);
    FlatView *view = g_malloc(sizeof(FlatView) + ranges->len * sizeof(FlatRange));
    view->refs = 1;
    view->count = ranges->len;
    if (ranges->len)
        memcpy(view->ranges, ranges->data, ranges->len * sizeof(FlatRange));
    return view;
}

FlatView *view_get(AddressSpace *as)
{
    g_mutex_lock(&as->lock);
    FlatView *view = as->view;
    __atomic_add_fetch(&view->refs, 1, __ATOMIC_RELAXED);
    g_mutex_unlock(&as->lock);
    return view;
}

void view_put(FlatView *view)
{
    if (view && !__atomic_sub_fetch(&view->refs, 1, __ATOMIC_ACQ_REL))
        g_free(view);
}

const FlatRange *view_find(const FlatView *view, uint64_t addr)
{
    unsigned low = 0, high = view->count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (view->ranges[middle].last < addr)
            low = middle + 1;
        else
            high = middle;
    }
    return low < view->count && view->ranges[low].base <= addr ? &view->ranges[low] : NULL;
}

/* ---- publishing ---- */

static bool range_equal(const FlatRange *a, const FlatRange *b)
{
    return a->base == b->base && a->last == b->last && a->region == b->region && a->offset == b->offset &&
           a->readonly == b->readonly;
}

/* Call fn of each listener for the ranges of a that are not in b. */
static void view_differ(AddressSpace *as, const FlatView *a, const FlatView *b, bool adding)
{
    for (unsigned i = 0, j = 0; i < a->count; i++) {
        while (j < b->count && b->ranges[j].base < a->ranges[i].base)
            j++;
        if (j < b->count && range_equal(&a->ranges[i], &b->ranges[j]))
            continue;
        for (GSList *link = as->listeners; link; link = link->next) {
            MemListener *listener = link->data;
            void (*fn)(MemListener *, const FlatRange *) = adding ? listener->add : listener->del;
            if (fn)
                fn(listener, &a->ranges[i]);
        }
    }
}

static bool view_equal(const FlatView *a, const FlatView *b)
{
    if (a->count != b->count)
        return false;
    for (unsigned i = 0; i < a->count; i++) {
        if (!range_equal(&a->ranges[i], &b->ranges[i]))
            return false;
    }
    return true;
}

static void tell(AddressSpace *as)
{
    for (GSList *link = as->listeners; link; link = link->next) {
        MemListener *listener = link->data;
        if (listener->commit)
            listener->commit(listener, as->view);
    }
}

static void as_update(AddressSpace *as)
{
    FlatView *old = as->view, *view = view_make(as->root);
    if (view_equal(old, view)) {
        view_put(view);
        return;
    }
    g_mutex_lock(&as->lock);
    as->view = view;
    g_mutex_unlock(&as->lock);
    view_differ(as, old, view, false);
    view_differ(as, view, old, true);
    tell(as);
    if (as->told)
        tell(as->told);
    view_put(old);
}

void memory_settle(Machine *machine)
{
    for (GSList *link = machine->memory.listeners; link; link = link->next) {
        MemListener *listener = link->data;
        if (listener->settle)
            listener->settle(listener);
    }
}

/* ---- host memory that goes ---- */

/* Of a region that was destroyed within a transaction: until its end vCPUs may write there. */
typedef struct OldMemory {
    uint8_t *host;
    uint64_t size;
    uint8_t *page_flags;
} OldMemory;

static void old_memory_free(OldMemory *old)
{
    munmap(old->host, old->size);
    g_free(old->page_flags);
    g_free(old);
}

static void free_old_memories(Machine *machine)
{
    g_slist_free_full(g_steal_pointer(&machine->old_memories), (GDestroyNotify)old_memory_free);
}

static void give_up_host(MemRegion *region)
{
    Machine *machine = region->machine;
    OldMemory *old = g_new(OldMemory, 1);
    *old = (OldMemory){ region->host, region->size, region->page_flags };
    g_ptr_array_remove(machine->rams, region);
    machine->old_memories = g_slist_prepend(machine->old_memories, old);
    if (!machine->memory_depth)
        free_old_memories(machine);
}

/* ---- transactions ---- */

void memory_begin(Machine *machine)
{
    machine->memory_depth++;
}

void memory_commit(Machine *machine)
{
    g_assert(machine->memory_depth);
    if (--machine->memory_depth)
        return;
    bool changed = machine->memory_changed;
    machine->memory_changed = false;
    for (unsigned i = 0; changed && i < machine->address_spaces->len; i++)
        as_update(g_ptr_array_index(machine->address_spaces, i));
    free_old_memories(machine);
}

static void region_changed(MemRegion *region)
{
    memory_begin(region->machine);
    region->machine->memory_changed = true;
    memory_commit(region->machine);
}

/* ---- regions ---- */

static void region_init(MemRegion *region, Machine *machine, const char *name, MemKind kind, uint64_t size)
{
    *region = (MemRegion){ .name = g_strdup(name), .kind = kind, .size = size, .machine = machine, .enabled = true };
    g_hash_table_add(machine->regions, region);
}

static void region_set_ops(MemRegion *region, const MemOps *ops, void *opaque)
{
    region->ops = ops;
    region->opaque = opaque;
    if (!ops)
        return;
    region->min_size = ops->min_size ? ops->min_size : 1;
    region->max_size = ops->max_size ? ops->max_size : 8;
    region->impl_min = ops->impl_min ? ops->impl_min : region->min_size;
    region->impl_max = ops->impl_max ? ops->impl_max : region->max_size;
}

void mem_container_init(MemRegion *region, Machine *machine, const char *name, uint64_t size)
{
    region_init(region, machine, name, MEM_CONTAINER, size);
}

void mem_io_init(MemRegion *region, Machine *machine, const char *name, uint64_t size, const MemOps *ops, void *opaque)
{
    region_init(region, machine, name, MEM_IO, size);
    region_set_ops(region, ops, opaque);
}

void mem_alias_init(MemRegion *region, Machine *machine, const char *name, MemRegion *target, uint64_t offset,
                    uint64_t size)
{
    region_init(region, machine, name, MEM_ALIAS, size);
    region->alias = target;
    region->alias_offset = offset;
}

/* Host memory, aligned for huge pages: of an object, or else zeroed. NULL and errno if there is none. */
static void *host_memory(uint64_t size, const HostMemory *memory)
{
    if (size > INT64_MAX - RAM_ALIGN) {
        errno = ENOMEM;
        return NULL;
    }
    bool share = memory && memory->share;
    int flags = share ? MAP_SHARED : MAP_PRIVATE | MAP_NORESERVE, fd = memory ? memory->fd : -1;
    uint8_t *mem = mmap(NULL, size + RAM_ALIGN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED)
        return NULL;
    size_t head = -(uintptr_t)mem & (RAM_ALIGN - 1);
    if (head)
        munmap(mem, head);
    mem += head;
    munmap(mem + size, RAM_ALIGN - head);
    if (mmap(mem, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0) != mem ||
        (memory && memory->prealloc && madvise(mem, size, MADV_POPULATE_WRITE))) {
        int error = errno;
        munmap(mem, size);
        errno = error;
        return NULL;
    }
    if (size >= RAM_ALIGN)
        madvise(mem, size, MADV_HUGEPAGE); /* without it: slower, not wrong */
    madvise(mem, size, MADV_DONTDUMP);
    return mem;
}

static bool region_init_host(MemRegion *region, Machine *machine, const char *name, MemKind kind, uint64_t size,
                             const HostMemory *memory, GError **err)
{
    uint64_t page = UINT64_C(1) << RAM_PAGE_BITS;
    g_assert(size && !(size & (page - 1)));
    void *host = host_memory(size, memory);
    if (!host) {
        g_autofree char *text = g_format_size_full(size, G_FORMAT_SIZE_IEC_UNITS);
        return error_set_errno(err, errno, "cannot have %s of host memory for '%s'", text, name);
    }
    region_init(region, machine, name, kind, size);
    region->host = host;
    region->shared = memory && memory->share;
    region->page_flags = g_malloc0(size >> RAM_PAGE_BITS);
    region->ram_addr = machine->next_ram_addr;
    machine->next_ram_addr += (size + RAM_ALIGN - 1) & ~(RAM_ALIGN - 1);
    g_ptr_array_add(machine->rams, region);
    return true;
}

bool mem_ram_init(MemRegion *region, Machine *machine, const char *name, uint64_t size, GError **err)
{
    return region_init_host(region, machine, name, MEM_RAM, size, NULL, err);
}

bool mem_ram_init_backed(MemRegion *region, Machine *machine, const char *name, const HostMemory *memory, GError **err)
{
    return region_init_host(region, machine, name, MEM_RAM, memory->size, memory, err);
}

void ram_discard(Machine *machine, void *host, uint64_t len)
{
    const uint64_t page = sysconf(_SC_PAGESIZE);
    for (unsigned i = 0; i < machine->rams->len; i++) {
        MemRegion *ram = g_ptr_array_index(machine->rams, i);
        uint64_t offset = (uintptr_t)host - (uintptr_t)ram->host;
        if (ram->kind != MEM_RAM || offset >= ram->size)
            continue;
        uint64_t first = (offset + page - 1) & ~(page - 1), end = (offset + MIN(len, ram->size - offset)) & ~(page - 1);
        if (first < end && !madvise(ram->host + first, end - first, ram->shared ? MADV_REMOVE : MADV_DONTNEED))
            ram_written(ram, first, end - first);
        return;
    }
}

bool mem_rom_init(MemRegion *region, Machine *machine, const char *name, uint64_t size, const MemOps *ops, void *opaque,
                  GError **err)
{
    if (!region_init_host(region, machine, name, MEM_ROM, size, NULL, err))
        return false;
    region_set_ops(region, ops, opaque);
    return true;
}

/* What shows this region elsewhere has nothing to show any more. */
static void remove_aliases(const MemRegion *region)
{
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, region->machine->regions);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        MemRegion *other = key;
        if (other->kind == MEM_ALIAS && other->alias == region)
            mem_del(other);
    }
}

void mem_destroy(MemRegion *region)
{
    if (!region->machine)
        return; /* never initialised, or destroyed already */
    g_assert(!region->events);
    mem_log_stop(region);
    mem_del(region);
    remove_aliases(region);
    while (region->children)
        mem_del(region->children->data);
    g_hash_table_remove(region->machine->regions, region);
    if (region->host)
        give_up_host(region);
    g_free(region->owned);
    g_free(region->name);
    memset(region, 0, sizeof(*region));
}

/* Among children of one priority the newest comes first. */
void mem_add(MemRegion *parent, uint64_t addr, MemRegion *child, int priority)
{
    g_assert(!child->parent && parent->kind != MEM_ALIAS);
    child->parent = parent;
    child->addr = addr;
    child->priority = priority;
    GSList **link = &parent->children;
    while (*link && ((MemRegion *)(*link)->data)->priority > priority)
        link = &(*link)->next;
    *link = g_slist_prepend(*link, child);
    region_changed(child);
}

void mem_del(MemRegion *child)
{
    if (!child->parent)
        return;
    child->parent->children = g_slist_remove(child->parent->children, child);
    child->parent = NULL;
    region_changed(child);
}

void mem_set_enabled(MemRegion *region, bool enabled)
{
    if (region->enabled == enabled)
        return;
    region->enabled = enabled;
    region_changed(region);
}

void mem_set_addr(MemRegion *region, uint64_t addr)
{
    if (region->addr == addr)
        return;
    region->addr = addr;
    region_changed(region);
}

/* ---- address spaces ---- */

void as_init(AddressSpace *as, Machine *machine, MemRegion *root, const char *name)
{
    *as = (AddressSpace){ .name = g_strdup(name), .machine = machine, .root = root };
    g_mutex_init(&as->lock);
    as->view = view_make(root);
    root->root_of = as;
    g_ptr_array_add(machine->address_spaces, as);
}

void as_destroy(AddressSpace *as)
{
    if (!as->machine)
        return;
    g_ptr_array_remove(as->machine->address_spaces, as);
    as->root->root_of = NULL;
    g_slist_free(as->listeners);
    view_put(as->view);
    g_mutex_clear(&as->lock);
    g_free(as->name);
    memset(as, 0, sizeof(*as));
}

void as_add_listener(AddressSpace *as, MemListener *listener)
{
    as->listeners = g_slist_append(as->listeners, listener);
    for (unsigned i = 0; listener->add && i < as->view->count; i++)
        listener->add(listener, &as->view->ranges[i]);
    if (listener->commit)
        listener->commit(listener, as->view);
}

void as_del_listener(AddressSpace *as, MemListener *listener)
{
    as->listeners = g_slist_remove(as->listeners, listener);
}

/* ---- info mtree ---- */

static const char *kind_name(MemKind kind)
{
    static const char *const names[] = { "container", "ram", "rom", "i/o", "alias" };
    return names[kind];
}

static void region_describe(const MemRegion *region, uint64_t base, unsigned depth, GString *out)
{
    uint64_t last = region->size ? base + region_last(region) : base;
    g_string_append_printf(out, "%*s%016" PRIx64 "-%016" PRIx64 " (prio %d, %s): ", depth * 2, "", base, last,
                           region->priority, kind_name(region->kind));
    if (region->alias)
        g_string_append_printf(out, "%s @%s %016" PRIx64 "-%016" PRIx64, region->name, region->alias->name,
                               region->alias_offset, region->alias_offset + region_last(region));
    else
        g_string_append(out, region->name);
    g_string_append(out, region->enabled ? "\n" : " [disabled]\n");
    for (GSList *link = region->children; link; link = link->next) {
        const MemRegion *child = link->data;
        region_describe(child, base + child->addr, depth + 1, out);
    }
}

static void view_describe(const FlatView *view, GString *out)
{
    for (unsigned i = 0; i < view->count; i++) {
        const FlatRange *range = &view->ranges[i];
        g_string_append_printf(out, "  %016" PRIx64 "-%016" PRIx64 " (%s): %s", range->base, range->last,
                               kind_name(range->region->kind), range->region->name);
        if (range->offset)
            g_string_append_printf(out, " @%016" PRIx64, range->offset);
        g_string_append_c(out, '\n');
    }
}

char *memory_describe(Machine *machine)
{
    GString *out = g_string_new(NULL);
    for (unsigned i = 0; i < machine->address_spaces->len; i++) {
        const AddressSpace *as = g_ptr_array_index(machine->address_spaces, i);
        g_string_append_printf(out, "address-space: %s\n", as->name);
        region_describe(as->root, 0, 1, out);
        g_string_append_printf(out, "flat view of %s\n", as->name);
        view_describe(as->view, out);
        g_string_append_c(out, '\n');
    }
    return g_string_free(out, FALSE);
}
