/*
 * Units: scanning, translation, look-up, links, invalidation.
 *
 * A unit is keyed by where its code is in RAM (ram_addr) and the mode flags, so that address spaces and vCPUs share it.
 * It covers up to 64 instructions of one page in a row, with the branches among them inside; an instruction that
 * straddles two pages is a unit of its own with the second page in its key, reached through jump caches only, which go
 * when a mapping does.
 * SPDX-License-Identifier: MIT
 */
#include "accel/tcg/tcg.h"
#include "util/log.h"
#include <inttypes.h>
#include <string.h>

#define MAX_UNIT_INSNS    64
#define MAX_INSN_BYTES    16
#define MAX_UNIT_BYTES    (MAX_UNIT_INSNS * MAX_INSN_BYTES)
#define INTERPRETER_UNITS 1024 /* in a chunk */
#define MAX_UNIT_CODE     (96u << 10)
#define LEAST_ROOM        (16u << 10) /* in a chunk, to begin with a unit */

/* ---- look-up ---- */

static uint64_t unit_hash(uint64_t ram_addr, uint32_t mode)
{
    return ((ram_addr >> 1) ^ (uint64_t)mode << 40) * 0x9e3779b97f4a7c15;
}

static Unit **bucket(TcgState *t, uint64_t ram_addr, uint32_t mode)
{
    return &t->hash[unit_hash(ram_addr, mode) >> (64 - UNIT_HASH_BITS)];
}

/* Takes no lock: a unit is complete before it is in a chain, and one that is taken out still leads on. */
static Unit *lookup(TcgState *t, uint64_t ram_addr, uint64_t second, uint32_t mode)
{
    for (Unit *u = __atomic_load_n(bucket(t, ram_addr, mode), __ATOMIC_ACQUIRE); u;
         u = __atomic_load_n(&u->hash_next, __ATOMIC_ACQUIRE)) {
        if (u->ram_addr == ram_addr && u->mode == mode && (u->second == UINT64_MAX || u->second == second))
            return u;
    }
    return NULL;
}

static uint32_t unit_mode(const TcgCpu *c)
{
    if (!c->stepping)
        return c->cs->mode;
    return c->cs->mode | UNIT_STEP | (tcg_debug_steps(c) ? UNIT_DEBUG : 0);
}

uint32_t tcg_checksum(const uint8_t *bytes, unsigned len)
{
    uint64_t h = len, word = 0;
    for (; len >= 8; bytes += 8, len -= 8) {
        memcpy(&word, bytes, 8);
        h = (h ^ word) * 0x9e3779b97f4a7c15;
        h ^= h >> 29;
    }
    word = 0;
    memcpy(&word, bytes, len);
    h = (h ^ word) * 0x9e3779b97f4a7c15;
    return h ^ h >> 32;
}

/* Guest code as it is now: other vCPUs may be writing it, of which aligned words are seen whole. What is translated,
 * and the checksum of it, come from one copy. */
static void copy_code(uint8_t *to, const uint8_t *from, size_t len)
{
    while (len) {
        size_t lane = (uintptr_t)from & 7, n = MIN(len, 8 - lane);
        if (n == 8) { /* the usual case, with a length that the compiler knows */
            uint64_t whole = __atomic_load_n((const uint64_t *)from, __ATOMIC_RELAXED);
            memcpy(to, &whole, 8);
            to += 8;
            from += 8;
            len -= 8;
            continue;
        }
        uint64_t word = __atomic_load_n((const uint64_t *)(from - lane), __ATOMIC_RELAXED);
        memcpy(to, (const char *)&word + lane, n);
        to += n;
        from += n;
        len -= n;
    }
}

/* A copy of guest code from one place on, made as the scan gets there: most units are much shorter than they may be. */
typedef struct CodeCopy {
    const uint8_t *from;
    unsigned copied, limit;
    uint8_t bytes[MAX_UNIT_BYTES + MAX_INSN_BYTES];
} CodeCopy;

#define COPY_STRETCH 64

/* At least the instruction at `at` is there, if the limit allows. */
static inline void copy_ahead(CodeCopy *code, unsigned at)
{
    while (G_UNLIKELY(code->copied < at + MAX_INSN_BYTES) && code->copied < code->limit) {
        unsigned n = MIN(COPY_STRETCH, code->limit - code->copied);
        copy_code(code->bytes + code->copied, code->from + code->copied, n);
        code->copied += n;
    }
}

/* ---- scanning ---- */

typedef struct Scan {
    unsigned count;
    uint16_t offset[MAX_UNIT_INSNS + 1]; /* of each instruction in the page; one past the last */
    uint8_t length[MAX_UNIT_INSNS];
    int16_t label[MAX_UNIT_INSNS]; /* -1, or 0 where an instruction is a branch's target */
    InsnScan straddle;
    bool straddles; /* the one instruction crosses the page */
    bool labels;    /* there are some */
} Scan;

