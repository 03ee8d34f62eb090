/*
 * x86-64 back end: writes of guest registers that wait (tcg/defer.c). The value stays where its temporary is, which the
 * allocator keeps beyond its last use as long as nothing else wants the place; then it is stored after all.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/x86-64/regs.h"

static bool wide_guest(const Emit *e, unsigned guest)
{
    return wide_type(e->u->regs[guest].type);
}

/* push, pop [m]: through no register */
static void move_memory(Asm *a, Mem to, Mem from)
{
    op_rm(a, 0xff, 6, from, false);
    op_rm(a, 0x8f, 0, to, false);
}

static void store_constant(Emit *e, Mem m, int64_t value, bool wide)
{
    if (!wide || value == (int32_t)value) {
        mov_mem_imm(&e->a, m, (int32_t)value, wide);
        return;
    }
    mov_mem_imm(&e->a, m, (int32_t)value, false);
    m.disp += 4;
    mov_mem_imm(&e->a, m, (int32_t)(value >> 32), false);
}

/* scratch: a register to extend the value in, so that it is stored in one piece, as it may be loaded soon; or NO_REG */
static void store_from(Emit *e, const Deferred *d, Place p, int scratch)
{
    Asm *a = &e->a;
    Mem m = guest_mem(e, d->guest), high = m;
    high.disp += 4;
    if (p.where == AT_CONST) {
        int64_t value = e->u->tmps[d->t].value;
        store_constant(e, m, d->low ? (int64_t)(uint32_t)value : value, wide_guest(e, d->guest));
        return;
    }
    if (d->low && p.where != AT_STATE && scratch != NO_REG) {
        mov_rr(a, scratch, p.reg, false);
        mov_store(a, m, scratch, true);
        return;
    }
    if (p.where == AT_STATE)
        move_memory(a, m, guest_mem(e, p.slot));
    else
        mov_store(a, m, p.reg, wide_guest(e, d->guest) && !d->low);
    if (d->low)
        mov_mem_imm(a, high, 0, false);
}

int free_register(const Emit *e)
{
    static const uint8_t temps[] = { RAX, RCX, RDX, RSI, RDI };
    for (unsigned i = 0; i < sizeof(temps); i++) {
        const HostReg *h = &e->host[temps[i]];
        if (!((e->busy | e->reserved) >> temps[i] & 1) && !h->tmp && h->guest < 0 && !h->group)
            return temps[i];
    }
    return NO_REG;
}

bool is_deferred(const Emit *e, IrTmp t)
{
    for (unsigned i = 0; e->any_deferred && i < IR_MAX_DEFERRED; i++)
        if (e->deferred[i].t == t)
            return t != 0;
    return false;
}

/* The state has it, or nobody wants it. */
static void drop(Emit *e, Deferred *d)
{
    IrTmp t = d->t;
    d->t = 0;
    if (t && e->u->tmps[t].last_use < e->index && !is_deferred(e, t))
        free_place(e, t);
}

static void store_one(Emit *e, Deferred *d)
{
    store_from(e, d, e->place[d->t], free_register(e));
    drop(e, d);
}

void store_deferred(Emit *e, unsigned mask)
{
    for (unsigned i = 0; e->any_deferred && i < IR_MAX_DEFERRED; i++)
        if (e->deferred[i].t && mask >> i & 1)
            store_one(e, &e->deferred[i]);
}

void settle_deferred(Emit *e, unsigned dead)
{
    store_deferred(e, ~dead);
    for (unsigned i = 0; e->any_deferred && i < IR_MAX_DEFERRED; i++)
        drop(e, &e->deferred[i]);
    e->any_deferred = false;
}

unsigned deferred_mask(const Emit *e, unsigned dead)
{
    unsigned mask = 0;
    for (unsigned i = 0; e->any_deferred && i < IR_MAX_DEFERRED; i++)
        mask |= e->deferred[i].t ? 1u << i : 0;
    return mask & ~dead;
}

void store_deferred_tmp(Emit *e, IrTmp t)
{
    for (unsigned i = 0; i < IR_MAX_DEFERRED; i++)
        if (e->deferred[i].t == t)
            store_one(e, &e->deferred[i]);
}

void store_deferred_state(Emit *e, unsigned guest)
{
    for (unsigned i = 0; e->any_deferred && i < IR_MAX_DEFERRED; i++) {
        const Place *p = &e->place[e->deferred[i].t];
        if (e->deferred[i].t && p->where == AT_STATE && p->slot == guest)
            store_one(e, &e->deferred[i]);
    }
}

bool defer_write(Emit *e, const IrInsn *insn)
{
    unsigned guest = (unsigned)insn->imm, number = e->u->regs[guest].deferred;
    IrTmp t = insn->arg[0];
    if (!number || !e->u->defers)
        return false;
    Deferred *d = &e->deferred[number - 1];
    drop(e, d);
    store_deferred_state(e, guest);
    forget_cached(e, guest);
    save_state_aliases(e, guest);
    forget_cached(e, guest);
    bool in_state = e->place[t].where == AT_STATE;
    if (e->place[t].where == AT_SPILL || (in_state && (!wide_guest(e, guest) || e->u->regs[e->place[t].slot].deferred)))
        use_reg(e, t);
    *d = (Deferred){ .t = t, .guest = (uint8_t)guest, .low = insn->flags & IR_SET_LOW };
    e->any_deferred = true;
    return true;
}

void note_deferred(Emit *e, ColdStub *s)
{
    for (unsigned i = 0; e->any_deferred && i < IR_MAX_DEFERRED; i++) {
        s->deferred[i] = e->deferred[i];
        s->deferred[i].place = e->place[e->deferred[i].t];
    }
}

/* A temporary register that none of the values is in. */
static int unused_register(const ColdStub *s)
{
    static const uint8_t temps[IR_MAX_DEFERRED + 1] = { RAX, RCX, RDX, RSI };
    unsigned used = 0;
    for (unsigned i = 0; i < IR_MAX_DEFERRED; i++)
        if (s->deferred[i].t && s->deferred[i].place.reg != NO_REG)
            used |= 1u << s->deferred[i].place.reg;
    for (unsigned i = 0; i < sizeof(temps); i++)
        if (!(used >> temps[i] & 1))
            return temps[i];
    return NO_REG;
}

void put_deferred(Emit *e, const ColdStub *s, bool segment_ends)
{
    int scratch = segment_ends ? unused_register(s) : NO_REG;
    for (unsigned i = 0; i < IR_MAX_DEFERRED; i++)
        if (s->deferred[i].t)
            store_from(e, &s->deferred[i], s->deferred[i].place, scratch);
}
