/*
 * RISC-V control and status registers (privileged ISA 20240411, chapters 2, 3, 12; unprivileged, chapter "Zicsr").
 * One table: number, name, what it needs, where it is or the functions that read and write it.
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/csr.h"
#include "hw/core/machine.h"
#include "target/riscv/hypervisor.h"
#include "target/riscv/pmp.h"
#include "target/riscv/stateen.h"
#include "util/guest_random.h"

#define S_INTERRUPTS   0x222ull
#define ALL_INTERRUPTS 0xaaaull
#define COUNTER_PENDS  (1ull << IRQ_COUNTER)
#define MSTATUS_WRITABLE                                                                                               \
    (MSTATUS_SIE | MSTATUS_MIE | MSTATUS_SPIE | MSTATUS_MPIE | MSTATUS_SPP | MSTATUS_FS | MSTATUS_MPRV | MSTATUS_SUM | \
     MSTATUS_VS | MSTATUS_MXR | MSTATUS_TVM | MSTATUS_TW | MSTATUS_TSR)
#define SSTATUS_VISIBLE                                                                                             \
    (MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_FS | MSTATUS_VS | MSTATUS_SUM | MSTATUS_MXR | MSTATUS_UXL | \
     MSTATUS_SD)
#define MEDELEG_WRITABLE  0xb3ffull   /* all but environment calls from M */
#define MEDELEG_GUEST     0xf00400ull /* environment calls from VS, guest page faults, virtual instructions */
#define MSTATUSH_GUEST    (MSTATUS_MPV | MSTATUS_GVA)
#define COUNTERS_WRITABLE 7ull

/* ---- status ---- */

static uint64_t sd_in_place(RiscvState *s, uint64_t v)
{
    return s->xlen == 32 ? (uint32_t)v | (v & MSTATUS_SD ? 1u << 31 : 0) : v;
}

static uint64_t read_mstatus(RiscvState *s)
{
    return sd_in_place(s, riscv_mstatus(s));
}

static void write_status(RiscvState *s, uint64_t v, uint64_t mask)
{
    uint64_t old = riscv_mstatus(s);
    if (!riscv_has(s, EXT_F))
        mask &= ~MSTATUS_FS;
    if (!riscv_has(s, EXT_V))
        mask &= ~MSTATUS_VS;
    uint64_t now = (old & ~mask) | (v & mask);
    s->mstatus = now & ~MSTATUS_SD;
    if ((old ^ now) & ~(MSTATUS_SIE | MSTATUS_MIE | MSTATUS_SPIE | MSTATUS_MPIE | MSTATUS_SPP))
        riscv_mode_changed(s);
    riscv_check_interrupts(s);
}

static void write_mstatus(RiscvState *s, uint64_t v)
{
    uint64_t mask = MSTATUS_WRITABLE;
    if ((v >> 11 & 3) != 2)
        mask |= MSTATUS_MPP;
    if (riscv_has(s, EXT_H) && s->xlen == 64)
        mask |= MSTATUSH_GUEST;
    write_status(s, v, mask);
}

static uint64_t read_mstatush(RiscvState *s)
{
    return (s->mstatus & MSTATUSH_GUEST) >> 32;
}
static void write_mstatush(RiscvState *s, uint64_t v)
{
    if (riscv_has(s, EXT_H))
        write_status(s, v << 32, MSTATUSH_GUEST);
}

static uint64_t read_sstatus(RiscvState *s)
{
    return sd_in_place(s, riscv_mstatus(s) & SSTATUS_VISIBLE);
}

static void write_sstatus(RiscvState *s, uint64_t v)
{
    write_status(s, v, MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_FS | MSTATUS_VS | MSTATUS_SUM | MSTATUS_MXR);
}

static uint64_t read_misa(RiscvState *s)
{
    uint64_t v = s->xlen == 64 ? 2ull << 62 : 1ull << 30;
    static const struct {
        uint64_t ext;
        char letter;
    } letters[] = { { EXT_I, 'i' }, { EXT_M, 'm' }, { EXT_A, 'a' }, { EXT_F, 'f' }, { EXT_D, 'd' },
                    { EXT_C, 'c' }, { EXT_V, 'v' }, { EXT_H, 'h' }, { EXT_S, 's' }, { EXT_U, 'u' } };
    for (unsigned i = 0; i < G_N_ELEMENTS(letters); i++)
        v |= riscv_has(s, letters[i].ext) ? 1ull << (letters[i].letter - 'a') : 0;
    return v;
}

static void write_nothing(RiscvState *s, uint64_t v) {}
static uint64_t read_zero(RiscvState *s)
{
    return 0;
}
static uint64_t read_hart(RiscvState *s)
{
    return s->hart;
}

/* ---- traps ---- */

static void write_medeleg(RiscvState *s, uint64_t v)
{
    s->medeleg = v & (MEDELEG_WRITABLE | (riscv_has(s, EXT_H) ? MEDELEG_GUEST : 0));
}
static uint64_t counter_interrupt(const RiscvState *s)
{
    return s->feat & FEAT_SSCOFPMF ? COUNTER_PENDS : 0;
}
uint64_t riscv_local_interrupts(const RiscvState *s, bool machine)
{
    return (machine ? ALL_INTERRUPTS : S_INTERRUPTS) | counter_interrupt(s);
}
static void write_mideleg(RiscvState *s, uint64_t v)
{
    s->mideleg = (v & riscv_local_interrupts(s, false)) | (riscv_has(s, EXT_H) ? H_INTERRUPTS : 0);
    riscv_check_interrupts(s);
}
static void write_mie(RiscvState *s, uint64_t v)
{
    s->mie = v & (riscv_local_interrupts(s, true) | (riscv_has(s, EXT_H) ? H_INTERRUPTS : 0));
    riscv_check_interrupts(s);
}
static uint64_t read_sie(RiscvState *s)
{
    return s->mie & s->mideleg & ~H_INTERRUPTS;
}
static void write_sie(RiscvState *s, uint64_t v)
{
    uint64_t mask = s->mideleg & ~H_INTERRUPTS;
    write_mie(s, (s->mie & ~mask) | (v & mask));
}

