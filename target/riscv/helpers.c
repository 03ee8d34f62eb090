/*
 * RISC-V helpers: C functions that translated code calls (order: translate.h).
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/csr.h"
#include "target/riscv/hypervisor.h"
#include "target/riscv/translate.h"
#include "target/riscv/vector.h"
#include "tcg/softfloat.h"

static uint64_t helper_raise(CpuState *cs, uint64_t cause, uint64_t tval, uint64_t c, uint64_t d)
{
    riscv_raise(riscv(cs), cause, tval);
    return 0;
}

/* what: number | kind (1 write, 2 set, 3 clear) << 12 | write << 14 | read << 15; bits: the instruction */
static uint64_t helper_csr(CpuState *cs, uint64_t value, uint64_t what, uint64_t bits, uint64_t d)
{
    RiscvState *s = riscv(cs);
    unsigned kind = what >> 12 & 3;
    uint64_t old = 0, mask = kind == 1 ? UINT64_MAX : value;
    if (!riscv_csr(s, what & 0xfff, what >> 15 & 1, what >> 14 & 1, kind == 3 ? 0 : value, mask, &old)) {
        riscv_refuse(s, s->virt && riscv_csr_virtual(s, what & 0xfff, what >> 14 & 1), bits);
        return 0;
    }
    return old;
}

static uint64_t helper_sret(CpuState *cs, uint64_t bits, uint64_t b, uint64_t c, uint64_t d)
{
    RiscvState *s = riscv(cs);
    uint64_t trap = s->virt ? s->hstatus & HSTATUS_VTSR : s->mstatus & MSTATUS_TSR;
    if (s->priv < PRIV_S || !riscv_has(s, EXT_S) || (s->priv == PRIV_S && trap))
        riscv_refuse(s, s->virt, bits);
    else
        riscv_return(s, PRIV_S);
    return 0;
}

static uint64_t helper_mret(CpuState *cs, uint64_t bits, uint64_t b, uint64_t c, uint64_t d)
{
    RiscvState *s = riscv(cs);
    if (s->priv < PRIV_M)
        riscv_raise(s, CAUSE_ILLEGAL, bits);
    else
        riscv_return(s, PRIV_M);
    return 0;
}

static uint64_t helper_wfi(CpuState *cs, uint64_t bits, uint64_t b, uint64_t c, uint64_t d)
{
    RiscvState *s = riscv(cs);
    if (s->priv < PRIV_M && s->mstatus & MSTATUS_TW)
        riscv_raise(s, CAUSE_ILLEGAL, bits);
    else if ((s->priv == PRIV_U && riscv_has(s, EXT_S)) || (s->virt && s->hstatus & HSTATUS_VTW))
        riscv_refuse(s, s->virt, bits);
    return 0;
}

/* which: 1 an address is given, 2 an address space identifier is */
static uint64_t helper_sfence(CpuState *cs, uint64_t va, uint64_t asid, uint64_t which, uint64_t bits)
{
    RiscvState *s = riscv(cs);
    uint64_t trap = s->virt ? s->hstatus & HSTATUS_VTVM : s->mstatus & MSTATUS_TVM;
    if (s->priv < PRIV_S || !riscv_has(s, EXT_S) || (s->priv == PRIV_S && trap)) {
        riscv_refuse(s, s->virt, bits);
        return 0;
    }
    SpaceMatch match = riscv_spaces(s, s->virt, which & 2, asid);
    if (which & 1)
        tcg_flush_page(cs, va, match);
    else
        tcg_flush_spaces(cs, match);
    return 0;
}

static uint64_t helper_fence_i(CpuState *cs, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    tcg_fetch_barrier(cs);
    return 0;
}

static uint64_t helper_ecall(CpuState *cs, uint64_t bits, uint64_t b, uint64_t c, uint64_t d)
{
    RiscvState *s = riscv(cs);
    riscv_raise(s, s->virt && s->priv == PRIV_S ? CAUSE_ECALL_VS : CAUSE_ECALL_U + s->priv, 0);
    return 0;
}

