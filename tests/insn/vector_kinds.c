/*
 * Kinds of arithmetic instructions of vector-gen, written from the ISA manual (20240411), and how the oracle does
 * those that it does not know: all operands come from constants beside the code, and the oracle's program loads the
 * result and sets the flags that a plain C function here has worked out from the manual's pseudo-code.
 * SPDX-License-Identifier: MIT
 */
#include "bf16_model.h"
#include "vector_gen.h"
#include <fenv.h>
#include <math.h>
#include <string.h>

/* ---- models ---- */
static uint64_t low(uint64_t v, unsigned bits)
{
    return bits == 64 ? v : v & ((1ull << bits) - 1);
}
#define MODEL(name, expression)                                                                      \
    static uint64_t model_##name(uint64_t x, uint64_t y, uint64_t z, unsigned bits, unsigned *flags) \
    {                                                                                                \
        return expression;                                                                           \
    }
/* Bit i of the result is bit from of x. */
#define MODEL_BITS(name, from)                                                                       \
    static uint64_t model_##name(uint64_t x, uint64_t y, uint64_t z, unsigned bits, unsigned *flags) \
    {                                                                                                \
        uint64_t r = 0;                                                                              \
        for (unsigned i = 0; i < bits; i++)                                                          \
            r |= (x >> (from)&1) << i;                                                               \
        return r;                                                                                    \
    }
MODEL(andn, x & ~y)
MODEL_BITS(brev, bits - 1 - i)
MODEL_BITS(brev8, (i & ~7u) + 7 - (i & 7))
MODEL_BITS(rev8, (bits / 8 - 1 - i / 8) * 8 + i % 8)
MODEL_BITS(rol, (i - y) & (bits - 1))
MODEL_BITS(ror, (i + y) & (bits - 1))
MODEL(wsll, x << (y & (2 * bits - 1)))
static uint64_t model_clz(uint64_t x, uint64_t y, uint64_t z, unsigned bits, unsigned *flags)
{
    unsigned n = 0;
    while (n < bits && !(x >> (bits - 1 - n) & 1))
        n++;
    return n;
}
static uint64_t model_ctz(uint64_t x, uint64_t y, uint64_t z, unsigned bits, unsigned *flags)
{
    unsigned n = 0;
    while (n < bits && !(x >> n & 1))
        n++;
    return n;
}
static uint64_t model_cpop(uint64_t x, uint64_t y, uint64_t z, unsigned bits, unsigned *flags)
{
    unsigned n = 0;
    for (unsigned i = 0; i < bits; i++)
        n += x >> i & 1;
    return n;
}
static uint64_t model_clmul(uint64_t x, uint64_t y, uint64_t z, unsigned bits, unsigned *flags)
{
    uint64_t r = 0;
    for (unsigned i = 0; i < bits; i++)
        r ^= y >> i & 1 ? x << i : 0;
    return r;
}
static uint64_t model_clmulh(uint64_t x, uint64_t y, uint64_t z, unsigned bits, unsigned *flags)
{
    uint64_t r = 0;
    for (unsigned i = 1; i < bits; i++)
        r ^= y >> i & 1 ? x >> (bits - i) : 0;
    return r;
}
MODEL(from_bf16, bf16_to_single(x, flags))
MODEL(to_bf16, bf16_from_single(x, frm, flags))

static float as_float(uint32_t v)
{
    float f;
    memcpy(&f, &v, 4);
    return f;
}
/* The host's fused multiply-add, in the guest's rounding mode (not ties away: see gen_known). */
static uint64_t model_wmacc_bf16(uint64_t x, uint64_t y, uint64_t z, unsigned bits, unsigned *flags)
{
    static const int modes[] = { FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD };
    uint32_t a = (uint32_t)x << 16, b = (uint32_t)y << 16, result;
    bool undefined = ((a & 0x7fffffff) == 0x7f800000 && !(b << 1)) || ((b & 0x7fffffff) == 0x7f800000 && !(a << 1));
    volatile float fa = as_float(a), fb = as_float(b), fz = as_float(z), r;
    fesetround(modes[frm]);
    feclearexcept(FE_ALL_EXCEPT);
    r = fmaf(fa, fb, fz);
    int host = fetestexcept(FE_ALL_EXCEPT);
    fesetround(FE_TONEAREST);
    float plain = r;
    memcpy(&result, &plain, 4);
    *flags |= (host & FE_INVALID || undefined ? 16 : 0) | (host & FE_OVERFLOW ? 4 : 0) | (host & FE_UNDERFLOW ? 2 : 0) |
              (host & FE_INEXACT ? 1 : 0);
    return isnan(plain) ? 0x7fc00000 : result;
}

