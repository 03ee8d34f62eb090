/*
 * x86-64 back end: scalar floating point on SSE and FMA. The guest's rounding mode is in MXCSR and flags accrue there;
 * what the host does otherwise (NaN results, static rounding, saturation) goes to cold stubs.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/softfloat.h"
#include "tcg/x86-64/regs.h"

static uint32_t scalar(unsigned type)
{
    return (type == IR_F64 ? P_F2 : P_F3) | P_0F;
}

static uint32_t what_of(const Emit *e, const IrInsn *insn)
{
    return SOFT_WHAT(insn->op, insn->type, insn->aux, insn->imm & 3, e->u->tmps[insn->arg[0]].type);
}

/* By the soft-float function, always: arguments to the frame, call, result. */
static void emit_soft(Emit *e, const IrInsn *insn)
{
    static const int32_t slots[] = { FRAME_VA, FRAME_VALUE, FRAME_VALUE2 };
    for (unsigned k = 0; k < 3 && insn->arg[k]; k++) {
        int reg = use_reg(e, insn->arg[k]);
        if (is_xmm(reg))
            op_rm(&e->a, P_F2 | P_0F | 0x11, reg - XMM0, mem(RSP, slots[k]), false);
        else
            mov_store(&e->a, mem(RSP, slots[k]), reg, true);
    }
    mov_mem_imm(&e->a, mem(RSP, FRAME_INFO), what_of(e, insn), false);
    call_to(&e->a, slow_thunk(e, THUNK_SOFT));
    int dst = def_reg(e, insn->dst, 0);
    if (is_xmm(dst))
        op_rm(&e->a, P_F2 | P_0F | 0x10, dst - XMM0, mem(RSP, FRAME_RESULT), false);
    else
        mov_load(&e->a, dst, mem(RSP, FRAME_RESULT), true);
    def_done(e, insn->dst, dst);
}

static void compare_self(Emit *e, int reg, int other)
{
    op_rr(&e->a, P_66 | P_0F | 0x2e, reg - XMM0, other - XMM0, false); /* ucomisd: unordered if either is a NaN */
}

static void replace_nan(Emit *e, int reg, unsigned type)
{
    op_rip(&e->a, P_0F | 0x28, reg - XMM0, constant(type == IR_F64 ? CONST_NAN64 : CONST_NAN32), false);
}

/* Two registers (or the same twice) with results not looked at yet. */
static void check_pair(Emit *e, int reg, int other)
{
    compare_self(e, reg, other);
    ColdStub *s = new_stub(e, STUB_NAN);
    s->from = jcc_forward(&e->a, CC_P);
    s->back = e->a.p;
    s->dst = reg;
    s->value = other;
    s->info = IR_F64;
    e->unchecked &= ~(1u << reg | 1u << other);
}

void check_later_nan(Emit *e, int reg)
{
    if (e->unchecked >> reg & 1)
        check_pair(e, reg, reg);
}

void check_later_nans(Emit *e)
{
    while (e->unchecked) {
        int reg = __builtin_ctz(e->unchecked);
        uint32_t others = e->unchecked & ~(1u << reg);
        check_pair(e, reg, others ? __builtin_ctz(others) : reg);
    }
}

void emit_stub_nans(Emit *e, const ColdStub *s)
{
    if (!s->nans)
        return;
    mov_mem_imm(&e->a, mem(RSP, FRAME_EXTRA), s->nans, false);
    call_to(&e->a, thunk(THUNK_NANS));
}

