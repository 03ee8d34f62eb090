/*
 * RISC-V address translation and protection: Sv32, Sv39, Sv48, Sv57 with hardware updates of A and D (Svadu), Svnapot,
 * Svpbmt, PMP (privileged ISA 20240411, sections 3.7 and 12.3-12.6). PMP regions have a grain of 4 KiB, so that a page
 * is always wholly inside or outside.
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/cpu.h"
#include "util/log.h"
#include <inttypes.h>

enum { PTE_V = 1, PTE_R = 2, PTE_W = 4, PTE_X = 8, PTE_U = 16, PTE_G = 32, PTE_A = 64, PTE_D = 128 };
#define PTE_PBMT     (3ull << 61)
#define PTE_N        (1ull << 63)
#define PTE_RESERVED (0x7full << 54)
#define NAPOT_PAGES  16 /* the only size: 64 KiB */
enum { PMP_R = 1, PMP_W = 2, PMP_X = 4, PMP_A = 0x18, PMP_TOR = 0x08, PMP_NAPOT = 0x18, PMP_L = 0x80 };

/* ---- PMP ---- */

void riscv_pmp_changed(RiscvState *s)
{
    s->pmp_active = 0;
    for (unsigned i = 0; i < PMP_ENTRIES; i++) {
        if (s->pmpcfg[i] & PMP_A)
            s->pmp_active = i + 1;
    }
    tcg_flush_all(&s->cs);
}

static bool pmp_matches(const RiscvState *s, unsigned i, uint64_t phys)
{
    uint64_t addr = s->pmpaddr[i], word = phys >> 2;
    switch (s->pmpcfg[i] & PMP_A) {
    case PMP_TOR:
        return word >= (i ? s->pmpaddr[i - 1] & ~0x3ffull : 0) && word < (addr & ~0x3ffull);
    case PMP_NAPOT: {
        uint64_t mask = (addr | 0x1ff) ^ ((addr | 0x1ff) + 1);
        return !((word ^ addr) & ~mask);
    }
    default:
        return false;
    }
}

/* What entry cfg grants where machine mode is locked down (Smepmp 1.0, section 2.1). */
static unsigned lockdown_rights(uint8_t cfg, bool machine)
{
    unsigned rwx = cfg & (PMP_R | PMP_W | PMP_X);
    bool locked = cfg & PMP_L;
    if ((rwx & (PMP_R | PMP_W)) == PMP_W) { /* shared by machine mode and the others */
        static const uint8_t of_machine[] = { PMP_R | PMP_W, PMP_R | PMP_W, PMP_X, PMP_R | PMP_X },
                             of_others[] = { PMP_R, PMP_R | PMP_W, PMP_X, PMP_X };
        unsigned kind = (locked ? 2 : 0) | (rwx & PMP_X ? 1 : 0);
        return machine ? of_machine[kind] : of_others[kind];
    }
    if (locked && rwx == (PMP_R | PMP_W | PMP_X))
        return PMP_R;
    return locked == machine ? rwx : 0;
}

bool riscv_pmp_allows(const RiscvState *s, uint64_t phys, Access access, unsigned priv)
{
    static const uint8_t need[] = { [ACCESS_LOAD] = PMP_R, [ACCESS_STORE] = PMP_W, [ACCESS_FETCH] = PMP_X };
    for (unsigned i = 0; i < s->pmp_active; i++) {
        if (!pmp_matches(s, i, phys))
            continue;
        if (s->mseccfg & MSECCFG_MML)
            return lockdown_rights(s->pmpcfg[i], priv == PRIV_M) & need[access];
        return (priv == PRIV_M && !(s->pmpcfg[i] & PMP_L)) || (s->pmpcfg[i] & need[access]);
    }
    if (priv != PRIV_M)
        return !s->pmp_active;
    return !(s->mseccfg & MSECCFG_MMWP) && !(s->mseccfg & MSECCFG_MML && access == ACCESS_FETCH);
}

