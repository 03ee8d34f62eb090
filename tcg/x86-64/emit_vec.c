/*
 * x86-64 back end: operations on vectors, with AVX2 (emit_vectors says whether the host has it). 128 bits are in xmm,
 * 256 bits in ymm registers 0-7; where the host has no instruction for an element size, a few take its place.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/x86-64/regs.h"

#define OP66(map, opcode) (VEX_66 | VEX_##map | (opcode))
/* Instruction by operation and element size; 0: none. */
static const uint32_t simple[OP_COUNT][4] = {
    [OP_vadd] = { OP66(0F, 0xfc), OP66(0F, 0xfd), OP66(0F, 0xfe), OP66(0F, 0xd4) },
    [OP_vsub] = { OP66(0F, 0xf8), OP66(0F, 0xf9), OP66(0F, 0xfa), OP66(0F, 0xfb) },
    [OP_vmul] = { 0, OP66(0F, 0xd5), OP66(0F38, 0x40), 0 },
    [OP_vminu] = { OP66(0F, 0xda), OP66(0F38, 0x3a), OP66(0F38, 0x3b) },
    [OP_vmin] = { OP66(0F38, 0x38), OP66(0F, 0xea), OP66(0F38, 0x39) },
    [OP_vmaxu] = { OP66(0F, 0xde), OP66(0F38, 0x3e), OP66(0F38, 0x3f) },
    [OP_vmax] = { OP66(0F38, 0x3c), OP66(0F, 0xee), OP66(0F38, 0x3d) },
    [OP_vavgu] = { OP66(0F, 0xe0), OP66(0F, 0xe3) },
    [OP_vcmpeq] = { OP66(0F, 0x74), OP66(0F, 0x75), OP66(0F, 0x76), OP66(0F38, 0x29) },
    [OP_vcmpgt] = { OP66(0F, 0x64), OP66(0F, 0x65), OP66(0F, 0x66), OP66(0F38, 0x37) },
    [OP_vand] = { OP66(0F, 0xdb), OP66(0F, 0xdb), OP66(0F, 0xdb), OP66(0F, 0xdb) },
    [OP_vor] = { OP66(0F, 0xeb), OP66(0F, 0xeb), OP66(0F, 0xeb), OP66(0F, 0xeb) },
    [OP_vxor] = { OP66(0F, 0xef), OP66(0F, 0xef), OP66(0F, 0xef), OP66(0F, 0xef) },
    [OP_vandn] = { OP66(0F, 0xdf), OP66(0F, 0xdf), OP66(0F, 0xdf), OP66(0F, 0xdf) },
    [OP_vshlv] = { 0, 0, OP66(0F38, 0x47), OP66(0F38, 0x47) | VEX_W },
    [OP_vshrv] = { 0, 0, OP66(0F38, 0x45), OP66(0F38, 0x45) | VEX_W },
    [OP_vsarv] = { 0, 0, OP66(0F38, 0x46), 0 },
    [OP_vfadd] = { 0, 0, VEX_0F | 0x58, OP66(0F, 0x58) },
    [OP_vfsub] = { 0, 0, VEX_0F | 0x5c, OP66(0F, 0x5c) },
    [OP_vfmul] = { 0, 0, VEX_0F | 0x59, OP66(0F, 0x59) },
    [OP_vfdiv] = { 0, 0, VEX_0F | 0x5e, OP66(0F, 0x5e) },
};
enum {
    VMOVDQU = VEX_0F | VEX_F3 | 0x6f,
    VMOVDQU_STORE = VEX_0F | VEX_F3 | 0x7f,
    VMOVDQA = VEX_0F | VEX_66 | 0x6f,
    VMOVQ = VEX_0F | VEX_F3 | 0x7e,
    VMOVQ_STORE = VEX_0F | VEX_66 | 0xd6,
    VMOVD = VEX_0F | VEX_66 | 0x6e, /* from an integer register or memory; with VEX_W 64 bits */
    VMOVD_STORE = VEX_0F | VEX_66 | 0x7e,
    VPXOR = VEX_0F | VEX_66 | 0xef,
    VPAND = VEX_0F | VEX_66 | 0xdb,
    VPOR = VEX_0F | VEX_66 | 0xeb,
    VPADDQ = VEX_0F | VEX_66 | 0xd4,
    VPMULLW = VEX_0F | VEX_66 | 0xd5,
    VPMULUDQ = VEX_0F | VEX_66 | 0xf4,
    VPMOVMSKB = VEX_0F | VEX_66 | 0xd7,
    VMOVMSKPS = VEX_0F | 0x50,
    VPACKSSWB = VEX_0F | VEX_66 | 0x63,
    VPACKUSWB = VEX_0F | VEX_66 | 0x67,
    VPACKUSDW = VEX_0F38 | VEX_66 | 0x2b,
    VSHUFPS = VEX_0F | 0xc6,
    VPSHUFB = VEX_0F38 | VEX_66 | 0x00,
    VPBLENDVB = VEX_0F3A | VEX_66 | 0x4c,
    VEXTRACTI128 = VEX_0F3A | VEX_66 | 0x39,
    VINSERTI128 = VEX_0F3A | VEX_66 | 0x38,
    VCMPPS = VEX_0F | 0xc2,
    VCVTDQ2PS = VEX_0F | 0x5b,
    VSQRTPS = VEX_0F | 0x51,
};
/* pxxd of floating point: the prefix of doubles */
static uint32_t of_doubles(unsigned size)
{
    return size == 3 ? VEX_66 : 0;
}

