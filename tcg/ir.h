/*
 * The compiler's intermediate representation: what every guest is translated into and every executor (interpreter,
 * x86-64 back end) runs. tcg/ops.def lists the operations.
 *
 * A unit is a linear array of instructions. Temporaries are assigned once and live inside one segment (between labels);
 * guest registers (getreg/setreg) carry values between segments. State is committed in program order: when instruction
 * N faults, every setreg and store before it has happened and none after.
 *
 * Builders fold constants and identities as they go, so targets emit without looking. Temporary 0 is "none".
 * SPDX-License-Identifier: MIT
 */
#ifndef TCG_IR_H
#define TCG_IR_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct CpuState CpuState;

typedef enum { IR_NONE, IR_I32, IR_I64, IR_F32, IR_F64, IR_V128, IR_V256, IR_TYPE_COUNT } IrType;

typedef enum {
#define OP(name, out, in, types, effects, help) OP_##name,
#include "tcg/ops.def"
#undef OP
    OP_COUNT
} IrOp;

/* What tcg/ops.def says of each op. */
enum { IR_PURE, IR_SIDE, IR_MEM, IR_END };
typedef struct IrOpInfo {
    const char *name;
    uint8_t outputs, inputs;
    uint8_t types;   /* bit set of 1 << IrType */
    uint8_t effects; /* IR_PURE .. IR_END */
} IrOpInfo;
extern const IrOpInfo ir_op_info[OP_COUNT];

/* What passes and the back end ask of each instruction, bits of ir_op_traits[op]. */
enum {
    IR_GOES = 1,    /* may go if nothing uses its result */
    IR_SEES = 2,    /* may leave the unit, where guest registers are seen */
    IR_MORE = 4,    /* ir_optimise does something particular about it */
    IR_NO_CODE = 8, /* nop, insn */
    IR_LEAVES = 16, /* control may go elsewhere on other ways than a cold stub of a memory access */
    IR_LAST = 32,   /* leaves the unit for good */
};
extern const uint8_t ir_op_traits[OP_COUNT];

typedef enum {
    COND_EQ,
    COND_NE,
    COND_LT,
    COND_GE,
    COND_LTU,
    COND_GEU,
    COND_LE,
    COND_GT,
    COND_LEU,
    COND_GTU,
} IrCond;
static inline IrCond cond_negate(IrCond c)
{
    static const uint8_t negated[] = { COND_NE,  COND_EQ, COND_GE, COND_LT,  COND_GEU,
                                       COND_LTU, COND_GT, COND_LE, COND_GTU, COND_LEU };
    return negated[c];
}
static inline IrCond cond_swap(IrCond c)
{
    static const uint8_t swapped[] = { COND_EQ,  COND_NE, COND_GT, COND_LE,  COND_GTU,
                                       COND_LEU, COND_GE, COND_LT, COND_GEU, COND_LTU };
    return swapped[c];
}

typedef enum { FCMP_EQ /* quiet */, FCMP_LT /* signalling */, FCMP_LE /* signalling */ } IrFcmp;
/* FROUND_DYN: what cs->fp_round says (RNE..RUP: host mode; RMM: target asks for FROUND_RMM by its mode flags). */
typedef enum { FROUND_RNE, FROUND_RTZ, FROUND_RDN, FROUND_RUP, FROUND_RMM, FROUND_DYN } IrRound;
/* Accrued exceptions in cs->fp_flags (RISC-V's fflags order). */
enum { IR_FP_NX = 1, IR_FP_UF = 2, IR_FP_OF = 4, IR_FP_DZ = 8, IR_FP_NV = 16, IR_FP_DE = 32 /* a denormal operand */ };
/* CpuState.fp_round, besides IrRound: results that are denormal become 0; operands do. */
enum { IR_FP_FLUSH = 8, IR_FP_DENORMALS_ZERO = 16 };
/* insn.flags: what a NaN result is. */
enum {
    IR_NAN_CANONICAL = 1 /* positive quiet, no payload: RISC-V */,
    IR_NAN_HOST = 2 /* as the x86 instruction gives */
};
/* insn.flags of ld, which a pass sets: the address depends on what this load gave in an earlier turn of a loop. */
enum { IR_LD_RECURRENT = 1 };
/* insn.flags of setreg, which a pass sets: the low half of the value is written, zero-extended. */
enum { IR_SET_LOW = 1 };
#define IR_MAX_DEFERRED 3
/* insn.flags of vhost: nothing but the result counts (no floating-point exceptions). */
enum { IR_HOST_PURE = 1 };
/* insn.flags of ld and st, from this bit on, which a pass sets: 1 + the number of the access's stream (see
 * tcg/stream.c), by number: its addresses only grow, or stay; they only fall; any. A loop's label has the set of
 * numbers of the loop in insn.group. */
