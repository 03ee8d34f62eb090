/*
 * x86 segmentation: descriptors, loading of segment registers, far jumps, calls through gates, returns (SDM volume 3,
 * chapters 3, 5.5-5.9 and 6; volume 2, the instructions' own pages).
 *
 * Nothing of the state changes before everything is checked; a function that has raised returns false, or just returns.
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/cpu.h"

#define SELECTOR_RPL(s)   ((s)&3)
#define SELECTOR_ERROR(s) ((s)&0xfffc)

static bool raise_selector(X86State *s, unsigned vector, uint16_t selector)
{
    x86_raise(s, vector, SELECTOR_ERROR(selector));
    return false;
}

bool x86_canonical(const X86State *s, uint64_t va)
{
    unsigned bits = s->cr4 & CR4_LA57 ? 57 : 48;
    return (int64_t)(va << (64 - bits)) >> (64 - bits) == (int64_t)va;
}

/* ---- descriptors ---- */

static unsigned attributes(const X86Descriptor *d)
{
    return d->high >> 8 & 0xf0ff;
}
static unsigned dpl(const X86Descriptor *d)
{
    return d->high >> 13 & 3;
}
static bool present(const X86Descriptor *d)
{
    return d->high >> 15 & 1;
}
static bool is_system(const X86Descriptor *d)
{
    return !(attributes(d) & DESC_S);
}
static bool is_code(const X86Descriptor *d)
{
    return (attributes(d) & (DESC_S | DESC_CODE)) == (DESC_S | DESC_CODE);
}
static bool is_conforming(const X86Descriptor *d)
{
    return attributes(d) & DESC_EXPAND_DOWN;
}

/* Where the descriptor is; false: outside its table. */
static bool locate(const X86State *s, uint16_t selector, unsigned size, uint64_t *address)
{
    uint64_t base = selector & 4 ? s->ldt.base : s->gdt.base;
    uint32_t limit = selector & 4 ? s->ldt.limit : s->gdt.limit;
    if (selector & 4 && !(s->ldt.selector & 0xfffc))
        return false;
    *address = base + (selector & 0xfff8);
    return (selector & 0xfff8u) + size - 1 <= limit;
}

bool x86_read_descriptor(X86State *s, uint16_t selector, unsigned vector, X86Descriptor *d)
{
    uint64_t address, value;
    if (!locate(s, selector, 8, &address))
        return raise_selector(s, vector, selector);
    if (!x86_system_load(s, address, 8, &value))
        return false;
    *d = (X86Descriptor){ (uint32_t)value, (uint32_t)(value >> 32), 0 };
    /* system descriptors are 16 bytes in long mode; their type in the upper half must be 0 */
    if (x86_long(s) && is_system(d) && (attributes(d) & DESC_TYPE) != GATE_TASK) {
        if (!locate(s, selector, 16, &address))
            return raise_selector(s, vector, selector);
        if (!x86_system_load(s, address + 8, 8, &value))
            return false;
        if (value >> 40 & 0x1f)
            return raise_selector(s, VECTOR_GP, selector);
        d->upper = (uint32_t)value;
    }
    return true;
}

void x86_segment_from(X86SegmentReg *out, uint16_t selector, const X86Descriptor *d)
{
    uint32_t limit = (d->low & 0xffff) | (d->high & 0xf0000);
    *out = (X86SegmentReg){ .base = (d->low >> 16) | (d->high & 0xff) << 16 | (d->high & 0xff000000) |
                                    (uint64_t)d->upper << 32,
                            .limit = attributes(d) & DESC_G ? limit << 12 | 0xfff : limit,
                            .selector = selector,
                            .attributes = (uint16_t)attributes(d) };
}

bool x86_set_accessed(X86State *s, uint16_t selector, X86Descriptor *d)
{
    uint64_t address;
    if (attributes(d) & DESC_ACCESSED || !locate(s, selector, 8, &address))
        return true;
    d->high |= DESC_ACCESSED << 8;
    return x86_system_store(s, address + 4, 4, d->high);
}

