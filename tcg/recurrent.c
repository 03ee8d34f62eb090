/*
 * Loads in recurrences: those whose address depends on what they themselves gave in an earlier turn of a loop (a
 * table-driven checksum, a state machine, a list). Such a loop can go no faster than the chain from one of these loads
 * to the next, so whatever stands between address and value there counts in full, where otherwise the host hides it.
 *
 * The dependence is followed through temporaries and guest registers, not through memory, along the body as it stands:
 * it decides about speed only.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/ir.h"
#include <string.h>

#define MAX_LOADS 64 /* of a loop, that are followed */

/* What depends on which loads of the loop: a bit each. */
typedef struct Flow {
    uint64_t tmp[IR_MAX_TMPS]; /* set before used, since temporaries live inside one segment */
    uint64_t reg[G_N_ELEMENTS(((IrUnit *)0)->reg_value)];
} Flow;

/* One turn of the loop [first, last]; the registers' dependences are those that the turn before left. */
static void follow(IrUnit *u, Flow *f, unsigned first, unsigned last)
{
    unsigned loads = 0;
    for (unsigned i = first; i <= last; i++) {
        IrInsn *insn = &u->insns[i];
        uint64_t from = 0;
        for (unsigned a = 0; a < 4 && insn->arg[a]; a++)
            from |= f->tmp[insn->arg[a]];
        if (insn->op == OP_getreg) {
            from = f->reg[insn->imm];
        } else if (insn->op == OP_setreg) {
            f->reg[insn->imm] = from;
        } else if (insn->op == OP_ld && loads < MAX_LOADS) {
            uint64_t own = (uint64_t)1 << loads++;
            if (from & own)
                insn->flags |= IR_LD_RECURRENT;
            from |= own;
        }
        f->tmp[insn->dst] = from;
    }
}

static bool has_loads(const IrUnit *u, unsigned first, unsigned last)
{
    for (unsigned n = 0; n < u->landmark_count && u->landmarks[n] < last; n++) {
        if (u->landmarks[n] > first && u->insns[u->landmarks[n]].op == OP_ld)
            return true;
    }
    return false;
}

void ir_mark_recurrent(IrUnit *u)
{
    Flow f;
    unsigned after_loop = 0;
    for (unsigned n = 0; n < u->back_count; n++) {
        unsigned i = u->backs[n], head = u->label_insn[u->insns[i].imm];
        if (head < after_loop)
            continue; /* around another loop */
        after_loop = i + 1;
        if (!has_loads(u, head, i))
            continue;
        memset(f.reg, 0, sizeof(f.reg));
        follow(u, &f, head, i);
        follow(u, &f, head, i);
    }
}
