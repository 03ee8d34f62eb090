/*
 * Clocks and timers: one binary heap and one timerfd per clock, on the default GMainContext.
 *
 * Virtual time is CLOCK_MONOTONIC less an offset, or a constant while it stands. Both fit in one atomic word, so
 * reading takes no lock. A timerfd may be armed too early (its timer was moved or cancelled): it fires for nothing and
 * is armed anew. Where a driver keeps virtual time, there is no timerfd for it.
 * SPDX-License-Identifier: MIT
 */
#include "util/clock.h"
#include "util/error.h"
#include <errno.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SEC       INT64_C(1000000000)
#define CALLBACKS_A_TURN 64 /* then the main loop's other sources have theirs */

typedef struct TimerHeap {
    GPtrArray *timers; /* Timer *, a binary heap from index 1; index 0 is not used */
    int fd;            /* timerfd */
    gpointer tag;      /* of the source: whether fd has fired */
    int64_t armed_ns;  /* atomic: deadline that fd is armed for, or the driver knows; TIMER_NEVER: none */
    uint64_t armings;  /* so far */
} TimerHeap;

typedef struct ClockSource {
    GSource source;
    Clocks *clocks;
} ClockSource;

struct Clocks {
    bool manual;
    void (*lock)(void *);
    void (*unlock)(void *);
    void *lock_opaque;
    int64_t virtual_word; /* atomic: (offset from CLOCK_MONOTONIC << 1) | 1 running, (time << 1) standing */
    const ClockDriver *driver;
    void *driver_opaque;
    GMutex mutex; /* leaf: guards the heaps and changes of virtual_word */
    TimerHeap heaps[CLOCK_COUNT];
    GSource *source;
};

