/*
 * IEEE 754 arithmetic in integers (see softfloat.h; IEEE 754-2019, RISC-V's choices where it leaves some).
 *
 * Numbers are unpacked into sign, exponent and a significand whose leading bit is bit 62 (bit 63 is for carries); what
 * is lost below is kept as a sticky lowest bit. One function rounds and packs.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/softfloat.h"
#include "tcg/runtime.h"

typedef unsigned __int128 U128;

typedef enum { ZERO, FINITE, INFINITE, QUIET_NAN, SIGNALLING_NAN } Class;
typedef struct Number {
    Class kind;
    bool negative;
    int exponent;         /* of bit 62, unbiased */
    uint64_t significand; /* FINITE: bit 62 is set */
} Number;

typedef struct Format {
    int fraction_bits, sign_bit, bias, exponent_max;
    uint64_t quiet_nan;
} Format;
static const Format half = { 10, 15, 15, 31, 0x7e00 }, brain = { 7, 15, 127, 255, 0x7fc0 },
                    single = { 23, 31, 127, 255, 0x7fc00000 }, dual = { 52, 63, 1023, 2047, 0x7ff8000000000000 };

typedef struct Context {
    IrRound round;
    unsigned flags;
} Context;

static const Format *format_of(unsigned type)
{
    return type == IR_F32 ? &single : type == SOFT_F16 ? &half : type == SOFT_BF16 ? &brain : &dual;
}

static int sign_shift(const Format *f)
{
    return f->sign_bit;
}

static Number unpack(const Format *f, uint64_t bits)
{
    uint64_t fraction = bits & ((1ull << f->fraction_bits) - 1);
    int exponent = bits >> f->fraction_bits & f->exponent_max;
    Number n = { .negative = bits >> sign_shift(f) & 1 };
    if (exponent == f->exponent_max) {
        n.kind = !fraction ? INFINITE : fraction >> (f->fraction_bits - 1) ? QUIET_NAN : SIGNALLING_NAN;
        return n;
    }
    if (!exponent && !fraction)
        return n;
    n.kind = FINITE;
    if (exponent) {
        n.significand = (fraction | 1ull << f->fraction_bits) << (62 - f->fraction_bits);
        n.exponent = exponent - f->bias;
    } else {
        int shift = __builtin_clzll(fraction) - 1;
        n.significand = fraction << shift;
        n.exponent = 1 - f->bias + (62 - f->fraction_bits) - shift;
    }
    return n;
}

static uint64_t shift_right_sticky(uint64_t v, int n)
{
    if (n <= 0)
        return v;
    return n > 63 ? v != 0 : v >> n | ((v & ((1ull << n) - 1)) != 0);
}

/* Would a magnitude with these bits below the last place go up? */
static bool rounds_up(IrRound round, bool negative, bool odd, uint64_t below, uint64_t half)
{
    switch (round) {
    case FROUND_RNE:
        return below > half || (below == half && odd);
    case FROUND_RMM:
        return below >= half;
    case FROUND_RDN:
        return negative && below;
    case FROUND_RUP:
        return !negative && below;
    default:
        return false;
    }
}

static uint64_t overflowed(const Format *f, Context *c, bool negative)
{
    bool infinite =
        c->round == FROUND_RNE || c->round == FROUND_RMM || c->round == (negative ? FROUND_RDN : FROUND_RUP);
    uint64_t max = ((uint64_t)f->exponent_max << f->fraction_bits) - !infinite;
    c->flags |= IR_FP_OF | IR_FP_NX;
    return max | (uint64_t)negative << sign_shift(f);
}

