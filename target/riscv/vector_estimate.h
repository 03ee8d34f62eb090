/*
 * RISC-V vectors: vfclass, vfrec7 and vfrsqrt7 of floating-point numbers of 16, 32 and 64 bits, for the kernels
 * (unprivileged ISA 20240411, sections 31.13.9, 31.13.10 and 31.13.14).
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_RISCV_VECTOR_ESTIMATE_H
#define TARGET_RISCV_VECTOR_ESTIMATE_H

#include "target/riscv/vector.h"

static inline unsigned fraction_bits_of(unsigned width)
{
    return width == 16 ? 10 : width == 32 ? 23 : 52;
}

static inline unsigned classify(uint64_t v, unsigned width)
{
    unsigned fraction_bits = fraction_bits_of(width);
    uint64_t fraction = v & ((1ull << fraction_bits) - 1), top = (1ull << (width - 1 - fraction_bits)) - 1;
    uint64_t exponent = v >> fraction_bits & top;
    if (exponent == top && fraction)
        return fraction >> (fraction_bits - 1) ? 1 << 9 : 1 << 8;
    unsigned kind = exponent == top ? 0 : exponent ? 1 : fraction ? 2 : 3; /* infinite, normal, subnormal, zero */
    return 1u << (v >> (width - 1) & 1 ? kind : 7 - kind);
}

/* ---- estimates to seven bits (sections 31.13.9 and 31.13.10) ---- */

/* Of numbers 1 .. 2 in steps of 1/128, the reciprocal; of 1/4 .. 1 in uneven ones, the reciprocal of the root. The
 * tables hold what follows the leading 1: rounded at the middle of each step. */
static inline uint8_t reciprocal(unsigned i)
{
    return (2 * 256 * 256 + 257 + 2 * i) / (2 * (257 + 2 * i)) - 128; /* round(256 / (1 + (i + 1/2) / 128)) - 128 */
}
static const uint8_t root_table[128] = {
    52,  51,  50,  48,  47,  46,  44,  43,  42,  41,  40,  39,  38,  36,  35,  34, 33, 32, 31, 30, 30,  29,
    28,  27,  26,  25,  24,  23,  23,  22,  21,  20,  19,  19,  18,  17,  16,  16, 15, 14, 14, 13, 12,  12,
    11,  10,  10,  9,   9,   8,   7,   7,   6,   6,   5,   4,   4,   3,   3,   2,  2,  1,  1,  0,  127, 125,
    123, 121, 119, 118, 116, 114, 113, 111, 109, 108, 106, 105, 103, 102, 100, 99, 97, 96, 95, 93, 92,  91,
    90,  88,  87,  86,  85,  84,  83,  82,  80,  79,  78,  77,  76,  75,  74,  73, 72, 71, 70, 70, 69,  68,
    67,  66,  65,  64,  63,  63,  62,  61,  60,  59,  59,  58,  57,  56,  56,  55, 54, 53
};

typedef struct Parts {
    uint64_t fraction, sign, infinity, nan;
    int exponent, bits, bias; /* bits: of the fraction */
} Parts;

static inline Parts parts_of(uint64_t v, unsigned width)
{
    unsigned bits = fraction_bits_of(width);
    Parts p = { .bits = bits, .bias = (1 << (width - bits - 2)) - 1 };
    p.infinity = (2 * p.bias + 1ull) << bits;
    p.nan = p.infinity | 1ull << (bits - 1);
    p.fraction = v & ((1ull << bits) - 1);
    p.exponent = v >> bits & (2 * p.bias + 1);
    p.sign = v & 1ull << (width - 1);
    return p;
}

/* A subnormal with its leading one shifted out: exponents below 1. */
static inline void normalise(Parts *p)
{
    if (p->exponent)
        return;
    int shift = p->bits - (63 - __builtin_clzll(p->fraction));
    p->fraction = p->fraction << shift & ((1ull << p->bits) - 1);
    p->exponent = 1 - shift;
}

static inline uint64_t estimate_root(uint64_t v, unsigned width, KernelEnv *e)
{
    Parts p = parts_of(v, width);
    unsigned class = classify(v, width);
    if (class & 0x107) { /* signalling NaN, negative numbers */
        e->flags |= IR_FP_NV;
        return p.nan;
    }
    if (class & 0x18) { /* zeros */
        e->flags |= IR_FP_DZ;
        return p.infinity | p.sign;
    }
    if (class == 1 << 9)
        return p.nan;
    if (class == 1 << 7)
        return 0;
    normalise(&p);
    unsigned index = (p.exponent & 1) << 6 | p.fraction >> (p.bits - 6);
    uint64_t exponent = (3 * p.bias - 1 - p.exponent) / 2;
    return exponent << p.bits | (uint64_t)root_table[index] << (p.bits - 7);
}

static inline uint64_t estimate_reciprocal(uint64_t v, unsigned width, KernelEnv *e)
{
    Parts p = parts_of(v, width);
    unsigned class = classify(v, width), round = e->cs->fp_round;
    if (class & 0x300) {
        e->flags |= class == 1 << 8 ? IR_FP_NV : 0;
        return p.nan;
    }
    if (class & 0x81)
        return p.sign;
    if (class & 0x18) {
        e->flags |= IR_FP_DZ;
        return p.infinity | p.sign;
    }
    normalise(&p);
    if (p.exponent < -1) { /* too small: the reciprocal overflows */
        bool infinite = round == FROUND_RNE || round == FROUND_RMM || round == (p.sign ? FROUND_RDN : FROUND_RUP);
        e->flags |= IR_FP_OF | IR_FP_NX;
        return (p.infinity - !infinite) | p.sign;
    }
    int exponent = 2 * p.bias - 1 - p.exponent;
    uint64_t fraction = (uint64_t)reciprocal(p.fraction >> (p.bits - 7)) << (p.bits - 7);
    if (exponent < 1) { /* the result is subnormal: 0 or -1 */
        fraction = (fraction | 1ull << p.bits) >> (1 - exponent);
        exponent = 0;
    }
    return p.sign | (uint64_t)exponent << p.bits | fraction;
}

#endif
