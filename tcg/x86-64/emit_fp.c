/*
 * x86-64 back end: floating-point arithmetic, comparisons and bit moves on the host's SSE or AVX units.
 *
 * The guest's dynamic rounding mode is in MXCSR, where exceptions accrue too, so FROUND_DYN is the plain instruction.
 * Static rounding modes go to software unless the result is exact. IEEE 754-2019; RISC-V's choices (canonical NaN,
 * minimumNumber, and invalid for infinity times zero plus a quiet NaN) are told from the host's by one unordered
 * comparison and a cold stub.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/softfloat.h"
#include "tcg/x86-64/regs.h"

static Mem nan_of(IrType type)
{
    return mem_cache(type == IR_F64 ? POOL_NAN64 : POOL_NAN32);
}
static uint32_t ucomis(IrType type)
{
    return I_UCOMIS | (type == IR_F64 ? P_66 : 0);
}
static void fp_move(Emit *e, int d, int s)
{
    if (d != s)
        asm_rr(&e->a, I_MOVAPS, d, s);
}
static Operand fp_reg(int r)
{
    return (Operand){ .reg = r };
}
static Operand fp_const(int32_t offset)
{
    return (Operand){ .reg = NO_REG, .mem = mem_cache(offset) };
}

void fp_op3(Emit *e, uint32_t op, int d, int a, Operand b)
{
    if (host_features.avx) {
        if (b.reg == NO_REG)
            asm_vex_rm(&e->a, op, d, a, b.mem);
        else
            asm_vex_rr(&e->a, op, d, a, b.reg);
        return;
    }
    if (d == b.reg && d != a) {
        int t = scratch_xmm(e);
        fp_move(e, t, b.reg);
        b.reg = t;
    }
    fp_move(e, d, a);
    if (b.reg == NO_REG)
        asm_rm(&e->a, op, d, b.mem);
    else
        asm_rr(&e->a, op, d, b.reg);
}

/* ---- canonical NaN ---- */

static void load_nan(Emit *e, IrType type, int d)
{
    asm_rm(&e->a, I_FMOV_LOAD | fp_prefix(type), d, nan_of(type));
}

static void stub_nan(Emit *e, const Stub *s)
{
    asm_patch(s->from, e->a.p);
    load_nan(e, s->insn->type, s->r0);
    asm_jmp(&e->a, s->back);
}

void check_nan(Emit *e, const IrInsn *insn, int d)
{
    if (!(insn->flags & IR_NAN_CANONICAL))
        return;
    asm_rr(&e->a, ucomis(insn->type), d, d);
    uint8_t *nan = asm_jcc_forward(&e->a, CC_P);
    new_stub(e, stub_nan, nan, insn)->r0 = d;
}

/* ---- software ---- */

/* What soft_fp is asked for. */
static uint32_t soft_what(Emit *e, const IrInsn *insn)
{
    return SOFT_WHAT(insn->op, insn->type, insn->aux, insn->imm, e->u->tmps[insn->arg[0]].type);
}

static void soft_argument(Emit *e, unsigned k, int reg)
{
    asm_rm(&e->a, reg >= XMM0 ? I_MOVQ_STORE : I_MOV_STORE | W64, reg, mem_at(RSP, FRAME_SOFT + 8 * k));
}

static void soft_result(Emit *e, IrType type, int dst)
{
    Mem m = mem_at(RSP, FRAME_SOFT);
    if (dst >= XMM0)
        asm_rm(&e->a, type == IR_F64 ? I_MOVQ_LOAD : I_FMOV_LOAD | P_F3, dst, m);
    else
        asm_rm(&e->a, I_MOV_LOAD | width(type), dst, m);
}

void emit_soft(Emit *e, const IrInsn *insn)
{
    for (unsigned k = 0; k < 3 && insn->arg[k]; k++)
        soft_argument(e, k,
                      value_of(e, insn->arg[k])->type >= IR_F32 ? use_xmm(e, insn->arg[k]) : use_gpr(e, insn->arg[k]));
    int dst = insn->type >= IR_F32 ? result_xmm(e, insn->dst, 0) : result_gpr(e, insn->dst, 0);
    call_thunk(e, THUNK_SOFT, soft_what(e, insn));
    soft_result(e, insn->type, dst);
    bind(e, insn->dst, insn->type, dst);
}