static int scan_index(const Scan *s, int64_t offset)
{
    unsigned low = 0, high = s->count;
    if (!high || offset < s->offset[0] || offset >= s->offset[high])
        return -1;
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        if (s->offset[middle] <= offset)
            low = middle;
        else
            high = middle;
    }
    return s->offset[low] == offset ? (int)low : -1;
}

/* Instructions from `offset` on. Behind an unconditional transfer the unit goes on only where a branch seen so far
 * leads. */
static void scan_unit(TcgCpu *c, CodeCopy *code, unsigned offset, unsigned limit, Scan *s)
{
    const Target *target = c->vcpu->target;
    int64_t targets[MAX_UNIT_INSNS];
    unsigned target_count = 0, at = offset;
    s->count = 0;
    s->straddles = s->labels = false;
    while (s->count < limit && at < GUEST_PAGE_SIZE && !(s->count && tcg_break_at(c->tcg, at))) {
        InsnScan i;
        copy_ahead(code, at - offset);
        target->scan(c->cs, code->bytes + (at - offset), code->copied - (at - offset), &i);
        if (!i.length) {
            s->straddles = !s->count;
            break;
        }
        s->offset[s->count] = at;
        s->length[s->count] = i.length;
        s->label[s->count++] = -1;
        if (i.flow == FLOW_BRANCH || i.flow == FLOW_JUMP)
            targets[target_count++] = at + i.target;
        at += i.length;
        if (i.flow == FLOW_NEXT || i.flow == FLOW_BRANCH)
            continue;
        bool wanted = false;
        for (unsigned k = 0; k < target_count; k++)
            wanted |= targets[k] == at;
        if (!wanted)
            break;
    }
    s->offset[s->count] = (uint16_t)at;
    for (unsigned k = 0; k < target_count; k++) {
        int i = scan_index(s, targets[k]);
        bool stops = tcg_debug_steps(c) || (i >= 0 && tcg_break_at(c->tcg, s->offset[i]));
        if (i >= 0 && !stops) {
            s->label[i] = 0;
            s->labels = true;
        }
    }
}

/* ---- translation ---- */

typedef struct Labels {
    const Scan *scan;
    int base; /* unit's label of instruction i is base + its rank among the labelled */
    int16_t number[MAX_UNIT_INSNS];
} Labels;

static int label_at(TranslateInsn *insn, int32_t offset)
{
    const Labels *l = insn->opaque;
    int i = scan_index(l->scan, offset);
    return i >= 0 && l->scan->label[i] >= 0 ? l->number[i] : -1;
}

/* code: the bytes of the unit's first instruction on. */
static void translate_insn(const Target *target, TranslateInsn *insn, const Scan *s, const uint8_t *code, unsigned i)
{
    insn->offset = s->offset[i];
    insn->length = s->length[i];
    insn->first = !i;
    insn->bytes = code + (s->offset[i] - s->offset[0]);
    ir_insn(insn->ir, insn->offset, insn->length);
    target->translate(insn);
}

static const IrCold *find_cold(const IrUnit *ir, unsigned offset)
{
    for (unsigned i = 0; i < ir->cold_count; i++)
        if (ir->cold[i].offset == (int32_t)offset)
            return &ir->cold[i];
    return NULL;
}

/* Behind the unit: instructions from those on that found an assumption wrong, up to the next label of the unit or its
 * end, without assumptions. */
static void translate_cold(const Target *target, TranslateInsn *insn, const Scan *s, const Labels *labels,
                           const uint8_t *code)
{
    IrUnit *ir = insn->ir;
    insn->cold = true;
    ir_begin_cold(ir);
    for (unsigned i = 0; i < s->count && !ir->overflow; i++) {
        if (s->label[i] >= 0)
            ir_br(ir, labels->number[i]);
        const IrCold *cold = find_cold(ir, s->offset[i]);
        if (cold) {
            ir_label(ir, cold->label);
            ir->expected = cold->expected;
        }
        if (!ir->unreachable)
            translate_insn(target, insn, s, code, i);
    }
    ir_jump(ir, s->offset[s->count], false);
}

static void translate_insns(TcgCpu *c, const Scan *s, const uint8_t *code)
{
    const Target *target = c->vcpu->target;
    IrUnit *ir = c->ir;
    Labels labels;
    labels.scan = s;
    TranslateInsn insn = { .ir = ir, .mode = c->cs->mode, .label_at = label_at, .opaque = &labels, .cs = c->cs };
    ir_begin(ir, target->regs, target->reg_count, target->helpers);
    ir->counted = c->tcg->machine->icount;
    insn.cold = ir->counted; /* who goes to the cold part has paid for the instruction, which begins again there */
    for (unsigned i = 0; i < s->count && s->labels; i++)
        labels.number[i] = s->label[i] >= 0 ? ir_new_label(ir) : -1;
    for (unsigned i = 0; i < s->count && !ir->overflow; i++) {
        if (s->label[i] >= 0)
            ir_label(ir, labels.number[i]);
        translate_insn(target, &insn, s, code, i);
    }
    ir_jump(ir, s->offset[s->count], false); /* dropped if nothing gets there */
    if (ir->cold_count)
        translate_cold(target, &insn, s, &labels, code);
}

