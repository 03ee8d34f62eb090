/*
 * IR builders: they append instructions and fold constants and identities on the way (see tcg/ir.h).
 * SPDX-License-Identifier: MIT
 */
#include "tcg/ir.h"
#include "target/target.h"

/* ---- plumbing ---- */

IrUnit *ir_unit_new(void)
{
    IrUnit *u = g_new0(IrUnit, 1);
    u->insns = g_new(IrInsn, IR_MAX_INSNS);
    u->tmps = g_new0(IrTmpInfo, IR_MAX_TMPS);
    return u;
}

IrUnit *ir_unit_copy(const IrUnit *u)
{
    IrUnit *copy = g_memdup2(u, sizeof(*u));
    copy->insns = g_memdup2(u->insns, u->count * sizeof(*u->insns));
    copy->tmps = g_memdup2(u->tmps, u->tmp_count * sizeof(*u->tmps));
    return copy;
}

void ir_unit_free(IrUnit *u)
{
    if (!u)
        return;
    g_free(u->insns);
    g_free(u->tmps);
    g_free(u);
}

void ir_begin(IrUnit *u, const GuestReg *regs, unsigned reg_count, const HelperDesc *helpers)
{
    u->regs = regs;
    u->reg_count = reg_count;
    u->helpers = helpers;
    u->count = 0;
    u->tmp_count = 1; /* temporary 0 is "none" */
    u->label_count = 0;
    u->overflow = false;
    u->insn_offset = 0;
    u->guarded = u->marked = 0;
    for (unsigned i = 0; i < reg_count; i++)
        u->reg_value[i] = 0;
}

int ir_new_label(IrUnit *u)
{
    if (u->label_count == IR_MAX_LABELS) {
        u->overflow = true;
        return 0;
    }
    return u->label_count++;
}

/* Full units keep taking instructions, over the last one: the translator looks at u->overflow afterwards. */
static IrInsn *ir_append(IrUnit *u, IrOp op, IrType type)
{
    if (u->count == IR_MAX_INSNS) {
        u->overflow = true;
        u->count--;
    }
    IrInsn *insn = &u->insns[u->count++];
    *insn = (IrInsn){ .op = op, .type = type };
    return insn;
}

static IrTmp ir_new_tmp(IrUnit *u, IrType type)
{
    if (u->tmp_count == IR_MAX_TMPS) {
        u->overflow = true;
        u->tmp_count--;
    }
    u->tmps[u->tmp_count] = (IrTmpInfo){ .type = type, .def = u->count - 1 };
    return u->tmp_count++;
}

static IrTmp ir_result(IrUnit *u, IrInsn *insn)
{
    return insn->dst = ir_new_tmp(u, insn->type);
}

static void ir_forget_registers(IrUnit *u)
{
    for (unsigned i = 0; i < u->reg_count; i++)
        u->reg_value[i] = 0;
    u->guarded = u->marked = 0;
}

static bool is_const(const IrUnit *u, IrTmp t)
{
    return u->tmps[t].constant;
}
static bool is_value(const IrUnit *u, IrTmp t, int64_t value)
{
    return u->tmps[t].constant && u->tmps[t].value == value;
}

static int64_t normal(IrType type, int64_t value)
{
    return type == IR_I32 ? (int32_t)value : value;
}

IrTmp ir_const(IrUnit *u, IrType type, int64_t value)
{
    IrInsn *insn = ir_append(u, OP_const, type);
    insn->imm = normal(type, value);
    IrTmp t = ir_result(u, insn);
    u->tmps[t].constant = true;
    u->tmps[t].value = insn->imm;
    return t;
}

/* ---- registers and state ---- */

IrTmp ir_getreg(IrUnit *u, unsigned reg)
{
    if (u->reg_value[reg])
        return u->reg_value[reg];
    IrInsn *insn = ir_append(u, OP_getreg, u->regs[reg].type);
    insn->imm = reg;
    return u->reg_value[reg] = ir_result(u, insn);
}

void ir_setreg(IrUnit *u, unsigned reg, IrTmp value)
{
    if (u->reg_value[reg] == value)
        return;
    IrInsn *insn = ir_append(u, OP_setreg, u->regs[reg].type);
    insn->imm = reg;
    insn->arg[0] = value;
    u->reg_value[reg] = value;
}

IrTmp ir_ldstate(IrUnit *u, IrType type, uint32_t offset, unsigned memop)
{
    IrInsn *insn = ir_append(u, OP_ldstate, type);
    insn->imm = offset;
    insn->aux = memop;
    return ir_result(u, insn);
}

