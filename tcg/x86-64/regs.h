/*
 * x86-64 back end, internal: register roles, where values are, cold stubs, and the shared thunks.
 *
 * Integer registers: rsp stack; rbp = CpuState + CPU_BIAS; r15 = cs->set; rax rcx rdx rsi rdi temporaries; rbx r8-r14
 * pinned. Vector registers: xmm0-7 temporaries, xmm8-15 pinned. In "host register" numbers below 0-15 are integer,
 * 16-31 vector.
 *
 * Values. Each IR temporary has a Value: a register, a place in memory (its home: a guest register in the state, or a
 * spill slot), or a constant, or several of these. Temporaries that are the same bits (trunc, a second getreg) are
 * aliases of their root. The upper half of a register that holds an I32 root is zero. The upper part of a vector
 * register is not defined. owner[] says which root a register holds; a pinned register may hold a value besides another
 * register. A pinned register always holds its guest register as well, except between an op that writes its result
 * there ahead of time and the setreg that makes it so (see alloc_hint).
 *
 * Within one IR instruction: reserve fixed registers first, then fetch operands (which locks their registers), then
 * allocate the result, emit, and bind the result. Flags of the host never live from one IR instruction to the next.
 *
 * Stack, from rsp up, while generated code runs: three slots for software floating point, spill slots, one MXCSR slot.
 * SPDX-License-Identifier: MIT
 */
#ifndef TCG_X86_64_REGS_H
#define TCG_X86_64_REGS_H

#include "target/target.h"
#include "tcg/emit.h"
#include "tcg/x86-64/asm.h"

enum { XMM0 = 16, HOST_REGS = 32, PIN_COUNT = 8 };
#define GPR_TEMPS  (1u << RAX | 1u << RCX | 1u << RDX | 1u << RSI | 1u << RDI)
#define GPR_PINNED (1u << RBX | 0x7f00u)
#define XMM_TEMPS  0xff0000u
#define XMM_PINNED 0xff000000u
#define TEMPS      (GPR_TEMPS | XMM_TEMPS)

/* The host register of pin 1..8. */
static inline int pin_gpr(unsigned pin)
{
    return pin == 1 ? RBX : (int)(R8 + pin - 2);
}
static inline int pin_xmm(unsigned pin)
{
    return XMM0 + 8 + (pin - 1);
}
/* The host register a guest register is pinned in, or NO_REG. */
static inline int pin_of(const GuestReg *reg)
{
    if (!reg->pin || reg->pin > PIN_COUNT)
        return NO_REG;
    return reg->type == IR_F64 ? pin_xmm(reg->pin) : pin_gpr(reg->pin);
}

typedef struct HostFeatures {
    bool avx, bmi1, bmi2, lzcnt, movbe, fma;
} HostFeatures;
/* What the host has beyond x86-64-v2. Found out by emit_available and emit_thunks; tests may take features away after
 * that. */
extern HostFeatures host_features;
void host_features_detect(void);

/* ---- stack frame ---- */
enum {
    FRAME_SOFT = 0 /* a and result, b, c */,
    FRAME_SPILL = 24,
    SPILL_SLOTS = 64,
    FRAME_MXCSR = FRAME_SPILL + 8 * SPILL_SLOTS,
    FRAME_SIZE = FRAME_MXCSR + 16
};
/* C's stack is 16-byte aligned at calls: six saved registers and the return address precede the frame */
_Static_assert((FRAME_SIZE + 7 * 8) % 16 == 0, "stack alignment");

