/*
 * Local APIC, xAPIC and x2APIC (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3, chapter 11,
 * "Advanced Programmable Interrupt Controller"): registers, priorities, local vector table, timer. Messages between
 * APICs are in apic_hub.c.
 *
 * One lock per APIC guards its registers; it is never held while another APIC, the 8259 or the I/O APIC is called,
 * which hold their own locks when they call us.
 * SPDX-License-Identifier: MIT
 */
#include "hw/intc/apic.h"

/* Register numbers: offset >> 4 in memory, MSR - 0x800. */
enum {
    REG_ID = 0x02,
    REG_VERSION = 0x03,
    REG_TPR = 0x08,
    REG_APR = 0x09,
    REG_PPR = 0x0a,
    REG_EOI = 0x0b,
    REG_LDR = 0x0d,
    REG_DFR = 0x0e,
    REG_SVR = 0x0f,
    REG_ISR = 0x10,
    REG_TMR = 0x18,
    REG_IRR = 0x20,
    REG_ESR = 0x28,
    REG_ICR = 0x30,
    REG_ICR_HIGH = 0x31,
    REG_LVT = 0x32,
    REG_INITIAL = 0x38,
    REG_CURRENT = 0x39,
    REG_DIVIDE = 0x3e,
    REG_SELF_IPI = 0x3f
};
enum { MSR_APIC_BASE = 0x1b, MSR_TSC_DEADLINE = 0x6e0, MSR_X2APIC = 0x800, MSR_X2APIC_LAST = 0x8ff };
enum { BASE_BSP = 0x100, BASE_EXTD = 0x400, BASE_ENABLE = 0x800 };
enum { SVR_ENABLE = 0x100, SVR_WRITABLE = 0x3ff, SVR_NO_BROADCAST = 0x1000 };
enum { LVT_MASKED = 0x10000, LVT_LEVEL = 0x8000, LVT_MODE_SHIFT = 17, LVT_RESET_BOOT = 0x700 };
enum { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_DEADLINE };
enum { ESR_SEND_VECTOR = 0x20, ESR_RECEIVED_VECTOR = 0x40, ESR_REGISTER = 0x80 };
enum { ICR_WRITABLE = 0xccfff, ICR_STATUS = 0x1000, FIRST_VECTOR = 16 };
#define VERSION     (0x14u | (APIC_LVTS - 1) << 16)
#define BASE_RSVD   (~UINT64_C(0xffffffffff000) & ~(uint64_t)(BASE_BSP | BASE_EXTD | BASE_ENABLE))
#define INTERVAL_NS 20000 /* periodic interrupts are at least this far apart */
#define SECOND      INT64_C(1000000000)

static const uint32_t lvt_writable[APIC_LVTS] = { 0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff };

/* apic_hub.c reads base, id, ldr and dfr without the lock. */
#define PUBLISH(member, value) __atomic_store_n(&(member), value, __ATOMIC_RELAXED)

/* ---- bit vectors of 256 ---- */

static bool test_bit(const uint32_t *bits, unsigned n)
{
    return bits[n / 32] >> n % 32 & 1;
}

static void put_bit(uint32_t *bits, unsigned n, bool on)
{
    bits[n / 32] = (bits[n / 32] & ~(1u << n % 32)) | (uint32_t)on << n % 32;
}

static int highest(const uint32_t *bits)
{
    for (int i = 7; i >= 0; i--) {
        if (bits[i])
            return i * 32 + 31 - __builtin_clz(bits[i]);
    }
    return -1;
}

/* ---- priorities; under the lock ---- */

static bool x2apic(const Apic *a)
{
    return a->base & BASE_EXTD;
}

static bool software_enabled(const Apic *a)
{
    return a->base & BASE_ENABLE && a->svr & SVR_ENABLE;
}

static uint32_t processor_priority(const Apic *a)
{
    uint32_t service = MAX(highest(a->isr), 0) & 0xf0;
    return (a->tpr & 0xf0) >= service ? a->tpr : service;
}

