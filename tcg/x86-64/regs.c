/*
 * The one-pass register allocator (see regs.h). Places of temporaries change only here.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/x86-64/regs.h"

const uint8_t pinned_int[PINNED_INT] = { RBX, R8, R9, R10, R11, R12, R13, R14 };
static const uint8_t temps_int[] = { RAX, RCX, RDX, RSI, RDI };

int pinned_host(const GuestReg *reg)
{
    if (!reg->pin)
        return NO_REG;
    return reg->type == IR_F64 || reg->type == IR_V256 ? XMM0 + 7 + reg->pin : pinned_int[reg->pin - 1];
}

void regs_begin_unit(Emit *e)
{
    if (e->pins_of == e->u->regs)
        return;
    e->pins_of = e->u->regs;
    for (unsigned i = 0; i < e->u->reg_count; i++)
        e->pins[i] = (int8_t)pinned_host(&e->u->regs[i]);
}

void regs_begin_segment(Emit *e)
{
    static const HostReg nothing[HOST_REGS] = { [0 ... HOST_REGS - 1] = { 0, -1, 0 } };
    memcpy(e->host, nothing, sizeof(nothing));
    memset(e->pin_tmp, 0, sizeof(e->pin_tmp));
    memset(e->guest_host, NO_REG, sizeof(e->guest_host));
    memset(e->in_state, 0, sizeof(e->in_state));
    memset(e->group_host, NO_REG, e->u->group_count);
    e->spill_used[0] = e->spill_used[1] = 0;
    e->vectors_used = 0;
    e->unchecked = 0;
    memset(e->aligned, 0, sizeof(e->aligned));
    memset(e->deferred, 0, sizeof(e->deferred));
    e->any_deferred = false;
}

static void forget_guest(Emit *e, int reg)
{
    if (e->host[reg].guest >= 0)
        e->guest_host[e->host[reg].guest] = NO_REG;
    e->host[reg].guest = -1;
}

void regs_forget_guests(Emit *e)
{
    for (int r = 0; r < HOST_REGS; r++)
        forget_guest(e, r);
}

static void remember_guest(Emit *e, int reg, int guest)
{
    if (e->guest_host[guest] != NO_REG)
        e->host[e->guest_host[guest]].guest = -1;
    forget_guest(e, reg);
    e->host[reg].guest = guest;
    e->guest_host[guest] = reg;
}

static unsigned type_of(const Emit *e, IrTmp t)
{
    return e->u->tmps[t].type;
}

static Mem spill_mem(unsigned slot, unsigned type)
{
    return ir_is_vector(type) ? mem(RSP, FRAME_VECTORS + slot * 32) : mem(RSP, FRAME_SPILL + slot * 8);
}

/* xmm moves: movsd/movss loads and stores, movaps between registers */
static void load_place(Emit *e, int reg, Mem m, unsigned type)
{
    if (!is_xmm(reg)) {
        mov_load(&e->a, reg, m, wide_type(type));
        return;
    }
    e->unchecked &= ~(1u << reg);
    if (ir_is_vector(type))
        vec_rm(&e->a, VEX_0F | VEX_F3 | 0x6f, type == IR_V256, reg - XMM0, 0, m); /* vmovdqu */
    else
        op_rm(&e->a, (type == IR_F32 ? P_F3 : P_F2) | P_0F | 0x10, reg - XMM0, m, false);
}
static void store_place(Emit *e, Mem m, int reg, unsigned type)
{
    if (!is_xmm(reg)) {
        mov_store(&e->a, m, reg, wide_type(type));
        return;
    }
    check_later_nan(e, reg);
    if (ir_is_vector(type))
        vec_rm(&e->a, VEX_0F | VEX_F3 | 0x7f, type == IR_V256, reg - XMM0, 0, m);
    else
        op_rm(&e->a, (type == IR_F32 ? P_F3 : P_F2) | P_0F | 0x11, reg - XMM0, m, false);
}
static void move_regs(Emit *e, int dst, int src, unsigned type)
{
    if (dst == src)
        return;
    if (!is_xmm(dst)) {
        mov_rr(&e->a, dst, src, wide_type(type));
        return;
    }
    e->unchecked = (e->unchecked & ~(1u << dst)) | (e->unchecked >> src & 1) << dst;
    if (ir_is_vector(type))
        vec_rr(&e->a, VEX_0F | VEX_66 | 0x6f, type == IR_V256, dst - XMM0, 0, src - XMM0);
    else
        op_rr(&e->a, P_0F | 0x28, dst - XMM0, src - XMM0, false);
}

