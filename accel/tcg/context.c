/*
 * Context sets: translations of one (address space, MMU mode) each. Switching between known ones is a search of a dozen
 * entries and a store; flushing walks a log of what was filled.
 * SPDX-License-Identifier: MIT
 */
#include "accel/tcg/tcg.h"
#include "util/log.h"
#include <inttypes.h>
#include <string.h>

/* NULL: there is nothing to flush, and no choice of sets. */
static TcgCpu *with_tables(CpuState *cs)
{
    TcgCpu *c = tcg_cpu_if_any(cs);
    return c && c->tcg && !c->uncached ? c : NULL;
}

static unsigned bloom_bit(uint64_t page)
{
    return (page >> GUEST_PAGE_BITS) * 0x9e3779b97f4a7c15 >> 54; /* 0..1023 */
}

static void note_exec_page(ContextSet *set, uint64_t pc)
{
    unsigned bit = bloom_bit(pc & GUEST_PAGE_MASK);
    set->exec_pages[bit >> 6] |= 1ull << (bit & 63);
}

static bool may_have_jumps(const ContextSet *set, uint64_t page)
{
    unsigned bit = bloom_bit(page);
    return set->exec_pages[bit >> 6] >> (bit & 63) & 1;
}

static bool global_jump(const ContextSet *set, unsigned i)
{
    return set->global_jumps[i >> 6] >> (i & 63) & 1;
}

/* Of what is in pages of the address space alone each entry was logged; exec_pages may be more than there is. */
static void clear_own_jumps(ContextSet *set)
{
    for (unsigned i = 0; i < set->own_jumps; i++) {
        unsigned index = set->jump_log[i];
        if (!global_jump(set, index))
            set->jumps[index].pc = jump_empty(index);
    }
    set->own_jumps = 0;
}

/* What is in pages of the address space alone goes, or all. */
static void clear_jumps(ContextSet *set, bool keep_global)
{
    if (keep_global && set->own_jumps <= JUMP_LOG) {
        clear_own_jumps(set);
        return;
    }
    set->own_jumps = 0;
    memset(set->exec_pages, 0, sizeof(set->exec_pages));
    for (unsigned i = 0; i < JUMP_CACHE_SIZE; i++) {
        JumpCacheEntry *entry = &set->jumps[i];
        if (!keep_global || !global_jump(set, i))
            entry->pc = jump_empty(i);
        else if (entry->pc != jump_empty(i))
            note_exec_page(set, entry->pc);
    }
}

/* Jumps to a page; an instruction at the end of the page before may go on in it. */
static void clear_jumps_to(ContextSet *set, uint64_t page)
{
    if (!may_have_jumps(set, page) && !may_have_jumps(set, page - GUEST_PAGE_SIZE))
        return;
    memset(set->exec_pages, 0, sizeof(set->exec_pages));
    for (unsigned i = 0; i < JUMP_CACHE_SIZE; i++) {
        JumpCacheEntry *entry = &set->jumps[i];
        if (entry->pc == jump_empty(i))
            continue;
        if (page - (entry->pc & GUEST_PAGE_MASK) <= GUEST_PAGE_SIZE)
            entry->pc = jump_empty(i);
        else
            note_exec_page(set, entry->pc);
    }
}

/* ---- jumps of all sets ---- */

static unsigned shared_index(uint64_t pc)
{
    return pc >> 1 & (SHARED_JUMPS - 1);
}

static uint64_t *shared_page(TcgCpu *c, uint64_t page, uint64_t *mask)
{
    unsigned bit = (page >> GUEST_PAGE_BITS) * 0x9e3779b97f4a7c15 >> (64 - SHARED_PAGE_BITS);
    *mask = UINT64_C(1) << (bit & 63);
    return &c->shared_pages[bit >> 6];
}

static void note_shared(TcgCpu *c, uint64_t pc, void *code)
{
    uint64_t mask;
    *shared_page(c, pc & GUEST_PAGE_MASK, &mask) |= mask;
    c->shared_jumps[shared_index(pc)] = (SharedJump){ pc, code, c->cs->mode, c->shared_generation };
}

static void forget_shared(TcgCpu *c)
{
    memset(c->shared_pages, 0, sizeof(c->shared_pages));
    if (!++c->shared_generation) {
        memset(c->shared_jumps, 0, SHARED_JUMPS * sizeof(SharedJump));
        c->shared_generation = 1;
    }
}

