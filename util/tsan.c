/*
 * Only in builds with ThreadSanitizer: GLib's mutexes and conditions on top of pthreads. The sanitizer knows what
 * pthread locks order, but cannot look into GLib's own, which is not built with it; threads would seem to race wherever
 * they lock. For the same reason such builds want G_SLICE=always-malloc in the environment (meson test sets it).
 * SPDX-License-Identifier: MIT
 */
#include "hw/core/ram_access.h"
#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

const char *__tsan_default_suppressions(void);
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);

/* What GLib does among its own threads and sources is ordered by locks that the sanitizer does not see either. */
const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:libglib-2.0.so.0\ncalled_from_lib:libgio-2.0.so.0\ncalled_from_lib:libgobject-2.0.so.0\n";
}

/* What the guest orders is ordered by code that the sanitizer does not see. */
void ram_copy(void *to, const void *from, size_t len)
{
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    memcpy(to, from, len);
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}

/* The pthread object that *place points to, made at its first use: GMutex and GCond may be static and zero. */
static void *object_get(void **place, size_t size)
{
    void *object = __atomic_load_n(place, __ATOMIC_ACQUIRE);
    if (object)
        return object;
    void *made = calloc(1, size); /* all zero is PTHREAD_MUTEX_INITIALIZER and PTHREAD_COND_INITIALIZER on Linux */
    if (__atomic_compare_exchange_n(place, &object, made, FALSE, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return made;
    free(made);
    return object;
}

static pthread_mutex_t *mutex_get(GMutex *mutex)
{
    return object_get(&mutex->p, sizeof(pthread_mutex_t));
}

static pthread_cond_t *cond_get(GCond *cond)
{
    return object_get(&cond->p, sizeof(pthread_cond_t));
}

void g_mutex_init(GMutex *mutex)
{
    mutex->p = NULL;
}

void g_mutex_clear(GMutex *mutex)
{
    if (mutex->p)
        pthread_mutex_destroy(mutex->p);
    free(mutex->p);
    mutex->p = NULL;
}

void g_mutex_lock(GMutex *mutex)
{
    pthread_mutex_lock(mutex_get(mutex));
}

gboolean g_mutex_trylock(GMutex *mutex)
{
    return !pthread_mutex_trylock(mutex_get(mutex));
}

void g_mutex_unlock(GMutex *mutex)
{
    pthread_mutex_unlock(mutex_get(mutex));
}

void g_cond_init(GCond *cond)
{
    cond->p = NULL;
}

void g_cond_clear(GCond *cond)
{
    if (cond->p)
        pthread_cond_destroy(cond->p);
    free(cond->p);
    cond->p = NULL;
}

void g_cond_wait(GCond *cond, GMutex *mutex)
{
    pthread_cond_wait(cond_get(cond), mutex_get(mutex));
}

gboolean g_cond_wait_until(GCond *cond, GMutex *mutex, gint64 end_time)
{
    struct timespec end = { end_time / G_USEC_PER_SEC, end_time % G_USEC_PER_SEC * 1000 };
    return pthread_cond_clockwait(cond_get(cond), mutex_get(mutex), CLOCK_MONOTONIC, &end) != ETIMEDOUT;
}

void g_cond_signal(GCond *cond)
{
    pthread_cond_signal(cond_get(cond));
}

void g_cond_broadcast(GCond *cond)
{
    pthread_cond_broadcast(cond_get(cond));
}
