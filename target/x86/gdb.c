/*
 * x86: what a debugger sees (GDB manual, appendix G.5: i386 features). Numbers are GDB's: general registers, rip,
 * eflags, segments, x87, SSE, and behind them bases of FS and GS and control registers.
 * SPDX-License-Identifier: MIT
 */
#include "accel/vcpu.h"
#include "target/x86/cpu.h"
#include "target/x86/x87.h"
#include <string.h>

typedef enum { K_GPR, K_RIP, K_EFLAGS, K_SEGMENT, K_ST, K_FPU, K_XMM, K_MXCSR, K_BASE, K_CR } Kind;

/* So many registers from here on; of a word's length, or of `bits`. */
typedef struct Group {
    Kind kind;
    uint8_t count64, count32;
    uint8_t bits;        /* 0: a word */
    const char *feature; /* it begins here */
    const char *type;
    const char *const *names64, *const *names32; /* NULL: prefix and number */
    const char *prefix;
} Group;

static const char *const gpr64[] = { "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp",
                                     "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };
static const char *const gpr32[] = { "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi" };
static const uint8_t gpr_order[] = { 0, 3, 1, 2, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15 };
static const char *const rip64[] = { "rip" }, *const rip32[] = { "eip" }, *const eflags[] = { "eflags" };
static const char *const segments[] = { "cs", "ss", "ds", "es", "fs", "gs" };
static const uint8_t segment_order[] = { X86_CS, X86_SS, X86_DS, X86_ES, X86_FS, X86_GS };
static const char *const fpu[] = { "fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop" };
enum { FCTRL, FSTAT, FTAG, FISEG, FIOFF, FOSEG, FOOFF, FOP };
static const char *const mxcsr[] = { "mxcsr" }, *const bases[] = { "fs_base", "gs_base" };
static const char *const crs[] = { "cr0", "cr2", "cr3", "cr4", "cr8", "efer" };
enum { CR_0, CR_2, CR_3, CR_4, CR_8, CR_EFER };

static const Group groups[] = {
    { K_GPR, 16, 8, 0, "org.gnu.gdb.i386.core", "int", gpr64, gpr32, NULL },
    { K_RIP, 1, 1, 0, NULL, "code_ptr", rip64, rip32, NULL },
    { K_EFLAGS, 1, 1, 32, NULL, "i386_eflags", eflags, eflags, NULL },
    { K_SEGMENT, 6, 6, 32, NULL, "int32", segments, segments, NULL },
    { K_ST, 8, 8, 80, NULL, "i387_ext", NULL, NULL, "st" },
    { K_FPU, 8, 8, 32, NULL, "int", fpu, fpu, NULL },
    { K_XMM, 16, 8, 128, "org.gnu.gdb.i386.sse", "vec128", NULL, NULL, "xmm" },
    { K_MXCSR, 1, 1, 32, NULL, "int", mxcsr, mxcsr, NULL },
    { K_BASE, 2, 0, 0, "org.gnu.gdb.i386.segments", "int", bases, bases, NULL },
    { K_CR, 6, 6, 0, "org.rhea.i386.system", "int", crs, crs, NULL },
};

static bool wide(const CpuState *cs)
{
    return cs->vcpu->target->bits == 64;
}

/* Register n: its group, and which one of it; NULL: there is none. */
static const Group *find(const CpuState *cs, unsigned n, unsigned *index)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(groups); i++) {
        unsigned count = wide(cs) ? groups[i].count64 : groups[i].count32;
        if (n < count) {
            *index = n;
            return &groups[i];
        }
        n -= count;
    }
    return NULL;
}

/* ---- the description ---- */

static void put_types(GString *out, Kind kind)
{
    static const struct {
        const char *name;
        uint8_t bit;
    } flags[] = { { "CF", 0 },  { "", 1 },    { "PF", 2 },   { "AF", 4 },   { "ZF", 6 },  { "SF", 7 },
                  { "TF", 8 },  { "IF", 9 },  { "DF", 10 },  { "OF", 11 },  { "NT", 14 }, { "RF", 16 },
                  { "VM", 17 }, { "AC", 18 }, { "VIF", 19 }, { "VIP", 20 }, { "ID", 21 } };
    if (kind == K_GPR) {
        g_string_append(out, "<flags id=\"i386_eflags\" size=\"4\">");
        for (unsigned i = 0; i < G_N_ELEMENTS(flags); i++)
            g_string_append_printf(out, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>", flags[i].name, flags[i].bit,
                                   flags[i].bit);
        g_string_append(out, "</flags>");
    }
    if (kind == K_XMM)
        g_string_append(out,
                        "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
                        "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
                        "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>"
                        "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
                        "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"
                        "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
                        "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/>"
                        "<field name=\"v2_double\" type=\"v2d\"/><field name=\"v16_int8\" type=\"v16i8\"/>"
                        "<field name=\"v8_int16\" type=\"v8i16\"/><field name=\"v4_int32\" type=\"v4i32\"/>"
                        "<field name=\"v2_int64\" type=\"v2i64\"/><field name=\"uint128\" type=\"uint128\"/></union>");
}

