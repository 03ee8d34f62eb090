/*
 * x86 exceptions and interrupts: delivery in real, protected, virtual-8086 and long mode, double faults, shutdown (SDM
 * volume 3, chapter 7 and sections 22.3 and 27.6; volume 2, INT n).
 * SPDX-License-Identifier: MIT
 */
#include "accel/vcpu.h"
#include "hw/core/machine.h"
#include "target/x86/cpu.h"
#include "util/log.h"
#include <inttypes.h>

#define ERROR_EXT 1 /* the event was not the program's */
#define ERROR_IDT 2

/* FROM_INT1 is an instruction that asks for no privilege. */
typedef enum { FROM_EXCEPTION, FROM_INSTRUCTION, FROM_OUTSIDE, FROM_INT1 } Origin;

typedef struct Event {
    uint8_t vector;
    Origin origin;
    bool has_error;
    uint32_t error;
    uint64_t return_ip;
} Event;

static bool pushes_error(unsigned vector)
{
    return vector < 32 && (1u << vector & (1u << VECTOR_DF | 1u << VECTOR_TS | 1u << VECTOR_NP | 1u << VECTOR_SS |
                                           1u << VECTOR_GP | 1u << VECTOR_PF | 1u << VECTOR_AC));
}

/* Error code for a bad gate. */
static uint32_t gate_error(const Event *e)
{
    return (uint32_t)e->vector * 8 + ERROR_IDT + (e->origin != FROM_INSTRUCTION ? ERROR_EXT : 0);
}

static bool fail(X86State *s, unsigned vector, uint32_t error)
{
    x86_raise(s, vector, error);
    return false;
}

/* ---- real mode ---- */

static bool push_real(X86State *s, uint64_t *sp, uint64_t value)
{
    uint32_t mask = s->segment[X86_SS].attributes & DESC_DB ? UINT32_MAX : 0xffff;
    *sp -= 2;
    if ((*sp & mask) + 1 > s->segment[X86_SS].limit)
        return fail(s, VECTOR_SS, 0);
    return x86_system_store(s, (uint32_t)(s->segment[X86_SS].base + (*sp & mask)), 2, value);
}

static bool enter_real(X86State *s, const Event *e)
{
    uint64_t target, sp = s->gpr[RSP];
    if (e->vector * 4u + 3 > s->idt.limit)
        return fail(s, VECTOR_GP, gate_error(e));
    if (!x86_system_load(s, s->idt.base + e->vector * 4u, 4, &target) || !push_real(s, &sp, x86_eflags(s)) ||
        !push_real(s, &sp, s->segment[X86_CS].selector) || !push_real(s, &sp, e->return_ip))
        return false;
    s->gpr[RSP] = (s->gpr[RSP] & ~0xffffull) | (sp & 0xffff);
    x86_load_segment_real(s, X86_CS, (uint16_t)(target >> 16));
    s->cs.pc = (uint32_t)(s->segment[X86_CS].base + (target & 0xffff));
    x86_set_eflags(s, 0, FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF);
    return true;
}

/* ---- protected and long mode ---- */

typedef struct IdtGate {
    uint16_t selector;
    uint8_t type, dpl, ist;
    bool present;
    uint64_t offset;
} IdtGate;

static bool read_gate(X86State *s, const Event *e, IdtGate *g)
{
    unsigned size = x86_long(s) ? 16 : 8;
    uint64_t low, high = 0, at = s->idt.base + e->vector * size;
    if (e->vector * size + size - 1 > s->idt.limit)
        return fail(s, VECTOR_GP, gate_error(e));
    if (!x86_system_load(s, at, 8, &low) || (size == 16 && !x86_system_load(s, at + 8, 8, &high)))
        return false;
    *g = (IdtGate){ .selector = (uint16_t)(low >> 16),
                    .type = low >> 40 & 31,
                    .dpl = low >> 45 & 3,
                    .ist = size == 16 ? low >> 32 & 7 : 0,
                    .present = low >> 47 & 1,
                    .offset = (low & 0xffff) | (low >> 48) << 16 | high << 32 };
    bool gate32 = g->type == GATE_INTERRUPT || g->type == GATE_TRAP;
    bool others = g->type == GATE_INTERRUPT16 || g->type == GATE_TRAP16 || g->type == GATE_TASK;
    if (!gate32 && (x86_long(s) || !others))
        return fail(s, VECTOR_GP, gate_error(e));
    if (e->origin == FROM_INSTRUCTION && g->dpl < x86_cpl(s))
        return fail(s, VECTOR_GP, gate_error(e));
    if (!g->present)
        return fail(s, VECTOR_NP, gate_error(e));
    if (!(g->type & 8)) /* 16-bit gates have no upper half */
        g->offset &= 0xffff;
    return true;
}

