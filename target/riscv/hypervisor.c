/*
 * Hypervisor extension, H 1.0 (privileged ISA 20240411, chapter 18): CSRs of HS- and VS-mode, guests' interrupts,
 * htinst, loads and stores in a guest's address space, fences. Traps are in trap.c, two-stage translation in mmu.c.
 *
 * VS CSRs have their own members, and a guest's CSR numbers are mapped to theirs (riscv_guest_csr), so that nothing is
 * copied when V changes.
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/hypervisor.h"
#include "target/riscv/translate.h"
#include <inttypes.h>

#define HSTATUS_WRITABLE \
    (HSTATUS_GVA | HSTATUS_SPV | HSTATUS_SPVP | HSTATUS_HU | HSTATUS_VTVM | HSTATUS_VTW | HSTATUS_VTSR)
#define HEDELEG_WRITABLE 0xb1ffull /* not environment calls from S and VS, not guest page faults */
#define VSSTATUS_WRITABLE \
    (MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_FS | MSTATUS_VS | MSTATUS_SUM | MSTATUS_MXR)

#define COUNTER (1ull << IRQ_COUNTER)

static void update_guest_files(RiscvState *s);

void riscv_hypervisor_reset(RiscvState *s)
{
    g_mutex_lock(&s->guest_lock);
    s->hgeie = s->vgein = 0;
    update_guest_files(s);
    g_mutex_unlock(&s->guest_lock);
    s->virt = false;
    s->hstatus = s->xlen == 64 ? 2ull << 32 : 0;
    s->vsstatus = s->xlen == 64 ? 2ull << 32 : 0;
    s->hedeleg = s->hideleg = s->hcounteren = s->htimedelta = s->htval = s->htinst = s->hgatp = 0;
    s->mtval2 = s->mtinst = 0;
    s->henvcfg = s->menvcfg & MENVCFG_ADUE;
    s->vstvec = s->vsscratch = s->vsepc = s->vscause = s->vstval = s->vsatp = 0;
    s->vstimecmp = UINT64_MAX;
    s->vsiselect = s->hvictl = s->hviprio1 = s->hviprio2 = 0;
}

/* ---- CSRs ---- */

unsigned riscv_guest_csr(unsigned csr)
{
    switch (csr) {
    case 0x100: /* sstatus */
    case 0x104: /* sie, stvec */
    case 0x105:
    case 0x114: /* sieh */
    case 0x140: /* sscratch ... sip */
    case 0x141:
    case 0x142:
    case 0x143:
    case 0x144:
    case 0x14d: /* stimecmp */
    case 0x150: /* siselect, sireg, siph, stopei */
    case 0x151:
    case 0x152: /* sireg2 ... */
    case 0x153:
    case 0x154:
    case 0x155:
    case 0x156:
    case 0x157:
    case 0x15c:
    case 0x15d: /* stimecmph */
    case 0x180: /* satp */
    case 0xdb0: /* stopi */
        return csr + 0x100;
    default:
        return csr;
    }
}

uint64_t riscv_henvcfg(const RiscvState *s)
{
    return s->henvcfg & (s->menvcfg | ~HENVCFG_SHARED);
}

void riscv_set_henvcfg(RiscvState *s, uint64_t v)
{
    uint64_t old = riscv_henvcfg(s);
    g_mutex_lock(&s->stimer_lock); /* the main loop's thread looks at STCE */
    s->henvcfg = v;
    g_mutex_unlock(&s->stimer_lock);
    if ((old ^ riscv_henvcfg(s)) & (MENVCFG_ADUE | MENVCFG_PBMTE))
        tcg_flush_spaces(&s->cs, (SpaceMatch){ .outer_mask = SPACE_GUEST, .outer_value = SPACE_GUEST });
    if ((old ^ riscv_henvcfg(s)) & MENVCFG_STCE)
        riscv_update_timers(s);
}

uint64_t riscv_read_vsstatus(RiscvState *s)
{
    uint64_t v = riscv_vsstatus(s);
    return s->xlen == 32 ? (uint32_t)v | (v & MSTATUS_SD ? 1u << 31 : 0) : v;
}

void riscv_write_vsstatus(RiscvState *s, uint64_t v)
{
    uint64_t mask = VSSTATUS_WRITABLE, old = riscv_vsstatus(s);
    if (!riscv_has(s, EXT_F))
        mask &= ~MSTATUS_FS;
    if (!riscv_has(s, EXT_V))
        mask &= ~MSTATUS_VS;
    s->vsstatus = ((old & ~mask) | (v & mask)) & ~MSTATUS_SD;
    if ((old ^ s->vsstatus) & ~(MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_SD))
        riscv_mode_changed(s);
    riscv_check_interrupts(s);
}

