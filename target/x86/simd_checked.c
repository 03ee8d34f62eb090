/*
 * x86: vector arithmetic while some of its exceptions are unmasked (SDM volume 1, section 11.5): the host computes with
 * all of them masked, and what it reports is made what it is where they are not. An underflow that is unmasked is there
 * for every tiny result, exact or not; and where an overflow or underflow is unmasked the result is inexact only if its
 * fraction is, since its exponent would be adjusted (SDM volume 1, sections 4.9.1.4 and 4.9.1.5).
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/cpu.h"
#include "tcg/ir_host.h"
#include <string.h>

enum {
    FLAGS = 0x3f,
    BEFORE = 0x07, /* invalid, denormal, zero divide: those come before the computation */
    OVERFLOW_FLAG = 0x08,
    UNDERFLOW_FLAG = 0x10,
    PRECISION = 0x20,
    MASK_SHIFT = 7
};

/* One execution. */
typedef struct Job {
    int64_t what;
    IrType type;
    bool vector[3];
    IrVector in[3], out;
    uint64_t result;
} Job;

/* ---- what it computes ---- */

typedef enum { ADD, MULTIPLY, DIVIDE, FUSED, CONVERT, IN_RANGE } Kind;

typedef struct Shape {
    Kind kind;
    unsigned lanes, in_size, out_size; /* bytes */
    unsigned source;                   /* CONVERT: which input */
} Shape;

static Shape shape_of(int64_t what)
{
    unsigned map = what >> 8 & 3, opcode = what & 0xff, prefix = what & IR_HOST_F2;
    bool horizontal = opcode == 0x7c || opcode == 0x7d || opcode == 0xd0;
    bool doubles = map == 2 ? what & IR_HOST_W : prefix == IR_HOST_66 || (prefix == IR_HOST_F2 && !horizontal);
    bool scalar =
        map == 2 ? opcode & 1 && (opcode & 15) > 8 : prefix == IR_HOST_F3 || (prefix == IR_HOST_F2 && !horizontal);
    Shape shape = { .kind = IN_RANGE, .in_size = doubles ? 8 : 4, .out_size = doubles ? 8 : 4 };
    if (map == 2 && opcode >= 0x96) {
        shape.kind = FUSED;
    } else if (map == 3 && opcode == 0x1d) {
        shape = (Shape){ .kind = CONVERT, .in_size = 4, .out_size = 2 };
        scalar = false;
    } else if (map == 1 && opcode == 0x5a && doubles) {
        shape = (Shape){ .kind = CONVERT, .in_size = 8, .out_size = 4, .source = scalar };
    } else if (map == 1 && (horizontal || opcode == 0x58 || opcode == 0x5c)) {
        shape.kind = ADD;
    } else if (map == 1 && (opcode == 0x59 || opcode == 0x5e)) {
        shape.kind = opcode == 0x59 ? MULTIPLY : DIVIDE;
    }
    shape.lanes = scalar ? 1 : (what & IR_HOST_256 ? 32 : 16) / shape.in_size;
    return shape;
}

/* ---- is the fraction of a result exact? ---- */

/* value * 2^exponent */
typedef struct Number {
    bool negative;
    unsigned __int128 value;
    int exponent;
} Number;

static uint64_t lane_of(const IrVector *v, unsigned lane, unsigned size)
{
    uint64_t bits = 0;
    memcpy(&bits, v->bytes + (size_t)lane * size, size);
    return bits;
}

static unsigned bit_length(unsigned __int128 v)
{
    uint64_t high = (uint64_t)(v >> 64), low = (uint64_t)v;
    return high ? 128 - (unsigned)__builtin_clzll(high) : low ? 64 - (unsigned)__builtin_clzll(low) : 0;
}

/* Odd, or 0. */
static Number reduced(Number n)
{
    while (n.value && !(n.value & 1)) {
        n.value >>= 1;
        n.exponent++;
    }
    return n;
}

/* A finite number. */
static Number number_of(uint64_t bits, unsigned size)
{
    unsigned fraction = size == 8 ? 52 : 23, bias = size == 8 ? 1023 : 127;
    unsigned exponent = (unsigned)(bits >> fraction) & (2 * bias + 1);
    Number n = { .negative = bits >> (8 * size - 1) & 1, .value = bits & ((UINT64_C(1) << fraction) - 1) };
    if (exponent)
        n.value |= UINT64_C(1) << fraction;
    n.exponent = (int)(exponent ? exponent : 1) - (int)(bias + fraction);
    return reduced(n);
}

static Number product(Number a, Number b)
{
    return reduced((Number){ a.negative != b.negative, a.value * b.value, a.exponent + b.exponent });
}