/* The vector that the processor may take, or -1. */
static int deliverable(const Apic *a)
{
    int vector = software_enabled(a) ? highest(a->irr) : -1;
    return vector >= 0 && (uint32_t)(vector & 0xf0) > (processor_priority(a) & 0xf0) ? vector : -1;
}

/* The 8259 reaches the processor through LINT0 in ExtINT mode, or directly while there is no APIC. */
static bool takes_extint(const Apic *a)
{
    uint32_t lvt = a->lvt[APIC_LVT_LINT0];
    if (!(a->base & BASE_ENABLE))
        return a->bootstrap;
    return !(lvt & LVT_MASKED) && (lvt >> 8 & 7) == APIC_EXTINT;
}

static bool extint_pending(const Apic *a)
{
    return takes_extint(a) && __atomic_load_n(&a->hub->extint, __ATOMIC_SEQ_CST);
}

static void update(Apic *a)
{
    bool intr = deliverable(a) >= 0 || extint_pending(a);
    if (intr == a->intr)
        return;
    a->intr = intr;
    a->ops->set_intr(a->cpu, intr);
}

static void raise_error(Apic *a, uint32_t error);

static void accept(Apic *a, uint8_t vector, bool level)
{
    if (!software_enabled(a))
        return;
    if (vector < FIRST_VECTOR) {
        raise_error(a, ESR_RECEIVED_VECTOR);
        return;
    }
    put_bit(a->irr, vector, true);
    put_bit(a->tmr, vector, level);
    update(a);
}

/* ---- local vector table ---- */

static void local_event(Apic *a, unsigned n)
{
    uint32_t lvt = a->lvt[n];
    if (lvt & LVT_MASKED)
        return;
    switch (n == APIC_LVT_TIMER || n == APIC_LVT_ERROR ? APIC_FIXED : lvt >> 8 & 7) {
    case APIC_FIXED:
        accept(a, lvt, n == APIC_LVT_LINT0 && lvt & LVT_LEVEL);
        break;
    case APIC_NMI:
        a->ops->nmi(a->cpu);
        break;
    case APIC_SMI:
        a->ops->smi(a->cpu);
        break;
    case APIC_INIT:
        a->ops->init(a->cpu);
        break;
    }
}

/* Errors are seen by software when it has written to ESR. */
static void raise_error(Apic *a, uint32_t error)
{
    bool again = a->esr_shadow & error;
    a->esr_shadow |= error;
    if (!again && (a->lvt[APIC_LVT_ERROR] & 0xff) >= FIRST_VECTOR)
        local_event(a, APIC_LVT_ERROR);
}

/* ---- timer ---- */

static int64_t now(const Apic *a)
{
    return clock_now(a->dev.machine->clocks, CLOCK_VIRTUAL_NS);
}

static unsigned timer_mode(const Apic *a)
{
    return a->lvt[APIC_LVT_TIMER] >> LVT_MODE_SHIFT & 3;
}

static unsigned divide_shift(const Apic *a)
{
    return ((a->divide & 3) + (a->divide >> 1 & 4) + 1) & 7;
}

static uint64_t timer_elapsed(const Apic *a)
{
    int64_t ns = now(a) - a->timer_start;
    return ns < 0 ? 0 : (uint64_t)ns / APIC_PERIOD_NS >> divide_shift(a);
}

static uint32_t current_count(const Apic *a)
{
    uint64_t elapsed = timer_elapsed(a);
    if (!a->initial_count || timer_mode(a) == TIMER_DEADLINE)
        return 0;
    if (timer_mode(a) == TIMER_PERIODIC)
        return a->initial_count - elapsed % a->initial_count;
    return elapsed < a->initial_count ? a->initial_count - elapsed : 0;
}

