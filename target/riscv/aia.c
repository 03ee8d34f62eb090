/*
 * Advanced Interrupt Architecture inside a hart (see aia.h). Priorities of local interrupts are the default order:
 * the iprio arrays are read-only zero, as the specification allows (section 2.3), and *topi then report priority 1.
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/aia.h"
#include "target/riscv/cpu.h"

enum { CSR_SIREG = 0x151, CSR_STOPEI = 0x15c, CSR_MIREG = 0x351, CSR_MTOPEI = 0x35c };
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
    return top(__atomic_load_n(&s->mip, __ATOMIC_ACQUIRE) & s->mie & s->mideleg);
}

bool riscv_aia_csr(RiscvState *s, unsigned csr, bool write, uint64_t value, uint64_t mask, uint64_t *old)
{
    bool machine = csr == CSR_MIREG || csr == CSR_MTOPEI, top = csr == CSR_STOPEI || csr == CSR_MTOPEI;
    const RiscvFile *file = &s->file[machine];
    unsigned select = top ? RISCV_FILE_TOPEI : machine ? s->miselect : s->siselect;
    uint64_t unused;
    if (!old)
        old = &unused;
    *old = 0;
    /* arrays: on RV64 two numbers make one register, the even one */
    bool odd = s->xlen == 64 && select & 1, array = select < SELECT_FILE || select >= RISCV_FILE_EIP0;
    if (select < SELECT_IPRIO || (select >= SELECT_IPRIO + 16 && select < SELECT_FILE) ||
        (!top && (select >= SELECT_END || (array && odd))))
        return false;
    if (select < SELECT_FILE) /* iprio */
        return true;
    if (!file->access)
        return false;
    file->access(file->opaque, select, s->xlen, write, value, mask, old);
    return true;
}
