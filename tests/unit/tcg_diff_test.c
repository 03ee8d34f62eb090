/*
 * The x86-64 back end against the interpreter: random units (ir_world.h) run by both on equal states; registers,
 * memory, pc, faults and floating-point flags must agree. The interpreter runs the unit as built, the back end after
 * ir_optimise.
 *
 * A failure prints the seed and the shortest unit that shows it. TCG_DIFF_SEED and TCG_DIFF_COUNT (environment) choose
 * the first seed and how many; a long run before a release: TCG_DIFF_COUNT=1000000.
 * SPDX-License-Identifier: MIT
 */
#include "ir_world.h"
#include "tcg/emit.h"
#include "tcg/ir_host.h"
#include "tcg/x86-64/regs.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CACHE_SIZE = 1 << 20, STATES = 4 };

static struct Cache {
    uint8_t *buf;
    ptrdiff_t exec_offset;
    EmitThunks thunks;
    bool narrow, ready;
} cache;
static World *start, *interpreted, *compiled;
static char doing[200];

/* ---- run-time functions of generated code ---- */

static uint64_t slow_load(CpuState *cs, uint64_t va, uint64_t unused, uint64_t memop)
{
    return tcg_load(cs, va, (uint32_t)memop);
}

static void slow_store(CpuState *cs, uint64_t va, uint64_t value, uint64_t memop)
{
    tcg_store(cs, va, value, (uint32_t)memop);
}

static uint64_t slow_amo(CpuState *cs, uint64_t va, uint64_t value, uint64_t memop, uint64_t kind)
{
    return tcg_amo(cs, va, value, (uint32_t)memop, (uint32_t)kind);
}

static uint64_t slow_cas(CpuState *cs, uint64_t va, uint64_t expected, uint64_t value, uint64_t memop)
{
    return tcg_cas(cs, va, expected, value, (uint32_t)memop);
}

static void *find_nothing(CpuState *cs)
{
    return NULL;
}

static EmitRuntime runtime = { slow_load,
                               slow_store,
                               slow_amo,
                               slow_cas,
                               find_nothing,
                               tcg_load_vector,
                               tcg_store_vector,
                               .parallel = true,
                               .counted = true,
                               .page_flags = WORLD_PAGE_FLAGS,
                               .writable = WORLD_PAGE_WRITABLE };

