/*
 * See ir_world.h.
 * SPDX-License-Identifier: MIT
 */
#include "ir_world.h"
#include "tcg/eval.h"
#include <string.h>

/* ---- registers ---- */

#define X(n, p)                                              \
    {                                                        \
        "x" #n, offsetof(WorldState, x) + 8 * (n), IR_I64, p \
    }
/* Writes of those wait. */
#define X_DEFERRED(n, k)                                        \
    {                                                           \
        "x" #n, offsetof(WorldState, x) + 8 * (n), IR_I64, 0, k \
    }
#define W_DEFERRED(n, k)                                        \
    {                                                           \
        "w" #n, offsetof(WorldState, w) + 4 * (n), IR_I32, 0, k \
    }
#define W(n, p)                                              \
    {                                                        \
        "w" #n, offsetof(WorldState, w) + 4 * (n), IR_I32, p \
    }
#define F(n, p)                                              \
    {                                                        \
        "f" #n, offsetof(WorldState, f) + 8 * (n), IR_F64, p \
    }

static const GuestReg wide_regs[] = {
    X(0, 1), X(1, 0),           X(2, 2),  X(3, 3),           X(4, 4),  X(5, 0),  X(6, 5),  X(7, 0),          X(8, 6),
    X(9, 0), X_DEFERRED(10, 1), X(11, 7), X_DEFERRED(12, 2), X(13, 0), W(0, 8),  W(1, 0),  W_DEFERRED(2, 3), W(3, 0),
    W(4, 0), W(5, 0),           F(0, 1),  F(1, 0),           F(2, 2),  F(3, 3),  F(4, 0),  F(5, 4),          F(6, 5),
    F(7, 6), F(8, 7),           F(9, 8),  F(10, 0),          F(11, 0), F(12, 0), F(13, 0),
};
static const GuestReg narrow_regs[] = {
    W(0, 1),  W(1, 0),           W(2, 2),  W(3, 3),           W(4, 4),  W(5, 0),  W(6, 5),  W(7, 0),  W(8, 6),
    W(9, 0),  W_DEFERRED(10, 1), W(11, 7), W_DEFERRED(12, 2), W(13, 8), W(14, 0), W(15, 0), W(16, 0), W(17, 0),
    W(18, 0), X_DEFERRED(0, 3),  F(0, 1),  F(1, 0),           F(2, 2),  F(3, 3),  F(4, 0),  F(5, 4),  F(6, 0),
    F(7, 6),  F(8, 7),           F(9, 8),  F(10, 0),          F(11, 0), F(12, 0), F(13, 0),
};
#define V(n, p)                                                \
    {                                                          \
        "v" #n, offsetof(WorldState, v) + 32 * (n), IR_V256, p \
    }
static const GuestReg vector_regs[] = {
    X(0, 1), X(1, 0),           X(2, 2),  X(3, 3),           X(4, 4),  X(5, 0),  X(6, 5),  X(7, 0),          X(8, 6),
    X(9, 0), X_DEFERRED(10, 1), X(11, 7), X_DEFERRED(12, 2), X(13, 0), W(0, 8),  W(1, 0),  W_DEFERRED(2, 3), W(3, 0),
    W(4, 0), W(5, 0),           V(0, 1),  V(1, 0),           V(2, 2),  V(3, 3),  V(4, 0),  V(5, 4),          V(6, 5),
    V(7, 6), V(8, 7),           V(9, 8),  V(10, 0),          V(11, 0), V(12, 0), V(13, 0),
};
bool world_vectors;
_Static_assert(G_N_ELEMENTS(vector_regs) == WORLD_REGS, "as many as declared");
_Static_assert(G_N_ELEMENTS(wide_regs) == WORLD_REGS && G_N_ELEMENTS(narrow_regs) == WORLD_REGS, "as many as declared");

const GuestReg *world_regs(bool narrow)
{
    return world_vectors ? vector_regs : narrow ? narrow_regs : wide_regs;
}

unsigned world_reg_count(bool narrow)
{
    return WORLD_REGS;
}

/* ---- memory ---- */

static World *world_of(CpuState *cs)
{
    return (World *)(void *)cs; /* the state is its first member, and cs the state's */
}

static void raise_at(CpuState *cs, uint64_t va)
{
    WorldState *s = &world_of(cs)->state;
    s->fault_pc = cs->pc;
    s->fault_va = va;
    s->faults++;
    s->x[5] ^= cs->pc; /* handlers change registers, pinned and other */
    s->x[6] += 5;
    s->w[6] ^= (uint32_t)va;
    s->f[2] = s->f[3];
    tcg_count_raise(cs);
    cs->raised = 1;
    cs->pc = WORLD_HANDLER;
}

/* Memory of one access, or NULL with an exception raised. Fills the TLB as the real one does. */
static uint8_t *access_bytes(CpuState *cs, uint64_t va, unsigned size, uint32_t memop, bool write)
{
    World *w = world_of(cs);
    if ((memop & MO_ALIGN) && (va & (size - 1))) {
        raise_at(cs, va);
        return NULL;
    }
    uint64_t offset = va - WORLD_VA, limit = write ? PAGE_READ_ONLY * GUEST_PAGE_SIZE : WORLD_BYTES;
    if (offset >= limit || limit - offset < size) {
        raise_at(cs, offset >= limit ? va : WORLD_VA + limit);
        return NULL;
    }
    if (offset / GUEST_PAGE_SIZE != PAGE_SLOW) {
        TlbEntry *table = write ? cs->set->write : cs->set->read;
        table[(va >> GUEST_PAGE_BITS) % TLB_SIZE] =
            (TlbEntry){ va & GUEST_PAGE_MASK, (uint64_t)(uintptr_t)w->memory - WORLD_VA };
    }
    return w->memory + offset;
}

