/*
 * x86: model-specific registers (SDM volume 4; AMD64 APM volume 2, appendix A).
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/cpu.h"
#include <string.h>

enum {
    MSR_TSC = 0x10,
    MSR_PLATFORM_ID = 0x17,
    MSR_APIC_BASE = 0x1b,
    MSR_FEATURE_CONTROL = 0x3a,
    MSR_TSC_ADJUST = 0x3b,
    MSR_SPEC_CTRL = 0x48,
    MSR_PRED_CMD = 0x49,
    MSR_BIOS_UPDATE = 0x79,
    MSR_BIOS_SIGN = 0x8b,
    MSR_SMBASE = 0x9e,
    MSR_PLATFORM_INFO = 0xce,
    MSR_MTRR_CAP = 0xfe,
    MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_ESP,
    MSR_SYSENTER_EIP,
    MSR_MCG_CAP = 0x179,
    MSR_MCG_STATUS,
    MSR_MCG_CTL,
    MSR_PERF_STATUS = 0x198,
    MSR_MISC_ENABLE = 0x1a0,
    MSR_DEBUGCTL = 0x1d9,
    MSR_MTRR_BASE0 = 0x200,
    MSR_MTRR_LAST = 0x20f,
    MSR_PAT = 0x277,
    MSR_MTRR_TYPE = 0x2ff,
    MSR_MC0 = 0x400,
    MSR_MC_LAST = 0x427,
    MSR_TSC_DEADLINE = 0x6e0,
    MSR_X2APIC = 0x800,
    MSR_X2APIC_LAST = 0x8ff,
    MSR_XSS = 0xda0,
    MSR_EFER = 0xc0000080,
    MSR_STAR,
    MSR_LSTAR,
    MSR_CSTAR,
    MSR_FMASK,
    MSR_FS_BASE = 0xc0000100,
    MSR_GS_BASE,
    MSR_KERNEL_GS_BASE,
    MSR_TSC_AUX,
};
#define MCG_BANKS 10
#define MCG_CAP   ((1u << 8) | (1u << 24) | MCG_BANKS) /* MCG_CTL_P, MCG_SER_P */
#define MTRR_CAP  (8 | 1 << 8 | 1 << 10)               /* eight ranges, fixed ones, write combining */
#define PAT_RESET 0x0007040600070406ull

/* Those that are a member of the state, with the bits that may be set and a check of the address in it. */
typedef struct Plain {
    uint32_t index, offset;
    uint64_t valid;
    bool canonical, needs_lm;
} Plain;
static const Plain plain[] = {
    { MSR_FEATURE_CONTROL, offsetof(X86State, feature_control), 0xffff, false, false },
    { MSR_BIOS_SIGN, offsetof(X86State, bios_sign), UINT64_MAX, false, false },
    { MSR_SYSENTER_CS, offsetof(X86State, sysenter_cs), UINT32_MAX, false, false },
    { MSR_SYSENTER_ESP, offsetof(X86State, sysenter_esp), UINT64_MAX, true, false },
    { MSR_SYSENTER_EIP, offsetof(X86State, sysenter_eip), UINT64_MAX, true, false },
    { MSR_MCG_STATUS, offsetof(X86State, mcg_status), 7, false, false },
    { MSR_MCG_CTL, offsetof(X86State, mcg_ctl), UINT64_MAX, false, false },
    { MSR_MISC_ENABLE, offsetof(X86State, misc_enable), UINT64_MAX, false, false },
    { MSR_DEBUGCTL, offsetof(X86State, debugctl), 0xffff, false, false },
    { MSR_STAR, offsetof(X86State, star), UINT64_MAX, false, false },
    { MSR_LSTAR, offsetof(X86State, lstar), UINT64_MAX, true, true },
    { MSR_CSTAR, offsetof(X86State, cstar), UINT64_MAX, true, true },
    { MSR_FMASK, offsetof(X86State, fmask), UINT32_MAX, false, true },
    { MSR_KERNEL_GS_BASE, offsetof(X86State, kernel_gs_base), UINT64_MAX, true, true },
    { MSR_TSC_AUX, offsetof(X86State, tsc_aux), UINT32_MAX, false, false },
    { MSR_FS_BASE, offsetof(X86State, segment) + X86_FS * sizeof(X86SegmentReg), UINT64_MAX, true, true },
    { MSR_GS_BASE, offsetof(X86State, segment) + X86_GS * sizeof(X86SegmentReg), UINT64_MAX, true, true },
};