enum { IR_STREAM_SHIFT = 4, IR_STREAM_UP = 0, IR_STREAM_DOWN = 7, IR_STREAM_ANY = 11, IR_STREAMS = 15 };
static inline int ir_stream(uint8_t flags)
{
    return (flags >> IR_STREAM_SHIFT) - 1;
}
enum { IR_FMA_NEG_PRODUCT = 1, IR_FMA_NEG_ADDEND = 2 };
typedef enum { AMO_SWAP, AMO_ADD, AMO_AND, AMO_OR, AMO_XOR, AMO_MIN, AMO_MAX, AMO_MINU, AMO_MAXU } IrAmo;
enum { FENCE_LOAD_LOAD = 1, FENCE_LOAD_STORE = 2, FENCE_STORE_LOAD = 4, FENCE_STORE_STORE = 8, FENCE_ALL = 15 };
/* Why generated code returns to C. */
typedef enum {
    EXIT_POLL,   /* cs->poll was set */
    EXIT_LOOKUP, /* no translation at cs->pc in the jump cache */
    EXIT_CHAIN,  /* a direct in-page jump that is not linked yet: see cs->pc and the exit's number */
    EXIT_HALT,   /* wait for interrupt */
    EXIT_YIELD,  /* a guest spin hint, or something else to look at in C */
    EXIT_DEBUG,
    EXIT_ICOUNT, /* cs->icount does not hold the instructions that come next */
} IrExit;

/* Memory operation: log2 of size, sign, byte order, ordering, access-regime override. Fits 16 bits. */
enum {
    MO_8 = 0,
    MO_16 = 1,
    MO_32 = 2,
    MO_64 = 3,
    MO_SIZE = 3,
    MO_SIGNED = 4,
    MO_BIG_ENDIAN = 8,
    MO_ALIGN = 16, /* misaligned raises */
    MO_ACQUIRE = 32,
    MO_RELEASE = 64,
    MO_FOR_WRITE = 128, /* of a load: a store there follows, so that a fault is that store's */
};
#define MO_BYTES(m) (1u << ((m)&MO_SIZE))
/* aux of ld and st of vectors: log2 of the bytes, in these bits. */
enum { IR_VECTOR_SIZE = 7 };

typedef uint16_t IrTmp; /* index into IrUnit.tmps; 0: none */

typedef struct IrInsn {
    uint8_t op, type, aux, flags;
    IrTmp dst;
    IrTmp arg[4];
    uint16_t group; /* ld, st: index into IrUnit.groups, which a pass sets; 0: on its own; label: see ir_stream */
    int64_t imm;
} IrInsn;

static inline bool ir_is_vector(unsigned type)
{
    return type == IR_V128 || type == IR_V256;
}
/* Bytes that a load or store accesses. */
static inline unsigned ir_access_bytes(const IrInsn *insn)
{
    return ir_is_vector(insn->type) ? 1u << (insn->aux & IR_VECTOR_SIZE) : MO_BYTES(insn->aux);
}
/* Bytes of a guest register of this type in the state. */
static inline int64_t ir_type_bytes(unsigned type)
{
    return type == IR_I32 ? 4 : type == IR_V256 ? 32 : 8;
}

