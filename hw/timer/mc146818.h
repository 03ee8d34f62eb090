/*
 * The PC's real-time clock and CMOS memory (Motorola MC146818; ports 70 and 71).
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_TIMER_MC146818_H
#define HW_TIMER_MC146818_H

#include "hw/core/machine.h"

#define CMOS_SIZE 128

typedef struct Mc146818 {
    Device dev;
    MemRegion ports;
    uint8_t cmos[CMOS_SIZE]; /* memory; time registers hold the time only while it is stopped */
    uint8_t index;
    int64_t offset;        /* guest seconds less rtc_now's */
    int64_t phase;         /* nanoseconds by which our seconds begin before rtc_now's */
    int64_t noticed;       /* guest second of the last update that was acted on */
    int64_t periodic_next; /* virtual time */
    Timer periodic, update;
    Irq irq;  /* IRQ 8 */
    Irq wake; /* power management: a pulse when the alarm interrupts */
} Mc146818;

extern const DeviceType mc146818rtc_type;

/* CMOS bytes of the machine (memory size, disks, ...), not those of the time: before it runs or at a reset. They
 * outlive resets. */
void mc146818_set(Mc146818 *rtc, uint8_t index, uint8_t value);
uint8_t mc146818_get(const Mc146818 *rtc, uint8_t index);

#endif