static uint64_t *find_plain(X86State *s, uint32_t index, const Plain **p)
{
    bool lm = s->cpuid_features[X86_WORD_8000_0001_EDX] & X86_BIT_LM;
    for (unsigned i = 0; i < G_N_ELEMENTS(plain); i++) {
        if (plain[i].index == index && (lm || !plain[i].needs_lm)) {
            *p = &plain[i];
            return (uint64_t *)(void *)((char *)s + plain[i].offset);
        }
    }
    return NULL;
}

/* Memory types that exist. */
static bool memory_type(unsigned type)
{
    return type <= 7 && type != 2 && type != 3;
}

static bool all_types(uint64_t value, bool pat)
{
    for (unsigned i = 0; i < 8; i++) {
        unsigned type = value >> 8 * i & 0xff;
        if (!memory_type(type) || (type == 7 && !pat))
            return false;
    }
    return true;
}

/* ---- MTRRs: they are kept, and have no effect ---- */

static uint64_t *find_mtrr(X86State *s, uint32_t index)
{
    static const uint16_t fixed[] = { 0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f };
    if (index >= MSR_MTRR_BASE0 && index <= MSR_MTRR_LAST)
        return index & 1 ? &s->mtrr_mask[(index - MSR_MTRR_BASE0) / 2] : &s->mtrr_base[(index - MSR_MTRR_BASE0) / 2];
    for (unsigned i = 0; i < G_N_ELEMENTS(fixed); i++) {
        if (fixed[i] == index)
            return &s->mtrr_fixed[i];
    }
    return index == MSR_MTRR_TYPE ? &s->mtrr_type : NULL;
}

static bool write_mtrr(X86State *s, uint32_t index, uint64_t *mtrr, uint64_t value)
{
    bool variable = index >= MSR_MTRR_BASE0 && index <= MSR_MTRR_LAST;
    uint64_t beyond = ~((1ull << s->physical_bits) - 1);
    if (variable && (value & beyond || (index & 1 ? value & 0x7ff : (value & 0xf00) || !memory_type(value & 0xff))))
        return false;
    if (index == MSR_MTRR_TYPE && (value & ~0xcffull || !memory_type(value & 0xff)))
        return false;
    if (!variable && index != MSR_MTRR_TYPE && !all_types(value, false))
        return false;
    *mtrr = value;
    return true;
}

/* ---- machine-check banks ---- */

static uint64_t *find_bank(X86State *s, uint32_t index)
{
    return index >= MSR_MC0 && index <= MSR_MC_LAST ? &s->mc_bank[(index - MSR_MC0) / 4][index & 3] : NULL;
}

/* Of the local APIC's device. */
static bool is_apic(uint32_t index)
{
    return index == MSR_APIC_BASE || index == MSR_TSC_DEADLINE || (index >= MSR_X2APIC && index <= MSR_X2APIC_LAST);
}

static uint64_t efer_valid(const X86State *s)
{
    const uint32_t f = s->cpuid_features[X86_WORD_8000_0001_EDX];
    return (f & X86_BIT_SYSCALL ? EFER_SCE : 0) | (f & X86_BIT_NX ? EFER_NXE : 0) |
           (f & X86_BIT_LM ? EFER_LME | EFER_LMA : 0) | (f & X86_BIT_FXSR_OPT ? EFER_FFXSR : 0);
}

static bool write_efer(X86State *s, uint64_t value)
{
    if (value & ~efer_valid(s) || ((value ^ s->efer) & EFER_LME && s->cr0 & CR0_PG))
        return false;
    bool nx = (value ^ s->efer) & EFER_NXE;
    s->efer = (value & ~(uint64_t)EFER_LMA) | (s->efer & EFER_LMA);
    if (nx)
        tcg_flush_all(&s->cs);
    return true;
}

