/*
 * An interrupt file by its specification (RISC-V AIA 1.0, chapter 3).
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "hw/intc/riscv_imsic.h"
#include "target/riscv/aia.h"

#define BASE UINT64_C(0x28000000)

typedef struct Fixture {
    DevMachine *m;
    RiscvImsic *imsic;
    DevIrq irq;
} Fixture;

static void setup(Fixture *f, const void *unused)
{
    f->m = devm_new();
    f->imsic = devm_add(f->m, &riscv_imsic_type, NULL);
    devm_realize(f->m, f->imsic);
    devm_map(f->m, &f->imsic->mmio, BASE);
    f->imsic->irq = devirq_init(&f->irq);
}

static void teardown(Fixture *f, const void *unused)
{
    devm_free(f->m);
}

static uint64_t get(Fixture *f, unsigned reg, unsigned xlen)
{
    uint64_t old;
    riscv_imsic_access(f->imsic, reg, xlen, false, 0, 0, &old);
    return old;
}

static uint64_t put(Fixture *f, unsigned reg, unsigned xlen, uint64_t value)
{
    uint64_t old;
    riscv_imsic_access(f->imsic, reg, xlen, true, value, UINT64_MAX, &old);
    return old;
}

static void test_registers(Fixture *f, const void *unused)
{
    put(f, RISCV_FILE_EIE0, 64, UINT64_MAX);
    g_assert_cmphex(get(f, RISCV_FILE_EIE0, 64), ==, UINT64_MAX - 1); /* there is no identity 0 */
    g_assert_cmphex(get(f, RISCV_FILE_EIE0 + 1, 32), ==, UINT32_MAX);
    put(f, RISCV_FILE_EIE0 + 7, 32, 0x12345678);
    g_assert_cmphex(get(f, RISCV_FILE_EIE0 + 6, 64), ==, UINT64_C(0x1234567800000000));
    put(f, RISCV_FILE_EIE0 + 8, 64, UINT64_MAX); /* 256 and on are not there */
    g_assert_cmphex(get(f, RISCV_FILE_EIE0 + 8, 64), ==, 0);
    put(f, RISCV_FILE_EITHRESHOLD, 64, 0x1ff);
    g_assert_cmphex(get(f, RISCV_FILE_EITHRESHOLD, 64), ==, 0xff);
    put(f, RISCV_FILE_EIDELIVERY, 64, 1);
    put(f, RISCV_FILE_EIDELIVERY, 64, 0x40000000); /* not supported: stays */
    g_assert_cmphex(get(f, RISCV_FILE_EIDELIVERY, 64), ==, 1);
    put(f, 0x71, 64, 1); /* reserved */
    g_assert_cmphex(get(f, 0x71, 64), ==, 0);
    devm_reset(f->m);
    g_assert_cmphex(get(f, RISCV_FILE_EIE0, 64), ==, 0);
    g_assert_cmphex(get(f, RISCV_FILE_EIDELIVERY, 64), ==, 0);
}

static void test_messages(Fixture *f, const void *unused)
{
    w32(f->m, BASE, 40);
    w32(f->m, BASE + 4, 0x21000000); /* big-endian 33 */
    w32(f->m, BASE, 0);
    w32(f->m, BASE, 256);
    w32(f->m, BASE + 8, 5);
    g_assert_cmphex(r32(f->m, BASE), ==, 0);
    g_assert_cmphex(get(f, RISCV_FILE_EIP0, 64), ==, UINT64_C(1) << 40 | UINT64_C(1) << 33);
    g_assert_cmphex(get(f, RISCV_FILE_TOPEI, 64), ==, 0); /* none is enabled */
    put(f, RISCV_FILE_EIE0, 64, UINT64_C(1) << 40);
    g_assert_cmphex(get(f, RISCV_FILE_TOPEI, 64), ==, 40 << 16 | 40);
    g_assert_false(f->irq.level);
    put(f, RISCV_FILE_EIDELIVERY, 64, 1);
    g_assert_true(f->irq.level);
    bad_write(f->m, BASE, 8, 1);
    bad_write(f->m, BASE + 2, 2, 1);
}

static void test_claim(Fixture *f, const void *unused)
{
    put(f, RISCV_FILE_EIDELIVERY, 64, 1);
    put(f, RISCV_FILE_EIE0, 64, UINT64_MAX);
    w32(f->m, BASE, 9);
    w32(f->m, BASE, 6);
    put(f, RISCV_FILE_EITHRESHOLD, 64, 6); /* that and greater ones are held back */
    g_assert_cmphex(get(f, RISCV_FILE_TOPEI, 64), ==, 0);
    g_assert_false(f->irq.level);
    put(f, RISCV_FILE_TOPEI, 64, 0); /* nothing to claim */
    put(f, RISCV_FILE_EITHRESHOLD, 64, 7);
    g_assert_true(f->irq.level);
    g_assert_cmphex(put(f, RISCV_FILE_TOPEI, 64, 9), ==, 6 << 16 | 6); /* the value written means nothing */
    g_assert_false(f->irq.level);
    put(f, RISCV_FILE_EITHRESHOLD, 64, 0);
    g_assert_cmphex(put(f, RISCV_FILE_TOPEI, 64, 0), ==, 9 << 16 | 9);
    g_assert_cmphex(get(f, RISCV_FILE_EIP0, 64), ==, 0);
    put(f, RISCV_FILE_EIP0 + 2, 32, 1); /* software may set bits, too */
    g_assert_false(f->irq.level);
    put(f, RISCV_FILE_EIE0 + 2, 32, 1);
    g_assert_cmphex(get(f, RISCV_FILE_TOPEI, 32), ==, 64 << 16 | 64);
}

static void test_state(Fixture *f, const void *unused)
{
    Fixture twin;
    setup(&twin, NULL);
    put(f, RISCV_FILE_EIDELIVERY, 64, 1);
    put(f, RISCV_FILE_EIE0, 64, UINT64_MAX);
    w32(f->m, BASE, 9);
    devm_check_covered(&f->imsic->dev);
    DEVM_LOCKED(twin.m, devm_check_twin(&f->imsic->dev, &twin.imsic->dev));
    g_assert_true(twin.irq.level);
    teardown(&twin, NULL);
}

#define TEST(name) g_test_add("/imsic/" #name, Fixture, NULL, setup, test_##name, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(registers);
    TEST(messages);
    TEST(claim);
    TEST(state);
    return g_test_run();
}
