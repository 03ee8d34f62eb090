/*
 * The test finisher: power-off with a status, failure with a code, reset, and values that mean nothing.
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "hw/firmware/sifive_test.h"

#define BASE UINT64_C(0x100000)

static struct {
    unsigned ends, resets;
    int status;
} seen;

static void ended(Machine *machine, int status)
{
    seen.ends++;
    seen.status = status;
}

static void was_reset(void *opaque, Machine *machine)
{
    seen.resets++;
}

static DevMachine *finisher_new(void)
{
    DevMachine *m = devm_new();
    SifiveTest *s = devm_add(m, &sifive_test_type, NULL);
    devm_realize(m, s);
    devm_map(m, &s->mmio, BASE);
    m->machine->ended = ended;
    DEVM_LOCKED(m, machine_add_reset_hook(m->machine, was_reset, NULL));
    seen.ends = seen.resets = 0;
    seen.status = -1;
    return m;
}

/* Write, let the main loop act, and check what came of it. */
static void check(unsigned size, uint64_t value, unsigned ends, int status, unsigned resets)
{
    DevMachine *m = finisher_new();
    if (size == 2)
        w16(m, BASE, value);
    else
        w32(m, BASE, value);
    g_assert_cmpuint(seen.ends + seen.resets, ==, 0); /* not in the midst of the guest's store */
    devm_poll(NULL, NULL);
    g_assert_cmpuint(seen.ends, ==, ends);
    g_assert_cmpuint(seen.resets, ==, resets);
    g_assert_cmpint(seen.status, ==, status);
    g_assert_cmpint(m->machine->state == RUN_SHUTDOWN, ==, ends);
    devm_free(m);
}

static void test_values(void)
{
    check(4, 0x5555, 1, 0, 0);
    check(4, 0xabcd5555, 1, 0, 0); /* a pass has no code */
    check(2, 0x5555, 1, 0, 0);
    check(4, 0x00013333, 1, 1, 0);
    check(4, 0x002a3333, 1, 42, 0);
    check(4, 0xffff3333, 1, 0xffff, 0);
    check(4, 0x7777, 0, -1, 1);
    check(4, 0x12347777, 0, -1, 1);
    check(4, 0, 0, -1, 0);
    check(4, 0x1234, 0, -1, 0);
    check(4, 0x55550000, 0, -1, 0);
    check(4, 0xffffffff, 0, -1, 0);
}

static void test_accesses(void)
{
    DevMachine *m = finisher_new();
    g_assert_cmphex(r32(m, BASE), ==, 0);
    w16(m, BASE + 2, 0x5555); /* the code's half alone */
    w32(m, BASE + 4, 0x5555); /* no register */
    bad_write(m, BASE, 1, 0x55);
    bad_write(m, BASE, 8, 0x5555);
    bad_write(m, BASE + 0x1000, 4, 0x5555);
    devm_poll(NULL, NULL);
    g_assert_cmpuint(seen.ends + seen.resets, ==, 0);
    devm_free(m);
}

/* The first that asks for power-off is heard, and a reset besides it is not. */
static void test_two(void)
{
    DevMachine *m = finisher_new();
    w32(m, BASE, 0x7777);
    w32(m, BASE, 0x00033333);
    w32(m, BASE, 0x5555);
    devm_poll(NULL, NULL);
    g_assert_cmpuint(seen.ends, ==, 1);
    g_assert_cmpint(seen.status, ==, 3);
    g_assert_cmpuint(seen.resets, ==, 0);
    g_assert_cmpint(m->machine->state, ==, RUN_SHUTDOWN);
    devm_free(m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sifive-test/values", test_values);
    g_test_add_func("/sifive-test/accesses", test_accesses);
    g_test_add_func("/sifive-test/two", test_two);
    return g_test_run();
}