static uint32_t selector_error(const Event *e, uint16_t selector)
{
    return (selector & 0xfffc) | (e->origin != FROM_INSTRUCTION ? ERROR_EXT : 0);
}

/* The handler's code segment, checked; *cpl: where it runs. */
static bool handler_code(X86State *s, const Event *e, const IdtGate *g, X86SegmentReg *code, unsigned *cpl)
{
    X86Descriptor d;
    unsigned now = x86_cpl(s);
    if (!(g->selector & 0xfffc))
        return fail(s, VECTOR_GP, selector_error(e, 0));
    if (!x86_read_descriptor(s, g->selector, VECTOR_GP, &d))
        return false;
    x86_segment_from(code, g->selector, &d);
    unsigned a = code->attributes | DESC_ACCESSED, dpl = a >> DESC_DPL_SHIFT & 3;
    bool is_code = (a & (DESC_S | DESC_CODE)) == (DESC_S | DESC_CODE), conforming = a & DESC_EXPAND_DOWN;
    if (!is_code || dpl > now || (x86_long(s) && (a & (DESC_L | DESC_DB)) != DESC_L))
        return fail(s, VECTOR_GP, selector_error(e, g->selector));
    if (!(a & DESC_P))
        return fail(s, VECTOR_NP, selector_error(e, g->selector));
    *cpl = conforming ? now : dpl;
    if (s->eflags & FLAG_VM && *cpl)
        return fail(s, VECTOR_GP, selector_error(e, g->selector));
    if (x86_long(s) ? !x86_canonical(s, g->offset) : (uint32_t)g->offset > code->limit)
        return fail(s, VECTOR_GP, 0);
    code->attributes = (uint16_t)a;
    return x86_set_accessed(s, g->selector, &d);
}

typedef struct Frame {
    X86SegmentReg ss;
    uint64_t sp, mask;
    unsigned size;  /* of a pushed word */
    uint16_t error; /* code of #SS: the selector of a stack that is not in use yet */
} Frame;

static bool push(X86State *s, Frame *f, uint64_t value)
{
    f->sp -= f->size;
    uint64_t offset = f->sp & f->mask;
    bool long_mode = x86_long(s), down = (f->ss.attributes & (DESC_CODE | DESC_EXPAND_DOWN)) == DESC_EXPAND_DOWN;
    bool inside = long_mode ? x86_canonical(s, offset)
                  : down    ? offset > f->ss.limit && offset + f->size - 1 <= f->mask
                            : offset + f->size - 1 <= f->ss.limit;
    if (!inside)
        return fail(s, VECTOR_SS, f->error);
    return x86_system_store(s, long_mode ? offset : (uint32_t)(f->ss.base + offset), f->size, value);
}

static bool load_inner_segment(X86State *s, const Event *e, uint16_t selector, unsigned cpl, X86SegmentReg *out)
{
    X86Descriptor d;
    if (!(selector & 0xfffc) || (selector & 3) != cpl)
        return fail(s, VECTOR_TS, selector_error(e, selector));
    if (!x86_read_descriptor(s, selector, VECTOR_TS, &d))
        return false;
    x86_segment_from(out, selector, &d);
    unsigned a = out->attributes;
    if ((a & (DESC_S | DESC_CODE | DESC_WRITABLE)) != (DESC_S | DESC_WRITABLE) || (a >> DESC_DPL_SHIFT & 3u) != cpl)
        return fail(s, VECTOR_TS, selector_error(e, selector));
    if (!(a & DESC_P))
        return fail(s, VECTOR_SS, selector_error(e, selector));
    return x86_set_accessed(s, selector, &d);
}

/* Where the frame goes. */
static bool open_frame(X86State *s, const Event *e, const IdtGate *g, unsigned cpl, Frame *f)
{
    bool inner = cpl < x86_cpl(s);
    uint16_t selector;
    f->ss = s->segment[X86_SS];
    f->sp = s->gpr[RSP];
    f->size = x86_long(s) ? 8 : g->type & 8 ? 4 : 2;
    f->error = 0;
    if (x86_long(s)) {
        uint64_t at = g->ist ? 36 + 8 * (g->ist - 1u) : 4 + 8 * cpl;
        f->mask = UINT64_MAX;
        if (inner || g->ist) {
            if (at + 7 > s->tr.limit)
                return fail(s, VECTOR_TS, selector_error(e, s->tr.selector));
            if (!x86_system_load(s, s->tr.base + at, 8, &f->sp))
                return false;
        }
        if (inner)
            f->ss = (X86SegmentReg){ .selector = (uint16_t)cpl, .attributes = (uint16_t)(cpl << DESC_DPL_SHIFT) };
        f->sp &= ~15ull;
        return true;
    }
    if (inner && (!x86_inner_stack(s, cpl, &selector, &f->sp) || !load_inner_segment(s, e, selector, cpl, &f->ss)))
        return false;
    f->mask = f->ss.attributes & DESC_DB ? UINT32_MAX : 0xffff;
    f->error = inner ? selector & 0xfffc : 0;
    return true;
}

