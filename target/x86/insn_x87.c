/*
 * x86 translation: x87, control and state of all floating point (SDM volume 1, chapter 8; volume 2). What is not inline
 * is one helper call, see x87.c.
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/insn_simd.h"

/*
 * Inline instructions. A segment assumes where the top of the stack is, which registers are in use, that all exceptions
 * are masked and none is pending: one comparison checks that, and from there on it is known. Where an assumption is
 * wrong control goes to the cold part, where all instructions are helpers. Condition code C1 is not set by inline
 * arithmetic, and the pointers to the last instruction are not kept.
 *
 * IrUnit.assumed: ASSUMED_X87; the top; the registers in use. IrUnit.expected: top and, above, those.
 */
enum { TOP_SHIFT = 4, USED_SHIFT = 8, X87_BITS = 0xff72, MMX_BITS = (int)0xff000004u };
#define FPU(member) (uint32_t)(offsetof(X86State, fpu) + offsetof(X86Fpu, member))

void x87_forget_top(Ctx *c)
{
    c->ir->assumed &= ~(uint32_t)X87_BITS;
    c->ir->expected = IR_NOTHING_EXPECTED;
}

static IrTmp as_i64(Ctx *c, IrTmp t)
{
    return c->ir->tmps[t].type == IR_I64 ? t : ir_ext(c->ir, IR_I64, MO_32, t);
}

static unsigned top_of(const Ctx *c)
{
    return c->ir->assumed >> TOP_SHIFT & 7;
}

static unsigned used_of(const Ctx *c)
{
    return c->ir->assumed >> USED_SHIFT & 0xff;
}

static int64_t stack_word(unsigned top, unsigned used)
{
    return (int32_t)(top | used << 24);
}

static void set_stack(Ctx *c, unsigned top, unsigned used)
{
    IrUnit *u = c->ir;
    top &= 7;
    u->assumed = (u->assumed & ~(uint32_t)X87_BITS) | ASSUMED_X87 | top << TOP_SHIFT | used << USED_SHIFT;
    u->expected = top | used << 8;
    ir_ststate(u, FPU(top), MO_32, ir_const(u, IR_I32, stack_word(top, used)));
}

/* False: the instruction is a helper. */
static bool begin_inline(Ctx *c)
{
    IrUnit *u = c->ir;
    if (c->insn->cold)
        return false;
    if (u->assumed & ASSUMED_X87)
        return true;
    bool known = u->expected != IR_NOTHING_EXPECTED;
    unsigned top = known ? u->expected & 7 : c->s->fpu.top, used = known ? u->expected >> 8 & 0xff : c->s->fpu.used;
    ir_brcond(u, COND_NE, ir_ldstate(u, IR_I32, FPU(top), MO_32), ir_const(u, IR_I32, stack_word(top, used)),
              ir_cold(u));
    u->assumed = (u->assumed & ~(uint32_t)X87_BITS) | ASSUMED_X87 | top << TOP_SHIFT | used << USED_SHIFT;
    u->expected = top | used << 8;
    return true;
}

/* Else the stack overflows or underflows: a helper knows what that gives. */
static void check_used(Ctx *c, unsigned reg, bool used)
{
    if ((used_of(c) >> reg & 1) != used)
        ir_br(c->ir, ir_cold(c->ir));
}

/* The physical register of st(n), which must be in use. */
static unsigned stack_reg(Ctx *c, unsigned n)
{
    unsigned reg = (top_of(c) + n) & 7;
    check_used(c, reg, true);
    return reg;
}

/* The one that a push is to write, which must be empty. */
static unsigned next_reg(Ctx *c)
{
    unsigned reg = (top_of(c) - 1) & 7;
    check_used(c, reg, false);
    return reg;
}

static uint16_t place_of(unsigned reg)
{
    return (uint16_t)(FPU(reg) + 16 * reg);
}

static void pushed(Ctx *c, unsigned reg)
{
    set_stack(c, reg, used_of(c) | 1u << reg);
}

