/*
 * High precision event timer (IA-PC HPET specification 1.0a): a 64-bit counter of 100 MHz and 3 to 32 comparators.
 * SPDX-License-Identifier: MIT
 */
#include "hw/timer/hpet.h"
#include "util/error.h"

enum { REG_ID = 0x00, REG_CONFIG = 0x10, REG_STATUS = 0x20, REG_COUNTER = 0xf0, REG_TIMERS = 0x100 };
enum { TIMER_CONFIG = 0x00, TIMER_COMPARATOR = 0x08, TIMER_FSB = 0x10, TIMER_SIZE = 0x20 };
enum { CONFIG_ENABLE = 1, CONFIG_LEGACY = 2 };
enum {
    TIMER_LEVEL = 2,
    TIMER_ENABLE = 4,
    TIMER_PERIODIC = 8,
    TIMER_CAN_PERIODIC = 0x10,
    TIMER_64 = 0x20,
    TIMER_SET_VALUE = 0x40,
    TIMER_32_MODE = 0x100,
    TIMER_ROUTE_SHIFT = 9,
    TIMER_FSB_ENABLE = 0x4000,
    TIMER_CAN_FSB = 0x8000,
    TIMER_WRITABLE = 0x7f4e
};
#define ID_LOW      0x8086a001u /* Intel, 64 bits, can replace the legacy timers, revision 1 */
#define PERIOD_FS   (HPET_PERIOD_NS * UINT64_C(1000000))
#define INTERVAL_NS 20000 /* periodic interrupts are at least this far apart */

/* Each access and each interrupt happens at one time, whatever the host does meanwhile: no comparator is passed between
 * the look at what is due and the one at what is to come. */
static void look_at_clock(Hpet *s)
{
    s->now = clock_now(s->dev.machine->clocks, CLOCK_VIRTUAL_NS);
}

static uint64_t clocks(const Hpet *s)
{
    return (uint64_t)s->now / HPET_PERIOD_NS;
}

static uint64_t counter(const Hpet *s)
{
    return s->config & CONFIG_ENABLE ? clocks(s) + s->offset : s->counter;
}

static uint64_t width_mask(const Hpet *s, unsigned n)
{
    return s->timer_config[n] & TIMER_32_MODE ? UINT32_MAX : UINT64_MAX;
}

/* ---- interrupts ---- */

/* The GSI of a timer, or -1. */
static int route(const Hpet *s, unsigned n)
{
    static const uint8_t legacy[] = { 0, 8 };
    if (s->config & CONFIG_LEGACY && n < sizeof(legacy))
        return legacy[n];
    unsigned gsi = s->timer_config[n] >> TIMER_ROUTE_SHIFT & 31;
    return gsi < HPET_IRQS && s->intcap >> gsi & 1 ? (int)gsi : -1;
}

static void set_line(Hpet *s, unsigned n, bool level)
{
    int gsi = route(s, n);
    if (gsi >= 0)
        irq_set(&s->irqs[gsi], level);
}

static bool uses_fsb(const Hpet *s, unsigned n)
{
    return s->msi && s->timer_config[n] & TIMER_FSB_ENABLE;
}

static void update_line(Hpet *s, unsigned n)
{
    bool on = s->timer_config[n] & TIMER_ENABLE && s->config & CONFIG_ENABLE;
    if (s->timer_config[n] & TIMER_LEVEL && !uses_fsb(s, n))
        set_line(s, n, on && s->status >> n & 1);
}

static void interrupt(Hpet *s, unsigned n)
{
    uint64_t config = s->timer_config[n];
    if (config & TIMER_LEVEL)
        s->status |= UINT64_C(1) << n;
    if (!(config & TIMER_ENABLE))
        return;
    if (uses_fsb(s, n)) {
        as_store(&s->dev.machine->memory, s->fsb[n] >> 32, 4, s->fsb[n] & UINT32_MAX);
    } else if (config & TIMER_LEVEL) {
        update_line(s, n);
    } else {
        set_line(s, n, true);
        set_line(s, n, false);
    }
}

/* ---- comparators ---- */

