/*
 * x86-64 back end: where values are. A one-pass allocator: see regs.h for its invariants.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/x86-64/regs.h"

void alloc_reset(Emit *e)
{
    memset(e->owner, 0, sizeof e->owner);
    memset(e->guest_home, 0, sizeof e->guest_home);
    e->slots = 0;
    e->locked = 0;
}

static bool lives(Emit *e, IrTmp root)
{
    return root && e->values[root].last > e->index;
}
/* Needed by this instruction or later. */
static bool needed(Emit *e, IrTmp root)
{
    return root && e->values[root].last >= e->index;
}

static Mem home_of(const Value *v)
{
    return mem_at(v->home_base, v->home);
}

bool is_imm32(Emit *e, IrType type, IrTmp t, int32_t *imm)
{
    const Value *v = value_of(e, t);
    if (!v->constant)
        return false;
    *imm = v->imm;
    return type == IR_I32 || v->imm == (int32_t)v->imm;
}

/* ---- moves ---- */

static void load_constant(Emit *e, int reg, const Value *v)
{
    asm_mov_imm(&e->a, reg, v->type == IR_I32 ? (uint32_t)v->imm : v->imm);
}

void move_to_gpr(Emit *e, unsigned w, int reg, IrTmp t)
{
    const Value *v = value_of(e, t);
    if (v->reg != NO_REG)
        asm_mov(&e->a, w, reg, v->reg);
    else if (v->constant)
        asm_mov_imm(&e->a, reg, w ? v->imm : (uint32_t)v->imm);
    else
        asm_rm(&e->a, I_MOV_LOAD | w, reg, home_of(v));
}

static void load_xmm(Emit *e, int reg, const Value *v)
{
    asm_rm(&e->a, v->type == IR_F64 ? I_MOVQ_LOAD : I_FMOV_LOAD | P_F3, reg & 15, home_of(v));
}

void move_to_xmm(Emit *e, int reg, IrTmp t)
{
    const Value *v = value_of(e, t);
    if (v->reg == NO_REG)
        load_xmm(e, reg, v);
    else if (v->reg != reg)
        asm_rr(&e->a, I_MOVAPS, reg & 15, v->reg & 15);
}

static void store_register(Emit *e, Mem m, int reg, IrType type)
{
    if (reg >= XMM0)
        asm_rm(&e->a, I_MOVQ_STORE, reg & 15, m);
    else
        asm_rm(&e->a, I_MOV_STORE | width(type), reg, m);
}

/* ---- spilling ---- */

static void drop_home(Emit *e, Value *v)
{
    if (v->in_memory && v->home_base == RSP)
        e->slots &= ~(1ull << ((v->home - FRAME_SPILL) / 8));
    v->in_memory = false;
    v->guest = -1;
}

/* Give a value that is in a register a place in memory too. */
static void give_home(Emit *e, Value *v)
{
    if (v->in_memory || v->constant)
        return;
    if (e->slots == UINT64_MAX) {
        e->failed = true;
        return;
    }
    unsigned slot = __builtin_ctzll(~e->slots);
    e->slots |= 1ull << slot;
    v->in_memory = true;
    v->home_base = RSP;
    v->home = FRAME_SPILL + 8 * slot;
    v->guest = -1;
    /* all 64 bits: a trunc's user may want half of it, an I32 has zeros above */
    store_register(e, home_of(v), v->reg, IR_I64);
}

/* The value in reg must not be looked for there any more. */
static void leave_register(Emit *e, int reg)
{
    Value *v = &e->values[e->owner[reg]];
    give_home(e, v);
    v->reg = NO_REG;
    e->owner[reg] = 0;
}

/* Temporaries that were loaded for one use are cheapest in the order in which fixed uses (memory accesses: rcx and rdx;
 * multiplication and division: rax and rdx) rarely want them. */
static const int8_t gpr_order[] = { RAX, RSI, RDI, RDX, RCX };

static int free_temp(Emit *e, bool xmm)
{
    if (xmm) {
        for (int r = XMM0; r < XMM0 + 8; r++) {
            if (!(e->locked >> r & 1) && !needed(e, e->owner[r]))
                return r;
        }
    } else {
        for (unsigned i = 0; i < G_N_ELEMENTS(gpr_order); i++) {
            int r = gpr_order[i];
            if (!(e->locked >> r & 1) && !needed(e, e->owner[r]))
                return r;
        }
    }
    return NO_REG;
}

