/*
 * RISC-V vectors: state, vset{i}vl{i}, the driver of elementwise operations (see vector.h).
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/vector.h"
#include "util/trace.h"
#include <inttypes.h>
#include <string.h>

#define MAX_ELEMENTS (VLEN_MAX / 8 * 8) /* of a group; also its bytes */

/* ---- state ---- */

/* Where an operation's operands are. */
typedef struct Shape {
    uint8_t sew;
    int8_t d_eew, d_emul, eew2, emul2;
    bool vector1; /* s1 is a vector */
    bool masked;
    uint16_t flags;
} Shape;

/* An elementwise instruction found legal under a vtype: looked at again by these two. */
#define CHECKED_BITS 6
typedef struct VectorChecked {
    uint32_t bits, vtype; /* bits 0: none */
    VectorKernel *kernel;
    Shape shape;
} VectorChecked;

typedef struct Operation {
    uint16_t flags;
} Operation;
static const Operation operations[VOP_ELEMENTWISE] = {
#define V(name, forms, kernels, flags) { flags },
    VECTOR_ELEMENTWISE(V)
#undef V
};

static VectorKernel *kernels[VOP_ELEMENTWISE][4];
static uint64_t kernel_needs[VOP_ELEMENTWISE][4]; /* extensions, of which there must be one besides V; 0: none */

static void choose_kernels(void)
{
    static gsize ready;
    if (!g_once_init_enter(&ready))
        return;
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    for (unsigned op = 0; op < VOP_ELEMENTWISE; op++)
        for (unsigned sew = 0; sew < 4; sew++) {
            VectorKernel *i = (avx2 ? vector_int_kernels_avx2 : vector_int_kernels_base)[op][sew];
            VectorKernel *f = (avx2 ? vector_float_kernels_avx2 : vector_float_kernels_base)[op][sew];
            VectorKernel *h = (avx2 ? vector_half_kernels_avx2 : vector_half_kernels_base)[op][sew];
            VectorKernel *b = (avx2 ? vector_bits_kernels_avx2 : vector_bits_kernels_base)[op][sew];
            kernels[op][sew] = i ? i : f ? f : h ? h : b;
            if (h && !(operations[op].flags & VO_BRAIN)) /* the decode tables name the others' extensions */
                kernel_needs[op][sew] =
                    op == VOP_fwcvt_f_f_v || op == VOP_fncvt_f_f_w ? EXT_ZVFHMIN | EXT_ZVFH : EXT_ZVFH;
        }
    g_once_init_leave(&ready, 1);
}

void riscv_vector_reset(RiscvState *s)
{
    choose_kernels();
    if (!s->vector_checked)
        s->vector_checked = g_new0(VectorChecked, 1 << CHECKED_BITS);
    memset(s->v, 0, sizeof(s->v));
    s->vtype = 1ull << 63;
    s->vl = s->vstart = 0;
    s->vxrm = s->vxsat = s->vs_dirty = 0;
    s->v_ready = 0;
}

void riscv_vector_changed(RiscvState *s)
{
    bool dirty = !s->vs_off && (s->vs_dirty || (s->mstatus & (s->virt ? s->vsstatus : MSTATUS_VS) & MSTATUS_VS) == MSTATUS_VS);
    bool legal = !(s->vtype >> 63), whole = legal && s->vl == v_max(s, v_lmul(s), v_sew(s));
    s->v_ready = dirty && legal && !s->vstart ? V_READY | (whole ? V_WHOLE : 0) | (s->vtype & 0xff) : 0;
}

void riscv_vector_free(RiscvState *s)
{
    g_free(s->vector_checked);
}

void riscv_vector_dump(const RiscvState *s, GString *out)
{
    g_string_append_printf(out, " vl %" PRIu64 " vtype %" PRIx64 " vstart %" PRIu64 " vxrm %u vxsat %u vlenb %u\n",
                           s->vl, s->vtype, s->vstart, s->vxrm, s->vxsat, s->vlenb);
    for (unsigned r = 0; r < 32; r++) {
        g_string_append_printf(out, " v%-2u ", r);
        for (unsigned i = s->vlenb; i--;)
            g_string_append_printf(out, "%02x%s", s->v[r * s->vlenb + i], i && !(i & 7) ? "_" : "");
        g_string_append_c(out, '\n');
    }
}

FpBracket v_fp_begin(CpuState *cs)
{
    static const uint8_t control[] = { 0, 3, 1, 2, 0 };
    FpBracket bracket = { 0 };
    if (cs->fp_live)
        return bracket;
    bracket.saved = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(0x1f80 | control[cs->fp_round] << 13);
    return bracket;
}

