/*
 * Soft TLB, the slow side: refills, accesses that cross pages, devices, atomics, physical accesses of page walkers.
 *
 * Write entries exist only for pages without translated code. A filler marks the page with RAM_FAST_WRITES and looks at
 * RAM_CODE; a translator sets RAM_CODE and looks at the mark: one sees the other. If it is the translator, it asks all
 * vCPUs by mail to remove their entries; stores until then are found by the guest's fetch barrier.
 * SPDX-License-Identifier: MIT
 */
#include "accel/tcg/tcg.h"
#include "hw/core/ram_access.h"
#include "util/log.h"
#include <inttypes.h>
#include <string.h>

/* ---- finding a page ---- */

static const FlatView *present_view(TcgCpu *c)
{
    if (__atomic_load_n(&c->view_stale, __ATOMIC_RELAXED))
        tcg_renew_view(c);
    return c->view;
}

static void describe_phys(TcgCpu *c, uint64_t phys, PageEntry *e)
{
    const FlatRange *range = view_find(present_view(c), phys);
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

static bool usable(const PageEntry *e, Access access)
{
    return access == ACCESS_STORE ? e->write : e->read;
}

/* A page of the same large page: everything but the address is known. */
static bool from_large(TcgCpu *c, uint64_t va, Access access, PageEntry *out)
{
    const PageEntry *large = &c->large[va >> 21 & ((1 << LARGE_BITS) - 1)];
    if (large->va != va >> 21 << 21 || !tcg_current(c, large->generation) || !usable(large, access))
        return false;
    *out = *large;
    out->va = va & GUEST_PAGE_MASK;
    describe_phys(c, large->phys + (va & ((1 << 21) - 1)), out);
    return true;
}

/* Generated code does the same, see tcg/x86-64/thunks.c. */
static bool from_second(TcgCpu *c, uint64_t va, Access access, PageEntry *out)
{
    const ContextSet *set = c->cs->set;
    unsigned n = tcg_l2_line(set, va);
    const L2Line *line = &c->l2->lines[n];
    for (unsigned way = 0; way < L2_WAYS; way++) {
        uint64_t tag = line->tag[way], page = va & GUEST_PAGE_MASK, generation = (tag ^ page) & ~(uint64_t)L2_WRITABLE;
        if ((generation != set->generation[0] && generation != set->generation[1]) ||
            (access == ACCESS_STORE && !(tag & L2_WRITABLE)))
            continue;
        MemRegion *region = c->l2->cold[n].region[way];
        *out = (PageEntry){ .va = page,
                            .kind = PAGE_RAM,
                            .read = true,
                            .write = tag & L2_WRITABLE,
                            .host = (uint8_t *)(uintptr_t)(page + line->addend[way]),
                            .region = region };
        out->offset = out->host - region->host;
        return true;
    }
    return false;
}

static bool from_other(TcgCpu *c, uint64_t va, Access access, PageEntry *out)
{
    const PageEntry *e = &c->other[va >> GUEST_PAGE_BITS & ((1 << OTHER_BITS) - 1)];
    if (e->va != (va & GUEST_PAGE_MASK) || !tcg_current(c, e->generation) || !usable(e, access))
        return false;
    *out = *e;
    return true;
}

/* The way for a page: its own, else one that no set of this vCPU can use, else the next. */
static unsigned choose_way(TcgCpu *c, const L2Line *line, uint64_t tag)
{
    int unused = -1;
    for (unsigned way = 0; way < L2_WAYS; way++) {
        if (!((line->tag[way] ^ tag) & ~(uint64_t)L2_WRITABLE))
            return way;
        if (line->tag[way] == L2_EMPTY)
            unused = way;
    }
    return unused >= 0 ? (unsigned)unused : c->l2_next++ % L2_WAYS;
}

/* Where the next look finds it. */
static void remember(TcgCpu *c, PageEntry *e)
{
    e->generation = tcg_generation(c, e->global);
    if (e->kind != PAGE_RAM || !e->read || e->watch) {
        c->other[e->va >> GUEST_PAGE_BITS & ((1 << OTHER_BITS) - 1)] = *e;
        return;
    }
    unsigned n = tcg_l2_line(c->cs->set, e->va);
    L2Line *line = &c->l2->lines[n];
    L2Cold *cold = &c->l2->cold[n];
    uint64_t tag = e->va | e->generation | (e->write ? L2_WRITABLE : 0);
    unsigned way = choose_way(c, line, tag);
    line->tag[way] = tag;
    line->addend[way] = (uintptr_t)e->host - e->va;
    cold->flags[way] = &e->region->page_flags[e->offset >> RAM_PAGE_BITS];
    cold->region[way] = e->region;
}

static bool from_tables(TcgCpu *c, uint64_t va, Access access, PageEntry *e)
{
    if (from_second(c, va, access, e) || from_other(c, va, access, e)) {
        TCG_COUNT(&c->stats, fills_second);
        return true;
    }
    if (from_large(c, va, access, e)) {
        TCG_COUNT(&c->stats, fills_large);
        remember(c, e);
        return true;
    }
    return false;
}

/* What is at va, walking if need be. False: an exception was raised. */
static bool find_page(TcgCpu *c, uint64_t va, Access access, PageEntry *e)
{
    Walk w;
    if (!c->uncached && from_tables(c, va, access, e))
        return true;
    if (!c->vcpu->target->walk(c->cs, va, access, c->cs->mmu_index, true, &w))
        return false;
    TCG_COUNT(&c->stats, fills_walk);
    if (G_UNLIKELY(c->debug) && c->debug->watches) {
        w.watch |= tcg_debug_watches(c, va);
        w.page_bits = GUEST_PAGE_BITS;
    }
    *e = (PageEntry){
        .va = va & GUEST_PAGE_MASK, .read = w.read, .write = w.write, .global = w.global, .watch = w.watch
    };
    if (c->uncached) {
        describe_phys(c, w.phys, e);
        return true;
    }
    if (w.page_bits >= 21) {
        PageEntry *large = &c->large[va >> 21 & ((1 << LARGE_BITS) - 1)];
        *large = *e;
        large->generation = tcg_generation(c, w.global);
        large->va = va >> 21 << 21;
        large->phys = w.phys >> 21 << 21;
    }
    if (w.page_bits > GUEST_PAGE_BITS)
        tcg_note_large(c, va, w.page_bits, w.global);
    describe_phys(c, w.phys, e);
    remember(c, e);
    return true;
}

static uint8_t page_flags(const PageEntry *e)
{
    return __atomic_load_n(&e->region->page_flags[e->offset >> RAM_PAGE_BITS], __ATOMIC_SEQ_CST);
}

/* Put a RAM page into the first level. */
static void fill(TcgCpu *c, const PageEntry *e, Access access)
{
    if (e->watch || c->uncached)
        return;
    unsigned index = e->va >> GUEST_PAGE_BITS & (TLB_SIZE - 1);
    ContextSet *set = c->cs->set;
    TlbEntry *entry = access == ACCESS_STORE ? &set->write[index] : &set->read[index];
    uint64_t addend = (uintptr_t)e->host - e->va;
    if (access == ACCESS_STORE) {
        uint8_t *flags = &e->region->page_flags[e->offset >> RAM_PAGE_BITS];
        uint8_t is = __atomic_load_n(flags, __ATOMIC_RELAXED);
        if (!(is & RAM_FAST_WRITES))
            is = __atomic_fetch_or(flags, RAM_FAST_WRITES, __ATOMIC_SEQ_CST);
        if (is & (RAM_CODE | RAM_DIRTY_TRACKED))
            return;
        tcg_note_fill(c, index, true);
        entry->addend = addend;
        entry->tag = e->va;
        return;
    }
    tcg_note_fill(c, index, false);
    entry->addend = addend;
    entry->tag = e->va;
}

bool tcg_fetch_page(TcgCpu *c, uint64_t va, PageRef *ref)
{
    FetchEntry *f = &c->fetch[tcg_l2_line(c->cs->set, va) & ((1 << FETCH_BITS) - 1)];
    uint64_t page = va & GUEST_PAGE_MASK;
    if (f->tag != page || !tcg_current(c, f->generation) || c->uncached) {
        Walk w;
        PageEntry e = { 0 };
        if (!c->vcpu->target->walk(c->cs, va, ACCESS_FETCH, c->cs->mmu_index, true, &w))
            return false;
        describe_phys(c, w.phys, &e);
        if (e.kind != PAGE_RAM) {
            c->vcpu->target->raise_bus_error(c->cs, va, ACCESS_FETCH);
            return false;
        }
        if (w.page_bits > GUEST_PAGE_BITS)
            tcg_note_large(c, va, w.page_bits, w.global);
        *f = (FetchEntry){ page, tcg_generation(c, w.global), e.region->ram_addr + e.offset, e.host, e.region };
    }
    unsigned in_page = va & (GUEST_PAGE_SIZE - 1);
    *ref = (PageRef){ .kind = PAGE_RAM,
                      .host = (uint8_t *)f->host + in_page,
                      .region = f->region,
                      .offset = f->ram_addr - f->region->ram_addr + in_page,
                      .global = tcg_has_globals(c->cs->set) && f->generation == c->cs->set->generation[1] };
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

static bool io_access(TcgCpu *c, const PageEntry *e, uint64_t va, unsigned size, bool store, uint64_t *value)
{
    uint64_t phys = e->phys | (va & (GUEST_PAGE_SIZE - 1));
    const FlatRange *range = view_find(c->view, phys);
    MemResult result = MEM_UNMAPPED;
    if (tcg_must_step(c))
        return false;
    if (c->elsewhere && c->elsewhere(c->vcpu, phys)) {
        c->refused = true;
        c->cs->raised = 1; /* leave */
        return false;
    }
    TCG_COUNT(&c->stats, mmio);
    if (range) {
        unsigned saved = tcg_leave_guest_fp(c->cs);
        Phase was = tcg_phase(c, PHASE_DEVICE);
        result = store ? range_store(range, phys, size, *value) : range_load(range, phys, size, value);
        tcg_phase(c, was);
        tcg_enter_guest_fp(c->cs, saved);
    }
    if (result == MEM_OK)
        return true;
    c->vcpu->target->raise_bus_error(c->cs, va, store ? ACCESS_STORE : ACCESS_LOAD);
    if (!store)
        *value = UINT64_MAX; /* where nothing is raised: nobody drives the bus */
    return !c->cs->raised;
}

static bool load_in_page(TcgCpu *c, uint64_t va, unsigned size, uint64_t *value)
{
    PageEntry e;
    if (!find_page(c, va, ACCESS_LOAD, &e))
        return false;
    if (e.kind == PAGE_RAM) {
        fill(c, &e, ACCESS_LOAD);
        *value = ram_get(e.host + (va & (GUEST_PAGE_SIZE - 1)), size);
        return true;
    }
    return io_access(c, &e, va, size, false, value);
}

/* After a store to RAM by C: a dirty log hears of it; units made of it go; where there are none, further stores are for
 * generated code. */
static void written(TcgCpu *c, const PageEntry *e, unsigned in_page, unsigned size)
{
    uint8_t flags = page_flags(e);
    if (flags & RAM_DIRTY_TRACKED)
        mem_log_written(e->region, e->offset + in_page, size);
    if (!(flags & RAM_CODE)) {
        fill(c, e, ACCESS_STORE);
        return;
    }
    TCG_COUNT(&c->stats, slow_code);
    tcg_unit_invalidate(c->tcg, &c->stats, e->region->ram_addr + e->offset + in_page, size);
}

static void ram_store(TcgCpu *c, const PageEntry *e, uint64_t va, unsigned size, uint64_t value)
{
    unsigned in_page = va & (GUEST_PAGE_SIZE - 1);
    ram_put(e->host + in_page, size, value);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the store before the flag: see ram_written */
    written(c, e, in_page, size);
}

/* Would the store change the running unit? Then it is not made now: the instruction is executed alone first. Only for
 * accesses that nothing of the instruction comes before. */
static bool postponed(TcgCpu *c, const PageEntry *e, uint64_t va, unsigned size)
{
    unsigned in_page = va & (GUEST_PAGE_SIZE - 1);
    return page_flags(e) & RAM_CODE && tcg_unit_runs_in(c, e->region->ram_addr + e->offset + in_page, size) &&
           tcg_step_store(c);
}

static bool store_in_page(TcgCpu *c, uint64_t va, unsigned size, uint64_t value)
{
    PageEntry e;
    if (!find_page(c, va, ACCESS_STORE, &e))
        return false;
    if (e.kind == PAGE_RAM && e.write) {
        if (c->own_code && postponed(c, &e, va, size))
            return false;
        ram_store(c, &e, va, size, value);
        return true;
    }
    return io_access(c, &e, va, size, true, &value);
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

/* Does the target stop an access that it watches for? value: see Target.watch. */
static bool stopped(CpuState *cs, uint64_t va, unsigned size, Access access, const uint64_t *value)
{
    TcgCpu *c = tcg_cpu(cs);
    if (G_UNLIKELY(c->debug) && c->debug->watches && (access == ACCESS_STORE || !value) &&
        tcg_debug_access(c, va, size, access))
        return true;
    return cs->watching && !c->vcpu->target->watch(cs, va, size, access, value);
}

static uint64_t slow_load(TcgCpu *c, uint64_t va, uint64_t memop)
{
    unsigned size = MO_BYTES(memop), first = bytes_to_page_end(va);
    uint64_t value = 0;
    TCG_COUNT(&c->stats, slow_loads);
    if (memop & MO_ALIGN && va & (size - 1)) {
        TCG_COUNT(&c->stats, slow_misaligned);
        c->vcpu->target->raise_misaligned(c->cs, va, ACCESS_LOAD);
        return 0;
    }
    PageEntry e;
    if (memop & MO_FOR_WRITE &&
        (!find_page(c, va, ACCESS_STORE, &e) || (size > first && !find_page(c, wrap(c, va + first), ACCESS_STORE, &e))))
        return 0;
    if (stopped(c->cs, va, size, ACCESS_LOAD, NULL))
        return 0;
    if (size <= first) {
        if (!load_in_page(c, va, size, &value))
            return 0;
    } else {
        TCG_COUNT(&c->stats, slow_cross);
        for (unsigned i = 0; i < size; i++) { /* page by page in order, byte by byte */
            uint64_t byte;
            if (!load_in_page(c, wrap(c, va + i), 1, &byte))
                return 0;
            value |= (byte & 0xff) << 8 * i;
        }
    }
    value = extend(value, memop);
    return stopped(c->cs, va, size, ACCESS_LOAD, &value) ? 0 : value;
}

static void slow_store(TcgCpu *c, uint64_t va, uint64_t value, uint64_t memop)
{
    unsigned size = MO_BYTES(memop), first = bytes_to_page_end(va);
    TCG_COUNT(&c->stats, slow_stores);
    if (memop & MO_ALIGN && va & (size - 1)) {
        TCG_COUNT(&c->stats, slow_misaligned);
        c->vcpu->target->raise_misaligned(c->cs, va, ACCESS_STORE);
        return;
    }
    if (stopped(c->cs, va, size, ACCESS_STORE, &value))
        return;
    if (memop & MO_BIG_ENDIAN)
        value = __builtin_bswap64(value) >> (64 - 8 * size);
    if (size <= first) {
        store_in_page(c, va, size, value);
        return;
    }
    TCG_COUNT(&c->stats, slow_cross);
    c->own_code = false; /* half of it may be done: it cannot be begun again */
    /* both pages must take it before either is changed */
    PageEntry e;
    if (!find_page(c, va, ACCESS_STORE, &e) || !find_page(c, wrap(c, va + first), ACCESS_STORE, &e))
        return;
    for (unsigned i = 0; i < size && !c->cs->raised; i++)
        store_in_page(c, wrap(c, va + i), 1, value >> 8 * i & 0xff);
}

/* Vectors: in pieces of at most 8 bytes. False: misaligned, and raised. What may be misaligned but is checked has to be
 * aligned to 16 bytes at most. */
static bool vector_aligned(TcgCpu *c, uint64_t va, uint64_t memop, Access access)
{
    unsigned bytes = 1u << (memop & IR_VECTOR_SIZE);
    if (!(memop & MO_ALIGN) || !(va & ((memop & MO_ACQUIRE ? MIN(bytes, 16) : bytes) - 1)))
        return true;
    const Target *target = c->vcpu->target;
    (target->raise_misaligned_vector && !(memop & MO_ACQUIRE) ? target->raise_misaligned_vector
                                                              : target->raise_misaligned)(c->cs, va, access);
    return false;
}

void tcg_load_vector(CpuState *cs, uint64_t va, void *buffer, uint64_t memop)
{
    TcgCpu *c = tcg_cpu(cs);
    Phase was = tcg_phase(c, PHASE_SLOW);
    c->own_access = true;
    unsigned bytes = 1u << (memop & IR_VECTOR_SIZE), piece = MIN(bytes, 8);
    if (vector_aligned(c, va, memop, ACCESS_LOAD)) {
        for (unsigned i = 0; i < bytes && !cs->raised; i += piece) {
            uint64_t v = slow_load(c, wrap(c, va + i), piece == 4 ? MO_32 : MO_64);
            memcpy((uint8_t *)buffer + i, &v, piece);
        }
    }
    c->own_access = false;
    tcg_phase(c, was);
}

void tcg_store_vector(CpuState *cs, uint64_t va, const void *buffer, uint64_t memop)
{
    TcgCpu *c = tcg_cpu(cs);
    Phase was = tcg_phase(c, PHASE_SLOW);
    c->own_access = true;
    unsigned bytes = 1u << (memop & IR_VECTOR_SIZE), piece = MIN(bytes, 8), first = bytes_to_page_end(va);
    PageEntry e;
    bool good = vector_aligned(c, va, memop, ACCESS_STORE);
    if (good && bytes > first) /* both pages must take it before either is changed */
        good = find_page(c, va, ACCESS_STORE, &e) && find_page(c, wrap(c, va + first), ACCESS_STORE, &e);
    if (good && c->vcpu->target->coherent_code && find_page(c, va, ACCESS_STORE, &e) && e.kind == PAGE_RAM && e.write)
        good = !postponed(c, &e, va, MIN(bytes, first));
    for (unsigned i = 0; i < bytes && good && !cs->raised; i += piece) {
        uint64_t v = 0;
        memcpy(&v, (const uint8_t *)buffer + i, piece);
        slow_store(c, wrap(c, va + i), v, piece == 4 ? MO_32 : MO_64);
    }
    c->own_access = false;
    tcg_phase(c, was);
}

/* Host memory for an aligned atomic access, or NULL with an exception raised. */
static void *atomic_host(TcgCpu *c, uint64_t va, unsigned size, PageEntry *e)
{
    TCG_COUNT(&c->stats, slow_atomics);
    if (va & (size - 1)) {
        TCG_COUNT(&c->stats, slow_misaligned);
        c->vcpu->target->raise_misaligned(c->cs, va, ACCESS_STORE);
        if (c->cs->raised)
            return NULL;
    }
    if (stopped(c->cs, va, size, ACCESS_LOAD, NULL) || stopped(c->cs, va, size, ACCESS_STORE, NULL))
        return NULL;
    if (!find_page(c, va, ACCESS_STORE, e))
        return NULL;
    if (size > bytes_to_page_end(va))
        return NULL; /* see split_begin */
    if (e->kind != PAGE_RAM || !e->write) {
        c->vcpu->target->raise_bus_error(c->cs, va, ACCESS_STORE);
        return NULL;
    }
    if (c->vcpu->target->coherent_code && postponed(c, e, va, size))
        return NULL;
    return e->host + (va & (GUEST_PAGE_SIZE - 1));
}

/* Atomics that no host memory can be had for in one piece: misaligned ones across two pages, and those to devices.
 * They exclude each other only. */
static GMutex split_lock;

/* The old value, with the lock taken; false: raised, without. */
static bool split_begin(TcgCpu *c, uint64_t va, unsigned size, uint64_t *old)
{
    PageEntry e;
    if (c->cs->raised || !find_page(c, va, ACCESS_STORE, &e) ||
        !find_page(c, wrap(c, va + size - 1) & GUEST_PAGE_MASK, ACCESS_STORE, &e))
        return false;
    g_mutex_lock(&split_lock);
    *old = slow_load(c, va, (uint64_t)__builtin_ctz(size));
    if (c->cs->raised)
        g_mutex_unlock(&split_lock);
    return !c->cs->raised;
}

static void split_end(TcgCpu *c, uint64_t va, unsigned size, uint64_t value)
{
    slow_store(c, va, value, (uint64_t)__builtin_ctz(size));
    g_mutex_unlock(&split_lock);
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

#ifdef __x86_64__
/* Also where it is not aligned. */
static bool host_cas(void *p, unsigned size, uint64_t *expected, uint64_t value)
{
    bool ok;
    uint64_t old = *expected;
    switch (size) {
    case 1:
        __asm__ volatile("lock cmpxchgb %b3, %1" : "=@ccz"(ok), "+m"(*(uint8_t *)p), "+a"(old) : "q"(value) : "memory");
        break;
    case 2:
        __asm__ volatile("lock cmpxchgw %w3, %1"
                         : "=@ccz"(ok), "+m"(*(char(*)[2])p), "+a"(old)
                         : "r"(value)
                         : "memory");
        break;
    case 4:
        __asm__ volatile("lock cmpxchgl %k3, %1"
                         : "=@ccz"(ok), "+m"(*(char(*)[4])p), "+a"(old)
                         : "r"(value)
                         : "memory");
        break;
    default:
        __asm__ volatile("lock cmpxchgq %3, %1" : "=@ccz"(ok), "+m"(*(char(*)[8])p), "+a"(old) : "r"(value) : "memory");
    }
    *expected = size == 8 ? old : old & ((1ull << 8 * size) - 1);
    return ok;
}
#else
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
#endif

/* Without alignment; a first guess for host_cas. */
static uint64_t plain_load(const void *p, unsigned size)
{
    uint64_t v = 0;
    memcpy(&v, p, size);
    return v;
}

static uint64_t swap_if(uint64_t v, unsigned memop)
{
    return memop & MO_BIG_ENDIAN ? __builtin_bswap64(v) >> (64 - 8 * MO_BYTES(memop)) : v;
}

static uint64_t slow_amo(TcgCpu *c, uint64_t va, uint64_t value, uint64_t memop, uint64_t kind)
{
    unsigned size = MO_BYTES(memop), plain = memop & ~MO_BIG_ENDIAN;
    PageEntry e;
    void *p = atomic_host(c, va, size, &e);
    uint64_t old;
    if (!p) {
        if (!split_begin(c, va, size, &old))
            return 0;
        split_end(c, va, size, amo_result(old, value, plain, kind));
        return extend(old, memop);
    }
    old = va & (size - 1) ? plain_load(p, size) : ram_get(p, size);
    while (!host_cas(p, size, &old, swap_if(amo_result(swap_if(old, memop), value, plain, kind), memop)))
        ;
    written(c, &e, va & (GUEST_PAGE_SIZE - 1), size);
    return extend(old, memop);
}

static uint64_t slow_cas(TcgCpu *c, uint64_t va, uint64_t expected, uint64_t value, uint64_t memop)
{
    unsigned size = MO_BYTES(memop);
    PageEntry e;
    void *p = atomic_host(c, va, size, &e);
    uint64_t old;
    expected = swap_if(expected, memop);
    if (size < 8)
        expected &= (1ull << 8 * size) - 1;
    if (!p) {
        if (!split_begin(c, va, size, &old))
            return 0;
        split_end(c, va, size, old == expected ? value : old);
        return extend(old, memop);
    }
    host_cas(p, size, &expected, swap_if(value, memop));
    written(c, &e, va & (GUEST_PAGE_SIZE - 1), size);
    return extend(expected, memop);
}

uint64_t tcg_slow_load(CpuState *cs, uint64_t va, uint64_t unused, uint64_t memop)
{
    Phase was = tcg_phase(tcg_cpu(cs), PHASE_SLOW);
    TcgCpu *c = tcg_cpu(cs);
    c->own_access = true;
    uint64_t v = slow_load(c, va, memop);
    c->own_access = false;
    tcg_phase(c, was);
    return v;
}

void tcg_slow_store(CpuState *cs, uint64_t va, uint64_t value, uint64_t memop)
{
    Phase was = tcg_phase(tcg_cpu(cs), PHASE_SLOW);
    TcgCpu *c = tcg_cpu(cs);
    c->own_access = true;
    c->own_code = c->vcpu->target->coherent_code;
    slow_store(c, va, value, memop);
    c->own_access = c->own_code = false;
    tcg_phase(tcg_cpu(cs), was);
}

uint64_t tcg_slow_amo(CpuState *cs, uint64_t va, uint64_t value, uint64_t memop, uint64_t kind)
{
    Phase was = tcg_phase(tcg_cpu(cs), PHASE_SLOW);
    TcgCpu *c = tcg_cpu(cs);
    c->own_access = true;
    uint64_t v = slow_amo(c, va, value, memop, kind);
    c->own_access = false;
    tcg_phase(c, was);
    return v;
}

uint64_t tcg_slow_cas(CpuState *cs, uint64_t va, uint64_t expected, uint64_t value, uint64_t memop)
{
    Phase was = tcg_phase(tcg_cpu(cs), PHASE_SLOW);
    TcgCpu *c = tcg_cpu(cs);
    c->own_access = true;
    uint64_t v = slow_cas(c, va, expected, value, memop);
    c->own_access = false;
    tcg_phase(c, was);
    return v;
}

/* Host memory that the first level knows, for an access that needs nothing else; NULL: the slow path is asked. */
static uint8_t *at_hand(const CpuState *cs, const TlbEntry *table, uint64_t va, uint32_t memop)
{
    const TlbEntry *entry = &table[va >> GUEST_PAGE_BITS & (TLB_SIZE - 1)];
    unsigned size = MO_BYTES(memop);
    if (entry->tag != (va & GUEST_PAGE_MASK) || size > bytes_to_page_end(va) || cs->watching ||
        memop & (MO_BIG_ENDIAN | MO_ALIGN | MO_FOR_WRITE))
        return NULL;
    return (uint8_t *)(uintptr_t)(va + entry->addend);
}

/* The slow path, of a helper or the interpreter. */
static uint64_t helper_load(CpuState *cs, uint64_t va, uint32_t memop)
{
    Phase was = tcg_phase(tcg_cpu(cs), PHASE_SLOW);
    uint64_t v = slow_load(tcg_cpu(cs), va, memop);
    tcg_phase(tcg_cpu(cs), was);
    return v;
}

uint64_t tcg_load(CpuState *cs, uint64_t va, uint32_t memop)
{
    const uint8_t *host = at_hand(cs, cs->set->read, va, memop);
    return host ? extend(ram_get(host, MO_BYTES(memop)), memop) : helper_load(cs, va, memop);
}
void tcg_store(CpuState *cs, uint64_t va, uint64_t value, uint32_t memop)
{
    uint8_t *host = at_hand(cs, cs->set->write, va, memop);
    if (host) {
        ram_put(host, MO_BYTES(memop), value);
        return;
    }
    Phase was = tcg_phase(tcg_cpu(cs), PHASE_SLOW);
    slow_store(tcg_cpu(cs), va, value, memop);
    tcg_phase(tcg_cpu(cs), was);
}
void tcg_store_again(CpuState *cs, uint64_t va, uint64_t value, uint32_t memop)
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
    PageEntry e;
    void *p = va & 15 ? NULL : atomic_host(c, va, 16, &e);
    if (!p) {
        if (!c->cs->raised)
            c->vcpu->target->raise_misaligned(c->cs, va, ACCESS_STORE);
        return false;
    }
    host_cas16(p, old, value);
    written(c, &e, va & (GUEST_PAGE_SIZE - 1), 16);
    return true;
}

static void zero(uint8_t *host, unsigned size)
{
    for (unsigned i = 0; i < size; i += 8)
        ram_put(host + i, 8, 0);
}

void tcg_zero_block(CpuState *cs, uint64_t va, unsigned size)
{
    TcgCpu *c = tcg_cpu(cs);
    uint64_t block = va & -(uint64_t)size;
    const TlbEntry *entry = &cs->set->write[va >> GUEST_PAGE_BITS & (TLB_SIZE - 1)];
    PageEntry e;
    if (entry->tag == (va & GUEST_PAGE_MASK)) {
        zero((uint8_t *)(uintptr_t)(block + entry->addend), size);
        return;
    }
    if (stopped(c->cs, block, size, ACCESS_STORE, NULL))
        return;
    if (!find_page(c, va, ACCESS_STORE, &e))
        return;
    if (e.kind != PAGE_RAM || !e.write) {
        c->vcpu->target->raise_bus_error(cs, va, ACCESS_STORE);
        return;
    }
    zero(e.host + (block & (GUEST_PAGE_SIZE - 1)), size);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* as in ram_store */
    written(c, &e, block & (GUEST_PAGE_SIZE - 1), size);
}

uint8_t *tcg_host_span(CpuState *cs, uint64_t va, unsigned bytes, bool write)
{
    TcgCpu *c = tcg_cpu(cs);
    unsigned index = va >> GUEST_PAGE_BITS & (TLB_SIZE - 1);
    TlbEntry *entry = write ? &cs->set->write[index] : &cs->set->read[index];
    PageEntry e;
    if (bytes > bytes_to_page_end(va) || cs->watching)
        return NULL;
    if (entry->tag != (va & GUEST_PAGE_MASK)) {
        Access access = write ? ACCESS_STORE : ACCESS_LOAD;
        if (!find_page(c, va, access, &e) || e.kind != PAGE_RAM || (write && !e.write))
            return NULL;
        fill(c, &e, access);
        if (entry->tag != (va & GUEST_PAGE_MASK)) /* it has code */
            return NULL;
    }
    return (uint8_t *)(uintptr_t)(va + entry->addend);
}

bool tcg_can_load(CpuState *cs, uint64_t va)
{
    TcgCpu *c = tcg_cpu(cs);
    Walk w;
    PageEntry e = { 0 };
    if (!c->vcpu->target->walk(cs, va, ACCESS_LOAD, cs->mmu_index, false, &w))
        return false;
    describe_phys(c, w.phys, &e);
    return e.kind == PAGE_RAM;
}

/* ---- physical accesses of page walkers ---- */

static MemRegion *phys_ram(CpuState *cs, uint64_t phys, unsigned size, uint64_t *offset)
{
    TcgCpu *c = tcg_cpu_if_any(cs);
    const FlatRange *range = c ? view_find(present_view(c), phys) : NULL;
    if (!range || !range->region->host || range->readonly || phys & (size - 1))
        return NULL;
    *offset = phys - range->base + range->offset;
    return range->region;
}

/* A debugger's walk where another accelerator executes. */
static bool phys_load_elsewhere(const CpuState *cs, uint64_t phys, unsigned size, uint64_t *value)
{
    uint64_t len = size;
    const void *host = cs->vcpu ? as_map(&cs->vcpu->machine->memory, phys, &len, false) : NULL;
    if (!host || len < size)
        return false;
    *value = ram_get(host, size);
    return true;
}

bool tcg_phys_load(CpuState *cs, uint64_t phys, unsigned size, uint64_t *value)
{
    uint64_t offset;
    if (!tcg_cpu_if_any(cs))
        return phys_load_elsewhere(cs, phys, size, value);
    MemRegion *region = phys_ram(cs, phys, size, &offset);
    if (!region)
        return false;
    const void *p = region->host + offset;
    *value = size == 8   ? __atomic_load_n((const uint64_t *)p, __ATOMIC_ACQUIRE)
             : size == 4 ? __atomic_load_n((const uint32_t *)p, __ATOMIC_ACQUIRE)
                         : ram_get(p, size);
    return true;
}

bool tcg_phys_store(CpuState *cs, uint64_t phys, unsigned size, uint64_t value)
{
    uint64_t offset;
    MemRegion *region = phys_ram(cs, phys, size, &offset);
    if (!region)
        return false;
    ram_put(region->host + offset, size, value);
    ram_written(region, offset, size);
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
