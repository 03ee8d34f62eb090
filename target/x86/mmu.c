/*
 * x86 paging: 32-bit, PAE, 4-level and 5-level, with NX, SMEP, SMAP, WP, protection keys and 1 GiB pages (SDM volume 3,
 * chapter 5), and the A20 gate in front of physical addresses.
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/cpu.h"
#include "util/log.h"
#include <inttypes.h>

#define PTE_P       (1ull << 0)
#define PTE_W       (1ull << 1)
#define PTE_U       (1ull << 2)
#define PTE_A       (1ull << 5)
#define PTE_D       (1ull << 6)
#define PTE_PS      (1ull << 7)
#define PTE_G       (1ull << 8)
#define PTE_NX      (1ull << 63)
#define PTE_ADDRESS 0xffffffffff000ull
#define PKRU_AD     1
#define PKRU_WD     2

/* ---- what the mode says ---- */

typedef struct Scheme {
    uint8_t levels, index_bits, pte_size;
} Scheme;

static Scheme scheme_of(const X86State *s)
{
    if (!(s->cr4 & CR4_PAE))
        return (Scheme){ 2, 10, 4 };
    if (!x86_long(s))
        return (Scheme){ 2, 9, 8 }; /* below the PDPTEs, which are in the processor */
    return (Scheme){ s->cr4 & CR4_LA57 ? 5 : 4, 9, 8 };
}

static uint64_t reserved_address_bits(const X86State *s)
{
    uint64_t mask = PTE_ADDRESS & ~((1ull << s->physical_bits) - 1);
    return x86_long(s) ? mask : mask | 0x7ff0000000000000ull;
}

/* Bits of a present entry that must be 0. */
static bool reserved(const X86State *s, uint64_t pte, unsigned level, bool leaf, unsigned pte_size)
{
    if (pte_size == 4) /* a 4 MiB page has bits 39..32 of its address in 20..13 (PSE-36) */
        return leaf && level == 1 && (pte >> 13 & 0x1ff) >> (s->physical_bits > 40 ? 8 : s->physical_bits - 32);
    if (pte & reserved_address_bits(s) || (pte & PTE_NX && !(s->efer & EFER_NXE)))
        return true;
    if (level > 2)
        return pte & PTE_PS;
    if (leaf && level)
        return pte & ((1ull << (12 + 9 * level)) - (1ull << 13));
    return level == 2 && pte & PTE_PS; /* no pages of 1 GiB */
}

static bool leaf_entry(const X86State *s, uint64_t pte, unsigned level, unsigned pte_size)
{
    if (!level)
        return true;
    if (!(pte & PTE_PS))
        return false;
    if (pte_size == 4)
        return s->cr4 & CR4_PSE;
    return level == 1 || (level == 2 && s->cpuid_features[X86_WORD_8000_0001_EDX] & X86_BIT_PDPE1GB);
}

/* ---- the walk ---- */

typedef struct Translation {
    uint64_t phys;
    unsigned page_bits;
    uint64_t
        rights;   /* PTE_W and PTE_U that all entries give, PTE_NX that one of them has, PTE_G and PTE_D of the leaf */
    unsigned key; /* protection key */
} Translation;

typedef enum { WALK_OK, WALK_ABSENT, WALK_RESERVED, WALK_RETRY } WalkResult;

/* Set bits in an entry. False: it has changed meanwhile. */
static bool set_bits(X86State *s, uint64_t address, unsigned size, uint64_t pte, uint64_t bits)
{
    bool swapped = true;
    if ((pte & bits) != bits)
        tcg_phys_cas(&s->cs, address, size, pte, pte | bits, &swapped);
    return swapped;
}

