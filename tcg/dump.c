/*
 * Text of a unit, for -d op. One instruction a line, `t5:i64 = add t3, #1`; constants stand where they are used.
 * SPDX-License-Identifier: MIT
 */
#include "target/target.h"

static const char *const type_names[IR_TYPE_COUNT] = { "none", "i32", "i64", "f32", "f64", "v128", "v256" };
static const char *const cond_names[] = { "==", "!=", "<", ">=", "<u", ">=u", "<=", ">", "<=u", ">u" };
static const char *const relation_names[] = { "==", "<", "<=" };
static const char *const round_names[] = { "rne", "rtz", "rdn", "rup", "rmm", "dyn" };
static const char *const amo_names[] = { "swap", "add", "and", "or", "xor", "min", "max", "minu", "maxu" };
static const char *const exit_names[] = { "poll", "lookup", "chain", "halt", "yield", "debug", "icount" };

static const char *name_in(const char *const *names, unsigned count, int64_t value)
{
    return value >= 0 && value < count ? names[value] : "?";
}
#define NAME(names, value) name_in(names, G_N_ELEMENTS(names), value)

static void put_operand(GString *out, const IrUnit *u, IrTmp t)
{
    const IrTmpInfo *info = &u->tmps[t];
    if (!info->constant)
        g_string_append_printf(out, "t%u", t);
    else if (info->value > -65536 && info->value < 65536)
        g_string_append_printf(out, "#%d", (int)info->value);
    else
        g_string_append_printf(out, "#0x%" G_GINT64_MODIFIER "x", (guint64)info->value);
}

/* Inputs from first on, separated by commas. */
static void put_operands(GString *out, const IrUnit *u, const IrInsn *insn, unsigned first)
{
    for (unsigned i = first; i < 4 && insn->arg[i]; i++) {
        g_string_append(out, i > first ? ", " : " ");
        put_operand(out, u, insn->arg[i]);
    }
}

static void put_condition(GString *out, const IrUnit *u, const IrInsn *insn)
{
    g_string_append_c(out, ' ');
    put_operand(out, u, insn->arg[0]);
    g_string_append_printf(out, " %s ", NAME(cond_names, insn->aux));
    put_operand(out, u, insn->arg[1]);
}

static void put_address(GString *out, const IrUnit *u, const IrInsn *insn)
{
    g_string_append_printf(out, ".%u%s%s%s%s%s%s [", 8 * ir_access_bytes(insn),
                           insn->aux & MO_SIGNED && !ir_is_vector(insn->type) ? "s" : "",
                           insn->aux & MO_BIG_ENDIAN ? ".be" : "", insn->aux & MO_ALIGN ? ".align" : "",
                           insn->aux & MO_ACQUIRE ? ".acquire" : "", insn->aux & MO_RELEASE ? ".release" : "",
                           insn->op == OP_ld && insn->flags & IR_LD_RECURRENT ? ".recurrent" : "");
    put_operand(out, u, insn->arg[0]);
    if (insn->imm && (insn->op == OP_ld || insn->op == OP_st))
        g_string_append_printf(out, " %c %" G_GINT64_FORMAT, insn->imm < 0 ? '-' : '+', ABS(insn->imm));
    g_string_append_c(out, ']');
    if (insn->arg[1]) {
        g_string_append_c(out, ',');
        put_operands(out, u, insn, 1);
    }
}

static void put_pc(GString *out, int64_t offset)
{
    g_string_append_printf(out, " pc_base%c0x%" G_GINT64_MODIFIER "x", offset < 0 ? '-' : '+', (guint64)ABS(offset));
}

