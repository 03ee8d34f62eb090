/*
 * Interpreter of the intermediate representation: the oracle for back ends, and the executor on hosts without one.
 *
 * It takes every operation from tcg/ops.def as it stands there. Temporaries are 64-bit words: I32 sign-extended (see
 * tcg/eval.h), F32 zero-extended bits. It never computes in host floating point.
 * SPDX-License-Identifier: MIT
 */
#include "target/target.h"
#include "tcg/eval.h"
#include "tcg/softfloat.h"

#define NAN_BOX UINT64_C(0xffffffff00000000)

typedef struct Interp {
    const IrUnit *u;
    CpuState *cs;
    int64_t pc;              /* offset of the guest instruction from pc_base */
    uint64_t t[IR_MAX_TMPS]; /* temporaries */
} Interp;

/* ---- registers and state ---- */

static uint64_t read_reg(const Interp *r, const IrInsn *insn)
{
    const void *place = (const char *)r->cs + r->u->regs[insn->imm].offset;
    return insn->type == IR_I32 ? (uint64_t) * (const int32_t *)place : *(const uint64_t *)place;
}

static void write_state(Interp *r, int64_t offset, unsigned size, uint64_t value)
{
    void *place = (char *)r->cs + offset;
    switch (size) {
    case 1:
        *(uint8_t *)place = (uint8_t)value;
        break;
    case 2:
        *(uint16_t *)place = (uint16_t)value;
        break;
    case 4:
        *(uint32_t *)place = (uint32_t)value;
        break;
    default:
        *(uint64_t *)place = value;
        break;
    }
}

static uint64_t load_state(const Interp *r, const IrInsn *insn)
{
    const void *place = (const char *)r->cs + insn->imm;
    uint64_t value;
    switch (insn->aux & MO_SIZE) {
    case MO_8:
        value = *(const uint8_t *)place;
        break;
    case MO_16:
        value = *(const uint16_t *)place;
        break;
    case MO_32:
        value = *(const uint32_t *)place;
        break;
    default:
        value = *(const uint64_t *)place;
        break;
    }
    return (uint64_t)ir_canonical((IrType)insn->type, (uint64_t)ir_extend(insn->aux, value));
}

/* ---- memory; cs->pc is made exact first ---- */

static void exact_pc(Interp *r)
{
    r->cs->pc = r->cs->pc_base + (uint64_t)r->pc;
}

/* Bytes of memory as a temporary of the instruction's type. */
static uint64_t from_memory(const IrInsn *insn, uint64_t value)
{
    switch (insn->type) {
    case IR_F32:
        return (uint32_t)value;
    case IR_F64:
        return value;
    default:
        return (uint64_t)ir_canonical((IrType)insn->type, (uint64_t)ir_extend(insn->aux, value));
    }
}

static uint64_t address(const Interp *r, const IrInsn *insn)
{
    uint64_t sum = r->t[insn->arg[0]] + (uint64_t)insn->imm;
    return r->u->tmps[insn->arg[0]].type == IR_I32 ? (uint32_t)sum : sum;
}

static uint64_t atomic_address(const Interp *r, const IrInsn *insn)
{
    uint64_t base = r->t[insn->arg[0]];
    return r->u->tmps[insn->arg[0]].type == IR_I32 ? (uint32_t)base : base;
}

static void load(Interp *r, const IrInsn *insn)
{
    exact_pc(r);
    r->t[insn->dst] = from_memory(insn, tcg_load(r->cs, address(r, insn), insn->aux));
}

static void store(Interp *r, const IrInsn *insn)
{
    exact_pc(r);
    tcg_store(r->cs, address(r, insn), (uint64_t)ir_extend(insn->aux & MO_SIZE, r->t[insn->arg[1]]), insn->aux);
}