static uint8_t *access_memory(CpuState *cs, uint64_t va, uint32_t memop, bool write)
{
    return access_bytes(cs, va, MO_BYTES(memop), memop, write);
}

static uint64_t get_bytes(const uint8_t *place, uint32_t memop)
{
    uint64_t value = 0;
    unsigned size = MO_BYTES(memop);
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)place[memop & MO_BIG_ENDIAN ? size - 1 - i : i] << 8 * i;
    return (uint64_t)ir_extend(memop, value);
}

static void put_bytes(uint8_t *place, uint32_t memop, uint64_t value)
{
    unsigned size = MO_BYTES(memop);
    for (unsigned i = 0; i < size; i++)
        place[memop & MO_BIG_ENDIAN ? size - 1 - i : i] = (uint8_t)(value >> 8 * i);
}

/* What C may change, changes: caller-saved registers that generated code might have forgotten about. */
static void clobber_registers(void)
{
#ifdef __x86_64__
    __asm__ volatile("mov $0x5a5a5a5a5a5a5a5a, %%rax\n\t"
                     "mov %%rax, %%rcx; mov %%rax, %%rdx; mov %%rax, %%rsi; mov %%rax, %%rdi\n\t"
                     "mov %%rax, %%r8; mov %%rax, %%r9; mov %%rax, %%r10; mov %%rax, %%r11\n\t"
                     "movq %%rax, %%xmm0; movq %%rax, %%xmm1; movq %%rax, %%xmm2; movq %%rax, %%xmm3\n\t"
                     "movq %%rax, %%xmm4; movq %%rax, %%xmm5; movq %%rax, %%xmm6; movq %%rax, %%xmm7\n\t"
                     "movq %%rax, %%xmm8; movq %%rax, %%xmm9; movq %%rax, %%xmm10; movq %%rax, %%xmm11\n\t"
                     "movq %%rax, %%xmm12; movq %%rax, %%xmm13; movq %%rax, %%xmm14; movq %%rax, %%xmm15"
                     :
                     :
                     : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3",
                       "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
                       "xmm15");
    if (__builtin_cpu_supports("avx"))
        __asm__ volatile("vzeroupper");
#endif
}

uint64_t tcg_load(CpuState *cs, uint64_t va, uint32_t memop)
{
    clobber_registers();
    const uint8_t *place = access_memory(cs, va, memop, false);
    return place ? get_bytes(place, memop) : 0;
}

void tcg_store_again(CpuState *cs, uint64_t va, uint64_t value, uint32_t memop)
{
    tcg_store(cs, va, value, memop);
}

void tcg_store(CpuState *cs, uint64_t va, uint64_t value, uint32_t memop)
{
    clobber_registers();
    uint8_t *place = access_memory(cs, va, memop, true);
    if (place)
        put_bytes(place, memop, value);
}

void tcg_load_vector(CpuState *cs, uint64_t va, void *buffer, uint64_t memop)
{
    unsigned size = 1u << (memop & IR_VECTOR_SIZE);
    clobber_registers();
    const uint8_t *place = access_bytes(cs, va, size, (uint32_t)memop, false);
    if (place)
        memcpy(buffer, place, size);
}

void tcg_store_vector(CpuState *cs, uint64_t va, const void *buffer, uint64_t memop)
{
    unsigned size = 1u << (memop & IR_VECTOR_SIZE);
    clobber_registers();
    uint8_t *place = access_bytes(cs, va, size, (uint32_t)memop, true);
    if (place)
        memcpy(place, buffer, size);
}

uint64_t tcg_amo(CpuState *cs, uint64_t va, uint64_t value, uint32_t memop, uint32_t kind)
{
    clobber_registers();
    uint8_t *place = access_memory(cs, va, memop | MO_ALIGN, true);
    if (!place)
        return 0;
    IrType type = (memop & MO_SIZE) == MO_32 ? IR_I32 : IR_I64;
    uint64_t old = get_bytes(place, memop);
    int64_t a = ir_canonical(type, old), b = ir_canonical(type, value), result;
    static const IrOp ops[] = { [AMO_ADD] = OP_add, [AMO_AND] = OP_and, [AMO_OR] = OP_or, [AMO_XOR] = OP_xor };
    static const IrCond keeps[] = {
        [AMO_MIN] = COND_LT, [AMO_MAX] = COND_GT, [AMO_MINU] = COND_LTU, [AMO_MAXU] = COND_GTU
    };
    if (kind == AMO_SWAP)
        result = b;
    else if (kind <= AMO_XOR)
        result = ir_eval_binary(ops[kind], type, a, b);
    else
        result = ir_compare(keeps[kind], a, b) ? a : b;
    put_bytes(place, memop, (uint64_t)result);
    return old;
}

uint64_t tcg_cas(CpuState *cs, uint64_t va, uint64_t expected, uint64_t value, uint32_t memop)
{
    clobber_registers();
    uint8_t *place = access_memory(cs, va, memop | MO_ALIGN, true);
    if (!place)
        return 0;
    uint64_t old = get_bytes(place, memop);
    if ((uint64_t)ir_extend(memop, expected) == old)
        put_bytes(place, memop, value);
    return old;
}

/* ---- helpers. Arguments may be I32: only low halves count. ---- */

static uint64_t mix(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    uint64_t v = (uint32_t)a * UINT64_C(0x9e3779b97f4a7c15) + (uint32_t)b;
    v = (v ^ v >> 29) * UINT64_C(0xbf58476d1ce4e5b9) + (uint32_t)c;
    return (v ^ v >> 32) * UINT64_C(0x94d049bb133111eb) + (uint32_t)d;
}

static uint64_t registers_hash(CpuState *cs)
{
    const WorldState *s = &world_of(cs)->state;
    uint64_t hash = 0;
    for (const uint8_t *p = (const uint8_t *)s->x; p < (const uint8_t *)&s->fault_pc; p++)
        hash = (hash ^ *p) * UINT64_C(0x100000001b3);
    return hash;
}

