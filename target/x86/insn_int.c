/*
 * x86: moves and arithmetic on general registers and memory (SDM volume 2).
 *
 * Each function computes, stores its result, and then notes the flags: a store that faults leaves all as it was.
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/translate.h"

/* ---- moves ---- */

static bool t_mov(Ctx *c, unsigned arg)
{
    set_operand(c, 0, get_operand(c, 1));
    return true;
}

static bool t_movx(Ctx *c, unsigned is_signed)
{
    unsigned from = operand_size(c, 1), to = operand_size(c, 0);
    IrTmp v = get_operand(c, 1);
    if (from >= to) /* movsxd without REX.W */
        set_operand(c, 0, v);
    else
        set_operand(c, 0, ir_ext(c->ir, type_of(to), log2_of(from) | (is_signed ? MO_SIGNED : 0), v));
    return true;
}

static bool t_lea(Ctx *c, unsigned arg)
{
    IrTmp v = memory_offset(c);
    unsigned size = operand_size(c, 0);
    if (size == 8 && c->ir->tmps[v].type == IR_I32)
        v = ir_ext(c->ir, IR_I64, MO_32, v);
    else if (size != 8 && c->ir->tmps[v].type == IR_I64)
        v = ir_unary(c->ir, OP_trunc, IR_I32, v);
    set_operand(c, 0, v);
    return true;
}

static bool t_xchg(Ctx *c, unsigned arg)
{
    unsigned size = operand_size(c, 0);
    IrTmp b = get_operand(c, 1);
    if (operand_in_memory(c, 0)) {
        IrTmp old = ir_amo(c->ir, type_of(size), log2_of(size), AMO_SWAP, memory_address(c, size, true), b);
        set_operand(c, 1, old);
        return true;
    }
    IrTmp a = get_operand(c, 0);
    set_operand(c, 0, b);
    set_operand(c, 1, a);
    return true;
}

static bool t_bswap(Ctx *c, unsigned arg)
{
    unsigned size = operand_size(c, 0);
    if (c->i->operand_size == 2) { /* undefined: 0 */
        set_reg(c, c->i->rm, 2, ir_const(c->ir, IR_I32, 0));
        return true;
    }
    set_operand(c, 0, ir_unary(c->ir, OP_bswap, type_of(size), get_operand(c, 0)));
    return true;
}

static bool t_movbe(Ctx *c, unsigned arg)
{
    unsigned size = c->i->operand_size, reg = c->i->reg;
    bool store = c->i->row->operands[0].kind == OPERAND_MEM;
    IrTmp va = memory_address(c, size, store);
    unsigned memop = data(c, size) | MO_BIG_ENDIAN;
    if (store)
        ir_st(c->ir, memop, va, 0, get_reg(c, reg, size));
    else
        set_reg(c, reg, size, ir_ld(c->ir, type_of(size), memop, va, 0));
    return true;
}

static bool t_movnti(Ctx *c, unsigned arg)
{
    return t_mov(c, 0);
}

static bool t_cmovcc(Ctx *c, unsigned arg)
{
    IrCond cond;
    IrTmp x, y, b = get_operand(c, 1), a = get_operand(c, 0);
    condition(c, c->i->opcode & 15, &cond, &x, &y);
    set_operand(c, 0, ir_select(c->ir, type_of(operand_size(c, 0)), cond, x, y, b, a));
    return true;
}

static bool t_setcc(Ctx *c, unsigned arg)
{
    IrCond cond;
    IrTmp x, y;
    condition(c, c->i->opcode & 15, &cond, &x, &y);
    set_operand(c, 0, ir_setcond(c->ir, IR_I32, cond, x, y));
    return true;
}

/* cbw cwde cdqe */
static bool t_cbw(Ctx *c, unsigned arg)
{
    unsigned size = c->i->operand_size;
    IrTmp v = ir_ext(c->ir, type_of(size), (log2_of(size) - 1) | MO_SIGNED, get_reg(c, RAX, size));
    set_reg(c, RAX, size, v);
    return true;
}

