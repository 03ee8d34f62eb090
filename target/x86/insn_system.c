/*
 * x86: system instructions: operands and results here, the work in system.c.
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/system.h"
#include "target/x86/translate.h"

IrTmp system_call(Ctx *c, unsigned what, IrTmp a, IrTmp b, bool ends)
{
    IrUnit *u = c->ir;
    IrTmp zero = ir_const(u, IR_I64, 0);
    IrTmp v = ir_call(u, IR_I64, HELPER_SYSTEM, ir_const(u, IR_I64, what | (ends ? X86_SYSTEM_ENDS : 0)), a ? a : zero,
                      b ? b : zero, ir_const(u, IR_I64, c->i->length));
    if (ends)
        end_at_pc(c);
    return v;
}

static IrTmp to_i64(Ctx *c, IrTmp v)
{
    return c->ir->tmps[v].type == IR_I64 ? v : ir_ext(c->ir, IR_I64, MO_32, v);
}

static IrTmp selector_operand(Ctx *c, unsigned n)
{
    return ir_ext(c->ir, IR_I64, MO_16, get_operand(c, n));
}

/* Instructions that are their function and go on, or end the unit. */
static bool t_plain(Ctx *c, unsigned what)
{
    system_call(c, what, 0, 0, false);
    return true;
}

static bool t_ending(Ctx *c, unsigned what)
{
    system_call(c, what, ir_const(c->ir, IR_I64, c->i->w ? 8 : 4), 0, true);
    return true;
}

/* #GP before an operand is looked at; false: raised. */
static bool is_privileged(Ctx *c)
{
    if (c->mode & MODE_CPL)
        x86_fault(c, VECTOR_GP, 0);
    return !(c->mode & MODE_CPL);
}

/* ---- segment registers ---- */

#define SHADOW_FOLLOWS 256 /* if it is SS; not behind lss */

static bool load_segment(Ctx *c, unsigned segment, IrTmp selector)
{
    if (segment == X86_CS || segment > X86_GS)
        return false;
    system_call(c, SYSTEM_LOAD_SEGMENT, ir_const(c->ir, IR_I64, segment | SHADOW_FOLLOWS), selector, true);
    return true;
}

static bool t_movs(Ctx *c, unsigned arg)
{
    unsigned segment = c->i->reg & 7;
    bool to_segment = c->i->row->operands[0].kind == OPERAND_SREG;
    if (segment > X86_GS || (to_segment && segment == X86_CS))
        return false;
    if (to_segment)
        return load_segment(c, segment, selector_operand(c, 1));
    uint32_t at =
        x86_base_of(segment) - (uint32_t)offsetof(X86SegmentReg, base) + (uint32_t)offsetof(X86SegmentReg, selector);
    set_operand(c, 0, ir_ldstate(c->ir, type_of(operand_size(c, 0)), at, MO_16));
    return true;
}

/* The stack pointer goes up first; a fault of the load brings it down again by being raised before anything. */
bool x86_pop_segment(Ctx *c, unsigned segment)
{
    IrUnit *u = c->ir;
    unsigned size = c->i->operand_size;
    IrTmp selector = ir_ext(u, IR_I64, MO_16, pop_value(c, size)), sp = stack_pointer(c, size);
    system_call(c, SYSTEM_LOAD_SEGMENT, ir_const(u, IR_I64, segment | SHADOW_FOLLOWS), selector, false);
    set_reg(c, RSP, stack_size(c), sp);
    x86_end_at_next(c);
    return true;
}

static bool t_load_far(Ctx *c, unsigned segment)
{
    IrUnit *u = c->ir;
    unsigned size = far_size(c);
    IrTmp va = memory_address(c, size + 2, false);
    IrTmp offset = ir_ld(u, type_of(size), data(c, size), va, 0), selector = ir_ld(u, IR_I64, MO_16, va, size);
    system_call(c, SYSTEM_LOAD_SEGMENT, ir_const(u, IR_I64, segment), selector, false);
    set_reg(c, c->i->reg, size, offset);
    x86_end_at_next(c);
    return true;
}

/* ---- flags ---- */

