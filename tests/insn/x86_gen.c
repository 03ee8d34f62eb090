/*
 * Encodings of every form in the opcode tables: prefixes, ModRM with all addressing modes, immediates (Intel 64 and
 * IA-32 Architectures Software Developer's Manual, December 2024, volume 2, chapter 2). The tables say what there is;
 * how it is encoded is worked out here, not by the decoder under test.
 * SPDX-License-Identifier: MIT
 */
#define X86_OPCODE_TABLES
#include "x86_gen.h"
#include "target/x86/cpu.h"

#include "x86-opcodes.h"
#include <glib.h>
#include <string.h>

/* Left out: what the host's kernel answers or emulates, what no two processors agree on, what tells the time. */
static const X86Policy policies[] = {
    { "syscall", PREPARE_SKIP, 0, 0 },
    { "sysenter", PREPARE_SKIP, 0, 0 },
    { "sysexit", PREPARE_SKIP, 0, 0 },
    { "sysret", PREPARE_SKIP, 0, 0 },
    { "cpuid", PREPARE_SKIP, 0, 0 },
    { "rdtsc", PREPARE_SKIP, 0, 0 },
    { "rdtscp", PREPARE_SKIP, 0, 0 },
    { "rdpmc", PREPARE_SKIP, 0, 0 },
    { "rdpid", PREPARE_SKIP, 0, 0 },
    { "rdrand", PREPARE_SKIP, 0, 0 },
    { "rdseed", PREPARE_SKIP, 0, 0 },
    { "xgetbv", PREPARE_SKIP, 0, 0 },
    { "monitor", PREPARE_SKIP, 0, 0 },
    { "mwait", PREPARE_SKIP, 0, 0 },
    { "rsm", PREPARE_SKIP, 0, 0 },
    { "int1", PREPARE_SKIP, 0, 0 },
    { "sgdt", PREPARE_SKIP, 0, 0 },
    { "sidt", PREPARE_SKIP, 0, 0 },
    { "sldt", PREPARE_SKIP, 0, 0 },
    { "str", PREPARE_SKIP, 0, 0 },
    { "smsw", PREPARE_SKIP, 0, 0 },
    { "clzero", PREPARE_LINE, 0, 0 },
    { "wbnoinvd", PREPARE_SKIP, 0, 0 },
    { "insb", PREPARE_STRING, 0, 0 },
    { "insz", PREPARE_STRING, 0, 0 },
    { "outsb", PREPARE_STRING, 0, 0 },
    { "outsz", PREPARE_STRING, 0, 0 },
    { "movsb", PREPARE_STRING, 0, 0 },
    { "movsv", PREPARE_STRING, 0, 0 },
    { "cmpsb", PREPARE_STRING, 0, 0 },
    { "cmpsv", PREPARE_STRING, 0, 0 },
    { "stosb", PREPARE_STRING, 0, 0 },
    { "stosv", PREPARE_STRING, 0, 0 },
    { "lodsb", PREPARE_STRING, 0, 0 },
    { "lodsv", PREPARE_STRING, 0, 0 },
    { "scasb", PREPARE_STRING, 0, 0 },
    { "scasv", PREPARE_STRING, 0, 0 },
    { "and", PREPARE_NONE, FLAG_AF, 0 },
    { "or", PREPARE_NONE, FLAG_AF, 0 },
    { "xor", PREPARE_NONE, FLAG_AF, 0 },
    { "test", PREPARE_NONE, FLAG_AF, 0 },
    { "shl", PREPARE_SHIFT, FLAG_AF, COMPARE_COUNT },
    { "shr", PREPARE_SHIFT, FLAG_AF, COMPARE_COUNT },
    { "sar", PREPARE_SHIFT, FLAG_AF, COMPARE_COUNT },
    { "rol", PREPARE_SHIFT, 0, COMPARE_COUNT },
    { "ror", PREPARE_SHIFT, 0, COMPARE_COUNT },
    { "rcl", PREPARE_SHIFT, 0, COMPARE_COUNT },
    { "rcr", PREPARE_SHIFT, 0, COMPARE_COUNT },
    { "shld", PREPARE_SHIFT, FLAG_AF, COMPARE_COUNT | COMPARE_DOUBLE },
    { "shrd", PREPARE_SHIFT, FLAG_AF, COMPARE_COUNT | COMPARE_DOUBLE },
    { "mul", PREPARE_NONE, FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF, 0 },
    { "imul", PREPARE_NONE, FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF, 0 },
    { "imul1", PREPARE_NONE, FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF, 0 },
    { "div", PREPARE_DIVIDE, FLAG_OF | FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF | FLAG_CF, 0 },
    { "idiv", PREPARE_DIVIDE, FLAG_OF | FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF | FLAG_CF, 0 },
    { "bt", PREPARE_BIT, FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF, 0 },
    { "bts", PREPARE_BIT, FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF, 0 },
    { "btr", PREPARE_BIT, FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF, 0 },
    { "btc", PREPARE_BIT, FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF, 0 },
    { "bsf", PREPARE_NONE, FLAG_CF | FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF, COMPARE_ZERO_SOURCE },
    { "bsr", PREPARE_NONE, FLAG_CF | FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF, COMPARE_ZERO_SOURCE },
    { "lzcnt", PREPARE_NONE, FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF, 0 },
    { "tzcnt", PREPARE_NONE, FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF, 0 },
    { "andn", PREPARE_NONE, FLAG_AF | FLAG_PF, 0 },
    { "blsr", PREPARE_NONE, FLAG_AF | FLAG_PF, 0 },
    { "blsi", PREPARE_NONE, FLAG_AF | FLAG_PF, 0 },
    { "blsmsk", PREPARE_NONE, FLAG_AF | FLAG_PF, 0 },
    { "bextr", PREPARE_NONE, FLAG_AF | FLAG_SF | FLAG_PF, 0 },
    { "bzhi", PREPARE_NONE, FLAG_AF | FLAG_PF, 0 },
    { "aaa", PREPARE_NONE, FLAG_OF | FLAG_SF | FLAG_ZF | FLAG_PF, 0 },
    { "aas", PREPARE_NONE, FLAG_OF | FLAG_SF | FLAG_ZF | FLAG_PF, 0 },
    { "daa", PREPARE_NONE, FLAG_OF, 0 },
    { "das", PREPARE_NONE, FLAG_OF, 0 },
    { "aam", PREPARE_NONE, FLAG_OF | FLAG_AF | FLAG_CF, 0 },
    { "aad", PREPARE_NONE, FLAG_OF | FLAG_AF | FLAG_CF, 0 },
    { "xlat", PREPARE_XLAT, 0, 0 },
    { "cmpxchg", PREPARE_CMPXCHG, 0, 0 },
    { "cmpxchg8b", PREPARE_CMPXCHG_PAIR, 0, 0 },
    { "cmpxchg16b", PREPARE_CMPXCHG_PAIR, 0, 0 },
    { "maskmovq", PREPARE_MASKMOV, 0, 0 },
    { "maskmovdqu", PREPARE_MASKMOV, 0, 0 },
    { "vgather*", PREPARE_GATHER, 0, 0 },
    { "vpgather*", PREPARE_GATHER, 0, 0 },
    { "leave", PREPARE_LEAVE, 0, 0 },
    { "enter", PREPARE_ENTER, 0, 0 },
    { "popf", PREPARE_POPF, 0, 0 },
    { "jmp", PREPARE_JUMP, 0, 0 },
    { "call", PREPARE_JUMP, 0, 0 },
    { "ret", PREPARE_RET, 0, 0 },
    { "loop", PREPARE_LOOP, 0, 0 },
    { "loope", PREPARE_LOOP, 0, 0 },
    { "loopne", PREPARE_LOOP, 0, 0 },
    { "jcxz", PREPARE_LOOP, 0, 0 },
    { "fxsave", PREPARE_FX, 0, COMPARE_IMAGE },
    { "fxrstor", PREPARE_FX, 0, 0 },
    { "xsave", PREPARE_XSAVE, 0, COMPARE_IMAGE },
    { "xsaveopt", PREPARE_SKIP, 0, COMPARE_IMAGE },
    { "xsavec", PREPARE_XSAVE, 0, COMPARE_IMAGE },
    { "xsaves", PREPARE_XSAVE, 0, COMPARE_IMAGE },
    { "xrstor", PREPARE_XSAVE, 0, 0 },
    { "xrstors", PREPARE_XSAVE, 0, 0 },
    { "fldenv", PREPARE_X87_ENV, 0, 0 },
    { "frstor", PREPARE_X87_ENV, 0, 0 },
    { "fadd*", PREPARE_NONE, 0, COMPARE_NO_C1 },
    { "fsub*", PREPARE_NONE, 0, COMPARE_NO_C1 },
    { "fmul*", PREPARE_NONE, 0, COMPARE_NO_C1 },
    { "fdiv*", PREPARE_NONE, 0, COMPARE_NO_C1 },
    { "fi*", PREPARE_NONE, 0, COMPARE_NO_C1 },
    { "fld", PREPARE_NONE, 0, COMPARE_NO_C1 },
    { "fld1", PREPARE_NONE, 0, COMPARE_NO_C1 },
    { "fldl*", PREPARE_NONE, 0, COMPARE_NO_C1 },
    { "fldpi", PREPARE_NONE, 0, COMPARE_NO_C1 },
    { "fldz", PREPARE_NONE, 0, COMPARE_NO_C1 },
    { "fst", PREPARE_NONE, 0, COMPARE_NO_C1 },
    { "fstp", PREPARE_NONE, 0, COMPARE_NO_C1 },
    { "fxch", PREPARE_NONE, 0, COMPARE_NO_C1 },
    { "fchs", PREPARE_NONE, 0, COMPARE_NO_C1 },
    { "fabs", PREPARE_NONE, 0, COMPARE_NO_C1 },
    { "fsqrt", PREPARE_NONE, 0, COMPARE_NO_C1 },
    { "frndint", PREPARE_NONE, 0, COMPARE_NO_C1 },
    { "fcomi*", PREPARE_NONE, 0, COMPARE_NO_C1 },
    { "fucomi*", PREPARE_NONE, 0, COMPARE_NO_C1 },
    { "fnstenv", PREPARE_X87_ENV, 0, COMPARE_IMAGE },
    { "fnsave", PREPARE_X87_ENV, 0, COMPARE_IMAGE },
    { "ldmxcsr", PREPARE_MXCSR, 0, 0 },
    { "movs", PREPARE_SELECTOR, 0, COMPARE_NO_BASE },
    { "lar", PREPARE_SELECTOR, 0, 0 },
    { "lsl", PREPARE_SELECTOR, 0, 0 },
    { "verr", PREPARE_SELECTOR, 0, 0 },
    { "verw", PREPARE_SELECTOR, 0, 0 },
    { "arpl", PREPARE_NONE, 0, 0 },
    { "les", PREPARE_FAR_POINTER, 0, COMPARE_NO_BASE },
    { "lds", PREPARE_FAR_POINTER, 0, COMPARE_NO_BASE },
    { "lss", PREPARE_FAR_POINTER, 0, COMPARE_NO_BASE },
    { "lfs", PREPARE_FAR_POINTER, 0, COMPARE_NO_BASE },
    { "lgs", PREPARE_FAR_POINTER, 0, COMPARE_NO_BASE },
    { "int", PREPARE_INT, 0, 0 },
    { "wrfsbase", PREPARE_BASE, 0, 0 },
    { "wrgsbase", PREPARE_BASE, 0, 0 },
    { "jmpf", PREPARE_FAR_JUMP, 0, 0 },
    { "callf", PREPARE_FAR_JUMP, 0, 0 },
    { "retf", PREPARE_FAR_RET, 0, 0 },
    { "iret", PREPARE_IRET, 0, 0 },
    { "rcpps", PREPARE_NONE, 0, COMPARE_ESTIMATE },
    { "rcpss", PREPARE_NONE, 0, COMPARE_ESTIMATE },
    { "rsqrtps", PREPARE_NONE, 0, COMPARE_ESTIMATE },
    { "rsqrtss", PREPARE_NONE, 0, COMPARE_ESTIMATE },
    { "f2xm1", PREPARE_NONE, 0, COMPARE_LAST },
    { "fyl2x", PREPARE_NONE, 0, COMPARE_LAST },
    { "fyl2xp1", PREPARE_NONE, 0, COMPARE_LAST },
    { "fptan", PREPARE_NONE, 0, COMPARE_LAST },
    { "fpatan", PREPARE_NONE, 0, COMPARE_LAST },
    { "fsin", PREPARE_NONE, 0, COMPARE_LAST },
    { "fcos", PREPARE_NONE, 0, COMPARE_LAST },
    { "fsincos", PREPARE_NONE, 0, COMPARE_LAST },
};
static const X86Policy plain = { "", PREPARE_NONE, 0, 0 };

