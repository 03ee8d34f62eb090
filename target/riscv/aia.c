/*
 * Advanced Interrupt Architecture inside a hart (see aia.h): the priorities of local interrupts (AIA 1.0, chapter 5),
 * *topi, and the way to interrupt files. Without a file the external interrupt has the default priority.
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/aia.h"
#include "target/riscv/cpu.h"
#include <limits.h>

enum { CSR_SIREG = 0x151, CSR_STOPEI = 0x15c, CSR_MIREG = 0x351, CSR_MTOPEI = 0x35c };
enum { SELECT_IPRIO = 0x30, SELECT_FILE = 0x70, SELECT_END = 0x100 };

/* ---- priorities ---- */

/* Least urgent; and what *topi says of all that are behind the external interrupt's default place. */
enum { PRIORITY_DEFAULT = 256, PRIORITY_MAX = 255 };

static unsigned external_irq(bool machine)
{
    return machine ? IRQ_M_EXT : IRQ_S_EXT;
}

/* The number of an interrupt: that of its byte in iprio, or of the topmost identity in the interrupt file. */
static unsigned priority(const RiscvState *s, unsigned irq, bool machine)
{
    const RiscvFile *file = &s->file[machine];
    uint64_t number = s->iprio[machine][irq];
    if (irq == external_irq(machine) && file->access) {
        file->access(file->opaque, RISCV_FILE_TOPEI, s->xlen, false, 0, 0, &number);
        number = number & 0x7ff;
    }
    return number ? MIN(number, PRIORITY_DEFAULT) : PRIORITY_DEFAULT;
}

unsigned riscv_first_interrupt(const RiscvState *s, uint64_t mask, bool machine)
{
    static const uint8_t order[] = { IRQ_M_EXT,     IRQ_M_SOFT, IRQ_M_TIMER, IRQ_S_EXT,    IRQ_S_SOFT, IRQ_S_TIMER,
                                     IRQ_GUEST_EXT, IRQ_VS_EXT, IRQ_VS_SOFT, IRQ_VS_TIMER, IRQ_COUNTER };
    unsigned first = 0, best = UINT_MAX;
    for (unsigned i = 0; mask && i < G_N_ELEMENTS(order); i++) {
        if (!(mask >> order[i] & 1))
            continue;
        if (!s->iprio_used[machine])
            return order[i];
        unsigned number = priority(s, order[i], machine);
        if (number < best) {
            best = number;
            first = order[i];
        }
    }
    return first;
}

/* *topi for these interrupts, which are pending and enabled. */
static uint64_t top(const RiscvState *s, uint64_t mask, bool machine)
{
    unsigned irq = riscv_first_interrupt(s, mask, machine);
    return irq ? (uint64_t)irq << 16 | MIN(priority(s, irq, machine), PRIORITY_MAX) : 0;
}

uint64_t riscv_read_mtopi(RiscvState *s)
{
    return top(s, __atomic_load_n(&s->mip, __ATOMIC_ACQUIRE) & s->mie & ~s->mideleg, true);
}

uint64_t riscv_read_stopi(RiscvState *s)
{
    return top(s, __atomic_load_n(&s->mip, __ATOMIC_ACQUIRE) & s->mie & s->mideleg, false);
}

/* Register `select` of the array: XLEN / 8 bytes. Those of external interrupts, and of such as there are not, are
 * read-only zero. */
static void access_iprio(RiscvState *s, bool machine, unsigned select, bool write, uint64_t value, uint64_t mask,
                         uint64_t *old)
{
    uint8_t *bytes = s->iprio[machine];
    unsigned first = (select - SELECT_IPRIO) * 4;
    uint64_t there = riscv_local_interrupts(s, machine) & ~(1ull << external_irq(machine));
    for (unsigned i = 0; i < s->xlen / 8; i++) {
        uint8_t *byte = &bytes[first + i], bits = mask >> 8 * i;
        *old |= (uint64_t)*byte << 8 * i;
        if (write && there >> (first + i) & 1)
            *byte = (*byte & ~bits) | (value >> 8 * i & bits);
    }
    if (!write)
        return;
    s->iprio_used[machine] = false;
    for (unsigned i = 0; i < sizeof(s->iprio[0]); i++)
        s->iprio_used[machine] |= bytes[i] != 0;
    riscv_check_interrupts(s);
}

/* ---- CSRs ---- */

bool riscv_aia_csr(RiscvState *s, unsigned csr, bool write, uint64_t value, uint64_t mask, uint64_t *old)
{
    if ((csr & 0xff) > (CSR_SIREG & 0xff) && (csr & 0xff) < (CSR_STOPEI & 0xff))
        return false; /* *ireg2 to 6: nothing is there */
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
    if (!riscv_has(s, machine ? EXT_SMAIA : EXT_SSAIA))
        return false;
    if (select < SELECT_FILE) {
        access_iprio(s, machine, select, write, value, mask, old);
        return true;
    }
    if (!file->access)
        return false;
    file->access(file->opaque, select, s->xlen, write, value, mask, old);
    return true;
}
