/*
 * x86: repeated string instructions, in pieces that stay in one page of source and destination (SDM volume 2, REP;
 * volume 1, section 7.3.9.3), and ports (SDM volume 1, chapter 19).
 *
 * What stays inside pages that are RAM and at hand is copied or filled at once, forward or backward; else element by
 * element.
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/rep.h"
#include "accel/vcpu.h"
#include "hw/core/machine.h"
#include <string.h>

#define MOST_ELEMENTS 65536 /* before something else is looked at */

typedef struct Job {
    X86State *s;
    X86StringKind kind;
    unsigned size, repeat, segment, address_size;
    int64_t step;
    uint64_t mask;
} Job;

/* ---- ports ---- */

bool x86_port_allowed(X86State *s, uint16_t port, unsigned size)
{
    uint64_t at, bits = 0;
    if (!(s->cr0 & CR0_PE) || (!(s->eflags & FLAG_VM) && x86_cpl(s) <= (s->eflags >> 12 & 3)))
        return true;
    bool tss32 = (s->tr.attributes & DESC_P) && (s->tr.attributes & 13) == GATE_TSS && s->tr.limit >= 103;
    if (tss32 && !x86_system_load(s, s->tr.base + 102, 2, &at))
        return false;
    if (tss32 && at + port / 8 + 1 <= s->tr.limit) {
        if (!x86_system_load(s, s->tr.base + at + port / 8, 2, &bits))
            return false;
        if (!(bits >> (port & 7) & ((1u << size) - 1)))
            return true;
    }
    x86_raise(s, VECTOR_GP, 0);
    return false;
}

uint32_t x86_port_in(X86State *s, uint16_t port, unsigned size)
{
    uint64_t value = UINT64_MAX;
    if (tcg_step_for_device(&s->cs))
        return 0;
    if (as_load(&s->cs.vcpu->machine->io, port, size, &value) != MEM_OK)
        value = UINT64_MAX;
    x86_watch_port(s, port, size);
    return (uint32_t)(size == 4 ? value : value & ((1u << 8 * size) - 1));
}

void x86_port_out(X86State *s, uint16_t port, unsigned size, uint32_t value)
{
    if (tcg_step_for_device(&s->cs))
        return;
    as_store(&s->cs.vcpu->machine->io, port, size, value);
    x86_watch_port(s, port, size);
    x86_take_a20(s); /* port 92 */
}

/* ---- registers ---- */

static uint64_t get(const Job *j, unsigned reg)
{
    return j->s->gpr[reg] & j->mask;
}
static void put(Job *j, unsigned reg, uint64_t value)
{
    uint64_t *r = &j->s->gpr[reg];
    *r = j->address_size == 2 ? (*r & ~0xffffull) | (value & 0xffff) : value & j->mask;
}
static void advance(Job *j, unsigned reg, uint64_t elements)
{
    put(j, reg, get(j, reg) + (uint64_t)j->step * elements);
}

/* ---- addresses ---- */

/* Linear address of segment:offset, for bytes in a row. False: raised. */
static bool linear(Job *j, unsigned segment, uint64_t offset, uint64_t bytes, bool write, uint64_t *va)
{
    X86State *s = j->s;
    const X86SegmentReg *r = &s->segment[segment];
    if (x86_code_bits(s) == 64) {
        *va = offset + (segment >= X86_FS ? r->base : 0);
        return true;
    }
    *va = (uint32_t)(r->base + offset);
    return offset + bytes <= r->room || x86_check_segment(s, segment, offset, (unsigned)bytes, write);
}

/* Elements from here on that neither address wraps nor leaves its page for. */
static uint64_t in_page(const Job *j, uint64_t va, uint64_t offset)
{
    uint64_t place = va & (GUEST_PAGE_SIZE - 1);
    uint64_t here = j->step > 0 ? (GUEST_PAGE_SIZE - place) / j->size
                                : (place + j->size <= GUEST_PAGE_SIZE ? place / j->size + 1 : 0);
    uint64_t wrap = j->step > 0 ? (j->mask - offset) / j->size : offset / j->size + 1;
    return MIN(here, wrap + (j->step > 0));
}

/* Does one check cover all elements of a piece? */
static uint64_t in_segment(const Job *j, unsigned segment, uint64_t offset, uint64_t n)
{
    const X86State *s = j->s;
    if (x86_code_bits(s) == 64)
        return n;
    uint64_t room = s->segment[segment].room;
    if (offset + j->size > room)
        return 0;
    return j->step > 0 ? MIN(n, (room - offset) / j->size) : n;
}

