/*
 * x86: MXCSR, and saving and restoring the x87, SSE and AVX state (SDM volume 1, section 10.5 and chapter 13).
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/cpu.h"
#include "tcg/ir_host.h"
#include <string.h>

enum { X87_STATE = 1, SSE_STATE = 2, AVX_STATE = 4, PKRU_STATE = 1 << 9 };
enum {
    FX_BYTES = 512,
    HEADER = 512,
    AVX_OFFSET = 576,
    PKRU_OFFSET = 2688,
    AVX_BYTES = 256,
    AREA_BYTES = PKRU_OFFSET + 8,
    MXCSR_MASK = 0xffff,
    MXCSR_DEFAULT = 0x1f80,
    MXCSR_FLAGS = 0x3f,
};
#define COMPACT (UINT64_C(1) << 63)

/* ---- MXCSR ---- */

static uint32_t flags_to_mxcsr(unsigned f)
{
    return (f & IR_FP_NV ? 1 : 0) | (f & IR_FP_DE ? 2 : 0) | (f & IR_FP_DZ ? 4 : 0) | (f & IR_FP_OF ? 8 : 0) |
           (f & IR_FP_UF ? 16 : 0) | (f & IR_FP_NX ? 32 : 0);
}

uint32_t x86_mxcsr(X86State *s)
{
    return (s->mxcsr & ~(uint32_t)MXCSR_FLAGS) | flags_to_mxcsr(tcg_fp_flags(&s->cs));
}

bool x86_set_mxcsr(X86State *s, uint32_t value)
{
    static const uint8_t rounding[] = { FROUND_RNE, FROUND_RDN, FROUND_RUP, FROUND_RTZ };
    if (value & ~(uint32_t)MXCSR_MASK)
        return false;
    bool mode = ((s->mxcsr ^ value) & MXCSR_DEFAULT) != 0;
    s->mxcsr = value;
    tcg_fp_set(&s->cs, ir_host_flags(value & MXCSR_FLAGS),
               rounding[value >> 13 & 3] | (value >> 15 & 1 ? IR_FP_FLUSH : 0) |
                   (value >> 6 & 1 ? IR_FP_DENORMALS_ZERO : 0));
    if (mode)
        x86_mode_changed(s);
    return true;
}

void x86_reset_float(X86State *s)
{
    enum { X87_CONTROL_POWER_UP = 0x40 };
    s->fpu = (X86Fpu){ .used = 0xff };
    s->cs.x87_flags = 0;
    x87_set_control(s, X87_CONTROL_POWER_UP);
    s->mxcsr = MXCSR_DEFAULT;
    s->cs.fp_flags = s->cs.fp_round = 0;
    s->avx_dirty = 0;
}

void x86_find_dirty(X86State *s)
{
    uint64_t any = 0;
    for (unsigned i = 0; i < 16; i++)
        any |= s->xmm[i][2] | s->xmm[i][3];
    s->avx_dirty = any != 0;
}

/* ---- the parts of the area ---- */

static unsigned xmm_count(const X86State *s)
{
    return x86_code_bits(s) == 64 ? 16 : 8;
}

void x86_put_x87(X86State *s, uint8_t *area, bool wide)
{
    uint16_t head[4] = { s->fpu.control, x87_status(s), s->fpu.used, s->fpu.opcode };
    memcpy(area, head, 8);
    memcpy(area + 8, &s->fpu.instruction, wide ? 8 : 4);
    memcpy(area + 16, &s->fpu.operand, wide ? 8 : 4);
    for (unsigned i = 0; i < 8; i++)
        memcpy(area + 32 + 16 * i, s->fpu.reg[(s->fpu.top + i) & 7], 10);
}