/* fclass of an IEEE value: one bit of ten (section 20.9). */
static uint64_t helper_fclass(CpuState *cs, uint64_t bits, uint64_t fraction_bits, uint64_t c, uint64_t d)
{
    unsigned width = fraction_bits == 10 ? 16 : fraction_bits == 23 ? 32 : 64;
    uint64_t fraction = bits & ((1ull << fraction_bits) - 1), top = (1ull << (width - 1 - fraction_bits)) - 1;
    uint64_t exponent = bits >> fraction_bits & top;
    bool negative = bits >> (width - 1) & 1;
    if (exponent == top && fraction)
        return fraction >> (fraction_bits - 1) ? 1 << 9 : 1 << 8;
    unsigned kind = exponent == top ? 0 : exponent ? 1 : fraction ? 2 : 3; /* infinite, normal, subnormal, zero */
    return 1u << (negative ? kind : 7 - kind);
}

static uint64_t helper_soft_fp(CpuState *cs, uint64_t a, uint64_t b, uint64_t c, uint64_t what)
{
    return soft_fp(cs, a, b, c, what);
}

/* fcvtmod.w.d: the integer part modulo 2^32; flags as those of fcvt.w.d. */
static uint64_t helper_fcvtmod(CpuState *cs, uint64_t bits, uint64_t b, uint64_t c, uint64_t d)
{
    int exponent = (int)(bits >> 52 & 2047) - 1075; /* of the significand's lowest bit */
    uint64_t significand = (bits & ((1ull << 52) - 1)) | 1ull << 52;
    soft_fp(cs, bits, 0, 0, SOFT_WHAT(OP_fftoi, IR_I32, FROUND_RTZ, 0, IR_F64));
    if (exponent > 31 || exponent < -52) /* no bit of the low word; infinite or NaN; less than 1 */
        return 0;
    uint32_t magnitude = exponent >= 0 ? significand << exponent : significand >> -exponent;
    return bits >> 63 ? -magnitude : magnitude;
}

/* amocas.q. registers: rd, rs2 << 8, both even: pairs; x0's is 0, and stays so */
static uint64_t helper_cas16(CpuState *cs, uint64_t va, uint64_t registers, uint64_t c, uint64_t d)
{
    RiscvState *s = riscv(cs);
    unsigned rd = registers & 31, rs2 = registers >> 8;
    uint64_t old[2] = { s->x[rd], rd ? s->x[rd + 1] : 0 }, value[2] = { s->x[rs2], rs2 ? s->x[rs2 + 1] : 0 };
    if (tcg_cas16(cs, va, old, value) && rd) {
        s->x[rd] = old[0];
        s->x[rd + 1] = old[1];
    }
    return 0;
}

/* Is a cache block operation on here? If not, it is refused. bits: of menvcfg, henvcfg and senvcfg; any of them enables
 * it. */
static bool cbo_enabled(RiscvState *s, uint64_t bits, uint64_t insn)
{
    bool machine = s->priv == PRIV_M || s->menvcfg & bits, guest = !s->virt || s->henvcfg & bits,
         user = s->priv != PRIV_U || !riscv_has(s, EXT_S) || s->senvcfg & bits;
    if (machine && guest && user)
        return true;
    riscv_refuse(s, s->virt && machine, insn);
    return false;
}

/* kind: 0 invalidate, 1 clean, 2 flush, 4 zero. There are no caches: but for zero, only faults are seen. */
static uint64_t helper_cbo(CpuState *cs, uint64_t va, uint64_t kind, uint64_t bits, uint64_t d)
{
    RiscvState *s = riscv(cs);
    if (!cbo_enabled(s, kind == 4 ? ENVCFG_CBZE : kind ? ENVCFG_CBCFE : ENVCFG_CBIE, bits))
        return 0;
    if (kind == 4)
        tcg_zero_block(cs, va, s->cboz_size);
    else
        riscv_probe_block(s, va);
    return 0;
}

