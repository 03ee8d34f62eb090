/*
 * Builders of the intermediate representation. See tcg/ir.h.
 *
 * They fold constants and identities while emitting, looking at most one definition back. Nothing fails: out of room,
 * or after the end of a segment where nothing can be reached before the next label, instructions go to the spare last
 * slot of the array and are forgotten.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/ir.h"
#include "target/target.h"
#include "tcg/eval.h"
#include "tcg/ir_host.h"

#define SPARE_INSN (IR_MAX_INSNS - 1)
#define SPARE_TMP  (IR_MAX_TMPS - 1)

/* ---- units and raw emission ---- */

/* Nothing is known about registers, and earlier temporaries are out of reach. */
static void forget(IrUnit *u)
{
    memset(u->reg_value, 0, sizeof(u->reg_value));
    memset(u->recent_const, 0, sizeof(u->recent_const));
    memset(u->recent_sum, 0, sizeof(u->recent_sum));
    memset(u->held, 0, sizeof(u->held));
    u->guarded = u->marked = u->assumed = 0;
}

/* State changes: vectors known to equal it do so no more. */
static void forget_held(IrUnit *u, int64_t offset, unsigned bytes)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(u->held); i++) {
        IrHeld *h = &u->held[i];
        if (h->tmp && offset < h->offset + (1 << h->size) && offset + bytes > h->offset)
            h->tmp = 0;
    }
}

IrUnit *ir_unit_new(void)
{
    IrUnit *u = g_new0(IrUnit, 1);
    u->insns = g_new0(IrInsn, IR_MAX_INSNS);
    u->tmps = g_new0(IrTmpInfo, IR_MAX_TMPS);
    u->landmarks = g_new0(uint16_t, IR_MAX_INSNS);
    return u;
}

IrUnit *ir_unit_copy(const IrUnit *u)
{
    IrUnit *copy = g_memdup2(u, sizeof(*u));
    copy->insns = g_memdup2(u->insns, u->count * sizeof(*u->insns));
    copy->tmps = g_memdup2(u->tmps, u->tmp_count * sizeof(*u->tmps));
    copy->landmarks = NULL;
    return copy;
}

void ir_unit_free(IrUnit *u)
{
    if (!u)
        return;
    g_free(u->insns);
    g_free(u->tmps);
    g_free(u->landmarks);
    g_free(u);
}

void ir_begin(IrUnit *u, const GuestReg *regs, unsigned reg_count, const HelperDesc *helpers)
{
    g_assert(reg_count <= G_N_ELEMENTS(u->reg_value));
    u->regs = regs;
    u->reg_count = reg_count;
    u->helpers = helpers;
    u->count = 0;
    u->tmp_count = 1;
    u->counted = false;
    u->label_count = 0;
    u->landmark_count = u->back_count = u->group_count = u->loop_count = u->cold_count = u->held_next = 0;
    u->cold_from = UINT_MAX;
    u->expected = IR_NOTHING_EXPECTED;
    u->has_loops = u->defers = u->overflow = u->unreachable = false;
    u->insn_offset = 0;
    u->tmps[0] = (IrTmpInfo){ .type = IR_NONE };
    forget(u);
}

int ir_new_label(IrUnit *u)
{
    if (u->label_count == IR_MAX_LABELS) {
        u->overflow = true;
        return 0;
    }
    u->label_insn[u->label_count] = 0;
    return (int)u->label_count++;
}

static IrInsn *emit(IrUnit *u, IrOp op, IrType type, unsigned aux)
{
    unsigned index = u->count;
    if (G_UNLIKELY(u->unreachable || index == SPARE_INSN)) {
        u->overflow |= index == SPARE_INSN;
        index = SPARE_INSN;
    } else {
        u->count++;
    }
    IrInsn *insn = &u->insns[index];
    *insn = (IrInsn){ .op = (uint8_t)op, .type = (uint8_t)type, .aux = (uint8_t)aux };
    return insn;
}

/* The instruction about to be emitted is one that passes look for. */
static inline void note_landmark(IrUnit *u)
{
    u->landmarks[u->landmark_count] = (uint16_t)u->count;
    u->landmark_count += !u->unreachable && u->count != SPARE_INSN;
}

/* Give insn, just emitted, a result of its type. */
static IrTmp result(IrUnit *u, IrInsn *insn)
{
    unsigned index = u->tmp_count;
    if (G_UNLIKELY(index == SPARE_TMP))
        u->overflow = true;
    else
        u->tmp_count++;
    u->tmps[index] = (IrTmpInfo){ .type = insn->type, .def = (uint16_t)(insn - u->insns) };
    insn->dst = (IrTmp)index;
    return insn->dst;
}

