/*
 * IEEE 754 arithmetic in integers, for binary32 and binary64, binary16 and bfloat16: the interpreter's arithmetic, and
 * what the back end falls back to (round to nearest with ties away, static rounding modes, hosts without fused
 * multiply-add). NaN results are the canonical one; tininess is detected after rounding.
 * SPDX-License-Identifier: MIT
 */
#ifndef TCG_SOFTFLOAT_H
#define TCG_SOFTFLOAT_H

#include "tcg/ir.h"

/* Types that IR does not have, for `type` and `source` below. Values have undefined upper bits as operands, zero ones
 * as results. */
enum { SOFT_F16 = 14, SOFT_BF16 = 15 };

/* More operations than IR has. SOFT_ROUND: to an integer, imm 1: inexact accrues. */
enum { SOFT_ROUND = 0xf0 };
/* imm: fmin and fmax give NaN if an operand is one; comparisons are quiet. */
enum { SOFT_NAN_WINS = 4, SOFT_QUIET = 8 };

/* One operation as a number: op | type << 8 | round << 12 | imm << 16 | source type << 20 (conversions, comparisons).
 */
#define SOFT_WHAT(op, type, round, imm, source) \
    ((uint32_t)((op) | (type) << 8 | (round) << 12 | (imm) << 16 | (source) << 20))

/* Do it: a, b, c are bit patterns (or an integer); the result likewise. Accrues into cs->fp_flags; FROUND_DYN is
 * cs->fp_round. */
uint64_t soft_fp(CpuState *cs, uint64_t a, uint64_t b, uint64_t c, uint32_t what);

#endif