static int64_t deadline_at(const Apic *a, int64_t t)
{
    uint64_t tsc = a->ops->tsc(a->cpu), hz = MAX(a->ops->tsc_frequency(a->cpu), 1);
    if (a->deadline <= tsc)
        return t;
    unsigned __int128 ns = (unsigned __int128)(a->deadline - tsc) * SECOND / hz;
    return ns > INT64_MAX / 2 ? TIMER_NEVER : t + (int64_t)ns + 1;
}

/* At time t, with what was due by then done: a one-shot count that has ended has interrupted. So t has to be the
 * caller's one look at the clock, for time passes between two, if the host is busy much. */
static void arm(Apic *a, int64_t t)
{
    uint64_t period = (uint64_t)a->initial_count << divide_shift(a) * APIC_PERIOD_NS;
    uint64_t elapsed = MAX(t - a->timer_start, 0);
    int64_t at = TIMER_NEVER;
    if (a->lvt[APIC_LVT_TIMER] & LVT_MASKED)
        at = TIMER_NEVER;
    else if (timer_mode(a) == TIMER_DEADLINE)
        at = a->deadline ? deadline_at(a, t) : TIMER_NEVER;
    else if (period && timer_mode(a) == TIMER_PERIODIC)
        at = MAX(a->timer_start + (int64_t)((elapsed / period + 1) * period), t + INTERVAL_NS);
    else if (period && elapsed < period)
        at = a->timer_start + (int64_t)period;
    timer_set(&a->timer, at);
}

static void expire(Apic *a, int64_t t)
{
    bool early = timer_mode(a) == TIMER_DEADLINE && a->deadline > a->ops->tsc(a->cpu);
    bool off = timer_mode(a) == TIMER_DEADLINE && !a->deadline; /* taken back just now */
    if (!early && !off) {
        if (timer_mode(a) == TIMER_DEADLINE)
            a->deadline = 0;
        local_event(a, APIC_LVT_TIMER);
    }
    arm(a, t);
}

static void timer_fired(void *opaque)
{
    Apic *a = opaque;
    g_mutex_lock(&a->lock);
    expire(a, now(a));
    g_mutex_unlock(&a->lock);
}

/* Before a register of the timer is written: what was due by then is not lost by arming it anew, for the time returned.
 */
static int64_t catch_up(Apic *a)
{
    int64_t t = now(a);
    if (__atomic_load_n(&a->timer.deadline_ns, __ATOMIC_RELAXED) <= t)
        expire(a, t);
    return t;
}

static void write_lvt(Apic *a, unsigned n, uint32_t value)
{
    unsigned mode = timer_mode(a);
    int64_t t = n == APIC_LVT_TIMER ? catch_up(a) : 0;
    a->lvt[n] = value & lvt_writable[n];
    if (!software_enabled(a))
        a->lvt[n] |= LVT_MASKED;
    if (n == APIC_LVT_TIMER) {
        if (mode != timer_mode(a) && (mode == TIMER_DEADLINE || timer_mode(a) == TIMER_DEADLINE)) {
            a->deadline = 0;
            a->initial_count = 0;
        }
        arm(a, t);
    }
}

static void write_svr(Apic *a, uint32_t value)
{
    a->svr = value & SVR_WRITABLE;
    if (!(value & SVR_ENABLE)) {
        for (unsigned n = 0; n < APIC_LVTS; n++)
            a->lvt[n] |= LVT_MASKED;
        arm(a, now(a));
    }
}

/* ---- registers of memory and MSRs alike ---- */

static bool is_lvt(unsigned reg)
{
    return reg >= REG_LVT && reg < REG_LVT + APIC_LVTS;
}

