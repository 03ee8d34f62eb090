/*
 * RISC-V V: each instruction is a call of helper_vector with its operation and scalar operands.
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/insn_vector.h"
#include "target/riscv/vector.h"

/* What an instruction takes from scalar registers, and gives. */
enum { NONE, SCALAR, ADDRESS, SETVL, FSCALAR, FLOAT, RESULT, FRESULT };

static IrTmp get_x64(Ctx *c, unsigned r)
{
    IrTmp v = get_x(c, r);
    return c->xt == IR_I32 ? ir_ext(c->ir, IR_I64, MO_32 | MO_SIGNED, v) : v;
}
static IrTmp get_f64(Ctx *c, unsigned r)
{
    return ir_fmove(c->ir, OP_fbits, IR_I64, ir_getreg(c->ir, RISCV_REG_F0 + r));
}

/* Floating point must be on, and the dynamic rounding mode one that there is (section 31.13.1). */
static bool enable_float(Ctx *c, const Arg *a)
{
    if ((c->insn->mode >> MODE_FRM_SHIFT & 3) == 2)
        return false;
    ir_guard(c->ir, offsetof(RiscvState, fp_off), HELPER_FP_OFF, a->bits);
    ir_mark(c->ir, offsetof(RiscvState, fp_dirty));
    return true;
}

static void call_vector(Ctx *c, const Arg *a, unsigned op, unsigned scalar)
{
    IrTmp x = ir_const(c->ir, IR_I64, 0), y = x;
    if (scalar == SCALAR || scalar == ADDRESS || scalar == SETVL)
        x = get_x64(c, a->rs1);
    if (scalar == ADDRESS || scalar == SETVL)
        y = get_x64(c, a->rs2);
    if (scalar == FSCALAR)
        x = get_f64(c, a->rs1);
    IrTmp v =
        ir_call(c->ir, IR_I64, HELPER_VECTOR, x, y, ir_const(c->ir, IR_I64, a->bits), ir_const(c->ir, IR_I64, op));
    if (scalar == RESULT || scalar == SETVL)
        set_x(c, a->rd, c->xt == IR_I32 ? ir_unary(c->ir, OP_trunc, IR_I32, v) : v);
    if (scalar == FRESULT)
        ir_setreg(c->ir, RISCV_REG_F0 + a->rd, ir_fmove(c->ir, OP_fofbits, IR_F64, v));
}

static bool vector(Ctx *c, const Arg *a, unsigned op, unsigned scalar)
{
    if (scalar >= FSCALAR && scalar != RESULT && !enable_float(c, a))
        return false;
    if (vector_inline(c, a, op))
        return true;
    int slow = c->insn->cold ? ir_new_label(c->ir) : 0, done = c->insn->cold ? ir_new_label(c->ir) : 0;
    if (vector_tail(c, a, op, slow))
        ir_br(c->ir, done);
    if (c->insn->cold)
        ir_label(c->ir, slow);
    call_vector(c, a, op, scalar);
    if (c->insn->cold)
        ir_label(c->ir, done);
    return true;
}

/* vsetvli x0, x0 keeps vl, which is expected to be VLMAX: to that *length, then. */
static bool expected_length(Ctx *c, const Arg *a, unsigned *length)
{
    uint32_t expected = c->insn->cold || !c->ir->vectors ? 0 : vector_expected(c);
    if (a->rs1 || a->rd || !expected)
        return false;
    vector_assume(c, expected);
    *length = v_max(c->s, v_lmul_of(expected), v_sew_of(expected));
    return true;
}

/* The length that vsetvli is given, at run time. */
static IrTmp given_length(Ctx *c, const Arg *a)
{
    if (!a->rs1)
        return ir_ldstate(c->ir, IR_I64, offsetof(RiscvState, vl), MO_64);
    IrTmp avl = get_x(c, a->rs1);
    return c->xt == IR_I32 ? ir_ext(c->ir, IR_I64, MO_32, avl) : avl;
}

/* vset{i}vli where the new vtype is one that there is: inline. */
static bool set_vl(Ctx *c, const Arg *a, bool immediate)
{
    unsigned vtype = a->bits >> 20 & (immediate ? 0x3ff : 0x7ff);
    if (!v_type_legal(vtype))
        return vector(c, a, immediate ? VOP_setivli : VOP_setvli, immediate ? RESULT : SETVL);
    unsigned most = v_max(c->s, v_lmul_of(vtype), v_sew_of(vtype)), length = most;
    IrTmp max = ir_const(c->ir, IR_I64, most), avl = max;
    bool known = immediate || (!a->rs1 && a->rd) || expected_length(c, a, &length);
    if (immediate)
        length = MIN(a->rs1, most);
    if (!known)
        avl = given_length(c, a);
    else
        avl = ir_const(c->ir, IR_I64, MIN(length, most));
    if (!c->ir->assumed) {
        ir_guard(c->ir, offsetof(RiscvState, vs_off), HELPER_FP_OFF, a->bits);
        ir_mark(c->ir, offsetof(RiscvState, vs_dirty));
        ir_ststate(c->ir, offsetof(RiscvState, vstart), MO_64, ir_const(c->ir, IR_I64, 0));
    }
    uint32_t some = V_READY | vtype;
    IrTmp vl = ir_select(c->ir, IR_I64, COND_LTU, avl, max, avl, max);
    IrTmp ready = ir_select(c->ir, IR_I32, COND_LTU, avl, max, ir_const(c->ir, IR_I32, some),
                            ir_const(c->ir, IR_I32, some | V_WHOLE));
    ir_ststate(c->ir, offsetof(RiscvState, vl), MO_64, vl);
    ir_ststate(c->ir, offsetof(RiscvState, vtype), MO_64, ir_const(c->ir, IR_I64, vtype));
    ir_ststate(c->ir, offsetof(RiscvState, v_ready), MO_32, ready);
    c->ir->assumed = known && length >= most ? some | V_WHOLE : some;
    c->ir->expected = some | V_WHOLE;
    set_x(c, a->rd, c->xt == IR_I32 ? ir_unary(c->ir, OP_trunc, IR_I32, vl) : vl);
    return true;
}

