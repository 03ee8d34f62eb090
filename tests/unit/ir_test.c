/*
 * The IR without a back end: folding builders against plain evaluation, the passes against the interpreter, the
 * verifier against planted errors.
 * SPDX-License-Identifier: MIT
 */
#include "ir_world.h"
#include "tcg/eval.h"
#include <string.h>

static uint64_t rng = 1;

static IrUnit *begin(void)
{
    IrUnit *u = ir_unit_new();
    ir_begin(u, world_regs(false), world_reg_count(false), world_helpers);
    ir_insn(u, 0, 4);
    return u;
}

static void check_unit(const IrUnit *u)
{
    g_autofree char *error = ir_verify(u);
    if (error) {
        g_autofree char *text = ir_dump(u);
        g_error("%s\n%s", error, text);
    }
}

static unsigned count_op(const IrUnit *u, IrOp op)
{
    unsigned count = 0;
    for (unsigned i = 0; i < u->count; i++)
        count += u->insns[i].op == op;
    return count;
}

/* ---- integer semantics by another way: 128-bit integers ---- */

static int64_t wrap(IrType type, __int128 v)
{
    return type == IR_I32 ? (int32_t)(uint32_t)(unsigned __int128)v : (int64_t)(uint64_t)(unsigned __int128)v;
}

static int64_t reference(IrOp op, IrType type, int64_t a, int64_t b)
{
    unsigned width = type == IR_I32 ? 32 : 64, count = (unsigned)((uint64_t)b % width);
    __int128 modulus = (__int128)1 << width, ua = a < 0 ? a + modulus : a, ub = b < 0 ? b + modulus : b;
    __int128 floor_shift = (a - (a & (((__int128)1 << count) - 1))) / ((__int128)1 << count);
    __int128 doubled = (unsigned __int128)ua << count;
    switch (op) {
    case OP_add:
        return wrap(type, (__int128)a + b);
    case OP_sub:
        return wrap(type, (__int128)a - b);
    case OP_mul:
        return wrap(type, (__int128)a * b);
    case OP_mulhs:
        return wrap(type, (__int128)a * b >> width);
    case OP_mulhu:
        return wrap(type, (__int128)((unsigned __int128)ua * (unsigned __int128)ub >> width));
    case OP_mulhsu:
        return wrap(type, (__int128)a * ub >> width);
    case OP_divs:
        return wrap(type, b ? (__int128)a / b : -1);
    case OP_divu:
        return wrap(type, b ? ua / ub : -1);
    case OP_rems:
        return wrap(type, b ? (__int128)a % b : a);
    case OP_remu:
        return wrap(type, b ? ua % ub : a);
    case OP_and:
        return a & b;
    case OP_or:
        return a | b;
    case OP_xor:
        return (a | b) - (a & b);
    case OP_andc:
        return a - (a & b);
    case OP_shl:
        return wrap(type, doubled);
    case OP_shr:
        return wrap(type, ua >> count);
    case OP_sar:
        return wrap(type, floor_shift);
    case OP_rotl:
        return wrap(type, doubled % modulus + (ua >> (width - count)));
    case OP_rotr:
        return wrap(type, (ua >> count) + ((unsigned __int128)ua << (width - count)) % (unsigned __int128)modulus);
    default:
        g_assert_not_reached();
    }
}

static void test_semantics(void)
{
    for (unsigned i = 0; i < 400000; i++) {
        IrOp op = (IrOp)(OP_add + world_random(&rng) % (OP_rotr - OP_add + 1));
        IrType type = i & 1 ? IR_I32 : IR_I64;
        int64_t a = ir_canonical(type, (uint64_t)world_random_int(&rng)),
                b = ir_canonical(type, (uint64_t)world_random_int(&rng));
        int64_t got = ir_eval_binary(op, type, a, b), expected = reference(op, type, a, b);
        if (got != expected)
            g_error("%s of %" G_GINT64_MODIFIER "x, %" G_GINT64_MODIFIER "x is %" G_GINT64_MODIFIER
                    "x, not %" G_GINT64_MODIFIER "x",
                    ir_op_info[op].name, (guint64)a, (guint64)b, (guint64)got, (guint64)expected);
    }
}

/* ---- folding: constants in the builders against registers at run time ---- */

