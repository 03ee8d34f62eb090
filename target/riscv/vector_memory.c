/*
 * RISC-V vectors: loads and stores (unprivileged ISA 20240411, section 31.7).
 *
 * Consecutive elements without a mask are copied a page's run at a time; others one by one, through the first-level TLB
 * where it has the page, else as any access of a helper. An exception leaves vstart at the element that raised it.
 * SPDX-License-Identifier: MIT
 */
#include "hw/core/ram_access.h"
#include "target/riscv/vector.h"

typedef struct Memory {
    RiscvState *s;
    uint32_t bits;
    bool store;
    unsigned eew;    /* log2 of an element's bytes */
    unsigned fields; /* of a segment */
    unsigned group;  /* bytes from one field's registers to the next's */
    unsigned n;      /* elements */
    uint8_t *reg;
    uint64_t page;    /* found last, while nothing but this page is accessed; NO_PAGE: none */
    uintptr_t addend; /* its */
} Memory;
#define NO_PAGE 1 /* no page begins there */

static uint64_t address(const RiscvState *s, uint64_t v)
{
    return s->xlen == 32 ? (uint32_t)v : riscv_mask_pointer(s, v);
}

/* Host memory of size bytes at va in one page, or NULL: raised, or not to be had so. */
static uint8_t *host_memory(CpuState *cs, uint64_t va, bool store)
{
    const TlbEntry *e = store ? cs->set->write : cs->set->read;
    e += va >> GUEST_PAGE_BITS & (TLB_SIZE - 1);
    if (__atomic_load_n(&e->tag, __ATOMIC_ACQUIRE) == (va & GUEST_PAGE_MASK))
        return (uint8_t *)(uintptr_t)(va + __atomic_load_n(&e->addend, __ATOMIC_RELAXED));
    return NULL;
}

/* Elements without a call, at host memory. */
static inline void copy_element(const Memory *m, uint8_t *host, uint8_t *reg, unsigned i)
{
    switch (m->eew | m->store << 2) {
#define SIZE(eew)                                       \
    case eew:                                           \
        v_put(reg, i, eew, ram_get(host, 1u << (eew))); \
        break;                                          \
    case 4 | (eew):                                     \
        ram_put(host, 1u << (eew), v_get(reg, i, eew)); \
        break;
        SIZE(0)
        SIZE(1)
        SIZE(2)
        SIZE(3)
#undef SIZE
    }
}

/* One element by a call, or in a page that is not the last one. False: an exception. */
static __attribute__((noinline)) bool other_element(Memory *m, uint64_t va, uint8_t *reg, unsigned i)
{
    CpuState *cs = &m->s->cs;
    unsigned size = 1u << m->eew;
    uint8_t *host = GUEST_PAGE_SIZE - (va & (GUEST_PAGE_SIZE - 1)) >= size ? host_memory(cs, va, m->store) : NULL;
    m->page = NO_PAGE;
    if (host) {
        m->page = va & GUEST_PAGE_MASK;
        m->addend = (uintptr_t)host - va;
        copy_element(m, host, reg, i);
        return true;
    }
    if (m->store) {
        tcg_store(cs, va, v_get(reg, i, m->eew), m->eew);
        return !cs->raised;
    }
    uint64_t v = tcg_load(cs, va, m->eew);
    if (cs->raised)
        return false;
    v_put(reg, i, m->eew, v);
    return true;
}

static inline bool one_element(Memory *m, uint64_t va, uint8_t *reg, unsigned i)
{
    va = address(m->s, va);
    if ((va & GUEST_PAGE_MASK) != m->page || (va & (GUEST_PAGE_SIZE - 1)) > GUEST_PAGE_SIZE - (1u << m->eew))
        return other_element(m, va, reg, i);
    copy_element(m, (uint8_t *)(va + m->addend), reg, i);
    return true;
}

/* All fields of segment i. */
static inline bool one_segment(Memory *m, uint64_t va, unsigned i)
{
    for (unsigned f = 0; f < m->fields; f++) {
        if (!one_element(m, va + (f << m->eew), m->reg + f * m->group, i)) {
            m->s->vstart = i;
            return false;
        }
    }
    return true;
}

/* n elements from element i on, at va: whole runs. */
static void copy_run(Memory *m, uint64_t va, unsigned i)
{
    CpuState *cs = &m->s->cs;
    while (i < m->n) {
        va = address(m->s, va);
        unsigned room = (GUEST_PAGE_SIZE - (va & (GUEST_PAGE_SIZE - 1))) >> m->eew, count = MIN(room, m->n - i);
        uint8_t *host = count ? host_memory(cs, va, m->store) : NULL;
        if (host && m->store) {
            ram_copy(host, m->reg + (i << m->eew), count << m->eew);
        } else if (host) {
            ram_copy(m->reg + (i << m->eew), host, count << m->eew);
        } else {
            count = 1; /* the access fills the TLB, if that may be */
            if (!one_segment(m, va, i))
                return;
        }
        i += count;
        va += count << m->eew;
    }
}

/* ---- what an instruction says ---- */

static bool is_store(uint32_t bits)
{
    return bits >> 5 & 1;
}

/* log2 bytes of the width field */
static unsigned width_of(uint32_t bits)
{
    unsigned w = bits >> 12 & 7;
    return w ? w - 4 : 0;
}