/* r0..r2: arguments, r3: result */
static void stub_soft(Emit *e, const Stub *s)
{
    const int8_t r[3] = { s->r0, s->r1, s->r2 };
    asm_patch(s->from, e->a.p);
    for (unsigned k = 0; k < 3; k++) {
        if (r[k] != NO_REG)
            soft_argument(e, k, r[k]);
    }
    call_thunk(e, THUNK_SOFT, s->imm);
    soft_result(e, s->insn->type, s->r3);
    asm_jmp(&e->a, s->back);
}

void soft_stub(Emit *e, const IrInsn *insn, uint8_t *from, const int8_t r[3], int dst)
{
    Stub *s = new_stub(e, stub_soft, from, insn);
    s->r0 = r[0];
    s->r1 = r[1];
    s->r2 = r[2];
    s->r3 = dst;
    s->imm = soft_what(e, insn);
}

/* ---- arithmetic ---- */

static void emit_arithmetic(Emit *e, const IrInsn *insn)
{
    static const uint32_t ops[OP_COUNT] = {
        [OP_fadd] = I_FADD, [OP_fsub] = I_FSUB, [OP_fmul] = I_FMUL, [OP_fdiv] = I_FDIV
    };
    if (insn->aux != FROUND_DYN) {
        emit_soft(e, insn);
        return;
    }
    int a = use_xmm(e, insn->arg[0]);
    Operand b = use_operand(e, insn->arg[1]);
    int d = result_xmm(e, insn->dst, insn->arg[0]);
    fp_op3(e, ops[insn->op] | fp_prefix(insn->type), d, a, b);
    check_nan(e, insn, d);
    bind(e, insn->dst, insn->type, d);
}

static void emit_sqrt(Emit *e, const IrInsn *insn)
{
    if (insn->aux != FROUND_DYN) {
        emit_soft(e, insn);
        return;
    }
    int a = use_xmm(e, insn->arg[0]);
    int d = result_xmm(e, insn->dst, insn->arg[0]);
    if (host_features.avx)
        asm_vex_rr(&e->a, I_FSQRT | fp_prefix(insn->type), d, a, a);
    else
        asm_rr(&e->a, I_FSQRT | fp_prefix(insn->type), d, a);
    check_nan(e, insn, d);
    bind(e, insn->dst, insn->type, d);
}

/*
 * a * b + c. A NaN result goes to software, which also finds the one exception that the host does not raise: infinity
 * times zero plus a quiet NaN. If the result has overwritten c, the NaN itself stands for it: if c was none, the
 * exception has been raised by the host.
 */
static void emit_fma(Emit *e, const IrInsn *insn)
{
    static const uint32_t ops[] = { I_FMADD213, I_FNMADD213, I_FMSUB213, I_FNMSUB213 }; /* by IR_FMA_* */
    if (insn->aux != FROUND_DYN || !host_features.fma) {
        emit_soft(e, insn);
        return;
    }
    int a = use_xmm(e, insn->arg[0]), b = use_xmm(e, insn->arg[1]), c = use_xmm(e, insn->arg[2]);
    int hint = result_xmm(e, insn->dst, insn->arg[2]);
    int d = hint == a || hint == b ? scratch_xmm(e) : hint; /* the stub wants a and b */
    if (d == a || d == b)
        d = scratch_xmm(e);
    fp_move(e, d, c);
    asm_vex_rr(&e->a, (ops[insn->imm & 3] + FMA_213_TO_231) | (insn->type == IR_F64 ? W64 : 0), d, a, b);
    if (insn->flags & IR_NAN_CANONICAL) {
        asm_rr(&e->a, ucomis(insn->type), d, d);
        uint8_t *nan = asm_jcc_forward(&e->a, CC_P);
        soft_stub(e, insn, nan, (const int8_t[]){ a, b, d == c ? d : c }, d);
    }
    fp_move(e, hint, d);
    bind(e, insn->dst, insn->type, hint);
}

/* ---- minimum and maximum ---- */

