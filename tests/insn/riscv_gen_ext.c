/*
 * Instructions of riscv-gen from extensions that a CPU may lack, and how the oracle does those that it does not know:
 * the two programs differ there, at equal length. Two ways:
 *
 *  - either(): other instructions that do the same with whatever the registers hold;
 *  - known(): operands come from constants beside the code, so the oracle's program loads the result and sets the flags
 *    that a plain C function here has worked out.
 * SPDX-License-Identifier: MIT
 */
#include "bf16_model.h"
#include "riscv_gen.h"
#include <math.h>
#include <string.h>

#define NOP 0x13u
const char *const oracle_model = "model in riscv_gen_ext.c";

/* Rhea's program gets the first row of instructions, the oracle's the second; the shorter is filled up. */
static void either(const uint32_t *ours, unsigned our_count, const uint32_t *theirs, unsigned their_count)
{
    const uint32_t *code = machine_mode ? ours : theirs;
    oracle = "qemu-user, equal instructions";
    unsigned count = machine_mode ? our_count : their_count, room = our_count > their_count ? our_count : their_count;
    for (unsigned i = 0; i < room; i++)
        put(i < count ? code[i] : NOP);
}

/* One instruction with operands and outcome. Registers: 0-31 integer, 32-63 floating point. */
typedef struct Known {
    uint32_t insn;
    unsigned load_count, loads[2];
    uint64_t values[2];
    unsigned result; /* register; 0: none */
    uint64_t value;
    unsigned flags; /* that accrue */
} Known;

static void put_load(int r, int base, int offset)
{
    put(r < 32 ? enc_load(r, base, offset) : enc_i(0x3007, r - 32, base, offset));
}

static void known(const Known *k)
{
    int base;
    oracle = oracle_model;
    do
        base = dest_x();
    while (!base || base == (int)k->loads[0] || base == (int)k->loads[1]);
    put(0x17 | base << 7); /* auipc */
    put(enc_j(X0, 4 + 8 * 3));
    uint64_t constants[] = { k->values[0], k->values[1], k->value };
    for (unsigned i = 0; i < 3; i++) {
        put(constants[i]);
        put(constants[i] >> 32);
    }
    for (unsigned i = 0; i < k->load_count; i++)
        put_load(k->loads[i], base, 8 + 8 * i);
    if (machine_mode) {
        put(k->insn);
        put(NOP);
    } else {
        if (k->result)
            put_load(k->result, base, 8 + 8 * 2);
        else
            put(NOP);
        put(OPREG(0, 6, 0x73) | k->flags << 15 | 1 << 20); /* csrsi fflags */
    }
}

/* ---- Zicond ---- */
static void gen_czero(const Kind *k)
{
    int rd = dest_x(), rs1 = any_x(), rs2 = any_x();
    uint32_t ours = k->match | rd << 7 | rs1 << 15 | rs2 << 20;
    uint32_t theirs[] = { enc_b(OPREG(0, k->what, 0x63), rs2, X0, 12), enc_i(0x13, rd, X0, 0), enc_j(X0, 8),
                          enc_i(0x13, rd, rs1, 0) };
    either(&ours, 1, theirs, 4);
}

/* ---- Zkne, Zknd ---- */
static void gen_ks1i(const Kind *k)
{
    put(FUNARY(0x18, 16 | below(11), 1, 0x13) | dest_x() << 7 | any_x() << 15);
}

/* ---- floating point: formats by their number in instructions ---- */
enum { S, D, H, BF16 };
enum { NX = 1, UF = 2, OF = 4, DZ = 8, NV = 16 };
typedef struct Format {
    unsigned fraction, exponent; /* bits */
} Format;
static const Format formats[] = { [S] = { 23, 8 }, [D] = { 52, 11 }, [H] = { 10, 5 }, [BF16] = { 7, 8 } };

