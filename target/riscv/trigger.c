/*
 * Debug triggers (RISC-V Debug Specification 1.0, chapter 5: Sdtrig): address and data matches (types 2 and 6),
 * instruction count (3), interrupts (4), exceptions (5). The action is a breakpoint exception, which comes before the
 * instruction takes effect. There is no Debug Mode.
 *
 * Nothing is looked at while no trigger needs it: units are translated with a call at each instruction only in modes
 * where one does (MODE_TRIGGER), and pages where a load or store may match have no TLB entries.
 *
 * Against a breakpoint inside the handler of one (section 5.4): in machine mode triggers fire only with tcontrol.mte;
 * in supervisor mode, where that is where breakpoints go, only with sstatus.SIE.
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/trigger.h"
#include "target/riscv/cpu.h"

enum {
    TYPE_NONE = 0,
    TYPE_MATCH = 2,
    TYPE_COUNT = 3,
    TYPE_INTERRUPT = 4,
    TYPE_EXCEPTION = 5,
    TYPE_MATCH6 = 6,
    TYPE_DISABLED = 15
};
enum { MTE = 1 << 3, MPTE = 1 << 7 };

/* Types 2 and 6 */
enum {
    T_LOAD = 1,
    T_STORE = 2,
    T_EXECUTE = 4,
    T_U = 8,
    T_S = 16,
    T_M = 64,
    T_CHAIN = 1 << 11,
    T_ACCESSES = T_LOAD | T_STORE | T_EXECUTE,
    T_MATCH_SHIFT = 7,
    T_SIZE_SHIFT = 16
};
enum { MATCH_EQUAL, MATCH_NAPOT, MATCH_GE, MATCH_LT, MATCH_LOW, MATCH_HIGH, MATCH_NOT = 8 };
/* type 2 */
enum { T2_SELECT = 1 << 19, T2_HIT = 1 << 20, T2_SIZEHI_SHIFT = 21 };
/* type 6 */
enum { T6_SELECT = 1 << 21, T6_HIT = 1 << 22, T6_VU = 1 << 23, T6_VS = 1 << 24 };
/* Types 3, 4, 5 */
enum { C_U = 1 << 6, C_S = 1 << 7, C_M = 1 << 9, C_VU = 1 << 25, C_VS = 1 << 26, X_VU = 1 << 11, X_VS = 1 << 12 };
enum { C_PENDING = 1 << 8, C_COUNT_SHIFT = 10, C_COUNT = 0x3fff << 10, C_HIT = 1 << 24 };

typedef struct RiscvTrigger Trigger;

static bool is_match(const Trigger *t)
{
    return t->type == TYPE_MATCH || t->type == TYPE_MATCH6;
}
static bool selects_data(const Trigger *t)
{
    return t->tdata1 & (t->type == TYPE_MATCH ? T2_SELECT : T6_SELECT);
}
static uint64_t trap_hit(const RiscvState *s)
{
    return 1ull << (s->xlen - 6);
}

/* mode: riscv_full_mode. Type 2 is for no guest. */
static bool in_mode(const Trigger *t, unsigned mode)
{
    enum { VU = RISCV_VIRTUAL | PRIV_U, VS = RISCV_VIRTUAL | PRIV_S };
    static const uint32_t of[][RISCV_MODES] = {
        [TYPE_MATCH] = { [PRIV_U] = T_U, [PRIV_S] = T_S, [PRIV_M] = T_M },
        [TYPE_MATCH6] = { [PRIV_U] = T_U, [PRIV_S] = T_S, [PRIV_M] = T_M, [VU] = T6_VU, [VS] = T6_VS },
        [TYPE_COUNT] = { [PRIV_U] = C_U, [PRIV_S] = C_S, [PRIV_M] = C_M, [VU] = C_VU, [VS] = C_VS },
        [TYPE_INTERRUPT] = { [PRIV_U] = C_U, [PRIV_S] = C_S, [PRIV_M] = C_M, [VU] = X_VU, [VS] = X_VS },
        [TYPE_EXCEPTION] = { [PRIV_U] = C_U, [PRIV_S] = C_S, [PRIV_M] = C_M, [VU] = X_VU, [VS] = X_VS },
    };
    return t->type < G_N_ELEMENTS(of) && t->tdata1 & of[t->type][mode];
}

