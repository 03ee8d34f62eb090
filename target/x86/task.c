/*
 * x86 task switches (SDM volume 3, chapter 8).
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/cpu.h"

/* Places in a TSS of 32 bits and of 16 bits (figures 8-2 and 8-10). */
typedef struct TssLayout {
    uint8_t cr3, ip, flags, gprs, segments, ldt, segment_count, word;
    uint8_t limit; /* the least */
} TssLayout;
static const TssLayout layout32 = { 28, 32, 36, 40, 72, 96, 6, 4, 103 };
static const TssLayout layout16 = { 0, 14, 16, 18, 34, 42, 4, 2, 43 };

#define TRAP_PLACE 100 /* in one of 32 bits */

typedef struct TssImage {
    uint64_t cr3, ip, flags, gprs[8], segments[6], ldt, trap;
} TssImage;

static bool read_image(X86State *s, const X86SegmentReg *tss, const TssLayout *l, TssImage *t)
{
    *t = (TssImage){ 0 };
    for (unsigned i = 0; i < 8; i++) {
        if (!x86_system_load(s, tss->base + l->gprs + i * l->word, l->word, &t->gprs[i]))
            return false;
    }
    for (unsigned i = 0; i < l->segment_count; i++) {
        if (!x86_system_load(s, tss->base + l->segments + i * l->word, 2, &t->segments[i]))
            return false;
    }
    return x86_system_load(s, tss->base + l->ip, l->word, &t->ip) &&
           x86_system_load(s, tss->base + l->flags, l->word, &t->flags) &&
           x86_system_load(s, tss->base + l->ldt, 2, &t->ldt) &&
           (!l->cr3 || (x86_system_load(s, tss->base + l->cr3, 4, &t->cr3) &&
                        x86_system_load(s, tss->base + TRAP_PLACE, 2, &t->trap)));
}

static bool save_old(X86State *s, const TssLayout *l, uint64_t return_ip, uint32_t flags)
{
    uint64_t base = s->tr.base;
    for (unsigned i = 0; i < 8; i++) {
        if (!x86_system_store(s, base + l->gprs + i * l->word, l->word, s->gpr[i]))
            return false;
    }
    for (unsigned i = 0; i < l->segment_count; i++) {
        if (!x86_system_store(s, base + l->segments + i * l->word, 2, s->segment[i].selector))
            return false;
    }
    return x86_system_store(s, base + l->ip, l->word, return_ip) &&
           x86_system_store(s, base + l->flags, l->word, flags);
}

static bool set_busy(X86State *s, uint16_t selector, bool busy)
{
    uint64_t high, address = s->gdt.base + (selector & 0xfff8) + 4;
    if (!x86_system_load(s, address, 4, &high))
        return false;
    return x86_system_store(s, address, 4, busy ? high | 1 << 9 : high & ~(uint64_t)(1 << 9));
}