static uint64_t low_bits(unsigned n)
{
    return n >= 64 ? ~0ull : (1ull << n) - 1;
}
static unsigned width(unsigned f)
{
    return 1 + formats[f].exponent + formats[f].fraction;
}
static uint64_t box(unsigned f, uint64_t v)
{
    return v | ~low_bits(width(f));
}
static uint64_t infinity_of(unsigned f)
{
    return low_bits(formats[f].exponent) << formats[f].fraction;
}
static uint64_t quiet_nan(unsigned f)
{
    return infinity_of(f) | 1ull << (formats[f].fraction - 1);
}
/* What an operand of the format is in a register of 64 bits. */
static uint64_t unbox(unsigned f, uint64_t v)
{
    return (v | low_bits(width(f))) == ~0ull ? v & low_bits(width(f)) : quiet_nan(f);
}
static bool is_nan(unsigned f, uint64_t v)
{
    return (v & low_bits(width(f) - 1)) > infinity_of(f);
}
static bool is_signalling(unsigned f, uint64_t v)
{
    return is_nan(f, v) && !(v >> (formats[f].fraction - 1) & 1);
}
static uint64_t random_operand(unsigned f)
{
    for (;;) {
        uint64_t v = random_value(true), u = unbox(f, v);
        if (u != quiet_nan(f) || !below(8))
            return v;
    }
}

/* Any finite number of the formats fits a double. */
static double to_double(unsigned f, uint64_t v)
{
    unsigned fraction = formats[f].fraction, bias = low_bits(formats[f].exponent - 1);
    int exponent = v >> fraction & low_bits(formats[f].exponent);
    double significand = (v & low_bits(fraction)) | (exponent ? 1ull << fraction : 0);
    if (exponent == (int)low_bits(formats[f].exponent))
        significand = INFINITY;
    double d = ldexp(significand, (exponent ? exponent : 1) - (int)bias - (int)fraction);
    return v >> (width(f) - 1) & 1 ? -d : d;
}
/* Exactly representable values only. */
static uint64_t from_double(unsigned f, double d)
{
    unsigned fraction = formats[f].fraction;
    int exponent, bias = low_bits(formats[f].exponent - 1);
    uint64_t sign = (uint64_t) !!signbit(d) << (width(f) - 1);
    if (isinf(d))
        return sign | infinity_of(f);
    if (d == 0)
        return sign;
    double part = frexp(fabs(d), &exponent) * 2;
    exponent += bias - 1;
    if (exponent < 1)
        return sign | (uint64_t)ldexp(part, fraction + exponent - 1);
    return sign | (((uint64_t)exponent << fraction) + ((uint64_t)ldexp(part, fraction) & low_bits(fraction)));
}

static double round_double(double d, unsigned rm)
{
    switch (rm) {
    case 0:
        return nearbyint(d);
    case 1:
        return trunc(d);
    case 2:
        return floor(d);
    case 3:
        return ceil(d);
    default:
        return round(d);
    }
}

/* A rounding mode: put into the instruction, or into frm for the dynamic one. */
static unsigned choose_rounding(uint32_t *insn)
{
    unsigned rm = below(5);
    if (below(2)) {
        put(OPREG(0, 5, 0x73) | rm << 15 | 2 << 20); /* csrwi frm */
        *insn |= 7 << 12;
    } else {
        *insn |= rm << 12;
    }
    return rm;
}

/* Source registers and their values, in place. */
static Known known_operands(uint32_t match, unsigned format, unsigned count)
{
    Known k = { .insn = match, .load_count = count };
    for (unsigned i = 0; i < count; i++) {
        k.loads[i] = 32 + any_f();
        k.values[i] = random_operand(format);
        k.insn |= (k.loads[i] & 31) << (i ? 20 : 15);
    }
    if (count == 2 && k.loads[0] == k.loads[1])
        k.values[0] = k.values[1];
    return k;
}
static void known_result_f(Known *k, unsigned format, uint64_t v)
{
    k->result = 32 + any_f();
    k->insn |= (k->result & 31) << 7;
    k->value = box(format, v);
}
static void known_result_x(Known *k, uint64_t v)
{
    k->result = dest_x();
    k->insn |= k->result << 7;
    k->value = v;
}