Mem guest_mem(const Emit *e, unsigned guest)
{
    return state_mem(e->u->regs[guest].offset);
}

static void spill_vector(Emit *e, IrTmp t, int reg)
{
    int slot = ~e->vectors_used ? __builtin_ctz(~e->vectors_used) : VECTOR_SLOTS;
    if (slot >= VECTOR_SLOTS) {
        e->failed = true;
        return;
    }
    e->vectors_used |= 1u << slot;
    store_place(e, spill_mem(slot, type_of(e, t)), reg, type_of(e, t));
    e->place[t] = (Place){ AT_SPILL, NO_REG, slot };
}

static void free_slot(Emit *e, IrTmp t)
{
    unsigned slot = e->place[t].slot;
    if (ir_is_vector(type_of(e, t)))
        e->vectors_used &= ~(1u << slot);
    else
        e->spill_used[slot >> 6] &= ~(1ull << (slot & 63));
}

/* t, which is in reg, lives in a spill slot from now on. */
static void spill(Emit *e, IrTmp t, int reg)
{
    if (ir_is_vector(type_of(e, t))) {
        spill_vector(e, t, reg);
        return;
    }
    int word = ~e->spill_used[0] ? 0 : 1;
    if (!~e->spill_used[word] || (word && __builtin_ctzll(~e->spill_used[1]) >= SPILL_SLOTS - 64)) {
        e->failed = true;
        return;
    }
    int slot = __builtin_ctzll(~e->spill_used[word]);
    e->spill_used[word] |= 1ull << slot;
    slot += word * 64;
    store_place(e, spill_mem(slot, type_of(e, t)), reg, type_of(e, t));
    e->place[t] = (Place){ AT_SPILL, NO_REG, slot };
}

static void forget_group(Emit *e, int reg)
{
    e->group_host[e->host[reg].group] = NO_REG;
    e->host[reg].group = 0;
}

int group_addend(Emit *e, const IrInsn *insn)
{
    int reg = insn->group ? e->group_host[insn->group] : NO_REG;
    if (reg != NO_REG)
        e->busy |= 1u << reg;
    return reg;
}

void keep_addend(Emit *e, unsigned group, int reg)
{
    e->host[reg].group = group;
    e->group_host[group] = reg;
}

void evict(Emit *e, int reg)
{
    if (e->host[reg].group)
        forget_group(e, reg);
    IrTmp t = e->host[reg].tmp;
    int guest = e->host[reg].guest;
    if (t && is_deferred(e, t)) {
        store_deferred_tmp(e, t);
        t = e->host[reg].tmp;
    }
    if (t && e->u->tmps[t].last_use < e->index) {
        e->place[t].where = AT_NOWHERE;
        e->host[reg].tmp = 0;
    } else if (t) {
        if (guest >= 0 && type_of(e, t) == e->u->regs[guest].type) { /* the state has it too */
            e->place[t] = (Place){ AT_STATE, NO_REG, guest };
            e->in_state[guest]++;
        } else {
            spill(e, t, reg);
        }
        e->host[reg].tmp = 0;
    }
    e->unchecked &= ~(1u << reg); /* spilled or dead */
    forget_guest(e, reg);
}

/* More than any other score: nothing is lost. */
#define FREE 20000

/* Nothing is in the register, nor known of it. */
static inline bool is_blank(const HostReg *h)
{
    static const HostReg blank = { 0, -1, 0, 0 };
    return !memcmp(h, &blank, sizeof(blank));
}

static int evict_least(Emit *e, bool xmm);

