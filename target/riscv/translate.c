/*
 * RISC-V: decoding, and the frame around each instruction (see translate.h; unprivileged ISA 20240411, chapters 2, 26,
 * 35).
 * SPDX-License-Identifier: MIT
 */
#define DECODE_TABLES
#include "target/riscv/translate.h"
#include <string.h>

static uint32_t bits(uint32_t v, unsigned high, unsigned low)
{
    return v >> low & ((2u << (high - low)) - 1);
}
static int32_t sign_extend(uint32_t v, unsigned width)
{
    return (int32_t)(v << (32 - width)) >> (32 - width);
}

/* ---- operands ---- */

static int32_t immediate_b(uint32_t i)
{
    return sign_extend(bits(i, 31, 31) << 12 | bits(i, 7, 7) << 11 | bits(i, 30, 25) << 5 | bits(i, 11, 8) << 1, 13);
}
static int32_t immediate_j(uint32_t i)
{
    return sign_extend(bits(i, 31, 31) << 20 | bits(i, 19, 12) << 12 | bits(i, 20, 20) << 11 | bits(i, 30, 21) << 1,
                       21);
}
static int32_t immediate_cj(uint32_t i)
{
    return sign_extend(bits(i, 12, 12) << 11 | bits(i, 8, 8) << 10 | bits(i, 10, 9) << 8 | bits(i, 6, 6) << 7 |
                           bits(i, 7, 7) << 6 | bits(i, 2, 2) << 5 | bits(i, 11, 11) << 4 | bits(i, 5, 3) << 1,
                       12);
}
static int32_t immediate_cb(uint32_t i)
{
    return sign_extend(
        bits(i, 12, 12) << 8 | bits(i, 6, 5) << 6 | bits(i, 2, 2) << 5 | bits(i, 11, 10) << 3 | bits(i, 4, 3) << 1, 9);
}

static void operands32(const DecodeRow *row, uint32_t i, Arg *a)
{
    *a = (Arg){ .bits = i, .rd = bits(i, 11, 7), .rs1 = bits(i, 19, 15), .rs2 = bits(i, 24, 20) };
    switch (row->format) {
    case FORMAT_I:
        a->imm = (int32_t)i >> 20;
        break;
    case FORMAT_S:
        a->imm = sign_extend(bits(i, 31, 25) << 5 | a->rd, 12);
        break;
    case FORMAT_B:
        a->imm = immediate_b(i);
        break;
    case FORMAT_U:
        a->imm = i & 0xfffff000;
        break;
    case FORMAT_J:
        a->imm = immediate_j(i);
        break;
    case FORMAT_H:
        a->imm = bits(i, 25, 20);
        break;
    case FORMAT_A:
        a->acquire = bits(i, 26, 26);
        a->release = bits(i, 25, 25);
        a->imm = bits(i, 14, 12); /* 2: word, 3: double word */
        break;
    case FORMAT_F:
        a->rm = bits(i, 14, 12);
        a->rs3 = bits(i, 31, 27);
        break;
    default:
        break;
    }
}

