/*
 * What time real-time clocks show: -rtc base=utc|localtime|DATETIME,clock=host|rt|vm.
 * SPDX-License-Identifier: MIT
 */
#ifndef HW_TIMER_RTC_H
#define HW_TIMER_RTC_H

#include "hw/core/machine.h"

/* Read -rtc (may be NULL) into the machine. */
bool rtc_configure(Machine *machine, Opts *opts, GError **err);
/* Nanoseconds since 1970 as the guest is to see them. */
int64_t rtc_now(const Machine *machine);
/* The moment of machine->rtc.clock, for a timer, when rtc_now will be ns. */
int64_t rtc_to_clock(const Machine *machine, int64_t ns);

#endif
