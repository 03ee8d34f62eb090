/*
 * Soft TLB, the slow side: refills, accesses that cross pages, devices, atomics, physical accesses of page walkers.
 *
 * Write entries exist only for pages without translated code. A filler first publishes its entry and then looks at the
 * page's flags again; a translator first sets RAM_CODE and then removes entries: whichever comes second sees the other.
 * SPDX-License-Identifier: MIT
 */
#include "accel/tcg/tcg.h"
#include "hw/core/ram_access.h"
#include "util/log.h"
#include <inttypes.h>
#include <string.h>

/* ---- finding a page ---- */

static void describe_phys(TcgCpu *c, uint64_t phys, L2Entry *e)
{
    const FlatRange *range = view_find(c->view, phys);
    uint64_t page = phys & GUEST_PAGE_MASK;
    e->phys = page;
    e->host = NULL;
    if (!range) {
        e->kind = PAGE_NONE;
    } else if (range->region->host && range->base <= page && page + GUEST_PAGE_SIZE - 1 <= range->last) {
        e->kind = PAGE_RAM;
        e->region = range->region;
        e->offset = page - range->base + range->offset;
        e->host = range->region->host + e->offset;
        if (range->readonly)
            e->write = false; /* stores go to the region's functions, or nowhere */
    } else {
        e->kind = PAGE_IO;
    }
}

static bool usable(const L2Entry *e, Access access)
{
    return access == ACCESS_STORE ? e->write : e->read;
}

/* A page of the same large page: everything but the address is known. */
static bool from_large(TcgCpu *c, uint64_t va, Access access, L2Entry *out)
{
    const L2Entry *large = &c->large[va >> 21 & ((1 << LARGE_BITS) - 1)];
    if (large->tag != va >> 21 << 21 || large->generation != tcg_generation(c) || !usable(large, access))
        return false;
    *out = *large;
    out->tag = va & GUEST_PAGE_MASK;
    describe_phys(c, large->phys + (va & ((1 << 21) - 1)), out);
    return true;
}

/* The second-level entry for va, walking if need be. NULL: an exception was raised. */
static L2Entry *find_page(TcgCpu *c, uint64_t va, Access access)
{
    L2Entry *e = &c->l2[va >> GUEST_PAGE_BITS & ((1 << L2_BITS) - 1)];
    Walk w;
    if (e->tag == (va & GUEST_PAGE_MASK) && e->generation == tcg_generation(c) && usable(e, access)) {
        TCG_COUNT(&c->stats, fills_second);
        return e;
    }
    if (from_large(c, va, access, e)) {
        TCG_COUNT(&c->stats, fills_large);
        return e;
    }
    if (!c->vcpu->target->walk(c->cs, va, access, c->cs->mmu_index, true, &w))
        return NULL;
    TCG_COUNT(&c->stats, fills_walk);
    *e = (L2Entry){ .tag = va & GUEST_PAGE_MASK, .generation = tcg_generation(c), .read = w.read, .write = w.write };
    if (w.page_bits >= 21) {
        L2Entry *large = &c->large[va >> 21 & ((1 << LARGE_BITS) - 1)];
        *large = *e;
        large->tag = va >> 21 << 21;
        large->phys = w.phys >> 21 << 21;
        tcg_note_large(c, va);
    }
    describe_phys(c, w.phys, e);
    return e;
}

static bool page_has_code(const L2Entry *e)
{
    return __atomic_load_n(&e->region->page_flags[e->offset >> RAM_PAGE_BITS], __ATOMIC_SEQ_CST) &
           (RAM_CODE | RAM_DIRTY_TRACKED);
}

