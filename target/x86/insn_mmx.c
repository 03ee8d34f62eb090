/*
 * x86 translation: MMX. Its registers are the lower 64 bits of x87's; the host's SSE does the work on vectors whose
 * upper half is 0. Where a result depends on how long a register is, the operands are put behind each other first.
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/insn_simd.h"

static uint32_t place_of(unsigned reg)
{
    return offsetof(X86State, fpu) + offsetof(X86Fpu, reg) + (reg & 7) * 16;
}

static IrTmp get_mmx(Ctx *c, unsigned reg)
{
    return ir_vldstate(c->ir, 3, place_of(reg));
}

/* IrUnit.assumed: in this segment an MMX instruction has set the stack; registers whose upper bits are ones. */
enum { STACK_SET = 1 << 2, ONES_SHIFT = 24 };

/* The low 8 bytes of value. The rest of the register is all ones. */
static void set_mmx(Ctx *c, unsigned reg, IrTmp value)
{
    IrUnit *u = c->ir;
    uint32_t known = 1u << ONES_SHIFT << (reg & 7);
    ir_vststate(u, 3, place_of(reg), value);
    if (!(u->assumed & known))
        ir_ststate(u, place_of(reg) + 8, MO_16, ir_const(u, IR_I32, 0xffff));
    u->assumed |= known;
}

/* The stack is at 0; used: all registers, or none. */
static void set_stack(Ctx *c, unsigned used)
{
    IrUnit *u = c->ir;
    if (used && u->assumed & STACK_SET)
        return;
    ir_ststate(u, offsetof(X86State, fpu) + offsetof(X86Fpu, top), MO_8, ir_const(u, IR_I32, 0));
    ir_ststate(u, offsetof(X86State, fpu) + offsetof(X86Fpu, used), MO_8, ir_const(u, IR_I32, used));
    x87_forget_top(c);
    u->assumed = used ? u->assumed | STACK_SET : u->assumed & ~(uint32_t)STACK_SET;
}

static IrTmp mmx_rm(Ctx *c, unsigned n)
{
    if (c->i->mod == 3)
        return get_mmx(c, c->i->rm);
    unsigned bytes = operand_size(c, n);
    return load_vector_operand(c, bytes);
}

static int64_t opcode(const Ctx *c)
{
    return c->i->opcode | c->i->map << 8 | IR_HOST_66;
}

static IrTmp shift_down(Ctx *c, IrTmp v, unsigned bytes)
{
    return host_move(c, HOST_66(VM, HOST_SHIFT_BYTES | 3 << IR_HOST_DIGIT) | IR_HOST_IMM(bytes), v, 0);
}

enum { PLAIN, JOINED, HIGH, SHUFFLE, ALIGN };
/* How a binary operation depends on the registers' length. */
static unsigned kind_of(const X86Insn *i)
{
    if (i->map == 1)
        return i->opcode == 0x63 || i->opcode == 0x67 || i->opcode == 0x6b ? JOINED
               : i->opcode >= 0x68 && i->opcode <= 0x6a                    ? HIGH
                                                                           : PLAIN;
    if (i->map == 3)
        return ALIGN;
    return i->opcode == 0x00 ? SHUFFLE : i->opcode <= 0x07 && i->opcode != 0x04 ? JOINED : PLAIN;
}

static IrTmp binary(Ctx *c, IrTmp a, IrTmp b)
{
    IrTmp v;
    switch (kind_of(c->i)) {
    case JOINED:
        v = host_move(c, HOST(RVM, HOST_UNPACK_LOW), a, b);
        return host_move(c, HOST(RVM, opcode(c)), v, v);
    case HIGH: { /* the low form gives both halves */
        int64_t low = (opcode(c) & ~(int64_t)0xff) | (c->i->opcode - 8u);
        return shift_down(c, host_move(c, HOST(RVM, low), a, b), 8);
    }
    case SHUFFLE:
        v = host_move(c, HOST(RM, HOST_FROM_INT | IR_HOST_W),
                      ir_const(c->ir, IR_I64, (int64_t)UINT64_C(0x8787878787878787)), 0);
        return host_move(c, HOST(RVM, opcode(c)), a, host_move(c, HOST(RVM, HOST_AND), b, v));
    case ALIGN:
        v = host_move(c, HOST(RVM, HOST_UNPACK_LOW), b, a);
        return shift_down(c, v, (uint8_t)c->i->imm);
    default:
        return host_move(c, HOST(RVM, opcode(c)), a, b);
    }
}

