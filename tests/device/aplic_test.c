/*
 * Interrupt domains by their specification (RISC-V AIA 1.0, chapter 4): a root and its child, with wires and with
 * messages.
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "hw/intc/riscv_aplic.h"
#include "hw/intc/riscv_imsic.h"

#define ROOT   UINT64_C(0xc000000)
#define CHILD  UINT64_C(0xd000000)
#define FILES  UINT64_C(0x28000000)
#define HARTS  2
#define DELEG  0x400
#define EDGE1  4
#define LEVEL1 6
#define LEVEL0 7

typedef struct Fixture {
    DevMachine *m;
    RiscvAplic *root, *child;
    RiscvImsic *imsic[HARTS];
    DevIrq m_irq[HARTS], s_irq[HARTS];
} Fixture;

static void setup(Fixture *f, const void *msi)
{
    const char *props = msi ? "num-harts=2,msimode=on" : "num-harts=2";
    f->m = devm_new();
    f->root = devm_add(f->m, &riscv_aplic_type, props);
    f->child = devm_add(f->m, &riscv_aplic_type, props);
    f->child->parent = f->root;
    devm_realize(f->m, f->root);
    devm_realize(f->m, f->child);
    devm_map(f->m, &f->root->mmio, ROOT);
    devm_map(f->m, &f->child->mmio, CHILD);
    for (unsigned h = 0; h < HARTS; h++) {
        f->root->irq[h] = devirq_init(&f->m_irq[h]);
        f->child->irq[h] = devirq_init(&f->s_irq[h]);
        f->imsic[h] = devm_add(f->m, &riscv_imsic_type, NULL);
        devm_realize(f->m, f->imsic[h]);
        devm_map(f->m, &f->imsic[h]->mmio, FILES + 0x1000 * h);
    }
}

static void teardown(Fixture *f, const void *msi)
{
    devm_free(f->m);
}

static void level(Fixture *f, unsigned source, bool on)
{
    riscv_aplic_set(f->root, source, on);
}
static void source(Fixture *f, uint64_t domain, unsigned n, uint32_t mode)
{
    w32(f->m, domain + 4 * n, mode);
}
static void target(Fixture *f, uint64_t domain, unsigned n, unsigned hart, unsigned low)
{
    w32(f->m, domain + 0x3000 + 4 * n, hart << 18 | low);
}
static void enable(Fixture *f, uint64_t domain, unsigned n)
{
    w32(f->m, domain + 0x1edc, n);
}
static bool pending(Fixture *f, uint64_t domain, unsigned n)
{
    return r32(f->m, domain + 0x1c00 + n / 32 * 4) >> n % 32 & 1;
}
static uint32_t claim(Fixture *f, uint64_t domain, unsigned hart)
{
    return r32(f->m, domain + 0x4000 + 32 * hart + 0x1c);
}
static void start(Fixture *f, uint64_t domain)
{
    w32(f->m, domain, 0x100);
    for (unsigned h = 0; h < HARTS; h++)
        w32(f->m, domain + 0x4000 + 32 * h, 1);
}

static void test_registers(Fixture *f, const void *msi)
{
    w32(f->m, ROOT, 0xffffffff);
    g_assert_cmphex(r32(f->m, ROOT), ==, msi ? 0x80000104 : 0x80000100);
    source(f, ROOT, 1, 2); /* reserved: inactive */
    g_assert_cmphex(r32(f->m, ROOT + 4), ==, 0);
    target(f, ROOT, 1, 1, 3);
    enable(f, ROOT, 1);
    g_assert_cmphex(r32(f->m, ROOT + 0x3004), ==, 0); /* all of an inactive source reads as zero */
    g_assert_cmphex(r32(f->m, ROOT + 0x1e00), ==, 0);
    source(f, ROOT, 1, EDGE1);
    target(f, ROOT, 1, 1, 0);
    g_assert_cmphex(r32(f->m, ROOT + 0x3004), ==, msi ? 1u << 18 : 1u << 18 | 1); /* priority 0 is not legal */
    w32(f->m, ROOT + 0x1e00, 0xffffffff);
    g_assert_cmphex(r32(f->m, ROOT + 0x1e00), ==, 2);
    w32(f->m, ROOT + 0x1fdc, 1);
    g_assert_cmphex(r32(f->m, ROOT + 0x1e00), ==, 0);
    source(f, CHILD, 96, EDGE1); /* not delegated */
    g_assert_cmphex(r32(f->m, CHILD + 4 * 96), ==, 0);
    source(f, ROOT, 96, DELEG);
    source(f, CHILD, 96, DELEG); /* there is no grandchild */
    g_assert_cmphex(r32(f->m, CHILD + 4 * 96), ==, 0);
    source(f, CHILD, 96, EDGE1);
    source(f, ROOT, 97, EDGE1);
    g_assert_cmphex(r32(f->m, ROOT + 4 * 97), ==, 0);
    source(f, ROOT, 96, 1); /* taken back */
    g_assert_cmphex(r32(f->m, CHILD + 4 * 96), ==, 0);
    bad_read(f->m, ROOT, 8);
    bad_write(f->m, ROOT, 2, 0);
    devm_reset(f->m);
    g_assert_cmphex(r32(f->m, ROOT + 4), ==, 0);
}