/* cwd cdq cqo */
static bool t_cwd(Ctx *c, unsigned arg)
{
    unsigned size = c->i->operand_size;
    IrTmp v = extend(c, get_reg(c, RAX, size), size, true);
    set_reg(c, RDX, size, ir_binary_imm(c->ir, OP_sar, type_of(size), v, size == 8 ? 63 : 31));
    return true;
}

static bool t_xlat(Ctx *c, unsigned arg)
{
    IrTmp va, offset = get_address_reg(c, RBX);
    IrTmp al = ir_ext(c->ir, c->ir->tmps[offset].type, MO_8, get_reg(c, RAX, 1));
    offset = ir_binary(c->ir, OP_add, c->ir->tmps[offset].type, offset, al);
    if (c->i->address_size == 2)
        offset = ir_ext(c->ir, IR_I32, MO_16, offset);
    else if (c->bits == 64 && c->i->address_size == 4)
        offset = ir_ext(c->ir, IR_I64, MO_32, offset);
    va = linear(c, c->i->segment_override == X86_NO_SEGMENT ? X86_DS : c->i->segment_override, offset, 1, false);
    set_reg(c, RAX, 1, ir_ld(c->ir, IR_I32, MO_8, va, 0));
    return true;
}

/* ---- add and others with two operands ---- */

enum { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP, ALU_TEST };

/* Carries out of each bit of a + b + carry, which is r; borrows of a - b - carry. */
static IrTmp carries(Ctx *c, IrType t, bool borrow, IrTmp a, IrTmp b, IrTmp r)
{
    IrUnit *u = c->ir;
    if (!borrow) /* (a & b) | ((a | b) & ~r) */
        return ir_binary(u, OP_or, t, ir_binary(u, OP_and, t, a, b),
                         ir_binary(u, OP_andc, t, ir_binary(u, OP_or, t, a, b), r));
    IrTmp not_a = ir_binary_imm(u, OP_xor, t, a, -1);
    return ir_binary(u, OP_or, t, ir_binary(u, OP_andc, t, b, a),
                     ir_binary(u, OP_and, t, ir_binary(u, OP_or, t, not_a, b), r));
}

static const uint8_t alu_ops[] = {
    [ALU_ADD] = OP_add, [ALU_OR] = OP_or,   [ALU_ADC] = OP_add, [ALU_SBB] = OP_sub,  [ALU_AND] = OP_and,
    [ALU_SUB] = OP_sub, [ALU_XOR] = OP_xor, [ALU_CMP] = OP_sub, [ALU_TEST] = OP_and,
};

static void alu_flags(Ctx *c, unsigned kind, unsigned size, IrTmp a, IrTmp b, IrTmp r)
{
    IrType t = type_of(size);
    switch (kind) {
    case ALU_ADD:
        set_flags(c, CC_ADD, size, r, b);
        break;
    case ALU_ADC:
        set_flags(c, CC_ADC, size, r, carries(c, t, false, a, b, r));
        break;
    case ALU_SBB:
        set_flags(c, CC_SBB, size, r, carries(c, t, true, a, b, r));
        break;
    case ALU_SUB:
    case ALU_CMP:
        set_flags(c, CC_SUB, size, a, b);
        break;
    default:
        set_flags(c, CC_LOGIC, size, r, 0);
    }
}

/* What happens to memory with a lock prefix and is no single host operation: by the helper. */
static IrTmp locked_by_helper(Ctx *c, unsigned kind, unsigned size, IrTmp value, IrTmp carry)
{
    IrUnit *u = c->ir;
    IrTmp va = memory_address(c, size, true);
    IrTmp what = ir_const(u, IR_I64, (int64_t)(kind | log2_of(size) << 8));
    if (u->tmps[va].type == IR_I32)
        va = ir_ext(u, IR_I64, MO_32, va);
    IrTmp old = ir_call(u, type_of(size), HELPER_LOCKED, va, value, what, carry);
    return old;
}