/* One random operation on two operands given as temporaries of each integer type. */
typedef struct Recipe {
    unsigned what;
    IrOp op;
    IrType type, other;
    IrCond cond;
    unsigned memop;
} Recipe;

static IrTmp cook(IrUnit *u, const Recipe *r, const IrTmp a[3], const IrTmp b[3])
{
    switch (r->what) {
    case 0:
        return ir_unary(u, r->op, r->type, a[r->type]);
    case 1:
        return ir_ext(u, r->type, r->memop & (r->other == IR_I32 && (r->memop & MO_SIZE) == MO_64 ? ~1u : ~0u),
                      a[r->other]);
    case 2:
        return ir_setcond(u, r->type, r->cond, a[r->other], b[r->other]);
    case 3:
        return ir_select(u, r->type, r->cond, a[r->other], b[r->other], b[r->type], a[r->type]);
    case 4:
        return ir_unary(u, OP_trunc, IR_I32, a[IR_I64]);
    default:
        return ir_binary(u, r->op, r->type, a[r->type], b[r->type]);
    }
}

static Recipe random_recipe(void)
{
    uint64_t v = world_random(&rng);
    Recipe r = { .what = v % 8,
                 .type = v & 256 ? IR_I32 : IR_I64,
                 .other = v & 512 ? IR_I32 : IR_I64,
                 .cond = (IrCond)((v >> 16) % 10),
                 .memop = (v >> 32) & (MO_SIZE | MO_SIGNED) };
    r.op = r.what == 0 ? (IrOp)(OP_clz + (v >> 24) % (OP_bswap - OP_clz + 1))
                       : (IrOp)(OP_add + (v >> 24) % (OP_rotr - OP_add + 1));
    return r;
}

/* Registers x4, x7 (I64) and w0, w2 (I32) of the wide world. */
enum { REG_X4 = 4, REG_X7 = 7, REG_W0 = WORLD_X, REG_W2 = WORLD_X + 2, REG_X9 = 9 };

/* Shift pairs on words, as compilers without Zbb write rotations, and logic on the sign-extended results. */
static void test_words(void)
{
    IrUnit *u = ir_unit_new();
    ir_begin(u, world_regs(false), world_reg_count(false), world_helpers);
    IrTmp x = ir_getreg(u, REG_X4), low = ir_unary(u, OP_trunc, IR_I32, x);
    g_assert_cmpuint(ir_unary(u, OP_trunc, IR_I32, x), ==, low);
    IrTmp parts[4];
    for (unsigned i = 0; i < 4; i++)
        parts[i] = ir_ext(u, IR_I64, MO_32 | MO_SIGNED,
                          ir_binary_imm(u, i & 1 ? OP_shl : OP_shr, IR_I32, low, (const int[]){ 7, 25, 19, 13 }[i]));
    IrTmp first = ir_binary(u, OP_or, IR_I64, parts[0], parts[1]);
    IrTmp second = ir_binary(u, OP_xor, IR_I64, parts[3], parts[2]);
    ir_setreg(u, REG_X4, ir_binary(u, OP_xor, IR_I64, first, second));
    ir_exit(u, 0, EXIT_HALT);
    ir_optimise(u);
    unsigned found[OP_COUNT] = { 0 };
    for (unsigned i = 0; i < u->count; i++)
        found[u->insns[i].op]++;
    g_assert_cmpuint(found[OP_rotl], ==, 2);
    g_assert_cmpuint(found[OP_xor], ==, 1);
    g_assert_cmpuint(found[OP_ext], ==, 1);
    g_assert_cmpuint(found[OP_trunc] + found[OP_shl] + found[OP_shr] + found[OP_or], ==, 0);
    ir_unit_free(u);
}

