/*
 * IEEE 754-2019 arithmetic in integers. See tcg/softfloat.h.
 *
 * Every operation unpacks its inputs into a class, a sign, an exponent and a 64-bit significand, computes exactly (or
 * with a sticky lowest bit, where all further bits are known not to matter), and rounds once in round_pack.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/softfloat.h"

typedef unsigned __int128 uint128;

typedef struct Format {
    unsigned width;
    unsigned precision; /* bits of the significand, with the implicit one */
    int emin, emax;     /* exponents of the smallest and the greatest normal binade */
} Format;

static const Format formats[] = {
    [IR_F32] = { 32, 24, -126, 127 },
    [IR_F64] = { 64, 53, -1022, 1023 },
};

typedef enum { CLASS_ZERO, CLASS_NUMBER, CLASS_INFINITY, CLASS_QUIET_NAN, CLASS_SIGNALLING_NAN } Class;

/* A number is (-1)^sign * sig * 2^(exp - 63), with bit 63 of sig set. */
typedef struct Unpacked {
    Class class;
    bool sign;
    int exp;
    uint64_t sig;
} Unpacked;

/* One operation under way. */
typedef struct Soft {
    const Format *format; /* of the result */
    IrRound round;
    uint8_t flags;
} Soft;

/* ---- packing and unpacking ---- */

static uint64_t infinity(const Format *f)
{
    return (uint64_t)(f->emax - f->emin + 2) << (f->precision - 1);
}

static uint64_t with_sign(const Format *f, bool sign, uint64_t magnitude)
{
    return (uint64_t)sign << (f->width - 1) | magnitude;
}

static uint64_t canonical_nan(const Format *f)
{
    return infinity(f) | (uint64_t)1 << (f->precision - 2);
}

static Unpacked unpack(const Format *f, uint64_t bits)
{
    unsigned fraction_bits = f->precision - 1;
    uint64_t fraction = bits & (((uint64_t)1 << fraction_bits) - 1);
    int max_biased = f->emax - f->emin + 2;
    int biased = (int)(bits >> fraction_bits) & max_biased;
    Unpacked u = { .sign = bits >> (f->width - 1) & 1 };

    if (biased == max_biased) {
        bool quiet = fraction >> (fraction_bits - 1);
        u.class = !fraction ? CLASS_INFINITY : quiet ? CLASS_QUIET_NAN : CLASS_SIGNALLING_NAN;
    } else if (biased) {
        u.class = CLASS_NUMBER;
        u.sig = (fraction | (uint64_t)1 << fraction_bits) << (64 - f->precision);
        u.exp = biased - 1 + f->emin;
    } else if (fraction) {
        unsigned zeros = (unsigned)__builtin_clzll(fraction);
        u.class = CLASS_NUMBER;
        u.sig = fraction << zeros;
        u.exp = f->emin + (int)(64 - f->precision) - (int)zeros;
    }
    return u;
}

static bool is_nan(Unpacked u)
{
    return u.class >= CLASS_QUIET_NAN;
}

/* The low bits of sig that are dropped: is the magnitude rounded up? */
static bool rounds_up(IrRound round, bool sign, uint64_t sig, unsigned dropped)
{
    uint64_t lost = sig & (((uint64_t)1 << dropped) - 1), half = (uint64_t)1 << (dropped - 1);
    switch (round) {
    case FROUND_RNE:
        return lost > half || (lost == half && (sig >> dropped & 1));
    case FROUND_RMM:
        return lost >= half;
    case FROUND_RDN:
        return sign && lost;
    case FROUND_RUP:
        return !sign && lost;
    default:
        return false;
    }
}

/* Shift right; what falls off is remembered in the lowest bit. */
static uint64_t shift_sticky(uint64_t value, unsigned count)
{
    return count == 0 ? value : count >= 64 ? value != 0 : value >> count | (value << (64 - count) != 0);
}

static uint128 shift_sticky128(uint128 value, unsigned count)
{
    return count == 0 ? value : count >= 128 ? value != 0 : value >> count | (value << (128 - count) != 0);
}

