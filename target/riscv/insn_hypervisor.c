/*
 * RISC-V H as IR (privileged ISA 20240411, sections 18.3 and "instruction set listings"): calls of the helpers in
 * hypervisor.c, which see whether the instruction is allowed.
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/hypervisor.h"
#include "target/riscv/translate.h"

static IrTmp wide_x(Ctx *c, unsigned r)
{
    IrTmp v = get_x(c, r);
    return c->xt == IR_I32 ? ir_ext(c->ir, IR_I64, MO_32, v) : v;
}

static bool guest_load(Ctx *c, const Arg *a, unsigned memop)
{
    IrTmp v = ir_call(c->ir, IR_I64, HELPER_HLV, wide_x(c, a->rs1), ir_const(c->ir, IR_I64, memop),
                      ir_const(c->ir, IR_I64, a->bits), 0);
    set_x(c, a->rd, c->xt == IR_I32 ? ir_unary(c->ir, OP_trunc, IR_I32, v) : v);
    return true;
}
static bool guest_store(Ctx *c, const Arg *a, unsigned memop)
{
    ir_call(c->ir, IR_I64, HELPER_HSV, wide_x(c, a->rs1), wide_x(c, a->rs2), ir_const(c->ir, IR_I64, memop),
            ir_const(c->ir, IR_I64, a->bits));
    return true;
}
/* clang-format off */
bool rv_hlv_b(Ctx *c, const Arg *a) { return guest_load(c, a, MO_8 | MO_SIGNED); }
bool rv_hlv_bu(Ctx *c, const Arg *a) { return guest_load(c, a, MO_8); }
bool rv_hlv_h(Ctx *c, const Arg *a) { return guest_load(c, a, MO_16 | MO_SIGNED); }
bool rv_hlv_hu(Ctx *c, const Arg *a) { return guest_load(c, a, MO_16); }
bool rv_hlvx_hu(Ctx *c, const Arg *a) { return guest_load(c, a, MO_16 | HLVX); }
bool rv_hlv_w(Ctx *c, const Arg *a) { return guest_load(c, a, MO_32 | MO_SIGNED); }
bool rv_hlv_wu(Ctx *c, const Arg *a) { return guest_load(c, a, MO_32); }
bool rv_hlvx_wu(Ctx *c, const Arg *a) { return guest_load(c, a, MO_32 | HLVX); }
bool rv_hlv_d(Ctx *c, const Arg *a) { return guest_load(c, a, MO_64); }
bool rv_hsv_b(Ctx *c, const Arg *a) { return guest_store(c, a, MO_8); }
bool rv_hsv_h(Ctx *c, const Arg *a) { return guest_store(c, a, MO_16); }
bool rv_hsv_w(Ctx *c, const Arg *a) { return guest_store(c, a, MO_32); }
bool rv_hsv_d(Ctx *c, const Arg *a) { return guest_store(c, a, MO_64); }
/* clang-format on */

static bool fence(Ctx *c, const Arg *a, unsigned second)
{
    unsigned which = (a->rs1 ? HFENCE_ADDRESS : 0) | (a->rs2 ? HFENCE_ID : 0) | second;
    ir_call(c->ir, IR_I64, HELPER_HFENCE, wide_x(c, a->rs1), wide_x(c, a->rs2), ir_const(c->ir, IR_I64, which),
            ir_const(c->ir, IR_I64, a->bits));
    return end_at_next(c);
}
/* clang-format off */
bool rv_hfence_vvma(Ctx *c, const Arg *a) { return fence(c, a, 0); }
bool rv_hfence_gvma(Ctx *c, const Arg *a) { return fence(c, a, HFENCE_SECOND); }
bool rv_hinval_vvma(Ctx *c, const Arg *a) { return fence(c, a, 0); }
bool rv_hinval_gvma(Ctx *c, const Arg *a) { return fence(c, a, HFENCE_SECOND); }
/* clang-format on */
