/*
 * Random units for the guest of ir_world.h: segments of operations on registers and temporaries, memory, helpers,
 * forward branches and loops.
 * SPDX-License-Identifier: MIT
 */
#include "ir_world.h"
#include <string.h>

enum { POOL = 40 };

typedef struct Gen {
    IrUnit *u;
    uint64_t random;
    bool narrow;
    IrTmp pool[IR_F64 + 1][POOL]; /* temporaries of this segment, by type, */
    unsigned pool_count[IR_F64 + 1];
    unsigned pool_next; /* and which is replaced next */
    int skip_label;     /* a forward branch has gone here: to be placed; -1: none */
    int loop_label;     /* a loop is open; -1: none */
    int32_t pc;
    unsigned reuse; /* of ten operands, how many are temporaries of the segment */
} Gen;

static unsigned roll(Gen *g, unsigned limit)
{
    return world_below(&g->random, limit);
}

static void keep(Gen *g, IrTmp t)
{
    IrType type = (IrType)g->u->tmps[t].type;
    if (g->pool_count[type] < POOL)
        g->pool[type][g->pool_count[type]++] = t;
    else
        g->pool[type][g->pool_next++ % POOL] = t;
}

static void forget_pool(Gen *g)
{
    memset(g->pool_count, 0, sizeof(g->pool_count));
}

/* A register of this type; one that may be written if so told. There is one of each but for I64 in a narrow world. */
static unsigned random_reg(Gen *g, IrType type, bool writable)
{
    for (;;) {
        unsigned reg = roll(g, world_reg_count(g->narrow));
        if (world_regs(g->narrow)[reg].type == type && (!writable || reg >= REG_FREE))
            return reg;
    }
}

static IrTmp operand(Gen *g, IrType type);

static IrTmp random_constant(Gen *g, IrType type)
{
    switch (type) {
    case IR_F32:
        return ir_fmove(g->u, OP_fofbits, IR_F32,
                        ir_const(g->u, IR_I32, (int64_t)world_random_float(&g->random, IR_F32)));
    case IR_F64:
        return ir_fmove(g->u, OP_fofbits, IR_F64,
                        ir_const(g->u, IR_I64, (int64_t)world_random_float(&g->random, IR_F64)));
    default:
        return ir_const(g->u, type, world_random_int(&g->random));
    }
}

static IrTmp register_value(Gen *g, IrType type)
{
    if (type == IR_F32)
        return ir_fmove(g->u, OP_funbox, IR_F32, ir_getreg(g->u, random_reg(g, IR_F64, false)));
    return ir_getreg(g->u, random_reg(g, type, false));
}

/* A value of this type: of this segment, a register, or a constant. */
static IrTmp operand(Gen *g, IrType type)
{
    unsigned choice = roll(g, 10), count = g->pool_count[type];
    IrTmp t;
    if (count && choice < g->reuse)
        return g->pool[type][choice < g->reuse / 2 ? count - 1 - roll(g, MIN(count, 4)) : roll(g, count)];
    t = choice < 8 || roll(g, 2) ? register_value(g, type) : random_constant(g, type);
    if (!g->u->tmps[t].constant)
        keep(g, t);
    return t;
}

static IrType random_int_type(Gen *g)
{
    return roll(g, 2) ? IR_I32 : IR_I64;
}

static IrType random_float_type(Gen *g)
{
    return roll(g, 2) ? IR_F32 : IR_F64;
}

/* A result: kept, and often written to a register. */
static void take(Gen *g, IrTmp t)
{
    keep(g, t);
    if (!roll(g, 2))
        return;
    IrType type = (IrType)g->u->tmps[t].type;
    if (type == IR_F32) {
        t = ir_fmove(g->u, OP_fbox, IR_F64, t);
        type = IR_F64;
    }
    ir_setreg(g->u, random_reg(g, type, true), t);
}

static void gen_integer(Gen *g)
{
    IrUnit *u = g->u;
    IrType type = random_int_type(g), other = random_int_type(g);
    IrOp op = (IrOp)(OP_add + roll(g, OP_select - OP_add + 1));
    IrCond cond = (IrCond)roll(g, COND_GTU + 1);
    switch (op) {
    case OP_ext:
        take(g, ir_ext(u, type, roll(g, 3) | (roll(g, 2) ? MO_SIGNED : 0), operand(g, other)));
        break;
    case OP_trunc:
        take(g, ir_unary(u, op, IR_I32, operand(g, IR_I64)));
        break;
    case OP_clz:
    case OP_ctz:
    case OP_popcnt:
    case OP_bswap:
        take(g, ir_unary(u, op, type, operand(g, type)));
        break;
    case OP_setcond:
        take(g, ir_setcond(u, type, cond, operand(g, other), operand(g, other)));
        break;
    case OP_select: {
        IrTmp a = operand(g, other), b = roll(g, 3) ? operand(g, other) : ir_const(u, other, 0);
        take(g, ir_select(u, type, cond, a, b, operand(g, type), operand(g, type)));
        break;
    }
    default: {
        IrTmp a = operand(g, type);
        if (roll(g, 3))
            take(g, ir_binary(u, op, type, a, roll(g, 8) ? operand(g, type) : a));
        else
            take(g, ir_binary_imm(u, op, type, a, world_random_int(&g->random)));
        break;
    }
    }
}

