/*
 * The PLIC by its specification (1.0.0): priorities, enables, thresholds, claims and completions of several contexts,
 * the gateways; and the whole against a naive model.
 * SPDX-License-Identifier: MIT
 */
#include "devtest.h"
#include "hw/intc/sifive_plic.h"
#include <string.h>

#define BASE      UINT64_C(0xc000000)
#define CONTEXTS  4
#define MODEL_OPS 60000

typedef struct Fixture {
    DevMachine *m;
    SifivePlic *plic;
    DevIrq irq[CONTEXTS];
} Fixture;

static Fixture *plic_new(void)
{
    Fixture *f = g_new0(Fixture, 1);
    f->m = devm_new();
    f->plic = devm_add(f->m, &sifive_plic_type, "num-contexts=4");
    devm_realize(f->m, f->plic);
    devm_map(f->m, &f->plic->mmio, BASE);
    for (unsigned c = 0; c < CONTEXTS; c++)
        f->plic->irq[c] = devirq_init(&f->irq[c]);
    return f;
}

static void plic_free(Fixture *f)
{
    devm_free(f->m);
    g_free(f);
}

static void level(Fixture *f, unsigned source, bool on)
{
    DEVM_LOCKED(f->m, sifive_plic_set(f->plic, source, on));
}
static void priority(Fixture *f, unsigned source, uint32_t value)
{
    w32(f->m, BASE + 4 * source, value);
}
static void enable(Fixture *f, unsigned context, unsigned source, bool on)
{
    uint64_t addr = BASE + 0x2000 + 0x80 * context + source / 32 * 4;
    uint32_t word = r32(f->m, addr) & ~(1u << source % 32);
    w32(f->m, addr, word | (uint32_t)on << source % 32);
}
static void threshold(Fixture *f, unsigned context, uint32_t value)
{
    w32(f->m, BASE + 0x200000 + 0x1000 * context, value);
}
static unsigned claim(Fixture *f, unsigned context)
{
    return r32(f->m, BASE + 0x200004 + 0x1000 * context);
}
static void complete(Fixture *f, unsigned context, uint32_t source)
{
    w32(f->m, BASE + 0x200004 + 0x1000 * context, source);
}
static bool pending(Fixture *f, unsigned source)
{
    return r32(f->m, BASE + 0x1000 + source / 32 * 4) >> source % 32 & 1;
}

static void test_registers(void)
{
    Fixture *f = plic_new();
    priority(f, 5, 0xffffffff);
    g_assert_cmphex(r32(f->m, BASE + 20), ==, 7); /* priorities are 0 to 7 */
    priority(f, 0, 3);
    g_assert_cmphex(r32(f->m, BASE), ==, 0); /* there is no source 0 */
    w32(f->m, BASE + 0x2080, 0xffffffff);
    g_assert_cmphex(r32(f->m, BASE + 0x2080), ==, 0xfffffffe);
    w32(f->m, BASE + 0x2088, 0x12345678);
    g_assert_cmphex(r32(f->m, BASE + 0x2088), ==, 0x12345678);
    w32(f->m, BASE + 0x208c, 0xffffffff); /* sources 96 and on are not there */
    g_assert_cmphex(r32(f->m, BASE + 0x208c), ==, 0);
    w32(f->m, BASE + 0x1000, 0xffffffff); /* pending bits are read-only */
    g_assert_cmphex(r32(f->m, BASE + 0x1000), ==, 0);
    threshold(f, 3, 0xff);
    g_assert_cmphex(r32(f->m, BASE + 0x203000), ==, 7);
    w32(f->m, BASE + 0x204000, 1); /* a fifth context is not there */
    g_assert_cmphex(r32(f->m, BASE + 0x204000), ==, 0);
    g_assert_cmphex(r32(f->m, BASE + 4 * PLIC_SOURCES), ==, 0);
    bad_read(f->m, BASE, 8);
    bad_read(f->m, BASE, 2);
    bad_write(f->m, BASE + 1, 4, 0);
    devm_reset(f->m);
    g_assert_cmphex(r32(f->m, BASE + 20), ==, 0);
    g_assert_cmphex(r32(f->m, BASE + 0x2088), ==, 0);
    plic_free(f);
}