static IrTmp emit1(IrUnit *u, IrOp op, IrType type, unsigned aux, IrTmp a)
{
    IrInsn *insn = emit(u, op, type, aux);
    insn->arg[0] = a;
    return result(u, insn);
}

static IrTmp emit2(IrUnit *u, IrOp op, IrType type, unsigned aux, IrTmp a, IrTmp b)
{
    IrInsn *insn = emit(u, op, type, aux);
    insn->arg[0] = a;
    insn->arg[1] = b;
    return result(u, insn);
}

/* The segment ends with the instruction just emitted. */
static void end_segment(IrUnit *u)
{
    u->unreachable = true;
}

/* The instruction that defines t; one of no known operation if that was dropped. */
static const IrInsn *definition(const IrUnit *u, IrTmp t)
{
    static const IrInsn dropped = { .op = OP_COUNT };
    unsigned def = u->tmps[t].def;
    return def == SPARE_INSN ? &dropped : &u->insns[def];
}

static bool is_const(const IrUnit *u, IrTmp t)
{
    return u->tmps[t].constant;
}

static bool is_const_value(const IrUnit *u, IrTmp t, int64_t value)
{
    return u->tmps[t].constant && u->tmps[t].value == value;
}

/* ---- values and registers ---- */

IrTmp ir_const(IrUnit *u, IrType type, int64_t value)
{
    value = ir_canonical(type, (uint64_t)value);
    IrTmp *recent = &u->recent_const[((uint64_t)value ^ (uint64_t)value >> 4) % G_N_ELEMENTS(u->recent_const)];
    if (*recent && u->tmps[*recent].value == value && u->tmps[*recent].type == type)
        return *recent;
    IrInsn *insn = emit(u, OP_const, type, 0);
    insn->imm = value;
    IrTmp t = result(u, insn);
    u->tmps[t].constant = true;
    u->tmps[t].value = value;
    if (t != SPARE_TMP)
        *recent = t;
    return t;
}

IrTmp ir_getreg(IrUnit *u, unsigned reg)
{
    g_assert(reg < u->reg_count);
    if (u->reg_value[reg])
        return u->reg_value[reg];
    IrInsn *insn = emit(u, OP_getreg, u->regs[reg].type, 0);
    insn->imm = reg;
    return u->reg_value[reg] = result(u, insn);
}

bool ir_pinned(const IrUnit *u, unsigned reg)
{
    return u->regs[reg].pin != 0;
}

void ir_setreg(IrUnit *u, unsigned reg, IrTmp value)
{
    g_assert(reg < u->reg_count);
    if (u->reg_value[reg] == value)
        return;
    IrInsn *insn = emit(u, OP_setreg, u->regs[reg].type, 0);
    insn->imm = reg;
    insn->arg[0] = value;
    u->reg_value[reg] = value;
    u->tmps[value].in_register = true;
}

IrTmp ir_ldstate(IrUnit *u, IrType type, uint32_t offset, unsigned memop)
{
    IrInsn *insn = emit(u, OP_ldstate, type, memop);
    insn->imm = offset;
    return result(u, insn);
}

void ir_ststate(IrUnit *u, uint32_t offset, unsigned memop, IrTmp value)
{
    IrInsn *insn = emit(u, OP_ststate, u->tmps[value].type, memop);
    insn->imm = offset;
    insn->arg[0] = value;
    forget_held(u, offset, MO_BYTES(memop));
}

IrTmp ir_getpc(IrUnit *u, int64_t offset)
{
    IrInsn *insn = emit(u, OP_getpc, IR_I64, 0);
    insn->imm = offset;
    return result(u, insn);
}

/* ---- integers ---- */

/* a plus a constant, if a is an address near the unit: the sum is one too. 0 if not. */
static IrTmp fold_getpc(IrUnit *u, IrOp op, IrTmp a, int64_t b)
{
    const IrInsn *insn = definition(u, a);
    if (insn->op != OP_getpc)
        return 0;
    if (op == OP_add) {
        int64_t sum = (int64_t)((uint64_t)insn->imm + (uint64_t)b);
        return sum == (int32_t)sum ? ir_getpc(u, sum) : 0;
    }
    /* The base is page-aligned, so masks of the low bits act on the offset alone. */
    if (op == OP_and && b < 0 && b >= -4096 && (b & -b) == -b)
        return ir_getpc(u, insn->imm & b);
    return 0;
}

