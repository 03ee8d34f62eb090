/*
 * Block queues: a thread that takes requests from a device and runs them (see block.h).
 *
 * The thread sleeps in one place: in io_uring (which also watches the eventfd that kicks it), or in poll where there is
 * no io_uring. A wake-up of either kind is followed by all the work there is, and one system call submits what came of
 * it and sleeps again.
 * SPDX-License-Identifier: MIT
 */
#include "block/block.h"
#include "util/error.h"
#include "util/trace.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#ifdef HAVE_LIBURING
#include <liburing.h>
#endif

#define RING_ENTRIES 256

struct BlockQueue {
    BlockNode *node;
    void (*kicked)(void *opaque);
    void *opaque;
    GThread *thread;
    int event;            /* eventfd: wakes the thread */
    uint8_t pending_kick; /* atomic */
    uint8_t asleep;       /* atomic: the thread must be woken through event */
    unsigned in_flight;   /* the thread's own */
    GMutex lock;          /* leaf: guards the members below */
    GCond changed;
    unsigned pauses;
    bool parked, exit;
    uint64_t kicks_asked, kicks_done; /* in_step: how often somebody waits for the thread, and has been served */
    BlockRequest *finished;           /* by workers */
    bool in_step;                     /* see block_queues_in_step */
    bool uring;
#ifdef HAVE_LIBURING
    struct io_uring ring;
    uint64_t event_value;
    bool watching; /* a read of event is in the ring */
#endif
};

static bool in_step_default;
static GThreadPool *workers; /* of all queues; made by the first one */

/* ---- waking ---- */

static void wake(BlockQueue *q)
{
    uint64_t one = 1;
    if (__atomic_exchange_n(&q->asleep, 0, __ATOMIC_SEQ_CST) && write(q->event, &one, sizeof(one)) < 0)
        g_warning("eventfd: %s", g_strerror(errno));
}

void block_queues_in_step(void)
{
    in_step_default = true;
}

/* Until the thread has done what it was kicked for; a pause answers, too: what was asked for comes after it. */
static void wait_for_kick(BlockQueue *q)
{
    g_mutex_lock(&q->lock);
    uint64_t mine = ++q->kicks_asked;
    __atomic_store_n(&q->pending_kick, 1, __ATOMIC_SEQ_CST);
    wake(q);
    while (q->kicks_done < mine && !q->pauses)
        g_cond_wait(&q->changed, &q->lock);
    g_mutex_unlock(&q->lock);
}

void block_queue_kick(BlockQueue *q)
{
    if (q->in_step && g_thread_self() != q->thread) {
        wait_for_kick(q);
        return;
    }
    __atomic_store_n(&q->pending_kick, 1, __ATOMIC_SEQ_CST);
    wake(q);
}

int block_queue_event(const BlockQueue *q)
{
    return q->event;
}

/* ---- worker threads ---- */

static int run_blocking(const BlockQueue *q, const BlockRequest *r)
{
    switch (r->op) {
    case BLOCK_OP_READ:
        return block_read(q->node, r->offset, r->iov, r->iov_count, r->length);
    case BLOCK_OP_WRITE:
        return block_write(q->node, r->offset, r->iov, r->iov_count, r->length);
    case BLOCK_OP_FLUSH:
        return block_flush(q->node);
    case BLOCK_OP_DISCARD:
        return block_discard(q->node, r->offset, r->length);
    default:
        return block_write_zeroes(q->node, r->offset, r->length, r->op == BLOCK_OP_WRITE_ZEROES_UNMAP);
    }
}

static void work(gpointer data, gpointer unused)
{
    BlockRequest *r = data;
    BlockQueue *q = __atomic_load_n(&r->queue, __ATOMIC_ACQUIRE); /* with hand_to_worker; GLib's lock is one too */
    r->error = run_blocking(q, r);
    g_mutex_lock(&q->lock);
    r->next = q->finished;
    q->finished = r;
    wake(q); /* under the lock: the queue may be freed once it has seen the request */
    g_mutex_unlock(&q->lock);
}

static void start_workers(void)
{
    static gsize once;
    if (g_once_init_enter(&once)) {
        workers = g_thread_pool_new(work, NULL, 16, FALSE, NULL);
        g_once_init_leave(&once, 1);
    }
}

static void hand_to_worker(BlockRequest *r)
{
    __atomic_store_n(&r->queue, r->queue, __ATOMIC_RELEASE);
    g_thread_pool_push(workers, r, NULL);
}

static void complete(BlockQueue *q, BlockRequest *r, int error)
{
    TRACE(block_done, "op %d offset %" G_GUINT64_FORMAT " length %" G_GUINT64_FORMAT ": %d", r->op, r->offset,
          r->length, error);
    q->in_flight--;
    r->done(r, error);
}

