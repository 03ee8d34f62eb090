/*
 * 8259 pair against the data sheet: initialisation, priorities, EOI commands, cascade, level inputs, spurious.
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "hw/intc/i8259.h"

typedef struct Fixture {
    DevMachine *m;
    I8259 *pic;
    DevIrq intr;
} Fixture;

static void line(Fixture *f, unsigned n, bool level)
{
    Irq irq = i8259_input(f->pic, n);
    irq_set(&irq, level);
}

static void pulse(Fixture *f, unsigned n)
{
    line(f, n, true);
    line(f, n, false);
}

/* As PCs initialise it: vectors 20 and 28. */
static void program(Fixture *f, uint8_t icw4)
{
    out(f->m, 0x20, 1, 0x11);
    out(f->m, 0xa0, 1, 0x11);
    out(f->m, 0x21, 1, 0x20);
    out(f->m, 0xa1, 1, 0x28);
    out(f->m, 0x21, 1, 4);
    out(f->m, 0xa1, 1, 2);
    out(f->m, 0x21, 1, icw4);
    out(f->m, 0xa1, 1, 1);
}

static Fixture *pic_new(void)
{
    Fixture *f = g_new0(Fixture, 1);
    f->m = devm_new();
    f->pic = devm_add(f->m, &i8259_type, NULL);
    devm_realize(f->m, f->pic);
    f->pic->intr = devirq_init(&f->intr);
    program(f, 1);
    return f;
}

static void pic_free(Fixture *f)
{
    devm_free(f->m);
    g_free(f);
}

static void test_priorities(void)
{
    Fixture *f = pic_new();
    g_assert_false(f->intr.level);
    pulse(f, 4);
    pulse(f, 1);
    g_assert_true(f->intr.level);
    g_assert_cmphex(in(f->m, 0x20, 1), ==, 0x12); /* IRR */
    g_assert_cmphex(i8259_acknowledge(f->pic), ==, 0x21);
    g_assert_false(f->intr.level); /* 4 waits for 1 */
    out(f->m, 0x20, 1, 0x0b);
    g_assert_cmphex(in(f->m, 0x20, 1), ==, 0x02); /* ISR */
    pulse(f, 0);
    g_assert_cmphex(i8259_acknowledge(f->pic), ==, 0x20);
    out(f->m, 0x20, 1, 0x20); /* of 0 */
    g_assert_false(f->intr.level);
    out(f->m, 0x20, 1, 0x20); /* of 1 */
    g_assert_cmphex(i8259_acknowledge(f->pic), ==, 0x24);
    out(f->m, 0x20, 1, 0x64); /* specific */
    g_assert_cmphex(in(f->m, 0x20, 1), ==, 0);
    out(f->m, 0x21, 1, 0x10);
    g_assert_cmphex(in(f->m, 0x21, 1), ==, 0x10);
    pulse(f, 4);
    g_assert_false(f->intr.level); /* masked, but remembered */
    out(f->m, 0x21, 1, 0);
    g_assert_true(f->intr.level);
    pic_free(f);
}

static void test_cascade(void)
{
    Fixture *f = pic_new();
    pulse(f, 12);
    pulse(f, 3);
    pulse(f, 8);
    g_assert_cmphex(i8259_acknowledge(f->pic), ==, 0x28); /* the slave is at 2 */
    g_assert_false(f->intr.level);
    out(f->m, 0xa0, 1, 0x20);
    out(f->m, 0x20, 1, 0x20);
    g_assert_cmphex(i8259_acknowledge(f->pic), ==, 0x2c);
    out(f->m, 0xa0, 1, 0x20);
    g_assert_false(f->intr.level); /* the master's 2 is in service */
    out(f->m, 0x20, 1, 0x20);
    g_assert_cmphex(i8259_acknowledge(f->pic), ==, 0x23);
    pic_free(f);
}

/* Fully nested: a higher input of the slave interrupts a lower one. */
static void test_fully_nested(void)
{
    Fixture *f = pic_new();
    program(f, 0x11);
    pulse(f, 12);
    g_assert_cmphex(i8259_acknowledge(f->pic), ==, 0x2c);
    pulse(f, 9);
    g_assert_true(f->intr.level);
    g_assert_cmphex(i8259_acknowledge(f->pic), ==, 0x29);
    pic_free(f);
}

static void test_level(void)
{
    Fixture *f = pic_new();
    out(f->m, 0x4d0, 1, 0xff);
    out(f->m, 0x4d1, 1, 0xff);
    g_assert_cmphex(in(f->m, 0x4d0, 2), ==, 0xdef8);
    line(f, 11, true);
    g_assert_cmphex(i8259_acknowledge(f->pic), ==, 0x2b);
    out(f->m, 0xa0, 1, 0x20);
    out(f->m, 0x20, 1, 0x20);
    g_assert_true(f->intr.level); /* still there */
    line(f, 11, false);
    g_assert_false(f->intr.level);
    g_assert_cmphex(i8259_acknowledge(f->pic), ==, 0x27); /* spurious */
    out(f->m, 0x20, 1, 0x0b);
    g_assert_cmphex(in(f->m, 0x20, 1), ==, 0);
    line(f, 1, true);
    g_assert_cmphex(i8259_acknowledge(f->pic), ==, 0x21);
    out(f->m, 0x20, 1, 0x20);
    g_assert_false(f->intr.level); /* an edge counts once */
    pic_free(f);
}

static void test_rotation(void)
{
    Fixture *f = pic_new();
    for (unsigned n = 3; n < 8; n++)
        pulse(f, n);
    out(f->m, 0x20, 1, 0xc4); /* 4 is lowest, 5 highest */
    g_assert_cmphex(i8259_acknowledge(f->pic), ==, 0x25);
    out(f->m, 0x20, 1, 0xa0); /* rotate on EOI */
    g_assert_cmphex(i8259_acknowledge(f->pic), ==, 0x26);
    out(f->m, 0x20, 1, 0xe6); /* rotate on specific EOI: 7 is highest */
    g_assert_cmphex(i8259_acknowledge(f->pic), ==, 0x27);
    out(f->m, 0x20, 1, 0x68); /* special mask mode: what is in service and masked blocks nothing */
    out(f->m, 0x21, 1, 0x80);
    g_assert_cmphex(i8259_acknowledge(f->pic), ==, 0x23);
    pic_free(f);
}

static void test_auto_eoi_and_poll(void)
{
    Fixture *f = pic_new();
    program(f, 3);
    pulse(f, 4);
    g_assert_cmphex(i8259_acknowledge(f->pic), ==, 0x24);
    pulse(f, 6);
    g_assert_cmphex(i8259_acknowledge(f->pic), ==, 0x26);
    program(f, 1);
    out(f->m, 0x20, 1, 0x0c);
    g_assert_cmphex(in(f->m, 0x20, 1), ==, 0);
    pulse(f, 5);
    out(f->m, 0x20, 1, 0x0c);
    g_assert_cmphex(in(f->m, 0x20, 1), ==, 0x85);
    g_assert_false(f->intr.level);
    pic_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/i8259/priorities", test_priorities);
    g_test_add_func("/i8259/cascade", test_cascade);
    g_test_add_func("/i8259/fully-nested", test_fully_nested);
    g_test_add_func("/i8259/level", test_level);
    g_test_add_func("/i8259/rotation", test_rotation);
    g_test_add_func("/i8259/auto-eoi-and-poll", test_auto_eoi_and_poll);
    return g_test_run();
}