static void test_folding(void)
{
    World *w = world_new();
    IrUnit *u = ir_unit_new();
    world_randomise(w, false, false, 1);
    for (unsigned i = 0; i < 200000; i++) {
        Recipe r[2] = { random_recipe(), random_recipe() };
        int64_t va = world_random_int(&rng), vb = i % 5 ? world_random_int(&rng) : va;
        uint64_t results[4];
        /* which operands the builder knows: none, one, the other, both */
        for (unsigned known = 0; known < 4; known++) {
            ir_begin(u, world_regs(false), world_reg_count(false), world_helpers);
            IrTmp a[3] = { 0, ir_getreg(u, REG_W0), ir_getreg(u, REG_X4) },
                  b[3] = { 0, ir_getreg(u, REG_W2), ir_getreg(u, REG_X7) };
            if (i % 5 == 0 && known == 3)
                memcpy(b, a, sizeof(a)); /* and both the same one */
            if (known & 1) {
                a[IR_I32] = ir_const(u, IR_I32, va);
                a[IR_I64] = ir_const(u, IR_I64, va);
            }
            if (known & 2) {
                b[IR_I32] = ir_const(u, IR_I32, vb);
                b[IR_I64] = ir_const(u, IR_I64, vb);
            }
            IrTmp first = cook(u, &r[0], a, b);
            a[u->tmps[first].type] = first; /* the second operation works on the first's result */
            IrTmp t = cook(u, &r[1], a, b);
            if (known == 3)
                g_assert_true(u->tmps[t].constant);
            if (u->tmps[t].type == IR_I32)
                t = ir_ext(u, IR_I64, MO_32 | MO_SIGNED, t);
            ir_setreg(u, REG_X9, t);
            ir_jump(u, 0, false);
            check_unit(u);
            w->state.x[4] = (uint64_t)va;
            w->state.x[7] = (uint64_t)vb;
            w->state.w[0] = (uint32_t)va;
            w->state.w[2] = (uint32_t)vb;
            ir_interpret(u, &w->state.cs);
            results[known] = w->state.x[9];
            if (results[known] != results[0]) {
                g_autofree char *text = ir_dump(u);
                g_error("a %" G_GINT64_MODIFIER "x b %" G_GINT64_MODIFIER "x: known %u gives %" G_GINT64_MODIFIER
                        "x, not %" G_GINT64_MODIFIER "x\n%s",
                        (guint64)va, (guint64)vb, known, results[known], results[0], text);
            }
        }
    }
    ir_unit_free(u);
    world_free(w);
}

static void test_identities(void)
{
    IrUnit *u = begin();
    IrTmp x = ir_getreg(u, REG_X4), y = ir_getreg(u, REG_X7);
    unsigned before = u->count;
    g_assert_cmpuint(ir_getreg(u, REG_X4), ==, x);
    g_assert_cmpuint(ir_binary_imm(u, OP_add, IR_I64, x, 0), ==, x);
    g_assert_cmpuint(ir_binary_imm(u, OP_or, IR_I64, x, 0), ==, x);
    g_assert_cmpuint(ir_binary_imm(u, OP_and, IR_I64, x, -1), ==, x);
    g_assert_cmpuint(ir_binary_imm(u, OP_shl, IR_I64, x, 64), ==, x);
    g_assert_cmpuint(ir_binary_imm(u, OP_mul, IR_I64, x, 1), ==, x);
    g_assert_cmpuint(ir_binary(u, OP_and, IR_I64, x, x), ==, x);
    g_assert_cmpuint(ir_select(u, IR_I64, COND_LT, x, y, y, y), ==, y);
    g_assert_cmpuint(u->count, ==, before);
    IrTmp zero = ir_const(u, IR_I64, 0);
    g_assert_cmpuint(ir_binary_imm(u, OP_and, IR_I64, x, 0), ==, zero);
    g_assert_cmpuint(ir_binary(u, OP_xor, IR_I64, y, y), ==, zero);
    g_assert_cmpuint(ir_binary(u, OP_sub, IR_I64, y, y), ==, zero);
    g_assert_cmpuint(ir_select(u, IR_I64, COND_LTU, x, zero, x, y), ==, y);
    g_assert_cmpuint(u->count, ==, before + 1);
    /* a word operation's extension goes when the next one takes the word */
    IrTmp word = ir_binary(u, OP_add, IR_I32, ir_unary(u, OP_trunc, IR_I32, x), ir_unary(u, OP_trunc, IR_I32, y));
    IrTmp extended = ir_ext(u, IR_I64, MO_32 | MO_SIGNED, word);
    g_assert_cmpuint(ir_unary(u, OP_trunc, IR_I32, extended), ==, word);
    g_assert_cmpuint(ir_ext(u, IR_I64, MO_32 | MO_SIGNED, extended), ==, extended);
    /* registers are known after a write, and not after a helper that writes them or a label */
    ir_setreg(u, REG_X9, x);
    g_assert_cmpuint(ir_getreg(u, REG_X9), ==, x);
    ir_call(u, IR_I64, 4, x, x, x, 0);
    g_assert_cmpuint(ir_getreg(u, REG_X9), !=, x);
    ir_label(u, ir_new_label(u));
    g_assert_cmpuint(ir_const(u, IR_I64, 0), !=, zero);
    /* a getpc that something is added to is one getpc, and a jump to it direct */
    ir_jump_ind(u, ir_binary_imm(u, OP_and, IR_I64, ir_binary_imm(u, OP_add, IR_I64, ir_getpc(u, 0x1000), 0x235), -2));
    g_assert_cmpuint(u->insns[u->count - 1].op, ==, OP_jump);
    g_assert_cmpint(u->insns[u->count - 1].imm, ==, 0x1234);
    check_unit(u);
    ir_unit_free(u);
}