/* ---- segment registers ---- */

void x86_load_segment_real(X86State *s, X86Segment segment, uint16_t selector)
{
    X86SegmentReg *r = &s->segment[segment];
    r->selector = selector;
    r->base = (uint64_t)selector << 4;
    if (s->eflags & FLAG_VM && s->cr0 & CR0_PE) { /* virtual-8086 mode sets all the rest, real mode leaves it alone */
        r->limit = 0xffff;
        r->attributes = DESC_P | DESC_S | 3 << DESC_DPL_SHIFT | DESC_WRITABLE | DESC_ACCESSED;
    }
}

static bool load_stack_segment(X86State *s, uint16_t selector, unsigned cpl, unsigned vector)
{
    X86Descriptor d;
    if (!SELECTOR_ERROR(selector)) {
        if (x86_code_bits(s) != 64 || cpl == 3 || SELECTOR_RPL(selector) != cpl)
            return raise_selector(s, vector, selector);
        s->segment[X86_SS] = (X86SegmentReg){ .selector = selector, .attributes = (uint16_t)(cpl << DESC_DPL_SHIFT) };
        return true;
    }
    if (!x86_read_descriptor(s, selector, vector, &d))
        return false;
    if (SELECTOR_RPL(selector) != cpl || dpl(&d) != cpl || is_system(&d) || is_code(&d) ||
        !(attributes(&d) & DESC_WRITABLE))
        return raise_selector(s, vector, selector);
    if (!present(&d))
        return raise_selector(s, VECTOR_SS, selector);
    if (!x86_set_accessed(s, selector, &d))
        return false;
    x86_segment_from(&s->segment[X86_SS], selector, &d);
    return true;
}

bool x86_load_segment(X86State *s, X86Segment segment, uint16_t selector)
{
    return x86_load_segment_or(s, segment, selector, VECTOR_GP);
}

bool x86_load_segment_or(X86State *s, X86Segment segment, uint16_t selector, unsigned vector)
{
    X86Descriptor d;
    if (!x86_protected(s)) {
        x86_load_segment_real(s, segment, selector);
        x86_mode_changed(s);
        return true;
    }
    unsigned cpl = x86_cpl(s);
    if (segment == X86_SS) {
        if (!load_stack_segment(s, selector, cpl, vector))
            return false;
        x86_mode_changed(s);
        return true;
    }
    if (!SELECTOR_ERROR(selector)) {
        s->segment[segment] = (X86SegmentReg){ .selector = selector };
        x86_mode_changed(s);
        return true;
    }
    if (!x86_read_descriptor(s, selector, vector, &d))
        return false;
    bool readable = !is_system(&d) && (!is_code(&d) || attributes(&d) & DESC_WRITABLE);
    bool bound = !is_code(&d) || !is_conforming(&d);
    if (!readable || (bound && (SELECTOR_RPL(selector) > dpl(&d) || cpl > dpl(&d))))
        return raise_selector(s, vector, selector);
    if (!present(&d))
        return raise_selector(s, VECTOR_NP, selector);
    if (!x86_set_accessed(s, selector, &d))
        return false;
    x86_segment_from(&s->segment[segment], selector, &d);
    x86_mode_changed(s);
    return true;
}

/* ---- the stack, for transfers: writes go ahead of the commitment of rSP ---- */

typedef struct Stack {
    X86SegmentReg ss;
    uint64_t sp, mask;
    bool user;      /* the accesses are made with the present CPL's rights, else as supervisor */
    uint16_t error; /* code of #SS: the selector of a stack that is not in use yet */
} Stack;

static uint64_t stack_mask(const X86State *s, const X86SegmentReg *ss, bool code64)
{
    return code64 ? UINT64_MAX : ss->attributes & DESC_DB ? UINT32_MAX : 0xffff;
}

static Stack present_stack(const X86State *s)
{
    return (Stack){ .ss = s->segment[X86_SS],
                    .sp = s->gpr[RSP],
                    .mask = stack_mask(s, &s->segment[X86_SS], x86_code_bits(s) == 64),
                    .user = x86_cpl(s) == 3 };
}

