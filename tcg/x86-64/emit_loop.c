/*
 * x86-64 back end: loops of one segment that walk through memory (tcg/loop.c).
 *
 *     entry:  limit = the least number     what was known of other times is forgotten
 *     head:   if lead >= limit go to look  the one comparison of a turn
 *     fast:   the loop, its accesses by the addends that look left
 *             ...
 *     look:   probe the TLB for every walk; limit = how far lead may go until a page ends; go to fast
 *             if a page is not there, or ends within this turn: limit = the least number, go to slow
 *     slow:   the loop again, and what follows in its segment, with a probe for each access; back to head
 *
 * So whatever faults, or needs C, does so in slow, in program order. The addends of the first walks are in registers
 * that the loop is kept from using otherwise, those of the others in the frame.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/x86-64/regs.h"

static const uint8_t kept[] = { RDI, RSI };

static Mem limit_mem(void)
{
    return mem(RSP, FRAME_STREAMS);
}
static Mem addend_mem(unsigned walk)
{
    return mem(RSP, FRAME_STREAMS + 8 + (int)walk * 8);
}

static int kept_register(const Emit *e, const IrLoop *l, unsigned walk)
{
    return walk < G_N_ELEMENTS(kept) && l->light && !e->keep_none ? kept[walk] : NO_REG;
}

static Mem register_mem(const Emit *e, unsigned guest)
{
    return state_mem(e->u->regs[guest].offset);
}

/* The host register of a guest register at the head of a loop: the pinned one, or rax, loaded. */
static int at_head(Emit *e, unsigned guest)
{
    int pin = pinned_host(&e->u->regs[guest]);
    if (pin == NO_REG)
        mov_load(&e->a, RAX, register_mem(e, guest), true);
    return pin == NO_REG ? RAX : pin;
}

/* The same of a sum. */
static int sum_at_head(Emit *e, const IrSum *sum)
{
    Asm *a = &e->a;
    if (sum->index == IR_NO_REGISTER)
        return at_head(e, sum->base);
    int index = at_head(e, sum->index),
        base = sum->base == IR_NO_REGISTER ? NO_REG : pinned_host(&e->u->regs[sum->base]);
    if (index != RAX)
        mov_rr(a, RAX, index, true);
    if (sum->scale)
        shift_imm(a, SHIFT_SHL, RAX, sum->scale, true);
    if (base != NO_REG)
        alu_rr(a, ALU_ADD, RAX, base, true);
    else if (sum->base != IR_NO_REGISTER)
        alu_load(a, ALU_ADD, RAX, register_mem(e, sum->base), true);
    return RAX;
}

/* What is below all addresses, and indices: limits are compared as signed numbers. */
static void forget_limit(Emit *e)
{
    mov_imm(&e->a, RAX, INT64_MIN);
    mov_store(&e->a, limit_mem(), RAX, true);
}

void emit_loop_head(Emit *e, const IrInsn *label)
{
    const IrLoop *l = &e->u->loops[label->aux - 1];
    Asm *a = &e->a;
    forget_limit(e);
    e->labels[label->imm] = a->p;
    alu_load(a, ALU_CMP, at_head(e, l->lead), limit_mem(), true);
    ColdStub *s = new_stub(e, STUB_LOOP);
    s->from = jcc_forward(a, CC_GE);
    s->back = a->p;
    s->info = label->aux - 1;
    e->loop = l;
    for (unsigned w = 0; w < l->count; w++) {
        int reg = kept_register(e, l, w);
        if (reg != NO_REG)
            e->reserved |= 1u << reg;
    }
}

int walk_addend(Emit *e, const IrInsn *insn)
{
    unsigned walk = (unsigned)ir_stream(insn->flags);
    int reg = kept_register(e, e->loop, walk);
    if (reg == NO_REG) {
        reg = scratch_int(e);
        mov_load(&e->a, reg, addend_mem(walk), true);
    }
    return reg;
}

/* rdx: the page that the walk is in, rcx: its TLB index. The leading register must stay below this. */
static void lower_limit(Emit *e, const IrLoop *l, const IrWalk *w, int reg)
{
    Asm *a = &e->a;
    int lead = pinned_host(&e->u->regs[l->lead]);
    lea(a, RDX, mem(RDX, GUEST_PAGE_SIZE - w->high), true);
    alu_rr(a, ALU_SUB, RDX, reg, true);
    if (w->shift)
        shift_imm(a, w->shift > 0 ? SHIFT_SHL : SHIFT_SHR, RDX, (unsigned)abs(w->shift), true);
    if (lead != NO_REG)
        alu_rr(a, ALU_ADD, RDX, lead, true);
    else
        alu_load(a, ALU_ADD, RDX, register_mem(e, l->lead), true);
    alu_imm(a, ALU_ADD, RDX, 1, true);
    alu_load(a, ALU_CMP, RDX, limit_mem(), true);
    uint8_t *above = jcc_short(a, CC_GE);
    mov_store(a, limit_mem(), RDX, true);
    patch_short(above, a->p);
}

