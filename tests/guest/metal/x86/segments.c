/*
 * Segments in protected mode: limits, types, loading, what looks at descriptors, far jumps (SDM volume 3, chapters 3
 * and 6).
 * SPDX-License-Identifier: MIT
 */
#include "modes.h"

static uint8_t memory[0x11000] __attribute__((aligned(4096)));
static struct {
    uint32_t offset;
    uint16_t selector;
} far_pointer;

static uint16_t make(unsigned n, uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
    gdt[T / 8 + n] = descriptor(base, limit, access, flags);
    return (uint16_t)(T + 8 * n + (access >> 5 & 3));
}

/* ---- limits ---- */

typedef struct Limit {
    uint32_t limit, access, flags, offset;
    uint8_t read1, write1, read4, write4; /* 1: it may be done */
} Limit;
static const Limit limits[] = {
    { 0xf, DATA, BIG, 0xc, 1, 1, 1, 1 },
    { 0xf, DATA, BIG, 0xd, 1, 1, 0, 0 },
    { 0xf, DATA, BIG, 0xf, 1, 1, 0, 0 },
    { 0xf, DATA, BIG, 0x10, 0, 0, 0, 0 },
    { 0xf, DATA, BIG, 0xfffffffe, 0, 0, 0, 0 },
    { 0xf, DATA, 0, 0xc, 1, 1, 1, 1 },
    { 0, DATA, BIG, 0, 1, 1, 0, 0 },
    { 0, DATA, GRANULAR, 0xffc, 1, 1, 1, 1 },
    { 0, DATA, GRANULAR, 0xffd, 1, 1, 0, 0 },
    { 0, DATA, GRANULAR, 0x1000, 0, 0, 0, 0 },
    { 0xf, 0x91, BIG, 0xc, 1, 0, 1, 0 },     /* read-only */
    { 0xfff, 0x97, BIG, 0xfff, 0, 0, 0, 0 }, /* expand-down */
    { 0xfff, 0x97, BIG, 0x1000, 1, 1, 1, 1 },
    { 0xfff, 0x97, BIG, 0xffe, 0, 0, 0, 0 },
    { 0xfff, 0x97, BIG, 0x10000, 1, 1, 1, 1 },
    { 0xfff, 0x97, 0, 0x1000, 1, 1, 1, 1 },
    { 0xfff, 0x97, 0, 0xfffc, 1, 1, 1, 1 },
    { 0xfff, 0x97, 0, 0xfffe, 1, 1, 0, 0 },
    { 0xfff, 0x97, 0, 0x10000, 0, 0, 0, 0 },
    { 0, 0x97, BIG | GRANULAR, 0xfff, 0, 0, 0, 0 },
    { 0, 0x97, BIG | GRANULAR, 0x1000, 1, 1, 1, 1 },
    { 0xfff, 0x95, BIG, 0x1000, 1, 0, 1, 0 }, /* and read-only */
    { 0xffff, 0x97, 0, 0x8000, 0, 0, 0, 0 },  /* nothing is inside */
    { 0xf, 0x9b, BIG, 0xc, 1, 0, 1, 0 },      /* code that may be read */
    { 0xf, 0x9b, BIG, 0x10, 0, 0, 0, 0 },
    { 0xf, 0x9f, BIG, 0xc, 1, 0, 1, 0 },
};