/* Those that begin in the page. */
static void forget_shared_in(TcgCpu *c, uint64_t page)
{
    uint64_t mask;
    if (!(*shared_page(c, page, &mask) & mask))
        return;
    for (unsigned i = 0; i < GUEST_PAGE_SIZE / 2; i++) {
        SharedJump *jump = &c->shared_jumps[shared_index(page) + i];
        if ((jump->pc & GUEST_PAGE_MASK) == page)
            jump->generation = 0;
    }
}

static bool has_jumps(const ContextSet *set)
{
    uint64_t any = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(set->exec_pages); i++)
        any |= set->exec_pages[i];
    return any;
}

/* ---- large pages ---- */

static const uint8_t large_bits[] = { 21, 30, 39 };

static unsigned seen_bit(uint64_t va, unsigned bits)
{
    return ((va >> bits) + bits) * 0x9e3779b97f4a7c15 >> (64 - LARGE_SEEN_BITS);
}

static void forget_large(LargePages *l)
{
    if (l->sizes)
        memset(l, 0, sizeof(*l));
}

/* The next size that is no smaller; of 4 MiB, both halves. */
static void note_large(LargePages *l, uint64_t va, unsigned page_bits)
{
    unsigned i = page_bits <= 22 ? 0 : page_bits <= 30 ? 1 : 2, bits = large_bits[i];
    uint64_t other = page_bits == 22 ? va ^ UINT64_C(1) << 21 : va;
    l->sizes |= 1u << i;
    l->seen[seen_bit(va, bits) >> 6] |= UINT64_C(1) << (seen_bit(va, bits) & 63);
    l->seen[seen_bit(other, bits) >> 6] |= UINT64_C(1) << (seen_bit(other, bits) & 63);
}

static bool may_be_large(const LargePages *l, uint64_t va)
{
    for (unsigned i = 0; l->sizes >> i; i++) {
        unsigned bit = seen_bit(va, large_bits[i]);
        if (l->sizes >> i & 1 && l->seen[bit >> 6] >> (bit & 63) & 1)
            return true;
    }
    return false;
}

/* ---- flushing ---- */

static void set_generation(ContextSet *set, bool global, uint32_t generation)
{
    set->generation[global] = generation << 1;
    set->generation_change = set->generation[0] ^ set->generation[1];
    set->mix[0] = set->generation[0] * 0x9e3779b1u >> (32 - L2_LINE_BITS);
}

/* No set had this generation, or entries of it are gone: when all were used, everything behind the first level goes. */
static uint32_t new_generation(TcgCpu *c)
{
    if (c->last_generation < L2_GENERATIONS - 1)
        return ++c->last_generation;
    memset(c->l2->lines, 0xff, sizeof(c->l2->lines));
    memset(c->large, 0, sizeof(c->large));
    memset(c->other, 0, sizeof(c->other));
    memset(c->fetch, 0, sizeof(c->fetch));
    c->last_generation = 0;
    for (unsigned i = 0; i < c->set_count; i++) {
        bool shared = c->sets[i]->generation[1] != c->sets[i]->generation[0];
        set_generation(c->sets[i], false, ++c->last_generation);
        set_generation(c->sets[i], true, shared ? ++c->last_generation : c->last_generation);
    }
    return ++c->last_generation;
}

static void flush_first(TcgCpu *c, unsigned n, bool keep_global)
{
    ContextSet *set = c->sets[n];
    if (set->fills > TLB_LOG) {
        for (unsigned i = 0; i < TLB_SIZE; i++)
            set->read[i].tag = set->write[i].tag = TLB_EMPTY;
    } else {
        for (unsigned i = 0; i < set->fills; i++) {
            unsigned index = set->log[i] & (TLB_SIZE - 1);
            set->read[index].tag = set->write[index].tag = TLB_EMPTY;
        }
    }
    set->fills = 0;
    if (has_jumps(set))
        clear_jumps(set, keep_global);
}

/* The address space's own pages; what all have stays in the second level. */
static void flush_set(TcgCpu *c, unsigned n, bool keep_global)
{
    bool alone = c->sets[n]->generation[1] == c->sets[n]->generation[0];
    flush_first(c, n, keep_global);
    set_generation(c->sets[n], false, new_generation(c));
    if (alone)
        set_generation(c->sets[n], true, c->sets[n]->generation[0] >> 1);
    forget_large(&c->large_pages[n]);
}