/* Nobody would notice that it fires: no interrupt, no bit of the status. */
static bool unheard(const Hpet *s, unsigned n)
{
    return !(s->timer_config[n] & (TIMER_ENABLE | TIMER_LEVEL));
}

/* A comparator that has passed comes again when the counter has gone round. */
static void arm(Hpet *s, unsigned n)
{
    uint64_t mask = width_mask(s, n), distance = (s->comparator[n] - counter(s)) & mask;
    int64_t at = TIMER_NEVER;
    if (!distance)
        distance = mask;
    if (s->config & CONFIG_ENABLE && !unheard(s, n) && distance < INT64_MAX / HPET_PERIOD_NS / 2)
        at = (int64_t)((clocks(s) + distance) * HPET_PERIOD_NS);
    if (at != TIMER_NEVER && s->timer_config[n] & TIMER_PERIODIC)
        at = MAX(at, s->now + INTERVAL_NS);
    timer_set(&s->timers[n].timer, at);
}

/* A periodic comparator moves on to its next time after now. */
static void advance(Hpet *s, unsigned n)
{
    uint64_t mask = width_mask(s, n), late = (counter(s) - s->comparator[n]) & mask;
    s->comparator[n] = (s->comparator[n] + (late / s->period[n] + 1) * s->period[n]) & mask;
}

static bool passed(const Hpet *s, unsigned n)
{
    return ((counter(s) - s->comparator[n]) & width_mask(s, n)) <= width_mask(s, n) / 2;
}

static void fire(Hpet *s, unsigned n)
{
    if (s->timer_config[n] & TIMER_PERIODIC && s->period[n])
        advance(s, n);
    interrupt(s, n);
    arm(s, n);
}

static void fired(void *opaque)
{
    HpetTimer *t = opaque;
    look_at_clock(t->hpet);
    fire(t->hpet, t->n);
}

/* What was due before a register is read or written happens before: armed anew, a comparator that has passed would wait
 * until the counter has gone round. A periodic one that nobody hears goes on without its timer. */
static void catch_up(Hpet *s)
{
    if (!(s->config & CONFIG_ENABLE)) /* nothing is due while the counter stands still */
        return;
    for (unsigned n = 0; n < s->count; n++) {
        if (__atomic_load_n(&s->timers[n].timer.deadline_ns, __ATOMIC_RELAXED) <= s->now)
            fire(s, n);
        else if (unheard(s, n) && s->timer_config[n] & TIMER_PERIODIC && s->period[n] && passed(s, n))
            advance(s, n);
    }
}

static void update_all(Hpet *s)
{
    for (unsigned n = 0; n < s->count; n++) {
        arm(s, n);
        update_line(s, n);
    }
}

/* ---- registers ---- */

static void write_config(Hpet *s, uint64_t value)
{
    uint64_t was = s->config, now_counter = counter(s);
    for (unsigned n = 0; n < s->count; n++) {
        if (s->timer_config[n] & TIMER_LEVEL)
            set_line(s, n, false); /* lines may be others from now on */
    }
    s->config = value & (CONFIG_ENABLE | CONFIG_LEGACY);
    if ((was ^ s->config) & CONFIG_ENABLE) {
        s->counter = now_counter;
        s->offset = now_counter - clocks(s);
    }
    if ((was ^ s->config) & CONFIG_LEGACY) {
        irq_set(&s->legacy, s->config & CONFIG_LEGACY);
        irq_set(&s->irqs[8], !(s->config & CONFIG_LEGACY) && s->rtc_level);
    }
    update_all(s);
}

static void write_timer_config(Hpet *s, unsigned n, uint64_t value)
{
    uint64_t writable = TIMER_WRITABLE & ~(uint64_t)(s->msi ? 0 : TIMER_FSB_ENABLE);
    if (s->timer_config[n] & TIMER_LEVEL)
        set_line(s, n, false);
    s->timer_config[n] = (s->timer_config[n] & ~writable) | (value & writable);
    if (s->timer_config[n] & TIMER_32_MODE) {
        s->comparator[n] &= UINT32_MAX;
        s->period[n] &= UINT32_MAX;
    }
    if (!(s->timer_config[n] & TIMER_LEVEL))
        s->status &= ~(UINT64_C(1) << n);
    update_line(s, n);
    arm(s, n);
}

