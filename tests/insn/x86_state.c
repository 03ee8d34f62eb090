/*
 * Inputs of an instance: registers and memory with values where things happen (0, -1, extremes, denormals, NaNs,
 * infinities) and at random; then what the instruction needs: addresses that lead somewhere, counts, targets of jumps.
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/cpu.h"
#include "x86_insn.h"
#include <string.h>

/* ---- values ---- */

static uint64_t interesting_double(X86Rng *r)
{
    static const uint64_t values[] = { 0,
                                       0x3ff0000000000000,
                                       0x7ff0000000000000,
                                       0x7ff8000000000000,
                                       0x7ff4000000000001,
                                       1,
                                       0x000fffffffffffff,
                                       0x0010000000000000,
                                       0x7fefffffffffffff,
                                       0x41dfffffffc00000,
                                       0x41e0000000000000,
                                       0x43e0000000000000,
                                       0x3fe0000000000000 };
    uint64_t v = x86_random(r), sign = v & 1ull << 63;
    switch (x86_below(r, 4)) {
    case 0:
        return values[x86_below(r, 13)] | sign;
    case 1: /* near 1 */
        return (v & 0x000fffffffffffff) | sign | (uint64_t)(0x3f0 + x86_below(r, 0x20)) << 52;
    case 2: /* an integer, or a half of one */
        return ((v & 0x000fffff00000000) | sign | (uint64_t)(0x3ff + x86_below(r, 66)) << 52);
    default:
        return v;
    }
}

static uint32_t interesting_float(X86Rng *r)
{
    static const uint32_t values[] = { 0,          0x3f800000, 0x7f800000, 0x7fc00000, 0x7fa00001, 1,
                                       0x007fffff, 0x00800000, 0x7f7fffff, 0x4f000000, 0x5f000000, 0x3f000000 };
    uint32_t v = (uint32_t)x86_random(r), sign = v & 1u << 31;
    switch (x86_below(r, 4)) {
    case 0:
        return values[x86_below(r, 12)] | sign;
    case 1:
        return (v & 0x007fffff) | sign | (0x70 + x86_below(r, 0x20)) << 23;
    case 2:
        return (v & 0x007ff000) | sign | (0x7f + x86_below(r, 34)) << 23;
    default:
        return v;
    }
}

static uint64_t make_value(X86Rng *r)
{
    uint64_t v = x86_random(r);
    switch (x86_below(r, 16)) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    case 2:
        return 1ull << (v & 63);
    case 3:
        return (1ull << (v & 63)) - 1;
    case 4:
        return v & 0xff;
    case 5:
        return (uint64_t)(int8_t)v;
    case 6:
        return 0x8000000080008080 ^ (v & 0x0001000100010001);
    case 7:
    case 8:
        return interesting_double(r);
    case 9:
    case 10:
        return interesting_float(r) | (uint64_t)interesting_float(r) << 32;
    case 11:
        return (v & 0xff) * 0x0101010101010101;
    default:
        return v;
    }
}

enum { POOL = 4096, POOL_SLICE = 256 };
static uint64_t pool[POOL + POOL_SLICE];

void x86_make_pool(X86Rng *r)
{
    for (unsigned i = 0; i < POOL + POOL_SLICE; i++)
        pool[i] = make_value(r);
}

uint64_t x86_interesting(X86Rng *r)
{
    return pool[x86_below(r, POOL)];
}

static void fill(X86Rng *r, uint8_t *p, unsigned bytes)
{
    memcpy(p, pool + x86_below(r, POOL), bytes);
}

/* ---- x87 and vector registers ---- */

