/*
 * Clocks and timers. A Clocks belongs to one machine. CLOCK_VIRTUAL_NS stops while the machine is stopped; host and
 * real time do not. Timers fire on the main loop's thread with the machine lock held (the owner of Clocks gives the lock).
 * All functions may be called from any thread; timer_set is cheap when the earliest deadline does not move forward.
 * Test machines (manual clocks) move only by clock_step.
 * SPDX-License-Identifier: MIT
 */
#ifndef UTIL_CLOCK_H
#define UTIL_CLOCK_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum { CLOCK_VIRTUAL_NS, CLOCK_HOST_NS, CLOCK_REAL_NS, CLOCK_COUNT } ClockId;

#define TIMER_NEVER INT64_MAX

typedef struct Clocks Clocks;

typedef struct Timer {
    Clocks *clocks;
    ClockId clock;
    int64_t deadline_ns; /* atomic; TIMER_NEVER: not armed */
    unsigned heap_index; /* place in the clock's heap, from 1; 0: not armed */
    uint64_t order;      /* of arming: timers with the same deadline fire in this order */
    void (*callback)(void *opaque);
    void *opaque;
} Timer;

/* lock/unlock are called around each callback (may be NULL). manual: virtual time moves only by clock_step. */
Clocks *clocks_new(bool manual, void (*lock)(void *), void (*unlock)(void *), void *lock_opaque);
void clocks_free(Clocks *clocks);
/* Nanoseconds: virtual since the machine's start, host since 1970 (UTC), real monotonic. Lock-free for CLOCK_VIRTUAL_NS. */
int64_t clock_now(Clocks *clocks, ClockId clock);
/* Stop or restart virtual time. It starts stopped. */
void clock_run(Clocks *clocks, bool running);
/* Manual clocks: advance virtual time, firing timers in deadline order, each at its own time. */
void clock_step(Clocks *clocks, int64_t ns);
/* Set virtual time (loading a snapshot). */
void clock_set_virtual(Clocks *clocks, int64_t ns);

/* Virtual time that is not the host's: somebody counts, and fires timers by clock_fire_due on a thread of its own. All are called
 * from any thread. */
typedef struct ClockDriver {
    int64_t (*now)(void *opaque);
    void (*set)(void *opaque, int64_t ns); /* clock_set_virtual */
    void (*earlier)(void *opaque);         /* the first deadline has come nearer; leaf locks are held */
} ClockDriver;
/* Before any timer is armed. */
void clock_drive(Clocks *clocks, const ClockDriver *driver, void *opaque);
/* The first deadline of virtual time, TIMER_NEVER: none. Lock-free. */
int64_t clock_deadline(Clocks *clocks);
/* Fire what is due in virtual time, in order of deadlines; a few dozen at most, so that timers which arm each other at once let
 * others in. Takes the owner's lock around each. */
void clock_fire_due(Clocks *clocks);

void timer_init(Timer *timer, Clocks *clocks, ClockId clock, void (*callback)(void *), void *opaque);
/* Fire at deadline_ns of the timer's clock (at once if it is past); TIMER_NEVER disarms. */
void timer_set(Timer *timer, int64_t deadline_ns);
void timer_cancel(Timer *timer);
static inline bool timer_armed(const Timer *timer)
{
    return __atomic_load_n(&timer->deadline_ns, __ATOMIC_RELAXED) != TIMER_NEVER;
}

#endif
