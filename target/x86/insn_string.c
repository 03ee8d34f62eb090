/*
 * x86: string instructions. One element is done inline, repeated ones by rep.c.
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/rep.h"
#include "target/x86/system.h"
#include "target/x86/translate.h"

static unsigned element_size(const Ctx *c)
{
    const X86Operand *o = c->i->row->operands;
    for (unsigned n = 0; n < 2; n++) {
        if (o[n].kind == OPERAND_SOURCE || o[n].kind == OPERAND_DEST)
            return operand_size(c, n);
    }
    return 1;
}

static unsigned source_segment(const Ctx *c)
{
    return c->i->segment_override == X86_NO_SEGMENT ? X86_DS : c->i->segment_override;
}

static void advance(Ctx *c, unsigned reg, unsigned size, IrTmp step)
{
    IrType t = type_of(c->i->address_size);
    if (t == IR_I32)
        step = ir_unary(c->ir, OP_trunc, IR_I32, step);
    set_reg(c, reg, c->i->address_size, ir_binary(c->ir, OP_add, t, get_reg(c, reg, c->i->address_size), step));
}

/* size, or -size with DF: which is 0x400. */
static IrTmp step_of(Ctx *c, unsigned size)
{
    IrUnit *u = c->ir;
    IrTmp down = ir_binary_imm(u, OP_and, IR_I64, ir_ldstate(u, IR_I64, offsetof(X86State, eflags), MO_32), FLAG_DF);
    down = ir_binary_imm(u, OP_shr, IR_I64, down, 9 - (int64_t)log2_of(size)); /* 2 * size */
    return ir_binary(u, OP_sub, IR_I64, ir_const(u, IR_I64, size), down);
}

static IrTmp load_source(Ctx *c, unsigned size)
{
    IrTmp va = linear(c, source_segment(c), get_address_reg(c, RSI), size, false);
    return ir_ld(c->ir, type_of(size), data(c, size), va, 0);
}

static IrTmp load_dest(Ctx *c, unsigned size)
{
    IrTmp va = linear(c, X86_ES, get_address_reg(c, RDI), size, false);
    return ir_ld(c->ir, type_of(size), data(c, size), va, 0);
}

static void store_dest(Ctx *c, unsigned size, IrTmp v)
{
    ir_st(c->ir, data(c, size), linear(c, X86_ES, get_address_reg(c, RDI), size, true), 0, v);
}

static void repeated(Ctx *c, unsigned kind, unsigned size)
{
    IrUnit *u = c->ir;
    bool compares = kind == STRING_CMPS || kind == STRING_SCAS;
    unsigned repeat = compares ? c->i->repeat : 0xf3;
    uint32_t what = X86_STRING(kind, log2_of(size), repeat, source_segment(c));
    ir_poll(u, c->insn->offset);
    IrTmp more =
        ir_call(u, IR_I64, HELPER_STRING, ir_const(u, IR_I64, what), ir_const(u, IR_I64, c->i->address_size), 0, 0);
    IrTmp zero = ir_const(u, IR_I64, 0);
    if (c->mode & MODE_TF)
        jump_to_linear(c, ir_select(u, IR_I64, COND_NE, more, zero, ir_getpc(u, c->insn->offset),
                                    ir_getpc(u, c->insn->offset + c->i->length)));
    else
        ir_brjump(u, COND_NE, more, zero, c->insn->offset);
}

static bool t_string(Ctx *c, unsigned kind)
{
    unsigned size = element_size(c);
    if (c->i->repeat) {
        repeated(c, kind, size);
        return true;
    }
    IrTmp step = step_of(c, size), a, b;
    switch (kind) {
    case STRING_MOVS:
        store_dest(c, size, load_source(c, size));
        break;
    case STRING_STOS:
        store_dest(c, size, get_reg(c, RAX, size));
        break;
    case STRING_LODS:
        set_reg(c, RAX, size, load_source(c, size));
        break;
    case STRING_CMPS:
        a = load_source(c, size);
        b = load_dest(c, size);
        set_flags(c, CC_SUB, size, a, b);
        break;
    default:
        b = load_dest(c, size);
        set_flags(c, CC_SUB, size, get_reg(c, RAX, size), b);
    }
    if (kind == STRING_MOVS || kind == STRING_LODS || kind == STRING_CMPS)
        advance(c, RSI, size, step);
    if (kind != STRING_LODS)
        advance(c, RDI, size, step);
    return true;
}

/* ins, outs: one element is a repetition of one. */
static bool t_port_string(Ctx *c, unsigned kind)
{
    unsigned size = element_size(c);
    if (c->i->repeat) {
        repeated(c, kind, size);
        return true;
    }
    IrUnit *u = c->ir;
    uint32_t what = X86_STRING(kind, log2_of(size), 0, source_segment(c));
    ir_call(u, IR_I64, HELPER_STRING, ir_const(u, IR_I64, what), ir_const(u, IR_I64, c->i->address_size), 0, 0);
    return true;
}

static bool t_in(Ctx *c, unsigned arg)
{
    IrUnit *u = c->ir;
    unsigned size = operand_size(c, 0);
    IrTmp port = c->i->row->operands[1].kind == OPERAND_IMM ? ir_const(u, IR_I64, (uint8_t)c->i->imm)
                                                            : ir_ext(u, IR_I64, MO_16, get_reg(c, RDX, 2));
    IrTmp v = system_call(c, SYSTEM_IN, port, ir_const(u, IR_I64, size), false);
    set_reg(c, RAX, size, ir_unary(u, OP_trunc, IR_I32, v));
    return true;
}

static bool t_out(Ctx *c, unsigned arg)
{
    IrUnit *u = c->ir;
    unsigned size = operand_size(c, 1);
    IrTmp port = c->i->row->operands[0].kind == OPERAND_IMM ? ir_const(u, IR_I64, (uint8_t)c->i->imm)
                                                            : ir_ext(u, IR_I64, MO_16, get_reg(c, RDX, 2));
    IrTmp v = ir_ext(u, IR_I64, MO_32, get_reg(c, RAX, size));
    v = ir_binary_imm(u, OP_or, IR_I64, v, (int64_t)size << 32);
    system_call(c, SYSTEM_OUT, port, v, false);
    return true;
}

const X86Translator x86_string_translators[] = {
    { "movsb", t_string, STRING_MOVS },
    { "movsv", t_string, STRING_MOVS },
    { "stosb", t_string, STRING_STOS },
    { "stosv", t_string, STRING_STOS },
    { "lodsb", t_string, STRING_LODS },
    { "lodsv", t_string, STRING_LODS },
    { "cmpsb", t_string, STRING_CMPS },
    { "cmpsv", t_string, STRING_CMPS },
    { "scasb", t_string, STRING_SCAS },
    { "scasv", t_string, STRING_SCAS },
    { "insb", t_port_string, STRING_INS },
    { "insz", t_port_string, STRING_INS },
    { "outsb", t_port_string, STRING_OUTS },
    { "outsz", t_port_string, STRING_OUTS },
    { "in", t_in, 0 },
    { "out", t_out, 0 },
    { NULL, NULL, 0 },
};