/* Do all addresses of [base, base + size) have the same protection? size: a power of two, base a multiple of it. */
static bool pmp_uniform(const RiscvState *s, uint64_t base, uint64_t size)
{
    for (unsigned i = 0; i < s->pmp_active; i++) {
        uint64_t low = i ? (s->pmpaddr[i - 1] & ~0x3ffull) << 2 : 0, high = (s->pmpaddr[i] & ~0x3ffull) << 2;
        if ((s->pmpcfg[i] & PMP_A) == PMP_NAPOT) {
            uint64_t mask = (s->pmpaddr[i] | 0x1ff) ^ ((s->pmpaddr[i] | 0x1ff) + 1);
            low = (s->pmpaddr[i] & ~mask) << 2;
            high = low + ((mask + 1) << 2); /* 0: all of it */
        } else if ((s->pmpcfg[i] & PMP_A) != PMP_TOR) {
            continue;
        }
        if (base <= high - 1 && base + size - 1 >= low)
            return base >= low && base + size - 1 <= high - 1;
    }
    return true;
}

/* The largest page size up to page_bits in which phys has one protection. */
static unsigned pmp_page_bits(const RiscvState *s, uint64_t phys, unsigned page_bits)
{
    if (page_bits >= 21 && pmp_uniform(s, phys >> 21 << 21, 1 << 21))
        return 21;
    return GUEST_PAGE_BITS;
}

/* ---- walks ---- */

typedef struct Scheme {
    uint8_t levels, index_bits, pte_size, va_bits;
} Scheme;

static bool scheme_of(const RiscvState *s, Scheme *out)
{
    if (s->xlen == 32) {
        *out = (Scheme){ 2, 10, 4, 32 };
        return s->satp >> 31 & 1;
    }
    unsigned mode = s->satp >> 60;
    if (mode < SATP_SV39)
        return false;
    unsigned levels = 3 + mode - SATP_SV39;
    *out = (Scheme){ levels, 9, 8, 12 + 9 * levels };
    return true;
}

static bool walk_fault(RiscvState *s, uint64_t va, Access access, bool page, bool raise)
{
    static const uint8_t page_cause[] = { CAUSE_LOAD_PAGE, CAUSE_STORE_PAGE, CAUSE_FETCH_PAGE };
    static const uint8_t access_cause[] = { CAUSE_LOAD_ACCESS, CAUSE_STORE_ACCESS, CAUSE_FETCH_ACCESS };
    if (raise) {
        if (access == ACCESS_LOAD && s->faults_as_stores)
            access = ACCESS_STORE;
        log_printf(LOG_MMU, "riscv: hart %" PRIu64 " %s fault at %" PRIx64 "\n", s->hart, page ? "page" : "access", va);
        riscv_raise(s, page ? page_cause[access] : access_cause[access], va);
    }
    return false;
}

/* Bits above the page number (RV64): is the entry reserved? */
static bool reserved_bits(const RiscvState *s, uint64_t pte, bool leaf, int level)
{
    if (s->xlen == 32 || !(pte >> 54))
        return false;
    if (pte & PTE_RESERVED || (!leaf && pte >> 54))
        return true;
    if (pte & PTE_PBMT && (!(s->menvcfg & MENVCFG_PBMTE) || (pte & PTE_PBMT) == PTE_PBMT))
        return true;
    return pte & PTE_N && (!riscv_has(s, EXT_SVNAPOT) || level || (pte >> 10 & (NAPOT_PAGES - 1)) != NAPOT_PAGES / 2);
}

/* Where a leaf's page is, in a range of pages that of va. */
static uint64_t leaf_base(const RiscvState *s, uint64_t pte, uint64_t va)
{
    uint64_t page = s->xlen == 32 ? pte >> 10 : pte >> 10 & 0xfffffffffff;
    if (s->xlen == 64 && pte & PTE_N)
        page = (page & ~(uint64_t)(NAPOT_PAGES - 1)) | (va >> 12 & (NAPOT_PAGES - 1));
    return page << 12;
}