void v_fp_end(CpuState *cs, FpBracket bracket)
{
    if (cs->fp_live)
        return;
    unsigned m = __builtin_ia32_stmxcsr();
    cs->fp_flags |= (m & 1 ? IR_FP_NV : 0) | (m & 4 ? IR_FP_DZ : 0) | (m & 8 ? IR_FP_OF : 0) | (m & 16 ? IR_FP_UF : 0) |
                    (m & 32 ? IR_FP_NX : 0);
    __builtin_ia32_ldmxcsr(bracket.saved);
}

/* ---- vset{i}vl{i} ---- */

bool v_type_legal(uint64_t vtype)
{
    int lmul = (int)(vtype << 29 & 0xe0000000) >> 29;
    unsigned sew = vtype >> 3 & 7;
    if (vtype >> 8 || sew > 3 || lmul == -4)
        return false;
    return (int)sew <= 3 + MIN(lmul, 0); /* SEW <= LMUL * ELEN */
}

/* a: x[rs1] or the immediate; b: x[rs2] */
bool vector_set_vl(VectorCall *c)
{
    RiscvState *s = c->s;
    uint64_t vtype = c->op == VOP_setvl    ? (s->xlen == 32 ? (uint32_t)c->b : c->b)
                     : c->op == VOP_setvli ? c->bits >> 20 & 0x7ff
                                           : c->bits >> 20 & 0x3ff;
    uint64_t avl = s->xlen == 32 ? (uint32_t)c->a : c->a;
    if (c->op == VOP_setivli)
        avl = v_s1(c->bits);
    else if (!v_s1(c->bits))
        avl = v_d(c->bits) ? UINT64_MAX : s->vl;
    s->vstart = 0;
    if (!v_type_legal(vtype)) {
        s->vtype = 1ull << 63;
        s->vl = c->result = 0;
        return true;
    }
    s->vtype = vtype;
    s->vl = c->result = MIN(avl, v_max(s, v_lmul(s), v_sew(s)));
    return true;
}

/* ---- elementwise operations ---- */

bool v_overlap_allowed(unsigned d, int d_emul, int d_eew, unsigned r, int emul, int eew)
{
    unsigned d_regs = v_regs(d_emul), regs = v_regs(emul);
    if (!v_overlap(d, d_regs, r, regs) || d_eew == eew)
        return true;
    if (d_eew < eew)
        return d == r;
    return emul >= 0 && d + d_regs == r + regs;
}

static bool shape_legal(uint64_t vtype, uint32_t bits, const Shape *h)
{
    unsigned d = v_d(bits), r2 = v_s2(bits), r1 = v_s1(bits);
    int lmul = v_lmul_of(vtype);
    if (h->d_emul > 3 || h->emul2 > 3 || h->emul2 < -3)
        return false;
    if (!v_aligned(d, h->d_emul) || !v_aligned(r2, h->emul2) || (h->vector1 && !v_aligned(r1, lmul)))
        return false;
    if (h->masked && d == 0 && !(h->flags & VO_MASK))
        return false;
    if (!v_overlap_allowed(d, h->d_emul, h->d_eew, r2, h->emul2, h->eew2))
        return false;
    return !h->vector1 || v_overlap_allowed(d, h->d_emul, h->d_eew, r1, lmul, h->sew);
}

static void shape_of(uint64_t vtype, uint32_t bits, unsigned op, Shape *h)
{
    unsigned flags = operations[op].flags, f3 = bits >> 12 & 7;
    int lmul = v_lmul_of(vtype), sew = (int)v_sew_of(vtype);
    int delta = flags & VO_WIDE2 ? 1 : flags & VO_HALF2 ? -1 : flags & VO_QUARTER2 ? -2 : flags & VO_EIGHTH2 ? -3 : 0;
    *h = (Shape){ .sew = sew,
                  .flags = flags,
                  .eew2 = sew + delta,
                  .emul2 = lmul + delta,
                  .vector1 = f3 < 3 && !(flags & VO_UNARY),
                  .masked = v_masked(bits) };
    h->d_eew = flags & VO_MASK ? -3 : flags & VO_WIDE ? sew + 1 : sew;
    h->d_emul = flags & VO_MASK ? 0 : flags & VO_WIDE ? lmul + 1 : lmul;
    if (op == VOP_mv_v || op == VOP_fmv_v_f) { /* vs2 is not there */
        h->eew2 = h->d_eew;
        h->emul2 = -3;
    }
}

