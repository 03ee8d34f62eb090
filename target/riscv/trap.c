/*
 * RISC-V traps: exceptions, interrupts, delegation, returns, with guests too (privileged ISA 20240411, sections
 * 3.1.6-3.1.9, 3.1.15, 12.1, 18.6).
 * SPDX-License-Identifier: MIT
 */
#include "accel/vcpu.h"
#include "target/riscv/hypervisor.h"
#include "util/log.h"
#include <inttypes.h>

uint64_t riscv_mstatus(RiscvState *s)
{
    if (s->fp_dirty) {
        s->mstatus |= MSTATUS_FS;
        s->vsstatus |= s->virt ? MSTATUS_FS : 0;
        s->fp_dirty = 0;
    }
    if (s->vs_dirty) {
        s->mstatus |= MSTATUS_VS;
        s->vsstatus |= s->virt ? MSTATUS_VS : 0;
        s->vs_dirty = 0;
    }
    bool dirty = (s->mstatus & MSTATUS_FS) == MSTATUS_FS || (s->mstatus & MSTATUS_VS) == MSTATUS_VS;
    return dirty ? s->mstatus | MSTATUS_SD : s->mstatus & ~MSTATUS_SD;
}

/* Pointer masking of loads and stores at privilege data (pointer masking 1.0, chapter 2). Returns it as mode flags. */
static unsigned pointer_masking(RiscvState *s, unsigned data, bool guest)
{
    static const uint8_t bits[] = { 0, 0, 7, 16 };
    uint64_t atp = guest ? s->vsatp : s->satp, status = s->mstatus | (guest ? s->vsstatus : 0);
    uint64_t cfg = data == PRIV_M                          ? s->mseccfg
                   : data == PRIV_U && riscv_has(s, EXT_S) ? s->senvcfg
                   : guest                                 ? s->henvcfg
                                                           : s->menvcfg;
    bool translated = data != PRIV_M && atp >> (s->xlen == 64 ? 60 : 31);
    unsigned pmm = cfg >> 32 & 3;
    if (s->xlen == 32 || (data != PRIV_M && status & MSTATUS_MXR))
        pmm = 0;
    s->pm_bits = bits[pmm];
    s->pm_zero = !translated;
    return pmm << MODE_PMM_SHIFT | (pmm && !translated ? MODE_PMM_ZERO : 0);
}

uint64_t riscv_vsstatus(RiscvState *s)
{
    riscv_mstatus(s);
    bool dirty = (s->vsstatus & MSTATUS_FS) == MSTATUS_FS || (s->vsstatus & MSTATUS_VS) == MSTATUS_VS;
    return dirty ? s->vsstatus | MSTATUS_SD : s->vsstatus & ~MSTATUS_SD;
}

/* State of an extension is off if either level says so; in a guest it becomes dirty in both. */
static bool state_off(const RiscvState *s, uint64_t field)
{
    return !(s->mstatus & field) || (s->virt && !(s->vsstatus & field));
}

void riscv_mode_changed(RiscvState *s)
{
    bool other = s->priv == PRIV_M && s->mstatus & MSTATUS_MPRV;
    unsigned data = other ? (s->mstatus >> 11) & 3 : s->priv;
    bool guest = other ? s->mstatus & MSTATUS_MPV && data != PRIV_M : s->virt;
    bool translated = !guest && data != PRIV_M && (s->xlen == 64 ? s->satp >> 60 : s->satp >> 31);
    unsigned mmu = data;

    if (guest)
        mmu |= riscv_guest_mmu_index(s);
    else if (translated) /* else SUM and MXR mean nothing */
        mmu |= (s->mstatus & MSTATUS_SUM ? MMU_SUM : 0) | (s->mstatus & MSTATUS_MXR ? MMU_MXR : 0);
    s->fp_off = state_off(s, MSTATUS_FS) || !riscv_has(s, EXT_F);
    s->vs_off = state_off(s, MSTATUS_VS) || !riscv_has(s, EXT_V);
    riscv_vector_changed(s);
    unsigned frm = s->frm < 4 ? 0 : s->frm == 4 ? 1 : 2;
    s->cs.mode = s->priv | frm << MODE_FRM_SHIFT | (s->xlen == 32 ? MODE_XLEN32 : 0) | (s->virt ? MODE_VIRT : 0) |
                 pointer_masking(s, data, guest) | (s->trig.insns[riscv_full_mode(s)] ? MODE_TRIGGER : 0);
    s->cs.fp_round = s->frm <= FROUND_RMM ? s->frm : FROUND_RNE;
    if (s->pmu.filtered && s->pmu.mode != riscv_full_mode(s))
        riscv_pmu_update(s);
    mmu |= s->priv << MMU_FETCH_SHIFT | frm << MMU_FRM_SHIFT | (s->virt ? MMU_FETCH_VIRT : 0) |
           s->cs.mode >> MODE_PMM_SHIFT << MMU_MODE_SHIFT;
    if (guest)
        tcg_context_changed(&s->cs, s->vsatp, s->hgatp | SPACE_GUEST, mmu);
    else
        tcg_context_changed(&s->cs, translated ? s->satp : 0, 0, mmu);
}

