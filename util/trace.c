/*
 * Trace points: the linker collects every TraceEvent in section trace_events, so that there is no list to keep.
 * SPDX-License-Identifier: MIT
 */
#include "util/trace.h"
#include "util/error.h"
#include "util/log.h"
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

/* Made by the linker; null in a program without any trace point. */
extern TraceEvent __start_trace_events[] __attribute__((weak));
extern TraceEvent __stop_trace_events[] __attribute__((weak));

unsigned trace_count(void)
{
    return __start_trace_events ? __stop_trace_events - __start_trace_events : 0;
}

void trace_write(const TraceEvent *event, ...)
{
    va_list args;
    va_start(args, event);
    g_autofree char *text = g_strdup_vprintf(event->format, args);
    va_end(args);
    int64_t now = g_get_real_time();
    log_write("%d@%" G_GINT64_FORMAT ".%06d:%s %s", (int)getpid(), now / G_USEC_PER_SEC, (int)(now % G_USEC_PER_SEC),
              event->name, text);
}

static int name_compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted names without repeats, ends with NULL. Free the array only. */
static const char **trace_names(void)
{
    unsigned count = trace_count(), kept = 0;
    const char **names = g_new0(const char *, count + 1);
    for (unsigned i = 0; i < count; i++)
        names[i] = __start_trace_events[i].name;
    qsort(names, count, sizeof(*names), name_compare);
    for (unsigned i = 0; i < count; i++) {
        if (!kept || strcmp(names[kept - 1], names[i]))
            names[kept++] = names[i];
    }
    names[kept] = NULL;
    return names;
}

bool trace_set(const char *pattern, bool on, GError **err)
{
    bool found = false;
    for (unsigned i = 0; i < trace_count(); i++) {
        TraceEvent *event = &__start_trace_events[i];
        if (g_pattern_match_simple(pattern, event->name)) {
            __atomic_store_n(&event->on, on, __ATOMIC_RELAXED);
            found = true;
        }
    }
    if (found)
        return true;
    g_autofree const char **names = trace_names();
    const char *near = nearest_name(pattern, names);
    if (near)
        return error_set(err, "-trace: no trace point is named '%s'; did you mean '%s'?", pattern, near);
    return error_set(err, "-trace: no trace point is named '%s'; '-trace help' lists all", pattern);
}

char *trace_help(void)
{
    g_autofree const char **names = trace_names();
    GString *out = g_string_new(NULL);
    for (const char **name = names; *name; name++)
        g_string_append_printf(out, "%s\n", *name);
    return g_string_free(out, FALSE);
}