unsigned v_operands(unsigned op)
{
    return operations[op].flags;
}

bool v_legal(uint64_t vtype, uint32_t bits, unsigned op)
{
    Shape h;
    shape_of(vtype, bits, op, &h);
    return kernels[op][v_sew_of(vtype)] && shape_legal(vtype, bits, &h);
}

static void broadcast(void *buffer, uint64_t value, unsigned n, unsigned sew)
{
    switch (sew) {
    case 0:
        memset(buffer, value, n);
        break;
    case 1:
        for (unsigned i = 0; i < n; i++)
            ((uint16_t *)buffer)[i] = value;
        break;
    case 2:
        for (unsigned i = 0; i < n; i++)
            ((uint32_t *)buffer)[i] = value;
        break;
    default:
        for (unsigned i = 0; i < n; i++)
            ((uint64_t *)buffer)[i] = value;
    }
}

/* Bytes 0 or 1 from mask bits. */
static void expand_mask(uint8_t *bytes, const uint8_t *mask, unsigned n)
{
    for (unsigned i = 0; i < n; i += 8) {
        uint64_t b = mask[i >> 3] * 0x0101010101010101ull & 0x8040201008040201ull;
        b = (b + 0x7f7f7f7f7f7f7f7full) >> 7 & 0x0101010101010101ull; /* no carries: a byte is 0 or one bit */
        memcpy(bytes + i, &b, 8);
    }
}

#define BLEND(T)                            \
    {                                       \
        T *d = to;                          \
        const T *x = from;                  \
        for (unsigned i = 0; i < n; i++)    \
            d[i] = active[i] ? x[i] : d[i]; \
        break;                              \
    }
/* to[i] = from[i] where active */
static void blend(void *to, const void *from, const uint8_t *active, unsigned n, unsigned eew)
{
    switch (eew) {
    case 0:
        BLEND(uint8_t)
    case 1:
        BLEND(uint16_t)
    case 2:
        BLEND(uint32_t)
    default:
        BLEND(uint64_t)
    }
}

static const uint64_t harmless_float[] = { 0, 0x3c00, 0x3f800000, 0x3ff0000000000000 };

/* A copy whose inactive elements raise nothing: 1 in floating point, 0 elsewhere. */
static const void *harmless(void *buffer, const void *from, const uint8_t *active, unsigned n, unsigned eew, bool fp)
{
    broadcast(buffer, fp ? harmless_float[eew] : 0, n, eew);
    blend(buffer, from, active, n, eew);
    return buffer;
}

static void put_mask(uint8_t *d, const uint8_t *values, unsigned start, unsigned n)
{
    unsigned i = start;
    for (; i < n && i & 7; i++)
        v_put_bit(d, i, values[i]);
    for (; i + 8 <= n; i += 8) {
        uint64_t b;
        memcpy(&b, values + i, 8);
        d[i >> 3] = b * 0x0102040810204080ull >> 56;
    }
    for (; i < n; i++)
        v_put_bit(d, i, values[i]);
}

static void run_masked(RiscvState *s, uint32_t bits, const Shape *h, VectorKernel *kernel, const void *s1, KernelEnv *e)
{
    uint8_t active[MAX_ELEMENTS + 8], x2[MAX_ELEMENTS], x1[MAX_ELEMENTS], old[MAX_ELEMENTS], result[MAX_ELEMENTS];
    unsigned n = s->vl, start = s->vstart;
    uint8_t *d = v_reg(s, v_d(bits));
    const void *s2 = v_reg(s, v_s2(bits));
    bool fp = h->flags & VO_FLOAT;
    if (h->masked && !(h->flags & VO_CARRY))
        expand_mask(active, s->v, n);
    else
        memset(active, 1, n);
    memset(active, 0, start);
    s2 = harmless(x2, s2, active, n, h->eew2, fp && !(h->flags & VO_INTS));
    if (s1)
        s1 = harmless(x1, s1, active, n, h->sew, fp);
    if (h->flags & VO_OLD)
        e->old = harmless(old, d, active, n, h->d_eew, fp);
    kernel(result, s2, s1, n, e);
    if (!(h->flags & VO_MASK)) {
        blend(d, result, active, n, h->d_eew);
        return;
    }
    for (unsigned i = start; i < n; i++)
        if (active[i])
            v_put_bit(d, i, result[i]);
}