/* significand: bit 62 leading (any other is normalised first), lowest bit sticky */
static uint64_t pack(const Format *f, Context *c, bool negative, int exponent, uint64_t significand)
{
    uint64_t sign = (uint64_t)negative << sign_shift(f);
    if (!significand)
        return sign;
    int lead = __builtin_clzll(significand) - 1;
    if (lead < 0) {
        significand = shift_right_sticky(significand, 1);
        exponent++;
    } else {
        significand <<= lead;
        exponent -= lead;
    }
    int drop = 62 - f->fraction_bits, biased = exponent + f->bias;
    uint64_t middle = 1ull << (drop - 1), mask = (1ull << drop) - 1;
    bool tiny = false;
    if (biased < 1) { /* subnormal: tiny unless rounding at full precision would reach the smallest normal */
        bool reaches = biased == 0 && significand >> drop == (2ull << f->fraction_bits) - 1 &&
                       rounds_up(c->round, negative, true, significand & mask, middle);
        tiny = !reaches;
        significand = shift_right_sticky(significand, 1 - biased);
        biased = 0;
    }
    uint64_t below = significand & mask, result = significand >> drop;
    result += rounds_up(c->round, negative, result & 1, below, middle);
    if (below)
        c->flags |= IR_FP_NX | (tiny ? IR_FP_UF : 0);
    if (biased == 0) /* the leading bit, if rounding made one, is the exponent 1 */
        return sign | result;
    result +=
        (uint64_t)(biased - 1) << f->fraction_bits; /* the leading bit adds one to the exponent; so does a carry */
    if (result >> f->fraction_bits >= (uint64_t)f->exponent_max)
        return overflowed(f, c, negative);
    return sign | result;
}

static bool is_nan(Number n)
{
    return n.kind >= QUIET_NAN;
}

static uint64_t nan_result(const Format *f, Context *c, Number a, Number b)
{
    if (a.kind == SIGNALLING_NAN || b.kind == SIGNALLING_NAN)
        c->flags |= IR_FP_NV;
    return f->quiet_nan;
}
static uint64_t invalid(const Format *f, Context *c)
{
    c->flags |= IR_FP_NV;
    return f->quiet_nan;
}
static uint64_t infinity(const Format *f, bool negative)
{
    return (uint64_t)f->exponent_max << f->fraction_bits | (uint64_t)negative << sign_shift(f);
}
static uint64_t zero(const Format *f, bool negative)
{
    return (uint64_t)negative << sign_shift(f);
}

/* ---- sums of 128-bit significands: bit 126 leads ---- */

typedef struct Wide {
    bool negative;
    int exponent; /* of bit 126 */
    U128 significand;
} Wide;

static U128 wide_shift_sticky(U128 v, int n)
{
    if (n <= 0)
        return v;
    if (n > 127)
        return v != 0;
    return v >> n | ((v & (((U128)1 << n) - 1)) != 0);
}

static uint64_t pack_wide(const Format *f, Context *c, Wide w)
{
    int lead = (uint64_t)(w.significand >> 64) ? __builtin_clzll(w.significand >> 64)
                                               : 64 + __builtin_clzll((uint64_t)w.significand);
    if (lead == 0) {
        w.significand = wide_shift_sticky(w.significand, 1);
        w.exponent++;
    } else {
        w.significand <<= lead - 1;
        w.exponent -= lead - 1;
    }
    uint64_t high = w.significand >> 64, low = w.significand;
    return pack(f, c, w.negative, w.exponent, high | (low != 0));
}

static uint64_t add_wide(const Format *f, Context *c, Wide a, Wide b)
{
    if (!b.significand)
        return pack_wide(f, c, a);
    if (!a.significand)
        return pack_wide(f, c, b);
    if (a.exponent < b.exponent || (a.exponent == b.exponent && a.significand < b.significand)) {
        Wide t = a;
        a = b;
        b = t;
    }
    b.significand = wide_shift_sticky(b.significand, a.exponent - b.exponent);
    if (a.negative == b.negative)
        a.significand += b.significand;
    else
        a.significand -= b.significand;
    if (!a.significand)
        return zero(f, c->round == FROUND_RDN);
    return pack_wide(f, c, a);
}