/* False: the sum needs more bits than there are. */
static bool add(Number a, Number b, Number *sum)
{
    if (!a.value || (b.value && b.exponent < a.exponent)) {
        Number swap = a;
        a = b;
        b = swap;
    } /* a has the lower exponent */
    if (b.value) {
        unsigned shift = (unsigned)(b.exponent - a.exponent);
        if (shift + bit_length(b.value) > 126)
            return false;
        b.value <<= shift;
    }
    __int128 x = (__int128)a.value, y = (__int128)b.value, total = (a.negative ? -x : x) + (b.negative ? -y : y);
    *sum = reduced((Number){ total < 0, (unsigned __int128)(total < 0 ? -total : total), a.exponent });
    return true;
}

static bool fused_exact(const Job *j, unsigned lane, unsigned size, unsigned precision)
{
    static const uint8_t order[][3] = { { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 } }; /* factors, summand */
    const uint8_t *which = order[(j->what >> 4 & 15) - 9];
    unsigned kind = j->what & 15;
    Number n[3], sum;
    for (unsigned i = 0; i < 3; i++)
        n[i] = number_of(lane_of(&j->in[which[i]], lane, size), size);
    n[0].negative ^= kind >= 12;
    n[2].negative ^= kind >> 1 & 1;
    return add(product(n[0], n[1]), n[2], &sum) && bit_length(sum.value) <= precision;
}

/* Of a lane whose result is out of range. */
static bool lane_exact(const Job *j, const Shape *shape, unsigned lane)
{
    unsigned precision = shape->out_size == 8 ? 53 : shape->out_size == 4 ? 24 : 11;
    Number a = number_of(lane_of(&j->in[shape->source], lane, shape->in_size), shape->in_size), b, sum;
    switch (shape->kind) {
    case CONVERT:
        return bit_length(a.value) <= precision;
    case FUSED:
        return fused_exact(j, lane, shape->in_size, precision);
    case MULTIPLY:
        b = number_of(lane_of(&j->in[1], lane, shape->in_size), shape->in_size);
        return bit_length(product(a, b).value) <= precision;
    case DIVIDE:
        b = number_of(lane_of(&j->in[1], lane, shape->in_size), shape->in_size);
        return b.value && a.value % b.value == 0;
    default:
        b = number_of(lane_of(&j->in[1], lane, shape->in_size), shape->in_size);
        return add(a, b, &sum) && bit_length(sum.value) <= precision;
    }
}

/* ---- running ---- */

/* Returns the exceptions that the host reports. */
static uint32_t run_masked(const X86State *s, Job *j, bool tiny)
{
    const IrVector *v[3] = { &j->in[0], &j->in[1], &j->in[2] };
    uint64_t t[3];
    for (unsigned i = 0; i < 3; i++)
        memcpy(&t[i], v[i], 8);
    uint32_t saved = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(ir_host_mxcsr((uint8_t)(s->cs.fp_round & (tiny ? ~IR_FP_FLUSH : 0xff))));
    j->result = ir_host_run(j->what, j->type, j->vector, v, t, &j->out);
    uint32_t raised = __builtin_ia32_stmxcsr() & FLAGS;
    __builtin_ia32_ldmxcsr(saved);
    return raised;
}

static bool is_denormal(uint64_t bits, unsigned size)
{
    bits &= (UINT64_C(1) << (8 * size - 1)) - 1;
    return bits && bits < UINT64_C(1) << (size == 8 ? 52 : size == 4 ? 23 : 10);
}

static void broadcast(const X86State *s, IrVector *v, uint64_t bits, unsigned size)
{
    enum { DENORMALS_ARE_ZEROS = 0x40 };
    if (s->mxcsr & DENORMALS_ARE_ZEROS && is_denormal(bits, size))
        bits &= UINT64_C(1) << (8 * size - 1);
    for (unsigned k = 0; k < 32 / size; k++)
        memcpy(v->bytes + (size_t)k * size, &bits, size);
}

/* A sum by itself: which two elements it is of, and whether the second is subtracted. */
static Job sum_alone(const X86State *s, const Job *j, const Shape *shape, unsigned lane)
{
    unsigned opcode = j->what & 0xff, size = shape->in_size, half = 8 / size, place = lane & (2 * half - 1);
    bool subtract = opcode == 0x5c || opcode == 0x7d || (opcode == 0xd0 && !(lane & 1));
    const IrVector *x = &j->in[0], *y = &j->in[1];
    unsigned first = lane, second = lane;
    if (opcode == 0x7c || opcode == 0x7d) { /* horizontal: pairs of the one, then of the other */
        x = y = &j->in[place >= half];
        first = lane - place + 2 * (place & (half - 1));
        second = first + 1;
    }
    Job one = { .what =
                    (int64_t)IR_HOST_RVM << IR_HOST_FORM | IR_HOST_0F | 0x58 | (size == 8 ? IR_HOST_F2 : IR_HOST_F3),
                .type = IR_V256,
                .vector = { true, true } };
    broadcast(s, &one.in[0], lane_of(x, first, size), size);
    broadcast(s, &one.in[1], lane_of(y, second, size) ^ (uint64_t)subtract << (8 * size - 1), size);
    return one;
}

