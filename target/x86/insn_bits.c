/*
 * x86: shifts, rotates, bit tests and scans, BMI1, BMI2, ADX, CRC32 (SDM volume 2).
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/translate.h"

/* ---- shifts ---- */

/* The flags of a shift by n, which may be 0 at run time: then they stay as they are. */
static void shift_flags(Ctx *c, unsigned kind, unsigned size, IrTmp n, IrTmp result, IrTmp source)
{
    IrUnit *u = c->ir;
    if (u->tmps[n].constant) {
        if (u->tmps[n].value)
            set_flags(c, kind, size, result, source);
        return;
    }
    IrTmp zero = ir_const(u, u->tmps[n].type, 0), op = ir_const(u, IR_I32, CC_OP(kind, log2_of(size)));
    IrTmp old_op = ir_getreg(u, REG_CC_OP), old_result = ir_getreg(u, REG_CC_RESULT);
    IrTmp old_source = ir_getreg(u, REG_CC_SOURCE);
    if (size != 8) {
        result = ir_ext(u, IR_I64, MO_32, result);
        source = ir_ext(u, IR_I64, MO_32, source);
    }
    ir_setreg(u, REG_CC_OP, ir_select(u, IR_I32, COND_EQ, n, zero, old_op, op));
    ir_setreg(u, REG_CC_RESULT, ir_select(u, IR_I64, COND_EQ, n, zero, old_result, result));
    ir_setreg(u, REG_CC_SOURCE, ir_select(u, IR_I64, COND_EQ, n, zero, old_source, source));
}

/* The count of operand n, masked, as the type that operands of this size are worked on in. */
static IrTmp shift_count(Ctx *c, unsigned n, unsigned size)
{
    unsigned mask = size == 8 ? 63 : 31;
    unsigned kind = c->i->row->operands[n].kind;
    if (kind == OPERAND_IMM)
        return ir_const(c->ir, type_of(size), c->i->imm & mask);
    if (kind == OPERAND_ONE)
        return ir_const(c->ir, type_of(size), 1);
    return ir_binary_imm(c->ir, OP_and, type_of(size), get_reg(c, RCX, size == 8 ? 8 : 4), mask);
}

static bool t_shift(Ctx *c, unsigned op)
{
    IrUnit *u = c->ir;
    unsigned size = operand_size(c, 0);
    IrType t = type_of(size);
    IrTmp n = shift_count(c, 1, size);
    IrTmp a = extend(c, get_operand_to_change(c, 0), size, op == OP_sar);
    IrTmp r = ir_binary(u, op, t, a, n), source = ir_binary(u, op, t, a, ir_binary_imm(u, OP_add, t, n, -1));
    set_operand(c, 0, r);
    shift_flags(c, op == OP_shl ? CC_SHL : CC_SAR, size, n, r, source);
    return true;
}

/* ---- rotates ---- */

/* CF and OF from two bits of the result (or value): bit positions. */
static void rotate_flags(Ctx *c, unsigned size, IrTmp n, IrTmp r, bool left)
{
    IrUnit *u = c->ir;
    IrType t = type_of(size);
    unsigned top = size * 8 - 1;
    if (u->tmps[n].constant && !u->tmps[n].value)
        return;
    IrTmp cf, other;
    IrTmp high = ir_binary_imm(u, OP_and, t, ir_binary_imm(u, OP_shr, t, r, top), 1);
    if (left) {
        cf = ir_binary_imm(u, OP_and, t, r, 1);
        other = high;
    } else {
        cf = high;
        other = ir_binary_imm(u, OP_and, t, ir_binary_imm(u, OP_shr, t, r, top - 1), 1);
    }
    IrTmp old = ir_getreg(u, REG_CC_OP), op = changed_cc_op(c, cf, ir_binary(u, OP_xor, t, cf, other));
    if (!u->tmps[n].constant)
        op = ir_select(u, IR_I32, COND_EQ, n, ir_const(u, t, 0), old, op);
    ir_setreg(u, REG_CC_OP, op);
}

static bool t_rotate(Ctx *c, unsigned op)
{
    IrUnit *u = c->ir;
    unsigned size = operand_size(c, 0);
    IrType t = type_of(size);
    IrTmp n = shift_count(c, 1, size);
    IrTmp a = extend(c, get_operand_to_change(c, 0), size, false);
    if (size == 1)
        a = ir_binary(u, OP_or, IR_I32, a, ir_binary_imm(u, OP_shl, IR_I32, a, 8));
    if (size <= 2)
        a = ir_binary(u, OP_or, IR_I32, a, ir_binary_imm(u, OP_shl, IR_I32, a, 16));
    IrTmp r = ir_binary(u, op, t, a, n);
    set_operand(c, 0, r);
    rotate_flags(c, size, n, r, op == OP_rotl);
    return true;
}