/* The highest 4 bits of satp, vsatp and hgatp on RV64: is there such a scheme? */
static bool scheme_known(const RiscvState *s, uint64_t v)
{
    unsigned mode = v >> 60;
    return s->xlen == 32 || !mode || (mode >= SATP_SV39 && mode <= s->max_satp);
}

void riscv_write_vsatp(RiscvState *s, uint64_t v)
{
    if (!scheme_known(s, v))
        return; /* the whole write has no effect, as with satp */
    s->vsatp = v;
    riscv_mode_changed(s);
}

/* An unknown mode leaves the mode as it was; the other fields are written. The root table has 16 KiB. */
void riscv_write_hgatp(RiscvState *s, uint64_t v)
{
    if (s->xlen == 32)
        s->hgatp = v & 0x9ffffffc;
    else
        s->hgatp = ((scheme_known(s, v) ? v : s->hgatp) & 0xfull << 60) | (v & 0x03fffffffffffffcull);
    riscv_mode_changed(s);
}

void riscv_write_hedeleg(RiscvState *s, uint64_t v)
{
    s->hedeleg = v & HEDELEG_WRITABLE;
}

void riscv_write_hideleg(RiscvState *s, uint64_t v)
{
    s->hideleg = v & (VS_INTERRUPTS | (s->feat & FEAT_SHLCOFIDELEG && s->feat & FEAT_SSCOFPMF ? COUNTER : 0));
    riscv_check_interrupts(s);
}

/* ---- interrupts ---- */

/* The inputs that guest interrupt files make: VGEIN's is the guest's external interrupt, those in hgeie are HS-mode's.
 */
static void update_guest_files(RiscvState *s)
{
    riscv_cpu_set_irq(s, IRQ_VS_EXT, s->vgein && s->hgeip >> s->vgein & 1);
    riscv_cpu_set_irq(s, IRQ_GUEST_EXT, s->hgeip & s->hgeie);
}

void riscv_write_hstatus(RiscvState *s, uint64_t v)
{
    uint64_t mask = HSTATUS_WRITABLE;
    if ((v & HSTATUS_VGEIN) >> 12 <= s->guest_files)
        mask |= HSTATUS_VGEIN;
    uint64_t old = s->hstatus;
    s->hstatus = (s->hstatus & ~mask) | (v & mask);
    if (!((old ^ s->hstatus) & HSTATUS_VGEIN))
        return;
    g_mutex_lock(&s->guest_lock);
    s->vgein = (s->hstatus & HSTATUS_VGEIN) >> 12;
    update_guest_files(s);
    g_mutex_unlock(&s->guest_lock);
}

void riscv_write_hgeie(RiscvState *s, uint64_t v)
{
    g_mutex_lock(&s->guest_lock);
    s->hgeie = v & (((uint64_t)2 << s->guest_files) - 2);
    update_guest_files(s);
    g_mutex_unlock(&s->guest_lock);
    riscv_check_interrupts(s);
}

uint64_t riscv_read_hgeip(RiscvState *s)
{
    g_mutex_lock(&s->guest_lock);
    uint64_t v = s->hgeip;
    g_mutex_unlock(&s->guest_lock);
    return v;
}

void riscv_hypervisor_dump(RiscvState *s, GString *out)
{
    const struct {
        const char *name;
        uint64_t value;
    } registers[] = {
        { "hstatus", s->hstatus }, { "hedeleg", s->hedeleg },     { "hideleg", s->hideleg },
        { "hgatp", s->hgatp },     { "htval", s->htval },         { "htinst", s->htinst },
        { "mtval2", s->mtval2 },   { "mtinst", s->mtinst },       { "vsstatus", riscv_vsstatus(s) },
        { "vstvec", s->vstvec },   { "vsepc", s->vsepc },         { "vscause", s->vscause },
        { "vstval", s->vstval },   { "vsscratch", s->vsscratch }, { "vsatp", s->vsatp },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(registers); i++)
        g_string_append_printf(out, " %-9s %0*" PRIx64 "\n", registers[i].name, s->xlen / 4, registers[i].value);
}

void riscv_cpu_set_guest_irq(void *opaque, int file, bool level)
{
    RiscvState *s = opaque;
    g_mutex_lock(&s->guest_lock);
    s->hgeip = level ? s->hgeip | 1ull << file : s->hgeip & ~(1ull << file);
    update_guest_files(s);
    g_mutex_unlock(&s->guest_lock);
}

static uint64_t pending(RiscvState *s)
{
    return __atomic_load_n(&s->mip, __ATOMIC_SEQ_CST);
}

/* A guest sees its interrupts, where they are delegated to it, as those of a supervisor: one bit lower; that of
 * counters is the supervisor's own. */
