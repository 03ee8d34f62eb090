/*
 * x86-64 back end, internal: register roles, the stack frame of generated code, the one-pass register allocator.
 *
 * A temporary is in one place: a host register, a pinned register (its guest register has that very value), the state
 * slot of an unpinned guest register (not loaded yet, or evicted), or a spill slot. Host registers besides remember
 * which unpinned guest register they equal, so that it need not be loaded again in the same segment.
 * SPDX-License-Identifier: MIT
 */
#ifndef TCG_X86_64_REGS_H
#define TCG_X86_64_REGS_H

#include "target/target.h"
#include "tcg/emit.h"
#include "tcg/x86-64/asm.h"

/* Host registers: 0-15 integer, 16-31 xmm0-15. */
enum { XMM0 = 16, HOST_REGS = 32, NO_REG = -1 };
#define PINNED_INT 8
#define PINNED_FP  8
extern const uint8_t pinned_int[PINNED_INT]; /* rbx r8-r14 by pin - 1 */

/* The frame of generated code, from rsp. Slow-path thunks read and write the first five. */
enum {
    FRAME_VA = 0,
    FRAME_VALUE = 8,
    FRAME_VALUE2 = 16,
    FRAME_INFO = 24,
    FRAME_RESULT = 32,
    FRAME_EXTRA = 40,
    FRAME_SPILL = 48,
    SPILL_SLOTS = 120,
    FRAME_STREAMS = FRAME_SPILL + SPILL_SLOTS * 8,
    STREAM_SIZE = 32,                                         /* limit, or start; addend; length: see check_stream */
    FRAME_VECTORS = FRAME_STREAMS + IR_STREAMS * STREAM_SIZE, /* spill slots of 32 bytes */
    VECTOR_SLOTS = 24,
    FRAME_BUFFER = FRAME_VECTORS + VECTOR_SLOTS * 32, /* a vector for slow paths */
    FRAME_SIZE = FRAME_BUFFER + 32
};

typedef enum { AT_NOWHERE, AT_CONST, AT_REG, AT_PIN, AT_STATE, AT_SPILL } Where;
typedef struct Place {
    uint8_t where;
    int8_t reg;    /* AT_REG, AT_PIN: host register */
    uint16_t slot; /* AT_STATE: guest register; AT_SPILL: slot (of its kind) */
} Place;

typedef struct __attribute__((aligned(8))) HostReg {
    IrTmp tmp;      /* lives here; 0: none */
    int16_t guest;  /* unpinned guest register whose value this is; -1: none */
    uint16_t group; /* holds the addend of this group of accesses, or ADDEND_UNKNOWN; 0: none */
    uint16_t unused;
} HostReg;

/* In place of a group's addend, where the group has no page of its own in the TLB: no addend is odd. */
#define ADDEND_UNKNOWN 1

/* A deferred register's value that is not in the state yet: t, or its low half zero-extended; place: in stubs, where it
 * is then. */
typedef struct Deferred {
    IrTmp t; /* 0: the state has it */
    uint8_t guest;
    bool low;
    Place place;
} Deferred;

typedef struct ColdStub {
    uint8_t kind;
    int8_t va, value, value2, dst; /* host registers */
    int8_t addend;                 /* of a group: set to ADDEND_UNKNOWN; or NO_REG */
    uint16_t nans;                 /* xmm registers with results not yet looked at, see Emit.unchecked */
    bool retry;                    /* of a group: the access may be in the TLB for all that */
    uint16_t insn;
    int64_t disp;
    uint8_t *from, *from_misaligned; /* rel32 fields of jumps here */
    uint8_t *back;                   /* where to go back to */
    uint32_t info;
    Deferred deferred[IR_MAX_DEFERRED]; /* to be stored before C sees the state */
} ColdStub;

/* Where instructions of the x87 find the state, and what they leave in its st(0). */
typedef struct X87Place {
    int8_t base;
    int16_t bias;
    bool keep;     /* the last value may stay */
    uint16_t held; /* the offset whose value st(0) is; 0: the stack is empty */
} X87Place;

#define MAX_STUBS  600
#define MAX_FIXUPS 400

#define INSN_REST_SHIFT GUEST_PAGE_BITS

