/*
 * accel/tcg, internal: units of translated code, the code cache, soft TLBs, and what each vCPU has of them.
 *
 * Locks. TcgState.lock (a leaf) guards units, hash chains, page records, links, and all writes to jump caches.
 * Generated code reads jump caches and TLBs of its own vCPU without it. Units and their code are freed only by a flush
 * of the whole cache, which waits until no vCPU is in generated code (TcgCpu.in_code).
 * SPDX-License-Identifier: MIT
 */
#ifndef ACCEL_TCG_TCG_H
#define ACCEL_TCG_TCG_H

#include "accel/accel.h"
#include "target/target.h"
#include "tcg/emit.h"
#include "tcg/runtime.h"

/* Counters, per vCPU, summed by info jit: STAT(name, text) */
#define TCG_STATS(STAT)                                     \
    STAT(translations, "units translated")                  \
    STAT(guest_insns, "guest instructions translated")      \
    STAT(guest_bytes, "guest bytes translated")             \
    STAT(code_bytes, "host bytes of code")                  \
    STAT(translate_ns, "nanoseconds in translation")        \
    STAT(invalidated, "units invalidated")                  \
    STAT(links, "jumps linked")                             \
    STAT(cache_flushes, "flushes of the whole cache")       \
    STAT(find_code, "look-ups that missed the jump cache")  \
    STAT(exits, "exits to C")                               \
    STAT(polls, "exits by poll")                            \
    STAT(halts, "waits for an interrupt")                   \
    STAT(slow_loads, "loads on the slow path")              \
    STAT(slow_stores, "stores on the slow path")            \
    STAT(slow_atomics, "atomics on the slow path")          \
    STAT(mmio, "accesses to devices")                       \
    STAT(fills_second, "TLB refills from the second level") \
    STAT(fills_large, "TLB refills from large pages")       \
    STAT(fills_walk, "TLB refills by page walk")            \
    STAT(flush_all, "flushes of all translations")          \
    STAT(flush_space, "flushes of an address space")        \
    STAT(flush_page, "flushes of a page")                   \
    STAT(context_switches, "context changes")               \
    STAT(context_new, "context changes to a new set")
typedef struct TcgStats {
#define STAT(name, text) uint64_t name;
    TCG_STATS(STAT)
#undef STAT
} TcgStats;
/* Only the vCPU's own thread counts; info jit may look at any time. */
#define TCG_COUNT_ADD(stats, name, n) __atomic_store_n(&(stats)->name, (stats)->name + (n), __ATOMIC_RELAXED)
#define TCG_COUNT(stats, name)        TCG_COUNT_ADD(stats, name, 1)

typedef struct Unit Unit;
typedef struct UnitPage UnitPage;

/* A direct jump from one unit to another. */
typedef struct UnitExit {
    EmitExit emit;
    Unit *to; /* linked to; NULL: not */
    Unit *from;
    struct UnitExit *next; /* in to->incoming */
} UnitExit;

struct Unit {
    uint64_t ram_addr; /* key: where its first byte is, */
    uint64_t second;   /* and the second page's first byte, for an instruction that straddles pages; UINT64_MAX: none */
    uint32_t mode;     /* and the mode flags */
    uint32_t id;
    bool valid;
    uint16_t bytes; /* of guest code */
    uint16_t insns;
    uint16_t exit_count;
    uint32_t code_size;
    uint32_t checksum; /* of the guest code */
    uint8_t *code;     /* executable address; NULL under the interpreter */
    IrUnit *ir;        /* interpreter: what to run */
    Unit *hash_next;
    Unit *page_next[2]; /* in the lists of its pages */
    UnitExit *incoming;
    UnitExit exits[];
};

/* A page that has units. */
struct UnitPage {
    uint64_t page; /* ram_addr of it */
    MemRegion *region;
    Unit *units;
    uint64_t granules; /* 64-byte pieces that units were made of (may be stale ones, too) */
    bool young;        /* protected, but stores under way then may have been missed: see tcg_fetch_barrier */
};

#define UNIT_HASH_BITS 16
#define L2_BITS        14
#define LARGE_BITS     9
#define FETCH_BITS     8
#define CONTEXT_SETS   12
#define FETCH_MMU      0x80000000u
#define UNIT_STEP      0x80000000u /* in a unit's mode: of one instruction, reached from C only */

typedef enum { PAGE_NONE, PAGE_RAM, PAGE_IO } PageKind;