/* A temporary register: free if there is one, else the least useful. */
static inline int take_register(Emit *e, bool xmm)
{
    unsigned n = xmm ? 8 : sizeof(temps_int), k = ++e->clock % n;
    uint32_t taken = e->busy | e->reserved;
    for (unsigned i = 0; i < n; i++, k = k + 1 == n ? 0 : k + 1) {
        int reg = xmm ? XMM0 + (int)k : temps_int[k];
        if (!(taken >> reg & 1) && is_blank(&e->host[reg])) {
            e->unchecked &= ~(1u << reg);
            e->busy |= 1u << reg;
            return reg;
        }
    }
    return evict_least(e, xmm);
}

static int evict_least(Emit *e, bool xmm)
{
    unsigned n = xmm ? 8 : sizeof(temps_int);
    int best = NO_REG;
    unsigned best_score = 0;
    for (unsigned i = 0, k = e->clock % n; i < n; i++, k = k + 1 == n ? 0 : k + 1) {
        int reg = xmm ? XMM0 + (int)k : temps_int[k];
        if ((e->busy | e->reserved) >> reg & 1)
            continue;
        const HostReg *h = &e->host[reg];
        unsigned score;
        if (h->group) /* to look up again is dearer than to spill and load */
            score = e->u->groups[h->group].last <= e->index ? FREE : 1 + (e->u->groups[h->group].last - e->index) / 2;
        else if (!h->tmp)
            score = h->guest < 0 ? FREE : FREE / 2;
        else if (e->u->tmps[h->tmp].last_use < e->index) /* deferred: to be stored, but not loaded again */
            score = FREE / 4;
        else
            score = 1 + e->u->tmps[h->tmp].last_use - e->index + (h->guest >= 0 ? 50 : 0);
        if (score > best_score) {
            best_score = score;
            best = reg;
            if (score == FREE)
                break;
        }
    }
    if (best == NO_REG) {
        e->failed = true;
        return xmm ? XMM0 : RAX;
    }
    evict(e, best);
    e->busy |= 1u << best;
    return best;
}

int scratch_int(Emit *e)
{
    return take_register(e, false);
}
int scratch_xmm(Emit *e)
{
    return take_register(e, true);
}

/* Put t's value, wherever it is, in reg. */
void move_place(Emit *e, int reg, IrTmp t)
{
    const Place *p = &e->place[t];
    unsigned type = type_of(e, t);
    switch (p->where) {
    case AT_CONST:
        if (e->u->tmps[t].value)
            mov_imm(&e->a, reg, type == IR_I32 ? (int64_t)(uint32_t)e->u->tmps[t].value : e->u->tmps[t].value);
        else
            mov_imm(&e->a, reg, 0);
        break;
    case AT_STATE:
        load_place(e, reg, guest_mem(e, p->slot), type);
        break;
    case AT_SPILL:
        load_place(e, reg, spill_mem(p->slot, type), type);
        break;
    default:
        move_regs(e, reg, p->reg, type);
    }
}

int load_tmp(Emit *e, IrTmp t)
{
    Place *p = &e->place[t];
    if (p->where == AT_STATE && e->guest_host[p->slot] != NO_REG && !e->host[e->guest_host[p->slot]].tmp) {
        int reg = e->guest_host[p->slot]; /* loaded for another temporary, which is gone */
        e->in_state[p->slot]--;
        e->host[reg].tmp = t;
        *p = (Place){ AT_REG, reg, 0 };
        e->busy |= 1u << reg;
        return reg;
    }
    int reg = take_register(e, xmm_type(type_of(e, t)));
    move_place(e, reg, t);
    if (p->where == AT_CONST)
        return reg;
    int guest = p->where == AT_STATE ? p->slot : -1;
    if (p->where == AT_SPILL)
        free_slot(e, t);
    if (guest >= 0)
        e->in_state[guest]--;
    e->host[reg].tmp = t;
    *p = (Place){ AT_REG, reg, 0 };
    if (guest >= 0)
        remember_guest(e, reg, guest);
    return reg;
}