static void make_extended(X86Rng *r, uint8_t *out)
{
    uint64_t m = x86_random(r) | 1ull << 63;
    unsigned sign = x86_below(r, 2) << 15, exponent = 0x3ff0 + x86_below(r, 0x20);
    switch (x86_below(r, 14)) {
    case 0: /* zero */
        m = exponent = 0;
        break;
    case 1: /* infinity */
        m = 1ull << 63;
        exponent = 0x7fff;
        break;
    case 2: /* NaNs, quiet and signalling */
        exponent = 0x7fff;
        m = (m & ~(1ull << 62)) | (uint64_t)x86_below(r, 2) << 62 | 1;
        break;
    case 3: /* denormal, pseudo-denormal */
        exponent = 0;
        m = x86_random(r) >> x86_below(r, 60);
        break;
    case 4: /* what is none of these: unnormal, pseudo-infinity, pseudo-NaN */
        exponent = x86_percent(r, 50) ? 0x7fff : x86_below(r, 0x8000);
        m = x86_percent(r, 80) ? m : x86_random(r) >> 1;
        break;
    case 5: /* an integer */
    case 6:
        exponent = 0x3fff + x86_below(r, 66);
        m = 1ull << 63 | (m & ~((1ull << x86_below(r, 64)) - 1));
        break;
    case 7:
        exponent = x86_below(r, 0x7fff);
        break;
    case 8: /* near the largest double and the largest float */
        exponent = 0x3fff + (x86_percent(r, 50) ? 1020 : 124) + x86_below(r, 8);
        break;
    case 9: /* near their smallest ones */
        exponent = 0x3fff - (x86_percent(r, 50) ? 1026 : 130) - x86_below(r, 24);
        break;
    case 10: /* 1, 2, 10 and the like */
        m = (uint64_t)(8 + x86_below(r, 8)) << 60;
        exponent = 0x3fff + x86_below(r, 5);
        break;
    default:
        break;
    }
    memcpy(out, &m, 8);
    sign |= exponent;
    memcpy(out + 8, &sign, 2);
}

static void put16(uint8_t *p, unsigned v)
{
    uint16_t w = (uint16_t)v;
    memcpy(p, &w, 2);
}

static unsigned status_word(X86Rng *r, unsigned control)
{
    unsigned flags = x86_percent(r, 60) ? 0 : x86_below(r, 0x80), top = x86_percent(r, 40) ? 0 : x86_below(r, 8);
    if (!x86_percent(r, 3)) /* a pending exception would be all that is seen */
        flags &= control & 0x3f;
    flags |= flags & ~control & 0x3f ? 0x8080 : 0;
    if (!(flags & 1))
        flags &= ~0x40u;
    return flags | top << 11 | (x86_below(r, 8) << 8) | x86_below(r, 2) << 14;
}

static void make_x87(X86Rng *r, uint8_t *fx)
{
    static const uint8_t precisions[] = { 0, 2, 3, 3 };
    unsigned masks = x86_percent(r, 85) ? 0x3f : x86_below(r, 64);
    unsigned control = masks | 0x40 | (unsigned)precisions[x86_below(r, 4)] << 8 | x86_below(r, 4) << 10;
    put16(fx + FX_FCW, control);
    put16(fx + FX_FSW, status_word(r, control));
    fx[FX_FTW] = x86_percent(r, 70) ? 0xff : (uint8_t)x86_random(r);
    for (unsigned i = 0; i < 8; i++)
        make_extended(r, fx + FX_ST + 16 * i);
}

static uint32_t make_mxcsr(X86Rng *r)
{
    uint32_t masks = x86_percent(r, 90) ? 0x1f80 : x86_below(r, 64) << 7;
    uint32_t flags = x86_percent(r, 60) ? 0 : x86_below(r, 64);
    return masks | flags | (x86_percent(r, 50) ? 0 : x86_below(r, 4) << 13) | (x86_percent(r, 15) ? 0x40 : 0) |
           (x86_percent(r, 15) ? 0x8000 : 0);
}

static void make_fx(X86Rng *r, uint8_t *fx)
{
    memset(fx, 0, FX_XMM);
    memset(fx + FX_XMM + 256, 0, FX_YMMH - FX_XMM - 256);
    make_x87(r, fx);
    uint32_t mxcsr = make_mxcsr(r);
    memcpy(fx + FX_MXCSR, &mxcsr, 4);
    fill(r, fx + FX_XMM, 256);
    fill(r, fx + FX_YMMH, 256);
    if (x86_percent(r, 30)) { /* two operands that are the same */
        unsigned from = x86_below(r, 16), to = x86_below(r, 16);
        memmove(fx + FX_XMM + 16 * to, fx + FX_XMM + 16 * from, 16);
        memmove(fx + FX_YMMH + 16 * to, fx + FX_YMMH + 16 * from, 16);
    }
    fx[FX_XSTATE_BV] = 7;
}

/* ---- memory operands ---- */

uint64_t x86_segment_base(uint16_t selector)
{
    return (selector & 4) && selector >> 3 < X86_LDT_ENTRIES ? x86_ldt[selector >> 3].base : 0;
}

