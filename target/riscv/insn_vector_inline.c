/*
 * RISC-V V inline: instructions whose whole register groups are worked on (vl is VLMAX, vstart is 0), as operations on
 * pieces of up to 32 bytes. Tail elements there are none; inactive ones keep their values.
 *
 * vtype is not known when code is translated. It is taken from the last vset{i}vli before, else from the hart as it is
 * now, and each segment compares it with RiscvState.v_ready once: where that differs, control goes to the unit's cold
 * part, in which every instruction is a helper call (insn_vector.c). The same way go accesses whose page is not at
 * hand, and arithmetic that gives a NaN. So nothing inline ever faults, and whatever is not inline is no case of its
 * own.
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/insn_vector.h"
#include "target/riscv/vector.h"

#define MAX_PIECES       8 /* of a group; more is left to the kernels, which are as fast then */
#define MAX_FLOAT_PIECES 4 /* their results are all there before one is written */

typedef struct Inline {
    Ctx *c;
    IrUnit *u;
    const Arg *a;
    uint32_t bits;
    unsigned op, flags; /* VOP_*, VO_* */
    unsigned sew, n;    /* log2 bytes of an element; how many elements */
    unsigned bytes;     /* of a group of SEW */
    IrTmp scalar;       /* the operand that is no vector, in every element of a piece; 0: it is one */
    IrTmp tail;         /* not 0: a bit for each of the first vl elements, which may be fewer than n; n is 64 at most */
} Inline;

/* ---- registers ---- */

/* log2 of the bytes of a group's pieces; groups are powers of two. */
static unsigned piece_of(unsigned bytes)
{
    return bytes >= 32 ? 5 : (unsigned)__builtin_ctz(bytes);
}
static IrType type_of(unsigned piece)
{
    return piece == 5 ? IR_V256 : IR_V128;
}
static uint32_t place_of(const Inline *v, unsigned reg, unsigned offset)
{
    return offsetof(RiscvState, v) + reg * v->c->s->vlenb + offset;
}
static IrTmp get(Inline *v, unsigned reg, unsigned piece, unsigned offset)
{
    return ir_vldstate(v->u, piece, place_of(v, reg, offset));
}
static void put(Inline *v, unsigned reg, unsigned piece, unsigned offset, IrTmp value)
{
    ir_vststate(v->u, piece, place_of(v, reg, offset), value);
}
static IrTmp vec2(Inline *v, IrOp op, IrTmp a, IrTmp b, unsigned size)
{
    return ir_vector(v->u, op, (IrType)v->u->tmps[a].type, size, a, b, 0, 0);
}
static IrTmp splat(Inline *v, IrType type, unsigned size, IrTmp x)
{
    return ir_vector(v->u, OP_vsplat, type, size, x, 0, 0, 0);
}
static IrTmp splat_const(Inline *v, IrType type, unsigned size, uint64_t x)
{
    return splat(v, type, size, ir_const(v->u, IR_I64, (int64_t)x));
}
static IrTmp const64(Inline *v, uint64_t x)
{
    return ir_const(v->u, IR_I64, (int64_t)x);
}

/* ---- what must hold ---- */

uint32_t vector_expected(Ctx *c)
{
    if (c->ir->expected == IR_NOTHING_EXPECTED)
        c->ir->expected = c->s->vtype >> 63 ? 0 : V_READY | V_WHOLE | (uint32_t)(c->s->vtype & 0xff);
    return c->ir->expected;
}

void vector_assume(Ctx *c, uint32_t expected)
{
    if (c->ir->assumed == expected)
        return;
    IrTmp t = ir_ldstate(c->ir, IR_I32, offsetof(RiscvState, v_ready), MO_32);
    ir_brcond(c->ir, COND_NE, t, ir_const(c->ir, IR_I32, expected), ir_cold(c->ir));
    c->ir->assumed = expected;
}

/* Vectors are on, vtype is legal and vstart is 0; which vtype, and vl, do not matter. */
static void assume_ready(Ctx *c)
{
    if (c->ir->assumed)
        return;
    IrTmp t = ir_ldstate(c->ir, IR_I32, offsetof(RiscvState, v_ready), MO_32);
    ir_brcond(c->ir, COND_EQ, t, ir_const(c->ir, IR_I32, 0), ir_cold(c->ir));
    c->ir->assumed = V_READY;
}

/* ---- masks: bits of up to 128 elements, as two words ---- */

typedef struct Bits {
    IrTmp word[2];
} Bits;

static IrTmp mask_word(Inline *v, unsigned reg, unsigned word)
{
    return ir_vector(v->u, OP_vextract, IR_I64, 3, get(v, reg, 4, 0), 0, 0, word);
}

/* Which elements are worked on, as bits: those of word 0 or 1. */
static IrTmp selected(Inline *v, unsigned word)
{
    if (!v_masked(v->bits) || v->flags & VO_CARRY)
        return v->tail;
    IrTmp mask = mask_word(v, 0, word);
    return v->tail ? ir_binary(v->u, OP_and, IR_I64, mask, v->tail) : mask;
}

/* yes where the elements' bits in the word are set, else no; first: the number of the piece's first element. */
static IrTmp choose(Inline *v, IrTmp no, IrTmp yes, IrTmp word, unsigned size, unsigned first)
{
    IrType type = (IrType)v->u->tmps[no].type;
    word = ir_binary_imm(v->u, OP_shr, IR_I64, word, first % 64);
    return ir_vector(v->u, OP_vblend, type, 0, no, yes, ir_vector(v->u, OP_vmask, type, size, word, 0, 0, 0), 0);
}

static uint64_t low_bits(unsigned n)
{
    return n >= 64 ? UINT64_MAX : (1ull << n) - 1;
}

/* The elements' bits to a mask register; the others in it stay. */
static void put_bits(Inline *v, unsigned reg, Bits bits)
{
    IrUnit *u = v->u;
    IrTmp old = get(v, reg, 4, 0);
    if (v->n < 8) {
        IrTmp byte = ir_vector(u, OP_vextract, IR_I64, 0, old, 0, 0, 0);
        byte = ir_binary_imm(u, OP_and, IR_I64, byte, (int64_t)~low_bits(v->n));
        byte = ir_binary(u, OP_or, IR_I64, byte, bits.word[0]);
        put(v, reg, 4, 0, ir_vector(u, OP_vinsert, IR_V128, 0, old, byte, 0, 0));
        return;
    }
    unsigned size = MIN((unsigned)__builtin_ctz(v->n / 8), 3);
    IrTmp value = ir_vector(u, OP_vinsert, IR_V128, size, old, bits.word[0], 0, 0);
    if (v->n > 64)
        value = ir_vector(u, OP_vinsert, IR_V128, 3, value, bits.word[1], 0, 1);
    put(v, reg, 4, 0, value);
}