static bool push_frame(X86State *s, const Event *e, unsigned cpl, Frame *f)
{
    static const uint8_t data[] = { X86_GS, X86_FS, X86_DS, X86_ES };
    bool vm86 = s->eflags & FLAG_VM;
    for (unsigned i = 0; vm86 && i < 4; i++) {
        if (!push(s, f, s->segment[data[i]].selector))
            return false;
    }
    if ((x86_long(s) || cpl < x86_cpl(s)) && (!push(s, f, s->segment[X86_SS].selector) || !push(s, f, s->gpr[RSP])))
        return false;
    uint32_t flags = x86_eflags(s);
    if (!(s->cs.mode &
          MODE_BREAK)) /* it lasts for one instruction, and is looked at only where there are breakpoints */
        flags &= ~(uint32_t)FLAG_RF;
    if (e->origin == FROM_EXCEPTION && e->vector != VECTOR_DB) /* so that a breakpoint there is not hit again */
        flags |= FLAG_RF;
    return push(s, f, flags) && push(s, f, s->segment[X86_CS].selector) && push(s, f, e->return_ip) &&
           (!e->has_error || push(s, f, e->error));
}

static bool enter_protected(X86State *s, const Event *e)
{
    IdtGate g;
    X86SegmentReg code;
    X86Descriptor tss;
    Frame f;
    unsigned cpl;
    if (!read_gate(s, e, &g))
        return false;
    if (g.type == GATE_TASK) {
        if (g.selector & 4)
            return fail(s, VECTOR_GP, selector_error(e, g.selector));
        if (!x86_read_descriptor(s, g.selector, VECTOR_GP, &tss) ||
            !x86_switch_task(s, g.selector, &tss, TASK_CALL, e->return_ip))
            return false;
        f = (Frame){ s->segment[X86_SS], s->gpr[RSP], s->segment[X86_SS].attributes & DESC_DB ? UINT32_MAX : 0xffff,
                     (s->tr.attributes & 8) ? 4 : 2, 0 };
        if (e->has_error && !push(s, &f, e->error))
            return false;
        s->gpr[RSP] = f.sp;
        return true;
    }
    if (!handler_code(s, e, &g, &code, &cpl) || !open_frame(s, e, &g, cpl, &f) || !push_frame(s, e, cpl, &f))
        return false;
    bool vm86 = s->eflags & FLAG_VM;
    s->gpr[RSP] = f.mask == UINT64_MAX ? f.sp : (s->gpr[RSP] & ~f.mask) | (f.sp & f.mask);
    s->segment[X86_SS] = f.ss;
    code.selector = (uint16_t)((code.selector & 0xfffc) | cpl);
    if (x86_long(s))
        code.base = 0;
    s->segment[X86_CS] = code;
    s->cs.pc = x86_long(s) ? g.offset : (uint32_t)(code.base + (uint32_t)g.offset);
    if (vm86) {
        static const uint8_t data[] = { X86_ES, X86_DS, X86_FS, X86_GS };
        for (unsigned i = 0; i < 4; i++)
            s->segment[data[i]] = (X86SegmentReg){ 0 };
    }
    bool interrupt_gate = !(g.type & 1);
    x86_set_eflags(s, 0, FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM | (interrupt_gate ? FLAG_IF : 0));
    return true;
}

/* ---- delivery ---- */

typedef enum { CLASS_BENIGN, CLASS_CONTRIBUTORY, CLASS_PAGE_FAULT } FaultClass;

static FaultClass class_of(unsigned vector)
{
    switch (vector) {
    case VECTOR_PF:
        return CLASS_PAGE_FAULT;
    case VECTOR_DE:
    case VECTOR_TS:
    case VECTOR_NP:
    case VECTOR_SS:
    case VECTOR_GP:
        return CLASS_CONTRIBUTORY;
    default:
        return CLASS_BENIGN;
    }
}

void x86_debug_trap(X86State *s, uint64_t dr6)
{
    s->dr[6] = (s->dr[6] & ~0xfull) | dr6;
    s->dr[7] &= ~(1ull << 13); /* GD */
    x86_raise(s, VECTOR_DB, 0);
}

static void shutdown(X86State *s)
{
    log_printf(LOG_INT, "x86: triple fault at %" PRIx64 "\n", s->cs.pc);
    machine_request_reset(s->cs.vcpu->machine, SHUTDOWN_GUEST_RESET);
    __atomic_store_n(&s->cs.vcpu->halted, true, __ATOMIC_SEQ_CST);
    __atomic_store_n(&s->cs.poll, 1, __ATOMIC_SEQ_CST);
}