static uint64_t read_mip(RiscvState *s)
{
    __atomic_store_n(&s->mip_pulses, 0, __ATOMIC_SEQ_CST); /* those that come from now on are not seen yet */
    return __atomic_load_n(&s->mip, __ATOMIC_SEQ_CST);
}
void riscv_write_soft(RiscvState *s, uint64_t v, uint64_t mask)
{
    uint64_t soft = (s->mip_soft & ~mask) | (v & mask);
    __atomic_store_n(&s->mip_soft, soft, __ATOMIC_SEQ_CST);
    __atomic_fetch_or(&s->mip, soft, __ATOMIC_SEQ_CST);
    uint64_t gone = mask & ~soft & ~__atomic_load_n(&s->mip_inputs, __ATOMIC_SEQ_CST);
    __atomic_fetch_and(&s->mip, ~gone, __ATOMIC_SEQ_CST);
    /* an input that rose between the two lines above is not lost */
    __atomic_fetch_or(&s->mip, __atomic_load_n(&s->mip_inputs, __ATOMIC_SEQ_CST), __ATOMIC_SEQ_CST);
    __atomic_fetch_or(&s->mip, __atomic_load_n(&s->mip_pulses, __ATOMIC_SEQ_CST), __ATOMIC_SEQ_CST);
    riscv_check_interrupts(s);
}
/* Bits of mvien are read-only zero: those of mvip are what software set in mip (AIA 1.0, section 5.3). */
static uint64_t mvip_writable(const RiscvState *s)
{
    return 1ull << IRQ_S_SOFT | 1ull << IRQ_S_EXT | (s->menvcfg & MENVCFG_STCE ? 0 : 1ull << IRQ_S_TIMER);
}
static void write_mvip(RiscvState *s, uint64_t v)
{
    riscv_write_soft(s, v, mvip_writable(s));
}
static void write_mip(RiscvState *s, uint64_t v)
{
    riscv_write_soft(s, v, mvip_writable(s) | counter_interrupt(s) | (riscv_has(s, EXT_H) ? 1ull << IRQ_VS_SOFT : 0));
}
static uint64_t read_sip(RiscvState *s)
{
    return read_mip(s) & s->mideleg & ~H_INTERRUPTS;
}
static void write_sip(RiscvState *s, uint64_t v)
{
    riscv_write_soft(s, v, s->mideleg & (1ull << IRQ_S_SOFT | counter_interrupt(s)));
}

static uint64_t read_mvip(RiscvState *s)
{
    return s->mip_soft & mvip_writable(s);
}
static void write_miselect(RiscvState *s, uint64_t v)
{
    s->miselect = v & 0xfff;
}
static void write_siselect(RiscvState *s, uint64_t v)
{
    s->siselect = v & 0xfff;
}

static void write_vsiselect(RiscvState *s, uint64_t v)
{
    s->vsiselect = v & 0xfff;
}
/* Priorities of a guest's major interrupts, a byte each (AIA 1.0, section 6.3.4); there is no interrupt 0. */
static uint64_t with_low(RiscvState *s, uint64_t old, uint64_t v)
{
    return s->xlen == 32 ? (old >> 32 << 32) | (uint32_t)v : v;
}
static void write_hviprio1(RiscvState *s, uint64_t v)
{
    s->hviprio1 = with_low(s, s->hviprio1, v & ~0xffull);
}
static void write_hviprio2(RiscvState *s, uint64_t v)
{
    s->hviprio2 = with_low(s, s->hviprio2, v);
}
static uint64_t read_hviprio1h(RiscvState *s)
{
    return s->hviprio1 >> 32;
}
static uint64_t read_hviprio2h(RiscvState *s)
{
    return s->hviprio2 >> 32;
}
static void write_hviprio1h(RiscvState *s, uint64_t v)
{
    s->hviprio1 = v << 32 | (uint32_t)s->hviprio1;
}
static void write_hviprio2h(RiscvState *s, uint64_t v)
{
    s->hviprio2 = v << 32 | (uint32_t)s->hviprio2;
}

static uint64_t tvec_legal(uint64_t v)
{
    return v & 2 ? v & ~3ull : v & ~2ull; /* modes 0 and 1 */
}
static void write_mtvec(RiscvState *s, uint64_t v)
{
    s->mtvec = tvec_legal(v);
}
static void write_stvec(RiscvState *s, uint64_t v)
{
    s->stvec = tvec_legal(v);
}
static void write_vstvec(RiscvState *s, uint64_t v)
{
    s->vstvec = tvec_legal(v);
}
static uint64_t epc_mask(RiscvState *s)
{
    return riscv_has(s, EXT_C) ? ~1ull : ~3ull;
}
static void write_mepc(RiscvState *s, uint64_t v)
{
    s->mepc = v & epc_mask(s);
}
static void write_sepc(RiscvState *s, uint64_t v)
{
    s->sepc = v & epc_mask(s);
}
static void write_vsepc(RiscvState *s, uint64_t v)
{
    s->vsepc = v & epc_mask(s);
}

/* ---- translation ---- */

static void write_satp(RiscvState *s, uint64_t v)
{
    if (s->xlen == 32) {
        s->satp = s->max_satp || !(v >> 31) ? (uint32_t)v : s->satp;
    } else {
        unsigned mode = v >> 60;
        if (mode && (mode < SATP_SV39 || mode > s->max_satp))
            return; /* the whole write has no effect */
        s->satp = v & 0xf00ffffffffffffful;
        s->satp |= v & 0x0fffful << 44;
    }
    riscv_mode_changed(s);
}

/* ---- counters (pmu.c) ---- */