static bool t_pushf(Ctx *c, unsigned arg)
{
    IrUnit *u = c->ir;
    unsigned size = c->i->operand_size;
    if (!(c->mode & MODE_VM86)) {
        IrTmp others = ir_ldstate(u, IR_I32, offsetof(X86State, eflags), MO_32);
        others = ir_binary_imm(u, OP_and, IR_I32, others, ~(FLAG_RF | FLAG_VM | FLAGS_ARITHMETIC));
        IrTmp flags = ir_binary(u, OP_or, IR_I32, others, ir_binary_imm(u, OP_or, IR_I32, get_flags(c), FLAG_1));
        push(c, size, size == 8 ? to_i64(c, flags) : flags);
        return true;
    }
    IrTmp v = system_call(c, SYSTEM_PUSHF, ir_const(c->ir, IR_I64, size), 0, false);
    push(c, size, size == 8 ? v : ir_unary(c->ir, OP_trunc, IR_I32, v));
    return true;
}

static bool t_swapgs(Ctx *c, unsigned arg)
{
    IrUnit *u = c->ir;
    if (c->bits != 64 || c->mode & MODE_CPL)
        return t_plain(c, SYSTEM_SWAPGS);
    uint32_t base = x86_base_of(X86_GS), other = offsetof(X86State, kernel_gs_base);
    IrTmp now = ir_ldstate(u, IR_I64, base, MO_64), then = ir_ldstate(u, IR_I64, other, MO_64);
    ir_ststate(u, base, MO_64, then);
    ir_ststate(u, other, MO_64, now);
    return true;
}

static bool t_popf(Ctx *c, unsigned arg)
{
    unsigned size = c->i->operand_size;
    IrTmp v = to_i64(c, pop_value(c, size)), sp = stack_pointer(c, size);
    system_call(c, SYSTEM_POPF, ir_const(c->ir, IR_I64, size), v, false);
    set_reg(c, RSP, stack_size(c), sp);
    x86_end_at_next(c);
    return true;
}

static bool may_change_if(const Ctx *c)
{
    unsigned cpl = c->mode & MODE_CPL, iopl = c->mode >> MODE_IOPL_SHIFT & 3;
    return !(c->mode & MODE_PE) || (!(c->mode & MODE_VM86) && cpl <= iopl);
}

static void change_if(Ctx *c, bool set)
{
    IrTmp flags = ir_ldstate(c->ir, IR_I32, offsetof(X86State, eflags), MO_32);
    flags = set ? ir_binary_imm(c->ir, OP_or, IR_I32, flags, FLAG_IF)
                : ir_binary_imm(c->ir, OP_and, IR_I32, flags, ~FLAG_IF);
    ir_ststate(c->ir, offsetof(X86State, eflags), MO_32, flags);
}

/* An interrupt that waits is taken before. */
static bool t_cli(Ctx *c, unsigned arg)
{
    if (!may_change_if(c))
        return t_plain(c, SYSTEM_CLI);
    ir_poll(c->ir, c->insn->offset);
    change_if(c, false);
    return true;
}

static bool t_sti(Ctx *c, unsigned arg)
{
    if (!may_change_if(c) || c->insn->cold)
        return t_plain(c, SYSTEM_STI);
    IrTmp inputs = ir_ldstate(c->ir, IR_I32, offsetof(X86State, inputs), MO_32);
    cold_if(c, COND_NE, inputs, ir_const(c->ir, IR_I32, 0));
    change_if(c, true);
    return true;
}

static bool t_halt(Ctx *c, unsigned what)
{
    system_call(c, what, 0, 0, false);
    ir_exit(c->ir, c->insn->offset + c->i->length, EXIT_HALT);
    c->stop = true;
    return true;
}

static bool t_pause(Ctx *c, unsigned arg)
{
    if (c->mode & MODE_TF)
        return true;
    ir_exit(c->ir, c->insn->offset + c->i->length, EXIT_YIELD);
    c->stop = true;
    return true;
}

static bool t_fence(Ctx *c, unsigned kinds)
{
    ir_fence(c->ir, kinds);
    return true;
}

/* Loads of the line fault as the instruction does. */
static bool t_flush_line(Ctx *c, unsigned arg)
{
    ir_ld(c->ir, IR_I32, MO_8, memory_address(c, 1, false), 0);
    return true;
}

