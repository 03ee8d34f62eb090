/*
 * x86-64 back end: integer operations.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/x86-64/regs.h"

static const uint8_t cond_code[] = { CC_E, CC_NE, CC_L, CC_GE, CC_B, CC_AE, CC_LE, CC_G, CC_BE, CC_A };

/* dst = reg or memory operand of t, moved there. */
static void move_to(Emit *e, int dst, IrTmp t, bool wide)
{
    Place *p = &e->place[t];
    if ((p->where == AT_REG || p->where == AT_PIN) && p->reg == dst)
        return;
    if (p->where == AT_REG || p->where == AT_PIN)
        mov_rr(&e->a, dst, p->reg, wide);
    else
        move_place(e, dst, t);
}

static void alu_operand(Emit *e, int op, int dst, IrTmp b, bool wide)
{
    int32_t imm;
    Mem m;
    if (is_imm32(e, b, &imm)) {
        alu_imm(&e->a, op, dst, imm, wide);
        return;
    }
    int reg = use_reg_or_mem(e, b, &m);
    if (reg == NO_REG)
        alu_load(&e->a, op, dst, m, wide);
    else
        alu_rr(&e->a, op, dst, reg, wide);
}

static uint32_t place_mask(const Emit *e, IrTmp t)
{
    const Place *p = &e->place[t];
    return p->where == AT_REG || p->where == AT_PIN ? 1u << p->reg : 0;
}

static bool emit_add(Emit *e, const IrInsn *insn, bool wide)
{
    int32_t imm;
    IrTmp a = insn->arg[0], b = insn->arg[1];
    if (is_imm32(e, b, &imm)) {
        int x = use_reg(e, a), dst = def_reg(e, insn->dst, 0);
        if (x == dst)
            alu_imm(&e->a, ALU_ADD, dst, imm, wide);
        else
            lea(&e->a, dst, mem(x, imm), wide);
        def_done(e, insn->dst, dst);
        return true;
    }
    if (e->u->tmps[b].constant)
        return false;
    int x = use_reg(e, a), y = use_reg(e, b), dst = def_reg(e, insn->dst, 0);
    if (dst == x)
        alu_rr(&e->a, ALU_ADD, dst, y, wide);
    else if (dst == y)
        alu_rr(&e->a, ALU_ADD, dst, x, wide);
    else
        lea(&e->a, dst, mem_index(x, y, 0), wide);
    def_done(e, insn->dst, dst);
    return true;
}

/* dst = a op b with a two-operand instruction. */
static void emit_alu(Emit *e, const IrInsn *insn, int op, bool wide)
{
    IrTmp a = insn->arg[0], b = insn->arg[1];
    if (op != ALU_SUB && e->u->tmps[b].last_use == e->index && place_mask(e, b) && !place_mask(e, a)) {
        IrTmp t = a;
        a = b;
        b = t;
    }
    int32_t imm;
    uint32_t b_mask = a == b ? 0 : place_mask(e, b);
    e->busy |= b_mask;
    int dst = def_reg(e, insn->dst, 0);
    if (b_mask >> dst & 1) { /* dst is where b is */
        if (op == ALU_SUB) {
            op_rr(&e->a, 0xf7, 3, dst, wide); /* neg */
            op = ALU_ADD;
        }
        alu_operand(e, op, dst, a, wide);
    } else {
        if (op == ALU_AND && is_imm32(e, b, &imm) && (uint32_t)imm == 0xff && place_mask(e, a)) {
            op_rr(&e->a, P_0F | 0xb6 | BYTE_REG, dst, use_reg(e, a), false);
            def_done(e, insn->dst, dst);
            return;
        }
        move_to(e, dst, a, wide);
        e->busy |= 1u << dst;
        alu_operand(e, op, dst, b, wide);
    }
    def_done(e, insn->dst, dst);
}

static void emit_andc(Emit *e, const IrInsn *insn, bool wide)
{
    int x = use_reg(e, insn->arg[0]), y = use_reg(e, insn->arg[1]);
    if (host_features.bmi1) {
        int dst = def_reg(e, insn->dst, 0);
        vex_rr(&e->a, 2, 0, wide, 0xf2, dst, y, x); /* andn dst, y, x = ~y & x */
        def_done(e, insn->dst, dst);
        return;
    }
    int dst = def_reg(e, insn->dst, 1u << x);
    mov_rr(&e->a, dst, y, wide);
    op_rr(&e->a, 0xf7, 2, dst, wide); /* not */
    alu_rr(&e->a, ALU_AND, dst, x, wide);
    def_done(e, insn->dst, dst);
}

