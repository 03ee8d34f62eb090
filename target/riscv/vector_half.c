/*
 * RISC-V vectors: kernels of Zvfh and Zvfhmin, and of Zvfbfmin and Zvfbfwma (unprivileged ISA 20240411, section 31.13;
 * BF16 extensions 1.0). All arithmetic is tcg/softfloat.c's: the baseline host has none of 16 bits. As vector_int.c,
 * this file is compiled once for each level of the host; KERNELS names the table.
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/vector_estimate.h"
#include "target/riscv/vector_kernels.h"
#include "tcg/softfloat.h"

#define SIGN 0x8000

/* op of type TYPE, rounded as frm says; source: of a conversion or comparison. */
#define SOFT3(op, type, round, imm, source, a, b, c) soft_fp(e->cs, a, b, c, SOFT_WHAT(op, type, round, imm, source))
#define SOFT2(op, a, b)                              SOFT3(op, SOFT_F16, FROUND_DYN, 0, 0, a, b, 0)

/* ---- arithmetic ---- */
KERNEL(fadd_16, U16, U16, U16, SOFT2(OP_fadd, x, y))
KERNEL(fsub_16, U16, U16, U16, SOFT2(OP_fsub, x, y))
KERNEL(frsub_16, U16, U16, U16, SOFT2(OP_fsub, y, x))
KERNEL(fmul_16, U16, U16, U16, SOFT2(OP_fmul, x, y))
KERNEL(fdiv_16, U16, U16, U16, SOFT2(OP_fdiv, x, y))
KERNEL(frdiv_16, U16, U16, U16, SOFT2(OP_fdiv, y, x))
KERNEL(fmin_16, U16, U16, U16, SOFT2(OP_fmin, x, y))
KERNEL(fmax_16, U16, U16, U16, SOFT2(OP_fmax, x, y))
KERNEL_UNARY(fsqrt_v_16, U16, U16, SOFT2(OP_fsqrt, x, 0))