/* ---- control and debug registers ---- */

static bool t_movcr(Ctx *c, unsigned dr)
{
    IrUnit *u = c->ir;
    unsigned n = c->i->reg;
    bool write = c->i->row->operands[0].kind == OPERAND_CR || c->i->row->operands[0].kind == OPERAND_DR;
    if (c->i->lock) { /* AMD: CR8 */
        if (n || !(c->s->cpuid_features[X86_WORD_8000_0001_ECX] & X86_BIT_CR8LEGACY))
            return false;
        n = 8;
    }
    if (!dr && n != 0 && n != 2 && n != 3 && n != 4 && n != 8)
        return false;
    unsigned size = c->bits == 64 ? 8 : 4;
    if (dr && n > 7)
        return false;
    IrTmp which = ir_const(u, IR_I64, n);
    if (write) {
        system_call(c, dr ? SYSTEM_WRITE_DR : SYSTEM_WRITE_CR, which, to_i64(c, get_reg(c, c->i->rm, size)), true);
        return true;
    }
    IrTmp v = system_call(c, dr ? SYSTEM_READ_DR : SYSTEM_READ_CR, which, 0, false);
    set_reg(c, c->i->rm, size, size == 8 ? v : ir_unary(u, OP_trunc, IR_I32, v));
    return true;
}

static bool t_lmsw(Ctx *c, unsigned arg)
{
    if (is_privileged(c))
        system_call(c, SYSTEM_LMSW, selector_operand(c, 0), 0, true);
    return true;
}

/* ---- tables ---- */

static bool t_table(Ctx *c, unsigned what)
{
    if ((what == SYSTEM_LGDT || what == SYSTEM_LIDT) && !is_privileged(c))
        return true;
    IrTmp va = to_i64(c, memory_address(c, c->bits == 64 ? 10 : 6, what == SYSTEM_SGDT || what == SYSTEM_SIDT));
    system_call(c, what, va, ir_const(c->ir, IR_I64, c->i->operand_size), false);
    return true;
}

static bool t_store_system(Ctx *c, unsigned what)
{
    IrTmp v = system_call(c, SYSTEM_STORE_SYSTEM, ir_const(c->ir, IR_I64, what), 0, false);
    set_operand(c, 0, operand_size(c, 0) == 8 ? v : ir_unary(c->ir, OP_trunc, IR_I32, v));
    return true;
}

static bool t_selector(Ctx *c, unsigned what)
{
    if (is_privileged(c))
        system_call(c, what, selector_operand(c, 0), 0, true);
    return true;
}

static void set_zero_flag(Ctx *c, IrTmp zf)
{
    IrTmp flags = ir_binary_imm(c->ir, OP_and, IR_I32, get_flags(c), ~FLAG_ZF);
    zf = ir_unary(c->ir, OP_trunc, IR_I32, zf);
    set_all_flags(c, ir_binary(c->ir, OP_or, IR_I32, flags, ir_binary_imm(c->ir, OP_shl, IR_I32, zf, 6)));
}

static bool t_verify(Ctx *c, unsigned write)
{
    set_zero_flag(c, system_call(c, SYSTEM_VERIFY, selector_operand(c, 0), ir_const(c->ir, IR_I64, write), false));
    return true;
}

static bool t_lar(Ctx *c, unsigned limit)
{
    IrUnit *u = c->ir;
    unsigned size = operand_size(c, 0);
    IrTmp v = system_call(c, SYSTEM_LAR, selector_operand(c, 1), ir_const(u, IR_I64, limit), false);
    IrTmp zf = ir_binary_imm(u, OP_shr, IR_I64, v, 32);
    set_zero_flag(c, zf);
    IrTmp value = ir_ext(u, IR_I64, MO_32, v), old = get_reg(c, c->i->reg, 8);
    if (size == 2)
        value =
            ir_binary(u, OP_or, IR_I64, ir_binary_imm(u, OP_and, IR_I64, old, ~0xffffll), ir_ext(u, IR_I64, MO_16, v));
    set_reg(c, c->i->reg, 8, ir_select(u, IR_I64, COND_NE, zf, ir_const(u, IR_I64, 0), value, old));
    return true;
}