/* The sets of one MMU mode share global pages, where there are such. */
static void share_globals(TcgCpu *c, unsigned n)
{
    ContextSet *set = c->sets[n];
    for (unsigned i = 0; i < c->set_count && tcg_has_globals(set); i++) {
        const ContextSet *other = c->sets[i];
        if (i != n && tcg_has_globals(other) && other->mmu_index == set->mmu_index) {
            set_generation(set, true, other->generation[1] >> 1);
            return;
        }
    }
    uint32_t own = set->generation[0] >> 1;
    set_generation(set, true, tcg_has_globals(set) ? new_generation(c) : own);
}

static void flush_everything(TcgCpu *c)
{
    for (unsigned i = 0; i < c->set_count; i++)
        flush_set(c, i, false);
    forget_shared(c);
    forget_large(&c->global_large_pages);
    uint32_t fresh = new_generation(c); /* before any is given out below */
    for (unsigned i = 0; i < c->set_count; i++) {
        if (tcg_has_globals(c->sets[i]))
            c->sets[i]->generation[1] = 0;
    }
    for (unsigned i = 0; i < c->set_count; i++) {
        ContextSet *set = c->sets[i];
        for (unsigned k = 0; k < i && tcg_has_globals(set); k++) {
            if (tcg_has_globals(c->sets[k]) && c->sets[k]->mmu_index == set->mmu_index)
                set_generation(set, true, c->sets[k]->generation[1] >> 1);
        }
        if (!set->generation[1]) {
            set_generation(set, true, fresh);
            fresh = new_generation(c);
        }
    }
}

bool tcg_contexts_init(TcgCpu *c)
{
    c->set_count = 0;
    c->l2 = g_aligned_alloc(1, sizeof(L2Table), 64);
    memset(c->l2->lines, 0xff, sizeof(c->l2->lines));
    c->shared_jumps = g_new0(SharedJump, SHARED_JUMPS);
    c->shared_generation = 1;
    tcg_context_changed(c->cs, 0, 0, 0);
    return true;
}

void tcg_contexts_free(TcgCpu *c)
{
    for (unsigned i = 0; i < c->set_count; i++)
        g_aligned_free(c->sets[i]);
    g_aligned_free(c->l2);
    g_free(c->shared_jumps);
}

/* A set for a new context: another one, or the one that was not used for longest. */
static unsigned new_set(TcgCpu *c)
{
    unsigned oldest = 0;
    if (c->set_count < CONTEXT_SETS) {
        ContextSet *set = g_aligned_alloc(1, (sizeof(ContextSet) + 63) & ~63ul, 64);
        memset(set, 0xff, offsetof(ContextSet, guesses_spent));
        set->jumps[JUMP_CACHE_SIZE - 1].pc = jump_empty(JUMP_CACHE_SIZE - 1);
        memset(&set->guesses_spent, 0, sizeof(*set) - offsetof(ContextSet, guesses_spent));
        set->l2 = c->l2;
        c->sets[c->set_count] = set;
        set_generation(set, false, new_generation(c));
        return c->set_count++;
    }
    for (unsigned i = 1; i < CONTEXT_SETS; i++) {
        if (c->sets[i]->last_use < c->sets[oldest]->last_use)
            oldest = i;
    }
    flush_set(c, oldest, false);
    return oldest;
}

void tcg_contexts_init_uncached(TcgCpu *c)
{
    c->cs->set = c->sets[new_set(c)];
}

static bool is_context(const ContextSet *set, uint64_t space, uint64_t outer, uint32_t mmu_index)
{
    return set->space == space && set->mmu_index == mmu_index && set->outer == outer;
}

/* The number of the set for a context; set_count: there is none. Tried first is where this one led to last: a system
 * call goes back and forth. */
static unsigned find_set(TcgCpu *c, ContextSet *now, uint64_t space, uint64_t outer, uint32_t mmu_index)
{
    unsigned n = 0;
    for (unsigned i = 0; now && i < G_N_ELEMENTS(now->next); i++) {
        n = now->next[i];
        if (n < c->set_count && is_context(c->sets[n], space, outer, mmu_index))
            return n;
    }
    for (n = 0; n < c->set_count && !is_context(c->sets[n], space, outer, mmu_index);)
        n++;
    if (now && n < c->set_count) {
        now->next[1] = now->next[0];
        now->next[0] = (uint8_t)n;
    }
    return n;
}

