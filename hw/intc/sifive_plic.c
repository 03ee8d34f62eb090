/*
 * PLIC (RISC-V Platform-Level Interrupt Controller Specification 1.0.0). Sources are level-triggered through gateways:
 * a source becomes pending when its level is high and no claim is out, and stays so until a claim, whatever its level
 * does. The threshold masks a context's interrupt line, not its claims.
 *
 * It has a lock of its own: interrupts come from the threads of disks too.
 * SPDX-License-Identifier: MIT
 */
#include "hw/intc/sifive_plic.h"
#include <string.h>

enum {
    PRIORITY = 0,
    PENDING = 0x1000,
    ENABLE = 0x2000,
    ENABLE_STRIDE = 0x80,
    CONTEXT = 0x200000,
    CONTEXT_STRIDE = 0x1000,
    MAX_PRIORITY = 7
};

static bool bit(const uint32_t *words, unsigned n)
{
    return words[n / 32] >> (n % 32) & 1;
}
static void set_bit(uint32_t *words, unsigned n, bool on)
{
    words[n / 32] = (words[n / 32] & ~(1u << n % 32)) | (uint32_t)on << n % 32;
}

/* ---- what contexts see ---- */

/* Does source a come before b? Source 0 has priority 0: it comes before no source, and others of priority 0 not before
 * it. */
static bool before(const SifivePlic *s, unsigned a, unsigned b)
{
    return s->priority[a] > s->priority[b] || (s->priority[a] && s->priority[a] == s->priority[b] && a < b);
}

/* The pending source of the highest priority; the lowest number wins among equals. 0: none. */
static unsigned find_best(const SifivePlic *s, unsigned context)
{
    unsigned found = 0;
    for (unsigned w = 0; w < PLIC_SOURCES / 32; w++) {
        for (uint32_t m = s->pending[w] & s->enable[context][w]; m; m &= m - 1) {
            unsigned n = w * 32 + __builtin_ctz(m);
            if (before(s, n, found))
                found = n;
        }
    }
    return found;
}

/* best or threshold has changed. */
static void drive(SifivePlic *s, unsigned context)
{
    bool level = s->priority[s->best[context]] > s->threshold[context];
    if (level == s->raised[context])
        return;
    s->raised[context] = level;
    irq_set(&s->irq[context], level);
}

static void update_context(SifivePlic *s, unsigned context)
{
    s->best[context] = find_best(s, context);
    drive(s, context);
}

typedef enum { SOURCE_PENDING, SOURCE_CLAIMED, SOURCE_PRIORITY } SourceChange;

/* Something about one source has changed: only contexts that have it enabled are concerned. */
static void update_users(SifivePlic *s, unsigned source, SourceChange change)
{
    for (unsigned w = 0; w < PLIC_CONTEXTS / 64; w++) {
        for (uint64_t m = s->users[source][w]; m; m &= m - 1) {
            unsigned c = w * 64 + __builtin_ctzll(m);
            if (change == SOURCE_PENDING && before(s, source, s->best[c])) {
                s->best[c] = source;
                drive(s, c);
            } else if (change == SOURCE_PRIORITY || (change == SOURCE_CLAIMED && s->best[c] == source)) {
                update_context(s, c);
            }
        }
    }
}

/* Bits of users from one word of enables that had been old. */
static void update_enable(SifivePlic *s, unsigned context, unsigned word, uint32_t old)
{
    for (uint32_t m = s->enable[context][word] ^ old; m; m &= m - 1)
        s->users[word * 32 + __builtin_ctz(m)][context / 64] ^= UINT64_C(1) << context % 64;
}

/* All that follows, anew. Lines are driven whatever they were. */
static void update_all(SifivePlic *s)
{
    memset(s->users, 0, sizeof(s->users));
    for (unsigned c = 0; c < s->contexts; c++) {
        for (unsigned w = 0; w < PLIC_SOURCES / 32; w++)
            update_enable(s, c, w, 0);
        s->best[c] = find_best(s, c);
        s->raised[c] = s->priority[s->best[c]] > s->threshold[c];
        irq_set(&s->irq[c], s->raised[c]);
    }
}

/* ---- sources ---- */