/* Conversions between packed integers in MMX registers and floats. What they raise comes after the stack was set. */
static bool convert(Ctx *c)
{
    enum { DQ2PS = IR_HOST_0F | 0x5b, DQ2PD = IR_HOST_0F | IR_HOST_F3 | 0xe6 };
    const X86Row *row = c->i->row;
    bool doubles = row->prefix == PREFIX_66;
    if (row->operands[0].kind == OPERAND_XMM) {
        IrTmp source = mmx_rm(c, 1);
        if (c->i->mod == 3)
            set_stack(c, 0xff);
        IrTmp v = host_op(c, IR_V256, HOST(RM, doubles ? DQ2PD : DQ2PS), false, source, 0, 0);
        if (!doubles)
            v = host_move(c, HOST(RVM, HOST_MOVSD), get_xmm(c, c->i->reg), v);
        set_xmm(c, c->i->reg, v, false);
        return true;
    }
    static const int64_t to_int[2][2] = { { IR_HOST_0F | IR_HOST_66 | 0x5b, IR_HOST_0F | IR_HOST_F3 | 0x5b },
                                          { IR_HOST_0F | IR_HOST_F2 | 0xe6, IR_HOST_0F | IR_HOST_66 | 0xe6 } };
    IrTmp v = get_xmm_rm(c, doubles ? 16 : 8);
    if (!doubles)
        v = host_move(c, HOST(RM, HOST_MOVQ), v, 0);
    set_stack(c, 0xff);
    set_mmx(c, c->i->reg, host_op(c, IR_V256, HOST(RM, to_int[doubles][c->i->opcode == 0x2c]), false, v, 0, 0));
    return true;
}

/* Between MMX registers and general ones, memory, or vector registers. */
static bool move(Ctx *c)
{
    const X86Insn *i = c->i;
    unsigned first = i->row->operands[0].kind, second = i->row->operands[1].kind;
    if (first == OPERAND_RM || (first == OPERAND_MMX_RM && i->mod != 3)) { /* store */
        unsigned bytes = operand_size(c, 0);
        IrTmp v = get_mmx(c, i->reg);
        if (i->mod != 3)
            store_vector_operand(c, bytes, v);
        else
            set_reg(
                c, i->rm, bytes,
                ir_host(c->ir, type_of(bytes), HOST(MR, HOST_TO_INT | (bytes == 8 ? IR_HOST_W : 0)), true, v, 0, 0));
    } else if (first == OPERAND_MMX_RM) {
        set_mmx(c, i->rm, get_mmx(c, i->reg));
    } else if (second == OPERAND_RM) {
        IrTmp v = get_operand(c, 1);
        set_mmx(c, i->reg, host_move(c, HOST(RM, HOST_FROM_INT | (operand_size(c, 1) == 8 ? IR_HOST_W : 0)), v, 0));
    } else if (first == OPERAND_XMM) { /* movq2dq */
        set_xmm(c, i->reg, get_mmx(c, i->rm), false);
    } else {
        set_mmx(c, i->reg, second == OPERAND_XMM_RM ? get_xmm(c, i->rm) : mmx_rm(c, 1));
    }
    return true;
}

static bool is_move(const X86Insn *i)
{
    return i->map == 1 && (i->opcode == 0x6e || i->opcode == 0x6f || i->opcode == 0x7e || i->opcode == 0x7f ||
                           i->opcode == 0xd6 || i->opcode == 0xe7);
}

