/*
 * Run-time layout that generated code knows: the head of every CPU state, soft-TLB sets, jump caches.
 *
 * Host register use in generated code (x86-64): rsp stack; rbp = CpuState + CPU_BIAS; r15 = cs->set (the current
 * ContextSet); rax rcx rdx rsi rdi temporaries; rbx r8-r14 pinned guest integer registers; xmm0-7 temporaries; xmm8-15
 * pinned guest floating-point registers. Pinned registers are in the same place at every unit boundary.
 *
 * State protocol. Inside a unit cs->pc is stale; cs->pc_base is the virtual address of the page that holds the unit's
 * first byte; the instruction's offset is known statically. cs->pc is made exact before a helper that may raise, in
 * slow paths, and at exits to C. Whoever changes cs->pc outside a unit (helpers, C) leaves pc_base alone: the look-up
 * sets it on entry.
 * SPDX-License-Identifier: MIT
 */
#ifndef TCG_RUNTIME_H
#define TCG_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPU_BIAS 128 /* rbp points this far into the state, so that 256 bytes are in reach of an 8-bit displacement */

#define TLB_BITS        12
#define TLB_SIZE        (1u << TLB_BITS)
#define JUMP_CACHE_BITS 13
#define JUMP_CACHE_SIZE (1u << JUMP_CACHE_BITS)
#define GUEST_PAGE_BITS 12
#define GUEST_PAGE_SIZE 4096
#define GUEST_PAGE_MASK ((uint64_t)-4096)

/* tag: page-aligned virtual address; TLB_EMPTY matches nothing. host address = virtual address + addend. */
typedef struct TlbEntry {
    uint64_t tag;
    uint64_t addend;
} TlbEntry;
#define TLB_EMPTY UINT64_MAX
#define TLB_LOG   1024

typedef struct JumpCacheEntry {
    uint64_t pc; /* jump_empty() of its index matches nothing */
    void *code;
} JumpCacheEntry;
#define JUMP_LOG 1024
/* An address that has another index: instructions may be anywhere. */
static inline uint64_t jump_empty(unsigned index)
{
    return index == JUMP_CACHE_SIZE - 1 ? 0 : UINT64_MAX;
}

/* For a load whose address depends on what it gave before: the addend to use if the page's TLB entry agrees. At a fixed
 * place, so that it is loaded while the address is still being computed; since it is only ever compared with an entry,
 * flushes leave it alone. A load that finds its guess wrong too often between two visits to C stops guessing. */
typedef struct AddendGuess {
    uint64_t addend;
    uint32_t budget; /* wrong guesses left; 0: addend is GUESS_NEVER */
} AddendGuess;
#define GUESS_SLOTS  64         /* shared by all loads by number */
#define GUESS_NEVER  UINT64_MAX /* no entry's: those are multiples of the page size */
#define GUESS_BUDGET 256

/* Second level, one for all sets of a vCPU: pages of RAM that loads may read. tag: address of the page, a generation <<
 * 1, and 1 if stores may write it; L2_EMPTY matches nothing. Page number ^ mix chooses a line. */
#define L2_LINE_BITS   13
#define L2_LINES       (1u << L2_LINE_BITS)
#define L2_WAYS        4
#define L2_WRITABLE    1
#define L2_EMPTY       UINT64_MAX
#define L2_GENERATIONS 2047 /* 1 to 2046 are used */
typedef struct L2Line {
    uint64_t tag[L2_WAYS], addend[L2_WAYS];
} L2Line;
typedef struct L2Cold {
    uint8_t *flags[L2_WAYS]; /* the page's, see EmitRuntime.page_flags */
    void *region[L2_WAYS];   /* for C only */
} L2Cold;
typedef struct L2Table {
    L2Line lines[L2_LINES];
    L2Cold cold[L2_LINES];
} L2Table;

/* Translations of one (address space, MMU mode), and its jump cache. entry index: (va >> 12) % TLB_SIZE; jump cache
 * index: (pc >> 1) % JUMP_CACHE_SIZE. The layout down to refills is known to generated code. */
