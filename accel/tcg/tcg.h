/*
 * accel/tcg, internal: units of translated code, the code cache, soft TLBs, and what each vCPU has of them.
 *
 * Locks, in the order in which they are taken. TcgState.page_locks[]: who translates a page, so that nobody does it
 * twice. TcgState.lock: changes of hash chains, page records, links and the states of chunks; it is held for as long as
 * it takes to enter or remove a unit, never while one is translated. Mailbox.lock. Looking a unit up takes none. TLBs,
 * jump caches and the chunk being filled belong to their vCPU; others write to its mailbox.
 *
 * Units and their code are freed by the chunk, when no vCPU can have seen them: TcgState.epoch grows when a chunk is
 * retired (its units are no more found, jumps to them lead to exits, and each vCPU has mail to empty its jump cache).
 * Each vCPU notes the epoch at which it last began to run code, having read its mail; once all notes are as young as
 * the chunk's epoch it is free.
 * SPDX-License-Identifier: MIT
 */
#ifndef ACCEL_TCG_TCG_H
#define ACCEL_TCG_TCG_H

#include "accel/accel.h"
#include "accel/tcg/step.h"
#include "target/target.h"
#include "tcg/emit.h"
#include "tcg/runtime.h"

/* Counters, per vCPU, summed by info jit: STAT(name, text) */
#define TCG_STATS(STAT)                                               \
    STAT(translations, "units translated")                            \
    STAT(guest_insns, "guest instructions translated")                \
    STAT(guest_bytes, "guest bytes translated")                       \
    STAT(code_bytes, "host bytes of code")                            \
    STAT(translate_ns, "nanoseconds in translation")                  \
    STAT(retranslated, "units translated again")                      \
    STAT(discarded, "translations discarded: code changed")           \
    STAT(invalidated, "units invalidated by stores")                  \
    STAT(invalidated_barrier, "units invalidated by a fetch barrier") \
    STAT(links, "jumps linked")                                       \
    STAT(links_cached, "jumps linked to the jump cache")              \
    STAT(evicted_chunks, "chunks of the cache evicted")               \
    STAT(evicted, "units evicted with them")                          \
    STAT(cache_waits, "waits for a chunk")                            \
    STAT(mails, "messages from other CPUs")                           \
    STAT(find_code, "jumps that missed the jump cache")               \
    STAT(shared_jumps, "of these, known from other address spaces")   \
    STAT(finds, "look-ups of a unit, of these and after exits")       \
    STAT(exits, "exits to C")                                         \
    STAT(polls, "exits by poll")                                      \
    STAT(halts, "waits for an interrupt")                             \
    STAT(slow_loads, "loads on the slow path")                        \
    STAT(slow_stores, "stores on the slow path")                      \
    STAT(slow_atomics, "atomics on the slow path")                    \
    STAT(slow_cross, "of these, to two pages")                        \
    STAT(slow_misaligned, "misaligned, and refused")                  \
    STAT(slow_code, "to pages with code")                             \
    STAT(mmio, "accesses to devices")                                 \
    STAT(fills_second, "TLB refills from the second level")           \
    STAT(fills_large, "TLB refills from large pages")                 \
    STAT(fills_walk, "TLB refills by page walk")                      \
    STAT(flush_all, "flushes of all translations")                    \
    STAT(flush_space, "flushes of an address space")                  \
    STAT(flush_page, "flushes of a page")                             \
    STAT(context_switches, "context changes")                         \
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
    /* what look-ups read: one host cache line */
    uint64_t ram_addr; /* key: where its first byte is, */
    uint64_t second;   /* and the second page's first byte, for an instruction that straddles pages; UINT64_MAX: none */
    uint32_t mode;     /* and the mode flags */
    bool valid;        /* atomic */
    uint64_t users;    /* atomic: vCPUs (index % 64) that may have it in a jump cache */
    uint8_t *code;     /* executable address; NULL under the interpreter */
    Unit *hash_next;   /* atomic */
    uint16_t bytes;    /* of guest code */
    uint16_t insns;
    uint16_t exit_count;
    uint32_t code_size;
    uint32_t checksum; /* of the guest code */
    struct Chunk *chunk;
    IrUnit *ir;         /* interpreter: what to run */
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
    unsigned pins;     /* translations under way: the page stays protected */
    bool young;        /* protected, but stores under way then may have been missed: see tcg_fetch_barrier */
};