/* Those with an immediate, and to general registers. */
static bool with_immediate(Ctx *c)
{
    enum { PSHUFLW = IR_HOST_0F | IR_HOST_F2 | 0x70, PEXTRW = IR_HOST_0F | IR_HOST_66 | 0xc5 };
    const X86Insn *i = c->i;
    IrTmp v;
    switch (i->opcode) {
    case 0x70:
        set_mmx(c, i->reg, host_move(c, HOST(RM, PSHUFLW) | IR_HOST_IMM(i->imm), mmx_rm(c, 1), 0));
        return true;
    case 0xc4: {
        IrTmp value = get_operand(c, 1);
        set_mmx(c, i->reg,
                ir_host(c->ir, IR_V256, HOST(RVM, opcode(c)) | IR_HOST_IMM(i->imm & 3), true, get_mmx(c, i->reg), value,
                        0));
        return true;
    }
    case 0xc5:
        v = ir_host(c->ir, IR_I32, HOST(RM, PEXTRW) | IR_HOST_IMM(i->imm & 3), true, get_mmx(c, i->rm), 0, 0);
        set_reg(c, i->reg, 4, v);
        return true;
    case 0xd7:
        set_reg(c, i->reg, 4, ir_host(c->ir, IR_I32, HOST(RM, opcode(c)), true, get_mmx(c, i->rm), 0, 0));
        return true;
    default: /* shifts */
        v = host_move(c, HOST(VM, opcode(c)) | (int64_t)i->row->digit << IR_HOST_DIGIT | IR_HOST_IMM(i->imm),
                      get_mmx(c, i->rm), 0);
        set_mmx(c, i->rm, v);
        return true;
    }
}

static bool compute(Ctx *c)
{
    const X86Insn *i = c->i;
    if (is_move(i))
        return move(c);
    if (i->map == 1 && (i->opcode == 0x2a || i->opcode == 0x2c || i->opcode == 0x2d))
        return convert(c);
    if (i->map == 1 && i->opcode == 0xf7) {
        uint64_t flags = 0;
        IrTmp offset = implicit_offset(c, &flags);
        set_stack(c, 0xff); /* before a fault, too */
        ir_call(c->ir, IR_I64, HELPER_SIMD, ir_const(c->ir, IR_I64, (int64_t)(SIMD_MASKED_STORE_MMX | flags << 8)),
                offset, ir_const(c->ir, IR_I64, i->reg | (int64_t)i->rm << 8), 0);
        return true;
    }
    if (i->map == 1 &&
        ((i->opcode >= 0x70 && i->opcode <= 0x73) || i->opcode == 0xc4 || i->opcode == 0xc5 || i->opcode == 0xd7))
        return with_immediate(c);
    if (i->map == 2 && i->opcode >= 0x1c && i->opcode <= 0x1e) {
        set_mmx(c, i->reg, host_move(c, HOST(RM, opcode(c)), mmx_rm(c, 1), 0));
        return true;
    }
    IrTmp b = mmx_rm(c, 1);
    set_mmx(c, i->reg, binary(c, get_mmx(c, i->reg), b));
    return true;
}

bool translate_mmx(Ctx *c)
{
    const X86Row *row = c->i->row;
    bool sse = row->operands[0].kind == OPERAND_XMM || row->operands[1].kind == OPERAND_XMM_RM;
    if (!simd_available(c, sse ? NEED_SSE : NEED_MMX))
        return true;
    bool from_memory = row->operands[0].kind == OPERAND_XMM && c->i->mod != 3; /* a conversion: no MMX register */
    if (from_memory)
        return compute(c);
    ir_guard(c->ir, offsetof(X86State, fpu) + offsetof(X86Fpu, pending), HELPER_X87_PENDING, 0);
    bool emms = row->id == X86_OP_emms;
    if (!emms && !compute(c))
        return false;
    set_stack(c, emms ? 0 : 0xff); /* last: what is before may fault */
    return true;
}
