/*
 * Text of a unit (-d op) and the verifier.
 * SPDX-License-Identifier: MIT
 */
#include "target/target.h"
#include "tcg/ir.h"
#include <inttypes.h>

typedef struct OpInfo {
    const char *name;
    uint8_t outputs, inputs;
} OpInfo;
static const OpInfo ops[OP_COUNT] = {
#define OP(name, out, in, types, effect, help) [OP_##name] = { #name, out, in },
#include "tcg/ops.def"
#undef OP
};
static const char *const type_names[IR_TYPE_COUNT] = { "", "i32", "i64", "f32", "f64", "v128", "v256" };
static const char *const cond_names[] = { "eq", "ne", "lt", "ge", "ltu", "geu", "le", "gt", "leu", "gtu" };

static bool has_cond(IrOp op)
{
    return op == OP_setcond || op == OP_select || op == OP_brcond || op == OP_brjump;
}

static void dump_imm(const IrUnit *u, const IrInsn *insn, GString *out)
{
    switch (insn->op) {
    case OP_getreg:
    case OP_setreg:
        g_string_append_printf(out, " %s", u->regs[insn->imm].name);
        break;
    case OP_call:
        g_string_append_printf(out, " %s", u->helpers[insn->imm].name);
        break;
    case OP_label:
    case OP_br:
    case OP_brcond:
        g_string_append_printf(out, " L%" PRId64, insn->imm);
        break;
    default:
        g_string_append_printf(out, " 0x%" PRIx64, (uint64_t)insn->imm);
    }
}

char *ir_dump(const IrUnit *u)
{
    GString *out = g_string_new(NULL);
    for (unsigned i = 0; i < u->count; i++) {
        const IrInsn *insn = &u->insns[i];
        if (insn->op == OP_nop)
            continue;
        g_string_append(out, insn->op == OP_insn || insn->op == OP_label ? "  " : "    ");
        if (insn->dst)
            g_string_append_printf(out, "t%u:%s = ", insn->dst, type_names[insn->type]);
        g_string_append(out, ops[insn->op].name);
        if (has_cond(insn->op))
            g_string_append_printf(out, ".%s", cond_names[insn->aux]);
        else if (insn->aux)
            g_string_append_printf(out, ".%u", insn->aux);
        for (unsigned k = 0; k < 4; k++) {
            if (insn->arg[k])
                g_string_append_printf(out, "%s t%u", k ? "," : "", insn->arg[k]);
        }
        if (insn->imm || !ops[insn->op].inputs)
            dump_imm(u, insn, out);
        g_string_append_c(out, '\n');
    }
    return g_string_free(out, FALSE);
}

char *ir_verify(const IrUnit *u)
{
    g_autofree uint8_t *defined = g_malloc0(u->tmp_count);
    unsigned segment = 1;
    for (unsigned i = 0; i < u->count; i++) {
        const IrInsn *insn = &u->insns[i];
        if (insn->op >= OP_COUNT)
            return g_strdup_printf("%u: no such operation %u", i, insn->op);
        const OpInfo *op = &ops[insn->op];
        for (unsigned k = 0; k < 4; k++) {
            IrTmp t = insn->arg[k];
            if (insn->op != OP_call && (k < op->inputs) != (t != 0) && !(insn->op == OP_nop))
                return g_strdup_printf("%u: %s takes %u inputs", i, op->name, op->inputs);
            if (t && (t >= u->tmp_count || !defined[t]))
                return g_strdup_printf("%u: %s uses t%u, which has no value here", i, op->name, t);
        }
        if (insn->op == OP_label) {
            memset(defined, 0, u->tmp_count);
            segment++;
        }
        if (insn->dst && insn->op != OP_nop) {
            if (insn->dst >= u->tmp_count || defined[insn->dst])
                return g_strdup_printf("%u: t%u is assigned twice", i, insn->dst);
            if (u->tmps[insn->dst].type != insn->type)
                return g_strdup_printf("%u: t%u has another type", i, insn->dst);
            defined[insn->dst] = 1;
        }
    }
    return NULL;
}
