/*
 * Instructions of an x86-64 host as operations of the IR (OP_vhost): a guest whose instructions are those of the host
 * has them executed by the same ones, in their VEX form, on the registers that the allocator chose (Intel 64 and IA-32
 * Architectures Software Developer's Manual, volume 2, section 2.3). The operation names its instruction by its
 * encoding. The interpreter runs the same encoding on fixed registers (tcg/x86-64/host_run.c).
 * SPDX-License-Identifier: MIT
 */
#ifndef TCG_IR_HOST_H
#define TCG_IR_HOST_H

#include "tcg/ir.h"
#include "tcg/runtime.h"

/* insn.imm: bits 0-7 opcode, 8-9 map (1: 0F, 2: 0F38, 3: 0F3A), 12-13 prefix (0 none, 1 66, 2 F3, 3 F2), 14 W; and: */
enum {
    IR_HOST_0F = 0x100,
    IR_HOST_0F38 = 0x200,
    IR_HOST_0F3A = 0x300,
    IR_HOST_66 = 0x1000,
    IR_HOST_F3 = 0x2000,
    IR_HOST_F2 = 0x3000,
    IR_HOST_W = 0x4000,
    IR_HOST_256 = 0x10000,     /* VEX.L */
    IR_HOST_HAS_IMM = 0x20000, /* an immediate byte follows, from bit 32 on */
    IR_HOST_DIGIT = 20,        /* IR_HOST_VM: ModRM.reg, three bits from here */
    IR_HOST_FORM = 24,         /* three bits from here: */
};
/* Which field of the encoding names which operand. */
typedef enum {
    IR_HOST_RM,   /* reg = op rm: a */
    IR_HOST_RVM,  /* reg = vvvv: a op rm: b */
    IR_HOST_RVMR, /* and c in the immediate */
    IR_HOST_VM,   /* vvvv = op rm: a; a digit in reg */
    IR_HOST_MR,   /* rm = op reg: a */
    IR_HOST_FMA,  /* reg: a is the result, too; vvvv: b, rm: c */
    IR_HOST_TEST, /* ZF, PF and CF in their places, of reg: a, rm: b; the result is an I64 */
    IR_HOST_FORMS
} IrHostForm;

/* ---- x87 ---- */

/* Formats of operands in the state. */
typedef enum { IR_X87_M80, IR_X87_M32, IR_X87_M64, IR_X87_I16, IR_X87_I32, IR_X87_I64 } IrX87Format;
/* The instruction: none, one on st(0) or st(1) and st(0), which leaves one value; one with the operand second. */
typedef enum { IR_X87_NONE, IR_X87_REGISTERS, IR_X87_MEMORY } IrX87Kind;
/* Result of x87test: the status word (I32); ZF, PF, CF of fcomip or fucomip (I64). */
enum { IR_X87_STATUS = 1, IR_X87_EFLAGS = 2 };
/* Load first, and (IR_X87_REGISTERS) second, do op, store dest. Places are offsets in the state, 0: there is none. */
typedef struct IrX87 {
    uint16_t op; /* escape byte, then ModRM */
    uint16_t first, second, dest;
    uint8_t first_format, dest_format, kind;
} IrX87;
static inline IrX87 ir_x87_unpack(int64_t imm, unsigned aux)
{
    return (IrX87){ (uint16_t)imm,      (uint16_t)(imm >> 16),   (uint16_t)(imm >> 32), (uint16_t)(imm >> 48),
                    (uint8_t)(aux & 7), (uint8_t)(aux >> 3 & 7), (uint8_t)(aux >> 6) };
}
/* Builders; of a test the result is one of IR_X87_STATUS, IR_X87_EFLAGS. */
void ir_x87(IrUnit *u, const IrX87 *x);
IrTmp ir_x87_test(IrUnit *u, unsigned result, const IrX87 *x);
/* On the state; the control word is cs->x87_control, exceptions are added to cs->x87_flags. */
uint64_t ir_x87_run(CpuState *cs, int64_t imm, unsigned aux, unsigned result);

#define IR_HOST_IMM(byte) (IR_HOST_HAS_IMM | (int64_t)(uint8_t)(byte) << 32)

static inline unsigned ir_host_inputs(int64_t what)
{
    static const uint8_t inputs[8] = { 1, 2, 3, 1, 1, 3, 2 };
    return inputs[what >> IR_HOST_FORM & 7];
}

/* MXCSR for CpuState.fp_round, all exceptions masked and none noted. */
static inline uint32_t ir_host_mxcsr(uint8_t round)
{
    static const uint8_t control[8] = { 0, 3, 1, 2 };
    return 0x1f80u | (uint32_t)control[round & 7] << 13 | (round & IR_FP_FLUSH ? 1u << 15 : 0) |
           (round & IR_FP_DENORMALS_ZERO ? 1u << 6 : 0);
}
/* MXCSR's exceptions as IR_FP_*. */
static inline uint8_t ir_host_flags(uint32_t m)
{
    return (m & 1 ? IR_FP_NV : 0) | (m & 2 ? IR_FP_DE : 0) | (m & 4 ? IR_FP_DZ : 0) | (m & 8 ? IR_FP_OF : 0) |
           (m & 16 ? IR_FP_UF : 0) | (m & 32 ? IR_FP_NX : 0);
}

/* Have memory ready for one thread that will call ir_host_run or ir_x87_run. */
bool ir_host_reserve(GError **err);

/* The instruction on vectors v and integers t by number of the operand, vector[] says which of the two it is: the
 * result is in *out or returned. MXCSR is used as it is. */
uint64_t ir_host_run(int64_t what, IrType type, const bool vector[3], const IrVector *const v[3], const uint64_t t[3],
                     IrVector *out);

#endif
