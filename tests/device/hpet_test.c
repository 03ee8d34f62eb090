/*
 * HPET: counter, one-shot and periodic comparators of 32 and 64 bits, levels, legacy replacement, messages.
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "hw/timer/hpet.h"

enum { ID = 0, CONFIG = 0x10, STATUS = 0x20, COUNTER = 0xf0 };
#define T(n, reg) (HPET_BASE + 0x100 + 0x20 * (n) + (reg))
enum { CFG = 0, CMP = 8, FSB = 16 };

typedef struct Fixture {
    DevMachine *m;
    Hpet *hpet;
    DevIrq irqs[HPET_IRQS], legacy;
} Fixture;

static Fixture *hpet_new(const char *props)
{
    Fixture *f = g_new0(Fixture, 1);
    f->m = devm_new();
    f->hpet = devm_add(f->m, &hpet_type, props);
    devm_realize(f->m, f->hpet);
    devm_map(f->m, &f->hpet->mmio, HPET_BASE);
    for (unsigned n = 0; n < HPET_IRQS; n++)
        f->hpet->irqs[n] = devirq_init(&f->irqs[n]);
    f->hpet->legacy = devirq_init(&f->legacy);
    return f;
}

static void hpet_free(Fixture *f)
{
    devm_free(f->m);
    g_free(f);
}

static void test_counter(void)
{
    Fixture *f = hpet_new("hpet-intcap=0xff0104");
    g_assert_cmphex(r64(f->m, HPET_BASE + ID), ==, UINT64_C(0x009896808086a201));
    g_assert_cmphex(r32(f->m, HPET_BASE + ID + 4), ==, 10000000);
    g_assert_cmphex(r64(f->m, T(0, CFG)), ==, UINT64_C(0x00ff010400000030));
    devm_step(f->m, 1000);
    g_assert_cmpuint(r64(f->m, HPET_BASE + COUNTER), ==, 0);
    w64(f->m, HPET_BASE + COUNTER, UINT64_C(0xfffffff0));
    w32(f->m, HPET_BASE + CONFIG, 1);
    devm_step(f->m, 1000);
    g_assert_cmphex(r64(f->m, HPET_BASE + COUNTER), ==, UINT64_C(0x100000054));
    g_assert_cmphex(r32(f->m, HPET_BASE + COUNTER + 4), ==, 1);
    w32(f->m, HPET_BASE + CONFIG, 0);
    devm_step(f->m, 1000);
    g_assert_cmphex(r32(f->m, HPET_BASE + COUNTER), ==, 0x54);
    hpet_free(f);
}

static void test_one_shot(void)
{
    Fixture *f = hpet_new("hpet-intcap=0xff0104");
    w32(f->m, HPET_BASE + CONFIG, 1);
    w32(f->m, T(2, CFG), 20 << 9 | 4);
    w64(f->m, T(2, CMP), 1000);
    devm_step(f->m, 9990);
    g_assert_cmpuint(f->irqs[20].rises, ==, 0);
    devm_step(f->m, 10);
    g_assert_cmpuint(f->irqs[20].rises, ==, 1);
    g_assert_false(f->irqs[20].level);
    devm_step(f->m, INT64_C(100000000000));
    g_assert_cmpuint(f->irqs[20].rises, ==, 1);
    w32(f->m, T(2, CFG), 0x100 | 20 << 9 | 6); /* 32 bits, level */
    w32(f->m, T(2, CMP), r32(f->m, HPET_BASE + COUNTER) + 100);
    devm_step(f->m, 1000);
    g_assert_true(f->irqs[20].level);
    g_assert_cmphex(r32(f->m, HPET_BASE + STATUS), ==, 4);
    w32(f->m, HPET_BASE + STATUS, 4);
    g_assert_false(f->irqs[20].level);
    w32(f->m, T(2, CFG), 3 << 9 | 4); /* a pin that it cannot use */
    w64(f->m, T(2, CMP), r64(f->m, HPET_BASE + COUNTER) + 100);
    devm_step(f->m, 1000);
    g_assert_cmpuint(f->irqs[3].rises, ==, 0);
    hpet_free(f);
}

/* Time passes, and the timers' turn is still to come: the host is busy. */
static void pass(Fixture *f, int64_t ns)
{
    clock_set_virtual(f->m->machine->clocks, clock_now(f->m->machine->clocks, CLOCK_VIRTUAL_NS) + ns);
}