static void test_direct(Fixture *f, const void *msi)
{
    start(f, CHILD);
    for (unsigned n = 10; n < 13; n++) {
        source(f, ROOT, n, DELEG);
        source(f, CHILD, n, LEVEL1);
        target(f, CHILD, n, 1, n == 12 ? 1 : 2);
        enable(f, CHILD, n);
        level(f, n, true);
    }
    g_assert_true(f->s_irq[1].level && !f->s_irq[0].level && !f->m_irq[1].level);
    g_assert_cmphex(claim(f, CHILD, 1), ==, 12 << 16 | 1); /* the lowest priority number */
    g_assert_cmphex(claim(f, CHILD, 1), ==, 12 << 16 | 1); /* a wire that is still high: still pending */
    level(f, 12, false);
    g_assert_cmphex(claim(f, CHILD, 1), ==, 10 << 16 | 2); /* the lowest number among equals */
    w32(f->m, CHILD + 0x1ddc, 10);                         /* nor can software clear it */
    g_assert_true(pending(f, CHILD, 10));
    w32(f->m, CHILD + 0x4028, 2); /* a threshold: that priority and greater numbers wait */
    g_assert_cmphex(claim(f, CHILD, 1), ==, 0);
    g_assert_false(f->s_irq[1].level);
    w32(f->m, CHILD + 0x4028, 0);
    g_assert_true(f->s_irq[1].level);
    w32(f->m, CHILD, 0);
    g_assert_false(f->s_irq[1].level);
    source(f, ROOT, 10, 0);
    g_assert_false(pending(f, CHILD, 10));
}

static void test_edge(Fixture *f, const void *msi)
{
    start(f, ROOT);
    source(f, ROOT, 33, EDGE1);
    target(f, ROOT, 33, 0, 5);
    enable(f, ROOT, 33);
    level(f, 33, true);
    level(f, 33, false);
    g_assert_true(f->m_irq[0].level && pending(f, ROOT, 33));
    g_assert_cmphex(claim(f, ROOT, 0), ==, 33 << 16 | 5);
    g_assert_false(f->m_irq[0].level || pending(f, ROOT, 33));
    w32(f->m, ROOT + 0x2004, 0x21000000); /* setipnum_be */
    g_assert_true(f->m_irq[0].level);
    w32(f->m, ROOT + 0x1d04, 2);
    g_assert_false(f->m_irq[0].level);
    source(f, ROOT, 33, LEVEL0); /* low is active: pending at once */
    g_assert_true(f->m_irq[0].level);
    g_assert_cmphex(r32(f->m, ROOT + 0x1d04), ==, 2);
    level(f, 33, true);
    g_assert_false(f->m_irq[0].level);
    w32(f->m, ROOT + 0x4004, 1); /* iforce, until a claim finds nothing */
    g_assert_true(f->m_irq[0].level);
    g_assert_cmphex(claim(f, ROOT, 0), ==, 0);
    g_assert_false(f->m_irq[0].level);
}

static bool arrived(Fixture *f, unsigned hart, unsigned id)
{
    bool there = f->imsic[hart]->pending[id / 32] >> id % 32 & 1;
    f->imsic[hart]->pending[id / 32] &= ~(1u << id % 32);
    return there;
}

static void test_msi(Fixture *f, const void *msi)
{
    w32(f->m, CHILD + 0x1bc8, 0x28000); /* for the root to say */
    g_assert_cmphex(r32(f->m, CHILD + 0x1bc8), ==, 0);
    w32(f->m, ROOT + 0x1bc8, 0x28000);
    w32(f->m, ROOT + 0x1bc4, 1u << 31 | 1 << 12); /* one bit of hart index; locked */
    w32(f->m, ROOT + 0x1bc8, 0);
    g_assert_cmphex(r32(f->m, ROOT + 0x1bc8), ==, 0x28000);
    w32(f->m, CHILD + 0x3000, 1 << 18 | 77); /* genmsi, whatever IE is */
    g_assert_true(arrived(f, 1, 77));
    source(f, ROOT, 8, DELEG);
    source(f, CHILD, 8, LEVEL1);
    target(f, CHILD, 8, 1, 200);
    enable(f, CHILD, 8);
    level(f, 8, true);
    g_assert_true(pending(f, CHILD, 8) && !arrived(f, 1, 200));
    w32(f->m, CHILD, 0x100);
    g_assert_true(!pending(f, CHILD, 8) && arrived(f, 1, 200)); /* sent: no longer pending */
    w32(f->m, CHILD + 0x1cdc, 8);                               /* again, for the wire is high */
    g_assert_true(arrived(f, 1, 200));
    level(f, 8, false);
    w32(f->m, CHILD + 0x2000, 8);
    g_assert_false(arrived(f, 1, 200) || pending(f, CHILD, 8));
    w32(f->m, ROOT + 0x3000, 5); /* the root's own would go to address 0: nobody there */
    target(f, CHILD, 8, 0, 3);
    level(f, 8, true);
    g_assert_true(arrived(f, 0, 3));
}

static void test_state(Fixture *f, const void *msi)
{
    Fixture twin;
    setup(&twin, msi);
    start(f, ROOT);
    source(f, ROOT, 33, EDGE1);
    target(f, ROOT, 33, 1, 5);
    enable(f, ROOT, 33);
    level(f, 33, true);
    devm_check_covered(&f->root->dev);
    DEVM_LOCKED(twin.m, devm_check_twin(&f->root->dev, &twin.root->dev));
    g_assert_true(twin.m_irq[1].level);
    g_assert_cmphex(claim(&twin, ROOT, 1), ==, 33 << 16 | 5);
    teardown(&twin, msi);
}

#define TEST(path, name, msi) g_test_add("/aplic/" path, Fixture, msi, setup, test_##name, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST("registers", registers, NULL);
    TEST("registers-msi", registers, "msi");
    TEST("direct", direct, NULL);
    TEST("edge", edge, NULL);
    TEST("msi", msi, "msi");
    TEST("state", state, NULL);
    return g_test_run();
}