static void change_registers(CpuState *cs, uint64_t by)
{
    WorldState *s = &world_of(cs)->state;
    for (unsigned i = REG_FREE; i < WORLD_X; i += 3)
        s->x[i] += by + i;
    for (unsigned i = REG_FREE; i < G_N_ELEMENTS(s->w); i += 2)
        s->w[i] ^= (uint32_t)by * i;
    for (unsigned i = 0; i < WORLD_F; i += 3)
        s->f[i] ^= by & 0xfff;
}

static uint64_t helper_pure(CpuState *cs, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    clobber_registers();
    return mix(a, b, c, d);
}

static uint64_t helper_pure1(CpuState *cs, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    clobber_registers();
    return mix(a, 0, 0, 0); /* arguments that it does not have are undefined */
}

static uint64_t helper_no_result(CpuState *cs, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    world_of(cs)->state.calls += mix(a, b, 0, 0);
    clobber_registers();
    return 0;
}

static uint64_t helper_reads(CpuState *cs, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    uint64_t result = mix(a, 0, 0, 0) ^ registers_hash(cs);
    clobber_registers();
    return result;
}

static uint64_t helper_writes(CpuState *cs, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    change_registers(cs, (uint32_t)b);
    clobber_registers();
    return mix(a, b, c, 0);
}

static uint64_t helper_reads_writes(CpuState *cs, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    change_registers(cs, registers_hash(cs));
    clobber_registers();
    return mix(a, b, 0, 0);
}

static uint64_t helper_raises(CpuState *cs, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    if (((uint32_t)a & 15) == 3)
        raise_at(cs, (uint32_t)b);
    clobber_registers();
    return mix(a, b, 0, 0);
}

static uint64_t helper_everything(CpuState *cs, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    World *w = world_of(cs);
    change_registers(cs, registers_hash(cs) ^ cs->pc);
    cs->set = cs->set == w->sets[0] ? w->sets[1] : w->sets[0];
    if (((uint32_t)d & 15) == 3)
        raise_at(cs, (uint32_t)c);
    clobber_registers();
    return mix(a, b, c, d);
}

static uint64_t helper_goes(CpuState *cs, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    cs->pc = WORLD_HANDLER + ((uint32_t)a & 0xffe);
    clobber_registers();
    return 0;
}

static uint64_t helper_refuses(CpuState *cs, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    raise_at(cs, (uint32_t)a);
    clobber_registers();
    return 0;
}

enum { HELPER_GOES = 8, HELPER_REFUSES };
const HelperDesc world_helpers[] = {
    { "pure", helper_pure, 4, true, 0 },
    { "pure1", helper_pure1, 1, true, 0 },
    { "no_result", helper_no_result, 2, false, 0 },
    { "reads", helper_reads, 1, true, HELPER_READS },
    { "writes", helper_writes, 3, true, HELPER_WRITES },
    { "reads_writes", helper_reads_writes, 2, true, HELPER_READS | HELPER_WRITES },
    { "raises", helper_raises, 2, true, HELPER_RAISES },
    { "everything", helper_everything, 4, true, HELPER_READS | HELPER_WRITES | HELPER_RAISES | HELPER_CONTEXT },
    [HELPER_GOES] = { "goes", helper_goes, 1, false, 0 },
    [HELPER_REFUSES] = { "refuses", helper_refuses, 1, false, HELPER_RAISES },
};

/* ---- random numbers ---- */

uint64_t world_random(uint64_t *state)
{
    uint64_t v = *state += UINT64_C(0x9e3779b97f4a7c15);
    v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
    return v ^ v >> 31;
}

static unsigned below(uint64_t *state, unsigned limit)
{
    return (unsigned)((world_random(state) >> 32) * limit >> 32);
}

int64_t world_random_int(uint64_t *state)
{
    static const int64_t edges[] = { 0,
                                     1,
                                     -1,
                                     2,
                                     7,
                                     8,
                                     31,
                                     32,
                                     63,
                                     64,
                                     127,
                                     128,
                                     -128,
                                     -129,
                                     255,
                                     256,
                                     2047,
                                     -2048,
                                     4095,
                                     4096,
                                     0x7fff,
                                     -0x8000,
                                     0xffff,
                                     0x10000,
                                     INT32_MAX,
                                     INT32_MIN,
                                     (int64_t)INT32_MAX + 1,
                                     (int64_t)INT32_MIN - 1,
                                     UINT32_MAX,
                                     (int64_t)UINT32_MAX + 1,
                                     INT64_MAX,
                                     INT64_MIN };
    uint64_t v = world_random(state);
    switch (below(state, 5)) {
    case 0:
    case 1:
        return edges[v % G_N_ELEMENTS(edges)];
    case 2:
        return (int64_t)v >> (v & 63);
    case 3:
        v = (UINT64_C(1) << (v & 63)) * (v & 64 ? UINT64_MAX : 1) + (v >> 8 & 3) - 1;
        return (int64_t)v;
    default:
        return (int64_t)v;
    }
}

uint64_t world_random_float(uint64_t *state, IrType type)
{
    bool narrow = type == IR_F32;
    unsigned fraction_bits = narrow ? 23 : 52;
    uint64_t max_exp = narrow ? 255 : 2047, v = world_random(state);
    uint64_t exp = v >> 8 & max_exp, fraction = world_random(state) >> (64 - fraction_bits);
    switch (v & 7) {
    case 0:
        exp = (const uint64_t[]){ 0, 0, 1, max_exp - 1, max_exp, max_exp }[(v >> 24) % 6];
        break;
    case 1:
    case 2:
    case 3:
    case 4:
        exp = max_exp / 2 - 4 + (v >> 24) % 70;
        break;
    default:
        break;
    }
    if ((v >> 40 & 3) == 0)
        fraction = (v >> 42 & 3) ? UINT64_C(1) << (v >> 44) % fraction_bits : 0;
    return (v >> 63) << (narrow ? 31 : 63) | exp << fraction_bits | fraction;
}