static int64_t clock_host_read(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

int64_t clock_now(Clocks *clocks, ClockId clock)
{
    if (clock == CLOCK_HOST_NS)
        return clock_host_read(CLOCK_REALTIME);
    if (clock == CLOCK_REAL_NS)
        return clock_host_read(CLOCK_MONOTONIC);
    if (clocks->driver)
        return clocks->driver->now(clocks->driver_opaque);
    int64_t word = __atomic_load_n(&clocks->virtual_word, __ATOMIC_ACQUIRE);
    return word & 1 ? clock_host_read(CLOCK_MONOTONIC) - (word >> 1) : word >> 1;
}

static void virtual_write(Clocks *clocks, int64_t ns, bool running)
{
    int64_t value = running ? clock_host_read(CLOCK_MONOTONIC) - ns : ns;
    __atomic_store_n(&clocks->virtual_word, (int64_t)((uint64_t)value << 1 | running), __ATOMIC_RELEASE);
}

/* ---- heap (mutex held) ---- */

static Timer *heap_top(const TimerHeap *heap)
{
    return heap->timers->len > 1 ? g_ptr_array_index(heap->timers, 1) : NULL;
}

static int64_t heap_deadline(const TimerHeap *heap)
{
    Timer *top = heap_top(heap);
    return top ? top->deadline_ns : TIMER_NEVER;
}

static bool timer_before(const Timer *a, const Timer *b)
{
    return a->deadline_ns != b->deadline_ns ? a->deadline_ns < b->deadline_ns : a->order < b->order;
}

static void heap_place(TimerHeap *heap, unsigned index, Timer *timer)
{
    heap->timers->pdata[index] = timer;
    timer->heap_index = index;
}

/* Move the timer at index to where it belongs. */
static void heap_sift(TimerHeap *heap, unsigned index)
{
    Timer *timer = g_ptr_array_index(heap->timers, index);
    unsigned count = heap->timers->len - 1;
    for (; index > 1; index /= 2) {
        Timer *above = g_ptr_array_index(heap->timers, index / 2);
        if (!timer_before(timer, above))
            break;
        heap_place(heap, index, above);
    }
    for (unsigned below; (below = index * 2) <= count; index = below) {
        Timer *child = g_ptr_array_index(heap->timers, below);
        if (below < count) {
            Timer *other = g_ptr_array_index(heap->timers, below + 1);
            if (timer_before(other, child)) {
                child = other;
                below++;
            }
        }
        if (!timer_before(child, timer))
            break;
        heap_place(heap, index, child);
    }
    heap_place(heap, index, timer);
}

static void heap_remove(TimerHeap *heap, Timer *timer)
{
    unsigned index = timer->heap_index, last = heap->timers->len - 1;
    if (!index)
        return;
    Timer *moved = g_ptr_array_index(heap->timers, last);
    g_ptr_array_set_size(heap->timers, last);
    if (moved != timer) {
        heap_place(heap, index, moved);
        heap_sift(heap, index);
    }
    timer->heap_index = 0;
    __atomic_store_n(&timer->deadline_ns, TIMER_NEVER, __ATOMIC_RELAXED);
}

/* Arm the timerfd for the earliest timer, unless it is armed already for then. */
static void heap_arm(Clocks *clocks, ClockId clock)
{
    TimerHeap *heap = &clocks->heaps[clock];
    int64_t deadline = heap_deadline(heap), word = clocks->virtual_word, at = deadline;
    if (clock == CLOCK_VIRTUAL_NS && clocks->driver) {
        bool earlier = deadline < heap->armed_ns;
        __atomic_store_n(&heap->armed_ns, deadline, __ATOMIC_SEQ_CST);
        if (earlier)
            clocks->driver->earlier(clocks->driver_opaque);
        return;
    }
    if (clock == CLOCK_VIRTUAL_NS) {
        if (!(word & 1))
            deadline = TIMER_NEVER; /* standing, or manual: nothing comes by itself */
        else if (__builtin_add_overflow(deadline, word >> 1, &at))
            at = INT64_MAX;
    }
    if (heap->armed_ns == deadline)
        return;
    heap->armed_ns = deadline;
    struct itimerspec when = { 0 };
    if (deadline != TIMER_NEVER) {
        at = MAX(at, 1); /* 0 would disarm */
        when.it_value.tv_sec = at / NS_PER_SEC;
        when.it_value.tv_nsec = at % NS_PER_SEC;
    }
    timerfd_settime(heap->fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* ---- firing ---- */

/* Take the first timer that is due at now, or NULL. The clocks' lock is held: after that, whoever holds it can cancel
 * safely. */
static Timer *clock_take_due(Clocks *clocks, ClockId clock, int64_t now)
{
    g_mutex_lock(&clocks->mutex);
    Timer *timer = heap_top(&clocks->heaps[clock]);
    if (timer && timer->deadline_ns <= now)
        heap_remove(&clocks->heaps[clock], timer);
    else
        timer = NULL;
    if (clocks->driver && clock == CLOCK_VIRTUAL_NS)
        heap_arm(clocks, clock);
    g_mutex_unlock(&clocks->mutex);
    return timer;
}

/* Call the first timer that is due; false if there is none. */
static bool clock_fire(Clocks *clocks, ClockId clock, int64_t now)
{
    if (clocks->lock)
        clocks->lock(clocks->lock_opaque);
    Timer *timer = clock_take_due(clocks, clock, now);
    if (timer)
        timer->callback(timer->opaque);
    if (clocks->unlock)
        clocks->unlock(clocks->lock_opaque);
    return timer;
}

static void clock_turn(Clocks *clocks, ClockId clock)
{
    TimerHeap *heap = &clocks->heaps[clock];
    uint64_t expirations;
    if (!(g_source_query_unix_fd(clocks->source, heap->tag) & G_IO_IN))
        return;
    if (read(heap->fd, &expirations, sizeof(expirations)) < 0)
        return; /* armed anew since */
    bool may_fire = clock != CLOCK_VIRTUAL_NS || __atomic_load_n(&clocks->virtual_word, __ATOMIC_ACQUIRE) & 1;
    int64_t now = clock_now(clocks, clock);
    for (unsigned n = 0; may_fire && n < CALLBACKS_A_TURN && clock_fire(clocks, clock, now); n++)
        ;
    g_mutex_lock(&clocks->mutex);
    heap->armed_ns = TIMER_NEVER; /* it has fired */
    heap_arm(clocks, clock);
    g_mutex_unlock(&clocks->mutex);
}

static gboolean clocks_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    Clocks *clocks = ((ClockSource *)source)->clocks;
    for (unsigned clock = 0; clock < CLOCK_COUNT; clock++)
        clock_turn(clocks, clock);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs clocks_source_funcs = { .dispatch = clocks_dispatch };

/* ---- interface ---- */

Clocks *clocks_new(bool manual, void (*lock)(void *), void (*unlock)(void *), void *lock_opaque)
{
    Clocks *clocks = g_new0(Clocks, 1);
    clocks->manual = manual;
    clocks->lock = lock;
    clocks->unlock = unlock;
    clocks->lock_opaque = lock_opaque;
    g_mutex_init(&clocks->mutex);
    clocks->source = g_source_new(&clocks_source_funcs, sizeof(ClockSource));
    ((ClockSource *)clocks->source)->clocks = clocks;
    g_source_set_priority(clocks->source, G_PRIORITY_HIGH);
    /* No callback runs the main loop. Else GLib would take the descriptors out of its poll for each dispatch, and wake
     * that by two writes. */
    g_source_set_can_recurse(clocks->source, TRUE);
    for (unsigned i = 0; i < CLOCK_COUNT; i++) {
        TimerHeap *heap = &clocks->heaps[i];
        heap->timers = g_ptr_array_new();
        g_ptr_array_add(heap->timers, NULL);
        heap->armed_ns = TIMER_NEVER;
        heap->fd = timerfd_create(i == CLOCK_HOST_NS ? CLOCK_REALTIME : CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        if (heap->fd < 0)
            g_error("cannot create a timer: %s", g_strerror(errno));
        heap->tag = g_source_add_unix_fd(clocks->source, heap->fd, G_IO_IN);
    }
    g_source_attach(clocks->source, NULL);
    return clocks;
}

void clocks_free(Clocks *clocks)
{
    g_source_destroy(clocks->source);
    g_source_unref(clocks->source);
    for (unsigned i = 0; i < CLOCK_COUNT; i++) {
        close(clocks->heaps[i].fd);
        g_ptr_array_unref(clocks->heaps[i].timers);
    }
    g_mutex_clear(&clocks->mutex);
    g_free(clocks);
}

void clock_run(Clocks *clocks, bool running)
{
    if (clocks->manual || clocks->driver)
        return;
    g_mutex_lock(&clocks->mutex);
    if (running != (clocks->virtual_word & 1)) {
        virtual_write(clocks, clock_now(clocks, CLOCK_VIRTUAL_NS), running);
        heap_arm(clocks, CLOCK_VIRTUAL_NS);
    }
    g_mutex_unlock(&clocks->mutex);
}

void clock_drive(Clocks *clocks, const ClockDriver *driver, void *opaque)
{
    clocks->driver_opaque = opaque;
    clocks->driver = driver;
}

int64_t clock_deadline(Clocks *clocks)
{
    return __atomic_load_n(&clocks->heaps[CLOCK_VIRTUAL_NS].armed_ns, __ATOMIC_SEQ_CST);
}

void clock_fire_due(Clocks *clocks)
{
    int64_t now = clock_now(clocks, CLOCK_VIRTUAL_NS);
    for (unsigned n = 0; n < CALLBACKS_A_TURN && clock_deadline(clocks) <= now; n++)
        clock_fire(clocks, CLOCK_VIRTUAL_NS, now);
}

void clock_set_virtual(Clocks *clocks, int64_t ns)
{
    if (clocks->driver) {
        clocks->driver->set(clocks->driver_opaque, ns);
        return;
    }
    g_mutex_lock(&clocks->mutex);
    virtual_write(clocks, ns, clocks->virtual_word & 1);
    clocks->heaps[CLOCK_VIRTUAL_NS].armed_ns = TIMER_NEVER - 1; /* the same deadline is another host time now */
    heap_arm(clocks, CLOCK_VIRTUAL_NS);
    g_mutex_unlock(&clocks->mutex);
}

void clock_step(Clocks *clocks, int64_t ns)
{
    g_assert(clocks->manual);
    int64_t end = clock_now(clocks, CLOCK_VIRTUAL_NS) + ns;
    for (;;) {
        g_mutex_lock(&clocks->mutex);
        int64_t now = clocks->virtual_word >> 1, next = heap_deadline(&clocks->heaps[CLOCK_VIRTUAL_NS]);
        virtual_write(clocks, CLAMP(next, now, end), false);
        g_mutex_unlock(&clocks->mutex);
        if (next > end || !clock_fire(clocks, CLOCK_VIRTUAL_NS, end))
            break;
    }
    g_mutex_lock(&clocks->mutex);
    virtual_write(clocks, end, false);
    g_mutex_unlock(&clocks->mutex);
}

void timer_init(Timer *timer, Clocks *clocks, ClockId clock, void (*callback)(void *), void *opaque)
{
    *timer =
        (Timer){ .clocks = clocks, .clock = clock, .deadline_ns = TIMER_NEVER, .callback = callback, .opaque = opaque };
}

void timer_set(Timer *timer, int64_t deadline_ns)
{
    Clocks *clocks = timer->clocks;
    TimerHeap *heap = &clocks->heaps[timer->clock];
    g_mutex_lock(&clocks->mutex);
    if (deadline_ns == TIMER_NEVER) {
        heap_remove(heap, timer);
        if (clocks->driver && timer->clock == CLOCK_VIRTUAL_NS)
            heap_arm(clocks, timer->clock);
    } else {
        __atomic_store_n(&timer->deadline_ns, deadline_ns, __ATOMIC_RELAXED);
        timer->order = ++heap->armings;
        if (!timer->heap_index) {
            timer->heap_index = heap->timers->len;
            g_ptr_array_add(heap->timers, timer);
        }
        heap_sift(heap, timer->heap_index);
        if (heap_deadline(heap) < heap->armed_ns || (clocks->driver && timer->clock == CLOCK_VIRTUAL_NS))
            heap_arm(clocks, timer->clock);
    }
    g_mutex_unlock(&clocks->mutex);
}

void timer_cancel(Timer *timer)
{
    if (timer->clocks)
        timer_set(timer, TIMER_NEVER);
}
