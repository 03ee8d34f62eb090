/*
 * Where the host and Rhea must agree after an instance: everywhere but in flags and results that the manual leaves
 * undefined, in the last bits of estimates, and in x87 pointers, which processors keep differently.
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/cpu.h"
#include "x86_insn.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

typedef struct Compare {
    const X86Encoding *e;
    const X86Policy *policy;
    const X86Case *in, *want, *got;
    FILE *out;
    bool differs;
} Compare;

static void report(Compare *c, const char *name, uint64_t in, uint64_t want, uint64_t got)
{
    c->differs = true;
    if (c->out)
        fprintf(c->out, "    %-8s in %016" PRIx64 "  host %016" PRIx64 "  rhea %016" PRIx64 "\n", name, in, want, got);
}

static unsigned operand_bits(const X86Encoding *e)
{
    return e->form->row->operands[0].size == SIZE_B ? 8 : 8 * e->operand_size;
}

/* Of a shift, as the processor takes it. */
static unsigned shift_count(const Compare *c)
{
    const X86Row *row = c->e->form->row;
    unsigned count = 1;
    for (unsigned i = 0; i < 4; i++) {
        if (row->operands[i].kind == OPERAND_IMM)
            count = (uint8_t)c->e->imm;
        if (row->operands[i].kind == OPERAND_CL)
            count = (uint8_t)c->in->regs.gpr[RCX];
    }
    return count & (operand_bits(c->e) == 64 ? 63 : 31);
}

static uint32_t undefined_flags(const Compare *c)
{
    uint32_t undefined = c->policy->undefined;
    const char *name = c->e->form->row->name;
    unsigned count, bits = operand_bits(c->e);
    if (!(c->policy->compare & COMPARE_COUNT))
        return undefined;
    count = shift_count(c);
    if (!count)
        return 0;
    if (count != 1)
        undefined |= FLAG_OF;
    bool carry_lost = count >= bits && (!strcmp(name, "shl") || !strcmp(name, "shr"));
    if (c->policy->compare & COMPARE_DOUBLE && count > bits)
        return FLAGS_ARITHMETIC;
    return undefined | (carry_lost ? FLAG_CF : 0);
}

/* The destination's value is undefined, too. */
static bool result_undefined(const Compare *c)
{
    if (c->policy->compare & COMPARE_DOUBLE)
        return shift_count(c) > operand_bits(c->e);
    return !strcmp(c->e->form->row->name, "bswap") && c->e->operand_size == 2;
}

static void compare_flags(Compare *c)
{
    uint32_t mask = FLAGS_ARITHMETIC | FLAG_DF | FLAG_NT | FLAG_AC | FLAG_ID | FLAG_TF | FLAG_IF | FLAG_IOPL;
    const X86Regs *want_regs = &c->want->regs;
    uint32_t begin = CODE + c->e->slot + c->e->at - (c->e->bits == 16 ? BASE : 0);
    /* or what is raised is behind it */
    bool done = want_regs->vector == VECTOR_MARK || want_regs->vector == VECTOR_DB || want_regs->rip != begin;
    if (done || c->policy->prepare == PREPARE_DIVIDE)
        mask &= ~undefined_flags(c);
    uint32_t want = (uint32_t)c->want->regs.rflags & mask, got = (uint32_t)c->got->regs.rflags & mask;
    if (want != got)
        report(c, "flags", c->in->regs.rflags, want, got);
}

static bool far_transfer(const Compare *c)
{
    unsigned prepare = c->policy->prepare;
    return prepare == PREPARE_FAR_JUMP || prepare == PREPARE_FAR_RET || prepare == PREPARE_IRET;
}