static bool is_power_of_two(uint64_t value)
{
    return value && !(value & (value - 1));
}

/* a op b = some value already there, or simpler to compute, when b is a constant. 0 if not. */
static IrTmp fold_right(IrUnit *u, IrOp op, IrType type, IrTmp a, int64_t b)
{
    uint64_t ub = type == IR_I32 ? (uint32_t)b : (uint64_t)b;
    switch (op) {
    case OP_add:
        return b == 0 ? a : fold_getpc(u, op, a, b);
    case OP_or:
    case OP_xor:
        return b == 0 ? a : op == OP_or && b == -1 ? ir_const(u, type, -1) : 0;
    case OP_and:
        return b == 0 ? ir_const(u, type, 0) : b == -1 ? a : fold_getpc(u, op, a, b);
    case OP_shl:
    case OP_shr:
    case OP_sar:
    case OP_rotl:
    case OP_rotr:
        return (b & (type == IR_I32 ? 31 : 63)) == 0 ? a : 0;
    case OP_mul:
        if (b == 0)
            return ir_const(u, type, 0);
        return is_power_of_two(ub) ? ir_binary_imm(u, OP_shl, type, a, __builtin_ctzll(ub)) : 0;
    case OP_divu:
        return is_power_of_two(ub) ? ir_binary_imm(u, OP_shr, type, a, __builtin_ctzll(ub)) : 0;
    case OP_remu:
        return is_power_of_two(ub) ? ir_binary_imm(u, OP_and, type, a, (int64_t)(ub - 1)) : 0;
    case OP_mulhu:
        return b == 0 || b == 1 ? ir_const(u, type, 0) : 0;
    case OP_mulhs:
    case OP_mulhsu:
        return b == 0 ? ir_const(u, type, 0) : 0;
    case OP_divs:
        return b == 1 ? a : 0;
    default:
        return 0;
    }
}

/* a op a, where that is known. 0 if not. */
static IrTmp fold_same(IrUnit *u, IrOp op, IrType type, IrTmp a)
{
    switch (op) {
    case OP_and:
    case OP_or:
        return a;
    case OP_sub:
    case OP_xor:
    case OP_andc:
        return ir_const(u, type, 0);
    default:
        return 0;
    }
}

static bool is_commutative(IrOp op)
{
    return op == OP_add || op == OP_mul || op == OP_and || op == OP_or || op == OP_xor || op == OP_mulhs ||
           op == OP_mulhu;
}

/* Sums and shifts of I64, of which addresses consist, are made once in a segment, so that accesses are seen to be near
 * each other. */
static IrTmp emit_sum(IrUnit *u, IrOp op, IrType type, IrTmp a, IrTmp b)
{
    if (type != IR_I64 || (op != OP_add && op != OP_shl))
        return emit2(u, op, type, 0, a, b);
    IrTmp *recent = &u->recent_sum[(a + b * 5u + op) % G_N_ELEMENTS(u->recent_sum)];
    if (*recent) {
        const IrInsn *insn = definition(u, *recent);
        if (insn->op == op && insn->arg[0] == a && insn->arg[1] == b)
            return *recent;
    }
    IrTmp t = emit2(u, op, type, 0, a, b);
    if (t != SPARE_TMP)
        *recent = t;
    return t;
}

IrTmp ir_binary_imm(IrUnit *u, IrOp op, IrType type, IrTmp a, int64_t b)
{
    b = ir_canonical(type, (uint64_t)b);
    if (is_const(u, a))
        return ir_const(u, type, ir_eval_binary(op, type, u->tmps[a].value, b));
    if (op == OP_sub) {
        op = OP_add;
        b = ir_canonical(type, -(uint64_t)b);
    } else if (op == OP_andc) {
        op = OP_and;
        b = ~b;
    }
    IrTmp folded = fold_right(u, op, type, a, b);
    return folded ? folded : emit_sum(u, op, type, a, ir_const(u, type, b));
}

/* a << n | a >> (width - n), in either order and with xor or add as well, is a rotation. 0 if it is not that. */
static IrTmp fold_rotation(IrUnit *u, IrOp op, IrType type, IrTmp a, IrTmp b)
{
    if (op != OP_or && op != OP_xor && op != OP_add)
        return 0;
    const IrInsn *left = definition(u, a), *right = definition(u, b);
    if (left->op == OP_shr && right->op == OP_shl) {
        const IrInsn *t = left;
        left = right;
        right = t;
    }
    if (left->op != OP_shl || right->op != OP_shr || left->arg[0] != right->arg[0] || !is_const(u, left->arg[1]) ||
        !is_const(u, right->arg[1]))
        return 0;
    unsigned width = type == IR_I32 ? 32 : 64;
    unsigned n = (unsigned)u->tmps[left->arg[1]].value & (width - 1);
    unsigned back = (unsigned)u->tmps[right->arg[1]].value & (width - 1);
    return n && n + back == width ? ir_binary_imm(u, OP_rotl, type, left->arg[0], n) : 0;
}

