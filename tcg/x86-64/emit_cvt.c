/*
 * x86-64 back end: conversions between floating-point formats and integers. IEEE 754-2019, 5.4.1 and 5.8; saturation as
 * ops.def says. The host's conversions give the least integer and raise invalid when the result does not fit; where
 * they would raise inexact besides, or have no instruction (unsigned), the operand is checked first.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/x86-64/regs.h"

static void emit_fcvt(Emit *e, const IrInsn *insn)
{
    IrType source = e->u->tmps[insn->arg[0]].type;
    if (insn->type == IR_F32 && insn->aux != FROUND_DYN) {
        emit_soft(e, insn);
        return;
    }
    int a = use_xmm(e, insn->arg[0]);
    int d = result_xmm(e, insn->dst, insn->arg[0]);
    if (host_features.avx)
        asm_vex_rr(&e->a, I_FCVT | fp_prefix(source), d, a, a);
    else
        asm_rr(&e->a, I_FCVT | fp_prefix(source), d, a);
    check_nan(e, insn, d);
    bind(e, insn->dst, insn->type, d);
}

/* ---- to integers ---- */

/* r0: operand, r3: result, now the least integer. Right for what is less than zero; NaN and the rest give the greatest.
 */
static void stub_saturate(Emit *e, const Stub *s)
{
    bool wide_source = e->u->tmps[s->insn->arg[0]].type == IR_F64;
    asm_patch(s->from, e->a.p);
    asm_rm(&e->a, I_UCOMIS | (wide_source ? P_66 : 0), s->r0, mem_cache(POOL_ZERO));
    uint8_t *nan = asm_jcc_short(&e->a, CC_P);
    asm_jcc(&e->a, CC_B, s->back);
    asm_patch_short(nan, e->a.p);
    asm_mov_imm(&e->a, s->r3, s->insn->type == IR_I64 ? INT64_MAX : INT32_MAX);
    asm_jmp(&e->a, s->back);
}

/* Jump if a is not in [0, limit] (unsigned), or if |a| is above it: floats order as integers. Returns the cold jump. */
static uint8_t *check_range(Emit *e, IrType source, IrType type, bool is_unsigned, int a)
{
    int t = scratch_gpr(e);
    unsigned w = source == IR_F64 ? W64 : 0;
    asm_rr(&e->a, I_MOVD_FROM_XMM | w, a, t);
    if (!is_unsigned) {
        asm_rr(&e->a, ALU_LOAD(ALU_ADD) | w, t, t); /* away with the sign */
        if (w)
            asm_rm(&e->a, ALU_LOAD(ALU_CMP) | w, t, mem_cache(POOL_I32_MAX64));
        else
            asm_alu_imm(&e->a, 0, ALU_CMP, t, (int32_t)0x9dfffffeu); /* twice the bits of 2147483520.0f */
        return asm_jcc_forward(&e->a, CC_A);
    }
    if (type == IR_I32) {
        if (w)
            asm_rm(&e->a, ALU_LOAD(ALU_CMP) | w, t, mem_cache(POOL_U32_MAX64));
        else
            asm_alu_imm(&e->a, 0, ALU_CMP, t, 0x4f7fffff); /* 4294967040.0f */
        return asm_jcc_forward(&e->a, CC_A);
    }
    if (w)
        asm_rm(&e->a, ALU_LOAD(ALU_CMP) | w, t, mem_cache(POOL_2_63_F64));
    else
        asm_alu_imm(&e->a, 0, ALU_CMP, t, 0x5f000000); /* 2^63 */
    return asm_jcc_forward(&e->a, CC_AE);
}