/* ---- Zfa: Kind.what is the format ---- */
static void gen_fli(const Kind *k)
{
    static const double values[] = { -1,   0,     0x1p-16, 0x1p-15, 0x1p-8, 0x1p-7, 0.0625, 0.125, 0.25,   0.3125,
                                     .375, .4375, .5,      .625,    .75,    .875,   1,      1.25,  1.5,    1.75,
                                     2,    2.5,   3,       4,       8,      16,     128,    256,   0x1p15, 0x1p16 };
    unsigned n = below(32), f = k->what;
    uint64_t v = n == 1    ? 1ull << formats[f].fraction
                 : n == 30 ? infinity_of(f)
                 : n == 31 ? quiet_nan(f)
                           : from_double(f, f == H && n == 29 ? INFINITY : values[n]);
    Known i = { .insn = k->match | n << 15 };
    known_result_f(&i, f, v);
    known(&i);
}
static void gen_fminm(const Kind *k)
{
    unsigned f = k->what;
    bool maximum = k->match >> 12 & 1;
    Known i = known_operands(k->match, f, 2);
    uint64_t x = unbox(f, i.values[0]), y = unbox(f, i.values[1]), v;
    if (is_nan(f, x) || is_nan(f, y)) {
        v = quiet_nan(f);
        i.flags = is_signalling(f, x) || is_signalling(f, y) ? NV : 0;
    } else {
        double a = to_double(f, x), b = to_double(f, y);
        bool less = a < b || (a == b && signbit(a));
        v = less != maximum ? x : y;
    }
    known_result_f(&i, f, v);
    known(&i);
}
static void gen_fround(const Kind *k)
{
    unsigned f = k->what;
    uint32_t match = k->match;
    unsigned rm = choose_rounding(&match);
    Known i = known_operands(match, f, 1);
    uint64_t x = unbox(f, i.values[0]), v;
    if (is_nan(f, x)) {
        v = quiet_nan(f);
        i.flags = is_signalling(f, x) ? NV : 0;
    } else {
        double d = to_double(f, x), r = round_double(d, rm);
        v = from_double(f, copysign(r, d));
        i.flags = r != d && (k->match >> 20 & 1) ? NX : 0;
    }
    known_result_f(&i, f, v);
    known(&i);
}
static void gen_fleq(const Kind *k)
{
    unsigned f = k->what;
    Known i = known_operands(k->match, f, 2);
    uint64_t x = unbox(f, i.values[0]), y = unbox(f, i.values[1]), v = 0;
    if (is_nan(f, x) || is_nan(f, y))
        i.flags = is_signalling(f, x) || is_signalling(f, y) ? NV : 0;
    else
        v = k->match >> 12 & 1 ? to_double(f, x) < to_double(f, y) : to_double(f, x) <= to_double(f, y);
    known_result_x(&i, v);
    known(&i);
}
static void gen_fcvtmod(const Kind *k)
{
    Known i = known_operands(k->match, D, 1);
    if (below(3)) /* more that are out of range, and near its ends */
        i.values[0] = (i.values[0] & ~(2047ull << 52)) | (uint64_t)(1023 + 20 + below(80)) << 52;
    double d, t;
    memcpy(&d, &i.values[0], 8);
    int64_t v = 0;
    if (!isfinite(d)) {
        i.flags = NV;
    } else {
        t = trunc(d);
        i.flags = t < -0x1p31 || t > 0x1p31 - 1 ? NV : t != d ? NX : 0;
        double wrapped = fmod(t, 0x1p32);
        v = (int32_t)(uint32_t)(int64_t)wrapped;
    }
    known_result_x(&i, v);
    known(&i);
}
static void gen_fmvh(const Kind *k)
{
    Known i = known_operands(k->match, D, 1);
    known_result_x(&i, i.values[0] >> 32);
    known(&i);
}
static void gen_fmvp(const Kind *k)
{
    Known i = { .insn = k->match, .load_count = 2, .loads = { dest_x(), dest_x() }, .values = { rnd(), rnd() } };
    i.insn |= i.loads[0] << 15 | i.loads[1] << 20;
    if (i.loads[0] == i.loads[1])
        i.values[0] = i.values[1];
    uint32_t low = i.loads[0] ? i.values[0] : 0, high = i.loads[1] ? i.values[1] : 0;
    known_result_f(&i, D, (uint64_t)high << 32 | low);
    known(&i);
}

/* ---- Zfbfmin ---- */
static void gen_fcvt_s_bf16(const Kind *k)
{
    uint32_t match = k->match;
    choose_rounding(&match);
    Known i = known_operands(match, BF16, 1);
    known_result_f(&i, S, bf16_to_single(unbox(BF16, i.values[0]), &i.flags));
    known(&i);
}
static void gen_fcvt_bf16_s(const Kind *k)
{
    uint32_t match = k->match;
    unsigned rm = choose_rounding(&match);
    Known i = known_operands(match, S, 1);
    if (!below(4)) /* around the least normal number */
        i.values[0] = box(S, (rnd() & 0x80000000) | (0x007e0000 + (rnd() & 0x3ffff)));
    known_result_f(&i, BF16, bf16_from_single(unbox(S, i.values[0]), rm, &i.flags));
    known(&i);
}

