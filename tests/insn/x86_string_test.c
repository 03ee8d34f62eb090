/*
 * rep movs and rep stos against a model that goes element by element: all sizes, both directions, overlaps at every
 * distance up to two elements' and more, across the ends of pages.
 * SPDX-License-Identifier: MIT
 */
#include "x86_bare.h"
#include <string.h>

enum { RAM_BYTES = 0x20000, PROGRAM = 0x1000, DATA = 0x8000, DATA_BYTES = 0x3000, CASES = 4000 };

typedef struct Case {
    bool fill, down;
    unsigned size, count;
    uint16_t from, to;
} Case;

static Case random_case(GRand *r)
{
    static const uint8_t sizes[] = { 1, 2, 4 };
    Case c = { .fill = g_rand_boolean(r), .down = g_rand_boolean(r), .size = sizes[g_rand_int_range(r, 0, 3)] };
    int distance = g_rand_int_range(r, -24, 25);
    c.count = g_rand_int_range(r, 0, 4) ? g_rand_int_range(r, 0, 20) : g_rand_int_range(r, 0, 0xf00 / 4);
    c.from = (uint16_t)g_rand_int_range(r, DATA + 0x1000, DATA + 0x2000);
    if (!g_rand_int_range(r, 0, 4)) /* far apart */
        distance = g_rand_int_range(r, -0x800, 0x800);
    c.to = (uint16_t)(c.from + distance);
    return c;
}

static void model(const Case *c, uint8_t *memory, uint32_t value)
{
    for (unsigned i = 0; i < c->count; i++) {
        int at = c->down ? -(int)(i * c->size) : (int)(i * c->size);
        uint8_t element[4];
        memcpy(element, c->fill ? (uint8_t *)&value : memory + c->from + at, c->size);
        memcpy(memory + c->to + at, element, c->size);
    }
}

static void prepare(X86Bare *b, const Case *c)
{
    uint8_t *p = b->host + PROGRAM;
    *p++ = c->down ? 0xfd : 0xfc;
    if (c->size == 4)
        *p++ = 0x66;
    *p++ = 0xf3;
    *p++ = (uint8_t)((c->fill ? 0xaa : 0xa4) | (c->size > 1));
    *p++ = 0xf4;
    x86_bare_code_written(b, PROGRAM, 16);
    for (unsigned i = X86_ES; i <= X86_DS; i++)
        x86_load_segment_real(b->s, (X86Segment)i, 0);
    b->s->eflags &= ~(uint32_t)FLAG_DF;
    b->s->cs.pc = PROGRAM;
    b->s->gpr[RCX] = c->count;
    b->s->gpr[RSI] = c->from;
    b->s->gpr[RDI] = c->to;
    x86_mode_changed(b->s);
}

static void test_strings(const void *jit)
{
    X86Bare *b = x86_bare_new(jit != NULL, RAM_BYTES);
    g_autofree uint8_t *expected = g_malloc(RAM_BYTES);
    GRand *r = g_rand_new_with_seed(20);
    for (unsigned n = 0; n < CASES; n++) {
        Case c = random_case(r);
        uint32_t value = n % 3 ? g_rand_int(r) : (n & 0xff) * 0x01010101u;
        int moved = (int)(c.count * c.size) * (c.down ? -1 : 1);
        prepare(b, &c);
        b->s->gpr[RAX] = value;
        for (unsigned i = 0; i < DATA_BYTES; i++)
            b->host[DATA + i] = (uint8_t)g_rand_int(r);
        memcpy(expected, b->host, RAM_BYTES);
        model(&c, expected, value);
        g_assert_true(x86_bare_run(b));
        g_assert_cmpmem(b->host + DATA, DATA_BYTES, expected + DATA, DATA_BYTES);
        g_assert_cmphex(b->s->gpr[RCX] & 0xffff, ==, 0);
        g_assert_cmphex(b->s->gpr[RDI] & 0xffff, ==, (uint16_t)(c.to + moved));
        g_assert_cmphex(b->s->gpr[RSI] & 0xffff, ==, (uint16_t)(c.from + (c.fill ? 0 : moved)));
    }
    g_rand_free(r);
    x86_bare_free(b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/x86/string/jit", "jit", test_strings);
    g_test_add_data_func("/x86/string/interpreter", NULL, test_strings);
    return g_test_run();
}