/* Logic on two sign-extended words is done on the words, where it may fold with what made them. 0 if it is not that. */
static IrTmp fold_words(IrUnit *u, IrOp op, IrType type, IrTmp a, IrTmp b)
{
    if (type != IR_I64 || (op != OP_and && op != OP_or && op != OP_xor))
        return 0;
    const IrInsn *x = definition(u, a), *y = definition(u, b);
    if (x->op != OP_ext || y->op != OP_ext || x->aux != (MO_32 | MO_SIGNED) || y->aux != (MO_32 | MO_SIGNED))
        return 0;
    IrTmp low = ir_ext(u, IR_I32, MO_32, a);
    return ir_ext(u, IR_I64, MO_32 | MO_SIGNED, ir_binary(u, op, IR_I32, low, ir_ext(u, IR_I32, MO_32, b)));
}

IrTmp ir_binary(IrUnit *u, IrOp op, IrType type, IrTmp a, IrTmp b)
{
    if (is_const(u, b))
        return ir_binary_imm(u, op, type, a, u->tmps[b].value);
    if (is_const(u, a)) {
        if (is_commutative(op))
            return ir_binary_imm(u, op, type, b, u->tmps[a].value);
        bool zero_stays =
            op == OP_shl || op == OP_shr || op == OP_sar || op == OP_rotl || op == OP_rotr || op == OP_andc;
        if (zero_stays && u->tmps[a].value == 0)
            return a;
    }
    if (a == b) {
        IrTmp folded = fold_same(u, op, type, a);
        if (folded)
            return folded;
    }
    IrTmp folded = fold_rotation(u, op, type, a, b);
    if (!folded)
        folded = fold_words(u, op, type, a, b);
    return folded ? folded : emit_sum(u, op, type, a, b);
}

IrTmp ir_unary(IrUnit *u, IrOp op, IrType type, IrTmp a)
{
    if (op == OP_trunc)
        return ir_ext(u, IR_I32, MO_32, a);
    if (is_const(u, a))
        return ir_const(u, type, ir_eval_unary(op, type, u->tmps[a].value));
    return emit1(u, op, type, 0, a);
}

/* a's definition already leaves it extended as inner says (an ext, or a load): is a, of the same type as the result,
 * its own extension by outer? */
static bool already_extended(unsigned inner, unsigned outer)
{
    unsigned in = inner & MO_SIZE, out = outer & MO_SIZE;
    return in == out ? (inner & MO_SIGNED) == (outer & MO_SIGNED)
                     : in < out && (!(inner & MO_SIGNED) || (outer & MO_SIGNED));
}

IrTmp ir_ext(IrUnit *u, IrType type, unsigned memop, IrTmp a)
{
    unsigned size = memop & MO_SIZE, full = type == IR_I32 ? MO_32 : MO_64;
    IrType from = u->tmps[a].type;
    if (is_const(u, a))
        return ir_const(u, type, ir_extend(memop, (uint64_t)u->tmps[a].value));
    if (size >= full && from == type)
        return a;
    memop &= MO_SIZE | MO_SIGNED;
    const IrInsn *insn = definition(u, a);
    if (insn->op == OP_trunc) /* the ext takes the low part itself */
        return ir_ext(u, type, memop, insn->arg[0]);
    bool extends = insn->op == OP_ext || (insn->op == OP_ld && (from == IR_I32 || from == IR_I64));
    if (extends && from == type && already_extended(insn->aux, memop))
        return a;
    if (insn->op == OP_ext) {
        unsigned inner = insn->aux & MO_SIZE;
        if (size <= inner)
            return ir_ext(u, type, memop, insn->arg[0]);
        if (already_extended(insn->aux, memop))
            return ir_ext(u, type, insn->aux, insn->arg[0]);
    }
    /* made once: an I64's low half, an I32's sign extension */
    bool is_trunc = type == IR_I32 && size >= MO_32;
    IrTmpInfo *info = &u->tmps[a];
    if (!is_trunc && (from != IR_I32 || type != IR_I64 || memop != (MO_32 | MO_SIGNED)))
        return emit1(u, OP_ext, type, memop, a);
    if (!info->other_width)
        info->other_width = is_trunc ? emit1(u, OP_trunc, IR_I32, 0, a) : emit1(u, OP_ext, type, memop, a);
    return info->other_width;
}