static Wide widen(Number n)
{
    return (Wide){ n.negative, n.exponent, (U128)n.significand << 64 };
}

static uint64_t add(const Format *f, Context *c, Number a, Number b)
{
    if (is_nan(a) || is_nan(b))
        return nan_result(f, c, a, b);
    if (a.kind == INFINITE || b.kind == INFINITE) {
        if (a.kind == b.kind && a.negative != b.negative)
            return invalid(f, c);
        return infinity(f, a.kind == INFINITE ? a.negative : b.negative);
    }
    if (a.kind == ZERO && b.kind == ZERO)
        return zero(f, a.negative == b.negative ? a.negative : c->round == FROUND_RDN);
    return add_wide(f, c, widen(a), widen(b));
}

static uint64_t multiply(const Format *f, Context *c, Number a, Number b)
{
    bool negative = a.negative != b.negative;
    if (is_nan(a) || is_nan(b))
        return nan_result(f, c, a, b);
    if (a.kind == INFINITE || b.kind == INFINITE)
        return a.kind == ZERO || b.kind == ZERO ? invalid(f, c) : infinity(f, negative);
    if (a.kind == ZERO || b.kind == ZERO)
        return zero(f, negative);
    U128 product = (U128)a.significand * b.significand; /* leads at bit 124 or 125 */
    return pack_wide(f, c, (Wide){ negative, a.exponent + b.exponent + 2, product });
}

static uint64_t divide(const Format *f, Context *c, Number a, Number b)
{
    bool negative = a.negative != b.negative;
    if (is_nan(a) || is_nan(b))
        return nan_result(f, c, a, b);
    if (a.kind == INFINITE)
        return b.kind == INFINITE ? invalid(f, c) : infinity(f, negative);
    if (b.kind == INFINITE)
        return zero(f, negative);
    if (b.kind == ZERO) {
        if (a.kind == ZERO)
            return invalid(f, c);
        c->flags |= IR_FP_DZ;
        return infinity(f, negative);
    }
    if (a.kind == ZERO)
        return zero(f, negative);
    U128 dividend = (U128)a.significand << 62;
    uint64_t quotient = dividend / b.significand; /* leads at bit 61 or 62 */
    quotient |= dividend % b.significand != 0;
    return pack(f, c, negative, a.exponent - b.exponent, quotient);
}

static uint64_t square_root(const Format *f, Context *c, Number a)
{
    if (is_nan(a))
        return nan_result(f, c, a, a);
    if (a.kind == ZERO)
        return zero(f, a.negative);
    if (a.negative)
        return invalid(f, c);
    if (a.kind == INFINITE)
        return infinity(f, false);
    /* significand * 2^62 (or twice that, for an odd exponent): its root leads at bit 62 */
    U128 v = (U128)a.significand << (a.exponent & 1 ? 63 : 62), rest = v;
    uint64_t root = 0;
    for (int bit = 62; bit >= 0; bit--) {
        U128 trial = ((U128)root << (bit + 1)) + ((U128)1 << 2 * bit);
        if (rest >= trial) {
            rest -= trial;
            root |= 1ull << bit;
        }
    }
    return pack(f, c, false, a.exponent >> 1, root | (rest != 0));
}

static uint64_t fused(const Format *f, Context *c, Number x, Number y, Number z)
{
    bool negative = x.negative != y.negative;
    bool undefined = (x.kind == INFINITE && y.kind == ZERO) || (x.kind == ZERO && y.kind == INFINITE);
    if (undefined)
        return invalid(f, c);
    if (is_nan(x) || is_nan(y) || is_nan(z)) {
        nan_result(f, c, x, y);
        return nan_result(f, c, z, z);
    }
    if (x.kind == INFINITE || y.kind == INFINITE)
        return z.kind == INFINITE && z.negative != negative ? invalid(f, c) : infinity(f, negative);
    if (z.kind == INFINITE)
        return infinity(f, z.negative);
    if (x.kind == ZERO || y.kind == ZERO) {
        if (z.kind == ZERO)
            return zero(f, negative == z.negative ? negative : c->round == FROUND_RDN);
        return pack_wide(f, c, widen(z));
    }
    U128 product = (U128)x.significand * y.significand;
    Wide p = { negative, x.exponent + y.exponent + 1, product << 1 };
    if (!(p.significand >> 126)) {
        p.significand <<= 1;
        p.exponent--;
    }
    return z.kind == ZERO ? pack_wide(f, c, p) : add_wide(f, c, p, widen(z));
}

