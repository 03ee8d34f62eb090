/*
 * vCPUs: threads, requests, sleeping and waking; what all accelerators with threads have in common.
 *
 * A wake-up is never lost: who asks sets a request bit, then looks whether the vCPU sleeps; the vCPU says that it
 * sleeps, then looks at the bits. Both are sequentially consistent, so one of the two sees the other. The lock is taken
 * only to wake a sleeper.
 * SPDX-License-Identifier: MIT
 */
#include "accel/vcpu.h"
#include "accel/accel.h"
#include "hw/core/machine.h"
#include "target/target.h"
#include "util/error.h"
#include "util/log.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define STATE_ALIGN 64 /* a host cache line */

typedef struct Work {
    void (*fn)(Vcpu *vcpu, void *opaque);
    void *opaque;
    bool *done; /* vcpu_call: set and settled signalled after it ran; NULL: nobody waits */
} Work;

static __thread Vcpu *current_vcpu;

Vcpu *vcpu_current(void)
{
    return current_vcpu;
}

static bool vcpu_has_thread(const Vcpu *vcpu)
{
    return vcpu->machine->accel->vcpu_run;
}

static uint32_t vcpu_requests(Vcpu *vcpu)
{
    return __atomic_load_n(&vcpu->requests, __ATOMIC_SEQ_CST);
}

/* ---- asking ---- */

static void vcpu_wake(Vcpu *vcpu)
{
    Vcpu *runner = vcpu->runner;
    if (!__atomic_load_n(&runner->sleeping, __ATOMIC_SEQ_CST))
        return;
    g_mutex_lock(&runner->lock);
    g_cond_signal(&runner->wake);
    g_mutex_unlock(&runner->lock);
}

void vcpu_request(Vcpu *vcpu, uint32_t bits)
{
    uint32_t old = __atomic_fetch_or(&vcpu->requests, bits, __ATOMIC_SEQ_CST);
    if ((old & bits) == bits)
        return; /* whoever set them kicks, and the vCPU has not looked yet */
    if (vcpu->machine->accel->vcpu_kick)
        vcpu->machine->accel->vcpu_kick(vcpu);
    vcpu_wake(vcpu);
}

void vcpu_clear(Vcpu *vcpu, uint32_t bits)
{
    __atomic_fetch_and(&vcpu->requests, ~bits, __ATOMIC_SEQ_CST);
    vcpu_wake(vcpu);
}

static void vcpu_queue(Vcpu *vcpu, Work work)
{
    g_mutex_lock(&vcpu->lock);
    g_queue_push_tail(&vcpu->work, g_memdup2(&work, sizeof(work)));
    g_mutex_unlock(&vcpu->lock);
    vcpu_request(vcpu, VCPU_WORK);
}

void vcpu_post(Vcpu *vcpu, void (*fn)(Vcpu *vcpu, void *opaque), void *opaque)
{
    if (vcpu_has_thread(vcpu))
        vcpu_queue(vcpu, (Work){ fn, opaque, NULL });
    else
        fn(vcpu, opaque);
}

static void vcpu_run_work(Vcpu *vcpu);

void vcpu_call(Vcpu *vcpu, void (*fn)(Vcpu *vcpu, void *opaque), void *opaque)
{
    g_assert(!machine_locked(vcpu->machine) && !current_vcpu);
    if (!vcpu_has_thread(vcpu)) {
        fn(vcpu, opaque);
        return;
    }
    bool done = false;
    vcpu_queue(vcpu, (Work){ fn, opaque, &done });
    g_mutex_lock(&vcpu->lock);
    while (!done && !vcpu->gone)
        g_cond_wait(&vcpu->settled, &vcpu->lock);
    g_mutex_unlock(&vcpu->lock);
    if (done)
        return;
    current_vcpu = vcpu; /* whose thread has ended */
    vcpu_run_work(vcpu);
    current_vcpu = NULL;
}

/* ---- attending ---- */

static void vcpu_run_work(Vcpu *vcpu)
{
    for (;;) {
        g_mutex_lock(&vcpu->lock);
        g_autofree Work *work = g_queue_pop_head(&vcpu->work);
        g_mutex_unlock(&vcpu->lock);
        if (!work)
            return;
        if (vcpu->machine->accel->vcpu_read_state)
            vcpu->machine->accel->vcpu_read_state(vcpu);
        work->fn(vcpu, work->opaque);
        if (work->done) {
            g_mutex_lock(&vcpu->lock);
            *work->done = true;
            g_cond_broadcast(&vcpu->settled);
            g_mutex_unlock(&vcpu->lock);
        }
    }
}

