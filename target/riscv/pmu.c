/*
 * Hardware performance counters: Zicntr, Zihpm, Sscofpmf and Smcntrpmf (privileged ISA 20240411, section 3.1.10 and
 * chapters 7 and 18).
 *
 * There is no model of a pipeline: cycles and instructions are nanoseconds of virtual time, in all modes and while the
 * hart waits. With -icount, mcycle and minstret count what the hart executes: the latter without what raised. The other
 * events are page walks, which is what a miss of the TLB costs. Event numbers are those of the SBI's PMU extension, as
 * firmware uses them where the device tree does not say otherwise.
 *
 * A counter is a value and how often its event had occurred at that time, so counting costs nothing. Only the hart's
 * thread works on them; the timer says that it should.
 * SPDX-License-Identifier: MIT
 */
#include "target/riscv/pmu.h"
#include "target/riscv/cpu.h"

enum {
    EVENT_CYCLES = 1,
    EVENT_INSTRUCTIONS = 2,
    EVENT_DTLB_READ_MISS = 0x10019,
    EVENT_DTLB_WRITE_MISS = 0x1001b,
    EVENT_ITLB_READ_MISS = 0x10021,
    EVENT_MASK = 0xfffff
};

static int64_t now(const RiscvState *s)
{
    return clock_now(s->pmu.timer.clocks, CLOCK_VIRTUAL_NS);
}

static unsigned event_of(const RiscvState *s, unsigned n)
{
    return n == PMU_CYCLE ? EVENT_CYCLES : n == PMU_INSTRET ? EVENT_INSTRUCTIONS : s->pmu.event[n] & EVENT_MASK;
}
static bool counts_time(const RiscvState *s, unsigned n)
{
    unsigned event = event_of(s, n);
    return event == EVENT_CYCLES || event == EVENT_INSTRUCTIONS;
}

/* With -icount, for one of mcycle and minstret: what the hart has executed, without the instruction at pc. */
static bool executed(const RiscvState *s, unsigned n, uint64_t *count)
{
    if (n >= PMU_FIRST || !s->cs.vcpu || !tcg_count(&s->cs, count))
        return false;
    *count -= n == PMU_INSTRET ? s->raised : 0;
    return true;
}

/* How often counter n's event has occurred. */
static uint64_t occurred(const RiscvState *s, unsigned n, int64_t time)
{
    uint64_t count;
    if (executed(s, n, &count))
        return count;
    switch (event_of(s, n)) {
    case EVENT_CYCLES:
    case EVENT_INSTRUCTIONS:
        return time;
    case EVENT_DTLB_READ_MISS:
        return s->pmu.misses[ACCESS_LOAD];
    case EVENT_DTLB_WRITE_MISS:
        return s->pmu.misses[ACCESS_STORE];
    case EVENT_ITLB_READ_MISS:
        return s->pmu.misses[ACCESS_FETCH];
    default:
        return 0;
    }
}

static uint32_t all_counters(const RiscvState *s)
{
    return s->pmu.present | 1u << PMU_CYCLE | 1u << PMU_INSTRET;
}

static bool counts_now(const RiscvState *s, unsigned n)
{
    static const uint64_t inhibit[] = { [PRIV_U] = PMU_UINH,
                                        [PRIV_S] = PMU_SINH,
                                        [PRIV_M] = PMU_MINH,
                                        [RISCV_VIRTUAL | PRIV_U] = PMU_VUINH,
                                        [RISCV_VIRTUAL | PRIV_S] = PMU_VSINH };
    return !(s->mcountinhibit >> n & 1) && !(s->pmu.event[n] & inhibit[riscv_full_mode(s)]);
}

static void overflowed(RiscvState *s, unsigned n)
{
    if (n < PMU_FIRST || !(s->feat & FEAT_SSCOFPMF) || s->pmu.event[n] & PMU_OF)
        return;
    s->pmu.event[n] |= PMU_OF;
    riscv_pend_soft(s, IRQ_COUNTER);
}

/* Bring value and start of a running counter up to this time. */
static void advance(RiscvState *s, unsigned n, int64_t time)
{
    RiscvPmu *p = &s->pmu;
    if (!(p->running >> n & 1))
        return;
    uint64_t count = occurred(s, n, time), before = p->value[n];
    p->value[n] += count - p->start[n];
    p->start[n] = count;
    if (p->value[n] < before)
        overflowed(s, n);
}

