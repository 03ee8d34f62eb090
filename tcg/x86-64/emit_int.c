/*
 * x86-64 back end: integer arithmetic, logic, shifts, comparisons, and accesses to the state.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/x86-64/regs.h"

int condition_code(IrCond cond)
{
    static const uint8_t codes[] = { CC_E, CC_NE, CC_L, CC_GE, CC_B, CC_AE, CC_LE, CC_G, CC_BE, CC_A };
    return codes[cond];
}

/* The flags of a - b. */
void emit_compare(Emit *e, IrType type, IrTmp a, IrTmp b, IrCond *cond)
{
    unsigned w = width(type);
    int32_t imm;

    if (is_constant(e, a) && !is_constant(e, b)) {
        IrTmp t = a;
        a = b;
        b = t;
        *cond = cond_swap(*cond);
    }
    if (is_imm32(e, type, b, &imm) && value_of(e, b)->reg == NO_REG) {
        Operand x = use_operand(e, a);
        if (x.reg == NO_REG)
            asm_alu_mem_imm(&e->a, w, ALU_CMP, x.mem, imm);
        else if (imm)
            asm_alu_imm(&e->a, w, ALU_CMP, x.reg, imm);
        else
            asm_rr(&e->a, I_TEST | w, x.reg, x.reg);
        return;
    }
    int x = use_gpr(e, a);
    op_operand(e, ALU_LOAD(ALU_CMP) | w, x, use_operand(e, b));
}

/* ---- two-operand arithmetic ---- */

/* Is this op followed by a setreg of the (unpinned) register that the operand was read from, and is neither value
 * needed further? Then the state is changed in place. */
static bool in_place(Emit *e, const IrInsn *insn, IrTmp operand, Mem *place)
{
    const IrInsn *next = insn + 1;
    const Value *a = value_of(e, operand);

    if (e->index + 1 >= e->u->count || next->op != OP_setreg || next->arg[0] != insn->dst ||
        e->u->tmps[insn->dst].last_use != e->index + 1)
        return false;
    if (a->reg != NO_REG || a->last > e->index || !a->in_memory || a->guest != next->imm ||
        e->u->regs[next->imm].type != insn->type)
        return false;
    *place = mem_at(a->home_base, a->home);
    return true;
}

static void alu_operand(Emit *e, unsigned w, int alu, int dst, Operand b)
{
    op_operand(e, ALU_LOAD(alu) | w, dst, b);
}

static void emit_alu_imm(Emit *e, const IrInsn *insn, IrTmp a, int alu, int32_t imm)
{
    unsigned w = width(insn->type);
    Mem place;

    if (in_place(e, insn, a, &place)) {
        asm_alu_mem_imm(&e->a, w, alu, place, imm);
        value_in_place(e, insn->dst, insn[1].imm);
        return;
    }
    const Value *v = value_of(e, a);
    if (v->reg != NO_REG)
        e->locked |= 1u << v->reg;
    if (alu == ALU_AND && (imm == 0xff || imm == 0xffff)) {
        Operand x = use_operand(e, a);
        int dst = result_gpr(e, insn->dst, a);
        op_operand(e, imm == 0xff ? I_MOVZX8 : I_MOVZX16, dst, x);
        bind(e, insn->dst, insn->type, dst);
        return;
    }
    int dst = result_gpr(e, insn->dst, a);
    if (alu == ALU_ADD && v->reg != NO_REG && v->reg != dst) {
        asm_rm(&e->a, I_LEA | w, dst, mem_at(v->reg, imm));
    } else {
        move_to_gpr(e, w, dst, a);
        if (alu == ALU_XOR && imm == -1)
            asm_rr(&e->a, I_GROUP3 | w, G3_NOT, dst);
        else
            asm_alu_imm(&e->a, w, alu, dst, imm);
    }
    bind(e, insn->dst, insn->type, dst);
}