static bool locked_alu(Ctx *c, unsigned kind)
{
    static const int8_t amos[] = { AMO_ADD, AMO_OR, -1, -1, AMO_AND, AMO_ADD, AMO_XOR };
    IrUnit *u = c->ir;
    unsigned size = operand_size(c, 0);
    IrType t = type_of(size);
    IrTmp a, r, b = get_operand(c, 1), carry = 0;
    if (amos[kind] < 0) {
        carry = get_carry(c, t);
        a = locked_by_helper(c, kind, size, b, carry);
    } else {
        IrTmp operand = kind == ALU_SUB ? ir_binary(u, OP_sub, t, ir_const(u, t, 0), b) : b;
        a = ir_amo(u, t, log2_of(size), (IrAmo)amos[kind], memory_address(c, size, true), operand);
    }
    r = ir_binary(u, alu_ops[kind], t, a, b);
    if (carry)
        r = ir_binary(u, alu_ops[kind], t, r, carry);
    alu_flags(c, kind, size, a, b, r);
    return true;
}

static bool t_alu(Ctx *c, unsigned kind)
{
    IrUnit *u = c->ir;
    unsigned size = operand_size(c, 0);
    IrType t = type_of(size);
    if (c->i->lock)
        return locked_alu(c, kind);
    IrTmp b = get_operand(c, 1), a = kind < ALU_CMP ? get_operand_to_change(c, 0) : get_operand(c, 0),
          r = ir_binary(u, alu_ops[kind], t, a, b);
    if (kind == ALU_ADC || kind == ALU_SBB)
        r = ir_binary(u, alu_ops[kind], t, r, get_carry(c, t));
    if (kind < ALU_CMP)
        set_operand(c, 0, r);
    alu_flags(c, kind, size, a, b, r);
    return true;
}

/* ---- inc dec neg not ---- */

enum { UNARY_INC, UNARY_DEC, UNARY_NEG, UNARY_NOT };

static IrTmp unary_result(Ctx *c, unsigned kind, IrType t, IrTmp a)
{
    switch (kind) {
    case UNARY_INC:
        return ir_binary_imm(c->ir, OP_add, t, a, 1);
    case UNARY_DEC:
        return ir_binary_imm(c->ir, OP_add, t, a, -1);
    case UNARY_NEG:
        return ir_binary(c->ir, OP_sub, t, ir_const(c->ir, t, 0), a);
    default:
        return ir_binary_imm(c->ir, OP_xor, t, a, -1);
    }
}

static IrTmp locked_unary(Ctx *c, unsigned kind, unsigned size)
{
    IrType t = type_of(size);
    if (kind == UNARY_NEG)
        return locked_by_helper(c, X86_LOCKED_NEG, size, ir_const(c->ir, t, 0), 0);
    return ir_amo(c->ir, t, log2_of(size), kind == UNARY_NOT ? AMO_XOR : AMO_ADD, memory_address(c, size, true),
                  ir_const(c->ir, t, kind == UNARY_INC ? 1 : -1));
}

static bool t_unary(Ctx *c, unsigned kind)
{
    unsigned size = operand_size(c, 0);
    IrType t = type_of(size);
    IrTmp a, r, carry = 0;
    if (kind == UNARY_INC || kind == UNARY_DEC)
        carry = get_carry(c, IR_I64);
    a = c->i->lock ? locked_unary(c, kind, size) : get_operand_to_change(c, 0);
    r = unary_result(c, kind, t, a);
    if (!c->i->lock)
        set_operand(c, 0, r);
    if (carry)
        set_flags(c, kind == UNARY_INC ? CC_INC : CC_DEC, size, r, carry);
    else if (kind == UNARY_NEG)
        set_flags(c, CC_SUB, size, ir_const(c->ir, t, 0), a);
    return true;
}

static bool t_xadd(Ctx *c, unsigned arg)
{
    unsigned size = operand_size(c, 0);
    IrType t = type_of(size);
    IrTmp a, b = get_operand(c, 1), r;
    if (operand_in_memory(c, 0))
        memory_address(c, size, true);
    a = c->i->lock ? ir_amo(c->ir, t, log2_of(size), AMO_ADD, c->address, b) : get_operand_to_change(c, 0);
    r = ir_binary(c->ir, OP_add, t, a, b);
    if (operand_in_memory(c, 0)) {
        if (!c->i->lock)
            set_operand(c, 0, r);
        set_operand(c, 1, a);
    } else {
        set_operand(c, 1, a);
        set_operand(c, 0, r);
    }
    set_flags(c, CC_ADD, size, r, b);
    return true;
}

