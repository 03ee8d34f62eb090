/*
 * The interpreter: runs a unit's IR on the state (see ir.h, ops.def). It is the oracle for the back ends and runs on
 * any host; floating point is soft-float only.
 * SPDX-License-Identifier: MIT
 */
#include "target/target.h"
#include "tcg/ir.h"
#include "tcg/ir_host.h"
#include "tcg/runtime.h"
#include "tcg/softfloat.h"
#include <string.h>

typedef struct Run {
    const IrUnit *u;
    CpuState *cs;
    const IrInsn *insn;      /* the guest instruction's */
    uint64_t t[IR_MAX_TMPS]; /* I32 values are kept sign-extended */
    IrVector v[IR_MAX_TMPS];
} Run;

static uint64_t normal(unsigned type, uint64_t v)
{
    return type == IR_I32 ? (uint64_t)(int64_t)(int32_t)v : v;
}

static void *state_at(Run *r, int64_t offset)
{
    return (char *)r->cs + offset;
}

static uint64_t load_state(const void *p, unsigned memop)
{
    uint64_t v = 0;
    unsigned bytes = MO_BYTES(memop), shift = 64 - 8 * bytes;
    memcpy(&v, p, bytes);
    return memop & MO_SIGNED ? (uint64_t)((int64_t)(v << shift) >> shift) : v;
}

static uint64_t read_reg(Run *r, unsigned reg)
{
    const GuestReg *g = &r->u->regs[reg];
    return load_state(state_at(r, g->offset), g->type == IR_I32 ? MO_32 | MO_SIGNED : MO_64);
}

static void write_reg(Run *r, unsigned reg, uint64_t v)
{
    const GuestReg *g = &r->u->regs[reg];
    memcpy(state_at(r, g->offset), &v, g->type == IR_I32 ? 4 : 8);
}

static bool holds(IrCond cond, unsigned type, uint64_t a, uint64_t b)
{
    if (type == IR_I32) { /* both forms at once: sign-extension keeps the unsigned order, too */
        a = (uint64_t)(int64_t)(int32_t)a;
        b = (uint64_t)(int64_t)(int32_t)b;
    }
    switch (cond) {
    case COND_EQ:
        return a == b;
    case COND_NE:
        return a != b;
    case COND_LT:
        return (int64_t)a < (int64_t)b;
    case COND_GE:
        return (int64_t)a >= (int64_t)b;
    case COND_LE:
        return (int64_t)a <= (int64_t)b;
    case COND_GT:
        return (int64_t)a > (int64_t)b;
    case COND_LTU:
        return a < b;
    case COND_GEU:
        return a >= b;
    case COND_LEU:
        return a <= b;
    default:
        return a > b;
    }
}

static uint64_t divide(IrOp op, uint64_t a, uint64_t b, bool wide)
{
    if (op == OP_divu || op == OP_remu) {
        if (!wide) {
            a = (uint32_t)a;
            b = (uint32_t)b;
        }
        return op == OP_divu ? (b ? a / b : UINT64_MAX) : b ? a % b : a;
    }
    if (b == 0 || b == UINT64_MAX)
        return op == OP_divs ? (b ? 0 - a : UINT64_MAX) : b ? 0 : a;
    return op == OP_divs ? (uint64_t)((int64_t)a / (int64_t)b) : (uint64_t)((int64_t)a % (int64_t)b);
}

static uint64_t multiply_high(IrOp op, uint64_t a, uint64_t b, bool wide)
{
    __int128 x = (int64_t)a, y = (int64_t)b;
    if (op == OP_mulhu)
        x = wide ? (__int128)a : (__int128)(uint32_t)a;
    if (op != OP_mulhs)
        y = wide ? (__int128)b : (__int128)(uint32_t)b;
    return (unsigned __int128)x * (unsigned __int128)y >> (wide ? 64 : 32);
}

static uint64_t integer(const IrInsn *i, uint64_t a, uint64_t b)
{
    bool wide = i->type == IR_I64;
    if (!wide && i->op != OP_ext) { /* an optimised unit has I64 inputs where only the low half counts */
        a = normal(IR_I32, a);
        b = normal(IR_I32, b);
    }
    unsigned width = wide ? 64 : 32, n = b & (width - 1);
    uint64_t x = wide ? a : (uint32_t)a;
    switch (i->op) {
    case OP_add:
        return a + b;
    case OP_sub:
        return a - b;
    case OP_mul:
        return a * b;
    case OP_mulhs:
    case OP_mulhu:
    case OP_mulhsu:
        return multiply_high(i->op, a, b, wide);
    case OP_divs:
    case OP_divu:
    case OP_rems:
    case OP_remu:
        return divide(i->op, a, b, wide);
    case OP_and:
        return a & b;
    case OP_or:
        return a | b;
    case OP_xor:
        return a ^ b;
    case OP_andc:
        return a & ~b;
    case OP_shl:
        return x << n;
    case OP_shr:
        return x >> n;
    case OP_sar:
        return (uint64_t)((int64_t)a >> n);
    case OP_rotl:
        return n ? x << n | x >> (width - n) : x;
    case OP_rotr:
        return n ? x >> n | x << (width - n) : x;
    case OP_ext:
        return load_state(&a, i->aux & (MO_SIZE | MO_SIGNED));
    case OP_trunc:
        return a;
    case OP_clz:
        return x ? (unsigned)__builtin_clzll(x) - (64 - width) : width;
    case OP_ctz:
        return x ? (unsigned)__builtin_ctzll(x) : width;
    case OP_popcnt:
        return __builtin_popcountll(x);
    default: /* bswap */
        return wide ? __builtin_bswap64(x) : __builtin_bswap32(x);
    }
}

