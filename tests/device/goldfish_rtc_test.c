/*
 * Goldfish real-time clock: time in two halves, setting it, the alarm.
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "hw/timer/goldfish_rtc.h"
#include "hw/timer/rtc.h"

#define BASE   0x10000000
#define SECOND UINT64_C(1000000000)
#define START  (UINT64_C(1000000000) * SECOND) /* 2001 */
enum {
    TIME_LOW = 0,
    TIME_HIGH = 4,
    ALARM_LOW = 8,
    ALARM_HIGH = 12,
    ENABLE = 16,
    CLEAR_ALARM = 20,
    STATUS = 24,
    CLEAR = 28
};

static GoldfishRtc *rtc_new(DevMachine *m, DevIrq *irq)
{
    g_autoptr(Opts) opts = opts_parse("-rtc", "base=2001-09-09T01:46:40,clock=vm", NULL, NULL);
    g_assert_true(rtc_configure(m->machine, opts, NULL));
    GoldfishRtc *s = devm_add(m, &goldfish_rtc_type, NULL);
    s->irq = devirq_init(irq);
    devm_realize(m, s);
    devm_map(m, &s->mmio, BASE);
    return s;
}

static uint64_t get_time(DevMachine *m)
{
    uint32_t low = r32(m, BASE + TIME_LOW);
    return (uint64_t)r32(m, BASE + TIME_HIGH) << 32 | low;
}

static void set_alarm(DevMachine *m, uint64_t at)
{
    w32(m, BASE + ALARM_HIGH, at >> 32);
    w32(m, BASE + ALARM_LOW, at);
}

static void test_time(void)
{
    DevIrq irq;
    DevMachine *m = devm_new();
    rtc_new(m, &irq);
    g_assert_cmpuint(get_time(m), ==, START);
    devm_step(m, 12345);
    g_assert_cmpuint(get_time(m), ==, START + 12345);
    uint32_t low = r32(m, BASE + TIME_LOW); /* the high half belongs to it, however late it is read */
    devm_step(m, INT64_C(5) << 32);
    g_assert_cmpuint((uint64_t)r32(m, BASE + TIME_HIGH) << 32 | low, ==, START + 12345);
    g_assert_cmpuint(get_time(m), ==, START + 12345 + (UINT64_C(5) << 32));
    w32(m, BASE + TIME_HIGH, 0x20000000);
    g_assert_cmpuint(get_time(m), ==, START + 12345 + (UINT64_C(5) << 32)); /* not yet */
    w32(m, BASE + TIME_LOW, 77);
    g_assert_cmphex(get_time(m), ==, UINT64_C(0x2000000000000000) + 77);
    devm_step(m, 3);
    g_assert_cmphex(get_time(m), ==, UINT64_C(0x2000000000000000) + 80);
    devm_reset(m);
    g_assert_cmphex(get_time(m), ==, UINT64_C(0x2000000000000000) + 80); /* it has a battery */
    bad_read(m, BASE, 8);
    bad_read(m, BASE, 1);
    devm_free(m);
}

static void test_alarm(void)
{
    DevIrq irq;
    DevMachine *m = devm_new();
    rtc_new(m, &irq);
    w32(m, BASE + ENABLE, 1);
    set_alarm(m, START + 1000);
    g_assert_cmphex(r32(m, BASE + ALARM_LOW), ==, (uint32_t)(START + 1000));
    g_assert_cmphex(r32(m, BASE + ALARM_HIGH), ==, (START + 1000) >> 32);
    g_assert_cmpuint(r32(m, BASE + STATUS), ==, 1);
    devm_step(m, 999);
    g_assert_false(irq.level);
    devm_step(m, 1);
    g_assert_true(irq.level);
    g_assert_cmpuint(r32(m, BASE + STATUS), ==, 0);
    w32(m, BASE + ENABLE, 0);
    g_assert_false(irq.level);
    w32(m, BASE + ENABLE, 1);
    g_assert_true(irq.level);
    w32(m, BASE + CLEAR, 1);
    g_assert_false(irq.level);
    set_alarm(m, START + 500); /* past: at once */
    g_assert_true(irq.level);
    w32(m, BASE + CLEAR, 1);
    set_alarm(m, START + 5000);
    w32(m, BASE + CLEAR_ALARM, 1);
    g_assert_cmpuint(r32(m, BASE + STATUS), ==, 0);
    devm_step(m, 10000);
    g_assert_false(irq.level);
    set_alarm(m, UINT64_MAX); /* hundreds of years away */
    g_assert_cmpuint(r32(m, BASE + STATUS), ==, 1);
    devm_step(m, 10 * SECOND);
    g_assert_false(irq.level);
    devm_free(m);
}

/* The clock is set while an alarm waits: it fires when the new time reaches it. */
static void test_set_with_alarm(void)
{
    DevIrq irq;
    DevMachine *m = devm_new();
    rtc_new(m, &irq);
    w32(m, BASE + ENABLE, 1);
    set_alarm(m, START + 100 * SECOND);
    uint64_t before = START + 90 * SECOND;
    w32(m, BASE + TIME_HIGH, before >> 32);
    w32(m, BASE + TIME_LOW, before);
    devm_step(m, 10 * SECOND - 1);
    g_assert_false(irq.level);
    devm_step(m, 1);
    g_assert_true(irq.level);
    w32(m, BASE + CLEAR, 1);
    set_alarm(m, START + 200 * SECOND);
    w32(m, BASE + TIME_HIGH, (START + 300 * SECOND) >> 32);
    w32(m, BASE + TIME_LOW, (uint32_t)(START + 300 * SECOND));
    g_assert_true(irq.level);
    w32(m, BASE + CLEAR, 1);
    w32(m, BASE + TIME_HIGH, 0); /* 1970: long before the clock's start */
    w32(m, BASE + TIME_LOW, 0);
    g_assert_cmpuint(get_time(m), ==, 0);
    set_alarm(m, 5000);
    devm_step(m, 4999);
    g_assert_false(irq.level);
    devm_step(m, 1);
    g_assert_true(irq.level);
    devm_reset(m);
    g_assert_false(irq.level);
    g_assert_cmpuint(r32(m, BASE + ENABLE), ==, 0);
    devm_free(m);
}

static void test_state(void)
{
    DevIrq irq, twin_irq;
    DevMachine *m = devm_new(), *other = devm_new();
    GoldfishRtc *s = rtc_new(m, &irq), *twin = rtc_new(other, &twin_irq);
    w32(m, BASE + ENABLE, 1);
    set_alarm(m, START + 1000);
    devm_check_covered(&s->dev);
    devm_check_twin(&s->dev, &twin->dev);
    devm_step(other, 1000);
    g_assert_true(twin_irq.level);
    devm_free(m);
    devm_free(other);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/goldfish-rtc/time", test_time);
    g_test_add_func("/goldfish-rtc/alarm", test_alarm);
    g_test_add_func("/goldfish-rtc/set-with-alarm", test_set_with_alarm);
    g_test_add_func("/goldfish-rtc/state", test_state);
    return g_test_run();
}
