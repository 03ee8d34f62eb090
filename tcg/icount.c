/*
 * Counting guest instructions (see ir_count_insns): the builder has put an icount before each; those that begin a piece
 * stay, the others go.
 *
 * A piece ends behind an instruction from which control may go elsewhere, before a label, and after ICOUNT_PIECE
 * instructions. So all of its instructions are done in turn, or an exception, a poll or an exit to C in the middle
 * gives back what was not.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/ir.h"

static bool ends_piece(const IrInsn *insn)
{
    return ir_op_info[insn->op].effects == IR_END || insn->op == OP_brcond || insn->op == OP_brjump;
}

/* Forward: which icounts stay. */
static void choose_pieces(IrUnit *u)
{
    unsigned length = ICOUNT_PIECE;
    for (unsigned i = 0; i < u->count; i++) {
        IrInsn *insn = &u->insns[i];
        if (ends_piece(insn)) {
            length = ICOUNT_PIECE;
        } else if (insn->op == OP_icount) {
            length = length == ICOUNT_PIECE ? 1 : length + 1;
            if (length > 1)
                *insn = (IrInsn){ .op = OP_nop };
        }
    }
}

void ir_count_insns(IrUnit *u)
{
    unsigned rest = 0;
    choose_pieces(u);
    for (unsigned i = u->count; i-- > 0;) {
        IrInsn *insn = &u->insns[i];
        if (insn->op == OP_insn) {
            insn->flags = ++rest;
        } else if (insn->op == OP_icount) {
            insn->aux = rest;
            rest = 0;
        }
    }
}