static uint64_t read_cycle(RiscvState *s)
{
    return riscv_pmu_read(s, PMU_CYCLE);
}
static uint64_t read_instret(RiscvState *s)
{
    return riscv_pmu_read(s, PMU_INSTRET);
}
static void write_cycle(RiscvState *s, uint64_t v)
{
    riscv_pmu_write(s, PMU_CYCLE, s->xlen == 32 ? (read_cycle(s) >> 32 << 32) | (uint32_t)v : v);
}
static void write_instret(RiscvState *s, uint64_t v)
{
    riscv_pmu_write(s, PMU_INSTRET, s->xlen == 32 ? (read_instret(s) >> 32 << 32) | (uint32_t)v : v);
}
static uint64_t read_cycleh(RiscvState *s)
{
    return read_cycle(s) >> 32;
}
static uint64_t read_instreth(RiscvState *s)
{
    return read_instret(s) >> 32;
}
static void write_cycleh(RiscvState *s, uint64_t v)
{
    riscv_pmu_write(s, PMU_CYCLE, v << 32 | (uint32_t)read_cycle(s));
}
static void write_instreth(RiscvState *s, uint64_t v)
{
    riscv_pmu_write(s, PMU_INSTRET, v << 32 | (uint32_t)read_instret(s));
}
static uint64_t read_cyclecfg(RiscvState *s)
{
    return s->pmu.event[PMU_CYCLE];
}
static uint64_t read_instretcfg(RiscvState *s)
{
    return s->pmu.event[PMU_INSTRET];
}
static uint64_t read_cyclecfgh(RiscvState *s)
{
    return s->pmu.event[PMU_CYCLE] >> 32;
}
static uint64_t read_instretcfgh(RiscvState *s)
{
    return s->pmu.event[PMU_INSTRET] >> 32;
}
/* The low halves of RV32's have no bits. */
static void write_cyclecfg(RiscvState *s, uint64_t v)
{
    if (s->xlen == 64)
        riscv_pmu_set_event(s, PMU_CYCLE, v);
}
static void write_instretcfg(RiscvState *s, uint64_t v)
{
    if (s->xlen == 64)
        riscv_pmu_set_event(s, PMU_INSTRET, v);
}
static void write_cyclecfgh(RiscvState *s, uint64_t v)
{
    riscv_pmu_set_event(s, PMU_CYCLE, v << 32);
}
static void write_instretcfgh(RiscvState *s, uint64_t v)
{
    riscv_pmu_set_event(s, PMU_INSTRET, v << 32);
}
static void write_inhibit(RiscvState *s, uint64_t v)
{
    s->mcountinhibit = v & (5 | s->pmu.present);
    riscv_pmu_update(s);
}
static uint64_t read_scountovf(RiscvState *s)
{
    uint64_t seen = s->priv == PRIV_M ? UINT32_MAX : s->virt ? s->mcounteren & s->hcounteren : s->mcounteren;
    return riscv_pmu_overflows(s) & seen;
}
static uint64_t read_time(RiscvState *s)
{
    uint64_t now = s->time ? s->time(s->time_opaque) : (uint64_t)clock_now(s->stimer.clocks, CLOCK_VIRTUAL_NS) / 100;
    return s->virt ? now + s->htimedelta : now;
}
static uint64_t read_timeh(RiscvState *s)
{
    return read_time(s) >> 32;
}
static void write_mcounteren(RiscvState *s, uint64_t v)
{
    s->mcounteren = (uint32_t)v;
}
static void write_scounteren(RiscvState *s, uint64_t v)
{
    s->scounteren = (uint32_t)v;
}
static void write_hcounteren(RiscvState *s, uint64_t v)
{
    s->hcounteren = (uint32_t)v;
}

/* ---- environment configuration, timer compare ---- */

/* PMM of 1 is reserved: the field stays as it was. */
static uint64_t pmm_legal(uint64_t old, uint64_t v)
{
    return (v & CFG_PMM) == 1ull << 32 ? (v & ~CFG_PMM) | (old & CFG_PMM) : v;
}
static uint64_t envcfg_writable(const RiscvState *s)
{
    return ENVCFG_FIOM | (riscv_has(s, EXT_ZICBOM) ? ENVCFG_CBIE | ENVCFG_CBCFE : 0) |
           (riscv_has(s, EXT_ZICBOZ) ? ENVCFG_CBZE : 0);
}
/* CBIE of 2 is reserved: the field stays as it was. */
static uint64_t envcfg_legal(uint64_t old, uint64_t v)
{
    v = pmm_legal(old, v);
    return (v & ENVCFG_CBIE) == 2 << 4 ? (v & ~ENVCFG_CBIE) | (old & ENVCFG_CBIE) : v;
}
static uint64_t menvcfg_writable(RiscvState *s)
{
    return envcfg_writable(s) | (s->feat & FEAT_SSTC ? MENVCFG_STCE : 0) | (s->feat & FEAT_SVADU ? MENVCFG_ADUE : 0) |
           (s->feat & FEAT_SVPBMT ? MENVCFG_PBMTE : 0) | (s->feat & FEAT_SMNPM ? CFG_PMM : 0);
}
static void set_menvcfg(RiscvState *s, uint64_t v)
{
    uint64_t old = s->menvcfg;
    s->menvcfg = envcfg_legal(old, v) & menvcfg_writable(s);
    if ((old ^ s->menvcfg) & (MENVCFG_ADUE | MENVCFG_PBMTE))
        tcg_flush_all(&s->cs);
    if ((old ^ s->menvcfg) & CFG_PMM)
        riscv_mode_changed(s);
    if ((old ^ s->menvcfg) & MENVCFG_STCE)
        riscv_update_timers(s);
}
static void write_menvcfg(RiscvState *s, uint64_t v)
{
    set_menvcfg(s, s->xlen == 32 ? (s->menvcfg >> 32 << 32) | (uint32_t)v : v);
}
static uint64_t read_menvcfgh(RiscvState *s)
{
    return s->menvcfg >> 32;
}
static void write_menvcfgh(RiscvState *s, uint64_t v)
{
    set_menvcfg(s, v << 32 | (uint32_t)s->menvcfg);
}
static void write_senvcfg(RiscvState *s, uint64_t v)
{
    s->senvcfg = envcfg_legal(s->senvcfg, v) & (envcfg_writable(s) | (s->feat & FEAT_SSNPM ? CFG_PMM : 0));
    riscv_mode_changed(s);
}
static uint64_t read_henvcfg(RiscvState *s)
{
    return riscv_henvcfg(s);
}
static uint64_t read_henvcfgh(RiscvState *s)
{
    return riscv_henvcfg(s) >> 32;
}
static void set_henvcfg(RiscvState *s, uint64_t v)
{
    uint64_t writable =
        (menvcfg_writable(s) & (s->menvcfg | ~HENVCFG_SHARED) & ~CFG_PMM) | (s->feat & FEAT_SSNPM ? CFG_PMM : 0);
    riscv_set_henvcfg(s, envcfg_legal(s->henvcfg, v) & writable);
    riscv_mode_changed(s);
}
static void write_henvcfg(RiscvState *s, uint64_t v)
{
    set_henvcfg(s, s->xlen == 32 ? (s->henvcfg >> 32 << 32) | (uint32_t)v : v);
}
static void write_henvcfgh(RiscvState *s, uint64_t v)
{
    set_henvcfg(s, v << 32 | (uint32_t)s->henvcfg);
}
static void set_low(RiscvState *s, uint64_t *time, uint64_t v)
{
    riscv_set_timecmp(s, time, s->xlen == 32 ? (*time >> 32 << 32) | (uint32_t)v : v);
}
static void set_high(RiscvState *s, uint64_t *time, uint64_t v)
{
    riscv_set_timecmp(s, time, v << 32 | (uint32_t)*time);
}
#define TIME_FUNCTIONS(name)                               \
    static void write_##name(RiscvState *s, uint64_t v)    \
    {                                                      \
        set_low(s, &s->name, v);                           \
    }                                                      \
    static uint64_t read_##name##h(RiscvState *s)          \
    {                                                      \
        return s->name >> 32;                              \
    }                                                      \
    static void write_##name##h(RiscvState *s, uint64_t v) \
    {                                                      \
        set_high(s, &s->name, v);                          \
    }
