/*
 * RISC-V Zfh, Zfhmin, Zfbfmin and Zfa as IR (unprivileged ISA 20240411, chapters 22 and 24; BF16 extensions 1.0). IR
 * has no type of 16 bits: values are I64 with the bits below, and the soft-float does the arithmetic.
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/translate.h"
#include "tcg/softfloat.h"

#define BOX ~0xffffll

static IrTmp get_bits(Ctx *c, unsigned r)
{
    return ir_fmove(c->ir, OP_fbits, IR_I64, ir_getreg(c->ir, RISCV_REG_F0 + r));
}
static void set_bits(Ctx *c, unsigned r, IrTmp v)
{
    ir_mark(c->ir, offsetof(RiscvState, fp_dirty));
    ir_setreg(c->ir, RISCV_REG_F0 + r, ir_fmove(c->ir, OP_fofbits, IR_F64, v));
}

/* An operand as bits; one that is not boxed is the canonical NaN. */
static IrTmp get_operand(Ctx *c, unsigned type, unsigned r)
{
    IrUnit *u = c->ir;
    if (type == IR_F64)
        return get_bits(c, r);
    if (type == IR_F32) {
        IrTmp single = ir_fmove(u, OP_funbox, IR_F32, ir_getreg(u, RISCV_REG_F0 + r));
        return ir_ext(u, IR_I64, MO_32, ir_fmove(u, OP_fbits, IR_I32, single));
    }
    IrTmp v = get_bits(c, r), low = ir_ext(u, IR_I64, MO_16, v),
          nan = ir_const(u, IR_I64, type == SOFT_F16 ? 0x7e00 : 0x7fc0);
    return ir_select(u, IR_I64, COND_GEU, v, ir_const(u, IR_I64, BOX), low, nan);
}
/* v: its upper bits are zero */
static void set_result(Ctx *c, unsigned type, unsigned r, IrTmp v)
{
    int64_t box = type == IR_F64 ? 0 : type == IR_F32 ? ~0xffffffffll : BOX;
    set_bits(c, r, ir_binary_imm(c->ir, OP_or, IR_I64, v, box));
}

static IrTmp soft(Ctx *c, uint32_t what, IrTmp x, IrTmp y, IrTmp z)
{
    ir_mark(c->ir, offsetof(RiscvState, fp_dirty)); /* flags */
    IrTmp none = ir_const(c->ir, IR_I64, 0);        /* arguments end at the first that is 0 */
    return ir_call(c->ir, IR_I64, HELPER_SOFT_FP, x, y ? y : none, z ? z : none, ir_const(c->ir, IR_I64, what));
}