/* What follows the end of a segment leaves no trace; a known condition is a jump or nothing. */
static void test_unreachable(void)
{
    IrUnit *u = begin();
    IrTmp one = ir_const(u, IR_I64, 1);
    int label = ir_new_label(u);
    ir_brcond(u, COND_NE, one, ir_const(u, IR_I64, 1), label);
    ir_brcond(u, COND_EQ, one, ir_const(u, IR_I64, 1), label);
    unsigned before = u->count;
    IrTmp x = ir_getreg(u, REG_X4);
    ir_setreg(u, REG_X7, ir_binary(u, OP_mul, IR_I64, x, ir_getreg(u, REG_X9)));
    ir_st(u, MO_64, x, 0, x);
    ir_jump(u, 0, false);
    g_assert_cmpuint(u->count, ==, before);
    ir_label(u, label);
    ir_setreg(u, REG_X7, ir_getreg(u, REG_X4));
    ir_jump(u, 0, false);
    check_unit(u);
    g_assert_cmpuint(count_op(u, OP_brcond), ==, 0);
    g_assert_cmpuint(count_op(u, OP_br), ==, 1);
    ir_unit_free(u);
}

static void test_overflow(void)
{
    IrUnit *u = begin();
    for (unsigned i = 0; i < IR_MAX_TMPS + 100; i++)
        ir_st(u, MO_64, ir_getreg(u, REG_X4), i,
              ir_binary_imm(u, OP_add, IR_I64, ir_getreg(u, REG_X7), i * INT64_C(1000003)));
    g_assert_true(u->overflow);
    g_assert_cmpuint(u->count, <, IR_MAX_INSNS);
    for (unsigned i = 0; i < IR_MAX_LABELS; i++)
        ir_new_label(u);
    ir_begin(u, world_regs(false), world_reg_count(false), world_helpers);
    for (unsigned i = 0; i < IR_MAX_LABELS; i++)
        ir_new_label(u);
    g_assert_false(u->overflow);
    ir_new_label(u);
    g_assert_true(u->overflow);
    ir_unit_free(u);
}

/* ---- dead stores ---- */

typedef enum {
    BETWEEN_NOTHING,
    BETWEEN_INSN,
    BETWEEN_OTHER_WRITE,
    BETWEEN_PURE_CALL,
    BETWEEN_WRITING_CALL,
    BETWEEN_STATE,
    BETWEEN_FENCE,
    BETWEEN_FLOAT,
    BETWEEN_LABEL,
    BETWEEN_FORWARD_BRANCH, /* writes before these are dead */
    BETWEEN_READ,
    BETWEEN_LOAD,
    BETWEEN_STORE,
    BETWEEN_AMO,
    BETWEEN_CAS,
    BETWEEN_READING_CALL,
    BETWEEN_RAISING_CALL,
    BETWEEN_POLL,
    BETWEEN_BRJUMP,
    BETWEEN_EXIT,
    BETWEEN_BRANCH_PAST,
    BETWEEN_BRANCH_BACK,
    BETWEEN_COUNT
} Between;