TIME_FUNCTIONS(stimecmp)
TIME_FUNCTIONS(vstimecmp)
TIME_FUNCTIONS(htimedelta)

/* ---- floating point ---- */

static uint64_t read_fflags(RiscvState *s)
{
    return tcg_fp_flags(&s->cs) & 31;
}
static void set_fcsr(RiscvState *s, unsigned flags, unsigned frm)
{
    s->fp_dirty = 1;
    s->frm = frm;
    tcg_fp_set(&s->cs, flags & 31, frm <= FROUND_RMM ? frm : FROUND_RNE);
    riscv_mode_changed(s);
}
static void write_fflags(RiscvState *s, uint64_t v)
{
    set_fcsr(s, v & 31, s->frm);
}
static uint64_t read_frm(RiscvState *s)
{
    return s->frm;
}
static void write_frm(RiscvState *s, uint64_t v)
{
    set_fcsr(s, read_fflags(s), v & 7);
}
static uint64_t read_fcsr(RiscvState *s)
{
    return read_fflags(s) | s->frm << 5;
}
static void write_fcsr(RiscvState *s, uint64_t v)
{
    set_fcsr(s, v & 31, v >> 5 & 7);
}

/* ---- vectors ---- */

static uint64_t read_vtype(RiscvState *s)
{
    return s->xlen == 32 && s->vtype >> 63 ? 1u << 31 : s->vtype;
}
static uint64_t read_vlenb(RiscvState *s)
{
    return s->vlenb;
}
static uint64_t read_vxsat(RiscvState *s)
{
    return s->vxsat;
}
static uint64_t read_vxrm(RiscvState *s)
{
    return s->vxrm;
}
static uint64_t read_vcsr(RiscvState *s)
{
    return s->vxsat | s->vxrm << 1;
}
static void write_vcsr(RiscvState *s, uint64_t v)
{
    s->vxsat = v & 1;
    s->vxrm = v >> 1 & 3;
    s->vs_dirty = 1;
    riscv_vector_changed(s);
}
static void write_vxsat(RiscvState *s, uint64_t v)
{
    write_vcsr(s, (v & 1) | s->vxrm << 1);
}
static void write_vxrm(RiscvState *s, uint64_t v)
{
    write_vcsr(s, s->vxsat | (v & 3) << 1);
}
/* As many bits as an element number of the longest vector (SEW 8, LMUL 8) has. */
static void write_vstart(RiscvState *s, uint64_t v)
{
    s->vstart = v & (s->vlenb * 8 - 1);
    s->vs_dirty = 1;
    riscv_vector_changed(s);
}

/* ---- security configuration, entropy ---- */

static void set_mseccfg(RiscvState *s, uint64_t v)
{
    uint64_t old = s->mseccfg, writable = 0;
    if (s->feat & FEAT_SMEPMP) {
        writable = MSECCFG_MML | MSECCFG_MMWP | MSECCFG_RLB;
        if (!(old & MSECCFG_RLB) && riscv_pmp_locked(s))
            writable &= ~MSECCFG_RLB;
        v |= old & (MSECCFG_MML | MSECCFG_MMWP); /* sticky */
    }
    if (s->feat & FEAT_ZKR)
        writable |= (riscv_has(s, EXT_U) ? MSECCFG_USEED : 0) | (riscv_has(s, EXT_S) ? MSECCFG_SSEED : 0);
    if (s->feat & FEAT_SMMPM)
        writable |= CFG_PMM;
    s->mseccfg = pmm_legal(old, v) & writable;
    if ((old ^ s->mseccfg) & (MSECCFG_MML | MSECCFG_MMWP))
        tcg_flush_all(&s->cs);
    riscv_mode_changed(s);
}
static void write_mseccfg(RiscvState *s, uint64_t v)
{
    set_mseccfg(s, s->xlen == 32 ? (s->mseccfg >> 32 << 32) | (uint32_t)v : v);
}
static uint64_t read_mseccfgh(RiscvState *s)
{
    return s->mseccfg >> 32;
}
static void write_mseccfgh(RiscvState *s, uint64_t v)
{
    set_mseccfg(s, v << 32 | (uint32_t)s->mseccfg);
}

/* 16 bits of the host's entropy; the state is ES16, or WAIT where the host has none. */
static uint64_t read_seed(RiscvState *s)
{
    uint16_t seed;
    enum { WAIT = 1, ES16 = 2 };
    if (guest_random(&seed, sizeof(seed)) != sizeof(seed))
        return (uint64_t)WAIT << 30;
    return (uint64_t)ES16 << 30 | seed;
}
static bool seed_allowed(const RiscvState *s, bool write)
{
    static const uint64_t enable[] = { [PRIV_U] = MSECCFG_USEED, [PRIV_S] = MSECCFG_SSEED };
    return write && !s->virt && (s->priv == PRIV_M || s->mseccfg & enable[s->priv]);
}

/* ---- triggers (trigger.c) ---- */

static void write_tselect(RiscvState *s, uint64_t v)
{
    if (v < RISCV_TRIGGERS)
        s->trig.select = v;
}
static void write_tcontrol(RiscvState *s, uint64_t v)
{
    s->trig.tcontrol = v & 0x88;
}
static void write_mcontext(RiscvState *s, uint64_t v)
{
    s->trig.mcontext = v & (s->xlen == 64 ? 0x1fff : 0x3f);
}
static void write_scontext(RiscvState *s, uint64_t v)
{
    s->trig.scontext = v & (s->xlen == 64 ? UINT32_MAX : 0xffff);
}

/* ---- the table ---- */

enum {
    NEED_NOTHING,
    NEED_F,
    NEED_V,
    NEED_S,
    NEED_COUNTER,
    NEED_STCE,
    NEED_VSTCE,
    NEED_H,
    NEED_H32,
    NEED_RV32,
};

