/*
 * RISC-V F and D as IR (unprivileged ISA 20240411, chapters 20 and 21). f registers are 64 bits; singles are NaN-boxed.
 *
 * Whether FS is Off is looked at once a segment by a byte compare (fp_off), and FS is made Dirty by a byte store, so
 * that neither is part of a unit's key. A reserved or ties-away dynamic rounding mode is part of it (MODE_FRM).
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/translate.h"

void fp_enable(Ctx *c, const Arg *a)
{
    ir_guard(c->ir, offsetof(RiscvState, fp_off), HELPER_FP_OFF, a->bits);
}

/* Operands by type: IR_F32 unboxes and boxes. */
static IrTmp get_f(Ctx *c, IrType type, unsigned r)
{
    IrTmp v = ir_getreg(c->ir, RISCV_REG_F0 + r);
    return type == IR_F32 ? ir_fmove(c->ir, OP_funbox, IR_F32, v) : v;
}
static void set_f(Ctx *c, IrType type, unsigned r, IrTmp v)
{
    /* the write first, so that v can be computed in the register's place */
    ir_setreg(c->ir, RISCV_REG_F0 + r, type == IR_F32 ? ir_fmove(c->ir, OP_fbox, IR_F64, v) : v);
    ir_mark(c->ir, offsetof(RiscvState, fp_dirty));
}

bool fp_rounding(Ctx *c, const Arg *a, IrRound *round)
{
    unsigned frm = c->insn->mode >> MODE_FRM_SHIFT & 3;
    if (a->rm == 7) {
        *round = frm == 1 ? FROUND_RMM : FROUND_DYN;
        return frm != 2;
    }
    *round = a->rm;
    return a->rm <= FROUND_RMM;
}

static bool arith(Ctx *c, const Arg *a, IrOp op, IrType type)
{
    IrRound round;
    if (!fp_rounding(c, a, &round))
        return false;
    fp_enable(c, a);
    IrTmp x = get_f(c, type, a->rs1), y = op == OP_fsqrt ? 0 : get_f(c, type, a->rs2);
    set_f(c, type, a->rd, ir_fp(c->ir, op, type, round, x, y));
    return true;
}
static bool fused(Ctx *c, const Arg *a, unsigned negate, IrType type)
{
    IrRound round;
    if (!fp_rounding(c, a, &round))
        return false;
    fp_enable(c, a);
    IrTmp x = get_f(c, type, a->rs1), y = get_f(c, type, a->rs2), z = get_f(c, type, a->rs3);
    set_f(c, type, a->rd, ir_fma(c->ir, type, round, negate, x, y, z));
    return true;
}
static bool minmax(Ctx *c, const Arg *a, IrOp op, IrType type)
{
    fp_enable(c, a);
    set_f(c, type, a->rd, ir_fp(c->ir, op, type, FROUND_DYN, get_f(c, type, a->rs1), get_f(c, type, a->rs2)));
    return true;
}
static bool sign(Ctx *c, const Arg *a, unsigned kind, IrType type)
{
    fp_enable(c, a);
    IrTmp x = get_f(c, type, a->rs1), y = a->rs1 == a->rs2 ? x : get_f(c, type, a->rs2);
    set_f(c, type, a->rd, ir_fsgn(c->ir, type, kind, x, y));
    return true;
}
static bool compare(Ctx *c, const Arg *a, IrFcmp cond, IrType type)
{
    fp_enable(c, a);
    ir_mark(c->ir, offsetof(RiscvState, fp_dirty)); /* flags */
    set_x(c, a->rd, ir_fcmp(c->ir, c->xt, cond, get_f(c, type, a->rs1), get_f(c, type, a->rs2)));
    return true;
}
static bool to_integer(Ctx *c, const Arg *a, bool wide, bool is_unsigned, IrType type)
{
    IrRound round;
    if (!fp_rounding(c, a, &round))
        return false;
    fp_enable(c, a);
    ir_mark(c->ir, offsetof(RiscvState, fp_dirty));
    IrTmp v = ir_fftoi(c->ir, wide ? IR_I64 : IR_I32, is_unsigned, round, get_f(c, type, a->rs1));
    if (wide)
        set_x(c, a->rd, v);
    else
        set_w(c, a->rd, v);
    return true;
}
static bool from_integer(Ctx *c, const Arg *a, bool wide, bool is_unsigned, IrType type)
{
    IrRound round;
    if (!fp_rounding(c, a, &round))
        return false;
    fp_enable(c, a);
    IrTmp v = wide ? get_x(c, a->rs1) : get_w(c, a->rs1);
    set_f(c, type, a->rd, ir_fitof(c->ir, type, is_unsigned, round, v));
    return true;
}
static bool classify(Ctx *c, const Arg *a, IrType type)
{
    fp_enable(c, a);
    IrTmp bits = ir_fmove(c->ir, OP_fbits, type == IR_F32 ? IR_I32 : IR_I64, get_f(c, type, a->rs1));
    if (type == IR_F32)
        bits = ir_ext(c->ir, IR_I64, MO_32, bits);
    IrTmp v = ir_call(c->ir, IR_I64, HELPER_FCLASS, bits, ir_const(c->ir, IR_I64, type == IR_F32 ? 23 : 52), 0, 0);
    set_x(c, a->rd, c->xt == IR_I32 ? ir_unary(c->ir, OP_trunc, IR_I32, v) : v);
    return true;
}
static bool convert(Ctx *c, const Arg *a, IrType to)
{
    IrRound round;
    if (!fp_rounding(c, a, &round))
        return false;
    fp_enable(c, a);
    set_f(c, to, a->rd, ir_fp(c->ir, OP_fcvt, to, round, get_f(c, to == IR_F32 ? IR_F64 : IR_F32, a->rs1), 0));
    return true;
}