/* Deliver, and what delivering raises, until one arrives (SDM volume 3, table 7-5). */
static void deliver(X86State *s, Event e)
{
    s->delivering = true;
    for (;;) {
        s->nested = false;
        x86_enter_system(s);
        log_printf(LOG_INT, "x86: vector %u error %x at %" PRIx64 "\n", e.vector, e.error, s->cs.pc);
        if (s->cr0 & CR0_PE ? enter_protected(s, &e) : enter_real(s, &e))
            break;
        FaultClass first = e.origin == FROM_EXCEPTION ? class_of(e.vector) : CLASS_BENIGN,
                   second = class_of(s->nested_vector);
        if (e.origin == FROM_EXCEPTION && e.vector == VECTOR_DF && second != CLASS_BENIGN) {
            shutdown(s);
            break;
        }
        bool both = first != CLASS_BENIGN &&
                    (second == CLASS_CONTRIBUTORY || (first == CLASS_PAGE_FAULT && second == CLASS_PAGE_FAULT));
        e.vector = both ? VECTOR_DF : s->nested_vector;
        e.error = both ? 0 : s->nested_error | (e.origin == FROM_INSTRUCTION || e.vector == VECTOR_PF ? 0 : ERROR_EXT);
        e.origin = FROM_EXCEPTION;
        e.has_error = s->cr0 & CR0_PE && pushes_error(e.vector);
        e.return_ip = x86_ip(s);
    }
    s->delivering = s->nested = false;
    s->shadow = 0;
    x86_mode_changed(s);
}

void x86_raise(X86State *s, unsigned vector, uint32_t error)
{
    s->cs.raised = 1;
    tcg_count_raise(&s->cs);
    if (s->delivering) {
        if (!s->nested) {
            s->nested = true;
            s->nested_vector = (uint8_t)vector;
            s->nested_error = error;
        }
        return;
    }
    deliver(s, (Event){ .vector = (uint8_t)vector,
                        .origin = FROM_EXCEPTION,
                        .has_error = s->cr0 & CR0_PE && pushes_error(vector),
                        .error = error,
                        .return_ip = x86_ip(s) });
    s->cs.raised = 1;
}

void x86_software_interrupt(X86State *s, unsigned vector, unsigned length, bool by_opcode)
{
    Origin origin = by_opcode && vector == VECTOR_DB ? FROM_INT1 : FROM_INSTRUCTION;
    deliver(s, (Event){ .vector = (uint8_t)vector, .origin = origin, .return_ip = x86_ip(s) + length });
    s->cs.raised = 1;
}

/* In virtual-8086 mode with CR4.VME: what real mode does (SDM volume 3, section 22.3.3, methods 5 and 6). */
bool x86_redirected_interrupt(X86State *s, unsigned vector, unsigned length)
{
    bool is_virtual = (s->eflags & FLAG_IOPL) != FLAG_IOPL;
    uint64_t map, bits, target, sp = s->gpr[RSP];
    uint32_t flags = x86_eflags(s) & 0xffff & ~(uint32_t)FLAG_NT;
    if (!(s->cr4 & CR4_VME) || s->tr.limit < 103 || !(s->tr.attributes & 8))
        return false;
    if (!x86_system_load(s, s->tr.base + 102, 2, &map))
        return true;
    map = map + vector / 8 - 32;
    if (map > s->tr.limit)
        return false;
    if (!x86_system_load(s, s->tr.base + map, 1, &bits))
        return true;
    if (bits >> (vector & 7) & 1)
        return false;
    if (is_virtual)
        flags = (flags & ~(uint32_t)FLAG_IF) | FLAG_IOPL | (s->eflags & FLAG_VIF ? FLAG_IF : 0);
    if (!x86_system_load(s, vector * 4, 4, &target) || !push_real(s, &sp, flags) ||
        !push_real(s, &sp, s->segment[X86_CS].selector) || !push_real(s, &sp, x86_ip(s) + length))
        return true;
    s->gpr[RSP] = (s->gpr[RSP] & ~0xffffull) | (sp & 0xffff);
    x86_load_segment_real(s, X86_CS, (uint16_t)(target >> 16));
    s->cs.pc = (uint32_t)(s->segment[X86_CS].base + (target & 0xffff));
    x86_set_eflags(s, 0, FLAG_TF | FLAG_NT | (is_virtual ? FLAG_VIF : FLAG_IF));
    return true;
}

void x86_external_interrupt(X86State *s, unsigned vector)
{
    deliver(s, (Event){ .vector = (uint8_t)vector, .origin = FROM_OUTSIDE, .return_ip = x86_ip(s) });
}