static uint64_t overflow(Soft *s, bool sign)
{
    bool away = s->round == FROUND_RNE || s->round == FROUND_RMM || s->round == (sign ? FROUND_RDN : FROUND_RUP);
    s->flags |= IR_FP_OF | IR_FP_NX;
    return with_sign(s->format, sign, infinity(s->format) - !away);
}

/* Round a number (sig's lowest bit may be sticky) to the result's format. */
static uint64_t round_pack(Soft *s, bool sign, int exp, uint64_t sig)
{
    const Format *f = s->format;
    unsigned dropped = 64 - f->precision;
    bool tiny = false;

    if (exp < f->emin) {
        /* Tiny after rounding: not if rounding with an unbounded exponent would have reached the smallest normal. */
        bool carries = sig >> dropped == ((uint64_t)1 << f->precision) - 1 && rounds_up(s->round, sign, sig, dropped);
        tiny = exp < f->emin - 1 || !carries;
        sig = shift_sticky(sig, (unsigned)(f->emin - exp));
        exp = f->emin;
    }
    bool inexact = sig & (((uint64_t)1 << dropped) - 1);
    uint64_t rounded = (sig >> dropped) + rounds_up(s->round, sign, sig, dropped);
    /* The implicit one, if there is one, and a carry out of the fraction both count the exponent up. */
    if (exp > f->emax || ((uint64_t)(exp - f->emin) << (f->precision - 1)) + rounded >= infinity(f))
        return overflow(s, sign);
    if (inexact)
        s->flags |= tiny ? IR_FP_NX | IR_FP_UF : IR_FP_NX;
    return with_sign(f, sign, ((uint64_t)(exp - f->emin) << (f->precision - 1)) + rounded);
}

/* The same for a 128-bit significand of any magnitude but 0, whose bit 127 stands for 2^exp. */
static uint64_t round_pack128(Soft *s, bool sign, int exp, uint128 sig)
{
    uint64_t high = (uint64_t)(sig >> 64);
    unsigned zeros = high ? (unsigned)__builtin_clzll(high) : 64 + (unsigned)__builtin_clzll((uint64_t)sig);
    sig <<= zeros;
    return round_pack(s, sign, exp - (int)zeros, (uint64_t)(sig >> 64) | ((uint64_t)sig != 0));
}

static uint64_t zero(Soft *s, bool sign)
{
    return with_sign(s->format, sign, 0);
}

static uint64_t invalid(Soft *s)
{
    s->flags |= IR_FP_NV;
    return canonical_nan(s->format);
}

/* The result of an operation of which an input is NaN. */
static uint64_t nan_result(Soft *s, Unpacked a, Unpacked b, Unpacked c)
{
    if (a.class == CLASS_SIGNALLING_NAN || b.class == CLASS_SIGNALLING_NAN || c.class == CLASS_SIGNALLING_NAN)
        s->flags |= IR_FP_NV;
    return canonical_nan(s->format);
}

/* ---- sums and products ---- */

/*
 * Add two magnitudes with signs; bit 126 of the significands stands for 2^exp (bit 127 has room for a carry). The
 * lowest 21 bits of both are 0, so that a sum that cancels (exponents at most 1 apart) loses nothing to the sticky bit.
 */
static uint64_t sum(Soft *s, bool sign_a, int exp_a, uint128 a, bool sign_b, int exp_b, uint128 b)
{
    if (exp_a > exp_b) {
        b = shift_sticky128(b, (unsigned)(exp_a - exp_b));
    } else {
        a = shift_sticky128(a, (unsigned)(exp_b - exp_a));
        exp_a = exp_b;
    }
    if (sign_a == sign_b)
        return round_pack128(s, sign_a, exp_a + 1, a + b);
    if (a == b)
        return zero(s, s->round == FROUND_RDN);
    return a > b ? round_pack128(s, sign_a, exp_a + 1, a - b) : round_pack128(s, sign_b, exp_a + 1, b - a);
}

