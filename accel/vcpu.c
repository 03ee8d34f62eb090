/*
 * vCPU threads: creation, requests, sleeping, start and stop (see accel/vcpu.h).
 *
 * Wake-ups are not lost: a requester sets its bit first and then takes vcpu->lock to signal; the sleeper tests the bits under
 * that lock before it waits. Interrupt inputs change before VCPU_INTERRUPT is set, and the vCPU clears the bit before it
 * asks its target.
 * SPDX-License-Identifier: MIT
 */
#include "accel/vcpu.h"
#include "accel/accel.h"
#include "target/target.h"

static _Thread_local Vcpu *current;

typedef struct Work {
    void (*fn)(Vcpu *vcpu, void *opaque);
    void *opaque;
    bool *done; /* vcpu_call waits for it; NULL for vcpu_post */
} Work;

Vcpu *vcpu_current(void)
{
    return current;
}

static uint32_t vcpu_requests(const Vcpu *vcpu)
{
    return __atomic_load_n(&vcpu->requests, __ATOMIC_SEQ_CST);
}

static bool vcpu_threaded(const Vcpu *vcpu)
{
    return vcpu->machine->accel->vcpu_run != NULL;
}

static void *vcpu_thread(void *opaque)
{
    Vcpu *vcpu = opaque;

    current = vcpu;
    vcpu->machine->accel->vcpu_run(vcpu);
    g_mutex_lock(&vcpu->lock);
    vcpu->stopped = true;
    g_cond_broadcast(&vcpu->settled);
    g_mutex_unlock(&vcpu->lock);
    return NULL;
}

Vcpu *vcpu_new(Machine *machine, const char *model, GError **err)
{
    const Target *target = machine->target;
    Vcpu *vcpu = g_new0(Vcpu, 1);

    vcpu->machine = machine;
    vcpu->target = target;
    vcpu->index = machine->vcpus->len;
    vcpu->requests = VCPU_STOP;
    g_mutex_init(&vcpu->lock);
    g_cond_init(&vcpu->wake);
    g_cond_init(&vcpu->settled);
    g_queue_init(&vcpu->work);
    vcpu->state = g_aligned_alloc0(1, (target->state_size + 63) & ~63ul, 64);
    vcpu->state->vcpu = vcpu;
    g_ptr_array_add(machine->vcpus, vcpu);
    if (!target->cpu_init(vcpu, vcpu->state, model, err) || !machine->accel->vcpu_init(vcpu, err)) {
        g_ptr_array_remove(machine->vcpus, vcpu);
        g_aligned_free(vcpu->state);
        g_free(vcpu);
        return NULL;
    }
    target->cpu_reset(vcpu->state);
    if (vcpu_threaded(vcpu)) {
        g_autofree char *name = g_strdup_printf("vcpu%u", vcpu->index);
        vcpu->thread = g_thread_new(name, vcpu_thread, vcpu);
    } else {
        vcpu->stopped = true;
    }
    return vcpu;
}

/* With or without the machine lock held by the caller: the thread may need it to come to its end. */
static void vcpu_join(Vcpu *vcpu)
{
    bool held = machine_locked(vcpu->machine);

    if (held)
        machine_unlock(vcpu->machine);
    vcpu_request(vcpu, VCPU_EXIT);
    g_thread_join(vcpu->thread);
    if (held)
        machine_lock(vcpu->machine);
}

void vcpu_free(Vcpu *vcpu)
{
    if (vcpu->thread)
        vcpu_join(vcpu);
    g_ptr_array_remove(vcpu->machine->vcpus, vcpu);
    vcpu->machine->accel->vcpu_destroy(vcpu);
    vcpu->target->cpu_free(vcpu->state);
    g_queue_clear_full(&vcpu->work, g_free);
    g_mutex_clear(&vcpu->lock);
    g_cond_clear(&vcpu->wake);
    g_cond_clear(&vcpu->settled);
    g_aligned_free(vcpu->state);
    g_free(vcpu);
}

void vcpu_request(Vcpu *vcpu, uint32_t bits)
{
    __atomic_fetch_or(&vcpu->requests, bits, __ATOMIC_SEQ_CST);
    g_mutex_lock(&vcpu->lock);
    g_cond_broadcast(&vcpu->wake);
    g_mutex_unlock(&vcpu->lock);
    if (vcpu->machine->accel->vcpu_kick)
        vcpu->machine->accel->vcpu_kick(vcpu);
}

void vcpu_clear(Vcpu *vcpu, uint32_t bits)
{
    __atomic_fetch_and(&vcpu->requests, ~bits, __ATOMIC_SEQ_CST);
    g_mutex_lock(&vcpu->lock);
    g_cond_broadcast(&vcpu->wake);
    g_mutex_unlock(&vcpu->lock);
}

