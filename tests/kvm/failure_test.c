/*
 * What cannot go on does not take the process along: a vCPU whose file descriptor is gone, memory that cannot be
 * executed, a triple fault. The machine stops or resets, says so, and nobody waits for the vCPU for ever.
 * SPDX-License-Identifier: MIT
 */
#include "accel/vcpu.h"
#include "bare_kvm.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { RAM_BYTES = 1 << 20, CODE = 0x1000 };

static const X86Entry real = { .bits = 16, .cs = CODE >> 4, .rsp = 0x800 };
static const X86Entry protected = { .bits = 32, .cs = 8, .ds = 16, .rip = CODE, .rsp = 0x800 };

/* A guest that begins with these bytes. */
static BareKvm *guest(const X86Entry *entry, const char *code, size_t bytes)
{
    BareKvm *b = bare_kvm_new("kernel-irqchip=off", "max", RAM_BYTES);
    memcpy(b->host + CODE, code, bytes);
    x86_set_entry(&b->s->cs, entry);
    machine_lock(b->machine);
    machine_reset(b->machine);
    machine_start(b->machine);
    machine_unlock(b->machine);
    return b;
}

static void poll_until(Machine *machine, RunState state)
{
    while (machine->state != state)
        g_main_context_iteration(NULL, TRUE);
}

static void reset_and_start(BareKvm *b)
{
    machine_lock(b->machine);
    machine_start(b->machine);
    g_assert_cmpint(b->machine->state, ==, RUN_INTERNAL_ERROR); /* not without a reset */
    machine_reset(b->machine);
    g_assert_cmpint(b->machine->state, ==, RUN_PAUSED);
    machine_start(b->machine);
    g_assert_cmpint(b->machine->state, ==, RUN_RUNNING);
    machine_unlock(b->machine);
}

static void wait_for_loop(BareKvm *b)
{
    while (!*(volatile uint8_t *)(b->host + 0x900))
        g_usleep(100);
}
/* mov byte [0x900], 1; jmp . */
static const char loops[] = "\xc6\x06\x00\x09\x01\xeb\xfe";

static void look(Vcpu *vcpu, void *opaque)
{
    g_assert_cmphex(((BareKvm *)opaque)->s->cs.pc, ==, RAM_BYTES);
    g_assert_cmphex(((BareKvm *)opaque)->s->segment[X86_CS].selector, ==, 0xffff);
}

/* Instructions come from where there is no memory: no kernel can emulate what it cannot read. */
static void test_no_memory(void)
{
    static const char jumps[] = "\xc6\x06\x00\x09\x01\xea\x10\x00\xff\xff"; /* jmpf 0xffff:0x10: behind the memory */
    BareKvm *b = guest(&real, jumps, sizeof(jumps));
    poll_until(b->machine, RUN_INTERNAL_ERROR);
    g_assert_true(b->host[0x900]);
    vcpu_call(b->vcpu, look, b);
    memcpy(b->host + CODE, loops, sizeof(loops));
    b->host[0x900] = 0;
    reset_and_start(b);
    wait_for_loop(b);
    bare_kvm_free(b);
}

/* KVM_RUN fails, now and after a reset; until there is a vCPU again. */
static void test_lost_descriptor(void)
{
    BareKvm *b = guest(&real, loops, sizeof(loops));
    int kept = dup(b->k->fd), nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    wait_for_loop(b);
    g_assert_cmpint(dup2(nothing, b->k->fd), ==, b->k->fd);
    vcpu_request(b->vcpu, VCPU_INTERRUPT);
    poll_until(b->machine, RUN_INTERNAL_ERROR);
    reset_and_start(b);
    poll_until(b->machine, RUN_INTERNAL_ERROR);
    g_assert_cmpint(dup2(kept, b->k->fd), ==, b->k->fd);
    b->host[0x900] = 0;
    reset_and_start(b);
    wait_for_loop(b);
    close(kept);
    close(nothing);
    bare_kvm_free(b);
}

/* No table of handlers: the third fault resets the machine, which begins again. */
static void test_triple_fault(void)
{
    static const char faults[] = "\xfe\x05\x00\x09\x00\x00"     /* inc byte [0x900] */
                                 "\x80\x3d\x00\x09\x00\x00\x03" /* cmp byte [0x900], 3 */
                                 "\x74\x04"                     /* je . + 6 */
                                 "\x31\xc9\xf7\xf1"             /* xor ecx, ecx; div ecx */
                                 "\xeb\xfe";                    /* jmp . */
    BareKvm *b = guest(&protected, faults, sizeof(faults));
    while (*(volatile uint8_t *)(b->host + 0x900) != 3 && b->machine->state == RUN_RUNNING)
        g_main_context_iteration(NULL, FALSE);
    if (b->machine->state == RUN_INTERNAL_ERROR)
        g_test_skip("the kernel cannot emulate a fault");
    else
        g_assert_cmpint(b->machine->state, ==, RUN_RUNNING);
    bare_kvm_free(b);
}

int main(int argc, char **argv)
{
    int missing = bare_kvm_missing();
    g_test_init(&argc, &argv, NULL);
    if (missing)
        return missing;
    g_test_add_func("/kvm/failure/lost-descriptor", test_lost_descriptor);
    g_test_add_func("/kvm/failure/triple-fault", test_triple_fault);
    g_test_add_func("/kvm/failure/no-memory", test_no_memory);
    return g_test_run();
}