/* Fields in registers of this EMUL: do they fit? */
static bool fields_legal(uint32_t bits, int emul, unsigned fields)
{
    return emul >= -3 && emul <= 3 && fields * v_regs(emul) <= 8 && v_aligned(v_d(bits), emul) &&
           v_d(bits) + fields * v_regs(emul) <= 32;
}

static Memory memory_of(const VectorCall *c, unsigned eew, int emul)
{
    RiscvState *s = c->s;
    return (Memory){ .s = s,
                     .bits = c->bits,
                     .store = is_store(c->bits),
                     .eew = eew,
                     .fields = (c->bits >> 29) + 1,
                     .group = v_regs(emul) * s->vlenb,
                     .n = s->vl,
                     .page = NO_PAGE,
                     .reg = v_reg(s, v_d(c->bits)) };
}

/* Unit-stride loads and stores; those of masks, and of whole registers. */
bool vector_unit_stride(VectorCall *c)
{
    RiscvState *s = c->s;
    unsigned eew = width_of(c->bits);
    int emul = (int)eew - (int)v_sew(s) + v_lmul(s);
    bool whole = c->op == VOP_lr || c->op == VOP_sr, mask = c->op == VOP_lm || c->op == VOP_sm;
    if (whole || mask)
        emul = 0;
    Memory m = memory_of(c, eew, emul);
    if (mask)
        m.n = (s->vl + 7) / 8;
    if (whole) {
        if (v_d(c->bits) & (m.fields - 1) || m.fields & (m.fields - 1))
            return false;
        m.n = m.fields * s->vlenb >> eew;
        m.fields = 1;
    } else if (!fields_legal(c->bits, emul, m.fields) || (v_masked(c->bits) && !m.store && v_d(c->bits) == 0)) {
        return false;
    }
    if (m.fields == 1 && !v_masked(c->bits)) {
        copy_run(&m, c->a + (s->vstart << eew), s->vstart);
        return true;
    }
    for (unsigned i = s->vstart; i < m.n; i++)
        if (v_active(s, c->bits, i) && !one_segment(&m, c->a + ((uint64_t)i * m.fields << eew), i))
            break;
    return true;
}

/* Would a load raise, or is there no RAM? */
static bool can_load(const Memory *m, uint64_t va)
{
    CpuState *cs = &m->s->cs;
    uint64_t first = address(m->s, va), last = address(m->s, va + (m->fields << m->eew) - 1);
    return (host_memory(cs, first, false) || tcg_can_load(cs, first)) &&
           (host_memory(cs, last, false) || tcg_can_load(cs, last));
}

/* Only element 0 raises; vl ends before any other that would. */
bool vector_fault_first(VectorCall *c)
{
    RiscvState *s = c->s;
    unsigned eew = width_of(c->bits);
    int emul = (int)eew - (int)v_sew(s) + v_lmul(s);
    Memory m = memory_of(c, eew, emul);
    if (!fields_legal(c->bits, emul, m.fields) || (v_masked(c->bits) && v_d(c->bits) == 0))
        return false;
    for (unsigned i = s->vstart; i < m.n; i++) {
        uint64_t va = c->a + ((uint64_t)i * m.fields << eew);
        if (!v_active(s, c->bits, i))
            continue;
        if (i && !can_load(&m, va)) {
            s->vl = i;
            break;
        }
        if (!one_segment(&m, va, i))
            break;
    }
    return true;
}

bool vector_strided(VectorCall *c)
{
    RiscvState *s = c->s;
    unsigned eew = width_of(c->bits);
    int emul = (int)eew - (int)v_sew(s) + v_lmul(s);
    Memory m = memory_of(c, eew, emul);
    if (!fields_legal(c->bits, emul, m.fields) || (v_masked(c->bits) && !m.store && v_d(c->bits) == 0))
        return false;
    for (unsigned i = s->vstart; i < m.n; i++)
        if (v_active(s, c->bits, i) && !one_segment(&m, c->a + i * c->b, i))
            break;
    return true;
}

static bool indexed_legal(const VectorCall *c, const Memory *m, int index_emul, unsigned index_eew)
{
    const RiscvState *s = c->s;
    unsigned rd = v_d(c->bits), r2 = v_s2(c->bits);
    int lmul = v_lmul(s);
    if (!fields_legal(c->bits, lmul, m->fields) || index_emul < -3 || !v_aligned(r2, index_emul) ||
        (index_eew == 3 && s->xlen == 32))
        return false;
    if (m->store)
        return true;
    if (v_masked(c->bits) && rd == 0)
        return false;
    for (unsigned f = 0; f < m->fields; f++) {
        unsigned d = rd + f * v_regs(lmul);
        if (m->fields > 1 && v_overlap(d, v_regs(lmul), r2, v_regs(index_emul)))
            return false;
        if (!v_overlap_allowed(d, lmul, v_sew(s), r2, index_emul, index_eew))
            return false;
    }
    return true;
}

bool vector_indexed(VectorCall *c)
{
    RiscvState *s = c->s;
    unsigned index_eew = width_of(c->bits);
    int index_emul = (int)index_eew - (int)v_sew(s) + v_lmul(s);
    Memory m = memory_of(c, v_sew(s), v_lmul(s));
    if (!indexed_legal(c, &m, index_emul, index_eew))
        return false;
    const uint8_t *index = v_reg(s, v_s2(c->bits));
    for (unsigned i = s->vstart; i < m.n; i++)
        if (v_active(s, c->bits, i) && !one_segment(&m, c->a + v_get(index, i, index_eew), i))
            break;
    return true;
}