/* Bits of a piece's elements, whose top bits say, beside those of the pieces before. */
static void add_bits(Inline *v, Bits *bits, IrTmp piece, unsigned size, unsigned first, unsigned count, bool negate)
{
    IrUnit *u = v->u;
    IrTmp t = ir_vector(u, OP_vbits, IR_I64, size, piece, 0, 0, 0);
    if (negate)
        t = ir_binary_imm(u, OP_xor, IR_I64, t, (int64_t)low_bits(count));
    if (count < (16u >> size)) /* there is no more of the piece */
        t = ir_binary_imm(u, OP_and, IR_I64, t, (int64_t)low_bits(count));
    t = ir_binary_imm(u, OP_shl, IR_I64, t, first % 64);
    IrTmp *word = &bits->word[first / 64];
    *word = *word ? ir_binary(u, OP_or, IR_I64, *word, t) : t;
}

/* ---- elements ---- */

static IrTmp lesser(Inline *v, IrOp op, IrTmp x, IrTmp y, unsigned size)
{
    if (size < 3)
        return vec2(v, op, x, y, size);
    bool is_signed = op == OP_vmin || op == OP_vmax, greater = op == OP_vmax || op == OP_vmaxu;
    IrTmp more = vec2(v, is_signed ? OP_vcmpgt : OP_vcmpgtu, x, y, size);
    return ir_vector(v->u, OP_vblend, (IrType)v->u->tmps[x].type, 0, greater ? y : x, greater ? x : y, more, 0);
}

/* x shifted by one count, which is below the width. */
static IrTmp shift(Inline *v, IrOp op, IrTmp x, IrTmp count, unsigned size)
{
    IrUnit *u = v->u;
    IrType type = (IrType)u->tmps[x].type;
    unsigned width = 8u << size;
    if (u->tmps[count].constant && u->tmps[count].value == 0)
        return x;
    if (op == OP_vsar && (size == 0 || size == 3)) { /* m = the sign, shifted: (x >> n ^ m) - m */
        IrTmp sign = splat(v, type, size, ir_binary(u, OP_shr, IR_I64, const64(v, 1ull << (width - 1)), count));
        return vec2(v, OP_vsub, vec2(v, OP_vxor, shift(v, OP_vshr, x, count, size), sign, size), sign, size);
    }
    if (size)
        return vec2(v, op, x, count, size);
    IrTmp keep = ir_binary(u, op == OP_vshl ? OP_shl : OP_shr, IR_I64, const64(v, 0xff), count);
    return vec2(v, OP_vand, vec2(v, op, x, count, 1), splat(v, type, 0, keep), 0);
}

static IrTmp shift_each(Inline *v, IrOp op, IrTmp x, IrTmp y)
{
    if (v->sew < 2 || (op == OP_vsar && v->sew == 3))
        return 0;
    IrTmp width = splat_const(v, (IrType)v->u->tmps[x].type, v->sew, (8u << v->sew) - 1);
    static const uint8_t each[] = { OP_vshlv, OP_vshrv, OP_vsarv };
    return vec2(v, (IrOp)each[op - OP_vshl], x, vec2(v, OP_vand, y, width, v->sew), v->sew);
}

/* x: vs2, y: vs1 or the scalar, z: vd before. 0: not inline. */
static IrTmp integer(Inline *v, IrTmp x, IrTmp y, IrTmp z)
{
    static const uint8_t plain[VOP_ELEMENTWISE] = {
        [VOP_add] = OP_vadd, [VOP_sub] = OP_vsub, [VOP_and] = OP_vand,
        [VOP_or] = OP_vor,   [VOP_xor] = OP_vxor, [VOP_mul] = OP_vmul,
    };
    static const uint8_t order[VOP_ELEMENTWISE] = {
        [VOP_minu] = OP_vminu, [VOP_min] = OP_vmin, [VOP_maxu] = OP_vmaxu, [VOP_max] = OP_vmax
    };
    unsigned size = v->sew;
    if (plain[v->op])
        return vec2(v, (IrOp)plain[v->op], x, y, size);
    if (order[v->op])
        return lesser(v, (IrOp)order[v->op], x, y, size);
    switch (v->op) {
    case VOP_rsub:
        return vec2(v, OP_vsub, y, x, size);
    case VOP_mv_v:
        return y;
    case VOP_macc:
        return vec2(v, OP_vadd, vec2(v, OP_vmul, x, y, size), z, size);
    case VOP_nmsac:
        return vec2(v, OP_vsub, z, vec2(v, OP_vmul, x, y, size), size);
    case VOP_madd:
        return vec2(v, OP_vadd, vec2(v, OP_vmul, z, y, size), x, size);
    case VOP_nmsub:
        return vec2(v, OP_vsub, x, vec2(v, OP_vmul, z, y, size), size);
    case VOP_aaddu:
        return vec2(v, OP_vavgu, x, y, size);
    default:
        return 0;
    }
}

static bool is_shift(unsigned op)
{
    return op == VOP_sll || op == VOP_srl || op == VOP_sra;
}

static IrTmp shift_operand(Inline *v, IrTmp x, IrTmp y)
{
    IrOp op = v->op == VOP_sll ? OP_vshl : v->op == VOP_srl ? OP_vshr : OP_vsar;
    return v->scalar ? shift(v, op, x, v->scalar, v->sew) : shift_each(v, op, x, y);
}

/* vs1, or the scalar, as a vector. */
static IrTmp operand1(Inline *v, unsigned piece, unsigned offset)
{
    return v->scalar ? v->scalar : get(v, v_s1(v->bits), piece, offset);
}

