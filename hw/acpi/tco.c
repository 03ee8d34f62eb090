/*
 * TCO watchdog timer (see tco.h).
 * SPDX-License-Identifier: MIT
 */
#include "hw/acpi/tco.h"
#include <string.h>

enum {
    RELOAD = 0x00,
    DATA = 0x02,
    STATUS1 = 0x04,
    STATUS2 = 0x06,
    CONTROL1 = 0x08,
    CONTROL2 = 0x0a,
    MESSAGE = 0x0c,
    WATCHDOG = 0x0e,
    IRQ_GENERATION = 0x10,
    TIMER = 0x12
};
enum { STATUS1_TIMEOUT = 8, STATUS1_CLEARS = 0x038c, STATUS2_SECOND = 2, STATUS2_BOOT = 4, STATUS2_CLEARS = 0x1f };
enum { CONTROL1_HALT = 0x800, CONTROL1_LOCK = 0x1000, CONTROL1_WRITABLE = 0x1b00, TIMER_MASK = 0x3ff };
#define TICK_NS INT64_C(600000000)

static int64_t now(const Tco *tco)
{
    return clock_now(tco->dev->machine->clocks, CLOCK_VIRTUAL_NS);
}

static void restart(Tco *tco)
{
    bool halted = tco->control1 & CONTROL1_HALT || tco->timer < 2;
    tco->end = halted ? -1 : now(tco) + tco->timer * TICK_NS;
    timer_set(&tco->expiry, halted ? TIMER_NEVER : tco->end);
}

static void expire(void *opaque)
{
    Tco *tco = opaque;
    if (tco->expired) {
        tco->expired = 0;
        tco->status2 |= STATUS2_SECOND | STATUS2_BOOT;
        if (!tco->strap_no_reboot && !tco->no_reboot(tco->opaque)) {
            machine_watchdog(tco->dev->machine);
            return;
        }
    } else {
        tco->expired = 1;
        tco->status1 |= STATUS1_TIMEOUT;
        tco->timeout(tco->opaque);
    }
    restart(tco);
}

static unsigned remaining(const Tco *tco)
{
    return tco->end < 0 ? tco->timer : MAX(tco->end - now(tco), 0) / TICK_NS & TIMER_MASK;
}

static void write_control1(Tco *tco, uint16_t value)
{
    uint16_t was = tco->control1;
    tco->control1 = (value & CONTROL1_WRITABLE) | (was & CONTROL1_LOCK);
    if (was & CONTROL1_LOCK)
        tco->control1 = (tco->control1 & ~CONTROL1_HALT) | (was & CONTROL1_HALT);
    if ((was ^ tco->control1) & CONTROL1_HALT)
        restart(tco);
}

/* Words; MESSAGE, WATCHDOG and DATA are pairs of bytes. */
static uint64_t tco_read(void *opaque, uint64_t offset, unsigned size)
{
    const Tco *tco = opaque;
    switch (offset) {
    case RELOAD:
        return remaining(tco);
    case DATA:
        return tco->data[0] | tco->data[1] << 8;
    case STATUS1:
        return tco->status1;
    case STATUS2:
        return tco->status2;
    case CONTROL1:
        return tco->control1;
    case CONTROL2:
        return tco->control2;
    case MESSAGE:
        return tco->message[0] | tco->message[1] << 8;
    case WATCHDOG:
        return tco->watchdog;
    case IRQ_GENERATION:
        return tco->irq_generation;
    case TIMER:
        return tco->timer;
    default:
        return 0;
    }
}

static void write_pair(uint8_t pair[2], uint16_t value)
{
    pair[0] = value;
    pair[1] = value >> 8;
}

static void write_word(Tco *tco, unsigned offset, uint16_t value)
{
    switch (offset) {
    case RELOAD:
        tco->expired = 0;
        restart(tco);
        break;
    case DATA:
        write_pair(tco->data, value);
        break;
    case STATUS1:
        tco->status1 &= ~(value & STATUS1_CLEARS);
        break;
    case STATUS2:
        tco->status2 &= ~(value & STATUS2_CLEARS);
        break;
    case CONTROL1:
        write_control1(tco, value);
        break;
    case CONTROL2:
        tco->control2 = value;
        break;
    case MESSAGE:
        write_pair(tco->message, value);
        break;
    case WATCHDOG:
        tco->watchdog = value;
        break;
    case IRQ_GENERATION:
        tco->irq_generation = value;
        break;
    case TIMER:
        tco->timer = value & TIMER_MASK;
        break;
    }
}

/* A byte leaves the other half as it is, which for bits that a one clears is a zero. */
static void tco_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Tco *tco = opaque;
    unsigned word = offset & ~1u, shift = offset % 2 * 8;
    bool clears = word == STATUS1 || word == STATUS2;
    if (size == 1) {
        uint16_t rest = clears ? 0 : tco_read(tco, word, 2) & ~(0xffu << shift);
        value = value << shift | rest;
    }
    write_word(tco, word, value);
}

static uint64_t tco_read_bytes(void *opaque, uint64_t offset, unsigned size)
{
    return tco_read(opaque, offset & ~1u, 2) >> offset % 2 * 8;
}

static const MemOps tco_ops = { .read = tco_read_bytes, .write = tco_write, .max_size = 4, .impl_max = 2 };

void tco_init(Tco *tco, Device *dev)
{
    tco->dev = dev;
    timer_init(&tco->expiry, dev->machine->clocks, CLOCK_VIRTUAL_NS, expire, tco);
    mem_io_init(&tco->ports, dev->machine, "sm-tco", TCO_PORTS, &tco_ops, tco);
}

void tco_reset(Tco *tco)
{
    tco->timer = 4;
    tco->status1 = tco->status2 = tco->control1 = 0;
    tco->control2 = 8;
    memset(tco->data, 0, sizeof(tco->data));
    memset(tco->message, 0, sizeof(tco->message));
    tco->watchdog = tco->expired = 0;
    tco->irq_generation = 3;
    tco->control1 = CONTROL1_HALT; /* it begins when software wants it */
    restart(tco);
}