static void test_limits(void)
{
    const uint32_t codes[] = { CODE32("movb %%fs:(%%ebx), %%al"), CODE32("movb %%al, %%fs:(%%ebx)"),
                               CODE32("movl %%fs:(%%ebx), %%eax"), CODE32("movl %%eax, %%fs:(%%ebx)") };
    group("limits");
    for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        const Limit *l = &limits[i];
        const uint8_t may[] = { l->read1, l->write1, l->read4, l->write4 };
        uint16_t fs = make(0, (uint32_t)memory, l->limit, l->access | USER, l->flags);
        for (unsigned k = 0; k < 4; k++) {
            Context c = user(codes[k]);
            c.fs = fs;
            c.bx = l->offset;
            uint32_t wanted = may[k] ? DONE : EVENT(GP, 0), happened = go(&c);
            expect("limit", happened | i << 24, wanted | i << 24);
        }
    }
    Context c = user(CODE32("movb %%fs:(%%ebx), %%al"));
    c.fs = 0;
    c.bx = (uint32_t)memory;
    ends("null segment", &c, EVENT(GP, 0));
    c = user(CODE32("movb %%ss:(%%ebx), %%al"));
    c.ss = make(0, 0, 0xffff, DATA | USER, BIG);
    c.bx = 0x10000;
    ends("limit of SS", &c, EVENT(SS, 0));
    c = user(CODE32("push %%eax"));
    c.ss = make(0, (uint32_t)memory, 0xff, DATA | USER, BIG);
    c.sp = 0x102;
    ends("push over the limit", &c, EVENT(SS, 0));
    c = user(CODE32("push %%eax"));
    c.ss = make(0, (uint32_t)memory, 0xff, DATA | USER, 0);
    c.sp = 0x100;
    ends("16-bit stack", &c, DONE);
    c = user(CODE32("push %%eax"));
    c.ss = make(0, (uint32_t)memory, 0xffff, DATA | USER, 0);
    c.sp = 0x12340002;
    ends("16-bit stack wraps inside", &c, EVENT(SS, 0));
    c = user(CODE32("pushw %%ax"));
    c.ss = make(0, (uint32_t)memory, 0xffff, DATA | USER, 0);
    c.sp = 0x12340000;
    ends("16-bit stack wraps", &c, DONE);
    expect("SP alone changes", c.sp & 0xffff, 0xfffe);
}

/* ---- code segments ---- */

static void test_code_limits(void)
{
    group("code limits");
    uint32_t code = CODE32("nop; nop; nop");
    Context c = user(0);
    c.cs = make(0, code, 4, CODE | USER, BIG);
    ends("code ends at its limit", &c, DONE);
    c = user(0);
    c.cs = make(0, code, 3, CODE | USER, BIG);
    uint32_t happened = go(&c);
    expect("instruction across the limit", happened, EVENT(GP, 0));
    expect("instruction across the limit: ip", c.ip, 3);
    c = user(0);
    c.cs = make(0, code, 2, CODE | USER, BIG);
    happened = go(&c);
    expect("execution beyond the limit", happened, EVENT(GP, 0));
    expect("execution beyond the limit: ip", c.ip, 3);
    code = CODE32("jmp 1f; .skip 100; 1: nop");
    c = user(0);
    c.cs = make(0, code, 50, CODE | USER, BIG);
    happened = go(&c);
    expect("jump beyond the limit", happened, EVENT(GP, 0));
    expect("jump beyond the limit: ip", c.ip, 0);
    code = CODE32("call *%%ebx");
    c = user(0);
    c.cs = make(0, code, 50, CODE | USER, BIG);
    c.bx = 51;
    happened = go(&c);
    expect("call beyond the limit", happened, EVENT(GP, 0));
    expect("call beyond the limit: ip", c.ip, 0);
    expect("call beyond the limit: sp", c.sp, (uint32_t)user_stack + sizeof(user_stack));
    code = CODE16("jmp 1f; .skip 100; 1: mov %%cs, %%ax");
    c = user(0);
    c.cs = make(0, code, 0xffff, CODE | USER, 0);
    ends("16-bit code", &c, DONE);
    expect("its selector", c.ax & 0xffff, c.cs);
    code = CODE16("xor %%eax, %%eax; .byte 0x66; ret");
    c = user(0);
    c.cs = make(0, code, 0xffff, CODE | USER, 0);
    *(uint32_t *)(user_stack + 4000) = 0x10000;
    c.sp = (uint32_t)user_stack + 4000;
    happened = go(&c);
    expect("32-bit return beyond 64 KiB", happened, EVENT(GP, 0));
    expect("32-bit return beyond 64 KiB: ip", c.ip, 3);
}

/* ---- loading ---- */