static bool t_arpl(Ctx *c, unsigned arg)
{
    IrUnit *u = c->ir;
    IrTmp a = selector_operand(c, 0), b = selector_operand(c, 1);
    IrTmp v = system_call(c, SYSTEM_ARPL, a, b, false);
    int same = ir_new_label(u), end = ir_new_label(u);
    ir_brcond(u, COND_EQ, ir_binary_imm(u, OP_shr, IR_I64, v, 16), ir_const(u, IR_I64, 0), same);
    c->address = 0; /* it must be one that may be written, too */
    set_operand(c, 0, ir_unary(u, OP_trunc, IR_I32, v));
    set_zero_flag(c, ir_const(u, IR_I64, 1));
    ir_br(u, end);
    ir_label(u, same);
    set_zero_flag(c, ir_const(u, IR_I64, 0));
    ir_label(u, end);
    c->address = 0;
    return true;
}

static bool t_invlpg(Ctx *c, unsigned arg)
{
    if (!is_privileged(c))
        return true;
    system_call(c, SYSTEM_INVLPG, to_i64(c, memory_address(c, 0, false)), 0, true);
    return true;
}

static bool t_invpcid(Ctx *c, unsigned arg)
{
    if (!is_privileged(c))
        return true;
    IrTmp va = to_i64(c, memory_address(c, 16, false));
    system_call(c, SYSTEM_INVPCID, to_i64(c, get_reg(c, c->i->reg, c->bits == 64 ? 8 : 4)), va, true);
    return true;
}

/* ---- others ---- */

/* a: segment, 256: write. */
static bool t_base(Ctx *c, unsigned what)
{
    unsigned size = operand_size(c, 0);
    IrTmp value = what & 256 ? to_i64(c, get_operand(c, 0)) : 0;
    IrTmp v = system_call(c, SYSTEM_BASES, ir_const(c->ir, IR_I64, what), value, false);
    if (!(what & 256))
        set_operand(c, 0, size == 8 ? v : ir_unary(c->ir, OP_trunc, IR_I32, v));
    return true;
}

static bool t_monitor(Ctx *c, unsigned arg)
{
    unsigned segment = c->i->segment_override == X86_NO_SEGMENT ? X86_DS : c->i->segment_override;
    IrTmp va = to_i64(c, linear(c, segment, get_address_reg(c, RAX), 1, false));
    system_call(c, SYSTEM_MONITOR, va, 0, false);
    return true;
}

static bool t_ac(Ctx *c, unsigned set)
{
    system_call(c, SYSTEM_AC, ir_const(c->ir, IR_I64, set), 0, true);
    return true;
}

static bool t_random(Ctx *c, unsigned arg)
{
    unsigned size = operand_size(c, 0);
    IrTmp v = system_call(c, SYSTEM_RANDOM, 0, 0, false);
    set_operand(c, 0, size == 8 ? v : ir_unary(c->ir, OP_trunc, IR_I32, v));
    set_all_flags(c, ir_const(c->ir, IR_I32, FLAG_CF));
    return true;
}

static bool t_rdpid(Ctx *c, unsigned arg)
{
    set_reg(c, c->i->rm, c->bits == 64 ? 8 : 4,
            c->bits == 64 ? system_call(c, SYSTEM_RDPID, 0, 0, false)
                          : ir_unary(c->ir, OP_trunc, IR_I32, system_call(c, SYSTEM_RDPID, 0, 0, false)));
    return true;
}

static bool t_clzero(Ctx *c, unsigned arg)
{
    IrUnit *u = c->ir;
    IrTmp offset = get_address_reg(c, RAX);
    unsigned segment = c->i->segment_override == X86_NO_SEGMENT ? X86_DS : c->i->segment_override;
    /* the line that has this byte, all of which must be within the segment */
    IrType t = (IrType)u->tmps[offset].type;
    bool based = c->bits != 64 || segment >= X86_FS;
    IrTmp base = based ? ir_ldstate(u, t, x86_base_of(segment), t == IR_I64 ? MO_64 : MO_32) : ir_const(u, t, 0);
    IrTmp line = ir_binary_imm(u, OP_and, t, ir_binary(u, OP_add, t, offset, base), -64);
    IrTmp va = linear(c, segment, ir_binary(u, OP_sub, t, line, base), 64, true);
    for (unsigned i = 0; i < 8; i++)
        ir_st(u, MO_64, va, 8 * i, ir_const(u, IR_I64, 0));
    return true;
}

