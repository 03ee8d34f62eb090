/*
 * High precision event timer (IA-PC HPET 1.0a), 100 MHz.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_TIMER_HPET_H
#define HW_TIMER_HPET_H

#include "hw/core/machine.h"

#define HPET_BASE       UINT64_C(0xfed00000)
#define HPET_SIZE       0x500
#define HPET_MAX_TIMERS 32
#define HPET_PERIOD_NS  10
#define HPET_IRQS       24

typedef struct Hpet Hpet;

typedef struct HpetTimer {
    Hpet *hpet;
    unsigned n;
    Timer timer;
} HpetTimer;

struct Hpet {
    Device dev;
    MemRegion mmio;  /* for HPET_BASE */
    uint8_t count;   /* property timers: 3 to 32 */
    bool msi;        /* property */
    uint32_t intcap; /* property hpet-intcap: GSIs that timers may use (0x4 on pc, 0xff0104 on q35) */
    int64_t now;     /* virtual time of the access or interrupt that is under way */
    uint64_t config, status;
    uint64_t counter; /* while it stands */
    uint64_t offset;  /* while it runs: counter less the clocks of virtual time */
    uint64_t timer_config[HPET_MAX_TIMERS], comparator[HPET_MAX_TIMERS], period[HPET_MAX_TIMERS], fsb[HPET_MAX_TIMERS];
    HpetTimer timers[HPET_MAX_TIMERS];
    uint32_t no_period; /* of these timers SET_VALUE was used, and the period is still to be written */
    bool rtc_level;
    Irq irqs[HPET_IRQS]; /* GSIs */
    Irq legacy;          /* level: the HPET has IRQ 0 and 8 (pit_disable_input) */
};

extern const DeviceType hpet_type;

/* The RTC's line goes through here to irqs[8], unless the HPET has taken it over. */
Irq hpet_rtc_input(Hpet *hpet);
/* "event timer block ID" of the ACPI table: register 0's low half. */
uint32_t hpet_block_id(const Hpet *hpet);

#endif
