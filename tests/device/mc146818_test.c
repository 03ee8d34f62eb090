/*
 * MC146818: time in its formats, setting it, alarms, update and periodic interrupts, CMOS bytes.
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "hw/timer/mc146818.h"
#include "hw/timer/rtc.h"

#define SECOND INT64_C(1000000000)

typedef struct Fixture {
    DevMachine *m;
    Mc146818 *rtc;
    DevIrq irq;
} Fixture;

static Fixture *rtc_new(const char *base)
{
    GError *err = NULL;
    Fixture *f = g_new0(Fixture, 1);
    f->m = devm_new();
    g_autofree char *text = g_strdup_printf("base=%s,clock=vm", base);
    g_autoptr(Opts) opts = opts_parse("-rtc", text, NULL, &err);
    rtc_configure(f->m->machine, opts, &err);
    g_assert_no_error(err);
    f->rtc = devm_add(f->m, &mc146818rtc_type, NULL);
    devm_realize(f->m, f->rtc);
    f->rtc->irq = devirq_init(&f->irq);
    return f;
}

static void rtc_free(Fixture *f)
{
    devm_free(f->m);
    g_free(f);
}

static uint8_t get(Fixture *f, uint8_t index)
{
    out(f->m, 0x70, 1, index);
    return in(f->m, 0x71, 1);
}

static void set(Fixture *f, uint8_t index, uint8_t value)
{
    out(f->m, 0x70, 1, index);
    out(f->m, 0x71, 1, value);
}

/* century, year, month, day, weekday, hours, minutes, seconds */
static void check(Fixture *f, const char *want)
{
    static const uint8_t registers[] = { 0x32, 9, 8, 7, 6, 4, 2, 0 };
    g_autoptr(GString) text = g_string_new(NULL);
    for (unsigned i = 0; i < sizeof(registers); i++)
        g_string_append_printf(text, "%s%02x", i ? " " : "", get(f, registers[i]));
    g_assert_cmpstr(text->str, ==, want);
}

static void test_formats(void)
{
    Fixture *f = rtc_new("1999-12-31T23:59:58");
    check(f, "19 99 12 31 06 23 59 58"); /* a Friday */
    devm_step(f->m, 2 * SECOND);
    check(f, "20 00 01 01 07 00 00 00");
    set(f, 11, 0x00); /* 12 hours */
    check(f, "20 00 01 01 07 12 00 00");
    devm_step(f->m, 13 * 3600 * SECOND);
    check(f, "20 00 01 01 07 81 00 00");
    set(f, 11, 0x06); /* binary */
    check(f, "14 00 01 01 07 0d 00 00");
    g_assert_cmphex(get(f, 0x37), ==, 20);
    g_assert_cmphex(get(f, 13), ==, 0x80);
    g_assert_cmphex(in(f->m, 0x70, 1), ==, 0xff);
    rtc_free(f);
}

static void test_set(void)
{
    Fixture *f = rtc_new("2026-11-21T08:00:00");
    static const uint8_t registers[] = { 0, 2, 4, 7, 8, 9, 0x32 },
                         values[] = { 0x30, 0x15, 0x12, 0x29, 0x02, 0x24, 0x20 };
    set(f, 11, 0x82);
    devm_step(f->m, 10 * SECOND);
    check(f, "20 26 11 21 07 08 00 00"); /* it stands */
    for (unsigned i = 0; i < sizeof(values); i++)
        set(f, registers[i], values[i]);
    set(f, 11, 0x02);
    check(f, "20 24 02 29 05 12 15 30");
    devm_step(f->m, 86400 * SECOND);
    check(f, "20 24 03 01 06 12 15 30");
    devm_reset(f->m); /* has a battery */
    check(f, "20 24 03 01 06 12 15 30");
    set(f, 4, 0x13); /* without SET, too */
    check(f, "20 24 03 01 06 13 15 30");
    /* Linux stops the divider while it sets the time: the next second begins half a second after */
    set(f, 11, 0x82);
    set(f, 10, 0x76);
    set(f, 0, 0x00);
    set(f, 11, 0x02);
    devm_step(f->m, SECOND / 4);
    check(f, "20 24 03 01 06 13 15 00");
    set(f, 10, 0x26);
    devm_step(f->m, SECOND / 2 - 1000);
    check(f, "20 24 03 01 06 13 15 00");
    g_assert_cmphex(get(f, 10), ==, 0xa6);
    devm_step(f->m, 2000);
    check(f, "20 24 03 01 06 13 15 01");
    g_assert_cmphex(get(f, 10), ==, 0x26);
    for (unsigned i = 0; i < sizeof(values); i++)
        set(f, registers[i], 0xff); /* nonsense does no harm */
    get(f, 9);
    rtc_free(f);
}