/* The timer: when the first counter of time that may interrupt overflows. */
static void arm(RiscvState *s, int64_t time)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t left = s->feat & FEAT_SSCOFPMF ? s->pmu.running & s->pmu.present : 0; left; left &= left - 1) {
        unsigned n = __builtin_ctz(left);
        if (counts_time(s, n) && !(s->pmu.event[n] & PMU_OF) && s->pmu.value[n])
            least = MIN(least, -s->pmu.value[n]);
    }
    if (least < (uint64_t)(INT64_MAX - time))
        timer_set(&s->pmu.timer, time + (int64_t)least);
    else if (timer_armed(&s->pmu.timer))
        timer_cancel(&s->pmu.timer);
}

void riscv_pmu_update(RiscvState *s)
{
    RiscvPmu *p = &s->pmu;
    int64_t time = now(s);
    uint32_t running = 0;
    p->filtered = p->watched = false;
    p->mode = riscv_full_mode(s);
    for (uint32_t left = all_counters(s); left; left &= left - 1) {
        unsigned n = __builtin_ctz(left);
        p->filtered |= (p->event[n] & (PMU_MINH | PMU_SINH | PMU_UINH | PMU_VSINH | PMU_VUINH)) != 0;
        advance(s, n, time);
        if (!counts_now(s, n))
            continue;
        running |= 1u << n;
        p->start[n] = occurred(s, n, time);
        p->watched |= !counts_time(s, n);
    }
    p->running = running;
    arm(s, time);
}

void riscv_pmu_attend(RiscvState *s)
{
    if (__atomic_load_n(&s->pmu.due, __ATOMIC_RELAXED)) {
        __atomic_store_n(&s->pmu.due, false, __ATOMIC_SEQ_CST);
        riscv_pmu_update(s);
    }
}

void riscv_pmu_walk(RiscvState *s, unsigned access)
{
    s->pmu.misses[access]++;
    for (uint32_t left = s->pmu.watched ? s->pmu.running & s->pmu.present : 0; left; left &= left - 1) {
        unsigned n = __builtin_ctz(left);
        if (!counts_time(s, n))
            advance(s, n, 0);
    }
}

uint64_t riscv_pmu_read(RiscvState *s, unsigned n)
{
    advance(s, n, now(s));
    return s->pmu.value[n];
}

void riscv_pmu_write(RiscvState *s, unsigned n, uint64_t v)
{
    int64_t time = now(s);
    uint64_t count;
    s->pmu.value[n] = v;
    s->pmu.start[n] = occurred(s, n, time);
    if (executed(s, n, &count)) /* the next instruction reads v (section 3.1.11): the one that writes is not counted */
        s->pmu.start[n]++;
    if (n >= PMU_FIRST)
        arm(s, time);
}

void riscv_pmu_set_event(RiscvState *s, unsigned n, uint64_t v)
{
    uint64_t filters = PMU_MINH | (riscv_has(s, EXT_S) ? PMU_SINH : 0) | (riscv_has(s, EXT_U) ? PMU_UINH : 0) |
                       (riscv_has(s, EXT_H) ? PMU_VSINH | PMU_VUINH : 0);
    uint64_t writable = n < PMU_FIRST ? filters : EVENT_MASK | (s->feat & FEAT_SSCOFPMF ? filters | PMU_OF : 0);
    advance(s, n, now(s)); /* what was counted so far was of the old event */
    s->pmu.running &= ~(1u << n);
    s->pmu.event[n] = v & writable;
    riscv_pmu_update(s);
}

unsigned riscv_cpu_pmu_map(CpuState *cs, uint32_t cells[PMU_MAP_CELLS])
{
    static const uint32_t events[] = { EVENT_CYCLES, EVENT_INSTRUCTIONS, EVENT_DTLB_READ_MISS, EVENT_DTLB_WRITE_MISS,
                                       EVENT_ITLB_READ_MISS };
    const RiscvState *s = riscv(cs);
    G_STATIC_ASSERT(3 * G_N_ELEMENTS(events) == PMU_MAP_CELLS);
    for (unsigned i = 0; i < G_N_ELEMENTS(events); i++) {
        cells[3 * i] = cells[3 * i + 1] = events[i];
        cells[3 * i + 2] = s->pmu.present | (i == 0 ? 1u << PMU_CYCLE : i == 1 ? 1u << PMU_INSTRET : 0);
    }
    return s->pmu.present && riscv_has(s, EXT_ZIHPM) ? PMU_MAP_CELLS : 0;
}