void ir_ststate(IrUnit *u, uint32_t offset, unsigned memop, IrTmp value)
{
    IrInsn *insn = ir_append(u, OP_ststate, u->tmps[value].type);
    insn->imm = offset;
    insn->aux = memop;
    insn->arg[0] = value;
}

IrTmp ir_getpc(IrUnit *u, int64_t offset)
{
    IrInsn *insn = ir_append(u, OP_getpc, IR_I64);
    insn->imm = offset;
    return ir_result(u, insn);
}

/* ---- integers ---- */

static uint64_t low(IrType type, int64_t value)
{
    return type == IR_I32 ? (uint32_t)value : (uint64_t)value;
}

static int64_t fold_multiply_high(IrOp op, IrType type, int64_t a, int64_t b)
{
    if (type == IR_I32)
        return op == OP_mulhs   ? (a * b) >> 32
               : op == OP_mulhu ? (int64_t)((uint64_t)(uint32_t)a * (uint32_t)b >> 32)
                                : (a * (int64_t)(uint32_t)b) >> 32;
    return op == OP_mulhs   ? (int64_t)(((__int128)a * b) >> 64)
           : op == OP_mulhu ? (int64_t)((unsigned __int128)(uint64_t)a * (uint64_t)b >> 64)
                            : (int64_t)(((__int128)a * (__int128)(uint64_t)b) >> 64);
}

static int64_t fold_divide(IrOp op, IrType type, int64_t a, int64_t b)
{
    uint64_t x = low(type, a), y = low(type, b);
    switch (op) {
    case OP_divs:
        return b == 0 ? -1 : b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
    case OP_rems:
        return b == 0 ? a : b == -1 ? 0 : a % b;
    case OP_divu:
        return y ? (int64_t)(x / y) : -1;
    default:
        return y ? (int64_t)(x % y) : a;
    }
}

static int64_t fold_binary(IrOp op, IrType type, int64_t a, int64_t b)
{
    unsigned width = type == IR_I32 ? 32 : 64, n = b & (width - 1);
    uint64_t x = low(type, a);
    switch (op) {
    case OP_add:
        return (uint64_t)a + (uint64_t)b;
    case OP_sub:
        return (uint64_t)a - (uint64_t)b;
    case OP_mul:
        return (uint64_t)a * (uint64_t)b;
    case OP_and:
        return a & b;
    case OP_or:
        return a | b;
    case OP_xor:
        return a ^ b;
    case OP_andc:
        return a & ~b;
    case OP_shl:
        return x << n;
    case OP_shr:
        return x >> n;
    case OP_sar:
        return a >> n;
    case OP_rotl:
        return n ? x << n | x >> (width - n) : x;
    case OP_rotr:
        return n ? x >> n | x << (width - n) : x;
    case OP_mulhs:
    case OP_mulhu:
    case OP_mulhsu:
        return fold_multiply_high(op, type, a, b);
    default:
        return fold_divide(op, type, a, b);
    }
}

static bool commutes(IrOp op)
{
    return op == OP_add || op == OP_mul || op == OP_and || op == OP_or || op == OP_xor || op == OP_mulhs ||
           op == OP_mulhu;
}

/* The value of a op b where b is a constant that makes it trivial; 0: nothing trivial. */
static IrTmp fold_identity(IrUnit *u, IrOp op, IrType type, IrTmp a, int64_t b)
{
    switch (op) {
    case OP_add:
    case OP_sub:
    case OP_or:
    case OP_xor:
    case OP_shl:
    case OP_shr:
    case OP_sar:
    case OP_rotl:
    case OP_rotr:
    case OP_andc:
        if (b == 0)
            return a;
        return op == OP_or && b == -1 ? ir_const(u, type, -1) : 0;
    case OP_and:
        return b == -1 ? a : b == 0 ? ir_const(u, type, 0) : 0;
    case OP_mul:
        return b == 1 ? a : b == 0 ? ir_const(u, type, 0) : 0;
    default:
        return 0;
    }
}

IrTmp ir_binary(IrUnit *u, IrOp op, IrType type, IrTmp a, IrTmp b)
{
    if (is_const(u, a) && is_const(u, b))
        return ir_const(u, type, fold_binary(op, type, u->tmps[a].value, u->tmps[b].value));
    if (is_const(u, a) && commutes(op)) {
        IrTmp t = a;
        a = b;
        b = t;
    }
    if (is_const(u, b)) {
        IrTmp t = fold_identity(u, op, type, a, u->tmps[b].value);
        if (t)
            return t;
        if (op == OP_sub) { /* the back end knows add with a constant best */
            op = OP_add;
            b = ir_const(u, type, -(uint64_t)u->tmps[b].value);
        }
    }
    if (a == b && (op == OP_xor || op == OP_sub || op == OP_andc))
        return ir_const(u, type, 0);
    if (a == b && (op == OP_and || op == OP_or))
        return a;
    IrInsn *insn = ir_append(u, op, type);
    insn->arg[0] = a;
    insn->arg[1] = b;
    return ir_result(u, insn);
}