uint64_t x86_choose_target(X86Rng *r, const X86Encoding *e)
{
    unsigned aligned = x86_percent(r, 70) ? ~63u : ~0u;
    switch (x86_below(r, 40)) {
    case 0:
        return READ_ONLY + (x86_below(r, 4096) & aligned);
    case 1:
        return DATA - x86_below(r, 40);
    case 2:
        return DATA_END - x86_below(r, 40);
    case 3:
        return x86_percent(r, 50) ? CODE + x86_below(r, 4096 - 64) : DATA_END + x86_below(r, 4096);
    case 4:
    case 5:
        return MIDDLE - x86_below(r, 64);
    default:
        return WINDOW + 128 + (x86_below(r, WINDOW_BYTES - 384) & aligned);
    }
}

static uint64_t address_mask(const X86Encoding *e)
{
    return e->address_size == 8 ? UINT64_MAX : (1ull << (8 * e->address_size)) - 1;
}

/* Base of a segment in this instance. */
static uint64_t segment_base(const X86Encoding *e, const X86Case *c, unsigned segment)
{
    if (e->bits != 64)
        return x86_segment_base(e->seg[segment]);
    return segment == X86_FS ? c->regs.fs_base : segment == X86_GS ? c->regs.gs_base : 0;
}

static uint64_t inverse(uint64_t odd)
{
    uint64_t x = odd;
    for (unsigned i = 0; i < 5; i++)
        x *= 2 - odd * x;
    return x;
}

static void set_masked(uint64_t *reg, uint64_t value, uint64_t mask)
{
    *reg = (*reg & ~mask) | (value & mask);
}

static bool canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* Registers such that the operand is at `target` or near; returns where it is. */
static uint64_t solve(const X86Encoding *e, X86Case *c, uint64_t target)
{
    uint64_t mask = address_mask(e), *gpr = c->regs.gpr, base = segment_base(e, c, e->segment);
    uint64_t sum = target - base - (uint64_t)e->disp; /* of the registers */
    bool index = e->index != X86_NO_REG && !e->vsib;
    if (e->rip_relative || (e->base == X86_NO_REG && !index)) {
        uint64_t offset = (uint64_t)e->disp + (e->rip_relative ? CODE + e->slot + e->at + e->length : 0);
        offset &= mask;
        if (!canonical(target - offset))
            target = offset;
        if (e->bits == 64 && e->segment == X86_FS)
            c->regs.fs_base = base = target - offset;
        else if (e->bits == 64 && e->segment == X86_GS)
            c->regs.gs_base = base = target - offset;
        return base + offset;
    }
    if (!index) {
        set_masked(&gpr[e->base], sum, mask);
    } else if (e->base == X86_NO_REG) {
        uint64_t low = sum & ((1u << e->scale) - 1);
        set_masked(&gpr[e->index], (sum & mask) >> e->scale, mask);
        return target - low;
    } else if (e->base == e->index && !e->scale) {
        set_masked(&gpr[e->base], (sum & mask) >> 1, mask);
        return target - (sum & 1);
    } else if (e->base == e->index) {
        set_masked(&gpr[e->base], sum * inverse(1 + (1ull << e->scale)), mask);
    } else {
        set_masked(&gpr[e->base], sum - (gpr[e->index] << e->scale), mask);
    }
    return target;
}

static uint8_t *window_at(X86Case *c, uint64_t target, unsigned bytes)
{
    return target >= WINDOW && target + bytes <= WINDOW + WINDOW_BYTES ? c->window + (target - WINDOW) : NULL;
}

/* ---- what single instructions need ---- */

/* Give the register or memory operand this value. */
static void set_rm(const X86Encoding *e, X86Case *c, uint64_t target, uint64_t value, unsigned bytes)
{
    uint8_t *p = window_at(c, target, bytes);
    if (!e->memory)
        c->regs.gpr[e->rm] = value;
    else if (p)
        memcpy(p, &value, bytes);
}

static uint64_t get_rm(const X86Encoding *e, X86Case *c, uint64_t target, unsigned bytes)
{
    uint64_t value = 0;
    uint8_t *p = window_at(c, target, bytes);
    if (!e->memory)
        value = c->regs.gpr[e->rm];
    else if (p)
        memcpy(&value, p, bytes);
    return value;
}