static void set_sp(X86State *s, uint64_t sp, uint64_t mask)
{
    s->gpr[RSP] = (s->gpr[RSP] & ~mask) | (sp & mask);
    if (mask == UINT32_MAX)
        s->gpr[RSP] = (uint32_t)s->gpr[RSP];
}

/* Is [sp, sp + size) inside the segment? */
static bool in_stack(const X86State *s, const Stack *k, uint64_t sp, unsigned size)
{
    if (k->mask == UINT64_MAX)
        return x86_canonical(s, sp) && x86_canonical(s, sp + size - 1);
    uint64_t last = sp + size - 1;
    if ((k->ss.attributes & (DESC_CODE | DESC_EXPAND_DOWN)) == DESC_EXPAND_DOWN)
        return sp > k->ss.limit && last <= k->mask;
    return last <= k->ss.limit;
}

static bool stack_access(X86State *s, Stack *k, bool store, unsigned size, uint64_t *value)
{
    uint64_t va = k->mask == UINT64_MAX ? k->sp : (uint32_t)(k->ss.base + (k->sp & k->mask));
    if (!in_stack(s, k, k->sp & k->mask, size)) {
        x86_raise(s, VECTOR_SS, k->error);
        return false;
    }
    if (!k->user)
        return store ? x86_system_store(s, va, size, *value) : x86_system_load(s, va, size, value);
    unsigned memop = (unsigned)__builtin_ctz(size) | (s->cs.mode & MODE_ALIGN ? MO_ALIGN : 0);
    if (store)
        tcg_store(&s->cs, va, *value, memop);
    else
        *value = tcg_load(&s->cs, va, memop);
    return !s->cs.raised;
}

static bool push(X86State *s, Stack *k, unsigned size, uint64_t value)
{
    k->sp -= size;
    return stack_access(s, k, true, size, &value);
}

static bool pop(X86State *s, Stack *k, unsigned size, uint64_t *value)
{
    if (!stack_access(s, k, false, size, value))
        return false;
    k->sp += size;
    return true;
}

/* ---- code segments ---- */

/* Go to cs:ip at privilege cpl; d: the code segment's descriptor. False: raised, nothing changed. */
static bool enter_code(X86State *s, uint16_t selector, X86Descriptor *d, uint64_t ip, unsigned cpl)
{
    X86SegmentReg code;
    selector = (uint16_t)((selector & 0xfffc) | cpl);
    x86_segment_from(&code, selector, d);
    bool code64 = x86_long(s) && code.attributes & DESC_L;
    if (code64 ? !x86_canonical(s, ip) : (uint32_t)ip > code.limit) {
        x86_raise(s, VECTOR_GP, 0);
        return false;
    }
    if (!x86_set_accessed(s, selector, d))
        return false;
    code.attributes |= DESC_ACCESSED;
    if (code64)
        code.base = 0;
    s->segment[X86_CS] = code;
    s->cs.pc = code64 ? ip : (uint32_t)(code.base + (uint32_t)ip);
    return true;
}

static bool check_code(X86State *s, uint16_t selector, const X86Descriptor *d)
{
    if (!is_code(d) || (x86_long(s) && (attributes(d) & (DESC_L | DESC_DB)) == (DESC_L | DESC_DB)))
        return raise_selector(s, VECTOR_GP, selector);
    return true;
}

/* Privilege rules of a direct far jump or call. */
static bool check_direct(X86State *s, uint16_t selector, const X86Descriptor *d)
{
    unsigned cpl = x86_cpl(s);
    if (!check_code(s, selector, d))
        return false;
    if (is_conforming(d) ? dpl(d) > cpl : SELECTOR_RPL(selector) > cpl || dpl(d) != cpl)
        return raise_selector(s, VECTOR_GP, selector);
    return present(d) || raise_selector(s, VECTOR_NP, selector);
}