/* ---- the kinds ---- */
const Kind kinds[] = {
    { "vadd.vv", 0x00000057, S, S, S, ANY, 0 },
    { "vadd.vx", 0x00004057, S, S, X, ANY, 0 },
    { "vadd.vi", 0x00003057, S, S, IMM, ANY, 0 },
    { "vsub.vv", 0x08000057, S, S, S, ANY, 0 },
    { "vsub.vx", 0x08004057, S, S, X, ANY, 0 },
    { "vrsub.vx", 0x0c004057, S, S, X, ANY, 0 },
    { "vrsub.vi", 0x0c003057, S, S, IMM, ANY, 0 },
    { "vminu.vv", 0x10000057, S, S, S, ANY, 0 },
    { "vminu.vx", 0x10004057, S, S, X, ANY, 0 },
    { "vmin.vv", 0x14000057, S, S, S, ANY, 0 },
    { "vmin.vx", 0x14004057, S, S, X, ANY, 0 },
    { "vmaxu.vv", 0x18000057, S, S, S, ANY, 0 },
    { "vmaxu.vx", 0x18004057, S, S, X, ANY, 0 },
    { "vmax.vv", 0x1c000057, S, S, S, ANY, 0 },
    { "vmax.vx", 0x1c004057, S, S, X, ANY, 0 },
    { "vand.vv", 0x24000057, S, S, S, ANY, 0 },
    { "vand.vx", 0x24004057, S, S, X, ANY, 0 },
    { "vand.vi", 0x24003057, S, S, IMM, ANY, 0 },
    { "vor.vv", 0x28000057, S, S, S, ANY, 0 },
    { "vor.vx", 0x28004057, S, S, X, ANY, 0 },
    { "vor.vi", 0x28003057, S, S, IMM, ANY, 0 },
    { "vxor.vv", 0x2c000057, S, S, S, ANY, 0 },
    { "vxor.vx", 0x2c004057, S, S, X, ANY, 0 },
    { "vxor.vi", 0x2c003057, S, S, IMM, ANY, 0 },
    { "vrgather.vv", 0x30000057, S, S, S, ANY, APART },
    { "vrgather.vx", 0x30004057, S, S, X, ANY, APART },
    { "vrgather.vi", 0x30003057, S, S, IMM, ANY, APART },
    { "vslideup.vx", 0x38004057, S, S, X, ANY, APART | KEEPS_VSTART },
    { "vslideup.vi", 0x38003057, S, S, IMM, ANY, APART | KEEPS_VSTART },
    { "vslidedown.vx", 0x3c004057, S, S, X, ANY, 0 },
    { "vslidedown.vi", 0x3c003057, S, S, IMM, ANY, 0 },
    { "vmseq.vv", 0x60000057, MASK, S, S, ANY, 0 },
    { "vmseq.vx", 0x60004057, MASK, S, X, ANY, 0 },
    { "vmseq.vi", 0x60003057, MASK, S, IMM, ANY, 0 },
    { "vmsne.vv", 0x64000057, MASK, S, S, ANY, 0 },
    { "vmsne.vx", 0x64004057, MASK, S, X, ANY, 0 },
    { "vmsne.vi", 0x64003057, MASK, S, IMM, ANY, 0 },
    { "vmsltu.vv", 0x68000057, MASK, S, S, ANY, 0 },
    { "vmsltu.vx", 0x68004057, MASK, S, X, ANY, 0 },
    { "vmslt.vv", 0x6c000057, MASK, S, S, ANY, 0 },
    { "vmslt.vx", 0x6c004057, MASK, S, X, ANY, 0 },
    { "vmsleu.vv", 0x70000057, MASK, S, S, ANY, 0 },
    { "vmsleu.vx", 0x70004057, MASK, S, X, ANY, 0 },
    { "vmsleu.vi", 0x70003057, MASK, S, IMM, ANY, 0 },
    { "vmsle.vv", 0x74000057, MASK, S, S, ANY, 0 },
    { "vmsle.vx", 0x74004057, MASK, S, X, ANY, 0 },
    { "vmsle.vi", 0x74003057, MASK, S, IMM, ANY, 0 },
    { "vmsgtu.vx", 0x78004057, MASK, S, X, ANY, 0 },
    { "vmsgtu.vi", 0x78003057, MASK, S, IMM, ANY, 0 },
    { "vmsgt.vx", 0x7c004057, MASK, S, X, ANY, 0 },
    { "vmsgt.vi", 0x7c003057, MASK, S, IMM, ANY, 0 },
    { "vsaddu.vv", 0x80000057, S, S, S, ANY, 0 },
    { "vsaddu.vx", 0x80004057, S, S, X, ANY, 0 },
    { "vsaddu.vi", 0x80003057, S, S, IMM, ANY, 0 },
    { "vsadd.vv", 0x84000057, S, S, S, ANY, 0 },
    { "vsadd.vx", 0x84004057, S, S, X, ANY, 0 },
    { "vsadd.vi", 0x84003057, S, S, IMM, ANY, 0 },
    { "vssubu.vv", 0x88000057, S, S, S, ANY, 0 },
    { "vssubu.vx", 0x88004057, S, S, X, ANY, 0 },
    { "vssub.vv", 0x8c000057, S, S, S, ANY, 0 },
    { "vssub.vx", 0x8c004057, S, S, X, ANY, 0 },
    { "vsll.vv", 0x94000057, S, S, S, ANY, 0 },
    { "vsll.vx", 0x94004057, S, S, X, ANY, 0 },
    { "vsll.vi", 0x94003057, S, S, IMM, ANY, 0 },
    { "vsmul.vv", 0x9c000057, S, S, S, ANY, 0 },
    { "vsmul.vx", 0x9c004057, S, S, X, ANY, 0 },
    { "vsrl.vv", 0xa0000057, S, S, S, ANY, 0 },
    { "vsrl.vx", 0xa0004057, S, S, X, ANY, 0 },
    { "vsrl.vi", 0xa0003057, S, S, IMM, ANY, 0 },
    { "vsra.vv", 0xa4000057, S, S, S, ANY, 0 },
    { "vsra.vx", 0xa4004057, S, S, X, ANY, 0 },
    { "vsra.vi", 0xa4003057, S, S, IMM, ANY, 0 },
    { "vssrl.vv", 0xa8000057, S, S, S, ANY, 0 },
    { "vssrl.vx", 0xa8004057, S, S, X, ANY, 0 },
    { "vssrl.vi", 0xa8003057, S, S, IMM, ANY, 0 },
    { "vssra.vv", 0xac000057, S, S, S, ANY, 0 },
    { "vssra.vx", 0xac004057, S, S, X, ANY, 0 },
    { "vssra.vi", 0xac003057, S, S, IMM, ANY, 0 },
    { "vrgatherei16.vv", 0x38000057, S, S, INDEX16, ANY, APART },
    { "vadc.vvm", 0x40000057, S, S, S, GIVEN, 0 },
    { "vadc.vxm", 0x40004057, S, S, X, GIVEN, 0 },
    { "vadc.vim", 0x40003057, S, S, IMM, GIVEN, 0 },
    { "vsbc.vvm", 0x48000057, S, S, S, GIVEN, 0 },
    { "vsbc.vxm", 0x48004057, S, S, X, GIVEN, 0 },
    { "vmadc.vvm", 0x44000057, MASK, S, S, GIVEN, 0 },
    { "vmadc.vv", 0x46000057, MASK, S, S, GIVEN, 0 },
    { "vmadc.vxm", 0x44004057, MASK, S, X, GIVEN, 0 },
    { "vmadc.vx", 0x46004057, MASK, S, X, GIVEN, 0 },
    { "vmadc.vim", 0x44003057, MASK, S, IMM, GIVEN, 0 },
    { "vmadc.vi", 0x46003057, MASK, S, IMM, GIVEN, 0 },
    { "vmsbc.vvm", 0x4c000057, MASK, S, S, GIVEN, 0 },
    { "vmsbc.vv", 0x4e000057, MASK, S, S, GIVEN, 0 },
    { "vmsbc.vxm", 0x4c004057, MASK, S, X, GIVEN, 0 },
    { "vmsbc.vx", 0x4e004057, MASK, S, X, GIVEN, 0 },
    { "vmerge.vvm", 0x5c000057, S, S, S, GIVEN, 0 },
    { "vmv.v.v", 0x5e000057, S, FIXED, S, GIVEN, 0 },
    { "vmerge.vxm", 0x5c004057, S, S, X, GIVEN, 0 },
    { "vmv.v.x", 0x5e004057, S, FIXED, X, GIVEN, 0 },
    { "vmerge.vim", 0x5c003057, S, S, IMM, GIVEN, 0 },
    { "vmv.v.i", 0x5e003057, S, FIXED, IMM, GIVEN, 0 },
    { "vnsrl.wv", 0xb0000057, S, WIDE, S, ANY, 0 },
    { "vnsrl.wx", 0xb0004057, S, WIDE, X, ANY, 0 },
    { "vnsrl.wi", 0xb0003057, S, WIDE, IMM, ANY, 0 },
    { "vnsra.wv", 0xb4000057, S, WIDE, S, ANY, 0 },
    { "vnsra.wx", 0xb4004057, S, WIDE, X, ANY, 0 },
    { "vnsra.wi", 0xb4003057, S, WIDE, IMM, ANY, 0 },
    { "vnclipu.wv", 0xb8000057, S, WIDE, S, ANY, 0 },
    { "vnclipu.wx", 0xb8004057, S, WIDE, X, ANY, 0 },
    { "vnclipu.wi", 0xb8003057, S, WIDE, IMM, ANY, 0 },
    { "vnclip.wv", 0xbc000057, S, WIDE, S, ANY, 0 },
    { "vnclip.wx", 0xbc004057, S, WIDE, X, ANY, 0 },
    { "vnclip.wi", 0xbc003057, S, WIDE, IMM, ANY, 0 },
    { "vwredsumu.vs", 0xc0000057, ONE, S, ONE, ANY, NO_VSTART },
    { "vwredsum.vs", 0xc4000057, ONE, S, ONE, ANY, NO_VSTART },
    { "vmv1r.v", 0x9e003057, GROUP1, GROUP1, FIXED, GIVEN, KEEPS_VSTART },
    { "vmv2r.v", 0x9e00b057, GROUP2, GROUP2, FIXED, GIVEN, KEEPS_VSTART },
    { "vmv4r.v", 0x9e01b057, GROUP4, GROUP4, FIXED, GIVEN, KEEPS_VSTART },
    { "vmv8r.v", 0x9e03b057, GROUP8, GROUP8, FIXED, GIVEN, KEEPS_VSTART },
    { "vredsum.vs", 0x00002057, ONE, S, ONE, ANY, NO_VSTART },
    { "vredand.vs", 0x04002057, ONE, S, ONE, ANY, NO_VSTART },
    { "vredor.vs", 0x08002057, ONE, S, ONE, ANY, NO_VSTART },
    { "vredxor.vs", 0x0c002057, ONE, S, ONE, ANY, NO_VSTART },
    { "vredminu.vs", 0x10002057, ONE, S, ONE, ANY, NO_VSTART },
    { "vredmin.vs", 0x14002057, ONE, S, ONE, ANY, NO_VSTART },
    { "vredmaxu.vs", 0x18002057, ONE, S, ONE, ANY, NO_VSTART },
    { "vredmax.vs", 0x1c002057, ONE, S, ONE, ANY, NO_VSTART },
    { "vaaddu.vv", 0x20002057, S, S, S, ANY, 0 },
    { "vaaddu.vx", 0x20006057, S, S, X, ANY, 0 },
    { "vaadd.vv", 0x24002057, S, S, S, ANY, 0 },
    { "vaadd.vx", 0x24006057, S, S, X, ANY, 0 },
    { "vasubu.vv", 0x28002057, S, S, S, ANY, 0 },
    { "vasubu.vx", 0x28006057, S, S, X, ANY, 0 },
    { "vasub.vv", 0x2c002057, S, S, S, ANY, 0 },
    { "vasub.vx", 0x2c006057, S, S, X, ANY, 0 },
    { "vslide1up.vx", 0x38006057, S, S, X, ANY, APART },
    { "vslide1down.vx", 0x3c006057, S, S, X, ANY, 0 },
    { "vdivu.vv", 0x80002057, S, S, S, ANY, 0 },
    { "vdivu.vx", 0x80006057, S, S, X, ANY, 0 },
    { "vdiv.vv", 0x84002057, S, S, S, ANY, 0 },
    { "vdiv.vx", 0x84006057, S, S, X, ANY, 0 },
    { "vremu.vv", 0x88002057, S, S, S, ANY, 0 },
    { "vremu.vx", 0x88006057, S, S, X, ANY, 0 },
    { "vrem.vv", 0x8c002057, S, S, S, ANY, 0 },
    { "vrem.vx", 0x8c006057, S, S, X, ANY, 0 },
    { "vmulhu.vv", 0x90002057, S, S, S, ANY, 0 },
    { "vmulhu.vx", 0x90006057, S, S, X, ANY, 0 },
    { "vmul.vv", 0x94002057, S, S, S, ANY, 0 },
    { "vmul.vx", 0x94006057, S, S, X, ANY, 0 },
    { "vmulhsu.vv", 0x98002057, S, S, S, ANY, 0 },
    { "vmulhsu.vx", 0x98006057, S, S, X, ANY, 0 },
    { "vmulh.vv", 0x9c002057, S, S, S, ANY, 0 },
    { "vmulh.vx", 0x9c006057, S, S, X, ANY, 0 },
    { "vmadd.vv", 0xa4002057, S, S, S, ANY, 0 },
    { "vmadd.vx", 0xa4006057, S, S, X, ANY, 0 },
    { "vnmsub.vv", 0xac002057, S, S, S, ANY, 0 },
    { "vnmsub.vx", 0xac006057, S, S, X, ANY, 0 },
    { "vmacc.vv", 0xb4002057, S, S, S, ANY, 0 },
    { "vmacc.vx", 0xb4006057, S, S, X, ANY, 0 },
    { "vnmsac.vv", 0xbc002057, S, S, S, ANY, 0 },
    { "vnmsac.vx", 0xbc006057, S, S, X, ANY, 0 },
    { "vwaddu.vv", 0xc0002057, WIDE, S, S, ANY, 0 },
    { "vwaddu.vx", 0xc0006057, WIDE, S, X, ANY, 0 },
    { "vwadd.vv", 0xc4002057, WIDE, S, S, ANY, 0 },
    { "vwadd.vx", 0xc4006057, WIDE, S, X, ANY, 0 },
    { "vwsubu.vv", 0xc8002057, WIDE, S, S, ANY, 0 },
    { "vwsubu.vx", 0xc8006057, WIDE, S, X, ANY, 0 },
    { "vwsub.vv", 0xcc002057, WIDE, S, S, ANY, 0 },
    { "vwsub.vx", 0xcc006057, WIDE, S, X, ANY, 0 },
    { "vwmulu.vv", 0xe0002057, WIDE, S, S, ANY, 0 },
    { "vwmulu.vx", 0xe0006057, WIDE, S, X, ANY, 0 },
    { "vwmulsu.vv", 0xe8002057, WIDE, S, S, ANY, 0 },
    { "vwmulsu.vx", 0xe8006057, WIDE, S, X, ANY, 0 },
    { "vwmul.vv", 0xec002057, WIDE, S, S, ANY, 0 },
    { "vwmul.vx", 0xec006057, WIDE, S, X, ANY, 0 },
    { "vwmaccu.vv", 0xf0002057, WIDE, S, S, ANY, 0 },
    { "vwmaccu.vx", 0xf0006057, WIDE, S, X, ANY, 0 },
    { "vwmacc.vv", 0xf4002057, WIDE, S, S, ANY, 0 },
    { "vwmacc.vx", 0xf4006057, WIDE, S, X, ANY, 0 },
    { "vwmaccus.vx", 0xf8006057, WIDE, S, X, ANY, 0 },
    { "vwmaccsu.vv", 0xfc002057, WIDE, S, S, ANY, 0 },
    { "vwmaccsu.vx", 0xfc006057, WIDE, S, X, ANY, 0 },
    { "vwaddu.wv", 0xd0002057, WIDE, WIDE, S, ANY, 0 },
    { "vwaddu.wx", 0xd0006057, WIDE, WIDE, X, ANY, 0 },
    { "vwadd.wv", 0xd4002057, WIDE, WIDE, S, ANY, 0 },
    { "vwadd.wx", 0xd4006057, WIDE, WIDE, X, ANY, 0 },
    { "vwsubu.wv", 0xd8002057, WIDE, WIDE, S, ANY, 0 },
    { "vwsubu.wx", 0xd8006057, WIDE, WIDE, X, ANY, 0 },
    { "vwsub.wv", 0xdc002057, WIDE, WIDE, S, ANY, 0 },
    { "vwsub.wx", 0xdc006057, WIDE, WIDE, X, ANY, 0 },
    { "vmv.x.s", 0x42002057, XREG, ONE, FIXED, GIVEN, KEEPS_VSTART },
    { "vcpop.m", 0x40082057, XREG, MASK, FIXED, ANY, NO_VSTART },
    { "vfirst.m", 0x4008a057, XREG, MASK, FIXED, ANY, FP | NO_VSTART },
    { "vmv.s.x", 0x42006057, ONE, FIXED, X, GIVEN, KEEPS_VSTART },
    { "vzext.vf8", 0x48012057, S, EIGHTH, FIXED, ANY, 0 },
    { "vsext.vf8", 0x4801a057, S, EIGHTH, FIXED, ANY, 0 },
    { "vzext.vf4", 0x48022057, S, QUARTER, FIXED, ANY, 0 },
    { "vsext.vf4", 0x4802a057, S, QUARTER, FIXED, ANY, 0 },
    { "vzext.vf2", 0x48032057, S, HALF, FIXED, ANY, 0 },
    { "vsext.vf2", 0x4803a057, S, HALF, FIXED, ANY, 0 },
    { "vmsbf.m", 0x5000a057, MASK, MASK, FIXED, ANY, APART | NO_VSTART },
    { "vmsof.m", 0x50012057, MASK, MASK, FIXED, ANY, APART | NO_VSTART },
    { "vmsif.m", 0x5001a057, MASK, MASK, FIXED, ANY, APART | NO_VSTART },
    { "viota.m", 0x50082057, S, MASK, FIXED, ANY, APART | NO_VSTART },
    { "vid.v", 0x5008a057, S, FIXED, FIXED, ANY, 0 },
    { "vcompress.vm", 0x5e002057, S, S, MASK, GIVEN, APART | NO_VSTART },
    { "vmandn.mm", 0x62002057, MASK, MASK, MASK, GIVEN, 0 },
    { "vmand.mm", 0x66002057, MASK, MASK, MASK, GIVEN, 0 },
    { "vmor.mm", 0x6a002057, MASK, MASK, MASK, GIVEN, 0 },
    { "vmxor.mm", 0x6e002057, MASK, MASK, MASK, GIVEN, 0 },
    { "vmorn.mm", 0x72002057, MASK, MASK, MASK, GIVEN, 0 },
    { "vmnand.mm", 0x76002057, MASK, MASK, MASK, GIVEN, 0 },
    { "vmnor.mm", 0x7a002057, MASK, MASK, MASK, GIVEN, 0 },
    { "vmxnor.mm", 0x7e002057, MASK, MASK, MASK, GIVEN, 0 },
    { "vfadd.vv", 0x00001057, S, S, S, ANY, FP },
    { "vfadd.vf", 0x00005057, S, S, F, ANY, FP },
    { "vfsub.vv", 0x08001057, S, S, S, ANY, FP },
    { "vfsub.vf", 0x08005057, S, S, F, ANY, FP },
    { "vfmin.vv", 0x10001057, S, S, S, ANY, FP },
    { "vfmin.vf", 0x10005057, S, S, F, ANY, FP },
    { "vfmax.vv", 0x18001057, S, S, S, ANY, FP },
    { "vfmax.vf", 0x18005057, S, S, F, ANY, FP },
    { "vfsgnj.vv", 0x20001057, S, S, S, ANY, FP },
    { "vfsgnj.vf", 0x20005057, S, S, F, ANY, FP },
    { "vfsgnjn.vv", 0x24001057, S, S, S, ANY, FP },
    { "vfsgnjn.vf", 0x24005057, S, S, F, ANY, FP },
    { "vfsgnjx.vv", 0x28001057, S, S, S, ANY, FP },
    { "vfsgnjx.vf", 0x28005057, S, S, F, ANY, FP },
    { "vfslide1up.vf", 0x38005057, S, S, F, ANY, APART | FP },
    { "vfslide1down.vf", 0x3c005057, S, S, F, ANY, FP },
    { "vmfeq.vv", 0x60001057, MASK, S, S, ANY, FP },
    { "vmfeq.vf", 0x60005057, MASK, S, F, ANY, FP },
    { "vmfle.vv", 0x64001057, MASK, S, S, ANY, FP },
    { "vmfle.vf", 0x64005057, MASK, S, F, ANY, FP },
    { "vmflt.vv", 0x6c001057, MASK, S, S, ANY, FP },
    { "vmflt.vf", 0x6c005057, MASK, S, F, ANY, FP },
    { "vmfne.vv", 0x70001057, MASK, S, S, ANY, FP },
    { "vmfne.vf", 0x70005057, MASK, S, F, ANY, FP },
    { "vmfgt.vf", 0x74005057, MASK, S, F, ANY, FP },
    { "vmfge.vf", 0x7c005057, MASK, S, F, ANY, FP },
    { "vfdiv.vv", 0x80001057, S, S, S, ANY, FP },
    { "vfdiv.vf", 0x80005057, S, S, F, ANY, FP },
    { "vfrdiv.vf", 0x84005057, S, S, F, ANY, FP },
    { "vfmul.vv", 0x90001057, S, S, S, ANY, FP },
    { "vfmul.vf", 0x90005057, S, S, F, ANY, FP },
    { "vfrsub.vf", 0x9c005057, S, S, F, ANY, FP },
    { "vfmadd.vv", 0xa0001057, S, S, S, ANY, FP },
    { "vfmadd.vf", 0xa0005057, S, S, F, ANY, FP },
    { "vfnmadd.vv", 0xa4001057, S, S, S, ANY, FP },
    { "vfnmadd.vf", 0xa4005057, S, S, F, ANY, FP },
    { "vfmsub.vv", 0xa8001057, S, S, S, ANY, FP },
    { "vfmsub.vf", 0xa8005057, S, S, F, ANY, FP },
    { "vfnmsub.vv", 0xac001057, S, S, S, ANY, FP },
    { "vfnmsub.vf", 0xac005057, S, S, F, ANY, FP },
    { "vfmacc.vv", 0xb0001057, S, S, S, ANY, FP },
    { "vfmacc.vf", 0xb0005057, S, S, F, ANY, FP },
    { "vfnmacc.vv", 0xb4001057, S, S, S, ANY, FP },
    { "vfnmacc.vf", 0xb4005057, S, S, F, ANY, FP },
    { "vfmsac.vv", 0xb8001057, S, S, S, ANY, FP },
    { "vfmsac.vf", 0xb8005057, S, S, F, ANY, FP },
    { "vfnmsac.vv", 0xbc001057, S, S, S, ANY, FP },
    { "vfnmsac.vf", 0xbc005057, S, S, F, ANY, FP },
    { "vfwadd.vv", 0xc0001057, WIDE, S, S, ANY, FP },
    { "vfwadd.vf", 0xc0005057, WIDE, S, F, ANY, FP },
    { "vfwsub.vv", 0xc8001057, WIDE, S, S, ANY, FP },
    { "vfwsub.vf", 0xc8005057, WIDE, S, F, ANY, FP },
    { "vfwmul.vv", 0xe0001057, WIDE, S, S, ANY, FP },
    { "vfwmul.vf", 0xe0005057, WIDE, S, F, ANY, FP },
    { "vfwmacc.vv", 0xf0001057, WIDE, S, S, ANY, FP },
    { "vfwmacc.vf", 0xf0005057, WIDE, S, F, ANY, FP },
    { "vfwnmacc.vv", 0xf4001057, WIDE, S, S, ANY, FP },
    { "vfwnmacc.vf", 0xf4005057, WIDE, S, F, ANY, FP },
    { "vfwmsac.vv", 0xf8001057, WIDE, S, S, ANY, FP },
    { "vfwmsac.vf", 0xf8005057, WIDE, S, F, ANY, FP },
    { "vfwnmsac.vv", 0xfc001057, WIDE, S, S, ANY, FP },
    { "vfwnmsac.vf", 0xfc005057, WIDE, S, F, ANY, FP },
    { "vfwadd.wv", 0xd0001057, WIDE, WIDE, S, ANY, FP },
    { "vfwadd.wf", 0xd0005057, WIDE, WIDE, F, ANY, FP },
    { "vfwsub.wv", 0xd8001057, WIDE, WIDE, S, ANY, FP },
    { "vfwsub.wf", 0xd8005057, WIDE, WIDE, F, ANY, FP },
    { "vfredusum.vs", 0x04001057, ONE, S, ONE, ANY, FP | NO_VSTART },
    { "vfredosum.vs", 0x0c001057, ONE, S, ONE, ANY, FP | NO_VSTART },
    { "vfredmin.vs", 0x14001057, ONE, S, ONE, ANY, FP | NO_VSTART },
    { "vfredmax.vs", 0x1c001057, ONE, S, ONE, ANY, FP | NO_VSTART },
    { "vfwredusum.vs", 0xc4001057, ONE, S, ONE, ANY, FP | NO_VSTART },
    { "vfwredosum.vs", 0xcc001057, ONE, S, ONE, ANY, FP | NO_VSTART },
    { "vfmv.f.s", 0x42001057, FREG, ONE, FIXED, GIVEN, FP | KEEPS_VSTART },
    { "vfmv.s.f", 0x42005057, ONE, FIXED, F, GIVEN, FP | KEEPS_VSTART },
    { "vfmerge.vfm", 0x5c005057, S, S, F, GIVEN, FP },
    { "vfmv.v.f", 0x5e005057, S, FIXED, F, GIVEN, FP },
    { "vfcvt.xu.f.v", 0x48001057, S, S, FIXED, ANY, FP },
    { "vfcvt.x.f.v", 0x48009057, S, S, FIXED, ANY, FP },
    { "vfcvt.f.xu.v", 0x48011057, S, S, FIXED, ANY, FP },
    { "vfcvt.f.x.v", 0x48019057, S, S, FIXED, ANY, FP },
    { "vfcvt.rtz.xu.f.v", 0x48031057, S, S, FIXED, ANY, FP },
    { "vfcvt.rtz.x.f.v", 0x48039057, S, S, FIXED, ANY, FP },
    { "vfwcvt.xu.f.v", 0x48041057, WIDE, S, FIXED, ANY, FP },
    { "vfwcvt.x.f.v", 0x48049057, WIDE, S, FIXED, ANY, FP },
    { "vfwcvt.f.xu.v", 0x48051057, WIDE, S, FIXED, ANY, FP },
    { "vfwcvt.f.x.v", 0x48059057, WIDE, S, FIXED, ANY, FP },
    { "vfwcvt.f.f.v", 0x48061057, WIDE, S, FIXED, ANY, FP },
    { "vfwcvt.rtz.xu.f.v", 0x48071057, WIDE, S, FIXED, ANY, FP },
    { "vfwcvt.rtz.x.f.v", 0x48079057, WIDE, S, FIXED, ANY, FP },
    { "vfncvt.xu.f.w", 0x48081057, S, WIDE, FIXED, ANY, FP },
    { "vfncvt.x.f.w", 0x48089057, S, WIDE, FIXED, ANY, FP },
    { "vfncvt.f.xu.w", 0x48091057, S, WIDE, FIXED, ANY, FP },
    { "vfncvt.f.x.w", 0x48099057, S, WIDE, FIXED, ANY, FP },
    { "vfncvt.f.f.w", 0x480a1057, S, WIDE, FIXED, ANY, FP },
    { "vfncvt.rod.f.f.w", 0x480a9057, S, WIDE, FIXED, ANY, FP },
    { "vfncvt.rtz.xu.f.w", 0x480b1057, S, WIDE, FIXED, ANY, FP },
    { "vfncvt.rtz.x.f.w", 0x480b9057, S, WIDE, FIXED, ANY, FP },
    { "vfsqrt.v", 0x4c001057, S, S, FIXED, ANY, FP },
    { "vfrsqrt7.v", 0x4c021057, S, S, FIXED, ANY, FP },
    { "vfrec7.v", 0x4c029057, S, S, FIXED, ANY, FP },
    { "vfclass.v", 0x4c081057, S, S, FIXED, ANY, FP },
    /* Zvbb, Zvkb */
    { "vandn.vv", 0x04000057, S, S, S, ANY, 0, model_andn, "zvbb" },
    { "vandn.vx", 0x04004057, S, S, X, ANY, 0, model_andn, "zvbb" },
    { "vbrev8.v", 0x48042057, S, S, FIXED, ANY, 0, model_brev8, "zvbb" },
    { "vrev8.v", 0x4804a057, S, S, FIXED, ANY, 0, model_rev8, "zvbb" },
    { "vbrev.v", 0x48052057, S, S, FIXED, ANY, 0, model_brev, "zvbb" },
    { "vclz.v", 0x48062057, S, S, FIXED, ANY, 0, model_clz, "zvbb" },
    { "vctz.v", 0x4806a057, S, S, FIXED, ANY, 0, model_ctz, "zvbb" },
    { "vcpop.v", 0x48072057, S, S, FIXED, ANY, 0, model_cpop, "zvbb" },
    { "vrol.vv", 0x54000057, S, S, S, ANY, 0, model_rol, "zvbb" },
    { "vrol.vx", 0x54004057, S, S, X, ANY, 0, model_rol, "zvbb" },
    { "vror.vv", 0x50000057, S, S, S, ANY, 0, model_ror, "zvbb" },
    { "vror.vx", 0x50004057, S, S, X, ANY, 0, model_ror, "zvbb" },
    { "vror.vi", 0x50003057, S, S, UIMM6, ANY, 0, model_ror, "zvbb" },
    { "vwsll.vv", 0xd4000057, WIDE, S, S, ANY, 0, model_wsll, "zvbb" },
    { "vwsll.vx", 0xd4004057, WIDE, S, X, ANY, 0, model_wsll, "zvbb" },
    { "vwsll.vi", 0xd4003057, WIDE, S, UIMM, ANY, 0, model_wsll, "zvbb" },
    /* Zvbc */
    { "vclmul.vv", 0x30002057, S, S, S, ANY, 0, model_clmul, "zvbc" },
    { "vclmul.vx", 0x30006057, S, S, X, ANY, 0, model_clmul, "zvbc" },
    { "vclmulh.vv", 0x34002057, S, S, S, ANY, 0, model_clmulh, "zvbc" },
    { "vclmulh.vx", 0x34006057, S, S, X, ANY, 0, model_clmulh, "zvbc" },
    /* Zvfbfmin, Zvfbfwma */
    { "vfwcvtbf16.f.f.v", 0x48069057, WIDE, S, FIXED, ANY, FP, model_from_bf16, "zvfbfmin" },
    { "vfncvtbf16.f.f.w", 0x480e9057, S, WIDE, FIXED, ANY, FP, model_to_bf16, "zvfbfmin" },
    { "vfwmaccbf16.vv", 0xec001057, WIDE, S, S, ANY, FP, model_wmacc_bf16, "zvfbfwma" },
    { "vfwmaccbf16.vf", 0xec005057, WIDE, S, F, ANY, FP, model_wmacc_bf16, "zvfbfwma" },
};
const unsigned kind_count = sizeof kinds / sizeof *kinds;

