/*
 * The ACLINT by its specification (1.0-rc4): software interrupts, mtime and mtimecmp in all access sizes, timer
 * interrupts at the right virtual time.
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "hw/intc/riscv_aclint.h"

#define BASE     UINT64_C(0x2000000)
#define MTIMECMP (BASE + 0x4000)
#define MTIME    (BASE + 0xbff8)
#define HARTS    5
#define TICK     (1000000000 / RISCV_ACLINT_HZ)

typedef struct Fixture {
    DevMachine *m;
    RiscvAclint *aclint;
    DevIrq soft[HARTS], timer[HARTS];
} Fixture;

static Fixture *aclint_new(void)
{
    Fixture *f = g_new0(Fixture, 1);
    f->m = devm_new();
    f->aclint = devm_add(f->m, &riscv_aclint_type, "num-harts=5");
    devm_realize(f->m, f->aclint);
    devm_map(f->m, &f->aclint->mmio, BASE);
    for (unsigned h = 0; h < HARTS; h++) {
        f->aclint->msip[h] = devirq_init(&f->soft[h]);
        f->aclint->mtip[h] = devirq_init(&f->timer[h]);
    }
    return f;
}

static void aclint_free(Fixture *f)
{
    devm_free(f->m);
    g_free(f);
}

static void test_msip(void)
{
    Fixture *f = aclint_new();
    w32(f->m, BASE + 8, 0xffffffff); /* bit 0 alone is there */
    g_assert_cmphex(r32(f->m, BASE + 8), ==, 1);
    g_assert_true(f->soft[2].level);
    g_assert_false(f->soft[0].level || f->soft[1].level || f->soft[3].level || f->soft[4].level);
    w32(f->m, BASE + 8, 0xfffffffe);
    g_assert_false(f->soft[2].level);
    w64(f->m, BASE + 8, UINT64_C(0x100000001)); /* two registers at once */
    g_assert_true(f->soft[2].level && f->soft[3].level);
    g_assert_cmphex(r64(f->m, BASE + 8), ==, UINT64_C(0x100000001));
    w64(f->m, BASE + 8, 1);
    g_assert_true(f->soft[2].level && !f->soft[3].level);
    w32(f->m, BASE + 4 * HARTS, 1); /* no such hart */
    g_assert_cmphex(r32(f->m, BASE + 4 * HARTS), ==, 0);
    bad_read(f->m, BASE, 2);
    bad_write(f->m, BASE + 2, 4, 1);
    devm_reset(f->m);
    g_assert_false(f->soft[2].level);
    aclint_free(f);
}

static void test_mtime(void)
{
    Fixture *f = aclint_new();
    g_assert_cmphex(r64(f->m, MTIME), ==, 0);
    devm_step(f->m, TICK - 1);
    g_assert_cmphex(r64(f->m, MTIME), ==, 0);
    devm_step(f->m, 1);
    g_assert_cmphex(r64(f->m, MTIME), ==, 1);
    w64(f->m, MTIME, UINT64_C(0x123456789abcdef0));
    g_assert_cmphex(r64(f->m, MTIME), ==, UINT64_C(0x123456789abcdef0));
    g_assert_cmphex(r32(f->m, MTIME), ==, 0x9abcdef0);
    g_assert_cmphex(r32(f->m, MTIME + 4), ==, 0x12345678);
    g_assert_cmphex(riscv_aclint_time(f->aclint), ==, UINT64_C(0x123456789abcdef0));
    devm_step(f->m, 16 * TICK);
    g_assert_cmphex(r64(f->m, MTIME), ==, UINT64_C(0x123456789abcdf00));
    w32(f->m, MTIME + 4, 0xfedcba98); /* halves leave each other alone */
    g_assert_cmphex(r64(f->m, MTIME), ==, UINT64_C(0xfedcba989abcdf00));
    w32(f->m, MTIME, 0xffffffff);
    g_assert_cmphex(r64(f->m, MTIME), ==, UINT64_C(0xfedcba98ffffffff));
    devm_step(f->m, TICK); /* the carry goes through */
    g_assert_cmphex(r64(f->m, MTIME), ==, UINT64_C(0xfedcba9900000000));
    bad_read(f->m, MTIME + 4, 8);
    bad_read(f->m, MTIME, 1);
    devm_reset(f->m); /* "on MTIMER device reset, the MTIME register is cleared to zero" */
    g_assert_cmphex(r64(f->m, MTIME), ==, 0);
    devm_step(f->m, 3 * TICK);
    g_assert_cmphex(r64(f->m, MTIME), ==, 3);
    aclint_free(f);
}