/* Can a breakpoint exception be taken in this mode without ruining a handler that runs? */
static bool may_fire(const RiscvState *s)
{
    if (s->priv == PRIV_M)
        return s->trig.tcontrol & MTE;
    if (s->virt && s->medeleg & s->hedeleg & 1 << CAUSE_BREAKPOINT)
        return s->priv == PRIV_U || s->vsstatus & MSTATUS_SIE;
    return s->priv == PRIV_U || s->virt || !(s->medeleg >> CAUSE_BREAKPOINT & 1) || s->mstatus & MSTATUS_SIE;
}

/* textra: is this the context that the trigger is for? */
static bool in_context(const RiscvState *s, const Trigger *t)
{
    bool wide = s->xlen == 64;
    unsigned sselect = t->tdata3 & 3, mhselect = t->tdata3 >> (wide ? 48 : 23) & 7;
    uint64_t svalue = wide ? t->tdata3 >> 2 & UINT32_MAX : t->tdata3 >> 2 & 0xffff;
    uint64_t mhvalue = wide ? t->tdata3 >> 51 : t->tdata3 >> 26 & 0x3f;
    uint64_t asid = wide ? s->satp >> 44 & 0xffff : s->satp >> 22 & 0x1ff;
    if ((sselect == 1 && svalue != s->trig.scontext) || (sselect == 2 && svalue != asid))
        return false;
    return mhselect != 4 || mhvalue == s->trig.mcontext;
}

/* ---- comparisons ---- */

static uint64_t napot_mask(uint64_t v)
{
    return ~(v ^ (v + 1)); /* bits above the lowest 0, and not that one */
}

/* Does v match as a number; or, of an access, one of its bytes? */
static bool compare(const RiscvState *s, const Trigger *t, uint64_t v, unsigned bytes)
{
    unsigned match = t->tdata1 >> T_MATCH_SHIFT & 15, half = s->xlen / 2;
    uint64_t want = t->tdata2, low = (1ull << half) - 1, mask = napot_mask(want);
    bool yes;
    switch (match & ~MATCH_NOT) {
    case MATCH_EQUAL:
        yes = want - v < bytes;
        break;
    case MATCH_NAPOT:
        yes = ((v ^ want) & mask) == 0 || (bytes > 1 && (((v + bytes - 1) ^ want) & mask) == 0);
        break;
    case MATCH_GE:
        yes = v >= want;
        break;
    case MATCH_LT:
        yes = v < want;
        break;
    case MATCH_LOW:
        yes = (v & want >> half & low) == (want & low);
        break;
    default:
        yes = (v >> half & want >> half & low) == (want & low);
        break;
    }
    return yes != !!(match & MATCH_NOT);
}

static bool size_matches(const Trigger *t, unsigned bytes)
{
    static const uint8_t sizes[] = { 0, 1, 2, 4, 6, 8 };
    unsigned size = t->type == TYPE_MATCH ? (t->tdata1 >> T_SIZE_SHIFT & 3) | (t->tdata1 >> T2_SIZEHI_SHIFT & 3) << 2
                                          : t->tdata1 >> T_SIZE_SHIFT & 7;
    return !size || (size < G_N_ELEMENTS(sizes) && sizes[size] == bytes);
}

/* What an instruction does to memory: kind is T_LOAD, T_STORE or T_EXECUTE. */
typedef struct Event {
    unsigned kind, bytes;
    uint64_t va;
    const uint64_t *value; /* NULL: not known */
} Event;

static bool matches(const RiscvState *s, const Trigger *t, const Event *e)
{
    if (!is_match(t) || !(t->tdata1 & e->kind) || !in_mode(t, riscv_full_mode(s)) || !size_matches(t, e->bytes) ||
        !in_context(s, t))
        return false;
    if (!selects_data(t))
        return compare(s, t, e->va, e->bytes);
    return e->value && compare(s, t, *e->value, 1);
}

/* Chains of triggers fire together. A load comes twice, without and with its value: those that do not look at it fire
 * the first time. */
static bool fires(RiscvState *s, const Event *e)
{
    bool fired = false;
    for (unsigned first = 0, last; first < RISCV_TRIGGERS; first = last + 1) {
        bool all = true, data = false;
        for (last = first;; last++) {
            const Trigger *t = &s->trig.t[last];
            all = all && matches(s, t, e);
            data = data || selects_data(t);
            if (!is_match(t) || !(t->tdata1 & T_CHAIN) || last == RISCV_TRIGGERS - 1)
                break;
        }
        if (!all || (e->kind == T_LOAD && data != (e->value != NULL)))
            continue;
        for (unsigned i = first; i <= last; i++)
            s->trig.t[i].tdata1 |= s->trig.t[i].type == TYPE_MATCH ? T2_HIT : T6_HIT;
        fired = true;
    }
    return fired;
}

/* ---- what has to be looked at ---- */