/* An address: mostly a base register near the memory. alignment: of what it adds to the base. */
static IrTmp random_address(Gen *g, unsigned alignment)
{
    IrType type = g->narrow ? IR_I32 : roll(g, 8) ? IR_I64 : IR_I32;
    if (roll(g, 24) == 0)
        return operand(g, type);
    IrTmp base = ir_getreg(g->u, roll(g, 3));
    if (!g->narrow && type == IR_I32)
        base = ir_unary(g->u, OP_trunc, IR_I32, base);
    IrTmp index = ir_binary_imm(g->u, OP_and, type, operand(g, type), 0x3f & -(int64_t)alignment);
    switch (roll(g, 3)) {
    case 0:
        return base;
    case 1:
        return ir_binary_imm(g->u, OP_add, type, base, (int64_t)(alignment * roll(g, 32)) - 64);
    default:
        return ir_binary(g->u, OP_add, type, base, index);
    }
}

static unsigned random_memop(Gen *g, unsigned size, bool load)
{
    unsigned memop = size;
    if (load && roll(g, 2))
        memop |= MO_SIGNED;
    if (roll(g, 12) == 0)
        memop |= MO_BIG_ENDIAN;
    if (roll(g, 12) == 0)
        memop |= MO_ALIGN;
    if (roll(g, 12) == 0)
        memop |= load ? MO_ACQUIRE : MO_RELEASE;
    return memop;
}

static void gen_memory(Gen *g)
{
    IrUnit *u = g->u;
    IrType type = (IrType)(IR_I32 + roll(g, 4));
    bool is_float = type == IR_F32 || type == IR_F64;
    unsigned widest = type == IR_I32 || type == IR_F32 ? MO_32 : MO_64, size = is_float ? widest : roll(g, widest + 1);
    int64_t offset = roll(g, 2) ? (int64_t)roll(g, 64) - 16 : roll(g, 40) ? 0 : world_random_int(&g->random);
    IrTmp a;
    switch (roll(g, 8)) {
    case 0:
        if (is_float)
            break;
        a = random_address(g, roll(g, 10) ? 1u << widest : 1);
        take(g, ir_amo(u, type, random_memop(g, widest, true) & ~(unsigned)MO_BIG_ENDIAN, (IrAmo)roll(g, AMO_MAXU + 1),
                       a, operand(g, type)));
        break;
    case 1: {
        if (is_float)
            break;
        unsigned memop = random_memop(g, widest, false) & ~(unsigned)MO_BIG_ENDIAN;
        a = random_address(g, roll(g, 10) ? 1u << widest : 1);
        IrTmp expected = roll(g, 2) ? ir_ld(u, type, widest, a, 0) : operand(g, type);
        take(g, ir_cas(u, type, memop, a, expected, operand(g, type)));
        break;
    }
    case 2:
    case 3:
    case 4:
        a = random_address(g, 1);
        ir_st(u, random_memop(g, size, false), a, offset, operand(g, type));
        break;
    case 5:
        ir_fence(u, roll(g, FENCE_ALL + 1));
        break;
    case 6: /* fields of one structure, which may lie across a page's end */
        a = random_address(g, 1);
        for (unsigned n = 2 + roll(g, 5); n--;) {
            offset = (int64_t)roll(g, 64) - 32;
            if (roll(g, 2))
                ir_st(u, random_memop(g, size, false), a, offset, operand(g, type));
            else
                take(g, ir_ld(u, type, random_memop(g, size, true), a, offset));
        }
        break;
    default:
        a = random_address(g, 1);
        take(g, ir_ld(u, type, random_memop(g, size, true), a, offset));
        break;
    }
}

