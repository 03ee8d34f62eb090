/*
 * x86 translation: operands, flags and control transfers as IR; the instructions themselves are in insn_*.c.
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/translate.h"

/* ---- general registers ---- */

static bool high_byte(const Ctx *c, unsigned reg, unsigned size)
{
    return size == 1 && reg >= 4 && reg < 8 && !c->i->rex;
}

IrTmp get_reg(Ctx *c, unsigned reg, unsigned size)
{
    if (high_byte(c, reg, size)) {
        IrTmp v = ir_binary_imm(c->ir, OP_shr, IR_I64, ir_getreg(c->ir, reg - 4), 8);
        return ir_unary(c->ir, OP_trunc, IR_I32, v);
    }
    IrTmp v = ir_getreg(c->ir, reg);
    return size == 8 ? v : ir_unary(c->ir, OP_trunc, IR_I32, v);
}

void set_reg(Ctx *c, unsigned reg, unsigned size, IrTmp value)
{
    IrUnit *u = c->ir;
    if (size == 8) {
        ir_setreg(u, reg, value);
        return;
    }
    if (size == 4) {
        ir_setreg(u, reg, ir_ext(u, IR_I64, MO_32, value));
        return;
    }
    bool high = high_byte(c, reg, size);
    int64_t mask = size == 2 ? 0xffff : high ? 0xff00 : 0xff;
    reg -= high ? 4 : 0;
    value = ir_ext(u, IR_I64, size == 2 ? MO_16 : MO_8, value);
    if (high)
        value = ir_binary_imm(u, OP_shl, IR_I64, value, 8);
    ir_setreg(u, reg, ir_binary(u, OP_or, IR_I64, ir_binary_imm(u, OP_and, IR_I64, ir_getreg(u, reg), ~mask), value));
}

IrTmp extend(Ctx *c, IrTmp value, unsigned size, bool is_signed)
{
    if (size >= 4)
        return value;
    return ir_ext(c->ir, IR_I32, log2_of(size) | (is_signed ? MO_SIGNED : 0), value);
}

/* ---- memory ---- */

/* An offset is worked on in I64 in 64-bit code, else in I32: there it wraps by itself. */
static IrType offset_type(const Ctx *c)
{
    return c->bits == 64 ? IR_I64 : IR_I32;
}

static IrTmp address_reg(Ctx *c, unsigned reg)
{
    if (reg == X86_RIP)
        return ir_getpc(c->ir, c->insn->offset + c->i->length);
    IrTmp v = ir_getreg(c->ir, reg);
    return offset_type(c) == IR_I64 ? v : ir_unary(c->ir, OP_trunc, IR_I32, v);
}

static IrTmp truncate_offset(Ctx *c, IrTmp offset)
{
    if (c->i->address_size == 2)
        return ir_ext(c->ir, IR_I32, MO_16, offset);
    if (c->i->address_size == 4 && c->bits == 64)
        return ir_ext(c->ir, IR_I64, MO_32, ir_unary(c->ir, OP_trunc, IR_I32, offset));
    return offset;
}

IrTmp memory_offset(Ctx *c)
{
    const X86Insn *i = c->i;
    IrType t = offset_type(c);
    IrTmp sum = 0;
    if (i->base != X86_NO_REG)
        sum = address_reg(c, i->base);
    if (i->index != X86_NO_REG) {
        IrTmp index = address_reg(c, i->index);
        if (i->scale)
            index = ir_binary_imm(c->ir, OP_shl, t, index, i->scale);
        sum = sum ? ir_binary(c->ir, OP_add, t, sum, index) : index;
    }
    int64_t disp = t == IR_I32 ? (int32_t)i->disp : i->disp;
    if (!sum)
        return truncate_offset(c, ir_const(c->ir, t, disp));
    return truncate_offset(c, disp ? ir_binary_imm(c->ir, OP_add, t, sum, disp) : sum);
}

static uint32_t base_of(unsigned segment)
{
    return offsetof(X86State, segment) + segment * sizeof(X86SegmentReg) + offsetof(X86SegmentReg, base);
}

IrTmp linear(Ctx *c, unsigned segment, IrTmp offset, unsigned size, bool write)
{
    IrUnit *u = c->ir;
    bool fs_or_gs = segment == X86_FS || segment == X86_GS;
    if (c->bits == 64) {
        if (!fs_or_gs)
            return offset;
        return ir_binary(u, OP_add, IR_I64, offset, ir_ldstate(u, IR_I64, base_of(segment), MO_64));
    }
    if (c->mode & MODE_FLAT && !fs_or_gs)
        return offset;
    if (size)
        ir_call(u, IR_I64, HELPER_CHECK_SEGMENT, ir_ext(u, IR_I64, MO_32, offset),
                ir_const(u, IR_I64, segment | size << 8 | (write ? 1 << 16 : 0)), 0, 0);
    return ir_binary(u, OP_add, IR_I32, offset, ir_ldstate(u, IR_I32, base_of(segment), MO_32));
}

