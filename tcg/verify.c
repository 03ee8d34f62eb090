/*
 * Check of a unit against tcg/ops.def: what the builders or a pass got wrong shows here instead of in generated code.
 * SPDX-License-Identifier: MIT
 */
#include "target/target.h"
#include "tcg/eval.h"
#include "tcg/ir_host.h"

#define ANY_INT   (1 << IR_I32 | 1 << IR_I64)
#define ANY_FLOAT (1 << IR_F32 | 1 << IR_F64)
#define ANY_VEC   (1 << IR_V128 | 1 << IR_V256)

typedef struct Check {
    const IrUnit *u;
    unsigned index, segment_start;
    uint8_t *defined; /* by temporary */
    uint8_t *placed;  /* by label */
    char *error;
} Check;

G_GNUC_PRINTF(2, 3) static void fail(Check *c, const char *format, ...)
{
    if (c->error)
        return;
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    const IrInsn *insn = &c->u->insns[c->index];
    c->error = g_strdup_printf("instruction %u (%s): %s", c->index,
                               insn->op < OP_COUNT ? ir_op_info[insn->op].name : "?", text);
}

static IrType type_of(const Check *c, const IrInsn *insn, unsigned arg)
{
    return (IrType)c->u->tmps[insn->arg[arg]].type;
}

static void check_result(Check *c, const IrInsn *insn)
{
    const IrUnit *u = c->u;
    bool has_result = insn->op == OP_call ? u->helpers[insn->imm].returns : ir_op_info[insn->op].outputs;
    if (has_result != (insn->dst != 0)) {
        fail(c, has_result ? "no result" : "a result that the operation does not have");
        return;
    }
    if (!has_result)
        return;
    if (insn->dst >= u->tmp_count) {
        fail(c, "t%u does not exist", insn->dst);
        return;
    }
    const IrTmpInfo *info = &u->tmps[insn->dst];
    if (c->defined[insn->dst]++)
        fail(c, "t%u is assigned twice", insn->dst);
    if (info->type != insn->type)
        fail(c, "t%u has another type", insn->dst);
    if (info->def != c->index)
        fail(c, "t%u says that instruction %u defines it", insn->dst, info->def);
    if (info->constant != (insn->op == OP_const) || (info->constant && info->value != insn->imm))
        fail(c, "t%u is wrong about being a constant", insn->dst);
}

static bool check_inputs(Check *c, const IrInsn *insn)
{
    const IrUnit *u = c->u;
    unsigned inputs = insn->op == OP_call ? u->helpers[insn->imm].args : ir_op_info[insn->op].inputs;
    if (insn->op == OP_vhost)
        inputs = ir_host_inputs(insn->imm);
    for (unsigned i = 0; i < 4; i++) {
        IrTmp t = insn->arg[i];
        if ((t != 0) != (i < inputs))
            fail(c, "takes %u inputs", inputs);
        else if (t >= u->tmp_count || (t && !c->defined[t]))
            fail(c, "t%u is not defined", t);
        else if (t && u->tmps[t].def < c->segment_start)
            fail(c, "t%u is of another segment", t);
    }
    return !c->error;
}

static void expect(Check *c, const IrInsn *insn, unsigned arg, unsigned types)
{
    if (!(1u << type_of(c, insn, arg) & types))
        fail(c, "input %u has the wrong type", arg);
}

/* The type, besides its own, that an I32 operation may have as input after ir_optimise: of an I64 the low half. */
static unsigned low_half(const IrInsn *insn)
{
    bool takes = (insn->op >= OP_add && insn->op <= OP_mul) || (insn->op >= OP_and && insn->op <= OP_rotr) ||
                 insn->op == OP_select || insn->op == OP_st;
    return takes && insn->type == IR_I32 ? 1u << IR_I64 : 0;
}