char *x86_gdb_xml(CpuState *cs)
{
    bool is64 = wide(cs);
    unsigned number = 0;
    GString *out = g_string_new("<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target>");
    g_string_append_printf(out, "<architecture>%s</architecture>", is64 ? "i386:x86-64" : "i386");
    for (unsigned i = 0; i < G_N_ELEMENTS(groups); i++) {
        const Group *g = &groups[i];
        unsigned count = is64 ? g->count64 : g->count32;
        if (!count)
            continue;
        if (g->feature)
            g_string_append_printf(out, "%s<feature name=\"%s\">", i ? "</feature>" : "", g->feature);
        put_types(out, g->kind);
        for (unsigned k = 0; k < count; k++) {
            const char *const *names = is64 ? g->names64 : g->names32;
            g_autofree char *name = names ? g_strdup(names[k]) : g_strdup_printf("%s%u", g->prefix, k);
            const char *type = !strcmp(name, "rsp") || !strcmp(name, "esp") ? "data_ptr" : g->type;
            g_string_append_printf(out, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"%s/>", name,
                                   g->bits ? g->bits
                                   : is64  ? 64
                                           : 32,
                                   type, number++,
                                   g->kind == K_FPU  ? " group=\"float\""
                                   : g->kind == K_CR ? " group=\"system\""
                                                     : "");
        }
    }
    g_string_append(out, "</feature></target>");
    return g_string_free(out, FALSE);
}

/* ---- registers ---- */

static uint64_t read_fpu(X86State *s, unsigned index)
{
    switch (index) {
    case FCTRL:
        return s->fpu.control;
    case FSTAT:
        return x87_status(s);
    case FTAG:
        return x87_tags(s);
    case FISEG:
        return s->fpu.instruction >> 32;
    case FIOFF:
        return (uint32_t)s->fpu.instruction;
    case FOSEG:
        return s->fpu.operand >> 32;
    case FOOFF:
        return (uint32_t)s->fpu.operand;
    default:
        return s->fpu.opcode;
    }
}

static uint64_t read_cr(const X86State *s, unsigned index)
{
    const uint64_t values[] = { s->cr0, s->cr2, s->cr3, s->cr4, s->cr8, s->efer };
    return values[index];
}

unsigned x86_gdb_read(CpuState *cs, unsigned n, uint8_t value[GDB_REG_BYTES])
{
    X86State *s = x86(cs);
    unsigned i;
    const Group *g = find(cs, n, &i);
    if (!g)
        return 0;
    unsigned bytes = g->bits ? g->bits / 8 : wide(cs) ? 8 : 4;
    uint64_t v = 0;
    switch (g->kind) {
    case K_GPR:
        v = s->gpr[wide(cs) ? gpr_order[i] : i];
        break;
    case K_RIP:
        v = x86_ip(s);
        break;
    case K_EFLAGS:
        v = x86_eflags(s);
        break;
    case K_SEGMENT:
        v = s->segment[segment_order[i]].selector;
        break;
    case K_ST:
        memcpy(value, s->fpu.reg[(s->fpu.top + i) & 7], bytes);
        return bytes;
    case K_FPU:
        v = read_fpu(s, i);
        break;
    case K_XMM:
        memcpy(value, s->xmm[i], bytes);
        return bytes;
    case K_MXCSR:
        v = x86_mxcsr(s);
        break;
    case K_BASE:
        v = s->segment[i ? X86_GS : X86_FS].base;
        break;
    case K_CR:
        v = read_cr(s, i);
        break;
    }
    v = GUINT64_TO_LE(v);
    memcpy(value, &v, bytes);
    return bytes;
}

/* Selectors without descriptors mean something in real mode only. */
static bool write_segment(X86State *s, X86Segment segment, uint64_t v)
{
    if (s->segment[segment].selector == v)
        return true;
    if (x86_protected(s) || v > UINT16_MAX)
        return false;
    x86_load_segment_real(s, segment, v);
    x86_mode_changed(s);
    return true;
}

static bool write_fpu(X86State *s, unsigned index, uint64_t v)
{
    if (v == read_fpu(s, index))
        return true;
    if (index == FCTRL)
        x87_set_control(s, v);
    else if (index == FSTAT)
        x87_set_status(s, v);
    else if (index == FTAG) {
        s->fpu.used = 0;
        for (unsigned r = 0; r < 8; r++)
            s->fpu.used |= (v >> (2 * r) & 3) != 3 ? 1 << r : 0;
    } else
        return false;
    return true;
}

bool x86_gdb_write(CpuState *cs, unsigned n, const uint8_t *value)
{
    X86State *s = x86(cs);
    unsigned i;
    const Group *g = find(cs, n, &i);
    if (!g)
        return false;
    unsigned bytes = g->bits ? g->bits / 8 : wide(cs) ? 8 : 4;
    uint64_t v = 0;
    memcpy(&v, value, MIN(bytes, sizeof(v)));
    v = GUINT64_FROM_LE(v);
    switch (g->kind) {
    case K_GPR:
        s->gpr[wide(cs) ? gpr_order[i] : i] = v;
        return true;
    case K_RIP:
        if (v != x86_ip(s))
            cs->pc = v + s->segment[X86_CS].base;
        return true;
    case K_EFLAGS:
        if (v != x86_eflags(s)) /* VM changes more than the flag */
            x86_set_eflags(s, v, UINT32_MAX & ~(uint32_t)FLAG_VM);
        return true;
    case K_SEGMENT:
        return write_segment(s, segment_order[i], v);
    case K_ST:
        memcpy(s->fpu.reg[(s->fpu.top + i) & 7], value, bytes);
        return true;
    case K_FPU:
        return write_fpu(s, i, v);
    case K_XMM:
        memcpy(s->xmm[i], value, bytes);
        return true;
    case K_MXCSR:
        return x86_set_mxcsr(s, v);
    case K_BASE:
        if (!x86_canonical(s, v))
            return false;
        s->segment[i ? X86_GS : X86_FS].base = v;
        x86_mode_changed(s);
        return true;
    case K_CR:
        return v == read_cr(s, i);
    }
    return false;
}
