/*
 * I/O APIC (Intel 82093AA data sheet; EOI register and version 0x20 as in the ICH9 data sheet, 13.5): redirection
 * entries, edge and level, remote IRR.
 *
 * Its lock is held while a message goes out: that of a local APIC comes after it.
 * SPDX-License-Identifier: MIT
 */
#include "hw/intc/ioapic.h"
#include "hw/intc/irqchip.h"

enum { IOREGSEL = 0x00, IOWIN = 0x10, EOI = 0x40 };
enum { REG_ID, REG_VERSION, REG_ARBITRATION, REG_TABLE = 0x10 };
enum { VERSION = 0x20 };
enum { ENTRY_LOGICAL = 0x800, ENTRY_STATUS = 0x1000, ENTRY_LOW = 0x2000, ENTRY_REMOTE = 0x4000, ENTRY_LEVEL = 0x8000 };
#define ENTRY_MASKED    UINT64_C(0x10000)
#define ENTRY_READ_ONLY ((uint64_t)(ENTRY_STATUS | ENTRY_REMOTE))
#define ENTRY_WRITABLE  (UINT64_C(0xff0000000001ffff) & ~ENTRY_READ_ONLY)

/* ---- delivery; under the lock ---- */

static void send(IoApic *s, uint64_t entry)
{
    ApicMessage m = { .dest = entry >> 56,
                      .logical = entry & ENTRY_LOGICAL,
                      .level = entry & ENTRY_LEVEL,
                      .vector = entry,
                      .delivery = entry >> 8 & 7 };
    if (m.delivery == APIC_EXTINT) {
        if (s->hub->pic_acknowledge)
            unimplemented(&s->dev, "ExtINT through the I/O APIC");
        return;
    }
    apic_deliver(s->hub, &m);
}

/* A level interrupt waits for its EOI (remote IRR); an edge is sent once. */
static void service(IoApic *s, unsigned pin)
{
    uint64_t *entry = &s->pins[pin];
    if (*entry & ENTRY_MASKED)
        return;
    if (*entry & ENTRY_LEVEL) {
        if (!(s->levels >> pin & 1) || *entry & ENTRY_REMOTE)
            return;
        *entry |= ENTRY_REMOTE;
        send(s, *entry);
    } else if (s->irr >> pin & 1) {
        s->irr &= ~(1u << pin);
        send(s, *entry);
    }
}

static void input_set(void *opaque, int pin, bool level)
{
    IoApic *s = opaque;
    uint32_t bit = 1u << pin;
    g_mutex_lock(&s->lock);
    bool rises = level && !(s->levels & bit);
    s->levels = level ? s->levels | bit : s->levels & ~bit;
    if (rises && !(s->pins[pin] & ENTRY_LEVEL))
        s->irr |= bit;
    service(s, pin);
    g_mutex_unlock(&s->lock);
}

Irq ioapic_input(IoApic *ioapic, unsigned pin)
{
    g_assert(pin < IOAPIC_PINS);
    return (Irq){ input_set, ioapic, pin };
}

/* The end of a vector: level pins that have it may interrupt again. */
static void end_of_interrupt(void *opaque, uint8_t vector)
{
    IoApic *s = opaque;
    g_mutex_lock(&s->lock);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        if ((s->pins[pin] & 0xff) != vector || !(s->pins[pin] & ENTRY_REMOTE))
            continue;
        s->pins[pin] &= ~(uint64_t)ENTRY_REMOTE;
        service(s, pin);
    }
    g_mutex_unlock(&s->lock);
}

/* ---- registers ---- */

static uint32_t read_indirect(const IoApic *s)
{
    unsigned n = s->select - REG_TABLE;
    switch (s->select) {
    case REG_ID:
    case REG_ARBITRATION:
        return (uint32_t)s->id << 24;
    case REG_VERSION:
        return VERSION | (IOAPIC_PINS - 1) << 16;
    default:
        return s->select < REG_TABLE || n / 2 >= IOAPIC_PINS ? 0 : s->pins[n / 2] >> (n % 2 * 32);
    }
}

/* Local APICs elsewhere want to know whose ends of interrupt are to be told. A pin that is masked keeps its route: who
 * masks it while its interrupt is in service, and ends that then, would leave the remote IRR set for ever. */
static void tell_route(const IoApic *s, unsigned pin)
{
    Machine *machine = s->dev.machine;
    uint64_t entry = s->pins[pin];
    if (!machine->irqchip || !machine->irqchip->set_route || entry & ENTRY_MASKED)
        return;
    uint64_t address = APIC_BASE | (entry >> 56) << 12 | (entry & ENTRY_LOGICAL ? 4 : 0);
    uint32_t data = (entry & 0x7ff) | (entry & ENTRY_LEVEL ? 0xc000 : 0);
    machine->irqchip->set_route(machine, pin, address, data);
}

