/*
 * Clocks, timers and the main loop: manual time against a sorted model, real time on the loop, timers set from other
 * threads.
 * SPDX-License-Identifier: MIT
 */
#include "util/clock.h"
#include "util/mainloop.h"

#define MS INT64_C(1000000)

/* ---- manual ---- */

typedef struct Fired {
    Clocks *clocks;
    GArray *times; /* int64_t */
} Fired;

static void note_time(void *opaque)
{
    Fired *fired = opaque;
    int64_t now = clock_now(fired->clocks, CLOCK_VIRTUAL_NS);
    g_array_append_val(fired->times, now);
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* Random sets, cancels and moves; what fires must be the deadlines that were left, sorted. */
static void test_heap(void)
{
    enum { TIMERS = 200 };
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);
    for (unsigned round = 0; round < 50; round++) {
        Fired fired = { clocks_new(true, NULL, NULL, NULL), g_array_new(FALSE, FALSE, sizeof(int64_t)) };
        g_autoptr(GArray) expected = g_array_new(FALSE, FALSE, sizeof(int64_t));
        Timer timers[TIMERS];
        for (unsigned i = 0; i < TIMERS; i++)
            timer_init(&timers[i], fired.clocks, CLOCK_VIRTUAL_NS, note_time, &fired);
        for (unsigned i = 0; i < TIMERS * 4; i++) {
            Timer *timer = &timers[g_rand_int_range(rand, 0, TIMERS)];
            if (g_rand_int_range(rand, 0, 3))
                timer_set(timer, g_rand_int_range(rand, 0, 1000));
            else
                timer_cancel(timer);
        }
        for (unsigned i = 0; i < TIMERS; i++) {
            g_assert_true(timer_armed(&timers[i]) == (timers[i].heap_index != 0));
            if (timer_armed(&timers[i]))
                g_array_append_val(expected, timers[i].deadline_ns);
        }
        g_array_sort(expected, compare_times);
        for (unsigned step = 0; step < 10; step++)
            clock_step(fired.clocks, 100);
        g_assert_cmpmem(fired.times->data, fired.times->len * 8, expected->data, expected->len * 8);
        g_assert_cmpint(clock_now(fired.clocks, CLOCK_VIRTUAL_NS), ==, 1000);
        g_array_unref(fired.times);
        clocks_free(fired.clocks);
    }
}

static void test_manual_stands(void)
{
    Clocks *clocks = clocks_new(true, NULL, NULL, NULL);
    clock_run(clocks, true);
    g_usleep(2000);
    g_assert_cmpint(clock_now(clocks, CLOCK_VIRTUAL_NS), ==, 0);
    clock_set_virtual(clocks, 77);
    g_assert_cmpint(clock_now(clocks, CLOCK_VIRTUAL_NS), ==, 77);
    clocks_free(clocks);
}

/* ---- real ---- */

static void count_one(void *opaque)
{
    ++*(int *)opaque;
}

static void spin_until(const int *count, int want)
{
    int64_t limit = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    while (__atomic_load_n(count, __ATOMIC_RELAXED) < want) {
        g_main_context_iteration(NULL, FALSE);
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
    }
}

static void test_real(void)
{
    Clocks *clocks = clocks_new(false, NULL, NULL, NULL);
    Timer timer;
    int count = 0;
    for (ClockId id = CLOCK_HOST_NS; id <= CLOCK_REAL_NS; id++) {
        timer_init(&timer, clocks, id, count_one, &count);
        int64_t due = clock_now(clocks, id) + 3 * MS;
        timer_set(&timer, due);
        spin_until(&count, id);
        g_assert_cmpint(clock_now(clocks, id), >=, due);
    }
    timer_set(&timer, 1); /* long past */
    spin_until(&count, 3);
    g_assert_false(timer_armed(&timer));
    clocks_free(clocks);
}