typedef struct ContextSet {
    TlbEntry read[TLB_SIZE];
    TlbEntry write[TLB_SIZE];
    JumpCacheEntry jumps[JUMP_CACHE_SIZE];
    AddendGuess guesses[GUESS_SLOTS];
    uint32_t guesses_spent; /* not 0: some budget is 0 */
    uint32_t fills;         /* entries in log; more than fit: wipe the tables */
    uint16_t log[TLB_LOG];  /* indices filled since the last flush, read and write alike */
    L2Table *l2;
    /* Generations, << 1, that entries of this set may have: that of its own, and that of pages which all address spaces
     * have; and their xor. The lower half of the addresses looks for the first one first, the upper for the second. */
    uint32_t generation[2], generation_change;
    uint32_t mix[2];  /* for the lower and the upper half */
    uint64_t refills; /* from the second level, by generated code */
    /* for C only */
    uint64_t space;     /* what the target calls this address space (root and ASID), */
    uint64_t outer;     /* the one that it lies in, where translation has two stages, */
    uint32_t mmu_index; /* and mode */
    uint64_t last_use;
    uint8_t next[2];         /* the sets, by number, that were switched to from here last and before that */
    uint64_t exec_pages[16]; /* Bloom filter of pages that jumps[] may hold */
    uint64_t global_jumps[JUMP_CACHE_SIZE / 64]; /* entries of jumps[] in pages that all address spaces have */
    uint32_t own_jumps;                          /* others made since the last flush: in jump_log, if they fit */
    uint16_t jump_log[JUMP_LOG];
} ContextSet;

typedef struct Vcpu Vcpu;

/* First member of every target's state. */
typedef struct CpuState {
    uint32_t poll;    /* non-zero: leave generated code at the next poll. Atomic. */
    uint8_t raised;   /* a helper or slow path raised an exception: pc, mode and set are the handler's */
    uint8_t fp_live;  /* generated code runs: the guest's rounding mode and flags are in the host's MXCSR */
    uint8_t fp_round; /* IrRound that dynamic rounding means now (RNE..RMM) */
    uint8_t fp_flags; /* accrued IR_FP_* flags that are not in MXCSR */
    uint64_t pc;
    uint64_t pc_base;
    ContextSet *set;
    /* the target's hot registers follow here (within 256 bytes of the start) through the derived struct; what is cold:
     */
    Vcpu *vcpu;
    uint32_t mode;      /* static mode flags: part of a unit's key, changed only by the target, see context_changed */
    uint32_t mmu_index; /* which translation regime loads and stores use now: the target's own numbering */
    bool watching;      /* accesses that are not in the TLB go to the target's watch: changed only with a flush */
    uint64_t reserve_addr, reserve_value; /* load-reserved: address (UINT64_MAX: none) and the value seen */
    /* -icount. Instructions that may still be executed until C is to look; those of a piece of straight code
     * (tcg/icount.c) are taken from it when the first begins. In C: how many of the present piece are still to come,
     * with the one at pc. */
    int32_t icount;
    uint16_t icount_rest;
    /* Guests whose x87 is the host's: its control word while generated code runs, all exceptions masked; exceptions
     * that are not in the host's status word. */
    uint16_t x87_control, x87_flags;
} CpuState;

/* Instructions that this vCPU has executed, without the one at pc; those that raised an exception are among them.
 * False: they are not counted. Any thread that may look at the vCPU's state. */
bool tcg_count(const CpuState *cs, uint64_t *count);
/* Whoever raises an exception calls this: the rest of the piece of code is given back. The instruction that raised
 * counts as a step, so that time goes on in a guest that does nothing else. */
static inline void tcg_count_raise(CpuState *cs)
{
    cs->icount = (int32_t)((uint32_t)cs->icount + cs->icount_rest - 1);
    cs->icount_rest = 0;
}

/* ---- accel/tcg provides these to targets and generated code ---- */

/* mode, mmu_index, or the address space changed: choose cs->set. Cheap if all are as before. space, outer: opaque
 * numbers, e.g. satp, and those of the second stage of translation. Pages that walks call global are shared by all
 * spaces without a second stage and with the same mmu_index; code in them by those with the same mode. */