static void test_line(void)
{
    Fixture *f = plic_new();
    level(f, 10, true);
    g_assert_true(pending(f, 10)); /* whatever enables and priority are */
    enable(f, 1, 10, true);
    g_assert_false(f->irq[1].level); /* priority 0: never */
    g_assert_cmpuint(claim(f, 1), ==, 0);
    priority(f, 10, 1);
    g_assert_true(f->irq[1].level);
    g_assert_false(f->irq[0].level || f->irq[2].level || f->irq[3].level);
    threshold(f, 1, 1); /* masks priorities up to it */
    g_assert_false(f->irq[1].level);
    priority(f, 10, 2);
    g_assert_true(f->irq[1].level);
    priority(f, 10, 0);
    g_assert_false(f->irq[1].level);
    priority(f, 10, 2);
    enable(f, 1, 10, false);
    g_assert_false(f->irq[1].level);
    g_assert_cmpuint(claim(f, 1), ==, 0); /* not enabled: not claimed */
    g_assert_true(pending(f, 10));
    plic_free(f);
}

/* Section 8: "the claim operation is not affected by the setting of the priority threshold register". */
static void test_poll(void)
{
    Fixture *f = plic_new();
    priority(f, 33, 4);
    enable(f, 0, 33, true);
    threshold(f, 0, 7);
    level(f, 33, true);
    g_assert_false(f->irq[0].level);
    g_assert_cmpuint(claim(f, 0), ==, 33);
    g_assert_false(pending(f, 33));
    plic_free(f);
}

static void test_order(void)
{
    Fixture *f = plic_new();
    static const uint8_t sources[] = { 1, 2, 31, 32, 64, 95 }, priorities[] = { 2, 5, 5, 7, 5, 7 };
    static const uint8_t order[] = { 32, 95, 2, 31, 64, 1, 0 }; /* by priority, then the lowest number */
    for (unsigned i = 0; i < sizeof(sources); i++) {
        priority(f, sources[i], priorities[i]);
        enable(f, 2, sources[i], true);
        level(f, sources[i], true);
    }
    for (unsigned i = 0; i < sizeof(order); i++) {
        g_assert_cmpint(f->irq[2].level, ==, order[i] != 0);
        g_assert_cmpuint(claim(f, 2), ==, order[i]);
    }
    plic_free(f);
}

static void test_complete(void)
{
    Fixture *f = plic_new();
    priority(f, 7, 1);
    priority(f, 8, 1);
    enable(f, 0, 7, true);
    level(f, 7, true);
    g_assert_cmpuint(claim(f, 0), ==, 7);
    g_assert_false(f->irq[0].level);
    level(f, 7, false); /* the gateway forwards nothing while the claim is out */
    level(f, 7, true);
    g_assert_false(pending(f, 7));
    complete(f, 1, 7); /* not enabled for this context: ignored */
    complete(f, 0, 8); /* the same */
    complete(f, 0, 0);
    complete(f, 0, 96);
    complete(f, 0, 0xffffffff);
    g_assert_false(pending(f, 7));
    complete(f, 0, 7); /* still high: again */
    g_assert_true(pending(f, 7));
    g_assert_true(f->irq[0].level);
    g_assert_cmpuint(f->irq[0].rises, ==, 2);
    g_assert_cmpuint(claim(f, 0), ==, 7);
    level(f, 7, false);
    complete(f, 0, 7);
    g_assert_false(pending(f, 7));
    g_assert_false(f->irq[0].level);
    level(f, 7, true);
    g_assert_true(f->irq[0].level);
    plic_free(f);
}

/* "If the source de-asserts the interrupt after the PLIC core accepts the request, the request remains present". */
static void test_latched(void)
{
    Fixture *f = plic_new();
    priority(f, 3, 1);
    enable(f, 0, 3, true);
    level(f, 3, true);
    level(f, 3, false);
    g_assert_true(pending(f, 3));
    g_assert_true(f->irq[0].level);
    g_assert_cmpuint(claim(f, 0), ==, 3);
    g_assert_false(f->irq[0].level);
    complete(f, 0, 3);
    g_assert_false(f->irq[0].level);
    plic_free(f);
}

static void test_contexts(void)
{
    Fixture *f = plic_new();
    priority(f, 40, 3);
    priority(f, 41, 6);
    enable(f, 0, 40, true);
    enable(f, 3, 40, true);
    enable(f, 3, 41, true);
    level(f, 40, true);
    level(f, 41, true);
    g_assert_true(f->irq[0].level && f->irq[3].level);
    g_assert_cmpuint(claim(f, 0), ==, 40); /* one context has it, the other sees it no more */
    g_assert_false(f->irq[0].level);
    g_assert_cmpuint(claim(f, 3), ==, 41);
    g_assert_false(f->irq[3].level);
    g_assert_cmpuint(claim(f, 3), ==, 0);
    complete(f, 3, 40); /* any context that has it enabled may complete it */
    g_assert_true(f->irq[0].level && f->irq[3].level);
    g_assert_cmpuint(claim(f, 3), ==, 40);
    g_assert_false(f->irq[0].level);
    complete(f, 3, 41);
    g_assert_true(f->irq[3].level);
    plic_free(f);
}

