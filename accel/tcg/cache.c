/*
 * The code cache: one memfd mapped twice, writable and executable, so that no page is ever both at one address.
 * SPDX-License-Identifier: MIT
 */
#include "accel/tcg/tcg.h"
#include "util/error.h"
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/* A page fault each for some 100 instructions would be a third of what translation costs. Another thread takes them, a
 * step ahead; where the kernel cannot do it (before 5.14), or is late, the translator does as before. */
#define TOUCH_STEP ((size_t)1 << 20)

#define THUNKS_ROOM ((size_t)128 << 10)

static void *touch_pages(void *opaque)
{
    TcgState *t = opaque;
    g_mutex_lock(&t->touch_lock);
    for (size_t done = TOUCH_STEP; !t->touch_stop;) {
        if (done >= t->touched) {
            g_cond_wait(&t->touch_wanted, &t->touch_lock);
            continue;
        }
        size_t length = MIN(TOUCH_STEP, t->size - done);
        g_mutex_unlock(&t->touch_lock);
#ifdef MADV_POPULATE_WRITE
        madvise(t->writable + done, length, MADV_POPULATE_WRITE);
        madvise(t->executable + done, length, MADV_POPULATE_READ);
#endif
        done += TOUCH_STEP;
        g_mutex_lock(&t->touch_lock);
    }
    g_mutex_unlock(&t->touch_lock);
    return NULL;
}

void tcg_cache_ahead(TcgState *t, size_t offset)
{
    g_mutex_lock(&t->touch_lock);
    size_t wanted = MIN((offset / TOUCH_STEP + 2) * TOUCH_STEP, t->size);
    if (wanted > t->touched) {
        t->touched = wanted;
        g_cond_signal(&t->touch_wanted);
    }
    g_mutex_unlock(&t->touch_lock);
}

bool tcg_cache_init(TcgState *t, uint64_t size, GError **err)
{
    const EmitRuntime runtime = { .slow_load = tcg_slow_load,
                                  .slow_store = tcg_slow_store,
                                  .slow_load_vector = tcg_load_vector,
                                  .slow_store_vector = tcg_store_vector,
                                  .slow_amo = tcg_slow_amo,
                                  .slow_cas = tcg_slow_cas,
                                  .find_code = tcg_find_code,
                                  .parallel = t->machine->config.max_cpus > 1 && !t->machine->single_thread,
                                  .counted = t->machine->icount,
                                  .page_flags = RAM_CODE | RAM_DIRTY_TRACKED | RAM_FAST_WRITES,
                                  .writable = RAM_FAST_WRITES };
    size = MAX(size, tcg_chunks_least(t) + THUNKS_ROOM);
    t->fd = memfd_create("rhea-code", MFD_CLOEXEC);
    if (t->fd < 0 || ftruncate(t->fd, size))
        return error_set_errno(err, errno, "-accel tcg: cannot make a code cache of %" G_GUINT64_FORMAT " bytes", size);
    t->writable = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
    t->executable = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_SHARED, t->fd, 0);
    if (t->writable == MAP_FAILED || t->executable == MAP_FAILED)
        return error_set_errno(err, errno, "-accel tcg: cannot map the code cache");
    t->size = size;
    t->exec_offset = t->executable - t->writable;
    if (!emit_thunks(&runtime, t->machine->target->regs, t->machine->target->reg_count, t->writable, size,
                     t->exec_offset, &t->thunks))
        return error_set(err, "-accel tcg: tb-size is too small");
    t->chunks_at = (t->thunks.size + 4095) & ~(size_t)4095;
    tcg_chunks_init(t, size - t->chunks_at);
    t->touched = TOUCH_STEP; /* the first step is the translator's own */
    t->touch = g_thread_new("code-pages", touch_pages, t);
    return true;
}

void tcg_cache_free(TcgState *t)
{
    if (t->touch) {
        g_mutex_lock(&t->touch_lock);
        t->touch_stop = true;
        g_cond_signal(&t->touch_wanted);
        g_mutex_unlock(&t->touch_lock);
        g_thread_join(t->touch);
    }
    if (t->writable && t->writable != MAP_FAILED)
        munmap(t->writable, t->size);
    if (t->executable && t->executable != MAP_FAILED)
        munmap(t->executable, t->size);
    if (t->fd >= 0)
        close(t->fd);
}
