/*
 * Real-time clock and CMOS memory (Motorola MC146818A data sheet; the century byte as in the PC/AT and PS/2).
 *
 * The time is -rtc's plus an offset. Its registers are made from it when they are read; a write makes a new offset.
 * While SET or the divider stop the clock, the registers hold the time. Flags of updates and periods come from timers
 * when their interrupts are on, and are found out when register C is read when they are not.
 * SPDX-License-Identifier: MIT
 */
#include "hw/timer/mc146818.h"
#include "hw/isa/isa.h"
#include "hw/timer/rtc.h"
#include <time.h>

enum {
    SECONDS,
    SECONDS_ALARM,
    MINUTES,
    MINUTES_ALARM,
    HOURS,
    HOURS_ALARM,
    WEEKDAY,
    MONTHDAY,
    MONTH,
    YEAR,
    REG_A,
    REG_B,
    REG_C,
    REG_D,
    CENTURY = 0x32,
    PS2_CENTURY = 0x37
};
enum { A_UIP = 0x80, A_DIVIDER = 0x70, A_STOPPED = 0x60, A_RATE = 0x0f, A_RUNS = 0x20 };
enum { B_SET = 0x80, B_PIE = 0x40, B_AIE = 0x20, B_UIE = 0x10, B_SQWE = 8, B_BINARY = 4, B_24 = 2 };
enum { C_IRQF = 0x80, C_PF = 0x40, C_AF = 0x20, C_UF = 0x10 };
enum { D_VALID = 0x80, HOUR_PM = 0x80, ANY = 0xc0 };
#define SECOND      INT64_C(1000000000)
#define UIP_NS      244141 /* before an update */
#define HALF_SECOND (SECOND / 2)

/* ---- time ---- */

static int64_t virtual_now(const Mc146818 *s)
{
    return clock_now(s->dev.machine->clocks, CLOCK_VIRTUAL_NS);
}

static bool stopped(const Mc146818 *s)
{
    return s->cmos[REG_B] & B_SET || (s->cmos[REG_A] & A_STOPPED) == A_STOPPED;
}

/* Nanoseconds on rtc_now's scale, shifted so that our seconds begin at whole ones. */
static int64_t local_ns(const Mc146818 *s)
{
    return rtc_now(s->dev.machine) + s->phase;
}

static int64_t floor_seconds(int64_t ns)
{
    return ns / SECOND - (ns % SECOND < 0);
}

static int64_t guest_seconds(const Mc146818 *s)
{
    return floor_seconds(local_ns(s)) + s->offset;
}

static uint8_t encode(const Mc146818 *s, unsigned value)
{
    return s->cmos[REG_B] & B_BINARY ? value : value % 10 | value / 10 % 10 << 4;
}

static unsigned decode(const Mc146818 *s, uint8_t value)
{
    return s->cmos[REG_B] & B_BINARY ? value : (value >> 4) * 10 + (value & 15);
}

