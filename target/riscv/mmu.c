/*
 * RISC-V address translation and protection: Sv32, Sv39, Sv48, Sv57 and the hypervisor's second stage (Sv32x4 ...),
 * with hardware updates of A and D (Svadu), Svnapot, Svpbmt, PMP (privileged ISA 20240411,
 * sections 3.7, 12.3-12.6, 18.5). PMP regions have a grain of 4 KiB, so that a page is always wholly inside or outside.
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

/* One stage of translation: where its tables are, and what holds for their entries. */
typedef struct Stage {
    uint8_t levels, index_bits, pte_size, address_bits; /* levels 0: Bare */
    uint8_t root_bits;                                  /* of the index into the root table */
    uint64_t root;
    uint64_t envcfg;           /* PBMTE and ADUE for it */
    bool second;               /* of guest physical addresses: every access counts as a user's */
    const struct Stage *below; /* what translates addresses of the tables; NULL: they are physical */
} Stage;

/* What is asked for. Failure goes to the members below. */
typedef struct Lookup {
    RiscvState *s;
    Access access;
    bool raise; /* and may change memory: A and D */
    enum { FAULT_ACCESS, FAULT_PAGE, FAULT_GUEST_PAGE } fault;
    uint64_t gpa;    /* FAULT_GUEST_PAGE: what was not mapped, */
    uint32_t pseudo; /* and htinst, if it was a table's entry */
} Lookup;

typedef struct Leaf {
    uint64_t address; /* what the address asked for is here */
    uint64_t pte;
    unsigned page_bits;
} Leaf;

#define PTE_ALL (PTE_R | PTE_W | PTE_X | PTE_U | PTE_D) /* of a leaf where there is no translation */

static void set_stage(const RiscvState *s, uint64_t atp, Stage *out)
{
    if (s->xlen == 32) {
        out->levels = atp >> 31 & 1 ? 2 : 0;
        out->index_bits = out->root_bits = 10;
        out->pte_size = 4;
        out->root = (atp & 0x3fffff) << 12;
    } else {
        out->levels = atp >> 60 ? (atp >> 60) - SATP_SV39 + 3 : 0;
        out->index_bits = out->root_bits = 9;
        out->pte_size = 8;
        out->root = (atp & 0xfffffffffff) << 12;
    }
    out->address_bits = 12 + out->index_bits * out->levels;
}

static Stage supervisor_stage(const RiscvState *s)
{
    Stage out = { .envcfg = s->menvcfg };
    set_stage(s, s->satp, &out);
    return out;
}
static Stage second_stage(const RiscvState *s)
{
    Stage out = { .envcfg = s->menvcfg, .second = true };
    set_stage(s, s->hgatp, &out);
    out.root_bits += 2; /* Sv32x4, Sv39x4 ... */
    out.address_bits += 2;
    return out;
}
static Stage guest_stage(const RiscvState *s, const Stage *second)
{
    Stage out = { .envcfg = s->henvcfg & s->menvcfg, .below = second };
    set_stage(s, s->vsatp, &out);
    return out;
}

static bool fail(Lookup *l, int fault)
{
    l->fault = fault;
    return false;
}

/* Raise what the look-up of va failed with. */
static bool walk_fault(const Lookup *l, uint64_t va)
{
    static const uint8_t causes[][3] = {
        [FAULT_ACCESS] = { CAUSE_LOAD_ACCESS, CAUSE_STORE_ACCESS, CAUSE_FETCH_ACCESS },
        [FAULT_PAGE] = { CAUSE_LOAD_PAGE, CAUSE_STORE_PAGE, CAUSE_FETCH_PAGE },
        [FAULT_GUEST_PAGE] = { CAUSE_LOAD_GUEST_PAGE, CAUSE_STORE_GUEST_PAGE, CAUSE_FETCH_GUEST_PAGE },
    };
    static const char *const names[] = { "access", "page", "guest page" };
    RiscvState *s = l->s;
    if (!l->raise)
        return false;
    unsigned cause = causes[l->fault][l->access == ACCESS_LOAD && s->faults_as_stores ? ACCESS_STORE : l->access];
    log_printf(LOG_MMU, "riscv: hart %" PRIu64 " %s fault at %" PRIx64 "\n", s->hart, names[l->fault], va);
    if (l->fault == FAULT_GUEST_PAGE)
        riscv_raise_guest_page(s, cause, va, l->gpa, l->pseudo);
    else
        riscv_raise(s, cause, va);
    return false;
}