/* Results of SEW from operands of SEW. */
static bool elementwise(Inline *v)
{
    unsigned piece = piece_of(v->bytes), d = v_d(v->bits);
    bool merge = v->op == VOP_merge || v->op == VOP_fmerge, some = v->tail || (v_masked(v->bits) && !merge);
    for (unsigned at = 0; at < v->bytes; at += 1u << piece) {
        IrTmp x = v->op == VOP_mv_v ? 0 : get(v, v_s2(v->bits), piece, at), y = operand1(v, piece, at), result;
        IrTmp old = some || v->flags & VO_OLD ? get(v, d, piece, at) : 0;
        if (merge)
            result = choose(v, x, y, mask_word(v, 0, (at >> v->sew) / 64), v->sew, at >> v->sew);
        else if (is_shift(v->op))
            result = shift_operand(v, x, y);
        else
            result = integer(v, x, y, old);
        if (!result)
            return false;
        if (some)
            result = choose(v, old, result, selected(v, (at >> v->sew) / 64), v->sew, at >> v->sew);
        put(v, d, piece, at, result);
    }
    return true;
}

/* ---- comparisons ---- */

typedef struct Comparison {
    uint8_t op, relation;
    bool swap, negate, valid;
} Comparison;
static const Comparison comparisons[VOP_ELEMENTWISE] = {
    [VOP_mseq] = { OP_vcmpeq, 0, false, false, true },      [VOP_msne] = { OP_vcmpeq, 0, false, true, true },
    [VOP_msltu] = { OP_vcmpgtu, 0, true, false, true },     [VOP_mslt] = { OP_vcmpgt, 0, true, false, true },
    [VOP_msleu] = { OP_vcmpgtu, 0, false, true, true },     [VOP_msle] = { OP_vcmpgt, 0, false, true, true },
    [VOP_msgtu] = { OP_vcmpgtu, 0, false, false, true },    [VOP_msgt] = { OP_vcmpgt, 0, false, false, true },
    [VOP_mfeq] = { OP_vfcmp, FCMP_EQ, false, false, true }, [VOP_mfne] = { OP_vfcmp, FCMP_EQ, false, true, true },
    [VOP_mflt] = { OP_vfcmp, FCMP_LT, false, false, true }, [VOP_mfle] = { OP_vfcmp, FCMP_LE, false, false, true },
    [VOP_mfgt] = { OP_vfcmp, FCMP_LT, true, false, true },  [VOP_mfge] = { OP_vfcmp, FCMP_LE, true, false, true },
};

static void compare(Inline *v)
{
    const Comparison *k = &comparisons[v->op];
    unsigned piece = piece_of(v->bytes), count = 1u << piece >> v->sew, d = v_d(v->bits);
    Bits bits = { { 0, 0 } };
    for (unsigned at = 0; at < v->bytes; at += 1u << piece) {
        IrTmp x = get(v, v_s2(v->bits), piece, at), y = operand1(v, piece, at);
        IrTmp t =
            ir_vector(v->u, (IrOp)k->op, type_of(piece), v->sew, k->swap ? y : x, k->swap ? x : y, 0, k->relation);
        add_bits(v, &bits, t, v->sew, at >> v->sew, count, k->negate);
    }
    for (unsigned w = 0; (v->tail || v_masked(v->bits)) && w < (v->n + 63) / 64; w++) {
        IrTmp old = mask_word(v, d, w), mask = selected(v, w);
        IrTmp differ = ir_binary(v->u, OP_and, IR_I64, ir_binary(v->u, OP_xor, IR_I64, old, bits.word[w]), mask);
        bits.word[w] = ir_binary(v->u, OP_xor, IR_I64, old, differ);
        if (v->n < 64)
            bits.word[w] = ir_binary_imm(v->u, OP_and, IR_I64, bits.word[w], (int64_t)low_bits(v->n));
    }
    put_bits(v, d, bits);
}

/* vm..._mm */
static bool mask_logical(Inline *v)
{
    static const struct {
        uint8_t op;
        bool not_y, not_result;
    } kinds[] = {
        { OP_and, true, false }, { OP_and, false, false }, { OP_or, false, false }, { OP_xor, false, false },
        { OP_or, true, false },  { OP_and, false, true },  { OP_or, false, true },  { OP_xor, false, true },
    };
    unsigned k = v->op - VOP_mandn_mm;
    Bits bits = { { 0, 0 } };
    for (unsigned w = 0; w < (v->n + 63) / 64; w++) {
        IrTmp x = mask_word(v, v_s2(v->bits), w), y = mask_word(v, v_s1(v->bits), w);
        if (kinds[k].not_y)
            y = ir_binary_imm(v->u, OP_xor, IR_I64, y, -1);
        IrTmp t = ir_binary(v->u, (IrOp)kinds[k].op, IR_I64, x, y);
        if (kinds[k].not_result)
            t = ir_binary_imm(v->u, OP_xor, IR_I64, t, -1);
        if (v->n < 64)
            t = ir_binary_imm(v->u, OP_and, IR_I64, t, (int64_t)low_bits(v->n));
        bits.word[w] = t;
    }
    put_bits(v, v_d(v->bits), bits);
    return true;
}

/* vcpop.m, vfirst.m */
static bool count_mask(Inline *v)
{
    IrUnit *u = v->u;
    if (v->n > 64)
        return false;
    IrTmp t = ir_binary_imm(u, OP_and, IR_I64, mask_word(v, v_s2(v->bits), 0), (int64_t)low_bits(v->n));
    if (v_masked(v->bits))
        t = ir_binary(u, OP_and, IR_I64, t, mask_word(v, 0, 0));
    if (v->op == VOP_cpop_m)
        t = ir_unary(u, OP_popcnt, IR_I64, t);
    else
        t = ir_select(u, IR_I64, COND_EQ, t, const64(v, 0), const64(v, UINT64_MAX), ir_unary(u, OP_ctz, IR_I64, t));
    set_x(v->c, v->a->rd, v->c->xt == IR_I32 ? ir_unary(u, OP_trunc, IR_I32, t) : t);
    return true;
}

/* ---- widening and narrowing ---- */