/* Second-level TLB entry: one page (or 2 MiB, in the table of large ones) in one context set's generation. */
typedef struct L2Entry {
    uint64_t tag; /* virtual address of the page */
    uint32_t generation;
    uint8_t kind; /* PageKind */
    bool read, write;
    uint64_t phys;     /* guest-physical address of the page */
    uint8_t *host;     /* PAGE_RAM: its memory, */
    MemRegion *region; /* and region, */
    uint64_t offset;   /* and offset there */
} L2Entry;

typedef struct FetchEntry {
    uint64_t tag;
    uint32_t generation;
    uint64_t ram_addr;
    const uint8_t *host;
    MemRegion *region;
} FetchEntry;

typedef struct SetInfo {
    uint32_t generation;                  /* changes with each flush: stale second-level entries do not match */
    uint64_t large_low[2], large_high[2]; /* virtual range of large pages used, lower and upper half */
} SetInfo;

typedef struct TcgCpu {
    Vcpu *vcpu;
    CpuState *cs;
    struct TcgState *tcg;
    ContextSet *sets[CONTEXT_SETS];
    SetInfo info[CONTEXT_SETS];
    unsigned set_count, current;
    uint64_t clock;
    uint32_t next_generation;
    FlatView *view;   /* this vCPU's own reference */
    bool view_stale;  /* atomic: take the new one before running on */
    uint32_t in_code; /* atomic: runs generated code or the interpreter */
    uint32_t quiet;   /* atomic: no guest store is under way although in_code */
    uint64_t passes;  /* atomic: how often it has left generated code */
    L2Entry l2[1 << L2_BITS];
    L2Entry large[1 << LARGE_BITS];
    FetchEntry fetch[1 << FETCH_BITS];
    /* -icount */
    uint64_t counted; /* instructions executed before the present portion */
    bool step;        /* the next portion is one instruction: in the middle of a piece, or it accesses a device */
    bool stepping;    /* the present one is */
    IrUnit *ir;       /* scratch of the translator */
    TcgStats stats;
} TcgCpu;

/* What came of a stretch of guest code. */
typedef enum {
    TCG_RUN_ON,    /* nothing special */
    TCG_RUN_FULL,  /* the code cache is full: the stretch is still to come */
    TCG_RUN_YIELD, /* the guest hints that it spins */
    TCG_RUN_HALT,  /* the guest waits for an interrupt; poll is set */
    TCG_RUN_SHORT, /* -icount: what is left of the budget is less than comes next */
} TcgRun;

typedef struct TcgPerf TcgPerf;

typedef struct TcgState {
    Machine *machine;
    bool jit;
    TcgPerf *perf; /* perfmap=, jitdump=; or NULL */
    GMutex lock;
    GCond idle;
    uint32_t exclusive; /* atomic: a flush of the whole cache is due: stay out of generated code */
    /* code cache */
    int fd;
    uint8_t *writable, *executable;
    size_t size, used, thunks_end;
    GThread *touch;     /* asks the kernel for the cache's pages ahead of the translator */
    GMutex touch_lock;  /* leaf: touched, which only the translator changes, and touch_stop */
    GCond touch_wanted; /* one of them has changed */
    size_t touched;     /* up to here the pages were asked for, or will be */
    bool touch_stop;
    ptrdiff_t exec_offset;
    EmitThunks thunks;
    /* units */
    Unit *hash[1 << UNIT_HASH_BITS];
    GPtrArray *units;  /* by id */
    GPtrArray *chunks; /* arena */
    GPtrArray *kept;   /* interpreter: IrUnit * */
    size_t chunk_used;
    GHashTable *pages; /* ram_addr of the page -> UnitPage */
    GPtrArray *young;  /* UnitPage * that are young */
    MemListener listener;
    /* single.c */
    TcgCpu *running; /* atomic: whose turn it is on the one thread; NULL: nobody runs guest code */
    bool slice_over; /* atomic */
    Timer slice;
    int64_t left; /* -icount: instructions left of the slice */
} TcgState;

static inline TcgCpu *tcg_cpu(CpuState *cs);

/* ---- cache.c ---- */
bool tcg_cache_init(TcgState *t, uint64_t size, GError **err);
/* Code was added: have pages ready for what comes next. */
void tcg_cache_ahead(TcgState *t);
void tcg_cache_free(TcgState *t);

/* ---- perf.c ---- */
TcgPerf *tcg_perf_open(bool map, bool dump, GError **err);
void tcg_perf_close(TcgPerf *p); /* NULL is nothing */
/* u was translated at pc; code: its bytes, where they can be read. Translator's lock held. */
void tcg_perf_unit(TcgPerf *p, const Unit *u, const uint8_t *code, uint64_t pc);