uint64_t riscv_guest_view(const RiscvState *s, uint64_t interrupts)
{
    interrupts &= s->hideleg;
    return (interrupts & VS_INTERRUPTS) >> 1 | (interrupts & s->mideleg & COUNTER);
}
static uint64_t from_guest_view(uint64_t v)
{
    return (v << 1 & VS_INTERRUPTS) | (v & COUNTER);
}
uint64_t riscv_read_vsie(RiscvState *s)
{
    return riscv_guest_view(s, s->mie);
}
void riscv_write_vsie(RiscvState *s, uint64_t v)
{
    uint64_t mask = s->hideleg & (VS_INTERRUPTS | (s->mideleg & COUNTER));
    s->mie = (s->mie & ~mask) | (from_guest_view(v) & mask);
    riscv_check_interrupts(s);
}
uint64_t riscv_read_vsip(RiscvState *s)
{
    return riscv_guest_view(s, pending(s));
}
void riscv_write_vsip(RiscvState *s, uint64_t v)
{
    riscv_write_soft(s, from_guest_view(v), s->hideleg & (1ull << IRQ_VS_SOFT | (s->mideleg & COUNTER)));
}
uint64_t riscv_read_hie(RiscvState *s)
{
    return s->mie & H_INTERRUPTS;
}
void riscv_write_hie(RiscvState *s, uint64_t v)
{
    s->mie = (s->mie & ~H_INTERRUPTS) | (v & H_INTERRUPTS);
    riscv_check_interrupts(s);
}
uint64_t riscv_read_hip(RiscvState *s)
{
    return pending(s) & H_INTERRUPTS;
}
void riscv_write_hip(RiscvState *s, uint64_t v)
{
    riscv_write_soft(s, v, 1ull << IRQ_VS_SOFT);
}
uint64_t riscv_read_hvip(RiscvState *s)
{
    return s->mip_soft & VS_INTERRUPTS;
}
void riscv_write_hvip(RiscvState *s, uint64_t v)
{
    riscv_write_soft(s, v, VS_INTERRUPTS);
}

unsigned riscv_guest_interrupt(RiscvState *s)
{
    if (s->feat & FEAT_SSAIA)
        return riscv_read_vstopi(s) >> 16;
    return riscv_first_interrupt(s, riscv_guest_view(s, pending(s) & s->mie), false);
}

/* ---- what a trap says of the instruction ---- */

bool riscv_is_guest_address(const RiscvState *s, unsigned cause)
{
    const uint32_t of_fetch = 1u << CAUSE_FETCH_MISALIGNED | 1u << CAUSE_FETCH_ACCESS | 1u << CAUSE_BREAKPOINT |
                              1u << CAUSE_FETCH_PAGE | 1u << CAUSE_FETCH_GUEST_PAGE,
                   of_data = 1u << CAUSE_LOAD_MISALIGNED | 1u << CAUSE_LOAD_ACCESS | 1u << CAUSE_STORE_MISALIGNED |
                             1u << CAUSE_STORE_ACCESS | 1u << CAUSE_LOAD_PAGE | 1u << CAUSE_STORE_PAGE |
                             1u << CAUSE_LOAD_GUEST_PAGE | 1u << CAUSE_STORE_GUEST_PAGE;
    return (of_fetch >> cause & 1 && s->virt) || (of_data >> cause & 1 && s->cs.mmu_index & MMU_VIRT);
}

/* Section 18.6.3: loads and stores lose their offset, others keep all but rs1, which becomes the distance of tval from
 * the address that the instruction names. A compressed one stands for its long form, with bit 1 clear. */
uint32_t riscv_transformed_insn(RiscvState *s, unsigned cause, uint64_t tval)
{
    const uint32_t loads = 1u << CAUSE_LOAD_MISALIGNED | 1u << CAUSE_LOAD_ACCESS | 1u << CAUSE_LOAD_PAGE |
                           1u << CAUSE_LOAD_GUEST_PAGE,
                   stores = 1u << CAUSE_STORE_MISALIGNED | 1u << CAUSE_STORE_ACCESS | 1u << CAUSE_STORE_PAGE |
                            1u << CAUSE_STORE_GUEST_PAGE;
    uint32_t bits, out;
    Arg a;
    if (!((loads | stores) >> cause & 1) || !riscv_peek_insn(s, s->cs.pc, &bits))
        return 0;
    const DecodeRow *row = riscv_decode(s, bits, &a);
    if (row && (bits & 3) != 3)
        row = riscv_row_of(row->translate);
    if (!row)
        return 0;
    switch (row->match & 0x7f) {
    case 0x03: /* load */
    case 0x07: /* of floating point: the widths of vectors have other functions */
        out = row->match | (uint32_t)a.rd << 7;
        break;
    case 0x23:
    case 0x27:
        out = row->match | (uint32_t)a.rs2 << 20;
        break;
    case 0x2f: /* atomic */
    case 0x73: /* hlv, hsv */
        out = bits & ~(31u << 15);
        a.imm = 0;
        break;
    default:
        return 0;
    }
    if (row->format == FORMAT_V)
        return 0;
    uint64_t named = s->x[a.rs1] + a.imm;
    if (s->xlen == 32)
        named = (uint32_t)named;
    out |= ((tval - named) & 31) << 15;
    return (bits & 3) != 3 ? out & ~2u : out;
}