void tcg_context_changed(CpuState *cs, uint64_t space, uint64_t outer, uint32_t mmu_index);
/* Address spaces: those with (space & mask) == value and (outer & outer_mask) == outer_value. */
typedef struct SpaceMatch {
    uint64_t mask, value, outer_mask, outer_value;
} SpaceMatch;
/* Flush translations of this vCPU: everything; or some address spaces; or one page of those. */
void tcg_flush_all(CpuState *cs);
void tcg_flush_spaces(CpuState *cs, SpaceMatch match);
void tcg_flush_page(CpuState *cs, uint64_t va, SpaceMatch match);
/* Instruction-fetch barrier (fence.i): stores by this vCPU and those it has synchronised with are seen by later
 * fetches. */
void tcg_fetch_barrier(CpuState *cs);

/* Memory accesses from helpers and the interpreter, through the soft TLB. memop: MemOp bits. On a fault they raise
 * (cs->raised becomes 1) and return 0; cs->pc must be exact before. */
uint64_t tcg_load(CpuState *cs, uint64_t va, uint32_t memop);
void tcg_store(CpuState *cs, uint64_t va, uint64_t value, uint32_t memop);
/* A store that the whole instruction may begin again before: where the target's code is coherent and the running unit
 * would change it raises, and the instruction is executed alone. */
void tcg_store_again(CpuState *cs, uint64_t va, uint64_t value, uint32_t memop);
/* Host memory of bytes at va, for a copy right now. NULL: an exception was raised; or it is not RAM, in several pages,
 * has code, or is watched: then it is to be accessed piece by piece. */
uint8_t *tcg_host_span(CpuState *cs, uint64_t va, unsigned bytes, bool write);
/* Before an access to a device that is not memory. True: not now (-icount: it will be done over alone); return as if it
 * had raised. */
bool tcg_step_for_device(CpuState *cs);
/* Is there RAM at va that a load reads without an exception? Changes nothing in the guest. */
bool tcg_can_load(CpuState *cs, uint64_t va);
/* The same of vectors of 4 to 32 bytes: memop: log2 of the size, and MO_ALIGN. A fault leaves buffer undefined, and
 * memory as it was. */
void tcg_load_vector(CpuState *cs, uint64_t va, void *buffer, uint64_t memop);
void tcg_store_vector(CpuState *cs, uint64_t va, const void *buffer, uint64_t memop);
/* Atomic read-modify-write of naturally aligned memory; returns the old value (sign- or zero-extended as memop says).
 * kind: IrAmo. */
uint64_t tcg_amo(CpuState *cs, uint64_t va, uint64_t value, uint32_t memop, uint32_t kind);
/* Compare and swap; returns the old value. */
uint64_t tcg_cas(CpuState *cs, uint64_t va, uint64_t expected, uint64_t value, uint32_t memop);
/* The same for 16 bytes, low half first; *old: in, what is expected; out, what was there. False: raised. */
bool tcg_cas16(CpuState *cs, uint64_t va, uint64_t old[2], const uint64_t value[2]);
/* Zero the naturally aligned block of size bytes (a power of two below the page's) that holds va. Faults are at va. */
void tcg_zero_block(CpuState *cs, uint64_t va, unsigned size);
/* Physical accesses for page walkers. False: no RAM there (walkers raise an access fault). */
bool tcg_phys_load(CpuState *cs, uint64_t phys, unsigned size, uint64_t *value);
bool tcg_phys_cas(CpuState *cs, uint64_t phys, unsigned size, uint64_t expected, uint64_t value, bool *swapped);

bool tcg_phys_store(CpuState *cs, uint64_t phys, unsigned size, uint64_t value);
/* The vCPU sees this memory from now on; NULL: the machine's. Flushes. */
typedef struct AddressSpace AddressSpace;
void tcg_set_memory(CpuState *cs, AddressSpace *space);

/* Floating-point state. Move flags from MXCSR into cs->fp_flags if they live there; write rounding and clear MXCSR's
 * flags. */
uint8_t tcg_fp_flags(CpuState *cs);
void tcg_fp_set(CpuState *cs, uint8_t flags, uint8_t round);

#endif