typedef enum { CHUNK_FREE, CHUNK_CURRENT, CHUNK_FULL, CHUNK_RETIRED } ChunkState;

/* A piece of the code cache, and what was made in it. A vCPU that fills it owns it; else TcgState.lock guards it. */
typedef struct Chunk {
    unsigned index;
    ChunkState state;
    uint32_t used;      /* bytes of code */
    uint32_t live;      /* units that are valid; TcgState.lock */
    uint64_t epoch;     /* retired: when */
    GPtrArray *units;   /* by id % CHUNK_UNITS; TcgState.lock */
    GPtrArray *blocks;  /* memory of units */
    unsigned block;     /* the one in use, */
    size_t block_used;  /* and how much of it */
    struct Chunk *next; /* in a queue of TcgState */
} Chunk;
#define CHUNK_UNITS 16384

typedef struct ChunkQueue {
    Chunk *first, *last;
    unsigned length;
} ChunkQueue;

/* What a vCPU is asked to forget. If there is no room, it forgets all. */
typedef enum { MAIL_JUMP, MAIL_CODE, MAIL_WRITES } MailKind;
typedef struct Mail {
    MailKind kind;
    uintptr_t a, b; /* MAIL_JUMP: code, place in its page; MAIL_CODE: from, to; MAIL_WRITES: host page */
} Mail;
#define MAILS 32
typedef struct Mailbox {
    GMutex lock;
    uint32_t waiting; /* atomic */
    unsigned count;   /* more than MAILS: some were lost */
    Mail mails[MAILS];
} Mailbox;

#define UNIT_HASH_BITS 18 /* a Debian that runs many programs has 400,000 units */
#define OTHER_BITS     6
#define LARGE_BITS     9
#define FETCH_BITS     8
#define CONTEXT_SETS   12
#define FETCH_MMU      0x80000000u
#define UNIT_STEP      0x80000000u /* in a unit's mode: of one instruction, reached from C only */
#define UNIT_DEBUG     0x40000000u /* likewise, and it does not lead on: it is interpreted */

typedef enum { PAGE_NONE, PAGE_RAM, PAGE_IO } PageKind;

/* What a page is. In a table: tag 0 or a generation of the sets that may use it. */
typedef struct PageEntry {
    uint64_t va; /* of the page, or large page */
    uint32_t generation;
    uint8_t kind; /* PageKind */
    bool read, write, global, watch;
    uint64_t phys;     /* guest-physical address of the page; not in the second level */
    uint8_t *host;     /* PAGE_RAM: its memory, */
    MemRegion *region; /* and region, */
    uint64_t offset;   /* and offset there */
} PageEntry;

typedef struct FetchEntry {
    uint64_t tag;
    uint32_t generation;
    uint64_t ram_addr;
    const uint8_t *host;
    MemRegion *region;
} FetchEntry;

/* Jumps to code that all address spaces have, for all sets of a vCPU: behind their jump caches. */
#define SHARED_JUMP_BITS 15
#define SHARED_JUMPS     (1u << SHARED_JUMP_BITS)
#define SHARED_PAGE_BITS 15
typedef struct SharedJump {
    uint64_t pc;
    void *code;
    uint32_t mode;       /* CpuState.mode */
    uint32_t generation; /* TcgCpu.shared_generation, else it is not there; never 0 */
} SharedJump;

/* Large pages that a flush of one address may be in: hashes of their numbers, by size. */
#define LARGE_SEEN_BITS 14
typedef struct LargePages {
    uint32_t sizes; /* bit: index of the size; 0: nothing is in seen */
    uint64_t seen[1 << (LARGE_SEEN_BITS - 6)];
} LargePages;

/* What a vCPU is doing: PHASE(name, text) */
#define TCG_PHASES(PHASE)                                    \
    PHASE(IDLE, "idle or stopped")                           \
    PHASE(LOOP, "between stretches of code: interrupts")     \
    PHASE(CODE, "generated code and helpers")                \
    PHASE(LOOKUP, "looking for units")                       \
    PHASE(TRANSLATE, "translation")                          \
    PHASE(SLOW, "slow paths of memory accesses, page walks") \
    PHASE(DEVICE, "devices")
