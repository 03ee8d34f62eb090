/*
 * RISC-V Zbc, Zbkb, Zbkc, Zbkx and the scalar cryptography extensions as IR (unprivileged ISA 20240411, chapters 28 and
 * 32). Hash functions are inline; tables and carry-less products are helpers (crypto.c).
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/translate.h"

/* A register as a helper's argument, and its result: RV32's upper half is zero there. */
static IrTmp wide_x(Ctx *c, unsigned r)
{
    IrTmp v = get_x(c, r);
    return c->xt == IR_I32 ? ir_ext(c->ir, IR_I64, MO_32, v) : v;
}
static bool by_helper(Ctx *c, const Arg *a, unsigned helper, int64_t what)
{
    IrTmp v = ir_call(c->ir, IR_I64, helper, wide_x(c, a->rs1), wide_x(c, a->rs2), ir_const(c->ir, IR_I64, what), 0);
    set_x(c, a->rd, c->xt == IR_I32 ? ir_unary(c->ir, OP_trunc, IR_I32, v) : v);
    return true;
}
static bool by_helper_w(Ctx *c, const Arg *a, unsigned helper, int64_t what)
{
    IrTmp v = ir_call(c->ir, IR_I64, helper, wide_x(c, a->rs1), wide_x(c, a->rs2), ir_const(c->ir, IR_I64, what), 0);
    set_w(c, a->rd, ir_unary(c->ir, OP_trunc, IR_I32, v));
    return true;
}
static bool by_helper_imm(Ctx *c, const Arg *a, unsigned helper, int64_t what)
{
    IrTmp v = ir_call(c->ir, IR_I64, helper, wide_x(c, a->rs1), ir_const(c->ir, IR_I64, what), 0, 0);
    set_x(c, a->rd, c->xt == IR_I32 ? ir_unary(c->ir, OP_trunc, IR_I32, v) : v);
    return true;
}

/* clang-format off */
/* ---- Zbc, Zbkx ---- */
bool rv_clmul(Ctx *c, const Arg *a) { return by_helper(c, a, HELPER_CLMUL, 0); }
bool rv_clmulh(Ctx *c, const Arg *a) { return by_helper(c, a, HELPER_CLMUL, c->xlen); }
bool rv_clmulr(Ctx *c, const Arg *a) { return by_helper(c, a, HELPER_CLMUL, c->xlen - 1); }
bool rv_xperm4(Ctx *c, const Arg *a) { return by_helper(c, a, HELPER_XPERM, 4); }
bool rv_xperm8(Ctx *c, const Arg *a) { return by_helper(c, a, HELPER_XPERM, 8); }
/* clang-format on */

/* ---- Zbkb ---- */

/* RV32: the low half's bits to even places, the high half's to odd ones; or back. In steps, the middle quarters of
 * 32, 16, 8 and 4 bits change places. */
static bool interleave(Ctx *c, const Arg *a, bool back)
{
    static const uint32_t quarters[] = { 0x0000ff00, 0x00f000f0, 0x0c0c0c0c, 0x22222222 }; /* the lower ones */
    IrUnit *u = c->ir;
    IrTmp v = get_x(c, a->rs1);
    for (unsigned i = 0; i < 4; i++) {
        unsigned step = back ? 3 - i : i, shift = 8 >> step;
        IrTmp moved = ir_binary(u, OP_xor, IR_I32, ir_binary_imm(u, OP_shr, IR_I32, v, shift), v);
        moved = ir_binary_imm(u, OP_and, IR_I32, moved, (int32_t)quarters[step]);
        v = ir_binary(u, OP_xor, IR_I32, v, moved);
        v = ir_binary(u, OP_xor, IR_I32, v, ir_binary_imm(u, OP_shl, IR_I32, moved, shift));
    }
    set_x(c, a->rd, v);
    return true;
}
bool rv_zip(Ctx *c, const Arg *a)
{
    return interleave(c, a, false);
}
bool rv_unzip(Ctx *c, const Arg *a)
{
    return interleave(c, a, true);
}