IrTmp ir_binary_imm(IrUnit *u, IrOp op, IrType type, IrTmp a, int64_t b)
{
    b = normal(type, b);
    if (is_const(u, a))
        return ir_const(u, type, fold_binary(op, type, u->tmps[a].value, b));
    IrTmp t = fold_identity(u, op, type, a, b);
    return t ? t : ir_binary(u, op, type, a, ir_const(u, type, b));
}

static int64_t fold_unary(IrOp op, IrType type, int64_t a)
{
    uint64_t x = low(type, a);
    int width = type == IR_I32 ? 32 : 64;
    switch (op) {
    case OP_clz:
        return x ? __builtin_clzll(x) - (64 - width) : width;
    case OP_ctz:
        return x ? __builtin_ctzll(x) : width;
    case OP_popcnt:
        return __builtin_popcountll(x);
    case OP_bswap:
        return width == 32 ? (int64_t)__builtin_bswap32(x) : (int64_t)__builtin_bswap64(x);
    default: /* trunc */
        return a;
    }
}

IrTmp ir_unary(IrUnit *u, IrOp op, IrType type, IrTmp a)
{
    if (is_const(u, a))
        return ir_const(u, type, fold_unary(op, type, u->tmps[a].value));
    IrInsn *insn = ir_append(u, op, type);
    insn->arg[0] = a;
    return ir_result(u, insn);
}

static int64_t fold_ext(unsigned memop, int64_t a)
{
    switch (memop & (MO_SIZE | MO_SIGNED)) {
    case MO_8:
        return (uint8_t)a;
    case MO_16:
        return (uint16_t)a;
    case MO_32:
        return (uint32_t)a;
    case MO_8 | MO_SIGNED:
        return (int8_t)a;
    case MO_16 | MO_SIGNED:
        return (int16_t)a;
    case MO_32 | MO_SIGNED:
        return (int32_t)a;
    default:
        return a;
    }
}

IrTmp ir_ext(IrUnit *u, IrType type, unsigned memop, IrTmp a)
{
    if (is_const(u, a))
        return ir_const(u, type, fold_ext(memop, u->tmps[a].value));
    const IrInsn *def = &u->insns[u->tmps[a].def];
    /* what a load of that size, or a like extension, has extended already */
    if (u->tmps[a].type == type && (def->op == OP_ext || def->op == OP_ld || def->op == OP_ldstate) &&
        (def->aux & (MO_SIZE | MO_SIGNED)) == memop)
        return a;
    IrInsn *insn = ir_append(u, OP_ext, type);
    insn->aux = memop;
    insn->arg[0] = a;
    return ir_result(u, insn);
}

static bool fold_cond(IrCond cond, IrType type, int64_t a, int64_t b)
{
    uint64_t x = low(type, a), y = low(type, b);
    switch (cond) {
    case COND_EQ:
        return a == b;
    case COND_NE:
        return a != b;
    case COND_LT:
        return a < b;
    case COND_GE:
        return a >= b;
    case COND_LE:
        return a <= b;
    case COND_GT:
        return a > b;
    case COND_LTU:
        return x < y;
    case COND_GEU:
        return x >= y;
    case COND_LEU:
        return x <= y;
    default:
        return x > y;
    }
}

/* 1 or 0 if the condition is known, else -1. Constants go to the right. */
static int known_cond(IrUnit *u, IrCond *cond, IrTmp *a, IrTmp *b)
{
    IrType type = u->tmps[*a].type;
    if (is_const(u, *a) && is_const(u, *b))
        return fold_cond(*cond, type, u->tmps[*a].value, u->tmps[*b].value);
    if (*a == *b)
        return fold_cond(*cond, type, 0, 0);
    if (is_const(u, *a)) {
        IrTmp t = *a;
        *a = *b;
        *b = t;
        *cond = cond_swap(*cond);
    }
    if (is_value(u, *b, 0) && (*cond == COND_LTU || *cond == COND_GEU))
        return *cond == COND_GEU;
    return -1;
}