static void atomic(Interp *r, const IrInsn *insn)
{
    exact_pc(r);
    uint64_t va = atomic_address(r, insn), operand = r->t[insn->arg[1]], old;
    if (insn->op == OP_amo)
        old = tcg_amo(r->cs, va, operand, insn->aux, (uint32_t)insn->imm);
    else
        old = tcg_cas(r->cs, va, operand, r->t[insn->arg[2]], insn->aux);
    r->t[insn->dst] = from_memory(insn, old);
}

/* ---- helpers ---- */

static void call(Interp *r, const IrInsn *insn)
{
    const HelperDesc *helper = &r->u->helpers[insn->imm];
    const IrTmp *arg = insn->arg;
    if (helper->flags & (HELPER_RAISES | HELPER_READS))
        exact_pc(r);
    uint64_t result = helper->fn(r->cs, r->t[arg[0]], r->t[arg[1]], r->t[arg[2]], r->t[arg[3]]);
    if (insn->dst)
        r->t[insn->dst] = (uint64_t)ir_canonical((IrType)insn->type, result);
}

/* ---- floating point ---- */

static uint64_t compute_fp(Interp *r, const IrInsn *insn)
{
    const IrTmp *arg = insn->arg;
    uint32_t what = SOFT_WHAT(insn->op, insn->type, insn->aux, insn->imm, r->u->tmps[arg[0]].type);
    return soft_fp(r->cs, r->t[arg[0]], r->t[arg[1]], r->t[arg[2]], what);
}

static uint64_t with_sign_of(const IrInsn *insn, uint64_t a, uint64_t b)
{
    uint64_t sign = insn->type == IR_F32 ? UINT64_C(1) << 31 : UINT64_C(1) << 63;
    switch (insn->imm) {
    case 0:
        return (a & ~sign) | (b & sign);
    case 1:
        return (a & ~sign) | (~b & sign);
    default:
        return a ^ (b & sign);
    }
}

/* ---- dispatch ---- */

static IrExit leave_to(CpuState *cs, uint64_t pc, IrExit why)
{
    cs->pc = pc;
    return why;
}

static IrExit leave_raised(CpuState *cs)
{
    cs->raised = 0;
    return EXIT_LOOKUP;
}

#define A               r.t[insn->arg[0]]
#define B               r.t[insn->arg[1]]
#define C               r.t[insn->arg[2]]
#define D               r.t[insn->arg[3]]
#define RESULT          r.t[insn->dst]
#define TYPE            ((IrType)insn->type)
#define PC(o)           (cs->pc_base + (uint64_t)(o))
#define NEXT            goto *labels[(++insn)->op]
#define OPERATION(name) do_##name:
#define CONDITION       ir_compare((IrCond)insn->aux, (int64_t)A, (int64_t)B)
#define LEAVE_IF_RAISED \
    if (cs->raised)     \
    return leave_raised(cs)