void tcg_context_changed(CpuState *cs, uint64_t space, uint64_t outer, uint32_t mmu_index)
{
    TcgCpu *c = with_tables(cs);
    cs->mmu_index = mmu_index;
    if (!c)
        return;
    ContextSet *now = cs->set;
    if (now && is_context(now, space, outer, mmu_index))
        return;
    TCG_COUNT(&c->stats, context_switches);
    unsigned n = find_set(c, now, space, outer, mmu_index);
    if (n == c->set_count) {
        TCG_COUNT(&c->stats, context_new);
        n = new_set(c);
        c->sets[n]->space = space;
        c->sets[n]->outer = outer;
        c->sets[n]->mmu_index = mmu_index;
        share_globals(c, n);
    }
    c->sets[n]->last_use = ++c->clock;
    c->current = n;
    cs->set = c->sets[n];
}

static bool matches(const ContextSet *set, const SpaceMatch *match)
{
    return (set->space & match->mask) == match->value && (set->outer & match->outer_mask) == match->outer_value;
}

/* All spaces without a second stage, so that what they share goes, too? */
static bool with_globals(const SpaceMatch *match)
{
    return !match->mask && !match->outer_value;
}

void tcg_flush_spaces(CpuState *cs, SpaceMatch match)
{
    TcgCpu *c = with_tables(cs);
    if (!c)
        return;
    if (with_globals(&match)) {
        tcg_flush_all(cs);
        return;
    }
    TCG_COUNT(&c->stats, flush_space);
    for (unsigned i = 0; i < c->set_count; i++) {
        if (matches(c->sets[i], &match))
            flush_set(c, i, true);
    }
}

void tcg_flush_all(CpuState *cs)
{
    TcgCpu *c = with_tables(cs);
    log_printf(LOG_MMU, "tcg: flush all\n");
    if (!c)
        return;
    TCG_COUNT(&c->stats, flush_all);
    flush_everything(c);
}

static void flush_page_in(TcgCpu *c, unsigned n, uint64_t page)
{
    ContextSet *set = c->sets[n];
    if (may_be_large(&c->large_pages[n], page)) {
        flush_set(c, n, true);
        return;
    }
    unsigned index = page >> GUEST_PAGE_BITS & (TLB_SIZE - 1), line = tcg_l2_line(set, page);
    if (set->read[index].tag == page)
        set->read[index].tag = TLB_EMPTY;
    if (set->write[index].tag == page)
        set->write[index].tag = TLB_EMPTY;
    for (unsigned way = 0; way < L2_WAYS; way++) {
        if ((c->l2->lines[line].tag[way] & GUEST_PAGE_MASK) == page)
            c->l2->lines[line].tag[way] = L2_EMPTY;
    }
    PageEntry *other = &c->other[page >> GUEST_PAGE_BITS & ((1 << OTHER_BITS) - 1)];
    if (other->va == page)
        other->generation = 0;
    FetchEntry *fetch = &c->fetch[line & ((1 << FETCH_BITS) - 1)];
    if (fetch->tag == page)
        fetch->generation = 0;
    clear_jumps_to(set, page);
}

void tcg_flush_page(CpuState *cs, uint64_t va, SpaceMatch match)
{
    TcgCpu *c = with_tables(cs);
    if (!c)
        return;
    TCG_COUNT(&c->stats, flush_page);
    if (with_globals(&match) && may_be_large(&c->global_large_pages, va)) {
        flush_everything(c);
        return;
    }
    forget_shared_in(c, va & GUEST_PAGE_MASK);
    forget_shared_in(c, (va & GUEST_PAGE_MASK) - GUEST_PAGE_SIZE); /* whose last instruction may go on here */
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
    if (set->fills < TLB_LOG)
        set->log[set->fills] = index;
    if (set->fills <= TLB_LOG)
        set->fills++;
}

/* Where one address is flushed, all of a large page must go. Of what only one set can find, only that set's. */
void tcg_note_large(TcgCpu *c, uint64_t va, unsigned page_bits, bool global)
{
    bool all = global && tcg_has_globals(c->cs->set);
    note_large(all ? &c->global_large_pages : &c->large_pages[c->current], va, page_bits);
}

static void enter_jump(ContextSet *set, uint64_t pc, void *code, bool global)
{
    unsigned index = pc >> 1 & (JUMP_CACHE_SIZE - 1);
    JumpCacheEntry *entry = &set->jumps[index];
    note_exec_page(set, pc);
    set->global_jumps[index >> 6] &= ~(1ull << (index & 63));
    set->global_jumps[index >> 6] |= (uint64_t)global << (index & 63);
    if (!global && set->own_jumps < JUMP_LOG)
        set->jump_log[set->own_jumps] = (uint16_t)index;
    set->own_jumps += !global && set->own_jumps <= JUMP_LOG;
    entry->pc = pc;
    entry->code = code;
}