/* An offset in a segment that lies in the window. */
static uint64_t window_offset(const X86Encoding *e, X86Rng *r, const X86Case *c, unsigned segment)
{
    return WINDOW + 256 + x86_below(r, 64) * 8 - segment_base(e, c, segment);
}

static unsigned stack_bytes(const X86Encoding *e)
{
    return e->bits == 64 ? 8 : e->seg[X86_SS] == SEL_DATA16 ? 2 : 4;
}

static uint64_t stack_mask(const X86Encoding *e)
{
    return stack_bytes(e) == 8 ? UINT64_MAX : stack_bytes(e) == 4 ? 0xffffffff : 0xffff;
}

/* What `pop` would get: a place in the window, or NULL. */
static uint8_t *stack_at(const X86Encoding *e, X86Case *c, unsigned plus, unsigned bytes)
{
    uint64_t sp = c->regs.gpr[RSP] & stack_mask(e);
    return window_at(c, segment_base(e, c, X86_SS) + sp + plus, bytes);
}

static uint16_t any_selector(X86Rng *r)
{
    static const uint16_t sels[] = {
        0,           3,           SEL_DATA,   SEL_DATA - 3,  SEL_CODE64,  SEL_CODE32,     SEL_DATA16,
        SEL_CODE16,  SEL_LIMITED, SEL_EXPAND, SEL_READ_ONLY, SEL_SHIFTED, SEL_ABSENT,     SEL_CODE_READ,
        SEL_EXECUTE, 0x57,        0x10,       0x18,          0xfff8,      SEL_LIMITED - 2
    };
    return sels[x86_below(r, sizeof(sels) / 2)];
}

static void prepare_string(const X86Encoding *e, X86Rng *r, X86Case *c)
{
    uint64_t mask = address_mask(e), *gpr = c->regs.gpr;
    unsigned source = e->segment == X86_NO_SEGMENT ? X86_DS : e->segment;
    if (e->bits == 64 && source >= X86_FS && x86_percent(r, 90)) {
        c->regs.fs_base = x86_below(r, 256);
        c->regs.gs_base = x86_below(r, 256);
    }
    bool edge = x86_percent(r, 4);
    set_masked(&gpr[RSI], edge ? x86_choose_target(r, e) : window_offset(e, r, c, source), mask);
    set_masked(&gpr[RDI], edge ? x86_choose_target(r, e) - segment_base(e, c, X86_ES) : window_offset(e, r, c, X86_ES),
               mask);
    set_masked(&gpr[RCX], x86_below(r, 20), mask);
    if (x86_percent(r, 50)) { /* so that comparisons get on */
        uint8_t *a = window_at(c, segment_base(e, c, source) + (gpr[RSI] & mask), 64);
        uint8_t *b = window_at(c, segment_base(e, c, X86_ES) + (gpr[RDI] & mask), 64);
        if (a && b)
            memmove(b, a, 64);
        if (b && x86_percent(r, 40))
            memset(b, (uint8_t)gpr[RAX], 64);
    }
}

static void prepare_divide(const X86Encoding *e, X86Rng *r, X86Case *c, uint64_t target)
{
    uint64_t *gpr = c->regs.gpr;
    unsigned bytes = e->form->opcode == 0xf6 ? 1 : e->operand_size;
    uint64_t divisor = get_rm(e, c, target, bytes);
    bool used = e->base == RAX || e->base == RDX || e->index == RAX || e->index == RDX; /* for the address */
    if (used || x86_percent(r, 25))
        return;
    if (bytes == 1) {
        set_masked(&gpr[RAX],
                   x86_percent(r, 50) ? (uint64_t)(int8_t)gpr[RAX]
                                      : x86_below(r, 256) | x86_below(r, 1 + (divisor & 0x7f)) << 8,
                   0xffff);
        return;
    }
    unsigned bits = 8 * bytes;
    uint64_t sign = x86_percent(r, 50) && gpr[RAX] >> (bits - 1) & 1 ? UINT64_MAX : 0;
    gpr[RDX] = x86_percent(r, 50) ? sign : divisor >> (1 + x86_below(r, bits - 1));
    if (bytes == 8 && x86_percent(r, 30))
        gpr[RDX] = divisor - 1;
}

