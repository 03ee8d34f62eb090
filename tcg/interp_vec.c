/*
 * The interpreter's operations on vectors (see ops.def): element by element, floating point by tcg/softfloat.c.
 * SPDX-License-Identifier: MIT
 */
#include "target/target.h"
#include "tcg/ir_host.h"
#include "tcg/softfloat.h"
#include <string.h>

static uint64_t get(const IrVector *v, unsigned i, unsigned size)
{
    uint64_t value = 0;
    memcpy(&value, v->bytes + (i << size), 1u << size);
    return value;
}

static void put(IrVector *v, unsigned i, unsigned size, uint64_t value)
{
    memcpy(v->bytes + (i << size), &value, 1u << size);
}

static int64_t sign(uint64_t v, unsigned size)
{
    unsigned shift = 64 - (8u << size);
    return (int64_t)(v << shift) >> shift;
}

static uint64_t shift(unsigned op, uint64_t a, uint64_t n, unsigned size)
{
    unsigned width = 8u << size;
    if (op == OP_vsar || op == OP_vsarv)
        return (uint64_t)(sign(a, size) >> MIN(n, width - 1));
    if (n >= width)
        return 0;
    return op == OP_vshl || op == OP_vshlv ? a << n : a >> n;
}

/* Both operands elements. */
static uint64_t element(unsigned op, uint64_t a, uint64_t b, unsigned size)
{
    int64_t x = sign(a, size), y = sign(b, size);
    switch (op) {
    case OP_vadd:
        return a + b;
    case OP_vsub:
        return a - b;
    case OP_vmul:
        return a * b;
    case OP_vminu:
        return MIN(a, b);
    case OP_vmin:
        return (uint64_t)MIN(x, y);
    case OP_vmaxu:
        return MAX(a, b);
    case OP_vmax:
        return (uint64_t)MAX(x, y);
    case OP_vavgu:
        return (a + b + 1) >> 1;
    case OP_vcmpeq:
        return a == b ? UINT64_MAX : 0;
    case OP_vcmpgt:
        return x > y ? UINT64_MAX : 0;
    case OP_vcmpgtu:
        return a > b ? UINT64_MAX : 0;
    default:
        return shift(op, a, b, size);
    }
}

static bool is_nan(uint64_t v, unsigned size)
{
    return size == 2 ? (v & 0x7fffffff) > 0x7f800000 : (v & INT64_MAX) > 0x7ff0000000000000;
}

static uint64_t float_element(CpuState *cs, const IrInsn *i, uint64_t a, uint64_t b, uint64_t c)
{
    static const uint8_t scalar[OP_COUNT] = {
        [OP_vfadd] = OP_fadd,   [OP_vfsub] = OP_fsub, [OP_vfmul] = OP_fmul, [OP_vfdiv] = OP_fdiv,
        [OP_vfsqrt] = OP_fsqrt, [OP_vfma] = OP_fma,   [OP_vfcmp] = OP_fcmp, [OP_vfitof] = OP_fitof
    };
    IrType type = i->aux == 2 ? IR_F32 : IR_F64;
    unsigned what = SOFT_WHAT(scalar[i->op], type, FROUND_DYN, i->imm & 3, type);
    if (i->op == OP_vfitof)
        what = SOFT_WHAT(OP_fitof, type, FROUND_DYN, 0, IR_I32);
    if (i->op == OP_vfcmp)
        return soft_fp(cs, a, b, 0, SOFT_WHAT(OP_fcmp, IR_I32, i->imm, 0, type)) ? UINT64_MAX : 0;
    return soft_fp(cs, i->op == OP_vfitof ? (uint64_t)sign(a, 2) : a, b, c, what);
}

static unsigned bytes_of(unsigned type)
{
    return type == IR_V256 ? 32 : 16;
}

