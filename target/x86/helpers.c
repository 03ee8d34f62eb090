/*
 * x86: functions that generated code calls (see translate.h).
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/rep.h"
#include "target/x86/system.h"
#include "target/x86/translate.h"

static uint64_t helper_raise(CpuState *cs, uint64_t vector, uint64_t error, uint64_t c, uint64_t d)
{
    x86_raise(x86(cs), (unsigned)vector, (uint32_t)error);
    return 0;
}

static uint64_t helper_flags(CpuState *cs, uint64_t op, uint64_t result, uint64_t source, uint64_t d)
{
    return x86_flags_of((uint32_t)op, result, source);
}

/* The whole rule, for what the check in the unit does not know: expand-down, read-only, not present, no segment. */
bool x86_check_segment(X86State *s, unsigned segment, uint64_t offset, unsigned size, bool write)
{
    unsigned a = s->segment[segment].attributes;
    bool real = !x86_protected(s), ok = true;
    uint64_t last = offset + size - 1, limit = s->segment[segment].limit;
    if (!real) {
        bool code = a & DESC_CODE;
        ok = a & DESC_P && (write ? !code && a & DESC_WRITABLE : !code || a & DESC_WRITABLE);
    }
    if (!real && (a & (DESC_CODE | DESC_EXPAND_DOWN)) == DESC_EXPAND_DOWN)
        ok = ok && offset > limit && last <= (a & DESC_DB ? UINT32_MAX : 0xffffu);
    else
        ok = ok && last <= limit;
    if (!ok)
        x86_raise(s, segment == X86_SS ? VECTOR_SS : VECTOR_GP, 0);
    return ok;
}

static uint64_t helper_check_segment(CpuState *cs, uint64_t offset, uint64_t what, uint64_t c, uint64_t d)
{
    x86_check_segment(x86(cs), what & 0xff, (uint32_t)offset, what >> 8 & 0xffff, what >> 24 & 1);
    return 0;
}

static uint64_t helper_check_write(CpuState *cs, uint64_t va, uint64_t bytes, uint64_t c, uint64_t d)
{
    if (cs->mode & MODE_ALIGN && va & (bytes - 1))
        x86_raise_misaligned(cs, va, ACCESS_STORE);
    else
        x86_check_write(x86(cs), va, (unsigned)bytes);
    return 0;
}

/* Is the instruction of so many bytes within CS, or else is the target of a jump? */
static uint64_t helper_check_code(CpuState *cs, uint64_t length, uint64_t target, uint64_t c, uint64_t d)
{
    X86State *s = x86(cs);
    if ((length ? x86_ip(s) + length - 1 : target) > s->segment[X86_CS].limit)
        x86_raise(s, VECTOR_GP, 0);
    return 0;
}

static uint64_t helper_step(CpuState *cs, uint64_t next, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = x86(cs);
    cs->pc = next;
    if (s->shadow == SHADOW_SS && s->shadow_pc == next) /* after the next one */
        return 0;
    bool step = s->eflags & FLAG_TF && !(s->watch_hit & NO_STEP);
    uint64_t bits = (s->watch_hit & ~(uint64_t)NO_STEP) | (step ? DR6_BS : 0);
    s->watch_hit = 0;
    if (bits)
        x86_debug_trap(s, bits);
    return 0;
}

/* ---- arithmetic ---- */