static bool counting(const Trigger *t)
{
    return t->type == TYPE_COUNT && t->tdata1 & (C_COUNT | C_PENDING);
}

static void update(RiscvState *s)
{
    RiscvTriggers *all = &s->trig;
    bool data = s->cs.watching;
    memset(all->insns, 0, sizeof(all->insns));
    all->traps = s->cs.watching = false;
    for (unsigned i = 0; i < RISCV_TRIGGERS; i++) {
        const Trigger *t = &all->t[i];
        for (unsigned mode = 0; mode < RISCV_MODES; mode++)
            all->insns[mode] |= in_mode(t, mode) && (counting(t) || (is_match(t) && t->tdata1 & T_EXECUTE));
        all->traps |= t->type == TYPE_INTERRUPT || t->type == TYPE_EXCEPTION || counting(t);
        s->cs.watching |= is_match(t) && t->tdata1 & (T_LOAD | T_STORE);
    }
    if (data || s->cs.watching)
        tcg_flush_all(&s->cs);
    riscv_mode_changed(s);
}

bool riscv_trigger_page(const RiscvState *s, uint64_t va)
{
    for (unsigned i = 0; i < RISCV_TRIGGERS; i++) {
        const Trigger *t = &s->trig.t[i];
        unsigned match = t->tdata1 >> T_MATCH_SHIFT & 15;
        if (!is_match(t) || !(t->tdata1 & (T_LOAD | T_STORE)))
            continue;
        if (selects_data(t) || match > MATCH_NAPOT)
            return true;
        uint64_t mask = GUEST_PAGE_MASK & (match == MATCH_NAPOT ? napot_mask(t->tdata2) : UINT64_MAX);
        if (!((va ^ t->tdata2) & mask))
            return true;
    }
    return false;
}

/* ---- events ---- */

bool riscv_trigger_access(CpuState *cs, uint64_t va, unsigned size, unsigned access, const uint64_t *value)
{
    RiscvState *s = riscv(cs);
    uint64_t number = value ? size == 8 ? *value : *value & ((1ull << 8 * size) - 1) : 0;
    va = s->xlen == 32 ? (uint32_t)va : va;
    const Event e = { access == ACCESS_STORE ? T_STORE : T_LOAD, size, va, value ? &number : NULL };
    if (!may_fire(s) || !fires(s, &e))
        return true;
    riscv_raise(s, CAUSE_BREAKPOINT, va);
    return false;
}

/* One more instruction, or trap, in a mode where it counts. */
static void count_down(Trigger *t)
{
    if (t->type != TYPE_COUNT || !(t->tdata1 & C_COUNT))
        return;
    t->tdata1 -= 1 << C_COUNT_SHIFT;
    if (!(t->tdata1 & C_COUNT))
        t->tdata1 |= C_PENDING;
}

static bool count_fires(RiscvState *s)
{
    bool fired = false;
    for (unsigned i = 0; i < RISCV_TRIGGERS; i++) {
        Trigger *t = &s->trig.t[i];
        if (t->type != TYPE_COUNT || !(t->tdata1 & C_PENDING) || !in_mode(t, riscv_full_mode(s)) || !in_context(s, t))
            continue;
        t->tdata1 = (t->tdata1 & ~(uint64_t)C_PENDING) | C_HIT;
        fired = true;
    }
    return fired;
}

void riscv_trigger_insn(RiscvState *s, uint32_t bits, unsigned length)
{
    uint64_t opcode = bits, pc = s->xlen == 32 ? (uint32_t)s->cs.pc : s->cs.pc;
    const Event e = { T_EXECUTE, length, pc, &opcode };
    if (may_fire(s)) {
        if (count_fires(s)) {
            update(s);
            riscv_raise(s, CAUSE_BREAKPOINT, 0);
            return;
        }
        if (fires(s, &e)) {
            riscv_raise(s, CAUSE_BREAKPOINT, pc);
            return;
        }
    }
    for (unsigned i = 0; i < RISCV_TRIGGERS; i++) {
        if (in_mode(&s->trig.t[i], riscv_full_mode(s)))
            count_down(&s->trig.t[i]);
    }
}

bool riscv_trigger_trap(RiscvState *s, unsigned code, bool interrupt, unsigned from)
{
    bool fired = false;
    for (unsigned i = 0; i < RISCV_TRIGGERS; i++) {
        Trigger *t = &s->trig.t[i];
        if (!in_mode(t, from))
            continue;
        if (interrupt) /* of exceptions the instruction was counted */
            count_down(t);
        if (t->type != (interrupt ? TYPE_INTERRUPT : TYPE_EXCEPTION) || !(t->tdata2 >> code & 1) || !in_context(s, t) ||
            !may_fire(s))
            continue;
        t->tdata1 |= trap_hit(s);
        fired = true;
    }
    return fired;
}