/* What a trap leaves behind besides cause and pc. */
typedef struct Details {
    uint64_t tval, gpa;
    uint32_t insn; /* [hm]tinst */
    bool gva;      /* tval is a guest's virtual address */
} Details;

/* The stack of enables: in sstatus and vsstatus. */
static uint64_t push_supervisor(uint64_t status, unsigned priv)
{
    uint64_t enabled = status & MSTATUS_SIE ? MSTATUS_SPIE : 0;
    return (status & ~(MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP)) | enabled | (priv ? MSTATUS_SPP : 0);
}

static uint64_t handler(uint64_t tvec, uint64_t vector)
{
    return (tvec & ~3ull) + ((tvec & 1) ? vector : 0);
}

static void enter_guest(RiscvState *s, uint64_t cause, uint64_t vector, const Details *d)
{
    s->vscause = cause;
    s->vsepc = s->cs.pc;
    s->vstval = d->tval;
    s->vsstatus = push_supervisor(s->vsstatus, s->priv);
    s->cs.pc = handler(s->vstvec, vector);
    s->priv = PRIV_S;
}

static void enter_supervisor(RiscvState *s, uint64_t cause, uint64_t vector, const Details *d)
{
    s->scause = cause;
    s->sepc = s->cs.pc;
    s->stval = d->tval;
    s->mstatus = push_supervisor(s->mstatus, s->priv);
    if (riscv_has(s, EXT_H)) {
        s->hstatus &= ~(HSTATUS_SPV | HSTATUS_GVA | (s->virt ? HSTATUS_SPVP : 0));
        s->hstatus |= (s->virt ? HSTATUS_SPV | (s->priv ? HSTATUS_SPVP : 0) : 0) | (d->gva ? HSTATUS_GVA : 0);
        s->htval = d->gpa >> 2;
        s->htinst = d->insn;
    }
    s->cs.pc = handler(s->stvec, vector);
    s->priv = PRIV_S;
    s->virt = false;
}

static void enter_machine(RiscvState *s, uint64_t cause, uint64_t vector, const Details *d)
{
    s->mcause = cause;
    s->mepc = s->cs.pc;
    s->mtval = d->tval;
    s->mstatus &= ~(MSTATUS_MPIE | MSTATUS_MPP | MSTATUS_MPV | MSTATUS_GVA);
    s->mstatus |= (s->mstatus & MSTATUS_MIE ? MSTATUS_MPIE : 0) | (uint64_t)s->priv << 11 |
                  (s->virt ? MSTATUS_MPV : 0) | (d->gva ? MSTATUS_GVA : 0);
    s->mstatus &= ~MSTATUS_MIE;
    s->mtval2 = d->gpa >> 2;
    s->mtinst = d->insn;
    s->cs.pc = handler(s->mtvec, vector);
    s->priv = PRIV_M;
    s->virt = false;
    riscv_trigger_enter_machine(s);
}

typedef enum { TO_GUEST, TO_SUPERVISOR, TO_MACHINE } Level;

