/*
 * IEEE 754-2019 arithmetic in integers: binary32 and binary64, five rounding modes, exception flags, tininess detected
 * after rounding, default NaN results (the canonical quiet NaN).
 *
 * The interpreter computes with it, and host code calls it for what the host's unit lacks (rounding to nearest, ties to
 * maximum magnitude). It never touches the host's floating-point state.
 * SPDX-License-Identifier: MIT
 */
#ifndef TCG_SOFTFLOAT_H
#define TCG_SOFTFLOAT_H

#include "tcg/ir.h"
#include "tcg/runtime.h"

/*
 * Which operation: an IR floating-point op (fadd fsub fmul fdiv fsqrt fma fmin fmax fcmp fcvt fftoi fitof), the type of
 * its result, its aux (IrRound or IrFcmp), its imm (fma: IR_FMA_*; fftoi, fitof: 1 = unsigned) and the type of its
 * first input, in one word.
 */
#define SOFT_WHAT(op, type, aux, imm, from)                                                    \
    ((uint32_t)(op) | (uint32_t)(type) << 8 | (uint32_t)(from) << 12 | (uint32_t)(aux) << 16 | \
     ((uint32_t)(imm)&15) << 20)

/*
 * Compute. Inputs are bits: an F32 or I32 is the low half, whatever the upper half holds; unused inputs are ignored.
 * Result: an F32 is zero-extended, an I32 sign-extended. FROUND_DYN means cs->fp_round. Flags accrue in cs->fp_flags.
 * Any thread that owns cs; no locks, no errors.
 */
uint64_t soft_fp(CpuState *cs, uint64_t a, uint64_t b, uint64_t c, uint32_t what);

/* The same without a CPU: dynamic is what FROUND_DYN means (not FROUND_DYN itself); *flags gets this operation's
 * IR_FP_*. */
uint64_t soft_fp_eval(uint64_t a, uint64_t b, uint64_t c, uint32_t what, IrRound dynamic, uint8_t *flags);

#endif