static bool arith(Ctx *c, const Arg *a, IrOp op)
{
    IrRound round;
    if (!fp_rounding(c, a, &round))
        return false;
    fp_enable(c, a);
    IrTmp x = get_operand(c, SOFT_F16, a->rs1), y = op == OP_fsqrt ? 0 : get_operand(c, SOFT_F16, a->rs2);
    set_result(c, SOFT_F16, a->rd, soft(c, SOFT_WHAT(op, SOFT_F16, round, 0, 0), x, y, 0));
    return true;
}
static bool fused(Ctx *c, const Arg *a, unsigned negate)
{
    IrRound round;
    if (!fp_rounding(c, a, &round))
        return false;
    fp_enable(c, a);
    IrTmp x = get_operand(c, SOFT_F16, a->rs1), y = get_operand(c, SOFT_F16, a->rs2);
    IrTmp z = get_operand(c, SOFT_F16, a->rs3);
    set_result(c, SOFT_F16, a->rd, soft(c, SOFT_WHAT(OP_fma, SOFT_F16, round, negate, 0), x, y, z));
    return true;
}
static bool minmax(Ctx *c, const Arg *a, IrOp op, unsigned type, unsigned flags)
{
    fp_enable(c, a);
    IrTmp x = get_operand(c, type, a->rs1), y = get_operand(c, type, a->rs2);
    set_result(c, type, a->rd, soft(c, SOFT_WHAT(op, type, FROUND_RNE, flags, 0), x, y, 0));
    return true;
}
static bool sign(Ctx *c, const Arg *a, unsigned kind)
{
    IrUnit *u = c->ir;
    fp_enable(c, a);
    IrTmp x = get_operand(c, SOFT_F16, a->rs1), y = get_operand(c, SOFT_F16, a->rs2);
    if (kind == 1)
        y = ir_binary_imm(u, OP_xor, IR_I64, y, 0x8000);
    IrTmp sign = ir_binary_imm(u, OP_and, IR_I64, y, 0x8000);
    IrTmp rest = kind == 2 ? x : ir_binary_imm(u, OP_and, IR_I64, x, 0x7fff);
    set_result(c, SOFT_F16, a->rd, ir_binary(u, OP_xor, IR_I64, rest, sign));
    return true;
}
static bool compare(Ctx *c, const Arg *a, IrFcmp cond, unsigned type, unsigned flags)
{
    fp_enable(c, a);
    IrTmp x = get_operand(c, type, a->rs1), y = get_operand(c, type, a->rs2);
    IrTmp v = soft(c, SOFT_WHAT(OP_fcmp, IR_I64, cond, flags, type), x, y, 0);
    set_x(c, a->rd, c->xt == IR_I32 ? ir_unary(c->ir, OP_trunc, IR_I32, v) : v);
    return true;
}
static bool to_integer(Ctx *c, const Arg *a, bool wide, bool is_unsigned)
{
    IrRound round;
    if (!fp_rounding(c, a, &round))
        return false;
    fp_enable(c, a);
    uint32_t what = SOFT_WHAT(OP_fftoi, wide ? IR_I64 : IR_I32, round, is_unsigned, SOFT_F16);
    IrTmp v = soft(c, what, get_operand(c, SOFT_F16, a->rs1), 0, 0);
    if (wide)
        set_x(c, a->rd, v);
    else
        set_w(c, a->rd, ir_unary(c->ir, OP_trunc, IR_I32, v));
    return true;
}
static bool from_integer(Ctx *c, const Arg *a, bool wide, bool is_unsigned)
{
    IrRound round;
    if (!fp_rounding(c, a, &round))
        return false;
    fp_enable(c, a);
    IrTmp v = wide ? get_x(c, a->rs1) : ir_ext(c->ir, IR_I64, MO_32, get_w(c, a->rs1));
    uint32_t what = SOFT_WHAT(OP_fitof, SOFT_F16, round, is_unsigned, wide ? IR_I64 : IR_I32);
    set_result(c, SOFT_F16, a->rd, soft(c, what, v, 0, 0));
    return true;
}
static bool convert(Ctx *c, const Arg *a, unsigned to, unsigned from)
{
    IrRound round;
    if (!fp_rounding(c, a, &round))
        return false;
    fp_enable(c, a);
    IrTmp v = get_operand(c, from, a->rs1);
    set_result(c, to, a->rd, soft(c, SOFT_WHAT(OP_fcvt, to, round, 0, from), v, 0, 0));
    return true;
}