static void test_mtimecmp(void)
{
    Fixture *f = aclint_new();
    for (unsigned h = 0; h < HARTS; h++)
        w64(f->m, MTIMECMP + 8 * h, UINT64_C(0x1111111122222222) * (h + 1));
    for (unsigned h = 0; h < HARTS; h++)
        g_assert_cmphex(r64(f->m, MTIMECMP + 8 * h), ==, UINT64_C(0x1111111122222222) * (h + 1));
    w32(f->m, MTIMECMP + 8, 0xaaaaaaaa);
    g_assert_cmphex(r64(f->m, MTIMECMP + 8), ==, UINT64_C(0x22222222aaaaaaaa));
    w32(f->m, MTIMECMP + 12, 0xbbbbbbbb);
    g_assert_cmphex(r64(f->m, MTIMECMP + 8), ==, UINT64_C(0xbbbbbbbbaaaaaaaa));
    g_assert_cmphex(r32(f->m, MTIMECMP + 8), ==, 0xaaaaaaaa);
    g_assert_cmphex(r32(f->m, MTIMECMP + 12), ==, 0xbbbbbbbb);
    w64(f->m, MTIMECMP + 8 * HARTS, 0); /* no such hart */
    w64(f->m, MTIMECMP + 0x4000, 0);    /* nor is this hart 0's */
    g_assert_cmphex(r64(f->m, MTIMECMP + 0x4000), ==, 0);
    g_assert_cmphex(r64(f->m, MTIMECMP), ==, UINT64_C(0x1111111122222222));
    for (unsigned h = 0; h < HARTS; h++)
        g_assert_cmpuint(f->timer[h].rises, ==, 0);
    aclint_free(f);
}

static void test_interrupt(void)
{
    Fixture *f = aclint_new();
    w64(f->m, MTIMECMP, 100);
    w64(f->m, MTIMECMP + 32, 250);
    devm_step(f->m, 100 * TICK - 1);
    g_assert_false(f->timer[0].level);
    devm_step(f->m, 1); /* mtime >= mtimecmp */
    g_assert_true(f->timer[0].level);
    g_assert_false(f->timer[4].level);
    w64(f->m, MTIMECMP, 200); /* a later time takes it back */
    g_assert_false(f->timer[0].level);
    devm_step(f->m, 149 * TICK);
    g_assert_true(f->timer[0].level);
    g_assert_false(f->timer[4].level);
    devm_step(f->m, TICK);
    g_assert_true(f->timer[4].level);
    w64(f->m, MTIMECMP, 250); /* is due already */
    g_assert_true(f->timer[0].level);
    w64(f->m, MTIMECMP, 300);
    w64(f->m, MTIMECMP, UINT64_MAX); /* never */
    devm_step(f->m, 1000000 * (int64_t)TICK);
    g_assert_false(f->timer[0].level);
    w64(f->m, MTIMECMP, 0);
    g_assert_true(f->timer[0].level);
    g_assert_cmpuint(f->timer[0].rises, ==, 3);
    devm_reset(f->m);
    g_assert_false(f->timer[0].level || f->timer[4].level);
    aclint_free(f);
}

/* How RV32 sets mtimecmp without an interrupt in between: the manual's three stores. */
static void test_halves(void)
{
    Fixture *f = aclint_new();
    w64(f->m, MTIME, UINT64_C(0x1fffffff0));
    w32(f->m, MTIMECMP + 12, 0xffffffff);
    w32(f->m, MTIMECMP + 8, 5);
    w32(f->m, MTIMECMP + 12, 2);
    g_assert_cmpuint(f->timer[1].rises, ==, 0);
    devm_step(f->m, 20 * TICK);
    g_assert_cmpuint(f->timer[1].rises, ==, 0);
    devm_step(f->m, TICK);
    g_assert_cmphex(r64(f->m, MTIME), ==, UINT64_C(0x200000005));
    g_assert_true(f->timer[1].level);
    w32(f->m, MTIMECMP + 12, 3);
    g_assert_false(f->timer[1].level);
    aclint_free(f);
}