/* rcl, rcr: by 1 inline, else by the helper, which gives the value, or the two flags. */
static bool t_rotate_carry(Ctx *c, unsigned left)
{
    IrUnit *u = c->ir;
    unsigned size = operand_size(c, 0);
    IrType t = type_of(size);
    IrTmp n = shift_count(c, 1, size);
    IrTmp a = extend(c, get_operand_to_change(c, 0), size, false), flags = get_flags(c);
    IrTmp wide = size == 8 ? a : ir_ext(u, IR_I64, MO_32, a);
    IrTmp what = ir_const(u, IR_I64, (int64_t)(size | left << 8));
    IrTmp r = ir_call(u, IR_I64, HELPER_ROTATE_CARRY, wide, n, flags, what);
    IrTmp f = ir_call(u, IR_I64, HELPER_ROTATE_CARRY, wide, n, flags,
                      ir_const(u, IR_I64, (int64_t)(size | left << 8 | 1 << 9)));
    set_operand(c, 0, t == IR_I32 ? ir_unary(u, OP_trunc, IR_I32, r) : r);
    set_all_flags(c, ir_unary(u, OP_trunc, IR_I32, f));
    return true;
}

/* shld, shrd of 16 and 32 bits: shifts of the two together; of 64 bits: two shifts. */
static bool t_shift_double(Ctx *c, unsigned left)
{
    IrUnit *u = c->ir;
    unsigned size = operand_size(c, 0), width = size * 8;
    IrTmp n = shift_count(c, 2, size), r, source;
    IrTmp b = get_operand(c, 1), a = get_operand_to_change(c, 0);
    unsigned op = left ? OP_shl : OP_shr;
    if (size == 8) {
        IrTmp less = ir_binary_imm(u, OP_add, IR_I64, n, -1),
              rest = ir_binary(u, OP_sub, IR_I64, ir_const(u, IR_I64, 64), n);
        r = ir_binary(u, OP_or, IR_I64, ir_binary(u, op, IR_I64, a, n),
                      ir_binary(u, left ? OP_shr : OP_shl, IR_I64, b, rest));
        r = ir_select(u, IR_I64, COND_EQ, n, ir_const(u, IR_I64, 0), a, r);
        source = ir_binary(u, op, IR_I64, a, less);
    } else {
        IrTmp x = ir_ext(u, IR_I64, log2_of(size), a), y = ir_ext(u, IR_I64, log2_of(size), b);
        IrTmp count = ir_ext(u, IR_I64, MO_32, n), less = ir_binary_imm(u, OP_add, IR_I64, count, -1);
        IrTmp v = ir_binary(u, OP_or, IR_I64, left ? y : x, ir_binary_imm(u, OP_shl, IR_I64, left ? x : y, width));
        unsigned down = left ? width : 0;
        if (size == 2) { /* counts above 16 bring the first operand in again */
            v = ir_binary(u, OP_or, IR_I64, ir_binary_imm(u, OP_shl, IR_I64, left ? v : x, left ? 16 : 32),
                          left ? x : v);
            down = left ? 32 : 0;
        }
        r = ir_unary(u, OP_trunc, IR_I32, ir_binary_imm(u, OP_shr, IR_I64, ir_binary(u, op, IR_I64, v, count), down));
        source =
            ir_unary(u, OP_trunc, IR_I32, ir_binary_imm(u, OP_shr, IR_I64, ir_binary(u, op, IR_I64, v, less), down));
    }
    set_operand(c, 0, r);
    shift_flags(c, left ? CC_SHL : CC_SAR, size, n, r, source);
    return true;
}

/* ---- bit tests ---- */

enum { BIT_TEST, BIT_SET, BIT_RESET, BIT_COMPLEMENT };

/* A register as bit offset reaches beyond the operand in memory. */
static void bit_address(Ctx *c, unsigned size, bool write)
{
    IrUnit *u = c->ir;
    if (c->i->row->operands[1].kind == OPERAND_IMM) {
        memory_address(c, size, write);
        return;
    }
    IrTmp index = get_operand(c, 1), offset = memory_offset(c);
    IrType t = u->tmps[offset].type;
    if (size == 2)
        index = ir_ext(u, IR_I32, MO_16 | MO_SIGNED, index);
    index = ir_binary_imm(u, OP_sar, type_of(size), index, log2_of(size) + 3);
    if (t == IR_I64 && size != 8)
        index = ir_ext(u, IR_I64, MO_32 | MO_SIGNED, index);
    else if (t == IR_I32 && size == 8)
        index = ir_unary(u, OP_trunc, IR_I32, index);
    offset = ir_binary(u, OP_add, t, offset, ir_binary_imm(u, OP_shl, t, index, log2_of(size)));
    if (c->i->address_size == 2)
        offset = ir_ext(u, IR_I32, MO_16, offset);
    else if (c->i->address_size == 4 && t == IR_I64)
        offset = ir_ext(u, IR_I64, MO_32, offset);
    c->address = linear(c, c->i->segment, offset, size, write);
}