/* False: there is no such register. */
static bool read_register(Apic *a, unsigned reg, uint32_t *value)
{
    if (reg >= REG_ISR && reg < REG_IRR + 8) {
        const uint32_t *bits = reg < REG_TMR ? a->isr : reg < REG_IRR ? a->tmr : a->irr;
        *value = bits[reg & 7];
        return true;
    }
    if (is_lvt(reg)) {
        *value = a->lvt[reg - REG_LVT];
        return true;
    }
    const struct {
        uint8_t reg;
        uint32_t value;
    } table[] = { { REG_ID, x2apic(a) ? a->id : a->id << 24 },
                  { REG_VERSION, VERSION },
                  { REG_TPR, a->tpr },
                  { REG_APR, x2apic(a) ? 0 : processor_priority(a) },
                  { REG_PPR, processor_priority(a) },
                  { REG_LDR, a->ldr },
                  { REG_DFR, a->dfr },
                  { REG_SVR, a->svr },
                  { REG_ESR, a->esr },
                  { REG_ICR, a->icr_low },
                  { REG_ICR_HIGH, a->icr_high },
                  { REG_INITIAL, a->initial_count },
                  { REG_CURRENT, current_count(a) },
                  { REG_DIVIDE, a->divide } };
    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        if (table[i].reg == reg) {
            *value = table[i].value;
            return true;
        }
    }
    return false;
}

/* What has to be done when the lock is free again. */
typedef struct After {
    int eoi;   /* vector whose end the I/O APICs are told, or -1 */
    bool send; /* ICR was written */
} After;

static int end_of_interrupt(Apic *a)
{
    int vector = highest(a->isr);
    if (vector < 0)
        return -1;
    put_bit(a->isr, vector, false);
    return test_bit(a->tmr, vector) ? vector : -1;
}

/* False: there is no such register that can be written. */
static bool write_register(Apic *a, unsigned reg, uint32_t value, After *after)
{
    int64_t t;
    if (is_lvt(reg)) {
        write_lvt(a, reg - REG_LVT, value);
        update(a);
        return true;
    }
    switch (reg) {
    case REG_TPR:
        a->tpr = value & 0xff;
        break;
    case REG_EOI:
        after->eoi = end_of_interrupt(a);
        break;
    case REG_LDR:
        PUBLISH(a->ldr, value & 0xff000000);
        break;
    case REG_DFR:
        PUBLISH(a->dfr, value | 0x0fffffff);
        break;
    case REG_SVR:
        write_svr(a, value);
        break;
    case REG_ESR:
        a->esr = a->esr_shadow;
        a->esr_shadow = 0;
        break;
    case REG_ICR:
        a->icr_low = value & ICR_WRITABLE & ~ICR_STATUS;
        after->send = true;
        break;
    case REG_ICR_HIGH:
        a->icr_high = value & 0xff000000;
        break;
    case REG_INITIAL:
        t = catch_up(a);
        if (timer_mode(a) != TIMER_DEADLINE) {
            a->initial_count = value;
            a->timer_start = t;
            arm(a, t);
        }
        break;
    case REG_DIVIDE:
        t = catch_up(a);
        a->divide = value & 0xb;
        arm(a, t);
        break;
    default:
        return false;
    }
    update(a);
    return true;
}

static void finish(Apic *a, After after, uint32_t icr_low, uint32_t dest)
{
    if (after.eoi >= 0 && a->hub->eoi)
        a->hub->eoi(a->hub->eoi_opaque, after.eoi);
    if (after.send)
        apic_send(a, icr_low, dest);
}

/* ---- registers in memory ---- */

static bool in_memory(const Apic *a)
{
    return (a->base & (BASE_ENABLE | BASE_EXTD)) == BASE_ENABLE;
}

uint32_t apic_mmio_read(Apic *a, unsigned offset)
{
    uint32_t value = 0;
    g_mutex_lock(&a->lock);
    if (!in_memory(a))
        value = UINT32_MAX;
    else if (offset & 15)
        value = 0;
    else if (!read_register(a, offset >> 4, &value) && offset >> 4 != REG_EOI)
        raise_error(a, ESR_REGISTER);
    g_mutex_unlock(&a->lock);
    return value;
}

