/*
 * tcg/softfloat against the host's SSE2 and FMA units: every operation in the host's four rounding modes on random and
 * special operands, results and flags; rounding to nearest with ties away (which the host lacks) against wide integers.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/runtime.h"
#include "tcg/softfloat.h"
#include <glib.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#define TYPE_NAME(type) ((type) == IR_F32 ? "f32" : "f64")

/* soft_fp on a state of its own: flags are this operation's. */
static uint64_t compute(uint64_t a, uint64_t b, uint64_t c, uint32_t what, IrRound dynamic, uint8_t *flags)
{
    CpuState cs = { .fp_round = (uint8_t)dynamic };
    uint64_t result = soft_fp(&cs, a, b, c, what);
    *flags = cs.fp_flags;
    return result;
}

static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint64_t random64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * UINT64_C(0x2545f4914f6cdd1d);
}

/* An operand: often with a special exponent or fraction, or near 1, so that sums cancel and results are at the limits.
 */
static uint64_t random_float(IrType type)
{
    unsigned fraction_bits = type == IR_F32 ? 23 : 52, exp_bits = type == IR_F32 ? 8 : 11;
    uint64_t max_exp = (1u << exp_bits) - 1, choice = random64(), bits = random64(), exp = bits >> 32 & max_exp;
    uint64_t fraction = random64() & ((UINT64_C(1) << fraction_bits) - 1);
    static const int8_t near[] = { 0, 1, 2, 22, 23, 24, 25, 31, 32, 33, 51, 52, 53, 54, 62, 63, 64, -1, -2 };

    switch (choice & 7) {
    case 0:
        exp = (uint64_t[]){ 0, 0, 1, 2, max_exp - 2, max_exp - 1, max_exp, max_exp }[choice >> 3 & 7];
        break;
    case 1:
    case 2:
    case 3:
        exp = max_exp / 2 + (uint64_t)near[(choice >> 3) % G_N_ELEMENTS(near)];
        break;
    default:
        break;
    }
    switch (choice >> 16 & 7) {
    case 0:
        fraction = 0;
        break;
    case 1:
        fraction = UINT64_C(1) << (choice >> 24) % fraction_bits;
        break;
    case 2:
        fraction = (UINT64_C(1) << fraction_bits) - (UINT64_C(1) << (choice >> 24) % fraction_bits);
        break;
    case 3: /* few bits at the top: products and quotients are exact or ties */
        fraction = fraction >> (fraction_bits / 2) << (fraction_bits / 2);
        break;
    default:
        break;
    }
    return (bits & 1) << (fraction_bits + exp_bits) | exp << fraction_bits | fraction;
}

static uint64_t random_int(void)
{
    uint64_t value = random64(), choice = random64();
    value >>= choice & 63;
    if (choice & 64)
        value = (UINT64_C(1) << (choice >> 8 & 63)) + (choice >> 16 & 3) - 2;
    return choice & 128 ? -value : value;
}

#ifdef __x86_64__

/* ---- the host as oracle ---- */

static const uint32_t host_round[] = { [FROUND_RNE] = 0, [FROUND_RTZ] = 3, [FROUND_RDN] = 1, [FROUND_RUP] = 2 };

static void host_begin(IrRound round)
{
    uint32_t mxcsr = 0x1f80 | host_round[round] << 13;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr) : "memory");
}

static uint8_t host_end(void)
{
    uint32_t mxcsr, normal = 0x1f80;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr) : : "memory");
    __asm__ volatile("ldmxcsr %0" : : "m"(normal) : "memory");
    return (mxcsr & 1 ? IR_FP_NV : 0) | (mxcsr & 4 ? IR_FP_DZ : 0) | (mxcsr & 8 ? IR_FP_OF : 0) |
           (mxcsr & 16 ? IR_FP_UF : 0) | (mxcsr & 32 ? IR_FP_NX : 0);
}