static bool t_bit(Ctx *c, unsigned kind)
{
    IrUnit *u = c->ir;
    unsigned size = operand_size(c, 0);
    IrType t = type_of(size);
    bool memory = operand_in_memory(c, 0);
    if (memory)
        bit_address(c, size, kind != BIT_TEST);
    IrTmp n = c->i->row->operands[1].kind == OPERAND_IMM ? ir_const(u, t, c->i->imm) : get_operand(c, 1);
    n = ir_binary_imm(u, OP_and, t, n, size * 8 - 1);
    IrTmp mask = ir_binary(u, OP_shl, t, ir_const(u, t, 1), n), a;
    if (c->i->lock) {
        IrTmp operand = kind == BIT_RESET ? ir_binary_imm(u, OP_xor, t, mask, -1) : mask;
        a = ir_amo(u, t, log2_of(size),
                   kind == BIT_SET     ? AMO_OR
                   : kind == BIT_RESET ? AMO_AND
                                       : AMO_XOR,
                   c->address, operand);
    } else {
        a = kind == BIT_TEST ? get_operand(c, 0) : get_operand_to_change(c, 0);
        if (kind != BIT_TEST)
            set_operand(c, 0, ir_binary(u, kind == BIT_SET ? OP_or : kind == BIT_RESET ? OP_andc : OP_xor, t, a, mask));
    }
    IrTmp cf = ir_binary_imm(u, OP_and, t, ir_binary(u, OP_shr, t, a, n), 1);
    set_carry_only(c, cf);
    return true;
}

/* bsf, bsr: ZF if the source is 0, the destination stays then. */
static bool t_scan(Ctx *c, unsigned reverse)
{
    IrUnit *u = c->ir;
    unsigned size = operand_size(c, 0);
    IrType t = type_of(size);
    IrTmp a = extend(c, get_operand(c, 1), size, false), zero = ir_const(u, t, 0), found;
    found = reverse ? ir_binary(u, OP_sub, t, ir_const(u, t, size == 8 ? 63 : 31), ir_unary(u, OP_clz, t, a))
                    : ir_unary(u, OP_ctz, t, a);
    if (size == 4)
        set_reg(c, c->i->reg, 8,
                ir_select(u, IR_I64, COND_EQ, a, zero, get_reg(c, c->i->reg, 8), ir_ext(u, IR_I64, MO_32, found)));
    else
        set_operand(c, 0, ir_select(u, t, COND_EQ, a, zero, get_operand(c, 0), found));
    set_flags(c, CC_LOGIC, size, a, 0);
    return true;
}

/* tzcnt, lzcnt: ZF of the result, CF if the source is 0. */
static bool t_count(Ctx *c, unsigned leading)
{
    IrUnit *u = c->ir;
    unsigned size = operand_size(c, 0);
    IrType t = type_of(size);
    IrTmp a = extend(c, get_operand(c, 1), size, false), r;
    if (leading) {
        r = ir_unary(u, OP_clz, t, a);
        if (size == 2)
            r = ir_binary_imm(u, OP_add, t, r, -16);
    } else {
        r = ir_unary(u, OP_ctz, t, size == 2 ? ir_binary_imm(u, OP_or, t, a, 1 << 16) : a);
    }
    set_operand(c, 0, r);
    IrTmp flags = ir_setcond(u, IR_I32, COND_EQ, a, ir_const(u, t, 0));
    IrTmp zf = ir_binary_imm(u, OP_shl, IR_I32, ir_setcond(u, IR_I32, COND_EQ, r, ir_const(u, t, 0)), 6);
    set_all_flags(c, ir_binary(u, OP_or, IR_I32, flags, zf));
    return true;
}

static bool t_popcnt(Ctx *c, unsigned arg)
{
    unsigned size = operand_size(c, 0);
    IrTmp a = extend(c, get_operand(c, 1), size, false);
    set_operand(c, 0, ir_unary(c->ir, OP_popcnt, type_of(size), a));
    IrTmp zf = ir_setcond(c->ir, IR_I32, COND_EQ, a, ir_const(c->ir, type_of(size), 0));
    set_all_flags(c, ir_binary_imm(c->ir, OP_shl, IR_I32, zf, 6));
    return true;
}

