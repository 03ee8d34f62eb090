/*
 * RISC-V: what a debugger sees (GDB manual, appendix G.5.12: RISC-V features). Numbers are GDB's: x0 to x31, pc, f0 to
 * f31, CSRs by their number from 65 on, and the privilege behind them.
 * SPDX-License-Identifier: MIT
 */
#include "accel/vcpu.h"
#include "target/riscv/cpu.h"
#include <string.h>

enum { GDB_PC = 32, GDB_F0 = 33, GDB_CSR0 = 65, GDB_PRIV = GDB_CSR0 + 4096 };

static const struct {
    const char *name;
    uint16_t number;
} csrs[] = {
    { "fflags", 0x001 },   { "frm", 0x002 },     { "fcsr", 0x003 },       { "sstatus", 0x100 },
    { "sie", 0x104 },      { "stvec", 0x105 },   { "scounteren", 0x106 }, { "sscratch", 0x140 },
    { "sepc", 0x141 },     { "scause", 0x142 },  { "stval", 0x143 },      { "sip", 0x144 },
    { "satp", 0x180 },     { "mstatus", 0x300 }, { "misa", 0x301 },       { "medeleg", 0x302 },
    { "mideleg", 0x303 },  { "mie", 0x304 },     { "mtvec", 0x305 },      { "mcounteren", 0x306 },
    { "mscratch", 0x340 }, { "mepc", 0x341 },    { "mcause", 0x342 },     { "mtval", 0x343 },
    { "mip", 0x344 },      { "mhartid", 0xf14 },
};

static unsigned float_bits(const RiscvState *s)
{
    return riscv_has(s, EXT_D) ? 64 : riscv_has(s, EXT_F) ? 32 : 0;
}

static void put_reg(GString *out, const char *name, unsigned bits, const char *type, unsigned number)
{
    g_string_append_printf(out, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"/>", name, bits, type,
                           number);
}

char *riscv_gdb_xml(CpuState *cs)
{
    static const char *const names[] = { "zero", "ra", "sp", "gp", "tp",  "t0",  "t1", "t2", "fp", "s1", "a0",
                                         "a1",   "a2", "a3", "a4", "a5",  "a6",  "a7", "s2", "s3", "s4", "s5",
                                         "s6",   "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6" };
    RiscvState *s = riscv(cs);
    unsigned width = cs->vcpu->target->bits, floats = float_bits(s);
    GString *out = g_string_new("<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target>");
    g_string_append_printf(out, "<architecture>riscv:rv%u</architecture><feature name=\"org.gnu.gdb.riscv.cpu\">",
                           width);
    for (unsigned i = 0; i < 32; i++)
        put_reg(out, names[i], width, i >= 2 && i <= 4 ? "data_ptr" : "int", i);
    put_reg(out, "pc", width, "code_ptr", GDB_PC);
    g_string_append(out, "</feature>");
    if (floats) {
        g_string_append(out, "<feature name=\"org.gnu.gdb.riscv.fpu\">");
        if (floats == 64)
            g_string_append(out, "<union id=\"riscv_double\"><field name=\"float\" type=\"ieee_single\"/>"
                                 "<field name=\"double\" type=\"ieee_double\"/></union>");
        for (unsigned i = 0; i < 32; i++) {
            g_autofree char *name = g_strdup_printf("f%u", i);
            put_reg(out, name, floats, floats == 64 ? "riscv_double" : "ieee_single", GDB_F0 + i);
        }
        g_string_append(out, "</feature>");
    }
    g_string_append(out, "<feature name=\"org.gnu.gdb.riscv.csr\">");
    for (unsigned i = floats ? 0 : 3; i < G_N_ELEMENTS(csrs); i++)
        put_reg(out, csrs[i].name, width, "int", GDB_CSR0 + csrs[i].number);
    g_string_append(out, "</feature><feature name=\"org.gnu.gdb.riscv.virtual\">");
    put_reg(out, "priv", width, "int", GDB_PRIV);
    g_string_append(out, "</feature></target>");
    return g_string_free(out, FALSE);
}

/* As machine mode sees it, whatever mode runs. */
static bool access_csr(RiscvState *s, unsigned csr, bool write, uint64_t *value)
{
    uint8_t priv = s->priv, fp_off = s->fp_off;
    bool virt = s->virt, known = false;
    for (unsigned i = 0; i < G_N_ELEMENTS(csrs); i++)
        known |= csrs[i].number == csr;
    if (!known)
        return false;
    uint64_t old = 0;
    s->priv = PRIV_M;
    s->virt = false;
    s->fp_off = csr <= 3 ? 0 : fp_off;
    bool ok = riscv_csr(s, csr, true, write, *value, UINT64_MAX, &old);
    s->priv = priv;
    s->virt = virt;
    if (csr <= 3)
        s->fp_off = fp_off;
    if (write)
        riscv_mode_changed(s);
    else
        *value = old;
    return ok;
}

unsigned riscv_gdb_read(CpuState *cs, unsigned n, uint8_t value[GDB_REG_BYTES])
{
    RiscvState *s = riscv(cs);
    unsigned bytes = cs->vcpu->target->bits / 8;
    uint64_t v = 0;
    if (n < 32)
        v = s->x[n];
    else if (n == GDB_PC)
        v = cs->pc;
    else if (n < GDB_CSR0) {
        bytes = float_bits(s) / 8;
        v = s->f[n - GDB_F0];
    } else if (n == GDB_PRIV)
        v = s->priv;
    else if (n > GDB_PRIV || !access_csr(s, n - GDB_CSR0, false, &v))
        return 0;
    v = GUINT64_TO_LE(v);
    memcpy(value, &v, bytes);
    return bytes;
}

bool riscv_gdb_write(CpuState *cs, unsigned n, const uint8_t *value)
{
    RiscvState *s = riscv(cs);
    unsigned bytes = n >= GDB_F0 && n < GDB_CSR0 ? float_bits(s) / 8 : cs->vcpu->target->bits / 8;
    uint64_t v = 0;
    memcpy(&v, value, bytes);
    v = GUINT64_FROM_LE(v);
    if (n == 0)
        return true;
    if (n < 32)
        s->x[n] = v;
    else if (n == GDB_PC)
        cs->pc = v & ~UINT64_C(1);
    else if (n < GDB_CSR0) {
        if (!bytes)
            return false;
        s->fp_dirty |= !s->fp_off;
        s->f[n - GDB_F0] = bytes == 4 ? v | UINT64_C(0xffffffff00000000) : v;
    } else if (n == GDB_PRIV) {
        if (v != PRIV_U && v != PRIV_S && v != PRIV_M)
            return false;
        s->priv = v;
        riscv_mode_changed(s);
    } else
        return n < GDB_PRIV && access_csr(s, n - GDB_CSR0, true, &v);
    return true;
}