/* After an operation into reg: a NaN becomes the canonical one, at once or (F64) when something is about to see it. */
static void define_checked(Emit *e, const IrInsn *insn, int reg)
{
    if (insn->type == IR_F64 || !(insn->flags & IR_NAN_CANONICAL)) {
        def_done(e, insn->dst, reg);
        if (insn->flags & IR_NAN_CANONICAL)
            e->unchecked |= 1u << reg;
        return;
    }
    op_rr(&e->a, (insn->type == IR_F64 ? P_66 : 0) | P_0F | 0x2e, reg - XMM0, reg - XMM0, false); /* ucomis */
    ColdStub *s = new_stub(e, STUB_NAN);
    s->from = jcc_forward(&e->a, CC_P);
    s->back = e->a.p;
    s->dst = s->value = reg;
    s->info = insn->type;
    def_done(e, insn->dst, reg);
}

static void move_xmm(Emit *e, int dst, int src)
{
    if (dst != src)
        op_rr(&e->a, P_0F | 0x28, dst - XMM0, src - XMM0, false);
}

static void emit_arith(Emit *e, const IrInsn *insn, unsigned opcode)
{
    IrTmp a = insn->arg[0], b = insn->arg[1];
    Mem m;
    int x = use_reg(e, a), y = a == b ? x : use_reg_or_mem(e, b, &m);
    int dst = def_reg(e, insn->dst, 0);
    uint32_t op = scalar(insn->type) | opcode;
    if (host_features.avx && (y == NO_REG || dst != x)) { /* three operands: no copy */
        unsigned prefix = insn->type == IR_F64 ? 3 : 2;
        if (y == NO_REG)
            vex_rm(&e->a, 1, prefix, false, opcode, dst - XMM0, x - XMM0, m);
        else
            vex_rr(&e->a, 1, prefix, false, opcode, dst - XMM0, x - XMM0, y - XMM0);
    } else if (y == NO_REG) {
        move_xmm(e, dst, x);
        op_rm(&e->a, op, dst - XMM0, m, false);
    } else if (dst == y && dst != x) {
        if (insn->op == OP_fadd || insn->op == OP_fmul) {
            op_rr(&e->a, op, dst - XMM0, x - XMM0, false);
        } else {
            int t = scratch_xmm(e);
            move_xmm(e, t, x);
            op_rr(&e->a, op, t - XMM0, y - XMM0, false);
            move_xmm(e, dst, t);
        }
    } else {
        move_xmm(e, dst, x);
        op_rr(&e->a, op, dst - XMM0, y - XMM0, false);
    }
    define_checked(e, insn, dst);
}

static void emit_sqrt(Emit *e, const IrInsn *insn)
{
    int x = use_reg(e, insn->arg[0]), dst = def_reg(e, insn->dst, 0);
    op_rr(&e->a, scalar(insn->type) | 0x51, dst - XMM0, x - XMM0, false);
    define_checked(e, insn, dst);
}

static void emit_fma(Emit *e, const IrInsn *insn)
{
    static const uint8_t forms231[] = { 0xb9, 0xbd, 0xbb, 0xbf }; /* fmadd, fnmadd, fmsub, fnmsub: by IR_FMA_* bits */
    int x = use_reg(e, insn->arg[0]), y = use_reg(e, insn->arg[1]), z = use_reg(e, insn->arg[2]);
    int dst = def_reg(e, insn->dst, (1u << x | 1u << y) & ~(1u << z));
    if ((dst == x || dst == y) && dst != z) {
        dst = scratch_xmm(e);
    } else if (dst == z && (x == z || y == z)) {
        dst = scratch_xmm(e);
    }
    move_xmm(e, dst, z);
    vex_rr(&e->a, 2, 1, insn->type == IR_F64, forms231[insn->imm & 3], dst - XMM0, x - XMM0, y - XMM0);
    /* A NaN goes to software: infinity * 0 + quiet NaN is invalid, which the host does not say. The product's operands
     * are intact, and a third that was overwritten makes no difference any more. */
    uint32_t others = e->unchecked & ~(1u << dst);
    int other = insn->type == IR_F64 && others ? __builtin_ctz(others) : dst; /* looked at on the occasion */
    op_rr(&e->a, (insn->type == IR_F64 ? P_66 : 0) | P_0F | 0x2e, dst - XMM0, other - XMM0, false); /* ucomis */
    e->unchecked &= ~(1u << other);
    ColdStub *s = new_stub(e, STUB_FMA);
    s->value2 = other;
    s->from = jcc_forward(&e->a, CC_P);
    s->back = e->a.p;
    s->va = x;
    s->value = y;
    s->dst = dst;
    s->info = what_of(e, insn);
    def_done(e, insn->dst, dst);
}

