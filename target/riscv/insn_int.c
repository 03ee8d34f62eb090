/*
 * RISC-V integer, atomic, bit-manipulation and privileged instructions as IR (unprivileged ISA 20240411, chapters 2-14,
 * 28; privileged 3.3, 12.2).
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/csr.h"
#include "target/riscv/translate.h"

/* ---- computation: one line an instruction ---- */
static bool binary(Ctx *c, const Arg *a, IrOp op)
{
    set_x(c, a->rd, ir_binary(c->ir, op, c->xt, get_x(c, a->rs1), get_x(c, a->rs2)));
    return true;
}
static bool binary_imm(Ctx *c, const Arg *a, IrOp op)
{
    set_x(c, a->rd, ir_binary_imm(c->ir, op, c->xt, get_x(c, a->rs1), a->imm));
    return true;
}
static bool binary_w(Ctx *c, const Arg *a, IrOp op)
{
    set_w(c, a->rd, ir_binary(c->ir, op, IR_I32, get_w(c, a->rs1), get_w(c, a->rs2)));
    return true;
}
static bool binary_imm_w(Ctx *c, const Arg *a, IrOp op)
{
    set_w(c, a->rd, ir_binary_imm(c->ir, op, IR_I32, get_w(c, a->rs1), a->imm));
    return true;
}
#define BINARY(name, op)                 \
    bool rv_##name(Ctx *c, const Arg *a) \
    {                                    \
        return binary(c, a, OP_##op);    \
    }
#define BINARY_IMM(name, op)              \
    bool rv_##name(Ctx *c, const Arg *a)  \
    {                                     \
        return binary_imm(c, a, OP_##op); \
    }
#define BINARY_W(name, op)               \
    bool rv_##name(Ctx *c, const Arg *a) \
    {                                    \
        return binary_w(c, a, OP_##op);  \
    }
#define BINARY_IMM_W(name, op)              \
    bool rv_##name(Ctx *c, const Arg *a)    \
    {                                       \
        return binary_imm_w(c, a, OP_##op); \
    }
/* clang-format off */
BINARY(add, add) BINARY(sub, sub) BINARY(and, and) BINARY(or, or) BINARY(xor, xor)
BINARY(sll, shl) BINARY(srl, shr) BINARY(sra, sar) BINARY(andn, andc) BINARY(rol, rotl) BINARY(ror, rotr)
BINARY(mul, mul) BINARY(mulh, mulhs) BINARY(mulhu, mulhu) BINARY(mulhsu, mulhsu)
BINARY(div, divs) BINARY(divu, divu) BINARY(rem, rems) BINARY(remu, remu)
BINARY_IMM(addi, add) BINARY_IMM(andi, and) BINARY_IMM(ori, or) BINARY_IMM(xori, xor)
BINARY_IMM(slli, shl) BINARY_IMM(srli, shr) BINARY_IMM(srai, sar) BINARY_IMM(rori, rotr)
BINARY_W(addw, add) BINARY_W(subw, sub) BINARY_W(sllw, shl) BINARY_W(srlw, shr) BINARY_W(sraw, sar) BINARY_W(rolw, rotl) BINARY_W(rorw, rotr)
BINARY_W(mulw, mul) BINARY_W(divw, divs) BINARY_W(divuw, divu) BINARY_W(remw, rems) BINARY_W(remuw, remu)
BINARY_IMM_W(addiw, add) BINARY_IMM_W(slliw, shl) BINARY_IMM_W(srliw, shr) BINARY_IMM_W(sraiw, sar) BINARY_IMM_W(roriw, rotr)

bool rv_lui(Ctx *c, const Arg *a) { set_x(c, a->rd, imm_x(c, a->imm)); return true; }
bool rv_c_lui(Ctx *c, const Arg *a) { return rv_lui(c, a); }
bool rv_c_addi16sp(Ctx *c, const Arg *a) { return rv_addi(c, a); }
bool rv_auipc(Ctx *c, const Arg *a) { set_x(c, a->rd, pc_plus(c, a->imm)); return true; }
bool rv_c_not(Ctx *c, const Arg *a) { set_x(c, a->rd, ir_binary_imm(c->ir, OP_xor, c->xt, get_x(c, a->rs1), -1)); return true; }
bool rv_c_mop(Ctx *c, const Arg *a) { return true; }
bool rv_mop(Ctx *c, const Arg *a) { set_x(c, a->rd, imm_x(c, 0)); return true; }
bool rv_c_illegal(Ctx *c, const Arg *a) { return false; }
/* clang-format on */

static bool set_if(Ctx *c, const Arg *a, IrCond cond, IrTmp b)
{
    set_x(c, a->rd, ir_setcond(c->ir, c->xt, cond, get_x(c, a->rs1), b));
    return true;
}
bool rv_slt(Ctx *c, const Arg *a)
{
    return set_if(c, a, COND_LT, get_x(c, a->rs2));
}
bool rv_sltu(Ctx *c, const Arg *a)
{
    return set_if(c, a, COND_LTU, get_x(c, a->rs2));
}
bool rv_slti(Ctx *c, const Arg *a)
{
    return set_if(c, a, COND_LT, imm_x(c, a->imm));
}
bool rv_sltiu(Ctx *c, const Arg *a)
{
    return set_if(c, a, COND_LTU, imm_x(c, a->imm));
}

/* ---- Zba ---- */
static bool shift_add(Ctx *c, const Arg *a, unsigned n, bool word)
{
    IrTmp x = get_x(c, a->rs1);
    if (word)
        x = ir_ext(c->ir, IR_I64, MO_32, x);
    set_x(c, a->rd, ir_binary(c->ir, OP_add, c->xt, ir_binary_imm(c->ir, OP_shl, c->xt, x, n), get_x(c, a->rs2)));
    return true;
}
#define SHIFT_ADD(name, n, word)         \
    bool rv_##name(Ctx *c, const Arg *a) \
    {                                    \
        return shift_add(c, a, n, word); \
    }
SHIFT_ADD(sh1add, 1, false)
SHIFT_ADD(sh2add, 2, false)
SHIFT_ADD(sh3add, 3, false)
SHIFT_ADD(add_uw, 0, true)
SHIFT_ADD(sh1add_uw, 1, true)
SHIFT_ADD(sh2add_uw, 2, true)
SHIFT_ADD(sh3add_uw, 3, true)
bool rv_slli_uw(Ctx *c, const Arg *a)
{
    set_x(c, a->rd, ir_binary_imm(c->ir, OP_shl, IR_I64, ir_ext(c->ir, IR_I64, MO_32, get_x(c, a->rs1)), a->imm));
    return true;
}

/* ---- Zbb ---- */
static bool unary(Ctx *c, const Arg *a, IrOp op)
{
    set_x(c, a->rd, ir_unary(c->ir, op, c->xt, get_x(c, a->rs1)));
    return true;
}
static bool unary_w(Ctx *c, const Arg *a, IrOp op)
{
    set_w(c, a->rd, ir_unary(c->ir, op, IR_I32, get_w(c, a->rs1)));
    return true;
}
static bool extend(Ctx *c, const Arg *a, unsigned memop)
{
    set_x(c, a->rd, ir_ext(c->ir, c->xt, memop, get_x(c, a->rs1)));
    return true;
}
static bool pick(Ctx *c, const Arg *a, IrCond cond)
{
    IrTmp x = get_x(c, a->rs1), y = get_x(c, a->rs2);
    set_x(c, a->rd, ir_select(c->ir, c->xt, cond, x, y, x, y));
    return true;
}
/* clang-format off */
bool rv_clz(Ctx *c, const Arg *a) { return unary(c, a, OP_clz); }
bool rv_ctz(Ctx *c, const Arg *a) { return unary(c, a, OP_ctz); }
bool rv_cpop(Ctx *c, const Arg *a) { return unary(c, a, OP_popcnt); }
bool rv_rev8(Ctx *c, const Arg *a) { return unary(c, a, OP_bswap); }
bool rv_clzw(Ctx *c, const Arg *a) { return unary_w(c, a, OP_clz); }
bool rv_ctzw(Ctx *c, const Arg *a) { return unary_w(c, a, OP_ctz); }
bool rv_cpopw(Ctx *c, const Arg *a) { return unary_w(c, a, OP_popcnt); }
bool rv_sext_b(Ctx *c, const Arg *a) { return extend(c, a, MO_8 | MO_SIGNED); }
bool rv_sext_h(Ctx *c, const Arg *a) { return extend(c, a, MO_16 | MO_SIGNED); }
bool rv_zext_b(Ctx *c, const Arg *a) { return extend(c, a, MO_8); }
bool rv_zext_h(Ctx *c, const Arg *a) { return extend(c, a, MO_16); }
bool rv_min(Ctx *c, const Arg *a) { return pick(c, a, COND_LT); }
bool rv_minu(Ctx *c, const Arg *a) { return pick(c, a, COND_LTU); }
bool rv_max(Ctx *c, const Arg *a) { return pick(c, a, COND_GT); }
bool rv_maxu(Ctx *c, const Arg *a) { return pick(c, a, COND_GTU); }
/* clang-format on */
bool rv_orn(Ctx *c, const Arg *a)
{
    IrTmp not_y = ir_binary_imm(c->ir, OP_xor, c->xt, get_x(c, a->rs2), -1);
    set_x(c, a->rd, ir_binary(c->ir, OP_or, c->xt, get_x(c, a->rs1), not_y));
    return true;
}
bool rv_xnor(Ctx *c, const Arg *a)
{
    IrTmp v = ir_binary(c->ir, OP_xor, c->xt, get_x(c, a->rs1), get_x(c, a->rs2));
    set_x(c, a->rd, ir_binary_imm(c->ir, OP_xor, c->xt, v, -1));
    return true;
}
/* Each byte all ones if any of its bits is set: bit 7 says so after adding 0x7f to the low seven; then bit 7 spreads.
 */
bool rv_orc_b(Ctx *c, const Arg *a)
{
    IrUnit *u = c->ir;
    IrTmp low = imm_x(c, 0x7f7f7f7f7f7f7f7f), x = get_x(c, a->rs1);
    IrTmp sum = ir_binary(u, OP_add, c->xt, ir_binary(u, OP_and, c->xt, x, low), low);
    IrTmp high = ir_binary(u, OP_andc, c->xt, ir_binary(u, OP_or, c->xt, sum, x), low);
    IrTmp one = ir_binary_imm(u, OP_shr, c->xt, high, 7);
    set_x(c, a->rd, ir_binary(u, OP_mul, c->xt, one, imm_x(c, 0xff)));
    return true;
}

/* ---- Zbs ---- */
static bool single_bit(Ctx *c, const Arg *a, IrOp op, IrTmp n)
{
    IrTmp bit = ir_binary(c->ir, OP_shl, c->xt, imm_x(c, 1), n);
    set_x(c, a->rd, ir_binary(c->ir, op, c->xt, get_x(c, a->rs1), bit));
    return true;
}
static bool extract_bit(Ctx *c, const Arg *a, IrTmp n)
{
    set_x(c, a->rd, ir_binary_imm(c->ir, OP_and, c->xt, ir_binary(c->ir, OP_shr, c->xt, get_x(c, a->rs1), n), 1));
    return true;
}
/* clang-format off */
bool rv_bclr(Ctx *c, const Arg *a) { return single_bit(c, a, OP_andc, get_x(c, a->rs2)); }
bool rv_bset(Ctx *c, const Arg *a) { return single_bit(c, a, OP_or, get_x(c, a->rs2)); }
bool rv_binv(Ctx *c, const Arg *a) { return single_bit(c, a, OP_xor, get_x(c, a->rs2)); }
bool rv_bext(Ctx *c, const Arg *a) { return extract_bit(c, a, get_x(c, a->rs2)); }
bool rv_bclri(Ctx *c, const Arg *a) { return single_bit(c, a, OP_andc, imm_x(c, a->imm)); }
bool rv_bseti(Ctx *c, const Arg *a) { return single_bit(c, a, OP_or, imm_x(c, a->imm)); }
bool rv_binvi(Ctx *c, const Arg *a) { return single_bit(c, a, OP_xor, imm_x(c, a->imm)); }
bool rv_bexti(Ctx *c, const Arg *a) { return extract_bit(c, a, imm_x(c, a->imm)); }

/* clang-format on */

/* ---- Zicond ---- */
static bool zero_if(Ctx *c, const Arg *a, IrCond cond)
{
    IrTmp zero = imm_x(c, 0);
    set_x(c, a->rd, ir_select(c->ir, c->xt, cond, get_x(c, a->rs2), zero, zero, get_x(c, a->rs1)));
    return true;
}
/* clang-format off */
bool rv_czero_eqz(Ctx *c, const Arg *a) { return zero_if(c, a, COND_EQ); }
bool rv_czero_nez(Ctx *c, const Arg *a) { return zero_if(c, a, COND_NE); }

/* ---- control transfer ---- */
bool rv_jal(Ctx *c, const Arg *a)
{
    if (a->rd)
        set_x(c, a->rd, pc_plus(c, c->length));
    jump_to(c, a->imm);
    return true;
}
/* clang-format on */
bool rv_jalr(Ctx *c, const Arg *a)
{
    IrTmp target =
        ir_binary_imm(c->ir, OP_and, c->xt, ir_binary_imm(c->ir, OP_add, c->xt, get_x(c, a->rs1), a->imm), -2);
    if (!riscv_has(c->s, EXT_C)) {
        int aligned = ir_new_label(c->ir);
        /* the target is computed again behind the label: temporaries end there */
        ir_brcond(c->ir, COND_EQ, ir_binary_imm(c->ir, OP_and, c->xt, target, 2), imm_x(c, 0), aligned);
        IrTmp tval = c->xt == IR_I32 ? ir_ext(c->ir, IR_I64, MO_32, target) : target;
        ir_call(c->ir, IR_I64, HELPER_RAISE, ir_const(c->ir, IR_I64, CAUSE_FETCH_MISALIGNED), tval, 0, 0);
        ir_lookup(c->ir);
        ir_label(c->ir, aligned);
        target = ir_binary_imm(c->ir, OP_and, c->xt, ir_binary_imm(c->ir, OP_add, c->xt, get_x(c, a->rs1), a->imm), -2);
    }
    if (a->rd)
        set_x(c, a->rd, pc_plus(c, c->length));
    ir_jump_ind(c->ir, target);
    c->stop = true;
    return true;
}

static bool branch(Ctx *c, const Arg *a, IrCond cond)
{
    int64_t target = c->insn->offset + a->imm;
    int label = c->insn->label_at(c->insn, target);
    if ((target & 3) && !riscv_has(c->s, EXT_C)) { /* faults only if taken */
        int skip = ir_new_label(c->ir);
        ir_brcond(c->ir, cond_negate(cond), get_x(c, a->rs1), get_x(c, a->rs2), skip);
        IrTmp tval = pc_plus(c, a->imm);
        ir_call(c->ir, IR_I64, HELPER_RAISE, ir_const(c->ir, IR_I64, CAUSE_FETCH_MISALIGNED),
                c->xt == IR_I32 ? ir_ext(c->ir, IR_I64, MO_32, tval) : tval, 0, 0);
        ir_lookup(c->ir);
        ir_label(c->ir, skip);
        return true;
    }
    if (a->imm <= 0)
        ir_poll(c->ir, c->insn->offset);
    if (label >= 0)
        ir_brcond(c->ir, cond, get_x(c, a->rs1), get_x(c, a->rs2), label);
    else
        ir_brjump(c->ir, cond, get_x(c, a->rs1), get_x(c, a->rs2), target);
    return true;
}
/* clang-format off */
bool rv_beq(Ctx *c, const Arg *a) { return branch(c, a, COND_EQ); }
bool rv_bne(Ctx *c, const Arg *a) { return branch(c, a, COND_NE); }
bool rv_blt(Ctx *c, const Arg *a) { return branch(c, a, COND_LT); }
bool rv_bge(Ctx *c, const Arg *a) { return branch(c, a, COND_GE); }
bool rv_bltu(Ctx *c, const Arg *a) { return branch(c, a, COND_LTU); }
bool rv_bgeu(Ctx *c, const Arg *a) { return branch(c, a, COND_GEU); }
/* clang-format on */

bool end_at_next(Ctx *c)
{
    ir_ststate(c->ir, offsetof(CpuState, pc), MO_64, ir_getpc(c->ir, c->insn->offset + c->length));
    ir_lookup(c->ir);
    c->stop = true;
    return true;
}

/* ---- memory ---- */
static bool load(Ctx *c, const Arg *a, unsigned memop)
{
    set_x(c, a->rd, load_at(c, c->xt, memop, a->rs1, a->imm));
    return true;
}
static bool store(Ctx *c, const Arg *a, unsigned memop)
{
    store_at(c, memop, a->rs1, a->imm, get_x(c, a->rs2));
    return true;
}
/* clang-format off */
bool rv_lb(Ctx *c, const Arg *a) { return load(c, a, MO_8 | MO_SIGNED); }
bool rv_lh(Ctx *c, const Arg *a) { return load(c, a, MO_16 | MO_SIGNED); }
bool rv_lw(Ctx *c, const Arg *a) { return load(c, a, MO_32 | MO_SIGNED); }
bool rv_ld(Ctx *c, const Arg *a) { return load(c, a, MO_64); }
bool rv_lbu(Ctx *c, const Arg *a) { return load(c, a, MO_8); }
bool rv_lhu(Ctx *c, const Arg *a) { return load(c, a, MO_16); }
bool rv_lwu(Ctx *c, const Arg *a) { return load(c, a, MO_32); }
bool rv_sb(Ctx *c, const Arg *a) { return store(c, a, MO_8); }
bool rv_sh(Ctx *c, const Arg *a) { return store(c, a, MO_16); }
bool rv_sw(Ctx *c, const Arg *a) { return store(c, a, MO_32); }
bool rv_sd(Ctx *c, const Arg *a) { return store(c, a, MO_64); }
/* clang-format on */

static bool yield(Ctx *c)
{
    ir_exit(c->ir, c->insn->offset + c->length, EXIT_YIELD);
    c->stop = true;
    return true;
}
/* wrs.nto, wrs.sto: may end early for any reason, and always do; so mstatus.TW, which bounds the wait, has no say. */
bool rv_wrs(Ctx *c, const Arg *a)
{
    return yield(c);
}
bool rv_pause(Ctx *c, const Arg *a)
{
    return yield(c);
}
bool rv_ntl(Ctx *c, const Arg *a)
{
    return true;
}
bool rv_fence(Ctx *c, const Arg *a)
{
    unsigned pred = a->imm >> 4 & 15, succ = a->imm & 15;
    if ((pred & 5) && (succ & 10)) /* output or write before input or read */
        ir_fence(c->ir, FENCE_ALL);
    return true;
}
bool rv_fence_i(Ctx *c, const Arg *a)
{
    if (!riscv_has(c->s, EXT_ZIFENCEI))
        return false;
    ir_call(c->ir, IR_I64, HELPER_FENCE_I, 0, 0, 0, 0);
    return end_at_next(c);
}

/* ---- A ---- */
static unsigned atomic_memop(const Arg *a)
{
    unsigned size = a->imm == 3 ? MO_64 : a->imm | MO_SIGNED; /* funct3 is log2 of the bytes */
    return size | MO_ALIGN | (a->acquire ? MO_ACQUIRE : 0) | (a->release ? MO_RELEASE : 0);
}
bool rv_lr(Ctx *c, const Arg *a)
{
    IrTmp addr = data_address(c, a->rs1, 0), wide = c->xt == IR_I32 ? ir_ext(c->ir, IR_I64, MO_32, addr) : addr;
    IrTmp v = ir_ld(c->ir, c->xt, atomic_memop(a), addr, 0);
    ir_ststate(c->ir, offsetof(CpuState, reserve_addr), MO_64, wide);
    ir_ststate(c->ir, offsetof(CpuState, reserve_value), MO_64,
               c->xt == IR_I32 ? ir_ext(c->ir, IR_I64, MO_32 | MO_SIGNED, v) : v);
    set_x(c, a->rd, v);
    return true;
}
/* The reservation holds if the address is that of the LR and memory still has the value that the LR saw. */
bool rv_sc(Ctx *c, const Arg *a)
{
    IrUnit *u = c->ir;
    unsigned memop = atomic_memop(a);
    int fail = ir_new_label(u), done = ir_new_label(u);
    IrTmp addr = data_address(c, a->rs1, 0), wide = c->xt == IR_I32 ? ir_ext(u, IR_I64, MO_32, addr) : addr;
    ir_brcond(u, COND_NE, wide, ir_ldstate(u, IR_I64, offsetof(CpuState, reserve_addr), MO_64), fail);
    IrTmp seen = ir_ldstate(u, c->xt, offsetof(CpuState, reserve_value), c->xt == IR_I32 ? MO_32 : MO_64);
    IrTmp old = ir_cas(u, c->xt, memop, addr, seen, get_x(c, a->rs2));
    ir_ststate(u, offsetof(CpuState, reserve_addr), MO_64, ir_const(u, IR_I64, -1));
    if (a->imm == 2 && c->xt == IR_I64)
        seen = ir_ext(u, IR_I64, MO_32 | MO_SIGNED, seen);
    set_x(c, a->rd, ir_setcond(u, c->xt, COND_NE, old, seen));
    ir_br(u, done);
    ir_label(u, fail);
    ir_ststate(u, offsetof(CpuState, reserve_addr), MO_64, ir_const(u, IR_I64, -1));
    set_x(c, a->rd, imm_x(c, 1));
    ir_label(u, done);
    return true;
}
static bool amo(Ctx *c, const Arg *a, IrAmo kind)
{
    set_x(c, a->rd, ir_amo(c->ir, c->xt, atomic_memop(a), kind, data_address(c, a->rs1, 0), get_x(c, a->rs2)));
    return true;
}
/* clang-format off */
bool rv_amoswap(Ctx *c, const Arg *a) { return amo(c, a, AMO_SWAP); }
bool rv_amoadd(Ctx *c, const Arg *a) { return amo(c, a, AMO_ADD); }
bool rv_amoxor(Ctx *c, const Arg *a) { return amo(c, a, AMO_XOR); }
bool rv_amoand(Ctx *c, const Arg *a) { return amo(c, a, AMO_AND); }
bool rv_amoor(Ctx *c, const Arg *a) { return amo(c, a, AMO_OR); }
bool rv_amomin(Ctx *c, const Arg *a) { return amo(c, a, AMO_MIN); }
bool rv_amomax(Ctx *c, const Arg *a) { return amo(c, a, AMO_MAX); }
bool rv_amominu(Ctx *c, const Arg *a) { return amo(c, a, AMO_MINU); }
bool rv_amomaxu(Ctx *c, const Arg *a) { return amo(c, a, AMO_MAXU); }
/* clang-format on */

/* ---- Zacas ---- */
bool rv_amocas(Ctx *c, const Arg *a)
{
    IrTmp addr = data_address(c, a->rs1, 0), expected = get_x(c, a->rd), value = get_x(c, a->rs2);
    set_x(c, a->rd, ir_cas(c->ir, c->xt, atomic_memop(a), addr, expected, value));
    return true;
}
/* RV32: an even register and the next are 64 bits; x0 and its next are 0, and stay so. */
static IrTmp get_pair(Ctx *c, unsigned r)
{
    if (!r)
        return ir_const(c->ir, IR_I64, 0);
    IrTmp low = ir_ext(c->ir, IR_I64, MO_32, get_x(c, r)), high = ir_ext(c->ir, IR_I64, MO_32, get_x(c, r + 1));
    return ir_binary(c->ir, OP_or, IR_I64, ir_binary_imm(c->ir, OP_shl, IR_I64, high, 32), low);
}
bool rv_amocas_pair(Ctx *c, const Arg *a)
{
    if ((a->rd | a->rs2) & 1)
        return false;
    IrTmp expected = get_pair(c, a->rd), value = get_pair(c, a->rs2);
    IrTmp old = ir_cas(c->ir, IR_I64, atomic_memop(a), data_address(c, a->rs1, 0), expected, value);
    if (a->rd) {
        set_x(c, a->rd, ir_unary(c->ir, OP_trunc, IR_I32, old));
        IrTmp high = ir_binary_imm(c->ir, OP_shr, IR_I64, old, 32);
        set_x(c, a->rd + 1, ir_unary(c->ir, OP_trunc, IR_I32, high));
    }
    return true;
}
bool rv_amocas_q(Ctx *c, const Arg *a)
{
    if ((a->rd | a->rs2) & 1)
        return false;
    ir_call(c->ir, IR_I64, HELPER_CAS16, data_address(c, a->rs1, 0), ir_const(c->ir, IR_I64, a->rd | a->rs2 << 8), 0,
            0);
    return true;
}

/* ---- Zicbom, Zicboz ---- */
bool rv_cbo(Ctx *c, const Arg *a)
{
    IrTmp va = data_address(c, a->rs1, 0);
    if (c->xt == IR_I32)
        va = ir_ext(c->ir, IR_I64, MO_32, va);
    ir_call(c->ir, IR_I64, HELPER_CBO, va, ir_const(c->ir, IR_I64, a->rs2), ir_const(c->ir, IR_I64, a->bits), 0);
    return true;
}

/* ---- Zicsr ---- */
static bool access_csr(Ctx *c, const Arg *a, unsigned kind, IrTmp operand, bool write)
{
    IrUnit *u = c->ir;
    unsigned csr = a->imm & 0xfff;
    CsrShape shape = riscv_csr_shape(c->s, csr, c->priv, c->virt);
    unsigned memop = c->xt == IR_I32 ? MO_32 : MO_64;
    if (shape.read_member && (!write || shape.write_member)) { /* inline */
        IrTmp old = 0;
        if (a->rd || (write && kind != 1))
            old = ir_ldstate(u, c->xt, shape.read_member, memop);
        if (write) {
            IrTmp v = kind == 1 ? operand : ir_binary(u, kind == 2 ? OP_or : OP_andc, c->xt, old, operand);
            ir_ststate(u, shape.write_member, memop, v);
        }
        if (a->rd)
            set_x(c, a->rd, old);
        return true;
    }
    IrTmp value = write ? operand : imm_x(c, 0);
    if (c->xt == IR_I32)
        value = ir_ext(u, IR_I64, MO_32, value);
    unsigned what = csr | kind << 12 | (write ? 1u << 14 : 0) | (a->rd ? 1u << 15 : 0);
    IrTmp old = ir_call(u, IR_I64, HELPER_CSR, value, ir_const(u, IR_I64, what), ir_const(u, IR_I64, a->bits), 0);
    set_x(c, a->rd, c->xt == IR_I32 ? ir_unary(u, OP_trunc, IR_I32, old) : old);
    /* setting or clearing sstatus.SIE alone: no mode depends on it */
    bool only_enable = csr == 0x100 && kind != 1 && u->tmps[operand].constant && u->tmps[operand].value == MSTATUS_SIE;
    /* where instructions are counted, an interrupt that comes of it is taken behind this very one */
    return write && ((shape.ends_unit && !only_enable) || u->counted) ? end_at_next(c) : true;
}
static bool csr_register(Ctx *c, const Arg *a, unsigned kind)
{
    return access_csr(c, a, kind, get_x(c, a->rs1), kind == 1 || a->rs1);
}
static bool csr_immediate(Ctx *c, const Arg *a, unsigned kind)
{
    return access_csr(c, a, kind, imm_x(c, a->rs1), kind == 1 || a->rs1);
}
/* clang-format off */
bool rv_csrrw(Ctx *c, const Arg *a) { return csr_register(c, a, 1); }
bool rv_csrrs(Ctx *c, const Arg *a) { return csr_register(c, a, 2); }
bool rv_csrrc(Ctx *c, const Arg *a) { return csr_register(c, a, 3); }
bool rv_csrrwi(Ctx *c, const Arg *a) { return csr_immediate(c, a, 1); }
bool rv_csrrsi(Ctx *c, const Arg *a) { return csr_immediate(c, a, 2); }
bool rv_csrrci(Ctx *c, const Arg *a) { return csr_immediate(c, a, 3); }
/* clang-format on */

/* ---- privileged ---- */
static bool end_with(Ctx *c, unsigned helper, const Arg *a)
{
    ir_call(c->ir, IR_I64, helper, ir_const(c->ir, IR_I64, a->bits), 0, 0, 0);
    ir_lookup(c->ir);
    c->stop = true;
    return true;
}
bool rv_ecall(Ctx *c, const Arg *a)
{
    return end_with(c, HELPER_ECALL, a);
}
bool rv_ebreak(Ctx *c, const Arg *a)
{
    IrTmp pc = ir_getpc(c->ir, c->insn->offset);
    ir_call(c->ir, IR_I64, HELPER_RAISE, ir_const(c->ir, IR_I64, CAUSE_BREAKPOINT), pc, 0, 0);
    ir_lookup(c->ir);
    c->stop = true;
    return true;
}
bool rv_sret(Ctx *c, const Arg *a)
{
    return end_with(c, HELPER_SRET, a);
}
bool rv_mret(Ctx *c, const Arg *a)
{
    return end_with(c, HELPER_MRET, a);
}
bool rv_wfi(Ctx *c, const Arg *a)
{
    ir_call(c->ir, IR_I64, HELPER_WFI, ir_const(c->ir, IR_I64, a->bits), 0, 0, 0);
    ir_exit(c->ir, c->insn->offset + c->length, EXIT_HALT);
    c->stop = true;
    return true;
}
bool rv_sfence_vma(Ctx *c, const Arg *a)
{
    IrTmp va = get_x(c, a->rs1), asid = get_x(c, a->rs2);
    if (c->xt == IR_I32) {
        va = ir_ext(c->ir, IR_I64, MO_32, va);
        asid = ir_ext(c->ir, IR_I64, MO_32, asid);
    }
    ir_call(c->ir, IR_I64, HELPER_SFENCE, va, asid, ir_const(c->ir, IR_I64, (a->rs1 ? 1 : 0) | (a->rs2 ? 2 : 0)),
            ir_const(c->ir, IR_I64, a->bits));
    return end_at_next(c);
}
bool rv_sinval_vma(Ctx *c, const Arg *a)
{
    return rv_sfence_vma(c, a);
}
bool rv_sfence_nop(Ctx *c, const Arg *a)
{
    if (c->virt && c->priv == PRIV_U)
        raise_exception(c, CAUSE_VIRTUAL_INSN, a->bits);
    return c->virt || c->priv >= PRIV_S;
}