/* Emit what stands between two writes of x9. */
static void emit_between(IrUnit *u, Between what, int *past, int back)
{
    IrTmp x = ir_getreg(u, REG_X4);
    int label;
    switch (what) {
    case BETWEEN_INSN:
        ir_insn(u, 4, 4);
        break;
    case BETWEEN_OTHER_WRITE:
        ir_setreg(u, REG_X7, x);
        break;
    case BETWEEN_PURE_CALL:
        ir_call(u, IR_I64, 1, x, 0, 0, 0);
        break;
    case BETWEEN_WRITING_CALL:
        ir_call(u, IR_I64, 4, x, x, x, 0);
        break;
    case BETWEEN_STATE:
        ir_ststate(u, offsetof(WorldState, scratch), MO_64, x);
        break;
    case BETWEEN_FENCE:
        ir_fence(u, FENCE_ALL);
        break;
    case BETWEEN_FLOAT:
        ir_setreg(u, WORLD_X + WORLD_W, ir_fitof(u, IR_F64, false, FROUND_DYN, x));
        break;
    case BETWEEN_LABEL:
        ir_label(u, ir_new_label(u));
        break;
    case BETWEEN_FORWARD_BRANCH: /* the write after its target is the one that counts */
        label = ir_new_label(u);
        ir_brcond(u, COND_EQ, x, ir_const(u, IR_I64, 0), label);
        ir_setreg(u, REG_X7, x);
        ir_label(u, label);
        break;
    case BETWEEN_READ:
        ir_label(u, ir_new_label(u)); /* or the builder would know the value */
        ir_setreg(u, REG_X7, ir_getreg(u, REG_X9));
        break;
    case BETWEEN_LOAD:
        ir_ld(u, IR_I64, MO_64, x, 0);
        break;
    case BETWEEN_STORE:
        ir_st(u, MO_64, x, 0, x);
        break;
    case BETWEEN_AMO:
        ir_amo(u, IR_I64, MO_64, AMO_ADD, x, x);
        break;
    case BETWEEN_CAS:
        ir_cas(u, IR_I64, MO_64, x, x, x);
        break;
    case BETWEEN_READING_CALL:
        ir_call(u, IR_I64, 3, x, 0, 0, 0);
        break;
    case BETWEEN_RAISING_CALL:
        ir_call(u, IR_I64, 6, x, x, 0, 0);
        break;
    case BETWEEN_POLL:
        ir_poll(u, 0);
        break;
    case BETWEEN_BRJUMP:
        ir_brjump(u, COND_EQ, x, ir_const(u, IR_I64, 0), 8);
        break;
    case BETWEEN_EXIT:
        label = ir_new_label(u);
        ir_brcond(u, COND_EQ, x, ir_const(u, IR_I64, 0), label);
        ir_exit(u, 0, EXIT_HALT);
        ir_label(u, label);
        break;
    case BETWEEN_BRANCH_PAST:
        *past = ir_new_label(u);
        ir_brcond(u, COND_EQ, x, ir_const(u, IR_I64, 0), *past);
        break;
    case BETWEEN_BRANCH_BACK:
        ir_brcond(u, COND_EQ, x, ir_const(u, IR_I64, 0), back);
        break;
    default:
        break;
    }
}

static void test_dead_writes(void)
{
    for (Between what = BETWEEN_NOTHING; what < BETWEEN_COUNT; what++) {
        IrUnit *u = begin();
        int past = -1, back = ir_new_label(u);
        ir_label(u, back);
        ir_setreg(u, REG_X9, ir_const(u, IR_I64, 1));
        emit_between(u, what, &past, back);
        ir_setreg(u, REG_X9, ir_const(u, IR_I64, 2));
        if (past >= 0)
            ir_label(u, past);
        ir_jump(u, 0, false);
        check_unit(u);
        ir_optimise(u);
        check_unit(u);
        unsigned writes = 0;
        for (unsigned i = 0; i < u->count; i++)
            writes += u->insns[i].op == OP_setreg && u->insns[i].imm == REG_X9;
        if (writes != (what >= BETWEEN_READ ? 2 : 1)) {
            g_autofree char *text = ir_dump(u);
            g_error("case %d: %u writes\n%s", what, writes, text);
        }
        ir_unit_free(u);
    }
}