/* Bits above the page number (RV64): is the entry reserved? */
static bool reserved_bits(const RiscvState *s, const Stage *stage, uint64_t pte, bool leaf, int level)
{
    if (s->xlen == 32 || !(pte >> 54))
        return false;
    if (pte & PTE_RESERVED || (!leaf && pte >> 54))
        return true;
    if (pte & PTE_PBMT && (!(stage->envcfg & MENVCFG_PBMTE) || (pte & PTE_PBMT) == PTE_PBMT))
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
        if (mmu_index & MMU_HLVX)
            return pte & PTE_X;
        return pte & PTE_R || (mmu_index & MMU_MXR && pte & PTE_X);
    case ACCESS_STORE:
        return pte & PTE_W;
    default:
        return pte & PTE_X;
    }
}

static bool walk_second(Lookup *l, const Stage *stage, uint64_t gpa, Access access, unsigned mmu_index, Leaf *out);

/* Where a table's entry, at *at in what the stage's tables lie in, is in physical memory. */
static bool locate_entry(Lookup *l, const Stage *stage, uint64_t *at, Access access)
{
    if (stage->below) {
        Leaf leaf;
        if (!walk_second(l, stage->below, *at, access, 0, &leaf)) {
            if (l->fault == FAULT_GUEST_PAGE)
                l->pseudo = (stage->pte_size == 8 ? 0x3000 : 0x2000) | (access == ACCESS_STORE ? 0x20 : 0);
            return false;
        }
        *at = leaf.address;
    }
    return riscv_pmp_allows(l->s, *at, access, PRIV_S) || fail(l, FAULT_ACCESS);
}

static bool load_entry(Lookup *l, const Stage *stage, uint64_t at, uint64_t *pte)
{
    return locate_entry(l, stage, &at, ACCESS_LOAD) &&
           (tcg_phys_load(&l->s->cs, at, stage->pte_size, pte) || fail(l, FAULT_ACCESS));
}

/* Set A (and D) as the access needs. False: a fault, or (with *again) the entry changed meanwhile. */
static bool update_leaf(Lookup *l, const Stage *stage, uint64_t *pte, uint64_t at, Access access, bool *again)
{
    uint64_t want = *pte | PTE_A | (access == ACCESS_STORE ? PTE_D : 0);
    bool swapped;
    if (want == *pte || !l->raise) /* a debugger leaves no trace */
        return true;
    if (!(stage->envcfg & MENVCFG_ADUE))
        return fail(l, stage->second ? FAULT_GUEST_PAGE : FAULT_PAGE);
    if (!locate_entry(l, stage, &at, ACCESS_STORE))
        return false;
    if (!tcg_phys_cas(&l->s->cs, at, stage->pte_size, *pte, want, &swapped))
        return fail(l, FAULT_ACCESS);
    *pte = want;
    *again = !swapped;
    return swapped;
}

/* A leaf found at `at`: may it be used, and where does it lead? */
static bool use_leaf(Lookup *l, const Stage *stage, uint64_t at, uint64_t pte, unsigned shift, uint64_t va,
                     Access access, unsigned priv, unsigned mmu_index, Leaf *out, bool *again)
{
    uint64_t base = leaf_base(l->s, pte, va), low = (1ull << shift) - 1;
    if (base & low || !leaf_allows(pte, access, priv, mmu_index))
        return fail(l, stage->second ? FAULT_GUEST_PAGE : FAULT_PAGE);
    if (!update_leaf(l, stage, &pte, at, access, again))
        return false;
    *out = (Leaf){ base | (va & low), pte, shift };
    return true;
}