void riscv_trigger_enter_machine(RiscvState *s)
{
    s->trig.tcontrol = s->trig.tcontrol & MTE ? MPTE : 0;
}
void riscv_trigger_leave_machine(RiscvState *s)
{
    s->trig.tcontrol = s->trig.tcontrol & MPTE ? MTE | MPTE : 0;
}

/* ---- CSRs ---- */

static Trigger *selected(RiscvState *s)
{
    return &s->trig.t[s->trig.select];
}

/* What type `type` keeps of tdata1. Actions but 0, dmode, maskmax, timing are zero. */
static uint64_t legal_tdata1(const RiscvState *s, unsigned type, uint64_t v)
{
    uint64_t modes = (riscv_has(s, EXT_S) ? T_S : 0) | (riscv_has(s, EXT_U) ? T_U : 0) | T_M;
    uint64_t counts = (riscv_has(s, EXT_S) ? C_S : 0) | (riscv_has(s, EXT_U) ? C_U : 0) | C_M;
    uint64_t guest = riscv_has(s, EXT_H) ? UINT64_MAX : 0;
    uint64_t match = v >> T_MATCH_SHIFT & 15, kept = T_ACCESSES | modes | T_CHAIN;
    if ((match & 7) > MATCH_HIGH || match == (MATCH_NOT | MATCH_GE) || match == (MATCH_NOT | MATCH_LT))
        v &= ~(15ull << T_MATCH_SHIFT);
    switch (type) {
    case TYPE_MATCH:
        kept |= 15 << T_MATCH_SHIFT | 3 << T_SIZE_SHIFT | T2_SELECT | T2_HIT;
        return v & (kept | (s->xlen == 64 ? 1 << T2_SIZEHI_SHIFT : 0));
    case TYPE_MATCH6:
        return v & (kept | 15 << T_MATCH_SHIFT | 7 << T_SIZE_SHIFT | T6_SELECT | T6_HIT | ((T6_VU | T6_VS) & guest));
    case TYPE_COUNT:
        return v & (counts | C_COUNT | C_PENDING | C_HIT | ((C_VU | C_VS) & guest));
    case TYPE_INTERRUPT:
    case TYPE_EXCEPTION:
        return v & (counts | trap_hit(s) | ((X_VU | X_VS) & guest));
    default:
        return 0;
    }
}

uint64_t riscv_trigger_tdata1(RiscvState *s)
{
    return (uint64_t)selected(s)->type << (s->xlen - 4) | selected(s)->tdata1;
}
void riscv_trigger_set_tdata1(RiscvState *s, uint64_t v)
{
    unsigned type = v >> (s->xlen - 4) & 15;
    selected(s)->type = type >= TYPE_MATCH && type <= TYPE_MATCH6 ? type : TYPE_DISABLED;
    selected(s)->tdata1 = legal_tdata1(s, type, v);
    update(s);
}
uint64_t riscv_trigger_tdata2(RiscvState *s)
{
    return selected(s)->tdata2;
}
void riscv_trigger_set_tdata2(RiscvState *s, uint64_t v)
{
    selected(s)->tdata2 = v;
    update(s);
}
uint64_t riscv_trigger_tdata3(RiscvState *s)
{
    return selected(s)->tdata3;
}
void riscv_trigger_set_tdata3(RiscvState *s, uint64_t v)
{
    bool wide = s->xlen == 64;
    unsigned at = wide ? 48 : 23;
    if ((v >> at & 7) != 4)
        v &= ~(7ull << at);
    if ((v & 3) == 3)
        v &= ~3ull;
    selected(s)->tdata3 = v & (wide ? 0xffff0003ffffffffull : 0xff83ffffull);
}
uint64_t riscv_trigger_tinfo(RiscvState *s)
{
    return 1 << 24 /* version: 1.0 */ | 1 << TYPE_MATCH | 1 << TYPE_COUNT | 1 << TYPE_INTERRUPT | 1 << TYPE_EXCEPTION |
           1 << TYPE_MATCH6 | 1 << TYPE_DISABLED;
}

void riscv_trigger_reset(RiscvState *s)
{
    memset(&s->trig, 0, sizeof(s->trig));
    s->cs.watching = false;
    for (unsigned i = 0; i < RISCV_TRIGGERS; i++)
        s->trig.t[i].type = TYPE_DISABLED;
}
