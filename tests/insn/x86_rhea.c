/*
 * Rhea's side: one vCPU of the x86_64 target in long mode, with the descriptor tables that Linux gives a process and
 * pages as x86_insn.h says, above them a kernel that consists of exception handlers which halt. A program is run by
 * stretches of generated code until it has come to an exit or a handler. Another executor with an X86State and memory
 * of its own can have the same world (x86_world_on).
 * SPDX-License-Identifier: MIT
 */
#include "x86_bare.h"
#include "x86_insn.h"
#include <string.h>

/* Physical addresses; the kernel sees them at KERNEL. */
enum {
    PML4 = 0x1000,
    PDPT_LOW = 0x2000,
    PD_LOW = 0x3000,
    PT_LOW = 0x4000,
    PDPT_HIGH = 0x5000,
    PD_HIGH = 0x6000,
    GDT = 0x7000,
    IDT = 0x8000,
    TSS = 0x9000,
    LDT = 0xa000,
    HANDLERS = 0xb000,
    STACK_TOP = 0xd000,
    PAGES = 0x10000, /* BASE */
};
#define KERNEL 0xffffffff80000000ull
struct X86World {
    X86Bare *bare; /* or NULL: another's */
    X86State *s;
    uint8_t *host;
    /* one run */
    const X86Batch *batch;
    X86Case *out;
    uint8_t *data;
};

static void put64(X86World *w, uint32_t at, uint64_t v)
{
    memcpy(w->host + at, &v, 8);
}

static uint64_t get64(const X86World *w, uint32_t at)
{
    uint64_t v;
    memcpy(&v, w->host + at, 8);
    return v;
}

/* ---- tables ---- */

static void make_pages(X86World *w)
{
    enum { P = 1, W = 2, U = 4, PS = 0x80 };
    static const struct {
        uint32_t va;
        uint64_t rights;
    } pages[] = { { CODE, P | U },
                  { EXITS, P | U },
                  { READ_ONLY, P | U | 1ull << 63 },
                  { DATA, P | W | U | 1ull << 63 },
                  { DATA + 0x1000, P | W | U | 1ull << 63 } };
    put64(w, PML4, PDPT_LOW | P | W | U);
    put64(w, PDPT_LOW, PD_LOW | P | W | U);
    put64(w, PD_LOW + (BASE >> 21) * 8, PT_LOW | P | W | U);
    for (unsigned i = 0; i < G_N_ELEMENTS(pages); i++)
        put64(w, PT_LOW + (pages[i].va >> 12 & 511) * 8, (pages[i].va - BASE + PAGES) | pages[i].rights);
    put64(w, PML4 + 511 * 8, PDPT_HIGH | P | W);
    put64(w, PDPT_HIGH + 510 * 8, PD_HIGH | P | W);
    put64(w, PD_HIGH, P | W | PS);
}

static void make_descriptors(X86World *w)
{
    static const uint64_t gdt[] = { 0,
                                    0x00cf9b000000ffff, /* as Linux has them */
                                    0x00af9b000000ffff,
                                    0x00cf93000000ffff,
                                    0x00cffb000000ffff,
                                    0x00cff3000000ffff,
                                    0x00affb000000ffff };
    for (unsigned i = 0; i < G_N_ELEMENTS(gdt); i++)
        put64(w, GDT + 8 * i, gdt[i]);
    put64(w, GDT + 0x40, x86_bare_descriptor((uint32_t)(KERNEL + TSS), 0x67, 0x8b));
    put64(w, GDT + 0x48, KERNEL >> 32);
    put64(w, GDT + 0x50, x86_bare_descriptor((uint32_t)(KERNEL + LDT), X86_LDT_ENTRIES * 8 - 1, 0x82));
    put64(w, GDT + 0x58, KERNEL >> 32);
    put64(w, GDT + 0x78, 0x0040f50000000000);
    for (unsigned i = 0; i < X86_LDT_ENTRIES; i++)
        put64(w, LDT + 8 * i, x86_bare_descriptor(x86_ldt[i].base, x86_ldt[i].limit, x86_ldt[i].attributes));
    put64(w, TSS + 4, KERNEL + STACK_TOP);
    w->host[TSS + 0x66] = 0x68; /* no I/O map */
    w->host[TSS + 0x67] = 0;
    for (unsigned v = 0; v < 256; v++) {
        uint64_t offset = KERNEL + HANDLERS + 16 * v;
        bool open = v == VECTOR_BP || v == VECTOR_OF || v == 0x80;
        put64(w, IDT + 16 * v,
              (offset & 0xffff) | 0x10 << 16 | (open ? 0xeeull : 0x8eull) << 40 | (offset >> 16 & 0xffff) << 48);
        put64(w, IDT + 16 * v + 8, offset >> 32);
        w->host[HANDLERS + 16 * v] = 0xf4; /* hlt */
    }
}