typedef struct Widening {
    uint8_t op;
    bool sign2, sign1, valid;
} Widening;
static const Widening widenings[VOP_ELEMENTWISE] = {
    [VOP_waddu] = { OP_vadd, false, false, true },   [VOP_wadd] = { OP_vadd, true, true, true },
    [VOP_wsubu] = { OP_vsub, false, false, true },   [VOP_wsub] = { OP_vsub, true, true, true },
    [VOP_waddu_w] = { OP_vadd, false, false, true }, [VOP_wadd_w] = { OP_vadd, false, true, true },
    [VOP_wsubu_w] = { OP_vsub, false, false, true }, [VOP_wsub_w] = { OP_vsub, false, true, true },
    [VOP_wmulu] = { OP_vmul, false, false, true },   [VOP_wmul] = { OP_vmul, true, true, true },
    [VOP_wmulsu] = { OP_vmul, true, false, true },   [VOP_wmaccu] = { OP_vmul, false, false, true },
    [VOP_wmacc] = { OP_vmul, true, true, true },     [VOP_wmaccsu] = { OP_vmul, false, true, true },
    [VOP_wmaccus] = { OP_vmul, true, false, true },
};

/* The piece (of log2 bytes) that begins at byte `at` of elements of `size`, each 2^factor times as wide. */
static IrTmp extended(Inline *v, unsigned reg, unsigned piece, unsigned at, unsigned size, unsigned factor,
                      bool is_signed)
{
    IrTmp from = get(v, reg, piece - factor, at >> factor);
    return ir_vector(v->u, OP_vextend, type_of(piece), size | (is_signed ? MO_SIGNED : 0), from, 0, 0, factor);
}

static bool widen(Inline *v)
{
    const Widening *k = &widenings[v->op];
    unsigned bytes = 2 * v->bytes, piece = piece_of(bytes), wide = v->sew + 1, d = v_d(v->bits);
    for (unsigned at = 0; at < bytes; at += 1u << piece) {
        IrTmp old = v->flags & VO_OLD || v_masked(v->bits) ? get(v, d, piece, at) : 0;
        IrTmp x = v->flags & VO_WIDE2 ? get(v, v_s2(v->bits), piece, at)
                                      : extended(v, v_s2(v->bits), piece, at, v->sew, 1, k->sign2);
        IrTmp y = v->scalar ? v->scalar : extended(v, v_s1(v->bits), piece, at, v->sew, 1, k->sign1);
        IrTmp t = vec2(v, (IrOp)k->op, x, y, wide);
        if (v->flags & VO_OLD)
            t = vec2(v, OP_vadd, t, old, wide);
        if (v_masked(v->bits))
            t = choose(v, old, t, selected(v, (at >> wide) / 64), wide, at >> wide);
        put(v, d, piece, at, t);
    }
    return true;
}

/* vzext, vsext */
static bool extend(Inline *v)
{
    unsigned factor = v->flags & VO_HALF2      ? 1
                      : v->flags & VO_QUARTER2 ? 2
                                               : 3,
             piece = piece_of(v->bytes), d = v_d(v->bits);
    bool is_signed = v->op == VOP_sext_vf2 || v->op == VOP_sext_vf4 || v->op == VOP_sext_vf8;
    if (piece < factor + 2 || v_masked(v->bits))
        return false;
    for (unsigned at = 0; at < v->bytes; at += 1u << piece)
        put(v, d, piece, at, extended(v, v_s2(v->bits), piece, at, v->sew - factor, factor, is_signed));
    return true;
}

/* 16 bytes (or fewer, where there are no more) of vs2, shifted */
static IrTmp shifted_wide(Inline *v, unsigned piece, unsigned at)
{
    IrOp op = v->op == VOP_nsrl ? OP_vshr : OP_vsar;
    return shift(v, op, get(v, v_s2(v->bits), piece, at), v->scalar, v->sew + 1);
}

static IrTmp narrowed(Inline *v, unsigned at)
{
    unsigned piece = MIN(piece_of(2 * v->bytes), 4);
    IrTmp low = shifted_wide(v, piece, at), high = 2 * v->bytes > 16 ? shifted_wide(v, piece, at + 16) : low;
    return ir_vector(v->u, OP_vnarrow, IR_V128, v->sew + 1, low, high, 0, 0);
}

/* vnsrl, vnsra by one count */
static bool narrow(Inline *v)
{
    unsigned piece = piece_of(v->bytes), d = v_d(v->bits);
    if (!v->scalar || v_masked(v->bits))
        return false;
    for (unsigned at = 0; at < v->bytes; at += 1u << piece) {
        IrTmp t = narrowed(v, 2 * at);
        if (piece == 5)
            t = ir_vector(v->u, OP_vconcat, IR_V256, 0, t, narrowed(v, 2 * at + 32), 0, 0);
        put(v, d, piece, at, t);
    }
    return true;
}

/* ---- floating point ---- */

typedef struct Fused {
    uint8_t negate;
    bool valid, times_d; /* vd is a factor, not the addend */
} Fused;
static const Fused fused[VOP_ELEMENTWISE] = {
    [VOP_fmacc] = { 0, true, false },
    [VOP_fnmacc] = { IR_FMA_NEG_PRODUCT | IR_FMA_NEG_ADDEND, true, false },
    [VOP_fmsac] = { IR_FMA_NEG_ADDEND, true, false },
    [VOP_fnmsac] = { IR_FMA_NEG_PRODUCT, true, false },
    [VOP_fmadd] = { 0, true, true },
    [VOP_fnmadd] = { IR_FMA_NEG_PRODUCT | IR_FMA_NEG_ADDEND, true, true },
    [VOP_fmsub] = { IR_FMA_NEG_ADDEND, true, true },
    [VOP_fnmsub] = { IR_FMA_NEG_PRODUCT, true, true },
};

/* Arithmetic, which may give NaNs. 0: not inline. */
static IrTmp arithmetic(Inline *v, IrTmp x, IrTmp y, IrTmp z)
{
    static const uint8_t ops[VOP_ELEMENTWISE] = {
        [VOP_fadd] = OP_vfadd, [VOP_fsub] = OP_vfsub,  [VOP_frsub] = OP_vfsub,   [VOP_fmul] = OP_vfmul,
        [VOP_fdiv] = OP_vfdiv, [VOP_frdiv] = OP_vfdiv, [VOP_fsqrt_v] = OP_vfsqrt
    };
    bool swap = v->op == VOP_frsub || v->op == VOP_frdiv;
    const Fused *k = &fused[v->op];
    IrType type = (IrType)v->u->tmps[x].type;
    if (k->valid)
        return ir_vector(v->u, OP_vfma, type, v->sew, k->times_d ? z : x, y, k->times_d ? x : z, k->negate);
    if (v->op == VOP_fsqrt_v)
        return ir_vector(v->u, OP_vfsqrt, type, v->sew, x, 0, 0, 0);
    return ops[v->op] ? vec2(v, (IrOp)ops[v->op], swap ? y : x, swap ? x : y, v->sew) : 0;
}