/* ---- unit.c ---- */
/* The unit at cs->pc, translated if need be. NULL: an exception was raised instead, the code is just being changed
 * (look again), or (with *full set) the cache is full. */
Unit *tcg_unit_find(TcgCpu *c, bool *full);
/* EXIT_CHAIN: link exit `number` to the unit at cs->pc, if that is still right. */
void tcg_unit_link(TcgCpu *c, uint64_t number, Unit *to);
/* Guest memory changed: units made of [ram_addr, ram_addr + len) go. */
void tcg_unit_invalidate(TcgState *t, TcgStats *stats, uint64_t ram_addr, uint64_t len);
/* Forget everything; the caller has made sure that no vCPU is in generated code. */
void tcg_units_clear(TcgState *t);
uint32_t tcg_checksum(const uint8_t *bytes, unsigned len);

/* For generated code: the address to go to for cs->pc, or NULL: leave to C. */
void *tcg_find_code(CpuState *cs);

/* ---- tlb.c ---- */
typedef struct PageRef {
    PageKind kind;
    uint64_t phys; /* of the byte */
    uint8_t *host; /* PAGE_RAM: of the byte */
    MemRegion *region;
    uint64_t offset;
} PageRef;
/* Where cs->pc's code is: false if an exception was raised. */
bool tcg_fetch_page(TcgCpu *c, uint64_t va, PageRef *ref);
uint64_t tcg_slow_load(CpuState *cs, uint64_t va, uint64_t unused, uint64_t memop);
void tcg_slow_store(CpuState *cs, uint64_t va, uint64_t value, uint64_t memop);
uint64_t tcg_slow_amo(CpuState *cs, uint64_t va, uint64_t value, uint64_t memop, uint64_t kind);
uint64_t tcg_slow_cas(CpuState *cs, uint64_t va, uint64_t expected, uint64_t value, uint64_t memop);

/* ---- context.c ---- */
bool tcg_contexts_init(TcgCpu *c);
void tcg_contexts_free(TcgCpu *c);
/* Loads that stopped guessing in the current set may try again. */
void tcg_renew_guesses(TcgCpu *c);
void tcg_note_fill(TcgCpu *c, unsigned index, bool write);
void tcg_note_large(TcgCpu *c, uint64_t va);
void tcg_note_jump(TcgCpu *c, uint64_t pc, void *code);
/* All vCPUs: no write entry for this host page any more (lock held). */
void tcg_drop_write_entries(TcgState *t, const uint8_t *host_page);
static inline uint32_t tcg_generation(const TcgCpu *c)
{
    return c->info[c->current].generation;
}

/* ---- exec.c: a turn in guest code is tcg_enter, tcg_run_stretch while nothing polls, tcg_leave ---- */
void tcg_enter(TcgCpu *c);
TcgRun tcg_run_stretch(TcgCpu *c, uint64_t *pending_link);
/* last: what the last stretch gave. A full cache is emptied. */
void tcg_leave(TcgCpu *c, TcgRun last);

/* ---- single.c ---- */
void tcg_single_init(TcgState *t);
void tcg_single_destroy(TcgState *t);
/* -icount: devices are accessed by instructions that are executed alone, so that their time is exact and that an
 * interrupt which comes of it is taken behind them. True: this one is not; it is done over, as if it had raised. */
bool tcg_must_step(TcgCpu *c);
/* The thread's whole life: all vCPUs in turn. */
void tcg_single_run(Vcpu *runner);

/* ---- log.c ---- */
void tcg_log_guest(TcgCpu *c, const Unit *unit, const uint8_t *bytes, uint64_t pc);
void tcg_log_host(const Unit *unit, const uint8_t *code);
void tcg_info_jit(Machine *machine, GString *out);

/* C code that may compute in floating point (devices, GLib's tables when they grow) runs with the host's environment:
 * around it. */
static inline unsigned tcg_leave_guest_fp(const CpuState *cs)
{
    unsigned saved = 0;
    if (cs->fp_live) {
        saved = __builtin_ia32_stmxcsr();
        __builtin_ia32_ldmxcsr(0x1f80);
    }
    return saved;
}
static inline void tcg_enter_guest_fp(const CpuState *cs, unsigned saved)
{
    if (cs->fp_live)
        __builtin_ia32_ldmxcsr(saved);
}

static inline TcgCpu *tcg_cpu(CpuState *cs)
{
    return cs->vcpu->accel;
}

#endif
