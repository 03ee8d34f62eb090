/*
 * State enables (see stateen.h). sstateen has no bits yet: of what user mode reaches, nothing that is here has one.
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/stateen.h"

/* What machine mode grants; all of it where its registers are not there (Ssstateen alone). */
static uint64_t granted(const RiscvState *s, unsigned n)
{
    return s->feat & FEAT_SMSTATEEN ? s->mstateen[n] : UINT64_MAX;
}

bool riscv_stateen_allows(const RiscvState *s, unsigned n, uint64_t bit)
{
    if (s->priv == PRIV_M || !(s->feat & (FEAT_SMSTATEEN | FEAT_SSSTATEEN)))
        return true;
    return granted(s, n) & bit && (!s->virt || s->hstateen[n] & bit);
}

static uint64_t writable(const RiscvState *s, unsigned n)
{
    if (n)
        return STATEEN_SE;
    static const struct {
        uint64_t feat, bits;
    } rows[] = {
        { FEAT_SSAIA, STATEEN_CSRIND | STATEEN_AIA | STATEEN_IMSIC },
        { FEAT_SSCSRIND, STATEEN_CSRIND },
        { FEAT_SDTRIG, STATEEN_CONTEXT },
    };
    uint64_t bits = STATEEN_SE | STATEEN_ENVCFG;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        bits |= s->feat & rows[i].feat ? rows[i].bits : 0;
    return bits;
}

static void set_machine(RiscvState *s, unsigned n, uint64_t v)
{
    s->mstateen[n] = v & writable(s, n);
}

/* Bits that machine mode does not grant are zero, whatever they were. */
static uint64_t get_hypervisor(const RiscvState *s, unsigned n)
{
    return s->hstateen[n] & granted(s, n);
}
static void set_hypervisor(RiscvState *s, unsigned n, uint64_t v)
{
    uint64_t mask = writable(s, n) & granted(s, n);
    s->hstateen[n] = (s->hstateen[n] & ~mask) | (v & mask);
}

static uint64_t with_low(const RiscvState *s, uint64_t old, uint64_t v)
{
    return s->xlen == 32 ? (old >> 32 << 32) | (uint32_t)v : v;
}
static uint64_t with_high(uint64_t old, uint64_t v)
{
    return v << 32 | (uint32_t)old;
}

#define FUNCTIONS(n)                                           \
    uint64_t riscv_read_mstateen##n(RiscvState *s)             \
    {                                                          \
        return s->mstateen[n];                                 \
    }                                                          \
    uint64_t riscv_read_mstateen##n##h(RiscvState *s)          \
    {                                                          \
        return s->mstateen[n] >> 32;                           \
    }                                                          \
    uint64_t riscv_read_hstateen##n(RiscvState *s)             \
    {                                                          \
        return get_hypervisor(s, n);                           \
    }                                                          \
    uint64_t riscv_read_hstateen##n##h(RiscvState *s)          \
    {                                                          \
        return get_hypervisor(s, n) >> 32;                     \
    }                                                          \
    void riscv_write_mstateen##n(RiscvState *s, uint64_t v)    \
    {                                                          \
        set_machine(s, n, with_low(s, s->mstateen[n], v));     \
    }                                                          \
    void riscv_write_mstateen##n##h(RiscvState *s, uint64_t v) \
    {                                                          \
        set_machine(s, n, with_high(s->mstateen[n], v));       \
    }                                                          \
    void riscv_write_hstateen##n(RiscvState *s, uint64_t v)    \
    {                                                          \
        set_hypervisor(s, n, with_low(s, s->hstateen[n], v));  \
    }                                                          \
    void riscv_write_hstateen##n##h(RiscvState *s, uint64_t v) \
    {                                                          \
        set_hypervisor(s, n, with_high(s->hstateen[n], v));    \
    }
FUNCTIONS(0)
FUNCTIONS(1)
FUNCTIONS(2)
FUNCTIONS(3)