static void gateway(SifivePlic *s, unsigned source)
{
    if (!bit(s->level, source) || bit(s->claimed, source) || bit(s->pending, source))
        return;
    set_bit(s->pending, source, true);
    s->counts[source]++;
    update_users(s, source, SOURCE_PENDING);
}

void sifive_plic_set(void *opaque, int source, bool level)
{
    SifivePlic *s = opaque;
    g_mutex_lock(&s->lock);
    set_bit(s->level, source, level);
    gateway(s, source);
    g_mutex_unlock(&s->lock);
}

static uint32_t claim(SifivePlic *s, unsigned context)
{
    unsigned source = s->best[context];
    if (source) { /* whatever the threshold is: contexts may poll */
        set_bit(s->pending, source, false);
        set_bit(s->claimed, source, true);
        update_users(s, source, SOURCE_CLAIMED);
    }
    return source;
}

static void complete(SifivePlic *s, unsigned context, uint64_t source)
{
    if (source >= PLIC_SOURCES || !bit(s->enable[context], source))
        return;
    set_bit(s->claimed, source, false);
    gateway(s, source);
}

static uint64_t register_read(SifivePlic *s, uint64_t offset)
{
    if (offset < PENDING && offset / 4 < PLIC_SOURCES)
        return s->priority[offset / 4];
    if (offset >= PENDING && offset < PENDING + PLIC_SOURCES / 8)
        return s->pending[(offset - PENDING) / 4];
    if (offset >= CONTEXT) {
        unsigned context = (offset - CONTEXT) / CONTEXT_STRIDE, reg = offset & (CONTEXT_STRIDE - 1);
        if (context < s->contexts && reg == 0)
            return s->threshold[context];
        if (context < s->contexts && reg == 4)
            return claim(s, context);
    } else if (offset >= ENABLE) {
        unsigned context = (offset - ENABLE) / ENABLE_STRIDE, word = (offset & (ENABLE_STRIDE - 1)) / 4;
        if (context < s->contexts && word < PLIC_SOURCES / 32)
            return s->enable[context][word];
        if (context < s->contexts)
            return 0; /* sources that are not there */
    } else if (offset < ENABLE) {
        return 0;
    }
    guest_error(&s->dev, "read at 0x%x: no register", (unsigned)offset);
    return 0;
}

static void write_priority(SifivePlic *s, unsigned source, uint64_t value)
{
    s->priority[source] = source ? value & MAX_PRIORITY : 0;
    if (bit(s->pending, source))
        update_users(s, source, SOURCE_PRIORITY);
}

static void write_enable(SifivePlic *s, unsigned context, unsigned word, uint32_t value)
{
    uint32_t old = s->enable[context][word];
    s->enable[context][word] = word ? value : value & ~1u; /* source 0 is not there */
    update_enable(s, context, word, old);
    if ((old ^ value) & s->pending[word])
        update_context(s, context);
}

static void write_context(SifivePlic *s, unsigned context, unsigned reg, uint64_t value)
{
    if (context < s->contexts && reg == 0) {
        s->threshold[context] = value & MAX_PRIORITY;
        drive(s, context);
    } else if (context < s->contexts && reg == 4) {
        complete(s, context, value);
    } else {
        guest_error(&s->dev, "write to context %u at 0x%x: no register", context, reg);
    }
}

static void register_write(SifivePlic *s, uint64_t offset, uint64_t value)
{
    if (offset < PENDING && offset / 4 < PLIC_SOURCES) {
        write_priority(s, offset / 4, value);
    } else if (offset >= CONTEXT) {
        write_context(s, (offset - CONTEXT) / CONTEXT_STRIDE, offset & (CONTEXT_STRIDE - 1), value);
    } else if (offset >= ENABLE) {
        unsigned context = (offset - ENABLE) / ENABLE_STRIDE, word = (offset & (ENABLE_STRIDE - 1)) / 4;
        if (context < s->contexts && word < PLIC_SOURCES / 32)
            write_enable(s, context, word, value);
    }
}

static uint64_t plic_read(void *opaque, uint64_t offset, unsigned size)
{
    SifivePlic *s = opaque;
    g_mutex_lock(&s->lock);
    uint64_t value = register_read(s, offset);
    g_mutex_unlock(&s->lock);
    return value;
}

