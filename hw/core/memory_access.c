/*
 * Memory: accesses. One access goes to RAM directly or to a region's functions (range_load, range_store); longer ones
 * are cut into such.
 * SPDX-License-Identifier: MIT
 */
#include "accel/accel.h"
#include "hw/core/machine.h"
#include "hw/core/memory.h"
#include "hw/core/ram_access.h"
#include "util/error.h"
#include <inttypes.h>
#include <string.h>

/* ---- RAM ---- */

void ram_written(MemRegion *region, uint64_t offset, uint64_t len)
{
    if (!len || !region->page_flags)
        return;
    uint64_t page = offset >> RAM_PAGE_BITS, last = (offset + len - 1) >> RAM_PAGE_BITS;
    /* The write must be seen before the flag is read: the translator sets the flag, then reads the code. A locked
     * operation orders the two on every host. */
    uint8_t flags = __atomic_fetch_or(&region->page_flags[page], 0, __ATOMIC_SEQ_CST);
    while (page < last)
        flags |= __atomic_load_n(&region->page_flags[++page], __ATOMIC_RELAXED);
    const AccelType *accel = region->machine->accel;
    if (flags & RAM_DIRTY_TRACKED)
        mem_log_written(region, offset, len);
    if ((flags & RAM_CODE) && accel && accel->ram_written)
        accel->ram_written(region->machine, region->ram_addr + offset, len);
}

void *ram_host(Machine *machine, uint64_t ram_addr, MemRegion **region)
{
    unsigned low = 0, high = machine->rams->len;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        MemRegion *ram = g_ptr_array_index(machine->rams, middle);
        if (ram_addr < ram->ram_addr) {
            high = middle;
        } else if (ram_addr - ram->ram_addr >= ram->size) {
            low = middle + 1;
        } else {
            if (region)
                *region = ram;
            return ram->host + (ram_addr - ram->ram_addr);
        }
    }
    return NULL;
}

/* ---- I/O ---- */

static uint64_t swap_bytes(uint64_t value, unsigned size)
{
    return GUINT64_SWAP_LE_BE(value) >> (64 - 8 * size);
}

static uint64_t size_mask(unsigned size)
{
    return size >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * size)) - 1;
}

static uint64_t io_read_once(const MemRegion *region, uint64_t offset, unsigned size)
{
    uint64_t value = region->ops->read(region->opaque, offset, size) & size_mask(size);
    return region->ops->big_endian ? swap_bytes(value, size) : value;
}

static void io_write_once(const MemRegion *region, uint64_t offset, uint64_t value, unsigned size)
{
    value &= size_mask(size);
    region->ops->write(region->opaque, offset, region->ops->big_endian ? swap_bytes(value, size) : value, size);
}

/* Smaller than what is implemented: through the implemented words that hold it. */
static uint64_t io_read_narrow(const MemRegion *region, uint64_t offset, unsigned size, unsigned word)
{
    uint64_t value = 0;
    for (unsigned done = 0; done < size;) {
        unsigned lane = (offset + done) & (word - 1), take = MIN(size - done, word - lane);
        uint64_t whole = io_read_once(region, offset + done - lane, word);
        value |= (whole >> (8 * lane) & size_mask(take)) << (8 * done);
        done += take;
    }
    return value;
}

static void io_write_narrow(const MemRegion *region, uint64_t offset, uint64_t value, unsigned size, unsigned word)
{
    for (unsigned done = 0; done < size;) {
        unsigned lane = (offset + done) & (word - 1), take = MIN(size - done, word - lane);
        uint64_t mask = size_mask(take) << (8 * lane), part = value >> (8 * done) << (8 * lane) & mask;
        uint64_t whole = region->ops->read ? io_read_once(region, offset + done - lane, word) & ~mask : 0;
        io_write_once(region, offset + done - lane, whole | part, word);
        done += take;
    }
}

static uint64_t io_read(const MemRegion *region, uint64_t offset, unsigned size)
{
    if (size < region->impl_min)
        return io_read_narrow(region, offset, size, region->impl_min);
    unsigned step = MIN(size, region->impl_max);
    uint64_t value = 0;
    for (unsigned done = 0; done < size; done += step)
        value |= io_read_once(region, offset + done, step) << (8 * done);
    return value;
}