/* ---- in pieces ---- */

static void copy_up(uint8_t *to, const uint8_t *from, uint64_t bytes, unsigned size)
{
    if (from + bytes <= to || to + bytes <= from || to <= from) {
        memmove(to, from, bytes);
        return;
    }
    /* what was written is read again: by the element, or faster by the distance */
    uint64_t distance = (uint64_t)(to - from);
    if (distance >= size) {
        for (uint64_t done = 0; done < bytes; done += distance)
            memcpy(to + done, from + done, MIN(distance, bytes - done));
        return;
    }
    for (uint64_t i = 0; i < bytes; i += size)
        memmove(to + i, from + i, size);
}

/* Downward, from the last element on. False: what was written is read again, so it is to be done by the element. */
static bool copy_down(uint8_t *to, const uint8_t *from, uint64_t bytes)
{
    if (to < from && from < to + bytes)
        return false;
    memmove(to, from, bytes);
    return true;
}

static void fill(uint8_t *to, uint64_t value, uint64_t elements, unsigned size)
{
    uint64_t bytes = elements * size, done = size;
    if (size == 1 || value == (uint8_t)value * (UINT64_MAX / 255 >> (64 - 8 * size))) {
        memset(to, (uint8_t)value, bytes);
        return;
    }
    memcpy(to, &value, size);
    for (; done < bytes; done += MIN(done, bytes - done))
        memcpy(to + done, to, MIN(done, bytes - done));
}

/* Host memory of n elements from the one at va on, in one page. A fault is the first element's. */
static uint8_t *elements_at(const Job *j, uint64_t va, uint64_t n, bool write)
{
    CpuState *cs = &j->s->cs;
    if (j->step > 0)
        return tcg_host_span(cs, va, (unsigned)(n * j->size), write);
    if (!tcg_host_span(cs, va, j->size, write))
        return NULL;
    return tcg_host_span(cs, va - (n - 1) * j->size, (unsigned)(n * j->size), write);
}

/* As many elements as can be done at once; 0: none. */
static uint64_t do_piece(Job *j, uint64_t n)
{
    X86State *s = j->s;
    uint64_t to = get(j, RDI), from = get(j, RSI), to_va, from_va = 0;
    if (s->cs.mode & MODE_ALIGN || (j->kind != STRING_MOVS && j->kind != STRING_STOS))
        return 0;
    n = in_segment(j, X86_ES, to, n);
    if (j->kind == STRING_MOVS)
        n = in_segment(j, j->segment, from, n);
    if (!n || !linear(j, X86_ES, to, j->size, true, &to_va) ||
        (j->kind == STRING_MOVS && !linear(j, j->segment, from, j->size, false, &from_va)))
        return 0;
    n = MIN(n, in_page(j, to_va, to));
    if (j->kind == STRING_MOVS)
        n = MIN(n, in_page(j, from_va, from));
    if (n < 2)
        return 0;
    uint8_t *host_to, *host_from = NULL;
    if (j->kind == STRING_MOVS && !(host_from = elements_at(j, from_va, n, false)))
        return 0;
    if (!(host_to = elements_at(j, to_va, n, true)))
        return 0;
    if (j->kind == STRING_MOVS && j->step < 0)
        return copy_down(host_to, host_from, n * j->size) ? n : 0;
    if (j->kind == STRING_MOVS)
        copy_up(host_to, host_from, n * j->size, j->size);
    else
        fill(host_to, j->size == 8 ? s->gpr[RAX] : s->gpr[RAX] & ((1ull << 8 * j->size) - 1), n, j->size);
    return n;
}

/* ---- element by element ---- */

static void compare(Job *j, uint64_t a, uint64_t b)
{
    j->s->cc_op = CC_OP(CC_SUB, (unsigned)__builtin_ctz(j->size));
    j->s->cc_result = a;
    j->s->cc_source = b;
}

static unsigned memop(const Job *j)
{
    return (unsigned)__builtin_ctz(j->size) | (j->s->cs.mode & MODE_ALIGN ? MO_ALIGN : 0);
}

static bool load(Job *j, unsigned segment, unsigned reg, uint64_t *value)
{
    uint64_t va;
    if (!linear(j, segment, get(j, reg), j->size, false, &va))
        return false;
    *value = tcg_load(&j->s->cs, va, memop(j));
    return !j->s->cs.raised;
}

static bool store(Job *j, uint64_t value)
{
    uint64_t va;
    if (!linear(j, X86_ES, get(j, RDI), j->size, true, &va))
        return false;
    tcg_store_again(&j->s->cs, va, value, memop(j));
    return !j->s->cs.raised;
}