static void vcpu_queue(Vcpu *vcpu, void (*fn)(Vcpu *, void *), void *opaque, bool *done)
{
    Work *work = g_new(Work, 1);

    *work = (Work){ fn, opaque, done };
    g_mutex_lock(&vcpu->lock);
    g_queue_push_tail(&vcpu->work, work);
    g_mutex_unlock(&vcpu->lock);
    vcpu_request(vcpu, VCPU_WORK);
}

void vcpu_post(Vcpu *vcpu, void (*fn)(Vcpu *vcpu, void *opaque), void *opaque)
{
    if (vcpu->thread)
        vcpu_queue(vcpu, fn, opaque, NULL);
    else
        fn(vcpu, opaque);
}

void vcpu_call(Vcpu *vcpu, void (*fn)(Vcpu *vcpu, void *opaque), void *opaque)
{
    bool done = false;

    if (!vcpu->thread) {
        fn(vcpu, opaque);
        return;
    }
    g_assert(current == NULL);
    vcpu_queue(vcpu, fn, opaque, &done);
    g_mutex_lock(&vcpu->lock);
    while (!done)
        g_cond_wait(&vcpu->settled, &vcpu->lock);
    g_mutex_unlock(&vcpu->lock);
}

static void vcpu_work(Vcpu *vcpu)
{
    Work *work;

    vcpu_clear(vcpu, VCPU_WORK);
    g_mutex_lock(&vcpu->lock);
    while ((work = g_queue_pop_head(&vcpu->work))) {
        g_mutex_unlock(&vcpu->lock);
        work->fn(vcpu, work->opaque);
        g_mutex_lock(&vcpu->lock);
        if (work->done) {
            *work->done = true;
            g_cond_broadcast(&vcpu->settled);
        }
        g_free(work);
    }
    g_mutex_unlock(&vcpu->lock);
}

static void vcpu_sleep_stopped(Vcpu *vcpu)
{
    g_mutex_lock(&vcpu->lock);
    vcpu->stopped = true;
    g_cond_broadcast(&vcpu->settled);
    while ((vcpu_requests(vcpu) & (VCPU_STOP | VCPU_EXIT | VCPU_RESET | VCPU_WORK)) == VCPU_STOP)
        g_cond_wait(&vcpu->wake, &vcpu->lock);
    if (!(vcpu_requests(vcpu) & VCPU_STOP))
        vcpu->stopped = false;
    g_mutex_unlock(&vcpu->lock);
}

bool vcpu_attend(Vcpu *vcpu)
{
    for (;;) {
        uint32_t bits = vcpu_requests(vcpu);

        if (bits & VCPU_EXIT)
            return false;
        if (bits & VCPU_WORK) {
            vcpu_work(vcpu);
        } else if (bits & VCPU_RESET) {
            vcpu_clear(vcpu, VCPU_RESET);
            vcpu->halted = false;
            vcpu->target->cpu_reset(vcpu->state);
        } else if (bits & VCPU_STOP) {
            vcpu_sleep_stopped(vcpu);
        } else {
            if (bits & VCPU_INTERRUPT)
                __atomic_fetch_and(&vcpu->requests, ~VCPU_INTERRUPT, __ATOMIC_SEQ_CST);
            if (!vcpu->halted)
                return true;
            if (vcpu->target->has_work(vcpu->state)) {
                vcpu->halted = false;
                return true;
            }
            g_mutex_lock(&vcpu->lock);
            while (!vcpu_requests(vcpu))
                g_cond_wait(&vcpu->wake, &vcpu->lock);
            g_mutex_unlock(&vcpu->lock);
        }
    }
}

void vcpus_start(Machine *machine)
{
    for (guint i = 0; i < machine->vcpus->len; i++)
        vcpu_clear(machine->vcpus->pdata[i], VCPU_STOP);
}

void vcpus_stop(Machine *machine)
{
    for (guint i = 0; i < machine->vcpus->len; i++)
        vcpu_request(machine->vcpus->pdata[i], VCPU_STOP);
    machine_unlock(machine); /* a vCPU may be waiting for it on its way to the stop */
    for (guint i = 0; i < machine->vcpus->len; i++) {
        Vcpu *vcpu = machine->vcpus->pdata[i];

        g_mutex_lock(&vcpu->lock);
        while (!vcpu->stopped)
            g_cond_wait(&vcpu->settled, &vcpu->lock);
        g_mutex_unlock(&vcpu->lock);
    }
    machine_lock(machine);
}