IrTmp ir_setcond(IrUnit *u, IrType type, IrCond cond, IrTmp a, IrTmp b)
{
    int known = known_cond(u, &cond, &a, &b);
    if (known >= 0)
        return ir_const(u, type, known);
    IrInsn *insn = ir_append(u, OP_setcond, type);
    insn->aux = cond;
    insn->arg[0] = a;
    insn->arg[1] = b;
    return ir_result(u, insn);
}

IrTmp ir_select(IrUnit *u, IrType type, IrCond cond, IrTmp a, IrTmp b, IrTmp c, IrTmp d)
{
    int known = known_cond(u, &cond, &a, &b);
    if (known >= 0 || c == d)
        return known ? c : d;
    IrInsn *insn = ir_append(u, OP_select, type);
    insn->aux = cond;
    insn->arg[0] = a;
    insn->arg[1] = b;
    insn->arg[2] = c;
    insn->arg[3] = d;
    return ir_result(u, insn);
}

/* ---- memory ---- */

IrTmp ir_ld(IrUnit *u, IrType type, unsigned memop, IrTmp addr, int64_t offset)
{
    IrInsn *insn = ir_append(u, OP_ld, type);
    insn->aux = memop;
    insn->arg[0] = addr;
    insn->imm = offset;
    return ir_result(u, insn);
}

void ir_st(IrUnit *u, unsigned memop, IrTmp addr, int64_t offset, IrTmp value)
{
    IrInsn *insn = ir_append(u, OP_st, u->tmps[value].type);
    insn->aux = memop;
    insn->arg[0] = addr;
    insn->arg[1] = value;
    insn->imm = offset;
}

IrTmp ir_amo(IrUnit *u, IrType type, unsigned memop, IrAmo kind, IrTmp addr, IrTmp value)
{
    IrInsn *insn = ir_append(u, OP_amo, type);
    insn->aux = memop;
    insn->imm = kind;
    insn->arg[0] = addr;
    insn->arg[1] = value;
    return ir_result(u, insn);
}

IrTmp ir_cas(IrUnit *u, IrType type, unsigned memop, IrTmp addr, IrTmp expected, IrTmp value)
{
    IrInsn *insn = ir_append(u, OP_cas, type);
    insn->aux = memop;
    insn->arg[0] = addr;
    insn->arg[1] = expected;
    insn->arg[2] = value;
    return ir_result(u, insn);
}

void ir_fence(IrUnit *u, unsigned kinds)
{
    ir_append(u, OP_fence, IR_NONE)->imm = kinds;
}

/* ---- control ---- */

void ir_insn(IrUnit *u, int32_t offset, unsigned length)
{
    IrInsn *insn = ir_append(u, OP_insn, IR_NONE);
    insn->imm = offset;
    insn->aux = length;
    u->insn_offset = offset;
}

void ir_label(IrUnit *u, int label)
{
    ir_append(u, OP_label, IR_NONE)->imm = label;
    ir_forget_registers(u);
}

void ir_br(IrUnit *u, int label)
{
    ir_append(u, OP_br, IR_NONE)->imm = label;
    ir_forget_registers(u);
}

static void ir_branch(IrUnit *u, IrOp op, IrCond cond, IrTmp a, IrTmp b, int64_t imm)
{
    IrInsn *insn = ir_append(u, op, u->tmps[a].type);
    insn->aux = cond;
    insn->arg[0] = a;
    insn->arg[1] = b;
    insn->imm = imm;
}

void ir_brcond(IrUnit *u, IrCond cond, IrTmp a, IrTmp b, int label)
{
    int known = known_cond(u, &cond, &a, &b);
    if (known < 0)
        ir_branch(u, OP_brcond, cond, a, b, label);
    else if (known) /* what follows is dead, but may still be translated: keep its temporaries legal */
        ir_append(u, OP_br, IR_NONE)->imm = label;
}

void ir_brjump(IrUnit *u, IrCond cond, IrTmp a, IrTmp b, int64_t offset)
{
    int known = known_cond(u, &cond, &a, &b);
    if (known < 0)
        ir_branch(u, OP_brjump, cond, a, b, offset);
    else if (known)
        ir_append(u, OP_jump, IR_NONE)->imm = offset;
}

void ir_poll(IrUnit *u, int32_t offset)
{
    ir_append(u, OP_poll, IR_NONE)->imm = offset;
}

void ir_jump(IrUnit *u, int64_t offset, bool poll)
{
    IrInsn *insn = ir_append(u, OP_jump, IR_NONE);
    insn->imm = offset;
    insn->aux = poll;
    ir_forget_registers(u);
}

void ir_jump_ind(IrUnit *u, IrTmp address)
{
    ir_append(u, OP_jump_ind, u->tmps[address].type)->arg[0] = address;
    ir_forget_registers(u);
}