typedef struct Load {
    uint16_t access;
    uint8_t rpl, cpl;
    uint8_t data, stack; /* what loading DS and SS does: 0: fine, else a vector */
} Load;
static const Load loads[] = {
    { DATA | USER, 3, 3, 0, 0 },   { DATA | USER, 0, 3, 0, GP },  { DATA | USER, 3, 0, 0, GP },
    { DATA, 0, 0, 0, 0 },          { DATA, 1, 0, GP, GP },        { DATA, 0, 3, GP, GP },
    { DATA, 3, 3, GP, GP },        { 0x91 | USER, 3, 3, 0, GP },  { 0x90 | USER, 3, 3, 0, GP },
    { 0x97 | USER, 3, 3, 0, 0 },   { 0x13 | USER, 3, 3, NP, SS }, { 0x11 | USER, 3, 3, NP, GP },
    { 0x99 | USER, 3, 3, GP, GP }, { 0x9b | USER, 3, 3, 0, GP },  { 0x1b | USER, 3, 3, NP, GP },
    { 0x9b, 3, 3, GP, GP },        { 0x9f, 3, 3, 0, GP },         { 0x9d, 3, 3, GP, GP },
    { 0x1f, 3, 3, NP, GP },        { 0x82 | USER, 3, 3, GP, GP }, { 0x89 | USER, 3, 3, GP, GP },
    { 0x8c | USER, 3, 3, GP, GP }, { 0x80 | USER, 3, 3, GP, GP }, { 0x02 | USER, 3, 3, GP, GP },
    { 0xb3, 1, 0, 0, GP },         { 0xb3, 2, 0, GP, GP },
};

static void test_loads(void)
{
    group("loading segments");
    uint32_t to_ds = CODE32("mov %%ax, %%ds"), to_ss = CODE32("mov %%ax, %%ss"), to_fs = CODE32("push %%eax; pop %%fs");
    for (unsigned i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
        const Load *l = &loads[i];
        uint16_t selector = (make(0, 0, 0xfffff, l->access, BIG | GRANULAR) & ~3u) | l->rpl;
        Context c = l->cpl ? user(to_ds) : kernel(to_ds);
        c.ax = selector;
        uint32_t wanted = l->data ? EVENT(l->data, selector & ~3u) : DONE;
        expect("DS", go(&c) | i << 24, wanted | i << 24);
        bool set = gdt[T / 8] >> 40 & 1;
        expect("accessed", set, wanted == DONE || l->access & 1);
        c = l->cpl ? user(to_fs) : kernel(to_fs);
        c.ax = selector;
        expect("pop FS", go(&c) | i << 24, wanted | i << 24);
        make(0, 0, 0xfffff, l->access, BIG | GRANULAR);
        c = l->cpl ? user(to_ss) : kernel(to_ss);
        c.ax = selector;
        wanted = l->stack ? EVENT(l->stack, selector & ~3u) : DONE;
        expect("SS", go(&c) | i << 24, wanted | i << 24);
    }
    Context c = user(to_ds);
    for (c.ax = 0; c.ax < 4; c.ax++) {
        uint32_t n = c.ax;
        expect("null DS", go(&c), DONE);
        expect("null DS: selector", c.ds, n);
        c = user(to_ds);
        c.ax = n;
    }
    c = user(to_ss);
    c.ax = 3;
    ends("null SS", &c, EVENT(GP, 0));
    c = kernel(to_ss);
    c.ax = 0;
    ends("null SS", &c, EVENT(GP, 0));
    c = user(to_ds);
    c.ax = sizeof(gdt) + 3;
    ends("beyond the GDT", &c, EVENT(GP, sizeof(gdt)));
    c = user(to_ds);
    c.ax = 0x0f;
    ends("no LDT", &c, EVENT(GP, 0x0c));
    c = user(CODE32(".byte 0x8e, 0xc8")); /* mov %eax, %cs */
    ends("mov to CS", &c, UD);
    c = user(CODE32(".byte 0x8e, 0xf0"));
    ends("mov to segment 6", &c, UD);
    /* through an LDT */
    ldt[1] = descriptor(0, 0xfffff, DATA | USER, BIG | GRANULAR);
    c = kernel(CODE32("lldt %%bx; mov %%ax, %%ds; movl (%%ecx), %%edx; mov $0, %%ebx; lldt %%bx"));
    c.bx = LDT;
    c.ax = 0x0f;
    c.cx = (uint32_t)memory;
    *(uint32_t *)memory = 0x1234567;
    ends("LDT", &c, DONE);
    expect("LDT: read", c.dx, 0x1234567);
    c = kernel(CODE32("lldt %%bx"));
    c.bx = KDATA;
    ends("lldt of data", &c, EVENT(GP, KDATA));
    c = kernel(CODE32("lldt %%bx"));
    c.bx = 0x0c;
    ends("lldt of LDT's", &c, EVENT(GP, 0x0c));
    c = kernel(CODE32("lldt %%bx"));
    c.bx = make(0, 0, 0xff, 0x02, 0);
    ends("lldt not present", &c, EVENT(NP, T));
    c = kernel(CODE32("ltr %%bx"));
    c.bx = TSS;
    ends("ltr of a busy TSS", &c, EVENT(GP, TSS));
    c = kernel(CODE32("ltr %%bx"));
    c.bx = 0;
    ends("ltr null", &c, EVENT(GP, 0));
    gdt[TSS / 8] &= ~(2ull << 40);
    c = kernel(CODE32("ltr %%bx"));
    c.bx = TSS;
    ends("ltr", &c, DONE);
    expect("ltr makes it busy", gdt[TSS / 8] >> 40 & 2, 2);
    c = kernel(CODE32("ltr %%bx"));
    c.bx = make(0, 0, 0xff, 0x09, 0);
    ends("ltr not present", &c, EVENT(NP, T));
    c = user(CODE32("ltr %%bx"));
    ends("ltr of a program", &c, EVENT(GP, 0));
    c = user(CODE32("lldt %%bx"));
    ends("lldt of a program", &c, EVENT(GP, 0));
}

