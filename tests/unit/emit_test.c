/*
 * Tests of the x86-64 back end against the interpreter: random units of every IR op, with memory accesses that hit,
 * miss, cross pages and fault, helper calls of all kinds, and little room in registers; then control flow, linking and
 * the room check. RHEA_TEST_UNITS: how many random units (default 20000); RHEA_TEST_SEED: the first seed.
 * SPDX-License-Identifier: MIT
 */
#include "target/target.h"
#include "tcg/emit.h"
#include "tcg/x86-64/regs.h"
#include <sys/mman.h>

/* ---- a guest: 12 integer and 12 floating-point registers, of which 8 are pinned each ---- */

#define REGS 12
typedef struct TestState {
    CpuState cs;
    uint64_t x[REGS];
    uint64_t f[REGS];
    uint32_t w[REGS]; /* the registers of the 32-bit guest */
    uint64_t scratch[4];
    uint64_t calls; /* digest of helper calls and slow accesses */
} TestState;

static GuestReg wide_regs[2 * REGS], narrow_regs[2 * REGS];

static void make_regs(void)
{
    for (unsigned i = 0; i < REGS; i++) {
        unsigned pin = i % 3 == 2 ? 0 : i - i / 3 + 1; /* 8 of 12, mixed */
        wide_regs[i] = (GuestReg){ "x", offsetof(TestState, x) + 8 * i, IR_I64, pin };
        narrow_regs[i] = (GuestReg){ "w", offsetof(TestState, w) + 4 * i, IR_I32, pin };
        wide_regs[REGS + i] = narrow_regs[REGS + i] = (GuestReg){ "f", offsetof(TestState, f) + 8 * i, IR_F64, pin };
    }
}

/* ---- memory: pages 0..7 at MEM_BASE. 0-2 in both TLBs, 3 in the read TLB, 4 and 5 in none, 6 read-only fault, 7 fault
 * ---- */

#define MEM_BASE  0x7fff8000u /* 32-bit addresses with the sign bit among them */
#define MEM_PAGES 8
#define MEM_SIZE  (MEM_PAGES * GUEST_PAGE_SIZE)
#define HANDLER   0x77770

static uint8_t *memory;
static ContextSet *set;

static void clobber_xmm(void)
{
    __asm__ volatile(
        "pcmpeqd %%xmm8, %%xmm8\n pcmpeqd %%xmm9, %%xmm9\n pcmpeqd %%xmm10, %%xmm10\n pcmpeqd %%xmm11, %%xmm11\n"
        "pcmpeqd %%xmm12, %%xmm12\n pcmpeqd %%xmm13, %%xmm13\n pcmpeqd %%xmm14, %%xmm14\n pcmpeqd %%xmm15, %%xmm15\n"
        "pcmpeqd %%xmm0, %%xmm0\n pcmpeqd %%xmm1, %%xmm1\n pcmpeqd %%xmm2, %%xmm2\n pcmpeqd %%xmm3, %%xmm3\n"
        "pcmpeqd %%xmm4, %%xmm4\n pcmpeqd %%xmm5, %%xmm5\n pcmpeqd %%xmm6, %%xmm6\n pcmpeqd %%xmm7, %%xmm7\n" ::
            : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
              "xmm13", "xmm14", "xmm15");
}

static void digest(CpuState *cs, uint64_t v)
{
    TestState *s = (TestState *)cs;
    s->calls = (s->calls ^ v) * 0x9e3779b97f4a7c15 + 1;
}

static uint64_t raise_fault(CpuState *cs, uint64_t va)
{
    digest(cs, cs->pc);
    digest(cs, va);
    cs->pc = HANDLER;
    cs->raised = 1;
    return 0;
}

static bool reachable(uint64_t va, unsigned size, bool write)
{
    return va >= MEM_BASE && va - MEM_BASE <= MEM_SIZE - (write ? 2 : 1) * GUEST_PAGE_SIZE - size;
}

static uint64_t swapped(uint64_t v, unsigned memop)
{
    return memop & MO_BIG_ENDIAN ? __builtin_bswap64(v) >> (64 - 8 * MO_BYTES(memop)) : v;
}

static uint64_t extended(uint64_t v, unsigned memop)
{
    unsigned shift = 64 - 8 * MO_BYTES(memop);
    return memop & MO_SIGNED ? (uint64_t)((int64_t)(v << shift) >> shift) : v << shift >> shift;
}

uint64_t tcg_load(CpuState *cs, uint64_t va, uint32_t memop)
{
    unsigned size = MO_BYTES(memop);
    uint64_t v = 0;
    if (!reachable(va, size, false) || ((memop & MO_ALIGN) && (va & (size - 1))))
        return raise_fault(cs, va);
    memcpy(&v, memory + (va - MEM_BASE), size);
    return extended(swapped(v, memop), memop);
}

void tcg_store(CpuState *cs, uint64_t va, uint64_t value, uint32_t memop)
{
    unsigned size = MO_BYTES(memop);
    if (!reachable(va, size, true) || ((memop & MO_ALIGN) && (va & (size - 1)))) {
        raise_fault(cs, va);
        return;
    }
    value = swapped(value, memop);
    memcpy(memory + (va - MEM_BASE), &value, size);
}