/* ---- constants and thunks at the start of the cache ---- */
enum {
    POOL_SLOW_LOAD,
    POOL_SLOW_STORE = 8,
    POOL_SLOW_AMO = 16,
    POOL_SLOW_CAS = 24,
    POOL_FIND_CODE = 32,
    POOL_SOFT_FP = 40,
    POOL_ANCHOR = 48,
    POOL_C_MXCSR = 56,
    POOL_MXCSR = 64, /* by IrRound */
    POOL_NAN64 = 96,
    POOL_NAN32 = 112,
    POOL_SIGN64 = 128,
    POOL_SIGN32 = 144,
    POOL_BOX = 160,       /* 16 bytes each, as SSE operands must be aligned */
    POOL_U32_MAX64 = 176, /* bits of 4294967295.0 */
    POOL_I32_MAX64 = 184, /* twice the bits of 2147483647.0 */
    POOL_2_63_F64 = 192,  /* bits of 2^63 */
    POOL_ABS64 = 208,
    POOL_ABS32 = 224,
    POOL_ZERO = 240,
    POOL_FLAGS = 256,  /* MXCSR's low six bits to IR_FP_* */
    POOL_THUNKS = 320, /* offsets of the thunks, 32 bits each */
    POOL_SIZE = 512    /* and here is THUNK_ENTER */
};

typedef enum {
    THUNK_ENTER,
    THUNK_EXIT,    /* pc = pc_base + rax; leave with edx */
    THUNK_CHAIN,   /* pc = pc_base + rax; leave with EXIT_CHAIN and number edx */
    THUNK_POLL,    /* pc = pc_base + rax; leave with EXIT_POLL */
    THUNK_POLL_AT, /* pc = rax; leave with EXIT_POLL */
    THUNK_MISS,    /* pc = rax; look it up in C */
    THUNK_LOOKUP,  /* go on at cs->pc */
    THUNK_RAISED,  /* the same, after an exception: the pinned registers are in the state */
    /* Called. After the call stands test eax, imm32, which the thunk reads as its description. */
    THUNK_LOAD,    /* rcx: address; result in rcx. memop | pc offset << 16 */
    THUNK_STORE,   /* rcx: address, rdx: value */
    THUNK_AMO,     /* rcx: address, rdx: value; result in rcx. memop | kind << 8 | pc offset << 16 */
    THUNK_CAS,     /* rcx: address, rax: expected, rdx: new; result in rcx */
    THUNK_XMM = 4, /* added to these: vector temporaries are live too */
    THUNK_SOFT = THUNK_LOAD + 2 * THUNK_XMM, /* FRAME_SOFT slots; see soft_what() */
    THUNK_CALL, /* + helper flags & 15. eax: helper - anchor; rsi rdx rcx rdi: arguments; result in rax. pc offset << 16
                 */
    THUNK_COUNT = THUNK_CALL + 16
} Thunk;
_Static_assert(POOL_THUNKS + 4 * THUNK_COUNT <= POOL_SIZE, "room for the thunk table");

#define MAX_GUEST_REGS 96

/* Jump cache: entry of a pc at r15 + (pc << JUMP_SHIFT & ...) + JUMP_PC or JUMP_CODE. */
enum {
    JUMP_SHIFT = 3, /* (pc >> 1) * 16 */
    JUMP_PC = offsetof(ContextSet, jumps) + offsetof(JumpCacheEntry, pc),
    JUMP_CODE = offsetof(ContextSet, jumps) + offsetof(JumpCacheEntry, code),
};
/* dst = offset of pc's entry (both registers; 32 bits of pc count) */
void emit_jump_index(Asm *a, int dst, int pc);

/* ---- one unit ---- */
typedef struct Value {
    int8_t reg;   /* host register, or NO_REG */
    uint8_t type; /* IrType */
    bool constant, in_memory;
    int8_t home_base; /* RBP: a guest register's place (disp is biased); RSP: a spill slot */
    int32_t home;
    uint16_t last; /* last use, of aliases too */
    IrTmp alias;   /* root, or 0 */
    int16_t guest; /* guest register whose place is the home, or -1 */
    int64_t imm;   /* if constant */
} Value;

/* A register or memory operand. */
typedef struct Operand {
    int8_t reg; /* NO_REG: memory */
    Mem mem;
} Operand;