static void pop(Ctx *c)
{
    set_stack(c, top_of(c) + 1, used_of(c) & ~(1u << top_of(c)));
}

/* ---- memory operands, through the buffer ---- */

static void load_operand(Ctx *c, unsigned bytes)
{
    IrTmp v = ir_ld(c->ir, type_of(bytes), data(c, bytes), memory_address(c, bytes, false), 0);
    ir_ststate(c->ir, FPU(buffer), log2_of(bytes), v);
}

static void store_operand(Ctx *c, unsigned bytes)
{
    IrTmp v = ir_ldstate(c->ir, type_of(bytes), FPU(buffer), log2_of(bytes));
    ir_st(c->ir, data(c, bytes), memory_address(c, bytes, true), 0, v);
}

/* Ten bytes, which no conversion touches. */
static void load_extended(Ctx *c, unsigned to)
{
    IrUnit *u = c->ir;
    IrTmp address = memory_address(c, 10, false), low = ir_ld(u, IR_I64, MO_64, address, 0);
    IrTmp high = ir_ld(u, IR_I32, MO_16, address, 8);
    ir_ststate(u, place_of(to), MO_64, low);
    ir_ststate(u, place_of(to) + 8u, MO_16, high);
}

static void store_extended(Ctx *c, unsigned from)
{
    IrUnit *u = c->ir;
    IrTmp address = memory_address(c, 10, true);
    ir_st(u, MO_16, address, 8, ir_ldstate(u, IR_I32, place_of(from) + 8u, MO_16));
    ir_st(u, MO_64, address, 0, ir_ldstate(u, IR_I64, place_of(from), MO_64));
}

/* ---- kinds of instructions ---- */

/* C0 to C3 of the status word sw. */
static void set_conditions(Ctx *c, IrTmp sw)
{
    IrUnit *u = c->ir;
    IrTmp old = ir_binary_imm(u, OP_and, IR_I32, ir_ldstate(u, IR_I32, FPU(status), MO_16), 0xffff & ~X87_CONDITIONS);
    sw = ir_binary_imm(u, OP_and, IR_I32, sw, X87_CONDITIONS);
    ir_ststate(u, FPU(status), MO_16, ir_binary(u, OP_or, IR_I32, old, sw));
}

static void compare_registers(Ctx *c, unsigned n, uint16_t op)
{
    unsigned a = stack_reg(c, 0), b = stack_reg(c, n);
    const IrX87 x = { .op = op, .kind = IR_X87_REGISTERS, .first = place_of(b), .second = place_of(a) };
    set_conditions(c, ir_x87_test(c->ir, IR_X87_STATUS, &x));
}

static void compare_eflags(Ctx *c, unsigned n, uint16_t op)
{
    unsigned a = stack_reg(c, 0), b = stack_reg(c, n);
    const IrX87 x = { .op = op, .kind = IR_X87_REGISTERS, .first = place_of(b), .second = place_of(a) };
    set_test_flags(c, ir_x87_test(c->ir, IR_X87_EFLAGS, &x));
}

enum { FCOMPP = 0xd9de, FUCOMPP = 0xe9da, FCOMIP = 0xf1df, FUCOMIP = 0xe9df };

/* to = to op from (or the other way about, as digit says); of host instructions on st(1) and st(0). */
static void arithmetic(Ctx *c, unsigned digit, unsigned to, unsigned from)
{
    static const uint16_t ops[] = { 0xc1de, 0xc9de, 0, 0, 0xe9de, 0xe1de, 0xf9de, 0xf1de };
    unsigned a = stack_reg(c, to), b = stack_reg(c, from);
    const IrX87 x = {
        .op = ops[digit], .kind = IR_X87_REGISTERS, .first = place_of(a), .second = place_of(b), .dest = place_of(a)
    };
    ir_x87(c->ir, &x);
}

