/*
 * PLIC (RISC-V Platform-Level Interrupt Controller Specification 1.0.0). Sources are level-triggered through gateways:
 * a source becomes pending when its level is high and no claim is out, and stays so until a claim, whatever its level
 * does. The threshold masks a context's interrupt line, not its claims.
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

/* The pending source of the highest priority; the lowest number wins among equals. 0: none. */
static unsigned best(const SifivePlic *s, unsigned context)
{
    unsigned found = 0, priority = 0;
    for (unsigned w = 0; w < PLIC_SOURCES / 32; w++) {
        for (uint32_t m = s->pending[w] & s->enable[context][w]; m; m &= m - 1) {
            unsigned n = w * 32 + __builtin_ctz(m);
            if (s->priority[n] > priority) {
                priority = s->priority[n];
                found = n;
            }
        }
    }
    return found;
}

static void update(SifivePlic *s)
{
    for (unsigned c = 0; c < s->contexts; c++)
        irq_set(&s->irq[c], s->priority[best(s, c)] > s->threshold[c]);
}

static void gateway(SifivePlic *s, unsigned source)
{
    if (bit(s->level, source) && !bit(s->claimed, source))
        set_bit(s->pending, source, true);
}

void sifive_plic_set(void *opaque, int source, bool level)
{
    SifivePlic *s = opaque;
    set_bit(s->level, source, level);
    gateway(s, source);
    update(s);
}

static uint32_t claim(SifivePlic *s, unsigned context)
{
    unsigned source = best(s, context);
    if (source) { /* whatever the threshold is: contexts may poll */
        set_bit(s->pending, source, false);
        set_bit(s->claimed, source, true);
        update(s);
    }
    return source;
}

static void complete(SifivePlic *s, unsigned context, uint64_t source)
{
    if (source >= PLIC_SOURCES || !bit(s->enable[context], source))
        return;
    set_bit(s->claimed, source, false);
    gateway(s, source);
    update(s);
}

static uint64_t plic_read(void *opaque, uint64_t offset, unsigned size)
{
    SifivePlic *s = opaque;
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

static void plic_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    SifivePlic *s = opaque;
    unsigned context, reg;
    if (offset < PENDING && offset / 4 < PLIC_SOURCES) {
        s->priority[offset / 4] = offset ? value & MAX_PRIORITY : 0;
        update(s);
    } else if (offset >= CONTEXT) {
        context = (offset - CONTEXT) / CONTEXT_STRIDE;
        reg = offset & (CONTEXT_STRIDE - 1);
        if (context < s->contexts && reg == 0) {
            s->threshold[context] = value & MAX_PRIORITY;
            update(s);
        } else if (context < s->contexts && reg == 4) {
            complete(s, context, value);
        } else {
            guest_error(&s->dev, "write at 0x%x: no register", (unsigned)offset);
        }
    } else if (offset >= ENABLE) {
        context = (offset - ENABLE) / ENABLE_STRIDE;
        reg = (offset & (ENABLE_STRIDE - 1)) / 4;
        if (context < s->contexts && reg < PLIC_SOURCES / 32) {
            s->enable[context][reg] = reg ? value : value & ~1u; /* source 0 is not there */
            update(s);
        }
    }
}

static const MemOps plic_ops = { .read = plic_read, .write = plic_write, .min_size = 4, .max_size = 4 };

static bool plic_realize(Device *dev, GError **err)
{
    SifivePlic *s = (SifivePlic *)dev;
    mem_io_init(&s->mmio, dev->machine, "riscv.sifive.plic", PLIC_SIZE, &plic_ops, s);
    return true;
}

static void plic_unrealize(Device *dev)
{
    mem_destroy(&((SifivePlic *)dev)->mmio);
}

static void plic_reset(Device *dev)
{
    SifivePlic *s = (SifivePlic *)dev;
    memset(s->priority, 0, sizeof(s->priority));
    memset(s->pending, 0, sizeof(s->pending));
    memset(s->claimed, 0, sizeof(s->claimed));
    memset(s->level, 0, sizeof(s->level));
    memset(s->enable, 0, sizeof(s->enable));
    memset(s->threshold, 0, sizeof(s->threshold));
    update(s);
}

static void plic_post_load(Device *dev)
{
    update((SifivePlic *)dev);
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
};
