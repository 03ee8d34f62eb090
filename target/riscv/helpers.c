/*
 * RISC-V helpers: C functions that translated code calls (order: translate.h).
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/csr.h"
#include "target/riscv/translate.h"
#include "target/riscv/vector.h"

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
        riscv_raise(s, CAUSE_ILLEGAL, bits);
        return 0;
    }
    return old;
}

static uint64_t helper_sret(CpuState *cs, uint64_t bits, uint64_t b, uint64_t c, uint64_t d)
{
    RiscvState *s = riscv(cs);
    if (s->priv < PRIV_S || !riscv_has(s, EXT_S) || (s->priv == PRIV_S && s->mstatus & MSTATUS_TSR))
        riscv_raise(s, CAUSE_ILLEGAL, bits);
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
    if ((s->priv < PRIV_M && s->mstatus & MSTATUS_TW) || (s->priv == PRIV_U && riscv_has(s, EXT_S)))
        riscv_raise(s, CAUSE_ILLEGAL, bits);
    return 0;
}

/* which: 1 an address is given, 2 an address space identifier is */
static uint64_t helper_sfence(CpuState *cs, uint64_t va, uint64_t asid, uint64_t which, uint64_t bits)
{
    RiscvState *s = riscv(cs);
    uint64_t mask = s->xlen == 32 ? 0x1ffull << 22 : 0xffffull << 44, value = asid << (s->xlen == 32 ? 22 : 44) & mask;
    if (s->priv < PRIV_S || !riscv_has(s, EXT_S) || (s->priv == PRIV_S && s->mstatus & MSTATUS_TVM)) {
        riscv_raise(s, CAUSE_ILLEGAL, bits);
        return 0;
    }
    if (!(which & 2))
        mask = value = 0;
    if (which & 1)
        tcg_flush_page(cs, va, mask, value);
    else if (which & 2)
        tcg_flush_space(cs, mask, value);
    else
        tcg_flush_all(cs);
    return 0;
}

static uint64_t helper_fence_i(CpuState *cs, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    tcg_fetch_barrier(cs);
    return 0;
}

static uint64_t helper_ecall(CpuState *cs, uint64_t bits, uint64_t b, uint64_t c, uint64_t d)
{
    riscv_raise(riscv(cs), CAUSE_ECALL_U + riscv(cs)->priv, 0);
    return 0;
}

/* fclass of an IEEE value: one bit of ten (section 20.9). */
static uint64_t helper_fclass(CpuState *cs, uint64_t bits, uint64_t single, uint64_t c, uint64_t d)
{
    unsigned fraction_bits = single ? 23 : 52, width = single ? 32 : 64;
    uint64_t fraction = bits & ((1ull << fraction_bits) - 1), top = (1ull << (width - 1 - fraction_bits)) - 1;
    uint64_t exponent = bits >> fraction_bits & top;
    bool negative = bits >> (width - 1) & 1;
    if (exponent == top && fraction)
        return fraction >> (fraction_bits - 1) ? 1 << 9 : 1 << 8;
    unsigned kind = exponent == top ? 0 : exponent ? 1 : fraction ? 2 : 3; /* infinite, normal, subnormal, zero */
    return 1u << (negative ? kind : 7 - kind);
}

static uint64_t helper_fp_off(CpuState *cs, uint64_t bits, uint64_t b, uint64_t c, uint64_t d)
{
    riscv_raise(riscv(cs), CAUSE_ILLEGAL, bits);
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
    [HELPER_FP_OFF] = { "fp_off", helper_fp_off, 1, false, HELPER_RAISES | HELPER_CONTEXT },
};
