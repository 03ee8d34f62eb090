/*
 * x86: jumps, calls, returns, loops, far transfers, software interrupts (SDM volume 2).
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/system.h"
#include "target/x86/translate.h"

static bool t_jcc(Ctx *c, unsigned arg)
{
    IrCond cond;
    IrTmp a, b;
    condition(c, c->i->opcode & 15, &cond, &a, &b);
    jump_near_if(c, cond, a, b, c->i->imm);
    return true;
}

static bool t_jmp(Ctx *c, unsigned arg)
{
    if (c->i->row->operands[0].kind == OPERAND_REL) {
        check_near(c, c->i->imm);
        jump_near(c, c->i->imm);
    } else {
        IrTmp target = get_operand(c, 0);
        check_target(c, target);
        jump_to_ip(c, target);
    }
    return true;
}

static bool t_call(Ctx *c, unsigned arg)
{
    unsigned size = c->i->operand_size;
    if (c->i->row->operands[0].kind == OPERAND_REL) {
        check_near(c, c->i->imm);
        push(c, size, next_ip(c, type_of(size)));
        jump_near(c, c->i->imm);
        return true;
    }
    IrTmp target = get_operand(c, 0);
    check_target(c, target);
    push(c, size, next_ip(c, type_of(size)));
    jump_to_ip(c, target);
    return true;
}

static bool t_ret(Ctx *c, unsigned arg)
{
    unsigned size = c->i->operand_size;
    IrTmp target = pop_value(c, size);
    check_target(c, target);
    unsigned extra = c->i->row->operands[0].kind == OPERAND_IMM ? (uint16_t)c->i->imm : 0;
    set_reg(c, RSP, stack_size(c), stack_pointer(c, size + extra));
    jump_to_ip(c, target);
    return true;
}

enum { LOOP_ALWAYS, LOOP_EQUAL, LOOP_NOT_EQUAL };

static bool t_loop(Ctx *c, unsigned kind)
{
    IrUnit *u = c->ir;
    unsigned size = c->i->address_size;
    IrType t = type_of(size);
    IrTmp n = ir_binary_imm(u, OP_add, t, get_reg(c, RCX, size), -1), zero = ir_const(u, t, 0);
    IrTmp again = ir_setcond(u, IR_I32, COND_NE, extend(c, n, size, false), zero);
    if (kind != LOOP_ALWAYS) {
        IrCond cond;
        IrTmp a, b;
        condition(c, kind == LOOP_EQUAL ? 4 : 5, &cond, &a, &b);
        again = ir_binary(u, OP_and, IR_I32, again, ir_setcond(u, IR_I32, cond, a, b));
    }
    /* a poll at the jump begins the instruction anew: the counter changes on both ways out of it */
    int64_t target = c->insn->offset + c->i->length + c->i->imm;
    if (target <= c->insn->offset)
        ir_poll(u, c->insn->offset);
    set_reg(c, RCX, size, n);
    jump_counted_if(c, COND_NE, again, ir_const(u, IR_I32, 0), c->i->imm);
    return true;
}

static bool t_jcxz(Ctx *c, unsigned arg)
{
    unsigned size = c->i->address_size;
    IrTmp n = extend(c, get_reg(c, RCX, size), size, false);
    jump_near_if(c, COND_EQ, n, ir_const(c->ir, type_of(size), 0), c->i->imm);
    return true;
}

/* ---- far ---- */

/* Offset and selector of a far pointer in memory. */
static void far_pointer(Ctx *c, IrTmp *offset, IrTmp *selector)
{
    unsigned size = far_size(c);
    IrTmp va = memory_address(c, size + 2, false);
    *offset = ir_ld(c->ir, IR_I64, data(c, size), va, 0);
    *selector = ir_ld(c->ir, IR_I64, MO_16, va, size);
}

