/*
 * RISC-V vectors: kernels of integer and fixed-point operations (unprivileged ISA 20240411, sections 31.11 and 31.12).
 * KERNELS names the table: this file is compiled once for each level of the host.
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/vector_kernels.h"

/* M(bits, twice as many) for all SEW, and for those that can be widened. */
#define EACH3(M, ...) M(8, 16, __VA_ARGS__) M(16, 32, __VA_ARGS__) M(32, 64, __VA_ARGS__)
#define EACH4(M, ...) EACH3(M, __VA_ARGS__) M(64, 128, __VA_ARGS__)

#define SAME_U(bits, wide, name, expression) KERNEL(name##_##bits, U##bits, U##bits, U##bits, expression)
#define SAME_S(bits, wide, name, expression) KERNEL(name##_##bits, S##bits, S##bits, S##bits, expression)
EACH4(SAME_U, add, x + y)
EACH4(SAME_U, sub, x - y)
EACH4(SAME_U, rsub, y - x)
EACH4(SAME_U, minu, x < y ? x : y)
EACH4(SAME_S, min, x < y ? x : y)
EACH4(SAME_U, maxu, x > y ? x : y)
EACH4(SAME_S, max, x > y ? x : y)
EACH4(SAME_U, and, x &y)
EACH4(SAME_U, or, x | y)
EACH4(SAME_U, xor, x ^ y)
EACH4(SAME_U, mv_v, y)
#define SHIFT_MASK(v) (8 * sizeof(v) - 1)
EACH4(SAME_U, sll, x << (y & SHIFT_MASK(x)))
EACH4(SAME_U, srl, x >> (y & SHIFT_MASK(x)))
EACH4(SAME_S, sra, x >> (y & SHIFT_MASK(x)))

