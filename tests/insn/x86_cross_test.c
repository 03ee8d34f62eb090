/*
 * A loop with an instruction that goes on in the next page: generated code stays in it without C's help, and sees what
 * is written to either page.
 * SPDX-License-Identifier: MIT
 */
#include "x86_bare.h"
#include <string.h>

enum { RAM_BYTES = 0x20000, START = 0x1ff8, TURNS = 1000, FEW = 40 };

static const uint8_t program[] = {
    0xb9, TURNS & 0xff, TURNS >> 8, /* mov cx, TURNS */
    0x90, 0x90,                     /* nop, nop */
    0x81, 0xc3,         0x01,       /* add bx, 1: the next page begins in the middle of the number */
    0x00,                           /* */
    0x49,                           /* dec cx */
    0x75, 0xf9,                     /* jnz to the add */
    0xf4,                           /* hlt */
};

typedef struct Run {
    X86Bare *b;
    uint64_t exits;
} Run;

/* With links: each exit is told where it led. */
static void run_linked(Vcpu *vcpu, void *opaque)
{
    Run *r = opaque;
    TcgCpu *c = vcpu->accel;
    uint64_t link = UINT64_MAX, before = c->stats.exits;
    tcg_enter(c);
    for (unsigned n = 0; n < 4 * TURNS; n++) {
        __atomic_store_n(&c->cs->poll, 0, __ATOMIC_SEQ_CST);
        if (tcg_run_stretch(c, &link) == TCG_RUN_HALT)
            break;
    }
    vcpu->halted = false;
    tcg_leave(c, TCG_RUN_ON);
    r->exits = c->stats.exits - before;
}

static uint64_t count(X86Bare *b)
{
    Run r = { b, 0 };
    b->s->cs.pc = START;
    b->s->gpr[RBX] = 0;
    x86_load_segment_real(b->s, X86_CS, 0);
    x86_mode_changed(b->s);
    vcpu_call(b->vcpu, run_linked, &r);
    g_assert_cmphex(b->s->gpr[RCX] & 0xffff, ==, 0);
    return r.exits;
}

static void put_code(X86Bare *b, uint64_t at, uint8_t value)
{
    b->host[at] = value;
    x86_bare_code_written(b, at, 1);
}

static void test_cross(const void *jit)
{
    X86Bare *b = x86_bare_new(jit != NULL, RAM_BYTES);
    memcpy(b->host + START, program, sizeof(program));
    uint64_t exits = count(b);
    g_assert_cmphex(b->s->gpr[RBX] & 0xffff, ==, TURNS);
    if (jit)
        g_assert_cmpuint(exits, <, FEW);
    put_code(b, START + 8, 0x01); /* in the second page: 0x101 */
    exits = count(b);
    g_assert_cmphex(b->s->gpr[RBX] & 0xffff, ==, (uint16_t)(TURNS * 0x101));
    put_code(b, START + 7, 0x03); /* in the first */
    exits = count(b);
    g_assert_cmphex(b->s->gpr[RBX] & 0xffff, ==, (uint16_t)(TURNS * 0x103));
    if (jit)
        g_assert_cmpuint(exits, <, FEW);
    put_code(b, START + 5, 0x90); /* nop; add ax, 0x102: it begins a byte later */
    put_code(b, START + 6, 0x05);
    put_code(b, START + 7, 0x02);
    b->s->gpr[RAX] = 0;
    exits = count(b);
    g_assert_cmphex(b->s->gpr[RAX] & 0xffff, ==, (uint16_t)(TURNS * 0x102));
    if (jit)
        g_assert_cmpuint(exits, <, FEW);
    x86_bare_free(b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/x86/cross/jit", "jit", test_cross);
    g_test_add_data_func("/x86/cross/interpreter", NULL, test_cross);
    return g_test_run();
}