static void test_state(void)
{
    Fixture *f = plic_new(), *twin = plic_new();
    for (unsigned source = 20; source < 23; source++) {
        priority(f, source, source - 19);
        enable(f, 2, source, true);
        level(f, source, true);
    }
    g_assert_cmpuint(claim(f, 2), ==, 22);
    devm_check_covered(&f->plic->dev);
    DEVM_LOCKED(twin->m, devm_check_twin(&f->plic->dev, &twin->plic->dev));
    g_assert_true(twin->irq[2].level); /* what follows from the state is there too */
    g_assert_cmpuint(claim(twin, 2), ==, 21);
    g_assert_cmpuint(claim(twin, 2), ==, 20);
    g_assert_false(twin->irq[2].level);
    complete(twin, 2, 22);
    g_assert_cmpuint(claim(twin, 2), ==, 22);
    devm_reset(twin->m);
    g_assert_cmpuint(claim(twin, 2), ==, 0);
    plic_free(f);
    plic_free(twin);
}

/* ---- against a model that looks at everything each time ---- */

typedef struct Model {
    bool level[PLIC_SOURCES], pending[PLIC_SOURCES], claimed[PLIC_SOURCES], enable[CONTEXTS][PLIC_SOURCES];
    unsigned priority[PLIC_SOURCES], threshold[CONTEXTS];
} Model;

static unsigned model_best(const Model *model, unsigned context)
{
    unsigned best = 0;
    for (unsigned n = 1; n < PLIC_SOURCES; n++) {
        if (model->pending[n] && model->enable[context][n] && model->priority[n] > model->priority[best])
            best = n;
    }
    return best;
}

static void model_gateway(Model *model, unsigned n)
{
    model->pending[n] |= model->level[n] && !model->claimed[n];
}

/* One random operation on both; source is one of a few, so that they meet. */
static void model_step(Fixture *f, Model *model, GRand *rand)
{
    static const uint8_t sources[] = { 1, 2, 3, 30, 31, 32, 33, 63, 64, 65, 94, 95 };
    unsigned n = sources[g_rand_int_range(rand, 0, sizeof(sources))], c = g_rand_int_range(rand, 0, CONTEXTS);
    unsigned value = g_rand_int_range(rand, 0, 8), on = value & 1;
    switch (g_rand_int_range(rand, 0, 7)) {
    case 0:
        priority(f, n, value);
        model->priority[n] = value;
        break;
    case 1:
        threshold(f, c, value / 2);
        model->threshold[c] = value / 2;
        break;
    case 2:
        enable(f, c, n, on);
        model->enable[c][n] = on;
        break;
    case 3:
    case 4:
        level(f, n, on);
        model->level[n] = on;
        model_gateway(model, n);
        break;
    case 5:
        n = model_best(model, c);
        g_assert_cmpuint(claim(f, c), ==, n);
        model->pending[n] = false;
        model->claimed[n] = n;
        break;
    case 6:
        complete(f, c, n);
        if (model->enable[c][n]) {
            model->claimed[n] = false;
            model_gateway(model, n);
        }
        break;
    }
}

static void test_model(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);
    Fixture *f = plic_new();
    Model model = { 0 };
    for (unsigned i = 0; i < MODEL_OPS; i++) {
        model_step(f, &model, rand);
        for (unsigned c = 0; c < CONTEXTS; c++) {
            bool want = model.priority[model_best(&model, c)] > model.threshold[c];
            g_assert_cmpint(f->irq[c].level, ==, want);
        }
        if (i % 20000 == 10000) {
            devm_reset(f->m);
            memset(&model, 0, sizeof(model));
        }
    }
    for (unsigned n = 1; n < PLIC_SOURCES; n++)
        g_assert_cmpint(pending(f, n), ==, model.pending[n]);
    plic_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/plic/registers", test_registers);
    g_test_add_func("/plic/line", test_line);
    g_test_add_func("/plic/poll", test_poll);
    g_test_add_func("/plic/order", test_order);
    g_test_add_func("/plic/complete", test_complete);
    g_test_add_func("/plic/latched", test_latched);
    g_test_add_func("/plic/contexts", test_contexts);
    g_test_add_func("/plic/state", test_state);
    g_test_add_func("/plic/model", test_model);
    return g_test_run();
}