/* What follows the operation's name: the operations that say more than their inputs. */
static void put_details(GString *out, const IrUnit *u, const IrInsn *insn)
{
    switch (insn->op) {
    case OP_getreg:
    case OP_setreg:
        g_string_append_printf(out, " %s", insn->imm >= 0 && insn->imm < u->reg_count ? u->regs[insn->imm].name : "?");
        put_operands(out, u, insn, 0);
        break;
    case OP_ldstate:
    case OP_ststate:
        g_string_append_printf(out, ".%u%s state+0x%x", 8 * MO_BYTES(insn->aux), insn->aux & MO_SIGNED ? "s" : "",
                               (unsigned)insn->imm);
        put_operands(out, u, insn, 0);
        break;
    case OP_ext:
        g_string_append_printf(out, ".%u%s", 8 * MO_BYTES(insn->aux), insn->aux & MO_SIGNED ? "s" : "");
        put_operands(out, u, insn, 0);
        break;
    case OP_setcond:
        put_condition(out, u, insn);
        break;
    case OP_select:
        put_condition(out, u, insn);
        g_string_append(out, " ?");
        put_operands(out, u, insn, 2);
        break;
    case OP_amo:
        g_string_append_printf(out, ".%s", NAME(amo_names, insn->imm));
        put_address(out, u, insn);
        break;
    case OP_ld:
    case OP_st:
    case OP_cas:
        put_address(out, u, insn);
        break;
    case OP_fence:
        g_string_append_printf(out, " %u", (unsigned)insn->imm);
        break;
    case OP_label:
    case OP_br:
        g_string_append_printf(out, " L%d", (int)insn->imm);
        break;
    case OP_brcond:
        put_condition(out, u, insn);
        g_string_append_printf(out, ", L%d", (int)insn->imm);
        break;
    case OP_brjump:
        put_condition(out, u, insn);
        g_string_append_c(out, ',');
        put_pc(out, insn->imm);
        break;
    case OP_getpc:
    case OP_poll:
        put_pc(out, insn->imm);
        break;
    case OP_icount:
        g_string_append_printf(out, " %u,", insn->aux);
        put_pc(out, insn->imm);
        break;
    case OP_jump:
        put_pc(out, insn->imm);
        g_string_append(out, insn->aux ? ", poll" : "");
        break;
    case OP_exit:
        put_pc(out, insn->imm);
        g_string_append_printf(out, ", %s", NAME(exit_names, insn->aux));
        break;
    case OP_guard:
        g_string_append_printf(out, " state+0x%x, %s #%u", (unsigned)(uint32_t)insn->imm, u->helpers[insn->aux].name,
                               (unsigned)((uint64_t)insn->imm >> 32));
        break;
    case OP_call:
        g_string_append_printf(out, " %s", u->helpers[insn->imm].name);
        put_operands(out, u, insn, 0);
        break;
    case OP_fcmp:
        g_string_append_c(out, ' ');
        put_operand(out, u, insn->arg[0]);
        g_string_append_printf(out, " %s ", NAME(relation_names, insn->aux));
        put_operand(out, u, insn->arg[1]);
        break;
    case OP_fma:
        g_string_append_printf(out, ".%s%s%s", NAME(round_names, insn->aux),
                               insn->imm & IR_FMA_NEG_PRODUCT ? ".neg_product" : "",
                               insn->imm & IR_FMA_NEG_ADDEND ? ".neg_addend" : "");
        put_operands(out, u, insn, 0);
        break;
    case OP_fadd:
    case OP_fsub:
    case OP_fmul:
    case OP_fdiv:
    case OP_fsqrt:
    case OP_fcvt:
        g_string_append_printf(out, ".%s", NAME(round_names, insn->aux));
        put_operands(out, u, insn, 0);
        break;
    case OP_fftoi:
    case OP_fitof:
        g_string_append_printf(out, "%s.%s", insn->imm ? ".unsigned" : "", NAME(round_names, insn->aux));
        put_operands(out, u, insn, 0);
        break;
    case OP_fsgn:
        g_string_append_printf(out, ".%s", (const char *[]){ "copy", "not", "xor" }[insn->imm % 3]);
        put_operands(out, u, insn, 0);
        break;
    default:
        if (insn->op >= OP_vldstate)
            g_string_append_printf(out, ".%u", 8u << (insn->aux & 7));
        if (insn->op == OP_vldstate || insn->op == OP_vststate)
            g_string_append_printf(out, " state+0x%x", (unsigned)insn->imm);
        put_operands(out, u, insn, 0);
        if (insn->op > OP_vststate && insn->imm)
            g_string_append_printf(out, ", #%" G_GINT64_FORMAT, insn->imm);
        break;
    }
}

char *ir_dump(const IrUnit *u)
{
    GString *out = g_string_new(NULL);
    for (unsigned i = 0; i < u->count; i++) {
        const IrInsn *insn = &u->insns[i];
        if (insn->op == OP_const || insn->op == OP_nop)
            continue;
        if (insn->op == OP_insn) {
            g_string_append_printf(out, " ---- +0x%03x, %u bytes\n", (unsigned)insn->imm, insn->aux);
            continue;
        }
        g_string_append(out, insn->op == OP_label ? "" : "    ");
        if (insn->dst)
            g_string_append_printf(out, "t%u:%s = ", insn->dst, type_names[insn->type]);
        g_string_append(out, ir_op_info[insn->op].name);
        if (!insn->dst && insn->type != IR_NONE && insn->op != OP_call)
            g_string_append_printf(out, ":%s", type_names[insn->type]);
        put_details(out, u, insn);
        g_string_append_c(out, '\n');
    }
    return g_string_free(out, FALSE);
}
