/*
 * x86 translation: x87, control and state of all floating point (SDM volume 1, chapter 8; volume 2). What is not inline
 * is one helper call, see x87.c.
 * SPDX-License-Identifier: MIT
 */
#include "target/x86/insn_simd.h"

void x87_forget_top(Ctx *c)
{
    c->ir->assumed &= ~(uint32_t)ASSUMED_X87;
}

static IrTmp as_i64(Ctx *c, IrTmp t)
{
    return c->ir->tmps[t].type == IR_I64 ? t : ir_ext(c->ir, IR_I64, MO_32, t);
}

bool x86_translate_x87(Ctx *c)
{
    const X86Insn *i = c->i;
    IrUnit *u = c->ir;
    unsigned opcode = (i->opcode & 7u) << 8 | i->modrm;
    if (!simd_available(c, NEED_X87))
        return true;
    unsigned bytes = x87_operand_bytes(opcode);
    IrTmp address = ir_const(u, IR_I64, 0);
    if (i->mod != 3)
        address = as_i64(c, memory_address(c, bytes ? bytes : 14, x87_is_store(opcode)));
    ir_call(u, IR_I64, HELPER_X87, ir_const(u, IR_I64, opcode), address, ir_const(u, IR_I64, i->operand_size == 2), 0);
    return true;
}

/* fwait */
static bool translate_wait(Ctx *c, unsigned arg)
{
    enum { BOTH = CR0_MP | CR0_TS };
    if (c->mode & MODE_NO_FPU) { /* #NM with CR0.MP and TS */
        ir_call(c->ir, IR_I64, HELPER_NO_FPU, ir_const(c->ir, IR_I64, NEED_WAIT), 0, 0, 0);
        return true;
    }
    ir_guard(c->ir, offsetof(X86State, fpu) + offsetof(X86Fpu, pending), HELPER_X87_PENDING, 0);
    return true;
}

/* fxsave and its like; arg: STATE_*. */
static bool translate_state(Ctx *c, unsigned what)
{
    bool fx = what == STATE_FXSAVE || what == STATE_FXRSTOR;
    if (fx ? c->mode & MODE_NO_FPU : c->mode & (MODE_NO_FPU | MODE_NO_XSAVE)) {
        ir_call(c->ir, IR_I64, HELPER_NO_FPU, ir_const(c->ir, IR_I64, fx ? NEED_X87 : NEED_XSAVE), 0, 0, 0);
        end_at_pc(c);
        return true;
    }
    if ((what == STATE_XSAVES || what == STATE_XRSTORS) && (c->mode & MODE_CPL)) {
        x86_fault(c, VECTOR_GP, 0);
        return true;
    }
    bool load = what == STATE_FXRSTOR || what == STATE_XRSTOR || what == STATE_XRSTORS;
    IrTmp address = as_i64(c, memory_address(c, 512, !load));
    ir_call(c->ir, IR_I64, HELPER_STATE, ir_const(c->ir, IR_I64, what), address,
            ir_const(c->ir, IR_I64, c->i->operand_size == 8), 0);
    if (load)
        end_at_next(c); /* the mode may be another */
    return true;
}

static bool translate_ldmxcsr(Ctx *c, unsigned arg)
{
    if (!simd_available(c, c->i->vex ? NEED_AVX : NEED_SSE))
        return true;
    IrTmp v = ir_ld(c->ir, IR_I32, MO_32, memory_address(c, 4, false), 0);
    ir_call(c->ir, IR_I64, HELPER_SET_MXCSR, as_i64(c, v), 0, 0, 0);
    end_at_next(c);
    return true;
}

static bool translate_stmxcsr(Ctx *c, unsigned arg)
{
    if (!simd_available(c, c->i->vex ? NEED_AVX : NEED_SSE))
        return true;
    IrTmp v = ir_call(c->ir, IR_I32, HELPER_MXCSR, 0, 0, 0, 0);
    ir_st(c->ir, MO_32, memory_address(c, 4, true), 0, v);
    return true;
}

/* Hints. */
static bool translate_prefetch(Ctx *c, unsigned arg)
{
    return true;
}

const X86Translator x86_float_translators[] = {
    { "fwait", translate_wait, 0 },
    { "fxsave", translate_state, STATE_FXSAVE },
    { "fxrstor", translate_state, STATE_FXRSTOR },
    { "xsave", translate_state, STATE_XSAVE },
    { "xrstor", translate_state, STATE_XRSTOR },
    { "xsaveopt", translate_state, STATE_XSAVEOPT },
    { "xsavec", translate_state, STATE_XSAVEC },
    { "xsaves", translate_state, STATE_XSAVES },
    { "xrstors", translate_state, STATE_XRSTORS },
    { "ldmxcsr", translate_ldmxcsr, 0 },
    { "vldmxcsr", translate_ldmxcsr, 0 },
    { "stmxcsr", translate_stmxcsr, 0 },
    { "vstmxcsr", translate_stmxcsr, 0 },
    { "prefetch", translate_prefetch, 0 },
    { "prefetchw", translate_prefetch, 0 },
    { NULL, NULL, 0 },
};