static void emit_mul(Emit *e, const IrInsn *insn, bool wide)
{
    int32_t imm;
    if (is_imm32(e, insn->arg[1], &imm)) {
        int x = use_reg(e, insn->arg[0]), dst = def_reg(e, insn->dst, 0);
        op_rr(&e->a, 0x69, dst, x, wide);
        put_u32(&e->a, imm);
        def_done(e, insn->dst, dst);
        return;
    }
    int x = use_reg(e, insn->arg[0]), y = use_reg(e, insn->arg[1]), dst = def_reg(e, insn->dst, 0);
    if (dst == y) {
        op_rr(&e->a, P_0F | 0xaf, dst, x, wide);
    } else {
        if (dst != x)
            mov_rr(&e->a, dst, x, wide);
        op_rr(&e->a, P_0F | 0xaf, dst, y, wide);
    }
    def_done(e, insn->dst, dst);
}

/* The first operand in rax, rdx free; returns where the second one is. */
static int operands_in_rax(Emit *e, const IrInsn *insn, bool wide)
{
    int y = use_reg(e, insn->arg[1]);
    if (y == RDX || y == RAX) {
        e->busy |= 1u << RAX | 1u << RDX;
        int other = scratch_int(e);
        mov_rr(&e->a, other, y, wide);
        y = other;
    }
    e->busy &= ~(1u << RAX | 1u << RDX);
    load_into(e, insn->arg[0], RAX);
    e->busy |= 1u << RAX;
    evict(e, RDX);
    e->busy |= 1u << RDX;
    return y;
}

/* The high half: rdx:rax = rax * y. mulhsu(a, b) = mulhu(a, b) - (a < 0 ? b : 0). */
static void emit_mul_high(Emit *e, const IrInsn *insn, bool wide)
{
    int y = operands_in_rax(e, insn, wide);
    int correction = NO_REG;
    if (insn->op == OP_mulhsu) {
        correction = scratch_int(e);
        mov_rr(&e->a, correction, RAX, wide);
        shift_imm(&e->a, SHIFT_SAR, correction, wide ? 63 : 31, wide);
        alu_rr(&e->a, ALU_AND, correction, y, wide);
    }
    op_rr(&e->a, 0xf7, insn->op == OP_mulhs ? 5 : 4, y, wide);
    if (correction != NO_REG)
        alu_rr(&e->a, ALU_SUB, RDX, correction, wide);
    e->host[RAX] = (HostReg){ 0, -1, 0 };
    def_done(e, insn->dst, RDX);
}

/* Division that does not trap: zero and overflow are handled around the instruction. */
static void emit_divide(Emit *e, const IrInsn *insn, bool wide)
{
    bool is_signed = insn->op == OP_divs || insn->op == OP_rems, quotient = insn->op == OP_divs || insn->op == OP_divu;
    int y = operands_in_rax(e, insn, wide);
    Asm *a = &e->a;
    test_rr(a, y, y, wide);
    uint8_t *not_zero = jcc_short(a, CC_NE);
    mov_rr(a, RDX, RAX, wide); /* x % 0 = x */
    mov_imm(a, RAX, -1);
    put_byte(a, 0xeb);
    put_byte(a, 0);
    uint8_t *done = a->p - 1, *done2 = NULL;
    patch_short(not_zero, a->p);
    if (is_signed) {
        alu_imm(a, ALU_CMP, y, -1, wide);
        uint8_t *usual = jcc_short(a, CC_NE);
        op_rr(a, 0xf7, 3, RAX, wide); /* x / -1 = -x, remainder 0 */
        alu_rr(a, ALU_XOR, RDX, RDX, false);
        put_byte(a, 0xeb);
        put_byte(a, 0);
        done2 = a->p - 1;
        patch_short(usual, a->p);
        if (wide)
            put_byte(a, 0x48);
        put_byte(a, 0x99); /* cdq, cqo */
    } else {
        alu_rr(a, ALU_XOR, RDX, RDX, false);
    }
    op_rr(a, 0xf7, is_signed ? 7 : 6, y, wide);
    patch_short(done, a->p);
    if (done2)
        patch_short(done2, a->p);
    def_done(e, insn->dst, quotient ? RAX : RDX);
}