static void cache_open(void)
{
    int fd = memfd_create("code", 0);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, CACHE_SIZE), ==, 0);
    cache.buf = mmap(NULL, CACHE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint8_t *exec = mmap(NULL, CACHE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    g_assert_true(cache.buf != MAP_FAILED && exec != MAP_FAILED);
    cache.exec_offset = exec - cache.buf;
    close(fd);
}

/* Thunks for this kind of world. */
static void cache_prepare(bool narrow)
{
    if (cache.ready && cache.narrow == narrow)
        return;
    g_assert_true(emit_thunks(&runtime, world_regs(narrow), world_reg_count(narrow), cache.buf, CACHE_SIZE,
                              cache.exec_offset, &cache.thunks));
    cache.narrow = narrow;
    cache.ready = true;
}

/* Why control came back, as far as both executors must agree: a jump may poll, be unlinked, or miss. */
static unsigned plain_exit(uint64_t why)
{
    why &= 0xff;
    return why == EXIT_POLL || why == EXIT_CHAIN ? EXIT_LOOKUP : (unsigned)why;
}

/* ---- one unit ---- */

/* What differs, or NULL. u is freed, *built is it as it was. */
static char *run_unit(IrUnit *u, bool narrow, uint64_t seed, IrUnit **built)
{
    char *difference = NULL;
    g_assert_false(u->overflow);
    if (u->counted)
        ir_count_insns(u);
    *built = ir_unit_copy(u);
    g_autofree char *invalid = ir_verify(u);
    if (invalid) {
        ir_unit_free(u);
        return g_strdup_printf("the built unit: %s", invalid);
    }
    ir_optimise(u);
    ir_mark_recurrent(u);
    ir_group_accesses(u);
    ir_find_loops(u);
    ir_find_streams(u);
    if (!u->counted)
        ir_defer_writes(u);
    for (unsigned i = 0; i < u->count && seed & 2; i++) /* the mark changes nothing but speed: any load may have it */
        u->insns[i].flags |= u->insns[i].op == OP_ld ? IR_LD_RECURRENT : 0;
    invalid = ir_verify(u);
    if (invalid) {
        ir_unit_free(u);
        return g_strdup_printf("the optimised unit: %s", invalid);
    }

    cache_prepare(narrow);
    uint32_t offset = (cache.thunks.size + 15 + (seed % 5) * 4) & ~3u;
    EmitResult result;
    emit_unit(u, 7, cache.buf + offset, CACHE_SIZE - offset, cache.exec_offset, &cache.thunks, &result);
    for (unsigned i = 0; i < STATES && !difference; i++) {
        if (!result.size) {
            difference = g_strdup("no code was made");
            break;
        }
        world_randomise(start, narrow, i & 1, seed * STATES + i);
        world_copy(interpreted, start);
        world_copy(compiled, start);
        IrExit why = ir_interpret(*built, &interpreted->state.cs);
        interpreted->state.cs.raised = 0;
        uint64_t got = cache.thunks.enter(&compiled->state.cs, cache.buf + offset + cache.exec_offset);
        difference = world_difference(interpreted, compiled, narrow);
        if (difference && g_getenv("TCG_DIFF_CODE"))
            g_file_set_contents(g_getenv("TCG_DIFF_CODE"), (const char *)cache.buf + offset, result.size, NULL);
        if (!difference && plain_exit(why) != plain_exit(got))
            difference = g_strdup_printf("exit %u / %u", plain_exit(why), plain_exit(got));
    }
    ir_unit_free(u);
    return difference;
}

static char *run_seed(uint64_t seed, unsigned limit, const uint8_t *skip, IrUnit **built)
{
    IrUnit *u = ir_unit_new();
    world_random_unit(u, seed % 3 == 0, limit, seed, skip);
    return run_unit(u, seed % 3 == 0, seed, built);
}

static void check_seed(uint64_t seed)
{
    unsigned limit = 4 + (unsigned)(seed * 7 % 120);
    IrUnit *u;
    snprintf(doing, sizeof(doing), "crash at TCG_DIFF_SEED=%" G_GUINT64_FORMAT "\n", seed);
    g_autofree char *difference = run_seed(seed, limit, NULL, &u);
    g_autofree uint8_t *skip = g_malloc0(limit);
    bool less = difference != NULL;
    while (less) { /* leave out what is not needed for it to fail */
        less = false;
        for (unsigned i = 0; i < limit; i++) {
            IrUnit *smaller;
            if (skip[i])
                continue;
            skip[i] = 1;
            char *still = run_seed(seed, limit, skip, &smaller);
            if (still) {
                g_free(difference);
                ir_unit_free(u);
                difference = still;
                u = smaller;
                less = true;
            } else {
                ir_unit_free(smaller);
                skip[i] = 0;
            }
        }
    }
    if (difference) {
        g_autofree char *text = ir_dump(u);
        ir_optimise(u);
        g_autofree char *optimised = ir_dump(u);
        g_error("TCG_DIFF_SEED=%" G_GUINT64_FORMAT ": interpreter / back end:%s\n%s\noptimised:\n%s", seed, difference,
                text, optimised);
    }
    ir_unit_free(u);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = g_getenv(name);
    return text ? g_ascii_strtoull(text, NULL, 0) : otherwise;
}

static void on_crash(int signal_number)
{
    if (write(STDERR_FILENO, doing, strlen(doing)) < 0)
        _exit(2);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* ---- every operation on every pair or triple of special operands ---- */

/* Compile u and run it by both executors on what is in start. False if they differ: *text says how. */
static bool agree_on(const IrUnit *raw, const EmitResult *code, uint32_t offset, char **text)
{
    interpreted->state = compiled->state = start->state;
    interpreted->state.cs.set = interpreted->sets[0];
    compiled->state.cs.set = compiled->sets[0];
    ir_interpret(raw, &interpreted->state.cs);
    cache.thunks.enter(&compiled->state.cs, cache.buf + offset + cache.exec_offset);
    *text = world_difference(interpreted, compiled, false);
    return !*text;
}

static uint32_t compile(IrUnit *u, IrUnit **raw, EmitResult *result)
{
    uint32_t offset = (cache.thunks.size + 63) & ~63u;
    g_autofree char *invalid = ir_verify(u);
    g_assert_cmpstr(invalid, ==, NULL);
    *raw = ir_unit_copy(u);
    ir_optimise(u);
    ir_mark_recurrent(u);
    ir_group_accesses(u);
    ir_find_loops(u);
    ir_find_streams(u);
    if (!u->counted)
        ir_defer_writes(u);
    emit_unit(u, 1, cache.buf + offset, CACHE_SIZE - offset, cache.exec_offset, &cache.thunks, result);
    g_assert_cmpuint(result->size, >, 0);
    return offset;
}

static void begin(IrUnit *u)
{
    ir_begin(u, world_regs(false), world_reg_count(false), world_helpers);
    ir_insn(u, 0, 4);
}

static void fail_unit(const IrUnit *raw, const char *difference, uint64_t a, uint64_t b, uint64_t c)
{
    g_autofree char *text = ir_dump(raw);
    g_error("operands %" G_GINT64_MODIFIER "x %" G_GINT64_MODIFIER "x %" G_GINT64_MODIFIER
            "x: interpreter / back end:%s\n%s",
            a, b, c, difference, text);
}

static const uint64_t floats64[] = {
    0,
    1,
    2,
    0x000fffffffffffff,
    0x0010000000000000,
    0x0010000000000001,
    0x3ca0000000000000,
    0x3cb0000000000000,
    0x3fe0000000000000,
    0x3fefffffffffffff,
    0x3ff0000000000000,
    0x3ff0000000000001,
    0x3ff8000000000000,
    0x4004000000000000,
    0x41dfffffffc00000,
    0x41e0000000000000,
    0x41efffffffe00000,
    0x41f0000000000000,
    0x43dfffffffffffff,
    0x43e0000000000000,
    0x43efffffffffffff,
    0x43f0000000000000,
    0x7fe0000000000000,
    0x7fefffffffffffff,
    0x7ff0000000000000,
    0x7ff8000000000000,
    0x7ff8000000000123,
    0x7ff4000000000000,
};
static const uint32_t floats32[] = {
    0,          1,          2,          0x007fffff, 0x00800000, 0x00800001, 0x33000000,
    0x33800000, 0x3f000000, 0x3f7fffff, 0x3f800000, 0x3f800001, 0x3fc00000, 0x40200000,
    0x4effffff, 0x4f000000, 0x4f7fffff, 0x4f800000, 0x5effffff, 0x5f000000, 0x5f7fffff,
    0x5f800000, 0x7f000000, 0x7f7fffff, 0x7f800000, 0x7fc00000, 0x7fc00123, 0x7fa00000,
};
enum { FLOATS = 2 * G_N_ELEMENTS(floats64) };
_Static_assert(G_N_ELEMENTS(floats64) == G_N_ELEMENTS(floats32), "of both types");

/* Special value n as a register holds it; odd ones are negative. */
static uint64_t special(IrType type, unsigned n)
{
    if (type == IR_F64)
        return floats64[n / 2] | (uint64_t)(n & 1) << 63;
    return UINT64_C(0xffffffff00000000) | floats32[n / 2] | (uint64_t)(n & 1) << 31;
}

/* Operands in f0 (pinned), f1, f2; results to f5 or x5, and one that is used once more. */
enum { FIRST_F = WORLD_X + WORLD_W };

static IrTmp float_operand(IrUnit *u, IrType type, unsigned reg)
{
    IrTmp t = ir_getreg(u, FIRST_F + reg);
    return type == IR_F32 ? ir_fmove(u, OP_funbox, IR_F32, t) : t;
}

static void set_result(IrUnit *u, IrTmp t)
{
    IrType type = (IrType)u->tmps[t].type;
    if (type == IR_F32)
        t = ir_fmove(u, OP_fbox, IR_F64, t);
    ir_setreg(u, type == IR_I32 ? WORLD_X : type == IR_I64 ? 5 : FIRST_F + 5, t);
    ir_jump(u, 0, false);
}

static void check_float(IrUnit *u, IrType type, unsigned inputs, bool dynamic)
{
    IrUnit *raw;
    EmitResult result;
    uint32_t offset = compile(u, &raw, &result);
    unsigned step = inputs == 3 ? 5 : 1; /* a third of the triples would be too many: every fifth of two, all of one */
    for (unsigned round = FROUND_RNE; round <= (dynamic ? FROUND_RUP : FROUND_RNE); round++) {
        start->state.cs.fp_round = (uint8_t)round;
        for (unsigned a = 0; a < FLOATS; a++) {
            for (unsigned b = 0; b < (inputs > 1 ? FLOATS : 1); b++) {
                for (unsigned c = inputs > 2 ? (a + b + round) % step : 0; c < (inputs > 2 ? FLOATS : 1); c += step) {
                    char *difference;
                    start->state.f[0] = special(type, a);
                    start->state.f[1] = special(type, b);
                    start->state.f[2] = special(type, c);
                    if (!agree_on(raw, &result, offset, &difference))
                        fail_unit(raw, difference, start->state.f[0], start->state.f[1], start->state.f[2]);
                }
            }
        }
    }
    ir_unit_free(raw);
}

static void test_float_operations(void)
{
    IrUnit *u = ir_unit_new();
    cache_prepare(false);
    world_randomise(start, false, false, 1);
    start->state.cs.poll = 0;
    start->state.cs.fp_flags = 0;
    for (IrType type = IR_F32; type <= IR_F64; type++) {
        for (IrRound round = FROUND_RNE; round <= FROUND_DYN; round++) {
            bool dynamic = round == FROUND_DYN;
            for (IrOp op = OP_fadd; op <= OP_fsqrt; op++) {
                begin(u);
                IrTmp a = float_operand(u, type, 0);
                set_result(u, ir_fp(u, op, type, round, a, op == OP_fsqrt ? 0 : float_operand(u, type, 1)));
                check_float(u, type, op == OP_fsqrt ? 1 : 2, dynamic);
            }
            for (unsigned negate = 0; negate < (dynamic ? 4 : 1); negate++) {
                begin(u);
                IrTmp a = float_operand(u, type, 0), b = float_operand(u, type, 1);
                set_result(u, ir_fma(u, type, round, negate, a, b, float_operand(u, type, 2)));
                check_float(u, type, 3, dynamic);
            }
            begin(u);
            set_result(u, ir_fp(u, OP_fcvt, type == IR_F32 ? IR_F64 : IR_F32, round, float_operand(u, type, 0), 0));
            check_float(u, type, 1, dynamic);
            for (unsigned kind = 0; kind < 4; kind++) {
                begin(u);
                set_result(u, ir_fftoi(u, kind & 1 ? IR_I32 : IR_I64, kind & 2, round, float_operand(u, type, 0)));
                check_float(u, type, 1, dynamic);
            }
        }
        for (unsigned kind = 0; kind < 8; kind++) {
            begin(u);
            IrTmp a = float_operand(u, type, 0), b = float_operand(u, type, 1);
            if (kind < 3)
                set_result(u, ir_fcmp(u, IR_I64, (IrFcmp)kind, a, b));
            else if (kind < 6)
                set_result(u, ir_fsgn(u, type, kind - 3, a, b));
            else
                set_result(u, ir_fp(u, kind == 6 ? OP_fmin : OP_fmax, type, FROUND_RNE, a, b));
            check_float(u, type, 2, false);
        }
    }
    ir_unit_free(u);
}

static const int64_t integers[] = {
    0,
    1,
    -1,
    2,
    -2,
    7,
    31,
    32,
    33,
    63,
    64,
    65,
    127,
    128,
    -128,
    -129,
    255,
    256,
    0x7fff,
    -0x8000,
    0xffff,
    INT32_MAX,
    INT32_MIN,
    (int64_t)INT32_MAX + 1,
    (int64_t)INT32_MIN - 1,
    UINT32_MAX,
    (int64_t)UINT32_MAX + 1,
    INT64_MAX,
    INT64_MIN,
    0x123456789abcdef,
};
enum { INTEGERS = G_N_ELEMENTS(integers) };

/* Integer operands: registers or constants, pinned or not, the same twice; the result over an operand or elsewhere. */
static IrTmp integer_operand(IrUnit *u, IrType type, unsigned shape, int64_t constant)
{
    static const uint8_t wide[] = { 2, 9 }, narrow[] = { WORLD_X, WORLD_X + 2 };
    return shape == 2 ? ir_const(u, type, constant) : ir_getreg(u, type == IR_I64 ? wide[shape] : narrow[shape]);
}

/* fixed: bit 0, bit 1: that operand is a constant, its register does not matter. */
static void check_integer(IrUnit *u, unsigned fixed)
{
    IrUnit *raw;
    EmitResult result;
    uint32_t offset = compile(u, &raw, &result);
    for (unsigned a = 0; a < (fixed & 1 ? 1 : INTEGERS); a++) {
        for (unsigned b = 0; b < (fixed & 2 ? 1 : INTEGERS); b++) {
            char *difference;
            start->state.x[2] = (uint64_t)integers[a];
            start->state.w[0] = (uint32_t)integers[a];
            start->state.x[9] = (uint64_t)integers[b];
            start->state.w[2] = (uint32_t)integers[b];
            if (!agree_on(raw, &result, offset, &difference))
                fail_unit(raw, difference, (uint64_t)integers[a], (uint64_t)integers[b], 0);
        }
    }
    ir_unit_free(raw);
}

static void test_integer_operations(void)
{
    IrUnit *u = ir_unit_new();
    cache_prepare(false);
    world_randomise(start, false, false, 1);
    start->state.cs.poll = 0;
    for (IrOp op = OP_add; op <= OP_select; op++) {
        for (unsigned variant = 0; variant < 2 * 3 * 3 * 3; variant++) {
            IrType type = variant & 1 ? IR_I32 : IR_I64;
            unsigned first = variant / 2 % 3, second = variant / 6 % 3, target = variant / 18;
            bool constants = first == 2 || second == 2;
            for (unsigned i = 0; i < (constants ? INTEGERS : 10); i++) { /* constants, or conditions and sizes */
                begin(u);
                IrTmp a = integer_operand(u, type, first, integers[i]),
                      b = integer_operand(u, type, second, integers[i]), t;
                IrCond cond = (IrCond)(i % 10);
                if (op == OP_ext)
                    t = ir_ext(u, i & 8 ? IR_I32 : IR_I64, i % (i & 8 ? 2 : 3) | (i & 4 ? MO_SIGNED : 0), a);
                else if (op == OP_trunc)
                    t = ir_unary(u, op, IR_I32, integer_operand(u, IR_I64, first, integers[i]));
                else if (op == OP_clz || op == OP_ctz || op == OP_popcnt || op == OP_bswap)
                    t = ir_unary(u, op, type, a);
                else if (op == OP_setcond)
                    t = ir_setcond(u, i & 1 ? IR_I32 : IR_I64, cond, a, b);
                else if (op == OP_select)
                    t = ir_select(u, type, cond, a, b, b, integer_operand(u, type, (first + 1) % 3, 77));
                else
                    t = ir_binary(u, op, type, a, b);
                static const uint8_t wide_targets[] = { 2, 9, 4 },
                                     narrow_targets[] = { WORLD_X, WORLD_X + 2, WORLD_X + 4 };
                ir_setreg(u, u->tmps[t].type == IR_I64 ? wide_targets[target] : narrow_targets[target], t);
                ir_jump(u, 0, false);
                check_integer(u, op == OP_select ? 0 : (first == 2) | (second == 2) << 1);
                if (!constants && op != OP_ext && op < OP_setcond)
                    break;
            }
        }
    }
    ir_unit_free(u);
}

/* A linked jump goes on in the other unit; an unlinked one says which it is. */
static void test_link(void)
{
    IrUnit *u = ir_unit_new(), *raw;
    EmitResult first, second;
    cache_prepare(false);
    begin(u);
    ir_setreg(u, 2, ir_const(u, IR_I64, 7));
    ir_brjump(u, COND_EQ, ir_getreg(u, 4), ir_const(u, IR_I64, 0), 0x20);
    ir_jump(u, 0x10, true);
    uint32_t offset = compile(u, &raw, &first);
    ir_unit_free(raw);
    g_assert_cmpuint(first.exit_count, ==, 2);
    begin(u);
    ir_setreg(u, 9, ir_binary_imm(u, OP_add, IR_I64, ir_getreg(u, 2), 1));
    ir_exit(u, 0x14, EXIT_HALT);
    ir_optimise(u);
    uint32_t other = (offset + first.size + 15) & ~15u;
    emit_unit(u, 2, cache.buf + other, CACHE_SIZE - other, cache.exec_offset, &cache.thunks, &second);
    g_assert_cmpuint(second.size, >, 0);
    for (unsigned linked = 0; linked < 2; linked++) {
        for (unsigned taken = 0; taken < 2; taken++) {
            world_randomise(start, false, false, 5);
            start->state.x[4] = !taken;
            start->state.cs.poll = 0;
            uint64_t why = cache.thunks.enter(&start->state.cs, cache.buf + offset + cache.exec_offset);
            unsigned exit = first.exits[0].target == (taken ? 0x20 : 0x10) ? 0 : 1;
            uint64_t page = start->state.cs.pc_base;
            g_assert_cmpuint(start->state.x[2], ==, 7);
            if (linked) {
                g_assert_cmpuint(why, ==, EXIT_HALT);
                g_assert_cmphex(start->state.cs.pc, ==, page + 0x14);
                g_assert_cmpuint(start->state.x[9], ==, 8);
            } else {
                g_assert_cmpuint(why & 0xff, ==, EXIT_CHAIN);
                g_assert_cmpuint(why >> 8, ==, 1 * EMIT_MAX_EXITS + exit);
                g_assert_cmphex(start->state.cs.pc, ==, page + (taken ? 0x20 : 0x10));
            }
        }
        for (unsigned i = 0; i < 2; i++)
            emit_link(cache.buf + offset, cache.exec_offset, &first.exits[i], cache.buf + other + cache.exec_offset);
    }
    ir_unit_free(u);
}

/* 40 steps along a list of two members, of which the second is at `second`; page 1 is in the TLB as page 0's memory.
 * Returns the guess slot that was used. */
static const AddendGuess *walk_list(uint32_t offset, uint64_t second)
{
    const uint64_t first = WORLD_VA + 0x100;
    world_randomise(start, false, true, 1);
    ContextSet *set = start->state.cs.set = start->sets[0];
    set->read[((WORLD_VA >> GUEST_PAGE_BITS) + 1) % TLB_SIZE].addend -= GUEST_PAGE_SIZE;
    memcpy(start->memory + 0x100, &second, 8);
    memcpy(start->memory + second % GUEST_PAGE_SIZE, &first, 8);
    for (unsigned i = 0; i < GUESS_SLOTS; i++)
        set->guesses[i] = (AddendGuess){ GUESS_NEVER, 10 };
    set->guesses_spent = 0;
    start->state.x[4] = first;
    start->state.x[9] = 40;
    start->state.cs.poll = 0;
    cache.thunks.enter(&start->state.cs, cache.buf + offset + cache.exec_offset);
    g_assert_cmpuint(start->state.x[9], ==, 0);
    g_assert_cmphex(start->state.x[4], ==, first);
    for (unsigned i = 0; i < GUESS_SLOTS; i++)
        if (set->guesses[i].budget != 10)
            return &set->guesses[i];
    g_assert_not_reached();
}

/* A load that walks a list guesses while the page stays, and gives up where pages alternate. */
static void test_guesses(void)
{
    IrUnit *u = ir_unit_new(), *raw;
    EmitResult result;
    cache_prepare(false);
    begin(u);
    int loop = ir_new_label(u);
    ir_label(u, loop);
    ir_setreg(u, 4, ir_ld(u, IR_I64, MO_64, ir_getreg(u, 4), 0));
    IrTmp left = ir_binary_imm(u, OP_sub, IR_I64, ir_getreg(u, 9), 1);
    ir_setreg(u, 9, left);
    ir_poll(u, 0);
    ir_brcond(u, COND_NE, left, ir_const(u, IR_I64, 0), loop);
    ir_exit(u, 4, EXIT_HALT);
    uint32_t offset = compile(u, &raw, &result);
    const AddendGuess *stays = walk_list(offset, WORLD_VA + 0x300);
    g_assert_cmpuint(stays->budget, ==, 9);
    g_assert_cmpuint(start->sets[0]->guesses_spent, ==, 0);
    g_assert_cmphex(stays->addend, ==, (uint64_t)(uintptr_t)start->memory - WORLD_VA);
    const AddendGuess *alternates = walk_list(offset, WORLD_VA + GUEST_PAGE_SIZE + 0x300);
    g_assert_cmpuint(alternates->budget, ==, 0);
    g_assert_cmpuint(start->sets[0]->guesses_spent, ==, 1);
    g_assert_cmphex(alternates->addend, ==, GUESS_NEVER);
    ir_unit_free(raw);
    ir_unit_free(u);
}

enum { REG_INDEX = 8 }; /* of loops: added to the others, scaled */

/* A random access near what register base holds, and an index now and then. */
static void random_access(IrUnit *u, uint64_t *r, unsigned base)
{
    static const int16_t near[] = { 0, 0, 0, 1, 4, 8, -1, -4, -8, 40, -260, 300 };
    static const IrType types[] = { IR_I64, IR_I64, IR_I64, IR_I32, IR_F64, IR_F32 };
    static const uint16_t sizes[] = { MO_8, MO_16, MO_32, MO_64 };
    uint64_t v = world_random(r);
    int64_t offset = near[v % G_N_ELEMENTS(near)];
    unsigned data = 9 + (v >> 8) % 5; /* x9 to x13 */
    IrType type = types[(v >> 16) % G_N_ELEMENTS(types)];
    unsigned memop = type == IR_F64 ? MO_64 : type == IR_F32 ? MO_32 : sizes[(v >> 24) % (type == IR_I32 ? 3 : 4)];
    unsigned f = WORLD_X + WORLD_W + (v >> 32) % 8;
    IrTmp address = ir_getreg(u, base);
    if (v >> 42 & 1)
        address = ir_binary(u, OP_add, IR_I64, address,
                            ir_binary_imm(u, OP_shl, IR_I64, ir_getreg(u, REG_INDEX), v >> 43 & 3));
    if (v >> 40 & 1) { /* store */
        IrTmp value = type == IR_F64 || type == IR_F32 ? ir_getreg(u, f) : ir_getreg(u, data);
        if (type == IR_I32)
            value = ir_unary(u, OP_trunc, IR_I32, value);
        ir_st(u, memop, address, offset, value);
        return;
    }
    if (type != IR_F64 && type != IR_F32 && v >> 41 & 1)
        memop |= MO_SIGNED;
    IrTmp value = ir_ld(u, type, memop, address, offset);
    if (type == IR_F64 || type == IR_F32)
        ir_setreg(u, f, type == IR_F32 ? ir_fmove(u, OP_fbox, IR_F64, value) : value);
    else
        ir_setreg(u, data, ir_ext(u, IR_I64, MO_32 | (type == IR_I32 ? MO_SIGNED : MO_64), value));
}

/* One of the things that loops do besides. */
static void random_step(IrUnit *u, uint64_t *r, int head)
{
    uint64_t v = world_random(r);
    unsigned a = 9 + (v >> 8) % 5, b = 9 + (v >> 16) % 5, f = WORLD_X + WORLD_W + (v >> 24) % 8;
    int around;
    switch (v % 10) {
    case 0:
    case 1:
    case 2:
        ir_setreg(u, a, ir_binary(u, (v >> 32) & 1 ? OP_add : OP_xor, IR_I64, ir_getreg(u, a), ir_getreg(u, b)));
        break;
    case 3: /* a word */
        ir_setreg(u, a,
                  ir_ext(u, IR_I64, MO_32 | MO_SIGNED,
                         ir_binary_imm(u, (v >> 32) & 1 ? OP_shl : OP_shr, IR_I32,
                                       ir_unary(u, OP_trunc, IR_I32, ir_getreg(u, b)), (int64_t)(v >> 33 & 31))));
        break;
    case 4:
    case 5: /* a single, of a register that may hold none */
        ir_setreg(u, f,
                  ir_fmove(u, OP_fbox, IR_F64,
                           ir_fp(u, OP_fadd, IR_F32, FROUND_DYN, ir_fmove(u, OP_funbox, IR_F32, ir_getreg(u, f)),
                                 ir_fmove(u, OP_funbox, IR_F32, ir_getreg(u, WORLD_X + WORLD_W + (v >> 32) % 8)))));
        break;
    case 6:
        ir_guard(u, offsetof(WorldState, scratch) + (v >> 32) % 8, 9, (uint32_t)v);
        break;
    case 7: /* out of line for some accesses */
        around = ir_new_label(u);
        ir_brcond(u, COND_LT, ir_getreg(u, a), ir_getreg(u, b), around);
        random_access(u, r, 4 + (v >> 40) % 4);
        ir_label(u, around);
        break;
    case 8:
        if (v >> 40 & 1)
            ir_brjump(u, COND_EQ, ir_binary_imm(u, OP_and, IR_I64, ir_getreg(u, a), 63), ir_const(u, IR_I64, 5), 0x80);
        else if (v >> 41 & 1 && v >> 42 & 1)
            ir_amo(u, IR_I64, MO_64, AMO_ADD, ir_binary_imm(u, OP_and, IR_I64, ir_getreg(u, 4), -8), ir_getreg(u, a));
        break;
    default: /* the next turn */
        if (v >> 40 & 1)
            break;
        ir_setreg(u, REG_COUNTER, ir_binary_imm(u, OP_sub, IR_I64, ir_getreg(u, REG_COUNTER), 1));
        ir_brcond(u, COND_GT, ir_getreg(u, REG_COUNTER), ir_const(u, IR_I64, (int64_t)(v >> 48 & 511)), head);
    }
}

/* Here and there a byte of the state says that another part is to do the rest of the turn. */
static void random_test(IrUnit *u, uint64_t what)
{
    IrTmp byte = ir_ldstate(u, IR_I32, offsetof(WorldState, scratch) + (uint32_t)(what & 7), MO_8);
    ir_brcond(u, what & 8 ? COND_EQ : COND_NE, byte, ir_const(u, IR_I32, 0), ir_cold(u));
    if (what & 0x30)
        return;
    ir_ststate(u, offsetof(WorldState, scratch) + (uint32_t)(what >> 8 & 7), MO_8, ir_getreg(u, 9));
}

static void random_cold_part(IrUnit *u, int head)
{
    ir_begin_cold(u);
    for (unsigned i = 0; i < u->cold_count; i++) {
        ir_label(u, u->cold[i].label);
        ir_insn(u, u->cold[i].offset, 4);
        ir_setreg(u, 9, ir_binary_imm(u, OP_add, IR_I64, ir_getreg(u, 9), 1));
        ir_setreg(u, 4, ir_binary_imm(u, OP_add, IR_I64, ir_getreg(u, 4), 8));
        ir_setreg(u, REG_COUNTER, ir_binary_imm(u, OP_sub, IR_I64, ir_getreg(u, REG_COUNTER), 1));
        ir_brcond(u, COND_GT, ir_getreg(u, REG_COUNTER), ir_const(u, IR_I64, 0), head);
        ir_exit(u, 0x78, EXIT_HALT);
    }
}

/* A loop that walks registers x4 to x7 through the world's pages, out of it sometimes, while it computes. */
static void random_loop(IrUnit *u, uint64_t seed)
{
    static const int16_t strides[] = { 0, 1, 1, 2, 4, 4, 4, 8, 8, 8, 16, 3, 512, 600, -1, -4, -8 };
    uint64_t *r = &seed, v = world_random(r);
    bool simple = v & 1; /* nothing but what allows one look at the pages */
    unsigned walks = 1 + (v >> 1) % 4, steps = 1 + (v >> 8) % 8;
    int64_t same = strides[(v >> 16) % 10];
    ir_begin(u, world_regs(false), world_reg_count(false), world_helpers);
    ir_insn(u, 0, 4);
    for (unsigned w = 0; w < walks; w++) {
        uint64_t place = world_random(r);
        int64_t from = (int64_t)(place % (WORLD_BYTES + 0x400)) - 0x200;
        if (place >> 32 & 1) /* near the end of a page, or the beginning of the next */
            from = (from & ~0xfff) - 20 + (int64_t)(place >> 40 & 31);
        ir_setreg(u, 4 + w, ir_const(u, IR_I64, (int64_t)WORLD_VA + (simple && w ? from & ~7 : from)));
    }
    ir_setreg(u, REG_COUNTER, ir_const(u, IR_I64, (int64_t)(1 + (v >> 32) % 900)));
    ir_setreg(u, REG_INDEX, ir_const(u, IR_I64, (int64_t)(v >> 50 & 255) - (v >> 58 & 1 ? 300 : 0)));
    int head = ir_new_label(u);
    ir_label(u, head);
    for (unsigned i = 0; i < steps; i++) {
        uint64_t what = world_random(r);
        ir_insn(u, (int32_t)(4 + 4 * i), 4);
        if (what & 3)
            random_access(u, r, 4 + (unsigned)(what >> 8) % walks);
        else if (what & 4)
            random_test(u, what >> 16);
        else if (simple)
            ir_setreg(u, 9, ir_binary(u, OP_add, IR_I64, ir_getreg(u, 9), ir_getreg(u, 10)));
        else
            random_step(u, r, head);
    }
    for (unsigned w = 0; w < walks; w++) {
        int64_t stride = simple ? same << (world_random(r) % 3) : strides[world_random(r) % G_N_ELEMENTS(strides)];
        ir_setreg(u, 4 + w, ir_binary_imm(u, OP_add, IR_I64, ir_getreg(u, 4 + w), stride));
        if (v >> 48 & 1)
            random_access(u, r, 4 + w);
    }
    if (v >> 59 & 3)
        ir_setreg(u, REG_INDEX, ir_binary_imm(u, OP_add, IR_I64, ir_getreg(u, REG_INDEX), (int64_t)(v >> 59 & 3) - 1));
    ir_insn(u, 0x70, 4);
    ir_setreg(u, REG_COUNTER, ir_binary_imm(u, OP_sub, IR_I64, ir_getreg(u, REG_COUNTER), 1));
    ir_poll(u, 0x70);
    ir_brcond(u, COND_GT, ir_getreg(u, REG_COUNTER), ir_const(u, IR_I64, 0), head);
    random_access(u, r, 4);
    ir_exit(u, 0x74, EXIT_HALT);
    if (u->cold_count)
        random_cold_part(u, head);
}

static void test_loops(void)
{
    uint64_t first = setting("TCG_DIFF_SEED", 1), count = setting("TCG_DIFF_COUNT", 40000) / 10;
    for (uint64_t seed = first; seed < first + count; seed++) {
        IrUnit *u = ir_unit_new(), *built;
        snprintf(doing, sizeof(doing), "crash in loop of TCG_DIFF_SEED=%" G_GUINT64_FORMAT "\n", seed);
        random_loop(u, seed);
        g_autofree char *difference = run_unit(u, false, seed & ~(uint64_t)2, &built);
        if (difference) {
            g_autofree char *text = ir_dump(built);
            g_error("loop of TCG_DIFF_SEED=%" G_GUINT64_FORMAT ": interpreter / back end:%s\n%s", seed, difference,
                    text);
        }
        ir_unit_free(built);
    }
}

/* ---- vectors: random units of nothing else ---- */

enum { VECTOR_POOL = 12, V_STATE = offsetof(WorldState, v) };
typedef struct VectorGen {
    IrUnit *u;
    uint64_t random;
    IrTmp pool[IR_TYPE_COUNT][VECTOR_POOL];
} VectorGen;

static unsigned draw(VectorGen *g, unsigned limit)
{
    return (unsigned)(world_random(&g->random) % limit);
}

static IrTmp pick(VectorGen *g, IrType type)
{
    return g->pool[type][draw(g, VECTOR_POOL)];
}

static void keep(VectorGen *g, IrTmp t)
{
    g->pool[g->u->tmps[t].type][draw(g, VECTOR_POOL)] = t;
}

/* Where a is no NaN: a, elsewhere b. */
static IrTmp unless_nan(VectorGen *g, IrType type, unsigned size, IrTmp a, IrTmp b)
{
    return ir_vector(g->u, OP_vblend, type, 0, b, a, ir_vector(g->u, OP_vfcmp, type, size, a, a, 0, FCMP_EQ), 0);
}

/* A floating-point operation; a NaN becomes 7. An addend is none, as then exceptions may differ. */
static void vector_float(VectorGen *g, IrOp op, IrType type, unsigned size)
{
    IrUnit *u = g->u;
    IrTmp a = pick(g, type), b = pick(g, type), c = 0;
    IrTmp seven = ir_vector(u, OP_vsplat, type, size, ir_const(u, IR_I64, 7), 0, 0, 0);
    if (op == OP_vfma)
        c = unless_nan(g, type, size, pick(g, type), seven);
    unsigned inputs = ir_op_info[op].inputs;
    IrTmp t = ir_vector(u, op, type, size, a, inputs > 1 ? b : 0, c, op == OP_vfma ? draw(g, 4) : 0);
    keep(g, unless_nan(g, type, size, t, seven));
}

static void vector_memory(VectorGen *g, IrType type)
{
    IrUnit *u = g->u;
    unsigned size = 2 + draw(g, type == IR_V256 ? 4 : 3);
    bool write = draw(g, 2);
    IrTmp host = ir_probe(u, ir_getreg(u, draw(g, 3)), 1u << size, write);
    int label = ir_new_label(u);
    ir_setreg(u, 7, ir_setcond(u, IR_I64, COND_NE, host, ir_const(u, IR_I64, 0)));
    ir_brcond(u, COND_EQ, host, ir_const(u, IR_I64, 0), label);
    if (write)
        ir_vst(u, size, host, 0, pick(g, type));
    else
        ir_vststate(u, size, V_STATE + 32 * draw(g, 16), ir_vld(u, size, host, 0));
    ir_label(u, label);
    for (unsigned i = 0; i < VECTOR_POOL; i++) {
        g->pool[IR_V128][i] = ir_vldstate(u, 2 + i % 3, V_STATE + 16 * draw(g, 32));
        g->pool[IR_V256][i] = ir_vldstate(u, 5, V_STATE + 32 * draw(g, 16));
        g->pool[IR_I64][i] = i & 1 ? ir_getreg(u, i) : ir_const(u, IR_I64, (int64_t)draw(g, 80));
    }
}

static void vector_rearrange(VectorGen *g, IrOp op, IrType type)
{
    IrUnit *u = g->u;
    unsigned size = draw(g, 4), factor = 1 + draw(g, 3);
    IrTmp low = pick(g, IR_V128);
    switch (op) {
    case OP_vsplat: {
        IrTmp f = ir_getreg(u, FIRST_F + draw(g, WORLD_F));
        IrTmp from = pick(g, IR_I64);
        if (draw(g, 2) && size >= 2)
            from = size == 3 ? f : ir_fmove(u, OP_funbox, IR_F32, f);
        keep(g, ir_vector(u, op, type, size, from, 0, 0, 0));
        break;
    }
    case OP_vinsert:
        keep(g, ir_vector(u, op, IR_V128, size, low, pick(g, IR_I64), 0, draw(g, 16 >> size)));
        break;
    case OP_vextract:
        keep(g, ir_vector(u, op, IR_I64, size, low, 0, 0, draw(g, 16 >> size)));
        break;
    case OP_vhalf:
        keep(g, ir_vector(u, op, IR_V128, 0, pick(g, IR_V256), 0, 0, draw(g, 2)));
        break;
    case OP_vconcat:
        keep(g, ir_vector(u, op, IR_V256, 0, low, pick(g, IR_V128), 0, 0));
        break;
    case OP_vdown:
        keep(g, ir_vector(u, op, IR_V128, 0, low, 0, 0, draw(g, 16)));
        break;
    case OP_vmask:
        keep(g, ir_vector(u, op, type, size, pick(g, IR_I64), 0, 0, 0));
        break;
    case OP_vbits:
        keep(g, ir_vector(u, op, IR_I64, size, pick(g, type), 0, 0, 0));
        break;
    case OP_vfnan: {
        IrTmp x = pick(g, type), y = pick(g, type), sum = ir_vector(u, OP_vfadd, type, 2 + size % 2, x, y, 0, 0);
        IrTmp t = ir_vector(u, op, IR_I64, 2 + size % 2, sum, sum, 0, 0);
        keep(g, ir_setcond(u, IR_I64, COND_NE, t, ir_const(u, IR_I64, 0)));
        break;
    }
    case OP_vextend:
        factor = MIN(factor, 3 - MIN(size, 2));
        keep(g, ir_vector(u, op, type, MIN(size, 2) | (draw(g, 2) ? MO_SIGNED : 0), low, 0, 0, factor));
        break;
    default:
        keep(g, ir_vector(u, OP_vnarrow, IR_V128, 1 + draw(g, 3), low, pick(g, IR_V128), 0, 0));
    }
}

static void vector_step(VectorGen *g)
{
    IrUnit *u = g->u;
    IrOp op = (IrOp)(OP_vldstate + draw(g, OP_x87 - OP_vldstate));
    IrType type = draw(g, 2) ? IR_V256 : IR_V128;
    IrTmp a = pick(g, type), b = pick(g, type);
    unsigned size = draw(g, 4);
    switch (op) {
    case OP_vldstate:
        keep(g, ir_vldstate(u, type == IR_V256 ? 5 : 2 + draw(g, 3), V_STATE + 16 * draw(g, 31)));
        break;
    case OP_vststate:
        ir_vststate(u, 2 + draw(g, type == IR_V256 ? 4 : 3), V_STATE + 16 * draw(g, 31), a);
        break;
    case OP_probe:
    case OP_vld:
    case OP_vst:
        if (draw(g, 3) == 0)
            vector_memory(g, type);
        else if (draw(g, 2)) /* what lives is spilled */
            keep(g, ir_call(u, IR_I64, 0, pick(g, IR_I64), pick(g, IR_I64), pick(g, IR_I64), pick(g, IR_I64)));
        else
            ir_setreg(u, 5, ir_ld(u, IR_I64, MO_64, ir_getreg(u, draw(g, 3)), 0)); /* a slow path keeps vectors */
        break;
    case OP_vsplat:
    case OP_vinsert:
    case OP_vextract:
    case OP_vhalf:
    case OP_vconcat:
    case OP_vdown:
    case OP_vmask:
    case OP_vbits:
    case OP_vfnan:
    case OP_vextend:
    case OP_vnarrow:
        vector_rearrange(g, op, type);
        break;
    case OP_vshl:
    case OP_vshr:
    case OP_vsar:
        size = 1 + draw(g, op == OP_vsar ? 2 : 3);
        keep(g, ir_vector(u, op, type, size, a, pick(g, IR_I64), 0, 0));
        break;
    case OP_vshlv:
    case OP_vshrv:
    case OP_vsarv:
        size = op == OP_vsarv ? 2 : 2 + draw(g, 2);
        keep(g, ir_vector(u, op, type, size, a, b, 0, 0));
        break;
    case OP_vblend:
        keep(g, ir_vector(u, op, type, 0, a, b, pick(g, type), 0));
        break;
    case OP_vfcmp:
        keep(g, ir_vector(u, op, type, 2 + draw(g, 2), a, b, 0, draw(g, 3)));
        break;
    default:
        if (op >= OP_vfadd) {
            vector_float(g, op, type, op == OP_vfitof ? 2 : 2 + draw(g, 2));
        } else {
            unsigned sizes = op == OP_vavgu ? 2 : op >= OP_vminu && op <= OP_vmax ? 3 : 4;
            keep(g, ir_vector(u, op, type, draw(g, sizes), a, b, 0, 0));
        }
    }
}

static void vector_unit(VectorGen *g, uint64_t seed)
{
    IrUnit *u = g->u;
    g->random = seed;
    begin(u);
    u->vectors = true;
    for (unsigned i = 0; i < VECTOR_POOL; i++) {
        g->pool[IR_V128][i] = ir_vldstate(u, 4, V_STATE + 16 * i);
        g->pool[IR_V256][i] = ir_vldstate(u, 5, V_STATE + 32 * i);
        g->pool[IR_I64][i] = i & 1 ? ir_getreg(u, i) : ir_const(u, IR_I64, (int64_t)draw(g, 80));
    }
    for (unsigned i = 0, steps = 1 + draw(g, 40); i < steps; i++)
        vector_step(g);
    for (unsigned i = 0; i < 4; i++) {
        ir_vststate(u, 5, V_STATE + 32 * draw(g, 16), pick(g, IR_V256));
        ir_vststate(u, 4, V_STATE + 16 * draw(g, 32), pick(g, IR_V128));
        ir_setreg(u, 8 + i, pick(g, IR_I64));
    }
    ir_exit(u, 4, EXIT_HALT);
}

static void test_vectors(void)
{
    if (!emit_vectors()) {
        g_test_skip("the host has no AVX2");
        return;
    }
    uint64_t first = setting("TCG_DIFF_SEED", 1), count = setting("TCG_DIFF_COUNT", 40000) / 4;
    VectorGen g = { .u = ir_unit_new() };
    cache_prepare(false);
    for (uint64_t seed = first; seed < first + count; seed++) {
        IrUnit *raw;
        EmitResult code;
        char *difference = NULL;
        snprintf(doing, sizeof(doing), "crash at TCG_DIFF_SEED=%" G_GUINT64_FORMAT "\n", seed);
        vector_unit(&g, seed);
        uint32_t offset = compile(g.u, &raw, &code);
        for (unsigned i = 0; i < STATES && !difference; i++) {
            world_randomise(start, false, i & 1, seed * STATES + i);
            world_copy(interpreted, start);
            world_copy(compiled, start);
            ir_interpret(raw, &interpreted->state.cs);
            interpreted->state.cs.raised = 0;
            cache.thunks.enter(&compiled->state.cs, cache.buf + offset + cache.exec_offset);
            difference = world_difference(interpreted, compiled, false);
        }
        if (difference)
            fail_unit(raw, difference, seed, 0, 0);
        ir_unit_free(raw);
    }
    ir_unit_free(g.u);
}

/* ---- instructions of the host, on guest registers that are vectors ---- */

#define HOST(form, bits) ((int64_t)IR_HOST_##form << IR_HOST_FORM | (bits))
static const struct {
    int64_t what;
    bool wide;      /* may have 256 bits */
    char result;    /* v or i */
    char inputs[4]; /* likewise */
} host_ops[] = {
    { HOST(RVM, IR_HOST_0F | 0x58), true, 'v', "vv" },                                                  /* vaddps */
    { HOST(RVM, IR_HOST_0F | IR_HOST_66 | 0x5e), true, 'v', "vv" },                                     /* vdivpd */
    { HOST(RVM, IR_HOST_0F | IR_HOST_F3 | 0x59), false, 'v', "vv" },                                    /* vmulss */
    { HOST(RVM, IR_HOST_0F | IR_HOST_F2 | 0x5a), false, 'v', "vv" },                                    /* vcvtsd2ss */
    { HOST(RM, IR_HOST_0F | 0x51), true, 'v', "v" },                                                    /* vsqrtps */
    { HOST(RVM, IR_HOST_0F | IR_HOST_66 | 0xfe), true, 'v', "vv" },                                     /* vpaddd */
    { HOST(RVM, IR_HOST_0F | 0xc6) | IR_HOST_IMM(0x1b), true, 'v', "vv" },                              /* vshufps */
    { HOST(RVMR, IR_HOST_0F3A | IR_HOST_66 | 0x4a), true, 'v', "vvv" },                                 /* vblendvps */
    { HOST(VM, IR_HOST_0F | IR_HOST_66 | 0x72 | 6 << IR_HOST_DIGIT) | IR_HOST_IMM(5), true, 'v', "v" }, /* vpslld */
    { HOST(MR, IR_HOST_0F3A | IR_HOST_66 | IR_HOST_256 | 0x39) | IR_HOST_IMM(1), false, 'v', "v" }, /* vextracti128 */
    { HOST(RM, IR_HOST_0F | IR_HOST_66 | IR_HOST_W | 0x6e), false, 'v', "i" },                      /* vmovq */
    { HOST(MR, IR_HOST_0F | IR_HOST_66 | IR_HOST_W | 0x7e), false, 'i', "v" },
    { HOST(RVM, IR_HOST_0F | IR_HOST_F2 | IR_HOST_W | 0x2a), false, 'v', "vi" },   /* vcvtsi2sd */
    { HOST(RM, IR_HOST_0F | IR_HOST_F3 | IR_HOST_W | 0x2d), false, 'i', "v" },     /* vcvtss2si */
    { HOST(RM, IR_HOST_0F | IR_HOST_66 | 0xd7), true, 'i', "v" },                  /* vpmovmskb */
    { HOST(FMA, IR_HOST_0F38 | IR_HOST_66 | IR_HOST_W | 0xb8), true, 'v', "vvv" }, /* vfmadd231pd */
    { HOST(FMA, IR_HOST_0F38 | IR_HOST_66 | 0x9d), false, 'v', "vvv" },            /* vfnmadd132ss */
    { HOST(TEST, IR_HOST_0F | 0x2e), false, 'i', "vv" },                           /* vucomiss */
    { HOST(TEST, IR_HOST_0F38 | IR_HOST_66 | 0x17), true, 'i', "vv" },             /* vptest */
};

static void host_memory(VectorGen *g)
{
    static const uint8_t bases[] = { REG_BASE_LOW, REG_BASE_MIDDLE, REG_BASE_HIGH };
    IrUnit *u = g->u;
    unsigned aux = 2 + draw(g, 4) + (draw(g, 4) ? 0 : MO_ALIGN);
    IrTmp address = ir_getreg(u, bases[draw(g, 3)]);
    int64_t offset = draw(g, 2) ? (int64_t)draw(g, 8) * 16 - 32 : (int64_t)draw(g, 90) - 20;
    if (draw(g, 8) == 0)
        address = ir_unary(u, OP_trunc, IR_I32, address);
    if (draw(g, 2))
        ir_st(u, aux, address, offset, pick(g, IR_V256));
    else
        keep(g, ir_ld(u, IR_V256, aux, address, offset));
}

/* Values in the last 64 bytes of v, which are no register, as four of 80 bits and junk. */
static void x87_step(VectorGen *g)
{
    static const uint16_t binary[] = { 0xc1de, 0xc9de, 0xe9de, 0xe1de, 0xf9de, 0xf1de };
    static const uint16_t unary[] = { 0xe0d9, 0xe1d9, 0xfad9, 0xfcd9 };
    static const uint16_t memory[] = {
        0x00d8, 0x08dc, 0x20da, 0x28de, 0x30dc, 0x38d8
    }; /* ModRM.reg is all that counts */
    IrUnit *u = g->u;
    uint16_t place[3];
    for (unsigned i = 0; i < 3; i++)
        place[i] = (uint16_t)(V_STATE + 448 + 16 * draw(g, 4));
    IrX87 x = { .first = place[0], .dest = place[1] };
    IrTmp t;
    switch (draw(g, 7)) {
    case 0:
        x.first_format = (uint8_t)draw(g, IR_X87_I64 + 1);
        break;
    case 1:
        x.dest_format = (uint8_t)draw(g, IR_X87_I64 + 1);
        break;
    case 2:
        x.op = binary[draw(g, G_N_ELEMENTS(binary))];
        x.second = place[2];
        x.kind = IR_X87_REGISTERS;
        break;
    case 3:
        x.op = unary[draw(g, G_N_ELEMENTS(unary))];
        x.kind = IR_X87_REGISTERS;
        break;
    case 4:
        x.op = memory[draw(g, G_N_ELEMENTS(memory))];
        x.second = place[2];
        x.kind = IR_X87_MEMORY;
        break;
    default: /* compare; fld1 */
        x = (IrX87){ .op = 0xe8d9, .kind = IR_X87_REGISTERS, .dest = place[0] };
        ir_x87(u, &x);
        x = (IrX87){
            .op = draw(g, 2) ? 0xd9de : 0xf1df, .first = place[0], .second = place[1], .kind = IR_X87_REGISTERS
        };
        t = ir_x87_test(u, x.op == 0xd9de ? IR_X87_STATUS : IR_X87_EFLAGS, &x);
        if (x.op == 0xd9de)
            t = ir_ext(u, IR_I64, MO_32, ir_binary_imm(u, OP_and, IR_I32, t, 0x4500));
        keep(g, t);
        return;
    }
    ir_x87(u, &x);
}

static void host_step(VectorGen *g)
{
    IrUnit *u = g->u;
    unsigned n = draw(g, G_N_ELEMENTS(host_ops)), reg = FIRST_F + draw(g, WORLD_F);
    IrTmp in[3] = { 0 };
    switch (draw(g, 9)) {
    case 8:
        x87_step(g);
        break;
    case 0:
        host_memory(g);
        break;
    case 1:
        ir_setreg(u, reg, pick(g, IR_V256));
        break;
    case 2:
        keep(g, ir_getreg(u, reg));
        break;
    case 3:
        if (draw(g, 3) == 0)
            keep(g, ir_call(u, IR_I64, 4, pick(g, IR_I64), pick(g, IR_I64), pick(g, IR_I64), 0));
        else
            ir_setreg(u, 5, ir_ld(u, IR_I64, MO_64, ir_getreg(u, draw(g, 3)), 0));
        break;
    default:
        for (unsigned i = 0; host_ops[n].inputs[i]; i++)
            in[i] = pick(g, host_ops[n].inputs[i] == 'v' ? IR_V256 : IR_I64);
        keep(g, ir_host(u, host_ops[n].result == 'v' ? IR_V256 : IR_I64,
                        host_ops[n].what | (host_ops[n].wide && draw(g, 2) ? IR_HOST_256 : 0), false, in[0], in[1],
                        in[2]));
    }
}

static void host_unit(VectorGen *g, uint64_t seed)
{
    IrUnit *u = g->u;
    g->random = seed;
    begin(u);
    u->vectors = true;
    for (unsigned i = 0; i < VECTOR_POOL; i++) {
        g->pool[IR_V256][i] = ir_getreg(u, FIRST_F + i);
        g->pool[IR_I64][i] = i & 1 ? ir_getreg(u, i) : ir_const(u, IR_I64, (int64_t)draw(g, 80));
    }
    for (unsigned i = 0, steps = 1 + draw(g, 40); i < steps; i++)
        host_step(g);
    for (unsigned i = 0; i < 4; i++) {
        ir_setreg(u, FIRST_F + draw(g, WORLD_F), pick(g, IR_V256));
        ir_setreg(u, 8 + i, pick(g, IR_I64));
    }
    ir_exit(u, 4, EXIT_HALT);
}

/* A loop that adds up and stores vectors along two walks. */
static void host_loop(IrUnit *u, uint64_t seed)
{
    uint64_t *r = &seed;
    begin(u);
    u->vectors = true;
    unsigned kind = (unsigned)world_random(r), aux = 4 + (kind & 1) + (kind & 2 ? MO_ALIGN : 0);
    ir_setreg(u, 4,
              ir_const(u, IR_I64, (int64_t)(WORLD_VA + (world_random(r) % 0x2800 & -(uint64_t)(kind & 4 ? 16 : 1)))));
    ir_setreg(u, 5,
              ir_const(u, IR_I64, (int64_t)(WORLD_VA + (world_random(r) % 0x2800 & -(uint64_t)(kind & 8 ? 32 : 8)))));
    ir_setreg(u, REG_COUNTER, ir_const(u, IR_I64, (int64_t)(1 + world_random(r) % 400)));
    int head = ir_new_label(u);
    ir_label(u, head);
    ir_insn(u, 4, 4);
    IrTmp v = ir_ld(u, IR_V256, aux, ir_getreg(u, 4), kind & 16 ? 16 : 0);
    IrTmp sum = ir_host(u, IR_V256, host_ops[5].what | IR_HOST_256, true, ir_getreg(u, FIRST_F), v, 0);
    ir_setreg(u, FIRST_F, sum);
    const IrX87 load = { .first = V_STATE + 448, .first_format = IR_X87_M64, .dest = V_STATE + 464 };
    const IrX87 add = {
        .op = 0xc1de, .kind = IR_X87_REGISTERS, .first = V_STATE + 480, .second = V_STATE + 464, .dest = V_STATE + 480
    };
    if (kind & 128) {
        ir_x87(u, &load);
        ir_x87(u, &add);
    }
    ir_insn(u, 8, 4);
    ir_st(u, aux, ir_getreg(u, 5), 0, sum);
    ir_setreg(u, FIRST_F + 1, ir_ld(u, IR_V256, 3, ir_getreg(u, 5), 40));
    ir_setreg(u, 4, ir_binary_imm(u, OP_add, IR_I64, ir_getreg(u, 4), kind & 32 ? 32 : 16));
    ir_setreg(u, 5, ir_binary_imm(u, OP_add, IR_I64, ir_getreg(u, 5), kind & 64 ? 32 : 16));
    ir_insn(u, 12, 4);
    ir_setreg(u, REG_COUNTER, ir_binary_imm(u, OP_sub, IR_I64, ir_getreg(u, REG_COUNTER), 1));
    if (kind & 256)
        ir_x87(u, &load); /* what stays in st(0) must go before the branch */
    ir_poll(u, 12);
    ir_brcond(u, COND_GT, ir_getreg(u, REG_COUNTER), ir_const(u, IR_I64, 0), head);
    ir_exit(u, 16, EXIT_HALT);
}

static void test_host_instructions(void)
{
    if (!emit_vectors()) {
        g_test_skip("the host has no AVX2");
        return;
    }
    uint64_t first = setting("TCG_DIFF_SEED", 1), count = setting("TCG_DIFF_COUNT", 40000) / 4;
    VectorGen g = { .u = ir_unit_new() };
    world_vectors = true;
    cache.ready = false;
    cache_prepare(false);
    for (uint64_t seed = first; seed < first + count; seed++) {
        IrUnit *raw;
        EmitResult code;
        char *difference = NULL;
        snprintf(doing, sizeof(doing), "crash in host instructions of TCG_DIFF_SEED=%" G_GUINT64_FORMAT "\n", seed);
        if (seed % 8)
            host_unit(&g, seed);
        else
            host_loop(g.u, seed);
        uint32_t offset = compile(g.u, &raw, &code);
        for (unsigned i = 0; i < STATES && !difference; i++) {
            world_randomise(start, false, i & 1, seed * STATES + i);
            start->state.cs.fp_round |= (uint8_t)(seed & (IR_FP_FLUSH | IR_FP_DENORMALS_ZERO));
            world_copy(interpreted, start);
            world_copy(compiled, start);
            ir_interpret(raw, &interpreted->state.cs);
            interpreted->state.cs.raised = 0;
            cache.thunks.enter(&compiled->state.cs, cache.buf + offset + cache.exec_offset);
            difference = world_difference(interpreted, compiled, false);
        }
        if (difference)
            fail_unit(raw, difference, seed, 0, 0);
        ir_unit_free(raw);
    }
    ir_unit_free(g.u);
    world_vectors = cache.ready = false;
}

static void test_random_units(void)
{
    uint64_t first = setting("TCG_DIFF_SEED", 1), count = setting("TCG_DIFF_COUNT", 40000);
    signal(SIGSEGV, on_crash);
    signal(SIGILL, on_crash);
    signal(SIGTRAP, on_crash);
    for (uint64_t seed = first; seed < first + count; seed++)
        check_seed(seed);
}

/* What hosts without the newer instructions run, and one vCPU alone, whose atomics need no lock. */
static void test_old_host(void)
{
    HostFeatures all = host_features;
    uint64_t first = setting("TCG_DIFF_SEED", 1), count = setting("TCG_DIFF_COUNT", 40000) / 4;
    host_features = (HostFeatures){ .popcnt = true, .sse41 = true };
    runtime.parallel = cache.ready = false;
    test_integer_operations();
    for (uint64_t seed = first; seed < first + count; seed++)
        check_seed(seed);
    host_features = all;
    runtime.parallel = true;
    cache.ready = false;
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!emit_available()) {
        g_print("1..0 # SKIP no back end for this host\n");
        return 0;
    }
    start = world_new();
    interpreted = world_new();
    compiled = world_new();
    cache_open();
    g_test_add_func("/tcg/diff/link", test_link);
    g_test_add_func("/tcg/diff/guesses", test_guesses);
    g_test_add_func("/tcg/diff/integer-operations", test_integer_operations);
    g_test_add_func("/tcg/diff/float-operations", test_float_operations);
    g_test_add_func("/tcg/diff/vectors", test_vectors);
    g_test_add_func("/tcg/diff/host-instructions", test_host_instructions);
    g_test_add_func("/tcg/diff/random-units", test_random_units);
    g_test_add_func("/tcg/diff/loops", test_loops);
    g_test_add_func("/tcg/diff/old-host", test_old_host);
    int status = g_test_run();
    world_free(start);
    world_free(interpreted);
    world_free(compiled);
    return status;
}