static void prepare_bit(const X86Encoding *e, X86Rng *r, X86Case *c)
{
    if (e->memory && e->form->opcode != 0xba && e->reg != e->base && e->reg != e->index)
        c->regs.gpr[e->reg] = (c->regs.gpr[e->reg] & 0xffffffff00000000) | (uint32_t)((int)x86_below(r, 1600) - 800);
    if (e->memory && e->operand_size == 8 && e->form->opcode != 0xba && e->reg != e->base && e->reg != e->index)
        c->regs.gpr[e->reg] = (uint64_t)((int64_t)x86_below(r, 1600) - 800);
}

static void prepare_cmpxchg(const X86Encoding *e, X86Rng *r, X86Case *c, uint64_t target)
{
    if (e->base != RAX && e->index != RAX && x86_percent(r, 50))
        c->regs.gpr[RAX] = get_rm(e, c, target, e->form->opcode == 0xb0 ? 1 : e->operand_size);
}

static void prepare_cmpxchg_pair(const X86Encoding *e, X86Rng *r, X86Case *c, uint64_t target)
{
    unsigned bytes = e->operand_size == 8 ? 8 : 4;
    uint8_t *p = window_at(c, target, 16);
    if (!p || e->base == RAX || e->base == RDX || e->index == RAX || e->index == RDX || x86_percent(r, 40))
        return;
    memcpy(&c->regs.gpr[RAX], p, bytes);
    memcpy(&c->regs.gpr[RDX], p + bytes, bytes);
}

static void prepare_gather(const X86Encoding *e, X86Rng *r, X86Case *c)
{
    bool wide = e->form->opcode & 1;
    for (unsigned i = 0; i < 32; i += wide ? 8 : 4) {
        uint8_t *p = c->regs.fx + (i < 16 ? FX_XMM + i : FX_YMMH + i - 16) + 16 * e->index;
        int64_t v = ((int)x86_below(r, 200) - 100) >> e->scale;
        memcpy(p, &v, wide ? 8 : 4);
    }
}

static void prepare_popf(X86Case *c)
{
    for (unsigned i = 0; i < WINDOW_BYTES; i++) /* no trap, whatever is popped from wherever */
        c->window[i] &= ~1;
}

static uint64_t pad_offset(const X86Encoding *e, X86Rng *r)
{
    unsigned at[] = { 0, SLOT_BYTES - 16u, e->at + e->length };
    return CODE + e->slot + at[x86_below(r, 3)] - (e->bits == 16 ? BASE : 0);
}

static void prepare_jump(const X86Encoding *e, X86Rng *r, X86Case *c, uint64_t target)
{
    if (e->form->opcode != 0xff)
        return;
    unsigned bytes = e->operand_size;
    uint64_t to = pad_offset(e, r);
    set_rm(e, c, target, to, bytes);
}

static void prepare_ret(const X86Encoding *e, X86Rng *r, X86Case *c)
{
    uint64_t to = pad_offset(e, r);
    uint8_t *p = stack_at(e, c, 0, 8);
    if (p)
        memcpy(p, &to, e->operand_size);
}

static void prepare_image(const X86Encoding *e, X86Rng *r, X86Case *c, uint64_t target, unsigned bytes)
{
    uint8_t fx[832] __attribute__((aligned(64)));
    make_fx(r, fx);
    uint8_t *p = window_at(c, target, bytes);
    fx[FX_XSTATE_BV] = (uint8_t)x86_below(r, 8);
    fx[FX_XSTATE_BV + 1] = x86_percent(r, 10); /* not one of XCR0's */
    if (x86_percent(r, 5))
        fx[FX_MXCSR + 2] = 1;
    if (p && !x86_percent(r, 2))
        memcpy(p, fx, bytes);
}

static void prepare_x87_env(const X86Encoding *e, X86Rng *r, X86Case *c, uint64_t target)
{
    unsigned step = e->operand_size == 2 ? 2 : 4, environment = 7 * step;
    uint8_t *p = window_at(c, target, environment + 80), fx[FX_XMM];
    if (!p)
        return;
    make_x87(r, fx);
    memset(p, 0xff, environment);
    memcpy(p, fx + FX_FCW, 2);
    memcpy(p + step, fx + FX_FSW, 2);
    put16(p + 2 * step, (unsigned)x86_random(r));
    memset(p + 3 * step, 0, 4 * step); /* pointers are not compared */
    for (unsigned i = 0; i < 8; i++)
        memcpy(p + environment + 10 * i, fx + FX_ST + 16 * i, 10);
}