/* May this leaf be used so? Without the A and D bits. */
static bool leaf_allows(uint64_t pte, Access access, unsigned priv, unsigned mmu_index)
{
    if (priv == PRIV_U ? !(pte & PTE_U) : (pte & PTE_U) && (access == ACCESS_FETCH || !(mmu_index & MMU_SUM)))
        return false;
    switch (access) {
    case ACCESS_LOAD:
        return pte & PTE_R || (mmu_index & MMU_MXR && pte & PTE_X);
    case ACCESS_STORE:
        return pte & PTE_W;
    default:
        return pte & PTE_X;
    }
}

/* Set A (and D) as the access needs. 1: done or not needed, 0: fault, -1: the entry changed meanwhile, -2: no memory
 * there. */
static int update_leaf(RiscvState *s, uint64_t *pte, uint64_t at, unsigned size, Access access)
{
    uint64_t want = *pte | PTE_A | (access == ACCESS_STORE ? PTE_D : 0);
    bool swapped;
    if (want == *pte)
        return 1;
    if (!(s->menvcfg & MENVCFG_ADUE))
        return 0;
    if (!riscv_pmp_allows(s, at, ACCESS_STORE, PRIV_S) || !tcg_phys_cas(&s->cs, at, size, *pte, want, &swapped))
        return -2;
    *pte = want;
    return swapped ? 1 : -1;
}

static bool finish_walk(RiscvState *s, uint64_t va, uint64_t phys, uint64_t pte, unsigned page_bits, Access access,
                        unsigned priv, unsigned mmu_index, bool raise, Walk *w)
{
    if (!riscv_pmp_allows(s, phys, access, priv))
        return walk_fault(s, va, access, false, raise);
    bool fetch = access == ACCESS_FETCH;
    *w = (Walk){
        .phys = phys,
        .page_bits = s->cs.watching ? GUEST_PAGE_BITS : pmp_page_bits(s, phys, page_bits),
        .watch = !fetch && s->cs.watching && riscv_trigger_page(s, va),
        .global = pte & PTE_G,
        .read =
            !fetch && leaf_allows(pte, ACCESS_LOAD, priv, mmu_index) && riscv_pmp_allows(s, phys, ACCESS_LOAD, priv),
        .write = !fetch && pte & PTE_D && leaf_allows(pte, ACCESS_STORE, priv, mmu_index) &&
                 riscv_pmp_allows(s, phys, ACCESS_STORE, priv),
        .execute = fetch,
    };
    return true;
}

bool riscv_walk(CpuState *cs, uint64_t va, Access access, unsigned mmu_index, bool raise, Walk *w)
{
    RiscvState *s = riscv(cs);
    unsigned priv = access == ACCESS_FETCH ? mmu_index >> MMU_FETCH_SHIFT & 3 : mmu_index & MMU_PRIV;
    Scheme scheme;

    if (s->xlen == 32)
        va = (uint32_t)va;
    if (priv == PRIV_M || !scheme_of(s, &scheme))
        return finish_walk(s, va, va, PTE_R | PTE_W | PTE_X | PTE_D | (priv == PRIV_U ? PTE_U : 0), 30, access, priv,
                           MMU_SUM, raise, w);
    if (raise)
        riscv_pmu_walk(s, access);
    if (s->xlen == 64 && (uint64_t)((int64_t)(va << (64 - scheme.va_bits)) >> (64 - scheme.va_bits)) != va)
        return walk_fault(s, va, access, true, raise);
again:;
    uint64_t table = (s->xlen == 32 ? s->satp & 0x3fffff : s->satp & 0xfffffffffff) << 12;
    for (int level = scheme.levels - 1; level >= 0; level--) {
        unsigned shift = 12 + scheme.index_bits * level;
        uint64_t at = table + (va >> shift & ((1u << scheme.index_bits) - 1)) * scheme.pte_size, pte;
        if (!riscv_pmp_allows(s, at, ACCESS_LOAD, PRIV_S) || !tcg_phys_load(cs, at, scheme.pte_size, &pte))
            return walk_fault(s, va, access, false, raise);
        if (!(pte & PTE_V) || (pte & (PTE_R | PTE_W)) == PTE_W)
            return walk_fault(s, va, access, true, raise);
        bool leaf = pte & (PTE_R | PTE_W | PTE_X);
        uint64_t base = leaf_base(s, pte, va);
        if (reserved_bits(s, pte, leaf, level))
            return walk_fault(s, va, access, true, raise);
        if (!leaf) {
            if (pte & (PTE_U | PTE_A | PTE_D))
                return walk_fault(s, va, access, true, raise);
            table = base;
            continue;
        }
        uint64_t offset = va & ((1ull << shift) - 1);
        if (base & ((1ull << shift) - 1) || !leaf_allows(pte, access, priv, mmu_index))
            return walk_fault(s, va, access, true, raise);
        int updated = raise ? update_leaf(s, &pte, at, scheme.pte_size, access) : 1; /* a debugger leaves no trace */
        if (updated == -1)
            goto again;
        if (updated <= 0)
            return walk_fault(s, va, access, updated == 0, raise);
        return finish_walk(s, va, base | offset, pte, shift, access, priv, mmu_index, raise, w);
    }
    return walk_fault(s, va, access, true, raise);
}