static WalkResult walk_tables(X86State *s, uint64_t va, bool update, bool store, Translation *t)
{
    Scheme scheme = scheme_of(s);
    uint64_t table = s->cr3 & (scheme.pte_size == 4 ? 0xfffff000ull : PTE_ADDRESS), pte;
    t->rights = PTE_W | PTE_U;
    if (scheme.pte_size == 8 && !x86_long(s)) {
        uint64_t pdpte = s->pdpte[va >> 30 & 3];
        if (!(pdpte & PTE_P))
            return WALK_ABSENT;
        table = pdpte & PTE_ADDRESS;
    }
    for (unsigned level = scheme.levels; level--;) {
        unsigned shift = 12 + level * scheme.index_bits;
        uint64_t index = va >> shift & ((1u << scheme.index_bits) - 1);
        uint64_t address = (table + index * scheme.pte_size) & s->a20_mask;
        if (!tcg_phys_load(&s->cs, address, scheme.pte_size, &pte))
            pte = UINT64_MAX >> (64 - 8 * scheme.pte_size); /* nothing drives the bus */
        if (!(pte & PTE_P))
            return WALK_ABSENT;
        bool leaf = leaf_entry(s, pte, level, scheme.pte_size);
        if (reserved(s, pte, level, leaf, scheme.pte_size))
            return WALK_RESERVED;
        t->rights = (t->rights & pte & (PTE_W | PTE_U)) | ((t->rights | pte) & PTE_NX);
        bool dirty = leaf && store;
        if (update && !set_bits(s, address, scheme.pte_size, pte, PTE_A | (dirty ? PTE_D : 0)))
            return WALK_RETRY;
        if (!leaf) {
            table = pte & (scheme.pte_size == 4 ? 0xfffff000ull : PTE_ADDRESS);
            continue;
        }
        uint64_t base = pte & PTE_ADDRESS;
        if (scheme.pte_size == 4)
            base = level ? (pte & 0xffc00000) | (pte >> 13 & 0xff) << 32 : pte & 0xfffff000;
        t->phys = (base & ~((1ull << shift) - 1)) | (va & ((1ull << shift) - 1));
        t->page_bits = shift;
        t->rights |= (pte & (PTE_G | PTE_D)) | (dirty ? PTE_D : 0);
        t->key = pte >> 59 & 15;
        return WALK_OK;
    }
    return WALK_ABSENT;
}

/* What a page of these rights allows in this mode. */
/* *by_key: what the protection key forbids, whatever else there is. */
static void allow(const X86State *s, const Translation *t, unsigned mmu_index, Walk *w, unsigned *by_key)
{
    bool user = mmu_index & MMU_USER, user_page = t->rights & PTE_U, writable = t->rights & PTE_W;
    bool nx = s->efer & EFER_NXE && t->rights & PTE_NX;
    if (user) {
        w->read = user_page;
        w->write = user_page && writable;
        w->execute = user_page && !nx;
    } else {
        w->read = !(user_page && mmu_index & MMU_SMAP);
        w->write = w->read && (writable || !(mmu_index & MMU_WP));
        w->execute = !nx && !(user_page && s->cr4 & CR4_SMEP);
    }
    *by_key = 0;
    if (!(s->cr4 & CR4_PKE) || !user_page || !x86_long(s))
        return;
    unsigned key = s->pkru >> (2 * t->key) & 3;
    bool no_read = key & PKRU_AD, no_write = no_read || (key & PKRU_WD && (user || mmu_index & MMU_WP));
    *by_key = (no_read ? 1u << ACCESS_LOAD : 0) | (no_write ? 1u << ACCESS_STORE : 0);
    w->read &= !no_read;
    w->write &= !no_write;
}

static bool page_fault(X86State *s, uint64_t va, Access access, unsigned mmu_index, uint32_t error, bool raise)
{
    if (!raise)
        return false;
    error |= (access == ACCESS_STORE ? PF_W : 0) | (mmu_index & MMU_USER ? PF_U : 0);
    if (access == ACCESS_FETCH && ((s->efer & EFER_NXE && s->cr4 & CR4_PAE) || s->cr4 & CR4_SMEP))
        error |= PF_I;
    log_printf(LOG_MMU, "x86: page fault at %" PRIx64 ", error code %x\n", va, error);
    s->cr2 = va;
    x86_raise(s, VECTOR_PF, error);
    return false;
}

static bool walk_physical(X86State *s, uint64_t va, Walk *w)
{
    *w = (Walk){ .phys = (uint32_t)va & s->a20_mask,
                 .page_bits = s->a20_mask == UINT64_MAX && !x86_watched_page(s, va) ? 21 : 12,
                 .watch = x86_watched_page(s, va),
                 .read = true,
                 .write = true,
                 .execute = true };
    return true;
}

bool x86_walk(CpuState *cs, uint64_t va, Access access, unsigned mmu_index, bool raise, Walk *w)
{
    X86State *s = x86(cs);
    mmu_index &= (1 << MMU_MODE_SHIFT) - 1;
    if (!(s->cr0 & CR0_PG))
        return walk_physical(s, va, w);
    if (!x86_long(s))
        va = (uint32_t)va;
    else if (!x86_canonical(s, va)) {
        if (raise)
            x86_raise(s, access != ACCESS_FETCH && x86_accesses_stack(s, va) ? VECTOR_SS : VECTOR_GP, 0);
        return false;
    }
    Translation t = { 0 };
    WalkResult result;
    unsigned by_key = 0;
    do {
        result = walk_tables(s, va, false, false, &t);
        if (result == WALK_OK) {
            *w = (Walk){ .page_bits = t.page_bits };
            allow(s, &t, mmu_index, w, &by_key);
            s->keys_seen |= t.rights & PTE_U ? 1u << t.key : 0;
            bool ok = access == ACCESS_LOAD ? w->read : access == ACCESS_STORE ? w->write : w->execute;
            if (!ok)
                return page_fault(s, va, access, mmu_index, PF_P | (by_key >> access & 1 ? PF_PK : 0), raise);
            if (raise)
                result = walk_tables(s, va, true, access == ACCESS_STORE, &t);
        }
    } while (result == WALK_RETRY);
    if (result != WALK_OK)
        return page_fault(s, va, access, mmu_index, result == WALK_RESERVED ? PF_P | PF_RSVD : 0, raise);
    w->phys = t.phys & s->a20_mask;
    if (s->a20_mask != UINT64_MAX)
        w->page_bits = 12;
    w->write &= (t.rights & PTE_D) != 0;
    if (x86_watched_page(s, va)) {
        w->watch = true;
        w->page_bits = 12;
    }
    w->global = t.rights & PTE_G && s->cr4 & CR4_PGE;
    return true;
}