static void emit_commutative(Emit *e, const IrInsn *insn, int alu)
{
    unsigned w = width(insn->type);
    IrTmp a = insn->arg[0], b = insn->arg[1];
    int32_t imm;

    if (is_constant(e, a)) {
        IrTmp t = a;
        a = b;
        b = t;
    }
    if (is_imm32(e, insn->type, b, &imm)) {
        emit_alu_imm(e, insn, a, alu, imm);
        return;
    }
    if (alu == ALU_AND && insn->type == IR_I64 && is_constant(e, b) && value_of(e, b)->imm == UINT32_MAX) {
        Operand x = use_operand(e, a);
        int dst = result_gpr(e, insn->dst, a);
        op_operand(e, I_MOV_LOAD, dst, x);
        bind(e, insn->dst, insn->type, dst);
        return;
    }
    /* the one that dies becomes the result */
    if (!dies_here(e, a) && dies_here(e, b)) {
        IrTmp t = a;
        a = b;
        b = t;
    }
    Operand y = use_operand(e, b);
    const Value *v = value_of(e, a);
    if (v->reg != NO_REG)
        e->locked |= 1u << v->reg;
    int dst = result_gpr(e, insn->dst, a);
    if (v->reg == dst)
        alu_operand(e, w, alu, dst, y);
    else if (y.reg == dst)
        alu_operand(e, w, alu, dst, use_operand(e, a));
    else if (alu == ALU_ADD && v->reg != NO_REG && y.reg != NO_REG)
        asm_rm(&e->a, I_LEA | w, dst, mem_index(v->reg, y.reg, 0));
    else {
        move_to_gpr(e, w, dst, a);
        alu_operand(e, w, alu, dst, y);
    }
    bind(e, insn->dst, insn->type, dst);
}

static void emit_sub(Emit *e, const IrInsn *insn)
{
    unsigned w = width(insn->type);
    IrTmp a = insn->arg[0], b = insn->arg[1];
    int32_t imm;

    if (is_imm32(e, insn->type, b, &imm) && imm != INT32_MIN) {
        emit_alu_imm(e, insn, a, ALU_ADD, -imm);
        return;
    }
    Operand y = use_operand(e, b);
    const Value *v = value_of(e, a);
    if (v->reg != NO_REG)
        e->locked |= 1u << v->reg;
    int dst = result_gpr(e, insn->dst, v->constant && !v->imm ? b : a);
    if (v->constant && !v->imm) { /* negation */
        move_to_gpr(e, w, dst, b);
        asm_rr(&e->a, I_GROUP3 | w, G3_NEG, dst);
    } else if (v->reg != dst && y.reg == dst) {
        asm_rr(&e->a, I_GROUP3 | w, G3_NEG, dst);
        Operand x = use_operand(e, a);
        alu_operand(e, w, ALU_ADD, dst, x);
    } else {
        move_to_gpr(e, w, dst, a);
        alu_operand(e, w, ALU_SUB, dst, y);
    }
    bind(e, insn->dst, insn->type, dst);
}

static void emit_andc(Emit *e, const IrInsn *insn)
{
    unsigned w = width(insn->type);
    IrTmp a = insn->arg[0], b = insn->arg[1];
    int y = use_gpr(e, b);
    if (host_features.bmi1) {
        Operand x = use_operand(e, a);
        int dst = result_gpr(e, insn->dst, b);
        if (x.reg == NO_REG)
            asm_vex_rm(&e->a, I_ANDN | w, dst, y, x.mem);
        else
            asm_vex_rr(&e->a, I_ANDN | w, dst, y, x.reg);
        bind(e, insn->dst, insn->type, dst);
        return;
    }
    Operand x = use_operand(e, a);
    int t = scratch_gpr(e);
    asm_mov(&e->a, w, t, y);
    asm_rr(&e->a, I_GROUP3 | w, G3_NOT, t);
    op_operand(e, ALU_LOAD(ALU_AND) | w, t, x);
    int hint = alloc_hint(e, insn->dst);
    if (hint != NO_REG)
        asm_mov(&e->a, w, hint, t);
    bind(e, insn->dst, insn->type, hint == NO_REG ? t : hint);
}

/* ---- shifts ---- */

/* a << 1..3 whose only use is the addition that follows becomes part of a lea. */
static bool emit_shift_add(Emit *e, const IrInsn *insn, unsigned n)
{
    const IrInsn *next = insn + 1;
    if (!n || n > 3 || e->index + 1 >= e->u->count || next->op != OP_add || next->type != insn->type ||
        e->u->tmps[insn->dst].last_use != e->index + 1 || (next->arg[0] == insn->dst) == (next->arg[1] == insn->dst))
        return false;
    IrTmp other = next->arg[next->arg[0] == insn->dst];
    if (is_constant(e, other))
        return false;
    int x = use_gpr(e, insn->arg[0]), y = use_gpr(e, other);
    e->index++; /* both instructions at once: what dies at the second one may hold the result */
    IrTmp dying = dies_here(e, insn->arg[0]) ? insn->arg[0] : other;
    int dst = result_gpr(e, next->dst, dying);
    asm_rm(&e->a, I_LEA | width(insn->type), dst, (Mem){ .base = y, .index = x, .scale = n });
    bind(e, next->dst, insn->type, dst);
    value_constant(e, insn->dst, insn->type, 0); /* dead from here on */
    alloc_end(e, next);
    return true;
}