void ir_lookup(IrUnit *u)
{
    ir_append(u, OP_lookup, IR_NONE);
    ir_forget_registers(u);
}

void ir_exit(IrUnit *u, int64_t offset, IrExit why)
{
    IrInsn *insn = ir_append(u, OP_exit, IR_NONE);
    insn->imm = offset;
    insn->aux = why;
    ir_forget_registers(u);
}

IrTmp ir_call(IrUnit *u, IrType type, unsigned helper, IrTmp a, IrTmp b, IrTmp c, IrTmp d)
{
    const HelperDesc *h = &u->helpers[helper];
    IrInsn *insn = ir_append(u, OP_call, type);
    insn->imm = helper;
    insn->arg[0] = a;
    insn->arg[1] = b;
    insn->arg[2] = c;
    insn->arg[3] = d;
    u->guarded = u->marked = 0;
    if (h->flags & HELPER_WRITES)
        ir_forget_registers(u);
    return h->returns ? ir_result(u, insn) : 0;
}

void ir_guard(IrUnit *u, uint32_t offset, unsigned helper, uint32_t argument)
{
    if (u->guarded == offset)
        return;
    IrInsn *insn = ir_append(u, OP_guard, IR_NONE);
    insn->imm = offset | (uint64_t)argument << 32;
    insn->aux = helper;
    u->guarded = offset;
}

void ir_mark(IrUnit *u, uint32_t offset)
{
    if (u->marked == offset)
        return;
    ir_ststate(u, offset, MO_8, ir_const(u, IR_I32, 1));
    u->marked = offset;
}

/* ---- floating point ---- */

IrTmp ir_fp(IrUnit *u, IrOp op, IrType type, IrRound round, IrTmp a, IrTmp b)
{
    IrInsn *insn = ir_append(u, op, type);
    insn->aux = round;
    insn->flags = IR_NAN_CANONICAL;
    insn->arg[0] = a;
    insn->arg[1] = b;
    return ir_result(u, insn);
}

IrTmp ir_fma(IrUnit *u, IrType type, IrRound round, unsigned negate, IrTmp a, IrTmp b, IrTmp c)
{
    IrInsn *insn = ir_append(u, OP_fma, type);
    insn->aux = round;
    insn->flags = IR_NAN_CANONICAL;
    insn->imm = negate;
    insn->arg[0] = a;
    insn->arg[1] = b;
    insn->arg[2] = c;
    return ir_result(u, insn);
}

IrTmp ir_fcmp(IrUnit *u, IrType type, IrFcmp cond, IrTmp a, IrTmp b)
{
    IrInsn *insn = ir_append(u, OP_fcmp, type);
    insn->aux = cond;
    insn->arg[0] = a;
    insn->arg[1] = b;
    return ir_result(u, insn);
}

static IrTmp ir_convert(IrUnit *u, IrOp op, IrType type, bool is_unsigned, IrRound round, IrTmp a)
{
    IrInsn *insn = ir_append(u, op, type);
    insn->aux = round;
    insn->flags = IR_NAN_CANONICAL;
    insn->imm = is_unsigned;
    insn->arg[0] = a;
    return ir_result(u, insn);
}

IrTmp ir_fftoi(IrUnit *u, IrType type, bool is_unsigned, IrRound round, IrTmp a)
{
    return ir_convert(u, OP_fftoi, type, is_unsigned, round, a);
}

IrTmp ir_fitof(IrUnit *u, IrType type, bool is_unsigned, IrRound round, IrTmp a)
{
    return ir_convert(u, OP_fitof, type, is_unsigned, round, a);
}

IrTmp ir_fmove(IrUnit *u, IrOp op, IrType type, IrTmp a)
{
    const IrInsn *def = &u->insns[u->tmps[a].def];
    if ((op == OP_funbox && def->op == OP_fbox) || (op == OP_fbits && def->op == OP_fofbits) ||
        (op == OP_fofbits && def->op == OP_fbits))
        return def->arg[0]; /* boxed, or moved, a moment ago */
    IrInsn *insn = ir_append(u, op, type);
    insn->arg[0] = a;
    return ir_result(u, insn);
}

IrTmp ir_fsgn(IrUnit *u, IrType type, unsigned kind, IrTmp a, IrTmp b)
{
    if (a == b && kind == 0)
        return a;
    IrInsn *insn = ir_append(u, OP_fsgn, type);
    insn->imm = kind;
    insn->arg[0] = a;
    insn->arg[1] = b;
    return ir_result(u, insn);
}