static uint64_t scalar_operand(const VectorCall *c, const Shape *h)
{
    unsigned f3 = c->bits >> 12 & 7;
    if (c->op == VOP_ror && f3 == 3) /* six bits */
        return v_s1(c->bits) | (c->bits >> 21 & 32);
    if (f3 == 3)
        return h->flags & VO_UIMM ? v_s1(c->bits) : (uint64_t)((int64_t)((uint64_t)v_s1(c->bits) << 59) >> 59);
    return f3 == 5 ? v_unbox(c->a, h->sew, h->flags & VO_BRAIN) : c->a;
}

static const VectorChecked *checked(const VectorCall *c)
{
    const RiscvState *s = c->s;
    VectorChecked *e = &s->vector_checked[(c->bits * 0x9e3779b1u) >> (32 - CHECKED_BITS)];
    if (e->bits == c->bits && e->vtype == s->vtype)
        return e;
    Shape h;
    VectorKernel *kernel = kernels[c->op][v_sew(s)];
    shape_of(s->vtype, c->bits, c->op, &h);
    uint64_t needs = kernel_needs[c->op][v_sew(s)];
    if (!kernel || (needs && !riscv_has(s, needs)) || !shape_legal(s->vtype, c->bits, &h))
        return NULL;
    *e = (VectorChecked){ c->bits, s->vtype, kernel, h };
    return e;
}

static bool elementwise(VectorCall *c)
{
    RiscvState *s = c->s;
    uint8_t buffer[MAX_ELEMENTS] __attribute__((aligned(64))), carry[MAX_ELEMENTS + 8], mask[MAX_ELEMENTS];
    const VectorChecked *known = checked(c);
    if (!known)
        return false;
    VectorKernel *kernel = known->kernel;
    Shape h = known->shape;
    unsigned n = s->vl;
    if (s->vstart >= n)
        return true;
    KernelEnv e = { .cs = &s->cs, .vxrm = s->vxrm, .soft = s->frm == FROUND_RMM };
    uint8_t *d = v_reg(s, v_d(c->bits));
    const void *s1 = NULL;
    if (h.vector1) {
        s1 = v_reg(s, v_s1(c->bits));
    } else if (!(h.flags & VO_UNARY)) {
        broadcast(buffer, scalar_operand(c, &h), n, h.sew);
        s1 = buffer;
    }
    if (h.flags & VO_CARRY) {
        if (h.masked)
            expand_mask(carry, s->v, n);
        else
            memset(carry, 0, n);
        e.carry = carry;
        h.masked = false;
    }
    FpBracket bracket = { 0 };
    if (h.flags & VO_FLOAT)
        bracket = v_fp_begin(&s->cs);
    if (h.masked || s->vstart) {
        run_masked(s, c->bits, &h, kernel, s1, &e);
    } else if (h.flags & VO_MASK) {
        kernel(mask, v_reg(s, v_s2(c->bits)), s1, n, &e);
        put_mask(d, mask, 0, n);
    } else {
        e.old = d;
        kernel(d, v_reg(s, v_s2(c->bits)), s1, n, &e);
    }
    if (h.flags & VO_FLOAT)
        v_fp_end(&s->cs, bracket);
    s->cs.fp_flags |= e.flags;
    s->vxsat |= e.saturated;
    return true;
}

/* ---- the helper ---- */

static VectorFn *const special[] = {
#define S(name, fn, scalar) vector_##fn,
    VECTOR_SPECIAL(S)
#undef S
};

/* What does not depend on vtype: it may be illegal. */
static bool needs_vtype(unsigned op)
{
    return op != VOP_lr && op != VOP_sr && op != VOP_setvli && op != VOP_setivli && op != VOP_setvl;
}

uint64_t helper_vector(CpuState *cs, uint64_t a, uint64_t b, uint64_t bits, uint64_t op)
{
    RiscvState *s = riscv(cs);
    VectorCall c = { .s = s, .bits = bits, .op = op, .a = a, .b = b };
    TRACE(riscv_vector_helper, "insn %08x vtype %" PRIx64 " vl %" PRIu64, (unsigned)bits, s->vtype, s->vl);
    if (s->vs_off || (s->vtype >> 63 && needs_vtype(op)) ||
        !(op < VOP_ELEMENTWISE ? elementwise(&c) : special[op - VOP_ELEMENTWISE](&c))) {
        riscv_raise(s, CAUSE_ILLEGAL, bits);
        return 0;
    }
    if (!cs->raised) {
        s->vstart = 0;
        s->vs_dirty = 1;
    }
    riscv_vector_changed(s);
    return c.result;
}