void x86_get_x87(X86State *s, const uint8_t *area, bool wide)
{
    uint16_t head[4];
    memcpy(head, area, 8);
    x87_set_control(s, head[0]);
    x87_set_status(s, head[1]);
    s->fpu.used = (uint8_t)head[2];
    s->fpu.opcode = head[3] & 0x7ff;
    s->fpu.instruction = s->fpu.operand = 0;
    memcpy(&s->fpu.instruction, area + 8, wide ? 8 : 4);
    memcpy(&s->fpu.operand, area + 16, wide ? 8 : 4);
    for (unsigned i = 0; i < 8; i++)
        memcpy(s->fpu.reg[(s->fpu.top + i) & 7], area + 32 + 16 * i, 10);
}

static void put_xmm(const X86State *s, uint8_t *area)
{
    for (unsigned i = 0; i < xmm_count(s); i++)
        memcpy(area + 160 + 16 * i, s->xmm[i], 16);
}

static void get_xmm(X86State *s, const uint8_t *area)
{
    for (unsigned i = 0; i < xmm_count(s); i++) {
        if (area)
            memcpy(s->xmm[i], area + 160 + 16 * i, 16);
        else
            memset(s->xmm[i], 0, 16);
    }
}

static void put_upper(const X86State *s, uint8_t *area)
{
    for (unsigned i = 0; i < xmm_count(s); i++)
        memcpy(area + 16 * i, &s->xmm[i][2], 16);
}

static void get_upper(X86State *s, const uint8_t *area)
{
    for (unsigned i = 0; i < xmm_count(s); i++) {
        if (area)
            memcpy(&s->xmm[i][2], area + 16 * i, 16);
        else
            memset(&s->xmm[i][2], 0, 16);
    }
    x86_find_dirty(s);
}

/* ---- memory ---- */

/* The operand as the segment's limit is checked for it. */
typedef struct Area {
    unsigned segment;
    uint64_t offset;
} Area;

static uint64_t to_linear(const X86State *s, unsigned segment, uint64_t offset)
{
    uint64_t base = s->segment[segment].base;
    if (x86_code_bits(s) == 64)
        return offset + (segment >= X86_FS ? base : 0);
    return (uint32_t)(base + offset);
}

/* Are this many bytes within the segment? False: raised. */
static bool inside(X86State *s, const Area *a, unsigned bytes, bool write)
{
    return x86_code_bits(s) == 64 || x86_check_segment(s, a->segment, a->offset, bytes, write);
}

static bool load_area(X86State *s, uint64_t address, uint8_t *out, unsigned bytes)
{
    for (unsigned i = 0; i < bytes && !s->cs.raised; i += 8) {
        uint64_t v = tcg_load(&s->cs, address + i, MO_64);
        memcpy(out + i, &v, 8);
    }
    return !s->cs.raised;
}

/* May all of it be written? Faults come before anything is changed. */
static bool writable(X86State *s, uint64_t address, unsigned bytes)
{
    for (unsigned i = 0; i < bytes && !s->cs.raised; i += GUEST_PAGE_SIZE / 2)
        x86_check_write(s, address + i, MIN(bytes - i, GUEST_PAGE_SIZE / 2));
    return !s->cs.raised;
}

static void store_area(X86State *s, uint64_t address, const uint8_t *in, unsigned bytes)
{
    for (unsigned i = 0; i < bytes && !s->cs.raised; i += 8) {
        uint64_t v;
        memcpy(&v, in + i, 8);
        tcg_store_again(&s->cs, address + i, v, MO_64);
    }
}

/* ---- fxsave, fxrstor ---- */

static bool fast(const X86State *s)
{
    return s->efer & EFER_FFXSR && x86_cpl(s) == 0 && x86_code_bits(s) == 64;
}

static void fxsave(X86State *s, uint64_t address, bool wide)
{
    uint8_t area[FX_BYTES];
    uint32_t control[2] = { x86_mxcsr(s), MXCSR_MASK };
    if (!writable(s, address, 416) || !load_area(s, address, area, FX_BYTES))
        return;
    memset(area, 0, 160);
    x86_put_x87(s, area, wide);
    memcpy(area + 24, control, 8);
    if (!fast(s))
        put_xmm(s, area);
    store_area(s, address, area, 416);
}

