/*
 * vCPU threads and run control, with a target that counts and an accelerator that asks it to: start and stop, WFI
 * wake-ups, posted functions, reset, shutdown and reset requests.
 * SPDX-License-Identifier: MIT
 */
#include "accel/accel.h"
#include "target/target.h"
#include "util/mainloop.h"
#include <pthread.h>
#include <string.h>

typedef struct FakeState {
    CpuState cs;
    uint64_t steps; /* atomic */
    uint32_t input; /* atomic: interrupt line */
    uint64_t taken; /* atomic: interrupts delivered */
    unsigned resets;
} FakeState;

static bool fake_init(Vcpu *vcpu, CpuState *cs, const char *model, GError **err)
{
    return true;
}

static void fake_reset(CpuState *cs)
{
    FakeState *fake = (FakeState *)cs;
    fake->resets++;
    __atomic_store_n(&fake->steps, 0, __ATOMIC_RELAXED);
}

static bool fake_has_work(CpuState *cs)
{
    return __atomic_load_n(&((FakeState *)cs)->input, __ATOMIC_SEQ_CST);
}

static bool fake_deliver(CpuState *cs)
{
    FakeState *fake = (FakeState *)cs;
    if (!__atomic_exchange_n(&fake->input, 0, __ATOMIC_SEQ_CST))
        return false;
    __atomic_fetch_add(&fake->taken, 1, __ATOMIC_SEQ_CST);
    return true;
}

static bool halts; /* the guest does nothing but wait */

/* A few steps, or a wait. */
static void fake_turn(Vcpu *vcpu)
{
    g_assert_true(vcpu_current() == vcpu);
    fake_deliver(vcpu->state);
    if (halts)
        __atomic_store_n(&vcpu->halted, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; !halts && i < 20; i++)
        __atomic_fetch_add(&((FakeState *)vcpu->state)->steps, 1, __ATOMIC_RELAXED);
}

/* All on one thread, in turn. */
static void fake_run_group(Vcpu *runner)
{
    bool any = true;
    for (unsigned at = 0;; at++) {
        Vcpu *vcpu = vcpu_group_at(runner, at);
        if (!vcpu) {
            if (!any)
                vcpu_group_sleep(runner, -1);
            any = false;
            at = UINT_MAX;
            continue;
        }
        VcpuStanding standing = vcpu_look(vcpu);
        if (standing == VCPU_GONE && vcpu == runner)
            return;
        if (standing == VCPU_GONE) {
            vcpu_group_leave(vcpu);
            any = true;
            at--;
        } else if (standing == VCPU_RUNS) {
            fake_turn(vcpu);
            any = true;
        }
    }
}

static uint32_t vanishes; /* atomic: the first vCPU's thread ends, though nobody asks for it */

static void vanish(const Vcpu *vcpu)
{
    if (!vcpu->index && __atomic_exchange_n(&vanishes, 0, __ATOMIC_SEQ_CST))
        pthread_exit(NULL);
}

static void fake_run(Vcpu *vcpu)
{
    FakeState *fake = (FakeState *)vcpu->state;
    if (vcpu->machine->single_thread) {
        fake_run_group(vcpu);
        return;
    }
    while (vcpu_attend(vcpu)) {
        g_assert_true(vcpu_current() == vcpu);
        fake_deliver(vcpu->state);
        if (halts) {
            __atomic_store_n(&vcpu->halted, true, __ATOMIC_RELAXED);
            continue;
        }
        vanish(vcpu); /* the request for it may have been taken before */
        while (!__atomic_load_n(&vcpu->state->poll, __ATOMIC_SEQ_CST))
            __atomic_fetch_add(&fake->steps, 1, __ATOMIC_RELAXED);
        vanish(vcpu);
    }
}

static void fake_kick(Vcpu *vcpu)
{
    __atomic_store_n(&vcpu->state->poll, 1, __ATOMIC_SEQ_CST);
}

static const Target fake_target = { .name = "fake",
                                    .state_size = sizeof(FakeState),
                                    .cpu_init = fake_init,
                                    .cpu_reset = fake_reset,
                                    .has_work = fake_has_work,
                                    .deliver_interrupt = fake_deliver };
static const AccelType fake_accel = { .name = "fake", .vcpu_run = fake_run, .vcpu_kick = fake_kick };

#define CPUS 3

static bool single; /* the next machine's vCPUs share a thread */

static Machine *machine_with_cpus(bool halting, const MachineConfig *config)
{
    GError *err = NULL;
    halts = halting;
    Machine *machine = machine_new(NULL, &fake_accel, NULL, config, &err);
    g_assert_no_error(err);
    machine->target = &fake_target;
    machine->single_thread = single;
    machine_lock(machine);
    for (unsigned i = 0; i < CPUS; i++)
        g_assert_nonnull(vcpu_new(machine, NULL, &err));
    g_assert_true(machine_prepare(machine, &err));
    machine_unlock(machine);
    return machine;
}