/* ---- instructions with constant operands ---- */

/* Register numbers: none overlaps another, but for sources and destinations of one width that are the same. */
typedef struct Operands {
    unsigned d, r2, r1;
    bool masked;
} Operands;

static unsigned register_of(Operand o)
{
    return is_vector(o) ? below(32) & ~(regs_of(o) - 1) : 8; /* else away from v0 */
}
static bool apart(const Kind *k, unsigned d, Operand o, unsigned r, bool masked)
{
    if (!is_vector(o))
        return true;
    if (masked && overlap(r, regs_of(o), 0, 1))
        return false;
    return !overlap(d, regs_of(k->d), r, regs_of(o)) || (d == r && eew_of(k->d) == eew_of(o));
}
static Operands choose_operands(const Kind *k)
{
    Operands o;
    do {
        o = (Operands){ register_of(k->d), register_of(k->s2), register_of(k->s1), below(2) };
    } while ((o.masked && overlap(o.d, regs_of(k->d), 0, 1)) || !apart(k, o.d, k->s2, o.r2, o.masked) ||
             !apart(k, o.d, k->s1, o.r1, o.masked));
    return o;
}

static uint64_t get_element(const uint8_t *regs, unsigned r, unsigned i, int eew)
{
    uint64_t v = 0;
    memcpy(&v, regs + r * vlen / 8 + (i << eew), 1u << eew);
    return v;
}