static void far_real(X86State *s, uint16_t selector, uint64_t ip, unsigned operand_size)
{
    ip &= operand_size == 2 ? 0xffff : UINT32_MAX;
    if (ip > s->segment[X86_CS].limit) {
        x86_raise(s, VECTOR_GP, 0);
        return;
    }
    x86_load_segment_real(s, X86_CS, selector);
    s->cs.pc = (uint32_t)(s->segment[X86_CS].base + ip);
    x86_mode_changed(s);
}

/* ---- gates ---- */

typedef struct Gate {
    uint16_t selector;
    uint64_t offset;
    unsigned parameters, size; /* words to copy; bytes of a word */
} Gate;

static Gate gate_of(const X86State *s, const X86Descriptor *d)
{
    bool wide = (attributes(d) & DESC_TYPE) == GATE_CALL;
    Gate g = { .selector = (uint16_t)(d->low >> 16),
               .offset = d->low & 0xffff,
               .parameters = d->high & 31,
               .size = wide ? 4 : 2 };
    if (wide)
        g.offset |= d->high & 0xffff0000;
    if (x86_long(s)) {
        g.offset |= (uint64_t)d->upper << 32;
        g.size = 8;
        g.parameters = 0;
    }
    return g;
}

static bool check_gate(X86State *s, uint16_t selector, const X86Descriptor *d)
{
    unsigned type = attributes(d) & DESC_TYPE, rpl = SELECTOR_RPL(selector);
    if (type != GATE_CALL && (type != GATE_CALL16 || x86_long(s)))
        return raise_selector(s, VECTOR_GP, selector);
    if (dpl(d) < x86_cpl(s) || dpl(d) < rpl)
        return raise_selector(s, VECTOR_GP, selector);
    return present(d) || raise_selector(s, VECTOR_NP, selector);
}

/* The code segment a gate leads to, checked. */
static bool gate_code(X86State *s, const Gate *g, bool call, X86Descriptor *code)
{
    unsigned cpl = x86_cpl(s);
    if (!SELECTOR_ERROR(g->selector))
        return raise_selector(s, VECTOR_GP, 0);
    if (!x86_read_descriptor(s, g->selector, VECTOR_GP, code))
        return false;
    bool down = call ? dpl(code) > cpl : is_conforming(code) ? dpl(code) > cpl : dpl(code) != cpl;
    if (!is_code(code) || down || (x86_long(s) && (attributes(code) & (DESC_L | DESC_DB)) != DESC_L))
        return raise_selector(s, VECTOR_GP, g->selector);
    return present(code) || raise_selector(s, VECTOR_NP, g->selector);
}

bool x86_inner_stack(X86State *s, unsigned cpl, uint16_t *ss, uint64_t *sp)
{
    bool wide = (s->tr.attributes & DESC_TYPE) & 8;
    unsigned at = x86_long(s) ? 4 + 8 * cpl : wide ? 4 + 8 * cpl : 2 + 4 * cpl, size = x86_long(s) ? 8 : wide ? 4 : 2;
    uint64_t value;
    if (at + (x86_long(s) ? 8 : 2 * size) - 1 > s->tr.limit)
        return raise_selector(s, VECTOR_TS, s->tr.selector);
    if (!x86_system_load(s, s->tr.base + at, size, sp))
        return false;
    *ss = (uint16_t)cpl; /* long mode: a null selector */
    if (x86_long(s))
        return true;
    if (!x86_system_load(s, s->tr.base + at + size, 2, &value))
        return false;
    *ss = (uint16_t)value;
    return true;
}

/* The stack segment of an inner level: from its selector, checked, not loaded. vector: VECTOR_TS. */
static bool inner_segment(X86State *s, uint16_t selector, unsigned cpl, X86SegmentReg *out)
{
    X86Descriptor d;
    if (x86_long(s)) {
        *out = (X86SegmentReg){ .selector = selector, .attributes = (uint16_t)(cpl << DESC_DPL_SHIFT) };
        return true;
    }
    if (!SELECTOR_ERROR(selector) || SELECTOR_RPL(selector) != cpl)
        return raise_selector(s, VECTOR_TS, selector);
    if (!x86_read_descriptor(s, selector, VECTOR_TS, &d))
        return false;
    if (dpl(&d) != cpl || is_system(&d) || is_code(&d) || !(attributes(&d) & DESC_WRITABLE))
        return raise_selector(s, VECTOR_TS, selector);
    if (!present(&d))
        return raise_selector(s, VECTOR_SS, selector);
    if (!x86_set_accessed(s, selector, &d))
        return false;
    x86_segment_from(out, selector, &d);
    return true;
}