typedef enum {
#define PHASE(name, text) PHASE_##name,
    TCG_PHASES(PHASE)
#undef PHASE
        PHASES
} Phase;

struct TcgCpu {
    AccelCpu common;
    Vcpu *vcpu;
    CpuState *cs;
    struct TcgState *tcg;
    ContextSet *sets[CONTEXT_SETS];
    SharedJump *shared_jumps; /* [SHARED_JUMPS], by pc >> 1 */
    uint32_t shared_generation;
    uint64_t shared_pages[1 << (SHARED_PAGE_BITS - 6)]; /* Bloom filter of their pages */
    LargePages large_pages[CONTEXT_SETS], global_large_pages;
    unsigned set_count, current;
    uint64_t clock;
    uint32_t last_generation;
    AddressSpace *memory; /* what it sees */
    FlatView *view;       /* this vCPU's own reference */
    bool view_stale;      /* atomic: take the new one before it is looked at again */
    GSList *old_views;    /* until the vCPU is out of guest code */
    uint64_t epoch; /* atomic: when it last entered generated code or the interpreter; EPOCH_OUT: it is not there */
    uint32_t quiet; /* atomic: no guest store is under way although it is */
    unsigned empty_halts; /* in a row, without an interrupt: with work pending */
    bool nap;             /* the last one was one of many */
    Mailbox mailbox;
    Chunk *chunk; /* where it puts code */
    L2Table *l2;
    unsigned l2_next;                 /* way to be replaced */
    PageEntry large[1 << LARGE_BITS]; /* of 2 MiB */
    PageEntry other[1 << OTHER_BITS]; /* not for the second level: devices, ROM, what cannot be read */
    FetchEntry fetch[1 << FETCH_BITS];
    bool own_code;   /* the store under way is generated code's, which may change the unit that it is in */
    bool own_access; /* the access under way is generated code's, which can be left before it is made */
    /* The next portion is one instruction: it changes the unit that it is in, or with -icount, in the middle of a
     * piece, or it accesses a device. */
    bool step;
    bool stepping;          /* the present one is */
    struct TcgDebug *debug; /* what a debugger asked for; NULL: nothing */
    uint64_t counted;       /* -icount: instructions executed before the present portion */
    IrUnit *ir;             /* scratch of the translator */
    TcgStats stats;
    uint8_t phase;             /* atomic: Phase */
    uint64_t phase_us[PHASES]; /* TcgState.sample_lock */
    /* step.c: another accelerator's vCPU. It has one set, without entries, and nothing behind it. */
    bool uncached, refused;
    TcgElsewhere elsewhere;
};

#define EPOCH_OUT UINT64_MAX

/* What came of a stretch of guest code. */
typedef enum {
    TCG_RUN_ON,    /* nothing special */
    TCG_RUN_FULL,  /* the code cache is full: the stretch is still to come */
    TCG_RUN_YIELD, /* the guest hints that it spins */
    TCG_RUN_HALT,  /* the guest waits for an interrupt; poll is set */
    TCG_RUN_SHORT, /* -icount: what is left of the budget is less than comes next */
} TcgRun;

typedef struct TcgPerf TcgPerf;

/* A debugger's request: debug.c */
typedef struct TcgDebug {
    DebugRequest request;  /* with points of its own */
    bool watches;          /* some of them are watchpoints */
    bool no_interrupts;    /* a step does not end in a handler */
    const DebugPoint *hit; /* an access that the present instruction made */
} TcgDebug;

#define PAGE_LOCKS   64
#define DROPPED_BITS 16