typedef struct Emit {
    Asm a;
    const IrUnit *u;
    const EmitThunks *thunks;
    EmitResult *out;
    uint8_t *start;
    uint32_t unit_id;
    unsigned index;      /* of the IR instruction being emitted */
    int32_t insn_offset; /* of the guest instruction; from INSN_REST_SHIFT on: see ir_count_insns */
    HostReg host[HOST_REGS];
    IrTmp pin_tmp[HOST_REGS]; /* the temporary whose place is that pinned register */
    uint32_t busy;            /* host registers that the current instruction must not lose */
    /* xmm registers with an F64 result that may be a NaN other than the canonical one. Arithmetic on it gives a NaN
     * again, so it is enough to look before anything else can see it: a store, the end of the segment, a slow path. */
    uint32_t unchecked;
    unsigned clock; /* round-robin start of the search for a register */
    uint64_t spill_used[2];
    uint32_t vectors_used;            /* spill slots */
    bool vectors;                     /* this unit has used vectors, */
    bool wide_vectors;                /* and written upper halves of ymm registers */
    int8_t group_host[IR_MAX_GROUPS]; /* group of accesses: host register with its addend, or NO_REG */
    uint16_t in_state[96];   /* unpinned guest register: temporaries whose place is its slot in the state, or more */
    const GuestReg *pins_of; /* the table that pins[] is of: */
    int8_t pins[96];         /* pinned host registers, or NO_REG */
    int8_t guest_host[96];   /* unpinned guest register: host register that equals it, or NO_REG */
    Place place[IR_MAX_TMPS];
    uint8_t *labels[IR_MAX_LABELS];  /* where branches back go */
    uint8_t *entries[IR_MAX_LABELS]; /* where branches forward go: what streams found is forgotten first */
    struct {
        uint8_t *field;
        uint16_t label;
    } fixups[MAX_FIXUPS];
    unsigned fixup_count, stub_count, guess_count;
    /* See emit_loop.c: the loop whose accesses need no probe just now, or NULL; the host registers that are kept for
     * its addends; whether a copy of a loop with probes is being emitted, where such copies are; whether to keep
     * registers. */
    const IrLoop *loop;
    uint32_t reserved;
    bool slow_turn, keep_none;
    unsigned slow_head; /* index of the label of that loop */
    uint8_t *slow_turns[IR_MAX_LOOPS];
    ColdStub stubs[MAX_STUBS];
    X87Place x87;
    /* Addresses of this segment that are known to be a multiple of mask + 1: that temporary, and phase. */
    struct {
        IrTmp root;
        uint8_t phase, mask;
    } aligned[4];
    unsigned aligned_next;
    Deferred deferred[IR_MAX_DEFERRED];
    bool any_deferred; /* some of those may be set */
    bool failed;
} Emit;

/* What cpuid said, once. */
typedef struct HostFeatures {
    bool bmi1, bmi2, lzcnt, popcnt, avx, avx2, fma, movbe, sse41;
} HostFeatures;
extern HostFeatures host_features;

static inline bool is_xmm(int reg)
{
    return reg >= XMM0;
}
static inline bool wide_type(unsigned type)
{
    return type == IR_I64 || type == IR_F64;
}
static inline bool fp_type(unsigned type)
{
    return type == IR_F32 || type == IR_F64;
}
static inline bool xmm_type(unsigned type)
{
    return fp_type(type) || ir_is_vector(type);
}
static inline Mem state_mem(int64_t offset)
{
    return mem(RBP, (int32_t)offset - CPU_BIAS);
}
#define CPU_FIELD(field) state_mem(offsetof(CpuState, field))

/* vmovdqu of bytes: 4, 8, 16 or 32 of a vector. */
void load_vector(Asm *a, int reg, Mem m, unsigned log2_bytes);
void store_vector(Asm *a, int reg, Mem m, unsigned log2_bytes);

/* The pinned host register of a guest register, or NO_REG. */
int pinned_host(const GuestReg *reg);

/* Before a unit. */
void regs_begin_unit(Emit *e);
void regs_begin_segment(Emit *e);
/* Guest registers may have changed: nothing cached equals them any more. */
void regs_forget_guests(Emit *e);
/* A register that holds t (loaded if need be); it is busy until the instruction ends. */
int load_tmp(Emit *e, IrTmp t);
static inline int use_reg(Emit *e, IrTmp t)
{
    const Place *p = &e->place[t];
    if (p->where != AT_REG && p->where != AT_PIN)
        return load_tmp(e, t);
    e->busy |= 1u << p->reg;
    return p->reg;
}
/* t as a memory operand if that is where it is (and *m is set), else a register is returned. */
int use_reg_or_mem(Emit *e, IrTmp t, Mem *m);
bool is_imm32(const Emit *e, IrTmp t, int32_t *v);
/* A free register of the class for the length of this instruction. */
int scratch_int(Emit *e);
int scratch_xmm(Emit *e);
/* The register where dst is to be computed: a pinned one if the instruction is followed by setreg and nothing between
 * could see it; and not one that must_not names (bit mask) unless it may be overwritten by then. */