typedef struct Vec {
    Emit *e;
    Asm *a;
    const IrInsn *insn;
    bool wide; /* 256 bits */
} Vec;

/* reg = v op rm, all as the allocator numbers them (0 for v: none) */
static void rr(const Vec *x, uint32_t op, int reg, int v, int rm)
{
    vec_rr(x->a, op, x->wide, reg & 15, v & 15, rm & 15);
}
static void rr128(const Vec *x, uint32_t op, int reg, int v, int rm)
{
    vec_rr(x->a, op, false, reg & 15, v & 15, rm & 15);
}
static void rr_imm(const Vec *x, uint32_t op, int reg, int v, int rm, unsigned imm)
{
    rr(x, op, reg, v, rm);
    put_byte(x->a, imm);
}
static void with_constant(const Vec *x, uint32_t op, int reg, int v, int which)
{
    vec_rip(x->a, op, x->wide, reg & 15, v & 15, vector_constant(which), 0);
}
static int use(const Vec *x, unsigned arg)
{
    return use_reg(x->e, x->insn->arg[arg]);
}
static int define(const Vec *x, uint32_t must_not)
{
    int dst = def_reg(x->e, x->insn->dst, must_not);
    x->e->busy |= 1u << dst;
    return dst;
}
static void done(const Vec *x, int reg)
{
    def_done(x->e, x->insn->dst, reg);
}

/* ---- loads and stores ---- */

void load_vector(Asm *a, int reg, Mem m, unsigned log2_bytes)
{
    static const uint32_t ops[] = { VMOVD, VMOVQ, VMOVDQU, VMOVDQU };
    vec_rm(a, ops[log2_bytes - 2], log2_bytes == 5, reg & 15, 0, m);
}

void store_vector(Asm *a, int reg, Mem m, unsigned log2_bytes)
{
    static const uint32_t ops[] = { VMOVD_STORE, VMOVQ_STORE, VMOVDQU_STORE, VMOVDQU_STORE };
    vec_rm(a, ops[log2_bytes - 2], log2_bytes == 5, reg & 15, 0, m);
}

static void load(const Vec *x, Mem m)
{
    int dst = define(x, 0);
    load_vector(x->a, dst, m, x->insn->aux);
    done(x, dst);
}

static void store(const Vec *x, Mem m, int reg)
{
    store_vector(x->a, reg, m, x->insn->aux);
}

/* The operand that is a host address; imm is small. */
static Mem host_mem(const Vec *x)
{
    return mem(use(x, 0), (int32_t)x->insn->imm);
}

/* ---- between integers and vectors ---- */

static void emit_splat(const Vec *x)
{
    static const uint32_t broadcast[] = { OP66(0F38, 0x78), OP66(0F38, 0x79), OP66(0F38, 0x58), OP66(0F38, 0x59) };
    IrTmp t = x->insn->arg[0];
    unsigned size = x->insn->aux;
    if (x->e->u->tmps[t].constant && x->e->u->tmps[t].value == 0) {
        int dst = define(x, 0);
        rr(x, VPXOR, dst, dst, dst);
        done(x, dst);
        return;
    }
    int from = use(x, 0), dst = define(x, 0);
    if (is_xmm(from)) {
        check_later_nan(x->e, from);
        rr(x, broadcast[size], dst, 0, from);
    } else {
        rr128(x, VMOVD | (size == 3 ? VEX_W : 0), dst, 0, from);
        rr(x, broadcast[size], dst, 0, dst);
    }
    done(x, dst);
}