/* Linux ends a level interrupt of an I/O APIC without EOI register by making it an edge and a level again. */
static void write_entry(IoApic *s, unsigned pin, unsigned shift, uint32_t value)
{
    uint64_t *entry = &s->pins[pin], written = (uint64_t)UINT32_MAX << shift & ENTRY_WRITABLE;
    *entry = (*entry & ~written) | ((uint64_t)value << shift & written);
    if (!(*entry & ENTRY_LEVEL))
        *entry &= ~(uint64_t)ENTRY_REMOTE;
    tell_route(s, pin);
    service(s, pin);
}

static void write_indirect(IoApic *s, uint32_t value)
{
    unsigned n = s->select - REG_TABLE;
    if (s->select == REG_ID)
        s->id = value >> 24 & 0xf;
    else if (s->select >= REG_TABLE && n / 2 < IOAPIC_PINS)
        write_entry(s, n / 2, n % 2 * 32, value);
}

static uint64_t ioapic_read(void *opaque, uint64_t offset, unsigned size)
{
    IoApic *s = opaque;
    g_mutex_lock(&s->lock);
    uint32_t value = (offset & 0xff) == IOREGSEL ? s->select : (offset & 0xff) == IOWIN ? read_indirect(s) : 0;
    g_mutex_unlock(&s->lock);
    return value;
}

static void ioapic_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    IoApic *s = opaque;
    if ((offset & 0xff) == EOI) {
        end_of_interrupt(s, value);
        return;
    }
    g_mutex_lock(&s->lock);
    if ((offset & 0xff) == IOREGSEL)
        s->select = value;
    else if ((offset & 0xff) == IOWIN)
        write_indirect(s, value);
    g_mutex_unlock(&s->lock);
}

static const MemOps ioapic_ops = { .read = ioapic_read,
                                   .write = ioapic_write,
                                   .min_size = 1,
                                   .max_size = 8,
                                   .impl_min = 4,
                                   .impl_max = 4,
                                   .lock_free = true };

/* ---- life cycle ---- */

static bool realize(Device *dev, GError **err)
{
    IoApic *s = (IoApic *)dev;
    g_assert(s->hub);
    g_mutex_init(&s->lock);
    mem_io_init(&s->mmio, dev->machine, "ioapic", 0x1000, &ioapic_ops, s);
    s->hub->eoi = end_of_interrupt;
    s->hub->eoi_opaque = s;
    return true;
}

static void unrealize(Device *dev)
{
    IoApic *s = (IoApic *)dev;
    s->hub->eoi = NULL;
    g_mutex_clear(&s->lock);
}

static void reset(Device *dev)
{
    IoApic *s = (IoApic *)dev;
    g_mutex_lock(&s->lock);
    s->select = s->id = 0;
    s->irr = 0;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        s->pins[pin] = ENTRY_MASKED;
    g_mutex_unlock(&s->lock);
}

static void describe_irqs(Device *dev, GString *out)
{
    IoApic *s = (IoApic *)dev;
    g_mutex_lock(&s->lock);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t entry = s->pins[pin];
        if (!(entry & ENTRY_MASKED) || s->levels >> pin & 1)
            g_string_append_printf(out, "ioapic pin %u: %s%s vector 0x%02x to 0x%02x%s%s\n", pin,
                                   entry & ENTRY_MASKED ? "masked " : "", entry & ENTRY_LEVEL ? "level" : "edge",
                                   (unsigned)(entry & 0xff), (unsigned)(entry >> 56),
                                   s->levels >> pin & 1 ? ", line up" : "", entry & ENTRY_REMOTE ? ", in service" : "");
    }
    g_mutex_unlock(&s->lock);
}

static const StateField state[] = { STATE(IoApic, select),
                                    STATE(IoApic, id),
                                    STATE(IoApic, levels),
                                    STATE(IoApic, irr),
                                    STATE_ARRAY(IoApic, pins),
                                    STATE_SKIP(IoApic, mmio, "wiring"),
                                    STATE_SKIP(IoApic, hub, "wiring"),
                                    STATE_SKIP(IoApic, lock, "no state"),
                                    STATE_END };

const DeviceType ioapic_type = {
    .name = "ioapic",
    .desc = "I/O APIC, 24 pins",
    .category = "misc",
    .size = sizeof(IoApic),
    .state = state,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
    .describe_irqs = describe_irqs,
};