void riscv_probe_block(RiscvState *s, uint64_t va)
{
    Walk w;
    unsigned index = s->cs.mmu_index;
    if (riscv_walk(&s->cs, va, ACCESS_LOAD, index, false, &w)) {
        s->faults_as_stores = true; /* still, A may be clear and not be ours to set */
        riscv_walk(&s->cs, va, ACCESS_LOAD, index, true, &w);
        s->faults_as_stores = false;
    } else {
        riscv_walk(&s->cs, va, ACCESS_STORE, index, true, &w);
    }
}

/* ---- info mem ---- */

typedef struct Listing {
    RiscvState *s;
    GString *out;
    Scheme scheme;
    uint64_t va, phys, size, flags; /* the run being collected */
    unsigned lines;
} Listing;

static void listing_flush(Listing *l)
{
    if (l->size && l->lines++ < 1000)
        g_string_append_printf(l->out, "%016" PRIx64 " %016" PRIx64 " %016" PRIx64 " %c%c%c%c%c%c%c\n", l->va, l->phys,
                               l->size, l->flags & PTE_R ? 'r' : '-', l->flags & PTE_W ? 'w' : '-',
                               l->flags & PTE_X ? 'x' : '-', l->flags & PTE_U ? 'u' : '-', l->flags & PTE_G ? 'g' : '-',
                               l->flags & PTE_A ? 'a' : '-', l->flags & PTE_D ? 'd' : '-');
    l->size = 0;
}

static void list_table(Listing *l, uint64_t table, int level, uint64_t va)
{
    unsigned shift = 12 + l->scheme.index_bits * level;
    for (unsigned i = 0; i < 1u << l->scheme.index_bits && l->lines < 1000; i++) {
        uint64_t pte, at = va + ((uint64_t)i << shift);
        if (!tcg_phys_load(&l->s->cs, table + i * l->scheme.pte_size, l->scheme.pte_size, &pte) || !(pte & PTE_V))
            continue;
        uint64_t base = leaf_base(l->s, pte, at);
        if (!(pte & (PTE_R | PTE_W | PTE_X))) {
            if (level)
                list_table(l, base, level - 1, at);
            continue;
        }
        at = (uint64_t)((int64_t)(at << (64 - l->scheme.va_bits)) >> (64 - l->scheme.va_bits));
        if (!l->size || at != l->va + l->size || base != l->phys + l->size || l->flags != (pte & 0xfe)) {
            listing_flush(l);
            l->va = at;
            l->phys = base;
            l->flags = pte & 0xfe;
        }
        l->size += 1ull << shift;
    }
}

void riscv_info_mem(CpuState *cs, GString *out)
{
    Listing l = { .s = riscv(cs), .out = out };
    if (!scheme_of(l.s, &l.scheme)) {
        g_string_append(out, "No translation or protection\n");
        return;
    }
    g_string_append(out, "vaddr            paddr            size             attr\n");
    list_table(&l, (l.s->xlen == 32 ? l.s->satp & 0x3fffff : l.s->satp & 0xfffffffffff) << 12, l.scheme.levels - 1, 0);
    listing_flush(&l);
    if (l.lines >= 1000)
        g_string_append(out, "(more)\n");
}
