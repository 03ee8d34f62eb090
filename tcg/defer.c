/*
 * Register writes that wait (GuestReg.deferred): most of what sets a guest's flags is overwritten before anything but a
 * fault or a poll could have seen it. The back end keeps such a value where it is, and stores it when somebody asks:
 * in the stubs that lead to C, which cost nothing while they are not taken, or when its register is wanted, or before
 * control goes to where it may be read.
 *
 * Here it is found out which of these registers nothing sees from each label on, backward branches included; and a
 * 32-bit value that is written zero-extended is left to the store to extend.
 * SPDX-License-Identifier: MIT
 */
#include "target/target.h"
#include "tcg/ir.h"
#include <string.h>

static uint8_t bit_of(const IrUnit *u, const IrInsn *insn)
{
    unsigned number = u->regs[insn->imm].deferred;
    return number ? (uint8_t)(1u << (number - 1)) : 0;
}

/* The registers that are written before they can be seen, before an instruction; after it they are `dead`. */
static uint8_t dead_before(const IrUnit *u, const IrInsn *insn, uint8_t dead)
{
    switch (insn->op) {
    case OP_getreg:
        return dead & (uint8_t)~bit_of(u, insn);
    case OP_setreg:
        return dead | bit_of(u, insn);
    case OP_call:
        return u->helpers[insn->imm].flags & (HELPER_READS | HELPER_RAISES) ? 0 : dead;
    case OP_br:
        return u->dead_at[insn->imm];
    case OP_brcond:
        return dead & u->dead_at[insn->imm];
    case OP_label:
        return dead;
    case OP_brjump:
    case OP_poll:
    case OP_icount:
        return 0;
    default: /* what may fault, or leaves */
        return ir_op_info[insn->op].effects == IR_MEM || ir_op_info[insn->op].effects == IR_END ? 0 : dead;
    }
}

/* Labels further on are known when a branch to them is met, those before it from the walk before this one. */
static void find_dead(IrUnit *u)
{
    uint8_t dead = 0;
    for (unsigned i = u->count; i-- > 0;) {
        const IrInsn *insn = &u->insns[i];
        dead = dead_before(u, insn, dead);
        if (insn->op == OP_label)
            u->dead_at[insn->imm] = dead;
    }
}

/* The value that is written is the low half of another. */
static void write_low_half(IrUnit *u, IrInsn *insn, unsigned index)
{
    IrTmpInfo *value = &u->tmps[insn->arg[0]];
    IrInsn *def = &u->insns[value->def];
    if (value->uses != 1 || def->op != OP_ext || def->type != IR_I64 || def->aux != MO_32)
        return;
    IrTmpInfo *source = &u->tmps[def->arg[0]];
    insn->arg[0] = def->arg[0];
    insn->flags |= IR_SET_LOW;
    source->last_use = (uint16_t)MAX(source->last_use, index);
    *def = (IrInsn){ .op = OP_nop };
}

void ir_defer_writes(IrUnit *u)
{
    bool any = false;
    for (unsigned i = 0; i < u->count; i++) {
        IrInsn *insn = &u->insns[i];
        if (insn->op == OP_setreg && bit_of(u, insn)) {
            any = true;
            write_low_half(u, insn, i);
        }
    }
    if (!any)
        return;
    u->defers = true;
    memset(u->dead_at, 0, u->label_count);
    find_dead(u);
    if (u->has_loops)
        find_dead(u);
}