/* The destination is always written; a 32-bit register that keeps its value keeps its upper half, too. */
/* The accumulator after cmpxchg. */
static void set_compared(Ctx *c, unsigned size, IrTmp equal, IrTmp acc_x, IrTmp acc, IrTmp old)
{
    IrUnit *u = c->ir;
    if (size == 4)
        set_reg(c, RAX, 8,
                ir_select(u, IR_I64, COND_EQ, equal, acc_x, get_reg(c, RAX, 8), ir_ext(u, IR_I64, MO_32, old)));
    else
        set_reg(c, RAX, size, ir_select(u, type_of(size), COND_EQ, equal, acc_x, acc, old));
}

static bool t_cmpxchg(Ctx *c, unsigned arg)
{
    IrUnit *u = c->ir;
    unsigned size = operand_size(c, 0);
    IrType t = type_of(size);
    IrTmp acc = get_reg(c, RAX, size), b = get_operand(c, 1), old;
    IrTmp acc_x = extend(c, acc, size, false), old_x;
    if (c->i->lock) {
        old = ir_cas(u, t, log2_of(size), memory_address(c, size, true), acc_x, b);
        old_x = extend(c, old, size, false);
    } else {
        old = get_operand_to_change(c, 0);
        old_x = extend(c, old, size, false);
        IrTmp value = ir_select(u, t, COND_EQ, old_x, acc_x, b, old);
        if (!operand_in_memory(c, 0)) /* first, in case it is the destination, too */
            set_compared(c, size, old_x, acc_x, acc, old);
        if (size == 4 && !operand_in_memory(c, 0)) {
            IrTmp whole = get_reg(c, c->i->rm, 8);
            set_reg(c, c->i->rm, 8, ir_select(u, IR_I64, COND_EQ, old_x, acc_x, ir_ext(u, IR_I64, MO_32, b), whole));
        } else {
            set_operand(c, 0, value);
        }
    }
    if (operand_in_memory(c, 0))
        set_compared(c, size, old_x, acc_x, acc, old);
    set_flags(c, CC_SUB, size, acc, old);
    return true;
}

static bool t_cmpxchg_wide(Ctx *c, unsigned size)
{
    IrTmp va = memory_address(c, size, true);
    if (c->ir->tmps[va].type == IR_I32)
        va = ir_ext(c->ir, IR_I64, MO_32, va);
    IrTmp flags = get_flags(c);
    IrTmp equal = ir_call(c->ir, IR_I32, HELPER_CMPXCHG_WIDE, va, ir_const(c->ir, IR_I64, size), 0, 0);
    flags = ir_binary_imm(c->ir, OP_and, IR_I32, get_flags(c), ~FLAG_ZF);
    flags = ir_binary(c->ir, OP_or, IR_I32, flags, ir_binary_imm(c->ir, OP_shl, IR_I32, equal, 6));
    set_all_flags(c, flags);
    return true;
}

/* ---- multiplication ---- */

static IrTmp to_i64(Ctx *c, IrTmp v, unsigned size, bool is_signed)
{
    return size == 8 ? v : ir_ext(c->ir, IR_I64, log2_of(size) | (is_signed ? MO_SIGNED : 0), v);
}

