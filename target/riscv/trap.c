/*
 * RISC-V traps: exceptions, interrupts, delegation, returns (privileged ISA 20240411,
 * sections 3.1.6-3.1.9, 3.1.15, 12.1).
 * SPDX-License-Identifier: MIT
 */
#include "accel/vcpu.h"
#include "target/riscv/cpu.h"
#include "util/log.h"
#include <inttypes.h>

uint64_t riscv_mstatus(RiscvState *s)
{
    if (s->fp_dirty) {
        s->mstatus |= MSTATUS_FS;
        s->fp_dirty = 0;
    }
    if (s->vs_dirty) {
        s->mstatus |= MSTATUS_VS;
        s->vs_dirty = 0;
    }
    bool dirty = (s->mstatus & MSTATUS_FS) == MSTATUS_FS || (s->mstatus & MSTATUS_VS) == MSTATUS_VS;
    return dirty ? s->mstatus | MSTATUS_SD : s->mstatus & ~MSTATUS_SD;
}

void riscv_mode_changed(RiscvState *s)
{
    unsigned data = s->priv == PRIV_M && s->mstatus & MSTATUS_MPRV ? (s->mstatus >> 11) & 3 : s->priv;
    unsigned mmu = data | (s->mstatus & MSTATUS_SUM ? MMU_SUM : 0) | (s->mstatus & MSTATUS_MXR ? MMU_MXR : 0);

    if (data == PRIV_M || !(s->xlen == 64 ? s->satp >> 60 : s->satp >> 31))
        mmu = data; /* no translation: SUM and MXR mean nothing */
    s->fp_off = !(s->mstatus & MSTATUS_FS) || !riscv_has(s, EXT_F);
    s->vs_off = !(s->mstatus & MSTATUS_VS) || !riscv_has(s, EXT_V);
    unsigned frm = s->frm < 4 ? 0 : s->frm == 4 ? 1 : 2;
    s->cs.mode = s->priv | frm << MODE_FRM_SHIFT | (s->xlen == 32 ? MODE_XLEN32 : 0);
    s->cs.fp_round = s->frm <= FROUND_RMM ? s->frm : FROUND_RNE;
    mmu |= s->priv << MMU_FETCH_SHIFT | frm << MMU_FRM_SHIFT;
    tcg_context_changed(&s->cs, data == PRIV_M && s->priv == PRIV_M ? 0 : s->satp, mmu);
}

static void enter_supervisor(RiscvState *s, uint64_t cause, uint64_t vector, uint64_t tval)
{
    s->scause = cause;
    s->sepc = s->cs.pc;
    s->stval = tval;
    s->mstatus &= ~(MSTATUS_SPIE | MSTATUS_SPP);
    s->mstatus |= (s->mstatus & MSTATUS_SIE ? MSTATUS_SPIE : 0) | (s->priv ? MSTATUS_SPP : 0);
    s->mstatus &= ~MSTATUS_SIE;
    s->cs.pc = (s->stvec & ~3ull) + ((s->stvec & 1) ? vector : 0);
    s->priv = PRIV_S;
}

static void enter_machine(RiscvState *s, uint64_t cause, uint64_t vector, uint64_t tval)
{
    s->mcause = cause;
    s->mepc = s->cs.pc;
    s->mtval = tval;
    s->mstatus &= ~(MSTATUS_MPIE | MSTATUS_MPP);
    s->mstatus |= (s->mstatus & MSTATUS_MIE ? MSTATUS_MPIE : 0) | (uint64_t)s->priv << 11;
    s->mstatus &= ~MSTATUS_MIE;
    s->cs.pc = (s->mtvec & ~3ull) + ((s->mtvec & 1) ? vector : 0);
    s->priv = PRIV_M;
}

static void take_trap(RiscvState *s, unsigned code, bool interrupt, uint64_t tval)
{
    uint64_t cause = code | (interrupt ? 1ull << (s->xlen - 1) : 0), vector = interrupt ? code * 4 : 0;
    uint64_t delegated = interrupt ? s->mideleg : s->medeleg;

    log_printf(LOG_INT, "riscv: hart %" PRIu64 " %s %u pc %" PRIx64 " tval %" PRIx64 " from privilege %u\n", s->hart,
               interrupt ? "interrupt" : "exception", code, s->cs.pc, tval, s->priv);
    riscv_mstatus(s);
    s->cs.reserve_addr = UINT64_MAX;
    if (s->xlen == 32) {
        s->cs.pc = (uint32_t)s->cs.pc;
        tval = (uint32_t)tval;
    }
    if (s->priv <= PRIV_S && (delegated >> code & 1))
        enter_supervisor(s, cause, vector, tval);
    else
        enter_machine(s, cause, vector, tval);
    riscv_mode_changed(s);
}

void riscv_raise(RiscvState *s, unsigned cause, uint64_t tval)
{
    tcg_count_raise(&s->cs);
    s->raised++;
    take_trap(s, cause, false, tval);
    s->cs.raised = 1;
}

