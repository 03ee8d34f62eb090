/*
 * What time real-time clocks show (see rtc.h).
 * SPDX-License-Identifier: MIT
 */
#include "hw/timer/rtc.h"
#include "util/error.h"
#include <string.h>

#define SECOND INT64_C(1000000000)

/* base=YYYY-MM-DD[THH:MM:SS], in UTC. */
static bool parse_date(const char *text, int64_t *seconds, GError **err)
{
    g_autofree char *whole = strchr(text, 'T') ? g_strdup_printf("%sZ", text) : g_strdup_printf("%sT00:00:00Z", text);
    g_autoptr(GDateTime) date = g_date_time_new_from_iso8601(whole, NULL);
    if (!date)
        return error_set(err, "-rtc: base=%s: utc, localtime or a date like 2026-11-21T08:00:00 is needed", text);
    *seconds = g_date_time_to_unix(date);
    return true;
}

bool rtc_configure(Machine *machine, Opts *opts, GError **err)
{
    static const char *const known[] = { "base", "clock", "driftfix", NULL },
                             *const clocks[] = { "host", "rt", "vm", NULL }, *const drift[] = { "none", "slew", NULL };
    static const ClockId ids[] = { CLOCK_HOST_NS, CLOCK_REAL_NS, CLOCK_VIRTUAL_NS };
    unsigned clock = 0, fix = 0;
    int64_t start = g_get_real_time() / 1000000;
    const char *base = opts ? opts_string(opts, "base", "utc") : "utc";
    if (opts && (!opts_enum(opts, "clock", clocks, &clock, err) || !opts_enum(opts, "driftfix", drift, &fix, err) ||
                 !opts_finish(opts, known, err)))
        return false;
    if (!strcmp(base, "localtime")) {
        g_autoptr(GDateTime) now = g_date_time_new_now_local();
        start += g_date_time_get_utc_offset(now) / 1000000;
    } else if (strcmp(base, "utc") && !parse_date(base, &start, err)) {
        return false;
    }
    machine->rtc.clock = ids[clock];
    machine->rtc.offset = start * SECOND - clock_now(machine->clocks, ids[clock]);
    if (ids[clock] == CLOCK_HOST_NS && !strcmp(base, "utc"))
        machine->rtc.offset = 0; /* exactly the host's, fractions of a second too */
    return true;
}

int64_t rtc_now(const Machine *machine)
{
    return clock_now(machine->clocks, machine->rtc.clock) + machine->rtc.offset;
}

int64_t rtc_to_clock(const Machine *machine, int64_t ns)
{
    int64_t at;
    return __builtin_sub_overflow(ns, machine->rtc.offset, &at) ? TIMER_NEVER - 1 : at;
}