/* ---- the machine ---- */

static void set_system(X86World *w)
{
    X86State *s = w->s;
    s->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
    s->cr4 = CR4_PAE | CR4_PSE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE | CR4_DE;
    s->cr3 = PML4;
    s->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
    s->xcr0 = 7;
    s->gdt = (X86Table){ KERNEL + GDT, 127 };
    s->idt = (X86Table){ KERNEL + IDT, 4095 };
    s->tr = (X86SegmentReg){ .base = KERNEL + TSS, .limit = 0x67, .selector = 0x40, .attributes = 0x8b };
    s->ldt =
        (X86SegmentReg){ .base = KERNEL + LDT, .limit = X86_LDT_ENTRIES * 8 - 1, .selector = 0x50, .attributes = 0x82 };
}

X86World *x86_world_new(bool jit)
{
    X86Bare *bare = x86_bare_new(jit, X86_WORLD_BYTES);
    X86World *w = x86_world_on(bare->s, bare->host);
    w->bare = bare;
    return w;
}

X86World *x86_world_on(X86State *s, uint8_t *host)
{
    X86World *w = g_new0(X86World, 1);
    w->s = s;
    w->host = host;
    make_pages(w);
    make_descriptors(w);
    set_system(w);
    return w;
}

void x86_world_free(X86World *w)
{
    if (w->bare)
        x86_bare_free(w->bare);
    g_free(w);
}

uint64_t x86_world_features(const X86World *w)
{
    return w->s->decode_features;
}

/* ---- registers ---- */

static void load_segment(X86World *w, unsigned segment, uint16_t selector)
{
    uint64_t d = get64(w, (selector & 4 ? LDT : GDT) + (selector & ~7u));
    X86Descriptor words = { .low = (uint32_t)d, .high = (uint32_t)(d >> 32) };
    if (selector & 0xfffc)
        x86_segment_from(&w->s->segment[segment], selector, &words);
    else
        w->s->segment[segment] = (X86SegmentReg){ .selector = selector };
}

static void load_fx(X86State *s, const uint8_t *fx)
{
    uint16_t control, status;
    uint32_t mxcsr;
    memcpy(&control, fx + FX_FCW, 2);
    memcpy(&status, fx + FX_FSW, 2);
    memcpy(&mxcsr, fx + FX_MXCSR, 4);
    x87_reset(s);
    x87_set_control(s, control);
    x87_set_status(s, status);
    s->fpu.used = fx[FX_FTW];
    for (unsigned i = 0; i < 8; i++)
        memcpy(s->fpu.reg[(s->fpu.top + i) & 7], fx + FX_ST + 16 * i, 10);
    x86_set_mxcsr(s, mxcsr);
    for (unsigned i = 0; i < 16; i++) {
        memcpy(s->xmm[i], fx + FX_XMM + 16 * i, 16);
        memcpy(s->xmm[i] + 2, fx + FX_YMMH + 16 * i, 16);
    }
    x86_find_dirty(s);
}

static void store_fx(X86State *s, uint8_t *fx)
{
    const X86Fpu *f = &s->fpu;
    uint16_t status = x87_status(s);
    uint32_t mxcsr = x86_mxcsr(s);
    memset(fx, 0, FX_ST);
    memcpy(fx + FX_FCW, &f->control, 2);
    memcpy(fx + FX_FSW, &status, 2);
    fx[FX_FTW] = f->used;
    for (unsigned i = 0; i < 8; i++)
        memcpy(fx + FX_ST + 16 * i, f->reg[(f->top + i) & 7], 10);
    memcpy(fx + FX_MXCSR, &mxcsr, 4);
    for (unsigned i = 0; i < 16; i++) {
        memcpy(fx + FX_XMM + 16 * i, s->xmm[i], 16);
        memcpy(fx + FX_YMMH + 16 * i, s->xmm[i] + 2, 16);
    }
}

static void load_case(X86World *w, const X86Encoding *e, const X86Regs *r)
{
    X86State *s = w->s;
    memcpy(s->gpr, r->gpr, sizeof(s->gpr));
    load_fx(s, r->fx);
    for (unsigned i = 0; i < 6; i++)
        load_segment(w, i, r->seg[i]);
    if (e->bits == 64) {
        s->segment[X86_FS].base = r->fs_base;
        s->segment[X86_GS].base = r->gs_base;
    }
    s->shadow = 0;
    s->cs.pc = CODE + e->slot + e->at;
    s->cc_op = CC_EFLAGS << 2;
    s->cc_result = s->cc_source = r->rflags & FLAGS_ARITHMETIC;
    s->eflags = (uint32_t)r->rflags & ~(uint32_t)FLAGS_ARITHMETIC;
    x86_mode_changed(s);
}