/* mul, imul with one operand: rDX:rAX. */
static bool t_mul(Ctx *c, unsigned is_signed)
{
    IrUnit *u = c->ir;
    unsigned size = operand_size(c, 0);
    IrTmp b = to_i64(c, get_operand(c, 0), size, is_signed), a = to_i64(c, get_reg(c, RAX, size), size, is_signed);
    IrTmp low = ir_binary(u, OP_mul, IR_I64, a, b), high, source;
    if (size == 8) {
        high = ir_binary(u, is_signed ? OP_mulhs : OP_mulhu, IR_I64, a, b);
        source = is_signed ? ir_binary(u, OP_sub, IR_I64, high, ir_binary_imm(u, OP_sar, IR_I64, low, 63)) : high;
    } else {
        high = ir_binary_imm(u, OP_shr, IR_I64, low, size * 8);
        source = ir_binary(u, OP_sub, IR_I64, low, ir_ext(u, IR_I64, log2_of(size) | (is_signed ? MO_SIGNED : 0), low));
        high = ir_unary(u, OP_trunc, IR_I32, high);
    }
    IrTmp narrow = size == 8 ? low : ir_unary(u, OP_trunc, IR_I32, low);
    if (size == 1) {
        set_reg(c, RAX, 2, narrow);
    } else {
        set_reg(c, RAX, size, narrow);
        set_reg(c, RDX, size, high);
    }
    set_flags(c, CC_MUL, size, narrow, source);
    return true;
}

/* imul with two or three operands. */
static bool t_imul(Ctx *c, unsigned arg)
{
    IrUnit *u = c->ir;
    unsigned size = operand_size(c, 0);
    bool three = c->i->row->operands[2].kind != OPERAND_NONE;
    IrTmp a = to_i64(c, get_operand(c, 1), size, true);
    IrTmp b = three ? ir_const(u, IR_I64, c->i->imm) : to_i64(c, get_operand(c, 0), size, true);
    IrTmp r = ir_binary(u, OP_mul, IR_I64, a, b), source;
    if (size == 8)
        source =
            ir_binary(u, OP_sub, IR_I64, ir_binary(u, OP_mulhs, IR_I64, a, b), ir_binary_imm(u, OP_sar, IR_I64, r, 63));
    else
        source = ir_binary(u, OP_sub, IR_I64, r, ir_ext(u, IR_I64, log2_of(size) | MO_SIGNED, r));
    if (size != 8)
        r = ir_unary(u, OP_trunc, IR_I32, r);
    set_operand(c, 0, r);
    set_flags(c, CC_MUL, size, r, source);
    return true;
}

/* ---- division: the usual cases inline ---- */

static bool divide_by_helper(Ctx *c, unsigned is_signed)
{
    unsigned size = operand_size(c, 0);
    IrTmp b = to_i64(c, get_operand(c, 0), size, is_signed);
    ir_call(c->ir, IR_I64, HELPER_DIVIDE, b, ir_const(c->ir, IR_I64, (int64_t)(size | is_signed << 8)), 0, 0);
    return true;
}

static void set_quotient(Ctx *c, unsigned size, IrTmp q, IrTmp r)
{
    if (size != 8) {
        q = ir_unary(c->ir, OP_trunc, IR_I32, q);
        r = ir_unary(c->ir, OP_trunc, IR_I32, r);
    }
    set_reg(c, RAX, size, q);
    set_reg(c, RDX, size, r);
}

static bool t_div(Ctx *c, unsigned is_signed)
{
    IrUnit *u = c->ir;
    unsigned size = operand_size(c, 0);
    if (size < 4 || c->insn->cold)
        return divide_by_helper(c, is_signed);
    IrTmp b = to_i64(c, get_operand(c, 0), size, is_signed), zero = ir_const(u, IR_I64, 0), a, q, r;
    IrTmp high = get_reg(c, RDX, 8), low = get_reg(c, RAX, 8);
    cold_if(c, COND_EQ, b, zero);
    if (size == 8) {
        a = low;
        cold_if(c, COND_NE, high, is_signed ? ir_binary_imm(u, OP_sar, IR_I64, low, 63) : zero);
        if (is_signed) /* the least integer / -1 */
            cold_if(c, COND_EQ, b, ir_const(u, IR_I64, -1));
    } else {
        a = ir_binary(u, OP_or, IR_I64, ir_ext(u, IR_I64, MO_32, low), ir_binary_imm(u, OP_shl, IR_I64, high, 32));
    }
    q = ir_binary(u, is_signed ? OP_divs : OP_divu, IR_I64, a, b);
    r = ir_binary(u, is_signed ? OP_rems : OP_remu, IR_I64, a, b);
    if (size == 4)
        cold_if(c, COND_NE, q, ir_ext(u, IR_I64, MO_32 | (is_signed ? MO_SIGNED : 0), q));
    set_quotient(c, size, q, r);
    return true;
}