static uint8_t encode_hour(const Mc146818 *s, unsigned hour)
{
    if (s->cmos[REG_B] & B_24)
        return encode(s, hour);
    return encode(s, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned decode_hour(const Mc146818 *s, uint8_t value)
{
    if (s->cmos[REG_B] & B_24)
        return decode(s, value);
    return decode(s, value & ~HOUR_PM) % 12 + (value & HOUR_PM ? 12 : 0);
}

static void time_to_registers(Mc146818 *s, int64_t seconds)
{
    struct tm tm;
    time_t t = seconds;
    if (!gmtime_r(&t, &tm))
        return;
    s->cmos[SECONDS] = encode(s, tm.tm_sec);
    s->cmos[MINUTES] = encode(s, tm.tm_min);
    s->cmos[HOURS] = encode_hour(s, tm.tm_hour);
    s->cmos[WEEKDAY] = encode(s, tm.tm_wday + 1);
    s->cmos[MONTHDAY] = encode(s, tm.tm_mday);
    s->cmos[MONTH] = encode(s, tm.tm_mon + 1);
    s->cmos[YEAR] = encode(s, (tm.tm_year + 1900) % 100);
    s->cmos[CENTURY] = s->cmos[PS2_CENTURY] = encode(s, (tm.tm_year + 1900) / 100);
}

static int64_t registers_to_time(const Mc146818 *s)
{
    struct tm tm = { .tm_sec = decode(s, s->cmos[SECONDS]),
                     .tm_min = decode(s, s->cmos[MINUTES]),
                     .tm_hour = decode_hour(s, s->cmos[HOURS]),
                     .tm_mday = decode(s, s->cmos[MONTHDAY]),
                     .tm_mon = (int)decode(s, s->cmos[MONTH]) - 1,
                     .tm_year = decode(s, s->cmos[YEAR]) + decode(s, s->cmos[CENTURY]) * 100 - 1900 };
    return timegm(&tm);
}

static bool is_time(unsigned index)
{
    return index == SECONDS || index == MINUTES || index == HOURS || (index >= WEEKDAY && index <= YEAR) ||
           index == CENTURY || index == PS2_CENTURY;
}

/* ---- flags ---- */

static void update_irq(Mc146818 *s)
{
    bool level = s->cmos[REG_C] & s->cmos[REG_B] & (C_PF | C_AF | C_UF);
    s->cmos[REG_C] = (s->cmos[REG_C] & ~C_IRQF) | (level ? C_IRQF : 0);
    irq_set(&s->irq, level);
}

static bool alarm_matches(const Mc146818 *s, int64_t seconds)
{
    unsigned of_day = (seconds % 86400 + 86400) % 86400;
    const uint8_t *alarm = s->cmos;
    return (alarm[SECONDS_ALARM] >= ANY || decode(s, alarm[SECONDS_ALARM]) == of_day % 60) &&
           (alarm[MINUTES_ALARM] >= ANY || decode(s, alarm[MINUTES_ALARM]) == of_day / 60 % 60) &&
           ((alarm[HOURS_ALARM] & ANY) == ANY || decode_hour(s, alarm[HOURS_ALARM]) == of_day / 3600);
}

/* What has happened since the last time that somebody looked. */
static void notice_updates(Mc146818 *s)
{
    int64_t seconds = guest_seconds(s);
    if (stopped(s) || seconds <= s->noticed)
        return;
    s->cmos[REG_C] |= C_UF;
    for (int64_t t = MAX(s->noticed + 1, seconds - 86400); t <= seconds && !(s->cmos[REG_C] & C_AF); t++) {
        if (alarm_matches(s, t))
            s->cmos[REG_C] |= C_AF;
    }
    s->noticed = seconds;
}

/* Of the 32.768 kHz clock; rates 1 and 2 are those of 8 and 9. 0: none. */
static int64_t period_ns(const Mc146818 *s)
{
    unsigned rate = s->cmos[REG_A] & A_RATE;
    bool runs = (s->cmos[REG_A] & A_STOPPED) != A_STOPPED;
    if (!rate || !runs)
        return 0;
    return (SECOND << (rate <= 2 ? rate + 6 : rate - 1)) / 32768;
}

static void notice_period(Mc146818 *s)
{
    int64_t period = period_ns(s), now = virtual_now(s);
    if (!period || now < s->periodic_next)
        return;
    s->cmos[REG_C] |= C_PF;
    s->periodic_next += ((now - s->periodic_next) / period + 1) * period;
}

static void arm_periodic(Mc146818 *s)
{
    bool on = period_ns(s) && s->cmos[REG_B] & B_PIE;
    timer_set(&s->periodic, on ? s->periodic_next : TIMER_NEVER);
}

static void arm_update(Mc146818 *s)
{
    int64_t next = (floor_seconds(local_ns(s)) + 1) * SECOND - s->phase;
    bool on = !stopped(s) && s->cmos[REG_B] & (B_UIE | B_AIE);
    timer_set(&s->update, on ? rtc_to_clock(s->dev.machine, next) : TIMER_NEVER);
}

static void periodic_fired(void *opaque)
{
    Mc146818 *s = opaque;
    notice_period(s);
    update_irq(s);
    arm_periodic(s);
}

static void update_fired(void *opaque)
{
    Mc146818 *s = opaque;
    notice_updates(s);
    update_irq(s);
    if (s->cmos[REG_C] & s->cmos[REG_B] & C_AF)
        irq_set(&s->wake, true);
    arm_update(s);
}

/* ---- registers ---- */

/* The registers' time is now the time; phase stays. */
static void set_time(Mc146818 *s)
{
    s->offset = registers_to_time(s) - floor_seconds(local_ns(s));
    s->noticed = guest_seconds(s);
}

/* The divider starts: the first update comes half a second later. */
static void start_divider(Mc146818 *s)
{
    int64_t fraction = rtc_now(s->dev.machine) % SECOND;
    s->phase = (HALF_SECOND - fraction + SECOND) % SECOND;
}

static void write_control(Mc146818 *s, unsigned index, uint8_t value)
{
    bool was_stopped = stopped(s), was_reset = (s->cmos[REG_A] & A_STOPPED) == A_STOPPED;
    uint8_t rate = s->cmos[REG_A] & A_RATE;
    notice_updates(s);
    if (!was_stopped)
        time_to_registers(s, guest_seconds(s)); /* in the old format, as it stays if it is stopped now */
    if (index == REG_A)
        s->cmos[REG_A] = value & ~A_UIP;
    else
        s->cmos[REG_B] = value & B_SET ? value & ~B_UIE : value;
    if (was_reset && (s->cmos[REG_A] & A_STOPPED) != A_STOPPED)
        start_divider(s);
    if (was_stopped && !stopped(s))
        set_time(s);
    if (index == REG_A && (was_reset || rate != (value & A_RATE)))
        s->periodic_next = virtual_now(s) + period_ns(s);
    arm_periodic(s);
    arm_update(s);
    update_irq(s);
}

static void write_time(Mc146818 *s, unsigned index, uint8_t value)
{
    if (!stopped(s))
        time_to_registers(s, guest_seconds(s));
    s->cmos[index] = value;
    if (index == PS2_CENTURY)
        s->cmos[CENTURY] = value;
    if (index == CENTURY)
        s->cmos[PS2_CENTURY] = value;
    if (!stopped(s))
        set_time(s);
}

static uint8_t read_c(Mc146818 *s)
{
    notice_updates(s);
    notice_period(s);
    update_irq(s);
    uint8_t value = s->cmos[REG_C];
    s->cmos[REG_C] = 0;
    update_irq(s);
    return value;
}

static bool update_in_progress(const Mc146818 *s)
{
    int64_t fraction = local_ns(s) % SECOND;
    return !stopped(s) && (fraction < 0 ? fraction + SECOND : fraction) >= SECOND - UIP_NS;
}

static uint8_t read_register(Mc146818 *s, unsigned index)
{
    if (is_time(index) && !stopped(s))
        time_to_registers(s, guest_seconds(s));
    if (index == REG_A)
        return s->cmos[REG_A] | (update_in_progress(s) ? A_UIP : 0);
    return index == REG_C ? read_c(s) : s->cmos[index];
}

static void write_register(Mc146818 *s, unsigned index, uint8_t value)
{
    if (index == REG_A || index == REG_B)
        write_control(s, index, value);
    else if (is_time(index))
        write_time(s, index, value);
    else if (index != REG_C && index != REG_D)
        s->cmos[index] = value;
}

/* Port 70 is write-only; its bit 7 masks NMIs, of which there are none. */
static uint64_t cmos_read(void *opaque, uint64_t offset, unsigned size)
{
    Mc146818 *s = opaque;
    return offset ? read_register(s, s->index) : 0xff;
}

static void cmos_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Mc146818 *s = opaque;
    if (offset)
        write_register(s, s->index, value);
    else
        s->index = value & (CMOS_SIZE - 1);
}

static const MemOps cmos_ops = { .read = cmos_read, .write = cmos_write, .impl_max = 1 };

void mc146818_set(Mc146818 *rtc, uint8_t index, uint8_t value)
{
    g_assert(index < CMOS_SIZE && index > REG_D && !is_time(index));
    rtc->cmos[index] = value;
}

uint8_t mc146818_get(const Mc146818 *rtc, uint8_t index)
{
    return rtc->cmos[index & (CMOS_SIZE - 1)];
}

/* ---- life cycle ---- */

static bool realize(Device *dev, GError **err)
{
    Mc146818 *s = (Mc146818 *)dev;
    timer_init(&s->periodic, dev->machine->clocks, CLOCK_VIRTUAL_NS, periodic_fired, s);
    timer_init(&s->update, dev->machine->clocks, dev->machine->rtc.clock, update_fired, s);
    mem_io_init(&s->ports, dev->machine, "rtc", 2, &cmos_ops, s);
    mem_add(isa_ports(dev->machine), 0x70, &s->ports, 0);
    s->cmos[REG_A] = A_RUNS | 6;
    s->cmos[REG_B] = B_24;
    s->cmos[REG_D] = D_VALID;
    s->noticed = guest_seconds(s);
    return true;
}

/* The time and the memory have a battery: only interrupts end. */
static void reset(Device *dev)
{
    Mc146818 *s = (Mc146818 *)dev;
    s->cmos[REG_B] &= ~(B_PIE | B_AIE | B_UIE | B_SQWE);
    s->cmos[REG_C] = 0;
    s->index = 0;
    s->periodic_next = virtual_now(s) + period_ns(s);
    arm_periodic(s);
    arm_update(s);
    update_irq(s);
}

static void post_load(Device *dev)
{
    Mc146818 *s = (Mc146818 *)dev;
    s->index &= CMOS_SIZE - 1;
    s->phase = CLAMP(s->phase, 0, SECOND - 1);
    s->offset = CLAMP(s->offset, -(INT64_C(1) << 40), INT64_C(1) << 40); /* what registers can make */
    update_irq(s);
}

static const StateField state[] = { STATE_ARRAY(Mc146818, cmos),
                                    STATE(Mc146818, index),
                                    STATE(Mc146818, offset),
                                    STATE(Mc146818, phase),
                                    STATE(Mc146818, noticed),
                                    STATE(Mc146818, periodic_next),
                                    STATE_TIMER(Mc146818, periodic),
                                    STATE_TIMER(Mc146818, update),
                                    STATE_SKIP(Mc146818, ports, "wiring"),
                                    STATE_SKIP(Mc146818, irq, "wiring"),
                                    STATE_SKIP(Mc146818, wake, "wiring"),
                                    STATE_END };

const DeviceType mc146818rtc_type = {
    .name = "mc146818rtc",
    .desc = "MC146818 real-time clock and CMOS memory",
    .category = "misc",
    .size = sizeof(Mc146818),
    .state = state,
    .realize = realize,
    .reset = reset,
    .post_load = post_load,
};