/* What is due when a register is written is not lost, nor put off until the counter has gone round. */
static void test_late(void)
{
    Fixture *f = hpet_new(NULL);
    w32(f->m, HPET_BASE + CONFIG, 1);
    w32(f->m, T(0, CFG), 2 << 9 | 0x100 | 4);
    for (unsigned i = 0; i < 3; i++) {
        w32(f->m, T(0, CMP), r32(f->m, HPET_BASE + COUNTER) + 1000);
        pass(f, 50000);
        g_assert_cmpuint(f->irqs[2].rises, ==, i);
        if (i == 0)
            w32(f->m, T(0, CFG), 2 << 9 | 0x100 | 4);
        else if (i == 1)
            w32(f->m, HPET_BASE + CONFIG, 1);
        else
            w32(f->m, T(0, CMP), r32(f->m, HPET_BASE + COUNTER) + 1000000);
        g_assert_cmpuint(f->irqs[2].rises, ==, i + 1);
        devm_step(f->m, 1000000);
        g_assert_cmpuint(f->irqs[2].rises, ==, i + 1);
    }
    devm_step(f->m, 10000000);
    g_assert_cmpuint(f->irqs[2].rises, ==, 4);
    hpet_free(f);
}

/* The host keeps the guest waiting between its look at the counter and its write of a periodic comparator. */
static void test_late_start(void)
{
    Fixture *f = hpet_new(NULL);
    devm_step(f->m, 12345);
    w32(f->m, HPET_BASE + CONFIG, 1);
    uint32_t first = r32(f->m, HPET_BASE + COUNTER) + 10000;
    devm_step(f->m, 250000);
    w32(f->m, T(0, CFG), 2 << 9 | 0x100 | 0x40 | 8 | 4);
    w32(f->m, T(0, CMP), first);
    w32(f->m, T(0, CMP), 10000);
    g_assert_cmpuint(f->irqs[2].rises, ==, 1);
    devm_step(f->m, 1000000);
    g_assert_cmpuint(f->irqs[2].rises, ==, 11);
    hpet_free(f);
}

/* A periodic timer that is not enabled goes on, but wakes nobody. */
static void test_unheard(void)
{
    Fixture *f = hpet_new(NULL);
    w32(f->m, HPET_BASE + CONFIG, 1);
    w32(f->m, T(0, CFG), 2 << 9 | 0x40 | 8 | 4);
    w64(f->m, T(0, CMP), 10000);
    w64(f->m, T(0, CMP), 10000);
    devm_step(f->m, 500000);
    g_assert_cmpuint(f->irqs[2].rises, ==, 5);
    w32(f->m, T(0, CFG), 2 << 9 | 8);
    g_assert_false(timer_armed(&f->hpet->timers[0].timer));
    devm_step(f->m, INT64_C(100000000000));
    g_assert_cmpuint(r64(f->m, T(0, CMP)), ==, UINT64_C(10000060000));
    w32(f->m, T(0, CFG), 2 << 9 | 8 | 4);
    devm_step(f->m, 500000);
    g_assert_cmpuint(f->irqs[2].rises, ==, 10);
    hpet_free(f);
}

/* Comparators that are passed before the host has come to the end of arming them. */
static void test_busy(void)
{
    Fixture *f = hpet_new(NULL);
    devm_busy(f->m);
    w32(f->m, HPET_BASE + CONFIG, 1);
    w32(f->m, T(0, CFG), 2 << 9 | 0x100 | 0x40 | 8 | 4); /* periodic, each 2 us */
    w32(f->m, T(0, CMP), r32(f->m, HPET_BASE + COUNTER) + 500);
    w32(f->m, T(0, CMP), 200);
    devm_step(f->m, 10000000);
    g_assert_cmpuint(f->irqs[2].rises, >, 100);
    for (unsigned distance = 1000; distance < 1100; distance++) { /* each write is another time before it is passed */
        w32(f->m, T(0, CFG), 2 << 9 | 0x100 | 4);
        unsigned before = f->irqs[2].rises;
        w32(f->m, T(0, CMP), r32(f->m, HPET_BASE + COUNTER) + distance);
        for (unsigned i = 0; i < 20; i++)
            w32(f->m, HPET_BASE + CONFIG, 1);
        devm_step(f->m, 1000000);
        g_assert_cmpuint(f->irqs[2].rises, ==, before + 1);
    }
    hpet_free(f);
}