static void compare_general(Compare *c)
{
    static const char *const names[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                         "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };
    uint64_t mask = c->e->bits == 64 ? UINT64_MAX : UINT32_MAX;
    for (unsigned i = 0; i < (c->e->bits == 64 ? 16 : 8); i++) {
        uint64_t want = c->want->regs.gpr[i] & mask, got = c->got->regs.gpr[i] & mask;
        /* undefined after a change from 64-bit to compatibility mode (SDM volume 1, 3.4.1.1) */
        if (i == RSP && c->e->bits == 64 && far_transfer(c) && !(c->want->regs.gpr[RSP] >> 32))
            got &= UINT32_MAX;
        bool destination = c->e->modrm_present && !c->e->memory ? i == c->e->rm : true;
        if (want != got && !(destination && result_undefined(c)))
            report(c, names[i], c->in->regs.gpr[i], want, got);
    }
}

static void compare_event(Compare *c)
{
    const X86Regs *want = &c->want->regs, *got = &c->got->regs;
    /* Which one of the two comes first is up to the processor. */
    bool both = (want->vector == VECTOR_GP && got->vector == VECTOR_SS && c->in->operand & 31);
    if (want->vector != got->vector && !both)
        report(c, "vector", VECTOR_MARK, want->vector, got->vector);
    else if (want->vector == VECTOR_MARK && want->mark != got->mark)
        report(c, "mark", 0, want->mark, got->mark);
    if (want->vector == VECTOR_MARK || want->vector != got->vector)
        return;
    if (want->rip != got->rip)
        report(c, "rip", CODE + c->e->slot + c->e->at, want->rip, got->rip);
    /* Linux does not tell programs what there is of its own half. */
    bool hidden = want->vector == VECTOR_PF && want->address >> 47;
    if ((want->error ^ got->error) & ~(hidden ? PF_P : 0u))
        report(c, "error", 0, want->error, got->error);
    /* Likewise the order in which the parts of a long operand are accessed. */
    unsigned prepare = c->policy->prepare;
    unsigned image = prepare == PREPARE_FX || prepare == PREPARE_XSAVE || prepare == PREPARE_X87_ENV ? 832 : 32;
    bool parts = strcmp(c->e->form->group, "INTEGER") && want->address - got->address + image < 2 * image;
    if (want->vector == VECTOR_PF && want->address != got->address && !parts)
        report(c, "address", 0, want->address, got->address);
}

static void compare_segments(Compare *c)
{
    static const char *const names[] = { "es", "cs", "ss", "ds", "fs", "gs" };
    for (unsigned i = 0; i < 6; i++) {
        bool known = i != X86_CS || c->want->regs.vector != VECTOR_MARK;
        known &= (c->want->regs.seg[i] | c->got->regs.seg[i]) > 3; /* interrupts make null selectors 0 */
        if (known && c->want->regs.seg[i] != c->got->regs.seg[i])
            report(c, names[i], c->in->regs.seg[i], c->want->regs.seg[i], c->got->regs.seg[i]);
    }
    if (c->e->bits != 64 || c->policy->compare & COMPARE_NO_BASE || !strcmp(c->e->form->row->name, "pop"))
        return;
    if (c->want->regs.fs_base != c->got->regs.fs_base)
        report(c, "fs.base", c->in->regs.fs_base, c->want->regs.fs_base, c->got->regs.fs_base);
    if (c->want->regs.gs_base != c->got->regs.gs_base)
        report(c, "gs.base", c->in->regs.gs_base, c->want->regs.gs_base, c->got->regs.gs_base);
}

static uint64_t load(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;
    memcpy(&v, p, bytes);
    return v;
}

static void compare_word(Compare *c, const char *name, unsigned at, unsigned bytes)
{
    uint64_t want = load(c->want->regs.fx + at, bytes), got = load(c->got->regs.fx + at, bytes);
    if (want != got)
        report(c, name, load(c->in->regs.fx + at, bytes), want, got);
}

/* Results that differ in their last bits only. */
static bool extended_near(const uint8_t *a, const uint8_t *b)
{
    int64_t difference = (int64_t)(load(a, 8) - load(b, 8));
    return load(a + 8, 2) == load(b + 8, 2) && difference >= -4 && difference <= 4;
}

static bool stores_x87(const char *name)
{
    return !strncmp(name, "fst", 3) || !strncmp(name, "fist", 4);
}

static void compare_x87(Compare *c)
{
    uint32_t last = c->policy->compare & COMPARE_LAST;
    /* What a store would raise may be there before the store's own fault; it is executed once more after that. */
    uint32_t early =
        c->want->regs.vector != VECTOR_MARK && c->e->memory && stores_x87(c->e->form->row->name) ? 0x23f : 0;
    if (memcmp(c->want->regs.fx, c->got->regs.fx, 5)) {
        compare_word(c, "fcw", FX_FCW, 2);
        if ((load(c->want->regs.fx + FX_FSW, 2) ^ load(c->got->regs.fx + FX_FSW, 2)) &
            ~(early | (last                                 ? 0x220u
                       : c->policy->compare & COMPARE_NO_C1 ? 0x200u
                                                            : 0)))
            compare_word(c, "fsw", FX_FSW, 2);
        compare_word(c, "ftw", FX_FTW, 1);
    }
    for (unsigned i = 0; i < 8; i++) {
        const uint8_t *want = c->want->regs.fx + FX_ST + 16 * i, *got = c->got->regs.fx + FX_ST + 16 * i;
        char name[16];
        if (!memcmp(want, got, 10) || (last && extended_near(want, got)))
            continue;
        snprintf(name, sizeof(name), "st%u", i);
        report(c, name, load(c->in->regs.fx + FX_ST + 16 * i, 8), load(want, 8), load(got, 8));
        snprintf(name, sizeof(name), "st%u.exp", i);
        report(c, name, load(c->in->regs.fx + FX_ST + 16 * i + 8, 2), load(want + 8, 2), load(got + 8, 2));
    }
}

/* Estimates: relative error below 1.5 * 2^-12 of the true value each. */
static bool floats_near(uint32_t want, uint32_t got)
{
    float a, b;
    memcpy(&a, &want, 4);
    memcpy(&b, &got, 4);
    return want == got || (isfinite(a) && isfinite(b) && fabsf(a - b) <= fabsf(a) * 3 / 4096);
}

static bool vector_near(uint64_t want, uint64_t got)
{
    return floats_near((uint32_t)want, (uint32_t)got) && floats_near((uint32_t)(want >> 32), (uint32_t)(got >> 32));
}

static void compare_vector(Compare *c, unsigned base, const char *prefix)
{
    bool estimate = c->policy->compare & COMPARE_ESTIMATE;
    if (!memcmp(c->want->regs.fx + base, c->got->regs.fx + base, 256))
        return;
    for (unsigned i = 0; i < (c->e->bits == 64 ? 32 : 16); i++) {
        uint64_t want = load(c->want->regs.fx + base + 8 * i, 8), got = load(c->got->regs.fx + base + 8 * i, 8);
        char name[16];
        if (want == got || (estimate && vector_near(want, got)))
            continue;
        snprintf(name, sizeof(name), "%s%u.%u", prefix, i / 2, i % 2);
        report(c, name, load(c->in->regs.fx + base + 8 * i, 8), want, got);
    }
}

/* Bytes of an image of x87 state or XSAVE area that are compared: not pointers, XSTATE_BV and what is not written. */
static bool image_byte_compared(const Compare *c, unsigned at)
{
    unsigned pointers = c->e->operand_size == 2 ? 6 : 12, end = c->e->operand_size == 2 ? 14 : 28;
    if (c->e->form->row->name[1] == 'n') /* fnstenv, fnsave */
        return at < pointers || at >= end;
    return at < 6 || (at >= 24 && at < 28) || (at >= 32 && at < 416) || at >= 576; /* nor MXCSR_MASK */
}

static void compare_edge(Compare *c)
{
    for (unsigned i = 0; i < EDGE_BYTES; i += 8) {
        uint64_t want = load(c->want->edge + i, 8), got = load(c->got->edge + i, 8);
        if (want != got)
            report(c, "edge", DATA_END - EDGE_BYTES + i, want, got);
    }
}

static void compare_window(Compare *c)
{
    bool image = c->policy->compare & COMPARE_IMAGE;
    if (!memcmp(c->want->window, c->got->window, WINDOW_BYTES))
        return;
    unsigned shown = 0;
    for (unsigned i = 0; i < WINDOW_BYTES && shown < 6; i += 8) {
        uint64_t want = load(c->want->window + i, 8), got = load(c->got->window + i, 8);
        for (unsigned k = 0; image && k < 8; k++) {
            uint64_t at = WINDOW + i + k - c->in->operand;
            if (at < 1088 && !image_byte_compared(c, (unsigned)at))
                got = (got & ~(0xffull << (8 * k))) | (want & 0xffull << (8 * k));
        }
        char name[16];
        if (want == got)
            continue;
        if (c->policy->compare & COMPARE_DOUBLE && result_undefined(c))
            continue;
        snprintf(name, sizeof(name), "[%x]", WINDOW + i);
        report(c, name, load(c->in->window + i, 8), want, got);
        shown++;
    }
}

void x86_settle(X86Regs *r)
{
    uint64_t at = r->rip + (r->seg[X86_CS] == SEL_CODE16 ? BASE : 0);
    if (r->vector < VECTOR_COUNT && IS_EXIT(at)) {
        r->vector = VECTOR_MARK;
        r->mark = MARK_AT(at);
    }
}

bool x86_known(const X86Encoding *e, const X86Case *in, const X86Case *want, const X86Case *got)
{
    const X86Regs *w = &want->regs, *g = &got->regs;
    /* An operand that wraps at the end of a flat segment "may or may not cause" an exception (SDM volume 3, 6.3). */
    if (e->bits != 64 && (w->vector != VECTOR_MARK || g->vector != VECTOR_MARK) &&
        (in->operand & UINT32_MAX) > 0xfffffc00)
        return true;
    bool undefined = !strcmp(e->form->row->name, "ud0") || !strcmp(e->form->row->name, "ud1");
    if (undefined && w->vector == VECTOR_UD && g->vector == VECTOR_PF)
        return true; /* whether it has a ModRM byte is up to the processor (volume 2, UD) */
    if (e->bits != 64 && !strcmp(e->form->row->name, "vpinsrd") && w->vector == VECTOR_UD)
        return true; /* VEX.W is ignored (volume 2, PINSRD); AMD's processors do not */
    switch (e->form->policy->prepare) {
    case PREPARE_JUMP: /* to what is not canonical: Rhea has jumped when it raises #GP */
        return e->bits == 64 && w->vector == VECTOR_GP && (g->vector == VECTOR_GP || g->vector == VECTOR_DB);
    case PREPARE_FX: /* which of the two comes of a misaligned image is up to the processor (volume 2, FXSAVE) */
        if (w->vector == VECTOR_AC && g->vector == VECTOR_GP)
            return true;
        /* fall through */
    case PREPARE_MXCSR: /* MM, a feature of AMD's that no model here has */
        return load(w->fx + FX_MXCSR, 4) & 1 << 17 && g->vector == VECTOR_GP;
    case PREPARE_XSAVE: /* components of the state that the host has besides */
        return w->vector == VECTOR_MARK && g->vector == VECTOR_GP;
    case PREPARE_FAR_RET: /* AMD's processors read the outer level's stack before they see that it is an inner one */
    case PREPARE_IRET:
        return g->vector == VECTOR_GP && (w->vector == VECTOR_SS || w->vector == VECTOR_PF || w->vector == VECTOR_AC);
    case PREPARE_FAR_JUMP: /* a pointer whose selector is beyond the limit, and whose offset is misaligned */
        return w->vector == VECTOR_AC && (g->vector == VECTOR_GP || g->vector == VECTOR_SS);
    case PREPARE_GATHER: /* a step that is pending where a later element faults (volume 2, VGATHERDPS) */
        return w->vector == VECTOR_DB && in->regs.rflags & FLAG_TF;
    default:
        return false;
    }
}

bool x86_differs(const X86Encoding *e, const X86Case *in, const X86Case *want, const X86Case *got, FILE *out)
{
    Compare c = { .e = e, .policy = e->form->policy, .in = in, .want = want, .got = got, .out = out };
    compare_event(&c);
    compare_flags(&c);
    compare_general(&c);
    compare_segments(&c);
    compare_x87(&c);
    compare_word(&c, "mxcsr", FX_MXCSR, 4);
    compare_vector(&c, FX_XMM, "xmm");
    compare_vector(&c, FX_YMMH, "ymmh");
    compare_window(&c);
    if (!(c.policy->compare & COMPARE_IMAGE) &&
        !result_undefined(&c)) /* how much of one is stored before a fault is up to the processor */
        compare_edge(&c);
    return c.differs;
}
