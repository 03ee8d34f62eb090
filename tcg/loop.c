/*
 * Loops without branches inside that walk through memory: all of their accesses by one comparison a turn. The back end
 * finds out at the loop's head how far each page goes that is walked through, and until the first of them ends the
 * accesses need no look-up at all; a turn in which that is not known runs a second copy of the loop's code.
 *
 * What it takes: one segment with one branch back to its start, and addresses that are guest registers, as they are at
 * the head, and constants; in a turn the registers stay, or grow by steps that are powers of two apart.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/ir.h"
#include <string.h>

#define MAX_STEP  512       /* farther, the page ends too soon */
#define MAX_SPAN  512       /* of the bytes that one register leads to in a turn */
#define FEW_INSNS 48        /* such a loop seldom needs all registers */
#define FAR       (1 << 30) /* so that sums with displacements are in range */
#define REGS      G_N_ELEMENTS(((IrUnit *)0)->reg_value)

typedef struct Change {
    bool other; /* than by constants */
    int64_t sum;
} Change;

int ir_address_register(const IrUnit *u, const IrInsn *insn, int64_t *offset)
{
    const IrInsn *def = &u->insns[u->tmps[ir_address_root(u, insn, offset)].def];
    return def->op == OP_getreg ? (int)def->imm : -1;
}

bool ir_may_stream(const IrUnit *u, const IrInsn *insn)
{
    return (insn->op == OP_ld || insn->op == OP_st) && u->tmps[insn->arg[0]].type == IR_I64 &&
           !(insn->aux & (ir_is_vector(insn->type) ? 0 : MO_ALIGN | MO_BIG_ENDIAN)) && insn->imm > -FAR &&
           insn->imm < FAR && !(insn->op == OP_ld && insn->flags & IR_LD_RECURRENT);
}

/* What a turn does to the guest registers. False: more than can be said. */
static bool find_changes(const IrUnit *u, unsigned head, unsigned last, Change *changes)
{
    memset(changes, 0, REGS * sizeof(*changes));
    for (unsigned i = head + 1; i <= last; i++) {
        const IrInsn *insn = &u->insns[i];
        if (insn->op == OP_call || insn->op == OP_label)
            return false;
        if (insn->op != OP_setreg)
            continue;
        IrInsn value = { .arg = { insn->arg[0] } };
        Change *c = &changes[insn->imm];
        c->other = ir_address_register(u, &value, &c->sum) != insn->imm;
    }
    return true;
}

/* May an access join the walk? If so the walk is aligned as it wants. One whose alignment is another has its own walk.
 */
static bool same_alignment(IrWalk *w, unsigned align, int64_t low)
{
    if (!align)
        return true;
    if (w->align && (w->align != align || ((low - w->phase) & (align - 1))))
        return false;
    w->align = (uint8_t)align;
    w->phase = (uint8_t)(low & (align - 1));
    return true;
}

/* The walk that an access belongs to, made if need be; NULL: none. */
static IrWalk *walk_of(const IrUnit *u, IrLoop *l, const Change *changes, const IrInsn *insn)
{
    int64_t low, high;
    int reg = ir_may_stream(u, insn) ? ir_address_register(u, insn, &low) : -1;
    if (reg < 0 || changes[reg].other || changes[reg].sum < 0 || changes[reg].sum > MAX_STEP || low < -FAR || low > FAR)
        return NULL;
    unsigned bytes = ir_access_bytes(insn), align = insn->aux & MO_ALIGN ? bytes : 0;
    if (align && changes[reg].sum % align)
        return NULL;
    high = low + bytes;
    for (IrWalk *w = l->walks; w < l->walks + l->count; w++) {
        if (w->reg == reg && MAX(high, w->high) - MIN(low, w->low) <= MAX_SPAN && same_alignment(w, align, low)) {
            w->high = (int32_t)MAX(high, w->high);
            w->low = (int32_t)MIN(low, w->low);
            return w;
        }
    }
    if (l->count == IR_MAX_WALKS)
        return NULL;
    IrWalk *w = &l->walks[l->count++];
    *w = (IrWalk){ .align = (uint8_t)align,
                   .phase = (uint8_t)(low & (int64_t)(align - (align != 0))),
                   .low = (int32_t)low,
                   .high = (int32_t)high,
                   .reg = (uint8_t)reg,
                   .moves = changes[reg].sum != 0,
                   .step = (uint16_t)changes[reg].sum };
    return w;
}

/* The register with the greatest step leads; how many of its steps are one of the others'? False: no number is. */
static bool choose_lead(const IrUnit *u, IrLoop *l)
{
    for (unsigned w = 0; w < l->count; w++) {
        const IrWalk *walk = &l->walks[w], *lead = &l->walks[l->lead];
        bool pinned = ir_pinned(u, walk->reg) && !ir_pinned(u, lead->reg);
        if (walk->step > lead->step || (walk->step == lead->step && pinned))
            l->lead = (uint8_t)w;
    }
    unsigned step = l->walks[l->lead].step;
    for (IrWalk *w = l->walks; w < l->walks + l->count; w++) {
        unsigned times = w->moves ? step / w->step : 1;
        if (w->moves && (step % w->step || times & (times - 1)))
            return false;
        w->shift = (uint8_t)__builtin_ctz(times);
    }
    return step != 0;
}

/* What the fast copy takes as given, since the look at the head has seen it: state bytes that guards test, and
 * single-precision values in registers that the loop leaves alone. */
