/*
 * A debugger's breakpoints, watchpoints and steps under KVM, and the guest's own breakpoints besides. What a kernel
 * without help from the processor does not report is found by asking it directly.
 * SPDX-License-Identifier: MIT
 */
#include "accel/accel.h"
#include "accel/vcpu.h"
#include "bare_kvm.h"
#include <string.h>
#include <sys/ioctl.h>

enum { RAM_BYTES = 1 << 20, CODE = 0x1000, VALUE = 0x900, OWN_HANDLER = 0x1100, DONE = 0x908 };

/* 1000 nop; 1001 nop; 1002 mov byte [VALUE], 1; 1007 int3; 1008 mov byte [DONE], 1; 100d hlt */
static const uint8_t code[] = { 0x90, 0x90, 0xc6, 0x06,        VALUE & 0xff, VALUE >> 8, 1,
                                0xcc, 0xc6, 0x06, DONE & 0xff, DONE >> 8,    1,          0xf4 };
static const uint8_t own_handler[] = { 0xc6, 0x06, (VALUE + 1) & 0xff, VALUE >> 8, 7, 0xcf }; /* mov; iret */

typedef struct Hit {
    unsigned count;
    bool step;
    DebugPoint point;
} Hit;

static BareKvm *b;
static Hit hit;

static void stopped(Vcpu *vcpu, const DebugPoint *point, void *opaque)
{
    hit.step = !point;
    hit.point = point ? *point : (DebugPoint){ 0 };
    hit.count++;
    machine_request_stop(vcpu->machine, RUN_PAUSED);
}

static void begin(void)
{
    static const X86Entry entry = { .bits = 16, .cs = 0, .rip = CODE, .rsp = 0x800 };
    uint32_t handler = OWN_HANDLER;
    b = bare_kvm_new("kernel-irqchip=off", "max", RAM_BYTES);
    memcpy(b->host + CODE, code, sizeof(code));
    memcpy(b->host + OWN_HANDLER, own_handler, sizeof(own_handler));
    memcpy(b->host + 4 * VECTOR_BP, &handler, 4);
    x86_set_entry(&b->s->cs, &entry);
    machine_lock(b->machine);
    machine_reset(b->machine);
    machine_unlock(b->machine);
    hit = (Hit){ 0 };
}

/* Does the kernel report this at all? */
static bool kernel_reports(uint32_t control, uint64_t address, uint64_t dr7)
{
    g_autoptr(GError) err = NULL;
    begin();
    struct kvm_guest_debug g = { .control = KVM_GUESTDBG_ENABLE | control };
    g.arch.debugreg[0] = address;
    g.arch.debugreg[7] = dr7;
    bool reports = ioctl(b->k->fd, KVM_SET_GUEST_DEBUG, &g) == 0 && kvm_put_state(b->k, KVM_PUT_RESET, &err) &&
                   ioctl(b->k->fd, KVM_RUN, 0) == 0 && b->k->run->exit_reason == KVM_EXIT_DEBUG;
    bare_kvm_free(b);
    if (!reports)
        g_test_skip("the kernel does not report it");
    return reports;
}

static void ask(const DebugRequest *request)
{
    g_autoptr(GError) err = NULL;
    machine_lock(b->machine);
    if (!kvm_vcpu_debug(b->vcpu, request, &err))
        g_error("%s", err->message);
    machine_unlock(b->machine);
}

/* Run until something is hit, or the guest halts. */
static void run(void)
{
    unsigned before = hit.count;
    machine_lock(b->machine);
    machine_start(b->machine);
    machine_unlock(b->machine);
    while (b->machine->state == RUN_RUNNING && !__atomic_load_n(&b->vcpu->halted, __ATOMIC_SEQ_CST))
        g_main_context_iteration(NULL, FALSE);
    machine_lock(b->machine);
    machine_stop(b->machine, RUN_PAUSED);
    machine_unlock(b->machine);
    b->machine->accel->vcpu_read_state(b->vcpu);
    g_assert_cmpuint(hit.count - before, <=, 1);
}

static void test_step(void)
{
    if (!kernel_reports(KVM_GUESTDBG_SINGLESTEP, 0, 0x400))
        return;
    begin();
    ask(&(DebugRequest){ .step = true, .stopped = stopped });
    for (unsigned i = 1; i <= 3; i++) {
        static const uint16_t at[] = { CODE, CODE + 1, CODE + 2, CODE + 7 };
        run();
        g_assert_cmpuint(hit.count, ==, i);
        g_assert_true(hit.step);
        g_assert_cmphex(b->s->cs.pc, ==, at[i]);
        g_assert_false(x86_eflags(b->s) & FLAG_TF); /* not the guest's */
    }
    g_assert_cmpuint(b->host[VALUE], ==, 1);
    ask(NULL);
    run();
    g_assert_cmpuint(hit.count, ==, 3);
    g_assert_cmpuint(b->host[DONE], ==, 1);
    bare_kvm_free(b);
}