static bool float_arithmetic(Inline *v)
{
    IrTmp result[MAX_FLOAT_PIECES], nans = 0;
    unsigned piece = piece_of(v->bytes), count = v->bytes >> piece, d = v_d(v->bits);
    if (count > MAX_FLOAT_PIECES || v_masked(v->bits))
        return false;
    for (unsigned i = 0; i < count; i++) {
        unsigned at = i << piece;
        IrTmp z = v->flags & VO_OLD ? get(v, d, piece, at) : 0;
        IrTmp y = v->flags & VO_UNARY ? 0 : operand1(v, piece, at);
        result[i] = arithmetic(v, get(v, v_s2(v->bits), piece, at), y, z);
        if (!result[i])
            return false;
    }
    for (unsigned i = 0; i < count; i += 2) { /* the helper does it again */
        IrTmp other = i + 1 < count ? result[i + 1] : result[i];
        IrTmp t = ir_vector(v->u, OP_vfnan, IR_I64, v->sew, result[i], other, 0, 0);
        nans = nans ? ir_binary(v->u, OP_or, IR_I64, nans, t) : t;
    }
    ir_brcond(v->u, COND_NE, nans, const64(v, 0), ir_cold(v->u));
    for (unsigned i = 0; i < count; i++)
        put(v, d, piece, i << piece, result[i]);
    return true;
}

/* Sign injection, integers to floats, moves: no NaN is made. */
static IrTmp float_bits(Inline *v, IrTmp x, IrTmp y)
{
    IrType type = (IrType)v->u->tmps[y ? y : x].type;
    IrTmp sign;
    switch (v->op) {
    case VOP_fsgnj:
    case VOP_fsgnjn:
    case VOP_fsgnjx:
        sign = splat_const(v, type, v->sew, 1ull << ((8u << v->sew) - 1));
        if (v->op == VOP_fsgnjx)
            return vec2(v, OP_vxor, x, vec2(v, OP_vand, y, sign, 0), 0);
        y = v->op == VOP_fsgnj ? vec2(v, OP_vand, y, sign, 0) : vec2(v, OP_vandn, y, sign, 0);
        return vec2(v, OP_vor, vec2(v, OP_vandn, sign, x, 0), y, 0);
    case VOP_fmv_v_f:
        return y;
    default: /* fcvt_f_x_v */
        return ir_vector(v->u, OP_vfitof, type, 2, x, 0, 0, 0);
    }
}

static bool float_others(Inline *v)
{
    unsigned piece = piece_of(v->bytes), d = v_d(v->bits);
    if (v_masked(v->bits) || (v->op == VOP_fcvt_f_x_v && v->sew != 2))
        return false;
    for (unsigned at = 0; at < v->bytes; at += 1u << piece) {
        IrTmp x = v->op == VOP_fmv_v_f ? 0 : get(v, v_s2(v->bits), piece, at);
        put(v, d, piece, at, float_bits(v, x, v->flags & VO_UNARY ? 0 : operand1(v, piece, at)));
    }
    return true;
}

/* ---- reductions ---- */

static IrTmp reduced(Inline *v, IrOp op, IrTmp x, IrTmp y, unsigned size)
{
    return op >= OP_vminu && op <= OP_vmax ? lesser(v, op, x, y, size) : vec2(v, op, x, y, size);
}

/* All elements of acc, of which 2^piece bytes count, and element 0 of vs1: to element 0 of vd. */
static void finish_reduction(Inline *v, IrOp op, IrTmp acc, unsigned piece, unsigned size)
{
    IrUnit *u = v->u;
    unsigned d = v_d(v->bits);
    if (piece == 5) {
        acc = reduced(v, op, ir_vector(u, OP_vhalf, IR_V128, 0, acc, 0, 0, 0),
                      ir_vector(u, OP_vhalf, IR_V128, 0, acc, 0, 0, 1), size);
        piece = 4;
    }
    while (piece-- > size)
        acc = reduced(v, op, acc, ir_vector(u, OP_vdown, IR_V128, 0, acc, 0, 0, 1 << piece), size);
    acc = reduced(v, op, acc, get(v, v_s1(v->bits), 4, 0), size);
    IrTmp x = ir_vector(u, OP_vextract, IR_I64, size, acc, 0, 0, 0);
    put(v, d, 4, 0, ir_vector(u, OP_vinsert, IR_V128, size, get(v, d, 4, 0), x, 0, 0));
}

static bool reduce(Inline *v)
{
    static const uint8_t ops[] = { OP_vadd, OP_vand, OP_vor, OP_vxor, OP_vminu, OP_vmin, OP_vmaxu, OP_vmax };
    IrOp op = (IrOp)ops[v->op - VOP_redsum_vs];
    unsigned piece = piece_of(v->bytes);
    IrTmp acc = 0;
    if (v_masked(v->bits))
        return false;
    for (unsigned at = 0; at < v->bytes; at += 1u << piece) {
        IrTmp x = get(v, v_s2(v->bits), piece, at);
        acc = acc ? reduced(v, op, acc, x, v->sew) : x;
    }
    finish_reduction(v, op, acc, piece, v->sew);
    return true;
}

static bool reduce_wide(Inline *v)
{
    unsigned bytes = 2 * v->bytes, piece = piece_of(bytes);
    IrTmp acc = 0;
    if (v_masked(v->bits) || v->sew == 3)
        return false;
    for (unsigned at = 0; at < bytes; at += 1u << piece) {
        IrTmp x = extended(v, v_s2(v->bits), piece, at, v->sew, 1, v->op == VOP_wredsum_vs);
        acc = acc ? vec2(v, OP_vadd, acc, x, v->sew + 1) : x;
    }
    finish_reduction(v, OP_vadd, acc, piece, v->sew + 1);
    return true;
}

/* ---- moves ---- */