static uint64_t soft_add(Soft *s, Unpacked a, Unpacked b)
{
    if (is_nan(a) || is_nan(b))
        return nan_result(s, a, b, b);
    if (a.class == CLASS_INFINITY)
        return b.class == CLASS_INFINITY && a.sign != b.sign ? invalid(s)
                                                             : with_sign(s->format, a.sign, infinity(s->format));
    if (b.class == CLASS_INFINITY)
        return with_sign(s->format, b.sign, infinity(s->format));
    if (a.class == CLASS_ZERO && b.class == CLASS_ZERO)
        return zero(s, a.sign == b.sign ? a.sign : s->round == FROUND_RDN);
    if (a.class == CLASS_ZERO)
        return round_pack(s, b.sign, b.exp, b.sig);
    if (b.class == CLASS_ZERO)
        return round_pack(s, a.sign, a.exp, a.sig);
    return sum(s, a.sign, a.exp, (uint128)a.sig << 63, b.sign, b.exp, (uint128)b.sig << 63);
}

static uint64_t soft_mul(Soft *s, Unpacked a, Unpacked b)
{
    bool sign = a.sign != b.sign;
    if (is_nan(a) || is_nan(b))
        return nan_result(s, a, b, b);
    if (a.class == CLASS_INFINITY || b.class == CLASS_INFINITY) {
        if (a.class == CLASS_ZERO || b.class == CLASS_ZERO)
            return invalid(s);
        return with_sign(s->format, sign, infinity(s->format));
    }
    if (a.class == CLASS_ZERO || b.class == CLASS_ZERO)
        return zero(s, sign);
    return round_pack128(s, sign, a.exp + b.exp + 1, (uint128)a.sig * b.sig);
}

/* a * b + c. An infinity times zero is invalid whatever c is. */
static uint64_t soft_fma(Soft *s, Unpacked a, Unpacked b, Unpacked c)
{
    bool sign = a.sign != b.sign;
    bool infinite = a.class == CLASS_INFINITY || b.class == CLASS_INFINITY;
    if ((a.class == CLASS_INFINITY && b.class == CLASS_ZERO) || (a.class == CLASS_ZERO && b.class == CLASS_INFINITY))
        return invalid(s);
    if (is_nan(a) || is_nan(b) || is_nan(c))
        return nan_result(s, a, b, c);
    if (c.class == CLASS_INFINITY)
        return infinite && sign != c.sign ? invalid(s) : with_sign(s->format, c.sign, infinity(s->format));
    if (infinite)
        return with_sign(s->format, sign, infinity(s->format));
    if (a.class == CLASS_ZERO || b.class == CLASS_ZERO)
        return soft_add(s, (Unpacked){ .class = CLASS_ZERO, .sign = sign }, c);
    if (c.class == CLASS_ZERO)
        return soft_mul(s, a, b);
    uint128 product = (uint128)a.sig * b.sig;
    int exp = a.exp + b.exp;
    if (product >> 127) { /* bit 126 stands for 2^exp: the lowest bits are 0, nothing is lost */
        product >>= 1;
        exp++;
    }
    return sum(s, sign, exp, product, c.sign, c.exp, (uint128)c.sig << 63);
}

/* ---- quotients and roots ---- */

static uint64_t soft_div(Soft *s, Unpacked a, Unpacked b)
{
    bool sign = a.sign != b.sign;
    if (is_nan(a) || is_nan(b))
        return nan_result(s, a, b, b);
    if (a.class == CLASS_INFINITY)
        return b.class == CLASS_INFINITY ? invalid(s) : with_sign(s->format, sign, infinity(s->format));
    if (b.class == CLASS_INFINITY)
        return zero(s, sign);
    if (b.class == CLASS_ZERO) {
        if (a.class == CLASS_ZERO)
            return invalid(s);
        s->flags |= IR_FP_DZ;
        return with_sign(s->format, sign, infinity(s->format));
    }
    if (a.class == CLASS_ZERO)
        return zero(s, sign);
    bool less = a.sig < b.sig;
    uint128 dividend = (uint128)a.sig << (less ? 64 : 63);
    uint64_t quotient = (uint64_t)(dividend / b.sig);
    return round_pack(s, sign, a.exp - b.exp - less, quotient | (dividend % b.sig != 0));
}

