/*
 * Where the vCPUs' time goes: a thread looks a hundred times a second at what each says that it is doing, which costs
 * it a store where it changes. When all have been idle for a while it sleeps until one is not.
 * SPDX-License-Identifier: MIT
 */
#include "accel/tcg/tcg.h"

#define PERIOD_US  10000
#define IDLE_TURNS 50 /* then it sleeps */

/* Add the time since the last look. Are all idle? Lock held. */
static bool look(TcgState *t)
{
    int64_t now = g_get_monotonic_time(), passed = now - t->sampled;
    bool idle = true;
    t->sampled = now;
    for (guint i = 0; i < t->cpus->len; i++) {
        TcgCpu *c = t->cpus->pdata[i];
        unsigned phase = __atomic_load_n(&c->phase, __ATOMIC_SEQ_CST);
        c->phase_us[phase] += passed;
        idle = idle && phase == PHASE_IDLE;
    }
    return idle;
}

static void *sample(void *opaque)
{
    TcgState *t = opaque;
    unsigned idle_turns = 0;
    g_mutex_lock(&t->sample_lock);
    while (!t->sample_stop) {
        g_cond_wait_until(&t->sample_wake, &t->sample_lock, g_get_monotonic_time() + PERIOD_US);
        idle_turns = look(t) ? idle_turns + 1 : 0;
        if (idle_turns < IDLE_TURNS)
            continue;
        /* Who ends being idle says so, then looks at this; here it is the other way round. */
        __atomic_store_n(&t->sample_asleep, true, __ATOMIC_SEQ_CST);
        while (!t->sample_stop && look(t) && __atomic_load_n(&t->sample_asleep, __ATOMIC_SEQ_CST))
            g_cond_wait(&t->sample_wake, &t->sample_lock);
        __atomic_store_n(&t->sample_asleep, false, __ATOMIC_SEQ_CST);
        idle_turns = 0;
    }
    g_mutex_unlock(&t->sample_lock);
    return NULL;
}

void tcg_sample_init(TcgState *t)
{
    g_mutex_init(&t->sample_lock);
    g_cond_init(&t->sample_wake);
    t->cpus = g_ptr_array_new();
    t->sampled = g_get_monotonic_time();
    t->sample_thread = g_thread_new("jit-samples", sample, t);
}

void tcg_sample_free(TcgState *t)
{
    g_mutex_lock(&t->sample_lock);
    t->sample_stop = true;
    g_cond_signal(&t->sample_wake);
    g_mutex_unlock(&t->sample_lock);
    g_thread_join(t->sample_thread);
    g_ptr_array_free(t->cpus, TRUE);
    g_mutex_clear(&t->sample_lock);
    g_cond_clear(&t->sample_wake);
}

void tcg_sample_cpu(TcgCpu *c, bool add)
{
    TcgState *t = c->tcg;
    g_mutex_lock(&t->sample_lock);
    look(t);
    if (add)
        g_ptr_array_add(t->cpus, c);
    else
        g_ptr_array_remove(t->cpus, c);
    g_mutex_unlock(&t->sample_lock);
}

void tcg_sample_busy(TcgCpu *c)
{
    TcgState *t = c->tcg;
    __atomic_store_n(&c->phase, PHASE_LOOP, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&t->sample_asleep, __ATOMIC_SEQ_CST))
        return;
    g_mutex_lock(&t->sample_lock);
    __atomic_store_n(&t->sample_asleep, false, __ATOMIC_SEQ_CST);
    g_cond_signal(&t->sample_wake);
    g_mutex_unlock(&t->sample_lock);
}

void tcg_sample_sums(TcgState *t, uint64_t us[PHASES])
{
    g_mutex_lock(&t->sample_lock);
    look(t);
    for (unsigned p = 0; p < PHASES; p++) {
        us[p] = 0;
        for (guint i = 0; i < t->cpus->len; i++)
            us[p] += ((TcgCpu *)t->cpus->pdata[i])->phase_us[p];
    }
    g_mutex_unlock(&t->sample_lock);
}