/* Put a RAM page into the first level. */
static void fill(TcgCpu *c, const L2Entry *e, Access access)
{
    unsigned index = e->tag >> GUEST_PAGE_BITS & (TLB_SIZE - 1);
    ContextSet *set = c->cs->set;
    TlbEntry *entry = access == ACCESS_STORE ? &set->write[index] : &set->read[index];
    uint64_t addend = (uintptr_t)e->host - e->tag;
    if (access == ACCESS_STORE) {
        uint8_t *flags = &e->region->page_flags[e->offset >> RAM_PAGE_BITS];
        if (!(__atomic_load_n(flags, __ATOMIC_RELAXED) & RAM_FAST_WRITES))
            __atomic_fetch_or(flags, RAM_FAST_WRITES, __ATOMIC_SEQ_CST);
        if (page_has_code(e))
            return;
        tcg_note_fill(c, index, true);
        __atomic_store_n(&entry->tag, TLB_EMPTY, __ATOMIC_RELAXED);
        __atomic_store_n(&entry->addend, addend, __ATOMIC_RELAXED);
        __atomic_store_n(&entry->tag, e->tag, __ATOMIC_SEQ_CST);
        if (page_has_code(e))
            __atomic_store_n(&entry->tag, TLB_EMPTY, __ATOMIC_SEQ_CST);
        return;
    }
    tcg_note_fill(c, index, false);
    entry->addend = addend;
    entry->tag = e->tag;
}

bool tcg_fetch_page(TcgCpu *c, uint64_t va, PageRef *ref)
{
    FetchEntry *f = &c->fetch[va >> GUEST_PAGE_BITS & ((1 << FETCH_BITS) - 1)];
    uint64_t page = va & GUEST_PAGE_MASK;
    if (f->tag != page || f->generation != tcg_generation(c)) {
        Walk w;
        L2Entry e = { 0 };
        if (!c->vcpu->target->walk(c->cs, va, ACCESS_FETCH, c->cs->mmu_index, true, &w))
            return false;
        describe_phys(c, w.phys, &e);
        if (e.kind != PAGE_RAM) {
            c->vcpu->target->raise_bus_error(c->cs, va, ACCESS_FETCH);
            return false;
        }
        if (w.page_bits > GUEST_PAGE_BITS)
            tcg_note_large(c, va);
        *f = (FetchEntry){ page, tcg_generation(c), e.region->ram_addr + e.offset, e.host, e.region };
    }
    unsigned in_page = va & (GUEST_PAGE_SIZE - 1);
    *ref = (PageRef){ .kind = PAGE_RAM,
                      .host = (uint8_t *)f->host + in_page,
                      .region = f->region,
                      .offset = f->ram_addr - f->region->ram_addr + in_page };
    return true;
}

/* ---- one access inside a page ---- */

static uint64_t extend(uint64_t v, unsigned memop)
{
    unsigned bytes = MO_BYTES(memop);
    if (memop & MO_BIG_ENDIAN)
        v = __builtin_bswap64(v) >> (64 - 8 * bytes);
    if (bytes == 8)
        return v;
    unsigned shift = 64 - 8 * bytes;
    return memop & MO_SIGNED ? (uint64_t)((int64_t)(v << shift) >> shift) : v << shift >> shift;
}

static bool io_access(TcgCpu *c, const L2Entry *e, uint64_t va, unsigned size, bool store, uint64_t *value)
{
    uint64_t phys = e->phys | (va & (GUEST_PAGE_SIZE - 1));
    const FlatRange *range = view_find(c->view, phys);
    MemResult result = MEM_UNMAPPED;
    if (tcg_must_step(c))
        return false;
    TCG_COUNT(&c->stats, mmio);
    if (range) {
        unsigned saved = tcg_leave_guest_fp(c->cs);
        result = store ? range_store(range, phys, size, *value) : range_load(range, phys, size, value);
        tcg_enter_guest_fp(c->cs, saved);
    }
    if (result == MEM_OK)
        return true;
    c->vcpu->target->raise_bus_error(c->cs, va, store ? ACCESS_STORE : ACCESS_LOAD);
    return false;
}