static FakeState *state_of(Machine *machine, unsigned i)
{
    return (FakeState *)((Vcpu *)g_ptr_array_index(machine->vcpus, i))->state;
}

static uint64_t steps_of(Machine *machine, unsigned i)
{
    return __atomic_load_n(&state_of(machine, i)->steps, __ATOMIC_RELAXED);
}

static void test_start_stop(void)
{
    Machine *machine = machine_with_cpus(false, NULL);
    g_assert_cmpint(machine->state, ==, RUN_PRELAUNCH);
    for (unsigned round = 0; round < 200; round++) {
        uint64_t before[CPUS];
        for (unsigned i = 0; i < CPUS; i++)
            before[i] = steps_of(machine, i);
        machine_lock(machine);
        machine_start(machine);
        machine_unlock(machine);
        for (unsigned i = 0; round % 20 == 0 && i < CPUS; i++) {
            while (steps_of(machine, i) == before[i])
                g_usleep(10);
        }
        machine_lock(machine);
        machine_stop(machine, RUN_PAUSED);
        machine_unlock(machine);
        for (unsigned i = 0; i < CPUS; i++)
            before[i] = steps_of(machine, i);
        if (round % 20 == 0)
            g_usleep(500);
        for (unsigned i = 0; i < CPUS; i++)
            g_assert_cmpuint(steps_of(machine, i), ==, before[i]);
    }
    machine_free(machine);
}

/* Each interrupt raised at a sleeping vCPU is taken, however the moments fall. */
static void test_wake(void)
{
    Machine *machine = machine_with_cpus(true, NULL);
    machine_lock(machine);
    machine_start(machine);
    machine_unlock(machine);
    for (unsigned round = 0; round < 3000; round++) {
        unsigned i = round % CPUS;
        FakeState *fake = state_of(machine, i);
        uint64_t taken = __atomic_load_n(&fake->taken, __ATOMIC_SEQ_CST);
        int64_t limit = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
        __atomic_store_n(&fake->input, 1, __ATOMIC_SEQ_CST);
        vcpu_request(g_ptr_array_index(machine->vcpus, i), VCPU_INTERRUPT);
        while (__atomic_load_n(&fake->taken, __ATOMIC_SEQ_CST) == taken) {
            g_assert_cmpint(g_get_monotonic_time(), <, limit);
            g_thread_yield(); /* there may be one CPU for both */
        }
        g_assert_cmpuint(__atomic_load_n(&fake->taken, __ATOMIC_SEQ_CST), ==, taken + 1);
    }
    machine_free(machine);
}

static void add_one(Vcpu *vcpu, void *opaque)
{
    g_assert_true(vcpu_current() == vcpu);
    ++*(unsigned *)opaque;
}

static void test_work(void)
{
    Machine *machine = machine_with_cpus(false, NULL);
    Vcpu *vcpu = g_ptr_array_index(machine->vcpus, 1);
    unsigned count = 0;
    vcpu_call(vcpu, add_one, &count); /* stopped vCPUs do it too */
    g_assert_cmpuint(count, ==, 1);
    machine_lock(machine);
    machine_start(machine);
    machine_unlock(machine);
    for (unsigned i = 0; i < 500; i++) {
        vcpu_post(vcpu, add_one, &count);
        vcpu_call(vcpu, add_one, &count);
        g_assert_cmpuint(count, ==, 1 + 2 * (i + 1));
    }
    machine_free(machine);
}

static void test_reset_request(void)
{
    Machine *machine = machine_with_cpus(false, NULL);
    unsigned before = state_of(machine, 0)->resets;
    machine_lock(machine);
    machine_start(machine);
    machine_reset(machine);
    g_assert_cmpint(machine->state, ==, RUN_RUNNING);
    machine_stop(machine, RUN_SHUTDOWN);
    g_assert_cmpuint(state_of(machine, 0)->resets, ==, before + 1);
    machine_start(machine); /* off: does nothing */
    g_assert_cmpint(machine->state, ==, RUN_SHUTDOWN);
    machine_reset(machine);
    g_assert_cmpint(machine->state, ==, RUN_PAUSED);
    machine_unlock(machine);
    machine_free(machine);
}

static void end_loop(Machine *machine, int status)
{
    mainloop_quit(status);
}

static void *ask_shutdown(void *opaque)
{
    machine_request_shutdown(opaque, SHUTDOWN_GUEST_OFF, 7);
    machine_request_shutdown(opaque, SHUTDOWN_GUEST_OFF, 8);
    return NULL;
}

static void poll_until(Machine *machine, RunState state)
{
    while (machine->state != state)
        g_main_context_iteration(NULL, TRUE);
}

