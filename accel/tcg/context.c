/*
 * Context sets: translations of one (address space, MMU mode) each. Switching between known ones is a search of a dozen
 * entries and a store; flushing walks a log of what was filled.
 * SPDX-License-Identifier: MIT
 */
#include "accel/tcg/tcg.h"
#include "util/log.h"
#include <inttypes.h>
#include <string.h>

static unsigned upper_half(uint64_t va)
{
    return va >> 63;
}

static unsigned bloom_bit(uint64_t page)
{
    return (page >> GUEST_PAGE_BITS) * 0x9e3779b97f4a7c15 >> 54; /* 0..1023 */
}

static void clear_jumps(ContextSet *set)
{
    for (unsigned i = 0; i < JUMP_CACHE_SIZE; i++)
        __atomic_store_n(&set->jumps[i].pc, JUMP_EMPTY, __ATOMIC_RELAXED);
    memset(set->exec_pages, 0, sizeof(set->exec_pages));
}

static bool has_jumps(const ContextSet *set)
{
    uint64_t any = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(set->exec_pages); i++)
        any |= set->exec_pages[i];
    return any;
}

static void flush_set(TcgCpu *c, unsigned n)
{
    ContextSet *set = c->sets[n];
    if (set->fills > G_N_ELEMENTS(set->log)) {
        for (unsigned i = 0; i < TLB_SIZE; i++) {
            set->read[i].tag = TLB_EMPTY;
            __atomic_store_n(&set->write[i].tag, TLB_EMPTY, __ATOMIC_RELAXED);
        }
    } else {
        for (unsigned i = 0; i < set->fills; i++) {
            unsigned index = set->log[i] & (TLB_SIZE - 1);
            set->read[index].tag = TLB_EMPTY;
            __atomic_store_n(&set->write[index].tag, TLB_EMPTY, __ATOMIC_RELAXED);
        }
    }
    set->fills = 0;
    if (has_jumps(set))
        clear_jumps(set);
    c->info[n] = (SetInfo){ .generation = ++c->next_generation, .large_low = { UINT64_MAX, UINT64_MAX } };
}

bool tcg_contexts_init(TcgCpu *c)
{
    c->set_count = 0;
    tcg_context_changed(c->cs, 0, 0, 0);
    return true;
}

void tcg_contexts_free(TcgCpu *c)
{
    for (unsigned i = 0; i < c->set_count; i++)
        g_aligned_free(c->sets[i]);
}

/* A set for a new context: another one, or the one that was not used for longest. */
static unsigned new_set(TcgCpu *c)
{
    unsigned oldest = 0;
    if (c->set_count < CONTEXT_SETS) {
        ContextSet *set = g_aligned_alloc(1, (sizeof(ContextSet) + 63) & ~63ul, 64);
        memset(set, 0xff, offsetof(ContextSet, space));
        memset((char *)set + offsetof(ContextSet, space), 0, sizeof(*set) - offsetof(ContextSet, space));
        c->sets[c->set_count] = set;
        c->info[c->set_count] =
            (SetInfo){ .generation = ++c->next_generation, .large_low = { UINT64_MAX, UINT64_MAX } };
        g_mutex_lock(&c->tcg->lock); /* others look through our sets */
        c->set_count++;
        g_mutex_unlock(&c->tcg->lock);
        return c->set_count - 1;
    }
    for (unsigned i = 1; i < CONTEXT_SETS; i++) {
        if (c->sets[i]->last_use < c->sets[oldest]->last_use)
            oldest = i;
    }
    flush_set(c, oldest);
    return oldest;
}

static bool is_context(const ContextSet *set, uint64_t space, uint64_t outer, uint32_t mmu_index)
{
    return set->space == space && set->mmu_index == mmu_index && set->outer == outer;
}

void tcg_context_changed(CpuState *cs, uint64_t space, uint64_t outer, uint32_t mmu_index)
{
    TcgCpu *c = cs->vcpu ? cs->vcpu->accel : NULL;
    cs->mmu_index = mmu_index;
    if (!c || !c->tcg)
        return;
    ContextSet *now = cs->set;
    if (now && is_context(now, space, outer, mmu_index))
        return;
    TCG_COUNT(&c->stats, context_switches);
    unsigned n = 0;
    while (n < c->set_count && !is_context(c->sets[n], space, outer, mmu_index))
        n++;
    if (n == c->set_count) {
        TCG_COUNT(&c->stats, context_new);
        n = new_set(c);
        c->sets[n]->space = space;
        c->sets[n]->outer = outer;
        c->sets[n]->mmu_index = mmu_index;
    }
    c->sets[n]->last_use = ++c->clock;
    c->current = n;
    cs->set = c->sets[n];
}

static bool matches(const ContextSet *set, const SpaceMatch *match)
{
    return (set->space & match->mask) == match->value && (set->outer & match->outer_mask) == match->outer_value;
}

void tcg_flush_spaces(CpuState *cs, SpaceMatch match)
{
    TcgCpu *c = cs->vcpu ? cs->vcpu->accel : NULL;
    if (!c || !c->tcg)
        return;
    TCG_COUNT(&c->stats, flush_space);
    for (unsigned i = 0; i < c->set_count; i++) {
        if (matches(c->sets[i], &match))
            flush_set(c, i);
    }
}