int def_reg(Emit *e, IrTmp dst, uint32_t must_not);
/* The register with the addend of the instruction's group, busy; NO_REG: none. */
int group_addend(Emit *e, const IrInsn *insn);
/* From now on reg has the addend of the group, as long as it is not needed for something else. */
void keep_addend(Emit *e, unsigned group, int reg);
/* Tell the allocator that dst is in reg now. */
void def_done(Emit *e, IrTmp dst, int reg);
/* Make reg free: whatever lives there moves elsewhere. */
void evict(Emit *e, int reg);
void emit_getreg(Emit *e, const IrInsn *insn);
void emit_setreg(Emit *e, const IrInsn *insn);
/* All temporaries that live on out of caller-clobbered registers; if guest registers are going to change, out of these,
 * too. */
void spill_all(Emit *e, bool guests_change);
/* A copy of t in exactly this register (evicting what is there); busy. */
void load_into(Emit *e, IrTmp t, int reg);
void move_place(Emit *e, int reg, IrTmp t);

/* Deferred registers, see deferred.c. The write of one; those of mask (bit: number - 1) to the state now; those not in
 * dead, and no other is kept any more; their values as they are now, for a stub, and out of a stub (segment_ends: no
 * temporary lives on where it goes). */
bool defer_write(Emit *e, const IrInsn *insn);
void store_deferred(Emit *e, unsigned mask);
void settle_deferred(Emit *e, unsigned dead);
void note_deferred(Emit *e, ColdStub *s);
void put_deferred(Emit *e, const ColdStub *s, bool segment_ends);
/* Which are not in the state, but for those in dead. */
unsigned deferred_mask(const Emit *e, unsigned dead);
/* Does a deferred register have no other place than that of t? The register (and place) of t is about to be lost. */
bool is_deferred(const Emit *e, IrTmp t);
void store_deferred_tmp(Emit *e, IrTmp t);
/* Deferred values that are what an unpinned register, which changes, has now. */
void store_deferred_state(Emit *e, unsigned guest);
/* A temporary register with nothing in it; NO_REG: none. */
int free_register(const Emit *e);
/* t, which is in a spill slot or has a place that dies, is not needed any more. */
void free_place(Emit *e, IrTmp t);
/* After the instruction: what died is. A deferred value lives on as long as its place does. */
static inline void release_dead(Emit *e, const IrInsn *insn)
{
    for (unsigned k = 0; k < 4 && insn->arg[k]; k++) {
        IrTmp t = insn->arg[k];
        if (e->u->tmps[t].last_use == e->index && !(e->any_deferred && is_deferred(e, t)))
            free_place(e, t);
    }
    e->busy = 0;
}
/* Guest registers' slots in the state, and what temporaries stand for the old value of one is loaded. */
Mem guest_mem(const Emit *e, unsigned guest);
void save_state_aliases(Emit *e, unsigned guest);
void forget_cached(Emit *e, unsigned guest);

/* Make results canonical that are not checked yet: one register's; all. */
void check_later_nan(Emit *e, int reg);
void check_later_nans(Emit *e);
ColdStub *new_stub(Emit *e, int kind);
enum {
    STUB_LOAD,
    STUB_GUESS,
    STUB_STORE,
    STUB_LOAD_VECTOR,
    STUB_STORE_VECTOR,
    STUB_AMO,
    STUB_CAS,
    STUB_POLL,
    STUB_ICOUNT,
    STUB_CHAIN,
    STUB_MISS,
    STUB_POLL_IND,
    STUB_NAN,
    STUB_FMA,
    STUB_SOFT,
    STUB_PROBE,
    STUB_GUARD,
    STUB_STREAM,
    STUB_X87,
    STUB_SETTLE,
    STUB_SETTLE_JUMP,
    STUB_LOOP
};