static void vcpu_reset_registers(Vcpu *vcpu)
{
    __atomic_store_n(&vcpu->halted, false, __ATOMIC_RELAXED);
    vcpu->target->cpu_reset(vcpu->state); /* which may say that it waits for another to start it */
    if (vcpu->machine->accel->vcpu_was_reset)
        vcpu->machine->accel->vcpu_was_reset(vcpu);
    if (log_on(LOG_CPU_RESET)) {
        g_autoptr(GString) text = g_string_new(NULL);
        vcpu->target->cpu_dump(vcpu->state, text);
        log_write("CPU Reset (CPU %u)\n%s", vcpu->index, text->str);
    }
}

static void vcpu_revive(Vcpu *vcpu);

void vcpu_reset(Vcpu *vcpu)
{
    /* The lock orders what the parked thread did before with this, and this with what it does later. */
    g_mutex_lock(&vcpu->lock);
    g_assert(vcpu->stopped || !vcpu->thread);
    vcpu_reset_registers(vcpu);
    g_mutex_unlock(&vcpu->lock);
    if (vcpu->thread && __atomic_load_n(&vcpu->gone, __ATOMIC_SEQ_CST))
        vcpu_revive(vcpu);
}

/* It runs no guest code, or may again. The latter under the lock together with the look at the bit: vcpus_stop, which
 * sets it anew, then waits for us again. */
static bool vcpu_settle(Vcpu *vcpu, bool stop)
{
    if (stop == vcpu->stopped) /* only this thread changes it */
        return stop;
    g_mutex_lock(&vcpu->lock);
    vcpu->stopped = vcpu_requests(vcpu) & VCPU_STOP;
    stop = vcpu->stopped;
    if (stop)
        g_cond_broadcast(&vcpu->settled);
    g_mutex_unlock(&vcpu->lock);
    return stop;
}

VcpuStanding vcpu_look(Vcpu *vcpu)
{
    current_vcpu = vcpu;
    __atomic_exchange_n(&vcpu->state->poll, 0, __ATOMIC_SEQ_CST);
    uint32_t taken = VCPU_INTERRUPT | VCPU_RESET | VCPU_WORK;
    uint32_t requests = vcpu_requests(vcpu);
    if (requests & taken)
        requests = __atomic_fetch_and(&vcpu->requests, ~taken, __ATOMIC_SEQ_CST);
    if (requests & VCPU_EXIT)
        return VCPU_GONE;
    if (requests & VCPU_WORK)
        vcpu_run_work(vcpu);
    if (requests & VCPU_RESET)
        vcpu_reset_registers(vcpu);
    bool stop = vcpu_settle(vcpu, requests & VCPU_STOP);
    vcpu->standing = stop ? VCPU_STOP : 0;
    if (stop)
        return VCPU_STOPPED;
    if (!__atomic_load_n(&vcpu->halted, __ATOMIC_RELAXED))
        return VCPU_RUNS;
    if (!vcpu->target->has_work(vcpu->state))
        return VCPU_HALTED;
    __atomic_store_n(&vcpu->halted, false, __ATOMIC_RELAXED);
    return VCPU_RUNS;
}

bool vcpu_attend(Vcpu *vcpu)
{
    for (;;) {
        VcpuStanding standing = vcpu_look(vcpu);
        if (standing == VCPU_RUNS || standing == VCPU_GONE)
            return standing == VCPU_RUNS;
        vcpu_group_sleep(vcpu, -1);
    }
}

/* ---- several on one thread ---- */

void vcpu_none_current(void)
{
    current_vcpu = NULL;
}

Vcpu *vcpu_group_at(Vcpu *runner, unsigned index)
{
    g_mutex_lock(&runner->lock);
    Vcpu *vcpu = index < runner->group->len ? g_ptr_array_index(runner->group, index) : NULL;
    g_mutex_unlock(&runner->lock);
    return vcpu;
}

void vcpu_group_leave(Vcpu *vcpu)
{
    Vcpu *runner = vcpu->runner;
    vcpu_none_current();
    g_mutex_lock(&runner->lock);
    g_ptr_array_remove(runner->group, vcpu);
    g_cond_broadcast(&runner->settled);
    g_mutex_unlock(&runner->lock);
}