/* Integer square root, rounded down; *exact: there is no remainder. value >= 2^126. */
static uint64_t square_root(uint128 value, bool *exact)
{
    uint128 root = 0, bit = (uint128)1 << 126;
    for (; bit; bit >>= 2) {
        if (value >= root + bit) {
            value -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    *exact = value == 0;
    return (uint64_t)root;
}

static uint64_t soft_sqrt(Soft *s, Unpacked a)
{
    if (is_nan(a))
        return nan_result(s, a, a, a);
    if (a.class == CLASS_ZERO)
        return zero(s, a.sign);
    if (a.sign)
        return invalid(s);
    if (a.class == CLASS_INFINITY)
        return infinity(s->format);
    bool odd = a.exp & 1, exact;
    uint64_t root = square_root((uint128)a.sig << (odd ? 64 : 63), &exact);
    return round_pack(s, false, (a.exp - odd) / 2, root | !exact);
}

/* ---- comparisons ---- */

/* Order of two that are not NaN: negative, 0, positive. strict_zero: -0 is less than +0. */
static int order(Unpacked a, Unpacked b, bool strict_zero)
{
    if (a.class == CLASS_ZERO && b.class == CLASS_ZERO)
        return strict_zero ? b.sign - a.sign : 0;
    if (a.class == CLASS_ZERO)
        return b.sign ? 1 : -1;
    if (b.class == CLASS_ZERO || a.sign != b.sign)
        return a.sign ? -1 : 1;
    int magnitude = a.class != b.class ? (int)a.class - (int)b.class
                    : a.exp != b.exp   ? (a.exp > b.exp ? 1 : -1)
                                       : (a.sig > b.sig) - (a.sig < b.sig);
    return a.sign ? -magnitude : magnitude;
}

static bool soft_compare(Soft *s, IrFcmp cond, Unpacked a, Unpacked b)
{
    if (is_nan(a) || is_nan(b)) {
        if (cond != FCMP_EQ || a.class == CLASS_SIGNALLING_NAN || b.class == CLASS_SIGNALLING_NAN)
            s->flags |= IR_FP_NV;
        return false;
    }
    int o = order(a, b, false);
    return cond == FCMP_EQ ? o == 0 : cond == FCMP_LT ? o < 0 : o <= 0;
}

static uint64_t soft_min_max(Soft *s, bool max, uint64_t a_bits, uint64_t b_bits)
{
    Unpacked a = unpack(s->format, a_bits), b = unpack(s->format, b_bits);
    if (is_nan(a) || is_nan(b)) {
        uint64_t nan = nan_result(s, a, b, b);
        return !is_nan(a) ? a_bits : !is_nan(b) ? b_bits : nan;
    }
    return (order(a, b, true) < 0) != max ? a_bits : b_bits;
}

/* ---- conversions ---- */

static uint64_t soft_convert(Soft *s, Unpacked a)
{
    switch (a.class) {
    case CLASS_ZERO:
        return zero(s, a.sign);
    case CLASS_NUMBER:
        return round_pack(s, a.sign, a.exp, a.sig);
    case CLASS_INFINITY:
        return with_sign(s->format, a.sign, infinity(s->format));
    default:
        return nan_result(s, a, a, a);
    }
}

static uint64_t soft_from_int(Soft *s, IrType from, bool is_unsigned, uint64_t a)
{
    if (from == IR_I32)
        a = is_unsigned ? (uint32_t)a : (uint64_t)(int32_t)a;
    bool sign = !is_unsigned && (int64_t)a < 0;
    uint64_t magnitude = sign ? -a : a;
    if (!magnitude)
        return 0;
    unsigned zeros = (unsigned)__builtin_clzll(magnitude);
    return round_pack(s, sign, 63 - (int)zeros, magnitude << zeros);
}

/* Saturates to the type's limits, invalid and nothing else then. */
static uint64_t soft_to_int(Soft *s, IrType type, bool is_unsigned, Unpacked a)
{
    unsigned width = type == IR_I32 ? 32 : 64;
    uint64_t greatest = UINT64_MAX >> (64 - width + !is_unsigned);
    uint64_t limit = !a.sign ? greatest : is_unsigned ? 0 : greatest + 1; /* of the magnitude, on this side of 0 */
    bool out = is_nan(a) || a.class == CLASS_INFINITY || (a.class == CLASS_NUMBER && a.exp > 63);
    uint64_t magnitude = 0;

    if (!out && a.class == CLASS_NUMBER) {
        /* One bit of fraction and the sticky bit below it stay under the point: two words, as the integer may fill one.
         */
        uint128 fixed = shift_sticky128((uint128)a.sig << 2, (unsigned)(63 - a.exp > 100 ? 100 : 63 - a.exp));
        uint64_t low = ((uint64_t)(fixed >> 2) & 1) << 2 | ((uint64_t)fixed & 3);
        bool up = rounds_up(s->round, a.sign, low, 2);
        magnitude = (uint64_t)(fixed >> 2) + up;
        out = magnitude > limit || (up && magnitude == 0);
        if (!out && ((uint64_t)fixed & 3))
            s->flags |= IR_FP_NX;
    }
    if (out) {
        s->flags |= IR_FP_NV;
        magnitude = is_nan(a) ? greatest : limit;
    }
    uint64_t result = a.sign && !is_nan(a) ? -magnitude : magnitude;
    return type == IR_I32 ? (uint64_t)(int32_t)result : result;
}

/* ---- entry ---- */

uint64_t soft_fp_eval(uint64_t a, uint64_t b, uint64_t c, uint32_t what, IrRound dynamic, uint8_t *flags)
{
    IrOp op = (IrOp)(what & 0xff);
    IrType type = (IrType)(what >> 8 & 15), from = (IrType)(what >> 12 & 15);
    unsigned aux = what >> 16 & 15, imm = what >> 20 & 15;
    Soft s = { .format = &formats[type == IR_F32 ? IR_F32 : IR_F64],
               .round = aux == FROUND_DYN ? dynamic : (IrRound)aux };
    const Format *in = &formats[from == IR_F32 ? IR_F32 : IR_F64];
    Unpacked ua = unpack(in, a), ub = unpack(in, b), uc = unpack(in, c);
    uint64_t result = 0;

    switch (op) {
    case OP_fsub:
        ub.sign = !ub.sign;
        result = soft_add(&s, ua, ub);
        break;
    case OP_fadd:
        result = soft_add(&s, ua, ub);
        break;
    case OP_fmul:
        result = soft_mul(&s, ua, ub);
        break;
    case OP_fdiv:
        result = soft_div(&s, ua, ub);
        break;
    case OP_fsqrt:
        result = soft_sqrt(&s, ua);
        break;
    case OP_fma:
        ua.sign ^= (imm & IR_FMA_NEG_PRODUCT) != 0;
        uc.sign ^= (imm & IR_FMA_NEG_ADDEND) != 0;
        result = soft_fma(&s, ua, ub, uc);
        break;
    case OP_fmin:
    case OP_fmax:
        if (type == IR_F32) {
            a = (uint32_t)a;
            b = (uint32_t)b;
        }
        result = soft_min_max(&s, op == OP_fmax, a, b);
        break;
    case OP_fcmp:
        result = soft_compare(&s, (IrFcmp)aux, ua, ub);
        break;
    case OP_fcvt:
        result = soft_convert(&s, ua);
        break;
    case OP_fftoi:
        result = soft_to_int(&s, type, imm & 1, ua);
        break;
    case OP_fitof:
        result = soft_from_int(&s, from, imm & 1, a);
        break;
    default:
        g_assert_not_reached();
    }
    *flags = s.flags;
    return result;
}

uint64_t soft_fp(CpuState *cs, uint64_t a, uint64_t b, uint64_t c, uint32_t what)
{
    uint8_t flags;
    uint64_t result = soft_fp_eval(a, b, c, what, (IrRound)cs->fp_round, &flags);
    cs->fp_flags |= flags;
    return result;
}
