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

#define MAX_NODES 160
#define MAX_STEP  512   /* farther, the page ends too soon */
#define MAX_TURN  32768 /* steps of one turn together: see note_stream in the back end for why there is a limit */
#define REGS      G_N_ELEMENTS(((IrUnit *)0)->reg_value)
#define NOWHERE   UINT16_MAX

/* Instructions that run from the first to the last, unless they leave the unit: from a label or branch to the next. */
typedef struct Node {
    uint16_t first, last;
    uint16_t target; /* node that the branch at its end leads to; NOWHERE: none */
    bool falls;      /* into the next one */
    bool inside;     /* the loop that is looked at */
} Node;

typedef struct Graph {
    unsigned count;
    Node nodes[MAX_NODES];
} Graph;

static bool is_branch(const IrInsn *insn)
{
    return insn->op == OP_br || insn->op == OP_brcond;
}

static unsigned node_at(const Graph *g, unsigned index)
{
    unsigned low = 0, high = g->count;
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        if (g->nodes[middle].first <= index)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* False: too many. */
static bool find_nodes(const IrUnit *u, Graph *g)
{
    unsigned first = 0;
    g->count = 0;
    for (unsigned i = 0; i < u->count; i++) {
        const IrInsn *insn = &u->insns[i];
        if (!is_branch(insn) && i + 1 < u->count && u->insns[i + 1].op != OP_label)
            continue;
        if (g->count == MAX_NODES)
            return false;
        bool ends = ir_op_info[insn->op].effects == IR_END && insn->op != OP_label;
        g->nodes[g->count++] =
            (Node){ .first = (uint16_t)first, .last = (uint16_t)i, .target = NOWHERE, .falls = !ends };
        first = i + 1;
    }
    for (unsigned n = 0; n < g->count; n++) {
        const IrInsn *insn = &u->insns[g->nodes[n].last];
        if (is_branch(insn) && g->nodes[n].last < u->cold_from) /* the cold part enters loops anew */
            g->nodes[n].target = (uint16_t)node_at(g, u->label_insn[insn->imm]);
    }
    return true;
}

static bool leads_inside(const Graph *g, unsigned n, unsigned head)
{
    const Node *node = &g->nodes[n];
    return (node->target != NOWHERE && node->target != head && g->nodes[node->target].inside) ||
           (node->falls && n + 1 < g->count && n + 1 != head && g->nodes[n + 1].inside);
}

/* Mark the nodes of the loop with this head: those from which a branch back to it can be reached without it. False: it
 * is entered elsewhere, too, or there is another loop in it. */
static bool find_loop(Graph *g, unsigned head)
{
    for (unsigned n = 0; n < g->count; n++)
        g->nodes[n].inside = n == head || (g->nodes[n].target == head && n >= head);
    for (bool more = true; more;) {
        more = false;
        for (unsigned n = g->count; n-- > 0;) {
            if (!g->nodes[n].inside && leads_inside(g, n, head))
                g->nodes[n].inside = more = true;
        }
    }
    if (head && g->nodes[0].inside)
        return false;
    for (unsigned n = 0; n < g->count; n++) {
        unsigned target = g->nodes[n].target;
        if (g->nodes[n].inside && target <= n && target != head && g->nodes[target].inside)
            return false;
    }
    return true;
}

/* How a guest register changes in the loop. */
typedef struct Motion {
    bool up, down, otherwise;
    int64_t sum;  /* in this segment: its value is that at the segment's start and this */
    int64_t turn; /* all steps together */
} Motion;

static void note_write(const IrUnit *u, Motion *motions, const IrInsn *insn)
{
    Motion *m = &motions[insn->imm];
    IrInsn value = { .arg = { insn->arg[0] } };
    int64_t sum;
    if (ir_address_register(u, &value, &sum) != insn->imm) {
        m->otherwise = true;
        return;
    }
    int64_t step = (int64_t)((uint64_t)sum - (uint64_t)m->sum);
    m->sum = sum;
    if (step > MAX_STEP || step < -MAX_STEP) {
        m->otherwise = true;
        return;
    }
    m->up |= step > 0;
    m->down |= step < 0;
    m->turn += ABS(step);
    m->otherwise |= m->turn > MAX_TURN;
}

/* False: something in the loop writes registers in ways that are not seen here. */
static bool find_motions(const IrUnit *u, const Graph *g, Motion *motions)
{
    memset(motions, 0, REGS * sizeof(*motions));
    for (unsigned n = 0; n < g->count; n++) {
        for (unsigned i = g->nodes[n].first; g->nodes[n].inside && i <= g->nodes[n].last; i++) {
            const IrInsn *insn = &u->insns[i];
            if (insn->op == OP_call)
                return false;
            if (insn->op == OP_setreg)
                note_write(u, motions, insn);
            for (unsigned r = 0; insn->op == OP_label && r < REGS; r++)
                motions[r].sum = 0;
        }
    }
    return true;
}

/* That of a sum of registers. False: not as a stream wants it. */
static bool motion_of(const Motion *motions, const IrSum *sum, bool *up, bool *down)
{
    const Motion still = { .sum = 0 };
    const Motion *base = sum->base == IR_NO_REGISTER ? &still : &motions[sum->base];
    const Motion *index = sum->index == IR_NO_REGISTER ? &still : &motions[sum->index];
    *up = base->up || index->up;
    *down = base->down || index->down;
    return !base->otherwise && !index->otherwise && base->turn + index->turn * (1 << sum->scale) <= MAX_TURN;
}

typedef struct Loop {
    IrInsn *label;
    Motion motions[REGS];
    uint8_t next[3]; /* number of the next stream up, down, any */
} Loop;

static void mark_access(IrUnit *u, Loop *l, unsigned index, bool each_turn)
{
    static const uint8_t end[] = { IR_STREAM_DOWN, IR_STREAM_ANY, IR_STREAMS };
    IrInsn *insn = &u->insns[index];
    IrSum sum;
    bool up, down, leads = !insn->group || u->groups[insn->group].first == index;
    if (!leads || !ir_may_stream(u, insn) || !ir_address_sum(u, insn, &sum) || !motion_of(l->motions, &sum, &up, &down))
        return;
    unsigned kind = !each_turn || (up && down) ? 2 : down ? 1 : 0;
    if (l->next[kind] == end[kind])
        return;
    insn->flags |= (uint8_t)((l->next[kind] + 1) << IR_STREAM_SHIFT);
    l->label->group |= (uint16_t)(1 << l->next[kind]++);
}

static void mark_loop(IrUnit *u, const Graph *g, unsigned head)
{
    Loop l = { .label = &u->insns[g->nodes[head].first], .next = { IR_STREAM_UP, IR_STREAM_DOWN, IR_STREAM_ANY } };
    bool each_turn = true;
    if (!find_motions(u, g, l.motions))
        return;
    for (unsigned n = head; n < g->count; n++) {
        const Node *node = &g->nodes[n];
        for (unsigned i = node->first; node->inside && i <= node->last; i++)
            mark_access(u, &l, i, each_turn);
        each_turn &= node->target == NOWHERE || !g->nodes[node->target].inside;
    }
}

void ir_find_streams(IrUnit *u)
{
    Graph g;
    bool others = false; /* than those of loop.c */
    for (unsigned n = 0; n < u->back_count; n++)
        others |= !u->insns[u->label_insn[u->insns[u->backs[n]].imm]].aux;
    if (!others || !find_nodes(u, &g))
        return;
    for (unsigned n = 0; n < g.count; n++) {
        unsigned head = g.nodes[n].target;
        const IrInsn *label = &u->insns[g.nodes[MIN(head, n)].first];
        if (head <= n && !label->group && !label->aux && find_loop(&g, head))
            mark_loop(u, &g, head);
    }
}