static void fxrstor(X86State *s, uint64_t address, bool wide)
{
    uint8_t area[FX_BYTES];
    uint32_t control;
    if (!load_area(s, address, area, FX_BYTES))
        return;
    memcpy(&control, area + 24, 4);
    if (!x86_set_mxcsr(s, control)) {
        x86_raise(s, VECTOR_GP, 0);
        return;
    }
    x86_get_x87(s, area, wide);
    if (!fast(s))
        get_xmm(s, area);
}

/* ---- xsave and its kin ---- */

static bool x87_in_use(X86State *s)
{
    return x87_status(s) || s->fpu.used || s->fpu.control != X87_CONTROL_DEFAULT;
}

static uint64_t in_use(X86State *s)
{
    uint64_t use = x87_in_use(s) ? X87_STATE : 0, low = 0;
    for (unsigned i = 0; i < 16; i++)
        low |= s->xmm[i][0] | s->xmm[i][1];
    x86_find_dirty(s);
    return use | (low ? SSE_STATE : 0) | (s->avx_dirty ? AVX_STATE : 0) | (s->pkru ? PKRU_STATE : 0);
}

static uint64_t requested(const X86State *s)
{
    return ((uint32_t)s->gpr[RAX] | s->gpr[RDX] << 32) & s->xcr0;
}

static void xsave(X86State *s, uint64_t address, unsigned what, bool wide)
{
    bool compact = what == STATE_XSAVEC || what == STATE_XSAVES, all = what == STATE_XSAVE;
    uint64_t mask = requested(s), use = in_use(s), old[2] = { 0 };
    unsigned avx = AVX_OFFSET, pkru = compact ? AVX_OFFSET + (mask & AVX_STATE ? AVX_BYTES : 0) : PKRU_OFFSET;
    uint64_t parts = all ? mask : mask & use;
    uint8_t area[FX_BYTES + 64] = { 0 }, upper[AVX_BYTES] = { 0 };
    uint32_t control[2] = { x86_mxcsr(s), MXCSR_MASK };
    if (compact && control[0] != MXCSR_DEFAULT && mask & SSE_STATE)
        parts |= SSE_STATE, use |= SSE_STATE;
    unsigned end = parts & PKRU_STATE ? pkru + 8 : parts & AVX_STATE ? avx + AVX_BYTES : AVX_OFFSET;
    if (!writable(s, address, end) || !load_area(s, address + HEADER, (uint8_t *)old, 16))
        return;
    if (parts & X87_STATE) {
        x86_put_x87(s, area, wide);
        store_area(s, address, area, 24);
        store_area(s, address + 32, area + 32, 128);
    }
    if (compact ? parts & SSE_STATE : mask & (SSE_STATE | AVX_STATE)) {
        memcpy(area + 24, control, 8);
        store_area(s, address + 24, area + 24, 8);
    }
    if (parts & SSE_STATE) {
        put_xmm(s, area);
        store_area(s, address + 160, area + 160, 16 * xmm_count(s));
    }
    if (parts & AVX_STATE) {
        put_upper(s, upper);
        store_area(s, address + avx, upper, 16 * xmm_count(s));
    }
    if (parts & PKRU_STATE)
        tcg_store_again(&s->cs, address + pkru, s->pkru, MO_64);
    tcg_store_again(&s->cs, address + HEADER, compact ? mask & use : (old[0] & ~mask) | (mask & use), MO_64);
    if (compact)
        tcg_store_again(&s->cs, address + HEADER + 8, COMPACT | mask, MO_64);
}

/* Is the header one that xrstor takes? */
static bool header_legal(const X86State *s, const uint64_t header[8], bool supervisor)
{
    uint64_t rest = 0;
    for (unsigned i = 2; i < 8; i++)
        rest |= header[i];
    if (header[1] & COMPACT)
        return !(header[1] & ~COMPACT & ~s->xcr0) && !(header[0] & ~header[1]) && !rest;
    return !supervisor && !header[1] && !(header[0] & ~s->xcr0) && !header[2];
}

