/*
 * RISC-V vectors: kernels of floating-point operations (unprivileged ISA 20240411, section 31.13).
 *
 * Arithmetic is the host's: the guest's rounding mode is in MXCSR and flags accrue there; a second loop makes NaN
 * results canonical. Everything that is not arithmetic is integer arithmetic on bit patterns, so that it neither raises
 * what it should not nor depends on how the compiler compares. Round to nearest with ties away, and conversions that
 * are not exact, go to tcg/softfloat.c.
 * KERNELS names the table: this file is compiled once for each level of the host.
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/vector_estimate.h"
#include "target/riscv/vector_kernels.h"
#include "tcg/softfloat.h"
#include <emmintrin.h>

typedef float F32;
typedef double F64;

#define SIGN32   0x80000000u
#define SIGN64   (1ull << 63)
#define INF32    0x7f800000u
#define INF64    0x7ff0000000000000ull
#define QUIET32  0x00400000u
#define QUIET64  (1ull << 51)
#define NAN32    0x7fc00000u
#define NAN64    0x7ff8000000000000ull
#define ONE32    0x3f800000u
#define IR_OF32  IR_F32
#define IR_OF64  IR_F64
#define INT_OF32 IR_I32
#define INT_OF64 IR_I64

#define BOTH(M, ...)           M(32, __VA_ARGS__) M(64, __VA_ARGS__)
#define IS_NAN(bits, v)        (((v) & (SIGN##bits - 1)) > INF##bits)
#define IS_SIGNALLING(bits, v) (IS_NAN(bits, v) && !((v)&QUIET##bits))

/* Make NaNs canonical; true: there were some. */
#define CANONICAL(bits, name)                                  \
    static inline bool canonical##bits(U##bits *d, unsigned n) \
    {                                                          \
        U##bits any = 0;                                       \
        for (unsigned i = 0; i < n; i++) {                     \
            bool nan = IS_NAN(bits, d[i]);                     \
            any |= nan;                                        \
            d[i] = nan ? NAN##bits : d[i];                     \
        }                                                      \
        return any;                                            \
    }
BOTH(CANONICAL, )

/* ---- arithmetic ---- */

