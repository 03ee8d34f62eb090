/*
 * RISC-V disassembly for people (-d in_asm, x/i): names and operands from the decode tables, compressed instructions as
 * what they stand for.
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/translate.h"
#include <inttypes.h>
#include <string.h>

static const char *const x_names[32] = { "zero", "ra", "sp", "gp", "tp",  "t0",  "t1", "t2", "s0", "s1", "a0",
                                         "a1",   "a2", "a3", "a4", "a5",  "a6",  "a7", "s2", "s3", "s4", "s5",
                                         "s6",   "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6" },
                         *const f_names[32] = { "ft0", "ft1", "ft2",  "ft3",  "ft4", "ft5", "ft6",  "ft7",
                                                "fs0", "fs1", "fa0",  "fa1",  "fa2", "fa3", "fa4",  "fa5",
                                                "fa6", "fa7", "fs2",  "fs3",  "fs4", "fs5", "fs6",  "fs7",
                                                "fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10", "ft11" };

enum {
    OPCODE_LOAD = 0x03,
    OPCODE_LOAD_FP = 0x07,
    OPCODE_FENCE = 0x0f,
    OPCODE_STORE_FP = 0x27,
    OPCODE_JALR = 0x67,
    OPCODE_SYSTEM = 0x73
};

/* Which operands of a floating-point instruction are x registers. */
static void put_float(GString *out, const DecodeRow *row, const Arg *a)
{
    static const char *const to_x[] = { "feq",    "flt",    "fle",     "fclass", "fmv_x",
                                        "fcvt_w", "fcvt_l", "fcvtmod", "fleq",   "fltq" },
                             *const from_x[] = { "_w", "_wu", "_l", "_lu", "_x" };
    bool x_result = false, x_source = false;
    for (unsigned i = 0; i < G_N_ELEMENTS(to_x); i++)
        x_result = x_result || g_str_has_prefix(row->name, to_x[i]);
    for (unsigned i = 0; i < G_N_ELEMENTS(from_x); i++)
        x_source = x_source || (!x_result && g_str_has_suffix(row->name, from_x[i]));
    g_string_append_printf(out, "%s, %s", (x_result ? x_names : f_names)[a->rd],
                           (x_source ? x_names : f_names)[a->rs1]);
    if ((row->mask >> 20 & 31) != 31)
        g_string_append_printf(out, ", %s", f_names[a->rs2]);
    if ((row->match & 0x70) == 0x40) /* fused multiply-add */
        g_string_append_printf(out, ", %s", f_names[a->rs3]);
}

static void put_immediate(GString *out, const DecodeRow *row, const Arg *a)
{
    const char *const *rd = (row->match & 0x7f) == OPCODE_LOAD_FP ? f_names : x_names;
    switch (row->match & 0x7f) {
    case OPCODE_LOAD:
    case OPCODE_LOAD_FP:
    case OPCODE_JALR:
        g_string_append_printf(out, "%s, %d(%s)", rd[a->rd], a->imm, x_names[a->rs1]);
        break;
    case OPCODE_FENCE:
        break;
    case OPCODE_SYSTEM: /* funct3 bit 2: the source is a number */
        g_string_append_printf(out, "%s, 0x%x, ", x_names[a->rd], a->imm & 0xfff);
        if (row->match >> 14 & 1)
            g_string_append_printf(out, "%u", a->rs1);
        else
            g_string_append(out, x_names[a->rs1]);
        break;
    default:
        g_string_append_printf(out, "%s, %s, %d", x_names[a->rd], x_names[a->rs1], a->imm);
    }
}

/* The third operand; that of vror.vi has a sixth bit. */
static unsigned vector_source(const DecodeRow *row, const Arg *a)
{
    return strcmp(row->name, "vror_vi") ? a->rs1 : a->rs1 | (a->bits >> 21 & 32);
}

/* row is one of the 32-bit tables. */
static void put_operands(GString *out, const DecodeRow *row, const Arg *a, uint64_t pc)
{
    switch (row->format) {
    case FORMAT_R:
        g_string_append_printf(out, "%s, %s", x_names[a->rd], x_names[a->rs1]);
        if ((row->mask >> 20 & 31) != 31)
            g_string_append_printf(out, ", %s", x_names[a->rs2]);
        break;
    case FORMAT_I:
        put_immediate(out, row, a);
        break;
    case FORMAT_S:
        g_string_append_printf(out, "%s, %d(%s)", ((row->match & 0x7f) == OPCODE_STORE_FP ? f_names : x_names)[a->rs2],
                               a->imm, x_names[a->rs1]);
        break;
    case FORMAT_B:
        g_string_append_printf(out, "%s, %s, 0x%" PRIx64, x_names[a->rs1], x_names[a->rs2], pc + a->imm);
        break;
    case FORMAT_U:
        g_string_append_printf(out, "%s, 0x%x", x_names[a->rd], (uint32_t)a->imm >> 12);
        break;
    case FORMAT_J:
        g_string_append_printf(out, "%s, 0x%" PRIx64, x_names[a->rd], pc + a->imm);
        break;
    case FORMAT_H:
        g_string_append_printf(out, "%s, %s, %d", x_names[a->rd], x_names[a->rs1], a->imm);
        break;
    case FORMAT_A:
        g_string_append_printf(out, "%s, %s, (%s)", x_names[a->rd], x_names[a->rs2], x_names[a->rs1]);
        break;
    case FORMAT_F:
        put_float(out, row, a);
        break;
    case FORMAT_V: /* as numbers: which are vectors the name says */
        g_string_append_printf(out, "%u, %u, %u%s", a->rd, a->rs2, vector_source(row, a),
                               a->bits >> 25 & 1 ? "" : ", v0.t");
        break;
    }
}

/* Atomics have their size and order in fields of the instruction. */
static char *name_of(const DecodeRow *row, const Arg *a)
{
    if (!row || row->format != FORMAT_A)
        return g_strdup(row ? row->name : "illegal");
    g_autofree char *plain = g_strndup(row->name, strcspn(row->name, "_"));
    return g_strdup_printf("%s.%c%s%s%s", plain, "bhwdq"[a->imm], a -> acquire || a -> release ? "." : "",
                           a->acquire ? "aq" : "", a->release ? "rl" : "");
}

unsigned riscv_disassemble(const CpuState *cs, uint64_t pc, const uint8_t *bytes, unsigned available, GString *out)
{
    const RiscvState *s = (const RiscvState *)cs;
    unsigned length = available && (bytes[0] & 3) != 3 ? 2 : 4;
    uint32_t i = 0;
    Arg a;
    if (available < length)
        return 0;
    for (unsigned n = 0; n < length; n++)
        i |= (uint32_t)bytes[n] << (8 * n);
    const DecodeRow *row = riscv_decode(s, i, &a), *base = row ? riscv_row_of(row->translate) : NULL;
    g_autofree char *name = name_of(row, &a);
    g_string_append_printf(out, "%0*x  %s%-10s ", 2 * (int)length, i, length == 2 ? "    " : "",
                           g_strdelimit(name, "_", '.'));
    if (row)
        put_operands(out, base ? base : row, &a, s->xlen == 32 ? (uint32_t)pc : pc);
    return length;
}
