/*
 * Loops without branches inside that walk through memory: all of their accesses by one comparison a turn. The back end
 * finds out at the loop's head how far each page goes that is walked through, and until the first of them ends the
 * accesses need no look-up at all; a turn in which that is not known runs a second copy of the loop's code.
 *
 * What it takes: one segment with one branch back to its start, and addresses that are sums of guest registers, as they
 * are at the head, and constants; in a turn the sums stay, or grow by steps that are powers of two apart.
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

/* t as a register, shifted by a constant or not. */
static bool scaled_register(const IrUnit *u, IrTmp t, uint8_t *reg, uint8_t *scale, int64_t *offset)
{
    const IrInsn *def = &u->insns[u->tmps[t].def];
    IrInsn of = { .arg = { t } };
    *scale = 0;
    if (def->op == OP_shl && u->tmps[def->arg[1]].constant && (uint64_t)u->tmps[def->arg[1]].value <= 3) {
        of.arg[0] = def->arg[0];
        *scale = (uint8_t)u->tmps[def->arg[1]].value;
    }
    int64_t plus;
    int found = ir_address_register(u, &of, &plus);
    *reg = (uint8_t)found;
    *offset = (int64_t)((uint64_t)*offset + ((uint64_t)plus << *scale));
    return found >= 0;
}

bool ir_address_sum(const IrUnit *u, const IrInsn *insn, IrSum *sum)
{
    *sum = (IrSum){ .base = IR_NO_REGISTER, .index = IR_NO_REGISTER };
    IrTmp root = ir_address_root(u, insn, &sum->offset);
    const IrInsn *def = &u->insns[u->tmps[root].def];
    uint8_t scale;
    if (def->op == OP_getreg) {
        sum->base = (uint8_t)def->imm;
        return true;
    }
    if (def->op != OP_add)
        return scaled_register(u, root, &sum->index, &sum->scale, &sum->offset);
    return scaled_register(u, def->arg[0], &sum->base, &scale, &sum->offset) && !scale &&
           scaled_register(u, def->arg[1], &sum->index, &sum->scale, &sum->offset);
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

static int64_t growth(const Change *changes, uint8_t reg)
{
    if (reg == IR_NO_REGISTER)
        return 0;
    bool small = !changes[reg].other && changes[reg].sum >= -MAX_STEP && changes[reg].sum <= MAX_STEP;
    return small ? changes[reg].sum : INT32_MIN;
}

/* The walk that an access belongs to, made if need be; NULL: none. */
static IrWalk *walk_of(const IrUnit *u, IrLoop *l, const Change *changes, const IrInsn *insn)
{
    IrSum sum;
    if (!ir_may_stream(u, insn) || !ir_address_sum(u, insn, &sum))
        return NULL;
    int64_t low = sum.offset, high, step = growth(changes, sum.base) + growth(changes, sum.index) * (1 << sum.scale);
    if (step < 0 || step > MAX_STEP || low < -FAR || low > FAR)
        return NULL;
    unsigned bytes = ir_access_bytes(insn), align = insn->aux & MO_ALIGN ? bytes : 0;
    if (align && step % align)
        return NULL;
    high = low + bytes;
    for (IrWalk *w = l->walks; w < l->walks + l->count; w++) {
        bool same = w->sum.base == sum.base && w->sum.index == sum.index && w->sum.scale == sum.scale;
        if (same && MAX(high, w->high) - MIN(low, w->low) <= MAX_SPAN && same_alignment(w, align, low)) {
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
                   .sum = { 0, sum.base, sum.index, sum.scale },
                   .moves = step != 0,
                   .step = (uint16_t)step };
    return w;
}

/* How many of one walk's steps is a step of the leading register? As a power of 2. False: no number is. */
static bool steps_fit(IrLoop *l, unsigned step)
{
    for (IrWalk *w = l->walks; w < l->walks + l->count; w++) {
        if (!w->moves)
            continue;
        unsigned more = MAX(step, w->step), less = MIN(step, w->step), times = more / less;
        if (more % less || times & (times - 1))
            return false;
        w->shift = (int8_t)(step >= w->step ? __builtin_ctz(times) : -__builtin_ctz(times));
    }
    return true;
}

/* A register that grows leads, best one that is pinned. */
static bool choose_lead(const IrUnit *u, IrLoop *l, const Change *changes)
{
    int lead = -1;
    for (unsigned i = 0; i < 2u * l->count; i++) {
        const IrSum *sum = &l->walks[i / 2].sum;
        uint8_t reg = i % 2 ? sum->index : sum->base;
        if (growth(changes, reg) > 0 && (lead < 0 || (ir_pinned(u, reg) && !ir_pinned(u, (unsigned)lead))) &&
            steps_fit(l, (unsigned)changes[reg].sum))
            lead = reg;
    }
    if (lead < 0)
        return false;
    l->lead = (uint8_t)lead;
    return steps_fit(l, (unsigned)changes[lead].sum);
}

/* Is a byte of the state one that the loop leaves alone? */
static bool left_alone(const IrUnit *u, const IrLoop *l, int64_t offset)
{
    for (unsigned i = l->head + 1u; i <= l->last; i++) {
        const IrInsn *insn = &u->insns[i];
        unsigned bytes = insn->op == OP_ststate    ? MO_BYTES(insn->aux)
                         : insn->op == OP_vststate ? 1u << (insn->aux & IR_VECTOR_SIZE)
                                                   : 0;
        if (insn->imm <= offset && insn->imm + bytes > offset)
            return false;
    }
    return true;
}

static bool add_guard(IrLoop *l, uint32_t offset)
{
    for (unsigned g = 0; g < l->guard_count; g++)
        if (l->guards[g] == offset)
            return true;
    if (l->guard_count == IR_MAX_GIVENS)
        return false;
    l->guards[l->guard_count++] = offset;
    return true;
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
            known = left_alone(u, l, (uint32_t)insn->imm) && add_guard(l, (uint32_t)insn->imm);
        } else if (insn->aux == COND_NE && ir_tests_state(u, insn) && u->label_insn[insn->imm] >= u->cold_from) {
            known = left_alone(u, l, def->imm) && add_guard(l, (uint32_t)def->imm);
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
    bool given = (insn->op == OP_guard || insn->op == OP_brcond) && insn->flags & IR_LOOP_GIVEN;
    uint8_t effects = ir_op_info[insn->op].effects;
    bool branch = effects == IR_END || insn->op == OP_brcond || insn->op == OP_brjump || insn->op == OP_poll;
    return (effects == IR_MEM && !walks && !given) || (branch && !given);
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
        bool given = insn->op == OP_brcond && insn->flags & IR_LOOP_GIVEN;
        for (unsigned a = 0; a < 4 && insn->arg[a] && !dead && !given; a++)
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
    if (!l->count || !choose_lead(u, l, changes))
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
    unsigned count = 0; /* those before the cold part */
    for (; count < u->back_count && u->backs[count] < u->cold_from; count++)
        back[u->insns[u->backs[count]].imm]++;
    for (unsigned n = 0; n < count && u->loop_count < IR_MAX_LOOPS; n++) {
        unsigned last = u->backs[n], label = (unsigned)u->insns[last].imm, head = u->label_insn[label];
        if (back[label] == 1 && one_segment(u, head, last) && only_accesses(u, head, last))
            find_loop(u, head, last);
    }
}