/* Open the stack of privilege level cpl as the TSS gives it. */
static bool open_inner(X86State *s, unsigned cpl, Stack *out)
{
    uint16_t selector;
    if (!x86_inner_stack(s, cpl, &selector, &out->sp) || !inner_segment(s, selector, cpl, &out->ss))
        return false;
    out->mask = stack_mask(s, &out->ss, x86_long(s));
    out->user = false;
    out->error = SELECTOR_ERROR(selector);
    return true;
}

static bool copy_parameters(X86State *s, const Gate *g, Stack *from, Stack *to)
{
    for (unsigned i = g->parameters; i--;) {
        Stack at = *from;
        uint64_t value;
        at.sp += i * g->size;
        if (!pop(s, &at, g->size, &value) || !push(s, to, g->size, value))
            return false;
    }
    return true;
}

static void call_gate(X86State *s, uint16_t selector, const X86Descriptor *d, uint64_t return_ip)
{
    X86Descriptor code;
    Gate g = gate_of(s, d);
    if (!check_gate(s, selector, d) || !gate_code(s, &g, true, &code))
        return;
    unsigned cpl = x86_cpl(s), target = is_conforming(&code) ? cpl : dpl(&code);
    Stack old = present_stack(s), stack = old;
    if (target < cpl) {
        if (!open_inner(s, target, &stack) || !push(s, &stack, g.size, old.ss.selector) ||
            !push(s, &stack, g.size, old.sp) || !copy_parameters(s, &g, &old, &stack))
            return;
    }
    if (!push(s, &stack, g.size, s->segment[X86_CS].selector) || !push(s, &stack, g.size, return_ip) ||
        !enter_code(s, g.selector, &code, g.offset, target))
        return;
    s->segment[X86_SS] = stack.ss;
    set_sp(s, stack.sp, stack.mask);
    x86_mode_changed(s);
}

/* A far transfer that names a system descriptor: gate or task. */
static void far_system(X86State *s, uint16_t selector, X86Descriptor *d, bool call, uint64_t return_ip)
{
    unsigned type = attributes(d) & DESC_TYPE;
    X86Descriptor code;
    if (type == GATE_CALL || type == GATE_CALL16) {
        Gate g = gate_of(s, d);
        if (call) {
            call_gate(s, selector, d, return_ip);
        } else if (check_gate(s, selector, d) && gate_code(s, &g, false, &code) &&
                   enter_code(s, g.selector, &code, g.offset, x86_cpl(s))) {
            x86_mode_changed(s);
        }
        return;
    }
    bool task = type == GATE_TSS || type == GATE_TSS16 || type == GATE_TASK;
    bool in_ldt = selector & 4 && type != GATE_TASK; /* a TSS is in the GDT */
    if (!task || x86_long(s) || dpl(d) < x86_cpl(s) || dpl(d) < SELECTOR_RPL(selector) || in_ldt) {
        raise_selector(s, VECTOR_GP, selector);
        return;
    }
    if (!present(d)) {
        raise_selector(s, VECTOR_NP, selector);
        return;
    }
    if (type == GATE_TASK) {
        selector = (uint16_t)(d->low >> 16);
        if (selector & 4 || !x86_read_descriptor(s, selector, VECTOR_GP, d)) {
            if (selector & 4)
                raise_selector(s, VECTOR_GP, selector);
            return;
        }
    }
    x86_switch_task(s, selector, d, call ? TASK_CALL : TASK_JUMP, return_ip);
}

