/*
 * Back end interface: host code of one unit, and the shared thunks it relies on. See tcg/runtime.h for register use.
 * Code is written at buf (writable mapping) and runs at buf + exec_offset; generated code refers to itself
 * PC-relatively only, so that it could be moved with its cache.
 * SPDX-License-Identifier: MIT
 */
#ifndef TCG_EMIT_H
#define TCG_EMIT_H

#include "tcg/ir.h"
#include "tcg/runtime.h"

/* C functions that thunks call. All get cs->pc exact. */
typedef struct EmitRuntime {
    uint64_t (*slow_load)(CpuState *cs, uint64_t va, uint64_t unused, uint64_t memop);
    void (*slow_store)(CpuState *cs, uint64_t va, uint64_t value, uint64_t memop);
    uint64_t (*slow_amo)(CpuState *cs, uint64_t va, uint64_t value, uint64_t memop, uint64_t kind);
    uint64_t (*slow_cas)(CpuState *cs, uint64_t va, uint64_t expected, uint64_t value, uint64_t memop);
    /* Look cs->pc up (hash, not only jump cache; fills the jump cache); NULL: not translated or poll is set: leave to
     * C. */
    void *(*find_code)(CpuState *cs);
    /* Loads and stores of vectors, to and from buffer; memop: IR_VECTOR_SIZE and MO_ALIGN. */
    void (*slow_load_vector)(CpuState *cs, uint64_t va, void *buffer, uint64_t memop);
    void (*slow_store_vector)(CpuState *cs, uint64_t va, const void *buffer, uint64_t memop);
    bool parallel;                /* vCPUs run at the same time: atomics need the host's lock prefix */
    bool counted;                 /* units are counted (IrUnit.counted): C wants cs->icount_rest */
    uint8_t page_flags, writable; /* a page may have a write entry if its flags & page_flags == writable */
} EmitRuntime;

/* A direct in-page jump (jump, brjump) that may be linked to another unit. */
typedef struct EmitExit {
    uint32_t jump;  /* offset in the unit's code of the 4-byte aligned rel32 field of a jmp or jcc */
    uint32_t stub;  /* offset of the cold stub that the jump leads to while unlinked */
    uint32_t other; /* of code that goes to the target by the jump cache; 0: there is none, see EMIT_CROSSING */
    int32_t target; /* offset of the target from the page start (0..4095) */
} EmitExit;

#define EMIT_MAX_EXITS 130
/* An instruction that begins so near the page's end may go on in the next one: its unit depends on what is mapped
 * there, so nothing is linked to it. */
#define EMIT_CROSSING (GUEST_PAGE_SIZE - 15)

typedef struct EmitResult {
    uint32_t size; /* bytes of code; 0: did not fit in the room given, or the unit is too large */
    unsigned exit_count;
    EmitExit exits[EMIT_MAX_EXITS];
    unsigned loads, stores; /* statistics */
} EmitResult;

typedef struct EmitThunks {
    /* Enter generated code at code; returns IrExit | (exit number << 8). For EXIT_CHAIN the number is unit_id *
     * EMIT_MAX_EXITS + exit. */
    uint64_t (*enter)(CpuState *cs, void *code);
    uint32_t size; /* bytes used at the start of the cache */
} EmitThunks;

/* Emit the shared thunks at buf (start of the code cache). pinned registers come from the target's register table.
 * False: no room. */
bool emit_thunks(const EmitRuntime *runtime, const GuestReg *regs, unsigned reg_count, uint8_t *buf, uint32_t room,
                 ptrdiff_t exec_offset, EmitThunks *out);
/* Emit a unit (after ir_optimise). unit_id: for EXIT_CHAIN. thunks must have been emitted at thunks_buf (writable
 * address of the cache's start). */
void emit_unit(const IrUnit *u, uint32_t unit_id, uint8_t *buf, uint32_t room, ptrdiff_t exec_offset,
               const EmitThunks *thunks, EmitResult *out);
/* Point an exit's jump at destination (executable address), atomically with respect to running code. buf: writable
 * address of the unit's code. */
void emit_link(uint8_t *buf, ptrdiff_t exec_offset, const EmitExit *exit, const void *destination);
/* Does this host have the back end and all it needs? Otherwise the interpreter runs. */
bool emit_available(void);
/* After emit_available: has it operations on vectors, too? */
bool emit_vectors(void);

#endif