/* Inputs of operations on vectors that are not all of the result's type. True: it is one of those. */
static bool check_vector_types(Check *c, const IrInsn *insn)
{
    unsigned own = 1u << insn->type;
    switch (insn->op) {
    case OP_probe:
    case OP_vmask:
        expect(c, insn, 0, ANY_INT);
        return true;
    case OP_vld:
        expect(c, insn, 0, 1 << IR_I64);
        return true;
    case OP_vst:
        expect(c, insn, 0, 1 << IR_I64);
        expect(c, insn, 1, own);
        return true;
    case OP_vsplat:
        expect(c, insn, 0, ANY_INT | (insn->aux == 2 ? 1 << IR_F32 : insn->aux == 3 ? 1 << IR_F64 : 0));
        return true;
    case OP_vinsert:
    case OP_vshl:
    case OP_vshr:
    case OP_vsar:
        expect(c, insn, 0, own);
        expect(c, insn, 1, ANY_INT);
        return true;
    case OP_vextract:
    case OP_vextend:
    case OP_vnarrow:
    case OP_vconcat:
        expect(c, insn, 0, 1 << IR_V128);
        if (insn->arg[1])
            expect(c, insn, 1, 1 << IR_V128);
        return true;
    case OP_vhalf:
        expect(c, insn, 0, 1 << IR_V256);
        return true;
    case OP_vbits:
        expect(c, insn, 0, ANY_VEC);
        return true;
    case OP_vfnan:
        expect(c, insn, 0, ANY_VEC);
        expect(c, insn, 1, 1u << type_of(c, insn, 0));
        return true;
    case OP_vhost:
        for (unsigned i = 0; i < 3 && insn->arg[i]; i++)
            expect(c, insn, i, ANY_INT | 1 << IR_V256);
        return true;
    default:
        return false;
    }
}

/* Types of inputs. */
static void check_types(Check *c, const IrInsn *insn)
{
    unsigned own = 1u << insn->type;
    if (check_vector_types(c, insn))
        return;
    switch (insn->op) {
    case OP_ext:
    case OP_fitof:
        expect(c, insn, 0, ANY_INT);
        break;
    case OP_trunc:
        expect(c, insn, 0, 1 << IR_I64);
        break;
    case OP_setreg:
        expect(c, insn, 0, insn->flags & IR_SET_LOW ? ANY_INT : own);
        break;
    case OP_setcond:
    case OP_select:
        expect(c, insn, 0, ANY_INT);
        expect(c, insn, 1, 1u << type_of(c, insn, 0));
        if (insn->op == OP_select) {
            expect(c, insn, 2, own | low_half(insn));
            expect(c, insn, 3, own | low_half(insn));
        }
        break;
    case OP_ld:
        expect(c, insn, 0, ANY_INT);
        break;
    case OP_st:
    case OP_amo:
    case OP_cas:
        expect(c, insn, 0, ANY_INT);
        expect(c, insn, 1, own | low_half(insn));
        if (insn->op == OP_cas)
            expect(c, insn, 2, own);
        break;
    case OP_call:
        for (unsigned i = 0; i < c->u->helpers[insn->imm].args; i++)
            expect(c, insn, i, ANY_INT);
        break;
    case OP_fcmp:
        expect(c, insn, 0, ANY_FLOAT);
        expect(c, insn, 1, 1u << type_of(c, insn, 0));
        break;
    case OP_fcvt:
        expect(c, insn, 0, ANY_FLOAT & ~own);
        break;
    case OP_fftoi:
        expect(c, insn, 0, ANY_FLOAT);
        break;
    case OP_fbits:
        expect(c, insn, 0, insn->type == IR_I32 ? 1 << IR_F32 : 1 << IR_F64);
        break;
    case OP_fofbits:
        expect(c, insn, 0, insn->type == IR_F32 ? 1 << IR_I32 : 1 << IR_I64);
        break;
    case OP_fbox:
        expect(c, insn, 0, 1 << IR_F32);
        break;
    case OP_funbox:
        expect(c, insn, 0, 1 << IR_F64);
        break;
    default:
        for (unsigned i = 0; i < ir_op_info[insn->op].inputs; i++)
            expect(c, insn, i, own | low_half(insn));
        break;
    }
}

static void check_memop(Check *c, const IrInsn *insn)
{
    if (insn->type == IR_V256) {
        if ((insn->aux & IR_VECTOR_SIZE) < 2 || (insn->aux & IR_VECTOR_SIZE) > 5)
            fail(c, "access of %u bytes", ir_access_bytes(insn));
        return;
    }
    unsigned size = insn->aux & MO_SIZE, widest = insn->type == IR_I32 || insn->type == IR_F32 ? MO_32 : MO_64;
    bool exact = insn->type == IR_F32 || insn->type == IR_F64;
    exact &= insn->op != OP_st || size != MO_32; /* the low half of an F64 */
    if (size > widest || (exact && size != widest))
        fail(c, "access of %u bytes", MO_BYTES(insn->aux));
}