void x86_far_jump(X86State *s, uint16_t selector, uint64_t offset, unsigned operand_size, unsigned length)
{
    X86Descriptor d;
    if (!x86_protected(s)) {
        far_real(s, selector, offset, operand_size);
        return;
    }
    if (!SELECTOR_ERROR(selector)) {
        x86_raise(s, VECTOR_GP, 0);
        return;
    }
    if (!x86_read_descriptor(s, selector, VECTOR_GP, &d))
        return;
    if (is_system(&d)) {
        far_system(s, selector, &d, false, x86_ip(s) + length);
    } else if (check_direct(s, selector, &d) && enter_code(s, selector, &d, offset, x86_cpl(s))) {
        x86_mode_changed(s);
    }
}

void x86_far_call(X86State *s, uint16_t selector, uint64_t offset, unsigned operand_size, unsigned length)
{
    X86Descriptor d = { 0 };
    uint64_t return_ip = x86_ip(s) + length;
    bool protected_mode = x86_protected(s);
    if (protected_mode) {
        if (!SELECTOR_ERROR(selector)) {
            x86_raise(s, VECTOR_GP, 0);
            return;
        }
        if (!x86_read_descriptor(s, selector, VECTOR_GP, &d))
            return;
        if (is_system(&d)) {
            far_system(s, selector, &d, true, return_ip);
            return;
        }
        if (!check_direct(s, selector, &d))
            return;
    }
    Stack stack = present_stack(s);
    if (protected_mode && x86_long(s)) /* the stack is used as the code that is called will use it */
        stack.mask = stack_mask(s, &stack.ss, attributes(&d) & DESC_L);
    if (!push(s, &stack, operand_size, s->segment[X86_CS].selector) || !push(s, &stack, operand_size, return_ip))
        return;
    if (protected_mode) {
        if (!enter_code(s, selector, &d, offset, x86_cpl(s)))
            return;
    } else {
        far_real(s, selector, offset, operand_size);
        if (s->cs.raised)
            return;
    }
    set_sp(s, stack.sp, stack.mask);
    x86_mode_changed(s);
}

/* ---- returns ---- */

/* Data segments that the outer level must not keep. */
static void drop_inner_segments(X86State *s, unsigned cpl)
{
    static const uint8_t data[] = { X86_ES, X86_DS, X86_FS, X86_GS };
    for (unsigned i = 0; i < G_N_ELEMENTS(data); i++) {
        X86SegmentReg *r = &s->segment[data[i]];
        bool conforming = (r->attributes & (DESC_CODE | DESC_EXPAND_DOWN)) == (DESC_CODE | DESC_EXPAND_DOWN);
        if (r->attributes & DESC_S && !conforming && (r->attributes >> DESC_DPL_SHIFT & 3u) < cpl)
            *r = (X86SegmentReg){ 0 };
    }
}

/* The code segment of a return, checked. */
static bool return_code(X86State *s, uint16_t selector, X86Descriptor *d)
{
    unsigned rpl = SELECTOR_RPL(selector);
    if (!SELECTOR_ERROR(selector))
        return raise_selector(s, VECTOR_GP, 0);
    if (!x86_read_descriptor(s, selector, VECTOR_GP, d))
        return false;
    if (!check_code(s, selector, d))
        return false;
    if (rpl < x86_cpl(s) || (is_conforming(d) ? dpl(d) > rpl : dpl(d) != rpl))
        return raise_selector(s, VECTOR_GP, selector);
    return present(d) || raise_selector(s, VECTOR_NP, selector);
}