/* The new task is in place: faults from here on are its own (#TS, #NP, #SS with the selector). */
static void load_segments(X86State *s, const TssImage *t)
{
    static const uint8_t order[] = { X86_SS, X86_DS, X86_ES, X86_FS, X86_GS };
    X86Descriptor d;
    for (unsigned i = 0; i < 6; i++) {
        s->segment[i] = (X86SegmentReg){ .selector = (uint16_t)t->segments[i], .attributes = DESC_DB };
        if (s->eflags & FLAG_VM)
            x86_load_segment_real(s, i, (uint16_t)t->segments[i]);
    }
    s->cs.pc = (uint32_t)t->ip; /* until CS is there */
    x86_mode_changed(s);
    s->ldt = (X86SegmentReg){ .selector = (uint16_t)t->ldt };
    if (t->ldt & 4) {
        x86_raise(s, VECTOR_TS, (uint32_t)t->ldt & 0xfffc);
        return;
    }
    if (t->ldt & 0xfffc) {
        if (!x86_read_descriptor(s, (uint16_t)t->ldt, VECTOR_TS, &d))
            return;
        x86_segment_from(&s->ldt, (uint16_t)t->ldt, &d);
        if ((s->ldt.attributes & (DESC_S | DESC_TYPE | DESC_P)) != (GATE_LDT | DESC_P)) {
            x86_raise(s, VECTOR_TS, (uint32_t)t->ldt & 0xfffc);
            return;
        }
    }
    if (s->eflags & FLAG_VM) {
        s->cs.pc = (uint32_t)(s->segment[X86_CS].base + (t->ip & 0xffff));
        x86_mode_changed(s);
        return;
    }
    uint16_t selector = (uint16_t)t->segments[X86_CS];
    if (!(selector & 0xfffc)) {
        x86_raise(s, VECTOR_TS, 0);
        return;
    }
    if (!x86_read_descriptor(s, selector, VECTOR_TS, &d))
        return;
    X86SegmentReg code;
    x86_segment_from(&code, selector, &d);
    bool conforming = code.attributes & DESC_EXPAND_DOWN;
    unsigned dpl = code.attributes >> DESC_DPL_SHIFT & 3, rpl = selector & 3;
    if ((code.attributes & (DESC_S | DESC_CODE)) != (DESC_S | DESC_CODE) || (conforming ? dpl > rpl : dpl != rpl)) {
        x86_raise(s, VECTOR_TS, selector & 0xfffc);
        return;
    }
    if (!(code.attributes & DESC_P)) {
        x86_raise(s, VECTOR_NP, selector & 0xfffc);
        return;
    }
    s->segment[X86_CS] = code;
    s->segment[X86_SS].attributes = (uint16_t)(rpl << DESC_DPL_SHIFT); /* the CPL, until SS is loaded */
    s->cs.pc = (uint32_t)(code.base + (uint32_t)t->ip);
    x86_mode_changed(s);
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
        if (!x86_load_segment_or(s, order[i], (uint16_t)t->segments[order[i]], VECTOR_TS))
            return;
    }
    if ((uint32_t)t->ip > code.limit)
        x86_raise(s, VECTOR_GP, 0);
}

bool x86_switch_task(X86State *s, uint16_t selector, X86Descriptor *d, X86TaskReason reason, uint64_t return_ip)
{
    X86SegmentReg tss;
    TssImage image;
    x86_segment_from(&tss, selector, d);
    unsigned type = tss.attributes & DESC_TYPE;
    const TssLayout *l = type & 8 ? &layout32 : &layout16, *old = s->tr.attributes & 8 ? &layout32 : &layout16;
    bool is_tss = !(tss.attributes & DESC_S) && (type & 7) == (reason == TASK_IRET ? 3 : 1);
    if (!is_tss) {
        x86_raise(s, reason == TASK_IRET ? VECTOR_TS : VECTOR_GP, selector & 0xfffc);
        return false;
    }
    if (!(tss.attributes & DESC_P)) {
        x86_raise(s, VECTOR_NP, selector & 0xfffc);
        return false;
    }
    if (tss.limit < l->limit) {
        x86_raise(s, VECTOR_TS, selector & 0xfffc);
        return false;
    }
    uint32_t flags = x86_eflags(s);
    if (reason == TASK_IRET)
        flags &= ~FLAG_NT;
    if (!read_image(s, &tss, l, &image) || (reason != TASK_CALL && !set_busy(s, s->tr.selector, false)) ||
        !save_old(s, old, return_ip, flags) ||
        (reason == TASK_CALL && !x86_system_store(s, tss.base, 2, s->tr.selector)) ||
        (reason != TASK_IRET && !set_busy(s, selector, true)))
        return false;
    tss.attributes |= 2;
    s->tr = tss;
    s->cr0 |= CR0_TS;
    if (l->cr3 && s->cr0 & CR0_PG) {
        s->cr3 = image.cr3;
        if (s->cr4 & CR4_PAE && !x86_load_pdptes(s, s->cr3)) {
            x86_raise(s, VECTOR_TS, selector & 0xfffc);
            return false;
        }
        tcg_flush_spaces(&s->cs, (SpaceMatch){ UINT64_MAX, x86_space(s), 0, 0 });
    }
    for (unsigned i = 0; i < 8; i++)
        s->gpr[i] = image.gprs[i];
    s->dr[7] &= ~0x155ull; /* local breakpoints end with the task */
    uint32_t word = l == &layout32 ? X86_FLAGS_ALL : X86_FLAGS_ALL & 0xffff;
    x86_set_eflags(s, ((uint32_t)image.flags & word) | (reason == TASK_CALL ? FLAG_NT : 0), ~0u & ~(uint32_t)FLAG_1);
    load_segments(s, &image);
    if (image.trap & 1 && !(s->delivering ? s->nested : s->cs.raised))
        x86_debug_trap(s, DR6_BT);
    return !(s->delivering ? s->nested : s->cs.raised); /* delivering: raised is set by what is delivered */
}
