/*
 * CSRs of physical memory protection (privileged ISA 20240411, section 3.7; Smepmp 1.0). Accesses are checked in mmu.c.
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/pmp.h"

static bool pmp_locked(const RiscvState *s, unsigned i)
{
    if (s->mseccfg & MSECCFG_RLB)
        return false;
    return s->pmpcfg[i] & 0x80 || (i + 1 < s->pmp_count && (s->pmpcfg[i + 1] & 0x98) == 0x88);
}
static uint64_t read_pmpcfg(RiscvState *s, unsigned n)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < s->xlen / 8; i++)
        v |= n * 4 + i < s->pmp_count ? (uint64_t)s->pmpcfg[n * 4 + i] << 8 * i : 0;
    return v;
}
/* With lockdown, may software still make an entry that machine mode can run code from (Smepmp 1.0, section 2.1)? */
static bool pmp_new_code(const RiscvState *s, uint8_t cfg)
{
    bool shared = (cfg & 3) == 2, executable = shared ? cfg & 0x80 : (cfg & 0x84) == 0x84 && (cfg & 7) != 7;
    return s->mseccfg & MSECCFG_MML && !(s->mseccfg & MSECCFG_RLB) && executable;
}
static void write_pmpcfg(RiscvState *s, unsigned n, uint64_t v)
{
    for (unsigned i = 0; i < s->xlen / 8 && n * 4 + i < s->pmp_count; i++) {
        uint8_t *cfg = &s->pmpcfg[n * 4 + i], now = v >> 8 * i & 0x9f;
        bool locked = *cfg & 0x80 && !(s->mseccfg & MSECCFG_RLB);
        if (locked || pmp_new_code(s, now) || ((now & 3) == 2 && !(s->mseccfg & MSECCFG_MML)))
            continue; /* the last: W without R is reserved */
        if ((now & 0x18) == 0x10)
            now = (now & ~0x18) | (*cfg & 0x18); /* NA4 is not there with a grain of 4 KiB */
        *cfg = now;
    }
    riscv_pmp_changed(s);
}
static uint64_t read_pmpaddr(RiscvState *s, unsigned i)
{
    uint64_t v = i < s->pmp_count ? s->pmpaddr[i] : 0;
    if (i >= s->pmp_count)
        return 0;
    return (s->pmpcfg[i] & 0x18) == 0x18 ? v | 0x1ff : v & ~0x3ffull;
}
static void write_pmpaddr(RiscvState *s, unsigned i, uint64_t v)
{
    if (i >= s->pmp_count || pmp_locked(s, i))
        return;
    s->pmpaddr[i] = s->xlen == 32 ? (uint32_t)v : v & ((1ull << 54) - 1);
    riscv_pmp_changed(s);
}

bool riscv_pmp_locked(const RiscvState *s)
{
    for (unsigned i = 0; i < s->pmp_count; i++) {
        if (s->pmpcfg[i] & 0x80)
            return true;
    }
    return false;
}
bool riscv_pmp_has_csr(const RiscvState *s, unsigned csr)
{
    if (!s->pmp_count)
        return false;
    return (csr >= 0x3a0 && csr < 0x3b0 && (s->xlen == 32 || !(csr & 1))) || (csr >= 0x3b0 && csr < 0x3f0);
}

uint64_t riscv_pmp_read_csr(RiscvState *s, unsigned csr)
{
    return csr < 0x3b0 ? read_pmpcfg(s, csr - 0x3a0) : read_pmpaddr(s, csr - 0x3b0);
}

void riscv_pmp_write_csr(RiscvState *s, unsigned csr, uint64_t v)
{
    if (csr < 0x3b0)
        write_pmpcfg(s, csr - 0x3a0, v);
    else
        write_pmpaddr(s, csr - 0x3b0, v);
}