static void plic_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    SifivePlic *s = opaque;
    g_mutex_lock(&s->lock);
    register_write(s, offset, value);
    g_mutex_unlock(&s->lock);
}

static const MemOps plic_ops = {
    .read = plic_read, .write = plic_write, .min_size = 4, .max_size = 4, .lock_free = true
};

static void plic_describe(Device *dev, GString *out)
{
    SifivePlic *s = (SifivePlic *)dev;
    g_mutex_lock(&s->lock);
    g_string_append(out, "source  priority  level  pending  claimed  count\n");
    for (unsigned n = 1; n < PLIC_SOURCES; n++) {
        if (s->counts[n] || s->priority[n] || bit(s->level, n))
            g_string_append_printf(out, "%6u  %8u  %5d  %7d  %7d  %5" G_GUINT64_FORMAT "\n", n, s->priority[n],
                                   bit(s->level, n), bit(s->pending, n), bit(s->claimed, n), s->counts[n]);
    }
    g_mutex_unlock(&s->lock);
}

static bool plic_realize(Device *dev, GError **err)
{
    SifivePlic *s = (SifivePlic *)dev;
    g_mutex_init(&s->lock);
    mem_io_init(&s->mmio, dev->machine, "riscv.sifive.plic", PLIC_SIZE, &plic_ops, s);
    return true;
}

static void plic_unrealize(Device *dev)
{
    SifivePlic *s = (SifivePlic *)dev;
    mem_destroy(&s->mmio);
    g_mutex_clear(&s->lock);
}

static void plic_reset(Device *dev)
{
    SifivePlic *s = (SifivePlic *)dev;
    g_mutex_lock(&s->lock);
    memset(s->priority, 0, sizeof(s->priority));
    memset(s->pending, 0, sizeof(s->pending));
    memset(s->claimed, 0, sizeof(s->claimed));
    memset(s->level, 0, sizeof(s->level));
    memset(s->enable, 0, sizeof(s->enable));
    memset(s->threshold, 0, sizeof(s->threshold));
    memset(s->counts, 0, sizeof(s->counts));
    update_all(s);
    g_mutex_unlock(&s->lock);
}

static void plic_post_load(Device *dev)
{
    SifivePlic *s = (SifivePlic *)dev;
    s->priority[0] = 0; /* whatever a snapshot says */
    for (unsigned c = 0; c < s->contexts; c++)
        s->enable[c][0] &= ~1u;
    update_all(s);
}

static const Prop props[] = { PROP(SifivePlic, U32, "num-contexts", contexts, .fallback = "2", .max = PLIC_CONTEXTS,
                                   .help = "interrupt outputs"),
                              PROP_END };
static const StateField state[] = { STATE_ARRAY(SifivePlic, priority),
                                    STATE_ARRAY(SifivePlic, level),
                                    STATE_ARRAY(SifivePlic, pending),
                                    STATE_ARRAY(SifivePlic, claimed),
                                    { "enable", STATE_KIND_BYTES, offsetof(SifivePlic, enable),
                                      sizeof(((SifivePlic *)0)->enable), 4, NULL },
                                    STATE_ARRAY(SifivePlic, threshold),
                                    STATE_SKIP(SifivePlic, users, "follows from enable"),
                                    STATE_SKIP(SifivePlic, best, "follows from pending, enable and priority"),
                                    STATE_SKIP(SifivePlic, raised, "follows from best and threshold"),
                                    STATE_SKIP(SifivePlic, counts, "statistics"),
                                    STATE_SKIP(SifivePlic, lock, "a lock"),
                                    STATE_SKIP(SifivePlic, mmio, "wiring"),
                                    STATE_SKIP(SifivePlic, contexts, "property"),
                                    STATE_SKIP(SifivePlic, irq, "wiring"),
                                    STATE_END };

const DeviceType sifive_plic_type = {
    .name = "riscv.sifive.plic",
    .desc = "RISC-V platform-level interrupt controller",
    .category = "misc",
    .size = sizeof(SifivePlic),
    .props = props,
    .state = state,
    .realize = plic_realize,
    .unrealize = plic_unrealize,
    .reset = plic_reset,
    .post_load = plic_post_load,
    .describe_irqs = plic_describe,
};