static void gen_float(Gen *g)
{
    static const IrRound rounds[] = { FROUND_DYN, FROUND_DYN, FROUND_DYN, FROUND_RNE,
                                      FROUND_RTZ, FROUND_RDN, FROUND_RUP, FROUND_RMM };
    IrUnit *u = g->u;
    IrType type = random_float_type(g), integer = random_int_type(g), bits = type == IR_F32 ? IR_I32 : IR_I64;
    IrRound round = rounds[roll(g, G_N_ELEMENTS(rounds))];
    IrOp op = (IrOp)(OP_fadd + roll(g, OP_fsgn - OP_fadd + 1));
    IrTmp a = operand(g, type), b = operand(g, type);
    switch (op) {
    case OP_fsqrt:
        take(g, ir_fp(u, op, type, round, a, 0));
        break;
    case OP_fma:
        take(g, ir_fma(u, type, round, roll(g, 4), a, b, operand(g, type)));
        break;
    case OP_fcmp:
        take(g, ir_fcmp(u, integer, (IrFcmp)roll(g, 3), a, roll(g, 6) ? b : a));
        break;
    case OP_fcvt:
        take(g, ir_fp(u, op, type == IR_F32 ? IR_F64 : IR_F32, round, a, 0));
        break;
    case OP_fftoi:
        take(g, ir_fftoi(u, integer, roll(g, 2), round, a));
        break;
    case OP_fitof:
        take(g, ir_fitof(u, type, roll(g, 2), round, operand(g, integer)));
        break;
    case OP_fbits:
        take(g, ir_fmove(u, op, bits, a));
        break;
    case OP_fofbits:
        take(g, ir_fmove(u, op, type, operand(g, bits)));
        break;
    case OP_fbox:
        take(g, ir_fmove(u, op, IR_F64, operand(g, IR_F32)));
        break;
    case OP_funbox:
        take(g, ir_fmove(u, op, IR_F32, operand(g, IR_F64)));
        break;
    case OP_fsgn:
        take(g, ir_fsgn(u, type, roll(g, 3), a, roll(g, 3) ? b : a));
        break;
    default:
        take(g, ir_fp(u, op, type, op == OP_fmin || op == OP_fmax ? FROUND_RNE : round, a, roll(g, 8) ? b : a));
        break;
    }
}

static void gen_call(Gen *g)
{
    IrUnit *u = g->u;
    unsigned helper = roll(g, HELPER_GOES);
    IrTmp arg[4] = { 0 };
    for (unsigned i = 0; i < world_helpers[helper].args; i++)
        arg[i] = operand(g, random_int_type(g));
    IrTmp t = ir_call(u, random_int_type(g), helper, arg[0], arg[1], arg[2], arg[3]);
    if (t)
        take(g, t);
}

static void gen_state(Gen *g)
{
    IrUnit *u = g->u;
    IrType type = random_int_type(g);
    unsigned size = roll(g, type == IR_I32 ? 3 : 4), offset = offsetof(WorldState, scratch) + 8 * roll(g, 8);
    switch (roll(g, 6)) {
    case 5:
        offset = offsetof(WorldState, scratch) + roll(g, 32);
        if (roll(g, 2))
            ir_guard(u, offset, HELPER_REFUSES, (uint32_t)world_random(&g->random));
        else
            ir_mark(u, offset);
        break;
    case 0:
        take(g, ir_ldstate(u, type, offset, size | (roll(g, 2) ? MO_SIGNED : 0)));
        break;
    case 1:
        ir_ststate(u, offset, size, operand(g, type));
        break;
    case 2:
        take(g, ir_getpc(u, roll(g, 2) ? (int64_t)roll(g, 4096) : (int32_t)world_random_int(&g->random)));
        break;
    case 3: /* a plain register move */
        type = roll(g, 2) ? IR_F64 : g->narrow ? IR_I32 : IR_I64;
        ir_setreg(u, random_reg(g, type, true), ir_getreg(u, random_reg(g, type, false)));
        break;
    default:
        type = roll(g, 3) ? random_int_type(g) : IR_F64;
        ir_setreg(u, random_reg(g, type, true), operand(g, type));
        break;
    }
}

static void place_label(Gen *g, int label)
{
    ir_label(g->u, label);
    forget_pool(g);
    ir_insn(g->u, g->pc, 4); /* ways that meet agree on where they are */
}

static void end_loop(Gen *g)
{
    IrUnit *u = g->u;
    IrType type = g->narrow ? IR_I32 : IR_I64;
    IrTmp left = ir_binary_imm(u, OP_sub, type, ir_getreg(u, REG_COUNTER), 1);
    ir_setreg(u, REG_COUNTER, left);
    ir_poll(u, g->pc);
    ir_brcond(u, COND_NE, left, ir_const(u, type, 0), g->loop_label);
    g->loop_label = -1;
}

