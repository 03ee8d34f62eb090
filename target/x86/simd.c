/*
 * x86: vector instructions that are not the host's one to one: masked moves and gathers (element by element, as each
 * may fault), comparisons of strings, SSE4A, SHA (SDM volume 2; AMD64 Architecture Programmer's Manual volume 4 for
 * SSE4A).
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/cpu.h"
#include <string.h>

static uint8_t *bytes_of(X86State *s, unsigned reg)
{
    return (uint8_t *)s->xmm[reg];
}

static void clear_upper(X86State *s, unsigned reg)
{
    s->xmm[reg][2] = s->xmm[reg][3] = 0;
}

/* ---- masked moves and gathers ---- */

static bool sign_of(const uint8_t *element, unsigned size)
{
    return element[size - 1] & 0x80;
}

static unsigned memop_of(unsigned size)
{
    return (unsigned)__builtin_ctz(size);
}

bool x86_check_write(X86State *s, uint64_t va, unsigned bytes)
{
    uint64_t last = va + bytes - 1;
    tcg_load(&s->cs, va, MO_8 | MO_FOR_WRITE);
    if (!s->cs.raised && (va ^ last) >> GUEST_PAGE_BITS)
        tcg_load(&s->cs, last & GUEST_PAGE_MASK, MO_8 | MO_FOR_WRITE);
    return !s->cs.raised;
}

/* Linear address of bytes at an offset in the segment that flags name, of which those from first to end (not included)
 * are accessed. False: raised. */
static bool linear(X86State *s, unsigned flags, uint64_t offset, unsigned first, unsigned end, bool write, uint64_t *va)
{
    unsigned segment = flags >> SIMD_SEGMENT & 7;
    uint64_t base = s->segment[segment].base;
    if (x86_code_bits(s) == 64) {
        *va = offset + (segment >= X86_FS ? base : 0);
        return true;
    }
    *va = (uint32_t)(base + offset);
    return x86_check_segment(s, segment, (uint32_t)offset + first, end - first, write);
}

/* May the bytes of a masked store be written? Nothing is before all of them may. */
static bool masked_check(X86State *s, unsigned flags, uint64_t *address, const uint8_t *mask, unsigned bytes,
                         unsigned size)
{
    unsigned first = bytes, end = 0;
    for (unsigned i = 0; i < bytes; i += size) {
        if (!sign_of(mask + i, size))
            continue;
        first = MIN(first, i);
        end = i + size;
    }
    if (size == 1) { /* maskmovq, maskmovdqu: all of it, whatever is masked */
        first = 0;
        end = bytes;
    }
    if (first >= end)
        return true;
    if (!linear(s, flags, *address, first, end, true, address))
        return false;
    if (size == 1 && s->cs.mode & MODE_ALIGN && *address & 7) {
        x86_raise_misaligned(&s->cs, *address, ACCESS_STORE);
        return false;
    }
    return x86_check_write(s, *address + first, end - first);
}

/* Elements whose mask has its top bit set. False: raised. */
static bool masked_store(X86State *s, unsigned flags, uint64_t address, const uint8_t *value, const uint8_t *mask,
                         unsigned bytes, unsigned size)
{
    if (!masked_check(s, flags, &address, mask, bytes, size))
        return false;
    for (unsigned i = 0; i < bytes; i += size) {
        uint64_t v = 0;
        memcpy(&v, value + i, size);
        if (!sign_of(mask + i, size))
            continue;
        tcg_store_again(&s->cs, address + i, v, memop_of(size));
        if (s->cs.raised)
            return false;
    }
    return true;
}

static void masked_move(X86State *s, unsigned flags, uint64_t offset, const SimdOperands *o, unsigned size)
{
    bool store = o->opcode == 0x2e || o->opcode == 0x2f || o->opcode == 0x8e;
    const uint8_t *mask = bytes_of(s, o->vvvv);
    uint8_t out[32] = { 0 };
    if (store) {
        masked_store(s, flags, offset, bytes_of(s, o->reg), mask, o->bytes, size);
        return;
    }
    for (unsigned i = 0; i < o->bytes; i += size) {
        if (!sign_of(mask + i, size))
            continue;
        uint64_t v, address;
        if (!linear(s, flags, offset, i, i + size, false, &address))
            return;
        v = tcg_load(&s->cs, address + i, memop_of(size));
        if (s->cs.raised)
            return;
        memcpy(out + i, &v, size);
    }
    memcpy(bytes_of(s, o->reg), out, 32);
    s->avx_dirty |= o->bytes == 32;
}

