/*
 * Memory: what the guest sees at which address.
 *
 * Regions (container, RAM, ROM, I/O, alias) form an acyclic tree; where regions overlap, the higher priority wins.
 * An AddressSpace turns its root's tree into a FlatView: sorted, disjoint, immutable, reference-counted. Changing a
 * region that is in an address space publishes a new view; listeners (soft TLBs, KVM slots) are told what went and what
 * came. memory_begin/memory_commit group changes.
 *
 * Locking: the tree is changed under the machine lock. view_get takes a leaf lock; a vCPU keeps a reference to
 * its own view and renews it when its listener tells it to. as_read/as_write/as_load/as_store may be called from any
 * thread, with or without the machine lock: the dispatcher takes it for I/O regions unless the region is lock_free.
 * A device whose DMA reaches its own registers is refused (MEM_BUSY) by the dispatcher.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_CORE_MEMORY_H
#define HW_CORE_MEMORY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct HostMemory HostMemory;
typedef struct Machine Machine;
typedef struct MemRegion MemRegion;
typedef struct AddressSpace AddressSpace;

typedef enum { MEM_CONTAINER, MEM_RAM, MEM_ROM, MEM_IO, MEM_ALIAS } MemKind;
/* What became of an access. Anything but MEM_OK is a bus error for the guest (reads give 0). */
typedef enum { MEM_OK, MEM_UNMAPPED, MEM_REFUSED, MEM_BUSY } MemResult;

typedef struct MemOps {
    uint64_t (*read)(void *opaque, uint64_t offset, unsigned size);
    void (*write)(void *opaque, uint64_t offset, uint64_t value, unsigned size);
    uint8_t min_size, max_size; /* access sizes the region takes, else MEM_REFUSED (0: 1 and 8) */
    /* Sizes that read and write implement; the core splits greater ones, and makes smaller ones a read (and write) of
     * impl_min bytes (0: as above). */
    uint8_t impl_min, impl_max;
    bool big_endian;
    bool unaligned; /* takes accesses that are not size-aligned, else MEM_REFUSED */
    bool lock_free; /* called without the machine lock */
} MemOps;

/* A write of size bytes (0: of any size) at offset, of this value if match: counts in fd, an eventfd. */
typedef struct MemEvent {
    uint64_t offset, value;
    unsigned size;
    bool match;
    int fd;
    MemRegion *region; /* the core's: where it is registered, or NULL */
} MemEvent;

/* A part of an I/O region that takes writes late: nothing but what the device shows comes of them, and nobody reads
 * that without an access of a vCPU or memory_settle. */
typedef struct MemAside {
    uint64_t offset, size;
} MemAside;

/* Per-page flags of RAM: why a store must not go the fast way. */
enum {
    RAM_CODE = 1,          /* translated code was made from it */
    RAM_DIRTY_TRACKED = 2, /* a dirty log has given it out as clean */
    RAM_FAST_WRITES = 4,   /* some soft TLB may have a write entry for it */
};
#define RAM_PAGE_BITS 12

struct MemRegion {
    char *name;
    MemKind kind;
    uint64_t size; /* bytes; UINT64_MAX means 2^64 */
    Machine *machine;
    const MemOps *ops;                              /* MEM_IO; a MEM_ROM with ops hands writes to ops->write (flash) */
    uint8_t min_size, max_size, impl_min, impl_max; /* ops's, with what its zeros mean */
    void *opaque;
    uint8_t *host;         /* RAM, ROM: host memory */
    uint64_t ram_addr;     /* RAM, ROM: unique page-aligned offset in the machine's RAM space: the key of code units */
    bool shared;           /* RAM: its host memory is */
    uint8_t *page_flags;   /* RAM: RAM_* by page, atomic bytes */
    GSList *events;        /* I/O: MemEvent * */
    const MemAside *aside; /* I/O: ends with a size of 0; or NULL (set before it is placed) */
    uint8_t *log;          /* RAM: it has a dirty log: by page, whether it is to be given out again (memory_log.c) */
    MemRegion *alias;      /* MEM_ALIAS: target and */
    uint64_t alias_offset; /* offset in it */
    bool readonly;         /* MEM_ALIAS: its RAM is seen as ROM (set before it is placed) */
    /* place in the tree */
    MemRegion *parent;
    uint64_t addr;
    int priority;
    bool enabled;
    GSList *children;     /* sorted by priority, highest first */
    unsigned dispatching; /* accesses under way (machine lock): refuses re-entry */
    void *owned;          /* freed with the region, or NULL */
    AddressSpace *root_of;
};