/* Expand a compressed instruction's operands to those of the instruction that it stands for. False: reserved. */
static bool operands16(const DecodeRow *row, uint32_t i, Arg *a)
{
    unsigned low = 8 + bits(i, 4, 2), high = 8 + bits(i, 9, 7), rd = bits(i, 11, 7), rs2 = bits(i, 6, 2);
    int32_t imm6 = sign_extend(bits(i, 12, 12) << 5 | rs2, 6);
    *a = (Arg){ .bits = i };
    switch (row->format) {
    case FORMAT_CIW:
        *a = (Arg){ .bits = i,
                    .rd = low,
                    .rs1 = 2,
                    .imm = bits(i, 10, 7) << 6 | bits(i, 12, 11) << 4 | bits(i, 5, 5) << 3 | bits(i, 6, 6) << 2 };
        return a->imm;
    case FORMAT_CLW:
    case FORMAT_CSW:
        a->rd = a->rs2 = low;
        a->rs1 = high;
        a->imm = bits(i, 5, 5) << 6 | bits(i, 12, 10) << 3 | bits(i, 6, 6) << 2;
        break;
    case FORMAT_CLD:
    case FORMAT_CSD:
        a->rd = a->rs2 = low;
        a->rs1 = high;
        a->imm = bits(i, 6, 5) << 6 | bits(i, 12, 10) << 3;
        break;
    case FORMAT_CLB:
    case FORMAT_CLH:
        a->rd = a->rs2 = low;
        a->rs1 = high;
        a->imm = bits(i, 5, 5) << 1 | (row->format == FORMAT_CLB ? bits(i, 6, 6) : 0);
        break;
    case FORMAT_CU:
        a->rd = a->rs1 = high;
        break;
    case FORMAT_CI:
        a->rd = a->rs1 = rd;
        a->imm = imm6;
        break;
    case FORMAT_CLI:
        a->rd = rd;
        a->imm = imm6;
        break;
    case FORMAT_C16SP:
        a->rd = a->rs1 = 2;
        a->imm = sign_extend(bits(i, 12, 12) << 9 | bits(i, 4, 3) << 7 | bits(i, 5, 5) << 6 | bits(i, 2, 2) << 5 |
                                 bits(i, 6, 6) << 4,
                             10);
        return a->imm;
    case FORMAT_CLUI:
        a->rd = rd;
        a->imm = imm6 * 4096;
        return a->imm;
    case FORMAT_CSH:
        a->rd = a->rs1 = high;
        a->imm = imm6 & 63;
        break;
    case FORMAT_CAND:
        a->rd = a->rs1 = high;
        a->imm = imm6;
        break;
    case FORMAT_CA:
        a->rd = a->rs1 = high;
        a->rs2 = low;
        break;
    case FORMAT_CJ:
    case FORMAT_CJAL:
        a->rd = row->format == FORMAT_CJAL;
        a->imm = immediate_cj(i);
        break;
    case FORMAT_CB:
        a->rs1 = high;
        a->imm = immediate_cb(i);
        break;
    case FORMAT_CSLLI:
        a->rd = a->rs1 = rd;
        a->imm = imm6 & 63;
        break;
    case FORMAT_CLWSP:
        *a = (Arg){
            .bits = i, .rd = rd, .rs1 = 2, .imm = bits(i, 3, 2) << 6 | bits(i, 12, 12) << 5 | bits(i, 6, 4) << 2
        };
        break;
    case FORMAT_CLDSP:
        *a = (Arg){
            .bits = i, .rd = rd, .rs1 = 2, .imm = bits(i, 4, 2) << 6 | bits(i, 12, 12) << 5 | bits(i, 6, 5) << 3
        };
        break;
    case FORMAT_CSWSP:
        *a = (Arg){ .bits = i, .rs1 = 2, .rs2 = rs2, .imm = bits(i, 8, 7) << 6 | bits(i, 12, 9) << 2 };
        break;
    case FORMAT_CSDSP:
        *a = (Arg){ .bits = i, .rs1 = 2, .rs2 = rs2, .imm = bits(i, 9, 7) << 6 | bits(i, 12, 10) << 3 };
        break;
    case FORMAT_CJR:
    case FORMAT_CJALR:
        a->rs1 = rd;
        a->rd = row->format == FORMAT_CJALR;
        break;
    case FORMAT_CMV:
        a->rd = rd;
        a->rs2 = rs2;
        break;
    case FORMAT_CADD:
        a->rd = a->rs1 = rd;
        a->rs2 = rs2;
        break;
    default:
        break;
    }
    return true;
}

static const DecodeRow *find_row(const RiscvState *s, const DecodeRow *rows, const uint16_t *list, unsigned count,
                                 uint32_t i)
{
    for (unsigned n = 0; n < count; n++) {
        const DecodeRow *row = &rows[list[n]];
        if ((i & row->mask) == row->match && (!row->xlen || row->xlen == s->xlen) && riscv_has(s, row->any) &&
            riscv_has(s, row->also))
            return row;
    }
    return NULL;
}

const DecodeRow *riscv_decode(const RiscvState *s, uint32_t i, Arg *a)
{
    const DecodeRow *row;
    if ((i & 3) == 3) {
        unsigned key = bits(i, 6, 2) | bits(i, 14, 12) << 5;
        row = find_row(s, rv32_rows, &rv32_list[rv32_index[key].first], rv32_index[key].count, i);
        if (row)
            operands32(row, i, a);
        return row;
    }
    unsigned key = bits(i, 1, 0) | bits(i, 15, 13) << 2;
    if (!riscv_has(s, EXT_C))
        return NULL;
    row = find_row(s, rvc_rows, &rvc_list[rvc_index[key].first], rvc_index[key].count, i);
    return row && operands16(row, i, a) ? row : NULL;
}

const DecodeRow *riscv_row_of(bool (*translate)(Ctx *c, const Arg *a))
{
    for (unsigned i = 0; i < G_N_ELEMENTS(rv32_rows); i++) {
        if (rv32_rows[i].translate == translate)
            return &rv32_rows[i];
    }
    return NULL;
}

static uint32_t fetch(const uint8_t *bytes, unsigned length)
{
    uint16_t half;
    uint32_t word;
    if (length == 4) {
        memcpy(&word, bytes, 4);
        return GUINT32_FROM_LE(word);
    }
    memcpy(&half, bytes, 2);
    return GUINT16_FROM_LE(half);
}