static void prepare_far_jump(const X86Encoding *e, X86Rng *r, X86Case *c, uint64_t target)
{
    uint64_t to = EXIT_OF(e->bits, 1 + x86_below(r, 2)) - (e->bits == 16 ? BASE : 0);
    uint8_t *p = window_at(c, target, 10);
    if (!p || !e->memory)
        return;
    memcpy(p, &to, e->operand_size);
    put16(p + e->operand_size, x86_percent(r, 80) ? e->seg[X86_CS] : any_selector(r));
}

static void prepare_far_return(const X86Encoding *e, X86Rng *r, X86Case *c, bool iret)
{
    uint64_t words[5] = { EXIT_OF(e->bits, 1 + x86_below(r, 2)) - (e->bits == 16 ? BASE : 0), e->seg[X86_CS] };
    unsigned size = e->operand_size;
    if (x86_percent(r, 15))
        words[1] = any_selector(r);
    words[2] = iret ? (x86_random(r) & 0x240cd5) | 0x202 : x86_random(r);
    words[3] = (uint64_t)window_offset(e, r, c, X86_SS);
    words[4] = e->seg[X86_SS];
    for (unsigned i = 0; i < 5; i++) {
        uint8_t *p = stack_at(e, c, i * size, size);
        if (p)
            memcpy(p, &words[i], size);
    }
}

static void prepare_selector(const X86Encoding *e, X86Rng *r, X86Case *c, uint64_t target)
{
    uint16_t sel = any_selector(r);
    if (e->form->opcode != 0x8c)
        set_rm(e, c, target, e->memory ? sel : sel | (x86_random(r) & ~0xffffull), 2);
}

static void prepare(const X86Encoding *e, X86Rng *r, X86Case *c, uint64_t target)
{
    uint64_t *gpr = c->regs.gpr;
    uint8_t *p;
    switch (e->form->policy->prepare) {
    case PREPARE_STRING:
        prepare_string(e, r, c);
        break;
    case PREPARE_SHIFT:
        if (x86_percent(r, 50) && e->base != RCX && e->index != RCX)
            gpr[RCX] = (gpr[RCX] & ~0xffull) | x86_below(r, 34);
        break;
    case PREPARE_DIVIDE:
        prepare_divide(e, r, c, target);
        break;
    case PREPARE_BIT:
        prepare_bit(e, r, c);
        break;
    case PREPARE_XLAT:
        set_masked(&gpr[RBX],
                   x86_choose_target(r, e) - segment_base(e, c, e->segment == X86_NO_SEGMENT ? X86_DS : e->segment) -
                       (uint8_t)gpr[RAX],
                   address_mask(e));
        break;
    case PREPARE_LINE:
        set_masked(&gpr[RAX], x86_choose_target(r, e) - segment_base(e, c, X86_DS), address_mask(e));
        break;
    case PREPARE_CMPXCHG:
        prepare_cmpxchg(e, r, c, target);
        break;
    case PREPARE_CMPXCHG_PAIR:
        prepare_cmpxchg_pair(e, r, c, target);
        break;
    case PREPARE_MASKMOV:
        set_masked(&gpr[RDI], x86_choose_target(r, e) - segment_base(e, c, X86_DS), address_mask(e));
        break;
    case PREPARE_GATHER:
        prepare_gather(e, r, c);
        break;
    case PREPARE_LEAVE:
    case PREPARE_ENTER:
        gpr[RBP] = (gpr[RBP] & ~stack_mask(e)) | (window_offset(e, r, c, X86_SS) & stack_mask(e));
        break;
    case PREPARE_POPF:
        prepare_popf(c);
        break;
    case PREPARE_JUMP:
        prepare_jump(e, r, c, target);
        break;
    case PREPARE_RET:
        prepare_ret(e, r, c);
        break;
    case PREPARE_LOOP:
        set_masked(&gpr[RCX], x86_below(r, 3), address_mask(e));
        break;
    case PREPARE_FX:
        prepare_image(e, r, c, target, 512);
        break;
    case PREPARE_XSAVE:
        gpr[RAX] = x86_below(r, 8);
        gpr[RDX] = 0;
        prepare_image(e, r, c, target, 832);
        break;
    case PREPARE_X87_ENV:
        prepare_x87_env(e, r, c, target);
        break;
    case PREPARE_MXCSR:
        p = window_at(c, target, 4);
        if (p && !x86_percent(r, 5))
            p[2] = p[3] = 0;
        if (p)
            p[2] &= ~2; /* which AMD's processors have */
        break;
    case PREPARE_SELECTOR:
        prepare_selector(e, r, c, target);
        break;
    case PREPARE_FAR_POINTER:
        p = window_at(c, target, 6);
        if (p)
            put16(p + (e->operand_size == 2 ? 2 : 4), any_selector(r));
        break;
    case PREPARE_BASE:
        c->regs.gpr[e->rm] = x86_percent(r, 90) ? (uint64_t)((int64_t)(x86_random(r) << 17) >> 17) : x86_random(r);
        break;
    case PREPARE_FAR_JUMP:
        prepare_far_jump(e, r, c, target);
        break;
    case PREPARE_FAR_RET:
    case PREPARE_IRET:
        prepare_far_return(e, r, c, e->form->policy->prepare == PREPARE_IRET);
        break;
    default:
        break;
    }
    if (!strcmp(e->form->row->name, "pop") && e->form->row->operands[0].kind >= OPERAND_SEGMENT_ES &&
        (p = stack_at(e, c, 0, 2)))
        put16(p, any_selector(r));
}