/* Both formats of an instruction. */
#define BOTH(name, call_s, call_d)           \
    bool rv_##name##_s(Ctx *c, const Arg *a) \
    {                                        \
        return call_s;                       \
    }                                        \
    bool rv_##name##_d(Ctx *c, const Arg *a) \
    {                                        \
        return call_d;                       \
    }
#define FORMATS(name, fn, what) BOTH(name, fn(c, a, what, IR_F32), fn(c, a, what, IR_F64))
FORMATS(fadd, arith, OP_fadd)
FORMATS(fsub, arith, OP_fsub)
FORMATS(fmul, arith, OP_fmul)
FORMATS(fdiv, arith, OP_fdiv)
FORMATS(fsqrt, arith, OP_fsqrt)
FORMATS(fmin, minmax, OP_fmin)
FORMATS(fmax, minmax, OP_fmax)
FORMATS(fmadd, fused, 0)
FORMATS(fmsub, fused, IR_FMA_NEG_ADDEND)
FORMATS(fnmsub, fused, IR_FMA_NEG_PRODUCT)
FORMATS(fnmadd, fused, IR_FMA_NEG_PRODUCT | IR_FMA_NEG_ADDEND)
FORMATS(fsgnj, sign, 0)
FORMATS(fsgnjn, sign, 1)
FORMATS(fsgnjx, sign, 2)
FORMATS(feq, compare, FCMP_EQ)
FORMATS(flt, compare, FCMP_LT)
FORMATS(fle, compare, FCMP_LE)
BOTH(fclass, classify(c, a, IR_F32), classify(c, a, IR_F64))
BOTH(fcvt_w, to_integer(c, a, false, false, IR_F32), to_integer(c, a, false, false, IR_F64))
BOTH(fcvt_wu, to_integer(c, a, false, true, IR_F32), to_integer(c, a, false, true, IR_F64))
BOTH(fcvt_l, to_integer(c, a, true, false, IR_F32), to_integer(c, a, true, false, IR_F64))
BOTH(fcvt_lu, to_integer(c, a, true, true, IR_F32), to_integer(c, a, true, true, IR_F64))

#define FROM_INTEGER(suffix, wide, is_unsigned)               \
    bool rv_fcvt_s_##suffix(Ctx *c, const Arg *a)             \
    {                                                         \
        return from_integer(c, a, wide, is_unsigned, IR_F32); \
    }                                                         \
    bool rv_fcvt_d_##suffix(Ctx *c, const Arg *a)             \
    {                                                         \
        return from_integer(c, a, wide, is_unsigned, IR_F64); \
    }
FROM_INTEGER(w, false, false)
FROM_INTEGER(wu, false, true)
FROM_INTEGER(l, true, false)
FROM_INTEGER(lu, true, true)

bool rv_fcvt_s_d(Ctx *c, const Arg *a)
{
    return convert(c, a, IR_F32);
}
bool rv_fcvt_d_s(Ctx *c, const Arg *a)
{
    return convert(c, a, IR_F64);
}

/* ---- moves, loads, stores: bits as they are ---- */
bool rv_fmv_x_w(Ctx *c, const Arg *a)
{
    fp_enable(c, a);
    IrTmp bits = ir_fmove(c->ir, OP_fbits, IR_I64, get_f(c, IR_F64, a->rs1));
    set_w(c, a->rd, ir_unary(c->ir, OP_trunc, IR_I32, bits));
    return true;
}
bool rv_fmv_w_x(Ctx *c, const Arg *a)
{
    fp_enable(c, a);
    set_f(c, IR_F32, a->rd, ir_fmove(c->ir, OP_fofbits, IR_F32, get_w(c, a->rs1)));
    return true;
}
bool rv_fmv_x_d(Ctx *c, const Arg *a)
{
    fp_enable(c, a);
    set_x(c, a->rd, ir_fmove(c->ir, OP_fbits, IR_I64, get_f(c, IR_F64, a->rs1)));
    return true;
}
bool rv_fmv_d_x(Ctx *c, const Arg *a)
{
    fp_enable(c, a);
    set_f(c, IR_F64, a->rd, ir_fmove(c->ir, OP_fofbits, IR_F64, get_x(c, a->rs1)));
    return true;
}
bool rv_flw(Ctx *c, const Arg *a)
{
    fp_enable(c, a);
    set_f(c, IR_F32, a->rd, load_at(c, IR_F32, MO_32, a->rs1, a->imm));
    return true;
}
bool rv_fld(Ctx *c, const Arg *a)
{
    fp_enable(c, a);
    set_f(c, IR_F64, a->rd, load_at(c, IR_F64, MO_64, a->rs1, a->imm));
    return true;
}
/* A store writes the low half, whether it is boxed or not. */
bool rv_fsw(Ctx *c, const Arg *a)
{
    fp_enable(c, a);
    store_at(c, MO_32, a->rs1, a->imm, ir_getreg(c->ir, RISCV_REG_F0 + a->rs2));
    return true;
}
bool rv_fsd(Ctx *c, const Arg *a)
{
    fp_enable(c, a);
    store_at(c, MO_64, a->rs1, a->imm, get_f(c, IR_F64, a->rs2));
    return true;
}
