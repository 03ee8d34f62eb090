/*
 * RISC-V control and status registers (privileged ISA 20240411, chapters 2, 3, 12; unprivileged, chapter "Zicsr").
 * One table: number, name, what it needs, where it is or the functions that read and write it.
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/csr.h"
#include "hw/core/machine.h"

#define S_INTERRUPTS   0x222ull
#define ALL_INTERRUPTS 0xaaaull
#define MSTATUS_WRITABLE                                                                                               \
    (MSTATUS_SIE | MSTATUS_MIE | MSTATUS_SPIE | MSTATUS_MPIE | MSTATUS_SPP | MSTATUS_FS | MSTATUS_MPRV | MSTATUS_SUM | \
     MSTATUS_VS | MSTATUS_MXR | MSTATUS_TVM | MSTATUS_TW | MSTATUS_TSR)
#define SSTATUS_VISIBLE                                                                                             \
    (MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_FS | MSTATUS_VS | MSTATUS_SUM | MSTATUS_MXR | MSTATUS_UXL | \
     MSTATUS_SD)
#define MEDELEG_WRITABLE  0xb3ffull /* all but environment calls from M */
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
    write_status(s, v, mask);
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
                    { EXT_C, 'c' }, { EXT_V, 'v' }, { EXT_S, 's' }, { EXT_U, 'u' } };
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
    s->medeleg = v & MEDELEG_WRITABLE;
}
static void write_mideleg(RiscvState *s, uint64_t v)
{
    s->mideleg = v & S_INTERRUPTS;
    riscv_check_interrupts(s);
}
static void write_mie(RiscvState *s, uint64_t v)
{
    s->mie = v & ALL_INTERRUPTS;
    riscv_check_interrupts(s);
}
static uint64_t read_sie(RiscvState *s)
{
    return s->mie & s->mideleg;
}
static void write_sie(RiscvState *s, uint64_t v)
{
    write_mie(s, (s->mie & ~s->mideleg) | (v & s->mideleg));
}

