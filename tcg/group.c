/*
 * Groups of guest memory accesses that share one look-up of the host page: loads, or stores, of a segment whose
 * addresses are constants apart (fields of a structure, a stack frame). The first of a group checks that all bytes of
 * the group are in one page; the others take over what it found, or know that it found nothing.
 *
 * Only the bytes' places are decided here; whether the host page is still at hand is the back end's business.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/ir.h"

/* Farther apart, it is too likely that a page ends in between. */
#define MAX_SPAN 256
#define RECENT   6 /* groups that may still grow */

IrTmp ir_address_root(const IrUnit *u, const IrInsn *insn, int64_t *offset)
{
    IrTmp t = insn->arg[0];
    int64_t sum = insn->imm;
    for (unsigned depth = 0; depth < 8; depth++) {
        const IrInsn *def = &u->insns[u->tmps[t].def];
        if (def->op == OP_add && def->dst == t && u->tmps[def->arg[1]].constant) {
            sum = (int64_t)((uint64_t)sum + (uint64_t)u->tmps[def->arg[1]].value);
            t = def->arg[0];
        } else {
            break;
        }
    }
    *offset = sum;
    return t;
}

static bool may_share(const IrUnit *u, const IrInsn *insn)
{
    return (insn->op == OP_ld || insn->op == OP_st) && u->tmps[insn->arg[0]].type == IR_I64 &&
           !(insn->aux & (ir_is_vector(insn->type) ? 0 : MO_ALIGN | MO_BIG_ENDIAN));
}

static bool join(IrGroup *g, int64_t low, int64_t high, unsigned index)
{
    int64_t from = MIN(g->low, low), to = MAX(g->high, high);
    if (to - from > MAX_SPAN)
        return false;
    g->low = (int32_t)from;
    g->high = (int32_t)to;
    g->last = (uint16_t)index;
    g->count++;
    return true;
}

void ir_group_accesses(IrUnit *u)
{
    unsigned open = 0; /* groups before this one are of other segments */
    u->group_count = 1;
    for (unsigned n = 0; n < u->landmark_count; n++) {
        unsigned i = u->landmarks[n];
        IrInsn *insn = &u->insns[i];
        int64_t low;
        if (insn->op == OP_label || insn->op == OP_call) /* a helper may change what is mapped */
            open = u->group_count;
        if (!may_share(u, insn))
            continue;
        IrTmp root = ir_address_root(u, insn, &low);
        if (low < -(1 << 30) || low > 1 << 30)
            continue;
        int64_t high = low + ir_access_bytes(insn);
        unsigned first = MAX(open, u->group_count - MIN(u->group_count, RECENT)), g = u->group_count;
        first = MAX(first, 1);
        while (g-- > first) {
            if (u->groups[g].root == root && u->groups[g].store == (insn->op == OP_st) &&
                join(&u->groups[g], low, high, i))
                break;
        }
        if (g >= first) {
            insn->group = (uint16_t)g;
        } else if (u->group_count < IR_MAX_GROUPS) {
            insn->group = (uint16_t)u->group_count;
            u->groups[u->group_count++] = (IrGroup){ .low = (int32_t)low,
                                                     .high = (int32_t)high,
                                                     .root = root,
                                                     .count = 1,
                                                     .first = (uint16_t)i,
                                                     .last = (uint16_t)i,
                                                     .store = insn->op == OP_st };
        }
    }
}