static void emit_fcmp(Emit *e, const IrInsn *insn)
{
    bool is64 = e->u->tmps[insn->arg[0]].type == IR_F64;
    int x = use_reg(e, insn->arg[0]), y = use_reg(e, insn->arg[1]);
    Asm *a = &e->a;
    int dst = def_reg(e, insn->dst, 0);
    uint32_t prefix = (is64 ? P_66 : 0) | P_0F;
    if (insn->aux == FCMP_EQ) { /* equal and ordered */
        int t = scratch_int(e);
        op_rr(a, prefix | 0x2e, x - XMM0, y - XMM0, false);
        put_opcode(a, P_0F | 0x90 | CC_NP, t >= RSP ? 0x40 | t >> 3 : 0);
        put_byte(a, 0xc0 | (t & 7));
        put_opcode(a, P_0F | 0x90 | CC_E, dst >= RSP ? 0x40 | dst >> 3 : 0);
        put_byte(a, 0xc0 | (dst & 7));
        alu_rr(a, ALU_AND, dst, t, false);
    } else { /* x < y as y > x: false when unordered */
        int cc = insn->aux == FCMP_LT ? CC_A : CC_AE;
        op_rr(a, prefix | 0x2f, y - XMM0, x - XMM0, false);
        put_opcode(a, P_0F | 0x90 | cc, dst >= RSP ? 0x40 | dst >> 3 : 0);
        put_byte(a, 0xc0 | (dst & 7));
    }
    op_rr(a, P_0F | 0xb6 | BYTE_REG, dst, dst, false);
    def_done(e, insn->dst, dst);
}

static void emit_fftoi(Emit *e, const IrInsn *insn)
{
    unsigned source = e->u->tmps[insn->arg[0]].type;
    if (insn->imm || (insn->aux != FROUND_RTZ && insn->aux != FROUND_DYN)) {
        emit_soft(e, insn);
        return;
    }
    bool wide = insn->type == IR_I64;
    int x = use_reg(e, insn->arg[0]), dst = def_reg(e, insn->dst, 0);
    op_rr(&e->a, scalar(source) | (insn->aux == FROUND_RTZ ? 0x2c : 0x2d), dst, x - XMM0, wide);
    alu_imm(&e->a, ALU_CMP, dst, 1, wide);
    ColdStub *s = new_stub(e, STUB_SOFT); /* the host's "integer indefinite": out of range, NaN, or right */
    s->from = jcc_forward(&e->a, CC_O);
    s->back = e->a.p;
    s->va = x;
    s->dst = dst;
    s->info = what_of(e, insn);
    def_done(e, insn->dst, dst);
}

static void emit_fitof(Emit *e, const IrInsn *insn)
{
    unsigned source = e->u->tmps[insn->arg[0]].type;
    bool exact = source == IR_I32 && insn->type == IR_F64;
    if ((insn->imm && source == IR_I64) || (!exact && insn->aux != FROUND_DYN)) {
        emit_soft(e, insn);
        return;
    }
    int x = use_reg(e, insn->arg[0]);
    bool wide = source == IR_I64;
    if (insn->imm) { /* unsigned word: as a double word */
        int t = scratch_int(e);
        mov_rr(&e->a, t, x, false);
        x = t;
        wide = true;
    }
    int dst = def_reg(e, insn->dst, 0);
    op_rr(&e->a, P_0F | 0x57, dst - XMM0, dst - XMM0, false); /* no dependence on the old value */
    op_rr(&e->a, scalar(insn->type) | 0x2a, dst - XMM0, x, wide);
    def_done(e, insn->dst, dst);
}