/* The one instruction that crosses into another page: bytes holds it. */
static void translate_straddling(TcgCpu *c, unsigned offset, const uint8_t *bytes, unsigned length)
{
    const Target *target = c->vcpu->target;
    Scan none = { .count = 0 };
    Labels labels = { .scan = &none };
    TranslateInsn insn = { .ir = c->ir,
                           .mode = c->cs->mode,
                           .offset = offset,
                           .length = length,
                           .bytes = bytes,
                           .cold = true,
                           .label_at = label_at,
                           .opaque = &labels,
                           .cs = c->cs };
    ir_begin(c->ir, target->regs, target->reg_count, target->helpers);
    c->ir->counted = c->tcg->machine->icount;
    ir_insn(c->ir, offset, length);
    if (target->translate(&insn))
        ir_jump(c->ir, offset + length, false);
}

/* Code of a unit that is translated into c's chunk, or a new one. False: no chunk is free. */
static bool generate_code(TcgCpu *c, EmitResult *result)
{
    TcgState *t = c->tcg;
    for (;;) {
        Chunk *k = c->chunk;
        uint32_t room = k && k->units->len < CHUNK_UNITS ? t->chunk_size - k->used : 0;
        if (room >= LEAST_ROOM) {
            emit_unit(c->ir, k->index * CHUNK_UNITS + k->units->len, tcg_chunk_code(t, k) + k->used,
                      MIN(room, MAX_UNIT_CODE), t->exec_offset, &t->thunks, result);
            if (result->size || room >= MAX_UNIT_CODE)
                return true;
        }
        if (!tcg_chunk_take(c))
            return false;
    }
}

/* Machine code, or the kept IR, for a unit that is translated; *unit stays NULL if it is too large. False: the cache is
 * full. */
static bool generate(TcgCpu *c, Unit **unit)
{
    TcgState *t = c->tcg;
    EmitResult result;
    bool code = t->jit && !(unit_mode(c) & UNIT_DEBUG);
    result.size = result.exit_count = 0; /* the exits are written as they come */
    if (code) {
        if (!generate_code(c, &result))
            return false;
        if (!result.size)
            return true;
    } else if ((!c->chunk || c->chunk->units->len >= (t->jit ? CHUNK_UNITS : INTERPRETER_UNITS)) &&
               !tcg_chunk_take(c)) {
        return false;
    }
    Unit *u = tcg_chunk_alloc(c->chunk, sizeof(Unit) + result.exit_count * sizeof(UnitExit));
    *u = (Unit){ .chunk = c->chunk, .exit_count = result.exit_count, .code_size = result.size, .valid = true };
    for (unsigned i = 0; i < result.exit_count; i++)
        u->exits[i] = (UnitExit){ .emit = result.exits[i], .from = u };
    if (code)
        u->code = tcg_chunk_code(t, c->chunk) + t->exec_offset + c->chunk->used;
    *unit = u;
    return true;
}

static UnitPage *page_record(TcgState *t, uint64_t page, MemRegion *region)
{
    UnitPage *p = g_hash_table_lookup(t->pages, &page);
    if (!p) {
        p = g_new0(UnitPage, 1);
        p->page = page;
        p->region = region;
        g_hash_table_insert(t->pages, &p->page, p);
    }
    return p;
}

/* From here on stores to the page are noticed. Before its bytes are read. Lock held. */
static UnitPage *protect(TcgCpu *c, const PageRef *ref)
{
    TcgState *t = c->tcg;
    uint64_t in_region = ref->offset & GUEST_PAGE_MASK;
    uint8_t *flags = &ref->region->page_flags[in_region >> RAM_PAGE_BITS];
    UnitPage *p = page_record(t, ref->region->ram_addr + in_region, ref->region);
    uint8_t old = __atomic_fetch_or(flags, RAM_CODE, __ATOMIC_SEQ_CST);
    p->pins++;
    if (!(old & RAM_CODE) && old & RAM_FAST_WRITES) {
        __atomic_fetch_and(flags, (uint8_t)~RAM_FAST_WRITES, __ATOMIC_SEQ_CST);
        tcg_mail_all(t, UINT64_MAX,
                     (Mail){ MAIL_WRITES, (uintptr_t)ref->host - (ref->offset & (GUEST_PAGE_SIZE - 1)) });
        if (!p->young && t->machine->vcpus->len > 1) {
            p->young = true;
            g_ptr_array_add(t->young, p);
        }
    }
    return p;
}