/* ---- flags as such ---- */

static bool t_carry(Ctx *c, unsigned opcode)
{
    if (opcode == 0xf5)
        set_carry_only(c, ir_binary_imm(c->ir, OP_xor, IR_I32, get_carry(c, IR_I32), 1));
    else
        set_carry_only(c, ir_const(c->ir, IR_I32, opcode == 0xf9));
    return true;
}

static bool t_lahf(Ctx *c, unsigned arg)
{
    IrTmp flags = ir_binary_imm(c->ir, OP_or, IR_I32, ir_binary_imm(c->ir, OP_and, IR_I32, get_flags(c), 0xd5), FLAG_1);
    IrTmp rax = ir_binary_imm(c->ir, OP_and, IR_I64, get_reg(c, RAX, 8), ~0xff00ll);
    flags = ir_binary_imm(c->ir, OP_shl, IR_I64, ir_ext(c->ir, IR_I64, MO_32, flags), 8);
    set_reg(c, RAX, 8, ir_binary(c->ir, OP_or, IR_I64, rax, flags));
    return true;
}

static bool t_sahf(Ctx *c, unsigned arg)
{
    IrTmp ah = ir_unary(c->ir, OP_trunc, IR_I32, ir_binary_imm(c->ir, OP_shr, IR_I64, get_reg(c, RAX, 8), 8));
    IrTmp flags = ir_binary_imm(c->ir, OP_and, IR_I32, get_flags(c), FLAG_OF);
    set_all_flags(c, ir_binary(c->ir, OP_or, IR_I32, flags, ir_binary_imm(c->ir, OP_and, IR_I32, ah, 0xd5)));
    return true;
}

static bool t_salc(Ctx *c, unsigned arg)
{
    set_reg(c, RAX, 1, ir_binary(c->ir, OP_sub, IR_I32, ir_const(c->ir, IR_I32, 0), get_carry(c, IR_I32)));
    return true;
}

static bool t_direction(Ctx *c, unsigned set)
{
    IrTmp flags = ir_ldstate(c->ir, IR_I32, offsetof(X86State, eflags), MO_32);
    flags = set ? ir_binary_imm(c->ir, OP_or, IR_I32, flags, FLAG_DF)
                : ir_binary_imm(c->ir, OP_and, IR_I32, flags, ~FLAG_DF);
    ir_ststate(c->ir, offsetof(X86State, eflags), MO_32, flags);
    return true;
}

/* daa das aaa aas aam aad: AX and flags from AX and flags. */
static bool t_decimal(Ctx *c, unsigned opcode)
{
    IrUnit *u = c->ir;
    if (opcode == 0xd4 && !(uint8_t)c->i->imm) {
        x86_fault(c, VECTOR_DE, 0);
        return true;
    }
    IrTmp flags = get_flags(c), what = ir_const(u, IR_I64, (int64_t)(opcode | (c->i->imm & 0xff) << 8));
    IrTmp both = ir_call(u, IR_I64, HELPER_DECIMAL, get_reg(c, RAX, 8), flags, what, 0);
    set_reg(c, RAX, 2, ir_unary(u, OP_trunc, IR_I32, both));
    set_all_flags(c, ir_unary(u, OP_trunc, IR_I32, ir_binary_imm(u, OP_shr, IR_I64, both, 32)));
    return true;
}

/* ---- the stack ---- */

static bool push_segment(Ctx *c, unsigned segment)
{
    unsigned size = c->i->operand_size;
    uint32_t at =
        x86_base_of(segment) - (uint32_t)offsetof(X86SegmentReg, base) + (uint32_t)offsetof(X86SegmentReg, selector);
    if (c->bits == 64 && size == 4)
        size = 8;
    IrTmp v = ir_ldstate(c->ir, type_of(size), at, MO_16);
    push(c, size, v);
    return true;
}