/* ---- lar, lsl, verr, verw, arpl ---- */

static void test_looks(void)
{
    /* Types (with S as bit 4) that lar, lsl, verr and verw take. */
    const uint32_t lar = 0xffff0000 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 9 | 1 << 11 | 1 << 12,
                   lsl = 0xffff0000 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 9 | 1 << 11, verr = 0xccff0000, verw = 0x00cc0000;
    const uint32_t code =
        CODE32("lar %%ebx, %%eax; setz %%dl; lsl %%ebx, %%ecx; setz %%dh; verr %%bx; setz %%al; verw %%bx;"
               "setz %%ah; lar %%ebx, %%esi; mov %%esi, %%edi");
    group("lar lsl verr verw arpl");
    for (unsigned type = 0; type < 32; type++) {
        for (unsigned k = 0; k < 16; k++) { /* DPL, RPL, CPL 0 or 3; present or not */
            unsigned dpl = k & 1 ? 3 : 0, rpl = k & 2 ? 3 : 0, cpl = k & 4 ? 3 : 0, present = k & 8 ? 0 : 0x80;
            unsigned selector = (make(0, 0x12345678, 0x9abcd, type | dpl << 5 | present, BIG) & ~3u) | rpl;
            Context c = cpl ? user(code) : kernel(code);
            c.bx = selector;
            c.cx = c.si = 0x55555555;
            bool conforming = (type & 0x1c) == 0x1c, seen = conforming || (dpl >= cpl && dpl >= rpl);
            bool wanted[4] = { lar >> type & 1 && seen, lsl >> type & 1 && seen, verr >> type & 1 && seen,
                               verw >> type & 1 && seen };
            expect("finishes", go(&c), DONE);
            uint32_t here = type << 8 | k;
            expect("lar", (c.dx & 0xff) << 16 | here, wanted[0] << 16 | here);
            expect("lsl", (c.dx >> 8 & 0xff) << 16 | here, wanted[1] << 16 | here);
            expect("verr", (c.ax & 0xff) << 16 | here, wanted[2] << 16 | here);
            expect("verw", (c.ax >> 8 & 0xff) << 16 | here, wanted[3] << 16 | here);
            expect("lar: value", c.di & 0xfff0ff00,
                   wanted[0] ? 0x00400000 | (type | dpl << 5 | present) << 8 : 0x55505500);
            expect("lsl: value", c.cx, wanted[1] ? 0x9abcd : 0x55555555);
        }
    }
    Context c = user(CODE32("lsl %%ebx, %%eax; lar %%bx, %%cx"));
    c.bx = make(0, 0, 0x12345, DATA | USER, GRANULAR);
    c.cx = 0xaaaaaaaa;
    ends("lsl", &c, DONE);
    expect("lsl of pages", c.ax, 0x12345fff);
    expect("lar of 16 bits", c.cx, 0xaaaaf300);
    c = user(CODE32("verr %%bx; setz %%al; lar %%ebx, %%ecx; setz %%ah"));
    c.bx = 0;
    c.ax = 0xffff;
    ends("of null", &c, DONE);
    expect("null is not seen", c.ax & 0xffff, 0);
    c = user(CODE32("arpl %%bx, %%ax; setz %%dl; arpl %%cx, %%ax; setz %%dh"));
    c.ax = 0x10;
    c.bx = 0x03;
    c.cx = 0x02;
    ends("arpl", &c, DONE);
    expect("arpl: selector", c.ax, 0x13);
    expect("arpl: ZF", c.dx & 0xffff, 1);
}

