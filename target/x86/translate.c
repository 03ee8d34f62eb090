/*
 * x86 translation: operands, flags and control transfers as IR; the instructions themselves are in insn_*.c.
 * SPDX-License-Identifier: MIT
 */
#define X86_OPCODE_NAMES
#include "target/x86/translate.h"
#include "target/x86/system.h"
#include "x86-opcodes.h"
#include <string.h>

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

static IrTmp truncate_offset(Ctx *c, IrTmp offset);

IrTmp get_address_reg(Ctx *c, unsigned reg)
{
    IrTmp v = ir_getreg(c->ir, reg);
    return truncate_offset(c, offset_type(c) == IR_I64 ? v : ir_unary(c->ir, OP_trunc, IR_I32, v));
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

uint32_t x86_base_of(unsigned segment)
{
    return offsetof(X86State, segment) + segment * sizeof(X86SegmentReg) + offsetof(X86SegmentReg, base);
}

/* A check inside the unit for segments with a simple upper limit; others are looked at by the helper. */
static bool fits_segment(Ctx *c, unsigned segment, IrTmp offset, unsigned size)
{
    if (c->insn->cold)
        return false;
    uint32_t at =
        x86_base_of(segment) - (uint32_t)offsetof(X86SegmentReg, base) + (uint32_t)offsetof(X86SegmentReg, room);
    IrTmp room = ir_ldstate(c->ir, IR_I64, at, MO_64);
    IrTmp end = ir_binary_imm(c->ir, OP_add, IR_I64, ir_ext(c->ir, IR_I64, MO_32, offset), size);
    cold_if(c, COND_GTU, end, room);
    return true;
}

IrTmp linear(Ctx *c, unsigned segment, IrTmp offset, unsigned size, bool write)
{
    IrUnit *u = c->ir;
    bool fs_or_gs = segment == X86_FS || segment == X86_GS;
    if (c->bits == 64) {
        if (!fs_or_gs)
            return offset;
        return ir_binary(u, OP_add, IR_I64, offset, ir_ldstate(u, IR_I64, x86_base_of(segment), MO_64));
    }
    if (c->mode & MODE_FLAT && !fs_or_gs && !(write && segment == X86_CS))
        return offset;
    if (size && !fits_segment(c, segment, offset, size))
        ir_call(u, IR_I64, HELPER_CHECK_SEGMENT, ir_ext(u, IR_I64, MO_32, offset),
                ir_const(u, IR_I64, segment | size << 8 | (write ? 1 << 24 : 0)), 0, 0);
    return ir_binary(u, OP_add, IR_I32, offset, ir_ldstate(u, IR_I32, x86_base_of(segment), MO_32));
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
unsigned operand_reg(const Ctx *c, unsigned n)
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

IrTmp get_operand_to_change(Ctx *c, unsigned n)
{
    unsigned size = operand_size(c, n);
    if (!operand_in_memory(c, n))
        return get_operand(c, n);
    return ir_ld(c->ir, type_of(size), data(c, size) | MO_FOR_WRITE, memory_address(c, size, true), 0);
}

IrTmp get_operand(Ctx *c, unsigned n)
{
    unsigned size = operand_size(c, n), kind = c->i->row->operands[n].kind;
    if (kind == OPERAND_IMM)
        return ir_const(c->ir, type_of(operand_size(c, 0)), c->i->imm);
    if (kind == OPERAND_ONE)
        return ir_const(c->ir, IR_I32, 1);
    if (operand_in_memory(c, n))
        return ir_ld(c->ir, type_of(size), data(c, size), memory_address(c, size, false), 0);
    return get_reg(c, operand_reg(c, n), size);
}

void set_operand(Ctx *c, unsigned n, IrTmp value)
{
    unsigned size = operand_size(c, n);
    if (operand_in_memory(c, n))
        ir_st(c->ir, data(c, size), memory_address(c, size, true), 0, value);
    else
        set_reg(c, operand_reg(c, n), size, value);
}

unsigned far_size(const Ctx *c)
{
    return c->i->operand_size == 8 && x86_is_amd(c->s) ? 4 : c->i->operand_size;
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

/* Of changed_cc_op's values: bits that are shifted to where they belong, and not a cc_op of before. */
static bool only_bits(const IrUnit *u, IrTmp t)
{
    unsigned op = u->insns[u->tmps[t].def].op;
    return op == OP_shl || op == OP_or;
}

/* The kind and size that cc_op is known to have here, or -1; *changed: CC_CF_SET, CC_OF_SET. */
static int known_cc_op(const Ctx *c, unsigned *changed)
{
    const IrUnit *u = c->ir;
    IrTmp t = u->reg_value[REG_CC_OP];
    *changed = 0;
    if (!t)
        return -1;
    const IrInsn *def = &u->insns[u->tmps[t].def];
    bool partly =
        !u->tmps[t].constant && def->op == OP_or && u->tmps[def->arg[1]].constant && only_bits(u, def->arg[0]);
    if (!u->tmps[t].constant && !partly)
        return -1;
    unsigned value = (unsigned)u->tmps[partly ? def->arg[1] : t].value;
    *changed = value & (CC_CF_SET | CC_OF_SET);
    return value & CC_KIND_MASK;
}

IrTmp get_flags(Ctx *c)
{
    IrUnit *u = c->ir;
    unsigned changed;
    if (known_cc_op(c, &changed) != CC_EFLAGS << 2 || changed) {
        IrTmp flags = ir_call(u, IR_I64, HELPER_FLAGS, ir_ext(u, IR_I64, MO_32, ir_getreg(u, REG_CC_OP)),
                              ir_getreg(u, REG_CC_RESULT), ir_getreg(u, REG_CC_SOURCE), 0);
        ir_setreg(u, REG_CC_OP, ir_const(u, IR_I32, CC_EFLAGS << 2));
        ir_setreg(u, REG_CC_RESULT, flags);
    }
    return ir_unary(u, OP_trunc, IR_I32, ir_getreg(u, REG_CC_RESULT));
}

void set_all_flags(Ctx *c, IrTmp flags)
{
    ir_setreg(c->ir, REG_CC_OP, ir_const(c->ir, IR_I32, CC_EFLAGS << 2));
    ir_setreg(c->ir, REG_CC_RESULT, widen(c, flags));
}

static IrTmp as_i32(Ctx *c, IrTmp v)
{
    return c->ir->tmps[v].type == IR_I64 ? ir_unary(c->ir, OP_trunc, IR_I32, v) : v;
}

IrTmp changed_cc_op(Ctx *c, IrTmp carry, IrTmp overflow)
{
    IrUnit *u = c->ir;
    unsigned changed, set = CC_CF_SET | (overflow ? CC_OF_SET : 0);
    int op = known_cc_op(c, &changed);
    if (op >= 0 && changed & ~set) { /* an overflow of before, which stays */
        get_flags(c);
        op = known_cc_op(c, &changed);
    }
    IrTmp bits = ir_binary_imm(u, OP_shl, IR_I32, as_i32(c, carry), CC_CF_SHIFT);
    if (overflow)
        bits = ir_binary(u, OP_or, IR_I32, bits, ir_binary_imm(u, OP_shl, IR_I32, as_i32(c, overflow), CC_OF_SHIFT));
    if (op >= 0)
        return ir_binary_imm(u, OP_or, IR_I32, bits, op | (int)set);
    int64_t keep = CC_KIND_MASK | (overflow ? 0 : CC_OF_SET | 1 << CC_OF_SHIFT);
    IrTmp old = ir_binary_imm(u, OP_and, IR_I32, ir_getreg(u, REG_CC_OP), keep);
    return ir_binary(u, OP_or, IR_I32, ir_binary_imm(u, OP_or, IR_I32, bits, set), old);
}

void set_carry_only(Ctx *c, IrTmp carry)
{
    ir_setreg(c->ir, REG_CC_OP, changed_cc_op(c, carry, 0));
}

/* The carry that cc_op is known to have: a value that is 0 if it is clear. */
static IrTmp carry_of_cc_op(Ctx *c)
{
    IrUnit *u = c->ir;
    IrTmp op = ir_getreg(u, REG_CC_OP);
    if (!u->tmps[op].constant) {
        const IrInsn *bits = &u->insns[u->tmps[u->insns[u->tmps[op].def].arg[0]].def];
        if (bits->op == OP_shl && u->tmps[bits->arg[1]].constant && u->tmps[bits->arg[1]].value == CC_CF_SHIFT)
            return bits->arg[0];
    }
    return ir_binary_imm(u, OP_and, IR_I32, op, 1 << CC_CF_SHIFT);
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
    static const int8_t table[] = { -1, COND_LTU, COND_EQ, COND_LEU, -1, -1, COND_LT, COND_LE };
    if (cc >> 1 == 4) { /* the sign of the difference */
        IrType t = type_of(size);
        IrTmp r = ir_binary(c->ir, OP_sub, t, cc_value(c, REG_CC_RESULT, size, false),
                            cc_value(c, REG_CC_SOURCE, size, false));
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
    static const uint16_t masks[] = { FLAG_OF, FLAG_CF, FLAG_ZF, FLAG_CF | FLAG_ZF,
                                      FLAG_SF, FLAG_PF, FLAG_SF, FLAG_SF | FLAG_ZF };
    IrUnit *u = c->ir;
    IrTmp flags = get_flags(c);
    if (cc >> 1 >= 6) /* SF != OF: OF moved to SF's place */
        flags = ir_binary(u, OP_xor, IR_I32, flags,
                          ir_binary_imm(u, OP_and, IR_I32, ir_binary_imm(u, OP_shr, IR_I32, flags, 4), FLAG_SF));
    *cond = COND_NE;
    *a = ir_binary_imm(u, OP_and, IR_I32, flags, masks[cc >> 1]);
    *b = ir_const(u, IR_I32, 0);
}

/* Does the condition depend on flags that are changed after the operation that cc_op names? */
static bool depends_on(unsigned cc, unsigned changed)
{
    unsigned kind = cc >> 1;
    return (changed & CC_CF_SET && (kind == 1 || kind == 3)) || (changed & CC_OF_SET && (kind == 0 || kind >= 6));
}

void condition(Ctx *c, unsigned cc, IrCond *cond, IrTmp *a, IrTmp *b)
{
    unsigned changed;
    int op = known_cc_op(c, &changed);
    unsigned kind = op >= 0 ? (unsigned)op >> 2 : CC_EFLAGS, size = op >= 0 ? 1u << (op & 3) : 4;
    bool found = false;
    if (depends_on(cc, changed)) {
        found = cc >> 1 == 1;
        if (found) {
            *cond = COND_NE;
            *a = carry_of_cc_op(c);
            *b = ir_const(c->ir, IR_I32, 0);
        }
    } else if (kind == CC_SUB) {
        found = condition_of_sub(c, cc, size, cond, a, b);
    } else if (kind != CC_EFLAGS && kind != CC_BMI) {
        found = condition_of_result(c, cc, size, kind == CC_LOGIC, cond, a, b) ||
                (cc >> 1 == 1 && condition_of_carry(c, kind, size, cond, a, b));
    }
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

void x86_fault(Ctx *c, unsigned vector, uint32_t error)
{
    ir_call(c->ir, IR_I64, HELPER_RAISE, ir_const(c->ir, IR_I64, vector), ir_const(c->ir, IR_I64, error), 0, 0);
    end_at_pc(c);
}

void cold_if(Ctx *c, IrCond cond, IrTmp a, IrTmp b)
{
    ir_brcond(c->ir, cond, a, b, ir_cold(c->ir));
}

static IrTmp cs_base(Ctx *c)
{
    return ir_ldstate(c->ir, IR_I32, x86_base_of(X86_CS), MO_32);
}

/* ---- the limit of CS, where it may bind ---- */

static bool code_is_limited(const Ctx *c)
{
    return c->bits != 64 && !(c->mode & MODE_FLAT);
}

static IrTmp code_limit(Ctx *c)
{
    uint32_t at =
        x86_base_of(X86_CS) - (uint32_t)offsetof(X86SegmentReg, base) + (uint32_t)offsetof(X86SegmentReg, limit);
    return ir_ldstate(c->ir, IR_I32, at, MO_32);
}

static void check_code(Ctx *c, unsigned length, IrTmp target)
{
    IrUnit *u = c->ir;
    ir_call(u, IR_I64, HELPER_CHECK_CODE, ir_const(u, IR_I64, length),
            target ? ir_ext(u, IR_I64, MO_32, target) : ir_const(u, IR_I64, 0), 0, 0);
}

void check_target(Ctx *c, IrTmp ip)
{
    if (!code_is_limited(c))
        return;
    if (c->i->operand_size == 2)
        ip = ir_ext(c->ir, IR_I32, MO_16, ip);
    if (c->insn->cold)
        check_code(c, 0, ip);
    else
        cold_if(c, COND_GTU, ip, code_limit(c));
}

/* Once for each way into the unit: all of its page is within the limit. If not, each instruction is looked at. */
static void check_fetch(Ctx *c)
{
    IrUnit *u = c->ir;
    if (!code_is_limited(c))
        return;
    if (c->insn->cold) {
        check_code(c, c->i->length, 0);
    } else if (c->insn->first || c->insn->label_at(c->insn, c->insn->offset) >= 0) {
        IrTmp page = ir_binary(u, OP_sub, IR_I32, ir_unary(u, OP_trunc, IR_I32, ir_getpc(u, 0)), cs_base(c));
        IrTmp last = ir_binary_imm(u, OP_add, IR_I64, ir_ext(u, IR_I64, MO_32, page), GUEST_PAGE_SIZE - 1);
        cold_if(c, COND_GTU, last, ir_ext(u, IR_I64, MO_32, code_limit(c)));
    }
}

static IrTmp next_linear(Ctx *c)
{
    IrTmp pc = ir_getpc(c->ir, c->insn->offset + c->i->length);
    return c->bits == 64 ? pc : ir_ext(c->ir, IR_I64, MO_32, ir_unary(c->ir, OP_trunc, IR_I32, pc));
}

IrTmp next_ip(Ctx *c, IrType type)
{
    IrTmp pc = next_linear(c);
    if (c->bits == 64)
        return type == IR_I64 ? pc : ir_unary(c->ir, OP_trunc, IR_I32, pc);
    pc = ir_unary(c->ir, OP_trunc, IR_I32, pc);
    return c->mode & MODE_FLAT ? pc : ir_binary(c->ir, OP_sub, IR_I32, pc, cs_base(c));
}

void x86_end_at_next(Ctx *c)
{
    if (c->mode & MODE_TF) {
        jump_to_linear(c, next_linear(c));
        return;
    }
    ir_ststate(c->ir, offsetof(CpuState, pc), MO_64, next_linear(c));
    end_at_pc(c);
}

void jump_to_linear(Ctx *c, IrTmp va)
{
    if (c->mode & MODE_TF) {
        ir_call(c->ir, IR_I64, HELPER_STEP, va, 0, 0, 0);
        ir_lookup(c->ir);
    } else {
        ir_jump_ind(c->ir, va);
    }
    c->stop = true;
}

static IrTmp linear_of_ip(Ctx *c, IrTmp ip)
{
    if (c->bits == 64)
        return ip;
    if (c->i->operand_size == 2)
        ip = ir_ext(c->ir, IR_I32, MO_16, ip);
    if (!(c->mode & MODE_FLAT))
        ip = ir_binary(c->ir, OP_add, IR_I32, ip, cs_base(c));
    return ir_ext(c->ir, IR_I64, MO_32, ip);
}

void jump_to_ip(Ctx *c, IrTmp ip)
{
    jump_to_linear(c, linear_of_ip(c, ip));
}

/* Where a jump cannot be one inside the page: code that wraps at 64 KiB or 4 GiB, single-stepping. */
static bool far_away(const Ctx *c, int64_t target)
{
    return c->mode & MODE_TF || (c->bits == 32 && c->i->operand_size == 2) ||
           (c->bits != 64 && (target < 0 || target > 4095)) || target != (int32_t)target;
}

static IrTmp near_ip(Ctx *c, int64_t displacement)
{
    return ir_binary_imm(c->ir, OP_add, IR_I32, next_ip(c, IR_I32), displacement);
}

static IrTmp near_target(Ctx *c, int64_t displacement)
{
    if (c->bits == 64)
        return ir_getpc(c->ir, c->insn->offset + c->i->length + displacement);
    return linear_of_ip(c, near_ip(c, displacement));
}

/* May a near jump lead beyond the limit? Inside a page that is all within it it does not. */
static bool may_leave(const Ctx *c, int64_t displacement)
{
    return code_is_limited(c) && (c->insn->cold || far_away(c, c->insn->offset + c->i->length + displacement));
}

void check_near(Ctx *c, int64_t displacement)
{
    if (may_leave(c, displacement))
        check_target(c, near_ip(c, displacement));
}

void jump_near(Ctx *c, int64_t displacement)
{
    int64_t target = c->insn->offset + c->i->length + displacement;
    if (far_away(c, target)) {
        jump_to_linear(c, near_target(c, displacement));
        return;
    }
    int label = c->insn->label_at(c->insn, (int32_t)target);
    if (label >= 0) {
        if (target <= c->insn->offset)
            ir_poll(c->ir, c->insn->offset);
        ir_br(c->ir, label);
    } else {
        ir_jump(c->ir, target, target <= c->insn->offset);
    }
    c->stop = true;
}

void check_near_if(Ctx *c, IrCond cond, IrTmp a, IrTmp b, int64_t displacement)
{
    if (may_leave(c, displacement))
        check_target(c, ir_select(c->ir, IR_I32, cond, a, b, near_ip(c, displacement), ir_const(c->ir, IR_I32, 0)));
}

void jump_near_if(Ctx *c, IrCond cond, IrTmp a, IrTmp b, int64_t displacement)
{
    check_near_if(c, cond, a, b, displacement);
    if (c->i->length + displacement <= 0 && !far_away(c, c->insn->offset + c->i->length + displacement))
        ir_poll(c->ir, c->insn->offset);
    jump_counted_if(c, cond, a, b, displacement);
}

void jump_counted_if(Ctx *c, IrCond cond, IrTmp a, IrTmp b, int64_t displacement)
{
    int64_t target = c->insn->offset + c->i->length + displacement;
    if (far_away(c, target)) {
        IrTmp there = near_target(c, displacement);
        jump_to_linear(c, ir_select(c->ir, IR_I64, cond, a, b, there, next_linear(c)));
        return;
    }
    int label = c->insn->label_at(c->insn, (int32_t)target);
    if (label >= 0)
        ir_brcond(c->ir, cond, a, b, label);
    else
        ir_brjump(c->ir, cond, a, b, target);
}

/* ---- the stack ---- */

unsigned stack_size(const Ctx *c)
{
    return c->bits == 64 ? 8 : c->mode & MODE_STACK32 ? 4 : 2;
}

IrTmp stack_pointer(Ctx *c, int64_t plus)
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
    if (c->bits == 64) { /* below what rSP still is, which can be changed in its place then */
        ir_st(c->ir, data(c, size), stack_pointer(c, 0), -(int64_t)size, value);
        set_reg(c, RSP, 8, stack_pointer(c, -(int64_t)size));
        return;
    }
    IrTmp sp = stack_pointer(c, -(int64_t)size);
    ir_st(c->ir, data(c, size), linear(c, X86_SS, sp, size, true), 0, value);
    set_reg(c, RSP, stack_size(c), sp);
}

IrTmp pop_value(Ctx *c, unsigned size)
{
    return ir_ld(c->ir, type_of(size), data(c, size), linear(c, X86_SS, stack_pointer(c, 0), size, false), 0);
}

/* ---- instructions ---- */

static struct {
    bool (*translate)(Ctx *c, unsigned arg);
    unsigned arg;
} translators[X86_OP_COUNT];

const char *x86_op_name(unsigned id)
{
    return x86_op_names[id];
}

void x86_translate_init(void)
{
    static const X86Translator *const lists[] = { x86_integer_translators, x86_bits_translators,
                                                  x86_control_translators, x86_string_translators,
                                                  x86_system_translators,  x86_float_translators };
    g_autoptr(GHashTable) ids =
        g_hash_table_new(g_str_hash, g_str_equal); /* each start of the process waits for this */
    for (unsigned id = X86_OP_COUNT; id-- > 0;)
        g_hash_table_insert(ids, (gpointer)x86_op_names[id], GUINT_TO_POINTER(id + 1));
    for (unsigned l = 0; l < G_N_ELEMENTS(lists); l++) {
        for (const X86Translator *t = lists[l]; t->name; t++) {
            unsigned id = GPOINTER_TO_UINT(g_hash_table_lookup(ids, t->name)) - 1;
            g_assert(id < X86_OP_COUNT);
            translators[id].translate = t->translate;
            translators[id].arg = t->arg;
        }
    }
}

static unsigned code_bits(uint32_t mode)
{
    return 16u << (mode >> MODE_BITS_SHIFT & 3);
}

static bool vex_allowed(uint32_t mode)
{
    return (mode & (MODE_PE | MODE_VM86)) == MODE_PE;
}

/* What was decoded at an address of the translator's copy of the code: scanning decodes first, then translating. */
typedef struct Decoded {
    uint64_t features;
    uint8_t bits;
    bool vex_allowed;
    uint8_t bytes[16];
    X86Insn insn;
} Decoded;
#define DECODED 256

/* Stays until the next one is decoded. */
static const X86Insn *decode(uint32_t mode, uint64_t features, const uint8_t *bytes, unsigned available)
{
    static _Thread_local Decoded kept[DECODED];
    Decoded *d = &kept[(uintptr_t)bytes % DECODED];
    unsigned bits = code_bits(mode);
    bool vex = vex_allowed(mode);
    if (d->insn.row && d->features == features && d->bits == bits && d->vex_allowed == vex &&
        d->insn.length <= available && !memcmp(d->bytes, bytes, d->insn.length))
        return &d->insn;
    d->features = features;
    d->bits = (uint8_t)bits;
    d->vex_allowed = vex;
    memcpy(d->bytes, bytes, MIN(available, sizeof(d->bytes)));
    x86_decode(bits, features, vex, bytes, available, &d->insn);
    if (!d->insn.length)
        d->insn.row = NULL;
    return &d->insn;
}

/* Near the end of a page decoding looks at no more than is there. */
void x86_scan(const CpuState *cs, const uint8_t *bytes, unsigned available, InsnScan *out)
{
    const X86State *s = (const X86State *)cs;
    const X86Insn *i = decode(cs->mode, s->decode_features, bytes, MIN(available, 16u));
    *out = (InsnScan){ .length = i->length, .flow = FLOW_NEXT };
    if (!i->row) {
        out->flow = FLOW_END;
        return;
    }
    switch (i->row->id) {
    case X86_OP_jcc:
    case X86_OP_loop:
    case X86_OP_loope:
    case X86_OP_loopne:
    case X86_OP_jcxz:
        out->flow = FLOW_BRANCH;
        break;
    case X86_OP_jmp:
        out->flow = i->row->operands[0].kind == OPERAND_REL ? FLOW_JUMP : FLOW_END;
        break;
    case X86_OP_call:
        out->flow = i->row->operands[0].kind == OPERAND_REL ? FLOW_CALL : FLOW_END;
        break;
    case X86_OP_ret:
    case X86_OP_retf:
    case X86_OP_iret:
    case X86_OP_jmpf:
    case X86_OP_callf:
    case X86_OP_int:
    case X86_OP_int3:
    case X86_OP_ud2:
    case X86_OP_hlt:
    case X86_OP_syscall:
    case X86_OP_sysret:
    case X86_OP_sysenter:
    case X86_OP_sysexit:
    case X86_OP_rsm:
        out->flow = FLOW_END;
        break;
    }
    if (out->flow == FLOW_BRANCH || out->flow == FLOW_JUMP || out->flow == FLOW_CALL)
        out->target = i->length + i->imm;
    if (code_bits(cs->mode) == 32 && i->operand_size == 2 && out->target) /* where the address is cut */
        out->flow = out->flow == FLOW_BRANCH ? FLOW_NEXT : FLOW_END;
}

/* Of x87.opcodes or simd.opcodes, by the operands and what CPUID calls it. */
static bool is_simd(const X86Row *row)
{
    bool simd = row->id == X86_OP_emms || row->id == X86_OP_vzeroupper || row->id == X86_OP_vzeroall;
    for (unsigned n = 0; n < 4; n++)
        simd |= row->operands[n].kind >= OPERAND_MMX && row->operands[n].kind <= OPERAND_XMM_IMM;
    return simd;
}

const char **x86_untranslated(void)
{
    const char **names = g_new0(const char *, X86_OP_COUNT + 1);
    unsigned n = 0;
    for (unsigned id = 0; id < X86_OP_COUNT; id++) {
        const X86Row *row = x86_row_of(id);
        if (!translators[id].translate && !is_simd(row) && row->features[0] != X86_X87)
            names[n++] = x86_op_names[id];
    }
    return names;
}

static bool translate_row(Ctx *c)
{
    unsigned id = c->i->row->id;
    if (!translators[id].translate && is_simd(c->i->row))
        return x86_translate_simd(c, 0);
    if (!translators[id].translate && c->i->row->features[0] == X86_X87)
        return x86_translate_x87(c, 0);
    if (!translators[id].translate || (c->i->row->flags & X86_PROTECTED && !vex_allowed(c->mode)))
        return false;
    return translators[id].translate(c, translators[id].arg);
}

bool x86_translate(TranslateInsn *insn)
{
    const X86State *s = (const X86State *)insn->cs;
    const X86Insn *i = decode(insn->mode, s->decode_features, insn->bytes, insn->length);
    Ctx c = { .insn = insn, .ir = insn->ir, .s = s, .i = i, .mode = insn->mode, .bits = code_bits(insn->mode) };
    if (c.mode & MODE_BREAK)
        ir_call(c.ir, IR_I64, HELPER_SYSTEM, ir_const(c.ir, IR_I64, SYSTEM_CODE_BREAK), 0, 0,
                ir_const(c.ir, IR_I64, 0));
    check_fetch(&c);
    if (i->too_long)
        x86_fault(&c, VECTOR_GP, 0);
    else if (!i->row || !translate_row(&c))
        x86_fault(&c, VECTOR_UD, 0);
    if (!c.stop && c.mode & MODE_TF)
        jump_to_linear(&c, next_linear(&c));
    return !c.stop;
}

bool x86_accesses_stack(X86State *s, uint64_t va)
{
    uint8_t bytes[16];
    unsigned n = 0;
    X86Insn i;
    for (Walk w; n < sizeof(bytes); n++) {
        uint64_t word;
        if (!x86_walk(&s->cs, s->cs.pc + n, ACCESS_FETCH, s->cs.mmu_index, false, &w) ||
            !tcg_phys_load(&s->cs, w.phys & ~7ull, 8, &word))
            break;
        bytes[n] = (uint8_t)(word >> 8 * (w.phys & 7));
    }
    x86_decode(code_bits(s->cs.mode), s->decode_features, vex_allowed(s->cs.mode), bytes, n, &i);
    if (!i.row || !i.length)
        return false;
    bool memory = i.segment != X86_NO_SEGMENT;
    if (memory && i.segment == X86_SS)
        return true;
    switch (i.row->id) {
    case X86_OP_push:
    case X86_OP_pop:
    case X86_OP_call:
    case X86_OP_ret:
    case X86_OP_enter:
    case X86_OP_leave:
    case X86_OP_pushf:
    case X86_OP_popf:
    case X86_OP_iret:
    case X86_OP_retf:
        return !memory || va - (s->gpr[RSP] - 8) < 16; /* one of two accesses */
    default:
        return false;
    }
}