typedef struct TcgState {
    Machine *machine;
    bool jit;
    TcgPerf *perf; /* perfmap=, jitdump=; or NULL */
    GMutex lock, page_locks[PAGE_LOCKS];
    uint64_t epoch; /* atomic */
    /* code cache */
    int fd;
    uint8_t *writable, *executable;
    size_t size, chunks_at; /* of all; where chunks begin */
    uint32_t chunk_size;
    unsigned chunk_count, reserve; /* as many are to be free or on the way to it */
    Chunk *chunks;
    ChunkQueue free, full, retired;
    GThread *touch;     /* asks the kernel for the cache's pages ahead of the translator */
    GMutex touch_lock;  /* leaf: touched and touch_stop */
    GCond touch_wanted; /* one of them has changed */
    size_t touched;     /* up to here the pages were asked for, or will be */
    bool touch_stop;
    ptrdiff_t exec_offset;
    EmitThunks thunks;
    /* where time goes: sample.c */
    GThread *sample_thread;
    GMutex sample_lock; /* leaf */
    GCond sample_wake;
    GPtrArray *cpus;                 /* TcgCpu * */
    int64_t sampled;                 /* when */
    bool sample_stop, sample_asleep; /* asleep: atomic */
    /* units */
    uint64_t invalidated_dma;
    Unit *hash[1 << UNIT_HASH_BITS];     /* atomic; hash_next too */
    uint32_t dropped[1 << DROPPED_BITS]; /* hashes of keys that had a unit */
    GHashTable *pages;                   /* ram_addr of the page -> UnitPage */
    GPtrArray *young;                    /* UnitPage * that are young */
    MemListener listener;
    /* Places in pages (addresses modulo a page's size) where a debugger has breakpoints: no unit goes on there, and one
     * that begins there is entered from C only. Changed while no vCPU runs. */
    bool has_breaks;
    uint64_t breaks[GUEST_PAGE_SIZE / 64];
    /* single.c */
    TcgCpu *running; /* atomic: whose turn it is on the one thread; NULL: nobody runs guest code */
    bool slice_over; /* atomic */
    Timer slice;
    int64_t left; /* -icount: instructions left of the slice */
} TcgState;

extern const AccelType accel_tcg;
static inline TcgCpu *tcg_cpu(CpuState *cs);

/* ---- cache.c ---- */
bool tcg_cache_init(TcgState *t, uint64_t size, GError **err);
/* Code is going to be written up to this offset: have pages ready there and behind. */
void tcg_cache_ahead(TcgState *t, size_t offset);
void tcg_cache_free(TcgState *t);

/* ---- chunk.c ---- */
/* Divide `bytes` of the cache, from t->chunks_at on; 0: there is no code, but IR is kept. */
void tcg_chunks_init(TcgState *t, size_t bytes);
/* The least size that all vCPUs can work with. */
size_t tcg_chunks_least(const TcgState *t);
void tcg_chunks_free(TcgState *t);
/* A new chunk for c to fill. If few are left the oldest are retired. False: none is free now. */
bool tcg_chunk_take(TcgCpu *c);
/* c will not fill it any more. */
void tcg_chunk_leave(TcgCpu *c);
/* Memory as long-lived as the chunk. */
void *tcg_chunk_alloc(Chunk *k, size_t size);
/* Retire what has no valid unit any more. Lock held. */
void tcg_chunk_unit_gone(TcgState *t, Chunk *k);
/* No chunk is free: give others time to come out of the code. c is out of it. */
void tcg_chunk_wait(TcgCpu *c);
static inline uint8_t *tcg_chunk_code(const TcgState *t, const Chunk *k)
{
    return t->writable + t->chunks_at + (size_t)k->index * t->chunk_size;
}

/* ---- mail.c ---- */
/* To all vCPUs in `to` (bit: index % 64) but this thread's, which does it at once. */
void tcg_mail_all(TcgState *t, uint64_t to, Mail mail);
void tcg_mail_read(TcgCpu *c);
/* Does nobody execute code who has not read all that was posted before? */
bool tcg_mail_all_read(TcgState *t);
/* Between these c's code stays. */
void tcg_enter_code(TcgCpu *c);
void tcg_leave_code(TcgCpu *c);
/* The least epoch of all vCPUs' notes; kick: those that are behind `wanted` shall come out of the code. */
uint64_t tcg_epoch_seen(TcgState *t, uint64_t wanted, bool kick);