bool x86_read_msr(X86State *s, uint32_t index, uint64_t *value)
{
    const Plain *p;
    uint64_t *member = find_plain(s, index, &p);
    if (!member)
        member = find_mtrr(s, index);
    if (!member)
        member = find_bank(s, index);
    if (member) {
        *value = *member;
        return true;
    }
    if (is_apic(index)) {
        *value = s->apic_base;
        if (s->apic)
            return s->apic->read_msr(s->apic_opaque, index, value);
        return index == MSR_APIC_BASE;
    }
    *value = 0;
    switch (index) {
    case MSR_TSC:
        *value = x86_tsc(&s->cs);
        return true;
    case MSR_TSC_ADJUST:
        *value = s->tsc_adjust;
        return true;
    case MSR_MTRR_CAP:
        *value = MTRR_CAP;
        return true;
    case MSR_MCG_CAP:
        *value = MCG_CAP;
        return true;
    case MSR_PERF_STATUS:
        *value = 1000 | 4ull << 40;
        return true;
    case MSR_PAT:
        *value = s->pat;
        return true;
    case MSR_EFER:
        *value = s->efer;
        return true;
    case MSR_SMBASE:
        *value = s->smbase;
        return s->smm;
    case MSR_XSS:
        *value = s->xss;
        return s->cpuid_features[X86_WORD_D_1_EAX] & 8;
    default:
        /* unknown: what reading gives where firmware and kernels look for what is not there */
        return true;
    }
}

bool x86_write_msr(X86State *s, uint32_t index, uint64_t value)
{
    const Plain *p;
    uint64_t *member = find_plain(s, index, &p);
    if (member) {
        if (value & ~p->valid || (p->canonical && !x86_canonical(s, value)))
            return false;
        *member = value;
        return true;
    }
    if ((member = find_mtrr(s, index)))
        return write_mtrr(s, index, member, value);
    if ((member = find_bank(s, index))) {
        if ((index & 3) == 1 && value) /* status can only be cleared; each bit of CTL is a switch of its own */
            return false;
        *member = value;
        return true;
    }
    if (is_apic(index)) {
        bool ok = s->apic ? s->apic->write_msr(s->apic_opaque, index, value) : index == MSR_APIC_BASE;
        if (ok && index == MSR_APIC_BASE)
            s->apic_base = value;
        return ok;
    }
    switch (index) {
    case MSR_TSC:
        s->tsc_adjust += value - x86_tsc(&s->cs);
        s->tsc_offset += value - x86_tsc(&s->cs);
        return true;
    case MSR_TSC_ADJUST:
        s->tsc_offset += value - s->tsc_adjust;
        s->tsc_adjust = value;
        return true;
    case MSR_PAT:
        if (!all_types(value, true))
            return false;
        s->pat = value;
        return true;
    case MSR_EFER:
        return write_efer(s, value);
    case MSR_XSS:
        s->xss = value;
        return !value && s->cpuid_features[X86_WORD_D_1_EAX] & 8;
    case MSR_MTRR_CAP:
    case MSR_MCG_CAP:
        return false;
    default:
        return true;
    }
}

void x86_reset_msrs(X86State *s)
{
    s->star = s->lstar = s->cstar = s->fmask = s->kernel_gs_base = s->sysenter_cs = s->sysenter_esp = s->sysenter_eip =
        0;
    s->tsc_aux = s->mtrr_type = s->mcg_status = s->mcg_ctl = s->feature_control = s->debugctl = s->tsc_adjust = s->xss =
        0;
    s->tsc_offset = 0;
    s->tsc_offset = 0 - x86_tsc(&s->cs);
    s->pat = PAT_RESET;
    s->misc_enable = 1;
    s->smbase = 0x30000;
    s->bios_sign = 0x100000000ull;
    s->apic_base = 0xfee00000 | 1 << 11 | (s->bootstrap ? 1 << 8 : 0);
    memset(s->mtrr_fixed, 0, sizeof(s->mtrr_fixed));
    memset(s->mtrr_base, 0, sizeof(s->mtrr_base));
    memset(s->mtrr_mask, 0, sizeof(s->mtrr_mask));
    memset(s->mc_bank, 0, sizeof(s->mc_bank));
}