static bool take_finished(BlockQueue *q)
{
    g_mutex_lock(&q->lock);
    BlockRequest *r = q->finished;
    q->finished = NULL;
    g_mutex_unlock(&q->lock);
    bool any = r;
    while (r) {
        BlockRequest *next = r->next;
        complete(q, r, r->error);
        r = next;
    }
    return any;
}

/* ---- io_uring ---- */

#ifdef HAVE_LIBURING

static struct io_uring_sqe *get_sqe(BlockQueue *q)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&q->ring);
    if (!sqe) {
        io_uring_submit(&q->ring);
        sqe = io_uring_get_sqe(&q->ring);
    }
    return sqe;
}

static bool submit_to_ring(BlockQueue *q, BlockRequest *r)
{
    bool write = r->op == BLOCK_OP_WRITE;
    BlockMapping m;
    if (!q->uring || q->node->aio == BLOCK_AIO_THREADS || r->op > BLOCK_OP_WRITE || (write && q->node->read_only) ||
        r->iov_count > 1024 || !block_map(q->node, r->offset, r->length, write, &m) || m.length < r->length)
        return false;
    struct io_uring_sqe *sqe = get_sqe(q);
    if (!sqe)
        return false;
    if (write)
        io_uring_prep_writev(sqe, m.fd, r->iov, r->iov_count, m.offset);
    else
        io_uring_prep_readv(sqe, m.fd, r->iov, r->iov_count, m.offset);
    io_uring_sqe_set_data(sqe, r);
    return true;
}

/* A short transfer (end of file, a signal) or a try-again is done over, the careful way. */
/* It may have been somebody who knows nothing but the eventfd. */
static void event_read(BlockQueue *q)
{
    q->watching = false;
    __atomic_store_n(&q->pending_kick, 1, __ATOMIC_SEQ_CST);
}

static bool take_ring(BlockQueue *q)
{
    struct io_uring_cqe *cqe;
    bool any = false;
    while (!io_uring_peek_cqe(&q->ring, &cqe)) {
        BlockRequest *r = io_uring_cqe_get_data(cqe);
        int result = cqe->res;
        io_uring_cqe_seen(&q->ring, cqe);
        any = true;
        if (!r)
            event_read(q);
        else if (result >= 0 && (uint64_t)result == r->length)
            complete(q, r, 0);
        else if (result >= 0 || result == -EAGAIN || result == -EINTR || result == -EINVAL || result == -EOPNOTSUPP)
            hand_to_worker(r);
        else
            complete(q, r, -result);
    }
    return any;
}

static void sleep_in_ring(BlockQueue *q)
{
    if (!q->watching) {
        struct io_uring_sqe *sqe = get_sqe(q);
        if (sqe) {
            io_uring_prep_read(sqe, q->event, &q->event_value, sizeof(q->event_value), 0);
            io_uring_sqe_set_data(sqe, NULL);
            q->watching = true;
        }
    }
    io_uring_submit_and_wait(&q->ring, 1);
}

static void ring_init(BlockQueue *q)
{
    bool wanted = !q->node || q->node->aio != BLOCK_AIO_THREADS;
    q->uring = wanted && !io_uring_queue_init(RING_ENTRIES, &q->ring, 0);
}

static void ring_exit(BlockQueue *q)
{
    if (q->uring)
        io_uring_queue_exit(&q->ring);
}

static void ring_flush(BlockQueue *q)
{
    if (q->uring)
        io_uring_submit(&q->ring);
}

#else

static bool submit_to_ring(BlockQueue *q, BlockRequest *r)
{
    return false;
}
static bool take_ring(BlockQueue *q)
{
    return false;
}
static void sleep_in_ring(BlockQueue *q) {}
static void ring_init(BlockQueue *q) {}
static void ring_exit(BlockQueue *q) {}
static void ring_flush(BlockQueue *q) {}

#endif

/* ---- the thread ---- */

static bool all_zero(const BlockRequest *r)
{
    for (unsigned i = 0; i < r->iov_count; i++) {
        const uint8_t *p = r->iov[i].iov_base;
        size_t n = r->iov[i].iov_len;
        if (n && (p[0] || memcmp(p, p + 1, n - 1)))
            return false;
    }
    return true;
}

void block_queue_submit(BlockQueue *q, BlockRequest *r)
{
    r->queue = q;
    q->in_flight++;
    if (r->op == BLOCK_OP_WRITE && q->node->detect_zeroes != DETECT_ZEROES_OFF && all_zero(r))
        r->op = q->node->detect_zeroes == DETECT_ZEROES_UNMAP ? BLOCK_OP_WRITE_ZEROES_UNMAP : BLOCK_OP_WRITE_ZEROES;
    if (q->in_step)
        complete(q, r, run_blocking(q, r));
    else if (!submit_to_ring(q, r))
        hand_to_worker(r);
}