static bool with_memory(Ctx *c, unsigned escape, unsigned digit, unsigned bytes)
{
    unsigned a = stack_reg(c, 0);
    bool compare = digit == 2 || digit == 3;
    const IrX87 x = { .op = (uint16_t)(0xd8 | escape | (compare ? 3 : digit) << 11),
                      .kind = IR_X87_MEMORY,
                      .first = place_of(a),
                      .second = (uint16_t)FPU(buffer),
                      .dest = compare ? 0 : place_of(a) };
    load_operand(c, bytes);
    if (compare)
        set_conditions(c, ir_x87_test(c->ir, IR_X87_STATUS, &x));
    else
        ir_x87(c->ir, &x);
    if (digit == 3)
        pop(c);
    return true;
}

static bool load_converted(Ctx *c, unsigned format, unsigned bytes)
{
    unsigned reg = next_reg(c);
    load_operand(c, bytes);
    const IrX87 x = { .first = (uint16_t)FPU(buffer), .first_format = (uint8_t)format, .dest = place_of(reg) };
    ir_x87(c->ir, &x);
    pushed(c, reg);
    return true;
}

static bool store_converted(Ctx *c, unsigned format, unsigned bytes, bool pops)
{
    const IrX87 x = { .first = place_of(stack_reg(c, 0)),
                      .dest = (uint16_t)FPU(buffer),
                      .dest_format = (uint8_t)format };
    ir_x87(c->ir, &x);
    store_operand(c, bytes);
    if (pops)
        pop(c);
    return true;
}

static bool inline_memory(Ctx *c, unsigned escape, unsigned digit)
{
    static const uint8_t formats[] = { [1] = IR_X87_M32, [3] = IR_X87_I32, [5] = IR_X87_M64, [7] = IR_X87_I16 };
    unsigned bytes = x87_operand_bytes(escape << 8 | digit << 3);
    IrUnit *u = c->ir;
    unsigned reg;
    if (!(escape & 1))
        return with_memory(c, escape, digit, bytes);
    switch (escape << 4 | digit) {
    case 0x10:
    case 0x30:
    case 0x50:
    case 0x70:
        return load_converted(c, formats[escape], bytes);
    case 0x12:
    case 0x13:
    case 0x32:
    case 0x33:
    case 0x52:
    case 0x53:
    case 0x72:
    case 0x73:
        return store_converted(c, formats[escape], bytes, digit == 3);
    case 0x75:
        return load_converted(c, IR_X87_I64, 8);
    case 0x77:
        return store_converted(c, IR_X87_I64, 8, true);
    case 0x35:
        reg = next_reg(c);
        load_extended(c, reg);
        pushed(c, reg);
        return true;
    case 0x37:
        store_extended(c, stack_reg(c, 0));
        pop(c);
        return true;
    case 0x17: /* fnstcw */
        ir_st(u, data(c, 2), memory_address(c, 2, true), 0, ir_ldstate(u, IR_I32, FPU(control), MO_16));
        return true;
    default:
        return false;
    }
}

static bool copy_register(Ctx *c, unsigned from, unsigned to)
{
    if (from != to) {
        const IrX87 x = { .first = place_of(from), .dest = place_of(to) };
        ir_x87(c->ir, &x);
    }
    return true;
}

static bool exchange(Ctx *c, unsigned n)
{
    IrUnit *u = c->ir;
    unsigned a = place_of(stack_reg(c, 0)), b = place_of(stack_reg(c, n));
    IrTmp low[2] = { ir_ldstate(u, IR_I64, a, MO_64), ir_ldstate(u, IR_I64, b, MO_64) };
    IrTmp high[2] = { ir_ldstate(u, IR_I32, a + 8, MO_16), ir_ldstate(u, IR_I32, b + 8, MO_16) };
    ir_ststate(u, b, MO_64, low[0]);
    ir_ststate(u, b + 8, MO_16, high[0]);
    ir_ststate(u, a, MO_64, low[1]);
    ir_ststate(u, a + 8, MO_16, high[1]);
    return true;
}