/* ---- BMI1 ---- */

static bool t_andn(Ctx *c, unsigned arg)
{
    unsigned size = operand_size(c, 0);
    IrTmp b = get_operand(c, 2), r = ir_binary(c->ir, OP_andc, type_of(size), b, get_operand(c, 1));
    set_operand(c, 0, r);
    set_flags(c, CC_LOGIC, size, r, 0);
    return true;
}

enum { BLS_R, BLS_MSK, BLS_I };

static bool t_bls(Ctx *c, unsigned kind)
{
    IrUnit *u = c->ir;
    unsigned size = operand_size(c, 0);
    IrType t = type_of(size);
    IrTmp a = get_operand(c, 1), less = ir_binary_imm(u, OP_add, t, a, -1), r;
    if (kind == BLS_I)
        r = ir_binary(u, OP_and, t, a, ir_binary(u, OP_sub, t, ir_const(u, t, 0), a));
    else
        r = ir_binary(u, kind == BLS_R ? OP_and : OP_xor, t, a, less);
    set_operand(c, 0, r);
    IrTmp source = kind == BLS_I ? ir_ext(u, IR_I64, MO_32, ir_setcond(u, IR_I32, COND_EQ, a, ir_const(u, t, 0))) : a;
    set_flags(c, CC_BMI, size, r, source);
    return true;
}

/* Bits [start, start + length) of the source. */
static bool t_bextr(Ctx *c, unsigned arg)
{
    IrUnit *u = c->ir;
    unsigned size = operand_size(c, 0);
    IrType t = type_of(size);
    IrTmp a = get_operand(c, 1), control = get_operand(c, 2), width = ir_const(u, t, size * 8),
          zero = ir_const(u, t, 0);
    IrTmp start = ir_ext(u, t, MO_8, control), length = ir_ext(u, t, MO_8, ir_binary_imm(u, OP_shr, t, control, 8));
    IrTmp r = ir_select(u, t, COND_LTU, start, width, ir_binary(u, OP_shr, t, a, start), zero);
    IrTmp mask = ir_binary_imm(u, OP_add, t, ir_binary(u, OP_shl, t, ir_const(u, t, 1), length), -1);
    r = ir_select(u, t, COND_LTU, length, width, ir_binary(u, OP_and, t, r, mask), r);
    set_operand(c, 0, r);
    set_flags(c, CC_LOGIC, size, r, 0);
    return true;
}

/* ---- BMI2 ---- */

static bool t_bzhi(Ctx *c, unsigned arg)
{
    IrUnit *u = c->ir;
    unsigned size = operand_size(c, 0);
    IrType t = type_of(size);
    IrTmp a = get_operand(c, 1), n = ir_ext(u, t, MO_8, get_operand(c, 2)), width = ir_const(u, t, size * 8);
    IrTmp mask = ir_binary_imm(u, OP_add, t, ir_binary(u, OP_shl, t, ir_const(u, t, 1), n), -1);
    IrTmp r = ir_select(u, t, COND_LTU, n, width, ir_binary(u, OP_and, t, a, mask), a);
    set_operand(c, 0, r);
    IrTmp in_range = ir_setcond(u, IR_I64, COND_LTU, n, width); /* CF: not so */
    set_flags(c, CC_BMI, size, r, size == 8 ? in_range : ir_unary(u, OP_trunc, IR_I32, in_range));
    return true;
}

static bool t_deposit(Ctx *c, unsigned helper)
{
    IrUnit *u = c->ir;
    unsigned size = operand_size(c, 0);
    IrTmp mask = get_operand(c, 2), a = get_operand(c, 1);
    if (size == 4) {
        a = ir_ext(u, IR_I64, MO_32, a);
        mask = ir_ext(u, IR_I64, MO_32, mask);
    }
    IrTmp r = ir_call(u, IR_I64, helper, a, mask, 0, 0);
    set_operand(c, 0, size == 4 ? ir_unary(u, OP_trunc, IR_I32, r) : r);
    return true;
}

static bool t_mulx(Ctx *c, unsigned arg)
{
    IrUnit *u = c->ir;
    unsigned size = operand_size(c, 0);
    IrTmp b = get_operand(c, 2), a = get_reg(c, RDX, size), low, high;
    if (size == 8) {
        low = ir_binary(u, OP_mul, IR_I64, a, b);
        high = ir_binary(u, OP_mulhu, IR_I64, a, b);
    } else {
        IrTmp product = ir_binary(u, OP_mul, IR_I64, ir_ext(u, IR_I64, MO_32, a), ir_ext(u, IR_I64, MO_32, b));
        low = ir_unary(u, OP_trunc, IR_I32, product);
        high = ir_unary(u, OP_trunc, IR_I32, ir_binary_imm(u, OP_shr, IR_I64, product, 32));
    }
    set_operand(c, 1, low);
    set_operand(c, 0, high);
    return true;
}