/* State that is a guest register must be named as one: it may be in a host register. */
static void check_state_offset(Check *c, const IrInsn *insn, int64_t offset, unsigned size)
{
    int64_t end = offset + (int64_t)size;
    for (unsigned i = 0; i < c->u->reg_count; i++) {
        const GuestReg *reg = &c->u->regs[i];
        if (offset < reg->offset + ir_type_bytes(reg->type) && end > reg->offset)
            fail(c, "state offset %d is register %s", (int)offset, reg->name);
    }
}

static void check_limit(Check *c, const char *what, int64_t value, int64_t count)
{
    if (value < 0 || value >= count)
        fail(c, "%s is %" G_GINT64_FORMAT, what, value);
}

static void check_range(Check *c, const char *what, int64_t value, int64_t low, int64_t high)
{
    if (value < low || value > high)
        fail(c, "%s is %" G_GINT64_FORMAT, what, value);
}

/* What aux may be: sizes of elements, or of accesses. */
static void check_vector(Check *c, const IrInsn *insn)
{
    static const uint8_t low[OP_COUNT] = {
        [OP_vshl] = 1,    [OP_vshr] = 1,  [OP_vsar] = 1,  [OP_vshlv] = 2,  [OP_vshrv] = 2, [OP_vsarv] = 2,
        [OP_vnarrow] = 1, [OP_vfadd] = 2, [OP_vfsub] = 2, [OP_vfmul] = 2,  [OP_vfdiv] = 2, [OP_vfsqrt] = 2,
        [OP_vfma] = 2,    [OP_vfcmp] = 2, [OP_vfnan] = 2, [OP_vfitof] = 2,
    };
    static const uint8_t less[OP_COUNT] = {
        /* than 3 at most */
        [OP_probe] = 2, [OP_vminu] = 1, [OP_vmin] = 1,  [OP_vmaxu] = 1,  [OP_vmax] = 1,
        [OP_vavgu] = 2, [OP_vsar] = 1,  [OP_vsarv] = 1, [OP_vfitof] = 1,
    };
    switch (insn->op) {
    case OP_vldstate:
    case OP_vststate:
        check_state_offset(c, insn, insn->imm, 1u << insn->aux);
        /* fall through */
    case OP_vld:
    case OP_vst:
        check_range(c, "size", insn->aux,
                    insn->op != OP_vst && insn->op != OP_vststate && insn->type == IR_V256 ? 5 : 2,
                    insn->type == IR_V256 ? 5 : 4);
        break;
    case OP_vextend:
        check_range(c, "size", insn->aux & ~MO_SIGNED, 0, 3 - insn->imm);
        check_range(c, "factor", insn->imm, 1, 3);
        break;
    case OP_probe:
        check_range(c, "size", insn->imm, 1, GUEST_PAGE_SIZE);
        /* fall through */
    case OP_x87:
    case OP_x87test:
        check_range(c, "kind", insn->aux >> 6, IR_X87_NONE, IR_X87_MEMORY);
        check_range(c, "format", MAX(insn->aux & 7, insn->aux >> 3 & 7), IR_X87_M80, IR_X87_I64);
        break;
    case OP_vhost:
        check_limit(c, "form", insn->imm >> IR_HOST_FORM & 7, IR_HOST_FORMS);
        break;
    default:
        check_range(c, "element size", insn->aux, low[insn->op], 3 - less[insn->op]);
    }
    if (insn->op == OP_vinsert || insn->op == OP_vextract)
        check_range(c, "element", insn->imm, 0, (16 >> insn->aux) - 1);
    if (insn->op == OP_vhalf || insn->op == OP_vdown)
        check_range(c, "place", insn->imm, 0, insn->op == OP_vhalf ? 1 : 15);
    if (insn->op == OP_vfcmp)
        check_range(c, "relation", insn->imm, FCMP_EQ, FCMP_LE);
}