/* r0: result, r1: a, r2: b. Equal (zeros of both signs among them) or unordered; the flags say which. */
static void stub_minmax(Emit *e, const Stub *s)
{
    IrType type = s->insn->type;
    Asm *a = &e->a;

    asm_patch(s->from, a->p);
    uint8_t *unordered = asm_jcc_short(a, CC_P);
    /* equal numbers have equal bits, but for the sign of zeros: -0 is the smaller */
    e->locked = UINT32_MAX; /* r0 is neither a nor b: nothing is allocated */
    fp_op3(e, s->insn->op == OP_fmin ? I_ORPS : I_ANDPS, s->r0, s->r1, fp_reg(s->r2));
    asm_jmp(a, s->back);
    asm_patch_short(unordered, a->p);
    /* the comparison has raised invalid for a signalling NaN; the other operand is the result, or two NaNs make the
     * canonical one */
    asm_rr(a, ucomis(type), s->r1, s->r1);
    fp_move(e, s->r0, s->r1);
    asm_jcc(a, CC_NP, s->back);
    asm_rr(a, ucomis(type), s->r2, s->r2);
    fp_move(e, s->r0, s->r2);
    asm_jcc(a, CC_NP, s->back);
    load_nan(e, type, s->r0);
    asm_jmp(a, s->back);
}

static void emit_minmax(Emit *e, const IrInsn *insn)
{
    int a = use_xmm(e, insn->arg[0]), b = use_xmm(e, insn->arg[1]);
    int hint = result_xmm(e, insn->dst, 0);
    int d = hint == a || hint == b ? scratch_xmm(e) : hint;
    asm_rr(&e->a, ucomis(insn->type), a, b);
    uint8_t *cold = asm_jcc_forward(&e->a, CC_E); /* unordered sets ZF too */
    fp_op3(e, (insn->op == OP_fmin ? I_FMIN : I_FMAX) | fp_prefix(insn->type), d, a, fp_reg(b));
    Stub *s = new_stub(e, stub_minmax, cold, insn);
    s->r0 = d;
    s->r1 = a;
    s->r2 = b;
    fp_move(e, hint, d);
    bind(e, insn->dst, insn->type, hint);
}

/* ---- comparisons ---- */

static void emit_fcmp(Emit *e, const IrInsn *insn)
{
    IrType type = e->u->tmps[insn->arg[0]].type;
    IrTmp left = insn->arg[0], right = insn->arg[1];

    if (insn->aux == FCMP_EQ) { /* CMPSS/SD predicate 0: equal, ordered, quiet */
        int a = use_xmm(e, left);
        Operand b = use_operand(e, right);
        int t = scratch_xmm(e);
        int dst = result_gpr(e, insn->dst, 0);
        uint32_t op = I_FCMP | fp_prefix(type);
        if (host_features.avx && b.reg == NO_REG) {
            asm_vex_rm_imm(&e->a, op, t, a, b.mem, 1);
        } else if (host_features.avx) {
            asm_vex_rr(&e->a, op, t, a, b.reg);
        } else {
            fp_move(e, t, a);
            if (b.reg == NO_REG)
                asm_rm_imm(&e->a, op, t, b.mem, 1);
            else
                asm_rr(&e->a, op, t, b.reg);
        }
        asm_u8(&e->a, 0);
        asm_rr(&e->a, I_MOVD_FROM_XMM, t, dst);
        asm_alu_imm(&e->a, 0, ALU_AND, dst, 1);
        bind(e, insn->dst, insn->type, dst);
        return;
    }
    /* a < b as b > a: "above" is false for unordered */
    int b = use_xmm(e, right);
    Operand a = use_operand(e, left);
    int dst = result_gpr(e, insn->dst, 0);
    asm_zero(&e->a, dst);
    op_operand(e, I_COMIS | (type == IR_F64 ? P_66 : 0), b, a);
    asm_rr(&e->a, 0x90 | M_0F | BYTE_RM | (insn->aux == FCMP_LT ? CC_A : CC_AE), 0, dst);
    bind(e, insn->dst, insn->type, dst);
}

/* ---- bits ---- */

static void emit_fbits(Emit *e, const IrInsn *insn)
{
    Operand x = use_operand(e, insn->arg[0]);
    int dst = result_gpr(e, insn->dst, 0);
    if (x.reg == NO_REG)
        asm_rm(&e->a, I_MOV_LOAD | width(insn->type), dst, x.mem);
    else
        asm_rr(&e->a, I_MOVD_FROM_XMM | width(insn->type), x.reg, dst);
    bind(e, insn->dst, insn->type, dst);
}

