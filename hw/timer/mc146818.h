/*
 * The PC's real-time clock and CMOS memory (Motorola MC146818; ports 70 to 73).
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_TIMER_MC146818_H
#define HW_TIMER_MC146818_H

#include "hw/core/machine.h"

typedef struct Mc146818 {
    Device dev;
    MemRegion ports;
    int32_t base_year; /* property */
    uint8_t cmos[256]; /* registers and memory; the time is only there while SET is on */
    uint8_t index[2];  /* ports 70 and 72 */
    int64_t offset;    /* guest time less rtc_now, ns */
    int64_t periodic_next;
    uint64_t noticed; /* seconds since 1970 of the last update that was acted on */
    Timer periodic, update;
    Irq irq; /* IRQ 8 */
} Mc146818;

extern const DeviceType mc146818rtc_type;

/* CMOS bytes of the machine (memory size, disks, ...): before it runs or at a reset. They outlive resets. */
void mc146818_set(Mc146818 *rtc, uint8_t index, uint8_t value);
uint8_t mc146818_get(const Mc146818 *rtc, uint8_t index);

#endif
