/*
 * The code cache: one memfd mapped twice, writable and executable, so that no page is ever both at one address.
 * SPDX-License-Identifier: MIT
 */
#include "accel/tcg/tcg.h"
#include "util/error.h"
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

bool tcg_cache_init(TcgState *t, uint64_t size, GError **err)
{
    const EmitRuntime runtime = { tcg_slow_load, tcg_slow_store, tcg_slow_amo,
                                  tcg_slow_cas,  tcg_find_code,  t->machine->config.max_cpus > 1 };
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
    t->used = t->thunks_end = t->thunks.size;
    return true;
}

void tcg_cache_free(TcgState *t)
{
    if (t->writable && t->writable != MAP_FAILED)
        munmap(t->writable, t->size);
    if (t->executable && t->executable != MAP_FAILED)
        munmap(t->executable, t->size);
    if (t->fd >= 0)
        close(t->fd);
}