/* fnstsw ax */
static bool store_status(Ctx *c)
{
    IrUnit *u = c->ir;
    const IrX87 nothing = { .op = 0 };
    IrTmp sw = ir_binary_imm(u, OP_and, IR_I32, ir_x87_test(u, IR_X87_STATUS, &nothing), X87_FLAGS);
    sw = ir_binary(u, OP_or, IR_I32, sw, ir_ldstate(u, IR_I32, FPU(status), MO_16));
    sw = ir_binary(u, OP_or, IR_I32, sw, ir_ldstate(u, IR_I32, offsetof(CpuState, x87_flags), MO_16));
    set_reg(c, RAX, 2, ir_binary_imm(u, OP_or, IR_I32, sw, (int64_t)(top_of(c) << 11)));
    return true;
}

/* d9 e0 to ff */
static bool inline_stack(Ctx *c, unsigned modrm)
{
    if (modrm == 0xe0 || modrm == 0xe1 || modrm == 0xfa || modrm == 0xfc) { /* fchs, fabs, fsqrt, frndint */
        uint16_t st0 = place_of(stack_reg(c, 0));
        const IrX87 x = { .op = (uint16_t)(0xd9 | modrm << 8), .kind = IR_X87_REGISTERS, .first = st0, .dest = st0 };
        ir_x87(c->ir, &x);
        return true;
    }
    if (modrm >= 0xe8 && modrm <= 0xee) { /* constants */
        unsigned reg = next_reg(c);
        const IrX87 x = { .op = (uint16_t)(0xd9 | modrm << 8), .kind = IR_X87_REGISTERS, .dest = place_of(reg) };
        ir_x87(c->ir, &x);
        pushed(c, reg);
        return true;
    }
    return false;
}

static bool inline_registers(Ctx *c, unsigned escape, unsigned modrm)
{
    unsigned digit = modrm >> 3 & 7, n = modrm & 7, reg;
    bool arithmetic_digit = digit != 2 && digit != 3;
    switch (escape << 4 | digit) {
    case 0x10: /* fld */
        reg = next_reg(c);
        copy_register(c, stack_reg(c, n), reg);
        pushed(c, reg);
        return true;
    case 0x11:
        return exchange(c, n);
    case 0x02:
    case 0x03:
        compare_registers(c, n, FCOMPP);
        if (digit == 3)
            pop(c);
        return true;
    case 0x54:
    case 0x55:
        compare_registers(c, n, FUCOMPP);
        if (digit == 5)
            pop(c);
        return true;
    case 0x63:
    case 0x25: /* fcompp, fucompp */
        if (n != 1)
            return false;
        compare_registers(c, 1, escape == 6 ? FCOMPP : FUCOMPP);
        pop(c);
        pop(c);
        return true;
    case 0x35:
    case 0x36:
    case 0x75:
    case 0x76:
        compare_eflags(c, n, digit == 5 ? FUCOMIP : FCOMIP);
        if (escape == 7)
            pop(c);
        return true;
    case 0x52:
    case 0x53: /* fst, fstp */
        reg = (top_of(c) + n) & 7;
        copy_register(c, stack_reg(c, 0), reg);
        set_stack(c, top_of(c), used_of(c) | 1u << reg);
        if (digit == 3)
            pop(c);
        return true;
    case 0x74:
        return modrm == 0xe0 && store_status(c);
    default:
        break;
    }
    if (escape == 1)
        return inline_stack(c, modrm);
    if (!arithmetic_digit || (escape != 0 && escape != 4 && escape != 6))
        return false;
    if (escape == 0) {
        arithmetic(c, digit, 0, n);
        return true;
    }
    arithmetic(c, digit < 4 ? digit : digit ^ 1, n, 0); /* reversed ones are the other way about here */
    if (escape == 6)
        pop(c);
    return true;
}

