/*
 * 6300ESB watchdog: the unlock sequence, both stages, keep-alive, the lock, as Linux' driver uses it.
 * SPDX-License-Identifier: MIT
 */
#include "hw/pci/i440fx.h"
#include "pcboard.h"

#define BAR 0xe0000000u
enum { FN = 4 << 3, TIMER1 = BAR, TIMER2 = BAR + 4, STATUS = BAR + 8, RELOAD = BAR + 12, CONFIG = 0x60, LOCK = 0x68 };
#define MS INT64_C(1000000)

static PcBoard *esb_new(void)
{
    GError *err = NULL;
    PcBoard *f = pc_new(&i440fx_host_type);
    devm_device_add(f->m, "i6300esb,addr=04.0", &err);
    g_assert_no_error(err);
    set_config(f, FN, 0x10, 4, BAR);
    set_config(f, FN, 4, 2, 2);
    return f;
}

static void put(PcBoard *f, uint32_t reg, uint32_t value)
{
    w16(f->m, RELOAD, 0x80);
    w16(f->m, RELOAD, 0x86);
    w32(f->m, reg, value);
}

static void test_stages(void)
{
    PcBoard *f = esb_new();
    g_assert_cmphex(config(f, FN, 0, 4), ==, 0x25ab8086);
    g_assert_cmphex(r32(f->m, TIMER1), ==, 0xfffff);
    w32(f->m, TIMER1, 5); /* locked */
    g_assert_cmphex(r32(f->m, TIMER1), ==, 0xfffff);
    put(f, TIMER1, 1000); /* of 0.993 ms */
    put(f, TIMER2, 2000);
    w32(f->m, TIMER2, 1); /* each write needs the sequence */
    g_assert_cmphex(r32(f->m, TIMER2), ==, 2000);
    set_config(f, FN, LOCK, 1, 2);
    for (unsigned i = 0; i < 5; i++) {
        devm_step(f->m, 900 * MS);
        put(f, RELOAD, 0x100);
    }
    g_assert_cmphex(r32(f->m, STATUS), ==, 0);
    devm_step(f->m, 1000 * MS);
    g_assert_cmphex(r32(f->m, STATUS), ==, 1);
    g_assert_cmphex(config(f, FN, 6, 1) & 8, ==, 8); /* interrupt */
    put(f, STATUS, 1);
    g_assert_cmphex(config(f, FN, 6, 1) & 8, ==, 0);
    devm_step(f->m, 1900 * MS);
    g_assert_false(f->m->machine->pending.reset);
    devm_step(f->m, 100 * MS);
    g_assert_true(f->m->machine->pending.reset);
    devm_reset(f->m);
    set_config(f, FN, 0x10, 4, BAR);
    set_config(f, FN, 4, 2, 2);
    g_assert_cmphex(r16(f->m, RELOAD), ==, 0x200); /* that was the reason */
    put(f, RELOAD, 0x200);
    g_assert_cmphex(r16(f->m, RELOAD), ==, 0);
    pc_free(f);
}

static void test_config(void)
{
    PcBoard *f = esb_new();
    set_config(f, FN, CONFIG, 2, 0xff26); /* no reset, SMI, 1 MHz */
    g_assert_cmphex(config(f, FN, CONFIG, 2), ==, 0x26);
    put(f, TIMER1, 1000);
    put(f, TIMER2, 1000);
    set_config(f, FN, LOCK, 1, 3);
    set_config(f, FN, LOCK, 1, 0);
    g_assert_cmphex(config(f, FN, LOCK, 1), ==, 3);
    devm_step(f->m, 3 * MS);
    g_assert_cmphex(r32(f->m, STATUS), ==, 0);
    g_assert_cmphex(r16(f->m, RELOAD), ==, 0x200);
    g_assert_false(f->m->machine->pending.reset);
    devm_reset(f->m);
    set_config(f, FN, LOCK, 1, 2);
    set_config(f, FN, LOCK, 1, 0);
    g_assert_cmphex(config(f, FN, LOCK, 1), ==, 0);
    pc_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/i6300esb/stages", test_stages);
    g_test_add_func("/i6300esb/config", test_config);
    return g_test_run();
}