static bool name_matches(const char *pattern, const char *name)
{
    size_t n = strlen(pattern);
    return n && pattern[n - 1] == '*' ? !strncmp(pattern, name, n - 1) : !strcmp(pattern, name);
}

const X86Policy *x86_policy_of(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(policies); i++) {
        if (name_matches(policies[i].name, name) || (name[0] == 'v' && name_matches(policies[i].name, name + 1)))
            return &policies[i];
    }
    return &plain;
}

/* ---- forms ---- */

/* One of fixed strings. */
const char *x86_group_of(const X86Row *row)
{
    static const char *const names[] = {
#define FEATURE(name) #name,
        X86_DECODE_FEATURES(FEATURE)
#undef FEATURE
    };
    static const char integer[] = "INTEGER";
    unsigned feature = row->features[0] == X86_ALWAYS ? row->features[1] : row->features[0];
    return feature == X86_ALWAYS ? integer : names[feature];
}

/* A register is #UD to AMD. */
static bool prefetch_register(const X86Form *f)
{
    return f->map == 1 && f->opcode == 0x0d && f->row->mod == MOD_REG;
}

static bool chosen(const X86Options *o, uint64_t features, const X86Form *f)
{
    const X86Row *row = f->row;
    bool here = row->mode == BITS_ANY || (row->mode == BITS_LONG) == (o->bits == 64);
    here &= row->encoding != ENCODING_LEGACY || row->w != 1 || o->bits == 64;
    here &= (features >> row->features[0] & 1) && (features >> row->features[1] & 1);
    if (!here || prefetch_register(f) || f->policy->prepare == PREPARE_SKIP)
        return false;
    if (o->group && g_ascii_strcasecmp(o->group, f->group))
        return false;
    return (!o->only || g_pattern_match_simple(o->only, row->name)) &&
           (!o->except || !g_pattern_match_simple(o->except, row->name));
}