/* ---- conditions ---- */

/* Bring a condition into its usual form: a constant on the right, tests against 0 where possible.
 * 1 or 0 if it is known already, else -1. */
static int simplify_condition(IrUnit *u, IrCond *cond, IrTmp *a, IrTmp *b)
{
    if (is_const(u, *a)) {
        if (is_const(u, *b))
            return ir_compare(*cond, u->tmps[*a].value, u->tmps[*b].value);
        IrTmp t = *a;
        *a = *b;
        *b = t;
        *cond = cond_swap(*cond);
    }
    if (*a == *b)
        return ir_compare(*cond, 0, 0);
    if (is_const_value(u, *b, 0)) {
        if (*cond == COND_LTU)
            return 0;
        if (*cond == COND_GEU)
            return 1;
        if (*cond == COND_LEU)
            *cond = COND_EQ;
        else if (*cond == COND_GTU)
            *cond = COND_NE;
    } else if (is_const_value(u, *b, 1) && (*cond == COND_LTU || *cond == COND_GEU)) {
        *cond = *cond == COND_LTU ? COND_EQ : COND_NE;
        *b = ir_const(u, u->tmps[*a].type, 0);
    }
    return -1;
}

IrTmp ir_setcond(IrUnit *u, IrType type, IrCond cond, IrTmp a, IrTmp b)
{
    int known = simplify_condition(u, &cond, &a, &b);
    if (known >= 0)
        return ir_const(u, type, known);
    if (is_const_value(u, b, 0) && (cond == COND_EQ || cond == COND_NE)) {
        const IrInsn *insn = definition(u, a);
        if (insn->op == OP_setcond) { /* a truth value again, or its opposite */
            if (cond == COND_NE && insn->type == type)
                return a;
            IrCond inner = cond == COND_NE ? (IrCond)insn->aux : cond_negate((IrCond)insn->aux);
            return emit2(u, OP_setcond, type, inner, insn->arg[0], insn->arg[1]);
        }
    }
    return emit2(u, OP_setcond, type, cond, a, b);
}

IrTmp ir_select(IrUnit *u, IrType type, IrCond cond, IrTmp a, IrTmp b, IrTmp c, IrTmp d)
{
    if (c == d)
        return c;
    int known = simplify_condition(u, &cond, &a, &b);
    if (known >= 0)
        return known ? c : d;
    IrInsn *insn = emit(u, OP_select, type, cond);
    insn->arg[0] = a;
    insn->arg[1] = b;
    insn->arg[2] = c;
    insn->arg[3] = d;
    return result(u, insn);
}

/* ---- guest memory ---- */

/* A constant that the address ends with is part of the access; not if the sum is what a register has: its value of
 * before would have to be kept. */
static IrTmp fold_offset(const IrUnit *u, IrTmp addr, int64_t *offset)
{
    const IrInsn *insn = definition(u, addr);
    if (u->tmps[addr].in_register || insn->op != OP_add || insn->type != IR_I64 || !is_const(u, insn->arg[1]))
        return addr;
    int64_t sum = (int64_t)((uint64_t)*offset + (uint64_t)u->tmps[insn->arg[1]].value);
    if (sum > INT32_MAX - 64 || sum < INT32_MIN)
        return addr;
    *offset = sum;
    return insn->arg[0];
}

IrTmp ir_ld(IrUnit *u, IrType type, unsigned memop, IrTmp addr, int64_t offset)
{
    addr = fold_offset(u, addr, &offset);
    note_landmark(u);
    IrInsn *insn = emit(u, OP_ld, type, memop);
    insn->arg[0] = addr;
    insn->imm = offset;
    return result(u, insn);
}

void ir_st(IrUnit *u, unsigned memop, IrTmp addr, int64_t offset, IrTmp value)
{
    if ((memop & MO_SIZE) == MO_32 && definition(u, value)->op == OP_fbox)
        value = definition(u, value)->arg[0];
    addr = fold_offset(u, addr, &offset);
    note_landmark(u);
    IrInsn *insn = emit(u, OP_st, u->tmps[value].type, memop);
    insn->arg[0] = addr;
    insn->arg[1] = value;
    insn->imm = offset;
}

