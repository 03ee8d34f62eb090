/*
 * x86 translation of MMX, SSE and AVX, internal: guest vector registers are V256 registers of the IR, and nearly all
 * instructions are the host's own (tcg/ir_host.h).
 *
 * AVX halves. Legacy SSE instructions leave the upper half of a register as it is, VEX-encoded ones zero it. While all
 * upper halves are zero, which X86State.avx_dirty == 0 says, both are the same, so legacy instructions become VEX ones
 * too: a segment that has some checks that once, and else goes to its cold part, which merges. What writes an upper
 * half sets avx_dirty, vzeroupper and vzeroall clear it.
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_X86_INSN_SIMD_H
#define TARGET_X86_INSN_SIMD_H

#include "target/x86/translate.h"
#include "tcg/ir_host.h"
#include "x86-opcodes.h"

#define HOST(form, bits)      ((int64_t)IR_HOST_##form << IR_HOST_FORM | (bits))
#define HOST_66(form, opcode) HOST(form, IR_HOST_66 | (opcode))
enum {
    HOST_MOVDQA = IR_HOST_0F | IR_HOST_66 | 0x6f,
    HOST_MOVQ = IR_HOST_0F | IR_HOST_F3 | 0x7e,        /* low 8 bytes, the rest 0 */
    HOST_MOVSD = IR_HOST_0F | IR_HOST_F2 | 0x10,       /* RVM: low 8 bytes of b, the others of a */
    HOST_UNPACK_LOW = IR_HOST_0F | IR_HOST_66 | 0x6c,  /* punpcklqdq */
    HOST_UNPACK_HIGH = IR_HOST_0F | IR_HOST_66 | 0x6d, /* punpckhqdq */
    HOST_BLEND = IR_HOST_0F3A | IR_HOST_66 | 0x0c,     /* blendps */
    HOST_AND = IR_HOST_0F | IR_HOST_66 | 0xdb,
    HOST_XOR = IR_HOST_0F | IR_HOST_66 | 0xef,
    HOST_SHIFT_BYTES = IR_HOST_0F | IR_HOST_66 | 0x73, /* VM: digit 3 down, 7 up */
    HOST_FROM_INT = IR_HOST_0F | IR_HOST_66 | 0x6e,    /* movd, with W movq */
    HOST_TO_INT = IR_HOST_0F | IR_HOST_66 | 0x7e,      /* MR */
};

/* False: the instruction raises, and the unit ends here. */
bool simd_available(Ctx *c, unsigned need);

/* An instruction of the host on vectors and integers; pure: it raises no floating-point exceptions. Where the guest has
 * such exceptions unmasked it is a helper. */
IrTmp host_op(Ctx *c, IrType type, int64_t what, bool pure, IrTmp a, IrTmp b, IrTmp d);
static inline IrTmp host_move(Ctx *c, int64_t what, IrTmp a, IrTmp b)
{
    return ir_host(c->ir, IR_V256, what, true, a, b, 0);
}
IrTmp get_xmm(Ctx *c, unsigned reg);
/* value: zeros above 16 bytes; or wide, 32 bytes. As the instruction's encoding says what happens to the upper half. */
void set_xmm(Ctx *c, unsigned reg, IrTmp value, bool wide);
/* bytes of the memory operand as a vector, zero-extended, and back; aligned: as the row and encoding say. */
IrTmp load_vector_operand(Ctx *c, unsigned bytes);
void store_vector_operand(Ctx *c, unsigned bytes, IrTmp value);
/* OPERAND_XMM_RM: register or memory. */
IrTmp get_xmm_rm(Ctx *c, unsigned bytes);
/* ZF, PF, CF as an I64: the others are 0. */
void set_test_flags(Ctx *c, IrTmp flags);

/* Offset and segment of maskmovq's and maskmovdqu's operand, DS:rDI, as the helper gets them: an I64; flags. */
IrTmp implicit_offset(Ctx *c, uint64_t *flags);

/* ---- insn_x87.c ---- */
/* The stack's top is not what this segment knows any more. */
void x87_forget_top(Ctx *c);

/* ---- insn_mmx.c ---- */
bool translate_mmx(Ctx *c);

#endif
