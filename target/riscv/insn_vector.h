/*
 * RISC-V V, translation: what insn_vector.c (helper calls, vset{i}vl{i}) and insn_vector_inline.c share.
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_RISCV_INSN_VECTOR_H
#define TARGET_RISCV_INSN_VECTOR_H

#include "target/riscv/translate.h"

/* The instruction without a call, if that can be. False: nothing has been done that matters. */
bool vector_inline(Ctx *c, const Arg *a, unsigned op);
/* In the cold part: the instruction where vl may be less than VLMAX, if that can be; else control goes on, or to slow,
 * where it is to be done by the helper. */
bool vector_tail(Ctx *c, const Arg *a, unsigned op, int slow);
/* What RiscvState.v_ready probably is at run time; 0: no legal vtype. */
uint32_t vector_expected(Ctx *c);
/* Go to the cold part unless v_ready is that. */
void vector_assume(Ctx *c, uint32_t expected);

#endif
