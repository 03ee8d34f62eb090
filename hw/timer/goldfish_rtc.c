/*
 * Goldfish real-time clock (Android's virtual hardware "goldfish_rtc", as Linux' rtc-goldfish drives it): nanoseconds
 * since 1970 in two halves, and an alarm.
 * SPDX-License-Identifier: MIT
 */
#include "hw/timer/goldfish_rtc.h"
#include "hw/timer/rtc.h"

enum {
    TIME_LOW = 0x00,
    TIME_HIGH = 0x04,
    ALARM_LOW = 0x08,
    ALARM_HIGH = 0x0c,
    IRQ_ENABLED = 0x10,
    CLEAR_ALARM = 0x14,
    ALARM_STATUS = 0x18,
    CLEAR_INTERRUPT = 0x1c
};

static GoldfishRtc *rtc(Device *dev)
{
    return (GoldfishRtc *)dev;
}

static uint64_t now(GoldfishRtc *s)
{
    return (uint64_t)rtc_now(s->dev.machine) + s->offset;
}

static void update(GoldfishRtc *s)
{
    irq_set(&s->irq, s->irq_pending && s->irq_enabled);
}

static void alarm_fired(void *opaque)
{
    GoldfishRtc *s = opaque;
    s->alarm_running = 0;
    s->irq_pending = 1;
    update(s);
}

static void set_timer(GoldfishRtc *s)
{
    if (!s->alarm_running)
        timer_cancel(&s->timer);
    else if (s->alarm <= now(s))
        alarm_fired(s);
    else
        timer_set(&s->timer, MIN(rtc_to_clock(s->dev.machine, MIN(s->alarm - s->offset, INT64_MAX)), TIMER_NEVER - 1));
}

static uint64_t read_time_low(Device *dev, const Reg *reg)
{
    uint64_t time = now(rtc(dev));
    rtc(dev)->time_high = time >> 32;
    return (uint32_t)time;
}

/* The high half is written first; the low half makes it valid. */
static void write_time_low(Device *dev, const Reg *reg, uint64_t value)
{
    GoldfishRtc *s = rtc(dev);
    s->offset += ((uint64_t)s->set_high << 32 | value) - now(s);
    set_timer(s);
}

static void write_time_high(Device *dev, const Reg *reg, uint64_t value)
{
    rtc(dev)->set_high = value;
}

static uint64_t read_time_high(Device *dev, const Reg *reg)
{
    return rtc(dev)->time_high;
}

static uint64_t read_alarm_low(Device *dev, const Reg *reg)
{
    return (uint32_t)rtc(dev)->alarm;
}

static void write_alarm_low(Device *dev, const Reg *reg, uint64_t value)
{
    GoldfishRtc *s = rtc(dev);
    s->alarm = (uint64_t)s->alarm_high << 32 | value;
    s->alarm_running = 1;
    set_timer(s);
}

static void irq_enabled_written(Device *dev, const Reg *reg)
{
    update(rtc(dev));
}

static void write_clear_alarm(Device *dev, const Reg *reg, uint64_t value)
{
    rtc(dev)->alarm_running = 0;
    set_timer(rtc(dev));
}

static uint64_t read_alarm_status(Device *dev, const Reg *reg)
{
    return rtc(dev)->alarm_running;
}

static void ignore_write(Device *dev, const Reg *reg, uint64_t value) {}

static void write_clear_interrupt(Device *dev, const Reg *reg, uint64_t value)
{
    rtc(dev)->irq_pending = 0;
    update(rtc(dev));
}

static const Reg regs[] = {
    { TIME_LOW, "TIME_LOW", .read = read_time_low, .write = write_time_low },
    { TIME_HIGH, "TIME_HIGH", .read = read_time_high, .write = write_time_high },
    { ALARM_LOW, "ALARM_LOW", .read = read_alarm_low, .write = write_alarm_low },
    { ALARM_HIGH, "ALARM_HIGH", REG(GoldfishRtc, alarm_high) },
    { IRQ_ENABLED, "IRQ_ENABLED", REG(GoldfishRtc, irq_enabled), .rsvd = ~1ull, .post_write = irq_enabled_written },
    { CLEAR_ALARM, "CLEAR_ALARM", .write = write_clear_alarm },
    { ALARM_STATUS, "ALARM_STATUS", .read = read_alarm_status, .write = ignore_write },
    { CLEAR_INTERRUPT, "CLEAR_INTERRUPT", .write = write_clear_interrupt },
};
static const RegBank bank = REG_BANK(regs, .width = 4);

static bool realize(Device *dev, GError **err)
{
    GoldfishRtc *s = rtc(dev);
    reg_bank_init(&s->mmio, dev, &bank, "goldfish_rtc", 0x24);
    timer_init(&s->timer, dev->machine->clocks, dev->machine->rtc.clock, alarm_fired, s);
    return true;
}

/* The clock itself goes on. */
static void reset(Device *dev)
{
    GoldfishRtc *s = rtc(dev);
    s->alarm = 0;
    s->time_high = s->set_high = 0;
    s->alarm_running = s->irq_pending = 0;
    set_timer(s);
    update(s);
}

static void post_load(Device *dev)
{
    update(rtc(dev));
}

static const StateField state[] = { STATE(GoldfishRtc, offset),
                                    STATE(GoldfishRtc, alarm),
                                    STATE(GoldfishRtc, time_high),
                                    STATE(GoldfishRtc, alarm_high),
                                    STATE(GoldfishRtc, set_high),
                                    STATE(GoldfishRtc, alarm_running),
                                    STATE(GoldfishRtc, irq_enabled),
                                    STATE(GoldfishRtc, irq_pending),
                                    STATE_TIMER(GoldfishRtc, timer),
                                    STATE_SKIP(GoldfishRtc, mmio, "wiring"),
                                    STATE_SKIP(GoldfishRtc, irq, "wiring"),
                                    STATE_END };

const DeviceType goldfish_rtc_type = {
    .name = "goldfish-rtc",
    .desc = "Goldfish real-time clock",
    .category = "misc",
    .size = sizeof(GoldfishRtc),
    .state = state,
    .regs = &bank,
    .realize = realize,
    .reset = reset,
    .post_load = post_load,
};
