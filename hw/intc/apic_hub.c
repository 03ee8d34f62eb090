/*
 * What the local APICs of a machine share: the memory window where processors find their own registers and everybody
 * else leaves messages, the choice of destinations, local inputs (SDM volume 3, 11.6, 11.11).
 *
 * A message is a write to the first 16 bytes of a page of the window, where the registers of an APIC have none: so the
 * two can be told apart even in the page at 0xfee00000.
 * SPDX-License-Identifier: MIT
 */
#include "accel/vcpu.h"
#include "hw/intc/apic.h"
#include "hw/intc/irqchip.h"
#include "target/x86/x86.h"

enum { BASE_ENABLE = 0x800, BASE_EXTD = 0x400 };
enum { ICR_LOGICAL = 0x800, ICR_ASSERT = 0x4000, ICR_LEVEL = 0x8000, FIRST_VECTOR = 16 };
enum { SHORT_NONE, SHORT_SELF, SHORT_ALL, SHORT_OTHERS };
enum { DEST_ALL = 0xff, DFR_FLAT = 0xf, CLUSTER_ALL = 0xf };

/* ---- destinations ---- */

static Apic *apic_at(const ApicHub *hub, unsigned n)
{
    return g_ptr_array_index(hub->apics, n);
}

static bool matches_logical(const Apic *a, const ApicMessage *m, bool x2apic)
{
    uint32_t ldr = __atomic_load_n(&a->ldr, __ATOMIC_RELAXED), dfr = __atomic_load_n(&a->dfr, __ATOMIC_RELAXED);
    if (x2apic)
        return m->dest >> 16 == ldr >> 16 && m->dest & ldr & 0xffff;
    if (dfr >> 28 == DFR_FLAT)
        return m->dest & ldr >> 24;
    return (m->dest >> 4 == ldr >> 28 || m->dest >> 4 == CLUSTER_ALL) && m->dest & ldr >> 24 & 0xf;
}

/* An APIC that is off hears nothing. Read without locks: who changes these while messages are under way gets either. */
static bool matches(const Apic *a, const ApicMessage *m)
{
    uint64_t base = __atomic_load_n(&a->base, __ATOMIC_RELAXED);
    if (!(base & BASE_ENABLE))
        return false;
    bool all = m->x2apic ? m->dest == UINT32_MAX : m->dest == DEST_ALL;
    bool x2apic = base & BASE_EXTD;
    if (all && (!m->logical || x2apic))
        return true;
    if (m->logical)
        return matches_logical(a, m, x2apic);
    return m->dest == __atomic_load_n(&a->id, __ATOMIC_RELAXED);
}

static void deliver_to(Apic *a, const ApicMessage *m)
{
    switch (m->delivery) {
    case APIC_FIXED:
    case APIC_LOWEST:
        apic_accept(a, m->vector, m->level);
        break;
    case APIC_SMI:
        a->ops->smi(a->cpu);
        break;
    case APIC_NMI:
        a->ops->nmi(a->cpu);
        break;
    case APIC_INIT:
        a->ops->init(a->cpu);
        break;
    case APIC_STARTUP:
        a->ops->start_up(a->cpu, m->vector);
        break;
    default:
        guest_error(&a->dev, "delivery mode %u is none that a message has", m->delivery);
    }
}

/* The one with the lowest priority; among equals in turn. */
static void deliver_lowest(ApicHub *hub, const ApicMessage *m)
{
    unsigned count = hub->apics->len, last = __atomic_load_n(&hub->arbitrated, __ATOMIC_RELAXED);
    unsigned best_index = 0;
    int best = INT32_MAX;
    for (unsigned i = 1; i <= count; i++) {
        unsigned n = (last + i) % count;
        int priority = matches(apic_at(hub, n), m) ? apic_arbitration_priority(apic_at(hub, n)) : -1;
        if (priority >= 0 && priority < best) {
            best = priority;
            best_index = n;
        }
    }
    if (best == INT32_MAX)
        return;
    __atomic_store_n(&hub->arbitrated, best_index, __ATOMIC_RELAXED);
    deliver_to(apic_at(hub, best_index), m);
}

static uint32_t message_data(const ApicMessage *m)
{
    return m->vector | (uint32_t)m->delivery << 8 | (m->level ? ICR_LEVEL | ICR_ASSERT : 0);
}

/* To local APICs that are the accelerator's. */
static void deliver_elsewhere(const ApicHub *hub, const ApicMessage *m)
{
    uint64_t address = (APIC_BASE | (m->dest & 0xff) << 12 | (m->logical ? 4 : 0)) | (uint64_t)(m->dest & ~0xffu) << 32;
    hub->dev.machine->irqchip->message(hub->dev.machine, address, message_data(m));
}

void apic_deliver(ApicHub *hub, const ApicMessage *m)
{
    if (hub->dev.machine->irqchip) {
        deliver_elsewhere(hub, m);
        return;
    }
    if (m->delivery == APIC_LOWEST) {
        deliver_lowest(hub, m);
        return;
    }
    for (unsigned n = 0; n < hub->apics->len; n++) {
        if (matches(apic_at(hub, n), m))
            deliver_to(apic_at(hub, n), m);
    }
}

void apic_msi(ApicHub *hub, uint64_t address, uint32_t data)
{
    ApicMessage m = { .dest = address >> 12 & 0xff,
                      .logical = address & 4,
                      .level = data & ICR_LEVEL,
                      .vector = data,
                      .delivery = data >> 8 & 7 };
    apic_deliver(hub, &m);
}

/* ---- interprocessor interrupts ---- */