static void emit_fcvt(Emit *e, const IrInsn *insn)
{
    if (insn->type == IR_F32 && insn->aux != FROUND_DYN) {
        emit_soft(e, insn);
        return;
    }
    int x = use_reg(e, insn->arg[0]), dst = def_reg(e, insn->dst, 0);
    op_rr(&e->a, scalar(insn->type == IR_F64 ? IR_F32 : IR_F64) | 0x5a, dst - XMM0, x - XMM0, false);
    define_checked(e, insn, dst);
}

static void emit_fmove(Emit *e, const IrInsn *insn)
{
    Asm *a = &e->a;
    bool is64 = wide_type(insn->type);
    int x = use_reg(e, insn->arg[0]), dst = def_reg(e, insn->dst, 0);
    switch (insn->op) {
    case OP_fbits:
        op_rr(a, P_66 | P_0F | 0x7e, x - XMM0, dst, is64);
        break;
    case OP_fofbits:
        op_rr(a, P_66 | P_0F | 0x6e, dst - XMM0, x, is64);
        break;
    case OP_fbox:
        if (host_features.avx && dst != x) {
            vex_rip(a, 1, 0, false, 0x56, dst - XMM0, x - XMM0, constant(CONST_BOX32)); /* vorps */
            break;
        }
        move_xmm(e, dst, x);
        op_rip(a, P_0F | 0x56, dst - XMM0, constant(CONST_BOX32), false); /* orps */
        break;
    default: { /* funbox */
        if (e->loop && insn->flags & IR_LOOP_GIVEN) {
            move_xmm(e, dst, x);
            break;
        }
        int t = scratch_int(e);
        op_rr(a, P_66 | P_0F | 0x7e, x - XMM0, t, true);
        shift_imm(a, SHIFT_SAR, t, 32, true);
        alu_imm(a, ALU_CMP, t, -1, false);
        move_xmm(e, dst, x);
        ColdStub *s = new_stub(e, STUB_NAN);
        s->from = jcc_forward(a, CC_NE);
        s->back = a->p;
        s->dst = s->value = dst;
        s->info = IR_F32;
    }
    }
    def_done(e, insn->dst, dst);
}

static void emit_fsgn(Emit *e, const IrInsn *insn)
{
    Asm *a = &e->a;
    bool is64 = insn->type == IR_F64;
    const uint8_t *sign = constant(is64 ? CONST_SIGN64 : CONST_SIGN32),
                  *magnitude = constant(is64 ? CONST_ABS64 : CONST_ABS32);
    int x = use_reg(e, insn->arg[0]);
    if (insn->arg[0] == insn->arg[1]) { /* negate; absolute value */
        int dst = def_reg(e, insn->dst, 0);
        move_xmm(e, dst, x);
        op_rip(a, P_0F | (insn->imm == 1 ? 0x57 : 0x54), dst - XMM0, insn->imm == 1 ? sign : magnitude, false);
        def_done(e, insn->dst, dst);
        return;
    }
    int y = use_reg(e, insn->arg[1]), t = scratch_xmm(e);
    move_xmm(e, t, y);
    if (insn->imm == 1)
        op_rip(a, P_0F | 0x57, t - XMM0, sign, false);
    op_rip(a, P_0F | 0x54, t - XMM0, sign, false);
    int dst = def_reg(e, insn->dst, 0);
    move_xmm(e, dst, x);
    if (insn->imm == 2) {
        op_rr(a, P_0F | 0x57, dst - XMM0, t - XMM0, false);
    } else {
        op_rip(a, P_0F | 0x54, dst - XMM0, magnitude, false);
        op_rr(a, P_0F | 0x56, dst - XMM0, t - XMM0, false);
    }
    def_done(e, insn->dst, dst);
}