void x86_set_pkru(X86State *s, uint32_t value)
{
    uint32_t changed = (uint32_t)s->pkru ^ value;
    bool seen = false;
    for (unsigned key = 0; key < 16; key++)
        seen |= changed >> 2 * key & 3 && s->keys_seen >> key & 1;
    s->pkru = value;
    if (!seen)
        return;
    s->keys_seen = 0;
    tcg_flush_all(&s->cs);
}

bool x86_load_pdptes(X86State *s, uint64_t cr3)
{
    uint64_t pdpte[4];
    for (unsigned i = 0; i < 4; i++) {
        if (!tcg_phys_load(&s->cs, ((cr3 & 0xffffffe0) + 8 * i) & s->a20_mask, 8, &pdpte[i]))
            pdpte[i] = 0;
        if (pdpte[i] & PTE_P && pdpte[i] & (reserved_address_bits(s) | PTE_NX | 0x1e6))
            return false;
    }
    for (unsigned i = 0; i < 4; i++)
        s->pdpte[i] = pdpte[i];
    return true;
}

/* ---- the context ---- */

static unsigned mmu_index_of(const X86State *s, bool user, bool smap)
{
    if (!(s->cr0 & CR0_PG))
        return MMU_PHYSICAL | (user ? MMU_USER : 0);
    return (user ? MMU_USER : 0) | (s->cr0 & CR0_WP ? MMU_WP : 0) | (smap && s->cr4 & CR4_SMAP ? MMU_SMAP : 0);
}

static bool flat(const X86State *s)
{
    for (unsigned i = X86_ES; i <= X86_DS; i++) {
        const X86SegmentReg *r = &s->segment[i];
        if (r->base || r->limit != UINT32_MAX || !(r->attributes & DESC_P) ||
            !(r->attributes & DESC_WRITABLE) /* of code: readable */ ||
            (i != X86_CS && ((r->attributes & DESC_CODE) || r->attributes & DESC_EXPAND_DOWN)))
            return false;
    }
    return true;
}

static bool breaks_on_code(const X86State *s)
{
    for (unsigned i = 0; i < 4; i++) {
        if (s->dr[7] >> (2 * i) & 3 && !(s->dr[7] >> (16 + 4 * i) & 3))
            return true;
    }
    return false;
}

/* Segments whose only limit is the upper one. */
static void find_room(X86State *s)
{
    bool real = !(s->cr0 & CR0_PE) || s->eflags & FLAG_VM;
    for (unsigned i = 0; i < 6; i++) {
        X86SegmentReg *r = &s->segment[i];
        bool simple = real || ((r->attributes & (DESC_P | DESC_S | DESC_CODE | DESC_EXPAND_DOWN | DESC_WRITABLE)) ==
                               (DESC_P | DESC_S | DESC_WRITABLE));
        r->room = simple ? r->limit + 1ull : 0;
    }
}

/* An interrupt may wait that can be taken now. */
static void look_at_inputs(X86State *s)
{
    uint32_t inputs = __atomic_load_n(&s->inputs, __ATOMIC_RELAXED);
    if (inputs & ~(uint32_t)INPUT_INTR || (inputs && s->eflags & FLAG_IF))
        __atomic_store_n(&s->cs.poll, 1, __ATOMIC_SEQ_CST);
}