static bool load_in_page(TcgCpu *c, uint64_t va, unsigned size, uint64_t *value)
{
    L2Entry *e = find_page(c, va, ACCESS_LOAD);
    if (!e)
        return false;
    if (e->kind == PAGE_RAM) {
        fill(c, e, ACCESS_LOAD);
        *value = ram_get(e->host + (va & (GUEST_PAGE_SIZE - 1)), size);
        return true;
    }
    return io_access(c, e, va, size, false, value);
}

static void ram_store(TcgCpu *c, const L2Entry *e, uint64_t va, unsigned size, uint64_t value)
{
    unsigned in_page = va & (GUEST_PAGE_SIZE - 1);
    ram_put(e->host + in_page, size, value);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the store before the flag: see ram_written */
    if (page_has_code(e))
        tcg_unit_invalidate(c->tcg, &c->stats, e->region->ram_addr + e->offset + in_page, size);
    else
        fill(c, e, ACCESS_STORE);
}

static bool store_in_page(TcgCpu *c, uint64_t va, unsigned size, uint64_t value)
{
    L2Entry *e = find_page(c, va, ACCESS_STORE);
    if (!e)
        return false;
    if (e->kind == PAGE_RAM && e->write) {
        ram_store(c, e, va, size, value);
        return true;
    }
    return io_access(c, e, va, size, true, &value);
}

/* ---- the slow paths of generated code; also the interpreter's and helpers' accesses ---- */

static unsigned bytes_to_page_end(uint64_t va)
{
    return GUEST_PAGE_SIZE - (va & (GUEST_PAGE_SIZE - 1));
}

static uint64_t wrap(const TcgCpu *c, uint64_t va)
{
    return c->vcpu->target->bits == 32 ? (uint32_t)va : va;
}

uint64_t tcg_slow_load(CpuState *cs, uint64_t va, uint64_t unused, uint64_t memop)
{
    TcgCpu *c = tcg_cpu(cs);
    unsigned size = MO_BYTES(memop), first = bytes_to_page_end(va);
    uint64_t value = 0;
    TCG_COUNT(&c->stats, slow_loads);
    if (memop & MO_ALIGN && va & (size - 1)) {
        c->vcpu->target->raise_misaligned(cs, va, ACCESS_LOAD);
        return 0;
    }
    if (size <= first) {
        if (!load_in_page(c, va, size, &value))
            return 0;
        return extend(value, memop);
    }
    for (unsigned i = 0; i < size; i++) { /* page by page in order, byte by byte */
        uint64_t byte;
        if (!load_in_page(c, wrap(c, va + i), 1, &byte))
            return 0;
        value |= (byte & 0xff) << 8 * i;
    }
    return extend(value, memop);
}

void tcg_slow_store(CpuState *cs, uint64_t va, uint64_t value, uint64_t memop)
{
    TcgCpu *c = tcg_cpu(cs);
    unsigned size = MO_BYTES(memop), first = bytes_to_page_end(va);
    TCG_COUNT(&c->stats, slow_stores);
    if (memop & MO_ALIGN && va & (size - 1)) {
        c->vcpu->target->raise_misaligned(cs, va, ACCESS_STORE);
        return;
    }
    if (memop & MO_BIG_ENDIAN)
        value = __builtin_bswap64(value) >> (64 - 8 * size);
    if (size <= first) {
        store_in_page(c, va, size, value);
        return;
    }
    /* both pages must take it before either is changed */
    if (!find_page(c, va, ACCESS_STORE) || !find_page(c, wrap(c, va + first), ACCESS_STORE))
        return;
    for (unsigned i = 0; i < size && !cs->raised; i++)
        store_in_page(c, wrap(c, va + i), 1, value >> 8 * i & 0xff);
}

/* Host memory for an aligned atomic access, or NULL with an exception raised. */
static void *atomic_host(TcgCpu *c, uint64_t va, unsigned size, L2Entry **entry)
{
    TCG_COUNT(&c->stats, slow_atomics);
    if (va & (size - 1)) {
        c->vcpu->target->raise_misaligned(c->cs, va, ACCESS_STORE);
        return NULL;
    }
    L2Entry *e = find_page(c, va, ACCESS_STORE);
    if (!e)
        return NULL;
    if (e->kind != PAGE_RAM || !e->write) {
        c->vcpu->target->raise_bus_error(c->cs, va, ACCESS_STORE);
        return NULL;
    }
    *entry = e;
    return e->host + (va & (GUEST_PAGE_SIZE - 1));
}