static void xrstor(X86State *s, const Area *where, uint64_t address, bool supervisor, bool wide)
{
    uint8_t area[FX_BYTES], upper[AVX_BYTES];
    uint64_t mask = requested(s), header[8];
    if (!load_area(s, address, area, FX_BYTES) || !load_area(s, address + HEADER, (uint8_t *)header, 64))
        return;
    bool compact = header[1] & COMPACT;
    uint64_t present = mask & header[0];
    unsigned pkru = compact ? AVX_OFFSET + (header[1] & AVX_STATE ? AVX_BYTES : 0) : PKRU_OFFSET;
    uint64_t pkru_value = 0;
    uint32_t control = MXCSR_DEFAULT;
    if (!header_legal(s, header, supervisor)) {
        x86_raise(s, VECTOR_GP, 0);
        return;
    }
    if (mask & AVX_STATE && !inside(s, where, AVX_OFFSET + AVX_BYTES, false))
        return;
    if ((present & AVX_STATE && !load_area(s, address + AVX_OFFSET, upper, AVX_BYTES)) ||
        (present & PKRU_STATE && !load_area(s, address + pkru, (uint8_t *)&pkru_value, 8)))
        return;
    bool sets_control = mask & (compact ? SSE_STATE : SSE_STATE | AVX_STATE);
    if (!compact || present & SSE_STATE)
        memcpy(&control, area + 24, 4);
    if (sets_control && !x86_set_mxcsr(s, control)) {
        x86_raise(s, VECTOR_GP, 0);
        return;
    }
    if (present & X87_STATE)
        x86_get_x87(s, area, wide);
    else if (mask & X87_STATE) {
        x87_reset(s);
        memset(s->fpu.reg, 0, sizeof(s->fpu.reg));
    }
    if (mask & SSE_STATE)
        get_xmm(s, present & SSE_STATE ? area : NULL);
    if (mask & AVX_STATE)
        get_upper(s, present & AVX_STATE ? upper : NULL);
    if (mask & PKRU_STATE)
        x86_set_pkru(s, (uint32_t)pkru_value);
}

uint64_t x86_state_area(X86State *s, unsigned what, uint64_t offset, bool wide)
{
    unsigned segment = what >> 8;
    what &= 0xff;
    bool fx = what == STATE_FXSAVE || what == STATE_FXRSTOR;
    bool load = what == STATE_FXRSTOR || what == STATE_XRSTOR || what == STATE_XRSTORS;
    bool all = !fx && !load && requested(s) & AVX_STATE;
    Area area = { .segment = segment, .offset = offset };
    uint64_t address = to_linear(s, segment, offset);
    if (!inside(s, &area, fx ? FX_BYTES : all ? AVX_OFFSET + AVX_BYTES : AVX_OFFSET, !load))
        return 0;
    Walk w;
    if (x86_long(s) && !x86_canonical(s, address)) { /* #SS or #GP */
        x86_walk(&s->cs, address, ACCESS_LOAD, s->cs.mmu_index, true, &w);
        return 0;
    }
    if (address & (fx ? 15 : 63)) {
        x86_raise(s, fx && s->cs.mode & MODE_ALIGN && address & 3 ? VECTOR_AC : VECTOR_GP, 0);
        return 0;
    }
    switch (what) {
    case STATE_FXSAVE:
        fxsave(s, address, wide);
        break;
    case STATE_FXRSTOR:
        fxrstor(s, address, wide);
        break;
    case STATE_XRSTOR:
    case STATE_XRSTORS:
        xrstor(s, &area, address, what == STATE_XRSTORS, wide);
        break;
    default:
        xsave(s, address, what, wide);
    }
    return 0;
}