static uint64_t accumulator(const Job *j)
{
    return j->size == 8 ? j->s->gpr[RAX] : j->s->gpr[RAX] & ((1ull << 8 * j->size) - 1);
}

/* The destination must take what a device gives, before it gives it. */
static bool input(Job *j)
{
    uint64_t va, old;
    X86State *s = j->s;
    uint16_t port = (uint16_t)s->gpr[RDX];
    Walk w;
    if (!linear(j, X86_ES, get(j, RDI), j->size, true, &va))
        return false;
    if (!x86_walk(&s->cs, va, ACCESS_STORE, s->cs.mmu_index, true, &w) ||
        !x86_walk(&s->cs, va + j->size - 1, ACCESS_STORE, s->cs.mmu_index, true, &w))
        return false;
    old = x86_port_in(s, port, j->size);
    return !s->cs.raised && store(j, old);
}

static bool output(Job *j)
{
    uint64_t value;
    uint16_t port = (uint16_t)j->s->gpr[RDX];
    if (!load(j, j->segment, RSI, &value))
        return false;
    x86_port_out(j->s, port, j->size, (uint32_t)value);
    return !j->s->cs.raised;
}

static void load_accumulator(Job *j, uint64_t value)
{
    uint64_t *rax = &j->s->gpr[RAX];
    uint64_t mask = j->size == 8 ? UINT64_MAX : (1ull << 8 * j->size) - 1;
    *rax = j->size >= 4 ? value : (*rax & ~mask) | value;
}

/* One element; false: raised. */
static bool do_one(Job *j)
{
    uint64_t a = 0, b = 0;
    bool source = j->kind == STRING_MOVS || j->kind == STRING_LODS || j->kind == STRING_CMPS || j->kind == STRING_OUTS;
    bool dest = j->kind != STRING_LODS && j->kind != STRING_OUTS;
    if (source && j->kind != STRING_OUTS && !load(j, j->segment, RSI, &a))
        return false;
    if ((j->kind == STRING_CMPS || j->kind == STRING_SCAS) && !load(j, X86_ES, RDI, &b))
        return false;
    switch (j->kind) {
    case STRING_MOVS:
        if (!store(j, a))
            return false;
        break;
    case STRING_STOS:
        if (!store(j, accumulator(j)))
            return false;
        break;
    case STRING_LODS:
        load_accumulator(j, a);
        break;
    case STRING_CMPS:
        compare(j, a, b);
        break;
    case STRING_SCAS:
        compare(j, accumulator(j), b);
        break;
    case STRING_INS:
        if (!input(j))
            return false;
        break;
    case STRING_OUTS:
        if (!output(j))
            return false;
        break;
    }
    if (source)
        advance(j, RSI, 1);
    if (dest)
        advance(j, RDI, 1);
    return true;
}

bool x86_string(X86State *s, uint32_t what, unsigned address_size)
{
    Job j = { .s = s,
              .kind = (X86StringKind)(what & 15),
              .size = 1u << (what >> 4 & 3),
              .repeat = what >> 8 & 0xff,
              .segment = what >> 16,
              .address_size = address_size };
    j.step = s->eflags & FLAG_DF ? -(int64_t)j.size : (int64_t)j.size;
    j.mask = address_size == 8 ? UINT64_MAX : address_size == 4 ? UINT32_MAX : 0xffff;
    bool compares = j.kind == STRING_CMPS || j.kind == STRING_SCAS;
    if ((j.kind == STRING_INS || j.kind == STRING_OUTS) && !x86_port_allowed(s, (uint16_t)s->gpr[RDX], j.size))
        return false;
    if (!j.repeat) {
        do_one(&j);
        return false;
    }
    for (uint64_t budget = s->cs.mode & MODE_TF ? 1 : MOST_ELEMENTS, count = get(&j, RCX); count;) {
        uint64_t n = do_piece(&j, MIN(count, budget));
        if (s->cs.raised)
            return false;
        if (n) {
            if (j.kind == STRING_MOVS)
                advance(&j, RSI, n);
            advance(&j, RDI, n);
        } else {
            if (!do_one(&j))
                return false;
            n = 1;
        }
        count -= n;
        put(&j, RCX, count);
        if (compares && (s->cc_result << (64 - 8 * j.size) == s->cc_source << (64 - 8 * j.size)) != (j.repeat == 0xf3))
            return false;
        budget -= n;
        if (count && (!budget || __atomic_load_n(&s->cs.poll, __ATOMIC_RELAXED)))
            return true;
    }
    return false;
}