static uint64_t helper_fp_off(CpuState *cs, uint64_t bits, uint64_t b, uint64_t c, uint64_t d)
{
    riscv_raise(riscv(cs), CAUSE_ILLEGAL, bits);
    return 0;
}

static uint64_t helper_trigger(CpuState *cs, uint64_t bits, uint64_t length, uint64_t c, uint64_t d)
{
    riscv_trigger_insn(riscv(cs), bits, length);
    return 0;
}

const HelperDesc riscv_helpers[] = {
    [HELPER_RAISE] = { "raise", helper_raise, 2, false, HELPER_RAISES | HELPER_CONTEXT },
    [HELPER_CSR] = { "csr", helper_csr, 3, true, HELPER_RAISES | HELPER_CONTEXT | HELPER_FP },
    [HELPER_SRET] = { "sret", helper_sret, 1, false, HELPER_RAISES | HELPER_CONTEXT },
    [HELPER_MRET] = { "mret", helper_mret, 1, false, HELPER_RAISES | HELPER_CONTEXT },
    [HELPER_WFI] = { "wfi", helper_wfi, 1, false, HELPER_RAISES | HELPER_CONTEXT },
    [HELPER_SFENCE] = { "sfence", helper_sfence, 4, false, HELPER_RAISES | HELPER_CONTEXT },
    [HELPER_FENCE_I] = { "fence_i", helper_fence_i, 0, false, HELPER_RAISES | HELPER_CONTEXT },
    [HELPER_ECALL] = { "ecall", helper_ecall, 1, false, HELPER_RAISES | HELPER_CONTEXT },
    [HELPER_FCLASS] = { "fclass", helper_fclass, 2, true, 0 },
    [HELPER_VECTOR] = { "vector", helper_vector, 4, true, HELPER_RAISES | HELPER_CONTEXT | HELPER_FP },
    [HELPER_TRIGGER] = { "trigger", helper_trigger, 2, false, HELPER_RAISES | HELPER_CONTEXT },
    [HELPER_FP_OFF] = { "fp_off", helper_fp_off, 1, false, HELPER_RAISES | HELPER_CONTEXT },
    [HELPER_SOFT_FP] = { "soft_fp", helper_soft_fp, 4, true, 0 },
    [HELPER_FCVTMOD] = { "fcvtmod", helper_fcvtmod, 1, true, 0 },
    [HELPER_CAS16] = { "cas16", helper_cas16, 2, false, HELPER_READS | HELPER_WRITES | HELPER_RAISES | HELPER_CONTEXT },
    [HELPER_CBO] = { "cbo", helper_cbo, 3, false, HELPER_RAISES | HELPER_CONTEXT },
    [HELPER_CLMUL] = { "clmul", riscv_helper_clmul, 3, true, 0 },
    [HELPER_XPERM] = { "xperm", riscv_helper_xperm, 3, true, 0 },
    [HELPER_AES32] = { "aes32", riscv_helper_aes32, 3, true, 0 },
    [HELPER_AES64] = { "aes64", riscv_helper_aes64, 3, true, 0 },
    [HELPER_AES64IM] = { "aes64im", riscv_helper_aes64im, 1, true, 0 },
    [HELPER_AES64KS1I] = { "aes64ks1i", riscv_helper_aes64ks1i, 2, true, 0 },
    [HELPER_SM4ED] = { "sm4ed", riscv_helper_sm4ed, 3, true, 0 },
    [HELPER_SM4KS] = { "sm4ks", riscv_helper_sm4ks, 3, true, 0 },
    [HELPER_HLV] = { "hlv", riscv_helper_hlv, 3, true, HELPER_RAISES | HELPER_CONTEXT },
    [HELPER_HSV] = { "hsv", riscv_helper_hsv, 4, false, HELPER_RAISES | HELPER_CONTEXT },
    [HELPER_HFENCE] = { "hfence", riscv_helper_hfence, 4, false, HELPER_RAISES | HELPER_CONTEXT },
};