/* One range of a flat view: [base, base + size - 1]; last is inclusive so that 2^64 fits. */
typedef struct FlatRange {
    uint64_t base, last;
    MemRegion *region; /* never an alias or container */
    uint64_t offset;   /* of base in region */
    bool readonly;
} FlatRange;

typedef struct FlatView {
    int refs;
    unsigned count;
    FlatRange ranges[];
} FlatView;

typedef struct MemListener {
    /* Machine lock held. Ranges removed, then added, then commit with the new view. Any may be NULL. */
    void (*del)(struct MemListener *listener, const FlatRange *range);
    void (*add)(struct MemListener *listener, const FlatRange *range);
    void (*commit)(struct MemListener *listener, FlatView *view);
    /* The same, for dirty logs: a region's begins or ends; call mem_log_written for what the guest wrote unseen; a page
     * was given out as clean that had RAM_FAST_WRITES: forget write entries, soon; has all that was asked for been
     * forgotten? */
    void (*log)(struct MemListener *listener, MemRegion *region, bool on);
    void (*log_sync)(struct MemListener *listener, MemRegion *region);
    void (*log_page)(struct MemListener *listener, MemRegion *region, uint64_t offset);
    bool (*log_settled)(struct MemListener *listener);
    /* The same: do what was put aside. */
    void (*settle)(struct MemListener *listener);
    /* The same: some region in the present view has one event more; this one is no more (and its fd is still open). */
    void (*event_added)(struct MemListener *listener);
    void (*event_removed)(struct MemListener *listener, const MemEvent *event);
} MemListener;

struct AddressSpace {
    char *name;
    Machine *machine;
    MemRegion *root;
    GMutex lock; /* leaf: guards view */
    FlatView *view;
    GSList *listeners;
    /* Its listeners hear of this one's new views as well (commit, with their own space's view); NULL: nobody else. */
    struct AddressSpace *told;
};

/* ---- building (machine lock, or before the machine runs). name is copied; regions are embedded in their devices. ----
 */
void mem_container_init(MemRegion *region, Machine *machine, const char *name, uint64_t size);
/* Zeroed host memory of size bytes (a multiple of the page size). False and *err if the host has not that much. */
bool mem_ram_init(MemRegion *region, Machine *machine, const char *name, uint64_t size, GError **err);
/* The same from memory of the command line's (-object): all of it. */
bool mem_ram_init_backed(MemRegion *region, Machine *machine, const char *name, const HostMemory *memory, GError **err);
/* ROM: as RAM for reads; writes go to ops->write if ops is given, else they are ignored. */
bool mem_rom_init(MemRegion *region, Machine *machine, const char *name, uint64_t size, const MemOps *ops, void *opaque,
                  GError **err);
void mem_io_init(MemRegion *region, Machine *machine, const char *name, uint64_t size, const MemOps *ops, void *opaque);
void mem_alias_init(MemRegion *region, Machine *machine, const char *name, MemRegion *target, uint64_t offset,
                    uint64_t size);
/* Takes it and its aliases out of their trees; its children are on their own afterwards. Host memory is freed
 * when listeners have been told: at the end of the transaction, if one is under way. */
void mem_destroy(MemRegion *region);
void mem_add(MemRegion *parent, uint64_t addr, MemRegion *child, int priority);
void mem_del(MemRegion *child); /* nothing happens if it is in no tree */
void mem_set_enabled(MemRegion *region, bool enabled);
void mem_set_addr(MemRegion *region, uint64_t addr);
void memory_begin(Machine *machine);
void memory_commit(Machine *machine);