/* Accesses of one kind to bytes of [root + low, root + high). */
typedef struct IrGroup {
    int32_t low, high;
    IrTmp root;
    uint16_t count, first, last; /* accesses; indices of the first and the last */
    bool store;
} IrGroup;

#define IR_NO_REGISTER 255
/* An address: offset and guest registers, as they are at the start of the segment: base, index << scale; either may be
 * IR_NO_REGISTER. */
typedef struct IrSum {
    int64_t offset;
    uint8_t base, index, scale;
} IrSum;

/* Bytes [low, high) from a sum of guest registers as it is at the head of a loop, which the loop loads or stores. */
typedef struct IrWalk {
    int32_t low, high;
    IrSum sum;                 /* without offset */
    uint16_t step;             /* what it grows by in a turn */
    int8_t shift;              /* step << shift (below 0: >>) is the leading register's */
    bool moves, loads, stores; /* step is not 0 */
    uint8_t align, phase;      /* register + phase must be a multiple of align; 0: any will do */
} IrWalk;

#define IR_MAX_WALKS  6
#define IR_MAX_LOOPS  8
#define IR_MAX_GIVENS 4

/* A loop of one segment, see tcg/loop.c. */
typedef struct IrLoop {
    uint16_t head, last; /* indices of its label and of the branch back */
    uint8_t count, lead; /* walks; the leading register */
    bool light;          /* short: likely to leave registers free */
    IrWalk walks[IR_MAX_WALKS];
    uint8_t guard_count, boxed_count;
    uint8_t boxed[IR_MAX_GIVENS];   /* registers whose values are NaN-boxed singles */
    uint32_t guards[IR_MAX_GIVENS]; /* offsets of state bytes that are 0 */
} IrLoop;

/* insn.flags, for the copy of a loop whose accesses cannot fault, not of loads and stores: nothing needs the
 * instruction; what it checks is known. */
enum { IR_LOOP_GIVEN = 0x40, IR_LOOP_DEAD = 0x80 };

typedef struct IrTmpInfo {
    uint8_t type; /* IrType */
    bool constant;
    bool in_register;  /* for builders: a guest register has been set to it */
    uint16_t def;      /* index of the defining instruction */
    uint16_t uses;     /* after ir_optimise */
    uint16_t last_use; /* index of the last instruction that uses it, after ir_optimise */
    union {
        int64_t value;     /* if constant: I32 values are sign-extended */
        IrTmp other_width; /* else, for builders: an I64's trunc or an I32's sign extension, 0: not made yet */
    };
} IrTmpInfo;

/* Helper flags. */
enum {
    HELPER_READS = 1,   /* reads guest registers: they are stored to the state first */
    HELPER_WRITES = 2,  /* writes guest registers: reloaded after */
    HELPER_RAISES = 4,  /* may raise: pc is exact; if cs->raised, control goes to the look-up after it */
    HELPER_CONTEXT = 8, /* may change cs->set */
    HELPER_FP =
        16, /* computes in host floating point or reads and writes floating-point state: runs with MXCSR as it is */
    HELPER_PURE = 32, /* nothing but the result counts, which depends on the arguments alone */
};
typedef uint64_t HelperFn(CpuState *cs, uint64_t a, uint64_t b, uint64_t c, uint64_t d);
typedef struct HelperDesc {
    const char *name;
    HelperFn *fn; /* all helpers have this prototype, so that no cast is needed; unused arguments are 0 or undefined */
    uint8_t args;
    bool returns;
    uint8_t flags;
} HelperDesc;

typedef struct GuestReg GuestReg;

/* State that a vector temporary of this segment equals: offset, log2 of its bytes (the temporary has zeros above). */
typedef struct IrHeld {
    IrTmp tmp; /* 0: none */
    uint8_t size;
    int32_t offset;
} IrHeld;

/* A way out of a guest instruction, to be translated once more behind the unit's code without what was assumed. */
typedef struct IrCold {
    int32_t offset; /* of the guest instruction */
    uint16_t label;
    uint32_t expected; /* IrUnit.expected there */
} IrCold;