/* clang-format off */
/* ---- elementwise: FORMS_*(operation, its flags) ---- */
#define T(name, op, scalar) bool rv_v##name(Ctx *c, const Arg *a) { return vector(c, a, VOP_##op, scalar); }
#define FP_OR(flags, what) ((flags) & VO_FLOAT ? FLOAT : (what))
#define FORMS_V(n, flags) T(n##_vv, n, FP_OR(flags, NONE))
#define FORMS_X(n, flags) T(n##_vx, n, SCALAR)
#define FORMS_I(n, flags) T(n##_vi, n, NONE)
#define FORMS_F(n, flags) T(n##_vf, n, FSCALAR)
#define FORMS_N(n, flags) T(n, n, VOP_##n == VOP_fmv_v_f ? FSCALAR : FP_OR(flags, NONE))
#define FORMS_VX(n, flags) FORMS_V(n, flags) FORMS_X(n, flags)
#define FORMS_XI(n, flags) FORMS_X(n, flags) FORMS_I(n, flags)
#define FORMS_VXI(n, flags) FORMS_VX(n, flags) FORMS_I(n, flags)
#define FORMS_VF(n, flags) FORMS_V(n, flags) FORMS_F(n, flags)
#define FORMS_VXM(n, flags) T(n##_vvm, n, NONE) T(n##_vxm, n, SCALAR)
#define FORMS_VXIM(n, flags) FORMS_VXM(n, flags) T(n##_vim, n, NONE)
#define FORMS_VXMV(n, flags) FORMS_VXM(n, flags) FORMS_VX(n, flags)
#define FORMS_VXIMV(n, flags) FORMS_VXIM(n, flags) FORMS_VXI(n, flags)
#define FORMS_MOVE(n, flags) T(mv_v_v, n, NONE) T(mv_v_x, n, SCALAR) T(mv_v_i, n, NONE)
#define FORMS_NARROW(n, flags) T(n##_wv, n, NONE) T(n##_wx, n, SCALAR) T(n##_wi, n, NONE)
#define FORMS_FM(n, flags) T(n##_vfm, n, FSCALAR)
/* the operation is called n_w, the instructions n_wv, n_wx */
#define FORMS_W(n, flags) T(n##v, n, NONE) T(n##x, n, SCALAR)
#define FORMS_WF(n, flags) T(n##v, n, FLOAT) T(n##f, n, FSCALAR)
#define V(name, forms, kernels, flags) FORMS_##forms(name, flags)
VECTOR_ELEMENTWISE(V)
#undef V

/* ---- the others: an instruction each, but for loads and stores ---- */
#define S(name, fn, scalar) SPECIAL_##scalar(name, scalar)
#define SPECIAL_NONE(name, scalar) T(name, name, scalar)
#define SPECIAL_SCALAR SPECIAL_NONE
#define SPECIAL_FSCALAR SPECIAL_NONE
#define SPECIAL_FLOAT SPECIAL_NONE
#define SPECIAL_RESULT SPECIAL_NONE
#define SPECIAL_FRESULT SPECIAL_NONE
#define SPECIAL_SETVL(name, scalar) SETVL_##name(name, scalar)
#define SETVL_setvl SPECIAL_NONE
#define SETVL_setvli(name, scalar) bool rv_vsetvli(Ctx *c, const Arg *a) { return set_vl(c, a, false); }
#define SPECIAL_SETIVL(name, scalar) bool rv_vsetivli(Ctx *c, const Arg *a) { return set_vl(c, a, true); }
#define SPECIAL_ADDRESS(name, scalar)
VECTOR_SPECIAL(S)
#undef S
#define MEMORY(bits) \
    T(le##bits##_v, le, ADDRESS) T(le##bits##ff_v, leff, ADDRESS) T(lre##bits##_v, lr, ADDRESS) \
    T(lse##bits##_v, lse, ADDRESS) T(luxei##bits##_v, lxei, ADDRESS) T(loxei##bits##_v, lxei, ADDRESS) \
    T(se##bits##_v, se, ADDRESS) T(sse##bits##_v, sse, ADDRESS) T(suxei##bits##_v, sxei, ADDRESS) \
    T(soxei##bits##_v, sxei, ADDRESS)
MEMORY(8) MEMORY(16) MEMORY(32) MEMORY(64)
T(lm_v, lm, ADDRESS)
T(sm_v, sm, ADDRESS)
T(sr_v, sr, ADDRESS)
    /* clang-format on */