const X86Translator x86_system_translators[] = {
    { "movs", t_movs, 0 },
    { "les", t_load_far, X86_ES },
    { "lds", t_load_far, X86_DS },
    { "lss", t_load_far, X86_SS },
    { "lfs", t_load_far, X86_FS },
    { "lgs", t_load_far, X86_GS },
    { "pushf", t_pushf, 0 },
    { "popf", t_popf, 0 },
    { "cli", t_cli, 0 },
    { "sti", t_sti, 0 },
    { "hlt", t_halt, SYSTEM_HLT },
    { "mwait", t_halt, SYSTEM_MWAIT },
    { "monitor", t_monitor, 0 },
    { "pause", t_pause, 0 },
    { "lfence", t_fence, FENCE_LOAD_LOAD },
    { "sfence", t_fence, FENCE_STORE_STORE },
    { "mfence", t_fence, FENCE_ALL },
    { "clflush", t_flush_line, 0 },
    { "clflushopt", t_flush_line, 0 },
    { "clwb", t_flush_line, 0 },
    { "clzero", t_clzero, 0 },
    { "cpuid", t_plain, SYSTEM_CPUID },
    { "rdtsc", t_plain, SYSTEM_RDTSC },
    { "rdtscp", t_plain, SYSTEM_RDTSCP },
    { "rdpmc", t_plain, SYSTEM_RDPMC },
    { "rdmsr", t_plain, SYSTEM_RDMSR },
    { "wrmsr", t_ending, SYSTEM_WRMSR },
    { "movcr", t_movcr, 0 },
    { "movdr", t_movcr, 1 },
    { "lmsw", t_lmsw, 0 },
    { "clts", t_ending, SYSTEM_CLTS },
    { "lgdt", t_table, SYSTEM_LGDT },
    { "lidt", t_table, SYSTEM_LIDT },
    { "sgdt", t_table, SYSTEM_SGDT },
    { "sidt", t_table, SYSTEM_SIDT },
    { "sldt", t_store_system, STORE_LDT },
    { "str", t_store_system, STORE_TR },
    { "smsw", t_store_system, STORE_MSW },
    { "lldt", t_selector, SYSTEM_LLDT },
    { "ltr", t_selector, SYSTEM_LTR },
    { "verr", t_verify, 0 },
    { "verw", t_verify, 1 },
    { "lar", t_lar, 0 },
    { "lsl", t_lar, 1 },
    { "arpl", t_arpl, 0 },
    { "invlpg", t_invlpg, 0 },
    { "invpcid", t_invpcid, 0 },
    { "invd", t_plain, SYSTEM_PRIVILEGED },
    { "wbinvd", t_plain, SYSTEM_PRIVILEGED },
    { "wbnoinvd", t_plain, SYSTEM_PRIVILEGED },
    { "syscall", t_ending, SYSTEM_SYSCALL },
    { "sysret", t_ending, SYSTEM_SYSRET },
    { "sysenter", t_ending, SYSTEM_SYSENTER },
    { "sysexit", t_ending, SYSTEM_SYSEXIT },
    { "swapgs", t_swapgs, 0 },
    { "rdfsbase", t_base, X86_FS },
    { "rdgsbase", t_base, X86_GS },
    { "wrfsbase", t_base, X86_FS | 256 },
    { "wrgsbase", t_base, X86_GS | 256 },
    { "clac", t_ac, 0 },
    { "stac", t_ac, 1 },
    { "rdpkru", t_plain, SYSTEM_RDPKRU },
    { "wrpkru", t_ending, SYSTEM_WRPKRU },
    { "xgetbv", t_plain, SYSTEM_XGETBV },
    { "xsetbv", t_ending, SYSTEM_XSETBV },
    { "rsm", t_ending, SYSTEM_RSM },
    { "rdrand", t_random, 0 },
    { "rdseed", t_random, 0 },
    { "rdpid", t_rdpid, 0 },
    { NULL, NULL, 0 },
};