/* Interrupts that are pending and enabled for the present privilege, as a mask of those that may be taken. */
static uint64_t takeable(RiscvState *s)
{
    uint64_t pending = __atomic_load_n(&s->mip, __ATOMIC_ACQUIRE) & s->mie;
    if (!pending)
        return 0;
    uint64_t machine = pending & ~s->mideleg, supervisor = pending & s->mideleg;
    bool m_on = s->priv < PRIV_M || (s->mstatus & MSTATUS_MIE);
    bool s_on = s->priv < PRIV_S || (s->priv == PRIV_S && (s->mstatus & MSTATUS_SIE));
    if (m_on && machine)
        return machine;
    return s_on ? supervisor : 0;
}

unsigned riscv_first_interrupt(uint64_t mask)
{
    static const uint8_t order[] = { IRQ_M_EXT, IRQ_M_SOFT, IRQ_M_TIMER, IRQ_S_EXT, IRQ_S_SOFT, IRQ_S_TIMER };

    for (unsigned i = 0; mask && i < G_N_ELEMENTS(order); i++) {
        if (mask >> order[i] & 1)
            return order[i];
    }
    return 0;
}

bool riscv_deliver_interrupt(CpuState *cs)
{
    RiscvState *s = riscv(cs);
    unsigned irq = riscv_first_interrupt(takeable(s));

    if (irq)
        take_trap(s, irq, true, 0);
    return irq;
}

void riscv_check_interrupts(RiscvState *s)
{
    if (takeable(s))
        riscv_wake(s);
}

bool riscv_has_work(CpuState *cs)
{
    RiscvState *s = riscv(cs);
    return __atomic_load_n(&s->mip, __ATOMIC_ACQUIRE) & s->mie; /* WFI wakes whatever the global enables say */
}

void riscv_wake(RiscvState *s)
{
    Vcpu *vcpu = s->cs.vcpu;

    if (vcpu && vcpu == vcpu_current()) { /* awake: no need to signal */
        __atomic_fetch_or(&vcpu->requests, VCPU_INTERRUPT, __ATOMIC_SEQ_CST);
        __atomic_store_n(&s->cs.poll, 1, __ATOMIC_SEQ_CST);
    } else if (vcpu) {
        vcpu_request(vcpu, VCPU_INTERRUPT);
    }
}

void riscv_cpu_set_irq(void *opaque, int irq, bool level)
{
    RiscvState *s = opaque;
    uint64_t bit = 1ull << irq;

    if (level) {
        __atomic_fetch_or(&s->mip_inputs, bit, __ATOMIC_SEQ_CST);
        if (!(__atomic_fetch_or(&s->mip, bit, __ATOMIC_SEQ_CST) & bit))
            riscv_wake(s);
    } else {
        __atomic_fetch_and(&s->mip_inputs, ~bit, __ATOMIC_SEQ_CST);
        if (!(__atomic_load_n(&s->mip_soft, __ATOMIC_SEQ_CST) & bit))
            __atomic_fetch_and(&s->mip, ~bit, __ATOMIC_SEQ_CST);
    }
}

void riscv_return(RiscvState *s, unsigned from)
{
    riscv_mstatus(s);
    if (from == PRIV_M) {
        unsigned to = s->mstatus >> 11 & 3;
        s->mstatus = (s->mstatus & ~MSTATUS_MIE) | (s->mstatus & MSTATUS_MPIE ? MSTATUS_MIE : 0);
        s->mstatus = (s->mstatus | MSTATUS_MPIE) & ~MSTATUS_MPP;
        if (to != PRIV_M)
            s->mstatus &= ~MSTATUS_MPRV;
        s->priv = to;
        s->cs.pc = s->mepc;
    } else {
        unsigned to = s->mstatus & MSTATUS_SPP ? PRIV_S : PRIV_U;
        s->mstatus = (s->mstatus & ~MSTATUS_SIE) | (s->mstatus & MSTATUS_SPIE ? MSTATUS_SIE : 0);
        s->mstatus = (s->mstatus | MSTATUS_SPIE) & ~(MSTATUS_SPP | MSTATUS_MPRV);
        s->priv = to;
        s->cs.pc = s->sepc;
    }
    riscv_mode_changed(s);
    riscv_check_interrupts(s);
}

/* ---- the supervisor's own timer (Sstc) ---- */

static void update_stimer(RiscvState *s)
{
    if (!s->time || !(s->menvcfg & MENVCFG_STCE)) {
        timer_cancel(&s->stimer);
        return;
    }
    uint64_t now = s->time(s->time_opaque);
    if (now >= s->stimecmp) {
        timer_cancel(&s->stimer);
        riscv_cpu_set_irq(s, IRQ_S_TIMER, true);
        return;
    }
    riscv_cpu_set_irq(s, IRQ_S_TIMER, false);
    uint64_t ticks = s->stimecmp - now;
    int64_t base = clock_now(s->stimer.clocks, CLOCK_VIRTUAL_NS);
    if (ticks > (uint64_t)(INT64_MAX - base) / 100 - 1)
        timer_cancel(&s->stimer);
    else
        timer_set(&s->stimer, base + (int64_t)ticks * 100);
}

void riscv_update_stimer(RiscvState *s)
{
    g_mutex_lock(&s->stimer_lock);
    update_stimer(s);
    g_mutex_unlock(&s->stimer_lock);
}

void riscv_set_stimecmp(RiscvState *s, uint64_t value)
{
    g_mutex_lock(&s->stimer_lock);
    s->stimecmp = value;
    update_stimer(s);
    g_mutex_unlock(&s->stimer_lock);
}