void apic_send(Apic *from, uint32_t icr, uint32_t dest)
{
    ApicHub *hub = from->hub;
    unsigned shorthand = icr >> 18 & 3;
    bool x2apic = __atomic_load_n(&from->base, __ATOMIC_RELAXED) & BASE_EXTD;
    ApicMessage m = {
        .dest = dest, .logical = icr & ICR_LOGICAL, .x2apic = x2apic, .vector = icr, .delivery = icr >> 8 & 7
    };
    if (m.delivery == APIC_INIT && icr & ICR_LEVEL && !(icr & ICR_ASSERT))
        return; /* de-assertion: processors of today do nothing */
    if ((m.delivery == APIC_FIXED || m.delivery == APIC_LOWEST) && m.vector < FIRST_VECTOR) {
        apic_send_error(from);
        return;
    }
    if (shorthand == SHORT_NONE) {
        apic_deliver(hub, &m);
        return;
    }
    for (unsigned n = 0; n < hub->apics->len; n++) {
        Apic *a = apic_at(hub, n);
        bool self = a == from, on = __atomic_load_n(&a->base, __ATOMIC_RELAXED) & BASE_ENABLE;
        if (on && (self ? shorthand != SHORT_OTHERS : shorthand != SHORT_SELF))
            deliver_to(a, &m);
    }
}

/* ---- the window ---- */

static Apic *current_apic(const ApicHub *hub)
{
    int n = hub->current();
    return n >= 0 && (unsigned)n < hub->apics->len ? apic_at(hub, n) : NULL;
}

static uint64_t window_read(void *opaque, uint64_t offset, unsigned size)
{
    Apic *a = offset < 0x1000 ? current_apic(opaque) : NULL;
    return a ? apic_mmio_read(a, offset) : UINT32_MAX;
}

static void window_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    ApicHub *hub = opaque;
    Apic *a = offset >= 0x10 && offset < 0x1000 ? current_apic(hub) : NULL;
    if (a)
        apic_mmio_write(a, offset, value);
    else if ((offset & 0xfff) < 0x10)
        apic_msi(hub, offset, value);
}

static const MemOps window_ops = {
    .read = window_read, .write = window_write, .min_size = 4, .max_size = 4, .lock_free = true
};

/* ---- local inputs ---- */

/* A vCPU of a machine whose local APICs are the accelerator's. */
static CpuState *cpu_at(const ApicHub *hub, unsigned n)
{
    return ((Vcpu *)g_ptr_array_index(hub->dev.machine->vcpus, n))->state;
}

static void extint_set(void *opaque, int n, bool level)
{
    ApicHub *hub = opaque;
    if (hub->dev.machine->irqchip) {
        x86_set_intr(cpu_at(hub, 0), level);
        return;
    }
    bool was = __atomic_exchange_n(&hub->extint, level, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < hub->apics->len && was != level; i++)
        apic_local_input(apic_at(hub, i), APIC_LVT_LINT0, level);
}

Irq apic_extint_input(ApicHub *hub)
{
    return (Irq){ extint_set, hub, 0 };
}

static void smi_set(void *opaque, int all, bool level)
{
    ApicHub *hub = opaque;
    Apic *current = current_apic(hub);
    for (unsigned i = 0; i < hub->apics->len && level; i++) {
        Apic *a = apic_at(hub, i);
        if (all || a == current || (!current && !i))
            a->ops->smi(a->cpu);
    }
}

Irq apic_smi_input(ApicHub *hub)
{
    return (Irq){ smi_set, hub, false };
}

Irq apic_smi_all_input(ApicHub *hub)
{
    return (Irq){ smi_set, hub, true };
}

static void nmi_set(void *opaque, int n, bool level)
{
    ApicHub *hub = opaque;
    for (unsigned i = 0; hub->dev.machine->irqchip && i < hub->dev.machine->vcpus->len && level; i++)
        x86_pulse(cpu_at(hub, i), X86_NMI);
    for (unsigned i = 0; i < hub->apics->len && level; i++)
        apic_local_input(apic_at(hub, i), APIC_LVT_LINT1, true);
}

Irq apic_nmi_input(ApicHub *hub)
{
    return (Irq){ nmi_set, hub, 0 };
}

/* ---- life cycle ---- */

static int index_of_current(void)
{
    const Vcpu *vcpu = vcpu_current();
    return vcpu ? (int)vcpu->index : -1;
}

static bool realize(Device *dev, GError **err)
{
    ApicHub *hub = (ApicHub *)dev;
    hub->apics = g_ptr_array_new();
    if (!hub->current)
        hub->current = index_of_current;
    mem_io_init(&hub->mmio, dev->machine, "apic-msi", APIC_WINDOW, &window_ops, hub);
    return true;
}

static void unrealize(Device *dev)
{
    g_ptr_array_unref(((ApicHub *)dev)->apics);
}

static void reset(Device *dev)
{
    ((ApicHub *)dev)->arbitrated = 0;
}

static const StateField state[] = { STATE(ApicHub, arbitrated),
                                    STATE_SKIP(ApicHub, extint, "follows from the 8259"),
                                    STATE_SKIP(ApicHub, mmio, "wiring"),
                                    STATE_SKIP(ApicHub, apics, "wiring"),
                                    STATE_SKIP(ApicHub, pic_acknowledge, "wiring"),
                                    STATE_SKIP(ApicHub, pic, "wiring"),
                                    STATE_SKIP(ApicHub, eoi, "wiring"),
                                    STATE_SKIP(ApicHub, eoi_opaque, "wiring"),
                                    STATE_SKIP(ApicHub, current, "wiring"),
                                    STATE_END };

const DeviceType apic_hub_type = {
    .name = "apic-msi",
    .desc = "local APICs' window and messages",
    .category = "misc",
    .size = sizeof(ApicHub),
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
};