int use_reg_or_mem(Emit *e, IrTmp t, Mem *m)
{
    const Place *p = &e->place[t];
    if (p->where == AT_SPILL) {
        *m = spill_mem(p->slot, type_of(e, t));
        return NO_REG;
    }
    /* used once more than here: worth a register */
    if (p->where == AT_STATE && e->u->tmps[t].last_use == e->index && e->guest_host[p->slot] == NO_REG) {
        *m = guest_mem(e, p->slot);
        return NO_REG;
    }
    return use_reg(e, t);
}

bool is_imm32(const Emit *e, IrTmp t, int32_t *v)
{
    if (!e->u->tmps[t].constant)
        return false;
    int64_t value = e->u->tmps[t].value;
    *v = value;
    return value == (int32_t)value;
}

void load_into(Emit *e, IrTmp t, int reg)
{
    if (e->place[t].where == AT_REG && e->place[t].reg == reg && e->u->tmps[t].last_use == e->index) {
        if (is_deferred(e, t))
            store_deferred_tmp(e, t);
        e->host[reg].tmp = 0; /* its last use: it may be overwritten */
        e->place[t].where = AT_NOWHERE;
        forget_guest(e, reg);
        e->busy |= 1u << reg;
        return;
    }
    if (e->place[t].where == AT_REG && e->place[t].reg == reg) { /* it lives on: elsewhere */
        e->busy |= 1u << reg;
        int other = take_register(e, is_xmm(reg));
        move_regs(e, other, reg, type_of(e, t));
        int guest = e->host[reg].guest;
        e->host[reg].tmp = 0;
        forget_guest(e, reg);
        e->host[other].tmp = t;
        e->place[t].reg = other;
        if (guest >= 0)
            remember_guest(e, other, guest);
        return;
    }
    evict(e, reg);
    e->busy |= 1u << reg;
    move_place(e, reg, t);
}

/* Can the instruction at e->index write straight into the pinned register that a setreg of its result is to set? */
static int hinted_pin(const Emit *e, IrTmp dst, uint32_t must_not)
{
    const IrUnit *u = e->u;
    unsigned i = e->index + 1;
    while (i < u->count && (u->insns[i].op == OP_nop || u->insns[i].op == OP_const))
        i++;
    if (i >= u->count)
        return NO_REG;
    const IrInsn *next = &u->insns[i];
    if (next->op != OP_setreg || next->arg[0] != dst)
        return NO_REG;
    int pin = e->pins[next->imm];
    if (pin == NO_REG || (must_not >> pin & 1))
        return NO_REG;
    IrTmp alias = e->pin_tmp[pin];
    return !alias || u->tmps[alias].last_use <= e->index ? pin : NO_REG;
}

/* A pinned register is about to be written: the deferred value in it goes elsewhere. */
static void leave_pin(Emit *e, int pin)
{
    IrTmp t = e->pin_tmp[pin];
    if (!t || !is_deferred(e, t))
        return;
    int reg = is_xmm(pin) ? NO_REG : free_register(e);
    if (reg == NO_REG) {
        store_deferred_tmp(e, t);
        return;
    }
    move_regs(e, reg, pin, type_of(e, t));
    e->pin_tmp[pin] = 0;
    e->host[reg].tmp = t;
    e->place[t] = (Place){ AT_REG, reg, 0 };
}

/* Was it the last use of an operand? Then its register can have the result, unless a deferred value would have to be
 * stored for that. */
static bool may_overwrite(Emit *e, IrTmp t, uint32_t must_not)
{
    const Place *p = &e->place[t];
    if (!t || p->where != AT_REG || e->u->tmps[t].last_use != e->index || must_not >> p->reg & 1)
        return false;
    if (!is_deferred(e, t))
        return true;
    if (free_register(e) != NO_REG)
        return false;
    store_deferred_tmp(e, t);
    return true;
}