typedef struct Csr {
    uint16_t number;
    const char *name;
    uint8_t need;
    bool ends;        /* a write may change modes, translations or pending interrupts: the unit ends */
    bool indirect;    /* of the interrupt architecture: riscv_aia_csr */
    bool plain_write; /* the whole member may be written inline */
    uint8_t stateen_number;
    uint64_t stateen; /* bit of that mstateen and hstateen that lets others than M reach it; 0: none */
    uint16_t member;  /* offset in RiscvState; 0: functions only */
    uint64_t feat;    /* and it needs one of these FEAT_* */
    uint64_t (*read)(RiscvState *s);
    void (*write)(RiscvState *s, uint64_t v);
} Csr;

#define MEMBER(field)    .member = offsetof(RiscvState, field)
#define GATE(n, bit)     .stateen_number = n, .stateen = STATEEN_##bit
#define FEAT_STATEEN     (FEAT_SMSTATEEN | FEAT_SSSTATEEN)
#define READ_WRITE(name) .read = riscv_read_##name, .write = riscv_write_##name
/* clang-format off */
#define STATEEN_ROWS(n) \
    { 0x10c + n, "sstateen" #n, NEED_S, .feat = FEAT_STATEEN, GATE(n, SE), .read = read_zero, .write = write_nothing }, \
    { 0x30c + n, "mstateen" #n, .feat = FEAT_SMSTATEEN, READ_WRITE(mstateen##n) }, \
    { 0x31c + n, "mstateen" #n "h", NEED_RV32, .feat = FEAT_SMSTATEEN, READ_WRITE(mstateen##n##h) }, \
    { 0x60c + n, "hstateen" #n, NEED_H, .feat = FEAT_STATEEN, GATE(n, SE), READ_WRITE(hstateen##n) }, \
    { 0x61c + n, "hstateen" #n "h", NEED_H32, .feat = FEAT_STATEEN, GATE(n, SE), READ_WRITE(hstateen##n##h) }
/* clang-format on */
static const Csr csrs[] = {
    STATEEN_ROWS(0),
    STATEEN_ROWS(1),
    STATEEN_ROWS(2),
    STATEEN_ROWS(3),
    { 0x001, "fflags", NEED_F, .read = read_fflags, .write = write_fflags },
    { 0x002, "frm", NEED_F, true, .read = read_frm, .write = write_frm },
    { 0x003, "fcsr", NEED_F, true, .read = read_fcsr, .write = write_fcsr },
    { 0x008, "vstart", NEED_V, MEMBER(vstart), .write = write_vstart },
    { 0x009, "vxsat", NEED_V, .read = read_vxsat, .write = write_vxsat },
    { 0x00a, "vxrm", NEED_V, .read = read_vxrm, .write = write_vxrm },
    { 0x00f, "vcsr", NEED_V, .read = read_vcsr, .write = write_vcsr },
    { 0x015, "seed", .feat = FEAT_ZKR, .read = read_seed, .write = write_nothing },
    { 0x100, "sstatus", NEED_S, true, .read = read_sstatus, .write = write_sstatus },
    { 0x104, "sie", NEED_S, .read = read_sie, .write = write_sie },
    { 0x105, "stvec", NEED_S, MEMBER(stvec), .write = write_stvec },
    { 0x106, "scounteren", NEED_S, MEMBER(scounteren), .write = write_scounteren },
    { 0x10a, "senvcfg", NEED_S, true, GATE(0, ENVCFG), MEMBER(senvcfg), .write = write_senvcfg },
    { 0x114, "sieh", NEED_RV32, .feat = FEAT_SSAIA, GATE(0, AIA), .read = read_zero, .write = write_nothing },
    { 0x140, "sscratch", NEED_S, .plain_write = true, MEMBER(sscratch) },
    { 0x141, "sepc", NEED_S, MEMBER(sepc), .write = write_sepc },
    { 0x142, "scause", NEED_S, .plain_write = true, MEMBER(scause) },
    { 0x143, "stval", NEED_S, .plain_write = true, MEMBER(stval) },
    { 0x144, "sip", NEED_S, .read = read_sip, .write = write_sip },
    { 0x14d, "stimecmp", NEED_STCE, MEMBER(stimecmp), .write = write_stimecmp },
    { 0x150, "siselect", .feat = FEAT_SSAIA | FEAT_SSCSRIND, GATE(0, CSRIND), MEMBER(siselect),
      .write = write_siselect },
    { 0x151, "sireg", .feat = FEAT_SSAIA | FEAT_SSCSRIND, GATE(0, CSRIND), .indirect = true },
    { 0x152, "sireg2", .feat = FEAT_SSCSRIND, GATE(0, CSRIND), .indirect = true },
    { 0x153, "sireg3", .feat = FEAT_SSCSRIND, GATE(0, CSRIND), .indirect = true },
    { 0x155, "sireg4", .feat = FEAT_SSCSRIND, GATE(0, CSRIND), .indirect = true },
    { 0x156, "sireg5", .feat = FEAT_SSCSRIND, GATE(0, CSRIND), .indirect = true },
    { 0x157, "sireg6", .feat = FEAT_SSCSRIND, GATE(0, CSRIND), .indirect = true },
    { 0x154, "siph", NEED_RV32, .feat = FEAT_SSAIA, GATE(0, AIA), .read = read_zero, .write = write_nothing },
    { 0x15c, "stopei", .feat = FEAT_SSAIA, GATE(0, IMSIC), .indirect = true },
    { 0x15d, "stimecmph", NEED_STCE, .read = read_stimecmph, .write = write_stimecmph },
    { 0x180, "satp", NEED_S, true, MEMBER(satp), .write = write_satp },
    { 0x200, "vsstatus", NEED_H, true, .read = riscv_read_vsstatus, .write = riscv_write_vsstatus },
    { 0x204, "vsie", NEED_H, .read = riscv_read_vsie, .write = riscv_write_vsie },
    { 0x205, "vstvec", NEED_H, MEMBER(vstvec), .write = write_vstvec },
    { 0x214, "vsieh", NEED_H32, .feat = FEAT_SSAIA, GATE(0, AIA), .read = read_zero, .write = write_nothing },
    { 0x240, "vsscratch", NEED_H, .plain_write = true, MEMBER(vsscratch) },
    { 0x241, "vsepc", NEED_H, MEMBER(vsepc), .write = write_vsepc },
    { 0x242, "vscause", NEED_H, .plain_write = true, MEMBER(vscause) },
    { 0x243, "vstval", NEED_H, .plain_write = true, MEMBER(vstval) },
    { 0x244, "vsip", NEED_H, .read = riscv_read_vsip, .write = riscv_write_vsip },
    { 0x24d, "vstimecmp", NEED_VSTCE, MEMBER(vstimecmp), .write = write_vstimecmp },
    { 0x250, "vsiselect", NEED_H, .feat = FEAT_SSAIA | FEAT_SSCSRIND, GATE(0, CSRIND), MEMBER(vsiselect),
      .write = write_vsiselect },
    { 0x251, "vsireg", NEED_H, .feat = FEAT_SSAIA | FEAT_SSCSRIND, GATE(0, CSRIND), .indirect = true },
    { 0x252, "vsireg2", NEED_H, .feat = FEAT_SSCSRIND, GATE(0, CSRIND), .indirect = true },
    { 0x253, "vsireg3", NEED_H, .feat = FEAT_SSCSRIND, GATE(0, CSRIND), .indirect = true },
    { 0x255, "vsireg4", NEED_H, .feat = FEAT_SSCSRIND, GATE(0, CSRIND), .indirect = true },
    { 0x256, "vsireg5", NEED_H, .feat = FEAT_SSCSRIND, GATE(0, CSRIND), .indirect = true },
    { 0x257, "vsireg6", NEED_H, .feat = FEAT_SSCSRIND, GATE(0, CSRIND), .indirect = true },
    { 0x254, "vsiph", NEED_H32, .feat = FEAT_SSAIA, GATE(0, AIA), .read = read_zero, .write = write_nothing },
    { 0x25c, "vstopei", NEED_H, .feat = FEAT_SSAIA, GATE(0, IMSIC), .indirect = true },
    { 0x25d, "vstimecmph", NEED_VSTCE, .read = read_vstimecmph, .write = write_vstimecmph },
    { 0x280, "vsatp", NEED_H, true, MEMBER(vsatp), .write = riscv_write_vsatp },
    { 0x300, "mstatus", 0, true, .read = read_mstatus, .write = write_mstatus },
    { 0x301, "misa", .read = read_misa, .write = write_nothing },
    { 0x302, "medeleg", NEED_S, MEMBER(medeleg), .write = write_medeleg },
    { 0x303, "mideleg", NEED_S, MEMBER(mideleg), .write = write_mideleg },
    { 0x304, "mie", MEMBER(mie), .write = write_mie },
    { 0x305, "mtvec", MEMBER(mtvec), .write = write_mtvec },
    { 0x306, "mcounteren", MEMBER(mcounteren), .write = write_mcounteren },
    { 0x308, "mvien", .feat = FEAT_SMAIA, .read = read_zero, .write = write_nothing },
    { 0x309, "mvip", .feat = FEAT_SMAIA, .read = read_mvip, .write = write_mvip },
    { 0x30a, "menvcfg", 0, true, MEMBER(menvcfg), .write = write_menvcfg },
    { 0x310, "mstatush", NEED_RV32, true, .read = read_mstatush, .write = write_mstatush },
    { 0x313, "midelegh", NEED_RV32, .feat = FEAT_SMAIA, .read = read_zero, .write = write_nothing },
    { 0x314, "mieh", NEED_RV32, .feat = FEAT_SMAIA, .read = read_zero, .write = write_nothing },
    { 0x318, "mvienh", NEED_RV32, .feat = FEAT_SMAIA, .read = read_zero, .write = write_nothing },
    { 0x319, "mviph", NEED_RV32, .feat = FEAT_SMAIA, .read = read_zero, .write = write_nothing },
    { 0x31a, "menvcfgh", NEED_RV32, true, .read = read_menvcfgh, .write = write_menvcfgh },
    { 0x321, "mcyclecfg", .feat = FEAT_SMCNTRPMF, .read = read_cyclecfg, .write = write_cyclecfg },
    { 0x322, "minstretcfg", .feat = FEAT_SMCNTRPMF, .read = read_instretcfg, .write = write_instretcfg },
    { 0x320, "mcountinhibit", MEMBER(mcountinhibit), .write = write_inhibit },
    { 0x340, "mscratch", .plain_write = true, MEMBER(mscratch) },
    { 0x341, "mepc", MEMBER(mepc), .write = write_mepc },
    { 0x342, "mcause", .plain_write = true, MEMBER(mcause) },
    { 0x343, "mtval", .plain_write = true, MEMBER(mtval) },
    { 0x344, "mip", .read = read_mip, .write = write_mip },
    { 0x34a, "mtinst", NEED_H, .plain_write = true, MEMBER(mtinst) },
    { 0x34b, "mtval2", NEED_H, .plain_write = true, MEMBER(mtval2) },
    { 0x350, "miselect", .feat = FEAT_SMAIA | FEAT_SMCSRIND, MEMBER(miselect), .write = write_miselect },
    { 0x351, "mireg", .feat = FEAT_SMAIA | FEAT_SMCSRIND, .indirect = true },
    { 0x352, "mireg2", .feat = FEAT_SMCSRIND, .indirect = true },
    { 0x353, "mireg3", .feat = FEAT_SMCSRIND, .indirect = true },
    { 0x355, "mireg4", .feat = FEAT_SMCSRIND, .indirect = true },
    { 0x356, "mireg5", .feat = FEAT_SMCSRIND, .indirect = true },
    { 0x357, "mireg6", .feat = FEAT_SMCSRIND, .indirect = true },
    { 0x354, "miph", NEED_RV32, .feat = FEAT_SMAIA, .read = read_zero, .write = write_nothing },
    { 0x35c, "mtopei", .feat = FEAT_SMAIA, .indirect = true },
    { 0x5a8, "scontext", NEED_S, .feat = FEAT_SDTRIG, GATE(0, CONTEXT), MEMBER(trig.scontext),
      .write = write_scontext },
    { 0x721, "mcyclecfgh", NEED_RV32, .feat = FEAT_SMCNTRPMF, .read = read_cyclecfgh, .write = write_cyclecfgh },
    { 0x722, "minstretcfgh", NEED_RV32, .feat = FEAT_SMCNTRPMF, .read = read_instretcfgh, .write = write_instretcfgh },
    { 0x747, "mseccfg", 0, true, .feat = FEAT_SMEPMP | FEAT_ZKR | FEAT_SMMPM, MEMBER(mseccfg), .write = write_mseccfg },
    { 0x757, "mseccfgh", NEED_RV32, true, .feat = FEAT_SMEPMP | FEAT_ZKR | FEAT_SMMPM, .read = read_mseccfgh,
      .write = write_mseccfgh },
    { 0x7a0, "tselect", .feat = FEAT_SDTRIG, MEMBER(trig.select), .write = write_tselect },
    { 0x7a1, "tdata1", 0, true, .feat = FEAT_SDTRIG, .read = riscv_trigger_tdata1, .write = riscv_trigger_set_tdata1 },
    { 0x7a2, "tdata2", 0, true, .feat = FEAT_SDTRIG, .read = riscv_trigger_tdata2, .write = riscv_trigger_set_tdata2 },
    { 0x7a3, "tdata3", .feat = FEAT_SDTRIG, .read = riscv_trigger_tdata3, .write = riscv_trigger_set_tdata3 },
    { 0x7a4, "tinfo", .feat = FEAT_SDTRIG, .read = riscv_trigger_tinfo, .write = write_nothing },
    { 0x7a5, "tcontrol", .feat = FEAT_SDTRIG, MEMBER(trig.tcontrol), .write = write_tcontrol },
    { 0x7a8, "mcontext", .feat = FEAT_SDTRIG, MEMBER(trig.mcontext), .write = write_mcontext },
    { 0x600, "hstatus", NEED_H, MEMBER(hstatus), .write = riscv_write_hstatus },
    { 0x602, "hedeleg", NEED_H, MEMBER(hedeleg), .write = riscv_write_hedeleg },
    { 0x603, "hideleg", NEED_H, MEMBER(hideleg), .write = riscv_write_hideleg },
    { 0x604, "hie", NEED_H, .read = riscv_read_hie, .write = riscv_write_hie },
    { 0x605, "htimedelta", NEED_H, MEMBER(htimedelta), .write = write_htimedelta },
    { 0x606, "hcounteren", NEED_H, MEMBER(hcounteren), .write = write_hcounteren },
    { 0x607, "hgeie", NEED_H, MEMBER(hgeie), .write = riscv_write_hgeie },
    { 0x608, "hvien", NEED_H, .feat = FEAT_SSAIA, GATE(0, AIA), .read = read_zero, .write = write_nothing },
    { 0x609, "hvictl", NEED_H, .feat = FEAT_SSAIA, GATE(0, AIA), MEMBER(hvictl), .write = riscv_write_hvictl },
    { 0x60a, "henvcfg", NEED_H, true, GATE(0, ENVCFG), .read = read_henvcfg, .write = write_henvcfg },
    { 0x613, "hidelegh", NEED_H32, .feat = FEAT_SSAIA, GATE(0, AIA), .read = read_zero, .write = write_nothing },
    { 0x615, "htimedeltah", NEED_H32, .read = read_htimedeltah, .write = write_htimedeltah },
    { 0x618, "hvienh", NEED_H32, .feat = FEAT_SSAIA, GATE(0, AIA), .read = read_zero, .write = write_nothing },
    { 0x61a, "henvcfgh", NEED_H32, true, GATE(0, ENVCFG), .read = read_henvcfgh, .write = write_henvcfgh },
    { 0x643, "htval", NEED_H, .plain_write = true, MEMBER(htval) },
    { 0x644, "hip", NEED_H, .read = riscv_read_hip, .write = riscv_write_hip },
    { 0x645, "hvip", NEED_H, .read = riscv_read_hvip, .write = riscv_write_hvip },
    { 0x646, "hviprio1", NEED_H, .feat = FEAT_SSAIA, GATE(0, AIA), MEMBER(hviprio1), .write = write_hviprio1 },
    { 0x647, "hviprio2", NEED_H, .feat = FEAT_SSAIA, GATE(0, AIA), MEMBER(hviprio2), .write = write_hviprio2 },
    { 0x64a, "htinst", NEED_H, .plain_write = true, MEMBER(htinst) },
    { 0x655, "hviph", NEED_H32, .feat = FEAT_SSAIA, GATE(0, AIA), .read = read_zero, .write = write_nothing },
    { 0x656, "hviprio1h", NEED_H32, .feat = FEAT_SSAIA, GATE(0, AIA), .read = read_hviprio1h,
      .write = write_hviprio1h },
    { 0x657, "hviprio2h", NEED_H32, .feat = FEAT_SSAIA, GATE(0, AIA), .read = read_hviprio2h,
      .write = write_hviprio2h },
    { 0x680, "hgatp", NEED_H, true, MEMBER(hgatp), .write = riscv_write_hgatp },
    { 0xb00, "mcycle", .read = read_cycle, .write = write_cycle },
    { 0xb02, "minstret", .read = read_instret, .write = write_instret },
    { 0xb80, "mcycleh", NEED_RV32, .read = read_cycleh, .write = write_cycleh },
    { 0xb82, "minstreth", NEED_RV32, .read = read_instreth, .write = write_instreth },
    { 0xc00, "cycle", NEED_COUNTER, .read = read_cycle },
    { 0xc01, "time", NEED_COUNTER, .read = read_time },
    { 0xc02, "instret", NEED_COUNTER, .read = read_instret },
    { 0xc20, "vl", NEED_V, MEMBER(vl) },
    { 0xc21, "vtype", NEED_V, .read = read_vtype },
    { 0xc22, "vlenb", NEED_V, .read = read_vlenb },
    { 0xc80, "cycleh", NEED_COUNTER, .read = read_cycleh },
    { 0xc81, "timeh", NEED_COUNTER, .read = read_timeh },
    { 0xc82, "instreth", NEED_COUNTER, .read = read_instreth },
    { 0xda0, "scountovf", NEED_S, .feat = FEAT_SSCOFPMF, .read = read_scountovf },
    { 0xdb0, "stopi", .feat = FEAT_SSAIA, GATE(0, AIA), .read = riscv_read_stopi },
    { 0xe12, "hgeip", NEED_H, .read = riscv_read_hgeip },
    { 0xeb0, "vstopi", NEED_H, .feat = FEAT_SSAIA, GATE(0, AIA), .read = riscv_read_vstopi },
    { 0xf11, "mvendorid", MEMBER(mvendorid) },
    { 0xf12, "marchid", MEMBER(marchid) },
    { 0xf13, "mimpid", MEMBER(mimpid) },
    { 0xf14, "mhartid", .read = read_hart },
    { 0xf15, "mconfigptr", .read = read_zero },
    { 0xfb0, "mtopi", .feat = FEAT_SMAIA, .read = riscv_read_mtopi },
};

static const Csr *csr_find(unsigned number)
{
    static uint8_t index[4096]; /* place in csrs + 1; filled once */
    static gsize ready;
    if (g_once_init_enter(&ready)) {
        for (unsigned i = 0; i < G_N_ELEMENTS(csrs); i++)
            index[csrs[i].number] = i + 1;
        g_once_init_leave(&ready, 1);
    }
    return index[number] ? &csrs[index[number] - 1] : NULL;
}

static bool counter_enabled(const RiscvState *s, unsigned csr)
{
    unsigned bit = csr & 31;
    if (s->priv < PRIV_M && !(s->mcounteren >> bit & 1))
        return false;
    if (s->virt && !(s->hcounteren >> bit & 1))
        return false;
    return s->priv != PRIV_U || !riscv_has(s, EXT_S) || (s->scounteren >> bit & 1);
}

/* Do privilege and V allow CSRs of this number? Level 2 is HS-mode's. */
static bool level_allowed(unsigned csr, unsigned priv, bool virt)
{
    unsigned level = csr >> 8 & 3;
    return level == 2 ? priv == PRIV_M || (priv == PRIV_S && !virt) : priv >= level;
}

/* May the timers' compare registers be reached? */
static bool compare_allowed(const RiscvState *s, unsigned csr)
{
    if (!(s->feat & FEAT_SSTC) || (csr & 0x10 && s->xlen != 32))
        return false;
    if (s->virt && !(riscv_henvcfg(s) & MENVCFG_STCE && s->hcounteren & 2))
        return false;
    return s->priv == PRIV_M || (s->menvcfg & MENVCFG_STCE && s->mcounteren & 2);
}

/* Is what the register belongs to there? */
static bool need_met(const RiscvState *s, const Csr *c, unsigned csr)
{
    switch (c->need) {
    case NEED_F:
        return !s->fp_off;
    case NEED_V:
        return !s->vs_off;
    case NEED_S:
        return riscv_has(s, EXT_S);
    case NEED_STCE:
        return compare_allowed(s, csr);
    case NEED_VSTCE:
        return riscv_has(s, EXT_H) && compare_allowed(s, csr);
    case NEED_H:
        return riscv_has(s, EXT_H);
    case NEED_H32:
        return riscv_has(s, EXT_H) && s->xlen == 32;
    case NEED_RV32:
        return s->xlen == 32;
    default:
        return true;
    }
}

/* c: what csr is here, in a guest perhaps another register. */
static bool csr_allowed(const RiscvState *s, const Csr *c, unsigned csr, bool write)
{
    if (!level_allowed(csr, s->priv, s->virt) || (write && csr >> 10 == 3))
        return false;
    bool trap = s->virt ? s->hstatus & HSTATUS_VTVM : s->mstatus & MSTATUS_TVM;
    if ((csr == 0x180 || csr == 0x680) && s->priv == PRIV_S && trap)
        return false;
    if (s->virt && s->hvictl & HVICTL_VTI && (csr & ~0x50u) == 0x104) /* sie, sieh, sip, siph */
        return false;
    if (csr >= 0xc80 && csr < 0xca0 && s->xlen != 32)
        return false;
    if ((csr >= 0xc00 && csr < 0xc20) || (csr >= 0xc80 && csr < 0xca0))
        return counter_enabled(s, csr) && (!c || riscv_has(s, EXT_ZICNTR));
    if (!c)
        return true;
    if (c->feat && !(s->feat & c->feat))
        return false;
    if (csr == 0x015)
        return seed_allowed(s, write);
    if (c->stateen && !riscv_stateen_allows(s, c->stateen_number, c->stateen))
        return false;
    return need_met(s, c, csr);
}

bool riscv_csr(RiscvState *s, unsigned csr, bool read, bool write, uint64_t value, uint64_t mask, uint64_t *old)
{
    const Csr *c = csr_find(s->virt && s->priv == PRIV_S ? riscv_guest_csr(csr) : csr);
    bool pmp = riscv_pmp_has_csr(s, csr), hpm = !c && riscv_pmu_has_csr(s, csr);
    if ((!c && !pmp && !hpm) || !csr_allowed(s, c, csr, write))
        return false;
    if (c && c->indirect)
        return riscv_aia_csr(s, c->number, write, value, mask, old);
    uint64_t v = 0;
    if (read || ~mask || csr == 0x344 || csr == 0x144) { /* mip and sip: what a write clears was seen */
        if (pmp)
            v = riscv_pmp_read_csr(s, csr);
        else if (hpm)
            v = riscv_pmu_read_csr(s, csr);
        else if (c->read)
            v = c->read(s);
        else
            memcpy(&v, (char *)s + c->member, sizeof(v));
        if (s->xlen == 32)
            v = (uint32_t)v;
    }
    if (old)
        *old = v;
    if (!write)
        return true;
    /* the software part of SEIP is what read-modify-write sees (section 3.1.9) */
    uint64_t before = csr == 0x344 ? (v & ~(1ull << IRQ_S_EXT)) | (s->mip_soft & 1ull << IRQ_S_EXT) : v;
    value = (before & ~mask) | (value & mask);
    if (s->xlen == 32)
        value = (uint32_t)value;
    if (pmp)
        riscv_pmp_write_csr(s, csr, value);
    else if (hpm)
        riscv_pmu_write_csr(s, csr, value);
    else if (c->write)
        c->write(s, value);
    else
        memcpy((char *)s + c->member, &value, sizeof(value));
    return true;
}

bool riscv_csr_virtual(RiscvState *s, unsigned csr, bool write)
{
    const Csr *c = csr_find(csr);
    const unsigned priv = s->priv;
    const uint64_t mstatus = s->mstatus;
    s->virt = false; /* as in HS-mode, with mstatus.TVM clear (section 18.6.1) */
    s->priv = PRIV_S;
    s->mstatus &= ~MSTATUS_TVM;
    bool allowed = (c || riscv_pmp_has_csr(s, csr) || riscv_pmu_has_csr(s, csr)) && csr_allowed(s, c, csr, write);
    s->virt = true;
    s->priv = priv;
    s->mstatus = mstatus;
    return allowed;
}

CsrShape riscv_csr_shape(const RiscvState *s, unsigned csr, unsigned priv, bool virt)
{
    const Csr *c = csr_find(virt && priv == PRIV_S ? riscv_guest_csr(csr) : csr);
    CsrShape shape = { .ends_unit = !c || c->ends };
    bool gated = c && c->stateen && s->feat & FEAT_STATEEN;
    if (c && c->member && !gated && !c->feat && level_allowed(csr, priv, virt) && csr != 0x180 && csr != 0x680 &&
        (c->need == NEED_NOTHING || (c->need == NEED_S && riscv_has(s, EXT_S)) ||
         (c->need == NEED_H && riscv_has(s, EXT_H)))) {
        shape.read_member = c->member;
        shape.write_member = c->plain_write ? c->member : 0;
    }
    return shape;
}

const char *riscv_csr_name(unsigned csr)
{
    const Csr *c = csr_find(csr & 4095);
    return c ? c->name : NULL;
}