/* aux and imm. */
static void check_details(Check *c, const IrInsn *insn)
{
    switch (insn->op) {
    case OP_const:
        if (insn->imm != ir_canonical((IrType)insn->type, (uint64_t)insn->imm))
            fail(c, "I32 value is not sign-extended");
        break;
    case OP_getreg:
    case OP_setreg:
        check_limit(c, "register", insn->imm, c->u->reg_count);
        if (!c->error && c->u->regs[insn->imm].type != insn->type)
            fail(c, "register %s has another type", c->u->regs[insn->imm].name);
        break;
    case OP_ldstate:
    case OP_ststate:
        check_state_offset(c, insn, insn->imm, MO_BYTES(insn->aux));
        check_memop(c, insn);
        break;
    case OP_guard:
        check_state_offset(c, insn, (uint32_t)insn->imm, 1);
        break;
    case OP_ext:
        if ((insn->aux & MO_SIZE) >= (insn->type == IR_I32 ? MO_32 : MO_64) || insn->aux & ~(MO_SIZE | MO_SIGNED))
            fail(c, "size and sign %u", insn->aux);
        break;
    case OP_ld:
    case OP_st:
    case OP_cas:
        check_memop(c, insn);
        break;
    case OP_amo:
        check_memop(c, insn);
        check_limit(c, "kind", insn->imm, AMO_MAXU + 1);
        break;
    case OP_br:
        check_limit(c, "label", insn->imm, c->u->label_count);
        break;
    case OP_brcond:
        check_limit(c, "label", insn->imm, c->u->label_count);
        check_limit(c, "condition", insn->aux, COND_GTU + 1);
        break;
    case OP_brjump:
    case OP_setcond:
    case OP_select:
        check_limit(c, "condition", insn->aux, COND_GTU + 1);
        break;
    case OP_fcmp:
        check_limit(c, "relation", insn->aux, FCMP_LE + 1);
        break;
    case OP_fadd:
    case OP_fsub:
    case OP_fmul:
    case OP_fdiv:
    case OP_fsqrt:
    case OP_fma:
    case OP_fcvt:
    case OP_fftoi:
    case OP_fitof:
        check_limit(c, "rounding", insn->aux, FROUND_DYN + 1);
        break;
    default:
        if (insn->op >= OP_vldstate)
            check_vector(c, insn);
        break;
    }
}

static void check_label(Check *c, const IrInsn *insn)
{
    check_limit(c, "label", insn->imm, c->u->label_count);
    if (c->error)
        return;
    if (c->placed[insn->imm]++)
        fail(c, "placed twice");
    if (c->u->label_insn[insn->imm] != c->index)
        fail(c, "label %d is said to be at %u", (int)insn->imm, c->u->label_insn[insn->imm]);
}

static void check_insn(Check *c, const IrInsn *insn)
{
    if (insn->op >= OP_COUNT) {
        fail(c, "no such operation");
        return;
    }
    const IrOpInfo *info = &ir_op_info[insn->op];
    bool typed = insn->op != OP_call || insn->dst;
    if (typed && (insn->type >= IR_TYPE_COUNT || !(1u << insn->type & info->types)))
        fail(c, "type %u", insn->type);
    if (!c->error && check_inputs(c, insn)) {
        check_types(c, insn);
        check_details(c, insn);
        check_result(c, insn);
        if (insn->op == OP_label)
            check_label(c, insn);
    }
}

static void check_targets(Check *c)
{
    for (c->index = 0; c->index < c->u->count && !c->error; c->index++) {
        const IrInsn *insn = &c->u->insns[c->index];
        if ((insn->op == OP_br || insn->op == OP_brcond) && !c->placed[insn->imm])
            fail(c, "label %d is nowhere", (int)insn->imm);
    }
}

char *ir_verify(const IrUnit *u)
{
    if (u->count == 0)
        return g_strdup("empty unit");
    Check c = { .u = u, .defined = g_new0(uint8_t, u->tmp_count), .placed = g_new0(uint8_t, IR_MAX_LABELS) };
    bool ended = false;
    for (; c.index < u->count && !c.error; c.index++) {
        const IrInsn *insn = &u->insns[c.index];
        if (ended && insn->op != OP_label && insn->op != OP_nop)
            fail(&c, "cannot be reached");
        if (insn->op == OP_label)
            c.segment_start = c.index;
        check_insn(&c, insn);
        if (insn->op != OP_nop)
            ended = !c.error && insn->op != OP_label && ir_op_info[insn->op].effects == IR_END;
    }
    if (!c.error && !ended) {
        c.index = u->count - 1;
        fail(&c, "the unit does not end with an exit");
    }
    check_targets(&c);
    g_free(c.defined);
    g_free(c.placed);
    return c.error;
}