/* Each element that is loaded clears its mask, so that a fault in between can be gone on from. */
static void gather(X86State *s, uint64_t base, const SimdOperands *o, unsigned size, unsigned flags)
{
    unsigned index_size = o->opcode & 1 ? 8 : 4, scale = flags >> SIMD_SCALE & 3;
    unsigned count = o->bytes / MAX(size, index_size);
    uint8_t *out = bytes_of(s, o->reg), *mask = bytes_of(s, o->vvvv);
    const uint8_t *indices = bytes_of(s, o->index);
    for (unsigned i = 0; i < count; i++) {
        int64_t index = 0;
        if (!sign_of(mask + i * size, size)) {
            memset(mask + i * size, 0, size);
            continue;
        }
        memcpy(&index, indices + i * index_size, index_size);
        if (index_size == 4)
            index = (int32_t)index;
        uint64_t offset = base + ((uint64_t)index << scale), address, v;
        if (flags & SIMD_SHORT_ADDRESS)
            offset = (uint32_t)offset;
        if (!linear(s, flags, offset, 0, size, false, &address))
            return;
        v = tcg_load(&s->cs, address, memop_of(size));
        if (s->cs.raised)
            return;
        memcpy(out + i * size, &v, size);
        memset(mask + i * size, 0, size);
    }
    memset(out + count * size, 0, 32 - count * size);
    memset(mask, 0, 32);
    s->avx_dirty |= count * size == 32;
}

/* ---- pcmpestri, pcmpestrm, pcmpistri, pcmpistrm (SDM volume 2, section 4.1) ---- */

enum { STRING_WORDS = 1, STRING_SIGNED = 2, STRING_INDEX = 1 /* opcode bit */, STRING_IMPLICIT = 2 };

static int element(const uint8_t *v, unsigned i, unsigned imm)
{
    if (imm & STRING_WORDS) {
        uint16_t w;
        memcpy(&w, v + 2 * i, 2);
        return imm & STRING_SIGNED ? (int16_t)w : w;
    }
    return imm & STRING_SIGNED ? (int8_t)v[i] : v[i];
}

static unsigned implicit_length(const uint8_t *v, unsigned imm, unsigned count)
{
    unsigned n = 0;
    while (n < count && element(v, n, imm))
        n++;
    return n;
}

static unsigned explicit_length(uint64_t reg, bool wide, unsigned count)
{
    int64_t v = wide ? (int64_t)reg : (int32_t)reg;
    return v > (int64_t)count || v < -(int64_t)count ? count : (unsigned)(v < 0 ? -v : v);
}

/* Bit j: element j of b meets the condition. */
static uint32_t aggregate(const uint8_t *a, unsigned la, const uint8_t *b, unsigned lb, unsigned imm, unsigned count)
{
    uint32_t out = 0;
    for (unsigned j = 0; j < count; j++) {
        bool hit = false;
        switch (imm >> 2 & 3) {
        case 0: /* any of a */
            for (unsigned i = 0; i < la && j < lb; i++)
                hit |= element(a, i, imm) == element(b, j, imm);
            break;
        case 1: /* in a range of a */
            for (unsigned i = 0; i + 1 < la && j < lb; i += 2)
                hit |= element(a, i, imm) <= element(b, j, imm) && element(b, j, imm) <= element(a, i + 1, imm);
            break;
        case 2: /* equal each */
            hit = j < la && j < lb ? element(a, j, imm) == element(b, j, imm) : j >= la && j >= lb;
            break;
        default: /* a begins here */
            hit = true;
            for (unsigned i = 0; i < la && i + j < count; i++)
                hit &= i + j < lb && element(a, i, imm) == element(b, i + j, imm);
        }
        out |= (uint32_t)hit << j;
    }
    return out;
}

static uint32_t polarity(uint32_t bits, unsigned imm, unsigned lb, unsigned count)
{
    uint32_t all = (uint32_t)((UINT64_C(1) << count) - 1), valid = (uint32_t)((UINT64_C(1) << lb) - 1);
    switch (imm >> 4 & 3) {
    case 1:
        return ~bits & all;
    case 3:
        return bits ^ valid;
    default:
        return bits;
    }
}

static void compare_strings(X86State *s, const SimdOperands *o, unsigned flags)
{
    unsigned imm = o->imm, count = imm & STRING_WORDS ? 8 : 16, la, lb;
    const uint8_t *a = bytes_of(s, o->reg), *b = flags & SIMD_REGISTER ? bytes_of(s, o->rm) : s->simd.in[0].bytes;
    if (o->opcode & STRING_IMPLICIT) {
        la = implicit_length(a, imm, count);
        lb = implicit_length(b, imm, count);
    } else {
        la = explicit_length(s->gpr[RAX], flags & SIMD_W, count);
        lb = explicit_length(s->gpr[RDX], flags & SIMD_W, count);
    }
    uint32_t bits = polarity(aggregate(a, la, b, lb, imm, count), imm, lb, count);
    s->cc_op = CC_EFLAGS << 2;
    s->cc_result =
        (bits ? FLAG_CF : 0) | (lb < count ? FLAG_ZF : 0) | (la < count ? FLAG_SF : 0) | (bits & 1 ? FLAG_OF : 0);
    if (o->opcode & STRING_INDEX) {
        s->gpr[RCX] = !bits ? count : imm & 0x40 ? 31u - (unsigned)__builtin_clz(bits) : (unsigned)__builtin_ctz(bits);
        return;
    }
    uint8_t out[16] = { 0 };
    if (imm & 0x40)
        for (unsigned i = 0; i < 16; i++)
            out[i] = bits >> (imm & STRING_WORDS ? i / 2 : i) & 1 ? 0xff : 0;
    else
        memcpy(out, &bits, 2);
    memcpy(bytes_of(s, 0), out, 16);
    if (flags & SIMD_VEX)
        clear_upper(s, 0);
}