void apic_mmio_write(Apic *a, unsigned offset, uint32_t value)
{
    After after = { .eoi = -1 };
    g_mutex_lock(&a->lock);
    unsigned reg = offset >> 4;
    if (in_memory(a) && !(offset & 15) && reg != REG_ID && reg != REG_VERSION && !write_register(a, reg, value, &after))
        raise_error(a, ESR_REGISTER);
    uint32_t icr_low = a->icr_low, dest = a->icr_high >> 24;
    g_mutex_unlock(&a->lock);
    finish(a, after, icr_low, dest);
}

/* ---- MSRs ---- */

static void enter_x2apic(Apic *a)
{
    PUBLISH(a->id, a->initial_id);
    PUBLISH(a->ldr, (a->id >> 4) << 16 | 1u << (a->id & 15));
    a->icr_high = 0;
}

/* All but IA32_APIC_BASE as after power-up. */
static void reset_registers(Apic *a)
{
    a->svr = 0xff;
    PUBLISH(a->dfr, UINT32_MAX);
    PUBLISH(a->ldr, 0);
    a->tpr = a->esr = a->esr_shadow = a->icr_low = a->icr_high = a->initial_count = a->divide = 0;
    a->deadline = 0;
    a->timer_start = 0;
    PUBLISH(a->id, a->initial_id & 0xff);
    for (unsigned i = 0; i < 8; i++)
        a->irr[i] = a->isr[i] = a->tmr[i] = 0;
    for (unsigned n = 0; n < APIC_LVTS; n++)
        a->lvt[n] = LVT_MASKED;
    if (x2apic(a))
        enter_x2apic(a);
    arm(a, 0);
}

/* Disabled, xAPIC and x2APIC follow each other in this order only; x2APIC goes to disabled. */
static bool write_base(Apic *a, uint64_t value)
{
    unsigned was = a->base & (BASE_ENABLE | BASE_EXTD), is = value & (BASE_ENABLE | BASE_EXTD);
    if (value & BASE_RSVD || is == BASE_EXTD || (is & BASE_EXTD && !a->has_x2apic))
        return false;
    if ((was & BASE_EXTD && is == BASE_ENABLE) || (!was && is & BASE_EXTD))
        return false;
    if (value >> 12 != APIC_BASE >> 12)
        guest_error(&a->dev, "IA32_APIC_BASE 0x%" G_GINT64_MODIFIER "x: the registers stay at 0xfee00000", value);
    PUBLISH(a->base, value);
    if (is & BASE_EXTD && !(was & BASE_EXTD))
        enter_x2apic(a);
    if (!is && was)
        reset_registers(a);
    update(a);
    return true;
}

static bool write_deadline(Apic *a, uint64_t value)
{
    if (!a->has_deadline)
        return false;
    int64_t t = catch_up(a);
    if (timer_mode(a) == TIMER_DEADLINE) {
        a->deadline = value;
        arm(a, t);
    }
    return true;
}

static bool read_x2apic(Apic *a, unsigned reg, uint64_t *value)
{
    uint32_t low;
    if (!x2apic(a) || reg == REG_DFR || reg == REG_ICR_HIGH || reg == REG_APR || !read_register(a, reg, &low))
        return false;
    *value = reg == REG_ICR ? (uint64_t)a->icr_high << 32 | low : low;
    return true;
}

/* Bits that may be set in a write, by register; all others are reserved. */
static uint64_t x2apic_bits(unsigned reg)
{
    if (is_lvt(reg))
        return lvt_writable[reg - REG_LVT];
    switch (reg) {
    case REG_TPR:
    case REG_SELF_IPI:
        return 0xff;
    case REG_EOI:
    case REG_ESR:
        return 0;
    case REG_SVR:
        return SVR_WRITABLE;
    case REG_ICR:
        return UINT64_C(0xffffffff00000000) | (ICR_WRITABLE & ~ICR_STATUS);
    case REG_DIVIDE:
        return 0xb;
    default:
        return UINT32_MAX;
    }
}