/* clang-format off */
bool rv_fadd_h(Ctx *c, const Arg *a) { return arith(c, a, OP_fadd); }
bool rv_fsub_h(Ctx *c, const Arg *a) { return arith(c, a, OP_fsub); }
bool rv_fmul_h(Ctx *c, const Arg *a) { return arith(c, a, OP_fmul); }
bool rv_fdiv_h(Ctx *c, const Arg *a) { return arith(c, a, OP_fdiv); }
bool rv_fsqrt_h(Ctx *c, const Arg *a) { return arith(c, a, OP_fsqrt); }
bool rv_fmin_h(Ctx *c, const Arg *a) { return minmax(c, a, OP_fmin, SOFT_F16, 0); }
bool rv_fmax_h(Ctx *c, const Arg *a) { return minmax(c, a, OP_fmax, SOFT_F16, 0); }
bool rv_fmadd_h(Ctx *c, const Arg *a) { return fused(c, a, 0); }
bool rv_fmsub_h(Ctx *c, const Arg *a) { return fused(c, a, IR_FMA_NEG_ADDEND); }
bool rv_fnmsub_h(Ctx *c, const Arg *a) { return fused(c, a, IR_FMA_NEG_PRODUCT); }
bool rv_fnmadd_h(Ctx *c, const Arg *a) { return fused(c, a, IR_FMA_NEG_PRODUCT | IR_FMA_NEG_ADDEND); }
bool rv_fsgnj_h(Ctx *c, const Arg *a) { return sign(c, a, 0); }
bool rv_fsgnjn_h(Ctx *c, const Arg *a) { return sign(c, a, 1); }
bool rv_fsgnjx_h(Ctx *c, const Arg *a) { return sign(c, a, 2); }
bool rv_feq_h(Ctx *c, const Arg *a) { return compare(c, a, FCMP_EQ, SOFT_F16, 0); }
bool rv_flt_h(Ctx *c, const Arg *a) { return compare(c, a, FCMP_LT, SOFT_F16, 0); }
bool rv_fle_h(Ctx *c, const Arg *a) { return compare(c, a, FCMP_LE, SOFT_F16, 0); }
bool rv_fcvt_w_h(Ctx *c, const Arg *a) { return to_integer(c, a, false, false); }
bool rv_fcvt_wu_h(Ctx *c, const Arg *a) { return to_integer(c, a, false, true); }
bool rv_fcvt_l_h(Ctx *c, const Arg *a) { return to_integer(c, a, true, false); }
bool rv_fcvt_lu_h(Ctx *c, const Arg *a) { return to_integer(c, a, true, true); }
bool rv_fcvt_h_w(Ctx *c, const Arg *a) { return from_integer(c, a, false, false); }
bool rv_fcvt_h_wu(Ctx *c, const Arg *a) { return from_integer(c, a, false, true); }
bool rv_fcvt_h_l(Ctx *c, const Arg *a) { return from_integer(c, a, true, false); }
bool rv_fcvt_h_lu(Ctx *c, const Arg *a) { return from_integer(c, a, true, true); }
bool rv_fcvt_s_h(Ctx *c, const Arg *a) { return convert(c, a, IR_F32, SOFT_F16); }
bool rv_fcvt_h_s(Ctx *c, const Arg *a) { return convert(c, a, SOFT_F16, IR_F32); }
bool rv_fcvt_d_h(Ctx *c, const Arg *a) { return convert(c, a, IR_F64, SOFT_F16); }
bool rv_fcvt_h_d(Ctx *c, const Arg *a) { return convert(c, a, SOFT_F16, IR_F64); }
bool rv_fcvt_s_bf16(Ctx *c, const Arg *a) { return convert(c, a, IR_F32, SOFT_BF16); }
bool rv_fcvt_bf16_s(Ctx *c, const Arg *a) { return convert(c, a, SOFT_BF16, IR_F32); }
/* clang-format on */

bool rv_fclass_h(Ctx *c, const Arg *a)
{
    fp_enable(c, a);
    IrTmp x = get_operand(c, SOFT_F16, a->rs1);
    IrTmp v = ir_call(c->ir, IR_I64, HELPER_FCLASS, x, ir_const(c->ir, IR_I64, 10), 0, 0);
    set_x(c, a->rd, c->xt == IR_I32 ? ir_unary(c->ir, OP_trunc, IR_I32, v) : v);
    return true;
}

/* ---- moves, loads, stores: bits as they are ---- */
bool rv_fmv_x_h(Ctx *c, const Arg *a)
{
    fp_enable(c, a);
    set_x(c, a->rd, ir_ext(c->ir, c->xt, MO_16 | MO_SIGNED, get_bits(c, a->rs1)));
    return true;
}
bool rv_fmv_h_x(Ctx *c, const Arg *a)
{
    fp_enable(c, a);
    set_result(c, SOFT_F16, a->rd, ir_ext(c->ir, IR_I64, MO_16, get_x(c, a->rs1)));
    return true;
}
bool rv_flh(Ctx *c, const Arg *a)
{
    fp_enable(c, a);
    set_result(c, SOFT_F16, a->rd, load_at(c, IR_I64, MO_16, a->rs1, a->imm));
    return true;
}
bool rv_fsh(Ctx *c, const Arg *a)
{
    fp_enable(c, a);
    store_at(c, MO_16, a->rs1, a->imm, get_bits(c, a->rs2));
    return true;
}

/* ---- Zfa ---- */
static bool round_to_integer(Ctx *c, const Arg *a, unsigned type, bool inexact)
{
    IrRound round;
    if (!fp_rounding(c, a, &round))
        return false;
    fp_enable(c, a);
    IrTmp x = get_operand(c, type, a->rs1);
    set_result(c, type, a->rd, soft(c, SOFT_WHAT(SOFT_ROUND, type, round, inexact, 0), x, 0, 0));
    return true;
}