/* ---- worlds ---- */

World *world_new(void)
{
    World *w = g_new0(World, 1);
    w->l2 = memset(g_new(L2Table, 1), 0xff, sizeof(L2Table));
    for (unsigned i = 0; i < 2; i++) {
        ContextSet *set = w->sets[i] = memset(g_new(ContextSet, 1), 0xff, sizeof(ContextSet));
        set->l2 = w->l2;
        set->fills = i ? TLB_LOG - 2 : 0;
        set->generation[0] = 2 + 2 * i;
        set->generation[1] = 6;
        set->generation_change = set->generation[0] ^ set->generation[1];
        set->mix[0] = 0x123 * i;
        set->mix[1] = 0;
    }
    return w;
}

void world_free(World *w)
{
    g_free(w->sets[0]);
    g_free(w->sets[1]);
    g_free(w->l2);
    g_free(w);
}

/* Only these entries of the soft TLBs are ever filled: those of the world's pages. */
static TlbEntry *tlb_entry(ContextSet *set, unsigned page, bool write)
{
    return &(write ? set->write : set->read)[((WORLD_VA >> GUEST_PAGE_BITS) + page) % TLB_SIZE];
}

static L2Line *l2_line(World *w, unsigned set, unsigned page)
{
    return &w->l2->lines[(((WORLD_VA >> GUEST_PAGE_BITS) + page) ^ w->sets[set]->mix[0]) & (L2_LINES - 1)];
}

/* Some pages in the second level, in any way and of either generation; of some flags say that stores go to C. */
static void fill_second(World *w, uint64_t *r)
{
    for (unsigned i = 0; i < 2 * WORLD_PAGES; i++) {
        unsigned page = i / 2, way = below(r, L2_WAYS);
        L2Line *line = l2_line(w, i & 1, page);
        L2Cold *cold = &w->l2->cold[line - w->l2->lines];
        uint64_t va = WORLD_VA + page * GUEST_PAGE_SIZE, writable = page != PAGE_READ_ONLY && below(r, 4);
        memset(line, 0xff, sizeof(*line));
        w->page_flags[page] = below(r, 4) ? WORLD_PAGE_WRITABLE : (uint8_t)below(r, 8);
        if (page == PAGE_SLOW || below(r, 3) == 0)
            continue;
        line->tag[way] = va | w->sets[i & 1]->generation[below(r, 2)] | writable;
        line->addend[way] = (uint64_t)(uintptr_t)w->memory - WORLD_VA;
        cold->flags[way] = &w->page_flags[page];
    }
}

/* The same in `to`. */
static void copy_second(World *to, World *from)
{
    memcpy(to->page_flags, from->page_flags, sizeof(to->page_flags));
    for (unsigned i = 0; i < 2 * WORLD_PAGES; i++) {
        L2Line *line = l2_line(to, i & 1, i / 2);
        L2Cold *cold = &to->l2->cold[line - to->l2->lines];
        *line = *l2_line(from, i & 1, i / 2);
        for (unsigned way = 0; way < L2_WAYS; way++) {
            line->addend[way] += (uint64_t)((uintptr_t)to->memory - (uintptr_t)from->memory);
            cold->flags[way] = &to->page_flags[i / 2];
        }
    }
}

void world_randomise(World *w, bool narrow, bool warm, uint64_t seed)
{
    uint64_t *r = &seed;
    WorldState *s = &w->state;
    memset(s, 0, sizeof(*s));
    for (unsigned i = 0; i < WORLD_X; i++)
        s->x[i] = (uint64_t)world_random_int(r);
    for (unsigned i = 0; i < G_N_ELEMENTS(s->w); i++)
        s->w[i] = (uint32_t)world_random_int(r);
    for (unsigned i = 0; i < WORLD_F; i++)
        s->f[i] =
            below(r, 2) ? world_random_float(r, IR_F64) : UINT64_C(0xffffffff00000000) | world_random_float(r, IR_F32);
    for (unsigned i = 0; i < sizeof(s->scratch); i++)
        s->scratch[i] = i < 32 && below(r, 32) ? 0 : (uint8_t)world_random(r); /* the lower half for guards */
    for (unsigned i = 0; i < sizeof(s->v); i += 8) {
        uint64_t value = below(r, 3) ? world_random_float(r, IR_F64) : world_random_float(r, IR_F32) * 0x100000001;
        memcpy(s->v + i, &value, 8);
    }
    for (unsigned i = 0; i < sizeof(w->memory); i += 8) {
        uint64_t value = world_random(r);
        memcpy(w->memory + i, &value, 8);
    }
    /* bases: inside, at an edge of two plain pages, and near the pages that are different */
    static const unsigned places[] = { 0x100, GUEST_PAGE_SIZE - 8, PAGE_SLOW * GUEST_PAGE_SIZE - 64 };
    for (unsigned i = REG_BASE_LOW; i <= REG_BASE_HIGH; i++) {
        unsigned offset =
            places[i] + (i == REG_BASE_HIGH ? below(r, 3) * 32 + below(r, 12) / 11 * 3 * GUEST_PAGE_SIZE : 0);
        s->x[i] = s->w[i] = (uint32_t)(WORLD_VA + offset);
    }
    s->cs = (CpuState){ .fp_round = (uint8_t)below(r, 4),
                        .fp_flags = (uint8_t)below(r, 8) ? 0 : 5,
                        .set = w->sets[0],
                        .poll = below(r, 16) == 0,
                        .icount = (int32_t)(below(r, 4) ? 10000 : below(r, 60)),
                        .x87_control = (uint16_t)(0x37f - (below(r, 4) << 8 & 0x100) + (below(r, 4) << 10)) };
    s->cs.pc = UINT64_C(0x40000000) + below(r, 2) * (UINT64_C(0x80000000) + 0x3000);
    s->cs.pc_base = s->cs.pc & GUEST_PAGE_MASK;
    for (unsigned i = 0; i < 4 * WORLD_PAGES; i++) {
        unsigned page = i / 4;
        bool write = i & 1, filled = warm && page != PAGE_SLOW && !(write && page == PAGE_READ_ONLY);
        TlbEntry entry = { WORLD_VA + page * GUEST_PAGE_SIZE, (uint64_t)(uintptr_t)w->memory - WORLD_VA };
        *tlb_entry(w->sets[i >> 1 & 1], page, write) = filled ? entry : (TlbEntry){ TLB_EMPTY, 0 };
    }
    fill_second(w, r);
    for (unsigned i = 0; i < 2 * GUESS_SLOTS; i++) {
        uint64_t right = (uint64_t)(uintptr_t)w->memory - WORLD_VA, wrong = right + GUEST_PAGE_SIZE;
        w->sets[i & 1]->guesses[i >> 1] = (AddendGuess){ below(r, 2) ? right : wrong, below(r, 3) };
    }
}