static uint64_t all_features;
static bool mutating;

unsigned x86_forms(const X86Options *o, uint64_t features, const X86Form **forms)
{
    all_features = features;
    mutating = !o->plain;
    GArray *a = g_array_new(FALSE, TRUE, sizeof(X86Form));
    for (unsigned map = 0; map < 4; map++) {
        for (unsigned opcode = 0; opcode < 256; opcode++) {
            for (unsigned i = 0; i < x86_index[map][opcode].count; i++) {
                const X86Row *row = &x86_rows[x86_index[map][opcode].first + i];
                X86Form f = { (uint8_t)map, (uint8_t)opcode, row, x86_policy_of(row->name), x86_group_of(row) };
                if (chosen(o, features, &f))
                    g_array_append_val(a, f);
            }
        }
    }
    unsigned n = a->len;
    *forms = (const X86Form *)(void *)g_array_free(a, FALSE);
    return n;
}

/* ---- encoding ---- */

typedef struct Out {
    uint8_t *bytes;
    unsigned n;
} Out;

static void put(Out *o, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        o->bytes[o->n++] = (uint8_t)(value >> (8 * i));
}

static bool has_operand(const X86Row *row, unsigned first, unsigned last)
{
    for (unsigned i = 0; i < 4; i++) {
        if (row->operands[i].kind >= first && row->operands[i].kind <= last)
            return true;
    }
    return false;
}