static uint64_t amo_result(uint64_t old, uint64_t value, uint32_t memop, uint32_t kind)
{
    uint64_t a = extended(old, memop & ~MO_SIGNED), b = extended(value, memop & ~MO_SIGNED);
    int64_t sa = extended(old, memop | MO_SIGNED), sb = extended(value, memop | MO_SIGNED);
    switch (kind) {
    case AMO_SWAP:
        return b;
    case AMO_ADD:
        return a + b;
    case AMO_AND:
        return a & b;
    case AMO_OR:
        return a | b;
    case AMO_XOR:
        return a ^ b;
    case AMO_MIN:
        return sa < sb ? a : b;
    case AMO_MAX:
        return sa > sb ? a : b;
    case AMO_MINU:
        return a < b ? a : b;
    default:
        return a > b ? a : b;
    }
}

uint64_t tcg_amo(CpuState *cs, uint64_t va, uint64_t value, uint32_t memop, uint32_t kind)
{
    unsigned size = MO_BYTES(memop);
    if (!reachable(va, size, true) || (va & (size - 1)))
        return raise_fault(cs, va);
    uint64_t old = tcg_load(cs, va, memop);
    tcg_store(cs, va, amo_result(old, value, memop, kind), memop);
    return old;
}

uint64_t tcg_cas(CpuState *cs, uint64_t va, uint64_t expected, uint64_t value, uint32_t memop)
{
    unsigned size = MO_BYTES(memop);
    if (!reachable(va, size, true) || (va & (size - 1)))
        return raise_fault(cs, va);
    uint64_t old = tcg_load(cs, va, memop);
    if (extended(old, memop) == extended(expected, memop))
        tcg_store(cs, va, value, memop);
    return old;
}

static uint64_t slow_load(CpuState *cs, uint64_t va, uint64_t unused, uint64_t memop)
{
    clobber_xmm();
    return tcg_load(cs, va, memop);
}
static void slow_store(CpuState *cs, uint64_t va, uint64_t value, uint64_t memop)
{
    clobber_xmm();
    tcg_store(cs, va, value, memop);
}
static uint64_t slow_amo(CpuState *cs, uint64_t va, uint64_t value, uint64_t memop, uint64_t kind)
{
    clobber_xmm();
    return tcg_amo(cs, va, value, memop, kind);
}
static uint64_t slow_cas(CpuState *cs, uint64_t va, uint64_t expected, uint64_t value, uint64_t memop)
{
    clobber_xmm();
    return tcg_cas(cs, va, expected, value, memop);
}

/* ---- helpers: one for each set of flags ---- */

static uint64_t mix(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    return (a ^ b << 3) + (c ^ d >> 5);
}

static void digest_registers(CpuState *cs)
{
    TestState *s = (TestState *)cs;
    for (unsigned i = 0; i < REGS; i++) {
        digest(cs, s->x[i]);
        digest(cs, s->f[i]);
        digest(cs, s->w[i]);
    }
}

static uint64_t help(CpuState *cs, uint64_t a, uint64_t b, uint64_t c, uint64_t d, unsigned flags)
{
    TestState *s = (TestState *)cs;
    uint64_t v = mix(a, b, c, d);
    clobber_xmm();
    digest(cs, v);
    if (flags & HELPER_READS)
        digest_registers(cs);
    if (flags & HELPER_WRITES) {
        s->x[v % REGS] = v | 1;
        s->w[v % REGS] = v | 1;
        s->f[(v >> 8) % REGS] = v;
    }
    if ((flags & HELPER_RAISES) && (v & 15) == 3)
        return raise_fault(cs, v);
    return v * 5;
}

#define FLAGS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define HELPER(n)                                                                         \
    static uint64_t help##n(CpuState *cs, uint64_t a, uint64_t b, uint64_t c, uint64_t d) \
    {                                                                                     \
        return help(cs, a, b, c, d, n);                                                   \
    }
FLAGS(HELPER)
#define DESC(n) { "help" #n, help##n, 4, true, n },
static const HelperDesc helpers[] = { FLAGS(DESC) };

/* ---- the code cache ---- */

#define CACHE_SIZE (1 << 20)
static uint8_t *cache;
static ptrdiff_t exec_offset;

static void *found; /* what the next look-ups find */
static unsigned lookups;
static void *find_code(CpuState *cs)
{
    clobber_xmm();
    lookups++;
    return found;
}
static const EmitRuntime runtime = { slow_load, slow_store, slow_amo, slow_cas, find_code };