void world_copy(World *to, const World *from)
{
    to->state = from->state;
    memcpy(to->memory, from->memory, sizeof(to->memory));
    to->state.cs.set = to->sets[from->state.cs.set == from->sets[1]];
    for (unsigned i = 0; i < 4 * WORLD_PAGES; i++) {
        TlbEntry entry = *tlb_entry(from->sets[i >> 1 & 1], i / 4, i & 1);
        entry.addend += (uint64_t)((uintptr_t)to->memory - (uintptr_t)from->memory);
        *tlb_entry(to->sets[i >> 1 & 1], i / 4, i & 1) = entry;
    }
    copy_second(to, (World *)from);
    for (unsigned i = 0; i < 2 * GUESS_SLOTS; i++) {
        AddendGuess guess = from->sets[i & 1]->guesses[i >> 1];
        guess.addend += (uint64_t)((uintptr_t)to->memory - (uintptr_t)from->memory);
        to->sets[i & 1]->guesses[i >> 1] = guess;
    }
}

static void note(GString *out, const char *name, uint64_t a, uint64_t b)
{
    if (a != b)
        g_string_append_printf(out, " %s %" G_GINT64_MODIFIER "x / %" G_GINT64_MODIFIER "x;", name, a, b);
}

char *world_difference(const World *a, const World *b, bool narrow)
{
    GString *out = g_string_new(NULL);
    const WorldState *s = &a->state, *t = &b->state;
    for (unsigned i = 0; i < world_reg_count(narrow); i++) {
        const GuestReg *reg = &world_regs(narrow)[i];
        uint64_t x = 0, y = 0;
        memcpy(&x, (const char *)s + reg->offset, reg->type == IR_I32 ? 4 : 8);
        memcpy(&y, (const char *)t + reg->offset, reg->type == IR_I32 ? 4 : 8);
        note(out, reg->name, x, y);
    }
    note(out, "pc", s->cs.pc, t->cs.pc);
    unsigned flags = world_vectors ? UINT8_MAX : UINT8_MAX & ~IR_FP_DE; /* which software does not note */
    note(out, "fp_flags", s->cs.fp_flags & flags, t->cs.fp_flags & flags);
    note(out, "fp_round", s->cs.fp_round, t->cs.fp_round);
    note(out, "x87_flags", s->cs.x87_flags, t->cs.x87_flags);
    note(out, "raised", s->cs.raised, t->cs.raised);
    note(out, "poll", s->cs.poll, t->cs.poll);
    note(out, "icount", s->cs.icount, t->cs.icount);
    note(out, "set", s->cs.set == a->sets[1], t->cs.set == b->sets[1]);
    note(out, "faults", s->faults, t->faults);
    note(out, "fault pc", s->fault_pc, t->fault_pc);
    note(out, "fault va", s->fault_va, t->fault_va);
    note(out, "calls", s->calls, t->calls);
    if (out->len == 0 && memcmp(s->x, t->x, sizeof(*s) - offsetof(WorldState, x)) != 0)
        g_string_append(out, " state that is no register;");
    for (unsigned i = 0; i < sizeof(a->memory) && memcmp(a->memory, b->memory, sizeof(a->memory)) != 0; i++) {
        if (a->memory[i] != b->memory[i]) {
            g_string_append_printf(out, " memory+0x%x %02x / %02x;", i, a->memory[i], b->memory[i]);
            break;
        }
    }
    bool same = out->len == 0;
    char *text = g_string_free(out, same);
    return same ? NULL : text;
}

/* ---- random units ---- */

enum { POOL = 40 };

typedef struct Gen {
    IrUnit *u;
    uint64_t random;
    bool narrow;
    IrTmp pool[IR_F64 + 1][POOL]; /* temporaries of this segment, by type, */
    unsigned pool_count[IR_F64 + 1];
    unsigned pool_next; /* and which is replaced next */
    int skip_label;     /* a forward branch has gone here: to be placed; -1: none */
    int loop_label;     /* a loop is open; -1: none */
    int32_t pc;
    unsigned reuse; /* of ten operands, how many are temporaries of the segment */
} Gen;

static unsigned roll(Gen *g, unsigned limit)
{
    return below(&g->random, limit);
}

static void keep(Gen *g, IrTmp t)
{
    IrType type = (IrType)g->u->tmps[t].type;
    if (g->pool_count[type] < POOL)
        g->pool[type][g->pool_count[type]++] = t;
    else
        g->pool[type][g->pool_next++ % POOL] = t;
}