IrTmp memory_address(Ctx *c, unsigned size, bool write)
{
    if (!c->address)
        c->address = linear(c, c->i->segment, memory_offset(c), size, write);
    return c->address;
}

/* ---- operands ---- */

unsigned operand_size(const Ctx *c, unsigned n)
{
    return x86_operand_bytes(c->i, c->i->row->operands[n]);
}

bool operand_in_memory(const Ctx *c, unsigned n)
{
    unsigned kind = c->i->row->operands[n].kind;
    return kind == OPERAND_MEM || kind == OPERAND_OFFSET || (kind == OPERAND_RM && c->i->mod != 3);
}

/* The general register that operand n is. */
static unsigned operand_reg(const Ctx *c, unsigned n)
{
    switch (c->i->row->operands[n].kind) {
    case OPERAND_REG:
        return c->i->reg;
    case OPERAND_VEX_REG:
        return c->i->vvvv;
    case OPERAND_ACC:
        return RAX;
    case OPERAND_CL:
        return RCX;
    case OPERAND_DX:
        return RDX;
    default:
        return c->i->rm;
    }
}

IrTmp get_operand(Ctx *c, unsigned n)
{
    unsigned size = operand_size(c, n), kind = c->i->row->operands[n].kind;
    if (kind == OPERAND_IMM)
        return ir_const(c->ir, type_of(operand_size(c, 0)), c->i->imm);
    if (kind == OPERAND_ONE)
        return ir_const(c->ir, IR_I32, 1);
    if (operand_in_memory(c, n))
        return ir_ld(c->ir, type_of(size), log2_of(size), memory_address(c, size, false), 0);
    return get_reg(c, operand_reg(c, n), size);
}

void set_operand(Ctx *c, unsigned n, IrTmp value)
{
    unsigned size = operand_size(c, n);
    if (operand_in_memory(c, n))
        ir_st(c->ir, log2_of(size), memory_address(c, size, true), 0, value);
    else
        set_reg(c, operand_reg(c, n), size, value);
}

/* ---- flags ---- */

static IrTmp widen(Ctx *c, IrTmp v)
{
    return c->ir->tmps[v].type == IR_I64 ? v : ir_ext(c->ir, IR_I64, MO_32, v);
}

void set_flags(Ctx *c, unsigned kind, unsigned size, IrTmp result, IrTmp source)
{
    ir_setreg(c->ir, REG_CC_OP, ir_const(c->ir, IR_I32, CC_OP(kind, log2_of(size))));
    ir_setreg(c->ir, REG_CC_RESULT, widen(c, result));
    if (source)
        ir_setreg(c->ir, REG_CC_SOURCE, widen(c, source));
}

/* The kind and size that cc_op is known to have here, or -1. */
static int known_cc_op(const Ctx *c)
{
    IrTmp t = c->ir->reg_value[REG_CC_OP];
    return t && c->ir->tmps[t].constant ? (int)c->ir->tmps[t].value : -1;
}

IrTmp get_flags(Ctx *c)
{
    IrUnit *u = c->ir;
    if (known_cc_op(c) != CC_EFLAGS << 2) {
        IrTmp flags = ir_call(u, IR_I64, HELPER_FLAGS, ir_ext(u, IR_I64, MO_32, ir_getreg(u, REG_CC_OP)),
                              ir_getreg(u, REG_CC_RESULT), ir_getreg(u, REG_CC_SOURCE), 0);
        ir_setreg(u, REG_CC_OP, ir_const(u, IR_I32, CC_EFLAGS << 2));
        ir_setreg(u, REG_CC_RESULT, flags);
    }
    return ir_unary(u, OP_trunc, IR_I32, ir_getreg(u, REG_CC_RESULT));
}

/* cc_result or cc_source as a value of the operation's size, extended. */
static IrTmp cc_value(Ctx *c, unsigned reg, unsigned size, bool is_signed)
{
    IrTmp v = ir_getreg(c->ir, reg);
    return size == 8 ? v : extend(c, ir_unary(c->ir, OP_trunc, IR_I32, v), size, is_signed);
}