/* The leaf for va in one stage. */
static bool walk_stage(Lookup *l, const Stage *stage, uint64_t va, Access access, unsigned priv, unsigned mmu_index,
                       Leaf *out)
{
    const int bad = stage->second ? FAULT_GUEST_PAGE : FAULT_PAGE;
    for (bool again = true; again;) {
        uint64_t table = stage->root;
        again = false;
        for (int level = stage->levels - 1; level >= 0; level--) {
            unsigned shift = 12 + stage->index_bits * level,
                     bits = level == stage->levels - 1 ? stage->root_bits : stage->index_bits;
            uint64_t at = table + (va >> shift & ((1u << bits) - 1)) * stage->pte_size, pte;
            if (!load_entry(l, stage, at, &pte))
                return false;
            bool leaf = pte & (PTE_R | PTE_W | PTE_X);
            if (!(pte & PTE_V) || (pte & (PTE_R | PTE_W)) == PTE_W || reserved_bits(l->s, stage, pte, leaf, level) ||
                (!leaf && pte & (PTE_U | PTE_A | PTE_D)))
                return fail(l, bad);
            if (leaf) {
                if (use_leaf(l, stage, at, pte, shift, va, access, priv, mmu_index, out, &again))
                    return true;
                if (!again)
                    return false;
                break;
            }
            table = leaf_base(l->s, pte, va);
        }
        if (!again)
            return fail(l, bad);
    }
    return false;
}

/* The first stage, where it translates: is va an address at all? */
static bool walk_first(Lookup *l, const Stage *stage, uint64_t va, unsigned priv, unsigned mmu_index, Leaf *out)
{
    unsigned spare = 64 - stage->address_bits;
    if (!stage->levels)
        *out = (Leaf){ va, PTE_ALL, 30 };
    else if (l->s->xlen == 64 && (uint64_t)((int64_t)(va << spare) >> spare) != va)
        return fail(l, FAULT_PAGE);
    else
        return walk_stage(l, stage, va, l->access, priv, mmu_index, out);
    return true;
}

static bool walk_second(Lookup *l, const Stage *stage, uint64_t gpa, Access access, unsigned mmu_index, Leaf *out)
{
    l->gpa = gpa;
    if (!stage->levels)
        *out = (Leaf){ gpa, PTE_ALL, 30 };
    else if (gpa >> stage->address_bits)
        return fail(l, FAULT_GUEST_PAGE);
    else
        return walk_stage(l, stage, gpa, access, PRIV_U, mmu_index, out);
    return true;
}

/* Which of load, store may be done to a leaf without another walk. */
static unsigned leaf_rights(const Leaf *leaf, unsigned priv, unsigned mmu_index)
{
    return (leaf_allows(leaf->pte, ACCESS_LOAD, priv, mmu_index) ? PTE_R : 0) |
           (leaf->pte & PTE_D && leaf_allows(leaf->pte, ACCESS_STORE, priv, mmu_index) ? PTE_W : 0);
}

static bool finish_walk(Lookup *l, uint64_t va, const Leaf *leaf, unsigned priv, unsigned rights, Walk *w)
{
    const RiscvState *s = l->s;
    bool fetch = l->access == ACCESS_FETCH;
    uint64_t phys = leaf->address;
    if (!riscv_pmp_allows(s, phys, l->access, priv)) {
        fail(l, FAULT_ACCESS);
        return walk_fault(l, va);
    }
    *w = (Walk){
        .phys = phys,
        .page_bits = s->cs.watching ? GUEST_PAGE_BITS : pmp_page_bits(s, phys, leaf->page_bits),
        .watch = !fetch && s->cs.watching && riscv_trigger_page(s, va),
        .global = leaf->pte & PTE_G,
        .read = !fetch && rights & PTE_R && riscv_pmp_allows(s, phys, ACCESS_LOAD, priv),
        .write = !fetch && rights & PTE_W && riscv_pmp_allows(s, phys, ACCESS_STORE, priv),
        .execute = fetch,
    };
    return true;
}

/* Two stages: vsatp's, hgatp's. */
static bool walk_guest(Lookup *l, uint64_t va, unsigned priv, unsigned mmu_index, Walk *w)
{
    const Stage second = second_stage(l->s), first = guest_stage(l->s, &second);
    unsigned outer_index = (mmu_index & MMU_HLVX) | (mmu_index & MMU_MXR_OUTER ? MMU_MXR : 0);
    Leaf leaf, outer;
    if (!walk_first(l, &first, va, priv, mmu_index, &leaf))
        return walk_fault(l, va);
    if (!walk_second(l, &second, leaf.address, l->access, outer_index, &outer))
        return walk_fault(l, va);
    unsigned rights = leaf_rights(&outer, PRIV_U, outer_index);
    if (first.levels)
        rights &= leaf_rights(&leaf, priv, mmu_index);
    outer.page_bits = MIN(outer.page_bits, leaf.page_bits);
    return finish_walk(l, va, &outer, priv, rights, w);
}

