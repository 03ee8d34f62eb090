/*
 * x86 translation, internal: what instruction functions work with.
 * SPDX-License-Identifier: MIT
 */
#ifndef TARGET_X86_TRANSLATE_H
#define TARGET_X86_TRANSLATE_H

#include "target/x86/cpu.h"

/* Guest registers of the IR, in the order of x86_regs[]. */
enum { REG_CC_RESULT = X86_GPRS, REG_CC_SOURCE, REG_CC_OP, REG_XMM0, X86_REG_COUNT = REG_XMM0 + 16 };

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

/* Helpers, in the order of x86_helpers[]: X86_HELPER(NAME, function, arguments, returns, flags). */
#define SYSTEM_FLAGS (HELPER_READS | HELPER_WRITES | HELPER_RAISES | HELPER_CONTEXT)
#define X86_HELPERS(HELPER)                                                                 \
    HELPER(RAISE, raise, 2, false, HELPER_RAISES | HELPER_CONTEXT)                          \
    HELPER(FLAGS, flags, 3, true, HELPER_PURE)                                              \
    HELPER(CHECK_SEGMENT, check_segment, 2, false, HELPER_RAISES | HELPER_CONTEXT)          \
    HELPER(CHECK_WRITE, check_write, 2, false, HELPER_RAISES | HELPER_CONTEXT)              \
    HELPER(CHECK_CODE, check_code, 2, false, HELPER_RAISES | HELPER_CONTEXT)                \
    HELPER(STEP, step, 1, false, SYSTEM_FLAGS)                                              \
    HELPER(DIVIDE, divide, 2, false, SYSTEM_FLAGS)                                          \
    HELPER(ROTATE_CARRY, rotate_carry, 4, true, HELPER_PURE)                                \
    HELPER(LOCKED, locked, 4, true, HELPER_RAISES | HELPER_CONTEXT)                         \
    HELPER(CMPXCHG_WIDE, cmpxchg_wide, 2, true, SYSTEM_FLAGS)                               \
    HELPER(STRING, string, 4, true, SYSTEM_FLAGS)                                           \
    HELPER(PEXT, pext, 2, true, HELPER_PURE)                                                \
    HELPER(PDEP, pdep, 2, true, HELPER_PURE)                                                \
    HELPER(CRC32, crc32, 3, true, HELPER_PURE)                                              \
    HELPER(DECIMAL, decimal, 3, true, HELPER_PURE)                                          \
    HELPER(SYSTEM, system, 4, true, SYSTEM_FLAGS)                                           \
    HELPER(NO_FPU, no_fpu, 1, false, HELPER_RAISES | HELPER_CONTEXT)                        \
    HELPER(SIMD, simd, 3, false, SYSTEM_FLAGS | HELPER_FP)                                  \
    HELPER(SIMD_CHECKED, simd_checked, 2, true, HELPER_RAISES | HELPER_CONTEXT | HELPER_FP) \
    HELPER(X87, x87, 3, false, SYSTEM_FLAGS)                                                \
    HELPER(X87_PENDING, x87_pending, 0, false, HELPER_RAISES | HELPER_CONTEXT)              \
    HELPER(STATE, state, 3, false, SYSTEM_FLAGS | HELPER_FP)                                \
    HELPER(MXCSR, mxcsr, 0, true, HELPER_FP)                                                \
    HELPER(SET_MXCSR, set_mxcsr, 1, false, SYSTEM_FLAGS | HELPER_FP)
enum {
#define HELPER(name, function, args, returns, flags) HELPER_##name,
    X86_HELPERS(HELPER)
#undef HELPER
        HELPER_COUNT
};

/* HELPER_LOCKED's kinds. */
enum { X86_LOCKED_ADC = 2, X86_LOCKED_SBB = 3, X86_LOCKED_NEG = 9 };

/* What an instruction is called in the tables, and what makes it IR. False: #UD. */
typedef struct X86Translator {
    const char *name;
    bool (*translate)(Ctx *c, unsigned arg);
    unsigned arg; /* for functions that are there for several instructions */
} X86Translator;
/* Lists of them, each ending with a NULL name. */
extern const X86Translator x86_integer_translators[], x86_bits_translators[], x86_control_translators[],
    x86_string_translators[], x86_system_translators[];
extern const X86Translator x86_float_translators[];
/* Everything in simd.opcodes; everything in x87.opcodes. */
bool x86_translate_simd(Ctx *c, unsigned arg);
bool x86_translate_x87(Ctx *c, unsigned arg);
const char *x86_op_name(unsigned id);
/* Names in the tables that have no translator, which raise #UD; for tests. Free with g_free, NULL at its end. */
const char **x86_untranslated(void);