static void test_requests(void)
{
    MachineConfig config = { 0 };
    Machine *machine = machine_with_cpus(false, &config);
    machine->ended = end_loop;
    machine_lock(machine);
    machine_start(machine);
    machine_unlock(machine);
    GThread *thread = g_thread_new("asker", ask_shutdown, machine);
    g_assert_cmpint(mainloop_run(), ==, 7);
    g_thread_join(thread);
    g_assert_cmpint(machine->state, ==, RUN_SHUTDOWN);
    machine_free(machine);

    config.no_reboot = config.no_shutdown = true;
    machine = machine_with_cpus(false, &config);
    machine->ended = end_loop;
    machine_lock(machine);
    machine_start(machine);
    machine_unlock(machine);
    machine_request_reset(machine, SHUTDOWN_GUEST_RESET);
    poll_until(machine, RUN_SHUTDOWN); /* and the loop goes on */
    machine_request_shutdown(machine, SHUTDOWN_HOST_QUIT, 0);
    g_assert_cmpint(mainloop_run(), ==, 0);
    machine_request_reset(machine, SHUTDOWN_GUEST_RESET); /* freed before it is acted on */
    machine_free(machine);
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

static void test_panic(void)
{
    MachineConfig config = { .on_panic = PANIC_PAUSE };
    Machine *machine = machine_with_cpus(false, &config);
    machine_lock(machine);
    machine_start(machine);
    machine_unlock(machine);
    machine_request_shutdown(machine, SHUTDOWN_GUEST_PANIC, 0);
    poll_until(machine, RUN_PAUSED);
    machine_free(machine);
}

/* The thread of a vCPU ends: the machine stops with an internal error, nobody waits for ever, and a reset brings it
 * back. */
static void test_vanished(void)
{
    Machine *machine = machine_with_cpus(false, NULL);
    Vcpu *vcpu = g_ptr_array_index(machine->vcpus, 0);
    unsigned count = 0;
    machine_lock(machine);
    machine_start(machine);
    machine_unlock(machine);
    __atomic_store_n(&vanishes, 1, __ATOMIC_SEQ_CST);
    vcpu_request(vcpu, VCPU_INTERRUPT);
    poll_until(machine, RUN_INTERNAL_ERROR);
    vcpu_call(vcpu, add_one, &count);
    g_assert_cmpuint(count, ==, 1);
    machine_lock(machine);
    machine_start(machine); /* does nothing */
    g_assert_cmpint(machine->state, ==, RUN_INTERNAL_ERROR);
    machine_reset(machine);
    uint64_t before = steps_of(machine, 0);
    machine_start(machine);
    g_assert_cmpint(machine->state, ==, RUN_RUNNING);
    machine_unlock(machine);
    while (steps_of(machine, 0) == before)
        g_usleep(10);
    vcpu_call(vcpu, add_one, &count);
    g_assert_cmpuint(count, ==, 2);
    __atomic_store_n(&vanishes, 1, __ATOMIC_SEQ_CST);
    vcpu_request(vcpu, VCPU_INTERRUPT);
    poll_until(machine, RUN_INTERNAL_ERROR);
    machine_free(machine); /* without a reset */
}

static void test_watchdog(void)
{
    MachineConfig config = { .on_watchdog = WATCHDOG_PAUSE };
    Machine *machine = machine_with_cpus(false, &config);
    machine_lock(machine);
    machine_start(machine);
    machine_watchdog(machine);
    machine_unlock(machine);
    poll_until(machine, RUN_WATCHDOG);
    machine_lock(machine);
    machine_start(machine);
    g_assert_cmpint(machine->state, ==, RUN_RUNNING);
    unsigned before = state_of(machine, 0)->resets;
    machine->config.on_watchdog = WATCHDOG_NONE;
    machine_watchdog(machine);
    machine->config.on_watchdog = WATCHDOG_RESET;
    machine_watchdog(machine);
    machine_unlock(machine);
    while (g_main_context_iteration(NULL, FALSE))
        ;
    g_assert_cmpuint(state_of(machine, 0)->resets, ==, before + 1);
    machine_free(machine);
}

/* Who runs whom. */
static void test_group(void)
{
    Machine *machine = machine_with_cpus(false, NULL);
    Vcpu *runner = g_ptr_array_index(machine->vcpus, 0);
    g_assert_cmpuint(runner->group->len, ==, single ? CPUS : 1);
    machine_free(machine);
}

static void test_single(void)
{
    single = true;
    test_group();
    test_start_stop();
    test_wake();
    test_work();
    test_reset_request();
    single = false;
    test_group();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vcpu/start-stop", test_start_stop);
    g_test_add_func("/vcpu/wake", test_wake);
    g_test_add_func("/vcpu/work", test_work);
    g_test_add_func("/vcpu/single", test_single);
    g_test_add_func("/machine/reset", test_reset_request);
    g_test_add_func("/machine/requests", test_requests);
    g_test_add_func("/machine/panic", test_panic);
    g_test_add_func("/machine/watchdog", test_watchdog);
    g_test_add_func("/vcpu/vanished", test_vanished);
    return g_test_run();
}