static void test_fusing(void)
{
    static const IrOp users[] = { OP_brcond, OP_brjump, OP_select };
    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(users); i++) {
        IrUnit *u = begin();
        IrTmp x = ir_getreg(u, REG_X4), y = ir_getreg(u, REG_X7), zero = ir_const(u, IR_I64, 0);
        IrTmp truth = ir_setcond(u, IR_I64, COND_LTU, x, y);
        int label = ir_new_label(u);
        if (i & 1) /* a second use: the setcond stays */
            ir_setreg(u, REG_X9, truth);
        if (users[i / 2] == OP_brcond)
            ir_brcond(u, COND_EQ, truth, zero, label);
        else if (users[i / 2] == OP_brjump)
            ir_brjump(u, COND_EQ, truth, zero, 8);
        else
            ir_setreg(u, REG_X7, ir_select(u, IR_I64, COND_EQ, truth, zero, x, y));
        ir_label(u, label);
        ir_jump(u, 0, false);
        ir_optimise(u);
        check_unit(u);
        g_assert_cmpuint(count_op(u, OP_setcond), ==, i & 1);
        for (unsigned j = 0; j < u->count; j++)
            if (u->insns[j].op == users[i / 2])
                g_assert_cmpuint(u->insns[j].aux, ==, i & 1 ? COND_EQ : COND_GEU);
        ir_unit_free(u);
    }
}

/* A loop: x4 walks along; x7 is what is looked up, and x9 where. */
typedef enum { LOOKUP_TABLE, LOOKUP_LIST, LOOKUP_TWO_STEPS, LOOKUP_BY_INDEX, LOOKUP_RESTARTED, LOOKUP_ONCE } Lookup;

static void emit_lookup(IrUnit *u, Lookup what)
{
    IrTmp x = ir_getreg(u, REG_X7), next = ir_ld(u, IR_I64, MO_8, ir_getreg(u, REG_X4), 0);
    if (what == LOOKUP_TABLE) {
        x = ir_binary_imm(u, OP_and, IR_I64, ir_binary(u, OP_xor, IR_I64, x, next), 255);
        x = ir_binary(u, OP_add, IR_I64, x, ir_getreg(u, REG_X9));
    } else if (what == LOOKUP_TWO_STEPS) {
        x = ir_ld(u, IR_I64, MO_64, x, 8);
    } else if (what == LOOKUP_BY_INDEX) {
        x = next;
    } else if (what == LOOKUP_RESTARTED) {
        ir_setreg(u, REG_X7, ir_getreg(u, REG_X9));
        x = ir_getreg(u, REG_X7);
    }
    ir_setreg(u, REG_X7, ir_ld(u, IR_I64, MO_64, x, 16));
    ir_setreg(u, REG_X4, ir_binary_imm(u, OP_add, IR_I64, ir_getreg(u, REG_X4), 1));
}

static void test_recurrent(void)
{
    static const char *const expected[] = {
        [LOOKUP_TABLE] = "-+",    [LOOKUP_LIST] = "-+",      [LOOKUP_TWO_STEPS] = "-++",
        [LOOKUP_BY_INDEX] = "--", [LOOKUP_RESTARTED] = "--", [LOOKUP_ONCE] = "--"
    };
    for (Lookup what = LOOKUP_TABLE; what <= LOOKUP_ONCE; what++) {
        IrUnit *u = begin();
        int outer = ir_new_label(u), inner = ir_new_label(u), past = ir_new_label(u);
        g_autoptr(GString) marks = g_string_new(NULL);
        ir_label(u, outer);
        ir_setreg(u, REG_X9, ir_const(u, IR_I64, 0));
        ir_label(u, inner);
        emit_lookup(u, what);
        IrTmp x = ir_getreg(u, REG_X4), end = ir_const(u, IR_I64, 100);
        ir_poll(u, 0);
        ir_brcond(u, COND_NE, x, end, what == LOOKUP_ONCE ? past : inner);
        if (what != LOOKUP_ONCE)
            ir_brcond(u, COND_EQ, x, ir_getreg(u, REG_X7), outer);
        ir_label(u, past);
        ir_jump(u, 0, false);
        ir_optimise(u);
        ir_mark_recurrent(u);
        ir_group_accesses(u);
        check_unit(u);
        for (unsigned i = 0; i < u->count; i++)
            if (u->insns[i].op == OP_ld)
                g_string_append_c(marks, u->insns[i].flags & IR_LD_RECURRENT ? '+' : '-');
        g_assert_cmpstr(marks->str, ==, expected[what]);
        ir_unit_free(u);
    }
}