static void emit_fftoi(Emit *e, const IrInsn *insn)
{
    IrType source = e->u->tmps[insn->arg[0]].type;
    bool is_unsigned = insn->imm & 1, rounds_first = insn->aux != FROUND_DYN && insn->aux != FROUND_RTZ;
    if (insn->aux == FROUND_RMM) {
        emit_soft(e, insn);
        return;
    }
    int a = use_xmm(e, insn->arg[0]), x = a;
    int dst = result_gpr(e, insn->dst, 0);
    uint8_t *outside = NULL;
    /* I64 out of range is integral already, so rounding raises nothing then; I32 must not raise inexact besides invalid
     */
    if (is_unsigned || (rounds_first && insn->type == IR_I32))
        outside = check_range(e, source, insn->type, is_unsigned, a);
    if (rounds_first) { /* ROUNDSS/SD: 0 nearest even, 1 down, 2 up; inexact is raised here, the conversion is exact
                           then */
        static const uint8_t modes[] = { [FROUND_RNE] = 0, [FROUND_RDN] = 1, [FROUND_RUP] = 2 };
        x = scratch_xmm(e);
        uint32_t op = source == IR_F64 ? I_ROUNDSD : I_ROUNDSS;
        if (host_features.avx)
            asm_vex_rr(&e->a, op, x, a, a);
        else
            asm_rr(&e->a, op, x, a);
        asm_u8(&e->a, modes[insn->aux]);
    }
    bool wide = insn->type == IR_I64 || is_unsigned;
    asm_rr(&e->a, (insn->aux == FROUND_DYN ? I_CVT_TO_INT : I_CVTT_TO_INT) | fp_prefix(source) | (wide ? W64 : 0), dst,
           x);
    if (outside) {
        soft_stub(e, insn, outside, (const int8_t[]){ a, NO_REG, NO_REG }, dst);
    } else {
        asm_alu_imm(&e->a, width(insn->type), ALU_CMP, dst, 1); /* overflows for the least integer only */
        Stub *s = new_stub(e, stub_saturate, asm_jcc_forward(&e->a, CC_O), insn);
        s->r0 = a;
        s->r3 = dst;
    }
    bind(e, insn->dst, insn->type, dst);
}

/* ---- from integers ---- */

static void convert_int(Emit *e, IrType type, unsigned w, int d, int s)
{
    asm_rr(&e->a, I_XORPS, d, d); /* the rest of the register would be a dependency */
    asm_rr(&e->a, I_CVT_INT | fp_prefix(type) | w, d, s);
}

/* r0: an unsigned integer of 2^63 or more, r1: a scratch register, r2: another; r3: result. Half of it, the lowest bit
 * kept sticky. */
static void stub_unsigned(Emit *e, const Stub *s)
{
    IrType type = s->insn->type;
    asm_patch(s->from, e->a.p);
    asm_mov(&e->a, W64, s->r1, s->r0);
    asm_mov(&e->a, 0, s->r2, s->r0);
    asm_shift_imm(&e->a, W64, SHIFT_SHR, s->r1, 1);
    asm_alu_imm(&e->a, 0, ALU_AND, s->r2, 1);
    asm_rr(&e->a, ALU_LOAD(ALU_OR) | W64, s->r1, s->r2);
    convert_int(e, type, W64, s->r3, s->r1);
    asm_rr(&e->a, I_FADD | fp_prefix(type), s->r3, s->r3);
    asm_jmp(&e->a, s->back);
}

static void emit_fitof(Emit *e, const IrInsn *insn)
{
    IrType source = e->u->tmps[insn->arg[0]].type;
    bool is_unsigned = insn->imm & 1, exact = insn->type == IR_F64 && source == IR_I32;
    if (insn->aux != FROUND_DYN && !exact) {
        emit_soft(e, insn);
        return;
    }
    int a = use_gpr(e, insn->arg[0]);
    if (source == IR_I32 && is_unsigned) {
        if (value_of(e, insn->arg[0])->type != IR_I32) { /* the low half of something */
            int t = scratch_gpr(e);
            asm_mov(&e->a, 0, t, a);
            a = t;
        }
        int d = result_xmm(e, insn->dst, 0);
        convert_int(e, insn->type, W64, d, a);
        bind(e, insn->dst, insn->type, d);
        return;
    }
    int d = result_xmm(e, insn->dst, 0);
    if (source == IR_I64 && is_unsigned) {
        int t = scratch_gpr(e), u = scratch_gpr(e);
        asm_rr(&e->a, I_TEST | W64, a, a);
        uint8_t *big = asm_jcc_forward(&e->a, CC_S);
        convert_int(e, insn->type, W64, d, a);
        Stub *s = new_stub(e, stub_unsigned, big, insn);
        s->r0 = a;
        s->r1 = t;
        s->r2 = u;
        s->r3 = d;
    } else {
        convert_int(e, insn->type, width(source), d, a);
    }
    bind(e, insn->dst, insn->type, d);
}

void emit_fp_convert_op(Emit *e, const IrInsn *insn)
{
    switch (insn->op) {
    case OP_fcvt:
        emit_fcvt(e, insn);
        break;
    case OP_fftoi:
        emit_fftoi(e, insn);
        break;
    default:
        emit_fitof(e, insn);
        break;
    }
}
