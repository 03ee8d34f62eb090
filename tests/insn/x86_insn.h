/*
 * Random x86 instructions on the host's CPU and on Rhea: what the parts of the test share.
 *
 * x86_gen.c makes encodings from the opcode tables and inputs for them, x86_native.c runs them in a child process on
 * the host's CPU, x86_rhea.c on Rhea's target, x86_compare.c says where results must agree, x86_test.c drives them.
 *
 * All instructions see the same addresses on both sides:
 *
 *   BASE            code, one slot for each encoding; may be read and executed
 *   BASE + 0x1000   exits: a jump to EXIT(bits, n) ends the instance with n as its mark; before them the end of an
 *                   instruction that crosses the boundary, behind them the beginning of one that does so too
 *   BASE + 0x2000   nothing
 *   BASE + 0x3000   read-only data
 *   BASE + 0x4000   data, two pages; the window that each instance fills lies around the boundary between them
 *   BASE + 0x6000   nothing
 * SPDX-License-Identifier: MIT
 */
#ifndef TESTS_INSN_X86_INSN_H
#define TESTS_INSN_X86_INSN_H

#include "target/x86/decode.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    BASE = 0x10000000,
    CODE = BASE,
    EXITS = BASE + 0x1000,
    READ_ONLY = BASE + 0x3000,
    DATA = BASE + 0x4000,
    DATA_END = BASE + 0x6000,
    MIDDLE = BASE + 0x5000,
    WINDOW_BYTES = 1024,
    WINDOW = MIDDLE - WINDOW_BYTES / 2,
    EDGE_BYTES = 64,
    CODE_BYTES = 8192,
    ENDS_BYTES = 1024, /* of the data, put back after each instance */
    SLOT_BYTES = 64,
    SLOTS = 4096 / SLOT_BYTES, /* encodings of a batch */
    STATES = 16,               /* instances of an encoding */
    INSN_AT = 16,              /* of its slot, mostly */
    CROSSING = SLOTS - 2, /* slots whose instructions may cross into the exits, and from there to what is not there */
};
/* Marks. */
enum { MARK_NEXT, MARK_BEFORE, MARK_BEHIND, MARKS };
#define EXIT_OF(bits, mark) (EXITS + 0x100 + ((bits) == 64 ? 0 : (bits) == 32 ? 0x400 : 0x800) + 16 * (mark))
#define IS_EXIT(at)         ((uint64_t)(at) - (EXITS + 0x100) < 0xc00)
#define MARK_AT(at)         ((((at) - (EXITS + 0x100)) & 0x3f0) >> 4)

/* Selectors: what Linux gives its programs, and those of our own descriptor table. */
enum {
    SEL_CODE32 = 0x23,
    SEL_DATA = 0x2b,
    SEL_CODE64 = 0x33,
    SEL_DATA16 = 0x07,    /* from BASE, 64 KiB, 16-bit stack */
    SEL_CODE16 = 0x0f,    /* likewise, code */
    SEL_LIMITED = 0x17,   /* from BASE, up to within the window */
    SEL_EXPAND = 0x1f,    /* from BASE, expand-down: from within the window up */
    SEL_READ_ONLY = 0x27, /* from BASE, 64 KiB */
    SEL_SHIFTED = 0x2f,   /* from SHIFTED_BASE, 4 GiB */
    SEL_ABSENT = 0x37,    /* not present */
    SEL_CODE_READ = 0x3f, /* 32-bit code that may be read, conforming, from 0 */
    SEL_EXECUTE = 0x47,   /* 32-bit code that may not */
    X86_LDT_ENTRIES = 9,
};
#define SHIFTED_BASE (BASE - 0x1234u)
#define LIMITED_LAST (MIDDLE + 0x80 - BASE)
#define EXPAND_LIMIT (MIDDLE - 0x80 - BASE)
/* As modify_ldt wants them and as they stand in memory. */
extern const struct X86TestSegment {
    uint32_t base, limit;
    uint16_t attributes; /* DESC_* */
} x86_ldt[X86_LDT_ENTRIES];

