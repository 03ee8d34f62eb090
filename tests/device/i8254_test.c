/*
 * 8254: counts, modes, latches, the gate of port 61, interrupts.
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "hw/timer/i8254.h"

typedef struct Fixture {
    DevMachine *m;
    Pit *pit;
    DevIrq irq;
} Fixture;

static Fixture *pit_new(void)
{
    Fixture *f = g_new0(Fixture, 1);
    f->m = devm_new();
    f->pit = devm_add(f->m, &i8254_type, NULL);
    devm_realize(f->m, f->pit);
    f->pit->irq = devirq_init(&f->irq);
    return f;
}

static void pit_free(Fixture *f)
{
    devm_free(f->m);
    g_free(f);
}

static void load(Fixture *f, unsigned channel, unsigned mode, uint16_t count)
{
    out(f->m, 0x43, 1, channel << 6 | 0x30 | mode << 1);
    out(f->m, 0x40 + channel, 1, count & 0xff);
    out(f->m, 0x40 + channel, 1, count >> 8);
}

static unsigned count(Fixture *f, unsigned channel)
{
    unsigned low = in(f->m, 0x40 + channel, 1);
    return low | in(f->m, 0x40 + channel, 1) << 8;
}

/* Virtual time that holds this many clocks. */
static void clocks(Fixture *f, unsigned n)
{
    devm_step(f->m, ((int64_t)n * 1000000000 + PIT_HZ - 1) / PIT_HZ);
}

static void test_rate(void)
{
    Fixture *f = pit_new();
    load(f, 0, 2, 11932); /* 100 Hz */
    g_assert_cmpuint(f->irq.rises, ==, 0);
    clocks(f, 100);
    out(f->m, 0x43, 1, 0); /* latch */
    clocks(f, 100);
    g_assert_cmpuint(count(f, 0), ==, 11832);
    g_assert_cmpuint(count(f, 0), ==, 11732);
    devm_step(f->m, 1000000000);
    g_assert_cmpuint(f->irq.rises, ==, 100);
    load(f, 0, 3, 0); /* 65536: 18.2 Hz */
    unsigned before = f->irq.rises;
    clocks(f, 65535);
    g_assert_cmpuint(f->irq.rises, ==, before);
    clocks(f, 2);
    g_assert_cmpuint(f->irq.rises, ==, before + 1);
    pit_free(f);
}

static void test_terminal(void)
{
    Fixture *f = pit_new();
    load(f, 0, 0, 1000);
    g_assert_cmpuint(count(f, 0), ==, 1000);
    clocks(f, 999);
    g_assert_false(f->irq.level);
    clocks(f, 2);
    g_assert_true(f->irq.level);
    clocks(f, 1000);
    g_assert_cmpuint(count(f, 0), ==, 0x10000 - 1001 + 0);
    g_assert_cmpuint(f->irq.rises, ==, 1);
    pit_free(f);
}

/* Linux and SeaBIOS measure the processor with channel 2, its gate, and its output in port 61. */
static void test_gate(void)
{
    Fixture *f = pit_new();
    out(f->m, 0x61, 1, 1);
    load(f, 2, 0, 0x1000);
    g_assert_cmphex(in(f->m, 0x61, 1) & 0x2f, ==, 1);
    clocks(f, 0x800);
    out(f->m, 0x61, 1, 0); /* it stands */
    clocks(f, 0x10000);
    g_assert_cmphex(count(f, 2), ==, 0x800);
    out(f->m, 0x61, 1, 3);
    clocks(f, 0x7ff);
    g_assert_cmphex(in(f->m, 0x61, 1) & 0x2f, ==, 3);
    clocks(f, 2);
    g_assert_cmphex(in(f->m, 0x61, 1) & 0x2f, ==, 0x23);
    uint8_t refresh = in(f->m, 0x61, 1) & 0x10;
    devm_step(f->m, 15085);
    g_assert_cmphex(in(f->m, 0x61, 1) & 0x10, ==, refresh ^ 0x10);
    load(f, 2, 1, 100); /* a rising gate starts a one-shot */
    out(f->m, 0x61, 1, 0);
    clocks(f, 200);
    out(f->m, 0x61, 1, 1);
    g_assert_cmphex(in(f->m, 0x61, 1) & 0x20, ==, 0);
    clocks(f, 101);
    g_assert_cmphex(in(f->m, 0x61, 1) & 0x20, ==, 0x20);
    pit_free(f);
}

static void test_read_back(void)
{
    Fixture *f = pit_new();
    out(f->m, 0x43, 1, 0x14);                     /* channel 0, low byte, mode 2 */
    out(f->m, 0x43, 1, 0xe2);                     /* status */
    g_assert_cmphex(in(f->m, 0x40, 1), ==, 0xd4); /* output high, no count yet */
    out(f->m, 0x40, 1, 0x80);
    clocks(f, 16);
    out(f->m, 0x43, 1, 0xc2); /* status and count */
    g_assert_cmphex(in(f->m, 0x40, 1), ==, 0x94);
    clocks(f, 16);
    g_assert_cmphex(in(f->m, 0x40, 1), ==, 0x70);
    g_assert_cmphex(in(f->m, 0x40, 1), ==, 0x60);
    out(f->m, 0x43, 1, 0xb1); /* channel 2, BCD */
    out(f->m, 0x61, 1, 1);
    out(f->m, 0x42, 1, 0x00);
    out(f->m, 0x42, 1, 0x10);
    clocks(f, 1);
    g_assert_cmphex(count(f, 2), ==, 0x0999);
    pit_free(f);
}

/* While the HPET has IRQ 0; and a count so short that interrupts would be all there is. */
static void test_limits(void)
{
    Fixture *f = pit_new();
    Irq off = pit_disable_input(f->pit);
    load(f, 0, 2, 1000);
    irq_set(&off, true);
    devm_step(f->m, 10000000);
    g_assert_cmpuint(f->irq.rises, ==, 0);
    irq_set(&off, false);
    load(f, 0, 2, 1);
    devm_step(f->m, 1000000);
    g_assert_cmpuint(f->irq.rises, <=, 51);
    g_assert_cmpuint(f->irq.rises, >, 10);
    pit_free(f);
}

/* A count that ends before the host has come to the end of arming it. */
static void test_busy(void)
{
    static const uint8_t modes[] = { 0, 4 };
    for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++) {
        Fixture *f = pit_new();
        devm_busy(f->m);
        load(f, 0, modes[i], 1); /* 838 ns */
        devm_step(f->m, 1000000);
        g_assert_cmpuint(f->irq.rises, ==, 1);
        pit_free(f);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/i8254/rate", test_rate);
    g_test_add_func("/i8254/terminal", test_terminal);
    g_test_add_func("/i8254/gate", test_gate);
    g_test_add_func("/i8254/read-back", test_read_back);
    g_test_add_func("/i8254/limits", test_limits);
    g_test_add_func("/i8254/busy", test_busy);
    return g_test_run();
}