static void test_update_and_alarm(void)
{
    Fixture *f = rtc_new("2026-11-21T08:00:00");
    g_assert_cmphex(get(f, 12), ==, 0);
    devm_step(f->m, SECOND);
    g_assert_cmphex(get(f, 12) & 0x10, ==, 0x10); /* flag without interrupt */
    g_assert_cmphex(get(f, 12) & 0x10, ==, 0);
    set(f, 11, 0x12);
    devm_step(f->m, 3 * SECOND);
    g_assert_true(f->irq.level);
    g_assert_cmpuint(f->irq.rises, ==, 1); /* up until register C is read */
    g_assert_cmphex(get(f, 12) & 0x90, ==, 0x90);
    g_assert_false(f->irq.level);
    devm_step(f->m, SECOND);
    g_assert_cmpuint(f->irq.rises, ==, 2);
    get(f, 12);
    set(f, 1, 0x10);
    set(f, 3, 0x00);
    set(f, 5, 0x08);
    set(f, 11, 0x22);
    devm_step(f->m, 4 * SECOND); /* 08:00:09 */
    g_assert_false(f->irq.level);
    devm_step(f->m, SECOND);
    g_assert_true(f->irq.level);
    g_assert_cmphex(get(f, 12) & 0xa0, ==, 0xa0);
    set(f, 3, 0xff); /* any minute, any hour */
    set(f, 5, 0xff);
    devm_step(f->m, 59 * SECOND);
    g_assert_false(f->irq.level);
    devm_step(f->m, SECOND);
    g_assert_true(f->irq.level);
    devm_reset(f->m);
    g_assert_false(f->irq.level);
    rtc_free(f);
}

static void test_periodic(void)
{
    Fixture *f = rtc_new("2026-11-21T08:00:00");
    set(f, 10, 0x26); /* 1024 Hz */
    unsigned flags = 0;
    for (unsigned i = 0; i < 100; i++) {
        devm_step(f->m, SECOND / 100);
        flags += get(f, 12) >> 6 & 1;
    }
    g_assert_cmpuint(flags, ==, 100);
    g_assert_cmpuint(f->irq.rises, ==, 0);
    set(f, 11, 0x42);
    for (unsigned i = 0; i < 4096; i++) {
        devm_step(f->m, SECOND / 4096);
        get(f, 12);
    }
    g_assert_cmpuint(f->irq.rises, >=, 1023);
    g_assert_cmpuint(f->irq.rises, <=, 1024);
    set(f, 10, 0x20);
    devm_step(f->m, SECOND);
    g_assert_cmphex(get(f, 12) & 0x40, ==, 0);
    rtc_free(f);
}

static void test_memory(void)
{
    Fixture *f = rtc_new("2026-11-21");
    mc146818_set(f->rtc, 0x34, 0xc0);
    g_assert_cmphex(get(f, 0xb4), ==, 0xc0); /* bit 7 is the NMI's */
    set(f, 0x5f, 0x11);
    devm_reset(f->m);
    g_assert_cmphex(mc146818_get(f->rtc, 0x5f), ==, 0x11);
    set(f, 13, 0);
    g_assert_cmphex(get(f, 13), ==, 0x80);
    rtc_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mc146818/formats", test_formats);
    g_test_add_func("/mc146818/set", test_set);
    g_test_add_func("/mc146818/update-and-alarm", test_update_and_alarm);
    g_test_add_func("/mc146818/periodic", test_periodic);
    g_test_add_func("/mc146818/memory", test_memory);
    return g_test_run();
}