/* A periodic timer that fires before its period is written. */
static void test_late_period(void)
{
    Fixture *f = hpet_new(NULL);
    w32(f->m, HPET_BASE + CONFIG, 1);
    devm_step(f->m, INT64_C(2000000000));
    w32(f->m, T(0, CFG), 2 << 9 | 0x100 | 0x40 | 8 | 4);
    w32(f->m, T(0, CMP), r32(f->m, HPET_BASE + COUNTER) + 100000);
    devm_step(f->m, 3500000);
    g_assert_cmpuint(f->irqs[2].rises, ==, 1);
    w32(f->m, T(0, CMP), 100000);
    g_assert_cmpuint(r32(f->m, T(0, CMP)), ==, 200400000);
    devm_step(f->m, 10000000);
    g_assert_cmpuint(f->irqs[2].rises, ==, 11);
    hpet_free(f);
}

/* As Linux sets it up: SET_VALUE, first the comparator, then the period. */
static void test_periodic(void)
{
    Fixture *f = hpet_new(NULL);
    w32(f->m, T(0, CFG), 2 << 9 | 0x100 | 0x40 | 8 | 4);
    w32(f->m, T(0, CMP), 150000);
    w32(f->m, T(0, CMP), 100000);
    w32(f->m, HPET_BASE + CONFIG, 1);
    devm_step(f->m, 1499990);
    g_assert_cmpuint(f->irqs[2].rises, ==, 0);
    devm_step(f->m, 10);
    g_assert_cmpuint(f->irqs[2].rises, ==, 1);
    g_assert_cmpuint(r32(f->m, T(0, CMP)), ==, 250000);
    devm_step(f->m, INT64_C(50000000000)); /* beyond 32 bits of counter */
    g_assert_cmpuint(f->irqs[2].rises, ==, 50001);
    w32(f->m, T(0, CMP), 1); /* as fast as we let it */
    devm_step(f->m, 1000000);
    g_assert_cmpuint(f->irqs[2].rises, <, 50100);
    hpet_free(f);
}

static void test_legacy(void)
{
    Fixture *f = hpet_new(NULL);
    Irq rtc = hpet_rtc_input(f->hpet);
    irq_set(&rtc, true);
    g_assert_true(f->irqs[8].level);
    w32(f->m, HPET_BASE + CONFIG, 3);
    g_assert_true(f->legacy.level);
    g_assert_false(f->irqs[8].level);
    w32(f->m, T(0, CFG), 4);
    w32(f->m, T(1, CFG), 4);
    w64(f->m, T(0, CMP), 1000);
    w64(f->m, T(1, CMP), 2000);
    devm_step(f->m, 20000);
    g_assert_cmpuint(f->irqs[0].rises, ==, 1);
    g_assert_cmpuint(f->irqs[8].rises, ==, 2);
    w32(f->m, HPET_BASE + CONFIG, 1);
    g_assert_false(f->legacy.level);
    g_assert_true(f->irqs[8].level);
    hpet_free(f);
}

static void test_message(void)
{
    Fixture *f = hpet_new("msi=on,timers=32");
    uint64_t at = devm_dma(f->m, 4, 4);
    w32(f->m, HPET_BASE + CONFIG, 1);
    w64(f->m, T(31, CFG), 0x4004);
    w64(f->m, T(31, FSB), at << 32 | 0x1234);
    w64(f->m, T(31, CMP), 100);
    devm_step(f->m, 1000);
    g_assert_cmphex(r32(f->m, at), ==, 0x1234);
    hpet_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hpet/counter", test_counter);
    g_test_add_func("/hpet/one-shot", test_one_shot);
    g_test_add_func("/hpet/periodic", test_periodic);
    g_test_add_func("/hpet/late", test_late);
    g_test_add_func("/hpet/late-start", test_late_start);
    g_test_add_func("/hpet/unheard", test_unheard);
    g_test_add_func("/hpet/busy", test_busy);
    g_test_add_func("/hpet/late-period", test_late_period);
    g_test_add_func("/hpet/legacy", test_legacy);
    g_test_add_func("/hpet/message", test_message);
    return g_test_run();
}