/* First the mark, then the look whether it is valid: who drops a unit does it the other way round, and writes to all
 * that have the mark. */
void tcg_note_jump(TcgCpu *c, uint64_t pc, Unit *u, bool global)
{
    uint64_t mark = UINT64_C(1) << c->vcpu->index % 64;
    if (!(__atomic_load_n(&u->users, __ATOMIC_RELAXED) & mark))
        __atomic_fetch_or(&u->users, mark, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&u->valid, __ATOMIC_SEQ_CST))
        return;
    enter_jump(c->cs->set, pc, u->code, global);
    if (global)
        note_shared(c, pc, u->code);
}

void *tcg_shared_jump(TcgCpu *c, uint64_t pc)
{
    const SharedJump *jump = &c->shared_jumps[shared_index(pc)];
    if (jump->pc != pc || jump->mode != c->cs->mode || jump->generation != c->shared_generation ||
        !tcg_has_globals(c->cs->set))
        return NULL;
    TCG_COUNT(&c->stats, shared_jumps);
    enter_jump(c->cs->set, pc, jump->code, true);
    return jump->code;
}

/* The place in its page is the lower part of an entry's index. */
void tcg_forget_jump(TcgCpu *c, uintptr_t code, unsigned in_page)
{
    for (unsigned i = in_page >> 1; i < SHARED_JUMPS; i += GUEST_PAGE_SIZE / 2) {
        if ((uintptr_t)c->shared_jumps[i].code == code)
            c->shared_jumps[i].generation = 0;
    }
    for (unsigned n = 0; n < c->set_count; n++) {
        for (unsigned i = in_page >> 1; i < JUMP_CACHE_SIZE; i += GUEST_PAGE_SIZE / 2) {
            JumpCacheEntry *entry = &c->sets[n]->jumps[i];
            if ((uintptr_t)entry->code == code)
                entry->pc = jump_empty(i);
        }
    }
}
G_STATIC_ASSERT(JUMP_CACHE_SIZE >= GUEST_PAGE_SIZE / 2);

void tcg_forget_code(TcgCpu *c, uintptr_t from, uintptr_t to)
{
    for (unsigned i = 0; i < SHARED_JUMPS; i++) {
        SharedJump *jump = &c->shared_jumps[i];
        if ((uintptr_t)jump->code >= from && (uintptr_t)jump->code < to)
            jump->generation = 0;
    }
    for (unsigned n = 0; n < c->set_count; n++) {
        for (unsigned i = 0; i < JUMP_CACHE_SIZE; i++) {
            JumpCacheEntry *entry = &c->sets[n]->jumps[i];
            if ((uintptr_t)entry->code >= from && (uintptr_t)entry->code < to)
                entry->pc = jump_empty(i);
        }
    }
}

static inline bool leads_to(const TlbEntry *entry, uintptr_t host_page)
{
    return entry->tag + entry->addend == host_page;
}

static void forget_write(TlbEntry *entry, uintptr_t host_page)
{
    if (leads_to(entry, host_page))
        entry->tag = TLB_EMPTY;
}

void tcg_forget_writes(TcgCpu *c, uintptr_t host_page)
{
    for (unsigned n = 0; n < c->set_count; n++) {
        ContextSet *set = c->sets[n];
        if (set->fills <= TLB_LOG) {
            for (unsigned i = 0; i < set->fills; i++)
                forget_write(&set->write[set->log[i]], host_page);
        } else {
            for (TlbEntry *w = set->write; w < set->write + TLB_SIZE; w += 4) { /* almost never is it there */
                if (G_LIKELY(!leads_to(w, host_page) && !leads_to(w + 1, host_page) && !leads_to(w + 2, host_page) &&
                             !leads_to(w + 3, host_page)))
                    continue;
                for (unsigned i = 0; i < 4; i++)
                    forget_write(w + i, host_page);
            }
        }
    }
}

void tcg_forget_all_writes(TcgCpu *c)
{
    for (unsigned n = 0; n < c->set_count; n++) {
        for (unsigned i = 0; i < TLB_SIZE; i++)
            c->sets[n]->write[i].tag = TLB_EMPTY;
    }
}