/* ---- address spaces ---- */
void as_init(AddressSpace *as, Machine *machine, MemRegion *root, const char *name);
void as_destroy(AddressSpace *as);
void as_add_listener(AddressSpace *as, MemListener *listener); /* replays the present view to add and commit */
void as_del_listener(AddressSpace *as, MemListener *listener);
FlatView *view_get(AddressSpace *as); /* a new reference */
void view_put(FlatView *view);
/* The range that holds addr, or NULL. */
const FlatRange *view_find(const FlatView *view, uint64_t addr);

/* ---- accesses. Addresses and lengths of any value are safe. ---- */
MemResult as_read(AddressSpace *as, uint64_t addr, void *buf, uint64_t len);
MemResult as_write(AddressSpace *as, uint64_t addr, const void *buf, uint64_t len);
/* One access of 1, 2, 4 or 8 bytes, little-endian value. */
MemResult as_load(AddressSpace *as, uint64_t addr, unsigned size, uint64_t *value);
MemResult as_store(AddressSpace *as, uint64_t addr, unsigned size, uint64_t value);
/* The same on a range already found; addr must lie in it. For the accelerators. */
MemResult range_load(const FlatRange *range, uint64_t addr, unsigned size, uint64_t *value);
MemResult range_store(const FlatRange *range, uint64_t addr, unsigned size, uint64_t value);
/* Host memory for [addr, addr + *len): RAM only; *len is cut to what is contiguous. NULL if addr is not RAM, or is
 * read-only and write is set. Call as_unmap with the bytes written: it does what stores do (code invalidation, dirty
 * log). */
void *as_map(AddressSpace *as, uint64_t addr, uint64_t *len, bool write);
void as_unmap(AddressSpace *as, void *host, uint64_t written);
/* Write to RAM or ROM alike (loaders). False and *err if some byte has no RAM or ROM. */
bool as_load_image(AddressSpace *as, uint64_t addr, const void *data, uint64_t len, GError **err);

/* ---- RAM pages with flags ---- */
/* Host memory at ram_addr, or NULL. */
void *ram_host(Machine *machine, uint64_t ram_addr, MemRegion **region);
/* The guest does without these bytes (rounded inwards to pages) until it uses them again: their memory goes back to the
 * host, they hold anything then. host is as_map's; what is no RAM of the machine is left alone. */
void ram_discard(Machine *machine, void *host, uint64_t len);
/* Called after RAM was written other than by a fast guest store: calls the accelerator where RAM_CODE is set. */
void ram_written(MemRegion *region, uint64_t offset, uint64_t len);
/* ---- events (memory_event.c). Machine lock held. ---- */
/* Does the accelerator turn writes into events? Else nothing comes of them. */
bool mem_events_work(Machine *machine);
/* event stays the caller's. The region's ops->write still gets what is not caught, and all where they do not work. */
void mem_add_event(MemRegion *region, MemEvent *event);
/* Before its fd is closed and its region destroyed. Nothing happens if it is not registered. */
void mem_del_event(MemEvent *event);

/* Writes that the accelerator has put aside (MemRegion.aside) are done on return. Machine lock held. */
void memory_settle(Machine *machine);

/* ---- dirty logs of RAM (memory_log.c). Machine lock held but for mem_log_written. ---- */
/* Begin; all pages are dirty. Nothing happens where there is one. It ends with the region. */
void mem_log_start(MemRegion *region);
void mem_log_stop(MemRegion *region);
/* dirty[i]: the page of offset, and i behind it, was written since the last call, or may have been. They are clean
 * from now on: read them after this. False: all were clean. */
bool mem_log_take(MemRegion *region, uint64_t offset, uint64_t len, uint8_t *dirty);
/* These bytes were written. Any thread. */
void mem_log_written(MemRegion *region, uint64_t offset, uint64_t len);
/* The tree and flat views as "info mtree" prints them. Free with g_free. */
char *memory_describe(Machine *machine);

#endif