/* The low `bits` bits of rs1, those of rs2 above them. */
static IrTmp packed(Ctx *c, IrType type, IrTmp low, IrTmp high, unsigned memop)
{
    low = ir_ext(c->ir, type, memop, low);
    return ir_binary(c->ir, OP_or, type, ir_binary_imm(c->ir, OP_shl, type, high, 8 * MO_BYTES(memop)), low);
}
bool rv_pack(Ctx *c, const Arg *a)
{
    set_x(c, a->rd, packed(c, c->xt, get_x(c, a->rs1), get_x(c, a->rs2), c->xlen == 64 ? MO_32 : MO_16));
    return true;
}
bool rv_packh(Ctx *c, const Arg *a)
{
    IrTmp high = ir_ext(c->ir, c->xt, MO_8, get_x(c, a->rs2));
    set_x(c, a->rd, packed(c, c->xt, get_x(c, a->rs1), high, MO_8));
    return true;
}
bool rv_packw(Ctx *c, const Arg *a)
{
    set_w(c, a->rd, packed(c, IR_I32, get_w(c, a->rs1), get_w(c, a->rs2), MO_16));
    return true;
}
/* Bits reversed in each byte: neighbours, pairs and nibbles change places. */
bool rv_brev8(Ctx *c, const Arg *a)
{
    static const int64_t masks[] = { 0x5555555555555555, 0x3333333333333333, 0x0f0f0f0f0f0f0f0f };
    IrTmp v = get_x(c, a->rs1);
    for (unsigned i = 0; i < 3; i++) {
        IrTmp mask = imm_x(c, c->xt == IR_I32 ? (int32_t)masks[i] : masks[i]);
        IrTmp high = ir_binary_imm(c->ir, OP_shl, c->xt, ir_binary(c->ir, OP_and, c->xt, v, mask), 1 << i);
        IrTmp low = ir_binary(c->ir, OP_and, c->xt, ir_binary_imm(c->ir, OP_shr, c->xt, v, 1 << i), mask);
        v = ir_binary(c->ir, OP_or, c->xt, high, low);
    }
    set_x(c, a->rd, v);
    return true;
}

/* ---- Zknd, Zkne ---- */
static bool aes32(Ctx *c, const Arg *a, unsigned what)
{
    return by_helper(c, a, HELPER_AES32, what | (a->bits >> 30) * 8 << 8);
}
/* clang-format off */
bool rv_aes32esi(Ctx *c, const Arg *a) { return aes32(c, a, 0); }
bool rv_aes32esmi(Ctx *c, const Arg *a) { return aes32(c, a, AES_MIX); }
bool rv_aes32dsi(Ctx *c, const Arg *a) { return aes32(c, a, AES_DECRYPT); }
bool rv_aes32dsmi(Ctx *c, const Arg *a) { return aes32(c, a, AES_DECRYPT | AES_MIX); }
bool rv_aes64es(Ctx *c, const Arg *a) { return by_helper(c, a, HELPER_AES64, 0); }
bool rv_aes64esm(Ctx *c, const Arg *a) { return by_helper(c, a, HELPER_AES64, AES_MIX); }
bool rv_aes64ds(Ctx *c, const Arg *a) { return by_helper(c, a, HELPER_AES64, AES_DECRYPT); }
bool rv_aes64dsm(Ctx *c, const Arg *a) { return by_helper(c, a, HELPER_AES64, AES_DECRYPT | AES_MIX); }
bool rv_aes64im(Ctx *c, const Arg *a) { return by_helper_imm(c, a, HELPER_AES64IM, 0); }
/* clang-format on */
bool rv_aes64ks1i(Ctx *c, const Arg *a)
{
    unsigned round = a->rs2 & 15;
    return round <= 10 && by_helper_imm(c, a, HELPER_AES64KS1I, round);
}
bool rv_aes64ks2(Ctx *c, const Arg *a)
{
    IrUnit *u = c->ir;
    IrTmp x = get_x(c, a->rs1), y = get_x(c, a->rs2);
    IrTmp low = ir_ext(u, IR_I64, MO_32, ir_binary(u, OP_xor, IR_I64, ir_binary_imm(u, OP_shr, IR_I64, x, 32), y));
    IrTmp high = ir_binary(u, OP_xor, IR_I64, low, ir_binary_imm(u, OP_shr, IR_I64, y, 32));
    set_x(c, a->rd, ir_binary(u, OP_or, IR_I64, ir_binary_imm(u, OP_shl, IR_I64, high, 32), low));
    return true;
}

/* ---- Zksed ---- */
bool rv_sm4ed(Ctx *c, const Arg *a)
{
    return by_helper_w(c, a, HELPER_SM4ED, (a->bits >> 30) * 8);
}
bool rv_sm4ks(Ctx *c, const Arg *a)
{
    return by_helper_w(c, a, HELPER_SM4KS, (a->bits >> 30) * 8);
}

/* ---- Zknh, Zksh: sums of rotations and shifts ---- */