int def_reg(Emit *e, IrTmp dst, uint32_t must_not)
{
    int pin = hinted_pin(e, dst, must_not);
    if (pin != NO_REG) {
        leave_pin(e, pin);
        return pin;
    }
    const IrInsn *insn = &e->u->insns[e->index];
    for (unsigned k = 0; k < 2; k++) { /* the place of an operand that dies here */
        IrTmp t = insn->arg[k];
        Place *p = &e->place[t];
        if (p->where == AT_REG && is_xmm(p->reg) == xmm_type(type_of(e, dst)) && may_overwrite(e, t, must_not)) {
            int reg = p->reg;
            e->host[reg].tmp = 0;
            forget_guest(e, reg);
            p->where = AT_NOWHERE;
            return reg;
        }
    }
    return take_register(e, xmm_type(type_of(e, dst)));
}

static bool is_pin(int reg)
{
    return is_xmm(reg) ? reg >= XMM0 + 8 : reg == RBX || reg >= R8;
}

void def_done(Emit *e, IrTmp dst, int reg)
{
    e->unchecked &= ~(1u << reg);
    if (is_pin(reg)) {
        IrTmp old = e->pin_tmp[reg];
        if (old && old != dst)
            e->place[old].where = AT_NOWHERE;
        e->pin_tmp[reg] = dst;
        e->place[dst] = (Place){ AT_PIN, reg, 0 };
    } else {
        e->host[reg].tmp = dst;
        e->place[dst] = (Place){ AT_REG, reg, 0 };
    }
    if (!e->u->tmps[dst].uses) { /* a load whose result nobody wants */
        e->place[dst].where = AT_NOWHERE;
        if (is_pin(reg))
            e->pin_tmp[reg] = 0;
        else
            e->host[reg].tmp = 0;
    }
}

/* t is dead. */
void free_place(Emit *e, IrTmp t)
{
    Place *p = &e->place[t];
    if (p->where == AT_CONST)
        return;
    if (p->where == AT_REG && e->host[p->reg].tmp == t) {
        e->host[p->reg].tmp = 0;
        e->unchecked &= ~(1u << p->reg);
    } else if (p->where == AT_PIN && e->pin_tmp[p->reg] == t) {
        e->pin_tmp[p->reg] = 0;
    } else if (p->where == AT_SPILL) {
        free_slot(e, t);
    } else if (p->where == AT_STATE) {
        e->in_state[p->slot]--;
    }
    p->where = AT_NOWHERE;
}

void emit_getreg(Emit *e, const IrInsn *insn)
{
    unsigned guest = insn->imm;
    int pin = e->pins[guest];
    e->vectors |= ir_is_vector(insn->type);
    if (e->u->regs[guest].deferred)
        store_deferred(e, 1u << (e->u->regs[guest].deferred - 1));
    if (pin == NO_REG) {
        e->place[insn->dst] = (Place){ AT_STATE, NO_REG, guest };
        e->in_state[guest]++;
    } else if (e->pin_tmp[pin]) { /* another temporary stands for it: copy */
        int reg = take_register(e, is_xmm(pin));
        move_regs(e, reg, pin, insn->type);
        def_done(e, insn->dst, reg);
    } else {
        e->pin_tmp[pin] = insn->dst;
        e->place[insn->dst] = (Place){ AT_PIN, pin, 0 };
    }
}

/* Temporaries that stand for the old value of an unpinned guest register move to registers. */
void save_state_aliases(Emit *e, unsigned guest)
{
    if (!e->in_state[guest])
        return;
    /* builders keep one temporary per register value, so a short look back finds it */
    const IrUnit *u = e->u;
    for (unsigned i = e->index; i-- && u->insns[i].op != OP_label;) {
        const IrInsn *insn = &u->insns[i];
        IrTmp t = insn->op == OP_getreg ? insn->dst : 0;
        if (t && insn->imm == guest && e->place[t].where == AT_STATE && u->tmps[t].last_use > e->index)
            use_reg(e, t);
        else if (insn->op == OP_setreg && insn->imm == guest && e->place[insn->arg[0]].where == AT_STATE &&
                 e->place[insn->arg[0]].slot == guest && u->tmps[insn->arg[0]].last_use > e->index)
            use_reg(e, insn->arg[0]);
    }
}

