/*
 * Watchdog timer of the Intel 6300ESB (6300ESB data sheet, chapter 16), as Linux' i6300esb drives it: two stages of a
 * preloaded down counter; the first may interrupt, the second resets the machine. Registers are written after 0x80 and
 * 0x86 went to the reload register.
 * SPDX-License-Identifier: MIT
 */
#include "hw/pci/pci.h"

enum { PRELOAD1 = 0x0, PRELOAD2 = 0x4, INTERRUPT_STATUS = 0x8, RELOAD = 0xc, BAR_SIZE = 16 };
enum { CONFIG = 0x60, CONFIG_INTERRUPT = 3, CONFIG_FAST = 4, CONFIG_NO_RESET = 0x20 };
enum { LOCK = 0x68, LOCK_LOCKED = 1, LOCK_ENABLE = 2, LOCK_FREE_RUN = 4 };
enum { RELOAD_NOW = 0x100, RELOAD_TIMED_OUT = 0x200, UNLOCK1 = 0x80, UNLOCK2 = 0x86 };
enum { SLOW_SHIFT = 15, FAST_SHIFT = 5, PRELOAD_MASK = 0xfffff };
#define PCI_HZ 33000000
#define SECOND INT64_C(1000000000)

typedef struct I6300esb {
    PciDevice pci;
    MemRegion bar;
    Timer timer;
    uint32_t preload[2];
    uint8_t stage;         /* 0 or 1 */
    uint8_t unlock;        /* writes of the sequence that were seen */
    uint8_t interrupted;   /* interrupt status */
    uint8_t has_timed_out; /* the last reset was its; outlives resets */
} I6300esb;

static bool enabled(const I6300esb *s)
{
    return s->pci.config[LOCK] & LOCK_ENABLE;
}

static void start(I6300esb *s, unsigned stage)
{
    unsigned shift = s->pci.config[CONFIG] & CONFIG_FAST ? FAST_SHIFT : SLOW_SHIFT;
    uint64_t clocks = ((uint64_t)s->preload[stage] + 1) << shift;
    s->stage = stage;
    timer_set(&s->timer, enabled(s) ? clock_now(s->pci.dev.machine->clocks, CLOCK_VIRTUAL_NS) +
                                          (int64_t)((unsigned __int128)clocks * SECOND / PCI_HZ)
                                    : TIMER_NEVER);
}

static void expired(void *opaque)
{
    I6300esb *s = opaque;
    if (!s->stage) {
        if (!(s->pci.config[CONFIG] & CONFIG_INTERRUPT)) { /* 0: by INTA */
            s->interrupted = 1;
            pci_set_irq(&s->pci, true);
        }
        start(s, 1);
        return;
    }
    s->has_timed_out = 1;
    if (!(s->pci.config[CONFIG] & CONFIG_NO_RESET))
        machine_watchdog(s->pci.dev.machine);
    if (s->pci.config[LOCK] & LOCK_FREE_RUN)
        start(s, 1);
}

static uint64_t esb_read(void *opaque, uint64_t offset, unsigned size)
{
    const I6300esb *s = opaque;
    switch (offset) {
    case PRELOAD1:
    case PRELOAD2:
        return s->preload[offset / 4];
    case INTERRUPT_STATUS:
        return s->interrupted;
    case RELOAD:
        return s->has_timed_out ? RELOAD_TIMED_OUT : 0;
    default:
        return 0;
    }
}

static void write_unlocked(I6300esb *s, unsigned offset, uint32_t value)
{
    switch (offset) {
    case PRELOAD1:
    case PRELOAD2:
        s->preload[offset / 4] = value & PRELOAD_MASK;
        break;
    case INTERRUPT_STATUS:
        if (value & 1) {
            s->interrupted = 0;
            pci_set_irq(&s->pci, false);
        }
        break;
    case RELOAD:
        if (value & RELOAD_TIMED_OUT)
            s->has_timed_out = 0;
        if (value & RELOAD_NOW)
            start(s, 0);
        break;
    }
}

/* One write each sequence. */
static void esb_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I6300esb *s = opaque;
    if (s->unlock == 2) {
        s->unlock = 0;
        write_unlocked(s, offset, value);
    } else if (offset == RELOAD && value == UNLOCK1) {
        s->unlock = 1;
    } else {
        s->unlock = offset == RELOAD && value == UNLOCK2 && s->unlock == 1 ? 2 : 0;
    }
}

static const MemOps esb_ops = { .read = esb_read, .write = esb_write, .min_size = 1, .max_size = 4 };

static void update_writable(PciDevice *pci)
{
    pci->writable[LOCK] = pci->config[LOCK] & LOCK_LOCKED ? 0 : LOCK_LOCKED | LOCK_ENABLE | LOCK_FREE_RUN;
}

static void config_written(PciDevice *pci, uint32_t offset, unsigned size)
{
    I6300esb *s = (I6300esb *)pci;
    if (offset > LOCK || offset + size <= LOCK)
        return;
    update_writable(pci);
    if (!enabled(s))
        timer_cancel(&s->timer);
    else if (!timer_armed(&s->timer))
        start(s, 0);
}

static bool realize(Device *dev, GError **err)
{
    I6300esb *s = (I6300esb *)dev;
    pci_set_ids(&s->pci, 0x8086, 0x25ab, 0x088000, 0);
    pci_set_subsystem(&s->pci, 0x1af4, 0x1100);
    pci_set_interrupt_pin(&s->pci, 1);
    s->pci.writable[CONFIG] = CONFIG_INTERRUPT | CONFIG_FAST | CONFIG_NO_RESET;
    s->pci.config_written = config_written;
    timer_init(&s->timer, dev->machine->clocks, CLOCK_VIRTUAL_NS, expired, s);
    mem_io_init(&s->bar, dev->machine, "i6300esb", BAR_SIZE, &esb_ops, s);
    pci_add_bar(&s->pci, 0, 0, &s->bar);
    return true;
}

static void reset(Device *dev)
{
    I6300esb *s = (I6300esb *)dev;
    s->preload[0] = s->preload[1] = PRELOAD_MASK;
    s->stage = s->unlock = s->interrupted = 0;
    timer_cancel(&s->timer);
    update_writable(&s->pci);
}

static void post_load(Device *dev)
{
    I6300esb *s = (I6300esb *)dev;
    s->stage &= 1;
    s->preload[0] &= PRELOAD_MASK;
    s->preload[1] &= PRELOAD_MASK;
    update_writable(&s->pci);
}

static const StateField state[] = { STATE_ARRAY(I6300esb, preload),
                                    STATE(I6300esb, stage),
                                    STATE(I6300esb, unlock),
                                    STATE(I6300esb, interrupted),
                                    STATE(I6300esb, has_timed_out),
                                    STATE_TIMER(I6300esb, timer),
                                    STATE_SKIP(I6300esb, bar, "wiring"),
                                    STATE_END };

extern const DeviceType i6300esb_type;
const DeviceType i6300esb_type = {
    .name = "i6300esb",
    .desc = "watchdog of the Intel 6300ESB",
    .category = "watchdog",
    .bus = "pci",
    .parent = &pci_device_type,
    .size = sizeof(I6300esb),
    .state = state,
    .realize = realize,
    .reset = reset,
    .post_load = post_load,
};