typedef struct Emit Emit;
/* Code that is needed rarely, emitted after the unit's body. What the fields mean is up to the function. */
typedef struct Stub {
    void (*emit)(Emit *e, const struct Stub *s);
    uint8_t *from, *back; /* end of the jump's 32-bit field; where the body goes on */
    const IrInsn *insn;
    int32_t pc; /* offset of the guest instruction */
    int8_t r0, r1, r2, r3;
    bool xmm_live;
    int32_t disp;
    int64_t imm;
} Stub;

#define MAX_STUBS  1200
#define MAX_FIXUPS 600

struct Emit {
    Asm a;
    const IrUnit *u;
    const uint8_t *pool; /* readable address of the cache's start */
    unsigned index;      /* of the instruction being emitted */
    int32_t pc;          /* offset of its guest instruction */
    bool narrow;         /* the guest's addresses have 32 bits */
    bool failed;         /* a table of this struct is full */
    uint32_t locked;     /* host registers that this IR instruction uses */
    uint64_t slots;      /* spill slots in use */
    uint32_t unit_id;
    EmitResult *out;
    IrTmp owner[HOST_REGS];
    IrTmp guest_home[MAX_GUEST_REGS]; /* which value claims a guest register's place as its home */
    unsigned stub_count, fixup_count;
    uint8_t *label[IR_MAX_LABELS];
    struct {
        uint8_t *from;
        unsigned label;
    } fixups[MAX_FIXUPS];
    Stub stubs[MAX_STUBS];
    Value values[IR_MAX_TMPS];
};

/* ---- alloc.c ---- */
/* All temporaries die: a new segment. */
void alloc_reset(Emit *e);
/* The Value behind a temporary. */
static inline Value *value_of(Emit *e, IrTmp t)
{
    Value *v = &e->values[t];
    return v->alias ? &e->values[v->alias] : v;
}
static inline IrTmp root_of(Emit *e, IrTmp t)
{
    return e->values[t].alias ? e->values[t].alias : t;
}
/* Does this value die at the current instruction? */
static inline bool dies_here(Emit *e, IrTmp t)
{
    return value_of(e, t)->last <= e->index;
}
static inline bool is_constant(Emit *e, IrTmp t)
{
    return value_of(e, t)->constant;
}
/* A constant that an instruction can hold as a sign-extended 32-bit immediate. type: how it is used. */
bool is_imm32(Emit *e, IrType type, IrTmp t, int32_t *imm);
/* Introduce a temporary that is a constant, another temporary, or a guest register. */
void value_constant(Emit *e, IrTmp t, IrType type, int64_t imm);
void value_alias(Emit *e, IrTmp t, IrTmp of);
void value_getreg(Emit *e, IrTmp t, unsigned guest);
/* The result t is in the place of a guest register that is not pinned. */
void value_in_place(Emit *e, IrTmp t, unsigned guest);
/* Guest register = t. */
void value_setreg(Emit *e, unsigned guest, IrTmp t);
/* Fetch t into a register of its class and lock it. */
int use_gpr(Emit *e, IrTmp t);
int use_xmm(Emit *e, IrTmp t);
/* The same, or its home if that is as good. */
Operand use_operand(Emit *e, IrTmp t);
/* Copy t into a register that is locked or about to be written. No flags are changed. */
void move_to_gpr(Emit *e, unsigned w, int reg, IrTmp t);
void move_to_xmm(Emit *e, int reg, IrTmp t);
/* A free register, locked until the end of the IR instruction. */
int scratch_gpr(Emit *e);
int scratch_xmm(Emit *e);
/* Make a certain temporary register free and lock it. */
void reserve_gpr(Emit *e, int reg);
/* The same, and it then holds t (which stays intact elsewhere if it lives on). */
void reserve_with(Emit *e, int reg, IrTmp t);
/* A register for the result t: where the next setreg wants it, or that of `dying` if this value dies here, or a free
 * one. */