/* ---- Zcb: Kind.what is the instruction of 32 bits that does the same ---- */
static void gen_zcb_memory(const Kind *k)
{
    unsigned bits =
        below(k->match & 0x400 ? 2 : 4); /* of the offset, as they are in bits 6 and 5; halves: bit 1 only */
    int r = k->match & 0x800 ? 8 + (int)below(8) : 10 + (int)below(6);
    int imm = (bits & 1) << 1 | bits >> 1;
    uint32_t ours = k->match | (r - 8) << 2 | bits << 5 | (S0 - 8) << 7 | 0x00010000; /* and c.nop */
    uint32_t theirs = k->match & 0x800 ? enc_s(k->what, S0, r, imm) : enc_i(k->what, r, S0, imm);
    either(&ours, 1, &theirs, 1);
}
static void gen_zcb(const Kind *k)
{
    int r = 10 + below(6);
    uint32_t ours = k->match | (r - 8) << 7 | 0x00010000, theirs = (uint32_t)k->what | r << 7 | r << 15;
    either(&ours, 1, &theirs, 1);
}
static void gen_zcb_mul(const Kind *k)
{
    int r = 10 + below(6), by = 8 + below(8);
    uint32_t ours = k->match | (r - 8) << 7 | (by - 8) << 2 | 0x00010000;
    uint32_t theirs = OPREG(1, 0, 0x33) | r << 7 | r << 15 | by << 20;
    either(&ours, 1, &theirs, 1);
}

/* ---- Zimop, Zcmop ---- */
static void gen_mop(const Kind *k)
{
    int rd = dest_x();
    uint32_t number = below(32);
    uint32_t ours = k->match | rd << 7 | any_x() << 15 | (number >> 4) << 30 | (number >> 2 & 3) << 26;
    ours |= (k->what ? (uint32_t)any_x() : number & 3) << 20;
    uint32_t theirs = enc_i(0x13, rd, X0, 0);
    either(&ours, 1, &theirs, 1);
}
static void gen_cmop(const Kind *k)
{
    uint32_t ours = k->match | below(8) << 8 | 0x00010000, theirs = NOP;
    either(&ours, 1, &theirs, 1);
}

/* Hints: the oracle takes them as ori to x0. */
static void gen_prefetch(const Kind *k)
{
    put(k->match | any_x() << 15 | below(128) << 25);
}

/* ---- those that do nothing that can be seen here ---- */
static void gen_nothing(const Kind *k)
{
    uint32_t theirs = NOP;
    either(&k->match, 1, &theirs, 1);
}

/* ---- Zacas ---- */
/* Registers that an amocas of a pair or a single may use: not those with addresses. */
static int cas_register(bool pair)
{
    for (;;) {
        int r = pair ? (int)below(16) * 2 : dest_x();
        if (r != SP && r != S0)
            return r;
    }
}
/* Load all parts of an operand from constants; x0 stands for zeros. */
static void load_parts(int r, int parts, int base, int offset)
{
    for (int i = 0; i < parts && r; i++)
        put(enc_load(r + i, base, offset + 8 * i));
}
static uint32_t cas_store(int bytes)
{
    return bytes == 1 ? 0x0023 : bytes == 2 ? 0x1023 : bytes == 4 || xlen == 32 ? 0x2023 : 0x3023;
}
/* what: bytes. Memory, what is expected and the new value are constants. */
static void gen_amocas(const Kind *k)
{
    int parts = k->what > (int)xlen / 8 ? 2 : 1, rd = cas_register(parts == 2), rs2 = cas_register(parts == 2), base;
    uint64_t memory[2], expected[2], value[2];
    do
        base = dest_x();
    while (!base || (base & -parts) == rd || (base & -parts) == rs2);
    bool same = below(2);
    for (int i = 0; i < 2; i++) {
        memory[i] = below(4) ? random_value(false) : 0;
        value[i] = rs2 ? random_value(false) : 0;
        expected[i] = rd == rs2 ? value[i] : !rd ? 0 : same ? memory[i] : random_value(false);
    }
    if (!below(4)) /* differ in one place only */
        memory[parts - 1] ^= 1ull << below(k->what < 8 ? 8u * k->what : xlen);
    put(0x17 | base << 7);
    put(enc_j(X0, 4 + 8 * 6));
    const uint64_t *all[] = { memory, expected, value };
    for (int i = 0; i < 6; i++) {
        put(all[i / 2][i % 2]);
        put(all[i / 2][i % 2] >> 32);
    }
    int t = rd && rd != base ? rd : base == T0 ? T1 : T0; /* a temporary: it is loaded anew, or ends the same */
    for (int i = 0; i < parts; i++) {
        put(enc_load(t, base, 8 + 8 * i));
        put(enc_s(cas_store(k->what), S1, t, i * (int)xlen / 8));
    }
    load_parts(rd, parts, base, 8 + 16);
    load_parts(rs2, parts, base, 8 + 32);
    uint64_t mask = k->what < 8 ? low_bits(8 * k->what) : low_bits(xlen);
    bool equal = !((memory[0] ^ expected[0]) & mask) && (parts == 1 || !((memory[1] ^ expected[1]) & mask));
    uint32_t ours = k->match | below(4) << 25 | rd << 7 | S1 << 15 | rs2 << 20, theirs[4];
    unsigned n = 0;
    for (int i = 0; i < parts && equal; i++)
        theirs[n++] = enc_s(cas_store(k->what), S1, rs2 ? rs2 + i : 0, i * (int)xlen / 8);
    for (int i = 0; i < parts && rd; i++)
        theirs[n++] = enc_i(cas_store(k->what) & ~0x20u, rd + i, base, 8 + 8 * i);
    while (n < 4)
        theirs[n++] = NOP;
    either(&ours, 1, theirs, 4);
    oracle = oracle_model;
}