/* The job with one lane's operands in all lanes. */
static Job alone(const X86State *s, const Job *j, const Shape *shape, unsigned lane)
{
    Job one = *j;
    unsigned kind = j->what & 15;
    if (shape->kind == ADD)
        return sum_alone(s, j, shape, lane);
    for (unsigned i = 0; i < 3; i++)
        broadcast(s, &one.in[i], lane_of(&j->in[i], lane, shape->in_size), shape->in_size);
    if (shape->kind == FUSED && kind < 8) /* which alternate: plain ones */
        one.what = (one.what & ~(int64_t)15) | ((kind == 6) == (lane & 1) ? 8 : 10);
    return one;
}

/* What is raised where an overflow or underflow is unmasked (`out`: which): each lane by itself. */
static uint32_t out_of_range(const X86State *s, const Job *j, uint32_t raised, uint32_t out)
{
    Shape shape = shape_of(j->what);
    uint32_t found = 0;
    bool any = raised & out;
    if (shape.kind == IN_RANGE)
        return raised;
    for (unsigned i = 0; i < shape.lanes; i++)
        any |= is_denormal(lane_of(&j->out, i, shape.out_size), shape.out_size);
    for (unsigned i = 0; i < shape.lanes && any; i++) {
        Job one = alone(s, j, &shape, i);
        uint32_t lane = run_masked(s, &one, out & UNDERFLOW_FLAG);
        if (out & UNDERFLOW_FLAG && is_denormal(lane_of(&one.out, 0, shape.out_size), shape.out_size))
            lane |= UNDERFLOW_FLAG;
        if (lane & out)
            lane = (lane & ~(uint32_t)PRECISION) | (lane_exact(&one, &shape, 0) ? 0 : PRECISION);
        found |= lane & (OVERFLOW_FLAG | UNDERFLOW_FLAG | PRECISION);
    }
    return any ? (raised & BEFORE) | found : raised;
}

/* Returns what is raised; raise: the unmasked ones of it. */
static uint32_t run_job(const X86State *s, Job *j, uint32_t *unmasked)
{
    uint32_t out = ~(s->mxcsr >> MASK_SHIFT) & (UNDERFLOW_FLAG | OVERFLOW_FLAG);
    uint32_t raised = run_masked(s, j, out & UNDERFLOW_FLAG); /* an exception, and nothing is flushed to zero */
    if (out)
        raised = out_of_range(s, j, raised, out);
    *unmasked = raised & ~(s->mxcsr >> MASK_SHIFT);
    return *unmasked & BEFORE ? raised & BEFORE : raised;
}

/* dpps, dppd: products, then sums of two, which are not made after an unmasked exception. */
static uint32_t run_dot_product(const X86State *s, Job *j, uint32_t *unmasked)
{
    bool doubles = (j->what & 0xff) == 0x41;
    unsigned size = doubles ? 8 : 4, imm = (unsigned)(j->what >> 32 & 0xff) >> 4;
    int64_t same = j->what & IR_HOST_256, form = (int64_t)IR_HOST_RVM << IR_HOST_FORM | IR_HOST_0F;
    Job step = { .what = form | same | 0x59 | (doubles ? IR_HOST_66 : 0), .type = IR_V256, .vector = { true, true } };
    memcpy(step.in, j->in, sizeof(step.in));
    for (unsigned i = 0; i < 32 / size; i++) {
        if (imm >> (i & (16 / size - 1)) & 1)
            continue;
        memset(step.in[0].bytes + (size_t)i * size, 0, size);
        memset(step.in[1].bytes + (size_t)i * size, 0, size);
    }
    uint32_t raised = run_job(s, &step, unmasked);
    for (unsigned sums = doubles ? 1 : 2; sums && !*unmasked; sums--) {
        step.what = form | same | 0x7c | (doubles ? IR_HOST_66 : IR_HOST_F2);
        step.in[0] = step.in[1] = step.out;
        raised |= run_job(s, &step, unmasked);
    }
    if (!*unmasked)
        run_masked(s, j, !(s->mxcsr >> MASK_SHIFT & UNDERFLOW_FLAG));
    return raised;
}

uint64_t x86_simd_checked(X86State *s, int64_t what, uint64_t vectors)
{
    unsigned map = what >> 8 & 3, opcode = what & 0xff;
    bool dot = map == 3 && (opcode == 0x40 || opcode == 0x41);
    Job j = { .what = what, .type = vectors & 8 ? IR_V256 : IR_I64 };
    uint32_t unmasked;
    for (unsigned i = 0; i < 3; i++) {
        j.vector[i] = vectors >> i & 1;
        j.in[i] = s->simd.in[i];
    }
    uint32_t raised = dot ? run_dot_product(s, &j, &unmasked) : run_job(s, &j, &unmasked);
    s->cs.fp_flags |= ir_host_flags(raised);
    if (unmasked) {
        x86_raise(s, s->cr4 & CR4_OSXMMEXCPT ? VECTOR_XM : VECTOR_UD, 0);
        return 0;
    }
    s->simd.out = j.out;
    return j.result;
}