/* Registers; the order of X86_ES and so on for seg[]. */
typedef struct X86Regs {
    uint8_t fx[832] __attribute__((aligned(64))); /* XSAVE area: x87, SSE, AVX */
    uint64_t gpr[16];
    uint64_t rip, rflags, fs_base, gs_base;
    uint64_t address; /* of a page fault */
    uint32_t error;
    uint16_t seg[6];
    uint8_t vector; /* of the exception; VECTOR_MARK: none, */
    uint8_t mark;   /* but the mark of the exit */
} X86Regs;
enum { VECTOR_MARK = 0xff, VECTOR_HANGS = 0xfe };
enum {
    FX_FCW = 0,
    FX_FSW = 2,
    FX_FTW = 4,
    FX_FOP = 6,
    FX_FIP = 8,
    FX_FDP = 16,
    FX_MXCSR = 24,
    FX_ST = 32,
    FX_XMM = 160,
    FX_XSTATE_BV = 512,
    FX_YMMH = 576
};

typedef struct X86Case {
    X86Regs regs;
    uint8_t window[WINDOW_BYTES];
    uint8_t edge[EDGE_BYTES]; /* out: where the data ends */
    uint64_t operand;         /* in: linear address of the memory operand, if there is one */
} X86Case;

/* Kinds of instructions that the generator prepares inputs for, and the comparison treats differently. */
typedef struct X86Policy {
    const char *name;   /* a trailing *: any name that begins so */
    uint8_t prepare;    /* PREPARE_* */
    uint16_t undefined; /* flags */
    uint16_t compare;   /* COMPARE_* */
} X86Policy;
enum {
    PREPARE_NONE,
    PREPARE_SKIP,
    PREPARE_STRING,
    PREPARE_SHIFT,
    PREPARE_DIVIDE,
    PREPARE_BIT,
    PREPARE_XLAT,
    PREPARE_CMPXCHG,
    PREPARE_CMPXCHG_PAIR,
    PREPARE_MASKMOV,
    PREPARE_GATHER,
    PREPARE_LEAVE,
    PREPARE_ENTER,
    PREPARE_POPF,
    PREPARE_JUMP,
    PREPARE_RET,
    PREPARE_LOOP,
    PREPARE_FX,
    PREPARE_XSAVE,
    PREPARE_X87_ENV,
    PREPARE_MXCSR,
    PREPARE_SELECTOR,
    PREPARE_POP_SELECTOR,
    PREPARE_FAR_POINTER,
    PREPARE_INT,
    PREPARE_BASE,
    PREPARE_FAR_JUMP,
    PREPARE_FAR_RET,
    PREPARE_IRET,
    PREPARE_LINE, /* rAX leads to it */
};
enum {
    COMPARE_COUNT = 1,    /* flags depend on the count of a shift */
    COMPARE_DOUBLE = 2,   /* shld, shrd */
    COMPARE_ESTIMATE = 4, /* rcp, rsqrt: 12 bits */
    COMPARE_LAST = 8,     /* x87: the result's last bits may differ */
    COMPARE_NO_DEST = 16, /* general destination register undefined */
    COMPARE_NO_MEMORY = 32,
    COMPARE_ZERO_SOURCE = 64, /* bsf, bsr */
    COMPARE_IMAGE = 128,      /* stores x87 pointers */
    COMPARE_NO_C1 = 512,      /* condition code C1, which inline x87 arithmetic does not set */
    COMPARE_NO_BASE = 256,    /* bases of fs and gs after a null selector */
};
/* What the generator knows of an encoding. */
typedef struct X86Form {
    uint8_t map, opcode;
    const X86Row *row;
    const X86Policy *policy;
    const char *group;
} X86Form;
typedef struct X86Encoding {
    const X86Form *form;
    uint8_t bits;
    uint8_t bytes[16], length;
    uint8_t operand_size, address_size; /* bytes */
    uint8_t modrm, rex, vector_l;
    bool modrm_present, memory, vsib, rip_relative, lock, w, vex;
    uint8_t repeat, reg, rm, vvvv;
    uint8_t base, index, scale; /* X86_NO_REG */
    uint8_t segment;            /* of the memory operand; X86Segment */
    int64_t disp, imm;
    uint16_t imm2;
    uint16_t seg[6]; /* selectors it runs with */
    uint16_t slot;   /* offset of its slot from CODE */
    uint8_t at;      /* where in its slot it begins */
} X86Encoding;