/* The outer level's stack segment. code: the code segment returned to. */
static bool outer_stack(X86State *s, uint16_t selector, unsigned rpl, const X86Descriptor *code, X86SegmentReg *out)
{
    X86Descriptor d;
    if (!SELECTOR_ERROR(selector)) {
        bool code64 = x86_long(s) && attributes(code) & DESC_L;
        if (!code64 || rpl == 3 || SELECTOR_RPL(selector) != rpl)
            return raise_selector(s, VECTOR_GP, 0);
        *out = (X86SegmentReg){ .selector = selector, .attributes = (uint16_t)(rpl << DESC_DPL_SHIFT) };
        return true;
    }
    if (!x86_read_descriptor(s, selector, VECTOR_GP, &d))
        return false;
    if (SELECTOR_RPL(selector) != rpl || dpl(&d) != rpl || is_system(&d) || is_code(&d) ||
        !(attributes(&d) & DESC_WRITABLE))
        return raise_selector(s, VECTOR_GP, selector);
    if (!present(&d))
        return raise_selector(s, VECTOR_SS, selector);
    if (!x86_set_accessed(s, selector, &d))
        return false;
    x86_segment_from(out, selector, &d);
    return true;
}

void x86_far_return(X86State *s, unsigned operand_size, unsigned pop_bytes)
{
    Stack stack = present_stack(s);
    uint64_t ip, selector, sp = 0, ss = 0;
    X86Descriptor code;
    X86SegmentReg outer = s->segment[X86_SS];
    if (!pop(s, &stack, operand_size, &ip) || !pop(s, &stack, operand_size, &selector))
        return;
    stack.sp += pop_bytes;
    if (!x86_protected(s)) {
        far_real(s, (uint16_t)selector, ip, operand_size);
        if (!s->cs.raised)
            set_sp(s, stack.sp, stack.mask);
        return;
    }
    if (!return_code(s, (uint16_t)selector, &code))
        return;
    unsigned rpl = SELECTOR_RPL(selector), cpl = x86_cpl(s);
    if (rpl > cpl) {
        if (!pop(s, &stack, operand_size, &sp) || !pop(s, &stack, operand_size, &ss) ||
            !outer_stack(s, (uint16_t)ss, rpl, &code, &outer))
            return;
    }
    if (!enter_code(s, (uint16_t)selector, &code, ip, rpl))
        return;
    if (rpl > cpl) {
        bool code64 = x86_long(s) && s->segment[X86_CS].attributes & DESC_L;
        s->segment[X86_SS] = outer;
        set_sp(s, sp + pop_bytes, stack_mask(s, &outer, code64));
        drop_inner_segments(s, rpl);
    } else {
        set_sp(s, stack.sp, stack.mask);
    }
    x86_mode_changed(s);
}

/* ---- iret ---- */

#define IRET_FLAGS (FLAGS_ARITHMETIC | FLAG_TF | FLAG_DF | FLAG_NT)

static void iret_real(X86State *s, unsigned operand_size)
{
    Stack stack = present_stack(s);
    uint64_t ip, selector, flags;
    bool vm86 = s->eflags & FLAG_VM && s->cr0 & CR0_PE, is_virtual = vm86 && (s->eflags & FLAG_IOPL) != FLAG_IOPL;
    if (is_virtual && (!(s->cr4 & CR4_VME) || operand_size != 2)) {
        x86_raise(s, VECTOR_GP, 0);
        return;
    }
    if (!pop(s, &stack, operand_size, &ip) || !pop(s, &stack, operand_size, &selector) ||
        !pop(s, &stack, operand_size, &flags))
        return;
    if (is_virtual && (flags & FLAG_TF || (flags & FLAG_IF && s->eflags & FLAG_VIP))) {
        x86_raise(s, VECTOR_GP, 0);
        return;
    }
    far_real(s, (uint16_t)selector, ip, operand_size);
    if (s->cs.raised)
        return;
    set_sp(s, stack.sp, stack.mask);
    if (is_virtual) {
        x86_set_eflags(s, (uint32_t)flags | (flags & FLAG_IF ? FLAG_VIF : 0), IRET_FLAGS | FLAG_VIF);
        return;
    }
    uint32_t mask =
        IRET_FLAGS | FLAG_IF | (vm86 ? 0 : FLAG_IOPL) | (operand_size > 2 ? FLAG_RF | FLAG_AC | FLAG_ID : 0);
    x86_set_eflags(s, (uint32_t)flags, mask);
}