static void atomic_done(TcgCpu *c, const L2Entry *e, uint64_t va, unsigned size)
{
    if (page_has_code(e))
        tcg_unit_invalidate(c->tcg, &c->stats, e->region->ram_addr + e->offset + (va & (GUEST_PAGE_SIZE - 1)), size);
    else
        fill(c, e, ACCESS_STORE);
}

static uint64_t amo_result(uint64_t old, uint64_t value, unsigned memop, IrAmo kind)
{
    int64_t x = extend(old, memop | MO_SIGNED), y = extend(value, memop | MO_SIGNED);
    uint64_t ux = extend(old, memop & ~MO_SIGNED), uy = extend(value, memop & ~MO_SIGNED);
    switch (kind) {
    case AMO_SWAP:
        return value;
    case AMO_ADD:
        return old + value;
    case AMO_AND:
        return old & value;
    case AMO_OR:
        return old | value;
    case AMO_XOR:
        return old ^ value;
    case AMO_MIN:
        return x < y ? x : y;
    case AMO_MAX:
        return x > y ? x : y;
    case AMO_MINU:
        return ux < uy ? ux : uy;
    default:
        return ux > uy ? ux : uy;
    }
}

static bool host_cas(void *p, unsigned size, uint64_t *expected, uint64_t value)
{
    switch (size) {
    case 1: {
        uint8_t e = *expected;
        bool ok = __atomic_compare_exchange_n((uint8_t *)p, &e, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        *expected = e;
        return ok;
    }
    case 2: {
        uint16_t e = *expected;
        bool ok = __atomic_compare_exchange_n((uint16_t *)p, &e, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        *expected = e;
        return ok;
    }
    case 4: {
        uint32_t e = *expected;
        bool ok = __atomic_compare_exchange_n((uint32_t *)p, &e, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        *expected = e;
        return ok;
    }
    default:
        return __atomic_compare_exchange_n((uint64_t *)p, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
}

static uint64_t swap_if(uint64_t v, unsigned memop)
{
    return memop & MO_BIG_ENDIAN ? __builtin_bswap64(v) >> (64 - 8 * MO_BYTES(memop)) : v;
}

uint64_t tcg_slow_amo(CpuState *cs, uint64_t va, uint64_t value, uint64_t memop, uint64_t kind)
{
    TcgCpu *c = tcg_cpu(cs);
    unsigned size = MO_BYTES(memop), plain = memop & ~MO_BIG_ENDIAN;
    L2Entry *e;
    void *p = atomic_host(c, va, size, &e);
    if (!p)
        return 0;
    uint64_t old = ram_get(p, size);
    while (!host_cas(p, size, &old, swap_if(amo_result(swap_if(old, memop), value, plain, kind), memop)))
        ;
    atomic_done(c, e, va, size);
    return extend(old, memop);
}

uint64_t tcg_slow_cas(CpuState *cs, uint64_t va, uint64_t expected, uint64_t value, uint64_t memop)
{
    TcgCpu *c = tcg_cpu(cs);
    unsigned size = MO_BYTES(memop);
    L2Entry *e;
    void *p = atomic_host(c, va, size, &e);
    if (!p)
        return 0;
    expected = swap_if(expected, memop);
    if (size < 8)
        expected &= (1ull << 8 * size) - 1;
    host_cas(p, size, &expected, swap_if(value, memop));
    atomic_done(c, e, va, size);
    return extend(expected, memop);
}

uint64_t tcg_load(CpuState *cs, uint64_t va, uint32_t memop)
{
    return tcg_slow_load(cs, va, 0, memop);
}
void tcg_store(CpuState *cs, uint64_t va, uint64_t value, uint32_t memop)
{
    tcg_slow_store(cs, va, value, memop);
}
uint64_t tcg_amo(CpuState *cs, uint64_t va, uint64_t value, uint32_t memop, uint32_t kind)
{
    return tcg_slow_amo(cs, va, value, memop, kind);
}
uint64_t tcg_cas(CpuState *cs, uint64_t va, uint64_t expected, uint64_t value, uint32_t memop)
{
    return tcg_slow_cas(cs, va, expected, value, memop);
}

static void host_cas16(void *p, uint64_t old[2], const uint64_t value[2])
{
#ifdef __x86_64__
    __asm__ volatile("lock cmpxchg16b %0"
                     : "+m"(*(unsigned __int128 *)p), "+a"(old[0]), "+d"(old[1])
                     : "b"(value[0]), "c"(value[1])
                     : "cc", "memory");
#else
    unsigned __int128 expected = (unsigned __int128)old[1] << 64 | old[0];
    __atomic_compare_exchange_n((unsigned __int128 *)p, &expected, (unsigned __int128)value[1] << 64 | value[0], false,
                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    old[0] = expected;
    old[1] = expected >> 64;
#endif
}

bool tcg_cas16(CpuState *cs, uint64_t va, uint64_t old[2], const uint64_t value[2])
{
    TcgCpu *c = tcg_cpu(cs);
    L2Entry *e;
    void *p = atomic_host(c, va, 16, &e);
    if (!p)
        return false;
    host_cas16(p, old, value);
    atomic_done(c, e, va, 16);
    return true;
}

void tcg_zero_block(CpuState *cs, uint64_t va, unsigned size)
{
    TcgCpu *c = tcg_cpu(cs);
    uint64_t block = va & -(uint64_t)size;
    L2Entry *e = find_page(c, va, ACCESS_STORE);
    if (!e)
        return;
    if (e->kind != PAGE_RAM || !e->write) {
        c->vcpu->target->raise_bus_error(cs, va, ACCESS_STORE);
        return;
    }
    for (unsigned i = 0; i < size; i += 8)
        ram_put(e->host + (block & (GUEST_PAGE_SIZE - 1)) + i, 8, 0);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* as in ram_store */
    atomic_done(c, e, block, size);
}

bool tcg_can_load(CpuState *cs, uint64_t va)
{
    TcgCpu *c = tcg_cpu(cs);
    Walk w;
    L2Entry e = { 0 };
    if (!c->vcpu->target->walk(cs, va, ACCESS_LOAD, cs->mmu_index, false, &w))
        return false;
    describe_phys(c, w.phys, &e);
    return e.kind == PAGE_RAM;
}

/* ---- physical accesses of page walkers ---- */

static MemRegion *phys_ram(CpuState *cs, uint64_t phys, unsigned size, uint64_t *offset)
{
    TcgCpu *c = tcg_cpu(cs);
    const FlatRange *range = c ? view_find(c->view, phys) : NULL;
    if (!range || !range->region->host || range->readonly || phys & (size - 1))
        return NULL;
    *offset = phys - range->base + range->offset;
    return range->region;
}

bool tcg_phys_load(CpuState *cs, uint64_t phys, unsigned size, uint64_t *value)
{
    uint64_t offset;
    MemRegion *region = phys_ram(cs, phys, size, &offset);
    if (!region)
        return false;
    const void *p = region->host + offset;
    *value = size == 8 ? __atomic_load_n((const uint64_t *)p, __ATOMIC_ACQUIRE)
                       : __atomic_load_n((const uint32_t *)p, __ATOMIC_ACQUIRE);
    return true;
}

bool tcg_phys_cas(CpuState *cs, uint64_t phys, unsigned size, uint64_t expected, uint64_t value, bool *swapped)
{
    uint64_t offset;
    MemRegion *region = phys_ram(cs, phys, size, &offset);
    if (!region)
        return false;
    *swapped = host_cas(region->host + offset, size, &expected, value);
    ram_written(region, offset, size);
    return true;
}