static bool take_done(BlockQueue *q)
{
    bool from_ring = q->uring && take_ring(q);
    return take_finished(q) || from_ring;
}

/* Sleep until an event, unless there is one already: who wakes us sets its mark first, then looks at asleep. */
static void sleep_until_woken(BlockQueue *q)
{
    struct pollfd p = { q->event, POLLIN, 0 };
    uint64_t value;
    __atomic_store_n(&q->asleep, 1, __ATOMIC_SEQ_CST);
    g_mutex_lock(&q->lock);
    bool busy = q->finished || q->exit || (q->pauses && !q->in_flight);
    bool may_kick = !q->pauses;
    g_mutex_unlock(&q->lock);
    if (busy || (may_kick && __atomic_load_n(&q->pending_kick, __ATOMIC_SEQ_CST)))
        ring_flush(q);
    else if (q->uring)
        sleep_in_ring(q);
    else if (poll(&p, 1, -1) > 0 && read(q->event, &value, sizeof(value)) < 0)
        g_warning("eventfd: %s", g_strerror(errno));
    else
        __atomic_store_n(&q->pending_kick, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&q->asleep, 0, __ATOMIC_SEQ_CST);
}

/* With nothing in flight, stay still while somebody wants that. Returns whether pauses are wanted; *exit is set at the
 * end. */
static bool park(BlockQueue *q, bool *exit)
{
    g_mutex_lock(&q->lock);
    bool paused = q->pauses;
    while (q->pauses && !q->in_flight && !q->finished && !q->exit) {
        q->parked = true;
        g_cond_broadcast(&q->changed);
        g_cond_wait(&q->changed, &q->lock);
        paused = q->pauses;
    }
    q->parked = false;
    *exit = q->exit && !q->in_flight;
    g_mutex_unlock(&q->lock);
    return paused;
}

static void take_kick(BlockQueue *q)
{
    g_mutex_lock(&q->lock);
    uint64_t asked = q->kicks_asked;
    bool kicked = __atomic_exchange_n(&q->pending_kick, 0, __ATOMIC_SEQ_CST);
    g_mutex_unlock(&q->lock);
    if (!kicked)
        return;
    q->kicked(q->opaque);
    g_mutex_lock(&q->lock);
    q->kicks_done = asked;
    if (q->in_step)
        g_cond_broadcast(&q->changed);
    g_mutex_unlock(&q->lock);
}

static gpointer run(gpointer data)
{
    BlockQueue *q = data;
    bool exit = false;
    while (true) {
        bool paused = park(q, &exit);
        if (exit)
            break;
        if (!paused)
            take_kick(q);
        if (!take_done(q))
            sleep_until_woken(q);
    }
    return NULL;
}

BlockQueue *block_queue_new(BlockNode *node, void (*kicked)(void *opaque), void *opaque, GError **err)
{
    BlockQueue *q = g_new0(BlockQueue, 1);
    q->node = node;
    q->kicked = kicked;
    q->opaque = opaque;
    q->in_step = in_step_default;
    q->event = eventfd(0, EFD_CLOEXEC);
    if (q->event < 0) {
        error_set_errno(err, errno, "cannot make an eventfd");
        g_free(q);
        return NULL;
    }
    g_mutex_init(&q->lock);
    g_cond_init(&q->changed);
    start_workers();
    ring_init(q);
    q->thread = g_thread_new("block", run, q);
    return q;
}

void block_queue_set_node(BlockQueue *q, BlockNode *node)
{
    g_mutex_lock(&q->lock);
    g_assert(q->parked);
    q->node = node;
    g_mutex_unlock(&q->lock);
}

void block_queue_free(BlockQueue *q)
{
    g_mutex_lock(&q->lock);
    q->exit = true;
    g_cond_broadcast(&q->changed);
    wake(q);
    g_mutex_unlock(&q->lock);
    g_thread_join(q->thread);
    ring_exit(q);
    close(q->event);
    g_mutex_clear(&q->lock);
    g_cond_clear(&q->changed);
    g_free(q);
}

void block_queue_pause(BlockQueue *q)
{
    g_mutex_lock(&q->lock);
    q->pauses++;
    g_cond_broadcast(&q->changed); /* wait_for_kick */
    wake(q);
    while (!q->parked)
        g_cond_wait(&q->changed, &q->lock);
    g_mutex_unlock(&q->lock);
}

void block_queue_resume(BlockQueue *q)
{
    __atomic_store_n(&q->pending_kick, 1, __ATOMIC_SEQ_CST);
    g_mutex_lock(&q->lock);
    if (!--q->pauses)
        g_cond_broadcast(&q->changed);
    g_mutex_unlock(&q->lock);
}