/* ---- SSE4A ---- */

static uint64_t field_mask(unsigned length)
{
    return length ? (UINT64_C(1) << length) - 1 : UINT64_MAX;
}

static void extract_bits(X86State *s, const SimdOperands *o)
{
    bool immediate = o->opcode == 0x78;
    unsigned reg = immediate ? o->rm : o->reg;
    uint64_t control = s->xmm[o->rm][0];
    unsigned length = (immediate ? o->imm : (unsigned)control) & 63;
    unsigned index = (immediate ? o->imm2 : (unsigned)(control >> 8)) & 63;
    s->xmm[reg][0] = s->xmm[reg][0] >> index & field_mask(length);
    s->xmm[reg][1] = 0; /* not defined; as processors have it */
}

static void insert_bits(X86State *s, const SimdOperands *o)
{
    bool immediate = o->opcode == 0x78;
    uint64_t control = s->xmm[o->rm][1], value = s->xmm[o->rm][0];
    unsigned length = (immediate ? o->imm : (unsigned)control) & 63;
    unsigned index = (immediate ? o->imm2 : (unsigned)(control >> 8)) & 63;
    uint64_t mask = field_mask(length) << index;
    s->xmm[o->reg][0] = (s->xmm[o->reg][0] & ~mask) | (value << index & mask);
    s->xmm[o->reg][1] = 0;
}

/* ---- SHA ---- */

typedef int Vector4 __attribute__((vector_size(16)));

__attribute__((target("sha,sse4.1"))) static Vector4 sha(unsigned opcode, unsigned imm, Vector4 a, Vector4 b,
                                                         Vector4 x0)
{
    switch (opcode) {
    case 0xc8:
        return __builtin_ia32_sha1nexte(a, b);
    case 0xc9:
        return __builtin_ia32_sha1msg1(a, b);
    case 0xca:
        return __builtin_ia32_sha1msg2(a, b);
    case 0xcb:
        return __builtin_ia32_sha256rnds2(a, b, x0);
    case 0xcc:
        return __builtin_ia32_sha256msg1(a, b);
    case 0xcd:
        return __builtin_ia32_sha256msg2(a, b);
    default:
        switch (imm & 3) {
        case 0:
            return __builtin_ia32_sha1rnds4(a, b, 0);
        case 1:
            return __builtin_ia32_sha1rnds4(a, b, 1);
        case 2:
            return __builtin_ia32_sha1rnds4(a, b, 2);
        default:
            return __builtin_ia32_sha1rnds4(a, b, 3);
        }
    }
}

static void run_sha(X86State *s, const SimdOperands *o, unsigned flags)
{
    Vector4 a, b, x0;
    memcpy(&a, s->xmm[o->reg], 16);
    memcpy(&b, flags & SIMD_REGISTER ? (const void *)s->xmm[o->rm] : s->simd.in[0].bytes, 16);
    memcpy(&x0, s->xmm[0], 16);
    a = sha(o->opcode, o->imm, a, b, x0);
    memcpy(s->xmm[o->reg], &a, 16);
}

uint64_t x86_simd(X86State *s, uint64_t what, uint64_t address, uint64_t operands)
{
    SimdOperands o;
    unsigned flags = (unsigned)(what >> 8), wide = flags & SIMD_W;
    memcpy(&o, &operands, sizeof(o));
    switch (what & 0xff) {
    case SIMD_MASKED_STORE_BYTES:
        masked_store(s, flags, address, bytes_of(s, o.reg), bytes_of(s, o.rm), 16, 1);
        break;
    case SIMD_MASKED_STORE_MMX:
        masked_store(s, flags, address, s->fpu.reg[o.reg & 7], s->fpu.reg[o.rm & 7], 8, 1);
        break;
    case SIMD_MASKED_MOVE: /* the floats' sizes are in the opcode, the integers' in W */
        masked_move(s, flags, address, &o, o.opcode < 0x30 ? (o.opcode & 1 ? 8 : 4) : wide ? 8 : 4);
        break;
    case SIMD_GATHER:
        gather(s, address, &o, wide ? 8 : 4, flags);
        break;
    case SIMD_COMPARE_STRINGS:
        compare_strings(s, &o, flags);
        break;
    case SIMD_EXTRACT_BITS:
        extract_bits(s, &o);
        break;
    case SIMD_INSERT_BITS:
        insert_bits(s, &o);
        break;
    default:
        run_sha(s, &o, flags);
    }
    return 0;
}