static bool has_kind(const X86Row *row, unsigned kind)
{
    return has_operand(row, kind, kind);
}

/* Sizes that a 66 prefix changes. */
static bool sized(const X86Row *row)
{
    for (unsigned i = 0; i < 4; i++) {
        if (row->operands[i].size == SIZE_V || row->operands[i].size == SIZE_Z)
            return true;
    }
    return false;
}

static bool has_size(const X86Row *row, unsigned size)
{
    for (unsigned i = 0; i < 4; i++) {
        if (row->operands[i].size == size)
            return true;
    }
    return false;
}

/* Segments of 32-bit and 16-bit code. Flat ones most often; not with 16-bit addresses, which do not reach anything
 * there. */
static void choose_segments(X86Encoding *e, X86Rng *r)
{
    static const uint16_t based[] = { SEL_DATA16, SEL_DATA16, SEL_LIMITED, SEL_EXPAND };
    static const uint16_t any[] = { SEL_DATA16, SEL_LIMITED, SEL_EXPAND, SEL_READ_ONLY, SEL_SHIFTED, SEL_CODE_READ };
    static const uint16_t stacks[] = { SEL_DATA16, SEL_LIMITED, SEL_EXPAND, SEL_SHIFTED };
    uint16_t *s = e->seg;
    if (e->bits == 64) {
        s[X86_CS] = SEL_CODE64;
        s[X86_SS] = SEL_DATA;
        return;
    }
    s[X86_CS] = e->bits == 32 ? SEL_CODE32 : SEL_CODE16;
    for (unsigned i = X86_ES; i <= X86_GS; i++) {
        if (i != X86_CS)
            s[i] = e->bits == 32 && e->address_size == 4 ? SEL_DATA : based[x86_below(r, 4)];
    }
    s[X86_FS] = any[x86_below(r, 6)];
    s[X86_GS] = x86_percent(r, 5) ? 0 : SEL_SHIFTED;
    if (x86_percent(r, 15))
        s[X86_DS] = any[x86_below(r, 6)];
    if (x86_percent(r, 15))
        s[X86_ES] = any[x86_below(r, 6)];
    if (x86_percent(r, 15))
        s[X86_SS] = stacks[x86_below(r, 4)];
    if (e->address_size == 2 && s[X86_FS] == SEL_SHIFTED)
        s[X86_FS] = SEL_LIMITED;
}