/* ---- Zabha: memory and the operand are constants, as the old and the new value are for the oracle ---- */
static uint64_t amo_result(unsigned f5, int64_t x, int64_t y, uint64_t mask)
{
    switch (f5) {
    case 0:
        return x + y;
    case 1:
        return y;
    case 4:
        return x ^ y;
    case 8:
        return x | y;
    case 12:
        return x & y;
    case 16:
        return x < y ? x : y;
    case 20:
        return x > y ? x : y;
    case 24:
        return (x & mask) < (y & mask) ? x : y;
    default:
        return (x & mask) > (y & mask) ? x : y;
    }
}
/* what: bytes */
static void gen_amo(const Kind *k)
{
    int rd = dest_x(), rs2 = dest_x(), base, bits = 8 * k->what;
    if (!rd && !rs2)
        rs2 = A0;
    do
        base = dest_x();
    while (!base || base == rd || base == rs2);
    int t = rd ? rd : rs2; /* what the oracle has the new value in for a while */
    uint64_t old = random_value(false), value = rs2 ? random_value(false) : 0;
    int64_t x = (int64_t)(old << (64 - bits)) >> (64 - bits), y = (int64_t)(value << (64 - bits)) >> (64 - bits);
    const uint64_t constants[] = { old, value, amo_result(k->match >> 27, x, y, low_bits(bits)), x };
    put(0x17 | base << 7);
    put(enc_j(X0, 4 + 8 * 4));
    for (int i = 0; i < 4; i++) {
        put(constants[i]);
        put(constants[i] >> 32);
    }
    int offset = below(2) * k->what; /* from s1 */
    uint32_t store = enc_s(k->what == 1 ? 0x0023 : 0x1023, S1, t, 0);
    put(enc_i(0x13, S1, S1, offset));
    put(enc_load(t, base, 8));
    put(store);
    if (rs2)
        put(enc_load(rs2, base, 16));
    else
        put(NOP);
    uint32_t ours = k->match | below(4) << 25 | rd << 7 | S1 << 15 | rs2 << 20;
    uint32_t theirs[] = { enc_load(t, base, 24), store, enc_load(t, base, rd ? 32 : 16) };
    either(&ours, 1, theirs, 3);
    put(enc_i(0x13, S1, S1, -offset & 0xfff));
    oracle = oracle_model;
}

/* ---- Zicntr, Zihpm: there; what they count is not compared ---- */
static void gen_counter(const Kind *k)
{
    int rd = dest_x();
    uint32_t ours[] = { k->match | rd << 7 | below(k->what ? k->what : 1) << 20, enc_i(0x13, rd, X0, 0) };
    either(ours, 2, ours + 1, 1);
}
static void gen_ntl(const Kind *k)
{
    put(k->match | (2 + below(4)) << 20);
}
static void gen_c_ntl(const Kind *k)
{
    put16(k->match | (2 + below(4)) << 2);
}