bool riscv_walk(CpuState *cs, uint64_t va, Access access, unsigned mmu_index, bool raise, Walk *w)
{
    RiscvState *s = riscv(cs);
    bool fetch = access == ACCESS_FETCH;
    unsigned priv = fetch ? mmu_index >> MMU_FETCH_SHIFT & 3 : mmu_index & MMU_PRIV;
    Lookup l = { .s = s, .access = access, .raise = raise };
    Leaf leaf;

    if (s->xlen == 32)
        va = (uint32_t)va;
    if (mmu_index & (fetch ? MMU_FETCH_VIRT : MMU_VIRT))
        return walk_guest(&l, va, priv, mmu_index, w);
    const Stage stage = priv == PRIV_M ? (Stage){ 0 } : supervisor_stage(s);
    if (raise && stage.levels)
        riscv_pmu_walk(s, access);
    if (!walk_first(&l, &stage, va, priv, mmu_index, &leaf))
        return walk_fault(&l, va);
    return finish_walk(&l, va, &leaf, priv, stage.levels ? leaf_rights(&leaf, priv, mmu_index) : PTE_R | PTE_W, w);
}

bool riscv_peek_insn(RiscvState *s, uint64_t pc, uint32_t *bits)
{
    uint32_t half[2];
    for (unsigned i = 0; i < 2; i++) {
        uint64_t at = pc + 2 * i, word;
        Walk w;
        if (!riscv_walk(&s->cs, at, ACCESS_FETCH, s->cs.mmu_index, false, &w) ||
            !tcg_phys_load(&s->cs, w.phys & ~3ull, 4, &word))
            return false;
        half[i] = word >> (w.phys & 2 ? 16 : 0) & 0xffff;
        *bits = i ? half[0] | half[1] << 16 : half[0];
        if ((half[0] & 3) != 3)
            return true;
    }
    return true;
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
    Lookup lookup;
    GString *out;
    const Stage *stage;
    uint64_t va, base, size, flags; /* the run being collected */
    unsigned lines;
} Listing;

static void listing_flush(Listing *l)
{
    if (l->size && l->lines++ < 1000)
        g_string_append_printf(l->out, "%016" PRIx64 " %016" PRIx64 " %016" PRIx64 " %c%c%c%c%c%c%c\n", l->va, l->base,
                               l->size, l->flags & PTE_R ? 'r' : '-', l->flags & PTE_W ? 'w' : '-',
                               l->flags & PTE_X ? 'x' : '-', l->flags & PTE_U ? 'u' : '-', l->flags & PTE_G ? 'g' : '-',
                               l->flags & PTE_A ? 'a' : '-', l->flags & PTE_D ? 'd' : '-');
    l->size = 0;
}

static void list_table(Listing *l, uint64_t table, int level, uint64_t va)
{
    const Stage *stage = l->stage;
    unsigned shift = 12 + stage->index_bits * level, spare = 64 - stage->address_bits;
    for (unsigned i = 0; i < 1u << stage->index_bits && l->lines < 1000; i++) {
        uint64_t pte, at = va + ((uint64_t)i << shift);
        if (!load_entry(&l->lookup, stage, table + i * stage->pte_size, &pte) || !(pte & PTE_V))
            continue;
        uint64_t base = leaf_base(l->lookup.s, pte, at);
        if (!(pte & (PTE_R | PTE_W | PTE_X))) {
            if (level)
                list_table(l, base, level - 1, at);
            continue;
        }
        at = (uint64_t)((int64_t)(at << spare) >> spare);
        if (!l->size || at != l->va + l->size || base != l->base + l->size || l->flags != (pte & 0xfe)) {
            listing_flush(l);
            l->va = at;
            l->base = base;
            l->flags = pte & 0xfe;
        }
        l->size += 1ull << shift;
    }
}

void riscv_info_mem(CpuState *cs, GString *out)
{
    RiscvState *s = riscv(cs);
    const Stage second = second_stage(s), stage = s->virt ? guest_stage(s, &second) : supervisor_stage(s);
    Listing l = { .lookup = { .s = s, .access = ACCESS_LOAD }, .out = out, .stage = &stage };
    if (!stage.levels) {
        g_string_append(out, "No translation or protection\n");
        return;
    }
    g_string_append(out, "vaddr            paddr            size             attr\n");
    list_table(&l, stage.root, stage.levels - 1, 0);
    listing_flush(&l);
    if (l.lines >= 1000)
        g_string_append(out, "(more)\n");
}