static void iret_to_vm86(X86State *s, Stack *stack, uint64_t ip, uint64_t selector, uint64_t flags)
{
    static const uint8_t order[] = { X86_SS, X86_ES, X86_DS, X86_FS, X86_GS };
    uint64_t sp, segments[5];
    if (!pop(s, stack, 4, &sp))
        return;
    for (unsigned i = 0; i < 5; i++) {
        if (!pop(s, stack, 4, &segments[i]))
            return;
    }
    if ((uint32_t)ip > 0xffff) {
        x86_raise(s, VECTOR_GP, 0);
        return;
    }
    x86_set_eflags(s, (uint32_t)flags,
                   IRET_FLAGS | FLAG_IF | FLAG_IOPL | FLAG_RF | FLAG_AC | FLAG_ID | FLAG_VM | FLAG_VIF | FLAG_VIP);
    x86_load_segment_real(s, X86_CS, (uint16_t)selector);
    for (unsigned i = 0; i < 5; i++)
        x86_load_segment_real(s, order[i], (uint16_t)segments[i]);
    s->gpr[RSP] = (uint32_t)sp;
    s->cs.pc = (uint32_t)(s->segment[X86_CS].base + ip);
    x86_mode_changed(s);
}

static void iret_nested_task(X86State *s, unsigned length)
{
    X86Descriptor d;
    uint64_t link;
    if (!x86_system_load(s, s->tr.base, 2, &link))
        return;
    if (link & 4 || !x86_read_descriptor(s, (uint16_t)link, VECTOR_TS, &d)) {
        if (link & 4)
            raise_selector(s, VECTOR_TS, (uint16_t)link);
        return;
    }
    x86_switch_task(s, (uint16_t)link, &d, TASK_IRET, x86_ip(s) + length);
}

void x86_iret(X86State *s, unsigned operand_size, unsigned length)
{
    uint64_t ip, selector, flags, sp = 0, ss = 0;
    X86Descriptor code;
    if (!x86_protected(s)) {
        iret_real(s, operand_size);
        return;
    }
    if (s->eflags & FLAG_NT) {
        if (x86_long(s))
            x86_raise(s, VECTOR_GP, 0);
        else
            iret_nested_task(s, length);
        return;
    }
    Stack stack = present_stack(s);
    unsigned cpl = x86_cpl(s);
    bool from64 = x86_code_bits(s) == 64;
    X86SegmentReg outer = s->segment[X86_SS];
    if (!pop(s, &stack, operand_size, &ip) || !pop(s, &stack, operand_size, &selector) ||
        !pop(s, &stack, operand_size, &flags))
        return;
    if (operand_size == 4 && flags & FLAG_VM && !cpl && !x86_long(s)) {
        iret_to_vm86(s, &stack, ip, selector, flags);
        return;
    }
    if (!return_code(s, (uint16_t)selector, &code))
        return;
    unsigned rpl = SELECTOR_RPL(selector);
    bool switches = rpl > cpl || from64;
    if (switches) {
        if (!pop(s, &stack, operand_size, &sp) || !pop(s, &stack, operand_size, &ss) ||
            !outer_stack(s, (uint16_t)ss, rpl, &code, &outer))
            return;
    }
    if (!enter_code(s, (uint16_t)selector, &code, ip, rpl))
        return;
    if (switches) {
        bool code64 = x86_long(s) && s->segment[X86_CS].attributes & DESC_L;
        s->segment[X86_SS] = outer;
        set_sp(s, sp, stack_mask(s, &outer, code64));
        if (rpl > cpl)
            drop_inner_segments(s, rpl);
    } else {
        set_sp(s, stack.sp, stack.mask);
    }
    uint32_t mask = IRET_FLAGS | (operand_size > 2 ? FLAG_RF | FLAG_AC | FLAG_ID : 0);
    if (cpl <= (s->eflags >> 12 & 3))
        mask |= FLAG_IF;
    if (!cpl)
        mask |= FLAG_IOPL | (operand_size > 2 ? FLAG_VIF | FLAG_VIP : 0);
    x86_set_eflags(s, (uint32_t)flags, mask);
}