/* Free a temporary register by force: best one whose value is elsewhere too, else the one used last. */
static int evict(Emit *e, bool xmm)
{
    uint32_t candidates = (xmm ? XMM_TEMPS : GPR_TEMPS) & ~e->locked;
    int best = NO_REG;
    unsigned best_cost = 0;

    while (candidates) {
        int r = __builtin_ctz(candidates);
        candidates &= candidates - 1;
        const Value *v = &e->values[e->owner[r]];
        unsigned score = v->last + (v->constant || v->in_memory ? 0x10000 : 0);
        if (best == NO_REG || score > best_cost) {
            best = r;
            best_cost = score;
        }
    }
    g_assert(best != NO_REG); /* no op locks all */
    leave_register(e, best);
    return best;
}

static int allocate(Emit *e, bool xmm)
{
    int r = free_temp(e, xmm);
    if (r == NO_REG)
        r = evict(e, xmm);
    e->owner[r] = 0;
    e->locked |= 1u << r;
    return r;
}

int scratch_gpr(Emit *e)
{
    return allocate(e, false);
}
int scratch_xmm(Emit *e)
{
    return allocate(e, true);
}

/* The value in a register that is to be overwritten goes elsewhere: another register that holds it, a free one, or
 * memory. */
static void move_away(Emit *e, int reg)
{
    IrTmp t = e->owner[reg];
    Value *v = &e->values[t];
    bool xmm = reg >= XMM0;

    e->owner[reg] = 0;
    if (v->reg != reg)
        return;
    for (uint32_t pinned = xmm ? XMM_PINNED : GPR_PINNED; pinned; pinned &= pinned - 1) {
        int other = __builtin_ctz(pinned);
        if (e->owner[other] == t && other != reg) {
            v->reg = other;
            return;
        }
    }
    if (v->constant || v->in_memory) {
        v->reg = NO_REG;
        return;
    }
    uint32_t locked = e->locked;
    e->locked |= 1u << reg;
    int other = free_temp(e, xmm);
    e->locked = locked;
    if (other == NO_REG) {
        give_home(e, v);
        v->reg = NO_REG;
        return;
    }
    if (xmm)
        asm_rr(&e->a, I_MOVAPS, other & 15, reg & 15);
    else
        asm_mov(&e->a, W64, other, reg);
    e->owner[other] = t;
    v->reg = other;
}

void reserve_gpr(Emit *e, int reg)
{
    g_assert(!(e->locked >> reg & 1));
    if (needed(e, e->owner[reg]))
        move_away(e, reg);
    e->owner[reg] = 0;
    e->locked |= 1u << reg;
}

void reserve_with(Emit *e, int reg, IrTmp t)
{
    IrTmp root = root_of(e, t);
    if (e->owner[reg] == root && e->values[root].reg == reg) {
        g_assert(!(e->locked >> reg & 1));
        if (lives(e, root))
            move_away(e, reg);
        e->owner[reg] = 0;
        e->locked |= 1u << reg;
        return;
    }
    reserve_gpr(e, reg);
    move_to_gpr(e, W64 & -(e->values[root].type == IR_I64), reg, t);
}

/* ---- operands ---- */

int use_gpr(Emit *e, IrTmp t)
{
    IrTmp root = root_of(e, t);
    Value *v = &e->values[root];
    if (v->reg == NO_REG) {
        int reg = allocate(e, false);
        if (v->constant)
            load_constant(e, reg, v);
        else
            asm_rm(&e->a, I_MOV_LOAD | width(v->type), reg, home_of(v));
        v->reg = reg;
        e->owner[reg] = root;
    }
    e->locked |= 1u << v->reg;
    return v->reg;
}

int use_xmm(Emit *e, IrTmp t)
{
    IrTmp root = root_of(e, t);
    Value *v = &e->values[root];
    if (v->reg == NO_REG) {
        int reg = allocate(e, true);
        load_xmm(e, reg, v);
        v->reg = reg;
        e->owner[reg] = root;
    }
    e->locked |= 1u << v->reg;
    return v->reg;
}

Operand use_operand(Emit *e, IrTmp t)
{
    Value *v = value_of(e, t);
    /* a value that is used again is worth a register now */
    if (v->reg == NO_REG && v->in_memory && v->last <= e->index)
        return (Operand){ .reg = NO_REG, .mem = home_of(v) };
    return (Operand){ .reg = v->type >= IR_F32 ? use_xmm(e, t) : use_gpr(e, t) };
}

/* ---- results ---- */

/*
 * Where the setreg that follows wants t: if nothing between can leave the unit, fault, or read the old value, and no
 * value that lives on is in that register, the op that makes t writes it there.
 */