static void forget_pool(Gen *g)
{
    memset(g->pool_count, 0, sizeof(g->pool_count));
}

/* A register of this type; one that may be written if so told. There is one of each but for I64 in a narrow world. */
static unsigned random_reg(Gen *g, IrType type, bool writable)
{
    for (;;) {
        unsigned reg = roll(g, world_reg_count(g->narrow));
        if (world_regs(g->narrow)[reg].type == type && (!writable || reg >= REG_FREE))
            return reg;
    }
}

static IrTmp operand(Gen *g, IrType type);

static IrTmp random_constant(Gen *g, IrType type)
{
    switch (type) {
    case IR_F32:
        return ir_fmove(g->u, OP_fofbits, IR_F32,
                        ir_const(g->u, IR_I32, (int64_t)world_random_float(&g->random, IR_F32)));
    case IR_F64:
        return ir_fmove(g->u, OP_fofbits, IR_F64,
                        ir_const(g->u, IR_I64, (int64_t)world_random_float(&g->random, IR_F64)));
    default:
        return ir_const(g->u, type, world_random_int(&g->random));
    }
}

static IrTmp register_value(Gen *g, IrType type)
{
    if (type == IR_F32)
        return ir_fmove(g->u, OP_funbox, IR_F32, ir_getreg(g->u, random_reg(g, IR_F64, false)));
    return ir_getreg(g->u, random_reg(g, type, false));
}

/* A value of this type: of this segment, a register, or a constant. */
static IrTmp operand(Gen *g, IrType type)
{
    unsigned choice = roll(g, 10), count = g->pool_count[type];
    IrTmp t;
    if (count && choice < g->reuse)
        return g->pool[type][choice < g->reuse / 2 ? count - 1 - roll(g, MIN(count, 4)) : roll(g, count)];
    t = choice < 8 || roll(g, 2) ? register_value(g, type) : random_constant(g, type);
    if (!g->u->tmps[t].constant)
        keep(g, t);
    return t;
}

static IrType random_int_type(Gen *g)
{
    return roll(g, 2) ? IR_I32 : IR_I64;
}

static IrType random_float_type(Gen *g)
{
    return roll(g, 2) ? IR_F32 : IR_F64;
}

/* A result: kept, and often written to a register. */
static void take(Gen *g, IrTmp t)
{
    keep(g, t);
    if (!roll(g, 2))
        return;
    IrType type = (IrType)g->u->tmps[t].type;
    if (type == IR_F32) {
        t = ir_fmove(g->u, OP_fbox, IR_F64, t);
        type = IR_F64;
    }
    ir_setreg(g->u, random_reg(g, type, true), t);
}

static void gen_integer(Gen *g)
{
    IrUnit *u = g->u;
    IrType type = random_int_type(g), other = random_int_type(g);
    IrOp op = (IrOp)(OP_add + roll(g, OP_select - OP_add + 1));
    IrCond cond = (IrCond)roll(g, COND_GTU + 1);
    switch (op) {
    case OP_ext:
        take(g, ir_ext(u, type, roll(g, 3) | (roll(g, 2) ? MO_SIGNED : 0), operand(g, other)));
        break;
    case OP_trunc:
        take(g, ir_unary(u, op, IR_I32, operand(g, IR_I64)));
        break;
    case OP_clz:
    case OP_ctz:
    case OP_popcnt:
    case OP_bswap:
        take(g, ir_unary(u, op, type, operand(g, type)));
        break;
    case OP_setcond:
        take(g, ir_setcond(u, type, cond, operand(g, other), operand(g, other)));
        break;
    case OP_select: {
        IrTmp a = operand(g, other), b = roll(g, 3) ? operand(g, other) : ir_const(u, other, 0);
        take(g, ir_select(u, type, cond, a, b, operand(g, type), operand(g, type)));
        break;
    }
    default: {
        IrTmp a = operand(g, type);
        if (roll(g, 3))
            take(g, ir_binary(u, op, type, a, roll(g, 8) ? operand(g, type) : a));
        else
            take(g, ir_binary_imm(u, op, type, a, world_random_int(&g->random)));
        break;
    }
    }
}

/* An address: mostly a base register near the memory. alignment: of what it adds to the base. */
static IrTmp random_address(Gen *g, unsigned alignment)
{
    IrType type = g->narrow ? IR_I32 : roll(g, 8) ? IR_I64 : IR_I32;
    if (roll(g, 24) == 0)
        return operand(g, type);
    IrTmp base = ir_getreg(g->u, roll(g, 3));
    if (!g->narrow && type == IR_I32)
        base = ir_unary(g->u, OP_trunc, IR_I32, base);
    IrTmp index = ir_binary_imm(g->u, OP_and, type, operand(g, type), 0x3f & -(int64_t)alignment);
    switch (roll(g, 3)) {
    case 0:
        return base;
    case 1:
        return ir_binary_imm(g->u, OP_add, type, base, (int64_t)(alignment * roll(g, 32)) - 64);
    default:
        return ir_binary(g->u, OP_add, type, base, index);
    }
}

static unsigned random_memop(Gen *g, unsigned size, bool load)
{
    unsigned memop = size;
    if (load && roll(g, 2))
        memop |= MO_SIGNED;
    if (roll(g, 12) == 0)
        memop |= MO_BIG_ENDIAN;
    if (roll(g, 12) == 0)
        memop |= MO_ALIGN;
    if (roll(g, 12) == 0)
        memop |= load ? MO_ACQUIRE : MO_RELEASE;
    return memop;
}

