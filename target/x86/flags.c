/*
 * x86 flags: what the last arithmetic instruction left, worked out when wanted (SDM volume 1, section 3.4.3; volume 2,
 * the instructions' own pages). Where the manual leaves a flag undefined, it is what current processors give.
 *
 *   kind    cc_result            cc_source
 *   EFLAGS  the six flags        -
 *   ADD     result               second operand
 *   ADC     result               carries out of each bit
 *   SUB     first operand        second operand (so that cmp and a branch are one comparison)
 *   SBB     result               borrows out of each bit
 *   LOGIC   result               -
 *   INC DEC result               CF as before
 *   SHL     result               operand before the last step: CF is its top bit
 *   SAR     result               likewise, CF is its low bit (shr, too)
 *   MUL     low half             not 0 if the high half counts
 *   BMI     result               operand: CF is whether it is 0
 *
 * Instructions that change CF, or CF and OF, alone put them into cc_op (CC_CF_SET, CC_OF_SET), so that the others need
 * not be worked out.
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/cpu.h"
#include "target/x86/translate.h"

static uint32_t sign_zero_parity(uint64_t result, unsigned top)
{
    return (result >> top & 1 ? FLAG_SF : 0) | (result << (63 - top) ? 0 : FLAG_ZF) |
           (__builtin_parity((uint8_t)result) ? 0 : FLAG_PF);
}

/* CF, OF and AF from the carries (or borrows) out of each bit. */
static uint32_t from_carries(uint64_t carries, unsigned top)
{
    uint64_t pair = carries >> (top - 1);
    return (pair & 2 ? FLAG_CF : 0) | ((pair ^ pair >> 1) & 1 ? FLAG_OF : 0) | (carries & 8 ? FLAG_AF : 0);
}

static uint32_t flags_of_kind(uint32_t cc_op, uint64_t result, uint64_t source)
{
    unsigned top = (8u << (cc_op & 3)) - 1;
    uint64_t a, r;
    switch (cc_op >> 2) {
    case CC_ADD:
        a = result - source;
        return sign_zero_parity(result, top) | from_carries((a & source) | ((a | source) & ~result), top);
    case CC_ADC:
    case CC_SBB:
        return sign_zero_parity(result, top) | from_carries(source, top);
    case CC_SUB:
        r = result - source;
        return sign_zero_parity(r, top) | from_carries((~result & source) | ((~result | source) & r), top);
    case CC_LOGIC:
        return sign_zero_parity(result, top);
    case CC_INC:
        return sign_zero_parity(result, top) | (source & 1 ? FLAG_CF : 0) | (result & 15 ? 0 : FLAG_AF) |
               (result << (63 - top) == 1ull << 63 ? FLAG_OF : 0);
    case CC_DEC:
        return sign_zero_parity(result, top) | (source & 1 ? FLAG_CF : 0) | ((result & 15) == 15 ? FLAG_AF : 0) |
               (result << (63 - top) == (UINT64_MAX >> 1 & ~((1ull << (63 - top)) - 1)) ? FLAG_OF : 0);
    case CC_SHL:
        return sign_zero_parity(result, top) | (source >> top & 1 ? FLAG_CF : 0) |
               ((result ^ source) >> top & 1 ? FLAG_OF : 0);
    case CC_SAR:
        return sign_zero_parity(result, top) | (source & 1 ? FLAG_CF : 0) |
               ((result ^ source) >> top & 1 ? FLAG_OF : 0);
    case CC_MUL:
        return sign_zero_parity(result, top) | (source ? FLAG_CF | FLAG_OF : 0);
    case CC_BMI:
        return (sign_zero_parity(result, top) & ~FLAG_PF) | (source << (63 - top) ? 0 : FLAG_CF);
    default:
        return (uint32_t)result & FLAGS_ARITHMETIC;
    }
}

uint32_t x86_flags_of(uint32_t cc_op, uint64_t result, uint64_t source)
{
    uint32_t flags = flags_of_kind(cc_op & CC_KIND_MASK, result, source);
    if (cc_op & CC_CF_SET)
        flags = (flags & ~(uint32_t)FLAG_CF) | (cc_op >> CC_CF_SHIFT & 1 ? FLAG_CF : 0);
    if (cc_op & CC_OF_SET)
        flags = (flags & ~(uint32_t)FLAG_OF) | (cc_op >> CC_OF_SHIFT & 1 ? FLAG_OF : 0);
    return flags;
}

uint32_t x86_eflags(X86State *s)
{
    return s->eflags | FLAG_1 | x86_flags_of(s->cc_op, s->cc_result, s->cc_source);
}

void x86_put_eflags(X86State *s, uint32_t value, uint32_t mask)
{
    uint32_t flags = (x86_eflags(s) & ~mask) | (value & mask);
    s->cc_op = CC_EFLAGS << 2;
    s->cc_result = flags & FLAGS_ARITHMETIC;
    s->eflags = flags & ~(uint32_t)FLAGS_ARITHMETIC;
}

void x86_set_eflags(X86State *s, uint32_t value, uint32_t mask)
{
    x86_put_eflags(s, value, mask);
    x86_mode_changed(s);
}