IrTmp ir_amo(IrUnit *u, IrType type, unsigned memop, IrAmo kind, IrTmp addr, IrTmp value)
{
    IrInsn *insn = emit(u, OP_amo, type, memop);
    insn->arg[0] = addr;
    insn->arg[1] = value;
    insn->imm = kind;
    return result(u, insn);
}

IrTmp ir_cas(IrUnit *u, IrType type, unsigned memop, IrTmp addr, IrTmp expected, IrTmp value)
{
    IrInsn *insn = emit(u, OP_cas, type, memop);
    insn->arg[0] = addr;
    insn->arg[1] = expected;
    insn->arg[2] = value;
    return result(u, insn);
}

void ir_fence(IrUnit *u, unsigned kinds)
{
    if (kinds)
        emit(u, OP_fence, IR_NONE, 0)->imm = kinds;
}

/* ---- control ---- */

void ir_insn(IrUnit *u, int32_t offset, unsigned length)
{
    u->insn_offset = offset;
    if (u->counted)
        emit(u, OP_icount, IR_NONE, 0)->imm = offset;
    emit(u, OP_insn, IR_NONE, length)->imm = offset;
}

void ir_label(IrUnit *u, int label)
{
    u->unreachable = false;
    u->label_insn[label] = (uint16_t)u->count;
    note_landmark(u);
    emit(u, OP_label, IR_NONE, 0)->imm = label;
    forget(u);
}

/* The instruction about to be emitted branches to the label. */
static void note_branch(IrUnit *u, int label)
{
    bool back = u->label_insn[label] || (u->insns[0].op == OP_label && u->insns[0].imm == label);
    if (!back || u->unreachable)
        return;
    u->has_loops = true;
    if (u->back_count == IR_MAX_BACKS)
        u->overflow = true;
    else
        u->backs[u->back_count++] = (uint16_t)u->count;
}

void ir_br(IrUnit *u, int label)
{
    note_branch(u, label);
    emit(u, OP_br, IR_NONE, 0)->imm = label;
    end_segment(u);
}

static void emit_branch(IrUnit *u, IrOp op, IrCond cond, IrTmp a, IrTmp b, int64_t target)
{
    IrInsn *insn = emit(u, op, u->tmps[a].type, cond);
    insn->arg[0] = a;
    insn->arg[1] = b;
    insn->imm = target;
}

void ir_brcond(IrUnit *u, IrCond cond, IrTmp a, IrTmp b, int label)
{
    int known = simplify_condition(u, &cond, &a, &b);
    if (known < 0) {
        note_branch(u, label);
        emit_branch(u, OP_brcond, cond, a, b, label);
    } else if (known) {
        ir_br(u, label);
    }
}

void ir_brjump(IrUnit *u, IrCond cond, IrTmp a, IrTmp b, int64_t offset)
{
    int known = simplify_condition(u, &cond, &a, &b);
    if (known < 0)
        emit_branch(u, OP_brjump, cond, a, b, offset);
    else if (known)
        ir_jump(u, offset, false);
}

void ir_poll(IrUnit *u, int32_t offset)
{
    emit(u, OP_poll, IR_NONE, 0)->imm = offset;
}

void ir_jump(IrUnit *u, int64_t offset, bool poll)
{
    emit(u, OP_jump, IR_NONE, poll)->imm = offset;
    end_segment(u);
}

void ir_jump_ind(IrUnit *u, IrTmp address)
{
    const IrInsn *insn = definition(u, address);
    if (insn->op == OP_getpc) { /* a known distance after all */
        ir_jump(u, insn->imm, true);
        return;
    }
    emit(u, OP_jump_ind, u->tmps[address].type, 0)->arg[0] = address;
    end_segment(u);
}

void ir_lookup(IrUnit *u)
{
    emit(u, OP_lookup, IR_NONE, 0);
    end_segment(u);
}

void ir_exit(IrUnit *u, int64_t offset, IrExit why)
{
    emit(u, OP_exit, IR_NONE, why)->imm = offset;
    end_segment(u);
}

/* ---- helpers ---- */

IrTmp ir_call(IrUnit *u, IrType type, unsigned helper, IrTmp a, IrTmp b, IrTmp c, IrTmp d)
{
    const HelperDesc *desc = &u->helpers[helper];
    note_landmark(u);
    IrInsn *insn = emit(u, OP_call, type, 0);
    insn->imm = helper;
    insn->arg[0] = a;
    insn->arg[1] = b;
    insn->arg[2] = c;
    insn->arg[3] = d;
    u->guarded = u->marked = u->assumed = 0;
    memset(u->held, 0, sizeof(u->held));
    if (desc->flags & HELPER_WRITES)
        memset(u->reg_value, 0, sizeof(u->reg_value));
    return desc->returns ? result(u, insn) : 0;
}

