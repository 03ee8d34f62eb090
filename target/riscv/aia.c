/*
 * Advanced Interrupt Architecture inside a hart (see aia.h). Priorities of local interrupts are the default order:
 * the iprio arrays are read-only zero, as the specification allows (section 2.3), and *topi then report priority 1; a
 * guest's are in hviprio1.
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/aia.h"
#include "target/riscv/stateen.h"
#include <glib.h>

enum {
    CSR_SIREG = 0x151,
    CSR_STOPEI = 0x15c,
    CSR_VSIREG = 0x251,
    CSR_VSTOPEI = 0x25c,
    CSR_MIREG = 0x351,
    CSR_MTOPEI = 0x35c
};
enum { SELECT_IPRIO = 0x30, SELECT_FILE = 0x70, SELECT_END = 0x100 };

/* *topi for these interrupts, which are pending and enabled. */
static uint64_t top(uint64_t mask)
{
    unsigned irq = riscv_first_interrupt(mask);
    return irq ? (uint64_t)irq << 16 | 1 : 0;
}

uint64_t riscv_read_mtopi(RiscvState *s)
{
    return top(__atomic_load_n(&s->mip, __ATOMIC_ACQUIRE) & s->mie & ~s->mideleg);
}

uint64_t riscv_read_stopi(RiscvState *s)
{
    return top(__atomic_load_n(&s->mip, __ATOMIC_ACQUIRE) & s->mie & s->mideleg & ~s->hideleg);
}

/* ---- guests ---- */

#define HVICTL_WRITABLE (HVICTL_VTI | 0x0fff03ffull)
#define HVICTL_DPR      (1u << 9)
#define HVICTL_IPRIOM   (1u << 8)
enum { NO_PRIORITY = 256, AFTER_EXTERNAL = 257 };

/* What may be interrupting a guest; priorities as numbers that compare: 0 before all. */
typedef struct Candidate {
    unsigned irq, priority;
} Candidate;

static void better(Candidate *best, unsigned irq, unsigned priority)
{
    if (!best->irq || priority < best->priority)
        *best = (Candidate){ irq, priority };
}

static const RiscvFile *guest_file(const RiscvState *s)
{
    return &s->guest_file[(s->hstatus & HSTATUS_VGEIN) >> 12];
}

/* The priority of the guest's external interrupt: its file knows, or the hypervisor says so. */
static unsigned external_priority(const RiscvState *s)
{
    const RiscvFile *file = guest_file(s);
    uint64_t topei = 0;
    if (file->access)
        file->access(file->opaque, RISCV_FILE_TOPEI, s->xlen, false, 0, 0, &topei);
    if (topei)
        return topei & 0x7ff;
    bool given = !(s->hstatus & HSTATUS_VGEIN) && (s->hvictl >> 16 & 0xfff) == IRQ_S_EXT && s->hvictl & 0xff;
    return given ? s->hvictl & 0xff : NO_PRIORITY;
}

/* Section 6.3.3: an external interrupt, and one of hvictl or else of those in vsip. */
uint64_t riscv_read_vstopi(RiscvState *s)
{
    uint64_t mask =
        (__atomic_load_n(&s->mip, __ATOMIC_ACQUIRE) & s->mie & s->hideleg & VS_INTERRUPTS) >> 1; /* as in vsip */
    Candidate best = { 0 };
    if (mask >> IRQ_S_EXT & 1)
        better(&best, IRQ_S_EXT, external_priority(s));
    if (s->hvictl & HVICTL_VTI) {
        unsigned irq = s->hvictl >> 16 & 0xfff, priority = s->hvictl & 0xff;
        if (irq != IRQ_S_EXT)
            better(&best, irq, priority ? priority : s->hvictl & HVICTL_DPR ? AFTER_EXTERNAL : 0);
    } else {
        const struct {
            unsigned irq, shift;
        } majors[] = { { IRQ_S_SOFT, 8 }, { IRQ_S_TIMER, 24 } }; /* in hviprio1 */
        for (unsigned i = 0; i < G_N_ELEMENTS(majors); i++) {
            unsigned priority = s->hviprio1 >> majors[i].shift & 0xff;
            if (mask >> majors[i].irq & 1)
                better(&best, majors[i].irq, priority ? priority : AFTER_EXTERNAL);
        }
    }
    if (!best.irq)
        return 0;
    return (uint64_t)best.irq << 16 | (s->hvictl & HVICTL_IPRIOM ? MIN(best.priority, 255u) : 1);
}

void riscv_write_hvictl(RiscvState *s, uint64_t v)
{
    s->hvictl = v & HVICTL_WRITABLE;
}

/* ---- indirect registers ---- */

bool riscv_aia_csr(RiscvState *s, unsigned csr, bool write, uint64_t value, uint64_t mask, uint64_t *old)
{
    bool machine = csr == CSR_MIREG || csr == CSR_MTOPEI, guest = csr == CSR_VSIREG || csr == CSR_VSTOPEI,
         top = csr == CSR_STOPEI || csr == CSR_MTOPEI || csr == CSR_VSTOPEI;
    const RiscvFile *file = guest ? guest_file(s) : &s->file[machine];
    unsigned select = top ? RISCV_FILE_TOPEI : machine ? s->miselect : guest ? s->vsiselect : s->siselect;
    uint64_t unused;
    if (!old)
        old = &unused;
    *old = 0;
    /* arrays: on RV64 two numbers make one register, the even one */
    bool odd = s->xlen == 64 && select & 1, array = select < SELECT_FILE || select >= RISCV_FILE_EIP0;
    if (select < SELECT_IPRIO || (select >= SELECT_IPRIO + 16 && select < SELECT_FILE) ||
        (!top && (select >= SELECT_END || (array && odd))))
        return false;
    if (select < SELECT_FILE) /* iprio: a guest's is for the hypervisor to emulate (section 6.3.2) */
        return !guest;
    if (!file->access || !riscv_stateen_allows(s, 0, STATEEN_IMSIC))
        return false;
    file->access(file->opaque, select, s->xlen, write, value, mask, old);
    return true;
}