static bool t_push(Ctx *c, unsigned arg)
{
    unsigned kind = c->i->row->operands[0].kind, size = c->i->operand_size;
    if (kind >= OPERAND_SEGMENT_ES)
        return push_segment(c, kind - OPERAND_SEGMENT_ES);
    if (kind == OPERAND_IMM)
        push(c, size, ir_const(c->ir, type_of(size), c->i->imm));
    else
        push(c, size, get_operand(c, 0));
    return true;
}

static bool t_pop(Ctx *c, unsigned arg)
{
    unsigned kind = c->i->row->operands[0].kind, size = c->i->operand_size;
    if (kind >= OPERAND_SEGMENT_ES)
        return x86_pop_segment(c, kind - OPERAND_SEGMENT_ES);
    if (!operand_in_memory(c, 0)) {
        IrTmp v = pop_value(c, size);
        set_reg(c, RSP, stack_size(c), stack_pointer(c, size));
        set_operand(c, 0, v);
        return true;
    }
    /* the address is computed with the stack pointer behind the operand */
    X86Insn moved = *c->i;
    IrTmp v = pop_value(c, size);
    if (moved.base == RSP)
        moved.disp += size;
    c->i = &moved;
    set_operand(c, 0, v);
    set_reg(c, RSP, stack_size(c), stack_pointer(c, size));
    return true;
}

static bool t_pusha(Ctx *c, unsigned arg)
{
    IrUnit *u = c->ir;
    unsigned size = c->i->operand_size;
    IrTmp old = get_reg(c, RSP, size);
    for (unsigned i = 0; i < 8; i++) {
        IrTmp at = stack_pointer(c, -(int64_t)(size * (i + 1)));
        ir_st(u, data(c, size), linear(c, X86_SS, at, size, true), 0, i == RSP ? old : get_reg(c, i, size));
    }
    set_reg(c, RSP, stack_size(c), stack_pointer(c, -(int64_t)(8 * size)));
    return true;
}

static bool t_popa(Ctx *c, unsigned arg)
{
    unsigned size = c->i->operand_size;
    for (unsigned i = 0; i < 8; i++) { /* one after the other: a fault leaves the registers before it changed */
        IrTmp at = linear(c, X86_SS, stack_pointer(c, i * size), size, false);
        IrTmp value = ir_ld(c->ir, IR_I32, data(c, size), at, 0);
        if (7 - i != RSP)
            set_reg(c, 7 - i, size, value);
    }
    set_reg(c, RSP, stack_size(c), stack_pointer(c, 8 * size));
    return true;
}

static bool t_leave(Ctx *c, unsigned arg)
{
    unsigned size = c->i->operand_size, address = stack_size(c);
    IrTmp bp = get_reg(c, RBP, address), at = address == 2 ? ir_ext(c->ir, IR_I32, MO_16, bp) : bp;
    IrTmp v = ir_ld(c->ir, type_of(size), data(c, size), linear(c, X86_SS, at, size, false), 0);
    set_reg(c, RSP, address, ir_binary_imm(c->ir, OP_add, type_of(address), bp, size));
    set_reg(c, RBP, size, v);
    return true;
}

/* Address of a stack slot `below` bytes under the register's value. */
static IrTmp slot_below(Ctx *c, unsigned reg, unsigned below, unsigned size, bool write)
{
    unsigned address = stack_size(c);
    IrTmp at = ir_binary_imm(c->ir, OP_add, type_of(address), get_reg(c, reg, address), -(int64_t)below);
    return linear(c, X86_SS, address == 2 ? ir_ext(c->ir, IR_I32, MO_16, at) : at, size, write);
}

