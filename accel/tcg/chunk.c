/*
 * Chunks of the code cache. Each vCPU fills one of its own, so that translators do not wait for each other; a full
 * cache loses its oldest chunk, whose memory comes back when no vCPU can have seen what was in it (see tcg.h).
 * SPDX-License-Identifier: MIT
 */
#include "accel/tcg/tcg.h"
#include <string.h>

#define CHUNK_MOST  (1u << 20)
#define CHUNK_LEAST (128u << 10)
#define BLOCK_SIZE  (64u << 10)
/* the interpreter has no code: its chunks are full after so many units */
#define INTERPRETER_CHUNKS 256

static void queue_push(ChunkQueue *q, Chunk *k)
{
    k->next = NULL;
    if (q->last)
        q->last->next = k;
    else
        q->first = k;
    q->last = k;
    q->length++;
}

static void queue_remove(ChunkQueue *q, Chunk *k)
{
    Chunk *before = NULL;
    for (Chunk *at = q->first; at != k; at = at->next)
        before = at;
    if (before)
        before->next = k->next;
    else
        q->first = k->next;
    if (q->last == k)
        q->last = before;
    q->length--;
}

static unsigned least_chunks(const TcgState *t)
{
    return 2 * t->machine->config.max_cpus + 2; /* each vCPU has one, and as many are on their way */
}

size_t tcg_chunks_least(const TcgState *t)
{
    return (size_t)least_chunks(t) * CHUNK_LEAST;
}

void tcg_chunks_init(TcgState *t, size_t bytes)
{
    t->chunk_size = CHUNK_MOST;
    while (t->chunk_size > CHUNK_LEAST && bytes / t->chunk_size < 2 * least_chunks(t))
        t->chunk_size /= 2;
    t->chunk_count = bytes ? bytes / t->chunk_size : INTERPRETER_CHUNKS;
    t->reserve = CLAMP(t->machine->config.max_cpus, 1, t->chunk_count / 4);
    t->chunks = g_new0(Chunk, t->chunk_count);
    for (unsigned i = 0; i < t->chunk_count; i++) {
        Chunk *k = &t->chunks[i];
        k->index = i;
        k->units = g_ptr_array_new();
        k->blocks = g_ptr_array_new_with_free_func(g_aligned_free);
        queue_push(&t->free, k);
    }
}

static void free_ir(Chunk *k)
{
    for (guint i = 0; i < k->units->len; i++) {
        Unit *u = k->units->pdata[i];
        if (u->ir)
            ir_unit_free(u->ir);
    }
    g_ptr_array_set_size(k->units, 0);
}

void tcg_chunks_free(TcgState *t)
{
    for (unsigned i = 0; i < t->chunk_count; i++) {
        free_ir(&t->chunks[i]);
        g_ptr_array_free(t->chunks[i].units, TRUE);
        g_ptr_array_free(t->chunks[i].blocks, TRUE);
    }
    g_free(t->chunks);
}

void *tcg_chunk_alloc(Chunk *k, size_t size)
{
    size = (size + 63) & ~63ul;
    g_assert(size <= BLOCK_SIZE);
    if (k->block < k->blocks->len && k->block_used + size > BLOCK_SIZE) {
        k->block++;
        k->block_used = 0;
    }
    if (k->block == k->blocks->len)
        g_ptr_array_add(k->blocks, g_aligned_alloc(1, BLOCK_SIZE, 64));
    void *p = (char *)k->blocks->pdata[k->block] + k->block_used;
    k->block_used += size;
    return p;
}

/* ---- retiring; lock held ---- */

static void retire(TcgState *t, Chunk *k)
{
    k->state = CHUNK_RETIRED;
    k->epoch = __atomic_add_fetch(&t->epoch, 1, __ATOMIC_SEQ_CST);
    queue_push(&t->retired, k);
    tcg_epoch_seen(t, k->epoch, true);
}

/* Units of a full chunk go, although they may be in use. */
static void evict_chunk(TcgCpu *c, Chunk *k)
{
    TcgState *t = c->tcg;
    queue_remove(&t->full, k);
    k->state = CHUNK_RETIRED; /* before the last unit goes, see tcg_chunk_unit_gone */
    TCG_COUNT(&c->stats, evicted_chunks);
    TCG_COUNT_ADD(&c->stats, evicted, k->live);
    for (guint i = 0; i < k->units->len; i++) {
        Unit *u = k->units->pdata[i];
        if (u->valid)
            tcg_unit_remove(t, u);
    }
    if (t->jit) {
        uintptr_t code = (uintptr_t)tcg_chunk_code(t, k) + t->exec_offset;
        tcg_mail_all(t, UINT64_MAX, (Mail){ MAIL_CODE, code, code + t->chunk_size });
    }
    retire(t, k);
}

void tcg_chunk_unit_gone(TcgState *t, Chunk *k)
{
    if (!--k->live && k->state == CHUNK_FULL) {
        queue_remove(&t->full, k);
        retire(t, k);
    }
}

/* Retired chunks that nobody can be in. */
static void reclaim(TcgState *t)
{
    if (!t->retired.first)
        return;
    uint64_t seen = tcg_epoch_seen(t, 0, false);
    while (t->retired.first && t->retired.first->epoch <= seen) {
        Chunk *k = t->retired.first;
        queue_remove(&t->retired, k);
        free_ir(k);
        k->state = CHUNK_FREE;
        k->used = k->block = k->block_used = 0;
        queue_push(&t->free, k);
    }
}

/* ---- taking ---- */

static void leave(TcgCpu *c)
{
    Chunk *k = c->chunk;
    c->chunk = NULL;
    if (!k)
        return;
    k->state = CHUNK_FULL;
    queue_push(&c->tcg->full, k);
    if (!k->live) {
        k->live = 1;
        tcg_chunk_unit_gone(c->tcg, k);
    }
}

void tcg_chunk_leave(TcgCpu *c)
{
    g_mutex_lock(&c->tcg->lock);
    leave(c);
    g_mutex_unlock(&c->tcg->lock);
}

/* Have some on their way to be free. */
static void replenish(TcgCpu *c)
{
    TcgState *t = c->tcg;
    while (t->free.length + t->retired.length < t->reserve && t->full.first)
        evict_chunk(c, t->full.first);
}

bool tcg_chunk_take(TcgCpu *c)
{
    TcgState *t = c->tcg;
    g_mutex_lock(&t->lock);
    leave(c);
    reclaim(t);
    Chunk *k = t->free.first;
    if (k) {
        queue_remove(&t->free, k);
        k->state = CHUNK_CURRENT;
        c->chunk = k;
    }
    replenish(c);
    g_mutex_unlock(&t->lock);
    if (k && t->jit)
        tcg_cache_ahead(t, t->chunks_at + ((size_t)k->index + 1) * t->chunk_size);
    return k;
}

void tcg_chunk_wait(TcgCpu *c)
{
    TcgState *t = c->tcg;
    TCG_COUNT(&c->stats, cache_waits);
    g_mutex_lock(&t->lock);
    bool wait = !t->free.first && t->retired.first &&
                tcg_epoch_seen(t, t->retired.first->epoch, true) < t->retired.first->epoch;
    g_mutex_unlock(&t->lock);
    if (wait)
        g_usleep(20);
}