/* Has nobody of the group been asked for anything that it has not seen? Lock held. */
static bool vcpu_group_quiet(Vcpu *runner)
{
    for (guint i = 0; i < runner->group->len; i++) {
        Vcpu *vcpu = g_ptr_array_index(runner->group, i);
        if (vcpu_requests(vcpu) != vcpu->standing)
            return false;
    }
    return true;
}

bool vcpu_group_sleep(Vcpu *runner, int64_t timeout_ns)
{
    bool in_time = true;
    gint64 end = g_get_monotonic_time() + timeout_ns / 1000;
    g_mutex_lock(&runner->lock);
    __atomic_store_n(&runner->sleeping, true, __ATOMIC_SEQ_CST);
    while (in_time && vcpu_group_quiet(runner)) {
        if (timeout_ns < 0)
            g_cond_wait(&runner->wake, &runner->lock);
        else
            in_time = g_cond_wait_until(&runner->wake, &runner->lock, end);
    }
    __atomic_store_n(&runner->sleeping, false, __ATOMIC_SEQ_CST);
    g_mutex_unlock(&runner->lock);
    return in_time;
}

/* ---- start and stop ---- */

/* Those first that a debugger held the last time: else one that meets its breakpoint at once keeps the others from ever
 * getting anywhere. */
void vcpus_start(Machine *machine)
{
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < machine->vcpus->len; i++) {
            Vcpu *vcpu = g_ptr_array_index(machine->vcpus, i);
            if (vcpu->was_held == !pass && !__atomic_load_n(&vcpu->held, __ATOMIC_SEQ_CST))
                vcpu_clear(vcpu, VCPU_STOP);
        }
    }
    for (unsigned i = 0; i < machine->vcpus->len; i++) {
        Vcpu *vcpu = g_ptr_array_index(machine->vcpus, i);
        vcpu->was_held = __atomic_load_n(&vcpu->held, __ATOMIC_SEQ_CST);
    }
}

void vcpus_stop(Machine *machine)
{
    g_assert(machine_locked(machine) && !current_vcpu);
    for (unsigned i = 0; i < machine->vcpus->len; i++)
        vcpu_request(g_ptr_array_index(machine->vcpus, i), VCPU_STOP);
    if (!machine->accel || !machine->accel->vcpu_run)
        return;
    machine_unlock(machine); /* a vCPU may need it to get out of a device */
    for (unsigned i = 0; i < machine->vcpus->len; i++) {
        Vcpu *vcpu = g_ptr_array_index(machine->vcpus, i);
        g_mutex_lock(&vcpu->lock);
        while (!vcpu->stopped)
            g_cond_wait(&vcpu->settled, &vcpu->lock);
        g_mutex_unlock(&vcpu->lock);
    }
    machine_lock(machine);
}

/* ---- life cycle ---- */

/* Whoever waits for one of its vCPUs need not any more. */
static void vcpu_thread_ended(void *opaque)
{
    Vcpu *runner = opaque;
    bool asked = vcpu_requests(runner) & VCPU_EXIT;
    current_vcpu = NULL;
    for (;;) {
        g_mutex_lock(&runner->lock);
        Vcpu *vcpu = runner->group->len ? g_ptr_array_steal_index(runner->group, 0) : NULL;
        g_mutex_unlock(&runner->lock);
        if (!vcpu && runner->gone)
            break;
        vcpu = vcpu ? vcpu : runner;
        g_mutex_lock(&vcpu->lock);
        vcpu->stopped = true; /* for good */
        __atomic_store_n(&vcpu->gone, true, __ATOMIC_SEQ_CST);
        g_cond_broadcast(&vcpu->settled);
        g_mutex_unlock(&vcpu->lock);
    }
    if (asked)
        return;
    g_printerr("rhea: the thread of CPU %u has ended; the guest stops\n", runner->index);
    machine_request_stop(runner->machine, RUN_INTERNAL_ERROR);
}

static void *vcpu_thread(void *opaque)
{
    Vcpu *vcpu = opaque;
    pthread_cleanup_push(vcpu_thread_ended, vcpu);
    current_vcpu = vcpu;
    vcpu->machine->accel->vcpu_run(vcpu);
    pthread_cleanup_pop(1);
    return NULL;
}

/* A thread of its own, or a place on the first one's. */
static bool vcpu_begin(Vcpu *vcpu, GError **err)
{
    const AccelType *accel = vcpu->machine->accel;
    g_autofree char *name = g_strdup_printf("CPU %u/%s", vcpu->index, accel->name);
    if (vcpu->runner == vcpu)
        return !accel->vcpu_run || (vcpu->thread = g_thread_try_new(name, vcpu_thread, vcpu, err));
    Vcpu *runner = vcpu->runner;
    g_mutex_lock(&runner->lock);
    g_ptr_array_add(runner->group, vcpu);
    g_cond_signal(&runner->wake);
    g_mutex_unlock(&runner->lock);
    return true;
}