/* Of a periodic timer, a write is the period; the first after SET_VALUE the comparator, too. If it has fired between
 * that and the write of the period, it went on by too much. If the guest's counter + period has passed when it comes to
 * write it, the host kept it waiting: it need not wait until the counter has gone round. */
static void write_comparator(Hpet *s, unsigned n, uint64_t value, uint64_t lanes)
{
    bool periodic = s->timer_config[n] & TIMER_PERIODIC, sets = s->timer_config[n] & TIMER_SET_VALUE;
    uint64_t mask = width_mask(s, n), before = s->period[n];
    uint32_t bit = 1u << n;
    if (!periodic || sets)
        s->comparator[n] = ((s->comparator[n] & ~lanes) | (value & lanes)) & mask;
    if (periodic)
        s->period[n] = ((s->period[n] & ~lanes) | (value & lanes)) & mask;
    if (periodic && !sets && s->no_period & bit && s->comparator[n] != before && s->period[n]) {
        s->comparator[n] = before;
        advance(s, n);
    }
    s->no_period = periodic && sets ? s->no_period | bit : s->no_period & ~bit;
    s->timer_config[n] &= ~(uint64_t)TIMER_SET_VALUE;
    if (periodic && !sets && s->period[n] && !(mask & ~lanes) && s->config & CONFIG_ENABLE && passed(s, n))
        fire(s, n);
    else
        arm(s, n);
}

static uint64_t read_timer(const Hpet *s, unsigned n, unsigned reg)
{
    switch (reg) {
    case TIMER_CONFIG:
        return s->timer_config[n];
    case TIMER_COMPARATOR:
        return s->comparator[n];
    case TIMER_FSB:
        return s->fsb[n];
    default:
        return 0;
    }
}

static uint64_t read_register(const Hpet *s, unsigned reg)
{
    switch (reg) {
    case REG_ID:
        return PERIOD_FS << 32 | hpet_block_id(s);
    case REG_CONFIG:
        return s->config;
    case REG_STATUS:
        return s->status;
    case REG_COUNTER:
        return counter(s);
    default:
        if (reg < REG_TIMERS || (reg - REG_TIMERS) / TIMER_SIZE >= s->count)
            return 0;
        return read_timer(s, (reg - REG_TIMERS) / TIMER_SIZE, reg % TIMER_SIZE);
    }
}

static void write_timer(Hpet *s, unsigned n, unsigned reg, uint64_t value, uint64_t lanes)
{
    if (reg == TIMER_CONFIG)
        write_timer_config(s, n, (s->timer_config[n] & ~lanes) | (value & lanes));
    else if (reg == TIMER_COMPARATOR)
        write_comparator(s, n, value, lanes);
    else if (reg == TIMER_FSB)
        s->fsb[n] = (s->fsb[n] & ~lanes) | (value & lanes);
}

static void write_register(Hpet *s, unsigned reg, uint64_t value, uint64_t lanes)
{
    switch (reg) {
    case REG_CONFIG:
        write_config(s, (s->config & ~lanes) | (value & lanes));
        break;
    case REG_STATUS:
        s->status &= ~(value & lanes);
        for (unsigned n = 0; n < s->count; n++)
            update_line(s, n);
        break;
    case REG_COUNTER:
        if (s->config & CONFIG_ENABLE)
            guest_error(&s->dev, "the counter is written while it runs");
        s->counter = (counter(s) & ~lanes) | (value & lanes);
        s->offset = s->counter - clocks(s);
        update_all(s);
        break;
    default:
        if (reg >= REG_TIMERS && (reg - REG_TIMERS) / TIMER_SIZE < s->count)
            write_timer(s, (reg - REG_TIMERS) / TIMER_SIZE, reg % TIMER_SIZE, value, lanes);
    }
}

/* Registers are 64 bits; accesses are of these or of a half. */
static uint64_t hpet_read(void *opaque, uint64_t offset, unsigned size)
{
    Hpet *s = opaque;
    if (s->config & CONFIG_ENABLE)
        look_at_clock(s);
    catch_up(s);
    return read_register(s, offset & ~7u) >> (offset & 4) * 8;
}