static void io_write(const MemRegion *region, uint64_t offset, uint64_t value, unsigned size)
{
    if (size < region->impl_min) {
        io_write_narrow(region, offset, value, size, region->impl_min);
        return;
    }
    unsigned step = MIN(size, region->impl_max);
    for (unsigned done = 0; done < size; done += step)
        io_write_once(region, offset + done, value >> (8 * done), step);
}

static bool io_accepts(const MemRegion *region, uint64_t offset, unsigned size)
{
    return size >= region->min_size && size <= region->max_size && (region->ops->unaligned || !(offset & (size - 1)));
}

/* Take what an access to region needs. *locked: give the machine lock back afterwards. */
static MemResult io_enter(MemRegion *region, bool *locked)
{
    *locked = false;
    if (region->ops->lock_free)
        return MEM_OK;
    if (!machine_locked(region->machine)) {
        machine_lock(region->machine);
        *locked = true;
    }
    if (region->dispatching) {
        if (*locked)
            machine_unlock(region->machine);
        return MEM_BUSY;
    }
    region->dispatching++;
    return MEM_OK;
}

static void io_leave(MemRegion *region, bool locked)
{
    if (!region->ops->lock_free)
        region->dispatching--;
    if (locked)
        machine_unlock(region->machine);
}

/* ---- one access ---- */

MemResult range_load(const FlatRange *range, uint64_t addr, unsigned size, uint64_t *value)
{
    MemRegion *region = range->region;
    uint64_t offset = addr - range->base + range->offset;
    bool locked;
    *value = 0;
    if (range->last - addr < size - 1)
        return MEM_REFUSED;
    if (region->host) {
        *value = ram_get(region->host + offset, size);
        return MEM_OK;
    }
    if (!region->ops->read || !io_accepts(region, offset, size))
        return MEM_REFUSED;
    MemResult result = io_enter(region, &locked);
    if (result == MEM_OK) {
        *value = io_read(region, offset, size);
        io_leave(region, locked);
    }
    return result;
}

MemResult range_store(const FlatRange *range, uint64_t addr, unsigned size, uint64_t value)
{
    MemRegion *region = range->region;
    uint64_t offset = addr - range->base + range->offset;
    bool locked;
    if (range->last - addr < size - 1)
        return MEM_REFUSED;
    if (region->host && !range->readonly) {
        ram_put(region->host + offset, size, value);
        ram_written(region, offset, size);
        return MEM_OK;
    }
    if (region->host && (!region->ops || !region->ops->write))
        return MEM_OK; /* ROM swallows writes */
    if (!region->ops->write || !io_accepts(region, offset, size))
        return MEM_REFUSED;
    MemResult result = io_enter(region, &locked);
    if (result == MEM_OK) {
        io_write(region, offset, value, size);
        io_leave(region, locked);
    }
    return result;
}

MemResult as_load(AddressSpace *as, uint64_t addr, unsigned size, uint64_t *value)
{
    FlatView *view = view_get(as);
    const FlatRange *range = view_find(view, addr);
    MemResult result = MEM_UNMAPPED;
    *value = 0;
    if (range && range->last - addr >= size - 1) {
        result = range_load(range, addr, size, value);
    } else if (range) {
        uint8_t bytes[8] = { 0 };
        result = as_read(as, addr, bytes, size);
        *value = result == MEM_OK ? ram_get(bytes, size) : 0;
    }
    view_put(view);
    return result;
}

MemResult as_store(AddressSpace *as, uint64_t addr, unsigned size, uint64_t value)
{
    FlatView *view = view_get(as);
    const FlatRange *range = view_find(view, addr);
    MemResult result = MEM_UNMAPPED;
    if (range && range->last - addr >= size - 1) {
        result = range_store(range, addr, size, value);
    } else if (range) {
        uint8_t bytes[8];
        ram_put(bytes, size, value);
        result = as_write(as, addr, bytes, size);
    }
    view_put(view);
    return result;
}

/* ---- many bytes ---- */

/* The greatest access that region takes at offset, of at most len bytes. */
static unsigned io_step(const MemRegion *region, uint64_t offset, uint64_t len)
{
    unsigned size = MIN(region->max_size, 8);
    while (size > 1 && (size > len || (offset & (size - 1))))
        size /= 2;
    return size;
}