static void page_emptied(UnitPage *p)
{
    if (p->units || p->pins)
        return;
    p->granules = 0;
    __atomic_fetch_and(&p->region->page_flags[(p->page - p->region->ram_addr) >> RAM_PAGE_BITS], (uint8_t)~RAM_CODE,
                       __ATOMIC_SEQ_CST);
}

static void unpin(UnitPage *p)
{
    p->pins--;
    page_emptied(p);
}

static void add_to_page(TcgState *t, Unit *u, unsigned slot, uint64_t page, unsigned first, unsigned last)
{
    UnitPage *p = g_hash_table_lookup(t->pages, &page);
    u->page_next[slot] = p->units;
    p->units = u;
    for (unsigned g = first / 64; g <= last / 64; g++)
        p->granules |= 1ull << g;
}

static void log_ir(const Unit *u, const IrUnit *ir, const char *what)
{
    g_autofree char *text = ir_dump(ir);
    log_write("%s of unit at ram %" PRIx64 " mode %x:\n%s\n", what, u->ram_addr, u->mode, text);
}

/* IR of one unit from code, of at most limit instructions. */
static void translate_code(TcgCpu *c, CodeCopy *code, unsigned limit, bool straddles, Scan *scan)
{
    unsigned offset = c->cs->pc & (GUEST_PAGE_SIZE - 1);
    if (straddles) {
        InsnScan i;
        c->vcpu->target->scan(c->cs, code->bytes, MAX_INSN_BYTES, &i);
        translate_straddling(c, offset, code->bytes, i.length);
        *scan = (Scan){ .count = 1, .offset = { offset, offset + i.length } };
    } else {
        scan_unit(c, code, offset, limit, scan);
        translate_insns(c, scan, code->bytes);
    }
}

/* Where look-ups and stores find it. Lock held. */
static void add_unit(TcgState *t, Unit *u)
{
    unsigned offset = u->ram_addr & (GUEST_PAGE_SIZE - 1);
    add_to_page(t, u, 0, u->ram_addr & GUEST_PAGE_MASK, offset, MIN(offset + u->bytes, GUEST_PAGE_SIZE) - 1);
    if (u->second != UINT64_MAX)
        add_to_page(t, u, 1, u->second & GUEST_PAGE_MASK, 0, offset + u->bytes - GUEST_PAGE_SIZE - 1);
    Unit **head = bucket(t, u->ram_addr, u->mode);
    u->hash_next = *head;
    __atomic_store_n(head, u, __ATOMIC_RELEASE);
    g_ptr_array_add(u->chunk->units, u);
    u->chunk->live++;
    u->chunk->used += (u->code_size + 15) & ~15u;
}

static uint32_t *dropped_mark(TcgState *t, const Unit *u, uint32_t *key)
{
    uint64_t h = unit_hash(u->ram_addr, u->mode);
    *key = h | 1;
    return &t->dropped[h >> (64 - DROPPED_BITS)];
}

static void note_translation(TcgCpu *c, const Unit *u, const uint8_t *code, int64_t start)
{
    TcgState *t = c->tcg;
    if (log_on(LOG_IN_ASM))
        tcg_log_guest(c, u, code, c->cs->pc);
    if (log_on(LOG_OP_OPT))
        log_ir(u, c->ir, "optimised IR");
    if (log_on(LOG_OUT_ASM) && t->jit)
        tcg_log_host(u, u->code - t->exec_offset);
    TCG_COUNT(&c->stats, translations);
    TCG_COUNT_ADD(&c->stats, guest_insns, u->insns);
    TCG_COUNT_ADD(&c->stats, guest_bytes, u->bytes);
    TCG_COUNT_ADD(&c->stats, code_bytes, u->code_size);
    TCG_COUNT_ADD(&c->stats, translate_ns, (g_get_monotonic_time() - start) * 1000);
}

/* Is guest memory still what the unit was made from? Who has changed it and found the page protected invalidates after
 * the change, and waits for the lock: then either the change is seen here, or the unit there. */
static bool code_unchanged(const Unit *u, const uint8_t *code, const PageRef *ref, const PageRef *second)
{
    uint8_t now[MAX_UNIT_BYTES + MAX_INSN_BYTES];
    unsigned left = GUEST_PAGE_SIZE - (u->ram_addr & (GUEST_PAGE_SIZE - 1)), here = MIN(u->bytes, left);
    copy_code(now, ref->host, here);
    if (second)
        copy_code(now + here, second->host, u->bytes - here);
    return !memcmp(now, code, u->bytes);
}