/* A new thread, which finds the vCPU stopped, in place of one that has ended unasked. */
static void vcpu_revive(Vcpu *vcpu)
{
    g_autoptr(GError) err = NULL;
    g_thread_join(vcpu->thread);
    vcpu->thread = NULL;
    __atomic_store_n(&vcpu->gone, false, __ATOMIC_SEQ_CST);
    g_ptr_array_add(vcpu->group, vcpu);
    if (!vcpu_begin(vcpu, &err))
        g_printerr("rhea: CPU %u stays off: %s\n", vcpu->index, err->message);
}

static void vcpu_end(Vcpu *vcpu)
{
    Vcpu *runner = vcpu->runner;
    vcpu_request(vcpu, VCPU_EXIT);
    if (vcpu->thread) {
        g_thread_join(vcpu->thread);
    } else if (runner != vcpu) {
        g_mutex_lock(&runner->lock);
        while (g_ptr_array_find(runner->group, vcpu, NULL))
            g_cond_wait(&runner->settled, &runner->lock);
        g_mutex_unlock(&runner->lock);
    }
}

/* State, accelerator's part, thread; what was made before a failure is undone. */
static bool vcpu_build(Vcpu *vcpu, const char *model, GError **err)
{
    const AccelType *accel = vcpu->machine->accel;
    if (!vcpu->target->cpu_init(vcpu, vcpu->state, model, err))
        return false;
    if (!accel->vcpu_init || accel->vcpu_init(vcpu, err)) {
        vcpu_reset_registers(vcpu);
        if (vcpu_begin(vcpu, err))
            return true;
        if (accel->vcpu_destroy)
            accel->vcpu_destroy(vcpu);
    }
    if (vcpu->target->cpu_free)
        vcpu->target->cpu_free(vcpu->state);
    return false;
}

static void vcpu_release(Vcpu *vcpu)
{
    g_queue_clear_full(&vcpu->work, g_free);
    g_ptr_array_free(vcpu->group, TRUE);
    g_mutex_clear(&vcpu->lock);
    g_cond_clear(&vcpu->wake);
    g_cond_clear(&vcpu->settled);
    free(vcpu->state);
    g_free(vcpu);
}

Vcpu *vcpu_new(Machine *machine, const char *model, GError **err)
{
    g_assert(machine->target && machine->accel);
    size_t size = (machine->target->state_size + STATE_ALIGN - 1) & ~(size_t)(STATE_ALIGN - 1);
    Vcpu *vcpu = g_new0(Vcpu, 1);
    vcpu->machine = machine;
    vcpu->target = machine->target;
    vcpu->index = machine->vcpus->len;
    vcpu->requests = VCPU_STOP;
    vcpu->group = g_ptr_array_new();
    g_ptr_array_add(vcpu->group, vcpu);
    bool joins = machine->single_thread && vcpu->index && machine->accel->vcpu_run;
    vcpu->runner = joins ? g_ptr_array_index(machine->vcpus, 0) : vcpu;
    g_mutex_init(&vcpu->lock);
    g_cond_init(&vcpu->wake);
    g_cond_init(&vcpu->settled);
    g_queue_init(&vcpu->work);
    vcpu->state = aligned_alloc(STATE_ALIGN, size);
    g_assert(vcpu->state);
    memset(vcpu->state, 0, size);
    vcpu->state->vcpu = vcpu;
    if (!vcpu_build(vcpu, model, err)) {
        vcpu_release(vcpu);
        return NULL;
    }
    g_ptr_array_add(machine->vcpus, vcpu);
    return vcpu;
}

void vcpu_free(Vcpu *vcpu)
{
    Machine *machine = vcpu->machine;
    bool locked = machine_locked(machine); /* the thread may need it to get out of a device */
    if (locked)
        machine_unlock(machine);
    vcpu_end(vcpu);
    if (locked)
        machine_lock(machine);
    g_ptr_array_remove(machine->vcpus, vcpu);
    if (machine->accel->vcpu_destroy)
        machine->accel->vcpu_destroy(vcpu);
    if (vcpu->target->cpu_free)
        vcpu->target->cpu_free(vcpu->state);
    vcpu_release(vcpu);
}