static void make_cache(void)
{
    int fd = memfd_create("code", 0);
    g_assert(fd >= 0 && !ftruncate(fd, CACHE_SIZE));
    cache = mmap(NULL, CACHE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint8_t *exec = mmap(NULL, CACHE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    g_assert(cache != MAP_FAILED && exec != MAP_FAILED);
    exec_offset = exec - cache;
    close(fd);
}

/* ---- random values and units ---- */

static uint64_t seed_state;
static uint64_t rnd(void)
{
    seed_state += 0x9e3779b97f4a7c15;
    uint64_t z = seed_state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}
static unsigned below(unsigned n)
{
    return rnd() % n;
}

static uint64_t rnd_int(void)
{
    static const uint64_t some[] = { 0,          1,
                                     -1,         2,
                                     0x7f,       0x80,
                                     0xff,       0xffff,
                                     INT32_MAX,  (uint64_t)INT32_MIN,
                                     UINT32_MAX, 0x80000000,
                                     INT64_MAX,  (uint64_t)INT64_MIN,
                                     0x100000000 };
    switch (below(4)) {
    case 0:
        return some[below(G_N_ELEMENTS(some))];
    case 1:
        return rnd() >> below(64);
    case 2:
        return (int64_t)rnd() >> below(64);
    default:
        return MEM_BASE + below(MEM_SIZE);
    }
}

static uint64_t rnd_float(void)
{
    static const uint64_t doubles[] = { 0,
                                        1ull << 63,
                                        0x3ff0000000000000,
                                        0xbff0000000000000,
                                        0x7ff0000000000000,
                                        0xfff0000000000000,
                                        0x7ff8000000000000,
                                        0x7ff0000000000001,
                                        0xfff8000000000123,
                                        0x0000000000000001,
                                        0x000fffffffffffff,
                                        0x43e0000000000000,
                                        0xc3e0000000000000,
                                        0x41dfffffffc00000,
                                        0x41efffffffe00000,
                                        0x41f0000000000000,
                                        0x4330000000000001,
                                        0x3fe0000000000000,
                                        0x7fefffffffffffff,
                                        0xc1e0000000200000,
                                        0x43f0000000000000 };
    static const uint32_t floats[] = { 0,          1u << 31,   0x3f800000, 0xbf800000, 0x7f800000, 0xff800000,
                                       0x7fc00000, 0x7f800001, 0x00000001, 0x4f000000, 0x4effffff, 0x4f7fffff,
                                       0x4f800000, 0x5f000000, 0xcf000000, 0x3f000000, 0x7f7fffff };
    switch (below(6)) {
    case 0:
        return doubles[below(G_N_ELEMENTS(doubles))];
    case 1:
        return 0xffffffff00000000 | floats[below(G_N_ELEMENTS(floats))];
    case 2:
        return 0xffffffff00000000 | (0x30000000 + (rnd() & 0x8fffffff));
    case 3:
        return rnd();
    default:
        return (rnd() & 0x800fffffffffffff) | (uint64_t)(1023 - 8 + below(80)) << 52;
    }
}

#define POOL 24
typedef struct Gen {
    IrUnit *u;
    const GuestReg *regs;
    bool narrow;
    IrTmp pool[IR_TYPE_COUNT][POOL];
    unsigned count[IR_TYPE_COUNT];
    int32_t pc;
} Gen;

static void keep(Gen *g, IrType type, IrTmp t)
{
    if (g->count[type] < POOL)
        g->pool[type][g->count[type]++] = t;
    else
        g->pool[type][below(POOL)] = t;
}

static IrTmp pick(Gen *g, IrType type);

static IrTmp read_register(Gen *g, bool fp)
{
    unsigned reg = below(REGS) + (fp ? REGS : 0);
    if (below(8) == 0)
        g->u->reg_value[reg] = 0; /* a second getreg of the same register is fair */
    return ir_getreg(g->u, reg);
}

static IrTmp fresh(Gen *g, IrType type)
{
    IrType own = g->narrow ? IR_I32 : IR_I64;
    switch (type) {
    case IR_I32:
        if (below(3) == 0)
            return ir_const(g->u, IR_I32, rnd_int());
        return own == IR_I32 ? read_register(g, false) : ir_unary(g->u, OP_trunc, IR_I32, pick(g, IR_I64));
    case IR_I64:
        if (below(3) == 0)
            return ir_const(g->u, IR_I64, rnd_int());
        return own == IR_I64 ? read_register(g, false)
                             : ir_ext(g->u, IR_I64, MO_32 | (below(2) ? MO_SIGNED : 0), pick(g, IR_I32));
    case IR_F32:
        return below(3) ? ir_fmove(g->u, OP_funbox, IR_F32, pick(g, IR_F64))
                        : ir_fmove(g->u, OP_fofbits, IR_F32, pick(g, IR_I32));
    default:
        return below(4) ? read_register(g, true) : ir_fmove(g->u, OP_fofbits, IR_F64, pick(g, IR_I64));
    }
}

static IrTmp pick(Gen *g, IrType type)
{
    if (g->count[type] && below(3))
        return g->pool[type][below(g->count[type])];
    IrTmp t = fresh(g, type);
    keep(g, type, t);
    return t;
}

static IrType int_type(void)
{
    return below(3) ? IR_I64 : IR_I32;
}
static IrType fp_type(void)
{
    return below(2) ? IR_F64 : IR_F32;
}

/* An address: mostly near the guest's memory. */
static IrTmp address(Gen *g, int64_t *offset)
{
    IrType type = g->narrow ? IR_I32 : IR_I64;
    *offset = below(2) ? 0 : (int64_t)below(128) - 64;
    if (below(16) == 0)
        return pick(g, type);
    if (below(8) == 0)
        return ir_const(g->u, type, MEM_BASE + below(MEM_SIZE));
    IrTmp t = ir_binary_imm(g->u, OP_and, type, pick(g, type), below(4) ? 0x3ff8 : 0x7fff);
    if (below(3) == 0) {
        *offset = below(4) ? MEM_BASE + 64 : MEM_BASE;
        return t;
    }
    return ir_binary_imm(g->u, OP_add, type, t, MEM_BASE);
}

static IrRound rnd_round(void)
{
    return below(3) ? FROUND_DYN : (IrRound)below(6);
}

static void gen_memory(Gen *g)
{
    int64_t offset;
    IrTmp a = address(g, &offset);
    unsigned flags = (below(6) == 0 ? MO_BIG_ENDIAN : 0) | (below(6) == 0 ? MO_ALIGN : 0) | (below(2) ? MO_SIGNED : 0);
    IrType type = int_type(), fp = fp_type();
    unsigned size = below(type == IR_I32 ? 3 : 4), fp_size = fp == IR_F64 ? MO_64 : MO_32;
    switch (below(8)) {
    case 0:
    case 1:
        keep(g, type, ir_ld(g->u, type, size | flags, a, offset));
        break;
    case 2:
    case 3:
        ir_st(g->u, size | (flags & ~MO_SIGNED), a, offset, pick(g, type));
        break;
    case 4:
        keep(g, fp, ir_ld(g->u, fp, fp_size | (flags & ~MO_SIGNED), a, offset));
        break;
    case 5:
        ir_st(g->u, fp_size | (flags & ~MO_SIGNED), a, offset, pick(g, fp));
        break;
    case 6:
        keep(g, type, ir_amo(g->u, type, size | flags, (IrAmo)below(9), a, pick(g, type)));
        break;
    default:
        keep(g, type, ir_cas(g->u, type, size | flags, a, pick(g, type), pick(g, type)));
        break;
    }
}

static void gen_int(Gen *g)
{
    static const uint8_t binary[] = { OP_add,  OP_sub,  OP_mul,  OP_mulhs, OP_mulhu, OP_mulhsu, OP_divs, OP_divu,
                                      OP_rems, OP_remu, OP_and,  OP_or,    OP_xor,   OP_andc,   OP_shl,  OP_shr,
                                      OP_sar,  OP_rotl, OP_rotr, OP_add,   OP_sub,   OP_and,    OP_shl };
    static const uint8_t unary[] = { OP_clz, OP_ctz, OP_popcnt, OP_bswap };
    IrType type = int_type(), other = int_type();
    IrTmp a = pick(g, type);
    switch (below(9)) {
    case 0:
        keep(g, type, ir_unary(g->u, (IrOp)unary[below(4)], type, a));
        break;
    case 1:
        keep(g, type, ir_ext(g->u, type, below(3) | (below(2) ? MO_SIGNED : 0), pick(g, other)));
        break;
    case 2:
        keep(g, other, ir_setcond(g->u, other, (IrCond)below(10), a, pick(g, type)));
        break;
    case 3:
        keep(g, other, ir_select(g->u, other, (IrCond)below(10), a, pick(g, type), pick(g, other), pick(g, other)));
        break;
    case 4:
        keep(g, type, ir_binary_imm(g->u, (IrOp)binary[below(sizeof binary)], type, a, rnd_int()));
        break;
    case 5:
        keep(g, IR_I64, ir_getpc(g->u, (int64_t)below(100000) - 50000));
        break;
    default:
        keep(g, type, ir_binary(g->u, (IrOp)binary[below(sizeof binary)], type, a, pick(g, type)));
        break;
    }
}

static void gen_fp(Gen *g)
{
    static const uint8_t binary[] = { OP_fadd, OP_fsub, OP_fmul, OP_fdiv };
    IrType type = fp_type(), other = fp_type(), integer = int_type();
    IrTmp a = pick(g, type);
    switch (below(12)) {
    case 0:
    case 1:
        keep(g, type, ir_fp(g->u, (IrOp)binary[below(4)], type, rnd_round(), a, pick(g, type)));
        break;
    case 2:
        keep(g, type, ir_fp(g->u, OP_fsqrt, type, rnd_round(), a, 0));
        break;
    case 3:
        keep(g, type, ir_fma(g->u, type, rnd_round(), below(4), a, pick(g, type), pick(g, type)));
        break;
    case 4:
        keep(g, type, ir_fp(g->u, below(2) ? OP_fmin : OP_fmax, type, FROUND_DYN, a, pick(g, type)));
        break;
    case 5:
        keep(g, integer, ir_fcmp(g->u, integer, (IrFcmp)below(3), a, pick(g, type)));
        break;
    case 6:
        other = type == IR_F64 ? IR_F32 : IR_F64;
        keep(g, other, ir_fp(g->u, OP_fcvt, other, rnd_round(), a, 0));
        break;
    case 7:
        keep(g, integer, ir_fftoi(g->u, integer, below(2), rnd_round(), a));
        break;
    case 8:
        keep(g, type, ir_fitof(g->u, type, below(2), rnd_round(), pick(g, integer)));
        break;
    case 9:
        integer = type == IR_F64 ? IR_I64 : IR_I32;
        keep(g, integer, ir_fmove(g->u, OP_fbits, integer, a));
        break;
    case 10:
        keep(g, IR_F64, ir_fmove(g->u, OP_fbox, IR_F64, pick(g, IR_F32)));
        break;
    default:
        keep(g, type, ir_fsgn(g->u, type, below(3), a, below(3) ? pick(g, type) : a));
        break;
    }
}

static void gen_call(Gen *g)
{
    IrTmp arg[4] = { 0 };
    IrType type = int_type();
    for (unsigned k = 0; k < 4; k++) /* all: what is not passed is undefined */
        arg[k] = pick(g, int_type());
    keep(g, type, ir_call(g->u, type, below(16), arg[0], arg[1], arg[2], arg[3]));
}

static void gen_state(Gen *g)
{
    IrType type = int_type();
    unsigned size = below(type == IR_I32 ? 3 : 4);
    uint32_t offset = offsetof(TestState, scratch) + 8 * below(4);
    if (below(2))
        keep(g, type, ir_ldstate(g->u, type, offset, size | (below(2) ? MO_SIGNED : 0)));
    else
        ir_ststate(g->u, offset, size, pick(g, type));
}

static void gen_setreg(Gen *g)
{
    if (below(4) == 0)
        ir_setreg(g->u, REGS + below(REGS), pick(g, IR_F64));
    else
        ir_setreg(g->u, below(REGS), pick(g, g->narrow ? IR_I32 : IR_I64));
}

static void gen_segment(Gen *g, unsigned length, bool with_fp, int label)
{
    memset(g->count, 0, sizeof g->count);
    for (unsigned i = 0; i < length; i++) {
        if (below(3) == 0)
            ir_insn(g->u, g->pc = (g->pc + 2) & 4094, 2);
        switch (below(16)) {
        case 0:
        case 1:
            gen_memory(g);
            break;
        case 2:
        case 3:
        case 4:
        case 5:
            gen_setreg(g);
            break;
        case 6:
            if (below(3) == 0)
                gen_call(g);
            else
                gen_int(g);
            break;
        case 7:
            gen_state(g);
            break;
        case 8:
            if (label >= 0 && below(3) == 0) {
                IrType type = int_type();
                ir_brcond(g->u, (IrCond)below(10), pick(g, type), pick(g, type), label);
            } else if (below(6) == 0) {
                IrType type = int_type();
                ir_brjump(g->u, (IrCond)below(10), pick(g, type), pick(g, type),
                          below(2) ? (int)below(4096) : (int)below(1 << 20) - (1 << 19));
            }
            break;
        case 9:
        case 10:
        case 11:
            if (with_fp) {
                gen_fp(g);
                break;
            } /* fall through */
        default:
            gen_int(g);
            break;
        }
        if (below(40) == 0)
            ir_fence(g->u, below(16));
    }
}

static void gen_unit(Gen *g)
{
    unsigned segments = 1 + below(3);
    ir_begin(g->u, g->regs, 2 * REGS, helpers);
    g->pc = below(2048) * 2;
    ir_insn(g->u, g->pc, 4);
    bool with_fp = below(2);
    for (unsigned s = 0; s < segments; s++) {
        int label = s + 1 < segments ? ir_new_label(g->u) : -1;
        gen_segment(g, 3 + below(30), with_fp, label);
        if (label >= 0) {
            ir_label(g->u, label);
            ir_insn(g->u, g->pc = (g->pc + 2) & 4094, 2);
        }
    }
    memset(g->count, 0, sizeof g->count);
    switch (below(5)) {
    case 0:
        ir_jump(g->u, below(4096), below(2));
        break;
    case 1:
        ir_jump(g->u, (int64_t)below(1 << 24) - (1 << 23), below(2));
        break;
    case 2: { /* never odd: see JUMP_EMPTY */
        IrType type = g->narrow ? IR_I32 : IR_I64;
        ir_jump_ind(g->u, ir_binary_imm(g->u, OP_and, type, pick(g, type), -2));
        break;
    }
    case 3: /* a helper would have set it */
        ir_ststate(g->u, offsetof(CpuState, pc), MO_64, ir_const(g->u, IR_I64, 0x123456));
        ir_lookup(g->u);
        break;
    default:
        ir_exit(g->u, below(5000), (IrExit)(EXIT_HALT + below(3)));
        break;
    }
}

/* ---- running ---- */

static void fill_state(TestState *s, bool narrow)
{
    memset(s, 0, sizeof *s);
    s->cs.set = set;
    s->cs.pc_base = narrow ? 0x12345000 : 0x812345000;
    s->cs.pc = s->cs.pc_base;
    s->cs.fp_round = below(4);
    for (unsigned i = 0; i < REGS; i++) {
        s->x[i] = rnd_int();
        s->w[i] = rnd_int();
        s->f[i] = rnd_float();
    }
    for (unsigned i = 0; i < 4; i++)
        s->scratch[i] = rnd();
}

static void fill_tlb(void)
{
    memset(set->read, 0xff, sizeof set->read);
    memset(set->write, 0xff, sizeof set->write);
    memset(set->jumps, 0xff, sizeof set->jumps);
    for (unsigned p = 0; p < 4; p++) {
        uint64_t va = MEM_BASE + p * GUEST_PAGE_SIZE;
        TlbEntry entry = { va, (uint64_t)(uintptr_t)memory - MEM_BASE };
        set->read[va / GUEST_PAGE_SIZE % TLB_SIZE] = entry;
        if (p < 3)
            set->write[va / GUEST_PAGE_SIZE % TLB_SIZE] = entry;
    }
}

static void report(const Gen *g, uint64_t seed, const char *what, const TestState *a, const TestState *b,
                   const uint8_t *code, uint32_t size)
{
    g_autofree char *text = ir_dump(g->u);
    g_printerr("%s\nseed %" G_GUINT64_FORMAT ": %s differs\n", text, seed, what);
    for (unsigned i = 0; i < sizeof *a / 8; i++) {
        uint64_t x = ((const uint64_t *)a)[i], y = ((const uint64_t *)b)[i];
        if (x != y)
            g_printerr("  state + %u (x at %zu, f at %zu, w at %zu): interpreter %016" G_GINT64_MODIFIER
                       "x, host %016" G_GINT64_MODIFIER "x\n",
                       8 * i, offsetof(TestState, x), offsetof(TestState, f), offsetof(TestState, w), x, y);
    }
    if (g_getenv("RHEA_TEST_CODE")) /* a file for a disassembler */
        g_file_set_contents(g_getenv("RHEA_TEST_CODE"), (const char *)code, size, NULL);
    g_test_fail();
}

/* One random unit by both executors. */
static bool compare_one(Gen *g, const EmitThunks *thunks, uint64_t seed)
{
    static uint8_t before[MEM_SIZE], after[MEM_SIZE];
    TestState start, a, b;
    EmitResult out;

    seed_state = seed;
    g->narrow = below(4) == 0;
    g->regs = g->narrow ? narrow_regs : wide_regs;
    gen_unit(g);
    if (g->u->overflow)
        return true;
    ir_optimise(g->u);
    fill_state(&start, g->narrow);
    for (unsigned i = 0; i < MEM_SIZE; i++)
        before[i] = i % 64 == 0 ? rnd() : before[i & ~63u] + 37 * i;

    memcpy(memory, before, MEM_SIZE);
    a = start;
    IrExit why_a = ir_interpret(g->u, &a.cs);
    memcpy(after, memory, MEM_SIZE);

    uint8_t *code = cache + thunks->size;
    emit_unit(g->u, 7, code, CACHE_SIZE - thunks->size, exec_offset, thunks, &out);
    if (!out.size)
        return true; /* too large: more exits than there may be */
    memcpy(memory, before, MEM_SIZE);
    b = start;
    uint64_t why_b = thunks->enter(&b.cs, code + exec_offset);
    if ((why_b & 255) == EXIT_CHAIN) {
        g_assert_cmpuint(why_b >> 8, >=, 7 * EMIT_MAX_EXITS);
        g_assert_cmpuint(why_b >> 8, <, 7 * EMIT_MAX_EXITS + out.exit_count);
        why_b = EXIT_LOOKUP;
    }
    b.cs.pc_base = a.cs.pc_base;
    if (memcmp(&a, &b, sizeof a) || why_a != (why_b & 255) || memcmp(after, memory, MEM_SIZE)) {
        report(g, seed,
               why_a != (why_b & 255)            ? "exit"
               : memcmp(after, memory, MEM_SIZE) ? "memory"
                                                 : "state",
               &a, &b, code, out.size);
        return false;
    }
    return true;
}

static unsigned test_number(const char *variable, unsigned otherwise)
{
    const char *text = g_getenv(variable);
    return text ? (unsigned)g_ascii_strtoull(text, NULL, 0) : otherwise;
}

static void test_random(gconstpointer features)
{
    EmitThunks wide, narrow;
    Gen g = { .u = ir_unit_new() };
    HostFeatures host = host_features;
    unsigned units = test_number("RHEA_TEST_UNITS", 20000), first = test_number("RHEA_TEST_SEED", 1);

    fill_tlb();
    g_assert_true(emit_thunks(&runtime, wide_regs, 2 * REGS, cache, CACHE_SIZE, exec_offset, &wide));
    if (features)
        host_features = *(const HostFeatures *)features;
    for (unsigned i = 0; i < units && !g_test_failed(); i++) {
        /* the thunks know the register table */
        seed_state = first + i;
        bool is_narrow = below(4) == 0;
        if (is_narrow)
            emit_thunks(&runtime, narrow_regs, 2 * REGS, cache, CACHE_SIZE, exec_offset, &narrow);
        compare_one(&g, is_narrow ? &narrow : &wide, first + i);
        if (is_narrow)
            emit_thunks(&runtime, wide_regs, 2 * REGS, cache, CACHE_SIZE, exec_offset, &wide);
    }
    host_features = host;
    ir_unit_free(g.u);
}

/* ---- control flow ---- */

typedef struct Fixture {
    EmitThunks thunks;
    IrUnit *u;
    TestState s;
    uint8_t *next; /* free room in the cache */
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    fill_tlb();
    g_assert_true(emit_thunks(&runtime, wide_regs, 2 * REGS, cache, CACHE_SIZE, exec_offset, &f->thunks));
    f->u = ir_unit_new();
    f->next = cache + f->thunks.size;
    seed_state = 1;
    fill_state(&f->s, false);
    found = NULL;
    lookups = 0;
}

static void tear_down(Fixture *f, gconstpointer data)
{
    ir_unit_free(f->u);
}

static void begin(Fixture *f)
{
    ir_begin(f->u, wide_regs, 2 * REGS, helpers);
    ir_insn(f->u, 0x10, 4);
}

/* Emit what was built; returns its writable address. */
static uint8_t *finish(Fixture *f, uint32_t id, EmitResult *out)
{
    uint8_t *code = f->next;
    ir_optimise(f->u);
    emit_unit(f->u, id, code, cache + CACHE_SIZE - code, exec_offset, &f->thunks, out);
    g_assert_cmpuint(out->size, >, 0);
    f->next += (out->size + 15) & ~15u;
    return code;
}

static uint64_t run(Fixture *f, const uint8_t *code)
{
    return f->thunks.enter(&f->s.cs, (void *)(uintptr_t)(code + exec_offset));
}

static void add_to_register(IrUnit *u, unsigned reg, int64_t n)
{
    ir_setreg(u, reg, ir_binary_imm(u, OP_add, IR_I64, ir_getreg(u, reg), n));
}

static void test_loop(Fixture *f, gconstpointer data)
{
    EmitResult out;
    begin(f);
    int loop = ir_new_label(f->u);
    ir_label(f->u, loop);
    add_to_register(f->u, 0, 1);
    add_to_register(f->u, 2, 3); /* one that is not pinned */
    ir_poll(f->u, 0x22);
    ir_brcond(f->u, COND_LTU, ir_getreg(f->u, 0), ir_const(f->u, IR_I64, 1000), loop);
    ir_exit(f->u, 0x24, EXIT_HALT);
    const uint8_t *code = finish(f, 1, &out);

    f->s.x[0] = f->s.x[2] = 0;
    g_assert_cmpuint(run(f, code), ==, EXIT_HALT);
    g_assert_cmpuint(f->s.x[0], ==, 1000);
    g_assert_cmpuint(f->s.x[2], ==, 3000);
    g_assert_cmphex(f->s.cs.pc, ==, f->s.cs.pc_base + 0x24);
    f->s.cs.poll = 1;
    f->s.cs.pc = f->s.cs.pc_base;
    g_assert_cmpuint(run(f, code), ==, EXIT_POLL);
    g_assert_cmpuint(f->s.x[0], ==, 1001);
    g_assert_cmphex(f->s.cs.pc, ==, f->s.cs.pc_base + 0x22);
}

/* Two units that jump to each other: by way of C until they are linked, and again after they are unlinked. */
static void test_link(Fixture *f, gconstpointer data)
{
    EmitResult a_out, b_out;
    begin(f);
    add_to_register(f->u, 0, 1);
    ir_jump(f->u, 0x100, true);
    uint8_t *a = finish(f, 5, &a_out);
    begin(f);
    add_to_register(f->u, 1, 1);
    ir_brjump(f->u, COND_LTU, ir_getreg(f->u, 0), ir_const(f->u, IR_I64, 50), 0x10);
    ir_exit(f->u, 0x200, EXIT_HALT);
    uint8_t *b = finish(f, 200000000, &b_out);

    g_assert_cmpuint(a_out.exit_count, ==, 1);
    g_assert_cmpuint(b_out.exit_count, ==, 1);
    g_assert_cmpint(a_out.exits[0].target, ==, 0x100);
    g_assert_cmpint(b_out.exits[0].target, ==, 0x10);
    g_assert_cmpuint((uintptr_t)(a + a_out.exits[0].jump) % 4, ==, 0);
    g_assert_cmpuint((uintptr_t)(b + b_out.exits[0].jump) % 4, ==, 0);
    f->s.x[0] = f->s.x[1] = 0;
    g_assert_cmphex(run(f, a), ==, EXIT_CHAIN | 5 * EMIT_MAX_EXITS << 8);
    g_assert_cmphex(f->s.cs.pc, ==, f->s.cs.pc_base + 0x100);
    g_assert_cmphex(run(f, b), ==, EXIT_CHAIN | 200000000ull * EMIT_MAX_EXITS << 8);
    emit_link(a, exec_offset, &a_out.exits[0], b + exec_offset);
    emit_link(b, exec_offset, &b_out.exits[0], a + exec_offset);
    f->s.cs.pc = f->s.cs.pc_base;
    g_assert_cmpuint(run(f, a), ==, EXIT_HALT);
    g_assert_cmpuint(f->s.x[0], ==, 50);
    g_assert_cmpuint(f->s.x[1], ==, 50);
    f->s.cs.poll = 1;
    g_assert_cmpuint(run(f, a), ==, EXIT_POLL);
    f->s.cs.poll = 0;
    emit_link(b, exec_offset, &b_out.exits[0], b + b_out.exits[0].stub + exec_offset);
    f->s.x[0] = 0;
    g_assert_cmpuint(run(f, a) & 255, ==, EXIT_CHAIN);
    g_assert_cmpuint(f->s.x[0], ==, 1);
}

static void cache_jump(uint64_t pc, const uint8_t *code)
{
    set->jumps[(pc >> 1) % JUMP_CACHE_SIZE] = (JumpCacheEntry){ pc, (void *)(uintptr_t)(code + exec_offset) };
}

/* Ways to another page: the jump cache, look-up in C, poll. */
static void test_other_page(Fixture *f, gconstpointer data)
{
    const uint64_t there = 0x9123456abc000;
    EmitResult out;
    begin(f);
    ir_setreg(f->u, 3, ir_getpc(f->u, 0));
    ir_exit(f->u, 0, EXIT_HALT);
    const uint8_t *target = finish(f, 1, &out);
    begin(f);
    ir_jump_ind(f->u, ir_getreg(f->u, 0));
    const uint8_t *indirect = finish(f, 2, &out);
    begin(f);
    ir_brjump(f->u, COND_EQ, ir_getreg(f->u, 0), ir_const(f->u, IR_I64, 0), 0x5678);
    ir_jump(f->u, -0x12344, true);
    const uint8_t *direct = finish(f, 3, &out);
    begin(f);
    ir_lookup(f->u);
    const uint8_t *lookup = finish(f, 4, &out);
    uint64_t base = f->s.cs.pc_base;

    f->s.x[0] = there + 0x46;
    g_assert_cmpuint(run(f, indirect), ==, EXIT_LOOKUP);
    g_assert_cmphex(f->s.cs.pc, ==, there + 0x46);
    g_assert_cmpuint(lookups, ==, 1);
    found = (void *)(uintptr_t)(target + exec_offset);
    g_assert_cmpuint(run(f, indirect), ==, EXIT_HALT);
    g_assert_cmphex(f->s.x[3], ==, there);
    found = NULL;
    cache_jump(there + 0x46, target);
    lookups = 0;
    f->s.cs.pc = base;
    g_assert_cmpuint(run(f, indirect), ==, EXIT_HALT);
    g_assert_cmphex(f->s.x[3], ==, there);
    f->s.cs.pc = there + 0x46;
    g_assert_cmpuint(run(f, lookup), ==, EXIT_HALT);
    g_assert_cmpuint(lookups, ==, 0);
    f->s.cs.poll = 1;
    g_assert_cmpuint(run(f, indirect), ==, EXIT_POLL);
    g_assert_cmphex(f->s.cs.pc, ==, there + 0x46);

    f->s.cs.pc = base;
    g_assert_cmpuint(run(f, direct), ==, EXIT_POLL);
    g_assert_cmphex(f->s.cs.pc, ==, base - 0x12344);
    f->s.cs.poll = 0;
    f->s.cs.pc = base;
    g_assert_cmpuint(run(f, direct), ==, EXIT_LOOKUP);
    g_assert_cmphex(f->s.cs.pc, ==, base - 0x12344);
    cache_jump(base - 0x12344, target);
    f->s.cs.pc = base;
    g_assert_cmpuint(run(f, direct), ==, EXIT_HALT);
    g_assert_cmphex(f->s.x[3], ==, base - 0x13000);
    f->s.x[0] = 0;
    f->s.cs.pc = base;
    g_assert_cmpuint(run(f, direct), ==, EXIT_LOOKUP);
    g_assert_cmphex(f->s.cs.pc, ==, base + 0x5678);
}

/* However little room there is: nothing is written beyond it, and either the unit is whole or its size is 0. */
static void test_room(Fixture *f, gconstpointer data)
{
    Gen g = { .u = f->u, .regs = wide_regs };
    EmitResult whole, out;
    for (unsigned i = 0; i < 30; i++) {
        seed_state = i;
        gen_unit(&g);
        ir_optimise(g.u);
        emit_unit(g.u, 0, f->next, 100000, exec_offset, &f->thunks, &whole);
        for (uint32_t room = 0; room < whole.size + 100; room += 1 + room / 64) {
            memset(f->next, 0xcc, whole.size + 500);
            emit_unit(g.u, 0, f->next, room, exec_offset, &f->thunks, &out);
            g_assert_true(out.size == 0 || out.size == whole.size);
            g_assert_cmpuint(out.size, <=, room);
            for (uint32_t k = room; k < whole.size + 500; k++)
                g_assert_cmphex(f->next[k], ==, 0xcc);
        }
    }
}

/* More values at a time than there are registers and slots for: refused. As many as there are slots for: right. */
static void test_pressure(Fixture *f, gconstpointer data)
{
    for (unsigned live = 10; live <= 100; live += 10) {
        IrTmp t[100] = { 0 };
        EmitResult out;
        uint64_t sum = 0;
        begin(f);
        for (unsigned i = 0; i < live; i++) /* not foldable, all live to the end */
            t[i] = ir_binary_imm(f->u, OP_xor, IR_I64, ir_ldstate(f->u, IR_I64, offsetof(TestState, scratch), MO_64),
                                 i * 77);
        IrTmp all = t[0];
        for (unsigned i = 1; i < live; i++)
            all = ir_binary(f->u, OP_add, IR_I64, ir_binary_imm(f->u, OP_mul, IR_I64, all, 3), t[i]);
        ir_setreg(f->u, 2, all);
        ir_exit(f->u, 0, EXIT_HALT);
        ir_optimise(f->u);
        emit_unit(f->u, 0, f->next, 100000, exec_offset, &f->thunks, &out);
        if (!out.size) {
            g_assert_cmpuint(live, >, 64);
            continue;
        }
        for (unsigned i = 0; i < live; i++)
            sum = sum * 3 + (f->s.scratch[0] ^ i * 77);
        g_assert_cmpuint(run(f, f->next), ==, EXIT_HALT);
        g_assert_cmphex(f->s.x[2], ==, sum);
    }
}

int main(int argc, char **argv)
{
    static const HostFeatures least = { 0 }, vectors = { .avx = true, .fma = true };
    g_test_init(&argc, &argv, NULL);
    if (!emit_available())
        return 77; /* skipped */
    make_regs();
    make_cache();
    memory = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    set = g_new0(ContextSet, 1);
    g_test_add_data_func("/emit/random", NULL, test_random);
    g_test_add_data_func("/emit/random-plain", &least, test_random);
    g_test_add_data_func("/emit/random-avx", &vectors, test_random);
    g_test_add("/emit/loop", Fixture, NULL, set_up, test_loop, tear_down);
    g_test_add("/emit/link", Fixture, NULL, set_up, test_link, tear_down);
    g_test_add("/emit/other-page", Fixture, NULL, set_up, test_other_page, tear_down);
    g_test_add("/emit/room", Fixture, NULL, set_up, test_room, tear_down);
    g_test_add("/emit/pressure", Fixture, NULL, set_up, test_pressure, tear_down);
    return g_test_run();
}