/* ---- a guest's address space ---- */

unsigned riscv_guest_mmu_index(const RiscvState *s)
{
    return MMU_VIRT | (s->vsstatus & MSTATUS_SUM ? MMU_SUM : 0) |
           ((s->vsstatus | s->mstatus) & MSTATUS_MXR ? MMU_MXR : 0) | (s->mstatus & MSTATUS_MXR ? MMU_MXR_OUTER : 0);
}

/* May loads and stores for a guest be done here? Then the context is the guest's until riscv_mode_changed. */
static bool enter_guest_context(RiscvState *s, unsigned extra, uint64_t bits)
{
    if (s->virt || (s->priv == PRIV_U && !(s->hstatus & HSTATUS_HU))) {
        riscv_refuse(s, s->virt, bits);
        return false;
    }
    unsigned fetch = s->cs.mmu_index & ~(MMU_PRIV | MMU_SUM | MMU_MXR | MMU_VIRT | MMU_MXR_OUTER),
             priv = s->hstatus & HSTATUS_SPVP ? PRIV_S : PRIV_U;
    tcg_context_changed(&s->cs, s->vsatp, s->hgatp | SPACE_GUEST, fetch | priv | riscv_guest_mmu_index(s) | extra);
    return true;
}

uint64_t riscv_helper_hlv(CpuState *cs, uint64_t va, uint64_t memop, uint64_t bits, uint64_t d)
{
    RiscvState *s = riscv(cs);
    if (!enter_guest_context(s, memop & HLVX ? MMU_HLVX : 0, bits))
        return 0;
    uint64_t v = tcg_load(cs, va, memop & ~(uint64_t)HLVX);
    riscv_mode_changed(s); /* not only if nothing was raised: with -icount it may be done over */
    return v;
}

uint64_t riscv_helper_hsv(CpuState *cs, uint64_t va, uint64_t value, uint64_t memop, uint64_t bits)
{
    RiscvState *s = riscv(cs);
    if (!enter_guest_context(s, 0, bits))
        return 0;
    tcg_store(cs, va, value, memop);
    riscv_mode_changed(s);
    return 0;
}

/* ---- fences ---- */

SpaceMatch riscv_spaces(const RiscvState *s, bool guest, bool one, uint64_t asid)
{
    uint64_t vmid = s->xlen == 32 ? 0x7full << 22 : 0x3fffull << 44;
    SpaceMatch match = { .outer_mask = SPACE_GUEST };
    if (guest) {
        match.outer_mask |= vmid;
        match.outer_value = SPACE_GUEST | (s->hgatp & vmid);
    }
    if (one) {
        match.mask = s->xlen == 32 ? 0x1ffull << 22 : 0xffffull << 44;
        match.value = asid << (s->xlen == 32 ? 22 : 44) & match.mask;
    }
    return match;
}

/* hfence.gvma knows guest physical addresses, and what is kept here is keyed by virtual ones: all of the guest goes. */
uint64_t riscv_helper_hfence(CpuState *cs, uint64_t va, uint64_t id, uint64_t which, uint64_t bits)
{
    RiscvState *s = riscv(cs);
    bool second = which & HFENCE_SECOND;
    if (s->virt || s->priv < PRIV_S || (second && s->priv == PRIV_S && s->mstatus & MSTATUS_TVM)) {
        riscv_refuse(s, s->virt, bits);
        return 0;
    }
    SpaceMatch match = { .outer_mask = SPACE_GUEST, .outer_value = SPACE_GUEST };
    if (!second) {
        match = riscv_spaces(s, true, which & HFENCE_ID, id);
    } else if (which & HFENCE_ID) {
        uint64_t vmid = s->xlen == 32 ? 0x7full << 22 : 0x3fffull << 44;
        match.outer_mask |= vmid;
        match.outer_value |= id << (s->xlen == 32 ? 22 : 44) & vmid;
    }
    if (!second && which & HFENCE_ADDRESS)
        tcg_flush_page(cs, va, match);
    else
        tcg_flush_spaces(cs, match);
    return 0;
}