#define IR_MAX_COLD   64
#define IR_MAX_INSNS  4000
#define IR_MAX_TMPS   4000
#define IR_MAX_LABELS 256
#define IR_MAX_GROUPS 128
#define IR_MAX_BACKS  192

#define IR_NOTHING_EXPECTED UINT32_MAX

typedef struct IrUnit {
    const GuestReg *regs; /* the target's table */
    unsigned reg_count;
    const HelperDesc *helpers;
    unsigned count, tmp_count, label_count;
    bool has_loops;      /* a branch leads back */
    bool defers;         /* ir_defer_writes has found some */
    bool overflow;       /* a builder ran out of room: the translator retries with fewer guest instructions */
    bool counted;        /* an instruction count is wanted (-icount); set after ir_begin */
    bool unreachable;    /* the segment has ended: what builders are asked for before the next label is dropped */
    int32_t insn_offset; /* of the guest instruction being translated */
    /* block-local knowledge of the builder: constants already made, values of registers known in this segment */
    IrTmp reg_value[96];      /* last getreg/setreg of each register in this segment, 0: unknown */
    IrTmp recent_const[16];   /* constants of this segment that may be used again, by their low bits; 0: none */
    IrTmp recent_sum[16];     /* sums and shifts of I64, likewise */
    uint32_t guarded, marked; /* state bytes that this segment has guarded, or set to 1 */
    bool vectors;             /* set by who translates: operations on vectors can be run */
    uint32_t assumed;         /* what this segment has checked, in the target's own terms; 0: nothing */
    uint32_t expected;        /* what the target expects to find at run time; IR_NOTHING_EXPECTED */
    IrHeld held[16];
    unsigned held_next, cold_count;
    unsigned
        cold_from; /* index of the first instruction of the cold part, see ir_begin_cold; UINT_MAX: there is none */
    IrCold cold[IR_MAX_COLD];
    unsigned group_count;
    IrGroup groups[IR_MAX_GROUPS]; /* from 1 on, after ir_group_accesses */
    unsigned loop_count;
    IrLoop loops[IR_MAX_LOOPS];     /* after ir_find_loops; a label's insn.aux: 1 + the index of its loop, 0: none */
    uint8_t dead_at[IR_MAX_LABELS]; /* deferred registers (bit: number - 1) that nothing sees from there on */
    unsigned landmark_count, back_count;
    uint16_t backs[IR_MAX_BACKS];       /* indices of br and brcond that lead back */
    uint16_t label_insn[IR_MAX_LABELS]; /* index of each label's instruction; those not placed: 0 */
    IrInsn *insns;                      /* room for IR_MAX_INSNS */
    IrTmpInfo *tmps;                    /* room for IR_MAX_TMPS */
    uint16_t *landmarks;                /* indices of ld, st, call and label, as they were built; NULL in a copy */
} IrUnit;

/* A unit with room, to be started by ir_begin; a copy that can be run and dumped but not built upon. Free with
 * ir_unit_free (NULL: nothing). */
IrUnit *ir_unit_new(void);
IrUnit *ir_unit_copy(const IrUnit *u);
void ir_unit_free(IrUnit *u);

/* Does this instruction go to the cold part if a byte of the state, which nothing else looks at here, is not 0? */
bool ir_tests_state(const IrUnit *u, const IrInsn *insn);

/* Start an empty unit. */
void ir_begin(IrUnit *u, const GuestReg *regs, unsigned reg_count, const HelperDesc *helpers);
int ir_new_label(IrUnit *u);

