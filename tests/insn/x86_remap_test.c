/*
 * A vCPU that changes the memory map itself, by a store to a device and by an OUT: its next access sees the new map,
 * also inside the same stretch of code, and whether it goes by tables that are already filled or not.
 * SPDX-License-Identifier: MIT
 */
#include "x86_bare.h"
#include <string.h>

enum { RAM_BYTES = 0x20000, PROGRAM = 0x1000, WINDOW = 0x20000, SWITCH = 0x30000, PORT = 0xe0, TIMES = 3 };

static MemRegion banks[2], io, port;

static void choose(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    X86Bare *b = opaque;
    memory_begin(b->machine);
    for (unsigned i = 0; i < G_N_ELEMENTS(banks); i++)
        mem_set_enabled(&banks[i], (value & 1) == i);
    memory_commit(b->machine);
}

static uint64_t chosen(void *opaque, uint64_t offset, unsigned size)
{
    return banks[1].enabled;
}

static const MemOps switch_ops = { .read = chosen, .write = choose, .max_size = 4 };

/* Banks of RAM that share an address, one of which can be seen. */
static void add_banks(X86Bare *b)
{
    GError *err = NULL;
    machine_lock(b->machine);
    for (unsigned i = 0; i < G_N_ELEMENTS(banks); i++) {
        mem_ram_init(&banks[i], b->machine, i ? "bank 1" : "bank 0", GUEST_PAGE_SIZE, &err);
        g_assert_no_error(err);
        mem_add(&b->machine->root, WINDOW, &banks[i], 0);
        mem_set_enabled(&banks[i], !i);
    }
    mem_io_init(&io, b->machine, "switch", GUEST_PAGE_SIZE, &switch_ops, b);
    mem_add(&b->machine->root, SWITCH, &io, 0);
    mem_io_init(&port, b->machine, "switch port", 1, &switch_ops, b);
    b->machine->io_root.size = 1 << 16;
    mem_add(&b->machine->io_root, PORT, &port, 0);
    machine_unlock(b->machine);
}

static void set_state(X86Bare *b)
{
    x86_load_segment_real(b->s, X86_CS, 0);
    x86_load_segment_real(b->s, X86_DS, WINDOW >> 4);
    x86_load_segment_real(b->s, X86_ES, SWITCH >> 4);
    b->s->cs.pc = PROGRAM;
    x86_mode_changed(b->s);
}

static void test_remap(const void *jit)
{
    static const uint8_t program[] = {
        0xc6, 0x06, 0x10, 0x00, 0x11,       /* mov byte [0x10], 0x11: bank 0 */
        0xa0, 0x10, 0x00,                   /* mov al, [0x10] */
        0xb0, 0x01, 0x26, 0xa2, 0x00, 0x00, /* mov al, 1; mov es:[0], al */
        0xc6, 0x06, 0x10, 0x00, 0x22,       /* mov byte [0x10], 0x22: bank 1 */
        0x8a, 0x1e, 0x10, 0x00,             /* mov bl, [0x10] */
        0xb0, 0x00, 0xe6, PORT,             /* mov al, 0; out PORT, al */
        0x8a, 0x3e, 0x10, 0x00,             /* mov bh, [0x10]: bank 0 */
        0xc6, 0x06, 0x11, 0x00, 0x33,       /* mov byte [0x11], 0x33 */
        0xf4,                               /* hlt */
    };
    X86Bare *b = x86_bare_new(jit != NULL, RAM_BYTES);
    add_banks(b);
    memcpy(b->host + PROGRAM, program, sizeof(program));
    for (unsigned i = 0; i < TIMES; i++) {
        memset(banks[0].host, 0, GUEST_PAGE_SIZE);
        memset(banks[1].host, 0, GUEST_PAGE_SIZE);
        set_state(b);
        g_assert_true(x86_bare_run(b));
        g_assert_cmphex(banks[0].host[0x10], ==, 0x11);
        g_assert_cmphex(banks[1].host[0x10], ==, 0x22);
        g_assert_cmphex(b->s->gpr[RBX] & 0xffff, ==, 0x1122);
        g_assert_cmphex(banks[0].host[0x11], ==, 0x33);
        g_assert_cmphex(banks[1].host[0x11], ==, 0);
    }
    x86_bare_free(b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/x86/remap/jit", "jit", test_remap);
    g_test_add_data_func("/x86/remap/interpreter", NULL, test_remap);
    return g_test_run();
}