static uint64_t read_mip(RiscvState *s)
{
    return __atomic_load_n(&s->mip, __ATOMIC_SEQ_CST);
}
static void write_soft(RiscvState *s, uint64_t v, uint64_t mask)
{
    uint64_t soft = (s->mip_soft & ~mask) | (v & mask);
    __atomic_store_n(&s->mip_soft, soft, __ATOMIC_SEQ_CST);
    __atomic_fetch_or(&s->mip, soft, __ATOMIC_SEQ_CST);
    uint64_t gone = mask & ~soft & ~__atomic_load_n(&s->mip_inputs, __ATOMIC_SEQ_CST);
    __atomic_fetch_and(&s->mip, ~gone, __ATOMIC_SEQ_CST);
    /* an input that rose between the two lines above is not lost */
    __atomic_fetch_or(&s->mip, __atomic_load_n(&s->mip_inputs, __ATOMIC_SEQ_CST), __ATOMIC_SEQ_CST);
    riscv_check_interrupts(s);
}
/* Bits of mvien are read-only zero: those of mvip are what software set in mip (AIA 1.0, section 5.3). */
static uint64_t mvip_writable(const RiscvState *s)
{
    return 1ull << IRQ_S_SOFT | 1ull << IRQ_S_EXT | (s->menvcfg & MENVCFG_STCE ? 0 : 1ull << IRQ_S_TIMER);
}
static void write_mip(RiscvState *s, uint64_t v)
{
    write_soft(s, v, mvip_writable(s));
}
static uint64_t read_sip(RiscvState *s)
{
    return read_mip(s) & s->mideleg;
}
static void write_sip(RiscvState *s, uint64_t v)
{
    write_soft(s, v, s->mideleg & 1ull << IRQ_S_SOFT);
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

/* ---- translation ---- */

static void write_satp(RiscvState *s, uint64_t v)
{
    if (s->xlen == 32) {
        s->satp = (uint32_t)v;
    } else {
        unsigned mode = v >> 60;
        if (mode && (mode < SATP_SV39 || mode > s->max_satp))
            return; /* the whole write has no effect */
        s->satp = v & 0xf00ffffffffffffful;
        s->satp |= v & 0x0fffful << 44;
    }
    riscv_mode_changed(s);
}

/* ---- counters: with -icount, instructions, and for cycles those that raised, too; else nanoseconds of virtual time
 * stand for both ---- */

static uint64_t counter_now(RiscvState *s, unsigned bit)
{
    uint64_t steps;
    if (s->cs.vcpu && tcg_count(&s->cs, &steps))
        return bit == 2 ? steps - s->raised : steps;
    return clock_now(s->stimer.clocks, CLOCK_VIRTUAL_NS);
}
static uint64_t counter(RiscvState *s, uint64_t offset, unsigned bit)
{
    return s->mcountinhibit >> bit & 1 ? offset : counter_now(s, bit) + offset;
}
static uint64_t read_cycle(RiscvState *s)
{
    return counter(s, s->cycle_offset, 0);
}
static uint64_t read_instret(RiscvState *s)
{
    return counter(s, s->instret_offset, 2);
}
static void set_counter(RiscvState *s, uint64_t *offset, unsigned bit, uint64_t v)
{
    *offset = s->mcountinhibit >> bit & 1 ? v : v - counter_now(s, bit);
}
/* What is written is what the next instruction reads (section 3.1.11): the one that writes is not counted. */
static void write_counter(RiscvState *s, uint64_t *offset, unsigned bit, uint64_t v)
{
    uint64_t steps;
    bool counts = !(s->mcountinhibit >> bit & 1) && tcg_count(&s->cs, &steps);
    set_counter(s, offset, bit, v - counts);
}
static void write_cycle(RiscvState *s, uint64_t v)
{
    write_counter(s, &s->cycle_offset, 0, s->xlen == 32 ? (read_cycle(s) >> 32 << 32) | (uint32_t)v : v);
}
static void write_instret(RiscvState *s, uint64_t v)
{
    write_counter(s, &s->instret_offset, 2, s->xlen == 32 ? (read_instret(s) >> 32 << 32) | (uint32_t)v : v);
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
    write_counter(s, &s->cycle_offset, 0, v << 32 | (uint32_t)read_cycle(s));
}
static void write_instreth(RiscvState *s, uint64_t v)
{
    write_counter(s, &s->instret_offset, 2, v << 32 | (uint32_t)read_instret(s));
}
static void write_inhibit(RiscvState *s, uint64_t v)
{
    uint64_t cycle = read_cycle(s), instret = read_instret(s);
    s->mcountinhibit = v & 5;
    set_counter(s, &s->cycle_offset, 0, cycle);
    set_counter(s, &s->instret_offset, 2, instret);
}
static uint64_t read_time(RiscvState *s)
{
    return s->time ? s->time(s->time_opaque) : (uint64_t)clock_now(s->stimer.clocks, CLOCK_VIRTUAL_NS) / 100;
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

/* ---- environment configuration, timer compare ---- */

static uint64_t envcfg_writable(const RiscvState *s)
{
    return ENVCFG_FIOM | (riscv_has(s, EXT_ZICBOM) ? ENVCFG_CBIE | ENVCFG_CBCFE : 0) |
           (riscv_has(s, EXT_ZICBOZ) ? ENVCFG_CBZE : 0);
}
/* CBIE of 2 is reserved: the field stays as it was. */
static uint64_t envcfg_legal(uint64_t old, uint64_t v)
{
    return (v & ENVCFG_CBIE) == 2 << 4 ? (v & ~ENVCFG_CBIE) | (old & ENVCFG_CBIE) : v;
}
static uint64_t menvcfg_writable(RiscvState *s)
{
    return envcfg_writable(s) | (riscv_has(s, EXT_SSTC) ? MENVCFG_STCE : 0) |
           (riscv_has(s, EXT_SVADU) ? MENVCFG_ADUE : 0) | (riscv_has(s, EXT_SVPBMT) ? MENVCFG_PBMTE : 0);
}
static void set_menvcfg(RiscvState *s, uint64_t v)
{
    uint64_t old = s->menvcfg;
    s->menvcfg = envcfg_legal(old, v) & menvcfg_writable(s);
    if ((old ^ s->menvcfg) & (MENVCFG_ADUE | MENVCFG_PBMTE))
        tcg_flush_all(&s->cs);
    if ((old ^ s->menvcfg) & MENVCFG_STCE) {
        if (!(s->menvcfg & MENVCFG_STCE))
            riscv_cpu_set_irq(s, IRQ_S_TIMER, false);
        riscv_update_stimer(s);
    }
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
    s->senvcfg = envcfg_legal(s->senvcfg, v) & envcfg_writable(s);
}
static void write_stimecmp(RiscvState *s, uint64_t v)
{
    riscv_set_stimecmp(s, s->xlen == 32 ? (s->stimecmp >> 32 << 32) | (uint32_t)v : v);
}
static uint64_t read_stimecmph(RiscvState *s)
{
    return s->stimecmp >> 32;
}
static void write_stimecmph(RiscvState *s, uint64_t v)
{
    riscv_set_stimecmp(s, v << 32 | (uint32_t)s->stimecmp);
}

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
}

/* ---- PMP: groups of entries, by the number of the CSR ---- */

static bool pmp_locked(const RiscvState *s, unsigned i)
{
    return s->pmpcfg[i] & 0x80 || (i + 1 < PMP_ENTRIES && (s->pmpcfg[i + 1] & 0x98) == 0x88);
}
static uint64_t read_pmpcfg(RiscvState *s, unsigned n)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < s->xlen / 8; i++)
        v |= n * 4 + i < PMP_ENTRIES ? (uint64_t)s->pmpcfg[n * 4 + i] << 8 * i : 0;
    return v;
}
static void write_pmpcfg(RiscvState *s, unsigned n, uint64_t v)
{
    for (unsigned i = 0; i < s->xlen / 8 && n * 4 + i < PMP_ENTRIES; i++) {
        uint8_t *cfg = &s->pmpcfg[n * 4 + i], now = v >> 8 * i & 0x9f;
        if (*cfg & 0x80 || (now & 3) == 2)
            continue; /* locked; or the reserved combination W without R */
        if ((now & 0x18) == 0x10)
            now = (now & ~0x18) | (*cfg & 0x18); /* NA4 is not there with a grain of 4 KiB */
        *cfg = now;
    }
    riscv_pmp_changed(s);
}
static uint64_t read_pmpaddr(RiscvState *s, unsigned i)
{
    uint64_t v = i < PMP_ENTRIES ? s->pmpaddr[i] : 0;
    if (i >= PMP_ENTRIES)
        return 0;
    return (s->pmpcfg[i] & 0x18) == 0x18 ? v | 0x1ff : v & ~0x3ffull;
}
static void write_pmpaddr(RiscvState *s, unsigned i, uint64_t v)
{
    if (i >= PMP_ENTRIES || pmp_locked(s, i))
        return;
    s->pmpaddr[i] = s->xlen == 32 ? (uint32_t)v : v & ((1ull << 54) - 1);
    riscv_pmp_changed(s);
}