int alloc_hint(Emit *e, IrTmp t)
{
    const IrUnit *u = e->u;
    unsigned end = MIN(e->index + 8, u->count);

    for (unsigned i = e->index + 1; i < end; i++) {
        const IrInsn *insn = &u->insns[i];
        switch (insn->op) {
        case OP_setreg: {
            int pin = pin_of(&u->regs[insn->imm]);
            if (insn->arg[0] != t || pin == NO_REG)
                continue;
            if (lives(e, e->owner[pin]) && e->values[e->owner[pin]].reg == pin)
                return NO_REG;
            for (unsigned k = e->index + 1; k < i; k++) {
                if (u->insns[k].op == OP_getreg && u->insns[k].imm == insn->imm)
                    return NO_REG;
            }
            return pin;
        }
        case OP_ld:
        case OP_st:
        case OP_amo:
        case OP_cas:
        case OP_label:
        case OP_br:
        case OP_brcond:
        case OP_brjump:
        case OP_poll:
        case OP_jump:
        case OP_jump_ind:
        case OP_lookup:
        case OP_exit:
        case OP_call:
            return NO_REG;
        default:
            continue;
        }
    }
    return NO_REG;
}

static int result(Emit *e, IrTmp t, IrTmp dying, bool xmm)
{
    int hint = alloc_hint(e, t);
    if (hint != NO_REG) {
        e->locked |= 1u << hint;
        return hint;
    }
    if (dying) {
        const Value *v = value_of(e, dying);
        if (v->reg != NO_REG && (TEMPS >> v->reg & 1) && v->last <= e->index)
            return v->reg;
    }
    return allocate(e, xmm);
}

int result_gpr(Emit *e, IrTmp t, IrTmp dying)
{
    return result(e, t, dying, false);
}
int result_xmm(Emit *e, IrTmp t, IrTmp dying)
{
    return result(e, t, dying, true);
}

static Value *new_value(Emit *e, IrTmp t, IrType type)
{
    Value *v = &e->values[t];
    *v = (Value){ .reg = NO_REG, .type = type, .guest = -1, .last = e->u->tmps[t].last_use };
    return v;
}

void bind(Emit *e, IrTmp t, IrType type, int reg)
{
    if (!t)
        return;
    IrTmp old = e->owner[reg];
    if (old && e->values[old].reg == reg)
        e->values[old].reg = NO_REG; /* it died here */
    new_value(e, t, type)->reg = reg;
    e->owner[reg] = t;
}

void value_constant(Emit *e, IrTmp t, IrType type, int64_t imm)
{
    Value *v = new_value(e, t, type);
    v->constant = true;
    v->imm = type == IR_I32 ? (int32_t)imm : imm;
}

void value_alias(Emit *e, IrTmp t, IrTmp of)
{
    IrTmp root = root_of(e, of);
    Value *v = &e->values[t];
    *v = (Value){ .reg = NO_REG, .guest = -1, .alias = root };
    if (e->u->tmps[t].last_use > e->values[root].last)
        e->values[root].last = e->u->tmps[t].last_use;
}

/* ---- guest registers ---- */

void value_in_place(Emit *e, IrTmp t, unsigned guest)
{
    const GuestReg *reg = &e->u->regs[guest];
    Value *v = new_value(e, t, reg->type);
    v->in_memory = true;
    v->home_base = RBP;
    v->home = (int32_t)reg->offset - CPU_BIAS;
    v->guest = guest;
    e->guest_home[guest] = t;
}

void value_getreg(Emit *e, IrTmp t, unsigned guest)
{
    const GuestReg *reg = &e->u->regs[guest];
    int pin = pin_of(reg);
    IrTmp now = pin == NO_REG ? e->guest_home[guest] : e->owner[pin];

    if (now && needed(e, now)) {
        value_alias(e, t, now);
        return;
    }
    if (pin == NO_REG) {
        value_in_place(e, t, guest);
        return;
    }
    new_value(e, t, reg->type)->reg = pin;
    e->owner[pin] = t;
}

static void setreg_pinned(Emit *e, const GuestReg *reg, int pin, IrTmp t)
{
    IrTmp root = root_of(e, t);
    Value *v = &e->values[root];

    if (e->owner[pin] == root)
        return;
    e->locked |= 1u << pin;
    if (lives(e, e->owner[pin]))
        move_away(e, pin);
    if (pin >= XMM0)
        move_to_xmm(e, pin, t);
    else if (v->constant && !v->imm && v->reg == NO_REG)
        asm_zero(&e->a, pin);
    else if (reg->type == IR_I32 && v->reg == pin)
        asm_rr(&e->a, I_MOV_LOAD, pin, pin);
    else
        move_to_gpr(e, width(reg->type), pin, t);
    e->owner[pin] = root;
    /* An I64 of which the register took the low half (trunc) stays where it is. */
    if (reg->type == IR_I32 && v->type == IR_I64) {
        e->owner[pin] = 0;
        return;
    }
    if (v->reg != NO_REG && (TEMPS >> v->reg & 1))
        e->owner[v->reg] = 0;
    else if (v->reg != NO_REG)
        return;
    v->reg = pin;
}

