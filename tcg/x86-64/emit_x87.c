/*
 * x86-64 back end: instructions of the host's x87 between values in the state (see ir_host.h). Outside of generated
 * code, and wherever control goes elsewhere, its stack is empty; in between the value that was stored last may stay in
 * st(0), as it is often the next one's operand. That it stays when a slow path raises is seen to by the thunks.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/ir_host.h"
#include "tcg/x86-64/regs.h"

typedef struct X87Format {
    uint16_t opcode;                /* of the escape byte */
    uint8_t load, store, store_pop; /* ModRM.reg; NO_FORM: there is none */
} X87Format;
enum { NO_FORM = 8, POP_ST0 = 0xd8dd /* fstp st(0) */, DUPLICATE = 0xc0d9 /* fld st(0) */, EXCHANGE = 0xc9d9 };
static const X87Format formats[] = {
    [IR_X87_M80] = { 0xdb, 5, NO_FORM, 7 }, [IR_X87_M32] = { 0xd9, 0, 2, 3 }, [IR_X87_M64] = { 0xdd, 0, 2, 3 },
    [IR_X87_I16] = { 0xdf, 0, 2, 3 },       [IR_X87_I32] = { 0xdb, 0, 2, 3 }, [IR_X87_I64] = { 0xdf, 5, NO_FORM, 7 },
};

static void put_two(Asm *a, unsigned bytes)
{
    put_byte(a, bytes & 0xff);
    put_byte(a, bytes >> 8);
}

static Mem at(const X87Place *p, unsigned offset)
{
    return mem(p->base, (int32_t)offset - p->bias);
}

static void put_load(Asm *a, const X87Place *p, unsigned format, unsigned offset)
{
    op_rm(a, formats[format].opcode, formats[format].load, at(p, offset), false);
}

void x87_drop(Asm *a, X87Place *p)
{
    if (p->held)
        put_two(a, POP_ST0);
    p->held = 0;
}

/* Operands: st(0), or st(1) and st(0). */
static void put_operands(Asm *a, X87Place *p, const IrX87 *x)
{
    bool two = x->second && x->kind == IR_X87_REGISTERS, plain = x->first_format == IR_X87_M80;
    if (p->held && x->first && plain && p->held == x->first) {
        p->held = 0; /* it is used up */
    } else if (p->held && two && p->held == x->second) {
        p->held = 0;
        put_load(a, p, x->first_format, x->first);
        put_two(a, EXCHANGE);
        return;
    } else {
        x87_drop(a, p);
        if (x->first)
            put_load(a, p, x->first_format, x->first);
    }
    if (two)
        put_load(a, p, IR_X87_M80, x->second);
}

static void put_result(Asm *a, X87Place *p, const IrX87 *x)
{
    const X87Format *f = &formats[x->dest_format];
    if (x->dest_format == IR_X87_M80) {
        if (p->keep)
            put_two(a, DUPLICATE);
        op_rm(a, f->opcode, f->store_pop, at(p, x->dest), false);
        p->held = p->keep ? x->dest : 0;
        return;
    }
    bool stays =
        p->keep && x->first && !x->kind && x->first_format == IR_X87_M80 && f->store != NO_FORM && x->first != x->dest;
    op_rm(a, f->opcode, stays ? f->store : f->store_pop, at(p, x->dest), false);
    p->held = stays ? x->first : 0;
}

/* The result of a test is left in rax. */
void put_x87(Asm *a, X87Place *p, int64_t imm, unsigned aux, unsigned result)
{
    const IrX87 x = ir_x87_unpack(imm, aux);
    put_operands(a, p, &x);
    if (x.kind == IR_X87_REGISTERS)
        put_two(a, x.op);
    else if (x.kind == IR_X87_MEMORY)
        op_rm(a, x.op & 0xff, x.op >> 11 & 7, at(p, x.second), false);
    if (result == IR_X87_STATUS) {
        put_two(a, 0xe0df); /* fnstsw ax */
        op_rr(a, P_0F | 0xb7, RAX, RAX, false);
    } else if (result == IR_X87_EFLAGS) { /* after fcomip: one is left */
        put_test_flags(a);
        put_two(a, POP_ST0);
    }
    if (x.dest)
        put_result(a, p, &x);
}

bool emit_x87(Emit *e, const IrInsn *insn)
{
    if (insn->op != OP_x87 && insn->op != OP_x87test)
        return false;
    bool test = insn->op == OP_x87test;
    if (test) {
        evict(e, RAX);
        e->busy |= 1u << RAX;
    }
    put_x87(&e->a, &e->x87, insn->imm, insn->aux, test ? insn->flags : 0);
    if (test)
        def_done(e, insn->dst, RAX);
    return true;
}