void x86_mode_changed(X86State *s)
{
    bool vm86 = s->cr0 & CR0_PE && s->eflags & FLAG_VM, code64 = x86_long(s) && s->segment[X86_CS].attributes & DESC_L;
    unsigned cpl = !(s->cr0 & CR0_PE) ? 0 : vm86 ? 3 : s->segment[X86_SS].attributes >> DESC_DPL_SHIFT & 3;
    unsigned bits = code64 ? 2 : s->segment[X86_CS].attributes & DESC_DB ? 1 : 0;
    uint32_t mode = cpl | bits << MODE_BITS_SHIFT | (s->eflags >> 12 & 3) << MODE_IOPL_SHIFT;
    mode |= s->cr0 & CR0_PE ? MODE_PE : 0;
    mode |= vm86 ? MODE_VM86 : 0;
    mode |= x86_long(s) ? MODE_LONG : 0;
    mode |= !code64 && s->segment[X86_SS].attributes & DESC_DB ? MODE_STACK32 : 0;
    mode |= code64 || flat(s) ? MODE_FLAT : 0;
    mode |= s->eflags & FLAG_TF || s->cs.watching ? MODE_TF : 0;
    mode |= s->cr0 & (CR0_EM | CR0_TS) ? MODE_NO_FPU : 0;
    mode |= s->cr0 & CR0_EM || !(s->cr4 & CR4_OSFXSR) ? MODE_NO_SSE : 0;
    mode |= ~s->mxcsr & 0x1f80 ? MODE_XM : 0;
    mode |= !(s->cr4 & CR4_OSXSAVE) ? MODE_NO_XSAVE : 0;
    mode |= !(s->cr4 & CR4_OSXSAVE) || (s->xcr0 & 6) != 6 ? MODE_NO_AVX : 0;
    mode |= cpl == 3 && s->cr0 & CR0_AM && s->eflags & FLAG_AC ? MODE_ALIGN : 0;
    mode |= s->smm ? MODE_SMM : 0;
    mode |= s->dr[7] & 0xff && breaks_on_code(s) ? MODE_BREAK : 0;
    s->cs.mode = mode;
    if (!code64) /* nothing asks before the mode changes again */
        find_room(s);
    look_at_inputs(s);
    unsigned mmu = mmu_index_of(s, cpl == 3, !(s->eflags & FLAG_AC));
    tcg_context_changed(&s->cs, x86_space(s), 0, mmu | mode << MMU_MODE_SHIFT);
}

void x86_eflags_changed(X86State *s, uint32_t before)
{
    if ((before ^ s->eflags) & (FLAG_TF | FLAG_IOPL | FLAG_VM | FLAG_AC))
        x86_mode_changed(s);
    else
        look_at_inputs(s);
}

uint64_t x86_space(const X86State *s)
{
    uint64_t extra = s->smm ? 1ull << 62 : 0;
    if (!(s->cr0 & CR0_PG))
        return extra;
    return extra | (s->cr4 & CR4_PCIDE ? s->cr3 : s->cr3 & ~0xfffull);
}

/* Run access with the supervisor's rights, whatever the CPL. */
static uint32_t system_index(const X86State *s)
{
    return mmu_index_of(s, false, true) | (s->cs.mode & ~(uint32_t)MODE_CPL) << MMU_MODE_SHIFT;
}

/* A set that is made here is one of supervisor mode. */
void x86_enter_system(X86State *s)
{
    uint32_t mode = s->cs.mode, index = system_index(s);
    s->cs.mode &= ~(uint32_t)MODE_CPL;
    tcg_context_changed(&s->cs, x86_space(s), 0, index);
    s->cs.mode = mode;
}

static bool in_system(const X86State *s)
{
    return s->cs.set && s->cs.mmu_index == system_index(s) && s->cs.set->space == x86_space(s);
}

/* What the access did is looked at; the context is as before, unless an exception has changed it. */
static bool leave_system(X86State *s, uint32_t mmu_index, uint8_t raised)
{
    bool ok = !s->cs.raised;
    s->cs.raised |= raised;
    if (ok)
        tcg_context_changed(&s->cs, x86_space(s), 0, mmu_index);
    else
        x86_mode_changed(s);
    return ok;
}

/* The access was made without a change of the context. */
static bool stay_system(X86State *s, uint8_t raised)
{
    bool ok = !s->cs.raised;
    s->cs.raised |= raised;
    return ok;
}

bool x86_system_load(X86State *s, uint64_t va, unsigned size, uint64_t *value)
{
    uint32_t mmu_index = s->cs.mmu_index;
    uint8_t raised = s->cs.raised;
    bool there = in_system(s);
    s->cs.raised = 0;
    if (!there)
        x86_enter_system(s);
    *value = tcg_load(&s->cs, va, (uint32_t)__builtin_ctz(size));
    return there ? stay_system(s, raised) : leave_system(s, mmu_index, raised);
}

bool x86_system_store(X86State *s, uint64_t va, unsigned size, uint64_t value)
{
    uint32_t mmu_index = s->cs.mmu_index;
    uint8_t raised = s->cs.raised;
    bool there = in_system(s);
    s->cs.raised = 0;
    if (!there)
        x86_enter_system(s);
    tcg_store(&s->cs, va, value, (uint32_t)__builtin_ctz(size));
    return there ? stay_system(s, raised) : leave_system(s, mmu_index, raised);
}