/* ---- perf.c ---- */
TcgPerf *tcg_perf_open(bool map, bool dump, GError **err);
void tcg_perf_close(TcgPerf *p); /* NULL is nothing */
/* u was translated at pc; code: its bytes, where they can be read. TcgState.lock held. */
void tcg_perf_unit(TcgPerf *p, const Unit *u, const uint8_t *code, uint64_t pc);

/* ---- unit.c ---- */
/* The unit at cs->pc, translated if need be. NULL: an exception was raised instead, the code is just being changed
 * (look again), or (with *full set) the cache is full. Between tcg_enter_code and tcg_leave_code. */
Unit *tcg_unit_find(TcgCpu *c, bool *full);
/* IR of the one instruction at cs->pc, until the next call, without a unit. NULL: an exception was raised, or its bytes
 * are just being changed. */
const IrUnit *tcg_translate_one(TcgCpu *c);
/* EXIT_CHAIN: link exit `number` to the unit at cs->pc, if that is still right. */
void tcg_unit_link(TcgCpu *c, uint64_t number, Unit *to);
/* Guest memory changed: units made of [ram_addr, ram_addr + len) go. */
void tcg_unit_invalidate(TcgState *t, TcgStats *stats, uint64_t ram_addr, uint64_t len);
/* Units that are made of the byte at this place of any page go. */
void tcg_unit_drop_at(TcgState *t, unsigned in_page);
/* Remove a unit from everywhere but jump caches. Lock held. */
void tcg_unit_remove(TcgState *t, Unit *u);
uint32_t tcg_checksum(const uint8_t *bytes, unsigned len);

/* Is a byte of [ram_addr, ram_addr + len), in one page, of a unit that may be the one at cs->pc? */
bool tcg_unit_runs_in(TcgCpu *c, uint64_t ram_addr, unsigned len);
/* For generated code: the address to go to for cs->pc, or NULL: leave to C. */
void *tcg_find_code(CpuState *cs);

/* ---- tlb.c ---- */
typedef struct PageRef {
    PageKind kind;
    uint64_t phys; /* of the byte */
    uint8_t *host; /* PAGE_RAM: of the byte */
    MemRegion *region;
    uint64_t offset;
    bool global; /* in all address spaces */
} PageRef;
/* Where cs->pc's code is: false if an exception was raised. */
bool tcg_fetch_page(TcgCpu *c, uint64_t va, PageRef *ref);
uint64_t tcg_slow_load(CpuState *cs, uint64_t va, uint64_t unused, uint64_t memop);
void tcg_slow_store(CpuState *cs, uint64_t va, uint64_t value, uint64_t memop);
uint64_t tcg_slow_amo(CpuState *cs, uint64_t va, uint64_t value, uint64_t memop, uint64_t kind);
uint64_t tcg_slow_cas(CpuState *cs, uint64_t va, uint64_t expected, uint64_t value, uint64_t memop);

/* ---- context.c ---- */
bool tcg_contexts_init(TcgCpu *c);
/* Of c that is uncached. */
void tcg_contexts_init_uncached(TcgCpu *c);
void tcg_contexts_free(TcgCpu *c);
/* Loads that stopped guessing in the current set may try again. */
void tcg_renew_guesses(TcgCpu *c);
void tcg_note_fill(TcgCpu *c, unsigned index, bool write);
/* There is, or may be, something of a page of so many address bits, more than GUEST_PAGE_BITS. */
void tcg_note_large(TcgCpu *c, uint64_t va, unsigned page_bits, bool global);
/* u is at pc; global: in all address spaces. */
void tcg_note_jump(TcgCpu *c, uint64_t pc, Unit *u, bool global);
/* Code for pc that another set may have found, or that has left this one's jump cache, where it is entered; or NULL. */
void *tcg_shared_jump(TcgCpu *c, uint64_t pc);
/* c's own jump caches: no entry with this code, which is at `in_page`; with code in [from, to). */
void tcg_forget_jump(TcgCpu *c, uintptr_t code, unsigned in_page);
void tcg_forget_code(TcgCpu *c, uintptr_t from, uintptr_t to);
/* c's own TLB: no write entry for this host page; no write entry at all. */
void tcg_forget_writes(TcgCpu *c, uintptr_t host_page);
void tcg_forget_all_writes(TcgCpu *c);
/* The generation that a page of the current set is entered with; may an entry be used in it? */
static inline bool tcg_has_globals(const ContextSet *set)
{
    return set->space && !set->outer; /* a guest's are its own; without translation there are none */
}
static inline uint32_t tcg_generation(const TcgCpu *c, bool global)
{
    return c->cs->set->generation[global];
}
static inline bool tcg_current(const TcgCpu *c, uint32_t generation)
{
    return generation == c->cs->set->generation[0] || generation == c->cs->set->generation[1];
}
/* The line of the second level for va in this set; the index of a smaller table. */
static inline unsigned tcg_l2_line(const ContextSet *set, uint64_t va)
{
    return ((uint32_t)(va >> GUEST_PAGE_BITS) ^ set->mix[va >> 63]) & (L2_LINES - 1);
}