void ir_guard(IrUnit *u, uint32_t offset, unsigned helper, uint32_t argument)
{
    if (u->guarded == offset)
        return;
    IrInsn *insn = emit(u, OP_guard, IR_NONE, helper);
    insn->imm = (int64_t)(offset | (uint64_t)argument << 32);
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

/* RISC-V is the only policy so far: builders get another argument with the second. */
static IrTmp canonical_nan(IrUnit *u, IrInsn *insn)
{
    insn->flags = IR_NAN_CANONICAL;
    return result(u, insn);
}

IrTmp ir_fp(IrUnit *u, IrOp op, IrType type, IrRound round, IrTmp a, IrTmp b)
{
    IrInsn *insn = emit(u, op, type, round);
    insn->arg[0] = a;
    insn->arg[1] = b;
    return canonical_nan(u, insn);
}

IrTmp ir_fma(IrUnit *u, IrType type, IrRound round, unsigned negate, IrTmp a, IrTmp b, IrTmp c)
{
    IrInsn *insn = emit(u, OP_fma, type, round);
    insn->arg[0] = a;
    insn->arg[1] = b;
    insn->arg[2] = c;
    insn->imm = negate;
    return canonical_nan(u, insn);
}

IrTmp ir_fcmp(IrUnit *u, IrType type, IrFcmp cond, IrTmp a, IrTmp b)
{
    return emit2(u, OP_fcmp, type, cond, a, b);
}

static IrTmp convert(IrUnit *u, IrOp op, IrType type, bool is_unsigned, IrRound round, IrTmp a)
{
    IrInsn *insn = emit(u, op, type, round);
    insn->arg[0] = a;
    insn->imm = is_unsigned;
    return result(u, insn);
}

IrTmp ir_fftoi(IrUnit *u, IrType type, bool is_unsigned, IrRound round, IrTmp a)
{
    return convert(u, OP_fftoi, type, is_unsigned, round, a);
}

IrTmp ir_fitof(IrUnit *u, IrType type, bool is_unsigned, IrRound round, IrTmp a)
{
    return convert(u, OP_fitof, type, is_unsigned, round, a);
}

IrTmp ir_fmove(IrUnit *u, IrOp op, IrType type, IrTmp a)
{
    const IrInsn *insn = definition(u, a);
    bool undoes = (op == OP_fbits && insn->op == OP_fofbits) || (op == OP_fofbits && insn->op == OP_fbits) ||
                  (op == OP_funbox && insn->op == OP_fbox);
    return undoes ? insn->arg[0] : emit1(u, op, type, 0, a);
}

IrTmp ir_fsgn(IrUnit *u, IrType type, unsigned kind, IrTmp a, IrTmp b)
{
    if (kind == 0 && a == b)
        return a;
    IrInsn *insn = emit(u, OP_fsgn, type, 0);
    insn->arg[0] = a;
    insn->arg[1] = b;
    insn->imm = kind;
    return result(u, insn);
}

/* ---- vectors ---- */

static void hold(IrUnit *u, IrTmp tmp, unsigned size, uint32_t offset)
{
    u->held[u->held_next++ % G_N_ELEMENTS(u->held)] = (IrHeld){ tmp, (uint8_t)size, (int32_t)offset };
}

static IrTmp find_held(const IrUnit *u, unsigned size, uint32_t offset)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(u->held); i++)
        if (u->held[i].tmp && u->held[i].size == size && u->held[i].offset == (int32_t)offset)
            return u->held[i].tmp;
    return 0;
}

static IrType type_of_size(unsigned size)
{
    return size == 5 ? IR_V256 : IR_V128;
}

IrTmp ir_vldstate(IrUnit *u, unsigned size, uint32_t offset)
{
    IrTmp t = find_held(u, size, offset);
    if (t)
        return t;
    if (size == 5) { /* two halves */
        IrTmp low = find_held(u, 4, offset), high = find_held(u, 4, offset + 16);
        if (low && high)
            t = ir_vector(u, OP_vconcat, IR_V256, 0, low, high, 0, 0);
    } else if (size == 4) { /* a half */
        IrTmp from_low = find_held(u, 5, offset), from_high = find_held(u, 5, offset - 16);
        if (from_low || from_high)
            t = ir_vector(u, OP_vhalf, IR_V128, 0, from_low ? from_low : from_high, 0, 0, !from_low);
    }
    if (!t) {
        IrInsn *insn = emit(u, OP_vldstate, type_of_size(size), size);
        insn->imm = offset;
        t = result(u, insn);
    }
    hold(u, t, size, offset);
    return t;
}