static bool write_x2apic(Apic *a, unsigned reg, uint64_t value, After *after)
{
    static const uint8_t not_there[] = { REG_LDR, REG_DFR, REG_ICR_HIGH };
    for (unsigned i = 0; i < sizeof(not_there); i++) {
        if (reg == not_there[i])
            return false;
    }
    if (!x2apic(a) || value & ~x2apic_bits(reg))
        return false;
    if (reg == REG_SELF_IPI) {
        accept(a, value, false);
        return true;
    }
    if (reg == REG_ICR)
        a->icr_high = value >> 32;
    return write_register(a, reg, value, after);
}

bool apic_read_msr(void *apic, uint32_t index, uint64_t *value)
{
    Apic *a = apic;
    bool ok = true;
    g_mutex_lock(&a->lock);
    if (index == MSR_APIC_BASE) {
        *value = a->base;
    } else if (index == MSR_TSC_DEADLINE) {
        ok = a->has_deadline;
        *value = a->deadline;
    } else {
        ok = index >= MSR_X2APIC && index <= MSR_X2APIC_LAST && read_x2apic(a, index - MSR_X2APIC, value);
    }
    g_mutex_unlock(&a->lock);
    return ok;
}

bool apic_write_msr(void *apic, uint32_t index, uint64_t value)
{
    Apic *a = apic;
    After after = { .eoi = -1 };
    bool ok;
    g_mutex_lock(&a->lock);
    if (index == MSR_APIC_BASE)
        ok = write_base(a, value);
    else if (index == MSR_TSC_DEADLINE)
        ok = write_deadline(a, value);
    else
        ok = index >= MSR_X2APIC && index <= MSR_X2APIC_LAST && write_x2apic(a, index - MSR_X2APIC, value, &after);
    uint32_t icr_low = a->icr_low, dest = a->icr_high;
    g_mutex_unlock(&a->lock);
    finish(a, after, icr_low, dest);
    return ok;
}

/* ---- what the processor and the hub ask ---- */

int apic_acknowledge(void *apic)
{
    Apic *a = apic;
    g_mutex_lock(&a->lock);
    int vector = deliverable(a);
    bool extint = vector < 0 && extint_pending(a);
    if (vector >= 0) {
        put_bit(a->irr, vector, false);
        put_bit(a->isr, vector, true);
        update(a);
    }
    g_mutex_unlock(&a->lock);
    return extint && a->hub->pic_acknowledge ? a->hub->pic_acknowledge(a->hub->pic) : vector;
}

uint8_t apic_get_tpr(void *apic)
{
    return __atomic_load_n(&((Apic *)apic)->tpr, __ATOMIC_RELAXED);
}

void apic_set_tpr(void *apic, uint8_t value)
{
    Apic *a = apic;
    g_mutex_lock(&a->lock);
    a->tpr = value;
    update(a);
    g_mutex_unlock(&a->lock);
}

void apic_init(void *apic)
{
    Apic *a = apic;
    g_mutex_lock(&a->lock);
    reset_registers(a);
    update(a);
    g_mutex_unlock(&a->lock);
}

void apic_accept(Apic *a, uint8_t vector, bool level)
{
    g_mutex_lock(&a->lock);
    accept(a, vector, level);
    g_mutex_unlock(&a->lock);
}

void apic_local_input(Apic *a, unsigned lvt, bool rises)
{
    g_mutex_lock(&a->lock);
    if (rises && a->base & BASE_ENABLE)
        local_event(a, lvt);
    update(a);
    g_mutex_unlock(&a->lock);
}

void apic_send_error(Apic *a)
{
    g_mutex_lock(&a->lock);
    raise_error(a, ESR_SEND_VECTOR);
    g_mutex_unlock(&a->lock);
}

int apic_arbitration_priority(Apic *a)
{
    g_mutex_lock(&a->lock);
    int priority =
        software_enabled(a) ? (int)MAX(processor_priority(a) & 0xf0, (uint32_t)MAX(highest(a->irr), 0) & 0xf0) : -1;
    g_mutex_unlock(&a->lock);
    return priority;
}

