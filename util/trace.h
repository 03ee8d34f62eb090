/*
 * Trace points: TRACE(e1000_rx, "len=%u", len) declares an event where it happens; -trace 'e1000*' turns it on at run
 * time, "-trace help" lists all. Off, it costs one predicted branch on a byte.
 * SPDX-License-Identifier: MIT
 */
#ifndef UTIL_TRACE_H
#define UTIL_TRACE_H

#include <glib.h>
#include <stdbool.h>

typedef struct TraceEvent {
    const char *name;
    const char *format;
    bool on;
} TraceEvent;

void trace_write(const TraceEvent *event, ...);
/* Turn the events that the glob pattern names on or off. An error if it names none. */
bool trace_set(const char *pattern, bool on, GError **err);
/* Number of trace points in the program. */
unsigned trace_count(void);
/* All event names, one a line. Free with g_free. */
char *trace_help(void);

#define TRACE(event, fmt, ...)                                                                                         \
    do {                                                                                                               \
        static TraceEvent trace_event __attribute__((section("trace_events"), used, aligned(8))) = { #event, fmt,      \
                                                                                                    false };           \
        if (0)                                                                                                         \
            g_print(fmt, ##__VA_ARGS__); /* lets the compiler check the format */                                      \
        if (__builtin_expect(__atomic_load_n(&trace_event.on, __ATOMIC_RELAXED), 0))                                                                       \
            trace_write(&trace_event, ##__VA_ARGS__);                                                                  \
    } while (0)

#endif