void value_setreg(Emit *e, unsigned guest, IrTmp t)
{
    const GuestReg *reg = &e->u->regs[guest];
    int pin = pin_of(reg);
    if (pin != NO_REG) {
        setreg_pinned(e, reg, pin, t);
        return;
    }
    IrTmp root = root_of(e, t), old = e->guest_home[guest];
    Mem place = state_at(reg->offset);
    if (old == root)
        return; /* it is what the register holds */
    if (old && lives(e, old) && e->values[old].guest == (int)guest) {
        Value *v = &e->values[old];
        if (v->reg == NO_REG) {
            if (v->type >= IR_F32)
                use_xmm(e, old);
            else
                use_gpr(e, old);
        }
        drop_home(e, v);
    }
    e->guest_home[guest] = 0;
    int32_t imm;
    if (is_imm32(e, reg->type, t, &imm) && value_of(e, t)->reg == NO_REG) {
        asm_rm_imm(&e->a, 0xc7 | width(reg->type), 0, place, 4);
        asm_u32(&e->a, imm);
        return;
    }
    int r = reg->type == IR_F64 ? use_xmm(e, t) : use_gpr(e, t);
    store_register(e, place, r, reg->type);
    Value *v = &e->values[root];
    if (v->type == reg->type && !v->in_memory && !v->constant) {
        v->in_memory = true;
        v->home_base = RBP;
        v->home = place.disp;
        v->guest = guest;
        e->guest_home[guest] = root;
    }
}

/* ---- calls and the end of an instruction ---- */

bool xmm_live(Emit *e)
{
    for (int r = XMM0; r < XMM0 + 8; r++) {
        if (needed(e, e->owner[r]))
            return true;
    }
    return false;
}

void spill_for_call(Emit *e, bool writes_guest)
{
    for (int r = 0; r < HOST_REGS; r++) {
        Value *v = &e->values[e->owner[r]];
        if (!lives(e, e->owner[r]) || v->reg != r)
            continue;
        if (writes_guest && v->in_memory && v->guest >= 0)
            drop_home(e, v);
        if ((TEMPS >> r & 1) || writes_guest)
            give_home(e, v);
    }
    if (!writes_guest)
        return;
    for (unsigned g = 0; g < e->u->reg_count; g++) {
        IrTmp t = e->guest_home[g];
        Value *v = &e->values[t];
        if (lives(e, t) && v->guest == (int)g) {
            int reg = v->type >= IR_F32 ? use_xmm(e, t) : use_gpr(e, t);
            e->locked &= ~(1u << reg);
            drop_home(e, v);
            give_home(e, v);
        }
        e->guest_home[g] = 0;
    }
}

void forget_temps(Emit *e)
{
    for (uint32_t temps = TEMPS; temps; temps &= temps - 1) {
        int r = __builtin_ctz(temps);
        if (e->owner[r] && e->values[e->owner[r]].reg == r)
            e->values[e->owner[r]].reg = NO_REG;
        e->owner[r] = 0;
    }
}

void forget_pinned(Emit *e)
{
    for (uint32_t pinned = GPR_PINNED | XMM_PINNED; pinned; pinned &= pinned - 1) {
        int r = __builtin_ctz(pinned);
        if (e->owner[r] && e->values[e->owner[r]].reg == r)
            e->values[e->owner[r]].reg = NO_REG;
        e->owner[r] = 0;
    }
}

static void release(Emit *e, IrTmp t)
{
    IrTmp root = root_of(e, t);
    Value *v = &e->values[root];
    if (v->last > e->index)
        return;
    if (v->reg != NO_REG && e->owner[v->reg] == root)
        e->owner[v->reg] = 0;
    v->reg = NO_REG;
    drop_home(e, v);
}

void alloc_end(Emit *e, const IrInsn *insn)
{
    e->locked = 0;
    for (unsigned k = 0; k < 4; k++) {
        if (insn->arg[k])
            release(e, insn->arg[k]);
    }
    if (insn->dst)
        release(e, insn->dst);
}