/* shlx shrx sarx; rorx has its count in the instruction. */
static bool t_shift_x(Ctx *c, unsigned op)
{
    unsigned size = operand_size(c, 0);
    IrType t = type_of(size);
    IrTmp n = op == OP_rotr ? ir_const(c->ir, t, c->i->imm & (size * 8 - 1))
                            : ir_binary_imm(c->ir, OP_and, t, get_operand(c, 2), size * 8 - 1);
    set_operand(c, 0, ir_binary(c->ir, op, t, get_operand(c, 1), n));
    return true;
}

/* ---- ADX, CRC32 ---- */

static bool t_adx(Ctx *c, unsigned flag)
{
    IrUnit *u = c->ir;
    unsigned size = operand_size(c, 0), bit = (unsigned)__builtin_ctz(flag);
    IrType t = type_of(size);
    IrTmp b = get_operand(c, 1), a = get_operand(c, 0), flags = get_flags(c);
    IrTmp in = ir_binary_imm(u, OP_and, IR_I32, ir_binary_imm(u, OP_shr, IR_I32, flags, bit), 1);
    if (size == 8)
        in = ir_ext(u, IR_I64, MO_32, in);
    IrTmp sum = ir_binary(u, OP_add, t, a, b), r = ir_binary(u, OP_add, t, sum, in);
    IrTmp out =
        ir_binary(u, OP_or, IR_I32, ir_setcond(u, IR_I32, COND_LTU, sum, a), ir_setcond(u, IR_I32, COND_LTU, r, sum));
    set_operand(c, 0, r);
    flags = ir_binary_imm(u, OP_and, IR_I32, flags, ~(int64_t)flag);
    set_all_flags(c, ir_binary(u, OP_or, IR_I32, flags, ir_binary_imm(u, OP_shl, IR_I32, out, bit)));
    return true;
}

static bool t_crc32(Ctx *c, unsigned arg)
{
    IrUnit *u = c->ir;
    unsigned size = operand_size(c, 1);
    IrTmp b = get_operand(c, 1);
    if (size != 8)
        b = ir_ext(u, IR_I64, log2_of(size), b);
    IrTmp r = ir_call(u, IR_I64, HELPER_CRC32, get_reg(c, c->i->reg, 8), b, ir_const(u, IR_I64, size), 0);
    set_reg(c, c->i->reg, 4, ir_unary(u, OP_trunc, IR_I32, r));
    return true;
}

const X86Translator x86_bits_translators[] = {
    { "shl", t_shift, OP_shl },
    { "shr", t_shift, OP_shr },
    { "sar", t_shift, OP_sar },
    { "rol", t_rotate, OP_rotl },
    { "ror", t_rotate, OP_rotr },
    { "rcl", t_rotate_carry, 1 },
    { "rcr", t_rotate_carry, 0 },
    { "shld", t_shift_double, 1 },
    { "shrd", t_shift_double, 0 },
    { "bt", t_bit, BIT_TEST },
    { "bts", t_bit, BIT_SET },
    { "btr", t_bit, BIT_RESET },
    { "btc", t_bit, BIT_COMPLEMENT },
    { "bsf", t_scan, 0 },
    { "bsr", t_scan, 1 },
    { "tzcnt", t_count, 0 },
    { "lzcnt", t_count, 1 },
    { "popcnt", t_popcnt, 0 },
    { "andn", t_andn, 0 },
    { "blsr", t_bls, BLS_R },
    { "blsmsk", t_bls, BLS_MSK },
    { "blsi", t_bls, BLS_I },
    { "bextr", t_bextr, 0 },
    { "bzhi", t_bzhi, 0 },
    { "pext", t_deposit, HELPER_PEXT },
    { "pdep", t_deposit, HELPER_PDEP },
    { "mulx", t_mulx, 0 },
    { "shlx", t_shift_x, OP_shl },
    { "shrx", t_shift_x, OP_shr },
    { "sarx", t_shift_x, OP_sar },
    { "rorx", t_shift_x, OP_rotr },
    { "adcx", t_adx, FLAG_CF },
    { "adox", t_adx, FLAG_OF },
    { "crc32", t_crc32, 0 },
    { NULL, NULL, 0 },
};
