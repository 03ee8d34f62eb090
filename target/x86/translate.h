/*
 * x86 translation, internal: what instruction functions work with.
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_X86_TRANSLATE_H
#define TARGET_X86_TRANSLATE_H

#include "target/x86/cpu.h"

/* Guest registers of the IR, in the order of x86_regs[]. */
enum { REG_CC_RESULT = X86_GPRS, REG_CC_SOURCE, REG_CC_OP, X86_REG_COUNT };

typedef struct Ctx {
    TranslateInsn *insn;
    IrUnit *ir;
    const X86State *s;
    const X86Insn *i;
    uint32_t mode;
    unsigned bits; /* of code: 16, 32, 64 */
    bool stop;     /* nothing follows in straight line */
    IrTmp address; /* of the memory operand, once computed; 0: not yet */
} Ctx;

enum {
    HELPER_RAISE,
    HELPER_FLAGS,
    HELPER_CHECK_SEGMENT,
    HELPER_SET_FLAGS,
    HELPER_DIVIDE,
    HELPER_ROTATE_CARRY,
    HELPER_STRING,
    HELPER_LOAD_SEGMENT,
    HELPER_FAR_JUMP,
    HELPER_FAR_CALL,
    HELPER_FAR_RETURN,
    HELPER_IRET,
    HELPER_INTERRUPT,
    HELPER_DECIMAL,
    HELPER_ENTER,
    HELPER_IN,
    HELPER_OUT,
    HELPER_SYSTEM,
    HELPER_COUNT
};

uint32_t x86_flags_of(uint32_t cc_op, uint64_t result, uint64_t source);

/* The IR type that values of this many bytes are worked on in: I32 up to 4. Upper bits are undefined where the value is
 * narrower than its type, unless said. */
static inline IrType type_of(unsigned bytes)
{
    return bytes == 8 ? IR_I64 : IR_I32;
}
static inline unsigned log2_of(unsigned bytes)
{
    return (unsigned)__builtin_ctz(bytes);
}

/* General registers. size: 1, 2, 4, 8; byte registers 4 to 7 are AH CH DH BH unless the instruction has REX. */
IrTmp get_reg(Ctx *c, unsigned reg, unsigned size);
void set_reg(Ctx *c, unsigned reg, unsigned size, IrTmp value);
/* Address of the memory operand with its segment's base; check: size bytes are within the segment. */
IrTmp memory_address(Ctx *c, unsigned size, bool write);
/* Offset only: lea. */
IrTmp memory_offset(Ctx *c);
/* Linear address of segment:offset. */
IrTmp linear(Ctx *c, unsigned segment, IrTmp offset, unsigned size, bool write);
/* Operand n of the instruction: a register, memory or immediate. size as x86_operand_bytes says. */
unsigned operand_size(const Ctx *c, unsigned n);
IrTmp get_operand(Ctx *c, unsigned n);
void set_operand(Ctx *c, unsigned n, IrTmp value);
bool operand_in_memory(const Ctx *c, unsigned n);
/* Low `size` bytes, zero- or sign-extended to the type they are worked on in. */
IrTmp extend(Ctx *c, IrTmp value, unsigned size, bool is_signed);

/* Flags. */
void set_flags(Ctx *c, unsigned kind, unsigned size, IrTmp result, IrTmp source);
IrTmp get_flags(Ctx *c); /* the six flags as I32, in their eflags places */
IrTmp get_carry(Ctx *c, IrType type); /* 0 or 1 */
/* Condition cc (low 4 bits of the opcode) as a comparison: *cond, *a, *b. */
void condition(Ctx *c, unsigned cc, IrCond *cond, IrTmp *a, IrTmp *b);

/* Control. displacement: from the instruction's end. */
void jump_near(Ctx *c, int64_t displacement);
void raise(Ctx *c, unsigned vector, uint32_t error);
/* A helper has set cs->pc: look up and go on there. */
void end_at_pc(Ctx *c);
void push(Ctx *c, unsigned size, IrTmp value);
IrTmp pop(Ctx *c, unsigned size);
/* The next instruction's rIP as a value of the type. */
IrTmp next_ip(Ctx *c, IrType type);

#include "x86-translators.h"

#endif