static void expect(const DebugPoint *point, uint64_t pc, unsigned value)
{
    begin();
    ask(&(DebugRequest){ .points = point, .count = 1, .stopped = stopped });
    run();
    g_assert_cmpuint(hit.count, ==, 1);
    g_assert_cmpint(hit.point.kind, ==, point->kind);
    g_assert_cmphex(hit.point.address, ==, point->address);
    g_assert_cmphex(b->s->cs.pc, ==, pc);
    g_assert_cmpuint(b->host[VALUE], ==, value);
    ask(NULL);
    run();
    g_assert_cmpuint(hit.count, ==, 1);
    g_assert_cmpuint(b->host[VALUE + 1], ==, 7); /* the guest's own int3 had its handler */
    g_assert_cmpuint(b->host[DONE], ==, 1);
    g_assert_cmpmem(b->host + CODE, sizeof(code), code, sizeof(code));
    bare_kvm_free(b);
}

static void test_hardware(void)
{
    if (kernel_reports(KVM_GUESTDBG_USE_HW_BP, CODE + 1, 0x402))
        expect(&(DebugPoint){ DEBUG_EXECUTE, CODE + 1, 1 }, CODE + 1, 0);
}

static void test_watchpoint(void)
{
    if (kernel_reports(KVM_GUESTDBG_USE_HW_BP, VALUE, 0x402 | 1 << 16))
        expect(&(DebugPoint){ DEBUG_WRITE, VALUE, 1 }, CODE + 7, 1);
}

static void test_software(void)
{
    if (kernel_reports(KVM_GUESTDBG_USE_SW_BP, 0, 0x400))
        expect(&(DebugPoint){ DEBUG_SOFTWARE, CODE + 2, 1 }, CODE + 2, 0);
}

/* With a breakpoint of ours somewhere else, an int3 of the guest's is the guest's. */
static void test_own(void)
{
    begin();
    ask(&(DebugRequest){ .points = &(DebugPoint){ DEBUG_SOFTWARE, CODE + 0x80, 1 }, .count = 1, .stopped = stopped });
    g_assert_cmphex(b->host[CODE + 0x80], ==, 0xcc);
    run();
    g_assert_cmpuint(hit.count, ==, 0);
    g_assert_cmpuint(b->host[VALUE + 1], ==, 7);
    g_assert_cmpuint(b->host[DONE], ==, 1);
    ask(NULL);
    g_assert_cmphex(b->host[CODE + 0x80], ==, 0);
    bare_kvm_free(b);
}

static void test_refused(void)
{
    static const DebugPoint bad[][5] = { { { DEBUG_WRITE, VALUE + 1, 2 } },
                                         { { DEBUG_ACCESS, VALUE, 3 } },
                                         { { DEBUG_SOFTWARE, RAM_BYTES + 5, 1 } },
                                         { { DEBUG_SOFTWARE, CODE, 1 }, { DEBUG_WRITE, VALUE, 16 } },
                                         { { DEBUG_EXECUTE, 1, 1 },
                                           { DEBUG_EXECUTE, 2, 1 },
                                           { DEBUG_EXECUTE, 3, 1 },
                                           { DEBUG_EXECUTE, 4, 1 },
                                           { DEBUG_EXECUTE, 5, 1 } } };
    static const unsigned counts[] = { 1, 1, 1, 2, 5 };
    begin();
    for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++) {
        g_autoptr(GError) err = NULL;
        machine_lock(b->machine);
        g_assert_false(kvm_vcpu_debug(b->vcpu, &(DebugRequest){ .points = bad[i], .count = counts[i] }, &err));
        machine_unlock(b->machine);
        g_assert_nonnull(err);
        g_assert_cmpmem(b->host + CODE, sizeof(code), code, sizeof(code));
    }
    run();
    g_assert_cmpuint(b->host[DONE], ==, 1);
    bare_kvm_free(b);
}

int main(int argc, char **argv)
{
    int missing = bare_kvm_missing();
    g_test_init(&argc, &argv, NULL);
    if (missing)
        return missing;
    g_test_add_func("/kvm/debug/step", test_step);
    g_test_add_func("/kvm/debug/hardware-breakpoint", test_hardware);
    g_test_add_func("/kvm/debug/watchpoint", test_watchpoint);
    g_test_add_func("/kvm/debug/software-breakpoint", test_software);
    g_test_add_func("/kvm/debug/own-breakpoint", test_own);
    g_test_add_func("/kvm/debug/refused", test_refused);
    return g_test_run();
}