static void store_case(X86World *w, X86Regs *r)
{
    X86State *s = w->s;
    uint64_t pc = s->cs.pc;
    memset((uint8_t *)r + sizeof(r->fx), 0, sizeof(*r) - sizeof(r->fx));
    memcpy(r->gpr, s->gpr, sizeof(r->gpr));
    store_fx(s, r->fx);
    r->rflags = x86_eflags(s);
    r->fs_base = s->segment[X86_FS].base;
    r->gs_base = s->segment[X86_GS].base;
    for (unsigned i = 0; i < 6; i++)
        r->seg[i] = s->segment[i].selector;
    r->vector = VECTOR_MARK;
    if (pc < KERNEL) {
        r->mark = MARK_AT(pc);
        return;
    }
    r->vector = (uint8_t)((pc - KERNEL - HANDLERS) >> 4);
    uint64_t rsp = s->gpr[RSP];
    uint32_t at = (uint32_t)(rsp - KERNEL);
    if (STACK_TOP - at > 40) {
        r->error = (uint32_t)get64(w, at);
        at += 8;
    }
    r->rip = get64(w, at);
    r->seg[X86_CS] = (uint16_t)get64(w, at + 8);
    r->rflags = get64(w, at + 16);
    r->gpr[RSP] = get64(w, at + 24);
    r->seg[X86_SS] = (uint16_t)get64(w, at + 32);
    r->address = r->vector == VECTOR_PF ? s->cr2 : 0;
    x86_settle(r);
}

/* ---- running ---- */

static bool arrived(uint64_t pc)
{
    /* one that jumped between two exits comes to the second */
    return (IS_EXIT(pc) && !(pc & 15)) || (pc & ~0xfffull) == KERNEL + HANDLERS;
}

void x86_world_load(X86World *w, const X86Encoding *e, const X86Case *in)
{
    load_case(w, e, &in->regs);
    memcpy(w->host + WINDOW - BASE + PAGES, in->window, WINDOW_BYTES);
}

void x86_world_store(X86World *w, X86Case *out)
{
    store_case(w, &out->regs);
    memcpy(out->window, w->host + WINDOW - BASE + PAGES, WINDOW_BYTES);
    memcpy(out->edge, w->host + DATA_END - EDGE_BYTES - BASE + PAGES, EDGE_BYTES);
    memcpy(w->host + DATA - BASE + PAGES, w->batch->data, ENDS_BYTES);
    memcpy(w->host + DATA_END - ENDS_BYTES - BASE + PAGES, w->batch->data + sizeof(w->batch->data) - ENDS_BYTES,
           ENDS_BYTES);
}

static void run_case(X86World *w, const X86Encoding *e, const X86Case *in, X86Case *out)
{
    enum { MOST_STRETCHES = 200 };
    x86_world_load(w, e, in);
    bool ok = x86_bare_go(w->bare, arrived, MOST_STRETCHES);
    x86_world_store(w, out);
    if (!ok)
        out->regs.vector = VECTOR_HANGS;
}

static void run_batch(Vcpu *vcpu, void *opaque)
{
    X86World *w = opaque;
    TcgCpu *c = vcpu->accel;
    const X86Batch *b = w->batch;
    tcg_enter(c);
    for (unsigned i = 0; i < b->cases; i++)
        run_case(w, &b->encoding[i / STATES], &b->in[i], &w->out[i]);
    tcg_leave(c, TCG_RUN_ON);
    memcpy(w->data, w->host + DATA - BASE + PAGES, DATA_END - DATA);
}

void x86_world_begin(X86World *w, const X86Batch *b)
{
    memcpy(w->host + CODE - BASE + PAGES, b->code, sizeof(b->code));
    x86_make_exits(w->host + EXITS - BASE + PAGES);
    memcpy(w->host + READ_ONLY - BASE + PAGES, b->read_only, 4096);
    memcpy(w->host + DATA - BASE + PAGES, b->data, DATA_END - DATA);
    w->batch = b;
}

void x86_world_run(X86World *w, const X86Batch *b, X86Case *out, uint8_t *data)
{
    x86_world_begin(w, b);
    x86_bare_code_written(w->bare, PAGES, sizeof(b->code));
    w->out = out;
    w->data = data;
    vcpu_call(w->bare->vcpu, run_batch, w);
}