/* The exclusive or of v rotated right by n1, by n2, and by n3 (or shifted: last). */
static IrTmp sum(Ctx *c, IrType type, IrTmp v, unsigned n1, unsigned n2, unsigned n3, IrOp last)
{
    IrTmp x = ir_binary_imm(c->ir, OP_rotr, type, v, n1), y = ir_binary_imm(c->ir, OP_rotr, type, v, n2);
    return ir_binary(c->ir, OP_xor, type, ir_binary(c->ir, OP_xor, type, x, y),
                     ir_binary_imm(c->ir, last, type, v, n3));
}
static bool sum_w(Ctx *c, const Arg *a, unsigned n1, unsigned n2, unsigned n3, IrOp last)
{
    set_w(c, a->rd, sum(c, IR_I32, get_w(c, a->rs1), n1, n2, n3, last));
    return true;
}
static bool sum_x(Ctx *c, const Arg *a, unsigned n1, unsigned n2, unsigned n3, IrOp last)
{
    set_x(c, a->rd, sum(c, IR_I64, get_x(c, a->rs1), n1, n2, n3, last));
    return true;
}
/* clang-format off */
bool rv_sha256sum0(Ctx *c, const Arg *a) { return sum_w(c, a, 2, 13, 22, OP_rotr); }
bool rv_sha256sum1(Ctx *c, const Arg *a) { return sum_w(c, a, 6, 11, 25, OP_rotr); }
bool rv_sha256sig0(Ctx *c, const Arg *a) { return sum_w(c, a, 7, 18, 3, OP_shr); }
bool rv_sha256sig1(Ctx *c, const Arg *a) { return sum_w(c, a, 17, 19, 10, OP_shr); }
bool rv_sha512sum0(Ctx *c, const Arg *a) { return sum_x(c, a, 28, 34, 39, OP_rotr); }
bool rv_sha512sum1(Ctx *c, const Arg *a) { return sum_x(c, a, 14, 18, 41, OP_rotr); }
bool rv_sha512sig0(Ctx *c, const Arg *a) { return sum_x(c, a, 1, 8, 7, OP_shr); }
bool rv_sha512sig1(Ctx *c, const Arg *a) { return sum_x(c, a, 19, 61, 6, OP_shr); }
bool rv_sm3p0(Ctx *c, const Arg *a) { return sum_w(c, a, 0, 32 - 9, 32 - 17, OP_rotr); }
bool rv_sm3p1(Ctx *c, const Arg *a) { return sum_w(c, a, 0, 32 - 15, 32 - 23, OP_rotr); }
/* clang-format on */

/* Half of a SHA-512 sum from the halves of a 64-bit word: the exclusive or of rs1 and rs2, each shifted by some
 * amounts; positive: to the right. */
static bool half_sum(Ctx *c, const Arg *a, const int8_t *rs1, const int8_t *rs2)
{
    IrTmp total = imm_x(c, 0), operand[] = { get_x(c, a->rs1), get_x(c, a->rs2) };
    const int8_t *shifts[] = { rs1, rs2 };
    for (unsigned i = 0; i < 2; i++) {
        for (const int8_t *n = shifts[i]; *n; n++) {
            IrTmp v = ir_binary_imm(c->ir, *n > 0 ? OP_shr : OP_shl, IR_I32, operand[i], *n > 0 ? *n : -*n);
            total = ir_binary(c->ir, OP_xor, IR_I32, total, v);
        }
    }
    set_x(c, a->rd, total);
    return true;
}
#define SHIFTS(...)    \
    (const int8_t[])   \
    {                  \
        __VA_ARGS__, 0 \
    }
#define HALF_SUM(name, rs1, rs2)         \
    bool rv_##name(Ctx *c, const Arg *a) \
    {                                    \
        return half_sum(c, a, rs1, rs2); \
    }
HALF_SUM(sha512sum0r, SHIFTS(-25, -30, 28), SHIFTS(7, 2, -4))
HALF_SUM(sha512sum1r, SHIFTS(-23, 14, 18), SHIFTS(9, -18, -14))
HALF_SUM(sha512sig0l, SHIFTS(1, 7, 8), SHIFTS(-31, -25, -24))
HALF_SUM(sha512sig0h, SHIFTS(1, 7, 8), SHIFTS(-31, -24))
HALF_SUM(sha512sig1l, SHIFTS(-3, 6, 19), SHIFTS(29, -26, -13))
HALF_SUM(sha512sig1h, SHIFTS(-3, 6, 19), SHIFTS(29, -13))