/* ---- the table ---- */

enum {
    NEED_NOTHING,
    NEED_F,
    NEED_V,
    NEED_S,
    NEED_COUNTER,
    NEED_STCE,
    NEED_RV32,
    NEED_SMAIA,
    NEED_SSAIA,
    NEED_SMAIA32,
    NEED_SSAIA32
};

typedef struct Csr {
    uint16_t number;
    const char *name;
    uint8_t need;
    bool ends;        /* a write may change modes, translations or pending interrupts: the unit ends */
    bool indirect;    /* of the interrupt architecture: riscv_aia_csr */
    bool plain_write; /* the whole member may be written inline */
    uint16_t member;  /* offset in RiscvState; 0: functions only */
    uint64_t (*read)(RiscvState *s);
    void (*write)(RiscvState *s, uint64_t v);
} Csr;

#define MEMBER(field) .member = offsetof(RiscvState, field)
static const Csr csrs[] = {
    { 0x001, "fflags", NEED_F, .read = read_fflags, .write = write_fflags },
    { 0x002, "frm", NEED_F, true, .read = read_frm, .write = write_frm },
    { 0x003, "fcsr", NEED_F, true, .read = read_fcsr, .write = write_fcsr },
    { 0x008, "vstart", NEED_V, MEMBER(vstart), .write = write_vstart },
    { 0x009, "vxsat", NEED_V, .read = read_vxsat, .write = write_vxsat },
    { 0x00a, "vxrm", NEED_V, .read = read_vxrm, .write = write_vxrm },
    { 0x00f, "vcsr", NEED_V, .read = read_vcsr, .write = write_vcsr },
    { 0x100, "sstatus", NEED_S, true, .read = read_sstatus, .write = write_sstatus },
    { 0x104, "sie", NEED_S, .read = read_sie, .write = write_sie },
    { 0x105, "stvec", NEED_S, MEMBER(stvec), .write = write_stvec },
    { 0x106, "scounteren", NEED_S, MEMBER(scounteren), .write = write_scounteren },
    { 0x10a, "senvcfg", NEED_S, MEMBER(senvcfg), .write = write_senvcfg },
    { 0x114, "sieh", NEED_SSAIA32, .read = read_zero, .write = write_nothing },
    { 0x140, "sscratch", NEED_S, .plain_write = true, MEMBER(sscratch) },
    { 0x141, "sepc", NEED_S, MEMBER(sepc), .write = write_sepc },
    { 0x142, "scause", NEED_S, .plain_write = true, MEMBER(scause) },
    { 0x143, "stval", NEED_S, .plain_write = true, MEMBER(stval) },
    { 0x144, "sip", NEED_S, .read = read_sip, .write = write_sip },
    { 0x14d, "stimecmp", NEED_STCE, MEMBER(stimecmp), .write = write_stimecmp },
    { 0x150, "siselect", NEED_SSAIA, MEMBER(siselect), .write = write_siselect },
    { 0x151, "sireg", NEED_SSAIA, .indirect = true },
    { 0x154, "siph", NEED_SSAIA32, .read = read_zero, .write = write_nothing },
    { 0x15c, "stopei", NEED_SSAIA, .indirect = true },
    { 0x15d, "stimecmph", NEED_STCE, .read = read_stimecmph, .write = write_stimecmph },
    { 0x180, "satp", NEED_S, true, MEMBER(satp), .write = write_satp },
    { 0x300, "mstatus", 0, true, .read = read_mstatus, .write = write_mstatus },
    { 0x301, "misa", .read = read_misa, .write = write_nothing },
    { 0x302, "medeleg", NEED_S, MEMBER(medeleg), .write = write_medeleg },
    { 0x303, "mideleg", NEED_S, MEMBER(mideleg), .write = write_mideleg },
    { 0x304, "mie", MEMBER(mie), .write = write_mie },
    { 0x305, "mtvec", MEMBER(mtvec), .write = write_mtvec },
    { 0x306, "mcounteren", MEMBER(mcounteren), .write = write_mcounteren },
    { 0x308, "mvien", NEED_SMAIA, .read = read_zero, .write = write_nothing },
    { 0x309, "mvip", NEED_SMAIA, .read = read_mvip, .write = write_mip },
    { 0x30a, "menvcfg", 0, true, MEMBER(menvcfg), .write = write_menvcfg },
    { 0x310, "mstatush", NEED_RV32, .read = read_zero, .write = write_nothing },
    { 0x313, "midelegh", NEED_SMAIA32, .read = read_zero, .write = write_nothing },
    { 0x314, "mieh", NEED_SMAIA32, .read = read_zero, .write = write_nothing },
    { 0x318, "mvienh", NEED_SMAIA32, .read = read_zero, .write = write_nothing },
    { 0x319, "mviph", NEED_SMAIA32, .read = read_zero, .write = write_nothing },
    { 0x31a, "menvcfgh", NEED_RV32, true, .read = read_menvcfgh, .write = write_menvcfgh },
    { 0x320, "mcountinhibit", MEMBER(mcountinhibit), .write = write_inhibit },
    { 0x340, "mscratch", .plain_write = true, MEMBER(mscratch) },
    { 0x341, "mepc", MEMBER(mepc), .write = write_mepc },
    { 0x342, "mcause", .plain_write = true, MEMBER(mcause) },
    { 0x343, "mtval", .plain_write = true, MEMBER(mtval) },
    { 0x344, "mip", .read = read_mip, .write = write_mip },
    { 0x350, "miselect", NEED_SMAIA, MEMBER(miselect), .write = write_miselect },
    { 0x351, "mireg", NEED_SMAIA, .indirect = true },
    { 0x354, "miph", NEED_SMAIA32, .read = read_zero, .write = write_nothing },
    { 0x35c, "mtopei", NEED_SMAIA, .indirect = true },
    { 0x7a0, "tselect", .read = read_zero, .write = write_nothing },
    { 0x7a1, "tdata1", .read = read_zero, .write = write_nothing },
    { 0x7a2, "tdata2", .read = read_zero, .write = write_nothing },
    { 0x7a4, "tinfo", .read = read_zero, .write = write_nothing },
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
    { 0xdb0, "stopi", NEED_SSAIA, .read = riscv_read_stopi },
    { 0xf11, "mvendorid", .read = read_zero },
    { 0xf12, "marchid", .read = read_zero },
    { 0xf13, "mimpid", .read = read_zero },
    { 0xf14, "mhartid", .read = read_hart },
    { 0xf15, "mconfigptr", .read = read_zero },
    { 0xfb0, "mtopi", NEED_SMAIA, .read = riscv_read_mtopi },
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

/* Counters that read as zero and ignore writes: hpmcounter3-31 and their events. */
static bool is_hpm(const RiscvState *s, unsigned csr)
{
    unsigned base = csr & ~31u, n = csr & 31;
    if (n < 3)
        return false;
    return base == 0x320 || base == 0xb00 || base == 0xc00 || (s->xlen == 32 && (base == 0xb80 || base == 0xc80));
}

static bool counter_enabled(const RiscvState *s, unsigned csr)
{
    unsigned bit = csr & 31;
    if (s->priv < PRIV_M && !(s->mcounteren >> bit & 1))
        return false;
    return s->priv != PRIV_U || !riscv_has(s, EXT_S) || (s->scounteren >> bit & 1);
}

static bool csr_allowed(const RiscvState *s, const Csr *c, unsigned csr, bool write)
{
    if (s->priv < (csr >> 8 & 3) || (write && csr >> 10 == 3))
        return false;
    if (csr == 0x180 && s->priv == PRIV_S && s->mstatus & MSTATUS_TVM)
        return false;
    if (csr >= 0xc80 && csr < 0xca0 && s->xlen != 32)
        return false;
    if ((csr >= 0xc00 && csr < 0xc20) || (csr >= 0xc80 && csr < 0xca0))
        return counter_enabled(s, csr);
    if (!c)
        return true;
    switch (c->need) {
    case NEED_F:
        return !s->fp_off;
    case NEED_V:
        return !s->vs_off;
    case NEED_S:
        return riscv_has(s, EXT_S);
    case NEED_STCE:
        return riscv_has(s, EXT_SSTC) && (csr == 0x14d || s->xlen == 32) &&
               (s->priv == PRIV_M || (s->menvcfg & MENVCFG_STCE && s->mcounteren & 2));
    case NEED_RV32:
        return s->xlen == 32;
    case NEED_SMAIA:
        return riscv_has(s, EXT_SMAIA);
    case NEED_SSAIA:
        return riscv_has(s, EXT_SSAIA);
    case NEED_SMAIA32:
        return riscv_has(s, EXT_SMAIA) && s->xlen == 32;
    case NEED_SSAIA32:
        return riscv_has(s, EXT_SSAIA) && s->xlen == 32;
    default:
        return true;
    }
}

static bool is_pmp(const RiscvState *s, unsigned csr)
{
    return (csr >= 0x3a0 && csr < 0x3b0 && (s->xlen == 32 || !(csr & 1))) || (csr >= 0x3b0 && csr < 0x3f0);
}

bool riscv_csr(RiscvState *s, unsigned csr, bool read, bool write, uint64_t value, uint64_t mask, uint64_t *old)
{
    const Csr *c = csr_find(csr);
    bool pmp = is_pmp(s, csr), hpm = !c && is_hpm(s, csr);
    if ((!c && !pmp && !hpm) || !csr_allowed(s, c, csr, write))
        return false;
    if (c && c->indirect)
        return riscv_aia_csr(s, csr, write, value, mask, old);
    uint64_t v = 0;
    if (read || ~mask) {
        if (pmp)
            v = csr < 0x3b0 ? read_pmpcfg(s, csr - 0x3a0) : read_pmpaddr(s, csr - 0x3b0);
        else if (c && c->read)
            v = c->read(s);
        else if (c)
            memcpy(&v, (char *)s + c->member, sizeof(v));
        if (s->xlen == 32)
            v = (uint32_t)v;
    }
    if (old)
        *old = v;
    if (!write || hpm)
        return true;
    /* the software part of SEIP is what read-modify-write sees (section 3.1.9) */
    uint64_t before = csr == 0x344 ? (v & ~(1ull << IRQ_S_EXT)) | (s->mip_soft & 1ull << IRQ_S_EXT) : v;
    value = (before & ~mask) | (value & mask);
    if (s->xlen == 32)
        value = (uint32_t)value;
    if (pmp && csr < 0x3b0)
        write_pmpcfg(s, csr - 0x3a0, value);
    else if (pmp)
        write_pmpaddr(s, csr - 0x3b0, value);
    else if (c->write)
        c->write(s, value);
    else
        memcpy((char *)s + c->member, &value, sizeof(value));
    return true;
}

CsrShape riscv_csr_shape(const RiscvState *s, unsigned csr, unsigned priv)
{
    const Csr *c = csr_find(csr);
    CsrShape shape = { .ends_unit = !c || c->ends };
    if (c && c->member && priv >= (csr >> 8 & 3) &&
        (c->need == NEED_NOTHING || (c->need == NEED_S && riscv_has(s, EXT_S))) && csr != 0x180) {
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
