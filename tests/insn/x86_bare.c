/*
 * See x86_bare.h.
 * SPDX-License-Identifier: MIT
 */
#include "x86_bare.h"
#include "accel/accel.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what, GError *err)
{
    fprintf(stderr, "x86: %s: %s\n", what, err ? err->message : "it is not there");
    exit(1);
}

X86Bare *x86_bare_new(bool jit, uint64_t ram_bytes)
{
    GError *err = NULL;
    MachineConfig config = { .target = "x86_64", .ram_size = ram_bytes, .cpus = 1, .max_cpus = 1 };
    X86Bare *b = g_new0(X86Bare, 1);
    g_autoptr(Opts) opts = opts_parse("-accel", jit ? "jit=on" : "jit=off", NULL, &err);
    b->machine = machine_new(NULL, accel_find("tcg"), opts, &config, &err);
    if (!b->machine)
        fail("machine", err);
    b->machine->target = target_find("x86_64");
    if (!b->machine->target)
        fail("target x86_64", NULL);
    machine_lock(b->machine);
    if (!mem_ram_init(&b->ram, b->machine, "ram", ram_bytes, &err))
        fail("memory", err);
    mem_add(&b->machine->root, 0, &b->ram, 0);
    b->machine->ram = &b->ram;
    b->vcpu = vcpu_new(b->machine, "max", &err);
    if (!b->vcpu || !machine_prepare(b->machine, &err))
        fail("vCPU", err);
    machine_unlock(b->machine);
    b->s = x86(b->vcpu->state);
    b->host = b->ram.host;
    return b;
}

void x86_bare_free(X86Bare *b)
{
    machine_free(b->machine);
    g_free(b);
}

void x86_bare_code_written(X86Bare *b, uint64_t address, uint64_t bytes)
{
    b->machine->accel->ram_written(b->machine, b->ram.ram_addr + address, bytes);
}

uint64_t x86_bare_descriptor(uint32_t base, uint32_t limit, uint16_t attributes)
{
    uint64_t low = (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16;
    uint64_t high = (attributes & 0xf0ffu) << 8 | (limit & 0xf0000) | (base & 0xff000000);
    return low | high << 32;
}

bool x86_bare_go(X86Bare *b, bool (*arrived)(uint64_t pc), unsigned most)
{
    TcgCpu *c = b->vcpu->accel;
    for (unsigned n = 0; n < most && !(arrived && arrived(c->cs->pc)); n++) {
        uint64_t link = UINT64_MAX; /* jumps stay as they are: each one comes back to here */
        __atomic_store_n(&c->cs->poll, 0, __ATOMIC_SEQ_CST);
        TcgRun run = tcg_run_stretch(c, &link);
        b->vcpu->halted = false;
        c->empty_halts = 0;
        c->nap = false;
        if (run == TCG_RUN_HALT)
            return true;
        if (run == TCG_RUN_FULL) {
            tcg_leave(c, run);
            tcg_enter(c);
        }
    }
    return arrived && arrived(c->cs->pc);
}

typedef struct Run {
    X86Bare *b;
    bool halted;
} Run;

static void run_to_halt(Vcpu *vcpu, void *opaque)
{
    enum { MOST_STRETCHES = 2000 };
    Run *r = opaque;
    tcg_enter(vcpu->accel);
    r->halted = x86_bare_go(r->b, NULL, MOST_STRETCHES);
    tcg_leave(vcpu->accel, TCG_RUN_ON);
}

bool x86_bare_run(X86Bare *b)
{
    Run r = { b, false };
    vcpu_call(b->vcpu, run_to_halt, &r);
    return r.halted;
}