static IrTmp unboxed(Inline *v, IrTmp f)
{
    return v->sew == 2 ? ir_fmove(v->u, OP_funbox, IR_F32, f) : f;
}

static bool move_scalar(Inline *v)
{
    IrUnit *u = v->u;
    unsigned d = v_d(v->bits);
    IrTmp t;
    switch (v->op) {
    case VOP_mv_x_s:
        t = ir_vector(u, OP_vextract, IR_I64, v->sew, get(v, v_s2(v->bits), 4, 0), 0, 0, 0);
        t = ir_ext(u, IR_I64, v->sew | MO_SIGNED, t);
        set_x(v->c, v->a->rd, v->c->xt == IR_I32 ? ir_unary(u, OP_trunc, IR_I32, t) : t);
        return true;
    case VOP_fmv_f_s:
        if (v->sew < 2)
            return false;
        t = ir_vector(u, OP_vextract, v->sew == 2 ? IR_I32 : IR_I64, v->sew, get(v, v_s2(v->bits), 4, 0), 0, 0, 0);
        t = ir_fmove(u, OP_fofbits, v->sew == 2 ? IR_F32 : IR_F64, t);
        ir_setreg(u, RISCV_REG_F0 + v->a->rd, v->sew == 2 ? ir_fmove(u, OP_fbox, IR_F64, t) : t);
        return true;
    case VOP_fmv_s_f:
        if (v->sew < 2)
            return false;
        t = unboxed(v, ir_getreg(u, RISCV_REG_F0 + v->a->rs1));
        t = ir_fmove(u, OP_fbits, v->sew == 2 ? IR_I32 : IR_I64, t);
        break;
    default: /* mv_s_x */
        t = get_x(v->c, v->a->rs1);
        if (v->c->xt == IR_I32)
            t = ir_ext(u, IR_I64, MO_32 | MO_SIGNED, t);
    }
    put(v, d, 4, 0, ir_vector(u, OP_vinsert, IR_V128, v->sew, get(v, d, 4, 0), t, 0, 0));
    return true;
}

/* vid.v: constants, 16 bytes at a time */
static bool number(Inline *v)
{
    unsigned piece = MIN(piece_of(v->bytes), 4);
    if (v_masked(v->bits) || v->bytes >> piece > MAX_PIECES || !v_aligned(v_d(v->bits), v_lmul_of(v->u->expected)))
        return false;
    for (unsigned at = 0; at < v->bytes; at += 1u << piece) {
        uint64_t word[2] = { 0, 0 };
        for (unsigned i = 0; i < 16u >> v->sew; i++)
            word[i << v->sew >> 3] |= (uint64_t)((at >> v->sew) + i) << (8 * (i << v->sew & 7));
        IrTmp t =
            ir_vector(v->u, OP_vinsert, IR_V128, 3, splat_const(v, IR_V128, 3, word[0]), const64(v, word[1]), 0, 1);
        put(v, v_d(v->bits), piece, at, t);
    }
    return true;
}

/* vslidedown.vi, vslide1down.vx of a group that is in 16 bytes */
static bool slide_down(Inline *v)
{
    bool one = v->op == VOP_slide1down_vx;
    unsigned piece = piece_of(v->bytes), steps = one ? 1 : v_s1(v->bits);
    if (v_masked(v->bits) || piece > 4)
        return false;
    IrTmp t = steps >= v->n ? splat_const(v, IR_V128, 0, 0)
                            : ir_vector(v->u, OP_vdown, IR_V128, 0, get(v, v_s2(v->bits), piece, 0), 0, 0,
                                        (int64_t)steps << v->sew);
    if (one) {
        IrTmp x = get_x(v->c, v->a->rs1);
        if (v->c->xt == IR_I32)
            x = ir_ext(v->u, IR_I64, MO_32 | MO_SIGNED, x);
        t = ir_vector(v->u, OP_vinsert, IR_V128, v->sew, t, x, 0, v->n - 1);
    }
    put(v, v_d(v->bits), piece, 0, t);
    return true;
}

static bool move_whole(Inline *v)
{
    unsigned regs = v_s1(v->bits) + 1, bytes = regs * v->c->s->vlenb, d = v_d(v->bits), from = v_s2(v->bits);
    unsigned piece = piece_of(bytes);
    if ((regs & (regs - 1)) || ((d | from) & (regs - 1)) || bytes >> piece > MAX_PIECES)
        return false;
    assume_ready(v->c);
    for (unsigned at = 0; at < bytes; at += 1u << piece)
        put(v, d, piece, at, get(v, from, piece, at));
    return true;
}

/* ---- loads and stores ---- */

static void copy(Inline *v, unsigned bytes, bool store)
{
    IrUnit *u = v->u;
    unsigned piece = piece_of(bytes), d = v_d(v->bits);
    IrTmp host = ir_probe(u, data_address(v->c, v->a->rs1, 0), bytes, store);
    ir_brcond(u, COND_EQ, host, const64(v, 0), ir_cold(u));
    for (unsigned at = 0; at < bytes; at += 1u << piece) {
        if (store)
            ir_vst(u, piece, host, at, get(v, d, piece, at));
        else
            put(v, d, piece, at, ir_vld(u, piece, host, at));
    }
}

static unsigned width_of(uint32_t bits)
{
    unsigned w = bits >> 12 & 7;
    return w ? w - 4 : 0;
}

/* Whole registers; unit-stride ones of one field, without a mask. */
static bool load_or_store(Inline *v)
{
    bool store = v->bits >> 5 & 1, whole = v->op == VOP_lr || v->op == VOP_sr;
    unsigned fields = (v->bits >> 29) + 1, d = v_d(v->bits), bytes = fields * v->c->s->vlenb;
    if (v_masked(v->bits))
        return false;
    if (whole) {
        if ((fields & (fields - 1)) || (d & (fields - 1)) || bytes >> 5 > MAX_PIECES)
            return false;
        assume_ready(v->c);
    } else {
        uint32_t expected = vector_expected(v->c);
        int emul = (int)width_of(v->bits) - (int)v->sew + v_lmul_of(expected);
        bytes = v->n << width_of(v->bits);
        if (!expected || fields > 1 || emul < -3 || emul > 3 || !v_aligned(d, emul) || bytes < 4 ||
            bytes >> 5 > MAX_PIECES)
            return false;
        vector_assume(v->c, expected);
    }
    copy(v, bytes, store);
    return true;
}