static void check_in_stub(Emit *e, int reg)
{
    compare_self(e, reg, reg);
    uint8_t *number = jcc_short(&e->a, CC_NP);
    replace_nan(e, reg, IR_F64);
    patch_short(number, e->a.p);
}

void emit_float_stub(Emit *e, const ColdStub *s)
{
    Asm *a = &e->a;
    patch_to(s->from, a->p);
    if (s->kind == STUB_NAN && s->dst == s->value) {
        replace_nan(e, s->dst, s->info);
    } else if (s->kind == STUB_NAN) {
        check_in_stub(e, s->dst);
        check_in_stub(e, s->value);
    } else {
        if (s->kind == STUB_FMA && s->value2 != s->dst) {
            check_in_stub(e, s->value2);
            compare_self(e, s->dst, s->dst);
            patch_to(jcc_forward(a, CC_NP), s->back);
        }
        op_rm(a, P_F2 | P_0F | 0x11, s->va - XMM0, mem(RSP, FRAME_VA), false);
        if (s->kind == STUB_FMA) {
            op_rm(a, P_F2 | P_0F | 0x11, s->value - XMM0, mem(RSP, FRAME_VALUE), false);
            op_rm(a, P_F2 | P_0F | 0x11, s->dst - XMM0, mem(RSP, FRAME_VALUE2), false);
        }
        mov_mem_imm(a, mem(RSP, FRAME_INFO), s->info, false);
        call_to(a, slow_thunk(e, THUNK_SOFT));
        if (is_xmm(s->dst))
            op_rm(a, P_F2 | P_0F | 0x10, s->dst - XMM0, mem(RSP, FRAME_RESULT), false);
        else
            mov_load(a, s->dst, mem(RSP, FRAME_RESULT), true);
    }
    jmp_to(a, s->back);
}

/* Does it make a difference which NaN an operand is? */
static bool sees_nan(unsigned op)
{
    switch (op) {
    case OP_fbits:
    case OP_fbox:
    case OP_funbox:
    case OP_fsgn:
    case OP_fmin:
    case OP_fmax:
        return true;
    default:
        return false;
    }
}

bool emit_float(Emit *e, const IrInsn *insn)
{
    bool fixed_round = insn->aux != FROUND_DYN;
    if (e->unchecked && sees_nan(insn->op)) {
        for (unsigned k = 0; k < 2; k++) {
            const Place *p = &e->place[insn->arg[k]];
            if (insn->arg[k] && (p->where == AT_REG || p->where == AT_PIN))
                check_later_nan(e, p->reg);
        }
    }
    switch (insn->op) {
    case OP_fadd:
    case OP_fsub:
    case OP_fmul:
    case OP_fdiv: {
        static const uint8_t opcode[] = { 0x58, 0x5c, 0x59, 0x5e };
        if (fixed_round)
            emit_soft(e, insn);
        else
            emit_arith(e, insn, opcode[insn->op - OP_fadd]);
        break;
    }
    case OP_fsqrt:
        if (fixed_round)
            emit_soft(e, insn);
        else
            emit_sqrt(e, insn);
        break;
    case OP_fma:
        if (fixed_round || !host_features.fma)
            emit_soft(e, insn);
        else
            emit_fma(e, insn);
        break;
    case OP_fmin:
    case OP_fmax:
        emit_soft(e, insn);
        break;
    case OP_fcmp:
        emit_fcmp(e, insn);
        break;
    case OP_fcvt:
        emit_fcvt(e, insn);
        break;
    case OP_fftoi:
        emit_fftoi(e, insn);
        break;
    case OP_fitof:
        emit_fitof(e, insn);
        break;
    case OP_fbits:
    case OP_fofbits:
    case OP_fbox:
    case OP_funbox:
        emit_fmove(e, insn);
        break;
    case OP_fsgn:
        emit_fsgn(e, insn);
        break;
    default:
        return false;
    }
    return true;
}