/* ---- builders. Types are the result's; inputs must match as ops.def says. ---- */
IrTmp ir_const(IrUnit *u, IrType type, int64_t value);
IrTmp ir_getreg(IrUnit *u, unsigned reg);
void ir_setreg(IrUnit *u, unsigned reg, IrTmp value);
IrTmp ir_ldstate(IrUnit *u, IrType type, uint32_t offset, unsigned memop);
void ir_ststate(IrUnit *u, uint32_t offset, unsigned memop, IrTmp value);
IrTmp ir_getpc(IrUnit *u, int64_t offset);
IrTmp ir_unary(IrUnit *u, IrOp op, IrType type, IrTmp a);           /* clz ctz popcnt bswap trunc */
IrTmp ir_binary(IrUnit *u, IrOp op, IrType type, IrTmp a, IrTmp b); /* add .. rotr */
IrTmp ir_binary_imm(IrUnit *u, IrOp op, IrType type, IrTmp a, int64_t b);
IrTmp ir_ext(IrUnit *u, IrType type, unsigned memop, IrTmp a);
IrTmp ir_setcond(IrUnit *u, IrType type, IrCond cond, IrTmp a, IrTmp b);
IrTmp ir_select(IrUnit *u, IrType type, IrCond cond, IrTmp a, IrTmp b, IrTmp c, IrTmp d);
IrTmp ir_ld(IrUnit *u, IrType type, unsigned memop, IrTmp addr, int64_t offset);
void ir_st(IrUnit *u, unsigned memop, IrTmp addr, int64_t offset, IrTmp value);
IrTmp ir_amo(IrUnit *u, IrType type, unsigned memop, IrAmo kind, IrTmp addr, IrTmp value);
IrTmp ir_cas(IrUnit *u, IrType type, unsigned memop, IrTmp addr, IrTmp expected, IrTmp value);
void ir_fence(IrUnit *u, unsigned kinds);
void ir_insn(IrUnit *u, int32_t offset, unsigned length);
void ir_label(IrUnit *u, int label);
void ir_br(IrUnit *u, int label);
void ir_brcond(IrUnit *u, IrCond cond, IrTmp a, IrTmp b, int label);
void ir_brjump(IrUnit *u, IrCond cond, IrTmp a, IrTmp b, int64_t offset);
void ir_poll(IrUnit *u, int32_t offset);
void ir_jump(IrUnit *u, int64_t offset, bool poll);
void ir_jump_ind(IrUnit *u, IrTmp address);
void ir_lookup(IrUnit *u);
void ir_exit(IrUnit *u, int64_t offset, IrExit why);
IrTmp ir_call(IrUnit *u, IrType type, unsigned helper, IrTmp a, IrTmp b, IrTmp c,
              IrTmp d); /* 0 if it returns nothing */
IrTmp ir_fp(IrUnit *u, IrOp op, IrType type, IrRound round, IrTmp a,
            IrTmp b); /* fadd .. fdiv, fsqrt (b 0), fmin, fmax, fcvt */
IrTmp ir_fma(IrUnit *u, IrType type, IrRound round, unsigned negate, IrTmp a, IrTmp b, IrTmp c);
IrTmp ir_fcmp(IrUnit *u, IrType type, IrFcmp cond, IrTmp a, IrTmp b);
IrTmp ir_fftoi(IrUnit *u, IrType type, bool is_unsigned, IrRound round, IrTmp a);
IrTmp ir_fitof(IrUnit *u, IrType type, bool is_unsigned, IrRound round, IrTmp a);
IrTmp ir_fmove(IrUnit *u, IrOp op, IrType type, IrTmp a); /* fbits fofbits fbox funbox */
IrTmp ir_fsgn(IrUnit *u, IrType type, unsigned kind, IrTmp a, IrTmp b);

/* ---- vectors ---- */
/* size: log2 of the bytes that are loaded (5: V256, else V128) or stored. What the segment has loaded or stored is not
 * loaded again. */
IrTmp ir_vldstate(IrUnit *u, unsigned size, uint32_t offset);
void ir_vststate(IrUnit *u, unsigned size, uint32_t offset, IrTmp value);
/* Host address of bytes guest bytes, or 0 (see ops.def), and accesses there: before the next helper call or access of
 * another kind. */