static void emit_insert(const Vec *x)
{
    static const uint32_t ops[] = { OP66(0F3A, 0x20), OP66(0F, 0xc4), OP66(0F3A, 0x22), OP66(0F3A, 0x22) | VEX_W };
    int a = use(x, 0), b = use(x, 1), dst = define(x, 0);
    rr_imm(x, ops[x->insn->aux], dst, a, b, x->insn->imm);
    done(x, dst);
}

static void emit_extract(const Vec *x)
{
    static const uint32_t ops[] = { OP66(0F3A, 0x14), OP66(0F3A, 0x15), OP66(0F3A, 0x16), OP66(0F3A, 0x16) | VEX_W };
    unsigned size = x->insn->aux;
    int a = use(x, 0), dst = define(x, 0);
    if (size >= 2 && x->insn->imm == 0) {
        rr128(x, VMOVD_STORE | (size == 3 ? VEX_W : 0), a, 0, dst);
    } else {
        rr128(x, ops[size], a, 0, dst);
        put_byte(x->a, x->insn->imm);
    }
    done(x, dst);
}

/* Bits to elements. */
static void emit_mask(const Vec *x)
{
    static const uint32_t broadcast[] = { OP66(0F38, 0x58), OP66(0F38, 0x79), OP66(0F38, 0x58), OP66(0F38, 0x59) };
    unsigned size = x->insn->aux;
    int bits = use(x, 0), dst = define(x, 0);
    rr128(x, VMOVD | (size == 3 ? VEX_W : 0), dst, 0, bits);
    rr(x, broadcast[size], dst, 0, dst);
    if (size == 0)
        with_constant(x, VPSHUFB, dst, dst, VCONST_SPREAD);
    with_constant(x, VPAND, dst, dst, VCONST_BITS + size);
    with_constant(x, simple[OP_vcmpeq][size], dst, dst, VCONST_BITS + size);
    done(x, dst);
}

/* Top bits to an integer. */
static void emit_bits(const Vec *x)
{
    unsigned size = x->insn->aux;
    int a = use(x, 0), dst;
    if (size == 1) {
        int t = scratch_xmm(x->e);
        dst = define(x, 0);
        if (x->wide) {
            rr_imm(x, VEXTRACTI128, a, 0, t, 1);
            rr128(x, VPACKSSWB, t, a, t);
        } else {
            rr128(x, VPACKSSWB, t, a, a);
        }
        rr128(x, VPMOVMSKB, dst, 0, t);
        if (!x->wide)
            op_rr(x->a, P_0F | 0xb6 | BYTE_REG, dst, dst, false); /* movzx */
    } else {
        dst = define(x, 0);
        rr(x, size == 0 ? VPMOVMSKB : VMOVMSKPS | of_doubles(size), dst, 0, a);
    }
    done(x, dst);
}

static void emit_nan(const Vec *x)
{
    enum { UNORDERED = 3 };
    int a = use(x, 0), b = use(x, 1), t = scratch_xmm(x->e), dst = define(x, 0);
    rr_imm(x, VCMPPS | of_doubles(x->insn->aux), t, a, b, UNORDERED);
    rr(x, VMOVMSKPS | of_doubles(x->insn->aux), dst, 0, t);
    done(x, dst);
}

/* ---- between vectors ---- */

static void emit_binary(const Vec *x, uint32_t op)
{
    int a = use(x, 0), b = use(x, 1), dst = define(x, 0);
    rr(x, op, dst, a, b);
    done(x, dst);
}

/* Bytes: even and odd ones apart, as words. */
static void multiply8(const Vec *x)
{
    enum { SHIFT_WORDS = VEX_0F | VEX_66 | 0x71, RIGHT = 2, LEFT = 6 };
    int a = use(x, 0), b = use(x, 1), s = scratch_xmm(x->e), t = scratch_xmm(x->e);
    int dst = define(x, 1u << a | 1u << b);
    rr_imm(x, SHIFT_WORDS, RIGHT, s, a, 8);
    rr_imm(x, SHIFT_WORDS, RIGHT, t, b, 8);
    rr(x, VPMULLW, s, s, t);
    rr_imm(x, SHIFT_WORDS, LEFT, s, s, 8);
    rr(x, VPMULLW, dst, a, b);
    with_constant(x, VPAND, dst, dst, VCONST_LOW + 1);
    rr(x, VPOR, dst, dst, s);
    done(x, dst);
}

