/*
 * Goldfish real-time clock.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_TIMER_GOLDFISH_RTC_H
#define HW_TIMER_GOLDFISH_RTC_H

#include "hw/core/machine.h"

typedef struct GoldfishRtc {
    Device dev;
    MemRegion mmio;
    Irq irq;
    Timer timer;
    int64_t offset;     /* what the guest set, less rtc_now */
    uint64_t alarm;     /* nanoseconds since 1970 */
    uint32_t time_high; /* latched by reading the low half */
    uint32_t alarm_high, set_high;
    uint8_t alarm_running, irq_enabled, irq_pending;
} GoldfishRtc;

extern const DeviceType goldfish_rtc_type;

#endif
