/*
 * RISC-V vectors: reductions, masks, permutations (unprivileged ISA 20240411, sections 31.14 to 31.16).
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/vector.h"
#include "tcg/softfloat.h"
#include <string.h>

/* ---- reductions: vd[0] = vs1[0] op all active elements of vs2 ---- */

static uint64_t reduce(unsigned op, uint64_t x, uint64_t y, unsigned sew)
{
    switch (op) {
    case VOP_redand_vs:
        return x & y;
    case VOP_redor_vs:
        return x | y;
    case VOP_redxor_vs:
        return x ^ y;
    case VOP_redminu_vs:
        return MIN(x, y);
    case VOP_redmaxu_vs:
        return MAX(x, y);
    case VOP_redmin_vs:
        return v_sign(x, sew) < v_sign(y, sew) ? x : y;
    case VOP_redmax_vs:
        return v_sign(x, sew) > v_sign(y, sew) ? x : y;
    default:
        return x + y;
    }
}

bool vector_reduction(VectorCall *c)
{
    RiscvState *s = c->s;
    unsigned sew = v_sew(s), n = s->vl;
    const uint8_t *from = v_reg(s, v_s2(c->bits));
    if (s->vstart || !v_aligned(v_s2(c->bits), v_lmul(s)))
        return false;
    if (!n)
        return true;
    uint64_t v = v_get(v_reg(s, v_s1(c->bits)), 0, sew);
    for (unsigned i = 0; i < n; i++)
        if (v_active(s, c->bits, i))
            v = reduce(c->op, v, v_get(from, i, sew), sew);
    v_put(v_reg(s, v_d(c->bits)), 0, sew, v);
    return true;
}

bool vector_wide_reduction(VectorCall *c)
{
    RiscvState *s = c->s;
    unsigned sew = v_sew(s), n = s->vl;
    const uint8_t *from = v_reg(s, v_s2(c->bits));
    if (s->vstart || sew == 3 || !v_aligned(v_s2(c->bits), v_lmul(s)))
        return false;
    if (!n)
        return true;
    uint64_t v = v_get(v_reg(s, v_s1(c->bits)), 0, sew + 1);
    for (unsigned i = 0; i < n; i++)
        if (v_active(s, c->bits, i))
            v += c->op == VOP_wredsum_vs ? (uint64_t)v_sign(v_get(from, i, sew), sew) : v_get(from, i, sew);
    v_put(v_reg(s, v_d(c->bits)), 0, sew + 1, v);
    return true;
}