/* ---- which is which ---- */

enum { NOT_INLINE, ELEMENTS, WIDEN, EXTEND, NARROW, ARITHMETIC, OTHER_FLOAT };
static const uint8_t kinds[VOP_ELEMENTWISE] = {
    [VOP_add] = ELEMENTS,
    [VOP_sub] = ELEMENTS,
    [VOP_rsub] = ELEMENTS,
    [VOP_minu] = ELEMENTS,
    [VOP_min] = ELEMENTS,
    [VOP_maxu] = ELEMENTS,
    [VOP_max] = ELEMENTS,
    [VOP_and] = ELEMENTS,
    [VOP_or] = ELEMENTS,
    [VOP_xor] = ELEMENTS,
    [VOP_sll] = ELEMENTS,
    [VOP_srl] = ELEMENTS,
    [VOP_sra] = ELEMENTS,
    [VOP_merge] = ELEMENTS,
    [VOP_mv_v] = ELEMENTS,
    [VOP_mul] = ELEMENTS,
    [VOP_macc] = ELEMENTS,
    [VOP_nmsac] = ELEMENTS,
    [VOP_madd] = ELEMENTS,
    [VOP_nmsub] = ELEMENTS,
    [VOP_aaddu] = ELEMENTS,
    [VOP_fmerge] = ELEMENTS,
    [VOP_zext_vf2] = EXTEND,
    [VOP_sext_vf2] = EXTEND,
    [VOP_zext_vf4] = EXTEND,
    [VOP_sext_vf4] = EXTEND,
    [VOP_zext_vf8] = EXTEND,
    [VOP_sext_vf8] = EXTEND,
    [VOP_waddu] = WIDEN,
    [VOP_wadd] = WIDEN,
    [VOP_wsubu] = WIDEN,
    [VOP_wsub] = WIDEN,
    [VOP_waddu_w] = WIDEN,
    [VOP_wadd_w] = WIDEN,
    [VOP_wsubu_w] = WIDEN,
    [VOP_wsub_w] = WIDEN,
    [VOP_wmulu] = WIDEN,
    [VOP_wmul] = WIDEN,
    [VOP_wmulsu] = WIDEN,
    [VOP_wmaccu] = WIDEN,
    [VOP_wmacc] = WIDEN,
    [VOP_wmaccsu] = WIDEN,
    [VOP_wmaccus] = WIDEN,
    [VOP_nsrl] = NARROW,
    [VOP_nsra] = NARROW,
    [VOP_fadd] = ARITHMETIC,
    [VOP_fsub] = ARITHMETIC,
    [VOP_frsub] = ARITHMETIC,
    [VOP_fmul] = ARITHMETIC,
    [VOP_fdiv] = ARITHMETIC,
    [VOP_frdiv] = ARITHMETIC,
    [VOP_fsqrt_v] = ARITHMETIC,
    [VOP_fmacc] = ARITHMETIC,
    [VOP_fnmacc] = ARITHMETIC,
    [VOP_fmsac] = ARITHMETIC,
    [VOP_fnmsac] = ARITHMETIC,
    [VOP_fmadd] = ARITHMETIC,
    [VOP_fnmadd] = ARITHMETIC,
    [VOP_fmsub] = ARITHMETIC,
    [VOP_fnmsub] = ARITHMETIC,
    [VOP_fsgnj] = OTHER_FLOAT,
    [VOP_fsgnjn] = OTHER_FLOAT,
    [VOP_fsgnjx] = OTHER_FLOAT,
    [VOP_fmv_v_f] = OTHER_FLOAT,
    [VOP_fcvt_f_x_v] = OTHER_FLOAT,
};

/* The scalar as it is used: a shift's count, else a vector. */
static void take_scalar(Inline *v, unsigned kind)
{
    IrUnit *u = v->u;
    unsigned f3 = v->bits >> 12 & 7, size = v->sew;
    IrType type = type_of(piece_of(kind == WIDEN ? 2 * v->bytes : v->bytes));
    IrTmp x;
    if (f3 < 3 || v->flags & VO_UNARY)
        return;
    if (f3 == 5) {
        v->scalar = splat(v, type, size, unboxed(v, ir_getreg(u, RISCV_REG_F0 + v->a->rs1)));
        return;
    }
    if (f3 == 3) {
        unsigned i = v_s1(v->bits);
        x = const64(v, v->flags & VO_UIMM ? i : (uint64_t)((int64_t)((uint64_t)i << 59) >> 59));
    } else {
        x = get_x(v->c, v->a->rs1);
        if (v->c->xt == IR_I32)
            x = ir_ext(u, IR_I64, MO_32 | MO_SIGNED, x);
    }
    if (is_shift(v->op) || kind == NARROW) {
        v->scalar = ir_binary_imm(u, OP_and, IR_I64, x, (8 << (size + (kind == NARROW))) - 1);
    } else if (kind == WIDEN) {
        if (size < 3)
            x = ir_ext(u, IR_I64, size | (widenings[v->op].sign1 ? MO_SIGNED : 0), x);
        v->scalar = splat(v, type, size + 1, x);
    } else {
        v->scalar = splat(v, type, size, x);
    }
}

static bool inline_elementwise(Inline *v)
{
    unsigned kind = kinds[v->op];
    bool comparison = comparisons[v->op].valid, fp = v->flags & VO_FLOAT,
         rounds = kind == ARITHMETIC || v->op == VOP_fcvt_f_x_v;
    unsigned bytes = kind == WIDEN || kind == NARROW ? 2 * v->bytes : v->bytes;
    bool bits = comparison || v_masked(v->bits);
    if ((!kind && !comparison) || !v_legal(v->u->expected, v->bits, v->op) || v->bytes < 4 || bytes >> 5 > MAX_PIECES ||
        (bits && v->n > 128))
        return false;
    if (fp && comparison && v_masked(v->bits)) /* inactive elements would raise flags */
        return false;
    if (fp && (v->sew < 2 || v->bytes < 16 || (rounds && v->c->insn->mode >> MODE_FRM_SHIFT & 3)))
        return false;
    if (v->op == VOP_aaddu && v->sew > 1)
        return false;
    vector_assume(v->c, v->u->expected);
    if (v->op == VOP_aaddu) {
        IrTmp rounding = ir_ldstate(v->u, IR_I32, offsetof(RiscvState, vxrm), MO_8);
        ir_brcond(v->u, COND_NE, rounding, ir_const(v->u, IR_I32, 0), ir_cold(v->u));
    }
    take_scalar(v, kind);
    if (comparison) {
        compare(v);
        return true;
    }
    static bool (*const functions[])(Inline * v) = { [ELEMENTS] = elementwise,
                                                     [WIDEN] = widen,
                                                     [EXTEND] = extend,
                                                     [NARROW] = narrow,
                                                     [ARITHMETIC] = float_arithmetic,
                                                     [OTHER_FLOAT] = float_others };
    return functions[kind](v);
}