/* fli: by rs1, the exponent and the two highest bits of the fraction. */
static uint64_t immediate(unsigned type, unsigned n)
{
    static const int8_t exponents[32] = { 0, 0, -16, -15, -8, -7, -4, -3, -2, -2, -2, -2, -1, -1, -1, -1,
                                          0, 0, 0,   0,   1,  1,  1,  2,  3,  4,  7,  8,  15, 16, 0,  0 };
    unsigned fraction_bits = type == IR_F64 ? 52 : type == IR_F32 ? 23 : 10;
    unsigned exponent_bits = type == IR_F64 ? 11 : type == IR_F32 ? 8 : 5, bias = (1u << (exponent_bits - 1)) - 1;
    uint64_t one = (uint64_t)bias << fraction_bits, infinity = ((1ull << exponent_bits) - 1) << fraction_bits;
    uint64_t fraction = n >= 8 && n <= 22 ? n & 3 : 0;
    switch (n) {
    case 0:
        return one | 1ull << (fraction_bits + exponent_bits);
    case 1: /* the least normal number */
        return 1ull << fraction_bits;
    case 30:
        return infinity;
    case 31:
        return infinity | 1ull << (fraction_bits - 1);
    }
    if (type == SOFT_F16 && n < 4) /* subnormal */
        return n == 2 ? 0x100 : 0x200;
    return one + ((uint64_t)exponents[n] << fraction_bits) + (fraction << (fraction_bits - 2));
}
static bool load_immediate(Ctx *c, const Arg *a, unsigned type)
{
    fp_enable(c, a);
    set_result(c, type, a->rd, ir_const(c->ir, IR_I64, immediate(type, a->rs1)));
    return true;
}

#define ALL_FORMATS(name, call)              \
    bool rv_##name##_s(Ctx *c, const Arg *a) \
    {                                        \
        const unsigned type = IR_F32;        \
        return call;                         \
    }                                        \
    bool rv_##name##_d(Ctx *c, const Arg *a) \
    {                                        \
        const unsigned type = IR_F64;        \
        return call;                         \
    }                                        \
    bool rv_##name##_h(Ctx *c, const Arg *a) \
    {                                        \
        const unsigned type = SOFT_F16;      \
        return call;                         \
    }
ALL_FORMATS(fli, load_immediate(c, a, type))
ALL_FORMATS(fminm, minmax(c, a, OP_fmin, type, SOFT_NAN_WINS))
ALL_FORMATS(fmaxm, minmax(c, a, OP_fmax, type, SOFT_NAN_WINS))
ALL_FORMATS(fround, round_to_integer(c, a, type, false))
ALL_FORMATS(froundnx, round_to_integer(c, a, type, true))
ALL_FORMATS(fleq, compare(c, a, FCMP_LE, type, SOFT_QUIET))
ALL_FORMATS(fltq, compare(c, a, FCMP_LT, type, SOFT_QUIET))

bool rv_fcvtmod_w_d(Ctx *c, const Arg *a)
{
    fp_enable(c, a);
    ir_mark(c->ir, offsetof(RiscvState, fp_dirty));
    IrTmp v = ir_call(c->ir, IR_I64, HELPER_FCVTMOD, get_bits(c, a->rs1), 0, 0, 0);
    set_w(c, a->rd, ir_unary(c->ir, OP_trunc, IR_I32, v));
    return true;
}
bool rv_fmvh_x_d(Ctx *c, const Arg *a)
{
    fp_enable(c, a);
    set_x(c, a->rd, ir_unary(c->ir, OP_trunc, IR_I32, ir_binary_imm(c->ir, OP_shr, IR_I64, get_bits(c, a->rs1), 32)));
    return true;
}
bool rv_fmvp_d_x(Ctx *c, const Arg *a)
{
    fp_enable(c, a);
    IrTmp low = ir_ext(c->ir, IR_I64, MO_32, get_x(c, a->rs1));
    IrTmp high = ir_binary_imm(c->ir, OP_shl, IR_I64, ir_ext(c->ir, IR_I64, MO_32, get_x(c, a->rs2)), 32);
    set_bits(c, a->rd, ir_binary(c->ir, OP_or, IR_I64, high, low));
    return true;
}