/* Those that rearrange. */
static void arrange(const IrInsn *i, const IrVector *const v[3], const uint64_t t[3], IrVector *out)
{
    unsigned size = i->aux & 3, n = bytes_of(i->type) >> size;
    switch (i->op) {
    case OP_vsplat:
        for (unsigned k = 0; k < n; k++)
            put(out, k, size, t[0]);
        break;
    case OP_vinsert:
        *out = *v[0];
        put(out, i->imm, size, t[1]);
        break;
    case OP_vhalf:
        memcpy(out, v[0]->bytes + 16 * i->imm, 16);
        break;
    case OP_vconcat:
        memcpy(out, v[0], 16);
        memcpy(out->bytes + 16, v[1], 16);
        break;
    case OP_vdown:
        memcpy(out, v[0]->bytes + i->imm, 16 - i->imm);
        break;
    case OP_vmask:
        for (unsigned k = 0; k < n; k++)
            put(out, k, size, t[0] >> k & 1 ? UINT64_MAX : 0);
        break;
    case OP_vextend:
        for (unsigned k = 0; k < n >> i->imm; k++)
            put(out, k, size + i->imm,
                i->aux & MO_SIGNED ? (uint64_t)sign(get(v[0], k, size), size) : get(v[0], k, size));
        break;
    default: /* vnarrow */
        for (unsigned k = 0; k < 2 * n; k++)
            put(out, k, size - 1, get(v[k >= n], k % n, size));
    }
}

static void logical(const IrInsn *i, const IrVector *const v[3], IrVector *out)
{
    for (unsigned k = 0; k < bytes_of(i->type); k++) {
        uint8_t a = v[0]->bytes[k], b = v[1]->bytes[k];
        out->bytes[k] = i->op == OP_vand    ? a & b
                        : i->op == OP_vor   ? a | b
                        : i->op == OP_vxor  ? a ^ b
                        : i->op == OP_vandn ? ~a & b
                                            : (v[2]->bytes[k] & 0x80 ? b : a);
    }
}

/* Integer results. */
static uint64_t gather(const IrUnit *u, const IrInsn *i, const IrVector *const v[3])
{
    unsigned size = i->aux, n = bytes_of(u->tmps[i->arg[0]].type) >> size;
    uint64_t bits = 0;
    if (i->op == OP_vextract)
        return get(v[0], i->imm, size);
    for (unsigned k = 0; k < n; k++) {
        if (i->op == OP_vbits)
            bits |= (uint64_t)(sign(get(v[0], k, size), size) < 0) << k;
        else
            bits |= is_nan(get(v[0], k, size), size) || is_nan(get(v[1], k, size), size);
    }
    return bits;
}

static uint64_t host_instruction(CpuState *cs, const IrUnit *u, const IrInsn *i, const IrVector *const v[3],
                                 const uint64_t t[3], IrVector *out)
{
    bool vector[3];
    for (unsigned k = 0; k < 3; k++)
        vector[k] = ir_is_vector(u->tmps[i->arg[k]].type);
    if (cs->fp_live || i->flags & IR_HOST_PURE)
        return ir_host_run(i->imm, (IrType)i->type, vector, v, t, out);
    uint32_t saved = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(ir_host_mxcsr(cs->fp_round));
    uint64_t result = ir_host_run(i->imm, (IrType)i->type, vector, v, t, out);
    cs->fp_flags |= ir_host_flags(__builtin_ia32_stmxcsr());
    __builtin_ia32_ldmxcsr(saved);
    return result;
}

uint64_t ir_interpret_vector(CpuState *cs, const IrUnit *u, const IrInsn *insn, const IrVector *const v[3],
                             const uint64_t t[3], IrVector *out)
{
    unsigned size = insn->aux, n = bytes_of(insn->type) >> (size & 3);
    switch (insn->op) {
    case OP_vsplat:
    case OP_vinsert:
    case OP_vhalf:
    case OP_vconcat:
    case OP_vdown:
    case OP_vmask:
    case OP_vextend:
    case OP_vnarrow:
        arrange(insn, v, t, out);
        return 0;
    case OP_vand:
    case OP_vor:
    case OP_vxor:
    case OP_vandn:
    case OP_vblend:
        logical(insn, v, out);
        return 0;
    case OP_vhost:
        return host_instruction(cs, u, insn, v, t, out);
    case OP_vextract:
    case OP_vbits:
    case OP_vfnan:
        return gather(u, insn, v);
    case OP_vshl:
    case OP_vshr:
    case OP_vsar: {
        uint64_t count = u->tmps[insn->arg[1]].type == IR_I32 ? (uint32_t)t[1] : t[1];
        for (unsigned k = 0; k < n; k++)
            put(out, k, size, element(insn->op, get(v[0], k, size), count, size));
        return 0;
    }
    default:
        break;
    }
    for (unsigned k = 0; k < n; k++) {
        uint64_t a = get(v[0], k, size), b = get(v[1], k, size);
        put(out, k, size,
            insn->op >= OP_vfadd ? float_element(cs, insn, a, b, get(v[2], k, size)) : element(insn->op, a, b, size));
    }
    return 0;
}
