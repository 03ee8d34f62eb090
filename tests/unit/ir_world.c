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

unsigned world_below(uint64_t *state, unsigned limit)
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
    switch (world_below(state, 5)) {
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
        unsigned page = i / 2, way = world_below(r, L2_WAYS);
        L2Line *line = l2_line(w, i & 1, page);
        L2Cold *cold = &w->l2->cold[line - w->l2->lines];
        uint64_t va = WORLD_VA + page * GUEST_PAGE_SIZE, writable = page != PAGE_READ_ONLY && world_below(r, 4);
        memset(line, 0xff, sizeof(*line));
        w->page_flags[page] = world_below(r, 4) ? WORLD_PAGE_WRITABLE : (uint8_t)world_below(r, 8);
        if (page == PAGE_SLOW || world_below(r, 3) == 0)
            continue;
        line->tag[way] = va | w->sets[i & 1]->generation[world_below(r, 2)] | writable;
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
        s->f[i] = world_below(r, 2) ? world_random_float(r, IR_F64)
                                    : UINT64_C(0xffffffff00000000) | world_random_float(r, IR_F32);
    for (unsigned i = 0; i < sizeof(s->scratch); i++)
        s->scratch[i] = i < 32 && world_below(r, 32) ? 0 : (uint8_t)world_random(r); /* the lower half for guards */
    for (unsigned i = 0; i < sizeof(s->v); i += 8) {
        uint64_t value =
            world_below(r, 3) ? world_random_float(r, IR_F64) : world_random_float(r, IR_F32) * 0x100000001;
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
            places[i] +
            (i == REG_BASE_HIGH ? world_below(r, 3) * 32 + world_below(r, 12) / 11 * 3 * GUEST_PAGE_SIZE : 0);
        s->x[i] = s->w[i] = (uint32_t)(WORLD_VA + offset);
    }
    s->cs =
        (CpuState){ .fp_round = (uint8_t)world_below(r, 4),
                    .fp_flags = (uint8_t)world_below(r, 8) ? 0 : 5,
                    .set = w->sets[0],
                    .poll = world_below(r, 16) == 0,
                    .icount = (int32_t)(world_below(r, 4) ? 10000 : world_below(r, 60)),
                    .x87_control = (uint16_t)(0x37f - (world_below(r, 4) << 8 & 0x100) + (world_below(r, 4) << 10)) };
    s->cs.pc = UINT64_C(0x40000000) + world_below(r, 2) * (UINT64_C(0x80000000) + 0x3000);
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
        w->sets[i & 1]->guesses[i >> 1] = (AddendGuess){ world_below(r, 2) ? right : wrong, world_below(r, 3) };
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