static void emit_shift_imm(Emit *e, const IrInsn *insn, unsigned n)
{
    unsigned w = width(insn->type), bits = w ? 64 : 32;
    IrTmp a = insn->arg[0];

    if (insn->op == OP_shl && emit_shift_add(e, insn, n))
        return;
    if ((insn->op == OP_rotl || insn->op == OP_rotr) && host_features.bmi2) {
        Operand x = use_operand(e, a);
        int dst = result_gpr(e, insn->dst, a);
        unsigned right = (insn->op == OP_rotr ? n : bits - n) & (bits - 1);
        if (x.reg == NO_REG)
            asm_vex_rm_imm(&e->a, I_RORX | w, dst, 0, x.mem, 1);
        else
            asm_vex_rr(&e->a, I_RORX | w, dst, 0, x.reg);
        asm_u8(&e->a, right);
        bind(e, insn->dst, insn->type, dst);
        return;
    }
    static const uint8_t shifts[OP_COUNT] = {
        [OP_shl] = SHIFT_SHL, [OP_shr] = SHIFT_SHR, [OP_sar] = SHIFT_SAR, [OP_rotl] = SHIFT_ROL, [OP_rotr] = SHIFT_ROR,
    };
    const Value *v = value_of(e, a);
    if (v->reg != NO_REG)
        e->locked |= 1u << v->reg;
    int dst = result_gpr(e, insn->dst, a);
    if (insn->op == OP_shl && n == 1 && v->reg != NO_REG && v->reg != dst) {
        asm_rm(&e->a, I_LEA | w, dst, mem_index(v->reg, v->reg, 0));
    } else {
        move_to_gpr(e, w, dst, a);
        if (insn->op == OP_shl && n == 1)
            asm_rr(&e->a, ALU_LOAD(ALU_ADD) | w, dst, dst);
        else if (n)
            asm_shift_imm(&e->a, w, shifts[insn->op], dst, n);
    }
    bind(e, insn->dst, insn->type, dst);
}

static void emit_shift(Emit *e, const IrInsn *insn)
{
    unsigned w = width(insn->type);
    IrTmp a = insn->arg[0], b = insn->arg[1];

    if (is_constant(e, b)) {
        emit_shift_imm(e, insn, value_of(e, b)->imm & (w ? 63 : 31));
        return;
    }
    if (host_features.bmi2 && insn->op != OP_rotl && insn->op != OP_rotr) {
        uint32_t op = insn->op == OP_shl ? I_SHLX : insn->op == OP_shr ? I_SHRX : I_SARX;
        int count = use_gpr(e, b);
        Operand x = use_operand(e, a);
        int dst = result_gpr(e, insn->dst, a);
        if (x.reg == NO_REG)
            asm_vex_rm(&e->a, op | w, dst, count, x.mem);
        else
            asm_vex_rr(&e->a, op | w, dst, count, x.reg);
        bind(e, insn->dst, insn->type, dst);
        return;
    }
    static const uint8_t shifts[OP_COUNT] = {
        [OP_shl] = SHIFT_SHL, [OP_shr] = SHIFT_SHR, [OP_sar] = SHIFT_SAR, [OP_rotl] = SHIFT_ROL, [OP_rotr] = SHIFT_ROR,
    };
    reserve_with(e, RCX, b);
    Operand x = root_of(e, a) == root_of(e, b) ? (Operand){ .reg = RCX } : use_operand(e, a);
    int dst = result_gpr(e, insn->dst, x.reg == RCX ? 0 : a);
    if (dst != x.reg)
        op_operand(e, I_MOV_LOAD | w, dst, x);
    asm_rr(&e->a, 0xd3 | w, shifts[insn->op], dst);
    bind(e, insn->dst, insn->type, dst);
}

/* ---- one operand ---- */