static void test_virtual_stops(void)
{
    Clocks *clocks = clocks_new(false, NULL, NULL, NULL);
    Timer timer;
    int count = 0;
    timer_init(&timer, clocks, CLOCK_VIRTUAL_NS, count_one, &count);
    timer_set(&timer, 2 * MS);
    g_usleep(4000);
    while (g_main_context_iteration(NULL, FALSE))
        ;
    g_assert_cmpint(count, ==, 0);
    g_assert_cmpint(clock_now(clocks, CLOCK_VIRTUAL_NS), ==, 0);
    clock_run(clocks, true);
    spin_until(&count, 1);
    g_assert_cmpint(clock_now(clocks, CLOCK_VIRTUAL_NS), >=, 2 * MS);
    clock_run(clocks, false);
    int64_t stood = clock_now(clocks, CLOCK_VIRTUAL_NS);
    g_usleep(2000);
    g_assert_cmpint(clock_now(clocks, CLOCK_VIRTUAL_NS), ==, stood);
    clock_run(clocks, true);
    g_assert_cmpint(clock_now(clocks, CLOCK_VIRTUAL_NS) - stood, <, 2 * MS * 1000);
    timer_set(&timer, INT64_MAX - 1); /* as good as never; must not overflow */
    g_main_context_iteration(NULL, FALSE);
    clock_set_virtual(clocks, 1000 * MS);
    timer_set(&timer, 1001 * MS);
    spin_until(&count, 2);
    clocks_free(clocks);
}

/* ---- threads ---- */

typedef struct Arming {
    Clocks *clocks;
    Timer timer;
    int fired;
    GMutex lock;
} Arming;

static void arming_lock(void *opaque)
{
    g_mutex_lock(&((Arming *)opaque)->lock);
}

static void arming_unlock(void *opaque)
{
    g_mutex_unlock(&((Arming *)opaque)->lock);
}

static void arming_fire(void *opaque)
{
    Arming *arming = opaque;
    __atomic_fetch_add(&arming->fired, 1, __ATOMIC_RELAXED);
}

#define ARMINGS 300

static void *arm_repeatedly(void *opaque)
{
    Arming *arming = opaque;
    for (int i = 0; i < ARMINGS; i++) {
        timer_set(&arming->timer, clock_now(arming->clocks, CLOCK_VIRTUAL_NS) + 50000);
        while (__atomic_load_n(&arming->fired, __ATOMIC_RELAXED) <= i)
            g_usleep(20);
    }
    return NULL;
}

/* A timer armed by another thread while the loop sleeps in poll: it wakes in time. */
static void test_threads(void)
{
    Arming arming = { 0 };
    g_mutex_init(&arming.lock);
    arming.clocks = clocks_new(false, arming_lock, arming_unlock, &arming);
    timer_init(&arming.timer, arming.clocks, CLOCK_VIRTUAL_NS, arming_fire, &arming);
    clock_run(arming.clocks, true);
    int64_t begin = g_get_monotonic_time();
    GThread *thread = g_thread_new("armer", arm_repeatedly, &arming);
    while (__atomic_load_n(&arming.fired, __ATOMIC_RELAXED) < ARMINGS)
        g_main_context_iteration(NULL, TRUE);
    g_thread_join(thread);
    g_assert_cmpint(g_get_monotonic_time() - begin, <, 60 * G_USEC_PER_SEC);
    clocks_free(arming.clocks);
    g_mutex_clear(&arming.lock);
}

/* ---- driven ---- */

typedef struct Driven {
    Clocks *clocks;
    int64_t now;
    unsigned earlier;
    GString *fired;
    Timer timers[26];
} Driven;

static int64_t driven_now(void *opaque)
{
    return ((Driven *)opaque)->now;
}
static void driven_set(void *opaque, int64_t ns)
{
    ((Driven *)opaque)->now = ns;
}
static void driven_earlier(void *opaque)
{
    ((Driven *)opaque)->earlier++;
}
static Driven driven;
static void note_letter(void *opaque)
{
    Timer *timer = opaque;
    g_string_append_c(driven.fired, 'a' + (timer - driven.timers));
    if (timer == &driven.timers[25]) /* z comes again, at once */
        timer_set(timer, driven.now);
}