static float add_single(float x, float y)
{
    return x + y;
}
static double add_double(double x, double y)
{
    return x + y;
}
/* x + y on the host's unit; wide: y is a single, x a double. */
static uint64_t host_add(uint64_t x, uint64_t y, unsigned sew, bool wide)
{
    float fx, fy;
    double dx, dy;
    if (sew == 2 && !wide) {
        uint32_t a = x, b = y, r;
        memcpy(&fx, &a, 4);
        memcpy(&fy, &b, 4);
        fx = add_single(fx, fy);
        memcpy(&r, &fx, 4);
        return (r & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : r;
    }
    uint32_t narrow = y;
    memcpy(&dx, &x, 8);
    memcpy(&dy, &y, 8);
    memcpy(&fy, &narrow, 4);
    dx = add_double(dx, wide ? (double)fy : dy);
    memcpy(&x, &dx, 8);
    return (x & ~(1ull << 63)) > 0x7ff0000000000000 ? 0x7ff8000000000000 : x;
}

/* One step in the order of the elements: the unordered sum may be done so, too. */
static uint64_t float_step(CpuState *cs, unsigned op, uint64_t x, uint64_t y, unsigned sew, bool soft)
{
    static const unsigned types[] = { 0, SOFT_F16, IR_F32, IR_F64 };
    bool wide = op == VOP_fwredusum_vs || op == VOP_fwredosum_vs;
    unsigned type = types[sew + wide];
    if (op == VOP_fredmin_vs || op == VOP_fredmax_vs)
        return soft_fp(cs, x, y, 0, SOFT_WHAT(op == VOP_fredmin_vs ? OP_fmin : OP_fmax, type, FROUND_RNE, 0, 0));
    if (!soft && sew >= 2)
        return host_add(x, y, sew, wide);
    if (wide)
        y = soft_fp(cs, y, 0, 0, SOFT_WHAT(OP_fcvt, type, FROUND_RNE, 0, types[sew]));
    return soft_fp(cs, x, y, 0, SOFT_WHAT(OP_fadd, type, FROUND_DYN, 0, 0));
}

bool vector_float_reduction(VectorCall *c)
{
    RiscvState *s = c->s;
    unsigned sew = v_sew(s), n = s->vl;
    bool wide = c->op == VOP_fwredusum_vs || c->op == VOP_fwredosum_vs;
    const uint8_t *from = v_reg(s, v_s2(c->bits));
    if (s->vstart || !v_float_legal(s, sew) || (wide && sew == 3) || !v_aligned(v_s2(c->bits), v_lmul(s)))
        return false;
    if (!n)
        return true;
    uint64_t v = v_get(v_reg(s, v_s1(c->bits)), 0, sew + wide);
    FpBracket bracket = v_fp_begin(&s->cs);
    for (unsigned i = 0; i < n; i++)
        if (v_active(s, c->bits, i))
            v = float_step(&s->cs, c->op, v, v_get(from, i, sew), sew, s->frm == FROUND_RMM);
    v_fp_end(&s->cs, bracket);
    v_put(v_reg(s, v_d(c->bits)), 0, sew + wide, v);
    return true;
}

/* ---- masks ---- */

static uint64_t logical(unsigned op, uint64_t x, uint64_t y)
{
    switch (op) {
    case VOP_mandn_mm:
        return x & ~y;
    case VOP_mand_mm:
        return x & y;
    case VOP_mor_mm:
        return x | y;
    case VOP_mxor_mm:
        return x ^ y;
    case VOP_morn_mm:
        return x | ~y;
    case VOP_mnand_mm:
        return ~(x & y);
    case VOP_mnor_mm:
        return ~(x | y);
    default:
        return ~(x ^ y);
    }
}

bool vector_mask_logical(VectorCall *c)
{
    RiscvState *s = c->s;
    uint64_t *d = (uint64_t *)v_reg(s, v_d(c->bits));
    const uint64_t *x = (uint64_t *)v_reg(s, v_s2(c->bits)), *y = (uint64_t *)v_reg(s, v_s1(c->bits));
    for (unsigned i = s->vstart; i < s->vl;) { /* a word at a time */
        unsigned word = i >> 6, end = MIN((word + 1) << 6, s->vl);
        uint64_t mask = ~0ull << (i & 63) & (end & 63 ? (1ull << (end & 63)) - 1 : ~0ull);
        d[word] = (d[word] & ~mask) | (logical(c->op, x[word], y[word]) & mask);
        i = end;
    }
    return true;
}

static bool mask_element(const RiscvState *s, const VectorCall *c, const uint8_t *m, unsigned i)
{
    return v_active(s, c->bits, i) && v_bit(m, i);
}

bool vector_count(VectorCall *c)
{
    RiscvState *s = c->s;
    const uint8_t *m = v_reg(s, v_s2(c->bits));
    if (s->vstart)
        return false;
    c->result = c->op == VOP_first_m ? UINT64_MAX : 0;
    for (unsigned i = 0; i < s->vl; i++) {
        if (!mask_element(s, c, m, i))
            continue;
        if (c->op == VOP_first_m) {
            c->result = i;
            break;
        }
        c->result++;
    }
    return true;
}

bool vector_mask_set(VectorCall *c)
{
    RiscvState *s = c->s;
    unsigned rd = v_d(c->bits), r2 = v_s2(c->bits);
    const uint8_t *m = v_reg(s, r2);
    if (s->vstart || rd == r2 || (v_masked(c->bits) && rd == 0))
        return false;
    bool seen = false;
    for (unsigned i = 0; i < s->vl; i++) {
        if (!v_active(s, c->bits, i))
            continue;
        bool one = v_bit(m, i), first = one && !seen;
        v_put_bit(v_reg(s, rd), i, c->op == VOP_msof_m ? first : !seen && (c->op == VOP_msif_m || !one));
        seen |= one;
    }
    return true;
}

/* viota and vid */
bool vector_iota(VectorCall *c)
{
    RiscvState *s = c->s;
    unsigned rd = v_d(c->bits), r2 = v_s2(c->bits), sew = v_sew(s), count = 0;
    bool iota = c->op == VOP_iota_m;
    if (!v_aligned(rd, v_lmul(s)) || (v_masked(c->bits) && rd == 0))
        return false;
    if (iota && (s->vstart || v_overlap(rd, v_regs(v_lmul(s)), r2, 1)))
        return false;
    for (unsigned i = s->vstart; i < s->vl; i++) {
        if (!v_active(s, c->bits, i))
            continue;
        v_put(v_reg(s, rd), i, sew, iota ? count : i);
        count += iota && v_bit(v_reg(s, r2), i);
    }
    return true;
}

/* ---- scalars ---- */

bool vector_move_from(VectorCall *c)
{
    RiscvState *s = c->s;
    unsigned sew = v_sew(s);
    uint64_t v = v_get(v_reg(s, v_s2(c->bits)), 0, sew);
    if (c->op == VOP_mv_x_s) {
        c->result = v_sign(v, sew);
        return true;
    }
    c->result = sew == 3 ? v : v | ~0ull << (8 << sew);
    return v_float_legal(s, sew);
}

bool vector_move_to(VectorCall *c)
{
    RiscvState *s = c->s;
    unsigned sew = v_sew(s);
    bool fp = c->op == VOP_fmv_s_f;
    if (fp && !v_float_legal(s, sew))
        return false;
    if (s->vstart < s->vl)
        v_put(v_reg(s, v_d(c->bits)), 0, sew, fp ? v_unbox(c->a, sew, false) : c->a);
    return true;
}

/* ---- slides, gathers ---- */

static bool slide_up(RiscvState *s, VectorCall *c, uint64_t distance)
{
    unsigned sew = v_sew(s);
    uint8_t *d = v_reg(s, v_d(c->bits)), *from = v_reg(s, v_s2(c->bits));
    uint64_t start = MAX(s->vstart, distance);
    if (!v_masked(c->bits)) {
        if (start < s->vl)
            memcpy(d + (start << sew), from + ((start - distance) << sew), (s->vl - start) << sew);
        return true;
    }
    for (uint64_t i = start; i < s->vl; i++)
        if (v_bit(s->v, i))
            v_put(d, i, sew, v_get(from, i - distance, sew));
    return true;
}

static bool slide_down(RiscvState *s, VectorCall *c, uint64_t distance)
{
    unsigned sew = v_sew(s), max = v_max(s, v_lmul(s), sew);
    uint8_t *d = v_reg(s, v_d(c->bits)), *from = v_reg(s, v_s2(c->bits));
    for (uint64_t i = s->vstart; i < s->vl; i++)
        if (v_active(s, c->bits, i))
            v_put(d, i, sew, distance < max && i + distance < max ? v_get(from, i + distance, sew) : 0);
    return true;
}

bool vector_slide(VectorCall *c)
{
    RiscvState *s = c->s;
    unsigned rd = v_d(c->bits), r2 = v_s2(c->bits), sew = v_sew(s);
    bool up =
        c->op == VOP_slideup_vx || c->op == VOP_slideup_vi || c->op == VOP_slide1up_vx || c->op == VOP_fslide1up_vf;
    bool immediate = c->op == VOP_slideup_vi || c->op == VOP_slidedown_vi;
    bool fp = c->op == VOP_fslide1up_vf || c->op == VOP_fslide1down_vf;
    bool one = fp || c->op == VOP_slide1up_vx || c->op == VOP_slide1down_vx;
    if (!v_aligned(rd, v_lmul(s)) || !v_aligned(r2, v_lmul(s)) || (v_masked(c->bits) && rd == 0) || (up && rd == r2) ||
        (fp && !v_float_legal(s, sew)))
        return false;
    uint64_t value = fp ? v_unbox(c->a, sew, false) : c->a;
    uint64_t distance = one ? 1 : immediate ? v_s1(c->bits) : s->xlen == 32 ? (uint32_t)c->a : c->a;
    if (s->vstart >= s->vl)
        return true;
    if (one && up && s->vstart == 0 && v_active(s, c->bits, 0))
        v_put(v_reg(s, rd), 0, sew, value);
    if (up)
        return slide_up(s, c, distance);
    unsigned last = s->vl - 1;
    uint64_t kept = v_get(v_reg(s, rd), last, sew);
    slide_down(s, c, distance);
    if (one) /* the last active element comes from the scalar */
        v_put(v_reg(s, rd), last, sew, v_active(s, c->bits, last) ? value : kept);
    return true;
}

#define GATHER(T)                                             \
    {                                                         \
        for (unsigned i = start; i < n; i++) {                \
            uint64_t k = ((const T *)index)[i];               \
            ((T *)d)[i] = k < max ? ((const T *)from)[k] : 0; \
        }                                                     \
        break;                                                \
    }
/* The usual case without a test of each element's mask and size. */
static void gather_all(uint8_t *restrict d, const uint8_t *restrict from, const uint8_t *restrict index, unsigned start,
                       unsigned n, unsigned max, unsigned sew)
{
    switch (sew) {
    case 0:
        GATHER(uint8_t)
    case 1:
        GATHER(uint16_t)
    case 2:
        GATHER(uint32_t)
    default:
        GATHER(uint64_t)
    }
}

bool vector_gather(VectorCall *c)
{
    RiscvState *s = c->s;
    unsigned rd = v_d(c->bits), r2 = v_s2(c->bits), r1 = v_s1(c->bits), sew = v_sew(s);
    int lmul = v_lmul(s), emul1 = lmul;
    unsigned eew1 = sew, max = v_max(s, lmul, sew);
    bool vector = c->op == VOP_rgather_vv || c->op == VOP_rgatherei16_vv;
    if (c->op == VOP_rgatherei16_vv) {
        eew1 = 1;
        emul1 = 1 - (int)sew + lmul;
    }
    if (!v_aligned(rd, lmul) || !v_aligned(r2, lmul) || rd == r2 || (v_masked(c->bits) && rd == 0))
        return false;
    if (vector && (emul1 < -3 || !v_aligned(r1, emul1) || v_overlap(rd, v_regs(lmul), r1, v_regs(emul1))))
        return false;
    uint8_t *d = v_reg(s, rd), *from = v_reg(s, r2), *index = v_reg(s, r1);
    uint64_t scalar = c->op == VOP_rgather_vi ? r1 : s->xlen == 32 ? (uint32_t)c->a : c->a;
    if (vector && eew1 == sew && !v_masked(c->bits)) {
        gather_all(d, from, index, s->vstart, s->vl, max, sew);
        return true;
    }
    for (unsigned i = s->vstart; i < s->vl; i++) {
        if (!v_active(s, c->bits, i))
            continue;
        uint64_t k = vector ? v_get(index, i, eew1) : scalar;
        v_put(d, i, sew, k < max ? v_get(from, k, sew) : 0);
    }
    return true;
}

bool vector_compress(VectorCall *c)
{
    RiscvState *s = c->s;
    unsigned rd = v_d(c->bits), r2 = v_s2(c->bits), r1 = v_s1(c->bits), sew = v_sew(s), n = 0;
    int lmul = v_lmul(s);
    if (s->vstart || !v_aligned(rd, lmul) || !v_aligned(r2, lmul) || rd == r2 || v_overlap(rd, v_regs(lmul), r1, 1))
        return false;
    for (unsigned i = 0; i < s->vl; i++)
        if (v_bit(v_reg(s, r1), i))
            v_put(v_reg(s, rd), n++, sew, v_get(v_reg(s, r2), i, sew));
    return true;
}

bool vector_move_whole(VectorCall *c)
{
    RiscvState *s = c->s;
    unsigned rd = v_d(c->bits), r2 = v_s2(c->bits), count = v_s1(c->bits) + 1;
    size_t start = s->vstart << v_sew(s), size = count * s->vlenb;
    if ((rd | r2) & (count - 1))
        return false;
    if (start < size)
        memmove(v_reg(s, rd) + start, v_reg(s, r2) + start, size - start);
    return true;
}