static void choose_size(X86Encoding *e, X86Rng *r, bool *prefix66, bool *prefix67)
{
    const X86Row *row = e->form->row;
    bool near64 = e->bits == 64 && row->flags & X86_F64; /* Intel's and AMD's processors differ with 66 */
    e->vex = row->encoding != ENCODING_LEGACY;
    *prefix66 = row->prefix == PREFIX_66;
    if (row->prefix == PREFIX_ANY && !near64)
        *prefix66 = x86_percent(r, 25);
    if ((row->prefix == PREFIX_F2 || row->prefix == PREFIX_F3) && sized(row))
        *prefix66 = x86_percent(r, 25);
    if (e->vex)
        *prefix66 = false;
    *prefix67 = x86_percent(r, 12);
    e->w = row->w >= 0 ? row->w : (e->bits == 64 || row->encoding != ENCODING_LEGACY) && x86_percent(r, 35);
    if (e->form->policy->prepare == PREPARE_FAR_POINTER || e->form->policy->prepare == PREPARE_FAR_JUMP)
        e->w = false; /* 64-bit offsets are Intel's */
    if (e->bits != 64 && e->vex && row->w < 0 && has_size(row, SIZE_Y))
        e->w = false; /* Intel ignores it, #UD to AMD */
    bool w = e->bits == 64 && e->w;
    if (e->bits == 64) {
        e->operand_size = row->flags & X86_F64 || w ? 8 : *prefix66 ? 2 : row->flags & X86_D64 ? 8 : 4;
        e->address_size = *prefix67 ? 4 : 8;
    } else {
        e->operand_size = (e->bits == 16) != *prefix66 ? 2 : 4;
        e->address_size = (e->bits == 16) != *prefix67 ? 2 : 4;
    }
}

static void choose_address16(X86Encoding *e, X86Rng *r, unsigned *mod)
{
    static const uint8_t bases[] = { 3, 3, 5, 5, 6, 7, 5, 3 }, indexes[] = { 6, 7, 6, 7 };
    *mod = x86_below(r, 3);
    e->rm = (uint8_t)x86_below(r, 8);
    if (*mod == 0 && e->rm == 6) {
        e->base = X86_NO_REG;
        return;
    }
    e->base = bases[e->rm];
    e->index = e->rm < 4 ? indexes[e->rm] : X86_NO_REG;
    e->disp = *mod == 0 ? 0 : *mod == 1 ? (int8_t)x86_random(r) : (int16_t)x86_random(r);
    if (e->base == 5)
        e->segment = X86_SS;
}

static void choose_address(X86Encoding *e, X86Rng *r, unsigned *mod, uint8_t *sib)
{
    unsigned regs = e->bits == 64 ? 16 : 8;
    bool use_sib = e->vsib || x86_percent(r, 50);
    unsigned base = x86_below(r, regs), index = x86_below(r, regs);
    *mod = x86_below(r, 3);
    if (!use_sib && (base & 7) == 4)
        base ^= 1;
    e->rm = use_sib ? 4 : (uint8_t)base;
    e->base = (uint8_t)base;
    e->index = X86_NO_REG;
    if (use_sib) {
        e->scale = (uint8_t)x86_below(r, 4);
        *sib = (uint8_t)(e->scale << 6 | (index & 7) << 3 | (base & 7));
        e->index = index == 4 && !e->vsib ? X86_NO_REG : (uint8_t)index;
        e->rex |= (index & 8 ? 2 : 0) | (base & 8 ? 1 : 0);
    } else {
        e->rex |= base & 8 ? 1 : 0;
    }
    e->disp = *mod == 0 ? 0 : *mod == 1 ? (int8_t)x86_random(r) : (int32_t)x86_interesting(r);
    if (*mod == 0 && (base & 7) == 5) {
        e->base = X86_NO_REG;
        e->rip_relative = e->bits == 64 && !use_sib;
    }
    if (e->base == 4 || e->base == 5)
        e->segment = X86_SS;
}

/* The displacement is the whole address: of something that every instance can use. */
static void fix_absolute(X86Encoding *e, X86Rng *r)
{
    uint64_t base = e->bits == 64 ? 0 : x86_segment_base(e->seg[e->segment]);
    if (e->base == X86_NO_REG && (e->index == X86_NO_REG || e->vsib))
        e->disp = (int32_t)(x86_choose_target(r, e) - base);
    if (e->base == X86_NO_REG && e->address_size == 2)
        e->disp = (int16_t)e->disp;
}