static bool t_far(Ctx *c, unsigned what)
{
    IrTmp offset, selector;
    if (c->i->row->operands[0].kind == OPERAND_FAR) {
        offset = ir_const(c->ir, IR_I64, c->i->operand_size == 2 ? (uint16_t)c->i->imm : (uint32_t)c->i->imm);
        selector = ir_const(c->ir, IR_I64, c->i->imm2);
    } else {
        far_pointer(c, &offset, &selector);
    }
    IrTmp packed = ir_binary_imm(c->ir, OP_or, IR_I64, selector, (int64_t)c->i->operand_size << 16);
    system_call(c, what, packed, offset, true);
    return true;
}

static bool t_retf(Ctx *c, unsigned arg)
{
    unsigned extra = c->i->row->operands[0].kind == OPERAND_IMM ? (uint16_t)c->i->imm : 0;
    system_call(c, SYSTEM_FAR_RETURN, ir_const(c->ir, IR_I64, c->i->operand_size), ir_const(c->ir, IR_I64, extra),
                true);
    return true;
}

static bool t_iret(Ctx *c, unsigned arg)
{
    system_call(c, SYSTEM_IRET, ir_const(c->ir, IR_I64, c->i->operand_size), 0, true);
    return true;
}

static bool t_int(Ctx *c, unsigned vector)
{
    unsigned kind = 0;
    if (vector == 0x100)
        vector = (uint8_t)c->i->imm;
    else
        kind = 1;
    system_call(c, SYSTEM_INTERRUPT, ir_const(c->ir, IR_I64, vector), ir_const(c->ir, IR_I64, kind), true);
    return true;
}

static bool t_into(Ctx *c, unsigned arg)
{
    IrCond cond;
    IrTmp a, b;
    int skip = ir_new_label(c->ir);
    condition(c, 1, &cond, &a, &b);
    ir_brcond(c->ir, cond, a, b, skip);
    t_int(c, VECTOR_OF);
    ir_label(c->ir, skip);
    c->stop = false;
    return true;
}

static bool t_bound(Ctx *c, unsigned arg)
{
    unsigned size = c->i->operand_size, memop = data(c, size) | MO_SIGNED;
    IrTmp va = memory_address(c, 2 * size, false), low = ir_ld(c->ir, IR_I32, memop, va, 0);
    IrTmp high = ir_ld(c->ir, IR_I32, memop, va, size), index = extend(c, get_reg(c, c->i->reg, size), size, true);
    IrTmp bad = ir_binary(c->ir, OP_or, IR_I32, ir_setcond(c->ir, IR_I32, COND_LT, index, low),
                          ir_setcond(c->ir, IR_I32, COND_GT, index, high));
    int fine = ir_new_label(c->ir);
    ir_brcond(c->ir, COND_EQ, bad, ir_const(c->ir, IR_I32, 0), fine);
    x86_fault(c, VECTOR_BR, 0);
    ir_label(c->ir, fine);
    c->stop = false;
    return true;
}

static bool t_undefined(Ctx *c, unsigned arg)
{
    return false;
}

const X86Translator x86_control_translators[] = {
    { "jcc", t_jcc, 0 },
    { "jmp", t_jmp, 0 },
    { "call", t_call, 0 },
    { "ret", t_ret, 0 },
    { "loop", t_loop, LOOP_ALWAYS },
    { "loope", t_loop, LOOP_EQUAL },
    { "loopne", t_loop, LOOP_NOT_EQUAL },
    { "jcxz", t_jcxz, 0 },
    { "jmpf", t_far, SYSTEM_FAR_JUMP },
    { "callf", t_far, SYSTEM_FAR_CALL },
    { "retf", t_retf, 0 },
    { "iret", t_iret, 0 },
    { "int", t_int, 0x100 },
    { "int3", t_int, VECTOR_BP },
    { "int1", t_int, VECTOR_DB },
    { "into", t_into, 0 },
    { "bound", t_bound, 0 },
    { "ud0", t_undefined, 0 },
    { "ud1", t_undefined, 0 },
    { "ud2", t_undefined, 0 },
    { NULL, NULL, 0 },
};