#define BINARY(name)                                                            \
    OPERATION(name)                                                             \
    RESULT = (uint64_t)ir_eval_binary(OP_##name, TYPE, (int64_t)A, (int64_t)B); \
    NEXT
#define UNARY(name)                                                \
    OPERATION(name)                                                \
    RESULT = (uint64_t)ir_eval_unary(OP_##name, TYPE, (int64_t)A); \
    NEXT

/* clang-format off */
IrExit ir_interpret(const IrUnit *u, CpuState *cs)
{
    static const void *const labels[] = {
#define OP(name, out, in, types, effects, help) &&do_##name,
#include "tcg/ops.def"
#undef OP
    };
    Interp r;
    r.u = u;
    r.cs = cs;
    r.pc = 0;
    r.t[0] = 0;
    const IrInsn *insn = u->insns;
    goto *labels[insn->op];

    OPERATION(const)
    RESULT = (uint64_t)insn->imm;
    NEXT;
    OPERATION(getreg)
    RESULT = read_reg(&r, insn);
    NEXT;
    OPERATION(setreg)
    write_state(&r, u->regs[insn->imm].offset, insn->type == IR_I32 ? 4 : 8, A);
    NEXT;
    OPERATION(ldstate)
    RESULT = load_state(&r, insn);
    NEXT;
    OPERATION(ststate)
    write_state(&r, insn->imm, MO_BYTES(insn->aux), A);
    NEXT;
    OPERATION(getpc)
    RESULT = PC(insn->imm);
    NEXT;

    BINARY(add);
    BINARY(sub);
    BINARY(mul);
    BINARY(mulhs);
    BINARY(mulhu);
    BINARY(mulhsu);
    BINARY(divs);
    BINARY(divu);
    BINARY(rems);
    BINARY(remu);
    BINARY(and);
    BINARY(or);
    BINARY(xor);
    BINARY(andc);
    BINARY(shl);
    BINARY(shr);
    BINARY(sar);
    BINARY(rotl);
    BINARY(rotr);
    UNARY(trunc);
    UNARY(clz);
    UNARY(ctz);
    UNARY(popcnt);
    UNARY(bswap);
    OPERATION(ext)
    RESULT = (uint64_t)ir_canonical(TYPE, (uint64_t)ir_extend(insn->aux, A));
    NEXT;
    OPERATION(setcond)
    RESULT = CONDITION;
    NEXT;
    OPERATION(select)
    RESULT = CONDITION ? C : D;
    NEXT;

    OPERATION(ld)
    load(&r, insn);
    LEAVE_IF_RAISED;
    NEXT;
    OPERATION(st)
    store(&r, insn);
    LEAVE_IF_RAISED;
    NEXT;
    OPERATION(amo)
    OPERATION(cas)
    atomic(&r, insn);
    LEAVE_IF_RAISED;
    NEXT;
    OPERATION(fence)
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    NEXT;

    OPERATION(insn)
    r.pc = insn->imm;
    NEXT;
    OPERATION(label)
    NEXT;
    OPERATION(br)
    insn = u->insns + u->label_insn[insn->imm];
    NEXT;
    OPERATION(brcond)
    if (CONDITION)
        insn = u->insns + u->label_insn[insn->imm];
    NEXT;
    OPERATION(brjump)
    if (CONDITION)
        return leave_to(cs, PC(insn->imm), EXIT_LOOKUP);
    NEXT;
    OPERATION(poll)
    if (__atomic_load_n(&cs->poll, __ATOMIC_RELAXED))
        return leave_to(cs, PC(insn->imm), EXIT_POLL);
    NEXT;

    OPERATION(jump)
    return leave_to(cs, PC(insn->imm), EXIT_LOOKUP);
    OPERATION(jump_ind)
    return leave_to(cs, TYPE == IR_I32 ? (uint32_t)A : A, EXIT_LOOKUP);
    OPERATION(lookup)
    return EXIT_LOOKUP;
    OPERATION(exit)
    return leave_to(cs, PC(insn->imm), (IrExit)insn->aux);

    OPERATION(call)
    call(&r, insn);
    if ((u->helpers[insn->imm].flags & HELPER_RAISES) && cs->raised)
        return leave_raised(cs);
    NEXT;

    OPERATION(fadd)
    OPERATION(fsub)
    OPERATION(fmul)
    OPERATION(fdiv)
    OPERATION(fsqrt)
    OPERATION(fma)
    OPERATION(fmin)
    OPERATION(fmax)
    OPERATION(fcmp)
    OPERATION(fcvt)
    OPERATION(fftoi)
    OPERATION(fitof)
    RESULT = compute_fp(&r, insn);
    NEXT;
    OPERATION(fbits)
    RESULT = (uint64_t)ir_canonical(TYPE, A);
    NEXT;
    OPERATION(fofbits)
    RESULT = TYPE == IR_F32 ? (uint32_t)A : A;
    NEXT;
    OPERATION(fbox)
    RESULT = A | NAN_BOX;
    NEXT;
    OPERATION(funbox)
    RESULT = (A & NAN_BOX) == NAN_BOX ? (uint32_t)A : 0x7fc00000;
    NEXT;
    OPERATION(fsgn)
    RESULT = with_sign_of(insn, A, B);
    NEXT;
}
/* clang-format on */