static void gen_control(Gen *g)
{
    IrUnit *u = g->u;
    IrType type = random_int_type(g);
    IrTmp a, b;
    switch (roll(g, 6)) {
    case 0: /* leave the unit */
        if (roll(g, 3))
            break;
        a = operand(g, type);
        b = operand(g, type);
        ir_brjump(u, (IrCond)roll(g, COND_GTU + 1), a, b,
                  roll(g, 2) ? (int64_t)roll(g, 2048) * 2 : (int64_t)roll(g, 1 << 20) * 2 - (1 << 20));
        break;
    case 1: /* a loop of a few rounds, once at a time */
        if (g->loop_label >= 0) {
            if (g->skip_label < 0)
                end_loop(g);
            break;
        }
        if (g->skip_label >= 0)
            break;
        ir_setreg(u, REG_COUNTER, ir_const(u, g->narrow ? IR_I32 : IR_I64, 1 + roll(g, 4)));
        g->loop_label = ir_new_label(u);
        place_label(g, g->loop_label);
        break;
    case 2:
        if (roll(g, 4) == 0)
            ir_poll(u, g->pc);
        break;
    default: /* skip a part */
        if (g->skip_label >= 0) {
            place_label(g, g->skip_label);
            g->skip_label = -1;
            break;
        }
        g->skip_label = ir_new_label(u);
        if (roll(g, 10) == 0) {
            ir_br(u, g->skip_label);
            place_label(g, ir_new_label(u));
            break;
        }
        if (roll(g, 2)) {
            a = operand(g, type);
            ir_brcond(u, (IrCond)roll(g, COND_GTU + 1), a, operand(g, type), g->skip_label);
        } else {
            a = operand(g, type);
            a = ir_setcond(u, random_int_type(g), (IrCond)roll(g, COND_GTU + 1), a, operand(g, type));
            ir_brcond(u, roll(g, 2) ? COND_NE : COND_EQ, a, ir_const(u, (IrType)u->tmps[a].type, 0), g->skip_label);
        }
        break;
    }
}

static void gen_exit(Gen *g)
{
    IrUnit *u = g->u;
    IrTmp a;
    switch (roll(g, 6)) {
    case 0:
        ir_jump(u, (int64_t)roll(g, 2048) * 2, roll(g, 2));
        break;
    case 1:
        ir_jump(u, (int64_t)roll(g, 1 << 20) * 2 - (1 << 20), roll(g, 2));
        break;
    case 2:
        a = operand(g, g->narrow ? IR_I32 : IR_I64);
        ir_jump_ind(u, ir_binary_imm(u, OP_and, (IrType)u->tmps[a].type, a, -2));
        break;
    case 3:
        ir_call(u, IR_NONE, HELPER_GOES, operand(g, random_int_type(g)), 0, 0, 0);
        ir_lookup(u);
        break;
    case 4:
        ir_jump_ind(u, ir_binary_imm(u, OP_and, IR_I64,
                                     ir_binary_imm(u, OP_add, IR_I64, ir_getpc(u, g->pc), roll(g, 8192)), -2));
        break;
    default:
        ir_exit(u, g->pc, roll(g, 2) ? EXIT_HALT : EXIT_YIELD);
        break;
    }
}

void world_random_unit(IrUnit *u, bool narrow, unsigned limit, uint64_t seed, const uint8_t *skip)
{
    Gen g = { .u = u, .random = seed, .narrow = narrow, .skip_label = -1, .loop_label = -1 };
    unsigned floats = roll(&g, 3), mixture = roll(&g, 4);
    g.reuse = 4 + roll(&g, 6);
    ir_begin(u, world_regs(narrow), world_reg_count(narrow), world_helpers);
    u->counted = seed & 4;
    for (unsigned i = 0; i < limit && !u->overflow; i++) {
        g.random = seed ^ (uint64_t)(i + 1) << 40;
        if (skip && skip[i])
            continue;
        if (roll(&g, 3) == 0 || u->count == 0) {
            ir_insn(u, g.pc, 4);
            g.pc = (g.pc + 4) & 0xffc;
        }
        switch (roll(&g, 16)) {
        case 0:
        case 1:
            mixture == 3 ? gen_integer(&g) : gen_memory(&g);
            break;
        case 2:
            mixture >= 2 ? gen_integer(&g) : gen_call(&g);
            break;
        case 3:
            gen_state(&g);
            break;
        case 4:
        case 5:
            gen_control(&g);
            break;
        case 6:
        case 7:
        case 8:
        case 9:
        case 10:
            floats ? gen_float(&g) : gen_integer(&g);
            break;
        default:
            gen_integer(&g);
            break;
        }
    }
    g.random = ~seed;
    if (g.skip_label >= 0)
        place_label(&g, g.skip_label);
    if (g.loop_label >= 0)
        end_loop(&g);
    gen_exit(&g);
}