static void choose_modrm(X86Encoding *e, X86Rng *r, uint8_t *sib, bool *sib_present, unsigned *disp_bytes)
{
    const X86Row *row = e->form->row;
    unsigned mod = 3, regs = e->bits == 64 ? 16 : 8;
    bool memory = row->mod == MOD_ANY ? has_operand(row, OPERAND_RM, OPERAND_RM) || has_kind(row, OPERAND_MEM) ||
                                            has_kind(row, OPERAND_XMM_RM) || has_kind(row, OPERAND_MMX_RM)
                                      : row->mod == MOD_MEM;
    bool must = row->mod == MOD_MEM || has_kind(row, OPERAND_MEM);
    e->modrm_present = true;
    e->reg = row->digit >= 0 ? (uint8_t)row->digit : (uint8_t)x86_below(r, regs);
    e->rm = (uint8_t)x86_below(r, regs);
    if (row->digit >= 0 && e->bits == 64 && x86_percent(r, 20))
        e->rex |= 4;
    if (row->modrm >= 0) {
        e->reg = row->modrm >> 3 & 7;
        e->rm = row->modrm & 7;
        e->modrm = (uint8_t)row->modrm;
        return;
    }
    e->rex |= e->reg & 8 ? 4 : 0;
    if (memory && (must || e->vsib || x86_percent(r, 50))) {
        e->memory = true;
        e->segment = X86_DS;
        if (e->address_size == 2 && !e->vsib)
            choose_address16(e, r, &mod);
        else
            choose_address(e, r, &mod, sib);
        *sib_present = e->address_size != 2 && (e->rm & 7) == 4;
        *disp_bytes = mod == 1                ? 1
                      : mod == 2              ? (e->address_size == 2 ? 2 : 4)
                      : e->base == X86_NO_REG ? (e->address_size == 2 ? 2 : 4)
                                              : 0;
    } else {
        e->rex |= e->rm & 8 ? 1 : 0;
    }
    e->modrm = (uint8_t)(mod << 6 | (e->reg & 7) << 3 | (e->rm & 7));
}

static void put_prefixes(X86Encoding *e, X86Rng *r, Out *o, bool prefix66, bool prefix67)
{
    const X86Row *row = e->form->row;
    static const uint8_t override[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };
    bool addressed = e->memory || has_operand(row, OPERAND_OFFSET, OPERAND_OFFSET) || has_kind(row, OPERAND_SOURCE);
    if (addressed && e->segment != X86_NO_SEGMENT && x86_percent(r, 12)) {
        unsigned segment = e->bits == 64 ? X86_FS + x86_below(r, 2) : x86_below(r, 6);
        e->segment = (uint8_t)segment;
        put(o, override[segment], 1);
    }
    if (prefix67)
        put(o, 0x67, 1);
    if (prefix66)
        put(o, 0x66, 1);
    e->lock = row->flags & X86_LOCK && e->memory ? x86_percent(r, 20) : x86_percent(r, 1);
    if (e->lock)
        put(o, 0xf0, 1);
    if (e->vex)
        return;
    if (row->prefix == PREFIX_F3 || row->prefix == PREFIX_F2)
        put(o, row->prefix == PREFIX_F3 ? 0xf3 : 0xf2, 1);
    if (e->form->policy->prepare == PREPARE_STRING && x86_percent(r, 50)) {
        e->repeat = x86_percent(r, 50) ? 0xf2 : 0xf3;
        put(o, e->repeat, 1);
    }
}

static void put_vex(X86Encoding *e, X86Rng *r, Out *o)
{
    static const uint8_t pp[] = { [PREFIX_NP] = 0, [PREFIX_66] = 1, [PREFIX_F3] = 2, [PREFIX_F2] = 3 };
    const X86Row *row = e->form->row;
    bool uses = has_kind(row, OPERAND_XMM_VEX) || has_kind(row, OPERAND_VEX_REG);
    unsigned l = row->l >= 0 ? (unsigned)row->l : x86_below(r, 2);
    e->vvvv = uses ? (uint8_t)x86_below(r, e->bits == 64 ? 16 : 8) : x86_percent(r, 1);
    e->vector_l = (uint8_t)l;
    uint8_t last = (uint8_t)((~e->vvvv & 15) << 3 | l << 2 | pp[row->prefix]);
    bool two = e->form->map == 1 && !e->w && !(e->rex & 3) && x86_percent(r, 70);
    if (two) {
        put(o, 0xc5, 1);
        put(o, (e->rex & 4 ? 0 : 0x80) | last, 1);
    } else {
        put(o, 0xc4, 1);
        put(o, (uint8_t)((~e->rex & 7) << 5 | e->form->map), 1);
        put(o, (e->w ? 0x80 : 0) | last, 1);
    }
}