static bool divide_narrow(X86State *s, unsigned size, bool is_signed, uint64_t b)
{
    unsigned width = size * 8;
    uint64_t mask = (1ull << width) - 1;
    uint64_t a = size == 1 ? s->gpr[RAX] & 0xffff : (s->gpr[RAX] & mask) | (s->gpr[RDX] & mask) << width, q, r;
    if (is_signed) {
        int64_t x = (int64_t)(a << (64 - 2 * width)) >> (64 - 2 * width), y = (int64_t)b;
        if (y == 0 || (y == -1 && x == INT64_MIN))
            return false;
        q = (uint64_t)(x / y);
        r = (uint64_t)(x % y);
        if ((int64_t)(q << (64 - width)) >> (64 - width) != (int64_t)q)
            return false;
    } else {
        if (!b)
            return false;
        q = a / b;
        r = a % b;
        if (q > mask)
            return false;
    }
    if (size == 1) {
        s->gpr[RAX] = (s->gpr[RAX] & ~0xffffull) | (q & 0xff) | (r & 0xff) << 8;
    } else if (size == 2) {
        s->gpr[RAX] = (s->gpr[RAX] & ~0xffffull) | (q & 0xffff);
        s->gpr[RDX] = (s->gpr[RDX] & ~0xffffull) | (r & 0xffff);
    } else {
        s->gpr[RAX] = (uint32_t)q;
        s->gpr[RDX] = (uint32_t)r;
    }
    return true;
}

static bool divide_wide(X86State *s, bool is_signed, uint64_t b)
{
    unsigned __int128 a = (unsigned __int128)s->gpr[RDX] << 64 | s->gpr[RAX];
    if (!b)
        return false;
    if (!is_signed) {
        if (s->gpr[RDX] >= b)
            return false;
        s->gpr[RAX] = (uint64_t)(a / b);
        s->gpr[RDX] = (uint64_t)(a % b);
        return true;
    }
    bool negative = a >> 127, opposite = negative != (b >> 63);
    unsigned __int128 x = negative ? -a : a, y = b >> 63 ? -b : b, q = x / y, r = x % y;
    if (q > (unsigned __int128)INT64_MAX + opposite)
        return false;
    s->gpr[RAX] = opposite ? -(uint64_t)q : (uint64_t)q;
    s->gpr[RDX] = negative ? -(uint64_t)r : (uint64_t)r;
    return true;
}

static uint64_t helper_divide(CpuState *cs, uint64_t b, uint64_t what, uint64_t c, uint64_t d)
{
    unsigned size = what & 0xff;
    bool is_signed = what >> 8;
    bool ok = size == 8 ? divide_wide(x86(cs), is_signed, b) : divide_narrow(x86(cs), size, is_signed, b);
    if (!ok)
        x86_raise(x86(cs), VECTOR_DE, 0);
    return 0;
}

/* what: bytes, 256: left, 512: give the flags. */
static uint64_t helper_rotate_carry(CpuState *cs, uint64_t value, uint64_t n, uint64_t flags, uint64_t what)
{
    unsigned width = 8 * (what & 0xff), count = (uint32_t)n % (width + 1);
    bool left = what & 256;
    uint32_t f = (uint32_t)flags;
    unsigned __int128 all = (unsigned __int128)(f & FLAG_CF) << width | (value & (UINT64_MAX >> (64 - width)));
    unsigned back = width + 1 - count;
    if (count)
        all = left ? all << count | all >> back : all >> count | all << back;
    if (!(what & 512))
        return (uint64_t)all;
    if (!(uint32_t)n)
        return f;
    unsigned cf = all >> width & 1, top = all >> (width - 1) & 1, next = all >> (width - 2) & 1;
    return (f & ~(uint32_t)(FLAG_CF | FLAG_OF)) | cf | ((left ? cf : next) != top ? FLAG_OF : 0);
}

static uint64_t helper_pext(CpuState *cs, uint64_t value, uint64_t mask, uint64_t c, uint64_t d)
{
    uint64_t r = 0;
    for (unsigned n = 0; mask; mask &= mask - 1, n++)
        r |= (value >> __builtin_ctzll(mask) & 1) << n;
    return r;
}

static uint64_t helper_pdep(CpuState *cs, uint64_t value, uint64_t mask, uint64_t c, uint64_t d)
{
    uint64_t r = 0;
    for (unsigned n = 0; mask; mask &= mask - 1, n++)
        r |= (value >> n & 1) << __builtin_ctzll(mask);
    return r;
}

static uint32_t crc_table[256];