/* A condition of a comparison: cmp, sub. False: not one that a comparison answers. */
static bool condition_of_sub(Ctx *c, unsigned cc, unsigned size, IrCond *cond, IrTmp *a, IrTmp *b)
{
    static const int8_t table[] = { -1,      COND_LTU, COND_EQ, COND_LEU, -1, -1, COND_LT, COND_LE };
    if (cc >> 1 == 4) { /* the sign of the difference */
        IrType t = type_of(size);
        IrTmp r = ir_binary(c->ir, OP_sub, t, cc_value(c, REG_CC_RESULT, size, false), cc_value(c, REG_CC_SOURCE, size, false));
        *cond = COND_LT;
        *a = extend(c, r, size, true);
        *b = ir_const(c->ir, t, 0);
        return true;
    }
    if (table[cc >> 1] < 0)
        return false;
    bool is_signed = cc >> 1 >= 6;
    *cond = (IrCond)table[cc >> 1];
    *a = cc_value(c, REG_CC_RESULT, size, is_signed);
    *b = cc_value(c, REG_CC_SOURCE, size, is_signed);
    return true;
}

/* A condition of the result alone; logic: CF and OF are 0. */
static bool condition_of_result(Ctx *c, unsigned cc, unsigned size, bool logic, IrCond *cond, IrTmp *a, IrTmp *b)
{
    static const int8_t table[] = { -1, -1, COND_EQ, -1, COND_LT, -1, -1, -1 };
    static const int8_t of_logic[] = { -1, -1, COND_EQ, COND_EQ, COND_LT, -1, COND_LT, COND_LE };
    int8_t found = (logic ? of_logic : table)[cc >> 1];
    if (found < 0)
        return false;
    *cond = (IrCond)found;
    *a = cc_value(c, REG_CC_RESULT, size, found != COND_EQ);
    *b = ir_const(c->ir, type_of(size), 0);
    return true;
}

static bool condition_of_carry(Ctx *c, unsigned kind, unsigned size, IrCond *cond, IrTmp *a, IrTmp *b)
{
    IrUnit *u = c->ir;
    IrType t = type_of(size);
    switch (kind) {
    case CC_ADD:
        *cond = COND_LTU;
        *a = cc_value(c, REG_CC_RESULT, size, false);
        *b = cc_value(c, REG_CC_SOURCE, size, false);
        return true;
    case CC_ADC:
    case CC_SBB:
    case CC_SHL: /* the top bit of the source */
        *cond = COND_LT;
        *a = cc_value(c, REG_CC_SOURCE, size, true);
        *b = ir_const(u, t, 0);
        return true;
    case CC_INC:
    case CC_DEC:
    case CC_SAR:
        *cond = COND_NE;
        *a = ir_binary_imm(u, OP_and, IR_I64, ir_getreg(u, REG_CC_SOURCE), 1);
        *b = ir_const(u, IR_I64, 0);
        return true;
    case CC_MUL:
        *cond = COND_NE;
        *a = ir_getreg(u, REG_CC_SOURCE);
        *b = ir_const(u, IR_I64, 0);
        return true;
    default:
        return false;
    }
}

/* From the flags one by one. */
static void condition_of_flags(Ctx *c, unsigned cc, IrCond *cond, IrTmp *a, IrTmp *b)
{
    static const uint16_t masks[] = { FLAG_OF, FLAG_CF, FLAG_ZF, FLAG_CF | FLAG_ZF, FLAG_SF, FLAG_PF, FLAG_SF, FLAG_SF | FLAG_ZF };
    IrUnit *u = c->ir;
    IrTmp flags = get_flags(c);
    if (cc >> 1 >= 6) /* SF != OF: OF moved to SF's place */
        flags = ir_binary(u, OP_xor, IR_I32, flags,
                          ir_binary_imm(u, OP_and, IR_I32, ir_binary_imm(u, OP_shr, IR_I32, flags, 4), FLAG_SF));
    *cond = COND_NE;
    *a = ir_binary_imm(u, OP_and, IR_I32, flags, masks[cc >> 1]);
    *b = ir_const(u, IR_I32, 0);
}

void condition(Ctx *c, unsigned cc, IrCond *cond, IrTmp *a, IrTmp *b)
{
    int op = known_cc_op(c);
    unsigned kind = op >= 0 ? (unsigned)op >> 2 : CC_EFLAGS, size = op >= 0 ? 1u << (op & 3) : 4;
    bool found = false;
    if (kind == CC_SUB)
        found = condition_of_sub(c, cc, size, cond, a, b);
    else if (kind != CC_EFLAGS)
        found = condition_of_result(c, cc, size, kind == CC_LOGIC, cond, a, b) ||
                (cc >> 1 == 1 && condition_of_carry(c, kind, size, cond, a, b));
    if (!found)
        condition_of_flags(c, cc, cond, a, b);
    if (cc & 1)
        *cond = cond_negate(*cond);
}