int result_gpr(Emit *e, IrTmp t, IrTmp dying);
int result_xmm(Emit *e, IrTmp t, IrTmp dying);
/* Where the next setreg wants t: a pinned register, or NO_REG. */
int alloc_hint(Emit *e, IrTmp t);
/* reg now holds the result t. */
void bind(Emit *e, IrTmp t, IrType type, int reg);
/* Is a vector temporary live after the current instruction (or used by it)? */
bool xmm_live(Emit *e);
/* Before a call into C: all that lives on in temporaries goes to memory; if writes_guest, what is in guest registers
 * does too. */
void spill_for_call(Emit *e, bool writes_guest);
/* After the arguments were fetched: temporaries hold nothing any more. */
void forget_temps(Emit *e);
/* After a call that wrote guest registers: pinned registers hold nothing known any more. */
void forget_pinned(Emit *e);
/* End of an IR instruction: release what died. */
void alloc_end(Emit *e, const IrInsn *insn);

/* ---- emit.c ---- */
Stub *new_stub(Emit *e, void (*emit)(Emit *e, const Stub *s), uint8_t *from, const IrInsn *insn);
static inline const uint8_t *thunk(Emit *e, unsigned which)
{
    uint32_t offset;
    memcpy(&offset, e->pool + POOL_THUNKS + 4 * which, 4);
    return e->a.cache + offset;
}
/* call thunk; test eax, description */
void call_thunk(Emit *e, unsigned which, uint32_t description);
static inline unsigned width(IrType type)
{
    return type == IR_I64 ? W64 : 0;
}
static inline Mem state_at(int32_t offset)
{
    return mem_at(RBP, offset - CPU_BIAS);
}
#define STATE(member) state_at(offsetof(CpuState, member))
static inline void op_operand(Emit *e, uint32_t op, int reg, Operand o)
{
    if (o.reg == NO_REG)
        asm_rm(&e->a, op, reg, o.mem);
    else
        asm_rr(&e->a, op, reg, o.reg & 15);
}

/* ---- floating point: emit_fp.c ---- */
static inline unsigned fp_prefix(IrType type)
{
    return type == IR_F64 ? P_F2 : P_F3;
}
/* d = a op b, with three operands where the host has AVX. op with its prefix. */
void fp_op3(Emit *e, uint32_t op, int d, int a, Operand b);
/* d is a NaN: make it the canonical one. */
void check_nan(Emit *e, const IrInsn *insn, int d);
/* The op by software, here. */
void emit_soft(Emit *e, const IrInsn *insn);
/* The op by software, when the jump that ends at `from` is taken. Integer or vector registers r[0..2] hold the
 * arguments (NO_REG: none). */
void soft_stub(Emit *e, const IrInsn *insn, uint8_t *from, const int8_t r[3], int dst);

/* ---- one family of ops each ---- */
void emit_int_op(Emit *e, const IrInsn *insn);        /* emit_int.c */
void emit_mul_div_op(Emit *e, const IrInsn *insn);    /* emit_div.c */
void emit_mem_op(Emit *e, const IrInsn *insn);        /* emit_mem.c */
void emit_fp_op(Emit *e, const IrInsn *insn);         /* emit_fp.c */
void emit_fp_convert_op(Emit *e, const IrInsn *insn); /* emit_cvt.c */
void emit_call_op(Emit *e, const IrInsn *insn);       /* emit_call.c */
/* Compare a and b; *cond is swapped if they were. */
void emit_compare(Emit *e, IrType type, IrTmp a, IrTmp b, IrCond *cond);
/* x86 condition of an integer comparison. */
int condition_code(IrCond cond);
/* dst = src, extended from memop's size. */
void emit_extend(Emit *e, unsigned w, unsigned memop, int dst, Operand src);

#endif