/* Which instructions are inline: decided before anything is assumed. */
static bool has_inline(unsigned escape, unsigned modrm)
{
    unsigned digit = modrm >> 3 & 7;
    static const uint8_t memory[8] = { 0xff, 0x8d, 0xff, 0xad, 0xff, 0x0d, 0xff, 0xad };
    static const uint8_t registers[8] = { 0xff, 0x03, 0, 0x60, 0xf3, 0x3c, 0xf3, 0x60 };
    if (modrm < 0xc0)
        return memory[escape] >> digit & 1;
    if (escape == 1 && modrm >= 0xe0)
        return modrm == 0xe0 || modrm == 0xe1 || modrm == 0xfa || modrm == 0xfc || (modrm >= 0xe8 && modrm <= 0xee);
    return registers[escape] >> digit & 1 || (escape == 6 && modrm == 0xd9) || (escape == 2 && modrm == 0xe9) ||
           (escape == 7 && modrm == 0xe0);
}

/* What the stack will be like after a helper, as far as that follows from the instruction. */
static uint32_t expected_after(uint32_t before, unsigned escape, unsigned modrm)
{
    unsigned top = before & 7, used = before >> 8 & 0xff, digit = modrm >> 3 & 7;
    bool memory = modrm < 0xc0, push, pop;
    if ((escape == 3 && modrm == 0xe3) || (escape == 5 && memory && digit == 6)) /* fninit, fnsave */
        return 0;
    if (before == IR_NOTHING_EXPECTED || (memory && digit == 4 && (escape == 1 || escape == 5))) /* fldenv, frstor */
        return IR_NOTHING_EXPECTED;
    if (memory) {
        push = escape == 7 && digit == 4;
        pop = (escape == 7 && digit == 6) || (escape & 1 && escape > 1 && digit == 1);
    } else {
        push = escape == 1 && (modrm == 0xf2 || modrm == 0xf4 || modrm == 0xfb);
        pop = escape == 1 && (modrm == 0xf1 || modrm == 0xf3 || modrm == 0xf9);
    }
    if (push) {
        top = (top - 1) & 7;
        used |= 1u << top;
    } else if (pop) {
        used &= ~(1u << top);
        top = (top + 1) & 7;
    }
    return top | used << 8;
}

/* Of instructions with an operand in memory: not fnstenv, fnstcw, fnsave, fnstsw. */
static bool x87_waits(unsigned escape, unsigned modrm)
{
    return !((escape == 1 || escape == 5) && (modrm >> 3 & 7) >= 6);
}

bool x86_translate_x87(Ctx *c, unsigned arg)
{
    const X86Insn *i = c->i;
    IrUnit *u = c->ir;
    unsigned escape = i->opcode & 7u, opcode = escape << 8 | i->modrm;
    if (!simd_available(c, NEED_X87))
        return true;
    u->assumed &= ~(uint32_t)MMX_BITS;
    bool extended = escape == 3 && i->mod != 3 && (i->modrm >> 3 & 7) >= 5;
    if (has_inline(escape, i->modrm) && !(extended && c->mode & MODE_ALIGN) && begin_inline(c) &&
        (i->mod == 3 ? inline_registers(c, escape, i->modrm) : inline_memory(c, escape, i->modrm >> 3 & 7)))
        return true;
    unsigned bytes = x87_operand_bytes(opcode);
    IrTmp address = ir_const(u, IR_I64, 0);
    if (i->mod != 3) {
        if (x87_waits(escape, i->modrm))
            ir_guard(u, FPU(pending), HELPER_X87_PENDING, 0);
        if (!bytes)
            bytes = (escape == 5 ? 80 : 0) + (i->operand_size == 2 ? 14 : 28);
        address = as_i64(c, memory_address(c, bytes, x87_is_store(opcode)));
    }
    ir_call(u, IR_I64, HELPER_X87, ir_const(u, IR_I64, opcode), address, ir_const(u, IR_I64, i->operand_size == 2), 0);
    uint32_t after = expected_after(u->expected, escape, i->modrm);
    x87_forget_top(c);
    u->expected = after;
    return true;
}

