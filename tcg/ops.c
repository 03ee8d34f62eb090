/*
 * The table of IR operations, from tcg/ops.def.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/ir.h"

#define NONE (1 << IR_NONE)
#define I32  (1 << IR_I32)
#define I64  (1 << IR_I64)
#define F32  (1 << IR_F32)
#define F64  (1 << IR_F64)
#define INT  (I32 | I64)
#define FP   (F32 | F64)
#define V128 (1 << IR_V128)
#define V256 (1 << IR_V256)
#define VEC  (V128 | V256)
#define SIDE IR_SIDE
#define MEM  IR_MEM
#define END  IR_END

const IrOpInfo ir_op_info[OP_COUNT] = {
#define OP(name, outputs, inputs, types, effects, help) [OP_##name] = { #name, outputs, inputs, types, effects },
#include "tcg/ops.def"
#undef OP
};

#define IS_EXIT(op) ((op) == OP_jump || (op) == OP_jump_ind || (op) == OP_lookup || (op) == OP_exit)
#define GOES(op, effects)                                                                                          \
    ((effects) == IR_PURE || (op) == OP_getreg || (op) == OP_ldstate || (op) == OP_getpc || (op) == OP_vldstate || \
     (op) == OP_vld || (op) == OP_probe)
#define SEES(op)                                                                                                  \
    ((op) == OP_ld || (op) == OP_st || (op) == OP_amo || (op) == OP_cas || (op) == OP_guard || (op) == OP_poll || \
     (op) == OP_icount || (op) == OP_brjump || IS_EXIT(op))
#define MORE(op)                                                                                       \
    ((op) == OP_getreg || (op) == OP_setreg || (op) == OP_call || (op) == OP_label || (op) == OP_br || \
     (op) == OP_brcond || (op) == OP_setcond || (op) == OP_vhost)
#define LEAVES(op, effects)                                                                                   \
    ((effects) == IR_END || (op) == OP_brcond || (op) == OP_brjump || (op) == OP_poll || (op) == OP_icount || \
     (op) == OP_call)

const uint8_t ir_op_traits[OP_COUNT] = {
#define OP(name, outputs, inputs, types, effects, help)                                                               \
    [OP_##name] = (GOES(OP_##name, effects) && OP_##name != OP_nop ? IR_GOES : 0) | (SEES(OP_##name) ? IR_SEES : 0) | \
                  (MORE(OP_##name) ? IR_MORE : 0) | (OP_##name == OP_nop || OP_##name == OP_insn ? IR_NO_CODE : 0) |  \
                  (LEAVES(OP_##name, effects) ? IR_LEAVES : 0) | (IS_EXIT(OP_##name) ? IR_LAST : 0),
#include "tcg/ops.def"
#undef OP
};