/* -1, 0, 1; 2: unordered */
static int compare(Number a, Number b)
{
    if (is_nan(a) || is_nan(b))
        return 2;
    if (a.kind == ZERO && b.kind == ZERO)
        return 0;
    if (a.negative != b.negative || a.kind == ZERO || b.kind == ZERO)
        return a.kind != ZERO && (b.kind == ZERO || a.negative != b.negative) ? (a.negative ? -1 : 1)
                                                                              : (b.negative ? 1 : -1);
    int order = a.kind != b.kind           ? (a.kind > b.kind ? 1 : -1)
                : a.kind == INFINITE       ? 0
                : a.exponent != b.exponent ? (a.exponent > b.exponent ? 1 : -1)
                                           : (a.significand > b.significand) - (a.significand < b.significand);
    return a.negative ? -order : order;
}

static uint64_t minmax(const Format *f, Context *c, Number a, Number b, uint64_t a_bits, uint64_t b_bits, bool maximum)
{
    if (a.kind == SIGNALLING_NAN || b.kind == SIGNALLING_NAN)
        c->flags |= IR_FP_NV;
    if (is_nan(a))
        return is_nan(b) ? f->quiet_nan : b_bits;
    if (is_nan(b))
        return a_bits;
    int order = compare(a, b);
    if (order == 0)
        order = a.negative == b.negative ? 0 : a.negative ? -1 : 1;
    return (order < 0) == maximum ? b_bits : a_bits;
}

static uint64_t compare_flag(Context *c, Number a, Number b, IrFcmp kind, bool quiet)
{
    int order = compare(a, b);
    if (order == 2) {
        if ((kind != FCMP_EQ && !quiet) || a.kind == SIGNALLING_NAN || b.kind == SIGNALLING_NAN)
            c->flags |= IR_FP_NV;
        return 0;
    }
    return kind == FCMP_EQ ? order == 0 : kind == FCMP_LT ? order < 0 : order <= 0;
}

/* ---- conversions ---- */

static uint64_t convert(const Format *to, Context *c, Number a)
{
    if (is_nan(a))
        return nan_result(to, c, a, a);
    if (a.kind == INFINITE)
        return infinity(to, a.negative);
    return a.kind == ZERO ? zero(to, a.negative) : pack(to, c, a.negative, a.exponent, a.significand);
}

static uint64_t to_integer(Context *c, Number a, bool wide, bool is_unsigned)
{
    uint64_t max = is_unsigned ? (wide ? UINT64_MAX : UINT32_MAX) : wide ? INT64_MAX : INT32_MAX;
    uint64_t min = is_unsigned ? 0 : wide ? (uint64_t)INT64_MIN : (uint64_t)(int64_t)INT32_MIN; /* least, as stored */
    uint64_t least = is_unsigned ? 0 : wide ? 1ull << 63 : 1ull << 31;                          /* its magnitude */
    if (is_nan(a) || a.kind == INFINITE || (a.kind == FINITE && a.exponent > 63)) {
        c->flags |= IR_FP_NV;
        return is_nan(a) || !a.negative ? max : min;
    }
    if (a.kind == ZERO)
        return 0;
    /* magnitude in 64.64 bits */
    U128 v = a.exponent >= -1 ? (U128)a.significand << (a.exponent + 2)
                              : wide_shift_sticky((U128)a.significand, -(a.exponent + 2));
    uint64_t magnitude = v >> 64, below = v;
    bool up = rounds_up(c->round, a.negative, magnitude & 1, below, 1ull << 63);
    if ((up && magnitude == UINT64_MAX) || (magnitude + up > (a.negative ? least : max))) {
        c->flags |= IR_FP_NV;
        return a.negative ? min : max;
    }
    magnitude += up;
    if (below)
        c->flags |= IR_FP_NX;
    return a.negative ? 0 - magnitude : magnitude;
}