/* Double words: three products of words. */
static void multiply64(const Vec *x)
{
    enum { SHIFT_DOUBLES = VEX_0F | VEX_66 | 0x73, RIGHT = 2, LEFT = 6 };
    int a = use(x, 0), b = use(x, 1), s = scratch_xmm(x->e), t = scratch_xmm(x->e);
    int dst = define(x, 1u << a | 1u << b);
    rr_imm(x, SHIFT_DOUBLES, RIGHT, s, a, 32);
    rr_imm(x, SHIFT_DOUBLES, RIGHT, t, b, 32);
    rr(x, VPMULUDQ, s, s, b);
    rr(x, VPMULUDQ, t, t, a);
    rr(x, VPADDQ, s, s, t);
    rr_imm(x, SHIFT_DOUBLES, LEFT, s, s, 32);
    rr(x, VPMULUDQ, dst, a, b);
    rr(x, VPADDQ, dst, dst, s);
    done(x, dst);
}

/* As signed ones with the order turned about. */
static void compare_unsigned(const Vec *x)
{
    unsigned size = x->insn->aux;
    int a = use(x, 0), b = use(x, 1), s = scratch_xmm(x->e), t = scratch_xmm(x->e), dst = define(x, 0);
    with_constant(x, VPXOR, s, a, VCONST_SIGN + size);
    with_constant(x, VPXOR, t, b, VCONST_SIGN + size);
    rr(x, simple[OP_vcmpgt][size], dst, s, t);
    done(x, dst);
}

/* By one count: constant or in a register. */
static void emit_shift(const Vec *x)
{
    static const uint8_t by_imm[] = { 0x71, 0x72, 0x73 }, digit[] = { 6, 2, 4 };
    static const uint8_t by_reg[3][3] = { { 0xf1, 0xf2, 0xf3 }, { 0xd1, 0xd2, 0xd3 }, { 0xe1, 0xe2, 0 } };
    unsigned size = x->insn->aux, kind = x->insn->op - OP_vshl;
    const IrTmpInfo *count = &x->e->u->tmps[x->insn->arg[1]];
    int a = use(x, 0);
    if (count->constant) {
        uint64_t n = count->type == IR_I32 ? (uint32_t)count->value : (uint64_t)count->value;
        int dst = define(x, 0);
        rr_imm(x, OP66(0F, by_imm[size - 1]), digit[kind], dst, a, MIN(n, 255));
        done(x, dst);
        return;
    }
    int n = use(x, 1), t = scratch_xmm(x->e), dst = define(x, 0);
    rr128(x, VMOVD | (count->type == IR_I64 ? VEX_W : 0), t, 0, n);
    rr(x, OP66(0F, by_reg[kind][size - 1]), dst, a, t);
    done(x, dst);
}

static void emit_blend(const Vec *x)
{
    int a = use(x, 0), b = use(x, 1), c = use(x, 2), dst = define(x, 0);
    rr_imm(x, VPBLENDVB, dst, a, b, (c & 15) << 4);
    done(x, dst);
}

static void emit_extend(const Vec *x)
{
    static const uint8_t ops[3][4] = { { 0, 0x30, 0x31, 0x32 }, { 0, 0x33, 0x34, 0 }, { 0, 0x35, 0, 0 } };
    unsigned op = ops[x->insn->aux & MO_SIZE][x->insn->imm] - (x->insn->aux & MO_SIGNED ? 0x10 : 0);
    int a = use(x, 0), dst = define(x, 0);
    rr(x, OP66(0F38, op), dst, 0, a);
    done(x, dst);
}

static void emit_narrow(const Vec *x)
{
    unsigned size = x->insn->aux;
    int a = use(x, 0), b = use(x, 1);
    if (size == 3) {
        int dst = define(x, 0);
        rr_imm(x, VSHUFPS, dst, a, b, 0x88);
        done(x, dst);
        return;
    }
    int s = scratch_xmm(x->e), t = a == b ? s : scratch_xmm(x->e), dst = define(x, 0);
    with_constant(x, VPAND, s, a, VCONST_LOW + size);
    if (t != s)
        with_constant(x, VPAND, t, b, VCONST_LOW + size);
    rr(x, size == 1 ? VPACKUSWB : VPACKUSDW, dst, s, t);
    done(x, dst);
}