static uint64_t floating(Run *r, const IrInsn *i, uint64_t a, uint64_t b, uint64_t c)
{
    unsigned source = r->u->tmps[i->arg[0]].type;
    uint64_t sign = i->type == IR_F32 ? 1ull << 31 : 1ull << 63;
    switch (i->op) {
    case OP_fbits:
        return a;
    case OP_fofbits:
        return i->type == IR_F32 ? (uint32_t)a : a;
    case OP_fbox:
        return 0xffffffff00000000 | (uint32_t)a;
    case OP_funbox:
        return a >> 32 == 0xffffffff ? (uint32_t)a : 0x7fc00000;
    case OP_fsgn:
        return (a & ~sign) | ((i->imm == 0 ? b : i->imm == 1 ? ~b : a ^ b) & sign);
    default:
        return soft_fp(r->cs, a, b, c, SOFT_WHAT(i->op, i->type, i->aux, i->imm & 3, source));
    }
}

static void exact_pc(Run *r)
{
    r->cs->pc = r->cs->pc_base + r->insn->imm;
    r->cs->icount_rest = r->insn->flags;
}

static uint64_t address(Run *r, const IrInsn *i)
{
    uint64_t a = r->t[i->arg[0]] + (i->op == OP_ld || i->op == OP_st ? i->imm : 0);
    return r->u->tmps[i->arg[0]].type == IR_I32 ? (uint32_t)a : a;
}

/* Memory operations; the result is normalised to the type. */
static uint64_t memory(Run *r, const IrInsn *i)
{
    exact_pc(r);
    switch (i->op) {
    case OP_ld:
        return tcg_load(r->cs, address(r, i), i->aux);
    case OP_st:
        tcg_store_again(r->cs, address(r, i), r->t[i->arg[1]], i->aux);
        return 0;
    case OP_amo:
        return tcg_amo(r->cs, address(r, i), r->t[i->arg[1]], i->aux, i->imm);
    default:
        return tcg_cas(r->cs, address(r, i), r->t[i->arg[1]], r->t[i->arg[2]], i->aux);
    }
}

/* Loads and stores of vectors. */
static void vector_memory(Run *r, const IrInsn *i)
{
    IrVector *v = &r->v[i->op == OP_ld ? i->dst : i->arg[1]];
    exact_pc(r);
    if (i->op == OP_st) {
        tcg_store_vector(r->cs, address(r, i), v->bytes, i->aux);
        return;
    }
    memset(v, 0, sizeof(*v));
    tcg_load_vector(r->cs, address(r, i), v->bytes, i->aux);
}

static bool call(Run *r, const IrInsn *i)
{
    const HelperDesc *h = &r->u->helpers[i->imm];
    exact_pc(r);
    uint64_t v = h->fn(r->cs, r->t[i->arg[0]], r->t[i->arg[1]], r->t[i->arg[2]], r->t[i->arg[3]]);
    r->t[i->dst] = normal(i->type, v);
    return !r->cs->raised;
}

/* Host address of guest memory if its page is in the TLB. */
static uint64_t probe(Run *r, const IrInsn *i)
{
    uint64_t va = address(r, i), last = va + i->imm - 1;
    const TlbEntry *e = i->aux ? r->cs->set->write : r->cs->set->read;
    e += va >> GUEST_PAGE_BITS & (TLB_SIZE - 1);
    if (__atomic_load_n(&e->tag, __ATOMIC_ACQUIRE) != (last & GUEST_PAGE_MASK))
        return 0;
    return va + __atomic_load_n(&e->addend, __ATOMIC_RELAXED);
}

static void vector(Run *r, const IrInsn *i)
{
    IrVector *d = &r->v[i->dst], out = { { 0 } };
    const IrVector *v[3];
    uint64_t t[3];
    switch (i->op) {
    case OP_vldstate:
    case OP_vld:
        memcpy(&out, i->op == OP_vld ? (void *)(uintptr_t)(r->t[i->arg[0]] + i->imm) : state_at(r, i->imm),
               1u << i->aux);
        *d = out;
        break;
    case OP_vststate:
        memcpy(state_at(r, i->imm), &r->v[i->arg[0]], 1u << i->aux);
        break;
    case OP_vst:
        memcpy((void *)(uintptr_t)(r->t[i->arg[0]] + i->imm), &r->v[i->arg[1]], 1u << i->aux);
        break;
    case OP_probe:
        r->t[i->dst] = probe(r, i);
        break;
    default:
        for (unsigned k = 0; k < 3; k++) {
            v[k] = &r->v[i->arg[k]];
            t[k] = r->t[i->arg[k]];
        }
        r->t[i->dst] = normal(i->type, ir_interpret_vector(r->cs, r->u, i, v, t, &out));
        *d = out;
    }
}