/* ---- Zicbom, Zicboz ---- */
static void gen_cbo(const Kind *k)
{
    static const int bases[] = { SP, S0, S1 };
    int base = bases[below(3)], offset = base == S0 ? -3 : 0;
    uint32_t ours = k->match | base << 15, theirs[16];
    unsigned count = k->what ? 64 / (xlen / 8) : 1;
    for (unsigned i = 0; i < count; i++)
        theirs[i] = k->what ? enc_store(X0, base, offset + (int)(i * xlen / 8)) : NOP;
    either(&ours, 1, theirs, count);
}

const Kind ext_kinds[] = {
    /* Zicond; what: funct3 of the branch that keeps the value */
    { "czero.eqz", OPREG(7, 5, 0x33), MODEL, BOTH, gen_czero, 1 },
    { "czero.nez", OPREG(7, 7, 0x33), MODEL, BOTH, gen_czero, 0 },
    /* Zbc, Zbkb, Zbkc, Zbkx */
    { "clmul", OPREG(5, 1, 0x33), R, BOTH },
    { "clmulh", OPREG(5, 3, 0x33), R, BOTH },
    { "clmulr", OPREG(5, 2, 0x33), R, BOTH },
    { "pack", OPREG(4, 4, 0x33), R, BOTH },
    { "packh", OPREG(4, 7, 0x33), R, BOTH },
    { "packw", OPREG(4, 4, 0x3b), R, ONLY64 },
    { "brev8", FUNARY(0x34, 7, 5, 0x13), R1, BOTH },
    { "zip", FUNARY(4, 15, 1, 0x13), R1, ONLY32 },
    { "unzip", FUNARY(4, 15, 5, 0x13), R1, ONLY32 },
    { "xperm4", OPREG(0x14, 2, 0x33), R, BOTH },
    { "xperm8", OPREG(0x14, 4, 0x33), R, BOTH },
/* Zknd, Zkne, Zknh */
#define BYTES(name, f5, xlen)                                                              \
    { name, OPREG(f5, 0, 0x33), R, xlen }, { name, OPREG(0x20 | (f5), 0, 0x33), R, xlen }, \
        { name, OPREG(0x40 | (f5), 0, 0x33), R, xlen },                                    \
    {                                                                                      \
        name, OPREG(0x60 | (f5), 0, 0x33), R, xlen                                         \
    }
    BYTES("aes32dsi", 0x15, ONLY32),
    BYTES("aes32dsmi", 0x17, ONLY32),
    BYTES("aes32esi", 0x11, ONLY32),
    BYTES("aes32esmi", 0x13, ONLY32),
    { "aes64ds", OPREG(0x1d, 0, 0x33), R, ONLY64 },
    { "aes64dsm", OPREG(0x1f, 0, 0x33), R, ONLY64 },
    { "aes64es", OPREG(0x19, 0, 0x33), R, ONLY64 },
    { "aes64esm", OPREG(0x1b, 0, 0x33), R, ONLY64 },
    { "aes64im", FUNARY(0x18, 0, 1, 0x13), R1, ONLY64 },
    { "aes64ks1i", 0, MODEL, ONLY64, gen_ks1i },
    { "aes64ks2", OPREG(0x3f, 0, 0x33), R, ONLY64 },
    { "sha256sum0", FUNARY(8, 0, 1, 0x13), R1, BOTH },
    { "sha256sum1", FUNARY(8, 1, 1, 0x13), R1, BOTH },
    { "sha256sig0", FUNARY(8, 2, 1, 0x13), R1, BOTH },
    { "sha256sig1", FUNARY(8, 3, 1, 0x13), R1, BOTH },
    { "sha512sum0", FUNARY(8, 4, 1, 0x13), R1, ONLY64 },
    { "sha512sum1", FUNARY(8, 5, 1, 0x13), R1, ONLY64 },
    { "sha512sig0", FUNARY(8, 6, 1, 0x13), R1, ONLY64 },
    { "sha512sig1", FUNARY(8, 7, 1, 0x13), R1, ONLY64 },
    { "sha512sum0r", OPREG(0x28, 0, 0x33), R, ONLY32 },
    { "sha512sum1r", OPREG(0x29, 0, 0x33), R, ONLY32 },
    { "sha512sig0l", OPREG(0x2a, 0, 0x33), R, ONLY32 },
    { "sha512sig1l", OPREG(0x2b, 0, 0x33), R, ONLY32 },
    { "sha512sig0h", OPREG(0x2e, 0, 0x33), R, ONLY32 },
    { "sha512sig1h", OPREG(0x2f, 0, 0x33), R, ONLY32 },
    /* Zksed, Zksh */
    BYTES("sm4ed", 0x18, BOTH),
    BYTES("sm4ks", 0x1a, BOTH),
    { "sm3p0", FUNARY(8, 8, 1, 0x13), R1, BOTH },
    { "sm3p1", FUNARY(8, 9, 1, 0x13), R1, BOTH },
    /* Zfh, Zfhmin */
    FLOATS(".h", 2),
    { "fcvt.s.h", FUNARY(0x20, 2, 0, 0x53), FR1, BOTH },
    { "fcvt.h.s", FUNARY(0x22, 0, 0, 0x53), FR1, BOTH },
    { "fcvt.d.h", FUNARY(0x21, 2, 0, 0x53), FR1, BOTH },
    { "fcvt.h.d", FUNARY(0x22, 1, 0, 0x53), FR1, BOTH },
    { "fmv.x.h", FUNARY(0x72, 0, 0, 0x53), FTOIN, BOTH },
    { "fmv.h.x", FUNARY(0x7a, 0, 0, 0x53), ITOFN, BOTH },
    { "flh", OPREG(0, 1, 0x07), FLOAD, BOTH },
    { "fsh", OPREG(0, 1, 0x27), FSTORE, BOTH },
/* Zfa; what: the format */
#define ZFA(s, fmt)                                                                       \
    { "fli" s, FUNARY(0x78 | (fmt), 1, 0, 0x53), MODEL, BOTH, gen_fli, fmt },             \
        { "fminm" s, OPREG(0x14 | (fmt), 2, 0x53), MODEL, BOTH, gen_fminm, fmt },         \
        { "fmaxm" s, OPREG(0x14 | (fmt), 3, 0x53), MODEL, BOTH, gen_fminm, fmt },         \
        { "fround" s, FUNARY(0x20 | (fmt), 4, 0, 0x53), MODEL, BOTH, gen_fround, fmt },   \
        { "froundnx" s, FUNARY(0x20 | (fmt), 5, 0, 0x53), MODEL, BOTH, gen_fround, fmt }, \
        { "fleq" s, OPREG(0x50 | (fmt), 4, 0x53), MODEL, BOTH, gen_fleq, fmt },           \
    {                                                                                     \
        "fltq" s, OPREG(0x50 | (fmt), 5, 0x53), MODEL, BOTH, gen_fleq, fmt                \
    }
    ZFA(".s", S),
    ZFA(".d", D),
    ZFA(".h", H),
    { "fcvtmod.w.d", FUNARY(0x61, 8, 1, 0x53), MODEL, BOTH, gen_fcvtmod },
    { "fmvh.x.d", FUNARY(0x71, 1, 0, 0x53), MODEL, ONLY32, gen_fmvh },
    { "fmvp.d.x", OPREG(0x59, 0, 0x53), MODEL, ONLY32, gen_fmvp },
    /* Zfbfmin */
    { "fcvt.s.bf16", FUNARY(0x20, 6, 0, 0x53), MODEL, BOTH, gen_fcvt_s_bf16 },
    { "fcvt.bf16.s", FUNARY(0x22, 8, 0, 0x53), MODEL, BOTH, gen_fcvt_bf16_s },
    /* Zcb */
    { "c.lbu", 0x8000, MODEL, BOTH, gen_zcb_memory, 0x4003 },
    { "c.lhu", 0x8400, MODEL, BOTH, gen_zcb_memory, 0x5003 },
    { "c.lh", 0x8440, MODEL, BOTH, gen_zcb_memory, 0x1003 },
    { "c.sb", 0x8800, MODEL, BOTH, gen_zcb_memory, 0x0023 },
    { "c.sh", 0x8c00, MODEL, BOTH, gen_zcb_memory, 0x1023 },
    { "c.zext.b", 0x9c61, MODEL, BOTH, gen_zcb, 0x0ff07013 },
    { "c.sext.b", 0x9c65, MODEL, BOTH, gen_zcb, FUNARY(0x30, 4, 1, 0x13) },
    { "c.zext.h", 0x9c69, MODEL, ONLY64, gen_zcb, FUNARY(4, 0, 4, 0x3b) },
    { "c.zext.h", 0x9c69, MODEL, ONLY32, gen_zcb, FUNARY(4, 0, 4, 0x33) },
    { "c.sext.h", 0x9c6d, MODEL, BOTH, gen_zcb, FUNARY(0x30, 5, 1, 0x13) },
    { "c.zext.w", 0x9c71, MODEL, ONLY64, gen_zcb, OPREG(4, 0, 0x3b) },
    { "c.not", 0x9c75, MODEL, BOTH, gen_zcb, (int)0xfff04013 },
    { "c.mul", 0x9c41, MODEL, BOTH, gen_zcb_mul },
    /* Zimop, Zcmop, Zawrs */
    { "mop.r", 0x81c04073, MODEL, BOTH, gen_mop, 0 },
    { "mop.rr", 0x82004073, MODEL, BOTH, gen_mop, 1 },
    { "c.mop", 0x6081, MODEL, BOTH, gen_cmop },
    { "wrs.nto", 0x00d00073, MODEL, BOTH, gen_nothing },
    { "wrs.sto", 0x01d00073, MODEL, BOTH, gen_nothing },
    /* Zacas; what: bytes */
    { "amocas.w", OPREG(0x14, 2, 0x2f), MODEL, BOTH, gen_amocas, 4 },
    { "amocas.d", OPREG(0x14, 3, 0x2f), MODEL, BOTH, gen_amocas, 8 },
    { "amocas.q", OPREG(0x14, 4, 0x2f), MODEL, ONLY64, gen_amocas, 16 },
/* Zabha */
#define AMO_BH(name, f5)                                                     \
    { "amo" name ".b", OPREG((f5) << 2, 0, 0x2f), MODEL, BOTH, gen_amo, 1 }, \
    {                                                                        \
        "amo" name ".h", OPREG((f5) << 2, 1, 0x2f), MODEL, BOTH, gen_amo, 2  \
    }
    AMO_BH("swap", 1),
    AMO_BH("add", 0),
    AMO_BH("xor", 4),
    AMO_BH("and", 12),
    AMO_BH("or", 8),
    AMO_BH("min", 16),
    AMO_BH("max", 20),
    AMO_BH("minu", 24),
    AMO_BH("maxu", 28),
    { "amocas.b", OPREG(0x14, 0, 0x2f), MODEL, BOTH, gen_amocas, 1 },
    { "amocas.h", OPREG(0x14, 1, 0x2f), MODEL, BOTH, gen_amocas, 2 },
    /* Zicbom, Zicbop, Zicboz; what: does something */
    { "cbo.inval", 0x0000200f, MODEL, BOTH, gen_cbo },
    { "cbo.clean", 0x0010200f, MODEL, BOTH, gen_cbo },
    { "cbo.flush", 0x0020200f, MODEL, BOTH, gen_cbo },
    { "cbo.zero", 0x0040200f, MODEL, BOTH, gen_cbo, 1 },
    { "prefetch.i", 0x00006013, MODEL, BOTH, gen_prefetch },
    { "prefetch.r", 0x00106013, MODEL, BOTH, gen_prefetch },
    { "prefetch.w", 0x00306013, MODEL, BOTH, gen_prefetch },
    /* Zihintntl, Zihintpause */
    { "ntl", 0x00000033, MODEL, BOTH, gen_ntl },
    { "c.ntl", 0x9002, MODEL, BOTH, gen_c_ntl },
    { "pause", 0x0100000f, FENCE, BOTH },
    /* Zicntr, Zihpm; what: how many */
    { "rdcycle", 0xc0002073, MODEL, BOTH, gen_counter },
    { "rdtime", 0xc0102073, MODEL, BOTH, gen_counter },
    { "rdinstret", 0xc0202073, MODEL, BOTH, gen_counter },
    { "rdcycleh", 0xc8002073, MODEL, ONLY32, gen_counter },
    { "rdtimeh", 0xc8102073, MODEL, ONLY32, gen_counter },
    { "rdinstreth", 0xc8202073, MODEL, ONLY32, gen_counter },
    { "hpmcounter", 0xc0302073, MODEL, BOTH, gen_counter, 29 },
    { "hpmcounterh", 0xc8302073, MODEL, ONLY32, gen_counter, 29 },
    /* Svinval, in machine mode: nothing to be seen */
    { "sinval.vma", 0x16000073, MODEL, BOTH, gen_nothing },
    { "sfence.w.inval", 0x18000073, MODEL, BOTH, gen_nothing },
    { "sfence.inval.ir", 0x18100073, MODEL, BOTH, gen_nothing },
};
const unsigned ext_kind_count = sizeof ext_kinds / sizeof *ext_kinds;
