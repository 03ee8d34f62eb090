/*
 * RISC-V translation, internal: what instruction functions (rv_NAME, named by the .decode tables) work with.
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_RISCV_TRANSLATE_H
#define TARGET_RISCV_TRANSLATE_H

#include "target/riscv/cpu.h"

/* Operands, whatever the encoding. */
typedef struct Arg {
    uint8_t rd, rs1, rs2, rs3, rm;
    bool acquire, release;
    int32_t imm;
    uint32_t bits; /* the instruction as fetched: 16 or 32 bits */
} Arg;

typedef struct Ctx {
    TranslateInsn *insn;
    IrUnit *ir;
    const RiscvState *s;
    IrType xt; /* of x registers: IR_I64 or IR_I32 */
    unsigned xlen;
    unsigned priv;
    bool virt; /* V: for a guest */
    unsigned length;
    uint8_t pm_bits; /* pointer masking of loads and stores: RiscvState.pm_bits, */
    bool pm_zero;    /* and pm_zero */
    bool stop;       /* nothing follows in straight line */
} Ctx;

typedef struct DecodeRow {
    uint32_t mask, match;
    bool (*translate)(Ctx *c, const Arg *a); /* false: illegal instruction */
    uint8_t format;
    uint64_t any, also; /* extensions: one of each set must be there */
    uint8_t xlen;
    const char *name;
} DecodeRow;

/* The row of an instruction as fetched (16 or 32 bits) and its operands; NULL: illegal. */
const DecodeRow *riscv_decode(const RiscvState *s, uint32_t bits, Arg *a);
/* The first row of the 32-bit tables with this function: what a compressed instruction stands for. NULL: none. */
const DecodeRow *riscv_row_of(bool (*translate)(Ctx *c, const Arg *a));

/* Registers: x0 reads as zero and swallows writes. */
static inline IrTmp get_x(Ctx *c, unsigned r)
{
    return r ? ir_getreg(c->ir, r - 1) : ir_const(c->ir, c->xt, 0);
}
static inline void set_x(Ctx *c, unsigned r, IrTmp v)
{
    if (r)
        ir_setreg(c->ir, r - 1, v);
}
static inline IrTmp imm_x(Ctx *c, int64_t v)
{
    return ir_const(c->ir, c->xt, v);
}
/* The low word of an x register, and a word put into one, sign-extended. */
static inline IrTmp get_w(Ctx *c, unsigned r)
{
    IrTmp v = get_x(c, r);
    return c->xt == IR_I32 ? v : ir_unary(c->ir, OP_trunc, IR_I32, v);
}
static inline void set_w(Ctx *c, unsigned r, IrTmp v)
{
    if (r)
        set_x(c, r, c->xt == IR_I32 ? v : ir_ext(c->ir, IR_I64, MO_32 | MO_SIGNED, v));
}
/* The address of the instruction plus offset, as an x value. */
static inline IrTmp pc_plus(Ctx *c, int64_t offset)
{
    IrTmp v = ir_getpc(c->ir, c->insn->offset + offset);
    return c->xt == IR_I32 ? ir_unary(c->ir, OP_trunc, IR_I32, v) : v;
}

/* Helpers, in the order of riscv_helpers[]. */
enum {
    HELPER_RAISE,
    HELPER_CSR,
    HELPER_SRET,
    HELPER_MRET,
    HELPER_WFI,
    HELPER_SFENCE,
    HELPER_FENCE_I,
    HELPER_ECALL,
    HELPER_FCLASS,
    HELPER_FP_OFF,
    HELPER_SOFT_FP,
    HELPER_FCVTMOD,
    HELPER_CAS16,
    HELPER_CBO,
    HELPER_CLMUL,
    HELPER_XPERM,
    HELPER_AES32,
    HELPER_AES64,
    HELPER_AES64IM,
    HELPER_AES64KS1I,
    HELPER_SM4ED,
    HELPER_SM4KS,
    HELPER_VECTOR,
    HELPER_TRIGGER,
    HELPER_HLV,
    HELPER_HSV,
    HELPER_HFENCE,
    HELPER_COUNT
};

/* Those that are not in helpers.c: crypto.c. */
enum { AES_MIX = 1, AES_DECRYPT = 2 };
HelperFn riscv_helper_clmul, riscv_helper_xperm, riscv_helper_aes32, riscv_helper_aes64, riscv_helper_aes64im,
    riscv_helper_aes64ks1i, riscv_helper_sm4ed, riscv_helper_sm4ks;

/* Raise cause at this instruction; ends the unit. */
void raise_exception(Ctx *c, unsigned cause, uint64_t tval);
/* Floating point: illegal if it is off. */
void fp_enable(Ctx *c, const Arg *a);
/* The instruction's rounding mode. False: reserved. */
bool fp_rounding(Ctx *c, const Arg *a, IrRound *round);
/* The address x[rs1] + offset of an explicit access to memory: pointers are masked, where that is on. */
IrTmp data_address(Ctx *c, unsigned rs1, int32_t offset);
/* Load from there, store there. */
static inline IrTmp load_at(Ctx *c, IrType type, unsigned memop, unsigned rs1, int32_t offset)
{
    return c->pm_bits ? ir_ld(c->ir, type, memop, data_address(c, rs1, offset), 0)
                      : ir_ld(c->ir, type, memop, get_x(c, rs1), offset);
}
static inline void store_at(Ctx *c, unsigned memop, unsigned rs1, int32_t offset, IrTmp v)
{
    if (c->pm_bits)
        ir_st(c->ir, memop, data_address(c, rs1, offset), 0, v);
    else
        ir_st(c->ir, memop, get_x(c, rs1), offset, v);
}
/* Go on at the next instruction, which may be another one now, or run in another mode. True. */
bool end_at_next(Ctx *c);
/* Jump to this instruction + displacement (an unconditional transfer). */
void jump_to(Ctx *c, int64_t displacement);

enum {
    FORMAT_R,
    FORMAT_I,
    FORMAT_S,
    FORMAT_B,
    FORMAT_U,
    FORMAT_J,
    FORMAT_H,
    FORMAT_A,
    FORMAT_F,
    FORMAT_N,
    FORMAT_V,
    FORMAT_NONE,
    FORMAT_CIW,
    FORMAT_CLW,
    FORMAT_CLD,
    FORMAT_CSW,
    FORMAT_CSD,
    FORMAT_CI,
    FORMAT_CLI,
    FORMAT_C16SP,
    FORMAT_CLUI,
    FORMAT_CSH,
    FORMAT_CAND,
    FORMAT_CA,
    FORMAT_CJ,
    FORMAT_CJAL,
    FORMAT_CB,
    FORMAT_CSLLI,
    FORMAT_CLWSP,
    FORMAT_CLDSP,
    FORMAT_CSWSP,
    FORMAT_CSDSP,
    FORMAT_CJR,
    FORMAT_CJALR,
    FORMAT_CMV,
    FORMAT_CADD,
    FORMAT_CLB,
    FORMAT_CLH,
    FORMAT_CU,
};

#include "riscv-decode16.h"
#include "riscv-decode32.h"

#endif