#define HOST_BINARY(name)                                            \
    static uint64_t host_##name(IrType type, uint64_t a, uint64_t b) \
    {                                                                \
        double x, y;                                                 \
        memcpy(&x, &a, 8);                                           \
        memcpy(&y, &b, 8);                                           \
        if (type == IR_F32)                                          \
            __asm__ volatile(#name "ss %1, %0" : "+x"(x) : "x"(y));  \
        else                                                         \
            __asm__ volatile(#name "sd %1, %0" : "+x"(x) : "x"(y));  \
        memcpy(&a, &x, 8);                                           \
        return type == IR_F32 ? (uint32_t)a : a;                     \
    }
HOST_BINARY(add)
HOST_BINARY(sub)
HOST_BINARY(mul)
HOST_BINARY(div)
HOST_BINARY(sqrt)

static uint64_t host_fma(IrType type, uint64_t a, uint64_t b, uint64_t c)
{
    double x, y, z;
    memcpy(&x, &a, 8);
    memcpy(&y, &b, 8);
    memcpy(&z, &c, 8);
    if (type == IR_F32)
        __asm__ volatile("vfmadd213ss %2, %1, %0" : "+x"(x) : "x"(y), "x"(z));
    else
        __asm__ volatile("vfmadd213sd %2, %1, %0" : "+x"(x) : "x"(y), "x"(z));
    memcpy(&a, &x, 8);
    return type == IR_F32 ? (uint32_t)a : a;
}

static bool bits_are_nan(IrType type, uint64_t a)
{
    return type == IR_F32 ? (a & 0x7fffffff) > 0x7f800000 : (a & INT64_MAX) > UINT64_C(0x7ff0000000000000);
}

static bool bits_are_signalling(IrType type, uint64_t a)
{
    return bits_are_nan(type, a) && !(type == IR_F32 ? a >> 22 & 1 : a >> 51 & 1);
}

static uint64_t canonical(IrType type)
{
    return type == IR_F32 ? 0x7fc00000 : UINT64_C(0x7ff8000000000000);
}

static void check(const char *name, IrType type, IrRound round, const uint64_t in[3], uint64_t expected,
                  uint8_t expected_flags, uint64_t got, uint8_t got_flags)
{
    if (got == expected && got_flags == expected_flags)
        return;
    g_error("%s %s round %d (%" PRIx64 ", %" PRIx64 ", %" PRIx64 "): got %" PRIx64 " flags %x, expected %" PRIx64
            " flags %x",
            name, TYPE_NAME(type), round, in[0], in[1], in[2], got, got_flags, expected, expected_flags);
}

static void test_arithmetic(void)
{
    static const struct {
        const char *name;
        IrOp op;
        uint64_t (*host)(IrType type, uint64_t a, uint64_t b);
    } ops[] = {
        { "fadd", OP_fadd, host_add }, { "fsub", OP_fsub, host_sub },    { "fmul", OP_fmul, host_mul },
        { "fdiv", OP_fdiv, host_div }, { "fsqrt", OP_fsqrt, host_sqrt },
    };
    for (unsigned i = 0; i < 4000000; i++) {
        IrType type = i & 1 ? IR_F32 : IR_F64;
        IrRound round = i >> 1 & 3;
        unsigned which = random64() % G_N_ELEMENTS(ops);
        uint64_t in[3] = { random_float(type), random_float(type), 0 };
        if (ops[which].op == OP_fsqrt)
            in[1] = in[0];
        host_begin(round);
        uint64_t expected = ops[which].host(type, in[0], in[1]);
        uint8_t flags = host_end(), got_flags;
        if (bits_are_nan(type, expected))
            expected = canonical(type);
        uint64_t got = compute(in[0], in[1], 0, SOFT_WHAT(ops[which].op, type, round, 0, type), FROUND_RNE, &got_flags);
        check(ops[which].name, type, round, in, expected, flags, got, got_flags);
    }
}

static void test_fma(void)
{
    if (!__builtin_cpu_supports("fma")) {
        g_test_skip("no FMA unit");
        return;
    }
    for (unsigned i = 0; i < 4000000; i++) {
        IrType type = i & 1 ? IR_F32 : IR_F64;
        IrRound round = i >> 1 & 3;
        unsigned negate = i >> 3 & 3, top = type == IR_F32 ? 31 : 63;
        uint64_t in[3] = { random_float(type), random_float(type), random_float(type) };
        if (i & 32) { /* an addend near the product, so that they cancel */
            host_begin(FROUND_RNE);
            in[2] = host_mul(type, in[0], in[1]) ^ (uint64_t)(i >> 6 & 1) << top ^ (random64() & 3);
            host_end();
        }
        host_begin(round);
        uint64_t expected =
            host_fma(type, in[0] ^ (uint64_t)(negate & 1) << top, in[1], in[2] ^ (uint64_t)(negate >> 1) << top);
        uint8_t flags = host_end(), got_flags;
        if (bits_are_nan(type, expected))
            expected = canonical(type);
        /* x86 raises nothing for infinity * 0 + quiet NaN; RISC-V does. */
        uint64_t magnitude = type == IR_F32 ? INT32_MAX : INT64_MAX,
                 inf = type == IR_F32 ? 0x7f800000 : 0x7ff0000000000000;
        if (((in[0] & magnitude) == inf && !(in[1] & magnitude)) ||
            ((in[1] & magnitude) == inf && !(in[0] & magnitude)))
            flags = IR_FP_NV;
        uint64_t got =
            compute(in[0], in[1], in[2], SOFT_WHAT(OP_fma, type, FROUND_DYN, negate, type), round, &got_flags);
        check("fma", type, round, in, expected, flags, got, got_flags);
    }
}

/* minimumNumber and comparisons: the host orders numbers; the rest is in the specification. */
static void test_order(void)
{
    for (unsigned i = 0; i < 1000000; i++) {
        IrType type = i & 1 ? IR_F32 : IR_F64;
        uint64_t in[3] = { random_float(type), random_float(type), 0 };
        if (i % 7 == 0)
            in[1] = in[0] ^ (uint64_t)(i >> 3 & 1) << (type == IR_F32 ? 31 : 63);
        double x, y;
        float fx, fy;
        uint32_t low0 = (uint32_t)in[0], low1 = (uint32_t)in[1];
        memcpy(&fx, &low0, 4);
        memcpy(&fy, &low1, 4);
        memcpy(&x, &in[0], 8);
        memcpy(&y, &in[1], 8);
        if (type == IR_F32) {
            x = fx;
            y = fy;
        }
        bool nan0 = bits_are_nan(type, in[0]), nan1 = bits_are_nan(type, in[1]);
        bool signalling = bits_are_signalling(type, in[0]) || bits_are_signalling(type, in[1]);
        bool relations[] = { [FCMP_EQ] = x == y, [FCMP_LT] = isless(x, y), [FCMP_LE] = islessequal(x, y) };
        uint8_t flags;
        for (unsigned cond = FCMP_EQ; cond <= FCMP_LE; cond++) {
            uint64_t got = compute(in[0], in[1], 0, SOFT_WHAT(OP_fcmp, IR_I64, cond, 0, type), FROUND_RNE, &flags);
            uint8_t expected_flags = signalling || (cond != FCMP_EQ && (nan0 || nan1)) ? IR_FP_NV : 0;
            check("fcmp", type, (IrRound)cond, in, relations[cond], expected_flags, got, flags);
        }
        for (unsigned max = 0; max < 2; max++) {
            bool first = x < y || (x == y && signbit(x));
            uint64_t expected = nan0 && nan1 ? canonical(type) : nan0 ? in[1] : nan1 ? in[0] : in[first == max];
            uint64_t got =
                compute(in[0], in[1], 0, SOFT_WHAT(max ? OP_fmax : OP_fmin, type, 0, 0, type), FROUND_RNE, &flags);
            check(max ? "fmax" : "fmin", type, FROUND_RNE, in, expected, signalling ? IR_FP_NV : 0, got, flags);
        }
    }
}

static void test_between_formats(void)
{
    for (unsigned i = 0; i < 1000000; i++) {
        IrType type = i & 1 ? IR_F32 : IR_F64, from = i & 1 ? IR_F64 : IR_F32;
        IrRound round = i >> 1 & 3;
        uint64_t in[3] = { random_float(from), 0, 0 }, expected;
        double x;
        if (i & 8 && from == IR_F64) /* in the range of the narrow format's subnormals and limits */
            in[0] = (in[0] & ~(UINT64_C(0x7ff) << 52)) | (uint64_t)(1023 - 152 + (random64() & 31) + (i & 16 ? 263 : 0))
                                                             << 52;
        memcpy(&x, &in[0], 8);
        host_begin(round);
        if (type == IR_F32)
            __asm__ volatile("cvtsd2ss %0, %0" : "+x"(x));
        else
            __asm__ volatile("cvtss2sd %0, %0" : "+x"(x));
        uint8_t flags = host_end(), got_flags;
        memcpy(&expected, &x, 8);
        if (type == IR_F32)
            expected = (uint32_t)expected;
        if (bits_are_nan(type, expected))
            expected = canonical(type);
        uint64_t got = compute(in[0], 0, 0, SOFT_WHAT(OP_fcvt, type, round, 0, from), FROUND_RNE, &got_flags);
        check("fcvt", type, round, in, expected, flags, got, got_flags);
    }
}

/* The host's conversion of the value as a long double, which holds every F64 and every 64-bit integer exactly. */
static void test_to_integer(void)
{
    for (unsigned i = 0; i < 2000000; i++) {
        IrType from = i & 1 ? IR_F32 : IR_F64, type = i & 2 ? IR_I32 : IR_I64;
        bool is_unsigned = i & 4;
        IrRound round = (i >> 3) % 5;
        uint64_t in[3] = { random_float(from), 0, 0 };
        uint32_t low = (uint32_t)in[0];
        float narrow;
        double wide;
        memcpy(&narrow, &low, 4);
        memcpy(&wide, &in[0], 8);
        long double x = from == IR_F32 ? (long double)narrow : (long double)wide, r = x;
        long double below = floorl(x), fraction = x - below;
        bool odd = fmodl(below, 2) != 0;
        switch (round) {
        case FROUND_RNE:
            r = fraction > 0.5L || (fraction == 0.5L && odd) ? below + 1 : below;
            break;
        case FROUND_RTZ:
            r = truncl(x);
            break;
        case FROUND_RDN:
            r = below;
            break;
        case FROUND_RUP:
            r = ceill(x);
            break;
        default:
            r = roundl(x);
            break;
        }
        if (isinf(x))
            r = x;
        unsigned width = type == IR_I32 ? 32 : 64;
        long double greatest = ldexpl(1, (int)width - !is_unsigned) - 1,
                    lowest = is_unsigned ? 0 : -ldexpl(1, (int)width - 1);
        uint8_t flags = isnan(x) || r > greatest || r < lowest ? IR_FP_NV : r != x ? IR_FP_NX : 0, got_flags;
        if (isnan(x) || r > greatest)
            r = greatest;
        else if (r < lowest)
            r = lowest;
        uint64_t expected = r < 0 ? -(uint64_t)-r : (uint64_t)r;
        uint64_t got =
            compute(in[0], 0, 0, SOFT_WHAT(OP_fftoi, type, round, is_unsigned, from), FROUND_RNE, &got_flags);
        if (type == IR_I32) { /* the upper half is not defined */
            expected = (uint32_t)expected;
            got = (uint32_t)got;
        }
        check(is_unsigned ? "fftoi unsigned" : "fftoi", type, round, in, expected, flags, got, got_flags);
    }
}

static void test_from_integer(void)
{
    for (unsigned i = 0; i < 1000000; i++) {
        IrType type = i & 1 ? IR_F32 : IR_F64, from = i & 2 ? IR_I32 : IR_I64;
        bool is_unsigned = i & 4;
        IrRound round = i >> 3 & 3;
        uint64_t in[3] = { random_int(), 0, 0 }, expected;
        int64_t value = from == IR_I64 ? (int64_t)in[0] : is_unsigned ? (int64_t)(uint32_t)in[0] : (int32_t)in[0];
        double x = 0;
        uint64_t halved = (uint64_t)value >> 1 | ((uint64_t)value & 1); /* same rounding, half the value */
        bool huge = is_unsigned && value < 0;
        host_begin(round);
        if (type == IR_F32)
            __asm__ volatile("cvtsi2ssq %1, %0" : "+x"(x) : "r"(huge ? (int64_t)halved : value));
        else
            __asm__ volatile("cvtsi2sdq %1, %0" : "+x"(x) : "r"(huge ? (int64_t)halved : value));
        uint8_t flags = host_end(), got_flags;
        memcpy(&expected, &x, 8);
        if (type == IR_F32)
            expected = (uint32_t)expected + (huge ? 1u << 23 : 0);
        else
            expected += huge ? UINT64_C(1) << 52 : 0;
        uint64_t got =
            compute(in[0], 0, 0, SOFT_WHAT(OP_fitof, type, round, is_unsigned, from), FROUND_RNE, &got_flags);
        check(is_unsigned ? "fitof unsigned" : "fitof", from, round, in, expected, flags, got, got_flags);
    }
}

#endif

/* ---- ties away ---- */

/*
 * Rounding to nearest, ties to maximum magnitude, by its definition: the magnitude toward zero unless the exact result
 * is at least as far as the middle between it and the next one. Operands are small integers times a power of two, so
 * that exact results and middles are integers of 128 bits.
 */
static void test_ties_away(void)
{
    unsigned ties = 0;
    for (unsigned i = 0; i < 2000000; i++) {
        /* F32 operands of up to 24 bits, exponents 0..20: exact sums and products in 128-bit integers */
        int32_t ma = (int32_t)(random64() >> 40), mb = (int32_t)(random64() >> 40), mc = (int32_t)(random64() >> 40);
        int ea = (int)(random64() % 21), eb = (int)(random64() % 21), ec = (int)(random64() % 45);
        if (i & 1)
            ma = ma >> 12 | 1;
        if (i & 2)
            mb = mb >> 11 | 1;
        if (i & 4)
            ma = -ma;
        if (i & 8)
            mc = -mc;
        float fa = ldexpf((float)ma, ea), fb = ldexpf((float)mb, eb), fc = ldexpf((float)mc, ec);
        __int128 a = (__int128)ma * ((__int128)1 << ea), b = (__int128)mb * ((__int128)1 << eb);
        __int128 c = (__int128)mc * ((__int128)1 << ec), exact;
        IrOp op = (IrOp[]){ OP_fadd, OP_fmul, OP_fma, OP_fsub }[i >> 4 & 3];
        switch (op) {
        case OP_fadd:
            exact = a + b;
            break;
        case OP_fsub:
            exact = a - b;
            break;
        case OP_fmul:
            exact = a * b;
            break;
        default:
            exact = a * b + c;
            break;
        }
        if (exact == 0)
            continue;
        uint32_t in[3], got;
        memcpy(&in[0], &fa, 4);
        memcpy(&in[1], &fb, 4);
        memcpy(&in[2], &fc, 4);
        bool sign = exact < 0;
        unsigned __int128 magnitude = sign ? -(unsigned __int128)exact : (unsigned __int128)exact, kept = magnitude;
        int shift = 0;
        for (; kept >> 24; shift++)
            kept >>= 1;
        unsigned __int128 lost = magnitude - (kept << shift), half = shift ? (unsigned __int128)1 << (shift - 1) : 1;
        ties += lost == half;
        float expected_value = ldexpf((float)((uint32_t)kept + (lost >= half)), shift);
        uint32_t expected;
        expected_value = sign ? -expected_value : expected_value;
        memcpy(&expected, &expected_value, 4);
        uint8_t flags, expected_flags = lost ? IR_FP_NX : 0;
        got = (uint32_t)compute(in[0], in[1], in[2], SOFT_WHAT(op, IR_F32, FROUND_RMM, 0, IR_F32), FROUND_RNE, &flags);
        if (got != expected || flags != expected_flags)
            g_error("op %d (%x, %x, %x) ties away: got %x flags %x, expected %x flags %x", op, in[0], in[1], in[2], got,
                    flags, expected, expected_flags);
    }
    g_assert_cmpuint(ties, >, 1000);
}

/* In every other case ties away is nearest-even, limits included; where they differ, it is the next magnitude up. */
static void test_ties_away_limits(void)
{
    static const IrOp ops[] = { OP_fadd, OP_fmul, OP_fdiv, OP_fsqrt, OP_fma };
    for (unsigned i = 0; i < 1000000; i++) {
        IrType type = i & 1 ? IR_F32 : IR_F64;
        IrOp op = ops[random64() % G_N_ELEMENTS(ops)];
        uint64_t in[3] = { random_float(type), random_float(type), random_float(type) };
        uint8_t away_flags, even_flags, up_flags;
        uint64_t away = compute(in[0], in[1], in[2], SOFT_WHAT(op, type, FROUND_RMM, 0, type), FROUND_RNE, &away_flags);
        uint64_t even = compute(in[0], in[1], in[2], SOFT_WHAT(op, type, FROUND_RNE, 0, type), FROUND_RNE, &even_flags);
        bool sign = even >> (type == IR_F32 ? 31 : 63);
        uint64_t up = compute(in[0], in[1], in[2], SOFT_WHAT(op, type, sign ? FROUND_RDN : FROUND_RUP, 0, type),
                              FROUND_RNE, &up_flags);
        if (away != even) {
            g_assert_cmphex(away, ==, even + 1);
            g_assert_cmphex(away, ==, up);
            g_assert_cmphex(away_flags & ~IR_FP_UF, ==, up_flags & ~IR_FP_UF);
        } else if ((even & 1) == 0 && even != up) {
            g_assert_cmphex(away_flags & ~IR_FP_UF, ==, even_flags & ~IR_FP_UF);
        }
    }
}

static void test_state(void)
{
    CpuState cs = { .fp_round = FROUND_RUP, .fp_flags = IR_FP_DZ };
    uint64_t third = soft_fp(&cs, 0x3f800000, 0x40400000, 0, SOFT_WHAT(OP_fdiv, IR_F32, FROUND_DYN, 0, IR_F32));
    g_assert_cmphex(third, ==, 0x3eaaaaab);
    g_assert_cmphex(cs.fp_flags, ==, IR_FP_DZ | IR_FP_NX);
    third = soft_fp(&cs, 0x3f800000, 0x40400000, 0, SOFT_WHAT(OP_fdiv, IR_F32, FROUND_RTZ, 0, IR_F32));
    g_assert_cmphex(third, ==, 0x3eaaaaaa);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#ifdef __x86_64__
    g_test_add_func("/softfloat/arithmetic", test_arithmetic);
    g_test_add_func("/softfloat/fma", test_fma);
    g_test_add_func("/softfloat/order", test_order);
    g_test_add_func("/softfloat/between-formats", test_between_formats);
    g_test_add_func("/softfloat/to-integer", test_to_integer);
    g_test_add_func("/softfloat/from-integer", test_from_integer);
#endif
    g_test_add_func("/softfloat/ties-away", test_ties_away);
    g_test_add_func("/softfloat/ties-away-limits", test_ties_away_limits);
    g_test_add_func("/softfloat/state", test_state);
    return g_test_run();
}