/* The unit becomes known, unless its code was changed meanwhile. Lock held. */
static bool publish(TcgCpu *c, Unit *u, const uint8_t *code, const PageRef *ref, const PageRef *second)
{
    TcgState *t = c->tcg;
    uint32_t key, *mark = dropped_mark(t, u, &key);
    if (!code_unchanged(u, code, ref, second)) {
        TCG_COUNT(&c->stats, discarded);
        return false;
    }
    if (!u->code)
        u->ir = ir_unit_copy(c->ir);
    add_unit(t, u);
    if (*mark == key) {
        TCG_COUNT(&c->stats, retranslated);
        *mark = 0;
    }
    if (t->perf && u->code)
        tcg_perf_unit(t->perf, u, u->code - t->exec_offset, c->cs->pc);
    return true;
}

/* One instruction alone is more than a unit holds: a fault of its translator. The guest stops where it is, as nothing
 * right can follow. */
static void too_large(TcgCpu *c)
{
    Machine *machine = c->tcg->machine;
    g_printerr("rhea: CPU %u stopped: the instruction at 0x%" PRIx64
               " has no translation that fits (a fault of rhea)\n",
               c->vcpu->index, c->cs->pc);
    machine_request_stop(machine, RUN_INTERNAL_ERROR);
}

/* The IR of one unit, and a host's code. NULL: the cache is full (*full), or it cannot be done. */
static Unit *make_unit(TcgCpu *c, const PageRef *ref, CodeCopy *code, bool straddles, Scan *scan, bool *full)
{
    Unit *u = NULL;
    for (unsigned limit = c->stepping ? 1 : MAX_UNIT_INSNS; !u; limit /= 2) {
        if (!limit) {
            too_large(c);
            return NULL;
        }
        translate_code(c, code, limit, straddles, scan);
        if (c->ir->overflow)
            continue;
        if (c->ir->counted)
            ir_count_insns(c->ir);
        if (log_on(LOG_OP)) {
            Unit shown = { .ram_addr = ref->region->ram_addr + ref->offset, .mode = c->cs->mode };
            log_ir(&shown, c->ir, "IR");
        }
        ir_optimise(c->ir);
        ir_mark_recurrent(c->ir);
        ir_group_accesses(c->ir);
        if (!c->ir->counted) { /* they make copies that would not count */
            ir_find_loops(c->ir);
            ir_find_streams(c->ir);
            if (c->tcg->jit && !(unit_mode(c) & UNIT_DEBUG))
                ir_defer_writes(c->ir);
        }
        if (!generate(c, &u)) {
            *full = true;
            return NULL;
        }
    }
    return u;
}

/* Translate what cs->pc points at; the page's translation lock is held. NULL with *full: no room; without: the code was
 * changed meanwhile, look again. */
static Unit *translate(TcgCpu *c, const PageRef *ref, const PageRef *second, bool *full)
{
    TcgState *t = c->tcg;
    unsigned here = MIN(GUEST_PAGE_SIZE - (c->cs->pc & (GUEST_PAGE_SIZE - 1)), MAX_UNIT_BYTES);
    CodeCopy code;
    Scan scan;
    InsnScan first;
    Unit *u = NULL;
    int64_t start = g_get_monotonic_time();
    g_mutex_lock(&t->lock);
    UnitPage *page = protect(c, ref), *second_page = second ? protect(c, second) : NULL;
    g_mutex_unlock(&t->lock);
    code.from = ref->host;
    code.copied = 0;
    code.limit = here;
    copy_ahead(&code, 0);
    c->vcpu->target->scan(c->cs, code.bytes, code.copied, &first);
    if (second)
        copy_code(code.bytes + here, second->host, MAX_INSN_BYTES);
    if (!first.length == !!second)
        u = make_unit(c, ref, &code, second, &scan, full);
    if (u) {
        u->ram_addr = ref->region->ram_addr + ref->offset;
        u->second = second ? second->region->ram_addr + second->offset : UINT64_MAX;
        u->mode = unit_mode(c);
        u->insns = scan.count;
        u->bytes = scan.offset[scan.count] - scan.offset[0];
        u->checksum = tcg_checksum(code.bytes, u->bytes);
    }
    g_mutex_lock(&t->lock);
    if (u && !publish(c, u, code.bytes, ref, second))
        u = NULL;
    unpin(page);
    if (second_page)
        unpin(second_page);
    g_mutex_unlock(&t->lock);
    if (u)
        note_translation(c, u, code.bytes, start);
    return u;
}

static Unit *translate_once(TcgCpu *c, const PageRef *ref, const PageRef *second, bool *full)
{
    TcgState *t = c->tcg;
    uint64_t ram_addr = ref->region->ram_addr + ref->offset;
    GMutex *lock = &t->page_locks[(ram_addr >> GUEST_PAGE_BITS) % PAGE_LOCKS];
    g_mutex_lock(lock);
    Unit *u = lookup(t, ram_addr, second ? second->region->ram_addr + second->offset : UINT64_MAX, unit_mode(c));
    if (!u) {
        Phase was = tcg_phase(c, PHASE_TRANSLATE);
        u = translate(c, ref, second, full);
        tcg_phase(c, was);
    }
    g_mutex_unlock(lock);
    return u;
}