/* Shared by both processes. */
typedef struct X86Batch {
    uint8_t code[CODE_BYTES], read_only[4096], data[8192];
    unsigned encodings, cases; /* case i is of encoding i / STATES */
    X86Encoding encoding[SLOTS];
    X86Case in[SLOTS * STATES], native[SLOTS * STATES], rhea[2][SLOTS * STATES];
    uint8_t native_data[8192], rhea_data[2][8192]; /* the data pages at the end */
} X86Batch;

typedef struct X86Options {
    unsigned bits;
    uint64_t seed, count;
    const char *only, *except, *group;
    bool executors[2]; /* JIT, interpreter */
    unsigned most_failures;
    bool plain; /* only encodings that the tables give */
    bool coverage;
    bool strict; /* what is known to differ is a failure */
} X86Options;

/* An exception at an exit is an exit: one that was reached with another code segment than it was made for. */
void x86_settle(X86Regs *r);

/* ---- x86_gen.c and x86_state.c ---- */
/* The forms that can be tested with this size of code and these options; features: what the host has, 1 << X86_*. */
unsigned x86_forms(const X86Options *o, uint64_t features, const X86Form **forms);
void x86_generate(X86Batch *b, const X86Form *forms, unsigned count, uint64_t seed, unsigned bits);

typedef struct X86Rng {
    uint64_t state;
} X86Rng;
static inline uint64_t x86_random(X86Rng *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}
/* 0 .. n - 1 */
static inline unsigned x86_below(X86Rng *r, unsigned n)
{
    return (unsigned)((x86_random(r) >> 32) * n >> 32);
}
static inline bool x86_percent(X86Rng *r, unsigned n)
{
    return x86_below(r, 100) < n;
}
/* Values from a pool that each batch makes anew. */
void x86_make_pool(X86Rng *r);
uint64_t x86_interesting(X86Rng *r);
uint64_t x86_segment_base(uint16_t selector);
/* Where a memory operand may lie: a linear address. */
uint64_t x86_choose_target(X86Rng *r, const X86Encoding *e);
void x86_make_case(const X86Encoding *e, X86Rng *r, X86Case *c);

/* ---- x86_native.c ---- */
void x86_make_exits(uint8_t *page); /* what stands at EXIT_OF */
bool x86_native_start(X86Batch *b); /* forks */
void x86_native_post(void);         /* run the batch; native_wait returns when it is done. False: the child has ended */
bool x86_native_wait(void);
void x86_native_stop(void);

/* ---- x86_coverage.c ---- */
/* Of the forms in the list: begin, add each instance, print. Without begin nothing is counted. */
void x86_coverage_begin(const X86Form *forms, unsigned n);
void x86_coverage_add(const X86Encoding *e, const X86Case *native);
void x86_coverage_end(unsigned bits);

/* ---- x86_rhea.c ---- */
typedef struct X86World X86World;
X86World *x86_world_new(bool jit);
void x86_world_free(X86World *w);
uint64_t x86_world_features(const X86World *w);
void x86_world_run(X86World *w, const X86Batch *b, X86Case *out, uint8_t *data);
/* For another executor, whose registers and memory (X86_WORLD_BYTES, from address 0 on) these are: descriptor tables,
 * pages and system registers are made there. Then for each batch begin, and for each case load, let it run until it is
 * in a handler, and store. X86_WORLD_HANDLERS, X86_WORLD_EXITS: where, physically, their code is: 16 bytes for each
 * vector, and the page at EXITS. */
enum { X86_WORLD_BYTES = 2 << 20, X86_WORLD_HANDLERS = 0xb000, X86_WORLD_EXITS = 0x11000 };
typedef struct X86State X86State;
X86World *x86_world_on(X86State *s, uint8_t *host);
void x86_world_begin(X86World *w, const X86Batch *b);
void x86_world_load(X86World *w, const X86Encoding *e, const X86Case *in);
void x86_world_store(X86World *w, X86Case *out);
/* ---- x86_host.c ---- */
/* What the host's processor has, 1 << X86_*, as /proc/cpuinfo says. */
uint64_t x86_host_features(void);

/* ---- x86_compare.c ---- */
/* Appends lines that name the difference; false: there is none. out: NULL: only say whether there is one. */
/* Rhea is known to differ there. */
bool x86_known(const X86Encoding *e, const X86Case *in, const X86Case *want, const X86Case *got);
bool x86_differs(const X86Encoding *e, const X86Case *in, const X86Case *want, const X86Case *got, FILE *out);

#endif