static void emit_shift(Emit *e, const IrInsn *insn, bool wide)
{
    static const uint8_t digit[] = { SHIFT_SHL, SHIFT_SHR, SHIFT_SAR, SHIFT_ROL, SHIFT_ROR };
    int op = digit[insn->op - OP_shl];
    IrTmp a = insn->arg[0], b = insn->arg[1];
    if (e->u->tmps[b].constant) {
        unsigned n = e->u->tmps[b].value & (wide ? 63 : 31);
        int x = use_reg(e, a), dst = def_reg(e, insn->dst, 0);
        if (dst != x && (op == SHIFT_ROL || op == SHIFT_ROR) && host_features.bmi2) { /* rorx dst, x, right */
            vex_rr(&e->a, 3, 3, wide, 0xf0, dst, 0, x);
            put_byte(&e->a, (op == SHIFT_ROR ? n : -n) & (wide ? 63 : 31));
            def_done(e, insn->dst, dst);
            return;
        }
        if (dst != x)
            mov_rr(&e->a, dst, x, wide);
        shift_imm(&e->a, op, dst, n, wide);
        def_done(e, insn->dst, dst);
        return;
    }
    if (host_features.bmi2 && insn->op <= OP_sar) { /* shlx, shrx, sarx dst, x, count */
        int x = use_reg(e, a), n = use_reg(e, b), dst = def_reg(e, insn->dst, 0);
        vex_rr(&e->a, 2, insn->op == OP_shl ? 1 : insn->op == OP_shr ? 3 : 2, wide, 0xf7, dst, n, x);
        def_done(e, insn->dst, dst);
        return;
    }
    int x = use_reg(e, a);
    if (x == RCX) {
        x = scratch_int(e);
        mov_rr(&e->a, x, RCX, wide);
        e->busy &= ~(1u << RCX);
    }
    load_into(e, b, RCX);
    int dst = def_reg(e, insn->dst, 0);
    if (dst != x)
        mov_rr(&e->a, dst, x, wide);
    shift_cl(&e->a, op, dst, wide);
    e->host[RCX] = (HostReg){ 0, -1, 0 };
    def_done(e, insn->dst, dst);
}

static void emit_ext(Emit *e, const IrInsn *insn)
{
    bool wide = insn->type == IR_I64;
    unsigned how = insn->op == OP_trunc ? MO_32 : insn->aux & (MO_SIZE | MO_SIGNED);
    int x = use_reg(e, insn->arg[0]), dst = def_reg(e, insn->dst, 0);
    switch (how) {
    case MO_8:
        op_rr(&e->a, P_0F | 0xb6 | BYTE_REG, dst, x, false);
        break;
    case MO_16:
        op_rr(&e->a, P_0F | 0xb7, dst, x, false);
        break;
    case MO_32:
        mov_rr(&e->a, dst, x, false);
        break;
    case MO_8 | MO_SIGNED:
        op_rr(&e->a, P_0F | 0xbe | BYTE_REG, dst, x, wide);
        break;
    case MO_16 | MO_SIGNED:
        op_rr(&e->a, P_0F | 0xbf, dst, x, wide);
        break;
    case MO_32 | MO_SIGNED:
        op_rr(&e->a, 0x63, dst, x, wide);
        break;
    default:
        if (dst != x)
            mov_rr(&e->a, dst, x, true);
    }
    def_done(e, insn->dst, dst);
}

static void emit_count(Emit *e, const IrInsn *insn, bool wide)
{
    int x = use_reg(e, insn->arg[0]), width = wide ? 64 : 32;
    Asm *a = &e->a;
    if (insn->op == OP_popcnt || (insn->op == OP_clz && host_features.lzcnt) ||
        (insn->op == OP_ctz && host_features.bmi1)) {
        int dst = def_reg(e, insn->dst, 0);
        op_rr(a, P_F3 | P_0F | (insn->op == OP_popcnt ? 0xb8 : insn->op == OP_clz ? 0xbd : 0xbc), dst, x, wide);
        def_done(e, insn->dst, dst);
        return;
    }
    int dst = def_reg(e, insn->dst, 1u << x), none = scratch_int(e);
    mov_imm(a, none, insn->op == OP_clz ? 2 * width - 1 : width);
    op_rr(a, P_0F | (insn->op == OP_clz ? 0xbd : 0xbc), dst, x, wide); /* bsr, bsf */
    op_rr(a, P_0F | 0x40 | CC_E, dst, none, wide);
    if (insn->op == OP_clz)
        alu_imm(a, ALU_XOR, dst, width - 1, wide);
    def_done(e, insn->dst, dst);
}