static bool inline_special(Inline *v)
{
    if (v->op == VOP_id_v) {
        vector_assume(v->c, v->u->expected);
        return v->bytes >= 4 && number(v);
    }
    if (v->op == VOP_slidedown_vi || v->op == VOP_slide1down_vx) {
        vector_assume(v->c, v->u->expected);
        return v->bytes >= 4 && slide_down(v);
    }
    bool reduction = v->op >= VOP_redsum_vs && v->op <= VOP_wredsum_vs;
    if (reduction &&
        (v->bytes < 4 || v->bytes >> 4 > MAX_PIECES || !v_aligned(v_s2(v->bits), v_lmul_of(v->u->expected))))
        return false;
    if (v->n > 128)
        return false;
    vector_assume(v->c, v->u->expected);
    if (v->op >= VOP_redsum_vs && v->op <= VOP_redmax_vs)
        return reduce(v);
    if (reduction)
        return reduce_wide(v);
    if (v->op >= VOP_mandn_mm && v->op <= VOP_mxnor_mm)
        return mask_logical(v);
    if (v->op == VOP_cpop_m || v->op == VOP_first_m)
        return count_mask(v);
    return move_scalar(v);
}

static bool is_special(unsigned op)
{
    return (op >= VOP_redsum_vs && op <= VOP_wredsum_vs) || (op >= VOP_mandn_mm && op <= VOP_first_m) ||
           op == VOP_id_v || op == VOP_slidedown_vi || op == VOP_slide1down_vx ||
           (op >= VOP_mv_x_s && op <= VOP_fmv_s_f);
}

static Inline inline_of(Ctx *c, const Arg *a, unsigned op, uint32_t expected)
{
    Inline v = { .c = c, .u = c->ir, .a = a, .bits = a->bits, .op = op, .sew = v_sew_of(expected) };
    v.n = expected ? v_max(c->s, v_lmul_of(expected), v.sew) : 0;
    v.bytes = v.n << v.sew;
    v.flags = op < VOP_ELEMENTWISE ? v_operands(op) : 0;
    return v;
}

/* ---- the first vl elements, in the cold part ---- */

static bool tail_fits(const Inline *v, uint32_t expected)
{
    bool elements = v->op < VOP_ELEMENTWISE && v->op != VOP_aaddu && !(v->flags & VO_FLOAT) &&
                    (kinds[v->op] == ELEMENTS || comparisons[v->op].valid) && v_legal(expected, v->bits, v->op);
    bool load = v->op == VOP_le && !(v->bits >> 29) && !v_masked(v->bits) && width_of(v->bits) == v->sew &&
                v_aligned(v_d(v->bits), v_lmul_of(expected));
    return expected && v->n <= 64 && v->bytes >= 4 && v->bytes >> 5 <= MAX_PIECES && (elements || load);
}

/* The page holds the whole group, so what is behind the last element can be read, too. */
static void load_tail(Inline *v, int slow)
{
    IrUnit *u = v->u;
    unsigned piece = piece_of(v->bytes), d = v_d(v->bits);
    IrTmp host = ir_probe(u, data_address(v->c, v->a->rs1, 0), v->bytes, false);
    ir_brcond(u, COND_EQ, host, const64(v, 0), slow);
    for (unsigned at = 0; at < v->bytes; at += 1u << piece) {
        IrTmp t = ir_vld(u, piece, host, at);
        put(v, d, piece, at, choose(v, get(v, d, piece, at), t, v->tail, v->sew, at >> v->sew));
    }
}

bool vector_tail(Ctx *c, const Arg *a, unsigned op, int slow)
{
    if (!c->insn->cold || !c->ir->vectors)
        return false;
    uint32_t expected = vector_expected(c);
    Inline v = inline_of(c, a, op, expected);
    if (!tail_fits(&v, expected))
        return false;
    IrTmp t = ir_ldstate(v.u, IR_I32, offsetof(RiscvState, v_ready), MO_32);
    t = ir_binary_imm(v.u, OP_or, IR_I32, t, V_WHOLE);
    ir_brcond(v.u, COND_NE, t, ir_const(v.u, IR_I32, expected), slow);
    IrTmp vl = ir_ldstate(v.u, IR_I64, offsetof(RiscvState, vl), MO_64);
    IrTmp ones =
        ir_binary(v.u, OP_shr, IR_I64, const64(&v, UINT64_MAX), ir_binary(v.u, OP_sub, IR_I64, const64(&v, 0), vl));
    v.tail = ir_select(v.u, IR_I64, COND_EQ, vl, const64(&v, 0), vl, ones);
    if (op == VOP_le) {
        load_tail(&v, slow);
        return true;
    }
    take_scalar(&v, kinds[op]);
    if (!comparisons[op].valid)
        return elementwise(&v);
    compare(&v);
    return true;
}

bool vector_inline(Ctx *c, const Arg *a, unsigned op)
{
    if (c->insn->cold || !c->ir->vectors)
        return false;
    uint32_t expected = vector_expected(c);
    Inline v = inline_of(c, a, op, expected);
    switch (op) {
    case VOP_mv1r_v:
    case VOP_mv2r_v:
    case VOP_mv4r_v:
    case VOP_mv8r_v:
        return move_whole(&v);
    case VOP_le:
    case VOP_se:
    case VOP_leff:
    case VOP_lr:
    case VOP_sr:
        return load_or_store(&v);
    default:
        break;
    }
    if (!expected || (op >= VOP_ELEMENTWISE && !is_special(op)))
        return false;
    return op < VOP_ELEMENTWISE ? inline_elementwise(&v) : inline_special(&v);
}