/* Flow only: by the major opcode, without the whole decoder. */
void riscv_scan(const CpuState *cs, const uint8_t *bytes, unsigned available, InsnScan *out)
{
    unsigned length = available >= 2 && (bytes[0] & 3) != 3 ? 2 : 4;
    *out = (InsnScan){ .flow = FLOW_NEXT };
    if (available < length)
        return;
    out->length = length;
    uint32_t i = fetch(bytes, length);
    if (length == 4) {
        switch (i & 0x7f) {
        case 0x63:
            out->flow = FLOW_BRANCH;
            out->target = immediate_b(i);
            break;
        case 0x6f:
            out->flow = bits(i, 11, 7) ? FLOW_CALL : FLOW_JUMP;
            out->target = immediate_j(i);
            break;
        case 0x67:
            out->flow = FLOW_END;
            break;
        }
        return;
    }
    switch (i & 0xe003) {
    case 0xa001:
        out->flow = FLOW_JUMP;
        out->target = immediate_cj(i);
        break;
    case 0xc001:
    case 0xe001:
        out->flow = FLOW_BRANCH;
        out->target = immediate_cb(i);
        break;
    case 0x8002:
        if (!bits(i, 6, 2)) /* c.jr, c.jalr, c.ebreak */
            out->flow = FLOW_END;
        break;
    case 0x2001:
        if (((const RiscvState *)cs)->xlen == 32) {
            out->flow = FLOW_CALL;
            out->target = immediate_cj(i);
        }
        break;
    }
}

void raise_exception(Ctx *c, unsigned cause, uint64_t tval)
{
    ir_call(c->ir, IR_I64, HELPER_RAISE, ir_const(c->ir, IR_I64, cause), ir_const(c->ir, IR_I64, tval), 0, 0);
    ir_lookup(c->ir);
    c->stop = true;
}

IrTmp data_address(Ctx *c, unsigned rs1, int32_t offset)
{
    IrTmp va = get_x(c, rs1);
    if (offset)
        va = ir_binary_imm(c->ir, OP_add, c->xt, va, offset);
    if (!c->pm_bits)
        return va;
    va = ir_binary_imm(c->ir, OP_shl, c->xt, va, c->pm_bits);
    return ir_binary_imm(c->ir, c->pm_zero ? OP_shr : OP_sar, c->xt, va, c->pm_bits);
}

void jump_to(Ctx *c, int64_t displacement)
{
    int64_t target = c->insn->offset + displacement;
    if ((target & 3) && !riscv_has(c->s, EXT_C)) {
        IrTmp tval = pc_plus(c, displacement);
        ir_call(c->ir, IR_I64, HELPER_RAISE, ir_const(c->ir, IR_I64, CAUSE_FETCH_MISALIGNED),
                c->xt == IR_I32 ? ir_ext(c->ir, IR_I64, MO_32, tval) : tval, 0, 0);
        ir_lookup(c->ir);
    } else if (c->insn->label_at(c->insn, target) >= 0) {
        if (displacement <= 0)
            ir_poll(c->ir, c->insn->offset);
        ir_br(c->ir, c->insn->label_at(c->insn, target));
    } else {
        ir_jump(c->ir, target, displacement <= 0);
    }
    c->stop = true;
}

typedef struct ModeCtx {
    uint32_t mode;
    Ctx ctx;
} ModeCtx;

static ModeCtx mode_context(uint32_t mode, unsigned xlen)
{
    return (ModeCtx){ mode,
                      { .xlen = xlen,
                        .xt = xlen == 32 ? IR_I32 : IR_I64,
                        .priv = mode & MODE_PRIV,
                        .virt = mode & MODE_VIRT,
                        .pm_bits = "\0\0\7\20"[mode >> MODE_PMM_SHIFT & 3],
                        .pm_zero = mode & MODE_PMM_ZERO } };
}

bool riscv_translate(TranslateInsn *insn)
{
    static _Thread_local ModeCtx kept; /* what is the same for all instructions of a mode */
    const RiscvState *s = (const RiscvState *)insn->cs;
    if (G_UNLIKELY(kept.mode != insn->mode || kept.ctx.xlen != s->xlen))
        kept = mode_context(insn->mode, s->xlen);
    Ctx c = kept.ctx;
    c.insn = insn;
    c.ir = insn->ir;
    c.s = s;
    c.length = insn->length;
    uint32_t i = fetch(insn->bytes, insn->length);
    if (insn->mode & MODE_TRIGGER)
        ir_call(c.ir, IR_I64, HELPER_TRIGGER, ir_const(c.ir, IR_I64, i), ir_const(c.ir, IR_I64, insn->length), 0, 0);
    Arg a;
    const DecodeRow *row = riscv_decode(s, i, &a);
    if (!row || !row->translate(&c, &a))
        raise_exception(&c, CAUSE_ILLEGAL, i);
    return !c.stop;
}