static void timer_fired(void *opaque)
{
    RiscvState *s = opaque;
    __atomic_store_n(&s->pmu.due, true, __ATOMIC_SEQ_CST);
    riscv_wake(s);
}

void riscv_pmu_init(RiscvState *s, Clocks *clocks)
{
    timer_init(&s->pmu.timer, clocks, CLOCK_VIRTUAL_NS, timer_fired, s);
}

void riscv_pmu_free(RiscvState *s)
{
    timer_cancel(&s->pmu.timer);
}

void riscv_pmu_reset(RiscvState *s)
{
    RiscvPmu *p = &s->pmu;
    timer_cancel(&p->timer);
    memset(p->value, 0, sizeof(p->value));
    memset(p->start, 0, sizeof(p->start));
    memset(p->event, 0, sizeof(p->event));
    memset(p->misses, 0, sizeof(p->misses));
    p->running = all_counters(s);
    p->filtered = p->watched = false;
    p->mode = riscv_full_mode(s);
}

/* ---- numbered CSRs ---- */

enum {
    CSR_MHPMEVENT = 0x320,
    CSR_MHPMEVENTH = 0x720,
    CSR_MCOUNTER = 0xb00,
    CSR_MCOUNTERH = 0xb80,
    CSR_COUNTER = 0xc00,
    CSR_COUNTERH = 0xc80
};

bool riscv_pmu_has_csr(const RiscvState *s, unsigned csr)
{
    if ((csr & 31) < PMU_FIRST)
        return false;
    switch (csr & ~31u) {
    case CSR_MHPMEVENT:
    case CSR_MCOUNTER:
        return true;
    case CSR_MCOUNTERH:
        return s->xlen == 32;
    case CSR_COUNTER:
        return riscv_has(s, EXT_ZIHPM);
    case CSR_COUNTERH:
        return riscv_has(s, EXT_ZIHPM) && s->xlen == 32;
    case CSR_MHPMEVENTH:
        return s->feat & FEAT_SSCOFPMF && s->xlen == 32;
    default:
        return false;
    }
}

uint64_t riscv_pmu_read_csr(RiscvState *s, unsigned csr)
{
    unsigned n = csr & 31, base = csr & ~31u;
    bool event = base == CSR_MHPMEVENT || base == CSR_MHPMEVENTH;
    if (!(s->pmu.present >> n & 1))
        return 0;
    if (event && s->pmu.watched)
        advance(s, n, now(s));
    uint64_t v = event ? s->pmu.event[n] : riscv_pmu_read(s, n);
    return base == CSR_MCOUNTERH || base == CSR_COUNTERH || base == CSR_MHPMEVENTH ? v >> 32 : v;
}

void riscv_pmu_write_csr(RiscvState *s, unsigned csr, uint64_t v)
{
    unsigned n = csr & 31, base = csr & ~31u;
    bool event = base == CSR_MHPMEVENT || base == CSR_MHPMEVENTH,
         high = base == CSR_MCOUNTERH || base == CSR_MHPMEVENTH;
    if (!(s->pmu.present >> n & 1))
        return;
    uint64_t old = event ? s->pmu.event[n] : riscv_pmu_read(s, n);
    if (high)
        v = v << 32 | (uint32_t)old;
    else if (s->xlen == 32)
        v = (old >> 32 << 32) | (uint32_t)v;
    if (event)
        riscv_pmu_set_event(s, n, v);
    else
        riscv_pmu_write(s, n, v);
}

uint64_t riscv_pmu_overflows(RiscvState *s)
{
    uint64_t mask = 0;
    for (uint32_t left = s->pmu.present; left; left &= left - 1) {
        unsigned n = __builtin_ctz(left);
        mask |= s->pmu.event[n] & PMU_OF ? 1ull << n : 0;
    }
    return mask;
}