static bool t_enter(Ctx *c, unsigned arg)
{
    IrUnit *u = c->ir;
    unsigned size = c->i->operand_size, level = c->i->imm2 & 31, address = stack_size(c), depth = size;
    IrType t = type_of(size);
    ir_st(u, data(c, size), slot_below(c, RSP, depth, size, true), 0, get_reg(c, RBP, size));
    IrTmp frame = ir_binary_imm(u, OP_add, type_of(address), get_reg(c, RSP, address), -(int64_t)size);
    for (unsigned i = 1; i < level; i++) {
        IrTmp v = ir_ld(u, t, data(c, size), slot_below(c, RBP, i * size, size, false), 0);
        depth += size;
        ir_st(u, data(c, size), slot_below(c, RSP, depth, size, true), 0, v);
    }
    if (level) {
        depth += size;
        ir_st(u, data(c, size), slot_below(c, RSP, depth, size, true), 0, frame);
    }
    depth += (uint16_t)c->i->imm;
    /* it faults where a store at the new stack pointer would */
    IrTmp last = slot_below(c, RSP, depth, size, true);
    last = u->tmps[last].type == IR_I64 ? last : ir_ext(u, IR_I64, MO_32, last);
    ir_call(u, IR_I64, HELPER_CHECK_WRITE, last, ir_const(u, IR_I64, size), 0, 0);
    IrTmp sp = ir_binary_imm(u, OP_add, type_of(address), get_reg(c, RSP, address), -(int64_t)depth);
    set_reg(c, RSP, address, sp);
    if (size == 8 || address >= size)
        set_reg(c, RBP, size, size != 8 && address == 8 ? ir_unary(u, OP_trunc, IR_I32, frame) : frame);
    else
        set_reg(c, RBP, size, frame);
    return true;
}

static bool t_nop(Ctx *c, unsigned arg)
{
    return true;
}

const X86Translator x86_integer_translators[] = {
    { "mov", t_mov, 0 },
    { "movzx", t_movx, 0 },
    { "movsx", t_movx, 1 },
    { "movsxd", t_movx, 1 },
    { "lea", t_lea, 0 },
    { "xchg", t_xchg, 0 },
    { "bswap", t_bswap, 0 },
    { "movbe", t_movbe, 0 },
    { "movnti", t_movnti, 0 },
    { "cmovcc", t_cmovcc, 0 },
    { "setcc", t_setcc, 0 },
    { "cbw", t_cbw, 0 },
    { "cwd", t_cwd, 0 },
    { "xlat", t_xlat, 0 },
    { "add", t_alu, ALU_ADD },
    { "or", t_alu, ALU_OR },
    { "adc", t_alu, ALU_ADC },
    { "sbb", t_alu, ALU_SBB },
    { "and", t_alu, ALU_AND },
    { "sub", t_alu, ALU_SUB },
    { "xor", t_alu, ALU_XOR },
    { "cmp", t_alu, ALU_CMP },
    { "test", t_alu, ALU_TEST },
    { "inc", t_unary, UNARY_INC },
    { "dec", t_unary, UNARY_DEC },
    { "neg", t_unary, UNARY_NEG },
    { "not", t_unary, UNARY_NOT },
    { "xadd", t_xadd, 0 },
    { "cmpxchg", t_cmpxchg, 0 },
    { "cmpxchg8b", t_cmpxchg_wide, 8 },
    { "cmpxchg16b", t_cmpxchg_wide, 16 },
    { "mul", t_mul, 0 },
    { "imul1", t_mul, 1 },
    { "imul", t_imul, 0 },
    { "div", t_div, 0 },
    { "idiv", t_div, 1 },
    { "cmc", t_carry, 0xf5 },
    { "clc", t_carry, 0xf8 },
    { "stc", t_carry, 0xf9 },
    { "cld", t_direction, 0 },
    { "std", t_direction, 1 },
    { "lahf", t_lahf, 0 },
    { "sahf", t_sahf, 0 },
    { "salc", t_salc, 0 },
    { "daa", t_decimal, 0x27 },
    { "das", t_decimal, 0x2f },
    { "aaa", t_decimal, 0x37 },
    { "aas", t_decimal, 0x3f },
    { "aam", t_decimal, 0xd4 },
    { "aad", t_decimal, 0xd5 },
    { "push", t_push, 0 },
    { "pop", t_pop, 0 },
    { "pusha", t_pusha, 0 },
    { "popa", t_popa, 0 },
    { "leave", t_leave, 0 },
    { "enter", t_enter, 0 },
    { "nop", t_nop, 0 },
    { "prefetch", t_nop, 0 },
    { "prefetchw", t_nop, 0 },
    { NULL, NULL, 0 },
};