/* Images lie at a place that has room for them, mostly aligned as they have to be. */
static uint64_t choose_operand(const X86Encoding *e, X86Rng *r)
{
    unsigned prepare = e->form->policy->prepare;
    bool image = prepare == PREPARE_FX || prepare == PREPARE_XSAVE || prepare == PREPARE_X87_ENV;
    if (image && !x86_percent(r, 4))
        return WINDOW + 64 * x86_below(r, 4) +
               (prepare == PREPARE_X87_ENV ? x86_below(r, 64)
                : prepare == PREPARE_FX    ? 16 * x86_below(r, 4)
                                           : 0);
    if (e->form->row->features[0] == X86_SHA) /* AMD's processors do not check that it is aligned */
        return WINDOW + 256 + 16 * x86_below(r, 16);
    if (prepare == PREPARE_GATHER || prepare == PREPARE_JUMP)
        return WINDOW + 256 + x86_below(r, 512);
    if (e->bits == 64 && e->address_size == 8 && x86_percent(r, 1))
        return x86_random(r) | 1ull << 60; /* not canonical */
    return x86_choose_target(r, e);
}

void x86_make_case(const X86Encoding *e, X86Rng *r, X86Case *c)
{
    X86Regs *g = &c->regs;
    uint64_t target = 0;
    memset((uint8_t *)g + sizeof(g->fx), 0, sizeof(*g) - sizeof(g->fx));
    make_fx(r, g->fx);
    for (unsigned i = 0; i < 16; i++)
        g->gpr[i] = x86_interesting(r);
    fill(r, c->window, WINDOW_BYTES);
    memcpy(g->seg, e->seg, sizeof(g->seg));
    if (e->bits == 64) {
        g->fs_base = x86_percent(r, 50) ? x86_random(r) >> 20 : 0;
        g->gs_base = x86_percent(r, 50) ? (uint64_t)BASE : 0;
    }
    g->rflags = (x86_random(r) & (FLAGS_ARITHMETIC | (x86_percent(r, 25) ? FLAG_DF : 0))) | FLAG_1 | FLAG_IF |
                (x86_percent(r, 10) ? FLAG_ID : 0) | (x86_percent(r, 5) ? FLAG_AC : 0) |
                (x86_percent(r, 4) && stack_bytes(e) != 2
                     ? FLAG_TF
                     : 0); /* iret leaves bits of the host's stack pointer in a 16-bit one */
    uint64_t sp = window_offset(e, r, c, X86_SS) + (x86_percent(r, 10) ? x86_below(r, 8) : 0);
    g->gpr[RSP] = stack_bytes(e) == 2 ? (g->gpr[RSP] & 0xffff0000) | (sp & 0xffff) : sp;
    if (e->memory)
        target = solve(e, c, choose_operand(e, r));
    c->operand = target;
    prepare(e, r, c, target);
}