/* Where the code at cs->pc is; *crosses: its first instruction goes on in another page. False: raised. */
static bool find_code(TcgCpu *c, PageRef *ref, PageRef *second, bool *crosses)
{
    InsnScan scan;
    *crosses = false;
    if (!tcg_fetch_page(c, c->cs->pc, ref))
        return false;
    unsigned left = GUEST_PAGE_SIZE - (c->cs->pc & (GUEST_PAGE_SIZE - 1));
    if (left < MAX_INSN_BYTES) {
        uint8_t code[MAX_INSN_BYTES];
        copy_code(code, ref->host, left);
        c->vcpu->target->scan(c->cs, code, left, &scan);
        *crosses = !scan.length;
    }
    uint64_t next = c->cs->pc + left;
    return !*crosses || tcg_fetch_page(c, c->vcpu->target->bits == 32 ? (uint32_t)next : next, second);
}

const IrUnit *tcg_translate_one(TcgCpu *c)
{
    unsigned left = MIN(GUEST_PAGE_SIZE - (c->cs->pc & (GUEST_PAGE_SIZE - 1)), COPY_STRETCH);
    PageRef ref, second;
    CodeCopy code;
    Scan scan;
    bool crosses;
    if (!find_code(c, &ref, &second, &crosses))
        return NULL;
    code.from = ref.host;
    code.copied = 0;
    code.limit = left;
    copy_ahead(&code, 0);
    if (crosses)
        copy_code(code.bytes + left, second.host, MAX_INSN_BYTES);
    translate_code(c, &code, 1, crosses, &scan);
    if (c->ir->overflow) {
        too_large(c);
        return NULL;
    }
    if (!scan.count || scan.offset[0] == scan.offset[scan.count]) /* its length has changed since find_code looked */
        return NULL;
    ir_optimise(c->ir);
    return c->ir;
}

Unit *tcg_unit_find(TcgCpu *c, bool *full)
{
    PageRef ref, second, *crossing = NULL;
    bool crosses;
    *full = false;
    TCG_COUNT(&c->stats, finds);
    if (!find_code(c, &ref, &second, &crosses))
        return NULL;
    if (crosses)
        crossing = &second;
    Unit *u = lookup(c->tcg, ref.region->ram_addr + ref.offset,
                     crossing ? second.region->ram_addr + second.offset : UINT64_MAX, unit_mode(c));
    if (!u)
        u = translate_once(c, &ref, crossing, full);
    if (u && u->code && !c->stepping && !tcg_break_at(c->tcg, c->cs->pc & (GUEST_PAGE_SIZE - 1)))
        tcg_note_jump(c, c->cs->pc, u, ref.global && (!crossing || second.global));
    return u;
}

void *tcg_find_code(CpuState *cs)
{
    TcgCpu *c = tcg_cpu(cs);
    bool full;
    TCG_COUNT(&c->stats, find_code);
    Phase was = tcg_phase(c, PHASE_LOOKUP);
    if (log_on(LOG_EXEC | LOG_CPU))
        return NULL; /* every unit is entered from C */
    if (c->tcg->machine->icount) {
        cs->icount_rest = 0;
        if (cs->icount <= 0) /* nothing may be executed any more: do not raise what fetching would */
            return NULL;
    }
    if (c->step || c->stepping || tcg_break_at(c->tcg, cs->pc & (GUEST_PAGE_SIZE - 1)))
        return NULL;
    cs->raised = 0;
    void *shared = tcg_shared_jump(c, cs->pc);
    if (shared) {
        tcg_phase(c, was);
        return shared;
    }
    unsigned saved = tcg_leave_guest_fp(cs);
    Unit *u = tcg_unit_find(c, &full);
    tcg_enter_guest_fp(cs, saved);
    tcg_phase(c, was);
    return u ? u->code : NULL; /* NULL after an exception: C looks again, at the handler */
}

/* ---- links ---- */

void tcg_unit_link(TcgCpu *c, uint64_t number, Unit *to)
{
    TcgState *t = c->tcg;
    uint64_t id = number / EMIT_MAX_EXITS;
    if (tcg_break_at(t, to->ram_addr & (GUEST_PAGE_SIZE - 1)))
        return;
    g_mutex_lock(&t->lock);
    Chunk *k = id / CHUNK_UNITS < t->chunk_count ? &t->chunks[id / CHUNK_UNITS] : NULL;
    Unit *from = k && id % CHUNK_UNITS < k->units->len ? k->units->pdata[id % CHUNK_UNITS] : NULL;
    UnitExit *exit = from && number % EMIT_MAX_EXITS < from->exit_count ? &from->exits[number % EMIT_MAX_EXITS] : NULL;
    bool same_page = exit && ((from->ram_addr ^ to->ram_addr) & GUEST_PAGE_MASK) == 0 && from->mode == to->mode &&
                     exit->emit.target == (int32_t)(to->ram_addr & (GUEST_PAGE_SIZE - 1));
    bool straddles = to->second != UINT64_MAX;
    if (same_page && straddles && from->valid && exit->emit.other) { /* for good: it is right for whatever is there */
        emit_link(from->code - t->exec_offset, t->exec_offset, &exit->emit, from->code + exit->emit.other);
        TCG_COUNT(&c->stats, links_cached);
    } else if (same_page && !straddles && from->valid && to->valid && !exit->to) {
        exit->to = to;
        exit->next = to->incoming;
        to->incoming = exit;
        emit_link(from->code - t->exec_offset, t->exec_offset, &exit->emit, to->code);
        TCG_COUNT(&c->stats, links);
    }
    g_mutex_unlock(&t->lock);
}