static void put_opcode(X86Encoding *e, X86Rng *r, Out *o)
{
    if (e->vex) {
        put_vex(e, r, o);
        put(o, e->form->opcode, 1);
        return;
    }
    if (e->bits == 64) {
        bool norexb = e->form->row->flags & X86_NOREXB;
        if (!e->modrm_present && !norexb && x86_percent(r, 30))
            e->rex |= 1;
        e->rex |= e->w ? 8 : 0;
        if (e->rex || x86_percent(r, 15))
            put(o, 0x40 | e->rex, 1);
    }
    if (e->form->map)
        put(o, 0x0f, 1);
    if (e->form->map >= 2)
        put(o, e->form->map == 2 ? 0x38 : 0x3a, 1);
    put(o, e->form->opcode, 1);
}

static unsigned immediate_bytes(const X86Encoding *e, X86Operand op)
{
    switch (op.size) {
    case SIZE_W:
        return 2;
    case SIZE_V:
        return e->operand_size;
    case SIZE_Z:
        return e->operand_size == 2 ? 2 : 4;
    default:
        return 1;
    }
}

/* Where near jumps go: the pads of the slot, or on. */
static int64_t choose_displacement(X86Rng *r, unsigned end)
{
    unsigned to[] = { 0, SLOT_BYTES - 16, end };
    return (int64_t)to[x86_below(r, 3)] - (int64_t)end;
}

static void put_immediates(X86Encoding *e, X86Rng *r, Out *o)
{
    const X86Row *row = e->form->row;
    bool second = false;
    for (unsigned i = 0; i < 4; i++) {
        X86Operand op = row->operands[i];
        unsigned bytes;
        switch (op.kind) {
        case OPERAND_IMM:
            bytes = second ? 1 : immediate_bytes(e, op);
            if (second) {
                e->imm2 = x86_percent(r, 80) ? x86_below(r, 4) : (uint8_t)x86_random(r);
                put(o, e->imm2, 1);
                break;
            }
            second = true;
            e->imm = (int64_t)x86_interesting(r);
            if (e->form->policy->prepare == PREPARE_ENTER || e->form->policy->prepare == PREPARE_RET ||
                e->form->policy->prepare == PREPARE_FAR_RET)
                e->imm = x86_below(r, 0x60);
            if (e->form->policy->prepare == PREPARE_INT && ((uint8_t)e->imm == 0x80 || (uint8_t)e->imm == 1))
                e->imm = 0x81; /* not a system call, nor a trap */
            put(o, (uint64_t)e->imm, bytes);
            break;
        case OPERAND_REL:
            bytes = op.size == SIZE_B ? 1 : e->bits != 64 && e->operand_size == 2 ? 2 : 4;
            e->imm = choose_displacement(r, e->at + o->n + bytes);
            put(o, (uint64_t)e->imm, bytes);
            break;
        case OPERAND_OFFSET:
            put(o, (uint64_t)e->disp, e->address_size);
            break;
        case OPERAND_FAR: /* to what x86_state.c cannot change: an exit of the same mode, or a bad selector */
            e->imm = EXIT_OF(e->bits, 1 + x86_below(r, 2)) - (e->bits == 16 ? BASE : 0);
            put(o, (uint64_t)e->imm, e->operand_size);
            e->imm2 = x86_percent(r, 70) ? e->seg[X86_CS] : (uint16_t)(x86_below(r, 16) << 3 | 7);
            put(o, e->imm2, 2);
            break;
        case OPERAND_XMM_IMM:
            put(o, x86_random(r), 1);
            break;
        default:
            break;
        }
    }
}

