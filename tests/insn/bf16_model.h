/*
 * Bfloat16 for the instruction tests: the upper half of a single, converted by hand (BF16 extensions 1.0).
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_INSN_BF16_MODEL_H
#define TESTS_INSN_BF16_MODEL_H

#include <stdbool.h>
#include <stdint.h>

enum { BF16_NX = 1, BF16_UF = 2, BF16_OF = 4, BF16_NV = 16 };

static inline uint32_t bf16_to_single(uint16_t v, unsigned *flags)
{
    bool nan = (v & 0x7fff) > 0x7f80;
    *flags |= nan && !(v & 0x40) ? BF16_NV : 0;
    return nan ? 0x7fc00000 : (uint32_t)v << 16;
}

/* Does a magnitude whose lowest n bits go round up? rm as in frm. */
static inline bool bf16_goes_up(uint32_t v, unsigned n, bool negative, unsigned rm)
{
    uint32_t rest = v & ((1u << n) - 1), middle = 1u << (n - 1);
    switch (rm) {
    case 0:
        return rest > middle || (rest == middle && (v >> n & 1));
    case 1:
        return false;
    case 2:
        return rest && negative;
    case 3:
        return rest && !negative;
    default:
        return rest >= middle;
    }
}

static inline uint16_t bf16_from_single(uint32_t v, unsigned rm, unsigned *flags)
{
    uint32_t magnitude = v & 0x7fffffff;
    bool negative = v >> 31;
    if (magnitude > 0x7f800000) {
        *flags |= v & 0x400000 ? 0 : BF16_NV;
        return 0x7fc0;
    }
    uint32_t result = (magnitude >> 16) + bf16_goes_up(magnitude, 16, negative, rm);
    /* tiny: below the least normal number even if rounded with an unbounded exponent */
    bool normal = magnitude + (bf16_goes_up(magnitude, 15, negative, rm) ? 0x8000 : 0) >= 0x800000;
    if (magnitude & 0xffff)
        *flags |= BF16_NX | (result == 0x7f80 ? BF16_OF : 0) | (normal ? 0 : BF16_UF);
    return result | negative << 15;
}

#endif
