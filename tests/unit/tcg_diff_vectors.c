/*
 * Vectors, instructions of the host and x87 operations in units: random ones, by both executors.
 * SPDX-License-Identifier: MIT
 */
#include "tcg/emit.h"
#include "tcg/ir_host.h"
#include "tcg_diff.h"
#include <stdio.h>
#include <string.h>

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

/* Both executors on several states, with these flags of fp_round besides. */
static void check_unit(IrUnit *u, uint64_t seed, uint8_t round)
{
    IrUnit *raw;
    char *difference = NULL;
    uint32_t offset = compile(u, &raw);
    for (unsigned i = 0; i < STATES && !difference; i++) {
        world_randomise(start, false, i & 1, seed * STATES + i);
        start->state.cs.fp_round |= round;
        world_copy(interpreted, start);
        world_copy(compiled, start);
        ir_interpret(raw, &interpreted->state.cs);
        interpreted->state.cs.raised = 0;
        enter(compiled, offset);
        difference = world_difference(interpreted, compiled, false);
    }
    if (difference)
        fail_unit(raw, difference, seed, 0, 0);
    ir_unit_free(raw);
}

void test_vectors(void)
{
    if (!emit_vectors()) {
        g_test_skip("the host has no AVX2");
        return;
    }
    uint64_t first = setting("TCG_DIFF_SEED", 1), count = setting("TCG_DIFF_COUNT", 40000) / 4;
    VectorGen g = { .u = ir_unit_new() };
    cache_renew();
    for (uint64_t seed = first; seed < first + count; seed++) {
        snprintf(doing, sizeof(doing), "crash at TCG_DIFF_SEED=%" G_GUINT64_FORMAT "\n", seed);
        vector_unit(&g, seed);
        check_unit(g.u, seed, 0);
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

void test_host_instructions(void)
{
    if (!emit_vectors()) {
        g_test_skip("the host has no AVX2");
        return;
    }
    uint64_t first = setting("TCG_DIFF_SEED", 1), count = setting("TCG_DIFF_COUNT", 40000) / 4;
    VectorGen g = { .u = ir_unit_new() };
    world_vectors = true;
    cache_renew();
    for (uint64_t seed = first; seed < first + count; seed++) {
        snprintf(doing, sizeof(doing), "crash in host instructions of TCG_DIFF_SEED=%" G_GUINT64_FORMAT "\n", seed);
        if (seed % 8)
            host_unit(&g, seed);
        else
            host_loop(g.u, seed);
        check_unit(g.u, seed, (uint8_t)(seed & (IR_FP_FLUSH | IR_FP_DENORMALS_ZERO)));
    }
    ir_unit_free(g.u);
    world_vectors = false;
    cache_renew();
}