/* To an integer in the same format. */
static uint64_t round_to_integer(const Format *f, Context *c, Number a, uint64_t bits, bool inexact)
{
    if (is_nan(a))
        return nan_result(f, c, a, a);
    if (a.kind != FINITE || a.exponent >= f->fraction_bits)
        return bits;
    U128 v = a.exponent >= -1 ? (U128)a.significand << (a.exponent + 2)
                              : wide_shift_sticky((U128)a.significand, -(a.exponent + 2));
    uint64_t magnitude = v >> 64, below = v;
    magnitude += rounds_up(c->round, a.negative, magnitude & 1, below, 1ull << 63);
    if (below && inexact)
        c->flags |= IR_FP_NX;
    return pack(f, c, a.negative, 62, magnitude);
}

static uint64_t from_integer(const Format *f, Context *c, uint64_t v, bool wide, bool is_unsigned)
{
    if (!wide)
        v = is_unsigned ? (uint32_t)v : (uint64_t)(int64_t)(int32_t)v;
    bool negative = !is_unsigned && (int64_t)v < 0;
    uint64_t magnitude = negative ? 0 - v : v;
    return pack(f, c, negative, 62, magnitude);
}

uint64_t soft_fp(CpuState *cs, uint64_t a, uint64_t b, uint64_t c, uint32_t what)
{
    unsigned op = what & 0xff, type = what >> 8 & 15, round = what >> 12 & 15, imm = what >> 16 & 15,
             source = what >> 20 & 15;
    const Format *f = format_of(type);
    Context context = { round == FROUND_DYN ? cs->fp_round : round, 0 };
    uint64_t result;
    if (op == OP_fcmp) {
        const Format *s = format_of(source);
        result = compare_flag(&context, unpack(s, a), unpack(s, b), round, imm & SOFT_QUIET);
    } else if (op == OP_fftoi) {
        result = to_integer(&context, unpack(format_of(source), a), type == IR_I64, imm);
    } else if (op == OP_fitof) {
        result = from_integer(f, &context, a, source == IR_I64, imm);
    } else if (op == OP_fcvt) {
        result = convert(f, &context, unpack(format_of(source), a));
    } else {
        uint64_t mask = UINT64_MAX >> (63 - f->sign_bit);
        Number x = unpack(f, a), y = unpack(f, b), z = unpack(f, c);
        switch (op) {
        case OP_fadd:
            result = add(f, &context, x, y);
            break;
        case OP_fsub:
            y.negative = !y.negative;
            result = add(f, &context, x, y);
            break;
        case OP_fmul:
            result = multiply(f, &context, x, y);
            break;
        case OP_fdiv:
            result = divide(f, &context, x, y);
            break;
        case OP_fsqrt:
            result = square_root(f, &context, x);
            break;
        case OP_fma:
            x.negative ^= imm & IR_FMA_NEG_PRODUCT;
            z.negative ^= imm >> 1 & 1;
            result = fused(f, &context, x, y, z);
            break;
        case SOFT_ROUND:
            result = round_to_integer(f, &context, x, a & mask, imm & 1);
            break;
        default:
            if (imm & SOFT_NAN_WINS && (is_nan(x) || is_nan(y)))
                result = nan_result(f, &context, x, y);
            else
                result = minmax(f, &context, x, y, a & mask, b & mask, op == OP_fmax);
        }
    }
    cs->fp_flags |= context.flags;
    return result;
}