/* fwait */
static bool translate_wait(Ctx *c, unsigned arg)
{
    if (c->mode & MODE_NO_FPU) { /* #NM with CR0.MP and TS */
        ir_call(c->ir, IR_I64, HELPER_NO_FPU, ir_const(c->ir, IR_I64, NEED_WAIT), 0, 0, 0);
        return true;
    }
    ir_guard(c->ir, offsetof(X86State, fpu) + offsetof(X86Fpu, pending), HELPER_X87_PENDING, 0);
    return true;
}

/* fxsave and its like; arg: STATE_*. */
static bool translate_state(Ctx *c, unsigned what)
{
    bool fx = what == STATE_FXSAVE || what == STATE_FXRSTOR;
    if (fx ? c->mode & MODE_NO_FPU : c->mode & (MODE_NO_FPU | MODE_NO_XSAVE)) {
        ir_call(c->ir, IR_I64, HELPER_NO_FPU, ir_const(c->ir, IR_I64, fx ? NEED_X87 : NEED_XSAVE), 0, 0, 0);
        end_at_pc(c);
        return true;
    }
    if ((what == STATE_XSAVES || what == STATE_XRSTORS) && (c->mode & MODE_CPL)) {
        x86_fault(c, VECTOR_GP, 0);
        return true;
    }
    bool load = what == STATE_FXRSTOR || what == STATE_XRSTOR || what == STATE_XRSTORS;
    ir_call(c->ir, IR_I64, HELPER_STATE, ir_const(c->ir, IR_I64, what | (int64_t)c->i->segment << 8),
            as_i64(c, memory_offset(c)), ir_const(c->ir, IR_I64, c->i->operand_size == 8), 0);
    if (load)
        x86_end_at_next(c); /* the mode may be another */
    return true;
}

static bool translate_ldmxcsr(Ctx *c, unsigned arg)
{
    if (!simd_available(c, c->i->vex ? NEED_AVX : NEED_SSE))
        return true;
    IrTmp v = ir_ld(c->ir, IR_I32, data(c, 4), memory_address(c, 4, false), 0);
    ir_call(c->ir, IR_I64, HELPER_SET_MXCSR, as_i64(c, v), 0, 0, 0);
    x86_end_at_next(c);
    return true;
}

static bool translate_stmxcsr(Ctx *c, unsigned arg)
{
    if (!simd_available(c, c->i->vex ? NEED_AVX : NEED_SSE))
        return true;
    IrTmp v = ir_call(c->ir, IR_I32, HELPER_MXCSR, 0, 0, 0, 0);
    ir_st(c->ir, data(c, 4), memory_address(c, 4, true), 0, v);
    return true;
}

/* Hints. */
static bool translate_prefetch(Ctx *c, unsigned arg)
{
    return true;
}

const X86Translator x86_float_translators[] = {
    { "fwait", translate_wait, 0 },
    { "fxsave", translate_state, STATE_FXSAVE },
    { "fxrstor", translate_state, STATE_FXRSTOR },
    { "xsave", translate_state, STATE_XSAVE },
    { "xrstor", translate_state, STATE_XRSTOR },
    { "xsaveopt", translate_state, STATE_XSAVEOPT },
    { "xsavec", translate_state, STATE_XSAVEC },
    { "xsaves", translate_state, STATE_XSAVES },
    { "xrstors", translate_state, STATE_XRSTORS },
    { "ldmxcsr", translate_ldmxcsr, 0 },
    { "vldmxcsr", translate_ldmxcsr, 0 },
    { "stmxcsr", translate_stmxcsr, 0 },
    { "vstmxcsr", translate_stmxcsr, 0 },
    { "prefetch", translate_prefetch, 0 },
    { "prefetchw", translate_prefetch, 0 },
    { NULL, NULL, 0 },
};