static void enter_handler(RiscvState *s, Level level, unsigned code, bool interrupt, Details *d)
{
    static void (*const enter[])(RiscvState * s, uint64_t cause, uint64_t vector, const Details *d) = {
        [TO_GUEST] = enter_guest, [TO_SUPERVISOR] = enter_supervisor, [TO_MACHINE] = enter_machine
    };
    uint64_t cause = code | (interrupt ? 1ull << (s->xlen - 1) : 0);

    log_printf(LOG_INT, "riscv: hart %" PRIu64 " %s %u pc %" PRIx64 " tval %" PRIx64 " from privilege %s%u\n", s->hart,
               interrupt ? "interrupt" : "exception", code, s->cs.pc, d->tval, s->virt ? "V" : "", s->priv);
    riscv_mstatus(s);
    s->cs.reserve_addr = UINT64_MAX;
    if (s->xlen == 32) {
        s->cs.pc = (uint32_t)s->cs.pc;
        d->tval = (uint32_t)d->tval;
    }
    enter[level](s, cause, interrupt ? code * 4 : 0, d);
    riscv_mode_changed(s);
}

/* Who handles this exception. */
static Level exception_level(const RiscvState *s, unsigned cause)
{
    if (s->priv == PRIV_M || !(s->medeleg >> cause & 1))
        return TO_MACHINE;
    return s->virt && s->hedeleg >> cause & 1 ? TO_GUEST : TO_SUPERVISOR;
}

static void take_trap(RiscvState *s, Level level, unsigned code, bool interrupt, Details *d)
{
    unsigned from = riscv_full_mode(s);
    enter_handler(s, level, code, interrupt, d);
    if (s->trig.traps && riscv_trigger_trap(s, code, interrupt, from))
        enter_handler(s, exception_level(s, CAUSE_BREAKPOINT), CAUSE_BREAKPOINT, false, &(Details){ 0 });
}

static void raise_trap(RiscvState *s, unsigned cause, Details *d)
{
    Level level = exception_level(s, cause);
    tcg_count_raise(&s->cs);
    s->raised++;
    d->gva = riscv_is_guest_address(s, cause);
    if (d->gva && !d->insn && level != TO_GUEST)
        d->insn = riscv_transformed_insn(s, cause, d->tval);
    take_trap(s, level, cause, false, d);
    s->cs.raised = 1;
}

void riscv_raise(RiscvState *s, unsigned cause, uint64_t tval)
{
    raise_trap(s, cause, &(Details){ .tval = tval });
}

void riscv_raise_guest_page(RiscvState *s, unsigned cause, uint64_t tval, uint64_t gpa, uint32_t pseudo)
{
    raise_trap(s, cause, &(Details){ .tval = tval, .gpa = gpa, .insn = pseudo });
}

void riscv_refuse(RiscvState *s, bool virtual, uint64_t bits)
{
    riscv_raise(s, virtual ? CAUSE_VIRTUAL_INSN : CAUSE_ILLEGAL, bits);
}

/* The interrupt to be taken now, and by whom; 0: none. */
static unsigned next_interrupt(RiscvState *s, Level *level)
{
    uint64_t pending = __atomic_load_n(&s->mip, __ATOMIC_ACQUIRE) & s->mie;
    if (!pending && !s->virt)
        return 0;
    uint64_t machine = pending & ~s->mideleg, supervisor = pending & s->mideleg & ~s->hideleg;
    if (machine && (s->priv < PRIV_M || s->mstatus & MSTATUS_MIE)) {
        *level = TO_MACHINE;
        return riscv_first_interrupt(s, machine, true);
    }
    if (supervisor && (s->priv < PRIV_S || s->virt || (s->priv == PRIV_S && s->mstatus & MSTATUS_SIE))) {
        *level = TO_SUPERVISOR;
        return riscv_first_interrupt(s, supervisor, false);
    }
    *level = TO_GUEST;
    return s->virt && (s->priv < PRIV_S || s->vsstatus & MSTATUS_SIE) ? riscv_guest_interrupt(s) : 0;
}

bool riscv_deliver_interrupt(CpuState *cs)
{
    RiscvState *s = riscv(cs);
    Level level;
    riscv_pmu_attend(s);
    unsigned irq = next_interrupt(s, &level);

    if (irq)
        take_trap(s, level, irq, true, &(Details){ 0 });
    return irq;
}

void riscv_check_interrupts(RiscvState *s)
{
    Level level;
    if (next_interrupt(s, &level))
        riscv_wake(s);
}