static void gen_memory(Gen *g)
{
    IrUnit *u = g->u;
    IrType type = (IrType)(IR_I32 + roll(g, 4));
    bool is_float = type == IR_F32 || type == IR_F64;
    unsigned widest = type == IR_I32 || type == IR_F32 ? MO_32 : MO_64, size = is_float ? widest : roll(g, widest + 1);
    int64_t offset = roll(g, 2) ? (int64_t)roll(g, 64) - 16 : roll(g, 40) ? 0 : world_random_int(&g->random);
    IrTmp a;
    switch (roll(g, 8)) {
    case 0:
        if (is_float)
            break;
        a = random_address(g, roll(g, 10) ? 1u << widest : 1);
        take(g, ir_amo(u, type, random_memop(g, widest, true) & ~(unsigned)MO_BIG_ENDIAN, (IrAmo)roll(g, AMO_MAXU + 1),
                       a, operand(g, type)));
        break;
    case 1: {
        if (is_float)
            break;
        unsigned memop = random_memop(g, widest, false) & ~(unsigned)MO_BIG_ENDIAN;
        a = random_address(g, roll(g, 10) ? 1u << widest : 1);
        IrTmp expected = roll(g, 2) ? ir_ld(u, type, widest, a, 0) : operand(g, type);
        take(g, ir_cas(u, type, memop, a, expected, operand(g, type)));
        break;
    }
    case 2:
    case 3:
    case 4:
        a = random_address(g, 1);
        ir_st(u, random_memop(g, size, false), a, offset, operand(g, type));
        break;
    case 5:
        ir_fence(u, roll(g, FENCE_ALL + 1));
        break;
    case 6: /* fields of one structure, which may lie across a page's end */
        a = random_address(g, 1);
        for (unsigned n = 2 + roll(g, 5); n--;) {
            offset = (int64_t)roll(g, 64) - 32;
            if (roll(g, 2))
                ir_st(u, random_memop(g, size, false), a, offset, operand(g, type));
            else
                take(g, ir_ld(u, type, random_memop(g, size, true), a, offset));
        }
        break;
    default:
        a = random_address(g, 1);
        take(g, ir_ld(u, type, random_memop(g, size, true), a, offset));
        break;
    }
}

static void gen_float(Gen *g)
{
    static const IrRound rounds[] = { FROUND_DYN, FROUND_DYN, FROUND_DYN, FROUND_RNE,
                                      FROUND_RTZ, FROUND_RDN, FROUND_RUP, FROUND_RMM };
    IrUnit *u = g->u;
    IrType type = random_float_type(g), integer = random_int_type(g), bits = type == IR_F32 ? IR_I32 : IR_I64;
    IrRound round = rounds[roll(g, G_N_ELEMENTS(rounds))];
    IrOp op = (IrOp)(OP_fadd + roll(g, OP_fsgn - OP_fadd + 1));
    IrTmp a = operand(g, type), b = operand(g, type);
    switch (op) {
    case OP_fsqrt:
        take(g, ir_fp(u, op, type, round, a, 0));
        break;
    case OP_fma:
        take(g, ir_fma(u, type, round, roll(g, 4), a, b, operand(g, type)));
        break;
    case OP_fcmp:
        take(g, ir_fcmp(u, integer, (IrFcmp)roll(g, 3), a, roll(g, 6) ? b : a));
        break;
    case OP_fcvt:
        take(g, ir_fp(u, op, type == IR_F32 ? IR_F64 : IR_F32, round, a, 0));
        break;
    case OP_fftoi:
        take(g, ir_fftoi(u, integer, roll(g, 2), round, a));
        break;
    case OP_fitof:
        take(g, ir_fitof(u, type, roll(g, 2), round, operand(g, integer)));
        break;
    case OP_fbits:
        take(g, ir_fmove(u, op, bits, a));
        break;
    case OP_fofbits:
        take(g, ir_fmove(u, op, type, operand(g, bits)));
        break;
    case OP_fbox:
        take(g, ir_fmove(u, op, IR_F64, operand(g, IR_F32)));
        break;
    case OP_funbox:
        take(g, ir_fmove(u, op, IR_F32, operand(g, IR_F64)));
        break;
    case OP_fsgn:
        take(g, ir_fsgn(u, type, roll(g, 3), a, roll(g, 3) ? b : a));
        break;
    default:
        take(g, ir_fp(u, op, type, op == OP_fmin || op == OP_fmax ? FROUND_RNE : round, a, roll(g, 8) ? b : a));
        break;
    }
}

static void gen_call(Gen *g)
{
    IrUnit *u = g->u;
    unsigned helper = roll(g, HELPER_GOES);
    IrTmp arg[4] = { 0 };
    for (unsigned i = 0; i < world_helpers[helper].args; i++)
        arg[i] = operand(g, random_int_type(g));
    IrTmp t = ir_call(u, random_int_type(g), helper, arg[0], arg[1], arg[2], arg[3]);
    if (t)
        take(g, t);
}

static void gen_state(Gen *g)
{
    IrUnit *u = g->u;
    IrType type = random_int_type(g);
    unsigned size = roll(g, type == IR_I32 ? 3 : 4), offset = offsetof(WorldState, scratch) + 8 * roll(g, 8);
    switch (roll(g, 6)) {
    case 5:
        offset = offsetof(WorldState, scratch) + roll(g, 32);
        if (roll(g, 2))
            ir_guard(u, offset, HELPER_REFUSES, (uint32_t)world_random(&g->random));
        else
            ir_mark(u, offset);
        break;
    case 0:
        take(g, ir_ldstate(u, type, offset, size | (roll(g, 2) ? MO_SIGNED : 0)));
        break;
    case 1:
        ir_ststate(u, offset, size, operand(g, type));
        break;
    case 2:
        take(g, ir_getpc(u, roll(g, 2) ? (int64_t)roll(g, 4096) : (int32_t)world_random_int(&g->random)));
        break;
    case 3: /* a plain register move */
        type = roll(g, 2) ? IR_F64 : g->narrow ? IR_I32 : IR_I64;
        ir_setreg(u, random_reg(g, type, true), ir_getreg(u, random_reg(g, type, false)));
        break;
    default:
        type = roll(g, 3) ? random_int_type(g) : IR_F64;
        ir_setreg(u, random_reg(g, type, true), operand(g, type));
        break;
    }
}