void tcg_flush_all(CpuState *cs)
{
    TcgCpu *c = cs->vcpu ? cs->vcpu->accel : NULL;
    log_printf(LOG_MMU, "tcg: flush all\n");
    if (!c || !c->tcg)
        return;
    TCG_COUNT(&c->stats, flush_all);
    for (unsigned i = 0; i < c->set_count; i++)
        flush_set(c, i);
}

static void flush_page_in(TcgCpu *c, unsigned n, uint64_t page)
{
    ContextSet *set = c->sets[n];
    SetInfo *info = &c->info[n];
    unsigned index = page >> GUEST_PAGE_BITS & (TLB_SIZE - 1), half = upper_half(page);
    if (page >= info->large_low[half] && page <= info->large_high[half]) {
        flush_set(c, n);
        return;
    }
    if (set->read[index].tag == page)
        set->read[index].tag = TLB_EMPTY;
    if (set->write[index].tag == page)
        __atomic_store_n(&set->write[index].tag, TLB_EMPTY, __ATOMIC_RELAXED);
    L2Entry *l2 = &c->l2[page >> GUEST_PAGE_BITS & ((1 << L2_BITS) - 1)];
    if (l2->tag == page)
        l2->tag = TLB_EMPTY;
    FetchEntry *fetch = &c->fetch[page >> GUEST_PAGE_BITS & ((1 << FETCH_BITS) - 1)];
    if (fetch->tag == page)
        fetch->tag = TLB_EMPTY;
    /* an instruction at the end of the page before may go on in this one */
    for (uint64_t p = page - GUEST_PAGE_SIZE;; p = page) {
        unsigned bit = bloom_bit(p);
        if (set->exec_pages[bit >> 6] >> (bit & 63) & 1) {
            clear_jumps(set);
            break;
        }
        if (p == page)
            break;
    }
}

void tcg_flush_page(CpuState *cs, uint64_t va, SpaceMatch match)
{
    TcgCpu *c = cs->vcpu ? cs->vcpu->accel : NULL;
    if (!c || !c->tcg)
        return;
    TCG_COUNT(&c->stats, flush_page);
    for (unsigned i = 0; i < c->set_count; i++) {
        if (matches(c->sets[i], &match))
            flush_page_in(c, i, va & GUEST_PAGE_MASK);
    }
}

void tcg_renew_guesses(TcgCpu *c)
{
    ContextSet *set = c->cs->set;
    if (!set->guesses_spent)
        return;
    set->guesses_spent = 0;
    for (unsigned i = 0; i < GUESS_SLOTS; i++)
        set->guesses[i].budget = GUESS_BUDGET;
}

void tcg_note_fill(TcgCpu *c, unsigned index, bool write)
{
    ContextSet *set = c->cs->set;
    if (set->fills < G_N_ELEMENTS(set->log))
        set->log[set->fills] = index;
    if (set->fills <= G_N_ELEMENTS(set->log))
        set->fills++;
}

void tcg_note_large(TcgCpu *c, uint64_t va)
{
    SetInfo *info = &c->info[c->current];
    unsigned half = upper_half(va);
    uint64_t low = va >> 21 << 21, high = low | ((1 << 21) - 1);
    info->large_low[half] = MIN(info->large_low[half], low);
    info->large_high[half] = MAX(info->large_high[half], high);
}

void tcg_note_jump(TcgCpu *c, uint64_t pc, void *code)
{
    ContextSet *set = c->cs->set;
    JumpCacheEntry *entry = &set->jumps[pc >> 1 & (JUMP_CACHE_SIZE - 1)];
    unsigned bit = bloom_bit(pc & GUEST_PAGE_MASK);
    set->exec_pages[bit >> 6] |= 1ull << (bit & 63);
    entry->pc = JUMP_EMPTY;
    entry->code = code;
    __atomic_store_n(&entry->pc, pc, __ATOMIC_RELEASE);
}

/* The owner may be replacing the entry: then tag and addend may not belong together. What this misses, the owner finds
 * out, as it looks for code on the page after it has filled the entry; what it drops in vain is filled again. */
static void drop_write_entry(TlbEntry *entry, const uint8_t *host_page)
{
    uint64_t tag = __atomic_load_n(&entry->tag, __ATOMIC_ACQUIRE);
    if (tag != TLB_EMPTY && tag + __atomic_load_n(&entry->addend, __ATOMIC_RELAXED) == (uintptr_t)host_page)
        __atomic_store_n(&entry->tag, TLB_EMPTY, __ATOMIC_SEQ_CST);
}

/* own: this thread is the set's, whose log it may read. */
static void drop_in_set(ContextSet *set, bool own, const uint8_t *host_page)
{
    if (own && set->fills <= G_N_ELEMENTS(set->log)) {
        for (unsigned i = 0; i < set->fills; i++)
            drop_write_entry(&set->write[set->log[i]], host_page);
        return;
    }
    for (unsigned i = 0; i < TLB_SIZE; i++)
        drop_write_entry(&set->write[i], host_page);
}

void tcg_drop_write_entries(TcgState *t, const uint8_t *host_page)
{
    for (guint v = 0; v < t->machine->vcpus->len; v++) {
        TcgCpu *c = ((Vcpu *)t->machine->vcpus->pdata[v])->accel;
        for (unsigned n = 0; c && n < c->set_count; n++)
            drop_in_set(c->sets[n], c->vcpu == vcpu_current(), host_page);
    }
}