void emit_extend(Emit *e, unsigned w, unsigned memop, int dst, Operand src)
{
    switch (memop & (MO_SIZE | MO_SIGNED)) {
    case MO_8:
        op_operand(e, I_MOVZX8, dst, src);
        break;
    case MO_16:
        op_operand(e, I_MOVZX16, dst, src);
        break;
    case MO_32:
        op_operand(e, I_MOV_LOAD, dst, src);
        break;
    case MO_8 | MO_SIGNED:
        op_operand(e, I_MOVSX8 | w, dst, src);
        break;
    case MO_16 | MO_SIGNED:
        op_operand(e, I_MOVSX16 | w, dst, src);
        break;
    case MO_32 | MO_SIGNED:
        op_operand(e, w ? I_MOVSXD : I_MOV_LOAD, dst, src);
        break;
    default:
        op_operand(e, I_MOV_LOAD | w, dst, src);
        break;
    }
}

static void emit_ext(Emit *e, const IrInsn *insn)
{
    Operand x = use_operand(e, insn->arg[0]);
    int dst = result_gpr(e, insn->dst, insn->arg[0]);
    emit_extend(e, width(insn->type), insn->aux, dst, x);
    bind(e, insn->dst, insn->type, dst);
}

/* lzcnt, tzcnt and popcnt: width for 0. Without the first two: bsr and bsf leave the result undefined (and set ZF) for
 * 0. */
static void emit_count(Emit *e, const IrInsn *insn)
{
    unsigned w = width(insn->type), bits = w ? 64 : 32;
    Operand x = use_operand(e, insn->arg[0]);
    int dst = result_gpr(e, insn->dst, insn->arg[0]);

    if (insn->op == OP_popcnt) {
        op_operand(e, I_POPCNT | w, dst, x);
    } else if (insn->op == OP_clz ? host_features.lzcnt : host_features.bmi1) {
        op_operand(e, (insn->op == OP_clz ? I_LZCNT : I_TZCNT) | w, dst, x);
    } else {
        op_operand(e, (insn->op == OP_clz ? I_BSR : I_BSF) | w, dst, x);
        uint8_t *some = asm_jcc_short(&e->a, CC_NE);
        asm_mov_imm(&e->a, dst, insn->op == OP_clz ? 2 * bits - 1 : bits);
        asm_patch_short(some, e->a.p);
        if (insn->op == OP_clz)
            asm_alu_imm(&e->a, 0, ALU_XOR, dst, bits - 1);
    }
    bind(e, insn->dst, insn->type, dst);
}

static void emit_bswap(Emit *e, const IrInsn *insn)
{
    unsigned w = width(insn->type);
    const Value *v = value_of(e, insn->arg[0]);
    if (v->reg != NO_REG)
        e->locked |= 1u << v->reg;
    int dst = result_gpr(e, insn->dst, insn->arg[0]);
    move_to_gpr(e, w, dst, insn->arg[0]);
    asm_opcode(&e->a, 0xc8 | (dst & 7) | M_0F | w, 0, 0, dst);
    bind(e, insn->dst, insn->type, dst);
}

/* ---- conditions ---- */

static void emit_setcond(Emit *e, const IrInsn *insn)
{
    IrCond cond = insn->aux;
    IrType type = e->u->tmps[insn->arg[0]].type;
    /* operands are fetched first, so that the result may be zeroed before the comparison */
    for (unsigned k = 0; k < 2; k++) {
        if (!is_constant(e, insn->arg[k]) && !dies_here(e, insn->arg[k]))
            use_gpr(e, insn->arg[k]);
        else if (value_of(e, insn->arg[k])->reg != NO_REG)
            e->locked |= 1u << value_of(e, insn->arg[k])->reg;
    }
    int dst = result_gpr(e, insn->dst, 0);
    bool overlap = false;
    for (unsigned k = 0; k < 2; k++)
        overlap |= value_of(e, insn->arg[k])->reg == dst;
    e->locked |= 1u << dst;
    if (!overlap)
        asm_zero(&e->a, dst);
    emit_compare(e, type, insn->arg[0], insn->arg[1], &cond);
    asm_rr(&e->a, 0x90 | M_0F | BYTE_RM | condition_code(cond), 0, dst);
    if (overlap)
        asm_rr(&e->a, I_MOVZX8, dst, dst);
    bind(e, insn->dst, insn->type, dst);
}