/* uses and last_use by their definition. */
static void check_uses(const IrUnit *u)
{
    g_autofree uint16_t *uses = g_new0(uint16_t, u->tmp_count), *last = g_new0(uint16_t, u->tmp_count);
    for (unsigned i = 0; i < u->count; i++) {
        const IrInsn *insn = &u->insns[i];
        for (unsigned a = 0; a < 4; a++) {
            uses[insn->arg[a]]++;
            last[insn->arg[a]] = (uint16_t)i;
        }
    }
    for (unsigned i = 0; i < u->count; i++) {
        IrTmp t = u->insns[i].dst;
        if (!t)
            continue;
        g_assert_cmpuint(u->tmps[t].uses, ==, uses[t]);
        g_assert_cmpuint(u->tmps[t].def, ==, i);
        if (uses[t])
            g_assert_cmpuint(u->tmps[t].constant ? MIN(last[t], u->tmps[t].last_use) : u->tmps[t].last_use, ==,
                             last[t]);
    }
}

/* Random units do the same before and after the passes. */
static void test_passes(void)
{
    World *start = world_new(), *plain = world_new(), *passed = world_new();
    IrUnit *u = ir_unit_new();
    unsigned before = 0, after = 0;
    for (uint64_t seed = 1; seed <= 4000; seed++) {
        bool narrow = seed & 1;
        world_random_unit(u, narrow, 10 + (unsigned)(seed % 150), seed, NULL);
        check_unit(u);
        IrUnit *copy = ir_unit_copy(u);
        ir_optimise(u);
        check_unit(u);
        check_uses(u);
        before += copy->count;
        after += u->count - count_op(u, OP_nop);
        world_randomise(start, narrow, false, seed);
        world_copy(plain, start);
        world_copy(passed, start);
        IrExit plain_exit = ir_interpret(copy, &plain->state.cs), passed_exit = ir_interpret(u, &passed->state.cs);
        g_autofree char *difference = world_difference(plain, passed, narrow);
        if (difference || plain_exit != passed_exit) {
            g_autofree char *text = ir_dump(copy), *passed_text = ir_dump(u);
            g_error("seed %u: exits %d, %d;%s\n%s\n%s", (unsigned)seed, plain_exit, passed_exit, difference, text,
                    passed_text);
        }
        ir_unit_free(copy);
    }
    g_assert_cmpuint(after, <, before);
    ir_unit_free(u);
    world_free(start);
    world_free(plain);
    world_free(passed);
}

/* ---- verifier ---- */

/* A fair unit, and where its instructions are. */
static IrUnit *sample(unsigned *add, unsigned *load, unsigned *branch, unsigned *label)
{
    IrUnit *u = begin();
    IrTmp x = ir_getreg(u, REG_X4), y = ir_getreg(u, REG_X7);
    int target = ir_new_label(u);
    *add = u->count;
    IrTmp sum = ir_binary(u, OP_add, IR_I64, x, y);
    *load = u->count;
    IrTmp value = ir_ld(u, IR_I64, MO_64, sum, 0);
    *branch = u->count;
    ir_brcond(u, COND_LT, value, sum, target);
    ir_setreg(u, REG_X9, sum);
    *label = u->count;
    ir_label(u, target);
    ir_setreg(u, REG_X7, ir_getreg(u, REG_X9));
    ir_jump(u, 0, false);
    return u;
}

static void test_verifier(void)
{
    unsigned add, load, branch, label;
    for (unsigned error = 0; error < 19; error++) {
        IrUnit *u = sample(&add, &load, &branch, &label);
        IrInsn *insns = u->insns;
        check_unit(u);
        switch (error) {
        case 0:
            insns[add].op = OP_COUNT;
            break;
        case 1:
            insns[add].type = IR_F64;
            break;
        case 2: /* another type than its temporary */
            insns[add].type = IR_I32;
            break;
        case 3:
            insns[add].arg[1] = 0;
            break;
        case 4:
            insns[add].arg[2] = insns[add].arg[0];
            break;
        case 5: /* used before it is defined */
            insns[add].arg[0] = insns[load].dst;
            break;
        case 6: /* assigned twice */
            insns[load].dst = insns[add].dst;
            break;
        case 7:
            insns[add].dst = 0;
            break;
        case 8: /* of another segment */
            insns[label + 2].arg[0] = insns[add].dst;
            break;
        case 9:
            insns[branch].imm = 7;
            break;
        case 10: /* a label that is nowhere */
            insns[branch].imm = ir_new_label(u);
            break;
        case 11:
            insns[branch].aux = 77;
            break;
        case 12: /* falls off the end */
            u->count--;
            break;
        case 13: /* the middle cannot be reached */
            insns[branch] = (IrInsn){ .op = OP_br, .imm = insns[branch].imm };
            break;
        case 14:
            insns[label + 1].imm = 99;
            break;
        case 15: /* an I64 in an F64 register */
            insns[label + 2].imm = WORLD_X + WORLD_W;
            break;
        case 16: /* wider than the type */
            u->tmps[insns[load].dst].type = insns[load].type = IR_I32;
            insns[branch].arg[0] = insns[branch].arg[1];
            break;
        case 17: /* state behind a register's back */
            insns[add] = (IrInsn){ .op = OP_ldstate,
                                   .type = IR_I64,
                                   .aux = MO_64,
                                   .dst = insns[add].dst,
                                   .imm = offsetof(WorldState, x) + 12 };
            break;
        default:
            u->tmps[insns[add].dst].def = 0;
            break;
        }
        g_autofree char *message = ir_verify(u);
        if (!message)
            g_error("error %u was not found", error);
        ir_unit_free(u);
    }
}