static void make_crc_table(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (unsigned k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
        crc_table[i] = crc;
    }
}

static uint64_t helper_crc32(CpuState *cs, uint64_t crc, uint64_t value, uint64_t bytes, uint64_t d)
{
    uint32_t x = (uint32_t)crc;
    for (unsigned i = 0; i < bytes; i++)
        x = x >> 8 ^ crc_table[(x ^ value >> 8 * i) & 0xff];
    return x;
}

static uint32_t result_flags(uint8_t al)
{
    return x86_flags_of(CC_OP(CC_LOGIC, 0), al, 0);
}

/* daa, das (packed): SDM volume 2. */
static uint32_t adjust_packed(uint8_t *al, uint32_t flags, bool subtract)
{
    uint8_t old = *al;
    bool cf = false, af = false;
    if ((old & 15) > 9 || flags & FLAG_AF) {
        *al = (uint8_t)(subtract ? old - 6 : old + 6);
        cf = flags & FLAG_CF || (subtract ? old < 6 : old > 0xf9);
        af = true;
    }
    if (old > 0x99 || flags & FLAG_CF) {
        *al = (uint8_t)(subtract ? *al - 0x60 : *al + 0x60);
        cf = true;
    }
    return result_flags(*al) | (cf ? FLAG_CF : 0) | (af ? FLAG_AF : 0);
}

/* Returns AX with the flags 32 bits up. what: opcode, immediate << 8. */
static uint64_t helper_decimal(CpuState *cs, uint64_t rax, uint64_t flags, uint64_t what, uint64_t d)
{
    uint8_t al = (uint8_t)rax, ah = (uint8_t)(rax >> 8), base = (uint8_t)(what >> 8);
    uint32_t f = (uint32_t)flags;
    uint16_t ax = (uint16_t)rax;
    bool adjust = (al & 15) > 9 || f & FLAG_AF;
    switch (what & 0xff) {
    case 0x27:
    case 0x2f:
        f = adjust_packed(&al, f, (what & 0xff) == 0x2f);
        ax = (uint16_t)(ah << 8 | al);
        break;
    case 0x37:
    case 0x3f:
        if (adjust)
            ax = (uint16_t)((what & 0xff) == 0x37 ? ax + 0x106 : ax - 0x106);
        ax &= 0xff0f;
        f = result_flags((uint8_t)ax) | (adjust ? FLAG_AF | FLAG_CF : 0);
        break;
    case 0xd4:
        ax = (uint16_t)(al / base << 8 | al % base);
        f = result_flags((uint8_t)ax);
        break;
    default:
        ax = (uint8_t)(al + ah * base);
        f = result_flags((uint8_t)ax);
    }
    return ax | (uint64_t)f << 32;
}

/* ---- with a lock prefix ---- */

static uint64_t locked_result(unsigned kind, uint64_t old, uint64_t value, uint64_t carry)
{
    return kind == X86_LOCKED_ADC ? old + value + carry : kind == X86_LOCKED_SBB ? old - value - carry : 0 - old;
}

static uint64_t helper_locked(CpuState *cs, uint64_t va, uint64_t value, uint64_t what, uint64_t carry)
{
    unsigned memop = (what >> 8 & 3) | (cs->mode & MODE_ALIGN ? MO_ALIGN : 0), kind = what & 0xff;
    uint64_t old = tcg_load(cs, va, memop | MO_FOR_WRITE), seen;
    carry &= 1;
    for (; !cs->raised; old = seen) {
        seen = tcg_cas(cs, va, old, locked_result(kind, old, value, carry), memop);
        if (seen == old)
            break;
    }
    return old;
}