/* s1 = x, s2 = y of the operation as soft_fp takes them */
#define ARITHMETIC(bits, name, expression, op, first, second)                                          \
    static void name##_##bits(void *d_, const void *a_, const void *b_, unsigned n, KernelEnv *e)      \
    {                                                                                                  \
        if (e->soft) {                                                                                 \
            U##bits *d = d_;                                                                           \
            const U##bits *a = a_, *b = b_;                                                            \
            for (unsigned i = 0; i < n; i++) {                                                         \
                U##bits x __attribute__((unused)) = a[i], y __attribute__((unused)) = b ? b[i] : 0;    \
                d[i] = soft_fp(e->cs, first, second, 0, SOFT_WHAT(op, IR_OF##bits, FROUND_RMM, 0, 0)); \
            }                                                                                          \
            return;                                                                                    \
        }                                                                                              \
        F##bits *d = d_;                                                                               \
        const F##bits *a = a_, *b __attribute__((unused)) = b_;                                        \
        IVDEP for (unsigned i = 0; i < n; i++) d[i] = expression;                                      \
        canonical##bits(d_, n);                                                                        \
    }
BOTH(ARITHMETIC, fadd, a[i] + b[i], OP_fadd, x, y)
BOTH(ARITHMETIC, fsub, a[i] - b[i], OP_fsub, x, y)
BOTH(ARITHMETIC, frsub, b[i] - a[i], OP_fsub, y, x)
BOTH(ARITHMETIC, fmul, a[i] * b[i], OP_fmul, x, y)
BOTH(ARITHMETIC, fdiv, a[i] / b[i], OP_fdiv, x, y)
BOTH(ARITHMETIC, frdiv, b[i] / a[i], OP_fdiv, y, x)
ARITHMETIC(32, fsqrt_v, __builtin_sqrtf(a[i]), OP_fsqrt, x, 0)
ARITHMETIC(64, fsqrt_v, __builtin_sqrt(a[i]), OP_fsqrt, x, 0)

static inline uint64_t soft_widen(KernelEnv *e, uint32_t v)
{
    return soft_fp(e->cs, v, 0, 0, SOFT_WHAT(OP_fcvt, IR_F64, FROUND_RNE, 0, IR_F32));
}
/* Widening: exact to double, then once rounded. A is the type of vs2. */
#define WIDENING(name, A, expression, op, widen_x)                                                                     \
    static void name##_32(void *d_, const void *a_, const void *b_, unsigned n, KernelEnv *e)                          \
    {                                                                                                                  \
        if (e->soft) {                                                                                                 \
            U64 *d = d_;                                                                                               \
            const U##A *a = a_;                                                                                        \
            const U32 *b = b_;                                                                                         \
            for (unsigned i = 0; i < n; i++)                                                                           \
                d[i] =                                                                                                 \
                    soft_fp(e->cs, widen_x(e, a[i]), soft_widen(e, b[i]), 0, SOFT_WHAT(op, IR_F64, FROUND_RMM, 0, 0)); \
            return;                                                                                                    \
        }                                                                                                              \
        F64 *d = d_;                                                                                                   \
        const F##A *a = a_;                                                                                            \
        const F32 *b = b_;                                                                                             \
        IVDEP for (unsigned i = 0; i < n; i++) d[i] = expression;                                                      \
        canonical64(d_, n);                                                                                            \
    }
#define AS_IT_IS(e, v) v
WIDENING(fwadd, 32, (F64)a[i] + (F64)b[i], OP_fadd, soft_widen)
WIDENING(fwsub, 32, (F64)a[i] - (F64)b[i], OP_fsub, soft_widen)
WIDENING(fwmul, 32, (F64)a[i] * (F64)b[i], OP_fmul, soft_widen)
WIDENING(fwadd_w, 64, a[i] + (F64)b[i], OP_fadd, AS_IT_IS)
WIDENING(fwsub_w, 64, a[i] - (F64)b[i], OP_fsub, AS_IT_IS)

#ifdef __FMA__
#define HOST_FMA true
#else
#define HOST_FMA false
#endif
#define FMA32 __builtin_fmaf
#define FMA64 __builtin_fma

/* +-(m * y) +- addend, m and addend being vs2 and vd or the other way round. The host does not call infinity * 0 +
 * quiet NaN invalid. */
#define FUSED(bits, name, m, addend, product_sign, addend_sign)                                                  \
    static void name##_##bits(void *d_, const void *a_, const void *b_, unsigned n, KernelEnv *e)                \
    {                                                                                                            \
        const U##bits *x = a_, *y = b_, *z = e->old;                                                             \
        U##bits *d = d_, undefined = 0;                                                                          \
        if (e->soft || !HOST_FMA) {                                                                              \
            uint32_t what = SOFT_WHAT(                                                                           \
                OP_fma, IR_OF##bits, FROUND_DYN,                                                                 \
                (product_sign 1 < 0 ? IR_FMA_NEG_PRODUCT : 0) | (addend_sign 1 < 0 ? IR_FMA_NEG_ADDEND : 0), 0); \
            for (unsigned i = 0; i < n; i++)                                                                     \
                d[i] = soft_fp(e->cs, m[i], y[i], addend[i], what);                                              \
            return;                                                                                              \
        }                                                                                                        \
        for (unsigned i = 0; i < n; i++) {                                                                       \
            U##bits p = m[i] & (SIGN##bits - 1), q = y[i] & (SIGN##bits - 1);                                    \
            undefined |= (p == INF##bits && q == 0) | (p == 0 && q == INF##bits);                                \
        }                                                                                                        \
        if (undefined)                                                                                           \
            e->flags |= IR_FP_NV;                                                                                \
        const F##bits *fx = a_, *fy = b_, *fz = e->old;                                                          \
        F##bits *fd = d_;                                                                                        \
        IVDEP for (unsigned i = 0; i < n; i++) fd[i] =                                                           \
            FMA##bits(product_sign f##m[i], fy[i], addend_sign f##addend[i]);                                    \
        canonical##bits(d_, n);                                                                                  \
    }
BOTH(FUSED, fmacc, x, z, +, +)
BOTH(FUSED, fnmacc, x, z, -, -)
BOTH(FUSED, fmsac, x, z, +, -)
BOTH(FUSED, fnmsac, x, z, -, +)
BOTH(FUSED, fmadd, z, x, +, +)
BOTH(FUSED, fnmadd, z, x, -, -)
BOTH(FUSED, fmsub, z, x, +, -)
BOTH(FUSED, fnmsub, z, x, -, +)

/* The product of singles is exact in double. */
#define WIDE_FUSED(name, product_sign, addend_sign)                                                              \
    static void name##_32(void *d_, const void *a_, const void *b_, unsigned n, KernelEnv *e)                    \
    {                                                                                                            \
        if (e->soft) {                                                                                           \
            uint32_t what = SOFT_WHAT(                                                                           \
                OP_fma, IR_F64, FROUND_RMM,                                                                      \
                (product_sign 1 < 0 ? IR_FMA_NEG_PRODUCT : 0) | (addend_sign 1 < 0 ? IR_FMA_NEG_ADDEND : 0), 0); \
            const U32 *a = a_, *b = b_;                                                                          \
            const U64 *z = e->old;                                                                               \
            U64 *d = d_;                                                                                         \
            for (unsigned i = 0; i < n; i++)                                                                     \
                d[i] = soft_fp(e->cs, soft_widen(e, a[i]), soft_widen(e, b[i]), z[i], what);                     \
            return;                                                                                              \
        }                                                                                                        \
        const F32 *a = a_, *b = b_;                                                                              \
        const F64 *z = e->old;                                                                                   \
        F64 *d = d_;                                                                                             \
        IVDEP for (unsigned i = 0; i < n; i++) d[i] = product_sign((F64)a[i] * (F64)b[i]) addend_sign z[i];      \
        canonical64(d_, n);                                                                                      \
    }
WIDE_FUSED(fwmacc, +, +)
WIDE_FUSED(fwnmacc, -, -)
WIDE_FUSED(fwmsac, +, -)
WIDE_FUSED(fwnmsac, -, +)

/* ---- bit patterns ---- */

/* A number whose signed order is that of the values; -0 below +0. */
#define ORDER(bits, v) ((S##bits)((v) ^ ((U##bits)((S##bits)(v) >> (bits - 1)) >> 1)))
#define MINMAX(bits, name, relation)                                                              \
    static void name##_##bits(void *d_, const void *a_, const void *b_, unsigned n, KernelEnv *e) \
    {                                                                                             \
        U##bits *d = d_, signalling = 0;                                                          \
        const U##bits *a = a_, *b = b_;                                                           \
        IVDEP for (unsigned i = 0; i < n; i++)                                                    \
        {                                                                                         \
            U##bits x = a[i], y = b[i];                                                           \
            bool x_nan = IS_NAN(bits, x), y_nan = IS_NAN(bits, y);                                \
            U##bits r = ORDER(bits, x) relation ORDER(bits, y) ? x : y;                           \
            signalling |= (x_nan & !(x & QUIET##bits)) | (y_nan & !(y & QUIET##bits));            \
            r = x_nan ? y : r;                                                                    \
            r = y_nan ? x : r;                                                                    \
            d[i] = (x_nan & y_nan) ? NAN##bits : r;                                               \
        }                                                                                         \
        e->flags |= signalling ? IR_FP_NV : 0;                                                    \
    }
BOTH(MINMAX, fmin, <)
BOTH(MINMAX, fmax, >)

#define COMPARE(bits, name, expression, quiet)                                                              \
    static void name##_##bits(void *d_, const void *a_, const void *b_, unsigned n, KernelEnv *e)           \
    {                                                                                                       \
        uint8_t *d = d_;                                                                                    \
        U##bits invalid = 0;                                                                                \
        const U##bits *a = a_, *b = b_;                                                                     \
        IVDEP for (unsigned i = 0; i < n; i++)                                                              \
        {                                                                                                   \
            U##bits u = a[i], v = b[i];                                                                     \
            bool nan = IS_NAN(bits, u) | IS_NAN(bits, v);                                                   \
            invalid |= quiet ? IS_SIGNALLING(bits, u) | IS_SIGNALLING(bits, v) : nan;                       \
            u = u == SIGN##bits ? 0 : u;                                                                    \
            v = v == SIGN##bits ? 0 : v;                                                                    \
            S##bits x __attribute__((unused)) = ORDER(bits, u), y __attribute__((unused)) = ORDER(bits, v); \
            d[i] = expression;                                                                              \
        }                                                                                                   \
        e->flags |= invalid ? IR_FP_NV : 0;                                                                 \
    }
BOTH(COMPARE, mfeq, (x == y) & !nan, true)
BOTH(COMPARE, mfne, (x != y) | nan, true)
BOTH(COMPARE, mflt, (x < y) & !nan, false)
BOTH(COMPARE, mfle, (x <= y) & !nan, false)
BOTH(COMPARE, mfgt, (x > y) & !nan, false)
BOTH(COMPARE, mfge, (x >= y) & !nan, false)

#define PATTERNS(bits, name)                                                                \
    KERNEL(fsgnj_##bits, U##bits, U##bits, U##bits, (x & ~SIGN##bits) | (y & SIGN##bits))   \
    KERNEL(fsgnjn_##bits, U##bits, U##bits, U##bits, (x & ~SIGN##bits) | (~y & SIGN##bits)) \
    KERNEL(fsgnjx_##bits, U##bits, U##bits, U##bits, x ^ (y & SIGN##bits))                  \
    KERNEL(fmerge_##bits, U##bits, U##bits, U##bits, e->carry[i] ? y : x)                   \
    KERNEL(fmv_v_f_##bits, U##bits, U##bits, U##bits, y)
BOTH(PATTERNS, )

/* ---- estimates, classes ---- */

#define ESTIMATES(bits, name)                                                   \
    KERNEL_UNARY(fclass_v_##bits, U##bits, U##bits, classify(x, bits))          \
    KERNEL_UNARY(frsqrt7_v_##bits, U##bits, U##bits, estimate_root(x, bits, e)) \
    KERNEL_UNARY(frec7_v_##bits, U##bits, U##bits, estimate_reciprocal(x, bits, e))
BOTH(ESTIMATES, )

/* ---- conversions ---- */

#define SOFT(value, op, to, round, is_unsigned, from) \
    soft_fp(e->cs, value, 0, 0, SOFT_WHAT(op, to, round, is_unsigned, from))
/* On the host's unit if it rounds as it must. fix: make NaNs canonical */
#define CONVERT(name, D, A, host, fix, otherwise)                                        \
    static void name(void *d_, const void *a_, const void *b_, unsigned n, KernelEnv *e) \
    {                                                                                    \
        if (e->soft) {                                                                   \
            U##D *d = d_;                                                                \
            const U##A *a = a_;                                                          \
            for (unsigned i = 0; i < n; i++) {                                           \
                U##A x = a[i];                                                           \
                d[i] = otherwise;                                                        \
            }                                                                            \
            return;                                                                      \
        }                                                                                \
        F##D *d = d_;                                                                    \
        const host *a = a_;                                                              \
        IVDEP for (unsigned i = 0; i < n; i++) d[i] = (F##D)a[i];                        \
        fix;                                                                             \
    }
#define FROM_INTEGER(to, from, is_unsigned) SOFT(x, OP_fitof, IR_OF##to, FROUND_DYN, is_unsigned, INT_OF##from)
CONVERT(fcvt_f_xu_v_32, 32, 32, U32, , FROM_INTEGER(32, 32, 1))
CONVERT(fcvt_f_x_v_32, 32, 32, S32, , FROM_INTEGER(32, 32, 0))
CONVERT(fcvt_f_x_v_64, 64, 64, S64, , FROM_INTEGER(64, 64, 0))
CONVERT(fncvt_f_x_w_32, 32, 64, S64, , FROM_INTEGER(32, 64, 0))
CONVERT(fwcvt_f_f_v_32, 64, 32, F32, canonical64(d_, n), SOFT(x, OP_fcvt, IR_F64, FROUND_DYN, 0, IR_F32))
CONVERT(fncvt_f_f_w_32, 32, 64, F64, canonical32(d_, n), SOFT(x, OP_fcvt, IR_F32, FROUND_DYN, 0, IR_F64))
KERNEL_UNARY(fcvt_f_xu_v_64, U64, U64, FROM_INTEGER(64, 64, 1))
KERNEL_UNARY(fncvt_f_xu_w_32, U32, U64, FROM_INTEGER(32, 64, 1))
KERNEL_UNARY(fwcvt_f_xu_v_16, F32, U16, x) /* exact */
KERNEL_UNARY(fwcvt_f_x_v_16, F32, S16, x)
KERNEL_UNARY(fwcvt_f_xu_v_32, F64, U32, x)
KERNEL_UNARY(fwcvt_f_x_v_32, F64, S32, x)

/* To integers of D bits: on the host's unit if no element comes near what does not fit. */
#define TO_INTEGER(name, D, A, is_unsigned, limit, round, host)                          \
    static void name(void *d_, const void *a_, const void *b_, unsigned n, KernelEnv *e) \
    {                                                                                    \
        U##D *d = d_;                                                                    \
        const U##A *a = a_;                                                              \
        U##A beyond = e->soft;                                                           \
        for (unsigned i = 0; i < n; i++)                                                 \
            beyond |= (a[i] & (is_unsigned ? ~(U##A)0 : SIGN##A - 1)) >= limit;          \
        if (beyond) {                                                                    \
            for (unsigned i = 0; i < n; i++)                                             \
                d[i] = SOFT(a[i], OP_fftoi, INT_OF##D, round, is_unsigned, IR_OF##A);    \
            return;                                                                      \
        }                                                                                \
        const F##A *f = a_;                                                              \
        IVDEP for (unsigned i = 0; i < n; i++) d[i] = host(f[i]);                        \
    }
#define ROUND_S32_S32(v) _mm_cvtss_si32(_mm_set_ss(v))
#define ROUND_S32_S64(v) _mm_cvtss_si64(_mm_set_ss(v))
#define ROUND_S64_S64(v) _mm_cvtsd_si64(_mm_set_sd(v))
#define TO_INTEGERS(prefix, suffix, D, A, limit, host_dyn)                    \
    TO_INTEGER(prefix##xu_f_##suffix, D, A, 1, limit, FROUND_DYN, host_dyn)   \
    TO_INTEGER(prefix##x_f_##suffix, D, A, 0, limit, FROUND_DYN, host_dyn)    \
    TO_INTEGER(prefix##rtz_xu_f_##suffix, D, A, 1, limit, FROUND_RTZ, (S##D)) \
    TO_INTEGER(prefix##rtz_x_f_##suffix, D, A, 0, limit, FROUND_RTZ, (S##D))
TO_INTEGERS(fcvt_, v_32, 32, 32, 0x4f000000, ROUND_S32_S32)          /* 2^31 */
TO_INTEGERS(fcvt_, v_64, 64, 64, 0x43e0000000000000, ROUND_S64_S64)  /* 2^63 */
TO_INTEGERS(fwcvt_, v_32, 64, 32, 0x5f000000, ROUND_S32_S64)         /* 2^63 */
TO_INTEGERS(fncvt_, w_32, 32, 64, 0x41d0000000000000, ROUND_S64_S64) /* 2^30 */

/* Single to 16-bit integers: what does not fit is only invalid. */
static uint16_t to_short(uint32_t v, unsigned round, bool is_unsigned, KernelEnv *e)
{
    uint8_t before = e->cs->fp_flags;
    int64_t r = (int32_t)SOFT(v, OP_fftoi, IR_I32, round, 0, IR_F32);
    int64_t low = is_unsigned ? 0 : INT16_MIN, high = is_unsigned ? UINT16_MAX : INT16_MAX;
    if (r >= low && r <= high)
        return r;
    e->cs->fp_flags = before | IR_FP_NV;
    return r < low ? low : high;
}
KERNEL_UNARY(fncvt_xu_f_w_16, U16, U32, to_short(x, FROUND_DYN, true, e))
KERNEL_UNARY(fncvt_x_f_w_16, U16, U32, to_short(x, FROUND_DYN, false, e))
KERNEL_UNARY(fncvt_rtz_xu_f_w_16, U16, U32, to_short(x, FROUND_RTZ, true, e))
KERNEL_UNARY(fncvt_rtz_x_f_w_16, U16, U32, to_short(x, FROUND_RTZ, false, e))

/* Round to odd: towards zero, with the last bit set if anything was lost. */
static uint32_t to_odd(uint64_t v, KernelEnv *e)
{
    uint8_t before = e->cs->fp_flags;
    e->cs->fp_flags = 0;
    uint32_t r = SOFT(v, OP_fcvt, IR_F32, FROUND_RTZ, 0, IR_F64);
    r |= e->cs->fp_flags & IR_FP_NX ? 1 : 0;
    e->cs->fp_flags |= before;
    return r;
}
KERNEL_UNARY(fncvt_rod_f_f_w_32, U32, U64, to_odd(x, e))

#define K4 NO_KERNELS
#define K3 NO_KERNELS
#define KX2 NO_KERNELS
#define KX4 NO_KERNELS
#define KX8 NO_KERNELS
#define KF(name)                         \
    {                                    \
        NULL, NULL, name##_32, name##_64 \
    }
#define KW(name)              \
    {                         \
        NULL, NULL, name##_32 \
    }
#define KI(name)                   \
    {                              \
        NULL, name##_16, name##_32 \
    }
#define KB NO_KERNELS
#define KB3 NO_KERNELS
#define KC NO_KERNELS
#define KH NO_KERNELS
const VectorKernels KERNELS = {
#define V(name, forms, kernels, flags) kernels(name),
    VECTOR_ELEMENTWISE(V)
#undef V
};