static void emit_fofbits(Emit *e, const IrInsn *insn)
{
    IrTmp a = insn->arg[0];
    bool wide = insn->type == IR_F64;
    int dst;

    if (is_constant(e, a) && value_of(e, a)->imm == 0) {
        dst = result_xmm(e, insn->dst, 0);
        asm_rr(&e->a, I_XORPS, dst, dst);
    } else {
        Operand x = use_operand(e, a);
        dst = result_xmm(e, insn->dst, 0);
        if (x.reg == NO_REG)
            asm_rm(&e->a, wide ? I_MOVQ_LOAD : I_FMOV_LOAD | P_F3, dst, x.mem);
        else
            asm_rr(&e->a, I_MOVD_TO_XMM | (wide ? W64 : 0), dst, x.reg);
    }
    bind(e, insn->dst, insn->type, dst);
}

static void emit_fbox(Emit *e, const IrInsn *insn)
{
    int a = use_xmm(e, insn->arg[0]);
    int d = result_xmm(e, insn->dst, insn->arg[0]);
    fp_op3(e, I_ORPS, d, a, fp_const(POOL_BOX));
    bind(e, insn->dst, insn->type, d);
}

static void emit_funbox(Emit *e, const IrInsn *insn)
{
    Operand x = use_operand(e, insn->arg[0]);
    int d = result_xmm(e, insn->dst, insn->arg[0]);
    if (x.reg == NO_REG) {
        asm_rm(&e->a, I_FMOV_LOAD | P_F3, d, x.mem);
        x.mem.disp += 4;
        asm_alu_mem_imm(&e->a, 0, ALU_CMP, x.mem, -1);
    } else {
        int t = scratch_gpr(e);
        asm_rr(&e->a, I_PEXTRD, x.reg, t);
        asm_u8(&e->a, 1);
        fp_move(e, d, x.reg);
        asm_alu_imm(&e->a, 0, ALU_CMP, t, -1);
    }
    uint8_t *unboxed = asm_jcc_forward(&e->a, CC_NE);
    new_stub(e, stub_nan, unboxed, insn)->r0 = d;
    bind(e, insn->dst, insn->type, d);
}

/* Sign injection: a's magnitude with b's sign (0), the opposite of it (1), or a's sign xor b's (2). */
static void emit_fsgn(Emit *e, const IrInsn *insn)
{
    bool wide = insn->type == IR_F64;
    Operand sign = fp_const(wide ? POOL_SIGN64 : POOL_SIGN32), magnitude = fp_const(wide ? POOL_ABS64 : POOL_ABS32);
    int a = use_xmm(e, insn->arg[0]), b = use_xmm(e, insn->arg[1]);

    if (a == b) { /* move, negate, absolute value */
        int d = result_xmm(e, insn->dst, insn->arg[0]);
        if (insn->imm == 0)
            fp_move(e, d, a);
        else
            fp_op3(e, insn->imm == 1 ? I_XORPS : I_ANDPS, d, a, insn->imm == 1 ? sign : magnitude);
        bind(e, insn->dst, insn->type, d);
        return;
    }
    int t = scratch_xmm(e);
    fp_op3(e, insn->imm == 1 ? I_ANDNPS : I_ANDPS, t, b, sign);
    int d = result_xmm(e, insn->dst, insn->arg[0]);
    if (insn->imm == 2) {
        fp_op3(e, I_XORPS, d, a, fp_reg(t));
    } else {
        fp_op3(e, I_ANDPS, d, a, magnitude);
        fp_op3(e, I_ORPS, d, d, fp_reg(t));
    }
    bind(e, insn->dst, insn->type, d);
}

void emit_fp_op(Emit *e, const IrInsn *insn)
{
    switch (insn->op) {
    case OP_fadd:
    case OP_fsub:
    case OP_fmul:
    case OP_fdiv:
        emit_arithmetic(e, insn);
        break;
    case OP_fsqrt:
        emit_sqrt(e, insn);
        break;
    case OP_fma:
        emit_fma(e, insn);
        break;
    case OP_fmin:
    case OP_fmax:
        emit_minmax(e, insn);
        break;
    case OP_fcmp:
        emit_fcmp(e, insn);
        break;
    case OP_fbits:
        emit_fbits(e, insn);
        break;
    case OP_fofbits:
        emit_fofbits(e, insn);
        break;
    case OP_fbox:
        emit_fbox(e, insn);
        break;
    case OP_funbox:
        emit_funbox(e, insn);
        break;
    case OP_fsgn:
        emit_fsgn(e, insn);
        break;
    default:
        g_assert_not_reached();
    }
}
