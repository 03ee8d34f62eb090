/*
 * The pass over a unit between building and executing: one walk backward, which finds results that nothing uses,
 * register writes that nothing can see, truth values that only a branch or select tests, and low halves taken before
 * operations that look at no more; dead instructions become nop.
 *
 * A register write is dead if on every way on from it another write comes before anything that can see it: a read, a
 * helper that reads registers, or whatever may leave the unit (a fault, an exception, a poll, an exit), since the state
 * is exact there. Ways through backward branches count as seeing everything.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/ir.h"

/* A set of guest registers: those that are written before they can be seen. */
typedef struct RegSet {
    uint64_t bits[2];
} RegSet;

static bool has(const RegSet *set, int64_t reg)
{
    return set->bits[reg >> 6] >> (reg & 63) & 1;
}

typedef struct Pass {
    IrUnit *u;
    RegSet written;
    RegSet at_label[IR_MAX_LABELS]; /* written, as of the labels passed */
} Pass;

static void everything_seen(Pass *p)
{
    p->written = (RegSet){ { 0, 0 } };
}

/* What holds at a branch's target. */
static RegSet at_target(const Pass *p, const IrInsn *insn, unsigned index)
{
    return p->u->label_insn[insn->imm] > index ? p->at_label[insn->imm] : (RegSet){ { 0, 0 } };
}

/* Note what an instruction does to the set. True: it is a register write that nothing sees. */
static bool visit_registers(Pass *p, const IrInsn *insn, unsigned index)
{
    RegSet target;
    switch (insn->op) {
    case OP_getreg:
        p->written.bits[insn->imm >> 6] &= ~((uint64_t)1 << (insn->imm & 63));
        break;
    case OP_setreg:
        if (has(&p->written, insn->imm))
            return true;
        p->written.bits[insn->imm >> 6] |= (uint64_t)1 << (insn->imm & 63);
        break;
    case OP_call:
        if (p->u->helpers[insn->imm].flags & (HELPER_READS | HELPER_RAISES))
            everything_seen(p);
        break;
    case OP_label:
        p->at_label[insn->imm] = p->written;
        break;
    case OP_br:
        p->written = at_target(p, insn, index);
        break;
    case OP_brcond:
        target = at_target(p, insn, index);
        p->written.bits[0] &= target.bits[0];
        p->written.bits[1] &= target.bits[1];
        break;
    default:
        break;
    }
    return false;
}

static bool is_pure(const IrUnit *u, const IrInsn *insn)
{
    return insn->op == OP_call ? u->helpers[insn->imm].flags & HELPER_PURE
                               : insn->op == OP_vhost && insn->flags & IR_HOST_PURE;
}

static void count_use(IrUnit *u, IrTmp t, unsigned index)
{
    IrTmpInfo *info = &u->tmps[t];
    if (!info->uses++ || info->last_use < index)
        info->last_use = (uint16_t)index;
}

/* Does the host instruction of this I32 operation look at the low half of its input only? */
static bool takes_low_half(const IrInsn *insn, unsigned arg)
{
    switch (insn->op) {
    case OP_add:
    case OP_sub:
    case OP_mul:
    case OP_and:
    case OP_or:
    case OP_xor:
    case OP_andc:
    case OP_shl:
    case OP_shr:
    case OP_sar:
    case OP_rotl:
    case OP_rotr:
        return true;
    case OP_select:
        return arg >= 2;
    case OP_st:
        return arg == 1;
    default:
        return false;
    }
}

/* Inputs that are the low half of an I64 become that I64: the trunc, which would be a move, is seldom needed then. */
static void skip_truncs(IrUnit *u, IrInsn *insn)
{
    for (unsigned a = 0; a < 4 && insn->arg[a]; a++) {
        const IrInsn *def = &u->insns[u->tmps[insn->arg[a]].def];
        if (def->op == OP_trunc && takes_low_half(insn, a))
            insn->arg[a] = def->arg[0];
    }
}

/* The setcond is used once, by an instruction that tests it against 0: that one compares the operands instead. */
static bool fuse_setcond(IrUnit *u, const IrInsn *setcond)
{
    const IrTmpInfo *info = &u->tmps[setcond->dst];
    IrInsn *user = &u->insns[info->last_use];
    bool tests = user->op == OP_brcond || user->op == OP_brjump || user->op == OP_select;
    if (info->uses != 1 || !tests || user->arg[0] != setcond->dst || (user->aux != COND_EQ && user->aux != COND_NE))
        return false;
    IrTmpInfo *other = &u->tmps[user->arg[1]];
    if (!other->constant || other->value != 0)
        return false;
    other->uses--;
    user->aux = user->aux == COND_NE ? setcond->aux : (uint8_t)cond_negate((IrCond)setcond->aux);
    user->arg[0] = setcond->arg[0];
    user->arg[1] = setcond->arg[1];
    if (user->op != OP_select)
        user->type = u->tmps[user->arg[0]].type;
    count_use(u, user->arg[0], info->last_use);
    count_use(u, user->arg[1], info->last_use);
    return true;
}

/* What is particular about some ops. True: the instruction may go. */
static bool visit_particular(Pass *p, const IrInsn *insn, unsigned index)
{
    if (insn->op == OP_setcond)
        return fuse_setcond(p->u, insn);
    if (insn->dst && !p->u->tmps[insn->dst].uses && is_pure(p->u, insn))
        return true;
    return visit_registers(p, insn, index);
}

void ir_optimise(IrUnit *u)
{
    Pass p; /* at_label is filled in as labels are passed */
    p.u = u;
    everything_seen(&p);
    for (unsigned i = u->count; i-- > 0;) {
        IrInsn *insn = &u->insns[i];
        unsigned traits = ir_op_traits[insn->op];
        if (traits & IR_NO_CODE)
            continue;
        if ((traits & IR_GOES && !u->tmps[insn->dst].uses) || (traits & IR_MORE && visit_particular(&p, insn, i))) {
            *insn = (IrInsn){ .op = OP_nop };
            continue;
        }
        if (traits & IR_SEES)
            everything_seen(&p);
        if (insn->type == IR_I32)
            skip_truncs(u, insn);
        for (unsigned a = 0; a < 4 && insn->arg[a]; a++) {
            IrTmpInfo *info = &u->tmps[insn->arg[a]];
            if (!info->uses++) /* the last one, as this walk goes backward */
                info->last_use = (uint16_t)i;
        }
    }
}