/* What the instruction leaves in the registers. */
static unsigned execute(const Kind *k, const Operands *o, uint8_t *regs, unsigned vstart, uint64_t scalar)
{
    unsigned flags = 0, bits = 8u << sew;
    uint8_t before[32 * 128];
    memcpy(before, regs, sizeof before);
    for (unsigned i = vstart; i < vl; i++) {
        if (o->masked && !(before[i / 8] >> i % 8 & 1))
            continue;
        uint64_t x = get_element(before, o->r2, i, eew_of(k->s2)), z = get_element(before, o->d, i, eew_of(k->d));
        uint64_t y = is_vector(k->s1) ? get_element(before, o->r1, i, sew) : low(scalar, bits);
        uint64_t v = k->model(x, y, z, bits, &flags);
        memcpy(regs + o->d * vlen / 8 + (i << eew_of(k->d)), &v, 1u << eew_of(k->d));
    }
    return flags;
}

/* Whole registers from the constants at t1, which goes on behind them. */
static void put_load_whole(unsigned r, unsigned count)
{
    put(0x07 | (count - 1) << 29 | 1 << 25 | 8 << 20 | T1 << 15 | r << 7); /* vl<count>re8.v */
    put(enc_i(0x13, T1, T1, count * vlen / 8));
}

/* All operands in a row: v0, vs2, vs1, vd, the scalar; then the result. */
void gen_known(const Kind *k)
{
    static uint8_t regs[32 * 128];
    unsigned bytes = vlen / 8, d_regs = regs_of(k->d), old_frm = frm, count = 0;
    Operands o = choose_operands(k);
    if (k->model == model_wmacc_bf16 && frm == 4)
        csr_write_imm(0x002, frm = 0);
    for (unsigned i = 0; i < sizeof regs; i += 8) {
        uint64_t v = random_value();
        memcpy(regs + i, &v, 8);
    }
    const unsigned from[] = { 0, o.r2, o.r1, o.d }, counts[] = { o.masked, is_vector(k->s2) ? regs_of(k->s2) : 0,
                                                                 is_vector(k->s1) ? regs_of(k->s1) : 0, d_regs };
    for (unsigned i = 0; i < 4; i++)
        count += counts[i];
    uint64_t scalar = random_value(), y = scalar;
    unsigned r1 = k->s1 == FIXED ? 0 : o.r1, vstart = vl > 1 && !below(10) ? 1 + below(vl - 1 < 31 ? vl - 1 : 31) : 0;
    if (k->s1 == X) {
        r1 = A0 + below(6);
        y = xlen == 32 ? (uint64_t)(int32_t)scalar : scalar;
    } else if (k->s1 == F) {
        r1 = below(8);
        if (below(4))
            scalar |= ~0xffffull;
        y = scalar >> 16 == ~0ull >> 16 ? scalar : 0x7fc0;
    } else if (k->s1 == UIMM || k->s1 == UIMM6) {
        y = below(k->s1 == UIMM ? 32 : 64);
        r1 = y & 31;
    }
    put(0x17 | T1 << 7); /* auipc */
    uint32_t size = (count + d_regs) * bytes + 8;
    put(0x6f | (size + 4) / 2 % 1024 << 21 | ((size + 4) >> 11 & 1) << 20 | ((size + 4) & 0xff000)); /* jal x0 */
    put_data(&scalar, 8);
    for (unsigned i = 0; i < 4; i++)
        put_data(regs + from[i] * bytes, counts[i] * bytes);
    unsigned flags = execute(k, &o, regs, vstart, y);
    put_data(regs + o.d * bytes, d_regs * bytes);
    if (k->s1 == X)
        put(enc_load(r1, T1, 8));
    else if (k->s1 == F)
        put(enc_i(0x3007, r1, T1, 8));
    put(enc_i(0x13, T1, T1, 16));
    for (unsigned i = 0; i < 4; i++)
        if (counts[i])
            put_load_whole(from[i], counts[i]);
    if (machine_mode) {
        put(0x5073 | vstart << 15 | 0x008 << 20);
        put(k->match | o.d << 7 | (is_vector(k->s2) ? o.r2 << 20 : 0) | r1 << 15 | (unsigned)!o.masked << 25 |
            (k->s1 == UIMM6 ? (uint32_t)(y >> 5) << 26 : 0));
        put(0x13);
    } else {
        put(0x13);
        put(0x07 | (d_regs - 1) << 29 | 1 << 25 | 8 << 20 | T1 << 15 | o.d << 7);
        put(0x6073 | flags << 15 | 0x001 << 20); /* csrsi fflags */
    }
    if (frm != old_frm)
        csr_write_imm(0x002, frm = old_frm);
}