static void unlink_incoming(TcgState *t, Unit *u)
{
    for (UnitExit *exit = u->incoming, *next; exit; exit = next) {
        next = exit->next;
        exit->to = NULL;
        exit->next = NULL;
        emit_link(exit->from->code - t->exec_offset, t->exec_offset, &exit->emit, exit->from->code + exit->emit.stub);
    }
    u->incoming = NULL;
}

static void unlink_outgoing(Unit *u)
{
    for (unsigned i = 0; i < u->exit_count; i++) {
        UnitExit *exit = &u->exits[i];
        if (!exit->to)
            continue;
        UnitExit **p = &exit->to->incoming;
        while (*p != exit)
            p = &(*p)->next;
        *p = exit->next;
        exit->to = NULL;
    }
}

/* ---- invalidation ---- */

static void remove_from_page(UnitPage *p, Unit *u)
{
    for (Unit **at = &p->units; *at;) {
        unsigned slot = ((*at)->ram_addr & GUEST_PAGE_MASK) != p->page;
        if (*at == u) {
            *at = u->page_next[slot];
            return;
        }
        at = &(*at)->page_next[slot];
    }
}

void tcg_unit_remove(TcgState *t, Unit *u)
{
    uint32_t key, *mark = dropped_mark(t, u, &key);
    Unit **at = bucket(t, u->ram_addr, u->mode);
    while (*at != u)
        at = &(*at)->hash_next;
    __atomic_store_n(at, u->hash_next, __ATOMIC_RELEASE);
    __atomic_store_n(&u->valid, false, __ATOMIC_SEQ_CST);
    *mark = key;
    if (u->code) {
        unlink_incoming(t, u);
        unlink_outgoing(u);
    }
    uint64_t pages[2] = { u->ram_addr & GUEST_PAGE_MASK,
                          u->second == UINT64_MAX ? UINT64_MAX : u->second & GUEST_PAGE_MASK };
    for (unsigned i = 0; i < 2; i++) {
        UnitPage *p = pages[i] == UINT64_MAX ? NULL : g_hash_table_lookup(t->pages, &pages[i]);
        if (p) {
            remove_from_page(p, u);
            page_emptied(p);
        }
    }
    tcg_chunk_unit_gone(t, u->chunk);
}

/* count: of such droppings. Lock held. */
static void drop_unit(TcgState *t, uint64_t *count, Unit *u)
{
    Mail mail = { MAIL_JUMP, (uintptr_t)u->code, u->ram_addr & (GUEST_PAGE_SIZE - 1) };
    tcg_unit_remove(t, u);
    /* who puts it into a jump cache marks it first, then looks whether it is valid */
    uint64_t users = __atomic_load_n(&u->users, __ATOMIC_SEQ_CST);
    if (users)
        tcg_mail_all(t, users, mail);
    __atomic_store_n(count, *count + 1, __ATOMIC_RELAXED);
}

/* Is a byte of the unit in [from, to] (ram addresses in one page)? */
static bool overlaps(const Unit *u, uint64_t from, uint64_t to)
{
    uint64_t first = u->ram_addr, last = u->ram_addr + u->bytes - 1, page_end = first | (GUEST_PAGE_SIZE - 1);
    if (u->second != UINT64_MAX && (from & GUEST_PAGE_MASK) == (u->second & GUEST_PAGE_MASK) &&
        from <= u->second + (last - page_end) - 1)
        return true;
    return from <= MIN(last, page_end) && to >= first && (from & GUEST_PAGE_MASK) == (first & GUEST_PAGE_MASK);
}

/* May units have been made of these bytes? */
static bool has_code_in(const UnitPage *p, unsigned first, unsigned last)
{
    uint64_t touched = 0;
    for (unsigned g = first / 64; g <= last / 64; g++)
        touched |= 1ull << g;
    return p->granules & touched;
}

static void invalidate_in_page(TcgState *t, uint64_t *count, UnitPage *p, unsigned first, unsigned last)
{
    if (!has_code_in(p, first, last))
        return;
    for (Unit *u = p->units, *next; u; u = next) {
        next = u->page_next[(u->ram_addr & GUEST_PAGE_MASK) != p->page];
        if (overlaps(u, p->page + first, p->page + last))
            drop_unit(t, count, u);
    }
}