static void hpet_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    unsigned shift = (offset & 4) * 8;
    uint64_t lanes = size == 8 ? UINT64_MAX : (uint64_t)UINT32_MAX << shift;
    look_at_clock(opaque);
    catch_up(opaque);
    write_register(opaque, offset & ~7u, value << shift, lanes);
}

static const MemOps hpet_ops = { .read = hpet_read, .write = hpet_write, .min_size = 4, .max_size = 8 };

uint32_t hpet_block_id(const Hpet *hpet)
{
    return ID_LOW | (uint32_t)(hpet->count - 1) << 8;
}

static void rtc_set(void *opaque, int n, bool level)
{
    Hpet *s = opaque;
    s->rtc_level = level;
    if (!(s->config & CONFIG_LEGACY))
        irq_set(&s->irqs[8], level);
}

Irq hpet_rtc_input(Hpet *hpet)
{
    return (Irq){ rtc_set, hpet, 0 };
}

/* ---- life cycle ---- */

static bool realize(Device *dev, GError **err)
{
    Hpet *s = (Hpet *)dev;
    if (s->count < 3 || s->count > HPET_MAX_TIMERS)
        return error_set(err, "timers=%u: 3 to %u are possible", s->count, HPET_MAX_TIMERS);
    for (unsigned n = 0; n < s->count; n++) {
        s->timers[n].hpet = s;
        s->timers[n].n = n;
        timer_init(&s->timers[n].timer, dev->machine->clocks, CLOCK_VIRTUAL_NS, fired, &s->timers[n]);
    }
    mem_io_init(&s->mmio, dev->machine, "hpet", HPET_SIZE, &hpet_ops, s);
    return true;
}

static void unrealize(Device *dev)
{
    Hpet *s = (Hpet *)dev;
    for (unsigned n = 0; n < s->count; n++)
        timer_cancel(&s->timers[n].timer);
}

static void reset(Device *dev)
{
    Hpet *s = (Hpet *)dev;
    look_at_clock(s);
    write_config(s, 0);
    s->status = s->counter = s->offset = 0;
    for (unsigned n = 0; n < s->count; n++) {
        s->timer_config[n] = TIMER_CAN_PERIODIC | TIMER_64 | (s->msi ? TIMER_CAN_FSB : 0) | (uint64_t)s->intcap << 32;
        s->comparator[n] = UINT64_MAX;
        s->period[n] = s->fsb[n] = 0;
    }
    s->no_period = 0;
    update_all(s);
}

static void post_load(Device *dev)
{
    Hpet *s = (Hpet *)dev;
    look_at_clock(s);
    irq_set(&s->legacy, s->config & CONFIG_LEGACY);
    update_all(s);
}

static const Prop props[] = {
    PROP(Hpet, U8, "timers", count, .fallback = "3", .help = "comparators, 3 to 32"),
    PROP(Hpet, BOOL, "msi", msi, .help = "timers can send messages"),
    PROP(Hpet, U32, "hpet-intcap", intcap, .fallback = "4", .help = "mask of the I/O APIC's pins that timers can use"),
    PROP_END,
};
static const StateField state[] = { STATE(Hpet, config),
                                    STATE(Hpet, status),
                                    STATE(Hpet, counter),
                                    STATE(Hpet, offset),
                                    STATE_ARRAY(Hpet, timer_config),
                                    STATE_ARRAY(Hpet, comparator),
                                    STATE_ARRAY(Hpet, period),
                                    STATE_ARRAY(Hpet, fsb),
                                    STATE(Hpet, no_period),
                                    STATE(Hpet, rtc_level),
                                    STATE_SKIP(Hpet, now, "time of an access"),
                                    STATE_SKIP(Hpet, timers, "follow from the comparators"),
                                    STATE_SKIP(Hpet, mmio, "wiring"),
                                    STATE_SKIP(Hpet, irqs, "wiring"),
                                    STATE_SKIP(Hpet, legacy, "wiring"),
                                    STATE_END };

const DeviceType hpet_type = {
    .name = "hpet",
    .desc = "high precision event timer",
    .category = "misc",
    .size = sizeof(Hpet),
    .props = props,
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .post_load = post_load,
};