/* What is unavailable, for HELPER_NO_FPU: decides between #UD and #NM. */
enum { NEED_X87, NEED_MMX, NEED_SSE, NEED_AVX, NEED_XSAVE, NEED_WAIT };
/* IrUnit.assumed: see insn_simd.h, insn_x87.c and insn_mmx.c. */
enum { ASSUMED_CLEAN = 1, ASSUMED_X87 = 2 };

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

/* MemOp of a program's data of that size. */
static inline unsigned data(const Ctx *c, unsigned bytes)
{
    return log2_of(bytes) | (c->mode & MODE_ALIGN ? MO_ALIGN : 0);
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
/* The same, if it is going to be written too. */
IrTmp get_operand_to_change(Ctx *c, unsigned n);
void set_operand(Ctx *c, unsigned n, IrTmp value);
bool operand_in_memory(const Ctx *c, unsigned n);
/* Bytes of the offset of a far pointer in memory: AMD's processors know no wide ones. */
unsigned far_size(const Ctx *c);
/* Low `size` bytes, zero- or sign-extended to the type they are worked on in. */
IrTmp extend(Ctx *c, IrTmp value, unsigned size, bool is_signed);

/* Flags. */
void set_flags(Ctx *c, unsigned kind, unsigned size, IrTmp result, IrTmp source);
IrTmp get_flags(Ctx *c); /* the six flags as I32, in their eflags places */
void set_all_flags(Ctx *c, IrTmp flags);
void set_carry_only(Ctx *c, IrTmp carry);
/* cc_op with CF, and OF unless it is 0, changed: 0 or 1 each. */
IrTmp changed_cc_op(Ctx *c, IrTmp carry, IrTmp overflow); /* 0 or 1 */
IrTmp get_carry(Ctx *c, IrType type);                     /* 0 or 1 */
/* Condition cc (low 4 bits of the opcode) as a comparison: *cond, *a, *b. */
void condition(Ctx *c, unsigned cc, IrCond *cond, IrTmp *a, IrTmp *b);

/* Control. displacement: from the instruction's end. */
void jump_near(Ctx *c, int64_t displacement);
void x86_fault(Ctx *c, unsigned vector, uint32_t error);
/* A helper has set cs->pc (and seen to single-stepping): look up and go on there. */
void end_at_pc(Ctx *c);
/* Go to a linear address; to an rIP that is a value, which is cut to the operand size. */
void jump_to_linear(Ctx *c, IrTmp va);
void jump_to_ip(Ctx *c, IrTmp ip);
/* #GP if the target is beyond CS's limit: before anything that the jump changes. */
void check_target(Ctx *c, IrTmp ip);
void check_near(Ctx *c, int64_t displacement);
/* Jump near if cond holds, else go on. */
void jump_near_if(Ctx *c, IrCond cond, IrTmp a, IrTmp b, int64_t displacement);
/* The same without the poll that a jump back has. */
void jump_counted_if(Ctx *c, IrCond cond, IrTmp a, IrTmp b, int64_t displacement);
/* What follows is looked up anew: its mode may be another. */
void x86_end_at_next(Ctx *c);
/* The unit once more for this instruction without assumptions, if cond holds. Before it has changed anything. */
void cold_if(Ctx *c, IrCond cond, IrTmp a, IrTmp b);
void push(Ctx *c, unsigned size, IrTmp value);
/* What the stack pointer leads to; the stack pointer stays. */
IrTmp pop_value(Ctx *c, unsigned size);
bool x86_pop_segment(Ctx *c, unsigned segment);
/* HELPER_SYSTEM: what, a and b are the function's (see system.c). It ends the unit at cs->pc if `ends`. */
IrTmp system_call(Ctx *c, unsigned what, IrTmp a, IrTmp b, bool ends);
/* The next instruction's rIP as a value of the type. */
IrTmp next_ip(Ctx *c, IrType type);

/* Of a size other than the operand size. */
IrTmp stack_pointer(Ctx *c, int64_t plus);
unsigned stack_size(const Ctx *c);
/* A general register as an address of address_size bytes (rSI, rDI, rCX). */
IrTmp get_address_reg(Ctx *c, unsigned reg);
/* The register that operand n is. */
unsigned operand_reg(const Ctx *c, unsigned n);
/* Offset of a segment register's base in the state. */
uint32_t x86_base_of(unsigned segment);

#endif