typedef enum { COPY_READ, COPY_WRITE, COPY_LOAD_IMAGE } CopyKind;

/* Copy the bytes of one range from or to buf; *done says how many of len. */
static MemResult range_copy(const FlatRange *range, uint64_t addr, uint8_t *buf, uint64_t len, CopyKind kind,
                            uint64_t *done)
{
    MemRegion *region = range->region;
    uint64_t offset = addr - range->base + range->offset, room = range->last - addr;
    *done = len - 1 > room ? room + 1 : len;
    if (region->host && kind == COPY_READ) {
        ram_copy(buf, region->host + offset, *done);
        return MEM_OK;
    }
    if (region->host && (!range->readonly || kind == COPY_LOAD_IMAGE)) {
        ram_copy(region->host + offset, buf, *done);
        ram_written(region, offset, *done);
        return MEM_OK;
    }
    if (kind == COPY_LOAD_IMAGE)
        return MEM_REFUSED;
    if (region->host && (!region->ops || !region->ops->write))
        return MEM_OK;
    unsigned step = io_step(region, offset, *done);
    *done = step;
    uint64_t value;
    if (kind == COPY_WRITE) {
        uint8_t bytes[8] = { 0 };
        memcpy(bytes, buf, step);
        return range_store(range, addr, step, ram_get(bytes, step));
    }
    MemResult result = range_load(range, addr, step, &value);
    uint8_t bytes[8];
    ram_put(bytes, step, value);
    memcpy(buf, bytes, step);
    return result;
}

/* Stops at the first failure; what a read has not reached is zero. Nothing is behind the end of the address space. */
static MemResult as_copy(AddressSpace *as, uint64_t addr, uint8_t *buf, uint64_t len, CopyKind kind)
{
    FlatView *view = view_get(as);
    MemResult result = MEM_OK;
    const FlatRange *range = NULL;
    while (len) {
        if (!range || addr < range->base || addr > range->last)
            range = view_find(view, addr);
        uint64_t done = 1;
        MemResult one = range ? range_copy(range, addr, buf, len, kind, &done) : MEM_UNMAPPED;
        if (one != MEM_OK) {
            result = one;
            if (kind == COPY_READ)
                memset(buf, 0, len);
            break;
        }
        buf += done;
        len -= done;
        if (__builtin_add_overflow(addr, done, &addr) && len) {
            result = MEM_UNMAPPED;
            if (kind == COPY_READ)
                memset(buf, 0, len);
            break;
        }
    }
    view_put(view);
    return result;
}

MemResult as_read(AddressSpace *as, uint64_t addr, void *buf, uint64_t len)
{
    return as_copy(as, addr, buf, len, COPY_READ);
}

MemResult as_write(AddressSpace *as, uint64_t addr, const void *buf, uint64_t len)
{
    return as_copy(as, addr, (uint8_t *)buf, len, COPY_WRITE);
}

bool as_load_image(AddressSpace *as, uint64_t addr, const void *data, uint64_t len, GError **err)
{
    if (as_copy(as, addr, (uint8_t *)data, len, COPY_LOAD_IMAGE) == MEM_OK)
        return true;
    return error_set(err, "there is no RAM or ROM for all %" PRIu64 " bytes at 0x%" PRIx64, len, addr);
}

void *as_map(AddressSpace *as, uint64_t addr, uint64_t *len, bool write)
{
    FlatView *view = view_get(as);
    const FlatRange *range = view_find(view, addr);
    void *host = NULL;
    if (*len && range && range->region->host && !(write && range->readonly)) {
        uint64_t room = range->last - addr;
        if (*len - 1 > room)
            *len = room + 1;
        host = range->region->host + (addr - range->base + range->offset);
    }
    view_put(view);
    return host;
}

void as_unmap(AddressSpace *as, void *host, uint64_t written)
{
    for (unsigned i = 0; written && i < as->machine->rams->len; i++) {
        MemRegion *ram = g_ptr_array_index(as->machine->rams, i);
        uint64_t offset = (uintptr_t)host - (uintptr_t)ram->host;
        if (offset < ram->size) {
            ram_written(ram, offset, MIN(written, ram->size - offset));
            return;
        }
    }
}