#define MULTIPLY(bits, wide, name)                                                               \
    SAME_U(bits, wide, mul, (U##wide)x *y)                                                       \
    SAME_S(bits, wide, mulh, (S##wide)x *y >> bits)                                              \
    SAME_U(bits, wide, mulhu, (U##wide)x *y >> bits)                                             \
    KERNEL(mulhsu_##bits, S##bits, S##bits, U##bits, (S##wide)((S##wide)x * (S##wide)y) >> bits) \
    KERNEL_OLD(macc_##bits, U##bits, U##bits, U##bits, (U##wide)x *y + z)                        \
    KERNEL_OLD(nmsac_##bits, U##bits, U##bits, U##bits, z - (U##wide)x * y)                      \
    KERNEL_OLD(madd_##bits, U##bits, U##bits, U##bits, (U##wide)z *y + x)                        \
    KERNEL_OLD(nmsub_##bits, U##bits, U##bits, U##bits, x - (U##wide)z * y)
EACH4(MULTIPLY, )

EACH4(SAME_U, divu, y ? x / y : (__typeof__(x))-1)
EACH4(SAME_U, remu, y ? x % y : x)
#define SIGNED_DIVISION(bits, wide, name)                                          \
    SAME_S(bits, wide, div, !y ? -1 : y == -1 ? (S##bits)(0 - (U##bits)x) : x / y) \
    SAME_S(bits, wide, rem, !y ? x : y == -1 ? 0 : x % y)
EACH4(SIGNED_DIVISION, )

/* ---- comparisons, carries ---- */
#define COMPARE_U(bits, wide, name, expression) KERNEL(name##_##bits, uint8_t, U##bits, U##bits, expression)
#define COMPARE_S(bits, wide, name, expression) KERNEL(name##_##bits, uint8_t, S##bits, S##bits, expression)
EACH4(COMPARE_U, mseq, x == y)
EACH4(COMPARE_U, msne, x != y)
EACH4(COMPARE_U, msltu, x < y)
EACH4(COMPARE_S, mslt, x < y)
EACH4(COMPARE_U, msleu, x <= y)
EACH4(COMPARE_S, msle, x <= y)
EACH4(COMPARE_U, msgtu, x > y)
EACH4(COMPARE_S, msgt, x > y)
EACH4(SAME_U, adc, x + y + e->carry[i])
EACH4(SAME_U, sbc, x - y - e->carry[i])
EACH4(SAME_U, merge, e->carry[i] ? y : x)
#define CARRY_OUT(bits, wide, name)                                                                         \
    COMPARE_U(bits, wide, madc, (U##bits)(x + y) < x || (e->carry[i] && (U##bits)(x + y) == (U##bits) - 1)) \
    COMPARE_U(bits, wide, msbc, x < y || (e->carry[i] && x == y))
EACH4(CARRY_OUT, )

/* ---- widening and narrowing ---- */
#define WIDENING(bits, wide, name)                                                                \
    KERNEL(waddu_##bits, U##wide, U##bits, U##bits, (U##wide)x + y)                               \
    KERNEL(wadd_##bits, S##wide, S##bits, S##bits, (S##wide)x + y)                                \
    KERNEL(wsubu_##bits, U##wide, U##bits, U##bits, (U##wide)x - y)                               \
    KERNEL(wsub_##bits, S##wide, S##bits, S##bits, (S##wide)x - y)                                \
    KERNEL(waddu_w_##bits, U##wide, U##wide, U##bits, x + y)                                      \
    KERNEL(wadd_w_##bits, U##wide, U##wide, S##bits, x + (U##wide)(S##wide)y)                     \
    KERNEL(wsubu_w_##bits, U##wide, U##wide, U##bits, x - y)                                      \
    KERNEL(wsub_w_##bits, U##wide, U##wide, S##bits, x - (U##wide)(S##wide)y)                     \
    KERNEL(wmulu_##bits, U##wide, U##bits, U##bits, (U##wide)x *y)                                \
    KERNEL(wmul_##bits, S##wide, S##bits, S##bits, (S##wide)x *y)                                 \
    KERNEL(wmulsu_##bits, S##wide, S##bits, U##bits, (S##wide)x *(S##wide)y)                      \
    KERNEL_OLD(wmaccu_##bits, U##wide, U##bits, U##bits, z + (U##wide)x * y)                      \
    KERNEL_OLD(wmacc_##bits, U##wide, S##bits, S##bits, z + (U##wide)((S##wide)x * y))            \
    KERNEL_OLD(wmaccsu_##bits, U##wide, U##bits, S##bits, z + (U##wide)((S##wide)x * (S##wide)y)) \
    KERNEL_OLD(wmaccus_##bits, U##wide, S##bits, U##bits, z + (U##wide)((S##wide)x * (S##wide)y)) \
    KERNEL(nsrl_##bits, U##bits, U##wide, U##bits, x >> (y & (wide - 1)))                         \
    KERNEL(nsra_##bits, S##bits, S##wide, U##bits, x >> (y & (wide - 1)))
EACH3(WIDENING, )
#define EXTEND(to, from, factor)                            \
    KERNEL_UNARY(zext_vf##factor##_##to, U##to, U##from, x) \
    KERNEL_UNARY(sext_vf##factor##_##to, S##to, S##from, x)
EXTEND(16, 8, 2)
EXTEND(32, 16, 2)
EXTEND(64, 32, 2)
EXTEND(32, 8, 4)
EXTEND(64, 16, 4)
EXTEND(64, 8, 8)

/* ---- fixed point ---- */

/* What is added to v >> shift (section 31.3.8). */
static inline unsigned increment(U128 v, unsigned shift, unsigned vxrm)
{
    if (!shift)
        return 0;
    unsigned last = v >> (shift - 1) & 1, odd = v >> shift & 1;
    bool below = v & (((U128)1 << (shift - 1)) - 1);
    switch (vxrm) {
    case 0:
        return last;
    case 1:
        return last && (below || odd);
    case 2:
        return 0;
    default:
        return !odd && (last || below);
    }
}
#define ROUND_U(bits, v, shift) ((U##bits)((U##bits)(v) >> (shift)) + increment(v, shift, e->vxrm))
#define ROUND_S(bits, v, shift) ((S##bits)((S##bits)(v) >> (shift)) + (S##bits)increment((U##bits)(v), shift, e->vxrm))

/* A value cut to the range of a type; notes it. */
#define SATURATE(T, v, low, high)                            \
    ({                                                       \
        __auto_type v_ = (v);                                \
        e->saturated |= v_ < (low) || v_ > (high);           \
        (T)(v_ < (low) ? (low) : v_ > (high) ? (high) : v_); \
    })
#define MAX_U(bits) ((U##bits) - 1)
#define MAX_S(bits) ((S##bits)(MAX_U(bits) >> 1))
#define MIN_S(bits) ((S##bits)(-MAX_S(bits) - 1))

/* An average of numbers: one bit more than they have. */
static inline unsigned average_increment(unsigned low, unsigned vxrm)
{
    static const uint8_t table[4][4] = { { 0, 1, 0, 1 }, { 0, 0, 0, 1 }, { 0, 0, 0, 0 }, { 0, 1, 0, 0 } };
    return table[vxrm][low & 3];
}
#define FIXED(bits, wide, name)                                  \
    SAME_U(bits, wide, saddu, ({                                 \
               U##bits r = x + y;                                \
               e->saturated |= r < x;                            \
               r < x ? MAX_U(bits) : r;                          \
           }))                                                   \
    SAME_U(bits, wide, ssubu, ({                                 \
               e->saturated |= x < y;                            \
               x < y ? 0 : x - y;                                \
           }))                                                   \
    SAME_S(bits, wide, sadd, ({                                  \
               S##bits r;                                        \
               bool o = __builtin_add_overflow(x, y, &r);        \
               e->saturated |= o;                                \
               o ? x < 0 ? MIN_S(bits) : MAX_S(bits) : r;        \
           }))                                                   \
    SAME_S(bits, wide, ssub, ({                                  \
               S##bits r;                                        \
               bool o = __builtin_sub_overflow(x, y, &r);        \
               e->saturated |= o;                                \
               o ? x < 0 ? MIN_S(bits) : MAX_S(bits) : r;        \
           }))                                                   \
    SAME_U(bits, wide, aaddu, ({                                 \
               U##wide t = (U##wide)x + y;                       \
               (t >> 1) + average_increment(t, e->vxrm);         \
           }))                                                   \
    SAME_S(bits, wide, aadd, ({                                  \
               S##wide t = (S##wide)x + y;                       \
               (t >> 1) + average_increment(t, e->vxrm);         \
           }))                                                   \
    SAME_U(bits, wide, asubu, ({                                 \
               U##wide t = (U##wide)x - y;                       \
               (t >> 1) + average_increment(t, e->vxrm);         \
           }))                                                   \
    SAME_S(bits, wide, asub, ({                                  \
               S##wide t = (S##wide)x - y;                       \
               (t >> 1) + average_increment(t, e->vxrm);         \
           }))                                                   \
    SAME_S(bits, wide, smul, ({                                  \
               S##wide t = (S##wide)x * y;                       \
               S##wide r = ROUND_S(wide, t, bits - 1);           \
               SATURATE(S##bits, r, MIN_S(bits), MAX_S(bits));   \
           }))                                                   \
    SAME_U(bits, wide, ssrl, ROUND_U(bits, x, y &SHIFT_MASK(x))) \
    SAME_S(bits, wide, ssra, ROUND_S(bits, x, y &SHIFT_MASK(x)))
EACH4(FIXED, )
#define CLIP(bits, wide, name)                                 \
    KERNEL(nclipu_##bits, U##bits, U##wide, U##bits, ({        \
               U##wide r = ROUND_U(wide, x, y & (wide - 1));   \
               e->saturated |= r > MAX_U(bits);                \
               r > MAX_U(bits) ? MAX_U(bits) : r;              \
           }))                                                 \
    KERNEL(nclip_##bits, S##bits, S##wide, S##bits, ({         \
               S##wide r = ROUND_S(wide, x, y & (wide - 1));   \
               SATURATE(S##bits, r, MIN_S(bits), MAX_S(bits)); \
           }))
EACH3(CLIP, )

#define K4(name)                                  \
    {                                             \
        name##_8, name##_16, name##_32, name##_64 \
    }
#define K3(name)                       \
    {                                  \
        name##_8, name##_16, name##_32 \
    }
#define KX2(name)                             \
    {                                         \
        NULL, name##_16, name##_32, name##_64 \
    }
#define KX4(name)                        \
    {                                    \
        NULL, NULL, name##_32, name##_64 \
    }
#define KX8(name)                   \
    {                               \
        NULL, NULL, NULL, name##_64 \
    }
#define KF NO_KERNELS
#define KW NO_KERNELS
#define KI NO_KERNELS
#define KB NO_KERNELS
#define KB3 NO_KERNELS
#define KC NO_KERNELS
#define KH NO_KERNELS
const VectorKernels KERNELS = {
#define V(name, forms, kernels, flags) kernels(name),
    VECTOR_ELEMENTWISE(V)
#undef V
};