IrTmp ir_probe(IrUnit *u, IrTmp addr, unsigned bytes, bool write);
IrTmp ir_vld(IrUnit *u, unsigned size, IrTmp host, int64_t offset);
void ir_vst(IrUnit *u, unsigned size, IrTmp host, int64_t offset, IrTmp value);
/* Everything else; b and c are 0 where the operation does not have them. */
IrTmp ir_vector(IrUnit *u, IrOp op, IrType type, unsigned aux, IrTmp a, IrTmp b, IrTmp c, int64_t imm);
/* An instruction of the host (ir_host.h): b and c are 0 where it does not have them. pure: no exceptions. */
IrTmp ir_host(IrUnit *u, IrType type, int64_t what, bool pure, IrTmp a, IrTmp b, IrTmp c);
/* The label of this guest instruction's translation without assumptions, to go to from before it has changed anything.
 */
int ir_cold(IrUnit *u);
/* What follows is the cold part. Branches from there to labels before it enter loops, they do not go round in them. */
void ir_begin_cold(IrUnit *u);

/* Once a segment: call the raising helper with argument if the state byte at offset is not zero. */
void ir_guard(IrUnit *u, uint32_t offset, unsigned helper, uint32_t argument);
/* Once a segment: set the state byte at offset to 1. */
void ir_mark(IrUnit *u, uint32_t offset);

/* ---- passes ---- */
/* Backward: dead temporaries and dead register writes become nop, truth values fuse into the branches and selects that
 * test them; uses and last_use are filled in (0 for a result that nothing uses). */
void ir_optimise(IrUnit *u);
/* Of a counted unit, before ir_optimise: instructions in straight line form pieces, paid for (icount) when the first
 * begins; insn.flags becomes how many of the piece are still to come, with this one: what C, or an exit, gives back. */
void ir_count_insns(IrUnit *u);
#define ICOUNT_PIECE 15 /* instructions of a piece: 4 bits */
/* Set IR_LD_RECURRENT; after ir_optimise. */
void ir_mark_recurrent(IrUnit *u);
/* Set the groups of loads and stores; after ir_optimise. */
void ir_group_accesses(IrUnit *u);
/* Find loops whose accesses need one look-up for many turns; after ir_group_accesses. Their accesses have 1 + the index
 * of their walk where others have their stream. */
void ir_find_loops(IrUnit *u);
/* Set the streams of loads and stores in other loops. */
void ir_find_streams(IrUnit *u);
/* Writes of registers with GuestReg.deferred wait; last, and of units that are not counted. */
void ir_defer_writes(IrUnit *u);
/* The guest register that the address of a load or store is a constant away from, as the register was at the start of
 * the segment; -1: none. */
int ir_address_register(const IrUnit *u, const IrInsn *insn, int64_t *offset);
/* The address of a load or store as a sum. False: it is none. */
bool ir_address_sum(const IrUnit *u, const IrInsn *insn, IrSum *sum);
/* May the access do without a look-up of its own? */
bool ir_may_stream(const IrUnit *u, const IrInsn *insn);
/* Is the guest register in a host register throughout? */
bool ir_pinned(const IrUnit *u, unsigned reg);
/* The address of a load or store as a temporary and what is added to it. */
IrTmp ir_address_root(const IrUnit *u, const IrInsn *insn, int64_t *offset);
/* Check types, arity, single assignment, liveness within segments. NULL, or what is wrong (free with g_free). */
char *ir_verify(const IrUnit *u);
/* Text of the whole unit, for -d op. Free with g_free. */
char *ir_dump(const IrUnit *u);

/* ---- interpreter: runs the unit on the state until an exit op; returns IrExit; cs->pc is exact then. ---- */
IrExit ir_interpret(const IrUnit *u, CpuState *cs);
/* A vector as the interpreter has it. */
typedef struct IrVector {
    uint8_t bytes[32];
} IrVector;
/* Operations on vectors that take and give vectors and integers only: args are those of insn, as vectors v and
 * integers t. Returns the integer result; the vector result is in *out. */
uint64_t ir_interpret_vector(CpuState *cs, const IrUnit *u, const IrInsn *insn, const IrVector *const v[3],
                             const uint64_t t[3], IrVector *out);

#endif