#define NEGATE_NONE    0
#define NEGATE_BOTH    (IR_FMA_NEG_PRODUCT | IR_FMA_NEG_ADDEND)
#define NEGATE_PRODUCT IR_FMA_NEG_PRODUCT
#define NEGATE_ADDEND  IR_FMA_NEG_ADDEND
/* name: adds vd to the product; of_d: vd is a factor, vs2 is added */
#define FUSED(name, of_d, negate)                                                                          \
    KERNEL_OLD(name##_16, U16, U16, U16, SOFT3(OP_fma, SOFT_F16, FROUND_DYN, NEGATE_##negate, 0, x, y, z)) \
    KERNEL_OLD(of_d##_16, U16, U16, U16, SOFT3(OP_fma, SOFT_F16, FROUND_DYN, NEGATE_##negate, 0, z, y, x))
FUSED(fmacc, fmadd, NONE)
FUSED(fnmacc, fnmadd, BOTH)
FUSED(fmsac, fmsub, ADDEND)
FUSED(fnmsac, fnmsub, PRODUCT)

/* ---- widening: exact to single, then once rounded ---- */
static inline uint32_t widen(KernelEnv *e, uint16_t v, unsigned from)
{
    return SOFT3(OP_fcvt, IR_F32, FROUND_RNE, 0, from, v, 0, 0);
}
#define HALF(v) widen(e, v, SOFT_F16)
#define WIDENING(name, A, op, first, second) \
    KERNEL(name##_16, U32, A, U16, SOFT3(op, IR_F32, FROUND_DYN, 0, 0, first, second, 0))
WIDENING(fwadd, U16, OP_fadd, HALF(x), HALF(y))
WIDENING(fwsub, U16, OP_fsub, HALF(x), HALF(y))
WIDENING(fwmul, U16, OP_fmul, HALF(x), HALF(y))
WIDENING(fwadd_w, U32, OP_fadd, x, HALF(y))
WIDENING(fwsub_w, U32, OP_fsub, x, HALF(y))
#define WIDE_FUSED(name, from, negate)   \
    KERNEL_OLD(name##_16, U32, U16, U16, \
               SOFT3(OP_fma, IR_F32, FROUND_DYN, NEGATE_##negate, 0, widen(e, x, from), widen(e, y, from), z))
WIDE_FUSED(fwmacc, SOFT_F16, NONE)
WIDE_FUSED(fwnmacc, SOFT_F16, BOTH)
WIDE_FUSED(fwmsac, SOFT_F16, ADDEND)
WIDE_FUSED(fwnmsac, SOFT_F16, PRODUCT)
WIDE_FUSED(fwmaccbf16, SOFT_BF16, NONE)

/* ---- bit patterns, comparisons ---- */
KERNEL(fsgnj_16, U16, U16, U16, (x & ~SIGN) | (y & SIGN))
KERNEL(fsgnjn_16, U16, U16, U16, (x & ~SIGN) | (~y & SIGN))
KERNEL(fsgnjx_16, U16, U16, U16, x ^ (y & SIGN))
KERNEL(fmerge_16, U16, U16, U16, e->carry[i] ? y : x)
KERNEL(fmv_v_f_16, U16, U16, U16, y)
KERNEL_UNARY(fclass_v_16, U16, U16, classify(x, 16))
KERNEL_UNARY(frsqrt7_v_16, U16, U16, estimate_root(x, 16, e))
KERNEL_UNARY(frec7_v_16, U16, U16, estimate_reciprocal(x, 16, e))
#define COMPARE(name, first, second, cond, result) \
    KERNEL(name##_16, uint8_t, U16, U16, SOFT3(OP_fcmp, IR_I64, cond, 0, SOFT_F16, first, second, 0) == result)
COMPARE(mfeq, x, y, FCMP_EQ, 1)
COMPARE(mfne, x, y, FCMP_EQ, 0)
COMPARE(mflt, x, y, FCMP_LT, 1)
COMPARE(mfle, x, y, FCMP_LE, 1)
COMPARE(mfgt, y, x, FCMP_LT, 1)
COMPARE(mfge, y, x, FCMP_LE, 1)

/* ---- conversions ---- */

/* To integers of fewer than 32 bits: what does not fit is only invalid. */
static inline uint32_t to_short(KernelEnv *e, uint16_t v, unsigned bits, unsigned round, bool is_unsigned)
{
    uint8_t before = e->cs->fp_flags;
    int64_t r = (int32_t)SOFT3(OP_fftoi, IR_I32, round, 0, SOFT_F16, v, 0, 0);
    int64_t low = is_unsigned ? 0 : -(1 << (bits - 1)), high = (1 << (bits - !is_unsigned)) - 1;
    if (r >= low && r <= high)
        return r;
    e->cs->fp_flags = before | IR_FP_NV;
    return r < low ? low : high;
}
#define TO_INTEGERS(suffix, round, is_unsigned)                                          \
    KERNEL_UNARY(fcvt_##suffix##_v_16, U16, U16, to_short(e, x, 16, round, is_unsigned)) \
    KERNEL_UNARY(fncvt_##suffix##_w_8, U8, U16, to_short(e, x, 8, round, is_unsigned))   \
    KERNEL_UNARY(fwcvt_##suffix##_v_16, U32, U16, SOFT3(OP_fftoi, IR_I32, round, is_unsigned, SOFT_F16, x, 0, 0))
TO_INTEGERS(xu_f, FROUND_DYN, 1)
TO_INTEGERS(x_f, FROUND_DYN, 0)
TO_INTEGERS(rtz_xu_f, FROUND_RTZ, 1)
TO_INTEGERS(rtz_x_f, FROUND_RTZ, 0)
#define FROM_INTEGER(is_unsigned) SOFT3(OP_fitof, SOFT_F16, FROUND_DYN, is_unsigned, IR_I32, (uint32_t)x, 0, 0)
KERNEL_UNARY(fcvt_f_xu_v_16, U16, U16, FROM_INTEGER(1))
KERNEL_UNARY(fcvt_f_x_v_16, U16, S16, FROM_INTEGER(0))
KERNEL_UNARY(fwcvt_f_xu_v_8, U16, U8, FROM_INTEGER(1))
KERNEL_UNARY(fwcvt_f_x_v_8, U16, S8, FROM_INTEGER(0))
KERNEL_UNARY(fncvt_f_xu_w_16, U16, U32, FROM_INTEGER(1))
KERNEL_UNARY(fncvt_f_x_w_16, U16, S32, FROM_INTEGER(0))
KERNEL_UNARY(fwcvt_f_f_v_16, U32, U16, widen(e, x, SOFT_F16))
KERNEL_UNARY(fwcvtbf16_f_f_v_16, U32, U16, widen(e, x, SOFT_BF16))
KERNEL_UNARY(fncvt_f_f_w_16, U16, U32, SOFT3(OP_fcvt, SOFT_F16, FROUND_DYN, 0, IR_F32, x, 0, 0))
KERNEL_UNARY(fncvtbf16_f_f_w_16, U16, U32, SOFT3(OP_fcvt, SOFT_BF16, FROUND_DYN, 0, IR_F32, x, 0, 0))

/* Round to odd: towards zero, with the last bit set if anything was lost. */
static inline uint16_t to_odd(KernelEnv *e, uint32_t v)
{
    uint8_t before = e->cs->fp_flags;
    e->cs->fp_flags = 0;
    uint16_t r = SOFT3(OP_fcvt, SOFT_F16, FROUND_RTZ, 0, IR_F32, v, 0, 0);
    r |= e->cs->fp_flags & IR_FP_NX ? 1 : 0;
    e->cs->fp_flags |= before;
    return r;
}
KERNEL_UNARY(fncvt_rod_f_f_w_16, U16, U32, to_odd(e, x))

/* clang-format off */
#define K4 NO_KERNELS
#define K3 NO_KERNELS
#define KX2 NO_KERNELS
#define KX4 NO_KERNELS
#define KX8 NO_KERNELS
#define KB NO_KERNELS
#define KB3 NO_KERNELS
#define KC NO_KERNELS
#define KF(name) { NULL, name##_16 }
#define KW KF
#define KH KF
#define KI(name) { name##_8 }
/* clang-format on */
const VectorKernels KERNELS = {
#define V(name, forms, kernels, flags) kernels(name),
    VECTOR_ELEMENTWISE(V)
#undef V
};
