/*
 * x86-64 back end: multiplication and division. No host trap: operands that would raise one are told apart first.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/x86-64/regs.h"

static void emit_mul(Emit *e, const IrInsn *insn)
{
    unsigned w = width(insn->type);
    IrTmp a = insn->arg[0], b = insn->arg[1];
    int32_t imm;

    if (is_constant(e, a) || (!dies_here(e, a) && dies_here(e, b))) {
        IrTmp t = a;
        a = b;
        b = t;
    }
    if (is_imm32(e, insn->type, b, &imm)) {
        Operand x = use_operand(e, a);
        int dst = result_gpr(e, insn->dst, a);
        bool small = imm == (int8_t)imm;
        if (x.reg == NO_REG)
            asm_rm_imm(&e->a, (small ? 0x6b : 0x69) | w, dst, x.mem, small ? 1 : 4);
        else
            asm_rr(&e->a, (small ? 0x6b : 0x69) | w, dst, x.reg);
        if (small)
            asm_u8(&e->a, imm);
        else
            asm_u32(&e->a, imm);
        bind(e, insn->dst, insn->type, dst);
        return;
    }
    Operand y = use_operand(e, b);
    const Value *v = value_of(e, a);
    if (v->reg != NO_REG)
        e->locked |= 1u << v->reg;
    int dst = result_gpr(e, insn->dst, a);
    if (y.reg == dst && v->reg != dst) {
        op_operand(e, I_IMUL | w, dst, use_operand(e, a));
    } else {
        move_to_gpr(e, w, dst, a);
        op_operand(e, I_IMUL | w, dst, y);
    }
    bind(e, insn->dst, insn->type, dst);
}

/* The result stands in a temporary; move it to where the next setreg wants it. */
static void bind_fixed(Emit *e, const IrInsn *insn, int reg)
{
    int hint = alloc_hint(e, insn->dst);
    if (hint != NO_REG)
        asm_mov(&e->a, width(insn->type), hint, reg);
    bind(e, insn->dst, insn->type, hint == NO_REG ? reg : hint);
}

/* High halves: rdx:rax = rax * operand. */
static void emit_mul_high(Emit *e, const IrInsn *insn)
{
    unsigned w = width(insn->type), bits = w ? 64 : 32;

    reserve_with(e, RAX, insn->arg[0]);
    reserve_gpr(e, RDX);
    int y = use_gpr(e, insn->arg[1]);
    if (insn->op == OP_mulhsu) { /* the unsigned product, less b if a is negative */
        int t = scratch_gpr(e);
        asm_mov(&e->a, w, t, RAX);
        asm_shift_imm(&e->a, w, SHIFT_SAR, t, bits - 1);
        asm_rr(&e->a, ALU_LOAD(ALU_AND) | w, t, y);
        asm_rr(&e->a, I_GROUP3 | w, G3_MUL, y);
        asm_rr(&e->a, ALU_LOAD(ALU_SUB) | w, RDX, t);
    } else {
        asm_rr(&e->a, I_GROUP3 | w, insn->op == OP_mulhs ? G3_IMUL : G3_MUL, y);
    }
    bind_fixed(e, insn, RDX);
}

/* Divisor (r0) 0 or, for the signed ones, -1; the dividend is in rax. */
static void stub_divide(Emit *e, const Stub *s)
{
    const IrInsn *insn = s->insn;
    unsigned w = width(insn->type);
    bool is_signed = insn->op == OP_divs || insn->op == OP_rems;
    bool remainder = insn->op == OP_rems || insn->op == OP_remu;
    uint8_t *zero = NULL;

    asm_patch(s->from, e->a.p);
    if (is_signed) {
        asm_rr(&e->a, I_TEST | w, s->r0, s->r0);
        zero = asm_jcc_short(&e->a, CC_E);
        if (remainder)
            asm_zero(&e->a, RDX);
        else
            asm_rr(&e->a, I_GROUP3 | w, G3_NEG, RAX);
        asm_jmp(&e->a, s->back);
        asm_patch_short(zero, e->a.p);
    }
    if (remainder)
        asm_mov(&e->a, w, RDX, RAX);
    else
        asm_mov_imm(&e->a, RAX, w ? -1ll : (int64_t)UINT32_MAX);
    asm_jmp(&e->a, s->back);
}

static void emit_divide(Emit *e, const IrInsn *insn)
{
    unsigned w = width(insn->type);
    bool is_signed = insn->op == OP_divs || insn->op == OP_rems;
    bool remainder = insn->op == OP_rems || insn->op == OP_remu;
    IrTmp b = insn->arg[1];
    uint8_t *special = NULL;

    reserve_with(e, RAX, insn->arg[0]);
    reserve_gpr(e, RDX);
    int y;
    if (root_of(e, b) == root_of(e, insn->arg[0]) && value_of(e, b)->reg == RAX) {
        y = scratch_gpr(e); /* it died in rax */
        asm_mov(&e->a, w, y, RAX);
    } else {
        y = use_gpr(e, b);
    }
    bool safe = is_constant(e, b) && value_of(e, b)->imm != 0 && !(is_signed && value_of(e, b)->imm == -1);
    if (!safe && is_signed) {
        asm_rm(&e->a, I_LEA | w, RDX, mem_at(y, 1));
        asm_alu_imm(&e->a, w, ALU_CMP, RDX, 1);
        special = asm_jcc_forward(&e->a, CC_BE);
    } else if (!safe) {
        asm_rr(&e->a, I_TEST | w, y, y);
        special = asm_jcc_forward(&e->a, CC_E);
    }
    if (is_signed)
        asm_opcode(&e->a, 0x99 | w, 0, 0, 0); /* cdq, cqo */
    else
        asm_zero(&e->a, RDX);
    asm_rr(&e->a, I_GROUP3 | w, is_signed ? G3_IDIV : G3_DIV, y);
    if (special)
        new_stub(e, stub_divide, special, insn)->r0 = y;
    bind_fixed(e, insn, remainder ? RDX : RAX);
}

void emit_mul_div_op(Emit *e, const IrInsn *insn)
{
    switch (insn->op) {
    case OP_mul:
        emit_mul(e, insn);
        break;
    case OP_mulhs:
    case OP_mulhu:
    case OP_mulhsu:
        emit_mul_high(e, insn);
        break;
    default:
        emit_divide(e, insn);
        break;
    }
}
