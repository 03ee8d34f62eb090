/*
 * x86: vector instructions that are helpers, and the state that serves them (see simd.c).
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_X86_SIMD_H
#define TARGET_X86_SIMD_H

#include "tcg/ir.h"

typedef struct X86State X86State;

/* Operands of instructions that are helpers. */
typedef struct X86SimdScratch {
    IrVector in[3], out;
} X86SimdScratch;

enum {
    SIMD_MASKED_STORE_BYTES,
    SIMD_MASKED_STORE_MMX,
    SIMD_MASKED_MOVE,
    SIMD_GATHER,
    SIMD_COMPARE_STRINGS,
    SIMD_EXTRACT_BITS,
    SIMD_INSERT_BITS,
    SIMD_SHA,
};
/* Besides, from bit 8 on: */
enum {
    SIMD_VEX = 1,
    SIMD_W = 2,
    SIMD_REGISTER = 4,
    SIMD_SHORT_ADDRESS = 8, /* 32 bits, of a gather's elements */
    SIMD_SCALE = 4,         /* two bits from here */
    SIMD_SEGMENT = 6        /* three bits from here */
};

typedef struct SimdOperands {
    uint8_t reg, rm, vvvv, index, bytes, imm, imm2, opcode;
} SimdOperands;
_Static_assert(sizeof(SimdOperands) == 8, "fits a helper's argument");

/* May these bytes, which are less than a page, be written? False: raised. */
bool x86_check_write(X86State *s, uint64_t va, unsigned bytes);
/* HELPER_SIMD: what and flags, offset in the segment, SimdOperands. */
uint64_t x86_simd(X86State *s, uint64_t what, uint64_t address, uint64_t operands);
/* HELPER_SIMD_CHECKED: run the instruction on the scratch operands; raise #XM where an exception is unmasked. vectors:
 * which operands are, bit 3: the result. */
uint64_t x86_simd_checked(X86State *s, int64_t what, uint64_t vectors);

#endif