IrExit ir_interpret(const IrUnit *u, CpuState *cs)
{
    static _Thread_local Run run;
    static const IrInsn none;
    Run *r = &run;
    __asm__("" : "+r"(r)); /* its address is in a register, rather than worked out at each use */
    r->u = u;
    r->cs = cs;
    r->insn = &none;
    r->t[0] = 0;
    for (unsigned n = 0; n < u->count; n++) {
        const IrInsn *i = &u->insns[n];
        uint64_t a = r->t[i->arg[0]], b = r->t[i->arg[1]];
        switch (i->op) {
        case OP_nop:
        case OP_label:
            break;
        case OP_const:
            r->t[i->dst] = i->imm;
            break;
        case OP_getreg:
            if (ir_is_vector(i->type))
                memcpy(&r->v[i->dst], state_at(r, u->regs[i->imm].offset), sizeof(IrVector));
            else
                r->t[i->dst] = read_reg(r, i->imm);
            break;
        case OP_setreg:
            if (ir_is_vector(i->type))
                memcpy(state_at(r, u->regs[i->imm].offset), &r->v[i->arg[0]], sizeof(IrVector));
            else
                write_reg(r, i->imm, a);
            break;
        case OP_ldstate:
            r->t[i->dst] = normal(i->type, load_state(state_at(r, i->imm), i->aux));
            break;
        case OP_ststate:
            memcpy(state_at(r, i->imm), &a, MO_BYTES(i->aux));
            break;
        case OP_getpc:
            r->t[i->dst] = cs->pc_base + i->imm;
            break;
        case OP_insn:
            r->insn = i;
            break;
        case OP_setcond:
            r->t[i->dst] = holds(i->aux, u->tmps[i->arg[0]].type, a, b);
            break;
        case OP_select:
            r->t[i->dst] = normal(i->type, r->t[i->arg[holds(i->aux, u->tmps[i->arg[0]].type, a, b) ? 2 : 3]]);
            break;
        case OP_br:
            n = u->label_insn[i->imm];
            break;
        case OP_brcond:
            if (holds(i->aux, i->type, a, b))
                n = u->label_insn[i->imm];
            break;
        case OP_brjump:
            if (!holds(i->aux, i->type, a, b))
                break;
            cs->pc = cs->pc_base + i->imm;
            return EXIT_LOOKUP;
        case OP_poll:
            if (__atomic_load_n(&cs->poll, __ATOMIC_RELAXED)) {
                cs->pc = cs->pc_base + i->imm;
                cs->icount += r->insn->flags; /* the instruction is done over */
                return EXIT_POLL;
            }
            break;
        case OP_icount:
            if (cs->icount < i->aux) {
                cs->pc = cs->pc_base + i->imm;
                return EXIT_ICOUNT;
            }
            cs->icount -= i->aux;
            break;
        case OP_jump:
            cs->pc = cs->pc_base + i->imm;
            return EXIT_LOOKUP;
        case OP_jump_ind:
            cs->pc = i->type == IR_I32 ? (uint32_t)a : a;
            return EXIT_LOOKUP;
        case OP_lookup:
            return EXIT_LOOKUP;
        case OP_exit:
            cs->pc = cs->pc_base + i->imm;
            return i->aux;
        case OP_ld:
        case OP_st:
        case OP_amo:
        case OP_cas: {
            if (ir_is_vector(i->type)) {
                vector_memory(r, i);
                if (cs->raised)
                    return EXIT_LOOKUP;
                break;
            }
            uint64_t v = memory(r, i);
            if (cs->raised)
                return EXIT_LOOKUP;
            if (i->dst)
                r->t[i->dst] = normal(i->type, v);
            break;
        }
        case OP_fence:
            __atomic_thread_fence(__ATOMIC_SEQ_CST);
            break;
        case OP_guard:
            if (*(uint8_t *)state_at(r, (uint32_t)i->imm)) {
                exact_pc(r);
                u->helpers[i->aux].fn(cs, (uint64_t)i->imm >> 32, 0, 0, 0);
                return EXIT_LOOKUP;
            }
            break;
        case OP_call:
            if (!call(r, i))
                return EXIT_LOOKUP;
            break;
        case OP_x87:
        case OP_x87test: {
            uint64_t v = ir_x87_run(cs, i->imm, i->aux, i->op == OP_x87test ? i->flags : 0);
            r->t[i->dst] = normal(i->type, v);
            break;
        }
        case OP_fcmp:
        case OP_fftoi:
            r->t[i->dst] = normal(i->type, floating(r, i, a, b, 0));
            break;
        default:
            if (i->op >= OP_vldstate) {
                vector(r, i);
                break;
            }
            r->t[i->dst] = i->op >= OP_fadd ? normal(i->type, floating(r, i, a, b, r->t[i->arg[2]]))
                                            : normal(i->type, integer(i, a, b));
        }
    }
    cs->pc = cs->pc_base + r->insn->imm;
    return EXIT_LOOKUP;
}