/* ---- life cycle ---- */

Apic *apic_new(ApicHub *hub, uint32_t apic_id, const ApicCpuOps *ops, void *cpu, GError **err)
{
    Device *dev = device_new(hub->dev.machine, &apic_type);
    Apic *a = (Apic *)dev;
    a->hub = hub;
    a->ops = ops;
    a->cpu = cpu;
    a->initial_id = apic_id;
    a->bootstrap = !hub->apics->len;
    a->has_x2apic = a->has_deadline = true;
    if (!device_realize(dev, NULL, err)) {
        device_free(dev);
        return NULL;
    }
    device_reset(dev);
    return a;
}

static bool realize(Device *dev, GError **err)
{
    Apic *a = (Apic *)dev;
    g_mutex_init(&a->lock);
    timer_init(&a->timer, dev->machine->clocks, CLOCK_VIRTUAL_NS, timer_fired, a);
    g_ptr_array_add(a->hub->apics, a);
    return true;
}

static void unrealize(Device *dev)
{
    Apic *a = (Apic *)dev;
    g_ptr_array_remove(a->hub->apics, a);
    timer_cancel(&a->timer);
    g_mutex_clear(&a->lock);
}

static void reset(Device *dev)
{
    Apic *a = (Apic *)dev;
    g_mutex_lock(&a->lock);
    PUBLISH(a->base, APIC_BASE | BASE_ENABLE | (a->bootstrap ? BASE_BSP : 0));
    reset_registers(a);
    if (a->bootstrap)
        a->lvt[APIC_LVT_LINT0] = LVT_RESET_BOOT; /* as firmware leaves it: ExtINT, so that the 8259 works at once */
    update(a);
    g_mutex_unlock(&a->lock);
}

static void post_load(Device *dev)
{
    Apic *a = (Apic *)dev;
    g_mutex_lock(&a->lock);
    a->timer_start = CLAMP(a->timer_start, 0, INT64_MAX / 2);
    a->intr = false;
    a->ops->set_intr(a->cpu, false);
    update(a);
    g_mutex_unlock(&a->lock);
}

static const StateField state[] = { STATE(Apic, base),
                                    STATE(Apic, id),
                                    STATE(Apic, ldr),
                                    STATE(Apic, dfr),
                                    STATE(Apic, svr),
                                    STATE(Apic, tpr),
                                    STATE(Apic, esr),
                                    STATE(Apic, esr_shadow),
                                    STATE_ARRAY(Apic, irr),
                                    STATE_ARRAY(Apic, isr),
                                    STATE_ARRAY(Apic, tmr),
                                    STATE_ARRAY(Apic, lvt),
                                    STATE(Apic, icr_low),
                                    STATE(Apic, icr_high),
                                    STATE(Apic, initial_count),
                                    STATE(Apic, divide),
                                    STATE(Apic, deadline),
                                    STATE(Apic, timer_start),
                                    STATE_TIMER(Apic, timer),
                                    STATE_SKIP(Apic, intr, "follows from the registers"),
                                    STATE_SKIP(Apic, hub, "wiring"),
                                    STATE_SKIP(Apic, ops, "wiring"),
                                    STATE_SKIP(Apic, cpu, "wiring"),
                                    STATE_SKIP(Apic, initial_id, "fixed at creation"),
                                    STATE_SKIP(Apic, bootstrap, "fixed at creation"),
                                    STATE_SKIP(Apic, has_x2apic, "fixed at creation"),
                                    STATE_SKIP(Apic, has_deadline, "fixed at creation"),
                                    STATE_SKIP(Apic, lock, "no state"),
                                    STATE_END };

const DeviceType apic_type = {
    .name = "apic",
    .desc = "local APIC (xAPIC and x2APIC)",
    .category = "misc",
    .size = sizeof(Apic),
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .post_load = post_load,
};