bool tcg_unit_runs_in(TcgCpu *c, uint64_t ram_addr, unsigned len)
{
    TcgState *t = c->tcg;
    uint64_t page = ram_addr & GUEST_PAGE_MASK, first = ram_addr - page;
    bool found = false;
    g_mutex_lock(&t->lock);
    UnitPage *p = g_hash_table_lookup(t->pages, &page);
    for (Unit *u = p && has_code_in(p, first, first + len - 1) ? p->units : NULL; u && !found;
         u = u->page_next[(u->ram_addr & GUEST_PAGE_MASK) != p->page])
        found =
            overlaps(u, ram_addr, ram_addr + len - 1) && ((c->cs->pc - u->ram_addr) & (GUEST_PAGE_SIZE - 1)) < u->bytes;
    g_mutex_unlock(&t->lock);
    return found;
}

void tcg_unit_invalidate(TcgState *t, TcgStats *stats, uint64_t ram_addr, uint64_t len)
{
    g_mutex_lock(&t->lock);
    while (len) {
        uint64_t page = ram_addr & GUEST_PAGE_MASK, first = ram_addr - page, piece = MIN(len, GUEST_PAGE_SIZE - first);
        UnitPage *p = g_hash_table_lookup(t->pages, &page);
        if (p)
            invalidate_in_page(t, stats ? &stats->invalidated : &t->invalidated_dma, p, first, first + piece - 1);
        ram_addr += piece;
        len -= piece;
    }
    g_mutex_unlock(&t->lock);
}

void tcg_unit_drop_at(TcgState *t, unsigned in_page)
{
    GHashTableIter iter;
    gpointer value;
    g_mutex_lock(&t->lock);
    g_autoptr(GPtrArray) pages = g_ptr_array_new(); /* a page's record may go with its last unit */
    for (g_hash_table_iter_init(&iter, t->pages); g_hash_table_iter_next(&iter, NULL, &value);)
        g_ptr_array_add(pages, value);
    for (guint i = 0; i < pages->len; i++)
        invalidate_in_page(t, &t->invalidated_dma, pages->pdata[i], in_page, in_page);
    g_mutex_unlock(&t->lock);
}

/* Units of a page whose code is not what they were made from. Lock held. */
static void verify_page(TcgCpu *c, UnitPage *p)
{
    TcgState *t = c->tcg;
    uint8_t code[MAX_UNIT_BYTES];
    for (Unit *u = p->units, *next; u; u = next) {
        next = u->page_next[(u->ram_addr & GUEST_PAGE_MASK) != p->page];
        MemRegion *region;
        const uint8_t *host = ram_host(t->machine, u->ram_addr, &region);
        if (u->second == UINT64_MAX && host) {
            copy_code(code, host, u->bytes);
            if (tcg_checksum(code, u->bytes) == u->checksum)
                continue;
        }
        drop_unit(t, &c->stats.invalidated_barrier, u);
    }
    p->young = false;
}

/* Until each other vCPU has left the code once, or has said that it is quiet. */
static void wait_for_stores(TcgCpu *c)
{
    TcgState *t = c->tcg;
    uint64_t epoch = __atomic_add_fetch(&t->epoch, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&c->quiet, 1, __ATOMIC_SEQ_CST);
    for (guint v = 0; v < t->machine->vcpus->len; v++) {
        TcgCpu *other = ((Vcpu *)t->machine->vcpus->pdata[v])->accel;
        if (!other || other == c)
            continue;
        while (__atomic_load_n(&other->epoch, __ATOMIC_SEQ_CST) < epoch &&
               !__atomic_load_n(&other->quiet, __ATOMIC_SEQ_CST)) {
            __atomic_store_n(&other->cs->poll, 1, __ATOMIC_SEQ_CST);
            g_thread_yield();
        }
    }
    __atomic_store_n(&c->quiet, 0, __ATOMIC_SEQ_CST);
    tcg_mail_read(c); /* another may have relied on our being quiet */
}

/* Stores that were under way on other vCPUs while a page became protected may have been missed. They are over once all
 * have been out of the code; then the page's units are compared with memory. */
void tcg_fetch_barrier(CpuState *cs)
{
    TcgCpu *c = tcg_cpu(cs);
    TcgState *t = c->tcg;
    if (c->uncached)
        return;
    tcg_mail_read(c);
    if (__atomic_load_n(&t->young->len, __ATOMIC_ACQUIRE) == 0)
        return;
    wait_for_stores(c);
    g_mutex_lock(&t->lock);
    for (guint i = 0; i < t->young->len; i++)
        verify_page(c, t->young->pdata[i]);
    g_ptr_array_set_size(t->young, 0);
    g_mutex_unlock(&t->lock);
}