/* ---- far jumps ---- */

typedef struct Jump {
    uint16_t access;
    uint8_t rpl, cpl, vector;
} Jump;
static const Jump jumps[] = {
    { CODE | USER, 3, 3, 0 },  { CODE | USER, 0, 3, 0 },  { CODE, 3, 3, GP },        { CODE, 0, 3, GP },
    { CODE | USER, 3, 0, GP }, { CODE, 0, 0, 0 },         { CODE, 1, 0, GP },        { 0x9f, 3, 3, 0 },
    { 0x9f, 0, 3, 0 },         { 0xff, 0, 0, GP },        { DATA | USER, 3, 3, GP }, { 0x1b | USER, 3, 3, NP },
    { 0x1f, 3, 3, NP },        { 0x99 | USER, 3, 3, 0 },  { 0x82 | USER, 3, 3, GP }, { 0x80 | USER, 3, 3, GP },
    { 0x86 | USER, 3, 3, GP }, { 0x8f | USER, 3, 3, GP },
};

static void test_jumps(void)
{
    group("far jumps and calls");
    uint32_t jump = CODE32("ljmp *(%%ebx)"), call = CODE32("lcall *(%%ebx)"), target = CODE32("mov %%cs, %%eax");
    for (unsigned i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
        const Jump *j = &jumps[i];
        for (unsigned k = 0; k < 2; k++) {
            uint16_t selector = (make(0, 0, 0xfffff, j->access, BIG | GRANULAR) & ~3u) | j->rpl;
            Context c = j->cpl ? user(k ? call : jump) : kernel(k ? call : jump);
            far_pointer.offset = target;
            far_pointer.selector = selector;
            c.bx = (uint32_t)&far_pointer;
            uint32_t sp = c.sp, cs = c.cs;
            uint32_t wanted = j->vector ? EVENT(j->vector, selector & ~3u) : DONE, happened = go(&c);
            expect(k ? "call" : "jump", happened | i << 24, wanted | i << 24);
            if (wanted == DONE && happened == DONE) {
                expect("CS", c.cs, (selector & ~3u) | j->cpl);
                expect("SP", c.sp, sp - 8 * k);
                if (k)
                    expect("pushed CS", ((uint32_t *)sp)[-1], cs);
            }
        }
    }
    Context c = user(jump);
    far_pointer.selector = 3;
    c.bx = (uint32_t)&far_pointer;
    ends("jump to null", &c, EVENT(GP, 0));
    c = user(jump);
    far_pointer.selector = make(0, 0, 0xff, CODE | USER, BIG);
    far_pointer.offset = 0x100;
    c.bx = (uint32_t)&far_pointer;
    ends("jump beyond the limit", &c, EVENT(GP, 0));
    c = user(call);
    c.bx = (uint32_t)&far_pointer;
    ends("call beyond the limit", &c, EVENT(GP, 0));
    expect("call beyond the limit: sp", c.sp, (uint32_t)user_stack + sizeof(user_stack));
}

void test_segments(void)
{
    test_limits();
    test_code_limits();
    test_loads();
    test_looks();
    test_jumps();
}