static void find_givens(IrUnit *u, IrLoop *l, const bool *written)
{
    for (unsigned i = l->head + 1u; i <= l->last; i++) {
        IrInsn *insn = &u->insns[i];
        const IrInsn *def = &u->insns[u->tmps[insn->arg[0]].def];
        bool known = false;
        if (insn->op == OP_guard) {
            for (unsigned g = 0; g < l->guard_count; g++)
                known |= l->guards[g] == (uint32_t)insn->imm;
            if (!known && (known = l->guard_count < IR_MAX_GIVENS))
                l->guards[l->guard_count++] = (uint32_t)insn->imm;
        } else if (insn->op == OP_funbox && def->op == OP_getreg && !written[def->imm]) {
            for (unsigned b = 0; b < l->boxed_count; b++)
                known |= l->boxed[b] == def->imm;
            if (!known && (known = l->boxed_count < IR_MAX_GIVENS))
                l->boxed[l->boxed_count++] = (uint8_t)def->imm;
        }
        insn->flags |= known ? IR_LOOP_GIVEN : 0;
    }
}

/* Can the instruction, in the fast copy, lead out of the loop, so that registers must be exact? */
static bool may_leave(const IrInsn *insn)
{
    bool walks = (insn->op == OP_ld || insn->op == OP_st) && ir_stream(insn->flags) >= 0;
    bool given = insn->op == OP_guard && insn->flags & IR_LOOP_GIVEN;
    uint8_t effects = ir_op_info[insn->op].effects;
    return (effects == IR_MEM && !walks && !given) || effects == IR_END || insn->op == OP_brcond ||
           insn->op == OP_brjump || insn->op == OP_poll;
}

/* As ir_optimise does, for the fast copy, in which fewer instructions may fault: register writes that nothing sees, and
 * what only they use. */
static void find_dead(IrUnit *u, const IrLoop *l)
{
    bool written[REGS] = { false }, needed[IR_MAX_TMPS];
    for (unsigned i = l->head; i <= l->last; i++)
        needed[u->insns[i].dst] = u->tmps[u->insns[i].dst].last_use > l->last;
    for (unsigned i = l->last; i > l->head; i--) {
        IrInsn *insn = &u->insns[i];
        bool dead = insn->dst && !needed[insn->dst] && ir_op_info[insn->op].effects == IR_PURE && insn->op != OP_const;
        if (insn->op == OP_setreg) {
            dead = written[insn->imm];
            written[insn->imm] = true;
        } else if (insn->op == OP_getreg) {
            written[insn->imm] = false;
        } else if (may_leave(insn)) {
            memset(written, 0, sizeof(written));
        }
        if (dead)
            insn->flags |= IR_LOOP_DEAD;
        for (unsigned a = 0; a < 4 && insn->arg[a] && !dead; a++)
            needed[insn->arg[a]] = true;
    }
}

static void find_loop(IrUnit *u, unsigned head, unsigned last)
{
    bool written[REGS] = { false };
    Change changes[REGS];
    IrLoop *l = &u->loops[u->loop_count];
    unsigned insns = 0;
    *l = (IrLoop){ .head = (uint16_t)head, .last = (uint16_t)last };
    if (!find_changes(u, head, last, changes))
        return;
    for (unsigned i = head + 1; i <= last; i++) {
        insns += u->insns[i].op != OP_nop && u->insns[i].op != OP_insn;
        walk_of(u, l, changes, &u->insns[i]);
        if (u->insns[i].op == OP_setreg)
            written[u->insns[i].imm] = true;
    }
    if (!l->count || !choose_lead(u, l))
        return;
    l->light = insns <= FEW_INSNS;
    for (unsigned i = head + 1; i <= last; i++) {
        IrInsn *insn = &u->insns[i];
        IrWalk *w = walk_of(u, l, changes, insn);
        if (!w)
            continue;
        insn->flags |= (uint8_t)((w - l->walks + 1) << IR_STREAM_SHIFT);
        *(insn->op == OP_ld ? &w->loads : &w->stores) = true;
    }
    find_givens(u, l, written);
    find_dead(u, l);
    u->insns[head].aux = (uint8_t)++u->loop_count;
}

/* Does no label stand in between? */
static bool one_segment(const IrUnit *u, unsigned head, unsigned last)
{
    for (unsigned l = 0; l < u->label_count; l++) {
        if (u->label_insn[l] > head && u->label_insn[l] < last)
            return false;
    }
    return true;
}

/* Are there accesses, and no calls? */
static bool only_accesses(const IrUnit *u, unsigned head, unsigned last)
{
    bool accesses = false;
    for (unsigned n = 0; n < u->landmark_count && u->landmarks[n] < last; n++) {
        const IrInsn *insn = &u->insns[u->landmarks[n]];
        if (u->landmarks[n] <= head)
            continue;
        if (insn->op == OP_call)
            return false;
        accesses |= insn->op == OP_ld || insn->op == OP_st;
    }
    return accesses;
}

void ir_find_loops(IrUnit *u)
{
    uint8_t back[IR_MAX_LABELS]; /* branches back to each label, as far as seen */
    u->loop_count = 0;
    if (!u->has_loops)
        return;
    memset(back, 0, u->label_count);
    for (unsigned n = 0; n < u->back_count; n++)
        back[u->insns[u->backs[n]].imm]++;
    for (unsigned n = 0; n < u->back_count && u->loop_count < IR_MAX_LOOPS; n++) {
        unsigned last = u->backs[n], label = (unsigned)u->insns[last].imm, head = u->label_insn[label];
        if (back[label] == 1 && one_segment(u, head, last) && only_accesses(u, head, last))
            find_loop(u, head, last);
    }
}
