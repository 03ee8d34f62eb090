/*
 * The backward pass: dead temporaries and dead register writes go, uses and last_use are counted.
 *
 * A register write is dead if the register is written again before anything that could see it: a read of it, a
 * guest memory access (it may fault), a helper call, a poll, a branch, a label or an exit.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/ir.h"

enum { PURE, SIDE, MEM, END };
static const uint8_t effects[OP_COUNT] = {
#define OP(name, out, in, types, effect, help) [OP_##name] = EFFECT_##effect,
#define EFFECT_0                               PURE
#define EFFECT_SIDE                            SIDE
#define EFFECT_MEM                             MEM
#define EFFECT_END                             END
#include "tcg/ops.def"
#undef OP
};

/* Side-effect ops that may still go when nobody wants the result. */
static bool removable(const IrInsn *insn)
{
    return insn->op == OP_getreg || insn->op == OP_ldstate || insn->op == OP_getpc;
}

/* Does control or anything outside this segment see guest registers at this instruction? */
static bool observes_registers(const IrUnit *u, const IrInsn *insn)
{
    switch (insn->op) {
    case OP_call:
        return u->helpers[insn->imm].flags & (HELPER_READS | HELPER_RAISES | HELPER_WRITES);
    case OP_brcond:
    case OP_brjump:
    case OP_poll:
        return true;
    default:
        return effects[insn->op] >= MEM;
    }
}

void ir_optimise(IrUnit *u)
{
    uint64_t dead[2] = { 0, 0 }; /* registers that are written again before they are seen */

    for (unsigned t = 0; t < u->tmp_count; t++)
        u->tmps[t].uses = u->tmps[t].last_use = 0;
    for (unsigned i = u->count; i--;) {
        IrInsn *insn = &u->insns[i];
        if (observes_registers(u, insn))
            dead[0] = dead[1] = 0;
        if (insn->dst && !u->tmps[insn->dst].uses && (effects[insn->op] == PURE || removable(insn))) {
            insn->op = OP_nop;
            continue;
        }
        if (insn->op == OP_setreg) {
            uint64_t bit = 1ull << (insn->imm & 63);
            if (dead[insn->imm >> 6] & bit) {
                insn->op = OP_nop;
                continue;
            }
            dead[insn->imm >> 6] |= bit;
        } else if (insn->op == OP_getreg) {
            dead[insn->imm >> 6] &= ~(1ull << (insn->imm & 63));
        }
        for (unsigned k = 0; k < 4; k++) {
            IrTmpInfo *t = &u->tmps[insn->arg[k]];
            if (!t->uses++)
                t->last_use = i;
        }
    }
}
