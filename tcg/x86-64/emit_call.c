/*
 * x86-64 back end: helper calls. The shared thunk (one for each set of helper flags) stores and reloads guest registers
 * as the flags say; the unit passes arguments and the function's distance from an anchor in the same program, so that
 * code holds no address.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/x86-64/regs.h"

#define ARGUMENTS 4
static const int8_t argument_regs[ARGUMENTS] = { RSI, RDX, RCX, RDI };

typedef struct Move {
    int8_t to, from; /* from NO_REG: not in a register */
    IrTmp value;
} Move;

/* Helpers get an I32 sign-extended, as the interpreter gives it. */
static void extend_argument(Emit *e, Move m)
{
    const Value *v = value_of(e, m.value);
    if (m.from != NO_REG)
        asm_rr(&e->a, I_MOVSXD, m.to, m.from);
    else
        asm_rm(&e->a, I_MOVSXD, m.to, mem_at(v->home_base, v->home));
}

/* All moves as if at once: one whose target nobody still reads goes first; a cycle is broken through rax. */
static void parallel_moves(Emit *e, Move *moves, unsigned n)
{
    while (n) {
        unsigned k, ready = n;
        for (k = 0; k < n && ready == n; k++) {
            ready = k;
            for (unsigned other = 0; other < n; other++) {
                if (other != k && moves[other].from == moves[k].to)
                    ready = n;
            }
        }
        if (ready == n) { /* only cycles are left, so rax is nobody's source */
            asm_mov(&e->a, W64, RAX, moves[0].to);
            for (k = 1; k < n; k++) {
                if (moves[k].from == moves[0].to)
                    moves[k].from = RAX;
            }
            continue;
        }
        Move m = moves[ready];
        if (e->u->tmps[m.value].type == IR_I32 && (m.from != NO_REG || !is_constant(e, m.value)))
            extend_argument(e, m);
        else if (m.from != NO_REG)
            asm_mov(&e->a, W64, m.to, m.from);
        else
            move_to_gpr(e, W64, m.to, m.value);
        moves[ready] = moves[--n];
    }
}

void emit_call_op(Emit *e, const IrInsn *insn)
{
    const HelperDesc *helper = &e->u->helpers[insn->imm];
    bool writes = helper->flags & HELPER_WRITES;
    Move moves[ARGUMENTS];
    unsigned n = 0;

    spill_for_call(e, writes);
    for (unsigned k = 0; k < ARGUMENTS; k++) {
        if (insn->arg[k])
            moves[n++] =
                (Move){ .to = argument_regs[k], .from = value_of(e, insn->arg[k])->reg, .value = insn->arg[k] };
    }
    parallel_moves(e, moves, n);
    forget_temps(e);
    if (writes)
        forget_pinned(e);
    ptrdiff_t distance = (const uint8_t *)(uintptr_t)helper->fn - (const uint8_t *)(uintptr_t)emit_thunks;
    g_assert(distance == (int32_t)distance); /* one program */
    asm_mov_imm(&e->a, RAX, (uint32_t)distance);
    call_thunk(e, THUNK_CALL + (helper->flags & 15), (uint32_t)e->pc << 16);
    if (!insn->dst || e->u->tmps[insn->dst].uses == 0)
        return;
    int hint = alloc_hint(e, insn->dst);
    int dst = hint == NO_REG ? RAX : hint;
    if (dst != RAX || insn->type == IR_I32)
        asm_rr(&e->a, I_MOV_LOAD | width(insn->type), dst, RAX);
    bind(e, insn->dst, insn->type, dst);
}