/* Somebody else's time: it tells the deadline, fires by deadline and order of arming, and only when asked. */
static void test_driven(void)
{
    static const ClockDriver driver = { driven_now, driven_set, driven_earlier };
    Clocks *clocks = driven.clocks = clocks_new(false, NULL, NULL, NULL);
    driven.fired = g_string_new(NULL);
    clock_drive(clocks, &driver, &driven);
    for (unsigned i = 0; i < 26; i++)
        timer_init(&driven.timers[i], clocks, CLOCK_VIRTUAL_NS, note_letter, &driven.timers[i]);
    g_assert_cmpint(clock_deadline(clocks), ==, TIMER_NEVER);
    for (int i = 9; i >= 0; i--) /* j to a, at the same time */
        timer_set(&driven.timers[i], 100);
    g_assert_cmpuint(driven.earlier, ==, 1);
    timer_set(&driven.timers[10], 50);
    g_assert_cmpuint(driven.earlier, ==, 2);
    g_assert_cmpint(clock_deadline(clocks), ==, 50);
    timer_set(&driven.timers[10], 200);
    timer_set(&driven.timers[4], 100); /* armed anew: now behind the others */
    g_assert_cmpint(clock_deadline(clocks), ==, 100);
    clock_run(clocks, true);
    clock_set_virtual(clocks, 99);
    g_main_context_iteration(NULL, FALSE);
    clock_fire_due(clocks);
    g_assert_cmpstr(driven.fired->str, ==, "");
    driven.now = 150;
    g_assert_cmpint(clock_now(clocks, CLOCK_VIRTUAL_NS), ==, 150);
    clock_fire_due(clocks);
    g_assert_cmpstr(driven.fired->str, ==, "jihgfdcbae");
    g_assert_cmpint(clock_deadline(clocks), ==, 200);
    timer_cancel(&driven.timers[10]);
    g_assert_cmpint(clock_deadline(clocks), ==, TIMER_NEVER);
    timer_set(&driven.timers[25], 0);
    clock_fire_due(clocks); /* comes back */
    g_assert_cmpint(clock_deadline(clocks), ==, 150);
    timer_cancel(&driven.timers[25]);
    g_string_free(driven.fired, TRUE);
    clocks_free(clocks);
}

/* ---- main loop ---- */

static GString *order;

static void post_letter(void *opaque)
{
    g_string_append_c(order, *(const char *)opaque);
    if (*(const char *)opaque == 'c')
        mainloop_post(post_letter, "d");
    if (*(const char *)opaque == 'd')
        mainloop_quit(3);
}

static void *post_all(void *opaque)
{
    for (const char *letter = "abxc"; *letter; letter++)
        mainloop_post(post_letter, (void *)letter);
    return NULL;
}

static void test_mainloop(void)
{
    order = g_string_new(NULL);
    mainloop_post(post_letter, "z");
    GThread *thread = g_thread_new("poster", post_all, NULL);
    g_thread_join(thread);
    g_assert_cmpint(mainloop_run(), ==, 3);
    g_assert_cmpstr(order->str, ==, "zabxcd");
    static const char cancelled = 'n';
    mainloop_post(post_letter, (void *)&cancelled);
    mainloop_cancel((void *)&cancelled);
    mainloop_quit(4);
    mainloop_quit(5);
    g_assert_cmpint(mainloop_run(), ==, 4);
    g_assert_cmpstr(order->str, ==, "zabxcd");
    g_string_free(order, TRUE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/clock/heap", test_heap);
    g_test_add_func("/clock/manual-stands", test_manual_stands);
    g_test_add_func("/clock/real", test_real);
    g_test_add_func("/clock/virtual-stops", test_virtual_stops);
    g_test_add_func("/clock/threads", test_threads);
    g_test_add_func("/clock/driven", test_driven);
    g_test_add_func("/mainloop", test_mainloop);
    return g_test_run();
}
