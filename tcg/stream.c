/*
 * Streams: loads and stores of a loop whose address moves in small steps (arrays walked through, and what stays where
 * it is). Such an access need not look its page up in every turn: the back end keeps what it found (see STUB_STREAM),
 * and looks again when the address has left the page. The loop is one that is entered at its head only, where what was
 * found before is forgotten.
 *
 * Where the address moves one way only and the access is made in every turn, it is enough to see whether the address
 * has reached the end of the page: it cannot get around the end of the address space unseen. Temporaries that stand for
 * a guest register are its values of some time, so they move the way that the register does.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/ir.h"
#include <string.h>

#define MAX_BRANCHES 128
#define MAX_STEP     512   /* farther, the page ends too soon */
#define MAX_TURN     32768 /* steps of one turn together: see STUB_STREAM for how near the end addresses may come */
#define REGS         G_N_ELEMENTS(((IrUnit *)0)->reg_value)

typedef struct Branches {
    unsigned count;
    struct {
        uint16_t at, to;
    } list[MAX_BRANCHES];
} Branches;

/* How a guest register changes in the loop. */
typedef struct Motion {
    bool up, down, otherwise;
    int64_t sum;  /* in this segment: its value is that at the segment's start and this */
    int64_t turn; /* all steps together */
} Motion;

/* Of all branches to labels: false: too many. */
static bool find_branches(const IrUnit *u, Branches *b, bool *loops)
{
    b->count = 0;
    *loops = false;
    for (unsigned i = 0; i < u->count; i++) {
        const IrInsn *insn = &u->insns[i];
        if (insn->op != OP_br && insn->op != OP_brcond)
            continue;
        if (b->count == MAX_BRANCHES)
            return false;
        b->list[b->count].at = (uint16_t)i;
        b->list[b->count].to = u->label_insn[insn->imm];
        *loops |= b->list[b->count++].to < i;
    }
    return true;
}

/* The last branch back to head, if [head, it] has no other loop in it and is entered at head only; else 0. */
static unsigned loop_end(const Branches *b, unsigned head)
{
    unsigned last = 0;
    for (unsigned k = 0; k < b->count; k++) {
        if (b->list[k].to == head && b->list[k].at > head)
            last = MAX(last, b->list[k].at);
    }
    for (unsigned k = 0; k < b->count; k++) {
        unsigned at = b->list[k].at, to = b->list[k].to;
        bool inside = at > head && at <= last;
        if (to != head && (inside ? to < at : to > head && to <= last))
            return 0;
    }
    return last;
}

/* The guest register that t is a constant away from, as it was at the start of the segment; -1: none. */
static int origin(const IrUnit *u, IrTmp t, int64_t *sum)
{
    IrInsn address = { .arg = { t } };
    const IrInsn *def = &u->insns[u->tmps[ir_address_root(u, &address, sum)].def];
    return def->op == OP_getreg ? (int)def->imm : -1;
}

static void note_write(const IrUnit *u, Motion *motions, const IrInsn *insn)
{
    Motion *m = &motions[insn->imm];
    int64_t sum;
    if (origin(u, insn->arg[0], &sum) != insn->imm) {
        m->otherwise = true;
        return;
    }
    int64_t step = sum - m->sum;
    m->sum = sum;
    m->up |= step > 0;
    m->down |= step < 0;
    m->turn += ABS(step);
    m->otherwise |= step > MAX_STEP || step < -MAX_STEP || m->turn > MAX_TURN;
}

/* False: something in the loop writes registers in ways that are not seen here. */
static bool find_motions(const IrUnit *u, Motion *motions, unsigned head, unsigned last)
{
    memset(motions, 0, REGS * sizeof(*motions));
    for (unsigned i = head; i <= last; i++) {
        const IrInsn *insn = &u->insns[i];
        if (insn->op == OP_call)
            return false;
        if (insn->op == OP_setreg)
            note_write(u, motions, insn);
        for (unsigned r = 0; insn->op == OP_label && r < REGS; r++)
            motions[r].sum = 0;
    }
    return true;
}

static bool may_stream(const IrUnit *u, const IrInsn *insn, unsigned index)
{
    if ((insn->op != OP_ld && insn->op != OP_st) || u->tmps[insn->arg[0]].type != IR_I64 ||
        insn->aux & (MO_ALIGN | MO_BIG_ENDIAN))
        return false;
    if (insn->op == OP_ld && insn->flags & IR_LD_RECURRENT)
        return false;
    return !insn->group || u->groups[insn->group].first == index;
}

static void mark_loop(IrUnit *u, unsigned head, unsigned last)
{
    static const uint8_t end[] = { IR_STREAM_DOWN, IR_STREAM_ANY, IR_STREAMS };
    Motion motions[REGS];
    uint8_t next[] = { IR_STREAM_UP, IR_STREAM_DOWN, IR_STREAM_ANY };
    bool each_turn = true;
    if (!find_motions(u, motions, head, last))
        return;
    for (unsigned i = head; i <= last; i++) {
        IrInsn *insn = &u->insns[i];
        int64_t sum;
        if (insn->op == OP_br || insn->op == OP_brcond)
            each_turn &= u->label_insn[insn->imm] < head || u->label_insn[insn->imm] > last;
        int reg = may_stream(u, insn, i) ? origin(u, insn->arg[0], &sum) : -1;
        if (reg < 0 || motions[reg].otherwise)
            continue;
        unsigned kind = !each_turn || (motions[reg].up && motions[reg].down) ? 2 : motions[reg].down ? 1 : 0;
        if (next[kind] == end[kind])
            continue;
        insn->flags |= (uint8_t)((next[kind] + 1) << IR_STREAM_SHIFT);
        u->insns[head].group |= (uint16_t)(1 << next[kind]++);
    }
}

void ir_find_streams(IrUnit *u)
{
    Branches b;
    bool loops;
    if (!find_branches(u, &b, &loops) || !loops)
        return;
    for (unsigned k = 0; k < b.count; k++) {
        unsigned head = b.list[k].to, last;
        if (head < b.list[k].at && !u->insns[head].group && (last = loop_end(&b, head)))
            mark_loop(u, head, last);
    }
}