static void test_dump(void)
{
    unsigned add, load, branch, label;
    IrUnit *u = sample(&add, &load, &branch, &label);
    g_autofree char *text = ir_dump(u);
    g_assert_cmpstr(text, ==,
                    " ---- +0x000, 4 bytes\n"
                    "    t1:i64 = getreg x4\n"
                    "    t2:i64 = getreg x7\n"
                    "    t3:i64 = add t1, t2\n"
                    "    t4:i64 = ld.64 [t3]\n"
                    "    brcond:i64 t4 < t3, L0\n"
                    "    setreg:i64 x9 t3\n"
                    "label L0\n"
                    "    t5:i64 = getreg x9\n"
                    "    setreg:i64 x7 t5\n"
                    "    jump pc_base+0x0\n");
    ir_unit_free(u);
}

/* Pieces end at branches, labels and after 15 instructions; what is left of one stands in each instruction. */
static void test_count(void)
{
    static const uint8_t lengths[] = { 3, 2, 15, 5 };
    IrUnit *u = ir_unit_new();
    unsigned icounts = 0, offset = 0;
    ir_begin(u, world_regs(false), world_reg_count(false), world_helpers);
    u->counted = true;
    int label = ir_new_label(u);
    for (unsigned i = 0; i < 25; i++, offset += 4) {
        if (i == 5)
            ir_label(u, label);
        ir_insn(u, (int32_t)offset, 4);
        if (i == 2)
            ir_brcond(u, COND_EQ, ir_getreg(u, 1), ir_getreg(u, 2), label);
    }
    ir_jump(u, offset, false);
    ir_count_insns(u);
    g_autofree char *invalid = ir_verify(u);
    g_assert_null(invalid);
    unsigned rest = 0;
    for (unsigned i = 0; i < u->count; i++) {
        const IrInsn *insn = &u->insns[i];
        if (insn->op == OP_icount) {
            g_assert_cmpuint(rest, ==, 0);
            g_assert_cmpuint(insn->aux, ==, lengths[icounts]);
            g_assert_cmpint(insn->imm, ==, u->insns[i + 1].imm);
            rest = lengths[icounts++];
        } else if (insn->op == OP_insn) {
            g_assert_cmpuint(insn->flags, ==, rest--);
        }
    }
    g_assert_cmpuint(icounts, ==, G_N_ELEMENTS(lengths));
    ir_unit_free(u);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ir/semantics", test_semantics);
    g_test_add_func("/ir/folding", test_folding);
    g_test_add_func("/ir/words", test_words);
    g_test_add_func("/ir/identities", test_identities);
    g_test_add_func("/ir/unreachable", test_unreachable);
    g_test_add_func("/ir/overflow", test_overflow);
    g_test_add_func("/ir/dead-writes", test_dead_writes);
    g_test_add_func("/ir/fusing", test_fusing);
    g_test_add_func("/ir/recurrent", test_recurrent);
    g_test_add_func("/ir/passes", test_passes);
    g_test_add_func("/ir/verifier", test_verifier);
    g_test_add_func("/ir/dump", test_dump);
    g_test_add_func("/ir/count", test_count);
    return g_test_run();
}
