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