static void set_pinned(Emit *e, const IrInsn *insn, int pin)
{
    IrTmp t = insn->arg[0], old = e->pin_tmp[pin];
    Place *p = &e->place[t];
    if (p->where == AT_PIN && p->reg == pin)
        return;
    if (old && e->u->tmps[old].last_use >= e->index && old != t) { /* the old value lives on */
        int reg = take_register(e, is_xmm(pin));
        move_regs(e, reg, pin, type_of(e, old));
        e->host[reg].tmp = old;
        e->place[old] = (Place){ AT_REG, reg, 0 };
    } else if (old != t) {
        leave_pin(e, pin);
    }
    e->pin_tmp[pin] = 0;
    if (p->where == AT_CONST && !e->u->tmps[t].value)
        alu_rr(&e->a, ALU_XOR, pin, pin, false);
    else
        move_place(e, pin, t);
    if (p->where == AT_REG) { /* from now on the pinned register stands for it */
        e->host[p->reg].tmp = 0;
        e->unchecked &= ~(1u << p->reg);
        *p = (Place){ AT_PIN, pin, 0 };
        e->pin_tmp[pin] = t;
    }
}

void forget_cached(Emit *e, unsigned guest)
{
    if (e->guest_host[guest] != NO_REG)
        forget_guest(e, e->guest_host[guest]);
}

void emit_setreg(Emit *e, const IrInsn *insn)
{
    unsigned guest = insn->imm;
    IrTmp t = insn->arg[0];
    int pin = e->pins[guest];
    if (pin != NO_REG) {
        set_pinned(e, insn, pin);
        return;
    }
    if (defer_write(e, insn))
        return;
    store_deferred_state(e, guest);
    Mem m = guest_mem(e, guest);
    int32_t imm = 0;
    bool is_imm = is_imm32(e, t, &imm);
    int reg = is_imm ? NO_REG : use_reg(e, t);
    /* From here on an eviction must not rely on the state's old value: forget it before others are loaded, and after.
     */
    forget_cached(e, guest);
    save_state_aliases(e, guest);
    forget_cached(e, guest);
    if (is_imm) {
        mov_mem_imm(&e->a, m, imm, wide_type(insn->type));
        return;
    }
    store_place(e, m, reg, insn->type);
    if (!is_pin(reg) && e->place[t].where == AT_REG && e->host[reg].guest < 0)
        remember_guest(e, reg, guest);
}

/* Temporaries of this segment that are only in guest registers, and live on past the instruction. */
static void spill_guests(Emit *e)
{
    const IrUnit *u = e->u;
    for (int r = 0; r < HOST_REGS; r++) {
        IrTmp t = e->pin_tmp[r];
        if (t && u->tmps[t].last_use > e->index)
            spill(e, t, r);
        if (!t || u->tmps[t].last_use > e->index)
            e->pin_tmp[r] = 0;
    }
    for (unsigned i = e->index; i-- && u->insns[i].op != OP_label;) {
        IrTmp t = u->insns[i].dst;
        if (!t || e->place[t].where != AT_STATE || u->tmps[t].last_use <= e->index)
            continue;
        int reg = xmm_type(type_of(e, t)) ? XMM0 : RAX;
        move_place(e, reg, t);
        e->in_state[e->place[t].slot]--;
        spill(e, t, reg);
    }
}

void spill_all(Emit *e, bool guests_change)
{
    for (unsigned i = 0; i < sizeof(temps_int); i++)
        evict(e, temps_int[i]);
    for (int r = XMM0; r < XMM0 + 8; r++)
        evict(e, r);
    if (guests_change)
        spill_guests(e);
}

ColdStub *new_stub(Emit *e, int kind)
{
    if (e->stub_count == MAX_STUBS) {
        e->failed = true;
        e->stub_count--;
    }
    ColdStub *s = &e->stubs[e->stub_count++];
    *s = (ColdStub){ .kind = kind, .insn = e->insn_offset, .addend = NO_REG, .nans = e->unchecked >> XMM0 };
    return s;
}