static void place_label(Gen *g, int label)
{
    ir_label(g->u, label);
    forget_pool(g);
    ir_insn(g->u, g->pc, 4); /* ways that meet agree on where they are */
}

static void end_loop(Gen *g)
{
    IrUnit *u = g->u;
    IrType type = g->narrow ? IR_I32 : IR_I64;
    IrTmp left = ir_binary_imm(u, OP_sub, type, ir_getreg(u, REG_COUNTER), 1);
    ir_setreg(u, REG_COUNTER, left);
    ir_poll(u, g->pc);
    ir_brcond(u, COND_NE, left, ir_const(u, type, 0), g->loop_label);
    g->loop_label = -1;
}

static void gen_control(Gen *g)
{
    IrUnit *u = g->u;
    IrType type = random_int_type(g);
    IrTmp a, b;
    switch (roll(g, 6)) {
    case 0: /* leave the unit */
        if (roll(g, 3))
            break;
        a = operand(g, type);
        b = operand(g, type);
        ir_brjump(u, (IrCond)roll(g, COND_GTU + 1), a, b,
                  roll(g, 2) ? (int64_t)roll(g, 2048) * 2 : (int64_t)roll(g, 1 << 20) * 2 - (1 << 20));
        break;
    case 1: /* a loop of a few rounds, once at a time */
        if (g->loop_label >= 0) {
            if (g->skip_label < 0)
                end_loop(g);
            break;
        }
        if (g->skip_label >= 0)
            break;
        ir_setreg(u, REG_COUNTER, ir_const(u, g->narrow ? IR_I32 : IR_I64, 1 + roll(g, 4)));
        g->loop_label = ir_new_label(u);
        place_label(g, g->loop_label);
        break;
    case 2:
        if (roll(g, 4) == 0)
            ir_poll(u, g->pc);
        break;
    default: /* skip a part */
        if (g->skip_label >= 0) {
            place_label(g, g->skip_label);
            g->skip_label = -1;
            break;
        }
        g->skip_label = ir_new_label(u);
        if (roll(g, 10) == 0) {
            ir_br(u, g->skip_label);
            place_label(g, ir_new_label(u));
            break;
        }
        if (roll(g, 2)) {
            a = operand(g, type);
            ir_brcond(u, (IrCond)roll(g, COND_GTU + 1), a, operand(g, type), g->skip_label);
        } else {
            a = operand(g, type);
            a = ir_setcond(u, random_int_type(g), (IrCond)roll(g, COND_GTU + 1), a, operand(g, type));
            ir_brcond(u, roll(g, 2) ? COND_NE : COND_EQ, a, ir_const(u, (IrType)u->tmps[a].type, 0), g->skip_label);
        }
        break;
    }
}

static void gen_exit(Gen *g)
{
    IrUnit *u = g->u;
    IrTmp a;
    switch (roll(g, 6)) {
    case 0:
        ir_jump(u, (int64_t)roll(g, 2048) * 2, roll(g, 2));
        break;
    case 1:
        ir_jump(u, (int64_t)roll(g, 1 << 20) * 2 - (1 << 20), roll(g, 2));
        break;
    case 2:
        a = operand(g, g->narrow ? IR_I32 : IR_I64);
        ir_jump_ind(u, ir_binary_imm(u, OP_and, (IrType)u->tmps[a].type, a, -2));
        break;
    case 3:
        ir_call(u, IR_NONE, HELPER_GOES, operand(g, random_int_type(g)), 0, 0, 0);
        ir_lookup(u);
        break;
    case 4:
        ir_jump_ind(u, ir_binary_imm(u, OP_and, IR_I64,
                                     ir_binary_imm(u, OP_add, IR_I64, ir_getpc(u, g->pc), roll(g, 8192)), -2));
        break;
    default:
        ir_exit(u, g->pc, roll(g, 2) ? EXIT_HALT : EXIT_YIELD);
        break;
    }
}

void world_random_unit(IrUnit *u, bool narrow, unsigned limit, uint64_t seed, const uint8_t *skip)
{
    Gen g = { .u = u, .random = seed, .narrow = narrow, .skip_label = -1, .loop_label = -1 };
    unsigned floats = roll(&g, 3), mixture = roll(&g, 4);
    g.reuse = 4 + roll(&g, 6);
    ir_begin(u, world_regs(narrow), world_reg_count(narrow), world_helpers);
    u->counted = seed & 4;
    for (unsigned i = 0; i < limit && !u->overflow; i++) {
        g.random = seed ^ (uint64_t)(i + 1) << 40;
        if (skip && skip[i])
            continue;
        if (roll(&g, 3) == 0 || u->count == 0) {
            ir_insn(u, g.pc, 4);
            g.pc = (g.pc + 4) & 0xffc;
        }
        switch (roll(&g, 16)) {
        case 0:
        case 1:
            mixture == 3 ? gen_integer(&g) : gen_memory(&g);
            break;
        case 2:
            mixture >= 2 ? gen_integer(&g) : gen_call(&g);
            break;
        case 3:
            gen_state(&g);
            break;
        case 4:
        case 5:
            gen_control(&g);
            break;
        case 6:
        case 7:
        case 8:
        case 9:
        case 10:
            floats ? gen_float(&g) : gen_integer(&g);
            break;
        default:
            gen_integer(&g);
            break;
        }
    }
    g.random = ~seed;
    if (g.skip_label >= 0)
        place_label(&g, g.skip_label);
    if (g.loop_label >= 0)
        end_loop(&g);
    gen_exit(&g);
}