static void emit_halves(const Vec *x)
{
    int a = use(x, 0);
    if (x->insn->op == OP_vconcat) {
        int b = use(x, 1), dst = define(x, 0);
        rr_imm(x, VINSERTI128, dst, a, b, 1);
        done(x, dst);
        return;
    }
    int dst = define(x, 0);
    if (x->insn->op == OP_vdown) {
        rr_imm(x, OP66(0F, 0x73), 3, dst, a, x->insn->imm); /* vpsrldq */
    } else if (x->insn->imm) {
        vec_rr(x->a, VEXTRACTI128, true, a & 15, 0, dst & 15);
        put_byte(x->a, 1);
    } else if (dst != a) {
        rr(x, VMOVDQA, dst, 0, a);
    }
    done(x, dst);
}

/* ---- floating point ---- */

static void emit_fma(const Vec *x)
{
    static const uint8_t forms[] = { 0xb8, 0xbc, 0xba, 0xbe }; /* 231: by IR_FMA_* bits */
    int a = use(x, 0), b = use(x, 1), c = use(x, 2);
    int dst = define(x, (1u << a | 1u << b) & ~(1u << c));
    bool apart = dst == c && (a == c || b == c); /* the addend is a factor, too */
    if (apart || (dst != c && (dst == a || dst == b)))
        dst = scratch_xmm(x->e);
    if (dst != c)
        rr(x, VMOVDQA, dst, 0, c);
    rr(x, OP66(0F38, forms[x->insn->imm & 3]) | (x->insn->aux == 3 ? VEX_W : 0), dst, a, b);
    done(x, dst);
}

static void emit_compare_floats(const Vec *x)
{
    static const uint8_t relation[] = { [FCMP_EQ] = 0, [FCMP_LT] = 1, [FCMP_LE] = 2 };
    int a = use(x, 0), b = use(x, 1), dst = define(x, 0);
    rr_imm(x, VCMPPS | of_doubles(x->insn->aux), dst, a, b, relation[x->insn->imm]);
    done(x, dst);
}

static void emit_unary(const Vec *x, uint32_t op)
{
    int a = use(x, 0), dst = define(x, 0);
    rr(x, op, dst, 0, a);
    done(x, dst);
}

bool emit_vector(Emit *e, const IrInsn *insn)
{
    if (insn->op < OP_vldstate || !host_features.avx2)
        return false;
    unsigned type = ir_is_vector(insn->type) ? insn->type : e->u->tmps[insn->arg[0]].type;
    Vec x = { e, &e->a, insn, type == IR_V256 };
    e->vectors = true;
    e->wide_vectors |= x.wide;
    uint32_t op = simple[insn->op][insn->aux & 3];
    switch (insn->op) {
    case OP_vldstate:
        load(&x, state_mem(insn->imm));
        break;
    case OP_vststate:
        store(&x, state_mem(insn->imm), use(&x, 0));
        break;
    case OP_vld:
        load(&x, host_mem(&x));
        break;
    case OP_vst:
        store(&x, host_mem(&x), use(&x, 1));
        break;
    case OP_vsplat:
        emit_splat(&x);
        break;
    case OP_vinsert:
        emit_insert(&x);
        break;
    case OP_vextract:
        emit_extract(&x);
        break;
    case OP_vhalf:
        x.wide = false;
        emit_halves(&x);
        break;
    case OP_vconcat:
    case OP_vdown:
        emit_halves(&x);
        break;
    case OP_vmul:
        if (insn->aux == 0)
            multiply8(&x);
        else if (insn->aux == 3)
            multiply64(&x);
        else
            emit_binary(&x, op);
        break;
    case OP_vcmpgtu:
        compare_unsigned(&x);
        break;
    case OP_vshl:
    case OP_vshr:
    case OP_vsar:
        emit_shift(&x);
        break;
    case OP_vblend:
        emit_blend(&x);
        break;
    case OP_vmask:
        emit_mask(&x);
        break;
    case OP_vbits:
        emit_bits(&x);
        break;
    case OP_vextend:
        emit_extend(&x);
        break;
    case OP_vnarrow:
        emit_narrow(&x);
        break;
    case OP_vfsqrt:
        emit_unary(&x, VSQRTPS | of_doubles(insn->aux));
        break;
    case OP_vfitof:
        emit_unary(&x, VCVTDQ2PS);
        break;
    case OP_vfma:
        emit_fma(&x);
        break;
    case OP_vfcmp:
        emit_compare_floats(&x);
        break;
    case OP_vfnan:
        emit_nan(&x);
        break;
    default:
        if (!op)
            return false;
        emit_binary(&x, op);
    }
    return true;
}