bool riscv_has_work(CpuState *cs)
{
    RiscvState *s = riscv(cs);
    riscv_pmu_attend(s);
    if (s->virt && s->hvictl & HVICTL_VTI && riscv_guest_interrupt(s))
        return true;
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

void riscv_pend_soft(RiscvState *s, unsigned irq)
{
    __atomic_fetch_or(&s->mip_soft, 1ull << irq, __ATOMIC_SEQ_CST);
    __atomic_fetch_or(&s->mip, 1ull << irq, __ATOMIC_SEQ_CST);
    riscv_check_interrupts(s);
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

void riscv_cpu_pulse_irq(void *opaque, int irq)
{
    RiscvState *s = opaque;
    uint64_t bit = 1ull << irq;
    __atomic_fetch_or(&s->mip_pulses, bit, __ATOMIC_SEQ_CST);
    __atomic_fetch_or(&s->mip, bit, __ATOMIC_SEQ_CST);
    riscv_wake(s);
}

void riscv_cpu_time_changed(CpuState *cs)
{
    riscv_update_timers(riscv(cs));
}

/* sret in either status: where to, with the enables as before the trap. */
static unsigned pop_supervisor(uint64_t *status)
{
    unsigned to = *status & MSTATUS_SPP ? PRIV_S : PRIV_U;
    *status = (*status & ~MSTATUS_SIE) | (*status & MSTATUS_SPIE ? MSTATUS_SIE : 0);
    *status = (*status | MSTATUS_SPIE) & ~MSTATUS_SPP;
    return to;
}

void riscv_return(RiscvState *s, unsigned from)
{
    riscv_mstatus(s);
    if (from == PRIV_M) {
        unsigned to = s->mstatus >> 11 & 3;
        s->virt = s->mstatus & MSTATUS_MPV && to != PRIV_M;
        s->mstatus = (s->mstatus & ~MSTATUS_MIE) | (s->mstatus & MSTATUS_MPIE ? MSTATUS_MIE : 0);
        s->mstatus = (s->mstatus | MSTATUS_MPIE) & ~(MSTATUS_MPP | MSTATUS_MPV);
        if (to != PRIV_M)
            s->mstatus &= ~MSTATUS_MPRV;
        s->priv = to;
        s->cs.pc = s->mepc;
        riscv_trigger_leave_machine(s);
    } else if (s->virt) {
        s->priv = pop_supervisor(&s->vsstatus);
        s->cs.pc = s->vsepc;
    } else {
        s->priv = pop_supervisor(&s->mstatus);
        s->mstatus &= ~MSTATUS_MPRV;
        s->virt = s->hstatus & HSTATUS_SPV;
        s->hstatus &= ~HSTATUS_SPV;
        s->cs.pc = s->sepc;
    }
    riscv_mode_changed(s);
    riscv_check_interrupts(s);
}

/* ---- timers of supervisor and guest (Sstc) ---- */

static void update_timer(RiscvState *s, Timer *timer, unsigned irq, bool enabled, uint64_t compare, uint64_t delta)
{
    uint64_t now = s->time && enabled ? s->time(s->time_opaque) + delta : 0;
    bool due = s->time && enabled && now >= compare;
    riscv_cpu_set_irq(s, irq, due);
    uint64_t ticks = compare - now;
    int64_t base = clock_now(timer->clocks, CLOCK_VIRTUAL_NS);
    if (due || !s->time || !enabled || ticks > (uint64_t)(INT64_MAX - base) / 100 - 1)
        timer_cancel(timer);
    else
        timer_set(timer, base + (int64_t)ticks * 100);
}

static void update_stimer(RiscvState *s)
{
    update_timer(s, &s->stimer, IRQ_S_TIMER, s->menvcfg & MENVCFG_STCE, s->stimecmp, 0);
}
static void update_vstimer(RiscvState *s)
{
    update_timer(s, &s->vstimer, IRQ_VS_TIMER, riscv_henvcfg(s) & MENVCFG_STCE, s->vstimecmp, s->htimedelta);
}

void riscv_update_timers(RiscvState *s)
{
    g_mutex_lock(&s->stimer_lock);
    update_stimer(s);
    if (riscv_has(s, EXT_H))
        update_vstimer(s);
    g_mutex_unlock(&s->stimer_lock);
}

void riscv_set_timecmp(RiscvState *s, uint64_t *compare, uint64_t value)
{
    g_mutex_lock(&s->stimer_lock);
    *compare = value;
    if (compare == &s->stimecmp)
        update_stimer(s);
    else
        update_vstimer(s);
    g_mutex_unlock(&s->stimer_lock);
}