typedef struct Misses {
    uint8_t *from[1 + 4 * IR_MAX_WALKS + 2 * IR_MAX_GIVENS];
    unsigned count;
} Misses;

static void miss_if(Emit *e, Misses *m, int cc)
{
    m->from[m->count++] = jcc_forward(&e->a, cc);
}

static void look_up(Emit *e, const IrLoop *l, unsigned index, Misses *m)
{
    const IrWalk *w = &l->walks[index];
    size_t table = w->loads ? offsetof(ContextSet, read) : offsetof(ContextSet, write);
    Asm *a = &e->a;
    int reg = sum_at_head(e, &w->sum), addend = kept_register(e, l, index);
    if (w->align) {
        lea(a, RCX, mem(reg, w->phase), false);
        test_imm(a, RCX, w->align - 1);
        miss_if(e, m, CC_NE);
    }
    lea(a, RCX, mem(reg, w->low), false);
    shift_imm(a, SHIFT_SHR, RCX, GUEST_PAGE_BITS - 4, false);
    alu_imm(a, ALU_AND, RCX, (TLB_SIZE - 1) << 4, false);
    lea(a, RDX, mem(reg, w->high - 1), true);
    alu_imm(a, ALU_AND, RDX, -GUEST_PAGE_SIZE, true);
    alu_load(a, ALU_CMP, RDX, mem_index(R15, RCX, table), true);
    miss_if(e, m, CC_NE);
    if (w->loads && w->stores) {
        alu_load(a, ALU_CMP, RDX, mem_index(R15, RCX, offsetof(ContextSet, write)), true);
        miss_if(e, m, CC_NE);
    }
    if (w->moves)
        lower_limit(e, l, w, reg);
    int to = addend == NO_REG ? RDX : addend;
    mov_load(a, to, mem_index(R15, RCX, table + 8), true);
    if (w->loads && w->stores) {
        alu_load(a, ALU_CMP, to, mem_index(R15, RCX, offsetof(ContextSet, write) + 8), true);
        miss_if(e, m, CC_NE);
    }
    if (addend == NO_REG)
        mov_store(a, addend_mem(index), RDX, true);
}

/* What the fast copy does not check. */
static void check_givens(Emit *e, const IrLoop *l, Misses *m)
{
    Asm *a = &e->a;
    for (unsigned g = 0; g < l->guard_count; g++) {
        op_rm(a, 0x80, ALU_CMP, state_mem(l->guards[g]), false);
        put_byte(a, 0);
        miss_if(e, m, CC_NE);
    }
    for (unsigned b = 0; b < l->boxed_count; b++) {
        int pin = pinned_host(&e->u->regs[l->boxed[b]]);
        if (pin != NO_REG)
            op_rr(a, P_66 | P_0F | 0x7e, pin - XMM0, RAX, true); /* movq */
        else
            mov_load(a, RAX, register_mem(e, l->boxed[b]), true);
        shift_imm(a, SHIFT_SAR, RAX, 32, true);
        alu_imm(a, ALU_CMP, RAX, -1, false);
        miss_if(e, m, CC_NE);
    }
}

/* Nothing may wrap around: a limit is at most a page's bytes, as often as one step is in the greatest, ahead. */
#define TOO_HIGH (INT64_MAX - (4 << 20))

void emit_loop_stub(Emit *e, const ColdStub *s)
{
    const IrLoop *l = &e->u->loops[s->info];
    Asm *a = &e->a;
    Misses m = { .count = 0 };
    patch_to(s->from, a->p);
    mov_imm(a, RCX, TOO_HIGH);
    alu_rr(a, ALU_CMP, at_head(e, l->lead), RCX, true);
    miss_if(e, &m, CC_G);
    mov_store(a, limit_mem(), RCX, true);
    check_givens(e, l, &m);
    for (unsigned w = 0; w < l->count; w++)
        look_up(e, l, w, &m);
    jmp_to(a, s->back);
    for (unsigned k = 0; k < m.count; k++)
        patch_to(m.from[k], a->p);
    forget_limit(e);
    jmp_to(a, e->slow_turns[s->info]);
}