/* Emitters by area; each returns false if the op is not of its area. */
bool emit_integer(Emit *e, const IrInsn *insn);
bool emit_memory(Emit *e, const IrInsn *insn);
bool emit_float(Emit *e, const IrInsn *insn);
bool emit_vector(Emit *e, const IrInsn *insn);
bool emit_host(Emit *e, const IrInsn *insn);
bool emit_x87(Emit *e, const IrInsn *insn);
/* An OP_x87 (result 0) or OP_x87test; empty the x87's stack. */
void put_x87(Asm *a, X87Place *p, int64_t imm, unsigned aux, unsigned result);
void x87_drop(Asm *a, X87Place *p);
/* The instruction of an OP_vhost on these registers; and after one that tests, flags to rax. */
void put_host(Asm *a, int64_t what, int dst, const int arg[3]);
void put_test_flags(Asm *a);
void emit_float_stub(Emit *e, const ColdStub *s);
void emit_guess_stub(Emit *e, const ColdStub *s);
/* At the start of a stub after which C may see registers. */
void emit_stub_nans(Emit *e, const ColdStub *s);
void emit_memory_stub(Emit *e, const ColdStub *s);
/* A label that is the head of one of the unit's loops; what follows up to the branch back is its fast copy. */
void emit_loop_head(Emit *e, const IrInsn *label);
void emit_loop_stub(Emit *e, const ColdStub *s);
/* The register with the addend of an access in the fast copy of a loop. */
int walk_addend(Emit *e, const IrInsn *insn);
/* s is followed by the stub of the access itself. */
void emit_stream_stub(Emit *e, ColdStub *s);
/* At the head of a loop: nothing is known yet of these streams. */
void emit_stream_resets(Emit *e, unsigned streams);
/* cmp a, b for a condition; returns the condition code. */
int emit_compare(Emit *e, const IrInsn *insn);

/* Thunks' places, relative to the cache's start (host address in EmitThunks.base). */
enum {
    THUNK_LOAD,
    THUNK_STORE,
    THUNK_AMO,
    THUNK_CAS,
    THUNK_SOFT,
    THUNK_RETRY_LOAD,
    THUNK_LOAD_VECTOR,
    THUNK_STORE_VECTOR,
    THUNK_RETRY_STORE,
    THUNK_REFILL_LOAD,
    THUNK_REFILL_STORE,
    THUNK_RETRY_LOAD_VECTOR, /* these only for units with vectors */
    THUNK_RETRY_STORE_VECTOR,
    THUNK_REFILL_LOAD_VECTOR,
    THUNK_REFILL_STORE_VECTOR,
    THUNK_WIDE, /* the same that keep whole vectors */
    THUNK_EXIT = 2 * THUNK_WIDE,
    THUNK_LOOKUP,
    THUNK_JUMP,
    THUNK_CALL,
    THUNK_NANS,
    THUNK_COUNT
};
enum { CONST_BOX32, CONST_SIGN32, CONST_SIGN64, CONST_ABS32, CONST_ABS64, CONST_NAN32, CONST_NAN64, CONST_COUNT };
/* Of 32 bytes; those of elements of 1, 2, 4, 8 bytes follow each other. */
enum {
    VCONST_SIGN,
    VCONST_BITS = 4,
    VCONST_LOW = 8 /* the lower half of each element */,
    VCONST_SPREAD = 12,
    VCONST_COUNT
};
typedef struct ThunkTable {
    uint8_t *base; /* writable address of the cache's start */
    uint32_t at[THUNK_COUNT];
    uint32_t constants;  /* CONST_COUNT of 16 bytes */
    uint32_t vectors;    /* VCONST_COUNT of 32 bytes */
    bool parallel;       /* EmitRuntime.parallel, */
    bool counted;        /* and counted */
    bool pinned_vectors; /* the target has guest registers that are vectors: upper halves must stay */
} ThunkTable;
extern ThunkTable thunk_table;
static inline uint8_t *thunk(int which)
{
    return thunk_table.base + thunk_table.at[which];
}
/* One of those before THUNK_WIDE, as the unit needs it. */
static inline uint8_t *slow_thunk(const Emit *e, int which)
{
    return thunk(which + (e->vectors ? THUNK_WIDE : 0));
}
static inline uint8_t *constant(int which)
{
    return thunk_table.base + thunk_table.constants + which * 16;
}

static inline uint8_t *vector_constant(int which)
{
    return thunk_table.base + thunk_table.vectors + which * 32;
}

#endif