/* False: longer than an instruction may be. */
static bool encode(X86Encoding *e, X86Rng *r, X86Layout *layout)
{
    const X86Row *row = e->form->row;
    Out o = { e->bytes, 0 };
    uint8_t sib = 0;
    bool prefix66, prefix67, sib_present = false;
    unsigned disp_bytes = 0, disp_at;
    uint8_t bytes[32];
    bool counts = e->form->policy->prepare == PREPARE_XSAVE; /* RAX and RDX are operands */
    o.bytes = bytes;
    e->base = e->index = X86_NO_REG;
    e->segment = X86_NO_SEGMENT;
    e->vsib = row->flags & X86_VSIB;
    choose_size(e, r, &prefix66, &prefix67);
    if (e->vsib && e->address_size == 2) {
        prefix67 = !prefix67;
        e->address_size = 4;
    }
    choose_segments(e, r);
    if (row->flags & X86_MODRM)
        choose_modrm(e, r, &sib, &sib_present, &disp_bytes);
    if (counts && (e->base == RAX || e->base == RDX || e->index == RAX || e->index == RDX))
        return false;
    if (has_kind(row, OPERAND_OFFSET) || has_kind(row, OPERAND_SOURCE))
        e->segment = X86_DS;
    put_prefixes(e, r, &o, prefix66, prefix67);
    if (e->memory)
        fix_absolute(e, r);
    if (has_kind(row, OPERAND_OFFSET))
        e->disp = (int64_t)(x86_choose_target(r, e) - (e->bits == 64 ? 0 : x86_segment_base(e->seg[e->segment])));
    put_opcode(e, r, &o);
    layout->modrm_at = o.n;
    layout->address_bytes = sib_present + disp_bytes;
    if (e->modrm_present)
        put(&o, e->modrm, 1);
    if (sib_present)
        put(&o, sib, 1);
    disp_at = o.n;
    put(&o, (uint64_t)e->disp, disp_bytes);
    put_immediates(e, r, &o);
    if (o.n > 15)
        return false;
    e->length = (uint8_t)o.n;
    if (e->rip_relative) {
        e->disp = (int32_t)(e->disp - (int64_t)(CODE + e->slot + e->at + e->length));
        o.n = disp_at;
        put(&o, (uint64_t)e->disp, 4);
    }
    memcpy(e->bytes, bytes, e->length);
    return true;
}

/* ---- batches ---- */

static void put_pad(uint8_t *page, unsigned at, unsigned bits, unsigned mark)
{
    uint32_t displacement = EXIT_OF(bits, mark) - (CODE + at + (bits == 16 ? 3 : 5));
    page[at] = 0xe9;
    for (unsigned i = 0; i < (bits == 16 ? 2 : 4); i++)
        page[at + 1 + i] = (uint8_t)(displacement >> (8 * i));
}

static void put_slot(uint8_t *page, const X86Encoding *e)
{
    memset(page + e->slot, 0xcc, SLOT_BYTES);
    put_pad(page, e->slot, e->bits, MARK_BEFORE);
    put_pad(page, e->slot + SLOT_BYTES - 16, e->bits, MARK_BEHIND);
    unsigned begin = e->slot + e->at, next = begin + e->length;
    memcpy(page + begin, e->bytes, MIN(e->length, CODE_BYTES - begin));
    if (next + 5 <= CODE_BYTES)
        put_pad(page, next, e->bits, MARK_NEXT);
}

void x86_generate(X86Batch *b, const X86Form *forms, unsigned count, uint64_t seed, unsigned bits)
{
    X86Rng r = { seed * 0x2545f4914f6cdd1d + bits };
    x86_make_pool(&r);
    b->encodings = SLOTS;
    b->cases = SLOTS * STATES;
    memset(b->code, 0xcc, sizeof(b->code));
    for (unsigned i = 0; i < sizeof(b->read_only); i += 8)
        *(uint64_t *)(b->read_only + i) = x86_interesting(&r);
    for (unsigned i = 0; i < sizeof(b->data); i += 8)
        *(uint64_t *)(b->data + i) = x86_interesting(&r);
    for (unsigned i = 0; i < SLOTS; i++) {
        X86Encoding *e = &b->encoding[i];
        X86Layout layout;
        bool mutate = mutating && x86_percent(&r, 8), good;
        do {
            bool crosses = i >= CROSSING && x86_percent(&r, 50);
            *e = (X86Encoding){ .form = &forms[(seed * SLOTS + i) % count],
                                .bits = (uint8_t)bits,
                                .slot = (uint16_t)(i * SLOT_BYTES),
                                .at = (uint8_t)(crosses ? 54 + x86_below(&r, 10) : INSN_AT) };
            if (crosses) /* the end of the page, or of the next one */
                e->slot = i == CROSSING ? 4096 - SLOT_BYTES : 8192 - SLOT_BYTES;
            else if (i > CROSSING)
                e->slot = 8192 - 2 * SLOT_BYTES;
            good = encode(e, &r, &layout);
            if (good && mutate) {
                X86Encoding other = *e;
                if (x86_mutate(&other, &r, &layout, all_features, i))
                    *e = other;
            }
        } while (!good);
        put_slot(b->code, e);
        for (unsigned k = 0; k < STATES; k++)
            x86_make_case(e, &r, &b->in[i * STATES + k]);
    }
}