/* cmpxchg8b, cmpxchg16b; returns whether they were equal. */
static uint64_t helper_cmpxchg_wide(CpuState *cs, uint64_t va, uint64_t size, uint64_t c, uint64_t d)
{
    X86State *s = x86(cs);
    uint64_t *gpr = s->gpr;
    if (size == 8) {
        uint64_t expected = (uint32_t)gpr[RAX] | gpr[RDX] << 32, value = (uint32_t)gpr[RBX] | gpr[RCX] << 32;
        uint64_t old = tcg_cas(cs, va, expected, value, MO_64);
        if (cs->raised || old == expected)
            return old == expected;
        gpr[RAX] = (uint32_t)old;
        gpr[RDX] = old >> 32;
        return 0;
    }
    uint64_t old[2] = { gpr[RAX], gpr[RDX] }, value[2] = { gpr[RBX], gpr[RCX] };
    if (va & 15) {
        x86_raise(s, VECTOR_GP, 0);
        return 0;
    }
    if (!tcg_cas16(cs, va, old, value))
        return 0;
    bool equal = old[0] == gpr[RAX] && old[1] == gpr[RDX];
    gpr[RAX] = old[0];
    gpr[RDX] = old[1];
    return equal;
}

static uint64_t helper_string(CpuState *cs, uint64_t what, uint64_t address, uint64_t length, uint64_t d)
{
    return x86_string(x86(cs), (uint32_t)what, (unsigned)address);
}

static uint64_t helper_system(CpuState *cs, uint64_t what, uint64_t a, uint64_t b, uint64_t length)
{
    return x86_system(x86(cs), (unsigned)what, a, b, (unsigned)length);
}

/* ---- floating point and vectors ---- */

static uint64_t helper_no_fpu(CpuState *cs, uint64_t need, uint64_t b, uint64_t c, uint64_t d)
{
    X86State *s = x86(cs);
    bool undefined = false;
    switch (need) {
    case NEED_WAIT:
        if ((s->cr0 & (CR0_MP | CR0_TS)) != (CR0_MP | CR0_TS))
            return 0;
        break;
    case NEED_MMX:
        undefined = s->cr0 & CR0_EM;
        break;
    case NEED_SSE:
        undefined = s->cr0 & CR0_EM || !(s->cr4 & CR4_OSFXSR);
        break;
    case NEED_AVX:
        undefined = !(s->cr4 & CR4_OSXSAVE) || (s->xcr0 & 6) != 6;
        break;
    case NEED_XSAVE:
        undefined = !(s->cr4 & CR4_OSXSAVE);
        break;
    }
    x86_raise(s, undefined ? VECTOR_UD : VECTOR_NM, 0);
    return 0;
}

static uint64_t helper_simd(CpuState *cs, uint64_t what, uint64_t address, uint64_t operands, uint64_t d)
{
    return x86_simd(x86(cs), what, address, operands);
}

static uint64_t helper_simd_checked(CpuState *cs, uint64_t what, uint64_t vectors, uint64_t c, uint64_t d)
{
    return x86_simd_checked(x86(cs), (int64_t)what, vectors);
}

static uint64_t helper_x87(CpuState *cs, uint64_t opcode, uint64_t address, uint64_t is_short, uint64_t d)
{
    return x87_execute(x86(cs), opcode, address, is_short);
}

static uint64_t helper_x87_pending(CpuState *cs, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    x87_wait(x86(cs));
    return 0;
}

static uint64_t helper_state(CpuState *cs, uint64_t what, uint64_t address, uint64_t wide, uint64_t d)
{
    return x86_state_area(x86(cs), (unsigned)what, address, wide);
}

static uint64_t helper_mxcsr(CpuState *cs, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    return x86_mxcsr(x86(cs));
}

static uint64_t helper_set_mxcsr(CpuState *cs, uint64_t value, uint64_t b, uint64_t c, uint64_t d)
{
    if (!x86_set_mxcsr(x86(cs), (uint32_t)value))
        x86_raise(x86(cs), VECTOR_GP, 0);
    return 0;
}

const HelperDesc x86_helpers[] = {
#define HELPER(name, function, args, returns, flags) { #function, helper_##function, args, returns, flags },
    X86_HELPERS(HELPER)
#undef HELPER
};

void x86_helpers_init(void)
{
    make_crc_table();
}