IrTmp get_carry(Ctx *c, IrType type)
{
    IrCond cond;
    IrTmp a, b;
    condition(c, 2, &cond, &a, &b);
    return ir_setcond(c->ir, type, cond, a, b);
}

/* ---- control ---- */

void end_at_pc(Ctx *c)
{
    ir_lookup(c->ir);
    c->stop = true;
}

void raise(Ctx *c, unsigned vector, uint32_t error)
{
    ir_call(c->ir, IR_I64, HELPER_RAISE, ir_const(c->ir, IR_I64, vector), ir_const(c->ir, IR_I64, error), 0, 0);
    end_at_pc(c);
}

static IrTmp cs_base(Ctx *c)
{
    return ir_ldstate(c->ir, IR_I32, base_of(X86_CS), MO_32);
}

IrTmp next_ip(Ctx *c, IrType type)
{
    IrTmp pc = ir_getpc(c->ir, c->insn->offset + c->i->length);
    if (c->bits == 64)
        return type == IR_I64 ? pc : ir_unary(c->ir, OP_trunc, IR_I32, pc);
    pc = ir_unary(c->ir, OP_trunc, IR_I32, pc);
    return c->mode & MODE_FLAT ? pc : ir_binary(c->ir, OP_sub, IR_I32, pc, cs_base(c));
}

/* Go to an rIP that is a value; it is cut to the operand size. */
void jump_to_ip(Ctx *c, IrTmp ip)
{
    if (c->bits != 64) {
        if (c->i->operand_size == 2)
            ip = ir_ext(c->ir, IR_I32, MO_16, ip);
        if (!(c->mode & MODE_FLAT))
            ip = ir_binary(c->ir, OP_add, IR_I32, ip, cs_base(c));
        ip = ir_ext(c->ir, IR_I64, MO_32, ip);
    }
    ir_jump_ind(c->ir, ip);
    c->stop = true;
}

/* A target outside the page of code that wraps, at 64 KiB or 4 GiB. */
static bool wraps(const Ctx *c, int64_t target)
{
    return c->bits != 64 && (target < 0 || target > 4095);
}

void jump_near(Ctx *c, int64_t displacement)
{
    int64_t target = c->insn->offset + c->i->length + displacement;
    int label = c->insn->label_at(c->insn, (int32_t)target);
    if (target == (int32_t)target && label >= 0) {
        if (target <= c->insn->offset)
            ir_poll(c->ir, c->insn->offset);
        ir_br(c->ir, label);
    } else if (wraps(c, target)) {
        jump_to_ip(c, ir_binary_imm(c->ir, OP_add, IR_I32, next_ip(c, IR_I32), displacement));
    } else {
        ir_jump(c->ir, target, target <= c->insn->offset);
    }
    c->stop = true;
}

/* ---- the stack ---- */

static unsigned stack_size(const Ctx *c)
{
    return c->bits == 64 ? 8 : c->mode & MODE_STACK32 ? 4 : 2;
}

static IrTmp stack_pointer(Ctx *c, int64_t plus)
{
    unsigned size = stack_size(c);
    IrTmp sp = ir_getreg(c->ir, RSP);
    if (size == 8)
        return plus ? ir_binary_imm(c->ir, OP_add, IR_I64, sp, plus) : sp;
    sp = ir_unary(c->ir, OP_trunc, IR_I32, sp);
    sp = plus ? ir_binary_imm(c->ir, OP_add, IR_I32, sp, plus) : sp;
    return size == 2 ? ir_ext(c->ir, IR_I32, MO_16, sp) : sp;
}

void push(Ctx *c, unsigned size, IrTmp value)
{
    IrTmp sp = stack_pointer(c, -(int64_t)size);
    ir_st(c->ir, log2_of(size), linear(c, X86_SS, sp, size, true), 0, value);
    set_reg(c, RSP, stack_size(c), sp);
}

IrTmp pop(Ctx *c, unsigned size)
{
    IrTmp v = ir_ld(c->ir, type_of(size), log2_of(size), linear(c, X86_SS, stack_pointer(c, 0), size, false), 0);
    set_reg(c, RSP, stack_size(c), stack_pointer(c, size));
    return v;
}