/* ---- sample.c ---- */
void tcg_sample_init(TcgState *t);
void tcg_sample_free(TcgState *t);
void tcg_sample_cpu(TcgCpu *c, bool add);
/* c was idle, and is not any more. */
void tcg_sample_busy(TcgCpu *c);
/* Microseconds of all vCPUs. */
void tcg_sample_sums(TcgState *t, uint64_t us[PHASES]);
/* c does something else from here on; returns what it did. */
static inline Phase tcg_phase(TcgCpu *c, Phase phase)
{
    Phase was = c->phase;
    __atomic_store_n(&c->phase, phase, __ATOMIC_RELAXED);
    return was;
}

/* ---- exec.c: a turn in guest code is tcg_enter, tcg_run_stretch while nothing polls, tcg_leave ---- */
void tcg_enter(TcgCpu *c);
/* The view of today, if the memory has changed; flushes. The old one stays until the next tcg_enter. */
void tcg_renew_view(TcgCpu *c);
TcgRun tcg_run_stretch(TcgCpu *c, uint64_t *pending_link);
/* last: what the last stretch gave. A full cache is emptied. */
void tcg_leave(TcgCpu *c, TcgRun last);

/* ---- single.c ---- */
void tcg_single_init(TcgState *t);
void tcg_single_destroy(TcgState *t);
/* -icount: devices are accessed by instructions that are executed alone, so that their time is exact and that an
 * interrupt which comes of it is taken behind them. True: this one is not; it is done over, as if it had raised. */
bool tcg_must_step(TcgCpu *c);
/* A store may change instructions of the running unit, of which the next must be seen: do it in a unit of its own
 * first. False: it is. */
bool tcg_step_store(TcgCpu *c);
/* The thread's whole life: all vCPUs in turn. */
void tcg_single_run(Vcpu *runner);

/* ---- debug.c ---- */
bool tcg_vcpu_debug(Vcpu *vcpu, const DebugRequest *request, GError **err);
void tcg_debug_free(TcgCpu *c);
/* Before a stretch: is there a breakpoint at cs->pc? Then the vCPU is about to stop. */
bool tcg_debug_before(TcgCpu *c);
/* After one, which may have ended a step, or hit a watchpoint. */
void tcg_debug_after(TcgCpu *c);
/* Is something in the page of va watched? */
bool tcg_debug_watches(const TcgCpu *c, uint64_t va);
/* An access. True: it is not to be made now; the instruction is begun again, alone. */
bool tcg_debug_access(TcgCpu *c, uint64_t va, unsigned size, unsigned access);
static inline bool tcg_break_at(const TcgState *t, unsigned in_page)
{
    return G_UNLIKELY(t->has_breaks) && t->breaks[in_page / 64] >> (in_page % 64) & 1;
}
/* Does it step as a debugger asked? */
static inline bool tcg_debug_steps(const TcgCpu *c)
{
    return G_UNLIKELY(c->debug) && c->debug->request.step;
}

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
    return ((const AccelCpu *)cs->vcpu->accel)->tcg;
}

/* For what targets also ask of a state that another accelerator has: then NULL. */
static inline TcgCpu *tcg_cpu_if_any(CpuState *cs)
{
    return cs->vcpu && cs->vcpu->accel ? tcg_cpu(cs) : NULL;
}

#endif