/* mtime is moved: interrupts follow at once, and at the right time after it. */
static void test_moved(void)
{
    Fixture *f = aclint_new();
    devm_step(f->m, 1000 * TICK);
    w64(f->m, MTIMECMP, 2000);
    w64(f->m, MTIME, 2000);
    g_assert_true(f->timer[0].level);
    w64(f->m, MTIME, 0); /* back behind the start of virtual time */
    g_assert_false(f->timer[0].level);
    devm_step(f->m, 1999 * TICK);
    g_assert_false(f->timer[0].level);
    devm_step(f->m, TICK);
    g_assert_true(f->timer[0].level);
    devm_reset(f->m);
    w64(f->m, MTIMECMP, 10); /* the same after a reset */
    devm_step(f->m, 9 * TICK);
    g_assert_false(f->timer[0].level);
    devm_step(f->m, TICK);
    g_assert_true(f->timer[0].level);
    aclint_free(f);
}

static void test_wrap(void)
{
    Fixture *f = aclint_new();
    w64(f->m, MTIMECMP, UINT64_MAX - 4);
    w64(f->m, MTIMECMP + 8, 3);
    w64(f->m, MTIME, UINT64_MAX - 9);
    g_assert_true(f->timer[1].level);
    devm_step(f->m, 5 * TICK);
    g_assert_true(f->timer[0].level);
    devm_step(f->m, 5 * TICK); /* mtime is 0 */
    g_assert_cmphex(r64(f->m, MTIME), ==, 0);
    g_assert_false(f->timer[0].level || f->timer[1].level);
    devm_step(f->m, 3 * TICK);
    g_assert_true(f->timer[1].level);
    w64(f->m, MTIMECMP, INT64_MAX); /* deadlines that no clock holds */
    w64(f->m, MTIMECMP, UINT64_MAX / 100);
    w64(f->m, MTIMECMP, INT64_MAX / 100);
    devm_step(f->m, 1000000 * TICK);
    g_assert_false(f->timer[0].level);
    aclint_free(f);
}

static void test_state(void)
{
    Fixture *f = aclint_new(), *twin = aclint_new();
    w32(f->m, BASE + 4, 1);
    w64(f->m, MTIMECMP + 16, 70);
    w64(f->m, MTIME, 50);
    devm_check_covered(&f->aclint->dev);
    DEVM_LOCKED(twin->m, devm_check_twin(&f->aclint->dev, &twin->aclint->dev));
    g_assert_true(twin->soft[1].level);
    devm_step(twin->m, 20 * TICK - 1);
    g_assert_false(twin->timer[2].level);
    devm_step(twin->m, 1);
    g_assert_true(twin->timer[2].level);
    aclint_free(f);
    aclint_free(twin);
}

static void count_call(void *opaque)
{
    ++*(unsigned *)opaque;
}

static void test_time_set(void)
{
    Fixture *f = aclint_new();
    unsigned calls = 0;
    f->aclint->time_set = count_call;
    f->aclint->time_set_opaque = &calls;
    w64(f->m, MTIMECMP, 5);
    g_assert_cmpuint(calls, ==, 0);
    w64(f->m, MTIME, 5);
    w32(f->m, MTIME + 4, 1);
    g_assert_cmpuint(calls, ==, 2);
    aclint_free(f);
}

static void raise_hart(void *opaque, unsigned hart)
{
    *(unsigned *)opaque |= 1u << hart;
}

/* Chapter 4: SETSSIP reads 0; bit 0 written 1 is an edge, 0 is nothing. */
static void test_sswi(void)
{
    DevMachine *m = devm_new();
    RiscvAclintSswi *s = devm_add(m, &riscv_aclint_sswi_type, "num-harts=3");
    unsigned raised = 0;
    devm_realize(m, s);
    devm_map(m, &s->mmio, BASE);
    s->raise = raise_hart;
    s->raise_opaque = &raised;
    w32(m, BASE, 0xfffffffe);
    g_assert_cmpuint(raised, ==, 0);
    w32(m, BASE + 8, 1);
    g_assert_cmpuint(raised, ==, 4);
    g_assert_cmphex(r32(m, BASE + 8), ==, 0);
    w32(m, BASE + 12, 1); /* no such hart */
    g_assert_cmpuint(raised, ==, 4);
    bad_write(m, BASE, 8, 1);
    devm_check_covered(&s->dev);
    devm_free(m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/aclint/msip", test_msip);
    g_test_add_func("/aclint/mtime", test_mtime);
    g_test_add_func("/aclint/mtimecmp", test_mtimecmp);
    g_test_add_func("/aclint/interrupt", test_interrupt);
    g_test_add_func("/aclint/halves", test_halves);
    g_test_add_func("/aclint/moved", test_moved);
    g_test_add_func("/aclint/wrap", test_wrap);
    g_test_add_func("/aclint/state", test_state);
    g_test_add_func("/aclint/time-set", test_time_set);
    g_test_add_func("/aclint/sswi", test_sswi);
    return g_test_run();
}