static void emit_select(Emit *e, const IrInsn *insn)
{
    unsigned w = width(insn->type);
    IrCond cond = insn->aux;
    IrTmp yes = insn->arg[2], no = insn->arg[3];

    emit_compare(e, e->u->tmps[insn->arg[0]].type, insn->arg[0], insn->arg[1], &cond);
    /* a and b are not needed again in this instruction, unless they are c or d too; nothing below changes flags */
    e->locked = 0;
    int no_reg = value_of(e, no)->reg;
    if (no_reg != NO_REG)
        e->locked |= 1u << no_reg;
    Operand x = use_operand(e, yes);
    int dst = result_gpr(e, insn->dst, no);
    if (x.reg == dst && value_of(e, no)->reg != dst) {
        Operand other = use_operand(e, no);
        op_operand(e, 0x40 | M_0F | w | condition_code(cond_negate(cond)), dst, other);
    } else {
        move_to_gpr(e, w, dst, no);
        op_operand(e, 0x40 | M_0F | w | condition_code(cond), dst, x);
    }
    bind(e, insn->dst, insn->type, dst);
}

/* ---- the state ---- */

static void emit_ldstate(Emit *e, const IrInsn *insn)
{
    int dst = result_gpr(e, insn->dst, 0);
    emit_extend(e, width(insn->type), insn->aux, dst, (Operand){ .reg = NO_REG, .mem = state_at(insn->imm) });
    bind(e, insn->dst, insn->type, dst);
}

static void emit_ststate(Emit *e, const IrInsn *insn)
{
    unsigned size = insn->aux & MO_SIZE, w = size == MO_64 ? W64 : 0;
    Mem m = state_at(insn->imm);
    int32_t imm;

    if (is_imm32(e, size == MO_64 ? IR_I64 : IR_I32, insn->arg[0], &imm)) {
        asm_rm_imm(&e->a,
                   size == MO_8    ? 0xc6
                   : size == MO_16 ? 0xc7 | P_66
                                   : 0xc7 | w,
                   0, m,
                   size == MO_8    ? 1
                   : size == MO_16 ? 2
                                   : 4);
        if (size == MO_8) {
            asm_u8(&e->a, imm);
        } else if (size == MO_16) {
            asm_u8(&e->a, imm);
            asm_u8(&e->a, imm >> 8);
        } else {
            asm_u32(&e->a, imm);
        }
        return;
    }
    int r = use_gpr(e, insn->arg[0]);
    asm_rm(&e->a, size == MO_8 ? I_MOV_STORE8 : size == MO_16 ? I_MOV_STORE | P_66 : I_MOV_STORE | w, r, m);
}

static void emit_getpc(Emit *e, const IrInsn *insn)
{
    int dst = result_gpr(e, insn->dst, 0);
    asm_rm(&e->a, I_MOV_LOAD | W64, dst, STATE(pc_base));
    if (insn->imm)
        asm_alu_imm(&e->a, W64, ALU_ADD, dst, insn->imm);
    bind(e, insn->dst, insn->type, dst);
}

void emit_int_op(Emit *e, const IrInsn *insn)
{
    switch (insn->op) {
    case OP_add:
        emit_commutative(e, insn, ALU_ADD);
        break;
    case OP_sub:
        emit_sub(e, insn);
        break;
    case OP_and:
        emit_commutative(e, insn, ALU_AND);
        break;
    case OP_or:
        emit_commutative(e, insn, ALU_OR);
        break;
    case OP_xor:
        emit_commutative(e, insn, ALU_XOR);
        break;
    case OP_andc:
        emit_andc(e, insn);
        break;
    case OP_shl:
    case OP_shr:
    case OP_sar:
    case OP_rotl:
    case OP_rotr:
        emit_shift(e, insn);
        break;
    case OP_ext:
        emit_ext(e, insn);
        break;
    case OP_clz:
    case OP_ctz:
    case OP_popcnt:
        emit_count(e, insn);
        break;
    case OP_bswap:
        emit_bswap(e, insn);
        break;
    case OP_setcond:
        emit_setcond(e, insn);
        break;
    case OP_select:
        emit_select(e, insn);
        break;
    case OP_ldstate:
        emit_ldstate(e, insn);
        break;
    case OP_ststate:
        emit_ststate(e, insn);
        break;
    case OP_getpc:
        emit_getpc(e, insn);
        break;
    default:
        g_assert_not_reached();
    }
}