static void emit_bswap(Emit *e, const IrInsn *insn, bool wide)
{
    int x = use_reg(e, insn->arg[0]), dst = def_reg(e, insn->dst, 0);
    if (dst != x)
        mov_rr(&e->a, dst, x, wide);
    put_opcode(&e->a, P_0F | 0xc8 | (dst & 7), (wide ? 8 : 0) | dst >> 3);
    def_done(e, insn->dst, dst);
}

int emit_compare(Emit *e, const IrInsn *insn)
{
    IrTmp a = insn->arg[0], b = insn->arg[1];
    bool wide = e->u->tmps[a].type == IR_I64;
    int32_t imm;
    Mem m;
    if (is_imm32(e, b, &imm)) {
        int x = imm == 0 ? use_reg(e, a) : use_reg_or_mem(e, a, &m);
        if (x == NO_REG)
            alu_mem_imm(&e->a, ALU_CMP, m, imm, wide);
        else if (imm == 0)
            test_rr(&e->a, x, x, wide);
        else
            alu_imm(&e->a, ALU_CMP, x, imm, wide);
        return cond_code[insn->aux];
    }
    alu_operand(e, ALU_CMP, use_reg(e, a), b, wide);
    return cond_code[insn->aux];
}

static void emit_setcond(Emit *e, const IrInsn *insn)
{
    int cc = emit_compare(e, insn), dst = def_reg(e, insn->dst, 0);
    put_opcode(&e->a, P_0F | 0x90 | cc, dst >= RSP ? 0x40 | dst >> 3 : 0);
    put_byte(&e->a, 0xc0 | (dst & 7));
    op_rr(&e->a, P_0F | 0xb6 | BYTE_REG, dst, dst, false);
    def_done(e, insn->dst, dst);
}

static void emit_select(Emit *e, const IrInsn *insn)
{
    bool wide = insn->type == IR_I64;
    int yes = use_reg(e, insn->arg[2]), no = use_reg(e, insn->arg[3]);
    uint32_t compared = place_mask(e, insn->arg[0]) | place_mask(e, insn->arg[1]);
    int dst = def_reg(e, insn->dst,
                      compared | 1u << yes); /* a pin is written before the comparison only if nothing needs it */
    e->busy |= 1u << dst;
    int cc = emit_compare(e, insn);
    if (dst != no)
        mov_rr(&e->a, dst, no, wide); /* leaves the flags */
    op_rr(&e->a, P_0F | 0x40 | cc, dst, yes, wide);
    def_done(e, insn->dst, dst);
}

bool emit_integer(Emit *e, const IrInsn *insn)
{
    bool wide = insn->type == IR_I64;
    switch (insn->op) {
    case OP_add:
        if (!emit_add(e, insn, wide))
            emit_alu(e, insn, ALU_ADD, wide);
        break;
    case OP_sub:
        emit_alu(e, insn, ALU_SUB, wide);
        break;
    case OP_and:
        emit_alu(e, insn, ALU_AND, wide);
        break;
    case OP_or:
        emit_alu(e, insn, ALU_OR, wide);
        break;
    case OP_xor:
        emit_alu(e, insn, ALU_XOR, wide);
        break;
    case OP_andc:
        emit_andc(e, insn, wide);
        break;
    case OP_mul:
        emit_mul(e, insn, wide);
        break;
    case OP_mulhs:
    case OP_mulhu:
    case OP_mulhsu:
        emit_mul_high(e, insn, wide);
        break;
    case OP_divs:
    case OP_divu:
    case OP_rems:
    case OP_remu:
        emit_divide(e, insn, wide);
        break;
    case OP_shl:
    case OP_shr:
    case OP_sar:
    case OP_rotl:
    case OP_rotr:
        emit_shift(e, insn, wide);
        break;
    case OP_ext:
    case OP_trunc:
        emit_ext(e, insn);
        break;
    case OP_clz:
    case OP_ctz:
    case OP_popcnt:
        emit_count(e, insn, wide);
        break;
    case OP_bswap:
        emit_bswap(e, insn, wide);
        break;
    case OP_setcond:
        emit_setcond(e, insn);
        break;
    case OP_select:
        emit_select(e, insn);
        break;
    default:
        return false;
    }
    return true;
}