void ir_vststate(IrUnit *u, unsigned size, uint32_t offset, IrTmp value)
{
    const IrInsn *def = definition(u, value);
    IrType type = (IrType)u->tmps[value].type;
    bool whole = size == (type == IR_V256 ? 5 : 4), zero_above = def->op == OP_vld || def->op == OP_vldstate;
    zero_above &= def->aux == size;
    if (find_held(u, size, offset) == value)
        return;
    IrInsn *insn = emit(u, OP_vststate, type, size);
    insn->imm = offset;
    insn->arg[0] = value;
    forget_held(u, offset, 1u << size);
    if (whole || zero_above)
        hold(u, value, size, offset);
}

IrTmp ir_probe(IrUnit *u, IrTmp addr, unsigned bytes, bool write)
{
    IrInsn *insn = emit(u, OP_probe, IR_I64, write);
    insn->arg[0] = addr;
    insn->imm = bytes;
    return result(u, insn);
}

IrTmp ir_vld(IrUnit *u, unsigned size, IrTmp host, int64_t offset)
{
    return ir_vector(u, OP_vld, type_of_size(size), size, host, 0, 0, offset);
}

void ir_vst(IrUnit *u, unsigned size, IrTmp host, int64_t offset, IrTmp value)
{
    IrInsn *insn = emit(u, OP_vst, u->tmps[value].type, size);
    insn->arg[0] = host;
    insn->arg[1] = value;
    insn->imm = offset;
}

IrTmp ir_vector(IrUnit *u, IrOp op, IrType type, unsigned aux, IrTmp a, IrTmp b, IrTmp c, int64_t imm)
{
    IrInsn *insn = emit(u, op, type, aux);
    insn->arg[0] = a;
    insn->arg[1] = b;
    insn->arg[2] = c;
    insn->imm = imm;
    return result(u, insn);
}

IrTmp ir_host(IrUnit *u, IrType type, int64_t what, bool pure, IrTmp a, IrTmp b, IrTmp c)
{
    IrTmp t = ir_vector(u, OP_vhost, type, 0, a, b, c, what);
    u->insns[u->tmps[t].def].flags = pure ? IR_HOST_PURE : 0;
    return t;
}

static IrInsn *emit_x87(IrUnit *u, IrOp op, IrType type, const IrX87 *x)
{
    IrInsn *insn = emit(u, op, type, x->first_format | x->dest_format << 3 | (unsigned)x->kind << 6);
    insn->imm = (int64_t)(x->op | (uint64_t)x->first << 16 | (uint64_t)x->second << 32 | (uint64_t)x->dest << 48);
    if (x->dest)
        forget_held(u, x->dest, 16);
    return insn;
}

void ir_x87(IrUnit *u, const IrX87 *x)
{
    emit_x87(u, OP_x87, IR_NONE, x);
}

IrTmp ir_x87_test(IrUnit *u, unsigned result_kind, const IrX87 *x)
{
    IrInsn *insn = emit_x87(u, OP_x87test, result_kind == IR_X87_STATUS ? IR_I32 : IR_I64, x);
    insn->flags = (uint8_t)result_kind;
    return result(u, insn);
}

int ir_cold(IrUnit *u)
{
    if (u->cold_count && u->cold[u->cold_count - 1].offset == u->insn_offset)
        return u->cold[u->cold_count - 1].label;
    if (u->cold_count == IR_MAX_COLD) {
        u->overflow = true;
        return 0;
    }
    int label = ir_new_label(u);
    u->cold[u->cold_count++] = (IrCold){ u->insn_offset, (uint16_t)label, u->expected };
    return label;
}

void ir_begin_cold(IrUnit *u)
{
    u->cold_from = u->count;
}

bool ir_tests_state(const IrUnit *u, const IrInsn *insn)
{
    const IrTmpInfo *a = &u->tmps[insn->arg[0]], *b = &u->tmps[insn->arg[1]];
    const IrInsn *load = &u->insns[a->def];
    return insn->op == OP_brcond && (insn->aux == COND_NE || insn->aux == COND_EQ) && b->constant && !b->value &&
           load->op == OP_ldstate && load->dst == insn->arg[0] && load->aux == MO_8 && a->uses == 1;
}
